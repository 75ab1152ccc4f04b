-- Goals, benchmarks and accountability, by hand and against plain restatements
BEGIN;
SELECT plan(118);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;
UPDATE cx.store SET time_zone = 'UTC';

---- the line

CREATE TEMPORARY TABLE point AS
SELECT i AS no, (i * 7 % 11)::double precision AS x, (i * i % 13)::double precision * 10 AS y, 1 + i % 4 AS w FROM generate_series(1, 12) AS i;
CREATE TEMPORARY VIEW line AS
SELECT p.* FROM (SELECT array_agg(x ORDER BY no) AS x, array_agg(y ORDER BY no) AS y, array_agg(w::double precision ORDER BY no) AS w, array_agg(1::double precision ORDER BY no) AS one FROM point) AS a,
    LATERAL (SELECT 'weighted' AS kind, * FROM cxm.project(a.x, a.y, a.w, 20) UNION ALL SELECT 'plain', * FROM cxm.project(a.x, a.y, a.one, 20)) AS p;
SELECT is(round((SELECT slope FROM line WHERE kind = 'weighted')::numeric, 9), (SELECT round(regr_slope(y, x)::numeric, 9) FROM point, generate_series(1, w)), 'a weight of three is three points: the slope');
SELECT is(round((SELECT value FROM line WHERE kind = 'weighted')::numeric, 9), (SELECT round((regr_intercept(y, x) + 20 * regr_slope(y, x))::numeric, 9) FROM point, generate_series(1, w)), 'and the value');
SELECT is(round((SELECT standard_error FROM line WHERE kind = 'plain')::numeric, 8),
    (SELECT round(sqrt(regr_syy(y, x) * (1 - regr_r2(y, x)) / (count(*) - 2) * (1.0 / count(*) + (20 - avg(x)) ^ 2 / regr_sxx(y, x)))::numeric, 8) FROM point), 'without weights the standard error of the textbook');
-- Student's t of ten degrees of freedom, from tables
SELECT is((SELECT round(((upper - value) / standard_error)::numeric, 6) FROM line WHERE kind = 'plain'), 2.228139, 'by Student''s t');
SELECT is((SELECT round((upper + lower - 2 * value)::numeric, 9) FROM line WHERE kind = 'plain'), 0.0::numeric(12, 9), 'on both sides');
-- 0.5, 1.5, 2.5, 3.5 with weights 10, 20, 10, 20: mean 13/6, sum of squares 220/3
SELECT results_eq($$SELECT points, round(slope::numeric, 9), round(value::numeric, 9), dispersion, round((standard_error ^ 2)::numeric, 9) FROM cxm.project('{0.5,1.5,2.5,3.5}', '{10,20,30,40}', '{10,20,10,20}', 7.5)$$,
    $$SELECT 4, 10.000000000, 80.000000000, 1::double precision, round(1.0 / 60 + (7.5 - 13.0 / 6) ^ 2 / (220.0 / 3), 9)$$, 'points on a line are as precise as their weights, and no more');
SELECT results_eq($$SELECT points, slope, value, standard_error, lower, upper, dispersion FROM cxm.project('{1,2}', '{1,2}', '{1,1}', 3)$$,
    $$SELECT 2, n, n, n, n, n, n FROM (SELECT NULL::double precision) AS v(n)$$, 'two points tell nothing');
SELECT is((SELECT slope FROM cxm.project('{1,1,1}', '{1,2,3}', '{1,1,1}', 3)), NULL, 'nor do points above each other');
SELECT is((SELECT points FROM cxm.project('{}', '{}', '{}', 3)), 0, 'nor none');
SELECT throws_ok($$SELECT cxm.project('{1,2}', '{1}', '{1,2}', 3)$$, '22023', 'x, y and weights do not have the same number of elements', 'arrays of different lengths');
SELECT throws_ok($$SELECT cxm.project('{1,2,3}', '{1,NULL,3}', '{1,1,1}', 3)$$, '22023', NULL, 'a NULL');
SELECT throws_ok($$SELECT cxm.project('{1,2,3}', '{1,NaN,3}', '{1,1,1}', 3)$$, '22023', NULL, 'not a number');
SELECT throws_ok($$SELECT cxm.project('{1,2,3}', '{1,2,3}', '{1,0,1}', 3)$$, '22023', NULL, 'a weight of zero');
SELECT throws_ok($$SELECT cxm.project('{1,2,3}', '{1,2,3}', '{1,1,1}', 'NaN')$$, '22023', NULL, 'a place that is none');
SELECT throws_ok($$SELECT cxm.project('{1,2,3}', '{1,2,3}', '{1,1,1}', 3, 1)$$, '22023', NULL, 'certainty');
SELECT is(round(cxm.student_quantile(0.95, 1)::numeric, 9), 12.706204736, 'Student''s t, one degree of freedom');
SELECT is(cxm.student_quantile(0.95, 0), NULL, 'none');
SELECT is(round(cxm.answer_variance('rating', cxm.ratings(1, '{0,0,0,0,9}'))::numeric, 9), 0.083333333, 'nine times the same score are no certainty');
SELECT cmp_ok(cxm.answer_variance('nps', cxm.ratings(0, '{0,0,0,0,0,0,0,0,0,0,9}')), '>', 0::double precision, 'nor nine promoters');

