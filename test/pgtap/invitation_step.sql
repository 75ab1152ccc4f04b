-- From an invitation through the response to what follows it: quotas by answers, thanks, asks; and the audit of
-- review asks on skewed data, against numbers counted another way.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SELECT no_plan();

DO $$
BEGIN
    PERFORM cxm.create_survey('{"key": "visit", "questions": [{"key": "nps", "type": "nps", "text": "How likely?"}, {"key": "age", "type": "choice", "required": false, "text": "Age", "options": [{"key": "young", "label": "Young"}, {"key": "old", "label": "Old"}]}]}');
    PERFORM cxm.publish_survey('visit');
    PERFORM cxm.set_consent_policy('*', '*', true);
END $$;
CREATE FUNCTION visit() RETURNS integer LANGUAGE sql AS $$ SELECT survey_id FROM cx.survey WHERE key = 'visit' $$;
CREATE FUNCTION id(email text) RETURNS bigint LANGUAGE sql AS $$ SELECT cxm.known_identifier('email', email) $$;

---- a review ask has no condition on the score, whoever tries

SELECT throws_ok('SELECT cxm.add_survey_step(visit(), ''review_ask'', score_min => 9, metric => ''nps'')', '22023', 'a review is asked for whatever the score was', 'not by the function');
SELECT throws_ok('SELECT cxm.add_survey_step(visit(), ''review_ask'', metric => ''nps'')', '22023', NULL, 'not even the metric');
SELECT throws_ok(format('INSERT INTO cx.survey_step (survey_id, kind, metric, score_min) VALUES (%s, ''review_ask'', ''nps'', 9)', visit()), '23514', NULL, 'not by hand');
SELECT is(cxm.add_survey_step(visit(), 'referral_ask', metric => 'nps', score_min => 9) > 0, true, 'to recommend one may ask whom one likes');
SELECT throws_ok('UPDATE cx.survey_step SET kind = ''review_ask''', '23514', NULL, 'and cannot make that a review ask');
SELECT hasnt_column('cx', 'survey_step', 'audience_traits', 'there is no other condition');
SELECT throws_ok(x, e, NULL, 'refused: ' || x) FROM (VALUES ('SELECT cxm.add_survey_step(visit(), ''praise'')', '22023'), ('SELECT cxm.add_survey_step(-1, ''thank_you'')', '42704'),
    ('SELECT cxm.add_survey_step(visit(), ''thank_you'', ''{}'')', '22023'), ('SELECT cxm.add_survey_step(visit(), ''thank_you'', NULL)', '22023'), ('SELECT cxm.add_survey_step(visit(), ''thank_you'', sample_rate => 2)', '23514')) AS x(x, e);

---- the way through

