-- linkage: weights by hand, EM on exact populations, every kind of level, order of rows, rights, errors

-- state, message and detail of the error that a query raises
CREATE FUNCTION pg_temp.fails(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE query;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(' -- ' || nullif(detail, ''), '');
END $$;

CREATE TEMP TABLE person (id integer, name text, born date, amount numeric, tags text[], city varchar);
INSERT INTO person VALUES
(1, 'MARTHA', '1980-01-01', 100, '{a,b,c}', 'Rome'),
(2, 'MARHTA', '1980-01-02', 104, '{c,b,x}', 'Rome'),
(3, 'DIXON', '1980-01-31', 200, '{d}', 'Oslo'),
(4, 'DICKSONX', NULL, 300, '{}', 'Rome'),
(5, NULL, '1999-12-31', NULL, NULL, NULL),
(6, 'MARTHA', '1980-01-01', 100, '{b,a,c,a,NULL}', 'Lima');

-- a model filled in by hand
CREATE TEMP TABLE model AS SELECT $$ {
 "lambda": 0.01,
 "comparisons": [
  {"column": "name", "levels": [{"exact": true, "m": 0.6, "u": 0.1}, {"jaro_winkler": 0.9, "m": 0.3, "u": 0.02}, {"else": true, "m": 0.1, "u": 0.88}]},
  {"column": "born", "name": "birth", "levels": [{"days": 0, "m": 0.7, "u": 0.001}, {"days": 30, "m": 0.2, "u": 0.01}, {"else": true, "m": 0.1, "u": 0.989}]},
  {"column": "amount", "levels": [{"difference": 0, "m": 0.5, "u": 0.1}, {"relative": 0.05, "m": 0.3, "u": 0.2}, {"else": true, "m": 0.2, "u": 0.7}]},
  {"column": "tags", "levels": [{"jaccard": 1, "m": 0.4, "u": 0.05}, {"intersect": 2, "m": 0.4, "u": 0.05}, {"else": true, "m": 0.2, "u": 0.9}]},
  {"column": "city", "term_frequency": 0.5, "levels": [{"exact": true, "m": 0.8, "u": 0.3}, {"else": true, "m": 0.2, "u": 0.7}]}],
 "blocking": [["city"], ["name"], ["born"]]} $$::jsonb AS m;

-- all pairs that the rules bring together, each once
SELECT record_a, record_b, round(weight::numeric, 9) AS weight, round(probability::numeric, 9) AS probability, levels
FROM model, cxm.linkage_score('TABLE person', m, 0) ORDER BY record_a, record_b;

-- the same by the formula: Rome is three of five cities
SELECT bool_and(abs(s.weight - e.weight) < 1e-9 AND abs(s.probability - 2 ^ e.weight / (1 + 2 ^ e.weight)) < 1e-9) AS by_hand, count(*)
FROM model, cxm.linkage_score('TABLE person', m, 0) AS s
JOIN (SELECT record_a, record_b, (ln(0.01 / 0.99) + ln(ratio) + 0.5 * ln(tf)) / ln(2.0::float8) AS weight FROM (VALUES
    ('1', '2', (0.3 / 0.02) * (0.2 / 0.01) * (0.3 / 0.2) * (0.4 / 0.05) * (0.8 / 0.3)::float8, (0.3 / (3 / 5.0))::float8),
    ('1', '4', (0.1 / 0.88) * (0.2 / 0.7) * (0.2 / 0.9) * (0.8 / 0.3)::float8, (0.3 / (3 / 5.0))::float8),
    ('2', '4', (0.1 / 0.88) * (0.2 / 0.7) * (0.2 / 0.9) * (0.8 / 0.3)::float8, (0.3 / (3 / 5.0))::float8),
    ('1', '6', (0.6 / 0.1) * (0.7 / 0.001) * (0.5 / 0.1) * (0.4 / 0.05) * (0.2 / 0.7)::float8, 1::float8)) AS v (record_a, record_b, ratio, tf)) AS e USING (record_a, record_b);

-- the elements of an array are a set
SELECT s.record_a, s.record_b, s.levels
FROM cxm.linkage_score($$SELECT v.id, v.tags FROM (VALUES (1, '{a,b}'::text[]), (2, '{b,a,a}'), (3, '{a}')) AS v(id, tags)$$,
    '{"lambda": 0.1, "blocking": [[]], "comparisons": [{"column": "tags", "levels": [{"exact": true, "m": 0.9, "u": 0.1}, {"else": true, "m": 0.1, "u": 0.9}]}]}', 0) AS s
ORDER BY s.record_a, s.record_b;

-- a threshold keeps what is at least there
SELECT t, count(s.*) FROM model, unnest(ARRAY[0, 0.001, 0.5, 0.9, 0.999, 0.9999999]) AS t
LEFT JOIN LATERAL cxm.linkage_score('TABLE person', m, t) AS s ON true GROUP BY t ORDER BY t;

-- why
SELECT step, comparison, value_a, value_b, level, round(e.m::numeric, 3) AS m, round(u::numeric, 3) AS u, round(weight::numeric, 6) AS weight, round(total::numeric, 6) AS total, round(probability::numeric, 6) AS probability
FROM model, cxm.linkage_explain('TABLE person', model.m, '1', '2') AS e ORDER BY step;
SELECT comparison, value_a, value_b, level, round(weight::numeric, 6) AS weight FROM model, cxm.linkage_explain('TABLE person', model.m, '5', '1') WHERE step > 0 ORDER BY step;
SELECT bool_and(abs(s.weight - (SELECT total FROM cxm.linkage_explain('TABLE person', m, record_a, record_b) ORDER BY step DESC LIMIT 1)) < 1e-12) AS adds_up
FROM model, cxm.linkage_score('TABLE person', m, 0) AS s;

-- two sources, one-to-one: the heaviest pairs first
CREATE TEMP TABLE two AS SELECT id, name, CASE WHEN id IN (1, 3, 6) THEN 'crm' ELSE 'till' END AS side, true AS everyone FROM person;
INSERT INTO two VALUES (6, 'DIXON', 'till', true), (7, 'MARTHA', 'till', true);
CREATE TEMP TABLE two_model AS SELECT '{"link_type": "link_only", "source": "side", "lambda": 0.2, "blocking": ["everyone"], "comparisons": [{"column": "name", "levels":
 [{"exact": true, "m": 0.8, "u": 0.05}, {"jaro_winkler": 0.9, "m": 0.15, "u": 0.05}, {"else": true, "m": 0.05, "u": 0.9}]}]}'::jsonb AS m;
