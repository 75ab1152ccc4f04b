-- What the ingest functions take, refuse and keep
BEGIN;
SELECT plan(142);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;
UPDATE cx.store SET time_zone = 'Europe/Berlin';

-- what the single form raises: '00000' when it takes the record
CREATE FUNCTION pg_temp.single(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE 'SELECT cxm.' || call;
        RAISE EXCEPTION USING ERRCODE = 'ZZ000';
    EXCEPTION
        WHEN SQLSTATE 'ZZ000' THEN RETURN '00000';
        WHEN OTHERS THEN RETURN SQLSTATE;
    END;
END
$$;
-- what the batch form says of one record
CREATE FUNCTION pg_temp.batch(call text, record jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    counts record;
    state text;
BEGIN
    BEGIN
        EXECUTE format('SELECT * FROM cxm.%I($1)', call) INTO counts USING jsonb_build_array(record);
        SELECT r.sqlstate INTO state FROM cx.rejection AS r ORDER BY r.rejection_id DESC LIMIT 1;
        RAISE EXCEPTION USING ERRCODE = 'ZZ000';
    EXCEPTION
        WHEN SQLSTATE 'ZZ000' THEN
            RETURN CASE WHEN (counts.accepted, counts.duplicates, counts.rejected) = (1, 0, 0) THEN '00000'
                        WHEN (counts.accepted, counts.duplicates, counts.rejected) = (0, 0, 1) THEN state
                        ELSE counts::text END;
    END;
END
$$;

-- single and batch give the same verdict
CREATE TEMPORARY TABLE verdict (sqlstate text, single text, form text, record jsonb, what text);
INSERT INTO verdict VALUES
    ('00000', 'track(''x'')', 'track_batch', '{"event": "x"}', 'an event alone'),
    ('22004', 'track('''')', 'track_batch', '{"event": ""}', 'an empty event'),
    ('22004', 'track(NULL)', 'track_batch', '{"event": null}', 'no event'),
    ('22001', 'track(repeat(''x'', 513))', 'track_batch', jsonb_build_object('event', repeat('x', 513)), 'an event too long for a key'),
    ('00000', 'track(repeat(''x'', 512))', 'track_batch', jsonb_build_object('event', repeat('x', 512)), 'the longest event'),
    ('00000', 'track(''x'', ''null'')', 'track_batch', '{"event": "x", "identifiers": null}', 'JSON null identifiers'),
    ('00000', 'track(''x'', ''{}'')', 'track_batch', '{"event": "x", "identifiers": {}}', 'no identifiers'),
    ('00000', 'track(''x'', ''{"email": null}'')', 'track_batch', '{"event": "x", "identifiers": {"email": null}}', 'an unknown e-mail'),
    ('00000', 'track(''x'', ''{"email": [null, null]}'')', 'track_batch', '{"event": "x", "identifiers": {"email": [null, null]}}', 'nulls in a list'),
    ('22023', 'track(''x'', ''[]'')', 'track_batch', '{"event": "x", "identifiers": []}', 'identifiers as a list'),
    ('22023', 'track(''x'', ''"a"'')', 'track_batch', '{"event": "x", "identifiers": "a"}', 'identifiers as a string'),
    ('22023', 'track(''x'', ''{"fax": "1"}'')', 'track_batch', '{"event": "x", "identifiers": {"fax": "1"}}', 'an unknown namespace'),
    ('22023', 'track(''x'', ''{"": "1"}'')', 'track_batch', '{"event": "x", "identifiers": {"": "1"}}', 'an empty namespace'),
    ('22023', 'track(''x'', ''{"email": ""}'')', 'track_batch', '{"event": "x", "identifiers": {"email": ""}}', 'an empty e-mail'),
    ('00000', 'track(''x'', ''{"email": "a b@c"}'')', 'track_batch', '{"event": "x", "identifiers": {"email": "a b@c"}}', 'an e-mail with a space in it'),
    ('22023', 'track(''x'', ''{"email": "\t\n"}'')', 'track_batch', '{"event": "x", "identifiers": {"email": "\t\n"}}', 'an e-mail of white space'),
    ('22023', 'track(''x'', ''{"user_id": true}'')', 'track_batch', '{"event": "x", "identifiers": {"user_id": true}}', 'a boolean as identifier'),
    ('22023', 'track(''x'', ''{"user_id": {"a": 1}}'')', 'track_batch', '{"event": "x", "identifiers": {"user_id": {"a": 1}}}', 'an object as identifier'),
    ('22023', 'track(''x'', ''{"user_id": [["a"]]}'')', 'track_batch', '{"event": "x", "identifiers": {"user_id": [["a"]]}}', 'a list in a list as identifier'),
    ('22023', 'track(''x'', ''{"user_id": ["a", ""]}'')', 'track_batch', '{"event": "x", "identifiers": {"user_id": ["a", ""]}}', 'one bad identifier of two'),
    ('00000', 'track(''x'', ''{"user_id": 12345678901234567890123}'')', 'track_batch', '{"event": "x", "identifiers": {"user_id": 12345678901234567890123}}', 'a number as identifier'),
    ('00000', 'track(''x'', jsonb_build_object(''user_id'', repeat(''x'', 512)))', 'track_batch', jsonb_build_object('event', 'x', 'identifiers', jsonb_build_object('user_id', repeat('x', 512))), 'the longest identifier'),
    ('22023', 'track(''x'', jsonb_build_object(''user_id'', repeat(''x'', 513)))', 'track_batch', jsonb_build_object('event', 'x', 'identifiers', jsonb_build_object('user_id', repeat('x', 513))), 'too long an identifier'),
    ('00000', 'track(''x'', properties => ''null'')', 'track_batch', '{"event": "x", "properties": null}', 'JSON null properties'),
    ('22023', 'track(''x'', properties => ''[1]'')', 'track_batch', '{"event": "x", "properties": [1]}', 'properties as a list'),
    ('22008', 'track(''x'', at => ''infinity'')', 'track_batch', '{"event": "x", "at": "infinity"}', 'the end of time'),
    ('22008', 'track(''x'', at => ''-infinity'')', 'track_batch', '{"event": "x", "at": "-infinity"}', 'the beginning of time'),
    ('00000', 'track(''x'', at => ''4000-01-01 00:00Z BC'')', 'track_batch', '{"event": "x", "at": "4000-01-01 00:00Z BC"}', 'the far past'),
    ('22008', 'track(''x'', at => ''4714-11-24 00:00Z BC'')', 'track_batch', '{"event": "x", "at": "4714-11-24 00:00Z BC"}', 'a time before all months'),
    ('00000', 'track(''x'', at => now() + interval ''1 day'')', 'track_batch', jsonb_build_object('event', 'x', 'at', now() + interval '1 day'), 'as far in the future as max_future'),
    ('22008', 'track(''x'', at => now() + interval ''1 day 1 microsecond'')', 'track_batch', jsonb_build_object('event', 'x', 'at', now() + interval '1 day 1 microsecond'), 'a microsecond farther'),
    ('22023', 'track(''x'', message_id => '''')', 'track_batch', '{"event": "x", "message_id": ""}', 'an empty message_id'),
    ('22023', 'track(''x'', message_id => repeat(''x'', 1025))', 'track_batch', jsonb_build_object('event', 'x', 'message_id', repeat('x', 1025)), 'too long a message_id'),
    ('22023', 'track(''x'', message_id => (SELECT string_agg(md5(i::text), '''') FROM generate_series(1, 2000) AS i))', 'track_batch',
        jsonb_build_object('event', 'x', 'message_id', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 2000) AS i)), 'a message_id that fits no index'),
    ('00000', 'track(''x'', touchpoint => '''')', 'track_batch', '{"event": "x", "touchpoint": ""}', 'an empty touchpoint is none'),
    ('00000', 'track(E''\u00fc\u4e2d\U0001F600\x01'', touchpoint => E''\t'')', 'track_batch', E'{"event": "\u00fc\u4e2d\\u0001", "touchpoint": "\\t"}', 'control characters and Unicode'),
    ('22001', 'track(''x'', employee => repeat(''x'', 513))', 'track_batch', jsonb_build_object('event', 'x', 'employee', repeat('x', 513)), 'too long a key'),
    ('00000', 'record_feedback(''nps'', 0)', 'record_feedback_batch', '{"metric": "nps", "score": 0}', 'the lowest score'),
    ('00000', 'record_feedback(''nps'', 10.0)', 'record_feedback_batch', '{"metric": "nps", "score": 10.0}', 'the highest, with a fraction of nothing'),
    ('22003', 'record_feedback(''nps'', 11)', 'record_feedback_batch', '{"metric": "nps", "score": 11}', 'a score off the scale'),
    ('22003', 'record_feedback(''nps'', -1)', 'record_feedback_batch', '{"metric": "nps", "score": -1}', 'a negative score'),
    ('22023', 'record_feedback(''nps'', 8.5)', 'record_feedback_batch', '{"metric": "nps", "score": 8.5}', 'half a score'),
    ('22023', 'record_feedback(''nps'', ''NaN'')', 'record_feedback_batch', '{"metric": "nps", "score": "NaN"}', 'a score that is no number'),
    ('22003', 'record_feedback(''nps'', 1e400)', 'record_feedback_batch', '{"metric": "nps", "score": 1e400}', 'a score beyond double precision'),
    ('22004', 'record_feedback(''nps'', NULL)', 'record_feedback_batch', '{"metric": "nps"}', 'neither score nor comment'),
    ('22004', 'record_feedback(''nps'', NULL, comment => '''')', 'record_feedback_batch', '{"metric": "nps", "comment": ""}', 'an empty comment'),
    ('00000', 'record_feedback(''nps'', NULL, comment => ''x'')', 'record_feedback_batch', '{"metric": "nps", "comment": "x"}', 'a comment alone'),
    ('22023', 'record_feedback(''mood'', 1)', 'record_feedback_batch', '{"metric": "mood", "score": 1}', 'an unknown metric'),
    ('22023', 'record_feedback(NULL, 1)', 'record_feedback_batch', '{"score": 1}', 'no metric'),
    ('00000', 'record_feedback(''csat'', 7, scale_min => 1, scale_max => 7)', 'record_feedback_batch', '{"metric": "csat", "score": 7, "scale_min": 1, "scale_max": 7}', 'another scale'),
    ('22023', 'record_feedback(''csat'', 1, scale_min => 5, scale_max => 1)', 'record_feedback_batch', '{"metric": "csat", "score": 1, "scale_min": 5, "scale_max": 1}', 'a scale upside down'),
    ('22023', 'record_feedback(''csat'', 1, scale_max => 100)', 'record_feedback_batch', '{"metric": "csat", "score": 1, "scale_max": 100}', 'too long a scale'),
    ('22023', 'record_feedback(''csat'', 1, scale_min => -2147483648, scale_max => 2147483647)', 'record_feedback_batch', '{"metric": "csat", "score": 1, "scale_min": -2147483648, "scale_max": 2147483647}', 'a scale beyond integer'),
    ('22023', 'record_feedback(''csat'', 1, scale_min => 40000, scale_max => 40005)', 'record_feedback_batch', '{"metric": "csat", "score": 1, "scale_min": 40000, "scale_max": 40005}', 'a scale beyond smallint'),
    ('22023', 'record_feedback(''csat'', 125, scale_min => 124, scale_max => 128)', 'record_feedback_batch', '{"metric": "csat", "score": 125, "scale_min": 124, "scale_max": 128}', 'a scale beyond that of ratings'),
    ('00000', 'record_feedback(''csat'', 125, scale_min => 123, scale_max => 127)', 'record_feedback_batch', '{"metric": "csat", "score": 125, "scale_min": 123, "scale_max": 127}', 'the highest scale'),
    ('00000', 'record_purchase(0)', 'record_purchase_batch', '{"amount": 0}', 'a present'),
    ('00000', 'record_purchase(-9.99, quantity => -1)', 'record_purchase_batch', '{"amount": -9.99, "quantity": -1}', 'a return'),
    ('22004', 'record_purchase(NULL)', 'record_purchase_batch', '{"amount": null}', 'no amount'),
    ('00000', 'record_purchase(1, quantity => NULL)', 'record_purchase_batch', '{"amount": 1, "quantity": null}', 'no quantity'),
    ('22023', 'record_purchase(1, currency => ''eur'')', 'record_purchase_batch', '{"amount": 1, "currency": "eur"}', 'a currency in small letters'),
    ('22023', 'record_purchase(1, currency => '''')', 'record_purchase_batch', '{"amount": 1, "currency": ""}', 'an empty currency'),
    ('00000', 'record_purchase(1e40)', 'record_purchase_batch', '{"amount": 1e40}', 'a fortune'),
    ('22001', 'record_purchase(1, order_id => repeat(''x'', 513))', 'record_purchase_batch', jsonb_build_object('amount', 1, 'order_id', repeat('x', 513)), 'too long an order'),
    ('22004', 'identify(NULL)', 'identify_batch', '{}', 'traits of nobody'),
    ('22004', 'identify(''null'')', 'identify_batch', '{"identifiers": null}', 'traits of null'),
    ('22004', 'identify(''{}'')', 'identify_batch', '{"identifiers": {}}', 'traits of no identifier'),
    ('22004', 'identify(''{"email": [null, null], "phone": null}'')', 'identify_batch', '{"identifiers": {"email": [null, null], "phone": null}}', 'traits of nulls'),
    ('22023', 'identify(''{"email": {"a": 1}}'')', 'identify_batch', '{"identifiers": {"email": {"a": 1}}}', 'traits of an object'),
    ('22023', 'identify(''[]'')', 'identify_batch', '{"identifiers": []}', 'traits of a list'),
    ('22023', 'identify(''{"email": "a@b"}'', ''[]'')', 'identify_batch', '{"identifiers": {"email": "a@b"}, "traits": []}', 'traits as a list'),
    ('00000', 'identify(''{"email": "a@b"}'', ''null'')', 'identify_batch', '{"identifiers": {"email": "a@b"}, "traits": null}', 'no traits'),
    ('00000', 'identify(''{"email": "a@b"}'', verified => NULL)', 'identify_batch', '{"identifiers": {"email": "a@b"}, "verified": null}', 'verified or not, nobody knows');
SELECT is(pg_temp.single(single) || ' ' || pg_temp.batch(form, record), sqlstate || ' ' || sqlstate, what) FROM verdict;

-- what only JSON can say
SELECT is(pg_temp.batch(form, record), '22023', form || ' refuses ' || left(record::text, 60))
FROM (VALUES ('track_batch', 'null'::jsonb), ('track_batch', '"x"'), ('track_batch', '[]'), ('track_batch', '{"event": "x", "time": "2026-01-01"}'),
             ('track_batch', '{"event": {"a": 1}}'), ('track_batch', '{"event": "x", "touchpoint": ["a"]}'),
             ('track_batch', '{"event": "x", "at": "yesterday noon"}'), ('track_batch', '{"event": "x", "at": {}}'),
             ('record_feedback_batch', '{"metric": "nps", "score": true}'), ('record_feedback_batch', '{"metric": "nps", "score": "1e99999"}'),
             ('record_feedback_batch', '{"metric": "csat", "score": 3, "scale_min": 1.9}'),
             ('identify_batch', '{"identifiers": {"email": "a@b"}, "verified": "yes"}')) AS v(form, record);

-- what is no batch; and the batch of nothing
SELECT throws_ok($$SELECT cxm.track_batch(NULL)$$, '22023', 'a batch must be a JSON array of records, not NULL', 'NULL is no batch');
SELECT throws_ok($$SELECT cxm.identify_batch('{}')$$, '22023', 'a batch must be a JSON array of records, not object', 'nor is an object');
SELECT throws_ok($$SELECT cxm.track('x', at => NULL)$$, '22004', 'the record has no time', 'NULL is no time');
SELECT throws_ok($$SELECT cxm.track('x', source => '')$$, '22023', NULL, 'nor is the empty name one of a source');
SELECT results_eq($$SELECT * FROM cxm.track_batch('[]') UNION ALL SELECT * FROM cxm.identify_batch('[]') UNION ALL
                    SELECT * FROM cxm.record_feedback_batch('[]') UNION ALL SELECT * FROM cxm.record_purchase_batch('[]')$$,
                  $$SELECT 0::bigint, 0::bigint, 0::bigint FROM generate_series(1, 4)$$, 'a batch of nothing');

-- times without a zone are the store's local time, whatever the session's zone
SET LOCAL timezone = 'America/New_York';
SELECT cxm.track_batch('[{"event": "t", "at": "2026-01-15", "message_id": "date"}, {"event": "t", "at": "2026-03-29 02:30", "message_id": "gap"},
    {"event": "t", "at": "2026-10-25 02:30", "message_id": "twice"}, {"event": "t", "at": "2026-01-15T10:00:00Z", "message_id": "utc"},
    {"event": "t", "at": "2026-01-15 10:00+02", "message_id": "offset"}, {"event": "t", "at": "20260115T100000-0500", "message_id": "basic"},
    {"event": "t", "at": "03/04/2026", "message_id": "us"}]', 'times');
SET LOCAL timezone = 'UTC';
SELECT results_eq(
    $$SELECT message_id COLLATE "default", to_char(occurred_at, 'YYYY-MM-DD HH24:MI') FROM cx.message WHERE source_id = cxm.source_id('times') ORDER BY message_id$$,
    $$VALUES ('basic', '2026-01-15 15:00'), ('date', '2026-01-14 23:00'), ('gap', '2026-03-29 01:30'), ('offset', '2026-01-15 08:00'),
             ('twice', '2026-10-25 01:30'), ('us', '2026-03-03 23:00'), ('utc', '2026-01-15 10:00')$$,
    'local times, over the changes of the clock too');

-- a message is stored once for a source and kind
SELECT is(cxm.track('a', message_id => '1', source => 's1'), cxm.track('b', '{"user_id": "never"}', message_id => '1', source => 's1', touchpoint => 'never'),
          'sent again it is the first one');
SELECT is(cxm.customer('user_id', 'never'), NULL, 'and brings nothing with it');
SELECT isnt(cxm.track('a', message_id => '1', source => 's1'), cxm.track('a', message_id => '1', source => 's2'), 'another source has its own messages');
SELECT results_eq($$SELECT * FROM cxm.record_feedback_batch('[{"metric": "nps", "score": 1, "message_id": "1"}, {"metric": "nps", "score": 2, "message_id": "1"},
                                                              {"metric": "nps", "score": 99, "message_id": "1"}, {"metric": "nps", "score": 3}, {"metric": "nps", "score": 3}]', 's1')$$,
                  $$VALUES (3::bigint, 1::bigint, 1::bigint)$$, 'another kind too; of a message twice in the batch the first is taken');
SELECT results_eq($$SELECT score::integer FROM cx.feedback WHERE source_id = cxm.source_id('s1') ORDER BY 1$$, 'VALUES (1), (3), (3)', 'without message_id each is new');

-- nothing is lost: 40 random batches of up to 60 records, some bad, some sent before
CREATE FUNCTION pg_temp.random_record(seed bigint) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'metric', (ARRAY['nps', 'nps', 'nps', 'nps', 'csat', 'csat', 'mood', NULL])[1 + (h[1] & 7)], 'score', (h[2] & 15) - 1, 'comment', CASE WHEN h[3] & 3 = 0 THEN 'c' END,
        'message_id', CASE WHEN h[4] & 7 > 0 THEN 'm' || (h[5] & 255) END, 'at', CASE WHEN h[6] & 15 = 0 THEN 'never' ELSE '20' || 10 + (h[7] & 15) || '-06-30T23:59:59Z' END,
        'identifiers', CASE h[8] & 7 WHEN 0 THEN jsonb_build_object('email', 'p' || (h[9] & 31) || '@x.org', 'phone', 100000 + (h[10] & 31)) WHEN 1 THEN '{"fax": 1}' END))
    FROM (SELECT array_agg(hashint8extended(seed, i)) AS h FROM generate_series(1, 10) AS i) AS r
