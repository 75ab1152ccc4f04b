-- What rules can ask about the customer, whom they route to, what they hold back, and what is kept of them.
\set SHOW_CONTEXT never
\pset null '(null)'
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT cxm.create_store('UTC') IS NOT NULL AS made;

-- what was written, in order: rule, answer, what of it
CREATE FUNCTION pg_temp.written() RETURNS TABLE (rule text, feedback bigint, score smallint, state text, owner text, limit_key text, facts jsonb)
LANGUAGE sql AS $$
    SELECT r.name, a.feedback_id, a.score, a.state, a.owner, a.limit_key, a.facts
    FROM cx.alert AS a LEFT JOIN cx.alert_rule AS r USING (rule_id) ORDER BY a.alert_id
$$;

---- lists

SELECT cxm.add_alert_rule('places', touchpoint => 'a', touchpoints => '{b,c}', locations => '{x,y}') > 0 AS added;
SELECT cxm.record_feedback('csat', 3, touchpoint => t, location => l) IS NOT NULL AS taken FROM (VALUES ('a', 'x'), ('b', 'z'), ('c', 'y'), ('d', 'x'), ('a', NULL)) AS v(t, l);
SELECT f.feedback_id, t.key AS touchpoint, l.key AS location FROM cx.alert AS a JOIN cx.feedback AS f USING (feedback_id) JOIN cx.touchpoint AS t USING (touchpoint_id) JOIN cx.location AS l USING (location_id) ORDER BY 1;
SELECT cxm.change_alert_rule('places', '{"touchpoint": "d", "locations": null}');
SELECT cxm.change_alert_rule('places', '{"touchpoint": ["d", "a"]}');
SELECT cxm.change_alert_rule('places', '{"touchpoint": ["d", "a"]}') AS nothing_changed;
SELECT cxm.record_feedback('csat', 3, touchpoint => t) IS NOT NULL AS taken FROM (VALUES ('a'), ('b'), ('d')) AS v(t);
SELECT count(*) FROM cx.alert;

---- versions

SELECT cxm.enable_alert_rule('places', false);
UPDATE cx.alert_rule SET severity = 'low' WHERE name = 'places';
UPDATE cx.alert_rule SET severity = 'low' WHERE name = 'places';
SELECT version, name, rule->'enabled' AS enabled, rule->>'severity' AS severity, jsonb_array_length(rule->'touchpoint_ids') AS touchpoints, rule->'location_ids' <> 'null' AS located,
       changed_at IS NOT NULL AS at, changed_by = session_user AS by_me
FROM cx.alert_rule_version ORDER BY version;
SELECT bool_and(EXISTS (SELECT FROM cx.alert_rule_version AS v WHERE v.rule_id = a.rule_id AND v.version = a.rule_version)) AS known FROM cx.alert AS a;
DELETE FROM cx.alert_rule;
SELECT count(*) FROM cx.alert_rule_version;

---- a drop against the customer's own last

TRUNCATE cx.alert, cx.feedback, cx.outbox RESTART IDENTITY;
SELECT cxm.add_alert_rule('fell', metric => 'nps', drop_min => 3) > 0 AS added;
SELECT cxm.record_feedback('nps', s, i, at => timestamptz '2026-01-01 00:00+00' + n * interval '1 day', source => 't', message_id => n::text) AS id
FROM (VALUES (1, 9, '{"email": "ann@shop.test"}'::jsonb), (2, 6, '{"email": "ann@shop.test"}'), (3, 5, '{"email": "ann@shop.test"}'),
             (4, 2, '{"phone": "+4930123456"}'), (5, 1, NULL)) AS v(n, s, i);
