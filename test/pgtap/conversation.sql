-- Contracts of conversations: moves, order, unread counts against a list of who has read what, search against a scan,
-- waits against a recount, merges, hostile text, redaction.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SELECT plan(84);
ALTER TABLE cx.conversation ALTER conversation_id RESTART WITH 1;
ALTER TABLE cx.conversation_message ALTER message_id RESTART WITH 1;

---- which conversation a message goes into

CREATE FUNCTION pg_temp.receive(body text, identifiers jsonb, thread text DEFAULT NULL, external_id text DEFAULT NULL, channel text DEFAULT 'email') RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', m.message_no, CASE WHEN m.is_new THEN 'new' ELSE 'known' END, (SELECT count(*) FROM cx.conversation))
    FROM cxm.receive_message(channel, body, identifiers, 'test', external_id, thread) AS m
$$;
-- the function's own count does not see what it wrote
SELECT is(pg_temp.receive('a', '{"email": "ann@shop.example", "customer_id": "4711"}', external_id => 'x1'), '1 new 0', 'a first message begins a conversation');
SELECT is(pg_temp.receive('a', '{"email": "ann@shop.example", "customer_id": "4711"}', external_id => 'x1'), '1 known 1', 'sent again it is known');
SELECT is(pg_temp.receive('other text', '{"email": "bob@shop.example"}', external_id => 'x1', channel => 'sms'), '1 known 1', 'whatever it says then');
SELECT is(pg_temp.receive('b', '{"email": "ann@shop.example"}'), '2 new 1', 'the next one goes into the same');
SELECT is(pg_temp.receive('b', '{"email": "ann@shop.example"}', channel => 'post'), '1 new 1', 'another channel is another conversation');
SELECT is(pg_temp.receive('c', '{"email": "bob@shop.example"}'), '1 new 2', 'another customer too');
SELECT is(pg_temp.receive('d', NULL), '1 new 3', 'somebody unknown always');
SELECT is(pg_temp.receive('d', NULL), '1 new 4', 'each time');
SELECT is(pg_temp.receive('e', NULL, thread => 's1'), '1 new 5', 'a thread is a conversation');
SELECT is(pg_temp.receive('f', NULL, thread => 's1'), '2 new 6', 'with all that comes by it');
SELECT is(pg_temp.receive('g', '{"email": "zoe@shop.example"}', thread => 's1'), '3 new 6', 'also once the visitor has told who they are');
SELECT is((SELECT i.value FROM cx.conversation AS c JOIN cx.identifier AS i USING (identifier_id) WHERE c.thread = 's1'), 'zoe@shop.example', 'who is noted');
SELECT is((SELECT i.namespace FROM cx.conversation AS c JOIN cx.identifier AS i USING (identifier_id) WHERE c.conversation_id = 1), 'email', 'a conversation is held under the address that was written from');
SELECT is((SELECT state FROM cx.conversation WHERE conversation_id = (SELECT min(conversation_id) FROM cx.conversation)), 'open', 'it is our turn');
DO $$ BEGIN PERFORM cxm.set_conversation_state(1, 'closed', 'anna'); UPDATE cx.conversation SET state_at = now() - interval '6 days' WHERE conversation_id = 1; END $$;
SELECT is(pg_temp.receive('h', '{"email": "ann@shop.example"}'), '3 new 6', 'what was closed lately is opened again');
SELECT is((SELECT string_agg(event || ' ' || actor, ', ' ORDER BY event_id) FROM cx.conversation_event WHERE conversation_id = 1), 'closed anna, reopened customer', 'which leaves a trace');
DO $$ BEGIN PERFORM cxm.set_conversation_state(1, 'closed', 'anna'); UPDATE cx.conversation SET state_at = now() - interval '8 days' WHERE conversation_id = 1; END $$;
SELECT is(pg_temp.receive('i', '{"email": "ann@shop.example"}'), '1 new 6', 'what was closed long ago is not');

