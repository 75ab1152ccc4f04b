-- Taking responses: what an answer may be, which questions are on the path, saving and submitting.
--
-- A response comes as a cxm.response_input. The single forms, the bulk form and replayed rejections all build such rows
-- and hand an array of them to cxm.store_responses().

CREATE TYPE cxm.answer_problem AS (
    question        text,
    value           text,
    code            text,
    reason          text,
    allowed         text
);

COMMENT ON TYPE cxm.answer_problem IS
'What is wrong with one answer: the key of the question (NULL = the response itself), the value as it came (its first 100 characters), the SQLSTATE, why it is refused, and what is allowed.';

CREATE TYPE cxm.response_input AS (
    survey          text,
    submission_id   text,
    invitation_id   bigint,
    identifier_id   bigint,
    identifiers     jsonb,
    language        text,
    channel         text,
    touchpoint      text,
    location        text,
    product         text,
    employee        text,
    started_at      timestamptz,
    at              timestamptz,
    seen            text,
    final           boolean,
    metadata        jsonb,
    answers         jsonb,
    reason          text,
    raw             jsonb
);

COMMENT ON TYPE cxm.response_input IS
'A response on its way into cx.response. survey: key; submission_id: what makes it one response; invitation_id, identifier_id: of the invitation that was redeemed, or NULL; identifiers: of an open form, {"namespace": "value", ...}; at: when it was sent; seen: key of the question that is shown now; final: submitted, not only saved; answers: {"question": value, ...}; reason: why it is known to be bad already; raw: the record as it came.';

CREATE TYPE cxm.response_result AS (
    response_id     bigint,
    is_new          boolean,
    problems        cxm.answer_problem[]
);

COMMENT ON TYPE cxm.response_result IS
'What became of a response: its id (NULL = refused), whether this changed anything (false: the same had been submitted before), and what is wrong with it (NULL when nothing is).';

---- answers

CREATE FUNCTION cxm.unique_keys(document json) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key text;
BEGIN
    IF json_typeof(document) = 'object' THEN
        SELECT k INTO v_key FROM json_object_keys(document) AS k GROUP BY k HAVING count(*) > 1 ORDER BY k COLLATE "C" LIMIT 1;
        IF v_key IS NOT NULL THEN
            RAISE EXCEPTION 'key "%" comes more than once', left(v_key, 100)
                USING ERRCODE = 'duplicate_json_object_key_value',
                      DETAIL = format('Its values are %s.', (SELECT left(string_agg(left(e.value::text, 100), ', '), 1000) FROM json_each(document) AS e WHERE e.key = v_key));
        END IF;
    END IF;
    RETURN document::jsonb;
END
$$;

COMMENT ON FUNCTION cxm.unique_keys(json) IS
'The document as jsonb. Error (22030) when a key of the object comes more than once, of which jsonb would silently keep the last.';

CREATE FUNCTION cxm.check_answer(question jsonb, value jsonb, OUT answer jsonb, OUT problem cxm.answer_problem) RETURNS record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_type constant text := question ->> 'type';
    v_kind constant text := jsonb_typeof(value);
    v_expected constant text := CASE v_type WHEN 'choice' THEN 'string' WHEN 'multi' THEN 'array' WHEN 'text' THEN 'string' WHEN 'date' THEN 'string' WHEN 'boolean' THEN 'boolean' ELSE 'number' END;
    v_number numeric;
    v_text text;
    v_n integer;
    v_code text := '22023';
    v_reason text;
    v_allowed text;
    v_bad jsonb;
BEGIN
    IF v_kind = 'null' THEN
        RETURN;
    ELSIF v_kind <> v_expected THEN
        v_reason := format('is %s %s, not %s', CASE WHEN v_kind IN ('object', 'array') THEN 'an' ELSE 'a' END, v_kind,
                           CASE v_expected WHEN 'array' THEN 'an array' ELSE 'a ' || v_expected END);
    ELSIF v_type = 'choice' THEN
        v_bad := CASE WHEN jsonb_path_query_array(question, '$.options[*].key') @> value THEN NULL ELSE value END;
        answer := value;
    ELSIF v_type = 'multi' THEN
        v_n := jsonb_array_length(value);
        IF v_n = 0 THEN
            RETURN;
        END IF;
        -- in the order in which they are offered, so that the same choice is the same value
        SELECT jsonb_agg(o.item -> 'key' ORDER BY o.ordinality), count(*) FILTER (WHERE (o.item -> 'exclusive')::boolean) INTO answer, v_number
        FROM jsonb_array_elements(question -> 'options') WITH ORDINALITY AS o(item, ordinality)
        WHERE value @> (o.item -> 'key');
        IF jsonb_array_length(answer) IS DISTINCT FROM v_n THEN
            SELECT a.item INTO v_bad FROM jsonb_array_elements(value) AS a(item)
            WHERE jsonb_typeof(a.item) <> 'string' OR NOT coalesce(answer @> a.item, false) LIMIT 1;
            IF v_bad IS NULL THEN
                v_reason := format('names option %s more than once', (SELECT left(a.item::text, 100) FROM jsonb_array_elements(value) AS a(item) GROUP BY a.item HAVING count(*) > 1 LIMIT 1));
            END IF;
        ELSIF v_n < (question -> 'min_choices')::integer OR v_n > (question -> 'max_choices')::integer THEN
            v_reason := format('names %s options', v_n);
        ELSIF v_number > 0 AND v_n > 1 THEN
            v_reason := 'names an option that can only be chosen alone together with others';
        END IF;
    ELSIF v_type = 'boolean' THEN
        answer := value;
    ELSIF v_type = 'text' THEN
        v_text := value #>> '{}';
        IF v_text !~ '[^[:space:]]' THEN
            RETURN;
        ELSIF length(v_text) > coalesce((question -> 'max_length')::integer, 10000) THEN
            v_code := '22001';
            v_reason := format('has %s characters', length(v_text));
        ELSIF length(v_text) < (question -> 'min_length')::integer THEN
            v_reason := format('has %s characters', length(v_text));
        ELSIF question ? 'pattern' THEN
            IF v_text !~ ('^(?:' || (question ->> 'pattern') || ')$') THEN
                v_reason := 'does not have the form that is asked for';
            END IF;
        END IF;
        answer := value;
    ELSIF v_type = 'date' THEN
        v_text := value #>> '{}';
        IF cxm.try_date(v_text) IS NULL THEN
            v_code := CASE WHEN v_text ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' THEN '22008' ELSE '22007' END;
            v_reason := 'is not a date';
        ELSIF v_text < question ->> 'min' COLLATE "C" OR v_text > question ->> 'max' COLLATE "C" THEN
            v_code := '22008';
            v_reason := 'is out of range';
        END IF;
        answer := value;
    ELSE
        v_number := value::numeric;
        IF v_number < coalesce((question -> 'min')::numeric, -1e15) OR v_number > coalesce((question -> 'max')::numeric, 1e15) THEN
            v_code := '22003';
            v_reason := CASE v_type WHEN 'number' THEN 'is out of range' ELSE 'is off the scale' END;
        ELSIF v_type <> 'number' THEN
            IF v_number <> trunc(v_number) THEN
                v_reason := 'is not a whole number';
            END IF;
        ELSIF min_scale(v_number) > 20 THEN
            v_reason := 'has more than 20 decimal places';
        ELSIF mod(v_number - coalesce((question -> 'min')::numeric, 0), (question -> 'step')::numeric) <> 0 THEN
            v_reason := 'is not on a step';
        END IF;
        IF v_reason IS NULL THEN
            answer := to_jsonb(trim_scale(v_number));
        END IF;
    END IF;

    IF v_bad IS NOT NULL THEN
        v_reason := CASE WHEN v_type = 'multi' THEN format('names %s, which ', left(v_bad::text, 100)) ELSE '' END
                    || CASE WHEN question -> 'retired' @> v_bad THEN 'is an option that this version does not offer' ELSE 'is not an option' END;
    END IF;
    IF v_reason IS NULL THEN
        RETURN;
    END IF;
    v_allowed := CASE v_type
        WHEN 'boolean' THEN 'true or false'
        WHEN 'text' THEN format('text of %s to %s characters%s', coalesce(question ->> 'min_length', '1'), coalesce(question ->> 'max_length', '10000'), coalesce(' of the form ' || (question ->> 'pattern'), ''))
        WHEN 'date' THEN format('"YYYY-MM-DD" from %s to %s', coalesce(question ->> 'min', '0001-01-01'), coalesce(question ->> 'max', '9999-12-31'))
        WHEN 'number' THEN format('a number from %s to %s%s', coalesce(question ->> 'min', '-1e15'), coalesce(question ->> 'max', '1e15'), coalesce(' in steps of ' || (question ->> 'step'), ''))
        WHEN 'choice' THEN 'one of '
        WHEN 'multi' THEN format('an array of %s to %s of ', coalesce(question ->> 'min_choices', '1'), coalesce(question ->> 'max_choices', jsonb_array_length(question -> 'options')::text))
        ELSE format('a whole number from %s to %s', question ->> 'min', question ->> 'max') END
        || CASE WHEN v_type IN ('choice', 'multi') THEN (SELECT left(string_agg((o.item -> 'key')::text || CASE WHEN o.item ? 'exclusive' THEN ' (alone)' ELSE '' END, ', ' ORDER BY o.ordinality), 1000)
                                                         FROM jsonb_array_elements(question -> 'options') WITH ORDINALITY AS o(item, ordinality)) ELSE '' END;
    answer := NULL;
    problem := (question ->> 'key', left(value::text, 100), v_code, v_reason, v_allowed)::cxm.answer_problem;
