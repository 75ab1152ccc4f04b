-- drivers: importance, coefficients, intervals; data that have no answer; reports over queries and over the store
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.near(a double precision, b double precision, tolerance double precision DEFAULT 1e-10) RETURNS boolean
LANGUAGE sql RETURN (a IS NULL AND b IS NULL) OR coalesce(abs(a - b) <= tolerance, false);
CREATE FUNCTION pg_temp.near(a double precision[], b double precision[], tolerance double precision DEFAULT 1e-10) RETURNS boolean
LANGUAGE sql RETURN cardinality(a) = cardinality(b) AND (SELECT bool_and(pg_temp.near(x, y, tolerance)) FROM unnest(a, b) AS v(x, y));
CREATE FUNCTION pg_temp.total(a double precision[]) RETURNS double precision LANGUAGE sql RETURN (SELECT sum(x) FROM unnest(a) AS x);
CREATE TEMP TABLE made AS
SELECT i, 2 * u + v + w AS y, ARRAY[u + w, v + u, w, u * v, v - 3 * w] AS x, (i % 3)::double precision AS weight
FROM (SELECT i, sin(i * 12.9898) AS u, cos(i * 78.233) AS v, sin(i * i * 0.37) AS w FROM generate_series(1, 500) AS i) AS s;

-- two drivers: what the definition says in closed form
SELECT pg_temp.near(cxm.drivers_lmg(c), ARRAY[(a * a + r2 - b * b) / 2, (b * b + r2 - a * a) / 2]) AS lmg, pg_temp.near(cxm.drivers_johnson(c), cxm.drivers_lmg(c)) AS johnson,
       pg_temp.near(cxm.drivers_betas(c), ARRAY[(a - b * r) / (1 - r * r), (b - a * r) / (1 - r * r)]) AS betas, pg_temp.near(cxm.drivers_r2(c), r2) AS r2
FROM (SELECT c, a, b, r, (a * a + b * b - 2 * a * b * r) / (1 - r * r) AS r2
      FROM (SELECT cxm.comoments_agg(y, x[1:2]) AS c, corr(y, x[1]) AS a, corr(y, x[2]) AS b, corr(x[1], x[2]) AS r FROM made) AS s) AS t;

-- one driver: the built-in regression
SELECT pg_temp.near(f.r2, s.r2) AS r2, pg_temp.near(d.coefficient, slope) AS slope, pg_temp.near(d.beta, r) AS beta, pg_temp.near(d.t, r * sqrt(498 / (1 - r * r))) AS t, f.df, f.status,
       pg_temp.near(d.upper - d.coefficient, 1.964728 * d.std_error, 1e-6) AS student, pg_temp.near(f.adjusted_r2, 1 - (1 - s.r2) * 499 / 498) AS adjusted, d.vif
FROM (SELECT cxm.comoments_agg(y, x[1:1]) AS c, regr_r2(y, x[1]) AS r2, regr_slope(y, x[1]) AS slope, corr(y, x[1]) AS r FROM made) AS s, cxm.drivers_fit(c) AS f, cxm.drivers_coefficients(c) AS d;

-- shares sum to R squared, do not depend on the order of the drivers nor on where they lie, and are those of the weights
SELECT pg_temp.near(pg_temp.total(cxm.drivers_lmg(c)), cxm.drivers_r2(c)) AS lmg, pg_temp.near(pg_temp.total(cxm.drivers_johnson(c)), cxm.drivers_r2(c)) AS johnson,
       pg_temp.near(cxm.drivers_lmg(c), ARRAY[b[5], b[4], b[3], b[2], b[1]]) AS any_order, pg_temp.near(cxm.drivers_lmg(c), cxm.drivers_lmg(far), 1e-6) AS far, pg_temp.near(cxm.drivers_lmg(w), cxm.drivers_lmg(n)) AS weights
FROM (SELECT cxm.comoments_agg(y, x) AS c, cxm.drivers_lmg(cxm.comoments_agg(y, ARRAY[x[5], x[4], x[3], x[2], x[1]])) AS b, cxm.comoments_agg(y - 1e8, ARRAY[x[1] + 1e8, 7 * x[2], x[3] - 1e8, x[4], -x[5]]) AS far, cxm.comoments_agg(y, x, weight) AS w FROM made) AS s,
     (SELECT cxm.comoments_agg(y, x) AS n FROM made, generate_series(1, weight::integer)) AS t;

