-- Where a score is heading: a straight line through scores whose precision is known.

CREATE FUNCTION cxm.student_quantile(confidence double precision, df bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- taken back from the interval of a mean of df + 1 answers, 0 and 1 about half each
    SELECT (i.upper - i.lower) / 2 * sqrt(df + 1) / cxm.stddev(r.ratings)
    FROM (SELECT cxm.ratings(0, ARRAY[(df + 1) / 2, df + 1 - (df + 1) / 2]) AS ratings WHERE df > 0) AS r
    CROSS JOIN LATERAL cxm.mean_interval(r.ratings, confidence) AS i;
$$;

COMMENT ON FUNCTION cxm.student_quantile(double precision, bigint) IS
'Half width, in standard errors, of a two-sided interval by Student''s t distribution with df degrees of freedom: 2.776 for 0.95 and 4. confidence is between 0 and 1, else invalid_parameter_value (22023). NULL for df below 1.';

CREATE FUNCTION cxm.project(x double precision[], y double precision[], weights double precision[], at double precision, confidence double precision DEFAULT 0.95,
    OUT points integer, OUT slope double precision, OUT value double precision, OUT standard_error double precision, OUT lower double precision, OUT upper double precision, OUT dispersion double precision)
RETURNS record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_weight double precision;
    v_x double precision;
    v_y double precision;
    v_sxx double precision;
    v_half double precision;
BEGIN
    IF cardinality(x) IS DISTINCT FROM cardinality(y) OR cardinality(x) IS DISTINCT FROM cardinality(weights) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'x, y and weights do not have the same number of elements',
            DETAIL = format('There are %s, %s and %s.', coalesce(cardinality(x), 0), coalesce(cardinality(y), 0), coalesce(cardinality(weights), 0));
    ELSIF EXISTS (SELECT FROM unnest(x, y, weights) AS p(x, y, w)
                  WHERE (p.x > '-infinity' AND p.x < 'infinity' AND p.y > '-infinity' AND p.y < 'infinity' AND p.w > 0 AND p.w < 'infinity') IS NOT TRUE) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a point has no finite x and y, or no weight above zero',
            HINT = 'Leave out what is not known; a weight is one over the variance of y.';
    ELSIF (confidence > 0 AND confidence < 1) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('confidence %s is not between 0 and 1', coalesce(confidence::text, 'NULL'));
    ELSIF (at > '-infinity' AND at < 'infinity') IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('nothing can be projected to %s', coalesce(at::text, 'NULL'));
    END IF;
    points := coalesce(cardinality(x), 0);
    IF points < 3 THEN
        RETURN;
    END IF;

    SELECT sum(p.w), sum(p.w * p.x) / sum(p.w), sum(p.w * p.y) / sum(p.w) INTO v_weight, v_x, v_y FROM unnest(x, y, weights) AS p(x, y, w);
    SELECT sum(p.w * (p.x - v_x) ^ 2), sum(p.w * (p.x - v_x) * (p.y - v_y)) INTO v_sxx, slope FROM unnest(x, y, weights) AS p(x, y, w);
    IF v_sxx = 0 THEN
        slope := NULL;
        RETURN;
    END IF;
    slope := slope / v_sxx;
    value := v_y + slope * (at - v_x);
    SELECT greatest(sum(p.w * (p.y - v_y - slope * (p.x - v_x)) ^ 2) / (points - 2), 1) INTO dispersion FROM unnest(x, y, weights) AS p(x, y, w);
    standard_error := sqrt(dispersion * (1 / v_weight + (at - v_x) ^ 2 / v_sxx));
    v_half := cxm.student_quantile(confidence, points - 2) * standard_error;
    lower := value - v_half;
    upper := value + v_half;
END
$$;

COMMENT ON FUNCTION cxm.project(double precision[], double precision[], double precision[], double precision, double precision) IS
'The straight line through points (x, y) by weighted least squares, and what it comes to at another x (at). weights: one over the variance of each y. slope: in y a unit of x; value: the line there, standard_error and lower to upper its confidence interval by Student''s t distribution with points - 2 degrees of freedom; dispersion: how much more the points scatter about the line than their weights tell, as a variance ratio, and the variance is multiplied by it; at least 1, so that points that happen to lie on a line do not feign certainty. All but points are NULL for fewer than three points and where all x are the same. Errors (22023): arrays of different lengths, values that are NULL or not finite, weights that are not above zero, a confidence that is not between 0 and 1.';
