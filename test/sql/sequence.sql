-- sequences: ClickHouse's published answers, the language, all forms of steps, rows, hostile input
SET timezone = 'UTC';
SET client_min_messages = warning;

-- state, message and detail of the error that a query raises
CREATE FUNCTION pg_temp.fails(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE query;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(' -- ' || nullif(detail, ''), '');
END $$;

-- a journey of codes, one a second
CREATE FUNCTION pg_temp.j(VARIADIC codes integer[]) RETURNS cxm.journey LANGUAGE sql AS $$
SELECT cxm.journey_agg(timestamptz '2026-01-01 00:00:00+00' + make_interval(secs => i), c) FROM unnest(codes) WITH ORDINALITY AS u (c, i) $$;
-- and one of codes at seconds
CREATE FUNCTION pg_temp.jt(seconds double precision[], codes integer[]) RETURNS cxm.journey LANGUAGE sql AS $$
SELECT coalesce(cxm.journey_agg(timestamptz '2026-01-01 00:00:00+00' + make_interval(secs => s), c), '{}') FROM unnest(seconds, codes) AS u (s, c) $$;
-- seconds of times
CREATE FUNCTION pg_temp.s(times timestamptz[]) RETURNS numeric[] LANGUAGE sql AS $$
SELECT coalesce(array_agg(extract(epoch FROM t - '2026-01-01 00:00:00+00')::numeric(20, 3) ORDER BY i), '{}') FROM unnest(times) WITH ORDINALITY AS u (t, i) $$;

-- ClickHouse, sequenceMatch: events that are no step do not exist
SELECT cxm.matches(j, '(?1)(?2)', ARRAY[1, 2]) AS one, cxm.matches(j, '(?1)(?2)', ARRAY[1, 2, 3]) AS zero, cxm.matches(j, '(?1)(?2)', ARRAY[1, 2, 4]) AS one
FROM pg_temp.j(1, 3, 2) AS j;
-- sequenceCount, sequenceMatchEvents
SELECT cxm.count_matches(j, '(?1).*(?2)', ARRAY[1, 2]) AS two, pg_temp.s(cxm.match_events(j, '(?1).*(?2).*(?1)(?3)', ARRAY[1, 2, 4])) AS "1 3 4"
FROM pg_temp.j(1, 3, 2, 1, 3, 2) AS j;
-- where the events are over, times and .* that need none hold
SELECT cxm.match_events('{}', '', ARRAY[1, 2]) AS empty, cxm.matches('{}', '(?t<=10)', ARRAY[1, 2]) AS one, cxm.count_matches(pg_temp.j(1), '(?1).*', ARRAY[1, 2]) AS one,
       cxm.matches(pg_temp.jt('{0,100}', '{1,2}'), '(?1)(?t<=10)(?2)', ARRAY[1, 2]) AS zero;

-- each comparison of times, between events 10 seconds apart, and with others in between
SELECT op, cxm.matches(pg_temp.jt('{0,10}', '{1,2}'), '(?1)(?t' || op || '10)(?2)', ARRAY[1, 2]) AS "10",
       cxm.matches(pg_temp.jt('{0,9.999999}', '{1,2}'), '(?1)(?t' || op || '10)(?2)', ARRAY[1, 2]) AS less,
       cxm.matches(pg_temp.jt('{0,10.000001}', '{1,2}'), '(?1)(?t' || op || '10)(?2)', ARRAY[1, 2]) AS more,
       cxm.matches(pg_temp.jt('{0,1,1,10}', '{1,1,3,2}'), '(?1)(?t' || op || '10)(?2)', ARRAY[1, 2, 3]) AS between,
       cxm.matches(pg_temp.jt('{0,10}', '{1,2}'), '(?1)(?t' || op || '10.5)(?2)', ARRAY[1, 2]) AS "10.5"
FROM unnest(ARRAY['<', '<=', '==', '>=', '>']) AS op;
-- a time is that since the event taken before; behind .* since the event that it came to
SELECT cxm.matches(j, '(?1)(?t>=50)(?3)', ARRAY[1, 2, 3]) AS yes, cxm.matches(j, '(?1).*(?2)(?t>=50)(?3)', ARRAY[1, 2, 3]) AS no, cxm.matches(j, '(?1).*(?t>=50)(?3)', ARRAY[1, 2, 3]) AS no,
       cxm.matches(j, '(?1).*(?t<50)(?3)', ARRAY[1, 2, 3]) AS yes
FROM pg_temp.jt('{0,40,60}', '{1,2,3}') AS j;
-- a greedy search would take the first 1 and fail
SELECT cxm.matches(j, '(?1)(?t<=5)(?2)', ARRAY[1, 2]) AS yes, pg_temp.s(cxm.match_events(j, '(?1)(?t<=5)(?2)', ARRAY[1, 2])) AS "8 12" FROM pg_temp.jt('{0,8,12}', '{1,1,2}') AS j;
-- . and a match that ends with a time: the event that fulfils it is free for the next match
SELECT cxm.count_matches(j, '(?1).', ARRAY[1, 2]) AS "2", cxm.count_matches(j, '(?1)(?t>=1)', ARRAY[1, 2]) AS "3", cxm.count_matches(j, '', ARRAY[1, 2]) AS "4", cxm.count_matches(j, '..', ARRAY[1, 2]) AS "2",
       cxm.count_matches(j, '.*.*.*', ARRAY[1, 2]) AS "4", cxm.count_matches(j, '(?1)(?1)', ARRAY[1, 2]) AS "1"
FROM pg_temp.j(1, 1, 1, 3, 2) AS j;
-- at one time, the order is that of codes
SELECT cxm.matches(j, '(?1)(?2)', ARRAY[1, 2]) AS yes, cxm.matches(j, '(?1)(?2)', ARRAY[2, 1]) AS no, cxm.matches(j, '(?1)(?t==0)(?2)', ARRAY[1, 2]) AS yes, cxm.matches(j, '(?1)(?t>0)(?2)', ARRAY[1, 2]) AS no
FROM pg_temp.jt('{5,5}', '{2,1}') AS j;

-- steps of several codes, codes of several steps, codes of every width
SELECT cxm.matches(j, '(?1)(?2)(?3)', '[[1, 2], 3, [2, 4]]'::jsonb) AS yes, cxm.matches(j, '(?1)(?2)(?3)', '[1, [3, 1], [2, 4]]'::jsonb) AS no, cxm.matches(j, '(?1)(?1)', '[[2, 3, 2]]'::jsonb) AS yes, cxm.count_matches(j, '(?1)', '[[1, 2, 3, 4]]'::jsonb) AS "4",
       cxm.matches(j, '(?1)(?2)', '[1, []]'::jsonb) AS no, cxm.match_events(j, '(?1)(?2)', '[1, []]'::jsonb) = ARRAY['2026-01-01 00:00:01+00'::timestamptz] AS one, cxm.matches(j, '(?1)(?2)', ARRAY[1, 1]) AS no, cxm.matches(j, '(?1)', ARRAY[1, 1]) AS yes
FROM pg_temp.j(1, 2, 3, 4) AS j;
SELECT s, pg_temp.fails(format($$ SELECT cxm.matches('{}', '', %L::jsonb) $$, s)) AS error
FROM unnest(ARRAY['[]', '1', '{}', '"x"', 'null', '[null]', '["1"]', '[{}]', '[[[1]]]', '[[1, {}]]', '[1.5]', '[3000000000]', '[1e2]', '[[1, 2], -2147483648]', '[1e400]']) AS s;
SELECT w AS width, cxm.matches(j, '(?1).*(?2)(?t<=1)(?3)', ARRAY[w, 2 * w, 3 * w]) AS yes, cxm.matches(j, '(?1)(?2)', ARRAY[w, 3 * w]) AS yes, cxm.count_matches(j, '(?2)', ARRAY[5, w, 7]) AS "1",
       pg_temp.s(cxm.match_events(j, '(?1)(?2)(?3)', ARRAY[w, 2 * w, 3 * w])) AS "1 2 3", cxm.next_step(j, ARRAY[w, 2 * w]) = 3 * w AS next
FROM unnest(ARRAY[1, 100, 10000, 700000000, -1, -700000000]) AS w, pg_temp.j(w, 2 * w, 3 * w) AS j;

-- sequenceNextNode
CREATE TEMP TABLE visit AS
SELECT u AS id, pg_temp.j(VARIADIC codes) AS journey, ARRAY['Home', 'Gift', 'Exit', 'Basket'] AS page
FROM (VALUES (1, ARRAY[1, 2, 3]), (2, ARRAY[1, 1, 2, 4]), (3, ARRAY[2, 1, 2, 4])) AS v (u, codes);
SELECT id, page[cxm.next_step(journey, ARRAY[1, 2], 'head')] AS head, page[cxm.previous_step(journey, ARRAY[4, 2], 'tail')] AS tail,
       page[cxm.next_step(journey, ARRAY[2])] AS first_match, page[cxm.next_step(journey, ARRAY[2, 1], 'first_match')] AS chain,
       page[cxm.previous_step(journey, ARRAY[2])] AS last_match, page[cxm.previous_step(journey, ARRAY[2, 1], 'last_match')] AS chain
FROM visit ORDER BY id;
SELECT cxm.next_step(pg_temp.j(1, 2, 3, 4, 5), ARRAY[1, 2]) AS c, cxm.next_step(pg_temp.j(1, 2, 3, 4, 5), ARRAY[2, 3]) AS d, cxm.next_step(pg_temp.j(1, 2, 3, 4, 5), ARRAY[4, 5]) AS nothing,
       cxm.previous_step(pg_temp.j(1, 2, 3, 4, 5), ARRAY[1]) AS nothing, cxm.next_step('{}', ARRAY[1]) AS nothing, cxm.next_step(pg_temp.j(1, 2), ARRAY[1, 2, 3, 4]) AS nothing;
-- the base, and what may be one
SELECT cxm.next_step(j, ARRAY[1], 'head') AS "2", cxm.next_step(j, ARRAY[1], 'last_match') AS "3", cxm.previous_step(j, ARRAY[1], 'first_match') AS nothing, cxm.previous_step(j, ARRAY[3], 'tail') AS "1",
       cxm.next_step(j, '[[1, 2]]'::jsonb, 'first_match', ARRAY[2]) AS "1", cxm.next_step(j, ARRAY[1], 'head', ARRAY[2]) AS nothing, cxm.next_step(j, ARRAY[2], 'first_match', ARRAY[1]) AS nothing, cxm.next_step(j, '[[1, 2]]'::jsonb, 'first_match', NULL) AS "2", cxm.previous_step(j, '[3, [1, 2], [1, 2]]'::jsonb) AS "1"
FROM pg_temp.j(1, 2, 1, 3) AS j;
SELECT pg_temp.fails($$ SELECT cxm.next_step('{}', ARRAY[1], 'tail') $$), pg_temp.fails($$ SELECT cxm.previous_step('{}', ARRAY[1], 'head') $$), pg_temp.fails($$ SELECT cxm.next_step('{}', '{}'::integer[]) $$),
       pg_temp.fails($$ SELECT cxm.next_step('{}', ARRAY[1, NULL]) $$) \gx
SELECT cxm.next_step(NULL, ARRAY[1]) IS NULL AND cxm.next_step('{}', NULL::jsonb) IS NULL AND cxm.next_step('{}', ARRAY[1], NULL) IS NULL AND cxm.matches(NULL, '', ARRAY[1]) IS NULL AND cxm.count_matches('{}', NULL, '[]'::jsonb) IS NULL AND cxm.match_events('{}', '', NULL::jsonb) IS NULL AS all_null;

-- what is no pattern
SELECT p, pg_temp.fails(format($$ SELECT cxm.matches('{}', %L, ARRAY[1, 2]) $$, p)) AS error
FROM unnest(ARRAY['x', '(?1) (?2)', '(?1)*', '(?', '(?x)', '(?0)', '.(?3)', '(?99999999999999999999)', '(?1', '(?1(?2)', '(?t=5)', '(?t!5)', '(?t<=', '(?t<=-1)', '(?t<=1.)', '(?t<1.1234567)', '(?t>99999999999999)',
                  '(?1)(?t>1)(?t<5)(?2)', '(?1)é', '(?1)' || repeat('ü', 50)]) WITH ORDINALITY AS u (p, i) ORDER BY i;
SELECT pg_temp.fails($$ SELECT cxm.matches('{}', repeat('.', 16385), ARRAY[1]) $$) AS too_long, pg_temp.fails($$ SELECT cxm.matches('{}', '(?1)', '{}'::integer[]) $$) AS no_steps,
       pg_temp.fails($$ SELECT cxm.matches('{}', '(?1)', ARRAY[[1]]) $$) AS dimensions, pg_temp.fails($$ SELECT cxm.matches('{}', '(?1)', ARRAY[NULL, 1]) $$) AS null_step \gx
-- random text: a pattern, or one of these errors
SELECT count(*) FILTER (WHERE e NOT IN ('no er', '42601', '22023', '22003')) AS other, count(*) FILTER (WHERE e = 'no er') > 100 AS some, count(*) FILTER (WHERE e <> 'no er') > 100 AS more
FROM generate_series(1, 3000) AS i,
     LATERAL (SELECT string_agg((ARRAY['(?1)', '(?2)', '.*', '.', '(?t<=1)', '(?t', '(?', ')', '==', '7', E'\n', 'ж'])[1 + (hashint4extended(i * 16 + k, 7) & 65535) * CASE WHEN i % 2 = 0 THEN 5 ELSE 12 END / 65536], '') AS p
              FROM generate_series(0, abs(hashint4(i)) % 7) AS k) AS t,
     LATERAL (SELECT left(pg_temp.fails(format($$ SELECT cxm.count_matches('{}', %L, ARRAY[1, 2]) $$, t.p)), 5) AS e) AS f;

-- rows
CREATE TEMP TABLE row_of AS
SELECT (hashint4(i) & 63) AS g, timestamptz '2026-01-01 00:00:00+00' + make_interval(secs => hashint4extended(i, 1) & 255) AS at, ((hashint4extended(i, 2) & 255) * 5 / 256)::integer AS code FROM generate_series(1, 3000) AS i;
CREATE TEMP TABLE pattern AS SELECT * FROM unnest(ARRAY['(?1)(?2)', '(?1).*(?2)', '(?1)(?t<=20)(?2)', '(?1)(?t==3)(?2)', '(?2)(?t>30)(?1).*(?3)', '.(?3).', '(?1)(?2)(?3)(?1)']) AS p;
-- one condition a code: the journey, for any order of rows
SELECT p, count(*), bool_and(cxm.matches(journey, p, ARRAY[1, 2, 3]) = m) AS same, bool_and(cxm.count_matches(journey, p, ARRAY[1, 2, 3]) = n) AS same, bool_and(cxm.match_events(journey, p, ARRAY[1, 2, 3]) = e) AS same, sum(n) AS matches
FROM pattern, LATERAL (
    SELECT g, cxm.journey_agg(at, code) AS journey, cxm.matches_agg(at, c, p) AS m, cxm.count_matches_agg(at, c, p ORDER BY hashtext(at::text)) AS n, cxm.match_events_agg(at, c, p ORDER BY at DESC) AS e
    FROM row_of, LATERAL (SELECT ARRAY[code = 1, code = 2, code = 3]) AS c (c) GROUP BY g) AS x
GROUP BY p ORDER BY p;
-- more than 8, and more than 64 conditions, of which those behind are never true
SELECT p, n, bool_and(a = b) AS same, bool_and(e = f) AS same
FROM pattern, unnest(ARRAY[9, 70]) AS n, LATERAL (
    SELECT g, cxm.count_matches_agg(at, c, p) AS a, cxm.count_matches_agg(at, c || array_fill(false, ARRAY[n - 3]), p) AS b,
           cxm.match_events_agg(at, array_fill(NULL::boolean, ARRAY[n - 3]) || c, regexp_replace(regexp_replace(regexp_replace(p, '\?1', '?' || n - 2, 'g'), '\?2', '?' || n - 1, 'g'), '\?3', '?' || n, 'g')) AS e, cxm.match_events_agg(at, c, p) AS f
    FROM row_of, LATERAL (SELECT ARRAY[code = 1, code = 2, code = 3]) AS c (c) GROUP BY g) AS x
GROUP BY p, n ORDER BY p, n;
-- a row may fulfil several conditions, and is taken once
SELECT cxm.count_matches_agg(at, ARRAY[true, true], '(?1)(?2)') AS "2", cxm.matches_agg(at, ARRAY[true, true], '(?1)(?2)(?1)(?2)(?1)') AS no, cxm.count_matches_agg(at, ARRAY[at = min, at > min], '(?1).*(?2)') AS "1"
FROM (SELECT '2026-01-01'::timestamptz + make_interval(secs => i) AS at, '2026-01-01 00:00:01'::timestamptz AS min FROM generate_series(1, 4) AS i) AS r;
-- no rows, rows with a NULL, rows that fulfil nothing
SELECT cxm.matches_agg(at, ARRAY[true], '(?1)') AS nothing FROM (SELECT now() AS at WHERE false) AS r;
SELECT cxm.matches_agg(at, c, '(?1)') AS nothing, cxm.count_matches_agg(at, coalesce(c, '{f}'), '(?1)') AS "0", cxm.match_events_agg(at, '{}', '.*') AS empty FROM (VALUES (NULL::timestamptz, '{t}'::boolean[]), ('2026-01-01', NULL)) AS v (at, c);
SELECT pg_temp.fails($$ SELECT cxm.matches_agg(now(), ARRAY[true], p) FROM (VALUES ('(?1)'), ('.*')) AS v (p) $$), pg_temp.fails($$ SELECT cxm.matches_agg(now(), c, '(?1)') FROM (VALUES ('{t}'::boolean[]), ('{t,f}')) AS v (c) $$),
       pg_temp.fails($$ SELECT cxm.matches_agg('infinity', ARRAY[true], '(?1)') $$), pg_temp.fails($$ SELECT cxm.matches_agg(now(), ARRAY[[true]], '(?1)') $$), pg_temp.fails($$ SELECT cxm.matches_agg(now(), ARRAY[true], '(?2)') $$) \gx
-- partial states in any split, combined in any order
CREATE AGGREGATE pg_temp.state_of(at timestamptz, conditions boolean[], pattern text) (SFUNC = cxm.sequence_add_row, STYPE = bytea);
SELECT p, bool_and(cxm.sequence_count_final(cxm.sequence_combine(cxm.sequence_combine(a, b), c)) = n) AS same, bool_and(cxm.sequence_events_final(cxm.sequence_combine(c, cxm.sequence_combine(b, a))) = e) AS same,
       bool_and(cxm.sequence_combine(a, NULL) IS NULL) AS nothing
FROM pattern, LATERAL (
    SELECT g, pg_temp.state_of(at, k, p) FILTER (WHERE h < 90) AS a, pg_temp.state_of(at, k, p) FILTER (WHERE h BETWEEN 90 AND 230) AS b, pg_temp.state_of(at, k, p) FILTER (WHERE h > 230) AS c,
           cxm.count_matches_agg(at, k, p) AS n, cxm.match_events_agg(at, k, p) AS e
    FROM row_of, LATERAL (SELECT ARRAY[code = 1, code = 2, code = 3], hashtext(at::text || code) & 255) AS k (k, h) GROUP BY g HAVING count(*) FILTER (WHERE h < 90) > 0 AND count(*) FILTER (WHERE h BETWEEN 90 AND 230) > 0 AND count(*) FILTER (WHERE h > 230) > 0) AS x
GROUP BY p ORDER BY p;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE sequence_row AS SELECT * FROM row_of;
ANALYZE sequence_row;
CREATE FUNCTION pg_temp.plan_has(query text, node text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json, COSTS off) ' || query INTO plan;
    RETURN jsonb_path_exists(plan, '$.**."Partial Mode" ? (@ == $n)', jsonb_build_object('n', node));
END $$;
SELECT pg_temp.plan_has($$ SELECT g, cxm.count_matches_agg(at, ARRAY[code = 1, code = 2], '(?1).*(?2)') FROM sequence_row GROUP BY g $$, 'Partial') AS parallel;
SELECT sum(n) AS parallel, (SELECT sum(n) FROM (SELECT cxm.count_matches(cxm.journey_agg(at, code), '(?1).*(?2)', ARRAY[1, 2]) AS n FROM sequence_row GROUP BY g) AS y) AS plain
FROM (SELECT g, cxm.count_matches_agg(at, ARRAY[code = 1, code = 2], '(?1).*(?2)') AS n FROM sequence_row GROUP BY g) AS x;
DROP TABLE sequence_row;
-- bytes that are no state
SELECT DISTINCT left(pg_temp.fails(format('SELECT cxm.sequence_%s(%L::bytea%s)', f, b, CASE f WHEN 'add_row' THEN $$, now(), '{t}', '(?1)'$$ WHEN 'combine' THEN $$, '\x00'$$ END)), 5) AS error
FROM unnest(ARRAY['add_row', 'combine', 'matches_final', 'count_final', 'events_final']) AS f, unnest(ARRAY['\x', '\x00', '\x514d5843', repeat('x', 40), '\x514d5843ffffffffffffffffffffffff', '\x514d5843010000000000000001000000', '\x514d584301000000ffffffff00000000']) AS b;
-- bytes of a state, each changed in turn: an answer or an error, and the server lives
SELECT count(*) > 0 AS answered FROM (
    SELECT i, pg_temp.fails(format('SELECT cxm.sequence_count_final(%L::bytea), cxm.sequence_events_final(%L::bytea)', b, b)) FROM
    (SELECT cxm.sequence_add_row(cxm.sequence_add_row(NULL, '2020-01-01', '{t,f,f}', '(?1)(?t==1)(?2)'), '2020-01-02', '{f,t,f}', '(?1)(?t==1)(?2)') AS s) AS s,
    generate_series(0, length(s) - 1) AS i, unnest(ARRAY[0, 1, 9, 127, 255]) AS v, LATERAL (SELECT set_byte(s, i, v) AS b) AS b) AS x;

-- nested .* with 200 steps: as many answers as there are, and no way back
SELECT cxm.matches(j, repeat('(?1).*', 200) || '(?2)', ARRAY[1, 2]) AS no, cxm.matches(j, repeat('.*(?1)(?t<=100000)', 200) || '.*(?2)', ARRAY[1, 2]) AS no, cxm.count_matches(j, repeat('(?1).*', 200), ARRAY[1, 2]) AS "100",
       cardinality(cxm.match_events(j, repeat('(?1)(?t>0).*', 200) || '(?2)', ARRAY[1, 2])) AS "200"
FROM (SELECT cxm.journey_agg(timestamptz '2026-01-01' + make_interval(secs => i), 1) AS j FROM generate_series(1, 20000) AS i) AS x;
-- a long text of few elements, and more symbols than memory is given to
SELECT cxm.matches(j, repeat('.*', 1000000) || '(?1)', ARRAY[1]) AS yes, pg_temp.fails($$ SELECT cxm.matches_agg('2026-01-01', (SELECT array_agg(i = k) FROM generate_series(1, 70000) AS k), repeat('.', 16384)) FROM generate_series(1, 1) AS i $$) AS fits
FROM cxm.append('{}', '2026-01-01', 1) AS j;
SELECT pg_temp.fails(format($$ SELECT cxm.matches('{2026-01-01T00:00:00Z 1000}', %L, %L::jsonb) $$, repeat('.', 16384), (SELECT jsonb_agg(i) FROM generate_series(1, 520000) AS i))) AS too_many;
