-- Alert rules: what people state, how it is checked, and every version of it.

CREATE TYPE cxm.alert_rule_input AS (
    name            text,
    metric          text,
    score_min       integer,
    score_max       integer,
    touchpoint      text[],
    location        text[],
    product         text[],
    search          text,
    search_config   regconfig,
    severity        text,
    owner           text,
    valid_from      timestamptz,
    valid_to        timestamptz,
    drop_min        integer,
    segment         jsonb,
    spend_min       numeric,
    spend_currency  text,
    spend_window    interval,
    trend_goal      double precision,
    trend_window    interval,
    trend_by        text,
    trend_period    text,
    trend_confidence double precision,
    silence_after   text,
    silence_expect  text,
    silence_within  interval,
    channel         text,
    routing         text,
    owners          text[],
    follow_up       boolean,
    throttle        interval,
    throttle_by     text,
    storm_cap       integer,
    storm_window    interval,
    quiet_from      time,
    quiet_to        time
);

COMMENT ON TYPE cxm.alert_rule_input IS
'An alert rule as people state it, on its way into cx.alert_rule: touchpoint, location and product by keys, of which one must fit; NULL = any. The arguments of cxm.add_alert_rule().';

CREATE FUNCTION cxm.alert_rule_kind(rule cxm.alert_rule_input) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN (rule).trend_goal IS NOT NULL THEN 'trend' WHEN (rule).silence_after IS NOT NULL THEN 'silence' ELSE 'answer' END;

COMMENT ON FUNCTION cxm.alert_rule_kind(cxm.alert_rule_input) IS
'What raises the alerts of a rule: trend when it has a trend_goal, silence when it has a silence_after, else answer.';

CREATE FUNCTION cxm.complete_alert_rule(rule cxm.alert_rule_input) RETURNS cxm.alert_rule_input
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    rule.routing := coalesce(rule.routing, CASE WHEN rule.owners IS NULL THEN 'owner' ELSE 'round_robin' END);
    rule.follow_up := coalesce(rule.follow_up, false);
    IF jsonb_typeof(rule.segment) = 'string' THEN
        rule.segment := jsonb_build_object('segment', rule.segment);
    END IF;
    IF rule.throttle IS NOT NULL THEN
        rule.throttle_by := coalesce(rule.throttle_by, CASE cxm.alert_rule_kind(rule) WHEN 'trend' THEN 'rule' ELSE 'customer' END);
    END IF;
    IF rule.storm_cap IS NOT NULL THEN
        rule.storm_window := coalesce(rule.storm_window, interval '1 hour');
    END IF;
    IF rule.trend_goal IS NOT NULL THEN
        rule.trend_window := coalesce(rule.trend_window, interval '28 days');
        rule.trend_period := coalesce(rule.trend_period, 'week');
        rule.trend_confidence := coalesce(rule.trend_confidence, 0.95);
    END IF;
    RETURN rule;
END
$$;

COMMENT ON FUNCTION cxm.complete_alert_rule(cxm.alert_rule_input) IS
'A rule with what follows from what was given: routing, throttle_by, storm_window, the window, period and confidence of a trend; a segment given as a word becomes {"segment": word}.';

CREATE FUNCTION cxm.check_alert_span(rule_name text, field text, span interval, multiple_of interval DEFAULT NULL) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF span <= interval '0' OR span > interval '36500 days' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s of alert rule "%s" is %s', field, rule_name, span),
            HINT = 'Give a length of time greater than zero, a hundred years at most.';
    ELSIF extract(year FROM span) <> 0 OR extract(month FROM span) <> 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s of alert rule "%s" is counted in months', field, rule_name),
            DETAIL = format('%s is not of one length.', span),
            HINT = 'Give days, such as 28 days. A day counts 24 hours.';
    ELSIF extract(epoch FROM span) % extract(epoch FROM multiple_of) <> 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s of alert rule "%s" is not a multiple of %s', field, rule_name, multiple_of),
            DETAIL = format('It is %s.', span);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_alert_span(text, text, interval, interval) IS
'Error 22023 when a length of time in an alert rule is not greater than zero, longer than 36500 days, counted in months or years, or not a multiple of multiple_of (NULL = need not be one). NULL is fine.';

CREATE FUNCTION cxm.check_alert_field(rule_name text, field text, given text, needs text, has boolean) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF given IS NOT NULL AND NOT has THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has %s but no %s', rule_name, field, needs),
            HINT = format('Give %s too, or leave %s out.', needs, field);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_alert_field(text, text, text, text, boolean) IS 'Error 22023 when an alert rule has a field (given, as text) that says nothing without another.';

CREATE FUNCTION cxm.check_alert_rule(rule cxm.alert_rule_input) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind CONSTANT text := cxm.alert_rule_kind(rule);
    measured record;
    given text;