-- a sum of others, a constant, and a driver twice: importance stays defined, what is ambiguous is NULL
SELECT f.status, f.constant, f.collinear, pg_temp.near(l[5], l[1]) AS twins_share, l[4] AS constant_has_none, pg_temp.near(pg_temp.total(l), f.r2) AS sum,
       pg_temp.near(pg_temp.total(cxm.drivers_johnson(c)), f.r2) AS johnson, b[3] IS NULL AND b[4] IS NULL AND b[5] IS NULL AND b[1] IS NOT NULL AS betas
FROM (SELECT c, cxm.drivers_lmg(c) AS l, cxm.drivers_betas(c) AS b FROM (SELECT cxm.comoments_agg(y, ARRAY[x[1], x[2], x[1] - 2 * x[2] + 5, 0.1, 3 * x[1] - 1]) AS c FROM made) AS s) AS t, cxm.drivers_fit(c) AS f;

-- fewer rows than drivers: everything is explained, nothing is learned
SELECT f.status, round(f.r2::numeric, 9) AS r2, f.adjusted_r2, f.df, round(pg_temp.total(cxm.drivers_lmg(c))::numeric, 9) AS sum, (SELECT count(d.lower) FROM cxm.drivers_coefficients(c) AS d) AS intervals
FROM (SELECT cxm.comoments_agg(y, x) AS c FROM made WHERE i <= 4) AS s, cxm.drivers_fit(c) AS f;

-- no answer: none, one row, an outcome that does not vary, only missing drivers
SELECT k, f.*, cxm.drivers_lmg(c) AS lmg, cxm.drivers_johnson(c) AS johnson, cxm.drivers_betas(c) AS betas, cxm.drivers_r2(c) AS r2, (SELECT count(*) FROM cxm.drivers_coefficients(c)) AS coefficients, (SELECT count(*) FROM cxm.drivers_bootstrap(ARRAY[c, c])) AS bootstrap
FROM (SELECT 1 AS k, 'empty'::cxm.comoments AS c UNION ALL SELECT 2, cxm.comoments_agg(y, x) FROM made WHERE i = 1 UNION ALL SELECT 3, cxm.comoments_agg(0.1, x) FROM made UNION ALL SELECT 4, cxm.comoments_agg(y, NULL) FROM made UNION ALL SELECT 5, cxm.comoments_agg(y, x, 0::double precision) FROM made) AS s, cxm.drivers_fit(c) AS f ORDER BY k;

-- pairs that contradict each other, and pairs that never meet
CREATE TEMP TABLE contradiction AS
SELECT i % 10 AS y, CASE i / 100 WHEN 0 THEN ARRAY[i % 10, NULL] WHEN 1 THEN ARRAY[NULL, i % 10] ELSE ARRAY[i % 10, 9 - i % 10] END::double precision[] AS x FROM generate_series(0, 299) AS i WHERE i / 100 < 2
UNION ALL SELECT NULL, ARRAY[i % 10, 9 - i % 10]::double precision[] FROM generate_series(0, 99) AS i;
SELECT f.status, round(f.smallest_eigenvalue::numeric, 9) AS smallest_eigenvalue, f.r2 FROM cxm.drivers_fit((SELECT cxm.comoments_agg(y, x, 'pairwise') FROM contradiction)) AS f;
\set VERBOSITY terse
SELECT cxm.drivers_lmg(cxm.comoments_agg(y, x, 'pairwise')) FROM contradiction;
SELECT cxm.drivers_johnson(cxm.comoments_agg(y, x, 'pairwise')) FROM contradiction;
SELECT cxm.drivers_betas(cxm.comoments_agg(y, x, 'pairwise')) FROM contradiction WHERE y IS NOT NULL;
SELECT cxm.drivers_r2(cxm.comoments_agg(y, x, 'pairwise')) FROM contradiction WHERE y IS NOT NULL;
-- too many for LMG
SELECT cxm.drivers_lmg(cxm.comoments_agg(sin(i), (SELECT array_agg(sin(i * k * 0.7)) FROM generate_series(1, 26) AS k))) FROM generate_series(1, 200) AS i;
\set VERBOSITY default
SELECT cardinality(cxm.drivers_johnson(c)), pg_temp.near(pg_temp.total(cxm.drivers_johnson(c)), cxm.drivers_r2(c), 1e-9) AS sum
FROM (SELECT cxm.comoments_agg(sin(i) + cos(i * 3), (SELECT array_agg(sin(i * k * 0.7)) FROM generate_series(1, 100) AS k)) AS c FROM generate_series(1, 300) AS i) AS s;
SELECT pg_temp.near(pg_temp.total(cxm.drivers_lmg(c)), cxm.drivers_r2(c), 1e-9) AS of_20
FROM (SELECT cxm.comoments_agg(sin(i) + cos(i * 3), (SELECT array_agg(sin(i * k * 0.7)) FROM generate_series(1, 20) AS k)) AS c FROM generate_series(1, 300) AS i) AS s;

