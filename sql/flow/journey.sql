-- Journeys in the store: base + delta. Triggers, codes of steps, reading, folding, checking, building anew.

---- codes

CREATE FUNCTION cxm.journey_code(kind text, event_type_id integer DEFAULT NULL, metric text DEFAULT NULL, touchpoint_id integer DEFAULT NULL) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_journey_code'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION cxm.journey_code(text, integer, text, integer) IS
'The code of a step in journeys: of an event (with its event_type_id), a purchase, or feedback (with its metric), at a touchpoint or none (NULL). A step that has none is given one, without waiting for other transactions that do the same. What does not belong to the kind is ignored. Error 22023 when kind, event_type_id or metric is missing or unknown.';

CREATE FUNCTION cxm.journey_step_name(kind text, event_type text, metric text, touchpoint text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE kind
               WHEN 'event' THEN CASE WHEN event_type IN ('purchase', 'feedback') OR event_type ~ '^(event|feedback):' THEN 'event:' ELSE '' END || coalesce(event_type, '?')
               WHEN 'feedback' THEN 'feedback:' || metric
               ELSE kind
           END || coalesce('@' || touchpoint, '');
$$;

COMMENT ON FUNCTION cxm.journey_step_name(text, text, text, text) IS
'Name of a step, as cxm.journey_codes() takes it, from the keys of its parts: an event type, purchase or feedback:METRIC, with @TOUCHPOINT when there is one. An event type that is called like one of the others has event: before it; "?" stands for one without a key.';

CREATE FUNCTION cxm.journey_step(code integer) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT cxm.journey_step_name(e.kind, y.key, e.metric, t.key)
            FROM cx.journey_code_entry AS e
            LEFT JOIN cx.event_type AS y ON y.event_type_id = e.event_type_id
            LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = e.touchpoint_id
            WHERE e.code = journey_step.code
            LIMIT 1);
END
$$;

COMMENT ON FUNCTION cxm.journey_step(integer) IS
'Full name of the step that a code in journeys stands for, such as view@shop, purchase or feedback:nps@checkout; NULL when no step has that code.';

CREATE FUNCTION cxm.step_is_known(name text) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN step_is_known.name <> '' AND EXISTS (
        SELECT
        FROM (
            SELECT y.key FROM cx.event_type AS y
            UNION ALL
            SELECT 'event:' || y.key FROM cx.event_type AS y
            UNION ALL
            SELECT 'feedback:' || m.metric FROM cx.metric AS m
            UNION ALL
            VALUES ('purchase'), ('feedback'), ('')
        ) AS n(name)
        WHERE step_is_known.name = n.name
           OR starts_with(step_is_known.name, n.name || '@')
              AND EXISTS (SELECT FROM cx.touchpoint AS t WHERE t.key = substr(step_is_known.name, length(n.name) + 2)));
END
$$;

COMMENT ON FUNCTION cxm.step_is_known(text) IS
'Whether this is the name of one step, as cxm.journey_codes() has them, which need not have happened.';

CREATE FUNCTION cxm.split_step(step text) RETURNS text[]
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- a key of the outside world may have a | in it, or a blank at its end
    IF step = '' OR cxm.step_is_known(step) THEN
        RETURN ARRAY[step];
    END IF;
    RETURN ARRAY(SELECT btrim(p.name) FROM string_to_table(step, '|') WITH ORDINALITY AS p(name, n) ORDER BY p.n);
END
$$;

COMMENT ON FUNCTION cxm.split_step(text) IS
'The names of a step: those between |, without blanks around them; or the one name that it is as a whole.';

CREATE FUNCTION cxm.codes_seen(step text) RETURNS integer[]
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_names text[] := cxm.split_step(step);
BEGIN
    RETURN ARRAY(SELECT DISTINCT e.code
                 FROM cx.journey_code_entry AS e
                 LEFT JOIN cx.event_type AS y ON y.event_type_id = e.event_type_id
                 LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = e.touchpoint_id
                 CROSS JOIN LATERAL (VALUES (CASE e.kind WHEN 'event' THEN y.key ELSE e.kind END),
                                            (CASE e.kind WHEN 'event' THEN 'event:' || y.key WHEN 'feedback' THEN 'feedback:' || e.metric END),
                                            ('')) AS n(name)
                 JOIN unnest(v_names) AS p(name) ON p.name <> '' AND p.name IN (n.name, n.name || '@' || t.key)
                 ORDER BY e.code);
