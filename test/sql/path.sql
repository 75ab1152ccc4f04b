-- paths: sessions, transitions and ways by hand and against SQL over the events; MADlib's published figures; hostile states
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
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

-- a journey of codes at minutes
CREATE FUNCTION pg_temp.j(minutes integer[], codes integer[]) RETURNS cxm.journey LANGUAGE sql AS $$
SELECT coalesce(cxm.journey_agg(timestamptz '2026-01-01 00:00:00+00' + make_interval(mins => m), c), '{}') FROM unnest(minutes, codes) AS u (m, c) $$;

---- sessions
CREATE TEMP TABLE one AS SELECT pg_temp.j('{0,5,35,66,66,200}', '{1,2,2,3,1,4}') AS journey;
SELECT s.* FROM one, cxm.sessions(journey, '30 minutes') AS s;
SELECT cxm.count_sessions(journey, '30 minutes') AS "3", cxm.count_sessions(journey, '29 minutes 59.999999 seconds') AS "4", cxm.count_sessions(journey, '0') AS "5", cxm.count_sessions(journey, '1 day') AS "1", cxm.count_sessions('{}', '1 day') AS "0" FROM one;
SELECT count(*) AS none FROM cxm.sessions('{}', '1 hour');
SELECT session_no, cxm.slice(journey, tstzrange(started_at, ended_at, '[]')) AS part FROM one, cxm.sessions(journey, '30 minutes');
SELECT f, g, pg_temp.fails(format($$ SELECT cxm.%s('{}', %L::interval) $$, f, g)) AS error FROM unnest(ARRAY['count_sessions', 'sessions', 'transitions']) AS f, unnest(ARRAY['1 month', '-1 second', '1 day -25 hours', '2147483647 days', '1 day']) AS g;

---- transitions
SELECT t.* FROM one, cxm.transitions(journey) AS t;
SELECT t.* FROM one, cxm.transitions(journey, '30 minutes') AS t;
SELECT count(*) AS none FROM cxm.transitions(NULL) AS t;
SELECT t.* FROM unnest((SELECT cxm.transitions_agg(j, '1 hour') FROM (SELECT journey AS j FROM one UNION ALL SELECT pg_temp.j('{0,10,11}', '{1,2,1}') UNION ALL SELECT NULL UNION ALL SELECT '{}') AS x)) AS t;
SELECT cxm.transitions_agg(journey) AS none FROM one WHERE false;
SELECT cxm.transitions_agg(cxm.journey '{}') AS empty;

-- random journeys, against SQL
CREATE TEMP TABLE event AS
SELECT c, timestamptz '2026-01-01 00:00:00+00' + make_interval(secs => hashint8extended(c, e) & 65535) AS at, ((hashint8extended(c, -e) & 65535) * 5 / 65536)::integer AS code
FROM generate_series(1, 200) AS c, generate_series(1, 1 + c % 40) AS e;
CREATE TEMP TABLE journey AS SELECT c, cxm.journey_agg(at, code) AS journey FROM event GROUP BY c;
CREATE TEMP TABLE sequel AS
SELECT c, code AS from_code, lead(code) OVER w AS to_code, lead(at) OVER w - at AS gap, at, count(*) FILTER (WHERE new) OVER (PARTITION BY c ORDER BY at, code ROWS UNBOUNDED PRECEDING) AS session_no
FROM (SELECT *, coalesce(at - lag(at) OVER (PARTITION BY c ORDER BY at, code) > '20 minutes', true) AS new FROM event) AS e WINDOW w AS (PARTITION BY c ORDER BY at, code);
WITH plain AS (
    SELECT from_code, to_code, count(DISTINCT c) AS customers, count(*) AS n, date_trunc('second', sum(gap) / count(*)) AS mean, percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS median
    FROM sequel WHERE to_code IS NOT NULL GROUP BY 1, 2
), ours AS (
    SELECT from_code, to_code, customers, n, date_trunc('second', mean_gap), median_gap FROM unnest((SELECT cxm.transitions_agg(journey) FROM journey))
)
SELECT (SELECT count(*) FROM plain) AS "25", (SELECT count(*) FROM (TABLE plain EXCEPT TABLE ours) AS x) AS "0", (SELECT count(*) FROM (TABLE ours EXCEPT TABLE plain) AS x) AS "0";
WITH plain AS (
    SELECT from_code, to_code, count(DISTINCT c) AS customers, count(*) AS n, percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS median
    FROM sequel WHERE gap <= '20 minutes' GROUP BY 1, 2
), ours AS (
    SELECT from_code, to_code, customers, n, median_gap FROM unnest((SELECT cxm.transitions_agg(journey, '20 minutes') FROM journey))
)
SELECT (SELECT count(*) FROM plain) AS "25", (SELECT count(*) FROM (TABLE plain EXCEPT TABLE ours) AS x) AS "0", (SELECT count(*) FROM (TABLE ours EXCEPT TABLE plain) AS x) AS "0";
WITH plain AS (
    SELECT c, from_code, to_code, count(*) AS n, percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS median FROM sequel WHERE to_code IS NOT NULL GROUP BY 1, 2, 3
), ours AS (
    SELECT c, from_code, to_code, n, median_gap FROM journey, cxm.transitions(journey)
)
SELECT (SELECT count(*) > 1000 FROM plain) AS many, (SELECT count(*) FROM (TABLE plain EXCEPT TABLE ours) AS x) AS "0", (SELECT count(*) FROM (TABLE ours EXCEPT TABLE plain) AS x) AS "0";
WITH plain AS (
    SELECT c, session_no, min(at) AS started_at, max(at) AS ended_at, count(*) AS events, (array_agg(from_code ORDER BY at, from_code))[1] AS first, (array_agg(from_code ORDER BY at DESC, from_code DESC))[1] AS last FROM sequel GROUP BY 1, 2
), ours AS (
    SELECT c, s.* FROM journey, cxm.sessions(journey, '20 minutes') AS s
)
SELECT (SELECT count(*) > 1000 FROM plain) AS many, (SELECT count(*) FROM (TABLE plain EXCEPT TABLE ours) AS x) AS "0", (SELECT count(*) FROM (TABLE ours EXCEPT TABLE plain) AS x) AS "0",
       (SELECT count(*) FROM plain) = (SELECT sum(cxm.count_sessions(journey, '20 minutes')) FROM journey) AS same;

