-- Surveys: definitions, versions, answers field by field, feedback, bulk, views
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\set VERBOSITY default
\set SHOW_CONTEXT never
BEGIN;
SELECT cxm.create_store('UTC') = cxm.version() AS made;

-- what a statement raises, in one line
CREATE FUNCTION pg_temp.raised(statement text, OUT state text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    state := '00000';
EXCEPTION WHEN OTHERS THEN
    state := SQLSTATE;
    message := SQLERRM;
END $$;

---- language tags
SELECT t, cxm.language_tag(t) AS tag, cxm.language_chain(t, 'en') AS chain
FROM unnest(ARRAY['en', 'DE-at', 'zh-hant-tw', 'pt_BR', '', 'x', 'de-CH-1996', 'en-GB', NULL]) AS t;

---- definitions: all problems at once
SELECT * FROM cxm.survey_problems('{"key": "Big", "nme": 1, "default_language": "e", "feedback_on": "never", "partial_after": "soon", "notify": 1, "title": {"de": "x"}, "touchpoint": "", "questions": []}');
SELECT * FROM cxm.survey_problems('[]');
SELECT * FROM cxm.survey_problems(NULL);
SELECT question, problem FROM cxm.survey_problems('{"key": "k", "questions": [
    {"key": "z", "type": "nps", "text": "A", "scale_max": 5},
    {"key": "a", "type": "nps", "text": "A"},
    {"key": "a", "type": "nps", "text": "A"},
    {"key": "B", "type": "nps", "text": "A"},
    {"key": "end", "type": "boolean", "text": "A"},
    {"type": "nps"}, 3,
    {"key": "c", "type": "stars", "text": "A"},
    {"key": "d", "type": "csat", "metric": "nps", "text": {"de": "D"}},
    {"key": "e", "type": "rating", "metric": "mood", "text": ""},
    {"key": "f", "type": "choice", "text": "F"},
    {"key": "g", "type": "choice", "text": "G", "options": [{"key": "x"}, {"key": "x", "label": "X"}, {"label": "Y"}, {"key": "z", "label": "Z", "value": "1", "exclusive": 1, "icon": "z"}]},
    {"key": "h", "type": "multi", "text": "H", "options": [{"key": "x", "label": "X"}], "min_choices": 2},
    {"key": "i", "type": "text", "text": "I", "min_length": 9, "max_length": 8, "pattern": "(", "comment_on": "f"},
    {"key": "j", "type": "number", "text": "J", "min": 3, "max": 2, "step": 0, "pattern": "x"},
    {"key": "k", "type": "date", "text": "K", "min": "2026-02-30", "max": "1999-01-01"},
    {"key": "l", "type": "boolean", "text": "L", "required": "yes", "page": 0},
    {"key": "m", "type": "number", "text": "M", "min": 1e400, "step": "1"}]}');
-- branches: nothing that is not answered yet, nothing backwards, values that the question can have
SELECT question, problem FROM cxm.survey_problems('{"key": "k", "questions": [
    {"key": "n", "type": "nps", "text": "N", "show_if": {"question": "m", "op": "answered"}},
    {"key": "m", "type": "multi", "text": "M", "options": [{"key": "x", "label": "X"}], "show_if": {"question": "n", "op": ">=", "value": 11}},
    {"key": "c", "type": "choice", "text": "C", "options": [{"key": "x", "label": "X"}], "skip_to": [{"to": "n"}, {"to": "zzz"}, {"if": {"question": "c", "op": "=", "value": "y"}, "to": "end"}]},
    {"key": "b", "type": "boolean", "text": "B", "skip_to": {"to": "end"}},
    {"key": "t", "type": "text", "text": "T", "show_if": {"question": "m", "op": "contains", "value": "x", "not": 1}},
    {"key": "d", "type": "date", "text": "D", "show_if": {"all": [{"question": "b", "op": "=", "value": "true"}]}},
    {"key": "e", "type": "date", "text": "D", "show_if": {"any": []}, "skip_to": [{"goto": 1}, {"to": "e"}]},
    {"key": "f", "type": "date", "text": "D", "show_if": {"not": {"question": "d", "op": "in", "value": ["2026-13-01"]}}},
    {"key": "g", "type": "date", "text": "D", "show_if": {"question": "t", "op": "=", "value": "x"}},
    {"key": "h", "type": "date", "text": "D", "show_if": {"question": "n", "op": "answered", "value": 1}},
    {"key": "i", "type": "date", "text": "D", "show_if": {"question": "n", "op": "<"}},
    {"key": "j", "type": "date", "text": "D", "show_if": {"question": "n", "op": "in", "value": 3}}]}');
-- twenty conditions deep is enough
SELECT problem FROM cxm.survey_problems(('{"key": "k", "questions": [{"key": "n", "type": "nps", "text": "N"}, {"key": "m", "type": "nps", "text": "N", "show_if": '
    || repeat('{"not": ', 5000) || '{"question": "n", "op": "answered"}' || repeat('}', 5000) || '}]}')::jsonb);
