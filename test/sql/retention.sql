-- Retention, lifecycle and active periods: each rule by hand, the published examples, NULL, limits and errors.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

---- ClickHouse's retention()

-- its example: five users on day 1, ten on day 2, fifteen on day 3
CREATE TEMPORARY TABLE visit AS
SELECT d AS day, u AS uid FROM generate_series(1, 3) AS d, generate_series(0, 14) AS u WHERE u < 5 * d;
SELECT uid, cxm.retention(ARRAY[day = 1, day = 2, day = 3]) AS r FROM visit GROUP BY uid ORDER BY uid;
SELECT sum(r[1]::integer) AS r1, sum(r[2]::integer) AS r2, sum(r[3]::integer) AS r3
FROM (SELECT uid, cxm.retention(ARRAY[day = 1, day = 2, day = 3]) AS r FROM visit GROUP BY uid) AS v;

-- each condition by any row, the others only together with the first
SELECT n, cxm.retention(c) FROM (VALUES
    (1, ARRAY[true, false, false]), (1, ARRAY[false, false, true]), (2, ARRAY[false, true, true]), (3, ARRAY[true, NULL, NULL]), (3, ARRAY[NULL, NULL, true]), (3, NULL),
    (4, ARRAY[NULL, true, true]), (5, NULL), (6, ARRAY[true])) AS v (n, c)
GROUP BY n ORDER BY n;
SELECT cxm.retention(c) IS NULL AS nobody FROM (SELECT ARRAY[true] WHERE false) AS v (c);
-- more than 32 conditions
SELECT cxm.retention(ARRAY(SELECT i % k = 1 FROM generate_series(1, 100) AS i)) = ARRAY(SELECT i % 2 = 1 OR i % 3 = 1 FROM generate_series(1, 100) AS i) AS hundred
FROM generate_series(2, 3) AS k;
-- every way to split rows and to combine the parts: OR has no order
SELECT count(DISTINCT r) AS answers FROM (SELECT s, cxm.retention(c ORDER BY hashint4(s * 100 + i)) AS r
    FROM generate_series(1, 50) AS s, generate_series(1, 20) AS i, LATERAL (SELECT ARRAY[i = 7, i % 6 = 5, i = 0]) AS v (c) GROUP BY s) AS v;
SELECT cxm.retention(ARRAY[]::boolean[]);
SELECT cxm.retention(ARRAY[[true], [false]]);
SELECT cxm.retention(c) FROM (VALUES (ARRAY[true]), (ARRAY[true, false])) AS v (c);
SELECT cxm.retention_add(NULL, '{t}');
SELECT cxm.retention_combine('{t}', '{t}');

---- Retention of a journey: 1 = visit, 2 = purchase

CREATE TEMPORARY TABLE journey (name text, journey cxm.journey);
INSERT INTO journey VALUES
    ('weekly', '{2026-03-02T08:00:00Z 1,2026-03-09T08:00:00Z 1,2026-03-16T08:00:00Z 1}'),
    ('once', '{2026-03-04T12:00:00Z 1}'),
    ('bought before', '{2026-03-03T09:00:00Z 2,2026-03-03T10:00:00Z 1,2026-03-05T10:00:00Z 2}'),
    ('at once', '{2026-03-03T10:00:00Z 1,2026-03-03T10:00:00Z 2}'),
    ('never came', '{2026-03-03T10:00:00Z 2}'),
    ('nothing', '{}'),
    ('nobody', NULL);

