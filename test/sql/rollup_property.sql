-- rollups: whatever happens to the source, in whatever order, they say what a plain query says
SET client_min_messages = warning;
SET timezone = 'UTC';
DO $$ BEGIN PERFORM cxm.create_store('Europe/Berlin'); END $$;
CREATE TABLE visit (id integer, at timestamptz, shop text, score smallint, paid numeric, lo integer, hi integer) PARTITION BY LIST (shop);
CREATE TABLE visit_a PARTITION OF visit FOR VALUES IN ('a', 'b');
CREATE TABLE visit_c (paid numeric, shop text, hi integer, lo integer, score smallint, at timestamptz, id integer);
ALTER TABLE visit ATTACH PARTITION visit_c FOR VALUES IN ('c');
CREATE TABLE visit_rest PARTITION OF visit DEFAULT PARTITION BY HASH (id);
CREATE TABLE visit_rest_0 PARTITION OF visit_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE visit_rest_1 PARTITION OF visit_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT cxm.create_rollup('one', 'visit', 'at', 'day', dimensions => '["shop", "lo", "hi"]',
                         measures => '{"r": {"ratings": "score", "scale": ["lo", "hi"]}, "paid": {"sum": "paid"}, "few": {"count": "*", "filter": "paid < 2"}}');
SELECT cxm.create_rollup('two', 'visit', 'at', '90 minutes', time_zone => 'Asia/Kolkata', measures => '{"rows": {"count": "*"}, "nps": {"nps": "score", "filter": "lo = 0"}}', filter => 'shop IS DISTINCT FROM ''b''');

CREATE FUNCTION compare() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM (
        (SELECT period, shop, lo, hi, round(r::numeric, 9) AS r, r_count, paid, paid_count, few FROM cx.one
         EXCEPT ALL
         SELECT date_trunc('day', at, 'Europe/Berlin'), shop, lo, hi, round(avg(score), 9), count(score), sum(paid), count(paid), count(*) FILTER (WHERE paid < 2) FROM visit GROUP BY 1, 2, 3, 4)
        UNION ALL
        (SELECT date_trunc('day', at, 'Europe/Berlin'), shop, lo, hi, round(avg(score), 9), count(score), sum(paid), count(paid), count(*) FILTER (WHERE paid < 2) FROM visit GROUP BY 1, 2, 3, 4
         EXCEPT ALL
         SELECT period, shop, lo, hi, round(r::numeric, 9), r_count, paid, paid_count, few FROM cx.one)) AS d
$$;
CREATE FUNCTION compare_two() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM (
        (SELECT period, nps_promoters, nps_detractors, rows FROM cx.two
         EXCEPT ALL
         SELECT date_bin('90 minutes', at, '2000-12-31 18:30Z'), count(*) FILTER (WHERE lo = 0 AND score > 8), count(*) FILTER (WHERE lo = 0 AND score < 7), count(*)
         FROM visit WHERE shop IS DISTINCT FROM 'b' GROUP BY 1)
        UNION ALL
        (SELECT date_bin('90 minutes', at, '2000-12-31 18:30Z'), count(*) FILTER (WHERE lo = 0 AND score > 8), count(*) FILTER (WHERE lo = 0 AND score < 7), count(*)
         FROM visit WHERE shop IS DISTINCT FROM 'b' GROUP BY 1
         EXCEPT ALL
         SELECT period, nps_promoters, nps_detractors, rows FROM cx.two)) AS d
$$;

DO $$
DECLARE
    op integer;
    n integer;
    seen integer[] := array_fill(0, ARRAY[12]);
BEGIN
    PERFORM setseed(0.20260329);
    FOR i IN 1 .. 400 LOOP
        op := 1 + floor(12 * random());
        n := floor(200 * random());
        seen[op] := seen[op] + 1;
        BEGIN
            CASE op
                WHEN 1, 2 THEN
                    INSERT INTO visit
                    SELECT floor(200 * random()), CASE WHEN random() < 0.9 THEN timestamptz '2026-03-27Z' + random() * interval '5 days' END, (ARRAY['a', 'b', 'c', 'd', NULL])[1 + floor(5 * random())],
                           CASE WHEN random() < 0.8 THEN 1 + floor(5 * random()) END, CASE WHEN random() < 0.8 THEN round((10 * random() - 2)::numeric, 2) END, x.lo, x.hi
                    FROM generate_series(1, floor(20 * random())::integer), (VALUES (0, 10), (1, 5)) AS x(lo, hi);
                WHEN 3 THEN
                    INSERT INTO visit VALUES (n, now(), 'c', 9, n, 0, 10);
                WHEN 4 THEN
                    INSERT INTO visit_c (shop, id, at, score, lo, hi, paid) VALUES ('c', n, '2026-03-29 01:30Z', 3, 1, 5, 1.999);
                WHEN 5 THEN
                    UPDATE visit SET shop = 'a', paid = paid * 2 WHERE id BETWEEN n AND n + 10;
                WHEN 6 THEN
                    UPDATE visit SET at = at + interval '1 hour', lo = 0, hi = 10 WHERE id % 20 = n % 20;
                WHEN 7 THEN
                    UPDATE visit_a SET score = 6 - score WHERE lo = 1;
                WHEN 8 THEN
                    DELETE FROM visit WHERE id BETWEEN n AND n + 10;
                WHEN 9 THEN
                    DELETE FROM visit_rest WHERE id > n;
                WHEN 10 THEN
                    IF n < 60 THEN
                        EXECUTE format('TRUNCATE %I', (ARRAY['visit', 'visit_a', 'visit_c', 'visit_rest', 'visit_rest_1'])[1 + n % 5]);
                    END IF;
                WHEN 11 THEN
                    PERFORM cxm.fold_rollup_now(r.rollup_id) FROM cx.rollup AS r WHERE r.name = (ARRAY['one', 'two'])[1 + n % 2];
                WHEN 12 THEN
                    PERFORM cxm.backfill_rollup_range(r.rollup_id, p.starts_at, cxm.rollup_next_period(r.rollup_id, p.starts_at + interval '3 days'))
                    FROM cx.rollup AS r, (VALUES (timestamptz '2026-03-26 23:00Z' + n % 3 * interval '1 day')) AS p(starts_at) WHERE r.name = 'one';
            END CASE;
            ASSERT compare() = 0, format('step %s (%s), inside: one', i, op);
            IF random() < 0.2 THEN
                RAISE SQLSTATE 'R0001';
            END IF;
        EXCEPTION
            WHEN SQLSTATE 'R0001' THEN
                NULL;
        END;
        ASSERT compare() = 0, format('step %s (%s): one', i, op);
        ASSERT compare_two() = 0, format('step %s (%s): two', i, op);
        ASSERT NOT EXISTS (SELECT FROM cxm.rollup_check('one')), format('step %s (%s): check of one', i, op);
        ASSERT NOT EXISTS (SELECT FROM cxm.rollup_check('two')), format('step %s (%s): check of two', i, op);
    END LOOP;
    ASSERT 0 < ALL (seen), seen;
    ASSERT (SELECT count(*) FROM visit) > 0;