-- a question that no path leads to
SELECT * FROM cxm.survey_problems('{"key": "k", "questions": [
    {"key": "a", "type": "nps", "text": "A", "skip_to": [{"if": {"question": "a", "op": "=", "value": 1}, "to": "d"}, {"to": "c"}]},
    {"key": "b", "type": "nps", "text": "B", "skip_to": [{"to": "e"}]},
    {"key": "c", "type": "nps", "text": "C", "skip_to": [{"to": "end"}]},
    {"key": "d", "type": "nps", "text": "D", "show_if": {"question": "a", "op": "=", "value": 1}},
    {"key": "e", "type": "nps", "text": "E", "skip_to": [{"to": "screen_out"}]},
    {"key": "f", "type": "nps", "text": "F"}]}');
SAVEPOINT s;
SELECT cxm.create_survey('{"key": "k", "questions": [{"key": "a"}, {"key": "b"}]}');
ROLLBACK TO s;
SELECT cxm.create_survey('{"key": "k", "questions": [{"key": "a"}]}');
ROLLBACK TO s;

---- a survey
SELECT cxm.add_metric('mood', 'rating', 1, 3);
SELECT cxm.create_survey('{"key": "visit", "name": "Your visit", "default_language": "en", "touchpoint": "till",
    "title": "Your visit", "thank_you": {"en": "Thank you", "de": "Danke"},
    "questions": [
        {"key": "nps", "type": "nps", "required": true, "text": {"en": "Recommend?", "de": "Empfehlen?"}, "label_low": "no", "label_high": "yes",
         "skip_to": [{"if": {"question": "nps", "op": ">=", "value": 9}, "to": "shops"}]},
        {"key": "why", "type": "text", "required": true, "text": "Why?", "min_length": 2, "max_length": 20},
        {"key": "reason", "type": "choice", "text": "Which?", "options": [{"key": "price", "label": {"en": "Price", "de": "Preis"}, "value": 1}, {"key": "wait", "label": "Waiting"}]},
        {"key": "shops", "type": "multi", "page": 2, "text": "Where?", "max_choices": 2, "options": [{"key": "a", "label": "A"}, {"key": "b", "label": "B"}, {"key": "c", "label": "C"}, {"key": "none", "label": "None", "exclusive": true}]},
        {"key": "mood", "type": "rating", "metric": "mood", "text": "Mood?"},
        {"key": "spent", "type": "number", "text": "Spent?", "min": 0, "max": 1000, "step": 0.05},
        {"key": "on", "type": "date", "text": "When?", "min": "2020-01-01", "max": "2030-12-31"},
        {"key": "again", "type": "boolean", "text": "Again?", "show_if": {"question": "mood", "op": "answered"}},
        {"key": "zip", "type": "text", "text": "Zip?", "pattern": "[0-9]{5}"}]}') AS survey_id;
SELECT key, state, version FROM cx.survey;
SAVEPOINT s;
SELECT cxm.create_survey('{"key": "visit", "questions": [{"key": "a", "type": "nps", "text": "A"}]}');
ROLLBACK TO s;
SELECT cxm.submit_open_response('visit', 's', '{"nps": 9}');
ROLLBACK TO s;
SELECT cxm.survey_definition('visit');
ROLLBACK TO s;
SELECT cxm.publish_survey('visit');
SELECT cxm.publish_survey('visit');
ROLLBACK TO s;
SELECT cxm.publish_survey('visit');
SELECT key, name, state, version, default_language, touchpoint_id IS NOT NULL AS at_till, feedback_on, partial_after FROM cx.survey;
SELECT q.position, k.key, k.type, k.metric, q.page, q.required, q.limits, cardinality(q.option_ids) AS options, c.key AS comment_on
FROM cx.survey_question AS q JOIN cx.question AS k USING (question_id) LEFT JOIN cx.question AS c ON c.question_id = q.comment_on ORDER BY 1;
SELECT d - 'questions' AS survey, d #> '{questions,0}' AS first, d #> '{questions,2,options}' AS options FROM cxm.survey_definition('visit', 'de-AT') AS d;
-- translations: new ones only
SELECT cxm.translate_survey('visit', 'fr-ca', '{"nps": "Recommander?", "nps.label_low": "non", "reason.options.price": "Prix", "thank_you": "Merci"}');
SELECT cxm.translate_survey('visit', 'fr-CA', '{"nps": "Recommander?", "why": "Pourquoi?"}');
SELECT d ->> 'language' AS language, d ->> 'thank_you' AS thanks, d #>> '{questions,0,text}' AS nps, d #>> '{questions,1,text}' AS why, d #>> '{questions,2,options,0,label}' AS price, d #>> '{questions,2,options,1,label}' AS wait
FROM unnest(ARRAY['fr-CA', 'fr', 'de', NULL]) AS l, cxm.survey_definition('visit', l) AS d;
SELECT s AS statement, r.* FROM unnest(ARRAY[
    $$SELECT cxm.translate_survey('visit', 'fr-CA', '{"nps": "Conseiller?"}')$$,
    $$SELECT cxm.translate_survey('visit', 'fr', '{"nps.options.x": "X"}')$$,
    $$SELECT cxm.translate_survey('visit', 'fr', '{"nps": ""}')$$,
    $$SELECT cxm.translate_survey('visit', '', '{"nps": "x"}')$$,
    $$SELECT cxm.translate_survey('visit', 'fr', '["nps"]')$$,
    $$SELECT cxm.translate_survey('visit', NULL, NULL)$$,
    $$SELECT cxm.translate_survey('nope', 'fr', '{}')$$,
    $$SELECT cxm.survey_definition('visit', 'german!')$$,
    $$SELECT cxm.survey_definition('visit', version => 7)$$,
    $$SELECT cxm.survey_definition(NULL)$$,
    $$UPDATE cx.survey_text SET text = 'x'$$,
    $$DELETE FROM cx.survey_question$$,
    $$UPDATE cx.question SET type = 'csat' WHERE key = 'nps'$$,
    $$UPDATE cx.question_option SET value = 3$$,
    $$UPDATE cx.survey_version SET definition = '{}'$$,
    $$SELECT cxm.change_survey('visit', '{"key": "other", "questions": [{"key": "a", "type": "nps", "text": "A"}]}')$$,
    $$SELECT cxm.reopen_survey('visit')$$]) AS s, pg_temp.raised(s) AS r;