-- 600 times eight weeks of 30 to 200 answers about a true 20 + 3 a week, and the interval five weeks on: for plain answers, and for
-- weeks that scatter by eight points beyond them; of 95 in 100 that are promised, 93 leave room for two standard errors
CREATE FUNCTION pg_temp.u(a bigint, b bigint) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT (hashint8extended(a, b) & 1073741823) / 1073741824.0::double precision $$;
SELECT cmp_ok(c.held, '>=', 0.93, format('the interval holds what it says, scatter %s', c.extra))
FROM (
    SELECT g.extra, avg((57.5 BETWEEN p.lower AND p.upper)::integer) AS held
    FROM (
        SELECT a.extra, a.s, array_agg(a.w - 0.5::double precision ORDER BY a.w) AS x, array_agg(cxm.nps(a.r) ORDER BY a.w) AS y, array_agg(cxm.count(a.r)::double precision ORDER BY a.w) AS n, cxm.rollup(a.r) AS r
        FROM (
            SELECT m.extra, m.s, m.w, cxm.nps_agg(CASE WHEN pg_temp.u(m.no * 1000 + i, 3) < 0.4 + m.mu / 200 THEN 9 WHEN pg_temp.u(m.no * 1000 + i, 3) > 0.6 + m.mu / 200 THEN 3 ELSE 7 END) AS r
            FROM (
                SELECT extra, s, w, (extra * 600 + s) * 8 + w AS no, 20 + 3 * (w - 0.5) + extra * sqrt(12) * (pg_temp.u((extra * 600 + s) * 8 + w, 1) - 0.5) AS mu
                FROM unnest('{0,8}'::integer[]) AS extra, generate_series(1, 600) AS s, generate_series(1, 8) AS w
            ) AS m CROSS JOIN LATERAL generate_series(1, 30 + (170 * pg_temp.u(m.no, 2))::integer) AS i
            GROUP BY m.extra, m.s, m.w
        ) AS a
        GROUP BY a.extra, a.s
    ) AS g
    CROSS JOIN LATERAL (SELECT cxm.answer_variance('nps', g.r) AS variance) AS v
    CROSS JOIN LATERAL cxm.project(g.x, g.y, ARRAY(SELECT k / v.variance FROM unnest(g.n) WITH ORDINALITY AS u(k, no) ORDER BY no), 12.5) AS p
    GROUP BY g.extra
) AS c ORDER BY c.extra;

---- four weeks from Monday, 5 January, always on Thursday at noon: 10, 20, 30, 40 points

INSERT INTO cx.location (key, name) VALUES ('north', 'North'), ('south', NULL), ('unused', NULL);
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max, location_id)
SELECT timestamptz '2026-01-08 12:00Z' + (w.no - 1) * interval '7 days', 'nps', s.score, 0, 10, l.location_id
FROM (VALUES (1, 1600, 1200, 1200), (2, 4000, 1600, 2400), (3, 2400, 400, 1200), (4, 4800, 1600, 1600)) AS w(no, promoters, passives, detractors)
CROSS JOIN LATERAL (VALUES (9, w.promoters), (7, w.passives), (6, w.detractors)) AS s(score, n)
CROSS JOIN LATERAL generate_series(1, s.n)
CROSS JOIN cx.location AS l WHERE l.key = 'north';
-- what must not count: another place, scale, metric, comments, and the Sunday before
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max, location_id, comment)
SELECT f.at, f.metric, f.score, f.lo, f.hi, l.location_id, 'x'
FROM (VALUES (timestamptz '2026-01-20Z', 'nps', 0, 0, 10, 'south'), ('2026-01-20Z', 'nps', 0, 0, 5, 'north'), ('2026-01-20Z', 'rating', 1, 1, 5, 'north'),
             ('2026-01-20Z', 'nps', NULL, 0, 10, 'north'), ('2026-01-04 23:59:59Z', 'nps', 0, 0, 10, 'north')) AS f(at, metric, score, lo, hi, place)
JOIN cx.location AS l ON l.key = f.place;

