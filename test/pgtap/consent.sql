-- Consent: what holds against a plain restatement, over random decisions, merges and policies; refusals; privileges.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SELECT plan(24);

-- one person, by hand
SELECT ok(NOT cxm.has_consent(NULL, 'email', 'survey'), 'nobody has no consent');
DO $$ BEGIN PERFORM cxm.record_consent('{"email": "ann@shop.test"}', 'email', 'survey', true, '2024-01-01', 'form 3'); END $$;
CREATE FUNCTION ann(channel text, purpose text, at timestamptz DEFAULT 'infinity') RETURNS boolean LANGUAGE sql
AS $$ SELECT cxm.has_consent(cxm.known_identifier('email', 'ann@shop.test'), channel, purpose, at) $$;
SELECT ok(ann('email', 'survey'), 'granted');
SELECT ok(NOT ann('sms', 'survey') AND NOT ann('email', 'newsletter'), 'for this channel and purpose only');
SELECT ok(NOT ann('email', 'survey', '2023-12-31'), 'and not before');
DO $$ BEGIN PERFORM cxm.record_consent('{"email": "ann@shop.test"}', '*', '*', false, '2024-02-01'); END $$;
SELECT ok(NOT ann('email', 'survey'), 'what is withdrawn for everything is withdrawn for each');
SELECT ok(ann('email', 'survey', '2024-01-31'), 'but was granted before');
DO $$ BEGIN PERFORM cxm.record_consent('{"email": "ann@shop.test"}', 'email', '*', true, '2024-02-01'); END $$;
SELECT ok(NOT ann('email', 'survey'), 'of two decisions of one moment the withdrawal holds');
DO $$ BEGIN PERFORM cxm.record_consent('{"loyalty_id": "4711"}', 'email', 'survey', true, '2024-03-01'); END $$;
SELECT ok(NOT ann('email', 'survey'), 'what a stranger says does not count');
DO $$ BEGIN PERFORM cxm.merge('email', 'ann@shop.test', 'loyalty_id', '4711', 'test'); END $$;
SELECT ok(ann('email', 'survey'), 'until the stranger is the same person: the later grant holds');
SELECT ok((SELECT bool_and(c.conflict) FROM cx.current_consent AS c WHERE c.channel = 'email' AND c.purpose = 'survey' AND c.profile_id = cxm.customer('loyalty_id', '4711')),
          'and it is shown that the identifiers disagree');
DO $$ BEGIN PERFORM cxm.set_consent_policy('email', 'survey', true, 'strictest'); END $$;
SELECT ok(NOT ann('email', 'survey'), 'unless the policy is the strictest');
DO $$ BEGIN PERFORM cxm.unmerge('email', 'ann@shop.test', 'loyalty_id', '4711', 'test'); END $$;
SELECT ok(NOT ann('email', 'survey') AND cxm.has_consent(cxm.known_identifier('loyalty_id', '4711'), 'email', 'survey'),
          'unmerged, each has the own decision again');

