-- The work that is left: follow-ups that somebody still has to act on.

CREATE OR REPLACE VIEW cx.follow_up_queue AS
SELECT
    f.follow_up_id,
    f.priority,
    f.severity,
    f.state,
    f.owner,
    f.next_due_at,
    coalesce(f.next_due_at < now(), false) AS overdue,
    f.opened_at,
    round(extract(epoch FROM now() - f.opened_at) / 3600, 1) AS age_hours,
    f.first_response_due,
    f.first_response_at,
    f.due_at,
    f.waiting_since,
    f.escalation_level,
    f.reopened,
    f.alerts,
    r.name AS rule,
    f.metric,
    f.score,
    a.comment,
    p.canonical_id AS profile_id,
    (
        SELECT count(*)
        FROM (
            SELECT p.canonical_id AS profile_id
            UNION ALL
            SELECT o.profile_id
            FROM cx.profile AS o
            WHERE o.canonical_id = p.canonical_id AND o.canonical_id <> o.profile_id
        ) AS member
        JOIN cx.identifier AS j ON j.profile_id = member.profile_id
        JOIN cx.follow_up AS g ON g.identifier_id = j.identifier_id
        WHERE g.follow_up_id <> f.follow_up_id
          AND g.state IN ('open', 'in_progress', 'waiting')
    ) AS others_open,
    t.key AS touchpoint,
    l.key AS location,
    d.key AS product,
    f.feedback_id,
    f.moved_at,
    f.note
FROM cx.follow_up AS f
LEFT JOIN cx.feedback AS a ON a.feedback_id = f.feedback_id AND a.occurred_at = f.occurred_at
LEFT JOIN cx.alert_rule AS r ON r.rule_id = f.rule_id
LEFT JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id
LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id
LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = f.touchpoint_id
LEFT JOIN cx.location AS l ON l.location_id = f.location_id
LEFT JOIN cx.product AS d ON d.product_id = f.product_id
WHERE f.state IN ('open', 'in_progress', 'waiting')
ORDER BY f.priority_rank, f.next_due_at, f.follow_up_id;

COMMENT ON VIEW cx.follow_up_queue IS 'Follow-ups that are open, in progress or waiting, in the order in which they should be worked on: highest priority first, then the one due next. WHERE owner = ... is somebody''s worklist; cxm.claim_follow_ups() takes the next ones.';
COMMENT ON COLUMN cx.follow_up_queue.follow_up_id IS 'The follow-up (cx.follow_up).';
COMMENT ON COLUMN cx.follow_up_queue.priority IS 'critical, high, medium or low.';
COMMENT ON COLUMN cx.follow_up_queue.severity IS 'Worst severity of its alerts.';
COMMENT ON COLUMN cx.follow_up_queue.state IS 'open, in_progress or waiting (for the customer).';
COMMENT ON COLUMN cx.follow_up_queue.owner IS 'Who is to act; NULL = nobody yet.';
COMMENT ON COLUMN cx.follow_up_queue.next_due_at IS 'The next time to be kept: that of the first response while there is none, or that of the resolution; NULL = none, or it waits for the customer.';
COMMENT ON COLUMN cx.follow_up_queue.overdue IS 'Whether that time has passed.';
COMMENT ON COLUMN cx.follow_up_queue.opened_at IS 'When it was opened.';
COMMENT ON COLUMN cx.follow_up_queue.age_hours IS 'Hours since then, to a tenth.';
COMMENT ON COLUMN cx.follow_up_queue.first_response_due IS 'When the customer should have heard from somebody.';
COMMENT ON COLUMN cx.follow_up_queue.first_response_at IS 'When the customer did; NULL = not yet.';
COMMENT ON COLUMN cx.follow_up_queue.due_at IS 'When it should be resolved.';
COMMENT ON COLUMN cx.follow_up_queue.waiting_since IS 'Since when it waits for the customer.';
COMMENT ON COLUMN cx.follow_up_queue.escalation_level IS 'How often it was escalated.';
COMMENT ON COLUMN cx.follow_up_queue.reopened IS 'How often it was re-opened.';
COMMENT ON COLUMN cx.follow_up_queue.alerts IS 'Number of its alerts.';
COMMENT ON COLUMN cx.follow_up_queue.rule IS 'Name of the rule whose alert opened it; NULL = opened by hand.';
COMMENT ON COLUMN cx.follow_up_queue.metric IS 'Metric of the answer that it is about.';
COMMENT ON COLUMN cx.follow_up_queue.score IS 'Score of that answer when it was opened.';
COMMENT ON COLUMN cx.follow_up_queue.comment IS 'What the customer wrote there.';
COMMENT ON COLUMN cx.follow_up_queue.profile_id IS 'Customer (cx.customer_360); NULL = anonymous.';
COMMENT ON COLUMN cx.follow_up_queue.others_open IS 'How many other follow-ups of this customer are open, in progress or waiting: of other rules, or of who turned out to be one person since.';
COMMENT ON COLUMN cx.follow_up_queue.touchpoint IS 'Key of the touchpoint that it is about.';
COMMENT ON COLUMN cx.follow_up_queue.location IS 'Key of the location that it is about.';
COMMENT ON COLUMN cx.follow_up_queue.product IS 'Key of the product that it is about.';
COMMENT ON COLUMN cx.follow_up_queue.feedback_id IS 'The answer (cx.feedback).';
COMMENT ON COLUMN cx.follow_up_queue.moved_at IS 'When something was last done with it.';
COMMENT ON COLUMN cx.follow_up_queue.note IS 'What was said then.';
