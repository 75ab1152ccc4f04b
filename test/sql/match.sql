-- Records that are alike become links: what a run writes, what it leaves as it is, what it takes back; the queue.
\pset format unaligned
\pset footer off
\set VERBOSITY terse
SET client_min_messages = warning;
SET cxm.notify_mode = off;

-- a threshold from scores alone: the greatest expected F1, and never the toss of a coin
SELECT cxm.match_threshold('{0.999, 0.99, 0.97, 0.2, 0.1}'), cxm.match_threshold('{0.9, 0.6}'), cxm.match_threshold('{1}'), cxm.match_threshold('{}'), cxm.match_threshold(NULL);

BEGIN;
DROP SCHEMA IF EXISTS cx CASCADE;
DO $$ BEGIN PERFORM cxm.create_store(); END $$;
SELECT cxm.add_namespace('crm', 1000);

-- 300 people, the first 100 of whom are there twice: with a slip, or word for word
CREATE TABLE contact AS
SELECT who * 2 + copy AS id, who,
       CASE WHEN copy = 1 AND who % 4 = 1 THEN overlay(n.first_name PLACING 'x' FROM 3 FOR 1) ELSE n.first_name END AS first_name,
       CASE WHEN copy = 1 AND who % 5 = 1 THEN NULL ELSE left(translate(md5((who % 150)::text), '0123456789', 'aeiourstln'), 7) END AS surname,
       date '1950-01-01' + abs(hashint4(who)) % 20000 + CASE WHEN copy = 1 AND who % 7 = 1 THEN 1 ELSE 0 END AS born,
       CASE WHEN copy = 1 AND who % 6 = 1 THEN NULL ELSE (10000 + abs(hashint4(who * 7)) % 500)::text END AS postcode
FROM (SELECT who, (ARRAY['anneliese', 'bertram', 'carlotta', 'dennis', 'emmanuel', 'frederick', 'gerlinde', 'hugobald'])[1 + abs(hashint4(who * 3)) % 8] AS first_name
      FROM generate_series(1, 300) AS who) AS n, generate_series(0, 1) AS copy
WHERE copy = 0 OR who <= 100;

-- settings that nobody gave: every column, of its kind; identifiers are not compared
SELECT x ->> 'column' AS col, x -> 'levels' -> 0 AS first_level, x -> 'personal' AS personal, x -> 'term_frequency' AS tf
FROM jsonb_array_elements(cxm.linkage_settings('SELECT id, first_name, surname, born, postcode, id AS value FROM contact', '{"ignore": ["value"]}') -> 'comparisons') AS x ORDER BY 1;
SELECT cxm.linkage_settings('SELECT id, first_name, surname FROM contact', '{"blocking": ["surname"]}') -> 'blocking' AS given_stands;

-- one call: 100 pairs, and nearly all of them found
CREATE TEMPORARY TABLE run1 AS SELECT * FROM cxm.link_records('SELECT id, first_name, surname, born, postcode FROM contact', namespace => 'crm');
SELECT linked >= 95 AS found, refused, merged = linked AS each_joins, retired, without_identifier, accept_threshold >= 0.8 AS sure FROM run1;
SELECT count(*) FILTER (WHERE x.who = y.who) >= 95 AS right, count(*) FILTER (WHERE x.who <> y.who) AS wrong
FROM cx.link AS l JOIN cx.identifier AS a ON a.identifier_id = l.identifier_a JOIN cx.identifier AS b ON b.identifier_id = l.identifier_b
JOIN contact AS x ON x.id::text = a.value JOIN contact AS y ON y.id::text = b.value;
SELECT DISTINCT l.kind, l.verified, l.evidence, s.source, l.probability BETWEEN 0.8 AND 1 AS probable, l.identifier_a < l.identifier_b AS ordered
FROM cx.link AS l JOIN cx.source AS s ON s.source_id = l.source_id;
SELECT bool_and(xp.canonical_id = yp.canonical_id) AS one_profile
FROM cx.match AS m
JOIN cx.identifier AS x ON x.identifier_id = m.identifier_a JOIN cx.profile AS xp ON xp.profile_id = x.profile_id
JOIN cx.identifier AS y ON y.identifier_id = m.identifier_b JOIN cx.profile AS yp ON yp.profile_id = y.profile_id
WHERE m.state = 'linked';
SELECT count(*) FROM cx.match_run WHERE model ? 'lambda' AND pairs >= linked AND finished_at >= started_at AND namespace = 'crm';