SELECT * FROM pg_temp.written();
-- by whatever identifier: the phone is ann's, so a 0 is a drop against what she said there
SELECT cxm.identify('{"email": "ann@shop.test", "phone": "+4930123456"}', '{}', at => '2026-01-09 00:00+00') IS NOT NULL AS linked;
SELECT cxm.record_feedback('nps', 10, '{"phone": "+4930123456"}', at => '2026-01-10 00:00+00') IS NOT NULL AS taken;
SELECT cxm.record_feedback('nps', 7, '{"email": "ann@shop.test"}', at => '2026-01-11 00:00+00') IS NOT NULL AS taken;
-- another metric is another matter, and an answer without a score says nothing
SELECT cxm.record_feedback('csat', 1, '{"email": "ann@shop.test"}', at => '2026-01-12 00:00+00') IS NOT NULL AS taken;
SELECT cxm.record_feedback('nps', NULL, '{"email": "ann@shop.test"}', comment => 'hm', at => '2026-01-12 00:00+00') IS NOT NULL AS taken;
-- one that arrives late is held against what was said before it, and is no drop
SELECT cxm.record_feedback('nps', 8, '{"email": "ann@shop.test"}', at => '2026-01-01 12:00+00') IS NOT NULL AS taken;
-- both in one statement
INSERT INTO cx.feedback (metric, score, identifier_id, occurred_at)
SELECT 'nps', s, identifier_id, at FROM cx.identifier, (VALUES (4, timestamptz '2026-01-20 00:00+00'), (0, '2026-01-21 00:00+00')) AS v(s, at) WHERE namespace = 'email' ORDER BY at;
SELECT * FROM pg_temp.written();
-- corrected: from no drop to a drop, from one drop to another
UPDATE cx.feedback SET score = 3 WHERE score = 5;
UPDATE cx.feedback SET score = 1 WHERE score = 4;
SELECT * FROM pg_temp.written() OFFSET 5;
SELECT cxm.evaluate_alerts(ARRAY(SELECT feedback_id FROM cx.feedback));
DELETE FROM cx.alert_rule;

---- segment and value at risk

TRUNCATE cx.alert, cx.feedback, cx.outbox RESTART IDENTITY;
SELECT cxm.identify('{"email": "ann@shop.test"}', '{"segment": "vip", "tier": {"level": 2, "since": 2020}}', at => '2026-02-01 00:00+00') IS NOT NULL AS known;
SELECT cxm.identify('{"email": "ben@shop.test"}', '{"segment": "new"}', at => '2026-02-01 00:00+00') IS NOT NULL AS known;
SELECT cxm.record_purchase(amount => a, identifiers => i, currency => c, at => t) IS NOT NULL AS bought
FROM (VALUES (300, '{"phone": "+4930123456"}'::jsonb, 'EUR', timestamptz '2026-01-01 00:00+00'), (400, '{"email": "ann@shop.test"}', 'EUR', '2026-02-01 00:00+00'),
             (900, '{"email": "ann@shop.test"}', 'JPY', '2026-02-01 00:00+00'), (-50, '{"email": "ann@shop.test"}', 'EUR', '2026-02-02 00:00+00'),
             (1000, '{"email": "ben@shop.test"}', 'EUR', '2026-02-20 00:00+00')) AS v(a, i, c, t);
SELECT cxm.add_alert_rule('vip', metric => 'csat', segment => '"vip"') > 0 AS added;
SELECT cxm.add_alert_rule('level', metric => 'csat', segment => '{"tier": {"level": 2}}') > 0 AS added;
SELECT cxm.add_alert_rule('rich', metric => 'csat', spend_min => 650, spend_currency => 'EUR') > 0 AS added;
SELECT cxm.add_alert_rule('lately', metric => 'csat', spend_min => 700, spend_window => '30 days') > 0 AS added;
SELECT segment FROM cx.alert_rule WHERE name = 'vip';
-- ann, ben before he bought, ben then, ann before she was known for anything, somebody
SELECT cxm.record_feedback('csat', n, i, at => t) IS NOT NULL AS taken
FROM (VALUES (1, '{"email": "ann@shop.test"}'::jsonb, timestamptz '2026-02-15 00:00+00'), (2, '{"email": "ben@shop.test"}', '2026-02-15 00:00+00'),
             (3, '{"email": "ben@shop.test"}', '2026-02-25 00:00+00'), (4, '{"email": "ann@shop.test"}', '2025-12-31 00:00+00'), (5, NULL, '2026-02-25 00:00+00')) AS v(n, i, t);
