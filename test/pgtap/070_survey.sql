-- The states of surveys and responses: what is possible in each, and that nothing else is; the token's way in
BEGIN;
SELECT plan(133);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;

CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;

---- surveys: every operation in every state
CREATE FUNCTION pg_temp.make_survey(key text, state text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_questions constant jsonb := '[{"key": "nps", "type": "nps", "text": "N", "required": true}, {"key": "why", "type": "text", "text": "W"}]';
BEGIN
    PERFORM cxm.create_survey(jsonb_build_object('key', key, 'questions', v_questions));
    IF state = 'draft' THEN
        RETURN;
    END IF;
    PERFORM cxm.publish_survey(key);
    IF state ~ 'closed' THEN
        PERFORM cxm.close_survey(key);
    END IF;
    IF state ~ 'with draft' THEN
        PERFORM cxm.change_survey(key, jsonb_build_object('questions', v_questions));
    END IF;
END $$;

CREATE TEMPORARY TABLE survey_move (state text, operation text, outcome text, afterwards text);
INSERT INTO survey_move
SELECT s.state, o.operation, o.outcomes[s.n], o.afterwards[s.n]
FROM (VALUES (1, 'draft'), (2, 'active'), (3, 'active with draft'), (4, 'closed'), (5, 'closed with draft')) AS s(n, state),
     (VALUES ('SELECT cxm.publish_survey(%L)', '{ok,55000,ok,55000,ok}'::text[], '{active,active,active,closed,active}'::text[]),
             ('SELECT cxm.close_survey(%L)', '{55000,ok,ok,55000,55000}', '{draft,closed,closed,closed,closed}'),
             ('SELECT cxm.reopen_survey(%L)', '{55000,55000,55000,ok,ok}', '{draft,active,active,active,active}'),
             ('SELECT cxm.change_survey(%L, ''{"questions": [{"key": "nps", "type": "nps", "text": "N"}]}'')', '{ok,ok,ok,ok,ok}', '{draft,active,active,closed,closed}'),
             ('SELECT cxm.translate_survey(%L, ''de'', ''{"nps": "N"}'')', '{55000,ok,ok,ok,ok}', '{draft,active,active,closed,closed}'),
             ('SELECT cxm.survey_definition(%L)', '{42704,ok,ok,ok,ok}', '{draft,active,active,closed,closed}'),
             ('SELECT cxm.submit_open_response(%L, ''x'', ''{"nps": 3}'')', '{55000,ok,ok,55000,55000}', '{draft,active,active,closed,closed}'),
             ('SELECT cxm.save_open_response(%L, ''x'', ''{"nps": 3}'')', '{55000,ok,ok,55000,55000}', '{draft,active,active,closed,closed}')) AS o(operation, outcomes, afterwards);
SELECT pg_temp.make_survey(replace(m.state, ' ', '_') || row_number() OVER (), m.state) FROM (SELECT * FROM survey_move ORDER BY state, operation) AS m;
CREATE TEMPORARY TABLE survey_moved AS
SELECT m.*, pg_temp.attempt(format(m.operation, m.key)) AS got FROM (SELECT *, replace(state, ' ', '_') || row_number() OVER (ORDER BY state, operation) AS key FROM survey_move) AS m;
SELECT is(m.got || ', ' || s.state, m.outcome || ', ' || m.afterwards, m.state || ': ' || m.operation) FROM survey_moved AS m JOIN cx.survey AS s USING (key) ORDER BY m.key;
SELECT is((SELECT count(*) FROM cx.survey_version AS v WHERE v.state = 'draft' GROUP BY survey_id ORDER BY 1 DESC LIMIT 1), 1::bigint, 'a survey has one draft at most');

---- what is published does not change, whatever is tried
SELECT throws_ok(s, '55000', NULL, s) FROM unnest(ARRAY[
    'UPDATE cx.survey_version SET plan = ''{}'' WHERE state = ''published''', 'DELETE FROM cx.survey_version WHERE state = ''published''',
    'UPDATE cx.survey_question SET required = NOT required', 'DELETE FROM cx.survey_question', 'UPDATE cx.survey_text SET text = ''x''', 'DELETE FROM cx.survey_text',
    'UPDATE cx.question SET key = ''x'' || question_id', 'UPDATE cx.question SET type = ''text'', metric = NULL', 'DELETE FROM cx.question']) AS s;
SELECT lives_ok('UPDATE cx.question SET retired = retired', 'what is published may be retired');
SELECT lives_ok('DELETE FROM cx.survey_version WHERE state = ''draft''', 'a draft may go');

---- responses: every operation in every state
SELECT cxm.create_survey('{"key": "r", "questions": [{"key": "nps", "type": "nps", "text": "N", "required": true}, {"key": "why", "type": "text", "text": "W"},
    {"key": "staff", "type": "boolean", "text": "S", "skip_to": [{"if": {"question": "staff", "op": "=", "value": true}, "to": "screen_out"}]}]}'), cxm.publish_survey('r');