-- the same again, in another order and as given model: nothing changes
CREATE TEMPORARY TABLE before AS SELECT * FROM cx.link;
SELECT linked, merged, retired FROM cxm.link_records('SELECT id, first_name, surname, born, postcode FROM contact ORDER BY md5(id::text) -- shuffled', namespace => 'crm');
SELECT linked, merged, retired FROM cxm.link_records('SELECT id, first_name, surname, born, postcode FROM contact', (SELECT model FROM cx.match_run LIMIT 1), namespace => 'crm');
SELECT count(*) AS changed FROM (TABLE before EXCEPT TABLE cx.link) AS d;

-- what explains a link adds up to its probability
SELECT bool_and(abs(e.probability - m.probability) < 1e-9) AS adds_up, count(*)
FROM (SELECT * FROM cx.match WHERE state = 'linked' ORDER BY match_id LIMIT 3) AS m
CROSS JOIN LATERAL (SELECT * FROM cxm.match_explain(link_id => m.link_id) ORDER BY step DESC LIMIT 1) AS e;
SELECT count(DISTINCT comparison) >= 5 AS steps FROM cxm.match_explain((SELECT min(match_id) FROM cx.match));
SELECT * FROM cxm.match_explain();
ROLLBACK;

BEGIN;
DROP SCHEMA IF EXISTS cx CASCADE;
DO $$ BEGIN PERFORM cxm.create_store(); END $$;
SELECT cxm.add_namespace('crm', 1000);
-- A model by hand: the name says it all. Equal names 2^7 : 1, near ones 1 : 1.
CREATE FUNCTION pg_temp.model(lambda float8 DEFAULT 0.5) RETURNS jsonb LANGUAGE sql AS $$
SELECT format('{"lambda": %s, "blocking": [[]], "comparisons": [{"column": "name", "levels": [{"exact": true, "m": 0.64, "u": 0.005}, {"damerau": 1, "m": 0.3, "u": 0.1}, {"else": true, "m": 0.06, "u": 0.895}]}]}', lambda)::jsonb $$;
CREATE TABLE r (id integer, name text, namespace text, value text);
INSERT INTO r VALUES (1, 'ann', 'crm', '1'), (2, 'ann', 'crm', '2'), (3, 'anna', 'crm', '3'), (4, 'bob', 'crm', '4'), (5, 'bob', 'email', 'BOB@x.test'), (6, 'carla', 'crm', '6'), (7, 'carla', 'crm', NULL);
CREATE FUNCTION pg_temp.run(accept float8 DEFAULT 0.9, q text DEFAULT 'TABLE r') RETURNS text LANGUAGE sql AS $$
SELECT format('linked %s refused %s merged %s retired %s queued %s held %s without %s', linked, refused, merged, retired, queued, held_back, without_identifier)
FROM cxm.link_records(q, pg_temp.model(), accept => accept, review => 0.5) $$;
CREATE FUNCTION pg_temp.matches() RETURNS SETOF text LANGUAGE sql AS $$
SELECT format('%s-%s %s %s %s', m.record_a, m.record_b, round(m.probability::numeric, 3), m.state, coalesce(m.held_back, m.reason)) FROM cx.match AS m ORDER BY m.match_id $$;

-- above: links; between: the queue, the likeliest first; below: nothing. An identifier may be of any namespace
SELECT pg_temp.run();
SELECT pg_temp.matches();
SELECT matching, round(probability::numeric, 3) AS p, identifiers_a, identifiers_b FROM cx.match_queue;
SELECT pg_temp.run();

-- what is one person already is not proposed
SELECT cxm.identify('{"crm": ["1", "3"]}') IS NOT NULL;
SELECT pg_temp.run();
SELECT pg_temp.matches();

-- a pair that is no longer accepted loses its link, and waits; the profile falls apart
UPDATE r SET name = 'bobb' WHERE id = 5;
SELECT pg_temp.run();
SELECT cxm.customer('crm', '4') = cxm.customer('email', 'bob@x.test') AS one;
UPDATE r SET name = 'bob' WHERE id = 5;
SELECT pg_temp.run();
SELECT cxm.customer('crm', '4') = cxm.customer('email', 'bob@x.test') AS one;

-- records that are gone, a higher threshold
SELECT pg_temp.run(q => 'SELECT * FROM r WHERE id > 5');
SELECT count(*) FILTER (WHERE retired_at IS NULL) AS live, count(*) FROM cx.link WHERE kind = 'matched';
SELECT pg_temp.run(accept => 0.999);