SELECT rule, score, facts FROM pg_temp.written();
SELECT item, wanted, found FROM cxm.explain_alert((SELECT max(alert_id) FROM cx.alert JOIN cx.alert_rule USING (rule_id) WHERE name = 'rich')) WHERE item NOT IN ('rule', 'raised');
DELETE FROM cx.alert_rule;

---- routing

TRUNCATE cx.alert, cx.feedback, cx.outbox RESTART IDENTITY;
SELECT cxm.add_alert_rule('by location', metric => 'nps', score_max => 6, routing => 'location', owner => 'head office') > 0 AS added;
SELECT cxm.add_alert_rule('by product', metric => 'nps', score_max => 6, routing => 'product') > 0 AS added;
SELECT cxm.add_alert_rule('by touchpoint', metric => 'nps', score_max => 6, routing => 'touchpoint', owner => 'web team') > 0 AS added;
SELECT cxm.set_alert_route('lena', location => 'north') > 0, cxm.set_alert_route('paul', product => 'tea') > 0, cxm.set_alert_route('till team', touchpoint => 'till') > 0;
SELECT cxm.set_alert_route('nina', location => 'north', rule => 'by product') > 0;
SELECT cxm.record_feedback('nps', n, location => l, product => p, touchpoint => t) IS NOT NULL AS taken
FROM (VALUES (1, 'north', 'tea', 'till'), (2, 'south', 'milk', 'web'), (3, NULL, NULL, NULL)) AS v(n, l, p, t);
-- a route of the rule's own goes first; an owner that changes is the same route; none goes back to the rule's
SELECT cxm.set_alert_route('mary', location => 'north', rule => 'by location') > 0, cxm.set_alert_route('max', product => 'tea') > 0, cxm.set_alert_route(NULL, touchpoint => 'till') IS NULL;
SELECT cxm.record_feedback('nps', 4, location => 'north', product => 'tea', touchpoint => 'till') IS NOT NULL AS taken;
SELECT score, rule, owner FROM pg_temp.written() ORDER BY score, rule;
DELETE FROM cx.alert_rule;
SELECT cxm.add_alert_rule('in turn', metric => 'nps', score_max => 6, owners => '{ann,ben,carl}') > 0 AS added;
INSERT INTO cx.feedback (metric, score) SELECT 'nps', i % 7 FROM generate_series(1, 30) AS i;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 1);
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 2);
SELECT owner, count(*) FROM pg_temp.written() WHERE rule = 'in turn' GROUP BY 1 ORDER BY 1;
DELETE FROM cx.alert_rule;
SELECT cxm.set_alert_route('x');
SELECT cxm.set_alert_route('x', location => 'a', product => 'b');
SELECT cxm.set_alert_route('', location => 'a');
SELECT cxm.set_alert_route('x', location => 'a', rule => 'nobody');

---- throttle: the first, and what comes within the time after it

