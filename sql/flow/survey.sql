-- Making surveys: what a definition may say, versions, translations, and what a front end needs to show one.

---- what is published stays

CREATE FUNCTION cxm.guard_survey() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'cx.% holds what was published, which does not change', TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL = 'Answers refer to it.',
              HINT = 'Make a new version with cxm.change_survey() and cxm.publish_survey(); add languages with cxm.translate_survey().';
END
$$;

COMMENT ON FUNCTION cxm.guard_survey() IS
'Trigger of the tables that hold published surveys: refuses (55000) to change or delete what answers refer to.';

CREATE FUNCTION cxm.add_survey_triggers() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table record;
BEGIN
    FOR v_table IN
        SELECT t.name, t.changes, t.condition
        FROM (VALUES ('survey_version', 'UPDATE', 'WHEN (OLD.state = ''published'')'),
                     ('question', 'UPDATE OF question_id, survey_id, key, type, metric, scale_min, scale_max', ''),
                     ('question_option', 'UPDATE OF option_id, question_id, key, value', ''),
                     ('survey_question', 'UPDATE', ''),
                     ('survey_text', 'UPDATE', '')) AS t(name, changes, condition)
        WHERE NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = format('cx.%I', t.name)::regclass AND g.tgname = t.name || '_published')
    LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE %s OR DELETE ON cx.%I FOR EACH ROW %s EXECUTE FUNCTION cxm.guard_survey()',
                       v_table.name || '_published', v_table.changes, v_table.name, v_table.condition);
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.add_survey_triggers() IS 'Puts back the triggers of the tables that hold published surveys, where they are missing.';

---- languages

