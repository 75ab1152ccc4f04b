-- How fast customers hear from somebody, how fast it is put right, and how often that was promised sooner.

CREATE OR REPLACE VIEW cx.follow_up_times AS
SELECT
    g.dimension,
    g.key,
    count(*) AS follow_ups,
    count(f.first_response_at) AS responded,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM f.first_response_at - f.opened_at)::double precision / 3600) AS median_response_hours,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM f.first_response_at - f.opened_at)::double precision / 3600) AS p90_response_hours,
    count(*) FILTER (WHERE f.first_response_due IS NOT NULL AND (f.first_response_at IS NOT NULL OR f.first_response_due < now())) AS response_promises,
    count(*) FILTER (WHERE f.first_response_due < coalesce(f.first_response_at, now())) AS response_breaches,
    100.0 * count(*) FILTER (WHERE f.first_response_due < coalesce(f.first_response_at, now()))
        / nullif(count(*) FILTER (WHERE f.first_response_due IS NOT NULL AND (f.first_response_at IS NOT NULL OR f.first_response_due < now())), 0) AS response_breach_percent,
    count(f.resolved_at) AS resolved,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM f.resolved_at - f.opened_at)::double precision / 3600) AS median_resolution_hours,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM f.resolved_at - f.opened_at)::double precision / 3600) AS p90_resolution_hours,
    count(*) FILTER (WHERE f.resolution_due IS NOT NULL AND (f.resolved_at IS NOT NULL OR f.resolution_due < now())) AS resolution_promises,
    count(*) FILTER (WHERE f.resolution_due < coalesce(f.resolved_at, now())) AS resolution_breaches,
    100.0 * count(*) FILTER (WHERE f.resolution_due < coalesce(f.resolved_at, now()))
        / nullif(count(*) FILTER (WHERE f.resolution_due IS NOT NULL AND (f.resolved_at IS NOT NULL OR f.resolution_due < now())), 0) AS resolution_breach_percent,
    count(*) FILTER (WHERE f.reopened > 0) AS reopened
FROM (
    SELECT u.*, u.due_at + coalesce(cxm.alert_span(now() - u.waiting_since), interval '0') AS resolution_due
    FROM cx.follow_up AS u
    WHERE u.state <> 'cancelled'
) AS f
LEFT JOIN cx.alert_rule AS r ON r.rule_id = f.rule_id
LEFT JOIN cx.location AS l ON l.location_id = f.location_id
CROSS JOIN LATERAL (
    VALUES ('all', NULL), ('owner', f.owner), ('location', l.key), ('rule', r.name), ('priority', f.priority)
) AS g (dimension, key)
GROUP BY g.dimension, g.key;

COMMENT ON VIEW cx.follow_up_times IS 'Times to first response and resolution and missed service levels, one row a (dimension, key). Ask for one dimension (WHERE dimension = ''owner''): each counts all follow-ups but cancelled ones. Times are those of follow-ups that had a response or a resolution: where many are still open, look at the breaches, too. Of one that was re-opened the last resolution counts, from the first opening on.';
COMMENT ON COLUMN cx.follow_up_times.dimension IS 'all, owner, location, rule or priority.';
COMMENT ON COLUMN cx.follow_up_times.key IS 'Owner today, key of the location, name of the rule, priority; NULL = none, or all.';
COMMENT ON COLUMN cx.follow_up_times.follow_ups IS 'How many follow-ups.';
COMMENT ON COLUMN cx.follow_up_times.responded IS 'How many had a first response.';
COMMENT ON COLUMN cx.follow_up_times.median_response_hours IS 'Median of the hours from opening to it; NULL when there is none.';
COMMENT ON COLUMN cx.follow_up_times.p90_response_hours IS 'Hours within which nine tenths of these came (interpolated); NULL when there is none.';
COMMENT ON COLUMN cx.follow_up_times.response_promises IS 'How many promised a first response by a time and have been found to keep it or not.';
COMMENT ON COLUMN cx.follow_up_times.response_breaches IS 'How many of these did not keep it.';
COMMENT ON COLUMN cx.follow_up_times.response_breach_percent IS 'The same in percent of response_promises, 0 to 100; NULL when there are none.';
COMMENT ON COLUMN cx.follow_up_times.resolved IS 'How many are resolved or closed.';
COMMENT ON COLUMN cx.follow_up_times.median_resolution_hours IS 'Median of the hours from opening to the resolution, time spent waiting for the customer included; NULL when there is none.';
COMMENT ON COLUMN cx.follow_up_times.p90_resolution_hours IS 'Hours within which nine tenths of these were resolved (interpolated); NULL when there is none.';
COMMENT ON COLUMN cx.follow_up_times.resolution_promises IS 'How many promised a resolution by a time and have been found to keep it or not.';
COMMENT ON COLUMN cx.follow_up_times.resolution_breaches IS 'How many of these did not keep it, time spent waiting for the customer taken off.';
COMMENT ON COLUMN cx.follow_up_times.resolution_breach_percent IS 'The same in percent of resolution_promises, 0 to 100; NULL when there are none.';
COMMENT ON COLUMN cx.follow_up_times.reopened IS 'How many were re-opened at least once.';