TRUNCATE cx.alert, cx.feedback, cx.outbox, cx.alert_limit RESTART IDENTITY;
-- answers come when they are given; person NULL is anonymous
CREATE FUNCTION pg_temp.answer(score integer, at text, person text DEFAULT NULL, location text DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO cx.location (key) SELECT location WHERE location IS NOT NULL ON CONFLICT DO NOTHING;
    INSERT INTO cx.feedback (metric, score, occurred_at, received_at, identifier_id, location_id)
    SELECT 'nps', score, t.at, t.at, (SELECT identifier_id FROM cx.identifier WHERE value = person), (SELECT l.location_id FROM cx.location AS l WHERE l.key = location)
    FROM (SELECT ('2026-03-01 ' || at || '+00')::timestamptz AS at) AS t
$$;
SELECT cxm.add_alert_rule('calm', metric => 'nps', score_max => 6, throttle => '1 hour', owners => '{ann,ben}') > 0 AS added;
SELECT pg_temp.answer(1, '10:00', 'ben@shop.test'), pg_temp.answer(2, '10:59:59.999999', 'ben@shop.test'), pg_temp.answer(3, '11:00', 'ben@shop.test'),
       pg_temp.answer(4, '11:30', 'ann@shop.test'), pg_temp.answer(5, '11:31', '+4930123456'), pg_temp.answer(6, '11:32', NULL), pg_temp.answer(0, '11:32', NULL);
SELECT score, state, owner, limit_key FROM pg_temp.written();
SELECT rule_id IS NOT NULL AS rule_id, key, started_at, count FROM cx.alert_limit ORDER BY key;
-- what was suppressed is not told, not claimed, not replayed, not acknowledged; and not raised later
SELECT count(*) FROM cx.outbox;
SELECT count(*) FROM cxm.claim_alerts(100);
SELECT count(*) FROM cxm.replay_alerts('-infinity');
SELECT cxm.acknowledge_alert((SELECT min(alert_id) FROM cx.alert WHERE state = 'suppressed'));
SELECT cxm.release_alert((SELECT min(alert_id) FROM cx.alert WHERE state = 'suppressed'));
SELECT cxm.evaluate_alerts(ARRAY(SELECT feedback_id FROM cx.feedback));
SELECT item, wanted, found ~ '^suppressed: alert 1 was raised at' AS because FROM cxm.explain_alert(2) WHERE item = 'throttle';
SELECT item, wanted, found FROM cxm.explain_alert(1) WHERE item = 'throttle';
-- in one statement, in the order of their time
SELECT cxm.change_alert_rule('calm', '{"throttle": "3 hours", "throttle_by": "location", "routing": "owner", "owners": null}');
TRUNCATE cx.alert, cx.feedback, cx.outbox, cx.alert_limit RESTART IDENTITY;
INSERT INTO cx.feedback (metric, score, occurred_at, received_at, location_id)
SELECT 'nps', i, '2026-03-01 00:00+00', timestamptz '2026-03-01 00:00+00' + i * interval '1 hour', CASE WHEN i % 2 = 0 THEN (SELECT min(location_id) FROM cx.location) END
FROM generate_series(6, 0, -1) AS i;
SELECT score, state, limit_key FROM pg_temp.written() ORDER BY score;
-- a rolled-back alert throttles nothing
BEGIN;
SELECT pg_temp.answer(1, '20:00', NULL, 'north');
ROLLBACK;
SELECT pg_temp.answer(2, '20:01', NULL, 'north');
SELECT score, state FROM pg_temp.written() OFFSET 7;
DELETE FROM cx.alert_rule;

---- storm cap: so many, and one that stands for the others

TRUNCATE cx.alert, cx.feedback, cx.outbox, cx.alert_limit RESTART IDENTITY;
SELECT cxm.add_alert_rule('storm', metric => 'nps', score_max => 6, storm_cap => 2, severity => 'low', channel => 'slack:care') > 0 AS added;
SELECT pg_temp.answer(0, '10:00'), pg_temp.answer(1, '10:20'), pg_temp.answer(2, '10:40'), pg_temp.answer(3, '10:59:59'), pg_temp.answer(4, '11:00'), pg_temp.answer(5, '11:59'), pg_temp.answer(6, '11:59:30');
SELECT alert_id, kind, key, score, state, limit_key, severity, channel, facts FROM cx.alert ORDER BY alert_id;
SELECT payload FROM cx.outbox ORDER BY outbox_id;
SELECT item, wanted, found FROM cxm.explain_alert((SELECT min(alert_id) FROM cx.alert WHERE kind = 'storm')) WHERE item NOT IN ('rule', 'raised');
SELECT item, wanted, found FROM cxm.explain_alert((SELECT min(alert_id) FROM cx.alert WHERE state = 'suppressed')) WHERE item = 'storm cap';
-- a bulk load: two alerts, one summary, told one by one
TRUNCATE cx.alert, cx.feedback, cx.outbox, cx.alert_limit RESTART IDENTITY;
INSERT INTO cx.feedback (metric, score) SELECT 'nps', 0 FROM generate_series(1, 1000);
SELECT kind, state, count(*) FROM cx.alert GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) FROM cx.outbox;
SELECT alert_id, kind, channel, facts FROM cxm.claim_alerts(10);
DELETE FROM cx.alert_rule;

