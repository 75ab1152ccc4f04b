-- golden_record: any order and any split of the observations gives the same, and it is what a plain query says
SET timezone = 'UTC';
SET client_min_messages = warning;

CREATE TEMPORARY TABLE said (id integer, at timestamptz, source text, traits jsonb, part integer);
CREATE TEMPORARY TABLE one (value jsonb, at timestamptz, source text, rank integer, deep boolean, spelled text COLLATE "C");

-- the oracle: one query a policy over the bare observations, by the rules as they are documented
CREATE FUNCTION pg_temp.decide(name text, kind text, sources text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v jsonb;
BEGIN
    DELETE FROM one;
    INSERT INTO one
    SELECT s.traits -> name, s.at, s.source, coalesce(array_position(sources, s.source), 1000),
           jsonb_typeof(s.traits -> name) IN ('array', 'object'), (s.traits -> name)::text
    FROM said AS s WHERE s.traits ? name;
    CASE kind
        WHEN 'most_recent' THEN
            SELECT o.value INTO v FROM one AS o ORDER BY o.at DESC, o.rank, o.deep DESC, o.value DESC, o.spelled DESC LIMIT 1;
        WHEN 'oldest' THEN
            SELECT o.value INTO v FROM one AS o WHERE o.value <> 'null' ORDER BY o.at, o.rank, o.deep DESC, o.value DESC, o.spelled DESC LIMIT 1;
        WHEN 'most_frequent' THEN
            SELECT g.value INTO v FROM (SELECT o.value, o.deep, count(*) AS times FROM one AS o WHERE o.value <> 'null' GROUP BY o.value, o.deep) AS g ORDER BY g.times DESC, g.deep, g.value LIMIT 1;
            SELECT o.value INTO v FROM one AS o WHERE o.value = v ORDER BY o.at DESC, o.rank, o.spelled DESC LIMIT 1;
        WHEN 'source_rank' THEN
            SELECT l.value INTO v
            FROM (SELECT DISTINCT ON (o.rank) o.rank, o.value FROM one AS o ORDER BY o.rank, o.at DESC, o.deep DESC, o.value DESC, o.spelled DESC) AS l
            WHERE l.value <> 'null' ORDER BY l.rank LIMIT 1;
        WHEN 'max' THEN
            SELECT o.value INTO v FROM one AS o WHERE o.value <> 'null' ORDER BY o.deep DESC, o.value DESC, o.at DESC, o.rank, o.spelled DESC LIMIT 1;
        WHEN 'min' THEN
            SELECT o.value INTO v FROM one AS o WHERE o.value <> 'null' ORDER BY o.deep, o.value, o.at DESC, o.rank, o.spelled DESC LIMIT 1;
        WHEN 'sum' THEN
            SELECT to_jsonb(sum(o.spelled::numeric)) INTO v FROM one AS o WHERE jsonb_typeof(o.value) = 'number';
        WHEN 'union' THEN
            SELECT jsonb_agg(d.value ORDER BY d.deep, d.value) INTO v
            FROM (SELECT DISTINCT ON (e.value) e.value, jsonb_typeof(e.value) IN ('array', 'object') AS deep
                  FROM one AS o CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(o.value) WHEN 'array' THEN o.value ELSE jsonb_build_array(o.value) END) AS e
                  WHERE e.value <> 'null' ORDER BY e.value, e.value::text COLLATE "C" DESC) AS d;
            IF v IS NULL AND EXISTS (SELECT FROM one AS o WHERE o.value <> 'null') THEN
                v := '[]';
            END IF;
        WHEN 'non_empty' THEN
            SELECT o.value INTO v FROM one AS o WHERE o.spelled NOT IN ('null', '""', '[]', '{}')
            ORDER BY o.at DESC, o.rank, o.deep DESC, o.value DESC, o.spelled DESC LIMIT 1;
    END CASE;
    RETURN nullif(v, 'null');
END $$;

DO $$
DECLARE
    kinds constant text[] := ARRAY['most_recent', 'oldest', 'most_frequent', 'source_rank', 'max', 'min', 'sum', 'union', 'non_empty'];
    pool constant jsonb[] := ARRAY['null', 'null', '""', '"a"', '"b"', '"B"', '"ä"', '"10"', '0', '1', '1.0', '1.00', '2', '10', '-1', '0.1', 'true', 'false', '[]', '["a"]', '["b", "a"]', '[1, 1.0, null, "a"]',
                                   '[[], [1], {"k": 1}]', '{}', '{"k": 1}', '{"k": 1.0}', '{"k": {"l": [1, "a"]}}', '{"k": null, "l": 2}', '[null]', '["a", ["a"]]'];
    names constant text[] := ARRAY['a', 'b', 'c', '', NULL];
    policy jsonb;
    expected jsonb;
    decided jsonb;
    given text;
    record cxm.golden_record;
    kind text;
    sources text[];
    answers integer := 0;
    values_seen integer := 0;
