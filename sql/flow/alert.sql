-- Telling somebody: which answers raise alerts, who is told, and who takes them up.
--
-- The way of an answer: a statement trigger on cx.feedback, in C (src/alert.c), holds the new rows against the rules,
-- which each session keeps compiled, and writes what matched into cx.alert; cxm.post_notifications() tells listeners.
-- cxm.matching_alert_rules() asks the same code.

CREATE FUNCTION cxm.alerts_enabled() RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_alerts_enabled'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.alerts_enabled() IS
'Whether the setting cxm.alerts is on in this session (it is unless turned off): new feedback is held against the alert rules.';

-- rules

CREATE TYPE cxm.alert_rule_input AS (
    name            text,
    metric          text,
    score_min       integer,
    score_max       integer,
    touchpoint      text,
    location        text,
    product         text,
    search          text,
    search_config   regconfig,
    severity        text,
    owner           text,
    valid_from      timestamptz,
    valid_to        timestamptz
);

COMMENT ON TYPE cxm.alert_rule_input IS
'An alert rule as people state it, on its way into cx.alert_rule: touchpoint, location and product by key; NULL = any.';

CREATE FUNCTION cxm.check_alert_rule(rule cxm.alert_rule_input) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    scale_min integer;
    scale_max integer;
BEGIN
    IF coalesce(rule.name, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'an alert rule needs a name';
    END IF;

    IF coalesce(rule.metric, rule.touchpoint, rule.location, rule.product, rule.search, rule.score_min::text, rule.score_max::text) IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has no condition', rule.name),
            DETAIL = 'It would raise an alert for every answer of every metric.',
            HINT = 'Give a metric, touchpoint, location, product or search. To hear of every answer to a metric, give the metric alone.';
    END IF;

    IF '' IN (rule.touchpoint, rule.location, rule.product) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has an empty key', rule.name),
            HINT = 'Leave touchpoint, location or product out where any will do.';
    END IF;

    IF rule.metric IS NOT NULL THEN
        SELECT m.scale_min, m.scale_max INTO scale_min, scale_max FROM cx.metric AS m WHERE m.metric = rule.metric;

        IF NOT FOUND THEN
            RAISE undefined_object USING
                MESSAGE = format('metric "%s" does not exist', rule.metric),
                DETAIL = format('The metrics are %s.', (SELECT string_agg(m.metric, ', ' ORDER BY m.metric) FROM cx.metric AS m)),
                HINT = 'Add a metric of your own with cxm.add_metric().';
        END IF;
    ELSIF rule.score_min IS NOT NULL OR rule.score_max IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has a range of scores but no metric', rule.name),
            DETAIL = 'A score says nothing without its metric: 5 is a bad NPS answer and the best CSAT answer.',
            HINT = 'Give the metric too.';
    END IF;

    IF rule.score_min NOT BETWEEN scale_min AND scale_max OR rule.score_max NOT BETWEEN scale_min AND scale_max THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('scores of alert rule "%s" lie outside the scale of metric "%s"', rule.name, rule.metric),
            DETAIL = format('The scale is %s to %s, the rule asks for %s to %s.',
                            scale_min, scale_max, coalesce(rule.score_min, scale_min), coalesce(rule.score_max, scale_max));
    END IF;

    IF rule.score_min > rule.score_max THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" can never hold', rule.name),
            DETAIL = format('score_min %s is greater than score_max %s.', rule.score_min, rule.score_max);
    END IF;

    IF (rule.valid_from < rule.valid_to) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" is never valid', rule.name),
            DETAIL = format('valid_from %s does not lie before valid_to %s.',
                            coalesce(rule.valid_from::text, 'NULL'), coalesce(rule.valid_to::text, 'NULL'));
    END IF;

    IF (rule.severity IN ('low', 'medium', 'high', 'critical')) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has the unknown severity %s', rule.name, coalesce('"' || rule.severity || '"', 'NULL')),
            HINT = 'Use low, medium, high or critical.';
    END IF;

    IF rule.search_config IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has no text search configuration', rule.name),
            HINT = 'Use simple where you have no better one.';
    END IF;

    IF rule.search IS NOT NULL AND numnode(websearch_to_tsquery(rule.search_config, rule.search)) = 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has no word to search for', rule.name),
            DETAIL = format('Text search configuration "%s" leaves nothing of "%s".', rule.search_config, rule.search),
            HINT = 'Stop words and punctuation do not count; the configuration simple has no stop words.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_alert_rule(cxm.alert_rule_input) IS
'Raises an error that says what is wrong with an alert rule: no name, no condition, an unknown metric (42704), scores outside the metric''s scale or without a metric, a search without words, an unknown severity, times that never hold (22023).';

CREATE FUNCTION cxm.save_alert_rule(rule_id integer, rule cxm.alert_rule_input) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- by its whole name, so that it means the same under every writer's search_path
    config_name CONSTANT text NOT NULL := (
        SELECT format('%I.%I', n.nspname, c.cfgname)
        FROM pg_ts_config AS c
        JOIN pg_namespace AS n ON n.oid = c.cfgnamespace
        WHERE c.oid = rule.search_config);
    place record;
    saved_id integer;
BEGIN
    -- the catalogues learn unknown keys here as they do when records come in
    INSERT INTO cx.touchpoint (key) SELECT rule.touchpoint WHERE rule.touchpoint IS NOT NULL ON CONFLICT (key) DO NOTHING;
    INSERT INTO cx.location (key) SELECT rule.location WHERE rule.location IS NOT NULL ON CONFLICT (key) DO NOTHING;
    INSERT INTO cx.product (key) SELECT rule.product WHERE rule.product IS NOT NULL ON CONFLICT (key) DO NOTHING;

    SELECT
        (SELECT ARRAY[t.touchpoint_id] FROM cx.touchpoint AS t WHERE t.key = rule.touchpoint) AS touchpoint_ids,
        (SELECT ARRAY[l.location_id] FROM cx.location AS l WHERE l.key = rule.location) AS location_ids,
        (SELECT ARRAY[p.product_id] FROM cx.product AS p WHERE p.key = rule.product) AS product_ids
    INTO place;

    IF save_alert_rule.rule_id IS NULL THEN
        INSERT INTO cx.alert_rule AS r (name, metric, score_min, score_max, touchpoint_ids, location_ids, product_ids,
                                        search, search_config, severity, owner, valid_from, valid_to)
        VALUES (rule.name, rule.metric, rule.score_min, rule.score_max, place.touchpoint_ids, place.location_ids, place.product_ids,
                rule.search, config_name, rule.severity, rule.owner, rule.valid_from, rule.valid_to)
        RETURNING r.rule_id INTO saved_id;
    ELSE
        UPDATE cx.alert_rule AS r
        SET name = rule.name,
            version = r.version + 1,
            metric = rule.metric,
            score_min = rule.score_min,
            score_max = rule.score_max,
            touchpoint_ids = place.touchpoint_ids,
            location_ids = place.location_ids,
            product_ids = place.product_ids,
            search = rule.search,
            search_config = config_name,
            severity = rule.severity,
            owner = rule.owner,
            valid_from = rule.valid_from,
            valid_to = rule.valid_to,
            changed_at = clock_timestamp()
        WHERE r.rule_id = save_alert_rule.rule_id
        RETURNING r.rule_id INTO saved_id;
    END IF;

    RETURN saved_id;
EXCEPTION
    WHEN unique_violation THEN
        RAISE unique_violation USING
            MESSAGE = format('alert rule "%s" exists already', rule.name),
            HINT = 'Change it with cxm.change_alert_rule() or choose another name.';
END
$$;

COMMENT ON FUNCTION cxm.save_alert_rule(integer, cxm.alert_rule_input) IS
'Writes a checked rule into cx.alert_rule, as a new one (rule_id NULL) or as the next version of that rule, and returns its rule_id. Called by cxm.add_alert_rule() and cxm.change_alert_rule().';

CREATE FUNCTION cxm.add_alert_rule(
    name text,
    metric text DEFAULT NULL,
    score_min integer DEFAULT NULL,
    score_max integer DEFAULT NULL,
    touchpoint text DEFAULT NULL,
    location text DEFAULT NULL,
    product text DEFAULT NULL,
    search text DEFAULT NULL,
    search_config regconfig DEFAULT 'pg_catalog.simple',
    severity text DEFAULT 'high',
    owner text DEFAULT NULL,
    valid_from timestamptz DEFAULT '-infinity',
    valid_to timestamptz DEFAULT 'infinity'
) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rule CONSTANT cxm.alert_rule_input := (name, metric, score_min, score_max, touchpoint, location, product,
                                           search, search_config, severity, owner, valid_from, valid_to);
BEGIN
    PERFORM cxm.check_alert_rule(rule);
    RETURN cxm.save_alert_rule(NULL, rule);
END
$$;

COMMENT ON FUNCTION cxm.add_alert_rule(text, text, integer, integer, text, text, text, text, regconfig, text, text, timestamptz, timestamptz) IS
'Adds an alert rule and returns its rule_id. An answer raises an alert when it meets every condition given; NULL = any. score_min and score_max are inclusive, lie on the metric''s usual scale and need the metric. touchpoint, location and product are keys; unknown ones are registered. search is in the syntax of websearch_to_tsquery and read, like the comment, in search_config. The rule holds for answers received from valid_from (inclusive) to valid_to (exclusive). severity: low, medium, high or critical. Errors: no condition at all, an unknown metric, scores off the scale, a search without words, a name that is taken.';

CREATE FUNCTION cxm.change_alert_rule(name text, changes jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target_id integer;
    rule cxm.alert_rule_input;
    unknown text;
BEGIN
    SELECT r.rule_id INTO target_id FROM cx.alert_rule AS r WHERE r.name = change_alert_rule.name FOR NO KEY UPDATE;

    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('alert rule "%s" does not exist', change_alert_rule.name);
    END IF;

    IF jsonb_typeof(changes) IS DISTINCT FROM 'object' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('changes to alert rule "%s" are not a JSON object', change_alert_rule.name),
            HINT = 'Give what changes, such as {"score_max": 4, "owner": null}.';
    END IF;

    SELECT r.name, r.metric, r.score_min, r.score_max, t.key, l.key, p.key,
           r.search, c.oid, r.severity, r.owner, r.valid_from, r.valid_to
    INTO rule
    FROM cx.alert_rule AS r
    LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = r.touchpoint_ids[1]
    LEFT JOIN cx.location AS l ON l.location_id = r.location_ids[1]
    LEFT JOIN cx.product AS p ON p.product_id = r.product_ids[1]
    LEFT JOIN (pg_ts_config AS c JOIN pg_namespace AS n ON n.oid = c.cfgnamespace)
        ON r.search_config = format('%I.%I', n.nspname, c.cfgname)
        OR (r.search_config = quote_ident(c.cfgname) AND n.nspname = 'pg_catalog')
    WHERE r.rule_id = target_id;

    SELECT string_agg(quote_ident(k), ', ' ORDER BY k) INTO unknown
    FROM jsonb_object_keys(changes) AS k
    WHERE NOT to_jsonb(rule) ? k;

    IF unknown IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" cannot be changed in %s', change_alert_rule.name, unknown),
            HINT = format('What can change is %s.', (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(to_jsonb(rule)) AS k));
    END IF;

    rule := jsonb_populate_record(rule, changes);
    PERFORM cxm.check_alert_rule(rule);
    PERFORM cxm.save_alert_rule(target_id, rule);
    RETURN (SELECT r.version FROM cx.alert_rule AS r WHERE r.rule_id = target_id);
END
$$;

COMMENT ON FUNCTION cxm.change_alert_rule(text, jsonb) IS
'Changes the alert rule of that name and returns its new version. changes is a JSON object with the arguments of cxm.add_alert_rule() that change; null takes a condition away; what is not in it stays. search_config needs its schema unless it is in pg_catalog. Alerts keep the version that raised them. Errors: an unknown rule (42704), an unknown key, and those of cxm.add_alert_rule().';

CREATE FUNCTION cxm.enable_alert_rule(name text, enabled boolean DEFAULT true) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    new_version integer;
BEGIN
    IF enable_alert_rule.enabled IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'enabled must be true or false';
    END IF;

    UPDATE cx.alert_rule AS r
    SET enabled = enable_alert_rule.enabled,
        version = r.version + (r.enabled <> enable_alert_rule.enabled)::integer,
        changed_at = CASE WHEN r.enabled = enable_alert_rule.enabled THEN r.changed_at ELSE clock_timestamp() END
    WHERE r.name = enable_alert_rule.name
    RETURNING r.version INTO new_version;

    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('alert rule "%s" does not exist', enable_alert_rule.name);
    END IF;

    RETURN new_version;
END
$$;

COMMENT ON FUNCTION cxm.enable_alert_rule(text, boolean) IS
'Turns the alert rule of that name on (the default) or off and returns its version, which counts up when that changed anything. Answers that come while it is off raise nothing, also later. Error 42704: no such rule.';

-- evaluation

CREATE FUNCTION cxm.matching_alert_rules(
    metric text,
    score integer,
    touchpoint_id integer,
    location_id integer,
    product_id integer,
    comment text,
    received_at timestamptz,
    only_rule integer DEFAULT NULL
) RETURNS TABLE (rule_id integer, version integer, severity text, owner text)
AS 'MODULE_PATHNAME', 'cxm_matching_alert_rules'
LANGUAGE C STABLE PARALLEL SAFE ROWS 1;

COMMENT ON FUNCTION cxm.matching_alert_rules(text, integer, integer, integer, integer, text, timestamptz, integer) IS
'The enabled alert rules that an answer with these values meets; nothing else in cxm knows when a rule holds. An argument that is NULL (no score, no touchpoint, no comment ...) meets no rule that asks for it. Of a comment the first 100000 characters are searched, which keeps it within the limits of text search. only_rule limits the question to one rule.';

CREATE FUNCTION cxm.alert_payload(
    alert_id bigint,
    rule_id integer,
    rule text,
    feedback_id bigint,
    metric text,
    score integer,
    severity text
) RETURNS jsonb
AS 'MODULE_PATHNAME', 'cxm_alert_payload'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.alert_payload(bigint, integer, text, bigint, text, integer, text) IS
'What listeners are told of one alert: ids, metric, score, severity and the rule''s name (its first 200 characters), all your own words. Never what a customer wrote, since any role may LISTEN; and always under the 8000 bytes of NOTIFY.';

CREATE TYPE cxm.raised_alert AS (
    alert_id        bigint,
    rule_id         integer,
    feedback_id     bigint,
    metric          text,
    score           smallint,
    severity        text
);

COMMENT ON TYPE cxm.raised_alert IS
'What of a new row of cx.alert listeners are told. Handed on rather than read again: two SERIALIZABLE writers that read the end of the same index would be in each other''s way.';

CREATE FUNCTION cxm.send_notifications(raised cxm.raised_alert[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- one alert or a hundred, the plan is the same; making it anew each time costs more than running it
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    -- more alerts than this in one statement come as one summary, so that a bulk load floods nobody
    most CONSTANT integer := 100;
BEGIN
    PERFORM cxm.post_notifications('cxm_alert', CASE WHEN cardinality(raised) <= most THEN ARRAY(
            SELECT cxm.alert_payload(a.alert_id, a.rule_id, r.name, a.feedback_id, a.metric, a.score, a.severity)
            FROM unnest(raised) AS a
            LEFT JOIN cx.alert_rule AS r ON r.rule_id = a.rule_id
            ORDER BY a.alert_id)
        ELSE ARRAY(
            SELECT jsonb_build_object('alerts', count(*), 'first_alert_id', min(a.alert_id), 'last_alert_id', max(a.alert_id))
            FROM unnest(raised) AS a)
        END);
    RETURN cardinality(raised);
END
$$;

COMMENT ON FUNCTION cxm.send_notifications(cxm.raised_alert[]) IS
'Tells the listeners of channel cxm_alert about the alerts that one statement raised: up to 100 of them one by one, more as one summary {"alerts": n, "first_alert_id": ..., "last_alert_id": ...}. They go through cxm.post_notifications(). Returns the number of alerts.';

CREATE FUNCTION cxm.evaluate_alerts(feedback_ids bigint[], rule_id integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told bigint;
BEGIN
    WITH raised AS (
        INSERT INTO cx.alert AS n (rule_id, rule_version, feedback_id, occurred_at, identifier_id, metric, score, severity, owner)
        SELECT r.rule_id, r.version, f.feedback_id, f.occurred_at, f.identifier_id, f.metric, f.score, r.severity, r.owner
        FROM cx.feedback AS f
        CROSS JOIN LATERAL cxm.matching_alert_rules(f.metric, f.score, f.touchpoint_id, f.location_id, f.product_id,
                                                    f.comment, f.received_at, evaluate_alerts.rule_id) AS r
        WHERE f.feedback_id = ANY (feedback_ids)
        ORDER BY f.feedback_id, r.rule_id
        ON CONFLICT ON CONSTRAINT alert_rule_feedback_key DO NOTHING
        RETURNING n.alert_id, n.rule_id, n.feedback_id, n.metric, n.score, n.severity
    )
    SELECT cxm.send_notifications(array_agg((a.alert_id, a.rule_id, a.feedback_id, a.metric, a.score, a.severity)::cxm.raised_alert)) INTO told
    FROM raised AS a HAVING count(*) > 0;

    RETURN coalesce(told, 0);
END
$$;

COMMENT ON FUNCTION cxm.evaluate_alerts(bigint[], integer) IS
'Holds stored answers against all enabled alert rules, or against the one given, and returns how many alerts that raised. An answer that raised a rule''s alert before raises it no more, so repeating this is harmless. Unknown ids raise nothing. What is wrong with a rule is an error here. It does not look at cxm.alerts.';

CREATE FUNCTION cxm.feedback_alert() RETURNS trigger
AS 'MODULE_PATHNAME', 'cxm_feedback_alert'
LANGUAGE C;

COMMENT ON FUNCTION cxm.feedback_alert() IS
'Statement trigger on cx.feedback and its partitions, after INSERT and UPDATE: raises alerts for new answers, and for changed ones where they meet a rule that they did not meet before. Does nothing while cxm.alerts is off. Never fails the writer: a rule that cannot be evaluated becomes a row of cx.rejection (kind alert), or else a WARNING.';

CREATE FUNCTION cxm.alert_rules_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'cxm_alert_rules_changed'
LANGUAGE C;

COMMENT ON FUNCTION cxm.alert_rules_changed() IS
'Trigger on cx.alert_rule: every session reads the rules anew before it next holds an answer against them.';

CREATE FUNCTION cxm.add_alert_triggers(feedback_partition regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_partition_ancestors(feedback_partition) AS a WHERE a.relid = 'cx.feedback'::regclass) THEN
        RAISE wrong_object_type USING
            MESSAGE = format('"%s" is not a partition of cx.feedback', feedback_partition);
    END IF;

    EXECUTE format('CREATE OR REPLACE TRIGGER feedback_alert_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_feedback '
                   'FOR EACH STATEMENT EXECUTE FUNCTION cxm.feedback_alert()', feedback_partition);
    EXECUTE format('CREATE OR REPLACE TRIGGER feedback_alert_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_feedback NEW TABLE AS new_feedback '
                   'FOR EACH STATEMENT EXECUTE FUNCTION cxm.feedback_alert()', feedback_partition);
END
$$;

COMMENT ON FUNCTION cxm.add_alert_triggers(regclass) IS
'Gives a partition of cx.feedback the alert triggers, so that rows put straight into the partition (and not through cx.feedback) raise alerts too. Partitions that cxm makes have them; call it for one that you attach yourself. Error 42809: not a partition of cx.feedback.';

-- taking alerts up

CREATE FUNCTION cxm.claim_alerts(n integer DEFAULT 10, claimed_by text DEFAULT session_user, lease interval DEFAULT interval '5 minutes')
RETURNS TABLE (
    alert_id bigint,
    rule_id integer,
    rule text,
    severity text,
    owner text,
    feedback_id bigint,
    occurred_at timestamptz,
    identifier_id bigint,
    metric text,
    score integer,
    comment text,
    raised_at timestamptz,
    claim_expires_at timestamptz
)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF (n > 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'n must be greater than zero';
    END IF;

    IF coalesce(claim_alerts.claimed_by, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'claimed_by must say who claims';
    END IF;

    IF (moment + lease > moment) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'lease must be longer than zero';
    END IF;

    RETURN QUERY
    WITH candidate AS MATERIALIZED (
        SELECT a.alert_id
        FROM cx.alert AS a
        WHERE a.state <> 'acknowledged'
          AND (a.state = 'open' OR a.claim_expires_at <= moment)
        ORDER BY a.alert_id
        LIMIT n
        FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE cx.alert AS a
        SET state = 'claimed',
            claimed_at = moment,
            claimed_by = claim_alerts.claimed_by,
            claim_expires_at = moment + lease
        FROM candidate AS c
        WHERE a.alert_id = c.alert_id
        RETURNING a.*
    )
    SELECT a.alert_id, a.rule_id, r.name, a.severity, a.owner, a.feedback_id, a.occurred_at, a.identifier_id,
           a.metric, a.score::integer, f.comment, a.raised_at, a.claim_expires_at
    FROM claimed AS a
    LEFT JOIN cx.alert_rule AS r ON r.rule_id = a.rule_id
    LEFT JOIN cx.feedback AS f ON f.feedback_id = a.feedback_id AND f.occurred_at = a.occurred_at
    ORDER BY a.alert_id;
END
$$;

COMMENT ON FUNCTION cxm.claim_alerts(integer, text, interval) IS
'Claims up to n alerts that nobody holds, oldest first, for claimed_by, and returns them with what a worker needs. Sessions that claim at once get different alerts and do not wait. A claim lapses after lease, and the alert can be claimed again. comment is NULL where the answer has none or is gone. Error 22023: n, claimed_by or lease is missing or not positive.';

CREATE FUNCTION cxm.acknowledge_alert(alert_id bigint, note text DEFAULT NULL, acknowledged_by text DEFAULT session_user) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(acknowledge_alert.acknowledged_by, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'acknowledged_by must say who acknowledges';
    END IF;

    UPDATE cx.alert AS a
    SET state = 'acknowledged',
        acknowledged_at = clock_timestamp(),
        acknowledged_by = acknowledge_alert.acknowledged_by,
        note = acknowledge_alert.note
    WHERE a.alert_id = acknowledge_alert.alert_id
      AND a.state <> 'acknowledged';

    IF FOUND THEN
        RETURN true;
    END IF;

    IF NOT EXISTS (SELECT FROM cx.alert AS a WHERE a.alert_id = acknowledge_alert.alert_id) THEN
        RAISE no_data_found USING
            MESSAGE = format('alert %s does not exist', coalesce(acknowledge_alert.alert_id::text, 'NULL'));
    END IF;

    RETURN false;
END
$$;

COMMENT ON FUNCTION cxm.acknowledge_alert(bigint, text, text) IS
'Closes an alert for good, claimed or not, with a note. True when this call did so, false when it was acknowledged before (the first note and name stay). Error P0002: no such alert.';

CREATE FUNCTION cxm.release_alert(alert_id bigint, claimed_by text DEFAULT session_user) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE cx.alert AS a
    SET state = 'open',
        claim_expires_at = NULL
    WHERE a.alert_id = release_alert.alert_id
      AND a.state = 'claimed'
      AND a.claimed_by = release_alert.claimed_by;

    IF FOUND THEN
        RETURN true;
    END IF;

    IF NOT EXISTS (SELECT FROM cx.alert AS a WHERE a.alert_id = release_alert.alert_id) THEN
        RAISE no_data_found USING
            MESSAGE = format('alert %s does not exist', coalesce(release_alert.alert_id::text, 'NULL'));
    END IF;

    RETURN false;
END
$$;

COMMENT ON FUNCTION cxm.release_alert(bigint, text) IS
'Gives back an alert that claimed_by holds, so that others can claim it at once. True when it was given back, false when claimed_by does not hold it (the claim lapsed and another took it, or it is open or acknowledged). Error P0002: no such alert.';

-- for listeners that were away

CREATE FUNCTION cxm.replay_alerts(since timestamptz DEFAULT NULL, seen pg_snapshot DEFAULT NULL)
RETURNS TABLE (
    alert_id bigint,
    rule_id integer,
    feedback_id bigint,
    raised_at timestamptz,
    state text,
    payload jsonb
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF since IS NULL AND seen IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'replay_alerts needs a time or a snapshot',
            HINT = 'Give since => a time, or seen => the pg_current_snapshot() of your last look.';
    END IF;

    -- An alert whose transaction this cluster has not reached yet was restored or replicated from another one;
    -- snapshots of this cluster say nothing about it.
    RETURN QUERY
    SELECT a.alert_id, a.rule_id, a.feedback_id, a.raised_at, a.state,
           cxm.alert_payload(a.alert_id, a.rule_id, r.name, a.feedback_id, a.metric, a.score, a.severity)
    FROM cx.alert AS a
    LEFT JOIN cx.alert_rule AS r ON r.rule_id = a.rule_id
    WHERE (since IS NULL OR a.raised_at >= since)
      AND (seen IS NULL
           OR (a.raised_xid >= pg_snapshot_xmin(seen)
               AND NOT pg_visible_in_snapshot(a.raised_xid, seen)
               AND (a.raised_xid < pg_snapshot_xmax(pg_current_snapshot())
                    OR a.raised_xid IS NOT DISTINCT FROM pg_current_xact_id_if_assigned())))
    ORDER BY a.alert_id;
END
$$;

COMMENT ON FUNCTION cxm.replay_alerts(timestamptz, pg_snapshot) IS
'Alerts for a listener that was away, oldest first, with the payload that it missed (always one an alert, never a summary). since: alerts raised at or after that time; one whose transaction was still open when you last looked may have been raised before it, so look back further than your longest transaction. seen: exactly the alerts that were not visible in that snapshot (pg_current_snapshot() of your last look), none missed and none twice, in the cluster that raised them. Both: alerts that meet both. Error 22023: neither.';
