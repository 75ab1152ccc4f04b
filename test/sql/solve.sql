-- cxm.solve(): who is one, for the links of any query
\set VERBOSITY default
\set SHOW_CONTEXT never

-- two components, links both ways round; a node without another one
SELECT * FROM cxm.solve('VALUES (5, 4), (3, 4), (9, 8), (9, 8), (7, 7)') ORDER BY member;
-- the ends of bigint; every integer type
SELECT * FROM cxm.solve('VALUES (9223372036854775807, (-9223372036854775808)::bigint), (0, 0)') ORDER BY member;
SELECT * FROM cxm.solve('VALUES (1::smallint, 2::bigint), (-3, 2)') ORDER BY member;
-- texts: one when their bytes are; the least by bytes; empty ones, long ones
SELECT * FROM cxm.solve_text($$VALUES ('b', 'a'), ('B', 'b'), ('', 'é'), ('x ', 'x'::varchar)$$) ORDER BY member COLLATE "C";
SELECT length(member), left(component, 3) AS component
FROM cxm.solve_text($$SELECT repeat('a', n), repeat('a', n) || 'b' FROM unnest(ARRAY[1, 30000, 40000, 70000, 70000, 200000]) AS n$$) ORDER BY 1;
-- a component is named by its least node, whatever the order of the rows
SELECT count(*), count(DISTINCT component), min(component), max(component) FROM cxm.solve('SELECT g, g + 10 FROM generate_series(1, 100000) AS g ORDER BY hashint4(g)');
-- no rows, NULL
SELECT count(*) FROM cxm.solve('SELECT 1, 2 WHERE false');
SELECT count(*) FROM cxm.solve(NULL);
SELECT count(*) FROM cxm.solve_text(NULL);
SELECT count(*) FROM cxm.solve_refused(NULL);
-- identifiers are nodes, too
SELECT * FROM cxm.solve('VALUES (1, 2)', $$VALUES (2, 'email'), (3, 'email'), (3, 'email')$$) ORDER BY member;

-- a limit: the stronger link, which is the smaller one or the older one, holds
CREATE TEMPORARY TABLE link (a integer, b integer, observed_at timestamptz, strength double precision);
INSERT INTO link VALUES (1, 10, '2026-01-01Z', 3), (2, 10, '2026-01-02Z', 2), (3, 10, '2026-02-20Z', -1);
CREATE TEMPORARY TABLE identifier (id integer, namespace text);
INSERT INTO identifier VALUES (1, 'user_id'), (2, 'user_id'), (3, 'user_id'), (10, 'device_id');
SELECT * FROM cxm.solve('SELECT a, b, observed_at FROM link', 'TABLE identifier', '{"user_id": 1}') ORDER BY member;
SELECT * FROM cxm.solve('SELECT a, b, observed_at::date FROM link', 'TABLE identifier', '{"user_id": 1}') ORDER BY member;
SELECT * FROM cxm.solve('SELECT a, b, strength FROM link', 'TABLE identifier', '{"user_id": 1}') ORDER BY member;
SELECT * FROM cxm.solve('SELECT a, b, strength::numeric FROM link', 'TABLE identifier', '{"user_id": {"is_unique": true}}') ORDER BY member;
SELECT * FROM cxm.solve_refused('SELECT a, b, strength::real FROM link', 'TABLE identifier', '{"user_id": 2}') ORDER BY a;
SELECT * FROM cxm.solve_refused('SELECT a, b, -strength::integer FROM link', 'TABLE identifier', '{"user_id": {"max_per_profile": 2, "is_unique": true}}') ORDER BY a;
-- in a window of time
SELECT * FROM cxm.solve('SELECT a, b, observed_at FROM link', 'TABLE identifier', '{"user_id": {"max_per_profile": 1, "max_window": "1 month"}}') ORDER BY member;
SELECT * FROM cxm.solve('SELECT a, b, observed_at FROM link', 'TABLE identifier', '{"user_id": {"max_per_profile": 2, "max_window": "1 month"}}') ORDER BY member;
-- negative zero is zero, and infinity is weaker than all
SELECT * FROM cxm.solve_refused($$VALUES (1, 10, '-0'::float8), (2, 10, '0'), (3, 10, '-Infinity'), (4, 10, 'Infinity')$$,
    $$SELECT g, 'u' FROM generate_series(1, 4) AS g$$, '{"u": 3}') ORDER BY a;
