-- How many customers come back happier.

CREATE OR REPLACE VIEW cx.follow_up_recovery_rate AS
SELECT
    s.dimension,
    s.key,
    s.resolutions,
    s.answered,
    s.recovered,
    cxm.csat(s.ratings, 1) AS recovery_rate,
    i.lower,
    i.upper,
    s.mean_change
FROM (
    SELECT
        g.dimension,
        g.key,
        count(*) AS resolutions,
        count(v.recovered) AS answered,
        count(*) FILTER (WHERE v.recovered) AS recovered,
        cxm.ratings_agg(v.recovered::integer, 0, 1) AS ratings,
        avg(v.change) FILTER (WHERE v.recovered IS NOT NULL) AS mean_change
    FROM cx.follow_up_recovery AS v
    CROSS JOIN LATERAL (
        VALUES ('metric', v.metric), ('owner', v.owner), ('location', v.location), ('rule', v.rule), ('outcome', v.outcome), ('root_cause', v.root_cause)
    ) AS g (dimension, key)
    WHERE v.unhappy_before
    GROUP BY g.dimension, g.key
) AS s
CROSS JOIN LATERAL cxm.csat_interval(s.ratings, 0.95, 1) AS i;

COMMENT ON VIEW cx.follow_up_recovery_rate IS 'Share of customers who recovered after their follow-up was resolved (cx.follow_up_recovery), among those who answered again, one row a (dimension, key). It says nothing of those who did not answer again, and part of it would have come about anyway: cx.follow_up_lift takes that off.';
COMMENT ON COLUMN cx.follow_up_recovery_rate.dimension IS 'metric, owner, location, rule, outcome or root_cause; ask for one.';
COMMENT ON COLUMN cx.follow_up_recovery_rate.key IS 'Its value; NULL = none.';
COMMENT ON COLUMN cx.follow_up_recovery_rate.resolutions IS 'Resolutions of follow-ups of unhappy customers.';
COMMENT ON COLUMN cx.follow_up_recovery_rate.answered IS 'After how many of these the customer answered again.';
COMMENT ON COLUMN cx.follow_up_recovery_rate.recovered IS 'How many of those had recovered.';
COMMENT ON COLUMN cx.follow_up_recovery_rate.recovery_rate IS 'recovered in percent of answered, 0 to 100; NULL when nobody answered again.';
COMMENT ON COLUMN cx.follow_up_recovery_rate.lower IS 'Lower end of its 95 % confidence interval (Wilson).';
COMMENT ON COLUMN cx.follow_up_recovery_rate.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.follow_up_recovery_rate.mean_change IS 'Mean of next score less score before, in points of the scale.';