CREATE FUNCTION cxm.language_tag(language text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF octet_length(language) > 35 OR language !~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$' THEN
        RETURN NULL;
    ELSIF language !~ '-' THEN
        RETURN lower(language);
    END IF;
    RETURN (
        SELECT string_agg(CASE WHEN p.ordinality = 1 THEN lower(p.part)
                               WHEN length(p.part) = 2 THEN upper(p.part)
                               WHEN length(p.part) = 4 AND p.part ~ '^[A-Za-z]' THEN initcap(p.part)
                               ELSE lower(p.part) END, '-' ORDER BY p.ordinality)
        FROM string_to_table(language, '-') WITH ORDINALITY AS p(part, ordinality));
END
$$;

COMMENT ON FUNCTION cxm.language_tag(text) IS
'A language tag (BCP 47) in its usual form: pt-br gives pt-BR, ZH-hant-tw gives zh-Hant-TW. NULL when the text does not look like one.';

CREATE FUNCTION cxm.language_chain(language text, default_language text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(c.tag ORDER BY c.place)
    FROM (SELECT DISTINCT ON (t.tag) t.tag, t.place
          FROM (SELECT array_to_string(p.parts[1 : n], '-') AS tag, cardinality(p.parts) - n AS place
                FROM string_to_array(cxm.language_tag(language), '-') AS p(parts), generate_series(1, cardinality(p.parts)) AS n
                UNION ALL
                SELECT default_language, 100) AS t
          WHERE t.tag IS NOT NULL
          ORDER BY t.tag, t.place) AS c;
$$;

COMMENT ON FUNCTION cxm.language_chain(text, text) IS
'The languages in which a text is looked for, best first: de-CH gives {de-CH, de} and then the default language.';

---- conditions

CREATE FUNCTION cxm.condition_holds(condition jsonb, answers jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_op text := condition ->> 'op';
    v_value jsonb;
    v_answer jsonb;
    v_part jsonb;
BEGIN
    IF v_op IS NULL THEN
        IF condition ? 'all' THEN
            FOR v_part IN SELECT a.value FROM jsonb_array_elements(condition -> 'all') AS a LOOP
                IF NOT cxm.condition_holds(v_part, answers) THEN
                    RETURN false;
                END IF;
            END LOOP;
            RETURN true;
        ELSIF condition ? 'any' THEN
            FOR v_part IN SELECT a.value FROM jsonb_array_elements(condition -> 'any') AS a LOOP
                IF cxm.condition_holds(v_part, answers) THEN
                    RETURN true;
                END IF;
            END LOOP;
            RETURN false;
        ELSIF condition ? 'not' THEN
            RETURN NOT cxm.condition_holds(condition -> 'not', answers);
        END IF;
        RETURN NULL;
    END IF;

    v_answer := answers -> (condition ->> 'question');
    IF v_op = 'answered' THEN
        RETURN v_answer IS NOT NULL;
    ELSIF v_op = 'unanswered' THEN
        RETURN v_answer IS NULL;
    ELSIF v_answer IS NULL THEN
        RETURN false;
    END IF;

    v_value := condition -> 'value';
    CASE v_op
        WHEN '=' THEN
            RETURN v_answer = v_value;
        WHEN '<>' THEN
            RETURN v_answer <> v_value;
        WHEN 'in' THEN
            RETURN v_value @> v_answer;
        WHEN 'contains' THEN
            RETURN v_answer @> v_value;
        ELSE
            IF jsonb_typeof(v_answer) = 'number' THEN
                RETURN CASE v_op WHEN '<' THEN v_answer::numeric < v_value::numeric
                                 WHEN '<=' THEN v_answer::numeric <= v_value::numeric
                                 WHEN '>' THEN v_answer::numeric > v_value::numeric
                                 WHEN '>=' THEN v_answer::numeric >= v_value::numeric END;
            END IF;
            -- dates as YYYY-MM-DD sort as text
            RETURN CASE v_op WHEN '<' THEN v_answer #>> '{}' < v_value #>> '{}' COLLATE "C"
                             WHEN '<=' THEN v_answer #>> '{}' <= v_value #>> '{}' COLLATE "C"
                             WHEN '>' THEN v_answer #>> '{}' > v_value #>> '{}' COLLATE "C"
                             WHEN '>=' THEN v_answer #>> '{}' >= v_value #>> '{}' COLLATE "C" END;
    END CASE;
END
$$;

COMMENT ON FUNCTION cxm.condition_holds(jsonb, jsonb) IS
'Whether a condition of a survey holds for these answers ({"question": value, ...}, questions that were not shown left out). {"question", "op", "value"} with op =, <>, <, <=, >, >=, in (value: an array), contains (an option of a multi), answered, unanswered; {"all": [...]}, {"any": [...]}, {"not": ...}. A comparison with a question that has no answer is false, <> too. NULL for no condition. The condition is one that cxm.condition_problem() has passed.';

CREATE FUNCTION cxm.try_date(value text) RETURNS date
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_parts integer[];
BEGIN
    IF value !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' THEN
        RETURN NULL;
    END IF;
    v_parts := string_to_array(value, '-');
    IF v_parts[1] < 1 OR v_parts[2] NOT BETWEEN 1 AND 12 OR v_parts[3] < 1 THEN
        RETURN NULL;
    ELSIF v_parts[3] > extract(day FROM make_date(v_parts[1], v_parts[2], 1) + interval '1 month - 1 day') THEN
        RETURN NULL;
    END IF;
    RETURN make_date(v_parts[1], v_parts[2], v_parts[3]);
END
$$;

COMMENT ON FUNCTION cxm.try_date(text) IS 'The text YYYY-MM-DD as a date, from 0001-01-01 to 9999-12-31; NULL when it is not one.';

CREATE FUNCTION cxm.try_interval(value text) RETURNS interval
LANGUAGE plpgsql STABLE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN value::interval;
EXCEPTION
    WHEN data_exception THEN
        RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.try_interval(text) IS 'The text as an interval; NULL when it is not one.';

CREATE FUNCTION cxm.json_integer(value jsonb, lowest integer, highest integer) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(value) <> 'number' THEN
        RETURN NULL;
    ELSIF value::numeric NOT BETWEEN lowest AND highest OR value::numeric <> trunc(value::numeric) THEN
        RETURN NULL;
    END IF;
    RETURN value::numeric::integer;
END
$$;

COMMENT ON FUNCTION cxm.json_integer(jsonb, integer, integer) IS 'A JSON number that is whole and lies between the two; NULL for anything else.';

CREATE FUNCTION cxm.condition_problem(condition jsonb, questions jsonb, before integer, depth integer DEFAULT 1) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_fields text[];
    v_key text := condition ->> 'question';
    v_op text := condition ->> 'op';
    v_value jsonb := condition -> 'value';
    v_question jsonb;
    v_part jsonb;
    v_problem text;
BEGIN
    IF condition IS NULL OR jsonb_typeof(condition) <> 'object' THEN
        RETURN format('a condition must be an object, not %s', coalesce(left(condition::text, 100), 'NULL'));
    ELSIF depth > 20 THEN
        RETURN 'a condition is nested more than 20 deep';
    END IF;
    v_fields := ARRAY(SELECT k FROM jsonb_object_keys(condition) AS k ORDER BY k COLLATE "C");

    IF v_fields IN ('{all}', '{any}') THEN
        v_part := condition -> v_fields[1];
        IF jsonb_typeof(v_part) <> 'array' OR jsonb_array_length(v_part) = 0 THEN
            RETURN format('"%s" must be an array of conditions, not %s', v_fields[1], left(v_part::text, 100));
        END IF;
        FOR v_part IN SELECT a.value FROM jsonb_array_elements(v_part) AS a LOOP
            v_problem := cxm.condition_problem(v_part, questions, before, depth + 1);
            IF v_problem IS NOT NULL THEN
                RETURN v_problem;
            END IF;
        END LOOP;
        RETURN NULL;
    ELSIF v_fields = '{not}' THEN
        RETURN cxm.condition_problem(condition -> 'not', questions, before, depth + 1);
    ELSIF v_fields NOT IN ('{op,question}', '{op,question,value}') OR jsonb_typeof(condition -> 'question') <> 'string' OR jsonb_typeof(condition -> 'op') <> 'string' THEN
        RETURN format('%s is not a condition: give {"question", "op", "value"}, {"all": [...]}, {"any": [...]} or {"not": ...}', left(condition::text, 100));
    END IF;

    v_question := questions -> v_key;
    IF v_question IS NULL THEN
        RETURN format('a condition refers to question "%s", which the survey does not have', left(v_key, 100));
    ELSIF (v_question ->> 'position')::integer >= before THEN
        RETURN format('a condition refers to question "%s", which is not answered yet at this point', v_key);
    ELSIF v_op IN ('answered', 'unanswered') THEN
        RETURN CASE WHEN v_value IS NOT NULL THEN format('operator %s takes no value', v_op) END;
    ELSIF NOT (CASE WHEN v_question ->> 'type' IN ('nps', 'csat', 'ces', 'rating', 'number', 'date') THEN v_op IN ('=', '<>', '<', '<=', '>', '>=', 'in')
                    WHEN v_question ->> 'type' = 'choice' THEN v_op IN ('=', '<>', 'in')
                    WHEN v_question ->> 'type' = 'boolean' THEN v_op IN ('=', '<>')
                    WHEN v_question ->> 'type' = 'multi' THEN v_op = 'contains'
                    ELSE false END) THEN
        RETURN format('operator "%s" is not for question "%s" of type %s', left(v_op, 100), v_key, v_question ->> 'type');
    ELSIF v_value IS NULL THEN
        RETURN format('operator %s needs a value', v_op);
    ELSIF v_op = 'in' AND jsonb_typeof(v_value) <> 'array' THEN
        RETURN format('operator in needs an array of values, not %s', left(v_value::text, 100));
    END IF;

    FOR v_part IN SELECT a.value FROM jsonb_array_elements(CASE v_op WHEN 'in' THEN v_value ELSE jsonb_build_array(v_value) END) AS a LOOP
        IF (CASE WHEN v_question ? 'options' THEN jsonb_typeof(v_part) = 'string' AND v_question -> 'options' @> v_part
                WHEN v_question ->> 'type' = 'boolean' THEN jsonb_typeof(v_part) = 'boolean'
                WHEN v_question ->> 'type' = 'number' THEN jsonb_typeof(v_part) = 'number'
                WHEN v_question ->> 'type' = 'date' THEN jsonb_typeof(v_part) = 'string' AND cxm.try_date(v_part #>> '{}') IS NOT NULL
                ELSE cxm.json_integer(v_part, (v_question ->> 'scale_min')::integer, (v_question ->> 'scale_max')::integer) IS NOT NULL END) IS NOT TRUE THEN
            RETURN format('%s is no answer to question "%s"', left(v_part::text, 100), v_key);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.condition_problem(jsonb, jsonb, integer, integer) IS
'What is wrong with a condition, or NULL when nothing is. questions: {"key": {"position", "type", "scale_min", "scale_max", "options"}, ...} of the whole survey; before: conditions may refer to questions with a lower position.';

---- definitions

CREATE FUNCTION cxm.texts_problem(texts jsonb, default_language text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_text record;
    v_seen text[] := '{}';
BEGIN
    IF jsonb_typeof(texts) = 'string' THEN
        texts := jsonb_build_object(default_language, texts);
    ELSIF jsonb_typeof(texts) IS DISTINCT FROM 'object' THEN
        RETURN format('must be a text or {"language": "text", ...}, not %s', coalesce(left(texts::text, 100), 'NULL'));
    END IF;
    FOR v_text IN SELECT t.key, t.value, cxm.language_tag(t.key) AS tag FROM jsonb_each(texts) AS t LOOP
        IF v_text.tag IS NULL THEN
            RETURN format('"%s" is not a language tag', left(v_text.key, 100));
        ELSIF v_text.tag = ANY (v_seen) THEN
            RETURN format('has two texts in %s', v_text.tag);
        ELSIF jsonb_typeof(v_text.value) <> 'string' OR length(v_text.value #>> '{}') NOT BETWEEN 1 AND 10000 THEN
            RETURN format('in %s must be a text of 1 to 10000 characters, not %s', v_text.tag, left(v_text.value::text, 100));
        END IF;
        v_seen := v_seen || v_text.tag;
    END LOOP;
    IF default_language <> ALL (v_seen) THEN
        RETURN format('is missing in %s, the default language', default_language);
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.texts_problem(jsonb, text) IS
'What is wrong with a text given as "text" or {"language": "text", ...}, as the end of a sentence, or NULL when nothing is. It has to exist in the default language.';

CREATE FUNCTION cxm.pattern_problem(pattern jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(pattern) <> 'string' OR length(pattern #>> '{}') NOT BETWEEN 1 AND 1000 THEN
        RETURN format('pattern must be a regular expression of 1 to 1000 characters, not %s', left(pattern::text, 100));
    END IF;
    PERFORM '' ~ ('^(?:' || (pattern #>> '{}') || ')$');
    RETURN NULL;
EXCEPTION
    WHEN invalid_regular_expression THEN
        RETURN format('pattern %s: %s', left(pattern::text, 100), SQLERRM);
END
$$;

COMMENT ON FUNCTION cxm.pattern_problem(jsonb) IS 'What is wrong with the pattern of a text question, or NULL when nothing is.';

CREATE FUNCTION cxm.question_map(definition jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_object_agg(q.value ->> 'key', jsonb_strip_nulls(jsonb_build_object(
                   'position', q.ordinality,
                   'type', q.value -> 'type',
                   'scale_min', coalesce(cxm.json_integer(q.value -> 'scale_min', -128, 127), m.scale_min),
                   'scale_max', coalesce(cxm.json_integer(q.value -> 'scale_max', -128, 127), m.scale_max),
                   'options', CASE WHEN jsonb_typeof(q.value -> 'options') = 'array' THEN jsonb_path_query_array(q.value, 'lax $.options[*].key') END))),
               '{}')
        FROM jsonb_array_elements(definition -> 'questions') WITH ORDINALITY AS q(value, ordinality)
        LEFT JOIN cx.metric AS m ON m.metric = coalesce(q.value ->> 'metric', q.value ->> 'type') COLLATE "C"
                                AND q.value ->> 'type' IN ('nps', 'csat', 'ces', 'rating')
        WHERE jsonb_typeof(q.value) = 'object' AND q.value ->> 'key' IS NOT NULL);
END
$$;

COMMENT ON FUNCTION cxm.question_map(jsonb) IS 'The questions of a definition as cxm.condition_problem() takes them.';

CREATE FUNCTION cxm.question_problems(question jsonb, questions jsonb, default_language text) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_type text := question ->> 'type';
    v_is_score boolean := coalesce(v_type IN ('nps', 'csat', 'ces', 'rating'), false);
    v_position integer := (questions -> (question ->> 'key') ->> 'position')::integer;
    v_known text[];
    v_problems text[] := '{}';
    v_field text;
    v_item jsonb;
    v_to jsonb;
    v_keys text[] := '{}';
    v_min numeric;
    v_max numeric;
    v_metric record;
    v_exclusive integer := 0;
BEGIN
    IF v_type IS NULL OR v_type NOT IN ('nps', 'csat', 'ces', 'rating', 'choice', 'multi', 'text', 'number', 'date', 'boolean') THEN
        RETURN ARRAY[format('type must be nps, csat, ces, rating, choice, multi, text, number, date or boolean, not %s', coalesce(left((question -> 'type')::text, 100), 'left out'))];
    END IF;

    v_known := '{key,type,text,help,required,page,show_if,skip_to}'::text[] || CASE
        WHEN v_is_score THEN '{metric,scale_min,scale_max,label_low,label_high}'::text[]
        WHEN v_type = 'choice' THEN '{options}'
        WHEN v_type = 'multi' THEN '{options,min_choices,max_choices}'
        WHEN v_type = 'text' THEN '{min_length,max_length,pattern,comment_on}'
        WHEN v_type = 'number' THEN '{min,max,step}'
        WHEN v_type = 'date' THEN '{min,max}'
        ELSE '{}' END;
    SELECT v_problems || array_agg(format('unknown field "%s"; a question of type %s has %s', left(k, 100), v_type, array_to_string(v_known, ', ')) ORDER BY k COLLATE "C")
    INTO v_problems
    FROM jsonb_object_keys(question) AS k WHERE k <> ALL (v_known);
    v_problems := coalesce(v_problems, '{}');

    FOREACH v_field IN ARRAY '{text,help,label_low,label_high}'::text[] LOOP
        IF question ? v_field OR v_field = 'text' THEN
            v_problems := v_problems || (v_field || ' ' || cxm.texts_problem(question -> v_field, default_language));
        END IF;
    END LOOP;
    IF jsonb_typeof(question -> 'required') <> 'boolean' THEN
        v_problems := v_problems || format('required must be true or false, not %s', left((question -> 'required')::text, 100));
    END IF;
    IF question ? 'page' AND cxm.json_integer(question -> 'page', 1, 1000) IS NULL THEN
        v_problems := v_problems || format('page must be a whole number from 1 to 1000, not %s', left((question -> 'page')::text, 100));
    END IF;

    IF v_is_score THEN
        SELECT m.metric, m.family INTO v_metric FROM cx.metric AS m WHERE m.metric = coalesce(question ->> 'metric', v_type) COLLATE "C";
        v_min := questions -> (question ->> 'key') -> 'scale_min';
        v_max := questions -> (question ->> 'key') -> 'scale_max';
        IF v_metric.metric IS NULL THEN
            v_problems := v_problems || format('unknown metric "%s"; known are %s, add others with cxm.add_metric()', left(coalesce(question ->> 'metric', v_type), 100), cxm.metric_names());
        ELSIF v_metric.family <> v_type THEN
            v_problems := v_problems || format('metric "%s" is of family %s, the question of type %s', v_metric.metric, v_metric.family, v_type);
        ELSIF (question ? 'scale_min' AND cxm.json_integer(question -> 'scale_min', -128, 127) IS NULL)
              OR (question ? 'scale_max' AND cxm.json_integer(question -> 'scale_max', -128, 127) IS NULL)
              OR v_max - v_min NOT BETWEEN 1 AND 10 OR (v_type = 'nps' AND (v_min, v_max) <> (0, 10)) THEN
            v_problems := v_problems || format('no %s scale goes from %s to %s: a scale has 2 to 11 points between -128 and 127, that of nps is 0 to 10', v_type,
                                               left(coalesce(question ->> 'scale_min', v_min::text), 100), left(coalesce(question ->> 'scale_max', v_max::text), 100));
        END IF;
    ELSIF v_type IN ('choice', 'multi') THEN
        IF jsonb_typeof(question -> 'options') IS DISTINCT FROM 'array' OR jsonb_array_length(question -> 'options') NOT BETWEEN 1 AND 1000 THEN
            v_problems := v_problems || 'options must be an array of 1 to 1000 options {"key", "label"}'::text;
        ELSE
            FOR v_item IN SELECT a.value FROM jsonb_array_elements(question -> 'options') AS a LOOP
                IF jsonb_typeof(v_item) <> 'object' OR coalesce(jsonb_typeof(v_item -> 'key') <> 'string', true) OR v_item ->> 'key' !~ '^[a-z0-9][a-z0-9_]{0,62}$' THEN
                    v_problems := v_problems || format('option %s has no key of 1 to 63 lower-case letters, digits and underscores', left(v_item::text, 100));
                    CONTINUE;
                ELSIF v_item ->> 'key' = ANY (v_keys) THEN
                    v_problems := v_problems || format('option "%s" comes twice', v_item ->> 'key');
                END IF;
                v_keys := v_keys || (v_item ->> 'key');
                v_problems := v_problems || (SELECT array_agg(format('unknown field "%s" of option "%s"; an option has key, label, value, exclusive', left(k, 100), v_item ->> 'key') ORDER BY k COLLATE "C")
                                             FROM jsonb_object_keys(v_item) AS k WHERE k NOT IN ('key', 'label', 'value', 'exclusive'));
                v_problems := v_problems || (format('label of option "%s" ', v_item ->> 'key') || cxm.texts_problem(v_item -> 'label', default_language));
                IF jsonb_typeof(v_item -> 'value') <> 'number' THEN
                    v_problems := v_problems || format('value of option "%s" must be a number, not %s', v_item ->> 'key', left((v_item -> 'value')::text, 100));
                END IF;
                IF jsonb_typeof(v_item -> 'exclusive') <> 'boolean' THEN
                    v_problems := v_problems || format('exclusive of option "%s" must be true or false, not %s', v_item ->> 'key', left((v_item -> 'exclusive')::text, 100));
                END IF;
            END LOOP;
            IF (question ? 'min_choices' OR question ? 'max_choices')
               AND coalesce(cxm.json_integer(coalesce(question -> 'min_choices', '1'), 1, cardinality(v_keys))
                            > cxm.json_integer(coalesce(question -> 'max_choices', to_jsonb(cardinality(v_keys))), 1, 1000), true) THEN
                v_problems := v_problems || format('no answer has %s to %s of %s options', left(coalesce(question ->> 'min_choices', '1'), 100),
                                                   left(coalesce(question ->> 'max_choices', 'all'), 100), cardinality(v_keys));
            END IF;
        END IF;
    ELSIF v_type = 'text' THEN
        IF coalesce(cxm.json_integer(coalesce(question -> 'min_length', '0'), 0, 1000000) > cxm.json_integer(coalesce(question -> 'max_length', '10000'), 1, 1000000), true) THEN
            v_problems := v_problems || format('no text has %s to %s characters; the most is 1000000', left(coalesce(question ->> 'min_length', '0'), 100), left(coalesce(question ->> 'max_length', '10000'), 100));
        END IF;
        IF question ? 'pattern' THEN
            v_problems := v_problems || cxm.pattern_problem(question -> 'pattern');
        END IF;
        IF question -> 'comment_on' <> 'null' AND coalesce(questions -> (question ->> 'comment_on') ->> 'type' NOT IN ('nps', 'csat', 'ces', 'rating'), true) THEN
            v_problems := v_problems || format('comment_on must name a score question of the survey, or be null, not %s', left((question -> 'comment_on')::text, 100));
        END IF;
    ELSIF v_type = 'number' THEN
        FOREACH v_field IN ARRAY '{min,max,step}'::text[] LOOP
            IF question ? v_field AND NOT (CASE WHEN jsonb_typeof(question -> v_field) = 'number' THEN abs((question -> v_field)::numeric) <= 1e15 AND scale((question -> v_field)::numeric) <= 20 ELSE false END) THEN
                v_problems := v_problems || format('%s must be a number within 1e15 of zero with at most 20 decimal places, not %s', v_field, left((question -> v_field)::text, 100));
                question := question - v_field;
            END IF;
        END LOOP;
        IF (question -> 'min')::numeric > (question -> 'max')::numeric THEN
            v_problems := v_problems || format('no number lies between %s and %s', question ->> 'min', question ->> 'max');
        END IF;
        IF (question -> 'step')::numeric <= 0 THEN
            v_problems := v_problems || format('step must be greater than zero, not %s', question ->> 'step');
        END IF;
    ELSIF v_type = 'date' THEN
        FOREACH v_field IN ARRAY '{min,max}'::text[] LOOP
            IF question ? v_field AND (jsonb_typeof(question -> v_field) <> 'string' OR cxm.try_date(question ->> v_field) IS NULL) THEN
                v_problems := v_problems || format('%s must be a date "YYYY-MM-DD", not %s', v_field, left((question -> v_field)::text, 100));
            END IF;
        END LOOP;
        IF question ->> 'min' > question ->> 'max' COLLATE "C" THEN
            v_problems := v_problems || format('no date lies between %s and %s', left(question ->> 'min', 100), left(question ->> 'max', 100));
        END IF;
    END IF;

    IF question ? 'show_if' THEN
        v_problems := v_problems || ('show_if: ' || cxm.condition_problem(question -> 'show_if', questions, v_position));
    END IF;
    IF question ? 'skip_to' THEN
        IF jsonb_typeof(question -> 'skip_to') <> 'array' OR jsonb_array_length(question -> 'skip_to') NOT BETWEEN 1 AND 1000 THEN
            v_problems := v_problems || 'skip_to must be an array of 1 to 1000 items {"if", "to"}'::text;
        ELSE
            FOR v_item IN SELECT a.value FROM jsonb_array_elements(question -> 'skip_to') AS a LOOP
                IF jsonb_typeof(v_item) <> 'object' OR v_item - '{if,to}'::text[] <> '{}' OR coalesce(jsonb_typeof(v_item -> 'to') <> 'string', true) THEN
                    v_problems := v_problems || format('skip_to: %s is not of the form {"if": condition, "to": question}', left(v_item::text, 100));
                    CONTINUE;
                END IF;
                IF v_item ? 'if' THEN
                    v_problems := v_problems || ('skip_to: ' || cxm.condition_problem(v_item -> 'if', questions, v_position + 1));
                END IF;
                IF v_item ->> 'to' NOT IN ('end', 'screen_out') THEN
                    v_to := questions -> (v_item ->> 'to');
                    IF v_to IS NULL THEN
                        v_problems := v_problems || format('skip_to names question "%s", which the survey does not have', left(v_item ->> 'to', 100));
                    ELSIF (v_to ->> 'position')::integer <= v_position THEN
                        v_problems := v_problems || format('skip_to leads back to question "%s": nobody would come to the end', v_item ->> 'to');
                    END IF;
                END IF;
            END LOOP;
        END IF;
    END IF;
    RETURN array_remove(v_problems, NULL);
END
$$;

COMMENT ON FUNCTION cxm.question_problems(jsonb, jsonb, text) IS
'What is wrong with one question of a definition, each as a clause; empty when nothing is. questions: cxm.question_map() of the definition.';

CREATE FUNCTION cxm.survey_problems(definition jsonb, OUT severity text, OUT question text, OUT problem text) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_language text;
    v_map jsonb;
    v_question jsonb;
    v_field text;
    v_position integer;
    v_n integer;
    v_page integer := 1;
    v_seen text[] := '{}';
    v_sound boolean := true;
    v_reached boolean[];
    v_falls boolean;
    v_item jsonb;
BEGIN
    PERFORM cxm.store_version();
    severity := 'error';
    IF jsonb_typeof(definition) IS DISTINCT FROM 'object' THEN
        problem := format('a survey must be an object, not %s', coalesce(left(definition::text, 100), 'NULL'));
        RETURN NEXT;
        RETURN;
    END IF;

    FOR v_field IN SELECT k FROM jsonb_object_keys(definition) AS k ORDER BY k COLLATE "C" LOOP
        IF v_field <> ALL ('{key,name,default_language,touchpoint,location,feedback_on,partial_after,notify,title,intro,thank_you,questions}') THEN
            problem := format('unknown field "%s"; a survey has key, name, default_language, touchpoint, location, feedback_on, partial_after, notify, title, intro, thank_you and questions', left(v_field, 100));
            RETURN NEXT;
        END IF;
    END LOOP;
    IF coalesce(jsonb_typeof(definition -> 'key') <> 'string', true) OR definition ->> 'key' !~ '^[a-z0-9][a-z0-9_.-]{0,62}$' THEN
        problem := format('key must be 1 to 63 lower-case letters, digits, underscores, dots and hyphens, not %s', coalesce(left((definition -> 'key')::text, 100), 'left out'));
        RETURN NEXT;
    END IF;
    IF definition ? 'name' AND (jsonb_typeof(definition -> 'name') <> 'string' OR length(definition ->> 'name') NOT BETWEEN 1 AND 200) THEN
        problem := format('name must be a text of 1 to 200 characters, not %s', left((definition -> 'name')::text, 100));
        RETURN NEXT;
    END IF;
    v_language := CASE WHEN definition ? 'default_language' THEN cxm.language_tag(definition ->> 'default_language') ELSE 'en' END;
    IF v_language IS NULL THEN
        problem := format('default_language must be a language tag such as en or pt-BR, not %s', left((definition -> 'default_language')::text, 100));
        RETURN NEXT;
        v_language := 'en';
    END IF;
    FOREACH v_field IN ARRAY '{touchpoint,location}'::text[] LOOP
        IF definition ? v_field AND (jsonb_typeof(definition -> v_field) NOT IN ('string', 'null') OR octet_length(definition ->> v_field) NOT BETWEEN 1 AND 512) THEN
            problem := format('%s must be a key of 1 to 512 bytes, not %s', v_field, left((definition -> v_field)::text, 100));
            RETURN NEXT;
        END IF;
    END LOOP;
    IF definition ? 'feedback_on' AND coalesce(definition ->> 'feedback_on' NOT IN ('completion', 'answer'), true) THEN
        problem := format('feedback_on must be completion or answer, not %s', left((definition -> 'feedback_on')::text, 100));
        RETURN NEXT;
    END IF;
    IF definition ? 'partial_after' AND jsonb_typeof(definition -> 'partial_after') <> 'null'
       AND coalesce(jsonb_typeof(definition -> 'partial_after') <> 'string' OR cxm.try_interval(definition ->> 'partial_after') <= interval '0', true) THEN
        problem := format('partial_after must be an interval such as "1 day", or null, not %s', left((definition -> 'partial_after')::text, 100));
        RETURN NEXT;
    END IF;
    IF jsonb_typeof(definition -> 'notify') <> 'boolean' THEN
        problem := format('notify must be true or false, not %s', left((definition -> 'notify')::text, 100));
        RETURN NEXT;
    END IF;
    FOREACH v_field IN ARRAY '{title,intro,thank_you}'::text[] LOOP
        problem := CASE WHEN definition ? v_field THEN v_field || ' ' || cxm.texts_problem(definition -> v_field, v_language) END;
        IF problem IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
    IF jsonb_typeof(definition -> 'questions') IS DISTINCT FROM 'array' OR jsonb_array_length(definition -> 'questions') NOT BETWEEN 1 AND 1000 THEN
        problem := 'questions must be an array of 1 to 1000 questions';
        RETURN NEXT;
        RETURN;
    END IF;

    v_map := cxm.question_map(definition);
    v_n := jsonb_array_length(definition -> 'questions');
    FOR v_question, v_position IN SELECT q.value, q.ordinality FROM jsonb_array_elements(definition -> 'questions') WITH ORDINALITY AS q(value, ordinality) LOOP
        question := left(v_question ->> 'key', 100);
        IF jsonb_typeof(v_question) <> 'object' OR coalesce(jsonb_typeof(v_question -> 'key') <> 'string', true) OR v_question ->> 'key' !~ '^[a-z][a-z0-9_]{0,62}$' THEN
            problem := format('question %s has no key of 1 to 63 lower-case letters, digits and underscores, beginning with a letter', v_position);
            RETURN NEXT;
            CONTINUE;
        ELSIF question IN ('end', 'screen_out') THEN
            problem := 'the key names an end of the survey';
            RETURN NEXT;
        ELSIF question = ANY (v_seen) THEN
            problem := 'the key comes twice';
            RETURN NEXT;
        END IF;
        v_seen := v_seen || question;
        FOREACH problem IN ARRAY cxm.question_problems(v_question, v_map, v_language) LOOP
            v_sound := false;
            RETURN NEXT;
        END LOOP;
        IF cxm.json_integer(v_question -> 'page', 1, 1000) < v_page THEN
            problem := format('page %s comes after page %s', v_question ->> 'page', v_page);
            RETURN NEXT;
        END IF;
        v_page := coalesce(cxm.json_integer(v_question -> 'page', 1, 1000), v_page);
    END LOOP;
    -- branches are followed only where all of them can be read
    IF NOT v_sound OR cardinality(v_seen) < v_n THEN
        RETURN;
    END IF;

    -- a question is reached by falling through from the one before, or by a skip from a question that is reached
    v_reached := array_fill(false, ARRAY[v_n]);
    v_reached[1] := true;
    FOR v_question, v_position IN SELECT q.value, q.ordinality FROM jsonb_array_elements(definition -> 'questions') WITH ORDINALITY AS q(value, ordinality) LOOP
        IF NOT v_reached[v_position] THEN
            severity := 'warning';
            question := v_question ->> 'key';
            problem := 'no path leads to the question';
            RETURN NEXT;
            CONTINUE;
        END IF;
        v_falls := true;
        FOR v_item IN SELECT a.value FROM jsonb_array_elements(coalesce(v_question -> 'skip_to', '[]')) AS a LOOP
            IF v_item ->> 'to' NOT IN ('end', 'screen_out') THEN
                v_reached[(v_map -> (v_item ->> 'to') ->> 'position')::integer] := true;
            END IF;
            IF NOT v_item ? 'if' THEN
                v_falls := false;
                EXIT;
            END IF;
        END LOOP;
        IF v_position < v_n AND (v_falls OR v_question ? 'show_if') THEN
            v_reached[v_position + 1] := true;
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.survey_problems(jsonb) IS
'What is wrong with the definition of a survey: a row a problem, with severity error (it cannot be used) or warning (a question that no path leads to), the key of the question (NULL = the survey itself) and what is wrong. No rows when nothing is.';

CREATE FUNCTION cxm.check_survey(definition jsonb, warn boolean) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_lines text[];
    v_warning record;
BEGIN
    SELECT array_agg(coalesce('question "' || p.question || '": ', '') || p.problem) INTO v_lines
    FROM cxm.survey_problems(definition) AS p WHERE p.severity = 'error';
    IF v_lines IS NOT NULL THEN
        RAISE EXCEPTION '%', CASE cardinality(v_lines) WHEN 1 THEN 'survey cannot be used: ' || v_lines[1]
                                  ELSE format('survey cannot be used: it has %s problems', cardinality(v_lines)) END
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = array_to_string(v_lines[1 : 100], E'\n'),
                  HINT = 'SELECT * FROM cxm.survey_problems(definition) gives the problems as rows.';
    END IF;
    IF warn THEN
        FOR v_warning IN SELECT p.question, p.problem FROM cxm.survey_problems(definition) AS p LOOP
            RAISE WARNING 'question "%": %', v_warning.question, v_warning.problem;
        END LOOP;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_survey(jsonb, boolean) IS
'Error with all problems of a definition in its detail; with warn, a warning for each question that no path leads to.';

CREATE FUNCTION cxm.texts(texts jsonb, default_language text, OUT language text, OUT text text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT cxm.language_tag(t.key), t.value
    FROM jsonb_each_text(CASE jsonb_typeof(texts) WHEN 'string' THEN jsonb_build_object(default_language, texts) WHEN 'object' THEN texts END) AS t;
$$;

COMMENT ON FUNCTION cxm.texts(jsonb, text) IS 'The texts given as "text" or {"language": "text", ...}, a row a language; no rows for NULL.';

---- the life of a survey

CREATE FUNCTION cxm.survey_id(survey text) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer;
BEGIN
    PERFORM cxm.store_version();
    SELECT s.survey_id INTO v_id FROM cx.survey AS s WHERE s.key = survey COLLATE "C";
    IF v_id IS NULL THEN
        RAISE EXCEPTION 'survey "%" does not exist', coalesce(left(survey, 100), 'NULL')
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT key FROM cx.survey lists those that do; cxm.create_survey() makes one.';
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.survey_id(text) IS 'survey_id of a survey by its key. Error (42704) when there is none.';

CREATE FUNCTION cxm.create_survey(definition jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer;
BEGIN
    PERFORM cxm.check_survey(definition, true);
    INSERT INTO cx.survey (key, name, default_language)
    VALUES (definition ->> 'key', coalesce(definition ->> 'name', definition ->> 'key'), cxm.language_tag(coalesce(definition ->> 'default_language', 'en')))
    ON CONFLICT (key) DO NOTHING
    RETURNING survey_id INTO v_id;
    IF v_id IS NULL THEN
        RAISE EXCEPTION 'survey "%" exists already', definition ->> 'key'
            USING ERRCODE = 'duplicate_object',
                  HINT = 'Give it another version with cxm.change_survey().';
    END IF;
    INSERT INTO cx.survey_version (survey_id, version, definition) VALUES (v_id, 1, definition);
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.create_survey(jsonb) IS
'Makes a survey, as a draft, from its whole definition (docs/survey.md has the form) and returns its survey_id. Error with every problem in its detail when the definition cannot be used (22023), and when the key is taken (42710); a warning for each question that no path leads to.';

CREATE FUNCTION cxm.change_survey(survey text, definition jsonb) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_id integer := cxm.survey_id(survey);
    v_version integer;
BEGIN
    -- the key may be left out: it cannot change
    IF jsonb_typeof(definition) = 'object' AND NOT definition ? 'key' THEN
        definition := definition || jsonb_build_object('key', survey);
    END IF;
    PERFORM cxm.check_survey(definition, true);
    IF definition ->> 'key' <> survey THEN
        RAISE EXCEPTION 'survey "%" cannot become "%"', survey, definition ->> 'key'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Leave the key out, or make another survey with cxm.create_survey().';
    END IF;
    PERFORM FROM cx.survey AS s WHERE s.survey_id = v_id FOR UPDATE;

    UPDATE cx.survey_version AS v SET definition = change_survey.definition, created_at = now(), created_by = session_user
    WHERE v.survey_id = v_id AND v.state = 'draft'
    RETURNING v.version INTO v_version;
    IF v_version IS NULL THEN
        INSERT INTO cx.survey_version (survey_id, version, definition)
        SELECT v_id, max(v.version) + 1, change_survey.definition FROM cx.survey_version AS v WHERE v.survey_id = v_id
        RETURNING version INTO v_version;
    END IF;
    RETURN v_version;
END
$$;

COMMENT ON FUNCTION cxm.change_survey(text, jsonb) IS
'Gives a survey a draft with this definition, whole, in place of the draft that it may have; returns the version that the draft will be. What is published goes on as it is until cxm.publish_survey(). Errors as of cxm.create_survey().';

CREATE FUNCTION cxm.survey_plan(survey_id integer, version integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'branches', bool_or(s.show_if IS NOT NULL OR s.skip_to IS NOT NULL),
            'questions', jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                'id', s.question_id, 'key', q.key, 'type', q.type, 'required', nullif(s.required, false),
                'min', q.scale_min, 'max', q.scale_max,
                'options', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('id', o.option_id, 'key', o.key, 'exclusive', nullif(o.option_id = ANY (s.exclusive_ids), false))) ORDER BY i.ordinality)
                            FROM unnest(s.option_ids) WITH ORDINALITY AS i(id, ordinality)
                            JOIN cx.question_option AS o ON o.option_id = i.id),
                'retired', (SELECT jsonb_agg(o.key ORDER BY o.key)
                            FROM cx.question_option AS o
                            WHERE o.question_id = s.question_id AND o.option_id <> ALL (s.option_ids)),
                'show_if', s.show_if,
                'skip_to', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                                       'if', t.value -> 'if',
                                       'to', coalesce((SELECT to_jsonb(n.position) FROM cx.survey_question AS n JOIN cx.question AS k USING (question_id)
                                                       WHERE n.survey_id = s.survey_id AND n.version = s.version AND k.key = t.value ->> 'to' COLLATE "C"), t.value -> 'to'))) ORDER BY t.ordinality)
                            FROM jsonb_array_elements(s.skip_to) WITH ORDINALITY AS t(value, ordinality)))) || s.limits ORDER BY s.position))
        FROM cx.survey_question AS s
        JOIN cx.question AS q USING (question_id)
        WHERE s.survey_id = survey_plan.survey_id AND s.version = survey_plan.version);
