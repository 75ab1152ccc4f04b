-- clusters: links heaviest first, and the two guards

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

-- two people, three records each, and one false link between them: at density 0 they fall together
CREATE TEMP TABLE link (a text, b text, weight double precision);
INSERT INTO link VALUES ('ann 1', 'ann 2', 20), ('ann 2', 'ann 3', 18), ('bob 2', 'bob 1', 19), ('bob 3', 'bob 1', 17), ('ann 3', 'bob 3', 9), ('cyd', 'cyd', 0);
SELECT d AS density, array_agg(member || ' -> ' || cluster || ' ' || size ORDER BY member COLLATE "C") AS members
FROM (SELECT array_agg(a) AS a, array_agg(b) AS b, array_agg(weight) AS w FROM link) AS l, unnest(ARRAY[0, 0.25, 0.5, 1]) AS d, cxm.clusters(a, b, w, 100, d) AS c GROUP BY d ORDER BY d;
-- what was refused is what still has its ends apart
SELECT l.a, l.b, l.weight
FROM (SELECT array_agg(a) AS a, array_agg(b) AS b, array_agg(weight) AS w FROM link) AS g, link AS l, cxm.clusters(g.a, g.b, g.w) AS x, cxm.clusters(g.a, g.b, g.w) AS y
WHERE x.member = l.a AND y.member = l.b AND x.cluster <> y.cluster;
-- the size: heaviest links first
SELECT n AS max_size, array_agg(DISTINCT cluster || ' ' || size ORDER BY cluster || ' ' || size) AS clusters
FROM (SELECT array_agg(a) AS a, array_agg(b) AS b, array_agg(weight) AS w FROM link) AS l, unnest(ARRAY[1, 2, 3, 6]) AS n, cxm.clusters(a, b, w, n, 0) AS c GROUP BY n ORDER BY n;
-- repetitions, directions and the order of links change nothing
SELECT bool_and(c.cluster = d.cluster AND c.size = d.size) AS same, count(*)
FROM (SELECT array_agg(a ORDER BY weight) AS a, array_agg(b ORDER BY weight) AS b, array_agg(weight ORDER BY weight) AS w FROM link) AS l,
     (SELECT array_agg(b ORDER BY a) AS a, array_agg(a ORDER BY a) AS b, array_agg(weight ORDER BY a) AS w FROM (TABLE link UNION ALL SELECT b, a, weight - 5 FROM link) AS twice) AS m,
     cxm.clusters(l.a, l.b, l.w) AS c, cxm.clusters(m.a, m.b, m.w) AS d WHERE c.member = d.member;
-- at density 0 and without a greatest size: connected components
SELECT count(*) FILTER (WHERE k.cluster::bigint <> c.component) AS different, count(*) > 500 AS enough
FROM (SELECT array_agg(lpad(a::text, 6, '0')) AS ta, array_agg(lpad(b::text, 6, '0')) AS tb, array_agg(a) AS a, array_agg(b) AS b, array_agg(w) AS w
      FROM (SELECT (hashint4(i) & 1023)::bigint AS a, (hashint4(-i) & 1023)::bigint AS b, (i % 100)::double precision AS w FROM generate_series(1, 700) AS i) AS r) AS g,
     cxm.clusters(ta, tb, w, 2147483647, 0) AS k JOIN LATERAL cxm.components(g.a, g.b) AS c ON c.member = k.member::bigint;
-- a chain of ten thousand does not run away
SELECT max(size) <= 100 AS held, count(*) FROM (SELECT array_agg(i::text) AS a, array_agg((i + 1)::text) AS b, array_agg((i % 7)::double precision) AS w FROM generate_series(1, 10000) AS i) AS l, cxm.clusters(a, b, w);

SELECT count(*) AS empty FROM cxm.clusters('{}', '{}', '{}');
SELECT count(*) AS "NULL" FROM cxm.clusters(NULL, '{}', '{}');
SELECT pg_temp.fails($$SELECT cxm.clusters('{a}', '{b,c}', '{1}')$$);
SELECT pg_temp.fails($$SELECT cxm.clusters('{a}', '{NULL}', '{1}')$$);
SELECT pg_temp.fails($$SELECT cxm.clusters('{a}', '{b}', '{NULL}')$$);
SELECT pg_temp.fails($$SELECT cxm.clusters('{a}', '{b}', '{NaN}')$$);
SELECT pg_temp.fails($$SELECT cxm.clusters('{{a}}', '{b}', '{1}')$$);
SELECT pg_temp.fails($$SELECT cxm.clusters('{a}', '{b}', '{1}', 0)$$);
SELECT pg_temp.fails($$SELECT cxm.clusters('{a}', '{b}', '{1}', 10, 1.5)$$);
SELECT pg_temp.fails($$SELECT cxm.clusters('{a}', '{b}', '{1}', 10, 'NaN')$$);
