-- Who is who, under review: merge and unmerge by hand, as of a time, diff, check, health, why
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null '~'
SET client_min_messages = warning;
SET timezone = 'UTC';

SELECT cxm.merge(1, 2, 'no store');
SELECT cxm.create_store('UTC') = cxm.version() AS made;

--
-- Lineage: the published example of a graph of ids. e1 by one visitor, e3 by another, e4 says that they are one.
--
SELECT cxm.track('page', '{"anonymous_id": "a1"}', message_id => 'e1') > 0 AS e1;
SELECT cxm.track('page', '{"email": "jane@example1.com"}', message_id => 'e3') > 0 AS e3;
SELECT cxm.identify('{"anonymous_id": "a1", "email": "jane@example1.com"}', message_id => 'e4') AS e4;
SELECT profile_id, canonical_id, event, source, evidence FROM cx.identity_lineage ORDER BY change_id NULLS FIRST, profile_id;
-- and taken back
SELECT split_off, profiles, still_linked, outcome FROM cxm.unmerge(2, 'a shared computer');
SELECT profile_id, canonical_id, event, source, evidence FROM cx.identity_lineage ORDER BY change_id NULLS FIRST, profile_id;

--
-- By hand: what is refused, and what it says
--
SELECT cxm.identify('{"user_id": "u1", "email": "ann@example.com", "phone": "+491701234567"}', '{"first_name": "Ann", "last_name": "Ex"}', source => 'web', message_id => 'ann') AS ann \gset
SELECT cxm.identify('{"customer_id": "c9", "loyalty_id": "l9"}', '{"name": "A. Ex"}', source => 'pos', message_id => 'card') AS card \gset
SELECT cxm.identify('{"user_id": "u2", "device_id": "d2"}', source => 'web', message_id => 'bob') AS bob \gset

SELECT cxm.merge(:ann, :card, NULL);
SELECT cxm.merge(:ann, :card, ' ');
SELECT cxm.merge(:ann, 999, 'why');
SELECT cxm.merge(NULL, :card, 'why');
SELECT cxm.merge(:ann, :ann, 'why');
SELECT cxm.merge(:ann, :bob, 'why');
SELECT cxm.merge('email', 'nobody@example.com', 'loyalty_id', 'l9', 'why');
SELECT cxm.merge('wallet', 'x', 'loyalty_id', 'l9', 'why');
SELECT cxm.merge('email', 'ANN@example.com ', 'email', 'ann@example.com', 'why');
SELECT cxm.unmerge(:ann, 'why');
SELECT cxm.unmerge(999::bigint, 'why');
SELECT cxm.unmerge(ARRAY[999], 'why');
SELECT cxm.unmerge('{}'::bigint[], 'why');
SELECT cxm.unmerge(NULL::bigint[], 'why');
SELECT cxm.unmerge(ARRAY[1, NULL], 'why');
SELECT cxm.unmerge(:ann, NULL);
SELECT cxm.unmerge('email', 'ann@example.com', 'email', 'ann@example.com', 'why');

-- a merge is a pinned link between the strongest identifiers, with who and why
SELECT cxm.merge(:card, :ann, 'same card at the till') AS pinned \gset
SELECT e.namespace_a, e.value_a, e.namespace_b, e.value_b, e.kind, e.source, l.created_by = session_user AS by_me, l.reason, l.refused
FROM cxm.explain_links(ARRAY[:pinned]) AS e JOIN cx.link AS l USING (link_id);
SELECT cxm.customer('loyalty_id', 'l9') = cxm.customer('email', 'ann@example.com') AS one_person;
SELECT cxm.merge(:card, :ann, 'again');
SELECT cxm.merge('user_id', 'u1', 'customer_id', 'c9', 'again');
-- two of one person may be pinned, too, and then hold together whatever else is retired
SELECT cxm.merge('email', 'ann@example.com', 'loyalty_id', 'l9', 'she showed both') AS second \gset
SELECT verdict, is_bridge, count(*) FROM cxm.explain_profile(:ann) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT retired = ARRAY[:pinned::bigint] AS retired, kept_apart, split_off, profiles = ARRAY[:ann::bigint] AS profiles, cardinality(still_linked) AS path, regexp_replace(outcome, '[0-9]+, .*', '...') AS outcome
FROM cxm.unmerge(ARRAY[:pinned], 'one is enough');
SELECT cxm.unmerge(ARRAY[:pinned], 'once more');
-- the number that was merged away undoes its merge
SELECT retired = ARRAY[:second::bigint] AS retired, split_off, profiles = ARRAY[:ann, :card]::bigint[] AS profiles, still_linked, outcome FROM cxm.unmerge(:card, 'not hers');
SELECT cxm.customer('loyalty_id', 'l9') = :card AS its_own_again;

