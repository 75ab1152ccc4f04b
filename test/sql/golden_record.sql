-- golden_record: which value of a trait holds, under each policy; every answer worked out by hand
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set VERBOSITY default
\set SHOW_CONTEXT never

CREATE TEMPORARY TABLE said (at timestamptz, source text, traits jsonb);
INSERT INTO said VALUES
    ('2025-01-01Z', 'crm',  '{"name": "Ann",  "city": "Kiel", "age": 40, "tags": ["b", "a"], "nick": "",      "gone": 1, "address": {"zip": "24103", "lines": ["Hof 1"]}}'),
    ('2025-02-01Z', 'shop', '{"name": "Anna", "city": "Ulm",  "age": 39, "tags": ["b", "c"], "nick": "Annie", "gone": 2, "address": {"zip": "89073", "lines": []}}'),
    ('2025-03-01Z', 'web',  '{"name": "Ann",  "city": null,   "age": 41, "tags": "d",        "nick": "",                 "address": {}}'),
    ('2025-04-01Z', 'shop', '{"name": "Anja", "gone": null, "tags": [null, {"x": 1}, "a"]}');

SELECT p AS policy, cxm.profile_merge(traits, at, source, jsonb_build_object('*', jsonb_build_object('policy', p, 'sources', '["crm", "web"]'::jsonb))) AS traits
FROM unnest(ARRAY['most_recent', 'oldest', 'most_frequent', 'source_rank', 'max', 'min', 'sum', 'union', 'non_empty']) WITH ORDINALITY AS policy(p, n), said
GROUP BY p, n ORDER BY n;

-- one for each trait, and a default; without any, the most recent
SELECT cxm.profile_merge(traits, at, source, '{"name": {"policy": "oldest"}, "age": {"policy": "max"}, "*": {"policy": "non_empty"}}') FROM said;
SELECT cxm.profile_merge(traits, at, source, '{}') = cxm.profile_merge(traits, at, source) AS same,
       cxm.profile_merge(traits, at, source, NULL) = cxm.profile_merge(traits, at, source) AS same_too FROM said;
-- the accessor reads the same observations by another policy
SELECT cxm.traits(cxm.with_policy(cxm.profile_merge_agg(traits, at, source), '{"*": {"policy": "min"}}')) -> 'age' AS age,
       cxm.traits(cxm.with_policy(cxm.profile_merge_agg(traits, at, source, '{"age": {"policy": "min"}}'), '{}')) -> 'age' AS age_again FROM said;

-- where each value comes from, and what it beat
SELECT trait, value, source, observed_at, policy FROM cxm.provenance((SELECT cxm.profile_merge_agg(traits, at, source) FROM said));
SELECT w.trait, w.value, w.source, jsonb_pretty(w.supported_by) AS supported_by, jsonb_pretty(w.beaten) AS beaten
FROM cxm.provenance((SELECT cxm.profile_merge_agg(traits, at, source, '{"city": {"policy": "oldest"}, "age": {"policy": "sum"}}') FROM said)) AS w
WHERE w.trait IN ('city', 'name', 'age');
SELECT policy, value, source, observed_at, supported_by, beaten
FROM cxm.provenance('{"policy": {"x": {"policy": "oldest"}}, "observations": [{"trait": "x", "value": 1, "source": "a", "first_at": "2025-01-01T00:00:00+00:00", "last_at": "2025-05-01T00:00:00+00:00", "times": 7}]}');

---- Ties
-- of one time: the better source; sources that are not listed are worse than all that are
SELECT sources, cxm.profile_merge(v.traits, '2025-01-01Z', v.source, jsonb_build_object('*', jsonb_build_object('policy', p, 'sources', sources)))
FROM unnest(ARRAY['most_recent', 'oldest', 'non_empty']) AS p, (VALUES ('{"x": "low"}'::jsonb, 'a'), ('{"x": "mid"}', 'b'), ('{"x": "top"}', 'c'), ('{"x": "zzz"}', NULL)) AS v(traits, source),
     (VALUES ('["a", "b"]'::jsonb), ('["b"]'), ('["q", "b", "a"]'), ('["a", "b", "a"]')) AS s(sources)
