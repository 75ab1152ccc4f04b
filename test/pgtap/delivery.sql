-- Contracts of the outbound queue: every move from every state, waits, addresses, reports in any order.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SELECT plan(63);

-- people: one with two addresses and a telephone, one with nothing but a card
CREATE TEMPORARY TABLE person AS
SELECT cxm.resolve_identifiers(cxm.source_id('test'), ARRAY['{"customer_id": "ann", "email": "ann@old.example", "phone": "+4930123456"}', '{"loyalty_id": "77"}']::jsonb[],
                               ARRAY[now(), now()]) AS ids;
CREATE FUNCTION pg_temp.ann() RETURNS bigint LANGUAGE sql AS $$ SELECT ids[1] FROM person $$;
CREATE FUNCTION pg_temp.card() RETURNS bigint LANGUAGE sql AS $$ SELECT ids[2] FROM person $$;

---- addresses

SELECT is(cxm.delivery_address(pg_temp.ann(), 'email'), 'ann@old.example', 'the address is one of the same person');
SELECT is(cxm.delivery_address(pg_temp.ann(), 'sms'), '+4930123456', 'of the kind that the channel needs');
SELECT is(cxm.delivery_address(pg_temp.ann(), 'web_chat'), 'ann', 'the identifier itself where the channel names no kind');
SELECT is(cxm.delivery_address(pg_temp.card(), 'email'), NULL, 'NULL where there is none');
SELECT is(cxm.delivery_address(NULL, 'email'), NULL, 'NULL for nobody');
SELECT throws_ok($$SELECT cxm.delivery_address(1, 'pigeon')$$, '42704', 'delivery channel pigeon does not exist', 'an unknown channel is an error');
DO $$ BEGIN PERFORM cxm.link('customer_id', 'ann', 'email', 'ann@new.example', 'test'); END $$;
SELECT is(cxm.delivery_address(pg_temp.ann(), 'email'), 'ann@new.example', 'the newest of several');
SELECT is(cxm.delivery_address((SELECT identifier_id FROM cx.identifier WHERE value = 'ann@old.example'), 'email'), 'ann@old.example', 'unless one was named');
DO $$ BEGIN PERFORM cxm.block_value('ann@new.example', 'email', 'test'); END $$;
SELECT is(cxm.delivery_address(pg_temp.ann(), 'email'), 'ann@old.example', 'a quarantined one is no address');
DO $$ BEGIN PERFORM cxm.link('loyalty_id', '77', 'email', 'card@a.example', 'test'); END $$;
SELECT is(cxm.delivery_address(pg_temp.card(), 'email'), 'card@a.example', 'a link gives an address');
DO $$ BEGIN PERFORM cxm.retire_links(ARRAY(SELECT link_id FROM cx.link WHERE retired_at IS NULL AND identifier_a = pg_temp.card()), 'test'); END $$;
SELECT is(cxm.delivery_address(pg_temp.card(), 'email'), NULL, 'and takes it away again');

---- waits

SELECT is(cxm.delivery_wait(1, 1, '30 s', '1 h', 0), '30 s', 'the first wait is retry_after');
SELECT results_eq($$SELECT cxm.delivery_wait(1, n, '30 s', '10 min', 0) FROM generate_series(1, 7) AS n$$,
                  $$VALUES (interval '30 s'), ('1 min'), ('2 min'), ('4 min'), ('8 min'), ('10 min'), ('10 min')$$, 'each is twice the last, up to retry_limit');
SELECT is(cxm.delivery_wait(1, 2147483647, '100 years', '100 years', 0), make_interval(secs => extract(epoch FROM interval '100 years')::float8), 'nothing overflows');
SELECT is_empty($$SELECT * FROM (SELECT extract(epoch FROM cxm.delivery_wait(i, n, '10 s', '1 day', 0.25)) / (10 * 2 ^ (n - 1)) AS part
                                 FROM generate_series(1, 500) AS i, generate_series(1, 8) AS n) AS w WHERE part NOT BETWEEN 0.75 AND 1$$, 'jitter shortens by up to its part');
SELECT cmp_ok((SELECT count(DISTINCT cxm.delivery_wait(i, 1, '1000 s', '1 day', 1)) FROM generate_series(1, 500) AS i), '>', 490::bigint, 'differently for each delivery');
SELECT is(cxm.delivery_wait(7, 3, '10 s', '1 day', 0.5), cxm.delivery_wait(7, 3, '10 s', '1 day', 0.5), 'and the same when asked again');

---- into the queue

