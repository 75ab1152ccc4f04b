-- Employees: tickets, answers, what is published, and an attacker who may ask anything of what readers see.
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT no_plan();

SELECT cxm.add_employee_group('north', name => 'The north') IS NOT NULL AS made;
SELECT cxm.add_employee_group('south') IS NOT NULL AS made;
SELECT cxm.add_employee_group('shop 1', 'north', location => 'one'), cxm.add_employee_group('shop 2', 'north', location => 'two'), cxm.add_employee_group('shop 3', 'north');
SELECT cxm.open_employee_wave('spring', '[{"question": "enps", "family": "nps", "text": "Would you recommend us?"}, {"question": "tools", "family": "rating", "text": "Are the tools good?"}]', '2026-03-01', '2026-03-31') IS NOT NULL AS made;

SELECT throws_ok($$SELECT cxm.add_employee_group('x', 'nowhere')$$, 'P0002', NULL, 'no such parent');
SELECT throws_ok($$SELECT cxm.add_employee_group('north')$$, '23505', NULL, 'a key is taken once');
SELECT throws_ok($$SELECT cxm.add_employee_group('')$$, '23514', NULL, 'and not empty');
SELECT throws_ok($$UPDATE cx.employee_group SET parent_id = group_id + 1$$, '23514', NULL, 'groups do not turn in circles');
SELECT throws_ok(format('SELECT cxm.open_employee_wave(%L, %L, %L, %L, %s)', w.key, w.questions, w.starts, w.ends, w.min_group), w.error, NULL, w.why)
FROM (VALUES ('a', '{}', '2026-01-01', '2026-01-02', 5, '22023', 'questions that are no array'),
             ('a', '[]', '2026-01-01', '2026-01-02', 5, '22023', 'no questions'),
             ('a', '[{"question": "enps", "family": "csat", "text": "?"}]', '2026-01-01', '2026-01-02', 5, '22023', 'a family that there is not'),
             ('a', '[{"question": "enps", "family": "nps"}]', '2026-01-01', '2026-01-02', 5, '22023', 'no text'),
             ('a', '[{"question": "enps", "family": "nps", "text": "?"}]', '2026-01-02', '2026-01-01', 5, '23514', 'days out of order'),
             ('a', '[{"question": "enps", "family": "nps", "text": "?"}]', '2026-01-01', 'infinity', 5, '23514', 'no last day'),
             ('a', '[{"question": "enps", "family": "nps", "text": "?"}]', '2026-01-01', '2026-01-02', 2, '23514', 'two people are no group'),
             ('spring', '[{"question": "enps", "family": "nps", "text": "?"}]', '2026-01-01', '2026-01-02', 5, '23505', 'a key that is taken')) AS w(key, questions, starts, ends, min_group, error, why);

-- one ticket, one set of answers
SELECT ticket FROM cxm.issue_employee_tickets('spring', 'south', 1) AS t(ticket) \gset
SELECT is((SELECT count(*) FROM cx.employee_ticket WHERE encode(token_hash, 'escape') LIKE '%' || :'ticket' || '%'), 0::bigint, 'the ticket itself is not kept');
SELECT throws_ok(format('SELECT cxm.answer_employee_survey(%L, %L)', :'ticket', a.answers), '22023', NULL, 'refused: ' || coalesce(a.answers, 'NULL'))
FROM (VALUES (NULL), ('[]'), ('{}'), ('{"enps": 11}'), ('{"enps": -1}'), ('{"enps": 5.5}'), ('{"enps": "5"}'), ('{"enps": null}'), ('{"tools": 0}'), ('{"tools": 6}'), ('{"enps": 1e400}'), ('{"salary": 1}')) AS a(answers);
SELECT lives_ok(format('SELECT cxm.answer_employee_survey(%L, %L)', :'ticket', '{"enps": 9, "tools": 4}'), 'after errors the ticket is as good as before');
SELECT throws_ok(format('SELECT cxm.answer_employee_survey(%L, %L)', :'ticket', '{"enps": 9}'), 'CX001', NULL, 'and used once');
SELECT throws_ok($$SELECT cxm.answer_employee_survey('nonsense', '{"enps": 9}')$$, 'CX001', NULL, 'no ticket');
SELECT throws_ok($$SELECT cxm.answer_employee_survey(NULL, '{"enps": 9}')$$, 'CX001', NULL, 'none at all');
SELECT throws_ok($$SELECT cxm.issue_employee_tickets('autumn', 'south', 1)$$, 'P0002', NULL, 'no such wave');
SELECT throws_ok($$SELECT cxm.issue_employee_tickets('spring', 'east', 1)$$, 'P0002', NULL, 'no such group');
SELECT throws_ok($$SELECT cxm.issue_employee_tickets('spring', 'south', 0)$$, '22023', NULL, 'no tickets');