-- refusals
SELECT throws_ok('SELECT cxm.record_consent(NULL, ''email'', ''survey'', true)', '22004', 'the decision has no identifier', 'nobody decides nothing');
SELECT throws_ok('SELECT cxm.record_consent(''{"email": null}'', ''email'', ''survey'', true)', '22004', 'the decision has no identifier', 'nor does a null');
SELECT throws_ok('SELECT cxm.record_consent(''{"email": "ann@shop.test"}'', ''email'', ''survey'', NULL)', '22004', NULL, 'yes or no');
SELECT throws_ok('SELECT cxm.record_consent(''{"email": "ann@shop.test"}'', ''E mail'', ''survey'', true)', '42602', NULL, 'a channel is a name');
SELECT throws_ok('SELECT cxm.record_consent(''{"email": "ann@shop.test"}'', ''email'', ''survey'', true, ''infinity'')', '22008', NULL, 'a time is finite');
SELECT throws_ok('SELECT cxm.record_consent(''{"shoe": "42"}'', ''email'', ''survey'', true)', '22023', NULL, 'an identifier has a known namespace');
SELECT throws_ok('SELECT cxm.set_consent_policy(''email'', ''survey'', true, ''loosest'')', '22023', NULL, 'a policy is one of two');
SELECT is((SELECT array[b.accepted, b.duplicates, b.rejected] FROM cxm.record_consent_batch('[
    {"identifiers": {"email": "b@shop.test"}, "channel": "sms", "purpose": "survey", "granted": true, "message_id": "1"},
    {"identifiers": {"email": "b@shop.test"}, "channel": "sms", "purpose": "survey", "granted": false, "message_id": "1"},
    {"identifiers": {"email": "b@shop.test"}, "granted": "yes", "message_id": "2"}]') AS b), '{1,1,1}', 'a batch takes what it can, each message once');
UPDATE cx.rejection SET record = record || '{"granted": true}' WHERE kind = 'consent';
SELECT ok((SELECT bool_and(cxm.replay_rejection(r.rejection_id)) FROM cx.rejection AS r WHERE r.kind = 'consent'), 'what is refused can be mended and replayed');
SELECT is((SELECT count(*)::integer FROM cx.consent AS c WHERE c.identifier_id = cxm.known_identifier('email', 'b@shop.test')), 2, 'and is stored');

-- random histories against a plain restatement
DO $$ BEGIN PERFORM setseed(0.25); END $$;
DO $$
BEGIN
    PERFORM cxm.record_consent_batch((SELECT jsonb_agg(jsonb_build_object(
        'identifiers', jsonb_build_object('loyalty_id', 'p' || floor(random() * 60)), 'granted', random() < 0.5,
        'channel', (ARRAY['*', 'email', 'sms'])[1 + floor(random() * 3)], 'purpose', (ARRAY['*', 'survey', 'news'])[1 + floor(random() * 3)],
        'at', timestamptz '2024-01-01' + floor(random() * 40) * interval '1 day')) FROM generate_series(1, 400)));
    FOR i IN 1 .. 40 LOOP
        BEGIN
            PERFORM cxm.merge('loyalty_id', 'p' || floor(random() * 60), 'loyalty_id', 'p' || floor(random() * 60), 'test');
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
END $$;
DELETE FROM cx.consent_policy;
INSERT INTO cx.consent_policy (channel, purpose, granted, on_conflict) VALUES
    ('*', '*', false, 'latest'), ('*', 'survey', true, 'latest'), ('sms', '*', true, 'strictest'), ('sms', 'survey', false, 'strictest');
CREATE FUNCTION oracle(identifier bigint, channel text, purpose text, at timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    person bigint := (SELECT p.canonical_id FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE i.identifier_id = identifier);
    is_strict boolean := oracle.channel = 'sms';
    verdict boolean;
    verdict_at timestamptz;
    own boolean;
    own_at timestamptz;
    member bigint;
    said record;
BEGIN
    FOR member IN SELECT i.identifier_id FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE p.canonical_id = person LOOP
        own := NULL;
        own_at := '-infinity';
        FOR said IN SELECT * FROM cx.consent AS c WHERE c.identifier_id = member LOOP
            CONTINUE WHEN said.channel NOT IN (oracle.channel, '*') OR said.purpose NOT IN (oracle.purpose, '*') OR said.decided_at > oracle.at;
            IF said.decided_at > own_at OR (said.decided_at = own_at AND NOT said.granted) THEN
                own := said.granted;
                own_at := said.decided_at;
            END IF;
        END LOOP;
        CONTINUE WHEN own IS NULL;
        IF verdict IS NULL OR (is_strict AND NOT own) OR (NOT is_strict AND (own_at > verdict_at OR (own_at = verdict_at AND NOT own))) THEN
            verdict := own;
            verdict_at := own_at;
        END IF;
    END LOOP;
    RETURN coalesce(verdict, CASE WHEN oracle.purpose = 'survey' THEN oracle.channel <> 'sms' ELSE oracle.channel = 'sms' END);
END $$;
CREATE TEMPORARY TABLE verdict AS
SELECT c.identifier_id, c.channel, w.purpose, w.at, c.granted, oracle(c.identifier_id, c.channel, w.purpose, w.at) AS expected
FROM (VALUES ('survey', timestamptz 'infinity'), ('survey', '2024-01-15'), ('news', 'infinity'), ('other', '2024-01-20')) AS w(purpose, at)
CROSS JOIN LATERAL cxm.consent_of(ARRAY(SELECT identifier_id FROM cx.identifier), '{email,sms,push}', w.purpose, w.at) AS c;
SELECT is_empty('SELECT * FROM verdict WHERE granted IS DISTINCT FROM expected', 'what holds is what the rules say');
SELECT ok((SELECT count(*) FILTER (WHERE granted) > 100 AND count(*) FILTER (WHERE NOT granted) > 100
                  AND count(*) = 12 * (SELECT count(*) FROM cx.identifier) FROM verdict), 'of both there are many, and a row each');

SELECT * FROM finish();
ROLLBACK;