BEGIN
    IF coalesce(rule.name, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'an alert rule needs a name';
    END IF;

    IF num_nonnulls(rule.metric, rule.touchpoint, rule.location, rule.product, rule.search, rule.score_min, rule.score_max,
                    rule.drop_min, rule.segment, rule.spend_min, rule.trend_goal, rule.silence_after) = 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has no condition', rule.name),
            DETAIL = 'It would raise an alert for every answer of every metric.',
            HINT = 'Give a metric, touchpoint, location, product or search. To hear of every answer to a metric, give the metric alone.';
    END IF;

    IF EXISTS (SELECT FROM unnest(rule.touchpoint || rule.location || rule.product) AS k(key) WHERE coalesce(k.key, '') = '')
       OR 0 IN (cardinality(rule.touchpoint), cardinality(rule.location), cardinality(rule.product)) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has an empty key', rule.name),
            HINT = 'Leave touchpoint, location or product out where any will do.';
    END IF;

    IF rule.metric IS NOT NULL THEN
        SELECT m.* INTO measured FROM cx.metric AS m WHERE m.metric = rule.metric;

        IF NOT FOUND THEN
            RAISE undefined_object USING
                MESSAGE = format('metric "%s" does not exist', rule.metric),
                DETAIL = format('The metrics are %s.', (SELECT string_agg(m.metric, ', ' ORDER BY m.metric) FROM cx.metric AS m)),
                HINT = 'Add a metric of your own with cxm.add_metric().';
        END IF;

        IF rule.score_min NOT BETWEEN measured.scale_min AND measured.scale_max OR rule.score_max NOT BETWEEN measured.scale_min AND measured.scale_max THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('scores of alert rule "%s" lie outside the scale of metric "%s"', rule.name, rule.metric),
                DETAIL = format('The scale is %s to %s, the rule asks for %s to %s.', measured.scale_min, measured.scale_max,
                                coalesce(rule.score_min, measured.scale_min), coalesce(rule.score_max, measured.scale_max));
        END IF;

        IF rule.drop_min NOT BETWEEN 1 AND measured.scale_max - measured.scale_min THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('alert rule "%s" can never hold', rule.name),
                DETAIL = format('A score of metric "%s" can drop by 1 to %s; drop_min is %s.', rule.metric, measured.scale_max - measured.scale_min, rule.drop_min);
        END IF;
    ELSIF rule.score_min IS NOT NULL OR rule.score_max IS NOT NULL OR rule.drop_min IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has a %s but no metric', rule.name, CASE WHEN rule.drop_min IS NULL THEN 'range of scores' ELSE 'drop_min' END),
            DETAIL = 'A score says nothing without its metric: 5 is a bad NPS answer and the best CSAT answer.',
            HINT = 'Give the metric too.';
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

    -- the customer

    IF jsonb_typeof(rule.segment) <> 'object' OR rule.segment = '{}' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('segment of alert rule "%s" names no trait', rule.name),
            DETAIL = format('It is %s.', left(rule.segment::text, 200)),
            HINT = 'Give the traits that the customer must have, such as {"tier": "gold"}, or the value of the trait segment, such as "vip".';
    END IF;

    IF NOT (rule.spend_min > '-Infinity' AND rule.spend_min < 'Infinity') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('spend_min of alert rule "%s" is %s', rule.name, rule.spend_min),
            HINT = 'Give an amount of money.';
    ELSIF rule.spend_currency !~ '^[A-Z]{3}$' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('spend_currency of alert rule "%s" is "%s"', rule.name, rule.spend_currency),
            HINT = 'Give an ISO 4217 code such as EUR.';
    END IF;
    PERFORM cxm.check_alert_field(rule.name, 'spend_currency', rule.spend_currency, 'spend_min', rule.spend_min IS NOT NULL);
    PERFORM cxm.check_alert_field(rule.name, 'spend_window', rule.spend_window::text, 'spend_min', rule.spend_min IS NOT NULL);
    PERFORM cxm.check_alert_span(rule.name, 'spend_window', rule.spend_window);

    -- rules that no single answer raises

    IF rule.trend_goal IS NOT NULL AND rule.silence_after IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" is about a trend and about a silence', rule.name),
            HINT = 'Make two rules.';
    END IF;
    PERFORM cxm.check_alert_field(rule.name, 'trend_window', rule.trend_window::text, 'trend_goal', kind = 'trend');
    PERFORM cxm.check_alert_field(rule.name, 'trend_by', rule.trend_by, 'trend_goal', kind = 'trend');
    PERFORM cxm.check_alert_field(rule.name, 'trend_period', rule.trend_period, 'trend_goal', kind = 'trend');
    PERFORM cxm.check_alert_field(rule.name, 'trend_confidence', rule.trend_confidence::text, 'trend_goal', kind = 'trend');
    PERFORM cxm.check_alert_field(rule.name, 'silence_expect', rule.silence_expect, 'silence_after', kind = 'silence');
    PERFORM cxm.check_alert_field(rule.name, 'silence_within', rule.silence_within::text, 'silence_after', kind = 'silence');

    given := concat_ws(', ',
        CASE WHEN rule.score_min IS NOT NULL THEN 'score_min' END,
        CASE WHEN rule.score_max IS NOT NULL THEN 'score_max' END,
        CASE WHEN rule.search IS NOT NULL THEN 'search' END,
        CASE WHEN rule.drop_min IS NOT NULL THEN 'drop_min' END,
        CASE WHEN rule.metric IS NOT NULL AND kind = 'silence' THEN 'metric' END,
        CASE WHEN rule.segment IS NOT NULL AND kind = 'trend' THEN 'segment' END,
        CASE WHEN rule.spend_min IS NOT NULL AND kind = 'trend' THEN 'spend_min' END,
        CASE WHEN rule.throttle_by = 'customer' AND kind = 'trend' THEN 'throttle_by customer' END);
    IF kind <> 'answer' AND given <> '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" is about a %s and cannot have %s', rule.name, kind, given);
    END IF;

    IF kind = 'trend' THEN
        IF rule.metric IS NULL THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('alert rule "%s" has a trend_goal but no metric', rule.name),
                HINT = 'Give the metric too.';
        END IF;
        IF (rule.trend_goal BETWEEN CASE measured.family WHEN 'nps' THEN -100 WHEN 'csat' THEN 0 ELSE measured.scale_min END
                                AND CASE measured.family WHEN 'nps' THEN 100 WHEN 'csat' THEN 100 ELSE measured.scale_max END) IS NOT TRUE THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('trend_goal %s of alert rule "%s" cannot be reached by metric "%s"', rule.trend_goal, rule.name, rule.metric),
                HINT = CASE measured.family WHEN 'nps' THEN 'A Net Promoter Score lies between -100 and 100.'
                                            WHEN 'csat' THEN 'A CSAT lies between 0 and 100 percent.'
                                            ELSE format('The mean lies between %s and %s.', measured.scale_min, measured.scale_max) END;
        END IF;
        PERFORM cxm.check_alert_span(rule.name, 'trend_window', rule.trend_window, interval '1 hour');
        IF rule.trend_by NOT IN ('touchpoint', 'location', 'product') THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('alert rule "%s" has the unknown trend_by "%s"', rule.name, rule.trend_by),
                HINT = 'Use touchpoint, location or product, or leave it out for one figure over all.';
        END IF;
        IF rule.trend_period NOT IN ('day', 'week', 'month') THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('alert rule "%s" has the unknown trend_period "%s"', rule.name, rule.trend_period),
                HINT = 'Use day, week or month.';
        END IF;
        IF NOT (rule.trend_confidence > 0 AND rule.trend_confidence < 1) THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('trend_confidence of alert rule "%s" is %s', rule.name, rule.trend_confidence),
                HINT = 'Give a number between 0 and 1, such as 0.95.';
        END IF;
    ELSIF kind = 'silence' THEN
        IF rule.silence_after = '' OR rule.silence_expect IS NULL OR rule.silence_within IS NULL THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('alert rule "%s" does not say what is expected after what, and when', rule.name),
                HINT = 'Give silence_after (an event type), silence_expect and silence_within.';
        END IF;
        IF rule.silence_expect !~ '^(event:.+|feedback(:.+)?|purchase(:.+)?)$' THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('alert rule "%s" expects "%s", which nothing is', rule.name, rule.silence_expect),
                HINT = 'Use event:TYPE, feedback, feedback:METRIC, purchase or purchase:PRODUCT.';
        END IF;
        IF rule.silence_expect LIKE 'feedback:%' AND NOT EXISTS (SELECT FROM cx.metric AS m WHERE m.metric = substr(rule.silence_expect, 10)) THEN
            RAISE undefined_object USING
                MESSAGE = format('metric "%s" does not exist', substr(rule.silence_expect, 10)),
                HINT = 'Add a metric of your own with cxm.add_metric().';
        END IF;
        PERFORM cxm.check_alert_span(rule.name, 'silence_within', rule.silence_within);
    END IF;

    -- who is told, and when not

    IF rule.routing NOT IN ('owner', 'touchpoint', 'location', 'product', 'round_robin') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has the unknown routing "%s"', rule.name, rule.routing),
            HINT = 'Use owner, touchpoint, location, product or round_robin.';
    ELSIF (rule.routing = 'round_robin') <> (rule.owners IS NOT NULL) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has %s', rule.name, CASE WHEN rule.owners IS NULL THEN 'routing round_robin but no owners' ELSE 'owners but another routing than round_robin' END),
            HINT = 'Give owners, those who take alerts in turn, with routing round_robin.';
    ELSIF cardinality(rule.owners) = 0 OR EXISTS (SELECT FROM unnest(rule.owners) AS o(owner) WHERE coalesce(o.owner, '') = '') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has an empty owner', rule.name);
    END IF;

    PERFORM cxm.check_alert_span(rule.name, 'throttle', rule.throttle);
    PERFORM cxm.check_alert_field(rule.name, 'throttle_by', rule.throttle_by, 'throttle', rule.throttle IS NOT NULL);
    IF rule.throttle_by NOT IN ('customer', 'touchpoint', 'location', 'product', 'rule') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" has the unknown throttle_by "%s"', rule.name, rule.throttle_by),
            HINT = 'Use customer, touchpoint, location, product or rule.';
    END IF;

    PERFORM cxm.check_alert_span(rule.name, 'storm_window', rule.storm_window);
    PERFORM cxm.check_alert_field(rule.name, 'storm_window', rule.storm_window::text, 'storm_cap', rule.storm_cap IS NOT NULL);
    IF rule.storm_cap < 1 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('storm_cap of alert rule "%s" is %s', rule.name, rule.storm_cap),
            HINT = 'Give the greatest number of alerts in a storm_window, at least 1; or turn the rule off with cxm.enable_alert_rule().';
    END IF;

    PERFORM cxm.check_alert_field(rule.name, 'quiet_from', rule.quiet_from::text, 'quiet_to', rule.quiet_to IS NOT NULL);
    PERFORM cxm.check_alert_field(rule.name, 'quiet_to', rule.quiet_to::text, 'quiet_from', rule.quiet_from IS NOT NULL);
    IF rule.quiet_from = rule.quiet_to THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('quiet hours of alert rule "%s" begin and end at %s', rule.name, rule.quiet_from),
            HINT = 'Turn the rule off with cxm.enable_alert_rule() where nobody is to hear of it at any time.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_alert_rule(cxm.alert_rule_input) IS