SELECT lives_ok($$SELECT cxm.set_goal('north', 'ann', 'nps', 79.9, '2026-03-01', '2026-01-05', 'location', 'north', baseline => 20)$$, 'a goal');
SELECT results_eq($$SELECT version, target, due_on, status, starts_at, ends_at, n, value, round(progress::numeric, 6), periods, round(weekly_change::numeric, 6), round(projected::numeric, 6) FROM cxm.goal_status('north', '2026-02-02Z')$$,
    $$VALUES (1, 79.9::double precision, date '2026-03-01', 'on track', timestamptz '2026-01-26Z', timestamptz '2026-02-02Z', 8000::bigint, 40::double precision, 33.388982, 4, 10.000000, 80.000000)$$,
    'ten points a week, in the eighth week 80');
CREATE TEMPORARY TABLE found AS SELECT * FROM cxm.goal_status('north', '2026-02-02Z');
-- all 24000 answers: 12800 promoters, 6400 detractors
SELECT is((SELECT round(((projected_upper - projected_lower) / 2)::numeric, 6) FROM found),
    (SELECT round((4.302652729911275 * (i.upper - i.lower) / 2 / 1.959963984540054 * sqrt(1 + 24000 * (7.5 - 13.0 / 6) ^ 2 / (220.0 / 3 * 400)))::numeric, 6) FROM cxm.nps_interval(cxm.ratings(0, '{0,0,0,0,0,0,6400,4800,0,12800,0}')) AS i),
    'the interval by hand');
SELECT results_eq('SELECT lower, upper FROM found', $$SELECT lower, upper FROM cxm.nps_interval(cxm.ratings(0, '{0,0,0,0,0,0,1600,1600,0,4800,0}'))$$, 'that of the score is that of its answers');
SELECT results_eq($$SELECT projected_lower < (SELECT projected_lower FROM found) AND projected = (SELECT projected FROM found) FROM cxm.goal_status('north', '2026-02-02Z', 0.99)$$, 'VALUES (true)', 'a greater confidence, a wider interval');

---- states at their boundaries

CREATE FUNCTION pg_temp.status(target double precision, at timestamptz DEFAULT '2026-02-02Z', direction text DEFAULT 'at_least') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM cxm.set_goal('g' || (SELECT count(*) FROM cx.goal), 'ann', 'nps', target, '2026-03-01', '2026-01-05', 'location', 'north', direction => direction);
    RETURN (SELECT status FROM cxm.goal_status((SELECT name FROM cx.goal ORDER BY goal_id DESC LIMIT 1), at));
END
$$;
SELECT is(pg_temp.status((SELECT lower FROM found)), 'reached', 'the whole interval of the value is at the target');
SELECT is(pg_temp.status((SELECT lower + 0.000001 FROM found)), 'on track', 'not quite the whole');
SELECT is(pg_temp.status(80.000001), 'at risk', 'the projection misses the target by little');
SELECT is(pg_temp.status((SELECT projected_upper FROM found)), 'at risk', 'the end of its interval is at the target');
SELECT is(pg_temp.status((SELECT projected_upper + 0.000001 FROM found)), 'off track', 'the target is beyond');
SELECT is(pg_temp.status((SELECT upper FROM found), direction => 'at_most'), 'reached', 'at most: reached');
SELECT is(pg_temp.status((SELECT upper - 0.000001 FROM found), direction => 'at_most'), 'off track', 'at most: it goes the wrong way');
SELECT is(pg_temp.status(80.000001, direction => 'at_most'), 'reached', 'at most: below already');
SELECT is(pg_temp.status(-100, direction => 'at_most'), 'off track', 'at most: the end of the scale');
SELECT is(pg_temp.status(100), 'off track', 'at least: the end of the scale');
SELECT is(pg_temp.status(-100), 'reached', 'what everything reaches');
SELECT is(pg_temp.status(-100, '2026-01-15 12:00Z'), 'too early', 'two periods tell nothing, even so');
SELECT is(pg_temp.status(-100, '2026-01-22 12:00:01Z'), 'reached', 'the third one has begun');
SELECT is(pg_temp.status(-100, '2026-01-01Z'), 'too early', 'before it starts');
SELECT results_eq($$SELECT status, n, value, lower, periods, projected, starts_at, ends_at FROM cxm.goal_status('north', '2026-01-01Z')$$,
    $$VALUES ('too early', 0::bigint, NULL::double precision, NULL::double precision, 0, NULL::double precision, timestamptz '2026-01-05Z', timestamptz '2026-01-05Z')$$, 'and nothing is invented');
SELECT results_eq($$SELECT status, n, periods, projected, weekly_change FROM cxm.goal_status('north', '2026-01-19Z')$$,
    $$VALUES ('too early', 8000::bigint, 2, NULL::double precision, NULL::double precision)$$, 'nor with two periods');
