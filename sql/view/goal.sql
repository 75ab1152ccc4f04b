-- Goals, benchmarks, and who answers for what.

CREATE OR REPLACE VIEW cx.goal_status AS
SELECT
    g.goal_id,
    g.name AS goal,
    g.owner,
    coalesce(g.metric, g.measure) AS metric,
    CASE
        WHEN g.touchpoint_id IS NOT NULL THEN 'touchpoint'
        WHEN g.location_id IS NOT NULL THEN 'location'
        WHEN g.product_id IS NOT NULL THEN 'product'
        WHEN g.employee_id IS NOT NULL THEN 'employee'
    END AS dimension,
    coalesce(t.key, l.key, p.key, e.key) AS key,
    g.direction,
    g.baseline,
    g.target,
    g.version,
    g.period,
    g.starts_on,
    g.due_on,
    g.closed_at,
    s.status,
    s.starts_at AS period_starts_at,
    s.ends_at AS period_ends_at,
    s.n,
    s.value,
    s.lower,
    s.upper,
    s.progress,
    s.periods,
    s.weekly_change,
    s.projected,
    s.projected_lower,
    s.projected_upper,
    g.currency
FROM cx.goal AS g
LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = g.touchpoint_id
LEFT JOIN cx.location AS l ON l.location_id = g.location_id
LEFT JOIN cx.product AS p ON p.product_id = g.product_id
LEFT JOIN cx.employee AS e ON e.employee_id = g.employee_id
LEFT JOIN cxm.goal_statuses() AS s ON s.goal_id = g.goal_id;

COMMENT ON VIEW cx.goal_status IS 'How far each goal has come by now, one row a goal (cx.goal), closed ones included. cxm.goal_status(goal, at) looks at another time, and says how each figure is found.';
COMMENT ON COLUMN cx.goal_status.goal_id IS 'Key of the goal.';
COMMENT ON COLUMN cx.goal_status.goal IS 'Its name.';
COMMENT ON COLUMN cx.goal_status.owner IS 'Who answers for it.';
COMMENT ON COLUMN cx.goal_status.metric IS 'Metric (cx.metric), or another measure of cx.scorecard.';
COMMENT ON COLUMN cx.goal_status.dimension IS 'What its answers are about: touchpoint, location, product, employee; NULL = all answers of the metric.';
COMMENT ON COLUMN cx.goal_status.key IS 'Key of that touchpoint, location, product or employee, as it is now.';
COMMENT ON COLUMN cx.goal_status.direction IS 'at_least or at_most: on which side of the target the score is to be.';
COMMENT ON COLUMN cx.goal_status.baseline IS 'Score that it began with; NULL = not stated.';
COMMENT ON COLUMN cx.goal_status.target IS 'Score that is to be reached, in the unit of the metric''s family, or of the measure.';
COMMENT ON COLUMN cx.goal_status.version IS 'How often the goal was set or changed (cx.goal_version).';
COMMENT ON COLUMN cx.goal_status.period IS 'Length of what is scored: week or month.';
COMMENT ON COLUMN cx.goal_status.starts_on IS 'First day whose answers count.';
COMMENT ON COLUMN cx.goal_status.due_on IS 'Last day whose answers count.';
COMMENT ON COLUMN cx.goal_status.closed_at IS 'When it was closed; NULL = open.';
COMMENT ON COLUMN cx.goal_status.status IS 'too early (fewer than three periods with answers), on track (the projection reaches the target), at risk (only its interval does), off track (not even that), reached (so does the whole interval of value; after the due day, value itself), missed (the due day has passed and value does not), closed (before it was due).';
COMMENT ON COLUMN cx.goal_status.period_starts_at IS 'When the last period began.';
COMMENT ON COLUMN cx.goal_status.period_ends_at IS 'When it ends: now, or when the goal was due or closed.';
COMMENT ON COLUMN cx.goal_status.n IS 'Answers in the last period.';
COMMENT ON COLUMN cx.goal_status.value IS 'Their score; NULL without answers.';
COMMENT ON COLUMN cx.goal_status.lower IS 'Lower end of its 95 % confidence interval.';
COMMENT ON COLUMN cx.goal_status.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.goal_status.progress IS 'Percentage of the way from baseline to target; below 0 when it went the wrong way, above 100 beyond the target, NULL without a baseline.';
COMMENT ON COLUMN cx.goal_status.periods IS 'Periods since the start that have answers.';
COMMENT ON COLUMN cx.goal_status.weekly_change IS 'How much the score changes a week by the line through them; NULL without a projection.';
COMMENT ON COLUMN cx.goal_status.projected IS 'Score of the last period before the due day ends, by that line; NULL while it is too early, and when the goal is due or closed.';
COMMENT ON COLUMN cx.goal_status.projected_lower IS 'Lower end of its 95 % confidence interval.';
COMMENT ON COLUMN cx.goal_status.projected_upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.goal_status.currency IS 'Currency of a measure in money; NULL = another measure, or records that name none.';