-- a visit is its own return in week 0; one who bought before the visit did not buy after it on that day
SELECT name, cxm.retention_periods(journey, '{1}', '{1}', 'week', 'UTC') AS visit_visit, cxm.retention_periods(journey, '{1}', '{2}', 'day', 'UTC') AS visit_purchase
FROM journey;
-- the numbers of all periods, as dates
SELECT cxm.period_start(1366, 'week', 'UTC')::date AS monday, cxm.period_start(9557, 'day', 'UTC')::date AS day;
-- on or after, and a limit
SELECT criterion, periods, cxm.retention_periods(journey, '{1}', '{1}', 'week', 'UTC', criterion => criterion, periods => periods)
FROM journey, (VALUES ('on'), ('on_or_after')) AS c (criterion), (VALUES (NULL), (0), (1)) AS p (periods)
WHERE name = 'weekly' ORDER BY 1, 2;
-- first ever means ever: a range that the first start is not in has no cohort of this customer
SELECT cohorts, cxm.retention_periods(journey, '{1}', '{1}', 'week', 'UTC', cohorts => cohorts, during => '[2026-03-09,2026-04-01)')
FROM journey, (VALUES ('first_ever'), ('first_in_range'), ('recurring')) AS c (cohorts)
WHERE name = 'weekly';
-- the range is exact to the microsecond, with and without its ends
SELECT during, cxm.retention_periods(journey, '{1}', '{1}', 'week', 'UTC', cohorts => 'recurring', during => during::tstzrange)
FROM journey, (VALUES ('[2026-03-09 08:00+00,2026-03-16 08:00+00]'), ('(2026-03-09 08:00+00,2026-03-16 08:00+00]'), ('[2026-03-09 08:00+00,2026-03-16 08:00+00)'),
                      ('[2026-03-09 08:00:00.000001+00,2026-03-16 07:59:59.999999+00]'), ('empty'), ('(,)'), ('[-infinity,infinity]')) AS d (during)
WHERE name = 'weekly';
-- what came after as_of is not known yet
SELECT as_of, cxm.retention_periods(journey, '{1}', '{1}', 'week', 'UTC', criterion => 'on_or_after', as_of => as_of)
FROM journey, (VALUES (timestamptz '2026-03-01'), ('2026-03-02 08:00+00'), ('2026-03-09 08:00+00'), ('infinity'), ('-infinity')) AS a (as_of)
WHERE name = 'weekly';

---- Where others were wrong

-- 23:59 and 00:01 are two days of the calendar, and one of 24 hours
SELECT r AS rolling, cxm.retention_periods('{2026-03-02T23:59:00Z 1,2026-03-03T00:01:00Z 1,2026-03-03T23:58:59.999999Z 1,2026-03-03T23:59:00Z 1}', '{1}', '{1}', 'day', 'UTC', rolling => r)
FROM (VALUES (NULL::interval), ('24 hours'), ('1 day')) AS v (r);
-- a day of 23 hours is one day of the calendar; 24 hours later it is the day after it
SELECT r AS rolling, cxm.retention_periods('{2026-03-28T22:30:00Z 1,2026-03-28T23:00:00Z 1,2026-03-29T22:00:00Z 1}', '{1}', '{1}', 'day', 'Europe/Berlin', rolling => r)
FROM (VALUES (NULL::interval), ('24 hours')) AS v (r);
-- a day of 25 hours: 24 hours after its start is the same day
SELECT cxm.retention_periods('{2026-10-24T22:00:00Z 1,2026-10-25T22:00:00Z 1,2026-10-25T23:00:00Z 1}', '{1}', '{1}', 'day', 'Europe/Berlin') AS berlin,
       cxm.retention_periods('{2026-10-24T22:00:00Z 1,2026-10-25T22:00:00Z 1,2026-10-25T23:00:00Z 1}', '{1}', '{1}', 'day', 'UTC') AS utc;
