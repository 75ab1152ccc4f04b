-- Alerts that no single answer raises, what a rule would have raised, and why an alert was raised.

-- silence: what was promised did not come

CREATE FUNCTION cxm.silence_candidates(rule jsonb, since timestamptz, until timestamptz) RETURNS SETOF cxm.alert_candidate
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    r record;
    v_within interval;
    v_what text;
    v_key text;
BEGIN
    SELECT q.* INTO r FROM jsonb_populate_record(NULL::cx.alert_rule, rule) AS q;
    v_within := cxm.alert_span(r.silence_within);
    v_what := split_part(r.silence_expect, ':', 1);
    v_key := substring(r.silence_expect FROM ':(.+)$');

    RETURN QUERY
    SELECT DISTINCT ON (promised.at, e.identifier_id)
           r.rule_id, 'silence', NULL::bigint, concat_ws(' ', 'silence', e.identifier_id, cxm.alert_time(promised.at)),
           promised.at, promised.at, e.identifier_id, NULL::text, NULL::smallint, e.touchpoint_id, e.location_id, e.product_id,
           jsonb_build_object('event_id', e.event_id, 'event', r.silence_after, 'event_at', e.occurred_at, 'expected', r.silence_expect)
    FROM cx.event AS e
    CROSS JOIN LATERAL (SELECT e.occurred_at + v_within AS at) AS promised
    CROSS JOIN LATERAL (SELECT cxm.customer_identifiers(e.identifier_id) AS identifier_ids OFFSET 0) AS who
    WHERE e.event_type_id = (SELECT t.event_type_id FROM cx.event_type AS t WHERE t.key = r.silence_after COLLATE "C")
      AND e.occurred_at > since - v_within
      AND e.occurred_at <= until - v_within
      AND e.identifier_id IS NOT NULL
      AND promised.at >= r.valid_from
      AND promised.at < r.valid_to
      AND (r.touchpoint_ids IS NULL OR e.touchpoint_id = ANY (r.touchpoint_ids))
      AND (r.location_ids IS NULL OR e.location_id = ANY (r.location_ids))
      AND (r.product_ids IS NULL OR e.product_id = ANY (r.product_ids))
      AND NOT EXISTS (
          SELECT FROM cx.event AS f
          WHERE v_what = 'event'
            AND f.identifier_id = ANY (who.identifier_ids) AND f.occurred_at > e.occurred_at AND f.occurred_at <= promised.at
            AND f.event_type_id = (SELECT t.event_type_id FROM cx.event_type AS t WHERE t.key = v_key COLLATE "C"))
      AND NOT EXISTS (
          SELECT FROM cx.feedback AS f
          WHERE v_what = 'feedback'
            AND f.identifier_id = ANY (who.identifier_ids) AND f.occurred_at > e.occurred_at AND f.occurred_at <= promised.at
            AND (v_key IS NULL OR f.metric = v_key COLLATE "C"))
      AND NOT EXISTS (
          SELECT FROM cx.purchase AS f
          WHERE v_what = 'purchase'
            AND f.identifier_id = ANY (who.identifier_ids) AND f.occurred_at > e.occurred_at AND f.occurred_at <= promised.at
            AND (v_key IS NULL OR f.product_id = (SELECT p.product_id FROM cx.product AS p WHERE p.key = v_key COLLATE "C")))
    ORDER BY promised.at, e.identifier_id, e.event_id;
END
$$;

COMMENT ON FUNCTION cxm.silence_candidates(jsonb, timestamptz, timestamptz) IS
'Promises that fell due after since and not after until, and were not kept: an event of type silence_after whose customer, by whatever identifier, did none of what silence_expect says between it and silence_within later. rule: a row of cx.alert_rule in JSON. Conditions on touchpoint, location and product are on the event.';

-- trend: the rolling figure lies below the goal for certain

