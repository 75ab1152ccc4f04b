-- golden_record: text and binary form, what is refused, storage
SET timezone = 'America/New_York';
SET datestyle = 'SQL, DMY';
SET client_min_messages = warning;

-- canonical text: in the order of names, sources and bytes, and entries that are alike are one
SELECT t::cxm.golden_record FROM unnest(ARRAY['{"observations": []}', ' { "observations" : [ ] , "policy" : { } } ',
    '{"policy": {"b": {"sources": ["x"], "policy": "max"}}, "observations": [{"trait": "b", "value": {"k": [1]}, "source": null, "first_at": "2025-01-01T00:00:00+00:00", "last_at": "2025-01-01T00:00:00+00:00", "times": 1},
      {"times": 2, "last_at": "2025-01-03T00:00:00.123456+00:00", "first_at": "-infinity", "source": "", "value": 1.50, "trait": "a"}, {"times": 3, "last_at": "2025-01-02T00:00:00+00:00", "first_at": "2025-01-01T00:00:00+00:00", "source": "", "value": 1.50, "trait": "a"},
      {"times": 1, "last_at": "2025-01-02T00:00:00+00:00", "first_at": "2025-01-02T00:00:00+00:00", "source": "", "value": 1.5, "trait": "a"}]}']) AS t;

