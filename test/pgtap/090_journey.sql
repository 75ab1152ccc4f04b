-- Journeys in the store: what cxm.journeys() shows is what a plain look at the records gives, whatever became of them
BEGIN;
SELECT plan(103);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = error;

-- the records of every customer by the names of their steps, without codes, deltas or journeys
CREATE VIEW pg_temp.recorded AS
SELECT p.canonical_id AS profile_id, r.occurred_at AS at, r.step || coalesce('@' || t.key, '') AS step
FROM (
    SELECT e.identifier_id, e.occurred_at, y.key AS step, e.touchpoint_id FROM cx.event AS e JOIN cx.event_type AS y USING (event_type_id)
    UNION ALL
    SELECT b.identifier_id, b.occurred_at, 'purchase', b.touchpoint_id FROM cx.purchase AS b
    UNION ALL
    SELECT f.identifier_id, f.occurred_at, 'feedback:' || f.metric, f.touchpoint_id FROM cx.feedback AS f
) AS r
JOIN cx.identifier AS i USING (identifier_id)
JOIN cx.profile AS p USING (profile_id)
LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = r.touchpoint_id;

CREATE VIEW pg_temp.shown AS
SELECT j.profile_id, e.at, n.step
FROM cxm.journeys() AS j CROSS JOIN LATERAL cxm.events(j.journey) AS e(at, code)
LEFT JOIN (SELECT c.code, cxm.journey_step(c.code) AS step FROM cx.journey_code AS c) AS n ON n.code = e.code;