END
$$;

COMMENT ON FUNCTION cxm.survey_plan(integer, integer) IS
'What cx.survey_version.plan holds for a version: {"branches", "questions": [{"id", "key", "type", "required", "min", "max", "options", "retired", "show_if", "skip_to", limits ...}, ...]} in order, what is false or NULL left out; skip_to names positions.';

CREATE FUNCTION cxm.publish_survey(survey text) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_id integer := cxm.survey_id(survey);
    v_version integer;
    v_definition jsonb;
    v_language text;
    v_changed text[];
BEGIN
    PERFORM FROM cx.survey AS s WHERE s.survey_id = v_id FOR UPDATE;
    SELECT v.version, v.definition INTO v_version, v_definition FROM cx.survey_version AS v WHERE v.survey_id = v_id AND v.state = 'draft';
    IF v_version IS NULL THEN
        RAISE EXCEPTION 'survey "%" has no draft to publish', survey
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Make one with cxm.change_survey(); a closed survey takes responses again after cxm.reopen_survey().';
    END IF;
    -- once more: metrics may have changed meanwhile
    PERFORM cxm.check_survey(v_definition, true);
    v_language := cxm.language_tag(coalesce(v_definition ->> 'default_language', 'en'));

    -- what answers mean cannot change under them
    SELECT array_agg(c.line ORDER BY c.line) INTO v_changed
    FROM (SELECT format('question "%s" was of type %s, metric %s, scale %s to %s', q.key, q.type, coalesce(q.metric, 'none'), coalesce(q.scale_min::text, 'none'), coalesce(q.scale_max::text, 'none')) AS line
          FROM jsonb_array_elements(v_definition -> 'questions') AS d
          CROSS JOIN LATERAL (SELECT cxm.question_map(v_definition) -> (d.value ->> 'key') AS m) AS m
          JOIN cx.question AS q ON q.survey_id = v_id AND q.key = d.value ->> 'key' COLLATE "C"
          WHERE (q.type, q.metric, q.scale_min, q.scale_max) IS DISTINCT FROM
                (d.value ->> 'type', CASE WHEN q.metric IS NOT NULL THEN coalesce(d.value ->> 'metric', d.value ->> 'type') END,
                 (m.m -> 'scale_min')::smallint, (m.m -> 'scale_max')::smallint)
          UNION ALL
          SELECT format('option "%s" of question "%s" had the value %s', o.key, q.key, coalesce(o.value::text, 'none'))
          FROM jsonb_array_elements(v_definition -> 'questions') AS d
          CROSS JOIN jsonb_array_elements(coalesce(d.value -> 'options', '[]')) AS e
          JOIN cx.question AS q ON q.survey_id = v_id AND q.key = d.value ->> 'key' COLLATE "C"
          JOIN cx.question_option AS o ON o.question_id = q.question_id AND o.key = e.value ->> 'key' COLLATE "C"
          WHERE o.value IS DISTINCT FROM (e.value -> 'value')::numeric) AS c;
    IF v_changed IS NOT NULL THEN
        RAISE EXCEPTION 'version % of survey "%" would change what answers mean', v_version, survey
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = array_to_string(v_changed, E'\n'),
                  HINT = 'Give a question or option that is another one another key.';
    END IF;

    INSERT INTO cx.question (survey_id, key, type, metric, scale_min, scale_max)
    SELECT v_id, d.value ->> 'key', d.value ->> 'type', CASE WHEN m.m ? 'scale_min' THEN coalesce(d.value ->> 'metric', d.value ->> 'type') END,
           (m.m -> 'scale_min')::smallint, (m.m -> 'scale_max')::smallint
    FROM jsonb_array_elements(v_definition -> 'questions') WITH ORDINALITY AS d(value, ordinality)
    CROSS JOIN LATERAL (SELECT cxm.question_map(v_definition) -> (d.value ->> 'key') AS m) AS m
    ORDER BY d.ordinality
    ON CONFLICT (survey_id, key) DO NOTHING;

    INSERT INTO cx.question_option (question_id, key, value)
    SELECT q.question_id, o.value ->> 'key', (o.value -> 'value')::numeric
    FROM jsonb_array_elements(v_definition -> 'questions') WITH ORDINALITY AS d(value, ordinality)
    CROSS JOIN jsonb_array_elements(coalesce(d.value -> 'options', '[]')) WITH ORDINALITY AS o(value, ordinality)
    JOIN cx.question AS q ON q.survey_id = v_id AND q.key = d.value ->> 'key' COLLATE "C"
    ORDER BY d.ordinality, o.ordinality
    ON CONFLICT (question_id, key) DO NOTHING;

    INSERT INTO cx.survey_question (survey_id, version, question_id, position, page, required, limits, option_ids, exclusive_ids, is_comment, comment_on, show_if, skip_to)
    SELECT v_id, v_version, q.question_id, d.ordinality,
           coalesce(max((d.value -> 'page')::integer) OVER (ORDER BY d.ordinality), 1),
           coalesce((d.value -> 'required')::boolean, false),
           CASE WHEN q.type IN ('multi', 'text', 'number', 'date')
                THEN (SELECT coalesce(jsonb_object_agg(l.key, l.value), '{}') FROM jsonb_each(d.value) AS l
                      WHERE l.key IN ('min', 'max', 'step', 'min_length', 'max_length', 'pattern', 'min_choices', 'max_choices')) ELSE '{}' END,
           o.ids, o.exclusive,
           c.is_comment,
           CASE WHEN c.is_comment THEN coalesce(
               (SELECT k.question_id FROM cx.question AS k WHERE k.survey_id = v_id AND k.key = d.value ->> 'comment_on' COLLATE "C"),
               -- the score before it
               (SELECT k.question_id
                FROM jsonb_array_elements(v_definition -> 'questions') WITH ORDINALITY AS e(value, ordinality)
                JOIN cx.question AS k ON k.survey_id = v_id AND k.key = e.value ->> 'key' COLLATE "C"
                WHERE k.metric IS NOT NULL AND e.ordinality < d.ordinality
                ORDER BY e.ordinality DESC
                LIMIT 1)) END,
           d.value -> 'show_if', d.value -> 'skip_to'
    FROM jsonb_array_elements(v_definition -> 'questions') WITH ORDINALITY AS d(value, ordinality)
    JOIN cx.question AS q ON q.survey_id = v_id AND q.key = d.value ->> 'key' COLLATE "C"
    CROSS JOIN LATERAL (SELECT q.type = 'text' AND NOT d.value ? 'pattern' AND coalesce(d.value -> 'comment_on' <> 'null', true) AS is_comment) AS c
    CROSS JOIN LATERAL (SELECT array_agg(p.option_id ORDER BY e.ordinality) AS ids,
                               array_agg(p.option_id ORDER BY e.ordinality) FILTER (WHERE (e.value -> 'exclusive')::boolean) AS exclusive
                        FROM jsonb_array_elements(coalesce(d.value -> 'options', '[]')) WITH ORDINALITY AS e(value, ordinality)
                        JOIN cx.question_option AS p ON p.question_id = q.question_id AND p.key = e.value ->> 'key' COLLATE "C") AS o;

    INSERT INTO cx.survey_text (survey_id, version, question, option, field, language, text)
    SELECT v_id, v_version, '', '', f.field, t.language, t.text
    FROM unnest('{title,intro,thank_you}'::text[]) AS f(field), cxm.texts(v_definition -> f.field, v_language) AS t
    UNION ALL
    SELECT v_id, v_version, d.value ->> 'key', '', f.field, t.language, t.text
    FROM jsonb_array_elements(v_definition -> 'questions') AS d,
         unnest('{text,help,label_low,label_high}'::text[]) AS f(field), cxm.texts(d.value -> f.field, v_language) AS t
    UNION ALL
    SELECT v_id, v_version, d.value ->> 'key', o.value ->> 'key', 'label', t.language, t.text
    FROM jsonb_array_elements(v_definition -> 'questions') AS d,
         jsonb_array_elements(coalesce(d.value -> 'options', '[]')) AS o, cxm.texts(o.value -> 'label', v_language) AS t;

    UPDATE cx.question AS q
    SET retired = NOT q.retired
    WHERE q.survey_id = v_id
      AND q.retired = EXISTS (SELECT FROM cx.survey_question AS s WHERE s.survey_id = v_id AND s.version = v_version AND s.question_id = q.question_id);
    UPDATE cx.question_option AS o
    SET retired = NOT o.retired
    FROM cx.question AS q
    WHERE q.survey_id = v_id AND o.question_id = q.question_id
      AND o.retired = EXISTS (SELECT FROM cx.survey_question AS s WHERE s.survey_id = v_id AND s.version = v_version AND o.option_id = ANY (s.option_ids));

    UPDATE cx.survey_version AS v
    SET state = 'published', plan = cxm.survey_plan(v_id, v_version), published_at = now(), published_by = session_user
    WHERE v.survey_id = v_id AND v.version = v_version;
    UPDATE cx.survey AS s
    SET state = 'active', version = v_version, closed_at = NULL, published_at = now(), default_language = v_language,
        name = coalesce(v_definition ->> 'name', s.key),
        touchpoint_id = (cxm.catalog_ids('touchpoint', ARRAY[v_definition ->> 'touchpoint']))[1],
        location_id = (cxm.catalog_ids('location', ARRAY[v_definition ->> 'location']))[1],
        feedback_on = coalesce(v_definition ->> 'feedback_on', 'completion'),
        partial_after = CASE WHEN v_definition ? 'partial_after' THEN (v_definition ->> 'partial_after')::interval ELSE interval '1 day' END,
        notify = coalesce((v_definition -> 'notify')::boolean, false)
    WHERE s.survey_id = v_id;
    RETURN v_version;
