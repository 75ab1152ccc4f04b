-- Drivers: which ratings explain an outcome, and how much of it each, read from co-moments (value/comoments).
--
-- The functions are in a library of their own, cxm_drivers, which a session loads with its first call: it needs LAPACK.

CREATE FUNCTION cxm.drivers_lmg(comoments cxm.comoments) RETURNS double precision[]
AS 'cxm_drivers', 'cxm_drivers_lmg'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000;

COMMENT ON FUNCTION cxm.drivers_lmg(cxm.comoments) IS
'Shares of R squared by LMG (Lindeman, Merenda and Gold), which are Shapley values: what each driver adds, averaged over all orders of the drivers. Exact, 0 to 1, in the order of the drivers; they sum to R squared. A driver that does not vary has 0. NULL when there are fewer than two rows or the outcome does not vary. More than 25 drivers raise program_limit_exceeded (54000); pairwise correlations that are undefined or not positive definite invalid_parameter_value (22023).';

CREATE FUNCTION cxm.drivers_johnson(comoments cxm.comoments) RETURNS double precision[]
AS 'cxm_drivers', 'cxm_drivers_johnson'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000;

COMMENT ON FUNCTION cxm.drivers_johnson(cxm.comoments) IS
'Shares of R squared by Johnson''s relative weights: close to LMG, and quick for any number of drivers. 0 to 1, in the order of the drivers; they sum to R squared. A driver that does not vary has 0. NULL when there are fewer than two rows or the outcome does not vary. Pairwise correlations that are undefined or not positive definite raise invalid_parameter_value (22023).';

CREATE FUNCTION cxm.drivers_betas(comoments cxm.comoments) RETURNS double precision[]
AS 'cxm_drivers', 'cxm_drivers_betas'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000;

COMMENT ON FUNCTION cxm.drivers_betas(cxm.comoments) IS
'Standardised coefficients of the linear regression of the outcome on the drivers: standard deviations of the outcome a standard deviation of the driver. An element is NULL for a driver that does not vary, or is a sum of drivers before it. NULL when there are fewer than two rows or the outcome does not vary. Pairwise correlations that are undefined or not positive definite raise invalid_parameter_value (22023).';

CREATE FUNCTION cxm.drivers_r2(comoments cxm.comoments) RETURNS double precision
AS 'cxm_drivers', 'cxm_drivers_r2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000;

COMMENT ON FUNCTION cxm.drivers_r2(cxm.comoments) IS
'R squared of the linear regression of the outcome on all drivers, 0 to 1. NULL when there are fewer than two rows or the outcome does not vary. Pairwise correlations that are undefined or not positive definite raise invalid_parameter_value (22023).';

CREATE FUNCTION cxm.drivers_fit(comoments cxm.comoments,
                                OUT status text, OUT r2 double precision, OUT adjusted_r2 double precision, OUT df double precision,
                                OUT constant integer, OUT collinear integer, OUT smallest_eigenvalue double precision) RETURNS record
AS 'cxm_drivers', 'cxm_drivers_fit'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000;

COMMENT ON FUNCTION cxm.drivers_fit(cxm.comoments) IS
'Whether the drivers can be asked for, and how well they explain the outcome; raises nothing. status: ok, no rows (fewer than two), no variation (of the outcome), no common rows (two variables vary, but not where both are known) or not positive definite (pairwise correlations contradict each other). r2 and adjusted_r2 (NULL without degrees of freedom); df: rows (effective ones where weighted, those of the rarest pair where pairwise) less coefficients less 1; constant: drivers that do not vary; collinear: drivers that are sums of those before them; smallest_eigenvalue: of the correlations of all variables, pairwise only. All but status are NULL where there is nothing to tell.';

CREATE FUNCTION cxm.drivers_coefficients(comoments cxm.comoments, confidence double precision DEFAULT 0.95,
                                         OUT driver integer, OUT coefficient double precision, OUT std_error double precision,
                                         OUT lower double precision, OUT upper double precision, OUT t double precision,
                                         OUT beta double precision, OUT vif double precision) RETURNS SETOF record
AS 'cxm_drivers', 'cxm_drivers_coefficients'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10000 ROWS 10;

COMMENT ON FUNCTION cxm.drivers_coefficients(cxm.comoments, double precision) IS
'The linear regression of the outcome on the drivers, a row a driver: coefficient (points of the outcome a point of the driver), its standard error, Student''s interval and t, the standardised coefficient (beta), and the variance inflation factor (vif). The errors are those of ordinary least squares; with weights the rows count as Kish''s effective number, pairwise as those of the rarest pair, both approximations. NULLs for a driver without a coefficient (see cxm.drivers_betas), and errors NULL without degrees of freedom. No rows when there are fewer than two rows or the outcome does not vary. Error 22023: confidence not between 0 and 1; pairwise correlations that are undefined or not positive definite.';

