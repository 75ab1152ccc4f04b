-- How identifiers are written, what is nobody's identifier, and changing the rules of a namespace
BEGIN;
SELECT plan(105);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;

-- each namespace has its form
SELECT results_eq('SELECT namespace, form, options FROM cx.namespace WHERE form <> ''text'' ORDER BY rank', $$VALUES ('email' COLLATE "C", 'email' COLLATE "C", '{}'::jsonb), ('phone', 'phone', '{}')$$, 'forms that are shipped');
SELECT is(cxm.normalize(namespace, value), answer, format('%s %L', namespace, value)) FROM (VALUES
    ('email', ' Ann@Example.COM', 'ann@example.com'), ('email', 'none', NULL), ('phone', '0049 30 123456', '+4930123456'), ('phone', '030 123456', '030123456'), ('phone', '030x', NULL), ('phone', '000-0000', NULL),
    ('user_id', ' A1 ', 'A1'), ('user_id', repeat('a', 512), repeat('a', 512)), ('user_id', repeat('a', 513), NULL), ('user_id', '', NULL), ('no_such', ' A1 ', 'A1'), ('user_id', NULL, NULL), (NULL, 'a', NULL)) AS v(namespace, value, answer);
SELECT lives_ok($$SELECT cxm.add_namespace('office_phone', 65, 'Telephone at work', form => 'phone', options => '{"region": "DE"}')$$, 'a namespace can have a form and options');
SELECT lives_ok($$SELECT cxm.add_namespace('mailbox', 55, form => 'email', options => '{"dots": true, "plus": true, "aliases": true}')$$, 'so can another');
SELECT lives_ok($$SELECT cxm.add_namespace('firm', 95, form => 'name')$$, 'or a form alone');
SELECT is(cxm.normalize('office_phone', '030 123456'), '+4930123456', 'a number without a country is of the region');
SELECT is(cxm.normalize('mailbox', 'Ann.Lee+x@googlemail.com'), 'annlee@gmail.com', 'options count');
SELECT is(cxm.normalize('firm', 'Müller & Söhne'), 'muller sohne', 'a name');
SELECT throws_ok($$SELECT cxm.add_namespace('x', 96, form => 'number')$$, '22023', 'unknown form "number"', 'forms are known ones');
SELECT throws_ok($$SELECT cxm.add_namespace('x', 96, form => 'phone', options => '{"region": "Germany"}')$$, '22023', 'region "Germany" is not known', 'so are regions');
SELECT throws_ok($$SELECT cxm.add_namespace('x', 96, options => '{"region": "DE"}')$$, '22023', 'form "text" has no option "region"', 'and options');
SELECT throws_ok($$UPDATE cx.namespace SET form = 'number' WHERE namespace = 'email'$$, '23514', NULL, 'the table guards its forms');
SELECT throws_ok($$UPDATE cx.namespace SET options = '[]' WHERE namespace = 'email'$$, '23514', NULL, 'and its options');

-- what comes on a record: the value in its form, or as it came and marked
SELECT results_eq($$SELECT e.record, e.namespace::text COLLATE "default", e.value, e.is_malformed FROM cxm.expand_identifiers(ARRAY['{"email": ["A@x", "a@x ", " No Address ", null], "phone": 12345, "user_id": " 7 "}', NULL, '{"phone": "+49", "no_such": "1"}', '{"email": "\t", "firm": "..."}']::jsonb[]) AS e ORDER BY 1, e.rank, 3$$,
                  $$VALUES (1, 'user_id', '7', false), (1, 'email', 'No Address', true), (1, 'email', 'a@x', false), (1, 'phone', '12345', false), (3, 'phone', '+49', true), (4, 'email', NULL, false), (4, 'firm', '...', true)$$,
                  'identifiers on records');
-- a value that is kept as it came stays what it is
SELECT is_empty($$SELECT * FROM cxm.expand_identifiers(ARRAY['{"email": ["x y", "A@B"], "phone": ["+1", "0049 30 123456"], "firm": ["!", "Ö"]}']::jsonb[]) AS e
                  WHERE (cxm.normalize(e.namespace, e.value) IS NULL) <> e.is_malformed OR cxm.normalize(e.namespace, e.value) <> e.value$$, 'a value as it is kept, normalised again, gives itself, or NULL when it is malformed');
SELECT lives_ok($$SELECT cxm.track('malformed', '{"email": "not an address", "user_id": "m1"}')$$, 'a record with a malformed identifier is taken');
SELECT is((SELECT array_agg(value || ' ' || quarantined) FROM cx.identifier WHERE namespace = 'email' AND value LIKE 'not%'), ARRAY['not an address malformed'], 'and the value is kept, and flagged');
SELECT cxm.track('malformed', '{"email": "not an address", "user_id": "m2"}');
SELECT isnt(cxm.customer('user_id', 'm1'), cxm.customer('user_id', 'm2'), 'and joins nobody');
SELECT throws_ok($$SELECT cxm.track('x', '{"email": "  "}')$$, '22023', '"  " is not a usable email', 'nothing is no identifier');
SELECT throws_ok($$SELECT cxm.track('x', jsonb_build_object('user_id', repeat('a', 513)))$$, '22023', NULL, 'nor is more than 512 bytes');

