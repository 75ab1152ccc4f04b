-- cxm.funnel, cxm.funnel_times, cxm.funnel_agg: published answers, arguments, errors, and all modes against an oracle that
-- tries every chain.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';

CREATE SCHEMA funnel_test;
SET search_path = funnel_test;

-- second n of a day
CREATE FUNCTION at(n numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT timestamptz '2026-03-01 00:00Z' + n * interval '1 second' $$;

-- the journey of a word: a letter an event, a second apart; a letter's code is its place in the alphabet
CREATE FUNCTION word(w text) RETURNS cxm.journey LANGUAGE sql IMMUTABLE AS $$
SELECT cxm.journey_agg(at(n), ascii(c) - 96) FROM string_to_table(w, NULL) WITH ORDINALITY AS s (c, n) $$;
CREATE FUNCTION codes(w text) RETURNS integer[] LANGUAGE sql IMMUTABLE AS $$
SELECT array_agg(ascii(c) - 96 ORDER BY n) FROM string_to_table(w, NULL) WITH ORDINALITY AS s (c, n) $$;

-- the same by funnel_agg, over rows of conditions, in another order
CREATE FUNCTION by_rows(journey cxm.journey, steps jsonb, within interval, mode text) RETURNS integer LANGUAGE sql STABLE AS $$
SELECT cxm.funnel_agg(e.at, ARRAY(SELECT CASE jsonb_typeof(s) WHEN 'array' THEN s @> to_jsonb(e.code) ELSE s = to_jsonb(e.code) END
                                   FROM jsonb_array_elements(steps) WITH ORDINALITY AS j (s, n) ORDER BY n), within, mode ORDER BY hashint4(e.code), e.at DESC)
FROM (SELECT split_part(x, ' ', 1)::timestamptz AS at, split_part(x, ' ', 2)::integer AS code FROM unnest(string_to_array(btrim(journey::text, '{}'), ',')) AS x) AS e $$;

---- Published answers: ClickHouse 00632 and the threads about it

CREATE FUNCTION published(steps text, mode text, VARIADIC words text[]) RETURNS text LANGUAGE sql STABLE AS $$
SELECT string_agg(w || ' ' || cxm.funnel(word(w), codes(steps), '1 day', mode) ||
                  CASE WHEN cxm.funnel(word(w), codes(steps), '1 day', mode) <> cxm.funnel(word(w), to_jsonb(codes(steps)), '1 day', mode)
                         OR cxm.funnel(word(w), codes(steps), '1 day', mode) <> by_rows(word(w), to_jsonb(codes(steps)), '1 day', mode)
                         OR cxm.funnel(word(w), codes(steps), '1 day', mode) <> cardinality(cxm.funnel_times(word(w), codes(steps), '1 day', mode)) THEN ' differs' ELSE '' END,
                  ', ' ORDER BY n)
FROM unnest(words) WITH ORDINALITY AS u (w, n) $$;

SELECT steps, mode, published(steps, mode, VARIADIC words)
FROM (VALUES (1, 'abc', 'default', ARRAY['abc', 'adbc', 'aabbcc', 'aaaabbcc', 'aabbdcc', 'ccbbaa']),
             (2, 'abc', 'strict_order', ARRAY['abc', 'adbc', 'aabbcc', 'aaaabbcc', 'aabbdcc', 'ccbbaa', 'acb']),
             (3, 'abc', 'strict_deduplication, strict_order', ARRAY['abc', 'adbc', 'aabbcc', 'aaaabbcc', 'aabbdcc', 'ccbbaa']),
             (4, 'abcd', 'strict_deduplication', ARRAY['abcbd']),
             (5, 'abc', 'strict_order', ARRAY['abac', 'ababc', 'abcbd', 'acb', 'abcabcd']),
             (6, 'abc', 'strict_order, allow_reentry', ARRAY['abac', 'ababc', 'abcbd', 'acb', 'abcabcd']),
             (7, 'abcd', 'strict_order', ARRAY['abac', 'ababc', 'abcbd', 'acb', 'abcabcd']),
             (8, 'abcd', 'strict_order, allow_reentry', ARRAY['abac', 'ababc', 'abcbd', 'acb', 'abcabcd']),
             -- install, start, login, end
             (9, 'isle', 'strict_deduplication', ARRAY['isli', 'islisisle']),
             (10, 'isle', 'strict_deduplication, strict_once', ARRAY['islisisle']),
             -- checkout, view, payment, and one that goes back to the checkout; ClickHouse's own tests have 1 for the last, too
             (11, 'cvp', 'strict_order', ARRAY['cvcp', 'cvvcp', 'cvp']),
             (12, 'cvp', 'strict_order, allow_reentry', ARRAY['cvcp', 'cvvcp', 'cvp']),
             (13, 'cvcp', 'strict_order', ARRAY['cvcp', 'cvvcp', 'cvp']),
             (14, 'eee', 'default', ARRAY['abcde']),
             (15, 'eee', 'strict_once', ARRAY['abcde']),
             (16, 'eee', 'strict_increase', ARRAY['abcde'])) AS v (n, steps, mode, words)
ORDER BY n;

-- windows of 0 to 4 over 1000 ... 1008, a second apart
SELECT w, cxm.funnel(j, ARRAY[1003, 1004, 1005, 1006, 1007], make_interval(secs => w))
FROM (SELECT cxm.journey_agg(at(n), 1000 + n) AS j FROM generate_series(0, 8) AS n) AS s, generate_series(0, 4) AS w ORDER BY w;
SELECT cxm.funnel(j, ARRAY[1000], '3 hours') AS one, cxm.funnel(j, ARRAY[1000, 1001], '3 hours') AS two, cxm.funnel(j, ARRAY[1000, 1001, 1002, 1008], '3 hours') AS four,
       cxm.funnel(j, ARRAY[1001, 1008], '3 hours') AS ends, cxm.funnel(j, ARRAY[1008, 1001], '3 hours') AS back
FROM (SELECT cxm.journey_agg(at(n), 1000 + n) AS j FROM generate_series(0, 8) AS n) AS s;
-- conditions that overlap: <= 1007, >= 1002, <= 1006, >= 1004
SELECT cxm.funnel_agg(at(n), ARRAY[n <= 7, n >= 2, n <= 6, n >= 4], '4 seconds') FROM generate_series(1, 8) AS n;
-- 1005 comes twice
SELECT cxm.funnel(j, ARRAY[1000, 1001, 1002, 1003, 1004, 1005, 1006], '3 hours') AS plain,
       cxm.funnel(j, ARRAY[1000, 1001, 1002, 1003, 1004, 1005, 1006], '3 hours', 'strict_deduplication') AS deduplicated
FROM (SELECT cxm.journey_agg(at(t), c) AS j FROM unnest(ARRAY[0,10,20,30,40,50,51,60,70,80], ARRAY[1000,1001,1002,1003,1004,1005,1005,1006,1007,1008]) AS u (t, c)) AS s;
-- equal times
SELECT cxm.funnel(j, ARRAY[1,2,3,4,5], '3 hours') AS plain, cxm.funnel(j, ARRAY[1,2,3,4,5], '3 hours', 'strict_increase') AS increasing, cxm.funnel(j, ARRAY[5,5,5], '3 hours') AS same,
       cxm.funnel(j, ARRAY[5,5,5], '3 hours', 'strict_once') AS once, cxm.funnel(j, ARRAY[5,5,5], '3 hours', 'strict_increase') AS same_increasing
FROM (SELECT cxm.journey_agg(at(t), c) AS j FROM unnest(ARRAY[0,1,1,1,2], ARRAY[1,2,3,4,5]) AS u (t, c)) AS s;
-- failure, failure, success
SELECT u, m, cxm.funnel(cxm.journey_agg(at(t), c), ARRAY[1,1,2], '200 seconds', m)
FROM (VALUES (123,180,1), (123,220,1), (123,250,2), (234,100,1), (234,250,1), (345,200,2), (345,210,1), (345,230,2)) AS v (u, t, c),
     unnest(ARRAY['strict_once, strict_increase', 'strict_once', 'strict_once, strict_deduplication']) AS m GROUP BY u, m ORDER BY m, u;
-- out of order, out of the window, at one time
SELECT cxm.funnel('{2026-03-01T00:01:40Z 1,2026-03-01T00:01:39Z 2}', ARRAY[1,2], '50 seconds') AS back,
       cxm.funnel('{2026-03-01T00:03:20Z 1,2026-03-01T00:03:30Z 1,2026-03-01T00:03:50Z 2,2026-03-01T00:04:00Z 2}', ARRAY[1,2], '50 seconds') AS twice,
       cxm.funnel('{2026-03-01T00:01:40Z 1,2026-03-01T00:01:40Z 2}', ARRAY[1,2], '50 seconds') AS tie,
       cxm.funnel('{2026-03-01T00:01:40Z 1,2026-03-01T00:01:40Z 2}', ARRAY[2,1], '50 seconds') AS tie_back,
       cxm.funnel('{2026-03-01T00:01:40Z 1,2026-03-01T00:01:40Z 2}', ARRAY[1,2], '50 seconds', 'strict_increase') AS tie_increasing;
-- the window of steps that are alike: 100 and 200 are 100 apart
SELECT cxm.funnel('{2026-03-01T00:01:40Z 1}', ARRAY[1,1], '50 seconds') AS default_is_one_event_twice, cxm.funnel('{2026-03-01T00:01:40Z 1,2026-03-01T00:03:20Z 1}', ARRAY[1,1], '50 seconds', 'strict_once') AS apart;
-- #93789: an earlier chain that ends before the tie
SELECT cxm.funnel(j, ARRAY[1,2], '1 hour', 'strict_increase'), cxm.funnel_times(j, ARRAY[1,2], '1 hour', 'strict_increase')
FROM (SELECT cxm.journey_agg(at(t), c) AS j FROM unnest(ARRAY[0,1,1], ARRAY[1,1,2]) AS u (t, c)) AS s;
SELECT cxm.funnel(j, ARRAY[1,2,3], '10 seconds', 'strict_increase') AS doris_68093 FROM (SELECT cxm.journey_agg(at(t), c) AS j FROM unnest(ARRAY[0,1,2,2], ARRAY[1,2,2,3]) AS u (t, c)) AS s;
-- the example of ClickHouse's page
SELECT cxm.funnel('{2019-01-29T10:00:00Z 1003,2019-01-30T08:00:00Z 1009,2019-01-31T09:00:00Z 1007,2019-02-01T08:00:00Z 1010}', ARRAY[1003, 1009, 1007, 1010], '10 days');
-- conditions that are NULL are false
SELECT u, cxm.funnel_agg(at(t), ARRAY[a = 'a1', a = 'a2'], '1 day') AS a, cxm.funnel_agg(at(t), ARRAY[a = 'a1', b = 'b2'], '1 day') AS ab,
       cxm.funnel_agg(at(t), ARRAY[a IS NULL AND b IS NULL], '1 day') AS nulls, cxm.funnel_agg(at(t), ARRAY[a IS NULL, b = 'b3'], '1 day') AS b3, cxm.funnel_agg(at(t), ARRAY[a IS NULL, b = 'b3'], '1 day', 'strict_order') AS b3_strict
FROM (VALUES (1,1,'a1','b1'), (1,2,'a2','b2'), (2,1,'a1',NULL), (2,2,'a2',NULL), (3,1,NULL,NULL), (4,1,NULL,'b1'), (4,2,'a2',NULL), (4,3,NULL,'b3')) AS v (u, t, a, b) GROUP BY u ORDER BY u;

---- Strict and any order, exclusions

SELECT steps, mode, published(steps, mode, VARIADIC words)
FROM (VALUES (1, 'abc', 'strict', ARRAY['abc', 'adbc', 'aabc', 'abac', 'abdabc', 'cab', 'xabc']),
             (2, 'aa', 'strict', ARRAY['a', 'aa', 'aba']),
             (3, 'abc', 'any_order', ARRAY['cba', 'bxa', 'aab', 'ddd', '']),
             (4, 'aab', 'any_order', ARRAY['ab', 'aba', 'baa']),
             (5, 'aab', 'strict_once', ARRAY['ab', 'aab', 'aba'])) AS v (n, steps, mode, words)
ORDER BY n;
SELECT e, f, t, cxm.funnel(word(w), codes('abc'), '1 day', m, x, 'remove') AS removed, cxm.funnel(word(w), codes('abc'), '1 day', m, x, 'cut') AS cut,
       cxm.funnel_times(word(w), codes('abc'), '1 day', m, x, 'cut') AS cut_times, w, m
FROM (VALUES (1, 'abc', 1, 3, 'default'), (2, 'axbc', 1, 3, 'default'), (3, 'axbc', 2, 3, 'default'), (4, 'abxc', 1, 2, 'default'), (5, 'abxbc', 2, 3, 'default'), (6, 'axabc', 1, 3, 'default'),
             (7, 'ax', 1, 2, 'default'), (8, 'xabcx', 1, 3, 'default'), (9, 'cxab', 1, 3, 'any_order'), (10, 'bcax', 1, 3, 'any_order'), (11, 'abx', 1, 3, 'strict_once')) AS v (e, w, f, t, m),
     LATERAL (SELECT jsonb_build_array(jsonb_build_object('codes', 24, 'from', f, 'to', t)) AS x) AS l ORDER BY e;
-- from and to are the whole funnel when left out; several codes; several exclusions
SELECT cxm.funnel(word('abxc'), codes('abc'), '1 day', 'default', '[{"codes": [24, 25]}]') AS removed, cxm.funnel(word('abxc'), codes('abc'), '1 day', 'default', '[{"codes": []}]') AS nothing,
       cxm.funnel(word('aybxc'), codes('abc'), '1 day', 'default', '[{"codes": 24, "from": 2}, {"codes": [25], "from": 1, "to": 2}]', 'cut') AS cut;

---- Sets of codes, many steps, codes of all sizes, long journeys

SELECT cxm.funnel(word('axbyc'), '[1, [2, 25], 3]'::jsonb, '1 day'), cxm.funnel(word('axyc'), '[1, [2, 25], 3]'::jsonb, '1 day'), cxm.funnel(word('axc'), '[1, [2, 25], 3]'::jsonb, '1 day'),
       cxm.funnel(word('abc'), '[1, [], 3]'::jsonb, '1 day') AS never, cxm.funnel(word('abc'), '[[1, 1, 2], [2, 3], [3, 3]]'::jsonb, '1 day', 'strict_once') AS overlap;
SELECT cxm.funnel(j, s, '1 day'), cxm.funnel(j, s, '1 day', 'strict'), cxm.funnel(j, s, '98 seconds'), cxm.funnel(j, s, '1 day', 'any_order'), by_rows(j, to_jsonb(s), '1 day', 'strict_once')
FROM (SELECT cxm.journey_agg(at(n), n * 7919) AS j, array_agg(n * 7919 ORDER BY n) AS s FROM generate_series(1, 100) AS n) AS x;
SELECT cxm.funnel(j, ARRAY[-2147483648, 2147483647, 0, 255, 256, 65536], '1 day') FROM (SELECT cxm.journey_agg(at(n), c) AS j FROM unnest(ARRAY[-2147483648, 2147483647, 0, 255, 256, 65536]) WITH ORDINALITY AS u (c, n)) AS s;
SELECT cxm.funnel(j, ARRAY[1, 2, 3], '1 day'), cxm.funnel(j, ARRAY[1, 2, 3], '1 day', 'strict_order'), cardinality(cxm.funnel_times(j, ARRAY[2, 1, 0], '3 seconds'))
FROM (SELECT cxm.journey_agg(at(n), n % 100) AS j FROM generate_series(1, 200000) AS n) AS s;
-- years apart, a window longer than any
SELECT cxm.funnel('{-4712-01-01T00:00:00Z 1,280000-01-01T00:00:00.000001Z 2}', ARRAY[1, 2], '104000000 days'), cxm.funnel('{-4712-01-01T00:00:00Z 1,280000-01-01T00:00:00.000001Z 2}', ARRAY[1, 2], '1 day'),
       cxm.funnel_times('{-4712-01-01T00:00:00Z 1,280000-01-01T00:00:00.000001Z 2}', ARRAY[1, 2], '106751990 days');

---- NULL, nothing, errors

SELECT cxm.funnel(NULL, ARRAY[1], '1 day'), cxm.funnel('{}', NULL::integer[], '1 day'), cxm.funnel('{}', ARRAY[1], NULL), cxm.funnel('{}', ARRAY[1], '1 day', NULL), cxm.funnel('{}', ARRAY[1], '1 day'),
       cxm.funnel_times('{}', ARRAY[1], '1 day'), cxm.funnel_times('{}', ARRAY[1], '1 day', 'any_order'), cxm.funnel_times('{}', NULL::jsonb, '1 day');
SELECT cxm.funnel_agg(at(1), ARRAY[true], '1 day') FROM generate_series(1, 0);
SELECT cxm.funnel_agg(NULL, ARRAY[true], '1 day'), cxm.funnel_agg(at(1), NULL, '1 day');
SELECT cxm.funnel('{}', '{}'::integer[], '1 day');
SELECT cxm.funnel('{}', '[]'::jsonb, '1 day');
SELECT cxm.funnel('{}', ARRAY[[1, 2], [3, 4]], '1 day');
SELECT cxm.funnel('{}', ARRAY[1, NULL], '1 day');
SELECT cxm.funnel('{}', '{"a": 1}'::jsonb, '1 day');
SELECT cxm.funnel('{}', '1'::jsonb, '1 day');
SELECT cxm.funnel('{}', '[1, "a"]'::jsonb, '1 day');
SELECT cxm.funnel('{}', '[1, 1.5]'::jsonb, '1 day');
SELECT cxm.funnel('{}', '[1, 99999999999]'::jsonb, '1 day');
SELECT cxm.funnel('{}', '[1, [[2]]]'::jsonb, '1 day');
SELECT cxm.funnel('{}', '[1, {"a": 2}]'::jsonb, '1 day');
SELECT cxm.funnel('{}', '[1, null]'::jsonb, '1 day');
SELECT cxm.funnel('{}', ARRAY[1], '1 month');
SELECT cxm.funnel('{}', ARRAY[1], '-1 second');
SELECT cxm.funnel('{}', ARRAY[1], '2000000000 days');
SELECT cxm.funnel('{}', ARRAY[1], '1 day', 'strictly');
SELECT cxm.funnel('{}', ARRAY[1], '1 day', '');
SELECT cxm.funnel('{}', ARRAY[1], '1 day', 'allow_reentry');
SELECT cxm.funnel('{}', ARRAY[1], '1 day', 'strict, strict_once');
SELECT cxm.funnel('{}', ARRAY[1], '1 day', 'strict_once, any_order');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'default', '{}');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'default', '[1]');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'default', '[{}]');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'default', '[{"codes": {}}]');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'default', '[{"codes": 1, "from": 2}]');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'default', '[{"codes": 1, "from": 0}]');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'default', '[{"codes": 1, "to": 3}]');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'default', '[{"codes": 1, "til": 2}]');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'default', '[{"codes": 1, "from": {}}]');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'strict', '[{"codes": 1}]');
SELECT cxm.funnel('{}', ARRAY[1, 2, 3], '1 day', 'any_order', '[{"codes": 1, "from": 2}]');
SELECT cxm.funnel('{}', ARRAY[1, 2], '1 day', 'default', '[]', 'drop');
SELECT cxm.funnel_agg(at(n), CASE n WHEN 1 THEN ARRAY[true, false] ELSE ARRAY[true] END, '1 day') FROM generate_series(1, 2) AS n;
SELECT cxm.funnel_agg(at(n), ARRAY[]::boolean[], '1 day') FROM generate_series(1, 2) AS n;
SELECT cxm.funnel_agg(at(n), ARRAY[[true], [false]], '1 day') FROM generate_series(1, 2) AS n;
SELECT cxm.funnel_agg(at(n), ARRAY[true], make_interval(days => n)) FROM generate_series(1, 2) AS n;
SELECT cxm.funnel_agg(at(n), ARRAY[true], '1 day', CASE n WHEN 1 THEN 'strict' ELSE 'default' END) FROM generate_series(1, 2) AS n;
SELECT cxm.funnel_agg(at(n), ARRAY[true], NULL) FROM generate_series(1, 2) AS n;
SELECT cxm.funnel_agg(at(n), ARRAY[true], '1 day', NULL) FROM generate_series(1, 2) AS n;
SELECT cxm.funnel_agg('infinity', ARRAY[true], '1 day');
-- states that nobody made
SELECT cxm.funnel_rows_level('\x00');
SELECT cxm.funnel_rows_level(decode(repeat('00', 24), 'hex'));
SELECT cxm.funnel_rows_level(decode('01000000' || '00000000' || '0000000000000000' || '01000000' || 'ffffffff', 'hex'));
SELECT cxm.funnel_add_row('\x0100000000', at(1), ARRAY[true], '1 day');
SELECT cxm.funnel_combine_rows('\x', '\x') = '\x' AS empty, cxm.funnel_rows_level('') AS nothing;