END
$$;

COMMENT ON FUNCTION cxm.codes_seen(text) IS
'The codes in journeys that a step stands for, as cxm.journey_codes() has them; {} also for a name that is not known.';

CREATE FUNCTION cxm.journey_codes(step text) RETURNS integer[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
BEGIN
    -- what is known but has not happened has no code
    FOREACH v_name IN ARRAY coalesce(cxm.split_step(step), ARRAY[NULL::text]) LOOP
        IF NOT coalesce(cxm.step_is_known(v_name) OR cxm.codes_seen(v_name) <> '{}', false) THEN
            RAISE undefined_object USING
                MESSAGE = format('no step of journeys is called %s', coalesce('"' || left(v_name, 100) || '"', 'NULL')),
                HINT = 'A step is an event type (a key of cx.event_type), purchase, feedback or feedback:METRIC, each with or without @TOUCHPOINT (a key of cx.touchpoint), or @TOUCHPOINT alone, or several with | between them. cx.journey_code has those that have happened.';
        END IF;
    END LOOP;
    RETURN cxm.codes_seen(step);
END
$$;

COMMENT ON FUNCTION cxm.journey_codes(text) IS
'The codes in journeys that a step stands for, ascending: KEY of an event type (event:KEY leaves out purchases and feedback when the event type is called like them), purchase, feedback, feedback:METRIC; at any touchpoint, or with @TOUCHPOINT at that one; @TOUCHPOINT alone is anything there; several with | between them are any of these, but what is a name as a whole is that name. {} for what is known and has not happened yet. Error 42704 for an unknown name and NULL.';

CREATE FUNCTION cxm.step_codes(step text) RETURNS integer[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN step IS NOT NULL THEN cxm.journey_codes(step) END;
END
$$;

COMMENT ON FUNCTION cxm.step_codes(text) IS 'cxm.journey_codes(), but NULL, which means any code, for NULL.';

---- triggers

CREATE FUNCTION cxm.journey_delta() RETURNS trigger
AS 'MODULE_PATHNAME', 'cxm_journey_delta'
LANGUAGE C;

COMMENT ON FUNCTION cxm.journey_delta() IS
'Trigger on cx.event, cx.purchase, cx.feedback and their partitions, with the kind of record as its argument: writes what comes and goes to cx.journey_delta. Records without identifier are in no journey. What an UPDATE leaves as it was is not written.';

CREATE FUNCTION cxm.add_journey_triggers(record_table regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- the parent is an ancestor of itself, once it is partitioned
    v_kind text := (SELECT k.kind FROM unnest(ARRAY['event', 'purchase', 'feedback']) AS k(kind)
                    JOIN pg_partition_ancestors(record_table) AS a ON a.relid = to_regclass('cx.' || k.kind));
BEGIN
    IF v_kind IS NULL THEN
        RAISE wrong_object_type USING
            MESSAGE = format('"%s" is not cx.event, cx.purchase, cx.feedback or a partition of one', record_table);
    END IF;

    EXECUTE format('CREATE OR REPLACE TRIGGER journey_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_record '
                   'FOR EACH STATEMENT EXECUTE FUNCTION cxm.journey_delta(%L)', record_table, v_kind);
    EXECUTE format('CREATE OR REPLACE TRIGGER journey_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_record NEW TABLE AS new_record '
                   'FOR EACH STATEMENT EXECUTE FUNCTION cxm.journey_delta(%L)', record_table, v_kind);
    EXECUTE format('CREATE OR REPLACE TRIGGER journey_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_record '
                   'FOR EACH STATEMENT EXECUTE FUNCTION cxm.journey_delta(%L)', record_table, v_kind);
    -- TRUNCATE fires those of every partition, and each looks after its own rows
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = record_table) = 'r' THEN
        EXECUTE format('CREATE OR REPLACE TRIGGER journey_truncate BEFORE TRUNCATE ON %s '
                       'FOR EACH STATEMENT EXECUTE FUNCTION cxm.journey_delta(%L)', record_table, v_kind);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.add_journey_triggers(regclass) IS
'Gives cx.event, cx.purchase, cx.feedback or a partition of one the triggers that keep journeys. Partitions that cxm makes have them; those that you attach yourself are given them by cxm.fold_journeys(). Error 42809: not such a table.';

CREATE FUNCTION cxm.journey_tables(OUT source regclass, OUT relation regclass, OUT is_member boolean, OUT is_triggered boolean) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH member AS (
        SELECT k.source, p.relid, CASE WHEN p.isleaf THEN 4 ELSE 3 END AS triggers
        FROM unnest(ARRAY[to_regclass('cx.event'), to_regclass('cx.feedback'), to_regclass('cx.purchase')]) AS k(source) CROSS JOIN pg_partition_tree(k.source) AS p
    ), triggered AS (
        SELECT t.tgrelid, count(*) AS triggers FROM pg_trigger AS t WHERE t.tgfoid = 'cxm.journey_delta()'::regprocedure GROUP BY t.tgrelid
    )
    SELECT m.source, coalesce(m.relid, t.tgrelid)::regclass, m.relid IS NOT NULL, coalesce(t.triggers = coalesce(m.triggers, t.triggers), false)
    FROM member AS m
    FULL JOIN triggered AS t ON t.tgrelid = m.relid
$$;

COMMENT ON FUNCTION cxm.journey_tables() IS
'The tables of records and their partitions (is_member), and tables that are none of these and carry triggers of journeys, as partitions do that were detached; is_triggered: it has all triggers of journeys.';

CREATE FUNCTION cxm.know_journey_partitions() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.know_partitions(0, t.source, array_agg(t.relation ORDER BY t.relation::oid))
    FROM cxm.journey_tables() AS t
    WHERE t.is_member AND t.is_triggered
    GROUP BY t.source;
END
$$;

COMMENT ON FUNCTION cxm.know_journey_partitions() IS 'Notes that journeys count the partitions that carry their triggers.';

---- reading

-- To be inlined, so that plans go parallel and a profile is found by indexes: no search_path is set here, and every name
-- and operator is qualified.
CREATE FUNCTION cxm.journeys(during tstzrange DEFAULT NULL, profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (profile_id bigint, journey cxm.journey)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
AS $$
    SELECT s.profile_id, s.journey
    FROM (
        SELECT w.profile_id, CASE WHEN during IS NULL THEN w.journey ELSE cxm.slice(w.journey, during) END AS journey
        FROM (
            -- everybody
            SELECT p.canonical_id AS profile_id, CASE WHEN pg_catalog.bool_or(j.is_less) THEN cxm.rollup(j.came) OPERATOR(cxm.-) cxm.rollup(j.went) ELSE cxm.rollup(j.came) END AS journey
            FROM (
                SELECT b.identifier_id, b.journey AS came, NULL::cxm.journey AS went, false AS is_less
                FROM cx.journey AS b
                UNION ALL
                SELECT d.identifier_id,
                       cxm.journey_agg(d.at, d.code) FILTER (WHERE d.weight OPERATOR(pg_catalog.>) 0),
                       cxm.journey_agg(d.at, d.code) FILTER (WHERE d.weight OPERATOR(pg_catalog.<) 0),
                       pg_catalog.bool_or(d.weight OPERATOR(pg_catalog.<) 0)
                FROM cx.journey_delta AS d
                GROUP BY d.identifier_id
            ) AS j
            JOIN cx.identifier AS i ON i.identifier_id OPERATOR(pg_catalog.=) j.identifier_id
            JOIN cx.profile AS p ON p.profile_id OPERATOR(pg_catalog.=) i.profile_id
            WHERE profile_ids IS NULL
            GROUP BY p.canonical_id
            UNION ALL
            -- those asked for
            SELECT who.canonical_id, CASE WHEN pg_catalog.bool_or(j.is_less) THEN cxm.rollup(j.came) OPERATOR(cxm.-) cxm.rollup(j.went) ELSE cxm.rollup(j.came) END
            FROM (
                SELECT DISTINCT p.canonical_id
                FROM cx.profile AS p
                WHERE p.profile_id OPERATOR(pg_catalog.=) ANY (profile_ids)
            ) AS who
            CROSS JOIN LATERAL (
                SELECT who.canonical_id AS profile_id
                UNION ALL
                SELECT o.profile_id
                FROM cx.profile AS o
                WHERE o.canonical_id OPERATOR(pg_catalog.=) who.canonical_id AND o.canonical_id OPERATOR(pg_catalog.<>) o.profile_id
            ) AS member
            JOIN cx.identifier AS i ON i.profile_id OPERATOR(pg_catalog.=) member.profile_id
            CROSS JOIN LATERAL (
                SELECT b.journey AS came, NULL::cxm.journey AS went, false AS is_less
                FROM cx.journey AS b
                WHERE b.identifier_id OPERATOR(pg_catalog.=) i.identifier_id
                UNION ALL
                SELECT cxm.journey_agg(d.at, d.code) FILTER (WHERE d.weight OPERATOR(pg_catalog.>) 0),
                       cxm.journey_agg(d.at, d.code) FILTER (WHERE d.weight OPERATOR(pg_catalog.<) 0),
                       pg_catalog.bool_or(d.weight OPERATOR(pg_catalog.<) 0)
                FROM cx.journey_delta AS d
                WHERE d.identifier_id OPERATOR(pg_catalog.=) i.identifier_id
            ) AS j
            WHERE profile_ids IS NOT NULL
            GROUP BY who.canonical_id
        ) AS w
        OFFSET 0
    ) AS s
    WHERE cxm.check_journeys() AND cxm.count(s.journey) OPERATOR(pg_catalog.>) 0
$$;

COMMENT ON FUNCTION cxm.journeys(tstzrange, bigint[]) IS
'The journeys of customers as of the caller''s snapshot: a row for each profile that stands today and has records (events, purchases, feedback; during, when given), with what all its identifiers did. Codes are those of cx.journey_code. profile_ids: only those profiles, by any id that they ever had; NULL = all. Exact and fresh: what is committed is in it, folded or not, and what was corrected or deleted is not. Error 22023 when something went that had never come, which is so when triggers were off while records were written: the next run of cxm.fold_journeys() mends that. Error 55000 when partitions with records came or went and that was not made up for.';

CREATE FUNCTION cxm.journey_of(profile_id bigint, during tstzrange DEFAULT NULL) RETURNS cxm.journey
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT j.journey FROM cxm.journeys(journey_of.during, ARRAY[journey_of.profile_id]) AS j);
END
$$;

COMMENT ON FUNCTION cxm.journey_of(bigint, tstzrange) IS
'The journey of one customer, by any profile_id that the customer ever had; NULL when there are no records, or none during the range.';

CREATE FUNCTION cxm.journey_steps(profile_id bigint, during tstzrange DEFAULT NULL, OUT at timestamptz, OUT step text) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT e.at, cxm.journey_step(e.code)
    FROM cxm.events(cxm.journey_of(journey_steps.profile_id, journey_steps.during)) AS e
    ORDER BY e.at, e.code;
END
$$;

COMMENT ON FUNCTION cxm.journey_steps(bigint, tstzrange) IS
'What one customer did, bought and said, oldest first, by the names of the steps (cxm.journey_step()). No row when there are no records.';

---- folding

-- one at a time, whoever folds or builds anew; writers and readers are not concerned
CREATE FUNCTION cxm.lock_journeys() RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('cxm.job fold_journeys', 0));
$$;

COMMENT ON FUNCTION cxm.lock_journeys() IS
'Waits until nobody else folds or rebuilds journeys, and keeps others from it till the end of the transaction.';

CREATE FUNCTION cxm.fold_journey_delta(after bigint, upto bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_journey_fold'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;

COMMENT ON FUNCTION cxm.fold_journey_delta(bigint, bigint) IS
'Puts the rows of cx.journey_delta at the identifiers above after up to upto into cx.journey and deletes them, in one snapshot; returns their number. For cxm.fold_journey_range(), which sees to it that only one session folds. A journey that is left without events is deleted. Error 22023 when something went that had never come, 42501 for who may not read and write both tables, or does not see all their rows.';

CREATE FUNCTION cxm.fold_journey_range(after bigint, upto bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rows bigint;
BEGIN
    PERFORM cxm.lock_journeys();
    -- a statement of its own, whose snapshot has what was folded while the lock was waited for
    SELECT cxm.fold_journey_delta(after, upto) INTO v_rows;
    RETURN v_rows;
EXCEPTION
    -- something went that had never come: one such identifier must not keep all others from being folded
    WHEN invalid_parameter_value THEN
        RAISE WARNING 'journeys of identifiers above % up to % are built anew: %', after, upto, SQLERRM
            USING HINT = 'Triggers were off while records were written, or tables of journeys were changed by hand.';
        SELECT count(*) INTO v_rows FROM cx.journey_delta AS d WHERE d.identifier_id > after AND d.identifier_id <= upto;
        PERFORM cxm.rebuild_journey_range(after, upto);
        RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.fold_journey_range(bigint, bigint) IS
'Folds what came and went at the identifiers above after up to upto into cx.journey, in the caller''s transaction; returns the number of rows of cx.journey_delta that are folded. Where something went that had never come, which is so when triggers were off, they are built anew, with a warning. Waits while others fold.';

CREATE FUNCTION cxm.journey_delta_bound(after bigint, max_rows integer) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT max(d.identifier_id)
            FROM (SELECT x.identifier_id FROM cx.journey_delta AS x WHERE x.identifier_id > after ORDER BY x.identifier_id LIMIT max_rows) AS d);
END
$$;

COMMENT ON FUNCTION cxm.journey_delta_bound(bigint, integer) IS
'The identifier up to which there are max_rows rows of cx.journey_delta above after (more, when the last identifier has more); NULL when there is none.';

CREATE FUNCTION cxm.forget_code_entries() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rows bigint;
BEGIN
    PERFORM cxm.lock_journeys();
    DELETE FROM cx.journey_code_entry AS e USING cx.journey_code_entry AS o WHERE o.code = e.code AND o.ctid < e.ctid;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.forget_code_entries() IS
'Deletes rows of cx.journey_code_entry whose code stands there once more; returns how many.';

CREATE FUNCTION cxm.check_batch(n integer, what text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (n > 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('a batch cannot have %s %s', coalesce(n::text, 'NULL'), what),
            HINT = format('Give max_%s of 1 or more.', what);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_batch(integer, text) IS 'Raises invalid_parameter_value when a batch would have no rows or whatever else it has.';

CREATE PROCEDURE cxm.fold_journeys(max_rows integer DEFAULT 200000)
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM cxm.check_batch(max_rows, 'rows');
    IF NOT cxm.check_journeys(must => false) THEN
        CALL cxm.rebuild_journeys();
    END IF;
    IF cxm.lock_job('fold_journeys') THEN
        PERFORM cxm.forget_code_entries();
    END IF;
    COMMIT;
    -- one way through the identifiers: what comes meanwhile behind is for the next run, so this one ends
    CALL cxm.run_range_job('fold_journeys', pg_catalog.format('cxm.journey_delta_bound($1, %s)', max_rows), 'cxm.fold_journey_range($1, $2)', '%s changes folded into journeys');
END
$$;

COMMENT ON PROCEDURE cxm.fold_journeys(integer) IS
'Folds what came and went since the last run (cx.journey_delta) into the journeys of identifiers (cx.journey), max_rows changes or more at a time, and commits after each batch. Readers see the same before, meanwhile and after; no writer waits. When partitions with records came or went, all journeys are built anew first (cxm.rebuild_journeys()). Run by the owner of the store, outside a transaction.';

---- checking and building anew

CREATE FUNCTION cxm.journey_check(OUT identifier_id bigint, OUT stored bigint, OUT recorded bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- base + what came = records + what went: so nothing has to be subtracted that may not be there
    RETURN QUERY
    WITH code AS (
        SELECT c.kind, c.event_type_id, c.metric, c.touchpoint_id IS NULL AS is_nowhere, coalesce(c.touchpoint_id, 0) AS place, min(c.code) AS code
        FROM cx.journey_code_entry AS c
        GROUP BY 1, 2, 3, 4, 5
    ), record AS (
        SELECT e.identifier_id, e.occurred_at, c.code
        FROM cx.event AS e
        LEFT JOIN code AS c ON c.kind = 'event' AND c.event_type_id = e.event_type_id
                           AND c.is_nowhere = (e.touchpoint_id IS NULL) AND c.place = coalesce(e.touchpoint_id, 0)
        WHERE e.identifier_id IS NOT NULL
        UNION ALL
        SELECT p.identifier_id, p.occurred_at, c.code
        FROM cx.purchase AS p
        LEFT JOIN code AS c ON c.kind = 'purchase' AND c.is_nowhere = (p.touchpoint_id IS NULL) AND c.place = coalesce(p.touchpoint_id, 0)
        WHERE p.identifier_id IS NOT NULL
        UNION ALL
        SELECT f.identifier_id, f.occurred_at, c.code
        FROM cx.feedback AS f
        LEFT JOIN code AS c ON c.kind = 'feedback' AND c.metric = f.metric
                           AND c.is_nowhere = (f.touchpoint_id IS NULL) AND c.place = coalesce(f.touchpoint_id, 0)
        WHERE f.identifier_id IS NOT NULL
    ), changed AS (
        SELECT d.identifier_id,
               cxm.journey_agg(d.at, d.code) FILTER (WHERE d.weight > 0) AS came,
               cxm.journey_agg(d.at, d.code) FILTER (WHERE d.weight < 0) AS went,
               sum(d.weight) AS n
        FROM cx.journey_delta AS d
        GROUP BY d.identifier_id
    ), kept AS (
        SELECT coalesce(b.identifier_id, d.identifier_id) AS identifier_id, b.journey, d.came, d.went,
               coalesce(cxm.count(b.journey), 0) + coalesce(d.n, 0) AS n
        FROM cx.journey AS b
        FULL JOIN changed AS d ON d.identifier_id = b.identifier_id
    ), built AS (
        -- a step without code, which no journey can hold, makes the journey unequal
        SELECT r.identifier_id, cxm.journey_agg(r.occurred_at, coalesce(r.code, 0)) AS journey, count(*) AS n
        FROM record AS r
        GROUP BY r.identifier_id
    )
    SELECT coalesce(k.identifier_id, b.identifier_id), coalesce(k.n, 0)::bigint, coalesce(b.n, 0)
    FROM kept AS k
    FULL JOIN built AS b ON b.identifier_id = k.identifier_id
    WHERE (coalesce(k.journey, '{}') OPERATOR(cxm.+) coalesce(k.came, '{}'))
          OPERATOR(cxm.<>) (coalesce(b.journey, '{}') OPERATOR(cxm.+) coalesce(k.went, '{}'));
END
$$;

COMMENT ON FUNCTION cxm.journey_check() IS
'Builds the journeys of all identifiers from cx.event, cx.purchase and cx.feedback and compares them with those that the store keeps (cx.journey and cx.journey_delta), in one snapshot, under writers. A row for each identifier whose journeys differ, with the number of steps stored and recorded; none when all is well. Reads every record. What makes a difference: a partition with rows that was attached, detached or dropped, and triggers that were off. CALL cxm.rebuild_journeys() mends it.';

CREATE FUNCTION cxm.rebuild_journey_range(after bigint, upto bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET work_mem = '64MB'
-- a table that was empty when it was last looked at would be read once a journey
SET enable_nestloop = off
AS $$
DECLARE
    v_rows bigint;
BEGIN
    PERFORM cxm.lock_journeys();

    -- one statement, one snapshot: what of a writer it does not see in the records it does not see in the delta either
    WITH gone AS (
        DELETE FROM cx.journey_delta AS d WHERE d.identifier_id > after AND d.identifier_id <= upto
    ), record AS (
        SELECT e.identifier_id, e.occurred_at, cxm.journey_code('event', e.event_type_id, NULL, e.touchpoint_id) AS code
        FROM cx.event AS e
        WHERE e.identifier_id > after AND e.identifier_id <= upto
        UNION ALL
        SELECT p.identifier_id, p.occurred_at, cxm.journey_code('purchase', NULL, NULL, p.touchpoint_id)
        FROM cx.purchase AS p
        WHERE p.identifier_id > after AND p.identifier_id <= upto
        UNION ALL
        SELECT f.identifier_id, f.occurred_at, cxm.journey_code('feedback', NULL, f.metric, f.touchpoint_id)
        FROM cx.feedback AS f
        WHERE f.identifier_id > after AND f.identifier_id <= upto
    ), built AS MATERIALIZED (
        SELECT r.identifier_id, cxm.journey_agg(r.occurred_at, r.code) AS journey
        FROM record AS r
        GROUP BY r.identifier_id
    ), removed AS (
        DELETE FROM cx.journey AS j
        WHERE j.identifier_id > after AND j.identifier_id <= upto
          AND NOT EXISTS (SELECT FROM built AS b WHERE b.identifier_id = j.identifier_id)
        RETURNING 1
    ), changed AS (
        UPDATE cx.journey AS j
        SET journey = b.journey
        FROM built AS b
        WHERE b.identifier_id = j.identifier_id AND j.identifier_id > after AND j.identifier_id <= upto
          AND j.journey OPERATOR(cxm.<>) b.journey
        RETURNING 1
    ), added AS (
        INSERT INTO cx.journey (identifier_id, journey)
        SELECT b.identifier_id, b.journey
        FROM built AS b
        WHERE NOT EXISTS (SELECT FROM cx.journey AS j
                          WHERE j.identifier_id = b.identifier_id AND j.identifier_id > after AND j.identifier_id <= upto)
        -- as folding reads and writes them: in any other order each one is a page of its own
        ORDER BY b.identifier_id
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM removed) + (SELECT count(*) FROM changed) + (SELECT count(*) FROM added) INTO v_rows;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.rebuild_journey_range(bigint, bigint) IS
'Builds the journeys of the identifiers above after up to upto from the records, in the caller''s transaction; returns the number of rows of cx.journey that were added, changed or removed. Waits while others fold.';

CREATE FUNCTION cxm.journey_identifier_bound(after bigint, max_identifiers integer) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- the last batch takes what leads nowhere in cx.identifier along
    RETURN coalesce((SELECT i.identifier_id FROM cx.identifier AS i WHERE i.identifier_id > after ORDER BY i.identifier_id OFFSET max_identifiers LIMIT 1),
                    9223372036854775807);
END
$$;

COMMENT ON FUNCTION cxm.journey_identifier_bound(bigint, integer) IS
'The identifier above after with max_identifiers others between them; the greatest bigint when there are fewer.';

CREATE FUNCTION cxm.begin_journeys() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table record;
    v_triggers text;
BEGIN
    IF cxm.check_journeys(must => false) AND NOT EXISTS (SELECT FROM cxm.journey_tables() AS t WHERE t.is_member <> t.is_triggered) THEN
        RETURN;
    END IF;
    FOR v_table IN SELECT t.relation, t.is_member FROM cxm.journey_tables() AS t WHERE t.is_member <> t.is_triggered ORDER BY t.relation LOOP
        PERFORM cxm.lock_rollup_source(v_table.relation);
        IF v_table.is_member THEN
            PERFORM cxm.add_journey_triggers(v_table.relation);
        ELSE
            SELECT string_agg(format('DROP TRIGGER %I ON %s', t.tgname, v_table.relation), '; ') INTO v_triggers
            FROM pg_trigger AS t
            WHERE t.tgrelid = v_table.relation AND t.tgfoid = 'cxm.journey_delta()'::regprocedure;
            EXECUTE v_triggers;
        END IF;
    END LOOP;
    PERFORM cxm.know_journey_partitions();
    -- a mark that no writer leaves: nobody reads till the end, and what a writer marks meanwhile stays
    PERFORM cxm.end_journeys();
    INSERT INTO cx.partition_set (rollup_id, source) VALUES (0, 'cx.journey');
END
$$;

COMMENT ON FUNCTION cxm.begin_journeys() IS
'When partitions of the tables of records came or went, has journeys count those that there are, and refuses journeys to readers until cxm.end_journeys().';

CREATE FUNCTION cxm.end_journeys() RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM cx.partition_set AS p WHERE p.rollup_id = 0 AND p.source = to_regclass('cx.journey');
$$;

COMMENT ON FUNCTION cxm.end_journeys() IS 'Notes that all journeys were built anew.';

CREATE FUNCTION cxm.rebuild_journeys_batch(after bigint, upto bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rows bigint;
BEGIN
    IF after = -9223372036854775808 THEN
        PERFORM cxm.begin_journeys();
    END IF;
    v_rows := cxm.rebuild_journey_range(after, upto);
    IF upto = 9223372036854775807 THEN
        PERFORM cxm.end_journeys();
    END IF;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.rebuild_journeys_batch(bigint, bigint) IS
'Builds the journeys of the identifiers above after up to upto, as one batch of cxm.rebuild_journeys(), which go from the smallest bigint to the greatest; returns the number of rows of cx.journey that this changed.';

CREATE PROCEDURE cxm.rebuild_journeys(max_identifiers integer DEFAULT 20000)
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM cxm.check_batch(max_identifiers, 'identifiers');
    CALL cxm.run_range_job('rebuild_journeys', pg_catalog.format('CASE WHEN $1 OPERATOR(pg_catalog.<) 9223372036854775807 THEN cxm.journey_identifier_bound($1, %s) END', max_identifiers),
                           'cxm.rebuild_journeys_batch($1, $2)', '%s journeys were not as recorded and are now');
END
$$;

COMMENT ON PROCEDURE cxm.rebuild_journeys(integer) IS
'Builds the journeys of all identifiers from their records, max_identifiers of them or more at a time, and commits after each batch: for what cxm.journey_check() reports, under writers. Journeys that are right are left alone. Partitions that came or went are taken in or out; until the end, journeys are then refused to readers. Run by the owner of the store, outside a transaction.';

CREATE FUNCTION cxm.restore_journeys() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_whole boolean := true;
BEGIN
    IF to_regclass('cx.journey_delta') IS NULL THEN
        PERFORM cxm.create_journey_tables();
        v_is_whole := false;
    ELSIF NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = 'cx.journey'::regclass AND a.attname = 'journey' AND NOT a.attisdropped) THEN
        -- DROP EXTENSION ... CASCADE took the column
        TRUNCATE cx.journey;
        ALTER TABLE cx.journey ADD COLUMN journey cxm.journey NOT NULL;
        COMMENT ON COLUMN cx.journey.journey IS 'Times and codes (cx.journey_code) of its records, in order.';
        v_is_whole := false;
    END IF;

    IF NOT cxm.check_journeys(must => false) OR EXISTS (SELECT FROM cxm.journey_tables() AS t WHERE t.is_member <> t.is_triggered) THEN
        PERFORM cxm.begin_journeys();
        v_is_whole := false;
    END IF;

    IF v_is_whole THEN
        RETURN 0;
    END IF;
    PERFORM cxm.end_journeys();
    RETURN cxm.rebuild_journey_range(-9223372036854775808, 9223372036854775807);
END
$$;

COMMENT ON FUNCTION cxm.restore_journeys() IS
'Makes what journeys need where a store lacks it: tables, triggers, and the journeys themselves, which are then built from all records; returns the number of rows of cx.journey that this changed. Called by cxm.upgrade_store(). While it builds, writers of records wait.';