-- decisions
SELECT cxm.accept_match((SELECT match_id FROM cx.match WHERE state = 'open' AND record_a = '4'), 'same telephone') IS NOT NULL;
SELECT cxm.customer('crm', '4') = cxm.customer('email', 'bob@x.test') AS one;
SELECT cxm.reject_match((SELECT match_id FROM cx.match WHERE state = 'open' AND record_a = '1'), 'mother and daughter') IS NOT NULL;
SELECT kind, reason, refused FROM cx.link WHERE kind IN ('pinned', 'never') ORDER BY link_id;
SELECT match_id, state, decided_by = session_user AS by, reason FROM cx.match WHERE state IN ('accepted', 'rejected') ORDER BY 1;
-- they stand: neither is proposed again
SELECT pg_temp.run();
SELECT count(*) FROM cx.match_queue;
-- until the link is taken back
DO $$ BEGIN PERFORM cxm.retire_links(ARRAY(SELECT link_id FROM cx.link WHERE kind = 'never'), 'they are one'); END $$;
SELECT pg_temp.run();
-- a link of the matching may be rejected afterwards, here or by whoever retires it
SELECT cxm.reject_match((SELECT max(match_id) FROM cx.match WHERE state = 'linked'), 'no') IS NOT NULL;
SELECT pg_temp.run();
SELECT state, count(*) FROM cx.match GROUP BY 1 ORDER BY 1;
ROLLBACK;

-- decisions that cannot be
BEGIN;
DROP SCHEMA IF EXISTS cx CASCADE;
DO $$ BEGIN PERFORM cxm.create_store(); END $$;
CREATE TABLE r (id integer, name text, namespace text, value text);
INSERT INTO r VALUES (1, 'ann', 'email', 'a@x.test'), (2, 'anna', 'email', 'b@x.test');
CREATE FUNCTION pg_temp.model() RETURNS jsonb LANGUAGE sql AS $$
SELECT '{"lambda": 0.5, "blocking": [[]], "comparisons": [{"column": "name", "levels": [{"exact": true, "m": 0.64, "u": 0.005}, {"damerau": 1, "m": 0.3, "u": 0.1}, {"else": true, "m": 0.06, "u": 0.895}]}]}'::jsonb $$;
SELECT queued FROM cxm.link_records('TABLE r', pg_temp.model(), accept => 0.9, review => 0.5);
SAVEPOINT s;
SELECT cxm.accept_match(99, 'because');
ROLLBACK TO s;
SELECT cxm.accept_match(NULL, 'because');
ROLLBACK TO s;
SELECT cxm.accept_match(1, ' ');
ROLLBACK TO s;
SELECT cxm.accept_match(1, NULL);
ROLLBACK TO s;
SELECT cxm.accept_match(1, 'because') IS NOT NULL;
SELECT cxm.accept_match(1, 'because');
ROLLBACK TO s;
SELECT cxm.match_explain(match_id => 99);
ROLLBACK TO s;
-- arguments that make no sense
SELECT cxm.link_records('TABLE r', pg_temp.model(), accept => 0.4, review => 0.5);
ROLLBACK TO s;
SELECT cxm.link_records('TABLE r', pg_temp.model(), review => 'NaN');
ROLLBACK TO s;
SELECT cxm.link_records('TABLE r', NULL);
ROLLBACK TO s;
SELECT cxm.link_records('TABLE r', pg_temp.model(), namespace => 'nowhere', accept => 0.9, review => 0.5);
ROLLBACK TO s;
SELECT cxm.link_records('TABLE r', pg_temp.model(), matching => '');
ROLLBACK TO s;
SELECT cxm.link_records('SELECT 1 AS id, ''x'' AS name', '{}', namespace => 'email');
ROLLBACK TO s;
SELECT cxm.link_records('SELECT id, name FROM r', pg_temp.model(), accept => 0.9, review => 0.5);
ROLLBACK TO s;
SELECT cxm.link_records('nonsense', pg_temp.model());
ROLLBACK TO s;
-- nothing is left behind
SELECT count(*) FROM pg_class WHERE relname LIKE 'cxm\_match%';
ROLLBACK;

-- guards: ten people of a chain, each like the next, are not one; the bridges wait with the reason
BEGIN;
DROP SCHEMA IF EXISTS cx CASCADE;
DO $$ BEGIN PERFORM cxm.create_store(); END $$;
SELECT cxm.add_namespace('crm', 1000);
CREATE TABLE chain AS SELECT i AS id, lpad((i * 100)::text, 4, '0')::integer AS place FROM generate_series(1, 10) AS i;
CREATE FUNCTION pg_temp.chain(max_size integer, density float8) RETURNS text LANGUAGE plpgsql AS $$
DECLARE l record;
BEGIN
    SELECT * INTO l
    FROM cxm.link_records('TABLE chain', '{"lambda": 0.5, "blocking": [[]], "comparisons": [{"column": "place", "levels": [{"difference": 100, "m": 0.9, "u": 0.001}, {"else": true, "m": 0.1, "u": 0.999}]}]}',
                          namespace => 'crm', accept => 0.9, max_size => max_size, min_density => density);
    RETURN format('linked %s retired %s held %s (%s) people %s', l.linked, l.retired, l.held_back,
                  (SELECT string_agg(DISTINCT held_back, ', ') FROM cx.match WHERE state = 'open'), (SELECT count(*) FROM cx.profile WHERE profile_id = canonical_id));
