-- Raking: the weights with which answers have the shares of the population.

CREATE FUNCTION cxm.rake_weights(categories integer[], counts integer[], targets double precision[], base_weights double precision[],
    cap double precision, max_iterations integer, tolerance double precision,
    OUT weights double precision[], OUT iterations integer, OUT converged boolean, OUT largest_difference double precision, OUT capped bigint) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_rake_weights'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.rake_weights(integer[], integer[], double precision[], double precision[], double precision, integer, double precision) IS
'Iterative proportional fitting (Deming and Stephan 1940), for cxm.rake(). categories: by variable and answer, from 1, 0 = unknown; counts: categories of each variable; targets: their shares, by variable and category; base_weights: above 0. weights have a mean of 1 and none above cap. Errors: 2202E arrays that do not fit each other, 22023 a category that there is not, 22003 a weight that is none.';

CREATE FUNCTION cxm.rake_mean(categories integer[], counts integer[], base_weights double precision[], weights double precision[], "values" double precision[],
    confidence double precision, OUT answers bigint, OUT mean double precision, OUT standard_error double precision, OUT lower double precision, OUT upper double precision) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_rake_mean'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.rake_mean(integer[], integer[], double precision[], double precision[], double precision[], double precision) IS
'Mean of the values over raked answers, for cxm.raked_mean(), which says what it returns. categories, counts and base_weights: as of cxm.rake_weights(); weights: what came out of it; values: one an answer, NULL where it has none. Errors: 2202E arrays that do not fit each other, 22023 a category that there is not or a confidence that is not between 0 and 1, 22003 a weight that is none, or a value that is NaN or beyond 1e100.';
