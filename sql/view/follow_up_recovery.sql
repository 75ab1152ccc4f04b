-- What customers said after somebody had followed up.

CREATE OR REPLACE VIEW cx.follow_up_recovery AS
SELECT
    e.follow_up_id,
    e.event_id,
    e.moved_at AS resolved_at,
    e.changes -> 'outcome' ->> 1 AS outcome,
    e.changes -> 'root_cause' ->> 1 AS root_cause,
    e.to_owner AS owner,
    r.name AS rule,
    l.key AS location,
    p.canonical_id AS profile_id,
    f.metric,
    coalesce(b.score, f.score) AS score_before,
    was.unhappy AS unhappy_before,
    n.feedback_id AS next_feedback_id,
    n.occurred_at AS next_at,
    n.score AS next_score,
    n.score - coalesce(b.score, f.score) AS change,
    CASE WHEN was.unhappy THEN NOT cxm.is_unhappy(m.family, n.score, n.scale_min, n.scale_max) END AS recovered
FROM cx.follow_up_event AS e
JOIN cx.follow_up AS f ON f.follow_up_id = e.follow_up_id
LEFT JOIN cx.metric AS m ON m.metric = f.metric
LEFT JOIN cx.alert_rule AS r ON r.rule_id = f.rule_id
LEFT JOIN cx.location AS l ON l.location_id = f.location_id
LEFT JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id
LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id
-- by its key alone: a correction may have moved it to another time
LEFT JOIN cx.feedback AS b ON b.feedback_id = f.feedback_id
CROSS JOIN LATERAL (
    SELECT cxm.is_unhappy(m.family, coalesce(b.score, f.score), coalesce(b.scale_min, m.scale_min), coalesce(b.scale_max, m.scale_max)) AS unhappy
) AS was
LEFT JOIN LATERAL (
    -- Re-opened after that: what is said later is said of the next resolution. The answer that re-opened it
    -- belongs to this one, also where the clock of its sender is ahead.
    SELECT greatest(o.moved_at, a.occurred_at) AS reopened_at
    FROM cx.follow_up_event AS o
    LEFT JOIN cx.alert AS a ON a.alert_id = o.alert_id
    WHERE o.follow_up_id = e.follow_up_id
      AND o.event_id > e.event_id
      AND o.from_state IN ('resolved', 'closed')
      AND o.to_state NOT IN ('resolved', 'closed')
    ORDER BY o.event_id
    LIMIT 1
) AS re ON true
LEFT JOIN LATERAL (
    SELECT x.feedback_id, x.occurred_at, x.score, x.scale_min, x.scale_max
    FROM cx.feedback AS x
    WHERE x.identifier_id = ANY (ARRAY(
            SELECT j.identifier_id
            FROM (
                SELECT p.canonical_id AS profile_id
                UNION ALL
                SELECT o.profile_id
                FROM cx.profile AS o
                WHERE o.canonical_id = p.canonical_id AND o.canonical_id <> o.profile_id
            ) AS member
            JOIN cx.identifier AS j ON j.profile_id = member.profile_id))
      AND x.metric = f.metric
      AND x.score IS NOT NULL
      AND x.occurred_at > e.moved_at
      AND x.occurred_at <= coalesce(re.reopened_at, 'infinity')
      AND cxm.is_unhappy(m.family, x.score, x.scale_min, x.scale_max) IS NOT NULL
    ORDER BY x.occurred_at, x.feedback_id
    LIMIT 1
) AS n ON true
WHERE e.to_state = 'resolved'
  AND e.from_state <> 'resolved';

COMMENT ON VIEW cx.follow_up_recovery IS 'What became of customers after a follow-up was resolved, one row a resolution: the next score that the customer, as known today, gave to the same metric. A customer has recovered who was unhappy before (cxm.is_unhappy(): an NPS detractor, a CSAT answer below the two highest, a CES or rating not above the middle of its scale) and is not in that next score. Computed from cx.feedback as it stands, so merges, splits, late and corrected answers are in it.';
COMMENT ON COLUMN cx.follow_up_recovery.follow_up_id IS 'The follow-up (cx.follow_up).';
COMMENT ON COLUMN cx.follow_up_recovery.event_id IS 'The resolution (cx.follow_up_event).';
COMMENT ON COLUMN cx.follow_up_recovery.resolved_at IS 'When it was resolved.';
COMMENT ON COLUMN cx.follow_up_recovery.outcome IS 'With which outcome.';
COMMENT ON COLUMN cx.follow_up_recovery.root_cause IS 'With which root cause.';
COMMENT ON COLUMN cx.follow_up_recovery.owner IS 'Who owned it then.';
COMMENT ON COLUMN cx.follow_up_recovery.rule IS 'Name of the rule whose alert opened it; NULL = opened by hand.';
COMMENT ON COLUMN cx.follow_up_recovery.location IS 'Key of the location that it is about.';
COMMENT ON COLUMN cx.follow_up_recovery.profile_id IS 'Customer (cx.customer_360); NULL = anonymous.';
COMMENT ON COLUMN cx.follow_up_recovery.metric IS 'Metric of the answer that it is about.';
COMMENT ON COLUMN cx.follow_up_recovery.score_before IS 'Score of that answer as it stands today; where it is gone, as it was.';
COMMENT ON COLUMN cx.follow_up_recovery.unhappy_before IS 'Whether that is an unhappy customer''s score; NULL when there is none.';
COMMENT ON COLUMN cx.follow_up_recovery.next_feedback_id IS 'The customer''s next answer to that metric after the resolution, up to when the follow-up was re-opened; NULL = none.';
COMMENT ON COLUMN cx.follow_up_recovery.next_at IS 'When it was given.';
COMMENT ON COLUMN cx.follow_up_recovery.next_score IS 'Its score.';
COMMENT ON COLUMN cx.follow_up_recovery.change IS 'next_score less score_before.';
COMMENT ON COLUMN cx.follow_up_recovery.recovered IS 'Whether the customer has recovered; NULL when there is no next answer, or the customer was not unhappy before.';
