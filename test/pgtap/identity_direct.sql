-- Single rows of the identity tables are written without a statement; whatever a user has made of the tables holds all the same
BEGIN;
SELECT plan(39);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;

-- one new person, one more identifier, two people who are one
SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd1') AS p1 \gset
SELECT cxm.link('email', 'd2@x.org', 'anonymous_id', 'd2') AS p2 \gset
SELECT ok(:p1::bigint < :p2::bigint, 'two people');
SELECT is(cxm.link('anonymous_id', 'd3', 'email', 'd2@x.org'), :p2::bigint, 'one more identifier');
SELECT is(cxm.link('email', 'd2@x.org', 'email', 'd1@x.org'), :p1::bigint, 'one person, the older one');
SELECT is((SELECT ARRAY[counts[5], counts[8]] FROM cx.profile WHERE profile_id = :p1::bigint), ARRAY[2, 3], 'and what it has is counted');
SELECT results_eq($$SELECT profile_id, from_profile, to_profile, cause FROM cx.identity_change WHERE identifier_id IS NULL ORDER BY change_id DESC LIMIT 1$$,
                  format('VALUES (%1$s::bigint, %1$s::bigint, %2$s::bigint, ''link'')', :p2, :p1), 'and the change noted');
SELECT is((SELECT l.created_by FROM cx.link AS l ORDER BY l.link_id DESC LIMIT 1), session_user::text, 'what is not said has its default');

-- a link that counts refuse reads no more of large people than of small ones, and changes nothing else
CREATE FUNCTION pg_temp.read() RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables WHERE schemaname = 'cx' AND relname IN ('link', 'identifier', 'profile');
$$;
CREATE FUNCTION pg_temp.fill(prefix text, emails integer, visitors integer) RETURNS void LANGUAGE sql AS $$
    SELECT cxm.link_identifiers(cxm.source_id('app'), array_agg(CASE WHEN g <= emails THEN 'email' ELSE 'anonymous_id' END ORDER BY g),
                                array_agg(prefix || g || CASE WHEN g <= emails THEN '@x.org' ELSE '' END ORDER BY g), array_fill(false, ARRAY[emails + visitors]),
                                ARRAY(SELECT 1 + g / 2 FROM generate_series(0, 2 * (emails + visitors) - 3) AS g),
                                ARRAY(SELECT CASE g % 2 WHEN 0 THEN 1 ELSE 2 + g / 2 END FROM generate_series(0, 2 * (emails + visitors) - 3) AS g),
                                array_fill(timestamptz '2024-01-01', ARRAY[emails + visitors - 1]))
    FROM generate_series(1, emails + visitors) AS g;
$$;
SELECT pg_temp.fill('large', 4, 2000), pg_temp.fill('other', 2, 2000);
SELECT cxm.link('email', 'large1@x.org', 'anonymous_id', 'large_new'), cxm.link('email', 'other1@x.org', 'anonymous_id', 'other_new');
CREATE TABLE pg_temp.labels AS SELECT i.identifier_id, i.profile_id, p.canonical_id FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id);
SELECT pg_temp.read() AS before \gset
SELECT cxm.link('anonymous_id', 'large9', 'email', 'other1@x.org', observed_at => now() + interval '1 minute');
SELECT cmp_ok(pg_temp.read() - :before, '<', 60::bigint, 'a refused link between people of 2,000 reads no more than a few rows');
SELECT is((SELECT refused FROM cx.link ORDER BY link_id DESC LIMIT 1), 'limit', 'it says why it does not hold');
SELECT is((SELECT count(*) FROM pg_temp.labels AS l JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p ON p.profile_id = i.profile_id
           WHERE (l.profile_id, l.canonical_id) IS DISTINCT FROM (i.profile_id, p.canonical_id)), 0::bigint, 'and everybody is who they were');
SELECT cxm.link('email', 'large2@x.org', 'email', 'new1@x.org', observed_at => now() + interval '2 minutes');
SELECT isnt(cxm.link('email', 'large2@x.org', 'email', 'new2@x.org', observed_at => now() + interval '3 minutes'), cxm.customer('email', 'new2@x.org'), 'a new identifier that is one too many is somebody else');
SELECT is_empty('SELECT * FROM cxm.identity_check()', 'which is what all links say');