$$;
CREATE TEMPORARY TABLE sent AS
SELECT batch, n, pg_temp.random_record(batch * 1000 + n) AS record FROM generate_series(1, 40) AS batch, LATERAL generate_series(1, hashint8extended(batch, 7) & 63) AS n;
CREATE TEMPORARY TABLE said AS
SELECT b.batch, b.records, c.accepted, c.duplicates, c.rejected
FROM (SELECT batch, count(*) AS records, jsonb_agg(record ORDER BY n) AS batch_json FROM sent GROUP BY batch ORDER BY batch OFFSET 0) AS b,
     LATERAL cxm.record_feedback_batch(b.batch_json, 'random') AS c;
SELECT is_empty('SELECT * FROM said WHERE accepted + duplicates + rejected <> records', 'accepted, duplicates and rejected make the batch');
SELECT ok((SELECT sum(accepted) > 100 AND sum(duplicates) > 50 AND sum(rejected) > 100 FROM said), 'and all three happen');
SELECT is((SELECT count(*) FROM cx.feedback WHERE source_id = cxm.source_id('random')), (SELECT sum(accepted)::bigint FROM said), 'what was accepted is there');
SELECT is((SELECT count(*) FROM cx.rejection WHERE source_id = cxm.source_id('random')), (SELECT sum(rejected)::bigint FROM said), 'what was rejected is there');
SELECT is_empty($$SELECT record FROM cx.rejection WHERE source_id = cxm.source_id('random') EXCEPT SELECT record FROM sent$$, 'whole');
SELECT results_eq($$SELECT count(*) FROM cx.feedback AS f JOIN cx.message AS m ON m.kind = 'feedback' AND m.record_id = f.feedback_id AND m.occurred_at = f.occurred_at
                    WHERE f.source_id = cxm.source_id('random')$$,
                  $$SELECT count(DISTINCT record ->> 'message_id') FROM sent
                    WHERE record ->> 'metric' IN ('nps', 'csat') AND record ->> 'at' <> 'never' AND coalesce(record #>> '{identifiers,fax}', '') = ''
                      AND (record ->> 'score')::integer BETWEEN CASE record ->> 'metric' WHEN 'nps' THEN 0 ELSE 1 END AND CASE record ->> 'metric' WHEN 'nps' THEN 10 ELSE 5 END$$,
                  'each good message once');
-- mended and sent again, each refused record is taken
SELECT cxm.add_metric('mood', 'rating', -2, 8);
SELECT is((cxm.record_feedback_batch((SELECT jsonb_agg((r.record || '{"metric": "mood", "score": 1, "at": "2020-01-01T00:00:00Z"}') - 'identifiers' - 'message_id')
                                      FROM cx.rejection AS r WHERE source_id = cxm.source_id('random')), 'again')).accepted,
          (SELECT sum(rejected)::bigint FROM said), 'mended, each is taken');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'the store is sound');