CREATE FUNCTION cxm.drivers_bootstrap(samples cxm.comoments[], method text DEFAULT 'lmg', replicates integer DEFAULT 1000, seed bigint DEFAULT 1,
                                      confidence double precision DEFAULT 0.95,
                                      OUT driver integer, OUT importance double precision, OUT lower double precision, OUT upper double precision,
                                      OUT share double precision, OUT share_lower double precision, OUT share_upper double precision,
                                      OUT rank double precision, OUT rank_lower double precision, OUT rank_upper double precision,
                                      OUT r2 double precision, OUT r2_lower double precision, OUT r2_upper double precision,
                                      OUT groups integer, OUT answered integer) RETURNS SETOF record
AS 'cxm_drivers', 'cxm_drivers_bootstrap'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000000 ROWS 10;

COMMENT ON FUNCTION cxm.drivers_bootstrap(cxm.comoments[], text, integer, bigint, double precision) IS
'Importance of each driver over all samples together, with percentile intervals of a bootstrap that draws the samples with replacement: co-moments of one row each, of a customer each, or of a random group of rows each. method: lmg, johnson, beta or correlation. importance: the measure; share: its part of R squared (lmg and johnson; sums to 1); rank: 1 = the most important by absolute value; r2: of all drivers, the same in each row (not with correlation); each with its interval, NULL with fewer than two replicates that have an answer. groups: samples with data; answered: replicates that had an answer (in the others the outcome did not vary, or pairs contradicted each other). The same seed gives the same intervals for the same samples in the same order. NULL elements are skipped. No rows when there are no data or the outcome does not vary. Takes about replicates times (groups x variables squared, plus the method): for lmg, 2^drivers each. Errors: 22023 method, replicates not 0 to 100000, confidence, samples that do not go together, pairwise correlations that are undefined or not positive definite; 54000 more than 25 drivers with lmg, or samples whose sums take more than 1 GB.';

CREATE TYPE cxm.driver_importance AS (
    driver             integer,
    name               text,
    n                  bigint,
    missing            bigint,
    mean               double precision,
    stddev             double precision,
    correlation        double precision,
    coefficient        double precision,
    coefficient_lower  double precision,
    coefficient_upper  double precision,
    beta               double precision,
    vif                double precision,
    importance         double precision,
    lower              double precision,
    upper              double precision,
    share              double precision,
    share_lower        double precision,
    share_upper        double precision,
    rank               double precision,
    rank_lower         double precision,
    rank_upper         double precision,
    method             text,
    r2                 double precision,
    r2_lower           double precision,
    r2_upper           double precision,
    rows               bigint,
    used               bigint,
    note               text
);

COMMENT ON TYPE cxm.driver_importance IS
'A driver in a report. driver: its number, from 1 on; name; n: rows used that have it; missing: rows in which it was NULL; mean and stddev; correlation with the outcome; coefficient: points of the outcome a point of the driver, with Student''s interval; beta: the standardised coefficient; vif: variance inflation factor; importance: its part of r2 by method (lmg or johnson), share: that part as a fraction of r2, rank: 1 = the most important, each with its bootstrap interval (NULL without replicates); r2 of all drivers, with the same; rows: all rows; used: those that have everything (listwise) or the rows of the rarest pair (pairwise); note: why something is NULL, or what to beware of, else NULL.';

CREATE FUNCTION cxm.drivers_table(samples cxm.comoments[], names text[] DEFAULT NULL, method text DEFAULT NULL, replicates integer DEFAULT 0,
                                  seed bigint DEFAULT 1, confidence double precision DEFAULT 0.95) RETURNS SETOF cxm.driver_importance
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
COST 1000000 ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_all cxm.comoments := (SELECT cxm.rollup(s) FROM unnest(samples) AS s);
    v_summary record;
    v_fit record;
    v_method text;
    v_note text;
