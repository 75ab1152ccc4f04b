-- partitions that come and go in whatever way and order, written to directly and through their table: rollups and journeys
-- say what a plain query says, or refuse to say anything until they have made up for it
SET client_min_messages = error;
SET timezone = 'UTC';
DO $$ BEGIN PERFORM cxm.create_store('UTC'); END $$;
-- by something else than time, with a level between; and by time, with a default partition
CREATE TABLE a (id integer, at timestamptz, slot integer, score smallint) PARTITION BY LIST (slot);
CREATE TABLE b (id integer, at timestamptz, slot integer, score smallint) PARTITION BY RANGE (at);
CREATE TABLE b_rest PARTITION OF b DEFAULT;
SELECT cxm.create_rollup(t, t::regclass, 'at', 'month', time_zone => 'America/New_York', dimensions => '["slot"]', measures => '{"nps": {"nps": "score"}}')
FROM unnest(ARRAY['a', 'b']) AS t;

CREATE FUNCTION pick(n integer) RETURNS integer LANGUAGE sql VOLATILE AS $$ SELECT floor(n * random())::integer $$;
CREATE FUNCTION bound(t text, slot integer) RETURNS text LANGUAGE sql AS $$
    SELECT CASE t WHEN 'a' THEN format('FOR VALUES IN (%s)', slot) ELSE format('FOR VALUES FROM (%L) TO (%L)', m, m + interval '1 month') END
    FROM (VALUES (timestamptz '2026-01-01Z' + slot * interval '1 month')) AS x(m) $$;