SELECT record_a, record_b, round(probability::numeric, 6) AS probability, levels FROM two_model, cxm.linkage_score('TABLE two', m, 0.1) ORDER BY weight DESC, 1, 2;
SELECT record_a, record_b, round(probability::numeric, 6) AS probability FROM two_model, cxm.linkage_score('TABLE two', m, 0.1, true) ORDER BY weight DESC, 1, 2;
SELECT pg_temp.fails($$SELECT cxm.linkage_score('TABLE person', m, 0.5, true) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('TABLE two', m || '{"link_type": "dedupe"}', 0.5) FROM two_model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('SELECT id, name, everyone, id % 3 AS side FROM two', m, 0.5) FROM two_model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('SELECT id, name, everyone, 1 AS side FROM person, (SELECT true AS everyone) AS e', m, 0.5) FROM two_model$$);

-- EM: a population that has the probabilities exactly is its own estimate
CREATE TEMP TABLE population AS
SELECT g1, g2, g3, round(1e9 * (0.5 * m1 * m2 * m3 + 0.5 * u1 * u2 * u3))::bigint AS n, 0.5 * m1 * m2 * m3 / (0.5 * m1 * m2 * m3 + 0.5 * u1 * u2 * u3) AS probability
FROM (VALUES (1, 0.7, 0.1), (0, 0.3, 0.9)) AS c1 (g1, m1, u1), (VALUES (1, 0.9, 0.025), (0, 0.1, 0.975)) AS c2 (g2, m2, u2), (VALUES (1, 0.95, 0.2), (0, 0.05, 0.8)) AS c3 (g3, m3, u3);
SELECT round((r ->> 'lambda')::numeric, 5) AS lambda, (SELECT array_agg(round((x -> 1)::numeric, 5)) FROM jsonb_array_elements(r -> 'm') AS x) AS m,
       (SELECT array_agg(round((x -> 1)::numeric, 5)) FROM jsonb_array_elements(r -> 'u') AS x) AS u, r -> 'converged' AS converged
