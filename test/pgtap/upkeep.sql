-- The parts of upkeep that need no COMMIT
BEGIN;
SELECT plan(13);
SET LOCAL timezone = 'UTC';

SELECT is(cxm.lock_job('a job'), true, 'a job is free');
SELECT is(cxm.lock_job('a job'), true, 'and stays its own within the transaction');
SELECT is(cxm.lock_job(NULL), NULL, 'NULL is no job');
SELECT cxm.start_job('a job') AS run \gset
SELECT results_eq('SELECT job, outcome, finished_at FROM cx.job_run WHERE run_id = ' || :run, $$VALUES ('a job', 'running', NULL::timestamptz)$$, 'its start is logged');
SELECT cxm.finish_job(:run, 7, 'seven rows');
SELECT results_eq('SELECT outcome, row_count, detail, finished_at >= started_at FROM cx.job_run WHERE run_id = ' || :run, $$VALUES ('done', 7::bigint, 'seven rows', true)$$, 'and its end');
SELECT is(cxm.forget_job_runs(interval '1 day'), 0::bigint, 'it is not forgotten at once');

SELECT is(cardinality(cxm.months_ahead()), 5, 'last month, this one and three more');
SELECT is(cxm.missing_months(parent, cxm.months_ahead()), '{}'::timestamp[], 'cx.' || parent || ' has them') FROM unnest(ARRAY['event', 'feedback', 'purchase']) AS parent;

-- every job is one that runs
SELECT is_empty($$SELECT j.job FROM cxm.jobs() AS j
                  WHERE j.schedule !~ '^([0-9*/]+ ){4}[0-9*]$' OR j.command !~ '^(CALL|SELECT) cxm\.[a-z_]+\(\)(, cxm\.[a-z_]+\(\))*$'
                     OR j.job <> 'cxm ' || substring(j.command FROM 'cxm\.([a-z_]+)')$$, 'the jobs are well formed');
SELECT throws_ok('SELECT cxm.schedule_jobs()', '55000', NULL, 'without pg_cron nothing can be scheduled');
SELECT throws_ok('SELECT cxm.unschedule_jobs()', '55000', NULL, 'nor taken back');

SELECT * FROM finish();
ROLLBACK;