CREATE FUNCTION cxm.trend_candidates(rule jsonb, since timestamptz, until timestamptz) RETURNS SETOF cxm.alert_candidate
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    r record;
    v_metric record;
    v_zone CONSTANT text := (SELECT s.time_zone FROM cx.store AS s);
    v_window interval;
BEGIN
    SELECT q.* INTO r FROM jsonb_populate_record(NULL::cx.alert_rule, rule) AS q;
    SELECT m.* INTO v_metric FROM cx.metric AS m WHERE m.metric = r.metric;
    v_window := cxm.alert_span(r.trend_window);

    RETURN QUERY
    SELECT DISTINCT ON (p.place_id, w.period)
           r.rule_id, 'trend',
           NULL::bigint,
           concat_ws(' ', 'trend', r.trend_by, p.place_id, to_char(w.period, 'YYYY-MM-DD')),
           p.at, p.at, NULL::bigint, r.metric, NULL::smallint,
           CASE r.trend_by WHEN 'touchpoint' THEN p.place_id END,
           CASE r.trend_by WHEN 'location' THEN p.place_id END,
           CASE r.trend_by WHEN 'product' THEN p.place_id END,
           jsonb_strip_nulls(jsonb_build_object(
               'value', f.value, 'lower', f.lower, 'upper', f.upper, 'answers', cxm.count(p.ratings), 'goal', r.trend_goal,
               coalesce(r.trend_by, 'everywhere'), p.place_id))
    FROM (
        -- the figure at the end of each hour that has answers
        SELECT h.place_id, h.hour + interval '1 hour' AS at,
               cxm.rollup(h.ratings) OVER (PARTITION BY h.place_id ORDER BY h.hour
                                           RANGE BETWEEN v_window - interval '1 hour' PRECEDING AND CURRENT ROW) AS ratings
        FROM (
            SELECT CASE r.trend_by WHEN 'touchpoint' THEN a.touchpoint_id WHEN 'location' THEN a.location_id WHEN 'product' THEN a.product_id END AS place_id,
                   date_bin('1 hour', a.occurred_at, 'epoch') AS hour,
                   cxm.ratings_agg(a.score, v_metric.scale_min, v_metric.scale_max) AS ratings
            FROM cx.feedback AS a
            WHERE a.metric = r.metric COLLATE "C"
              AND a.score IS NOT NULL
              AND a.scale_min = v_metric.scale_min
              AND a.scale_max = v_metric.scale_max
              AND a.occurred_at >= date_bin('1 hour', since, 'epoch') - v_window
              AND a.occurred_at < date_bin('1 hour', until, 'epoch')
              AND (r.touchpoint_ids IS NULL OR a.touchpoint_id = ANY (r.touchpoint_ids))
              AND (r.location_ids IS NULL OR a.location_id = ANY (r.location_ids))
              AND (r.product_ids IS NULL OR a.product_id = ANY (r.product_ids))
            GROUP BY 1, 2
        ) AS h
        WHERE r.trend_by IS NULL OR h.place_id IS NOT NULL
    ) AS p
    CROSS JOIN LATERAL (
        SELECT cxm.nps(p.ratings) AS value, i.lower, i.upper FROM cxm.nps_interval(p.ratings, r.trend_confidence) AS i WHERE v_metric.family = 'nps'
        UNION ALL
        SELECT cxm.csat(p.ratings), i.lower, i.upper FROM cxm.csat_interval(p.ratings, r.trend_confidence) AS i WHERE v_metric.family = 'csat'
        UNION ALL
        SELECT cxm.mean(p.ratings), i.lower, i.upper FROM cxm.mean_interval(p.ratings, r.trend_confidence) AS i WHERE v_metric.family NOT IN ('nps', 'csat')
    ) AS f
    CROSS JOIN LATERAL (SELECT date_trunc(r.trend_period, p.at AT TIME ZONE v_zone) AS period) AS w
    WHERE p.at > since
      AND p.at <= until
      AND p.at >= r.valid_from
      AND p.at < r.valid_to
      AND f.upper < r.trend_goal
    ORDER BY p.place_id, w.period, p.at;