-- kept apart: no source and no person joins them, until that is taken back
SELECT retired, split_off, still_linked, outcome, kept_apart AS apart FROM cxm.unmerge('email', 'ann@example.com', 'loyalty_id', 'l9', 'two people') \gset
\echo :outcome
SELECT cxm.unmerge('loyalty_id', 'l9', 'email', 'ann@example.com', 'two people');
SELECT cxm.merge(:ann, :card, 'why');
SELECT cxm.merge('phone', '+491701234567', 'customer_id', 'c9', 'why');
SELECT cxm.unmerge(ARRAY[:apart], 'why');
SELECT cxm.identify('{"loyalty_id": "l9", "phone": "+491701234567"}', source => 'pos', message_id => 'both') AS refused \gset
SELECT cxm.customer('loyalty_id', 'l9') = cxm.customer('email', 'ann@example.com') AS one_person;
SELECT link_id = :apart AS is_apart, from_namespace, from_value, to_namespace, to_value, kind, verdict, replace(why, :'apart', 'N') AS why
FROM cxm.explain_pair('phone', '+491701234567', 'loyalty_id', 'l9') ORDER BY step;
SELECT is_kept_apart FROM cx.profile WHERE profile_id IN (:ann, :card);
SELECT cxm.retire_links(ARRAY[:apart], 'they are one');
SELECT cxm.customer('loyalty_id', 'l9') = cxm.customer('email', 'ann@example.com') AS one_person;
-- of people who are one by a source: the weakest link gives way
SELECT cardinality(retired), split_off, cardinality(profiles), still_linked, outcome FROM cxm.unmerge('user_id', 'u1', 'customer_id', 'c9', 'no');
SELECT count(*) FROM cxm.identity_check();

--
-- Why
--
-- a way of several links: as few as possible
SELECT cxm.identify('{"device_id": "d2", "anonymous_id": "a2"}', source => 'web') = :bob AS ok;
SELECT cxm.identify('{"anonymous_id": ["a2", "a3"]}', source => 'web', message_id => 'a23') = :bob AS ok;
SELECT step, from_namespace, from_value, to_namespace, to_value, kind, source, evidence, verdict, why FROM cxm.explain_pair('anonymous_id', 'a3', 'user_id', 'u2');
SELECT * FROM cxm.explain_pair('phone', '+491701234567', 'phone', '0049 170 1234567');
SELECT verdict, why FROM cxm.explain_pair('user_id', 'u2', 'email', 'jane@example1.com') AS e;
SELECT * FROM cxm.explain_pair('user_id', 'u2', 'email', 'nobody@example.com');
SELECT * FROM cxm.explain_profile(999);
SELECT count(*) FROM cxm.explain_profile(NULL);