---- quiet hours

SELECT cxm.quiet_until(t, '22:00', '07:00', 'Europe/Berlin') FROM (VALUES ('2026-03-01 20:59+00'::timestamptz), ('2026-03-01 21:00+00'), ('2026-03-01 23:30+00'), ('2026-03-02 05:59:59+00'), ('2026-03-02 06:00+00')) AS v(t);
SELECT cxm.quiet_until(t, '12:00', '14:00', 'UTC') FROM (VALUES ('2026-03-01 11:59+00'::timestamptz), ('2026-03-01 12:00+00'), ('2026-03-01 14:00+00')) AS v(t);
-- clocks are put forward at 2 (1 UTC), and back at 3 (1 UTC)
SELECT cxm.quiet_until('2026-03-29 00:30+00', '22:00', '02:30', 'Europe/Berlin'), cxm.quiet_until('2026-10-25 00:45+00', '22:00', '02:30', 'Europe/Berlin'), cxm.quiet_until('2026-10-25 01:15+00', '22:00', '02:30', 'Europe/Berlin') >= '2026-10-25 01:15+00' AS not_before;
SELECT cxm.quiet_until(NULL, '12:00', '14:00', 'UTC'), cxm.quiet_until(now(), NULL, '14:00', 'UTC');

TRUNCATE cx.alert, cx.feedback, cx.outbox, cx.alert_limit RESTART IDENTITY;
-- quiet now, whatever the time
SELECT cxm.add_alert_rule('quiet', metric => 'nps', score_max => 6, quiet_from => (now() - interval '1 hour')::time, quiet_to => (now() + interval '1 hour')::time) > 0 AS added;
SELECT cxm.add_alert_rule('loud', metric => 'nps', score_max => 6, quiet_from => (now() - interval '1 hour')::time, quiet_to => (now() + interval '1 hour')::time, severity => 'critical') > 0 AS added;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 1);
SELECT r.name, a.state, a.held_until - now() BETWEEN '59 minutes' AND '61 minutes' AS for_an_hour FROM cx.alert AS a JOIN cx.alert_rule AS r USING (rule_id) ORDER BY alert_id;
SELECT count(*) FROM cx.outbox;
SELECT pg_current_snapshot() AS seen \gset
SELECT cxm.release_held_alerts();
UPDATE cx.alert SET held_until = now() - interval '1 second' WHERE state = 'held';
SELECT cxm.release_held_alerts(), cxm.release_held_alerts();
SELECT r.name, a.state, a.released_at IS NOT NULL AS released FROM cx.alert AS a JOIN cx.alert_rule AS r USING (rule_id) ORDER BY alert_id;
SELECT payload->>'rule' AS told FROM cx.outbox ORDER BY outbox_id;
SELECT payload->>'rule' AS replayed FROM cxm.replay_alerts(seen => :'seen');
SELECT cxm.release_held_alerts(0);
DELETE FROM cx.alert_rule;
-- it is midnight somewhere: quiet at a place whose clock says so
UPDATE cx.location SET time_zone = CASE key WHEN 'north' THEN 'Etc/GMT' ELSE 'Etc/GMT-12' END WHERE key IN ('north', 'south');
SELECT cxm.add_alert_rule('night', metric => 'nps', score_max => 6, quiet_from => (now() AT TIME ZONE 'Etc/GMT-12' - interval '2 hours')::time, quiet_to => (now() AT TIME ZONE 'Etc/GMT-12' + interval '2 hours')::time) > 0 AS added;
SELECT cxm.record_feedback('nps', 1, location => l) IS NOT NULL AS taken FROM (VALUES ('north'), ('south')) AS v(l);
SELECT l.key, a.state FROM cx.alert AS a JOIN cx.alert_rule AS r USING (rule_id) JOIN cx.feedback AS f USING (feedback_id) JOIN cx.location AS l USING (location_id) WHERE r.name = 'night' ORDER BY 1;
DELETE FROM cx.alert_rule;