-- what is no golden record
CREATE FUNCTION pg_temp.parse(t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    RETURN t::cxm.golden_record;
EXCEPTION WHEN data_exception THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || coalesce(' -- ' || nullif(detail, ''), '');
END $$;
SELECT pg_temp.parse(t) FROM unnest(ARRAY['', 'null', '1', '[]', '{}', '{"observations": null}', '{"observations": {}}', '{"observations": 1}', '{"observations": [], "version": 2}', '{"policy": {}}', '{"policy": null, "observations": []}',
    '{"policy": {"a": 1}, "observations": []}', '{"observations": [1]}', '{"observations": [[]]}', '{"observations": [{}]}', '{"observations": [null]}', '{"observations": []']) AS t;
-- one key of an observation wrong at a time
SELECT key, value, pg_temp.parse(jsonb_build_object('observations', jsonb_build_array('{"trait": "a", "value": 1, "source": "s", "first_at": "2025-01-01T00:00:00+00:00", "last_at": "2025-01-02T00:00:00+00:00", "times": 2}'::jsonb - key || coalesce(jsonb_build_object(key, value::jsonb), '{}')))::text)
FROM (VALUES ('trait', '1'), ('trait', 'null'), ('source', '1'), ('source', '["s"]'), ('times', '0'), ('times', '-1'), ('times', '1'), ('times', '1.5'), ('times', '1.0'), ('times', '"2"'), ('times', '9223372036854775808'), ('times', '1e400'), ('times', 'null'),
    ('first_at', '1'), ('first_at', '"now"'), ('first_at', '"today"'), ('first_at', '""'), ('first_at', '"2025-01-01"'), ('first_at', '"2025-01-01T00:00:00Z"'), ('first_at', '"2025-01-01T01:00:00+01:00"'), ('first_at', '"2025-01-03T00:00:00+00:00"'),
    ('first_at', '"2025-13-01T00:00:00+00:00"'), ('last_at', '"epoch"'), ('last_at', '"294277-01-01T00:00:00+00:00"'), ('last_at', '"2025-01-02T00:00:00.1234567+00:00"'), ('more', '1')) AS v(key, value);
SELECT key, pg_temp.parse(jsonb_build_object('observations', jsonb_build_array('{"trait": "a", "value": 1, "source": "s", "first_at": "2025-01-01T00:00:00+00:00", "last_at": "2025-01-02T00:00:00+00:00", "times": 2}'::jsonb - key))::text)
FROM unnest(ARRAY['trait', 'value', 'source', 'first_at', 'last_at', 'times']) AS key;
-- counts that add up to more than a bigint
SELECT pg_temp.parse(jsonb_build_object('observations', jsonb_build_array(o, o))::text)
FROM (SELECT '{"trait": "a", "value": 1, "source": "s", "first_at": "2025-01-01T00:00:00+00:00", "last_at": "2025-01-02T00:00:00+00:00", "times": 9223372036854775807}'::jsonb AS o) AS v;
SELECT cxm.traits(cxm.with_policy(jsonb_build_object('observations', jsonb_build_array(o, o || '{"source": "t"}', o || '{"value": 2, "times": 2}'))::text::cxm.golden_record, jsonb_build_object('a', jsonb_build_object('policy', p))))
FROM (SELECT '{"trait": "a", "value": 1, "source": "s", "first_at": "2025-01-01T00:00:00+00:00", "last_at": "2025-01-02T00:00:00+00:00", "times": 9223372036854775807}'::jsonb AS o) AS v, unnest(ARRAY['most_frequent', 'sum']) AS p;
-- deep nesting
SELECT length(pg_temp.parse('{"observations": [{"trait": "a", "value": ' || repeat('[', 500) || repeat(']', 500) || ', "source": "s", "first_at": "infinity", "last_at": "infinity", "times": 1}]}'));

-- soft errors, from 16 on
DO $$
DECLARE
    valid boolean;
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        FOR valid IN EXECUTE $q$SELECT pg_input_is_valid(t, 'cxm.golden_record') FROM unnest(ARRAY['', '{', '{}', '{"observations": [1]}', '{"policy": 1, "observations": []}', '{"policy": {"a": {"policy": "x"}}, "observations": []}',
            '{"observations": [{"trait": "a", "value": 1, "source": "s", "first_at": "x", "last_at": "x", "times": 1}]}']) AS t$q$ LOOP
            ASSERT NOT valid;
        END LOOP;
        EXECUTE $q$SELECT pg_input_is_valid('{"observations": []}', 'cxm.golden_record')$q$ INTO valid;
        ASSERT valid;
    END IF;
END $$;

-- hostile text: mutations of good text are refused, or are good and canonical after one turn
DO $$
DECLARE
    good constant text[] := ARRAY['{"policy": {"a": {"policy": "source_rank", "sources": ["s", "t"]}}, "observations": [{"trait": "a", "value": [1, {"k": "v"}], "source": "s", "first_at": "2025-01-01T00:00:00+00:00", "last_at": "2025-01-02T00:00:00+00:00", "times": 2}]}',
                                  '{"observations": [{"trait": "", "value": null, "source": null, "first_at": "infinity", "last_at": "infinity", "times": 1}, {"trait": "b", "value": "x", "source": "t", "first_at": "0044-03-15T00:00:00+00:00 BC", "last_at": "2025-01-02T00:00:00.5+00:00", "times": 12}]}'];
    alphabet constant text := '0123456789"{}[]:,.-+eTZ\ u' || chr(228) || chr(8230);
    bad text;
    place integer;
    value cxm.golden_record;
    accepted integer := 0;
BEGIN
    PERFORM setseed(0.271828);
    FOR i IN 1 .. 4000 LOOP
        bad := good[1 + i % 2];
        FOR j IN 1 .. 1 + floor(2 * random())::integer LOOP
            place := 1 + floor(length(bad) * random())::integer;
            bad := overlay(bad PLACING CASE WHEN random() < 0.2 THEN '' ELSE substr(alphabet, 1 + floor(length(alphabet) * random())::integer, 1) END
                           FROM place FOR floor(2 * random())::integer);
        END LOOP;
        BEGIN
            value := bad::cxm.golden_record;
            accepted := accepted + 1;
            ASSERT value::text::cxm.golden_record::text = value::text, bad;
            ASSERT cxm.traits(value) IS NOT NULL AND (SELECT count(*) FROM cxm.provenance(value)) >= 0, bad;
        EXCEPTION WHEN data_exception THEN
            NULL;
        END;
    END LOOP;
    ASSERT accepted BETWEEN 100 AND 3900, 'the mutations are too tame or too wild: ' || accepted;
END $$;

-- binary form: the version, then the text
SELECT cxm.golden_record_send('{"observations": []}');
CREATE TEMPORARY TABLE received (r cxm.golden_record);
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
    SELECT r INTO answer FROM received;
    RETURN answer;
EXCEPTION WHEN data_exception OR protocol_violation THEN
    RETURN 'refused: ' || SQLSTATE;
END $$;
SELECT m, pg_temp.receive(m) FROM unnest(ARRAY['\x', '\x01', '\x00', '\x02' || convert_to('{"observations": []}', 'UTF8'), '\x01' || convert_to('{"observations": []}', 'UTF8'), '\x01' || convert_to('{"observations": []}}', 'UTF8'),
    '\x01' || convert_to('{"observations": []}', 'UTF8') || '\x00', '\x01ff', '\x017b7d']::bytea[]) AS m;
DO $$
DECLARE
    good constant bytea := cxm.golden_record_send('{"policy": {"a": {"policy": "max", "sources": ["s"]}}, "observations": [{"trait": "a", "value": "ü", "source": "s", "first_at": "2025-01-01T00:00:00+00:00", "last_at": "2025-01-02T00:00:00+00:00", "times": 2}]}');
    bad bytea;
    answer text;
BEGIN
    PERFORM setseed(0.314159);
    ASSERT cxm.golden_record_send(pg_temp.receive(good)::cxm.golden_record) = good;
    FOR i IN 1 .. 150 LOOP
        bad := set_byte(good, floor(length(good) * random())::integer, floor(256 * random())::integer);
        IF random() < 0.2 THEN
            bad := substr(bad, 1, floor(length(bad) * random())::integer);
        END IF;
        answer := pg_temp.receive(bad);
        ASSERT answer IS NOT NULL;
        IF answer NOT LIKE 'refused%' THEN
            ASSERT cxm.golden_record_send(answer::cxm.golden_record) = cxm.golden_record_send(pg_temp.receive(cxm.golden_record_send(answer::cxm.golden_record))::cxm.golden_record), answer;
        END IF;
    END LOOP;
END $$;

-- kept in a table: short, long and compressed, out of line; the answers do not depend on the time zone of the session
CREATE TEMPORARY TABLE kept (id integer, r cxm.golden_record);
INSERT INTO kept SELECT n, cxm.profile_merge_agg(jsonb_build_object('a' || i % 7, md5(i::text), 'b', repeat('x', n)), timestamptz '2025-01-01Z' + i * interval '1 hour', 's' || i % 3)
FROM unnest(ARRAY[0, 1, 10, 100, 1000]) AS n, LATERAL generate_series(1, n) AS i GROUP BY n;
INSERT INTO kept VALUES (-1, '{"observations": []}'), (-2, NULL);
SELECT id, (SELECT count(*) FROM cxm.provenance(r)) AS traits, (SELECT sum(jsonb_array_length(w.beaten)) FROM cxm.provenance(r) AS w) AS beaten, length(cxm.traits(r)::text) AS length, r::text::cxm.golden_record::text = r::text AS comes_back FROM kept ORDER BY id;
SELECT jsonb_array_length(cxm.traits(cxm.with_policy(cxm.rollup(r), '{"a0": {"policy": "union"}}')) -> 'a0') AS a0 FROM kept;
UPDATE kept SET r = cxm.with_policy(r, '{"*": {"policy": "oldest"}}');
SELECT id, left(cxm.traits(r) ->> 'a1', 8) AS a1 FROM kept ORDER BY id;
SELECT beaten FROM cxm.provenance('{"observations": [{"trait": "a", "value": 1, "source": "s", "first_at": "2025-07-01T00:00:00+00:00", "last_at": "2025-07-01T00:00:00+00:00", "times": 1}, {"trait": "a", "value": 2, "source": "s", "first_at": "infinity", "last_at": "infinity", "times": 1}]}');
