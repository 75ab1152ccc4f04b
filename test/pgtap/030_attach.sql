-- What an attachment leaves in the catalogs, and that it leaves nothing behind.
BEGIN;
SELECT plan(20);

CREATE TABLE public.answers (id integer PRIMARY KEY, at timestamptz NOT NULL, score integer);
CREATE TABLE public.parts (id integer PRIMARY KEY, at timestamptz NOT NULL, score integer) PARTITION BY RANGE (id);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (100);
INSERT INTO public.answers SELECT g, '2020-01-01', g % 11 FROM generate_series(1, 50) AS g;
INSERT INTO public.parts SELECT g, '2020-01-01', g % 11 FROM generate_series(1, 50) AS g;

CALL cxm.attach('public.answers', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', commit => false, batch_size => 7);
CALL cxm.attach('public.parts', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 'parts', commit => false);

SELECT is((SELECT count(*) FROM cx.feedback), 100::bigint, 'every row is stored');
SELECT results_eq($$SELECT tgtype::integer FROM pg_trigger WHERE tgrelid = 'public.answers'::regclass ORDER BY tgtype$$,
    $$VALUES (4), (8), (16), (34)$$, 'four statement-level triggers: after insert, delete, update, before truncate');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.parts_1'::regclass), 4::bigint, 'and as many on each partition');
SELECT ok((SELECT bool_and(tgname ~ '^cxm_[0-9]+_(insert|update|delete|truncate)$') FROM pg_trigger WHERE tgfoid = 'cxm.follow_table()'::regprocedure), 'named after the source');
SELECT is((SELECT prosecdef FROM pg_proc WHERE oid = 'cxm.follow_table()'::regprocedure), false, 'with the rights of the writer');
SELECT hasnt_trigger('cx', 'message', 'cxm_1_insert', 'the store itself has none');

SELECT results_eq($$SELECT source, state, backfill_state, table_rows, stored_rows, lag_rows FROM cxm.source_status(true)$$,
    $$VALUES ('parts', 'ok', 'done', 50::bigint, 50::bigint, 0::bigint), ('public.answers', 'ok', 'done', 50, 50, 0)$$, 'the status');
SELECT is((SELECT backfill_done FROM cx.source WHERE source = 'parts'), '{public.parts_1}', 'partitions are read one by one');

DELETE FROM cx.feedback AS f USING cx.message AS m WHERE m.record_id = f.feedback_id AND m.message_id IN ('3', '4');
CALL cxm.backfill('parts', commit => false, restart => true);
CALL cxm.backfill('public.answers', commit => false, restart => true);
SELECT is((SELECT count(*) FROM cx.feedback), 100::bigint, 'records that were deleted by hand come back when the table is read again');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'and the store is sound');

SELECT throws_ok($$CALL cxm.attach('public.answers', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', commit => false)$$, '42710', NULL, 'not twice under one name');
SELECT lives_ok($$CALL cxm.attach('public.answers', 'event', '{"at": "at", "event": {"constant": "answered"}}', source => 'twice', commit => false)$$, 'but twice under two');
SELECT is((SELECT count(*) FROM cx.event), 50::bigint, 'and both follow');
UPDATE public.answers SET score = 0, at = '2020-01-02' WHERE id = 1;
SELECT is((SELECT count(*) FROM cx.event AS e WHERE e.occurred_at = '2020-01-02'), 1::bigint, 'every change');

-- upkeep reads nobody else's tables: a cast in one of them would run as whoever runs upkeep
CREATE ROLE cxm_test_owner;
SELECT cxm.grant_store('cxm_test_owner', 'writer');
CREATE TABLE public.theirs (id integer PRIMARY KEY, at timestamptz);
ALTER TABLE public.theirs OWNER TO cxm_test_owner;
CALL cxm.attach('public.theirs', 'event', '{"at": "at", "event": {"constant": "x"}}', backfill => false, commit => false);
UPDATE cx.source SET backfill_state = 'pending' WHERE source = 'public.theirs';
SELECT is(cxm.unfinished_backfills(NULL), '{}', 'a backfill of a table of somebody else is left to its owner');
SET LOCAL ROLE cxm_test_owner;
SELECT is(cxm.unfinished_backfills(NULL), '{public.theirs}', 'who resumes it');
RESET ROLE;
DROP TABLE public.theirs;
DELETE FROM cx.source WHERE source = 'public.theirs';

SELECT cxm.detach('twice', purge => true);
SELECT is((SELECT count(*) FROM cx.event), 0::bigint, 'purged');
SELECT cxm.detach('public.answers');
SELECT cxm.detach('parts');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgfoid = 'cxm.follow_table()'::regprocedure), 0::bigint, 'no trigger is left');
SELECT is((SELECT count(*) FROM cx.feedback), 100::bigint, 'the records are');
SELECT is((SELECT string_agg(state, ' ') FROM cxm.source_status()), 'detached detached detached', 'and the status says so');

SELECT * FROM finish();
ROLLBACK;
