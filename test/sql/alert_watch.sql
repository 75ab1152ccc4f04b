-- Trends and silences, what a rule would have raised, and what happens to a rule that fails.
\set SHOW_CONTEXT never
\pset null '(null)'
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT cxm.create_store('UTC') IS NOT NULL AS made;

-- a rule as if it had been made on 1 January
CREATE FUNCTION pg_temp.since_january(rule_id integer) RETURNS boolean LANGUAGE sql AS $$
    UPDATE cx.alert_rule AS r SET created_at = '2026-01-01 00:00+00' WHERE r.rule_id = since_january.rule_id RETURNING true
$$;

---- silence

SELECT pg_temp.since_january(cxm.add_alert_rule('no visit', silence_after => 'booked', silence_expect => 'event:visited', silence_within => '7 days', severity => 'medium'));
SELECT pg_temp.since_january(cxm.add_alert_rule('no answer', silence_after => 'booked', silence_expect => 'feedback:nps', silence_within => '1 day', location => 'north'));
SELECT pg_temp.since_january(cxm.add_alert_rule('no tea', silence_after => 'booked', silence_expect => 'purchase:tea', silence_within => '2 days'));
SELECT cxm.track(e, i, at => a::timestamptz, location => l) IS NOT NULL AS tracked FROM (VALUES
    ('booked', '{"email": "ann@shop.test"}'::jsonb, '2026-02-01 10:00+00', 'north'),
    ('visited', '{"phone": "+4930123456"}', '2026-02-08 10:00+00', NULL),               -- on the last moment, by another identifier
    ('booked', '{"email": "ben@shop.test"}', '2026-02-01 10:00+00', 'south'),
    ('visited', '{"email": "ben@shop.test"}', '2026-02-08 10:00:00.000001+00', NULL),   -- too late
    ('booked', '{"email": "carl@shop.test"}', '2026-02-02 10:00+00', 'north'),
    ('visited', '{"email": "carl@shop.test"}', '2026-02-02 10:00+00', NULL),            -- not after it
    ('booked', '{"email": "carl@shop.test"}', '2026-02-02 10:00+00', 'north'),          -- the same promise
    ('booked', NULL, '2026-02-01 10:00+00', 'north')) AS v(e, i, a, l);
SELECT cxm.identify('{"email": "ann@shop.test", "phone": "+4930123456"}', '{}') IS NOT NULL AS linked;
SELECT cxm.record_feedback('nps', 9, '{"email": "carl@shop.test"}', at => '2026-02-03 09:00+00') IS NOT NULL AS answered;
SELECT cxm.record_feedback('csat', 5, '{"email": "ann@shop.test"}', at => '2026-02-01 11:00+00') IS NOT NULL AS answered;
SELECT cxm.record_purchase(amount => 3, identifiers => '{"email": "ben@shop.test"}', product => 'tea', at => '2026-02-02 00:00+00') IS NOT NULL AS bought;
SELECT cxm.record_purchase(amount => 3, identifiers => '{"email": "ann@shop.test"}', product => 'milk', at => '2026-02-02 00:00+00') IS NOT NULL AS bought;

CREATE FUNCTION pg_temp.silent() RETURNS TABLE (rule text, customer text, promised timestamptz, expected text, severity text, state text)
LANGUAGE sql AS $$
    SELECT r.name, i.value, a.occurred_at, a.facts->>'expected', a.severity, a.state
    FROM cx.alert AS a JOIN cx.alert_rule AS r USING (rule_id) LEFT JOIN cx.identifier AS i USING (identifier_id) ORDER BY a.alert_id