-- where nothing is missing, pairwise is listwise
SELECT pg_temp.near(cxm.drivers_lmg(a), cxm.drivers_lmg(b)) AS lmg, pg_temp.near(cxm.drivers_johnson(a), cxm.drivers_johnson(b)) AS johnson, pg_temp.near(cxm.drivers_betas(a), cxm.drivers_betas(b)) AS betas
FROM (SELECT cxm.comoments_agg(y, x) AS a, cxm.comoments_agg(y, x, 'pairwise') AS b FROM made) AS s;

-- a driver that nobody rated, and one that few did, all alike, are as if they were not there
SELECT t.name, t.n, (t.coefficient, t.coefficient_lower, t.coefficient_upper, t.share) IS NOT DISTINCT FROM (f.coefficient, f.coefficient_lower, f.coefficient_upper, f.share) AS as_without, t.note
FROM cxm.drivers_table(ARRAY[(SELECT cxm.comoments_agg(y, x || ARRAY[NULL, CASE WHEN i < 4 THEN 2.0 END], 'pairwise') FROM made)], NULL) AS t
LEFT JOIN cxm.drivers_table(ARRAY[(SELECT cxm.comoments_agg(y, x, 'pairwise') FROM made)], NULL) AS f USING (driver)
ORDER BY t.driver;
SELECT a.df = b.df AND a.adjusted_r2 = b.adjusted_r2 AS fit_as_without
FROM cxm.drivers_fit((SELECT cxm.comoments_agg(y, x || ARRAY[NULL, CASE WHEN i < 4 THEN 2.0 END], 'pairwise') FROM made)) AS a,
     cxm.drivers_fit((SELECT cxm.comoments_agg(y, x, 'pairwise') FROM made)) AS b;

-- few rows, gaps, constants, drivers that depend on each other: whatever has an answer adds up
DO $$
DECLARE
    c cxm.comoments;
    f record;
    answered integer := 0;
    contradicting integer := 0;
BEGIN
    PERFORM setseed(0.77);
    FOR k IN 1 .. 600 LOOP
        SELECT cxm.comoments_agg(y, x, (ARRAY['listwise', 'pairwise'])[1 + k % 2]) INTO c
        FROM (SELECT CASE WHEN random() < 0.9 THEN floor(5 * random()) END AS y,
                     ARRAY(SELECT CASE WHEN random() < 0.8 THEN floor(random() * CASE WHEN j % 4 = 0 THEN 1 ELSE 4 END + 0 * i) END FROM generate_series(1, 1 + k % 9) AS j) AS x
              FROM generate_series(1, k % 25) AS i) AS s;
        SELECT * INTO f FROM cxm.drivers_fit(c);
        IF f.status = 'ok' THEN
            answered := answered + 1;
            ASSERT f.r2 BETWEEN 0 AND 1, k;
            ASSERT pg_temp.near(pg_temp.total(cxm.drivers_lmg(c)), f.r2, 1e-8) AND 0 <= ALL (SELECT x + 1e-9 FROM unnest(cxm.drivers_lmg(c)) AS x), k;
            ASSERT pg_temp.near(pg_temp.total(cxm.drivers_johnson(c)), f.r2, 1e-6), k;
        ELSIF f.status = 'not positive definite' THEN
            contradicting := contradicting + 1;
        END IF;
    END LOOP;
    ASSERT answered > 100 AND contradicting > 10, format('%s answered, %s contradict themselves', answered, contradicting);
END $$;