CREATE OR REPLACE VIEW cx.benchmark_gap AS
SELECT
    b.benchmark_id,
    coalesce(b.metric, b.measure) AS metric,
    CASE
        WHEN b.touchpoint_id IS NOT NULL THEN 'touchpoint'
        WHEN b.location_id IS NOT NULL THEN 'location'
        WHEN b.product_id IS NOT NULL THEN 'product'
        WHEN b.employee_id IS NOT NULL THEN 'employee'
    END AS dimension,
    coalesce(t.key, l.key, p.key, e.key) AS key,
    b.segment,
    b.source,
    b.as_of,
    b.value AS benchmark,
    g.n,
    g.score,
    g.lower,
    g.upper,
    g.difference,
    g.beyond_chance,
    b.note,
    b.url,
    b.currency
FROM cxm.benchmark_gap() AS g
JOIN cx.benchmark AS b ON b.benchmark_id = g.benchmark_id
LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = b.touchpoint_id
LEFT JOIN cx.location AS l ON l.location_id = b.location_id
LEFT JOIN cx.product AS p ON p.product_id = b.product_id
LEFT JOIN cx.employee AS e ON e.employee_id = b.employee_id;

COMMENT ON VIEW cx.benchmark_gap IS 'The own score of the last 90 days beside each benchmark (cx.benchmark), of each (metric, dimension, segment, source) the newest. cxm.benchmark_gap(at, within) looks at another time.';
COMMENT ON COLUMN cx.benchmark_gap.benchmark_id IS 'Key of the benchmark.';
COMMENT ON COLUMN cx.benchmark_gap.metric IS 'Metric (cx.metric), or another measure of cx.scorecard.';
COMMENT ON COLUMN cx.benchmark_gap.dimension IS 'What both are about: touchpoint, location, product, employee; NULL = all answers of the metric.';
COMMENT ON COLUMN cx.benchmark_gap.key IS 'Key of that touchpoint, location, product or employee.';
COMMENT ON COLUMN cx.benchmark_gap.segment IS 'Whose score the benchmark is, in words.';
COMMENT ON COLUMN cx.benchmark_gap.source IS 'Who published it.';
COMMENT ON COLUMN cx.benchmark_gap.as_of IS 'Day that it stands for.';
COMMENT ON COLUMN cx.benchmark_gap.benchmark IS 'The score of others, in the unit of the metric''s family, or of the measure.';
COMMENT ON COLUMN cx.benchmark_gap.n IS 'Own answers of the last 90 days.';
COMMENT ON COLUMN cx.benchmark_gap.score IS 'Their score; NULL without answers.';
COMMENT ON COLUMN cx.benchmark_gap.lower IS 'Lower end of its 95 % confidence interval.';
COMMENT ON COLUMN cx.benchmark_gap.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.benchmark_gap.difference IS 'score less benchmark.';
COMMENT ON COLUMN cx.benchmark_gap.beyond_chance IS 'Whether the interval does not contain the benchmark, which is taken as exact; NULL without an interval.';
COMMENT ON COLUMN cx.benchmark_gap.note IS 'What else there is to know of the benchmark.';
COMMENT ON COLUMN cx.benchmark_gap.url IS 'Where it can be read.';
COMMENT ON COLUMN cx.benchmark_gap.currency IS 'Currency of a measure in money; NULL = another measure, or records that name none.';

