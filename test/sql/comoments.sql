-- co-moments: what is counted, what is left out, what they read, in parts and in parallel
SET extra_float_digits = 0;

-- a row with a gap is left out, and counted; pairwise each pair has the rows that have both
CREATE TEMP TABLE answer (y double precision, a double precision, b double precision, w double precision);
INSERT INTO answer VALUES (1, 2, 3, 1), (2, 2, 5, 2), (4, NULL, 1, 1), (7, 3, 3, 3), (NULL, 1, 1, 1), (3, 4, NULL, 0), (5, 5, 6, NULL), (6, 1, 2, 0.5);
SELECT s.* FROM cxm.comoments_summary((SELECT cxm.comoments_agg(y, ARRAY[a, b]) FROM answer)) AS s;
SELECT s.* FROM cxm.comoments_summary((SELECT cxm.comoments_agg(y, ARRAY[a, b], 'listwise') FROM answer)) AS s;
SELECT s.* FROM cxm.comoments_summary((SELECT cxm.comoments_agg(y, ARRAY[a, b], 'pairwise') FROM answer)) AS s;
SELECT s.missing, s.rows, s.complete, s.least_n, s.most_n, s.no_weight, s.no_outcome, s.no_drivers, round(s.effective_n::numeric, 6) AS effective_n FROM cxm.comoments_summary((SELECT cxm.comoments_agg(y, ARRAY[a, b], w) FROM answer)) AS s;
SELECT s.missing, s.rows, s.complete, s.least_n, s.most_n, s.no_weight, s.no_outcome, s.no_drivers, round(s.effective_n::numeric, 6) AS effective_n FROM cxm.comoments_summary((SELECT cxm.comoments_agg(y, ARRAY[a, b], w, 'pairwise') FROM answer)) AS s;
SELECT v.variable, v.n, v.missing, round(v.mean::numeric, 10) AS mean, round(v.variance::numeric, 10) AS variance, round(v.stddev::numeric, 10) AS stddev FROM cxm.comoments_variables((SELECT cxm.comoments_agg(y, ARRAY[a, b]) FROM answer)) AS v;
SELECT v.variable, v.n, v.missing, round(v.mean::numeric, 10) AS mean, round(v.variance::numeric, 10) AS variance, round(v.stddev::numeric, 10) AS stddev FROM cxm.comoments_variables((SELECT cxm.comoments_agg(y, ARRAY[a, b], 'pairwise') FROM answer)) AS v;

-- none, one, a whole array missing, before and after others
SELECT cxm.comoments_agg(y, ARRAY[a, b]) AS none FROM answer WHERE false;
SELECT s.* FROM cxm.comoments_summary('empty') AS s;
SELECT count(*) FROM cxm.comoments_variables('empty');
SELECT cxm.correlations('empty') IS NULL AS unknown, cxm.comoments_agg(1, ARRAY[2.0]::double precision[]) AS one, cxm.comoments_agg(NULL, NULL) AS nothing, cxm.comoments_agg(1, NULL, 'pairwise') AS only_outcome;
SELECT v.variable, v.n, v.missing, round(v.mean::numeric, 10) AS mean FROM cxm.comoments_variables((SELECT cxm.comoments_agg(y, x, 'pairwise') FROM (VALUES (1, 1.0, NULL::double precision[]), (2, 2, '{5,NULL}'), (3, 6, NULL), (4, 7, '{7,1}')) AS v(i, y, x))) AS v;
SELECT s.rows, s.complete, s.no_drivers FROM cxm.comoments_summary((SELECT cxm.comoments_agg(y, x) FROM (VALUES (1.0, NULL::double precision[]), (2, '{5,3}'), (6, NULL), (7, '{7,1}')) AS v(y, x))) AS s;
SELECT cxm.comoments_add('empty', 'empty') AS both_empty, cxm.comoments_add('empty', c)::text = c::text AS right_side, cxm.comoments_add(c, 'empty')::text = c::text AS left_side, cxm.comoments_add(NULL, c) IS NULL AS null_stays,
       cxm.comoments_add_row(NULL, 1, '{1,2}') IS NULL AS no_start, cxm.comoments_add_row(c, 9, '{9,9}')::text <> c::text AND (SELECT s.rows FROM cxm.comoments_summary(c) AS s) = 8 AS copied
FROM (SELECT cxm.comoments_agg(y, ARRAY[a, b]) AS c FROM answer) AS s;

