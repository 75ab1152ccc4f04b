-- cxm.bridges(), cxm.spanning_forest(), cxm.shortest_path(): what holds a graph together
\set VERBOSITY default
\set SHOW_CONTEXT never

-- two triangles and the edge between them, the other way round in the second query
SELECT * FROM cxm.bridges('{1,2,3,4,5,6,3}', '{2,3,1,5,6,4,4}', '{1,2,5}');
SELECT * FROM cxm.bridges('{1,2,3,4,5,6,4}', '{2,3,1,5,6,4,3}', '{1,2,5}');
-- a pair that two edges connect has no bridge; a node to itself is none
SELECT * FROM cxm.bridges('{1,2,2,3}', '{2,1,3,3}');
-- marks count as often as they are given, those of other graphs not at all
SELECT * FROM cxm.bridges('{9223372036854775807}', '{-9223372036854775808}', '{9223372036854775807,9223372036854775807,5}');
-- places count from 1, wherever an array begins
SELECT place, node_a, node_b FROM cxm.bridges('[5:6]={1,2}', '[-1:0]={2,3}');

-- the first edges that join
SELECT cxm.spanning_forest('{1,1,2,3,3}', '{2,1,1,4,2}');
-- few edges before strong ones; of equally few the way whose weakest is strongest
SELECT cxm.shortest_path('{1,2,1,4,3}', '{2,3,3,3,4}', 1, 3) AS direct,
       cxm.shortest_path('{1,2,1,4}', '{2,3,4,3}', 1, 3) AS earlier,
       cxm.shortest_path('{1,4,1,2}', '{4,3,2,3}', 1, 3) AS earlier_too,
       cxm.shortest_path('{1,2,1,4}', '{2,3,4,3}', 3, 1) AS back,
       cxm.shortest_path('{1}', '{2}', 2, 2) AS itself,
       cxm.shortest_path('{1,3}', '{2,4}', 2, 3) AS nowhere,
       cxm.shortest_path('{1}', '{2}', 2, 3) AS to_nobody;

-- nothing
SELECT count(*) FROM cxm.bridges('{}', '{}');
SELECT count(*) FROM cxm.bridges(NULL, '{1}');
SELECT count(*) FROM cxm.bridges('{1}', '{2}', NULL);
SELECT cxm.spanning_forest('{}', '{}'), cxm.spanning_forest(NULL, '{}'), cxm.shortest_path('{}', '{}', 1, 2), cxm.shortest_path('{1}', '{2}', NULL, 2);
-- what is no list of edges
SELECT * FROM cxm.bridges('{1,NULL}', '{2,3}');
SELECT * FROM cxm.bridges('{1,2}', '{2}');
SELECT * FROM cxm.bridges('{{1,2},{3,4}}', '{{1,2},{3,4}}');
SELECT * FROM cxm.bridges('{1}', '{2}', '{NULL}');
SELECT * FROM cxm.bridges('{1}', '{2}', '{{1}}');
SELECT cxm.spanning_forest('{1}', '{}');
SELECT cxm.shortest_path('{1}', '{NULL}', 1, 2);

-- rows that are not asked for; more than one call in a query
SELECT place FROM cxm.bridges('{1,2,3}', '{2,3,4}') LIMIT 2;
SELECT g, (SELECT count(*) FROM cxm.bridges(ARRAY[g, 1], ARRAY[g, 2])) FROM generate_series(1, 4) AS g ORDER BY g;

-- a chain of a million edges does not recurse
SELECT count(*), bool_and(size_a = place AND size_b = 1000001 - place)
FROM (SELECT array_agg(g) AS a, array_agg(g + 1) AS b FROM generate_series(1, 1000000) AS g) AS e, cxm.bridges(e.a, e.b);
SELECT cardinality(cxm.spanning_forest(a, b)), cardinality(cxm.shortest_path(a, b, 1, 1000001))
FROM (SELECT array_agg(g) AS a, array_agg(g + 1) AS b FROM generate_series(1, 1000000) AS g) AS e;

-- random graphs, against cxm.components() of all other edges; the order of edges and of their ends does not matter
CREATE TEMPORARY TABLE edge AS
SELECT graph, n, hashint8extended(n, graph) & 31 AS a, hashint8extended(n, graph + 1000) & 31 AS b
FROM generate_series(1, 40) AS graph, LATERAL generate_series(1, graph) AS n;
-- without edge n; two loops keep its ends in the graph
CREATE TEMPORARY TABLE rest AS
SELECT e.graph, e.n, e.a, e.b, c.member, c.component
FROM edge AS e
CROSS JOIN LATERAL (SELECT array_agg(o.a) AS a, array_agg(o.b) AS b FROM edge AS o WHERE o.graph = e.graph AND o.n <> e.n) AS others
CROSS JOIN LATERAL cxm.components(others.a || e.a || e.b, others.b || e.a || e.b) AS c;
CREATE TEMPORARY TABLE oracle AS
SELECT r.graph, r.n, count(*) FILTER (WHERE r.component = x.component) AS size_a, count(*) FILTER (WHERE r.component = y.component) AS size_b
FROM rest AS r
JOIN rest AS x ON x.graph = r.graph AND x.n = r.n AND x.member = r.a
JOIN rest AS y ON y.graph = r.graph AND y.n = r.n AND y.member = r.b
WHERE x.component <> y.component
GROUP BY r.graph, r.n;
WITH solved AS (
    SELECT e.graph, b.place AS n, b.size_a, b.size_b
    FROM (SELECT graph, array_agg(a ORDER BY n) AS a, array_agg(b ORDER BY n) AS b FROM edge GROUP BY graph) AS e, cxm.bridges(e.a, e.b) AS b
), shuffled AS (
    SELECT e.graph, e.n[b.place] AS n, b.size_b, b.size_a
    FROM (SELECT graph, array_agg(b ORDER BY hashint8(n)) AS a, array_agg(a ORDER BY hashint8(n)) AS b, array_agg(n ORDER BY hashint8(n)) AS n FROM edge GROUP BY graph) AS e,
         cxm.bridges(e.a, e.b) AS b
)
SELECT (SELECT count(*) > 50 FROM oracle) AS some,
       (SELECT count(*) FROM (TABLE solved EXCEPT TABLE oracle) AS d) AS too_many,
       (SELECT count(*) FROM (TABLE oracle EXCEPT TABLE solved) AS d) AS missing,
       (SELECT count(*) FROM (TABLE shuffled EXCEPT TABLE oracle) AS d) AS too_many_shuffled,
       (SELECT count(*) FROM (TABLE oracle EXCEPT TABLE shuffled) AS d) AS missing_shuffled;
