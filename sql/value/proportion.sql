-- Shares: how certain one is, and whether several differ.

CREATE FUNCTION cxm.proportion_interval(successes bigint, trials bigint, confidence double precision DEFAULT 0.95,
                                        OUT lower double precision, OUT upper double precision) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_proportion_interval'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.proportion_interval(bigint, bigint, double precision) IS
'Wilson''s confidence interval of a share, 0 to 1: right for small numbers and for shares near 0 and 1. NULLs when there are no trials. Error 22023: more successes than trials, a negative number, a confidence that is not between 0 and 1.';

CREATE FUNCTION cxm.proportion_test(successes bigint[], trials bigint[], OUT p_value double precision, OUT method text) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_proportion_p_value'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.proportion_test(bigint[], bigint[]) IS
'Whether the shares of several groups (at most 64) can be one and the same: the two-sided p-value. method: exact (Fisher''s test, by Freeman and Halton for more than two groups) where an expected count is below five, as with skewed data and tiny groups; chi-square (Pearson''s) otherwise, and where the exact test would have to go through more than ten million tables. Groups of 0 trials are left out; NULLs when fewer than two are left. Error 22023: more successes than trials or a negative number; 2202E: arrays of different lengths; 22004: a NULL in them.';
