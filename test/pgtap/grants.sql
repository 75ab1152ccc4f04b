-- What cxm.grant_store() opens, and what stays shut
BEGIN;
SELECT plan(123);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = error;
CREATE ROLE cxm_test_reader;
CREATE ROLE cxm_test_writer;
CREATE ROLE cxm_test_agent;
CREATE ROLE cxm_test_sender;
CREATE ROLE cxm_test_nobody;
SELECT cxm.add_alert_rule('low', 'nps', 0, 6);
SELECT cxm.track('before', '{"email": "g@x.org", "anonymous_id": "g"}');
CREATE TABLE public.cxm_test_salary (at timestamptz, person text, pay integer);
INSERT INTO public.cxm_test_salary VALUES ('2026-01-01Z', 'the boss', 1000000);
SELECT cxm.create_rollup('cxm_test_pay', 'public.cxm_test_salary', 'at', 'month', dimensions => '["person"]', measures => '{"pay": {"sum": "pay"}}');
SELECT rollup_id AS pay_id FROM cx.rollup WHERE name = 'cxm_test_pay' \gset
SELECT cxm.grant_store('cxm_test_reader');
SELECT cxm.grant_store('cxm_test_writer', 'writer');
SELECT cxm.grant_store('cxm_test_agent', 'agent');
SELECT cxm.grant_store('cxm_test_sender', 'sender');
SELECT lives_ok($$SELECT cxm.grant_store('cxm_test_writer', 'writer')$$, 'granting twice is no error');

-- nobody
SET LOCAL ROLE cxm_test_nobody;
SELECT throws_ok('SELECT cxm.track(''x'')', '42501', NULL, 'without a grant nothing can be sent');
SELECT throws_ok('SELECT * FROM cx.event', '42501', NULL, 'nor read');
RESET ROLE;

-- a reader reads every table and view, partitions to come included, but what employees say before it is published
SELECT set_eq($$SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'p', 'v')
                AND NOT has_table_privilege('cxm_test_reader', c.oid, 'SELECT')$$, ARRAY['delivery', 'employee_answer', 'employee_ticket', format('rollup_%s_rows', :pay_id)], 'a reader reads every table and view but four');
SELECT set_eq($$SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = 'cx.delivery'::regclass AND a.attnum > 0 AND NOT has_column_privilege('cxm_test_reader', 'cx.delivery', a.attnum, 'SELECT')$$, ARRAY['payload'], 'of deliveries all but the payload, which can have a link that answers for a customer');
SELECT ok(has_table_privilege('cxm_test_agent', 'cx.delivery', 'SELECT') AND has_table_privilege('cxm_test_sender', 'cx.delivery', 'SELECT'), 'which agents and senders read');
SELECT is_empty($$SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'cx'::regnamespace AND c.relname IN ('employee_answer', 'employee_ticket')
                  AND has_table_privilege('cxm_test_agent', c.oid, 'SELECT')$$, 'nor does an agent read them');
SELECT is(has_table_privilege('cxm_test_writer', 'cx.employee_answer', 'SELECT'), false, 'nor a writer the answers');
-- a table outside the store is not read by way of what counts it, and nor is it with a grant on all of the store
INSERT INTO public.cxm_test_salary VALUES ('2026-01-02Z', 'the cook', 100);
SAVEPOINT all_tables;
DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 150000 THEN
        -- as an older release left it
        EXECUTE (SELECT format('ALTER VIEW cx.rollup_%s_rows RESET (security_invoker)', rollup_id) FROM cx.rollup WHERE name = 'cxm_test_pay');
        PERFORM cxm.upgrade_store();
        GRANT SELECT ON ALL TABLES IN SCHEMA cx TO cxm_test_reader;
    END IF;
