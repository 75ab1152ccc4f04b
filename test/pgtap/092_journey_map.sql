-- The journey map: drop-off, touchpoints and scores at steps, against a plain restatement over the records
BEGIN;
SELECT plan(32);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;

-- 160 devices of 140 people, 900 records, times that meet
SELECT cxm.identify(jsonb_build_object('device_id', 'd' || i)) FROM generate_series(1, 160) AS i;
SELECT cxm.merge('device_id', 'd' || i, 'device_id', 'd' || 140 + i, 'one person') FROM generate_series(1, 20) AS i;
INSERT INTO cx.event_type (event_type_id, key) SELECT i, 'e' || i FROM generate_series(1, 6) AS i;
INSERT INTO cx.touchpoint (touchpoint_id, key, name, channel) VALUES (1, 'web', 'The site', 'web'), (2, 'shop', NULL, NULL), (3, 'phone', NULL, NULL), (4, 'never', NULL, NULL);
CREATE FUNCTION pg_temp.n(i integer, salt integer, n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT ((hashint8extended(i, salt) & 1073741823) % n)::integer $$;
CREATE FUNCTION pg_temp.id(i integer) RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT CASE WHEN pg_temp.n(i, 1, 20) > 0 THEN (SELECT min(identifier_id) FROM cx.identifier) + pg_temp.n(i, 2, 160) END $$;
CREATE FUNCTION pg_temp.at(i integer) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT timestamptz '2026-01-01' + make_interval(hours => pg_temp.n(i, 3, 500)) $$;
CREATE FUNCTION pg_temp.place(i integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT nullif(pg_temp.n(i, 4, 4), 0) $$;
INSERT INTO cx.event (occurred_at, identifier_id, event_type_id, touchpoint_id) SELECT pg_temp.at(i), pg_temp.id(i), 1 + pg_temp.n(i, 5, 6), pg_temp.place(i) FROM generate_series(1, 600) AS i;
INSERT INTO cx.purchase (occurred_at, identifier_id, amount, touchpoint_id) SELECT pg_temp.at(i), pg_temp.id(i), 1, pg_temp.place(i) FROM generate_series(601, 700) AS i;
INSERT INTO cx.feedback (occurred_at, identifier_id, metric, score, scale_min, scale_max, touchpoint_id)
SELECT pg_temp.at(i), pg_temp.id(i), m.metric, m.scale_min + pg_temp.n(i, 6, m.scale_max - m.scale_min + 1), m.scale_min, m.scale_max, pg_temp.place(i)
FROM generate_series(701, 880) AS i JOIN (SELECT *, row_number() OVER (ORDER BY metric) - 1 AS no FROM cx.metric) AS m ON m.no = pg_temp.n(i, 7, 4);
INSERT INTO cx.feedback (occurred_at, identifier_id, metric, comment, touchpoint_id) SELECT pg_temp.at(i), pg_temp.id(i), 'nps', 'no score', pg_temp.place(i) FROM generate_series(881, 900) AS i;
-- a scale that is not the usual one
INSERT INTO cx.feedback (occurred_at, identifier_id, metric, score, scale_min, scale_max, touchpoint_id) SELECT pg_temp.at(i), pg_temp.id(i), 'ces', 5, 1, 5, 1 FROM generate_series(901, 905) AS i;

CREATE VIEW pg_temp.done AS
SELECT p.canonical_id AS customer, r.*
FROM (
    SELECT 'event' AS kind, e.event_id AS id, e.identifier_id, e.occurred_at AS at, y.key AS step, e.touchpoint_id FROM cx.event AS e JOIN cx.event_type AS y USING (event_type_id)
    UNION ALL
    SELECT 'purchase', b.purchase_id, b.identifier_id, b.occurred_at, 'purchase', b.touchpoint_id FROM cx.purchase AS b
    UNION ALL
    SELECT 'feedback', f.feedback_id, f.identifier_id, f.occurred_at, 'feedback:' || f.metric, f.touchpoint_id FROM cx.feedback AS f
) AS r
LEFT JOIN cx.identifier AS i USING (identifier_id)
LEFT JOIN cx.profile AS p USING (profile_id);

---- stages

SELECT is_empty('SELECT * FROM cx.journey_dropoff', 'no stages, no rows');
SELECT lives_ok($$SELECT cxm.set_journey_stage('look', 10, '{e1,e2@web}')$$, 'a stage');
SELECT cxm.set_journey_stage('ask', 20, '{@phone}', name => 'Asks'), cxm.set_journey_stage('buy', 30, '{purchase,e3}'), cxm.set_journey_stage('idle', 40, '{e4@never}'),
       cxm.set_journey_stage('say', 50, '{feedback:nps,feedback:csat}'), cxm.set_journey_stage('only', 1, '{e5}', map => 'other');
SELECT throws_ok($$SELECT cxm.set_journey_stage('x', 60, '{e1,nothing}')$$, '42704', 'no step of journeys is called "nothing"', 'of a step that there is not');
SELECT throws_ok($$SELECT cxm.set_journey_stage('x', 60, '{}')$$, '22023', NULL, 'without steps');
SELECT throws_ok($$SELECT cxm.set_journey_stage('x', 60, NULL)$$, '22023', NULL, 'NULL');
SELECT throws_ok($$SELECT cxm.set_journey_stage('x', 10, '{e1}')$$, '23505', 'position 10 of map "customer" is taken', 'at a place that is taken');
SELECT throws_ok($$SELECT cxm.set_journey_stage('', 60, '{e1}')$$, '23514', NULL, 'without a key');
SELECT throws_ok($$SELECT cxm.set_journey_stage('x', NULL, '{e1}')$$, '23502', NULL, 'without a place');
SELECT cxm.set_journey_stage('ask', 20, '{@phone,e6}', name => 'Asks for help');
SELECT results_eq($$SELECT map, stage, name FROM cx.journey_dropoff$$,
    $$VALUES ('customer'::text, 'look'::text, 'look'::text), ('customer', 'ask', 'Asks for help'), ('customer', 'buy', 'buy'), ('customer', 'idle', 'idle'), ('customer', 'say', 'say'), ('other', 'only', 'only')$$,
    'stages in their order, the one that was set again as it is now');

---- drop-off

CREATE VIEW pg_temp.entry AS
SELECT s.position, r.customer, min(r.at) AS at
FROM pg_temp.done AS r
LEFT JOIN cx.touchpoint AS t USING (touchpoint_id)
JOIN (VALUES (10, 'e1', NULL), (10, 'e2', 'web'), (20, NULL, 'phone'), (20, 'e6', NULL), (30, 'purchase', NULL), (30, 'e3', NULL), (40, 'e4', 'never'),
             (50, 'feedback:nps', NULL), (50, 'feedback:csat', NULL)) AS s(position, step, touchpoint)
  ON coalesce(s.step = r.step, true) AND coalesce(s.touchpoint = t.key, s.touchpoint IS NULL)
WHERE r.customer IS NOT NULL
GROUP BY 1, 2;
CREATE VIEW pg_temp.visit AS
SELECT s.position, r.customer, r.at
FROM pg_temp.done AS r
LEFT JOIN cx.touchpoint AS t USING (touchpoint_id)
JOIN (VALUES (10, 'e1', NULL), (10, 'e2', 'web'), (20, NULL, 'phone'), (20, 'e6', NULL), (30, 'purchase', NULL), (30, 'e3', NULL), (40, 'e4', 'never'),
             (50, 'feedback:nps', NULL), (50, 'feedback:csat', NULL)) AS s(position, step, touchpoint)
  ON coalesce(s.step = r.step, true) AND coalesce(s.touchpoint = t.key, s.touchpoint IS NULL);
CREATE VIEW pg_temp.went AS
SELECT e.position, e.customer, e.at, (SELECT min(v.at) FROM pg_temp.visit AS v WHERE v.customer = e.customer AND v.position > e.position AND v.at >= e.at) AS next_at
FROM pg_temp.entry AS e;

SELECT results_eq(
    $$SELECT position, entered, went_on, dropped, round(conversion_rate::numeric, 6), round(dropoff_rate::numeric, 6), round(median_seconds::numeric, 3), round(p90_seconds::numeric, 3), first_at, last_at
      FROM cx.journey_dropoff WHERE map = 'customer' AND position < 50 AND position <> 40$$,
    $$SELECT w.position, count(*), count(w.next_at), count(*) - count(w.next_at), round(100.0 * count(w.next_at) / count(*), 6), round(100 - 100.0 * count(w.next_at) / count(*), 6),
             round((percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM w.next_at - w.at)::double precision))::numeric, 3),
             round((percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM w.next_at - w.at)::double precision))::numeric, 3), min(w.at), max(w.at)
      FROM pg_temp.went AS w WHERE w.position < 50 GROUP BY 1 ORDER BY 1$$, 'who enters, goes on and drops out');