---- answers that should not be: each gives its SQLSTATE and says why; nothing is stored
CREATE TEMPORARY TABLE hostile (n integer GENERATED ALWAYS AS IDENTITY, answers text);
INSERT INTO hostile (answers) VALUES
    ('{"nps": 11}'), ('{"nps": -1}'), ('{"nps": 7.5}'), ('{"nps": "7"}'), ('{"nps": true}'), ('{"nps": [7]}'), ('{"nps": {"value": 7}}'), ('{"nps": 1e400}'), ('{"nps": -1e400}'),
    ('{"nps": 1e-400}'), ('{"nps": 1e130000}'), ('{"nps": 1e200000}'), ('{"nps": NaN}'), ('{"nps": "NaN"}'), ('{"nps": Infinity}'), ('{"nps": null}'), ('{}'), ('[]'), ('3'), ('null'), ('""'), (NULL),
    ('{"nps": 3, "why": "x"}'), ('{"nps": 3, "why": "xxxxxxxxxxxxxxxxxxxxx"}'), ('{"nps": 3, "why": "   "}'), ('{"nps": 3, "why": "\u0000x"}'), ('{"nps": 3, "why": "\ud83dx"}'), ('{"nps": 3, "why": 3}'), ('{"nps": 3, "why": ["a"]}'),
    ('{"nps": 3, "why": {"a": {"b": [1]}}}'), ('{"nps": 3}'),
    ('{"nps": 9, "reason": "nope"}'), ('{"nps": 9, "reason": 1}'), ('{"nps": 9, "reason": "Price"}'), ('{"nps": 9, "reason": ["price"]}'), ('{"nps": 9, "reason": "price "}'), ('{"nps": 9, "reason": ""}'),
    ('{"nps": 9, "shops": "a"}'), ('{"nps": 9, "shops": ["a", "a"]}'), ('{"nps": 9, "shops": ["a", "z"]}'), ('{"nps": 9, "shops": ["a", 1]}'), ('{"nps": 9, "shops": [["a"]]}'), ('{"nps": 9, "shops": [null]}'), ('{"nps": 9, "shops": ["a", "b", "c"]}'),
    ('{"nps": 9, "shops": ["none", "a"]}'), ('{"nps": 9, "shops": {"a": true}}'), ('{"nps": 9, "shops": ["a", "b", "b", "z"]}'),
    ('{"nps": 9, "mood": 0}'), ('{"nps": 9, "mood": 4}'), ('{"nps": 9, "spent": -0.05}'), ('{"nps": 9, "spent": 1000.05}'), ('{"nps": 9, "spent": 0.07}'), ('{"nps": 9, "spent": 1e308}'), ('{"nps": 9, "spent": 0.000000000000000000000000005}'),
    ('{"nps": 9, "on": "2026-02-29"}'), ('{"nps": 9, "on": "2019-12-31"}'), ('{"nps": 9, "on": "2031-01-01"}'), ('{"nps": 9, "on": "0000-01-01"}'), ('{"nps": 9, "on": "2026-13-01"}'), ('{"nps": 9, "on": "2026-00-10"}'), ('{"nps": 9, "on": "2026-01-00"}'), ('{"nps": 9, "on": "20260101"}'), ('{"nps": 9, "on": "infinity"}'), ('{"nps": 9, "on": "now"}'),
    ('{"nps": 9, "on": "99999-01-01"}'), ('{"nps": 9, "on": "2026-01-01T00:00"}'), ('{"nps": 9, "on": 20260101}'), ('{"nps": 9, "on": "٢٠٢٦-٠١-٠١"}'),
    ('{"nps": 9, "mood": 2, "again": "true"}'), ('{"nps": 9, "again": 1}'), ('{"nps": 9, "zip": "1234"}'), ('{"nps": 9, "zip": "12345\n"}'), ('{"nps": 9, "zip": "x12345"}'),
    ('{"nps": 9, "": 1}'), ('{"nps": 9, "NPS": 1}'), ('{"nps": 9, "nps ": 1}'), ('{"nps": 9, "constructor": {}}'), ('{"nps": 9'), ('{nps: 9}'), ('');