-- bootstrap: the same seed the same answer, another seed another; parts of the samples, and how many there were
CREATE TEMP TABLE sample AS SELECT array_agg(c ORDER BY i) AS rows, array_agg(p ORDER BY i) AS pairs FROM (SELECT i, cxm.comoments_agg(y, x) AS c, cxm.comoments_agg(y, x, 'pairwise') AS p FROM made GROUP BY i) AS s;
SELECT bool_and(a = b) AS same_seed, bool_and(a.lower <> c.lower) AS other_seed, bool_and(pg_temp.near(a.lower, p.lower, 1e-9) AND pg_temp.near(a.upper, p.upper, 1e-9)) AS pairwise_same,
       bool_and(a.lower < a.importance AND a.importance < a.upper AND a.share_lower < a.share AND a.share < a.share_upper) AS inside, bool_and(a.groups = 500 AND a.answered = 300) AS all_answered,
       pg_temp.near(sum(a.share), 1) AS shares, bool_and(a.r2_lower < a.r2 AND a.r2 < a.r2_upper) AND pg_temp.near(max(a.r2), sum(a.importance)) AND pg_temp.near(min(a.r2_lower), max(a.r2_lower)) AS r2, bool_and(a.rank BETWEEN a.rank_lower AND a.rank_upper) AS ranks
FROM sample AS s, cxm.drivers_bootstrap(s.rows, replicates => 300) AS a, cxm.drivers_bootstrap(s.rows, replicates => 300) AS b, cxm.drivers_bootstrap(s.rows, replicates => 300, seed => 2) AS c, cxm.drivers_bootstrap(s.pairs, replicates => 300) AS p
WHERE a.driver = b.driver AND a.driver = c.driver AND a.driver = p.driver;
-- a coefficient varies between replicates as much as its standard error says
WITH raw AS (
    SELECT cxm.comoments_agg(u / 3 + v / 9 + e, ARRAY[u, v]) AS c
    FROM (SELECT i, sin(i * 12.9898) AS u, cos(i * 78.233) AS v, sin(i * i * 0.37) + sin(i * i * 0.11) + sin(i * i * 0.77) AS e FROM generate_series(1, 800) AS i) AS s GROUP BY i
), whole AS (
    SELECT cxm.rollup(c) AS c, array_agg(c) AS samples FROM raw
)
SELECT d.driver, (b.upper - b.lower) / ((d.upper - d.lower) * d.beta / d.coefficient) BETWEEN 0.85 AND 1.18 AS as_wide
FROM whole AS w, cxm.drivers_coefficients(w.c) AS d JOIN cxm.drivers_bootstrap((SELECT samples FROM whole), 'beta', 2000) AS b ON b.driver = d.driver ORDER BY d.driver;
-- intervals hold what they promise: of a hundred samples of 150 rows, about 95 in each hundred have the share of the population in theirs
CREATE FUNCTION pg_temp.uniform(t text) RETURNS double precision LANGUAGE sql IMMUTABLE RETURN (('x' || substr(md5(t), 1, 8))::bit(32)::bigint & 4294967295) / 4294967296.0::double precision;
CREATE TEMP TABLE population AS
SELECT k, i, a + 0.5 * (0.6 * a + 0.8 * b) + 1.2 * e AS y, ARRAY[a, 0.6 * a + 0.8 * b, 0.5 * a + 0.87 * c] AS x
FROM (SELECT k, i, pg_temp.uniform(k || ' a ' || i) AS a, pg_temp.uniform(k || ' b ' || i) AS b, pg_temp.uniform(k || ' c ' || i) AS c, pg_temp.uniform(k || ' e ' || i) AS e FROM generate_series(1, 100) AS k, generate_series(1, 150) AS i) AS s;
SELECT b.driver, count(*) FILTER (WHERE w.share BETWEEN b.share_lower AND b.share_upper) BETWEEN 88 AND 100 AS covered, count(*) FILTER (WHERE w.share NOT BETWEEN b.share_lower AND b.share_upper) > 0 AS not_too_wide
FROM (SELECT k, array_agg(c ORDER BY i) AS samples FROM (SELECT k, i, cxm.comoments_agg(y, x) AS c FROM population GROUP BY k, i) AS s GROUP BY k) AS s, cxm.drivers_bootstrap(s.samples, replicates => 300, seed => s.k) AS b,
     (SELECT t.driver, t.share FROM cxm.drivers_table((SELECT ARRAY[cxm.comoments_agg(y, x)] FROM population)) AS t) AS w
