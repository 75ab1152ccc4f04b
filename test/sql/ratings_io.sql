-- ratings: text and binary form, equality, order, hash

-- canonical text
SELECT t::cxm.ratings FROM unnest(ARRAY['empty', ' EMPTY ', '0..1:{1,2}', E' -5 .. 5 : { 0 , 1,2,\t3,4,5,6,7,8,9,10 } ', '1..5:{00,01,2,3,4}', '-128..-118:{0,0,0,0,0,0,0,0,0,0,1}', '117..127:{9223372036854775807,0,0,0,0,0,0,0,0,0,1}', '-0..1:{1,-0}']) AS t;

-- what is not ratings
CREATE FUNCTION pg_temp.parse(t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    RETURN t::cxm.ratings;
EXCEPTION WHEN invalid_text_representation THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLERRM || coalesce(' -- ' || nullif(detail, ''), '');
END $$;
SELECT pg_temp.parse(t) FROM unnest(ARRAY['', ' ', 'emptyx', 'emp', 'null', '0', '0..', '0..1', '0..1:', '0..1:{', '0..1:{}', '0..1:{1}', '0..1:{1,2', '0..1:{1,2,3}', '0..1:{1,2}x', '0..1:{1,2}}',
    '0..1:{1,,2}', '0..1:{a,2}', '0..1:{1.5,2}', '0..1:{1e3,2}', '0..1:{+1,2}', '0..1:{- 1,2}', '0.1:{1,2}', '0...1:{1,2}', '0..1{1,2}', '{1,2}', '0..1:{9223372036854775808,0}', '0..1:{99999999999999999999999999999999999999,0}',
    '99999999999999999999..1:{1,2}', '0..1:{-1,2}', '0..1:{-9223372036854775807,2}', '0..0:{1}', '1..0:{1,2}', '0..11:{1,2,3,4,5,6,7,8,9,10,11,12}', '127..128:{1,2}', '-129..-128:{1,2}', '-9223372036854775807..9223372036854775807:{1,2}',
    'ｅｍｐｔｙ', '0‥1:{1,2}']) AS t;
SELECT '1..5:{1,2}'::cxm.ratings;

-- soft errors, from 16 on
DO $$
DECLARE
    valid boolean;
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        FOR valid IN EXECUTE $q$SELECT pg_input_is_valid(t, 'cxm.ratings') FROM unnest(ARRAY['nonsense', '0..99:{1,2}', '0..1:{-1,1}']) AS t$q$ LOOP
            ASSERT NOT valid;
        END LOOP;
        EXECUTE $q$SELECT pg_input_is_valid('0..1:{1,2}', 'cxm.ratings')$q$ INTO valid;
        ASSERT valid;
    END IF;
END $$;

-- hostile text: mutations of good text are good, too, or refused, and what is accepted is canonical after one turn
DO $$
DECLARE
    good text;
    bad text;
    alphabet constant text := '0123456789..::{}{},,--  emptyEMPTYx' || chr(9) || chr(228) || chr(8230);
    value cxm.ratings;
    accepted integer := 0;
    place integer;
BEGIN
    PERFORM setseed(0.271828);
    FOR i IN 1 .. 6000 LOOP
        good := (ARRAY['empty', '0..10:{0,1,2,3,4,5,6,7,8,9,10}', '-5..5:{1,1,1,1,1,1,1,1,1,1,9223372036854775807}', '1..2:{3,4}'])[1 + floor(4 * random())::integer];
        bad := good;
        FOR j IN 1 .. 1 + floor(3 * random())::integer LOOP
            place := 1 + floor(length(bad) * random())::integer;
            bad := overlay(bad PLACING CASE WHEN random() < 0.2 THEN '' ELSE substr(alphabet, 1 + floor(length(alphabet) * random())::integer, 1) END
                           FROM place FOR floor(2 * random())::integer);
        END LOOP;
        BEGIN
            value := bad::cxm.ratings;
            accepted := accepted + 1;
            ASSERT value::text::cxm.ratings::text = value::text, bad;
            ASSERT value::text::cxm.ratings OPERATOR(cxm.=) value, bad;
        EXCEPTION WHEN invalid_text_representation THEN
            NULL;
        END;
    END LOOP;
    ASSERT accepted BETWEEN 100 AND 5900, 'the mutations are too tame or too wild: ' || accepted;
END $$;

-- binary form: version, lowest score, points, counts
SELECT cxm.ratings_send('empty'), cxm.ratings_send('-1..1:{1,2,258}');

-- what the receive function makes of these bytes
CREATE TEMP TABLE received (r cxm.ratings);
CREATE FUNCTION pg_temp.receive(message bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    stream bytea := '\x5047434f50590aff0d0a00' || '\x0000000000000000'::bytea || '\x0001'::bytea || int4send(length(message)) || message || '\xffff'::bytea;
    command text := '';
    answer text;
    detail text;
BEGIN
    FOR i IN 0 .. length(stream) - 1 LOOP
        command := command || '\' || get_byte(stream, i) / 64 || get_byte(stream, i) / 8 % 8 || get_byte(stream, i) % 8;
    END LOOP;
    DELETE FROM received;
    EXECUTE format('COPY received FROM PROGRAM %L (FORMAT binary)', format('printf ''%s''', command));
    SELECT r INTO answer FROM received;
    RETURN answer;
EXCEPTION WHEN invalid_binary_representation OR protocol_violation THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLERRM || coalesce(' -- ' || nullif(detail, ''), '');
END $$;
SELECT pg_temp.receive(m) FROM unnest(ARRAY['\x010000', '\x01ff03000000000000000100000000000000020000000000000102']::bytea[]) AS m;
SELECT m, pg_temp.receive(m) FROM unnest(ARRAY['\x', '\x01', '\x0100', '\x000000', '\x020000', '\xff0000', '\x010100', '\x01000100000000000000ff', '\x01000c', '\x0100ff', '\x010002', '\x0100020000000000000001',
    '\x010002000000000000000100000000000000', '\x01000200000000000000010000000000000002ff', '\x01000200000000000000018000000000000000', '\x0100020000000000000001ffffffffffffffff', '\x017f0200000000000000010000000000000002']::bytea[]) AS m;
DO $$
DECLARE
    good bytea;
    bad bytea;
    answer text;
BEGIN
    PERFORM setseed(0.314159);
    FOR i IN 1 .. 200 LOOP
        good := cxm.ratings_send(cxm.ratings(floor(20 * random())::integer - 10, ARRAY(SELECT (random() * 10 ^ (18 * random()))::bigint FROM generate_series(1, 2 + i % 10))));
        ASSERT cxm.ratings_send(pg_temp.receive(good)::cxm.ratings) = good;
        bad := set_byte(good, floor(length(good) * random())::integer, floor(256 * random())::integer);
        IF random() < 0.3 THEN
            bad := substr(bad, 1, floor(length(bad) * random())::integer);
        END IF;
        answer := pg_temp.receive(bad);
        ASSERT answer IS NOT NULL;
        IF answer NOT LIKE 'in%' AND answer NOT LIKE 'no data%' THEN
            ASSERT cxm.ratings_send(answer::cxm.ratings) = bad, answer;
        END IF;
    END LOOP;
END $$;

-- order: lowest score, points, counts from the lowest up
CREATE TEMP TABLE item (id serial, r cxm.ratings);
INSERT INTO item (r) VALUES ('1..5:{0,0,0,0,1}'), ('empty'), ('1..5:{0,0,0,1,0}'), ('-1..1:{9,9,9}'), ('0..10:{0,0,0,0,0,0,0,0,0,0,0}'), ('1..2:{9,9}'), ('1..5:{0,0,0,0,1}'), (NULL), ('-1..1:{10,0,0}');
SELECT id, r FROM item ORDER BY r, id;
SELECT id, r FROM item ORDER BY r DESC, id DESC;
SELECT r, count(*), array_agg(id ORDER BY id) FROM item GROUP BY r ORDER BY r;
SELECT count(DISTINCT r), (SELECT count(*) FROM (SELECT r FROM item UNION SELECT r FROM item) AS u) AS in_union FROM item;
SELECT a.id, b.id FROM item AS a JOIN item AS b ON a.r OPERATOR(cxm.=) b.r AND a.id < b.id;
SELECT bool_and((a.r OPERATOR(cxm.<) b.r) = (cxm.ratings_cmp(a.r, b.r) < 0) AND (a.r OPERATOR(cxm.<=) b.r) = (cxm.ratings_cmp(a.r, b.r) <= 0) AND (a.r OPERATOR(cxm.=) b.r) = (cxm.ratings_cmp(a.r, b.r) = 0)
    AND (a.r OPERATOR(cxm.<>) b.r) = (cxm.ratings_cmp(a.r, b.r) <> 0) AND (a.r OPERATOR(cxm.>=) b.r) = (cxm.ratings_cmp(a.r, b.r) >= 0) AND (a.r OPERATOR(cxm.>) b.r) = (cxm.ratings_cmp(a.r, b.r) > 0)
    AND cxm.ratings_cmp(a.r, b.r) = -cxm.ratings_cmp(b.r, a.r)
    AND (a.r OPERATOR(cxm.=) b.r) = (a.r::text = b.r::text) AND (a.r OPERATOR(cxm.=) b.r) = (cxm.ratings_send(a.r) = cxm.ratings_send(b.r))
    AND (a.r OPERATOR(cxm.=) b.r) = (cxm.ratings_hash(a.r) = cxm.ratings_hash(b.r)) AND (a.r OPERATOR(cxm.=) b.r) = (cxm.ratings_hash_extended(a.r, 7) = cxm.ratings_hash_extended(b.r, 7))) AS consistent
FROM item AS a, item AS b WHERE a.r IS NOT NULL AND b.r IS NOT NULL;
-- the seedless half of the extended hash is the plain hash, as hash partitions expect
SELECT bool_and((cxm.ratings_hash_extended(r, 0) & 4294967295) = (cxm.ratings_hash(r)::bigint & 4294967295)) AS halves_agree, count(DISTINCT cxm.ratings_hash_extended(r, 1)) FROM item;

-- every join method finds the same pairs
CREATE FUNCTION pg_temp.uses(query text, node text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN plan::text LIKE '%"Node Type": "' || node || '"%';
END $$;
INSERT INTO item (r) SELECT cxm.ratings(0, ARRAY[i % 50, i % 7]) FROM generate_series(1, 700) AS i;
ANALYZE item;
SET enable_hashjoin = off; SET enable_nestloop = off;
SELECT pg_temp.uses($$SELECT 1 FROM item AS a JOIN item AS b ON a.r OPERATOR(cxm.=) b.r$$, 'Merge Join') AS merge_join, count(*) FROM item AS a JOIN item AS b ON a.r OPERATOR(cxm.=) b.r;
RESET enable_hashjoin; SET enable_mergejoin = off;
SELECT pg_temp.uses($$SELECT 1 FROM item AS a JOIN item AS b ON a.r OPERATOR(cxm.=) b.r$$, 'Hash Join') AS hash_join, count(*) FROM item AS a JOIN item AS b ON a.r OPERATOR(cxm.=) b.r;
RESET enable_nestloop; RESET enable_mergejoin;

-- indexes of both kinds, with deduplication, and a hash-partitioned table
CREATE INDEX item_btree ON item (r);
CREATE INDEX item_hash ON item USING hash (r);
SET enable_seqscan = off; SET enable_bitmapscan = off;
SELECT pg_temp.uses($$SELECT 1 FROM item WHERE r OPERATOR(cxm.<) '0..1:{3,0}'$$, 'Index Only Scan') AS index_only, count(*) FROM item WHERE r OPERATOR(cxm.<) '0..1:{3,0}';
DROP INDEX item_btree;
SELECT pg_temp.uses($$SELECT 1 FROM item WHERE r OPERATOR(cxm.=) '0..1:{3,3}'$$, 'Index Scan') AS hash_index, count(*) FROM item WHERE r OPERATOR(cxm.=) '0..1:{3,3}';
RESET enable_seqscan; RESET enable_bitmapscan;
SELECT count(*) FROM item WHERE r OPERATOR(cxm.<) '0..1:{3,0}';
SELECT count(*) FROM item WHERE r OPERATOR(cxm.=) '0..1:{3,3}';
CREATE TEMP TABLE part (r cxm.ratings PRIMARY KEY) PARTITION BY HASH (r);
CREATE TEMP TABLE part0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TEMP TABLE part1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO part SELECT DISTINCT r FROM item WHERE r IS NOT NULL;
SELECT count(*) > 100 AS many, count(*) FILTER (WHERE tableoid = 'part0'::regclass) > 50 AS some_here, count(*) FILTER (WHERE tableoid = 'part1'::regclass) > 50 AS some_there FROM part;
INSERT INTO part VALUES ('empty');

-- dump and restore go through text: every value comes back
SELECT bool_and(r::text::cxm.ratings OPERATOR(cxm.=) r) FROM item WHERE r IS NOT NULL;
-- as part of a row, of an array, of jsonb text
SELECT ARRAY[r]::text, ROW(r)::text, jsonb_build_object('r', r) FROM item WHERE id = 1;
SELECT typlen, typbyval, typalign, typstorage FROM pg_type WHERE oid = 'cxm.ratings'::regtype;
