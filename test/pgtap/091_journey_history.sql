-- Random histories: records come, change and go, customers merge and part, journeys are folded in pieces and built anew; after
-- each step the journeys are what a plain look at the records gives
BEGIN;
SELECT plan(3);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = error;

CREATE VIEW pg_temp.recorded AS
SELECT p.canonical_id AS profile_id, r.at, r.step || coalesce('@' || r.touchpoint_id, '') AS step
FROM (
    SELECT e.identifier_id, e.occurred_at AS at, 'event ' || e.event_type_id AS step, e.touchpoint_id FROM cx.event AS e
    UNION ALL
    SELECT b.identifier_id, b.occurred_at, 'purchase', b.touchpoint_id FROM cx.purchase AS b
    UNION ALL
    SELECT f.identifier_id, f.occurred_at, 'feedback ' || f.metric, f.touchpoint_id FROM cx.feedback AS f
) AS r
JOIN cx.identifier AS i USING (identifier_id)
JOIN cx.profile AS p USING (profile_id);

CREATE VIEW pg_temp.shown AS
SELECT j.profile_id, e.at, c.kind || coalesce(' ' || c.event_type_id, '') || coalesce(' ' || c.metric, '') || coalesce('@' || c.touchpoint_id, '') AS step
FROM cxm.journeys() AS j CROSS JOIN LATERAL cxm.events(j.journey) AS e(at, code) LEFT JOIN cx.journey_code AS c ON c.code = e.code;

CREATE TEMPORARY TABLE failure (n integer, what text, rows bigint);
CREATE TEMPORARY TABLE done (what text);

SELECT cxm.identify(jsonb_build_object('device_id', 'd' || i)) FROM generate_series(1, 12) AS i;
INSERT INTO cx.event_type (event_type_id, key) SELECT i, 'e' || i FROM generate_series(101, 103) AS i;

-- a number from 0 to n - 1, the same in every run
CREATE SEQUENCE pg_temp.step;
CREATE FUNCTION pg_temp.pick(n bigint) RETURNS integer LANGUAGE sql VOLATILE AS $$ SELECT ((hashint8extended(nextval('pg_temp.step'), 42) & 9007199254740991) % n)::integer $$;
CREATE FUNCTION pg_temp.an_identifier() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN pg_temp.pick(8) > 0 THEN (SELECT min(identifier_id) FROM cx.identifier) + pg_temp.pick(12) END $$;
-- few times, so that records meet; in several months, one without a partition
CREATE FUNCTION pg_temp.a_time() RETURNS timestamptz LANGUAGE sql VOLATILE AS
$$ SELECT timestamptz '2025-11-30 23:59:58' + make_interval(months => pg_temp.pick(3), secs => pg_temp.pick(4), hours => 12 * pg_temp.pick(3)) $$;
CREATE FUNCTION pg_temp.a_place() RETURNS integer LANGUAGE sql VOLATILE AS $$ SELECT nullif(pg_temp.pick(3), 0) $$;

CREATE FUNCTION pg_temp.act() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_table text := (ARRAY['event', 'purchase', 'feedback'])[1 + pg_temp.pick(3)];
    v_rows integer := 1 + pg_temp.pick(6);
    v_what text;
    v_ids bigint[];