BEGIN
    PERFORM setseed(0.141421);
    FOR round IN 1 .. 500 LOOP
        DELETE FROM said;
        -- few times, sources and values, so that there are ties of every kind
        INSERT INTO said
        SELECT g.id, timestamptz '2025-01-01Z' + floor((1 + round % 5) * random()) * interval '1 day', names[1 + floor(5 * random())::integer],
               (SELECT coalesce(jsonb_object_agg(t.name, pool[1 + floor((5 + round % (cardinality(pool) - 4)) * random())::integer]), '{}')
                FROM unnest(ARRAY['x', 'y', 'z']) AS t(name) WHERE random() < 0.7 AND g.id > 0),
               floor((1 + round % 4) * random())
        FROM generate_series(1, floor(20 * random())::integer) AS g(id);

        policy := '{}';
        expected := '{}';
        FOR i IN 1 .. 3 LOOP
            kind := kinds[1 + (floor(9 * random()))::integer];
            sources := (SELECT array_agg(s.name ORDER BY random()) FROM unnest(ARRAY['a', 'b', 'c', '', 'unheard']) AS s(name) WHERE random() < 0.5);
            IF kind = 'source_rank' THEN
                sources := coalesce(sources, ARRAY['b']);
            END IF;
            policy := policy || jsonb_build_object((ARRAY['x', 'y', '*'])[i], jsonb_strip_nulls(jsonb_build_object('policy', kind, 'sources', sources)));
            decided := pg_temp.decide((ARRAY['x', 'y', 'z'])[i], kind, sources);
            IF decided IS NOT NULL THEN
                expected := expected || jsonb_build_object((ARRAY['x', 'y', 'z'])[i], decided);
            END IF;
        END LOOP;

        SELECT cxm.profile_merge_agg(s.traits, s.at, s.source, policy ORDER BY s.id) INTO record FROM said AS s;
        CONTINUE WHEN record IS NULL;
        answers := answers + 1;
        values_seen := values_seen + (SELECT count(*) FROM jsonb_object_keys(expected));
        ASSERT cxm.traits(record)::text = expected::text, format('%s: %s instead of %s', policy, cxm.traits(record), expected);
        ASSERT (SELECT cxm.profile_merge(s.traits, s.at, s.source, policy) FROM said AS s)::text = expected::text;

        -- in any order, in any parts, in parts that travelled as text
        given := record::text;
        FOR i IN 1 .. 3 LOOP
            ASSERT (SELECT cxm.profile_merge_agg(s.traits, s.at, s.source, policy ORDER BY random()) FROM said AS s)::text = given;
            ASSERT (SELECT cxm.rollup(p.record ORDER BY random())
                    FROM (SELECT cxm.profile_merge_agg(s.traits, s.at, s.source, policy ORDER BY random()) AS record FROM said AS s GROUP BY s.part) AS p)::text = given;
        END LOOP;
        ASSERT (SELECT cxm.rollup(p.record::text::cxm.golden_record)
                FROM (SELECT cxm.profile_merge_agg(s.traits, s.at, s.source, policy) AS record FROM said AS s GROUP BY s.part) AS p)::text = given;
        ASSERT given::cxm.golden_record::text = given;

        -- the provenance tells the same values, and accounts for every observation once
        ASSERT (SELECT coalesce(jsonb_object_agg(w.trait, w.value) FILTER (WHERE w.value IS NOT NULL), '{}') FROM cxm.provenance(record) AS w)::text = expected::text;
        ASSERT (SELECT coalesce(sum((e.value ->> 'observations')::integer), 0) FROM cxm.provenance(record) AS w, jsonb_array_elements(w.beaten || w.supported_by) AS e)
             = (SELECT count(*) FROM said AS s, jsonb_object_keys(s.traits));
        ASSERT NOT EXISTS (SELECT FROM cxm.provenance(record) AS w, jsonb_array_elements(w.beaten || w.supported_by) AS e
                           WHERE NOT EXISTS (SELECT FROM said AS s WHERE s.traits -> w.trait = e.value -> 'value' AND s.source IS NOT DISTINCT FROM e.value ->> 'source' AND s.at = (e.value ->> 'observed_at')::timestamptz));
        -- who won is said to have won, and is in no other list
        ASSERT NOT EXISTS (SELECT FROM cxm.provenance(record) AS w
                           WHERE w.policy NOT IN ('sum', 'union') AND w.value IS NOT NULL
                             AND (EXISTS (SELECT FROM jsonb_array_elements(w.beaten) AS e WHERE e.value -> 'value' = w.value)
                                  OR NOT EXISTS (SELECT FROM jsonb_array_elements(w.supported_by) AS e
                                                 WHERE (e.value -> 'value')::text = w.value::text AND e.value ->> 'source' IS NOT DISTINCT FROM w.source
                                                   AND w.observed_at = (e.value ->> CASE w.policy WHEN 'oldest' THEN 'first_observed_at' ELSE 'observed_at' END)::timestamptz)));
    END LOOP;
    -- the test saw something
    ASSERT answers > 400 AND values_seen > 900, format('%s answers with %s values', answers, values_seen);