---- Arguments that change from row to row, also in PL/pgSQL, where the plan of an expression lives on

SELECT s, w, m, cxm.funnel(word('abbac'), s, w, m) FROM (VALUES (ARRAY[1,2], interval '1 day', 'default'), (ARRAY[1,2,3], '1 day', 'default'), (ARRAY[1,2,3], '1 second', 'default'), (ARRAY[1,2,3], '1 day', 'strict_deduplication')) AS v (s, w, m);
DO $$
DECLARE
    s integer[];
    answers integer[] := '{}';
    n integer;
BEGIN
    FOREACH s SLICE 1 IN ARRAY ARRAY[[1,2,3],[3,2,1],[2,2,3]] LOOP
        n := cxm.funnel(funnel_test.word('abbac'), s, '1 day');
        answers := answers || n;
    END LOOP;
    IF answers <> ARRAY[3,1,3] THEN
        RAISE EXCEPTION 'answers are %', answers;
    END IF;
END $$;

---- Every mode against every chain there is

-- the longest chain of entries (time, step, event), by trying
CREATE FUNCTION longest(t integer[], s integer[], e integer[], within integer, increases boolean, once boolean) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
WITH RECURSIVE entry (t, s, e) AS MATERIALIZED (SELECT * FROM unnest(t, s, e)),
chain (level, first, last, used) AS (
    SELECT 1, t, t, ARRAY[e] FROM entry WHERE s = 1
    UNION
    SELECT level + 1, first, x.t, CASE WHEN once THEN used || x.e ELSE used END
    FROM chain JOIN entry AS x ON x.s = level + 1 AND x.t >= last AND x.t - first <= within AND (x.t > last OR NOT increases) AND (NOT once OR x.e <> ALL (used)))
