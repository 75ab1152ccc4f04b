-- Net Promoter Score over time, in the store's own days, weeks and months.

CREATE OR REPLACE VIEW cx.nps_trend AS
SELECT
    m.metric,
    b.bucket,
    t.period,
    t.starts_at,
    t.ends_at,
    t.complete,
    t.n,
    t.nps,
    t.lower,
    t.upper,
    t.promoters,
    t.passives,
    t.detractors,
    t.change,
    t.p_value,
    t.significant
FROM cx.store AS s
CROSS JOIN (VALUES ('day'), ('week'), ('month')) AS b (bucket)
CROSS JOIN cx.metric AS m
CROSS JOIN LATERAL cxm.nps_trend(b.bucket, s.time_zone, s.week_start, NULL, NULL, m.metric) AS t
WHERE m.family = 'nps';

COMMENT ON VIEW cx.nps_trend IS 'Net Promoter Score by day, week and month, cut in the time zone and with the week start of cx.store: one row a (metric, bucket, period) with answers. Ask for one bucket (WHERE bucket = ''week''): each is computed on its own. cxm.nps_trend() cuts in any zone and reads part of the time.';
COMMENT ON COLUMN cx.nps_trend.metric IS 'Metric (cx.metric) of family nps.';
COMMENT ON COLUMN cx.nps_trend.bucket IS 'day, week or month.';
COMMENT ON COLUMN cx.nps_trend.period IS 'First day of the period.';
COMMENT ON COLUMN cx.nps_trend.starts_at IS 'When the period begins: midnight of that day in the zone.';
COMMENT ON COLUMN cx.nps_trend.ends_at IS 'When the period ends: the instant that the next one begins. A day on which clocks change has 23 or 25 hours.';
COMMENT ON COLUMN cx.nps_trend.complete IS 'false while the period is still running: its score is not final.';
COMMENT ON COLUMN cx.nps_trend.n IS 'Number of answers.';
COMMENT ON COLUMN cx.nps_trend.nps IS 'Net Promoter Score, -100 to 100.';
COMMENT ON COLUMN cx.nps_trend.lower IS 'Lower end of its 95 % confidence interval (adjusted Wald).';
COMMENT ON COLUMN cx.nps_trend.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.nps_trend.promoters IS 'Answers of 9 and 10.';
COMMENT ON COLUMN cx.nps_trend.passives IS 'Answers of 7 and 8.';
COMMENT ON COLUMN cx.nps_trend.detractors IS 'Answers of 0 to 6.';
COMMENT ON COLUMN cx.nps_trend.change IS 'nps less that of the period directly before, in points; NULL when that had no answers.';
COMMENT ON COLUMN cx.nps_trend.p_value IS 'Two-sided p-value of that change (adjusted Wald test of two independent samples); NULL with it.';
COMMENT ON COLUMN cx.nps_trend.significant IS 'Whether p_value is below 0.05; NULL with it.';
