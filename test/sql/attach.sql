-- Existing tables as sources: every kind, every way a row changes, every kind of name and key; what is refused.
\set SHOW_CONTEXT never
\pset null '(null)'
SET client_min_messages = warning;
SET timezone = 'America/New_York';
SELECT cxm.create_store('Europe/Berlin') IS NOT NULL AS made;
CREATE SCHEMA shop;

-- What the store holds of a source, with names instead of codes and the time in UTC.
CREATE FUNCTION shop.stored_feedback(source text)
RETURNS TABLE (id text, at timestamp, metric text, score integer, lo integer, hi integer, comment text, who text, touchpoint text, location text, product text, employee text, submission text, question text, properties jsonb)
LANGUAGE sql STABLE AS $$
    SELECT m.message_id, f.occurred_at AT TIME ZONE 'UTC', f.metric, f.score, f.scale_min, f.scale_max, f.comment, i.namespace || ':' || i.value, t.key, l.key, p.key, e.key,
           f.submission_id, f.question, f.properties
    FROM cx.source AS s
    JOIN cx.feedback AS f USING (source_id)
    LEFT JOIN cx.message AS m ON m.source_id = s.source_id AND m.kind = 'feedback' AND m.record_id = f.feedback_id AND m.occurred_at = f.occurred_at
    LEFT JOIN cx.identifier AS i USING (identifier_id)
    LEFT JOIN cx.touchpoint AS t USING (touchpoint_id) LEFT JOIN cx.location AS l USING (location_id)
    LEFT JOIN cx.product AS p USING (product_id) LEFT JOIN cx.employee AS e USING (employee_id)
    WHERE s.source = stored_feedback.source
$$;
CREATE FUNCTION shop.stored_events(source text)
RETURNS TABLE (id text, at timestamp, event text, who text, touchpoint text, location text, product text, employee text, properties jsonb)
LANGUAGE sql STABLE AS $$
    SELECT m.message_id, f.occurred_at AT TIME ZONE 'UTC', y.key, i.namespace || ':' || i.value, t.key, l.key, p.key, e.key, f.properties
    FROM cx.source AS s
    JOIN cx.event AS f USING (source_id)
    JOIN cx.event_type AS y USING (event_type_id)
    LEFT JOIN cx.message AS m ON m.source_id = s.source_id AND m.kind = 'event' AND m.record_id = f.event_id AND m.occurred_at = f.occurred_at
    LEFT JOIN cx.identifier AS i USING (identifier_id)
    LEFT JOIN cx.touchpoint AS t USING (touchpoint_id) LEFT JOIN cx.location AS l USING (location_id)
    LEFT JOIN cx.product AS p USING (product_id) LEFT JOIN cx.employee AS e USING (employee_id)
    WHERE s.source = stored_events.source
$$;
CREATE FUNCTION shop.stored_purchases(source text)
RETURNS TABLE (id text, at timestamp, order_id text, product text, quantity numeric, amount numeric, currency text, who text, properties jsonb)
LANGUAGE sql STABLE AS $$
    SELECT m.message_id, f.occurred_at AT TIME ZONE 'UTC', f.order_id, p.key, f.quantity, f.amount, f.currency, i.namespace || ':' || i.value, f.properties
    FROM cx.source AS s
    JOIN cx.purchase AS f USING (source_id)
    LEFT JOIN cx.message AS m ON m.source_id = s.source_id AND m.kind = 'purchase' AND m.record_id = f.purchase_id AND m.occurred_at = f.occurred_at
    LEFT JOIN cx.identifier AS i USING (identifier_id)
    LEFT JOIN cx.product AS p USING (product_id)
    WHERE s.source = stored_purchases.source
$$;

-- The oracle: rows that only the table has (as the query, the mapping written out by hand, says) and rows that only the store has.
CREATE FUNCTION shop.difference(expected text, stored text) RETURNS TABLE (side text, item text)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT ''missing'', x::text FROM (%1$s EXCEPT ALL SELECT * FROM %2$s) AS x
                                 UNION ALL SELECT ''too many'', x::text FROM (SELECT * FROM %2$s EXCEPT ALL %1$s) AS x ORDER BY 1, 2', expected, stored);
END
$$;

---- feedback: all fields, names that need quotes, a timestamp without zone

CREATE TABLE shop."Survey Answers" (
    "Id" integer PRIMARY KEY, "select" timestamp NOT NULL, metric text, "Score %" smallint, lo integer, hi bigint, "say ""what""" text,
    "E-Mail" varchar(60), phone text, "Kanal" char(8), shop text, sku text, clerk text, form uuid, question text, extra jsonb, unmapped text);
INSERT INTO shop."Survey Answers"
SELECT g, timestamp '2020-01-01 12:00' + g * interval '7 hours', CASE g % 3 WHEN 0 THEN 'nps' WHEN 1 THEN 'csat' ELSE 'rating' END, 1 + g % 5,
       CASE g % 3 WHEN 2 THEN 0 END, CASE g % 3 WHEN 2 THEN 5 END, CASE g % 4 WHEN 0 THEN 'text ' || g WHEN 1 THEN '' END,
       CASE g % 5 WHEN 0 THEN NULL WHEN 1 THEN '  ' ELSE 'User' || g % 7 || '@Example.com' END, NULL, CASE WHEN g % 2 = 0 THEN 'web' END, '  s' || g % 3 || ' ', 'sku' || g % 4, NULL,
       CASE WHEN g % 2 = 0 THEN '00000000-0000-0000-0000-000000000001'::uuid END, 'q', CASE WHEN g % 3 = 0 THEN '{"a": null, "b": 1}'::jsonb END, NULL
FROM generate_series(1, 60) AS g;
\set mapping '{"at": "select", "metric": "metric", "score": "Score %", "scale_min": "lo", "scale_max": "hi", "comment": "say \\"what\\"", "identifiers": {"email": "E-Mail", "phone": "phone"}, "touchpoint": "Kanal", "location": "shop", "product": "sku", "employee": "clerk", "submission_id": "form", "question": "question", "properties": {"extra": "extra", "number": "Id", "fixed": {"constant": true}, "none": "phone"}}'
CALL cxm.attach('shop."Survey Answers"', 'feedback', :'mapping', batch_size => 7);
SELECT source, kind, table_name, state, table_rows, stored_rows, blank_rows, rejections, lag_rows, backfill_state, backfill_rows, backfill_percent, uncovered_partitions
FROM cxm.source_status(true);

