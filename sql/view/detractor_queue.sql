-- Unhappy customers that somebody still has to call.

CREATE OR REPLACE VIEW cx.detractor_queue AS
SELECT
    f.feedback_id,
    f.occurred_at,
    round(extract(epoch FROM now() - f.occurred_at) / 3600, 1) AS age_hours,
    f.metric,
    f.score,
    f.comment,
    q.severity,
    q.alert_state,
    q.owner,
    q.claimed_by,
    p.canonical_id AS profile_id,
    (
        SELECT jsonb_object_agg(n.namespace, n.identifier_values)
        FROM (
            SELECT i.namespace, jsonb_agg(i.value ORDER BY i.value) AS identifier_values
            FROM (
                SELECT p.canonical_id AS profile_id
                UNION ALL
                SELECT o.profile_id
                FROM cx.profile AS o
                WHERE o.canonical_id = p.canonical_id AND o.canonical_id <> o.profile_id
            ) AS member
            JOIN cx.identifier AS i ON i.profile_id = member.profile_id
            GROUP BY i.namespace
        ) AS n
    ) AS identifiers,
    (
        SELECT CASE WHEN count(DISTINCT coalesce(b.currency, '')) = 1 THEN sum(b.amount) END
        FROM (
            SELECT p.canonical_id AS profile_id
            UNION ALL
            SELECT o.profile_id
            FROM cx.profile AS o
            WHERE o.canonical_id = p.canonical_id AND o.canonical_id <> o.profile_id
        ) AS member
        JOIN cx.identifier AS i ON i.profile_id = member.profile_id
        JOIN cx.purchase AS b ON b.identifier_id = i.identifier_id
    ) AS spend,
    t.key AS touchpoint,
    l.key AS location,
    d.key AS product,
    e.key AS employee,
    q.alerts
FROM (
    SELECT
        a.feedback_id,
        a.occurred_at,
        max(array_position(ARRAY['low', 'medium', 'high', 'critical'], a.severity)) AS severity_rank,
        (ARRAY['low', 'medium', 'high', 'critical'])[max(array_position(ARRAY['low', 'medium', 'high', 'critical'], a.severity))] AS severity,
        CASE WHEN bool_or(a.state = 'open' OR a.claim_expires_at <= now()) THEN 'open' ELSE 'claimed' END AS alert_state,
        min(a.owner) AS owner,
        min(a.claimed_by) FILTER (WHERE a.state = 'claimed' AND a.claim_expires_at > now()) AS claimed_by,
        jsonb_agg(
            jsonb_build_object(
                'alert_id', a.alert_id,
                'rule', r.name,
                'severity', a.severity,
                'state', CASE WHEN a.claim_expires_at <= now() THEN 'open' ELSE a.state END,
                'owner', a.owner,
                'raised_at', a.raised_at)
            ORDER BY a.alert_id) AS alerts
    FROM cx.alert AS a
    LEFT JOIN cx.alert_rule AS r ON r.rule_id = a.rule_id
    WHERE a.state IN ('open', 'claimed')
    GROUP BY a.feedback_id, a.occurred_at
) AS q
JOIN cx.feedback AS f ON f.feedback_id = q.feedback_id AND f.occurred_at = q.occurred_at
LEFT JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id
LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id
LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = f.touchpoint_id
LEFT JOIN cx.location AS l ON l.location_id = f.location_id
LEFT JOIN cx.product AS d ON d.product_id = f.product_id
LEFT JOIN cx.employee AS e ON e.employee_id = f.employee_id
WHERE f.metric IN (SELECT m.metric FROM cx.metric AS m WHERE m.family = 'nps')
  AND f.scale_min = 0
  AND f.scale_max = 10
  AND f.score <= 6
ORDER BY q.severity_rank DESC, f.score, f.occurred_at DESC, f.feedback_id DESC;

COMMENT ON VIEW cx.detractor_queue IS 'Detractors (0 to 6 on a metric of family nps) with an alert that nobody has acknowledged, one row an answer: most severe first, then lowest score, then newest. Which answers raise alerts is up to the rules (cxm.add_alert_rule()).';
COMMENT ON COLUMN cx.detractor_queue.feedback_id IS 'The answer (cx.feedback).';
COMMENT ON COLUMN cx.detractor_queue.occurred_at IS 'When it was given.';
COMMENT ON COLUMN cx.detractor_queue.age_hours IS 'Hours since then, to a tenth.';
COMMENT ON COLUMN cx.detractor_queue.metric IS 'Metric of the answer.';
COMMENT ON COLUMN cx.detractor_queue.score IS 'Score as it stands now, 0 to 6: an answer that was corrected upwards leaves the queue.';
COMMENT ON COLUMN cx.detractor_queue.comment IS 'What the customer wrote.';
COMMENT ON COLUMN cx.detractor_queue.severity IS 'Greatest severity of its pending alerts: low, medium, high or critical.';
COMMENT ON COLUMN cx.detractor_queue.alert_state IS 'open when an alert waits for somebody to claim it (a claim that has lapsed counts as open), else claimed.';
COMMENT ON COLUMN cx.detractor_queue.owner IS 'Who is to act, as the rule says; of several the first by name.';
COMMENT ON COLUMN cx.detractor_queue.claimed_by IS 'Who holds a claim that has not lapsed; of several the first by name.';
COMMENT ON COLUMN cx.detractor_queue.profile_id IS 'Customer (cx.customer_360); NULL = anonymous.';
COMMENT ON COLUMN cx.detractor_queue.identifiers IS 'What the customer is called by, as {"namespace": ["value", ...]}; NULL = anonymous.';
COMMENT ON COLUMN cx.detractor_queue.spend IS 'Money that the customer has spent, returns taken off; NULL when there are no purchases or they are in several currencies.';
COMMENT ON COLUMN cx.detractor_queue.touchpoint IS 'Key of the touchpoint that the answer is about.';
COMMENT ON COLUMN cx.detractor_queue.location IS 'Key of the location that it is about.';
COMMENT ON COLUMN cx.detractor_queue.product IS 'Key of the product that it is about.';
COMMENT ON COLUMN cx.detractor_queue.employee IS 'Key of the employee that it is about.';
COMMENT ON COLUMN cx.detractor_queue.alerts IS 'Its pending alerts, as [{"alert_id", "rule", "severity", "state", "owner", "raised_at"}, ...]: the alert_id is what cxm.acknowledge_alert() takes.';