-- what nobody's identifier is, from the beginning
SELECT is(cxm.is_blocked(namespace, cxm.normalize(namespace, value)), true, format('%s %s is blocked', namespace, value)) FROM (VALUES
    ('user_id', '0'), ('user_id', '-1'), ('customer_id', 'NULL'), ('user_id', 'Undefined'), ('anonymous_id', 'anonymous'), ('device_id', '00000000-0000-0000-0000-000000000000'), ('loyalty_id', 'n/a'),
    ('email', 'Test@test.com'), ('email', 'test@example.com'), ('email', 'no-reply@shop.example'), ('email', 'none@none.com'),
    ('phone', '1234567890'), ('phone', '999 9999'), ('phone', '123456'), ('phone', '0123456789'), ('phone', '+91 98765 43210'), ('loyalty_id', '1234567890'), ('pos_customer_id', '99999999')) AS v(namespace, value);
SELECT is(cxm.is_blocked(namespace, cxm.normalize(namespace, value)), false, format('%s %s is not', namespace, value)) FROM (VALUES
    ('user_id', '42'), ('customer_id', 'A1'), ('customer_id', '1234567890'), ('email', 'a@x'), ('email', 'ann@example.com'), ('email', 'tester@test.example'), ('phone', '030 1234567'), ('phone', '+49 30 1234567'), ('phone', '12346'), ('loyalty_id', '1111111')) AS v(namespace, value);
SELECT is(cxm.is_blocked('user_id', NULL), NULL, 'NULL is no value');

-- rules of one's own, which hold at once for what is there
SELECT cxm.track('x', '{"phone": "+49 30 123456", "user_id": "shop"}');
CREATE FUNCTION pg_temp.quarantined(namespace text, value text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(i.quarantined, 'free')::text FROM cx.identifier AS i WHERE i.namespace = quarantined.namespace AND i.value = cxm.normalize(quarantined.namespace, quarantined.value) $$;
SELECT rules_version AS v FROM cx.store \gset
SELECT cxm.block_value('0049 (30) 123456', 'phone', 'the shop itself') AS id \gset
SELECT is(pg_temp.quarantined('phone', '+4930123456'), 'blocked', 'a value is blocked in any spelling');
SELECT is(cxm.block_value('+4930123456', 'phone'), :id, 'once');
SELECT is((SELECT rules_version FROM cx.store), :v + 1, 'a change of the rules is counted, and no change is not');
SELECT is(cxm.block_value('+4930123456') <> :id, true, 'everywhere is another rule');
SELECT cxm.unblock('+49 30 123456', 'phone');
SELECT is(pg_temp.quarantined('phone', '+4930123456'), 'blocked', 'which goes on');
SELECT throws_ok($$SELECT cxm.unblock('+49 30 123456', 'phone')$$, '42704', 'no rule blocks "+49 30 123456" in namespace phone', 'a rule goes once');
DO $$
DECLARE
    v_detail text;
BEGIN
    PERFORM cxm.unblock('no such rule');
EXCEPTION WHEN undefined_object THEN
    GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
    PERFORM set_config('cxm_test.detail', v_detail, true);
END
$$;
SELECT is(current_setting('cxm_test.detail'), 'No other rule blocks it, either.', 'an error says what there is to say');
SELECT cxm.unblock('+4930123456');
SELECT is(pg_temp.quarantined('phone', '+4930123456'), 'free', 'without a rule it is free');
SELECT cxm.block_pattern('SHOP|sh.p', reason => 'ours') AS id \gset
SELECT is((SELECT reason FROM cx.blocked_value WHERE blocked_value_id = :id), 'ours', 'a pattern');
SELECT is(pg_temp.quarantined('user_id', 'shop'), 'blocked', 'fits');
SELECT is(cxm.is_blocked('user_id', 'a shop'), false, 'the whole value only');
SELECT cxm.unblock('SHOP|sh.p');
SELECT throws_ok($$SELECT cxm.block_pattern('a(')$$, '2201B', 'pattern "a(" is not a regular expression', 'a pattern is one');
SELECT throws_ok($$SELECT cxm.block_pattern('a)|(b')$$, '2201B', NULL, 'by itself');
SELECT throws_ok($$SELECT cxm.block_pattern('')$$, '22023', NULL, 'and not empty');
SELECT throws_ok($$SELECT cxm.block_pattern(NULL)$$, '22023', NULL, 'nor NULL');
SELECT throws_ok($$SELECT cxm.block_value(' ')$$, '22023', NULL, 'a value is not empty');
SELECT throws_ok($$SELECT cxm.block_value(NULL)$$, '22023', NULL, 'nor NULL');
SELECT throws_ok($$SELECT cxm.block_value('x', 'no_such')$$, '22023', 'unknown identifier namespace "no_such"', 'a namespace is known');
SELECT is(cxm.is_blocked('email', 'spam@spam.example'), false, 'a malformed value can be blocked, too') FROM cxm.block_value('SPAM', 'email');
SELECT is(cxm.is_blocked('email', 'spam'), true, 'as it came');

-- people fall apart by a rule, and come together without it
SELECT cxm.track('x', '{"user_id": "b1", "phone": "+49 30 654321"}'), cxm.track('x', '{"anonymous_id": "b2", "phone": "+49 30 654321"}');
SELECT is(cxm.customer('user_id', 'b1'), cxm.customer('anonymous_id', 'b2'), 'one person by a number');
SELECT cxm.block_value('030654321', 'phone'), cxm.block_value('+4930654321', 'phone');
SELECT isnt(cxm.customer('user_id', 'b1'), cxm.customer('anonymous_id', 'b2'), 'two when it is blocked');
SELECT cxm.unblock('+49 30 654321', 'phone');
SELECT is(cxm.customer('user_id', 'b1'), cxm.customer('anonymous_id', 'b2'), 'one again');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'a sound store');