CREATE VIEW shop.expected_answers (id, at, metric, score, lo, hi, comment, who, touchpoint, location, product, employee, submission, question, properties) AS
    SELECT "Id"::text, "select" AT TIME ZONE 'Europe/Berlin' AT TIME ZONE 'UTC', metric, "Score %"::integer,
           coalesce(lo, CASE metric WHEN 'nps' THEN 0 ELSE 1 END), coalesce(hi, CASE metric WHEN 'nps' THEN 10 ELSE 5 END)::integer, nullif("say ""what""", ''),
           'email:' || lower(nullif(btrim("E-Mail"), '')), nullif(btrim("Kanal"), ''), btrim(shop), sku, clerk, form::text, question,
           jsonb_build_object('number', "Id", 'fixed', true) || CASE WHEN extra IS NULL THEN '{}' ELSE jsonb_build_object('extra', extra) END
    FROM shop."Survey Answers"
    WHERE coalesce("Score %"::text, nullif("say ""what""", '')) IS NOT NULL;
SELECT * FROM shop.difference('TABLE shop.expected_answers', $$shop.stored_feedback('shop."Survey Answers"')$$);
SELECT count(*) FROM shop.stored_feedback('shop."Survey Answers"');

-- every way in which rows change
INSERT INTO shop."Survey Answers" ("Id", "select", metric, "Score %", "E-Mail", shop) VALUES (101, '2020-02-01', 'nps', 10, 'a@x.com', 's9'), (102, '2020-03-29 02:30', 'nps', 0, NULL, 's9');
UPDATE shop."Survey Answers" SET "Score %" = 2, "select" = "select" + interval '45 days' WHERE "Id" <= 10;
UPDATE shop."Survey Answers" SET "Id" = "Id" + 1000 WHERE "Id" BETWEEN 20 AND 30;
UPDATE shop."Survey Answers" SET "Id" = CASE "Id" WHEN 31 THEN 2031 ELSE "Id" END, shop = 'moved' WHERE "Id" IN (31, 32);
DELETE FROM shop."Survey Answers" WHERE "Id" % 9 = 0;
INSERT INTO shop."Survey Answers" ("Id", "select", metric, "Score %") VALUES (1, '2020-02-01', 'nps', 9), (103, '2020-02-01', 'nps', 8)
ON CONFLICT ("Id") DO UPDATE SET "Score %" = excluded."Score %", metric = 'nps', lo = NULL, hi = NULL;
INSERT INTO shop."Survey Answers" ("Id", "select", metric, "Score %") VALUES (1, '2020-02-01', 'nps', 1) ON CONFLICT DO NOTHING;
COPY shop."Survey Answers" ("Id", "select", metric, "Score %") FROM stdin;
201	2020-02-01 10:00	nps	7
202	2020-02-01 11:00	csat	5
\.
WITH gone AS (DELETE FROM shop."Survey Answers" WHERE "Id" = 201 RETURNING *)
INSERT INTO shop."Survey Answers" ("Id", "select", metric, "Score %") SELECT "Id", "select", metric, 3 FROM gone;
WITH gone AS (DELETE FROM shop."Survey Answers" WHERE "Id" IN (101, 102) RETURNING *)
INSERT INTO shop."Survey Answers" ("Id", "select", metric, "Score %") SELECT "Id", "select", metric, 4 FROM gone LIMIT 1;
SELECT * FROM shop.difference('TABLE shop.expected_answers', $$shop.stored_feedback('shop."Survey Answers"')$$);
-- rolled back, in whole and in part
BEGIN;
DELETE FROM shop."Survey Answers";
ROLLBACK;
BEGIN;
UPDATE shop."Survey Answers" SET "Score %" = 3;
SAVEPOINT a;
TRUNCATE shop."Survey Answers";
ROLLBACK TO a;
COMMIT;
SELECT * FROM shop.difference('TABLE shop.expected_answers', $$shop.stored_feedback('shop."Survey Answers"')$$);
-- an update of columns that are not mapped, or to the same value, or of no row, writes nothing
CREATE TABLE shop.before AS SELECT f.feedback_id, f.xmin::text AS version FROM cx.feedback AS f;
UPDATE shop."Survey Answers" SET unmapped = 'x';
UPDATE shop."Survey Answers" SET "Score %" = "Score %", extra = extra;
UPDATE shop."Survey Answers" SET "Score %" = 1 WHERE false;
DELETE FROM shop."Survey Answers" WHERE false;
INSERT INTO shop."Survey Answers" SELECT * FROM shop."Survey Answers" WHERE false;
SELECT count(*) AS changed FROM cx.feedback AS f LEFT JOIN shop.before AS b USING (feedback_id) WHERE b.version IS DISTINCT FROM f.xmin::text;

-- nothing to store: a row without score and words is blank, and its record goes and comes
UPDATE shop."Survey Answers" SET "Score %" = NULL, "say ""what""" = NULL WHERE "Id" IN (2, 4);
INSERT INTO shop."Survey Answers" ("Id", "select", metric) VALUES (301, '2020-02-01', 'nps');
SELECT * FROM shop.difference('TABLE shop.expected_answers', $$shop.stored_feedback('shop."Survey Answers"')$$);
SELECT table_rows, stored_rows, blank_rows, rejections, lag_rows FROM cxm.source_status(true);
UPDATE shop."Survey Answers" SET "Score %" = 5 WHERE "Id" IN (2, 301);
SELECT * FROM shop.difference('TABLE shop.expected_answers', $$shop.stored_feedback('shop."Survey Answers"')$$);

-- bad values never abort the statement; they wait in cx.rejection until the row is mended or goes
INSERT INTO shop."Survey Answers" ("Id", "select", metric, "Score %", hi) VALUES
    (401, '2020-02-01', 'nps', 11, NULL), (402, '2020-02-01', 'no_such', 1, NULL), (403, 'infinity', 'nps', 1, NULL), (404, '2020-02-01', 'nps', 1, 99999999999),
    (405, '2020-02-01', 'nps', 9, NULL), (406, '290000-01-01', 'nps', 9, NULL);