-- the typed form: stored rows change, move, go; within a transaction like this one partitions are not made on demand
DO $$
BEGIN
    PERFORM cxm.ensure_partitions('event', ARRAY(SELECT make_timestamptz(2020, m, 15, 0, 0, 0) FROM generate_series(1, 4) AS m));
    PERFORM cxm.ensure_partitions('purchase', ARRAY(SELECT make_timestamptz(2020, m, 15, 0, 0, 0) FROM generate_series(1, 2) AS m));
END
$$;
SELECT is((cxm.store_events(cxm.source_id('t'), ARRAY[('k', '2020-01-31 23:59:59.999999Z', 'a', '{"user_id": "u"}', 'web', NULL, NULL, NULL, '{"a": null}', NULL, NULL)]::cxm.event_input[], upsert => true)).accepted,
          1::bigint, 'new');
SELECT is((cxm.store_events(cxm.source_id('t'), ARRAY[('k', '2020-02-01Z', 'b', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)]::cxm.event_input[], upsert => true)).updated,
          1::bigint, 'changed');
SELECT results_eq($$SELECT e.tableoid::regclass::text, y.key COLLATE "default", e.identifier_id, e.touchpoint_id, e.properties FROM cx.event AS e JOIN cx.event_type AS y USING (event_type_id) WHERE e.source_id = cxm.source_id('t')$$,
                  $$VALUES ('cx.event_2020_02', 'b', NULL::bigint, NULL::integer, NULL::jsonb)$$, 'in every column and into another month');