END $$;
SELECT pg_temp.chain(100, 0);
SELECT pg_temp.chain(5, 0);
SELECT pg_temp.chain(100, 0.5);
ROLLBACK;

-- two sources, one partner each; ids must tell all records apart where links are written
BEGIN;
DROP SCHEMA IF EXISTS cx CASCADE;
DO $$ BEGIN PERFORM cxm.create_store(); END $$;
SELECT cxm.add_namespace('till', 1000), cxm.add_namespace('shop', 1001);
CREATE TABLE two AS SELECT * FROM (VALUES ('t1', 'till', 'ann'), ('t2', 'till', 'bob'), ('s1', 'shop', 'ann'), ('s2', 'shop', 'ann'), ('s3', 'shop', 'bob')) AS v(id, namespace, name);
CREATE FUNCTION pg_temp.two(one_to_one boolean, id text DEFAULT 'id') RETURNS text LANGUAGE sql AS $$
SELECT string_agg(m.record_a || '-' || m.record_b, ' ' ORDER BY m.record_a, m.record_b)
FROM cxm.link_records(format('SELECT %s AS id, namespace, id AS value, namespace AS source, name FROM two', id),
                      '{"link_type": "link_only", "lambda": 0.5, "blocking": ["name"], "comparisons": [{"column": "name", "levels": [{"exact": true, "m": 0.9, "u": 0.001}, {"else": true, "m": 0.1, "u": 0.999}]}]}',
                      accept => 0.9, one_to_one => one_to_one) AS l JOIN cx.match AS m ON m.run_id <= l.run_id AND m.state = 'linked' $$;
DO $$ BEGIN PERFORM pg_temp.two(false); END $$;
SELECT record_a, record_b FROM cx.match WHERE state = 'linked' ORDER BY record_a COLLATE "C", record_b COLLATE "C";
DO $$ BEGIN PERFORM pg_temp.two(true); END $$;
SELECT record_a, record_b FROM cx.match WHERE state = 'linked' ORDER BY record_a COLLATE "C", record_b COLLATE "C";
SELECT count(*) AS steps, max(value_a) AS value FROM cxm.match_explain((SELECT min(match_id) FROM cx.match WHERE state = 'linked'));
SELECT pg_temp.two(true, 'right(id, 1)');
ROLLBACK;

-- over profiles: people who share no identifier, by their golden records
BEGIN;
DROP SCHEMA IF EXISTS cx CASCADE;
DO $$ BEGIN PERFORM cxm.create_store(); END $$;
SELECT count(cxm.identify(jsonb_build_object('email', format('p%s.%s@x.test', who, copy)),
                          jsonb_build_object('first_name', (ARRAY['anneliese', 'bertram', 'carlotta', 'dennis', 'emmanuel', 'frederick', 'gerlinde', 'hugobald'])[1 + abs(hashint4(who * 3)) % 8],
                                             'surname', overlay(left(translate(md5((who % 90)::text), '0123456789', 'aeiourstln'), 7) PLACING CASE WHEN copy = 1 AND who % 3 = 1 THEN 'y' ELSE '' END FROM 3 FOR 0),
                                             'born', date '1950-01-01' + abs(hashint4(who)) % 20000), source => 'app', message_id => format('%s-%s', who, copy)))
FROM generate_series(1, 200) AS who, generate_series(0, 1) AS copy WHERE copy = 0 OR who <= 60;
SELECT linked BETWEEN 55 AND 60 AS found, merged = linked AS all_join, refused FROM cxm.link_profiles();
SELECT count(*) BETWEEN 55 AND 60 AS right FROM generate_series(1, 60) AS who WHERE cxm.customer('email', format('p%s.0@x.test', who)) = cxm.customer('email', format('p%s.1@x.test', who));
-- merged profiles look as before to the next run, so their links stay
SELECT linked, merged, retired FROM cxm.link_profiles();
SELECT linked, retired > 50 AS fewer FROM cxm.link_profiles(ARRAY['first_name', 'surname'], accept => 0.9999);
SAVEPOINT s;
SELECT cxm.link_profiles(ARRAY[]::text[]);
ROLLBACK TO s;
SELECT cxm.link_profiles(ARRAY['no such trait']);
ROLLBACK;