-- errors
SELECT throws_ok(statement, state, NULL, 'refused: ' || left(statement, 100)) FROM (VALUES
    ($$SELECT cxm.receive_message('fax', 'x')$$, '42704'),
    ($$SELECT cxm.receive_message(NULL, 'x')$$, '42704'),
    ($$SELECT cxm.receive_message('email', NULL)$$, '22004'),
    ($$SELECT cxm.receive_message('email', repeat('x', 1048577))$$, '22001'),
    ($$SELECT cxm.receive_message('email', 'x', '{"nonsense": "x"}')$$, '22023'),
    ($$SELECT cxm.receive_message('email', 'x', '[]')$$, '22023'),
    ($$SELECT cxm.receive_message('email', 'x', external_id => '')$$, '22023'),
    ($$SELECT cxm.receive_message('email', 'x', thread => '')$$, '22023'),
    ($$SELECT cxm.receive_message('email', 'x', at => 'infinity')$$, '22008'),
    ($$SELECT cxm.receive_message('email', 'x', properties => '[]')$$, '22023'),
    ($$SELECT cxm.send_message(-1, 'x', 'anna')$$, 'P0002'),
    ($$SELECT cxm.send_message(2, NULL, 'anna')$$, '22004'),
    ($$SELECT cxm.send_message(2, 'x', 'customer')$$, '22023'),
    ($$SELECT cxm.send_message(2, 'x', '')$$, '22023'),
    ($$SELECT cxm.send_message(2, 'x', 'anna', 'fax')$$, '42704'),
    ($$SELECT cxm.add_note(-1, 'x', 'anna')$$, 'P0002'),
    ($$SELECT cxm.start_conversation('email', feedback_id => -1)$$, '23503'),
    ($$SELECT cxm.mark_read(2, 'anna', 99)$$, '22023'),
    ($$SELECT cxm.mark_read(-1, 'anna')$$, 'P0002'),
    ($$SELECT cxm.redact_message(-1, 'x', 'anna')$$, 'P0002'),
    ($$SELECT cxm.redact_message(1, '', 'anna')$$, '22023'),
    ($$SELECT cxm.take_conversations(0, 'anna')$$, '22023'),
    ($$SELECT cxm.link_conversation(2)$$, '22023'),
    ($$SELECT cxm.search_messages(repeat('a ', 2001))$$, '54000'),
    ($$SELECT cxm.search_messages(NULL)$$, '22004'),
    ($$SELECT cxm.set_conversation_state(2, 'lost', 'anna')$$, '22023')) AS e(statement, state);

---- states: what each move answers in each state, and the state after it