SELECT cmp_ok((SELECT min(dropped) FROM cx.journey_dropoff WHERE position < 40 AND map = 'customer'), '>', 0::bigint, 'and some do drop out');
SELECT results_eq($$SELECT entered, went_on, dropped, conversion_rate, median_seconds FROM cx.journey_dropoff WHERE position = 40$$,
                  $$VALUES (0::bigint, 0::bigint, 0::bigint, NULL::double precision, NULL::double precision)$$, 'a stage that nobody entered');
SELECT results_eq($$SELECT entered, went_on, dropped, conversion_rate FROM cx.journey_dropoff WHERE position = 50$$,
                  $$SELECT count(*), NULL::bigint, NULL::bigint, NULL::double precision FROM pg_temp.entry WHERE position = 50$$, 'from the last one nobody can go on');
SELECT results_eq($$SELECT entered FROM cxm.journey_dropoff('other')$$, $$SELECT count(DISTINCT customer) FROM pg_temp.done WHERE step = 'e5' AND customer IS NOT NULL$$, 'one map');
SELECT results_eq($$SELECT entered FROM cxm.journey_dropoff('other', '[2026-01-05,2026-01-09)')$$,
                  $$SELECT count(DISTINCT customer) FROM pg_temp.done WHERE step = 'e5' AND at >= '2026-01-05' AND at < '2026-01-09'$$, 'within a range of time');
