-- Many comparisons at once, and how many answers one needs.

CREATE FUNCTION cxm.adjust_p_values(p_values double precision[], method text DEFAULT 'holm') RETURNS double precision[]
AS 'MODULE_PATHNAME', 'cxm_adjust_p_values'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.adjust_p_values(double precision[], text) IS
'p-values adjusted for their number, in the same order. holm (Holm 1979), bonferroni and hochberg (1988, for independent tests) bound the chance of any false finding; benjamini_hochberg (1995) and benjamini_yekutieli (2001, for tests that depend on each other in any way) bound the expected share of false ones among the findings. NULLs stay and do not count. Errors: 22003 a number that is not between 0 and 1, 22023 another method.';

CREATE FUNCTION cxm.compare_nps(names text[], ratings cxm.ratings[], adjust text DEFAULT 'holm', confidence double precision DEFAULT 0.95, method text DEFAULT 'adjusted_wald')
RETURNS TABLE (name_a text, name_b text, nps_a double precision, nps_b double precision, difference double precision, lower double precision, upper double precision,
               p_value double precision, adjusted_p_value double precision, is_different boolean)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(names) <> cardinality(ratings) OR array_ndims(names) > 1 OR array_ndims(ratings) > 1 THEN
        RAISE array_subscript_error USING
            MESSAGE = format('there are %s names and %s ratings', cardinality(names), cardinality(ratings)),
            HINT = 'Gather both with array_agg(... ORDER BY ...) from the same rows.';
    END IF;
    RETURN QUERY
    WITH pair AS MATERIALIZED (
        SELECT a.place AS place_a, b.place AS place_b, a.name AS name_a, b.name AS name_b, cxm.nps(a.ratings) AS nps_a, cxm.nps(b.ratings) AS nps_b, t.*
        FROM ROWS FROM (unnest(compare_nps.names), unnest(compare_nps.ratings)) WITH ORDINALITY AS a(name, ratings, place)
        JOIN ROWS FROM (unnest(compare_nps.names), unnest(compare_nps.ratings)) WITH ORDINALITY AS b(name, ratings, place) ON a.place < b.place
        CROSS JOIN LATERAL cxm.nps_test(a.ratings, b.ratings, compare_nps.method, compare_nps.confidence) AS t
    ), adjusted AS MATERIALIZED (
        SELECT cxm.adjust_p_values(array_agg(p.p_value ORDER BY p.place_a, p.place_b), compare_nps.adjust) AS p_values FROM pair AS p
    )
    SELECT p.name_a, p.name_b, p.nps_a, p.nps_b, p.difference, p.lower, p.upper, p.p_value, q.adjusted, q.adjusted < 1 - compare_nps.confidence
    FROM (SELECT p.*, row_number() OVER (ORDER BY p.place_a, p.place_b) AS place FROM pair AS p) AS p
    JOIN (SELECT u.* FROM adjusted AS a CROSS JOIN LATERAL unnest(a.p_values) WITH ORDINALITY AS u(adjusted, place)) AS q USING (place)
    ORDER BY p.place;
END
$$;

COMMENT ON FUNCTION cxm.compare_nps(text[], cxm.ratings[], text, double precision, text) IS
'Every two of several groups compared by their Net Promoter Scores, a row a pair in the order of the arrays: cxm.nps_test() of both (difference of the first less the second in points with its own interval, p_value), the p-value adjusted for the number of comparisons (adjust: see cxm.adjust_p_values), and whether the two are found to differ at that confidence. NULLs where a group has no answers or no spread; such pairs do not count. Errors: 2202E arrays of different lengths, 22023 an unknown method, adjustment or confidence.';

CREATE FUNCTION cxm.nps_sample_size(difference double precision, promoters double precision DEFAULT 0.5, detractors double precision DEFAULT 0.2, power double precision DEFAULT 0.8, confidence double precision DEFAULT 0.95) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_nps_sample_size'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_sample_size(double precision, double precision, double precision, double precision, double precision) IS
'Answers that each of two groups needs for a two-sided test to find a difference of so many points of NPS with that power, where both have these shares of promoters and detractors (0 to 1; they decide how much answers spread): 2 v (z + z_power)^2 / difference^2 with v = promoters + detractors - (promoters - detractors)^2. Error 22023: a difference that is not above 0 and at most 200, shares that are none, a power or confidence that is not between 0 and 1; 22003: more than can be counted.';

CREATE FUNCTION cxm.nps_power(answers_a bigint, answers_b bigint, difference double precision, promoters double precision DEFAULT 0.5, detractors double precision DEFAULT 0.2, confidence double precision DEFAULT 0.95) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_nps_power'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_power(bigint, bigint, double precision, double precision, double precision, double precision) IS
'Probability (0 to 1) that a two-sided test with so many answers in two groups finds a true difference of so many points of NPS; shares as in cxm.nps_sample_size. Error 22023: as there, or a group without answers.';

CREATE FUNCTION cxm.nps_detectable_difference(answers_a bigint, answers_b bigint, promoters double precision DEFAULT 0.5, detractors double precision DEFAULT 0.2, power double precision DEFAULT 0.8, confidence double precision DEFAULT 0.95) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_nps_detectable_difference'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_detectable_difference(bigint, bigint, double precision, double precision, double precision, double precision) IS
'The smallest difference, in points of NPS, that a two-sided test with so many answers in two groups finds with that power; shares as in cxm.nps_sample_size. May be more than 200, which no two groups differ by: too few answers. Error 22023: as there, or a group without answers.';
