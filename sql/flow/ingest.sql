-- What a record looks like on its way in, and the steps that every kind of record takes.
--
-- A record comes as a typed row (cxm.event_input and its kin). The bulk JSON forms, the single forms and attached
-- tables all build such rows and hand an array of them to one function a kind: cxm.store_events(),
-- cxm.store_feedback(), cxm.store_purchases(), cxm.store_spend(), cxm.store_traits(). Those check each row, put what is wrong into
-- cx.rejection, and take the rest set-wise.

CREATE TYPE cxm.event_input AS (
    message_id      text,
    at              timestamptz,
    event           text,
    identifiers     jsonb,
    touchpoint      text,
    location        text,
    product         text,
    employee        text,
    properties      jsonb,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.event_input IS
'An event on its way into cx.event. message_id: the sender''s id or NULL; at: when; event: its name; identifiers: {"namespace": "value", ...}; touchpoint, location, product, employee: keys; reason: why it is known to be bad already, or NULL; raw: the record as it came, kept when it is refused.';

CREATE TYPE cxm.feedback_input AS (
    message_id      text,
    at              timestamptz,
    metric          text,
    score           numeric,
    scale_min       integer,
    scale_max       integer,
    comment         text,
    identifiers     jsonb,
    touchpoint      text,
    location        text,
    product         text,
    employee        text,
    submission_id   text,
    question        text,
    properties      jsonb,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.feedback_input IS
'An answer on its way into cx.feedback. As cxm.event_input, with metric, score (whole), its scale (NULL = the metric''s usual one), comment, and the submission and question that it belongs to.';

CREATE TYPE cxm.purchase_input AS (
    message_id      text,
    at              timestamptz,
    order_id        text,
    product         text,
    quantity        numeric,
    amount          numeric,
    currency        text,
    identifiers     jsonb,
    touchpoint      text,
    location        text,
    employee        text,
    properties      jsonb,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.purchase_input IS
'A purchase on its way into cx.purchase. As cxm.event_input, with order, quantity (NULL = 1), amount of the whole line and currency.';

CREATE TYPE cxm.spend_input AS (
    message_id      text,
    at              timestamptz,
    amount          numeric,
    currency        text,
    channel         text,
    campaign        text,
    touchpoint      text,
    location        text,
    product         text,
    properties      jsonb,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.spend_input IS
'Money spent on winning customers, on its way into cx.spend. As cxm.event_input, without identifiers, with amount, currency, marketing channel and campaign.';

CREATE TYPE cxm.traits_input AS (
    message_id      text,
    at              timestamptz,
    identifiers     jsonb,
    traits          jsonb,
    verified        boolean,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.traits_input IS
'What a source says of a person, on its way into cx.trait and cx.link. identifiers: all that are known to be this person''s; traits: {"name": value, ...}; verified: whether the person proved them.';

CREATE TYPE cxm.problem AS (
    sqlstate        text,
    reason          text,
    hint            text
);

COMMENT ON TYPE cxm.problem IS 'Why a record is not stored: the SQLSTATE that a single call raises, what is wrong with the value, and the way out. SQLSTATE 00000 marks a blank row of an attached table, which is no error.';

CREATE TYPE cxm.ingest_result AS (
    accepted        bigint,
    updated         bigint,
    duplicates      bigint,
    rejected        bigint,
    blank           bigint,
    record_ids      bigint[],
    problem         cxm.problem
);

COMMENT ON TYPE cxm.ingest_result IS
'What became of a batch: rows stored, stored rows changed (attached tables only), rows that were stored before, rows in cx.rejection, rows with nothing in them (attached tables only), the id of each row''s record in the order given (NULL = not stored), and, of a strict batch that stored nothing, the first problem.';

CREATE TYPE cxm.taken_record AS (
    record_id       bigint,
    is_new          boolean,
    stored_at       timestamptz,
    identifier_id   bigint,
    touchpoint_id   integer,
    location_id     integer,
    product_id      integer,
    employee_id     integer
);

COMMENT ON TYPE cxm.taken_record IS
'What cxm.take_records() found for a record: the id it has or is to get (NULL = refused), whether it is new, the time under which an old one is stored (NULL = a later row of the batch says what it is now), and the codes of what it names.';

---- casting text that may be anything

CREATE FUNCTION cxm.try_timestamptz(value text, time_zone text DEFAULT 'UTC') RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO, MDY'
SET timezone = 'UTC'
AS $$
BEGIN
    -- the SET clause above is there to put back what this sets; whether a text names a zone of its own is for
    -- PostgreSQL to say: 2026-01-15 ends as an offset would
    IF current_setting('TimeZone') <> time_zone THEN
        PERFORM set_config('TimeZone', time_zone, true);
    END IF;

    BEGIN
        RETURN value::timestamptz;
    EXCEPTION
        WHEN data_exception THEN
            RETURN NULL;
    END;
END
$$;

COMMENT ON FUNCTION cxm.try_timestamptz(text, text) IS
'The text as a time, or NULL when it is not one: ISO 8601 and the other forms that PostgreSQL reads; 03/04/2026 is the fourth of March. A text without a zone is local time of time_zone (NULL = UTC). Error on an unknown zone.';

CREATE FUNCTION cxm.try_numeric(value text) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- far inside what numeric holds, so that the cast cannot overflow
    IF length(value) > 5000 OR value !~ '^[[:space:]]*[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]{1,4})?[[:space:]]*$' THEN
        RETURN NULL;
    END IF;
    RETURN value::numeric;
END
$$;

COMMENT ON FUNCTION cxm.try_numeric(text) IS
'The text as a finite number, or NULL when it is not one or has more than 5000 characters.';

---- sources

CREATE FUNCTION cxm.source_id(source text) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_id integer;
    v_kind text;
BEGIN
    PERFORM cxm.store_version();
    IF coalesce(source_id.source, '') = '' OR octet_length(source_id.source) > 512 THEN
        RAISE EXCEPTION 'source must be a name of 1 to 512 bytes'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Name the application that sends the records, such as ''web''.';
    END IF;

    SELECT s.source_id, s.kind INTO v_id, v_kind FROM cx.source AS s WHERE s.source = source_id.source;
    IF v_id IS NULL THEN
        INSERT INTO cx.source (source) VALUES (source_id.source) ON CONFLICT (source) DO NOTHING;
        SELECT s.source_id, s.kind INTO v_id, v_kind FROM cx.source AS s WHERE s.source = source_id.source;
    END IF;
    IF v_kind <> 'app' THEN
        RAISE EXCEPTION 'source "%" is an attached table', source
            USING ERRCODE = 'wrong_object_type',
                  DETAIL = 'Its records follow the table''s rows.',
                  HINT = 'Write to the table, or send under another source name.';
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.source_id(text) IS
'source_id of an application by its name, noted in cx.source the first time. Error on an empty name and on the name of an attached table.';

---- what can be wrong with any record

CREATE FUNCTION cxm.identifiers_problem(identifiers jsonb, namespaces text[]) RETURNS cxm.problem
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_namespace text;
    v_value jsonb;
    v_text text;
BEGIN
    IF identifiers IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(identifiers) <> 'object' THEN
        RETURN ('22023', format('identifiers must be an object, not %s', left(identifiers::text, 100)),
                'Give {"email": "ann@example.com"}.')::cxm.problem;
    END IF;

    FOR v_namespace, v_value IN SELECT e.key, e.value FROM jsonb_each(identifiers) AS e LOOP
        IF v_namespace <> ALL (namespaces) THEN
            RETURN ('22023', format('unknown identifier namespace "%s"', left(v_namespace, 100)),
                    format('Known are %s; add others with cxm.add_namespace().', array_to_string(namespaces, ', ')))::cxm.problem;
        END IF;
        FOR v_value IN
            SELECT a.value FROM jsonb_array_elements(CASE jsonb_typeof(v_value) WHEN 'array' THEN v_value ELSE jsonb_build_array(v_value) END) AS a
        LOOP
            CONTINUE WHEN jsonb_typeof(v_value) = 'null';
            v_text := v_value #>> '{}';
            -- one in the wrong form is no reason to refuse the record: it is kept as malformed
            IF jsonb_typeof(v_value) NOT IN ('string', 'number') OR coalesce(octet_length(cxm.normalize_text(v_text)) > 512, true) THEN
                RETURN ('22023', format('%s is not a usable %s', left(v_value::text, 100), v_namespace),
                        'An identifier is a string or number of 1 to 512 bytes; leave out what is not known.')::cxm.problem;
            END IF;
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.identifiers_problem(jsonb, text[]) IS
'What is wrong with the identifiers of a record ({"namespace": "value" or [...], ...}), or NULL when nothing is. namespaces: those that exist. A JSON null value is as good as left out. A value in the wrong form is no problem: the identifier is kept as malformed.';

CREATE FUNCTION cxm.record_problem(reason text, message_id text, at timestamptz, latest timestamptz,
                                   identifiers jsonb, namespaces text[], properties jsonb, keys text[]) RETURNS cxm.problem
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key text;
BEGIN
    IF reason IS NOT NULL THEN
        RETURN ('22023', reason, NULL)::cxm.problem;
    ELSIF message_id = '' OR octet_length(message_id) > 1024 THEN
        RETURN ('22023', format('message_id of %s bytes', octet_length(message_id)), 'A message_id has 1 to 1024 bytes.')::cxm.problem;
    ELSIF at IS NULL THEN
        RETURN ('22004', 'the record has no time', 'Give the time at which it happened.')::cxm.problem;
    ELSIF NOT isfinite(at) THEN
        RETURN ('22008', format('time %s is not finite', at), 'Give the time at which it happened.')::cxm.problem;
    ELSIF at > latest THEN
        RETURN ('22008', format('time %s lies too far in the future', at),
                format('The latest that is taken now is %s: now and max_future of cx.store.', latest))::cxm.problem;
    -- the limits of cx.event and its kin: beyond them dates and months cannot be computed
    ELSIF at < '4000-01-01 00:00+00 BC' OR at >= '200000-01-01 00:00+00' THEN
        RETURN ('22008', format('time %s is out of range', at), 'Times go from 4000 BC to the year 200000.')::cxm.problem;
    ELSIF jsonb_typeof(properties) <> 'object' THEN
        RETURN ('22023', format('properties must be an object, not %s', left(properties::text, 100)), 'Give {"name": value, ...}.')::cxm.problem;
    END IF;

    FOREACH v_key IN ARRAY keys LOOP
        IF octet_length(v_key) > 512 THEN
            RETURN ('22001', format('"%s..." is too long for a key', left(v_key, 60)), 'Keys of touchpoints, products, orders and so on have at most 512 bytes.')::cxm.problem;
        END IF;
    END LOOP;
    RETURN cxm.identifiers_problem(identifiers, namespaces);
END
$$;

COMMENT ON FUNCTION cxm.record_problem(text, text, timestamptz, timestamptz, jsonb, text[], jsonb, text[]) IS
'What is wrong with the parts that every record has, or NULL when nothing is. reason: what the caller knows to be wrong already; latest: the latest time that is taken; keys: catalogue keys and other names on the record.';

CREATE FUNCTION cxm.money_problem(amount numeric, currency text) RETURNS cxm.problem
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF amount IN ('NaN', 'Infinity', '-Infinity') THEN
        RETURN ('22003', format('amount %s is not a sum of money', amount), 'Give a finite number.')::cxm.problem;
    ELSIF currency !~ '^[A-Z]{3}$' THEN
        RETURN ('22023', format('currency "%s" is not an ISO 4217 code', left(currency, 100)), 'Give three capital letters, such as EUR.')::cxm.problem;
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.money_problem(numeric, text) IS
'What is wrong with an amount of money and its currency, or NULL when nothing is; either may be NULL.';

CREATE FUNCTION cxm.plan_for(batch_size integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('plan_cache_mode', CASE WHEN batch_size <= 10 THEN 'force_generic_plan' ELSE 'force_custom_plan' END, true);
END
$$;

COMMENT ON FUNCTION cxm.plan_for(integer) IS
'Has the functions that take records keep their plans for a few records, which cost more to plan than to run, and plan anew for a batch, for which nested loops over arrays would be quadratic. For functions with a SET clause for plan_cache_mode, which ends the effect.';

CREATE FUNCTION cxm.strict_result(problems cxm.problem[]) RETURNS cxm.ingest_result
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT (0, 0, 0, 1, 0, NULL, p)::cxm.ingest_result FROM unnest(problems) AS p WHERE p.reason IS NOT NULL LIMIT 1);
END
$$;

COMMENT ON FUNCTION cxm.strict_result(cxm.problem[]) IS 'What a strict batch comes to when one of its records has a problem; NULL when none has.';

CREATE FUNCTION cxm.raise_problem(problem cxm.problem) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF problem.reason IS NULL THEN
        RETURN;
    ELSIF problem.hint IS NULL THEN
        RAISE EXCEPTION '%', problem.reason USING ERRCODE = problem.sqlstate;
    END IF;
    RAISE EXCEPTION '%', problem.reason USING ERRCODE = problem.sqlstate, HINT = problem.hint;
END
$$;

COMMENT ON FUNCTION cxm.raise_problem(cxm.problem) IS 'Raises a problem as an error with its SQLSTATE, and its hint if it has one; does nothing without a problem.';

CREATE FUNCTION cxm.single_record(result cxm.ingest_result) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.raise_problem(result.problem);
    RETURN result.record_ids[1];
END
$$;

COMMENT ON FUNCTION cxm.single_record(cxm.ingest_result) IS 'The id of the one record of a strict batch; its problem is raised as an error with its SQLSTATE and hint.';

---- the steps

CREATE FUNCTION cxm.record_json(record jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- only its own fields: a null within properties or traits says something
    SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}')
    FROM jsonb_each(record) AS e
    WHERE e.value <> 'null' AND e.key NOT IN ('reason', 'raw', 'ordinality');
$$;

COMMENT ON FUNCTION cxm.record_json(jsonb) IS
'A typed record, given as to_jsonb() of its row, as the bulk form of its ingest function takes it.';

CREATE FUNCTION cxm.refused_records(records anyarray, problems cxm.problem[]) RETURNS jsonb[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- only what is refused has to be written down
    IF NOT EXISTS (SELECT FROM unnest(problems) AS p WHERE p.reason IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT array_agg(CASE WHEN p.reason IS NOT NULL THEN coalesce(r.raw, cxm.record_json(to_jsonb(r))) END ORDER BY ordinality)
            FROM unnest(records) WITH ORDINALITY AS r
            JOIN unnest(problems) WITH ORDINALITY AS p(sqlstate, reason, hint, ordinality) USING (ordinality));
END
$$;

COMMENT ON FUNCTION cxm.refused_records(anyarray, cxm.problem[]) IS
'Typed records that have a problem, as JSON: as they came, or else as the bulk form of their ingest function takes them. In step with the problems, NULL where there is none; NULL for all when none has one.';

CREATE FUNCTION cxm.reject_records(source_id integer, kind text, message_ids text[], records jsonb[], problems cxm.problem[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rejected bigint;
BEGIN
    INSERT INTO cx.rejection (kind, source_id, message_id, record, reason, sqlstate, hint)
    -- a message_id that is refused for its length would not fit the index either; the record has it
    SELECT reject_records.kind, reject_records.source_id, CASE WHEN octet_length(r.message_id) <= 1024 THEN r.message_id END, r.record, r.reason, r.sqlstate, r.hint
    FROM ROWS FROM (unnest(message_ids), unnest(records), unnest(problems)) AS r(message_id, record, sqlstate, reason, hint)
    WHERE r.reason IS NOT NULL AND r.sqlstate <> '00000';
    GET DIAGNOSTICS v_rejected = ROW_COUNT;
    RETURN v_rejected;
END
$$;

COMMENT ON FUNCTION cxm.reject_records(integer, text, text[], jsonb[], cxm.problem[]) IS
'Writes those of the given records that have a problem into cx.rejection; returns how many. The arrays go in step.';

CREATE FUNCTION cxm.supersede_rejections(source_id integer, kind text, message_ids text[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- in order, so that two senders of the same messages cannot deadlock
    WITH sent AS MATERIALIZED (
        SELECT r.rejection_id
        FROM cx.rejection AS r
        WHERE r.source_id = supersede_rejections.source_id AND r.kind = supersede_rejections.kind
          AND r.message_id = ANY (message_ids) AND r.state = 'open'
        ORDER BY r.rejection_id
        FOR NO KEY UPDATE
    )
    UPDATE cx.rejection AS r
    SET state = 'superseded', closed_at = now()
    FROM sent AS s
    WHERE r.rejection_id = s.rejection_id;
END
$$;

COMMENT ON FUNCTION cxm.supersede_rejections(integer, text, text[]) IS
'Closes the open rejections of messages that their source has sent again or taken back.';

CREATE FUNCTION cxm.catalog_ids(catalog text, keys text[]) RETURNS integer[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_look_up constant text :=
        'SELECT array_agg(c.%2$I ORDER BY k.ordinality), coalesce(bool_or(c.key IS NULL AND k.key <> ''''), false)
         FROM unnest($1) WITH ORDINALITY AS k(key, ordinality) LEFT JOIN cx.%1$I AS c ON c.key = k.key COLLATE "C"';
    v_ids integer[];
    v_is_new boolean;
BEGIN
    IF coalesce(array_remove(array_remove(keys, NULL), '') = '{}', true) THEN
        RETURN '{}';
    END IF;

    EXECUTE format(v_look_up, catalog, catalog || '_id') INTO v_ids, v_is_new USING keys;
    IF v_is_new THEN
        EXECUTE format('INSERT INTO cx.%1$I (key) SELECT DISTINCT k.key COLLATE "C" FROM unnest($1) AS k(key)
                        WHERE k.key <> '''' AND NOT EXISTS (SELECT FROM cx.%1$I AS c WHERE c.key = k.key COLLATE "C")
                        ORDER BY 1 ON CONFLICT (key) DO NOTHING', catalog) USING keys;
        EXECUTE format(v_look_up, catalog, catalog || '_id') INTO v_ids, v_is_new USING keys;
    END IF;
    RETURN v_ids;
END
$$;

COMMENT ON FUNCTION cxm.catalog_ids(text, text[]) IS
'Codes of the given keys in a catalogue (touchpoint, location, employee, product or event_type), in step; keys that are new are added. NULL for a NULL or empty key; an empty array when there is no key at all.';

CREATE FUNCTION cxm.claim_messages(source_id integer, kind text, message_ids text[], record_ids bigint[], times timestamptz[],
                                   OUT record_id bigint, OUT is_new boolean, OUT stored_at timestamptz) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- of a message_id that comes twice in the batch the first is taken
    INSERT INTO cx.message (source_id, kind, message_id, record_id, occurred_at)
    SELECT DISTINCT ON (m.message_id COLLATE "C") claim_messages.source_id, claim_messages.kind, m.message_id, m.record_id, m.at
    FROM unnest(message_ids, record_ids, times) WITH ORDINALITY AS m(message_id, record_id, at, ordinality)
    WHERE m.message_id IS NOT NULL AND m.record_id IS NOT NULL
    ORDER BY m.message_id COLLATE "C", m.ordinality
    ON CONFLICT (source_id, kind, message_id) DO NOTHING;

    -- a second statement: it sees what a concurrent sender of the same message committed meanwhile
    RETURN QUERY
    SELECT CASE WHEN c.record_id IS NOT NULL THEN coalesce(m.record_id, c.record_id) END,
           coalesce(m.record_id = c.record_id, true), m.occurred_at
    FROM unnest(message_ids, record_ids) WITH ORDINALITY AS c(message_id, record_id, ordinality)
    -- LIMIT keeps this a look-up by the whole key, whatever the planner thinks of a source that is growing
    LEFT JOIN LATERAL (SELECT k.record_id, k.occurred_at FROM cx.message AS k
                       WHERE k.source_id = claim_messages.source_id AND k.kind = claim_messages.kind AND k.message_id = c.message_id COLLATE "C"
                         AND c.record_id IS NOT NULL
                       LIMIT 1) AS m ON true
    ORDER BY c.ordinality;
END
$$;

COMMENT ON FUNCTION cxm.claim_messages(integer, text, text[], bigint[], timestamptz[]) IS
'Claims messages for the records that are about to be written. A row each, in step: record_id is the record that has the message; is_new whether it is the given one; stored_at its time. A NULL record_id in leaves the message alone; a NULL message_id is always new.';

CREATE FUNCTION cxm.take_records(source_id integer, kind text, upsert boolean, problems cxm.problem[], records jsonb[],
                                 message_ids text[], times timestamptz[], identifiers jsonb[],
                                 touchpoints text[] DEFAULT NULL, locations text[] DEFAULT NULL, products text[] DEFAULT NULL,
                                 employees text[] DEFAULT NULL, verified boolean[] DEFAULT NULL) RETURNS cxm.taken_record[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table constant text := CASE kind WHEN 'traits' THEN 'trait' ELSE kind END;
    v_sequence constant regclass := pg_get_serial_sequence('cx.' || v_table, v_table || '_id');
    v_is_bad boolean;
    v_bad text[];
    v_good text[];
    v_ids bigint[];
    v_new boolean[];
    v_stored timestamptz[];
    v_identifiers bigint[];
    v_touchpoints integer[];
    v_locations integer[];
    v_products integer[];
    v_employees integer[];
    v_stale bigint[];         -- links that records stated before and do not any more
BEGIN
    SELECT coalesce(bool_or(r.reason IS NOT NULL), false),
           array_agg(r.message_id) FILTER (WHERE r.reason IS NOT NULL AND r.message_id IS NOT NULL),
           array_agg(r.message_id) FILTER (WHERE r.reason IS NULL AND r.message_id IS NOT NULL)
    INTO v_is_bad, v_bad, v_good
    FROM ROWS FROM (unnest(message_ids), unnest(problems)) AS r(message_id, sqlstate, reason, hint);

    IF v_is_bad THEN
        -- what the source no longer says must not stay; links go with those that come, for the order of locks
        IF upsert AND v_bad IS NOT NULL THEN
            PERFORM cxm.remove_messages(source_id, kind, v_bad);
        END IF;
        PERFORM cxm.reject_records(source_id, kind, message_ids, records, problems);
    END IF;
    IF v_good IS NOT NULL THEN
        PERFORM cxm.supersede_rejections(source_id, kind, v_good);
    END IF;

    SELECT array_agg(CASE WHEN p.reason IS NULL THEN nextval(v_sequence) END ORDER BY t.ordinality) INTO v_ids
    FROM unnest(times) WITH ORDINALITY AS t(at, ordinality)
    LEFT JOIN unnest(problems) WITH ORDINALITY AS p(sqlstate, reason, hint, ordinality) USING (ordinality);

    IF v_good IS NULL THEN
        v_new := array_fill(true, ARRAY[coalesce(cardinality(v_ids), 0)]);
    ELSE
        SELECT array_agg(c.record_id), array_agg(c.is_new), array_agg(c.stored_at) INTO v_ids, v_new, v_stored
        FROM cxm.claim_messages(source_id, kind, message_ids, v_ids, times) AS c;
    END IF;

    -- of a message that comes more than once in the batch the last is what it says now: the others name no place
    IF upsert AND false = ANY (v_new) THEN
        SELECT array_agg(CASE WHEN t.is_last THEN t.stored_at END ORDER BY t.ordinality) INTO v_stored
        FROM (SELECT u.stored_at, u.ordinality, row_number() OVER (PARTITION BY u.id ORDER BY u.ordinality DESC) = 1 AS is_last
              FROM unnest(v_ids, v_stored) WITH ORDINALITY AS u(id, stored_at, ordinality)) AS t;
    END IF;

    -- where an update of the source moves a record in time, its message goes on naming the partition
    IF upsert THEN
        UPDATE cx.message AS m
        SET occurred_at = t.at
        FROM unnest(message_ids, times, v_ids, v_stored) AS t(message_id, at, id, stored_at)
        WHERE m.source_id = take_records.source_id AND m.kind = take_records.kind AND m.message_id = t.message_id COLLATE "C"
          AND t.id IS NOT NULL AND t.stored_at <> t.at;
    END IF;

    -- a record that is there already brings nothing new, unless it is sent to be changed
    IF array_position(v_ids, NULL) IS NOT NULL OR (NOT upsert AND false = ANY (v_new)) THEN
        SELECT array_agg(CASE WHEN t.is_taken THEN t.object END ORDER BY t.ordinality),
               array_agg(CASE WHEN t.is_taken THEN t.touchpoint END ORDER BY t.ordinality),
               array_agg(CASE WHEN t.is_taken THEN t.location END ORDER BY t.ordinality),
               array_agg(CASE WHEN t.is_taken THEN t.product END ORDER BY t.ordinality),
               array_agg(CASE WHEN t.is_taken THEN t.employee END ORDER BY t.ordinality)
        INTO identifiers, touchpoints, locations, products, employees
        FROM (SELECT u.*, u.id IS NOT NULL AND (u.is_new OR upsert) AS is_taken
              FROM unnest(v_ids, v_new, identifiers, touchpoints, locations, products, employees)
                   WITH ORDINALITY AS u(id, is_new, object, touchpoint, location, product, employee, ordinality)) AS t;
    END IF;

    v_touchpoints := cxm.catalog_ids('touchpoint', touchpoints);
    v_locations := cxm.catalog_ids('location', locations);
    v_products := cxm.catalog_ids('product', products);
    v_employees := cxm.catalog_ids('employee', employees);
    IF kind = 'traits' AND upsert THEN
        v_stale := cxm.stale_links(source_id, message_ids, identifiers);
    END IF;
    v_identifiers := cxm.resolve_identifiers(source_id, identifiers, times, CASE kind WHEN 'traits' THEN message_ids END, verified,
                                             v_stale, 'the source changed the record');
    -- not where the transaction began before this statement, and so may go on after it
    IF kind IN ('event', 'feedback', 'purchase') AND transaction_timestamp() >= statement_timestamp() THEN
        PERFORM cxm.ensure_partitions(v_table, ARRAY(SELECT t.at FROM unnest(times, v_ids) AS t(at, id) WHERE t.id IS NOT NULL));
    END IF;

    RETURN ARRAY(SELECT (t.id, t.is_new, t.stored_at, t.identifier_id, t.touchpoint_id, t.location_id, t.product_id, t.employee_id)::cxm.taken_record
                 FROM unnest(v_ids, v_new, v_stored, v_identifiers, v_touchpoints, v_locations, v_products, v_employees)
                      WITH ORDINALITY AS t(id, is_new, stored_at, identifier_id, touchpoint_id, location_id, product_id, employee_id, ordinality)
                 ORDER BY t.ordinality);
END
$$;

COMMENT ON FUNCTION cxm.take_records(integer, text, boolean, cxm.problem[], jsonb[], text[], timestamptz[], jsonb[], text[], text[], text[], text[], boolean[]) IS
'The steps that records of every kind take before they are written: refusals, an id, the claim of the message, identifiers, catalogue codes, partitions. The arrays go in step, and so does the answer. upsert: a record that is stored already is looked up as well, to be changed, and removed when it is now refused.';

CREATE FUNCTION cxm.ingest_counts(problems cxm.problem[], taken cxm.taken_record[], upsert boolean) RETURNS cxm.ingest_result
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
    SELECT (count(*) FILTER (WHERE t.record_id IS NOT NULL AND t.is_new),
            count(*) FILTER (WHERE t.record_id IS NOT NULL AND NOT t.is_new AND upsert),
            count(*) FILTER (WHERE t.record_id IS NOT NULL AND NOT t.is_new AND NOT upsert),
            count(*) FILTER (WHERE p.reason IS NOT NULL AND p.sqlstate <> '00000'),
            count(*) FILTER (WHERE p.sqlstate = '00000'),
            array_agg(t.record_id ORDER BY t.ordinality), NULL)::cxm.ingest_result
    FROM unnest(taken) WITH ORDINALITY AS t
    LEFT JOIN unnest(problems) WITH ORDINALITY AS p(sqlstate, reason, hint, ordinality) USING (ordinality));
END
$$;

COMMENT ON FUNCTION cxm.ingest_counts(cxm.problem[], cxm.taken_record[], boolean) IS 'The counts of a batch from what became of its records.';

CREATE FUNCTION cxm.ingest_limits(OUT latest timestamptz, OUT namespaces text[], OUT time_zone text) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT now() + s.max_future, s.time_zone INTO latest, time_zone FROM cx.store AS s;
    namespaces := ARRAY(SELECT n.namespace::text FROM cx.namespace AS n ORDER BY n.rank);
END
$$;

COMMENT ON FUNCTION cxm.ingest_limits() IS 'What a record is checked against: the latest time that is taken, the namespaces that exist (strongest first), and the zone of times without one.';

---- records as JSON

CREATE FUNCTION cxm.json_problem(record jsonb, fields text[], numeric_fields text[], time_zone text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_field text;
BEGIN
    IF record IS NULL OR jsonb_typeof(record) <> 'object' THEN
        RETURN format('a record must be an object, not %s', coalesce(left(record::text, 100), 'NULL'));
    END IF;

    SELECT k INTO v_field FROM jsonb_object_keys(record) AS k WHERE k <> ALL (fields) LIMIT 1;
    IF v_field IS NOT NULL THEN
        RETURN format('unknown field "%s"; known are %s', left(v_field, 100), array_to_string(fields, ', '));
    END IF;

    SELECT e.key INTO v_field FROM jsonb_each(record) AS e
    WHERE e.key NOT IN ('identifiers', 'properties', 'traits') AND jsonb_typeof(e.value) IN ('object', 'array') LIMIT 1;
    IF v_field IS NOT NULL THEN
        RETURN format('%s must be a single value, not %s', v_field, left((record -> v_field)::text, 100));
    END IF;

    IF record ->> 'at' IS NOT NULL AND cxm.try_timestamptz(record ->> 'at', time_zone) IS NULL THEN
        RETURN format('at "%s" is not a time', left(record ->> 'at', 100));
    END IF;

    FOREACH v_field IN ARRAY numeric_fields LOOP
        IF record ->> v_field IS NOT NULL AND cxm.try_numeric(record ->> v_field) IS NULL THEN
            RETURN format('%s "%s" is not a number', v_field, left(record ->> v_field, 100));
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.json_problem(jsonb, text[], text[], text) IS
'What keeps a JSON record from being read, or NULL when nothing does: not an object, an unknown field, an object or array where one value belongs, a time or number that is none.';

CREATE FUNCTION cxm.json_records(records jsonb) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(records) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'a batch must be a JSON array of records, not %', coalesce(jsonb_typeof(records), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give [{...}, {...}].';
    END IF;
    -- now is when the record came, also for one that is refused today and taken another day
    RETURN QUERY
    SELECT CASE WHEN jsonb_typeof(a.value) = 'object' AND a.value ->> 'at' IS NULL THEN a.value || jsonb_build_object('at', now()) ELSE a.value END
    FROM jsonb_array_elements(records) AS a;
END
$$;

COMMENT ON FUNCTION cxm.json_records(jsonb) IS 'The records of a JSON batch, in order; one without a time gets the present. Error when the batch is not an array.';

CREATE FUNCTION cxm.remove_messages(source_id integer, kind text, message_ids text[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table constant text := CASE kind WHEN 'traits' THEN 'trait' ELSE kind END;
    v_ids bigint[];
    v_times timestamptz[];
BEGIN
    WITH gone AS (
        DELETE FROM cx.message AS m
        WHERE m.source_id = remove_messages.source_id AND m.kind = remove_messages.kind
          AND m.message_id = ANY (message_ids)
        RETURNING m.record_id, m.occurred_at
    )
    SELECT array_agg(g.record_id), array_agg(g.occurred_at) INTO v_ids, v_times FROM gone AS g;

    IF v_ids IS NOT NULL THEN
        EXECUTE format('DELETE FROM cx.%1$I AS r USING unnest($1, $2) AS g(id, at) WHERE r.%2$I = g.id%3$s', v_table, v_table || '_id',
                       CASE kind WHEN 'traits' THEN '' ELSE ' AND r.occurred_at = g.at' END)
        USING v_ids, v_times;
    END IF;

    PERFORM cxm.supersede_rejections(source_id, kind, message_ids);
    RETURN coalesce(cardinality(v_ids), 0);
END
$$;

COMMENT ON FUNCTION cxm.remove_messages(integer, text, text[]) IS
'Takes records back by their message_ids, all but the links that they state: cxm.remove_records() without the last step. Returns the number of records removed.';

CREATE FUNCTION cxm.remove_records(source_id integer, kind text, message_ids text[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_removed bigint := cxm.remove_messages(source_id, kind, message_ids);
BEGIN
    IF kind = 'traits' THEN
        PERFORM cxm.retire_stale_links(source_id, message_ids, NULL, 'the source took the record back');
    END IF;
    RETURN v_removed;
END
$$;

COMMENT ON FUNCTION cxm.remove_records(integer, text, text[]) IS
'Takes records back by their message_ids, as when the row of an attached table is deleted: the record goes, its message may come again, links that it alone stated are retired, and its open rejections are closed. Returns the number of records removed.';