CREATE FUNCTION pg_temp.submit(n integer, answers text, OUT state text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM cxm.submit_open_response('visit', 'hostile ' || n, answers::jsonb);
    state := '00000';
EXCEPTION WHEN OTHERS THEN
    state := SQLSTATE;
    message := SQLERRM;
END $$;
SELECT left(h.answers, 60) AS answers, r.state, r.message FROM hostile AS h, pg_temp.submit(h.n, h.answers) AS r ORDER BY h.n;
SELECT count(*) FROM cx.response;
-- what is long is quoted in part, and refused in whole
SELECT r.state, r.message, length(r.message) < 300 AS short FROM pg_temp.submit(0, '{"nps": 3, "why": "' || repeat('x', 10000000) || '"}') AS r;
SELECT r.state, r.message, length(r.message) < 300 AS short FROM pg_temp.submit(0, '{"' || repeat('k', 1000000) || '": 1}') AS r;
SELECT code, reason, length(value) AS quoted FROM cxm.answer_problems('visit', jsonb_build_object('nps', 3, 'why', repeat('x', 10000000), 'shops', (SELECT jsonb_agg(n) FROM generate_series(1, 100000) AS n)));
SELECT count(*), min(length(allowed)) > 10 AS said FROM cxm.answer_problems('visit', (SELECT jsonb_object_agg('q' || n, n) FROM generate_series(1, 5000) AS n));
-- all of it in one error, a line a problem
SAVEPOINT s;
SELECT cxm.submit_open_response('visit', 's', '{"nps": "x", "why": 1, "shops": ["q"], "spent": 1e400, "on": "x", "zz": 0}');
ROLLBACK TO s;
-- keys that come twice: jsonb keeps the last, cxm.unique_keys() refuses
SELECT * FROM pg_temp.raised($$SELECT cxm.unique_keys('{"nps": 1, "why": "x", "nps": 10}')$$);
SELECT cxm.unique_keys('{"nps": 1, "why": {"a": 1, "a": 1}}'), cxm.unique_keys('[1, 1]'), cxm.unique_keys(NULL);

-- and what is fine, in its stored form
SELECT cxm.submit_open_response('visit', 'fine ' || n, a::jsonb) IS NOT NULL AS taken, (cxm.check_answers(cxm.version_plan('visit', NULL), a::jsonb, NULL, true)).changes
FROM unnest(ARRAY['{"nps": 9.000, "shops": ["c", "a"], "spent": 10.0500, "on": "2024-02-29", "zip": "01234", "mood": 1, "again": false}',
                  '{"nps": 0, "why": "ünïcödé ✓", "reason": "price"}', '{"nps": 1e1, "why": null, "shops": [], "zip": "  "}', '{"nps": 3, "why": "a\nb", "shops": ["none"]}']) WITH ORDINALITY AS t(a, n);
SELECT submission_id, state, answers FROM cx.response_wide ORDER BY response_id;

---- the same again
SELECT cxm.submit_open_response('visit', 'fine 1', '{"again": false, "mood": 1, "zip": "01234", "on": "2024-02-29", "spent": 10.05, "shops": ["a", "c"], "nps": 9}') = r.response_id AS same FROM cx.response AS r WHERE r.submission_id = 'fine 1';
SELECT r.* FROM unnest(ARRAY['{"nps": 9}', '{"nps": 9, "zip": null}', '{"nps": 8, "why": "now"}', '{"nps": 99}']) AS a, pg_temp.raised(format('SELECT cxm.submit_open_response(%L, %L, %L)', 'visit', 'fine 1', a)) AS r;

---- what is off the path is kept, and counts nowhere
SELECT cxm.submit_open_response('visit', 'off', '{"nps": 10, "why": "hidden", "reason": "wait", "again": true}') IS NOT NULL AS taken;
SELECT question, answer, on_path FROM cx.response_answer WHERE submission_id = 'off' ORDER BY position;
SELECT metric, score, question, comment FROM cx.feedback WHERE submission_id = 'off';

---- saving: the last one holds, null takes back
SELECT cxm.save_open_response('visit', 'p', '{}') IS NOT NULL AS begun;
SELECT state, cardinality(path) AS seen FROM cx.response WHERE submission_id = 'p';
SELECT cxm.save_open_response('visit', 'p', '{"nps": 3}', seen => 'why') IS NOT NULL AS saved;
SELECT cxm.save_open_response('visit', 'p', '{"why": "slow", "reason": "wait"}') IS NOT NULL AS saved;
SELECT cxm.next_question(response_id) ->> 'key' AS next, cxm.next_question(response_id, 'why') ->> 'key' AS after_why, cxm.next_question(response_id, 'zip') IS NULL AS at_the_end FROM cx.response WHERE submission_id = 'p';
SELECT cxm.save_open_response('visit', 'p', '{"nps": 10}') IS NOT NULL AS changed_mind;
SELECT question, answer, on_path FROM cx.response_answer WHERE submission_id = 'p' ORDER BY position;
SELECT cxm.next_question(response_id) ->> 'key' AS next FROM cx.response WHERE submission_id = 'p';
SELECT cxm.save_open_response('visit', 'p', '{"nps": 2, "reason": null}') IS NOT NULL AS changed_again;
SELECT question, answer, on_path FROM cx.response_answer WHERE submission_id = 'p' ORDER BY position;
SELECT count(*) FROM cx.feedback WHERE submission_id = 'p';
SELECT cxm.submit_open_response('visit', 'p', '{"mood": 2}') IS NOT NULL AS submitted;
SELECT cxm.submit_open_response('visit', 'p', '{"mood": 2}') IS NOT NULL AS once_more, cxm.save_open_response('visit', 'p', '{"nps": 2}') IS NOT NULL AS late_save;
SELECT r.* FROM pg_temp.raised($$SELECT cxm.save_open_response('visit', 'p', '{"nps": 3}')$$) AS r;
SELECT r.* FROM pg_temp.raised($$SELECT cxm.save_open_response('visit', 'p', '{"nps": null}')$$) AS r;
SELECT metric, score, question, comment, properties - 'response_id' AS properties FROM cx.feedback WHERE submission_id = 'p' ORDER BY feedback_id;
SELECT cxm.next_question(response_id) IS NULL AS done FROM cx.response WHERE submission_id = 'p';
-- arguments
SELECT s AS statement, r.state, regexp_replace(r.message, ': 20.*', ': ...') AS message FROM unnest(ARRAY[
    $$SELECT cxm.submit_open_response('visit', NULL, '{"nps": 9}')$$, $$SELECT cxm.submit_open_response('visit', '', '{"nps": 9}')$$,
    $$SELECT cxm.submit_open_response('visit', repeat('x', 1025), '{"nps": 9}')$$, $$SELECT cxm.submit_open_response(NULL, 'x', '{"nps": 9}')$$,
    $$SELECT cxm.submit_open_response('visit', 'x', NULL)$$, $$SELECT cxm.submit_open_response('visit', 'x', '{"nps": 9}', '{"shoe_size": 3}')$$,
    $$SELECT cxm.submit_open_response('visit', 'x', '{"nps": 9}', '[]')$$, $$SELECT cxm.submit_open_response('visit', 'x', '{"nps": 9}', language => 'de_DE')$$,
    $$SELECT cxm.submit_open_response('visit', 'x', '{"nps": 9}', started_at => 'infinity')$$, $$SELECT cxm.submit_open_response('visit', 'x', '{"nps": 9}', started_at => now() + interval '1 hour')$$,
    $$SELECT cxm.submit_open_response('visit', 'x', '{"nps": 9}', metadata => '[1]')$$, $$SELECT cxm.submit_open_response('visit', 'x', '{"nps": 9}', product => repeat('x', 600))$$,
    $$SELECT cxm.save_open_response('visit', 'x', '{"nps": 9}', seen => 'nope')$$, $$SELECT cxm.next_question(-1)$$, $$SELECT cxm.next_question(NULL)$$,
    $$SELECT cxm.preview_question('visit', after => 'nope')$$, $$SELECT cxm.preview_question('visit', '{"nps": 12}')$$]) AS s, pg_temp.raised(s) AS r;
SELECT cxm.preview_question('visit') ->> 'key' AS first, cxm.preview_question('visit', '{"nps": 9}') ->> 'key' AS happy, cxm.preview_question('visit', '{"nps": 1}', 'nps', 'de') ->> 'text' AS unhappy;

---- texts: the first that comments on a score is its comment, others are rows of their own
SELECT cxm.create_survey('{"key": "texts", "questions": [
    {"key": "intro", "type": "text", "text": "T"}, {"key": "sat", "type": "csat", "text": "S"}, {"key": "sat_why", "type": "text", "text": "T"}, {"key": "sat_more", "type": "text", "text": "T"},
    {"key": "nps", "type": "nps", "text": "N"}, {"key": "about_sat", "type": "text", "text": "T", "comment_on": "sat"}, {"key": "nps_why", "type": "text", "text": "T"}, {"key": "phone", "type": "text", "text": "T", "comment_on": null}]}') > 0 AS made, cxm.publish_survey('texts');