-- every reason of a refusal, in words
SELECT cxm.identify('{"user_id": "k1", "email": "k@example.com"}', at => '2026-01-01', verified => true) AS k1 \gset
SELECT cxm.identify('{"user_id": "k2", "email": "k@example.com"}', at => '2026-01-02');
SELECT cxm.identify('{"customer_id": "k3", "phone": "+4930111111"}', at => '2026-01-03', verified => true);
SELECT cxm.identify('{"customer_id": "k3", "email": "k@example.com"}', at => '2026-01-04');
SELECT cxm.identify(jsonb_build_object('user_id', 'k1', 'device_id', d), at => '2026-01-05') FROM (SELECT jsonb_agg('d' || n) AS d FROM generate_series(1, 6) AS n) AS x;
SELECT cxm.identify('{"user_id": "k1", "email": ["l1@example.com", "l2@example.com", "l3@example.com", "l4@example.com", "l5@example.com"]}', at => '2026-01-05 12:00') = :k1 AS ok;
INSERT INTO cx.blocked_value (namespace, value) VALUES ('phone', '+4930999999');
SELECT cxm.identify('{"user_id": "k1", "phone": "+49 30 999999"}', at => '2026-01-05 13:00') = :k1 AS ok;
SELECT cardinality(cxm.link_identifiers(cxm.source_id('app'), ARRAY['user_id', 'phone'], ARRAY['k1', 'call me'], ARRAY[false, true], '{1,1}', '{1,2}', ARRAY[timestamptz '2026-01-05 14:00'])) AS ok;
SELECT cxm.identify(format('{"user_id": "many%s", "loyalty_id": "shop"}', n)::jsonb, at => '2026-01-06') > 0 AS ok FROM generate_series(1, 101) AS n LIMIT 1 OFFSET 100;
SELECT cxm.identify('{"user_id": "k1", "loyalty_id": "shop"}', at => '2026-01-07') = :k1 AS ok;
SELECT namespace_a, value_a, namespace_b, value_b, verified, verdict, why, is_bridge
FROM cxm.explain_profile(:k1) WHERE verdict <> 'redundant' AND value_a !~ '^d[1-6]$' ORDER BY verdict COLLATE "C", place;
SELECT namespace, value, quarantined, fan_out, max_links, refused_links FROM cxm.quarantined_identifiers();
SELECT count(*) FROM cxm.quarantined_identifiers(0);
SELECT verdict, why FROM cxm.explain_pair('loyalty_id', 'shop', 'user_id', 'k1');
SELECT verdict, why FROM cxm.explain_pair('phone', 'call me', 'email', 'jane@example1.com');
SELECT measure, class, profiles, identifiers, links, round(density::numeric, 4) AS density FROM cxm.identity_health();
SELECT count(*) FROM cxm.identity_check();

--
-- Bridges: the tablet in the hall is nobody's claim, and two families use it
--
SELECT cxm.identify('{"user_id": "eve", "email": "eve@example.com"}', '{"name": "Eve"}', at => '2026-02-01') AS eve \gset
SELECT cxm.identify('{"customer_id": "dan", "phone": "+4930222222"}', '{"first_name": "Dan", "last_name": "Doe"}', at => '2026-02-01') AS dan \gset
SELECT cxm.identify('{"email": "eve@example.com", "anonymous_id": "tablet"}', source => 'web', message_id => 't1', at => '2026-02-02') = :eve AS ok;
SELECT cxm.identify('{"customer_id": "dan", "anonymous_id": "tablet"}', source => 'web', at => '2026-02-03') = :eve AS ok;
SELECT round(score::numeric, 4) AS score, profile_id = :eve AS eve, namespace_a, value_a, namespace_b, value_b, kind, verified, source, evidence,
       size_a, size_b, claims_a, claims_b, namespaces_a, namespaces_b, name_a, name_b
FROM cxm.identity_bridges() WHERE profile_id = :eve;
SELECT count(*) FROM cxm.identity_bridges(3) WHERE profile_id = :eve;
SELECT count(*) FROM cxm.identity_bridges(2, 1);
SELECT count(*) FROM cxm.identity_bridges(NULL);
SELECT count(*) FROM cxm.identity_bridges(0);
-- cutting the first of them is what was meant
SELECT split_off, outcome FROM cxm.unmerge(ARRAY(SELECT b.link_id FROM cxm.identity_bridges() AS b WHERE b.profile_id = :eve ORDER BY b.score DESC LIMIT 1), 'the tablet in the hall');
SELECT cxm.customer('customer_id', 'dan') <> cxm.customer('email', 'eve@example.com') AS two_people;
SELECT count(*) FROM cxm.identity_bridges() WHERE profile_id = :eve;

--
-- A rule tried out: what it would change, and nothing has changed
--
SELECT cxm.record_purchase(10, '{"user_id": "k1"}') > 0 AS bought;
BEGIN;
SELECT count(*) FROM cxm.identity_diff();
UPDATE cx.namespace SET max_per_profile = 3 WHERE namespace = 'device_id';
SELECT cxm.resolve_all() >= 0 AS resolved;
SELECT namespace, value, from_profile = :k1 AS from_k1, to_profile = :bob AS to_bob FROM cxm.identity_diff() ORDER BY value;
SELECT profiles_after - profiles_before AS more, merged, split, identifiers_moved, customers_affected FROM cxm.identity_diff_summary();
SELECT count(*) FROM cxm.identity_check();
-- and back again: nothing, net
UPDATE cx.namespace SET max_per_profile = 5 WHERE namespace = 'device_id';
SELECT cxm.resolve_all() >= 0 AS resolved;
SELECT * FROM cxm.identity_diff();
SELECT * FROM cxm.identity_diff_summary();
ROLLBACK;
SELECT count(*) FROM cxm.identity_diff();
SELECT count(*) FROM cxm.identity_check();