$$;
SELECT cxm.watch_rule('no visit', '2026-02-08 09:59:59+00'), cxm.watch_rule('no visit', '2026-02-08 10:00+00'), cxm.watch_rule('no visit', '2026-02-08 10:00+00'), cxm.watch_rule('no visit', '2026-02-28 00:00+00');
SELECT cxm.watch_rule('no answer', '2026-02-28 00:00+00'), cxm.watch_rule('no tea', '2026-02-28 00:00+00');
SELECT * FROM pg_temp.silent();
-- an event that arrives up to a day after its promise fell due is seen; looked at twice it raises once
SELECT cxm.track('booked', '{"email": "dora@shop.test"}', at => '2026-02-20 12:00+00') IS NOT NULL AS late;
SELECT cxm.watch_rule('no visit', '2026-02-28 01:00+00'), cxm.watch_rule('no visit', '2026-02-28 02:00+00');
SELECT item, wanted, found FROM cxm.explain_alert((SELECT min(alert_id) FROM cx.alert)) WHERE item NOT IN ('rule', 'raised');
-- told like any other
SELECT payload - 'rule_id' AS payload FROM cx.outbox ORDER BY outbox_id LIMIT 2;
SELECT alert_id, rule, kind, feedback_id, comment FROM cxm.claim_alerts(1);
-- the same over history, without writing: those of the store, and one that is not saved
SELECT verdict, at, key IS NOT NULL AS key, feedback_id FROM cxm.alert_backtest('no visit', '2026-02-01 00:00+00', '2026-02-28 02:00:00.000001+00');
SELECT count(*) FROM cxm.alert_backtest('{"silence_after": "booked", "silence_expect": "purchase", "silence_within": "2 days"}'::jsonb, '2026-02-01 00:00+00', '2026-03-01 00:00+00');
SELECT count(*) FROM cxm.alert_backtest('{"silence_after": "never heard of", "silence_expect": "purchase", "silence_within": "2 days"}'::jsonb, '2026-02-01 00:00+00', '2026-03-01 00:00+00');
-- what was promised to a segment
SELECT pg_temp.since_january(cxm.add_alert_rule('vip', silence_after => 'booked', silence_expect => 'event:visited', silence_within => '7 days', segment => '"vip"'));
SELECT cxm.identify('{"email": "ben@shop.test"}', '{"segment": "vip"}', at => '2026-02-01 00:00+00') IS NOT NULL AS known;
SELECT cxm.watch_rule('vip', '2026-03-01 00:00+00');
SELECT rule, customer FROM pg_temp.silent() WHERE rule = 'vip';
SELECT cxm.enable_alert_rule('vip', false) > 0 AS off, cxm.watch_rule('vip', '2026-05-01 00:00+00');

SELECT cxm.watch_rule('nobody');
SELECT cxm.watch_rule('vip', 'infinity');
SELECT cxm.add_alert_rule('plain', metric => 'nps') > 0 AS added;
SELECT cxm.watch_rule('plain');
DELETE FROM cx.alert_rule;

---- trend

TRUNCATE cx.alert, cx.feedback, cx.outbox RESTART IDENTITY;
SET cxm.alerts = off;
-- a touchpoint goes from 40 promoters of 50 a day to 10 of 50; the other one does not, and a third is bad but small
INSERT INTO cx.touchpoint (key) VALUES ('web'), ('shop'), ('phone');
INSERT INTO cx.feedback (metric, score, occurred_at, touchpoint_id)
SELECT 'nps', CASE WHEN i < CASE WHEN t.key = 'web' AND d >= 10 THEN 10 ELSE 40 END THEN 10 ELSE 3 END,
       timestamptz '2026-02-02 00:00+00' + d * interval '1 day' + i * interval '10 minutes', t.touchpoint_id