SELECT * FROM cxm.solve_refused($$VALUES (1, 10, '-infinity'::date), (2, 10, 'infinity'), (3, 10, '5000000-01-01')$$, $$SELECT g, 'u' FROM generate_series(1, 3) AS g$$, '{"u": 2}') ORDER BY a;
-- texts
SELECT * FROM cxm.solve_text($$SELECT 'u' || a, 'd' || b, observed_at FROM link$$, $$SELECT left(namespace, 1) || id, namespace FROM identifier$$, '{"user_id": 1}') ORDER BY member COLLATE "C";
SELECT * FROM cxm.solve_refused($$SELECT 'u' || a, 'd' || b, observed_at FROM link$$, $$SELECT left(namespace, 1) || id, namespace FROM identifier$$, '{"user_id": 1}') ORDER BY a COLLATE "C";

-- generic: linked to more than max_links different others
SELECT * FROM cxm.solve('VALUES (1, 9), (2, 9), (3, 9), (3, 9), (9, 9), (1, 2), (4, 9)', max_links => 3) ORDER BY member;
SELECT * FROM cxm.solve('VALUES (1, 9), (2, 9), (3, 9), (3, 9), (9, 9), (1, 2)', max_links => 3) ORDER BY member;
SELECT * FROM cxm.solve_refused('VALUES (1, 9), (2, 9), (3, 9), (3, 9), (9, 9), (1, 2), (4, 9)', max_links => 3) ORDER BY a;
-- where there are limits only nodes of a limited namespace count; a namespace may have a max_links of its own
SELECT * FROM cxm.solve('VALUES (1, 9), (2, 9), (3, 9), (4, 9)', $$VALUES (1, 'u'), (2, 'u'), (3, 'u')$$, '{"u": 9}', 3) ORDER BY member;
SELECT * FROM cxm.solve('VALUES (1, 9), (2, 9), (3, 9), (4, 9)', $$VALUES (1, 'u'), (2, 'u'), (3, 'u'), (9, 'd')$$, '{"u": 9, "d": {"max_links": 2}}') ORDER BY member;
SELECT * FROM cxm.solve('VALUES (1, 9), (2, 9), (3, 9), (4, 9)', $$VALUES (1, 'u'), (2, 'u'), (3, 'u'), (9, 'd')$$, '{"u": 9, "d": {"max_links": null}}', 1) ORDER BY member;
-- nothing to refuse
SELECT count(*) FROM cxm.solve_refused('SELECT a, b FROM link');

-- hostile: a chain of a million nodes; with a limit and a window; a device shared by a hundred thousand
SELECT count(*), count(DISTINCT component) FROM cxm.solve('SELECT g, g + 1 FROM generate_series(1, 999999) AS g');
SELECT count(*), count(DISTINCT component) FROM cxm.solve('SELECT g, g + 1, g FROM generate_series(1, 999999) AS g', $$SELECT g, 'u' FROM generate_series(1, 1000000, 10) AS g$$, '{"u": 4}');
SELECT count(*), count(DISTINCT component)
FROM cxm.solve($$SELECT g, g + 1, timestamptz '2026-01-01Z' + g * interval '1 s' FROM generate_series(1, 999999) AS g$$, $$SELECT g, 'u' FROM generate_series(1, 1000000, 10) AS g$$,
    '{"u": {"max_per_profile": 4, "max_window": "35 s"}}');
SELECT count(*), count(DISTINCT component), count(*) FILTER (WHERE is_generic) FROM cxm.solve('SELECT g, 0 FROM generate_series(1, 100000) AS g', max_links => 100);
SELECT count(*), count(DISTINCT component), count(*) FILTER (WHERE is_generic) FROM cxm.solve('SELECT g, 0, g FROM generate_series(1, 100000) AS g', $$SELECT g, 'u' FROM generate_series(1, 100000) AS g$$, '{"u": 5}');
SELECT reason, count(*) FROM cxm.solve_refused('SELECT g, 0, g FROM generate_series(1, 100000) AS g', $$SELECT g, 'u' FROM generate_series(1, 100000) AS g$$, '{"u": 5}', 100000) GROUP BY reason;