SELECT is((cxm.store_events(cxm.source_id('t'), ARRAY[('k', '2020-03-01Z', 'c', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), ('k', '2020-05-01Z', 'd', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
                                                      ('k', '2020-04-01Z', 'e', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)]::cxm.event_input[], upsert => true)).updated, 3::bigint, 'thrice in a batch');
SELECT results_eq($$SELECT e.tableoid::regclass::text, y.key COLLATE "default" FROM cx.event AS e JOIN cx.event_type AS y USING (event_type_id) WHERE e.source_id = cxm.source_id('t')$$,
                  $$VALUES ('cx.event_2020_04', 'e')$$, 'the last holds');
SELECT is((cxm.store_events(cxm.source_id('t'), ARRAY[('k', '2020-04-01Z', '', NULL, NULL, NULL, NULL, NULL, '{"a": null, "b": {"c": null}}', NULL, NULL)]::cxm.event_input[], upsert => true)).rejected, 1::bigint, 'refused');
SELECT is_empty($$SELECT FROM cx.event WHERE source_id = cxm.source_id('t') UNION ALL SELECT FROM cx.message WHERE source_id = cxm.source_id('t')$$, 'what the source no longer says does not stay');
SELECT is((SELECT record FROM cx.rejection WHERE source_id = cxm.source_id('t')),
          '{"message_id": "k", "at": "2020-04-01T00:00:00+00:00", "event": "", "properties": {"a": null, "b": {"c": null}}}', 'its rejection is whole, nulls within included');
SELECT is((cxm.store_events(cxm.source_id('t'), ARRAY[('k', '2020-04-01Z', 'f', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)]::cxm.event_input[], upsert => true)).accepted, 1::bigint, 'and it may come back');
SELECT is((SELECT state FROM cx.rejection WHERE source_id = cxm.source_id('t')), 'superseded', 'which closes the rejection');
SELECT is((cxm.store_feedback(cxm.source_id('t'), ARRAY[('b', now(), 'nps', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)]::cxm.feedback_input[], upsert => true)).blank,
          1::bigint, 'a blank answer of a table is no refusal');
SELECT is((cxm.store_purchases(cxm.source_id('t'), ARRAY[('p', '2020-01-01Z', NULL, NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)]::cxm.purchase_input[], upsert => true)).accepted +
          (cxm.store_purchases(cxm.source_id('t'), ARRAY[('p', '2020-02-01Z', NULL, NULL, 2, 5, 'EUR', NULL, NULL, NULL, NULL, NULL, NULL, NULL)]::cxm.purchase_input[], upsert => true)).updated, 2::bigint, 'purchases likewise');
SELECT results_eq($$SELECT tableoid::regclass::text, quantity, amount, currency COLLATE "default" FROM cx.purchase WHERE source_id = cxm.source_id('t')$$,
                  $$VALUES ('cx.purchase_2020_02', 2::numeric, 5::numeric, 'EUR')$$, 'in every column');
SELECT is(cxm.remove_records(cxm.source_id('t'), 'event', ARRAY['k', 'no such', NULL]), 1::bigint, 'records are taken back by message');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'the store is sound after all of it');