-- east of Greenwich: 15:59 and 16:00 UTC are two days in Shanghai, and the days are those of Shanghai
SELECT date '2000-01-01' + p[1] AS day FROM cxm.active_periods('{2026-11-22T15:59:00Z 1,2026-11-22T16:00:00Z 1}', NULL, 'day', 'Asia/Shanghai') AS a, LATERAL (SELECT ARRAY[x] FROM unnest(a) AS x) AS v (p);
-- Saturday, Sunday and Monday by the day that weeks begin on
SELECT w, cxm.retention_periods('{2026-03-07T12:00:00Z 1,2026-03-08T12:00:00Z 1,2026-03-09T12:00:00Z 1}', '{1}', '{1}', 'week', 'UTC', w) FROM generate_series(1, 7) AS w;
-- the first month is retained by those who come back in it, also west and east of Greenwich
SELECT zone, cxm.retention_periods('{2026-02-01T00:30:00Z 1,2026-02-28T23:30:00Z 1}', '{1}', '{1}', 'month', zone) FROM (VALUES ('UTC'), ('America/New_York'), ('Asia/Tokyo')) AS z (zone);
-- end of January and end of February are one month apart; months of any length count as one
SELECT cxm.retention_periods('{2024-01-31T12:00:00Z 1,2024-02-29T12:00:00Z 1,2024-03-01T12:00:00Z 1,2025-01-01T00:00:00Z 1}', '{1}', '{1}', 'month', 'UTC');
-- Samoa: the day that was left out is nobody's
SELECT cxm.retention_periods('{2011-12-30T09:59:59Z 1,2011-12-30T10:00:00Z 1}', '{1}', '{1}', 'day', 'Pacific/Apia') AS apia,
       cxm.lifecycle_periods('{2011-12-30T09:59:59Z 1,2011-12-30T10:00:00Z 1}', NULL, 'day', 'Pacific/Apia', as_of => '2011-12-30 10:00+00') AS lifecycle;
-- from before Christ to the end of time
SELECT cxm.retention_periods(j, '{1}', '{1}', period, 'Europe/Berlin')
FROM (SELECT cxm.journey_agg(at, 1) FROM (VALUES (timestamptz '4713-12-01 00:00+00 BC'), ('0044-03-15 12:00+00 BC'), ('2026-03-29 00:59+00'), ('294276-12-31 12:00+00')) AS v (at)) AS v (j),
     (VALUES ('day'), ('week'), ('month'), ('quarter'), ('year')) AS p (period);
-- where the last hours of time are in the next year already
SELECT p, z, cxm.retention_periods('{294276-12-30T23:21:11Z 1,294276-12-31T23:21:26Z 1}', NULL, NULL, p, z), cxm.active_periods('{294276-12-31T23:21:26Z 1}', NULL, p, z),
       cxm.period_start(cxm.period_number('294276-12-31 23:21:26+00', p, z), p, z) AS starts_at
FROM unnest(ARRAY['day', 'week', 'month', 'quarter', 'year']) AS p, unnest(ARRAY['Asia/Kolkata', 'Pacific/Kiritimati', 'Pacific/Honolulu']) AS z ORDER BY p, z;

---- Lifecycle and stickiness

CREATE TEMPORARY TABLE active AS
SELECT c AS customer, cxm.journey_agg(timestamptz '2026-01-05 12:00+00' + d * interval '1 day', 1) AS journey
FROM generate_series(1, 60) AS c, generate_series(0, 79) AS d
WHERE abs(hashint8extended(c, d)) % (1 + c % 20) = 0 AND d >= c % 30
GROUP BY c;
SELECT cxm.lifecycle_periods('{2026-01-05T12:00:00Z 1,2026-01-06T12:00:00Z 1,2026-01-09T12:00:00Z 1}', '{1}', 'day', 'UTC') AS all_time,
       cxm.lifecycle_periods('{2026-01-05T12:00:00Z 1,2026-01-06T12:00:00Z 1,2026-01-09T12:00:00Z 1}', '{1}', 'day', 'UTC', during => '[2026-01-06 13:00+00,2026-01-07 00:00+00]') AS part,
       cxm.lifecycle_periods('{2026-01-05T12:00:00Z 1,2026-01-06T12:00:00Z 1,2026-01-09T12:00:00Z 1}', '{1}', 'day', 'UTC', as_of => '2026-01-09 12:00+00') AS so_far;
-- the identities: active = new + returning + resurrecting, dormant = active before - returning, and all are new once
SELECT count(*) AS weeks,
       bool_and(active = new + came_back + resurrecting) AS active,
       bool_and(dormant = before - came_back) AS dormant,
       sum(new) = (SELECT count(*) FROM active) AS new_once
