-- How customers who passed a step felt soon after.

CREATE OR REPLACE VIEW cx.score_at_step AS
SELECT
    m.metric,
    s.step,
    s.kind,
    s.touchpoint,
    s.answers,
    s.customers,
    s.score,
    s.lower,
    s.upper,
    s.elsewhere,
    s.difference,
    s.median_seconds
FROM cx.metric AS m
CROSS JOIN LATERAL cxm.score_at_step(m.metric) AS s;

COMMENT ON VIEW cx.score_at_step IS 'How customers who passed a step (an event or a purchase, at its touchpoint) felt soon after: the score of all answers that were given within seven days after it, one row a (metric, step), an answer once a step. Order by difference to see the moment that hurts. cxm.score_at_step(metric, within, during) takes another time. Answers on the usual scale of their metric count.';
COMMENT ON COLUMN cx.score_at_step.metric IS 'Metric (cx.metric) of the answers.';
COMMENT ON COLUMN cx.score_at_step.step IS 'Name of the step, as cxm.journey_step() has it.';
COMMENT ON COLUMN cx.score_at_step.kind IS 'Kind of record: event or purchase.';
COMMENT ON COLUMN cx.score_at_step.touchpoint IS 'Key of its touchpoint (cx.touchpoint); NULL = none.';
COMMENT ON COLUMN cx.score_at_step.answers IS 'Answers that were given within seven days after the step.';
COMMENT ON COLUMN cx.score_at_step.customers IS 'Customers who gave them; merged profiles are one.';
COMMENT ON COLUMN cx.score_at_step.score IS 'Their score: NPS (-100 to 100), CSAT (percentage of the two highest scores) or mean, by the family of the metric.';
COMMENT ON COLUMN cx.score_at_step.lower IS 'Lower end of its 95 % confidence interval.';
COMMENT ON COLUMN cx.score_at_step.upper IS 'Upper end of that interval: where it lies below elsewhere, the step hurts.';
COMMENT ON COLUMN cx.score_at_step.elsewhere IS 'Score of all other answers to the metric; NULL when there are none.';
COMMENT ON COLUMN cx.score_at_step.difference IS 'score less elsewhere, in points.';
COMMENT ON COLUMN cx.score_at_step.median_seconds IS 'Median time in seconds from the step (the last time that the customer passed it) to the answer.';