END
$$;

COMMENT ON FUNCTION cxm.trend_candidates(jsonb, timestamptz, timestamptz) IS
'Where and when a trend lay below its goal: at the end of each hour with answers, after since and not after until, the figure (NPS, CSAT or mean, by the metric''s family) over trend_window is asked; it counts when the whole interval of trend_confidence lies below trend_goal. A row for the first such hour of each trend_by in each trend_period of the store''s time zone. Answers on another scale than the metric''s usual one are left out. rule: a row of cx.alert_rule in JSON.';

CREATE FUNCTION cxm.watch_rule(name text, until timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
    v_began timestamptz;
    v_watched timestamptz;
    v_raised bigint;
BEGIN
    SELECT q.* INTO r FROM cx.alert_rule AS q WHERE q.name = watch_rule.name;
    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('alert rule "%s" does not exist', watch_rule.name);
    ELSIF r.kind = 'answer' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" is about answers', r.name),
            HINT = 'It is evaluated when an answer comes; for stored ones call cxm.evaluate_alerts().';
    ELSIF until IS NULL OR NOT isfinite(until) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('alert rule "%s" cannot be watched until %s', r.name, coalesce(until::text, 'NULL'));
    END IF;

    -- what fell due before the rule was made is nobody's news
    v_began := greatest(r.created_at, r.valid_from);
    INSERT INTO cx.alert_watch (rule_id, watched_to) VALUES (r.rule_id, v_began) ON CONFLICT (rule_id) DO NOTHING;
    SELECT w.watched_to INTO v_watched FROM cx.alert_watch AS w WHERE w.rule_id = r.rule_id FOR UPDATE;
    IF NOT r.enabled OR until <= v_watched THEN
        RETURN 0;
    END IF;

    v_raised := cxm.raise_and_tell(
        CASE r.kind
            -- a day back, for events that were late to arrive
            WHEN 'silence' THEN ARRAY(SELECT c FROM cxm.silence_candidates(to_jsonb(r), greatest(v_watched - interval '1 day', v_began), until) AS c)
            ELSE ARRAY(SELECT c FROM cxm.trend_candidates(to_jsonb(r), v_watched, until) AS c)
        END);
    UPDATE cx.alert_watch AS w SET watched_to = until WHERE w.rule_id = r.rule_id;
    RETURN v_raised;
END
$$;

COMMENT ON FUNCTION cxm.watch_rule(text, timestamptz) IS
'Looks at an enabled rule of kind trend or silence from where it was last looked at (at first, from when it was made) up to until, and returns how many alerts that raised. A promise that falls due is looked at for a day more, for events that are late to arrive. Running it again is harmless. Errors: no such rule (42704), a rule about answers, an until that is not finite (22023).';

-- quiet hours end

CREATE FUNCTION cxm.release_held_alerts(max_rows integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_released record;
BEGIN
    IF (max_rows > 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'max_rows must be greater than zero';
    END IF;

    WITH due AS MATERIALIZED (
        SELECT a.alert_id
        FROM cx.alert AS a
        WHERE a.held_until <= now() AND a.state = 'held'
        ORDER BY a.held_until, a.alert_id
        LIMIT max_rows
        FOR UPDATE SKIP LOCKED
    ), released AS (
        UPDATE cx.alert AS a
        SET state = 'open',
            released_at = clock_timestamp(),
            raised_xid = pg_current_xact_id()
        FROM due AS d
        WHERE a.alert_id = d.alert_id
        RETURNING a.*
    )
    SELECT count(*) AS count,
           array_agg(a.alert_id ORDER BY a.alert_id) AS alert_ids,
           array_agg(cxm.alert_payload(a.alert_id, a.rule_id, r.name, a.feedback_id, a.metric, a.score, a.severity, a.kind, a.channel) ORDER BY a.alert_id) AS payloads,
           array_agg(a.alert_id ORDER BY a.alert_id) FILTER (WHERE r.follow_up) AS follow_ups
    INTO v_released
    FROM released AS a
    LEFT JOIN cx.alert_rule AS r ON r.rule_id = a.rule_id;

    IF v_released.count > 0 THEN
        PERFORM cxm.send_notifications(v_released.alert_ids, v_released.payloads);
    END IF;
    IF v_released.follow_ups IS NOT NULL THEN
        PERFORM cxm.try_open_follow_ups(v_released.follow_ups);
    END IF;
    RETURN v_released.count;
END
$$;

COMMENT ON FUNCTION cxm.release_held_alerts(integer) IS
'Opens the alerts whose quiet hours have ended, at most max_rows of them, tells listeners, opens their follow-ups, and returns how many. Several sessions may call it at once.';

CREATE PROCEDURE cxm.watch_alerts()
LANGUAGE plpgsql
AS $$
DECLARE
    v_run bigint := cxm.start_job('watch_alerts');
    v_rules text[] := ARRAY(SELECT r.name FROM cx.alert_rule AS r WHERE r.enabled AND r.kind OPERATOR(pg_catalog.<>) 'answer' ORDER BY r.rule_id);
    v_rule text;
    v_now timestamptz := pg_catalog.now();
    v_until timestamptz;
    v_released bigint := 0;
    v_raised bigint := 0;
    v_failed text[] := '{}';
    v_n bigint;
BEGIN
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    COMMIT;

    LOOP
        EXIT WHEN NOT cxm.lock_job('watch_alerts');
        v_n := cxm.release_held_alerts();
        v_released := v_released OPERATOR(pg_catalog.+) v_n;
        COMMIT;
        EXIT WHEN v_n OPERATOR(pg_catalog.=) 0;
    END LOOP;
    IF cxm.lock_job('watch_alerts') THEN
        PERFORM cxm.forget_alert_limits();
        COMMIT;
    END IF;

    FOREACH v_rule IN ARRAY v_rules LOOP
        -- a day at a time, so that a job that was away for long comes back in small steps
        LOOP
            EXIT WHEN NOT cxm.lock_job('watch_alerts');
            v_until := (SELECT least(v_now, w.watched_to OPERATOR(pg_catalog.+) interval '1 day')
                        FROM cx.alert_watch AS w JOIN cx.alert_rule AS r ON r.rule_id OPERATOR(pg_catalog.=) w.rule_id
                        WHERE r.name OPERATOR(pg_catalog.=) v_rule);
            v_until := coalesce(v_until, v_now);
            BEGIN
                v_n := cxm.watch_rule(v_rule, v_until);
                v_raised := v_raised OPERATOR(pg_catalog.+) v_n;
            EXCEPTION
                WHEN OTHERS THEN
                    -- it is looked at again from where it was
                    RAISE WARNING 'alert rule "%" was not watched: %', v_rule, SQLERRM;
                    v_failed := pg_catalog.array_append(v_failed, pg_catalog.format('%s: %s', v_rule, SQLERRM));
                    v_until := v_now;
            END;
            PERFORM cxm.report_job(v_run, v_raised, pg_catalog.format('watching "%s" up to %s', v_rule, v_until));
            COMMIT;
            EXIT WHEN v_until OPERATOR(pg_catalog.>=) v_now;
        END LOOP;
    END LOOP;

    PERFORM cxm.finish_job(v_run, v_raised OPERATOR(pg_catalog.+) v_released,
        pg_catalog.concat(pg_catalog.format('%s alerts raised by %s rules, %s released after quiet hours', v_raised, pg_catalog.cardinality(v_rules), v_released),
                          CASE WHEN pg_catalog.cardinality(v_failed) OPERATOR(pg_catalog.>) 0 THEN '; not watched: ' OPERATOR(pg_catalog.||) pg_catalog.array_to_string(v_failed, '; ') END));
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.watch_alerts() IS
'Releases alerts whose quiet hours have ended, forgets limits that hold nothing back any more, and looks at every enabled rule of kind trend and silence up to now; commits after each day of each rule. A rule that fails is a WARNING and named in cx.job_run, and is looked at again by the next run from where it was. Run by the owner of the store, outside a transaction.';

-- what a rule would have raised

CREATE FUNCTION cxm.backtest_rule(rule jsonb, since timestamptz, until timestamptz)
RETURNS TABLE (verdict text, at timestamptz, feedback_id bigint, key text, identifier_id bigint, metric text, score integer, facts jsonb, held_until timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    r record;
    v_zone CONSTANT text := (SELECT s.time_zone FROM cx.store AS s);
    v_met cxm.alert_candidate[];
BEGIN
    IF (since < until) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'since must lie before until',
            DETAIL = format('They are %s and %s.', coalesce(since::text, 'NULL'), coalesce(until::text, 'NULL'));
    END IF;
    SELECT q.* INTO r FROM jsonb_populate_record(NULL::cx.alert_rule, rule) AS q;

    v_met := CASE r.kind
        WHEN 'silence' THEN ARRAY(SELECT c FROM cxm.silence_candidates(rule, since - interval '1 microsecond', until - interval '1 microsecond') AS c)
        WHEN 'trend' THEN ARRAY(SELECT c FROM cxm.trend_candidates(rule, since - interval '1 microsecond', until - interval '1 microsecond') AS c ORDER BY c.occurred_at, c.key COLLATE "C")
        ELSE ARRAY(
            -- as if each answer had come when it was given
            SELECT (m.rule_id, 'answer', f.feedback_id, NULL, f.occurred_at, f.occurred_at, f.identifier_id, f.metric, f.score,
                    f.touchpoint_id, f.location_id, f.product_id, NULL)::cxm.alert_candidate
            FROM cx.feedback AS f
            CROSS JOIN LATERAL cxm.matching_alert_rules(f.metric, f.score, f.touchpoint_id, f.location_id, f.product_id,
                                                        f.comment, f.occurred_at, NULL, rule) AS m
            WHERE f.occurred_at >= since
              AND f.occurred_at < until
              AND (r.metric IS NULL OR f.metric = r.metric COLLATE "C")
            ORDER BY f.occurred_at, f.feedback_id)
        END;
    v_met := ARRAY(SELECT c FROM cxm.alert_facts(v_met, rule) AS c);

    RETURN QUERY
    WITH decided AS MATERIALIZED (
        SELECT c.occurred_at, c.feedback_id, c.key, c.identifier_id, c.metric, c.score, c.facts, c.verdict, c.place, c.storm_at,
               CASE WHEN r.severity <> 'critical' THEN
                   cxm.quiet_until(c.occurred_at, r.quiet_from, r.quiet_to,
                                   coalesce((SELECT l.time_zone FROM cx.location AS l WHERE l.location_id = c.location_id), v_zone))
               END AS quiet_until
        FROM unnest(v_met, cxm.alert_verdicts(v_met, rule))
            AS c(rule_id, kind, feedback_id, key, occurred_at, received_at, identifier_id, metric, score, touchpoint_id, location_id, product_id, facts,
                 place, verdict, lock_key, write_key, storm_at, storm_count)
    )
    SELECT q.verdict, q.at, q.feedback_id, q.key, q.identifier_id, q.metric, q.score, q.facts, q.quiet_until
    FROM (
        SELECT CASE d.verdict WHEN 'raise' THEN 'raised' WHEN 'throttle' THEN 'throttled' ELSE 'storm' END AS verdict,
               d.occurred_at AS at, d.feedback_id, d.key, d.identifier_id, d.metric, d.score::integer AS score, d.facts,
               CASE WHEN d.verdict = 'raise' THEN d.quiet_until END AS quiet_until, d.place, 1 AS part
        FROM decided AS d
        UNION ALL
        SELECT DISTINCT ON (d.storm_at) 'summary', d.storm_at, NULL, 'storm ' || cxm.alert_time(d.storm_at), NULL, d.metric, NULL,
               jsonb_build_object('storm_cap', r.storm_cap), d.quiet_until, d.place, 2
        FROM decided AS d
        WHERE d.verdict = 'storm'
        ORDER BY 11, 10, 1
    ) AS q
    ORDER BY q.place, q.part;
END
$$;

COMMENT ON FUNCTION cxm.backtest_rule(jsonb, timestamptz, timestamptz) IS 'What cxm.alert_backtest() gives, for a rule as a row of cx.alert_rule in JSON.';

CREATE FUNCTION cxm.alert_backtest(rule text, since timestamptz, until timestamptz)
RETURNS TABLE (verdict text, at timestamptz, feedback_id bigint, key text, identifier_id bigint, metric text, score integer, facts jsonb, held_until timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row jsonb := (SELECT to_jsonb(r) FROM cx.alert_rule AS r WHERE r.name = rule);
BEGIN
    IF v_row IS NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('alert rule "%s" does not exist', rule),
            HINT = 'For a rule that is not saved give its arguments as jsonb.';
    END IF;
    RETURN QUERY SELECT * FROM cxm.backtest_rule(v_row, since, until);
END
$$;

COMMENT ON FUNCTION cxm.alert_backtest(text, timestamptz, timestamptz) IS
'What the alert rule of that name, as it is now, would have raised for answers given from since (inclusive) to until (exclusive), and what its throttle and storm cap would have suppressed: the same evaluation run over history, as if each answer had come when it was given and nothing had been raised before. Writes nothing. verdict: raised, throttled, storm (over the storm cap) or summary (the one alert for a storm); held_until: the end of the quiet hours that would have held it. Errors: no such rule (42704), since not before until (22023).';

CREATE FUNCTION cxm.alert_backtest(rule jsonb, since timestamptz, until timestamptz)
RETURNS TABLE (verdict text, at timestamptz, feedback_id bigint, key text, identifier_id bigint, metric text, score integer, facts jsonb, held_until timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_input cxm.alert_rule_input;
BEGIN
    v_input.search_config := 'pg_catalog.simple';
    v_input.severity := 'high';
    v_input.valid_from := '-infinity';
    v_input.valid_to := 'infinity';
    v_input := cxm.alert_rule_from_json(v_input, CASE jsonb_typeof(rule) WHEN 'object' THEN '{"name": "backtest"}' || rule ELSE rule END);
    PERFORM cxm.check_alert_rule(v_input);
    RETURN QUERY SELECT * FROM cxm.backtest_rule(cxm.alert_rule_row(v_input), since, until);
END
$$;

COMMENT ON FUNCTION cxm.alert_backtest(jsonb, timestamptz, timestamptz) IS
'The same for a rule that is not saved: a JSON object of arguments of cxm.add_alert_rule(), such as {"metric": "nps", "score_max": 6, "throttle": "1 day"}. Errors as cxm.add_alert_rule().';

-- why an alert was raised

CREATE FUNCTION cxm.explain_alert(alert_id bigint)
RETURNS TABLE (item text, wanted text, found text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a record;
    r record;
    f record;
    v record;
    v_suppressed bigint;
    v_before record;
BEGIN
    SELECT q.* INTO a FROM cx.alert AS q WHERE q.alert_id = explain_alert.alert_id;
    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('alert %s does not exist', coalesce(explain_alert.alert_id::text, 'NULL'));
    END IF;
    SELECT q.* INTO v FROM cx.alert_rule_version AS q WHERE q.rule_id = a.rule_id AND q.version = a.rule_version;
    SELECT q.* INTO r FROM jsonb_populate_record(NULL::cx.alert_rule, coalesce(v.rule, '{}')) AS q;
    SELECT q.*, t.key AS touchpoint, l.key AS location, p.key AS product INTO f
    FROM cx.feedback AS q
    LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = q.touchpoint_id
    LEFT JOIN cx.location AS l ON l.location_id = q.location_id
    LEFT JOIN cx.product AS p ON p.product_id = q.product_id
    WHERE q.feedback_id = a.feedback_id AND q.occurred_at = a.occurred_at;

    -- of its rule, what fell under the same limit; and the alert that a throttle went by
    SELECT count(*) INTO v_suppressed
    FROM cx.alert AS q
    WHERE q.rule_id = a.rule_id
      AND q.limit_key = CASE WHEN a.kind = 'storm' THEN a.key WHEN a.state = 'suppressed' THEN a.limit_key END;
    SELECT q.alert_id, q.raised_at INTO v_before
    FROM cx.alert AS q
    LEFT JOIN cx.feedback AS g ON g.feedback_id = q.feedback_id AND g.occurred_at = q.occurred_at
    WHERE q.rule_id = a.rule_id AND q.state <> 'suppressed' AND q.alert_id < a.alert_id AND a.state = 'suppressed'
      AND CASE
              WHEN a.limit_key LIKE 'storm %' THEN q.key = a.limit_key
              WHEN q.kind = 'storm' THEN false
              WHEN a.limit_key LIKE 'identifier %' THEN q.identifier_id = ANY (cxm.customer_identifiers(a.identifier_id))
              WHEN a.limit_key LIKE 'touchpoint%' THEN coalesce(g.touchpoint_id, (q.facts ->> 'touchpoint')::integer) IS NOT DISTINCT FROM substring(a.limit_key FROM '[0-9]+')::integer
              WHEN a.limit_key LIKE 'location%' THEN coalesce(g.location_id, (q.facts ->> 'location')::integer) IS NOT DISTINCT FROM substring(a.limit_key FROM '[0-9]+')::integer
              WHEN a.limit_key LIKE 'product%' THEN coalesce(g.product_id, (q.facts ->> 'product')::integer) IS NOT DISTINCT FROM substring(a.limit_key FROM '[0-9]+')::integer
              ELSE true
          END
    ORDER BY q.alert_id DESC
    LIMIT 1;
    IF a.limit_key LIKE 'storm %' THEN
        -- the summary is written after the first alert that it stands for
        SELECT q.alert_id, q.raised_at INTO v_before FROM cx.alert AS q WHERE q.rule_id = a.rule_id AND q.key = a.limit_key;
    END IF;

    RETURN QUERY
    SELECT e.item, e.wanted, e.found
    FROM (VALUES
        ('rule', v.name, coalesce(format('version %s of %s by %s', v.version, v.changed_at, v.changed_by), format('version %s of rule %s, of which no record is left', a.rule_version, a.rule_id))),
        ('kind', r.kind, a.kind),
        ('feedback', NULL, a.feedback_id::text || CASE WHEN f.feedback_id IS NULL THEN ', which is gone' ELSE '' END),
        ('metric', r.metric, a.metric),
        ('score', CASE WHEN num_nonnulls(r.score_min, r.score_max) > 0 THEN concat_ws(' ', 'at least ' || r.score_min, 'at most ' || r.score_max) END, a.score::text),
        ('touchpoint', CASE WHEN r.touchpoint_ids IS NOT NULL THEN (SELECT string_agg(t.key, ', ' ORDER BY t.key) FROM cx.touchpoint AS t WHERE t.touchpoint_id = ANY (r.touchpoint_ids)) END, f.touchpoint),
        ('location', CASE WHEN r.location_ids IS NOT NULL THEN (SELECT string_agg(l.key, ', ' ORDER BY l.key) FROM cx.location AS l WHERE l.location_id = ANY (r.location_ids)) END, f.location),
        ('product', CASE WHEN r.product_ids IS NOT NULL THEN (SELECT string_agg(p.key, ', ' ORDER BY p.key) FROM cx.product AS p WHERE p.product_id = ANY (r.product_ids)) END, f.product),
        ('search', r.search || ' (' || r.search_config || ')', CASE WHEN r.search IS NOT NULL THEN f.comment END),
        ('drop', 'at least ' || r.drop_min, format('%s, from %s of answer %s', a.facts ->> 'drop', a.facts ->> 'last_score', a.facts ->> 'last_feedback_id')),
        ('segment', r.segment::text, a.facts ->> 'traits'),
        ('spend', concat_ws(' ', 'at least', r.spend_min, r.spend_currency, 'in ' || r.spend_window), concat_ws(' ', a.facts ->> 'spend', a.facts ->> 'currency')),
        ('trend', format('%s at least, at %s confidence over %s', r.trend_goal, r.trend_confidence, r.trend_window),
                  format('%s (%s to %s) of %s answers', a.facts ->> 'value', a.facts ->> 'lower', a.facts ->> 'upper', a.facts ->> 'answers')),
        ('silence', format('%s within %s after %s', r.silence_expect, r.silence_within, r.silence_after),
                    format('nothing after event %s of %s', a.facts ->> 'event_id', a.facts ->> 'event_at')),
        ('valid', CASE WHEN r.valid_from > '-infinity' OR r.valid_to < 'infinity' THEN format('%s to %s', r.valid_from, r.valid_to) END, f.received_at::text),
        ('throttle', format('one a %s in %s', r.throttle_by, r.throttle),
                     CASE WHEN a.state = 'suppressed' AND a.limit_key NOT LIKE 'storm %'
                          THEN concat('suppressed: ', coalesce(format('alert %s was raised at %s', v_before.alert_id, v_before.raised_at), 'one was raised before')) ELSE 'raised' END),
        ('storm cap', format('%s in %s', r.storm_cap, r.storm_window),
                      CASE WHEN a.kind = 'storm' THEN format('%s suppressed', v_suppressed)
                           WHEN a.limit_key LIKE 'storm %' THEN format('suppressed: alert %s stands for it', v_before.alert_id) ELSE 'raised' END),
        ('quiet hours', format('%s to %s', r.quiet_from, r.quiet_to),
                        CASE WHEN a.held_until IS NULL THEN 'not in them' ELSE concat_ws(', ', 'held until ' || a.held_until, 'released at ' || a.released_at) END),
        ('owner', CASE r.routing WHEN 'round_robin' THEN 'in turn: ' || array_to_string(r.owners, ', ') WHEN 'owner' THEN r.owner ELSE 'by ' || r.routing END, a.owner),
        ('raised', r.severity, concat(a.raised_at, ', now ', a.state))
    ) AS e(item, wanted, found)
    WHERE e.item IN ('rule', 'kind', 'raised')
       OR (e.item = 'feedback' AND a.feedback_id IS NOT NULL)
       OR (e.item IN ('metric', 'score') AND e.found IS NOT NULL)
       OR (e.item IN ('touchpoint', 'location', 'product', 'search', 'segment', 'valid') AND e.wanted IS NOT NULL AND a.kind = 'answer')
       OR (e.item = 'drop' AND r.drop_min IS NOT NULL)
       OR (e.item = 'spend' AND r.spend_min IS NOT NULL)
       OR (e.item = 'trend' AND a.kind = 'trend')
       OR (e.item = 'silence' AND a.kind = 'silence')
       OR (e.item = 'throttle' AND r.throttle IS NOT NULL)
       OR (e.item = 'storm cap' AND r.storm_cap IS NOT NULL)
       OR (e.item = 'quiet hours' AND r.quiet_from IS NOT NULL)
       OR (e.item = 'owner' AND a.owner IS NOT NULL);
END
$$;

COMMENT ON FUNCTION cxm.explain_alert(bigint) IS
'Why an alert was raised or suppressed, a row a condition of its rule as the rule was then: what was wanted and what was found (the score and the facts as they were then, the rest as the answer is now), the version of the rule, the limits, the owner, the time. Error P0002: no such alert.';
