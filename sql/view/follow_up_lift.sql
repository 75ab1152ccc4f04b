-- What following up was worth: recovery of customers whose follow-up was closed, less that of matched others.

CREATE OR REPLACE VIEW cx.follow_up_lift AS
SELECT
    c.metric,
    c.compared_with,
    d.strata AS match_sets,
    c.closed_answers,
    c.other_answers,
    100 * d.share_a AS closed_rate,
    100 * d.share_b AS other_rate,
    100 * d.difference AS lift,
    100 * d.lower AS lower,
    100 * d.upper AS upper,
    100 * d.standard_error AS standard_error
FROM (
    SELECT
        v.metric,
        g.compared_with,
        sum(v.closed_answers) FILTER (WHERE v.closed_answers > 0 AND g.answers > 0)::bigint AS closed_answers,
        sum(g.answers) FILTER (WHERE v.closed_answers > 0 AND g.answers > 0)::bigint AS other_answers,
        array_agg(v.closed_recovered) AS closed_recovered,
        array_agg(v.closed_answers) AS closed_n,
        array_agg(g.recovered) AS other_recovered,
        array_agg(g.answers) AS other_n
    FROM cx.follow_up_match AS v
    CROSS JOIN LATERAL (
        VALUES
            ('open', v.open_answers, v.open_recovered),
            ('none', v.none_answers, v.none_recovered),
            ('open or none', v.open_answers + v.none_answers, v.open_recovered + v.none_recovered)
    ) AS g (compared_with, answers, recovered)
    GROUP BY v.metric, g.compared_with
) AS c
CROSS JOIN LATERAL cxm.risk_difference(c.closed_recovered, c.closed_n, c.other_recovered, c.other_n) AS d;

COMMENT ON VIEW cx.follow_up_lift IS 'How much more often unhappy customers recovered whose follow-up was closed than matched ones whose follow-up stayed open, or who had none: a difference in percentage points with its 95 % confidence interval, one row a (metric, compared_with). Customers are compared within match sets only (cx.follow_up_match: same score, touchpoint, location and month), weighted after Mantel and Haenszel; interval and standard error as in cxm.risk_difference(). It is a comparison, not an experiment: who was followed up first, or who answers again at all, may differ in what is not matched.';
COMMENT ON COLUMN cx.follow_up_lift.metric IS 'Metric (cx.metric).';
COMMENT ON COLUMN cx.follow_up_lift.compared_with IS 'open (customers whose follow-up was still open), none (who had none) or open or none.';
COMMENT ON COLUMN cx.follow_up_lift.match_sets IS 'Match sets with customers of both kinds; the others say nothing.';
COMMENT ON COLUMN cx.follow_up_lift.closed_answers IS 'Customers with a closed follow-up in these; NULL when there are none.';
COMMENT ON COLUMN cx.follow_up_lift.other_answers IS 'The others in these; NULL when there are none.';
COMMENT ON COLUMN cx.follow_up_lift.closed_rate IS 'Recovery rate of the former, 0 to 100, match sets weighted as in lift; NULL when there are none.';
COMMENT ON COLUMN cx.follow_up_lift.other_rate IS 'Recovery rate of the latter, likewise.';
COMMENT ON COLUMN cx.follow_up_lift.lift IS 'closed_rate less other_rate, -100 to 100; NULL when there is no match set.';
COMMENT ON COLUMN cx.follow_up_lift.lower IS 'Lower end of its 95 % confidence interval (Miettinen and Nurminen, stratified).';
COMMENT ON COLUMN cx.follow_up_lift.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.follow_up_lift.standard_error IS 'Standard error of lift (Sato, Greenland and Robins).';