END
$$;

-- more groups than are held in memory at a time
TRUNCATE visit;
INSERT INTO visit SELECT i, timestamptz '2026-01-01Z' + i * interval '1 day', 'd', i % 11, i, 0, 10 FROM generate_series(1, 30000) AS i;
UPDATE visit SET score = 10 - score WHERE id % 3 = 0;
DELETE FROM visit WHERE id % 2 = 0;
SELECT compare(), compare_two();
SELECT cxm.fold_rollup_now(rollup_id) > 30000 AS folded FROM cx.rollup ORDER BY rollup_id;
SELECT compare(), compare_two(), (SELECT count(*) FROM cxm.rollup_check('one')) AS differences;

-- where clocks change at midnight, by half an hour, by seconds or by a day, in any order of time, each time is in the period it is in;
-- all these rollups of a table are served by the same triggers
CREATE TABLE shift (at timestamptz);
CREATE TABLE change (zone text, at timestamptz);
INSERT INTO change VALUES ('Europe/Berlin', '2026-03-29 01:00Z'), ('Europe/Berlin', '2026-10-25 01:00Z'), ('Australia/Lord_Howe', '2026-04-04 15:00Z'), ('America/St_Johns', '2006-10-29 02:31Z'),
                          ('America/Sao_Paulo', '2018-11-04 03:00Z'), ('America/Sao_Paulo', '2019-02-17 02:00Z'), ('Africa/Cairo', '2010-09-30 21:00Z'), ('Pacific/Apia', '2011-12-30 10:00Z'),
                          ('Africa/Monrovia', '1972-01-07 00:44:30Z'), ('UTC', '2000-01-01Z');
DO $$
BEGIN
    PERFORM cxm.create_rollup(concat_ws(' ', z.zone, b.bucket), 'shift', 'at', b.bucket, time_zone => z.zone)
    FROM (SELECT DISTINCT zone FROM change) AS z, unnest('{hour,day,week,month,quarter,year}'::text[]) AS b(bucket);
END
$$;
SELECT count(*) AS triggers, count(DISTINCT tgname) FROM pg_trigger WHERE tgrelid = 'shift'::regclass;
INSERT INTO shift SELECT c.at + i * interval '7 minutes' + interval '0.999999 s' FROM change AS c, generate_series(-600, 600) AS i ORDER BY 1;
INSERT INTO shift SELECT c.at + i * interval '11 minutes' - interval '0.000001 s' FROM change AS c, generate_series(-600, 600) AS i ORDER BY 1 DESC;
INSERT INTO shift SELECT c.at + i * interval '9 hours' FROM change AS c, generate_series(-1500, 1500) AS i ORDER BY hashint8(i), c.at;
INSERT INTO shift SELECT c.at + s * interval '0.25 s' FROM change AS c, generate_series(-50, 50) AS s ORDER BY c.at, abs(s);
INSERT INTO shift VALUES (NULL), ('infinity'), ('4712-06-01 BC'), ('-infinity'), ('2026-10-25 00:30Z'), (NULL), ('2026-10-25 00:30Z'), ('290000-01-01Z'), ('290000-01-01Z'), ('290000-01-02Z');
DO $$
BEGIN
    FOR i IN -50 .. 50 LOOP
        INSERT INTO shift SELECT c.at + i * interval '3 hours' FROM change AS c WHERE c.zone = 'Europe/Berlin';
        UPDATE shift SET at = at + interval '1 hour' WHERE at = timestamptz '2018-11-04 03:00Z' + i * interval '9 hours';
    END LOOP;
END
$$;
SELECT r.name, c.* FROM cx.rollup AS r CROSS JOIN LATERAL cxm.rollup_check(r.name) AS c WHERE r.source = 'shift'::regclass ORDER BY r.name, c.period LIMIT 10;
SELECT sum(rows) = 8 * 6 * (SELECT count(*) FROM shift) AS is_all FROM (SELECT (xpath('//n/text()', query_to_xml(format('SELECT sum(rows) AS n FROM cx.%I', r.name), false, false, '')))[1]::text::bigint AS rows FROM cx.rollup AS r WHERE r.source = 'shift'::regclass) AS t;
SET client_min_messages = error;
DROP SCHEMA cx CASCADE;
DROP TABLE shift, change;
DROP FUNCTION compare, compare_two;
DROP TABLE visit;
