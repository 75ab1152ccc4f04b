-- golden_record in a store: policies, the view of traits, merges and splits
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never

-- without a store
SELECT cxm.set_trait_policy('city', 'oldest');
SELECT cxm.drop_trait_policy('city');

BEGIN;
SELECT cxm.create_store('UTC') IS NOT NULL AS made;
SELECT trait, policy, sources FROM cx.trait_policy;
SELECT cxm.trait_policies();
SELECT count(*) FROM cx.profile_trait;

SELECT cxm.identify('{"email": "ann@example.com"}', '{"name": "Ann", "city": "Kiel", "phone": "1", "spend": 10, "tags": ["a"]}', '2025-01-01Z', source => 'crm') IS NOT NULL AS taken;
SELECT cxm.identify('{"anonymous_id": "c1"}', '{"name": "ann", "city": "", "tags": "b"}', '2025-02-01Z', source => 'web') IS NOT NULL AS taken;
SELECT cxm.identify('{"email": "ann@example.com"}', '{"name": "Anna", "city": "Ulm", "phone": null, "spend": 5}', '2025-03-01Z', source => 'shop') IS NOT NULL AS taken;
SELECT cxm.identify('{"email": "bob@example.com"}', '{"name": "Bob"}', '2025-01-01Z', source => 'crm') IS NOT NULL AS taken;
SELECT cxm.track('seen', '{"email": "nobody@example.com"}') IS NOT NULL AS taken;

-- before, in between and after the merge of ann's cookie; a profile without traits has no rows
CREATE FUNCTION pg_temp.show(email text) RETURNS TABLE (trait text, value jsonb, source text, observed date, policy text, beaten text)
LANGUAGE sql AS $$
    SELECT t.trait, t.value, t.source, t.observed_at::date, t.policy, (SELECT string_agg(format('%s %s', e.value -> 'value', e.value ->> 'source'), ', ' ORDER BY e.ordinality) FROM jsonb_array_elements(t.beaten) WITH ORDINALITY AS e)
    FROM cx.profile_trait AS t WHERE t.profile_id = cxm.customer('email', email) ORDER BY t.trait COLLATE "C";
$$;
SELECT * FROM pg_temp.show('ann@example.com');
SELECT cxm.identify('{"email": "ann@example.com", "anonymous_id": "c1"}', at => '2025-01-15Z', source => 'web', message_id => 'login') IS NOT NULL AS merged;
SELECT * FROM pg_temp.show('ann@example.com');
SELECT profile_id = cxm.customer('email', 'ann@example.com') AS ann, traits FROM cx.customer_360 ORDER BY profile_id;

-- policies hold at once, for what is stored
SELECT cxm.set_trait_policy('name', 'source_rank', ARRAY['crm', 'shop']);
SELECT cxm.set_trait_policy('city', 'oldest', '{}');
SELECT cxm.set_trait_policy('tags', 'union');
SELECT cxm.set_trait_policy('spend', 'max');
SELECT cxm.set_trait_policy('spend', 'sum', NULL);
SELECT cxm.set_trait_policy('*', 'non_empty');
SELECT trait, policy, sources, changed_by = session_user AS mine FROM cx.trait_policy ORDER BY trait;
SELECT * FROM pg_temp.show('ann@example.com');
SELECT profile_id = cxm.customer('email', 'ann@example.com') AS ann, traits FROM cx.customer_360 ORDER BY profile_id;
SELECT cxm.drop_trait_policy('name') AS dropped, cxm.drop_trait_policy('name') AS dropped_again, cxm.drop_trait_policy(NULL) AS nothing;
SELECT traits -> 'name' AS name FROM cx.customer_360 WHERE profile_id = cxm.customer('email', 'ann@example.com');
SELECT cxm.set_trait_policy('name', 'oldest', ARRAY['crm', 'erp', 'till']);