FROM (
    SELECT p.first AS week, p.count AS active, coalesce(lag(p.count) OVER (ORDER BY p.first), 0) AS before,
           coalesce(max(l.count) FILTER (WHERE l.second = 0), 0) AS new, coalesce(max(l.count) FILTER (WHERE l.second = 1), 0) AS came_back,
           coalesce(max(l.count) FILTER (WHERE l.second = 2), 0) AS resurrecting, coalesce(max(l.count) FILTER (WHERE l.second = 3), 0) AS dormant
    FROM cxm.pair_counts((SELECT cxm.count_pairs(cxm.active_periods(journey, '{1}', 'week', 'UTC')) FROM active)) AS p
    LEFT JOIN cxm.pair_counts((SELECT cxm.count_pairs(cxm.lifecycle_periods(journey, '{1}', 'week', 'UTC')) FROM active)) AS l USING (first)
    GROUP BY p.first, p.count) AS v;

---- Counting

SELECT cxm.count_pairs(p) FROM (VALUES ('{{3,0},{1,5}}'::integer[]), ('{{1,5},{-1,-1}}'), ('{}'), (NULL), ('{7,1}'), ('{{2147483647,-2147483648}}')) AS v (p);
SELECT * FROM cxm.pair_counts((SELECT cxm.count_pairs(p) FROM (VALUES ('{{3,0},{1,5}}'::integer[]), ('{{1,5},{-1,-1}}')) AS v (p)));
SELECT cxm.count_pairs(p) FROM (SELECT NULL::integer[] WHERE false) AS v (p);
SELECT cxm.count_pairs(NULL), cxm.count_pairs('{}');
SELECT count(*) AS none FROM cxm.pair_counts('{}');
SELECT count(*) AS none FROM cxm.pair_counts(NULL);
-- many pairs
SELECT count(*), sum(count), min(count), max(count), min(first), max(first), min(second), max(second)
FROM cxm.pair_counts((SELECT cxm.count_pairs(ARRAY[[i % 1000, i / 7 % 11 - 5], [-i % 1000, 99]]) FROM generate_series(0, 99999) AS i));
SELECT cxm.count_pairs(p) FROM (VALUES ('{{1,2,3}}'::integer[])) AS v (p);
SELECT cxm.count_pairs(p) FROM (VALUES ('{{1,NULL}}'::integer[])) AS v (p);
SELECT cxm.count_pairs(p) FROM (VALUES ('{{{1,2}}}'::integer[])) AS v (p);
SELECT cxm.count_pairs_add(NULL, '{1}');
SELECT cxm.count_pairs_combine('{1,2}', NULL);
SELECT cxm.count_pairs_final('{1,2}');
SELECT cxm.count_pairs_final('{}');
SELECT cxm.count_pairs_final(ARRAY[63, 0]::bigint[] || array_fill(0::bigint, ARRAY[126]));
SELECT cxm.count_pairs_final(ARRAY[64, 65]::bigint[] || array_fill(0::bigint, ARRAY[128]));
SELECT cxm.pair_counts('{1,2,3}');
SELECT cxm.pair_counts('{{1,2,NULL}}');
SELECT cxm.pair_counts('{{1,9999999999,1}}');
-- a state that somebody made up
CREATE AGGREGATE pg_temp.hostile(integer[]) (SFUNC = cxm.count_pairs_add, STYPE = bigint[], INITCOND = '{1,2,3}', FINALFUNC = cxm.count_pairs_final);
SELECT pg_temp.hostile('{1}');

---- The same answer in parallel, and on partitions

CREATE TABLE retention_part (customer integer, journey cxm.journey) PARTITION BY HASH (customer);
CREATE TABLE retention_part_0 PARTITION OF retention_part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE retention_part_1 PARTITION OF retention_part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO retention_part SELECT * FROM active;
INSERT INTO retention_part SELECT 1000 + i, j.journey FROM journey AS j, generate_series(1, 500) AS i;
ANALYZE retention_part;

CREATE FUNCTION pg_temp.nodes(query text) RETURNS TABLE (node text, mode text)
LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN QUERY
    WITH RECURSIVE tree (item) AS (
        SELECT (plan -> 0 -> 'Plan')::jsonb
        UNION ALL
        SELECT child FROM tree, jsonb_array_elements(tree.item -> 'Plans') AS child
    )
    SELECT item ->> 'Node Type', item ->> 'Partial Mode' FROM tree;
