-- identity resolution: arguments that make no sense are refused, and leave nothing behind
SET client_min_messages = warning;
SET timezone = 'UTC';
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT cxm.create_store('UTC') = cxm.version() AS made;
SELECT cxm.source_id('a') > 0 AS source;

-- the call that the others spoil in one place
CREATE FUNCTION pg_temp.call(source_id integer DEFAULT cxm.source_id('a'), namespaces text[] DEFAULT '{email,phone}', vals text[] DEFAULT '{a@x,+49301111}', malformed boolean[] DEFAULT '{f,f}',
                             records integer[] DEFAULT '{1,1}', places integer[] DEFAULT '{1,2}', times timestamptz[] DEFAULT '{2024-01-01}', evidence text[] DEFAULT ARRAY[''], verified boolean[] DEFAULT '{f}',
                             retired_links bigint[] DEFAULT NULL, retired_reason text DEFAULT NULL)
RETURNS text LANGUAGE sql AS $$ SELECT cardinality(i) || ' records, ' || count(u) || ' with somebody' FROM cxm.link_identifiers($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS i LEFT JOIN unnest(i) AS u ON true GROUP BY i $$;
CREATE FUNCTION pg_temp.attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_answer text;
    v_detail text;
    v_hint text;
BEGIN
    EXECUTE 'SELECT ' || call INTO v_answer;
    RETURN coalesce(v_answer, 'NULL');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
    RETURN format('%s %s', SQLSTATE, concat_ws(' | ', SQLERRM, CASE WHEN SQLSTATE <> '23514' THEN nullif(v_detail, '') END, nullif(v_hint, '')));
END
$$;
SELECT call, pg_temp.attempt('pg_temp.call(' || call || ')') AS answer
FROM unnest(ARRAY[
    'source_id => NULL', 'namespaces => NULL', 'vals => NULL', 'malformed => NULL', 'records => NULL', 'places => NULL', 'times => NULL',
    'namespaces => ''{email}''', 'vals => ''{a@x}''', 'malformed => ''{f}''', 'records => ''{1}''', 'places => ''{1}''', 'records => ''{}''', 'evidence => ''{}''', 'verified => ''{}''', 'evidence => ''{a,b}''', 'verified => ''{f,t}''',
    'namespaces => ''{email,NULL}''', 'vals => ''{a@x,NULL}''', 'malformed => ''{f,NULL}''', 'records => ''{1,NULL}''', 'places => ''{1,NULL}''', 'times => ''{NULL}''',
    'places => ''{0,1}''', 'places => ''{1,3}''', 'places => ''{1,-1}''', 'places => ''{1,2147483647}''', 'places => ''{-2147483648,1}''',
    'records => ''{0,1}''', 'records => ''{1,2}''', 'records => ''{2,1}'', times => ''{2024-01-01,2024-01-01}'', evidence => ''{a,b}'', verified => ''{f,f}''', 'records => ''{1,2147483647}''', 'records => ''{-1,1}''',
    'namespaces => ''{{email,phone}}''', 'places => ''{{1,2}}''', 'places => ''[0:1]={1,2}''', 'times => ''{}''',
    'namespaces => ''{email,nobody}''', 'namespaces => ''{email,Email}''', 'namespaces => ''{email,email}'', vals => ''{a@x,a@x}''', 'vals => ARRAY[''a@x'', '''']', 'vals => ARRAY[''a@x'', repeat(''x'', 513)]',
    'source_id => -1', 'retired_links => ''{1}''', 'retired_links => ''{NULL}'', retired_reason => ''x''']) AS u(call);
SELECT (SELECT count(*) FROM cx.identifier) AS identifiers, (SELECT count(*) FROM cx.link) AS links, (SELECT count(*) FROM cx.profile) AS profiles;

-- these are odd and make sense
SELECT call, pg_temp.attempt('pg_temp.call(' || call || ')') AS answer
FROM unnest(ARRAY[
    'namespaces => ''{}'', vals => ''{}'', malformed => ''{}'', records => ''{}'', places => ''{}'', times => ''{}'', evidence => NULL, verified => NULL',
    'records => ''{}'', places => ''{}''', 'records => ''{2}'', places => ''{2}'', times => ''{2024-01-01,2024-01-01,2024-01-01}'', evidence => NULL, verified => NULL',
    'records => ''{1}'', places => ''{1}''', 'records => ''{1}'', places => ''{1}'', verified => ''{t}''', 'places => ''{2,1}''', 'places => ''{1,1}''', 'evidence => ''{NULL}'', verified => ''{NULL}''',
    'times => ''{-infinity}''', 'times => ''{infinity}'', evidence => ''{late}''',
    'records => ''{1,1,2,2,3,3}'', places => ''{1,2,2,1,1,2}'', times => ''{2024-01-03,2024-01-02,2024-01-04}'', evidence => ''{e,e,e}'', verified => ''{f,f,t}''']) AS u(call);
SELECT a.value AS a, b.value AS b, l.verified, l.evidence, l.observed_at FROM cx.link AS l JOIN cx.identifier AS a ON a.identifier_id = l.identifier_a JOIN cx.identifier AS b ON b.identifier_id = l.identifier_b ORDER BY 1, 2, 4;
SELECT cxm.identity_differences();

SELECT call, pg_temp.attempt(call) AS answer
FROM unnest(ARRAY[
    'cxm.resolve_links(NULL)', 'cxm.resolve_links(''{}'')', 'cxm.resolve_links(''{NULL}'')', 'cxm.resolve_links(''{-1,0,9223372036854775807}'')', 'cxm.resolve_links(''{{1},{1}}'')',
    'cxm.retire_links(NULL, ''x'')', 'cxm.retire_links(''{}'', ''x'')', 'cxm.retire_links(''{0}'', ''x'')', 'cxm.retire_links(ARRAY(SELECT link_id FROM cx.link), NULL)', 'cxm.retire_links(NULL, NULL)']) AS u(call);
SELECT count(*) FROM cx.link WHERE retired_at IS NULL;

SELECT call, pg_temp.attempt('cxm.link(' || call || ') IS NOT NULL') AS answer
FROM unnest(ARRAY[
    'NULL, ''a@x'', ''email'', ''b@x''', '''email'', NULL, ''email'', ''b@x''', '''email'', ''a@x'', NULL, ''b@x''', '''email'', ''a@x'', ''email'', NULL',
    '''email'', ''a@x'', ''nobody'', ''b''', '''email'', ''a@x'', ''email'', ''''', '''email'', ''a@x'', ''email'', ''  ''', '''email'', ''a@x'', ''email'', repeat(''x'', 520) || ''@x''',
    '''email'', ''a@x'', ''email'', ''b@x'', source => NULL', '''email'', ''a@x'', ''email'', ''b@x'', observed_at => NULL', '''email'', ''a@x'', ''email'', ''b@x'', verified => NULL', '''email'', ''a@x'', ''email'', ''b@x'', evidence => NULL',
    '''email'', '' A@x '', ''email'', ''a@X''', '''email'', ''nobody'', ''email'', ''a@x''']) AS u(call);
SELECT namespace, value, quarantined FROM cx.identifier ORDER BY 1, 2;
SELECT cxm.identity_differences(), (SELECT count(*) FROM cxm.store_check()) AS problems;

-- ranks beyond what anybody needs still order links, and so do probabilities that differ by a hair
SELECT cxm.add_namespace('far', 2147483646, is_unique => true), cxm.add_namespace('farther', 2147483647), cxm.add_namespace('near', 20000);
SELECT pg_temp.call(namespaces => '{far,farther,near,far}', vals => '{f1,x,x,f2}', malformed => '{f,f,f,f}', records => '{1,1,2,2,3,3}', places => '{1,2,2,3,3,4}',
                    times => '{2024-01-01,2024-01-03,2024-01-02}', evidence => NULL, verified => NULL);
SELECT pg_temp.call(namespaces => '{near,farther,near,far,far}', vals => '{y,z,w,f3,f4}', malformed => '{f,f,f,f,f}', records => '{1,1,2,2,3,3,4,4}', places => '{1,4,2,3,3,2,3,5}',
                    times => '{2024-01-01,2024-01-01,2024-01-02,2024-01-03}', evidence => NULL, verified => NULL);
SELECT a.value AS a, b.value AS b, l.refused FROM cx.link AS l JOIN cx.identifier AS a ON a.identifier_id = l.identifier_a JOIN cx.identifier AS b ON b.identifier_id = l.identifier_b
WHERE a.namespace ~ 'far|near' ORDER BY a.value, b.value;

-- profiles that somebody has damaged: an error, neither a call that never ends nor one that ends the server
CREATE FUNCTION pg_temp.spoilt(damage text, call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL statement_timeout = '60s';
    PERFORM cxm.link('email', 'd1@x', 'email', 'd2@x'), cxm.link('email', 'd3@x', 'email', 'd4@x');
    EXECUTE format(damage, cxm.customer('email', 'd1@x'), cxm.customer('email', 'd3@x'));
    EXECUTE 'SELECT ' || call;
    RAISE EXCEPTION 'nothing is wrong';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || CASE WHEN SQLSTATE = 'P0001' THEN ' ' || SQLERRM ELSE '' END;
END
$$;
SELECT d.name AS damage, c.call, pg_temp.spoilt(d.damage, c.call) AS answer
FROM (VALUES (1, 'no profile', 'DELETE FROM cx.profile WHERE profile_id = %1$s'),
             (2, 'merged into none', 'UPDATE cx.profile SET canonical_id = -1 WHERE profile_id = %1$s'),
             (3, 'merged into each other', 'UPDATE cx.profile SET canonical_id = %1$s + %2$s - profile_id WHERE profile_id IN (%1$s, %2$s)')) AS d(place, name, damage),
     (VALUES (1, 'cxm.link(''email'', ''d1@x'', ''email'', ''d5@x'')'),
             (2, 'cxm.link(''email'', ''d1@x'', ''email'', ''d3@x'')'),
             (3, 'cxm.link(''email'', ''d1@x'', ''email'', ''d2@x'')'),
             (4, 'cxm.identify(''{"email": ["d1@x", "d5@x"]}'', message_id => ''d'')'),
             (5, 'cxm.retire_links(ARRAY(SELECT l.link_id FROM cx.link AS l JOIN cx.identifier AS i ON i.identifier_id = l.identifier_a WHERE i.value = ''d1@x''), ''test'')')) AS c(place, call)
ORDER BY d.place, c.place;
SELECT cxm.identity_differences();

DROP SCHEMA cx CASCADE;