SELECT coalesce(max(level), 0) FROM chain $$;

-- entries are read in the order of time and step until one interrupts; step 0 is an event that fulfils none
CREATE FUNCTION oracle(times integer[], codes integer[], steps jsonb, within integer, mode text) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    dedup boolean := mode LIKE '%dedup%';
    strict_order boolean := mode LIKE '%order%';
    t integer[] := '{}';
    s integer[] := '{}';
    e integer[] := '{}';
    entered boolean := false;
    level integer := 0;
    r record;
BEGIN
    FOR r IN SELECT u.t, coalesce(f.s, 0) AS s, array_agg(u.e) AS es, array_agg(u.t) AS ts, array_agg(coalesce(f.s, 0)::integer) AS ss, count(*) AS n
             FROM unnest(times, codes) WITH ORDINALITY AS u (t, c, e)
             LEFT JOIN LATERAL (SELECT j.n AS s FROM jsonb_array_elements(steps) WITH ORDINALITY AS j (v, n) WHERE j.v @> to_jsonb(u.c)) AS f ON true
             GROUP BY 1, 2 ORDER BY 1, 2 LOOP
        IF r.s = 0 THEN
            EXIT WHEN strict_order AND entered;
            CONTINUE;
        END IF;
        EXIT WHEN r.s = 1 AND strict_order AND mode NOT LIKE '%reentry%' AND level >= 2;
        EXIT WHEN r.s > 1 AND dedup AND level >= r.s;
        EXIT WHEN r.s > 1 AND strict_order AND entered AND level < r.s - 1;
        entered := entered OR r.s = 1;
        t := t || r.ts;
        s := s || r.ss;
        e := e || r.es::integer[];
        level := longest(t, s, e, within, mode LIKE '%increase%', mode LIKE '%once%');
        EXIT WHEN r.s > 1 AND dedup AND r.n > 1 AND level >= r.s;
    END LOOP;
    RETURN level;