SELECT is_empty($$SELECT * FROM cxm.journey_dropoff('no such map')$$, 'a map that there is not');
UPDATE cx.event_type SET key = 'renamed' WHERE key = 'e5';
SELECT results_eq($$SELECT entered FROM cx.journey_dropoff WHERE map = 'other'$$, $$VALUES (0::bigint)$$, 'a name that is gone empties its stage and no other');
UPDATE cx.event_type SET key = 'e5' WHERE key = 'renamed';

---- touchpoints

SELECT results_eq(
    $$SELECT touchpoint, steps, customers, events, purchases, answers, anonymous, first_at, last_at FROM cx.touchpoint_scorecard ORDER BY touchpoint_id$$,
    $$SELECT t.key, count(r.kind), count(DISTINCT r.customer), count(*) FILTER (WHERE r.kind = 'event'), count(*) FILTER (WHERE r.kind = 'purchase'),
             count(*) FILTER (WHERE r.kind = 'feedback'), count(r.kind) FILTER (WHERE r.customer IS NULL), min(r.at), max(r.at)
      FROM cx.touchpoint AS t LEFT JOIN pg_temp.done AS r USING (touchpoint_id) GROUP BY t.touchpoint_id, t.key ORDER BY t.touchpoint_id$$, 'volume and customers');
SELECT results_eq(
    $$SELECT touchpoint, round(median_wait_seconds::numeric, 3), round(p90_wait_seconds::numeric, 3) FROM cx.touchpoint_scorecard WHERE touchpoint <> 'never' ORDER BY touchpoint_id$$,
    $$SELECT t.key, round((percentile_cont(0.5) WITHIN GROUP (ORDER BY w.seconds))::numeric, 3), round((percentile_cont(0.9) WITHIN GROUP (ORDER BY w.seconds))::numeric, 3)
      FROM (SELECT r.touchpoint_id, extract(epoch FROM r.at - lag(r.at) OVER (PARTITION BY r.customer ORDER BY r.at, c.code))::double precision AS seconds
            FROM pg_temp.done AS r LEFT JOIN cx.event_type AS y ON r.kind = 'event' AND y.key = r.step
            JOIN cx.journey_code AS c ON c.kind = r.kind AND c.touchpoint_id IS NOT DISTINCT FROM r.touchpoint_id AND c.event_type_id IS NOT DISTINCT FROM y.event_type_id
                                     AND (c.metric IS NULL OR 'feedback:' || c.metric = r.step)
            WHERE r.customer IS NOT NULL) AS w
      JOIN cx.touchpoint AS t USING (touchpoint_id) WHERE w.seconds IS NOT NULL GROUP BY t.touchpoint_id, t.key ORDER BY t.touchpoint_id$$, 'waits since the step before');
