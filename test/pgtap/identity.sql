-- Who is who: a function of the live links, whatever the order in which they came and went
BEGIN;
SELECT plan(69);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;

-- one spelling
SELECT is(cxm.normalize(namespace, value), answer, format('%s %L', namespace, value)) FROM (VALUES
    ('email', E' \t Ann@Example.COM\n', 'ann@example.com'), ('email', 'a@b@c', NULL), ('email', '@', NULL), ('email', 'a b@c', NULL), ('email', '', NULL),
    ('phone', '0049 (170) 123-45.67', '+491701234567'), ('phone', '+49170', NULL), ('phone', '1234', NULL), ('phone', '12345', '12345'),
    ('phone', '123456789012345678901', NULL), ('phone', '12345x', NULL), ('user_id', '  ', NULL), ('user_id', ' A b ', 'A b'), ('any', '0', '0')) AS v(namespace, value, answer);
-- the same form at the door and at the desk, whatever the collation of a column
SELECT cxm.identify('{"email": "ÉVA@École.example"}') AS eva \gset
SELECT is(cxm.customer('email', 'ÉVA@École.example'), :eva::bigint, 'letters beyond ASCII');
SELECT ok(cxm.normalize('email', 'ÉVA@x' COLLATE "C") COLLATE "C" = (SELECT cxm.normalize('email', 'ÉVA@x')), 'one form for every collation');
SELECT is(cxm.customer('email', 'nobody@example.com'), NULL, 'nobody');
SELECT is(cxm.customer('email', 'not an address'), NULL, 'not an address');

-- numbers, lists, repetitions
SELECT cxm.identify('{"user_id": 42, "email": ["n1@x.org", "N1@x.org ", "n2@x.org"], "phone": null}') AS n \gset
SELECT results_eq($$SELECT DISTINCT p FROM unnest(ARRAY[cxm.customer('user_id', '42'), cxm.customer('email', 'n1@x.org'), cxm.customer('email', 'n2@x.org')]) AS p$$,
                  ARRAY[:n::bigint], 'a number and a list of identifiers are one person');
SELECT is((SELECT count(*) FROM cx.link AS l JOIN cx.identifier AS i ON i.identifier_id = l.identifier_a JOIN cx.profile AS p USING (profile_id) WHERE p.canonical_id = :n::bigint), 3::bigint,
          'linked to each other, each once');
-- a record hangs on its strongest identifier, by rank and not by spelling
SELECT cxm.track('x', '{"anonymous_id": "a-1", "email": "rank@x.org", "customer_id": "z-9"}') AS e \gset
SELECT is((SELECT i.namespace || ' ' || i.value FROM cx.event AS e JOIN cx.identifier AS i USING (identifier_id) WHERE e.event_id = :e), 'customer_id z-9', 'the strongest identifier');

