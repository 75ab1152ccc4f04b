-- Who has how much on the desk, and how old it is.

CREATE OR REPLACE VIEW cx.follow_up_by_owner AS
SELECT
    f.owner,
    count(*) AS follow_ups,
    count(*) FILTER (WHERE f.state = 'open') AS open,
    count(*) FILTER (WHERE f.state = 'in_progress') AS in_progress,
    count(*) FILTER (WHERE f.state = 'waiting') AS waiting,
    count(*) FILTER (WHERE f.first_response_at IS NULL AND f.first_response_due < now()) AS response_overdue,
    count(*) FILTER (WHERE f.state <> 'waiting' AND f.due_at < now()) AS resolution_overdue,
    count(*) FILTER (WHERE f.escalation_level > 0) AS escalated,
    count(*) FILTER (WHERE f.opened_at > now() - interval '1 day') AS under_1_day,
    count(*) FILTER (WHERE f.opened_at > now() - interval '3 days' AND f.opened_at <= now() - interval '1 day') AS from_1_to_3_days,
    count(*) FILTER (WHERE f.opened_at > now() - interval '7 days' AND f.opened_at <= now() - interval '3 days') AS from_3_to_7_days,
    count(*) FILTER (WHERE f.opened_at > now() - interval '30 days' AND f.opened_at <= now() - interval '7 days') AS from_7_to_30_days,
    count(*) FILTER (WHERE f.opened_at <= now() - interval '30 days') AS over_30_days,
    min(f.opened_at) AS oldest_opened_at
FROM cx.follow_up AS f
WHERE f.state IN ('open', 'in_progress', 'waiting')
GROUP BY f.owner;

COMMENT ON VIEW cx.follow_up_by_owner IS 'Follow-ups that are open, in progress or waiting, by owner, with how old they are. An age bucket includes its lower end.';
COMMENT ON COLUMN cx.follow_up_by_owner.owner IS 'Person or team; NULL = nobody yet.';
COMMENT ON COLUMN cx.follow_up_by_owner.follow_ups IS 'How many in all.';
COMMENT ON COLUMN cx.follow_up_by_owner.open IS 'Of these not begun.';
COMMENT ON COLUMN cx.follow_up_by_owner.in_progress IS 'Of these in progress.';
COMMENT ON COLUMN cx.follow_up_by_owner.waiting IS 'Of these waiting for the customer.';
COMMENT ON COLUMN cx.follow_up_by_owner.response_overdue IS 'Without a first response though it was due.';
COMMENT ON COLUMN cx.follow_up_by_owner.resolution_overdue IS 'Not resolved though that was due; those that wait for the customer do not count.';
COMMENT ON COLUMN cx.follow_up_by_owner.escalated IS 'Escalated at least once.';
COMMENT ON COLUMN cx.follow_up_by_owner.under_1_day IS 'Opened less than a day ago.';
COMMENT ON COLUMN cx.follow_up_by_owner.from_1_to_3_days IS 'Opened a day ago, but less than three.';
COMMENT ON COLUMN cx.follow_up_by_owner.from_3_to_7_days IS 'Opened three days ago, but less than seven.';
COMMENT ON COLUMN cx.follow_up_by_owner.from_7_to_30_days IS 'Opened seven days ago, but less than thirty.';
COMMENT ON COLUMN cx.follow_up_by_owner.over_30_days IS 'Opened thirty days ago or more.';
COMMENT ON COLUMN cx.follow_up_by_owner.oldest_opened_at IS 'When the oldest was opened.';