-- five weeks on there are no answers in the last one
SELECT results_eq($$SELECT status, n, value, periods, round(projected::numeric, 6) FROM cxm.goal_status('north', '2026-02-09Z')$$,
    $$VALUES ('on track', 0::bigint, NULL::double precision, 4, 80.000000)$$, 'a week without answers is no week with a score of zero');
-- the first period is cut by the start
SELECT results_eq($$SELECT starts_at, ends_at, n FROM cxm.goal_status('north', '2026-01-09Z')$$, $$VALUES (timestamptz '2026-01-05Z', timestamptz '2026-01-09Z', 4000::bigint)$$, 'a first period is cut');
SELECT results_eq($$SELECT starts_at, ends_at, status FROM cxm.goal_status('north', '2026-03-01 23:59:59Z')$$, $$VALUES (timestamptz '2026-02-22 23:59:59Z', timestamptz '2026-03-01 23:59:59Z', 'on track')$$, 'the last second');
SELECT results_eq($$SELECT starts_at, ends_at, status, n, projected FROM cxm.goal_status('north', '2026-03-02Z')$$, $$VALUES (timestamptz '2026-02-23Z', timestamptz '2026-03-02Z', 'missed', 0::bigint, NULL::double precision)$$, 'it is over, and nobody has answered');
SAVEPOINT over;
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max, location_id) SELECT '2026-03-01 23:59:59.999Z', 'nps', s, 0, 10, location_id FROM cx.location, unnest('{9,9,9,9,7}'::int[]) AS s WHERE key = 'north';
SELECT results_eq($$SELECT status, value FROM cxm.goal_status('north', '2026-03-05Z')$$, $$VALUES ('reached', 80::double precision)$$, 'by the score of the last week');
SELECT is(pg_temp.status(80, '2026-03-02Z'), 'reached', 'a target that is just reached');
SELECT is(pg_temp.status(80.000001, '2026-03-02Z'), 'missed', 'one that is not');
SELECT is(pg_temp.status(80, '2026-03-02Z', 'at_most'), 'reached', 'at most, just');
SELECT is(pg_temp.status(79.999999, '2026-03-02Z', 'at_most'), 'missed', 'at most, not quite');
ROLLBACK TO over;

---- a random history against a plain restatement, of every family, by week and month, in a zone with summer time

UPDATE cx.store SET time_zone = 'Europe/Berlin';
SELECT cxm.set_goal(m.metric || ' ' || p, 'bob', m.metric, CASE m.family WHEN 'nps' THEN 10 WHEN 'csat' THEN 50 ELSE 3 END, '2027-05-31', '2027-01-11', period => p)
FROM cx.metric AS m CROSS JOIN unnest('{week,month}'::text[]) AS p;
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max)
SELECT timestamptz '2027-01-05 00:00Z' + make_interval(mins => ((hashint8extended(i, 1) & 1073741823) % 144000)::integer), m.metric,
       m.scale_min + (hashint8extended(i, 2) & 1073741823) % (m.scale_max - m.scale_min + 1), m.scale_min, m.scale_max
FROM generate_series(1, 3000) AS i JOIN (SELECT *, row_number() OVER (ORDER BY metric) - 1 AS no FROM cx.metric) AS m ON m.no = (hashint8extended(i, 3) & 1073741823) % (SELECT count(*) FROM cx.metric);
CREATE FUNCTION pg_temp.plain(metric text, step interval, until timestamp) RETURNS TABLE (n bigint, value numeric, periods integer, slope numeric, projected numeric) LANGUAGE sql AS $$
    WITH period AS (
        SELECT greatest(until - j * step, timestamp '2027-01-11') AT TIME ZONE 'Europe/Berlin' AS lo, (until - (j - 1) * step) AT TIME ZONE 'Europe/Berlin' AS hi, j
        FROM generate_series(1, 30) AS j WHERE until - (j - 1) * step > timestamp '2027-01-11'
    ), scored AS (
        SELECT p.j, count(*) AS n, avg(extract(epoch FROM f.occurred_at))::numeric / 604800 AS x,
               avg(CASE m.family WHEN 'nps' THEN CASE WHEN f.score >= 9 THEN 100 WHEN f.score <= 6 THEN -100 ELSE 0 END
                                 WHEN 'csat' THEN CASE WHEN f.score >= f.scale_max - 1 THEN 100 ELSE 0 END ELSE f.score END) AS y
        FROM period AS p JOIN cx.feedback AS f ON f.occurred_at >= p.lo AND f.occurred_at < p.hi JOIN cx.metric AS m USING (metric)
        WHERE f.metric = plain.metric GROUP BY p.j
    ), line AS (
        SELECT count(*)::integer AS periods, (sum(n) * sum(n * x * y) - sum(n * x) * sum(n * y)) / (sum(n) * sum(n * x * x) - sum(n * x) ^ 2) AS slope, sum(n * x) / sum(n) AS x, sum(n * y) / sum(n) AS y FROM scored
    )
    SELECT s.n, round(s.y, 6), l.periods, round(l.slope, 4),
           round(l.y + l.slope * ((extract(epoch FROM timestamp '2027-06-01' AT TIME ZONE 'Europe/Berlin') + extract(epoch FROM (timestamp '2027-06-01' - step) AT TIME ZONE 'Europe/Berlin'))::numeric / 2 / 604800 - l.x), 4)
    FROM line AS l LEFT JOIN scored AS s ON s.j = 1;
