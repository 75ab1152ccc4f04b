-- What invites, sends, reminds and ends by itself: triggers, steps after a response, and the jobs.
--
-- A record that sets a trigger off is noted in the transaction that wrote it (cx.survey_candidate), by a statement trigger
-- that is only on tables which a survey trigger watches. A job that looked for what is new instead would cost
-- writers nothing, but could not know what is new: records carry the time at which their transaction began, which may be
-- long before it commits, and no transaction id.

---- triggers

CREATE FUNCTION cxm.survey_candidate() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_reason text;
    v_state text;
BEGIN
    -- whatever goes wrong here must not fail the writer
    IF NOT EXISTS (SELECT FROM cx.survey_trigger AS t WHERE t.enabled AND t.kind = TG_ARGV[0]) THEN
        RETURN NULL;
    END IF;

    CASE TG_ARGV[0]
        WHEN 'event' THEN
            INSERT INTO cx.survey_candidate (trigger_id, record_id, identifier_id, occurred_at, attributes)
            SELECT t.trigger_id, r.event_id, r.identifier_id, r.occurred_at,
                   CASE WHEN coalesce(r.touchpoint_id, r.location_id, r.product_id) IS NULL THEN t.attributes
                        ELSE t.attributes || cxm.record_attributes(r.touchpoint_id, r.location_id, r.product_id) END
            FROM new_record AS r
            JOIN cx.survey_trigger AS t ON t.enabled AND t.kind = 'event' AND (t.event_type_id IS NULL OR t.event_type_id = r.event_type_id)
                                       AND (t.touchpoint_id IS NULL OR t.touchpoint_id = r.touchpoint_id)
                                       AND (t.location_id IS NULL OR t.location_id = r.location_id)
                                       AND (t.product_id IS NULL OR t.product_id = r.product_id)
            WHERE r.identifier_id IS NOT NULL AND r.occurred_at > now() - t.max_age
            ORDER BY r.event_id, t.trigger_id;
        WHEN 'purchase' THEN
            INSERT INTO cx.survey_candidate (trigger_id, record_id, identifier_id, occurred_at, attributes)
            SELECT t.trigger_id, r.purchase_id, r.identifier_id, r.occurred_at,
                   CASE WHEN coalesce(r.touchpoint_id, r.location_id, r.product_id) IS NULL THEN t.attributes
                        ELSE t.attributes || cxm.record_attributes(r.touchpoint_id, r.location_id, r.product_id) END
            FROM new_record AS r
            JOIN cx.survey_trigger AS t ON t.enabled AND t.kind = 'purchase'
                                       AND (t.touchpoint_id IS NULL OR t.touchpoint_id = r.touchpoint_id)
                                       AND (t.location_id IS NULL OR t.location_id = r.location_id)
                                       AND (t.product_id IS NULL OR t.product_id = r.product_id)
            WHERE r.identifier_id IS NOT NULL AND r.occurred_at > now() - t.max_age
            ORDER BY r.purchase_id, t.trigger_id;
        WHEN 'feedback' THEN
            INSERT INTO cx.survey_candidate (trigger_id, record_id, identifier_id, occurred_at, attributes)
            SELECT t.trigger_id, r.feedback_id, r.identifier_id, r.occurred_at,
                   CASE WHEN coalesce(r.touchpoint_id, r.location_id, r.product_id) IS NULL THEN t.attributes
                        ELSE t.attributes || cxm.record_attributes(r.touchpoint_id, r.location_id, r.product_id) END
            FROM new_record AS r
            JOIN cx.survey_trigger AS t ON t.enabled AND t.kind = 'feedback'
                                       AND (t.touchpoint_id IS NULL OR t.touchpoint_id = r.touchpoint_id)
                                       AND (t.location_id IS NULL OR t.location_id = r.location_id)
                                       AND (t.product_id IS NULL OR t.product_id = r.product_id)
                                       AND (t.metric IS NULL OR t.metric = r.metric)
                                       AND (t.score_min IS NULL OR t.score_min <= r.score)
                                       AND (t.score_max IS NULL OR t.score_max >= r.score)
            WHERE r.identifier_id IS NOT NULL AND r.occurred_at > now() - t.max_age
            ORDER BY r.feedback_id, t.trigger_id;
    END CASE;
    RETURN NULL;
EXCEPTION
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_reason = MESSAGE_TEXT, v_state = RETURNED_SQLSTATE;
        RAISE WARNING 'survey triggers of cx.% could not be evaluated: %', TG_ARGV[0], v_reason
            USING ERRCODE = v_state, HINT = 'The records are stored. Writers need INSERT on cx.survey_candidate: see cxm.grant_store().';
        RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.survey_candidate() IS
'Trigger of cx.event, cx.purchase and cx.feedback (its argument says which): notes new records that set a survey trigger off. Never fails the writer; what goes wrong is a warning.';

CREATE FUNCTION cxm.record_attributes(touchpoint_id integer, location_id integer, product_id integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'touchpoint', (SELECT t.key FROM cx.touchpoint AS t WHERE t.touchpoint_id = record_attributes.touchpoint_id),
        'location', (SELECT l.key FROM cx.location AS l WHERE l.location_id = record_attributes.location_id),
        'product', (SELECT p.key FROM cx.product AS p WHERE p.product_id = record_attributes.product_id)));
END
$$;

COMMENT ON FUNCTION cxm.record_attributes(integer, integer, integer) IS
'Keys of the touchpoint, location and product of a record, as attributes of an invitation: {"touchpoint": ..., "location": ..., "product": ...} without those that it has not.';

