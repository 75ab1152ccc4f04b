-- Intervals and tests of means, medians and counts: how certain a figure is, and whether it has changed.

CREATE FUNCTION cxm.mean_test(mean_a double precision, variance_a double precision, n_a bigint, mean_b double precision, variance_b double precision, n_b bigint,
                              n_both bigint DEFAULT 0, covariance double precision DEFAULT 0) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_mean_test_p_value'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.mean_test(double precision, double precision, bigint, double precision, double precision, bigint, bigint, double precision) IS
'Whether the means of two samples can be one and the same: the two-sided p-value of Welch''s test, from mean, sample variance (divisor n - 1) and size of each. n_both: how many members stand in both samples, with the sample covariance of their two values; then it is the test for samples that overlap (Derrick and others, 2017), and the paired test when all do. NULL when a sample has fewer than two members, when one single member is shared, when nothing varies, and when an argument is NULL. Error 22023: sizes, means or variances that no samples have.';

CREATE FUNCTION cxm.rank_sum_test(a double precision[], b double precision[]) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_rank_sum_test_p_value'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.rank_sum_test(double precision[], double precision[]) IS
'Whether two samples can come from one distribution, by the sum of ranks (Mann and Whitney, Wilcoxon): the two-sided p-value by the normal approximation with corrections for ties and continuity. NULL when a sample is empty or all values are the same, and when an argument is NULL. Errors: 22004 a NULL among the values, 22023 a NaN.';

CREATE FUNCTION cxm.median_interval("values" double precision[], confidence double precision DEFAULT 0.95,
                                    OUT lower double precision, OUT upper double precision) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_median_interval_of'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.median_interval(double precision[], double precision) IS
'Confidence interval of the median, whatever the distribution: from one of the values to another, so that the confidence is at least the one asked for. NULLs when the values are too few for that (fewer than 6 for 0.95). Errors: 22004 a NULL among the values, 22023 a NaN or a confidence that is not between 0 and 1.';

CREATE FUNCTION cxm.poisson_interval(events bigint, confidence double precision DEFAULT 0.95,
                                     OUT lower double precision, OUT upper double precision) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_poisson_interval_of'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.poisson_interval(bigint, double precision) IS
'Exact confidence interval (Garwood) of the number of events to be expected where so many were counted. Error 22023: a negative number, a confidence that is not between 0 and 1.';

CREATE FUNCTION cxm.poisson_test(events_a bigint, exposure_a double precision, events_b bigint, exposure_b double precision) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_poisson_test_p_value'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.poisson_test(bigint, double precision, bigint, double precision) IS
'Whether two rates, events over exposure (days, money spent), can be one and the same: the exact two-sided p-value, given how many events there are in all. Error 22023: a negative number of events, an exposure that is not above 0.';

CREATE FUNCTION cxm.score_test(family text, a cxm.ratings, b cxm.ratings) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- of a CSAT, the two upper scores; of a scale of two points the upper one
    v_from CONSTANT integer := greatest(cxm.scale_high(a) - 1, cxm.scale_low(a) + 1);
BEGIN
    CASE family
        WHEN 'nps' THEN
            RETURN (cxm.nps_test(a, b)).p_value;
        WHEN 'csat' THEN
            RETURN (cxm.proportion_test(ARRAY[cxm.promoters(a, v_from, v_from), cxm.promoters(b, v_from, v_from)], ARRAY[cxm.count(a), cxm.count(b)])).p_value;
        ELSE
            RETURN cxm.mean_test(cxm.mean(a), cxm.variance(a), cxm.count(a), cxm.mean(b), cxm.variance(b), cxm.count(b));
    END CASE;
END
$$;

COMMENT ON FUNCTION cxm.score_test(text, cxm.ratings, cxm.ratings) IS
'Whether the scores of two independent samples of answers can be one and the same: the two-sided p-value by the test that their family has: adjusted Wald of an NPS (cxm.nps_test), two proportions of a CSAT (cxm.proportion_test), Welch of a mean (cxm.mean_test). NULL when a sample has no answers, of a mean fewer than two, when nothing varies, and when an argument is NULL.';