--
-- The check sees what is wrong
--
CREATE FUNCTION pg_temp.found(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_found text;
BEGIN
    EXECUTE change;
    v_found := (SELECT string_agg(DISTINCT c.kind, ', ' ORDER BY c.kind) FROM cxm.identity_check() AS c);
    RAISE EXCEPTION USING ERRCODE = 'CXM00', MESSAGE = coalesce(v_found, 'nothing');
EXCEPTION WHEN SQLSTATE 'CXM00' THEN
    RETURN SQLERRM;
END $$;
SELECT change, pg_temp.found(change) FROM (VALUES
    ('SELECT 1'),
    ('UPDATE cx.profile SET canonical_id = 1 WHERE profile_id = (SELECT cxm.customer(''email'', ''k@example.com''))'),
    ('UPDATE cx.identifier SET profile_id = 1 WHERE value = ''k@example.com'''),
    ('UPDATE cx.identifier SET profile_id = 999999 WHERE value = ''k@example.com'''),
    ('UPDATE cx.identifier SET quarantined = NULL WHERE value = ''shop'''),
    ('UPDATE cx.link SET refused = ''limit'' WHERE refused IS NULL AND kind = ''seen'''),
    ('UPDATE cx.profile SET counts = ''{7}'' WHERE profile_id = 1'),
    ('UPDATE cx.profile SET is_known = NOT is_known WHERE profile_id = 1'),
    ('UPDATE cx.profile SET is_kept_apart = NOT is_kept_apart WHERE profile_id = 1'),
    ('UPDATE cx.profile SET weakest = 0 WHERE canonical_id = profile_id AND weakest > 0'),
    ('UPDATE cx.link SET identifier_b = 999999 WHERE link_id = 1'),
    ('DELETE FROM cx.identity_change WHERE change_id = (SELECT max(change_id) FROM cx.identity_change)')) AS v(change);

--
-- Rights: a reader looks, a writer acts
--
CREATE ROLE regress_cxm_reader;
CREATE ROLE regress_cxm_writer;
SELECT cxm.grant_store('regress_cxm_reader'), cxm.grant_store('regress_cxm_writer', 'writer');
SET ROLE regress_cxm_reader;
SELECT (SELECT count(*) > 0 FROM cxm.explain_profile(:k1)) AS explained, (SELECT count(*) FROM cxm.identity_check()) AS differences, (SELECT count(*) > 0 FROM cxm.identity_health()) AS health,
       (SELECT count(*) >= 0 FROM cxm.identity_bridges()) AS bridges, (SELECT count(*) > 0 FROM cxm.identity_as_of(now())) AS as_of, (SELECT count(*) FROM cxm.identity_diff()) AS diff,
       (SELECT count(*) > 0 FROM cx.identity_lineage) AS lineage;
\set VERBOSITY terse
SELECT cxm.merge(:eve, :dan, 'not by a reader');
SET ROLE regress_cxm_writer;
SELECT cxm.merge(:eve, :dan, 'by a writer') > 0 AS merged;
SELECT split_off FROM cxm.unmerge(:dan, 'by a writer');
SELECT split_off FROM cxm.unmerge('user_id', 'eve', 'customer_id', 'dan', 'by a writer');
\set VERBOSITY default
RESET ROLE;
DROP OWNED BY regress_cxm_reader, regress_cxm_writer;
DROP ROLE regress_cxm_reader, regress_cxm_writer;

--
-- As of a time: at each of 60 moments who everybody was, and looked up afterwards
--
CREATE TEMPORARY TABLE moment (n integer, at timestamptz, labels jsonb);
CREATE FUNCTION pg_temp.labels() RETURNS jsonb LANGUAGE sql AS
$$SELECT jsonb_object_agg(i.identifier_id, p.canonical_id) FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id)$$;
DO $$
DECLARE
    h bigint;
    v_links bigint[];
