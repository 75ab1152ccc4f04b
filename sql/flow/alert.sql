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

-- evaluation

CREATE FUNCTION cxm.matching_alert_rules(
    metric text,
    score integer,
    touchpoint_id integer,
    location_id integer,
    product_id integer,
    comment text,
    received_at timestamptz,
    only_rule integer DEFAULT NULL,
    rule jsonb DEFAULT NULL
) RETURNS TABLE (rule_id integer, version integer, severity text, owner text)
AS 'MODULE_PATHNAME', 'cxm_matching_alert_rules'
LANGUAGE C STABLE PARALLEL SAFE ROWS 1;

COMMENT ON FUNCTION cxm.matching_alert_rules(text, integer, integer, integer, integer, text, timestamptz, integer, jsonb) IS
'The enabled alert rules of kind answer that an answer with these values meets, as far as they ask about the answer itself (cxm.alert_facts() knows about the customer); nothing else in cxm knows when a rule holds. An argument that is NULL (no score, no touchpoint, no comment ...) meets no rule that asks for it. Of a comment the first 100000 characters are searched, which keeps it within the limits of text search. only_rule limits the question to one rule; rule, a row of cx.alert_rule in JSON (cxm.alert_rule_row()), asks that one in place of those stored.';

CREATE TYPE cxm.alert_candidate AS (
    rule_id         integer,
    kind            text,
    feedback_id     bigint,
    key             text,
    occurred_at     timestamptz,
    received_at     timestamptz,
    identifier_id   bigint,
    metric          text,
    score           smallint,
    touchpoint_id   integer,
    location_id     integer,
    product_id      integer,
    facts           jsonb
);

COMMENT ON TYPE cxm.alert_candidate IS
'What may raise an alert of a rule: an answer (feedback_id), or the key of a trend or silence. received_at is the time that throttles, storm caps and quiet hours go by. facts: what the rule went by beyond the columns.';

CREATE FUNCTION cxm.customer_identifiers(identifier_id bigint) RETURNS bigint[]
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(m.identifier_id)
    FROM cx.identifier AS i
    JOIN cx.profile AS p ON p.profile_id = i.profile_id
    CROSS JOIN LATERAL cxm.profile_identifiers(ARRAY[p.canonical_id]) AS m
    WHERE i.identifier_id = customer_identifiers.identifier_id;
$$;

COMMENT ON FUNCTION cxm.customer_identifiers(bigint) IS
'All identifiers (cx.identifier) of the customer whom this one belongs to today; NULL when there is no such identifier.';

CREATE FUNCTION cxm.alert_facts(candidates cxm.alert_candidate[], rule jsonb DEFAULT NULL) RETURNS SETOF cxm.alert_candidate
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100
SET search_path = pg_catalog, pg_temp
-- one candidate or many, the plan is the same; making it anew each time costs more than running it
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT r.rule_id, r.drop_min, r.segment, r.spend_min, r.spend_currency, r.spend_window
        FROM cx.alert_rule AS r
        WHERE alert_facts.rule IS NULL
        UNION ALL
        SELECT r.rule_id, r.drop_min, r.segment, r.spend_min, r.spend_currency, r.spend_window
        FROM jsonb_populate_record(NULL::cx.alert_rule, alert_facts.rule) AS r
        WHERE alert_facts.rule IS NOT NULL
    )
    SELECT c.rule_id, c.kind, c.feedback_id, c.key, c.occurred_at, c.received_at, c.identifier_id, c.metric, c.score,
           c.touchpoint_id, c.location_id, c.product_id,
           nullif(coalesce(c.facts, '{}') || jsonb_strip_nulls(jsonb_build_object(
               'last_score', said.score,
               'last_feedback_id', said.feedback_id,
               'drop', said.score - c.score,
               'spend', bought.amount,
               'currency', bought.currency,
               'traits', CASE WHEN a.segment IS NOT NULL THEN
                   (SELECT jsonb_object_agg(s.key, known.traits -> s.key) FROM jsonb_object_keys(a.segment) AS s(key)) END)), '{}')
    FROM unnest(candidates) WITH ORDINALITY AS c
    JOIN asked AS a ON a.rule_id = c.rule_id
    LEFT JOIN LATERAL (
        SELECT cxm.customer_identifiers(c.identifier_id) AS identifier_ids
        WHERE num_nonnulls(a.drop_min, a.segment, a.spend_min) > 0
    ) AS who ON true
    -- as of the time of the answer, so that history gives what was raised then
    LEFT JOIN LATERAL (
        SELECT f.score, f.feedback_id
        FROM cx.feedback AS f
        WHERE f.identifier_id = ANY (who.identifier_ids)
          AND f.metric = c.metric COLLATE "C"
          AND f.score IS NOT NULL
          AND f.occurred_at <= c.occurred_at
          AND (f.occurred_at, f.feedback_id) < (c.occurred_at, c.feedback_id)
        ORDER BY f.occurred_at DESC, f.feedback_id DESC
        LIMIT 1
    ) AS said ON a.drop_min IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT sum(b.amount) AS amount, b.currency
        FROM cx.purchase AS b
        WHERE b.identifier_id = ANY (who.identifier_ids)
          AND b.occurred_at <= c.occurred_at
          AND b.occurred_at > coalesce(c.occurred_at - a.spend_window, '-infinity')
          AND (a.spend_currency IS NULL OR b.currency = a.spend_currency)
        GROUP BY b.currency
        ORDER BY sum(b.amount) DESC, b.currency
        LIMIT 1
    ) AS bought ON a.spend_min IS NOT NULL
    LEFT JOIN LATERAL (
        SELECT cxm.profile_merge(t.traits, t.observed_at, s.source, (SELECT cxm.trait_policies())) AS traits
        FROM cx.trait AS t
        LEFT JOIN cx.source AS s ON s.source_id = t.source_id
        WHERE t.identifier_id = ANY (who.identifier_ids)
          AND t.observed_at <= c.occurred_at
    ) AS known ON a.segment IS NOT NULL
    WHERE (a.drop_min IS NULL OR said.score - c.score >= a.drop_min)
      AND (a.spend_min IS NULL OR bought.amount >= a.spend_min)
      AND (a.segment IS NULL OR known.traits @> a.segment)
    ORDER BY c.ordinality;