FROM (SELECT cxm.em(array_agg(ARRAY[g1, g2, g3]), array_agg(n)) AS r FROM population) AS e;
-- rows one by one give what counts give; a missing value says nothing
SELECT abs((cxm.em(array_agg(ARRAY[g1, g2, g3])) ->> 'lambda')::float8 - (SELECT (cxm.em(array_agg(ARRAY[g1, g2, g3]), array_agg(n / 1000000)) ->> 'lambda')::float8 FROM population)) < 1e-6 AS same
FROM population, generate_series(1, n / 1000000);
SELECT abs((cxm.em(array_agg(ARRAY[g1, g2, g3, -1]), array_agg(n)) ->> 'lambda')::float8 - 0.5) < 1e-5 AS missing FROM population;
SELECT cxm.em(NULL) IS NULL AND cxm.em('{{1,0},{0,1}}', '{0,0}') IS NULL AS "NULL";
SELECT pg_temp.fails($$SELECT cxm.em('{1,2}')$$);
SELECT pg_temp.fails($$SELECT cxm.em('{{1,NULL}}')$$);
SELECT pg_temp.fails($$SELECT cxm.em('{{1,15}}')$$);
SELECT pg_temp.fails($$SELECT cxm.em('{{1,-2}}')$$);
SELECT pg_temp.fails($$SELECT cxm.em('{{1,1}}', '{1,2}')$$);
SELECT pg_temp.fails($$SELECT cxm.em('{{1,1}}', '{-1}')$$);
SELECT pg_temp.fails($$SELECT cxm.em('{{1,1}}', NULL, 0)$$);
SELECT pg_temp.fails($$SELECT cxm.em('{{1,1}}', NULL, 10, 'NaN')$$);
SELECT pg_temp.fails($$SELECT cxm.em(ARRAY[(SELECT array_agg(1) FROM generate_series(1, 17))])$$);

-- people whose records are there once to three times, with slips
CREATE TEMP TABLE people AS
SELECT row_number() OVER () AS id, who,
       CASE WHEN who % 9 = copy THEN NULL WHEN who % 7 = copy THEN first_name || 'e' ELSE first_name END AS first_name,
       CASE WHEN who % 11 = copy THEN overlay(surname PLACING 'q' FROM 2 FOR 1) ELSE surname END AS surname,
       CASE WHEN who % 5 = copy THEN born + 1 ELSE born END AS born, city
FROM (SELECT who, (ARRAY['anna', 'bert', 'carla', 'dennis', 'emma', 'frank', 'gerda', 'hugo', 'ines', 'jakob'])[1 + (hashint4(who) & 65535) % 10] AS first_name,
             left(translate(md5((who % 97)::text), '0123456789', 'aeiourstln'), 7) AS surname, date '1950-01-01' + (hashint4(-who) & 65535) % 9000 AS born,
             (ARRAY['Bonn', 'Kiel', 'Ulm'])[1 + (hashint4(who * 3) & 65535) % 3] AS city
      FROM generate_series(1, 600) AS who) AS p, generate_series(0, 2) AS copy
WHERE copy <= who % 3;
CREATE TEMP TABLE settings AS SELECT '{"comparisons": [
  {"column": "first_name", "term_frequency": true, "levels": ["exact", {"jaro_winkler": 0.88}]},
  {"column": "surname", "term_frequency": true, "levels": ["exact", {"damerau": 1}]},
  {"column": "born", "levels": ["exact", {"days": 7}]},
  {"column": "city", "levels": ["exact"]}],
 "blocking": [["surname", "city"], "born", ["first_name", "born"]], "training": ["surname", "born"]}'::jsonb AS s;
CREATE TEMP TABLE trained AS SELECT cxm.linkage_train('SELECT id, first_name, surname, born, city FROM people', s) AS m FROM settings;
SELECT round(count(*) FILTER (WHERE x.who = y.who) / count(*)::numeric, 2) AS precision,
       round(count(*) FILTER (WHERE x.who = y.who) / (SELECT count(*) FROM people AS a JOIN people AS b ON a.who = b.who AND a.id < b.id)::numeric, 2) AS recall
