-- journey: text and binary form, building, sums, order, parts, and what aggregates make of any plan

SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
CREATE FUNCTION pg_temp.fails(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE query;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(' -- ' || nullif(detail, ''), '') || coalesce(' -- ' || nullif(hint, ''), '');
END $$;
-- how often nodes of a kind are in the plan, the answer of EXPLAIN read as JSON
CREATE FUNCTION pg_temp.nodes(query text, kind text, mode text DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN (SELECT count(*) FROM jsonb_path_query(plan, 'strict $.**') AS n
            WHERE jsonb_typeof(n) = 'object' AND n ->> 'Node Type' = kind AND (mode IS NULL OR n ->> 'Partial Mode' = mode));
END $$;
-- the multiset that is meant, by SQL alone: what a journey with these events is to print
CREATE FUNCTION pg_temp.print(at timestamptz[], code integer[]) RETURNS text LANGUAGE sql AS $$
    SELECT '{' || coalesce(string_agg(to_char(a AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
                                      || rtrim(rtrim(to_char(a AT TIME ZONE 'UTC', '.US'), '0'), '.') || 'Z ' || c, ',' ORDER BY a, c), '') || '}'
    FROM unnest(at, code) AS e (a, c)
$$;

---- Text

SELECT t::cxm.journey FROM unnest(ARRAY['{}', E' { \n} ', '{2026-03-01T09:00:00Z 1}', E'{2026-03-01 09:05:30.250000+00 2,\t2026-03-01 10:00:00+01 1 , 2026-03-01T09:00:00Z -1}',
    '{2026-03-01T09:00:00Z 1,2026-03-01T09:00:00Z 1}', '{-4713-11-24T00:00:00Z -2147483648,294276-12-31T23:59:59.999999Z 2147483647,0000-02-29T00:00:00Z 0,12026-01-01T00:00:00Z 5}', '{2026-03-29T02:30:00+02:00 7,2026-03-29 00:30:00z 7}']) AS t;
-- whatever the session says about times
SET timezone = 'Asia/Kathmandu'; SET datestyle = 'SQL, DMY';
SELECT '{2026-03-01T09:00:00Z 1}'::cxm.journey, cxm.append('{}', '2026-03-01 09:00:00.5+00', 2);
SET timezone = 'UTC'; SET datestyle = 'ISO';
-- what is no journey
SELECT t, pg_temp.fails(format('SELECT %L::cxm.journey', t)) FROM unnest(ARRAY['', 'x', '{', '}', '{}}', '{} x', '{,}', '{2026-03-01T09:00:00Z 1,}', '{2026-03-01T09:00:00Z 1', '{2026-03-01T09:00:00Z 1 2026-03-01T09:00:00Z 1}', '{2026-03-01T09:00:00Z}',
    '{2026-03-01T09:00:00 1}', '{2026-02-29T09:00:00Z 1}', '{2026-03-01T09:00:00.1234567Z 1}', '{infinity 1}', '{2026-03-01T09:00:00Z 2147483648}', '{2026-03-01T09:00:00Z 1.5}', '{294277-01-01T00:00:00Z 1}', '{2026-03-01T09:00:00Z äö}', '{1}', 'null']) AS t;
DO $$
DECLARE
    valid boolean;
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        FOR valid IN EXECUTE $q$SELECT pg_input_is_valid(t, 'cxm.journey') FROM unnest(ARRAY['nonsense', '{1}', '{infinity 1}']) AS t$q$ LOOP
            ASSERT NOT valid;
        END LOOP;
        EXECUTE $q$SELECT pg_input_is_valid('{2026-03-01T09:00:00Z 1}', 'cxm.journey')$q$ INTO valid;
        ASSERT valid;
    END IF;
END $$;
-- mutations of good text are journeys, too, or refused; what is accepted is canonical after one turn
DO $$
DECLARE
    bad text;
    alphabet constant text := '0123456789--:.,TZ{} +' || chr(9) || chr(228);
    value cxm.journey;
    accepted integer := 0;
    place integer;
BEGIN
    PERFORM setseed(0.271828);
    FOR i IN 1 .. 4000 LOOP
        bad := (ARRAY['{}', '{2026-03-01T09:00:00Z 1}', '{2026-03-01T09:00:00.25Z 1,2026-03-02T23:59:59+02:00 -70000}', '{1999-12-31T00:00:00Z 5,2000-01-01T00:00:00Z 6,2000-02-29T00:00:00Z 7}'])[1 + floor(4 * random())::integer];
        FOR j IN 1 .. 1 + floor(2 * random())::integer LOOP
            place := 1 + floor(length(bad) * random())::integer;
            bad := overlay(bad PLACING CASE WHEN random() < 0.2 THEN '' ELSE substr(alphabet, 1 + floor(length(alphabet) * random())::integer, 1) END
                           FROM place FOR floor(2 * random())::integer);
        END LOOP;
        BEGIN
            value := bad::cxm.journey;
            accepted := accepted + 1;
            ASSERT value::text::cxm.journey::text = value::text AND value::text::cxm.journey OPERATOR(cxm.=) value, bad;
        EXCEPTION WHEN invalid_text_representation THEN
            NULL;
        END;
    END LOOP;
    ASSERT accepted BETWEEN 100 AND 3900, 'the mutations are too tame or too wild: ' || accepted;
END $$;

---- Binary form

SELECT cxm.journey_send(t::cxm.journey) FROM unnest(ARRAY['{}', '{2000-01-01T00:00:00Z 1,2000-01-01T00:00:03Z 2}', '{2000-01-02T00:00:00Z 1,2000-01-03T00:00:00Z 300}', '{2000-01-01T00:00:00Z -1,2000-01-01T00:00:00.000001Z 1}']) AS t;
-- a file of COPY in binary format with these bytes in each row; what the receive function makes of them
CREATE TEMP TABLE received (i integer, j cxm.journey);
CREATE FUNCTION pg_temp.receive(message bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    stream bytea := '\x5047434f50590aff0d0a00' || '\x0000000000000000'::bytea || '\x0002'::bytea || int4send(4) || int4send(1) || int4send(length(message)) || message || '\xffff'::bytea;
    command text := '';
    answer text;
    detail text;
BEGIN
    FOR i IN 0 .. length(stream) - 1 LOOP
        command := command || '\' || get_byte(stream, i) / 64 || get_byte(stream, i) / 8 % 8 || get_byte(stream, i) % 8;
    END LOOP;
    DELETE FROM received;
    EXECUTE format('COPY received FROM PROGRAM %L (FORMAT binary)', format('printf ''%s''', command));
    SELECT j INTO answer FROM received;
    RETURN answer;
EXCEPTION WHEN invalid_binary_representation OR protocol_violation THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(' -- ' || nullif(detail, ''), '');
END $$;
SELECT m, pg_temp.receive(m) FROM unnest(ARRAY[
    '\x01000000000000000000000000000000', '\x0103020002000000000000000000000001020c', '\x',
    -- cut, another version, a reserved bit, the loose form, no such unit, no such width
    '\x0103020002000000000000000000000001020c00', '\x0203020002000000000000000000000001020c', '\x0123020002000000000000000000000001020c', '\x0180080002000000000000000000000001020c',
    '\x0107020002000000000000000000000001020c', '\x01033a0002000000000000000000000001020c', '\x0103020102000000000000000000000001020c',
    -- more events than bytes, out of range, not in order, codes not in order
    '\x010302ff02000000000000000000000001020c', '\x01030200ffffffff000000000000000001020c', '\x0103020002000000000000000000008001020c', '\x010302000300000000000000000000000102031c', '\x010000000200000000000000000000000201',
    -- not the one packed form: unit, width of times, width of codes, first time, what is behind
    '\x0105020002000000000000000000000001020c', '\x01040200020000000000000000000000010200', '\x01030300020000000000000000000000010218', '\x010b0200020000000000000000000000010002000c', '\x0103020002000000000000000000000001020d', '\x0103020002000000000000000000000001021c']::bytea[]) AS m;
-- each byte of a good form changed to random ones, each length of it: refused, or a journey whose bytes are these; the server is there after all
CREATE TEMP TABLE mutant (i integer, m bytea);
DO $$
DECLARE
    good bytea := cxm.journey_send('{2026-03-01T09:00:00Z 1,2026-03-01T09:00:00Z 3,2026-03-01T09:05:30.25Z 2,2026-05-01T00:00:00Z 7}');
    answer text;
    refused integer := 0;
    taken integer := 0;
BEGIN
    PERFORM setseed(0.14142);
    FOR i IN 0 .. length(good) - 1 LOOP
        INSERT INTO mutant SELECT i, set_byte(good, i, (get_byte(good, i) + 1 + floor(255 * random())::integer) % 256) FROM generate_series(1, 3);
        INSERT INTO mutant VALUES (i, substr(good, 1, i));
    END LOOP;
    FOR good IN SELECT m FROM mutant LOOP
        answer := pg_temp.receive(good);
        IF answer LIKE '22P03: invalid binary form of type cxm.journey -- %' THEN
            refused := refused + 1;
        ELSE
            ASSERT cxm.journey_send(answer::cxm.journey) = good, good || ' ' || answer;
            taken := taken + 1;
        END IF;
    END LOOP;
    ASSERT taken > 5 AND refused > 50, taken || ' taken, ' || refused || ' refused';
END $$;

---- Building

SELECT cxm.journey_agg(at, code) FROM (VALUES ('2026-03-02'::timestamptz, 2), ('2026-03-01 12:00', 9), ('2026-03-01 12:00', 1), (NULL, 1), ('2026-03-01', NULL), ('2026-03-01 12:00', 9)) AS e (at, code);
SELECT cxm.journey_agg(now(), 1) FILTER (WHERE false), cxm.journey_agg(NULL, NULL), cxm.rollup(NULL::cxm.journey), cxm.journey_agg(NULL, 1) IS NOT NULL AS never_null;
SELECT pg_temp.fails(q) FROM unnest(ARRAY[$$SELECT cxm.journey_agg('infinity', 1)$$, $$SELECT cxm.journey_agg('-infinity', 1)$$, $$SELECT cxm.append('{}', 'infinity', 1)$$]) AS q;
SELECT cxm.append('{}', '2026-01-01', 5), cxm.append('{2026-01-01T00:00:00Z 5,2026-01-03T00:00:00Z 5}', '2026-01-02', 5), cxm.append('{2026-01-01T00:00:00Z 5}', '2025-01-01', 70000), cxm.append('{2026-01-01T00:00:00Z 5}', '2026-01-01', 4), cxm.append('{2026-01-01T00:00:00Z 5}', '2026-01-01', 5);
SELECT cxm.append(NULL, now(), 1), cxm.append('{}', NULL, 1), cxm.append('{}', now(), NULL);
SELECT cxm.rollup(j) FROM (VALUES ('{2026-01-02T00:00:00Z 1}'::cxm.journey), (NULL), ('{}'), ('{2026-01-01T00:00:00Z 1,2026-01-03T00:00:00.000001Z -5}'), ('{2026-01-02T00:00:00Z 1}')) AS t (j);
-- an argument stays what it was
CREATE TEMP TABLE kept AS SELECT '{2026-01-02T00:00:00Z 1}'::cxm.journey AS j;
SELECT cxm.append(j, '2026-01-01', 1), j OPERATOR(cxm.+) j, (SELECT cxm.rollup(x) FROM unnest(ARRAY[j, j]) AS x), j FROM kept;

---- Sum, difference, order

SELECT a OPERATOR(cxm.+) b AS sum, a OPERATOR(cxm.+) b OPERATOR(cxm.-) b OPERATOR(cxm.=) a AS undone, a OPERATOR(cxm.-) a AS nothing, a OPERATOR(cxm.-) '{}' AS all
FROM (VALUES ('{2026-01-01T00:00:00Z 1,2026-01-01T00:00:00Z 1,2026-01-02T00:00:00Z 2}'::cxm.journey, '{2026-01-01T00:00:00Z 1,2026-01-01T12:00:00.5Z 2}'::cxm.journey)) AS t (a, b);
SELECT pg_temp.fails(format('SELECT %L::cxm.journey OPERATOR(cxm.-) %L', a, b)) FROM (VALUES
    ('{}', '{2026-01-01T00:00:00Z 1}'), ('{2026-01-01T00:00:00Z 1}', '{2026-01-01T00:00:00Z 1,2026-01-01T00:00:00Z 1}'), ('{2026-01-01T00:00:00Z 1,2026-01-03T00:00:00Z 1}', '{2026-01-02T00:00:00.25Z -4}'), ('{2026-01-01T00:00:00Z 1}', '{2025-01-01T00:00:00Z 1}')) AS t (a, b);
SELECT j FROM unnest(ARRAY['{2026-01-02T00:00:00Z 1}', '{2026-01-01T00:00:00Z 2}', '{2026-01-01T00:00:00Z 1,2026-01-01T00:00:01Z 0}', '{}', '{2026-01-01T00:00:00Z 1}', '{1969-01-01T00:00:00Z 9,2026-01-01T00:00:00Z 1}']::cxm.journey[]) AS j ORDER BY j;
SELECT a OPERATOR(cxm.=) b AS eq, a OPERATOR(cxm.<>) b AS ne, a OPERATOR(cxm.<) b AS lt, a OPERATOR(cxm.<=) b AS le, a OPERATOR(cxm.>) b AS gt, a OPERATOR(cxm.>=) b AS ge, cxm.journey_cmp(a, b) AS cmp,
       cxm.journey_hash(a) = cxm.journey_hash(b) AS hash, cxm.journey_hash_extended(a, 7) = cxm.journey_hash_extended(b, 7) AS hash_extended, cxm.journey_hash_extended(a, 0)::bit(32) = cxm.journey_hash(a)::bit(32) AS same_without_seed
FROM (VALUES ('{2026-01-01T00:00:00Z 1}'::cxm.journey, '{2026-01-01T00:00:00Z 1}'::cxm.journey), ('{2026-01-01T00:00:00Z 1}', '{2026-01-01T00:00:00Z 2}'), ('{2026-01-01T00:00:00Z 1}', '{}'), ('{}', '{}')) AS t (a, b);
CREATE TEMP TABLE sorted (j cxm.journey);
INSERT INTO sorted SELECT cxm.journey_agg('2026-01-01'::timestamptz + k * i * interval '1 hour', k) FROM generate_series(1, 300) AS i, generate_series(0, i % 7) AS k GROUP BY i;
CREATE INDEX ON sorted (j);
CREATE INDEX ON sorted USING hash (j);
ANALYZE sorted;
SELECT count(*), count(DISTINCT j), (SELECT count(*) FROM (SELECT j FROM sorted GROUP BY j) AS g) AS grouped, (SELECT count(*) FROM sorted AS a JOIN sorted AS b ON a.j OPERATOR(cxm.=) b.j) AS joined FROM sorted;
SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off;
SELECT count(*) FROM sorted AS a JOIN sorted AS b ON a.j OPERATOR(cxm.=) b.j;
RESET enable_hashjoin; RESET enable_mergejoin; RESET enable_seqscan;

---- Parts

SELECT cxm.count(j), cxm.first_at(j), cxm.last_at(j), cxm.duration(j), cxm.duration(j) IS NOT DISTINCT FROM cxm.last_at(j) - cxm.first_at(j) AS same
FROM unnest(ARRAY['{}', '{2026-01-01T00:00:00Z 1}', '{2026-01-01T00:00:00Z 1,2026-03-01T10:30:00.25Z 300}', '{1990-06-01T12:00:00Z 1,2026-03-01T10:30:00Z 1}', NULL]::cxm.journey[]) AS j;
SELECT pg_temp.fails($$SELECT cxm.duration('{-4713-11-24T00:00:00Z 1,294276-12-31T23:59:59.999999Z 1}')$$);
SELECT * FROM cxm.events('{2026-01-01T00:00:00Z 1,2026-01-01T00:00:00Z 1,2026-03-01T10:30:00.25Z -300}');
SELECT e.* FROM unnest(ARRAY['{}', NULL, '{2026-01-01T00:00:00Z 1}']::cxm.journey[]) AS j, cxm.events(j) AS e;
SELECT cxm.events('{2026-01-01T00:00:00Z 1,2026-01-01T00:00:00Z 2}') LIMIT 1;
SELECT r, cxm.slice('{2026-01-01T00:00:00Z 1,2026-01-01T00:00:00Z 2,2026-01-02T00:00:00Z 3,2026-01-03T00:00:00Z 4}', r::tstzrange)
FROM unnest(ARRAY['(,)', 'empty', '[2026-01-01,2026-01-03)', '[2026-01-01,2026-01-03]', '(2026-01-01,2026-01-03)', '[2026-01-02,2026-01-02]', '(,2026-01-01]', '(,2026-01-01)', '[2026-01-03,)', '(2026-01-03,)',
    '[-infinity,infinity]', '(-infinity,infinity)', '[infinity,infinity]', '[-infinity,2026-01-02)', '(2026-01-01 00:00:00.000001,2026-01-02 00:00:00.000001)', NULL]) AS r;
SELECT c, cxm.filter_codes('{2026-01-01T00:00:00Z 1,2026-01-01T00:00:00Z 2,2026-01-02T00:00:00Z 300,2026-01-03T00:00:00Z -4,2026-01-03T00:00:00Z 70000}', c)
FROM unnest(ARRAY['{}', '{1}', '{2,1,1,9}', '{300,-4}', '{{70000,2},{1,5}}', '{-2147483648,2147483647}', NULL]) AS s, LATERAL (SELECT s::integer[]) AS a (c);
SELECT pg_temp.fails($$SELECT cxm.filter_codes('{}', '{1,NULL}')$$);

---- Laws, on random multisets, against SQL

CREATE FUNCTION pg_temp.random_events(n integer, wide boolean) RETURNS TABLE (at timestamptz, code integer) LANGUAGE sql AS $$
    SELECT '2026-01-01'::timestamptz + floor((ARRAY[3, 1000, 1e5])[1 + n % 3] * random()) * (ARRAY['1 day', '1 hour', '1 minute', '1 s', '1 ms', '1 us']::interval[])[1 + n % 6] + CASE WHEN wide THEN interval '13 years' * floor(3 * random()) ELSE interval '0' END,
           floor((ARRAY[3, 256, 60000])[1 + n % 3] * random())::integer - CASE WHEN wide AND random() < 0.1 THEN 100000 ELSE 0 END
    FROM generate_series(1, n)
$$;
DO $$
DECLARE
    at timestamptz[];
    code integer[];
    part integer[];
    a cxm.journey;
    b cxm.journey;
    c cxm.journey;
    lower timestamptz;
    upper timestamptz;
    range tstzrange;
    wanted integer[];
BEGIN
    PERFORM setseed(0.57721);
    FOR i IN 1 .. 400 LOOP
        SELECT array_agg(e.at), array_agg(e.code), array_agg(floor(4 * random())::integer) INTO at, code, part FROM pg_temp.random_events(i % 97, i % 5 = 0) AS e;
        a := (SELECT cxm.journey_agg(x, y) FROM unnest(at, code) AS e (x, y));
        -- the aggregate is the multiset, in whatever order, in whatever parts
        ASSERT a::text = pg_temp.print(at, code), a;
        ASSERT a OPERATOR(cxm.=) (SELECT cxm.journey_agg(x, y ORDER BY x DESC, y DESC) FROM unnest(at, code) AS e (x, y));
        ASSERT a OPERATOR(cxm.=) (SELECT cxm.journey_agg(x, y ORDER BY random()) FROM unnest(at, code) AS e (x, y));
        ASSERT a OPERATOR(cxm.=) (SELECT cxm.rollup(j ORDER BY random()) FROM (SELECT cxm.journey_agg(x, y) AS j FROM unnest(at, code, part) AS e (x, y, z) GROUP BY z) AS s);
        ASSERT a OPERATOR(cxm.=) coalesce((SELECT cxm.rollup(cxm.append('{}', x, y) ORDER BY random()) FROM unnest(at, code) AS e (x, y)), '{}');
        ASSERT a OPERATOR(cxm.=) (a::text::cxm.journey) AND cxm.journey_send(a) = cxm.journey_send(a::text::cxm.journey);
        -- parts
        ASSERT cxm.count(a) = coalesce(cardinality(at), 0) AND cxm.first_at(a) IS NOT DISTINCT FROM (SELECT min(x) FROM unnest(at) AS x) AND cxm.last_at(a) IS NOT DISTINCT FROM (SELECT max(x) FROM unnest(at) AS x);
        ASSERT (SELECT coalesce(array_agg(row (x, y) ORDER BY x, y), '{}') FROM unnest(at, code) AS e (x, y)) = (SELECT coalesce(array_agg(row (e.at, e.code)), '{}') FROM cxm.events(a) AS e);
        lower := (SELECT x FROM unnest(at) AS x ORDER BY random() LIMIT 1);
        upper := (SELECT x FROM unnest(at) AS x WHERE x >= lower ORDER BY random() LIMIT 1);
        range := tstzrange(lower, upper, (ARRAY['[]', '[)', '(]', '()'])[1 + i % 4]);
        b := (SELECT cxm.journey_agg(x, y) FROM unnest(at, code) AS e (x, y) WHERE x <@ range);
        ASSERT cxm.slice(a, range) OPERATOR(cxm.=) b, range;
        wanted := ARRAY(SELECT y FROM unnest(code) AS y WHERE random() < 0.3) || 5;
        c := (SELECT cxm.journey_agg(x, y) FROM unnest(at, code) AS e (x, y) WHERE y = ANY (wanted));
        ASSERT cxm.filter_codes(a, wanted) OPERATOR(cxm.=) c;
        -- sum and difference
        ASSERT (a OPERATOR(cxm.-) b) OPERATOR(cxm.+) b OPERATOR(cxm.=) a AND (a OPERATOR(cxm.+) b) OPERATOR(cxm.-) b OPERATOR(cxm.=) a AND (a OPERATOR(cxm.+) c) OPERATOR(cxm.-) a OPERATOR(cxm.=) c;
        ASSERT b OPERATOR(cxm.+) c OPERATOR(cxm.=) (c OPERATOR(cxm.+) b) AND (a OPERATOR(cxm.+) b) OPERATOR(cxm.+) c OPERATOR(cxm.=) (a OPERATOR(cxm.+) (b OPERATOR(cxm.+) c));
        ASSERT a OPERATOR(cxm.+) b OPERATOR(cxm.=) (SELECT cxm.rollup(x) FROM unnest(ARRAY[a, NULL, b]) AS x);
        -- order: that of the arrays of events
        ASSERT sign(cxm.journey_cmp(b, c)) = (SELECT CASE WHEN x < y THEN -1 WHEN x > y THEN 1 ELSE 0 END
            FROM (SELECT ARRAY(SELECT e FROM cxm.events(b) AS e) AS x, ARRAY(SELECT e FROM cxm.events(c) AS e) AS y) AS s);
        ASSERT (cxm.journey_cmp(b, c) = 0) = (cxm.journey_send(b) = cxm.journey_send(c)) AND sign(cxm.journey_cmp(b, c)) = -sign(cxm.journey_cmp(c, b));
    END LOOP;
END $$;

-- states are as small as their events allow: whole seconds and small codes, and then, at any place, one that is not like it
SELECT odd.name, count(*) AS tried, count(*) FILTER (WHERE b.built::text = b.wanted AND b.backwards OPERATOR(cxm.=) b.built AND b.summed OPERATOR(cxm.=) b.built) AS right
FROM (VALUES ('a microsecond', interval '1 us', 3), ('a code of two bytes', '0', 256), ('a code of four bytes', '0', 65536), ('a negative code', '0', -1),
             ('in eight years', '9 years', 3), ('years before', '-2 years', 3), ('in a century', '100 years', 3), ('a century before', '-100 years', 3),
             ('all of it', '-100 years 1 us', -1)) AS odd (name, away, code),
     unnest('{1,2,3,4,5,8,9,20,21,22,96,97,98,200}'::integer[]) AS place,
     LATERAL (SELECT cxm.journey_agg(e.at, e.code ORDER BY e.i) AS built, cxm.journey_agg(e.at, e.code ORDER BY e.i DESC) AS backwards,
                     cxm.journey_agg(e.at, e.code ORDER BY e.i) FILTER (WHERE e.i < place) OPERATOR(cxm.+) cxm.journey_agg(e.at, e.code ORDER BY e.i) FILTER (WHERE e.i >= place) AS summed,
                     pg_temp.print(array_agg(e.at), array_agg(e.code)) AS wanted
              FROM (SELECT i, '2026-01-01'::timestamptz + i * interval '7 s' + CASE WHEN i = place THEN odd.away ELSE '0' END AS at, CASE WHEN i = place THEN odd.code ELSE i % 256 END AS code
                    FROM generate_series(1, 200) AS i) AS e) AS b
GROUP BY odd.name ORDER BY odd.name;

---- Plans

CREATE TABLE journey_event (id integer, customer integer, at timestamptz, code integer);
INSERT INTO journey_event
SELECT i, i * 7919 % 60, '2026-01-01'::timestamptz + ((i * 1103515245::bigint + 12345) % 2147483648 % 7776000) * interval '1 s' + CASE WHEN i % 1000 = 0 THEN interval '30 years' ELSE interval '0' END,
       CASE WHEN i % 17 = 0 THEN NULL WHEN i % 501 = 0 THEN -i ELSE i % 12 END
FROM generate_series(1, 20000) AS i;
ANALYZE journey_event;
-- by SQL alone
CREATE TABLE journey_expected AS
SELECT customer, pg_temp.print(array_agg(at), array_agg(code)) AS text FROM journey_event WHERE code IS NOT NULL GROUP BY customer;
\set build 'SELECT customer, cxm.journey_agg(at, code) AS j FROM journey_event GROUP BY customer'
\set same 'SELECT count(*) FROM (' :build ') AS b JOIN journey_expected AS e USING (customer) WHERE b.j::text = e.text'
SET max_parallel_workers_per_gather = 0;
SELECT pg_temp.nodes(:'build', 'Aggregate', 'Simple') AS simple;
:same;
SET enable_hashagg = off;
:same;
RESET enable_hashagg;
-- more groups than memory holds: the states spill
SET work_mem = '64kB'; SET enable_sort = off;
:same;
SELECT count(*), cxm.count(cxm.rollup(j)) = (SELECT count(code) FROM journey_event) AS whole FROM (SELECT id % 5003 AS g, cxm.journey_agg(at, code) AS j FROM journey_event GROUP BY 1) AS s;
RESET work_mem; RESET enable_sort;
-- grouping sets, FILTER, DISTINCT
SELECT customer, cxm.count(cxm.journey_agg(at, code)), cxm.count(cxm.journey_agg(at, code) FILTER (WHERE code < 3)), cxm.count(cxm.journey_agg(DISTINCT at, code)) FROM journey_event WHERE customer < 2 GROUP BY GROUPING SETS ((customer), ()) ORDER BY customer;
-- windows: the state goes on after it was read
SELECT count(*), bool_and(running OPERATOR(cxm.=) (SELECT cxm.journey_agg(x.at, x.code) FROM journey_event AS x WHERE x.customer = 1 AND x.id <= w.id)
                          AND moving OPERATOR(cxm.=) (SELECT cxm.journey_agg(x.at, x.code) FROM (SELECT * FROM journey_event AS x WHERE x.customer = 1 AND x.id <= w.id ORDER BY id DESC LIMIT 5) AS x)
                          AND rolled OPERATOR(cxm.=) running) AS same
FROM (SELECT id, cxm.journey_agg(at, code) OVER (ORDER BY id) AS running, cxm.journey_agg(at, code) OVER (ORDER BY id ROWS 4 PRECEDING) AS moving,
             cxm.rollup(cxm.append('{}', at, code)) OVER (ORDER BY id) AS rolled
      FROM journey_event WHERE customer = 1) AS w;
-- parallel, and the plan really is
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off;
SELECT pg_temp.nodes(:'build', 'Aggregate', 'Partial') > 0 AND pg_temp.nodes(:'build', 'Aggregate', 'Finalize') > 0 AS partial,
       pg_temp.nodes('SELECT cxm.journey_agg(at, code) FROM journey_event', 'Aggregate', 'Partial') > 0 AS plain,
       pg_temp.nodes('SELECT cxm.count(cxm.journey_agg(at, code)), cxm.slice(cxm.journey_agg(at, code), ''(,)''), cxm.filter_codes(cxm.journey_agg(at, code), ''{1}'') FROM journey_event', 'Aggregate', 'Partial') > 0 AS accessors_too;
:same;
SELECT cxm.count(a), cxm.journey_agg(at, code) OPERATOR(cxm.=) a AS whole FROM (SELECT cxm.journey_agg(at, code) AS a FROM journey_event) AS s, journey_event GROUP BY a;
SELECT cxm.journey_agg(at, code) FILTER (WHERE id < 0) AS empty_with_empty, cxm.count(cxm.journey_agg(at, code) FILTER (WHERE id = 8)) AS one FROM journey_event;
-- states of few events, which travel with a short header; made before that where rows are dear to read and dearer to send
SET cpu_tuple_cost = 100; SET parallel_tuple_cost = 100;
CREATE TABLE journey_few AS SELECT * FROM journey_event WHERE id <= 400;
ANALYZE journey_few;
\set few 'SELECT customer, cxm.journey_agg(at, code) AS j FROM journey_few GROUP BY customer'
SELECT pg_temp.nodes(:'few', 'Aggregate', 'Partial') > 0 AS partial;
SELECT count(*), bool_and(j OPERATOR(cxm.=) (SELECT cxm.rollup(cxm.append('{}', at, code)) FROM journey_few AS x WHERE x.customer = s.customer)) AS same FROM (:few) AS s;
RESET cpu_tuple_cost; SET parallel_tuple_cost = 0;
CREATE TABLE journey_part AS SELECT id % 500 AS part, cxm.journey_agg(at, code) AS j FROM journey_event GROUP BY 1;
SELECT pg_temp.nodes('SELECT cxm.rollup(j) FROM journey_part', 'Aggregate', 'Partial') > 0 AS partial_rollup, cxm.rollup(j) OPERATOR(cxm.=) (SELECT cxm.journey_agg(at, code) FROM journey_event) AS whole FROM journey_part;
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size; RESET max_parallel_workers_per_gather; RESET parallel_leader_participation;
-- partition-wise: states of partitions are combined, those without rows, too
CREATE TABLE journey_split (LIKE journey_event) PARTITION BY RANGE (id);
CREATE TABLE journey_split1 PARTITION OF journey_split FOR VALUES FROM (MINVALUE) TO (7000);
CREATE TABLE journey_split2 PARTITION OF journey_split FOR VALUES FROM (7000) TO (13000);
CREATE TABLE journey_split3 PARTITION OF journey_split FOR VALUES FROM (13000) TO (20001);
CREATE TABLE journey_split4 PARTITION OF journey_split FOR VALUES FROM (20001) TO (MAXVALUE);
SET enable_partitionwise_aggregate = on;
SELECT cxm.journey_agg(at, code) FROM journey_split;
INSERT INTO journey_split SELECT * FROM journey_event;
ANALYZE journey_split;
\set build 'SELECT customer, cxm.journey_agg(at, code) AS j FROM journey_split GROUP BY customer'
\set same 'SELECT count(*) FROM (' :build ') AS b JOIN journey_expected AS e USING (customer) WHERE b.j::text = e.text'
SELECT pg_temp.nodes(:'build', 'Aggregate', 'Partial') AS partial;
:same;
RESET enable_partitionwise_aggregate;

---- Large values: beyond a page, beyond what is read at once

CREATE TABLE journey_large AS SELECT cxm.journey_agg('2020-01-01'::timestamptz + (i * 7919::bigint % 300000) * interval '1 s', i % 12) AS j FROM generate_series(1, 300000) AS i;
SELECT cxm.count(j), cxm.first_at(j), cxm.last_at(j), octet_length(cxm.journey_send(j)), pg_column_size(j) <= octet_length(cxm.journey_send(j)) + 4 AS not_larger, md5(cxm.journey_send(j)) = md5(cxm.journey_send(j::text::cxm.journey)) AS there_and_back FROM journey_large;
SELECT count(*), sum(code), min(at), max(at), bool_and(at >= before) AS in_order FROM (SELECT e.*, lag(at, 1, '-infinity') OVER () AS before FROM journey_large, cxm.events(j) AS e) AS s;
SELECT cxm.count(cxm.append(j, '2020-01-02', 7)), cxm.count(j OPERATOR(cxm.+) j), cxm.count(cxm.filter_codes(j, '{3}')), cxm.slice(j, '[2020-01-01 00:00:10,2020-01-01 00:00:12)'), cxm.append(j, '2020-01-02', 7) OPERATOR(cxm.-) j FROM journey_large;

DROP TABLE journey_event, journey_expected, journey_few, journey_part, journey_split, journey_large;
