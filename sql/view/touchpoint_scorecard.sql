-- How each touchpoint does: how many pass it, what they say of it, and how long they waited for it.

CREATE OR REPLACE VIEW cx.touchpoint_scorecard AS
SELECT
    t.touchpoint_id,
    t.key AS touchpoint,
    coalesce(t.name, t.key) AS touchpoint_name,
    t.channel,
    coalesce(v.steps, 0) AS steps,
    coalesce(v.customers, 0) AS customers,
    coalesce(v.events, 0) AS events,
    coalesce(v.purchases, 0) AS purchases,
    coalesce(v.answers, 0) AS answers,
    coalesce(v.anonymous, 0) AS anonymous,
    coalesce(s.nps_answers, 0) AS nps_answers,
    s.nps,
    coalesce(s.csat_answers, 0) AS csat_answers,
    s.csat,
    coalesce(s.effort_answers, 0) AS effort_answers,
    s.effort,
    w.median_wait_seconds,
    w.p90_wait_seconds,
    v.first_at,
    v.last_at
FROM cx.touchpoint AS t
LEFT JOIN (
    SELECT
        r.touchpoint_id,
        count(*) AS steps,
        count(DISTINCT p.canonical_id) AS customers,
        count(*) FILTER (WHERE r.kind = 'event') AS events,
        count(*) FILTER (WHERE r.kind = 'purchase') AS purchases,
        count(*) FILTER (WHERE r.kind = 'feedback') AS answers,
        count(*) FILTER (WHERE r.identifier_id IS NULL) AS anonymous,
        min(r.occurred_at) AS first_at,
        max(r.occurred_at) AS last_at
    FROM (
        SELECT 'event' AS kind, e.touchpoint_id, e.identifier_id, e.occurred_at FROM cx.event AS e WHERE e.touchpoint_id IS NOT NULL
        UNION ALL
        SELECT 'purchase' AS kind, b.touchpoint_id, b.identifier_id, b.occurred_at FROM cx.purchase AS b WHERE b.touchpoint_id IS NOT NULL
        UNION ALL
        SELECT 'feedback' AS kind, f.touchpoint_id, f.identifier_id, f.occurred_at FROM cx.feedback AS f WHERE f.touchpoint_id IS NOT NULL
    ) AS r
    LEFT JOIN cx.identifier AS i ON i.identifier_id = r.identifier_id
    LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id
    GROUP BY r.touchpoint_id
) AS v ON v.touchpoint_id = t.touchpoint_id
LEFT JOIN (
    SELECT
        f.touchpoint_id,
        count(*) FILTER (WHERE m.family = 'nps') AS nps_answers,
        cxm.nps(cxm.nps_agg(f.score) FILTER (WHERE m.family = 'nps')) AS nps,
        count(*) FILTER (WHERE m.family = 'csat') AS csat_answers,
        -- the two upper scores; of a scale of two points the upper one
        100.0::double precision * count(*) FILTER (WHERE m.family = 'csat' AND f.score >= greatest(f.scale_max - 1, f.scale_min + 1))
            / nullif(count(*) FILTER (WHERE m.family = 'csat'), 0) AS csat,
        count(*) FILTER (WHERE m.family = 'ces') AS effort_answers,
        avg(f.score) FILTER (WHERE m.family = 'ces')::double precision AS effort
    FROM cx.feedback AS f
    JOIN cx.metric AS m ON m.metric = f.metric
    WHERE f.score IS NOT NULL
      AND f.touchpoint_id IS NOT NULL
      AND CASE m.family
              WHEN 'nps' THEN f.scale_min = 0 AND f.scale_max = 10
              WHEN 'ces' THEN f.scale_min = 1 AND f.scale_max = 7
              ELSE true
          END
    GROUP BY f.touchpoint_id
) AS s ON s.touchpoint_id = t.touchpoint_id
LEFT JOIN (
    SELECT
        c.touchpoint_id,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY e.seconds) AS median_wait_seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY e.seconds) AS p90_wait_seconds
    FROM cxm.journeys() AS j
    CROSS JOIN LATERAL (
        SELECT a.code, extract(epoch FROM a.at - lag(a.at) OVER (ORDER BY a.at, a.code))::double precision AS seconds
        FROM cxm.events(j.journey) AS a(at, code)
    ) AS e
    JOIN cx.journey_code AS c ON c.code = e.code
    WHERE c.touchpoint_id IS NOT NULL
      AND e.seconds IS NOT NULL
    GROUP BY c.touchpoint_id
) AS w ON w.touchpoint_id = t.touchpoint_id;

COMMENT ON VIEW cx.touchpoint_scorecard IS 'How each touchpoint does, one row a touchpoint: how many pass it, what they say of it, how long they waited for it; over all records. Merged profiles are one customer. Columns that are not selected cost nothing.';
COMMENT ON COLUMN cx.touchpoint_scorecard.touchpoint_id IS 'Code of the touchpoint (cx.touchpoint).';
COMMENT ON COLUMN cx.touchpoint_scorecard.touchpoint IS 'Its key.';
COMMENT ON COLUMN cx.touchpoint_scorecard.touchpoint_name IS 'Its name to show to people; the key where it has none.';
COMMENT ON COLUMN cx.touchpoint_scorecard.channel IS 'Channel that it belongs to.';
COMMENT ON COLUMN cx.touchpoint_scorecard.steps IS 'Volume: events, purchases and answers at the touchpoint.';
COMMENT ON COLUMN cx.touchpoint_scorecard.customers IS 'Customers who were there, each once.';
COMMENT ON COLUMN cx.touchpoint_scorecard.events IS 'Events (cx.event) there.';
COMMENT ON COLUMN cx.touchpoint_scorecard.purchases IS 'Purchases (cx.purchase) there, a line of an order each.';
COMMENT ON COLUMN cx.touchpoint_scorecard.answers IS 'Answers (cx.feedback) about it, those without a score included.';
COMMENT ON COLUMN cx.touchpoint_scorecard.anonymous IS 'Those of its steps of which nobody knows whose they are.';
COMMENT ON COLUMN cx.touchpoint_scorecard.nps_answers IS 'Scores on metrics of family nps, on the scale 0 to 10.';
COMMENT ON COLUMN cx.touchpoint_scorecard.nps IS 'Net Promoter Score, -100 to 100; NULL when there are none. cx.nps_by_touchpoint has its interval.';
COMMENT ON COLUMN cx.touchpoint_scorecard.csat_answers IS 'Scores on metrics of family csat.';
COMMENT ON COLUMN cx.touchpoint_scorecard.csat IS 'Percentage (0 to 100) of them that are one of the two highest of their scale (of two points, the higher one).';
COMMENT ON COLUMN cx.touchpoint_scorecard.effort_answers IS 'Scores on metrics of family ces, on the scale 1 to 7.';
COMMENT ON COLUMN cx.touchpoint_scorecard.effort IS 'Customer effort: their mean, 1 to 7.';
COMMENT ON COLUMN cx.touchpoint_scorecard.median_wait_seconds IS 'Median time in seconds from the step before, at whatever touchpoint, to a step here, of the same customer; NULL when there was never one before.';
COMMENT ON COLUMN cx.touchpoint_scorecard.p90_wait_seconds IS 'Seconds that nine of ten of those waits do not exceed.';
COMMENT ON COLUMN cx.touchpoint_scorecard.first_at IS 'When the first step here was.';
COMMENT ON COLUMN cx.touchpoint_scorecard.last_at IS 'When the last step here was.';
