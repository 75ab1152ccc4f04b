-- Asking employees: groups, waves, tickets, answers, and what is published of them.

CREATE FUNCTION cxm.add_employee_group(key text, parent text DEFAULT NULL, name text DEFAULT NULL, location text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_parent integer;
    v_group integer;
BEGIN
    IF parent IS NOT NULL THEN
        SELECT g.group_id INTO v_parent FROM cx.employee_group AS g WHERE g.key = parent;
        IF v_parent IS NULL THEN
            RAISE no_data_found USING
                MESSAGE = format('there is no group of employees "%s"', parent),
                HINT = 'Add the outer group first, with cxm.add_employee_group().';
        END IF;
    END IF;
    INSERT INTO cx.employee_group (key, parent_id, name, location_id)
    VALUES (key, v_parent, name, CASE WHEN location IS NOT NULL THEN (cxm.catalog_ids('location', ARRAY[location]))[1] END)
    RETURNING group_id INTO v_group;
    RETURN v_group;
END
$$;

COMMENT ON FUNCTION cxm.add_employee_group(text, text, text, text) IS
'Adds a group of employees within another one (parent, by its key; NULL = directly in that of everybody) and returns its group_id. location: key of the location whose people they are, registered when it is new. Errors: P0002 no such parent, 23505 a key that is taken, 23514 an empty one.';

CREATE FUNCTION cxm.open_employee_wave(key text, questions jsonb, starts_on date, ends_on date, min_group integer DEFAULT 5) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wave integer;
    v_bad text;
BEGIN
    IF jsonb_typeof(questions) IS DISTINCT FROM 'array' OR questions = '[]' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'questions of a wave must be an array of objects',
            HINT = 'Write [{"question": "enps", "family": "nps", "text": "How likely are you to recommend us as a place to work?"}].';
    END IF;
    SELECT q.value::text INTO v_bad FROM jsonb_array_elements(questions) AS q
    WHERE jsonb_typeof(q.value) <> 'object' OR (q.value ->> 'question') IS NULL OR (q.value ->> 'text') IS NULL
       OR (q.value ->> 'family') IS NULL OR q.value ->> 'family' NOT IN ('nps', 'rating')
    LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('question %s is none', left(v_bad, 200)),
            HINT = 'A question has a question (its name), a family (nps: 0 to 10; rating: 1 to 5) and a text.';
    END IF;
    INSERT INTO cx.employee_wave (key, starts_on, ends_on, min_group) VALUES (key, starts_on, ends_on, min_group) RETURNING wave_id INTO v_wave;
    INSERT INTO cx.employee_question (wave_id, question, family, text)
    SELECT v_wave, q.value ->> 'question', q.value ->> 'family', q.value ->> 'text' FROM jsonb_array_elements(questions) AS q;
    RETURN v_wave;
END
$$;

COMMENT ON FUNCTION cxm.open_employee_wave(text, jsonb, date, date, integer) IS
'Opens a wave of asking employees and returns its wave_id. questions: [{"question": "enps", "family": "nps" (0 to 10) or "rating" (1 to 5), "text": ...}]; the eNPS is read from the one named enps. min_group: fewest answers of which anything will be shown, 3 or more, fixed from here on. Errors: 22023 questions that are none, 23505 a key or question that is there twice, 23514 dates out of order or too small a min_group.';

CREATE FUNCTION cxm.issue_employee_tickets(wave text, employee_group text, tickets integer) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wave integer;
    v_group integer;
    v_tokens text[];
BEGIN
    SELECT w.wave_id INTO v_wave FROM cx.employee_wave AS w WHERE w.key = wave AND w.state = 'open' FOR SHARE;
    IF v_wave IS NULL THEN
        RAISE no_data_found USING
            MESSAGE = format('there is no open wave "%s"', wave),
            HINT = 'Open one with cxm.open_employee_wave(); one that is published takes no more answers.';
    END IF;
    SELECT g.group_id INTO v_group FROM cx.employee_group AS g WHERE g.key = employee_group;
    IF v_group IS NULL THEN
        RAISE no_data_found USING
            MESSAGE = format('there is no group of employees "%s"', employee_group),
            HINT = 'Add it with cxm.add_employee_group().';
    END IF;
    IF tickets NOT BETWEEN 1 AND 100000 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s tickets cannot be issued at once', tickets),
            HINT = 'Ask for 1 to 100000.';
    END IF;
    v_tokens := ARRAY(SELECT cxm.random_token() FROM generate_series(1, tickets));
    INSERT INTO cx.employee_ticket (token_hash, wave_id, group_id) SELECT cxm.token_hash(t.token), v_wave, v_group FROM unnest(v_tokens) AS t(token);
    RETURN QUERY SELECT t.token FROM unnest(v_tokens) AS t(token);
END
$$;

COMMENT ON FUNCTION cxm.issue_employee_tickets(text, text, integer) IS
'Tokens with which as many people of a group answer once each in a wave. They are shown here and never again: only their hashes are kept. Hand them out without noting who got which. Errors: P0002 no such wave or group, or a wave that is published; 22023 a number that is not from 1 to 100000.';

CREATE FUNCTION cxm.answer_employee_survey(token text, answers jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ticket cx.employee_ticket;
    v_answer record;
BEGIN
    IF jsonb_typeof(answers) IS DISTINCT FROM 'object' OR answers = '{}' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'answers must be an object with a score for at least one question',
            HINT = 'Write {"enps": 9}.';
    END IF;
    -- whoever publishes the wave waits here for those who are at it, and takes away all other tickets
    DELETE FROM cx.employee_ticket AS t WHERE t.token_hash = cxm.token_hash(token) RETURNING t.* INTO v_ticket;
    IF v_ticket.wave_id IS NULL THEN
        RAISE EXCEPTION 'the ticket is not known'
            USING ERRCODE = 'CX001',
                  DETAIL = 'It was used, or its wave is published, or it never was one.',
                  HINT = 'A ticket is copied whole, as it stands in the link, and used once.';
    END IF;
    FOR v_answer IN
        SELECT a.key, a.value, q.family, CASE q.family WHEN 'nps' THEN 0 ELSE 1 END AS lo, CASE q.family WHEN 'nps' THEN 10 ELSE 5 END AS hi
        FROM jsonb_each(answers) AS a
        LEFT JOIN cx.employee_question AS q ON q.wave_id = v_ticket.wave_id AND q.question = a.key
        ORDER BY a.key
    LOOP
        IF v_answer.family IS NULL THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('there is no question "%s"', v_answer.key),
                HINT = format('The wave asks %s.', (SELECT string_agg(format('"%s"', q.question), ', ' ORDER BY q.question) FROM cx.employee_question AS q WHERE q.wave_id = v_ticket.wave_id));
        ELSIF (CASE WHEN jsonb_typeof(v_answer.value) = 'number' THEN v_answer.value::numeric % 1 <> 0 OR v_answer.value::numeric NOT BETWEEN v_answer.lo AND v_answer.hi ELSE true END) THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('the answer to "%s" must be a whole number from %s to %s', v_answer.key, v_answer.lo, v_answer.hi),
                HINT = 'Leave a question out that is not answered.';
        END IF;
        INSERT INTO cx.employee_answer (wave_id, group_id, question, score) VALUES (v_ticket.wave_id, v_ticket.group_id, v_answer.key, v_answer.value::numeric::smallint);
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.answer_employee_survey(text, jsonb) IS
'Takes the answers of whoever has the ticket, {"enps": 9, ...}; questions may be left out. The ticket is gone then, and nothing that is kept leads from the answers to it, to a time, or to each other; what was wrong with an answer is said without repeating it. Errors: CX001 a ticket that is used, over or none; 22023 answers that are none, no such question, a score that is not on its scale. After an error the ticket is as good as before.';

CREATE FUNCTION cxm.publish_employee_wave(wave text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wave cx.employee_wave;
    v_shown bigint;
BEGIN
    -- on a snapshot from before, tickets and answers that came since would neither be counted nor taken away
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = 'a wave is published at the isolation level read committed',
            DETAIL = format('The transaction is %s, and does not see what others have answered since it began.', upper(current_setting('transaction_isolation'))),
            HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED.';
    END IF;
    SELECT w.* INTO v_wave FROM cx.employee_wave AS w WHERE w.key = wave FOR UPDATE;
    IF v_wave.wave_id IS NULL OR v_wave.state <> 'open' THEN
        RAISE no_data_found USING
            MESSAGE = format('there is no open wave "%s"', wave),
            DETAIL = CASE WHEN v_wave.state = 'published' THEN 'It is published already.' ELSE 'There is none of that name.' END,
            HINT = 'cx.employee_wave has all waves.';
    END IF;
    -- waits for answers that are being given, and with the tickets gone there can be no others
    DELETE FROM cx.employee_ticket AS t WHERE t.wave_id = v_wave.wave_id;

    WITH RECURSIVE inside AS (
        SELECT g.group_id AS outer_id, g.group_id FROM cx.employee_group AS g
        UNION ALL
        SELECT i.outer_id, g.group_id FROM inside AS i JOIN cx.employee_group AS g ON g.parent_id = i.group_id
    ), question AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY q.question) AS number, q.question, CASE q.family WHEN 'nps' THEN 0 ELSE 1 END AS lo, CASE q.family WHEN 'nps' THEN 10 ELSE 5 END AS hi
        FROM cx.employee_question AS q WHERE q.wave_id = v_wave.wave_id
    ), answer AS MATERIALIZED (
        SELECT a.group_id, q.number, cxm.ratings_agg(a.score, q.lo, q.hi) AS ratings
        FROM cx.employee_answer AS a JOIN question AS q ON q.question = a.question WHERE a.wave_id = v_wave.wave_id GROUP BY a.group_id, q.number
    ), place AS MATERIALIZED (
        SELECT 1 AS place, NULL::integer AS group_id, NULL::integer AS parent_id
        UNION ALL
        -- a group is younger than the one that it lies in, so parents come first
        SELECT 1 + row_number() OVER (ORDER BY g.group_id), g.group_id, g.parent_id FROM cx.employee_group AS g
    ), of_group AS MATERIALIZED (
        SELECT p.place, a.number, cxm.rollup(a.ratings) AS ratings
        FROM inside AS i JOIN answer AS a ON a.group_id = i.group_id JOIN place AS p ON p.group_id = i.outer_id
        GROUP BY p.place, a.number
        UNION ALL
        SELECT 1, a.number, cxm.rollup(a.ratings) FROM answer AS a GROUP BY a.number
    ), counted AS MATERIALIZED (
        SELECT p.place, p.group_id, CASE WHEN p.group_id IS NULL THEN 0 ELSE coalesce(outer_group.place, 1) END::integer AS parent,
               q.number, q.question, q.lo, coalesce(nullif(cxm.counts(o.ratings), '{}'), array_fill(0::bigint, ARRAY[q.hi - q.lo + 1])) AS counts
        FROM place AS p CROSS JOIN question AS q
        LEFT JOIN place AS outer_group ON outer_group.group_id = p.parent_id
        LEFT JOIN of_group AS o ON o.place = p.place AND o.number = q.number
    ), suppressed AS (
        -- all questions at once, for the size of a group in one can give away another; shorter scales are filled up with answers of nobody
        SELECT p.place, q.number, u.suppression
        FROM (
            SELECT cxm.suppress_groups(array_agg(g.counts ORDER BY g.place), array_agg(g.parent ORDER BY g.place), v_wave.min_group) AS suppressions
            FROM (
                SELECT c.place, c.parent, array_agg(c.counts || array_fill(0::bigint, ARRAY[11 - cardinality(c.counts)]) ORDER BY c.number) AS counts
                FROM counted AS c GROUP BY c.place, c.parent
            ) AS g
        ) AS s
        CROSS JOIN LATERAL unnest(s.suppressions) WITH ORDINALITY AS u (suppression, element)
        CROSS JOIN LATERAL (SELECT count(*) AS number FROM question) AS all_questions
        CROSS JOIN LATERAL (SELECT (u.element - 1) / all_questions.number + 1 AS place) AS p
        CROSS JOIN LATERAL (SELECT (u.element - 1) % all_questions.number + 1 AS number) AS q
    ), written AS (
        INSERT INTO cx.employee_result (wave_id, question, group_id, suppression, lowest_score, counts)
        SELECT v_wave.wave_id, c.question, c.group_id,
               -- which of the hidden ones is the cause stays unsaid: from that, and from the sizes of those shown, would
               -- follow which is not small but of one opinion
               CASE WHEN s.suppression IN ('small', 'with others') THEN 'hidden' ELSE s.suppression END,
               CASE WHEN s.suppression = 'shown' THEN c.lo END,
               CASE WHEN s.suppression = 'shown' THEN c.counts END
        FROM counted AS c JOIN suppressed AS s ON s.place = c.place AND s.number = c.number
        RETURNING suppression
    )
    SELECT count(*) INTO v_shown FROM written AS w WHERE w.suppression = 'shown';

    DELETE FROM cx.employee_answer AS a WHERE a.wave_id = v_wave.wave_id;
    UPDATE cx.employee_wave AS w SET state = 'published' WHERE w.wave_id = v_wave.wave_id;
    RETURN v_shown;
END
$$;

COMMENT ON FUNCTION cxm.publish_employee_wave(text) IS
'Ends a wave: writes what its answers come to for everybody and each group to cx.employee_result, hides groups of fewer than min_group answers, or whose answers are all the same, and as many others as it takes that none can be told by subtraction, or by its size in another question (cxm.suppress_groups; which of the hidden ones is the cause is not kept), and deletes the answers and tickets. Returns the number of rows that are shown. It cannot be undone, and a wave is published once, so there are no two states to compare. Errors: P0002 no such wave, or it is published; 55000 another isolation level than read committed, which would not see all answers.';