GROUP BY p, sources ORDER BY sources, p;
-- of equal sources: the greater value, numbers as numbers, and of equal numbers the one written longer
SELECT p, cxm.profile_merge(v.traits, '2025-01-01Z', 'a', jsonb_build_object('*', jsonb_build_object('policy', p)))
FROM unnest(ARRAY['most_recent', 'oldest', 'most_frequent', 'max', 'min']) AS p,
     (VALUES ('{"n": 9, "s": "a", "t": true, "m": 1, "z": 1, "u": 0}'::jsonb), ('{"n": 10, "s": "b", "t": false, "m": "1", "z": 1.0, "u": null}')) AS v(traits)
GROUP BY p ORDER BY p;
-- most frequent: equally often, the least; numbers that are equal count together, whoever says them
SELECT cxm.profile_merge(v.traits, v.at, v.source, '{"*": {"policy": "most_frequent"}}')
FROM (VALUES ('{"a": "y", "b": 1, "c": null}'::jsonb, timestamptz '2025-01-01Z', 's'), ('{"a": "x", "b": 1.0, "c": null}', '2025-01-02Z', 't'),
             ('{"a": "x", "b": 2, "c": 5}', '2025-01-03Z', 's'), ('{"a": "y", "b": 3}', '2025-01-04Z', 's')) AS v(traits, at, source);
-- source rank: the latest word of the best source; one that took its value back is passed over, and all others are one rank
SELECT cxm.profile_merge(v.traits, v.at, v.source, '{"*": {"policy": "source_rank", "sources": ["crm", "shop"]}}')
FROM (VALUES ('{"a": 1, "b": 1, "c": 1, "d": 1}'::jsonb, timestamptz '2025-01-01Z', 'crm'), ('{"a": 2, "b": null, "c": null}', '2025-01-02Z', 'crm'),
             ('{"a": 3, "b": 3, "c": 3}', '2025-01-03Z', 'shop'), ('{"c": null, "e": 8, "f": 8}', '2025-01-04Z', 'shop'),
             ('{"a": 4, "b": 4, "c": 4, "e": 9, "g": 1}', '2025-01-05Z', 'web'), ('{"c": 5, "g": null}', '2025-01-06Z', NULL)) AS v(traits, at, source);

---- Nulls, empties, numbers, arrays
-- empty is null, "", [] and {}; not 0, false or a blank
SELECT v.traits, cxm.profile_merge(o.traits, o.at, 's', '{"*": {"policy": "non_empty"}}')
FROM (VALUES ('{"x": null}'::jsonb), ('{"x": ""}'), ('{"x": []}'), ('{"x": {}}'), ('{"x": 0}'), ('{"x": false}'), ('{"x": " "}'), ('{"x": [null]}')) AS v(traits),
     LATERAL (VALUES ('{"x": "before"}'::jsonb, timestamptz '2025-01-01Z'), (v.traits, '2025-01-02Z')) AS o(traits, at)
GROUP BY v.traits ORDER BY v.traits::text COLLATE "C";
-- nothing but nulls, and nothing but empties: no value
SELECT p, cxm.profile_merge(traits, '2025-01-01Z', 's', jsonb_build_object('*', jsonb_build_object('policy', p, 'sources', '["s"]'::jsonb)))
FROM unnest(ARRAY['most_recent', 'oldest', 'most_frequent', 'source_rank', 'max', 'min', 'sum', 'union', 'non_empty']) AS p, (VALUES ('{"x": null, "y": null}'::jsonb), ('{"x": null, "y": []}')) AS v(traits)
GROUP BY p ORDER BY p;
SELECT p.trait, p.value, p.source, p.observed_at, p.supported_by, p.beaten FROM cxm.provenance((SELECT cxm.profile_merge_agg(traits, at, 's', '{"*": {"policy": "oldest"}, "y": {"policy": "sum"}, "z": {"policy": "non_empty"}}')
    FROM (VALUES ('{"x": null, "y": "1", "z": ""}'::jsonb, timestamptz '2025-01-01Z'), ('{"x": null, "z": null}', '2025-01-02Z')) AS v(traits, at))) AS p;
