-- Invitations: states, tokens, consent and channels, jobs, triggers and steps; fatigue rules against a plain
-- restatement over random histories with merges; quotas; what roles may do.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SELECT no_plan();

CREATE FUNCTION new_survey(key text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM cxm.create_survey(jsonb_build_object('key', new_survey.key, 'name', new_survey.key, 'default_language', 'en',
        'questions', '[{"key": "nps", "type": "nps", "text": {"en": "How likely?"}}]'::jsonb));
    PERFORM cxm.publish_survey(new_survey.key);
    RETURN (SELECT s.survey_id FROM cx.survey AS s WHERE s.key = new_survey.key);
END $$;
CREATE FUNCTION id(email text) RETURNS bigint LANGUAGE sql AS $$ SELECT cxm.known_identifier('email', email) $$;
CREATE TEMPORARY TABLE s AS SELECT new_survey('main') AS main, new_survey('other') AS other;
DO $$ BEGIN PERFORM cxm.set_consent_policy('*', '*', true); END $$;

---- the state machine: every pair of states is tried

CREATE TEMPORARY TABLE state AS SELECT unnest('{scheduled,sent,opened,responded,expired,revoked,bounced,suppressed}'::text[]) AS state;
CREATE FUNCTION moves(from_state text, to_state text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO cx.invitation (survey_id, identifier_id, purpose, state, asked_for, send_at, expires_at, sent_at, responded_at, suppressed_by)
    VALUES ((SELECT main FROM s), (SELECT min(identifier_id) FROM cx.identifier), 'survey', from_state, now(), now(), now() + interval '1 day',
            CASE WHEN from_state IN ('sent', 'opened') THEN now() END, CASE from_state WHEN 'responded' THEN now() END,
            CASE from_state WHEN 'suppressed' THEN 'consent' END)
    RETURNING invitation_id INTO v_id;
    UPDATE cx.invitation SET state = to_state, sent_at = now(), responded_at = CASE to_state WHEN 'responded' THEN now() END,
                             suppressed_by = CASE to_state WHEN 'suppressed' THEN 'consent' END
    WHERE invitation_id = v_id;
    RETURN true;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    RETURN false;
END $$;
DO $$ BEGIN PERFORM cxm.identify('{"email": "state@shop.test"}'); END $$;
SELECT bag_eq($$ SELECT f.state || ' to ' || t.state FROM state AS f, state AS t WHERE f.state <> t.state AND moves(f.state, t.state) $$,
    $$ VALUES ('scheduled to sent'), ('scheduled to opened'), ('scheduled to responded'), ('scheduled to expired'), ('scheduled to revoked'), ('scheduled to bounced'),
              ('scheduled to suppressed'), ('sent to opened'), ('sent to responded'), ('sent to expired'), ('sent to revoked'), ('sent to bounced'),
              ('opened to responded'), ('opened to expired'), ('opened to revoked'),
              ('bounced to sent'), ('bounced to opened'), ('bounced to responded'), ('bounced to expired'), ('bounced to revoked') $$,
    'of all moves these are possible');
DELETE FROM cx.invitation;

---- tokens

CREATE TEMPORARY TABLE i AS SELECT * FROM cxm.invite((SELECT main FROM s), '{"email": "ann@shop.test"}');
SELECT matches((SELECT token FROM i), '^[A-Za-z0-9_-]{43}$', 'a token is 32 bytes as base64url');
SELECT is((SELECT count(DISTINCT cxm.random_token())::integer FROM generate_series(1, 1000)), 1000, 'no two are alike');
SELECT is((SELECT array_agg(DISTINCT c ORDER BY c)::text FROM (SELECT substr(cxm.random_token(), 1 + i % 43, 1) AS c FROM generate_series(1, 20000) AS i) AS x),
          (SELECT array_agg(c ORDER BY c)::text FROM (SELECT substr('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', i, 1) AS c FROM generate_series(1, 64) AS i) AS x),
          'every character comes');
CREATE FUNCTION found_in(needle text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    t record;
    n bigint;
    hits text := '';
BEGIN
    FOR t IN SELECT c.oid::regclass AS name FROM pg_class AS c WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind = 'r' LOOP
        EXECUTE format('SELECT count(*) FROM %s AS r WHERE strpos(r::text, $1) > 0 OR strpos(r::text, encode(convert_to($1, ''UTF8''), ''hex'')) > 0', t.name) INTO n USING needle;
        hits := hits || CASE WHEN n > 0 THEN t.name || ' ' ELSE '' END;
    END LOOP;
    RETURN hits;
END $$;
SELECT is(found_in((SELECT token FROM i)), '', 'a token stands in no table');
SELECT isnt(found_in('ann@shop.test'), '', 'while an address is found');
SELECT is((SELECT t.token_hash FROM cx.invitation_token AS t), sha256((SELECT token FROM i)::bytea), 'its hash does');
SELECT is((SELECT r.invitation_id FROM cxm.redeem_token((SELECT token FROM i)) AS r), (SELECT invitation_id FROM i), 'it opens its invitation');
SELECT is((SELECT n.state FROM cx.invitation AS n), 'opened', 'which is opened');
SELECT throws_ok(format('SELECT cxm.redeem_token(%L)', overlay((SELECT token FROM i) PLACING CASE substr((SELECT token FROM i), 7, 1) WHEN 'a' THEN 'b' ELSE 'a' END FROM 7 FOR 1)), 'CX001', 'the token is not known', 'one character off: unknown');
SELECT throws_ok(format('SELECT cxm.redeem_token(%L)', (SELECT token FROM i) || ' '), 'CX001', NULL, 'one blank more: unknown');
SELECT throws_ok('SELECT cxm.redeem_token(NULL)', 'CX001', NULL, 'none: unknown');
SELECT throws_ok(format('SELECT cxm.redeem_token(%L)', repeat('a', 1000000)), 'CX001', NULL, 'a megabyte: unknown');
SELECT throws_ok('SELECT cxm.redeem_token(E''\\x01\\\\ä'')', 'CX001', NULL, 'whatever else: unknown');
SELECT lives_ok(format('SELECT cxm.complete_invitation(%s, 7)', (SELECT invitation_id FROM i)), 'it is used');
SELECT is((SELECT r.response_id FROM cxm.redeem_token((SELECT token FROM i)) AS r), 7::bigint, 'a used one says by what');
SELECT lives_ok(format('SELECT cxm.complete_invitation(%s, 7)', (SELECT invitation_id FROM i)), 'the same response may say so again');
SELECT throws_ok(format('SELECT cxm.complete_invitation(%s, 8)', (SELECT invitation_id FROM i)), '55000', NULL, 'another may not');
SELECT throws_ok('SELECT cxm.complete_invitation(-1, 8)', 'P0002', NULL, 'nor to an invitation that is none');
DROP TABLE i;
CREATE TEMPORARY TABLE i AS SELECT * FROM cxm.invite((SELECT main FROM s), '{"email": "ann@shop.test"}', send_at => now() - interval '2 days', expires_in => '1 day');
SELECT throws_ok(format('SELECT cxm.redeem_token(%L)', (SELECT token FROM i)), 'CX002', 'the invitation has expired', 'an expired one is refused');
SELECT is(cxm.expire_invitation_batch(10), 1::bigint, 'the job ends it');
SELECT throws_ok(format('SELECT cxm.redeem_token(%L)', (SELECT token FROM i)), 'CX002', NULL, 'and it stays refused');
DROP TABLE i;
CREATE TEMPORARY TABLE i AS SELECT * FROM cxm.invite((SELECT main FROM s), '{"email": "ann@shop.test"}');
SELECT is(cxm.revoke_invitations(ARRAY[(SELECT invitation_id FROM i)], 'wrong person'), 1::bigint, 'an invitation is taken back');
SELECT throws_ok(format('SELECT cxm.redeem_token(%L)', (SELECT token FROM i)), 'CX003', NULL, 'its token is refused');
SELECT is(cxm.revoke_invitations(ARRAY[(SELECT invitation_id FROM i)], 'again'), 0::bigint, 'once');

---- terms

SELECT throws_ok('SELECT cxm.invite(-1, ''{"email": "ann@shop.test"}'')', '42704', NULL, 'no such survey');
SELECT throws_ok(format('SELECT cxm.invite(%s, ''{"email": "ann@shop.test"}'', %s)', main, x), e, NULL, 'refused: ' || x)
FROM s, (VALUES ('''{}''', '22023'), ('''{pigeon}''', '42704'), ('NULL, ''Not A Name''', '42602'), ('NULL, ''review_ask''', '22023'), ('NULL, send_at => ''infinity''', '22008'),
                ('NULL, expires_in => ''0''', '22023'), ('NULL, attributes => ''[]''', '22023'), ('NULL, reminders => -1', '22023'),
                ('NULL, reminders => 1, remind_every => NULL', '22023')) AS x(x, e);
SELECT throws_ok(format('SELECT cxm.invite(%s, %L)', main, x), e, NULL, 'nobody: ' || x) FROM s, (VALUES ('{}', '22004'), ('null', '22004'), ('{"shoe": "9"}', '22023'), ('7', '22023')) AS x(x, e);
SELECT is((SELECT b FROM cxm.invite_batch((SELECT main FROM s), '{}') AS b)::text, '(0,0,0,0)', 'nobody at all is fine');
SELECT is((SELECT b FROM cxm.invite_batch((SELECT main FROM s), '{-1,-2}') AS b)::text, '(0,0,0,2)', 'unknown ones are told');

---- channel by consent and address

DO $$
BEGIN
    PERFORM cxm.set_consent_policy('*', '*', false);
    PERFORM cxm.identify('{"email": "both@shop.test", "phone": "+4930123451"}');
    PERFORM cxm.record_consent('{"email": "both@shop.test"}', 'sms', 'survey', true, now() - interval '1 day');
    PERFORM cxm.record_consent('{"email": "mail@shop.test"}', 'sms', 'survey', true, now() - interval '1 day');
    PERFORM cxm.identify('{"email": "none@shop.test"}');
END $$;
SELECT is((SELECT array[n.state, n.channel, n.suppressed_by] FROM cxm.invite((SELECT main FROM s), '{"email": "both@shop.test"}', '{email,sms}') AS n), '{scheduled,sms,NULL}', 'the first channel with consent');
SELECT is((SELECT array[n.state, n.channel, n.suppressed_by] FROM cxm.invite((SELECT main FROM s), '{"email": "mail@shop.test"}', '{email,sms}') AS n), '{suppressed,NULL,address}', 'consent without an address');
SELECT is((SELECT array[n.state, n.channel, n.suppressed_by] FROM cxm.invite((SELECT main FROM s), '{"email": "none@shop.test"}', '{email,sms}') AS n), '{suppressed,NULL,consent}', 'no consent');
SELECT is((SELECT array[n.state, n.channel, n.suppressed_by] FROM cxm.invite((SELECT main FROM s), '{"email": "none@shop.test"}') AS n), '{sent,NULL,NULL}', 'what is handed over needs none');
SELECT is((SELECT count(*)::integer FROM cx.invitation AS n LEFT JOIN cx.invitation_token AS t USING (invitation_id) WHERE n.state = 'suppressed' AND t.token_hash IS NOT NULL), 0, 'what is suppressed has no token');

---- sending, what providers say, reminders

DELETE FROM cx.invitation;
DO $$ BEGIN PERFORM cxm.set_consent_policy('*', '*', true); END $$;
CREATE FUNCTION state_of(email text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(n.state, ' ' ORDER BY n.invitation_id) FROM cx.invitation AS n WHERE n.identifier_id = id(email) $$;
DO $$
BEGIN
    PERFORM cxm.invite((SELECT main FROM s), jsonb_build_object('email', e || '@shop.test'), '{email}', send_at => now() - interval '1 minute', reminders => 2, remind_every => '1 day')
    FROM unnest('{sent,open,bounce,dead,stop,late}'::text[]) AS e;
    PERFORM cxm.record_consent('{"email": "stop@shop.test"}', '*', '*', false, now());
    PERFORM cxm.invite((SELECT main FROM s), '{"email": "future@shop.test"}', '{email}', send_at => now() + interval '1 day');
END $$;
SELECT is(cxm.send_invitation_batch(100), 5::bigint, 'what is due goes out');
SELECT is(cxm.send_invitation_batch(100), 0::bigint, 'once');
SELECT is(state_of('stop@shop.test'), 'suppressed', 'but not to somebody who withdrew meanwhile');
SELECT is(state_of('future@shop.test'), 'scheduled', 'and not before its time');
CREATE TEMPORARY TABLE c AS SELECT * FROM cxm.claim_deliveries(100);
SELECT is((SELECT count(*)::integer FROM c WHERE payload #>> '{secret,token}' ~ '^[A-Za-z0-9_-]{43}$' AND payload ->> 'survey' = 'main'), 5, 'senders get a token');
CREATE FUNCTION delivery(email text) RETURNS bigint LANGUAGE sql AS $$ SELECT max(delivery_id) FROM c WHERE identifier_id = id(email) $$;
DO $$
BEGIN
    PERFORM cxm.acknowledge_delivery(delivery(e || '@shop.test'), e) FROM unnest('{sent,open,bounce,late}'::text[]) AS e;
    PERFORM cxm.fail_delivery(delivery('dead@shop.test'), 'no such mailbox', true);
    PERFORM cxm.record_delivery_status('open', 'opened');
    PERFORM cxm.record_delivery_status('bounce', 'bounced_hard');
END $$;
SELECT is(state_of('sent@shop.test'), 'sent', 'sent');
SELECT is(state_of('open@shop.test'), 'opened', 'opened');
SELECT is(state_of('bounce@shop.test'), 'bounced', 'bounced');
SELECT is(state_of('dead@shop.test'), 'bounced', 'given up');
SELECT is((SELECT count(*)::integer FROM cx.invitation AS n WHERE n.remind_at IS NOT NULL), 3, 'reminders are due for those whom it reached');
SELECT is((SELECT count(*)::integer FROM cx.delivery AS d WHERE d.payload ? 'secret' AND d.state = 'sent'), 0, 'a token that was sent is not kept');
SELECT is(cxm.remind_invitation_batch(100), 0::bigint, 'none is due today');
SELECT lives_ok(format('SELECT cxm.complete_invitation(%s, 99)', (SELECT invitation_id FROM cx.invitation WHERE identifier_id = id('open@shop.test'))), 'one responds');
UPDATE cx.invitation SET remind_at = now() - interval '1 hour' WHERE remind_at IS NOT NULL;
DO $$ BEGIN PERFORM cxm.record_consent('{"email": "late@shop.test"}', 'email', 'survey', false, now()); END $$;
SELECT is(cxm.remind_invitation_batch(100), 2::bigint, 'one is reminded, one withdrew');
SELECT is((SELECT array[n.reminded, n.reminders_left] FROM cx.invitation AS n WHERE n.identifier_id = id('sent@shop.test'))::text, '{1,1}', 'and has one reminder left');
SELECT is((SELECT count(*)::integer FROM cx.invitation_token AS t JOIN cx.invitation AS n USING (invitation_id) WHERE n.identifier_id = id('sent@shop.test')), 3, 'a reminder has a token of its own');
SELECT ok((SELECT bool_and((r.r).invitation_id = n.invitation_id) FROM cx.delivery AS d JOIN cx.invitation AS n ON n.invitation_id = d.record_id
           CROSS JOIN LATERAL (SELECT cxm.redeem_token(d.payload #>> '{secret,token}') AS r) AS r WHERE d.state = 'pending' AND d.payload ->> 'reminder' = '1'), 'which opens the same invitation');
SELECT lives_ok(format('SELECT cxm.complete_invitation(%s, 98)', (SELECT invitation_id FROM cx.invitation WHERE identifier_id = id('sent@shop.test'))), 'who responds');
SELECT is((SELECT count(*)::integer FROM cx.delivery AS d WHERE d.state = 'pending'), 0, 'is reminded no more');
DROP TABLE c;

---- fatigue: random histories against a plain restatement

DELETE FROM cx.invitation;
DO $$ BEGIN PERFORM setseed(0.75); END $$;
INSERT INTO cx.fatigue_rule (name, purpose, channel, attributes, per, except_purposes, max_count, rolling_window, min_gap, action, max_delay) VALUES
    ('any',      NULL,     NULL,    '{}',               '{}',          '{thank_you,urgent}', 3,    '10 days', NULL,      'block', NULL),
    ('survey',   NULL,     NULL,    '{}',               '{survey}',    '{urgent}',           NULL, NULL,      '4 days',  'delay', '6 days'),
    ('nps',      'nps',    NULL,    '{}',               '{brand}',     '{}',                 2,    '12 days', '2 days',  'delay', '15 days'),
    ('mail',     NULL,     'email', '{}',               '{purpose}',   '{}',                 2,    '5 days',  NULL,      'block', NULL),
    ('north',    NULL,     NULL,    '{"brand": "n"}',   '{}',          '{}',                 NULL, NULL,      '36 hours', 'delay', '3 days'),
    ('disabled', NULL,     NULL,    '{}',               '{}',          '{}',                 1,    '1000 days', NULL,    'block', NULL);
UPDATE cx.fatigue_rule SET enabled = false WHERE name = 'disabled';
CREATE FUNCTION key_of(r cx.fatigue_rule, purpose text, channel text, survey integer, attributes jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('/', CASE WHEN 'purpose' = ANY (r.per) THEN coalesce(purpose, '-') END, CASE WHEN 'survey' = ANY (r.per) THEN survey::text END,
                     CASE WHEN 'brand' = ANY (r.per) THEN coalesce(attributes ->> 'brand', '-') END) $$;
CREATE FUNCTION governs(r cx.fatigue_rule, purpose text, channel text, survey integer, attributes jsonb) RETURNS boolean LANGUAGE sql AS $$
    SELECT r.enabled AND coalesce(r.purpose = purpose, true) AND (r.channel IS NULL OR (channel IS NOT NULL AND r.channel = channel))
       AND (attributes @> r.attributes) AND NOT purpose = ANY (r.except_purposes) $$;
-- is there, with this time added, a stretch shorter than the window with too many, or a pair that is too close?
CREATE FUNCTION breaks(r cx.fatigue_rule, times timestamptz[], at timestamptz) RETURNS boolean LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM unnest(times) AS t WHERE r.min_gap IS NOT NULL AND abs(extract(epoch FROM t - at)) < extract(epoch FROM r.min_gap))
        OR (r.max_count IS NOT NULL AND EXISTS (
            SELECT FROM unnest(times || at) AS b      -- a stretch that begins at one of them and holds the new one
            WHERE b <= at AND at < b + r.rolling_window
              AND (SELECT count(*) FROM unnest(times || at) AS t WHERE t >= b AND t < b + r.rolling_window) > r.max_count)) $$;
CREATE FUNCTION fate(person bigint, v_survey integer, v_purpose text, v_channel text, v_attributes jsonb, v_at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r cx.fatigue_rule;
    times timestamptz[];
    at timestamptz := v_at;
    next timestamptz;
    free timestamptz;
BEGIN
    LOOP
        next := at;
        FOR r IN SELECT * FROM cx.fatigue_rule ORDER BY rule_id LOOP
            CONTINUE WHEN NOT governs(r, v_purpose, v_channel, v_survey, v_attributes);
            times := ARRAY(
                SELECT n.send_at FROM cx.invitation AS n JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p USING (profile_id)
                WHERE p.canonical_id = person AND (n.state IN ('scheduled', 'sent', 'opened', 'responded') OR (n.state IN ('revoked', 'expired') AND n.sent_at IS NOT NULL))
                  AND governs(r, n.purpose, n.channel, n.survey_id, n.attributes)
                  AND key_of(r, n.purpose, n.channel, n.survey_id, n.attributes) = key_of(r, v_purpose, v_channel, v_survey, v_attributes));
            CONTINUE WHEN NOT breaks(r, times, at);
            IF r.action = 'block' THEN
                RETURN 'suppressed';
            END IF;
            SELECT min(c) INTO free
            FROM (SELECT t + d AS c FROM unnest(times) AS t, unnest(ARRAY[r.min_gap, r.rolling_window]) AS d) AS c
            WHERE c >= at AND NOT breaks(r, times, c);
            IF free > v_at + r.max_delay THEN
                RETURN 'suppressed';
            END IF;
            next := greatest(next, free);
        END LOOP;
        IF next = at THEN
            RETURN to_char(at, 'YYYY-MM-DD HH24');
        END IF;
        at := next;
    END LOOP;
END $$;
CREATE TEMPORARY TABLE tried (number integer, expected text, got text, merged integer);
DO $$
DECLARE
    who jsonb;
    at timestamptz;
    purpose text;
    channels text[];
    survey integer;
    attributes jsonb;
    expected text;
    got record;
    merged integer := 0;
BEGIN
    PERFORM cxm.identify(jsonb_build_object('loyalty_id', 'f' || i)) FROM generate_series(1, 24) AS i;
    FOR number IN 1 .. 600 LOOP
        who := jsonb_build_object('loyalty_id', 'f' || 1 + floor(random() * 24));
        CASE floor(random() * 12)
            WHEN 0 THEN
                BEGIN
                    PERFORM cxm.merge('loyalty_id', who ->> 'loyalty_id', 'loyalty_id', 'f' || 1 + floor(random() * 24), 'test');
                    merged := merged + 1;
                EXCEPTION WHEN OTHERS THEN NULL;
                END;
            WHEN 1 THEN
                PERFORM cxm.unmerge(ARRAY(SELECT l.link_id FROM cx.link AS l WHERE l.retired_at IS NULL AND l.kind = 'pinned' ORDER BY random() LIMIT 1), 'test')
                WHERE EXISTS (SELECT FROM cx.link AS l WHERE l.retired_at IS NULL AND l.kind = 'pinned') AND random() < 0.7;
            WHEN 2 THEN
                PERFORM cxm.revoke_invitations(ARRAY(SELECT n.invitation_id FROM cx.invitation AS n WHERE n.state IN ('scheduled', 'sent') ORDER BY random() LIMIT 1), 'test');
            ELSE
                at := timestamptz '2030-01-01' + floor(random() * 24 * 30) * interval '1 hour';
                purpose := (ARRAY['nps', 'survey', 'urgent'])[1 + floor(random() * 3)];
                channels := CASE WHEN random() < 0.5 THEN '{web_chat}'::text[] END;
                survey := CASE WHEN random() < 0.5 THEN (SELECT main FROM s) ELSE (SELECT other FROM s) END;
                attributes := CASE floor(random() * 3) WHEN 0 THEN '{"brand": "n"}' WHEN 1 THEN '{"brand": "s"}' ELSE '{}' END;
                expected := fate(cxm.customer('loyalty_id', who ->> 'loyalty_id'), survey, purpose, channels[1], attributes, at);
                got := cxm.invite(survey, who, channels, purpose, at, attributes => attributes);
                INSERT INTO tried VALUES (number, expected, CASE got.state WHEN 'suppressed' THEN 'suppressed' ELSE to_char(got.send_time, 'YYYY-MM-DD HH24') END, merged);
        END CASE;
    END LOOP;
END $$;
SELECT is_empty('SELECT * FROM tried WHERE expected IS DISTINCT FROM got', 'each is asked, moved or suppressed as the rules say');
SELECT ok((SELECT count(*) FILTER (WHERE got = 'suppressed') > 50 AND count(*) FILTER (WHERE got <> 'suppressed') > 100 AND max(merged) > 10 FROM tried)
          AND (SELECT count(*) > 20 FROM cx.invitation WHERE state <> 'suppressed' AND send_at > asked_for), 'which happens to many, with merges between');
SELECT is_empty('SELECT * FROM cx.invitation WHERE state = ''suppressed'' AND (rule_id IS NULL OR NOT detail ?& ''{rule,free_at,nearest}'')', 'who is suppressed knows by which rule, and when it would be free');

SELECT is((SELECT b FROM cxm.invite_batch((SELECT main FROM s), '{}', NULL, 'nps') AS b)::text, '(0,0,0,0)', 'nobody at all is fine under rules, too');
-- a batch comes to the same as one after the other
DELETE FROM cx.invitation;
SELECT is((SELECT b.scheduled::text || ' ' || b.suppressed FROM cxm.invite_batch((SELECT main FROM s), ARRAY(SELECT i.identifier_id FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id)
              WHERE i.namespace = 'loyalty_id' ORDER BY i.identifier_id), NULL, 'nps', '2030-01-01', attributes => '{"brand": "s"}') AS b),
          (SELECT sum(least(k, 2)) || ' ' || sum(k - least(k, 2)) FROM (SELECT count(*) AS k FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id)
              WHERE i.namespace = 'loyalty_id' GROUP BY p.canonical_id) AS x),
          'in a batch, too, a person is asked no more than the rules allow');
DELETE FROM cx.invitation;
DELETE FROM cx.fatigue_rule;

SELECT throws_ok(x, e, NULL, 'refused: ' || x) FROM (VALUES ('SELECT cxm.add_fatigue_rule(''x'')', '22023'), ('SELECT cxm.add_fatigue_rule(''x'', 1)', '22023'), ('SELECT cxm.add_fatigue_rule('''', 1, ''1 day'')', '22023'),
    ('SELECT cxm.add_fatigue_rule(''x'', 0, ''1 day'')', '22023'), ('SELECT cxm.add_fatigue_rule(''x'', min_gap => ''-1 day'')', '22023'), ('SELECT cxm.add_fatigue_rule(''x'', 1, ''1 day'', attributes => ''[]'')', '22023'),
    ('SELECT cxm.enable_fatigue_rule(''nobody'')', '42704')) AS x(x, e);

-- a month has 30 days in the numbers, too
SELECT cxm.add_fatigue_rule('month', 1, '1 month');
SELECT is((cxm.invite((SELECT main FROM s), '{"email": "monthly@shop.test"}', '{email}', send_at => '2098-02-02')).state, 'scheduled', 'planned for February');
SELECT is((cxm.invite((SELECT main FROM s), '{"email": "monthly@shop.test"}', '{email}', send_at => '2098-03-03')).detail ->> 'invitations', '1', 'which counts 29 days later');
DELETE FROM cx.invitation;
DELETE FROM cx.fatigue_rule;

-- what goes out long after its time is decided again at that time
SELECT is((cxm.invite((SELECT main FROM s), '{"email": "tardy@shop.test"}', '{email}', send_at => now() - interval '9 days')).state, 'scheduled', 'planned for nine days ago');
SELECT is((cxm.invite((SELECT main FROM s), '{"email": "tardy@shop.test"}', '{email}', send_at => now() - interval '5 days')).state, 'scheduled', 'and for five');
SELECT is(cxm.add_fatigue_rule('gap', min_gap => '3 days', max_delay => '30 days') > 0, true, 'with three days between');
SELECT is(cxm.send_invitation_batch(10), 1::bigint, 'one goes today');
SELECT is((SELECT max(n.send_at) - min(n.send_at) FROM cx.invitation AS n WHERE n.identifier_id = id('tardy@shop.test') AND n.state = 'scheduled'), interval '3 days', 'the other three days later');
DELETE FROM cx.delivery;
DELETE FROM cx.invitation;
DELETE FROM cx.fatigue_rule;

---- quotas

SELECT is((SELECT array_agg(cxm.take_quota(main, '{}', r) ORDER BY r)::text FROM s, generate_series(1, 3) AS r), '{t,t,t}', 'where there is no quota all count');
SELECT is((SELECT cxm.add_quota(main, 'all', 5, stripes => 3) > 0 FROM s), true, 'five are wanted');
SELECT is((SELECT cxm.add_quota(main, 'north', 2, attributes => '{"region": "north"}') > 0 FROM s), true, 'two of them of the north');
SELECT is((SELECT array_agg(cxm.take_quota(main, '{"region": "north"}', r) ORDER BY r)::text FROM s, generate_series(11, 13) AS r), '{t,t,f}', 'the third of the north is too many');
SELECT is((SELECT sum(taken)::integer FROM cx.quota_stripe AS t JOIN cx.quota AS q USING (quota_id) WHERE q.name = 'all'), 2, 'and takes no place elsewhere');
SELECT is((SELECT array_agg(cxm.take_quota(main, '{"region": "south"}', r) ORDER BY r)::text FROM s, generate_series(21, 25) AS r), '{t,t,t,f,f}', 'three more in all');
SELECT is((SELECT array_agg(cxm.take_quota(main, '{"region": "south"}', r) ORDER BY r)::text FROM s, generate_series(21, 25) AS r), '{t,t,t,f,f}', 'asked again it is the same');
SELECT is((SELECT cxm.release_quota(21, ARRAY(SELECT quota_id FROM cx.quota))), 1, 'one gives its place back');
SELECT is((SELECT array_agg(cxm.take_quota(main, NULL, r) ORDER BY r)::text FROM s, generate_series(31, 32) AS r), '{t,f}', 'which another takes');
SELECT lives_ok('SELECT cxm.set_quota_target(quota_id, 7) FROM cx.quota WHERE name = ''all''', 'more are wanted');
SELECT is((SELECT array_agg(cxm.take_quota(main, NULL, r) ORDER BY r)::text FROM s, generate_series(41, 43) AS r), '{t,t,f}', 'and taken');
SELECT lives_ok('SELECT cxm.set_quota_target(quota_id, 3) FROM cx.quota WHERE name = ''all''', 'fewer are wanted');
SELECT is((SELECT sum(t.taken)::text || ' of ' || sum(t.capacity) FROM cx.quota_stripe AS t JOIN cx.quota AS q USING (quota_id) WHERE q.name = 'all'), '7 of 7', 'those who are in stay');
SELECT is_empty('SELECT q.quota_id FROM cx.quota AS q WHERE (SELECT sum(t.taken) FROM cx.quota_stripe AS t WHERE t.quota_id = q.quota_id) <> (SELECT count(*) FROM cx.quota_place AS p WHERE p.quota_id = q.quota_id)', 'places and counts agree');
SELECT is((SELECT cxm.add_quota(other, 'strict', 1, when_full => 'refuse') > 0 FROM s), true, 'a quota that refuses');
SELECT ok((SELECT cxm.take_quota(other, '{}', 1) FROM s), 'has one place');
SELECT throws_ok(format('SELECT cxm.take_quota(%s, ''{}'', 2)', (SELECT other FROM s)), 'CX004', NULL, 'and no second');
SELECT throws_ok('SELECT cxm.take_quota(1, ''{}'', NULL)', '22004', NULL, 'nobody takes no place');
UPDATE cx.store SET time_zone = 'America/New_York', week_start = 7;
SELECT is(cxm.quota_period(p, '2024-03-10 04:30+00'), d, p || ' in New York, weeks from Sunday') FROM (VALUES ('day', date '2024-03-09'), ('week', '2024-03-03'), ('month', '2024-03-01')) AS x(p, d);
SELECT is(cxm.quota_period('week', '2024-03-10 05:00+00'), '2024-03-10', 'a week begins at midnight there');
SELECT is((SELECT cxm.add_quota(other, 'daily', 2, period => 'day') > 0 AND cxm.set_quota_target((SELECT quota_id FROM cx.quota WHERE name = 'strict'), 100) IS NOT NULL FROM s), true, 'two a day');
SELECT is((SELECT array_agg(cxm.take_quota(other, '{}', r, timestamptz '2024-03-10 03:00+00' + (r % 2) * interval '12 hours') ORDER BY r)::text FROM s, generate_series(100, 105) AS r), '{t,t,t,t,f,f}', 'are two on each day');
-- of invitations, in a batch
SELECT is((SELECT cxm.add_quota(main, 'ask five', 5, 'invitation') > 0 AND cxm.add_quota(main, 'ask two red', 2, 'invitation', '{"colour": "red"}') > 0 FROM s), true, 'five are to be asked, two red ones');
SELECT is((SELECT b::text FROM cxm.invite_batch((SELECT main FROM s), ARRAY(SELECT identifier_id FROM cx.identifier WHERE namespace = 'loyalty_id' LIMIT 4), NULL, attributes => '{"colour": "red"}') AS b), '(2,0,2,0)', 'two red ones are');
SELECT is((SELECT b::text FROM cxm.invite_batch((SELECT main FROM s), ARRAY(SELECT identifier_id FROM cx.identifier WHERE namespace = 'loyalty_id' LIMIT 4), '{web_chat}') AS b), '(3,0,1,0)', 'and three others');
SELECT is((SELECT count(*)::integer FROM cx.invitation AS n JOIN cx.quota AS q USING (quota_id) WHERE n.suppressed_by = 'quota' AND n.detail ->> 'quota' = q.name), 3, 'who was not asked knows by which quota');
SELECT is(cxm.revoke_invitations(ARRAY(SELECT n.invitation_id FROM cx.invitation AS n WHERE n.state = 'scheduled' LIMIT 1), 'test'), 1::bigint, 'one is taken back unsent');
SELECT is((SELECT b::text FROM cxm.invite_batch((SELECT main FROM s), ARRAY(SELECT identifier_id FROM cx.identifier WHERE namespace = 'loyalty_id' LIMIT 4), NULL) AS b), '(1,0,3,0)', 'and frees a place');
SELECT is_empty('SELECT q.quota_id FROM cx.quota AS q WHERE (SELECT sum(t.taken) FROM cx.quota_stripe AS t WHERE t.quota_id = q.quota_id) <> (SELECT count(*) FROM cx.quota_place AS p WHERE p.quota_id = q.quota_id)', 'places and counts agree');
DELETE FROM cx.invitation;
DELETE FROM cx.quota;

---- triggers: what sets them off, sampling, audience

SELECT is((SELECT cxm.add_survey_trigger('bought', main, 'purchase', '{"delay": "2 days", "sample_rate": 0.3, "location": "berlin"}') > 0 FROM s), true, 'after a purchase in Berlin');
SELECT is((SELECT cxm.add_survey_trigger('unhappy', other, 'feedback', '{"metric": "csat", "score_max": 2, "channels": ["sms", "email"], "reminders": 1}') > 0 FROM s), true, 'after a bad answer');
SELECT is((SELECT cxm.add_survey_trigger('gold', other, 'event', '{"event": "Order Delivered", "audience_traits": {"tier": "gold"}, "audience_metric": "nps", "audience_score_min": 9}') > 0 FROM s), true, 'after a delivery to promoters with gold');
SELECT throws_ok(format('SELECT cxm.add_survey_trigger(%L, %s, %L, %L)', n, main, k, x), e, NULL, 'refused: ' || x)
FROM s, (VALUES ('a', 'event', '{"delai": "1 day"}', '22023'), ('a', 'visit', '{}', '22023'), ('', 'event', '{}', '22023'), ('a', 'event', '[]', '22023'), ('a', 'event', '{"sample_rate": 2}', '23514'),
    ('a', 'feedback', '{"metric": "joy"}', '42704'), ('a', 'event', '{"metric": "nps"}', '23514'), ('a', 'event', '{"channels": ["pigeon"]}', '42704'), ('bought', 'event', '{}', '23505'),
    ('a', 'event', '{"purpose": "review_ask"}', '22023'), ('a', 'feedback', '{"score_max": 3}', '23514')) AS x(n, k, x, e);
DO $$
BEGIN
    PERFORM cxm.record_purchase(10, jsonb_build_object('email', 'buyer' || i || '@shop.test'), location => CASE WHEN i % 4 = 0 THEN 'paris' ELSE 'berlin' END)
    FROM generate_series(1, 400) AS i;
    PERFORM cxm.record_purchase(10, '{"email": "history@shop.test"}', location => 'berlin', at => now() - interval '30 days');
    PERFORM cxm.record_purchase(10, NULL, location => 'berlin');
    PERFORM cxm.record_feedback('csat', i, jsonb_build_object('email', 'csat' || i || '@shop.test')) FROM generate_series(1, 5) AS i;
    PERFORM cxm.identify(jsonb_build_object('email', 'e' || i || '@shop.test'), jsonb_build_object('tier', CASE WHEN i % 2 = 0 THEN 'gold' ELSE 'none' END)) FROM generate_series(1, 4) AS i;
    PERFORM cxm.record_feedback('nps', 10, jsonb_build_object('email', 'e' || i || '@shop.test'), at => now() - interval '1 hour') FROM generate_series(1, 4) AS i;
    PERFORM cxm.record_feedback('nps', 3, jsonb_build_object('email', 'e2@shop.test'));
    PERFORM cxm.track(e, jsonb_build_object('email', 'e' || i || '@shop.test')) FROM generate_series(1, 4) AS i, unnest('{Order Delivered,Page Viewed}'::text[]) AS e;
END $$;
SELECT is((SELECT count(*)::integer FROM cx.survey_candidate), 300 + 2 + 4, 'records that meet the conditions are noted');
SELECT is((cxm.invite_candidate_batch(1000)).taken, 306::bigint, 'and dealt with');
SELECT is((cxm.invite_candidate_batch(1000)).taken, 0::bigint, 'once');
CREATE TEMPORARY TABLE got AS SELECT n.*, t.name FROM cx.invitation AS n JOIN cx.survey_trigger AS t USING (trigger_id);
SELECT is((SELECT count(*)::integer FROM got WHERE name = 'bought'), 300, 'each leaves a row');
-- 300 draws at 30 %: the exact binomial bounds of one in a million
SELECT ok((SELECT count(*) FILTER (WHERE suppressed_by IS NULL) BETWEEN 53 AND 131 FROM got WHERE name = 'bought'), 'three in ten are asked');
SELECT is((SELECT count(*)::integer FROM got WHERE name = 'bought' AND (suppressed_by IS NULL) <> (cxm.sampling_fraction('trigger ' || trigger_id || ' ' || record_id) < 0.3)), 0, 'namely those whom their purchase draws');
SELECT is((SELECT count(*)::integer FROM got WHERE suppressed_by = 'sampling' AND (detail ->> 'fraction')::float8 >= (detail ->> 'rate')::float8), (SELECT count(*)::integer FROM got WHERE state = 'suppressed'), 'the others know why not');
SELECT is((SELECT count(*)::integer FROM got WHERE name = 'bought' AND (send_at <> (SELECT p.occurred_at FROM cx.purchase AS p WHERE p.purchase_id = record_id) + interval '2 days' OR attributes ->> 'location' <> 'berlin')), 0, 'two days after the purchase');
SELECT is((SELECT array_agg(i.value ORDER BY i.value)::text FROM got JOIN cx.identifier AS i USING (identifier_id) WHERE name = 'unhappy' AND state = 'scheduled' AND channel = 'email' AND reminders_left = 1), '{csat1@shop.test,csat2@shop.test}', 'the unhappy are asked');
SELECT is((SELECT array_agg(i.value ORDER BY i.value)::text FROM got JOIN cx.identifier AS i USING (identifier_id) WHERE name = 'gold'), '{e4@shop.test}', 'and of those with gold the one who is a promoter now');
INSERT INTO cx.survey_candidate (trigger_id, record_id, identifier_id, occurred_at) SELECT trigger_id, record_id, identifier_id, now() FROM got WHERE name = 'gold';
SELECT is((SELECT array[b.taken, b.invited, b.suppressed] FROM cxm.invite_candidate_batch(1000) AS b)::text, '{1,0,0}', 'a record that comes again asks nobody again');
SELECT lives_ok('SELECT cxm.close_survey(''other'')', 'a survey closes');
DO $$ BEGIN PERFORM cxm.record_feedback('csat', 1, '{"email": "tooslow@shop.test"}'); END $$;
SELECT is((cxm.invite_candidate_batch(10)).suppressed, 1::bigint, 'who would be asked then');
SELECT is((SELECT n.suppressed_by FROM cx.invitation AS n WHERE n.identifier_id = id('tooslow@shop.test')), 'survey', 'knows that it is closed');
SELECT ok(cxm.enable_survey_trigger('unhappy', false), 'a trigger is turned off');
DO $$ BEGIN PERFORM cxm.record_feedback('csat', 1, '{"email": "off@shop.test"}'); END $$;
SELECT is((SELECT count(*)::integer FROM cx.survey_candidate), 0, 'and nothing sets it off');
-- a trigger that fails loses nothing
INSERT INTO cx.survey_candidate (trigger_id, record_id, identifier_id, occurred_at) VALUES (-7, 1, id('ann@shop.test'), now());
SELECT is((cxm.invite_candidate_batch(10)).failed, 1::bigint, 'what cannot be dealt with');
SELECT is((SELECT r.record ->> 'trigger_id' FROM cx.rejection AS r WHERE r.kind = 'invitation' AND r.state = 'open'), '-7', 'is kept');
SELECT ok(NOT (SELECT cxm.replay_rejection(r.rejection_id) FROM cx.rejection AS r WHERE r.kind = 'invitation'), 'stays open while it is wrong');
UPDATE cx.rejection SET record = jsonb_set(record, '{trigger_id}', to_jsonb((SELECT trigger_id FROM cx.survey_trigger WHERE name = 'bought'))) WHERE kind = 'invitation';
SELECT ok((SELECT cxm.replay_rejection(r.rejection_id) FROM cx.rejection AS r WHERE r.kind = 'invitation'), 'and is replayed once it is mended');

SELECT * FROM finish();
ROLLBACK;