SELECT results_eq(
    $$SELECT touchpoint, nps_answers, round(nps::numeric, 6), csat_answers, round(csat::numeric, 6), effort_answers, round(effort::numeric, 6) FROM cx.touchpoint_scorecard WHERE touchpoint <> 'never' ORDER BY touchpoint_id$$,
    $$SELECT t.key, count(*) FILTER (WHERE metric = 'nps'),
             round(100.0 * (count(*) FILTER (WHERE metric = 'nps' AND score >= 9) - count(*) FILTER (WHERE metric = 'nps' AND score <= 6)) / count(*) FILTER (WHERE metric = 'nps'), 6),
             count(*) FILTER (WHERE metric = 'csat'), round(100.0 * count(*) FILTER (WHERE metric = 'csat' AND score >= 4) / count(*) FILTER (WHERE metric = 'csat'), 6),
             count(*) FILTER (WHERE metric = 'ces' AND scale_max = 7), round(avg(score) FILTER (WHERE metric = 'ces' AND scale_max = 7), 6)
      FROM cx.feedback JOIN cx.touchpoint AS t USING (touchpoint_id) WHERE score IS NOT NULL GROUP BY t.touchpoint_id, t.key ORDER BY t.touchpoint_id$$, 'scores and effort');
SELECT results_eq($$SELECT steps, customers, nps_answers, nps, median_wait_seconds FROM cx.touchpoint_scorecard WHERE touchpoint = 'never'$$,
                  $$VALUES (0::bigint, 0::bigint, 0::bigint, NULL::double precision, NULL::double precision)$$, 'a touchpoint that nobody passed');

---- scores at steps

CREATE FUNCTION pg_temp.felt(metric text, within interval) RETURNS TABLE (step text, answers bigint, customers bigint, mean numeric, elsewhere numeric, seconds numeric) LANGUAGE sql AS $$
    WITH answer AS (
        SELECT f.feedback_id, f.score, f.occurred_at AS at, r.customer
        FROM cx.feedback AS f JOIN pg_temp.done AS r ON r.kind = 'feedback' AND r.id = f.feedback_id JOIN cx.metric AS m USING (metric)
        WHERE f.metric = felt.metric AND f.score IS NOT NULL AND r.customer IS NOT NULL AND f.scale_max = m.scale_max
    ), passed AS (
        SELECT DISTINCT ON (a.feedback_id, s.name) a.*, s.name, a.at - r.at AS since
        FROM answer AS a
        JOIN pg_temp.done AS r ON r.customer = a.customer AND r.kind <> 'feedback' AND r.at BETWEEN a.at - within AND a.at
        LEFT JOIN cx.touchpoint AS t USING (touchpoint_id)
        CROSS JOIN LATERAL (SELECT r.step || coalesce('@' || t.key, '') AS name) AS s
        ORDER BY a.feedback_id, s.name, r.at DESC
    )
    SELECT p.name, count(*), count(DISTINCT p.customer), round(avg(p.score), 6),
           round((SELECT avg(a.score) FROM answer AS a WHERE NOT EXISTS (SELECT FROM passed AS o WHERE o.name = p.name AND o.feedback_id = a.feedback_id)), 6),
           round((percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM p.since)::double precision))::numeric, 3)
    FROM passed AS p GROUP BY p.name
$$;
SELECT bag_eq($$SELECT step, answers, customers, round(score::numeric, 6) AS mean, round(elsewhere::numeric, 6) AS elsewhere, round(median_seconds::numeric, 3) AS seconds FROM cx.score_at_step WHERE metric = 'ces'$$,
              $$SELECT * FROM pg_temp.felt('ces', '7 days')$$, 'the mean of those who passed, and of the others');
SELECT bag_eq($$SELECT step, answers, customers, round(score::numeric, 6) AS mean, round(elsewhere::numeric, 6) AS elsewhere, round(median_seconds::numeric, 3) AS seconds FROM cxm.score_at_step('rating', '36 hours')$$,
              $$SELECT * FROM pg_temp.felt('rating', '36 hours')$$, 'within another time, an answer once a step');
