-- Weighted ratings: text, binary, aggregates, and what R's survey package makes of the same answers.
\set SHOW_CONTEXT never
\set VERBOSITY terse
\pset null '(null)'
SET extra_float_digits = 0;

-- svymean() of R 4.2.2, survey 4.1: nps -10.2040816327, 32.8667942945 (-74.6218147372 to 54.2136514719);
-- mean 5.53061224490, 1.71821159459 (2.16297940169 to 8.89824508811); share of 9 and 10 32.6530612245, 16.7967202745
CREATE TEMPORARY TABLE answer AS
SELECT * FROM unnest(ARRAY[10,9,8,7,6,0,3,10,9,2], ARRAY[1.5,.5,2,1,.25,3,1,.75,1.25,1]::float8[]) AS a(score, weight);
SELECT cxm.weighted_nps_agg(score, weight) AS r FROM answer \gset
SELECT :'r';
SELECT round(nps::numeric, 9) AS nps, round(standard_error::numeric, 9) AS se, round(lower::numeric, 9) AS lower, round(upper::numeric, 9) AS upper FROM cxm.weighted_nps(:'r');
SELECT round(mean::numeric, 9) AS mean, round(standard_error::numeric, 9) AS se, round(lower::numeric, 9) AS lower, round(upper::numeric, 9) AS upper FROM cxm.weighted_mean(:'r');
SELECT round(csat::numeric, 9) AS csat, round(standard_error::numeric, 9) AS se FROM cxm.weighted_csat(:'r');
SELECT round(cxm.effective_n(:'r')::numeric, 9) AS effective_n, round(cxm.design_effect(:'r')::numeric, 9) AS design_effect, cxm.count(:'r'::cxm.weighted_ratings), cxm.total_weight(:'r');
-- equal weights: the plain figures, whatever the weight is; the standard error is that of a sample, n - 1
SELECT n.nps, cxm.nps(cxm.nps_agg(score)) AS plain, round(n.standard_error::numeric, 9) AS se,
       round((100 * stddev_samp((score >= 9)::integer - (score <= 6)::integer) / sqrt(count(*)))::numeric, 9) AS by_hand
FROM answer, LATERAL (SELECT (cxm.weighted_nps(cxm.weighted_nps_agg(a.score, 0.1))).* FROM answer AS a) AS n GROUP BY n.nps, n.standard_error;
SELECT round(m.mean::numeric, 9) AS mean, m.lower > 1 AS inside FROM cxm.weighted_mean((SELECT cxm.weighted_ratings_agg(x, x, 1, 5) FROM generate_series(1, 5) AS x)) AS m;
SELECT * FROM cxm.weighted_csat('1..2:2:{1,1}:{1,1}', 0.95, 2) WHERE csat = 50;
SELECT * FROM cxm.weighted_csat('1..2:2:{1,1}:{1,1}');

-- nothing, one, no weight
SELECT * FROM cxm.weighted_nps('empty');
SELECT cxm.weighted_nps_agg(score, weight), cxm.weighted_ratings_agg(score, weight, 1, 5), cxm.rollup(NULL::cxm.weighted_ratings) FROM answer WHERE false;
SELECT * FROM cxm.weighted_nps((SELECT cxm.weighted_nps_agg(10, 2)));
SELECT n.*, cxm.effective_n(r), cxm.design_effect(r), cxm.count(r) FROM (SELECT cxm.weighted_nps_agg(10, 0) AS r FROM answer) AS z, cxm.weighted_nps(z.r) AS n;
SELECT cxm.weighted_nps_agg(NULL, 1), cxm.weighted_nps_agg(1, NULL);
SELECT cxm.weighted_nps(NULL), cxm.weighted_csat(NULL), cxm.weighted_mean(NULL);