BEGIN
    FOR n IN 1 .. 60 LOOP
        h := hashint8extended(n, 7);
        IF n % 4 = 0 THEN
            SELECT array_agg(l.link_id) INTO v_links
            FROM (SELECT k.link_id FROM cx.link AS k WHERE k.retired_at IS NULL AND k.kind = 'seen' AND k.evidence LIKE 'm%' ORDER BY hashint8extended(k.link_id, n) LIMIT 2) AS l;
            PERFORM cxm.unmerge(v_links, 'one step');
        ELSE
            PERFORM cxm.identify(jsonb_build_object('email', format('m%s@x.org', h & 15), 'anonymous_id', ARRAY[format('m%s', h >> 8 & 7), format('m%s', h >> 16 & 7)]),
                                 message_id => 'm' || n);
        END IF;
        COMMIT;
        INSERT INTO moment VALUES (n, clock_timestamp(), pg_temp.labels());
        COMMIT;
    END LOOP;
END $$;
SELECT count(*) FILTER (WHERE m.labels <> (SELECT jsonb_object_agg(a.identifier_id, a.profile_id) FROM cxm.identity_as_of(m.at) AS a)) AS wrong,
       count(DISTINCT m.labels) > 20 AS much_happened
FROM moment AS m;
SELECT count(*) FILTER (WHERE cxm.customer_as_of(i.namespace, i.value, m.at) IS DISTINCT FROM (m.labels ->> i.identifier_id::text)::bigint) AS wrong, count(*) > 1000 AS many
FROM moment AS m CROSS JOIN cx.identifier AS i WHERE m.n % 5 = 0;
SELECT cxm.customer_as_of('anonymous_id', 'm1', '-infinity') AS before_all, cxm.customer_as_of('anonymous_id', 'm1', 'infinity') = cxm.customer('anonymous_id', 'm1') AS today,
       cxm.customer_as_of('anonymous_id', NULL, now()) AS nobody, (SELECT count(*) FROM cxm.identity_as_of('-infinity')) AS none, (SELECT count(*) FROM cxm.identity_as_of(NULL)) AS no_time;
SELECT count(*) FROM cxm.identity_check();

--
-- The merge of a profile undone by its number: what either side was linked to since goes along
--
CREATE PROCEDURE pg_temp.meet(step integer) LANGUAGE plpgsql AS $$
BEGIN
    CASE step
        WHEN 1 THEN PERFORM cxm.identify('{"email": "q@x.org"}');
        WHEN 2 THEN PERFORM cxm.identify('{"email": "p@x.org"}');
        WHEN 3 THEN PERFORM cxm.identify('{"phone": "+4930333333"}');
        WHEN 4 THEN PERFORM cxm.identify('{"loyalty_id": "z"}');
        WHEN 5 THEN PERFORM cxm.identify('{"email": "p@x.org", "phone": "+4930333333"}');
        -- two links, and two by-standers, join the two
        WHEN 6 THEN PERFORM cxm.identify('{"email": "q@x.org", "phone": "+4930333333"}');
        WHEN 7 THEN PERFORM cxm.identify('{"email": ["q@x.org", "p@x.org"]}', source => 'web');
        WHEN 8 THEN PERFORM cxm.track('x', '{"email": "p@x.org", "anonymous_id": "np"}');
        WHEN 9 THEN PERFORM cxm.track('x', '{"email": "q@x.org", "device_id": "nq"}');
        WHEN 10 THEN PERFORM cxm.identify('{"loyalty_id": "z", "email": "p@x.org"}');
    END CASE;
END $$;
CREATE FUNCTION pg_temp.people() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT string_agg(i.value, ' ' ORDER BY i.value) FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id)
    WHERE i.value IN ('q@x.org', 'p@x.org', '+4930333333', 'z', 'np', 'nq') GROUP BY p.canonical_id ORDER BY p.canonical_id $$;