---- follow-ups

TRUNCATE cx.alert, cx.feedback, cx.outbox, cx.alert_limit, cx.rejection RESTART IDENTITY;
-- rolled back at the end, for the extension may have the function already
BEGIN;
CREATE TABLE public.opened (alert_id bigint);
-- stands for the module that opens follow-ups
CREATE FUNCTION public.opens(alert_ids bigint[]) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.opened SELECT unnest(alert_ids);
    IF EXISTS (SELECT FROM cx.alert AS a WHERE a.alert_id = ANY (alert_ids) AND a.score = 6) THEN
        RAISE EXCEPTION 'no follow-up for a six';
    END IF;
    RETURN cardinality(alert_ids);
END
$$;
DO $$
BEGIN
    IF to_regprocedure('cxm.open_follow_ups(bigint[])') IS NOT NULL THEN
        ALTER EXTENSION cxm DROP FUNCTION cxm.open_follow_ups(bigint[]);
        DROP FUNCTION cxm.open_follow_ups(bigint[]);
    END IF;
END
$$;
ALTER FUNCTION public.opens(bigint[]) RENAME TO open_follow_ups;
ALTER FUNCTION public.open_follow_ups(bigint[]) SET SCHEMA cxm;
SELECT cxm.add_alert_rule('with', metric => 'nps', score_max => 6, follow_up => true) > 0 AS added;
SELECT cxm.add_alert_rule('without', metric => 'nps', score_max => 6) > 0 AS added;
SELECT cxm.add_alert_rule('once', metric => 'nps', score_max => 6, throttle => '1 hour', throttle_by => 'rule', follow_up => true) > 0 AS added;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 1), ('nps', 2), ('nps', 10);
SELECT r.name, a.score FROM public.opened AS o JOIN cx.alert AS a USING (alert_id) JOIN cx.alert_rule AS r USING (rule_id) ORDER BY 1, 2;
-- what goes wrong there fails neither the answer nor the alerts
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 6);
SELECT rule, score, state FROM pg_temp.written() WHERE score = 6;
SELECT j.kind, j.reason, (SELECT array_agg(a.score) FROM cx.alert AS a WHERE j.record->'alert_ids' @> to_jsonb(a.alert_id)) AS scores FROM cx.rejection AS j;
ROLLBACK;
DELETE FROM cx.alert_rule;

---- rules that are refused