-- what is refused
SAVEPOINT s;
SELECT cxm.set_trait_policy('city', 'newest'); ROLLBACK TO s;
SELECT cxm.set_trait_policy('city', 'source_rank'); ROLLBACK TO s;
SELECT cxm.set_trait_policy('city', 'source_rank', '{}'); ROLLBACK TO s;
SELECT cxm.set_trait_policy('city', 'source_rank', ARRAY['crm', 'shop', 'crm']); ROLLBACK TO s;
SELECT cxm.set_trait_policy('city', 'source_rank', ARRAY['crm', NULL]); ROLLBACK TO s;
SELECT cxm.set_trait_policy('city', 'source_rank', ARRAY[['crm', 'shop']]); ROLLBACK TO s;
SELECT cxm.set_trait_policy(NULL, 'oldest'); ROLLBACK TO s;
SELECT cxm.set_trait_policy('city', NULL); ROLLBACK TO s;
SELECT cxm.drop_trait_policy('*'); ROLLBACK TO s;
\set VERBOSITY terse
INSERT INTO cx.trait_policy (trait, policy) VALUES ('x', 'newest'); ROLLBACK TO s;
INSERT INTO cx.trait_policy (trait, policy) VALUES ('x', 'source_rank'); ROLLBACK TO s;
INSERT INTO cx.trait_policy (trait, policy, sources) VALUES ('x', 'source_rank', '{}'); ROLLBACK TO s;
INSERT INTO cx.trait_policy (trait, policy, sources) VALUES ('x', 'max', ARRAY[NULL]); ROLLBACK TO s;
\set VERBOSITY default
-- what a hand may write and the function refuses does no harm
INSERT INTO cx.trait_policy (trait, policy, sources) VALUES ('phone', 'source_rank', ARRAY['shop', 'crm', 'shop']), ('', 'max', ARRAY['']);
SELECT * FROM pg_temp.show('ann@example.com') AS s WHERE s.trait = 'phone';

-- a split gives each their own again
SELECT cxm.remove_records((SELECT source_id FROM cx.source WHERE source = 'web'), 'traits', ARRAY['login']);
SELECT * FROM pg_temp.show('ann@example.com');
ROLLBACK;

-- merge, later writes, unmerge: every golden record is that of people who were never merged
SET client_min_messages = warning;
BEGIN;
SELECT cxm.create_store('UTC') IS NOT NULL AS made;
DO $$
DECLARE
    web integer;
    kinds constant text[] := ARRAY['most_recent', 'oldest', 'most_frequent', 'max', 'min', 'sum', 'union', 'non_empty'];
    merged integer;
BEGIN
    PERFORM setseed(0.173205);
    CREATE TEMPORARY TABLE written (email text, traits jsonb, at timestamptz, source text) ON COMMIT DROP;
    CREATE TEMPORARY VIEW golden AS
    SELECT i.value AS email, t.trait, t.value, t.source, t.observed_at, t.beaten, t.policy, t.supported_by
    FROM cx.identifier AS i JOIN cx.profile AS p ON p.profile_id = i.profile_id JOIN cx.profile_trait AS t ON t.profile_id = p.canonical_id;
    -- what each would be alone
    CREATE TEMPORARY VIEW alone AS
    SELECT w.email, t.*
    FROM (SELECT w.email, cxm.profile_merge_agg(w.traits, w.at, w.source, (SELECT cxm.trait_policies())) AS record FROM written AS w GROUP BY w.email) AS w, cxm.provenance(w.record) AS t;

    FOR i IN 1 .. 4 LOOP
        PERFORM cxm.set_trait_policy('t' || i, kinds[1 + floor(8 * random())::integer]);
    END LOOP;
    PERFORM cxm.set_trait_policy('t5', 'source_rank', ARRAY['web', 'crm']);

    FOR round IN 1 .. 2 LOOP
        INSERT INTO written
        SELECT 'p' || floor(40 * random()) || '@x.org', (SELECT coalesce(jsonb_object_agg('t' || n, (ARRAY['1', '2', '2.0', '"a"', '""', 'null', '["x"]', '["y", "x"]']::jsonb[])[1 + floor(8 * random())::integer]), '{}') FROM generate_series(1, 6) AS n WHERE g > 0 AND random() < 0.6),
               timestamptz '2025-01-01Z' + floor(20 * random()) * interval '1 hour', (ARRAY['web', 'crm', 'shop'])[1 + floor(3 * random())::integer]
        FROM generate_series(1, 300) AS g;
        PERFORM cxm.identify(jsonb_build_object('email', w.email), w.traits, w.at, source => w.source)
        FROM (SELECT w.*, row_number() OVER () AS n FROM written AS w) AS w WHERE w.n > 300 * (round - 1);
        IF round = 1 THEN
            ASSERT NOT EXISTS (TABLE golden EXCEPT TABLE alone) AND NOT EXISTS (TABLE alone EXCEPT TABLE golden), 'alone';
            -- people are merged, in chains and stars; more is written about them in the second round
            PERFORM cxm.identify(jsonb_build_object('email', jsonb_build_array(format('p%s@x.org', floor(40 * random())), format('p%s@x.org', floor(40 * random())))), at => '2025-01-01Z', source => 'web', message_id => 'm' || g)
            FROM generate_series(1, 25) AS g;
        END IF;
    END LOOP;
    merged := (SELECT count(*) FROM cx.profile AS p WHERE p.profile_id <> p.canonical_id);
    ASSERT merged > 10, merged;
    ASSERT EXISTS (TABLE golden EXCEPT TABLE alone), 'the merge changed nothing';
    -- merged people have the golden record of all that was said of any of them, and the customer 360 has the same values
    ASSERT NOT EXISTS (
        SELECT FROM (SELECT p.canonical_id, cxm.profile_merge(w.traits, w.at, w.source, (SELECT cxm.trait_policies())) AS traits
                     FROM written AS w JOIN cx.identifier AS i ON i.value = w.email JOIN cx.profile AS p ON p.profile_id = i.profile_id GROUP BY p.canonical_id) AS e
        FULL JOIN cx.customer_360 AS c ON c.profile_id = e.canonical_id
        WHERE e.traits IS DISTINCT FROM c.traits OR c.traits IS DISTINCT FROM (SELECT jsonb_object_agg(t.trait, t.value) FILTER (WHERE t.value IS NOT NULL) FROM cx.profile_trait AS t WHERE t.profile_id = c.profile_id));

    SELECT s.source_id INTO web FROM cx.source AS s WHERE s.source = 'web';
    PERFORM cxm.remove_records(web, 'traits', ARRAY(SELECT 'm' || g FROM generate_series(1, 25) AS g));
    ASSERT NOT EXISTS (SELECT FROM cx.profile AS p JOIN cx.identifier AS i USING (profile_id) WHERE p.profile_id <> p.canonical_id);
    ASSERT NOT EXISTS (TABLE golden EXCEPT TABLE alone) AND NOT EXISTS (TABLE alone EXCEPT TABLE golden), 'after the split';
