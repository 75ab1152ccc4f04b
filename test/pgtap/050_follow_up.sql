-- Contracts of follow-ups: the state machine in full, the history against the state, opening set-wise against opening
-- one by one, and what agents may do.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SELECT plan(124);
DO $$ BEGIN PERFORM setseed(0.25); END $$;

-- What each move does to each state, stated once more: a state that it leads to, = where it changes nothing, and - where
-- it is impossible. Each follow-up belongs to anna and has had no first response.
CREATE TEMPORARY TABLE wanted (move text, open text, in_progress text, waiting text, resolved text, closed text, cancelled text);
INSERT INTO wanted VALUES
    ('assign',     'open',        'in_progress', 'waiting',     '-',        '-',        '-'),
    ('take',       'in_progress', '=',           '-',           '-',        '-',        '-'),
    ('respond',    'in_progress', 'in_progress', 'waiting',     '-',        '-',        '-'),
    ('note',       'open',        'in_progress', 'waiting',     'resolved', 'closed',   'cancelled'),
    ('prioritize', 'open',        'in_progress', 'waiting',     '-',        '-',        '-'),
    ('wait',       '-',           'waiting',     '=',           '-',        '-',        '-'),
    ('resume',     '-',           '=',           'in_progress', '-',        '-',        '-'),
    ('resolve',    '-',           'resolved',    'resolved',    '=',        '-',        '-'),
    ('close',      '-',           '-',           '-',           'closed',   '=',        '-'),
    ('reopen',     '=',           '-',           '-',           'open',     'open',     'open'),
    ('escalate',   'open',        'in_progress', 'waiting',     '-',        '-',        '-'),
    ('cancel',     'cancelled',   'cancelled',   'cancelled',   '-',        '-',        '=');
CREATE TEMPORARY TABLE possible (state text, moves text);
INSERT INTO possible VALUES
    ('open', 'assign, cancel, escalate, note, prioritize, respond, take'),
    ('in_progress', 'assign, cancel, escalate, note, prioritize, resolve, respond, wait'),
    ('waiting', 'assign, cancel, escalate, note, prioritize, resolve, respond, resume'),
    ('resolved', 'close, note, reopen'),
    ('closed', 'note, reopen'),
    ('cancelled', 'note, reopen');

CREATE FUNCTION pg_temp.made(state text) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO cx.follow_up (state, owner, waiting_since, resolved_at, closed_at, outcome, moved_at)
    VALUES (state, 'anna', CASE WHEN state = 'waiting' THEN now() END, CASE WHEN state IN ('resolved', 'closed') THEN now() END,
            CASE WHEN state IN ('closed', 'cancelled') THEN now() END, CASE WHEN state IN ('resolved', 'closed') THEN 'solved' END, now())
    RETURNING follow_up_id
