-- spend: what is stored, what is refused, what an attached table of it says
BEGIN;
SELECT plan(27);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;

SELECT isnt(cxm.record_spend(120.50, 'EUR', 'search', 'spring', touchpoint => 'web', location => 'north', product => 'tea', at => '2026-03-01Z',
                             properties => '{"clicks": 7}', source => 'ads', message_id => 'a'), NULL, 'stored');
SELECT results_eq(
    $$SELECT s.amount, s.currency COLLATE "default", s.channel, s.campaign, t.key COLLATE "default", l.key COLLATE "default", p.key COLLATE "default", s.occurred_at, s.properties, o.source COLLATE "default"
      FROM cx.spend AS s JOIN cx.touchpoint AS t USING (touchpoint_id) JOIN cx.location AS l USING (location_id)
      JOIN cx.product AS p USING (product_id) JOIN cx.source AS o USING (source_id)$$,
    $$VALUES (120.50, 'EUR', 'search', 'spring', 'web', 'north', 'tea', timestamptz '2026-03-01Z', '{"clicks": 7}'::jsonb, 'ads')$$, 'in every column');
SELECT is(cxm.record_spend(99, message_id => 'a', source => 'ads'), (SELECT spend_id FROM cx.spend), 'sent again it is the first one');
SELECT isnt(cxm.record_spend(1, message_id => 'a', source => 'other'), (SELECT min(spend_id) FROM cx.spend), 'another source has its own messages');

CREATE TEMPORARY TABLE verdict (single text, record jsonb, sqlstate text);
INSERT INTO verdict VALUES
    ('0', '{"amount": 0}', '00000'), ('-5.5', '{"amount": -5.5}', '00000'), ('1, channel => ''''', '{"amount": 1, "channel": ""}', '00000'),
    ('NULL', '{"amount": null}', '22004'), ('''NaN''', '{"amount": "NaN"}', '22003'), ('''-Infinity''', '{"amount": "-Infinity"}', '22003'),
    ('1, ''euro''', '{"amount": 1, "currency": "euro"}', '22023'), ('1, campaign => repeat(''x'', 513)', jsonb_build_object('amount', 1, 'campaign', repeat('x', 513)), '22001'),
    ('1, at => ''infinity''', '{"amount": 1, "at": "infinity"}', '22008'), ('1, properties => ''[]''', '{"amount": 1, "properties": []}', '22023');
CREATE FUNCTION pg_temp.single(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT cxm.record_spend(%s)', call);
    RETURN '00000';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
SELECT is(pg_temp.single(single), sqlstate, 'spend of ' || left(single, 40)) FROM verdict;
-- what JSON cannot say as a number is refused for that
SELECT results_eq($$SELECT accepted, duplicates, rejected FROM cxm.record_spend_batch((SELECT jsonb_agg(record) FROM verdict), 'batch')$$,
                  $$VALUES (3::bigint, 0::bigint, 7::bigint)$$, 'a batch takes what is good');
SELECT is_empty($$SELECT v.record FROM verdict AS v WHERE v.sqlstate <> '00000'
                  AND NOT EXISTS (SELECT FROM cx.rejection AS r WHERE r.kind = 'spend' AND r.record @> v.record AND r.reason <> '')$$, 'and keeps what is not, whole');
SELECT throws_ok($$SELECT cxm.record_spend_batch('{}')$$, '22023', 'a batch must be a JSON array of records, not object', 'an object is no batch');
SELECT results_eq($$SELECT accepted, duplicates, rejected FROM cxm.record_spend_batch('[]')$$, $$VALUES (0::bigint, 0::bigint, 0::bigint)$$, 'a batch of nothing');

UPDATE cx.rejection SET record = record || '{"amount": 7, "channel": "mended"}' WHERE rejection_id = (SELECT min(rejection_id) FROM cx.rejection WHERE kind = 'spend');
SELECT ok(cxm.replay_rejection(min(rejection_id)), 'mended, it is taken') FROM cx.rejection WHERE kind = 'spend';
SELECT is((SELECT count(*) FROM cx.spend WHERE channel = 'mended'), 1::bigint, 'and stored');

-- a table of yours
CREATE TABLE costs (day date, campaign text, cost money, PRIMARY KEY (day, campaign));
INSERT INTO costs SELECT date '2026-01-01' + i, 'c' || i % 3, i::numeric::money FROM generate_series(1, 20) AS i;
CALL cxm.attach('costs', 'spend', '{"at": "day", "amount": "cost", "campaign": "campaign", "channel": {"constant": "social"}, "currency": {"constant": "USD"}}',
                source => 'costs', commit => false);
CREATE FUNCTION pg_temp.differences() RETURNS SETOF record LANGUAGE sql AS $$
    (SELECT day::timestamp AT TIME ZONE (SELECT time_zone FROM cx.store), campaign, cost::numeric FROM costs
     EXCEPT ALL SELECT s.occurred_at, s.campaign, s.amount FROM cx.spend AS s WHERE s.channel = 'social' AND s.currency = 'USD')
    UNION ALL
    (SELECT s.occurred_at, s.campaign, s.amount FROM cx.spend AS s WHERE s.channel = 'social'
     EXCEPT ALL SELECT day::timestamp AT TIME ZONE (SELECT time_zone FROM cx.store), campaign, cost::numeric FROM costs)
$$;
SELECT is_empty('SELECT FROM pg_temp.differences() AS d(a timestamptz, b text, c numeric)', 'is read');
INSERT INTO costs VALUES ('2026-05-01', 'new', 9.99);
UPDATE costs SET cost = cost * 2, day = day - 400 WHERE campaign = 'c1';
DELETE FROM costs WHERE campaign = 'c2';
SELECT is_empty('SELECT FROM pg_temp.differences() AS d(a timestamptz, b text, c numeric)', 'and followed');
UPDATE costs SET cost = NULL WHERE campaign = 'new';
SELECT is_empty('SELECT FROM pg_temp.differences() AS d(a timestamptz, b text, c numeric) WHERE c IS NOT NULL', 'a row without an amount has no record');
SELECT is((SELECT reason FROM cx.rejection WHERE kind = 'spend' AND source_id = (SELECT source_id FROM cx.source WHERE source = 'costs') AND state = 'open'),
          'the spend has no amount', 'and leaves a row that says why');
TRUNCATE costs;
SELECT is_empty($$SELECT FROM cx.spend WHERE channel = 'social'$$, 'truncated, they are gone');
SELECT throws_ok($$CALL cxm.attach('costs', 'spend', '{"at": "day"}', source => 'again', commit => false)$$, '22023', 'the mapping lacks amount', 'an amount is needed');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'the store is sound');

SELECT * FROM finish();
ROLLBACK;
