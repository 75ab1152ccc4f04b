-- cx.non_response: who answers and who does not.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(6);

SELECT cxm.create_survey('{"key": "stay", "name": "Your stay", "default_language": "en", "questions": [{"key": "nps", "type": "nps", "text": {"en": "Would you?"}}]}') AS made \gset
SELECT survey_id AS survey FROM cx.survey WHERE key = 'stay' \gset
SELECT cxm.identify('{"email": "a@example.org"}') AS known \gset
SELECT min(identifier_id) AS who FROM cx.identifier \gset

-- 40 asked in the north, of whom 30 answered; 40 in the south, of whom 10 did and 5 may yet
INSERT INTO cx.invitation (survey_id, identifier_id, purpose, channel, attributes, state, asked_for, send_at, expires_at, sent_at, responded_at)
SELECT :survey, :who, 'survey', 'email', jsonb_build_object('region', r.region), r.state, now(), now(), now() + interval '1 day',
       now(), CASE WHEN r.state = 'responded' THEN now() END
FROM (VALUES ('north', 'responded', 30), ('north', 'expired', 10), ('south', 'responded', 10), ('south', 'expired', 25), ('south', 'opened', 5), ('south', 'bounced', 7)) AS r(region, state, n),
     generate_series(1, r.n);
INSERT INTO cx.invitation (survey_id, identifier_id, purpose, channel, attributes, state, asked_for, send_at, expires_at, suppressed_by)
VALUES (:survey, :who, 'survey', 'email', '{"region": "south"}', 'suppressed', now(), now(), now() + interval '1 day', 'sampling');

SELECT results_eq(
    $$SELECT variable, category, asked, responded, waiting, response_rate, share_of_asked, share_of_responses FROM cx.non_response ORDER BY 1, 2$$,
    $$VALUES ('channel', 'email', 80::bigint, 40::bigint, 5::bigint, 50::float8, 100::float8, 100::float8),
             ('region', 'north', 40, 30, 0, 75, 50, 75),
             ('region', 'south', 40, 10, 5, 25, 50, 25)$$,
    'a row a category; what was not sent or came back does not count');
SELECT is((SELECT (lower, upper) FROM cx.non_response WHERE category = 'north'),
          (SELECT (100 * i.lower, 100 * i.upper) FROM cxm.proportion_interval(30, 40) AS i), 'with the interval of the rate');
SELECT is((SELECT array_agg(DISTINCT p_value) FROM cx.non_response WHERE variable = 'region'), (SELECT ARRAY[p_value] FROM cxm.proportion_test('{30,10}', '{40,40}')), 'the test is of all categories of a variable');
SELECT ok((SELECT p_value IS NULL FROM cx.non_response WHERE variable = 'channel'), 'one category has nothing to be compared with');

-- many categories
INSERT INTO cx.invitation (survey_id, identifier_id, purpose, channel, attributes, state, asked_for, send_at, expires_at, sent_at)
SELECT :survey, :who, 'survey', 'email', jsonb_build_object('shop', i), 'sent', now(), now(), now() + interval '1 day', now() FROM generate_series(1, 65) AS i;
SELECT is((SELECT count(*) FROM cx.non_response WHERE variable = 'shop'), 65::bigint, '65 categories are shown');
SELECT is((SELECT count(p_value) FROM cx.non_response WHERE variable = 'shop'), 0::bigint, 'and not tested');

SELECT * FROM finish();
ROLLBACK;
