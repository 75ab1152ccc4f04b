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
                                      OUT groups integer, OUT answered integer) RETURNS SETOF record
AS 'cxm_drivers', 'cxm_drivers_bootstrap'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000000 ROWS 10;

COMMENT ON FUNCTION cxm.drivers_bootstrap(cxm.comoments[], text, integer, bigint, double precision) IS
'Importance of each driver over all samples together, with percentile intervals of a bootstrap that draws the samples with replacement: co-moments of one row each, of a customer each, or of a random group of rows each. method: lmg, johnson, beta or correlation. importance: the measure; share: its part of R squared (lmg and johnson; sums to 1); rank: 1 = the most important by absolute value; each with its interval, NULL with fewer than two replicates that have an answer. groups: samples with data; answered: replicates that had an answer (in the others the outcome did not vary, or pairs contradicted each other). The same seed gives the same intervals for the same samples in the same order. NULL elements are skipped. No rows when there are no data or the outcome does not vary. Takes about replicates times (groups x variables squared, plus the method): for lmg, 2^drivers each. Errors: 22023 method, replicates not 0 to 100000, confidence, samples that do not go together, pairwise correlations that are undefined or not positive definite; 54000 more than 25 drivers with lmg, or samples whose sums take more than 1 GB.';