-- codes of every width, and many pairs
SELECT w, count(*) AS "100", sum(n) AS "300" FROM unnest(ARRAY[1, 300, -70000]) AS w, LATERAL (SELECT cxm.journey_agg(timestamptz '2026-01-01' + make_interval(secs => i), w * (i % 100)) AS j FROM generate_series(0, 300) AS i) AS x, cxm.transitions(j) GROUP BY w ORDER BY w;
SELECT count(*) AS "5000", sum(n) AS "5000", sum(customers) AS "5000" FROM unnest((SELECT cxm.transitions_agg(j) FROM (SELECT cxm.journey_agg(timestamptz '2026-01-01' + make_interval(secs => i), i) AS j FROM generate_series(0, 5000) AS i) AS x));

-- more than 524288 different gaps: within 0.2 percent
SELECT n AS "600000", customers, abs(extract(epoch FROM median_gap) / 900000 - 1) < 0.002 AS near, abs(extract(epoch FROM mean_gap) / 900000.5 - 1) < 0.000001 AS mean
FROM unnest((SELECT cxm.transitions_agg(cxm.journey_add(cxm.append('{}', '2026-01-01 00:00:00+00', 1), cxm.append('{}', timestamptz '2026-01-01 00:00:00+00' + make_interval(secs => 600000 + i), 2))) FROM generate_series(1, 600000) AS i));

-- partial states in any split, combined in any order
CREATE AGGREGATE pg_temp.state_of(j cxm.journey) (SFUNC = cxm.transitions_add, STYPE = bytea);
SELECT cxm.transitions_final(cxm.transitions_combine(cxm.transitions_combine(a, b), d)) = whole AS same, cxm.transitions_final(cxm.transitions_combine(d, cxm.transitions_combine(b, a))) = whole AS same, cxm.transitions_combine(a, NULL) IS NULL AS nothing,
       cxm.transitions_final(cxm.transitions_add(a, NULL)) = cxm.transitions_final(a) AS same, cxm.transitions_add(NULL, NULL) IS NULL AS nothing
FROM (SELECT pg_temp.state_of(journey) FILTER (WHERE c % 7 < 2) AS a, pg_temp.state_of(journey) FILTER (WHERE c % 7 BETWEEN 2 AND 5) AS b, pg_temp.state_of(journey) FILTER (WHERE c % 7 > 5) AS d, cxm.transitions_agg(journey ORDER BY c DESC) AS whole FROM journey) AS s;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE path_journey AS SELECT * FROM journey;
ANALYZE path_journey;
CREATE FUNCTION pg_temp.plan_has(query text, node text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json, COSTS off) ' || query INTO plan;
    RETURN jsonb_path_exists(plan, '$.**."Partial Mode" ? (@ == $n)', jsonb_build_object('n', node));
