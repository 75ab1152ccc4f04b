-- Monthly partitions: where rows go, and what users add to the tables goes on the new ones too
BEGIN;
SELECT plan(31);
SET LOCAL timezone = 'Pacific/Auckland';
SET LOCAL client_min_messages = error;

-- months are those of UTC, whatever the session's zone; all before 1970 share a partition. Ingest makes partitions
-- only where the transaction ends with the statement, so here they are asked for.
CREATE FUNCTION pg_temp.home(at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    PERFORM cxm.ensure_partitions('event', ARRAY[at]);
    id := cxm.track('p', at => at);
    RETURN (SELECT e.tableoid::regclass::text FROM cx.event AS e WHERE e.event_id = id);
END
$$;
SELECT is(pg_temp.home(at::timestamptz), 'cx.event_' || part, at)
FROM (VALUES
    ('2011-12-31 23:59:59.999999Z', '2011_12'), ('2012-01-01 00:00:00Z', '2012_01'), ('2012-02-29 23:59:59.999999Z', '2012_02'),
    ('2012-03-01 00:00:00Z', '2012_03'), ('2012-07-01 00:30:00+12', '2012_06'), ('1970-01-01 00:00:00Z', '1970_01'),
    ('1969-12-31 23:59:59.999999Z', 'early'), ('0001-01-01 00:00:00Z', 'early'), ('4000-01-01 00:00:00Z BC', 'early')) AS v(at, part);
SELECT is(cxm.missing_months('event', ARRAY[NULL, 'infinity', '-infinity', '1969-12-31Z', '2012-01-31Z', '1990-12-31 23:59:59Z', '1990-12-01Z', '1990-01-01Z']::timestamptz[]),
          ARRAY['1990-01-01', '1990-12-01']::timestamp[], 'the months that are missing');
SELECT is(cxm.missing_months('event', NULL), '{}'::timestamp[], 'none for no times');

-- what users hung on the table
CREATE TABLE public.seen (event_id bigint);
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (NEW.event_id); RETURN NEW; END $$;
CREATE TRIGGER note AFTER INSERT ON cx.event FOR EACH ROW EXECUTE FUNCTION public.note();
CREATE INDEX mine ON cx.event ((properties ->> 'cart'));
ALTER TABLE cx.event ADD COLUMN "Mine" text DEFAULT 'm' NOT NULL, ADD COLUMN gone integer,
    ADD COLUMN day date GENERATED ALWAYS AS ((occurred_at AT TIME ZONE 'UTC')::date) STORED,
    ADD CONSTRAINT mine_check CHECK ("Mine" <> '');
ALTER TABLE cx.event DROP COLUMN gone;
INSERT INTO cx.event_type (key) VALUES ('waiting');
INSERT INTO cx.event (occurred_at, event_type_id, properties, "Mine")
SELECT at, (SELECT event_type_id FROM cx.event_type WHERE key = 'waiting'), '{"cart": 1}', 'w' FROM unnest(ARRAY['1991-01-31Z', '1991-02-01Z']::timestamptz[]) AS at;
SELECT is((SELECT count(*) FROM cx.event_default), 2::bigint, 'a plain INSERT leaves rows in the default partition');
SELECT is(cxm.make_partition('event', '1991-01-01'), 1::bigint, 'one of them moves');
SELECT results_eq($$SELECT occurred_at, "Mine", day, properties FROM cx.event_1991_01$$, $$VALUES ('1991-01-31Z'::timestamptz, 'w', '1991-01-31'::date, '{"cart": 1}'::jsonb)$$,
                  'with columns that a user added');
SELECT is((SELECT count(*) FROM public.seen), 2::bigint, 'and no trigger takes the move for an insert');
SELECT is(pg_temp.home('1991-02-02Z'), 'cx.event_1991_02', 'a record brings its month along');
SELECT is((SELECT count(*) FROM cx.event_default), 0::bigint, 'and empties the default partition');
SELECT is((SELECT count(*) FROM public.seen), 3::bigint, 'a trigger fires on the new partition');
SELECT is((SELECT count(*) FROM pg_index AS x JOIN pg_inherits AS i ON i.inhrelid = x.indexrelid
           WHERE i.inhparent = 'cx.mine'::regclass AND x.indrelid IN ('cx.event_1991_01'::regclass, 'cx.event_1991_02'::regclass)), 2::bigint, 'an index of a user is there');
SELECT throws_ok($$INSERT INTO cx.event_1991_02 (event_id, occurred_at, event_type_id, "Mine") VALUES (1, '1991-02-02Z', 1, '')$$, '23514', NULL, 'and so is a constraint');
SELECT is(cxm.make_partition('event', '1991-01-01'), 0::bigint, 'a partition is made once');
SELECT is((SELECT obj_description('cx.event_1991_02'::regclass)), 'Rows of cx.event of 1991-02 (UTC).', 'it says what it is');

-- what stands in the way of a partition is no reason to refuse a record
CREATE TABLE public.ticket (event_id bigint, occurred_at timestamptz, FOREIGN KEY (event_id, occurred_at) REFERENCES cx.event);
INSERT INTO cx.event (occurred_at, event_type_id) SELECT '1992-01-01Z', event_type_id FROM cx.event_type WHERE key = 'waiting';
INSERT INTO public.ticket SELECT event_id, occurred_at FROM cx.event_default;
SELECT is(pg_temp.home('1992-01-02Z'), 'cx.event_default', 'a row that a foreign key holds stays in the default partition, and the next one with it');
DROP TABLE public.ticket;
SELECT is(cxm.make_partition('event', '1992-01-01'), 2::bigint, 'until it is free');

-- partitions belong to the owner of the store, whoever makes them
CREATE ROLE cxm_test_owner;
GRANT USAGE, CREATE ON SCHEMA cx TO cxm_test_owner;
ALTER TABLE cx.event OWNER TO cxm_test_owner;
SELECT is(pg_temp.home('1993-01-01Z'), 'cx.event_1993_01', 'made by a superuser for another owner');
SELECT table_owner_is('cx', 'event_1993_01', 'cxm_test_owner', 'to whom it belongs');
CREATE ROLE cxm_test_stranger;
SELECT cxm.grant_store('cxm_test_stranger', 'writer');
GRANT INSERT ON public.seen TO cxm_test_stranger;
SET LOCAL ROLE cxm_test_stranger;
SELECT lives_ok($$SELECT cxm.track('p', at => '1994-01-01Z')$$, 'who does not own the table');
RESET ROLE;
SELECT is((SELECT count(*) FROM cx.event_default), 1::bigint, 'writes into the default partition');

-- dropping a month, as docs/store.md has it
SELECT cxm.make_partition('event', '1993-01-01');
CREATE TABLE public.visit (id integer PRIMARY KEY, at timestamptz);
INSERT INTO public.visit VALUES (1, '1993-01-05Z'), (2, '1993-01-06Z');
CALL cxm.attach('public.visit', 'event', '{"at": "at", "event": {"constant": "visit"}}', commit => false);
DROP TABLE cx.event_1993_01;
SELECT is((SELECT sum(c.row_count) FROM cxm.store_check() AS c WHERE c.table_name = 'cx.message'), 2::numeric, 'messages of a month that was dropped are reported');
DELETE FROM cx.message WHERE kind = 'event' AND occurred_at >= '1993-01-01Z' AND occurred_at < '1993-02-01Z';
SELECT is_empty($$SELECT * FROM cxm.store_check() AS c WHERE c.table_name = 'cx.message'$$, 'until they are forgotten');
UPDATE public.visit SET at = '1994-02-02Z' WHERE id = 1;
SELECT is((SELECT array_agg(e.occurred_at) FROM cx.event AS e JOIN cx.message AS m ON m.record_id = e.event_id WHERE m.occurred_at < '1995-01-01Z' AND m.message_id = '1'),
          ARRAY[timestamptz '1994-02-02Z'], 'and a row that moves out of the month is taken anew');

SELECT * FROM finish();
ROLLBACK;