-- parts add up to the whole, in any order and in parallel
SELECT cxm.rollup(r)::text = :'r' AS same FROM (SELECT cxm.weighted_nps_agg(score, weight) AS r FROM answer GROUP BY score % 3) AS part;
SELECT (a.r OPERATOR(cxm.+) b.r)::text = (b.r OPERATOR(cxm.+) a.r)::text AS commutes, ('empty'::cxm.weighted_ratings OPERATOR(cxm.+) a.r)::text = a.r::text AS neutral
FROM (SELECT cxm.weighted_nps_agg(score, weight) AS r FROM answer WHERE score > 5) AS a, (SELECT cxm.weighted_nps_agg(score, weight) AS r FROM answer WHERE score <= 5) AS b;
CREATE TABLE public.many AS SELECT (i * 7919 % 11)::integer AS score, (1 + i % 4)::float8 AS weight FROM generate_series(1, 20000) AS i;
ANALYZE public.many;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
CREATE FUNCTION pg_temp.is_parallel(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE v_plan json; BEGIN EXECUTE 'EXPLAIN (FORMAT JSON, COSTS OFF) ' || query INTO v_plan; RETURN v_plan::text LIKE '%"Partial Mode": "Partial"%'; END $$;
SELECT pg_temp.is_parallel('SELECT cxm.weighted_nps(cxm.weighted_nps_agg(score, weight)) FROM public.many');
SELECT cxm.weighted_nps_agg(score, weight) FROM public.many;
SET max_parallel_workers_per_gather = 0;
SELECT cxm.weighted_nps_agg(score, weight) FROM public.many;
DROP TABLE public.many;

-- text and binary
SELECT ('  1..3' || ':2:{0,1.5,2}:{0,2.25,4}')::cxm.weighted_ratings;
SELECT '-2..2:3:{0.1,0,1e-300,0,1e10}:{0.01,0,0,0,1e20}'::cxm.weighted_ratings;
SELECT cxm.weighted_ratings_in(cxm.weighted_ratings_out(cxm.weighted_nps_agg(score, weight / 3)))::text = cxm.weighted_nps_agg(score, weight / 3)::text AS same FROM answer;
SELECT v::cxm.weighted_ratings FROM unnest(ARRAY['']) AS v;
SELECT '1..3'::cxm.weighted_ratings;
SELECT '1..3:2:{0,1.5}:{0,2.25}'::cxm.weighted_ratings;
SELECT '1..3:2:{0,1.5,2}:{0,2.25,4} '::cxm.weighted_ratings;
SELECT '1..3:2:{0,nan,2}:{0,2.25,4}'::cxm.weighted_ratings;
SELECT '1..3:2:{0,-1,2}:{0,2.25,4}'::cxm.weighted_ratings;
SELECT '1..3:2:{0,0x1,2}:{0,1,4}'::cxm.weighted_ratings;
SELECT '1..3:2:{0,1e999,2}:{0,1,4}'::cxm.weighted_ratings;
SELECT '1..3:2:{0,1,2}:{0,1.1,4}'::cxm.weighted_ratings;
SELECT '1..3:0:{0,1,2}:{0,1,4}'::cxm.weighted_ratings;
SELECT '1..3:-1:{0,0,0}:{0,0,0}'::cxm.weighted_ratings;
SELECT '1..1:1:{1}:{1}'::cxm.weighted_ratings;
SELECT '0..11:1:{1}:{1}'::cxm.weighted_ratings;
SELECT '120..130:1:{1}:{1}'::cxm.weighted_ratings;
SELECT '99999999999999999999..3:1:{1}:{1}'::cxm.weighted_ratings;
-- refused
SELECT cxm.weighted_nps_agg(11, 1);
SELECT cxm.weighted_nps_agg(-1, 1);
SELECT cxm.weighted_nps_agg(1, -1);
SELECT cxm.weighted_nps_agg(1, 'NaN');
SELECT cxm.weighted_nps_agg(1, 'Infinity');
SELECT cxm.weighted_ratings_agg(1, 1, 5, 1);
SELECT cxm.weighted_ratings_agg(1, 1, 1, 20);
SELECT cxm.weighted_ratings_agg(x, 1, 1, x) FROM generate_series(3, 4) AS x;
SELECT cxm.add_weighted_score('empty'::cxm.weighted_ratings, 1, 1.0);
SELECT '1..3:0:{0,0,0}:{0,0,0}'::cxm.weighted_ratings OPERATOR(cxm.+) '1..4:0:{0,0,0,0}:{0,0,0,0}'::cxm.weighted_ratings;
SELECT cxm.weighted_nps(:'r', 1);
SELECT cxm.weighted_nps(:'r', 'NaN');
SELECT cxm.weighted_nps(:'r', 0.9, 9, 7);
SELECT cxm.weighted_nps(:'r', 0.9, 0, 7);
SELECT cxm.weighted_nps('1..5:0:{0,0,0,0,0}:{0,0,0,0,0}');
SELECT cxm.weighted_csat(:'r', 0.9, 11);
