-- Every measure by week, month and quarter, over all and by dimension.

CREATE OR REPLACE VIEW cx.scorecard AS
SELECT
    b.bucket,
    d.dimension,
    s.period,
    s.starts_at,
    s.ends_at,
    s.complete,
    s.key,
    s.measure,
    s.unit,
    s.n,
    s.value,
    s.lower,
    s.upper,
    s.previous_n,
    s.previous,
    s.change,
    s.p_value,
    s.significant,
    s.goal,
    s.target,
    s.goal_met,
    s.benchmark,
    s.benchmark_source,
    s.benchmark_as_of,
    s.owner
FROM (VALUES ('week'), ('month'), ('quarter')) AS b (bucket)
CROSS JOIN (VALUES ('all'), ('touchpoint'), ('location'), ('region'), ('product'), ('category'), ('employee')) AS d (dimension)
CROSS JOIN LATERAL cxm.scorecard(b.bucket, nullif(d.dimension, 'all')) AS s;

COMMENT ON VIEW cx.scorecard IS 'Every measure by week, month and quarter, over all records and by touchpoint, location, region, product, category and employee, cut in the time zone and with the week start of cx.store: one row a (bucket, dimension, period, key, measure, unit) with data. Ask for one bucket and one dimension (WHERE bucket = ''month'' AND dimension = ''all''): each is computed on its own. cxm.scorecard() takes other periods, rolling windows, a part of the time and a part of the measures.';
COMMENT ON COLUMN cx.scorecard.bucket IS 'week, month or quarter.';
COMMENT ON COLUMN cx.scorecard.dimension IS 'all, touchpoint, location, region, product, category or employee.';
COMMENT ON COLUMN cx.scorecard.period IS 'First day of the period.';
COMMENT ON COLUMN cx.scorecard.starts_at IS 'When the period begins.';
COMMENT ON COLUMN cx.scorecard.ends_at IS 'When it ends: the instant that the next one begins.';
COMMENT ON COLUMN cx.scorecard.complete IS 'Whether it is over.';
COMMENT ON COLUMN cx.scorecard.key IS 'Key of the touchpoint, location, product or employee, or the region or category; NULL for dimension all.';
COMMENT ON COLUMN cx.scorecard.measure IS 'What is measured: a metric (cx.metric), or a measure that docs/scorecard.md lists.';
COMMENT ON COLUMN cx.scorecard.unit IS 'Unit of value, lower, upper, previous, change, target and benchmark: points (an NPS), percent, mean (on the scale of the metric), hours, or a currency.';
COMMENT ON COLUMN cx.scorecard.n IS 'What the value rests on: answers, invitations, customers, waits.';
COMMENT ON COLUMN cx.scorecard.value IS 'The value; NULL where none can be told.';
COMMENT ON COLUMN cx.scorecard.lower IS 'Lower end of its 95 % confidence interval; NULL where n is too small for one.';
COMMENT ON COLUMN cx.scorecard.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.scorecard.previous_n IS 'n of the period before.';
COMMENT ON COLUMN cx.scorecard.previous IS 'Value of the period before; NULL when that has no data.';
COMMENT ON COLUMN cx.scorecard.change IS 'value less previous; NULL without one, and while the period is not over.';
COMMENT ON COLUMN cx.scorecard.p_value IS 'Probability of a change at least as large by chance alone, by the test that the measure has; NULL with change, and where nothing varies.';
COMMENT ON COLUMN cx.scorecard.significant IS 'Whether p_value is below 0.05.';
COMMENT ON COLUMN cx.scorecard.goal IS 'Goal (cx.goal) of that measure and key in force in the period; of several the one due first.';
COMMENT ON COLUMN cx.scorecard.target IS 'Its target at the end of the period.';
COMMENT ON COLUMN cx.scorecard.goal_met IS 'Whether value is on the right side of the target; NULL without a goal.';
COMMENT ON COLUMN cx.scorecard.benchmark IS 'Score of others (cx.benchmark): the newest as of the end of the period.';
COMMENT ON COLUMN cx.scorecard.benchmark_source IS 'Who published it.';
COMMENT ON COLUMN cx.scorecard.benchmark_as_of IS 'Day that it stands for.';
COMMENT ON COLUMN cx.scorecard.owner IS 'Who answers for the goal.';