END
$$;

COMMENT ON FUNCTION cxm.check_answer(jsonb, jsonb) IS
'An answer in the form in which it is stored (a number without trailing zeros, options in the order in which they are offered), or what is wrong with it. Both NULL: it says nothing (null, a blank text, no option). question: an entry of a plan. Takes any JSON value.';

CREATE FUNCTION cxm.survey_path(plan jsonb, answers jsonb, OUT path integer[], OUT ending text) RETURNS record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_question jsonb;
    v_position integer;
    v_next integer := 1;
    v_seen jsonb := '{}';
    v_rule jsonb;
BEGIN
    ending := 'end';
    IF NOT (plan -> 'branches')::boolean THEN
        path := ARRAY(SELECT generate_series(1, jsonb_array_length(plan -> 'questions')));
        RETURN;
    END IF;

    path := '{}';
    FOR v_question, v_position IN SELECT q.value, q.ordinality FROM jsonb_array_elements(plan -> 'questions') WITH ORDINALITY AS q(value, ordinality) LOOP
        CONTINUE WHEN v_position < v_next;
        IF v_question ? 'show_if' THEN
            CONTINUE WHEN NOT cxm.condition_holds(v_question -> 'show_if', v_seen);
        END IF;
        path := path || v_position;
        IF answers ? (v_question ->> 'key') THEN
            v_seen := v_seen || jsonb_build_object(v_question ->> 'key', answers -> (v_question ->> 'key'));
        END IF;
        IF v_question ? 'skip_to' THEN
            FOR v_rule IN SELECT a.value FROM jsonb_array_elements(v_question -> 'skip_to') AS a LOOP
                IF NOT v_rule ? 'if' OR cxm.condition_holds(v_rule -> 'if', v_seen) THEN
                    IF jsonb_typeof(v_rule -> 'to') = 'string' THEN
                        ending := v_rule ->> 'to';
                        RETURN;
                    END IF;
                    v_next := v_rule -> 'to';
                    EXIT;
                END IF;
            END LOOP;
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.survey_path(jsonb, jsonb) IS
'The path that answers take through a survey: positions of the questions that are shown, and how it ends (end or screen_out). Conditions see the answers to questions that are shown; an answer to any other counts for nothing. plan: of cx.survey_version; answers: {"question": value, ...} as cxm.check_answer() gives them.';

CREATE FUNCTION cxm.check_answers(plan jsonb, given jsonb, stored jsonb, final boolean,
                                  OUT changes jsonb, OUT answers jsonb, OUT path integer[], OUT ending text, OUT problems cxm.answer_problem[]) RETURNS record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_first_bad bigint;
BEGIN
    IF jsonb_typeof(given) IS DISTINCT FROM 'object' THEN
        problems := ARRAY[(NULL, coalesce(left(given::text, 100), 'NULL'), '22023', 'the answers are not an object', '{"question": value, ...}')::cxm.answer_problem];
        RETURN;
    END IF;

    SELECT coalesce(jsonb_object_agg(g.key, coalesce((c.checked).answer, 'null')) FILTER (WHERE ((c.checked).problem).reason IS NULL AND q.key IS NOT NULL), '{}'),
           array_agg(CASE WHEN q.key IS NOT NULL THEN (c.checked).problem
                          ELSE (left(g.key, 100), left(g.value::text, 100), '22023', 'answers a question that the survey does not have',
                                (SELECT left(string_agg(k.value ->> 'key', ', ' ORDER BY k.ordinality), 1000)
                                                  FROM jsonb_array_elements(plan -> 'questions') WITH ORDINALITY AS k(value, ordinality)))::cxm.answer_problem END
                     ORDER BY q.ordinality, g.key) FILTER (WHERE ((c.checked).problem).reason IS NOT NULL OR q.key IS NULL),
           min(q.ordinality) FILTER (WHERE ((c.checked).problem).reason IS NOT NULL)
    INTO changes, problems, v_first_bad
    FROM jsonb_each(given) AS g
    LEFT JOIN (SELECT p.value ->> 'key' AS key, p.value, p.ordinality
               FROM jsonb_array_elements(plan -> 'questions') WITH ORDINALITY AS p(value, ordinality)) AS q ON q.key = g.key
    LEFT JOIN LATERAL (SELECT cxm.check_answer(q.value, g.value) AS checked OFFSET 0) AS c ON q.key IS NOT NULL;

    answers := jsonb_strip_nulls(coalesce(stored, '{}') || changes);
    SELECT p.path, p.ending INTO path, ending FROM cxm.survey_path(plan, answers) AS p;

    IF final THEN
        -- past an answer that cannot be read nobody knows where the path leads
        problems := problems || ARRAY(
            SELECT (q.value ->> 'key', NULL, '22004', 'is not answered', 'an answer: the question is required')::cxm.answer_problem
            FROM unnest(path) AS p(position)
            CROSS JOIN LATERAL (SELECT plan -> 'questions' -> (p.position - 1) AS value) AS q
            WHERE q.value ? 'required' AND NOT answers ? (q.value ->> 'key')
              AND NOT coalesce((given -> (q.value ->> 'key')) <> 'null' AND NOT changes ? (q.value ->> 'key'), false)
              AND (v_first_bad IS NULL OR p.position < v_first_bad OR NOT (plan -> 'branches')::boolean)
            ORDER BY p.position);
        problems := nullif(problems, '{}');
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_answers(jsonb, jsonb, jsonb, boolean) IS
'Checks answers against a plan. given: {"question": value, ...}; stored: answers of the same response that were saved before; final: whether all that is required must be there. Gives the given ones as they are to be stored (null = taken back), all that hold now, the path that these take, how it ends, and everything that is wrong (NULL when nothing is).';

