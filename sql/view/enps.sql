-- What employees say, by group; and beside it what customers say, by location.

CREATE OR REPLACE VIEW cx.enps AS
SELECT
    w.key AS wave,
    w.starts_on,
    w.ends_on,
    r.question,
    q.family,
    g.key AS employee_group,
    p.key AS parent_group,
    r.suppression,
    cxm.count(r.ratings) AS answers,
    CASE WHEN q.family = 'nps' THEN cxm.nps(r.ratings) END AS enps,
    CASE WHEN q.family = 'nps' THEN (cxm.nps_interval(r.ratings)).lower END AS lower,
    CASE WHEN q.family = 'nps' THEN (cxm.nps_interval(r.ratings)).upper END AS upper,
    cxm.mean(r.ratings) AS mean,
    w.min_group
FROM (SELECT e.wave_id, e.question, e.group_id, e.suppression, cxm.ratings(e.lowest_score, e.counts) AS ratings FROM cx.employee_result AS e) AS r
JOIN cx.employee_wave AS w ON w.wave_id = r.wave_id
JOIN cx.employee_question AS q ON q.wave_id = r.wave_id AND q.question = r.question
LEFT JOIN cx.employee_group AS g ON g.group_id = r.group_id
LEFT JOIN cx.employee_group AS p ON p.group_id = g.parent_id;

COMMENT ON VIEW cx.enps IS 'What employees said in waves that are published, a row a question and group. Groups that are not shown are rows that say so.';
COMMENT ON COLUMN cx.enps.wave IS 'The wave.';
COMMENT ON COLUMN cx.enps.starts_on IS 'Its first day.';
COMMENT ON COLUMN cx.enps.ends_on IS 'Its last day.';
COMMENT ON COLUMN cx.enps.question IS 'The question.';
COMMENT ON COLUMN cx.enps.family IS 'nps (0 to 10) or rating (1 to 5).';
COMMENT ON COLUMN cx.enps.employee_group IS 'The group; NULL = everybody.';
COMMENT ON COLUMN cx.enps.parent_group IS 'The group that it lies in; NULL = that of everybody.';
COMMENT ON COLUMN cx.enps.suppression IS 'shown, or why not: hidden, with parent (cx.employee_result).';
COMMENT ON COLUMN cx.enps.answers IS 'Answers; NULL where the group is not shown.';
COMMENT ON COLUMN cx.enps.enps IS 'Employee Net Promoter Score, -100 to 100; NULL where not shown, without answers, or for a rating.';
COMMENT ON COLUMN cx.enps.lower IS 'Lower end of its 95 percent interval (adjusted Wald).';
COMMENT ON COLUMN cx.enps.upper IS 'Upper end of it.';
COMMENT ON COLUMN cx.enps.mean IS 'Mean score on its own scale; NULL where not shown or without answers.';
COMMENT ON COLUMN cx.enps.min_group IS 'Fewest answers of which this wave shows anything.';

CREATE OR REPLACE VIEW cx.experience_by_location AS
SELECT
    e.wave,
    e.starts_on,
    e.ends_on,
    l.key AS location,
    e.suppression,
    e.answers AS employee_answers,
    e.enps,
    e.lower AS enps_lower,
    e.upper AS enps_upper,
    c.answers AS customer_answers,
    c.nps,
    c.nps_lower,
    c.nps_upper
FROM cx.enps AS e
JOIN cx.employee_group AS g ON g.key = e.employee_group
JOIN cx.location AS l ON l.location_id = g.location_id
CROSS JOIN cx.store AS s
CROSS JOIN LATERAL (
    SELECT cxm.count(a.ratings) AS answers, cxm.nps(a.ratings) AS nps, (cxm.nps_interval(a.ratings)).lower AS nps_lower, (cxm.nps_interval(a.ratings)).upper AS nps_upper
    FROM (
        SELECT cxm.nps_agg(f.score) AS ratings
        FROM cx.feedback AS f
        WHERE f.location_id = g.location_id AND f.metric = 'nps' AND f.scale_min = 0 AND f.scale_max = 10
          AND f.occurred_at >= e.starts_on::timestamp AT TIME ZONE s.time_zone AND f.occurred_at < (e.ends_on + 1)::timestamp AT TIME ZONE s.time_zone
    ) AS a
) AS c
WHERE e.question = 'enps';

COMMENT ON VIEW cx.experience_by_location IS 'Employees and customers side by side, a row a wave and location: the eNPS of the group of the location, and the NPS of its customers in the days of the wave (by the time zone of the store).';
COMMENT ON COLUMN cx.experience_by_location.wave IS 'The wave.';
COMMENT ON COLUMN cx.experience_by_location.starts_on IS 'Its first day.';
COMMENT ON COLUMN cx.experience_by_location.ends_on IS 'Its last day.';
COMMENT ON COLUMN cx.experience_by_location.location IS 'The location (cx.location).';
COMMENT ON COLUMN cx.experience_by_location.suppression IS 'Whether the eNPS is shown, or why not (cx.employee_result).';
COMMENT ON COLUMN cx.experience_by_location.employee_answers IS 'Answers of employees; NULL where not shown.';
COMMENT ON COLUMN cx.experience_by_location.enps IS 'Employee Net Promoter Score, -100 to 100; NULL where not shown.';
COMMENT ON COLUMN cx.experience_by_location.enps_lower IS 'Lower end of its 95 percent interval.';
COMMENT ON COLUMN cx.experience_by_location.enps_upper IS 'Upper end of it.';
COMMENT ON COLUMN cx.experience_by_location.customer_answers IS 'Answers of customers to the metric nps, on its usual scale, at the location in those days.';
COMMENT ON COLUMN cx.experience_by_location.nps IS 'Their Net Promoter Score, -100 to 100; NULL without answers.';
COMMENT ON COLUMN cx.experience_by_location.nps_lower IS 'Lower end of its 95 percent interval.';
COMMENT ON COLUMN cx.experience_by_location.nps_upper IS 'Upper end of it.';
