-- Unhappy customers who are alike but for this: with the one somebody followed up, with the other not.

CREATE OR REPLACE VIEW cx.follow_up_match AS
WITH answer AS (
    SELECT
        f.feedback_id,
        f.occurred_at,
        f.metric,
        f.score,
        f.scale_min,
        f.scale_max,
        f.touchpoint_id,
        f.location_id,
        p.canonical_id AS profile_id,
        cxm.is_unhappy(m.family, f.score, f.scale_min, f.scale_max) AS unhappy,
        lead(cxm.is_unhappy(m.family, f.score, f.scale_min, f.scale_max)) OVER customer AS next_unhappy,
        lead(f.occurred_at) OVER customer AS next_at
    FROM cx.feedback AS f
    JOIN cx.metric AS m ON m.metric = f.metric
    JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id
    JOIN cx.profile AS p ON p.profile_id = i.profile_id
    WHERE f.score IS NOT NULL
      AND cxm.is_unhappy(m.family, f.score, f.scale_min, f.scale_max) IS NOT NULL
    WINDOW customer AS (PARTITION BY p.canonical_id, f.metric ORDER BY f.occurred_at, f.feedback_id)
), pair AS (
    SELECT
        a.*,
        date_trunc('month', a.occurred_at AT TIME ZONE s.time_zone)::date AS period,
        (
            -- where the answer's follow-ups stood when the next answer was given
            SELECT CASE
                WHEN bool_or(e.to_state IN ('resolved', 'closed')) THEN 'closed'
                WHEN bool_or(e.to_state IN ('open', 'in_progress', 'waiting')) THEN 'open'
                WHEN bool_or(e.to_state = 'cancelled') THEN 'cancelled'
                ELSE 'none' END
            FROM (
                SELECT x.follow_up_id
                FROM cx.alert AS r
                JOIN cx.follow_up_alert AS x ON x.alert_id = r.alert_id
                WHERE r.feedback_id = a.feedback_id
                UNION ALL
                SELECT f.follow_up_id
                FROM cx.follow_up AS f
                WHERE f.feedback_id = a.feedback_id AND f.alert_id IS NULL
            ) AS w
            CROSS JOIN LATERAL (
                SELECT v.to_state
                FROM cx.follow_up_event AS v
                WHERE v.follow_up_id = w.follow_up_id AND v.moved_at < a.next_at
                ORDER BY v.event_id DESC
                LIMIT 1
            ) AS e
        ) AS standing
    FROM answer AS a
    CROSS JOIN cx.store AS s
    WHERE a.unhappy AND a.next_unhappy IS NOT NULL
), counted AS (
    -- a customer counts once for a metric, month and standing: with the first such answer
    SELECT DISTINCT ON (u.profile_id, u.metric, u.period, u.standing) u.*
    FROM pair AS u
    ORDER BY u.profile_id, u.metric, u.period, u.standing, u.occurred_at, u.feedback_id
)
SELECT
    u.metric,
    u.scale_min,
    u.scale_max,
    u.score,
    t.key AS touchpoint,
    l.key AS location,
    u.period,
    count(*) FILTER (WHERE u.standing = 'closed') AS closed_answers,
    count(*) FILTER (WHERE u.standing = 'closed' AND NOT u.next_unhappy) AS closed_recovered,
    count(*) FILTER (WHERE u.standing = 'open') AS open_answers,
    count(*) FILTER (WHERE u.standing = 'open' AND NOT u.next_unhappy) AS open_recovered,
    count(*) FILTER (WHERE u.standing = 'none') AS none_answers,
    count(*) FILTER (WHERE u.standing = 'none' AND NOT u.next_unhappy) AS none_recovered
FROM counted AS u
LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = u.touchpoint_id
LEFT JOIN cx.location AS l ON l.location_id = u.location_id
WHERE u.standing <> 'cancelled'
GROUP BY u.metric, u.scale_min, u.scale_max, u.score, t.key, l.key, u.period;

COMMENT ON VIEW cx.follow_up_match IS 'Match sets for cx.follow_up_lift: unhappy answers (cxm.is_unhappy()) after which the customer answered again, by metric, scale, score, touchpoint, location and month. closed, open or none is where the follow-up of the answer stood at the moment of the customer''s next answer to the metric; an answer whose follow-ups were cancelled is left out. A customer counts once for a metric, month and standing, with the first such answer. Computed from what is stored today, with customers as known today.';
COMMENT ON COLUMN cx.follow_up_match.metric IS 'Metric (cx.metric).';
COMMENT ON COLUMN cx.follow_up_match.scale_min IS 'Lowest score of the scale.';
COMMENT ON COLUMN cx.follow_up_match.scale_max IS 'Highest score of the scale.';
COMMENT ON COLUMN cx.follow_up_match.score IS 'Score of the unhappy answer: those who said 0 are compared with those who said 0.';
COMMENT ON COLUMN cx.follow_up_match.touchpoint IS 'Key of the touchpoint; NULL = none.';
COMMENT ON COLUMN cx.follow_up_match.location IS 'Key of the location; NULL = none.';
COMMENT ON COLUMN cx.follow_up_match.period IS 'First day of the month, in the time zone of cx.store.';
COMMENT ON COLUMN cx.follow_up_match.closed_answers IS 'Customers whose follow-up was resolved or closed.';
COMMENT ON COLUMN cx.follow_up_match.closed_recovered IS 'Of these not unhappy any more.';
COMMENT ON COLUMN cx.follow_up_match.open_answers IS 'Customers whose follow-up was open, in progress or waiting.';
COMMENT ON COLUMN cx.follow_up_match.open_recovered IS 'Of these not unhappy any more.';
COMMENT ON COLUMN cx.follow_up_match.none_answers IS 'Customers without a follow-up.';
COMMENT ON COLUMN cx.follow_up_match.none_recovered IS 'Of these not unhappy any more.';