WHERE w.driver = b.driver GROUP BY b.driver ORDER BY b.driver;
-- groups of rows instead of rows: intervals of much the same width
SELECT a.driver, (a.upper - a.lower) / (g.upper - g.lower) BETWEEN 0.7 AND 1.4 AS as_wide, pg_temp.near(a.importance, g.importance) AS same, g.groups
FROM sample AS s, (SELECT array_agg(c ORDER BY g) AS rows FROM (SELECT hashint4(i) & 63 AS g, cxm.comoments_agg(y, x) AS c FROM made GROUP BY 1) AS h) AS h, cxm.drivers_bootstrap(s.rows) AS a, cxm.drivers_bootstrap(h.rows) AS g WHERE a.driver = g.driver ORDER BY a.driver;
-- methods; no replicates; replicates without an answer; NULL, empty and incomplete samples
SELECT m AS method, count(b.importance) AS importance, count(b.share) AS share, count(b.lower) AS lower, count(b.r2_upper) AS r2 FROM sample AS s, unnest(ARRAY['lmg', 'johnson', 'beta', 'correlation']) AS m, cxm.drivers_bootstrap(s.rows, m, 50) AS b GROUP BY m ORDER BY m COLLATE "C";
SELECT b.driver, b.lower, b.upper, b.groups, b.answered FROM sample AS s, cxm.drivers_bootstrap(s.rows, replicates => 0) AS b;
SELECT b.driver, round(b.importance::numeric, 6) AS importance, b.groups, b.answered BETWEEN 1 AND 199 AS some_without FROM cxm.drivers_bootstrap((SELECT array_agg(c) FROM (SELECT cxm.comoments_agg(y, ARRAY[a, b]) AS c FROM (VALUES (1, 1.0, 2.0), (2, 3, 1), (3, 2, 7)) AS v(y, a, b) GROUP BY y) AS s), replicates => 200) AS b;
SELECT b.driver, round(b.importance::numeric, 6) AS importance, round(b.lower::numeric, 6) AS lower, b.groups, b.answered FROM cxm.drivers_bootstrap((SELECT ARRAY[NULL, 'empty', cxm.comoments_agg(NULL, NULL), cxm.comoments_agg(y, x[1:2]), NULL] FROM made), replicates => 20) AS b;
\set VERBOSITY terse
SELECT * FROM cxm.drivers_bootstrap((SELECT rows FROM sample), 'shapley');
SELECT * FROM cxm.drivers_bootstrap((SELECT rows FROM sample), replicates => -1);
SELECT * FROM cxm.drivers_bootstrap((SELECT rows FROM sample), replicates => 100001);
SELECT * FROM cxm.drivers_bootstrap((SELECT rows FROM sample), confidence => 1);
SELECT * FROM cxm.drivers_coefficients('empty', 'NaN');
SELECT * FROM cxm.drivers_bootstrap((SELECT rows || pairs FROM sample));
SELECT * FROM cxm.drivers_bootstrap(ARRAY['listwise:0{1,0,0,1,1,0,0}{}{0}{0}{0}', 'pairwise:1{1,1,0,0,0,1,1}{0}{1,1,1,0,1,0,0,0,0}{1,1,1,0,1,0,0,0,0}{1,1,1,0,1,0,0,0,0}']::cxm.comoments[]);
SELECT * FROM cxm.drivers_bootstrap((SELECT ARRAY[cxm.comoments_agg(y, x, 'pairwise')] FROM contradiction));
SELECT cxm.drivers_table((SELECT rows FROM sample), ARRAY['a', 'b']);
SELECT cxm.drivers_table((SELECT rows FROM sample), method => 'beta');
\set VERBOSITY default

-- the table says why there is no answer
SELECT t.driver, t.name, t.n, t.missing, t.importance IS NULL AS no_importance, t.method, t.rows, t.used, t.note FROM cxm.drivers_table((SELECT ARRAY[cxm.comoments_agg(y, x, 'pairwise')] FROM contradiction), ARRAY['speed', 'price']) AS t;
SELECT t.driver, t.name, t.n, t.importance, t.rows, t.note FROM cxm.drivers_table(ARRAY['empty']::cxm.comoments[], ARRAY['speed', 'price']) AS t;
SELECT t.driver, t.name, t.n, t.rows, t.note FROM cxm.drivers_table(NULL, ARRAY['speed']) AS t;
SELECT t.driver, t.name, t.note FROM cxm.drivers_table((SELECT ARRAY[cxm.comoments_agg(y, ARRAY[x[1], 2 * x[1], 3, x[2]])] FROM made)) AS t;
SELECT DISTINCT t.note FROM cxm.drivers_table((SELECT ARRAY[cxm.comoments_agg(7, x)] FROM made)) AS t;
SELECT DISTINCT t.note FROM cxm.drivers_table((SELECT ARRAY[cxm.comoments_agg(y, x)] FROM made WHERE i <= 4)) AS t ORDER BY 1;
SELECT count(t.importance) AS importance, count(t.lower) AS lower, count(t.coefficient_lower) AS coefficient_lower FROM cxm.drivers_table((SELECT rows FROM sample), replicates => NULL, seed => NULL, confidence => NULL) AS t;
SELECT DISTINCT t.method FROM cxm.drivers_table((SELECT ARRAY[cxm.comoments_agg(sin(i) + cos(i * 3), (SELECT array_agg(sin(i * k * 0.7)) FROM generate_series(1, 21) AS k))] FROM generate_series(1, 100) AS i)) AS t;

