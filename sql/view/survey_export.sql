-- Responses for export: a row an answer, or a row a response.

CREATE OR REPLACE VIEW cx.response_answer AS
SELECT
    r.response_id,
    s.key AS survey,
    r.version,
    r.submission_id,
    r.state,
    r.identifier_id,
    r.completed_at,
    q.position,
    k.key AS question,
    k.type,
    coalesce(a.value_text, trim_scale(a.value_number)::text, a.value_boolean::text, to_char(a.value_date, 'YYYY-MM-DD'), array_to_string(o.keys, ', ')) AS answer,
    coalesce(o.labels, a.value_text, trim_scale(a.value_number)::text, a.value_boolean::text, to_char(a.value_date, 'YYYY-MM-DD')) AS label,
    a.value_number,
    a.value_text,
    a.value_boolean,
    a.value_date,
    to_jsonb(o.keys) AS options,
    a.on_path,
    a.answered_at
FROM cx.answer AS a
JOIN cx.response AS r ON r.response_id = a.response_id
JOIN cx.survey AS s ON s.survey_id = r.survey_id
JOIN cx.question AS k ON k.question_id = a.question_id
JOIN cx.survey_question AS q ON q.survey_id = r.survey_id AND q.version = r.version AND q.question_id = a.question_id
LEFT JOIN LATERAL (
    SELECT array_agg(p.key::text ORDER BY i.ordinality) AS keys,
           string_agg(coalesce(cxm.survey_label(r.survey_id, r.version, k.key, p.key, 'label', ARRAY[s.default_language]), p.key), ', ' ORDER BY i.ordinality) AS labels
    FROM unnest(a.option_ids) WITH ORDINALITY AS i(id, ordinality)
    JOIN cx.question_option AS p ON p.option_id = i.id
) AS o ON a.option_ids IS NOT NULL;

COMMENT ON VIEW cx.response_answer IS 'Every answer, in long form: one row a (response, question). Mind on_path: an answer to a question that the other answers lead past is kept but counts nowhere.';
COMMENT ON COLUMN cx.response_answer.response_id IS 'The response (cx.response).';
COMMENT ON COLUMN cx.response_answer.survey IS 'Key of the survey.';
COMMENT ON COLUMN cx.response_answer.version IS 'Version that it was answered in.';
COMMENT ON COLUMN cx.response_answer.submission_id IS 'The form''s own id.';
COMMENT ON COLUMN cx.response_answer.state IS 'State of the response: partial, complete or screened_out.';
COMMENT ON COLUMN cx.response_answer.identifier_id IS 'Who answered (cx.identifier); NULL = anonymous.';
COMMENT ON COLUMN cx.response_answer.completed_at IS 'When the response was submitted; NULL while it is partial.';
COMMENT ON COLUMN cx.response_answer.position IS 'Place of the question in the version.';
COMMENT ON COLUMN cx.response_answer.question IS 'Key of the question.';
COMMENT ON COLUMN cx.response_answer.type IS 'Its type.';
COMMENT ON COLUMN cx.response_answer.answer IS 'The answer as text; options by their keys, separated by commas.';
COMMENT ON COLUMN cx.response_answer.label IS 'The answer as people read it: options by their labels in the default language.';
COMMENT ON COLUMN cx.response_answer.value_number IS 'A score or number; NULL for other types.';
COMMENT ON COLUMN cx.response_answer.value_text IS 'A text; NULL for other types.';
COMMENT ON COLUMN cx.response_answer.value_boolean IS 'Yes or no; NULL for other types.';
COMMENT ON COLUMN cx.response_answer.value_date IS 'A date; NULL for other types.';
COMMENT ON COLUMN cx.response_answer.options IS 'Keys of the options chosen, as a JSON array; NULL for other types.';
COMMENT ON COLUMN cx.response_answer.on_path IS 'Whether the question lies on the path that the answers take.';
COMMENT ON COLUMN cx.response_answer.answered_at IS 'When it was (last) given.';

CREATE OR REPLACE VIEW cx.response_wide AS
SELECT
    r.response_id,
    s.key AS survey,
    r.version,
    r.submission_id,
    r.state,
    r.invitation_id,
    r.identifier_id,
    r.language,
    r.channel,
    t.key::text AS touchpoint,
    l.key::text AS location,
    p.key::text AS product,
    e.key::text AS employee,
    r.started_at,
    r.completed_at,
    (SELECT coalesce(jsonb_object_agg(k.key, CASE k.type
                WHEN 'text' THEN to_jsonb(a.value_text)
                WHEN 'boolean' THEN to_jsonb(a.value_boolean)
                WHEN 'date' THEN to_jsonb(to_char(a.value_date, 'YYYY-MM-DD'))
                WHEN 'choice' THEN (SELECT to_jsonb(o.key) FROM cx.question_option AS o WHERE o.option_id = a.option_ids[1])
                WHEN 'multi' THEN (SELECT jsonb_agg(o.key ORDER BY i.ordinality)
                                   FROM unnest(a.option_ids) WITH ORDINALITY AS i(id, ordinality) JOIN cx.question_option AS o ON o.option_id = i.id)
                ELSE to_jsonb(trim_scale(a.value_number)) END), '{}')
     FROM cx.answer AS a
     JOIN cx.question AS k ON k.question_id = a.question_id
     WHERE a.response_id = r.response_id AND a.on_path) AS answers,
    r.metadata
FROM cx.response AS r
JOIN cx.survey AS s ON s.survey_id = r.survey_id
LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = r.touchpoint_id
LEFT JOIN cx.location AS l ON l.location_id = r.location_id
LEFT JOIN cx.product AS p ON p.product_id = r.product_id
LEFT JOIN cx.employee AS e ON e.employee_id = r.employee_id;

COMMENT ON VIEW cx.response_wide IS 'Every response with its answers as one JSON object.';
COMMENT ON COLUMN cx.response_wide.response_id IS 'The response (cx.response).';
COMMENT ON COLUMN cx.response_wide.survey IS 'Key of the survey.';
COMMENT ON COLUMN cx.response_wide.version IS 'Version that it was answered in.';
COMMENT ON COLUMN cx.response_wide.submission_id IS 'The form''s own id.';
COMMENT ON COLUMN cx.response_wide.state IS 'partial, complete or screened_out.';
COMMENT ON COLUMN cx.response_wide.invitation_id IS 'Invitation that it answers; NULL for an open form.';
COMMENT ON COLUMN cx.response_wide.identifier_id IS 'Who answered (cx.identifier); NULL = anonymous.';
COMMENT ON COLUMN cx.response_wide.language IS 'Language tag that it was answered in.';
COMMENT ON COLUMN cx.response_wide.channel IS 'How it was answered.';
COMMENT ON COLUMN cx.response_wide.touchpoint IS 'Key of the touchpoint that it is about.';
COMMENT ON COLUMN cx.response_wide.location IS 'Key of the location that it is about.';
COMMENT ON COLUMN cx.response_wide.product IS 'Key of the product that it is about.';
COMMENT ON COLUMN cx.response_wide.employee IS 'Key of the employee that it is about.';
COMMENT ON COLUMN cx.response_wide.started_at IS 'When it was begun; NULL = not known.';
COMMENT ON COLUMN cx.response_wide.completed_at IS 'When it was submitted; NULL while it is partial.';
COMMENT ON COLUMN cx.response_wide.answers IS 'Answers on the path, {"question": value, ...}, as they were given; {} when there are none.';
COMMENT ON COLUMN cx.response_wide.metadata IS 'Anything else that is known of it.';
