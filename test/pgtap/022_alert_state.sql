-- States of an alert and the moves between them; rules that change under a session; comments nobody should write.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SELECT plan(65);
DO $$ BEGIN PERFORM cxm.version(); END $$;

---- every state to every state

SELECT cxm.add_alert_rule('r', metric => 'nps');
-- a fresh alert in that state, and what it takes to be in it
CREATE FUNCTION pg_temp.alert_in(state text) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO cx.alert (rule_id, rule_version, key, occurred_at, severity, state, claimed_at, claimed_by, claim_expires_at, acknowledged_at, acknowledged_by, held_until, limit_key)
    SELECT r.rule_id, r.version, gen_random_uuid()::text, now(), 'high', state,
           CASE WHEN state = 'claimed' THEN now() END, CASE WHEN state = 'claimed' THEN 'a' END, CASE WHEN state = 'claimed' THEN now() END,
           CASE WHEN state = 'acknowledged' THEN now() END, CASE WHEN state = 'acknowledged' THEN 'a' END,
           CASE WHEN state = 'held' THEN now() END, CASE WHEN state = 'suppressed' THEN 'rule' END
    FROM cx.alert_rule AS r
    RETURNING alert_id
$$;
CREATE FUNCTION pg_temp.move(was text, becomes text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_alert bigint := pg_temp.alert_in(was);
BEGIN
    UPDATE cx.alert AS a
    SET state = becomes,
        claimed_at = CASE WHEN becomes = 'claimed' THEN now() END, claimed_by = CASE WHEN becomes = 'claimed' THEN 'a' END, claim_expires_at = CASE WHEN becomes = 'claimed' THEN now() END,
        acknowledged_at = CASE WHEN becomes = 'acknowledged' THEN now() END, acknowledged_by = CASE WHEN becomes = 'acknowledged' THEN 'a' END,
        held_until = CASE WHEN becomes = 'held' THEN now() END, limit_key = CASE WHEN becomes = 'suppressed' THEN 'rule' END
    WHERE a.alert_id = v_alert;
    RETURN 'moved';
EXCEPTION
    WHEN object_not_in_prerequisite_state THEN
        RETURN 'refused';
END
$$;
SELECT is(pg_temp.move(was.state, becomes.state),
          CASE WHEN was.state = becomes.state OR (was.state, becomes.state) IN (('open', 'claimed'), ('open', 'acknowledged'), ('claimed', 'open'), ('claimed', 'acknowledged'), ('held', 'open'), ('held', 'acknowledged'))
               THEN 'moved' ELSE 'refused' END,
          was.state || ' to ' || becomes.state)
FROM unnest('{open,claimed,acknowledged,held,suppressed}'::text[]) WITH ORDINALITY AS was(state, i), unnest('{open,claimed,acknowledged,held,suppressed}'::text[]) WITH ORDINALITY AS becomes(state, j)
ORDER BY i, j;
SELECT throws_ok('INSERT INTO cx.alert (rule_id, rule_version, key, occurred_at, severity, state) VALUES (1, 1, ''k'', now(), ''high'', ''lost'')', '23514', NULL, 'there is no other state');
SELECT throws_ok(format('UPDATE cx.alert SET state = ''claimed'' WHERE alert_id = %s', pg_temp.alert_in('open')), '23514', NULL, 'a claim says by whom');
SELECT throws_ok(format('UPDATE cx.alert SET state = ''acknowledged'', acknowledged_at = now() WHERE alert_id = %s', pg_temp.alert_in('open')), '23514', NULL, 'so does who acknowledges');
SELECT throws_ok(format('UPDATE cx.alert SET limit_key = ''rule'' WHERE alert_id = %s', pg_temp.alert_in('open')), '23514', NULL, 'an open alert fell under no limit');

-- the functions go by the same
SELECT results_eq(format('SELECT count(*)::integer FROM cxm.claim_alerts(100) WHERE alert_id = %s', pg_temp.alert_in(s)), ARRAY[CASE WHEN s IN ('open', 'claimed') THEN 1 ELSE 0 END], s || ' claimed, when nobody holds it')
FROM unnest('{open,claimed,acknowledged,held,suppressed}'::text[]) AS s;
SELECT is(cxm.release_alert(pg_temp.alert_in(s), 'a'), s = 'claimed', s || ' given back')
FROM unnest('{open,claimed,acknowledged,held,suppressed}'::text[]) AS s;
SELECT is(cxm.acknowledge_alert(pg_temp.alert_in(s), 'n', 'b'), s <> 'acknowledged', s || ' acknowledged')
FROM unnest('{open,claimed,acknowledged,held}'::text[]) AS s;
SELECT throws_ok(format('SELECT cxm.acknowledge_alert(%s)', pg_temp.alert_in('suppressed')), '55000', NULL, 'what was suppressed is not acknowledged');

---- rules that change under a session that keeps them

TRUNCATE cx.alert, cx.alert_rule CASCADE;
CREATE FUNCTION pg_temp.raises(score integer, comment text DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_before bigint := (SELECT count(*) FROM cx.alert);
BEGIN
    INSERT INTO cx.feedback (metric, score, comment) VALUES ('nps', raises.score, raises.comment);
    RETURN (SELECT count(*) FROM cx.alert) - v_before;
END
$$;
SELECT is(pg_temp.raises(3), 0::bigint, 'no rule');
SELECT cxm.add_alert_rule('r', metric => 'nps', score_max => 3);
SELECT is(pg_temp.raises(3), 1::bigint, 'a rule is in force at once');
SELECT is(pg_temp.raises(4), 0::bigint, 'for what it says');
SAVEPOINT s;
SELECT cxm.change_alert_rule('r', '{"score_max": 4}');
SELECT is(pg_temp.raises(4), 1::bigint, 'changed');
ROLLBACK TO s;
SELECT is(pg_temp.raises(4), 0::bigint, 'the change taken back');
UPDATE cx.alert_rule SET score_max = 4;
SELECT is(pg_temp.raises(4), 1::bigint, 'changed by hand');
SAVEPOINT s;
TRUNCATE cx.alert_rule CASCADE;
SELECT is(pg_temp.raises(4), 0::bigint, 'none left');
ROLLBACK TO s;
SELECT is(pg_temp.raises(4), 1::bigint, 'and there again');
DELETE FROM cx.alert_rule;
SELECT is(pg_temp.raises(4), 0::bigint, 'deleted');
-- a configuration that changes
CREATE TEXT SEARCH CONFIGURATION public.words (COPY = pg_catalog.simple);
SELECT cxm.add_alert_rule('w', search => 'refund', search_config => 'public.words');
SELECT is(pg_temp.raises(4, 'refunds'), 0::bigint, 'words as they are');
ALTER TEXT SEARCH CONFIGURATION public.words ALTER MAPPING FOR asciiword WITH english_stem;
SELECT is(pg_temp.raises(4, 'refunds'), 1::bigint, 'words by their stem, from then on');
ALTER TEXT SEARCH CONFIGURATION public.words RENAME TO others;
SELECT is(pg_temp.raises(4, 'refunds'), 0::bigint, 'a configuration that is gone');
SELECT is((SELECT count(*) FROM cx.rejection WHERE kind = 'alert'), 1::bigint, 'is on record');
ALTER TEXT SEARCH CONFIGURATION public.others RENAME TO words;
SELECT is(pg_temp.raises(4, 'refunds'), 1::bigint, 'and works again when it is back');

---- comments

TRUNCATE cx.rejection;
SELECT is(pg_temp.raises(4, repeat('refund', 200000)), 0::bigint, 'a megabyte of one word');
SELECT is(pg_temp.raises(4, repeat('refund ', 200000)), 1::bigint, 'a megabyte of one word over and over');
SELECT is(pg_temp.raises(4, (SELECT string_agg(chr(i), '') FROM generate_series(1, 40000) AS i WHERE i NOT BETWEEN 55296 AND 57343) || ' refund'), 1::bigint, 'every character there is');
SELECT is(pg_temp.raises(4, repeat('''\:*&|!()<-> ', 5000) || 'refund'), 1::bigint, 'what has a meaning in a query or a vector');
SELECT is(pg_temp.raises(4, repeat('é', 99999) || ' refund'), 0::bigint, 'beyond the first hundred thousand characters nothing is searched');
SELECT is(pg_temp.raises(4, ''), 0::bigint, 'nothing at all');
SELECT is((SELECT string_agg(reason, ', ') FROM cx.rejection), NULL, 'none of them was too much');

SELECT * FROM finish();
ROLLBACK;
