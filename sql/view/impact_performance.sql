-- What matters to customers, and how well it is done.

CREATE OR REPLACE VIEW cx.impact_performance AS
SELECT
    b.by,
    i.driver,
    i.n,
    i.performance,
    i.importance,
    i.share,
    i.correlation,
    i.quadrant,
    i.importance_threshold,
    i.performance_threshold,
    i.r2,
    i.importance_method,
    i.units,
    i.note
FROM (VALUES ('touchpoint'), ('question')) AS b(by)
CROSS JOIN LATERAL cxm.impact_performance('nps', b.by) AS i;

COMMENT ON VIEW cx.impact_performance IS 'Importance-performance analysis of ratings against the Net Promoter Score''s 0 to 10, over all answers in the store: touchpoints (ratings of a customer at each, and the customer''s last score) and questions (ratings and score of one submission). Missing ratings pairwise. cxm.impact_performance() takes other outcomes, times and ways, and gives intervals.';
COMMENT ON COLUMN cx.impact_performance.by IS 'What the drivers are: touchpoint or question.';
COMMENT ON COLUMN cx.impact_performance.driver IS 'Key of the touchpoint, or name of the question.';
COMMENT ON COLUMN cx.impact_performance.n IS 'Ratings of it, one a customer or submission with an outcome.';
COMMENT ON COLUMN cx.impact_performance.performance IS 'Mean rating, 0 (lowest score of the scale that was shown) to 100 (highest).';
COMMENT ON COLUMN cx.impact_performance.importance IS 'Its part of r2; NULL where note says why.';
COMMENT ON COLUMN cx.impact_performance.share IS 'That part as a fraction of r2; the shares of all drivers sum to 1.';
COMMENT ON COLUMN cx.impact_performance.correlation IS 'Correlation with the outcome.';
COMMENT ON COLUMN cx.impact_performance.quadrant IS 'concentrate here, keep up the good work, possible overkill or low priority.';
COMMENT ON COLUMN cx.impact_performance.importance_threshold IS 'Mean share: from it on a driver is important.';
COMMENT ON COLUMN cx.impact_performance.performance_threshold IS 'Mean performance of the drivers that have a share: from it on a driver performs.';
COMMENT ON COLUMN cx.impact_performance.r2 IS 'Part of the variance of the outcome that all drivers explain, 0 to 1.';
COMMENT ON COLUMN cx.impact_performance.importance_method IS 'lmg (up to 20 drivers) or johnson.';
COMMENT ON COLUMN cx.impact_performance.units IS 'Customers, or submissions, with an outcome.';
COMMENT ON COLUMN cx.impact_performance.note IS 'Why something is NULL, or what to beware of.';