-- the oldest profile stays, and the numbers of all stay valid
SELECT cxm.identify('{"email": "o1@x.org"}') AS p1 \gset
SELECT cxm.identify('{"email": "o2@x.org"}') AS p2 \gset
SELECT cxm.identify('{"email": "o3@x.org"}') AS p3 \gset
SELECT is(cxm.identify('{"email": ["o3@x.org", "o2@x.org"]}', message_id => 'o23'), :p2::bigint, 'the older of two');
SELECT is(cxm.identify('{"email": ["o2@x.org", "o1@x.org"]}', message_id => 'o12'), :p1::bigint, 'the oldest of three');
SELECT results_eq($$SELECT canonical_id FROM cx.profile WHERE profile_id IN ($$ || :p1::bigint || ',' || :p2::bigint || ',' || :p3::bigint || ')',
                  ARRAY[:p1, :p1::bigint, :p1]::bigint[], 'all three numbers lead there');
SELECT is(cxm.remove_records(cxm.source_id('app'), 'traits', ARRAY['o12']), 1::bigint, 'the statement is taken back');
SELECT results_eq($$SELECT canonical_id FROM cx.profile WHERE profile_id IN ($$ || :p1::bigint || ',' || :p2::bigint || ',' || :p3::bigint || ') ORDER BY profile_id',
                  ARRAY[:p1, :p2::bigint, :p2]::bigint[], 'and each number leads to its own people again');
SELECT is(ARRAY[cxm.customer('email', 'o1@x.org'), cxm.customer('email', 'o2@x.org'), cxm.customer('email', 'o3@x.org')], ARRAY[:p1, :p2::bigint, :p2]::bigint[], 'and so do the identifiers');
SELECT is((SELECT array_agg(DISTINCT retired_reason) FROM cx.link WHERE evidence = 'o12'), '{the source took the record back}'::text[], 'the link is retired, not deleted');

-- what came in passing holds people together as well, whoever else takes back what he said
SELECT cxm.identify('{"email": ["w1@x.org", "w2@x.org"]}', message_id => 'w');
SELECT cxm.track('x', '{"email": ["w2@x.org", "w1@x.org"]}', source => 'other');
SELECT cxm.remove_records(cxm.source_id('app'), 'traits', ARRAY['w']);
SELECT is(cxm.customer('email', 'w1@x.org'), cxm.customer('email', 'w2@x.org'), 'another source still says so');

-- 90 statements about identifiers in eight clumps, four ways
CREATE TEMPORARY TABLE statement AS
SELECT n, 40 + (h1 & 7) * 8 + (h2 & 7) AS a, 40 + (h1 & 7) * 8 + CASE WHEN h3 & 31 = 0 THEN h4 & 63 ELSE h4 & 7 END AS b
FROM (SELECT n, hashint8extended(n, 1) AS h1, hashint8extended(n, 2) AS h2, hashint8extended(n, 3) AS h3, hashint8extended(n, 4) AS h4 FROM generate_series(1, 90) AS n) AS r;
CREATE FUNCTION pg_temp.said(way text, n bigint, a bigint, b bigint) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('message_id', n, 'identifiers', jsonb_build_object('anonymous_id', jsonb_build_array(way || a, way || b)))
$$;
-- partition as a list of sets of numbers
CREATE FUNCTION pg_temp.people(way text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT string_agg(number::text, ' ' ORDER BY number)
    FROM (SELECT substr(i.value, 2)::integer AS number, p.canonical_id FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id)
          WHERE i.namespace = 'anonymous_id' AND left(i.value, 1) = way) AS m
    GROUP BY canonical_id ORDER BY min(number)
$$;
CREATE FUNCTION pg_temp.oracle(kept text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH RECURSIVE edge AS (SELECT a, b FROM statement WHERE %1$s UNION SELECT b, a FROM statement WHERE %1$s),
                        reach AS (SELECT a AS member, a AS other FROM statement UNION SELECT b, b FROM statement UNION SELECT r.member, e.b FROM reach AS r JOIN edge AS e ON e.a = r.other),
                        named AS (SELECT member, min(other) AS name FROM reach GROUP BY member)
         SELECT string_agg(member::text, '' '' ORDER BY member) FROM named GROUP BY name ORDER BY min(member)', kept);
END
$$;
SELECT cxm.identify_batch((SELECT jsonb_agg(pg_temp.said('b', n, a, b) ORDER BY n) FROM statement));
SELECT cxm.identify_batch((SELECT jsonb_agg(pg_temp.said('s', n, a, b) ORDER BY hashint8(n)) FROM statement), 'shuffled');
DO $$ DECLARE s record; BEGIN
    FOR s IN SELECT n, a, b FROM statement ORDER BY n DESC LOOP
        PERFORM cxm.identify(pg_temp.said('1', s.n, s.a, s.b) -> 'identifiers', message_id => s.n::text, source => 'one by one');
    END LOOP;
    FOR s IN SELECT jsonb_agg(pg_temp.said('7', n, a, b)) AS batch FROM statement GROUP BY n % 13 ORDER BY n % 13 LOOP
        PERFORM cxm.identify_batch(s.batch, 'some by some');
    END LOOP;
END $$;
SELECT cmp_ok((SELECT count(*) FROM pg_temp.oracle('true')), '>', 5::bigint, 'there are several people');
SELECT results_eq($$SELECT pg_temp.people('b')$$, $$SELECT pg_temp.oracle('true')$$, 'in one batch');
SELECT results_eq($$SELECT pg_temp.people('s')$$, $$SELECT pg_temp.oracle('true')$$, 'shuffled');
SELECT results_eq($$SELECT pg_temp.people('1')$$, $$SELECT pg_temp.oracle('true')$$, 'one by one, backwards');
SELECT results_eq($$SELECT pg_temp.people('7')$$, $$SELECT pg_temp.oracle('true')$$, 'some by some');
SELECT is(cxm.identity_differences(), 0::bigint, 'link by link is all at once');
SELECT is_empty($$SELECT FROM cx.profile AS p WHERE p.canonical_id <> (SELECT min(o.profile_id) FROM cx.profile AS o WHERE o.canonical_id = p.canonical_id)$$, 'the canonical profile is the oldest');

-- taken back one after another, a third of them: each time what never-merged would be
CREATE FUNCTION pg_temp.take_back() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    s record;
BEGIN
    FOR s IN SELECT n FROM statement WHERE n % 3 = 0 ORDER BY hashint8(n) LOOP
        PERFORM cxm.remove_records(cxm.source_id('one by one'), 'traits', ARRAY[s.n::text]);
        IF cxm.identity_differences() <> 0 THEN
            RETURN NEXT format('after %s', s.n);
        END IF;
    END LOOP;
END
$$;
SELECT is_empty('SELECT pg_temp.take_back()', 'after each removal the profiles are what the links say');
SELECT results_eq($$SELECT pg_temp.people('1')$$, $$SELECT pg_temp.oracle('n % 3 <> 0')$$, 'and in the end what never-merged would be');
SELECT cmp_ok((SELECT count(*) FROM pg_temp.people('1')), '>', (SELECT count(*) FROM pg_temp.people('b')), 'which is more people');
SELECT cxm.remove_records(cxm.source_id('shuffled'), 'traits', ARRAY(SELECT n::text FROM statement WHERE n % 3 = 0));
SELECT results_eq($$SELECT pg_temp.people('s')$$, $$SELECT pg_temp.oracle('n % 3 <> 0')$$, 'all at once as well');
SELECT is_empty($$SELECT FROM cx.profile AS p WHERE p.canonical_id <> (SELECT min(o.profile_id) FROM cx.profile AS o WHERE o.canonical_id = p.canonical_id)$$, 'the canonical profile is still the oldest');
SELECT is_empty($$SELECT FROM cx.profile AS p JOIN cx.profile AS c ON c.profile_id = p.canonical_id WHERE c.canonical_id <> c.profile_id$$, 'and stands itself');
-- said again they are as before
SELECT cxm.identify_batch((SELECT jsonb_agg(pg_temp.said('s', n, a, b)) FROM statement), 'shuffled');
SELECT results_eq($$SELECT pg_temp.people('s')$$, $$SELECT pg_temp.oracle('true')$$, 'said again, merged again');

-- a changed record: links that it no longer states are retired, and only those
CREATE FUNCTION pg_temp.row_says(key text, identifiers jsonb) RETURNS cxm.ingest_result LANGUAGE sql AS $$
    SELECT cxm.store_traits(cxm.source_id('table'), ARRAY[(key, now(), identifiers, '{"a": null}', false, NULL, NULL)]::cxm.traits_input[], upsert => true)
$$;
SELECT pg_temp.row_says('r1', '{"email": ["c1@x.org", "c2@x.org", "c3@x.org"]}');
SELECT pg_temp.row_says('r1', '{"email": ["c1@x.org", "c3@x.org"]}');
SELECT ok(cxm.customer('email', 'c1@x.org') = cxm.customer('email', 'c3@x.org') AND cxm.customer('email', 'c1@x.org') <> cxm.customer('email', 'c2@x.org'), 'who is no longer named goes');
SELECT is((pg_temp.row_says('r1', '{"email": []}')).rejected, 1::bigint, 'a row that names nobody is refused');
SELECT ok(cxm.customer('email', 'c1@x.org') <> cxm.customer('email', 'c3@x.org'), 'and says nothing any more');
SELECT is((SELECT record FROM cx.rejection WHERE source_id = cxm.source_id('table')) -> 'traits', '{"a": null}'::jsonb, 'its rejection is whole');
SELECT is(cxm.identity_differences(), 0::bigint, 'in the end, too, the profiles are what the links say');

-- what was proved once stays proved
SELECT cxm.identify('{"email": ["v1@x.org", "v2@x.org"]}');
SELECT cxm.identify('{"email": ["v1@x.org", "v2@x.org"]}', verified => true);
SELECT cxm.identify('{"email": ["v1@x.org", "v2@x.org"]}', verified => NULL);
SELECT results_eq($$SELECT l.verified FROM cx.link AS l JOIN cx.identifier AS i ON i.identifier_id = l.identifier_a WHERE i.value IN ('v1@x.org', 'v2@x.org')$$,
                  ARRAY[true], 'a link that is verified later is verified, and one');

-- a link whose row was edited: what it was before is unknown, so it may have stood before stronger ones, and proved who somebody is
CREATE FUNCTION pg_temp.link_by_hand(a text, b text, kind text, probability float8 DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO cx.link AS l (identifier_a, identifier_b, kind, source_id, probability, observed_at)
    SELECT least(x.identifier_id, y.identifier_id), greatest(x.identifier_id, y.identifier_id), link_by_hand.kind, cxm.source_id('hand'), link_by_hand.probability, now()
    FROM cx.identifier AS x, cx.identifier AS y WHERE x.value = a AND y.value = b
    RETURNING l.link_id
$$;
CREATE FUNCTION pg_temp.edit(a text, b text) RETURNS bigint LANGUAGE sql AS $$
    WITH edited AS (
        UPDATE cx.link AS l SET verified = false FROM cx.identifier AS x, cx.identifier AS y
        WHERE x.value IN (a, b) AND y.value IN (a, b) AND l.identifier_a = x.identifier_id AND l.identifier_b = y.identifier_id
        RETURNING l.link_id
    )
    SELECT cxm.resolve_links(array_agg(e.link_id)) FROM edited AS e
$$;
SELECT cxm.identify('{"user_id": "edited-1", "email": "edited@x.org"}', verified => true, message_id => 'stated');
SELECT cxm.identify('{"user_id": "edited-2", "email": "edited@x.org"}', verified => true);
SELECT is(cxm.customer('email', 'edited@x.org'), cxm.customer('user_id', 'edited-1'), 'the stated link stands before the other');
SELECT pg_temp.edit('edited-1', 'edited@x.org');
SELECT is(cxm.customer('email', 'edited@x.org'), cxm.customer('user_id', 'edited-2'), 'no longer verified it stands behind it');
SELECT is_empty('SELECT * FROM cxm.identity_check()', 'and the store is what its links say');
SELECT cxm.identify('{"device_id": "edited-d", "phone": "1234567890"}', verified => true);
SELECT pg_temp.edit('edited-d', '1234567890');
SELECT is_empty('SELECT * FROM cxm.identity_check()', 'a link to a blocked value proved who the device is, and proves it no more');
-- a link between two quarantined ends is refused, also where one by hand makes them one
SELECT cxm.identify('{"user_id": "edited-3", "email": "nobody", "phone": "0"}');
SELECT cxm.resolve_links(ARRAY[pg_temp.link_by_hand('nobody', '0', 'pinned'), pg_temp.link_by_hand('nobody', '0', 'matched', 0.9)]);
SELECT is((SELECT string_agg(concat_ws(' ', l.kind, l.refused), ', ' ORDER BY l.kind) FROM cx.link AS l JOIN cx.identifier AS i ON i.identifier_id = l.identifier_a
           JOIN cx.identifier AS j ON j.identifier_id = l.identifier_b WHERE i.value IN ('nobody', '0') AND j.value IN ('nobody', '0')),
          'matched malformed, pinned, seen malformed', 'two malformed values are one by a pinned link alone');
SELECT is_empty('SELECT * FROM cxm.identity_check()', 'as the solver of everything says');
-- who are known twice over and then have a user id each are kept apart for two reasons; the link that came first keeps the one it met
SELECT cxm.identify('{"user_id": "why-2"}', verified => true, message_id => 'why-1');
SELECT cxm.link('device_id', 'why-d', 'email', 'why@x.org', verified => true);
SELECT cxm.identify('{"device_id": "why-d", "user_id": "why-2"}', message_id => 'why-2');
SELECT cxm.identify('{"user_id": "why-1", "email": "why@x.org"}', message_id => 'why-3');
SELECT is((SELECT string_agg(l.refused, ', ') FROM cx.link AS l JOIN cx.identifier AS i ON i.identifier_id IN (l.identifier_a, l.identifier_b)
           WHERE i.value = 'why-d' AND l.refused IS NOT NULL), 'unverified', 'a profile that grows keeps what its links say');
SELECT is_empty('SELECT * FROM cxm.identity_check()', 'which is no difference');
UPDATE cx.link SET refused = 'never' WHERE refused = 'unverified' AND evidence = 'why-2';
SELECT results_eq('SELECT kind, stored, expected FROM cxm.identity_check()', $$VALUES ('refused', 'never', 'unique')$$, 'a reason that there is not is one');
UPDATE cx.link SET refused = 'unique' WHERE refused = 'never' AND evidence = 'why-2';

-- namespaces
SELECT throws_ok($$SELECT cxm.add_namespace('Wallet', 1)$$, '42602', NULL, 'a name has lower-case letters');
SELECT throws_ok($$SELECT cxm.add_namespace('wallet', 50)$$, '23505', NULL, 'a rank is given once');
SELECT throws_ok($$SELECT cxm.add_namespace('wallet', NULL)$$, '22023', NULL, 'and not left out');
SELECT throws_ok($$SELECT cxm.add_namespace('wallet', 0)$$, '22023', NULL, 'and counts from 1');
SELECT lives_ok($$SELECT cxm.add_namespace('wallet', 25, 'Wallet pass')$$, 'a namespace of yours');
SELECT throws_ok($$SELECT cxm.add_namespace('wallet', 26)$$, '23505', NULL, 'added once');
SELECT throws_ok($$SELECT cxm.add_namespace('card', 26, max_per_profile => 0)$$, '22023', 'a limit of namespace "card" must be above zero', 'a limit counts from 1');
SELECT throws_ok($$SELECT cxm.add_namespace('card', 26, max_per_profile => 1, max_window => '-1 day')$$, '22023', 'a limit of namespace "card" must be above zero', 'a window too');
SELECT throws_ok($$SELECT cxm.add_namespace('card', 26, max_window => '1 day')$$, '22023', 'namespace "card" cannot have a window without a limit', 'and has a limit');
-- a window longer than microseconds can say is one of 292 thousand years, not an error of every writer
SELECT cxm.add_namespace('card', 26, max_per_profile => 1, max_window => '178000000 years');
SELECT cxm.link('wallet', 'w', 'card', 'a', observed_at => '4000-01-01 BC');
SELECT cxm.link('wallet', 'w', 'card', 'b', observed_at => '280000-01-01');
SELECT is(cxm.customer('card', 'a'), cxm.customer('wallet', 'w'), 'one card');
SELECT isnt(cxm.customer('card', 'b'), cxm.customer('wallet', 'w'), 'and no other for ever');

SELECT * FROM finish();
ROLLBACK;