UPDATE shop."Survey Answers" SET "E-Mail" = E'\t' WHERE "Id" = 405;
SELECT message_id, reason, record FROM cx.rejection WHERE state = 'open' ORDER BY message_id;
SELECT table_rows = stored_rows + blank_rows + rejections AS adds_up, lag_rows FROM cxm.source_status(true);
UPDATE shop."Survey Answers" SET "Score %" = 10 WHERE "Id" = 401;
UPDATE shop."Survey Answers" SET "Score %" = 12 WHERE "Id" = 402;
DELETE FROM shop."Survey Answers" WHERE "Id" IN (402, 403, 404, 406);
UPDATE shop."Survey Answers" SET "E-Mail" = NULL WHERE "Id" = 405;
SELECT state, count(*) FROM cx.rejection GROUP BY state;
SELECT * FROM shop.difference('TABLE shop.expected_answers', $$shop.stored_feedback('shop."Survey Answers"')$$);

-- renamed, moved: followed; a mapped column renamed: a clear error, and the way back
ALTER TABLE shop."Survey Answers" RENAME TO "Answers";
ALTER TABLE shop."Answers" SET SCHEMA public;
INSERT INTO public."Answers" ("Id", "select", metric, "Score %") VALUES (501, '2020-02-01', 'nps', 5);
SELECT source, table_name, state, stored_rows FROM cxm.source_status();
ALTER TABLE public."Answers" SET SCHEMA shop;
ALTER TABLE shop."Answers" RENAME TO "Survey Answers";
ALTER TABLE shop."Survey Answers" RENAME "Score %" TO points;
INSERT INTO shop."Survey Answers" ("Id", "select", metric, points) VALUES (502, '2020-02-01', 'nps', 5);
\echo :LAST_ERROR_SQLSTATE
SELECT state FROM cxm.source_status();
CALL cxm.backfill('shop."Survey Answers"', restart => true);
ALTER TABLE shop."Survey Answers" RENAME points TO "Score %";
CALL cxm.backfill('shop."Survey Answers"', restart => true);
SELECT * FROM shop.difference('TABLE shop.expected_answers', $$shop.stored_feedback('shop."Survey Answers"')$$);
-- another type that can be read is fine
DROP VIEW shop.expected_answers;
ALTER TABLE shop."Survey Answers" ALTER "Score %" TYPE text USING "Score %"::text;
INSERT INTO shop."Survey Answers" ("Id", "select", metric, "Score %") VALUES (503, '2020-02-01', 'nps', ' 5 '), (504, '2020-02-01', 'nps', 'five'), (505, '2020-02-01', 'nps', '5.5');
SELECT message_id, reason FROM cx.rejection WHERE state = 'open' ORDER BY message_id;
SELECT id, score FROM shop.stored_feedback('shop."Survey Answers"') WHERE id = '503';
ALTER TABLE shop."Survey Answers" ALTER "Score %" TYPE point USING NULL;
INSERT INTO shop."Survey Answers" ("Id", "select", metric) VALUES (506, '2020-02-01', 'nps');
SELECT state FROM cxm.source_status();

-- detached: not followed; the records stay, or go
SELECT cxm.detach('shop."Survey Answers"');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shop."Survey Answers"'::regclass;
INSERT INTO shop."Survey Answers" ("Id", "select", metric) VALUES (507, '2020-02-01', 'nps');
SELECT state, detached_at IS NOT NULL, stored_rows > 0 AS has_rows, lag_rows FROM cxm.source_status();
SELECT cxm.detach('shop."Survey Answers"', purge => true) > 0 AS removed;
SELECT count(*) FROM cx.feedback;
SELECT count(*) FROM cx.message;
SELECT count(*) FROM cx.rejection WHERE state = 'open';
SELECT cxm.detach('shop."Survey Answers"', purge => true);
DROP TABLE shop."Survey Answers", shop.before;

---- events: a key of text, a date column, touchpoint constant; attached twice; attached again with another mapping