END
$$;

COMMENT ON FUNCTION cxm.publish_survey(text) IS
'Publishes the draft of a survey and returns its version: from now on new responses get it, those that were begun keep theirs. A closed survey opens. Error when there is no draft (55000), when it cannot be used, or when a question or option that earlier versions have would change its type, metric, scale or value (22023).';

CREATE FUNCTION cxm.close_survey(survey text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer := cxm.survey_id(survey);
BEGIN
    UPDATE cx.survey AS s SET state = 'closed', closed_at = now() WHERE s.survey_id = v_id AND s.state = 'active';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'survey "%" is not active', survey
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Its state is %s.', (SELECT s.state FROM cx.survey AS s WHERE s.survey_id = v_id));
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.close_survey(text) IS
'Closes an active survey: it takes no response any more, nor the rest of a partial one. Error (55000) when it is not active.';

CREATE FUNCTION cxm.reopen_survey(survey text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer := cxm.survey_id(survey);
BEGIN
    UPDATE cx.survey AS s SET state = 'active', closed_at = NULL WHERE s.survey_id = v_id AND s.state = 'closed';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'survey "%" is not closed', survey
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Its state is %s.', (SELECT s.state FROM cx.survey AS s WHERE s.survey_id = v_id));
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.reopen_survey(text) IS 'Opens a closed survey again, in the version that it had. Error (55000) when it is not closed.';

CREATE FUNCTION cxm.translate_survey(survey text, language text, texts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_id integer := cxm.survey_id(survey);
    v_tag text := cxm.language_tag(translate_survey.language);
    v_version integer;
    v_text record;
    v_path text[];
    v_rows bigint := 0;
BEGIN
    IF v_tag IS NULL THEN
        RAISE EXCEPTION '"%" is not a language tag', coalesce(left(translate_survey.language, 100), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give one such as de or pt-BR.';
    ELSIF jsonb_typeof(texts) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'texts must be an object, not %', coalesce(jsonb_typeof(texts), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give {"nps": "...", "reason.help": "...", "reason.options.price": "...", "thank_you": "..."}.';
    END IF;
    SELECT s.version INTO v_version FROM cx.survey AS s WHERE s.survey_id = v_id FOR UPDATE;
    IF v_version IS NULL THEN
        RAISE EXCEPTION 'survey "%" has no published version', survey
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Put the texts into the definition of its draft with cxm.change_survey().';
    END IF;

    FOR v_text IN SELECT t.key, t.value FROM jsonb_each(texts) AS t LOOP
        -- a text goes by the name of what it stands at: field of the survey, question, question.field, question.options.option
        v_path := string_to_array(v_text.key, '.');
        v_path := CASE
            WHEN v_text.key IN ('title', 'intro', 'thank_you')
                 AND NOT EXISTS (SELECT FROM cx.survey_text AS t WHERE t.survey_id = v_id AND t.version = v_version AND t.question = v_text.key COLLATE "C") THEN ARRAY['', '', v_text.key]
            WHEN cardinality(v_path) = 1 THEN ARRAY[v_path[1], '', 'text']
            WHEN cardinality(v_path) = 2 THEN ARRAY[v_path[1], '', v_path[2]]
            WHEN cardinality(v_path) = 3 AND v_path[2] = 'options' THEN ARRAY[v_path[1], v_path[3], 'label'] END;
        IF NOT EXISTS (SELECT FROM cx.survey_text AS t
                       WHERE t.survey_id = v_id AND t.version = v_version AND t.question = v_path[1] COLLATE "C" AND t.option = v_path[2] COLLATE "C" AND t.field = v_path[3] COLLATE "C") THEN
            RAISE EXCEPTION 'survey "%" has no text "%"', survey, left(v_text.key, 200)
                USING ERRCODE = 'undefined_object',
                      HINT = 'A text is named title, intro, thank_you, QUESTION, QUESTION.help, QUESTION.label_low, QUESTION.label_high or QUESTION.options.OPTION.';
        ELSIF jsonb_typeof(v_text.value) <> 'string' OR length(v_text.value #>> '{}') NOT BETWEEN 1 AND 10000 THEN
            RAISE EXCEPTION 'text "%" must have 1 to 10000 characters, not %', v_text.key, left(v_text.value::text, 100)
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        INSERT INTO cx.survey_text (survey_id, version, question, option, field, language, text)
        VALUES (v_id, v_version, v_path[1], v_path[2], v_path[3], v_tag, v_text.value #>> '{}')
        ON CONFLICT (survey_id, version, question, option, field, language) DO NOTHING;
        IF FOUND THEN
            v_rows := v_rows + 1;
        ELSIF (SELECT t.text FROM cx.survey_text AS t
               WHERE t.survey_id = v_id AND t.version = v_version AND t.question = v_path[1] COLLATE "C" AND t.option = v_path[2] COLLATE "C"
                 AND t.field = v_path[3] COLLATE "C" AND t.language = v_tag COLLATE "C") <> v_text.value #>> '{}' THEN
            RAISE EXCEPTION 'text "%" of survey "%" exists in % already', v_text.key, survey, v_tag
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL = 'People have answered what it says.',
                      HINT = 'Publish a new version with the other text.';
        END IF;
    END LOOP;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.translate_survey(text, text, jsonb) IS
'Adds texts in a language to the present version of a survey: {"nps": "...", "reason.help": "...", "reason.options.price": "...", "thank_you": "..."}; returns how many are new. Error on a text that the survey does not have (42704) and on one that exists in that language with other words (55000): what people have answered does not change.';

---- what a front end needs

CREATE FUNCTION cxm.survey_label(survey_id integer, version integer, question text, option text, field text, languages text[]) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT t.text
        FROM unnest(languages) WITH ORDINALITY AS l(language, ordinality)
        JOIN cx.survey_text AS t ON t.survey_id = survey_label.survey_id AND t.version = survey_label.version AND t.question = survey_label.question COLLATE "C"
                                AND t.option = survey_label.option COLLATE "C" AND t.field = survey_label.field COLLATE "C" AND t.language = l.language COLLATE "C"
        ORDER BY l.ordinality
        LIMIT 1);
END
$$;

COMMENT ON FUNCTION cxm.survey_label(integer, integer, text, text, text, text[]) IS
'A text of a survey in the first of these languages that it exists in; NULL when it exists in none. question and option: keys, empty for what stands above them.';

CREATE FUNCTION cxm.question_definition(survey_id integer, version integer, question_id integer, languages text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT jsonb_strip_nulls(jsonb_build_object(
                   'key', q.key, 'type', q.type, 'position', s.position, 'page', s.page, 'required', s.required,
                   'text', cxm.survey_label(s.survey_id, s.version, q.key, '', 'text', languages),
                   'help', cxm.survey_label(s.survey_id, s.version, q.key, '', 'help', languages),
                   'metric', q.metric, 'scale_min', q.scale_min, 'scale_max', q.scale_max,
                   'label_low', cxm.survey_label(s.survey_id, s.version, q.key, '', 'label_low', languages),
                   'label_high', cxm.survey_label(s.survey_id, s.version, q.key, '', 'label_high', languages),
                   'options', (SELECT jsonb_agg(jsonb_build_object('key', o.key, 'label', cxm.survey_label(s.survey_id, s.version, q.key, o.key, 'label', languages),
                                                                   'exclusive', coalesce(o.option_id = ANY (s.exclusive_ids), false)) ORDER BY i.ordinality)
                               FROM unnest(s.option_ids) WITH ORDINALITY AS i(id, ordinality)
                               JOIN cx.question_option AS o ON o.option_id = i.id),
                   'show_if', s.show_if, 'skip_to', s.skip_to)) || s.limits
        FROM cx.survey_question AS s
        JOIN cx.question AS q USING (question_id)
        WHERE s.survey_id = question_definition.survey_id AND s.version = question_definition.version AND s.question_id = question_definition.question_id);
END
$$;

COMMENT ON FUNCTION cxm.question_definition(integer, integer, integer, text[]) IS
'A question as cxm.survey_definition() shows it, its texts in the first of these languages in which each exists.';

CREATE FUNCTION cxm.survey_definition(survey text, language text DEFAULT NULL, version integer DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_id integer := cxm.survey_id(survey);
    v_survey cx.survey;
    v_chain text[];
    v_version integer;
BEGIN
    SELECT s.* INTO v_survey FROM cx.survey AS s WHERE s.survey_id = v_id;
    IF language IS NOT NULL AND cxm.language_tag(language) IS NULL THEN
        RAISE EXCEPTION '"%" is not a language tag', left(language, 100)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give one such as de or pt-BR.';
    END IF;
    SELECT v.version, cxm.language_chain(survey_definition.language, cxm.language_tag(coalesce(v.definition ->> 'default_language', 'en'))) INTO v_version, v_chain
    FROM cx.survey_version AS v
    WHERE v.survey_id = v_id AND v.version = coalesce(survey_definition.version, v_survey.version) AND v.state = 'published';
    IF v_version IS NULL THEN
        RAISE EXCEPTION 'survey "%" has no published version%', survey, coalesce(' ' || survey_definition.version, '')
            USING ERRCODE = 'undefined_object',
                  HINT = 'Publish its draft with cxm.publish_survey(); cx.survey_version lists the versions.';
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'survey', survey, 'name', v_survey.name, 'state', v_survey.state, 'version', v_version,
        'language', (SELECT l.language FROM unnest(v_chain) WITH ORDINALITY AS l(language, ordinality)
                     WHERE EXISTS (SELECT FROM cx.survey_text AS t WHERE t.survey_id = v_id AND t.version = v_version AND t.language = l.language COLLATE "C")
                     ORDER BY l.ordinality LIMIT 1),
        'languages', (SELECT jsonb_agg(DISTINCT t.language) FROM cx.survey_text AS t WHERE t.survey_id = v_id AND t.version = v_version),
        'title', cxm.survey_label(v_id, v_version, '', '', 'title', v_chain),
        'intro', cxm.survey_label(v_id, v_version, '', '', 'intro', v_chain),
        'thank_you', cxm.survey_label(v_id, v_version, '', '', 'thank_you', v_chain)))
        || jsonb_build_object('questions', (SELECT jsonb_agg(cxm.question_definition(v_id, v_version, q.question_id, v_chain) ORDER BY q.position)
                                            FROM cx.survey_question AS q WHERE q.survey_id = v_id AND q.version = v_version));
END
$$;

COMMENT ON FUNCTION cxm.survey_definition(text, text, integer) IS
'A published survey as JSON, with all that a front end needs to show it: texts (each in the language asked for, else in a more general one, else in the default language), questions in order with type, page, scale, limits, options, show_if and skip_to. version: NULL = the present one. Error on an unknown survey or version (42704).';