SELECT cxm.add_alert_rule('x', touchpoints => '{}');
SELECT cxm.add_alert_rule('x', touchpoint => 'a', touchpoints => '{NULL}');
SELECT cxm.add_alert_rule('x', drop_min => 3);
SELECT cxm.add_alert_rule('x', metric => 'csat', drop_min => 5);
SELECT cxm.add_alert_rule('x', metric => 'csat', drop_min => 0);
SELECT cxm.add_alert_rule('x', segment => '{}');
SELECT cxm.add_alert_rule('x', segment => '["vip"]');
SELECT cxm.add_alert_rule('x', spend_min => 'NaN');
SELECT cxm.add_alert_rule('x', spend_min => 1, spend_currency => 'euro');
SELECT cxm.add_alert_rule('x', metric => 'nps', spend_currency => 'EUR');
SELECT cxm.add_alert_rule('x', spend_min => 1, spend_window => '1 month');
SELECT cxm.add_alert_rule('x', spend_min => 1, spend_window => '-1 day');
SELECT cxm.add_alert_rule('x', metric => 'nps', routing => 'somebody');
SELECT cxm.add_alert_rule('x', metric => 'nps', routing => 'round_robin');
SELECT cxm.add_alert_rule('x', metric => 'nps', routing => 'owner', owners => '{a}');
SELECT cxm.add_alert_rule('x', metric => 'nps', owners => '{}');
SELECT cxm.add_alert_rule('x', metric => 'nps', owners => '{a,NULL}');
SELECT cxm.add_alert_rule('x', metric => 'nps', throttle => '0');
SELECT cxm.add_alert_rule('x', metric => 'nps', throttle => '1 year');
SELECT cxm.add_alert_rule('x', metric => 'nps', throttle => '1 hour', throttle_by => 'moon');
SELECT cxm.add_alert_rule('x', metric => 'nps', throttle_by => 'rule');
SELECT cxm.add_alert_rule('x', metric => 'nps', storm_cap => 0);
SELECT cxm.add_alert_rule('x', metric => 'nps', storm_window => '1 hour');
SELECT cxm.add_alert_rule('x', metric => 'nps', quiet_from => '22:00');
SELECT cxm.add_alert_rule('x', metric => 'nps', quiet_from => '22:00', quiet_to => '22:00');
SELECT cxm.add_alert_rule('x', trend_goal => 10);
SELECT cxm.add_alert_rule('x', metric => 'nps', trend_goal => 101);
SELECT cxm.add_alert_rule('x', metric => 'csat', trend_goal => -1);
SELECT cxm.add_alert_rule('x', metric => 'ces', trend_goal => 'NaN');
SELECT cxm.add_alert_rule('x', metric => 'nps', trend_goal => 10, trend_window => '90 minutes');
SELECT cxm.add_alert_rule('x', metric => 'nps', trend_goal => 10, trend_by => 'employee');
SELECT cxm.add_alert_rule('x', metric => 'nps', trend_goal => 10, trend_period => 'year');
SELECT cxm.add_alert_rule('x', metric => 'nps', trend_goal => 10, trend_confidence => 1);
SELECT cxm.add_alert_rule('x', metric => 'nps', trend_goal => 10, score_max => 6, segment => '"vip"');
SELECT cxm.add_alert_rule('x', metric => 'nps', trend_goal => 10, throttle => '1 day', throttle_by => 'customer');
SELECT cxm.add_alert_rule('x', metric => 'nps', trend_by => 'location');
SELECT cxm.add_alert_rule('x', silence_after => 'ordered');
SELECT cxm.add_alert_rule('x', silence_after => 'ordered', silence_expect => 'smile', silence_within => '1 day');
SELECT cxm.add_alert_rule('x', silence_after => 'ordered', silence_expect => 'feedback:enps', silence_within => '1 day');
SELECT cxm.add_alert_rule('x', silence_after => 'ordered', silence_expect => 'feedback', silence_within => '0');
SELECT cxm.add_alert_rule('x', silence_after => 'ordered', silence_expect => 'feedback', silence_within => '1 day', metric => 'nps');
SELECT cxm.add_alert_rule('x', silence_within => '1 day', metric => 'nps');
SELECT cxm.add_alert_rule('x', metric => 'nps', trend_goal => 10, silence_after => 'ordered', silence_expect => 'feedback', silence_within => '1 day');
SELECT count(*) FROM cx.alert_rule;
SELECT cxm.explain_alert(-1);
SELECT cxm.send_notifications('{1}', '{}');
SELECT cxm.send_notifications('{1}', '{NULL}');
SELECT cxm.send_notifications(NULL, NULL);

DROP SCHEMA cx CASCADE;