-- a report over a query, in whatever order its rows come, under the caller's search_path
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.asked AS SELECT i, i % 11 AS score, (i % 11 + i * 7 % 5)::smallint AS speed, CASE WHEN i % 4 > 0 THEN i * 3 % 8 + i % 11 / 4 END AS price, i % 3 AS weight, i * 7 % 5 AS other FROM generate_series(1, 1500) AS i;
SET search_path = elsewhere, pg_catalog;
SELECT r.driver, r.name, r.n, r.missing, r.method, r.rows, r.used, r.lower < r.importance AND r.importance < r.upper AS interval, r.note FROM cxm.driver_report('SELECT * FROM asked -- all', 'score', '{speed,price,other}', replicates => 100) AS r;
SHOW search_path;
SELECT bool_and(a = b) AS any_order, bool_and(a.lower <> c.lower) AS other_seed
FROM cxm.driver_report('SELECT * FROM asked ORDER BY i', 'score', '{speed,price,other}', replicates => 50) AS a, cxm.driver_report('SELECT * FROM asked ORDER BY md5(i::text)', 'score', '{speed,price,other}', replicates => 50) AS b,
     cxm.driver_report('SELECT * FROM asked', 'score', '{speed,price,other}', replicates => 50, seed => 7) AS c WHERE a.driver = b.driver AND a.driver = c.driver;
RESET search_path;
SELECT r.name, r.n, r.missing, r.used FROM cxm.driver_report('SELECT * FROM elsewhere.asked', 'score', '{speed,price}', missing => 'pairwise', replicates => 0) AS r;
SELECT r.name, r.n, pg_temp.near(r.importance, l[r.driver]) AS weighted FROM cxm.driver_report('SELECT * FROM elsewhere.asked', 'score', '{speed,other}', weight => 'weight', replicates => 0) AS r, (SELECT cxm.drivers_lmg(cxm.comoments_agg(score, ARRAY[speed, other], weight::double precision)) AS l FROM elsewhere.asked) AS s;
SELECT r.name, pg_temp.near(r.correlation, c) AS nps FROM cxm.driver_report('SELECT * FROM elsewhere.asked', 'score', '{speed}', outcome_as => 'nps', replicates => 0) AS r, (SELECT corr(CASE WHEN score >= 9 THEN 1 WHEN score <= 6 THEN -1 ELSE 0 END, speed) AS c FROM elsewhere.asked) AS s;
SELECT r.name, pg_temp.near(r.correlation, c) AS ranks, r.missing FROM cxm.driver_report('SELECT nullif(score, 3) ^ 3 AS cubed, speed FROM elsewhere.asked', 'cubed', '{speed}', outcome_as => 'rank', replicates => 0) AS r,
    (SELECT corr(mid, speed) AS c FROM (SELECT speed, rank() OVER (ORDER BY score) + (count(*) OVER (PARTITION BY score) - 1) / 2.0 AS mid FROM elsewhere.asked WHERE score <> 3) AS m) AS s;

-- R 4.2: i <- 1:24; x <- cbind(i, i + (i * 5) %% 3 / 10, (i * i) %% 17, (i * 7) %% 13); y <- (3 * i + 2 * x[, 3] - x[, 4] + (i * 11) %% 19 * 3) %/% 4,
-- LMG as mean gain of summary(lm())$r.squared over all subsets, Johnson by eigen(cor()), ranks by rank(y) of the complete rows
CREATE TEMP TABLE twins AS
SELECT x[1] AS a, x[1] + x[1] * 5 % 3 / 10 AS b, x[1] * x[1] % 17 AS c, x[1] * 7 % 13 AS d, floor((3 * x[1] + 2 * (x[1] * x[1] % 17) - x[1] * 7 % 13 + x[1] * 11 % 19 * 3) / 4) AS y, 1 + x[1] % 3 AS w
FROM (SELECT ARRAY[i::numeric] AS x FROM generate_series(1, 24) AS i) AS n;
SELECT pg_temp.near(cxm.drivers_lmg(m), '{0.255852328856,0.254101410373,0.167280572517,0.00489469209672}', 1e-10) AS lmg,
       pg_temp.near(cxm.drivers_johnson(m), '{0.259016857647,0.257036318414,0.163119730427,0.00295609735555}', 1e-10) AS johnson,
       pg_temp.near(cxm.drivers_r2(m), 0.682129003844, 1e-10) AS r2,
       pg_temp.near(cxm.drivers_lmg(w), '{0.247577543197,0.246449800842,0.161344185185,0.0049464692873}', 1e-10) AS weighted,
       (SELECT pg_temp.near(array_agg(k.vif ORDER BY k.driver), '{7374.48361303,7371.00257031,1.0093477464,1.04326201409}', 1e-6) FROM cxm.drivers_coefficients(m) AS k) AS vif,
       (SELECT pg_temp.near(array_agg(k.lower ORDER BY k.driver), '{-12.6658480592,-34.4641984563,0.197309758835,-0.700177549492}', 1e-8) FROM cxm.drivers_coefficients(m) AS k) AS lower
