-- cxm.components(): connected components of a graph
\set VERBOSITY default
\set SHOW_CONTEXT never

-- two components, edges both ways round
SELECT * FROM cxm.components('{1,5,3}', '{2,3,4}');
-- a node is named by the least of its component
SELECT * FROM cxm.components('{9,-7,9}', '{8,9,8}');
-- loops, alone and within; the same edge often
SELECT * FROM cxm.components('{4,1,1,2}', '{4,2,2,1}');
-- the ends of bigint
SELECT * FROM cxm.components('{9223372036854775807,0}', '{-9223372036854775808,0}');
-- no edges
SELECT count(*) FROM cxm.components('{}', '{}');
SELECT count(*) FROM cxm.components(NULL, '{1}');
SELECT count(*) FROM cxm.components('{1}', NULL);
SELECT count(*) FROM cxm.components(NULL, NULL);
-- arrays need not begin at 1
SELECT * FROM cxm.components('[5:6]={1,2}', '[-1:0]={2,3}');
-- what is no list of edges
SELECT * FROM cxm.components('{1,NULL}', '{2,3}');
SELECT * FROM cxm.components('{1,2}', '{2,NULL}');
SELECT * FROM cxm.components('{1,2}', '{2}');
SELECT * FROM cxm.components('{}', '{2}');
SELECT * FROM cxm.components('{{1,2},{3,4}}', '{{1,2},{3,4}}');
SELECT * FROM cxm.components('{1,2}', '{{1,2}}');

-- rows that are not asked for
SELECT * FROM cxm.components('{1,2,3}', '{2,3,4}') LIMIT 2;
-- more than one call in a query, and one a row
SELECT a.member, b.component FROM cxm.components('{1}', '{2}') AS a JOIN cxm.components('{2}', '{3}') AS b USING (member);
SELECT g, (SELECT count(*) FROM cxm.components(ARRAY[g, 1], ARRAY[g, 2])) FROM generate_series(1, 4) AS g ORDER BY g;

-- a chain of a million edges, in order, backwards and shuffled by a multiplicative step
SELECT count(*), min(component), max(component), min(member), max(member)
FROM (SELECT array_agg(g) AS a, array_agg(g + 1) AS b FROM generate_series(1, 1000000) AS g) AS e, cxm.components(e.a, e.b);
SELECT count(*), min(component), max(component)
FROM (SELECT array_agg(g + 1 ORDER BY g DESC) AS a, array_agg(g ORDER BY g DESC) AS b FROM generate_series(1, 1000000) AS g) AS e, cxm.components(e.a, e.b);
SELECT count(*), min(component), max(component)
FROM (SELECT array_agg(s) AS a, array_agg(s + 1) AS b
      FROM (SELECT g::bigint * 611953 % 1000003 AS s FROM generate_series(1, 1000002) AS g) AS x) AS e, cxm.components(e.a, e.b);
-- a star and pairs
SELECT count(*), count(DISTINCT component)
FROM (SELECT array_agg(0::bigint) AS a, array_agg(g) AS b FROM generate_series(1, 100000) AS g) AS e, cxm.components(e.a, e.b);
SELECT count(*), count(DISTINCT component), bool_and(component = member - member % 2)
FROM (SELECT array_agg(2 * g) AS a, array_agg(2 * g + 1) AS b FROM generate_series(1, 100000) AS g) AS e, cxm.components(e.a, e.b);

-- random graphs, against a recursive query; the order of edges and of their ends does not matter
CREATE TEMPORARY TABLE edge AS
SELECT graph, n, hashint8extended(n, graph) & 31 AS a, hashint8extended(n, graph + 1000) & 31 AS b
FROM generate_series(1, 40) AS graph, LATERAL generate_series(1, graph) AS n;
WITH RECURSIVE solved AS (
    SELECT e.graph, c.member, c.component
    FROM (SELECT graph, array_agg(a ORDER BY n) AS a, array_agg(b ORDER BY n) AS b FROM edge GROUP BY graph) AS e, cxm.components(e.a, e.b) AS c
), shuffled AS (
    SELECT e.graph, c.member, c.component
    FROM (SELECT graph, array_agg(b ORDER BY hashint8(n)) AS a, array_agg(a ORDER BY hashint8(n)) AS b FROM edge GROUP BY graph) AS e, cxm.components(e.a, e.b) AS c
), both_ways AS (
    SELECT graph, a, b FROM edge UNION SELECT graph, b, a FROM edge
), reached AS (
    SELECT graph, a AS member, a AS other FROM both_ways
    UNION
    SELECT r.graph, r.member, b.b FROM reached AS r JOIN both_ways AS b ON b.graph = r.graph AND b.a = r.other
), oracle AS (
    SELECT graph, member, min(other) AS component FROM reached GROUP BY graph, member
)
SELECT (SELECT count(*) FROM oracle) AS nodes,
       (SELECT count(*) FROM (TABLE solved EXCEPT TABLE oracle) AS d) AS too_many,
       (SELECT count(*) FROM (TABLE oracle EXCEPT TABLE solved) AS d) AS missing,
       (SELECT count(*) FROM (TABLE shuffled EXCEPT TABLE oracle) AS d) AS too_many_shuffled,
       (SELECT count(*) FROM (TABLE oracle EXCEPT TABLE shuffled) AS d) AS missing_shuffled;

-- members come in ascending order
SELECT bool_and(member > before)
FROM (SELECT member, lag(member) OVER () AS before
      FROM cxm.components(ARRAY(SELECT a FROM edge WHERE graph = 40 ORDER BY n), ARRAY(SELECT b FROM edge WHERE graph = 40 ORDER BY n))) AS c;