CREATE TABLE shop.visits (cookie text, n integer, seen date NOT NULL, page text, customer numeric, clerk bytea, PRIMARY KEY (cookie, n));
INSERT INTO shop.visits SELECT 'c' || g % 10 || CASE g % 3 WHEN 0 THEN '", "' WHEN 1 THEN '''\ü' ELSE '' END, g, date '2020-01-01' + g, 'page ' || g % 5, CASE WHEN g % 4 = 0 THEN g % 8 + 0.50 END, '\xdead' FROM generate_series(1, 50) AS g;
CALL cxm.attach('shop.visits', 'event', '{"at": "seen", "event": {"constant": "Page Viewed"}, "touchpoint": {"constant": "web"}, "identifiers": {"anonymous_id": "cookie", "customer_id": "customer"}, "properties": ["page", "clerk"]}', commit => true, batch_size => 3);
CALL cxm.attach('shop.visits', 'event', '{"at": "seen", "event": "page"}', source => 'visited', key => ARRAY['n', 'cookie']);
CREATE VIEW shop.expected_visits (id, at, event, who, touchpoint, location, product, employee, properties) AS
    SELECT jsonb_build_array(cookie, n::text)::text, seen::timestamp AT TIME ZONE 'Europe/Berlin' AT TIME ZONE 'UTC', 'Page Viewed'::text,
           CASE WHEN customer IS NULL THEN 'anonymous_id:' || cookie ELSE 'customer_id:' || customer END, 'web'::text, NULL::text, NULL::text, NULL::text, jsonb_build_object('page', page, 'clerk', '\xdead')
    FROM shop.visits;
CREATE VIEW shop.expected_visited (id, at, event, who, touchpoint, location, product, employee, properties) AS
    SELECT jsonb_build_array(n::text, cookie)::text, seen::timestamp AT TIME ZONE 'Europe/Berlin' AT TIME ZONE 'UTC', page, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::jsonb
    FROM shop.visits;
SELECT * FROM shop.difference('TABLE shop.expected_visits', $$shop.stored_events('shop.visits')$$);
SELECT * FROM shop.difference('TABLE shop.expected_visited', $$shop.stored_events('visited')$$);
-- the settings of a writer's session do not matter
SET bytea_output = 'escape';
SET datestyle = 'German';
SET extra_float_digits = -5;
SET intervalstyle = 'iso_8601';
UPDATE shop.visits SET page = 'new page' WHERE n % 2 = 0;
INSERT INTO shop.visits VALUES ('new', 1000, '1.2.2020', 'p', 1.10, '\xdead'), ('old', 1001, '1.2.0044 BC', 'p', 1.10, '\xdead');
DELETE FROM shop.visits WHERE n % 7 = 0;
RESET bytea_output;
RESET datestyle;
RESET extra_float_digits;
RESET intervalstyle;
SELECT * FROM shop.difference('TABLE shop.expected_visits', $$shop.stored_events('shop.visits')$$);
SELECT * FROM shop.difference('TABLE shop.expected_visited', $$shop.stored_events('visited')$$);
-- attached again with another mapping, after changes that nobody followed
SELECT cxm.detach('visited');
DELETE FROM shop.visits WHERE n < 10;
UPDATE shop.visits SET seen = seen + 100 WHERE n > 40;
INSERT INTO shop.visits VALUES ('late', 2000, '2020-02-02', 'late page', NULL, '\xdead');
CALL cxm.attach('shop.visits', 'event', '{"at": "seen", "event": "page"}', source => 'visited', key => ARRAY['n', 'cookie'], batch_size => 4);
SELECT * FROM shop.difference('TABLE shop.expected_visits', $$shop.stored_events('shop.visits')$$);
SELECT * FROM shop.difference('TABLE shop.expected_visited', $$shop.stored_events('visited')$$);
SELECT cxm.detach('visited');
CALL cxm.attach('shop.visits', 'event', '{"at": "seen", "event": "page"}', source => 'visited');
SELECT count(*), count(DISTINCT id) FROM shop.stored_events('visited');
-- writes without triggers, and how to mend them
SET session_replication_role = replica;
DELETE FROM shop.visits WHERE n BETWEEN 10 AND 20;
UPDATE shop.visits SET page = 'replicated' WHERE n BETWEEN 20 AND 30;
INSERT INTO shop.visits VALUES ('replica', 3000, '2020-02-02', 'page', NULL, '\xdead');
RESET session_replication_role;
SELECT lag_rows FROM cxm.source_status(true) WHERE source = 'shop.visits';
CALL cxm.backfill('shop.visits');
SELECT lag_rows FROM cxm.source_status(true) WHERE source = 'shop.visits';
CALL cxm.backfill('shop.visits', restart => true, batch_size => 5);
SELECT * FROM shop.difference('TABLE shop.expected_visits', $$shop.stored_events('shop.visits')$$);
TRUNCATE shop.visits;
SELECT * FROM shop.difference('TABLE shop.expected_visits', $$shop.stored_events('shop.visits')$$);
SELECT source, stored_rows FROM cxm.source_status(true) ORDER BY source;
DROP TABLE shop.visits CASCADE;
SELECT source, state, table_rows, lag_rows, uncovered_partitions FROM cxm.source_status(true);
CALL cxm.backfill('visited');
CALL cxm.backfill();
SELECT cxm.detach('visited', true), cxm.detach('shop.visits', true), cxm.detach('shop."Survey Answers"', true);

---- purchases: partitions, composite keys, money of a line multiplied

CREATE TABLE shop.lines (order_id text, line integer, bought timestamptz NOT NULL, sku text, quantity integer, price text, buyer text, PRIMARY KEY (order_id, line, bought)) PARTITION BY RANGE (bought);
CREATE TABLE shop.lines_2019 PARTITION OF shop.lines FOR VALUES FROM ('2019-01-01 00:00+00') TO ('2020-01-01 00:00+00') PARTITION BY LIST (line);
CREATE TABLE shop.lines_2019_1 PARTITION OF shop.lines_2019 FOR VALUES IN (1);
CREATE TABLE shop.lines_2019_x PARTITION OF shop.lines_2019 DEFAULT;
CREATE TABLE shop.lines_2020 (price text, buyer text, gone text, quantity integer, order_id text NOT NULL, line integer NOT NULL, sku text, bought timestamptz NOT NULL);
ALTER TABLE shop.lines_2020 DROP gone;
ALTER TABLE shop.lines ATTACH PARTITION shop.lines_2020 FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2021-01-01 00:00+00');
INSERT INTO shop.lines SELECT 'o' || g / 3, g % 3, timestamptz '2019-06-01 12:00+00' + g * interval '4 days', 'sku ' || g % 4, 1 + g % 3, CASE WHEN g = 50 THEN 'free' ELSE (g * 1.25)::text END, 'b' || g % 9 FROM generate_series(1, 100) AS g;
CALL cxm.attach('shop.lines', 'purchase', '{"at": "bought", "order_id": "order_id", "product": "sku", "quantity": "quantity", "amount": {"multiply": ["quantity", "price"]}, "currency": {"constant": "EUR"}, "identifiers": {"customer_id": "buyer"}}', batch_size => 10);
CREATE VIEW shop.expected_lines (id, at, order_id, product, quantity, amount, currency, who, properties) AS
    SELECT jsonb_build_array(order_id, line::text, to_char(bought AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00')::text, bought AT TIME ZONE 'UTC', order_id, sku, quantity::numeric, quantity * price::numeric, 'EUR'::text, 'customer_id:' || buyer, NULL::jsonb
    FROM shop.lines WHERE price <> 'free';
SELECT * FROM shop.difference('TABLE shop.expected_lines', $$shop.stored_purchases('shop.lines')$$);
SELECT message_id, reason, record FROM cx.rejection WHERE state = 'open';
SELECT table_name, state, stored_rows, rejections, uncovered_partitions FROM cxm.source_status(true) WHERE state <> 'detached';
-- through the root, through a partition, across partitions
INSERT INTO shop.lines VALUES ('root', 1, '2019-02-01 00:00+00', 's', 1, '2.5', 'b'), ('root', 2, '2020-02-01 00:00+00', 's', 2, '2.5', 'b');
INSERT INTO shop.lines_2019 VALUES ('middle', 1, '2019-02-01 00:00+00', 's', 3, '2.5', 'b'), ('middle', 2, '2019-02-01 00:00+00', 's', 3, '2.5', 'b');
INSERT INTO shop.lines_2019_1 VALUES ('leaf', 1, '2019-02-01 00:00+00', 's', 4, '2.5', 'b');
INSERT INTO shop.lines_2020 (order_id, line, bought, sku, quantity, price, buyer) VALUES ('leaf', 2, '2020-02-01 00:00+00', 's', 5, '2.5', 'b');
UPDATE shop.lines SET bought = bought + interval '200 days' WHERE order_id < 'o2' AND bought < '2020-01-01';
UPDATE shop.lines SET line = line + 10 WHERE order_id LIKE 'o3_';
UPDATE shop.lines_2019 SET line = line + 5 WHERE order_id = 'middle';
UPDATE shop.lines_2019_x SET quantity = 9;
DELETE FROM shop.lines WHERE order_id = 'o10';
DELETE FROM shop.lines_2020 WHERE order_id = 'o31';
SELECT * FROM shop.difference('TABLE shop.expected_lines', $$shop.stored_purchases('shop.lines')$$);
-- a partition made later, and one attached with rows
CREATE TABLE shop.lines_2021 PARTITION OF shop.lines FOR VALUES FROM ('2021-01-01 00:00+00') TO ('2022-01-01 00:00+00');
CREATE TABLE shop.lines_2018 (LIKE shop.lines);
INSERT INTO shop.lines_2018 VALUES ('old', 1, '2018-05-05 00:00+00', 's', 1, '1', 'b'), ('old', 2, '2018-05-05 00:00+00', 's', 1, '1', 'b');
ALTER TABLE shop.lines ATTACH PARTITION shop.lines_2018 FOR VALUES FROM ('2018-01-01 00:00+00') TO ('2019-01-01 00:00+00');
INSERT INTO shop.lines VALUES ('old', 3, '2018-05-05 00:00+00', 's', 1, '1', 'b');
UPDATE shop.lines_2018 SET quantity = 7 WHERE line > 1;
SELECT state, uncovered_partitions FROM cxm.source_status() WHERE source = 'shop.lines';
SELECT cxm.refresh_attachment('shop.lines');
SELECT cxm.refresh_attachment('shop.lines');
SELECT state, uncovered_partitions FROM cxm.source_status() WHERE source = 'shop.lines';
CALL cxm.backfill('shop.lines');
INSERT INTO shop.lines_2018 VALUES ('old', 4, '2018-05-05 00:00+00', 's', 1, '1', 'b');
INSERT INTO shop.lines_2021 VALUES ('new', 1, '2021-05-05 00:00+00', 's', 1, '1', 'b');
SELECT * FROM shop.difference('TABLE shop.expected_lines', $$shop.stored_purchases('shop.lines')$$);
SELECT state, lag_rows, uncovered_partitions FROM cxm.source_status(true) WHERE source = 'shop.lines';
-- truncated: one partition, then all
TRUNCATE shop.lines_2019_1;
SELECT * FROM shop.difference('TABLE shop.expected_lines', $$shop.stored_purchases('shop.lines')$$);
SELECT count(*) > 10 AS others FROM shop.stored_purchases('shop.lines');
TRUNCATE shop.lines_2019;
SELECT * FROM shop.difference('TABLE shop.expected_lines', $$shop.stored_purchases('shop.lines')$$);
-- detached: the records stay, and the table that it became is not followed
CREATE TABLE shop.kept AS SELECT * FROM shop.stored_purchases('shop.lines');
ALTER TABLE shop.lines DETACH PARTITION shop.lines_2018;
UPDATE shop.lines_2018 SET quantity = 100;
DELETE FROM shop.lines_2018 WHERE line = 1;
TRUNCATE shop.lines_2018;
SELECT * FROM shop.difference('TABLE shop.kept', $$shop.stored_purchases('shop.lines')$$);
SELECT cxm.refresh_attachment('shop.lines');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shop.lines_2018'::regclass;
CALL cxm.backfill('shop.lines', restart => true);
SELECT * FROM shop.difference('TABLE shop.expected_lines', $$shop.stored_purchases('shop.lines')$$);
CALL cxm.refresh_attachments();
TRUNCATE shop.lines;
SELECT count(*) FROM cx.purchase;
SELECT cxm.detach('shop.lines', true);
SELECT count(*) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE c.relname LIKE 'lines%' AND NOT t.tgisinternal;
DROP TABLE shop.lines, shop.lines_2018, shop.kept CASCADE;

---- traits: links come and go with the row

CREATE TABLE shop.customers (id integer PRIMARY KEY, email text, card text, name text, tags text[], since timestamptz, proven text);
INSERT INTO shop.customers VALUES (1, 'ann@x.com', 'L1', 'Ann', '{a,b}', '2020-01-01', 'yes'), (2, 'bob@x.com', 'L2', 'Bob', NULL, NULL, 'no'), (3, NULL, NULL, 'Nobody', NULL, NULL, NULL), (4, 'dan@x.com', NULL, 'Dan', NULL, NULL, 'perhaps');
CALL cxm.attach('shop.customers', 'traits', '{"identifiers": {"email": "email", "loyalty_id": "card"}, "traits": ["name", "tags", "since"], "verified": "proven"}');
CREATE FUNCTION shop.people() RETURNS TABLE (id text, traits jsonb, "with" text, verified boolean)
LANGUAGE sql STABLE AS $$
    SELECT m.message_id, t.traits, (SELECT string_agg(o.value, ' ' ORDER BY o.value) FROM cx.identifier AS o JOIN cx.profile AS q ON q.profile_id = o.profile_id WHERE q.canonical_id = p.canonical_id),
           (SELECT bool_or(k.verified) FROM cx.link AS k WHERE k.evidence = m.message_id AND k.retired_at IS NULL)
    FROM cx.message AS m JOIN cx.trait AS t ON t.trait_id = m.record_id JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p USING (profile_id)
    WHERE m.kind = 'traits' ORDER BY m.message_id
$$;
SELECT * FROM shop.people();
SELECT message_id, reason FROM cx.rejection WHERE state = 'open' ORDER BY 1;
-- one card for two people, and not any more
UPDATE shop.customers SET card = 'L1' WHERE id = 2;
SELECT * FROM shop.people();
UPDATE shop.customers SET card = 'L2', name = 'Robert', proven = 'maybe' WHERE id = 2;
SELECT * FROM shop.people();
UPDATE shop.customers SET proven = '0' WHERE id IN (2, 4);
DELETE FROM shop.customers WHERE id = 1;
SELECT * FROM shop.people();
SELECT cxm.detach('shop.customers', true);
SELECT count(*) FROM cx.link WHERE retired_at IS NULL AND evidence <> '';
DROP TABLE shop.customers;

---- keys of every kind; wide tables; types that cannot be cast; cascades and triggers of the user's own

CREATE DOMAIN shop.code AS numeric(8, 3) CHECK (VALUE > 0);
CREATE TYPE shop.mood AS ENUM ('sad', 'glad');
CREATE COLLATION shop.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE shop.keys (a shop.code, b shop.mood, c text COLLATE shop.nocase, d timestamptz, e interval, f double precision, g bytea, h char(4), i boolean, j date, at timestamptz NOT NULL,
                        PRIMARY KEY (i, a, b, c, d, e, f, g, h, j));
CREATE UNIQUE INDEX keys_mixed ON shop.keys (c DESC, f, h bpchar_pattern_ops) INCLUDE (b);
ALTER TABLE shop.keys ALTER c SET NOT NULL, ALTER f SET NOT NULL, ALTER h SET NOT NULL;
INSERT INTO shop.keys
SELECT 1.5, CASE WHEN x % 2 = 0 THEN 'sad' ELSE 'glad' END::shop.mood, CASE x % 3 WHEN 0 THEN 'Key' || x ELSE 'kEY' || x END, '2020-01-01 00:00:00.000001+01', x * interval '1 month 3 hours', x / 3.0, '\x00ff', 'k', x % 2 = 0, '2020-01-01', '2020-01-01'
FROM generate_series(1, 30) AS x;
CALL cxm.attach('shop.keys', 'event', '{"at": "at", "event": {"constant": "Keyed"}}', source => 'keys', batch_size => 4);
CALL cxm.attach('shop.keys', 'event', '{"at": "at", "event": {"constant": "Keyed"}}', source => 'mixed', key => ARRAY['c', 'f', 'h'], batch_size => 4);
SELECT source, table_rows, stored_rows, lag_rows FROM cxm.source_status(true) WHERE source IN ('keys', 'mixed');
UPDATE shop.keys SET f = f + 1e-15, c = upper(c);
SELECT source, table_rows, stored_rows, lag_rows FROM cxm.source_status(true) WHERE source IN ('keys', 'mixed');
SELECT message_id FROM cx.message JOIN cx.source USING (source_id) WHERE source = 'keys' ORDER BY message_id COLLATE "C" LIMIT 1;
CALL cxm.backfill('keys', restart => true, batch_size => 3);
CALL cxm.backfill('mixed', restart => true, batch_size => 3);
SELECT source, table_rows, stored_rows, lag_rows FROM cxm.source_status(true) WHERE source IN ('keys', 'mixed');
DELETE FROM shop.keys;
SELECT source, stored_rows FROM cxm.source_status(true) WHERE source IN ('keys', 'mixed');
SELECT cxm.detach('keys', true), cxm.detach('mixed', true);

-- 120 columns as properties, a json that jsonb cannot hold, a domain that raises
SELECT format('CREATE TABLE shop.wide (id integer PRIMARY KEY, at timestamptz NOT NULL, doc json, %s)', string_agg(format('c%s integer', g), ', ')) FROM generate_series(1, 120) AS g
\gexec
INSERT INTO shop.wide (id, at, doc, c1, c120) VALUES (1, '2020-01-01', '{"a": null}', 1, 120), (2, '2020-01-01', '{"a": "\u0000"}', 1, 120), (3, '2020-01-01', NULL, NULL, 0);
SELECT jsonb_build_object('at', 'at', 'event', '{"constant": "Wide"}'::jsonb, 'properties', (SELECT jsonb_agg(format('c%s', g)) FROM generate_series(1, 120) AS g) || '["doc"]') AS mapping
\gset
CALL cxm.attach('shop.wide', 'event', :'mapping', source => 'wide');
INSERT INTO shop.wide (id, at, doc, c7) VALUES (4, '2020-01-01', '{"a": "\u0000"}', 7), (5, '2020-01-01', '[]', 7);
UPDATE shop.wide SET doc = '{"b": "\u0000"}' WHERE id = 1;
SELECT id, properties FROM shop.stored_events('wide') ORDER BY id;
SELECT message_id, state, reason, record FROM cx.rejection JOIN cx.source USING (source_id) WHERE source = 'wide' ORDER BY rejection_id;
UPDATE shop.wide SET doc = NULL;
SELECT id, properties FROM shop.stored_events('wide') ORDER BY id;
SELECT cxm.detach('wide', true);

-- a cascade that updates a row twice; a trigger of the user's own that updates, and one that deletes, the row just written
CREATE TABLE shop.parent (id integer PRIMARY KEY);
CREATE TABLE shop.child (id integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT '2020-01-01', x integer REFERENCES shop.parent ON UPDATE CASCADE ON DELETE CASCADE, y integer REFERENCES shop.parent ON UPDATE CASCADE ON DELETE SET NULL, n integer DEFAULT 0);
CREATE FUNCTION shop.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE shop.child SET n = n + 1 WHERE id = NEW.id AND n < 3;
    IF NEW.x = 66 THEN
        DELETE FROM shop.child WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
CALL cxm.attach('shop.child', 'event', '{"at": "at", "event": {"constant": "Child"}, "properties": ["x", "y", "n"]}', source => 'child');
CREATE VIEW shop.expected_child (id, at, event, who, touchpoint, location, product, employee, properties) AS
    SELECT id::text, at AT TIME ZONE 'UTC', 'Child'::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, jsonb_strip_nulls(jsonb_build_object('x', x, 'y', y, 'n', n)) FROM shop.child;
INSERT INTO shop.parent VALUES (1), (2), (3), (66);
INSERT INTO shop.child (id, x, y) VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1);
UPDATE shop.parent SET id = id + 10 WHERE id < 3;
SELECT * FROM shop.difference('TABLE shop.expected_child', $$shop.stored_events('child')$$);
SELECT id, properties FROM shop.stored_events('child') ORDER BY id;
DELETE FROM shop.parent WHERE id = 12;
SELECT id, properties FROM shop.stored_events('child') ORDER BY id;
CREATE TRIGGER a_meddle AFTER INSERT OR UPDATE ON shop.child FOR EACH ROW EXECUTE FUNCTION shop.meddle();
INSERT INTO shop.child (id, x) VALUES (4, 11), (5, 66), (6, 66);
UPDATE shop.child SET y = 3;
UPDATE shop.parent SET id = 33 WHERE id = 3;
SELECT * FROM shop.difference('TABLE shop.expected_child', $$shop.stored_events('child')$$);
SELECT id, properties FROM shop.stored_events('child') ORDER BY id;
SELECT cxm.detach('child', true);

-- names of 63 bytes, and names that want to be something else
CREATE SCHEMA "a.b""c; DROP SCHEMA shop";
CREATE TABLE "a.b""c; DROP SCHEMA shop"."xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx5xxxxxxxxx6xxx" ("Ünï'%s$1" integer PRIMARY KEY, "table" text, "xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx5xxxxxxxxx6xxx" timestamptz NOT NULL);
INSERT INTO "a.b""c; DROP SCHEMA shop"."xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx5xxxxxxxxx6xxx" VALUES (1, 'x%s', '2020-01-01');
CALL cxm.attach('"a.b""c; DROP SCHEMA shop"."xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx5xxxxxxxxx6xxx"', 'event', '{"at": "xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx5xxxxxxxxx6xxx", "event": "table", "properties": ["Ünï''%s$1"]}');
INSERT INTO "a.b""c; DROP SCHEMA shop"."xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx5xxxxxxxxx6xxx" VALUES (2, 'y''', '2020-01-01');
UPDATE "a.b""c; DROP SCHEMA shop"."xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx5xxxxxxxxx6xxx" SET "Ünï'%s$1" = 3 WHERE "Ünï'%s$1" = 2;
SELECT source FROM cxm.source_status() WHERE state = 'ok';
SELECT id, event, properties FROM shop.stored_events('"a.b""c; DROP SCHEMA shop".xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx5xxxxxxxxx6xxx') ORDER BY id;
SELECT cxm.detach('"a.b""c; DROP SCHEMA shop".xxxxxxxxx1xxxxxxxxx2xxxxxxxxx3xxxxxxxxx4xxxxxxxxx5xxxxxxxxx6xxx', true);
DROP SCHEMA "a.b""c; DROP SCHEMA shop" CASCADE;