BEGIN
    v_what := (ARRAY['insert', 'insert', 'insert', 'copy', 'update', 'update', 'score', 'delete', 'merge', 'unmerge', 'fold', 'fold part', 'fold part',
                     'rebuild', 'partition', 'truncate', 'roll back', 'link'])[1 + pg_temp.pick(18)];
    CASE v_what
        WHEN 'insert' THEN
            CASE v_table
                WHEN 'event' THEN
                    INSERT INTO cx.event (occurred_at, identifier_id, event_type_id, touchpoint_id)
                    SELECT pg_temp.a_time(), pg_temp.an_identifier(), 101 + pg_temp.pick(3), pg_temp.a_place() FROM generate_series(1, v_rows);
                WHEN 'purchase' THEN
                    INSERT INTO cx.purchase (occurred_at, identifier_id, amount, touchpoint_id)
                    SELECT pg_temp.a_time(), pg_temp.an_identifier(), 1, pg_temp.a_place() FROM generate_series(1, v_rows);
                ELSE
                    INSERT INTO cx.feedback (occurred_at, identifier_id, metric, score, touchpoint_id)
                    SELECT pg_temp.a_time(), pg_temp.an_identifier(), (ARRAY['nps', 'csat'])[1 + pg_temp.pick(2)], 1 + pg_temp.pick(5), pg_temp.a_place() FROM generate_series(1, v_rows);
            END CASE;
        WHEN 'copy' THEN
            -- the same rows once more
            INSERT INTO cx.event (occurred_at, identifier_id, event_type_id, touchpoint_id)
            SELECT e.occurred_at, e.identifier_id, e.event_type_id, e.touchpoint_id FROM cx.event AS e ORDER BY e.event_id DESC LIMIT v_rows;
        WHEN 'update' THEN
            EXECUTE format('UPDATE cx.%1$I SET %2$s WHERE %1$I_id IN (SELECT r.%1$I_id FROM cx.%1$I AS r ORDER BY hashint8extended(r.%1$I_id, %3$s) LIMIT %4$s)', v_table,
                           CASE pg_temp.pick(4)
                               WHEN 0 THEN 'occurred_at = pg_temp.a_time()'
                               WHEN 1 THEN 'identifier_id = pg_temp.an_identifier()'
                               WHEN 2 THEN 'touchpoint_id = pg_temp.a_place()'
                               ELSE CASE v_table WHEN 'event' THEN 'event_type_id = 101 + pg_temp.pick(3)' WHEN 'feedback' THEN 'metric = ''csat''' ELSE 'occurred_at = pg_temp.a_time()' END
                           END, pg_temp.pick(1000000), v_rows);
        WHEN 'score' THEN
            EXECUTE format('UPDATE cx.%I SET properties = %L', v_table, '{}');
        WHEN 'delete' THEN
            EXECUTE format('DELETE FROM cx.%1$I WHERE %1$I_id IN (SELECT r.%1$I_id FROM cx.%1$I AS r ORDER BY hashint8extended(r.%1$I_id, %2$s) LIMIT %3$s)',
                           v_table, pg_temp.pick(1000000), v_rows);
        WHEN 'merge' THEN
            v_ids := ARRAY(SELECT p.profile_id FROM cx.profile AS p WHERE p.profile_id = p.canonical_id ORDER BY hashint8extended(p.profile_id, pg_temp.pick(1000000)) LIMIT 2);
            IF cardinality(v_ids) = 2 THEN
                PERFORM cxm.merge(v_ids[1], v_ids[2], 'by chance');
            END IF;
        WHEN 'unmerge' THEN
            v_ids := ARRAY(SELECT l.link_id FROM cx.link AS l WHERE l.kind = 'pinned' AND l.retired_at IS NULL ORDER BY hashint8extended(l.link_id, pg_temp.pick(1000000)) LIMIT 1);
            IF cardinality(v_ids) = 1 THEN
                PERFORM cxm.unmerge(v_ids, 'by chance');
            END IF;
        WHEN 'link' THEN
            PERFORM cxm.track('e101', jsonb_build_object('device_id', 'd' || 1 + pg_temp.pick(12), 'email', 'm' || pg_temp.pick(6) || '@example.com'), at => pg_temp.a_time());
        WHEN 'fold' THEN
            PERFORM cxm.fold_journey_range(-9223372036854775808, 9223372036854775807);
        WHEN 'fold part' THEN
            PERFORM cxm.fold_journey_range(i.id, cxm.journey_delta_bound(i.id, v_rows)) FROM (SELECT coalesce(pg_temp.an_identifier(), 0) AS id) AS i;
        WHEN 'rebuild' THEN
            PERFORM cxm.rebuild_journey_range(i.id, i.id + v_rows) FROM (SELECT coalesce(pg_temp.an_identifier(), 0) AS id) AS i;
        WHEN 'partition' THEN
            PERFORM cxm.make_partition(v_table, m.month) FROM unnest(cxm.missing_months(v_table, ARRAY[pg_temp.a_time()])) AS m(month);
        WHEN 'truncate' THEN
            -- now and then, or there would be nothing to see
            IF pg_temp.pick(4) = 0 THEN
                EXECUTE format('TRUNCATE cx.%I', v_table || CASE pg_temp.pick(2) WHEN 0 THEN '_default' ELSE '' END);
            END IF;
        ELSE
            BEGIN
                INSERT INTO cx.event (occurred_at, identifier_id, event_type_id, touchpoint_id)
                SELECT pg_temp.a_time(), pg_temp.an_identifier(), 200 + pg_temp.pick(3), 7 FROM generate_series(1, v_rows);
                PERFORM cxm.fold_journey_range(-9223372036854775808, 9223372036854775807);
                RAISE EXCEPTION 'no';
            EXCEPTION
                WHEN raise_exception THEN NULL;
            END;
    END CASE;
    RETURN v_what;
END
$$;

DO $$
DECLARE
    v_what text;
    v_rows bigint;
BEGIN
    FOR i IN 1 .. 600 LOOP
        v_what := pg_temp.act();
        INSERT INTO pg_temp.done VALUES (v_what);
        SELECT count(*) INTO v_rows
        FROM ((TABLE pg_temp.shown EXCEPT ALL TABLE pg_temp.recorded) UNION ALL (TABLE pg_temp.recorded EXCEPT ALL TABLE pg_temp.shown)) AS d;
        IF v_rows > 0 THEN
            INSERT INTO pg_temp.failure VALUES (i, v_what, v_rows);
        END IF;
        IF i % 20 = 0 THEN
            INSERT INTO pg_temp.failure SELECT i, 'check after ' || v_what, count(*) FROM cxm.journey_check() HAVING count(*) > 0;
        END IF;
    END LOOP;
END
$$;

SELECT is_empty('SELECT * FROM pg_temp.failure ORDER BY n LIMIT 5', 'after each of 600 steps');
SELECT is((SELECT count(DISTINCT what) FROM pg_temp.done), 14::bigint, 'of every kind');
SELECT cmp_ok((SELECT count(*) FROM cx.journey), '>', 3::bigint, 'and there were journeys to look at');

SELECT * FROM finish();
ROLLBACK;