FROM trained, cxm.linkage_score('TABLE people', m) AS l JOIN people AS x ON x.id = l.record_a::bigint JOIN people AS y ON y.id = l.record_b::bigint;
-- m and u are probabilities, lambda is near the truth
SELECT bool_and(abs(sum_m - 1) < 1e-9 AND abs(sum_u - 1) < 1e-9) AS sum_to_one
FROM trained, jsonb_array_elements(m -> 'comparisons') AS c, LATERAL (SELECT sum((x ->> 'm')::float8) AS sum_m, sum((x ->> 'u')::float8) AS sum_u FROM jsonb_array_elements(c -> 'levels') AS x) AS s;
SELECT (m ->> 'lambda')::float8 / (count(*) / (1200 * 1199 / 2.0)) BETWEEN 0.8 AND 1.25 AS lambda FROM trained, people AS a JOIN people AS b ON a.who = b.who AND a.id < b.id GROUP BY m;
-- neither the order of the rows nor how the session shows dates and numbers changes anything
SELECT cxm.linkage_train('SELECT * FROM people ORDER BY md5(id::text)', s) = m AS shuffled, cxm.linkage_train('TABLE people', s, 42) = m AS again, cxm.linkage_train('TABLE people', m) IS NOT NULL AS retrained FROM settings, trained;
BEGIN;
SET LOCAL extra_float_digits = -15;
SET LOCAL DateStyle = 'German';
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT cxm.linkage_train('TABLE people', s) = m AS digits FROM settings, trained;
COMMIT;
SELECT count(*) AS different FROM (
    (SELECT l.* FROM trained, cxm.linkage_score('TABLE people', m, 0) AS l EXCEPT ALL SELECT l.* FROM trained, cxm.linkage_score('SELECT * FROM people ORDER BY md5(id::text)', m, 0) AS l)
    UNION ALL (SELECT l.* FROM trained, cxm.linkage_score('SELECT * FROM people ORDER BY md5(id::text)', m, 0) AS l EXCEPT ALL SELECT l.* FROM trained, cxm.linkage_score('TABLE people', m, 0) AS l)) AS d;
-- a sample is as good as its size, and the seed decides which
SELECT cxm.linkage_train('TABLE people', s || '{"sample": 5000}', 1) = cxm.linkage_train('TABLE people', s || '{"sample": 5000}', 1) AS same_seed,
       cxm.linkage_train('TABLE people', s || '{"sample": 5000}', 1) = cxm.linkage_train('TABLE people', s || '{"sample": 5000}', 2) AS other_seed FROM settings;
-- deterministic rules with a recall set lambda; a comparison that cannot be trained says so
SELECT (cxm.linkage_train('TABLE people', s || '{"deterministic": [["first_name", "surname", "born"]], "recall": 0.5}') ->> 'lambda')::float8 * (1200 * 1199 / 2) / count(*) AS twice
FROM settings, people AS a JOIN people AS b ON a.id < b.id AND (a.first_name, a.surname, a.born) = (b.first_name, b.surname, b.born) GROUP BY s;
SELECT cxm.linkage_train('TABLE people', s || '{"training": ["born"]}') -> 'comparisons' -> 2 -> 'trained' AS trained FROM settings;
-- clusters from links: nobody is mixed up, few are split
WITH edge AS (
    SELECT l.record_a::bigint AS a, l.record_b::bigint AS b FROM trained, cxm.linkage_score('TABLE people', m) AS l
    UNION ALL SELECT id, id FROM people)
SELECT count(DISTINCT c.component) BETWEEN 600 AND 660 AS few_split, count(DISTINCT (c.component, p.who)) = count(DISTINCT c.component) AS none_mixed
FROM (SELECT array_agg(a) AS a, array_agg(b) AS b FROM edge) AS e, cxm.components(e.a, e.b) AS c JOIN people AS p ON p.id = c.member;

-- the query runs as the caller
CREATE ROLE regress_linkage_reader;
GRANT USAGE ON SCHEMA cxm TO regress_linkage_reader;
GRANT SELECT (m) ON model TO regress_linkage_reader;
SET ROLE regress_linkage_reader;
SELECT pg_temp.fails($$SELECT cxm.linkage_score('TABLE person', (SELECT m FROM model))$$);
RESET ROLE;
REVOKE ALL ON SCHEMA cxm FROM regress_linkage_reader;
REVOKE ALL ON model FROM regress_linkage_reader;
DROP ROLE regress_linkage_reader;