CREATE FUNCTION cxm.answer_problem_text(problem cxm.answer_problem) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN problem.question IS NULL THEN problem.reason || coalesce(': ' || problem.value, '')
                ELSE 'question "' || problem.question || '"' || coalesce(': ' || problem.value, '') || ' ' || problem.reason END;
$$;

COMMENT ON FUNCTION cxm.answer_problem_text(cxm.answer_problem) IS 'A problem in a clause: question "nps": 11 is off the scale.';

CREATE FUNCTION cxm.answer_problem_lines(problems cxm.answer_problem[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(cxm.answer_problem_text(problems[n]) || coalesce('; allowed: ' || (problems[n]).allowed, ''), E'\n' ORDER BY n)
    FROM generate_series(1, least(cardinality(problems), 100)) AS n;
$$;

COMMENT ON FUNCTION cxm.answer_problem_lines(cxm.answer_problem[]) IS 'Problems as text, a line each with what is allowed, at most 100.';

CREATE FUNCTION cxm.raise_answer_problems(survey text, problems cxm.answer_problem[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '%', CASE cardinality(problems)
            WHEN 1 THEN format('survey "%s" cannot take the response: %s', left(survey, 100), cxm.answer_problem_text(problems[1]))
            ELSE format('survey "%s" cannot take the response: it has %s problems', left(survey, 100), cardinality(problems)) END
        USING ERRCODE = (problems[1]).code,
              DETAIL = cxm.answer_problem_lines(problems),
              HINT = 'SELECT * FROM cxm.answer_problems(survey, answers) gives the problems as rows.';
END
$$;

COMMENT ON FUNCTION cxm.raise_answer_problems(text, cxm.answer_problem[]) IS
'Raises the problems of a response as one error, with the SQLSTATE of the first and a line for each in its detail (at most 100).';

CREATE FUNCTION cxm.answer_problems(survey text, answers jsonb, final boolean DEFAULT true, version integer DEFAULT NULL) RETURNS SETOF cxm.answer_problem
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT p.* FROM unnest((cxm.check_answers(cxm.version_plan(survey, version), answers, NULL, final)).problems) AS p;
END
$$;

COMMENT ON FUNCTION cxm.answer_problems(text, jsonb, boolean, integer) IS
'What is wrong with these answers to a survey, a row a problem; no rows when they could be submitted (final) or saved (not final). version: NULL = the present one. Error on an unknown survey or version (42704).';

CREATE FUNCTION cxm.version_plan(survey text, version integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer := cxm.survey_id(survey);
    v_plan jsonb;
BEGIN
    SELECT v.plan INTO v_plan
    FROM cx.survey AS s
    JOIN cx.survey_version AS v ON v.survey_id = s.survey_id AND v.version = coalesce(version_plan.version, s.version)
    WHERE s.survey_id = v_id;
    IF v_plan IS NULL THEN
        RAISE EXCEPTION 'survey "%" has no published version%', survey, coalesce(' ' || version, '')
            USING ERRCODE = 'undefined_object',
                  HINT = 'Publish its draft with cxm.publish_survey(); cx.survey_version lists the versions.';
    END IF;
    RETURN v_plan;
END
$$;

COMMENT ON FUNCTION cxm.version_plan(text, integer) IS 'Plan of a version of a survey; NULL = the present one. Error (42704) when it is not published.';

CREATE FUNCTION cxm.response_answers(response_id bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_object_agg(q.key, CASE q.type
                   WHEN 'text' THEN to_jsonb(a.value_text)
                   WHEN 'boolean' THEN to_jsonb(a.value_boolean)
                   WHEN 'date' THEN to_jsonb(to_char(a.value_date, 'YYYY-MM-DD'))
                   WHEN 'choice' THEN (SELECT to_jsonb(o.key) FROM cx.question_option AS o WHERE o.option_id = a.option_ids[1])
                   WHEN 'multi' THEN (SELECT jsonb_agg(o.key ORDER BY i.ordinality)
                                      FROM unnest(a.option_ids) WITH ORDINALITY AS i(id, ordinality) JOIN cx.question_option AS o ON o.option_id = i.id)
                   ELSE to_jsonb(a.value_number) END), '{}')
        FROM cx.answer AS a
        JOIN cx.question AS q USING (question_id)
        WHERE a.response_id = response_answers.response_id);
END
$$;

COMMENT ON FUNCTION cxm.response_answers(bigint) IS
'All answers of a response, on its path or not, as {"question": value, ...} in the form in which they were given; {} when there are none.';

---- what answers become

-- Responses are looked up by key, however few there are when the plan is made and however fast they become more: hence the
-- SET clauses, here and below. (jit, because a plan for which there is no index costs more than the limits of jit then.)
CREATE FUNCTION cxm.response_feedback(response_ids bigint[],
                                      OUT feedback_id bigint, OUT occurred_at timestamptz, OUT identifier_id bigint, OUT metric text, OUT score smallint, OUT scale_min smallint, OUT scale_max smallint,
                                      OUT touchpoint_id integer, OUT location_id integer, OUT product_id integer, OUT employee_id integer, OUT source_id integer,
                                      OUT submission_id text, OUT question text, OUT comment text, OUT properties jsonb) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY
    SELECT g.feedback_id, g.feedback_at, g.identifier_id, coalesce(g.metric, t.metric), g.score, coalesce(g.scale_min, t.scale_min), coalesce(g.scale_max, t.scale_max),
           g.touchpoint_id, g.location_id, g.product_id, g.employee_id, g.source_id, g.submission_id, g.key, coalesce(g.value_text, g.next_text),
           jsonb_strip_nulls(jsonb_build_object('survey', g.survey, 'response_id', g.response_id, 'comment_question', g.next_key))
    FROM (SELECT r.*, v.key AS survey, a.feedback_id, a.value_number::smallint AS score, a.value_text, q.key, q.metric, q.scale_min, q.scale_max, s.comment_on,
                 -- behind a score its texts, in the order of the survey
                 row_number() OVER w AS place,
                 first_value(q.metric IS NOT NULL) OVER w AS has_score,
                 CASE WHEN q.metric IS NOT NULL THEN lead(a.value_text) OVER w END AS next_text,
                 CASE WHEN q.metric IS NOT NULL THEN lead(q.key) OVER w END AS next_key
          FROM unnest(response_ids) AS i(id)
          JOIN cx.response AS r ON r.response_id = i.id
          JOIN cx.survey AS v ON v.survey_id = r.survey_id
          JOIN cx.answer AS a ON a.response_id = r.response_id
          JOIN cx.question AS q ON q.question_id = a.question_id
          JOIN cx.survey_question AS s ON s.survey_id = r.survey_id AND s.version = r.version AND s.question_id = a.question_id
          WHERE a.on_path AND r.state <> 'screened_out' AND (q.metric IS NOT NULL OR s.is_comment)
          WINDOW w AS (PARTITION BY a.response_id, coalesce(s.comment_on, a.question_id) ORDER BY q.metric IS NULL, s.position)) AS g
    LEFT JOIN LATERAL (
        -- what a text without a score is filed under
        SELECT k.metric, k.scale_min, k.scale_max
        FROM cx.survey_question AS s
        JOIN cx.question AS k ON k.question_id = s.question_id
        WHERE g.metric IS NULL AND s.survey_id = g.survey_id AND s.version = g.version AND k.metric IS NOT NULL
        ORDER BY k.question_id <> coalesce(g.comment_on, 0), s.position
        LIMIT 1) AS f ON true
    LEFT JOIN cx.metric AS t ON t.metric = coalesce(f.metric, 'rating') AND g.metric IS NULL
    WHERE g.metric IS NOT NULL OR NOT (g.has_score AND g.place = 2);
END
$$;

COMMENT ON FUNCTION cxm.response_feedback(bigint[]) IS
'The rows of cx.feedback that the answers of these responses come to. A score is a row; the first text that comments on it is its comment. Any other text is a row with a comment and no score, of the metric that it comments on, else the survey''s first one (rating in a survey without scores).';

CREATE FUNCTION cxm.sync_feedback(response_ids bigint[], fresh boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    v_rows bigint;
BEGIN
    IF fresh THEN
        INSERT INTO cx.feedback (feedback_id, occurred_at, identifier_id, metric, score, scale_min, scale_max, touchpoint_id, location_id,
                                 product_id, employee_id, source_id, submission_id, question, comment, properties)
        SELECT w.* FROM cxm.response_feedback(response_ids) AS w;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        RETURN v_rows;
    END IF;

    WITH wanted AS MATERIALIZED (
        SELECT w.feedback_id FROM cxm.response_feedback(response_ids) AS w
    )
    DELETE FROM cx.feedback AS f
    USING cx.response AS r
    WHERE r.response_id = ANY (response_ids) AND f.submission_id = r.submission_id AND f.occurred_at = r.feedback_at
      AND f.properties @> jsonb_build_object('response_id', r.response_id)
      AND f.feedback_id NOT IN (SELECT w.feedback_id FROM wanted AS w);

    UPDATE cx.feedback AS f
    SET score = w.score, comment = w.comment, identifier_id = w.identifier_id, touchpoint_id = w.touchpoint_id, location_id = w.location_id,
        product_id = w.product_id, employee_id = w.employee_id, properties = w.properties
    FROM cxm.response_feedback(response_ids) AS w
    WHERE f.feedback_id = w.feedback_id AND f.occurred_at = w.occurred_at
      AND (f.score, f.comment, f.identifier_id, f.touchpoint_id, f.location_id, f.product_id, f.employee_id)
          IS DISTINCT FROM (w.score, w.comment, w.identifier_id, w.touchpoint_id, w.location_id, w.product_id, w.employee_id);

    INSERT INTO cx.feedback (feedback_id, occurred_at, identifier_id, metric, score, scale_min, scale_max, touchpoint_id, location_id,
                             product_id, employee_id, source_id, submission_id, question, comment, properties)
    SELECT w.* FROM cxm.response_feedback(response_ids) AS w
    WHERE NOT EXISTS (SELECT FROM cx.feedback AS f WHERE f.feedback_id = w.feedback_id AND f.occurred_at = w.occurred_at);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.sync_feedback(bigint[], boolean) IS
'Writes the feedback of these responses at their feedback_at, so that alert rules see it, and returns how many rows are new. fresh: none of them has any yet; otherwise rows that are there are corrected, or removed where their answer is gone or no longer on the path.';

---- storing responses

CREATE FUNCTION cxm.write_answers(response_id bigint, plan jsonb, changes jsonb, path integer[], at timestamptz, is_new boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    IF NOT is_new THEN
        DELETE FROM cx.answer AS a
        USING jsonb_array_elements(plan -> 'questions') AS q
        WHERE a.response_id = write_answers.response_id AND a.question_id = (q.value -> 'id')::integer
          AND changes -> (q.value ->> 'key') = 'null';

        UPDATE cx.answer AS a
        SET on_path = NOT a.on_path
        FROM jsonb_array_elements(plan -> 'questions') WITH ORDINALITY AS q(value, ordinality)
        WHERE a.response_id = write_answers.response_id AND a.question_id = (q.value -> 'id')::integer
          AND a.on_path <> (q.ordinality = ANY (path));
    END IF;

    INSERT INTO cx.answer AS a (response_id, question_id, value_number, value_text, value_boolean, value_date, option_ids, on_path, answered_at, feedback_id)
    SELECT write_answers.response_id, (q.value -> 'id')::integer,
           CASE WHEN t.type NOT IN ('text', 'boolean', 'date', 'choice', 'multi') THEN c.value::numeric END,
           CASE WHEN t.type = 'text' THEN c.value #>> '{}' END,
           CASE WHEN t.type = 'boolean' THEN c.value::boolean END,
           CASE WHEN t.type = 'date' THEN cxm.try_date(c.value #>> '{}') END,
           CASE WHEN t.type IN ('choice', 'multi')
                THEN ARRAY(SELECT (o.value -> 'id')::integer FROM jsonb_array_elements(q.value -> 'options') WITH ORDINALITY AS o(value, ordinality)
                           WHERE c.value @> (o.value -> 'key') ORDER BY o.ordinality) END,
           q.ordinality = ANY (path), at,
           CASE WHEN t.type NOT IN ('number', 'boolean', 'date', 'choice', 'multi') THEN nextval(pg_get_serial_sequence('cx.feedback', 'feedback_id')) END
    FROM jsonb_array_elements(plan -> 'questions') WITH ORDINALITY AS q(value, ordinality)
    CROSS JOIN LATERAL (SELECT q.value ->> 'type' AS type) AS t
    CROSS JOIN LATERAL (SELECT changes -> (q.value ->> 'key') AS value) AS c
    WHERE c.value <> 'null'
    ORDER BY q.ordinality
    ON CONFLICT (response_id, question_id) DO UPDATE
    SET value_number = excluded.value_number, value_text = excluded.value_text, value_boolean = excluded.value_boolean, value_date = excluded.value_date,
        option_ids = excluded.option_ids, on_path = excluded.on_path, answered_at = excluded.answered_at
    WHERE (a.value_number, a.value_text, a.value_boolean, a.value_date, a.option_ids)
          IS DISTINCT FROM (excluded.value_number, excluded.value_text, excluded.value_boolean, excluded.value_date, excluded.option_ids);
END
$$;

COMMENT ON FUNCTION cxm.write_answers(bigint, jsonb, jsonb, integer[], timestamptz, boolean) IS
'Writes the answers of one response, given as cxm.check_answers() gives them; notes for each, old ones too, whether its question is on the path.';

CREATE FUNCTION cxm.response_problem(response cxm.response_input, survey_exists boolean, latest timestamptz, namespaces text[]) RETURNS cxm.answer_problem
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_problem cxm.problem;
BEGIN
    IF response.reason IS NOT NULL THEN
        RETURN (NULL, NULL, '22023', response.reason, NULL)::cxm.answer_problem;
    ELSIF NOT survey_exists THEN
        RETURN (NULL, NULL, '42704', 'the survey does not exist', 'a key of cx.survey')::cxm.answer_problem;
    ELSIF coalesce(response.submission_id, '') = '' THEN
        RETURN (NULL, NULL, '22004', 'the response has no submission_id', 'an id of 1 to 1024 bytes that the form makes when it is opened, such as a UUID')::cxm.answer_problem;
    ELSIF response.language IS NOT NULL AND cxm.language_tag(response.language) IS NULL THEN
        RETURN (NULL, left(response.language, 100), '22023', 'the language is not a language tag', 'one such as de or pt-BR')::cxm.answer_problem;
    ELSIF NOT isfinite(response.started_at) OR response.started_at > response.at OR response.started_at < '4000-01-01 00:00+00 BC' THEN
        RETURN (NULL, response.started_at::text, '22008', 'the response was begun after it was sent', format('a started_at up to %s', response.at))::cxm.answer_problem;
    END IF;
    v_problem := cxm.record_problem(NULL, response.submission_id, response.at, latest, response.identifiers, namespaces, response.metadata,
                                    ARRAY[response.touchpoint, response.location, response.product, response.employee, response.channel]);
    IF v_problem.reason IS NOT NULL THEN
        RETURN (NULL, NULL, v_problem.sqlstate, replace(replace(v_problem.reason, 'message_id', 'submission_id'), 'properties', 'metadata'),
                CASE WHEN response.at > latest THEN format('a time up to %s', latest) END)::cxm.answer_problem;
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.response_problem(cxm.response_input, boolean, timestamptz, text[]) IS
'What is wrong with a response apart from its answers, or NULL when nothing is. survey_exists: whether its survey does; latest and namespaces: of cxm.ingest_limits().';

CREATE FUNCTION cxm.store_responses(source_id integer, records cxm.response_input[]) RETURNS cxm.response_result[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
DECLARE
    v_limits record := cxm.ingest_limits();
    v_results cxm.response_result[] := array_fill(NULL::cxm.response_result, ARRAY[cardinality(records)]);
    v_in record;
    v_record cxm.response_input;
    v_old cx.response;
    v_tries integer;
    v_problem cxm.answer_problem;
    v_checked record;
    v_plan jsonb;
    v_hash bytea;
    v_id bigint;
    v_state text;
    v_feedback_at timestamptz;
    v_path integer[];
    v_fresh bigint[] := '{}';     -- responses that get feedback for the first time
    v_times timestamptz[] := '{}';
    v_again bigint[] := '{}';     -- whose feedback is to be corrected
    v_named integer[] := '{}';    -- records that name people or places
    v_invited integer[] := '{}';  -- that answer an invitation
    v_complete bigint[] := '{}';   -- that were completed
    v_open bigint[] := '{}';      -- complete without one
    v_payloads jsonb[] := '{}';
BEGIN
    -- in one order for all, so that batches cannot deadlock
    FOR v_in IN
        SELECT r.ordinality AS n, s.survey_id, s.key, s.state, s.version, s.default_language, s.touchpoint_id, s.location_id, s.feedback_on, s.notify, v.plan
        FROM unnest(records) WITH ORDINALITY AS r
        LEFT JOIN cx.survey AS s ON s.key = r.survey COLLATE "C"
        LEFT JOIN cx.survey_version AS v ON v.survey_id = s.survey_id AND v.version = s.version
        ORDER BY s.survey_id, r.submission_id COLLATE "C", r.ordinality
    LOOP
        v_record := records[v_in.n];
        v_problem := cxm.response_problem(v_record, v_in.survey_id IS NOT NULL, v_limits.latest, v_limits.namespaces);
        IF v_problem.reason IS NOT NULL THEN
            v_results[v_in.n] := (NULL, NULL, ARRAY[v_problem]);
            CONTINUE;
        END IF;

        v_tries := 0;
        <<claim>>
        LOOP
            -- what conflicts and cannot be read, as under a policy, would be tried for ever
            v_tries := v_tries + 1;
            IF v_tries > 10 THEN
                RAISE EXCEPTION 'response "%" of survey "%" is there but cannot be read', left(v_record.submission_id, 100), v_in.key
                    USING ERRCODE = 'insufficient_privilege',
                          HINT = 'Have the row-level security of cx.response show a writer the responses that it sends.';
            END IF;
            SELECT r.* INTO v_old FROM cx.response AS r
            WHERE r.survey_id = v_in.survey_id AND r.submission_id = v_record.submission_id COLLATE "C"
            FOR NO KEY UPDATE;
            IF v_in.state <> 'active' AND coalesce(v_old.state = 'partial', true) THEN
                v_results[v_in.n] := (NULL, NULL, ARRAY[(NULL, NULL, '55000', CASE v_in.state WHEN 'draft' THEN 'the survey is not published yet' ELSE 'the survey is closed' END, NULL)::cxm.answer_problem]);
                EXIT claim;
            END IF;
            v_plan := CASE WHEN v_old.version = v_in.version OR v_old.response_id IS NULL THEN v_in.plan
                           ELSE (SELECT v.plan FROM cx.survey_version AS v WHERE v.survey_id = v_old.survey_id AND v.version = v_old.version) END;
            SELECT c.* INTO v_checked
            FROM cxm.check_answers(v_plan, v_record.answers, CASE WHEN v_old.state = 'partial' THEN cxm.response_answers(v_old.response_id) END,
                                   v_record.final AND coalesce(v_old.state = 'partial', true)) AS c;

            IF v_checked.problems IS NULL AND v_record.seen IS NOT NULL
               AND NOT EXISTS (SELECT FROM jsonb_array_elements(v_plan -> 'questions') AS q WHERE q.value ->> 'key' = v_record.seen) THEN
                v_checked.problems := ARRAY[(v_record.seen, NULL, '22023', 'was seen, but the survey does not have it', NULL)::cxm.answer_problem];
            END IF;
            IF v_checked.problems IS NOT NULL THEN
                v_results[v_in.n] := (NULL, NULL, v_checked.problems);
                EXIT claim;
            END IF;

            -- without what says nothing, which a form may send or leave out
            v_hash := sha256(convert_to(jsonb_strip_nulls(v_checked.changes)::text, 'UTF8'));
            IF v_old.state <> 'partial' THEN
                -- the same once more is no error; a late save may repeat what is there
                IF (CASE WHEN v_record.final
                         THEN v_hash = v_old.answers_hash
                              -- unless that takes back what was saved before
                              AND NOT EXISTS (SELECT FROM jsonb_each(v_checked.changes) AS c
                                              WHERE c.value = 'null' AND cxm.response_answers(v_old.response_id) ? c.key)
                         ELSE jsonb_strip_nulls(cxm.response_answers(v_old.response_id) || v_checked.changes) = cxm.response_answers(v_old.response_id) END) THEN
                    v_results[v_in.n] := (v_old.response_id, false, NULL);
                ELSE
                    v_results[v_in.n] := (NULL, NULL, ARRAY[(NULL, NULL, '55000', format('it was answered already, with other answers, as response %s', v_old.response_id), NULL)::cxm.answer_problem]);
                END IF;
                EXIT claim;
            END IF;

            v_state := CASE WHEN NOT v_record.final THEN 'partial' WHEN v_checked.ending = 'screen_out' THEN 'screened_out' ELSE 'complete' END;
            v_feedback_at := CASE WHEN v_state = 'screened_out' THEN NULL
                                  WHEN v_state = 'complete' OR v_in.feedback_on = 'answer' THEN coalesce(v_old.feedback_at, v_record.at)
                                  ELSE v_old.feedback_at END;
            -- what was seen: all of the path when it is submitted, else up to the furthest question that was answered or shown
            SELECT array_agg((v_plan -> 'questions' -> (p.position - 1) -> 'id')::integer ORDER BY p.position) INTO v_path
            FROM unnest(v_checked.path) AS p(position)
            WHERE v_record.final OR p.position <= greatest(
                v_checked.path[1],
                (SELECT max(q.ordinality) FROM jsonb_array_elements(v_plan -> 'questions') WITH ORDINALITY AS q(value, ordinality)
                 WHERE q.value ->> 'key' = v_record.seen
                    OR (q.value -> 'id')::integer = v_old.path[cardinality(v_old.path)]
                    OR (v_checked.answers ? (q.value ->> 'key') AND q.ordinality = ANY (v_checked.path))));

            IF v_old.response_id IS NULL THEN
                INSERT INTO cx.response (survey_id, version, submission_id, invitation_id, identifier_id, source_id, state, language, channel, touchpoint_id, location_id,
                                         started_at, updated_at, completed_at, path, feedback_at, answers_hash, metadata)
                VALUES (v_in.survey_id, v_in.version, v_record.submission_id, v_record.invitation_id, v_record.identifier_id, store_responses.source_id, v_state,
                        cxm.language_tag(coalesce(v_record.language, v_in.default_language)), v_record.channel, v_in.touchpoint_id, v_in.location_id,
                        coalesce(v_record.started_at, CASE WHEN NOT v_record.final THEN v_record.at END), v_record.at, CASE WHEN v_record.final THEN v_record.at END,
                        coalesce(v_path, '{}'), v_feedback_at, CASE WHEN v_record.final THEN v_hash END, nullif(v_record.metadata, '{}'))
                ON CONFLICT (survey_id, submission_id) DO NOTHING
                RETURNING response_id INTO v_id;
                -- somebody was faster: now it is there
                CONTINUE claim WHEN v_id IS NULL;
            ELSE
                v_id := v_old.response_id;
                UPDATE cx.response AS r
                SET state = v_state, language = coalesce(cxm.language_tag(v_record.language), r.language), channel = coalesce(v_record.channel, r.channel),
                    started_at = least(r.started_at, v_record.started_at, v_record.at), updated_at = greatest(r.updated_at, v_record.at), path = coalesce(v_path, '{}'),
                    completed_at = CASE WHEN v_record.final THEN v_record.at END,
                    -- who was screened out gives no feedback; what was written on the way is taken back below
                    feedback_at = coalesce(v_feedback_at, r.feedback_at),
                    answers_hash = CASE WHEN v_record.final THEN v_hash END,
                    metadata = nullif(coalesce(r.metadata, '{}') || coalesce(v_record.metadata, '{}'), '{}')
                WHERE r.response_id = v_id;
            END IF;
            PERFORM cxm.write_answers(v_id, v_plan, v_checked.changes, v_checked.path, v_record.at, v_old.response_id IS NULL);

            IF v_old.feedback_at IS NOT NULL THEN
                v_again := v_again || v_id;
            ELSIF v_feedback_at IS NOT NULL THEN
                v_fresh := v_fresh || v_id;
                v_times := v_times || v_feedback_at;
            END IF;
            IF v_record.identifiers IS NOT NULL OR coalesce(v_record.touchpoint, v_record.location, v_record.product, v_record.employee) IS NOT NULL THEN
                v_named := v_named || v_in.n::integer;
            END IF;
            IF v_state = 'complete' THEN
                v_complete := v_complete || v_id;
            END IF;
            IF v_record.final THEN
                IF v_record.invitation_id IS NOT NULL THEN
                    v_invited := v_invited || v_in.n::integer;
                ELSIF v_state = 'complete' THEN
                    v_open := v_open || v_id;
                END IF;
                IF v_in.notify THEN
                    v_payloads := v_payloads || jsonb_build_object('response_id', v_id, 'survey', v_in.key, 'state', v_state);
                END IF;
            END IF;
            v_results[v_in.n] := (v_id, true, NULL);
            EXIT claim;
        END LOOP;
    END LOOP;

    IF v_named <> '{}' THEN
        PERFORM cxm.plan_for(cardinality(v_named));
        UPDATE cx.response AS r
        SET identifier_id = coalesce(n.identifier_id, r.identifier_id), touchpoint_id = coalesce(n.touchpoint_id, r.touchpoint_id),
            location_id = coalesce(n.location_id, r.location_id), product_id = coalesce(n.product_id, r.product_id), employee_id = coalesce(n.employee_id, r.employee_id)
        FROM unnest(ARRAY(SELECT (v_results[v.n]).response_id FROM unnest(v_named) WITH ORDINALITY AS v(n, place) ORDER BY v.place),
                    cxm.resolve_identifiers(store_responses.source_id, ARRAY(SELECT (records[v.n]).identifiers FROM unnest(v_named) WITH ORDINALITY AS v(n, place) ORDER BY v.place),
                                            ARRAY(SELECT (records[v.n]).at FROM unnest(v_named) WITH ORDINALITY AS v(n, place) ORDER BY v.place)),
                    cxm.catalog_ids('touchpoint', ARRAY(SELECT (records[v.n]).touchpoint FROM unnest(v_named) WITH ORDINALITY AS v(n, place) ORDER BY v.place)),
                    cxm.catalog_ids('location', ARRAY(SELECT (records[v.n]).location FROM unnest(v_named) WITH ORDINALITY AS v(n, place) ORDER BY v.place)),
                    cxm.catalog_ids('product', ARRAY(SELECT (records[v.n]).product FROM unnest(v_named) WITH ORDINALITY AS v(n, place) ORDER BY v.place)),
                    cxm.catalog_ids('employee', ARRAY(SELECT (records[v.n]).employee FROM unnest(v_named) WITH ORDINALITY AS v(n, place) ORDER BY v.place)))
             AS n(response_id, identifier_id, touchpoint_id, location_id, product_id, employee_id)
        WHERE r.response_id = n.response_id;
    END IF;

    IF v_fresh <> '{}' THEN
        -- not where the transaction began before this statement, and so may go on after it
        IF transaction_timestamp() >= statement_timestamp() THEN
            PERFORM cxm.ensure_partitions('feedback', v_times);
        END IF;
        PERFORM cxm.sync_feedback(v_fresh, true);
    END IF;
    IF v_again <> '{}' THEN
        PERFORM cxm.sync_feedback(v_again, false);
    END IF;
    IF v_complete <> '{}' THEN
        PERFORM cxm.take_quotas(v_complete);
    END IF;
    IF v_open <> '{}' THEN
        PERFORM cxm.start_survey_steps(r.survey_id, r.response_id, r.identifier_id)
        FROM unnest(v_open) AS o(id)
        JOIN cx.response AS r ON r.response_id = o.id
        WHERE r.identifier_id IS NOT NULL
        ORDER BY r.response_id;
    END IF;
    IF v_invited <> '{}' THEN
        PERFORM cxm.complete_invitation((records[v.n]).invitation_id, (v_results[v.n]).response_id)
        FROM unnest(v_invited) AS v(n);
    END IF;
    IF cardinality(v_payloads) > 100 THEN
        v_payloads := ARRAY[jsonb_build_object('responses', cardinality(v_payloads), 'first_response_id', (SELECT min((p.value -> 'response_id')::bigint) FROM unnest(v_payloads) AS p(value)),
                                               'last_response_id', (SELECT max((p.value -> 'response_id')::bigint) FROM unnest(v_payloads) AS p(value)))];
    END IF;
    IF v_payloads <> '{}' THEN
        PERFORM cxm.post_notifications('cxm_survey', v_payloads);
    END IF;
    RETURN v_results;
END
$$;

COMMENT ON FUNCTION cxm.store_responses(integer, cxm.response_input[]) IS
'Takes responses of one source: a result each, in step. A refused one leaves nothing behind; of the others the rows of cx.response and cx.answer are written, people and places looked up, feedback written (alert rules see it), invitations completed, what follows a response started, and listeners told. Responses are locked in the order of survey and submission_id, before anything else.';

CREATE FUNCTION cxm.store_response(source text, record cxm.response_input) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_result cxm.response_result := (cxm.store_responses(cxm.source_id(source), ARRAY[record]))[1];
BEGIN
    IF v_result.problems IS NOT NULL THEN
        PERFORM cxm.raise_answer_problems(record.survey, v_result.problems);
    END IF;
    RETURN v_result.response_id;
END
$$;

COMMENT ON FUNCTION cxm.store_response(text, cxm.response_input) IS 'Takes one response and returns its response_id; what is wrong with it is raised as an error.';

CREATE FUNCTION cxm.invited_response(token text, source text, record cxm.response_input) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_invitation record;
BEGIN
    PERFORM cxm.store_version();
    SELECT t.* INTO v_invitation FROM cxm.redeem_token(token) AS t;
    record.survey := (SELECT s.key FROM cx.survey AS s WHERE s.survey_id = v_invitation.survey_id);
    record.submission_id := 'invitation:' || v_invitation.invitation_id;
    record.invitation_id := v_invitation.invitation_id;
    record.identifier_id := v_invitation.identifier_id;
    record.language := coalesce(record.language, v_invitation.language);
    RETURN cxm.store_response(source, record);
END
$$;

COMMENT ON FUNCTION cxm.invited_response(text, text, cxm.response_input) IS
'Takes the response to an invitation. The lock on the invitation that cxm.redeem_token() takes is what makes sessions with one token wait for each other.';

---- what applications call

CREATE FUNCTION cxm.submit_response(token text, answers jsonb, language text DEFAULT NULL, channel text DEFAULT NULL,
                                    touchpoint text DEFAULT NULL, location text DEFAULT NULL, product text DEFAULT NULL, employee text DEFAULT NULL,
                                    started_at timestamptz DEFAULT NULL, metadata jsonb DEFAULT NULL, source text DEFAULT 'survey') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.invited_response(token, source, (NULL, NULL, NULL, NULL, NULL, language, channel, touchpoint, location, product, employee,
                                                started_at, now(), NULL, true, nullif(metadata, 'null'), answers, NULL, NULL)::cxm.response_input);
END
$$;

COMMENT ON FUNCTION cxm.submit_response(text, jsonb, text, text, text, text, text, text, timestamptz, jsonb, text) IS
'Submits the response to an invitation and returns its response_id. answers: {"question": value, ...}, beside or in place of those saved before. In one transaction: the answers are stored, scores and texts become feedback (alert rules see it), the invitation is used. The same answers again return the same response_id and change nothing. One error names everything that is wrong, a line a problem in its detail: unknown question, wrong type, unknown option (22023), off the scale or out of range (22003), too long (22001), no date (22007, 22008), required and missing (22004); survey closed or answered already with other answers (55000); and what cxm.redeem_token() says of the token.';

CREATE FUNCTION cxm.save_response(token text, answers jsonb, seen text DEFAULT NULL, language text DEFAULT NULL, channel text DEFAULT NULL,
                                  touchpoint text DEFAULT NULL, location text DEFAULT NULL, product text DEFAULT NULL, employee text DEFAULT NULL,
                                  started_at timestamptz DEFAULT NULL, metadata jsonb DEFAULT NULL, source text DEFAULT 'survey') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.invited_response(token, source, (NULL, NULL, NULL, NULL, NULL, language, channel, touchpoint, location, product, employee,
                                                started_at, now(), seen, false, nullif(metadata, 'null'), answers, NULL, NULL)::cxm.response_input);
END
$$;

COMMENT ON FUNCTION cxm.save_response(text, jsonb, text, text, text, text, text, text, text, timestamptz, jsonb, text) IS
'Saves some answers of the response to an invitation, which stays partial, and returns its response_id. The last one to a question holds, null takes it back; saves of one response wait for each other. seen: key of the question that is shown now, for the drop-off. Errors as of cxm.submit_response(), but nothing is required yet.';

CREATE FUNCTION cxm.submit_open_response(survey text, submission_id text, answers jsonb, identifiers jsonb DEFAULT NULL, language text DEFAULT NULL, channel text DEFAULT NULL,
                                         touchpoint text DEFAULT NULL, location text DEFAULT NULL, product text DEFAULT NULL, employee text DEFAULT NULL,
                                         started_at timestamptz DEFAULT NULL, metadata jsonb DEFAULT NULL, source text DEFAULT 'survey') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.store_response(source, (survey, submission_id, NULL, NULL, nullif(identifiers, 'null'), language, channel, touchpoint, location, product, employee,
                                       started_at, now(), NULL, true, nullif(metadata, 'null'), answers, NULL, NULL)::cxm.response_input);
END
$$;

COMMENT ON FUNCTION cxm.submit_open_response(text, text, jsonb, jsonb, text, text, text, text, text, text, timestamptz, jsonb, text) IS
'Submits a response without invitation (open link, kiosk) and returns its response_id. submission_id: an id that the form makes when it is opened, by which the response is known when it is sent again; identifiers: {"namespace": "value", ...} or NULL when anonymous. Otherwise as cxm.submit_response(); error on an unknown survey (42704).';

CREATE FUNCTION cxm.save_open_response(survey text, submission_id text, answers jsonb, seen text DEFAULT NULL, identifiers jsonb DEFAULT NULL, language text DEFAULT NULL, channel text DEFAULT NULL,
                                       touchpoint text DEFAULT NULL, location text DEFAULT NULL, product text DEFAULT NULL, employee text DEFAULT NULL,
                                       started_at timestamptz DEFAULT NULL, metadata jsonb DEFAULT NULL, source text DEFAULT 'survey') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.store_response(source, (survey, submission_id, NULL, NULL, nullif(identifiers, 'null'), language, channel, touchpoint, location, product, employee,
                                       started_at, now(), seen, false, nullif(metadata, 'null'), answers, NULL, NULL)::cxm.response_input);
END
$$;

COMMENT ON FUNCTION cxm.save_open_response(text, text, jsonb, text, jsonb, text, text, text, text, text, text, timestamptz, jsonb, text) IS
'Saves some answers of a response without invitation, which stays partial, and returns its response_id: as cxm.save_response() and cxm.submit_open_response().';

---- in bulk

CREATE FUNCTION cxm.json_response(record jsonb, time_zone text) RETURNS cxm.response_input
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_reason text;
    v_raw jsonb := record;
BEGIN
    IF jsonb_typeof(record) = 'object' THEN
        IF record ? 'token' THEN
            -- a token is known to whoever was sent it, and is kept nowhere
            v_reason := 'a batch takes no tokens: submit the response to an invitation with cxm.submit_response()';
            v_raw := record - 'token';
        END IF;
        v_reason := coalesce(v_reason,
                             cxm.json_problem(record - '{answers,metadata}'::text[], '{survey,submission_id,identifiers,language,channel,touchpoint,location,product,employee,started_at,at}', '{}', time_zone),
                             CASE WHEN record ->> 'started_at' IS NOT NULL AND cxm.try_timestamptz(record ->> 'started_at', time_zone) IS NULL THEN format('started_at "%s" is not a time', left(record ->> 'started_at', 100)) END);
    ELSE
        v_reason := cxm.json_problem(record, '{}', '{}', time_zone);
        record := '{}';
    END IF;
    RETURN (record ->> 'survey', record ->> 'submission_id', NULL, NULL, nullif(record -> 'identifiers', 'null'), record ->> 'language', record ->> 'channel',
            record ->> 'touchpoint', record ->> 'location', record ->> 'product', record ->> 'employee',
            cxm.try_timestamptz(record ->> 'started_at', time_zone), cxm.try_timestamptz(record ->> 'at', time_zone), NULL, true,
            nullif(record -> 'metadata', 'null'), record -> 'answers', v_reason, v_raw)::cxm.response_input;
END
$$;

COMMENT ON FUNCTION cxm.json_response(jsonb, text) IS 'A response given as JSON, as cxm.submit_responses() takes it, ready to be stored; what cannot be read is noted as its reason.';

CREATE FUNCTION cxm.response_refusal(problems cxm.answer_problem[]) RETURNS cxm.problem
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN problems IS NOT NULL THEN
        ((problems[1]).code, cxm.answer_problem_lines(problems), NULL)::cxm.problem END;
$$;

COMMENT ON FUNCTION cxm.response_refusal(cxm.answer_problem[]) IS 'The problems of a response as the one problem that cx.rejection keeps; NULL for NULL.';

CREATE FUNCTION cxm.submit_responses(records jsonb, source text DEFAULT 'survey', OUT accepted bigint, OUT duplicates bigint, OUT rejected bigint) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source integer := cxm.source_id(source);
    v_records cxm.response_input[] := ARRAY(SELECT cxm.json_response(j, (SELECT l.time_zone FROM cxm.ingest_limits() AS l)) FROM cxm.json_records(records) AS j);
    v_results cxm.response_result[];
BEGIN
    v_results := cxm.store_responses(v_source, v_records);
    SELECT count(*) FILTER (WHERE r.is_new), count(*) FILTER (WHERE NOT r.is_new), count(*) FILTER (WHERE r.response_id IS NULL)
    INTO accepted, duplicates, rejected
    FROM unnest(v_results) AS r;

    PERFORM cxm.supersede_rejections(v_source, 'response',
        ARRAY(SELECT r.survey || ':' || r.submission_id
              FROM ROWS FROM (unnest(v_records), unnest(v_results)) AS r(survey, submission_id, invitation_id, identifier_id, identifiers, language, channel, touchpoint, location, product,
                   employee, started_at, at, seen, final, metadata, answers, reason, raw, response_id, is_new, problems)
              WHERE r.response_id IS NOT NULL));
    IF rejected > 0 THEN
        PERFORM cxm.reject_records(v_source, 'response',
            ARRAY(SELECT r.survey || ':' || r.submission_id FROM unnest(v_records) WITH ORDINALITY AS r ORDER BY r.ordinality),
            ARRAY(SELECT r.raw FROM unnest(v_records) WITH ORDINALITY AS r ORDER BY r.ordinality),
            ARRAY(SELECT cxm.response_refusal(r.problems) FROM unnest(v_results) WITH ORDINALITY AS r ORDER BY r.ordinality));
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.submit_responses(jsonb, text) IS
'Submits many responses without invitation at once: [{"survey": ..., "submission_id": ..., "answers": {...}, "identifiers": {...}, "language": ..., "channel": ..., "touchpoint": ..., "location": ..., "product": ..., "employee": ..., "started_at": ..., "at": ..., "metadata": {...}}, ...]. Good ones are stored, refused ones go to cx.rejection (kind response) with all that is wrong; returns how many were stored, had been stored before, were refused. Error only when the batch is not an array.';

CREATE FUNCTION cxm.replay_response(source_id integer, record jsonb) RETURNS cxm.problem
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.response_refusal(((cxm.store_responses(source_id, ARRAY[cxm.json_response(record, (cxm.ingest_limits()).time_zone)]))[1]).problems);
END
$$;

COMMENT ON FUNCTION cxm.replay_response(integer, jsonb) IS 'Tries a response of cx.rejection again; NULL when it was taken, else what is wrong with it today.';

---- one question at a time

CREATE FUNCTION cxm.following_question(survey_id integer, version integer, plan jsonb, answers jsonb, after text, language text, default_language text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_after bigint;
    v_next integer;
BEGIN
    IF after IS NOT NULL THEN
        SELECT q.ordinality INTO v_after FROM jsonb_array_elements(plan -> 'questions') WITH ORDINALITY AS q(value, ordinality) WHERE q.value ->> 'key' = after;
        IF v_after IS NULL THEN
            RAISE EXCEPTION 'the survey has no question "%"', left(after, 100)
                USING ERRCODE = 'undefined_object';
        END IF;
    END IF;
    SELECT (plan -> 'questions' -> (p.position - 1) -> 'id')::integer INTO v_next
    FROM unnest((cxm.survey_path(plan, answers)).path) AS p(position)
    WHERE CASE WHEN after IS NULL THEN NOT answers ? (plan -> 'questions' -> (p.position - 1) ->> 'key') ELSE p.position > v_after END
    ORDER BY p.position
    LIMIT 1;
    RETURN cxm.question_definition(survey_id, version, v_next, cxm.language_chain(language, default_language));
END
$$;

COMMENT ON FUNCTION cxm.following_question(integer, integer, jsonb, jsonb, text, text, text) IS
'The question that comes next on the path that answers take: after the one named, or (NULL) the first that has no answer. NULL at the end.';

CREATE FUNCTION cxm.next_question(response_id bigint, after text DEFAULT NULL, language text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_response record;
BEGIN
    PERFORM cxm.store_version();
    SELECT r.survey_id, r.version, r.language, r.state, v.plan, s.default_language INTO v_response
    FROM cx.response AS r
    JOIN cx.survey_version AS v ON v.survey_id = r.survey_id AND v.version = r.version
    JOIN cx.survey AS s ON s.survey_id = r.survey_id
    WHERE r.response_id = next_question.response_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'response % does not exist', coalesce(response_id::text, 'NULL')
            USING ERRCODE = 'undefined_object';
    ELSIF v_response.state <> 'partial' THEN
        RETURN NULL;
    END IF;
    RETURN cxm.following_question(v_response.survey_id, v_response.version, v_response.plan, cxm.response_answers(response_id), after,
                                  coalesce(language, v_response.language), v_response.default_language);
END
$$;

COMMENT ON FUNCTION cxm.next_question(bigint, text, text) IS
'The question of a partial response that comes next, as cxm.survey_definition() shows it: after the one named, or (NULL) the first on its path that has no answer. NULL when none is left, or when it was submitted. language: NULL = that of the response. Error (42704) on an unknown response or question.';

CREATE FUNCTION cxm.preview_question(survey text, answers jsonb DEFAULT '{}', after text DEFAULT NULL, language text DEFAULT NULL, version integer DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_plan jsonb := cxm.version_plan(survey, version);
    v_survey record;
    v_checked record;
BEGIN
    SELECT s.survey_id, s.version, s.default_language INTO v_survey FROM cx.survey AS s WHERE s.key = survey COLLATE "C";
    SELECT c.* INTO v_checked FROM cxm.check_answers(v_plan, answers, NULL, false) AS c;
    IF v_checked.problems IS NOT NULL THEN
        PERFORM cxm.raise_answer_problems(survey, v_checked.problems);
    END IF;
    RETURN cxm.following_question(v_survey.survey_id, coalesce(version, v_survey.version), v_plan, v_checked.answers, after, language, v_survey.default_language);
END
$$;

COMMENT ON FUNCTION cxm.preview_question(text, jsonb, text, text, integer) IS
'The question that would come next for these answers, with nothing stored: as cxm.next_question(). Errors as of cxm.save_response().';

---- responses that were left

CREATE FUNCTION cxm.settle_batch(batch_size integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids bigint[];
BEGIN
    WITH idle AS MATERIALIZED (
        SELECT r.response_id
        FROM cx.survey AS s
        JOIN cx.response AS r ON r.survey_id = s.survey_id AND r.state = 'partial' AND r.feedback_at IS NULL AND r.updated_at < now() - s.partial_after
        ORDER BY r.response_id
        LIMIT batch_size
        FOR NO KEY UPDATE OF r SKIP LOCKED
    ), settled AS (
        UPDATE cx.response AS r SET feedback_at = r.updated_at
        FROM idle AS i
        WHERE r.response_id = i.response_id
        RETURNING r.response_id
    )
    SELECT array_agg(s.response_id) INTO v_ids FROM settled AS s;
    PERFORM cxm.sync_feedback(v_ids, true);
    RETURN coalesce(cardinality(v_ids), 0);
END
$$;

COMMENT ON FUNCTION cxm.settle_batch(integer) IS
'Writes the feedback of at most so many partial responses that have rested for longer than partial_after of their survey; returns how many there were.';

CREATE PROCEDURE cxm.settle_responses()
LANGUAGE plpgsql
AS $$
BEGIN
    CALL cxm.run_job('settle_responses', 'cxm.settle_batch(500)', '%s responses settled');
END
$$;

COMMENT ON PROCEDURE cxm.settle_responses() IS
'Has partial responses that have rested for longer than partial_after of their survey count: their scores and texts become feedback, dated at the last save, so that no unhappy customer is lost who left before the end. They stay partial, and whoever comes back may go on. Commits after every 500; run outside a transaction.';