-- random graphs are solved as cxm.components() does; the order of rows and ends does not matter, as limits are kept
CREATE TEMPORARY TABLE edge AS
SELECT n, hashint8extended(n, 1) & 4095 AS a, hashint8extended(n, 2) & 4095 AS b, hashint8extended(n, 3) & 15 AS s FROM generate_series(1, 4000) AS n;
CREATE TEMPORARY VIEW kind AS SELECT g AS id, CASE WHEN g % 3 = 0 THEN 'email' WHEN g % 7 = 0 THEN 'phone' ELSE 'cookie' END AS namespace FROM generate_series(0, 4095) AS g;
SELECT count(*) FILTER (WHERE s.component = c.component) AS same, count(*) FILTER (WHERE s.component IS DISTINCT FROM c.component) AS others
FROM cxm.solve('SELECT a, b FROM edge') AS s
FULL JOIN (SELECT c.* FROM (SELECT array_agg(a) AS a, array_agg(b) AS b FROM edge) AS e, cxm.components(e.a, e.b) AS c) AS c USING (member);
CREATE TEMPORARY TABLE solved AS SELECT * FROM cxm.solve('SELECT a, b, s FROM edge ORDER BY n', 'TABLE kind', '{"email": 3, "phone": 1}', 4);
CREATE TEMPORARY TABLE refused AS SELECT * FROM cxm.solve_refused('SELECT a, b, s FROM edge ORDER BY n', 'TABLE kind', '{"email": 3, "phone": 1}', 4);
SELECT count(*) AS others FROM (TABLE solved EXCEPT ALL SELECT * FROM cxm.solve('SELECT b, a, s FROM edge ORDER BY hashint8(n)', 'SELECT * FROM kind ORDER BY id DESC', '{"phone": 1, "email": 3}', 4)) AS d;
SELECT count(*) AS others FROM (SELECT member::text, is_generic FROM solved EXCEPT ALL SELECT member, is_generic
    FROM cxm.solve_text('SELECT b::text, a::text, s FROM edge ORDER BY hashint8(n)', 'SELECT id::text, namespace FROM kind', '{"phone": 1, "email": 3}', 4)) AS d;
-- limits are kept, they refuse something, and a link holds exactly where its ends are one
SELECT max(n) FILTER (WHERE namespace = 'email') AS emails, max(n) FILTER (WHERE namespace = 'phone') AS phones
FROM (SELECT component, namespace, count(*) AS n FROM solved JOIN kind ON id = member GROUP BY 1, 2) AS c;
SELECT reason, count(*) > 20 AS many FROM refused GROUP BY reason ORDER BY reason;
SELECT count(*) AS wrong
FROM edge AS e JOIN solved AS x ON x.member = e.a JOIN solved AS y ON y.member = e.b
LEFT JOIN (SELECT DISTINCT a::bigint, b::bigint, reason FROM refused) AS r USING (a, b)
WHERE e.a <> e.b AND (x.component = y.component) <> (r.reason IS NULL);
SELECT count(*) AS wrong FROM refused AS r JOIN solved AS x ON x.member = r.a::bigint JOIN solved AS y ON y.member = r.b::bigint WHERE (r.reason = 'generic') <> (x.is_generic OR y.is_generic);

-- one solver in the query of another; a query that fails; a caller that stops early
SELECT count(DISTINCT component) FROM cxm.solve('SELECT s.component, t.component FROM cxm.solve(''SELECT a, b FROM edge'') AS s JOIN cxm.solve(''SELECT b, a FROM edge'') AS t USING (member)');
SELECT * FROM cxm.solve('SELECT 1, 1 / (g - 3) FROM generate_series(1, 5) AS g');
SELECT component FROM cxm.solve('SELECT 1, g FROM generate_series(1, 5) AS g') LIMIT 1;
-- read-only, under the rights of the caller
SELECT * FROM cxm.solve('WITH w AS (DELETE FROM edge RETURNING a, b) SELECT a, b FROM w');
SELECT * FROM cxm.solve('DELETE FROM edge RETURNING a, b');
SELECT * FROM cxm.solve('SELECT a, b FROM edge FOR UPDATE');
BEGIN;
CREATE ROLE cxm_solve_nobody;
GRANT USAGE ON SCHEMA cxm TO cxm_solve_nobody;
SET LOCAL ROLE cxm_solve_nobody;
SELECT * FROM cxm.solve('SELECT a, b FROM edge');
ROLLBACK;