$$;
-- what a move comes to, in the words of the table above
CREATE FUNCTION pg_temp.tried(id bigint, move text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    changed boolean;
    message text;
    hint text;
BEGIN
    EXECUTE CASE move
        WHEN 'assign' THEN 'SELECT cxm.assign_follow_up($1, ''bob'', moved_by => ''anna'')'
        WHEN 'note' THEN 'SELECT cxm.note_follow_up($1, ''x'', moved_by => ''anna'')'
        WHEN 'prioritize' THEN 'SELECT cxm.prioritize_follow_up($1, ''high'', moved_by => ''anna'')'
        WHEN 'resolve' THEN 'SELECT cxm.resolve_follow_up($1, ''solved'', moved_by => ''anna'')'
        ELSE format('SELECT cxm.%s_follow_up($1, moved_by => ''anna'')', move) END INTO changed USING id;
    RETURN CASE WHEN changed THEN (SELECT f.state FROM cx.follow_up AS f WHERE f.follow_up_id = id) ELSE '=' END;
EXCEPTION
    WHEN object_not_in_prerequisite_state THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
        RETURN replace(message, id::text, 'N') || ' | ' || hint;
END
$$;

SELECT is(pg_temp.tried(pg_temp.made(s.state), w.move),
          CASE s.next WHEN '-' THEN format('follow-up N is %s: "%s" is impossible | Possible are %s.', s.state, w.move, p.moves) ELSE s.next END,
          format('%s, then %s: %s', s.state, w.move, replace(replace(s.next, '-', 'an error'), '=', 'nothing')))
FROM wanted AS w
CROSS JOIN LATERAL (VALUES ('open', w.open), ('in_progress', w.in_progress), ('waiting', w.waiting), ('resolved', w.resolved),
                           ('closed', w.closed), ('cancelled', w.cancelled)) AS s (state, next)
JOIN possible AS p ON p.state = s.state;

-- the same by an UPDATE by hand: a state can follow another if some move leads there
SELECT is((SELECT count(*) FROM (VALUES ('open'), ('in_progress'), ('waiting'), ('resolved'), ('closed'), ('cancelled')) AS a (s),
                                (VALUES ('open'), ('in_progress'), ('waiting'), ('resolved'), ('closed'), ('cancelled')) AS b (s)
           WHERE a.s <> b.s AND EXISTS (SELECT FROM cxm.follow_up_moves() AS m WHERE m.state = a.s AND m.next_state = b.s)), 12::bigint,
          'twelve changes of state are possible');
SELECT throws_ok(format('UPDATE cx.follow_up SET state = %L, waiting_since = NULL, outcome = NULL, resolved_at = %L, closed_at = %L WHERE follow_up_id = %s',
                        w.b, CASE WHEN w.b IN ('resolved', 'closed') THEN now() END, CASE WHEN w.b IN ('closed', 'cancelled') THEN now() END, pg_temp.made(w.a)),
                 '55000', NULL, format('nor by hand from %s to %s', w.a, w.b))
FROM (VALUES ('open', 'resolved'), ('open', 'closed'), ('in_progress', 'closed'), ('in_progress', 'open'), ('waiting', 'closed'), ('resolved', 'in_progress'),
             ('resolved', 'cancelled'), ('closed', 'resolved'), ('cancelled', 'in_progress'), ('cancelled', 'closed')) AS w (a, b);
SELECT throws_ok(format('UPDATE cx.follow_up SET state = ''closed'' WHERE follow_up_id = %s', n.id), '55000', format('follow-up %s cannot go from open to closed', n.id), 'which says so before constraints of the row do')
FROM (SELECT pg_temp.made('open') AS id) AS n;
SELECT throws_ok('UPDATE cx.follow_up SET follow_up_id = 900000 WHERE follow_up_id = (SELECT min(f.follow_up_id) FROM cx.follow_up AS f)', '55000', 'follow-up 900000 was another one before', 'a number stays');

-- an UPDATE by hand that is possible leaves a trace
UPDATE cx.follow_up AS f SET owner = 'carl', touchpoint_id = 7, note = 'by hand' FROM (SELECT pg_temp.made('open') AS id) AS n WHERE f.follow_up_id = n.id;
SELECT is((SELECT count(*) FROM cx.follow_up_event WHERE note = 'by hand'), 0::bigint, 'the row made in the same statement was not seen by it');
UPDATE cx.follow_up AS f SET owner = 'carl', touchpoint_id = 7, note = 'by hand' WHERE f.follow_up_id = (SELECT max(follow_up_id) FROM cx.follow_up);
SELECT results_eq('SELECT move, moved_by, from_owner, to_owner, note, changes::text FROM cx.follow_up_event ORDER BY event_id DESC LIMIT 1',
                  format('VALUES (''edit'', %L, ''anna'', ''carl'', ''by hand'', ''{"touchpoint_id": [null, 7]}'')', session_user), 'an UPDATE by hand is recorded as edit');
SELECT is((SELECT count(*) FROM cx.follow_up_event), (SELECT count(*) FROM cx.follow_up_event AS e JOIN cx.follow_up AS f USING (follow_up_id)), 'each event is of a follow-up');

-- all or none, and none twice
CREATE TEMPORARY TABLE five AS SELECT i AS n, pg_temp.made('in_progress') AS id FROM generate_series(1, 5) AS i;
SELECT cxm.wait_follow_up(id) FROM five WHERE n = 3;
SELECT cxm.cancel_follow_up(id) FROM five WHERE n = 4;
SELECT throws_like('SELECT cxm.wait_follow_ups(ARRAY(SELECT id FROM five))', '%"wait" is impossible', 'one that cannot stops all');
SELECT is((SELECT count(*) FROM five JOIN cx.follow_up AS f ON f.follow_up_id = id WHERE f.state = 'in_progress'), 3::bigint, 'and none has moved');
SELECT throws_ok('SELECT cxm.wait_follow_ups(ARRAY(SELECT id FROM five) || ARRAY[NULL, -1])', 'P0002', 'follow-up -1 does not exist', 'so does one that is not there');
SELECT is(cxm.wait_follow_ups(ARRAY(SELECT id FROM five, generate_series(1, 3) WHERE n <> 4)), 3::bigint, 'named three times each, three move once and one not at all');

-- random moves: the state is what the table above says, and the history, replayed, is the row
TRUNCATE cx.follow_up, cx.follow_up_event, cx.outbox;
CREATE TEMPORARY TABLE model AS SELECT pg_temp.made('open') AS id, 'open'::text AS state, 'anna'::text AS owner FROM generate_series(1, 30);
CREATE TEMPORARY TABLE tally (kind text);
DO $$
DECLARE
    v_row model;
    v_move text;
    v_by text;
    v_next text;
    v_changed boolean;
BEGIN
    FOR i IN 1 .. 1500 LOOP
        SELECT * INTO v_row FROM model ORDER BY random() LIMIT 1;
        SELECT w.move, to_jsonb(w) ->> v_row.state INTO v_move, v_next FROM wanted AS w ORDER BY random() LIMIT 1;
        -- ends come too often otherwise
        CONTINUE WHEN v_move IN ('cancel', 'close') AND random() < 0.7;
        v_by := (ARRAY['anna', 'bob'])[1 + floor(random() * 2)];
        BEGIN
            v_changed := cxm.move_follow_ups(ARRAY[v_row.id], v_move, v_by, note => 'n' || i,
                owner => CASE WHEN v_move IN ('assign', 'escalate') THEN (ARRAY['anna', 'bob', 'carl'])[1 + floor(random() * 3)] END,
                priority => CASE WHEN v_move IN ('prioritize', 'escalate') THEN (ARRAY['low', 'medium', 'high', 'critical'])[1 + floor(random() * 4)] END,
                outcome => CASE WHEN v_move = 'resolve' THEN (ARRAY['solved', 'explained'])[1 + floor(random() * 2)] END) > 0;
            IF v_next = '-' THEN
                RAISE EXCEPTION '% of a follow-up that is % went through', v_move, v_row.state;
            ELSIF v_changed AND v_next <> '=' THEN
                UPDATE model SET state = v_next WHERE id = v_row.id;
            END IF;
            INSERT INTO tally VALUES (CASE WHEN v_changed THEN 'changed' ELSE 'same' END);
        EXCEPTION
            WHEN object_not_in_prerequisite_state THEN
                -- what another has, and what has another outcome
                IF v_next <> '-' AND NOT (v_next = '=' AND v_move IN ('take', 'resolve')) THEN
                    RAISE;
                END IF;
                INSERT INTO tally VALUES ('refused');
        END;
    END LOOP;
END
$$;
SELECT cmp_ok((SELECT min(c) FROM (SELECT count(*) AS c FROM tally GROUP BY kind) AS k), '>', 40::bigint, 'random moves changed something, changed nothing, and were refused');
SELECT is((SELECT count(DISTINCT kind) FROM tally), 3::bigint, 'each of the three');
SELECT results_eq('SELECT follow_up_id, state FROM cx.follow_up ORDER BY 1', 'SELECT id, state FROM model ORDER BY 1', 'every state is what the table of moves says');
SELECT is((SELECT count(*) FROM cx.follow_up_event WHERE move <> 'open'), (SELECT count(*) FROM tally WHERE kind = 'changed'), 'an event for every move that changed something');
SELECT is((SELECT count(*) FROM cx.outbox WHERE channel = 'cxm_follow_up' AND payload ? 'follow_up_id'), (SELECT count(*) FROM cx.follow_up_event), 'and a notification');
SELECT is_empty($$SELECT o.payload FROM cx.outbox AS o, jsonb_object_keys(o.payload) AS k WHERE k NOT IN ('follow_up_id', 'move', 'state', 'priority')$$, 'of ids and states only');
SELECT is_empty($$SELECT * FROM cx.follow_up_event AS e
                  JOIN LATERAL (SELECT * FROM cx.follow_up_event AS b WHERE b.follow_up_id = e.follow_up_id AND b.event_id < e.event_id ORDER BY b.event_id DESC LIMIT 1) AS b ON true
                  WHERE (b.to_state, b.to_owner, b.to_priority) IS DISTINCT FROM (e.from_state, e.from_owner, e.from_priority) OR b.moved_at > e.moved_at$$,
                'each event begins where the one before ended');
-- from the row as it is back to the row as it was made, undoing event after event
CREATE FUNCTION pg_temp.undone(id bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_now jsonb := (SELECT to_jsonb(f) FROM cx.follow_up AS f WHERE f.follow_up_id = id);
    v_event cx.follow_up_event;
    v_change record;
BEGIN
    FOR v_event IN SELECT * FROM cx.follow_up_event AS e WHERE e.follow_up_id = id AND e.move <> 'open' ORDER BY e.event_id DESC LOOP
        IF (v_now ->> 'state', v_now ->> 'owner', v_now ->> 'priority') IS DISTINCT FROM (v_event.to_state, v_event.to_owner, v_event.to_priority) THEN
            RETURN jsonb_build_object('wrong event', to_jsonb(v_event));
        END IF;
        v_now := v_now || jsonb_build_object('state', v_event.from_state, 'owner', v_event.from_owner, 'priority', v_event.from_priority);
        FOR v_change IN SELECT * FROM jsonb_each(v_event.changes) LOOP
            IF v_now -> v_change.key IS DISTINCT FROM v_change.value -> 1 THEN
                RETURN jsonb_build_object('wrong change', to_jsonb(v_event));
            END IF;
            v_now := v_now || jsonb_build_object(v_change.key, v_change.value -> 0);
        END LOOP;
    END LOOP;
    RETURN v_now - '{move,moved_at,moved_by,note,priority_rank,next_due_at,follow_up_id,opened_at,occurred_at}'::text[];
END
$$;
SELECT is((SELECT count(DISTINCT pg_temp.undone(id)) FROM model), 1::bigint, 'undone event by event, all rows are as they were made');
SELECT is(pg_temp.undone((SELECT min(id) FROM model)) ->> 'state', 'open', 'open');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'the store is sound');
UPDATE cx.follow_up_event SET to_owner = 'eve' WHERE event_id = (SELECT max(event_id) FROM cx.follow_up_event);
SELECT is((SELECT string_agg(problem, '') FROM cxm.store_check()), 'state, owner or priority is not what the history says', 'a forged history is found');

-- Opening: many at once is one after the other, in whatever parts, and attaches what belongs together
TRUNCATE cx.follow_up, cx.follow_up_event, cx.outbox;
SELECT cxm.add_alert_rule('r1', metric => 'nps', score_max => 6), cxm.add_alert_rule('r2', metric => 'nps', score_max => 4, severity => 'critical'),
       cxm.add_alert_rule('r3', metric => 'nps', score_max => 5, severity => 'low'), cxm.add_alert_rule('r4', metric => 'nps', score_max => 3, severity => 'medium');
SELECT cxm.set_follow_up_policy('critical', scope => 'customer', respond_within => '1 hour', resolve_within => '1 day');
SELECT cxm.set_follow_up_policy('low', scope => 'customer', respond_within => '7 days', resolve_within => '14 days');
SELECT cxm.set_follow_up_policy('medium', scope => 'alert');
-- people of one to three identifiers, some answers by nobody
SELECT count(cxm.identify(jsonb_build_object('email', 'p' || i || '@x.org', 'loyalty_id', CASE WHEN i % 2 = 0 THEN 'l' || i END,
                                             'phone', CASE WHEN i % 3 = 0 THEN '+4930123' || 100 + i END))) FROM generate_series(1, 40) AS i;
INSERT INTO cx.feedback (metric, score, identifier_id)
SELECT 'nps', floor(random() * 8), CASE WHEN random() < 0.9 THEN (SELECT identifier_id FROM cx.identifier ORDER BY random() + i LIMIT 1) END FROM generate_series(1, 300) AS i;
SELECT cmp_ok((SELECT count(*) FROM cx.alert), '>', 500::bigint, 'many alerts');

CREATE FUNCTION pg_temp.opened() RETURNS TABLE (alerts bigint[], first_alert bigint, severity text, priority text, scope text, n integer, response interval, resolution interval)
LANGUAGE sql AS $$
    SELECT array_agg(x.alert_id ORDER BY x.alert_id), f.alert_id, f.severity, f.priority, f.scope, f.alerts,
           date_trunc('day', f.first_response_due - f.opened_at + interval '1 minute'), date_trunc('day', f.due_at - f.opened_at + interval '1 minute')
    FROM cx.follow_up AS f JOIN cx.follow_up_alert AS x USING (follow_up_id) GROUP BY f.follow_up_id
$$;
-- what should come out, from the profiles and in plain words: with nothing closed, one for each customer and scope
CREATE TEMPORARY TABLE oracle AS
SELECT array_agg(a.alert_id ORDER BY a.alert_id) AS alerts, min(a.alert_id) AS first_alert
FROM cx.alert AS a
JOIN cx.alert_rule AS r USING (rule_id)
LEFT JOIN cx.identifier AS i USING (identifier_id)
LEFT JOIN cx.profile AS p USING (profile_id)
GROUP BY coalesce('p' || p.canonical_id, 'f' || a.feedback_id), CASE r.name WHEN 'r1' THEN 'r1' WHEN 'r4' THEN 'alert ' || a.alert_id ELSE 'customer' END;

SELECT cxm.open_follow_ups(ARRAY(SELECT alert_id FROM cx.alert ORDER BY random()));
CREATE TEMPORARY TABLE at_once AS SELECT * FROM pg_temp.opened();
SELECT set_eq('SELECT alerts, first_alert FROM at_once', 'SELECT alerts, first_alert FROM oracle', 'opened at once: a follow-up a customer and scope');
SELECT is((SELECT count(*) FROM cx.follow_up_alert), (SELECT count(*) FROM cx.alert), 'of every alert');
SELECT is((SELECT min(n) || ' ' || bool_and(n = cardinality(alerts)) FROM at_once), '1 true', 'which it counts');
SELECT is(cxm.open_follow_ups(ARRAY(SELECT alert_id FROM cx.alert)), 0::bigint, 'opened again: nothing');

TRUNCATE cx.follow_up, cx.follow_up_alert, cx.follow_up_event, cx.outbox, cx.follow_up_lock;
SELECT sum(cxm.open_follow_ups(ARRAY[alert_id])) = (SELECT count(*) FROM oracle) FROM (SELECT alert_id FROM cx.alert ORDER BY alert_id) AS a;
SELECT set_eq('SELECT * FROM pg_temp.opened()', 'SELECT * FROM at_once', 'opened one by one: the same, priorities and times included');
SELECT is((SELECT count(*) FROM cx.follow_up_event WHERE move = 'attach') + (SELECT count(*) FROM cx.follow_up), (SELECT count(*) FROM cx.alert), 'each alert is an event');

TRUNCATE cx.follow_up, cx.follow_up_alert, cx.follow_up_event, cx.outbox, cx.follow_up_lock;
DO $$
BEGIN
    FOR i IN 1 .. 20 LOOP
        PERFORM cxm.open_follow_ups(ARRAY(SELECT alert_id FROM cx.alert ORDER BY alert_id LIMIT (SELECT i * count(*) / 20 + 1 FROM cx.alert)));
    END LOOP;
END
$$;
SELECT set_eq('SELECT * FROM pg_temp.opened()', 'SELECT * FROM at_once', 'opened in overlapping parts: the same');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'and the store is sound');