FROM generate_series(0, 20) AS d, generate_series(0, 49) AS i, cx.touchpoint AS t WHERE t.key IN ('web', 'shop');
INSERT INTO cx.feedback (metric, score, occurred_at, touchpoint_id)
SELECT 'nps', 3, '2026-02-10 12:00+00', touchpoint_id FROM cx.touchpoint WHERE key = 'phone';
RESET cxm.alerts;
SELECT pg_temp.since_january(cxm.add_alert_rule('falling', metric => 'nps', trend_goal => 20, trend_window => '3 days', trend_by => 'touchpoint', owner => 'ux'));
SELECT cxm.watch_rule('falling', '2026-02-12 00:00+00'), cxm.watch_rule('falling', '2026-02-16 00:00+00'), cxm.watch_rule('falling', '2026-02-23 00:00+00'), cxm.watch_rule('falling', '2026-02-23 00:00+00');
SELECT a.key, a.occurred_at, t.key AS touchpoint, round((a.facts->>'value')::numeric, 1) AS value, (a.facts->>'upper')::numeric < 20 AS below, a.facts->>'answers' AS answers, a.owner
FROM cx.alert AS a LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = (a.facts->>'touchpoint')::integer ORDER BY alert_id;
-- the plain way: for each hour the figure of the three days before it
WITH hour AS (
    SELECT t.touchpoint_id, h.at, (SELECT cxm.nps_agg(f.score) FROM cx.feedback AS f WHERE f.touchpoint_id = t.touchpoint_id AND f.occurred_at >= h.at - interval '3 days' AND f.occurred_at < h.at) AS ratings,
           EXISTS (SELECT FROM cx.feedback AS f WHERE f.touchpoint_id = t.touchpoint_id AND f.occurred_at >= h.at - interval '1 hour' AND f.occurred_at < h.at) AS spoken
    FROM cx.touchpoint AS t, generate_series(timestamptz '2026-02-02 01:00+00', '2026-02-23 00:00+00', '1 hour') AS h(at)
), first AS (
    SELECT touchpoint_id, date_trunc('week', at) AS week, min(at) AS at FROM hour WHERE spoken AND (cxm.nps_interval(ratings)).upper < 20 GROUP BY 1, 2
)
SELECT count(*) FILTER (WHERE a.alert_id IS NOT NULL AND f.at IS NOT NULL) AS agreed, count(*) AS all
FROM first AS f FULL JOIN cx.alert AS a ON a.occurred_at = f.at AND (a.facts->>'touchpoint')::integer = f.touchpoint_id;
SELECT verdict, at, key FROM cxm.alert_backtest('falling', '2026-02-01 00:00+00', '2026-02-23 00:00:01+00');
-- by mean and by share of satisfied ones, over all places
INSERT INTO cx.feedback (metric, score, occurred_at) SELECT m, CASE WHEN i % 5 = 0 THEN 5 ELSE 1 END, timestamptz '2026-02-02 00:00+00' + i * interval '1 hour' FROM generate_series(0, 49) AS i, (VALUES ('csat'), ('ces')) AS v(m);
SELECT r->>'metric' AS metric, at, facts - 'lower' - 'upper' AS facts
FROM (VALUES ('{"metric": "csat", "trend_goal": 60, "trend_period": "month"}'::jsonb), ('{"metric": "ces", "trend_goal": 3.5, "trend_period": "month", "trend_window": "7 days"}'), ('{"metric": "ces", "trend_goal": 1.5}')) AS v(r),
     cxm.alert_backtest(r, '2026-02-01 00:00+00', '2026-03-01 00:00+00');
SELECT cxm.add_alert_rule('broken', metric => 'nps', trend_goal => 20) > 0 AS added;
SELECT item, wanted, found ~ '^-?[0-9.]+ \(' AS found FROM cxm.explain_alert((SELECT min(alert_id) FROM cx.alert)) WHERE item = 'trend';
DELETE FROM cx.alert_rule;

---- the job

