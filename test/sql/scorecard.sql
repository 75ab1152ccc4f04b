-- Intervals and tests of means, medians and counts against R, and what they refuse
SET extra_float_digits = 0;

-- t.test(a, b)$p.value of samples with these moments: 2 * pt(-abs(t), df) with Welch's df
SELECT round(cxm.mean_test(10, 4, 12, 11.5, 9, 20)::numeric, 12) = 0.100625575555 AS welch,
       round(cxm.mean_test(10, 4, 200000, 10.01, 9, 200000)::numeric, 12) = 0.214847782582 AS many,
       round(cxm.mean_test(0, 1, 2, 100, 1, 2)::numeric, 12) = round(cxm.mean_test(100, 1, 2, 0, 1, 2)::numeric, 12) AS both_ways;
-- t.test(a, b, paired = TRUE): 2 * pt(-1.5 / sqrt((4 + 9 - 2 * 3.1) / 12), 11) = 0.0717028601117403
SELECT round(cxm.mean_test(10, 4, 12, 11.5, 9, 12, 12, 3.1)::numeric, 12) = 0.071702860112 AS paired;
-- three of four shared, by hand: Var = 2/4 + 3/5 - 2 * 3 * 1.2 / 20, df = 2 + (w - 2) / 9 * 3 with Welch's w; 2 * pt(-1 / sqrt(0.74), 3.660256410256411) = 0.315188684868336
SELECT round(cxm.mean_test(5, 2, 4, 6, 3, 5, 3, 1.2)::numeric, 6) AS some_shared;
SELECT cxm.mean_test(1, 1, 1, 2, 1, 5) IS NULL AS one_alone, cxm.mean_test(1, 0, 5, 2, 0, 5) IS NULL AS nothing_varies, cxm.mean_test(1, 1, 5, 2, 1, 5, 1, 0) IS NULL AS one_shared, cxm.mean_test(NULL, 1, 5, 2, 1, 5) IS NULL AS nothing;
SELECT cxm.mean_test(1, -1, 5, 2, 1, 5);
SELECT cxm.mean_test('NaN', 1, 5, 2, 1, 5);
SELECT cxm.mean_test(1, 1, -5, 2, 1, 5);
SELECT cxm.mean_test(1, 1, 5, 2, 1, 5, 6, 0);
SELECT cxm.mean_test(1, 1, 5, 2, 1, 5, 3, 'Infinity');

-- wilcox.test(c(1,2,2,3,5,8), c(2,3,3,9,10,11,4), exact = FALSE)$p.value = 0.169967907602276
-- wilcox.test(c(0.1,0.5,0.9), c(1.5,2.5,3.5,0.5), exact = FALSE)$p.value = 0.153576396549984
SELECT round(cxm.rank_sum_test('{1,2,2,3,5,8}', '{2,3,3,9,10,11,4}')::numeric, 12) = 0.169967907602 AS ties,
       round(cxm.rank_sum_test('{0.1,0.5,0.9}', '{1.5,2.5,3.5,0.5}')::numeric, 12) AS small,
       cxm.rank_sum_test('{1,2,3}', '{3,2,1}') AS alike;
-- wilcox.test((1:300 * 37) %% 101, (1:400 * 41) %% 97 + 5, exact = FALSE)$p.value = 0.207105941975165
SELECT round(cxm.rank_sum_test(ARRAY(SELECT i * 37 % 101 FROM generate_series(1, 300) AS i), ARRAY(SELECT i * 41 % 97 + 5 FROM generate_series(1, 400) AS i))::numeric, 12) AS large;
SELECT cxm.rank_sum_test('{}', '{1}') IS NULL AS none, cxm.rank_sum_test('{2,2}', '{2}') IS NULL AS all_the_same, cxm.rank_sum_test('{-Infinity,1}', '{Infinity,2}') < 1 AS infinite;
SELECT cxm.rank_sum_test('{1,NULL}', '{1}');
SELECT cxm.rank_sum_test('{1}', '{NaN}');

-- qbinom(0.025, n, 0.5) is the rank of the lower end: 0 for 5, 1 for 6, 6 for 21, 40 for 100; qbinom(0.005, 1000, 0.5) = 459
SELECT n, conf, i.lower, n + 1 - i.upper AS from_above
FROM (VALUES (5, 0.95), (6, 0.95), (21, 0.95), (100, 0.95), (1000, 0.99)) AS v(n, conf) CROSS JOIN LATERAL cxm.median_interval(ARRAY(SELECT k FROM generate_series(1, n) AS k ORDER BY k * 7919 % 1000003), conf) AS i
ORDER BY n;
SELECT cxm.median_interval('{}');
SELECT cxm.median_interval('{1,NULL}');
SELECT cxm.median_interval('{1,NaN}');
SELECT cxm.median_interval('{1,2}', 1);