BEGIN
    SELECT s.* INTO v_summary FROM cxm.comoments_summary(v_all) AS s;
    SELECT f.* INTO v_fit FROM cxm.drivers_fit(v_all) AS f;
    IF v_summary.drivers > 0 AND cardinality(names) <> v_summary.drivers THEN
        RAISE EXCEPTION '% names for % drivers', cardinality(names), v_summary.drivers
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give a name for each driver, in the order of the array that was counted.';
    END IF;
    v_method := coalesce(drivers_table.method, CASE WHEN v_summary.drivers <= 20 THEN 'lmg' ELSE 'johnson' END);
    IF v_method NOT IN ('lmg', 'johnson') THEN
        RAISE EXCEPTION 'unknown method "%" of importance', v_method
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'The methods are lmg and johnson; NULL takes lmg for up to 20 drivers and johnson for more.';
    END IF;
    v_note := CASE v_fit.status
                  WHEN 'no rows' THEN 'fewer than two rows can be used'
                  WHEN 'no variation' THEN 'the outcome does not vary'
                  WHEN 'no common rows' THEN 'two drivers vary, but not over the rows that have both'
                  WHEN 'not positive definite' THEN format('the pairwise correlations contradict each other (smallest eigenvalue %s): count listwise, or leave out drivers that few rows have',
                                                           round(v_fit.smallest_eigenvalue::numeric, 4))
              END;

    RETURN QUERY
    SELECT
        d.driver,
        coalesce(names[d.driver], 'driver ' || d.driver),
        coalesce(v.n, 0),
        coalesce(v.missing, 0),
        v.mean,
        v.stddev,
        CASE WHEN v.variable IS NOT NULL THEN cxm.correlation(v_all, 0, v.variable) END,
        c.coefficient,
        c.lower,
        c.upper,
        c.beta,
        c.vif,
        b.importance,
        b.lower,
        b.upper,
        b.share,
        b.share_lower,
        b.share_upper,
        b.rank,
        b.rank_lower,
        b.rank_upper,
        v_method,
        v_fit.r2,
        b.r2_lower,
        b.r2_upper,
        v_summary.rows,
        v_summary.least_n,
        coalesce(v_note,
                 CASE WHEN v.n = 0 THEN 'no row has it'
                      WHEN (v.stddev > 0) IS NOT TRUE THEN 'does not vary'
                      WHEN c.beta IS NULL THEN 'a sum of drivers before it: no coefficient of its own'
                      WHEN NOT v_fit.df > 0 THEN 'as many coefficients as rows: r2 means nothing'
                      WHEN b.answered < replicates THEN format('%s of %s replicates had an answer', b.answered, replicates) END)
    FROM generate_series(1, greatest(v_summary.drivers, cardinality(names))) AS d(driver)
    LEFT JOIN cxm.comoments_variables(v_all) AS v ON v.variable = d.driver
    LEFT JOIN cxm.drivers_coefficients(CASE v_fit.status WHEN 'ok' THEN v_all END, coalesce(confidence, 0.95)) AS c ON c.driver = d.driver
    LEFT JOIN cxm.drivers_bootstrap(CASE v_fit.status WHEN 'ok' THEN samples END, v_method, coalesce(replicates, 0), coalesce(seed, 1), coalesce(confidence, 0.95)) AS b ON b.driver = d.driver
    ORDER BY d.driver;
END
$$;

COMMENT ON FUNCTION cxm.drivers_table(cxm.comoments[], text[], text, integer, bigint, double precision) IS
'All measures of each driver over all samples together, a row a driver in their order. names: a name for each (NULL: driver 1, driver 2 ...). method: lmg or johnson; NULL takes lmg for up to 20 drivers and johnson for more; NULL for another argument takes its default. With replicates, importance, share and rank have percentile intervals of a bootstrap that draws the samples with replacement (cxm.drivers_bootstrap). Data that give no answer raise nothing: the measures are NULL and note says why. Errors: 22023 names of another number, unknown method, replicates, confidence; 54000 more than 25 drivers with method lmg.';

CREATE FUNCTION cxm.quadrant(importance double precision, performance double precision, importance_threshold double precision,
                             performance_threshold double precision) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
           WHEN importance OPERATOR(pg_catalog.>=) importance_threshold AND performance OPERATOR(pg_catalog.<) performance_threshold THEN 'concentrate here'
           WHEN importance OPERATOR(pg_catalog.>=) importance_threshold THEN 'keep up the good work'
           WHEN performance OPERATOR(pg_catalog.>=) performance_threshold THEN 'possible overkill'
           ELSE 'low priority'
       END;

COMMENT ON FUNCTION cxm.quadrant(double precision, double precision, double precision, double precision) IS
'The quadrant of importance-performance analysis (Martilla and James): concentrate here (important, performs below the threshold), keep up the good work (important, performs), possible overkill (performs, not important) or low priority. What equals a threshold is above it. NULL when an argument is NULL.';