END
$$;
CREATE TEMPORARY TABLE question AS
SELECT 'SELECT cxm.count_pairs(cxm.retention_periods(journey, ''{1}'', ''{1}'', ''week'', ''Europe/Berlin'', cohorts => ''recurring'')), cxm.retention(ARRAY[customer % 2 = 0, customer % 3 = 0, customer < 0]) FROM retention_part' AS query;
CREATE TEMPORARY TABLE answer (how text, counts bigint[], flags boolean[]);
SET max_parallel_workers_per_gather = 0;
INSERT INTO answer SELECT 'serial', cxm.count_pairs(cxm.retention_periods(journey, '{1}', '{1}', 'week', 'Europe/Berlin', cohorts => 'recurring')), cxm.retention(ARRAY[customer % 2 = 0, customer % 3 = 0, customer < 0]) FROM retention_part;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
SELECT count(*) > 0 AS parallel FROM question, pg_temp.nodes(query) WHERE node = 'Gather';
SELECT count(*) > 0 AS partial FROM question, pg_temp.nodes(query) WHERE mode = 'Partial';
INSERT INTO answer SELECT 'parallel', cxm.count_pairs(cxm.retention_periods(journey, '{1}', '{1}', 'week', 'Europe/Berlin', cohorts => 'recurring')), cxm.retention(ARRAY[customer % 2 = 0, customer % 3 = 0, customer < 0]) FROM retention_part;
SET max_parallel_workers_per_gather = 0;
SET enable_partitionwise_aggregate = on;
SELECT count(*) AS partial_of_partitions FROM question, pg_temp.nodes(query) WHERE mode = 'Partial';
INSERT INTO answer SELECT 'partitionwise', cxm.count_pairs(cxm.retention_periods(journey, '{1}', '{1}', 'week', 'Europe/Berlin', cohorts => 'recurring')), cxm.retention(ARRAY[customer % 2 = 0, customer % 3 = 0, customer < 0]) FROM retention_part;
SELECT count(*) AS ways, count(DISTINCT (counts, flags)) AS answers, min(flags) AS flags, min(cardinality(counts)) > 30 AS many FROM answer;
-- states of which some have no rows
SELECT cxm.count_pairs(cxm.active_periods(journey, '{1}', 'day', 'UTC')) FROM retention_part WHERE customer = 1001 AND journey IS NULL;
SELECT cxm.count_pairs(cxm.active_periods(journey, '{2}', 'year', 'UTC')), cxm.retention(NULL) FROM retention_part WHERE customer IN (1001, 1002);
DROP TABLE retention_part;

---- NULL and errors

SELECT cxm.retention_periods(NULL, '{1}', '{1}', 'day', 'UTC') IS NULL AS a, cxm.active_periods(NULL, '{1}', 'day', 'UTC') IS NULL AS b, cxm.lifecycle_periods(NULL, '{1}', 'day', 'UTC') IS NULL AS c;
SELECT cxm.retention_periods('{2026-03-02T23:59:00Z 1,2026-03-03T00:01:00Z 2}', '{}', NULL, 'day', 'UTC') AS no_start, cxm.retention_periods('{2026-03-02T23:59:00Z 1,2026-03-03T00:01:00Z 2}', NULL, '{}', 'day', 'UTC') AS no_return,
       cxm.retention_periods('{2026-03-02T23:59:00Z -9,2026-03-03T00:01:00Z 70000}', '{-9,-9}', '{70000,5}', 'day', 'UTC') AS odd_codes;