'Raises an error that says what is wrong with an alert rule: no name, no condition, an unknown metric (42704), scores outside the metric''s scale or without a metric, a search without words, an unknown severity, routing or throttle_by, lengths of time that are not positive or counted in months, fields that say nothing without another, times that never hold (22023).';

CREATE FUNCTION cxm.alert_rule_row(rule cxm.alert_rule_input) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN to_jsonb(rule) - '{touchpoint,location,product,search_config}'::text[]
        || jsonb_build_object(
            'rule_id', 0,
            'version', 0,
            'enabled', true,
            'kind', cxm.alert_rule_kind(rule),
            -- by its whole name, so that it means the same under every writer's search_path
            'search_config', (
                SELECT format('%I.%I', n.nspname, c.cfgname)
                FROM pg_ts_config AS c
                JOIN pg_namespace AS n ON n.oid = c.cfgnamespace
                WHERE c.oid = rule.search_config),
            -- a key that no record has had yet holds for none; {} holds for none, NULL for all
            'touchpoint_ids', CASE WHEN rule.touchpoint IS NOT NULL THEN to_jsonb(ARRAY(
                SELECT t.touchpoint_id FROM cx.touchpoint AS t WHERE t.key = ANY (rule.touchpoint) ORDER BY 1)) END,
            'location_ids', CASE WHEN rule.location IS NOT NULL THEN to_jsonb(ARRAY(
                SELECT l.location_id FROM cx.location AS l WHERE l.key = ANY (rule.location) ORDER BY 1)) END,
            'product_ids', CASE WHEN rule.product IS NOT NULL THEN to_jsonb(ARRAY(
                SELECT p.product_id FROM cx.product AS p WHERE p.key = ANY (rule.product) ORDER BY 1)) END);