END $$;

-- a number from 0 to below n that is the same each time
CREATE FUNCTION draw(n integer, VARIADIC salt integer[]) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT ((hash_array_extended(salt, 1) & 2147483647) % n)::integer $$;

CREATE TABLE trial AS
SELECT i, mode, steps, within, times, codes, (SELECT cxm.journey_agg(at(t), c) FROM unnest(times, codes) AS u (t, c)) AS journey
FROM generate_series(1, 120) AS i,
     unnest(ARRAY['default', 'strict_increase', 'strict_once', 'strict_deduplication', 'strict_order', 'strict_order, allow_reentry', 'strict_once, strict_increase',
                  'strict_deduplication, strict_order', 'strict_deduplication, strict_increase', 'strict_deduplication, strict_once', 'strict_order, strict_increase', 'strict_order, strict_once',
                  'strict_order, allow_reentry, strict_deduplication', 'strict_order, allow_reentry, strict_once', 'strict_order, allow_reentry, strict_increase',
                  'strict_deduplication, strict_order, strict_increase', 'strict_deduplication, strict_order, strict_once',
                  'strict_order, allow_reentry, strict_deduplication, strict_increase', 'strict_order, allow_reentry, strict_deduplication, strict_once']) WITH ORDINALITY AS m (mode, k)