SELECT results_eq($$SELECT s.answers, round(s.score::numeric, 6), round(s.lower::numeric, 6), round(s.upper::numeric, 6) FROM cxm.score_at_step('nps', '20 days') AS s WHERE s.step = 'e1@web'$$,
    $$SELECT cxm.count(x.r), round(cxm.nps(x.r)::numeric, 6), round(i.lower::numeric, 6), round(i.upper::numeric, 6)
      FROM (SELECT cxm.nps_agg(f.score) AS r FROM cx.feedback AS f JOIN pg_temp.done AS r ON r.kind = 'feedback' AND r.id = f.feedback_id
            WHERE f.metric = 'nps' AND EXISTS (SELECT FROM pg_temp.done AS s WHERE s.customer = r.customer AND s.step = 'e1' AND s.touchpoint_id = 1
                                                 AND s.at BETWEEN r.at - interval '20 days' AND r.at)) AS x
      CROSS JOIN cxm.nps_interval(x.r) AS i$$, 'NPS with its interval');
SELECT throws_ok($$SELECT * FROM cxm.score_at_step('nsp')$$, '42704', NULL, 'an unknown metric');
SELECT throws_ok($$SELECT * FROM cxm.score_at_step('nps', '1 month')$$, '22023', NULL, 'a time of no certain length');

---- what is not asked for costs nothing

CREATE FUNCTION pg_temp.relations(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN QUERY SELECT DISTINCT m[1] FROM regexp_matches(plan::text, '"Relation Name": "([a-z_0-9]+)"', 'g') AS m;
END
$$;
SELECT is_empty($$SELECT r FROM pg_temp.relations('SELECT touchpoint, nps FROM cx.touchpoint_scorecard') AS r WHERE r ~ '^(journey|event|purchase)'$$, 'scores alone read no journeys, events or purchases');
SELECT isnt_empty($$SELECT r FROM pg_temp.relations('SELECT touchpoint, median_wait_seconds FROM cx.touchpoint_scorecard') AS r WHERE r = 'journey'$$, 'waits do');

---- by several processes

CREATE TEMPORARY TABLE alone AS SELECT (SELECT jsonb_agg(d) FROM cx.journey_dropoff AS d) AS dropoff, (SELECT jsonb_agg(t ORDER BY t.touchpoint_id) FROM cx.touchpoint_scorecard AS t) AS scorecard,
    (SELECT jsonb_agg(s) FROM cxm.score_at_step('rating') AS s) AS scores;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SELECT is((SELECT jsonb_agg(d) FROM cx.journey_dropoff AS d), (SELECT dropoff FROM alone), 'the same drop-off');
SELECT is((SELECT jsonb_agg(t ORDER BY t.touchpoint_id) FROM cx.touchpoint_scorecard AS t), (SELECT scorecard FROM alone), 'the same touchpoints');
SELECT is((SELECT jsonb_agg(s) FROM cxm.score_at_step('rating') AS s), (SELECT scores FROM alone), 'the same scores');

-- a device that all staff of a shop share: work grows with its steps and its answers, not with their product
SELECT count(setval(pg_get_serial_sequence('cx.' || t, t || '_id'), nextval(pg_get_serial_sequence('cx.' || t, t || '_id')) + 1000000)) AS beyond FROM unnest(ARRAY['event', 'feedback', 'event_type', 'identifier', 'profile']) AS t;
SELECT cxm.track('counter', '{"device_id": "shared"}', at => '2021-01-01 00:00Z') > 0 AS tracked;
INSERT INTO cx.event (occurred_at, identifier_id, event_type_id)
SELECT timestamptz '2021-01-01 00:00Z' + n * interval '1 minute', e.identifier_id, e.event_type_id
FROM cx.event AS e JOIN cx.event_type AS y USING (event_type_id), generate_series(1, 9999) AS n WHERE y.key = 'counter';
INSERT INTO cx.feedback (occurred_at, identifier_id, metric, score)
SELECT timestamptz '2021-01-01 00:00:59Z' + n * interval '2 minutes', i.identifier_id, 'nps', 9 FROM cx.identifier AS i, generate_series(0, 4999) AS n WHERE i.value = 'shared';
SELECT results_eq($$SELECT answers, customers, score, median_seconds FROM cxm.score_at_step('nps', during => '[2021-01-01,2022-01-01)') WHERE step = 'counter'$$,
    $$VALUES (5000::bigint, 1::bigint, 100::float8, 59::float8)$$, 'each answer is seen from the last time that the customer was there');

SELECT * FROM finish();
ROLLBACK;