-- a sum is of numbers, each as often as it was said, exact
SELECT cxm.profile_merge(traits, at, 's', '{"*": {"policy": "sum"}}')
FROM (VALUES ('{"a": 0.1, "b": 1, "c": 5, "d": 1e30}'::jsonb, timestamptz '2025-01-01Z'), ('{"a": 0.2, "b": "7", "c": 5, "d": 1}', '2025-01-02Z'),
             ('{"a": 0.3, "b": null, "c": 5, "d": -1e30}', '2025-01-03Z'), ('{"b": [3]}', '2025-01-04Z')) AS v(traits, at);
-- a union is in order and without repetition; equal numbers are one
SELECT cxm.profile_merge(traits, at, 's', '{"*": {"policy": "union"}}')
FROM (VALUES ('{"a": ["z", 2, [1], {"k": 1}, null, true], "b": [], "c": "x"}'::jsonb, timestamptz '2025-01-01Z'), ('{"a": [2.0, "z", [1], [[1]], {"k": 1.0}], "b": null, "c": "x"}', '2025-01-02Z')) AS v(traits, at);
-- nested values, odd names, infinite times
SELECT cxm.profile_merge(traits, at, source)
FROM (VALUES ('{"": "empty name", "*": "star", "ünï": {"a": {"b": [1, {"c": "\u00fc\"\\"}]}}, "policy": 1}'::jsonb, timestamptz '-infinity', ''), ('{"*": "later"}', 'infinity', 'x')) AS v(traits, at, source);
SELECT cxm.profile_merge_agg(traits, at, source)
FROM (VALUES ('{"*": "star", "ünï": ["\u00fc\"\\", null]}'::jsonb, timestamptz '-infinity', ''), ('{"*": "star"}', 'infinity', ''), ('{"*": "star"}', '0044-03-15Z BC', NULL), ('{}', '2025-01-01Z', 'nothing')) AS v(traits, at, source);

---- No rows, and rows that say nothing
SELECT cxm.profile_merge_agg(traits, at, source) IS NULL AS none, cxm.profile_merge(traits, at, source) IS NULL AS none_too FROM said WHERE false;
SELECT cxm.profile_merge(NULL, at, source) IS NULL AS skipped FROM said;
SELECT cxm.profile_merge(v.traits, v.at, NULL) FROM (VALUES (NULL::jsonb, NULL::timestamptz), ('{"a": 1}', '2025-01-01Z'), (NULL, NULL)) AS v(traits, at);
SELECT cxm.profile_merge('{}', at, source), cxm.profile_merge_agg('{}', at, source) FROM said;
SELECT * FROM cxm.provenance(NULL);
SELECT * FROM cxm.provenance('{"observations": []}');
SELECT cxm.traits(NULL) IS NULL AS nothing, cxm.with_policy(NULL, '{}') IS NULL AS nothing_too, cxm.rollup(NULL::cxm.golden_record) IS NULL AS none;

---- Parts put together, in groups, windows and ordinary calls
SELECT cxm.traits(cxm.rollup(part.record)) = (SELECT cxm.profile_merge(traits, at, source) FROM said) AS same
FROM (SELECT cxm.profile_merge_agg(traits, at, source) AS record FROM said GROUP BY source) AS part;
SELECT source, cxm.profile_merge(traits, at, source) -> 'name' AS name FROM said GROUP BY ROLLUP (source) ORDER BY source;
SELECT at, cxm.traits(cxm.profile_merge_agg(traits, at, source) OVER (ORDER BY at)) -> 'name' AS so_far,
       cxm.traits(cxm.profile_merge_agg(traits, at, source) OVER (ORDER BY at ROWS 1 PRECEDING)) -> 'city' AS of_two,
       cxm.profile_merge(traits, at, source, '{"*": {"policy": "max"}}') OVER (ORDER BY at ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) -> 'age' AS greatest_of_two
FROM said ORDER BY at;
SELECT cxm.traits(cxm.observe(cxm.observe(NULL, '{"a": 1}', '2025-01-01Z', 's'), '{"b": 2}', '2025-01-01Z', 's')),
       cxm.observe(NULL, NULL, NULL, NULL) IS NULL AS nothing, cxm.observe(NULL, NULL, NULL, NULL, NULL) IS NULL AS nothing_too,
       cxm.observe('{"observations": []}', NULL, NULL, NULL) AS unchanged;