$$;
SELECT results_eq(
    format('SELECT n, round(value::numeric, 6), periods, round(weekly_change::numeric, 4), round(projected::numeric, 4) FROM cxm.goal_status(%L, %L)', m.metric || ' ' || p, '2027-04-07 15:00 Europe/Berlin'),
    format('SELECT * FROM pg_temp.plain(%L, %L, %L)', m.metric, '1 ' || p, '2027-04-07 15:00'), m.metric || ' by ' || p)
FROM cx.metric AS m CROSS JOIN unnest('{week,month}'::text[]) AS p ORDER BY 1;
SELECT results_eq($$SELECT starts_at, ends_at FROM cxm.goal_status('nps month', '2027-03-31 12:00+02')$$, $$VALUES (timestamptz '2027-02-28 12:00+01', timestamptz '2027-03-31 12:00+02')$$, 'a month before the last of March is the last of February');

---- however many goals, what they are about is read once

SET LOCAL max_parallel_workers_per_gather = 0;
CREATE FUNCTION pg_temp.reads(relation regclass, query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    counter CONSTANT text := 'SELECT sum(s.seq_scan + coalesce(s.idx_scan, 0)) FROM pg_stat_xact_all_tables AS s JOIN pg_partition_tree($1) AS p ON p.relid = s.relid';
    after bigint;
BEGIN
    EXECUTE counter INTO before USING relation;
    EXECUTE query;
    EXECUTE counter INTO after USING relation;
    RETURN after - before;
END
$$;
UPDATE cx.feedback SET location_id = (SELECT min(l.location_id) + score::integer % 3 FROM cx.location AS l) WHERE metric = 'nps' AND occurred_at >= '2027-01-01Z';
SELECT cxm.set_goal('many ' || i, 'ann', 'nps', i, '2027-01-31'::date + 4 * i, '2027-01-11'::date + i, CASE WHEN i % 4 > 0 THEN 'location' END, CASE WHEN i % 4 > 0 THEN (ARRAY['north', 'south', 'unused'])[i % 4] END, period => (ARRAY['week', 'month'])[1 + i % 2])
FROM generate_series(0, 49) AS i;
CREATE TEMPORARY TABLE many AS SELECT array_agg(goal_id) AS ids FROM cx.goal WHERE name LIKE 'many %' OR name = 'nps week';
SELECT cmp_ok(pg_temp.reads('cx.feedback', $$SELECT * FROM cxm.goal_status('nps week', '2027-04-07 15:00Z')$$), '>', 0::bigint, 'a goal reads the answers');
SELECT is(pg_temp.reads('cx.feedback', $$SELECT s.* FROM many AS m, cxm.goal_statuses(m.ids, '2027-04-07 15:00Z') AS s$$), pg_temp.reads('cx.feedback', $$SELECT * FROM cxm.goal_status('nps week', '2027-04-07 15:00Z')$$), 'fifty-one goals read them as often');
SELECT results_eq(format($$SELECT s.* FROM many AS m, cxm.goal_statuses(m.ids, %L) AS s ORDER BY goal_id$$, at), format($$SELECT g.goal_id, s.* FROM many AS m JOIN cx.goal AS g ON g.goal_id = ANY (m.ids) CROSS JOIN LATERAL cxm.goal_status(g.name, %L) AS s ORDER BY goal_id$$, at), 'and are told what each alone is, at ' || at)
FROM unnest('{2027-02-03 09:00Z,2027-04-07 15:00Z}'::timestamptz[]) AS at;
SELECT cxm.set_goal('bought ' || i, 'ann', 'repeat_purchase_rate', i, '2027-05-31', '2027-01-11'::date + i) FROM generate_series(1, 5) AS i;
SELECT is(pg_temp.reads('cx.purchase', $$SELECT s.* FROM cxm.goal_statuses(ARRAY(SELECT goal_id FROM cx.goal WHERE name LIKE 'bought %'), '2027-04-07 15:00Z') AS s$$), pg_temp.reads('cx.purchase', $$SELECT * FROM cxm.goal_status('bought 1', '2027-04-07 15:00Z')$$), 'so do goals of a measure that is counted from records');
DELETE FROM cx.goal_version WHERE goal_id IN (SELECT goal_id FROM cx.goal WHERE name LIKE 'many %' OR name LIKE 'bought %');
DELETE FROM cx.goal WHERE name LIKE 'many %' OR name LIKE 'bought %';
UPDATE cx.store SET time_zone = 'UTC';

---- errors

SELECT throws_ok($$SELECT cxm.set_goal('north', 'ann', 'nps', 1, '2026-03-01', '2026-01-05')$$, '23505', 'goal "north" exists already', 'a name that is taken');
SELECT throws_ok(format('SELECT cxm.set_goal(%s)', arguments), state, NULL, arguments) FROM (VALUES
    ($$'x', 'ann', 'nsp', 1, '2026-03-01', '2026-01-05'$$, '42704'),
    ($$'x', 'ann', 'nps', 100.1, '2026-03-01', '2026-01-05'$$, '22003'),
    ($$'x', 'ann', 'csat', -1, '2026-03-01', '2026-01-05'$$, '22003'),
    ($$'x', 'ann', 'rating', 'NaN', '2026-03-01', '2026-01-05'$$, '22003'),
    ($$'x', 'ann', 'nps', NULL, '2026-03-01', '2026-01-05'$$, '23502'),
    ($$'x', '', 'nps', 1, '2026-03-01', '2026-01-05'$$, '23514'),
    ($$'x', 'ann', 'nps', 1, '2026-01-04', '2026-01-05'$$, '22023'),
    ($$'x', 'ann', 'nps', 1, 'infinity', '2026-01-05'$$, '22023'),
    ($$'x', 'ann', 'nps', 1, '2026-03-01', '2026-01-05', 'region', 'north'$$, '22023'),
    ($$'x', 'ann', 'nps', 1, '2026-03-01', '2026-01-05', 'location', 'nroth'$$, '42704'),
    ($$'x', 'ann', 'nps', 1, '2026-03-01', '2026-01-05', period => 'day'$$, '22023')) AS v(arguments, state);
SELECT throws_ok($$SELECT * FROM cxm.goal_status('nobody')$$, '42704', 'goal "nobody" does not exist', 'the status of none');

---- what a goal was is kept

SELECT throws_ok($$SELECT cxm.change_goal('north', '', 70)$$, '22023', 'a goal is not changed without a reason', 'without a reason');
SELECT throws_ok($$SELECT cxm.change_goal('north', 'why')$$, '22023', 'nothing is to be changed', 'without a change');
SELECT throws_ok($$SELECT cxm.change_goal('north', 'why', 101)$$, '22003', 'target 101 is no score of metric "nps"', 'to what cannot be');
SELECT is(cxm.change_goal('north', 'too easy', 95, owner => 'cleo'), 2, 'a second version');
SELECT results_eq($$SELECT v.version, v.target, v.owner, v.reason FROM cx.goal_version AS v JOIN cx.goal AS g USING (goal_id) WHERE g.name = 'north' ORDER BY 1$$,
    $$VALUES (1, 79.9::double precision, 'ann', NULL), (2, 95::double precision, 'cleo', 'too easy')$$, 'the first one is kept');
SELECT results_eq($$SELECT version, target, status FROM cxm.goal_status('north', '2026-02-02Z') UNION ALL SELECT version, target, status FROM cxm.goal_status('north')$$,
    $$VALUES (1, 79.9::double precision, 'on track'), (2, 95::double precision, 'missed')$$, 'a time before goes by what it was then');
UPDATE cx.goal SET target = 90 WHERE name = 'north';
SELECT is((SELECT array_agg(v.target ORDER BY v.version) FROM cx.goal_version AS v JOIN cx.goal AS g USING (goal_id) WHERE g.name = 'north'), '{79.9,95,90}'::double precision[], 'a change by hand is kept, too');
SELECT throws_ok($$UPDATE cx.goal SET metric = 'csat' WHERE name = 'north'$$, '55000', 'what goal "north" measures cannot be changed', 'what it measures cannot be changed');
SELECT throws_ok($$DELETE FROM cx.goal WHERE name = 'north'$$, '23503', NULL, 'nor a goal deleted');
SELECT throws_ok($$DELETE FROM cx.location WHERE key = 'north'$$, '23503', NULL, 'nor a place that a goal is about');
UPDATE cx.location SET key = 'far north' WHERE key = 'north';
SELECT results_eq($$SELECT dimension, key COLLATE "default", owner, version FROM cx.goal_status WHERE goal = 'north'$$, $$VALUES ('location'::text, 'far north'::text, 'cleo'::text, 3)$$, 'a place by another name is the same place');

---- closing

SELECT cxm.set_goal('later', 'dan', 'nps', 50, (now() + interval '1 year')::date);
SELECT isnt(cxm.close_goal('later', 'not ours'), NULL, 'a goal is closed');
SELECT is(cxm.close_goal('later'), (SELECT closed_at FROM cx.goal WHERE name = 'later'), 'twice, too');
SELECT results_eq($$SELECT status, version FROM cx.goal_status WHERE goal = 'later'$$, $$VALUES ('closed'::text, 2)$$, 'and says so');
SELECT throws_ok($$SELECT cxm.change_goal('later', 'why', 40)$$, '55000', 'goal "later" is closed', 'and stays as it is');
SELECT throws_ok($$SELECT cxm.close_goal('nobody')$$, '42704', 'goal "nobody" does not exist', 'one that there is not');

---- benchmarks

SELECT cxm.set_benchmark('nps', 38, 'Survey A', '2025-06-30', 'shops', url => 'https://example.org/a'), cxm.set_benchmark('nps', 40, 'Survey A', '2025-12-31', 'shops'),
       cxm.set_benchmark('nps', 30, 'Survey A', '2026-03-01', 'shops'), cxm.set_benchmark('nps', 45, 'Survey B', '2025-12-31', dimension => 'location', key => 'far north'),
       cxm.set_benchmark('nps', 1, 'Survey B', '2025-12-31', dimension => 'location', key => 'unused');
-- the last week: 40 points of 8000 answers
SELECT results_eq($$SELECT b.source, b.as_of, b.value, g.n, g.score, g.difference, g.beyond_chance FROM cxm.benchmark_gap('2026-02-02Z', '7 days') AS g JOIN cx.benchmark AS b USING (benchmark_id) ORDER BY b.source, b.value DESC$$,
    $$VALUES ('Survey A', date '2025-12-31', 40::double precision, 8000::bigint, 40::double precision, 0::double precision, false), ('Survey B', '2025-12-31', 45, 8000, 40, -5, true), ('Survey B', '2025-12-31', 1, 0, NULL, NULL, NULL)$$,
    'each newest benchmark of that day beside the score');
SELECT is((SELECT b.value FROM cxm.benchmark_gap('2025-12-30Z') AS g JOIN cx.benchmark AS b USING (benchmark_id)), 38::double precision, 'an older one in its time');
SELECT results_eq($$SELECT lower, upper FROM cxm.benchmark_gap('2026-02-02Z', '7 days') WHERE n > 0$$, $$SELECT i.lower, i.upper FROM cxm.nps_interval(cxm.ratings(0, '{0,0,0,0,0,0,1600,1600,0,4800,0}')) AS i, generate_series(1, 2)$$, 'with the interval of the score');
-- what stands on the end of the interval is not beyond it
SELECT cxm.set_benchmark('nps', (SELECT lower FROM cxm.nps_interval(cxm.ratings(0, '{0,0,0,0,0,0,1600,1600,0,4800,0}'))), 'at the end', '2026-01-01'),
       cxm.set_benchmark('nps', (SELECT lower - 0.000001 FROM cxm.nps_interval(cxm.ratings(0, '{0,0,0,0,0,0,1600,1600,0,4800,0}'))), 'beyond', '2026-01-01');
SELECT results_eq($$SELECT b.source, g.beyond_chance FROM cxm.benchmark_gap('2026-02-02Z', '7 days') AS g JOIN cx.benchmark AS b USING (benchmark_id) WHERE b.as_of = '2026-01-01' ORDER BY 1$$, $$VALUES ('at the end', false), ('beyond', true)$$, 'beyond chance, at the boundary');
SELECT results_eq($$SELECT source, segment, dimension, key COLLATE "default", benchmark, as_of FROM cx.benchmark_gap WHERE as_of > '2026-02-01' OR dimension IS NOT NULL ORDER BY 1, 4$$,
    $$VALUES ('Survey A', 'shops', NULL::text, NULL::text, 30::double precision, date '2026-03-01'), ('Survey B', '', 'location', 'far north', 45, '2025-12-31'), ('Survey B', '', 'location', 'unused', 1, '2025-12-31')$$, 'the view');
SELECT throws_ok(format('SELECT cxm.set_benchmark(%s)', arguments), state, NULL, arguments) FROM (VALUES
    ($$'nps', 41, 'Survey A', '2025-12-31', 'shops'$$, '23505'),
    ($$'nps', 41, NULL, '2025-12-31'$$, '23502'),
    ($$'nps', 41, '', '2025-12-31'$$, '23514'),
    ($$'nps', 41, 'S', NULL$$, '22023'),
    ($$'nps', 101, 'S', '2025-12-31'$$, '22003'),
    ($$'nps', NULL, 'S', '2025-12-31'$$, '23502'),
    ($$'x', 1, 'S', '2025-12-31'$$, '42704')) AS v(arguments, state);
SELECT throws_ok($$SELECT cxm.benchmark_gap('infinity')$$, '22023', NULL, 'no time');
SELECT throws_ok($$SELECT cxm.benchmark_gap(now(), '0')$$, '22023', NULL, 'no answers');

---- accountability

SELECT cxm.set_goal('early', 'eve', 'nps', 50, (now() + interval '1 year')::date), cxm.set_goal('gone', 'eve', 'nps', 50, '2025-01-31', '2025-01-01');
INSERT INTO cx.follow_up (owner, state, opened_at, first_response_due, first_response_at, due_at, waiting_since) VALUES
    ('eve', 'open', now() - interval '9 days', now() - interval '1 day', NULL, NULL, NULL),
    ('eve', 'open', now() - interval '9 days', now() + interval '1 day', NULL, NULL, NULL),
    ('eve', 'in_progress', now() - interval '9 days', now() - interval '8 days', now() - interval '8 days', now() - interval '1 day', NULL),
    ('eve', 'waiting', now() - interval '9 days', now() - interval '8 days', now() - interval '8 days', now() - interval '1 day', now() - interval '2 days'),
    ('eve', 'open', now(), NULL, NULL, NULL, NULL),
    (NULL, 'open', now(), NULL, NULL, NULL, NULL);
SELECT cxm.add_alert_rule('low', 'nps', 0, 6, owner => 'eve');
SELECT cxm.record_feedback('nps', s, jsonb_build_object('email', 'a' || s || '@x.org')) FROM generate_series(1, 3) AS s;
UPDATE cx.alert SET state = 'acknowledged', acknowledged_at = now(), acknowledged_by = 'eve' WHERE alert_id = (SELECT min(alert_id) FROM cx.alert);
SELECT results_eq($$SELECT goals, goals_reached, goals_on_track, goals_at_risk, goals_off_track, goals_too_early, goals_missed, follow_ups, follow_ups_breached, alerts FROM cx.accountability WHERE owner = 'eve'$$,
    $$VALUES (2::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 1::bigint, 1::bigint, 5::bigint, 2::bigint, 2::bigint)$$, 'what eve answers for');
SELECT results_eq($$SELECT owner, goals, follow_ups, alerts FROM cx.accountability WHERE owner IS NULL$$, $$VALUES (NULL::text, 0::bigint, 1::bigint, 0::bigint)$$, 'and nobody');
SELECT is((SELECT count(*) FROM cx.accountability WHERE owner = 'dan'), 0::bigint, 'a closed goal is nobody''s');
SELECT results_eq($$SELECT sum(goals) = sum(goals_reached + goals_on_track + goals_at_risk + goals_off_track + goals_too_early + goals_missed), sum(goals) = (SELECT count(*) FROM cx.goal WHERE closed_at IS NULL)::numeric FROM cx.accountability$$, 'VALUES (true, true)', 'every open goal is in one state');

---- who may see and do what

CREATE ROLE cxm_test_goal_reader;
SELECT cxm.grant_store('cxm_test_goal_reader');
ALTER TABLE cx.feedback ENABLE ROW LEVEL SECURITY;
CREATE POLICY small ON cx.feedback TO cxm_test_goal_reader USING (score >= 9);
SET LOCAL ROLE cxm_test_goal_reader;
SELECT is((SELECT n FROM cxm.goal_status('north', '2026-02-02Z')), 4800::bigint, 'a reader''s figures are of the rows that the reader sees');
SELECT is((SELECT g.n FROM cxm.benchmark_gap('2026-02-02Z', '7 days') AS g JOIN cx.benchmark AS b USING (benchmark_id) WHERE b.value = 45), 4800::bigint, 'beside a benchmark, too');
SELECT throws_ok($$SELECT cxm.set_goal('mine', 'me', 'nps', 1, '2026-03-01', '2026-01-05')$$, '42501', NULL, 'a reader sets none');
SELECT throws_ok($$SELECT cxm.change_goal('north', 'why', 1)$$, '42501', NULL, 'nor changes one');
RESET ROLE;

---- after DROP EXTENSION ... CASCADE

DROP TRIGGER goal_number_version ON cx.goal;
DROP TRIGGER goal_keep_version ON cx.goal;
SELECT cxm.upgrade_store();
SELECT is(cxm.change_goal('north', 'again', 91), 4, 'the triggers are put back');
SELECT is((SELECT count(*) FROM cx.goal_version AS v JOIN cx.goal AS g USING (goal_id) WHERE g.name = 'north'), 4::bigint, 'both');

SELECT * FROM finish();
ROLLBACK;
