-- Who comes back, by month, in the store's own months.

CREATE OR REPLACE VIEW cx.retention_monthly AS
SELECT
    s.step,
    r.cohort,
    r.cohort_size,
    r.number,
    r.customers,
    r.share,
    r.complete
FROM (VALUES ('any'), ('purchase'), ('feedback')) AS s (step)
CROSS JOIN LATERAL cxm.retention_report(nullif(s.step, 'any'), nullif(s.step, 'any')) AS r
WHERE r.cohort_size > 0;

COMMENT ON VIEW cx.retention_monthly IS 'Retention by month, cut in the time zone of cx.store: of the customers whose first record of all, first purchase or first feedback was in a month, how many had another one so many months later. The last thirteen months, one row a (step, cohort, number) for months that have begun. Ask for one step (WHERE step = ''purchase''): each is computed on its own. cxm.retention_report() takes any steps, periods and breakdowns.';
COMMENT ON COLUMN cx.retention_monthly.step IS 'What counts as start and as return: purchase, feedback, or any record.';
COMMENT ON COLUMN cx.retention_monthly.cohort IS 'First day of the month in which these customers started.';
COMMENT ON COLUMN cx.retention_monthly.cohort_size IS 'Number of customers who started in that month.';
COMMENT ON COLUMN cx.retention_monthly.number IS 'Months after that month, 0 to 12; 0 is the month of the start, to which everybody came.';
COMMENT ON COLUMN cx.retention_monthly.customers IS 'How many of them came back in that later month.';
COMMENT ON COLUMN cx.retention_monthly.share IS 'Their share of the cohort, 0 to 1.';
COMMENT ON COLUMN cx.retention_monthly.complete IS 'false while that later month is not over: more may come back.';