-- refused
\set VERBOSITY terse
SELECT cxm.comoments_agg(y, x) FROM (VALUES (1.0, '{1,2}'::double precision[]), (2, '{1,2,3}')) AS v(y, x);
SELECT cxm.comoments_agg(1, '{}');
SELECT cxm.comoments_agg(1, '{{1,2},{3,4}}');
SELECT cxm.comoments_agg(1, array_fill(1::double precision, ARRAY[101]));
SELECT cxm.comoments_agg('NaN', '{1}');
SELECT cxm.comoments_agg(1, '{1,Infinity}');
SELECT cxm.comoments_agg(1, '{1}', -1::double precision);
SELECT cxm.comoments_agg(1, '{1}', 'NaN'::double precision);
SELECT cxm.comoments_agg(y, ARRAY[1.0]) FROM (VALUES (1e200), (-1e200)) AS v(y);
SELECT cxm.comoments_agg(1, '{1}', 'rowwise');
SELECT cxm.comoments_agg(1, '{1}', NULL::text);
SELECT cxm.comoments_agg(1, '{1}', p) FROM unnest(ARRAY['listwise', 'pairwise']) AS p;
SELECT cxm.comoments_add(cxm.comoments_agg(1, '{1}'), cxm.comoments_agg(1, '{1}', 'pairwise')) FROM answer;
SELECT cxm.comoments_add(cxm.comoments_agg(1, '{1}'), cxm.comoments_agg(1, '{1,2}')) FROM answer;
SELECT cxm.correlation(cxm.comoments_agg(1, '{1}'), 0, 2) FROM answer;
SELECT cxm.covariance(cxm.comoments_agg(1, '{1}'), -1, 0) FROM answer;
SELECT cxm.nps_points(11);
SELECT cxm.nps_points(7.5);
\set VERBOSITY default

-- against the built-in aggregates
CREATE TEMP TABLE made AS
SELECT i, 3 * u + v AS y, ARRAY[u, v + u, CASE WHEN i % 7 > 0 THEN w END, 5] AS x, (i % 4)::double precision AS weight, i % 13 AS part
FROM (SELECT i, sin(i * 12.9898) AS u, cos(i * 78.233) AS v, sin(i * i * 0.37) AS w FROM generate_series(1, 5000) AS i) AS s;
CREATE FUNCTION pg_temp.near(a double precision, b double precision, tolerance double precision DEFAULT 1e-12) RETURNS boolean
LANGUAGE sql RETURN (a IS NULL AND b IS NULL) OR abs(a - b) <= tolerance * greatest(1, abs(a), abs(b));
SELECT pg_temp.near(cxm.correlation(c, 0, 1), (SELECT corr(y, x[1]) FROM made)) AS pairwise_corr,
       pg_temp.near(cxm.correlation(c, 2, 3), (SELECT corr(x[2], x[3]) FROM made)) AS with_gaps,
       pg_temp.near(cxm.covariance(c, 3, 0), (SELECT covar_samp(y, x[3]) FROM made)) AS pairwise_covar,
       pg_temp.near(cxm.covariance(c, 3, 3), (SELECT var_samp(x[3]) FROM made)) AS variance,
       cxm.correlation(c, 0, 4) IS NULL AS constant,
       pg_temp.near(cxm.correlation(l, 0, 1), (SELECT corr(y, x[1]) FROM made WHERE x[3] IS NOT NULL)) AS listwise_corr,
       pg_temp.near(cxm.covariance(l, 1, 2), (SELECT covar_samp(x[1], x[2]) FROM made WHERE x[3] IS NOT NULL)) AS listwise_covar
FROM (SELECT cxm.comoments_agg(y, x, 'pairwise') AS c, cxm.comoments_agg(y, x) AS l FROM made) AS s;
SELECT array_dims(m) AS dims, bool_and(m[i][j] IS NOT DISTINCT FROM cxm.correlation(c, i, j)) AS same
FROM (SELECT c, cxm.correlations(c) AS m FROM (SELECT cxm.comoments_agg(y, x) AS c FROM made) AS s) AS t, generate_series(0, 4) AS i, generate_series(0, 4) AS j GROUP BY 1;