CREATE FUNCTION cxm.watch_for_surveys(kind text) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN
        SELECT p.relid FROM pg_partition_tree(format('cx.%I', kind)::regclass) AS p
        WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = p.relid AND t.tgname = 'survey_candidate')
    LOOP
        EXECUTE format('CREATE TRIGGER survey_candidate AFTER INSERT ON %s REFERENCING NEW TABLE AS new_record FOR EACH STATEMENT EXECUTE FUNCTION cxm.survey_candidate(%L)',
                       v_table, kind);
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.watch_for_surveys(text) IS
'Has new rows of cx.event, cx.purchase or cx.feedback, and of each partition, set survey triggers off. Called by cxm.add_survey_trigger(), and for new partitions.';

CREATE FUNCTION cxm.add_survey_trigger(name text, survey_id integer, kind text, settings jsonb DEFAULT '{}') RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_known CONSTANT text[] := '{event,touchpoint,location,product,metric,score_min,score_max,purpose,channels,delay,max_age,sample_rate,audience_traits,audience_metric,audience_score_min,audience_score_max,attributes,language,expires_in,reminders,remind_every}';
    v_unknown text;
    v_trigger cx.survey_trigger;
    v_metric record;
    v_id integer;
BEGIN
    PERFORM cxm.store_version();
    IF coalesce(add_survey_trigger.name, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a survey trigger needs a name';
    ELSIF (add_survey_trigger.kind IN ('event', 'purchase', 'feedback')) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('survey trigger "%s" cannot go off after %s', add_survey_trigger.name, coalesce('"' || add_survey_trigger.kind || '"', 'NULL')),
            HINT = 'kind is event, purchase or feedback.';
    ELSIF jsonb_typeof(settings) IS DISTINCT FROM 'object' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('settings of survey trigger "%s" are not a JSON object', add_survey_trigger.name),
            HINT = 'Give what differs from the usual, such as {"delay": "3 days", "sample_rate": 0.2}.';
    END IF;
    SELECT string_agg(quote_ident(k), ', ' ORDER BY k) INTO v_unknown FROM jsonb_object_keys(settings) AS k WHERE k <> ALL (v_known);
    IF v_unknown IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('survey trigger "%s" has no setting %s', add_survey_trigger.name, v_unknown),
            HINT = format('Settings are %s.', array_to_string(v_known, ', '));
    END IF;

    -- what is not given is as the table has it
    v_trigger := jsonb_populate_record(NULL::cx.survey_trigger,
        '{"purpose": "survey", "channels": ["email"], "delay": "0", "max_age": "7 days", "sample_rate": 1, "audience_traits": {}, "attributes": {}, "expires_in": "30 days", "reminders": 0, "remind_every": "3 days"}'
        || jsonb_strip_nulls(settings));
    PERFORM cxm.check_invitation(add_survey_trigger.survey_id, v_trigger.channels, v_trigger.purpose, now(), v_trigger.expires_in, v_trigger.attributes,
                                 v_trigger.reminders, v_trigger.remind_every);
    v_trigger.event_type_id := (cxm.catalog_ids('event_type', ARRAY[settings ->> 'event']))[1];
    v_trigger.touchpoint_id := (cxm.catalog_ids('touchpoint', ARRAY[settings ->> 'touchpoint']))[1];
    v_trigger.location_id := (cxm.catalog_ids('location', ARRAY[settings ->> 'location']))[1];
    v_trigger.product_id := (cxm.catalog_ids('product', ARRAY[settings ->> 'product']))[1];
    FOR v_metric IN SELECT u.name FROM unnest(ARRAY[v_trigger.metric, v_trigger.audience_metric]) AS u(name)
                    WHERE u.name IS NOT NULL AND NOT EXISTS (SELECT FROM cx.metric AS m WHERE m.metric = u.name) LOOP
        RAISE undefined_object USING
            MESSAGE = format('metric "%s" does not exist', v_metric.name),
            DETAIL = format('The metrics are %s.', cxm.metric_names());
    END LOOP;

    INSERT INTO cx.survey_trigger AS t (name, kind, event_type_id, touchpoint_id, location_id, product_id, metric, score_min, score_max, survey_id, purpose, channels, delay,
                                        max_age, sample_rate, audience_traits, audience_metric, audience_score_min, audience_score_max, attributes, language,
                                        expires_in, reminders, remind_every)
    VALUES (add_survey_trigger.name, add_survey_trigger.kind, v_trigger.event_type_id, v_trigger.touchpoint_id, v_trigger.location_id, v_trigger.product_id,
            v_trigger.metric, v_trigger.score_min, v_trigger.score_max, add_survey_trigger.survey_id, v_trigger.purpose, v_trigger.channels, v_trigger.delay,
            v_trigger.max_age, v_trigger.sample_rate, v_trigger.audience_traits, v_trigger.audience_metric, v_trigger.audience_score_min, v_trigger.audience_score_max,
            v_trigger.attributes, v_trigger.language, v_trigger.expires_in, v_trigger.reminders, v_trigger.remind_every)
    RETURNING t.trigger_id INTO v_id;
    PERFORM cxm.watch_for_surveys(add_survey_trigger.kind);
    RETURN v_id;
EXCEPTION
    WHEN unique_violation THEN
        RAISE unique_violation USING
            MESSAGE = format('survey trigger "%s" exists already', add_survey_trigger.name),
            HINT = 'Choose another name, or UPDATE cx.survey_trigger.';
END
$$;

COMMENT ON FUNCTION cxm.add_survey_trigger(text, integer, text, jsonb) IS
'Invites to a survey after records of a kind (event, purchase, feedback) and returns the trigger_id. settings: {"event", "touchpoint", "location", "product": keys of the record; "metric", "score_min", "score_max" of an answer; "delay", "max_age"; "sample_rate": 0 to 1; "audience_traits": {...}, "audience_metric", "audience_score_min", "audience_score_max" of the person; "channels": [...], "purpose", "attributes": {...}, "language", "expires_in", "reminders", "remind_every"}; what is left out is any, or as cx.survey_trigger has it. Records that come from now on set it off; cxm.invite_candidates() does the inviting. Run by the owner of the store. Errors: an unknown setting or kind (22023), an unknown survey, channel or metric (42704), a survey that is not open (55000), a value out of range (23514), a name that is taken (23505).';

CREATE FUNCTION cxm.enable_survey_trigger(name text, enabled boolean DEFAULT true) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_was boolean;
BEGIN
    SELECT t.enabled INTO v_was FROM cx.survey_trigger AS t WHERE t.name = enable_survey_trigger.name FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('survey trigger "%s" does not exist', coalesce(enable_survey_trigger.name, 'NULL'));
    END IF;
    UPDATE cx.survey_trigger AS t SET enabled = coalesce(enable_survey_trigger.enabled, true) WHERE t.name = enable_survey_trigger.name;
    RETURN v_was IS DISTINCT FROM coalesce(enable_survey_trigger.enabled, true);
END
$$;

COMMENT ON FUNCTION cxm.enable_survey_trigger(text, boolean) IS
'Turns a survey trigger on (the default) or off; returns whether that changed anything. Records that come while it is off set nothing off, also later. Error 42704: no such trigger.';

---- steps after a response

CREATE FUNCTION cxm.add_survey_step(survey_id integer, kind text, channels text[] DEFAULT '{email}', delay interval DEFAULT '0', sample_rate double precision DEFAULT 1,
                                    content jsonb DEFAULT '{}', metric text DEFAULT NULL, score_min integer DEFAULT NULL, score_max integer DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_id integer;
BEGIN
    PERFORM cxm.store_version();
    IF (add_survey_step.kind IN ('thank_you', 'referral_ask', 'review_ask')) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('no step is called %s', coalesce('"' || add_survey_step.kind || '"', 'NULL')),
            HINT = 'kind is thank_you, referral_ask or review_ask.';
    ELSIF add_survey_step.kind = 'review_ask' AND num_nonnulls(add_survey_step.metric, add_survey_step.score_min, add_survey_step.score_max) > 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a review is asked for whatever the score was',
            DETAIL = 'To ask only those who are content would make the public picture false, and is against the law in many countries.',
            HINT = 'Leave metric, score_min and score_max out. To ask fewer people, use sample_rate.';
    END IF;
    PERFORM cxm.check_invitation(add_survey_step.survey_id, coalesce(add_survey_step.channels, '{}'), 'survey', now(), '1 day', '{}', 0, NULL);

    INSERT INTO cx.survey_step AS s (survey_id, kind, channels, delay, sample_rate, content, metric, score_min, score_max)
    VALUES (add_survey_step.survey_id, add_survey_step.kind, add_survey_step.channels, coalesce(add_survey_step.delay, '0'), coalesce(add_survey_step.sample_rate, 1),
            coalesce(add_survey_step.content, '{}'), add_survey_step.metric, add_survey_step.score_min, add_survey_step.score_max)
    RETURNING s.step_id INTO v_id;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.add_survey_step(integer, text, text[], interval, double precision, jsonb, text, integer, integer) IS
'Has something follow every response to a survey that comes from an identified person, and returns the step_id. kind: thank_you, referral_ask or review_ask; channels, in order of preference; delay after the response; sample_rate 0 to 1; content for the sender. metric, score_min, score_max: only after such an answer, but never of a review_ask, which is the same for every score (22023). Errors: no such survey or channel (42704), a survey that is not open (55000), a value out of range (23514).';

CREATE FUNCTION cxm.start_survey_steps(survey_id integer, response_id bigint, identifier_id bigint, attributes jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_started bigint;
BEGIN
    INSERT INTO cx.survey_candidate (step_id, record_id, identifier_id, occurred_at, attributes)
    SELECT s.step_id, start_survey_steps.response_id, start_survey_steps.identifier_id, now(), coalesce(start_survey_steps.attributes, '{}')
    FROM cx.survey_step AS s
    WHERE s.survey_id = start_survey_steps.survey_id AND s.enabled AND start_survey_steps.identifier_id IS NOT NULL
    ORDER BY s.step_id;
    GET DIAGNOSTICS v_started = ROW_COUNT;
    RETURN v_started;
END
$$;

COMMENT ON FUNCTION cxm.start_survey_steps(integer, bigint, bigint, jsonb) IS
'Notes that the steps of a survey are to follow a completed response, and returns how many; 0 where nobody knows who responded. For a response to an invitation cxm.complete_invitation() calls it; for others whoever stores them. cxm.invite_candidates() does the rest.';

CREATE FUNCTION cxm.take_quotas(response_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_response record;
    v_counted bigint := 0;
BEGIN
    -- who takes several places has all of them before, in order: two such could wait for each other's
    IF cardinality(response_ids) > 1 THEN
        PERFORM FROM cx.quota_stripe AS s
        WHERE s.quota_id = ANY (ARRAY(SELECT q.quota_id FROM cx.quota AS q
                                      WHERE q.basis = 'response' AND q.enabled
                                        AND q.survey_id = ANY (ARRAY(SELECT r.survey_id FROM cx.response AS r WHERE r.response_id = ANY (response_ids)))))
        ORDER BY s.quota_id, s.period_start, s.stripe
        FOR NO KEY UPDATE;
    END IF;

    FOR v_response IN
        SELECT r.response_id, r.survey_id,
               EXISTS (SELECT FROM cx.quota AS q WHERE q.survey_id = r.survey_id AND q.basis = 'response' AND q.enabled) AS has_quota
        FROM cx.response AS r
        WHERE r.response_id = ANY (response_ids) AND r.state = 'complete'
        ORDER BY r.response_id
    LOOP
        IF NOT v_response.has_quota
           OR cxm.take_quota(v_response.survey_id, cxm.response_attributes(v_response.response_id), v_response.response_id, refuse => cardinality(response_ids) = 1) THEN
            v_counted := v_counted + 1;
        END IF;
    END LOOP;
    RETURN v_counted;
END
$$;

COMMENT ON FUNCTION cxm.take_quotas(bigint[]) IS
'Has completed responses take their places in the quotas of their surveys, and returns how many are within quota. Called where responses are stored. Of several at once none is refused: those beyond a quota are marked. Error CX004 when the only one is refused.';

CREATE FUNCTION cxm.response_attributes(response_id bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(cxm.response_answers(r.response_id), '{}') || coalesce(r.metadata, '{}')
               || jsonb_strip_nulls(jsonb_build_object('language', r.language, 'channel', r.channel))
               || cxm.record_attributes(r.touchpoint_id, r.location_id, r.product_id)
               || coalesce((SELECT n.attributes FROM cx.invitation AS n WHERE n.invitation_id = r.invitation_id), '{}')
        FROM cx.response AS r
        WHERE r.response_id = response_attributes.response_id);
END
$$;

COMMENT ON FUNCTION cxm.response_attributes(bigint) IS
'What quotas go by, of a response: its answers by the key of their question, its metadata, language, channel, and the keys of touchpoint, location and product; over all of these the attributes of its invitation. NULL for an unknown response.';

CREATE FUNCTION cxm.step_follows(step_id integer, response_id bigint) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN EXISTS (
        SELECT FROM cx.survey_step AS s
        WHERE s.step_id = step_follows.step_id
          AND (s.metric IS NULL
               OR EXISTS (SELECT FROM cx.answer AS a JOIN cx.question AS q ON q.question_id = a.question_id
                          WHERE a.response_id = step_follows.response_id AND a.on_path AND q.metric = s.metric
                            AND a.value_number >= coalesce(s.score_min, a.value_number) AND a.value_number <= coalesce(s.score_max, a.value_number))));
END
$$;

COMMENT ON FUNCTION cxm.step_follows(integer, bigint) IS 'Whether a response has the answer that a step asks for; always, when it asks for none.';

---- candidates become invitations

CREATE FUNCTION cxm.golden_traits(identifier_ids bigint[], OUT identifier_id bigint, OUT traits jsonb) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT a.identifier_id, coalesce(g.traits, '{}')
    FROM (SELECT DISTINCT i.identifier_id, p.canonical_id
          FROM cx.identifier AS i JOIN cx.profile AS p ON p.profile_id = i.profile_id
          WHERE i.identifier_id = ANY (golden_traits.identifier_ids)) AS a
    LEFT JOIN (SELECT m.canonical_id, cxm.profile_merge(t.traits, t.observed_at, s.source, (SELECT cxm.trait_policies())) AS traits
               FROM cxm.profile_identifiers(cxm.identifier_profiles(golden_traits.identifier_ids)) AS m
               JOIN cx.trait AS t ON t.identifier_id = m.identifier_id
               LEFT JOIN cx.source AS s ON s.source_id = t.source_id
               GROUP BY m.canonical_id) AS g ON g.canonical_id = a.canonical_id;
END
$$;

COMMENT ON FUNCTION cxm.golden_traits(bigint[]) IS
'Traits of the golden record of the person, a row each of the given identifiers that exist; {} where nothing is known.';

CREATE FUNCTION cxm.in_audience(identifier_ids bigint[], traits jsonb, metric text, score_min integer, score_max integer) RETURNS bigint[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF in_audience.traits <> '{}' THEN
        identifier_ids := ARRAY(SELECT g.identifier_id FROM cxm.golden_traits(identifier_ids) AS g WHERE g.traits @> in_audience.traits);
    END IF;
    IF in_audience.metric IS NOT NULL THEN
        identifier_ids := ARRAY(
            SELECT i.identifier_id
            FROM cx.identifier AS i
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            JOIN LATERAL (
                SELECT f.score
                FROM cxm.profile_identifiers(ARRAY[p.canonical_id]) AS m
                JOIN cx.feedback AS f ON f.identifier_id = m.identifier_id
                WHERE f.metric = in_audience.metric COLLATE "C" AND f.score IS NOT NULL
                ORDER BY f.occurred_at DESC, f.feedback_id DESC
                LIMIT 1) AS latest ON true
            WHERE i.identifier_id = ANY (in_audience.identifier_ids)
              AND latest.score >= coalesce(in_audience.score_min, latest.score) AND latest.score <= coalesce(in_audience.score_max, latest.score));
    END IF;
    RETURN identifier_ids;
END
$$;

COMMENT ON FUNCTION cxm.in_audience(bigint[], jsonb, text, integer, integer) IS
'Those of the identifiers whose person has these traits ({} = any) and whose latest score of the metric (NULL = no such condition) lies from score_min to score_max (NULL = no end).';

CREATE FUNCTION cxm.invite_candidate_batch(max_rows integer, OUT taken bigint, OUT invited bigint, OUT suppressed bigint, OUT failed bigint) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[];
    v_group record;
    v_done record;
    v_rows bigint;
BEGIN
    v_ids := ARRAY(SELECT c.candidate_id FROM cx.survey_candidate AS c ORDER BY c.candidate_id LIMIT max_rows FOR UPDATE SKIP LOCKED);
    taken := cardinality(v_ids);
    invited := 0;
    suppressed := 0;
    failed := 0;

    FOR v_group IN
        SELECT c.trigger_id, c.step_id, array_agg(c.candidate_id ORDER BY c.candidate_id) AS candidate_ids
        FROM cx.survey_candidate AS c
        WHERE c.candidate_id = ANY (v_ids)
        GROUP BY c.trigger_id, c.step_id
        ORDER BY min(c.candidate_id)
    LOOP
        BEGIN
            v_done := cxm.invite_group(v_group.trigger_id, v_group.step_id, v_group.candidate_ids);
            invited := invited + v_done.invited;
            suppressed := suppressed + v_done.suppressed;
        EXCEPTION
            -- to be done again as a whole
            WHEN serialization_failure OR deadlock_detected OR query_canceled THEN
                RAISE;
            WHEN OTHERS THEN
                INSERT INTO cx.rejection (kind, record, reason, sqlstate)
                SELECT 'invitation', jsonb_strip_nulls(jsonb_build_object('trigger_id', c.trigger_id, 'step_id', c.step_id, 'record_id', c.record_id,
                           'identifier_id', c.identifier_id, 'occurred_at', c.occurred_at, 'attributes', c.attributes)), SQLERRM, SQLSTATE
                FROM cx.survey_candidate AS c WHERE c.candidate_id = ANY (v_group.candidate_ids) ORDER BY c.candidate_id;
                GET DIAGNOSTICS v_rows = ROW_COUNT;
                failed := failed + v_rows;
        END;
    END LOOP;

    DELETE FROM cx.survey_candidate AS c WHERE c.candidate_id = ANY (v_ids);
END
$$;

COMMENT ON FUNCTION cxm.invite_candidate_batch(integer) IS
'Deals with up to max_rows candidates, oldest first: how many it took, how many of them led to an invitation, how many to one that is suppressed, and how many went to cx.rejection (kind invitation) because their trigger or step failed; the others are not in the audience. Several sessions may call it at once.';

CREATE FUNCTION cxm.replay_candidate(record jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO cx.survey_candidate AS c (trigger_id, step_id, record_id, identifier_id, occurred_at, attributes)
    SELECT r.trigger_id, r.step_id, r.record_id, r.identifier_id, r.occurred_at, coalesce(r.attributes, '{}')
    FROM jsonb_to_record(record) AS r(trigger_id integer, step_id integer, record_id bigint, identifier_id bigint, occurred_at timestamptz, attributes jsonb)
    RETURNING c.candidate_id INTO v_id;
    -- an error of today is the caller's to note
    PERFORM cxm.invite_group(c.trigger_id, c.step_id, ARRAY[v_id]) FROM cx.survey_candidate AS c WHERE c.candidate_id = v_id;
    DELETE FROM cx.survey_candidate AS c WHERE c.candidate_id = v_id;
END
$$;

COMMENT ON FUNCTION cxm.replay_candidate(jsonb) IS
'Deals once more with a candidate that had gone to cx.rejection (kind invitation). What is still wrong is an error; one that was dealt with meanwhile changes nothing.';

CREATE FUNCTION cxm.invite_group(trigger_id integer, step_id integer, candidate_ids bigint[], OUT invited bigint, OUT suppressed bigint) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_terms record;
    v_audience bigint[];
    v_drafts cxm.invitation_draft[];
BEGIN
    invited := 0;
    suppressed := 0;
    IF invite_group.trigger_id IS NOT NULL THEN
        SELECT 'survey' AS kind, t.survey_id, t.purpose, t.channels, t.delay, t.sample_rate, t.audience_traits, t.audience_metric,
               t.audience_score_min::integer AS audience_score_min, t.audience_score_max::integer AS audience_score_max, t.language, t.expires_in, t.reminders::integer AS reminders, t.remind_every, 'trigger ' || t.trigger_id AS salt, s.state = 'active' AS is_open
        INTO v_terms
        FROM cx.survey_trigger AS t JOIN cx.survey AS s ON s.survey_id = t.survey_id WHERE t.trigger_id = invite_group.trigger_id;
    ELSE
        SELECT t.kind, t.survey_id, t.kind AS purpose, t.channels, t.delay, t.sample_rate, '{}'::jsonb AS audience_traits, NULL::text AS audience_metric,
               NULL::integer AS audience_score_min, NULL::integer AS audience_score_max, NULL::text AS language, interval '30 days' AS expires_in, 0 AS reminders, NULL::interval AS remind_every, 'step ' || t.step_id AS salt, true AS is_open
        INTO v_terms
        FROM cx.survey_step AS t WHERE t.step_id = invite_group.step_id;
    END IF;
    IF v_terms.survey_id IS NULL THEN
        RAISE no_data_found USING
            MESSAGE = format('%s does not exist any more', coalesce('survey trigger ' || invite_group.trigger_id, 'survey step ' || invite_group.step_id));
    END IF;

    v_audience := cxm.in_audience(ARRAY(SELECT DISTINCT c.identifier_id FROM cx.survey_candidate AS c WHERE c.candidate_id = ANY (candidate_ids)),
                                  v_terms.audience_traits, v_terms.audience_metric, v_terms.audience_score_min, v_terms.audience_score_max);

    SELECT cxm.draft_invitations(array_agg(c.identifier_id ORDER BY c.candidate_id), v_terms.channels, v_terms.purpose,
                                 array_agg(greatest(now(), c.occurred_at + v_terms.delay) ORDER BY c.candidate_id),
                                 array_agg(c.attributes ORDER BY c.candidate_id), array_agg(c.record_id ORDER BY c.candidate_id))
    INTO v_drafts
    FROM cx.survey_candidate AS c
    WHERE c.candidate_id = ANY (candidate_ids)
      AND c.identifier_id = ANY (v_audience)
      AND (invite_group.step_id IS NULL OR cxm.step_follows(invite_group.step_id, c.record_id))
      -- a candidate that was replayed may have been dealt with
      AND NOT EXISTS (SELECT FROM cx.invitation AS n WHERE n.trigger_id = invite_group.trigger_id AND n.record_id = c.record_id)
      AND NOT EXISTS (SELECT FROM cx.invitation AS n WHERE n.step_id = invite_group.step_id AND n.record_id = c.record_id);
    IF v_drafts IS NULL THEN
        RETURN;
    END IF;

    v_drafts := ARRAY(
        SELECT (d.invitation_id, d.identifier_id, d.profile_id, d.turn, d.asked_for, d.send_at, d.channel, d.attributes, d.record_id,
                CASE WHEN NOT v_terms.is_open THEN 'survey' WHEN f.fraction >= v_terms.sample_rate THEN 'sampling' ELSE d.suppressed_by END, NULL, NULL,
                CASE WHEN v_terms.is_open AND f.fraction >= v_terms.sample_rate THEN jsonb_build_object('fraction', f.fraction, 'rate', v_terms.sample_rate)
                     WHEN v_terms.is_open THEN d.detail END)::cxm.invitation_draft
        FROM unnest(v_drafts) WITH ORDINALITY AS d(invitation_id, identifier_id, profile_id, turn, asked_for, send_at, channel, attributes, record_id,
                                                   suppressed_by, rule_id, quota_id, detail, place)
        CROSS JOIN LATERAL (SELECT cxm.sampling_fraction(v_terms.salt || ' ' || d.record_id) AS fraction) AS f
        ORDER BY d.place);

    PERFORM cxm.store_invitations(v_drafts, v_terms.kind, v_terms.survey_id, v_terms.purpose, v_terms.expires_in, v_terms.language, v_terms.reminders, v_terms.remind_every,
                                  invite_group.trigger_id, invite_group.step_id);
    SELECT count(*) FILTER (WHERE n.state <> 'suppressed'), count(*) FILTER (WHERE n.state = 'suppressed') INTO invited, suppressed
    FROM cx.invitation AS n WHERE n.invitation_id = ANY (ARRAY(SELECT d.invitation_id FROM unnest(v_drafts) AS d));
END
$$;

COMMENT ON FUNCTION cxm.invite_group(integer, integer, bigint[]) IS
'Turns candidates of one trigger or one step into invitations: those in the audience, a sample of them drawn by their ids; who is not in the sample gets a suppressed one. Returns how many of each.';

---- sending, reminding, ending

CREATE FUNCTION cxm.invitation_payloads(invitation_ids bigint[]) RETURNS jsonb[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_surveys bigint[];
    v_tokens text[];
BEGIN
    v_surveys := ARRAY(SELECT n.invitation_id FROM cx.invitation AS n WHERE n.invitation_id = ANY (invitation_ids) AND n.kind = 'survey');
    v_tokens := cxm.issue_tokens(v_surveys);
    RETURN ARRAY(
        SELECT jsonb_strip_nulls(jsonb_build_object(
                   'invitation_id', n.invitation_id, 'kind', n.kind, 'survey_id', n.survey_id, 'survey', s.key, 'purpose', n.purpose, 'language', n.language,
                   'reminder', nullif(n.reminded, 0), 'expires_at', n.expires_at, 'content', p.content,
                   'referral_code', CASE WHEN n.kind = 'referral_ask' THEN cxm.referral_code_of(n.identifier_id) END,
                   'secret', CASE WHEN t.token IS NOT NULL THEN jsonb_build_object('token', t.token) END))
        FROM unnest(invitation_ids) WITH ORDINALITY AS u(id, place)
        JOIN cx.invitation AS n ON n.invitation_id = u.id
        LEFT JOIN cx.survey AS s ON s.survey_id = n.survey_id
        LEFT JOIN cx.survey_step AS p ON p.step_id = n.step_id
        LEFT JOIN unnest(v_surveys, v_tokens) AS t(id, token) ON t.id = u.id
        ORDER BY u.place);
END
$$;

COMMENT ON FUNCTION cxm.invitation_payloads(bigint[]) IS
'What senders need of invitations, in order: ids, survey, language, and of a survey a new token, under the key secret, which is taken out of the queue once it was sent.';

CREATE FUNCTION cxm.without_consent(invitation_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_purpose text;
    v_ids bigint[] := '{}';
BEGIN
    FOR v_purpose IN SELECT DISTINCT n.purpose FROM cx.invitation AS n WHERE n.invitation_id = ANY (invitation_ids) LOOP
        v_ids := v_ids || ARRAY(
            SELECT n.invitation_id
            FROM cx.invitation AS n
            JOIN cxm.consent_of(ARRAY(SELECT o.identifier_id FROM cx.invitation AS o WHERE o.invitation_id = ANY (invitation_ids) AND o.purpose = v_purpose),
                                ARRAY(SELECT DISTINCT o.channel FROM cx.invitation AS o WHERE o.invitation_id = ANY (invitation_ids) AND o.purpose = v_purpose),
                                v_purpose) AS c ON c.identifier_id = n.identifier_id AND c.channel = n.channel
            WHERE n.invitation_id = ANY (invitation_ids) AND n.purpose = v_purpose AND NOT c.granted);
    END LOOP;
    RETURN v_ids;
END
$$;

COMMENT ON FUNCTION cxm.without_consent(bigint[]) IS 'Those of the invitations for whose channel and purpose there is no consent as of now.';

CREATE FUNCTION cxm.send_invitation_batch(max_rows integer, late_after interval DEFAULT interval '1 hour') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_moment CONSTANT timestamptz := clock_timestamp();
    v_ids bigint[];
    v_late bigint[];
    v_group record;
    v_drafts cxm.invitation_draft[];
BEGIN
    v_ids := ARRAY(SELECT n.invitation_id FROM cx.invitation AS n
                   WHERE n.state = 'scheduled' AND n.queued_at IS NULL AND n.send_at <= v_moment
                   ORDER BY n.send_at, n.invitation_id LIMIT max_rows
                   FOR NO KEY UPDATE SKIP LOCKED);
    IF v_ids = '{}' THEN
        RETURN 0;
    END IF;

    -- what has changed since they were made
    UPDATE cx.invitation AS n SET state = 'suppressed', suppressed_by = 'consent', detail = jsonb_build_object('channels', ARRAY[n.channel], 'withdrawn', true)
    WHERE n.invitation_id = ANY (cxm.without_consent(v_ids));
    UPDATE cx.invitation AS n SET state = 'suppressed', suppressed_by = 'survey'
    WHERE n.invitation_id = ANY (v_ids) AND n.state = 'scheduled' AND n.kind = 'survey'
      AND NOT EXISTS (SELECT FROM cx.survey AS s WHERE s.survey_id = n.survey_id AND s.state = 'active');

    -- rules were kept for the time that was planned; what goes out much later is held against them anew, one a person at a time
    IF EXISTS (SELECT FROM cx.fatigue_rule AS r WHERE r.enabled) THEN
        v_late := ARRAY(SELECT n.invitation_id FROM cx.invitation AS n
                        WHERE n.invitation_id = ANY (v_ids) AND n.state = 'scheduled' AND n.send_at < v_moment - late_after);
        IF v_late <> '{}' THEN
            PERFORM cxm.lock_people(ARRAY(SELECT n.identifier_id FROM cx.invitation AS n WHERE n.invitation_id = ANY (v_late)));
            FOR v_group IN
                SELECT l.turn, l.purpose, l.survey_id, array_agg((l.invitation_id, l.identifier_id, l.canonical_id, 1, l.asked_for, v_moment, l.channel, l.attributes,
                                                                  l.record_id, NULL, l.rule_id, NULL, l.detail)::cxm.invitation_draft) AS drafts
                FROM (SELECT n.*, p.canonical_id, row_number() OVER (PARTITION BY p.canonical_id ORDER BY n.send_at, n.invitation_id) AS turn
                      FROM cx.invitation AS n
                      JOIN cx.identifier AS i ON i.identifier_id = n.identifier_id
                      JOIN cx.profile AS p ON p.profile_id = i.profile_id
                      WHERE n.invitation_id = ANY (v_late)) AS l
                GROUP BY l.turn, l.purpose, l.survey_id
                ORDER BY l.turn
            LOOP
                v_drafts := cxm.apply_fatigue(v_group.drafts, v_group.purpose, v_group.survey_id);
                UPDATE cx.invitation AS n
                SET state = CASE WHEN d.suppressed_by IS NULL THEN n.state ELSE 'suppressed' END, suppressed_by = d.suppressed_by,
                    send_at = least(d.send_at, n.expires_at - interval '1 microsecond'), rule_id = d.rule_id, detail = d.detail
                FROM unnest(v_drafts) AS d
                WHERE n.invitation_id = d.invitation_id;
            END LOOP;
        END IF;
    END IF;

    v_ids := ARRAY(SELECT n.invitation_id FROM cx.invitation AS n
                   WHERE n.invitation_id = ANY (v_ids) AND n.state = 'scheduled' AND n.send_at <= v_moment AND n.expires_at > v_moment
                   ORDER BY n.send_at, n.invitation_id);
    IF v_ids <> '{}' THEN
        PERFORM cxm.enqueue_deliveries('invitation', v_ids,
            ARRAY(SELECT n.channel FROM unnest(v_ids) WITH ORDINALITY AS u(id, place) JOIN cx.invitation AS n ON n.invitation_id = u.id ORDER BY u.place),
            ARRAY(SELECT n.identifier_id FROM unnest(v_ids) WITH ORDINALITY AS u(id, place) JOIN cx.invitation AS n ON n.invitation_id = u.id ORDER BY u.place),
            cxm.invitation_payloads(v_ids), NULL);
        UPDATE cx.invitation AS n SET queued_at = v_moment WHERE n.invitation_id = ANY (v_ids);
    END IF;
    RETURN cardinality(v_ids);
END
$$;

COMMENT ON FUNCTION cxm.send_invitation_batch(integer, interval) IS
'Puts up to max_rows invitations that are due into the queue of deliveries, each with a token, and returns how many. Before, it looks whether consent was withdrawn or the survey closed meanwhile (they are suppressed), and holds those that are later than late_after against the fatigue rules of today at the time of today (they may be suppressed or moved). Several sessions may call it at once.';

CREATE FUNCTION cxm.remind_invitation_batch(max_rows integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_moment CONSTANT timestamptz := clock_timestamp();
    v_ids bigint[];
    v_stopped bigint[];
BEGIN
    v_ids := ARRAY(SELECT n.invitation_id FROM cx.invitation AS n
                   WHERE n.remind_at <= v_moment
                   ORDER BY n.remind_at, n.invitation_id LIMIT max_rows
                   FOR NO KEY UPDATE SKIP LOCKED);
    IF v_ids = '{}' THEN
        RETURN 0;
    END IF;
    v_stopped := cxm.without_consent(v_ids) || ARRAY(
        SELECT n.invitation_id FROM cx.invitation AS n JOIN cx.survey AS s ON s.survey_id = n.survey_id
        WHERE n.invitation_id = ANY (v_ids) AND (s.state <> 'active' OR n.expires_at <= v_moment OR n.state NOT IN ('sent', 'opened')));
    UPDATE cx.invitation AS n SET remind_at = NULL WHERE n.invitation_id = ANY (v_stopped);

    v_ids := ARRAY(SELECT u.id FROM unnest(v_ids) AS u(id) WHERE u.id <> ALL (v_stopped));
    UPDATE cx.invitation AS n
    SET reminded = n.reminded + 1, reminders_left = n.reminders_left - 1, remind_at = CASE WHEN n.reminders_left > 1 THEN v_moment + n.remind_every END
    WHERE n.invitation_id = ANY (v_ids);
    IF v_ids <> '{}' THEN
        PERFORM cxm.enqueue_deliveries('invitation', v_ids,
            ARRAY(SELECT n.channel FROM unnest(v_ids) WITH ORDINALITY AS u(id, place) JOIN cx.invitation AS n ON n.invitation_id = u.id ORDER BY u.place),
            ARRAY(SELECT n.identifier_id FROM unnest(v_ids) WITH ORDINALITY AS u(id, place) JOIN cx.invitation AS n ON n.invitation_id = u.id ORDER BY u.place),
            cxm.invitation_payloads(v_ids), NULL);
    END IF;
    RETURN cardinality(v_ids) + cardinality(v_stopped);
END
$$;

COMMENT ON FUNCTION cxm.remind_invitation_batch(integer) IS
'Sends up to max_rows reminders that are due, each with a token of its own, and stops those of people who withdrew consent, of surveys that are closed and of invitations that are over; returns how many of both. Fatigue rules do not limit reminders. Several sessions may call it at once.';

CREATE FUNCTION cxm.expire_invitation_batch(max_rows integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_ids bigint[];
BEGIN
    v_ids := ARRAY(SELECT n.invitation_id FROM cx.invitation AS n
                   WHERE n.state IN ('scheduled', 'sent', 'opened', 'bounced') AND n.expires_at <= clock_timestamp()
                   ORDER BY n.expires_at, n.invitation_id LIMIT max_rows
                   FOR NO KEY UPDATE SKIP LOCKED);
    UPDATE cx.invitation AS n SET state = 'expired' WHERE n.invitation_id = ANY (v_ids);
    PERFORM cxm.withdraw_invitations(v_ids, 'expired');
    PERFORM cxm.release_quota(n.invitation_id, ARRAY(SELECT q.quota_id FROM cx.quota AS q WHERE q.basis = 'invitation' ORDER BY q.quota_id))
    FROM cx.invitation AS n WHERE n.invitation_id = ANY (v_ids) AND n.sent_at IS NULL AND n.kind = 'survey';
    RETURN cardinality(v_ids);
END
$$;

COMMENT ON FUNCTION cxm.expire_invitation_batch(integer) IS
'Ends up to max_rows invitations whose time is over, and returns how many. One that was never sent counts no more for fatigue rules and quotas.';

---- jobs

CREATE PROCEDURE cxm.invite_candidates()
LANGUAGE plpgsql
AS $$
DECLARE
    v_run bigint := cxm.start_job('invite_candidates');
    v_batch record;
    v_taken bigint := 0;
    v_invited bigint := 0;
    v_suppressed bigint := 0;
    v_failed bigint := 0;
    v_detail text;
BEGIN
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    COMMIT;

    LOOP
        EXIT WHEN NOT cxm.lock_job('invite_candidates');
        v_batch := cxm.invite_candidate_batch(1000);
        v_taken := v_taken OPERATOR(pg_catalog.+) v_batch.taken;
        v_invited := v_invited OPERATOR(pg_catalog.+) v_batch.invited;
        v_suppressed := v_suppressed OPERATOR(pg_catalog.+) v_batch.suppressed;
        v_failed := v_failed OPERATOR(pg_catalog.+) v_batch.failed;
        v_detail := pg_catalog.format('%s candidates, %s invited, %s suppressed, %s failed (see cx.rejection)', v_taken, v_invited, v_suppressed, v_failed);
        PERFORM cxm.report_job(v_run, v_taken, v_detail);
        COMMIT;
        EXIT WHEN v_batch.taken OPERATOR(pg_catalog.=) 0;
    END LOOP;

    PERFORM cxm.finish_job(v_run, v_taken, v_detail);
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.invite_candidates() IS
'Invites whom triggers have found, and starts what follows responses. Commits after each thousand. Run outside a transaction.';

CREATE PROCEDURE cxm.send_invitations()
LANGUAGE plpgsql
AS $$
BEGIN
    CALL cxm.run_job('send_invitations', 'cxm.send_invitation_batch(1000)', '%s invitations sent');
END
$$;

COMMENT ON PROCEDURE cxm.send_invitations() IS
'Puts invitations that are due into the queue of deliveries. Commits after each thousand. Run outside a transaction.';

CREATE PROCEDURE cxm.remind_invitations()
LANGUAGE plpgsql
AS $$
BEGIN
    CALL cxm.run_job('remind_invitations', 'cxm.remind_invitation_batch(1000)', '%s reminders sent or stopped');
END
$$;

COMMENT ON PROCEDURE cxm.remind_invitations() IS
'Sends the reminders that are due. Commits after each thousand. Run outside a transaction.';

CREATE PROCEDURE cxm.expire_invitations()
LANGUAGE plpgsql
AS $$
BEGIN
    CALL cxm.run_job('expire_invitations', 'cxm.expire_invitation_batch(1000)', '%s invitations expired');
END
$$;

COMMENT ON PROCEDURE cxm.expire_invitations() IS
'Ends invitations whose time is over. Commits after each thousand. Run outside a transaction.';
