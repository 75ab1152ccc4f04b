-- cxm.create_rollup() and what follows: what is kept, in which periods, what is refused and why.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
DO $$ BEGIN PERFORM cxm.create_store('Europe/Berlin'); END $$;

CREATE TABLE answer (
    id integer PRIMARY KEY,
    at timestamptz,
    store text,
    score numeric,
    amount numeric(10, 2),
    lo integer DEFAULT 0,
    hi integer DEFAULT 10,
    weight double precision,
    meta jsonb
);
INSERT INTO answer (id, at, store, score, amount) VALUES
    (1, '2026-01-31 22:59Z', 'A', 10, 1.50),
    (2, '2026-01-31 23:00Z', 'A', 9, 2.25),
    (3, '2026-02-10 12:00Z', 'A', 3, NULL),
    (4, '2026-02-10 12:00Z', NULL, NULL, 4),
    (5, NULL, 'B', 7, 0.01);

-- a month begins at midnight in Berlin; a row without a time and one without a store are groups
SELECT cxm.create_rollup('by_store', 'answer', 'at', 'month', dimensions => '["store"]',
                         measures => '{"answers": {"count": "*"}, "scored": {"count": "score"}, "nps": {"nps": "score"}, "revenue": {"sum": "amount"}}');
TABLE cx.by_store ORDER BY period, store;
TABLE cx.by_store_state ORDER BY period, store;

-- every way in and out
INSERT INTO answer (id, at, store, score, amount) VALUES (6, '2026-02-01Z', 'A', 0, -2.25), (7, '2026-02-01Z', 'B', 8, 1);
UPDATE answer SET store = 'C', score = score - 1 WHERE id = 2;
UPDATE answer SET meta = '{}';
DELETE FROM answer WHERE id IN (4, 5);
INSERT INTO answer (id, at, store, score) VALUES (7, '2026-02-01Z', 'B', 8), (8, '2026-03-01Z', 'B', 6) ON CONFLICT (id) DO UPDATE SET score = 1;
COPY answer (id, at, store, score, amount) FROM stdin;
9	2026-03-01 00:00Z	A	10	100
10	2026-03-31 21:59Z	A	10	100
11	2026-03-31 22:00Z	A	10	100
\.
WITH gone AS (DELETE FROM answer WHERE id = 11 RETURNING *) INSERT INTO answer (id, at, store, score, amount) SELECT 12, at, 'D', score, amount FROM gone;
TABLE cx.by_store ORDER BY period, store;
SELECT * FROM cxm.rollup_check('by_store');
-- what an UPDATE leaves as it was is not written
SELECT count(*) AS before FROM cx.rollup_1_delta \gset
UPDATE answer SET meta = '{"a": 1}', weight = 2;
SELECT count(*) - :before AS written FROM cx.rollup_1_delta;

-- folding changes nothing that can be seen
CREATE TABLE before AS TABLE cx.by_store;
CALL cxm.fold_rollup('by_store');
(TABLE before EXCEPT ALL TABLE cx.by_store) UNION ALL (TABLE cx.by_store EXCEPT ALL TABLE before);
SELECT (SELECT count(*) FROM cx.rollup_1_base) = count(*) AS a_row_a_group, (SELECT count(*) FROM cx.rollup_1_delta) AS left_to_fold FROM before;
DELETE FROM answer WHERE store = 'D';
UPDATE answer SET score = 5 WHERE id = 1;
CALL cxm.fold_rollup('by_store');
SELECT * FROM cxm.rollup_check('by_store');
SELECT (SELECT count(*) FROM cx.rollup_1_base) = (SELECT count(*) FROM cx.by_store) AS empty_groups_are_gone;

-- along dimensions: states add up
SELECT store, cxm.nps(cxm.rollup(nps)) = (SELECT cxm.nps(a.score) FROM answer AS a WHERE a.store IS NOT DISTINCT FROM s.store) AS nps, sum(revenue) = (SELECT sum(a.amount) FROM answer AS a WHERE a.store = s.store) AS revenue
FROM cx.by_store_state AS s GROUP BY store ORDER BY store;