SELECT is(cxm.enqueue_deliveries('message', '{}', '{}', '{}', '{}'), '{}', 'no deliveries are no deliveries');
CREATE TEMPORARY TABLE queued AS
SELECT u.id, u.place
FROM unnest(cxm.enqueue_deliveries('message', ARRAY(SELECT i FROM generate_series(1, 200) AS i ORDER BY hashint4(i)), array_fill('post'::text, '{200}'),
                                   array_fill(1::bigint, '{200}'), array_fill('{}'::jsonb, '{200}'))) WITH ORDINALITY AS u(id, place);
SELECT is((SELECT array_agg(d.record_id ORDER BY u.place) FROM queued AS u JOIN cx.delivery AS d ON d.delivery_id = u.id), ARRAY(SELECT i::bigint FROM generate_series(1, 200) AS i ORDER BY hashint4(i)), 'ids come in the order of the input');
SELECT is((SELECT jsonb_agg(payload) FROM cx.outbox WHERE channel = 'cxm_delivery'), '[{"channel": "post", "deliveries": 200}]', 'senders are told once');
SELECT throws_ok($$SELECT cxm.enqueue_deliveries('message', '{1,2}', '{sms}', '{1,1}', ARRAY['{}', '{}']::jsonb[])$$, '2202E', 'arrays of deliveries differ in length', 'arrays must agree');
SELECT throws_ok($$SELECT cxm.enqueue_deliveries('message', NULL, '{sms}', '{1}', ARRAY['{}'::jsonb])$$, '2202E', NULL, 'a missing array does not agree');
SELECT throws_ok($$SELECT cxm.enqueue_deliveries('message', '{1}', '{fax}', '{1}', ARRAY['{}'::jsonb])$$, '42704', 'delivery channel fax does not exist', 'channels are known');
SELECT throws_ok($$SELECT cxm.enqueue_deliveries('message', '{1}', '{NULL}', '{1}', ARRAY['{}'::jsonb])$$, '42704', 'delivery channel NULL does not exist', 'and not NULL');
SELECT throws_ok($$SELECT cxm.enqueue_deliveries('message', '{1,2}', '{sms,sms}', '{1,1}', ARRAY['{}', '[]']::jsonb[])$$, '22023', 'payload 2 is not a JSON object', 'payloads are objects');
SELECT throws_ok($$SELECT cxm.enqueue_deliveries('Message', '{1}', '{sms}', '{1}', ARRAY['{}'::jsonb])$$, '42602', NULL, 'kinds are names');
SELECT throws_ok($$SELECT cxm.enqueue_deliveries('message', '{1}', '{sms}', '{1}', ARRAY['{}'::jsonb], '{infinity}')$$, '22023', 'time 1 of not_before is not finite', 'times are finite');
DELETE FROM cx.delivery;

---- a delivery in each state, and each move from it

