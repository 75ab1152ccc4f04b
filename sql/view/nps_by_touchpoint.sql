-- Net Promoter Score at each touchpoint.

CREATE OR REPLACE VIEW cx.nps_by_touchpoint AS
SELECT
    s.metric,
    s.touchpoint_id,
    t.key AS touchpoint,
    coalesce(t.name, t.key) AS touchpoint_name,
    t.channel,
    cxm.count(s.ratings) AS n,
    cxm.nps(s.ratings) AS nps,
    i.lower,
    i.upper,
    cxm.promoters(s.ratings) AS promoters,
    cxm.passives(s.ratings) AS passives,
    cxm.detractors(s.ratings) AS detractors,
    s.first_at,
    s.last_at
FROM (
    SELECT
        f.metric,
        f.touchpoint_id,
        cxm.nps_agg(f.score) AS ratings,
        min(f.occurred_at) AS first_at,
        max(f.occurred_at) AS last_at
    FROM cx.feedback AS f
    WHERE f.metric IN (SELECT m.metric FROM cx.metric AS m WHERE m.family = 'nps')
      AND f.score IS NOT NULL
      AND f.scale_min = 0
      AND f.scale_max = 10
    GROUP BY f.metric, f.touchpoint_id
) AS s
LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = s.touchpoint_id
CROSS JOIN LATERAL cxm.nps_interval(s.ratings) AS i;

COMMENT ON VIEW cx.nps_by_touchpoint IS 'Net Promoter Score at each touchpoint, one row a (metric, touchpoint), over all answers in the store. Metrics of family nps on the scale 0 to 10; answers without a score do not count.';
COMMENT ON COLUMN cx.nps_by_touchpoint.metric IS 'Metric (cx.metric) of family nps.';
COMMENT ON COLUMN cx.nps_by_touchpoint.touchpoint_id IS 'Code of the touchpoint (cx.touchpoint); NULL = answers about no touchpoint.';
COMMENT ON COLUMN cx.nps_by_touchpoint.touchpoint IS 'Key of the touchpoint.';
COMMENT ON COLUMN cx.nps_by_touchpoint.touchpoint_name IS 'Its name to show to people; the key where it has none.';
COMMENT ON COLUMN cx.nps_by_touchpoint.channel IS 'Channel that it belongs to.';
COMMENT ON COLUMN cx.nps_by_touchpoint.n IS 'Number of answers.';
COMMENT ON COLUMN cx.nps_by_touchpoint.nps IS 'Net Promoter Score, -100 to 100.';
COMMENT ON COLUMN cx.nps_by_touchpoint.lower IS 'Lower end of its 95 % confidence interval (adjusted Wald).';
COMMENT ON COLUMN cx.nps_by_touchpoint.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.nps_by_touchpoint.promoters IS 'Answers of 9 and 10.';
COMMENT ON COLUMN cx.nps_by_touchpoint.passives IS 'Answers of 7 and 8.';
COMMENT ON COLUMN cx.nps_by_touchpoint.detractors IS 'Answers of 0 to 6.';
COMMENT ON COLUMN cx.nps_by_touchpoint.first_at IS 'Time of the first answer.';
COMMENT ON COLUMN cx.nps_by_touchpoint.last_at IS 'Time of the last answer.';
