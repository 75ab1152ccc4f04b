-- Promises that were not kept.

CREATE OR REPLACE VIEW cx.follow_up_breaches AS
SELECT
    f.follow_up_id,
    b.promise,
    b.due_at,
    b.kept_at,
    round(extract(epoch FROM coalesce(b.kept_at, now()) - b.due_at) / 3600, 1) AS late_hours,
    f.state,
    f.priority,
    f.owner,
    r.name AS rule,
    l.key AS location,
    f.opened_at
FROM cx.follow_up AS f
CROSS JOIN LATERAL (
    VALUES
        ('response', f.first_response_due, f.first_response_at),
        -- while it waits for the customer the time due moves on
        ('resolution', f.due_at + coalesce(cxm.alert_span(now() - f.waiting_since), interval '0'), f.resolved_at)
) AS b (promise, due_at, kept_at)
LEFT JOIN cx.alert_rule AS r ON r.rule_id = f.rule_id
LEFT JOIN cx.location AS l ON l.location_id = f.location_id
WHERE f.state <> 'cancelled'
  AND b.due_at < coalesce(b.kept_at, now());

COMMENT ON VIEW cx.follow_up_breaches IS 'Service levels that were missed, one row a (follow-up, promise), kept late or not kept yet. Of a follow-up that was re-opened the promise since then. Cancelled ones are left out.';
COMMENT ON COLUMN cx.follow_up_breaches.follow_up_id IS 'The follow-up (cx.follow_up).';
COMMENT ON COLUMN cx.follow_up_breaches.promise IS 'response (the first one) or resolution.';
COMMENT ON COLUMN cx.follow_up_breaches.due_at IS 'When it was due.';
COMMENT ON COLUMN cx.follow_up_breaches.kept_at IS 'When it came; NULL = not yet.';
COMMENT ON COLUMN cx.follow_up_breaches.late_hours IS 'Hours too late, to a tenth; counting still when it has not come.';
COMMENT ON COLUMN cx.follow_up_breaches.state IS 'State of the follow-up.';
COMMENT ON COLUMN cx.follow_up_breaches.priority IS 'Its priority.';
COMMENT ON COLUMN cx.follow_up_breaches.owner IS 'Who owns it today.';
COMMENT ON COLUMN cx.follow_up_breaches.rule IS 'Name of the rule whose alert opened it; NULL = opened by hand.';
COMMENT ON COLUMN cx.follow_up_breaches.location IS 'Key of the location that it is about.';
COMMENT ON COLUMN cx.follow_up_breaches.opened_at IS 'When it was opened.';