---- in a transaction of one's own

CREATE TABLE shop.t (id integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT '2020-01-01', score integer, note text, alt integer UNIQUE, alt2 integer NOT NULL DEFAULT 0, when_text text, flag boolean, doc jsonb);
INSERT INTO shop.t (id, score) SELECT g, g FROM generate_series(1, 9) AS g;
BEGIN;
CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 't', commit => false, batch_size => 2);
INSERT INTO shop.t (id, score) VALUES (10, 10);
SELECT count(*) FROM shop.stored_feedback('t');
ROLLBACK;
SELECT count(*) FROM cx.source WHERE source = 't';
BEGIN;
CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 't');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 't', commit => false);
ROLLBACK;
-- without a backfill, and the backfill later
CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 't', backfill => false);
SELECT state, backfill_state, stored_rows, lag_rows FROM cxm.source_status(true) WHERE source = 't';
CALL cxm.backfill('t');
SELECT state, backfill_state, stored_rows, lag_rows FROM cxm.source_status(true) WHERE source = 't';
-- triggers tampered with
ALTER TABLE shop.t DISABLE TRIGGER USER;
SELECT state FROM cxm.source_status() WHERE source = 't';
ALTER TABLE shop.t ENABLE TRIGGER USER;
ALTER TABLE shop.t DROP CONSTRAINT t_pkey;
SELECT state FROM cxm.source_status() WHERE source = 't';
CALL cxm.backfill('t', restart => true);
ALTER TABLE shop.t ADD PRIMARY KEY (id);
CALL cxm.backfill('t');
SELECT state, stored_rows FROM cxm.source_status(true) WHERE source = 't';