CROSS JOIN LATERAL (SELECT (k * 1000 + i)::integer AS z) AS z
CROSS JOIN LATERAL (SELECT draw(8, z, 1) AS within,
    (SELECT jsonb_agg(CASE WHEN i % 2 = 0 OR draw(3, z, 2, n) > 0 THEN to_jsonb(CASE WHEN i % 2 = 0 THEN n ELSE 1 + draw(4, z, 3, n) END) ELSE jsonb_build_array(1 + draw(4, z, 3, n), 1 + draw(4, z, 4, n)) END ORDER BY n)
     FROM generate_series(1, 2 + draw(3, z, 5)) AS n) AS steps,
    (SELECT array_agg(draw(7, z, 6, n) ORDER BY n) FROM generate_series(1, 3 + draw(5, z, 7)) AS n) AS times,
    (SELECT array_agg(1 + draw(5, z, 8, n) ORDER BY n) FROM generate_series(1, 3 + draw(5, z, 7)) AS n) AS codes) AS l;

SELECT mode, count(*) AS trials, count(DISTINCT level) > 2 AS differ, count(*) FILTER (WHERE level <> wanted) AS wrong, count(*) FILTER (WHERE level <> by_rows) AS rows_wrong, count(*) FILTER (WHERE level <> ntimes) AS times_wrong,
       count(*) FILTER (WHERE first_code IS FALSE) AS first_wrong