CREATE OR REPLACE VIEW cx.accountability AS
SELECT
    a.owner,
    count(*) FILTER (WHERE a.kind = 'goal') AS goals,
    count(*) FILTER (WHERE a.kind = 'goal' AND a.state = 'reached') AS goals_reached,
    count(*) FILTER (WHERE a.kind = 'goal' AND a.state = 'on track') AS goals_on_track,
    count(*) FILTER (WHERE a.kind = 'goal' AND a.state = 'at risk') AS goals_at_risk,
    count(*) FILTER (WHERE a.kind = 'goal' AND a.state = 'off track') AS goals_off_track,
    count(*) FILTER (WHERE a.kind = 'goal' AND a.state = 'too early') AS goals_too_early,
    count(*) FILTER (WHERE a.kind = 'goal' AND a.state = 'missed') AS goals_missed,
    count(*) FILTER (WHERE a.kind = 'follow-up') AS follow_ups,
    count(*) FILTER (WHERE a.kind = 'follow-up' AND a.breached) AS follow_ups_breached,
    count(*) FILTER (WHERE a.kind = 'alert') AS alerts
FROM (
    SELECT g.owner, 'goal' AS kind, g.status AS state, false AS breached
    FROM cx.goal_status AS g
    WHERE g.closed_at IS NULL
    UNION ALL
    SELECT f.owner, 'follow-up' AS kind, f.state,
           coalesce(f.first_response_at IS NULL AND f.first_response_due < now(), false) OR coalesce(f.state <> 'waiting' AND f.due_at < now(), false) AS breached
    FROM cx.follow_up AS f
    WHERE f.state IN ('open', 'in_progress', 'waiting')
    UNION ALL
    SELECT l.owner, 'alert' AS kind, l.state, false AS breached
    FROM cx.alert AS l
    WHERE l.state IN ('open', 'claimed')
) AS a
GROUP BY a.owner;

COMMENT ON VIEW cx.accountability IS 'Who answers for what now: one row an owner of a goal that is not closed, a follow-up that is not done, or an alert that nobody has acknowledged.';
COMMENT ON COLUMN cx.accountability.owner IS 'Person or team, by the name that goals, follow-ups and alerts have; NULL = nobody yet.';
COMMENT ON COLUMN cx.accountability.goals IS 'Goals that are not closed (cx.goal_status).';
COMMENT ON COLUMN cx.accountability.goals_reached IS 'Of these reached.';
COMMENT ON COLUMN cx.accountability.goals_on_track IS 'Of these on track.';
COMMENT ON COLUMN cx.accountability.goals_at_risk IS 'Of these at risk.';
COMMENT ON COLUMN cx.accountability.goals_off_track IS 'Of these off track.';
COMMENT ON COLUMN cx.accountability.goals_too_early IS 'Of these too early to tell.';
COMMENT ON COLUMN cx.accountability.goals_missed IS 'Of these missed.';
COMMENT ON COLUMN cx.accountability.follow_ups IS 'Follow-ups that are open, in progress or waiting.';
COMMENT ON COLUMN cx.accountability.follow_ups_breached IS 'Of these without a first response though it was due, or not resolved though that was due (those that wait for the customer do not count for the latter), as in cx.follow_up_by_owner.';
COMMENT ON COLUMN cx.accountability.alerts IS 'Alerts that are open or claimed; an alert that is held or suppressed is nobody''s yet.';