-- nothing in an answer says who, when, or what else the same person said
SELECT bag_eq($$SELECT attname::text FROM pg_attribute WHERE attrelid = 'cx.employee_answer'::regclass AND attnum > 0$$, ARRAY['wave_id', 'group_id', 'question', 'score'], 'columns of an answer');
SELECT is((SELECT count(*) FROM cx.enps), 0::bigint, 'nothing is shown while the wave is open');

-- north: shop 1 has 12, shop 2 has 6, shop 3 has 2, and one is in no shop; south has 20
CREATE FUNCTION pg_temp.answer(employee_group text, n integer, first integer) RETURNS void LANGUAGE sql AS $$
    SELECT cxm.answer_employee_survey(t.ticket, jsonb_build_object('enps', (first + row_number() OVER ()) % 11)) FROM cxm.issue_employee_tickets('spring', employee_group, n) AS t(ticket)
$$;
SELECT pg_temp.answer('shop 1', 12, 3), pg_temp.answer('shop 2', 6, 0), pg_temp.answer('shop 3', 2, 0), pg_temp.answer('north', 1, 7), pg_temp.answer('south', 19, 5);
SELECT (cxm.record_feedback('nps', s, location => 'one', at => '2026-03-15 12:00+00')) IS NOT NULL FROM generate_series(8, 10) AS s;
SELECT cxm.record_feedback('nps', 0, location => 'one', at => '2026-04-01 12:00+00') IS NOT NULL AS later;
-- on other scales: neither detractors, nor a reason to show nothing
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max, location_id)
SELECT '2026-03-15 12:00+00', 'nps', a.score, a.lo, a.lo + 4, l.location_id FROM cx.location AS l, (VALUES (5, 1), (23, 20)) AS a(score, lo);
CREATE TEMPORARY TABLE truth AS SELECT * FROM cx.employee_answer;
SELECT count(*) FROM cxm.issue_employee_tickets('spring', 'south', 3) AS left_over;
SELECT is(cxm.publish_employee_wave('spring'), 8::bigint, 'four rows of the one question, and four of the other where nobody answered');

SELECT results_eq($$SELECT coalesce(employee_group COLLATE "default", 'all'), suppression, answers FROM cx.enps WHERE question = 'enps' ORDER BY 1$$,
    $$VALUES ('all', 'shown', 41::bigint), ('north', 'shown', 21), ('shop 1', 'shown', 12), ('shop 2', 'hidden', NULL), ('shop 3', 'hidden', NULL), ('south', 'shown', 19 + 1)$$,
    'a group of two is hidden, one of six with it, for three are too few to be left over') AS shown;
SELECT results_eq($$SELECT enps, mean FROM cx.enps WHERE question = 'enps' AND employee_group IS NULL$$,
    $$SELECT cxm.nps(score), avg(score)::float8 FROM truth WHERE question = 'enps'$$, 'everybody');
SELECT results_eq($$SELECT coalesce(employee_group COLLATE "default", 'all'), suppression, answers FROM cx.enps WHERE question = 'tools' AND suppression <> 'shown' ORDER BY 1$$,
    $$VALUES ('all', 'hidden', NULL::bigint), ('south', 'with parent', NULL)$$, 'a question that one person answered is not shown at all');
