-- Raking: the weights with which answers have the shares of the population.

CREATE FUNCTION cxm.rake_weights(categories integer[], counts integer[], targets double precision[], base_weights double precision[],
    cap double precision, max_iterations integer, tolerance double precision,
    OUT weights double precision[], OUT iterations integer, OUT converged boolean, OUT largest_difference double precision, OUT capped bigint) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_rake_weights'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.rake_weights(integer[], integer[], double precision[], double precision[], double precision, integer, double precision) IS
'Iterative proportional fitting (Deming and Stephan 1940), for cxm.rake(). categories: by variable and answer, from 1, 0 = unknown; counts: categories of each variable; targets: their shares, by variable and category; base_weights: above 0. weights have a mean of 1 and none above cap. Errors: 2202E arrays that do not fit each other, 22023 a category that there is not, 22003 a weight that is none.';
