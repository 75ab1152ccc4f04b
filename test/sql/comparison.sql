-- Many comparisons at once, and the answers that one needs.
\set SHOW_CONTEXT never
\pset null '(null)'
SET extra_float_digits = 0;

-- p.adjust() of R 4.2.2
SELECT m AS method, cxm.adjust_p_values('{.01,.02,.03,.04,.05,.001,.8}', m) FROM unnest(ARRAY['holm', 'hochberg', 'bonferroni', 'benjamini_hochberg', 'benjamini_yekutieli']) AS m;
SELECT cxm.adjust_p_values('{.01,NULL,.02}'), cxm.adjust_p_values('{}'), cxm.adjust_p_values('{NULL}'), cxm.adjust_p_values('{0,1}'), cxm.adjust_p_values('{.2}', 'benjamini_hochberg'), cxm.adjust_p_values(NULL);
SELECT cxm.adjust_p_values('{{.01,.02},{.03,.04}}');

-- against the definitions, over random p-values with ties
SELECT bool_and(abs(a.holm - a.holm_by_definition) < 1e-12) AS holm, bool_and(abs(a.bh - a.bh_by_definition) < 1e-12) AS bh, count(*)
FROM (
    SELECT r.set, r.i, (cxm.adjust_p_values(r.ps))[r.i] AS holm, (cxm.adjust_p_values(r.ps, 'benjamini_hochberg'))[r.i] AS bh,
           -- the largest of (number of those not smaller) x p among those that are not larger
           (SELECT least(1, max(q.p * (SELECT count(*) FROM unnest(r.ps) WITH ORDINALITY AS o(p, j) WHERE (o.p, o.j) >= (q.p, q.j)))) FROM unnest(r.ps) WITH ORDINALITY AS q(p, j) WHERE q.p <= r.p) AS holm_by_definition,
           (SELECT min(least(1, q.p * cardinality(r.ps) / (SELECT count(*) FROM unnest(r.ps) AS o WHERE o <= q.p))) FROM unnest(r.ps) AS q(p) WHERE q.p >= r.p) AS bh_by_definition
    FROM (SELECT s.set, s.ps, u.p, u.i
          FROM (SELECT n AS set, ARRAY(SELECT (abs(hashint8(n * 1000 + k)) % 40) / 100.0::float8 FROM generate_series(1, 1 + n % 9) AS k) AS ps FROM generate_series(1, 200) AS n) AS s,
               unnest(s.ps) WITH ORDINALITY AS u(p, i)) AS r
) AS a;

-- every two of several stores
SELECT array_agg(store ORDER BY store) AS names, array_agg(r::text ORDER BY store)::cxm.ratings[] AS ratings
FROM (VALUES ('a', '0..10:{20,0,0,0,0,0,0,0,30,0,50}'::cxm.ratings), ('b', '0..10:{40,0,0,0,0,0,0,0,30,0,30}'), ('c', '0..10:{22,0,0,0,0,0,0,0,30,0,48}'), ('d', '0..10:{0,0,0,0,0,0,0,0,0,0,0}')) AS s(store, r) \gset
SELECT name_a, name_b, nps_a, nps_b, round(difference::numeric, 4) AS difference, round(p_value::numeric, 6) AS p, round(adjusted_p_value::numeric, 6) AS adjusted, is_different FROM cxm.compare_nps(:'names', :'ratings');
-- each pair is what nps_test() says, and the numbers are adjusted for three tests, for that with an empty group is none
SELECT bool_and(c.p_value IS NOT DISTINCT FROM t.p_value AND c.lower IS NOT DISTINCT FROM t.lower) AS same
FROM cxm.compare_nps(:'names', :'ratings', 'bonferroni', 0.9, 'wald') AS c,
     LATERAL cxm.nps_test((:'ratings'::cxm.ratings[])[array_position(:'names'::text[], c.name_a)], (:'ratings'::cxm.ratings[])[array_position(:'names'::text[], c.name_b)], 'wald', 0.9) AS t;
SELECT bool_and(adjusted_p_value IS NOT DISTINCT FROM CASE WHEN p_value IS NOT NULL THEN least(1, 3 * p_value) END) AS three FROM cxm.compare_nps(:'names', :'ratings', 'bonferroni');
SELECT count(*) FROM cxm.compare_nps('{a}', ARRAY['0..10:{20,0,0,0,0,0,0,0,30,0,50}'::cxm.ratings]);
SELECT count(*) FROM cxm.compare_nps('{}', '{}');
SELECT * FROM cxm.compare_nps('{a,b}', ARRAY['empty'::cxm.ratings]);
SELECT * FROM cxm.compare_nps('{a,b}', '{empty,empty}', 'none');
SELECT * FROM cxm.compare_nps('{a,b}', '{"0..10:{0,0,0,0,0,0,0,0,30,0,50}","0..10:{1,0,0,0,0,0,0,0,30,0,50}"}', 'holm', 2);

-- sample size, power and difference agree with each other
SELECT cxm.nps_sample_size(10), cxm.nps_sample_size(-10), cxm.nps_sample_size(10, 0.5, 0.5), cxm.nps_sample_size(5, 0.3, 0.1, 0.9, 0.99), cxm.nps_sample_size(200, 0.5, 0.5);
SELECT round(cxm.nps_power(1000, 1000, 10)::numeric, 6), round(cxm.nps_power(50, 5000, 10)::numeric, 6), round(cxm.nps_power(10, 10, 0.001)::numeric, 4) AS alpha;
SELECT round(cxm.nps_detectable_difference(1000, 1000)::numeric, 6), round(cxm.nps_detectable_difference(1, 1)::numeric, 2);
SELECT bool_and(cxm.nps_power(n, n, d, p, q) >= 0.8 - 1e-9) AS enough, bool_and(n = 1 OR cxm.nps_detectable_difference(n - 1, n - 1, p, q) > d) AS no_more
FROM (SELECT d, p, q, cxm.nps_sample_size(d, p, q) AS n FROM unnest(ARRAY[1, 3.5, 10, 50]) AS d, unnest(ARRAY[.2, .5]) AS p, unnest(ARRAY[.1, .4]) AS q) AS s;
SELECT cxm.nps_sample_size(0);
SELECT cxm.nps_sample_size('NaN');
SELECT cxm.nps_sample_size(1e-12);
SELECT cxm.nps_sample_size(10, 0.9, 0.2);
SELECT cxm.nps_sample_size(10, 0, 0);
SELECT cxm.nps_sample_size(10, power => 1);
SELECT cxm.nps_power(0, 10, 10);
SELECT cxm.nps_power(10, 10, 10, confidence => 0);
SELECT cxm.adjust_p_values('{1.1}');
SELECT cxm.adjust_p_values('{NaN}');
SELECT cxm.adjust_p_values('{.1}', 'fdr');