---- history raises no alert unless asked to; new rows do

SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6) > 0 AS made;
SELECT cxm.detach('t', true);
CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 't');
SELECT count(*) FROM cx.alert;
INSERT INTO shop.t (id, score) VALUES (11, 3);
SELECT count(*) FROM cx.alert;
SELECT cxm.detach('t', true);
CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 't', backfill_alerts => true);
SELECT count(*) FROM cx.alert;
SHOW cxm.alerts;
SELECT cxm.detach('t', true);

---- what is refused


CREATE FUNCTION shop.refused(command text, OUT code text, OUT said text) LANGUAGE plpgsql AS $$
DECLARE
    v_detail text;
    v_hint text;
BEGIN
    EXECUTE command;
    said := 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT, v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
    said := concat_ws(' | ', said, nullif(v_detail, ''), nullif(v_hint, ''));
END
$$;
\pset tuples_only
\pset format unaligned
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'rating', '{}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', NULL, '{}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'feedback', NULL, commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'feedback', '[]', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": "note", "score": "score", "zone": "x"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'feedback', '{"at": "at"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'purchase', '{"at": "at"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'traits', '{"at": "at"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "nowhere"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "score", "event": "note"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "flag"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": {"constant": "many"}}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": {"constant": "once"}, "event": "note"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": 5}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": {"column": "note"}}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": {"constant": null}}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note", "identifiers": ["note"]}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note", "identifiers": {"shoe_size": "note"}}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note", "properties": [1]}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note", "properties": {"a": 1}}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'purchase', '{"at": "at", "amount": {"multiply": ["score"]}}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', key => ARRAY['alt'], commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', key => ARRAY['alt2'], commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', key => ARRAY['nowhere'], commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', key => ARRAY['id', 'id'], commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', key => '{}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', batch_size => 0, commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', source => '', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach(NULL, 'event', '{"at": "at", "event": "note"}', commit => false)$q$);
SELECT cxm.track('x', source => 'an app') > 0 AS tracked;
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', source => 'an app', commit => false)$q$);
CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', backfill => false);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', commit => false)$q$);
SELECT * FROM shop.refused($q$SELECT cxm.track('x', source => 'shop.t')$q$);
SELECT * FROM shop.refused($q$SELECT cxm.detach('shop.t')$q$);
SELECT * FROM shop.refused($q$SELECT cxm.detach('an app')$q$);
SELECT * FROM shop.refused($q$SELECT cxm.detach('nowhere')$q$);
SELECT * FROM shop.refused($q$CALL cxm.backfill('nowhere', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.backfill('an app', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.backfill('shop.t', commit => false)$q$);
SELECT * FROM shop.refused($q$SELECT cxm.refresh_attachment('shop.t')$q$);

CREATE TABLE shop.keyless (id integer, at timestamptz);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.keyless', 'event', '{"at": "at", "event": {"constant": "x"}}', commit => false)$q$);
CREATE TABLE shop.deferred (id integer NOT NULL UNIQUE DEFERRABLE, half integer NOT NULL, at timestamptz);
CREATE UNIQUE INDEX ON shop.deferred (half) WHERE half > 0;
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.deferred', 'event', '{"at": "at", "event": {"constant": "x"}}', key => ARRAY['id'], commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.deferred', 'event', '{"at": "at", "event": {"constant": "x"}}', key => ARRAY['half'], commit => false)$q$);
CREATE VIEW shop.v AS SELECT * FROM shop.t;
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.v', 'event', '{"at": "at", "event": "note"}', commit => false)$q$);
CREATE TEMP TABLE temporary (id integer PRIMARY KEY, at timestamptz);
SELECT * FROM shop.refused($q$CALL cxm.attach('temporary', 'event', '{"at": "at", "event": {"constant": "x"}}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('cx.feedback', 'event', '{"at": "occurred_at", "event": "metric"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('pg_class', 'event', '{"at": "occurred_at", "event": "metric"}', commit => false)$q$);
CREATE TABLE shop.parts (id integer PRIMARY KEY, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE shop.parts_1 PARTITION OF shop.parts FOR VALUES FROM (0) TO (10);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.parts_1', 'event', '{"at": "at", "event": {"constant": "x"}}', commit => false)$q$);
CREATE TABLE shop.heir (PRIMARY KEY (id)) INHERITS (shop.t);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}', commit => false)$q$);
SELECT * FROM shop.refused($q$CALL cxm.attach('shop.heir', 'event', '{"at": "at", "event": "note"}', commit => false)$q$);
DROP TABLE shop.heir;
\pset tuples_only
\pset format aligned

---- rights: those of whoever attaches, and of whoever writes

CREATE ROLE regress_cxm_attacher;
CREATE ROLE regress_cxm_writer;
GRANT USAGE ON SCHEMA shop TO regress_cxm_attacher, regress_cxm_writer;
SELECT cxm.grant_store('regress_cxm_attacher', 'writer');
SET ROLE regress_cxm_attacher;
CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 'rights');
RESET ROLE;
GRANT TRIGGER ON shop.t TO regress_cxm_attacher;
SET ROLE regress_cxm_attacher;
CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 'rights');
RESET ROLE;
GRANT SELECT ON shop.t TO regress_cxm_attacher;
SET ROLE regress_cxm_attacher;
CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 'rights');
RESET ROLE;
GRANT UPDATE ON shop.t TO regress_cxm_attacher;
SET ROLE regress_cxm_attacher;
CALL cxm.attach('shop.t', 'feedback', '{"at": "at", "metric": {"constant": "nps"}, "score": "score"}', source => 'rights');
SELECT state, table_rows, stored_rows, lag_rows FROM cxm.source_status(true) WHERE source = 'rights';
SELECT cxm.detach('rights');
RESET ROLE;
GRANT INSERT, UPDATE, DELETE ON shop.t TO regress_cxm_writer;
SET ROLE regress_cxm_writer;
INSERT INTO shop.t (id, score) VALUES (20, 9);
RESET ROLE;
SELECT cxm.grant_store('regress_cxm_writer', 'writer');
-- who may write but not read
SET ROLE regress_cxm_writer;
INSERT INTO shop.t (id, score) VALUES (20, 9), (21, 99);
UPDATE shop.t SET score = 10;
DELETE FROM shop.t;
INSERT INTO shop.t (id, score) VALUES (20, 9), (21, 99), (22, 5);
RESET ROLE;
-- nor learn what is in the table by having others send more of it
SET ROLE regress_cxm_writer;
SELECT has_table_privilege('shop.t', 'SELECT') AS may_read;
UPDATE cx.source SET mapping = mapping || '{"comment": "note"}' WHERE source = 'rights';
UPDATE cx.source SET key_columns = '{note}' WHERE source = 'rights';
UPDATE cx.source SET source = 'rights, once', mapping = NULL WHERE source = 'rights';
INSERT INTO cx.source (source, kind, table_schema, table_name, mapping) SELECT source, kind, table_schema, table_name, mapping FROM cx.source WHERE source = 'rights';
RESET ROLE;
SELECT id, score FROM shop.stored_feedback('rights') ORDER BY id;
SELECT message_id, reason FROM cx.rejection JOIN cx.source USING (source_id) WHERE source = 'rights' AND state = 'open';
-- who sees only some rows
GRANT SELECT ON shop.t TO regress_cxm_writer;
ALTER TABLE shop.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY reading ON shop.t FOR SELECT USING (score > 7);
CREATE POLICY writing ON shop.t FOR INSERT WITH CHECK (true);
CREATE POLICY changing ON shop.t FOR UPDATE USING (true) WITH CHECK (true);
SET ROLE regress_cxm_writer;
INSERT INTO shop.t (id, score) VALUES (23, 2), (24, 8);
UPDATE shop.t SET score = 8 WHERE score = 9;
RESET ROLE;
SET ROLE regress_cxm_attacher;
CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": {"constant": "x"}}', source => 'policies');
RESET ROLE;
SELECT id, score FROM shop.stored_feedback('rights') ORDER BY id;
SELECT * FROM shop.difference($$SELECT id::text, at AT TIME ZONE 'UTC', 'nps'::text, score, 0, 10, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::jsonb FROM shop.t WHERE score <= 10$$,
                               $$shop.stored_feedback('rights')$$);
-- a reader of the store who may not read the table
CREATE ROLE regress_cxm_reader;
SELECT cxm.grant_store('regress_cxm_reader', 'reader');
SET ROLE regress_cxm_reader;
SELECT state, stored_rows, lag_rows FROM cxm.source_status(true) WHERE source = 'rights';
RESET ROLE;

---- the store is gone

DROP SCHEMA cx CASCADE;
INSERT INTO shop.t (id, score) VALUES (30, 9);
SELECT cxm.detach('rights');
INSERT INTO shop.t (id, score) VALUES (30, 9);
SELECT * FROM cxm.source_status();
CALL cxm.attach('shop.t', 'event', '{"at": "at", "event": "note"}');

DROP SCHEMA shop CASCADE;
REVOKE ALL ON SCHEMA cxm FROM regress_cxm_attacher, regress_cxm_writer, regress_cxm_reader;
DROP ROLE regress_cxm_attacher, regress_cxm_writer, regress_cxm_reader;