-- what is undone never was
BEGIN;
INSERT INTO answer (id, at, store, score) SELECT 100 + i, '2026-05-01Z', 'X' || i % 3, i % 11 FROM generate_series(1, 1000) AS i;
SAVEPOINT a;
DELETE FROM answer WHERE id > 500;
SELECT store, answers, nps FROM cx.by_store WHERE period = '2026-04-30 22:00Z' ORDER BY store;
ROLLBACK TO a;
SELECT store, answers, nps FROM cx.by_store WHERE period = '2026-04-30 22:00Z' ORDER BY store;
SELECT * FROM cxm.rollup_check('by_store');
TRUNCATE answer;
SELECT count(*) FROM cx.by_store;
ROLLBACK;
SELECT * FROM cxm.rollup_check('by_store');
SELECT count(*) > 0 AS is_back FROM cx.by_store;

-- a difference is found, and mended under readers
UPDATE cx.rollup_1_base SET n = n + 1 WHERE period IS NOT NULL AND k1 = 'C';
SELECT * FROM cxm.rollup_check('by_store');
CALL cxm.backfill_rollup('by_store');
SELECT * FROM cxm.rollup_check('by_store');

-- scores that cannot be counted fail the writer, and say why
INSERT INTO answer (id, at, store, score) VALUES (50, now(), 'A', 11);
INSERT INTO answer (id, at, store, score) VALUES (50, now(), 'A', 9.5);
INSERT INTO answer (id, at, store, amount) VALUES (50, now(), 'A', 'NaN');

-- a column is renamed; it cannot be dropped by accident; when it is dropped with all that hangs on it, writers are told
ALTER TABLE answer RENAME COLUMN store TO shop;
INSERT INTO answer (id, at, shop, score) VALUES (51, '2026-02-02Z', 'A', 10);
SELECT * FROM cxm.rollup_check('by_store');
ALTER TABLE answer DROP COLUMN shop;
BEGIN;
ALTER TABLE answer DROP COLUMN shop CASCADE;
SELECT name, problem FROM cx.rollup_status;
INSERT INTO answer (id, at, score) VALUES (52, '2026-02-02Z', 10);
ROLLBACK;
ALTER TABLE answer RENAME COLUMN shop TO store;
SELECT cxm.drop_rollup('by_store');
SELECT count(*) AS left_behind FROM pg_class WHERE relnamespace = 'cx'::regnamespace AND relname ~ '^(rollup_1|by_store)';
SELECT count(*) AS left_behind FROM pg_trigger WHERE tgrelid = 'answer'::regclass;

-- what is refused
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"min": "score"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"max": "score"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"avg": "score"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"count_distinct": "store"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"sum": "weight"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"sum": "store"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"sum": "no_such"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"ratings": "score"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"ratings": "score", "scale": [0, 11]}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"ratings": "score", "scale": ["lo", "hi"]}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"nps": "score", "sum": "amount"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '["no_such"]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"day": "at::date"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"profile": "(SELECT profile_id FROM cx.identifier LIMIT 1)"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"n": "count(*)"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"n": "random()"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"n": "tableoid"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"n": "t"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"n": "generate_series(1, 2)"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"n": "meta::json"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"n": "1) AS a, (2"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"n": "1); DROP TABLE answer; SELECT (1"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"n": "1 FROM pg_authid --"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"n": ""}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '["store", {"store": "lower(store)"}]');
-- a column of the table that is called as one that a rollup has anyway
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"period": "score"}]');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', measures => '{"a": {"nps": "score"}, "a_count": {"count": "*"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', dimensions => '[{"A \"b\"": "score"}]', measures => '{"A \"b\"": {"count": "*"}}');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', filter => 'score');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', filter => 'at > now()');
SELECT cxm.create_rollup('x', 'answer', 'score', 'day');
SELECT cxm.create_rollup('x', 'answer', 'no_such', 'day');
SELECT cxm.create_rollup('x', 'answer', 'at', 'fortnight');
SELECT cxm.create_rollup('x', 'answer', 'at', '1 month 1 day');
SELECT cxm.create_rollup('x', 'answer', 'at', '-1 hour');
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', time_zone => 'Mars/Base');
SELECT cxm.create_rollup('x', 'answer', 'at', 'week', week_start => 8);
SELECT cxm.create_rollup('x', 'cx.metric_score', 'period', 'day');
SELECT cxm.create_rollup('x', 'cx.feedback_default', 'occurred_at', 'day');
SELECT cxm.create_rollup('x', 'pg_class', 'at', 'day');
SELECT cxm.create_rollup('feedback', 'answer', 'at', 'day');
SELECT cxm.create_rollup(repeat('x', 58), 'answer', 'at', 'day');
SELECT cxm.drop_rollup('x');
SELECT cxm.rollup_check('x');
CALL cxm.fold_rollup('x');
SELECT count(*) AS none FROM cx.rollup;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT cxm.create_rollup('x', 'answer', 'at', 'day', backfill => true);
ROLLBACK;