CREATE FUNCTION differs(t text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE format($q$
        WITH plain AS (SELECT date_trunc('month', at, 'America/New_York') AS period, slot, count(*) FILTER (WHERE score > 8) AS p, count(*) FILTER (WHERE score < 7) AS d, count(score) AS n FROM %1$I GROUP BY 1, 2),
             kept AS (SELECT period, slot, nps_promoters, nps_detractors, nps_count FROM cx.%1$I)
        SELECT count(*) FROM ((TABLE plain EXCEPT ALL TABLE kept) UNION ALL (TABLE kept EXCEPT ALL TABLE plain)) AS d$q$, t) INTO n;
    RETURN n;
END
$$;
CREATE FUNCTION journeys_differ() RETURNS bigint LANGUAGE sql AS $$
    WITH plain AS (SELECT p.canonical_id, e.occurred_at FROM cx.event AS e JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p USING (profile_id)),
         kept AS (SELECT j.profile_id, e.at FROM cxm.journeys() AS j CROSS JOIN LATERAL cxm.events(j.journey) AS e)
    SELECT count(*) FROM ((TABLE plain EXCEPT ALL TABLE kept) UNION ALL (TABLE kept EXCEPT ALL TABLE plain)) AS d $$;
-- NULL = refused
CREATE FUNCTION answer(t text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE t WHEN 'cx.event' THEN journeys_differ() ELSE differs(t) END;
EXCEPTION
    WHEN object_not_in_prerequisite_state THEN
        RETURN NULL;
END
$$;
CREATE FUNCTION some_rows(t text, slot integer) RETURNS text LANGUAGE sql AS $$
    SELECT CASE t WHEN 'cx.event' THEN
        format('(event_id, occurred_at, identifier_id, event_type_id) SELECT 1000000 + pick(1000000000), timestamptz ''2001-01-15Z'' + %s * interval ''1 month'' + i * interval ''1 hour'', (SELECT min(identifier_id) FROM cx.identifier) + i %% 5, 1 FROM generate_series(1, %s) AS i', slot, 1 + pick(5))
    ELSE
        format('(id, at, slot, score) SELECT pick(50), timestamptz ''2026-01-15Z'' + CASE %1$L WHEN ''a'' THEN pick(6) ELSE %2$s END * interval ''1 month'' + (pick(29) - 14) * interval ''1 day'', CASE %1$L WHEN ''a'' THEN %2$s ELSE pick(2) END, pick(11) FROM generate_series(1, %3$s)', t, slot, 1 + pick(5))
    END $$;

CREATE FUNCTION act(t text, OUT what text) LANGUAGE plpgsql AS $$
DECLARE
    slot integer := pick(3);
    place text := format(CASE t WHEN 'cx.event' THEN 'cx.event_2001_0%s' ELSE t || '_%s' END, slot + 1);
    bounds text := CASE t WHEN 'cx.event' THEN format('FOR VALUES FROM (%L) TO (%L)', timestamptz '2001-01-01Z' + slot * interval '1 month', timestamptz '2001-02-01Z' + slot * interval '1 month') ELSE bound(t, slot + 1) END;
BEGIN
    what := (ARRAY['insert', 'insert', 'insert', 'straight in', 'straight in', 'update', 'delete', 'delete straight', 'truncate', 'truncate all', 'create', 'create', 'attach', 'attach', 'attach rows', 'detach', 'detach', 'drop', 'drop', 'drop as told', 'fold', 'refresh', 'refresh', 'tree'])[1 + pick(24)];
    CASE what
        WHEN 'insert' THEN EXECUTE format('INSERT INTO %s %s', t, some_rows(t, CASE t WHEN 'cx.event' THEN slot ELSE slot + 1 END));
        WHEN 'straight in' THEN EXECUTE format('INSERT INTO %s %s', place, some_rows(t, CASE t WHEN 'cx.event' THEN slot ELSE slot + 1 END));
        WHEN 'update' THEN
            IF t = 'cx.event' THEN
                UPDATE cx.event SET occurred_at = occurred_at + interval '20 days' WHERE event_id % 7 = slot AND occurred_at < '2001-06-15Z';
            ELSE
                EXECUTE format('UPDATE %s SET score = 10 - score, at = at + interval ''3 days'' WHERE id %% 7 = %s', t, slot);
            END IF;
        WHEN 'delete' THEN EXECUTE format('DELETE FROM %s WHERE %s %% 5 = %s', t, CASE t WHEN 'cx.event' THEN 'event_id' ELSE 'id' END, slot);
        WHEN 'delete straight' THEN EXECUTE format('DELETE FROM %s WHERE %s %% 3 = %s', place, CASE t WHEN 'cx.event' THEN 'event_id' ELSE 'id' END, slot / 2);
        WHEN 'truncate' THEN EXECUTE format('TRUNCATE %s', place);
        WHEN 'truncate all' THEN
            IF slot = 0 THEN
                EXECUTE format('TRUNCATE %s', t);
            END IF;
        WHEN 'create' THEN EXECUTE format('CREATE TABLE %s PARTITION OF %s %s', place, t, bounds);
        WHEN 'attach' THEN EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s %s', t, place, bounds);
        WHEN 'attach rows' THEN
            EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS)', place, t);
            EXECUTE format('INSERT INTO %s %s', place, some_rows(t, CASE t WHEN 'cx.event' THEN slot ELSE slot + 1 END));
            EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s %s', t, place, bounds);
        WHEN 'detach' THEN EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', t, place);
        WHEN 'drop' THEN EXECUTE format('DROP TABLE %s', place);
        WHEN 'drop as told' THEN PERFORM cxm.drop_partition(place::regclass);
        WHEN 'fold' THEN
            IF t = 'cx.event' THEN
                PERFORM cxm.fold_journey_range(-9223372036854775808, 9223372036854775807);
            ELSE
                PERFORM cxm.fold_rollup_now((SELECT rollup_id FROM cx.rollup WHERE name = t));
            END IF;
        WHEN 'refresh' THEN
            IF t <> 'cx.event' THEN
                PERFORM cxm.refresh_rollup(t);
                ASSERT answer(t) = 0, 'refreshed';
            END IF;
        WHEN 'tree' THEN
            IF t = 'a' THEN
                EXECUTE format('CREATE TABLE %s PARTITION OF a %s PARTITION BY HASH (id)', place, bounds);
                EXECUTE format('CREATE TABLE %s_0 PARTITION OF %1$s FOR VALUES WITH (MODULUS 1, REMAINDER 0)', place);
            END IF;
    END CASE;
EXCEPTION
    -- there is no such partition, or there is one already, or rows that belong elsewhere
    WHEN undefined_table OR duplicate_table OR check_violation OR wrong_object_type OR invalid_object_definition OR object_not_in_prerequisite_state OR not_null_violation OR undefined_object THEN
        what := 'not ' || what;
END
$$;

CREATE TABLE done (t text, what text, state text);
SELECT count(cxm.identify(jsonb_build_object('device_id', 'd' || i))) AS people FROM generate_series(1, 5) AS i;
INSERT INTO cx.event_type (event_type_id, key) VALUES (1, 'view');
DO $$
DECLARE
    t text;
    what text;
    n bigint;
BEGIN
    PERFORM setseed(0.20261122);
    FOR i IN 1 .. 1500 LOOP
        t := (ARRAY['a', 'b', 'cx.event'])[1 + i % 3];
        IF pick(10) = 0 THEN
            BEGIN
                PERFORM act(t);
                PERFORM act(t);
                RAISE SQLSTATE 'R0001';
            EXCEPTION
                WHEN SQLSTATE 'R0001' THEN
                    what := 'roll back';
            END;
        ELSE
            what := act(t);
            IF what = 'refresh' AND t = 'cx.event' THEN
                CALL cxm.fold_journeys();
                ASSERT answer(t) = 0, 'refreshed';
            END IF;
        END IF;
        n := answer(t);
        INSERT INTO done VALUES (t, what, CASE WHEN n IS NULL THEN 'refused' ELSE 'right' END);
        ASSERT n IS NULL OR n = 0, format('step %s (%s, %s): wrong', i, t, what);
    END LOOP;
END
$$;
-- every thing was done, and was refused and answered; upkeep leaves nothing refused
SELECT what, count(*) > 3 AS often FROM done WHERE what NOT LIKE 'not %' GROUP BY what ORDER BY what COLLATE "C";
SELECT t, state, count(*) > 30 AS often FROM done GROUP BY t, state ORDER BY t, state;
CALL cxm.fold_journeys();
CALL cxm.fold_rollups();
SELECT answer('a') AS a, answer('b') AS b, answer('cx.event') AS journeys, (SELECT count(*) FROM cxm.journey_check()) AS differ, (SELECT count(*) FROM cx.rollup_status WHERE problem IS NOT NULL) AS problems;
DROP SCHEMA cx CASCADE;
DROP TABLE a, b, done;
DO $$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN SELECT c.oid FROM pg_class AS c WHERE c.relname ~ '^[ab]_[0-9]' AND c.relkind IN ('r', 'p') AND NOT c.relispartition LOOP
        EXECUTE format('DROP TABLE %s', v_table);
    END LOOP;
END
$$;
DROP FUNCTION pick, bound, differs, journeys_differ, answer, some_rows, act;