SELECT cxm.retention_periods(NULL, '{1}', '{1}', 'fortnight', 'UTC');
SELECT cxm.retention_periods('{}', '{1}', '{1}', NULL, 'UTC');
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'Middle/Earth');
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', NULL);
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'UTC', 9);
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'UTC', NULL);
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'UTC', periods => -1);
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'UTC', cohorts => 'first');
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'UTC', cohorts => NULL);
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'UTC', criterion => 'On');
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'UTC', rolling => '1 month');
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'UTC', rolling => '0');
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'UTC', rolling => '-1 day');
SELECT cxm.retention_periods('{}', '{1}', '{1}', 'day', 'UTC', rolling => '2147483647 days');
SELECT cxm.retention_periods('{}', '{{1,2}}', '{1}', 'day', 'UTC');
SELECT cxm.retention_periods('{}', '{1,NULL}', '{1}', 'day', 'UTC');
SELECT cxm.retention_periods('{2026-03-02T00:00:00Z 1,2027-03-02T00:00:00Z 1}', '{1}', '{1}', 'day', 'UTC', rolling => '1 microsecond');
SELECT cxm.retention_periods('{2026-03-02T00:00:00Z 1,200000-03-02T00:00:00Z 1}', '{1}', '{1}', 'hour', 'UTC', criterion => 'on_or_after');
SELECT cxm.retention_periods('{2026-03-02T00:00:00Z 1,250000-03-02T00:00:00Z 1}', '{1}', '{1}', 'hour', 'UTC');
SELECT cxm.active_periods('{2026-03-02T00:00:00Z 1,250000-03-02T00:00:00Z 1}', '{1}', 'hour', 'UTC');
SELECT cxm.lifecycle_periods('{2026-03-02T00:00:00Z 1}', '{1}', 'day', 'Nowhere');
-- more pairs than an array has room for; with a limit there are few
SELECT cxm.retention_periods(j, NULL, NULL, 'hour', 'UTC', cohorts => 'recurring') FROM (SELECT cxm.journey_agg(timestamptz '2020-01-01 00:00+00' + i * interval '1 hour', 1) FROM generate_series(1, 20000) AS i) AS v (j);
SELECT cardinality(cxm.retention_periods(j, NULL, NULL, 'hour', 'UTC', cohorts => 'recurring', periods => 3)) FROM (SELECT cxm.journey_agg(timestamptz '2020-01-01 00:00+00' + i * interval '1 hour', 1) FROM generate_series(1, 20000) AS i) AS v (j);

-- arguments that change from row to row are taken from each row
SELECT period, zone, start, cxm.retention_periods('{2026-03-01T23:30:00Z 1,2026-03-02T00:30:00Z 2,2026-03-09T12:00:00Z 1}', start, NULL, period, zone, cohorts => cohorts)
FROM (VALUES ('day', 'UTC', '{1}'::integer[], 'recurring'), ('day', 'Europe/Berlin', '{1}', 'recurring'), ('week', 'UTC', '{1}', 'first_ever'), ('week', 'Asia/Tokyo', '{2}', 'first_ever'), ('day', 'UTC', NULL, 'recurring'), ('day', 'UTC', '{1}', 'first_ever')) AS v (period, zone, start, cohorts);
-- and so are those of an expression in PL/pgSQL, which keeps what a function knows
DO $$
DECLARE
    zone text;
    codes integer[] := '{1}';
    pairs integer[];
BEGIN
    FOREACH zone IN ARRAY ARRAY['UTC', 'Asia/Tokyo', 'UTC'] LOOP
        pairs := cxm.retention_periods('{2026-03-01T23:30:00Z 1,2026-03-09T12:00:00Z 2}', codes, '{2}', 'day', zone);
        RAISE WARNING '% % % %', zone, codes, pairs, cxm.active_periods('{2026-03-01T23:30:00Z 1}', NULL, 'day', zone);
        codes[cardinality(codes) + 1] := 2;
    END LOOP;
    FOR i IN 1 .. 3 LOOP
        RAISE WARNING '%', cxm.retention_periods('{2026-03-01T23:30:00Z 1,2026-03-09T12:00:00Z 1}', '{1}', '{1}', 'day', 'UTC', during => CASE i WHEN 1 THEN NULL ELSE tstzrange(NULL, timestamptz '2026-03-01 00:00+00' + i * interval '8 hours') END, periods => 9 - i);
    END LOOP;
END
$$;