SELECT is((SELECT count(*) FROM cx.employee_answer) + (SELECT count(*) FROM cx.employee_ticket), 0::bigint, 'answers and tickets are gone');
SELECT is((SELECT count(*) FROM cx.employee_result WHERE suppression <> 'shown' AND counts IS NOT NULL), 0::bigint, 'what is hidden is nowhere');
SELECT throws_ok($$SELECT cxm.publish_employee_wave('spring')$$, 'P0002', NULL, 'published once');
SELECT throws_ok($$SELECT cxm.publish_employee_wave('never')$$, 'P0002', NULL, 'no such wave');
SELECT throws_ok($$SELECT cxm.issue_employee_tickets('spring', 'south', 1)$$, 'P0002', NULL, 'no tickets afterwards');
SELECT results_eq($$SELECT location COLLATE "default", suppression, employee_answers, customer_answers, nps FROM cx.experience_by_location ORDER BY 1$$,
    $$SELECT * FROM (VALUES ('one', 'shown', 12::bigint, 3::bigint, 200 / 3.0::float8), ('two', 'hidden', NULL, 0, NULL)) AS v$$,
    'beside what customers said in those days');

-- Everybody in a has the same opinion, b only keeps it company. Could a reader tell these apart, the 6 of c would
-- bound b, so a would have 9 people or more, and the one score that 9 of the remainder gave would be what each of them said.
SELECT cxm.add_employee_group('east') IS NOT NULL AS made;
SELECT cxm.add_employee_group('a', 'east'), cxm.add_employee_group('b', 'east'), cxm.add_employee_group('c', 'east');
SELECT cxm.open_employee_wave('alike', '[{"question": "enps", "family": "nps", "text": "?"}]', '2026-04-01', '2026-04-30') IS NOT NULL AS made;
SELECT count(cxm.answer_employee_survey(t.ticket, jsonb_build_object('enps', CASE g.key WHEN 'a' THEN 3 ELSE 4 + t.n END)))
FROM (VALUES ('a', 10), ('b', 5), ('c', 6)) AS g(key, people), LATERAL cxm.issue_employee_tickets('alike', g.key, g.people) WITH ORDINALITY AS t(ticket, n);
SELECT cxm.publish_employee_wave('alike') > 0 AS published;
SELECT results_eq($$SELECT (to_jsonb(e) - 'employee_group')::text FROM cx.enps AS e WHERE e.wave = 'alike' AND e.employee_group = 'a'$$,
    $$SELECT (to_jsonb(e) - 'employee_group')::text FROM cx.enps AS e WHERE e.wave = 'alike' AND e.employee_group = 'b' AND e.suppression = 'hidden'$$,
    'groups that are hidden together are alike to a reader');

-- Everybody in e says 10 to one question, d keeps it company. Another question, which all answered in many ways, would
-- tell that d has 7 people and e has 6: so neither is too small, and the one score that as many as e has gave is e's.
SELECT cxm.add_employee_group('west') IS NOT NULL AS made;
SELECT cxm.add_employee_group('d', 'west'), cxm.add_employee_group('e', 'west'), cxm.add_employee_group('f', 'west');
SELECT cxm.open_employee_wave('sizes', '[{"question": "enps", "family": "nps", "text": "?"}, {"question": "tools", "family": "rating", "text": "?"}, {"question": "rare", "family": "rating", "text": "?"}]', '2026-04-01', '2026-04-30') IS NOT NULL AS made;
SELECT count(cxm.answer_employee_survey(t.ticket, jsonb_build_object('enps', CASE g.key WHEN 'e' THEN 10 ELSE t.n % 10 END, 'tools', 1 + t.n % 5) || CASE WHEN g.key <> 'f' OR t.n <= 2 THEN jsonb_build_object('rare', 1 + t.n % 2) ELSE '{}' END))
FROM (VALUES ('d', 7), ('e', 6), ('f', 20)) AS g(key, people), LATERAL cxm.issue_employee_tickets('sizes', g.key, g.people) WITH ORDINALITY AS t(ticket, n);
SELECT cxm.publish_employee_wave('sizes') > 0 AS published;
SELECT results_eq($$SELECT question COLLATE "default", string_agg(employee_group, ' ' ORDER BY employee_group) COLLATE "default" FROM cx.enps WHERE wave = 'sizes' AND suppression = 'hidden' GROUP BY question ORDER BY 1$$,
    $$VALUES ('enps', 'd e'), ('rare', 'd e f'), ('tools', 'd e')$$,
    'what is hidden for what people say is hidden in all questions, what is hidden for few said it in that one alone');