FROM (SELECT cxm.comoments_agg(y::float8, ARRAY[a, b, c, d]::float8[]) AS m, cxm.comoments_agg(y::float8, ARRAY[a, b, c, d]::float8[], w::float8) AS w FROM twins) AS t;
SELECT o.how, o.missing, pg_temp.near((SELECT array_agg(r.importance ORDER BY r.driver) FROM cxm.driver_report('SELECT y, a, b, CASE WHEN a % 7 <> 3 THEN c END AS c, d FROM twins', 'y', '{a,b,c,d}', missing => o.missing, outcome_as => o.how, method => o.method, replicates => 0) AS r), o.importance, 1e-10) AS as_r
FROM (VALUES ('score', 'listwise', 'lmg', '{0.25180639659,0.250143273642,0.150678474585,0.00839716198278}'::float8[]),
             ('rank', 'listwise', 'lmg', '{0.241749798715,0.240483628456,0.136000372118,0.0194552723888}'),
             ('score', 'pairwise', 'johnson', '{0.261869778024,0.259767217295,0.148752381704,0.00362028383604}')) AS o(how, missing, method, importance);
\set VERBOSITY terse
SELECT cxm.driver_report('SELECT * FROM elsewhere.asked', 'score', '{}');
SELECT cxm.driver_report('SELECT * FROM elsewhere.asked', 'score', '{speed,NULL}');
SELECT cxm.driver_report(NULL, 'score', '{speed}');
SELECT cxm.driver_report('SELECT * FROM elsewhere.asked', 'score', '{speed}', outcome_as => 'logit');
SELECT cxm.driver_report('SELECT * FROM elsewhere.asked', 'score', '{speed}', missing => 'some');
SELECT cxm.driver_report('SELECT * FROM elsewhere.asked', 'score', '{speed}', method => 'gut');
\set VERBOSITY sqlstate
SELECT cxm.driver_report('SELECT * FROM elsewhere.asked', 'score', '{"speed; DROP TABLE elsewhere.asked"}');
\set VERBOSITY terse
SELECT cxm.driver_report('SELECT score + 1 AS score, speed FROM elsewhere.asked', 'score', '{speed}', outcome_as => 'nps');
SELECT cxm.driver_report('SELECT ''NaN''::real AS score, speed FROM elsewhere.asked', 'score', '{speed}');
\set VERBOSITY default
DROP SCHEMA elsewhere CASCADE;

-- quadrants
SELECT i, p, cxm.quadrant(i, p, 0.5, 50) FROM (VALUES (0.6, 40), (0.6, 60), (0.4, 60), (0.4, 40), (0.5, 50), (NULL, 50)) AS v(i, p);