SELECT cxm.create_survey('{"key": "only_text", "questions": [{"key": "say", "type": "text", "text": "T"}]}') > 0 AS made, cxm.publish_survey('only_text');
SELECT cxm.submit_open_response('texts', 't1', '{"intro": "i", "sat": 4, "sat_why": "w", "sat_more": "m", "nps": 7, "about_sat": "a", "nps_why": "n", "phone": "no comment"}') > 0 AS taken,
       cxm.submit_open_response('texts', 't2', '{"sat": 4, "sat_more": "m"}') > 0 AS taken, cxm.submit_open_response('texts', 't3', '{"sat_why": "no score"}') > 0 AS taken,
       cxm.submit_open_response('only_text', 't4', '{"say": "hello"}') > 0 AS taken, cxm.submit_open_response('texts', 't5', '{}') > 0 AS taken;
SELECT submission_id, metric, score, scale_min, scale_max, question, comment, properties ->> 'comment_question' AS comment_question FROM cx.feedback WHERE submission_id ~ '^t' ORDER BY submission_id, feedback_id;

---- feedback with every save, corrected by the next; screened out: taken back
SELECT cxm.create_survey('{"key": "live", "feedback_on": "answer", "questions": [
    {"key": "nps", "type": "nps", "text": "N"}, {"key": "why", "type": "text", "text": "T"},
    {"key": "staff", "type": "boolean", "text": "Do you work here?", "skip_to": [{"if": {"question": "staff", "op": "=", "value": true}, "to": "screen_out"}]},
    {"key": "sat", "type": "csat", "text": "S"}]}') > 0 AS made, cxm.publish_survey('live');