FROM (SELECT *, cxm.funnel(journey, steps, make_interval(secs => within), mode) AS level, oracle(times, codes, steps, within, mode) AS wanted,
             by_rows(journey, steps, make_interval(secs => within), mode) AS by_rows, cardinality(tt) AS ntimes,
             -- each time is one at which the step is fulfilled, in order and within the window
             (SELECT bool_and(EXISTS (SELECT FROM unnest(times, codes) AS u (t, c) WHERE at(u.t) = x.t AND steps -> (x.n - 1)::integer @> to_jsonb(u.c)) AND x.t >= tt[greatest(x.n - 1, 1)] AND x.t <= tt[1] + make_interval(secs => within))
              FROM unnest(tt) WITH ORDINALITY AS x (t, n)) AS first_code
      FROM trial, LATERAL (SELECT cxm.funnel_times(journey, steps, make_interval(secs => within), mode) AS tt) AS l) AS s
GROUP BY mode ORDER BY mode COLLATE "C";

-- strict where no two events are at one time: a run of events next to one another
SELECT count(*) AS trials, count(*) FILTER (WHERE level <> wanted) AS wrong
FROM (SELECT cxm.funnel(j, steps, make_interval(secs => within), 'strict') AS level,
             (SELECT coalesce(max(l), 0) FROM generate_series(1, cardinality(codes)) AS b, generate_series(1, jsonb_array_length(steps)) AS l
              WHERE b + l - 1 <= cardinality(codes) AND l - 1 <= within AND (SELECT bool_and(steps -> k @> to_jsonb(codes[b + k])) FROM generate_series(0, l - 1) AS k)) AS wanted
      FROM trial, LATERAL (SELECT cxm.journey_agg(at(n), c) AS j FROM unnest(codes) WITH ORDINALITY AS u (c, n)) AS l) AS s;