DO $$
DECLARE
    r cxm.golden_record := cxm.observe(NULL, '{"a": 1}', '2025-01-01Z', 's');
    o cxm.golden_record := r;
BEGIN
    -- a call outside an aggregate changes nobody's value
    r := cxm.observe(r, '{"a": 2}', '2025-01-02Z', 's');
    ASSERT cxm.traits(o) = '{"a": 1}' AND cxm.traits(r) = '{"a": 2}';
    ASSERT cxm.traits(cxm.golden_record_add(o, r)) = '{"a": 2}' AND cxm.traits(o) = '{"a": 1}';
END $$;

---- Errors
SELECT cxm.profile_merge('[1]', now(), 's');
SELECT cxm.profile_merge('null', now(), 's');
SELECT cxm.profile_merge('{"a": 1}', NULL, 's');
SELECT cxm.profile_merge(traits, at, source, jsonb_build_object('name', jsonb_build_object('policy', 'max', 'sources', jsonb_build_array(source)))) FROM said;
SELECT cxm.rollup(r) FROM (VALUES (cxm.with_policy('{"observations": []}', '{"a": {"policy": "max"}}')), ('{"observations": []}')) AS v(r);
SELECT cxm.profile_merge(traits, at, source, '{"*": {"policy": "newest"}}') FROM said;

-- what is no policy, in every place that takes one
CREATE FUNCTION pg_temp.refused(policy jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    BEGIN
        PERFORM cxm.with_policy('{"observations": []}', policy);
        RETURN 'taken';
    EXCEPTION WHEN invalid_parameter_value THEN
        said := SQLERRM;
    END;
    BEGIN
        PERFORM cxm.profile_merge('{}', now(), 's', policy);
        RETURN 'taken by the aggregate';
    EXCEPTION WHEN invalid_parameter_value THEN
        ASSERT SQLERRM = said;
    END;
    BEGIN
        PERFORM jsonb_build_object('policy', policy, 'observations', '[]'::jsonb)::text::cxm.golden_record;
        RETURN 'taken by the input function';
    EXCEPTION WHEN invalid_parameter_value THEN
        ASSERT SQLERRM = said;
    END;
    RETURN said;
END $$;
SELECT p AS policy, pg_temp.refused(p::jsonb) FROM unnest(ARRAY['null', '1', '"max"', '[]', '[{"policy": "max"}]', '{"a": null}', '{"a": "max"}', '{"a": []}', '{"a": [{"policy": "max"}]}', '{"a": {}}',
    '{"a": {"policy": null}}', '{"a": {"policy": 1}}', '{"a": {"policy": ["max"]}}', '{"a": {"policy": ""}}', '{"a": {"policy": "MAX"}}', '{"a": {"policy": "maximum"}}', '{"a": {"policy": "ma"}}', '{"a": {"Policy": "max"}}',
    '{"a": {"policy": "max", "source": ["crm"]}}', '{"a": {"sources": ["crm"]}}', '{"a": {"policy": "source_rank"}}', '{"a": {"policy": "source_rank", "sources": []}}', '{"a": {"policy": "source_rank", "sources": "crm"}}',
    '{"a": {"policy": "source_rank", "sources": {"crm": 1}}}', '{"a": {"policy": "source_rank", "sources": ["crm", null]}}', '{"a": {"policy": "max", "sources": [1]}}', '{"a": {"policy": "max", "sources": [["crm"]]}}',
    '{"*": {"policy": "most-recent"}}', '{"a": {"policy": "max"}, "b": {"policy": "?"}}']) AS p;
SELECT left(pg_temp.refused(jsonb_build_object(repeat('ä', 1000), 1)), 40), length(pg_temp.refused(jsonb_build_object(repeat('ä', 1000), 1))) AS length;
SELECT pg_temp.refused('{"a": {"policy": "max", "sources": []}, "b": {"policy": "source_rank", "sources": ["x", "x", "\u00fc"]}, "": {"policy": "sum"}}');