-- scales that differ by row are dimensions; filters of single measures; a rollup that counts a part
SELECT cxm.create_rollup('by_scale', 'answer', 'at', 'year', dimensions => '["lo", "hi", {"half": "(extract(month FROM at AT TIME ZONE ''UTC'')::integer + 5) / 6"}]',
                         measures => '{"r": {"ratings": "score", "scale": ["lo", "hi"]}, "high": {"count": "*", "filter": "score >= 9"}, "csat": {"csat": "score", "filter": "lo = 1 AND hi = 5"}}', filter => 'at IS NOT NULL');
INSERT INTO answer (id, at, score, lo, hi) VALUES (60, '2026-08-01Z', 5, 1, 5), (61, '2026-08-01Z', 1, 1, 5), (62, '2026-08-01Z', 7, 1, 7), (63, NULL, 99, 0, 10);
TABLE cx.by_scale ORDER BY 1, 2, 3, 4;
SELECT * FROM cxm.rollup_check('by_scale');
DELETE FROM answer WHERE id = 63;
SELECT cxm.drop_rollup('by_scale');

-- names are names
CREATE SCHEMA "s"";x";
CREATE TABLE "s"";x"."t'; DROP TABLE answer; --" ("a""t" timestamp, "d %s $1" text, "v'" integer);
SELECT cxm.create_rollup('r"; DROP TABLE answer; -- %I', '"s"";x"."t''; DROP TABLE answer; --"', 'a"t', 'day', dimensions => '["d %s $1", {"e\" , f": "upper(\"d %s $1\") -- a comment"}]',
                         measures => '{"m\"''%": {"sum": "\"v''\""}, "row": {"count": "*", "filter": "true -- all"}}', filter => '"v''" > 0 -- not all');
INSERT INTO "s"";x"."t'; DROP TABLE answer; --" VALUES ('2026-01-01', 'x', 1), ('2026-01-01', 'x', 2), ('2026-01-01', 'y', -1);
SELECT * FROM cx."r""; DROP TABLE answer; -- %I";
CALL cxm.fold_rollup('r"; DROP TABLE answer; -- %I');
SELECT * FROM cxm.rollup_check('r"; DROP TABLE answer; -- %I');
SELECT cxm.drop_rollup('r"; DROP TABLE answer; -- %I');
DROP SCHEMA "s"";x" CASCADE;