CREATE FUNCTION pg_temp.make(wanted text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    DELETE FROM cx.delivery;
    id := (cxm.enqueue_deliveries('message', '{1}', '{email}', ARRAY[pg_temp.ann()], ARRAY['{"text": "x", "secret": {"token": "t"}}'::jsonb]))[1];
    IF wanted <> 'new' THEN
        PERFORM cxm.claim_deliveries(1, 'a', 'email', CASE WHEN wanted IN ('lapsed', 'retaken') THEN interval '1 microsecond' ELSE interval '1 hour' END);
        PERFORM CASE wanted
            WHEN 'pending' THEN cxm.fail_delivery(id, 'busy')
            WHEN 'sent' THEN cxm.acknowledge_delivery(id, 'p' || id)
            WHEN 'dead' THEN cxm.fail_delivery(id, 'gone', true) END;
        PERFORM cxm.record_delivery_status('p' || id, 'bounced_hard') FROM cxm.acknowledge_delivery(id, 'p' || id) WHERE wanted = 'bounced';
        PERFORM cxm.cancel_delivery(id) FROM cxm.fail_delivery(id, 'busy') WHERE wanted = 'cancelled';
        PERFORM pg_sleep(0.001);
        PERFORM cxm.claim_deliveries(1, 'b', 'email') WHERE wanted = 'retaken';
    END IF;
    RETURN id;
END
$$;
-- what a move answers, and the state after it; or its SQLSTATE
CREATE FUNCTION pg_temp.try(wanted text, move text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint := pg_temp.make(wanted);
    answer text;
BEGIN
    BEGIN
        EXECUTE format('SELECT (%s)::text', replace(move, '$', id::text)) INTO answer;
    EXCEPTION WHEN OTHERS THEN
        RETURN SQLSTATE;
    END;
    RETURN coalesce(answer, 'NULL') || ' ' || (SELECT state FROM cx.delivery WHERE delivery_id = id);
END
$$;
CREATE FUNCTION pg_temp.moves(move text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(w || ': ' || pg_temp.try(w, move), ', ' ORDER BY place)
    FROM unnest('{new,pending,claimed,lapsed,retaken,sent,bounced,dead,cancelled}'::text[]) WITH ORDINALITY AS s(w, place)
$$;
SELECT is(pg_temp.moves('(SELECT count(*) FROM cxm.claim_deliveries(10, ''c'', ''email''))'),
          'new: 1 claimed, pending: 0 pending, claimed: 0 claimed, lapsed: 1 claimed, retaken: 0 claimed, sent: 0 sent, bounced: 0 dead, dead: 0 dead, cancelled: 0 cancelled', 'claim');
SELECT is(pg_temp.moves('cxm.acknowledge_delivery($, ''new $'')'),
          'new: 55000, pending: true sent, claimed: true sent, lapsed: true sent, retaken: true sent, sent: false sent, bounced: false dead, dead: true sent, cancelled: true sent', 'acknowledge');
SELECT is(pg_temp.moves('cxm.acknowledge_delivery($)'),
          'new: 55000, pending: true sent, claimed: true sent, lapsed: true sent, retaken: true sent, sent: false sent, bounced: false dead, dead: true sent, cancelled: true sent', 'acknowledge without the id of a provider');
SELECT is(pg_temp.moves('cxm.fail_delivery($, ''no'')'),
          'new: 55000, pending: false pending, claimed: true pending, lapsed: true pending, retaken: true pending, sent: false sent, bounced: false dead, dead: false dead, cancelled: false cancelled', 'fail');
SELECT is(pg_temp.moves('cxm.fail_delivery($, ''no'', true, 1)'),
          'new: 55000, pending: false pending, claimed: true dead, lapsed: true dead, retaken: false claimed, sent: false sent, bounced: false dead, dead: false dead, cancelled: false cancelled', 'fail for good, by the first attempt');
SELECT is(pg_temp.moves('cxm.release_delivery($, 1)'),
          'new: 55000, pending: false pending, claimed: true pending, lapsed: true pending, retaken: false claimed, sent: false sent, bounced: false dead, dead: false dead, cancelled: false cancelled', 'release');
SELECT is(pg_temp.moves('cxm.cancel_delivery($, ''no'')'),
          'new: true cancelled, pending: true cancelled, claimed: 55006, lapsed: true cancelled, retaken: 55006, sent: 55000, bounced: true cancelled, dead: true cancelled, cancelled: false cancelled', 'cancel');
SELECT is(pg_temp.moves('cxm.cancel_deliveries(''message'', ''{1}'')'),
          'new: 1 cancelled, pending: 1 cancelled, claimed: 0 claimed, lapsed: 1 cancelled, retaken: 0 claimed, sent: 0 sent, bounced: 1 cancelled, dead: 1 cancelled, cancelled: 0 cancelled', 'cancel by record');
SELECT is(pg_temp.moves('cxm.redrive_deliveries(ARRAY[$])'),
          'new: 0 pending, pending: 0 pending, claimed: 0 claimed, lapsed: 0 claimed, retaken: 0 claimed, sent: 0 sent, bounced: 1 pending, dead: 1 pending, cancelled: 0 cancelled', 'redrive');
SELECT is(pg_temp.moves('cxm.record_delivery_status(''p$'', ''bounced_hard'', ''2026-01-01Z'') = $'),
          'new: NULL pending, pending: NULL pending, claimed: NULL claimed, lapsed: NULL claimed, retaken: NULL claimed, sent: true dead, bounced: true dead, dead: NULL dead, cancelled: NULL cancelled', 'report');
SELECT throws_ok(format('SELECT cxm.acknowledge_delivery(%s, NULL, 2)', pg_temp.make('claimed')), '22023', NULL, 'there must have been such an attempt');
SELECT throws_ok('SELECT cxm.acknowledge_delivery(-1)', 'P0002', 'delivery -1 does not exist', 'and such a delivery: acknowledge');
SELECT throws_ok('SELECT cxm.fail_delivery(-1, ''x'')', 'P0002', 'delivery -1 does not exist', 'fail');
SELECT throws_ok('SELECT cxm.release_delivery(NULL)', 'P0002', 'delivery NULL does not exist', 'release');
SELECT throws_ok('SELECT cxm.cancel_delivery(-1)', 'P0002', 'delivery -1 does not exist', 'cancel');
SELECT throws_ok('SELECT cxm.fail_delivery(1, '''')', '22023', 'error must say why the delivery failed', 'a failure has a reason');
SELECT throws_ok('SELECT * FROM cxm.claim_deliveries(0)', '22023', NULL, 'n is positive');
SELECT throws_ok('SELECT * FROM cxm.claim_deliveries(1, '''')', '22023', NULL, 'somebody claims');
SELECT throws_ok('SELECT * FROM cxm.claim_deliveries(1, ''a'', ''email'', ''-1 s'')', '22023', NULL, 'a lease is positive');
SELECT throws_ok('SELECT * FROM cxm.claim_deliveries(1, ''a'', ''fax'')', '42704', NULL, 'of a channel that there is');

---- what the moves leave behind

CREATE FUNCTION pg_temp.payload(wanted text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    id bigint := pg_temp.make(wanted);
BEGIN
    RETURN (SELECT payload FROM cx.delivery WHERE delivery_id = id);
END
$$;
SELECT is(pg_temp.payload('claimed'), '{"text": "x", "secret": {"token": "t"}}', 'a secret is there to be sent');
SELECT is(pg_temp.payload('sent'), '{"text": "x"}', 'and gone once it was');

CREATE FUNCTION pg_temp.tries(channel text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    n integer := 0;
BEGIN
    DELETE FROM cx.delivery;
    PERFORM cxm.enqueue_deliveries('message', '{1}', ARRAY[channel], ARRAY[pg_temp.ann()], ARRAY['{}'::jsonb]);
    LOOP
        PERFORM cxm.claim_deliveries(1, 'a', channel);
        EXIT WHEN NOT FOUND OR n > 100;
        n := n + 1;
        PERFORM cxm.fail_delivery(d.delivery_id, 'busy') FROM cx.delivery AS d;
        UPDATE cx.delivery SET due_at = now() - interval '1 s' WHERE state = 'pending';
    END LOOP;
    RETURN n;
END
$$;
DO $$ BEGIN PERFORM cxm.set_delivery_channel('sms', '{"max_attempts": 3}'); END $$;
SELECT is(pg_temp.tries('sms'), 3, 'sending is tried as often as the channel says');
SELECT is((SELECT state || ': ' || reason FROM cx.delivery), 'dead: busy', 'then it is a dead letter with the reason');
SELECT is((SELECT cxm.redrive_deliveries(channel => 'email') || ' ' || cxm.redrive_deliveries(kind => 'invitation') || ' ' || cxm.redrive_deliveries(channel => 'sms')), '0 0 1', 'which is driven again');
SELECT is((SELECT count(*) FROM cxm.claim_deliveries(1, 'a', 'sms', '1 microsecond') WHERE attempt = 4), 1::bigint, 'from where it was');
SELECT is((SELECT count(*) FROM cxm.claim_deliveries(1, 'a', 'sms', '1 microsecond') WHERE attempt = 5), 1::bigint, 'senders that die without a word');
SELECT is((SELECT count(*) FROM cxm.claim_deliveries(1, 'a', 'sms', '1 microsecond') WHERE attempt = 6), 1::bigint, 'use up attempts');
SELECT is((SELECT count(*) FROM cxm.claim_deliveries(1, 'a', 'sms', '1 microsecond')), 0::bigint, 'too');
SELECT is((SELECT state || ': ' || reason FROM cx.delivery), 'dead: given up after 3 attempts, the last of which ended without a word from its sender', 'and the dead letter says so');
SELECT is((SELECT string_agg(event, ' ' ORDER BY event_id) FROM cx.delivery_event WHERE delivery_id = (SELECT delivery_id FROM cx.delivery)), 'failed failed dead redriven dead', 'with all its past');

-- what cannot be sent does not stand in the way of what can
DELETE FROM cx.delivery;
DO $$ BEGIN PERFORM cxm.enqueue_deliveries('message', ARRAY(SELECT generate_series(1, 100)), array_fill('email'::text, '{100}'),
    ARRAY(SELECT CASE WHEN i % 4 = 0 THEN pg_temp.ann() WHEN i % 4 = 1 THEN NULL ELSE pg_temp.card() END FROM generate_series(1, 100) AS i), array_fill('{}'::jsonb, '{100}'),
    array_fill(now() - interval '1 hour', '{100}')); END $$;
SELECT is((SELECT array_agg(record_id) FROM cxm.claim_deliveries(20)), ARRAY(SELECT i::bigint FROM generate_series(4, 80, 4) AS i), 'the queue gives as many as it is asked for, in order');
SELECT is((SELECT count(*) || ' ' || count(*) FILTER (WHERE identifier_id IS NULL) FROM cx.delivery WHERE state = 'dead' AND reason ~ 'no identifier was named|has no address for channel email'), '60 20', 'what has no address is a dead letter and says why');
SELECT is((SELECT waiting || ' ' || claimed || ' ' || dead FROM cx.delivery_queue WHERE channel = 'email'), '20 20 60', 'and the view shows it');

---- reports, in any order, before and after the acknowledgement, some twice

CREATE FUNCTION pg_temp.report(round integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint := pg_temp.make('claimed');
    told text[] := ARRAY(SELECT s FROM unnest('{sent,bounced_soft,delivered,opened,clicked,failed,bounced_hard,complained}'::text[]) AS s WHERE random() < 0.4);
    step text;
    wanted record;
    got record;
BEGIN
    FOREACH step IN ARRAY ARRAY(SELECT x FROM unnest(told || told || '{ack,ack}'::text[]) AS x ORDER BY random()) LOOP
        IF step = 'ack' THEN
            PERFORM cxm.acknowledge_delivery(id, 'r' || round);
        ELSE
            PERFORM cxm.record_delivery_status('r' || round, step, '2026-01-01Z', 'said so');
        END IF;
    END LOOP;
    SELECT coalesce((SELECT s FROM unnest(told) AS s ORDER BY array_position('{sent,bounced_soft,delivered,opened,clicked,failed,bounced_hard,complained}', s) DESC LIMIT 1), 'sent') AS status,
           CASE WHEN told && '{failed,bounced_hard}' THEN 'dead' ELSE 'sent' END AS state, cardinality(told) + 1 AS events INTO wanted;
    SELECT d.status, d.state, (SELECT count(*) FROM cx.delivery_event AS e WHERE e.delivery_id = id)::integer AS events INTO got FROM cx.delivery AS d WHERE d.delivery_id = id;
    RETURN CASE WHEN wanted IS DISTINCT FROM got THEN format('%s: %s is not %s', told, got, wanted) END;
END
$$;
DO $$ BEGIN PERFORM setseed(0.25); END $$;
SELECT is_empty('SELECT * FROM (SELECT pg_temp.report(i) AS problem FROM generate_series(1, 300) AS i) AS r WHERE problem IS NOT NULL', 'a delivery shows the furthest that was reported, whatever the order');

---- many rows: nothing on the way of a message reads the table

DELETE FROM cx.delivery;
INSERT INTO cx.delivery (kind, record_id, channel, identifier_id, payload, not_before, due_at, state, sent_at, finished_at)
SELECT 'message', i, 'email', pg_temp.ann(), '{}', now(), CASE WHEN i % 20 = 0 THEN now() END, CASE WHEN i % 20 = 0 THEN 'pending' ELSE 'sent' END,
       CASE WHEN i % 20 > 0 THEN now() - i * interval '1 s' END, CASE WHEN i % 20 > 0 THEN now() - i * interval '1 s' END
FROM generate_series(1, 20000) AS i;
ANALYZE cx.delivery;
CREATE TEMPORARY TABLE scans AS SELECT pg_stat_get_xact_numscans('cx.delivery'::regclass) AS n;
DO $$ BEGIN
    PERFORM CASE d.delivery_id % 3 WHEN 0 THEN cxm.acknowledge_delivery(d.delivery_id, 'scan ' || d.delivery_id) WHEN 1 THEN cxm.fail_delivery(d.delivery_id, 'no', true) ELSE cxm.release_delivery(d.delivery_id) END
    FROM cxm.claim_deliveries(30, 'a', 'email') AS d;
    PERFORM cxm.record_delivery_status(e.provider_message_id, 'bounced_hard') FROM cx.delivery_event AS e WHERE e.provider_message_id LIKE 'scan %';
    PERFORM cxm.cancel_deliveries('message', ARRAY(SELECT generate_series(20, 20000, 200)));
    PERFORM cxm.redrive_deliveries(max_rows => 5);
    PERFORM cxm.enqueue_deliveries('message', '{1}', '{email}', '{1}', ARRAY['{}'::jsonb]);
    PERFORM cxm.forget_delivery_batch(now() - interval '5 hours', 100);
END $$;
SELECT is(pg_stat_get_xact_numscans('cx.delivery'::regclass) - (SELECT n FROM scans), 0::bigint, 'every step finds its deliveries by an index');

SELECT * FROM finish();
ROLLBACK;