SELECT cxm.add_alert_rule('low', 'nps', 0, 6) IS NOT NULL AS rule;
SELECT cxm.save_open_response('live', 'l1', '{"nps": 9, "why": "fine"}') > 0 AS saved;
SELECT score, question, comment FROM cx.feedback WHERE submission_id = 'l1';
SELECT cxm.save_open_response('live', 'l1', '{"nps": 2, "why": null}') > 0 AS saved;
SELECT score, question, comment FROM cx.feedback WHERE submission_id = 'l1';
SELECT cxm.save_open_response('live', 'l1', '{"nps": null, "why": "alone", "sat": 1}') > 0 AS saved;
SELECT metric, score, question, comment FROM cx.feedback WHERE submission_id = 'l1' ORDER BY feedback_id;
SELECT score, state FROM cx.alert AS a JOIN cx.alert_rule AS r USING (rule_id) WHERE r.name = 'low' ORDER BY alert_id;
SELECT cxm.submit_open_response('live', 'l1', '{"staff": true}') > 0 AS submitted;
SELECT r.state, (SELECT count(*) FROM cx.feedback AS f WHERE f.submission_id = 'l1') AS feedback, (SELECT count(*) FROM cx.answer AS a WHERE a.response_id = r.response_id AND a.on_path) AS on_path FROM cx.response AS r WHERE submission_id = 'l1';

---- who left before the end counts after a day
SELECT cxm.save_open_response('visit', 'left ' || n, jsonb_build_object('nps', n, 'why', 'left early')) > 0 AS saved FROM generate_series(1, 3) AS n;
SELECT cxm.save_open_response('visit', 'left 4', '{}') > 0 AS saved;
UPDATE cx.response SET updated_at = updated_at - interval '2 days', started_at = started_at - interval '2 days' WHERE submission_id ~ '^left' AND submission_id <> 'left 3';
SELECT cxm.settle_batch(2), cxm.settle_batch(2), cxm.settle_batch(2);
SELECT f.submission_id, f.score, f.comment, f.occurred_at = r.updated_at AS then FROM cx.feedback AS f JOIN cx.response AS r USING (submission_id) WHERE f.submission_id ~ '^left' ORDER BY 1;
SELECT state, count(*) FROM cx.response WHERE submission_id ~ '^left' GROUP BY 1;
-- and may come back
SELECT cxm.submit_open_response('visit', 'left 2', '{"nps": 10, "why": null}') > 0 AS submitted;
SELECT f.score, f.comment FROM cx.feedback AS f WHERE f.submission_id = 'left 2';