-- any order where each step has a code of its own: how many of them are in one window
SELECT count(*) AS trials, count(*) FILTER (WHERE level <> wanted) AS wrong
FROM (SELECT cxm.funnel(journey, ARRAY[3, 1, 2], make_interval(secs => within), 'any_order') AS level,
             (SELECT coalesce(max(n), 0) FROM (SELECT count(DISTINCT u.c) AS n FROM unnest(times, codes) AS s (t, c), unnest(times, codes) AS u (t, c) WHERE u.t BETWEEN s.t AND s.t + within AND u.c <= 3 AND s.c <= 3 GROUP BY s.t) AS q) AS wanted
      FROM trial) AS s;

---- Rows in any order, split and combined in any order

CREATE TABLE event AS SELECT c::integer, at(draw(5000, c, e, 1)) AS at, 1 + draw(6, c, e, 2) AS code FROM generate_series(1, 200) AS c, generate_series(1, 60) AS e;
CREATE AGGREGATE state_agg(at timestamptz, conditions boolean[], within interval, mode text) (SFUNC = cxm.funnel_add_row, STYPE = bytea, INITCOND = '');
CREATE AGGREGATE combine_agg(state bytea) (SFUNC = cxm.funnel_combine_rows, STYPE = bytea, INITCOND = '');
SELECT mode, count(*) AS groups, count(*) FILTER (WHERE combined <> whole OR back <> whole) AS differ
FROM (SELECT mode, c, cxm.funnel_rows_level(combine_agg(state ORDER BY p)) AS combined, cxm.funnel_rows_level(combine_agg(state ORDER BY p DESC)) AS back
      FROM (SELECT mode, c, draw(4, c, code) AS p, state_agg(at, ARRAY[code = 1, code IN (2, 3), code = 3, code = 4], '15 minutes', mode ORDER BY at DESC) AS state
            FROM event, unnest(ARRAY['default', 'strict_once', 'strict_order', 'strict', 'any_order']) AS mode GROUP BY 1, 2, 3) AS s GROUP BY 1, 2) AS s