END $$;
SET LOCAL ROLE cxm_test_reader;
SELECT throws_ok('SELECT * FROM cx.' || t, '42501', NULL, 'salaries are not read from ' || t)
FROM unnest(ARRAY['cxm_test_pay', 'cxm_test_pay_state', format('rollup_%s_base', :pay_id), format('rollup_%s_delta', :pay_id), format('rollup_%s_rows', :pay_id)]) AS t;
RESET ROLE;
ROLLBACK TO all_tables;
SELECT is_empty($$SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'p', 'v')
                  AND has_table_privilege('cxm_test_reader', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')$$, 'and writes none');
SELECT is_empty($$SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'cx'::regnamespace AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege('cxm_test_reader', c.oid, 'USAGE, UPDATE') END$$, 'nor draws a number');
SELECT is(has_schema_privilege('cxm_test_reader', 'cx', 'CREATE'), false, 'nor makes tables in the store');
SELECT cxm.track('future', at => '1995-05-05Z');
SET LOCAL ROLE cxm_test_reader;
SELECT is((SELECT count(*) FROM cx.event), 2::bigint, 'a reader sees rows in a partition made since');
SELECT isnt(cxm.customer('email', 'g@x.org'), NULL, 'looks customers up');
SELECT lives_ok('SELECT * FROM cx.delivery_queue, cx.delivery_outcome', 'and what became of deliveries');
SELECT lives_ok('SELECT cxm.identity_differences(), cxm.store_version()', 'checks');
SELECT throws_ok(statement, '42501', NULL, 'a reader cannot: ' || statement) FROM unnest(ARRAY[
    'SELECT cxm.track(''x'')', 'SELECT cxm.track(''x'', source => ''new'')', 'SELECT cxm.identify(''{"email": "a@b"}'')',
    'SELECT cxm.record_feedback(''nps'', 1)', 'SELECT cxm.record_purchase(1)', 'SELECT cxm.record_spend(1)', 'SELECT cxm.track_batch(''[{"event": "x"}]'')',
    'INSERT INTO cx.touchpoint (key) VALUES (''x'')', 'UPDATE cx.event SET properties = NULL', 'DELETE FROM cx.event', 'TRUNCATE cx.link',
    'SELECT cxm.link(''email'', ''a@b.org'', ''email'', ''g@x.org'')', 'SELECT cxm.retire_links(ARRAY(SELECT link_id FROM cx.link), ''x'')',
    'SELECT cxm.link_records(''SELECT 1 AS id, ''''a'''' AS name'', namespace => ''email'')', 'UPDATE cx.match SET state = ''open''',
    'SELECT cxm.add_namespace(''wallet'', 25)', 'SELECT cxm.add_metric(''mood'', ''csat'', 1, 5)', 'SELECT cxm.upgrade_store()',
    'DROP TABLE cx.event', 'SELECT cxm.grant_store(''cxm_test_nobody'')', 'CALL cxm.maintain_partitions()']) AS statement;
RESET ROLE;

-- a writer does all ingest, with everything new that this can bring
SET LOCAL ROLE cxm_test_writer;
SELECT lives_ok(statement, 'a writer can: ' || left(statement, 60)) FROM unnest(ARRAY[
    $$SELECT cxm.track('e', '{"email": "w@x.org", "phone": "+493012345"}', '{"a": 1}', touchpoint => 't1', location => 'l1', product => 'p1', employee => 'e1', source => 's1', message_id => 'm')$$,
    $$SELECT cxm.record_feedback('nps', 2, '{"email": "w@x.org"}', touchpoint => 't2', source => 's2', message_id => 'm')$$,
    $$SELECT cxm.record_purchase(9.99, '{"email": "w@x.org"}', product => 'p2', message_id => 'm')$$,
    $$SELECT cxm.identify('{"email": "w@x.org", "user_id": "1"}', '{"name": "W"}', message_id => 'm')$$,
    $$SELECT cxm.identify('{"email": "w2@x.org", "user_id": "2"}'), cxm.identify('{"email": ["w@x.org", "w2@x.org"]}')$$,
    $$SELECT cxm.track_batch('[{"event": "x"}, {}]')$$,
    $$SELECT cxm.record_feedback_batch('[{"metric": "nps", "score": 3}, {"metric": "nps", "score": 11}]')$$,
    $$SELECT cxm.record_purchase_batch('[{"amount": 1}, {}]')$$,
    $$SELECT cxm.record_spend_batch('[{"amount": 1, "touchpoint": "t3"}, {}]')$$,
    $$SELECT cxm.identify_batch('[{"identifiers": {"email": "w3@x.org"}}, {}]')$$,
    $$SELECT cxm.track('old', at => '1996-01-01Z')$$,
    $$SELECT cxm.store_events(cxm.source_id('t'), ARRAY[('k', now(), 'a', '{"user_id": "3"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL)]::cxm.event_input[], upsert => true)$$,
    $$SELECT cxm.store_events(cxm.source_id('t'), ARRAY[('k', '1996-02-01Z', 'b', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)]::cxm.event_input[], upsert => true)$$,
    $$SELECT cxm.remove_records(cxm.source_id('t'), 'event', ARRAY['k']), cxm.remove_records(cxm.source_id('app'), 'traits', ARRAY['m'])$$,
    $$SELECT cxm.replay_rejection(rejection_id) FROM cx.rejection$$,
    $$SELECT cxm.link('email', 'w4@x.org', 'phone', '+493012399', source => 's3', verified => true, evidence => 'call-1')$$,
    $$SELECT cxm.merge('email', 'w3@x.org', 'email', 'w4@x.org', 'one voice')$$,
    $$SELECT cxm.explain_profile(cxm.customer('email', 'w4@x.org')), cxm.explain_pair('email', 'w3@x.org', 'phone', '+493012399')$$,
    $$SELECT cxm.unmerge(ARRAY(SELECT link_id FROM cx.link WHERE kind = 'pinned'), 'another voice')$$,
    $$SELECT cxm.merge(cxm.customer('email', 'w3@x.org'), cxm.customer('email', 'w4@x.org'), 'one voice after all')$$,
    $$SELECT cxm.unmerge(greatest(i.profile_id, j.profile_id), 'no') FROM cx.identifier AS i, cx.identifier AS j WHERE i.value = 'w3@x.org' AND j.value = 'w4@x.org'$$,
    $$SELECT cxm.unmerge('email', 'w3@x.org', 'email', 'w4@x.org', 'asked both')$$,
    $$SELECT cxm.retire_links(ARRAY(SELECT link_id FROM cx.link WHERE kind = 'never'), 'asked again')$$,
    $$SELECT cxm.link_records('SELECT * FROM (VALUES (1, ''ann'', ''email'', ''ann@x.org''), (2, ''anna'', ''email'', ''anna@x.org''), (3, ''bob'', ''email'', ''bob@x.org''), (4, ''bobby'', ''email'', ''bobby@x.org''), (5, ''eve'', ''email'', ''eve@x.org''), (6, ''eve'', ''email'', ''eve2@x.org'')) AS v(id, name, namespace, value)',
        '{"lambda": 0.5, "blocking": [[]], "comparisons": [{"column": "name", "levels": [{"exact": true, "m": 0.6, "u": 0.01}, {"levenshtein": 2, "m": 0.3, "u": 0.1}, {"else": true, "m": 0.1, "u": 0.89}]}]}', accept => 0.9, review => 0.5)$$,
    $$SELECT cxm.match_explain(match_id) FROM cx.match$$,
    $$SELECT cxm.accept_match(min(match_id), 'one telephone'), cxm.reject_match(max(match_id), 'father and son') FROM cx.match WHERE state = 'open'$$,
    $$SELECT cxm.identify(jsonb_build_object('email', n || '@y.org'), '{"name": "Zoe"}') FROM generate_series(1, 2) AS n$$,
    $$SELECT cxm.link_profiles(ARRAY['name'], '{"lambda": 0.5, "blocking": ["name"], "comparisons": [{"column": "name", "levels": [{"exact": true, "m": 0.9, "u": 0.01}, {"else": true, "m": 0.1, "u": 0.99}]}]}')$$,
    $$SELECT cxm.receive_message('sms', 'hello', '{"phone": "+493012345"}', external_id => 'sms 1')$$,
    $$SELECT cxm.receive_messages('[{"channel": "sms", "body": "more", "identifiers": {"phone": "+493012345"}}, {}]')$$,
    $$SELECT cxm.enqueue_deliveries('test', ARRAY[1], ARRAY['sms'], ARRAY[(SELECT identifier_id FROM cx.identifier WHERE value = '+493012345')], ARRAY['{}'::jsonb])$$,
    $$INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0)$$]) AS statement;
SELECT throws_ok(statement, '42501', NULL, 'a writer cannot: ' || statement) FROM unnest(ARRAY[
    'SELECT * FROM cx.customer_360', 'SELECT * FROM cx.metric_score', 'SELECT * FROM cx.job_run',
    'UPDATE cx.store SET time_zone = ''UTC''', 'UPDATE cx.touchpoint SET name = ''x''', 'DELETE FROM cx.identifier', 'DELETE FROM cx.link', 'DELETE FROM cx.profile',
    'UPDATE cx.alert SET note = ''x''', 'DELETE FROM cx.alert', 'DELETE FROM cx.rejection', 'UPDATE cx.alert_rule SET enabled = false',
    'SELECT cxm.add_metric(''mood'', ''csat'', 1, 5)', 'SELECT cxm.upgrade_store()', 'TRUNCATE cx.event',
    'SELECT * FROM cx.match_queue', 'DELETE FROM cx.match', 'SELECT cxm.set_namespace(''phone'', max_per_profile => 1)', 'SELECT cxm.block_value(''0815'')',
    'UPDATE cx.namespace SET is_unique = false', 'SELECT cxm.resolve_all()', 'DELETE FROM cx.identity_change']) AS statement;
RESET ROLE;
SELECT is((SELECT array_agg(state ORDER BY match_id) FROM cx.match WHERE record_a ~ '^[1-6]$'), ARRAY['linked', 'accepted', 'rejected'], 'a writer''s matching and decisions are kept');
SELECT is(cxm.customer('email', '1@y.org') = cxm.customer('email', '2@y.org'), true, 'and join');
SELECT is((SELECT count(*) FROM cx.alert), 3::bigint, 'what a writer sends raises alerts');
SELECT is_empty('SELECT * FROM cxm.store_check()', 'and leaves a sound store');

-- an agent reads, and works on alerts
SET LOCAL ROLE cxm_test_agent;
SELECT is((SELECT count(*) FROM cxm.claim_alerts(10)), 3::bigint, 'an agent claims alerts');
SELECT is(cxm.acknowledge_alert((SELECT min(alert_id) FROM cx.alert), 'called'), true, 'acknowledges one');
SELECT is(cxm.release_alert((SELECT max(alert_id) FROM cx.alert)), true, 'gives one back');
SELECT lives_ok('SELECT count(*) FROM cx.customer_360', 'sees the customer');
CREATE FUNCTION pg_temp.conversation() RETURNS bigint LANGUAGE sql AS 'SELECT min(conversation_id) FROM cx.conversation WHERE channel = ''sms''';
SELECT lives_ok(statement, 'an agent can: ' || statement) FROM unnest(ARRAY[
    'SELECT cxm.take_conversations(1)', 'SELECT cxm.add_note(pg_temp.conversation(), ''a note'')', 'SELECT cxm.send_message(pg_temp.conversation(), ''an answer'')',
    'SELECT cxm.mark_read(pg_temp.conversation())', 'SELECT cxm.edit_message(max(message_id), ''a better answer'') FROM cx.conversation_message',
    'SELECT cxm.search_messages(''answer'')', 'SELECT cxm.assign_conversation(pg_temp.conversation(), NULL)', 'SELECT cxm.set_conversation_state(pg_temp.conversation(), ''closed'')',
    'SELECT count(*) FROM cx.conversation_thread']) AS statement;
SELECT throws_ok(statement, '42501', NULL, 'an agent cannot: ' || statement) FROM unnest(ARRAY[
    'SELECT cxm.record_feedback(''nps'', 1)', 'DELETE FROM cx.alert', 'UPDATE cx.feedback SET score = 10', 'SELECT cxm.enable_alert_rule(''low'', false)']) AS statement;
RESET ROLE;

-- a sender brings deliveries out, and sees addresses, but not what customers said
SET LOCAL ROLE cxm_test_sender;
SELECT is((SELECT array_agg(address) FROM cxm.claim_deliveries(10, channel => 'sms')), '{+493012345,+493012345}', 'a sender claims deliveries with their addresses');
SELECT lives_ok('SELECT cxm.acknowledge_delivery(min(delivery_id), ''p 1''), cxm.fail_delivery(max(delivery_id), ''busy''), cxm.record_delivery_status(''p 1'', ''delivered'') FROM cx.delivery', 'says what became of them');
SELECT throws_ok(statement, '42501', NULL, 'a sender cannot: ' || statement) FROM unnest(ARRAY[
    'SELECT * FROM cx.feedback', 'SELECT * FROM cx.conversation_message', 'SELECT * FROM cx.purchase', 'SELECT * FROM cx.trait', 'DELETE FROM cx.delivery']) AS statement;
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