END $$;
ROLLBACK;

-- one person of 20,000 is reached by indexes alone
BEGIN;
SELECT cxm.create_store('UTC') IS NOT NULL AS made;
INSERT INTO cx.source (source_id, source) VALUES (1, 'crm');
INSERT INTO cx.profile (profile_id, canonical_id) SELECT i, 1 + (i - 1) % 20000 FROM generate_series(1, 24000) AS i;
INSERT INTO cx.identifier (identifier_id, namespace, value, profile_id) SELECT i, 'email', i || '@x.org', i FROM generate_series(1, 24000) AS i;
INSERT INTO cx.trait (identifier_id, observed_at, traits, source_id) SELECT 1 + i % 24000, timestamptz '2025-01-01Z' + i * interval '1 second', jsonb_build_object('n', i), 1 FROM generate_series(1, 48000) AS i;
ANALYZE cx.profile, cx.identifier, cx.trait, cx.source;
DO $$
DECLARE
    query text;
    plan jsonb;
    tables text[];
BEGIN
    FOREACH query IN ARRAY ARRAY['SELECT * FROM cx.profile_trait WHERE profile_id = 77', 'SELECT value FROM cx.profile_trait WHERE profile_id = 77 AND trait = ''n''', 'SELECT traits FROM cx.customer_360 WHERE profile_id = 77',
                                 'SELECT * FROM cx.profile_trait WHERE profile_id IN (1, 77, 4000)', 'SELECT t.* FROM cx.profile_trait AS t WHERE t.profile_id = (SELECT cxm.customer(''email'', ''77@x.org''))'] LOOP
        EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
        SELECT array_agg(DISTINCT n ->> 'Relation Name') INTO tables FROM jsonb_path_query(plan, '$.** ? (@."Relation Name" like_regex ".")') AS n;
        ASSERT tables @> '{profile,identifier,trait}', plan;
        ASSERT NOT jsonb_path_exists(plan, '$.** ? (@."Node Type" == "Seq Scan" && @."Relation Name" != "source")'), plan;
    END LOOP;
END $$;
SELECT trait, value, source, observed_at, jsonb_array_length(beaten) AS beaten FROM cx.profile_trait WHERE profile_id = 77;
SELECT count(*) AS people, count(*) FILTER (WHERE jsonb_array_length(beaten) = 3) AS merged FROM cx.profile_trait;
ROLLBACK;