CREATE FUNCTION pg_temp.make_response(id text, state text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE state
        WHEN 'none' THEN NULL;
        WHEN 'partial' THEN PERFORM cxm.save_open_response('r', id, '{"nps": 3, "why": "a"}');
        WHEN 'complete' THEN PERFORM cxm.submit_open_response('r', id, '{"nps": 3, "why": "a"}');
        WHEN 'screened_out' THEN PERFORM cxm.submit_open_response('r', id, '{"nps": 3, "staff": true}');
    END CASE;
END $$;
CREATE TEMPORARY TABLE response_move (state text, operation text, outcome text, afterwards text);
INSERT INTO response_move
SELECT s.state, o.operation, o.outcomes[s.n], o.afterwards[s.n]
FROM (VALUES (1, 'none'), (2, 'partial'), (3, 'complete'), (4, 'screened_out')) AS s(n, state),
     (VALUES ('SELECT cxm.save_open_response(''r'', %L, ''{"nps": 3}'')', '{ok,ok,ok,ok}'::text[], '{partial,partial,complete,screened_out}'::text[]),
             ('SELECT cxm.save_open_response(''r'', %L, ''{"nps": 4}'')', '{ok,ok,55000,55000}', '{partial,partial,complete,screened_out}'),
             ('SELECT cxm.save_open_response(''r'', %L, ''{"nps": null}'')', '{ok,ok,55000,55000}', '{partial,partial,complete,screened_out}'),
             ('SELECT cxm.submit_open_response(''r'', %L, ''{"nps": 3, "why": "a"}'')', '{ok,ok,ok,55000}', '{complete,complete,complete,screened_out}'),
             ('SELECT cxm.submit_open_response(''r'', %L, ''{"nps": 3, "staff": true}'')', '{ok,ok,55000,ok}', '{screened_out,screened_out,complete,screened_out}'),
             ('SELECT cxm.submit_open_response(''r'', %L, ''{}'')', '{22004,ok,55000,55000}', '{none,complete,complete,screened_out}'),
             ('SELECT cxm.submit_open_response(''r'', %L, ''{"nps": 11}'')', '{22003,22003,22003,22003}', '{none,partial,complete,screened_out}')) AS o(operation, outcomes, afterwards);
SELECT pg_temp.make_response('r' || row_number() OVER (), m.state) FROM (SELECT * FROM response_move ORDER BY state, operation) AS m;
CREATE TEMPORARY TABLE response_moved AS
SELECT m.*, pg_temp.attempt(format(m.operation, m.id)) AS got FROM (SELECT *, 'r' || row_number() OVER (ORDER BY state, operation) AS id FROM response_move) AS m;
SELECT is(m.got || ', ' || coalesce(r.state, 'none'), m.outcome || ', ' || m.afterwards, m.state || ': ' || m.operation)
FROM response_moved AS m LEFT JOIN cx.response AS r ON r.submission_id = m.id ORDER BY m.id;
SELECT is_empty($$SELECT r.submission_id FROM cx.response AS r JOIN cx.survey AS s USING (survey_id) WHERE s.key = 'r' AND (r.feedback_at IS NULL) <> (r.state <> 'complete')$$, 'complete responses have feedback, others have none');
SELECT is_empty($$SELECT FROM cx.feedback AS f JOIN cx.response AS r USING (submission_id) JOIN cx.survey AS s USING (survey_id) WHERE s.key = 'r' AND r.state <> 'complete'$$, 'in the table too');
SELECT is((SELECT count(*) FROM cx.feedback AS f GROUP BY f.submission_id, f.question, f.properties ->> 'response_id' ORDER BY 1 DESC LIMIT 1), 1::bigint, 'and no answer twice');
-- the table itself refuses what no function does
SELECT throws_ok(s, '23514', NULL, s) FROM unnest(ARRAY[
    'UPDATE cx.response SET state = ''partial'' WHERE state = ''complete''', 'UPDATE cx.response SET state = ''done''', 'UPDATE cx.response SET completed_at = started_at - interval ''1 s'' WHERE state = ''complete'' AND started_at IS NOT NULL',
    'UPDATE cx.answer SET value_text = ''x'' WHERE value_number IS NOT NULL', 'UPDATE cx.answer SET value_number = NULL', 'UPDATE cx.survey SET state = ''draft''', 'UPDATE cx.survey SET closed_at = now() WHERE state = ''active''']) AS s;

---- tokens: what redeem_token says holds, and complete_invitation is told once
CREATE TEMPORARY TABLE token (token text, invitation_id bigint, survey_id integer, identifier_id bigint, language text, completed_by bigint[] NOT NULL DEFAULT '{}');
CREATE OR REPLACE FUNCTION cxm.redeem_token(token text, OUT invitation_id bigint, OUT survey_id integer, OUT identifier_id bigint, OUT language text, OUT response_id bigint) RETURNS record LANGUAGE plpgsql AS $$
BEGIN
    SELECT t.invitation_id, t.survey_id, t.identifier_id, t.language, t.completed_by[1] INTO invitation_id, survey_id, identifier_id, language, response_id
    FROM pg_temp.token AS t WHERE t.token = redeem_token.token FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the token is not known' USING ERRCODE = 'CX001';
    END IF;
END $$;
CREATE OR REPLACE FUNCTION cxm.complete_invitation(invitation_id bigint, response_id bigint) RETURNS void LANGUAGE sql AS $$
    UPDATE pg_temp.token AS t SET completed_by = t.completed_by || complete_invitation.response_id WHERE t.invitation_id = complete_invitation.invitation_id;
$$;
SELECT cxm.identify('{"email": "ann@example.com"}');
INSERT INTO token SELECT 't' || n, 1000 + n, (SELECT survey_id FROM cx.survey WHERE key = 'r'), (SELECT identifier_id FROM cx.identifier WHERE value = 'ann@example.com'), 'de-at' FROM generate_series(1, 3) AS n;
SELECT cxm.add_alert_rule('low', 'nps', 0, 6);

SELECT isnt(cxm.submit_response('t1', '{"nps": 2, "why": "late"}', touchpoint => 'till', channel => 'email'), NULL, 'a token takes a response');
SELECT is((SELECT concat_ws(', ', r.state, r.invitation_id, r.submission_id, i.value, r.language, t.key, r.channel) COLLATE "C"
           FROM cx.response AS r JOIN cx.identifier AS i USING (identifier_id) JOIN cx.touchpoint AS t USING (touchpoint_id) WHERE r.invitation_id = 1001),
          'complete, 1001, invitation:1001, ann@example.com, de-AT, till, email', 'as of whom the invitation went to');
SELECT is((SELECT concat_ws(', ', f.metric, f.score, f.comment, i.value, a.score) COLLATE "C"
           FROM cx.feedback AS f JOIN cx.identifier AS i USING (identifier_id) JOIN cx.alert AS a USING (feedback_id) WHERE f.submission_id = 'invitation:1001'),
          'nps, 2, late, ann@example.com, 2', 'its score is feedback and raises an alert');
SELECT is(cxm.submit_response('t1', '{"why": "late", "nps": 2.0}'), (SELECT response_id FROM cx.response WHERE invitation_id = 1001), 'the same again gives the same response');
SELECT is(cxm.submit_response('t1', '{"nps": 2, "why": "late", "staff": null}'), (SELECT response_id FROM cx.response WHERE invitation_id = 1001), 'with what says nothing, too');
SELECT throws_ok($$SELECT cxm.submit_response('t1', '{"nps": 9}')$$, '55000', NULL, 'other answers do not');
SELECT throws_ok($$SELECT cxm.save_response('t1', '{"nps": 9}')$$, '55000', NULL, 'nor does a save');
SELECT throws_ok($$SELECT cxm.submit_response('t1', '{"nps": 99}')$$, '22003', NULL, 'nor what is off the scale');
SELECT throws_ok($$SELECT cxm.submit_response('nope', '{"nps": 9}')$$, 'CX001', NULL, 'what redeem_token raises comes through');
SELECT throws_ok($$SELECT cxm.submit_response('t2', '{}')$$, '22004', NULL, 'a refused response');
SELECT is((SELECT completed_by FROM token WHERE token = 't2'), '{}', 'leaves the invitation as it was');
SELECT isnt(cxm.save_response('t2', '{"nps": 4}', seen => 'why'), NULL, 'a save');
SELECT is((SELECT completed_by FROM token WHERE token = 't2'), '{}', 'leaves it open');
SELECT is(cxm.submit_response('t2', '{}'), (SELECT response_id FROM cx.response WHERE invitation_id = 1002), 'what was saved is submitted');
SELECT is(cxm.submit_response('t2', '{}'), (SELECT response_id FROM cx.response WHERE invitation_id = 1002), 'again');
SELECT throws_ok($$SELECT cxm.submit_response('t2', '{"nps": null}')$$, '55000', NULL, 'but nothing of it is taken back');
SELECT is(cxm.submit_response('t2', '{"why": " ", "staff": null}'), (SELECT response_id FROM cx.response WHERE invitation_id = 1002), 'nor is anything in what says nothing');
SELECT throws_ok($$SELECT cxm.submit_response('t1', '{"nps": 2, "why": ""}')$$, '55000', NULL, 'what is left out here was said there');
SELECT isnt(cxm.submit_response('t3', '{"nps": 1, "staff": true}'), NULL, 'one that leads out');
SELECT is((SELECT array_agg(cardinality(completed_by) ORDER BY token) FROM token), '{1,1,1}', 'each invitation was completed once');
SELECT is((SELECT count(*) FROM cx.alert AS a JOIN cx.feedback AS f USING (feedback_id) WHERE f.submission_id ~ '^invitation'), 2::bigint, 'an alert for each low score, none for who was screened out');
---- rights: a writer sends responses and changes no survey, a reader reads
CREATE ROLE cxm_test_survey_writer;
CREATE ROLE cxm_test_survey_reader;
SELECT cxm.grant_store('cxm_test_survey_writer', 'writer'), cxm.grant_store('cxm_test_survey_reader');
GRANT ALL ON pg_temp.token TO cxm_test_survey_writer;
SET LOCAL ROLE cxm_test_survey_writer;
SELECT lives_ok(s, 'a writer can: ' || s) FROM unnest(ARRAY[
    $$SELECT cxm.save_open_response('r', 'w1', '{"nps": 1}', identifiers => '{"email": "w1@example.com"}', product => 'tea')$$, $$SELECT cxm.submit_open_response('r', 'w1', '{"why": "w"}')$$,
    $$SELECT cxm.submit_responses('[{"survey": "r", "submission_id": "w2", "answers": {"nps": 2}, "identifiers": {"email": "w2@example.com"}}, {"survey": "r", "submission_id": "w3", "answers": {"nps": 22}}]')$$,
    $$SELECT cxm.submit_response('t3', '{"nps": 1, "staff": true}')$$, $$SELECT cxm.survey_definition('r')$$, $$SELECT cxm.next_question(response_id) FROM cx.response$$]) AS s;
SELECT throws_ok(s, '42501', NULL, 'a writer cannot: ' || s) FROM unnest(ARRAY[
    $$SELECT cxm.create_survey('{"key": "w", "questions": [{"key": "a", "type": "nps", "text": "A"}]}')$$, $$SELECT cxm.close_survey('r')$$, $$SELECT cxm.translate_survey('r', 'fr', '{"nps": "N"}')$$,
    $$SELECT * FROM cx.survey_dropoff$$, $$SELECT * FROM cx.response_wide$$]) AS s;
RESET ROLE;
SET LOCAL ROLE cxm_test_survey_reader;
SELECT lives_ok('SELECT * FROM cx.' || v, 'a reader reads cx.' || v) FROM unnest(ARRAY['survey_summary', 'survey_dropoff', 'survey_score', 'survey_distribution', 'response_answer', 'response_wide']) AS v;
SELECT throws_ok($$SELECT cxm.submit_open_response('r', 'x', '{"nps": 1}')$$, '42501', NULL, 'and sends nothing');
RESET ROLE;
SELECT is((SELECT count(*) FROM cx.feedback WHERE submission_id IN ('w1', 'w2')), 2::bigint, 'what a writer sends is feedback');
SELECT is(cxm.condition_holds(c, '{"a": 1}'), NULL, 'no condition is no question for ever: ' || coalesce(c::text, 'NULL')) FROM unnest(ARRAY[NULL, '{}']::jsonb[]) AS c;
SELECT is_empty('SELECT * FROM cxm.store_check()', 'the store is sound');
SELECT * FROM finish();
ROLLBACK;
