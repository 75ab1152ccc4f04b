-- Raking and post-stratification.
\set SHOW_CONTEXT never
\pset null '(null)'
SET extra_float_digits = 0;

-- the textbook case: [[40, 30], [20, 10]] to rows 50/50 and columns 55/45 is [[25, 25], [30, 20]]
CREATE TABLE public.answer AS
SELECT row_number() OVER () AS id, region, age
FROM (VALUES ('north', 'young', 40), ('north', 'old', 30), ('south', 'young', 20), ('south', 'old', 10)) AS c(region, age, n), generate_series(1, c.n);
SELECT region, age, round(sum(w.weight)::numeric, 7) AS weight, round(min(w.weight)::numeric, 7) AS each, min(w.weight) = max(w.weight) AS equal
FROM cxm.rake('SELECT * FROM answer -- all of them', '{"region": {"north": 0.5, "south": 0.5}, "age": {"young": 55, "old": 45}}') AS w JOIN public.answer USING (id)
GROUP BY 1, 2 ORDER BY 1, 2;
SELECT answers, converged, largest_difference < 1e-9 AS near, capped, round(smallest_weight::numeric, 7) AS smallest, round(largest_weight::numeric, 7) AS largest,
       round(effective_n::numeric, 5) AS effective_n, round(design_effect::numeric, 6) AS design_effect
FROM cxm.rake_summary('SELECT * FROM answer', '{"region": {"north": 0.5, "south": 0.5}, "age": {"young": 0.55, "old": 0.45}}');
SELECT variable, category, answers, target, round(base_share::numeric, 6) AS before, round(share::numeric, 6) AS after, abs(difference) < 1e-9 AS near
FROM cxm.rake_report('SELECT * FROM answer', '{"region": {"north": 0.5, "south": 0.5}, "age": {"young": 0.55, "old": 0.45}}');

-- one variable: post-stratification, in one pass and by division
SELECT region, round(min(w.weight)::numeric, 9) AS weight
FROM cxm.post_stratify('SELECT id, region AS stratum FROM answer', '{"north": 1, "south": 2}') AS w JOIN public.answer USING (id) GROUP BY 1 ORDER BY 1;
SELECT iterations FROM cxm.rake_summary('SELECT id, region FROM answer', '{"region": {"north": 1, "south": 2}}');

-- weights to begin with: twice the weight is as two answers
SELECT round(sum(w.weight)::numeric, 7) AS weight, region, age
FROM cxm.rake('SELECT min(id) AS id, region, age, count(*) AS n FROM answer GROUP BY region, age', '{"region": {"north": 0.5, "south": 0.5}, "age": {"young": 55, "old": 45}}', base_weight => 'n', cap => 'infinity') AS w
JOIN public.answer USING (id) GROUP BY 2, 3 ORDER BY 2, 3;

-- unknown categories are left alone: their weight is what it would be without that variable
UPDATE public.answer SET age = NULL WHERE id <= 20;
SELECT variable, category, answers, round(share::numeric, 6) AS after FROM cxm.rake_report('SELECT * FROM answer', '{"region": {"north": 0.5, "south": 0.5}, "age": {"young": 0.55, "old": 0.45}}');

-- the cap holds, and is told of
SELECT max(weight) <= 1.2 AS holds, round(avg(weight)::numeric, 9) AS mean FROM cxm.rake('SELECT * FROM answer', '{"region": {"north": 0.2, "south": 0.8}}', cap => 1.2, tolerance => 0.001);
-- targets that exclude each other: nobody is young in the south
DELETE FROM public.answer WHERE region = 'south' AND age = 'young';
SELECT count(*) FROM cxm.rake('SELECT * FROM answer WHERE age IS NOT NULL', '{"region": {"north": 0.1, "south": 0.9}, "age": {"young": 0.9, "old": 0.1}}', cap => 'infinity');