END
$$;

COMMENT ON FUNCTION cxm.alert_rule_row(cxm.alert_rule_input) IS
'A rule as a row of cx.alert_rule, in JSON, with 0 for the rule_id and version that it does not have yet. Keys that are not in the catalogues are left out.';

CREATE FUNCTION cxm.save_alert_rule(rule_id integer, rule cxm.alert_rule_input) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    saved_id integer;
BEGIN
    -- the catalogues learn unknown keys here as they do when records come in
    INSERT INTO cx.touchpoint (key) SELECT DISTINCT k FROM unnest(rule.touchpoint) AS k ORDER BY k ON CONFLICT (key) DO NOTHING;
    INSERT INTO cx.location (key) SELECT DISTINCT k FROM unnest(rule.location) AS k ORDER BY k ON CONFLICT (key) DO NOTHING;
    INSERT INTO cx.product (key) SELECT DISTINCT k FROM unnest(rule.product) AS k ORDER BY k ON CONFLICT (key) DO NOTHING;
    INSERT INTO cx.event_type (key)
    SELECT DISTINCT k FROM unnest(ARRAY[rule.silence_after, substring(rule.silence_expect FROM '^event:(.+)$')]) AS k
    WHERE k IS NOT NULL ORDER BY k
    ON CONFLICT (key) DO NOTHING;
    INSERT INTO cx.product (key)
    SELECT substr(rule.silence_expect, 10) WHERE rule.silence_expect LIKE 'purchase:%'
    ON CONFLICT (key) DO NOTHING;

    IF save_alert_rule.rule_id IS NULL THEN
        INSERT INTO cx.alert_rule AS r (
            name, kind, metric, score_min, score_max, touchpoint_ids, location_ids, product_ids, search, search_config,
            drop_min, segment, spend_min, spend_currency, spend_window,
            trend_goal, trend_window, trend_by, trend_period, trend_confidence, silence_after, silence_expect, silence_within,
            severity, channel, routing, owner, owners, follow_up, throttle, throttle_by, storm_cap, storm_window, quiet_from, quiet_to,
            valid_from, valid_to)
        SELECT
            n.name, n.kind, n.metric, n.score_min, n.score_max, n.touchpoint_ids, n.location_ids, n.product_ids, n.search, n.search_config,
            n.drop_min, n.segment, n.spend_min, n.spend_currency, n.spend_window,
            n.trend_goal, n.trend_window, n.trend_by, n.trend_period, n.trend_confidence, n.silence_after, n.silence_expect, n.silence_within,
            n.severity, n.channel, n.routing, n.owner, n.owners, n.follow_up, n.throttle, n.throttle_by, n.storm_cap, n.storm_window, n.quiet_from, n.quiet_to,
            n.valid_from, n.valid_to
        FROM jsonb_populate_record(NULL::cx.alert_rule, cxm.alert_rule_row(rule)) AS n
        RETURNING r.rule_id INTO saved_id;
    ELSE
        UPDATE cx.alert_rule AS r
        SET (name, kind, metric, score_min, score_max, touchpoint_ids, location_ids, product_ids, search, search_config,
             drop_min, segment, spend_min, spend_currency, spend_window,
             trend_goal, trend_window, trend_by, trend_period, trend_confidence, silence_after, silence_expect, silence_within,
             severity, channel, routing, owner, owners, follow_up, throttle, throttle_by, storm_cap, storm_window, quiet_from, quiet_to,
             valid_from, valid_to) = (
            SELECT
                n.name, n.kind, n.metric, n.score_min, n.score_max, n.touchpoint_ids, n.location_ids, n.product_ids, n.search, n.search_config,
                n.drop_min, n.segment, n.spend_min, n.spend_currency, n.spend_window,
                n.trend_goal, n.trend_window, n.trend_by, n.trend_period, n.trend_confidence, n.silence_after, n.silence_expect, n.silence_within,
                n.severity, n.channel, n.routing, n.owner, n.owners, n.follow_up, n.throttle, n.throttle_by, n.storm_cap, n.storm_window, n.quiet_from, n.quiet_to,
                n.valid_from, n.valid_to
            FROM jsonb_populate_record(NULL::cx.alert_rule, cxm.alert_rule_row(rule)) AS n)
        WHERE r.rule_id = save_alert_rule.rule_id
        RETURNING r.rule_id INTO saved_id;
    END IF;

    IF rule.routing = 'round_robin' THEN
        PERFORM cxm.make_alert_turn(saved_id);
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