---- versions: what was begun goes on, what answers mean stays
SELECT cxm.save_open_response('visit', 'old', '{"nps": 4, "why": "old"}') > 0 AS begun;
SELECT s AS statement, r.* FROM unnest(ARRAY[
    $$SELECT cxm.change_survey('visit', '{"questions": [{"key": "nps", "type": "csat", "text": "N"}]}'), cxm.publish_survey('visit')$$,
    $$SELECT cxm.change_survey('visit', '{"questions": [{"key": "mood", "type": "rating", "metric": "mood", "scale_max": 4, "text": "N"}]}'), cxm.publish_survey('visit')$$,
    $$SELECT cxm.change_survey('visit', '{"questions": [{"key": "reason", "type": "choice", "text": "N", "options": [{"key": "price", "label": "P", "value": 2}]}]}'), cxm.publish_survey('visit')$$]) AS s, pg_temp.raised(s) AS r;
SELECT cxm.change_survey('visit', '{"questions": [{"key": "nps", "type": "nps", "text": "Other words?"}, {"key": "reason", "type": "choice", "text": "Which?", "options": [{"key": "wait", "label": "Waiting"}, {"key": "staff", "label": "Staff"}]}, {"key": "new", "type": "text", "text": "New?"}]}') AS version;
SELECT cxm.submit_open_response('visit', 'between', '{"nps": 9}') > 0 AS still_the_first;
SELECT cxm.publish_survey('visit');
SELECT version, state FROM cx.survey_version WHERE survey_id = 1 ORDER BY 1;
SELECT key, retired FROM cx.question WHERE survey_id = 1 ORDER BY question_id;
SELECT o.key, o.retired FROM cx.question_option AS o JOIN cx.question AS q USING (question_id) WHERE q.key = 'reason' ORDER BY option_id;
SELECT cxm.submit_open_response('visit', 'old', '{"reason": "price", "zip": "12345"}') > 0 AS in_its_own_version;
SELECT r.* FROM unnest(ARRAY['{"nps": 9, "zip": "12345"}', '{"nps": 9, "reason": "price"}']) AS a, pg_temp.raised(format('SELECT cxm.submit_open_response(%L, %L, %L)', 'visit', 'new', a)) AS r;
SELECT cxm.submit_open_response('visit', 'new', '{"nps": 1, "reason": "staff", "new": "rude"}') > 0 AS taken;
SELECT version, count(*) FROM cx.response WHERE survey_id = 1 GROUP BY 1 ORDER BY 1;
-- a question that was retired comes back
SELECT cxm.change_survey('visit', '{"questions": [{"key": "nps", "type": "nps", "text": "N"}, {"key": "zip", "type": "text", "text": "Z"}]}') AS version, cxm.publish_survey('visit');
SELECT key, retired FROM cx.question WHERE survey_id = 1 ORDER BY question_id;

---- closing
SELECT cxm.save_open_response('visit', 'late', '{"nps": 9}') > 0 AS begun;
SELECT cxm.close_survey('visit');
SELECT s AS statement, r.* FROM unnest(ARRAY[$$SELECT cxm.submit_open_response('visit', 'late', '{}')$$, $$SELECT cxm.submit_open_response('visit', 'later', '{"nps": 9}')$$, $$SELECT cxm.close_survey('visit')$$]) AS s, pg_temp.raised(s) AS r;
SELECT cxm.submit_open_response('visit', 'new', '{"nps": 1, "reason": "staff", "new": "rude"}') > 0 AS the_same_again;
SELECT cxm.reopen_survey('visit');
SELECT cxm.submit_open_response('visit', 'late', '{}') > 0 AS taken;

---- in bulk
SELECT * FROM cxm.submit_responses('[
    {"survey": "visit", "submission_id": "b1", "answers": {"nps": 9}, "identifiers": {"email": "ann@example.com"}, "touchpoint": "kiosk", "location": "berlin", "product": "tea", "employee": "e7", "started_at": "2026-01-01T10:00:00Z", "at": "2026-01-01T10:01:30Z", "channel": "kiosk", "language": "de", "metadata": {"kiosk": 7}},
    {"survey": "visit", "submission_id": "b1", "answers": {"nps": 9}},
    {"survey": "visit", "submission_id": "b1", "answers": {"nps": 8}},
    {"survey": "visit", "submission_id": "b2", "answers": {"nps": 8}, "identifiers": {"email": "ann@example.com"}},
    {"survey": "visit", "submission_id": "b3", "answers": {"nps": 12, "zip": 3}, "identifiers": {"email": "refused@example.com"}},
    {"survey": "vist", "submission_id": "b4", "answers": {"nps": 1}},
    {"survey": "visit", "submission_id": "b5", "answers": {"nps": 1}, "token": "TOP-SECRET"},
    {"survey": "visit", "submission_id": "b6", "answer": {"nps": 1}}, {"survey": "visit", "submission_id": "b7"}, {"survey": "visit", "answers": {"nps": 1}}, null, "x", [],
    {"survey": "visit", "submission_id": "b8", "answers": {"nps": 1}, "at": "soon"}, {"survey": "visit", "submission_id": "b9", "answers": {"nps": 1}, "started_at": "soon"},
    {"survey": "visit", "submission_id": "b10", "answers": {"nps": 1}, "at": "2099-01-01"}, {"survey": ["visit"], "submission_id": {"a": 1}, "answers": {"nps": 1}},
    {"survey": "visit", "submission_id": "b11", "answers": [1]}]');
