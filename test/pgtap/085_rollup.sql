-- Who may read, write, make and remove rollups, and what is left of the erased
BEGIN;
SELECT plan(31);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = error;
CREATE ROLE cxm_test_owner;
CREATE ROLE cxm_test_reader;
CREATE ROLE cxm_test_store_reader;
CREATE ROLE cxm_test_app;
CREATE SCHEMA shop AUTHORIZATION cxm_test_owner;
CREATE TABLE shop.visit (id integer, at timestamptz, shop text, score integer);
ALTER TABLE shop.visit OWNER TO cxm_test_owner;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
SELECT is(cxm.create_rollup('visits', 'shop.visit', 'at', 'day', dimensions => '["shop"]', measures => '{"nps": {"nps": "score"}}'), 'cx.visits', 'a rollup is made');
SELECT cxm.grant_store('cxm_test_store_reader');

-- writing takes the right to write, and nothing else
GRANT INSERT, UPDATE, DELETE, SELECT, TRUNCATE ON shop.visit TO cxm_test_app;
SET LOCAL ROLE cxm_test_app;
SELECT lives_ok($$INSERT INTO shop.visit VALUES (1, '2026-01-01', 'a', 10), (2, '2026-01-01', 'b', 0)$$, 'who may write to the table needs no right on the rollup');
SELECT lives_ok($$UPDATE shop.visit SET score = 9 WHERE id = 1$$, 'nor to update');
SELECT throws_ok('SELECT * FROM cx.visits', '42501', NULL, 'nor does that give a right to read');
RESET ROLE;
GRANT USAGE ON SCHEMA cx TO cxm_test_app;
SET LOCAL ROLE cxm_test_app;
SELECT is((SELECT nps_count FROM cx.visits WHERE shop = 'a'), 1::bigint, 'who may read the table reads its rollup');
SELECT is((SELECT count(*) FROM cx.visits_state), 2::bigint, 'and its states');
SELECT throws_ok(format('INSERT INTO cx.rollup_%s_delta (weight) VALUES (1)', rollup_id), '42501', NULL, 'its tables are not to be written') FROM cx.rollup WHERE name = 'visits';
RESET ROLE;

-- reading takes the right to read the table
SELECT format('SELECT * FROM cx.rollup_%s_base', rollup_id) AS base, format('SELECT * FROM cx.rollup_%s_delta', rollup_id) AS delta FROM cx.rollup WHERE name = 'visits' \gset
SELECT cxm.fold_rollup_now(rollup_id) FROM cx.rollup;
INSERT INTO shop.visit VALUES (4, '2026-01-02', 'c', 10);
SELECT cxm.grant_store('cxm_test_store_reader');
SET LOCAL ROLE cxm_test_store_reader;
SELECT throws_like('SELECT * FROM cx.visits', 'permission denied for rollup "visits"', 'who may not read the table does not read its rollup, whatever else they may read');
SELECT throws_like('SELECT count(*) FROM cx.visits_state', 'permission denied for rollup "visits"', 'nor its states');
SELECT throws_like(:'base', 'permission denied for rollup "visits"', 'nor its base');
SELECT throws_like(:'delta', 'permission denied for rollup "visits"', 'nor its delta');
SELECT throws_like('SELECT * FROM cx.visits WHERE shop = ''a'' AND nps < 5', 'permission denied for rollup "visits"', 'nor a part of it');
SELECT lives_ok('SELECT * FROM cx.rollup_status', 'what rollups there are is seen');
RESET ROLE;
GRANT SELECT ON shop.visit TO cxm_test_store_reader;
SET LOCAL ROLE cxm_test_store_reader;
SELECT is((SELECT sum(nps_count) FROM cx.visits), 3::numeric, 'with the right to read the table it is read');
SELECT lives_ok(:'base', 'and so are its parts');
RESET ROLE;