-- a weight of n counts as n rows do, and the scale of the weights does not matter
SELECT bool_and(pg_temp.near(cxm.correlation(w, i, j), cxm.correlation(n, i, j)) AND pg_temp.near(cxm.correlation(w, i, j), cxm.correlation(s, i, j)) AND pg_temp.near(cxm.covariance(w, i, j), cxm.covariance(s, i, j))) AS same
FROM (SELECT cxm.comoments_agg(y, x, weight, 'pairwise') AS w, cxm.comoments_agg(y, x, weight * 1e-7, 'pairwise') AS s FROM made) AS a,
     (SELECT cxm.comoments_agg(y, x, 'pairwise') AS n FROM made, generate_series(1, weight::integer)) AS b, generate_series(0, 3) AS i, generate_series(0, 3) AS j;

-- parts in any order, and an offset of a hundred million, give the same
SELECT p.policy, bool_and(pg_temp.near(cxm.correlation(whole, i, j), cxm.correlation(parts, i, j)) AND pg_temp.near(cxm.covariance(whole, i, j), cxm.covariance(backwards, i, j))) AS parts,
       bool_and(pg_temp.near(cxm.correlation(whole, i, j), cxm.correlation(far, i, j), 1e-7)) AS far,
       bool_and(cxm.comoments_summary(whole) = cxm.comoments_summary(parts)) AS counts
FROM unnest(ARRAY['listwise', 'pairwise']) AS p(policy),
     LATERAL (SELECT cxm.comoments_agg(y, x, p.policy) AS whole, cxm.comoments_agg(y + 1e8, ARRAY[x[1] - 1e8, x[2] + 3e8, x[3], x[4]], p.policy) AS far FROM made) AS w,
     LATERAL (SELECT cxm.rollup(c) AS parts, cxm.rollup(c ORDER BY part DESC) AS backwards FROM (SELECT part, cxm.comoments_agg(y, x, p.policy) AS c FROM made GROUP BY part) AS s) AS s,
     generate_series(0, 4) AS i, generate_series(0, 4) AS j
GROUP BY p.policy;

-- what the offset adds to the data is rounding of the data, not of the sums: whole numbers stay exact
SELECT cxm.covariance(c, 0, 0) = cxm.covariance(d, 0, 0) AND cxm.correlation(c, 0, 1) = cxm.correlation(d, 0, 1) AS exact
FROM (SELECT cxm.comoments_agg(i, ARRAY[i % 7]) AS c, cxm.comoments_agg(i + 1e12, ARRAY[i % 7 - 1e12]) AS d FROM generate_series(1, 1024) AS i) AS s;

-- windows leave the value of a frame alone, groups do not share
SELECT i, (SELECT v.mean FROM cxm.comoments_variables(c) AS v WHERE v.variable = 0) AS mean, (SELECT s.rows FROM cxm.comoments_summary(c) AS s) AS rows
FROM (SELECT i, cxm.comoments_agg(i, ARRAY[i]) OVER (ORDER BY i ROWS 2 PRECEDING) AS c FROM generate_series(1, 5) AS i) AS s;
SELECT g, (SELECT v.mean FROM cxm.comoments_variables(c) AS v WHERE v.variable = 1) AS mean FROM (SELECT i % 3 AS g, cxm.comoments_agg(i, ARRAY[i % 3]) AS c FROM generate_series(1, 90) AS i GROUP BY GROUPING SETS ((i % 3), ())) AS s ORDER BY g;

-- a parallel plan really runs partial aggregates, and gives the same
CREATE TABLE parallel_made AS SELECT * FROM made;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
DO $$
DECLARE
    plan text := '';
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) SELECT cxm.correlations(cxm.comoments_agg(y, x, ''pairwise'')) FROM parallel_made' LOOP
        plan := plan || line;
    END LOOP;
    ASSERT plan LIKE '%Partial Aggregate%', plan;
END $$;
SELECT bool_and(pg_temp.near(cxm.correlation(c, i, j), cxm.correlation(d, i, j))) AS same FROM (SELECT cxm.comoments_agg(y, x, 'pairwise') AS c FROM parallel_made) AS p, (SELECT cxm.comoments_agg(y, x, 'pairwise') AS d FROM made) AS s, generate_series(0, 4) AS i, generate_series(0, 4) AS j;
RESET max_parallel_workers_per_gather;
DROP TABLE parallel_made;

-- what an answer adds to the NPS
SELECT s, cxm.nps_points(s) FROM generate_series(0, 10) AS s;
SELECT avg(cxm.nps_points(s)) = cxm.nps(s) AS mean_is_nps FROM unnest(ARRAY[0, 6, 7, 8, 9, 10, 10, 3, 9]) AS s;
