-- Whether listeners are told: the background worker of this database, and what it has still to send.

CREATE OR REPLACE VIEW cx.notifier_status AS
SELECT
    cxm.notify_mode() AS notify_mode,
    s.preloaded,
    s.state,
    s.worker_pid,
    s.started_at,
    s.batches,
    s.sent,
    o.unsent,
    o.held,
    o.oldest_unsent_at,
    s.last_sent_at,
    s.last_error,
    s.last_error_at
FROM cxm.notifier_status() AS s
CROSS JOIN (
    SELECT w.unsent, h.held, least(w.oldest_at, h.oldest_at) AS oldest_unsent_at
    FROM (SELECT count(*) AS unsent, min(o.created_at) AS oldest_at FROM cx.outbox AS o WHERE o.sent_at IS NULL AND NOT o.held) AS w
    CROSS JOIN (SELECT count(*) AS held, min(o.created_at) AS oldest_at FROM cx.outbox AS o WHERE o.sent_at IS NULL AND o.held) AS h
) AS o;

COMMENT ON VIEW cx.notifier_status IS 'Whether listeners are told: one row about the background worker of this database and what it has still to send. Counts are since the server started.';
COMMENT ON COLUMN cx.notifier_status.notify_mode IS 'Who sends what this session posts: worker, direct or off (cxm.notify_mode()).';
COMMENT ON COLUMN cx.notifier_status.preloaded IS 'Whether the server has cxm in shared_preload_libraries; without it there is no worker.';
COMMENT ON COLUMN cx.notifier_status.state IS 'running; failing (it could not send, and tries again: see last_error); starting; waiting (there is no worker: no process is free, it was killed, or a command needs the database for itself; it will be tried again); none (nobody asked for one).';
COMMENT ON COLUMN cx.notifier_status.worker_pid IS 'Process of the worker, as in pg_stat_activity; NULL = there is none.';
COMMENT ON COLUMN cx.notifier_status.started_at IS 'When the worker started.';
COMMENT ON COLUMN cx.notifier_status.batches IS 'Transactions in which workers of this database sent something.';
COMMENT ON COLUMN cx.notifier_status.sent IS 'Notifications that workers of this database sent.';
COMMENT ON COLUMN cx.notifier_status.unsent IS 'Notifications that wait for the worker.';
COMMENT ON COLUMN cx.notifier_status.held IS 'Notifications written under cxm.notify_mode off, which wait for cxm.send_outbox().';
COMMENT ON COLUMN cx.notifier_status.oldest_unsent_at IS 'When the oldest notification that waits, held or not, was written; NULL = none waits.';
COMMENT ON COLUMN cx.notifier_status.last_sent_at IS 'When a worker of this database last sent something.';
COMMENT ON COLUMN cx.notifier_status.last_error IS 'Why it last could not; it stays when it was overcome.';
COMMENT ON COLUMN cx.notifier_status.last_error_at IS 'When that was.';