END
$$;

COMMENT ON FUNCTION cxm.alert_facts(cxm.alert_candidate[], jsonb) IS
'Of what may raise alerts, that which meets what its rule asks about the customer, in the same order, with the facts: last_score and drop against the customer''s own last score of the metric, spend, and the traits that the rule asks for; all as of occurred_at, and over all identifiers of the customer. An anonymous answer meets no such condition. rule: a row of cx.alert_rule in JSON, in place of those stored.';

-- throttles and storm caps

CREATE FUNCTION cxm.alert_span(span interval) RETURNS interval
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.make_interval(secs => extract(epoch FROM alert_span.span)::double precision);

COMMENT ON FUNCTION cxm.alert_span(interval) IS 'A length of time in seconds alone: a day counts 24 hours whatever the time zone.';

CREATE FUNCTION cxm.limit_alerts(
    times timestamptz[],
    throttle_groups integer[],
    throttles interval[],
    storm_groups integer[],
    storm_caps integer[],
    storm_windows interval[],
    throttle_last timestamptz[],
    storm_started timestamptz[],
    storm_counts integer[],
    OUT verdicts text[],
    OUT storms timestamptz[],
    OUT storm_sizes integer[]
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n CONSTANT integer := cardinality(times);
    g integer;
    s integer;
BEGIN
    verdicts := array_fill(NULL::text, ARRAY[n]);
    storms := array_fill(NULL::timestamptz, ARRAY[n]);
    storm_sizes := array_fill(NULL::integer, ARRAY[n]);
    FOR i IN 1 .. n LOOP
        g := throttle_groups[i];
        s := storm_groups[i];
        IF g IS NOT NULL AND times[i] < throttle_last[g] + throttles[i] THEN
            verdicts[i] := 'throttle';
            CONTINUE;
        END IF;
        verdicts[i] := 'raise';
        IF s IS NOT NULL THEN
            IF (times[i] < storm_started[s] + storm_windows[i]) IS NOT TRUE THEN
                storm_started[s] := times[i];
                storm_counts[s] := 0;
            END IF;
            IF storm_counts[s] >= storm_caps[i] THEN
                verdicts[i] := 'storm';
            ELSE
                storm_counts[s] := storm_counts[s] + 1;
            END IF;
            storms[i] := storm_started[s];
            storm_sizes[i] := storm_counts[s];
        END IF;
        IF g IS NOT NULL AND verdicts[i] = 'raise' THEN
            throttle_last[g] := greatest(throttle_last[g], times[i]);
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.limit_alerts(timestamptz[], integer[], interval[], integer[], integer[], interval[], timestamptz[], timestamptz[], integer[]) IS
'What throttles and storm caps do with alerts that come at these times, in this order: raise, throttle (one of its throttle group was raised less than throttles before) or storm (storm_caps were raised since the window began). All arrays go by alert. A group is the place of its first alert, NULL = no limit; throttle_last, storm_started and storm_counts say at that place how it stood before. storms, storm_sizes: beginning of the window of the storm cap, and alerts raised in it by then. A window begins with the first alert after the last one.';

CREATE TYPE cxm.alert_verdict AS (
    place           integer,
    verdict         text,
    lock_key        text,
    write_key       text,
    storm_at        timestamptz,
    storm_count     integer
);

COMMENT ON TYPE cxm.alert_verdict IS
'What limits do with a candidate: raise, throttle or storm. lock_key, write_key: the rows of cx.alert_limit to lock and to write for its throttle (NULL = none); storm_at, storm_count: beginning of the window of its rule''s storm cap, and how many were raised in it by then (NULL = no cap).';

CREATE FUNCTION cxm.alert_verdicts(candidates cxm.alert_candidate[], rule jsonb DEFAULT NULL) RETURNS cxm.alert_verdict[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
-- one candidate or many, the plan is the same; making it anew each time costs more than running it
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_rows record;
    v_limits record;
BEGIN
    IF rule IS NULL AND NOT EXISTS (SELECT FROM cx.alert_rule AS r
                                    WHERE num_nonnulls(r.throttle, r.storm_cap) > 0 AND r.rule_id IN (SELECT c.rule_id FROM unnest(candidates) AS c))
       OR candidates = '{}' THEN
        RETURN ARRAY(SELECT (i, 'raise', NULL, NULL, NULL, NULL)::cxm.alert_verdict FROM generate_subscripts(candidates, 1) AS i ORDER BY i);
    END IF;
    SELECT array_agg(k.throttle_group ORDER BY k.place) AS throttle_groups,
           array_agg(k.storm_group ORDER BY k.place) AS storm_groups,
           array_agg(k.received_at ORDER BY k.place) AS times,
           array_agg(k.throttle ORDER BY k.place) AS throttles,
           array_agg(k.storm_cap ORDER BY k.place) AS storm_caps,
           array_agg(k.storm_window ORDER BY k.place) AS storm_windows,
           array_agg(k.lock_key ORDER BY k.place) AS lock_keys,
           array_agg(k.write_key ORDER BY k.place) AS write_keys,
           -- how it stands, at the place of the first of each group; the walk goes on from there
           array_agg(CASE WHEN k.is_first_throttled THEN
               (SELECT max(l.started_at) FROM cx.alert_limit AS l
                WHERE alert_verdicts.rule IS NULL AND l.rule_id = k.rule_id
                  AND l.key = ANY (CASE WHEN k.identifier_ids IS NULL THEN ARRAY[k.write_key]
                                        ELSE ARRAY(SELECT concat('identifier ', i) FROM unnest(k.identifier_ids) AS i) END)) END
               ORDER BY k.place) AS throttle_last,
           array_agg(s.started_at ORDER BY k.place) AS storm_started,
           array_agg(s.count ORDER BY k.place) AS storm_counts
    INTO v_rows
    FROM (
        SELECT q.*,
               CASE WHEN q.lock_key IS NOT NULL THEN first_value(q.place) OVER throttled END AS throttle_group,
               CASE WHEN q.storm_cap IS NOT NULL THEN first_value(q.place) OVER stormed END AS storm_group,
               q.lock_key IS NOT NULL AND q.place = first_value(q.place) OVER throttled AS is_first_throttled
        FROM (
            SELECT c.ordinality::integer AS place, c.rule_id, c.received_at,
                   cxm.alert_span(r.throttle) AS throttle, r.storm_cap, cxm.alert_span(r.storm_window) AS storm_window,
                   w.identifier_ids,
                   CASE r.throttle_by
                       WHEN 'customer' THEN 'customer ' || w.canonical_id
                       WHEN 'touchpoint' THEN concat_ws(' ', 'touchpoint', c.touchpoint_id)
                       WHEN 'location' THEN concat_ws(' ', 'location', c.location_id)
                       WHEN 'product' THEN concat_ws(' ', 'product', c.product_id)
                       WHEN 'rule' THEN 'rule'
                   END AS lock_key,
                   CASE r.throttle_by
                       WHEN 'customer' THEN 'identifier ' || c.identifier_id
                       WHEN 'touchpoint' THEN concat_ws(' ', 'touchpoint', c.touchpoint_id)
                       WHEN 'location' THEN concat_ws(' ', 'location', c.location_id)
                       WHEN 'product' THEN concat_ws(' ', 'product', c.product_id)
                       WHEN 'rule' THEN 'rule'
                   END AS write_key
            FROM unnest(candidates) WITH ORDINALITY AS c
            JOIN (
                SELECT r.rule_id, r.throttle, r.throttle_by, r.storm_cap, r.storm_window
                FROM cx.alert_rule AS r
                WHERE alert_verdicts.rule IS NULL
                UNION ALL
                SELECT r.rule_id, r.throttle, r.throttle_by, r.storm_cap, r.storm_window
                FROM jsonb_populate_record(NULL::cx.alert_rule, alert_verdicts.rule) AS r
                WHERE alert_verdicts.rule IS NOT NULL
            ) AS r ON r.rule_id = c.rule_id
            LEFT JOIN LATERAL (
                SELECT min(m.canonical_id) AS canonical_id, array_agg(m.identifier_id) AS identifier_ids
                FROM cx.identifier AS i
                JOIN cx.profile AS p ON p.profile_id = i.profile_id
                CROSS JOIN LATERAL cxm.profile_identifiers(ARRAY[p.canonical_id]) AS m
                WHERE i.identifier_id = c.identifier_id
            ) AS w ON r.throttle_by = 'customer' AND c.identifier_id IS NOT NULL
        ) AS q
        WINDOW throttled AS (PARTITION BY q.rule_id, q.lock_key ORDER BY q.place),
               stormed AS (PARTITION BY q.rule_id ORDER BY q.place)
    ) AS k
    LEFT JOIN cx.alert_limit AS s ON alert_verdicts.rule IS NULL AND k.storm_group = k.place AND s.rule_id = k.rule_id AND s.key = 'storm';

    v_limits := cxm.limit_alerts(v_rows.times, v_rows.throttle_groups, v_rows.throttles, v_rows.storm_groups, v_rows.storm_caps, v_rows.storm_windows,
                                 v_rows.throttle_last, v_rows.storm_started, v_rows.storm_counts);
    RETURN ARRAY(
        SELECT (u.place, u.verdict, u.lock_key, u.write_key, u.storm_at, u.storm_count)::cxm.alert_verdict
        FROM unnest(v_limits.verdicts, v_rows.lock_keys, v_rows.write_keys, v_limits.storms, v_limits.storm_sizes)
            WITH ORDINALITY AS u(verdict, lock_key, write_key, storm_at, storm_count, place)
        ORDER BY u.place);
END
$$;

COMMENT ON FUNCTION cxm.alert_verdicts(cxm.alert_candidate[], jsonb) IS
'What throttles and storm caps do with candidates in this order, as cx.alert_limit stands; with a rule (a row of cx.alert_rule in JSON, which is asked in place of those stored) as if nothing had been raised before. A throttle by customer goes by all identifiers of the customer; anonymous answers are under none.';

CREATE FUNCTION cxm.quiet_until(moment timestamptz, quiet_from time, quiet_to time, time_zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_local CONSTANT timestamp := moment AT TIME ZONE time_zone;
    v_ends timestamp;
BEGIN
    IF quiet_from < quiet_to AND NOT (v_local::time >= quiet_from AND v_local::time < quiet_to)
       OR quiet_from > quiet_to AND v_local::time >= quiet_to AND v_local::time < quiet_from THEN
        RETURN NULL;
    END IF;
    v_ends := v_local::date + quiet_to;
    IF v_ends <= v_local THEN
        v_ends := v_ends + interval '1 day';
    END IF;
    -- where clocks are put back, the local time of the end may have been before
    RETURN greatest(v_ends AT TIME ZONE time_zone, moment);
END
$$;

COMMENT ON FUNCTION cxm.quiet_until(timestamptz, time, time, text) IS
'When the quiet hours end that a moment lies in, by the clock of a time zone; NULL when it lies in none. quiet_from is quiet, quiet_to is not; a quiet_to before quiet_from is that of the next day.';

CREATE FUNCTION cxm.alert_payload(
    alert_id bigint,
    rule_id integer,
    rule text,
    feedback_id bigint,
    metric text,
    score integer,
    severity text,
    kind text DEFAULT 'answer',
    channel text DEFAULT NULL
) RETURNS jsonb
AS 'MODULE_PATHNAME', 'cxm_alert_payload'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.alert_payload(bigint, integer, text, bigint, text, integer, text, text, text) IS
'What listeners are told of one alert: ids, metric, score, severity and the rule''s name (its first 200 characters), its kind where that is not answer, its channel where it has one: all your own words. Never what a customer wrote, since any role may LISTEN; and always under the 8000 bytes of NOTIFY.';

CREATE FUNCTION cxm.send_notifications(alert_ids bigint[], payloads jsonb[]) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_send_notifications'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION cxm.send_notifications(bigint[], jsonb[]) IS
'Tells the listeners of channel cxm_alert about alerts that were raised together: up to 100 of them one by one, by these payloads, more as one summary {"alerts": n, "first_alert_id": ..., "last_alert_id": ...}. They go through cxm.post_notifications(). Returns the number of alerts.';

CREATE FUNCTION cxm.try_open_follow_ups(alert_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF alert_ids <> '{}' THEN
        PERFORM cxm.open_follow_ups(alert_ids);
    END IF;
EXCEPTION
    WHEN OTHERS THEN
        INSERT INTO cx.rejection (kind, record, reason, sqlstate)
        VALUES ('follow_up', jsonb_build_object('alert_ids', alert_ids), SQLERRM, SQLSTATE);
END
$$;

COMMENT ON FUNCTION cxm.try_open_follow_ups(bigint[]) IS
'Has cxm.open_follow_ups() open follow-ups for alerts whose rules ask for it. What goes wrong becomes a row of cx.rejection (kind follow_up) and fails nobody.';

CREATE FUNCTION cxm.raise_alerts(candidates cxm.alert_candidate[])
RETURNS TABLE (alert_id bigint, state text, follow_up boolean, payload jsonb)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 100
SET search_path = pg_catalog, pg_temp
-- one candidate or many, the plan is the same; making it anew each time costs more than running it
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_met cxm.alert_candidate[];
    v_verdicts cxm.alert_verdict[];
    v_again cxm.alert_verdict[];
    v_rules integer[];
    v_lock_rules integer[];
    v_lock_keys text[];
    v_locked bigint;
BEGIN
    -- what nothing asks about the customer is not asked; what has an alert already takes up no room under a limit
    v_met := candidates;
    IF EXISTS (SELECT FROM cx.alert_rule AS r
               WHERE num_nonnulls(r.drop_min, r.segment, r.spend_min) > 0 AND r.rule_id IN (SELECT c.rule_id FROM unnest(candidates) AS c)) THEN
        v_met := ARRAY(SELECT f FROM cxm.alert_facts(candidates) AS f);
    END IF;
    v_met := ARRAY(
        SELECT f
        FROM unnest(v_met) AS f
        WHERE NOT EXISTS (SELECT FROM cx.alert AS a WHERE a.feedback_id = f.feedback_id AND a.rule_id = f.rule_id)
          AND NOT EXISTS (SELECT FROM cx.alert AS a WHERE a.rule_id = f.rule_id AND a.key = f.key COLLATE "C")
        ORDER BY f.received_at, f.feedback_id, f.rule_id, f.occurred_at, f.key COLLATE "C");
    IF v_met = '{}' THEN
        RETURN;
    END IF;

    -- A first look, without a lock: what is suppressed now stays so, and does not wait for anybody. For what would be
    -- raised under a limit the limit's rows are locked, in one order, and looked at again as they then stand.
    v_verdicts := cxm.alert_verdicts(v_met);
    v_rules := ARRAY(
        SELECT DISTINCT c.rule_id
        FROM unnest(v_met, v_verdicts) AS c(rule_id, kind, feedback_id, key, occurred_at, received_at, identifier_id, metric, score, touchpoint_id, location_id, product_id, facts,
                                            place, verdict, lock_key, write_key, storm_at, storm_count)
        WHERE c.verdict = 'raise' AND (c.lock_key IS NOT NULL OR c.storm_at IS NOT NULL));
    IF v_rules <> '{}' THEN
        SELECT array_agg(q.rule_id ORDER BY q.rule_id, q.key COLLATE "C"), array_agg(q.key ORDER BY q.rule_id, q.key COLLATE "C")
        INTO v_lock_rules, v_lock_keys
        FROM (
            SELECT DISTINCT c.rule_id, k.key
            FROM unnest(v_met, v_verdicts) AS c(rule_id, kind, feedback_id, key, occurred_at, received_at, identifier_id, metric, score, touchpoint_id, location_id, product_id, facts,
                                                place, verdict, lock_key, write_key, storm_at, storm_count)
            CROSS JOIN LATERAL unnest(ARRAY[c.lock_key, CASE WHEN c.storm_at IS NOT NULL OR c.verdict = 'throttle' THEN 'storm' END]) AS k(key)
            WHERE c.rule_id = ANY (v_rules) AND k.key IS NOT NULL
        ) AS q;
        -- until all of them are there and ours: upkeep may be taking away one that it found to be of no use any more
        LOOP
            INSERT INTO cx.alert_limit AS l (rule_id, key, started_at, count)
            SELECT q.rule_id, q.key, '-infinity', 0
            FROM unnest(v_lock_rules, v_lock_keys) AS q(rule_id, key)
            ON CONFLICT DO NOTHING;

            PERFORM
            FROM cx.alert_limit AS l
            WHERE (l.rule_id, l.key) IN (SELECT q.rule_id, q.key COLLATE "C" FROM unnest(v_lock_rules, v_lock_keys) AS q(rule_id, key))
            ORDER BY l.rule_id, l.key
            FOR UPDATE;
            GET DIAGNOSTICS v_locked = ROW_COUNT;
            EXIT WHEN v_locked = cardinality(v_lock_keys);
        END LOOP;

        v_again := cxm.alert_verdicts(v_met);
        FOR i IN 1 .. cardinality(v_met) LOOP
            IF v_met[i].rule_id = ANY (v_rules) THEN
                v_verdicts[i] := v_again[i];
            END IF;
        END LOOP;

        INSERT INTO cx.alert_limit AS l (rule_id, key, started_at, count)
        SELECT DISTINCT ON (q.rule_id, q.key COLLATE "C") q.rule_id, q.key, q.started_at, q.count
        FROM (
            SELECT c.rule_id, k.key, c.received_at AS started_at, 1 AS count, c.place
            FROM unnest(v_met, v_verdicts) AS c(rule_id, kind, feedback_id, key, occurred_at, received_at, identifier_id, metric, score, touchpoint_id, location_id, product_id, facts,
                                            place, verdict, lock_key, write_key, storm_at, storm_count)
            CROSS JOIN LATERAL unnest(ARRAY[c.lock_key, c.write_key]) AS k(key)
            WHERE c.rule_id = ANY (v_rules) AND c.verdict = 'raise' AND k.key IS NOT NULL
            UNION ALL
            SELECT c.rule_id, 'storm', c.storm_at, c.storm_count, c.place
            FROM unnest(v_met, v_verdicts) AS c(rule_id, kind, feedback_id, key, occurred_at, received_at, identifier_id, metric, score, touchpoint_id, location_id, product_id, facts,
                                            place, verdict, lock_key, write_key, storm_at, storm_count)
            WHERE c.rule_id = ANY (v_rules) AND c.verdict = 'raise' AND c.storm_at IS NOT NULL
        ) AS q
        ORDER BY q.rule_id, q.key COLLATE "C", q.place DESC
        ON CONFLICT (rule_id, key) DO UPDATE SET started_at = greatest(l.started_at, excluded.started_at), count = excluded.count;
    END IF;

    RETURN QUERY
    WITH decided AS MATERIALIZED (
        SELECT c.rule_id, c.kind, c.feedback_id, c.key, c.occurred_at, c.identifier_id, c.metric, c.score, c.facts, c.place, c.verdict, c.write_key,
               'storm ' || cxm.alert_time(c.storm_at) AS storm_key, c.storm_at,
               r.version, r.severity, r.channel, r.storm_cap,
               -- suppressed alerts take nobody's turn
               CASE WHEN c.verdict = 'raise' THEN
                   CASE r.routing
                       WHEN 'round_robin' THEN
                           r.owners[1 + coalesce(nextval(to_regclass(format('cx.%I', cxm.alert_turn_name(r.rule_id)))),
                                                 floor(random() * cardinality(r.owners))::bigint) % cardinality(r.owners)]
                       WHEN 'owner' THEN r.owner
                       ELSE coalesce((
                           SELECT o.owner
                           FROM cx.alert_route AS o
                           WHERE coalesce(o.rule_id, r.rule_id) = r.rule_id
                             AND CASE r.routing WHEN 'touchpoint' THEN o.touchpoint_id = c.touchpoint_id
                                                WHEN 'location' THEN o.location_id = c.location_id
                                                ELSE o.product_id = c.product_id END
                           ORDER BY o.rule_id NULLS LAST
                           LIMIT 1), r.owner)
                   END
                   ELSE r.owner
               END AS owner,
               CASE WHEN r.severity <> 'critical' THEN
                   cxm.quiet_until(now(), r.quiet_from, r.quiet_to,
                                   coalesce((SELECT l.time_zone FROM cx.location AS l WHERE l.location_id = c.location_id), (SELECT s.time_zone FROM cx.store AS s)))
               END AS quiet_until
        FROM unnest(v_met, v_verdicts) AS c(rule_id, kind, feedback_id, key, occurred_at, received_at, identifier_id, metric, score, touchpoint_id, location_id, product_id, facts,
                                            place, verdict, lock_key, write_key, storm_at, storm_count)
        JOIN cx.alert_rule AS r ON r.rule_id = c.rule_id
    ), written AS (
        INSERT INTO cx.alert AS n (rule_id, rule_version, kind, feedback_id, key, occurred_at, identifier_id, metric, score, facts,
                                   severity, channel, owner, state, limit_key, held_until)
        SELECT d.rule_id, d.version, d.kind, d.feedback_id, d.key, d.occurred_at, d.identifier_id, d.metric, d.score, d.facts,
               d.severity, d.channel, d.owner,
               CASE WHEN d.verdict <> 'raise' THEN 'suppressed' WHEN d.quiet_until IS NOT NULL THEN 'held' ELSE 'open' END,
               CASE d.verdict WHEN 'throttle' THEN d.write_key WHEN 'storm' THEN d.storm_key END,
               CASE WHEN d.verdict = 'raise' THEN d.quiet_until END
        FROM decided AS d
        ORDER BY d.feedback_id, d.rule_id, d.place
        ON CONFLICT DO NOTHING
        RETURNING n.*
    ), storm AS (
        -- what stands for those that the storm cap suppressed
        INSERT INTO cx.alert AS n (rule_id, rule_version, kind, key, occurred_at, metric, facts, severity, channel, owner, state, held_until)
        SELECT DISTINCT ON (d.rule_id, d.storm_key) d.rule_id, d.version, 'storm', d.storm_key, d.storm_at, d.metric,
               jsonb_build_object('storm_cap', d.storm_cap),
               d.severity, d.channel, d.owner, CASE WHEN d.quiet_until IS NULL THEN 'open' ELSE 'held' END, d.quiet_until
        FROM decided AS d
        WHERE d.verdict = 'storm'
        ORDER BY d.rule_id, d.storm_key, d.place
        ON CONFLICT (rule_id, key) WHERE key IS NOT NULL DO NOTHING
        RETURNING n.*
    )
    SELECT n.alert_id, n.state, r.follow_up AND n.state <> 'suppressed',
           cxm.alert_payload(n.alert_id, n.rule_id, r.name, n.feedback_id, n.metric, n.score, n.severity, n.kind, n.channel)
    FROM (SELECT * FROM written UNION ALL SELECT * FROM storm) AS n
    JOIN cx.alert_rule AS r ON r.rule_id = n.rule_id
    ORDER BY n.alert_id;
END
$$;

COMMENT ON FUNCTION cxm.raise_alerts(cxm.alert_candidate[]) IS
'Writes alerts for what may raise them: of the candidates, those that meet what their rule asks about the customer and have no alert yet. A throttle or storm cap makes an alert suppressed, quiet hours make it held; a storm has one summary alert more. Exact under concurrent writers: of those under the same limit only one session at a time raises. Returns the rows written, with what listeners are told of each; tells nobody.';

CREATE FUNCTION cxm.forget_alert_limits() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rows bigint;
BEGIN
    DELETE FROM cx.alert_limit AS l
    WHERE NOT EXISTS (
        SELECT FROM cx.alert_rule AS r
        WHERE r.rule_id = l.rule_id
          AND l.started_at >= now() - interval '1 day' - cxm.alert_span(CASE WHEN l.key = 'storm' THEN r.storm_window ELSE r.throttle END));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.forget_alert_limits() IS
'Deletes rows of cx.alert_limit that hold nothing back any more, since a day at least; returns the number of rows. Writers may be at it meanwhile.';

CREATE FUNCTION cxm.alert_time(at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.to_char(pg_catalog.timezone('UTC', alert_time.at), 'YYYY-MM-DD"T"HH24:MI:SS.US');

COMMENT ON FUNCTION cxm.alert_time(timestamptz) IS 'A time as keys of alerts have it: UTC, to the microsecond, the same in every session.';

CREATE FUNCTION cxm.raise_and_tell(candidates cxm.alert_candidate[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_raised record;
BEGIN
    SELECT count(*) FILTER (WHERE r.state <> 'suppressed') AS count,
           array_agg(r.alert_id ORDER BY r.alert_id) FILTER (WHERE r.state = 'open') AS told,
           array_agg(r.payload ORDER BY r.alert_id) FILTER (WHERE r.state = 'open') AS payloads,
           array_agg(r.alert_id ORDER BY r.alert_id) FILTER (WHERE r.state = 'open' AND r.follow_up) AS follow_ups
    INTO v_raised
    FROM cxm.raise_alerts(candidates) AS r;
    IF v_raised.told IS NOT NULL THEN
        PERFORM cxm.send_notifications(v_raised.told, v_raised.payloads);
    END IF;
    IF v_raised.follow_ups IS NOT NULL THEN
        PERFORM cxm.try_open_follow_ups(v_raised.follow_ups);
    END IF;
    RETURN v_raised.count;
END
$$;

COMMENT ON FUNCTION cxm.raise_and_tell(cxm.alert_candidate[]) IS
'Raises alerts (cxm.raise_alerts()), tells listeners of those that are not held, opens follow-ups where rules ask for it, and returns how many were raised: suppressed ones do not count, the summary of a storm does.';

CREATE FUNCTION cxm.evaluate_alerts(feedback_ids bigint[], rule_id integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.raise_and_tell(ARRAY(
        SELECT (r.rule_id, 'answer', f.feedback_id, NULL, f.occurred_at, f.received_at, f.identifier_id, f.metric, f.score,
                f.touchpoint_id, f.location_id, f.product_id, NULL)::cxm.alert_candidate
        FROM cx.feedback AS f
        CROSS JOIN LATERAL cxm.matching_alert_rules(f.metric, f.score, f.touchpoint_id, f.location_id, f.product_id,
                                                    f.comment, f.received_at, evaluate_alerts.rule_id) AS r
        WHERE f.feedback_id = ANY (feedback_ids)
        ORDER BY f.feedback_id, r.rule_id));
END
$$;

COMMENT ON FUNCTION cxm.evaluate_alerts(bigint[], integer) IS
'Holds stored answers against all enabled alert rules, or against the one given, and returns how many alerts that raised. An answer that raised a rule''s alert before raises it no more, so repeating this is harmless. Unknown ids raise nothing. What is wrong with a rule is an error here. It does not look at cxm.alerts.';

CREATE FUNCTION cxm.feedback_alert() RETURNS trigger
AS 'MODULE_PATHNAME', 'cxm_feedback_alert'
LANGUAGE C;

COMMENT ON FUNCTION cxm.feedback_alert() IS
'Statement trigger on cx.feedback and its partitions, after INSERT and UPDATE: raises alerts for new answers, and for changed ones where they meet a rule that they did not meet before. Does nothing while cxm.alerts is off. Never fails the writer: a rule that cannot be evaluated becomes a row of cx.rejection (kind alert), or else a WARNING.';

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

CREATE FUNCTION cxm.check_alert_state() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    there_is CONSTANT boolean := CASE OLD.state
        WHEN 'open' THEN NEW.state IN ('open', 'claimed', 'acknowledged')
        WHEN 'claimed' THEN NEW.state IN ('open', 'claimed', 'acknowledged')
        WHEN 'held' THEN NEW.state IN ('held', 'open', 'acknowledged')
        ELSE NEW.state = OLD.state
    END;
BEGIN
    IF there_is IS NOT TRUE THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('alert %s cannot go from %s to %s', OLD.alert_id, OLD.state, coalesce(NEW.state, 'NULL')),
            HINT = 'An open alert is claimed or acknowledged, a claimed one given back or acknowledged, a held one released or acknowledged; acknowledged and suppressed ones stay.';
    END IF;
    IF NEW.state = 'claimed' AND num_nulls(NEW.claimed_at, NEW.claimed_by, NEW.claim_expires_at) > 0
       OR NEW.state = 'held' AND NEW.held_until IS NULL
       OR (NEW.state = 'acknowledged') <> (num_nulls(NEW.acknowledged_at, NEW.acknowledged_by) = 0)
       OR (NEW.state = 'suppressed') <> (NEW.limit_key IS NOT NULL) THEN
        RAISE check_violation USING
            MESSAGE = format('alert %s is %s but does not say by whom, since when or why', NEW.alert_id, NEW.state),
            HINT = 'Use cxm.claim_alerts(), cxm.release_alert() and cxm.acknowledge_alert().';
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION cxm.check_alert_state() IS
'Trigger on cx.alert, before UPDATE: refuses moves between states that there are not (55000), such as an acknowledged alert being opened again, and states without what belongs to them (23514).';

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
    claim_expires_at timestamptz,
    kind text,
    channel text,
    facts jsonb
)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    ids bigint[];
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

    -- by an array: how many rows a limit leaves is not known when a plan is made, and a join with them might read the
    -- whole table
    ids := ARRAY(
        SELECT a.alert_id
        FROM cx.alert AS a
        WHERE a.acknowledged_at IS NULL
          AND a.limit_key IS NULL
          AND (a.state = 'open' OR (a.state = 'claimed' AND a.claim_expires_at <= moment))
        ORDER BY a.alert_id
        LIMIT n
        FOR UPDATE SKIP LOCKED);

    RETURN QUERY
    WITH claimed AS (
        UPDATE cx.alert AS a
        SET state = 'claimed',
            claimed_at = moment,
            claimed_by = claim_alerts.claimed_by,
            claim_expires_at = moment + lease
        WHERE a.alert_id = ANY (ids)
        RETURNING a.*
    )
    SELECT a.alert_id, a.rule_id, r.name, a.severity, a.owner, a.feedback_id, a.occurred_at, a.identifier_id,
           a.metric, a.score::integer, f.comment, a.raised_at, a.claim_expires_at, a.kind, a.channel, a.facts
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
DECLARE
    v_alert record;
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
      AND a.state NOT IN ('acknowledged', 'suppressed');

    IF FOUND THEN
        RETURN true;
    END IF;

    SELECT a.state, a.limit_key INTO v_alert FROM cx.alert AS a WHERE a.alert_id = acknowledge_alert.alert_id;
    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('alert %s does not exist', coalesce(acknowledge_alert.alert_id::text, 'NULL'));
    ELSIF v_alert.state = 'suppressed' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('alert %s was suppressed', acknowledge_alert.alert_id),
            DETAIL = format('%s held it back: %s.', CASE WHEN v_alert.limit_key LIKE 'storm %' THEN 'A storm cap' ELSE 'A throttle' END, v_alert.limit_key),
            HINT = 'Acknowledge the alert that stands for it: cxm.explain_alert() names it.';
    END IF;

    RETURN false;
END
$$;

COMMENT ON FUNCTION cxm.acknowledge_alert(bigint, text, text) IS
'Closes an alert for good, claimed, held or not, with a note. True when this call did so, false when it was acknowledged before (the first note and name stay). Errors: no such alert (P0002), one that a throttle or storm cap suppressed (55000).';

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
           cxm.alert_payload(a.alert_id, a.rule_id, r.name, a.feedback_id, a.metric, a.score, a.severity, a.kind, a.channel)
    FROM cx.alert AS a
    LEFT JOIN cx.alert_rule AS r ON r.rule_id = a.rule_id
    WHERE a.state NOT IN ('held', 'suppressed')
      AND (since IS NULL OR a.raised_at >= since OR a.released_at >= since)
      AND (seen IS NULL
           OR (a.raised_xid >= pg_snapshot_xmin(seen)
               AND NOT pg_visible_in_snapshot(a.raised_xid, seen)
               AND (a.raised_xid < pg_snapshot_xmax(pg_current_snapshot())
                    OR a.raised_xid IS NOT DISTINCT FROM pg_current_xact_id_if_assigned())))
    ORDER BY a.alert_id;
END
$$;

COMMENT ON FUNCTION cxm.replay_alerts(timestamptz, pg_snapshot) IS
'Alerts for a listener that was away, oldest first, with the payload that it missed (always one an alert, never a summary); none that are held or suppressed. since: alerts raised, or released after quiet hours, at or after that time; one whose transaction was still open when you last looked may have been raised before it, so look back further than your longest transaction. seen: exactly the alerts that were not visible in that snapshot (pg_current_snapshot() of your last look), none missed and none twice, in the cluster that raised them. Both: alerts that meet both. Error 22023: neither.';
