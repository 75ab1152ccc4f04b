-- cxm.store_check() finds damage of every kind
BEGIN;
SELECT plan(52);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;

SELECT cxm.identify('{"email": ["s1@x.org", "s2@x.org"]}', '{"name": "S"}', message_id => 's');
SELECT cxm.track('x', '{"email": "s1@x.org"}', touchpoint => 't', location => 'l', product => 'p', employee => 'e', message_id => 's');
SELECT cxm.record_purchase(1, '{"email": "s1@x.org"}', touchpoint => 't', location => 'l', product => 'p', employee => 'e', message_id => 's');
SELECT cxm.record_spend(1, touchpoint => 't', location => 'l', product => 'p', message_id => 's');
SELECT cxm.add_alert_rule('low', 'nps', 0, 6);
SELECT cxm.record_feedback('nps', 1, '{"email": "s1@x.org"}', touchpoint => 't', location => 'l', product => 'p', employee => 'e', message_id => 's');
SELECT is((SELECT count(*) FROM cx.alert), 1::bigint, 'there is an alert');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'a sound store');

-- what it says of damage that is undone again
CREATE FUNCTION pg_temp.says(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    BEGIN
        EXECUTE damage;
        SELECT string_agg(format('%s: %s (%s)', table_name, problem, row_count), '; ') INTO found FROM cxm.store_check();
        RAISE EXCEPTION USING ERRCODE = 'ZZ000';
    EXCEPTION
        WHEN SQLSTATE 'ZZ000' THEN RETURN found;
    END;
END
$$;
SELECT is(pg_temp.says(format('UPDATE cx.%s SET %I = -1', fact, ref)), format('cx.%s: %s leads nowhere in cx.%s (1)', fact, ref, left(ref, -3)), fact || ' with a wrong ' || ref)
FROM (SELECT c.relname AS fact, a.attname AS ref
      FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
      WHERE c.relnamespace = 'cx'::regnamespace AND c.relname IN ('event', 'feedback', 'purchase', 'spend', 'alert')
        AND a.attname IN ('identifier_id', 'event_type_id', 'touchpoint_id', 'location_id', 'product_id', 'employee_id', 'source_id')
      ORDER BY 1, 2) AS r;
SELECT is(pg_temp.says(format('DELETE FROM cx.%I', catalog)), said, 'a lost ' || catalog) FROM (VALUES
    ('event_type', 'cx.event: event_type_id leads nowhere in cx.event_type (1)'),
    ('touchpoint', 'cx.event: touchpoint_id leads nowhere in cx.touchpoint (1); cx.feedback: touchpoint_id leads nowhere in cx.touchpoint (1); cx.purchase: touchpoint_id leads nowhere in cx.touchpoint (1); cx.spend: touchpoint_id leads nowhere in cx.touchpoint (1)')) AS v(catalog, said);
SELECT is(pg_temp.says('UPDATE cx.feedback SET metric = ''gone'''), 'cx.feedback: metric is not in cx.metric (1)', 'a lost metric');
SELECT is(pg_temp.says($$INSERT INTO cx.profile (profile_id, canonical_id) SELECT max(profile_id) + 100, max(profile_id) + 100 FROM cx.profile;
                         UPDATE cx.profile SET canonical_id = (SELECT max(profile_id) FROM cx.profile) WHERE profile_id = cxm.customer('email', 's1@x.org');
                         INSERT INTO cx.profile (profile_id, canonical_id) SELECT max(profile_id) + 1, cxm.customer('email', 's1@x.org') FROM cx.profile;
                         UPDATE cx.profile SET canonical_id = profile_id - 100 WHERE profile_id = (SELECT max(profile_id) - 1 FROM cx.profile)$$),
          'cx.profile: canonical_id is itself merged into another profile (3)', 'profiles merged in a ring');
SELECT is(pg_temp.says($$WITH p AS (INSERT INTO cx.profile (profile_id, canonical_id) SELECT max(profile_id) + 100, max(profile_id) + 100 FROM cx.profile RETURNING profile_id)
                         UPDATE cx.identifier SET profile_id = p.profile_id FROM p WHERE value = 's2@x.org'$$),
          'cx.identifier: profile is not the one that the links give (2)', 'an identifier in the wrong profile');
SELECT is(pg_temp.says($$UPDATE cx.link SET retired_at = now(), retired_by = 'me', retired_reason = 'by hand'$$),
          'cx.identifier: profile is not the one that the links give (2)', 'a link retired behind our back');
SELECT is(pg_temp.says(format('DELETE FROM cx.%I', fact)), format('cx.message: messages of kind %s have no record (1)', kind), 'a record of kind ' || kind || ' that is gone')
FROM (VALUES ('event', 'event'), ('purchase', 'purchase'), ('spend', 'spend'), ('trait', 'traits')) AS v(fact, kind);
SELECT is(pg_temp.says($$UPDATE cx.message SET occurred_at = '2000-01-01Z' WHERE kind = 'event'$$), 'cx.message: messages of kind event have no record (1)', 'a message that looks in the wrong month');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'the damage was undone');

-- time zones
SELECT throws_ok(format('UPDATE cx.%s SET time_zone = %L', t, zone), '22023', said, format('cx.%s in "%s"', t, zone))
FROM (VALUES ('store'), ('location')) AS k(t), (VALUES
    ('Mars/Olympus', 'time zone "Mars/Olympus" is not known'), ('', 'time zone "" is not known'), ('Foo5', 'time zone "Foo5" is not known'),
    ('+02:00', 'time zone "+02:00" is not known'), ('CET', 'time zone "CET" is the name of two')) AS z(zone, said);
SELECT lives_ok($$UPDATE cx.store SET time_zone = 'europe/berlin'; UPDATE cx.location SET time_zone = 'Etc/GMT+5'; UPDATE cx.location SET time_zone = NULL$$, 'names of zones, in any case, and none');
-- as of a store that was made before they were checked
DROP TRIGGER store_zone ON cx.store;
DROP TRIGGER location_zone ON cx.location;
SELECT is(pg_temp.says($$UPDATE cx.store SET time_zone = 'Foo5'; UPDATE cx.location SET time_zone = 'Mars/Olympus'$$),
          'cx.store: time_zone is not known (1); cx.location: time_zone is not known (1)', 'zones that are none');
SELECT cxm.upgrade_store();
SELECT throws_ok(format('UPDATE cx.%s SET time_zone = ''Foo5''', t), '22023', NULL, 'checked again in cx.' || t) FROM (VALUES ('store'), ('location')) AS k(t);

SELECT * FROM finish();
ROLLBACK;
