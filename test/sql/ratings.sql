-- ratings: what the accessors read, checked against published figures

-- state and message of the error that a query raises
CREATE FUNCTION pg_temp.fails(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    message text;
BEGIN
    EXECUTE query;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, message = MESSAGE_TEXT;
    RETURN SQLSTATE || ': ' || message || coalesce(' -- ' || nullif(hint, ''), '');
END $$;

-- who is what: a 6 is a detractor
SELECT s AS score, cxm.detractors(r), cxm.passives(r), cxm.promoters(r), cxm.nps(r)
FROM (SELECT s, cxm.nps_agg(s) AS r FROM generate_series(0, 10) AS s GROUP BY s) AS one
ORDER BY s;

-- R package NPS, its own example: 1/3, variance 5/9, standard error .3042903
SELECT cxm.nps(v), cxm.nps(cxm.nps_agg(v)) = cxm.nps(v) AS same,
       round(cxm.nps_variance(cxm.nps_agg(v))::numeric / 10000, 7) AS variance,
       round(cxm.nps_se(cxm.nps_agg(v))::numeric / 100, 7) AS se
FROM unnest(ARRAY[0, 7, 7, 9, 9, 9]) AS v;

-- R package NPS: score, variance, standard error and three intervals (fractions there, percent here)
CREATE TEMP TABLE reference (d bigint, p bigint, pr bigint, nps float8, variance float8, se float8,
    wald_lower float8, wald_upper float8, adjusted_lower float8, adjusted_upper float8, score_lower float8, score_upper float8);
INSERT INTO reference VALUES
(10, 20, 70, .60, .44, .0663325, .4699907, .7300093, .4526976, .7123509, .4521665, .7127679),
(1, 2, 3, .3333333, .5555556, .3042903, -.2630647, .9297314, -.2674326, .7118770, -.3110737, .7539567),
(2, 11, 18, .516129, .3787721, .1105371, .2994803, .7327778, .2551233, .6860531, .2609191, .6991590),
(150, 100, 250, .20, .76, .03898718, .1235865, .2764135, .1226878, .2749265, .1224613, .2748862),
(0, 5, 5, .50, .25, .1581139, .1901025, .8098975, .0620695, .7071613, .0837011, .7634069),
(30, 30, 30, 0, .6666667, .0860663, -.1686868, .1686868, -.1652733, .1652733, -.1668802, .1668802),
-- SFO airport passenger survey 2017, 2746 answers
(342, 968, 1436, .3983976693, NULL, NULL, .3722490620, .4245462767, .3718236072, .4241021840, .3718941745, .4241884599);

CREATE TEMP TABLE computed AS
SELECT ref.*, (SELECT cxm.nps_agg(score, n) FROM (VALUES (6, d), (8, p), (9, pr)) AS v (score, n)) AS r
FROM reference AS ref;

SELECT d, p, pr, round(cxm.nps(r)::numeric, 5) AS nps,
       round(w.lower::numeric, 5) AS wald_lower, round(w.upper::numeric, 5) AS wald_upper,
       round(a.lower::numeric, 5) AS adjusted_lower, round(a.upper::numeric, 5) AS adjusted_upper,
       round(s.lower::numeric, 5) AS score_lower, round(s.upper::numeric, 5) AS score_upper
FROM computed, cxm.nps_interval(r, 0.95, 'wald') AS w, cxm.nps_interval(r) AS a, cxm.nps_interval(r, method => 'score') AS s
ORDER BY cxm.count(r), d;

-- nothing may differ from the reference by more than its last digit; R's iteration for the score interval stops
-- within 4e-7 of the solution (here it runs to the last bit: test/unit/ratings_core_test.c checks the equation)
SELECT d, p, pr, name, ours, theirs
FROM computed, cxm.nps_interval(r, 0.95, 'wald') AS w, cxm.nps_interval(r) AS a, cxm.nps_interval(r, method => 'score') AS s,
LATERAL (VALUES ('nps', cxm.nps(r) / 100, nps), ('variance', cxm.nps_variance(r) / 10000, variance), ('se', cxm.nps_se(r) / 100, se),
    ('wald lower', w.lower / 100, wald_lower), ('wald upper', w.upper / 100, wald_upper),
    ('adjusted lower', a.lower / 100, adjusted_lower), ('adjusted upper', a.upper / 100, adjusted_upper),
    ('score lower', s.lower / 100, score_lower), ('score upper', s.upper / 100, score_upper)) AS v (name, ours, theirs)
WHERE abs(ours - theirs) > CASE WHEN name LIKE 'score%' THEN 0.0000004 ELSE 0.00000006 END OR ours IS NULL;
SELECT count(*) AS published_figures FROM computed, LATERAL (VALUES (nps), (variance), (se), (wald_lower), (wald_upper),
    (adjusted_lower), (adjusted_upper), (score_lower), (score_upper)) AS v (x) WHERE x IS NOT NULL;
-- the SFO figures have ten digits
SELECT bool_and(abs(ours - theirs) < 0.00000000006) FILTER (WHERE NOT iterative) AS ten_digits, bool_and(abs(ours - theirs) < 0.0000001) AS seven_digits, count(*)
FROM computed, cxm.nps_interval(r, 0.95, 'wald') AS w, cxm.nps_interval(r) AS a, cxm.nps_interval(r, method => 'score') AS s,
LATERAL (VALUES (cxm.nps(r) / 100, nps, false), (w.lower / 100, wald_lower, false), (w.upper / 100, wald_upper, false), (a.lower / 100, adjusted_lower, false),
    (a.upper / 100, adjusted_upper, false), (s.lower / 100, score_lower, true), (s.upper / 100, score_upper, true)) AS v (ours, theirs, iterative)
WHERE d = 342;

-- two samples (10, 20, 70) and (20, 20, 60), Wald and adjusted Wald
SELECT method, round(difference::numeric, 5) AS difference, round(standard_error::numeric, 5) AS standard_error,
       round(z::numeric, 5) AS z, round(p_value::numeric, 7) AS p_value, round(lower::numeric, 5) AS lower, round(upper::numeric, 5) AS upper
FROM (VALUES ('wald'), ('adjusted_wald')) AS m (method),
     cxm.nps_test(cxm.ratings(0, '{10,0,0,0,0,0,0,20,0,70,0}'), cxm.ratings(0, '{0,0,0,0,0,0,20,0,20,0,60}'), method);
-- R package NPS: .2 .103923 .0542918 -.0036854 .4036854 and .1941748 .1029834 .0593629 -.0076690 .3960185
SELECT t = cxm.nps_test(a, b, 'adjusted_wald', 0.95) AS default_is_adjusted, t.difference = -u.difference AND t.lower = -u.upper AND t.p_value = u.p_value AS swapped
FROM (SELECT cxm.ratings(0, '{1,0,0,0,0,0,0,0,0,0,3}') AS a, cxm.ratings(0, '{1,0,0,0,0,0,0,0,0,0,4}') AS b) AS ab, cxm.nps_test(a, b) AS t, cxm.nps_test(b, a) AS u;
SELECT * FROM cxm.nps_test(cxm.ratings(0, '{0,0,0,0,0,0,0,0,0,0,3}'), cxm.ratings(0, '{0,0,0,0,0,0,0,0,0,0,5}'), 'wald');
SELECT * FROM cxm.nps_test(cxm.ratings(0, '{0,0,0,0,0,0,0,0,0,0,3}'), 'empty');
SELECT pg_temp.fails($$SELECT cxm.nps_test('empty', 'empty', 'score')$$);

-- Wilson, 45 of 50: .78639769 .95652424 (R); none and all of 10: the far end is z^2 / (10 + z^2) = .2775328 away; no answers
SELECT r, cxm.csat(r), round(lower::numeric, 6) AS lower, round(upper::numeric, 6) AS upper
FROM (VALUES (1, cxm.ratings(1, '{1,1,3,40,5}')), (2, cxm.ratings(1, '{10,0,0,0,0}')), (3, cxm.ratings(1, '{0,0,0,0,10}')), (4, cxm.ratings(1, '{0,0,0,0,0}'))) AS v (i, r),
     cxm.csat_interval(r) ORDER BY i;
SELECT cxm.csat(r, 5), cxm.csat(r, 3), cxm.csat_interval(r, 0.9, 4) = cxm.csat_interval(r, 0.9) AS same FROM (SELECT cxm.ratings(1, '{1,1,3,40,5}') AS r) AS one;
-- a scale of two points has no two top boxes unless told
SELECT cxm.csat('0..1:{5,45}', 1), round((cxm.csat_interval('0..1:{5,45}', 0.95, 1)).lower::numeric, 6) AS lower, pg_temp.fails($$SELECT cxm.csat('0..1:{5,45}'::cxm.ratings)$$);
-- the two top boxes of any scale
SELECT cxm.csat('0..10:{1,0,0,0,0,0,0,0,1,1,1}'::cxm.ratings), cxm.csat('-5..5:{1,0,0,0,0,0,0,0,0,1,2}'::cxm.ratings), cxm.csat('1..7:{0,0,0,0,1,1,2}'::cxm.ratings);

-- CES and the mean, Student's interval: mean 4.375, variance 5.125, t of 7 degrees of freedom 2.3646243
SELECT cxm.ces(r), cxm.mean(r), round(lower::numeric, 6) AS lower, round(upper::numeric, 6) AS upper
FROM (SELECT cxm.ces_agg(v) AS r FROM unnest(ARRAY[1, 2, 3, 4, 5, 6, 7, 7]) AS v) AS s, cxm.mean_interval(r);
SELECT * FROM (VALUES ('1..7:{0,0,0,0,0,0,1}'::cxm.ratings), ('1..7:{0,0,0,0,0,0,2}'), ('1..7:{0,0,0,0,0,0,0}'), ('empty')) AS v (r), cxm.mean_interval(r);
-- the table of Student's t, 97.5 %: 12.7062 3.1824 2.2010 1.9623, and 1.9600 of the normal distribution
SELECT n - 1 AS df, round(((upper - lower) / 2 / (cxm.stddev(r) / sqrt(n)))::numeric, 7) AS t
FROM unnest(ARRAY[2, 4, 12, 1002, 2000000000]) AS n, LATERAL (SELECT cxm.ratings(0, ARRAY[n / 2, n / 2]) AS r) AS s, cxm.mean_interval(r);

-- no answers: NULL, not 0; counts are 0
SELECT r, cxm.count(r), cxm.nps(r), cxm.nps_se(r), cxm.nps_variance(r), cxm.mean(r), cxm.stddev(r), cxm.variance(r), cxm.median(r), cxm.percentile(r, 0.5), cxm.csat(r), cxm.ces(r)
FROM (VALUES ('0..10:{0,0,0,0,0,0,0,0,0,0,0}'::cxm.ratings), ('empty')) AS v (r);
SELECT r, cxm.promoters(r), cxm.passives(r), cxm.detractors(r), cxm.promoter_share(r), cxm.passive_share(r), cxm.detractor_share(r), cxm.nps_interval(r), cxm.csat_interval(r), cxm.scale_low(r), cxm.scale_high(r), cxm.counts(r)
FROM (VALUES ('0..10:{0,0,0,0,0,0,0,0,0,0,0}'::cxm.ratings), ('empty')) AS v (r);
SELECT cxm.nps(NULL::cxm.ratings) IS NULL AND cxm.count(NULL::cxm.ratings) IS NULL AND cxm.counts(NULL) IS NULL AND cxm.nps_interval(NULL) IS NULL AS null_for_null;
SELECT count(*) FROM cxm.distribution('empty');
SELECT count(*) FROM cxm.distribution(NULL);
SELECT * FROM cxm.distribution('-1..1:{0,0,0}');
SELECT * FROM cxm.distribution('-1..1:{2,0,6}');
-- more than one call in a query, and a call that is not read to its end
SELECT (d).score, (d).share FROM (SELECT cxm.distribution('1..3:{1,1,2}') AS d LIMIT 2) AS s;
SELECT a.score, b.count FROM cxm.distribution('1..3:{1,1,2}') AS a JOIN cxm.distribution('1..3:{7,8,9}') AS b USING (score) ORDER BY 1;

-- one answer
SELECT cxm.nps(r), cxm.variance(r), cxm.var_pop(r), cxm.stddev(r), cxm.stddev_pop(r), cxm.median(r), cxm.nps_se(r), cxm.nps_interval(r, 0.95, 'wald') AS wald, round((cxm.nps_interval(r, 0.95, 'score')).lower::numeric, 5) AS score_lower
FROM (SELECT cxm.nps_agg(10) AS r) AS s;
-- intervals stay on the scale
SELECT r, method, round(lower::numeric, 6) AS lower, round(upper::numeric, 6) AS upper
FROM (VALUES ('0..10:{3,0,0,0,0,0,0,0,0,0,0}'::cxm.ratings), ('0..10:{0,0,0,0,0,0,0,0,4,0,0}'), ('0..10:{0,0,0,0,0,0,0,0,0,0,3}')) AS v (r),
     (VALUES ('wald'), ('adjusted_wald'), ('score')) AS m (method), cxm.nps_interval(r, 0.999, method) ORDER BY r, method;

-- other scales need cut points, and cut points are checked
SELECT pg_temp.fails($$SELECT cxm.nps('1..5:{1,0,0,0,1}'::cxm.ratings)$$);
SELECT pg_temp.fails($$SELECT cxm.nps_interval('1..10:{1,0,0,0,1,1,1,1,1,1}')$$);
SELECT cxm.nps('1..5:{1,0,2,0,3}', 3, 5), cxm.promoters('1..5:{1,0,2,0,3}', 3, 5), cxm.passives('1..5:{1,0,2,0,3}', 3, 5), cxm.detractors('1..5:{1,0,2,0,3}', 3, 5),
       cxm.promoter_share('1..5:{1,0,2,0,3}', 3, 5), round(cxm.nps_se('1..5:{1,0,2,0,3}', 3, 5)::numeric, 5) AS nps_se, round((cxm.nps_interval('1..5:{1,0,2,0,3}', 0.95, 'wald', 3, 5)).lower::numeric, 5) AS lower;
SELECT cxm.nps('0..10:{0,0,0,0,0,0,1,1,1,1,1}', 6, 8) AS european, cxm.nps('1..10:{0,0,0,0,0,1,1,1,1,1}', passive_from => 7, promoter_from => 9) AS one_to_ten,
       cxm.nps('1..5:{1,0,2,0,3}', 4, 4) AS no_passives, (cxm.nps_test('1..5:{1,0,2,0,3}', '1..5:{1,0,2,0,3}', 'wald', 0.9, 3, 5)).p_value;
SELECT pg_temp.fails(q) FROM unnest(ARRAY[
    $$SELECT cxm.nps('1..5:{1,0,2,0,3}', 1, 5)$$, $$SELECT cxm.nps('1..5:{1,0,2,0,3}', 3, 6)$$, $$SELECT cxm.nps('1..5:{1,0,2,0,3}', 5, 3)$$,
    $$SELECT cxm.csat('1..5:{1,0,2,0,3}'::cxm.ratings, 1)$$, $$SELECT cxm.csat('1..5:{1,0,2,0,3}'::cxm.ratings, 2147483647)$$,
    $$SELECT cxm.csat('1..5:{1,0,2,0,3}'::cxm.ratings, -2147483648)$$,
    $$SELECT cxm.nps_interval('empty', 0)$$, $$SELECT cxm.nps_interval('empty', 95)$$, $$SELECT cxm.nps_interval('empty', 'NaN')$$,
    $$SELECT cxm.nps_interval('empty', 0.95, 'exact')$$, $$SELECT cxm.mean_interval('empty', 1)$$, $$SELECT cxm.csat_interval('empty', -1)$$,
    $$SELECT cxm.percentile('empty', 1.5)$$, $$SELECT cxm.percentile_cont('empty', 'NaN')$$]) AS q;

-- percentiles at the edges
SELECT f, cxm.percentile(r, f), cxm.percentile_cont(r, f) FROM unnest(ARRAY[0, 0.25, 0.3, 0.5, 0.75, 0.76, 1]::float8[]) AS f, (SELECT cxm.ratings(1, '{0,1,1,0,2}') AS r) AS s ORDER BY f;

-- parts and back
SELECT cxm.ratings(-5, '{1,2,3}'), cxm.scale_low(cxm.ratings(-5, '{1,2,3}')), cxm.scale_high(cxm.ratings(-5, '{1,2,3}')), cxm.counts(cxm.ratings(-5, '{1,2,3}')), cxm.ratings(1, ARRAY[1, 2, 3]);
SELECT pg_temp.fails(q) FROM unnest(ARRAY[
    $$SELECT cxm.ratings(0, '{1}')$$, $$SELECT cxm.ratings(0, '{}')$$, $$SELECT cxm.ratings(0, '{1,2,3,4,5,6,7,8,9,10,11,12}')$$,
    $$SELECT cxm.ratings(120, '{1,2,3,4,5,6,7,8,9}')$$, $$SELECT cxm.ratings(-2147483648, '{1,2}')$$, $$SELECT cxm.ratings(2147483647, '{1,2}')$$,
    $$SELECT cxm.ratings(0, '{1,NULL}')$$, $$SELECT cxm.ratings(0, '{1,-1}')$$, $$SELECT cxm.ratings(0, '{{1,2},{3,4}}')$$]) AS q;

-- counts that are as large as they get
SELECT cxm.mean(r), cxm.nps(r), pg_temp.fails(format('SELECT cxm.nps(%L::cxm.ratings + %L)', r, '0..10:{1,0,0,0,0,0,0,0,0,0,0}')) LIKE '42883%' AS operators_are_qualified,
       pg_temp.fails(format('SELECT cxm.count(%L::cxm.ratings OPERATOR(cxm.+) %L)', r, '0..10:{1,0,0,0,0,0,0,0,0,0,0}')) AS total
FROM (SELECT '0..10:{0,0,0,0,0,0,0,0,0,0,9223372036854775807}'::cxm.ratings AS r) AS s;