END $$;

-- one person with 100,000 observations: all different, and all alike
SELECT length(t.traits ->> 'visits') AS digits, t.traits -> 'city' AS city, jsonb_array_length(t.traits -> 'day') AS days
FROM (SELECT cxm.profile_merge(jsonb_build_object('visits', i, 'city', 'Kiel', 'day', i % 365), timestamptz '2025-01-01Z' + i * interval '1 second', 'web',
                               '{"visits": {"policy": "sum"}, "day": {"policy": "union"}}') AS traits FROM generate_series(1, 100000) AS i) AS t;
SELECT cxm.profile_merge_agg('{"city": "Kiel"}', timestamptz '2025-01-01Z' + i * interval '1 second', 'web') FROM generate_series(1, 100000) AS i;

-- a parallel plan, with the same answer
CREATE TABLE public.cxm_observation AS
SELECT i % 50 AS person, timestamptz '2025-01-01Z' + (i * 7919 % 86400) * interval '1 second' AS at, 's' || i % 3 AS source,
       jsonb_build_object('a', i % 11, 'b', md5((i % 17)::text), 'c', CASE WHEN i % 5 = 0 THEN NULL ELSE i END) AS traits
FROM generate_series(1, 20000) AS i;
ALTER TABLE public.cxm_observation SET (parallel_workers = 2);
ANALYZE public.cxm_observation;
DO $$
DECLARE
    query constant text := 'SELECT person, cxm.profile_merge_agg(traits, at, source, ''{"a": {"policy": "sum"}, "b": {"policy": "most_frequent"}}'') AS record FROM public.cxm_observation GROUP BY person';
    plan jsonb;
    serial text[];
    parallel text[];
    ordered text[];
BEGIN
    SET LOCAL max_parallel_workers_per_gather = 0;
    EXECUTE format('SELECT array_agg(record::text || cxm.traits(record) ORDER BY person) FROM (%s) AS g', query) INTO serial;
    SET LOCAL enable_hashagg = off;
    EXECUTE format('SELECT array_agg(record::text || cxm.traits(record) ORDER BY person) FROM (%s) AS g', query) INTO ordered;
    SET LOCAL enable_hashagg = on;
    SET LOCAL max_parallel_workers_per_gather = 2;
    SET LOCAL parallel_setup_cost = 0;
    SET LOCAL parallel_tuple_cost = 0;
    SET LOCAL min_parallel_table_scan_size = 0;
    EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
    ASSERT jsonb_path_exists(plan, '$.** ? (@."Partial Mode" == "Partial")'), plan;
    ASSERT jsonb_path_exists(plan, '$.** ? (@."Workers Launched" > 0)'), plan;
    EXECUTE format('SELECT array_agg(record::text || cxm.traits(record) ORDER BY person) FROM (%s) AS g', query) INTO parallel;
    ASSERT cardinality(serial) = 50 AND serial = parallel AND serial = ordered;
    -- one group, and groups that spill
    EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) SELECT cxm.traits(cxm.profile_merge_agg(traits, at, source)) FROM public.cxm_observation' INTO plan;
    ASSERT jsonb_path_exists(plan, '$.** ? (@."Partial Mode" == "Partial")'), plan;
    -- workers that find nothing, and some that do
    EXECUTE 'SELECT ARRAY[cxm.traits(cxm.profile_merge_agg(traits, at, source) FILTER (WHERE false))::text, cxm.profile_merge(traits, at, source) FILTER (WHERE traits ->> ''c'' = ''7'') ->> ''c''] FROM public.cxm_observation' INTO parallel;
    ASSERT parallel[1] IS NULL AND parallel[2] = '7', parallel;
    SET LOCAL work_mem = '64kB';
    EXECUTE format('SELECT array_agg(record::text || cxm.traits(record) ORDER BY person) FROM (%s) AS g', query) INTO parallel;
    ASSERT serial = parallel;
END $$;
DROP TABLE public.cxm_observation;
