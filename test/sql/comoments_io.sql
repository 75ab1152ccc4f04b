-- co-moments: text and binary form, hostile bytes

-- canonical text; numbers come back exactly whatever the session's digits
SET extra_float_digits = -10;
SELECT c, c::text::cxm.comoments::text = c::text AS same FROM (SELECT cxm.comoments_agg(y, ARRAY[a, b], 'pairwise') AS c FROM (VALUES (1.0, 0.25, NULL), (2.0, 0.75, 1.5)) AS v(y, a, b)) AS s;
SELECT cxm.comoments_send(c::text::cxm.comoments) = cxm.comoments_send(c) AS same FROM (SELECT cxm.comoments_agg(y, ARRAY[a], 0.1 + a) AS c FROM (VALUES (1.0, 0.1), (2.0, 0.2), (4.0, 0.7)) AS v(y, a)) AS s;
SELECT 'empty'::cxm.comoments, 'listwise:1{1,1,0,0,0,1,1}{0}{-0,1e0}{0,0}{0,0,0}'::cxm.comoments;

-- what is not co-moments
CREATE FUNCTION pg_temp.parse(t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    RETURN t::cxm.comoments;
EXCEPTION WHEN invalid_text_representation THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLERRM || coalesce(' -- ' || nullif(detail, ''), '');
END $$;
SELECT t, pg_temp.parse(t) FROM unnest(ARRAY['', ' empty', 'empty ', 'listwise', 'listwise:', 'listwise:-1{}', 'listwise:101{1,1,0,0,0,1,1}', 'listwise:99999999999999999999{1}', 'rowwise:1{1,1,0,0,0,1,1}{0}{1,1}{0,0}{0,0,0}',
    'listwise:1{1,1,0,0,0,1,1}{0}{1,1}{0,0}{0,0,0}x', 'listwise:1{1,1,0,0,0,1,1}{0}{1,1}{0,0}{0,0}', 'listwise:1{1,1,0,0,0,1,1}{0}{1,1}{0,0}{0,0,0,0}', 'listwise:1{1,1,0,0,0,1,1}{0}{nan,1}{0,0}{0,0,0}', 'listwise:1{1,1,0,0,0,1,1}{0}{inf,1}{0,0}{0,0,0}',
    'listwise:1{1,1,0,0,0,1,1}{0}{1e999,1}{0,0}{0,0,0}', 'listwise:1{1,1,0,0,0,1,1}{0}{0x10,1}{0,0}{0,0,0}', 'listwise:1{1,1,0,0,0,1,1}{0}{1,1}{1,0}{0,0,0}', 'listwise:1{2,2,0,0,0,2,2}{0}{1,1}{0,0}{1,2,1}', 'listwise:1{2,2,0,0,0,2,2}{0}{1,1}{0,0}{-1,0,1}',
    'listwise:1{1,2,0,0,0,2,2}{0}{1,1}{0,0}{1,0,1}', 'listwise:1{0,0,0,0,0,0,0}{0}{0,0}{0,0}{0,0,0}', 'listwise:1{2,2,0,0,0,0,0}{0}{1,1}{0,0}{1,0,1}', 'listwise:1{3,2,0,0,0,2,2}{2}{1,1}{0,0}{1,0,1}', 'listwise:1{9007199254740993,2,0,0,0,2,2}{0}{1,1}{0,0}{1,0,1}',
    'pairwise:1{2,2,0,0,0,2,2}{0}{3,2,1,0,1,0,1,1,1}{2,2,1,0,1,0,1,1,1}{2,2,1,0,1,0,1,1,1}', 'pairwise:1{2,2,0,0,0,2,2}{0}{2,2,1,0,1,0,1,1,1}{2,2,1,0,1,0,1,1,1.5}{2,2,1,0,1,0,1,1,1}', 'pairwise:0{1,0,0,0,0,1,1}{}{1,1,1,0,1,0,0,0,0}']) AS t;

-- soft errors, from 16 on
DO $$
DECLARE
    valid boolean;
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        FOR valid IN EXECUTE $q$SELECT pg_input_is_valid(t, 'cxm.comoments') FROM unnest(ARRAY['nonsense', 'listwise:1{1,1,0,0,0,1,1}{0}{1,1}{1,0}{0,0,0}']) AS t$q$ LOOP
            ASSERT NOT valid;
        END LOOP;
        EXECUTE $q$SELECT pg_input_is_valid('empty', 'cxm.comoments')$q$ INTO valid;
        ASSERT valid;
    END IF;
END $$;

-- hostile text: mutations of good text are good, too, or refused; what is accepted is canonical, can be added and read
CREATE TEMP TABLE good AS
SELECT cxm.comoments_agg(sin(i), ARRAY[cos(i), CASE WHEN i % 3 > 0 THEN sin(i * 5) END], p) AS c
FROM generate_series(1, 20) AS i, unnest(ARRAY['listwise', 'pairwise']) AS p GROUP BY p;
DO $$
DECLARE
    good text;
    bad text;
    alphabet constant text := '0123456789..,,{}-+eE xlp:' || chr(9) || chr(228);
    value cxm.comoments;
    accepted integer := 0;
    place integer;
BEGIN
    PERFORM setseed(0.271828);
    FOR i IN 1 .. 4000 LOOP
        SELECT g.c INTO good FROM good AS g ORDER BY random() LIMIT 1;
        bad := good;
        FOR j IN 1 .. 1 + floor(2 * random())::integer LOOP
            place := 1 + floor(length(bad) * random())::integer;
            bad := overlay(bad PLACING CASE WHEN random() < 0.2 THEN '' ELSE substr(alphabet, 1 + floor(length(alphabet) * random())::integer, 1) END
                           FROM place FOR floor(2 * random())::integer);
        END LOOP;
        BEGIN
            value := bad::cxm.comoments;
            accepted := accepted + 1;
            ASSERT value::text::cxm.comoments::text = value::text, bad;
            ASSERT coalesce(abs(cxm.correlation(cxm.comoments_add(value, value), 0, 1)), 0) <= 1, bad;
            PERFORM cxm.drivers_fit(value);
        EXCEPTION WHEN invalid_text_representation OR numeric_value_out_of_range THEN
            NULL;
        END;
    END LOOP;
    ASSERT accepted BETWEEN 100 AND 3900, 'the mutations are too tame or too wild: ' || accepted;
END $$;

-- binary form
SELECT cxm.comoments_send('empty'), cxm.comoments_send('listwise:1{1,1,0,0,0,1,1}{0}{1,2}{0,0}{0,0,0}');
CREATE TEMP TABLE received (c cxm.comoments);
CREATE FUNCTION pg_temp.receive(message bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    stream bytea := '\x5047434f50590aff0d0a00' || '\x0000000000000000'::bytea || '\x0001'::bytea || int4send(length(message)) || message || '\xffff'::bytea;
    command text := '';
    answer text;
BEGIN
    FOR i IN 0 .. length(stream) - 1 LOOP
        command := command || '\' || get_byte(stream, i) / 64 || get_byte(stream, i) / 8 % 8 || get_byte(stream, i) % 8;
    END LOOP;
    DELETE FROM received;
    EXECUTE format('COPY received FROM PROGRAM %L (FORMAT binary)', format('printf ''%s''', command));
    SELECT c INTO answer FROM received;
    RETURN answer;
EXCEPTION WHEN invalid_binary_representation OR protocol_violation THEN
    RETURN SQLERRM;
END $$;
SELECT m, pg_temp.receive(m) FROM unnest(ARRAY['\x01000000', '\x', '\x01', '\x0100', '\x02000000', '\x01000001', '\x01030001', '\x01010065', '\x0101ffff', '\x01010001']::bytea[]) AS m;
DO $$
DECLARE
    good bytea;
    bad bytea;
    answer text;
BEGIN
    PERFORM setseed(0.314159);
    FOR i IN 1 .. 200 LOOP
        SELECT cxm.comoments_send(g.c) INTO good FROM good AS g ORDER BY random() LIMIT 1;
        IF i <= 5 THEN
            ASSERT cxm.comoments_send(pg_temp.receive(good)::cxm.comoments) = good;
        END IF;
        bad := set_byte(good, floor(length(good) * random())::integer, floor(256 * random())::integer);
        IF random() < 0.3 THEN
            bad := substr(bad, 1, floor(length(bad) * random())::integer);
        END IF;
        answer := pg_temp.receive(bad);
        ASSERT answer IS NOT NULL;
        IF answer ~ '^(listwise|pairwise|empty)' THEN
            ASSERT cxm.comoments_send(answer::cxm.comoments) = bad, answer;
        END IF;
    END LOOP;
END $$;

-- kept in a table, toasted or not, and read again
CREATE TEMP TABLE kept AS SELECT p, cxm.comoments_agg(sin(i), (SELECT array_agg(cos(i * k)) FROM generate_series(1, p) AS k), 'pairwise') AS c FROM generate_series(1, 50) AS i, unnest(ARRAY[1, 10, 40]) AS p GROUP BY p;
SELECT p, pg_column_size(c), cxm.comoments_send(c) = cxm.comoments_send(c::text::cxm.comoments) AS same, (SELECT s.rows FROM cxm.comoments_summary(cxm.comoments_add(c, c)) AS s) AS rows FROM kept ORDER BY p;
SELECT (SELECT s.rows FROM cxm.comoments_summary(c) AS s) FROM (SELECT cxm.rollup(c) AS c FROM kept, generate_series(1, 3) WHERE p = 40) AS s;

-- an aggregate of somebody else's that begins with a stored value
CREATE AGGREGATE pg_temp.first_then(cxm.comoments) (SFUNC = cxm.comoments_add, STYPE = cxm.comoments);
SELECT p, (SELECT s.rows FROM cxm.comoments_summary(pg_temp.first_then(c)) AS s) AS rows FROM kept, generate_series(1, 3) GROUP BY p ORDER BY p;
SELECT (SELECT s.rows FROM cxm.comoments_summary(c) AS s) AS unchanged FROM kept ORDER BY p;