TRUNCATE cx.alert, cx.feedback, cx.outbox RESTART IDENTITY;
SELECT cxm.add_alert_rule('no visit', silence_after => 'booked', silence_expect => 'event:visited', silence_within => '1 hour') > 0 AS added;
SELECT cxm.add_alert_rule('damaged', metric => 'nps', trend_goal => 20) > 0 AS added;
UPDATE cx.alert_rule SET trend_confidence = 7 WHERE name = 'damaged';
UPDATE cx.alert_rule SET created_at = now() - interval '3 days';
SELECT cxm.record_feedback('nps', 0, at => now() - interval '2 hours') IS NOT NULL AS answered;
SELECT cxm.track('booked', '{"email": "ann@shop.test"}', at => now() - interval '2 hours') IS NOT NULL AS tracked;
SELECT cxm.track('booked', '{"email": "ann@shop.test"}', at => now() - interval '30 minutes') IS NOT NULL AS tracked;
SET client_min_messages = error;
CALL cxm.watch_alerts();
CALL cxm.watch_alerts();
SELECT rule, customer FROM pg_temp.silent();
SELECT job, outcome, row_count, detail FROM cx.job_run WHERE job = 'watch_alerts' ORDER BY run_id;
-- mended, it goes on from where it was
SELECT cxm.change_alert_rule('damaged', '{"trend_confidence": 0.5, "trend_goal": 20}') > 0 AS mended;
INSERT INTO cx.feedback (metric, score, occurred_at) SELECT 'nps', 0, now() - interval '2 hours' FROM generate_series(1, 50);
CALL cxm.watch_alerts();
SELECT rule, count(*) > 0 AS raised FROM pg_temp.silent() GROUP BY 1 ORDER BY 1;

---- what a rule would have raised

DELETE FROM cx.alert_rule;
TRUNCATE cx.alert, cx.feedback, cx.outbox RESTART IDENTITY;
INSERT INTO cx.feedback (metric, score, occurred_at, comment) SELECT 'nps', i % 11, timestamptz '2026-02-02 00:00+00' + i * interval '10 minutes', CASE WHEN i % 2 = 0 THEN 'late' END FROM generate_series(0, 32) AS i;
SELECT verdict, count(*), min(at), max(at) FROM cxm.alert_backtest('{"metric": "nps", "score_max": 6}'::jsonb, '2026-02-02 00:00+00', '2026-02-02 05:20+00') GROUP BY 1;
SELECT verdict, at, score, key FROM cxm.alert_backtest('{"metric": "nps", "score_max": 3, "search": "late", "storm_cap": 1, "storm_window": "1 hour", "quiet_from": "03:00", "quiet_to": "04:00"}'::jsonb, '2026-02-02 00:00+00', '2026-02-03 00:00+00');
SELECT verdict, at, held_until FROM cxm.alert_backtest('{"metric": "nps", "score_max": 0, "quiet_from": "01:00", "quiet_to": "04:00"}'::jsonb, '2026-02-02 00:00+00', '2026-02-03 00:00+00');
SELECT verdict, count(*) FROM cxm.alert_backtest('{"metric": "nps", "score_max": 6, "throttle": "1 hour", "throttle_by": "rule"}'::jsonb, '2026-02-02 00:00+00', '2026-02-03 00:00+00') GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM cxm.alert_backtest('{"metric": "nps", "touchpoint": "never heard of"}'::jsonb, '2026-02-02 00:00+00', '2026-02-03 00:00+00');
SELECT count(*) FROM cx.touchpoint WHERE key = 'never heard of';
SELECT count(*) FROM cx.alert;
SELECT cxm.alert_backtest('nobody', '2026-02-02 00:00+00', '2026-02-03 00:00+00');
SELECT cxm.alert_backtest('{"metric": "nps", "scoremax": 6}'::jsonb, '2026-02-02 00:00+00', '2026-02-03 00:00+00');
SELECT cxm.alert_backtest('[]'::jsonb, '2026-02-02 00:00+00', '2026-02-03 00:00+00');
SELECT cxm.alert_backtest('{"metric": "nps", "score_max": 60}'::jsonb, '2026-02-02 00:00+00', '2026-02-03 00:00+00');
SELECT cxm.alert_backtest('{"metric": "nps"}'::jsonb, '2026-02-03 00:00+00', '2026-02-03 00:00+00');
SELECT cxm.alert_backtest('{"metric": "nps"}'::jsonb, NULL, '2026-02-03 00:00+00');

DROP SCHEMA cx CASCADE;