-- periods: clocks that change, weeks that begin on any day, half hours, lengths of one's own
CREATE TABLE moment (at timestamptz);
CREATE FUNCTION periods(bucket text, zone text, week_start integer, VARIADIC times timestamptz[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE moment;
    PERFORM cxm.create_rollup('p', 'moment', 'at', bucket, zone, week_start);
    INSERT INTO moment SELECT unnest(times);
    RETURN QUERY SELECT format('%s (%s): %s', p.period AT TIME ZONE zone, p.period, p.rows) FROM cx.p ORDER BY p.period;
    PERFORM cxm.drop_rollup('p');
END $$;
-- 29 March 2026 has 23 hours in Berlin, 25 October 25
SELECT periods('day', 'Europe/Berlin', 1, '2026-03-28 22:59Z', '2026-03-28 23:00Z', '2026-03-29 21:59Z', '2026-03-29 22:00Z', '2026-10-24 21:59Z', '2026-10-24 22:00Z', '2026-10-25 22:59Z', '2026-10-25 23:00Z');
-- two o'clock comes twice
SELECT periods('hour', 'Europe/Berlin', 1, '2026-10-25 00:30Z', '2026-10-25 01:30Z', '2026-03-29 00:59Z', '2026-03-29 01:00Z');
SELECT periods('hour', 'Asia/Kolkata', 1, '2026-01-01 00:29Z', '2026-01-01 00:30Z');
SELECT periods('week', 'Europe/Berlin', 1, '2026-03-29 21:59Z', '2026-03-29 22:00Z');
SELECT periods('week', 'Europe/Berlin', 7, '2026-03-28 22:59Z', '2026-03-28 23:00Z', '2026-04-04 21:59Z', '2026-04-04 22:00Z');
SELECT periods('week', 'America/New_York', 3, '2026-03-04 04:59Z', '2026-03-04 05:00Z', '2026-03-11 03:59Z', '2026-03-11 04:00Z');
SELECT periods('month', 'Pacific/Auckland', 1, '2026-03-31 10:59Z', '2026-03-31 11:00Z', '2026-04-30 11:59Z', '2026-04-30 12:00Z');
SELECT periods('quarter', 'Europe/Berlin', 1, '2026-03-31 21:59Z', '2026-03-31 22:00Z');
SELECT periods('year', 'Europe/Berlin', 1, '2025-12-31 22:59Z', '2025-12-31 23:00Z');
-- a midnight that does not exist
SELECT periods('day', 'America/Havana', 1, '2026-03-08 04:59Z', '2026-03-08 05:00Z');
SELECT periods('15 minutes', 'UTC', 1, '2026-01-01 00:14:59Z', '2026-01-01 00:15Z');
SELECT periods('14 days', 'UTC', 1, '2001-01-14 23:59Z', '2001-01-15 00:00Z', '2000-12-31Z');
SELECT periods('7 days', 'UTC', 7, '2026-03-28 23:59Z', '2026-03-29 00:00Z');
SELECT periods('day', 'UTC', 1, '-infinity', 'infinity', NULL);
-- times without a zone, and days, are of the rollup's
CREATE TABLE local_moment (at timestamp, on_day date);
SELECT cxm.create_rollup('p', 'local_moment', 'at', 'day', 'Asia/Tokyo'), cxm.create_rollup('q', 'local_moment', 'on_day', 'day', 'Asia/Tokyo');
INSERT INTO local_moment VALUES ('2026-01-01 23:59', '2026-01-01');
SELECT p.period AS p, q.period AS q FROM cx.p, cx.q;

-- a large table is emptied without its rows being read, whatever is folded, and time and again
CREATE TABLE large (id integer, at timestamptz, shop text, score integer, paid numeric);
SELECT cxm.create_rollup('large', 'large', 'at', 'day', dimensions => '["shop"]', measures => '{"nps": {"nps": "score"}, "paid": {"sum": "paid"}, "some": {"count": "score"}}');
DO $$
BEGIN
    FOR i IN 1 .. 6 LOOP
        INSERT INTO large SELECT n, timestamptz '2026-01-01Z' + n % 3 * interval '1 day', nullif(n % 3, 0), nullif(n % 11, i), n FROM generate_series(1, 5000) AS n;
        UPDATE large SET score = 0 WHERE id < 7;
        IF i % 2 = 0 THEN
            PERFORM cxm.fold_rollup_now(r.rollup_id) FROM cx.rollup AS r WHERE r.name = 'large';
            DELETE FROM large WHERE id % 1000 = 0;
        END IF;
        BEGIN
            TRUNCATE large;
            ASSERT NOT EXISTS (SELECT FROM cx.large), 'empty';
            RAISE SQLSTATE 'R0001';
        EXCEPTION
            WHEN SQLSTATE 'R0001' THEN
                ASSERT NOT EXISTS (SELECT FROM cxm.rollup_check('large')) AND EXISTS (SELECT FROM cx.large), 'rolled back';
        END;
        TRUNCATE large;
        ASSERT NOT EXISTS (SELECT FROM cx.large) AND NOT EXISTS (SELECT FROM cxm.rollup_check('large')), 'emptied';
    END LOOP;
END
$$;
INSERT INTO large VALUES (1, '2026-01-01Z', 'a', 10, 1);
SELECT shop, nps_count, paid, "some" FROM cx.large;
SELECT cxm.drop_rollup('large');
DROP TABLE large;

-- in a table that takes part in inheritance others write: it is not read any longer
CREATE TABLE parent (at timestamptz, score integer);
SELECT cxm.create_rollup('inherited', 'parent', 'at', 'day', measures => '{"nps": {"nps": "score"}}');
CREATE TABLE child () INHERITS (parent);
SELECT * FROM cx.inherited;
SELECT problem FROM cx.rollup_status WHERE name = 'inherited';
CALL cxm.backfill_rollup('inherited');
SELECT cxm.refresh_rollup('inherited');
DROP TABLE child;
SELECT * FROM cx.inherited;
CALL cxm.backfill_rollup('inherited');
SELECT * FROM cx.inherited;
CREATE TABLE whole (LIKE parent) PARTITION BY RANGE (at);
ALTER TABLE whole ATTACH PARTITION parent DEFAULT;
SELECT * FROM cx.inherited;
ALTER TABLE whole DETACH PARTITION parent;
SELECT cxm.drop_rollup('inherited');
DROP TABLE parent, whole;

-- names that have to be quoted, columns that are generated, types of yours and types with no plain equality of their text
CREATE TYPE "Mood" AS ENUM ('good', 'so so');
CREATE DOMAIN "Whole" AS integer CHECK (VALUE > -1000);
CREATE TABLE "Odd ""Table" ("At" timestamp, "the 'shop'" varchar(10), mood "Mood", n "Whole", twice integer GENERATED ALWAYS AS (n * 2) STORED, tags text[], u uuid, v numeric, j jsonb);
SELECT cxm.create_rollup('Odd "Rollup', '"Odd ""Table"', 'At', 'day', time_zone => 'Asia/Kolkata', dimensions => '["the \u0027shop\u0027", "mood", "tags", "u", "v", "j"]',
                         measures => '{"Sum of \"it\"": {"sum": "twice"}, "n": {"sum": "n"}}', filter => 'n IS DISTINCT FROM 13');
DO $$
BEGIN
    PERFORM setseed(0.5);
    FOR i IN 1 .. 60 LOOP
        INSERT INTO "Odd ""Table" ("At", "the 'shop'", mood, n, tags, u, v, j)
        SELECT timestamp '2026-01-01' + floor(3 * random()) * interval '8 hours', (ARRAY['a', 'b''"', NULL])[1 + floor(3 * random())], (ARRAY['good', 'so so', NULL]::"Mood"[])[1 + floor(3 * random())],
               floor(20 * random()), (ARRAY['{}', '{a,NULL}', NULL])[1 + floor(3 * random())]::text[], nullif(md5(floor(2 * random())::text), md5('0'))::uuid, (ARRAY[1.0, 1.00, 'NaN'])[1 + floor(3 * random())]::numeric,
               (ARRAY['{"a": 1}', '1', '1.0'])[1 + floor(3 * random())]::jsonb
        FROM generate_series(1, 5);
        UPDATE "Odd ""Table" SET n = n + 1, v = NULL WHERE n % 7 = i % 7;
        DELETE FROM "Odd ""Table" WHERE n % 11 = i % 11;
        IF i % 10 = 0 THEN
            PERFORM cxm.fold_rollup_now(r.rollup_id) FROM cx.rollup AS r WHERE r.name = 'Odd "Rollup';
        ELSIF i = 35 THEN
            TRUNCATE "Odd ""Table";
        END IF;
        ASSERT NOT EXISTS (SELECT FROM cxm.rollup_check('Odd "Rollup')), i;
        ASSERT (SELECT coalesce(sum("Sum of ""it"""), 0) FROM cx."Odd ""Rollup") = (SELECT coalesce(2 * sum(n), 0) FROM "Odd ""Table" WHERE n IS DISTINCT FROM 13), i;
    END LOOP;
    ASSERT (SELECT count(*) > 5 FROM cx."Odd ""Rollup");
END
$$;
SELECT cxm.drop_rollup('Odd "Rollup');
DROP TABLE "Odd ""Table";
DROP TYPE "Mood";
DROP DOMAIN "Whole";

-- the store's own tables: partitions, what waits in the default one, what is written straight into one
SELECT cxm.create_rollup('nps', 'cx.feedback', 'occurred_at', 'month', dimensions => '["location_id"]', measures => '{"nps": {"nps": "score"}}', filter => 'metric = ''nps''');
INSERT INTO cx.feedback (occurred_at, metric, score, location_id) SELECT timestamptz '2019-01-15Z' + i * interval '5 days', 'nps', i % 11, i % 3 FROM generate_series(1, 60) AS i;
INSERT INTO cx.feedback_default (feedback_id, occurred_at, metric, score, scale_min, scale_max) VALUES (900001, '2019-07-01Z', 'nps', 9, 0, 10);
SELECT cxm.record_feedback('nps', 3, '{"email": "a@x.org"}', at => '2019-03-03Z') IS NOT NULL AS recorded;
SELECT * FROM cxm.rollup_check('nps');
CREATE TABLE rows_before AS TABLE cx.nps;
CALL cxm.maintain_partitions();
SELECT count(*) AS still_waiting FROM cx.feedback_default;
SELECT * FROM cxm.rollup_check('nps');
(TABLE rows_before EXCEPT ALL TABLE cx.nps) UNION ALL (TABLE cx.nps EXCEPT ALL TABLE rows_before);
INSERT INTO cx.feedback_2019_02 (feedback_id, occurred_at, metric, score, scale_min, scale_max) VALUES (900002, '2019-02-02Z', 'nps', 1, 0, 10);
UPDATE cx.feedback SET occurred_at = occurred_at + interval '2 months' WHERE occurred_at < '2019-04-01';
DELETE FROM cx.feedback_2019_04 WHERE score = 3;
TRUNCATE cx.feedback_2019_05;
SELECT * FROM cxm.rollup_check('nps');
SELECT name, state, problem FROM cx.rollup_status ORDER BY name COLLATE "C";

-- partitions of yours: with other columns in another order, attached and detached with rows
CREATE TABLE visit (at timestamptz NOT NULL, shop text, score integer) PARTITION BY RANGE (at);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2026-01-01Z') TO ('2026-02-01Z');
SELECT cxm.create_rollup('visits', 'visit', 'at', 'week', dimensions => '["shop"]', measures => '{"score": {"nps": "score"}}');
CREATE TABLE visit_2 (score integer, gone text, shop text, at timestamptz NOT NULL);
ALTER TABLE visit_2 DROP COLUMN gone;
INSERT INTO visit_2 SELECT i % 11, 's' || i % 2, timestamptz '2026-02-01Z' + i * interval '1 day' FROM generate_series(0, 27) AS i;
BEGIN;
ALTER TABLE visit ATTACH PARTITION visit_2 FOR VALUES FROM ('2026-02-01Z') TO ('2026-03-01Z');
SELECT problem FROM cx.rollup_status WHERE name = 'visits';
SELECT cxm.refresh_rollup('visits') > 0 AS counted;
COMMIT;
SELECT * FROM cxm.rollup_check('visits');
INSERT INTO visit_2 (score, shop, at) VALUES (10, 's1', '2026-02-14Z');
UPDATE visit SET at = at - interval '20 days' WHERE at < '2026-02-05';
DELETE FROM visit_2 WHERE score = 3;
SELECT * FROM cxm.rollup_check('visits');
-- what waits to be folded is told of rollups alone
CREATE TABLE rollup_1_delta (weight smallint, n bigint, period timestamptz, m1 bigint);
SELECT cxm.rollup_changes(NULL::rollup_1_delta);
SELECT cxm.rollup_changes(NULL::integer);
SELECT cxm.rollup_changes(NULL::cx.rollup);
DROP TABLE rollup_1_delta;
-- more groups than are held in memory at once
CREATE TABLE many (at timestamptz, shop text, paid numeric);
SELECT cxm.create_rollup('many', 'many', 'at', 'day', time_zone => 'UTC', dimensions => '["shop"]', measures => '{"paid": {"sum": "paid"}}');
INSERT INTO many SELECT timestamptz '2026-01-01Z' + i % 30 * interval '1 day', 's' || i % 10007, i FROM generate_series(1, 20000) AS i;
UPDATE many SET paid = paid / 4 WHERE paid > 5000;
SELECT count(*) AS groups, sum(d.differs) AS differ
FROM (SELECT (k.rows IS DISTINCT FROM p.rows OR k.paid IS DISTINCT FROM p.paid)::integer AS differs
      FROM (SELECT m.at, m.shop, count(*) AS rows, sum(m.paid) AS paid FROM many AS m GROUP BY m.at, m.shop) AS p
      FULL JOIN (SELECT m.period, m.shop, m.paid, m.paid_count AS rows FROM cx.many AS m) AS k ON k.period = p.at AND k.shop = p.shop) AS d;
SELECT cxm.drop_rollup('many');
DROP TABLE many;
-- a partition that is empty when its table is first written to is known from then on
CREATE TABLE visit_3 PARTITION OF visit FOR VALUES FROM ('2026-03-01Z') TO ('2026-04-01Z');
INSERT INTO visit VALUES ('2026-03-05Z', 's3', 10);
INSERT INTO visit_3 VALUES ('2026-03-06Z', 's3', 10);
SELECT * FROM cxm.rollup_check('visits');
SELECT count(*) > 0 AS readable FROM cx.visits;
BEGIN;
CREATE TABLE visit_4 PARTITION OF visit FOR VALUES FROM ('2026-04-01Z') TO ('2026-05-01Z');
INSERT INTO visit VALUES ('2026-04-05Z', 's3', 10);
SELECT * FROM cxm.rollup_check('visits');
COMMIT;
SELECT * FROM cxm.rollup_check('visits');
SELECT count(*) > 0 AS readable FROM cx.visits;
-- not one that was written to by itself: before, in the same statement, or in what was rolled back
CREATE TABLE visit_5 PARTITION OF visit FOR VALUES FROM ('2026-05-01Z') TO ('2026-06-01Z');
INSERT INTO visit_5 VALUES ('2026-05-06Z', 's3', 10);
INSERT INTO visit VALUES ('2026-05-05Z', 's3', 10);
SELECT count(*) AS missed FROM cxm.rollup_check('visits');
SELECT count(*) > 0 AS readable FROM cx.visits;
CALL cxm.fold_rollups();
SELECT * FROM cxm.rollup_check('visits');
CREATE TABLE visit_6 PARTITION OF visit FOR VALUES FROM ('2026-06-01Z') TO ('2026-07-01Z');
WITH straight AS (INSERT INTO visit_6 VALUES ('2026-06-06Z', 's3', 10) RETURNING score) INSERT INTO visit SELECT '2026-06-05Z', 's3', score FROM straight;
SELECT count(*) AS missed FROM cxm.rollup_check('visits');
SELECT count(*) > 0 AS readable FROM cx.visits;
CALL cxm.fold_rollups();
SELECT * FROM cxm.rollup_check('visits');
CREATE TABLE visit_7 PARTITION OF visit FOR VALUES FROM ('2026-07-01Z') TO ('2026-08-01Z');
INSERT INTO visit SELECT '2026-07-05Z', 's3', 10 / (2 - i) FROM generate_series(1, 2) AS i;
INSERT INTO visit_7 VALUES ('2026-07-06Z', 's3', 10);
INSERT INTO visit VALUES ('2026-07-05Z', 's3', 10);
SELECT count(*) AS missed FROM cxm.rollup_check('visits');
SELECT count(*) > 0 AS readable FROM cx.visits;
CALL cxm.fold_rollups();
SELECT * FROM cxm.rollup_check('visits');
-- nor one whose owner does not write: what came through the table before it was taken in is counted once
CREATE ROLE regress_cxm_visitor;
GRANT INSERT ON visit TO regress_cxm_visitor;
CREATE TABLE visit_8 PARTITION OF visit FOR VALUES FROM ('2026-08-01Z') TO ('2026-09-01Z');
SET ROLE regress_cxm_visitor;
INSERT INTO visit VALUES ('2026-08-05Z', 's3', 10);
RESET ROLE;
INSERT INTO visit_8 VALUES ('2026-08-06Z', 's3', 10);
SELECT count(*) AS missed FROM cxm.rollup_check('visits');
CALL cxm.fold_rollups();
SELECT * FROM cxm.rollup_check('visits');
REVOKE INSERT ON visit FROM regress_cxm_visitor;
DROP ROLE regress_cxm_visitor;
BEGIN;
ALTER TABLE visit DETACH PARTITION visit_2;
SELECT cxm.refresh_rollup('visits') >= 0 AS counted;
COMMIT;
SELECT * FROM cxm.rollup_check('visits');
INSERT INTO visit_2 (score, at) VALUES (1, now());
SELECT * FROM cxm.rollup_check('visits');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'visit_2'::regclass;
TRUNCATE visit;
SELECT * FROM cxm.rollup_check('visits');
SELECT count(*) FROM cx.visits;

-- a trigger of somebody's on another table cannot write to the rollup, nor one of another name count twice
CREATE TABLE other (LIKE visit);
CREATE TRIGGER mine AFTER INSERT ON visit REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION cxm.rollup_delta('5 2 r visits');
INSERT INTO visit VALUES ('2026-01-05Z', 's3', 10);
DROP TRIGGER mine ON visit;
SELECT cxm.rollup_delta();

-- all rollups of a table are served by the same triggers: what is said for one of them holds for the others
CREATE TABLE stay (at timestamptz, score integer);
SELECT cxm.create_rollup('first', 'stay', 'at', 'day', measures => '{"nps": {"nps": "score"}}');
SELECT cxm.create_rollup('second', 'stay', 'at', 'month', measures => '{"rows": {"count": "*"}, "score": {"sum": "score"}}');
SELECT cxm.create_rollup('third', 'stay', 'at', 'year');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'stay'::regclass;
INSERT INTO stay SELECT timestamptz '2026-01-01Z' + i * interval '7 hours', i % 11 FROM generate_series(1, 300) AS i;
SELECT cxm.drop_rollup('second');
UPDATE stay SET score = 10 WHERE score = 3;
SELECT (SELECT sum(nps_promoters) FROM cx.first) AS promoters, (SELECT sum(rows) FROM cx.third) AS rows;
SELECT * FROM cxm.rollup_check('first');
DELETE FROM stay WHERE score = 10;
SELECT r.name, (SELECT count(*) FROM cxm.rollup_check(r.name)) AS differences, cardinality(cxm.rollups_of('stay')) AS served FROM cx.rollup AS r WHERE r.source = 'stay'::regclass ORDER BY r.rollup_id;
-- numbers that somebody gives count nothing twice
\set VERBOSITY terse
DO $$
DECLARE
    v_id constant text := (SELECT rollup_id FROM cx.rollup WHERE name = 'first');
    v_numbers text;
BEGIN
    FOREACH v_numbers IN ARRAY '{"N N","N 1","N "," N",x,Nx,-1,0,12345678901}'::text[] LOOP
        BEGIN
            EXECUTE format('CREATE OR REPLACE TRIGGER cxm_rollup_insert AFTER INSERT ON stay REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION cxm.rollup_delta(%L)', replace(v_numbers, 'N', v_id));
            INSERT INTO stay VALUES ('2026-01-01Z', 1);
            RAISE WARNING '% is taken', v_numbers;
        EXCEPTION
            WHEN trigger_protocol_violated THEN
                RAISE WARNING '%: %', v_numbers, replace(SQLERRM, v_id, 'N');
        END;
    END LOOP;
END
$$;
\set VERBOSITY default
-- one that is off
ALTER TABLE stay DISABLE TRIGGER cxm_rollup_insert;
INSERT INTO stay VALUES ('2026-01-01Z', 1);
SELECT name, problem FROM cx.rollup_status WHERE source LIKE '%stay' ORDER BY name;
SELECT cxm.create_rollup('fourth', 'stay', 'at', 'day');
DO $$ BEGIN PERFORM cxm.upgrade_store(); END $$;
SELECT r.name, (SELECT count(*) FROM cxm.rollup_check(r.name)) AS differences FROM cx.rollup AS r WHERE r.source = 'stay'::regclass ORDER BY r.rollup_id;
-- what is done for replication stays
ALTER TABLE stay ENABLE ALWAYS TRIGGER cxm_rollup_insert;
SELECT cxm.create_rollup('fourth', 'stay', 'at', 'day');
SELECT cxm.drop_rollup('third');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'stay'::regclass AND tgenabled = 'A';
-- by triggers of its own for each rollup nothing is written, and upgrade_store() makes those that there should be
SELECT format('ALTER TRIGGER cxm_rollup_insert ON stay RENAME TO rollup_%s_insert', rollup_id) AS statement FROM cx.rollup WHERE name = 'first' \gset
:statement;
INSERT INTO stay VALUES ('2026-01-01Z', 1);
DO $$ BEGIN PERFORM cxm.upgrade_store(); END $$;
INSERT INTO stay VALUES ('2026-01-01Z', 1);
SELECT tgname FROM pg_trigger WHERE tgrelid = 'stay'::regclass ORDER BY tgname;
SELECT r.name, (SELECT count(*) FROM cxm.rollup_check(r.name)) AS differences FROM cx.rollup AS r WHERE r.source = 'stay'::regclass ORDER BY r.rollup_id;
SELECT cxm.drop_rollup('first'), cxm.drop_rollup('fourth');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'stay'::regclass;
-- a trigger of somebody's is left alone
CREATE TRIGGER cxm_rollup_update BEFORE UPDATE ON stay FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT cxm.create_rollup('fifth', 'stay', 'at', 'day');
DROP TABLE stay;

-- the source is dropped
DROP TABLE visit CASCADE;
SELECT name, problem FROM cx.rollup_status WHERE name = 'visits';
SELECT * FROM cx.visits;
SELECT cxm.drop_rollup('visits');

-- DROP EXTENSION takes types, triggers and views along; cxm.upgrade_store() brings them back
SELECT count(*) AS groups FROM cx.nps \gset
DROP EXTENSION cxm CASCADE;
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max) VALUES ('2019-02-03Z', 'nps', 1, 0, 10);
CREATE EXTENSION cxm;
DO $$ BEGIN PERFORM cxm.upgrade_store(); END $$;
SELECT name, state, problem FROM cx.rollup_status ORDER BY name COLLATE "C";
SELECT * FROM cxm.rollup_check('nps');
INSERT INTO cx.feedback (occurred_at, metric, score) VALUES ('2019-02-03Z', 'nps', 1);
SELECT * FROM cxm.rollup_check('nps');
SELECT count(*) - :groups AS more_groups FROM cx.nps;

SET client_min_messages = error;
DROP SCHEMA cx CASCADE;
DROP TABLE answer, before, rows_before, moment, local_moment, visit_2, other CASCADE;
DROP FUNCTION periods;