DO $$ BEGIN FOR n IN 1 .. 10 LOOP CALL pg_temp.meet(n); COMMIT; END LOOP; END $$;
SELECT * FROM pg_temp.people();
SELECT p.profile_id AS p FROM cx.profile AS p JOIN cx.identifier AS i USING (profile_id) WHERE i.value = 'p@x.org' \gset
SELECT cardinality(retired) AS retired, split_off, profiles[2] = :p AS under_its_own_number, still_linked, outcome FROM cxm.unmerge(:p, 'two people');
SELECT * FROM pg_temp.people();
-- what came later holds them together: say so, and the way
CALL pg_temp.meet(6);
SELECT cxm.identify(format('{"email": "%s@x.org", "device_id": "w"}', p)::jsonb) > 0 AS ok FROM unnest('{p,q}'::text[]) AS p;
SELECT cardinality(retired) AS retired, split_off, cardinality(still_linked) AS way, regexp_replace(outcome, '[0-9]+, [0-9]+$', '...') AS outcome FROM cxm.unmerge(:p, 'two people');
SELECT cxm.unmerge(:p, 'two people');
SELECT count(*) FROM cxm.identity_check();
DROP SCHEMA cx CASCADE;
-- all of it in one transaction
BEGIN;
SELECT cxm.create_store('UTC') = cxm.version() AS made;
DO $$ BEGIN FOR n IN 1 .. 10 LOOP CALL pg_temp.meet(n); END LOOP; END $$;
SELECT * FROM pg_temp.people();
SELECT cardinality(retired) AS retired, split_off, profiles, still_linked, outcome FROM cxm.unmerge(2, 'two people');
SELECT * FROM pg_temp.people();
ROLLBACK;
-- three that one step of the solver brings together
BEGIN;
SELECT cxm.create_store('UTC') = cxm.version() AS made;
SELECT cxm.identify(format('{"email": "b%s@x.org"}', n)::jsonb) AS profile_id FROM generate_series(1, 3) AS n;
INSERT INTO cx.link (identifier_a, identifier_b, source_id, observed_at) VALUES (2, 3, 1, '2026-01-01'), (1, 3, 1, '2026-01-02');
SELECT cxm.resolve_links(ARRAY(SELECT link_id FROM cx.link)) > 0 AS resolved;
SELECT profile_id, canonical_id FROM cx.profile ORDER BY profile_id;
SELECT cardinality(retired) AS retired, profiles FROM cxm.unmerge(2, 'alone');
SELECT profile_id, canonical_id FROM cx.profile ORDER BY profile_id;
ROLLBACK;

--
-- Merge, later writes, unmerge: as if never merged, in every table and view
--
-- All that the store shows, without the times of the clock, what records the merge itself, and numbers of links.
CREATE FUNCTION pg_temp.store_state() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_table text;
    v_rows jsonb;
    v_state jsonb := '{}';
BEGIN
    FOR v_table IN
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
          AND c.relname NOT IN ('link', 'identity_change', 'identity_lineage', 'source', 'job_run')
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT jsonb_agg(r.o ORDER BY r.o) FROM (SELECT to_jsonb(t) - ''created_at'' - ''changed_at'' - ''received_at'' AS o FROM cx.%I AS t) AS r', v_table)
        INTO v_rows;
        v_state := v_state || jsonb_build_object(v_table, v_rows);
    END LOOP;
    RETURN v_state || jsonb_build_object('link', (
        SELECT jsonb_agg(to_jsonb(l) - 'link_id' - 'created_at' ORDER BY l.identifier_a, l.identifier_b, l.source_id, l.kind, l.evidence)
        FROM cx.link AS l WHERE l.retired_at IS NULL));