-- what is no query of links
SELECT * FROM cxm.solve('SELECT 1');
SELECT * FROM cxm.solve('SELECT 1, 2, 3, 4');
SELECT * FROM cxm.solve('SELECT 1, 2; SELECT 3, 4');
SELECT * FROM cxm.solve('CREATE TABLE x ()');
SELECT * FROM cxm.solve('nonsense');
SELECT * FROM cxm.solve('');
SELECT * FROM cxm.solve('SELECT 1 AS user_id, 2.0 AS device_id');
SELECT * FROM cxm.solve($$SELECT 'a' AS user_id, 'b' AS device_id$$);
SELECT * FROM cxm.solve_text($$SELECT 'a' AS user_id, 1 AS device_id$$);
SELECT * FROM cxm.solve_text($$SELECT 'a'::char(3), 'b'$$);
SELECT * FROM cxm.solve($$SELECT 1, 2, 'strong' AS strength$$);
SELECT * FROM cxm.solve('SELECT 1 AS user_id, NULL::integer AS device_id');
SELECT * FROM cxm.solve('SELECT NULL::integer AS "User", 1');
SELECT * FROM cxm.solve('SELECT 1, 2, NULL::date AS day');
SELECT * FROM cxm.solve($$SELECT 1, 2, 'NaN'::float8 AS strength$$, $$SELECT 1, 'u'$$, '{"u": 1}');
SELECT * FROM cxm.solve($$SELECT 1, 2, 'NaN'::numeric AS strength$$);
-- nor of identifiers
SELECT * FROM cxm.solve('SELECT 1, 2', 'SELECT 1');
SELECT * FROM cxm.solve('SELECT 1, 2', 'SELECT 1 AS id, 2 AS namespace');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 'a' AS id, 'u'$$);
SELECT * FROM cxm.solve_refused('SELECT 1 AS a, 2 AS b', $$SELECT 'a' AS id, 'u'$$);
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1 AS id, NULL AS namespace$$);
SELECT * FROM cxm.solve('SELECT 1, 2', $$VALUES (7, 'u'), (7, 'v')$$, '{"u": 1}');
SELECT * FROM cxm.solve_text($$SELECT 'a', 'b'$$, $$VALUES ('seven', 'u'), ('seven', 'v')$$, '{"u": 1}');
-- nor limits
SELECT * FROM cxm.solve('SELECT 1, 2', limits => '{"u": 1}');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '[1]');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{"u": "1"}');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{"u": null}');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{"u": 0}');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{"u": 1.5}');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{"u": {"max_per_profile": 1e99}}');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{"u": {"max": 1}}');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{"u": {"is_unique": 1}}');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{"u": {"max_window": "1 day"}}');
SELECT * FROM cxm.solve('SELECT 1, 2, now()', $$SELECT 1, 'u'$$, '{"u": {"max_per_profile": 1, "max_window": "-1 day"}}');
SELECT * FROM cxm.solve('SELECT 1, 2, now()', $$SELECT 1, 'u'$$, '{"u": {"max_per_profile": 1, "max_window": "170000000 years"}}');
SELECT * FROM cxm.solve('SELECT 1, 2, now()', $$SELECT 1, 'u'$$, '{"u": {"max_per_profile": 1, "max_window": "often"}}');
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{"u": {"max_per_profile": 1, "max_window": "1 day"}}');
SELECT * FROM cxm.solve('SELECT 1, 2, 3 AS day', $$SELECT 1, 'u'$$, '{"u": {"max_per_profile": 1, "max_window": "1 day"}}');
SELECT * FROM cxm.solve('SELECT 1, 2', max_links => 0);
-- limits that limit nothing
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{}') ORDER BY member;
SELECT * FROM cxm.solve('SELECT 1, 2', $$SELECT 1, 'u'$$, '{"u": {}}') ORDER BY member;
SELECT * FROM cxm.solve('SELECT 1, 2', NULL, '{}') ORDER BY member;
