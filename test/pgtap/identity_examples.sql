-- Who is who in the cases that other products publish, and in those that their users complain of
BEGIN;
SELECT plan(47);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;

-- the person of an identifier, by name
CREATE FUNCTION pg_temp.people(VARIADIC vals text[]) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT string_agg(i.value, ' ' ORDER BY i.value COLLATE "C")
    FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id)
    WHERE p.canonical_id IN (SELECT q.canonical_id FROM cx.identifier AS j JOIN cx.profile AS q USING (profile_id) WHERE j.value = ANY (vals))
    GROUP BY p.canonical_id ORDER BY 1;
$$;
CREATE FUNCTION pg_temp.refused(a text, b text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT coalesce(l.refused, 'nothing'), ', ')
    FROM cx.link AS l JOIN cx.identifier AS x ON x.identifier_id = l.identifier_a JOIN cx.identifier AS y ON y.identifier_id = l.identifier_b
    WHERE l.retired_at IS NULL AND (x.value, y.value) IN ((a, b), (b, a));
$$;
CREATE FUNCTION pg_temp.take_back(VARIADIC ids text[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT cxm.retire_stale_links(cxm.source_id('app'), ids, NULL, 'test');
$$;
CREATE FUNCTION pg_temp.by_hand(a text, b text, kind text) RETURNS bigint LANGUAGE sql AS $$
    WITH added AS (
        INSERT INTO cx.link (identifier_a, identifier_b, kind, source_id, observed_at, reason)
        SELECT least(x.identifier_id, y.identifier_id), greatest(x.identifier_id, y.identifier_id), by_hand.kind, cxm.source_id('desk'), '2024-06-01', 'test'
        FROM cx.identifier AS x, cx.identifier AS y WHERE x.value = a AND y.value = b
        RETURNING link_id
    )
    SELECT a.link_id FROM added AS a;
$$;
CREATE FUNCTION pg_temp.rules() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    UPDATE cx.store SET rules_version = rules_version + 1;
    RETURN cxm.resolve_all();
END
$$;

-- ---- a limit, user_id 1 (Segment): the second user does not take the address along
LOCK TABLE cx.namespace IN ACCESS EXCLUSIVE MODE;
UPDATE cx.namespace SET is_unique = false, max_per_profile = 1 WHERE namespace = 'user_id';
UPDATE cx.namespace SET max_per_profile = 5 WHERE namespace IN ('email', 'anonymous_id');
SELECT pg_temp.rules();
SELECT cxm.identify('{"user_id": "abc123", "email": "jane@example1.com"}', at => '2024-01-01', message_id => 'e1') AS jane \gset
SELECT cxm.identify('{"user_id": "abc456", "email": "jane@example1.com"}', at => '2024-01-02', message_id => 'e2') AS other \gset
SELECT set_eq($$SELECT pg_temp.people('abc123', 'abc456')$$, ARRAY['abc123 jane@example1.com', 'abc456'], 'jane@ stays with abc123, abc456 is somebody new');
SELECT isnt(:jane::bigint, :other::bigint, 'and identify() says who');
SELECT is(pg_temp.refused('abc456', 'jane@example1.com'), 'limit', 'the link is kept, and says why it does not hold');
SELECT is(pg_temp.refused('abc123', 'jane@example1.com'), 'nothing', 'the older one holds');
-- Segment cannot go back; here the later statement takes the place of the one that was withdrawn
SELECT pg_temp.take_back('e1');
SELECT set_eq($$SELECT pg_temp.people('abc123', 'abc456')$$, ARRAY['abc123', 'abc456 jane@example1.com'], 'the first statement withdrawn, the second holds');
-- told late of something earlier: the older wins, though it came last
SELECT cxm.identify('{"user_id": "abc123", "email": "jane@example1.com"}', at => '2023-12-31', message_id => 'e0');
SELECT set_eq($$SELECT pg_temp.people('abc123', 'abc456')$$, ARRAY['abc123 jane@example1.com', 'abc456'], 'what was earlier wins, whenever it comes');
-- five addresses, not six; all of the sixth's other things stay with it
SELECT cxm.identify(jsonb_build_object('user_id', 'five', 'email', 'five' || n || '@x'), at => '2024-01-01'::timestamptz + n * interval '1 day') FROM generate_series(1, 6) AS n;
SELECT set_eq($$SELECT pg_temp.people('five', 'five6@x')$$, ARRAY['five five1@x five2@x five3@x five4@x five5@x', 'five6@x'], 'five addresses, not six');
SELECT is((SELECT p.counts[n.namespace_id] FROM cx.profile AS p, cx.namespace AS n WHERE p.profile_id = cxm.customer('user_id', 'five') AND n.namespace = 'email'), 5, 'counted on the profile');
-- a weaker limit, tried out
UPDATE cx.namespace SET max_per_profile = 6 WHERE namespace = 'email';
SELECT pg_temp.rules();
SELECT set_eq($$SELECT pg_temp.people('five', 'five6@x')$$, ARRAY['five five1@x five2@x five3@x five4@x five5@x five6@x'], 'a rule made wider holds for what is there');
UPDATE cx.namespace SET max_per_profile = 2 WHERE namespace = 'email';
SELECT pg_temp.rules();
SELECT set_eq($$SELECT pg_temp.people('five', 'five3@x', 'five4@x', 'five5@x', 'five6@x')$$, ARRAY['five five1@x five2@x', 'five3@x', 'five4@x', 'five5@x', 'five6@x'], 'and one made tighter too: none is left in breach');
-- a sliding window: two in a week
UPDATE cx.namespace SET max_window = '7 days' WHERE namespace = 'email';
SELECT pg_temp.rules();
SELECT cxm.identify('{"user_id": "week", "email": "week1@x"}', at => '2024-03-01');
SELECT cxm.identify('{"user_id": "week", "email": "week2@x"}', at => '2024-03-05');
SELECT cxm.identify('{"user_id": "week", "email": "week3@x"}', at => '2024-03-07');
SELECT cxm.identify('{"user_id": "week", "email": "week4@x"}', at => '2024-03-08');
SELECT set_eq($$SELECT pg_temp.people('week', 'week3@x')$$, ARRAY['week week1@x week2@x week4@x', 'week3@x'], 'the third within seven days is refused, one on the eighth day is not');
UPDATE cx.namespace SET max_window = NULL, max_per_profile = 5 WHERE namespace = 'email';
UPDATE cx.namespace SET is_unique = true WHERE namespace = 'user_id';
SELECT pg_temp.rules();

-- ---- the log of ids (Segment's id_graph_updates): (p1, p1, page) (p2, p2, page) (p2, p1, identify)
SELECT cxm.track('page', '{"anonymous_id": "g1"}', at => '2024-01-01', message_id => 'g-e1');
SELECT cxm.track('page', '{"anonymous_id": "g2"}', at => '2024-01-02', message_id => 'g-e3');
SELECT cxm.customer('anonymous_id', 'g1') AS g1, cxm.customer('anonymous_id', 'g2') AS g2, coalesce(max(change_id), 0) AS change FROM cx.identity_change \gset
SELECT cxm.identify('{"anonymous_id": ["g1", "g2"]}', at => '2024-01-03', message_id => 'g-e4');
SELECT results_eq('SELECT profile_id, identifier_id, from_profile, to_profile, cause FROM cx.identity_change WHERE change_id > ' || :change,
                  format('VALUES (%s::bigint, NULL::bigint, %s::bigint, %s::bigint, ''link'')', :g2::bigint, :g2::bigint, :g1::bigint), 'p2 is p1 from now on, by a link');
SELECT is((SELECT l.evidence FROM cx.identity_change AS c JOIN cx.link AS l USING (link_id) WHERE c.change_id > :change), 'g-e4', 'and by which');
SELECT is((SELECT canonical_id FROM cx.profile WHERE profile_id = :g2), :g1::bigint, 'the canonical id is the oldest');
SELECT pg_temp.take_back('g-e4');
SELECT results_eq('SELECT profile_id, from_profile, to_profile, cause FROM cx.identity_change WHERE change_id > ' || :change || ' ORDER BY change_id OFFSET 1',
                  format('VALUES (%s::bigint, %s::bigint, %s::bigint, ''retired'')', :g2::bigint, :g1::bigint, :g2::bigint), 'and back again, by the link that was taken back');

-- ---- unique identifiers (Snowplow, Adobe): two values are two people, whatever stands between them
SELECT cxm.identify('{"customer_id": "C1", "email": "c1@x"}', at => '2024-01-01');
SELECT cxm.identify('{"customer_id": "C2", "phone": "+49301111"}', at => '2024-01-01');
SELECT cxm.identify('{"email": "c1@x", "phone": "+49301111"}', at => '2024-01-02');
SELECT set_eq($$SELECT pg_temp.people('C1', 'C2')$$, ARRAY['C1 c1@x', '+49301111 C2'], 'a chain between two customers breaks at its weakest link');
SELECT is(pg_temp.refused('c1@x', '+49301111'), 'unique', 'which says why');
-- both sign in at one device: it stays with the first, and the second is not pulled in
SELECT cxm.identify('{"customer_id": "C1", "device_id": "till"}', verified => true, at => '2024-02-01');
SELECT cxm.identify('{"customer_id": "C2", "device_id": "till"}', verified => true, at => '2024-02-02');
SELECT set_eq($$SELECT pg_temp.people('C1', 'C2')$$, ARRAY['C1 c1@x till', '+49301111 C2'], 'two who sign in at one device stay two');
-- not even by hand
SELECT cxm.resolve_links(ARRAY[pg_temp.by_hand('C1', 'C2', 'pinned')]);
SELECT set_eq($$SELECT pg_temp.people('C1', 'C2')$$, ARRAY['C1 c1@x till', '+49301111 C2'], 'not even when somebody pins them together');
SELECT is(pg_temp.refused('C1', 'C2'), 'unique', 'the pin says why');
UPDATE cx.namespace SET is_unique = false, max_per_profile = NULL WHERE namespace = 'customer_id';
SELECT pg_temp.rules();
SELECT set_eq($$SELECT pg_temp.people('C1', 'C2')$$, ARRAY['+49301111 C1 C2 c1@x till'], 'once the rule is gone the pin holds, and with it the rest');
UPDATE cx.namespace SET is_unique = true, max_per_profile = 1 WHERE namespace = 'customer_id';
SELECT pg_temp.rules();
SELECT set_eq($$SELECT pg_temp.people('C1', 'C2')$$, ARRAY['C1 c1@x till', '+49301111 C2'], 'and back');

-- ---- an event that nobody vouches for does not join two known people (Unomi): typing an address into a form
SELECT cxm.identify('{"email": "vera@x", "device_id": "vera phone"}', verified => true, at => '2024-01-01');
SELECT cxm.identify('{"email": "victor@x", "device_id": "victor phone"}', verified => true, at => '2024-01-01');
SELECT cxm.track('form', '{"email": "vera@x", "device_id": "victor phone"}', at => '2024-02-01');
SELECT set_eq($$SELECT pg_temp.people('vera@x', 'victor@x')$$, ARRAY['vera phone vera@x', 'victor phone victor@x'], 'somebody else''s address in a form joins nobody');
SELECT is(pg_temp.refused('vera@x', 'victor phone'), 'unverified', 'and says why');
-- a visitor who is not known yet is no danger
SELECT cxm.track('form', '{"email": "vera@x", "anonymous_id": "cookie"}', at => '2024-02-02');
SELECT set_eq($$SELECT pg_temp.people('vera@x', 'cookie')$$, ARRAY['cookie vera phone vera@x'], 'a visitor whom nobody knows yet is joined');
SELECT cxm.identify('{"email": "vera@x", "device_id": "victor phone"}', verified => true, at => '2024-02-03', message_id => 'sign-in');
SELECT set_eq($$SELECT pg_temp.people('vera@x', 'victor@x')$$, ARRAY['cookie vera phone vera@x victor phone victor@x'], 'one who signs in there is');
SELECT pg_temp.take_back('sign-in');
SELECT set_eq($$SELECT pg_temp.people('vera@x', 'victor@x')$$, ARRAY['cookie vera phone vera@x', 'victor phone victor@x'], 'until that is taken back');
SELECT is((SELECT count(*) FROM cx.profile WHERE profile_id IN (cxm.customer('email', 'vera@x'), cxm.customer('email', 'victor@x')) AND is_known), 2::bigint, 'both are known');

-- ---- values that are nobody's (Segment, Tealium, AlpineIQ): what is typed at the till
DELETE FROM cx.blocked_value;
INSERT INTO cx.blocked_value (namespace, value, pattern, reason) VALUES
    ('phone', '1234567890', NULL, 'typed at the till'), ('email', 'test@test.com', NULL, 'typed at the till'), (NULL, NULL, '[0-]*', 'nothing'),
    (NULL, '-1', NULL, 'nothing'), (NULL, 'null', NULL, 'nothing'), (NULL, 'anonymous', NULL, 'nothing'), (NULL, 'undefined', NULL, 'nothing'), (NULL, NULL, 'unknown|not set', 'nothing')
ON CONFLICT DO NOTHING;
SELECT pg_temp.rules();
SELECT cxm.identify(jsonb_build_object('loyalty_id', 'fake' || n, 'phone', '1234567890', 'email', 'TEST@test.com')) FROM generate_series(1, 20) AS n;
SELECT cxm.identify(jsonb_build_object('loyalty_id', 'none' || v || n, 'device_id', v)) FROM unnest(ARRAY['null', 'NULL', '-1', '000', '0-0', 'Anonymous', 'undefined', 'Not Set']) AS v, generate_series(1, 2) AS n;
SELECT is((SELECT count(DISTINCT cxm.customer('loyalty_id', 'fake' || n)) FROM generate_series(1, 20) AS n), 20::bigint, 'twenty who gave the same false number are twenty');
SELECT is((SELECT count(DISTINCT l.link_id) FILTER (WHERE l.refused = 'blocked') || ' of ' || count(DISTINCT l.link_id)
           FROM cx.link AS l JOIN cx.identifier AS i ON i.identifier_id IN (l.identifier_a, l.identifier_b) WHERE i.value IN ('1234567890', 'test@test.com')), '41 of 41',
          'what they gave is kept, and says why it does not hold');
SELECT results_eq($$SELECT DISTINCT quarantined COLLATE "default" FROM cx.identifier WHERE value IN ('1234567890', 'test@test.com', 'null', 'NULL', '-1', '000', '0-0', 'Anonymous', 'undefined', 'Not Set')$$, ARRAY['blocked'], 'each of them is quarantined');
SELECT is((SELECT count(*) FROM cx.identifier WHERE value IN ('1234567890', 'test@test.com', 'null', 'NULL', '-1', '000', '0-0', 'Anonymous', 'undefined', 'Not Set')), 10::bigint, 'all ten, in any case of letters');
SELECT is((SELECT quarantined FROM cx.identifier WHERE value = '+49301111'), NULL, 'a pattern is for the whole value');
SELECT is((SELECT count(DISTINCT p.canonical_id) FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE i.value LIKE 'none%'), 16::bigint, 'and joins nobody');
DELETE FROM cx.blocked_value WHERE value = '1234567890' OR namespace = 'phone' AND '1234567890' ~ ('^(?:' || pattern || ')$');
UPDATE cx.namespace SET max_per_profile = NULL, max_links = NULL WHERE namespace IN ('loyalty_id', 'phone');
SELECT pg_temp.rules();
SELECT is((SELECT count(DISTINCT cxm.customer('loyalty_id', 'fake' || n)) FROM generate_series(1, 20) AS n), 1::bigint, 'no longer blocked and without limits they are one');

-- ---- values that turn out to be everybody's (Senzing): the phone of the shop
UPDATE cx.namespace SET max_per_profile = 5 WHERE namespace = 'loyalty_id';
UPDATE cx.namespace SET max_links = 3 WHERE namespace = 'phone';
SELECT pg_temp.rules();
SELECT cxm.identify(jsonb_build_object('loyalty_id', 'shop' || n, 'phone', '+49309999'), message_id => 'shop' || n) FROM generate_series(1, 3) AS n;
SELECT is((SELECT count(DISTINCT cxm.customer('loyalty_id', 'shop' || n)) FROM generate_series(1, 3) AS n), 1::bigint, 'three cards with one phone are one');
SELECT cxm.identify('{"anonymous_id": "visitor", "phone": "+49309999"}', message_id => 'visitor');
UPDATE cx.namespace SET max_per_profile = NULL WHERE namespace = 'anonymous_id';
SELECT pg_temp.rules();
SELECT is((SELECT quarantined FROM cx.identifier WHERE value = '+49309999'), NULL, 'visitors, of which one may be many, do not count');
SELECT cxm.identify('{"loyalty_id": "shop4", "phone": "+49309999"}', message_id => 'shop4');
SELECT is((SELECT quarantined FROM cx.identifier WHERE value = '+49309999'), 'generic', 'a fourth makes it the phone of the shop');
SELECT set_eq($$SELECT pg_temp.people('shop1', 'shop2', 'shop3', 'shop4', 'visitor', '+49309999')$$, ARRAY['shop1', 'shop2', 'shop3', 'shop4', 'visitor', '+49309999'], 'and all are apart, those before too');
SELECT cxm.resolve_links(ARRAY[pg_temp.by_hand('shop1', '+49309999', 'pinned')]);
SELECT set_eq($$SELECT pg_temp.people('shop1', 'shop2', 'shop3', 'shop4')$$, ARRAY['+49309999 shop1', 'shop2', 'shop3', 'shop4'], 'somebody may pin it to one of them');
SELECT pg_temp.take_back('shop2');
SELECT set_eq($$SELECT pg_temp.people('shop1', 'shop2', 'shop3', 'shop4')$$, ARRAY['+49309999 shop1 shop3 shop4 visitor', 'shop2'], 'with three it is a phone again');

-- ---- what people decided survives every recompute (Reltio)
SELECT cxm.identify('{"email": ["twin1@x", "twin2@x"]}', at => '2024-01-01');
SELECT cxm.resolve_links(ARRAY[pg_temp.by_hand('twin1@x', 'twin2@x', 'never')]);
SELECT set_eq($$SELECT pg_temp.people('twin1@x', 'twin2@x')$$, ARRAY['twin1@x', 'twin2@x'], 'kept apart by hand');
SELECT cxm.identify('{"email": ["twin1@x", "twin2@x"], "phone": "+49305555"}', verified => true, at => '2023-01-01');
SELECT cxm.resolve_all();
SELECT isnt(cxm.customer('email', 'twin1@x'), cxm.customer('email', 'twin2@x'), 'whatever anybody says later');
SELECT is((SELECT bool_and(p.is_kept_apart) FROM cx.profile AS p WHERE p.profile_id IN (cxm.customer('email', 'twin1@x'), cxm.customer('email', 'twin2@x'))), true, 'as the profiles note');
SELECT is(pg_temp.refused('twin1@x', 'twin2@x'), 'never, nothing', 'every statement against it says why, the decision itself holds');

SELECT is(cxm.identity_differences(), 0::bigint, 'link by link is all at once');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'the store is sound');
SELECT * FROM finish();
ROLLBACK;