-- metrics of your own
SELECT throws_ok(format('SELECT cxm.add_metric(%s)', args), state, NULL, 'no metric: ' || args) FROM (VALUES
    ('''Mood'', ''csat'', 1, 5', '42602'), ('NULL, ''csat'', 1, 5', '42602'), ('''m'', ''ltv'', 1, 5', '22023'), ('''m'', NULL, 1, 5', '22023'),
    ('''m'', ''csat'', 5, 5', '22023'), ('''m'', ''csat'', 1, 12', '22023'), ('''m'', ''csat'', NULL, 5', '22023'), ('''m'', ''nps'', 1, 10', '22023'),
    ('''m'', ''csat'', -2147483648, 2147483647', '22023'), ('''m'', ''csat'', 40000, 40005', '22023'), ('''m'', ''rating'', 990, 1000', '22023'), ('''m'', ''rating'', -129, -120', '22023'), ('''csat'', ''csat'', 1, 5', '23505')) AS v(args, state);

-- rows with nothing in them at all
SELECT is((cxm.store_events(1, ARRAY[NULL]::cxm.event_input[])).rejected + (cxm.store_feedback(1, ARRAY[NULL]::cxm.feedback_input[])).rejected
          + (cxm.store_purchases(1, ARRAY[NULL]::cxm.purchase_input[])).rejected + (cxm.store_traits(1, ARRAY[NULL]::cxm.traits_input[])).rejected, 4::bigint, 'NULL rows are refused');
SELECT is((cxm.store_events(1, '{}')).accepted + (cxm.store_events(1, NULL)).accepted, 0::bigint, 'no rows are no trouble');

-- what is written straight into a table must not stop the views and the upkeep of everything else
SELECT throws_ok(format('INSERT INTO cx.feedback (metric, score, scale_min, scale_max, occurred_at) VALUES (%s)', v.row), '23514', NULL, 'no feedback row: ' || v.row) FROM (VALUES
    ('''rating'', 995, 990, 1000, now()'), ('''nps'', 1, 0, 10, ''infinity'''), ('''nps'', 1, 0, 10, ''-infinity'''),
    ('''nps'', 1, 0, 10, ''294276-12-31'''), ('''nps'', 1, 0, 10, ''4714-11-24 BC''')) AS v(row);
INSERT INTO cx.feedback (metric, score, occurred_at) VALUES ('nps', 1, '4000-01-01Z BC'), ('nps', 1, '199999-12-31Z');
SELECT lives_ok('SELECT * FROM cx.nps_trend', 'a trend from the first time to the last');
SELECT lives_ok('SELECT * FROM cx.metric_score', 'a scorecard with the highest scale');
SELECT isnt(cxm.make_partition('feedback', '199999-12-01'), NULL, 'the last month can have a partition');

SELECT * FROM finish();
ROLLBACK;