CREATE FUNCTION pg_temp.try(wanted text, move text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint := cxm.start_conversation('email', '{"email": "state@shop.example"}');
    answer text;
BEGIN
    PERFORM cxm.receive_message('email', 'hello', '{"email": "state@shop.example"}');
    PERFORM cxm.set_conversation_state(id, wanted, 'anna');
    BEGIN
        EXECUTE format('SELECT (%s)::text', replace(move, '$', id::text)) INTO answer;
    EXCEPTION WHEN OTHERS THEN
        RETURN SQLSTATE;
    END;
    RETURN coalesce(answer, 'NULL') || ' ' || (SELECT state FROM cx.conversation WHERE conversation_id = id);
END
$$;
CREATE FUNCTION pg_temp.moves(move text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(w || ': ' || pg_temp.try(w, move), ', ' ORDER BY place) FROM unnest('{open,waiting,closed}'::text[]) WITH ORDINALITY AS s(w, place)
$$;
SELECT is(pg_temp.moves('cxm.set_conversation_state($, ''open'', ''anna'')'), 'open: false open, waiting: true open, closed: true open', 'open');
SELECT is(pg_temp.moves('cxm.set_conversation_state($, ''waiting'', ''anna'')'), 'open: true waiting, waiting: false waiting, closed: 55000', 'wait');
SELECT is(pg_temp.moves('cxm.set_conversation_state($, ''closed'', ''anna'')'), 'open: true closed, waiting: true closed, closed: false closed', 'close');
SELECT is(pg_temp.moves('(cxm.receive_message(''email'', ''x'', ''{"email": "state@shop.example"}'')).is_new'), 'open: true open, waiting: true open, closed: true open', 'a message comes in');
SELECT is(pg_temp.moves('cxm.send_message($, ''x'', ''anna'') > 0'), 'open: true waiting, waiting: true waiting, closed: 55000', 'an answer');
SELECT is(pg_temp.moves('cxm.send_message($, ''x'', ''robot'', is_automatic => true) > 0'), 'open: true open, waiting: true waiting, closed: 55000', 'an automatic one');
SELECT is(pg_temp.moves('cxm.add_note($, ''x'', ''anna'') > 0'), 'open: true open, waiting: true waiting, closed: true closed', 'a note');
SELECT is(pg_temp.moves('cxm.assign_conversation($, ''ben'', ''anna'')'), 'open: true open, waiting: true waiting, closed: 55000', 'assign');
SELECT is(pg_temp.moves('cxm.assign_conversation($, NULL, ''anna'')'), 'open: false open, waiting: false waiting, closed: false closed', 'unassign');

---- an answer and its way out

DELETE FROM cx.delivery;
CREATE TEMPORARY TABLE answer AS SELECT cxm.send_message(2, 'the answer', 'anna', source => 'app', external_id => 'double click') AS id;
SELECT is(cxm.send_message(2, 'the answer', 'anna', source => 'app', external_id => 'double click'), (SELECT id FROM answer), 'an answer that is sent twice is one message');
SELECT is((SELECT count(*) FROM cx.delivery WHERE kind = 'message' AND record_id = (SELECT id FROM answer)), 1::bigint, 'and one delivery');
SELECT is(cxm.edit_message((SELECT id FROM answer), 'the better answer', 'anna'), true, 'what was not sent yet can be changed');
SELECT is((SELECT payload ->> 'text' FROM cx.delivery), 'the better answer', 'and goes out changed');
DO $$ BEGIN PERFORM cxm.claim_deliveries(10, 'mailer', 'post'); END $$;
SELECT throws_ok('SELECT cxm.edit_message((SELECT id FROM answer), ''x'', ''anna'')', '55000', NULL, 'not while a sender is at it');
SELECT throws_ok('SELECT cxm.redact_message((SELECT id FROM answer), ''x'', ''anna'')', '55006', NULL, 'nor can it be redacted then');

---- merge and unmerge

CREATE FUNCTION pg_temp.of(address text) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM cx.conversation AS c JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p USING (profile_id) WHERE p.canonical_id = cxm.customer('email', address)
$$;
SELECT is(pg_temp.of('ann@shop.example') || ' ' || pg_temp.of('bob@shop.example'), '3 1', 'conversations of two people');
DO $$ BEGIN PERFORM cxm.merge('email', 'ann@shop.example', 'email', 'bob@shop.example', 'test'); END $$;
SELECT is(pg_temp.of('ann@shop.example') || ' ' || pg_temp.of('bob@shop.example'), '4 4', 'are those of one after a merge');
DO $$ BEGIN PERFORM cxm.unmerge(ARRAY(SELECT link_id FROM cx.link WHERE kind = 'pinned' AND retired_at IS NULL), 'test'); END $$;
SELECT is(pg_temp.of('ann@shop.example') || ' ' || pg_temp.of('bob@shop.example'), '3 1', 'and of each after it is taken back');

---- unread, order and waits: two thousand random steps beside a plain list of who has read what

CREATE TEMPORARY TABLE told (conversation_id bigint, no integer, author text, kind text, redacted boolean DEFAULT false, message_id bigint);
CREATE TEMPORARY TABLE has_read (conversation_id bigint, no integer, reader text);
CREATE TEMPORARY TABLE member (conversation_id bigint, who text);
CREATE FUNCTION pg_temp.differences() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*)
    FROM (
        SELECT m.conversation_id, m.who, (
            SELECT count(*) FROM told AS t
            WHERE t.conversation_id = m.conversation_id AND t.author <> m.who AND NOT t.redacted AND (m.who <> 'customer' OR t.kind <> 'note')
              AND NOT EXISTS (SELECT FROM has_read AS r WHERE r.conversation_id = t.conversation_id AND r.no = t.no AND r.reader = m.who)) AS wanted,
            cxm.unread_count(m.conversation_id, m.who) AS got
        FROM (SELECT DISTINCT conversation_id, who FROM member) AS m
    ) AS d
    WHERE d.wanted <> d.got
$$;
CREATE FUNCTION pg_temp.play(steps integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[] := ARRAY(SELECT cxm.start_conversation('web_chat', thread => 'play ' || i) FROM generate_series(1, 5) AS i);
    people text[] := '{anna,ben,carl}';
    id bigint; who text; upto integer; last integer; message bigint; dice double precision;
    problems bigint := 0;
BEGIN
    INSERT INTO member SELECT i, 'customer' FROM unnest(ids) AS i;
    FOR step IN 1 .. steps LOOP
        id := ids[1 + floor(random() * 5)];
        who := people[1 + floor(random() * 3)];
        dice := random();
        SELECT coalesce(max(t.no), 0) INTO last FROM told AS t WHERE t.conversation_id = id;
        IF dice < 0.35 THEN
            SELECT m.message_id, m.message_no INTO message, upto
            FROM cxm.receive_message('web_chat', 'in ' || step, thread => (SELECT c.thread FROM cx.conversation AS c WHERE c.conversation_id = id)) AS m;
            INSERT INTO told VALUES (id, last + 1, 'customer', 'inbound', false, message);
            IF upto <> last + 1 THEN RETURN 'number ' || upto || ' after ' || last; END IF;
        ELSIF dice < 0.5 THEN
            PERFORM cxm.set_conversation_state(id, 'open', who) FROM cx.conversation AS c WHERE c.conversation_id = id AND c.state = 'closed';
            message := cxm.send_message(id, 'out ' || step, who, is_automatic => random() < 0.3);
            INSERT INTO told VALUES (id, last + 1, who, 'outbound', false, message);
            INSERT INTO member VALUES (id, who);
        ELSIF dice < 0.6 THEN
            INSERT INTO told VALUES (id, last + 1, who, 'note', false, cxm.add_note(id, 'note ' || step, who));
            INSERT INTO member VALUES (id, who);
        ELSIF dice < 0.85 THEN
            who := (people || 'customer'::text)[1 + floor(random() * 4)];
            upto := CASE WHEN random() < 0.5 THEN floor(random() * (last + 1)) END;
            PERFORM cxm.mark_read(id, who, upto);
            INSERT INTO has_read SELECT id, t.no, who FROM told AS t WHERE t.conversation_id = id AND t.no <= coalesce(upto, last);
            INSERT INTO member VALUES (id, who);
        ELSIF dice < 0.9 AND last > 0 THEN
            SELECT t.message_id INTO message FROM told AS t WHERE t.conversation_id = id ORDER BY random() LIMIT 1;
            PERFORM cxm.redact_message(message, 'why not', who);
            UPDATE told SET redacted = true WHERE message_id = message;
        ELSIF dice < 0.95 THEN
            PERFORM cxm.set_conversation_state(id, 'closed', who);
        ELSE
            PERFORM cxm.assign_conversation(id, who, 'lead') FROM cx.conversation AS c WHERE c.conversation_id = id AND c.state <> 'closed';
            INSERT INTO member SELECT id, who FROM cx.conversation AS c WHERE c.conversation_id = id AND c.state <> 'closed';
        END IF;
        IF step % 100 = 0 THEN problems := problems + pg_temp.differences(); END IF;
    END LOOP;
    RETURN problems || ' wrong counts';
END
$$;
DO $$ BEGIN PERFORM setseed(0.75); END $$;
SELECT is(pg_temp.play(2000), '0 wrong counts', 'unread counts are those of a list of who has read what');
SELECT is_empty($$SELECT c.conversation_id FROM cx.conversation AS c JOIN cx.conversation_message AS m USING (conversation_id)
                  GROUP BY c.conversation_id HAVING array_agg(m.message_no ORDER BY m.message_no) <> ARRAY(SELECT generate_series(1, c.last_message_no))
                  OR array_agg(m.message_id ORDER BY m.message_no) <> array_agg(m.message_id ORDER BY m.message_id)$$, 'messages are numbered without gaps, as they came');
SELECT is((SELECT count(*) FROM (SELECT p.conversation_id, cxm.unread_count(p.conversation_id, p.participant) AS unread, p.participant FROM cx.conversation_participant AS p) AS a
           FULL JOIN (SELECT u.conversation_id, u.unread, w.participant FROM (SELECT DISTINCT participant FROM cx.conversation_participant) AS w, cxm.unread_conversations(w.participant) AS u) AS b
           USING (conversation_id, participant) WHERE coalesce(a.unread, 0) <> coalesce(b.unread, 0)), 0::bigint, 'the list of unread conversations says the same');

-- the wait of each answer, recounted from messages and events in the order of time
CREATE FUNCTION pg_temp.waits() RETURNS TABLE (message_id bigint, asked_at timestamptz, open_since timestamptz, conversation_id bigint) LANGUAGE plpgsql AS $$
DECLARE
    step record;
    since timestamptz;
    previous bigint;
BEGIN
    FOR step IN
        SELECT m.conversation_id, m.received_at AS at, m.kind, m.is_automatic, m.message_id, m.occurred_at FROM cx.conversation_message AS m
        UNION ALL
        SELECT e.conversation_id, e.occurred_at, e.event, NULL, NULL, NULL FROM cx.conversation_event AS e WHERE e.event IN ('closed', 'waiting')
        UNION ALL
        SELECT c.conversation_id, 'infinity', 'end', NULL, NULL, NULL FROM cx.conversation AS c
        ORDER BY 1, 2
    LOOP
        IF previous IS DISTINCT FROM step.conversation_id THEN since := NULL; END IF;
        previous := step.conversation_id;
        CASE step.kind
            WHEN 'inbound' THEN since := coalesce(since, step.occurred_at);
            WHEN 'outbound' THEN
                IF NOT step.is_automatic THEN
                    message_id := step.message_id; asked_at := since; open_since := NULL; conversation_id := step.conversation_id;
                    RETURN NEXT;
                    since := NULL;
                END IF;
            WHEN 'note' THEN NULL;
            WHEN 'end' THEN
                message_id := NULL; asked_at := NULL; open_since := since; conversation_id := step.conversation_id;
                RETURN NEXT;
            ELSE since := NULL;
        END CASE;
    END LOOP;
END
$$;
SELECT is_empty($$SELECT w.message_id FROM pg_temp.waits() AS w JOIN cx.conversation_message AS m USING (message_id) WHERE w.asked_at IS DISTINCT FROM m.asked_at$$, 'an answer knows what it answers');
SELECT is_empty($$SELECT c.conversation_id FROM pg_temp.waits() AS w JOIN cx.conversation AS c USING (conversation_id) WHERE w.message_id IS NULL AND w.open_since IS DISTINCT FROM c.unanswered_since$$, 'and a conversation since when it waits');

-- known numbers: waits of 10, 20, ... 110 seconds, the first answers being 10 to 60
DELETE FROM cx.conversation_message;
INSERT INTO cx.conversation_message (conversation_id, message_no, kind, participant, channel, body, occurred_at, asked_at)
SELECT CASE WHEN i <= 6 THEN i ELSE i - 6 END, i, 'outbound', 'anna', 'email', '', '2026-01-01Z'::timestamptz + i * interval '10 s', '2026-01-01Z' FROM generate_series(1, 11) AS i;
SELECT results_eq($$SELECT answers, first_answers, first_median_seconds, first_p90_seconds, median_seconds, p90_seconds FROM cx.conversation_response WHERE channel IS NULL AND participant IS NULL$$,
                  $$VALUES (11::bigint, 6::bigint, 35.0::numeric, 55.0::numeric, 60.0::numeric, 100.0::numeric)$$, 'median and 90th percentile are those of the textbook');

---- search against a scan

CREATE TEMPORARY TABLE word AS SELECT i AS id, w FROM unnest('{parcel,late,green,refund,delivery,friendly,broken,colour,price,thanks}'::text[]) WITH ORDINALITY AS t(w, i);
DO $$
BEGIN
    FOR i IN 1 .. 400 LOOP
        PERFORM cxm.receive_message('web_chat', (SELECT string_agg(w, ' ') FROM word WHERE hashint8extended(i * 16 + id, 1) % 3 = 0), thread => 'search ' || i % 40,
                                    search_config => CASE i % 2 WHEN 0 THEN 'pg_catalog.simple' ELSE 'pg_catalog.english' END::regconfig)
        WHERE EXISTS (SELECT FROM word WHERE hashint8extended(i * 16 + id, 1) % 3 = 0);
    END LOOP;
END
$$;
SELECT set_eq($$SELECT message_id FROM cxm.search_messages('parcel -late', 1000)$$, $$SELECT message_id FROM cx.conversation_message WHERE body ~ '\mparcel\M' AND body !~ '\mlate\M'$$, 'search finds what a scan finds');
SELECT set_eq($$SELECT message_id FROM cxm.search_messages('deliveries', 1000)$$,
              $$SELECT message_id FROM cx.conversation_message JOIN cx.conversation AS c USING (conversation_id) WHERE body ~ '\mdelivery\M' AND c.search_config = 'pg_catalog.english'$$, 'each conversation by its own configuration');
SELECT is((SELECT count(*) FROM cxm.search_messages('parcel or late', 5)), 5::bigint, 'as many as are asked for');
SELECT is_empty($$SELECT * FROM (SELECT rank, lag(rank) OVER () AS before FROM cxm.search_messages('parcel or late or green', 1000)) AS r WHERE before < rank$$, 'best first');
SELECT is_empty($$SELECT * FROM cxm.search_messages('')$$, 'nothing is found by nothing');

---- hostile text: it comes out as it went in, by every way

CREATE TEMPORARY TABLE hostile (i integer, body text);
INSERT INTO hostile SELECT row_number() OVER (), b FROM unnest(ARRAY['', ' ', E'\x01\x02\x1b[31m', E'a\r\nb', E'\\', '''; DROP TABLE cx.conversation; --', '%s %1$s {0} $1', '"}', '<script>alert(1)</script>',
    U&'\202E\200B\FEFF', U&'\+01F600' || repeat(U&'\0301', 500), '& | ! <-> :* ()', repeat('(', 2000), repeat('x', 3000), repeat('ab ', 40000), U&'\FFFF', 'NULL', '\N', repeat(E'\n', 5000)]) AS b;
DO $$ BEGIN
    PERFORM cxm.receive_message('web_chat', h.body, thread => 'hostile', external_id => 'hostile ' || h.i, source => 'hostile', subject => h.body) FROM hostile AS h;
    PERFORM cxm.add_note((SELECT conversation_id FROM cx.conversation WHERE thread = 'hostile'), h.body, 'anna') FROM hostile AS h;
    PERFORM cxm.send_message((SELECT conversation_id FROM cx.conversation WHERE thread = 'hostile'), h.body, 'anna') FROM hostile AS h;
    PERFORM cxm.search_messages(left(h.body, 4000)) FROM hostile AS h;
END $$;
SELECT is((SELECT count(*) FROM hostile AS h WHERE 3 = (SELECT count(*) FROM cx.conversation_thread AS t JOIN cx.conversation AS c USING (conversation_id) WHERE c.thread = 'hostile' AND t.body = h.body)),
          (SELECT count(*) FROM hostile), 'hostile text is kept as it is');
SELECT is((SELECT count(*) FROM hostile AS h WHERE 1 = (SELECT count(*) FROM cx.delivery AS d JOIN cx.conversation_message AS m ON m.message_id = d.record_id JOIN cx.conversation AS c USING (conversation_id)
                                                        WHERE d.kind = 'message' AND c.thread = 'hostile' AND d.payload ->> 'text' = h.body AND d.payload ->> 'thread' = 'hostile')),
          (SELECT count(*) FROM hostile), 'and given to the sender as it is');

---- redaction leaves nothing, notifications never had anything

DO $$
DECLARE
    id bigint := (cxm.receive_message('web_chat', 'my pin is xyzzy-in', thread => 'redact', properties => '{"file": "xyzzy-file"}')).conversation_id;
BEGIN
    PERFORM cxm.edit_message(cxm.add_note(id, 'xyzzy-note', 'anna'), 'xyzzy-note 2', 'anna');
    PERFORM cxm.send_message(id, 'xyzzy-out', 'anna', properties => '{"file": "xyzzy"}');
END
$$;
SELECT is((SELECT count(*) FROM cx.outbox WHERE payload::text ~ 'xyzzy'), 0::bigint, 'no notification holds text');
CREATE FUNCTION pg_temp.scan(needle text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    t regclass;
    n bigint;
    total bigint := 0;
BEGIN
    FOR t IN SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition LOOP
        EXECUTE format('SELECT count(*) FROM %s AS x WHERE x::text ~ $1', t) INTO n USING needle;
        total := total + n;
    END LOOP;
    RETURN total;
END
$$;
SELECT is(pg_temp.scan('xyzzy'), 5::bigint, 'text stands in messages, the trace of edits and the queue');
DO $$ BEGIN PERFORM cxm.redact_message(m.message_id, 'a secret', 'anna') FROM cx.conversation_message AS m WHERE m.body ~ 'xyzzy'; END $$;
SELECT is(pg_temp.scan('xyzzy'), 0::bigint, 'and nowhere in the store after redaction');
SELECT is((SELECT count(*) FROM cx.conversation_event WHERE event = 'redacted' AND actor = 'anna' AND detail = 'a secret'), 3::bigint, 'which leaves a trace');
SELECT is((SELECT d.state FROM cx.delivery AS d JOIN cx.conversation_message AS m ON m.message_id = d.record_id JOIN cx.conversation AS c USING (conversation_id) WHERE c.thread = 'redact'), 'cancelled', 'what was not sent is withdrawn');

---- batches and replay

SELECT is((SELECT r::text FROM cxm.receive_messages('[{"channel": "pigeon", "body": "coo", "external_id": "p1"}, {"channel": "sms"}, 7, {"channel": "sms", "body": "x", "colour": "red"},
    {"channel": "sms", "body": "ok", "external_id": "p2"}, {"channel": "sms", "body": "ok", "external_id": "p2"}]', 'batch') AS r), '(1,1,4)', 'a batch takes what is good');
DO $$ BEGIN PERFORM cxm.set_delivery_channel('pigeon'); END $$;
SELECT is((SELECT array_agg(cxm.replay_rejection(r.rejection_id) ORDER BY r.rejection_id) FROM cx.rejection AS r WHERE r.kind = 'message'), '{t,f,f,f}', 'and what is mended is taken later');
SELECT is((SELECT count(*) FROM cx.conversation_message AS m JOIN cx.source AS s USING (source_id) WHERE s.source = 'batch'), 2::bigint, 'once');

---- many rows: nothing on the way of a message reads the tables

INSERT INTO cx.conversation (channel, source_id, thread, last_message_no, last_message_at, unanswered_since) SELECT 'web_chat', cxm.source_id('app'), 'many ' || i, 10, now(), now() + i * interval '1 s' FROM generate_series(1, 2000) AS i;
INSERT INTO cx.conversation_message (conversation_id, message_no, kind, participant, channel, body, occurred_at, search)
SELECT c.conversation_id, i, 'inbound', 'customer', 'web_chat', 'x', now(), to_tsvector('simple', 'word' || c.conversation_id) FROM cx.conversation AS c, generate_series(1, 10) AS i WHERE c.thread LIKE 'many %';
ANALYZE cx.conversation, cx.conversation_message, cx.conversation_participant;
CREATE FUNCTION pg_temp.scans() RETURNS bigint LANGUAGE sql AS $$ SELECT sum(pg_stat_get_xact_numscans(t)) FROM unnest('{cx.conversation,cx.conversation_message}'::regclass[]) AS t $$;
CREATE TEMPORARY TABLE scans AS SELECT pg_temp.scans() AS n;
DO $$
DECLARE
    m record;
BEGIN
    SELECT * INTO m FROM cxm.receive_message('web_chat', 'hello', thread => 'many 77', external_id => 'many 1');
    PERFORM cxm.receive_message('web_chat', 'hello', thread => 'many 77', external_id => 'many 1');
    PERFORM cxm.receive_message('email', 'hello', '{"email": "ann@shop.example"}');
    PERFORM cxm.take_conversations(3, 'zoe');
    PERFORM cxm.edit_message(cxm.add_note(m.conversation_id, 'note', 'zoe'), 'other note', 'zoe');
    PERFORM cxm.redact_message(cxm.send_message(m.conversation_id, 'answer', 'zoe'), 'x', 'zoe');
    PERFORM cxm.mark_read(m.conversation_id, 'zoe'), cxm.unread_count(m.conversation_id, 'zoe');
    PERFORM cxm.unread_conversations('zoe');
    PERFORM cxm.set_conversation_state(m.conversation_id, 'closed', 'zoe', seen_no => 99);
    PERFORM cxm.search_messages('word' || m.conversation_id);
END
$$;
SELECT is(pg_temp.scans() - (SELECT n FROM scans), 0::bigint, 'every step finds its rows by an index');

-- of messages that come in late the one that was written first counts
SELECT cxm.receive_message('web_chat', 'second', thread => 'late', at => '2026-01-02 12:00+00');
SELECT cxm.receive_message('web_chat', 'first', thread => 'late', at => '2026-01-02 11:00+00');
SELECT is((SELECT c.unanswered_since FROM cx.conversation AS c WHERE c.thread = 'late'), '2026-01-02 11:00+00'::timestamptz, 'unanswered since the first message was written');

SELECT * FROM finish();
ROLLBACK;
