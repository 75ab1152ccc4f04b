-- ratings: the aggregates, over every type of score, in every way the executor can run them

CREATE FUNCTION pg_temp.fails(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE query;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(' -- ' || nullif(hint, ''), '');
END $$;
CREATE FUNCTION pg_temp.uses(query text, node text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN plan::text LIKE '%"' || node || '"%';
END $$;

CREATE TABLE ratings_answer (id integer, store integer, day integer, small smallint, int integer, big bigint, num numeric, dbl double precision, n bigint);
-- a generator of our own: the same scores on every platform and version
INSERT INTO ratings_answer
SELECT i, i % 50, i / 100, s, s, s, s, s, i % 4
FROM (SELECT i, CASE WHEN i % 17 = 0 THEN NULL ELSE (i * 1103515245::bigint + 12345) % 2147483648 / 65536 % 11 END AS s FROM generate_series(1, 20000) AS i) AS made;
ANALYZE ratings_answer;

-- one answer for all types, with and without counts, in one step and in two
SELECT cxm.nps_agg(small) AS r, cxm.nps(small) FROM ratings_answer;
SELECT cxm.nps_agg(int) OPERATOR(cxm.=) cxm.nps_agg(small) AND cxm.nps_agg(big) OPERATOR(cxm.=) cxm.nps_agg(small) AND cxm.nps_agg(num) OPERATOR(cxm.=) cxm.nps_agg(small) AND cxm.nps_agg(dbl) OPERATOR(cxm.=) cxm.nps_agg(small)
   AND cxm.nps_agg(dbl::real) OPERATOR(cxm.=) cxm.nps_agg(small) AND cxm.nps_agg(num + 0.00) OPERATOR(cxm.=) cxm.nps_agg(small) AS same,
       cxm.nps(int) = cxm.nps(small) AND cxm.nps(big) = cxm.nps(small) AND cxm.nps(num) = cxm.nps(small) AND cxm.nps(dbl) = cxm.nps(small) AS same_in_one_step
FROM ratings_answer;
SELECT cxm.nps_agg(small, n), cxm.nps(small, n) = cxm.nps(cxm.nps_agg(small, n)) AS same_in_one_step FROM ratings_answer;
SELECT cxm.nps_agg(int, n) OPERATOR(cxm.=) cxm.nps_agg(small, n) AND cxm.nps_agg(big, n) OPERATOR(cxm.=) cxm.nps_agg(small, n) AND cxm.nps_agg(num, n) OPERATOR(cxm.=) cxm.nps_agg(small, n) AND cxm.nps_agg(dbl, n) OPERATOR(cxm.=) cxm.nps_agg(small, n) AS same,
       cxm.nps(int, n) = cxm.nps(small, n) AND cxm.nps(big, n) = cxm.nps(small, n) AND cxm.nps(num, n) = cxm.nps(small, n) AND cxm.nps(dbl, n) = cxm.nps(small, n) AS same_in_one_step
FROM ratings_answer;
SELECT cxm.ratings_agg(small, 0, 10) OPERATOR(cxm.=) cxm.nps_agg(small) AND cxm.ratings_agg(int, 0, 10) OPERATOR(cxm.=) cxm.nps_agg(small) AND cxm.ratings_agg(big, 0, 10) OPERATOR(cxm.=) cxm.nps_agg(small)
   AND cxm.ratings_agg(num, 0, 10) OPERATOR(cxm.=) cxm.nps_agg(small) AND cxm.ratings_agg(dbl, 0, 10) OPERATOR(cxm.=) cxm.nps_agg(small) AS same,
       cxm.ratings_agg(small, 0, 10, n) OPERATOR(cxm.=) cxm.nps_agg(small, n) AND cxm.ratings_agg(int, 0, 10, n) OPERATOR(cxm.=) cxm.nps_agg(small, n) AND cxm.ratings_agg(big, 0, 10, n) OPERATOR(cxm.=) cxm.nps_agg(small, n)
   AND cxm.ratings_agg(num, 0, 10, n) OPERATOR(cxm.=) cxm.nps_agg(small, n) AND cxm.ratings_agg(dbl, 0, 10, n) OPERATOR(cxm.=) cxm.nps_agg(small, n) AS same_with_counts
FROM ratings_answer;
-- CSAT and CES in all types
SELECT cxm.csat_agg(small), cxm.csat(small), cxm.csat(int), cxm.csat(big), cxm.csat(num), cxm.csat(dbl), cxm.csat(small, n), cxm.csat(int, n), cxm.csat(big, n), cxm.csat(num, n), cxm.csat(dbl, n) FROM ratings_answer WHERE small BETWEEN 1 AND 5;
SELECT cxm.csat_agg(small, n) OPERATOR(cxm.=) cxm.csat_agg(dbl, n) AND cxm.csat_agg(int) OPERATOR(cxm.=) cxm.csat_agg(big) AND cxm.csat_agg(num) OPERATOR(cxm.=) cxm.csat_agg(dbl) AND cxm.csat_agg(int, n) OPERATOR(cxm.=) cxm.csat_agg(big, n) AND cxm.csat_agg(num, n) OPERATOR(cxm.=) cxm.csat_agg(small, n) AS same FROM ratings_answer WHERE small BETWEEN 1 AND 5;
SELECT cxm.ces_agg(small), cxm.ces(small), cxm.ces(int), cxm.ces(big), cxm.ces(num), cxm.ces(dbl), cxm.ces(small, n), cxm.ces(int, n), cxm.ces(big, n), cxm.ces(num, n), cxm.ces(dbl, n) FROM ratings_answer WHERE small BETWEEN 1 AND 7;
SELECT cxm.ces_agg(small, n) OPERATOR(cxm.=) cxm.ces_agg(dbl, n) AND cxm.ces_agg(int) OPERATOR(cxm.=) cxm.ces_agg(big) AND cxm.ces_agg(num) OPERATOR(cxm.=) cxm.ces_agg(dbl) AND cxm.ces_agg(int, n) OPERATOR(cxm.=) cxm.ces_agg(big, n) AND cxm.ces_agg(num, n) OPERATOR(cxm.=) cxm.ces_agg(small, n) AS same FROM ratings_answer WHERE small BETWEEN 1 AND 7;

-- by hand, and by the built-in aggregates
SELECT abs(cxm.nps(small) - 100.0 * (count(*) FILTER (WHERE small >= 9) - count(*) FILTER (WHERE small <= 6)) / count(small)) < 1e-12 AS nps,
       cxm.count(cxm.nps_agg(small)) = count(small) AS count,
       abs(cxm.mean(cxm.nps_agg(small)) - avg(small)) < 1e-12 AS mean,
       abs(cxm.variance(cxm.nps_agg(small)) - variance(small)) < 1e-11 AS variance, abs(cxm.var_pop(cxm.nps_agg(small)) - var_pop(small)) < 1e-11 AS var_pop,
       abs(cxm.stddev(cxm.nps_agg(small)) - stddev(small)) < 1e-11 AS stddev, abs(cxm.stddev_pop(cxm.nps_agg(small)) - stddev_pop(small)) < 1e-11 AS stddev_pop
FROM ratings_answer;
SELECT bool_and(p = d AND abs(c - e) < 1e-9) AS percentiles, count(*)
FROM (SELECT cxm.percentile(r, f) AS p, cxm.percentile_cont(r, f) AS c,
             (SELECT percentile_disc(f) WITHIN GROUP (ORDER BY small) FROM ratings_answer WHERE store = s.store) AS d,
             (SELECT percentile_cont(f) WITHIN GROUP (ORDER BY small) FROM ratings_answer WHERE store = s.store) AS e
      FROM (SELECT store, cxm.nps_agg(small) AS r FROM ratings_answer WHERE store < 10 GROUP BY store) AS s, (SELECT i / 200.0::float8 AS f FROM generate_series(0, 200) AS i) AS g) AS both_ways;

-- no rows, only NULL, a NULL count: ratings without answers, whose readings are NULL
SELECT cxm.nps_agg(small), cxm.csat_agg(small), cxm.ces_agg(small), cxm.ratings_agg(small, 1, 3), cxm.rollup(NULL::cxm.ratings), cxm.nps(small), cxm.csat(small), cxm.ces(small) FROM ratings_answer WHERE false;
SELECT cxm.nps_agg(NULL::integer), cxm.nps(NULL::numeric), cxm.nps_agg(9, NULL), cxm.ratings_agg(9, NULL, 10);
SELECT cxm.nps_agg(9, 0), cxm.nps(9, 0);
SELECT cxm.nps_agg(v), cxm.nps(v) FROM (VALUES (9), (NULL), (0)) AS t (v);

-- what cannot be counted is refused, never dropped
SELECT q AS query, pg_temp.fails('SELECT ' || q) FROM unnest(ARRAY[
    'cxm.nps_agg(11)', 'cxm.nps_agg(-1)', 'cxm.nps_agg(11::smallint)', 'cxm.nps_agg(11::bigint)', 'cxm.nps_agg(11::numeric)', 'cxm.nps_agg(11::float8)', 'cxm.nps_agg((-32768)::smallint)', 'cxm.nps_agg(-2147483648)',
    'cxm.nps_agg((-9223372036854775808)::bigint)', 'cxm.nps_agg(9223372036854775807)', 'cxm.nps_agg(6.5)', 'cxm.nps_agg(6.5::float8)', 'cxm.nps_agg(10.000000000000000000000001)', 'cxm.nps_agg(9.9999999999999)', 'cxm.nps_agg(1e30)', 'cxm.nps_agg(1e300::float8)',
    $$cxm.nps_agg('NaN'::float8)$$, $$cxm.nps_agg('Infinity'::float8)$$, $$cxm.nps_agg('-Infinity'::float8)$$, $$cxm.nps_agg('NaN'::numeric)$$, $$cxm.nps_agg('Infinity'::numeric)$$, $$cxm.nps_agg('-Infinity'::numeric)$$,
    'cxm.nps(11)', 'cxm.csat(0)', 'cxm.csat_agg(6)', 'cxm.ces(8)', 'cxm.csat(4.5)', 'cxm.nps_agg(9, -1)', 'cxm.nps_agg(11, 0)', 'cxm.ratings_agg(6, 1, 5)', 'cxm.ratings_agg(6, 1, 5, 2)', 'cxm.ratings_agg(1, 1, 5, -2)',
    'cxm.ratings_agg(1, 5, 1)', 'cxm.ratings_agg(1, 1, 1)', 'cxm.ratings_agg(1, 0, 11)', 'cxm.ratings_agg(1, -2147483648, 2147483647)', 'cxm.ratings_agg(200, 195, 200)', 'cxm.nps_agg(v) FROM (VALUES (6.5), (8.5)) AS t (v)',
    'cxm.ratings_agg(1, 1, h) FROM (VALUES (5), (7)) AS t (h)', 'cxm.rollup(r::cxm.ratings) FROM (VALUES ($$0..1:{1,2}$$), ($$1..2:{1,2}$$)) AS t (r)',
    'cxm.nps_agg(9, n) FROM (VALUES (9223372036854775807), (1)) AS t (n)']) AS q;
SELECT cxm.nps_agg(v) FROM (VALUES (7.0), (7.00), (-0.0), (10), (70e-1)) AS t (v);
SELECT cxm.nps_agg(v) FROM (VALUES ('-0'::float8), (7), (1e1)) AS t (v);

-- numerics of all sorts, stored and not: only whole ones on the scale count, whatever their display scale
SELECT cxm.ratings_agg(v, -5, 5) FROM (SELECT (i * 1.000)::numeric(10, 3) FROM generate_series(-5, 5) AS i UNION ALL SELECT i::numeric FROM generate_series(-5, 5) AS i) AS t (v);
SELECT cxm.ratings_agg(v, 117, 127) FROM (SELECT i::numeric FROM generate_series(117, 127) AS i) AS t (v);
SELECT bool_and((pg_temp.fails(format('SELECT cxm.nps_agg(%s::numeric)', v)) = 'no error') = (v = trunc(v) AND v BETWEEN 0 AND 10)) FROM (SELECT (i / 4.0)::numeric(9, 2) AS v FROM generate_series(-20, 60) AS i) AS t;

-- incremental: one answer more, one less, on values in a table
SELECT cxm.add_score('1..3:{0,1,0}', 3), cxm.add_score('1..3:{0,1,0}', 3::smallint, 5), cxm.add_score('empty', 2, 1, 3), cxm.add_score('empty', 2.0, 1, 3, 4), cxm.add_score('1..3:{0,1,0}', NULL::integer), cxm.remove_score('1..3:{0,1,0}', 2), cxm.remove_score('1..3:{0,7,0}', 2, 3), cxm.remove_score('1..3:{0,1,0}', 2, 1, 3);
SELECT pg_temp.fails('SELECT ' || q) FROM unnest(ARRAY[$$cxm.add_score('empty', 2)$$, $$cxm.add_score('1..3:{0,1,0}', 4)$$, $$cxm.add_score('1..3:{0,1,0}', 2, 1, 5)$$, $$cxm.remove_score('1..3:{0,1,0}', 3)$$, $$cxm.remove_score('1..3:{0,1,0}', 2, 2)$$, $$cxm.remove_score('1..3:{0,1,0}', 2, -2)$$,
    $$'1..3:{0,1,0}'::cxm.ratings OPERATOR(cxm.-) '1..3:{0,2,0}'$$, $$'1..3:{0,1,0}'::cxm.ratings OPERATOR(cxm.-) '1..2:{0,0}'$$, $$'1..3:{0,1,0}'::cxm.ratings OPERATOR(cxm.+) '1..3:{0,9223372036854775807,0}'$$]) AS q;
CREATE TEMP TABLE kept AS SELECT '1..3:{0,1,0}'::cxm.ratings AS r, '1..3:{0,1,0}'::cxm.ratings AS original;
SELECT cxm.add_score(r, 3), cxm.remove_score(r, 2), r OPERATOR(cxm.+) r, r OPERATOR(cxm.-) r, r FROM kept;
UPDATE kept SET r = cxm.add_score(r, 1);
SELECT r, original FROM kept;
SELECT 'empty'::cxm.ratings OPERATOR(cxm.+) '1..3:{0,1,0}', '1..3:{0,1,0}'::cxm.ratings OPERATOR(cxm.+) 'empty', '1..3:{0,1,0}'::cxm.ratings OPERATOR(cxm.-) 'empty', 'empty'::cxm.ratings OPERATOR(cxm.-) '1..3:{0,0,0}', 'empty'::cxm.ratings OPERATOR(cxm.+) 'empty';
-- values in a table stay what they were when an aggregate has them as its first input
CREATE TEMP TABLE parts AS SELECT store, cxm.nps_agg(small) AS r FROM ratings_answer GROUP BY store;
SELECT cxm.rollup(r) OPERATOR(cxm.=) (SELECT cxm.nps_agg(small) FROM ratings_answer) AS whole FROM parts;
SELECT cxm.rollup(r) OPERATOR(cxm.=) (SELECT cxm.nps_agg(small) FROM ratings_answer) AS whole_again FROM parts;

-- groups, grouping sets, FILTER, DISTINCT, ORDER BY
SELECT store, cxm.nps_agg(small) FROM ratings_answer WHERE store < 3 GROUP BY store ORDER BY store;
SELECT store, day, grouping(store, day) AS g, cxm.count(cxm.nps_agg(small)), round(cxm.nps(small)::numeric, 6) AS nps FROM ratings_answer WHERE store IN (1, 2) AND day < 3 GROUP BY GROUPING SETS ((store, day), (store), (day), ()) ORDER BY g, store, day;
SELECT cxm.nps_agg(small) FILTER (WHERE store = 1) AS filtered, cxm.nps_agg(DISTINCT small) AS distinct_scores, cxm.nps_agg(small ORDER BY id DESC) OPERATOR(cxm.=) cxm.nps_agg(small) AS any_order, cxm.nps_agg(small) FILTER (WHERE false) AS nothing FROM ratings_answer;
SELECT r, count(*) FROM (SELECT day, cxm.csat_agg(small) AS r FROM ratings_answer WHERE small BETWEEN 2 AND 3 AND day < 12 GROUP BY day) AS s GROUP BY r ORDER BY r;
SET enable_hashagg = off;
CREATE TEMP TABLE sorted AS SELECT store, cxm.nps_agg(small) AS r FROM ratings_answer GROUP BY store;
RESET enable_hashagg;
SELECT count(*) FROM sorted JOIN parts USING (store) WHERE sorted.r OPERATOR(cxm.=) parts.r;
-- more groups than memory holds: the states spill
SET work_mem = '64kB';
SELECT count(*), cxm.rollup(r) OPERATOR(cxm.=) (SELECT cxm.nps_agg(small) FROM ratings_answer) AS whole FROM (SELECT id % 9973 AS g, cxm.nps_agg(small) AS r FROM ratings_answer GROUP BY 1) AS s;
RESET work_mem;

-- parallel, and the plan really is
CREATE TEMP TABLE serial_answer AS
SELECT cxm.nps_agg(small) AS a, cxm.nps_agg(num, n) AS b, cxm.ratings_agg(dbl, 0, 10) AS c, cxm.nps(int) AS d, cxm.nps_agg(small) FILTER (WHERE false) AS e, cxm.ratings_agg(small, 1, 5) FILTER (WHERE false) AS f FROM ratings_answer;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off;
\set parallel 'SELECT cxm.nps_agg(small) AS a, cxm.nps_agg(num, n) AS b, cxm.ratings_agg(dbl, 0, 10) AS c, cxm.nps(int) AS d, cxm.nps_agg(small) FILTER (WHERE false) AS e, cxm.ratings_agg(small, 1, 5) FILTER (WHERE false) AS f FROM ratings_answer'
SELECT pg_temp.uses(:'parallel', 'Gather') AS gather, pg_temp.uses(:'parallel', 'Partial') AS partial, pg_temp.uses('SELECT cxm.nps(cxm.nps_agg(small)), (cxm.nps_interval(cxm.nps_agg(small))).lower, cxm.mean(cxm.nps_agg(small)), cxm.percentile(cxm.nps_agg(small), 0.5), cxm.csat(cxm.nps_agg(small)), cxm.counts(cxm.nps_agg(small)) FROM ratings_answer', 'Partial') AS accessors_too;
SELECT p.a OPERATOR(cxm.=) s.a AND p.b OPERATOR(cxm.=) s.b AND p.c OPERATOR(cxm.=) s.c AND p.d = s.d AND p.e OPERATOR(cxm.=) s.e AND p.f OPERATOR(cxm.=) s.f AS same, p.e AS empty_with_empty, p.f FROM (:parallel) AS p, serial_answer AS s;
SELECT pg_temp.uses('SELECT store, cxm.nps_agg(small) AS r FROM ratings_answer GROUP BY store', 'Partial') AS partial_groups, count(*) FROM (SELECT store, cxm.nps_agg(small) AS r FROM ratings_answer GROUP BY store) AS p JOIN parts AS s USING (store) WHERE p.r OPERATOR(cxm.=) s.r;
CREATE TABLE ratings_part AS SELECT * FROM parts;
SELECT pg_temp.uses('SELECT cxm.rollup(r) FROM ratings_part', 'Partial') AS partial_rollup, cxm.rollup(r) OPERATOR(cxm.=) (SELECT a FROM serial_answer) AS whole FROM ratings_part;
-- scales that vary between partial states
SELECT pg_temp.fails('SELECT cxm.ratings_agg(small % 2, 0, 1 + id % 2) FROM ratings_answer') LIKE '22023: ratings on the scale 0 to _ and on the scale 0 to _ do not go together%' AS refused;
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size; RESET max_parallel_workers_per_gather; RESET parallel_leader_participation;
-- partition-wise: states of partitions without rows are combined
CREATE TABLE ratings_split (day integer, score smallint) PARTITION BY LIST (day);
CREATE TABLE ratings_split1 PARTITION OF ratings_split FOR VALUES IN (1);
CREATE TABLE ratings_split2 PARTITION OF ratings_split FOR VALUES IN (2);
CREATE TABLE ratings_split3 PARTITION OF ratings_split FOR VALUES IN (3);
SET enable_partitionwise_aggregate = on;
SELECT cxm.nps_agg(score), cxm.ratings_agg(score, 0, 10), cxm.nps(score) FROM ratings_split;
INSERT INTO ratings_split VALUES (2, 9), (3, NULL);
SELECT cxm.nps_agg(score), cxm.ratings_agg(score, 0, 10), cxm.nps(score) FROM ratings_split;
RESET enable_partitionwise_aggregate;

-- moving windows: the inverse gives what a fresh count gives, also where frames run empty
CREATE TEMP TABLE windowed AS
SELECT id, small, n, day,
       cxm.nps_agg(small) OVER w AS a, cxm.nps(num) OVER w AS b, cxm.nps_agg(dbl, n) OVER w AS c, cxm.ratings_agg(int, 0, 10) OVER w AS d, cxm.ratings_agg(big, 0, 10, n) OVER w AS e, cxm.csat(CASE WHEN small BETWEEN 1 AND 5 THEN small END) OVER w AS f
FROM ratings_answer WHERE id <= 1500 WINDOW w AS (ORDER BY id ROWS BETWEEN 6 PRECEDING AND 2 PRECEDING);
SELECT count(*), bool_and(w.a OPERATOR(cxm.=) o.a AND w.b IS NOT DISTINCT FROM o.b AND w.c OPERATOR(cxm.=) o.c AND w.d OPERATOR(cxm.=) o.d AND w.e OPERATOR(cxm.=) o.e AND w.f IS NOT DISTINCT FROM o.f) AS same
FROM windowed AS w, LATERAL (SELECT cxm.nps_agg(small) AS a, cxm.nps(num) AS b, cxm.nps_agg(dbl, n) AS c, cxm.ratings_agg(int, 0, 10) AS d, cxm.ratings_agg(big, 0, 10, n) AS e, cxm.csat(CASE WHEN small BETWEEN 1 AND 5 THEN small END) AS f
    FROM ratings_answer AS x WHERE x.id BETWEEN w.id - 6 AND w.id - 2) AS o;
SELECT id, v, cxm.rollup(v) OVER (ORDER BY id ROWS 1 PRECEDING) AS two, cxm.rollup(v) OVER (ORDER BY id) AS running
FROM (VALUES (1, '0..2:{1,0,0}'::cxm.ratings), (2, NULL), (3, '0..2:{0,1,0}'), (4, '0..2:{0,0,0}'), (5, 'empty'), (6, '0..2:{0,0,7}')) AS t (id, v);
-- a scale that has left the frame does not stay in the state
SELECT id, cxm.rollup(v) OVER (ORDER BY id ROWS CURRENT ROW) AS alone, cxm.ratings_agg(1, 0, id) OVER (ORDER BY id ROWS CURRENT ROW) AS alone_too
FROM (VALUES (1, '0..2:{1,0,0}'::cxm.ratings), (2, 'empty'), (3, '1..5:{0,0,0,0,1}'), (4, '1..5:{0,0,0,0,0}'), (5, '0..1:{1,1}')) AS t (id, v);
-- nor where rows without a scale keep the frame going
SELECT id, cxm.rollup(v) OVER w AS two, cxm.ratings_agg(score, 0, hi) OVER w AS two_scores, cxm.ratings_agg(score, 0, hi, 3) OVER w AS two_counts
FROM (VALUES (1, '0..2:{1,0,0}'::cxm.ratings, 1, 2), (2, 'empty', NULL, 2), (3, 'empty', NULL, 2), (4, '1..5:{0,0,0,0,1}', 4, 5), (5, NULL, 4, 5)) AS t (id, v, score, hi)
WINDOW w AS (ORDER BY id ROWS 1 PRECEDING) ORDER BY id;
SELECT id, cxm.nps_agg(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) AS neighbours FROM generate_series(1, 4) AS id;
SELECT day, cxm.count(cxm.rollup(r) OVER (ORDER BY day RANGE BETWEEN 6 PRECEDING AND CURRENT ROW)) AS week FROM (SELECT day, cxm.nps_agg(small) AS r FROM ratings_answer WHERE day < 10 GROUP BY day) AS d ORDER BY day;

-- how the aggregates are declared: all of them alike
SELECT count(*), bool_and(aggtranstype = 'cxm.ratings'::regtype AND aggmtranstype = 'cxm.ratings'::regtype AND aggcombinefn = 'cxm.ratings_add'::regproc AND aggminvtransfn <> 0 AND aggserialfn = 0 AND aggtransspace = 128 AND proparallel = 's') AS alike
FROM pg_aggregate AS a JOIN pg_proc AS p ON p.oid = a.aggfnoid WHERE pronamespace = 'cxm'::regnamespace AND aggtranstype = 'cxm.ratings'::regtype;
SELECT count(*), bool_and(provolatile = 'i' AND proisstrict AND proparallel = 's' AND NOT prosecdef) AS alike
FROM pg_proc WHERE prokind = 'f' AND (prosrc LIKE 'cxm\_ratings\_%' OR prosrc LIKE 'cxm\_add\_score\_%' OR prosrc LIKE 'cxm\_remove\_score\_%');
SELECT p.oid::regprocedure AS without_comment FROM pg_proc AS p WHERE pronamespace = 'cxm'::regnamespace AND (prosrc LIKE 'cxm\_ratings\_%' OR prosrc LIKE 'cxm\_%\_score\_%' OR prokind = 'a' AND prorettype IN ('cxm.ratings'::regtype, 'float8'::regtype)) AND obj_description(p.oid, 'pg_proc') IS NULL;

DROP TABLE ratings_answer, ratings_part, ratings_split;