-- poisson.test(x)$conf.int
SELECT x, round(i.lower::numeric, 9) AS lower, round(i.upper::numeric, 9) AS upper FROM unnest('{0,1,7,100,5000}'::bigint[]) AS x, cxm.poisson_interval(x) AS i;
-- poisson.test(999999)$conf.int = 998039.984320276 1001960.910965450; from a million on by the expansion, to nine digits
SELECT x, round(i.lower::numeric, 2) AS lower, round(i.upper::numeric, 2) AS upper FROM unnest('{999999,1000001}'::bigint[]) AS x, cxm.poisson_interval(x) AS i;
SELECT round(i.lower::numeric, 9) AS lower, round(i.upper::numeric, 9) AS upper FROM cxm.poisson_interval(9007199254740992, 0.5) AS i;
SELECT cxm.poisson_interval(-1);
SELECT cxm.poisson_interval(1, 0);
SELECT cxm.poisson_interval(9007199254740993);

-- poisson.test(c(5, 12), c(10, 11))$p.value, c(0, 9) and c(1, 2), c(500, 550) and c(1, 1.2)
SELECT round(cxm.poisson_test(5, 10, 12, 11)::numeric, 12) = 0.151156363485 AS few, round(cxm.poisson_test(12, 11, 5, 10)::numeric, 12) = 0.151156363485 AS other_way,
       round(cxm.poisson_test(0, 1, 9, 2)::numeric, 12) = 0.034293552812 AS none, round(cxm.poisson_test(500, 1, 550, 1.2)::numeric, 11) = 0.16318557393 AS many,
       cxm.poisson_test(3, 1, 3, 1) AS alike, cxm.poisson_test(0, 1, 0, 5) AS nothing;
SELECT cxm.poisson_test(1, 0, 1, 1);
SELECT cxm.poisson_test(1, 'NaN', 1, 1);
SELECT cxm.poisson_test(-1, 1, 1, 1);

-- prop.test(c(50, 40), c(70, 72), correct = FALSE)$p.value; t.test(rep(1:5, c(10,5,5,20,30)), rep(1:5, c(12,15,5,20,20)))$p.value
SELECT round(cxm.score_test('csat', cxm.ratings(1, '{10,5,5,20,30}'), cxm.ratings(1, '{12,15,5,20,20}'))::numeric, 12) = 0.049658955976 AS csat,
       round(cxm.score_test('rating', cxm.ratings(1, '{10,5,5,20,30}'), cxm.ratings(1, '{12,15,5,20,20}'))::numeric, 12) = 0.045689855474 AS mean,
       cxm.score_test('nps', a.r, b.r) = (cxm.nps_test(a.r, b.r)).p_value AS nps, cxm.score_test('csat', cxm.ratings(0, '{3,9}'), cxm.ratings(0, '{8,4}')) = (cxm.proportion_test('{9,4}', '{12,12}')).p_value AS two_points
FROM (SELECT cxm.ratings(0, '{1,0,2,0,3,0,4,5,6,7,8}') AS r) AS a, (SELECT cxm.ratings(0, '{4,0,2,0,3,0,4,1,6,7,3}') AS r) AS b;
SELECT cxm.score_test('rating', cxm.ratings(1, '{1,0}'), cxm.ratings(1, '{1,5}')) IS NULL AS one, cxm.score_test('csat', cxm.ratings(1, '{0,0}'), cxm.ratings(1, '{1,5}')) IS NULL AS none;

-- windows that a customer counts in: {last period of the window, 2 * kind + whether it ends}
SELECT cxm.scorecard_steps('{81,81,97}', 1);
SELECT cxm.scorecard_steps('{81,97}', 2, '{2026-01-02,2026-01-01}', '{a,b}');
SELECT cxm.scorecard_steps('{81,97}', 2, '{2026-01-02,2026-01-02}', '{b,a}');
SELECT cxm.scorecard_steps('{NULL,-6}', 1, '{2026-01-02,2026-01-02}', '{b,NULL}');
SELECT cxm.scorecard_steps('{}', 1), cxm.scorecard_steps(NULL, 1) IS NULL;
SELECT cxm.scorecard_steps('{{1,9},{17,25}}', 9);
SELECT cxm.scorecard_steps('{1}', 0);
SELECT cxm.scorecard_steps('{1}', NULL);
SELECT cxm.scorecard_steps('{1,2}', 1, '{2026-01-02}', '{a,b}');
SELECT cxm.scorecard_steps('{1}', 1, '{2026-01-02}', '{a,b}');
SELECT cxm.scorecard_steps('{1}', 1, '{NULL}', '{a}');
SELECT cxm.scorecard_steps('{9223372036854775807}', 1);
SELECT cxm.scorecard_steps('{1}', 2147483647);