END $$;
SELECT pg_temp.plan_has($$ SELECT cxm.transitions_agg(journey) FROM path_journey $$, 'Partial') AS parallel, (SELECT cxm.transitions_agg(journey) FROM path_journey) = (SELECT cxm.transitions_agg(journey ORDER BY c) FROM path_journey) AS same;
DROP TABLE path_journey;
-- bytes that are no state, and states with a byte changed: an answer or an error, and the server lives
SELECT DISTINCT left(pg_temp.fails(format('SELECT cxm.transitions_%s(%L::bytea%s)', f, b, CASE f WHEN 'add' THEN $$, '{2026-01-01T00:00:00Z 1}'::cxm.journey$$ WHEN 'combine' THEN $$, '\x00'$$ END)), 5) AS error
FROM unnest(ARRAY['add', 'combine', 'final']) AS f, unnest(ARRAY['\x', '\x00', '\x0000000054505843', '\x00000000545058430000000001000000' || repeat('00', 32)]) AS b;
SELECT count(*) > 0 AS answered FROM (
    SELECT pg_temp.fails(format('SELECT cxm.transitions_final(%L::bytea), cxm.transitions_final(cxm.transitions_combine(%L::bytea, %L::bytea)), cxm.transitions_add(%L::bytea, %L)', b, s, b, b, j)) FROM
    (SELECT cxm.transitions_add(NULL, j) AS s, j FROM (SELECT journey AS j FROM one) AS j) AS s, generate_series(0, length(s) - 1, 3) AS i, unnest(ARRAY[1, 127, 255]) AS v, LATERAL (SELECT set_byte(s, i, v) AS b) AS b) AS x;

---- paths
SELECT a, d, o, c, p.path, p.started_at::time, p.ended_at::time
FROM (SELECT pg_temp.j('{0,1,2,3,4,5,6,7}', '{1,2,2,3,2,4,4,1}') AS j) AS x, (VALUES (1, NULL::integer[]), (2, '{2}'), (3, '{3,4}'), (4, '{9}')) AS anchor (i, a), unnest(ARRAY['after', 'before']) AS d, unnest(ARRAY['first', 'last', 'all']) AS o, unnest(ARRAY[true, false]) AS c, cxm.paths(j, a, d, 2, c, NULL, o) AS p
ORDER BY i, d, o, c, p.path_no;
SELECT d, s.* FROM (SELECT pg_temp.j('{0,1,4,9,16}', '{1,2,3,3,4}') AS j) AS x, unnest(ARRAY['after', 'before']) AS d, cxm.path_steps(j, '{2,3}', d, 4, true, NULL, 'first') AS s;
-- within sessions: each has its own, and none leaves it
SELECT p.path_no, p.path FROM (SELECT pg_temp.j('{0,1,2,60,61,120}', '{1,2,3,2,1,2}') AS j) AS x, cxm.paths(j, '{2}', 'after', 5, true, '10 minutes') AS p;
SELECT s.* FROM (SELECT pg_temp.j('{0,1,2,60,61,120}', '{1,2,3,2,1,2}') AS j) AS x, cxm.path_steps(j, NULL, 'before', 1, true, '10 minutes') AS s;
SELECT (SELECT count(*) FROM cxm.paths('{}')) + (SELECT count(*) FROM cxm.paths(NULL)) + (SELECT count(*) FROM cxm.paths(journey, NULL, NULL)) + (SELECT count(*) FROM cxm.paths(journey, '{}')) AS none, (SELECT p.path FROM cxm.paths(journey, steps => 10000) AS p) AS whole FROM one;
SELECT pg_temp.fails($$ SELECT cxm.paths('{}', direction => 'up') $$), pg_temp.fails($$ SELECT cxm.paths('{}', steps => 0) $$), pg_temp.fails($$ SELECT cxm.path_steps('{}', steps => 10001) $$), pg_temp.fails($$ SELECT cxm.paths('{}', occurrence => 'any') $$),
       pg_temp.fails($$ SELECT cxm.paths('{}', ARRAY[1, NULL]) $$), pg_temp.fails($$ SELECT cxm.paths('{}', ARRAY[[1]]) $$), pg_temp.fails($$ SELECT cxm.paths('{}', session_gap => '1 year') $$) \gx