-- hostile queries
SELECT pg_temp.fails($$SELECT cxm.linkage_score(q, m) FROM model, (VALUES ('person')) AS v (q)$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('DELETE FROM person', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('SELECT 1; SELECT 2', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('SELECT id, name FROM person', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('SELECT *, id AS twice FROM person UNION ALL SELECT *, id FROM person', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('SELECT NULL::text AS id, name, born, amount, tags, city FROM person', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('SELECT id, name, name AS born, amount, tags, city FROM person', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('SELECT id, name, born, amount, name AS tags, city FROM person', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('SELECT id, tags AS name, born, amount, tags, city FROM person', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('SELECT id, name, born, 1 / (id - 3) AS amount, tags, city FROM person', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_explain('TABLE person', m, '1', '99') FROM model$$);
SELECT count(*) AS no_records FROM model, cxm.linkage_score('SELECT * FROM person WHERE false', m, 0);
SELECT pg_temp.fails($$SELECT cxm.linkage_train('SELECT * FROM person WHERE id = 1', m) FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_train('TABLE person', m || '{"training": [["name", "city", "born"]]}') FROM model$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('TABLE people', m || '{"max_pairs": 100, "blocking": ["city"]}') FROM trained$$);

-- or the commonest values are left out; another rule still brings their pairs together
SELECT count(*) FILTER (WHERE b = 'city') AS of_city, count(*) FILTER (WHERE b = 'both') = (SELECT count(*) FROM people AS x JOIN people AS y USING (born) WHERE x.id < y.id) AS of_born
FROM trained, (VALUES ('city', '["city"]'::jsonb), ('both', '["city", "born"]')) AS v (b, rules), cxm.linkage_score('TABLE people', m || jsonb_build_object('max_block', 30, 'blocking', rules), 0);

-- hostile settings
SELECT settings, pg_temp.fails(format('SELECT cxm.linkage_train(''TABLE person'', %L)', settings)) AS error
FROM unnest(ARRAY[
    '[]', '1', '{}', '{"comparisons": []}', '{"comparisons": 1}', '{"comparisons": [1]}', '{"comparisons": [{"levels": ["exact"]}]}',
    '{"comparisons": [{"column": 1, "levels": ["exact"]}]}', '{"comparisons": [{"column": "name"}]}', '{"comparisons": [{"column": "name", "levels": []}]}',
    '{"comparisons": [{"column": "name", "levels": ["else"]}]}', '{"comparisons": [{"column": "name", "levels": ["soundex"]}]}', '{"comparisons": [{"column": "name", "levels": ["damerau"]}]}',
    '{"comparisons": [{"column": "name", "levels": [{"damerau": -1}]}]}', '{"comparisons": [{"column": "name", "levels": [{"jaro_winkler": 1.5}]}]}',
    '{"comparisons": [{"column": "name", "levels": [{"jaro_winkler": "x"}]}]}', '{"comparisons": [{"column": "name", "levels": [{"exact": false}]}]}',
    '{"comparisons": [{"column": "name", "levels": [{"exact": true, "damerau": 1}]}]}', '{"comparisons": [{"column": "name", "levels": [{"exact": true, "k": 1}]}]}',
    '{"comparisons": [{"column": "name", "levels": [{"exact": true, "m": 0, "u": 1}]}]}', '{"comparisons": [{"column": "name", "levels": ["else", "exact"]}]}', '{"comparisons": [{"column": "name", "levels": [{}]}]}',
    '{"comparisons": [{"column": "name", "levels": ["exact"], "colour": 1}]}', '{"comparisons": [{"column": "name", "levels": [{"damerau": 1}], "term_frequency": true}]}',
    '{"comparisons": [{"column": "name", "levels": ["exact"], "term_frequency": 2}]}', '{"comparisons": [{"column": "nosuch", "levels": ["exact"]}], "training": ["name"]}',
    '{"comparisons": [{"column": "name", "levels": ["exact"]}]}', '{"comparisons": [{"column": "name", "levels": ["exact"]}], "training": [[]]}', '{"comparisons": [{"column": "name", "levels": ["exact"]}], "training": [[1]]}',
    '{"comparisons": [{"column": "name", "levels": ["exact"]}], "training": {"a": 1}}', '{"comparisons": [{"column": "name", "levels": ["exact"]}], "training": ["name"], "lambda": 2}',
    '{"comparisons": [{"column": "name", "levels": ["exact"]}], "training": ["name"], "recall": 0}', '{"comparisons": [{"column": "name", "levels": ["exact"]}], "training": ["name"], "link_type": "merge"}',
    '{"comparisons": [{"column": "name", "levels": ["exact"]}], "training": ["name"], "correct_u": 1}', '{"comparisons": [{"column": "name", "levels": ["exact"]}], "trainings": ["name"]}',
    '{"comparisons": [{"column": "name", "levels": [1]}], "training": ["name"]}', '{"comparisons": [{"column": "", "levels": ["exact"]}], "training": ["name"]}'
    ]::text[]) WITH ORDINALITY AS v (settings, n) ORDER BY n;
SELECT pg_temp.fails(format('SELECT cxm.linkage_train(''TABLE person'', %L)', jsonb_build_object('comparisons', jsonb_agg('{"column": "name", "levels": ["exact"]}'::jsonb)))) FROM generate_series(1, 17);
SELECT pg_temp.fails(format('SELECT cxm.linkage_train(''TABLE person'', %L)', jsonb_build_object('comparisons', jsonb_build_array(jsonb_build_object('column', 'name', 'levels', jsonb_agg('"exact"'::jsonb)))))) FROM generate_series(1, 15);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('TABLE people', s) FROM settings$$);
SELECT pg_temp.fails($$SELECT cxm.linkage_score('TABLE people', m - 'blocking') FROM trained$$);
SELECT pg_temp.fails(format('SELECT cxm.linkage_score(''TABLE people'', m, %L) FROM trained', t)) FROM unnest('{-0.1,1,NaN}'::float8[]) AS t;
SELECT cxm.linkage_train(NULL, '{}') IS NULL AND NOT EXISTS (SELECT FROM cxm.linkage_score(NULL, '{}')) AS "NULL";

-- a run can be cancelled
SET statement_timeout = '300ms';
SELECT count(*) FROM trained, cxm.linkage_score('SELECT row_number() OVER () AS id, p.first_name, p.surname, p.born, 1 AS city, 1 AS one FROM people AS p, generate_series(1, 40)', m || '{"blocking": ["one"], "max_pairs": 1e10}', 0.999);
RESET statement_timeout;

--
-- Rules by the beginning of a column, and without columns; texts in one form
--
CREATE TEMPORARY TABLE spelling (id, name, town) AS VALUES (1, 'Müller', 'Köln'), (2, ' MÜLLER ', 'köln'), (3, 'Müllner', 'Kölln'), (4, 'Adam', '  '), (5, 'Adam', '');
CREATE FUNCTION pg_temp.pairs(settings text) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(record_a || '-' || record_b || ' ' || levels::text, ', ' ORDER BY record_a, record_b)
FROM cxm.linkage_score('TABLE spelling', ('{"lambda": 0.01, "comparisons": [{"column": "name", "levels": [{"exact": true, "m": 0.9, "u": 0.1}, {"else": true, "m": 0.1, "u": 0.9}]},
    {"column": "town", "levels": [{"exact": true, "m": 0.9, "u": 0.1}, {"else": true, "m": 0.1, "u": 0.9}]}]}'::jsonb || settings::jsonb), 0) $$;
SELECT pg_temp.pairs('{"blocking": [[]]}') AS all_pairs;
SELECT pg_temp.pairs('{"blocking": [{"column": "name", "first": 5}]}') AS bytes_as_they_are, pg_temp.pairs('{"clean": true, "blocking": [{"column": "name", "first": 5}]}') AS clean;
SELECT pg_temp.pairs('{"clean": true, "blocking": [[{"column": "name", "first": 2}, {"column": "town", "first": 2}], "name"]}') AS two_rules;
SELECT pg_temp.pairs('{"clean": true, "max_block": 2, "blocking": [[]]}') IS NOT NULL AS all_is_no_block;
SELECT pg_temp.pairs('{"blocking": [{"column": "name", "first": 0}]}');
SELECT pg_temp.pairs('{"blocking": [{"column": "name", "last": 2}]}');
SELECT pg_temp.pairs('{"blocking": [{"first": 2}]}');

--
-- Related people: of 600 households each two or three people, who share surname, address and perhaps the telephone; a
-- third of the people are there twice. Without that class of pairs the members of a household are taken for one person.
--
CREATE TEMPORARY TABLE household AS
SELECT who * 2 + copy AS id, who,
       left(translate(md5((hashint4(who) % 300)::text), '0123456789', 'aeiourstln'), 6) AS first_name, left(translate(md5((home % 211)::text || 's'), '0123456789', 'aeiourstln'), 7) AS surname,
       date '1940-01-01' + abs(hashint4(who * 5)) % 25000 AS dob, (home % 97 + 1)::text || ' ' || left(translate(md5(home::text || 'a'), '0123456789', 'aeiourstln'), 9) || ' road' AS address,
       CASE WHEN who % 3 > 0 THEN (1000000 + home * 7919)::text ELSE (5000000 + who * 7919)::text END AS phone
FROM (SELECT who, who * 2 / 5 AS home FROM generate_series(1, 1500) AS who) AS p, generate_series(0, 1) AS copy WHERE copy = 0 OR who % 3 = 0;
UPDATE household SET first_name = overlay(first_name PLACING 'x' FROM 3 FOR 1) WHERE id % 14 = 1;
UPDATE household SET dob = NULL WHERE id % 10 = 1;
UPDATE household SET address = 'moved ' || id WHERE id % 18 = 1;
CREATE FUNCTION pg_temp.households(personal boolean, OUT complete boolean, OUT precise boolean, OUT related boolean) LANGUAGE plpgsql AS $$
DECLARE
    settings jsonb := cxm.linkage_settings('SELECT id, first_name, surname, dob, address, phone FROM household');
    model jsonb;
BEGIN
    IF NOT personal THEN
        settings := replace(settings::text, '"personal": true', '"personal": false')::jsonb;
    END IF;
    model := cxm.linkage_train('SELECT id, first_name, surname, dob, address, phone FROM household', settings);
    SELECT count(*) FILTER (WHERE x.who = y.who) > 475, avg((x.who = y.who)::integer) > 0.95, (model ->> 'lambda_related')::float8 > (model ->> 'lambda')::float8 / 10
    INTO complete, precise, related
    FROM cxm.linkage_score('SELECT id, first_name, surname, dob, address, phone FROM household', model, 0.9) AS s
    JOIN household AS x ON x.id::text = s.record_a JOIN household AS y ON y.id::text = s.record_b;
END $$;
SELECT * FROM pg_temp.households(true);
SELECT * FROM pg_temp.households(false);
-- the weight is that of the odds against strangers and relatives together
WITH m AS (SELECT '{"lambda": 0.1, "lambda_related": 0.2, "blocking": [[]], "comparisons": [{"column": "name", "levels": [{"exact": true, "m": 0.9, "u": 0.01, "r": 0.5}, {"else": true, "m": 0.1, "u": 0.99, "r": 0.5}]}]}'::jsonb AS model)
SELECT s.record_a, s.record_b, abs(s.weight - log(2, (0.1 * x.m / (0.7 * x.u + 0.2 * x.r))::numeric)) < 1e-9 AS as_by_hand, abs(e.total - s.weight) < 1e-9 AS explained
FROM m, cxm.linkage_score('SELECT id, name FROM spelling WHERE id > 2', m.model, 0) AS s
CROSS JOIN LATERAL (SELECT CASE WHEN s.levels[1] = 1 THEN 0.9 ELSE 0.1 END AS m, CASE WHEN s.levels[1] = 1 THEN 0.01 ELSE 0.99 END AS u, 0.5 AS r) AS x
CROSS JOIN LATERAL (SELECT total FROM cxm.linkage_explain('SELECT id, name FROM spelling WHERE id > 2', m.model, s.record_a, s.record_b) ORDER BY step DESC LIMIT 1) AS e
ORDER BY 1, 2;
SELECT cxm.linkage_score('TABLE spelling', '{"lambda": 0.5, "lambda_related": 0.2, "blocking": [[]], "comparisons": [{"column": "name", "levels": [{"exact": true, "m": 0.9, "u": 0.1}, {"else": true, "m": 0.1, "u": 0.9}]}]}');