-- what a verified link proves of one end holds though the other, of the same person by hand, is in quarantine
SELECT cxm.link('email', 'known1@x.org', 'phone', '+4930123451', verified => true), cxm.link('email', 'known2@x.org', 'anonymous_id', 'known2');
SELECT cxm.link('email', 'known1@x.org', 'email', 'known2@x.org'), cxm.link('loyalty_id', 'null', 'phone', '+4930123452');
WITH pinned AS (INSERT INTO cx.link (identifier_a, identifier_b, kind, source_id, observed_at)
                SELECT min(identifier_id), max(identifier_id), 'pinned', cxm.source_id('desk'), now() FROM cx.identifier WHERE value IN ('null', 'known2@x.org') RETURNING link_id)
SELECT array_agg(link_id) AS pinned FROM pinned \gset
SELECT cxm.resolve_links(:'pinned');
SELECT is(cxm.customer('email', 'known1@x.org'), cxm.customer('email', 'known2@x.org'), 'one known, one not: one person');
SELECT cxm.link('loyalty_id', 'null', 'email', 'known2@x.org', verified => true);
SELECT isnt(cxm.customer('email', 'known1@x.org'), cxm.customer('email', 'known2@x.org'), 'two known, and nothing verified between them: two people');

-- triggers
CREATE TABLE pg_temp.fired (what text);
CREATE FUNCTION pg_temp.note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO pg_temp.fired VALUES (TG_TABLE_NAME || ' ' || lower(TG_OP)); RETURN NEW; END$$;
CREATE TRIGGER note AFTER INSERT ON cx.link FOR EACH ROW EXECUTE FUNCTION pg_temp.note();
SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd4');
CREATE TRIGGER note BEFORE INSERT ON cx.identifier FOR EACH ROW EXECUTE FUNCTION pg_temp.note();
SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd5');
CREATE TRIGGER note AFTER UPDATE ON cx.profile FOR EACH ROW EXECUTE FUNCTION pg_temp.note();
SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd6');
SELECT results_eq('SELECT what, count(*) FROM pg_temp.fired GROUP BY what ORDER BY what', $$VALUES ('identifier insert', 2::bigint), ('link insert', 3), ('profile update', 1)$$, 'triggers fire from the statement on that they exist');
DROP TRIGGER note ON cx.link;
DROP TRIGGER note ON cx.identifier;
DROP TRIGGER note ON cx.profile;
SELECT is(cxm.link('email', 'd1@x.org', 'anonymous_id', 'd7'), :p1::bigint, 'and no longer');
SELECT is((SELECT count(*) FROM pg_temp.fired), 6::bigint, 'than that');

-- defaults and columns
ALTER TABLE cx.link ALTER COLUMN reason SET DEFAULT 'by the shop';
SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd8');
SELECT is((SELECT reason FROM cx.link ORDER BY link_id DESC LIMIT 1), 'by the shop', 'a default of yours');
CREATE FUNCTION public.d_reason() RETURNS text LANGUAGE sql VOLATILE AS $$SELECT 'by a function'$$;
ALTER TABLE cx.link ALTER COLUMN reason SET DEFAULT public.d_reason();
SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd9');
SELECT is((SELECT reason FROM cx.link ORDER BY link_id DESC LIMIT 1), 'by a function', 'and one by a function of yours');
ALTER TABLE cx.link ALTER COLUMN reason SET DEFAULT '';
SAVEPOINT wide;
ALTER TABLE cx.link ADD COLUMN d_seen integer NOT NULL DEFAULT 7;
SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd10');
SELECT is((SELECT d_seen FROM cx.link ORDER BY link_id DESC LIMIT 1), 7, 'a column of yours');
ROLLBACK TO wide;