JOIN (SELECT mode, c, cxm.funnel(journey, '[1, [2, 3], 3, 4]'::jsonb, '15 minutes', mode) AS whole
      FROM (SELECT c, cxm.journey_agg(at, code) AS journey FROM event GROUP BY c) AS j, unnest(ARRAY['default', 'strict_once', 'strict_order', 'strict', 'any_order']) AS mode) AS w USING (mode, c)
GROUP BY mode ORDER BY mode COLLATE "C";

---- What the final function knows from the groups before changes no answer

CREATE TABLE crowd AS
SELECT g, at(i) AS at, ARRAY(SELECT (hashint4(7919 * g + 31 * i + s) & 3) = 0 FROM generate_series(1, 20) AS s ORDER BY s) AS conditions
FROM generate_series(1, 200) AS g, generate_series(1, 30) AS i;
CREATE FUNCTION alone(one integer, mode text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    level integer;
BEGIN
    EXECUTE 'SELECT cxm.funnel_agg(at, conditions, ''1 day'', $2) FROM crowd WHERE g = $1' INTO level USING one, mode;
    RETURN level;
END $$;
SELECT mode, count(*) FILTER (WHERE level = alone(g, mode)) AS same, count(DISTINCT level) > 1 AS differ
FROM unnest(ARRAY['default', 'strict', 'strict_order', 'strict_once', 'any_order']) AS m (mode),
     LATERAL (SELECT g, cxm.funnel_agg(at, conditions, '1 day', mode) AS level FROM crowd GROUP BY g) AS l
GROUP BY mode ORDER BY mode;

---- Parallel plans, with the same answers

SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE journey AS SELECT c, cxm.journey_agg(at, code) AS journey FROM event GROUP BY c;
ANALYZE event, journey;
CREATE FUNCTION answers(query text, parallel boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plan json;
    answer text;
BEGIN
    PERFORM set_config('max_parallel_workers_per_gather', CASE WHEN parallel THEN '2' ELSE '0' END, true);
    EXECUTE 'EXPLAIN (FORMAT JSON, COSTS OFF) ' || query INTO plan;
    IF parallel <> (plan::text LIKE '%"Gather%') THEN
        RAISE EXCEPTION 'the plan is %', plan;
    END IF;
    EXECUTE query INTO answer;
    RETURN answer;
END $$;
SELECT answers(q, true) = answers(q, false) AS same
FROM (VALUES ('SELECT sum(cxm.funnel(journey, ARRAY[1, 2, 3], ''15 minutes''))::text FROM funnel_test.journey'),
             ('SELECT sum(cxm.funnel(journey, ''[1, [2, 3], 3]''::jsonb, ''15 minutes'', ''strict_once'', ''[{"codes": 5}]''))::text FROM funnel_test.journey'),
             ('SELECT sum(cardinality(cxm.funnel_times(journey, ARRAY[1, 2, 3], ''15 minutes'')))::text FROM funnel_test.journey'),
             ('SELECT sum(n)::text FROM (SELECT cxm.funnel_agg(at, ARRAY[code = 1, code = 2, code = 3], ''15 minutes'') AS n FROM funnel_test.event GROUP BY c % 3) AS s')) AS v (q);

DROP SCHEMA funnel_test CASCADE;