SELECT message_id, sqlstate, regexp_replace(reason, 'up to .*', 'up to ...') AS reason FROM cx.rejection WHERE kind = 'response' ORDER BY rejection_id;
SELECT count(*) AS tokens_kept FROM cx.rejection WHERE record::text ~ 'SECRET';
SELECT count(*) AS people_of_the_refused FROM cx.identifier WHERE value = 'refused@example.com';
SELECT submission_id, w.language, w.channel, w.touchpoint, w.location, w.product, w.employee, w.started_at, w.completed_at - w.started_at AS took, w.answers, w.metadata, i.value FROM cx.response_wide AS w LEFT JOIN cx.identifier AS i USING (identifier_id) WHERE submission_id ~ '^b' ORDER BY response_id;
SELECT f.occurred_at, f.metric, f.score, t.key AS touchpoint, l.key AS location, p.key AS product, e.key AS employee, i.value, s.source
FROM cx.feedback AS f LEFT JOIN cx.touchpoint AS t USING (touchpoint_id) LEFT JOIN cx.location AS l ON l.location_id = f.location_id LEFT JOIN cx.product AS p USING (product_id) LEFT JOIN cx.employee AS e USING (employee_id) LEFT JOIN cx.identifier AS i USING (identifier_id) JOIN cx.source AS s USING (source_id)
WHERE submission_id = 'b1';
SELECT * FROM cxm.submit_responses('[]');
SELECT r.* FROM unnest(ARRAY['{}', 'null', '"x"']) AS j, pg_temp.raised(format('SELECT cxm.submit_responses(%L)', j)) AS r;
-- mended and tried again; sent again and superseded
UPDATE cx.rejection SET record = jsonb_set(record, '{answers}', '{"nps": 3}') WHERE message_id = 'visit:b3';
SELECT cxm.replay_rejection(rejection_id) FROM cx.rejection WHERE message_id IN ('visit:b3', 'visit:b11') ORDER BY rejection_id;
SELECT * FROM cxm.submit_responses('[{"survey": "visit", "submission_id": "b11", "answers": {"nps": 4}}]');
SELECT message_id, state, attempts FROM cx.rejection WHERE message_id IN ('visit:b3', 'visit:b11') ORDER BY rejection_id;

---- views
SELECT survey, version, started, complete, screened_out, partial, round(completion_rate::numeric, 2) AS completion_rate, timed, median_seconds, p90_seconds FROM cx.survey_summary ORDER BY survey, version;
SELECT version, question, shown, answered, skipped, left_here, round(answered_rate::numeric, 1) AS answered_rate, round(left_rate::numeric, 1) AS left_rate FROM cx.survey_dropoff WHERE survey = 'visit' ORDER BY version, position;
SELECT survey, version, question, n, round(score::numeric, 2) AS score, round(lower::numeric, 2) AS lower, round(upper::numeric, 2) AS upper FROM cx.survey_score ORDER BY 1, 2, 3;
SELECT question, answer, label, n, base, round(share::numeric, 1) AS share FROM cx.survey_distribution WHERE survey = 'visit' AND version = 1 AND question <> 'nps' ORDER BY position, place;
SELECT sum(n) AS counted, max(base) AS base FROM cx.survey_distribution WHERE survey = 'visit' AND version = 1 AND question = 'nps';

---- listeners hear of what is finished, by ids and state; of more than a hundred at a time in one line
SELECT cxm.create_survey('{"key": "told", "notify": true, "questions": [{"key": "nps", "type": "nps", "text": "N"}, {"key": "why", "type": "text", "text": "W"}]}') > 0 AS made, cxm.publish_survey('told');
SELECT cxm.save_open_response('told', 'n1', '{"nps": 1}') > 0 AS saved, cxm.submit_open_response('told', 'n1', '{"why": "a secret"}') > 0 AS submitted, cxm.submit_open_response('told', 'n1', '{"why": "a secret"}') > 0 AS again;
SELECT accepted FROM cxm.submit_responses((SELECT jsonb_agg(jsonb_build_object('survey', 'told', 'submission_id', 'many ' || n, 'answers', jsonb_build_object('nps', 9))) FROM generate_series(1, 101) AS n));
SELECT channel, payload - '{response_id,first_response_id,last_response_id}'::text[] AS payload, (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(payload) AS k) AS keys FROM cx.outbox WHERE channel = 'cxm_survey' ORDER BY outbox_id;
SELECT * FROM cxm.store_check();
ROLLBACK;
