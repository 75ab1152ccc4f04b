-- Random surveys with branches, random answers: which questions lie on the path, against a slow oracle that follows no
-- path at all. A question is visited when it is the first, or when some visited question before it leads to it. Conditions
-- are turned into SQL and evaluated by PostgreSQL.
SET client_min_messages = error;
SET timezone = 'UTC';
BEGIN;
SELECT cxm.create_store('UTC') = cxm.version() AS made;
SELECT setseed(0.4711) IS NOT NULL AS seeded;

CREATE SCHEMA property;

CREATE FUNCTION property.pick(choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT choices[1 + floor(random() * cardinality(choices))::integer];
$$;

-- a value that a question of this type can have
CREATE FUNCTION property.value(type text) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
    SELECT CASE type
        WHEN 'nps' THEN to_jsonb(floor(random() * 11)::integer)
        WHEN 'number' THEN to_jsonb(floor(random() * 8)::integer)
        WHEN 'boolean' THEN to_jsonb(random() < 0.5)
        WHEN 'date' THEN to_jsonb(date '2025-12-28' + floor(random() * 8)::integer)
        WHEN 'choice' THEN to_jsonb(property.pick('{a,b,c}'))
        WHEN 'multi' THEN (SELECT jsonb_agg(k ORDER BY k) FROM unnest(ARRAY['a', 'b', 'c']) AS k WHERE k = property.pick('{a,b,c}') OR k = 'a' AND type = 'multi')
        ELSE to_jsonb('words'::text) END;
$$;

CREATE FUNCTION property.condition(types text[], depth integer) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_n integer := 1 + floor(random() * cardinality(types));
    v_type text := types[v_n];
    v_op text;
BEGIN
    IF depth < 3 AND random() < 0.35 THEN
        RETURN CASE property.pick('{all,any,not}')
            WHEN 'all' THEN jsonb_build_object('all', jsonb_build_array(property.condition(types, depth + 1), property.condition(types, depth + 1)))
            WHEN 'any' THEN jsonb_build_object('any', jsonb_build_array(property.condition(types, depth + 1), property.condition(types, depth + 1)))
            ELSE jsonb_build_object('not', property.condition(types, depth + 1)) END;
    END IF;
    v_op := property.pick(CASE WHEN v_type IN ('nps', 'number', 'date') THEN '{=,<>,<,<=,>,>=,in,answered,unanswered}'::text[]
                               WHEN v_type = 'choice' THEN '{=,<>,in,answered,unanswered}'
                               WHEN v_type = 'boolean' THEN '{=,<>,answered,unanswered}'
                               WHEN v_type = 'multi' THEN '{contains,contains,answered,unanswered}'
                               ELSE '{answered,unanswered}' END);
    RETURN jsonb_build_object('question', 'q' || v_n, 'op', v_op)
        || CASE WHEN v_op IN ('answered', 'unanswered') THEN '{}'::jsonb
                WHEN v_op = 'in' THEN jsonb_build_object('value', jsonb_build_array(property.value(v_type), property.value(v_type), property.value(v_type)))
                WHEN v_op = 'contains' THEN jsonb_build_object('value', property.pick('{a,b,c}'))
                ELSE jsonb_build_object('value', property.value(v_type)) END;
END $$;

CREATE FUNCTION property.survey(n integer) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_size integer := 2 + floor(random() * 4);
    v_types text[] := ARRAY(SELECT property.pick('{nps,number,boolean,date,choice,multi,text}') FROM generate_series(1, v_size));
    v_questions jsonb := '[]';
    v_question jsonb;
    v_rules jsonb;
BEGIN
    FOR i IN 1 .. v_size LOOP
        v_question := jsonb_build_object('key', 'q' || i, 'type', v_types[i], 'text', 'Q', 'required', random() < 0.3);
        IF v_types[i] IN ('choice', 'multi') THEN
            v_question := v_question || '{"options": [{"key": "a", "label": "A"}, {"key": "b", "label": "B"}, {"key": "c", "label": "C"}]}';
        END IF;
        IF i > 1 AND random() < 0.35 THEN
            v_question := v_question || jsonb_build_object('show_if', property.condition(v_types[1 : i - 1], 1));
        END IF;
        IF random() < 0.4 THEN
            v_rules := '[]';
            FOR j IN 1 .. 1 + floor(random() * 2)::integer LOOP
                v_rules := v_rules || jsonb_build_array(
                    jsonb_build_object('to', CASE WHEN i = v_size OR random() < 0.15 THEN property.pick('{end,screen_out}') ELSE 'q' || (i + 1 + floor(random() * (v_size - i))::integer) END)
                    || CASE WHEN random() < 0.8 THEN jsonb_build_object('if', property.condition(v_types[1 : i], 1)) ELSE '{}'::jsonb END);
            END LOOP;
            v_question := v_question || jsonb_build_object('skip_to', v_rules);
        END IF;
        v_questions := v_questions || jsonb_build_array(v_question);
    END LOOP;
    RETURN jsonb_build_object('key', 's' || n, 'questions', v_questions);
END $$;

---- the oracle
-- a condition as SQL; shown: the keys that are shown
CREATE FUNCTION property.as_sql(condition jsonb, answers jsonb, shown text[]) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_key text := condition ->> 'question';
    v_answer jsonb := CASE WHEN v_key = ANY (shown) THEN answers -> v_key END;
    v_op text := condition ->> 'op';
    v_cast text := CASE jsonb_typeof(v_answer) WHEN 'number' THEN '::numeric' WHEN 'boolean' THEN '::boolean' WHEN 'string' THEN CASE WHEN v_answer #>> '{}' ~ '^2' THEN '::date' ELSE '::text' END ELSE '::text' END;
BEGIN
    IF condition ? 'all' THEN
        RETURN (SELECT '(' || string_agg(property.as_sql(c, answers, shown), ' AND ') || ')' FROM jsonb_array_elements(condition -> 'all') AS c);
    ELSIF condition ? 'any' THEN
        RETURN (SELECT '(' || string_agg(property.as_sql(c, answers, shown), ' OR ') || ')' FROM jsonb_array_elements(condition -> 'any') AS c);
    ELSIF condition ? 'not' THEN
        RETURN 'NOT ' || property.as_sql(condition -> 'not', answers, shown);
    ELSIF v_op = 'answered' THEN
        RETURN (v_answer IS NOT NULL)::text;
    ELSIF v_op = 'unanswered' THEN
        RETURN (v_answer IS NULL)::text;
    ELSIF v_answer IS NULL THEN
        RETURN 'false';
    ELSIF v_op = 'contains' THEN
        RETURN format('(%L = ANY (%L::text[]))', condition ->> 'value', ARRAY(SELECT jsonb_array_elements_text(v_answer)));
    ELSIF v_op = 'in' THEN
        RETURN format('(%L%s IN (%s))', v_answer #>> '{}', v_cast, (SELECT string_agg(format('%L%s', v, v_cast), ', ') FROM jsonb_array_elements_text(condition -> 'value') AS v));
    END IF;
    RETURN format('(%L%s %s %L%s)', v_answer #>> '{}', v_cast, v_op, condition ->> 'value', v_cast);
END $$;

CREATE FUNCTION property.holds(condition jsonb, answers jsonb, shown text[]) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_holds boolean;
BEGIN
    EXECUTE 'SELECT ' || property.as_sql(condition, answers, shown) INTO v_holds;
    RETURN v_holds;
END $$;

-- who is shown, found from the back: each question asks all those before it, again and again
CREATE FUNCTION property.shown(questions jsonb, answers jsonb, n integer) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_before text[] := ARRAY(SELECT 'q' || i FROM generate_series(1, n - 1) AS i WHERE property.shown(questions, answers, i));
    v_condition jsonb := questions -> (n - 1) -> 'show_if';
BEGIN
    RETURN property.visited(questions, answers, n) AND (v_condition IS NULL OR property.holds(v_condition, answers, v_before));
END $$;

CREATE FUNCTION property.leads_to(questions jsonb, answers jsonb, n integer) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_shown text[] := ARRAY(SELECT 'q' || i FROM generate_series(1, n) AS i WHERE property.shown(questions, answers, i));
BEGIN
    RETURN coalesce(
        (SELECT r.value ->> 'to' FROM jsonb_array_elements(questions -> (n - 1) -> 'skip_to') WITH ORDINALITY AS r(value, place)
         WHERE 'q' || n = ANY (v_shown) AND (NOT r.value ? 'if' OR property.holds(r.value -> 'if', answers, v_shown))
         ORDER BY r.place LIMIT 1),
        CASE WHEN n = jsonb_array_length(questions) THEN 'end' ELSE 'q' || (n + 1) END);
END $$;

CREATE FUNCTION property.visited(questions jsonb, answers jsonb, n integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT n = 1 OR EXISTS (SELECT FROM generate_series(1, n - 1) AS i WHERE property.visited(questions, answers, i) AND property.leads_to(questions, answers, i) = 'q' || n);
$$;

---- surveys, and answers to them
CREATE TABLE property.surveys AS SELECT n, property.survey(n) AS definition FROM generate_series(1, 120) AS n;
SELECT count(*) AS not_usable FROM property.surveys, cxm.survey_problems(definition) WHERE severity = 'error';
DO $$ BEGIN PERFORM cxm.create_survey(definition), cxm.publish_survey('s' || n) FROM property.surveys; END $$;

CREATE TABLE property.answers AS
SELECT s.n, g.i, s.definition -> 'questions' AS questions, a.answers
FROM property.surveys AS s
CROSS JOIN generate_series(1, 6) AS g(i)
CROSS JOIN LATERAL (SELECT coalesce(jsonb_object_agg(q.value ->> 'key', property.value(q.value ->> 'type')), '{}') AS answers
                    FROM jsonb_array_elements(s.definition -> 'questions') AS q
                    WHERE random() < 0.7 + 0 * g.i) AS a;

CREATE TABLE property.paths AS
SELECT a.n, a.i, a.questions, a.answers, p.path, p.ending,
       ARRAY(SELECT k FROM generate_series(1, jsonb_array_length(a.questions)) AS k WHERE property.shown(a.questions, a.answers, k)) AS oracle
FROM property.answers AS a
CROSS JOIN LATERAL cxm.survey_path(cxm.version_plan('s' || a.n, NULL), a.answers) AS p;
SELECT count(*) AS differences FROM property.paths WHERE path <> oracle;
-- the end: the last that is visited and shown, or falls through, leads there
SELECT count(*) AS wrong_ends FROM property.paths AS p
WHERE p.ending <> (SELECT property.leads_to(p.questions, p.answers, k) FROM generate_series(1, jsonb_array_length(p.questions)) AS k
                   WHERE property.visited(p.questions, p.answers, k) ORDER BY k DESC LIMIT 1);
-- and it was worth comparing
SELECT count(*) FILTER (WHERE cardinality(path) < jsonb_array_length(questions)) > 150 AS shorter, count(*) FILTER (WHERE ending = 'screen_out') > 10 AS screened_out,
       count(DISTINCT path) > 10 AS paths, count(*) FILTER (WHERE answers <> '{}') > 500 AS answered
FROM property.paths;
-- who is shown a question was not told that no path leads to it
SELECT count(*) AS wrongly_warned FROM property.paths AS p, property.surveys AS s, cxm.survey_problems(s.definition) AS w
WHERE s.n = p.n AND w.severity = 'warning' AND substr(w.question, 2)::integer = ANY (p.oracle);

---- taken when all that is required on the path is answered, and then stored as the oracle says
CREATE FUNCTION property.submit(n integer, i integer, answers jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM cxm.submit_open_response('s' || n, n || '.' || i, answers);
    RETURN '00000';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE TABLE property.taken AS
SELECT p.*, property.submit(p.n, p.i, p.answers) AS state,
       ARRAY(SELECT 'q' || k FROM unnest(p.oracle) AS k WHERE (p.questions -> (k - 1) -> 'required')::boolean AND NOT p.answers ? ('q' || k)) AS missing,
       ARRAY(SELECT x.question FROM cxm.answer_problems('s' || p.n, p.answers) AS x) AS problems
FROM property.paths AS p;
SELECT count(*) AS differences FROM property.taken WHERE state <> CASE WHEN missing = '{}' THEN '00000' ELSE '22004' END OR missing <> problems;
SELECT count(*) FILTER (WHERE state = '00000') > 100 AS taken, count(*) FILTER (WHERE state <> '00000') > 100 AS refused FROM property.taken;
SELECT count(*) AS differences
FROM property.taken AS t
LEFT JOIN cx.response AS r ON r.submission_id = t.n || '.' || t.i
WHERE (t.state = '00000') <> (r.response_id IS NOT NULL)
   OR r.response_id IS NOT NULL AND (r.state <> CASE t.ending WHEN 'end' THEN 'complete' ELSE 'screened_out' END
   OR ARRAY(SELECT k.key FROM unnest(r.path) WITH ORDINALITY AS p(id, place) JOIN cx.question AS k ON k.question_id = p.id ORDER BY p.place) <> ARRAY(SELECT 'q' || k FROM unnest(t.oracle) AS k)
   OR cxm.response_answers(r.response_id) <> t.answers
   OR EXISTS (SELECT FROM cx.answer AS a JOIN cx.question AS k USING (question_id) WHERE a.response_id = r.response_id AND a.on_path <> (substr(k.key, 2)::integer = ANY (t.oracle))));

---- saved question by question, in any order and with changes of mind, it comes to the same
CREATE FUNCTION property.save(n integer, i integer, answers jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_key text;
    v_type text;
BEGIN
    FOR v_key, v_type IN SELECT q.value ->> 'key', q.value ->> 'type' FROM property.surveys AS s, jsonb_array_elements(s.definition -> 'questions') AS q WHERE s.n = save.n ORDER BY random() LOOP
        IF random() < 0.5 THEN
            PERFORM cxm.save_open_response('s' || n, 'saved ' || n || '.' || i, jsonb_build_object(v_key, property.value(v_type)));
        END IF;
    END LOOP;
    FOR v_key IN SELECT q.value ->> 'key' FROM property.surveys AS s, jsonb_array_elements(s.definition -> 'questions') AS q WHERE s.n = save.n ORDER BY random() LOOP
        PERFORM cxm.save_open_response('s' || n, 'saved ' || n || '.' || i, jsonb_build_object(v_key, answers -> v_key));
    END LOOP;
    PERFORM cxm.submit_open_response('s' || n, 'saved ' || n || '.' || i, '{}');
END $$;
DO $$ BEGIN PERFORM property.save(t.n, t.i, t.answers) FROM property.taken AS t WHERE t.state = '00000' AND t.i <= 3; END $$;
SELECT count(*) > 60 AS saved, count(*) FILTER (WHERE (a.path, a.state) IS DISTINCT FROM (b.path, b.state)) AS other_paths,
       count(*) FILTER (WHERE cxm.response_answers(a.response_id) <> cxm.response_answers(b.response_id)) AS other_answers
FROM cx.response AS a JOIN cx.response AS b ON b.survey_id = a.survey_id AND b.submission_id = 'saved ' || a.submission_id;
SELECT count(*) AS other_flags
FROM cx.response AS a JOIN cx.response AS b ON b.survey_id = a.survey_id AND b.submission_id = 'saved ' || a.submission_id
JOIN cx.answer AS x ON x.response_id = a.response_id JOIN cx.answer AS y ON y.response_id = b.response_id AND y.question_id = x.question_id
WHERE x.on_path <> y.on_path;
-- as feedback, too: one way or the other, the same scores
SELECT count(*) AS other_feedback
FROM (SELECT substr(submission_id, 7) AS id, metric, score, question, comment FROM cx.feedback WHERE submission_id ~ '^saved') AS s
FULL JOIN (SELECT f.submission_id AS id, f.metric, f.score, f.question, f.comment FROM cx.feedback AS f
           WHERE EXISTS (SELECT FROM cx.response AS r WHERE r.submission_id = 'saved ' || f.submission_id)) AS f USING (id, metric, question)
WHERE (s.score, s.comment) IS DISTINCT FROM (f.score, f.comment);

---- the drop-off view against the rows it comes from, counted one by one
SELECT count(*) AS differences
FROM cx.survey_dropoff AS d JOIN cx.survey AS s ON s.survey_id = d.survey_id JOIN cx.question AS k ON k.survey_id = d.survey_id AND k.key = d.question
WHERE d.shown <> (SELECT count(*) FROM cx.response AS r WHERE r.survey_id = d.survey_id AND k.question_id = ANY (r.path))
   OR d.answered <> (SELECT count(*) FROM cx.response AS r JOIN cx.answer AS a USING (response_id) WHERE r.survey_id = d.survey_id AND a.question_id = k.question_id AND k.question_id = ANY (r.path))
   OR d.shown <> d.answered + d.skipped OR d.left_here <> 0;
SELECT * FROM cxm.store_check();
ROLLBACK;