-- the store: ratings of customers at touchpoints, of submissions by question
BEGIN;
DO $$ BEGIN PERFORM cxm.create_store('UTC'); END $$;
SELECT * FROM cx.impact_performance;
DO $$
BEGIN
    PERFORM cxm.record_feedback('csat', 1 + (i * 7 + k * 3 + i / 9) % 5, jsonb_build_object('email', i || '@example.com'), touchpoint => (ARRAY['checkout', 'delivery', 'support'])[k], question => (ARRAY['price', 'speed', 'help'])[k], submission_id => 'form ' || i)
    FROM generate_series(1, 90) AS i, generate_series(1, 3) AS k WHERE k < 3 OR i % 2 = 0;
    PERFORM cxm.record_feedback('nps', least(10, (1 + (i * 7 + 3 + i / 9) % 5) * 2 + i % 2), jsonb_build_object('email', i || '@example.com'), submission_id => 'form ' || i) FROM generate_series(1, 80) AS i;
    PERFORM cxm.record_feedback('rating', 3, jsonb_build_object('email', i || '@example.com'), touchpoint => 'garage', question => 'garage', submission_id => 'form ' || i) FROM generate_series(1, 5) AS i;
    -- of nobody, without an outcome, outside of a submission
    PERFORM cxm.record_feedback('csat', 5, touchpoint => 'checkout') FROM generate_series(1, 20);
    PERFORM cxm.record_feedback('csat', 1, jsonb_build_object('email', 'new' || i || '@example.com'), touchpoint => 'checkout', question => 'price', submission_id => 'other ' || i) FROM generate_series(1, 20) AS i;
END $$;
SELECT by, driver, n, round(performance::numeric, 6) AS performance, round(importance::numeric, 6) AS importance, round(share::numeric, 6) AS share, quadrant, round(importance_threshold::numeric, 6) AS importance_threshold, importance_method, units, note FROM cx.impact_performance ORDER BY by, share DESC NULLS LAST, driver;
SELECT i.driver, i.n, pg_temp.near(i.share, v.share) AS as_the_view, i.share_lower < i.share AND i.share < i.share_upper AS interval FROM cxm.impact_performance(replicates => 50) AS i JOIN cx.impact_performance AS v ON v.driver = i.driver AND v.by = 'touchpoint' WHERE i.share IS NOT NULL ORDER BY 1;
SELECT i.driver, i.n, i.units FROM cxm.impact_performance(missing => 'listwise') AS i ORDER BY 1;
SELECT i.driver, i.n, i.note FROM cxm.impact_performance('nps', 'metric', min_n => 3) AS i ORDER BY 1;
SELECT i.driver, i.n, i.units, i.note FROM cxm.impact_performance('csat', 'question') AS i ORDER BY 1;
SELECT count(*) FROM cxm.impact_performance(from_time => now() + interval '1 hour');
-- an answer on another scale is none of the outcome, be it the last
SAVEPOINT before;
CREATE TEMP TABLE outcome AS SELECT * FROM cxm.driver_ratings('nps', 'touchpoint') AS r WHERE r.driver IS NULL UNION ALL SELECT * FROM cxm.driver_ratings('nps', 'question') AS r WHERE r.driver IS NULL;
DO $$
BEGIN
    PERFORM cxm.record_feedback('nps', 5, jsonb_build_object('email', i || '@example.com'), submission_id => 'form ' || i, scale_min => 1, scale_max => 5, at => now() + interval '1 minute'),
            cxm.record_feedback('nps', 25, jsonb_build_object('email', 'other' || i || '@example.com'), submission_id => 'further ' || i, scale_min => 20, scale_max => 30) FROM generate_series(1, 9) AS i;
END $$;
SELECT count(*) AS differ FROM (
    (TABLE outcome EXCEPT ALL (SELECT * FROM cxm.driver_ratings('nps', 'touchpoint') AS r WHERE r.driver IS NULL UNION ALL SELECT * FROM cxm.driver_ratings('nps', 'question') AS r WHERE r.driver IS NULL))
    UNION ALL
    ((SELECT * FROM cxm.driver_ratings('nps', 'touchpoint') AS r WHERE r.driver IS NULL UNION ALL SELECT * FROM cxm.driver_ratings('nps', 'question') AS r WHERE r.driver IS NULL) EXCEPT ALL TABLE outcome)) AS d;
SELECT count(*) FROM cxm.impact_performance(outcome_as => 'nps') AS i WHERE i.share IS NOT NULL;
ROLLBACK TO before;
-- a merge makes two customers one, and leaves the last score
SELECT count(*) AS outcomes FROM cxm.driver_ratings('nps', 'touchpoint') AS r WHERE r.driver IS NULL;
DO $$ BEGIN PERFORM cxm.link('email', '1@example.com', 'customer_id', '7'), cxm.link('email', '2@example.com', 'customer_id', '7'); END $$;
SELECT count(*) AS outcomes FROM cxm.driver_ratings('nps', 'touchpoint') AS r WHERE r.driver IS NULL;
\set VERBOSITY terse
SAVEPOINT before;
SELECT * FROM cxm.impact_performance(by => 'employee');
ROLLBACK TO before;
SELECT * FROM cxm.impact_performance('love');
ROLLBACK;