END $$;
-- Writes number first to last of a story: records of eight people and of what they share, by three namespaces with limits.
CREATE FUNCTION pg_temp.tell(story integer, first integer, last integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    h bigint;
    who jsonb;
    at timestamptz;
BEGIN
    FOR n IN first .. last LOOP
        h := hashint8extended(n, story);
        at := timestamptz '2026-03-01 00:00+00' + make_interval(hours => n);
        who := jsonb_build_object(
            (ARRAY['email', 'phone', 'device_id'])[1 + (h & 1023) % 3], format('%s00%s', (h >> 10 & 7) + 493000, (h >> 13 & 1)) || CASE WHEN (h & 1023) % 3 = 0 THEN '@x.org' ELSE '' END,
            'anonymous_id', format('v%s', h >> 20 & 31));
        IF h >> 40 & 3 = 0 THEN
            PERFORM cxm.identify(who, jsonb_build_object('city', h >> 42 & 3), at => at, message_id => 'i' || n, verified => h >> 50 & 7 = 0);
        ELSIF h >> 40 & 3 = 1 THEN
            PERFORM cxm.record_purchase(1 + (h >> 42 & 15), who - 'anonymous_id', order_id => 'o' || n, at => at);
        ELSIF h >> 40 & 3 = 2 THEN
            PERFORM cxm.record_feedback('nps', (h >> 42 & 1023) % 11, who - 'anonymous_id', at => at);
        ELSE
            PERFORM cxm.track('page_viewed', who, at => at);
        END IF;
    END LOOP;
END $$;
-- A story with a merge by hand of two people after half of it, which stays or is taken back at the end; or without.
CREATE FUNCTION pg_temp.outcome(story integer, merged boolean, undone boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_people bigint[];
    v_link bigint;
    v_state jsonb;
BEGIN
    PERFORM cxm.create_store('UTC');
    PERFORM cxm.source_id('manual'), cxm.source_id('app');
    PERFORM pg_temp.tell(story, 1, 40);
    IF merged THEN
        v_people := ARRAY(SELECT p.profile_id FROM cx.profile AS p WHERE p.canonical_id = p.profile_id ORDER BY hashint8extended(p.profile_id, story) LIMIT 2);
        v_link := cxm.merge(v_people[1], v_people[2], 'they look alike');
    END IF;
    PERFORM pg_temp.tell(story, 41, 80);
    IF undone THEN
        PERFORM cxm.unmerge(ARRAY[v_link], 'they are not');
    END IF;
    v_state := pg_temp.store_state();
    RAISE EXCEPTION USING ERRCODE = 'CXM00', MESSAGE = v_state::text;
EXCEPTION WHEN SQLSTATE 'CXM00' THEN
    RETURN SQLERRM::jsonb;
END $$;
SET client_min_messages = error;
CREATE TEMPORARY TABLE told AS
SELECT s AS story, pg_temp.outcome(s, true, true) AS undone, pg_temp.outcome(s, true, false) AS merged, pg_temp.outcome(s, false, false) AS never FROM generate_series(1, 4) AS s;
SELECT count(DISTINCT o.story) AS stories, string_agg(DISTINCT t.key, ', ') FILTER (WHERE t.value IS DISTINCT FROM o.never -> t.key) AS different,
       count(*) FILTER (WHERE t.value <> 'null' AND t.key IN ('identifier', 'profile', 'link', 'trait', 'event', 'purchase', 'feedback', 'customer_360', 'profile_trait')) AS filled
FROM told AS o CROSS JOIN jsonb_each(o.undone) AS t;
-- while it lasted, the merge did show
SELECT count(*) FILTER (WHERE o.merged -> 'customer_360' <> o.never -> 'customer_360') > 2 AS it_showed FROM told AS o;

--
-- What is kept of those who do not count: a generic identifier, and a profile that was merged away
--
SELECT cxm.create_store('UTC') = cxm.version() AS made;
UPDATE cx.namespace SET max_links = 1 WHERE namespace = 'loyalty_id';
SELECT cxm.resolve_all() AS changed;
SELECT cxm.link('loyalty_id', 'till', 'email', 'w1@example.com') > 0 AS a, cxm.link('loyalty_id', 'till', 'email', 'w2@example.com', verified => true) > 0 AS b,
       cxm.link('email', 'w1@example.com', 'device_id', 'w1') > 0 AS c, cxm.link('email', 'w2@example.com', 'device_id', 'w2') > 0 AS d,
       cxm.link('device_id', 'w1', 'device_id', 'w2') > 0 AS e;
SELECT i.value, i.quarantined, p.is_known, count(*) OVER (PARTITION BY p.profile_id) AS identifiers
FROM cx.identifier AS i JOIN cx.profile AS s ON s.profile_id = i.profile_id JOIN cx.profile AS p ON p.profile_id = s.canonical_id ORDER BY i.value;
SELECT * FROM cxm.identity_check();
UPDATE cx.profile SET is_known = true, is_kept_apart = true, counts = '{1}' WHERE canonical_id <> profile_id;
SELECT kind, stored, expected FROM cxm.identity_check() ORDER BY kind;
DROP SCHEMA cx CASCADE;