-- row security
ALTER TABLE shop.visit ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.visit USING (shop = 'a');
SET LOCAL ROLE cxm_test_store_reader;
SELECT is((SELECT count(*) FROM shop.visit), 1::bigint, 'row security hides rows');
SELECT throws_like('SELECT * FROM cx.visits', 'permission denied for rollup "visits"', 'and then the rollup, which counts them, is refused');
SELECT throws_like(:'base', 'permission denied for rollup "visits"', 'with its parts');
RESET ROLE;
SET LOCAL ROLE cxm_test_app;
SELECT lives_ok($$INSERT INTO shop.visit VALUES (3, '2026-01-01', 'a', 10)$$, 'under row security writers write');
RESET ROLE;
SELECT is((SELECT nps_count FROM cx.visits WHERE shop = 'a'), 2::bigint, 'and are counted');
SET LOCAL ROLE cxm_test_owner;
SELECT throws_ok($$SELECT cxm.create_rollup('mine', 'shop.visit', 'at', 'day')$$, '42501', NULL, 'who may not write to the store makes no rollup');
RESET ROLE;
ALTER TABLE shop.visit DISABLE ROW LEVEL SECURITY;

-- a table of somebody else's cannot be pointed at a rollup
GRANT USAGE, CREATE ON SCHEMA shop TO cxm_test_app;
GRANT USAGE ON SCHEMA cxm TO cxm_test_app;
SET LOCAL ROLE cxm_test_app;
CREATE TABLE shop.mine (LIKE shop.visit);
SELECT format($$CREATE TRIGGER cxm_rollup_insert AFTER INSERT ON shop.mine REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION cxm.rollup_delta('%1$s')$$, rollup_id) FROM cx.rollup WHERE name = 'visits' \gexec
SELECT lives_ok($$INSERT INTO shop.mine VALUES (9, '2026-01-01', 'a', 0)$$, 'a trigger on another table is in nobody''s way');
RESET ROLE;
SELECT is((SELECT nps_count FROM cx.visits WHERE shop = 'a'), 2::bigint, 'and counts nothing');
SELECT is_empty($$SELECT * FROM cxm.rollup_check('visits')$$, 'the rollup is right');

-- TRUNCATE by a writer
SET LOCAL ROLE cxm_test_app;
SELECT lives_ok('TRUNCATE shop.visit', 'a writer who may empty the table does');
RESET ROLE;
SELECT is_empty('SELECT * FROM cx.visits', 'and the rollup with it');

-- erasure: nothing of the person is left in what can be read, nor in the tables
SELECT cxm.create_rollup('by_identifier', 'cx.feedback', 'occurred_at', 'month', dimensions => '["identifier_id", {"name": "properties ->> ''name''"}]', measures => '{"nps": {"nps": "score"}}');
SELECT cxm.record_feedback('nps', 9, '{"email": "ann@example.com"}', properties => '{"name": "Ann"}');
SELECT cxm.fold_rollup_now(rollup_id) FROM cx.rollup WHERE name = 'by_identifier';
SELECT is((SELECT count(*) FROM cx.by_identifier WHERE name = 'Ann'), 1::bigint, 'she is counted');
DELETE FROM cx.feedback WHERE properties ->> 'name' = 'Ann';
SELECT is_empty($$SELECT * FROM cx.by_identifier WHERE name = 'Ann'$$, 'deleted, she is not');
SELECT cxm.fold_rollup_now(rollup_id) FROM cx.rollup WHERE name = 'by_identifier';
SELECT is((SELECT sum((xpath('/row/n/text()', query_to_xml(format($$SELECT count(*) AS n FROM cx.rollup_%s_%s WHERE k2 = 'Ann'$$, r.rollup_id, t.part), false, true, '')))[1]::text::integer)
           FROM cx.rollup AS r, (VALUES ('base'), ('delta')) AS t(part) WHERE r.name = 'by_identifier'), 0::bigint, 'and folded, no table has her name');

-- removing
SET LOCAL ROLE cxm_test_store_reader;
SELECT throws_ok($$SELECT cxm.drop_rollup('visits')$$, '42501', NULL, 'a reader removes no rollup');
RESET ROLE;
SELECT lives_ok($$SELECT cxm.drop_rollup('visits')$$, 'its owner does');
SELECT * FROM finish();
ROLLBACK;
