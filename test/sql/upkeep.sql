-- Upkeep: procedures that commit, so this test makes a store and drops it
SET client_min_messages = warning;
SET timezone = 'UTC';
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT cxm.create_store('UTC') = cxm.version() AS made;

---- partitions
-- rows whose months have no partition wait in the default one: what a writer without ownership leaves
INSERT INTO cx.event_type (event_type_id, key) VALUES (1, 'old');
INSERT INTO cx.event (occurred_at, event_type_id) VALUES
    ('2001-01-31 23:59:59.999999Z', 1), ('2001-02-01 00:00Z', 1), ('2001-02-28 23:59:59.999999Z', 1), ('2004-02-29 12:00Z', 1), ('1969-12-31 23:59Z', 1);
INSERT INTO cx.feedback (occurred_at, metric, score) VALUES ('2001-01-01 00:00Z', 'nps', 9);
SELECT tableoid::regclass, count(*) FROM cx.event GROUP BY tableoid ORDER BY tableoid::regclass::text;
SELECT parent, month FROM cxm.months_to_make() ORDER BY parent, month;
CALL cxm.maintain_partitions();
SELECT tableoid::regclass, count(*) FROM cx.event GROUP BY tableoid ORDER BY tableoid::regclass::text;
SELECT tableoid::regclass, count(*) FROM cx.feedback GROUP BY tableoid ORDER BY tableoid::regclass::text;
SELECT count(*) FROM cxm.months_to_make();
SELECT job, row_count, outcome, detail, finished_at >= started_at AS ended FROM cx.job_run ORDER BY run_id;
-- nothing left to do
CALL cxm.maintain_partitions();
SELECT job, row_count, outcome, detail FROM cx.job_run ORDER BY run_id DESC LIMIT 1;
-- months that somebody took away come back
DO $$ BEGIN EXECUTE format('DROP TABLE cx.event_%s', to_char(now() AT TIME ZONE 'UTC' + interval '2 months', 'YYYY_MM')); END $$;
CALL cxm.maintain_partitions();
SELECT row_count, outcome, detail FROM cx.job_run ORDER BY run_id DESC LIMIT 1;

---- rejections
SELECT * FROM cxm.record_feedback_batch('[
    {"metric": "mood", "score": 3, "message_id": "m1", "comment": "of a metric to come", "identifiers": {"email": "ann@example.com"}, "at": "2001-01-05T10:00:00Z"},
    {"metric": "nps", "score": 11, "message_id": "m2"},
    {"metric": "nps", "score": 9, "message_id": "m3"}]', 'web');
SELECT * FROM cxm.identify_batch('[{"identifiers": {"wallet": "w-1", "email": "ann@example.com"}, "message_id": "m1"}]', 'web');
SELECT * FROM cxm.track_batch('[{"event": "x", "at": "2001-13-01"}, {}]', 'web');
SELECT * FROM cxm.record_purchase_batch('[{"amount": "free", "message_id": "m1"}]', 'web');
SELECT kind, message_id, state, attempts, sqlstate, reason FROM cx.rejection ORDER BY rejection_id;
-- nothing was mended: all are refused again
CALL cxm.replay_rejections();
SELECT row_count, outcome, detail FROM cx.job_run ORDER BY run_id DESC LIMIT 1;
SELECT state, attempts, count(*) FROM cx.rejection GROUP BY 1, 2 ORDER BY 1, 2;
-- what they lacked, and one record mended
SELECT cxm.add_metric('mood', 'csat', 1, 5);
SELECT cxm.add_namespace('wallet', 25);
UPDATE cx.rejection SET record = jsonb_set(record, '{amount}', '0') WHERE kind = 'purchase';
CALL cxm.replay_rejections();
SELECT row_count, outcome, detail FROM cx.job_run ORDER BY run_id DESC LIMIT 1;
SELECT kind, message_id, state, attempts, closed_at IS NOT NULL AS closed FROM cx.rejection ORDER BY rejection_id;
SELECT occurred_at, metric, score, comment FROM cx.feedback WHERE metric = 'mood';
SELECT i.namespace, i.value, i.profile_id = cxm.customer('wallet', 'w-1') AS one_person FROM cx.identifier AS i ORDER BY 1;
SELECT amount FROM cx.purchase;
-- a message that was taken meanwhile is not taken twice
SELECT * FROM cxm.record_feedback_batch('[{"metric": "nps", "score": 10, "message_id": "m2"}]', 'web');
SELECT message_id, state FROM cx.rejection WHERE kind = 'feedback' ORDER BY rejection_id;
-- one at a time
SELECT cxm.replay_rejection(rejection_id) FROM cx.rejection ORDER BY rejection_id;
SELECT cxm.replay_rejection(0), cxm.replay_rejection(NULL);
-- enough is enough
CALL cxm.replay_rejections(1);
SELECT detail FROM cx.job_run ORDER BY run_id DESC LIMIT 1;
SELECT kind, state, attempts FROM cx.rejection WHERE state = 'open' ORDER BY rejection_id;
-- dismissed ones are let lie
UPDATE cx.rejection SET state = 'dismissed', closed_at = now() WHERE state = 'open';
CALL cxm.replay_rejections();
SELECT detail FROM cx.job_run ORDER BY run_id DESC LIMIT 1;
-- more than one batch of 500, in order of refusal
SELECT * FROM cxm.record_feedback_batch((SELECT jsonb_agg(jsonb_build_object('metric', 'verve', 'score', 1 + n % 5, 'message_id', 'v' || n)) FROM generate_series(1, 1201) AS n), 'web');
SELECT cxm.add_metric('verve', 'rating', 1, 5);
CALL cxm.replay_rejections();
SELECT row_count, outcome, detail FROM cx.job_run ORDER BY run_id DESC LIMIT 1;
SELECT count(*), sum(score) FROM cx.feedback WHERE metric = 'verve';
SELECT count(*) FROM cx.rejection WHERE state = 'open';

---- statistics, the log, all of it
CALL cxm.refresh_statistics();
SELECT row_count, outcome, detail FROM cx.job_run ORDER BY run_id DESC LIMIT 1;
SELECT reltuples >= 0 AS analysed FROM pg_class WHERE oid = 'cx.event'::regclass;
UPDATE cx.job_run SET started_at = now() - interval '100 days' WHERE run_id <= 2;
INSERT INTO cx.job_run (job, started_at) VALUES ('upkeep of old', now() - interval '1 year');
SELECT cxm.forget_job_runs(NULL) IS NULL AS nothing;
SELECT cxm.forget_job_runs(interval '101 days') AS none;
SELECT cxm.forget_job_runs() AS two;
-- a run that was cut off is told so by the next one
INSERT INTO cx.job_run (job) VALUES ('maintain_partitions');
CALL cxm.maintain_partitions();
SELECT outcome, detail FROM cx.job_run WHERE job = 'maintain_partitions' ORDER BY run_id DESC LIMIT 2;
-- inside a transaction nothing can be committed
BEGIN;
CALL cxm.maintain_partitions();
ROLLBACK;
BEGIN;
CALL cxm.replay_rejections();
ROLLBACK;

SELECT job FROM cxm.jobs() ORDER BY job;
SELECT * FROM cxm.store_check();
DROP SCHEMA cx CASCADE;