-- reading
SET LOCAL enable_seqscan = off;
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || query; END $$;
SELECT is((SELECT string_agg(substring(p FROM 'using (\w+)'), ' ') FROM pg_temp.plan('SELECT follow_up_id FROM cx.follow_up WHERE state = ''open'' AND coalesce(owner, '''') = ''x'' ORDER BY priority_rank, next_due_at, follow_up_id LIMIT 1') AS p WHERE p ~ 'using|Sort'),
          'follow_up_queue_idx', 'the queue is read from its index, in order');
RESET enable_seqscan;
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'cx.follow_up'::regclass AND tgname LIKE 'follow\_up\_history\_%' AND tgtype & 1 = 0), 2::bigint, 'the history is written a statement at a time');

-- an agent works on follow-ups
CREATE ROLE cxm_test_agent;
CREATE ROLE cxm_test_reader;
SELECT cxm.grant_store('cxm_test_agent', 'agent'), cxm.grant_store('cxm_test_reader');
SET LOCAL ROLE cxm_test_agent;
SELECT lives_ok($$SELECT cxm.open_follow_up((SELECT min(feedback_id) FROM cx.feedback WHERE score = 7)),
                         (SELECT count(*) FROM cxm.claim_follow_ups(3, 'anna')), cxm.assign_follow_ups(ARRAY(SELECT follow_up_id FROM cx.follow_up), 'bob')$$, 'an agent opens, claims and assigns');
SELECT lives_ok($$SELECT cxm.resolve_follow_ups(ARRAY(SELECT follow_up_id FROM cx.follow_up WHERE state = 'in_progress'), 'solved', 'staff'), (SELECT count(*) FROM cx.follow_up_queue),
                         (SELECT count(*) FROM cx.follow_up_lift), (SELECT count(*) FROM cx.follow_up_times)$$, 'resolves, and reads the views');
SELECT throws_ok('SELECT cxm.set_follow_up_policy(''low'')', '42501', NULL, 'but sets no policy');
SELECT throws_ok('DELETE FROM cx.follow_up_event', '42501', NULL, 'nor does it change the history');
SELECT throws_ok('UPDATE cx.follow_up_event SET note = NULL', '42501', NULL, 'in any way');
SET LOCAL ROLE cxm_test_reader;
SELECT throws_ok('SELECT cxm.note_follow_up(1, ''x'')', '42501', NULL, 'a reader moves nothing');
RESET ROLE;

---- a day has 24 hours, also where clocks are changed: once on the way here from one of the two
SET LOCAL timezone = 'Europe/Berlin';
CREATE TEMP TABLE due ON COMMIT DROP AS
SELECT i AS n, f.follow_up_id, t.due_at, t.due_at - interval '12 hours' AS since
FROM (VALUES (1, timestamptz '2020-01-24 23:00'), (2, '2020-10-24 23:00')) AS t (i, due_at)
CROSS JOIN LATERAL cxm.open_follow_up(cxm.record_feedback('nps', 1, jsonb_build_object('email', 'clock' || t.i || '@x.org')), 'low') AS f (follow_up_id);
SELECT is(cxm.take_follow_ups(ARRAY(SELECT follow_up_id FROM due)) + cxm.wait_follow_ups(ARRAY(SELECT follow_up_id FROM due)), 4::bigint, 'two wait');
UPDATE cx.follow_up AS f SET opened_at = d.since, waiting_since = d.since, due_at = d.due_at FROM due AS d WHERE d.follow_up_id = f.follow_up_id;
SELECT is_empty($$SELECT FROM due AS d JOIN cx.follow_up_breaches AS b USING (follow_up_id)
                  WHERE b.promise = 'resolution' AND extract(epoch FROM b.due_at - d.due_at) <> extract(epoch FROM now() - d.since)$$,
                'what is due moves on by the time that it waits');
SELECT is(cxm.resume_follow_ups(ARRAY(SELECT follow_up_id FROM due)), 2::bigint, 'they go on');
SELECT is_empty($$SELECT FROM due AS d JOIN cx.follow_up AS f USING (follow_up_id)
                  WHERE extract(epoch FROM f.due_at - d.due_at) <> extract(epoch FROM f.moved_at - d.since)$$,
                'and are due later by the time that they waited');

SELECT * FROM finish();
ROLLBACK;