-- rules of a namespace
SELECT cxm.set_namespace('loyalty_id', rank => 35, max_per_profile => 2, max_window => '1 year', is_unique => true, max_links => 7);
SELECT results_eq('SELECT rank, max_per_profile, max_window, is_unique, max_links FROM cx.namespace WHERE namespace = ''loyalty_id''', $$VALUES (35, 2, interval '1 year', true, 7)$$, 'what is given changes');
SELECT cxm.set_namespace('loyalty_id', max_links => 0);
SELECT results_eq('SELECT rank, max_per_profile, max_window, is_unique, max_links FROM cx.namespace WHERE namespace = ''loyalty_id''', $$VALUES (35, 2, interval '1 year', true, NULL::integer)$$, 'what is not stays; 0 is no limit');
SELECT cxm.set_namespace('loyalty_id', max_per_profile => 0, is_unique => false);
SELECT results_eq('SELECT max_per_profile, max_window, is_unique FROM cx.namespace WHERE namespace = ''loyalty_id''', $$VALUES (NULL::integer, NULL::interval, false)$$, 'a window goes with its limit');
SELECT rules_version AS v FROM cx.store \gset
SELECT cxm.set_namespace('loyalty_id');
SELECT is((SELECT rules_version FROM cx.store), :v, 'nothing is no change');
SELECT throws_ok($$SELECT cxm.set_namespace('no_such', 1)$$, '22023', 'unknown identifier namespace "no_such"', 'unknown');
SELECT throws_ok($$SELECT cxm.set_namespace('phone', rank => 0)$$, '22023', NULL, 'ranks count from 1');
SELECT throws_ok($$SELECT cxm.set_namespace('phone', rank => 50)$$, '23505', 'rank 50 cannot be given to namespace "phone"', 'and are given once');
SELECT throws_ok($$SELECT cxm.set_namespace('phone', max_links => -1)$$, '22023', NULL, 'limits are not below zero');
SELECT throws_ok($$SELECT cxm.set_namespace('loyalty_id', max_window => '1 day')$$, '22023', NULL, 'a window needs a limit');
SELECT lives_ok($$SELECT cxm.set_namespace('device_id', form => 'phone', options => '{"region": "US"}')$$, 'a form changes while nothing is there');
SELECT throws_ok($$SELECT cxm.set_namespace('device_id', options => '{"region": "XX"}')$$, '22023', NULL, 'options are checked');
SELECT lives_ok($$SELECT cxm.set_namespace('phone', options => '{"region": "DE"}')$$, 'or where it makes no difference to what is there');
SELECT throws_ok($$SELECT cxm.set_namespace('phone', form => 'name')$$, '55000', 'values of namespace "phone" cannot be normalised differently', 'but not where it does');
SELECT results_eq('SELECT form, options FROM cx.namespace WHERE namespace = ''phone''', $$VALUES ('phone' COLLATE "C", '{"region": "DE"}'::jsonb)$$, 'then all stays as it was');

-- who may
CREATE ROLE cxm_test_writer;
CREATE ROLE cxm_test_reader;
SELECT cxm.grant_store('cxm_test_writer', 'writer');
SELECT cxm.grant_store('cxm_test_reader');
SET LOCAL ROLE cxm_test_writer;
SELECT is(cxm.is_blocked('email', 'test@test.com'), true, 'a writer goes by the rules');
SELECT throws_ok(statement, '42501', NULL, 'a writer cannot: ' || statement) FROM unnest(ARRAY['SELECT cxm.block_value(''x'')', 'SELECT cxm.block_pattern(''x'')', 'SELECT cxm.unblock(''null'')', 'SELECT cxm.set_namespace(''phone'', 1)']) AS statement;
RESET ROLE;
SET LOCAL ROLE cxm_test_reader;
SELECT is(cxm.normalize('email', 'A@x'), 'a@x', 'a reader normalises');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