-- the attacker: a reader, who adds up and subtracts anything that can be read, over random companies
CREATE ROLE cxm_test_curious;
SELECT cxm.grant_store('cxm_test_curious');
SET LOCAL ROLE cxm_test_curious;
SELECT throws_ok(q, '42501', NULL, 'a reader cannot: ' || q) FROM unnest(ARRAY['SELECT * FROM cx.employee_answer', 'SELECT * FROM cx.employee_ticket', 'SELECT count(*) FROM cx.employee_answer',
    'EXPLAIN SELECT FROM cx.employee_answer WHERE score = 3', 'CREATE TEMPORARY TABLE peek AS TABLE cx.employee_answer', 'EXPLAIN SELECT FROM cx.employee_ticket WHERE group_id = 3',
    'SELECT cxm.publish_employee_wave(''spring'')', 'DELETE FROM cx.employee_result', 'UPDATE cx.employee_wave SET state = ''open''']) AS q;
SELECT lives_ok('SELECT * FROM cx.enps', 'and reads what is published');
SELECT is_empty($$SELECT * FROM pg_stats WHERE tablename IN ('employee_answer', 'employee_ticket')$$, 'nor does the planner tell a reader what it knows of the answers');
RESET ROLE;

CREATE FUNCTION pg_temp.company(seed integer, min_group integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_wave text := 'w' || seed;
    v_keys text[] := '{}';
    v_key text;
    v_n integer;
BEGIN
    DELETE FROM cx.employee_result;
    DELETE FROM cx.employee_question;
    DELETE FROM cx.employee_wave;
    DELETE FROM cx.employee_group;
    FOR i IN 1 .. 5 LOOP
        v_key := 'g' || i;
        PERFORM cxm.add_employee_group(v_key, v_keys[abs(hashint4(seed * 101 + i)) % (i + 1)]);
        v_keys := v_keys || v_key;
    END LOOP;
    PERFORM cxm.open_employee_wave(v_wave, '[{"question": "enps", "family": "nps", "text": "?"}]', '2026-01-01', '2026-01-31', min_group);
    TRUNCATE truth;
    FOR i IN 1 .. 5 LOOP
        v_n := abs(hashint4(seed * 977 + i)) % 14;
        -- in every other group or so, all say the same; in others, two different things
        PERFORM cxm.answer_employee_survey(t.ticket, jsonb_build_object('enps', (abs(hashint4(seed)) + t.n % (1 + abs(hashint4(seed * 71 + i)) % 2)) % 11))
        FROM cxm.issue_employee_tickets(v_wave, v_keys[i], greatest(v_n, 1)) WITH ORDINALITY AS t(ticket, n) WHERE v_n > 0;
    END LOOP;
    INSERT INTO truth SELECT * FROM cx.employee_answer;
    PERFORM cxm.publish_employee_wave(v_wave);
    RETURN v_wave;
END $$;
-- every sum of shown groups with factors -1, 0, 1 that is a set of people: how many are the fewest that something is told of?
-- People who all say the same are told as one is.
CREATE FUNCTION pg_temp.fewest_told() RETURNS bigint LANGUAGE sql AS $$
    WITH RECURSIVE inside AS (
        SELECT g.group_id AS outer_id, g.group_id FROM cx.employee_group AS g
        UNION ALL
        SELECT i.outer_id, g.group_id FROM inside AS i JOIN cx.employee_group AS g ON g.parent_id = i.group_id
    ), atom AS (
        SELECT g.group_id, row_number() OVER (ORDER BY g.group_id) AS place, (SELECT count(*) FROM truth AS t WHERE t.group_id = g.group_id) AS people FROM cx.employee_group AS g
    ), shown AS (
        SELECT row_number() OVER (ORDER BY r.group_id NULLS FIRST) AS n,
               ARRAY(SELECT CASE WHEN r.group_id IS NULL OR EXISTS (SELECT FROM inside AS i WHERE i.outer_id = r.group_id AND i.group_id = a.group_id) THEN 1 ELSE 0 END FROM atom AS a ORDER BY a.place) AS members
        FROM cx.employee_result AS r WHERE r.suppression = 'shown'
    ), sums AS (
        SELECT 0::bigint AS n, array_fill(0, ARRAY[5]) AS members
        UNION
        SELECT s.n, ARRAY(SELECT c.so_far + f.factor * c.more FROM unnest(x.members, s.members) WITH ORDINALITY AS c(so_far, more, place) ORDER BY c.place)
        FROM sums AS x JOIN shown AS s ON s.n = x.n + 1 CROSS JOIN (VALUES (-1), (0), (1)) AS f(factor)
    ), told AS (
        SELECT t.people
        FROM sums AS s
        CROSS JOIN LATERAL (SELECT CASE count(DISTINCT t.score) WHEN 1 THEN 1 ELSE count(*) END AS people
                            FROM atom AS a JOIN truth AS t ON t.group_id = a.group_id WHERE s.members[a.place] = 1) AS t
        WHERE NOT EXISTS (SELECT FROM atom AS a WHERE a.people > 0 AND s.members[a.place] NOT IN (0, 1))
    )
    SELECT coalesce(min(t.people), 0)::bigint FROM told AS t WHERE t.people > 0
$$;
CREATE TEMPORARY TABLE attack AS
SELECT 0 AS seed, 0 AS min_group, ''::text AS wave, 0::bigint AS fewest LIMIT 0;
DO $$
BEGIN
    FOR s IN 1 .. 10 LOOP
        INSERT INTO attack VALUES (s, 3 + s % 6, pg_temp.company(s, 3 + s % 6), NULL);
        UPDATE attack SET fewest = pg_temp.fewest_told() WHERE seed = s;
    END LOOP;
END $$;
SELECT is_empty('SELECT seed, min_group, fewest FROM attack WHERE fewest > 0 AND fewest < min_group', 'whatever is added up and subtracted, it is about enough people, of more than one opinion');
SELECT ok((SELECT count(*) FROM attack WHERE fewest > 0) > 5, 'and most companies show something');

-- a company with thousands of teams
SELECT count(cxm.add_employee_group('region ' || i)) FROM generate_series(1, 10) AS i;
SELECT count(cxm.add_employee_group('team ' || i, 'region ' || 1 + i % 10)) FROM generate_series(1, 3000) AS i;
SELECT cxm.open_employee_wave('large', '[{"question": "enps", "family": "nps", "text": "?"}]', '2026-05-01', '2026-05-31') > 0 AS opened;
INSERT INTO cx.employee_answer (wave_id, group_id, question, score)
SELECT w.wave_id, g.group_id, 'enps', (n * 7 + g.group_id) % 11 FROM cx.employee_wave AS w, cx.employee_group AS g, generate_series(1, 6) AS n WHERE w.key = 'large' AND g.key LIKE 'team %';
SELECT is(cxm.publish_employee_wave('large'), (SELECT count(*) + 1 FROM cx.employee_group), 'all of them have six answers, and are shown');
SELECT is((SELECT sum(answers) FROM cx.enps WHERE wave = 'large' AND employee_group LIKE 'region %'), 18000::numeric, 'with all answers in their regions');

SELECT * FROM finish();
ROLLBACK;