-- random journeys, against SQL: without collapsing, the codes from the first anchor on, and the steps of all
WITH numbered AS (SELECT c, code, at, row_number() OVER (PARTITION BY c ORDER BY at, code) AS i FROM event),
plain AS (SELECT c, (SELECT array_agg(n.code ORDER BY n.i) FROM numbered AS n WHERE n.c = a.c AND n.i BETWEEN a.i AND a.i + 3) AS path FROM (SELECT c, min(i) AS i FROM numbered WHERE code = 3 GROUP BY c) AS a),
ours AS (SELECT c, p.path FROM journey, cxm.paths(journey, '{3}', 'after', 3, false) AS p)
SELECT (SELECT count(*) > 100 FROM plain) AS many, (SELECT count(*) FROM (TABLE plain EXCEPT TABLE ours) AS x) AS "0", (SELECT count(*) FROM (TABLE ours EXCEPT TABLE plain) AS x) AS "0";
WITH numbered AS (SELECT c, code, at, row_number() OVER (PARTITION BY c ORDER BY at, code) AS i FROM event),
plain AS (SELECT a.c, a.i, (SELECT array_agg(n.code ORDER BY n.i) FROM numbered AS n WHERE n.c = a.c AND n.i BETWEEN a.i - 3 AND a.i) AS path FROM numbered AS a WHERE code IN (0, 3)),
ours AS (SELECT c, p.path FROM journey, cxm.paths(journey, '{3,0}', 'before', 3, false, NULL, 'all') AS p)
SELECT (SELECT count(*) > 1000 FROM plain) AS many, (SELECT count(*) FROM (SELECT c, path FROM plain EXCEPT ALL TABLE ours) AS x) AS "0", (SELECT count(*) FROM (TABLE ours EXCEPT ALL SELECT c, path FROM plain) AS x) AS "0";
-- collapsed paths are paths of collapsed journeys
WITH distinct_event AS (SELECT c, at, code FROM (SELECT *, lag(code) OVER (PARTITION BY c ORDER BY at, code) IS DISTINCT FROM code AS new FROM event) AS e WHERE new),
collapsed AS (SELECT c, cxm.journey_agg(at, code) AS journey FROM distinct_event GROUP BY c)
SELECT d, o, count(*) > 100 AS many, bool_and(p.path = q.path AND p.started_at = q.started_at AND p.ended_at = q.ended_at) AS same
FROM journey AS j JOIN collapsed AS k USING (c), unnest(ARRAY['after', 'before']) AS d, unnest(ARRAY['first', 'last', 'all']) AS o, cxm.paths(j.journey, '{1,4}', d, 4, true, NULL, o) AS p, cxm.paths(k.journey, '{1,4}', d, 4, false, NULL, o) AS q
WHERE p.path_no = q.path_no GROUP BY d, o ORDER BY d, o;

---- MADlib's path function: a shop with pages 1 landing, 2 wine, 3 beer, 4 help, 5 checkout. The log is one of ours in which what it publishes holds.
CREATE TEMP TABLE log AS
SELECT session, timestamptz '2026-03-01 10:00:00+00' + make_interval(days => session - 100, mins => i::integer) AS at, code
FROM (VALUES (100, '{1,2,5}'::integer[]), (102, '{1,2,5,1,4,2,5}'), (103, '{2,5}'), (104, '{3,5}'), (105, '{1,2,4}'), (108, '{1,2,4,2,2,5}')) AS v (session, codes), unnest(codes) WITH ORDINALITY AS u (code, i);
CREATE TEMP TABLE revenue AS SELECT session, revenue FROM (VALUES (100, 39), (102, 15), (102, 23), (103, 16), (104, 12), (108, 21)) AS v (session, revenue);
-- checkouts of a session
SELECT session, cxm.count_matches(cxm.journey_agg(at, code), '(?1)', '{5}'::integer[]) AS checkouts FROM log GROUP BY session ORDER BY session;
-- landing, at most two pages that are no purchase, purchase: three, in two sessions
SELECT session, sum(n) AS n FROM (SELECT session, cxm.journey_agg(at, code) AS j FROM log GROUP BY session) AS l, unnest(ARRAY['(?1)(?2)', '(?1)(?3)(?2)', '(?1)(?3)(?3)(?2)']) AS p, cxm.count_matches(j, p, '[1, 5, [2, 3, 4]]'::jsonb) AS n GROUP BY session HAVING sum(n) > 0 ORDER BY session;
-- page before checkout
SELECT path, count(*) FROM (SELECT cxm.journey_agg(at, code) AS j FROM log GROUP BY session) AS l, cxm.paths(j, '{5}', 'before', 1, false, NULL, 'all') AS p GROUP BY path ORDER BY path;
-- (nobuy)+(buy): with overlap one for each page before a checkout, without one for each checkout
SELECT sum(overlapping) AS overlapping, sum(checkouts) AS apart
FROM (SELECT cxm.journey_agg(at, code) AS j FROM log GROUP BY session) AS l,
     LATERAL (SELECT cxm.count_matches(j, '(?2)(?1)', '[5, [1, 2, 3, 4]]'::jsonb) AS checkouts) AS c,
     LATERAL (SELECT coalesce(sum(cardinality(p.path) - 1), 0) AS overlapping FROM (SELECT row_number() OVER (ORDER BY at) AS i, at, code FROM cxm.events(j)) AS e, LATERAL (SELECT array_agg(b.code ORDER BY b.at) AS path FROM cxm.events(j) AS b WHERE b.at <= e.at AND b.at > coalesce((SELECT max(x.at) FROM cxm.events(j) AS x WHERE x.code = 5 AND x.at < e.at), '-infinity')) AS p WHERE e.code = 5) AS o;
