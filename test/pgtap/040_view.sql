-- What every view of a store keeps to
BEGIN;
SELECT plan(11);

SELECT bag_eq(
    $$SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind = 'v'$$,
    $$VALUES ('metric_score'), ('scorecard'), ('nps_by_touchpoint'), ('nps_trend'), ('csat_by_product'), ('detractor_queue'), ('customer_360'), ('profile_trait'),
             ('identity_lineage'), ('match_queue'), ('impact_performance'),
             ('journey_code'), ('touchpoint_scorecard'), ('journey_dropoff'), ('value_ladder'), ('retention_monthly'), ('score_at_step'),
             ('follow_up_queue'), ('follow_up_by_owner'), ('follow_up_breaches'), ('follow_up_times'), ('follow_up_recovery'), ('follow_up_recovery_rate'),
             ('follow_up_match'), ('follow_up_lift'),
             ('conversation_inbox'), ('conversation_response'), ('conversation_thread'), ('conversation_workload'), ('current_consent'),
             ('delivery_outcome'), ('delivery_queue'), ('notifier_status'), ('response_answer'), ('rollup_status'), ('response_wide'), ('survey_distribution'),
             ('survey_dropoff'), ('survey_score'), ('survey_summary'),
             ('review_ask_audit'), ('referral_rate'), ('quota_status'), ('invitation_outcome'), ('non_response'), ('referral_pair'), ('enps'), ('experience_by_location'), ('review_by_site'), ('review'),
             ('goal_status'), ('benchmark_gap'), ('accountability'), ('overall_rating'), ('overall_rating_parts')$$,
    'the views of the store');

SELECT is_empty(
    $$SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
      FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
      WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind = 'v'
        AND format_type(a.atttypid, a.atttypmod) NOT IN
            ('text', 'bigint', 'integer', 'smallint', 'numeric', 'double precision', 'timestamp with time zone', 'date', 'boolean', 'jsonb')$$,
    'every column has a type that any driver knows');

SELECT is_empty(
    $$SELECT c.relname, a.attname
      FROM pg_class AS c LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
      WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind = 'v'
        AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)$$,
    'every view and column is commented');

SELECT is_empty(
    $$SELECT c.relname FROM pg_class AS c
      WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind = 'v'
        AND current_setting('server_version_num')::integer >= 150000
        AND NOT coalesce(c.reloptions @> ARRAY['security_invoker=true'], false)$$,
    'every view reads with the rights of the reader');

-- every plan node of a query, with the table that it reads
CREATE FUNCTION pg_temp.nodes(query text) RETURNS TABLE (node text, relation text)
LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN QUERY
    WITH RECURSIVE tree (item) AS (
        SELECT (plan -> 0 -> 'Plan')::jsonb
        UNION ALL
        SELECT child FROM tree, jsonb_array_elements(tree.item -> 'Plans') AS child
    )
    SELECT item ->> 'Node Type', item ->> 'Relation Name' FROM tree;
END
$$;

-- where an index serves, a plan without sequential scans exists
SET LOCAL enable_seqscan = off;
SELECT is_empty(
    $$SELECT * FROM pg_temp.nodes('SELECT * FROM cx.customer_360 WHERE profile_id = 1') WHERE node = 'Seq Scan'$$,
    'one customer is found by indexes alone');
SELECT isnt_empty(
    $$SELECT * FROM pg_temp.nodes('SELECT * FROM cx.customer_360 WHERE profile_id = 1') WHERE node ~ 'Index|Bitmap' AND relation ~ '^event_'$$,
    'events by their index');
SELECT isnt_empty(
    $$SELECT * FROM pg_temp.nodes('SELECT * FROM cx.metric WHERE family = ''nps''') WHERE node = 'Seq Scan'$$,
    'the probe sees plans at all');
SELECT is_empty(
    $$SELECT DISTINCT relation FROM pg_temp.nodes('SELECT profile_id FROM cx.customer_360') WHERE relation IS NOT NULL AND relation <> 'profile'$$,
    'columns that are not asked for are not computed');
SELECT is_empty(
    $$SELECT DISTINCT relation FROM pg_temp.nodes('SELECT spend FROM cx.customer_360 WHERE profile_id = 1') WHERE relation ~ '^(event|feedback|trait|alert)'$$,
    'spend alone reads no events, answers, traits or alerts');

-- rights of the reader
CREATE ROLE cxm_test_reader;
GRANT USAGE ON SCHEMA cx, cxm TO cxm_test_reader;
GRANT SELECT ON cx.metric_score TO cxm_test_reader;
SET LOCAL ROLE cxm_test_reader;
SELECT CASE WHEN current_setting('server_version_num')::integer >= 150000
    THEN throws_ok('SELECT * FROM cx.metric_score', '42501', NULL, 'a grant on the view alone opens nothing')
    ELSE skip('PostgreSQL 14 views read with the rights of their owner', 1) END;
RESET ROLE;
SELECT cxm.grant_store('cxm_test_reader');
SET LOCAL ROLE cxm_test_reader;
SELECT lives_ok(
    'SELECT (SELECT count(*) FROM cx.metric_score), (SELECT count(*) FROM cx.scorecard AS s WHERE s.dimension = ''all''), (SELECT count(*) FROM cx.nps_by_touchpoint), (SELECT count(*) FROM cx.nps_trend),
            (SELECT count(*) FROM cx.csat_by_product), (SELECT count(*) FROM cx.detractor_queue), (SELECT count(identifiers) FROM cx.customer_360)',
    'a reader of the store reads every view');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