SELECT is(cxm.add_survey_step(visit(), 'thank_you', delay => '1 hour') > 0, true, 'thanks follow');
SELECT is(cxm.add_survey_step(visit(), 'review_ask', delay => '2 days', content => '{"url": "https://reviews.example.org"}') > 0, true, 'and a review ask');
SELECT is(cxm.add_quota(visit(), 'young', 1, attributes => '{"age": "young"}') > 0, true, 'one young one is wanted');
CREATE TEMPORARY TABLE i AS SELECT * FROM cxm.invite(visit(), '{"email": "ann@shop.test"}', '{email}');
CREATE TEMPORARY TABLE r AS SELECT cxm.submit_response((SELECT token FROM i), '{"nps": 10, "age": "young"}') AS response_id;
SELECT is((SELECT array[n.state, n.response_id::text] FROM cx.invitation AS n WHERE n.invitation_id = (SELECT invitation_id FROM i)), (SELECT array['responded', response_id::text] FROM r), 'the response uses the invitation');
SELECT is((SELECT cxm.submit_response((SELECT token FROM i), '{"nps": 10, "age": "young"}')), (SELECT response_id FROM r), 'once');
SELECT is((SELECT array[taken, excess] FROM cx.quota_status WHERE name = 'young')::text, '{1,0}', 'and counts once');
SELECT is(cxm.send_invitation_batch(10), 0::bigint, 'what was to be sent is not');
SELECT is((SELECT count(*)::integer FROM cx.survey_candidate), 3, 'three things follow');
SELECT is((SELECT array[b.taken, b.invited, b.suppressed, b.failed] FROM cxm.invite_candidate_batch(10) AS b)::text, '{3,3,0,0}', 'all do');
SELECT bag_eq('SELECT kind || '' '' || date_trunc(''hour'', send_at - now() + interval ''1 second'') FROM cx.invitation WHERE step_id IS NOT NULL', $$ VALUES ('thank_you 01:00:00'), ('referral_ask 00:00:00'), ('review_ask 2 days') $$, 'each in its time');
SELECT is(cxm.send_invitation_batch(10), 1::bigint, 'one at once');
SELECT ok((SELECT d.payload ->> 'kind' = 'referral_ask' AND d.payload ->> 'referral_code' = (SELECT code FROM cx.referral_code) AND NOT d.payload ? 'secret' FROM cx.delivery AS d), 'with a code to hand on, and no token');
UPDATE cx.invitation SET send_at = now() - interval '1 minute', asked_for = now() - interval '1 minute' WHERE kind = 'review_ask';
SELECT is(cxm.send_invitation_batch(10), 1::bigint, 'the review ask in its time');
SELECT is((SELECT d.payload #>> '{content,url}' FROM cx.delivery AS d WHERE d.payload ->> 'kind' = 'review_ask'), 'https://reviews.example.org', 'with the address');
DO $$
BEGIN
    PERFORM cxm.submit_open_response('visit', 'open 1', '{"nps": 3, "age": "young"}', '{"email": "bob@shop.test"}');
    PERFORM cxm.submit_open_response('visit', 'open 2', '{"nps": 3, "age": "old"}');
END $$;
SELECT is((SELECT array[taken, excess] FROM cx.quota_status WHERE name = 'young')::text, '{1,1}', 'a second young one is over quota');
SELECT is((SELECT count(*)::integer FROM cx.response), 3, 'and is kept');
SELECT is((SELECT array[b.taken, b.invited, b.suppressed, b.failed] FROM cxm.invite_candidate_batch(10) AS b)::text, '{3,2,0,0}', 'an open response is followed where somebody is known, by what its score allows');
SELECT is((SELECT array_agg(n.kind ORDER BY n.kind)::text FROM cx.invitation AS n WHERE n.identifier_id = id('bob@shop.test')), '{review_ask,thank_you}', 'the unhappy are asked for a review too');
UPDATE cx.quota SET when_full = 'refuse';
SELECT throws_ok('SELECT cxm.submit_open_response(''visit'', ''open 3'', ''{"nps": 3, "age": "young"}'')', 'CX004', NULL, 'a quota can refuse instead');
SELECT is((SELECT array[b.accepted, b.rejected] FROM cxm.submit_responses('[{"survey": "visit", "submission_id": "b1", "answers": {"nps": 1, "age": "young"}}, {"survey": "visit", "submission_id": "b2", "answers": {"nps": 2, "age": "old"}}]') AS b)::text, '{2,0}', 'but no batch');
SELECT is((SELECT array[taken, excess] FROM cx.quota_status WHERE name = 'young')::text, '{1,2}', 'where it is marked');

-- a trigger and a step in one batch, and the other way round
SELECT is((SELECT cxm.add_survey_trigger('bought', visit(), 'purchase', '{"audience_metric": "nps", "audience_score_max": 10}') > 0), true, 'a trigger');
DO $$
BEGIN
    PERFORM cxm.invite_candidate_batch(100);
    PERFORM cxm.record_purchase(5, '{"email": "bob@shop.test"}');
    PERFORM cxm.submit_open_response('visit', 'open 4', '{"nps": 4}', '{"email": "bob@shop.test"}');
    PERFORM cxm.record_purchase(5, '{"email": "bob@shop.test"}');
END $$;
SELECT is((SELECT array[b.taken, b.invited, b.suppressed, b.failed] FROM cxm.invite_candidate_batch(100) AS b)::text, '{5,4,0,0}', 'triggers and steps in one batch');
DELETE FROM cx.survey_trigger;

---- the audit: 95 % promoters, tiny bands

DELETE FROM cx.delivery;
DELETE FROM cx.invitation;
DELETE FROM cx.quota;
DELETE FROM cx.survey_step;
CREATE TEMPORARY TABLE step AS SELECT cxm.add_survey_step(visit(), 'review_ask', delay => '1 day') AS step_id;
SELECT is((SELECT count(*)::text || ' ' || count(ask_rate) || ' ' || count(p_value) || ' ' || sum(eligible) FROM cx.review_ask_audit), '4 0 0 0', 'nobody yet: four bands, no rate, no test');
CREATE FUNCTION respond(who text, score integer) RETURNS void LANGUAGE sql AS $$
    SELECT cxm.submit_open_response('visit', who, jsonb_build_object('nps', score), jsonb_build_object('email', who || '@shop.test')) $$;
DO $$
BEGIN
    PERFORM respond('prom' || i, 9 + i % 2) FROM generate_series(1, 95) AS i;
    PERFORM respond('pass' || i, 7) FROM generate_series(1, 3) AS i;
    PERFORM cxm.invite_candidate_batch(1000);
END $$;
SELECT is((SELECT array_agg(coalesce(asked || ' of ' || eligible || ' ' || ask_rate, '-') ORDER BY band)::text FROM cx.review_ask_audit WHERE band IN ('promoter', 'passive')), '{"3 of 3 100","95 of 95 100"}', 'all are asked');
SELECT is((SELECT array[ask_rate, lower, upper]::text FROM cx.review_ask_audit WHERE band = 'detractor'), '{NULL,NULL,NULL}', 'a band with nobody in it has no rate, not zero');
SELECT is((SELECT p_value FROM cx.review_ask_audit WHERE band = 'promoter'), 1::double precision, 'equal rates do not differ');
DO $$ BEGIN PERFORM respond('detr' || i, i) FROM generate_series(1, 2) AS i; PERFORM cxm.invite_candidate_batch(1000); END $$;
SELECT is((SELECT round(lower::numeric, 4) || ' ' || round(upper::numeric, 4) FROM cx.review_ask_audit WHERE band = 'detractor'), '34.2380 100.0000', 'two of two say little: Wilson''s interval');
SELECT is((SELECT bool_or(differs) FROM cx.review_ask_audit), false, 'no gating, none found');
-- somebody takes the asks to the unhappy back
SELECT is(cxm.revoke_invitations(ARRAY(SELECT n.invitation_id FROM cx.invitation AS n JOIN cx.identifier AS i USING (identifier_id) WHERE i.value ~ '^(detr|pass)'), 'sorry'), 5::bigint, 'the asks to five of a hundred are taken back');
SELECT is((SELECT string_agg(asked || '/' || eligible || ' ' || coalesce(ask_rate::text, '-'), ', ' ORDER BY band) FROM cx.review_ask_audit), '0/2 0, 0/3 0, 95/95 100, 0/0 -', 'which shows');
-- of all ways to leave five of a hundred out, this is one
SELECT ok((SELECT abs(p_value * 75287520 - 1) < 1e-6 FROM cx.review_ask_audit WHERE band = 'promoter'), 'with the probability that chance has of it');
SELECT is((SELECT method || ' ' || differs FROM cx.review_ask_audit WHERE band = 'promoter'), 'exact true', 'and is found');
SELECT is((SELECT p_value FROM cx.review_ask_audit WHERE band = 'unscored'), (SELECT p_value FROM cx.review_ask_audit WHERE band = 'promoter'), 'the test is of the step');

-- sampling does not look at the score
DELETE FROM cx.invitation;
UPDATE cx.survey_step SET sample_rate = 0.3;
DO $$
BEGIN
    PERFORM respond('s' || i, CASE WHEN i % 20 <> 0 THEN 10 WHEN i % 3 = 0 THEN 8 ELSE i % 7 END) FROM generate_series(1, 1000) AS i;
    PERFORM cxm.record_consent('{"email": "s20@shop.test"}', '*', '*', false);
    PERFORM cxm.submit_open_response('visit', 'nobody', '{"nps": 1}');
    PERFORM cxm.invite_candidate_batch(5000);
END $$;
CREATE TEMPORARY TABLE expected AS
SELECT CASE WHEN i % 20 <> 0 THEN 'promoter' WHEN i % 3 = 0 THEN 'passive' ELSE 'detractor' END AS band, count(*) AS eligible,
       count(*) FILTER (WHERE cxm.sampling_fraction('step ' || (SELECT step_id FROM step) || ' ' || r.response_id) < 0.3) AS asked
FROM generate_series(1, 1000) AS i JOIN cx.response AS r ON r.submission_id = 's' || i
WHERE i <> 20 OR cxm.sampling_fraction('step ' || (SELECT step_id FROM step) || ' ' || r.response_id) >= 0.3 GROUP BY 1;
SELECT results_eq('SELECT band, asked FROM cx.review_ask_audit WHERE band <> ''unscored'' ORDER BY band COLLATE "C"', 'SELECT band, asked FROM expected ORDER BY band COLLATE "C"', 'those are asked whom their response draws');
SELECT is((SELECT sum(responses)::integer FROM cx.review_ask_audit), 1000, 'of each identified response something is told');
SELECT is((SELECT sum(eligible - asked - not_sampled - too_often - revoked)::integer FROM cx.review_ask_audit), 0, 'and it adds up');
SELECT ok((SELECT bool_and(NOT differs) AND bool_and(p_value > 0.05) FROM cx.review_ask_audit), 'a fair sample does not differ');

---- shares

SELECT is((cxm.proportion_interval(0, 0)).lower, NULL, 'no trials, no interval');
SELECT is((SELECT round(lower::numeric, 4) || ' ' || round(upper::numeric, 4) FROM cxm.proportion_interval(81, 263)), '0.2553 0.3662', 'the interval of the literature');
SELECT is((SELECT p_value FROM cxm.proportion_test('{1}', '{2}')), NULL, 'one group compares with nothing');
SELECT is((SELECT p_value FROM cxm.proportion_test('{1,0}', '{2,0}')), NULL, 'nor with an empty one');
SELECT is((SELECT round(p_value::numeric, 8) || ' ' || method FROM cxm.proportion_test('{3,1}', '{4,4}')), '0.48571429 exact', 'Fisher''s tea');
SELECT is((SELECT round(p_value::numeric, 6) || ' ' || method FROM cxm.proportion_test('{83,90,129,70}', '{86,93,136,82}')), '0.005585 chi-square', 'smokers in four groups of patients');
SELECT throws_ok(x, e, NULL, x) FROM (VALUES ('SELECT cxm.proportion_test(''{2}'', ''{1}'')', '22023'), ('SELECT cxm.proportion_test(''{1}'', ''{1,2}'')', '2202E'), ('SELECT cxm.proportion_test(''{NULL}'', ''{1}'')', '22004'),
    ('SELECT cxm.proportion_test(''{{1,1}}'', ''{{1,1}}'')', '2202E'), ('SELECT cxm.proportion_test(''{0}'', ''{9223372036854775807}'')', '22023'), ('SELECT cxm.proportion_interval(1, 1, 1)', '22023'),
    ('SELECT cxm.proportion_interval(-1, 1)', '22023'), ('SELECT cxm.proportion_interval(1, 1, ''NaN'')', '22023'), ('SELECT cxm.proportion_test(array_fill(1::bigint, ARRAY[65]), array_fill(1::bigint, ARRAY[65]))', '54000')) AS x(x, e);

SELECT * FROM finish();
ROLLBACK;