SELECT throws_ok($$SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd10', observed_at => '-infinity')$$, '22008', 'time -infinity is not finite', 'a link was seen at some time');

-- constraints and indexes
ALTER TABLE cx.link ADD CONSTRAINT d_evidence CHECK (evidence <> 'bad');
SELECT throws_ok($$SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd11', evidence => 'bad')$$, '23514', NULL, 'a check of yours');
SELECT is((SELECT count(*) FROM cx.identifier WHERE value = 'd11'), 0::bigint, 'and nothing is left of what it refused');
SELECT is(cxm.link('email', 'd1@x.org', 'anonymous_id', 'd11', evidence => 'good'), :p1::bigint, 'what it lets through');
ALTER TABLE cx.link DROP CONSTRAINT d_evidence;
ALTER TABLE cx.link ALTER COLUMN probability SET DEFAULT 7;
SELECT throws_ok($$SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd12')$$, '23514', NULL, 'a default of yours that a check of ours refuses');
ALTER TABLE cx.link ALTER COLUMN probability DROP DEFAULT;
CREATE UNIQUE INDEX d_one ON cx.identifier (created_at) WHERE namespace = 'device_id';
SELECT cxm.link('email', 'd1@x.org', 'device_id', 'd1');
SELECT throws_ok($$SELECT cxm.link('email', 'd1@x.org', 'device_id', 'd2')$$, '23505', NULL, 'a unique index of yours');
DROP INDEX cx.d_one;
SELECT is(cxm.link('email', 'd1@x.org', 'device_id', 'd2'), :p1::bigint, 'gone again');
CREATE INDEX d_lower ON cx.identifier (lower(value));
SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'D12');
SET LOCAL enable_seqscan = off;
SELECT is((SELECT count(*) FROM cx.identifier WHERE lower(value) = 'd12'), 1::bigint, 'an index of yours has the new rows');
RESET enable_seqscan;
DROP INDEX cx.d_lower;
SAVEPOINT bare;
DROP INDEX cx.link_live_b_idx;
SELECT is(cxm.link('email', 'd1@x.org', 'anonymous_id', 'd13'), :p1::bigint, 'one of ours that is not there is missed by nobody');
ROLLBACK TO bare;

-- a transaction that may only read
SELECT throws_ok($$SET LOCAL transaction_read_only = on; SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd14')$$, '25006', NULL, 'read only');

-- whoever may write, and what
CREATE ROLE cxm_test_direct;
SELECT cxm.grant_store('cxm_test_direct', 'writer');
SET LOCAL ROLE cxm_test_direct;
SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd15') AS by_writer \gset
RESET ROLE;
SELECT is(:by_writer::bigint, :p1::bigint, 'a writer');
REVOKE UPDATE ON cx.profile FROM cxm_test_direct;
SET LOCAL ROLE cxm_test_direct;
CREATE FUNCTION pg_temp.try(query text) RETURNS text LANGUAGE plpgsql AS $$BEGIN EXECUTE query; RETURN 'done'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END$$;
SELECT pg_temp.try($$SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd16')$$) AS answer \gset
RESET ROLE;
SELECT is(:'answer'::text, '42501', 'who may not change profiles');
SELECT cxm.grant_store('cxm_test_direct', 'writer');
ALTER TABLE cx.identifier ENABLE ROW LEVEL SECURITY;
CREATE POLICY d_some ON cx.identifier TO cxm_test_direct USING (value NOT LIKE 'secret%');
SET LOCAL ROLE cxm_test_direct;
SELECT pg_temp.try($$SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd17')$$) AS may, pg_temp.try($$SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'secret')$$) AS may_not \gset
RESET ROLE;
SELECT is(:'may'::text, 'done', 'row security lets some through');
SELECT is(:'may_not'::text, '42501', 'and others not');
ALTER TABLE cx.identifier DISABLE ROW LEVEL SECURITY;
-- the rules are read so, too
ALTER TABLE cx.namespace ENABLE ROW LEVEL SECURITY;
CREATE POLICY d_some ON cx.namespace TO cxm_test_direct USING (namespace <> 'phone');
SET LOCAL ROLE cxm_test_direct;
SELECT pg_temp.try($$SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd18')$$) AS may, pg_temp.try($$SELECT cxm.link('email', 'd1@x.org', 'phone', '+4930123459')$$) AS may_not \gset
RESET ROLE;
ALTER TABLE cx.namespace DISABLE ROW LEVEL SECURITY;
SELECT is(:'may'::text, 'done', 'a namespace that the writer sees');
SELECT is(:'may_not'::text, '42704', 'and one that is hidden from them');
REVOKE USAGE ON SCHEMA cx FROM cxm_test_direct;
SET LOCAL ROLE cxm_test_direct;
SELECT pg_temp.try($$SELECT cxm.link('email', 'd1@x.org', 'anonymous_id', 'd19')$$) AS answer \gset
RESET ROLE;
SELECT is(:'answer'::text, '42501', 'who may not use the schema');
INSERT INTO cx.blocked_value (namespace, pattern) VALUES ('anonymous_id', lower('ÄRGER|kiosk|I+'));
SELECT cxm.link('email', 'd20@x.org', 'anonymous_id', v) FROM unnest(ARRAY['KIOSK', 'Ärger', 'IIi', 'kiosks']) AS v;
SELECT is((SELECT string_agg(format('%s %s', value, quarantined), ', ' ORDER BY value COLLATE "C") FROM cx.identifier WHERE value IN ('KIOSK', 'Ärger', 'IIi', 'kiosks')),
          'IIi blocked, KIOSK blocked, kiosks , Ärger blocked', 'patterns are for the whole value in lower case');

SELECT is(cxm.identity_differences(), 0::bigint, 'in the end people are who the links say');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'and the store is sound');

SELECT * FROM finish();
ROLLBACK;