CREATE FUNCTION pg_temp.is_right(description text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN bag_eq('SELECT * FROM pg_temp.shown', 'SELECT * FROM pg_temp.recorded', description);
END
$$;
CREATE FUNCTION pg_temp.fold() RETURNS bigint LANGUAGE sql AS $$ SELECT cxm.fold_journey_range(-9223372036854775808, 9223372036854775807) $$;

---- all kinds of records, by every way in

SELECT is_empty('SELECT * FROM cxm.journeys()', 'nobody has a journey yet');
SELECT cxm.track('view', '{"email": "ann@example.com"}', at => '2026-01-05 10:00', touchpoint => 'shop');
SELECT cxm.track('view', '{"email": "ann@example.com"}', at => '2026-01-05 10:00', touchpoint => 'shop');
SELECT cxm.track('view', NULL, at => '2026-01-05 10:01', touchpoint => 'shop');
SELECT cxm.record_purchase(10, '{"user_id": "u1"}', at => '2026-01-05 10:10');
SELECT cxm.record_feedback('nps', 9, '{"email": "ann@example.com"}', touchpoint => 'shop', at => '2026-01-04 09:00');
SELECT cxm.track_batch('[{"event": "sign in", "at": "2026-01-06T08:00:00Z", "identifiers": {"email": "bob@example.com"}},
                         {"event": "view", "at": "1969-05-05T08:00:00.000001Z", "identifiers": {"email": "bob@example.com"}}]');
INSERT INTO cx.feedback (metric, score, occurred_at, identifier_id)
SELECT 'csat', 5, at, i.identifier_id FROM cx.identifier AS i, unnest('{2026-02-01,1990-01-01}'::timestamptz[]) AS at WHERE i.value = 'bob@example.com';
SELECT pg_temp.is_right('each customer''s records, duplicates and records before 1970 included');
SELECT is((SELECT count(*) FROM cxm.journeys()), 3::bigint, 'of three customers');
SELECT is(pg_temp.fold(), 8::bigint, 'folding takes a row a record with an identifier');
SELECT is((SELECT count(*) FROM cx.journey_delta), 0::bigint, 'and leaves none');
SELECT pg_temp.is_right('folded, all is as before');
SELECT is_empty('SELECT * FROM cxm.journey_check()', 'the check finds nothing');

---- arguments

SELECT cxm.customer('email', 'ann@example.com') AS ann, cxm.customer('email', 'bob@example.com') AS bob, cxm.customer('user_id', 'u1') AS u1 \gset
SELECT is(cxm.journey_of(:ann)::text, (SELECT j.journey::text FROM cxm.journeys() AS j WHERE j.profile_id = :ann), 'one customer');
SELECT is((SELECT count(*) FROM cxm.journeys(NULL, ARRAY[:ann, :bob, :ann, NULL, -5])), 2::bigint, 'some customers, each once, and none that there is not');
SELECT is_empty('SELECT * FROM cxm.journeys(NULL, ''{}'')', 'none of none');
SELECT is(cxm.journey_of(-5)::text, NULL, 'nobody has no journey');
SELECT results_eq(format('SELECT at, step FROM cxm.journey_steps(%s)', :ann),
    $$VALUES ('2026-01-04 09:00Z'::timestamptz, 'feedback:nps@shop'), ('2026-01-05 10:00Z', 'view@shop'), ('2026-01-05 10:00Z', 'view@shop')$$, 'its steps by name');
SELECT results_eq($$SELECT profile_id FROM cxm.journeys('[2026-01-05,2026-01-06)') ORDER BY 1$$, format('SELECT unnest(ARRAY[%s, %s]::bigint[]) ORDER BY 1', :ann, :u1),
    'a range leaves out who did nothing in it');
SELECT results_eq(format('SELECT at FROM cxm.journey_steps(%s, %L)', :bob, '[2026-01-06 08:00, 2026-02-01)'), $$VALUES ('2026-01-06 08:00Z'::timestamptz)$$, 'its bounds are those of the range');
SELECT is(cxm.journey_of(:bob, '[2027-01-01,)')::text, NULL, 'nothing in a range');

---- names

SELECT is((SELECT array_agg(cxm.journey_step(c) ORDER BY cxm.journey_step(c) COLLATE "C") FROM unnest(cxm.journey_codes('view')) AS c), '{view,view@shop}', 'an event type at any touchpoint and none');
SELECT is(cardinality(cxm.journey_codes('feedback')), 2, 'all feedback');
SELECT is(cxm.journey_step((cxm.journey_codes('feedback:csat'))[1]), 'feedback:csat', 'one metric, and back');
SELECT is((SELECT array_agg(cxm.journey_step(c) ORDER BY cxm.journey_step(c) COLLATE "C") FROM unnest(cxm.journey_codes('@shop')) AS c), '{feedback:nps@shop,view@shop}', 'all at a touchpoint');
SELECT is(cxm.journey_codes('purchase@shop'), '{}', 'known, and never seen');
SELECT is(cxm.journey_codes('feedback:ces'), '{}', 'a metric that nobody has answered');
SELECT throws_ok($$SELECT cxm.journey_codes('veiw')$$, '42704', 'no step of journeys is called "veiw"', 'a slip of the pen is told');
SELECT throws_ok($$SELECT cxm.journey_codes('view@shpo')$$, '42704', NULL, 'also in the touchpoint');
SELECT throws_ok($$SELECT cxm.journey_codes('@')$$, '42704', NULL, 'no touchpoint');
SELECT throws_ok($$SELECT cxm.journey_codes('')$$, '42704', NULL, 'no name');
-- keys come from outside, and may be anything: the name that a step is shown with finds it again, alone or beside another
SAVEPOINT names;
SELECT count(cxm.track(e, '{"user_id": "odd"}', touchpoint => t)) FROM (VALUES ('Page | Home', NULL), ('Page', NULL), ('Home', NULL), (' Home ', 'a|b'), ('view@shop', NULL), ('view|', 'shop@'), ('purchase', 'x'), ('event:Page', NULL), ('@shop', NULL), ('"', '''')) AS v (e, t);
SELECT is_empty($$SELECT s.step FROM cx.journey_code AS c, LATERAL (SELECT cxm.journey_step(c.code) AS step) AS s WHERE NOT c.code = ANY (cxm.journey_codes(s.step))$$, 'every step is found by its name');
SELECT is((SELECT array_agg(cxm.journey_step(c)) FROM unnest(cxm.journey_codes('Page | Home')) AS c), '{"Page | Home"}', 'a name with a bar in it is one name');
SELECT is((SELECT array_agg(cxm.journey_step(c) ORDER BY c) FROM unnest(cxm.journey_codes('Home |Page')) AS c), '{Page,Home}', 'two names with a bar between them are two');
SELECT is((SELECT array_agg(cxm.journey_step(c)) FROM unnest(cxm.journey_codes(' Home ')) AS c), '{" Home @a|b"}', 'a blank at the end is a part of a name that has it');
SELECT is(cxm.journey_codes(' Page '), cxm.journey_codes('Page'), 'and of no other');
INSERT INTO cx.event_type (key) VALUES ('Home|Page');
SELECT is(cxm.journey_codes('Home|Page'), '{}', 'also where it has not happened');
SELECT throws_ok($$SELECT cxm.journey_codes('Page | Hoem')$$, '42704', 'no step of journeys is called "Hoem"', 'the part that is not known is named');
ROLLBACK TO names;
SELECT throws_ok($$SELECT cxm.journey_codes(NULL)$$, '42704', NULL, 'NULL');
SELECT is(cxm.journey_step(-1), NULL, 'no such code');
-- names that look like others
SELECT cxm.track(e, '{"email": "eve@example.com"}', touchpoint => t) FROM (VALUES ('purchase', NULL), ('a@b', NULL), ('a', 'b'), ('event:x', 'c:d'), ('@shop', NULL)) AS v(e, t);
SELECT cxm.record_purchase(1, '{"email": "eve@example.com"}');
SELECT is((SELECT array_agg(cxm.journey_step(c) ORDER BY cxm.journey_step(c) COLLATE "C") FROM unnest(cxm.journey_codes('purchase')) AS c), '{event:purchase,purchase}', 'purchases, and an event type of that name');
SELECT is((SELECT array_agg(cxm.journey_step(c)) FROM unnest(cxm.journey_codes('event:purchase')) AS c), '{event:purchase}', 'the event type alone');
SELECT is(cardinality(cxm.journey_codes('a@b')), 2, 'two that read alike are both meant');
SELECT is((SELECT array_agg(cxm.journey_step(c)) FROM unnest(cxm.journey_codes('event:event:x@c:d')) AS c), '{event:event:x@c:d}', 'a name with a colon');
SELECT is_empty($$SELECT c.code FROM cx.journey_code AS c WHERE NOT c.code = ANY (cxm.journey_codes(cxm.journey_step(c.code)))$$, 'the name of every code leads to the code');
DELETE FROM cx.purchase WHERE identifier_id = (SELECT identifier_id FROM cx.identifier WHERE value = 'eve@example.com');
DELETE FROM cx.event WHERE identifier_id = (SELECT identifier_id FROM cx.identifier WHERE value = 'eve@example.com');
SELECT is(cxm.journey_of(cxm.customer('email', 'eve@example.com'))::text, NULL, 'who is left without records has no journey');

---- corrections

UPDATE cx.event SET occurred_at = '2026-03-03 03:03' WHERE occurred_at = '2026-01-05 10:00' AND event_id = (SELECT min(event_id) FROM cx.event WHERE occurred_at = '2026-01-05 10:00');
SELECT pg_temp.is_right('a time that moves into another month');
UPDATE cx.event SET event_type_id = (SELECT event_type_id FROM cx.event_type WHERE key = 'sign in'), touchpoint_id = NULL WHERE occurred_at = '2026-01-05 10:00';
UPDATE cx.feedback SET metric = 'ces' WHERE metric = 'csat';
SELECT pg_temp.is_right('type, metric and touchpoint');
UPDATE cx.event SET identifier_id = (SELECT identifier_id FROM cx.identifier WHERE value = 'bob@example.com') WHERE identifier_id IS NULL;
SELECT pg_temp.is_right('a record that gets an identifier');
UPDATE cx.purchase SET identifier_id = NULL;
SELECT pg_temp.is_right('and one that loses it');
SELECT count(*) AS before FROM cx.journey_delta \gset
UPDATE cx.event SET properties = '{"seen": true}';
UPDATE cx.feedback SET score = least(score, 3);
UPDATE cx.event SET occurred_at = occurred_at WHERE false;
SELECT is((SELECT count(*) FROM cx.journey_delta), :before::bigint, 'what changes otherwise changes no journey');
DO $$ BEGIN UPDATE cx.event SET occurred_at = '2020-01-01'; RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $$;
SELECT pg_temp.is_right('what is rolled back changes none');
SELECT pg_temp.fold() > 0 AS folded \gset
SELECT pg_temp.is_right('folded, as before');
SELECT is_empty('SELECT * FROM cxm.journey_check()', 'and as the check has it');

---- merge and unmerge

SELECT cxm.merge(:ann, :bob, 'the same') AS merged \gset
SELECT pg_temp.is_right('two who become one');
SELECT is(cxm.journey_of(:bob)::text, cxm.journey_of(:ann)::text, 'either number leads to the journey of both');
SELECT is((SELECT count(*) FROM cxm.journeys(NULL, ARRAY[:bob, :ann])), 1::bigint, 'which is one');
SELECT cxm.track('view', '{"email": "bob@example.com"}', at => '2026-04-04');
SELECT pg_temp.is_right('what one of them does then');
SELECT outcome FROM cxm.unmerge(ARRAY[:merged::bigint], 'two after all') \gset
SELECT pg_temp.is_right('goes with them when they are two again');
SELECT isnt(cxm.customer('email', 'ann@example.com'), cxm.customer('email', 'bob@example.com'), 'as they are');

---- removal

DELETE FROM cx.event WHERE identifier_id = (SELECT identifier_id FROM cx.identifier WHERE value = 'bob@example.com');
DELETE FROM cx.feedback WHERE identifier_id = (SELECT identifier_id FROM cx.identifier WHERE value = 'bob@example.com');
SELECT pg_temp.is_right('records that are deleted');
SELECT pg_temp.fold() > 0 AS folded \gset
SELECT is((SELECT count(*) FROM cx.journey AS j JOIN cx.identifier AS i USING (identifier_id) WHERE i.value = 'bob@example.com'), 0::bigint, 'leave no journey behind once they are folded');
TRUNCATE cx.feedback;
SELECT pg_temp.is_right('TRUNCATE takes away what was there');
SELECT cxm.record_feedback('nps', 9, '{"email": "ann@example.com"}', at => d) FROM unnest('{2026-01-04,2026-02-04}'::timestamptz[]) AS d;
SELECT cxm.make_partition('feedback', '2026-01-01'), cxm.make_partition('feedback', '2026-02-01');
TRUNCATE cx.feedback_2026_01;
SELECT pg_temp.is_right('of a single month too');

---- partitions

INSERT INTO cx.event (occurred_at, event_type_id, identifier_id)
SELECT at, (SELECT min(event_type_id) FROM cx.event_type), i.identifier_id FROM cx.identifier AS i, unnest('{1991-01-31,1991-02-01}'::timestamptz[]) AS at;
SELECT count(*) AS before FROM cx.journey_delta \gset
SELECT cxm.make_partition('event', '1991-01-01') > 0 AS moved \gset
SELECT is((SELECT count(*) FROM cx.journey_delta), :before::bigint, 'a row that moves to its own partition changes no journey');
SELECT is((SELECT array_agg(concat(t.tgname, t.tgenabled) ORDER BY t.tgname) FROM pg_trigger AS t WHERE t.tgrelid = 'cx.event_default'::regclass AND t.tgname ~ '^journey'),
          (SELECT array_agg(concat(t.tgname, t.tgenabled) ORDER BY t.tgname) FROM pg_trigger AS t WHERE t.tgrelid = 'cx.event_1991_01'::regclass AND t.tgname ~ '^journey'), 'and the triggers are as before, on either');
INSERT INTO cx.event_1991_01 (event_id, occurred_at, event_type_id, identifier_id) SELECT 900000, '1991-01-05', min(event_type_id), :ann FROM cx.event_type;
UPDATE cx.event_1991_01 SET occurred_at = '1991-01-06' WHERE event_id = 900000;
DELETE FROM cx.event_1991_01 WHERE occurred_at = '1991-01-31' AND identifier_id = :ann;
SELECT pg_temp.is_right('rows that are written straight into a partition');
DROP TABLE cx.event_1991_01;
SELECT isnt_empty('SELECT * FROM cxm.journey_check()', 'what nobody was told of, the check finds');
SELECT is((SELECT c.row_count FROM cxm.store_check() AS c WHERE c.table_name = 'cx.journey'), (SELECT count(*) FROM cxm.journey_check()), 'and the check of the store');
SELECT throws_ok('SELECT count(*) FROM cxm.journeys()', '55000', NULL, 'nor does anybody read it');
SELECT throws_ok(format('SELECT cxm.journey_of(%s)', :ann), '55000', NULL, 'of one customer neither');
SELECT cxm.restore_journeys() > 0 AS mended \gset
SELECT pg_temp.is_right('building anew mends it');
SELECT is_empty('SELECT * FROM cxm.journey_check()', 'for good');
CREATE TABLE cx.event_mine PARTITION OF cx.event FOR VALUES FROM ('1992-01-01Z') TO ('1992-02-01Z');
SELECT pg_temp.is_right('a partition without rows is in nobody''s way');
SELECT cxm.make_partition('event', '1993-01-01') >= 0 AS made \gset
INSERT INTO cx.event (occurred_at, event_type_id, identifier_id) SELECT '1993-01-05', min(event_type_id), :ann FROM cx.event_type;
SELECT cxm.drop_partition('cx.event_1993_01');
SELECT pg_temp.is_right('one that is removed as told takes its steps along');
INSERT INTO cx.event_mine (event_id, occurred_at, event_type_id, identifier_id) SELECT 900001, '1992-01-05', min(event_type_id), :ann FROM cx.event_type;
SELECT throws_ok('SELECT count(*) FROM cxm.journeys()', '55000', NULL, 'one of somebody''s that was written to is');
SELECT throws_ok($$SELECT cxm.drop_partition('cx.event_mine')$$, '55000', NULL, 'and is not removed before it is known');
SELECT cxm.restore_journeys() > 0 AS mended \gset
SELECT pg_temp.is_right('till it is taken in');
UPDATE cx.event_mine SET occurred_at = '1992-01-06' WHERE event_id = 900001;
SELECT pg_temp.is_right('and then seen by triggers of its own');
ALTER TABLE cx.event DETACH PARTITION cx.event_mine;
SELECT cxm.restore_journeys() > 0 AS mended \gset
DELETE FROM cx.event_mine;
SELECT pg_temp.is_right('what is detached is no concern of journeys');
SELECT throws_ok($$SELECT cxm.drop_partition('cx.event_mine')$$, '42809', NULL, 'nor is it a partition');

---- what went and had never come

ALTER TABLE cx.event DISABLE TRIGGER journey_insert;
INSERT INTO cx.event (occurred_at, event_type_id, identifier_id) SELECT '2026-05-05', min(event_type_id), min(identifier_id) FROM cx.event;
ALTER TABLE cx.event ENABLE TRIGGER journey_insert;
DELETE FROM cx.event WHERE occurred_at = '2026-05-05';
SELECT throws_ok('SELECT count(*) FROM cxm.journeys()', '22023', NULL, 'is no journey');
SELECT isnt_empty('SELECT * FROM cxm.journey_check()', 'the check finds it, and does not fail');
SELECT cmp_ok(pg_temp.fold(), '>', 0::bigint, 'folding goes on');
SELECT pg_temp.is_right('and mends it');

---- codes, directly

SELECT is(cxm.journey_code('event', (SELECT event_type_id FROM cx.event_type WHERE key = 'view')), cxm.journey_code('event', (SELECT event_type_id FROM cx.event_type WHERE key = 'view'), 'ignored'),
          'a step has one code');
SELECT throws_ok($$SELECT cxm.journey_code('visit', 1)$$, '22023', NULL, 'an unknown kind');
SELECT throws_ok($$SELECT cxm.journey_code('event')$$, '22023', NULL, 'an event without its type');
SELECT throws_ok($$SELECT cxm.journey_code(NULL)$$, '22023', NULL, 'NULL');
SELECT throws_ok('CREATE TRIGGER x AFTER INSERT ON cx.metric FOR EACH STATEMENT EXECUTE FUNCTION cxm.journey_delta(''event''); INSERT INTO cx.metric (metric, family, scale_min, scale_max) VALUES (''x'', ''rating'', 1, 5)',
                 '39P01', NULL, 'a trigger on something else');
SELECT throws_ok($$SELECT cxm.add_journey_triggers('cx.metric')$$, '42809', NULL, 'which is not made either');

---- rights: who sends records need not be able to read journeys

CREATE ROLE cxm_test_writer;
CREATE ROLE cxm_test_reader;
SELECT cxm.grant_store('cxm_test_writer', 'writer'), cxm.grant_store('cxm_test_reader', 'reader');
SET LOCAL ROLE cxm_test_writer;
SELECT lives_ok($$SELECT cxm.track('never seen', '{"email": "ann@example.com"}', touchpoint => 'never seen')$$, 'a writer writes, also at a step that is new');
SELECT throws_ok('SELECT count(*) FROM cxm.journeys()', '42501', NULL, 'and reads no journeys');
RESET ROLE;
SET LOCAL ROLE cxm_test_reader;
SELECT ok((SELECT count(*) > 0 FROM cxm.journeys()) AND cxm.journey_codes('never seen') <> '{}' AND (SELECT count(*) = 0 FROM cxm.journey_check()), 'a reader reads them');
SELECT throws_ok('SELECT cxm.fold_journey_range(1, 2)', '42501', NULL, 'and does not fold them');
RESET ROLE;
GRANT SELECT, INSERT, UPDATE, DELETE ON cx.journey, cx.journey_delta TO cxm_test_reader;
GRANT ALL ON ALL TABLES IN SCHEMA cx TO cxm_test_reader;
ALTER TABLE cx.journey_delta ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON cx.journey_delta TO cxm_test_reader USING (identifier_id % 2 = 0);
SET LOCAL ROLE cxm_test_reader;
SELECT throws_ok('SELECT cxm.fold_journey_range(0, 1000)', '42501', NULL, 'who sees some of the changes does not fold those alone');
RESET ROLE;
ALTER TABLE cx.journey_delta DISABLE ROW LEVEL SECURITY;
SET LOCAL ROLE cxm_test_reader;
SELECT cmp_ok(pg_temp.fold(), '>', 0::bigint, 'who may read and write all of both tables folds');
RESET ROLE;
SELECT pg_temp.is_right('and well');

---- tables that somebody has changed

ALTER TABLE cx.journey ADD COLUMN note text;
UPDATE cx.journey SET note = 'mine ' || identifier_id;
CREATE TABLE pg_temp.written (what text, identifier_id bigint);
CREATE FUNCTION pg_temp.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pg_temp.written VALUES (tg_op, coalesce(new.identifier_id, old.identifier_id));
    RETURN NULL;
END
$$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON cx.journey FOR EACH ROW EXECUTE FUNCTION pg_temp.note();
SELECT identifier_id AS known FROM cx.journey ORDER BY 1 LIMIT 1 \gset
SELECT cxm.track('view', '{"email": "new@example.com"}', at => '2026-01-07 10:00');
INSERT INTO cx.event (occurred_at, identifier_id, event_type_id) SELECT '2026-01-07', :known, min(event_type_id) FROM cx.event_type;
SELECT is(pg_temp.fold(), 2::bigint, 'one who is known and one who is not');
SELECT results_eq('SELECT what, count(*) FROM pg_temp.written GROUP BY 1 ORDER BY 1', $$VALUES ('INSERT', 1::bigint), ('UPDATE', 1)$$, 'row triggers fire');
SELECT is((SELECT note FROM cx.journey WHERE identifier_id = :known), 'mine ' || :known, 'a column of somebody''s own stays as it is');
SELECT pg_temp.is_right('and nothing is missing');
DROP TRIGGER note ON cx.journey;
ALTER TABLE cx.journey DROP COLUMN note;
DROP INDEX cx.journey_delta_identifier_id_idx;
SELECT throws_ok('SELECT pg_temp.fold()', '42704', NULL, 'without the index that shows the order there is no folding');
CREATE INDEX journey_delta_identifier_id_idx ON cx.journey_delta (identifier_id);

---- more changes of one identifier than are read at once, and many identifiers, in no order

INSERT INTO cx.journey_delta (identifier_id, at, code, weight)
SELECT CASE WHEN i % 2 = 0 THEN 1000000 ELSE 1000001 + hashint4(i) % 1000 END, timestamptz '2026-01-01' + hashint4(i) % 5000000 * interval '1 second', 1 + i % 7, 1
FROM generate_series(1, 150000) AS i;
CREATE TABLE pg_temp.expected AS
SELECT identifier_id, cxm.journey_agg(at, code) AS journey FROM cx.journey_delta WHERE identifier_id > 900000 GROUP BY 1;
SELECT is(cxm.fold_journey_range(900000, 2000000), 150000::bigint, 'a hundred and fifty thousand changes');
SELECT is_empty('SELECT FROM cx.journey_delta WHERE identifier_id > 900000', 'are taken');
SELECT is_empty('SELECT identifier_id FROM (SELECT * FROM cx.journey WHERE identifier_id > 900000) AS j FULL JOIN pg_temp.expected AS e USING (identifier_id)
                 WHERE j.journey OPERATOR(cxm.=) e.journey IS NOT TRUE', 'and are what the aggregate makes of them');
DELETE FROM cx.journey WHERE identifier_id > 900000;

---- plans

CREATE FUNCTION pg_temp.nodes(query text) RETURNS TABLE (node text, relation text) LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN QUERY
    WITH RECURSIVE tree (item) AS (
        SELECT (plan -> 0 -> 'Plan')::jsonb
        UNION ALL
        SELECT child FROM tree, jsonb_array_elements(tree.item -> 'Plans') AS child
    )
    SELECT item ->> 'Node Type', item ->> 'Relation Name' FROM tree;
END
$$;
SET LOCAL enable_seqscan = off;
SELECT is_empty($$SELECT * FROM pg_temp.nodes('SELECT * FROM cxm.journeys(NULL, ''{1}'')') WHERE node ~ 'Seq Scan'$$, 'one customer is found by indexes alone');
RESET enable_seqscan;
-- of tables that the server takes for empty, since they were when it last looked, one process reads as well as several
INSERT INTO cx.journey_delta (identifier_id, at, code, weight) SELECT 1000000 + i, '2026-01-01', 1, 1 FROM generate_series(1, 10000) AS i;
ANALYZE cx.journey_delta;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SELECT isnt_empty($$SELECT * FROM pg_temp.nodes('SELECT sum(cxm.count(journey)) FROM cxm.journeys()') WHERE node ~ 'Gather'$$, 'all customers by several processes');
SELECT is_empty($$SELECT * FROM pg_temp.nodes('SELECT sum(cxm.count(journey)) FROM cxm.journeys(''[2026-01-01,2026-02-01)'')') WHERE node = 'Function Scan'$$, 'the function is gone from the plan');

SELECT * FROM finish();
ROLLBACK;