-- against raking by plain SQL, over random answers with three variables
CREATE FUNCTION pg_temp.rake_by_hand(passes integer) RETURNS TABLE (id bigint, weight double precision) LANGUAGE plpgsql AS $$
DECLARE v record;
BEGIN
    CREATE TEMPORARY TABLE hand ON COMMIT DROP AS SELECT r.*, 1::double precision AS weight FROM public.random AS r;
    FOR i IN 1 .. passes LOOP
        FOR v IN SELECT * FROM (VALUES ('a'), ('b'), ('c')) AS x(name) LOOP
            EXECUTE format('UPDATE hand AS h SET weight = h.weight * t.share / s.share FROM public.target AS t,
                (SELECT %1$I AS category, sum(weight) / sum(sum(weight)) OVER () AS share FROM hand GROUP BY 1) AS s
                WHERE t.variable = %1$L AND t.category = h.%1$I AND s.category = h.%1$I', v.name);
        END LOOP;
    END LOOP;
    RETURN QUERY SELECT h.id, h.weight * count(*) OVER () / sum(h.weight) OVER () FROM hand AS h;
END $$;
CREATE TABLE public.random AS
SELECT i::bigint AS id, 'k' || abs(hashint8(i * 3)) % 2 AS a, 'k' || abs(hashint8(i * 5)) % 3 AS b, 'k' || abs(hashint8(i * 7 + 1)) % 5 AS c FROM generate_series(1, 500) AS i;
CREATE TABLE public.target (variable text, category text, share double precision);
INSERT INTO public.target VALUES ('a', 'k0', .3), ('a', 'k1', .7), ('b', 'k0', .2), ('b', 'k1', .3), ('b', 'k2', .5), ('c', 'k0', .1), ('c', 'k1', .3), ('c', 'k2', .2), ('c', 'k3', .25), ('c', 'k4', .15);
SELECT count(*), max(abs(w.weight - h.weight)) < 1e-8 AS same
FROM cxm.rake('SELECT * FROM random', (SELECT jsonb_object_agg(v.variable, v.shares) FROM (SELECT t.variable, jsonb_object_agg(t.category, t.share) AS shares FROM public.target AS t GROUP BY 1) AS v), tolerance => 1e-12) AS w
JOIN pg_temp.rake_by_hand(60) AS h USING (id);

-- then weighted figures are one join away
SELECT round(n.nps::numeric, 6) AS nps, round(n.standard_error::numeric, 6) AS se
FROM cxm.weighted_nps((SELECT cxm.weighted_nps_agg(id % 11, w.weight) FROM cxm.rake('SELECT * FROM random', '{"a": {"k0": 1, "k1": 1}}') AS w JOIN public.random USING (id))) AS n;

-- the error of a mean that knows of raking. R 4.2, survey: d <- data.frame(a = (i * i) %% 3, b = i %% 4 + (i %% 5) %/% 3, v = (i * 7) %% 11, w = 1 + i %% 3) for i in 1:60,
-- m <- svymean(~v, rake(svydesign(ids = ~1, weights = ~1 or ~w, data = d), list(~a, ~b), list(A, B), control = list(maxit = 5000, epsilon = 1e-11)), na.rm = TRUE), or
-- postStratify(..., ~b, B); coef(m), SE(m), confint(m)
CREATE TABLE public.design AS SELECT i AS id, i * i % 3 AS a, i % 4 + i % 5 / 3 AS b, i * 7 % 11 AS v, CASE WHEN i % 13 <> 5 THEN i * 7 % 11 END AS some, 1 + i % 3 AS w FROM generate_series(1, 60) AS i;
SELECT c.n, abs(m.mean - c.mean) < 1e-9 AS mean, abs(m.standard_error - c.error) < 1e-9 AS error, abs(m.lower - c.lower) < 1e-8 AND abs(m.upper - c.upper) < 1e-8 AS interval, m.answers
FROM (VALUES (1, '{a,b}'::text[], 'v', NULL, 5.01708333333, 0.423227982712, 4.18757172997, 5.8465949367),
             (2, '{a,b}', 'some', NULL, 5.10856886496, 0.439353455818, 4.24745191508, 5.96968581485),
             (3, '{a,b}', 'v', 'w', 5.08133333333, 0.427931270247, 4.24260345579, 5.92006321088),
             (4, '{b}', 'v', NULL, 5.08611111111, 0.418641367956, 4.26558910748, 5.90663311474),
             (5, '{b}', 'v', 'w', 5.01944444444, 0.446645720475, 4.14403491846, 5.89485397042),
             (6, '{b}', 'some', 'w', 5.15380011969, 0.463021503099, 4.24629464955, 6.06130558983)) AS c(n, variables, value, base_weight, mean, error, lower, upper),
LATERAL (SELECT jsonb_object_agg(t.key, t.value) AS targets FROM jsonb_each('{"a": {"0": 25, "1": 75}, "b": {"0": 10, "1": 20, "2": 30, "3": 25, "4": 15}}') AS t WHERE t.key = ANY (c.variables)) AS t,
LATERAL cxm.raked_mean('SELECT * FROM design', t.targets, c.value, 'infinity', base_weight => c.base_weight, tolerance => 1e-13) AS m ORDER BY c.n;
-- the mean is that of the weights; without values there is none, with one no error
SELECT abs(m.mean - n.nps) < 1e-9 AS nps, m.standard_error < n.standard_error AS certain
FROM cxm.raked_mean('SELECT id, a, b, cxm.nps_points(v) AS value FROM design WHERE v < 11', '{"b": {"0": 10, "1": 20, "2": 30, "3": 25, "4": 15}}') AS m,
     cxm.weighted_nps((SELECT cxm.weighted_nps_agg(d.v, w.weight) FROM cxm.rake('SELECT * FROM design', '{"b": {"0": 10, "1": 20, "2": 30, "3": 25, "4": 15}}') AS w JOIN public.design AS d USING (id))) AS n;
SELECT * FROM cxm.raked_mean('SELECT id, a, NULL::integer AS value FROM design', '{"a": {"0": 1, "1": 2}}');
SELECT * FROM cxm.raked_mean('SELECT id, a, nullif(id, 1) + CASE WHEN id > 2 THEN NULL::integer ELSE 5 END AS value FROM design', '{"a": {"0": 1, "1": 2}}');
SELECT * FROM cxm.raked_mean('SELECT id, a, ''NaN''::real AS value FROM design', '{"a": {"0": 1, "1": 2}}');
SELECT * FROM cxm.raked_mean('SELECT * FROM design', '{"a": {"0": 1, "1": 2}}', 'v', confidence => 1);
SELECT * FROM cxm.rake_mean('{1,1}', '{1}', '{1,1}', '{1}', '{1,2}', 0.95);
SELECT * FROM cxm.rake_mean('{1,1}', '{1}', '{1,1}', '{1,1}', '{1}', 0.95);
SELECT * FROM cxm.rake_mean('{1,2}', '{1}', '{1,1}', '{1,1}', '{1,2}', 0.95);
SELECT * FROM cxm.rake_mean('{1,1}', '{3}', '{1,1}', '{1,1}', '{1,2}', 0.95);
SELECT * FROM cxm.rake_mean('{1,1}', '{1}', '{1,1}', '{1,0}', '{1,2}', 0.95);
DROP TABLE public.design;

-- refused
SELECT * FROM cxm.rake(NULL, '{}');
SELECT * FROM cxm.rake('SELECT * FROM answer', '[]');
SELECT * FROM cxm.rake('SELECT * FROM answer', '{}');
SELECT * FROM cxm.rake('SELECT * FROM answer', '{"region": {}}');
SELECT * FROM cxm.rake('SELECT * FROM answer', '{"region": {"north": 0, "south": 1}}');
SELECT * FROM cxm.rake('SELECT * FROM answer', '{"region": {"north": "1", "south": 1}}');
SELECT * FROM cxm.rake('SELECT * FROM answer', '{"region": {"north": 1}}');
SELECT * FROM cxm.rake('SELECT * FROM answer', '{"region": {"north": 1, "south": 1, "east": 1}}');
SELECT * FROM cxm.rake('SELECT * FROM answer', '{"reg\"ion": {"north": 1}}');
SELECT * FROM cxm.rake('SELECT * FROM answer', '{"region": {"nor''th": 1, "south": 1}}');
SELECT * FROM cxm.rake('SELECT * FROM answer WHERE false', '{"region": {"north": 1, "south": 1}}');
SELECT * FROM cxm.rake('SELECT NULL AS id, region FROM answer', '{"region": {"north": 1, "south": 1}}');
SELECT * FROM cxm.rake('SELECT *, 0 AS w FROM answer', '{"region": {"north": 1, "south": 1}}', base_weight => 'w');
SELECT * FROM cxm.rake('SELECT * FROM answer', '{"region": {"north": 1, "south": 1}}', cap => 1);
SELECT * FROM cxm.rake('SELECT * FROM answer', '{"region": {"north": 1, "south": 1}}', max_iterations => 0);
SELECT * FROM cxm.rake('SELECT * FROM answer', '{"region": {"north": 1, "south": 1}}', tolerance => 'NaN');
SELECT * FROM cxm.rake_weights('{1,1}', '{1}', '{1}', '{1}', 5, 10, 0.1);
SELECT * FROM cxm.rake_weights('{2}', '{1}', '{1}', '{1}', 5, 10, 0.1);
SELECT * FROM cxm.rake_weights('{1}', '{2}', '{1}', '{1}', 5, 10, 0.1);
SELECT * FROM cxm.rake_weights('{}', '{}', '{}', '{}', 5, 10, 0.1);
SHOW search_path;
DROP TABLE public.answer, public.random, public.target;