CREATE FUNCTION cxm.alert_turn_name(rule_id integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.concat('alert_turn_', alert_turn_name.rule_id, '_seq');

COMMENT ON FUNCTION cxm.alert_turn_name(integer) IS 'Name of the sequence, in schema cx, that says whose turn it is under routing round_robin.';

CREATE FUNCTION cxm.make_alert_turn(rule_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_grantee text;
BEGIN
    -- a sequence gives the next number without making writers wait for each other
    IF to_regclass(format('cx.%I', cxm.alert_turn_name(rule_id))) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE SEQUENCE cx.%I MINVALUE 0 START 0 OWNED BY cx.alert_rule.rule_id', cxm.alert_turn_name(rule_id));
    EXECUTE format('COMMENT ON SEQUENCE cx.%I IS %L', cxm.alert_turn_name(rule_id), format('Whose turn it is under alert rule %s.', rule_id));

    -- to whom cxm.grant_store() gave those that there were
    FOR v_grantee IN
        SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM pg_class AS c
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.oid = pg_get_serial_sequence('cx.alert', 'alert_id')::regclass
          AND a.privilege_type = 'USAGE'
          AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE cx.%I TO %s', cxm.alert_turn_name(rule_id), v_grantee);
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.make_alert_turn(integer) IS
'Makes the sequence that a rule with routing round_robin goes by, where there is none, and grants its use to whoever may use that of cx.alert.';

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
    valid_to timestamptz DEFAULT 'infinity',
    touchpoints text[] DEFAULT NULL,
    locations text[] DEFAULT NULL,
    products text[] DEFAULT NULL,
    drop_min integer DEFAULT NULL,
    segment jsonb DEFAULT NULL,
    spend_min numeric DEFAULT NULL,
    spend_currency text DEFAULT NULL,
    spend_window interval DEFAULT NULL,
    trend_goal double precision DEFAULT NULL,
    trend_window interval DEFAULT NULL,
    trend_by text DEFAULT NULL,
    trend_period text DEFAULT NULL,
    trend_confidence double precision DEFAULT NULL,
    silence_after text DEFAULT NULL,
    silence_expect text DEFAULT NULL,
    silence_within interval DEFAULT NULL,
    channel text DEFAULT NULL,
    routing text DEFAULT NULL,
    owners text[] DEFAULT NULL,
    follow_up boolean DEFAULT false,
    throttle interval DEFAULT NULL,
    throttle_by text DEFAULT NULL,
    storm_cap integer DEFAULT NULL,
    storm_window interval DEFAULT NULL,
    quiet_from time DEFAULT NULL,
    quiet_to time DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rule CONSTANT cxm.alert_rule_input := cxm.complete_alert_rule(ROW(
        name, metric, score_min, score_max,
        CASE WHEN touchpoint IS NULL THEN touchpoints ELSE ARRAY[touchpoint] || coalesce(touchpoints, '{}') END,
        CASE WHEN location IS NULL THEN locations ELSE ARRAY[location] || coalesce(locations, '{}') END,
        CASE WHEN product IS NULL THEN products ELSE ARRAY[product] || coalesce(products, '{}') END,
        search, search_config, severity, owner, valid_from, valid_to,
        drop_min, segment, spend_min, spend_currency, spend_window,
        trend_goal, trend_window, trend_by, trend_period, trend_confidence, silence_after, silence_expect, silence_within,
        channel, routing, owners, follow_up, throttle, throttle_by, storm_cap, storm_window, quiet_from, quiet_to)::cxm.alert_rule_input);
BEGIN
    PERFORM cxm.check_alert_rule(rule);
    RETURN cxm.save_alert_rule(NULL, rule);
END
$$;

COMMENT ON FUNCTION cxm.add_alert_rule(text, text, integer, integer, text, text, text, text, regconfig, text, text, timestamptz, timestamptz,
    text[], text[], text[], integer, jsonb, numeric, text, interval, double precision, interval, text, text, double precision, text, text, interval,
    text, text, text[], boolean, interval, text, integer, interval, time, time) IS
'Adds an alert rule and returns its rule_id. All conditions given must hold; NULL = any. score_min and score_max are inclusive, lie on the metric''s usual scale and need the metric. touchpoint, location and product are keys, touchpoints, locations and products lists of them; unknown ones are registered. search is in the syntax of websearch_to_tsquery and read, like the comment, in search_config. drop_min: points below the customer''s own last score. segment: traits that the customer has, as {"trait": value}, or the value of the trait segment. spend_min: what the customer has spent, in one currency (spend_currency), within spend_window before. With trend_goal the rule is about the rolling figure of the metric over trend_window, for each trend_by, once a trend_period (day, week, month); with silence_after (an event type) about silence_expect (event:TYPE, feedback, feedback:METRIC, purchase, purchase:PRODUCT) not coming from the customer in silence_within. The rule holds for answers received from valid_from (inclusive) to valid_to (exclusive). severity: low, medium, high or critical. routing: owner, touchpoint, location, product (cx.alert_route) or round_robin (owners in turn). throttle: no second alert for the same throttle_by (customer, touchpoint, location, product, rule) in that time. storm_cap: at most so many alerts in storm_window, then one summary. quiet_from, quiet_to: local hours in which alerts other than critical ones are held. Errors: no condition at all, an unknown metric, scores off the scale, a search without words, fields that contradict each other, a name that is taken.';

CREATE FUNCTION cxm.alert_rule_from_json(rule cxm.alert_rule_input, changes jsonb) RETURNS cxm.alert_rule_input
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fields CONSTANT jsonb := to_jsonb(ROW(rule.*)::cxm.alert_rule_input);
    unknown text;
    field text;
BEGIN
    IF jsonb_typeof(changes) IS DISTINCT FROM 'object' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = CASE WHEN rule.name IS NULL THEN 'the alert rule is not a JSON object'
                           ELSE format('changes to alert rule "%s" are not a JSON object', rule.name) END,
            HINT = 'Give arguments of cxm.add_alert_rule(), such as {"score_max": 4, "owner": null}.';
    END IF;

    -- one key or a list of them, in either number
    FOREACH field IN ARRAY ARRAY['touchpoint', 'location', 'product'] LOOP
        IF changes ? (field || 's') THEN
            changes := (changes || jsonb_build_object(field, changes -> (field || 's'))) - (field || 's');
        END IF;
        IF jsonb_typeof(changes -> field) = 'string' THEN
            changes := jsonb_set(changes, ARRAY[field], jsonb_build_array(changes -> field));
        END IF;
    END LOOP;

    SELECT string_agg(quote_ident(k), ', ' ORDER BY k) INTO unknown
    FROM jsonb_object_keys(changes) AS k
    WHERE NOT fields ? k;

    IF unknown IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = CASE WHEN rule.name IS NULL THEN format('an alert rule has no %s', unknown)
                           ELSE format('alert rule "%s" cannot be changed in %s', rule.name, unknown) END,
            HINT = format('The fields of a rule are %s.', (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(fields) AS k));
    END IF;

    RETURN cxm.complete_alert_rule(jsonb_populate_record(rule, changes));
END
$$;

COMMENT ON FUNCTION cxm.alert_rule_from_json(cxm.alert_rule_input, jsonb) IS
'A rule with the changes that a JSON object of arguments of cxm.add_alert_rule() asks for. touchpoint, location and product take a key or an array of them. Error 22023: not an object, unknown keys.';

CREATE FUNCTION cxm.change_alert_rule(name text, changes jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target_id integer;
    rule cxm.alert_rule_input;
BEGIN
    SELECT r.rule_id INTO target_id FROM cx.alert_rule AS r WHERE r.name = change_alert_rule.name FOR NO KEY UPDATE;

    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('alert rule "%s" does not exist', change_alert_rule.name);
    END IF;

    SELECT r.name, r.metric, r.score_min, r.score_max,
           CASE WHEN r.touchpoint_ids IS NOT NULL THEN ARRAY(SELECT t.key FROM cx.touchpoint AS t WHERE t.touchpoint_id = ANY (r.touchpoint_ids) ORDER BY 1) END,
           CASE WHEN r.location_ids IS NOT NULL THEN ARRAY(SELECT l.key FROM cx.location AS l WHERE l.location_id = ANY (r.location_ids) ORDER BY 1) END,
           CASE WHEN r.product_ids IS NOT NULL THEN ARRAY(SELECT p.key FROM cx.product AS p WHERE p.product_id = ANY (r.product_ids) ORDER BY 1) END,
           r.search, c.oid, r.severity, r.owner, r.valid_from, r.valid_to,
           r.drop_min, r.segment, r.spend_min, r.spend_currency, r.spend_window,
           r.trend_goal, r.trend_window, r.trend_by, r.trend_period, r.trend_confidence, r.silence_after, r.silence_expect, r.silence_within,
           r.channel, r.routing, r.owners, r.follow_up, r.throttle, r.throttle_by, r.storm_cap, r.storm_window, r.quiet_from, r.quiet_to
    INTO rule
    FROM cx.alert_rule AS r
    LEFT JOIN (pg_ts_config AS c JOIN pg_namespace AS n ON n.oid = c.cfgnamespace)
        ON r.search_config = format('%I.%I', n.nspname, c.cfgname)
        OR (r.search_config = quote_ident(c.cfgname) AND n.nspname = 'pg_catalog')
    WHERE r.rule_id = target_id;

    rule := cxm.alert_rule_from_json(rule, changes);
    PERFORM cxm.check_alert_rule(rule);
    PERFORM cxm.save_alert_rule(target_id, rule);
    RETURN (SELECT r.version FROM cx.alert_rule AS r WHERE r.rule_id = target_id);
END
$$;

COMMENT ON FUNCTION cxm.change_alert_rule(text, jsonb) IS
'Changes the alert rule of that name and returns its version, which counts up when that changed anything. changes is a JSON object with the arguments of cxm.add_alert_rule() that change; null takes a condition away; what is not in it stays. search_config needs its schema unless it is in pg_catalog. Alerts keep the version that raised them. Errors: an unknown rule (42704), an unknown key, and those of cxm.add_alert_rule().';

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
    SET enabled = enable_alert_rule.enabled
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

-- triggers of cx.alert_rule

CREATE FUNCTION cxm.number_alert_rule_version() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unsaid CONSTANT text[] := '{version,created_at,created_by,changed_at,changed_by}';
BEGIN
    IF to_jsonb(NEW) - unsaid <> to_jsonb(OLD) - unsaid THEN
        NEW.version := greatest(NEW.version, OLD.version + 1);
        NEW.changed_at := clock_timestamp();
        NEW.changed_by := session_user;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION cxm.number_alert_rule_version() IS 'Trigger on cx.alert_rule, before UPDATE: a row that says something else is a new version.';

CREATE FUNCTION cxm.keep_alert_rule_version() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO cx.alert_rule_version (rule_id, version, name, rule, changed_at, changed_by)
    VALUES (NEW.rule_id, NEW.version, NEW.name, to_jsonb(NEW), NEW.changed_at, NEW.changed_by)
    ON CONFLICT (rule_id, version) DO NOTHING;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.keep_alert_rule_version() IS 'Trigger on cx.alert_rule, after INSERT and UPDATE: keeps each version in cx.alert_rule_version.';

CREATE FUNCTION cxm.alert_rules_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'cxm_alert_rules_changed'
LANGUAGE C;

COMMENT ON FUNCTION cxm.alert_rules_changed() IS
'Trigger on cx.alert_rule: every session reads the rules anew before it next holds an answer against them.';

CREATE FUNCTION cxm.add_alert_rule_triggers() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.alert'::regclass AND t.tgname = 'alert_state') THEN
        CREATE TRIGGER alert_state BEFORE UPDATE ON cx.alert FOR EACH ROW EXECUTE FUNCTION cxm.check_alert_state();
    END IF;
    IF EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.alert_rule'::regclass AND t.tgname = 'alert_rules_changed') THEN
        RETURN;
    END IF;
    CREATE TRIGGER alert_rule_number_version BEFORE UPDATE ON cx.alert_rule FOR EACH ROW EXECUTE FUNCTION cxm.number_alert_rule_version();
    CREATE TRIGGER alert_rule_keep_version AFTER INSERT OR UPDATE ON cx.alert_rule FOR EACH ROW EXECUTE FUNCTION cxm.keep_alert_rule_version();
    CREATE TRIGGER alert_rules_changed AFTER INSERT OR UPDATE OR DELETE ON cx.alert_rule FOR EACH ROW EXECUTE FUNCTION cxm.alert_rules_changed();
    CREATE TRIGGER alert_rules_truncated AFTER TRUNCATE ON cx.alert_rule FOR EACH STATEMENT EXECUTE FUNCTION cxm.alert_rules_changed();
    -- by replication too
    ALTER TABLE cx.alert_rule ENABLE ALWAYS TRIGGER alert_rules_changed;
    ALTER TABLE cx.alert_rule ENABLE ALWAYS TRIGGER alert_rules_truncated;
END
$$;

COMMENT ON FUNCTION cxm.add_alert_rule_triggers() IS 'Gives cx.alert_rule and cx.alert their triggers back where they have lost them.';

-- who owns what

CREATE FUNCTION cxm.set_alert_route(owner text, touchpoint text DEFAULT NULL, location text DEFAULT NULL, product text DEFAULT NULL, rule text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rule integer;
    v_touchpoint integer;
    v_location integer;
    v_product integer;
    v_route integer;
BEGIN
    IF num_nonnulls(touchpoint, location, product) <> 1 OR '' IN (touchpoint, location, product) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'an alert route is for one touchpoint, one location or one product',
            HINT = 'Give the key of one of them.';
    END IF;
    IF owner = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'the owner of an alert route is empty',
            HINT = 'Give NULL to take the route away.';
    END IF;
    IF rule IS NOT NULL THEN
        SELECT r.rule_id INTO v_rule FROM cx.alert_rule AS r WHERE r.name = rule;
        IF NOT FOUND THEN
            RAISE undefined_object USING
                MESSAGE = format('alert rule "%s" does not exist', rule);
        END IF;
    END IF;

    INSERT INTO cx.touchpoint (key) SELECT touchpoint WHERE touchpoint IS NOT NULL ON CONFLICT (key) DO NOTHING;
    INSERT INTO cx.location (key) SELECT location WHERE location IS NOT NULL ON CONFLICT (key) DO NOTHING;
    INSERT INTO cx.product (key) SELECT product WHERE product IS NOT NULL ON CONFLICT (key) DO NOTHING;
    SELECT t.touchpoint_id INTO v_touchpoint FROM cx.touchpoint AS t WHERE t.key = touchpoint;
    SELECT l.location_id INTO v_location FROM cx.location AS l WHERE l.key = location;
    SELECT p.product_id INTO v_product FROM cx.product AS p WHERE p.key = product;

    DELETE FROM cx.alert_route AS r
    WHERE (r.rule_id, r.touchpoint_id, r.location_id, r.product_id) IS NOT DISTINCT FROM (v_rule, v_touchpoint, v_location, v_product);
    IF owner IS NOT NULL THEN
        INSERT INTO cx.alert_route AS r (rule_id, touchpoint_id, location_id, product_id, owner)
        VALUES (v_rule, v_touchpoint, v_location, v_product, set_alert_route.owner)
        RETURNING r.route_id INTO v_route;
    END IF;
    RETURN v_route;
END
$$;

COMMENT ON FUNCTION cxm.set_alert_route(text, text, text, text, text) IS
'Says who owns alerts about a touchpoint, location or product (one of them, by key; a new one is registered), for all rules with that routing or for the rule of that name, which goes first. Takes the place of an earlier route; owner NULL takes it away. Returns the route_id, or NULL. Errors: none or several of the three, an empty owner (22023), an unknown rule (42704).';
