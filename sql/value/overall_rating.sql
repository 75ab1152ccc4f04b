-- One figure out of many: points on a scale of 0 to 100, weighed.

CREATE FUNCTION cxm.rating_points(value double precision, worst double precision, best double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN worst <> best THEN greatest(least(100 * (value - worst) / (best - worst), 100), 0) END;
$$;

COMMENT ON FUNCTION cxm.rating_points(double precision, double precision, double precision) IS
'Points from 0 to 100 for a value: 0 where it is worst or worse, 100 where it is best or better, a straight line between; best may be below worst, where less is better. NULL for a NULL argument and where worst and best are the same.';

CREATE FUNCTION cxm.weighted_rating(weights double precision[], points double precision[], lower double precision[], upper double precision[],
    OUT rating double precision, OUT rating_lower double precision, OUT rating_upper double precision, OUT weight_present double precision)
RETURNS record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_present double precision;
BEGIN
    IF cardinality(weights) IS DISTINCT FROM cardinality(points) OR cardinality(weights) IS DISTINCT FROM cardinality(lower)
       OR cardinality(weights) IS DISTINCT FROM cardinality(upper) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'weights, points, lower and upper do not have the same number of elements',
            DETAIL = format('There are %s, %s, %s and %s.', coalesce(cardinality(weights), 0), coalesce(cardinality(points), 0),
                            coalesce(cardinality(lower), 0), coalesce(cardinality(upper), 0));
    ELSIF EXISTS (SELECT FROM unnest(weights) AS w(weight) WHERE (w.weight > 0 AND w.weight < 'infinity') IS NOT TRUE) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a weight is not a finite number above zero',
            HINT = 'Leave out the part that is not to count.';
    END IF;
    SELECT sum(p.weight) FILTER (WHERE p.points IS NOT NULL), sum(p.weight) FILTER (WHERE p.points IS NOT NULL) / sum(p.weight)
    INTO v_present, weight_present
    FROM unnest(weights, points) AS p(weight, points);
    weight_present := coalesce(weight_present, 0);

    IF v_present IS NULL THEN
        RETURN;
    END IF;
    -- a part without an interval may be anything from 0 to 100
    SELECT s.rating, greatest(s.rating - s.below, 0), least(s.rating + s.above, 100)
    INTO rating, rating_lower, rating_upper
    FROM (SELECT sum(p.weight * p.points) / v_present AS rating,
                 sqrt(sum((p.weight * (p.points - coalesce(p.lower, 0))) ^ 2)) / v_present AS below,
                 sqrt(sum((p.weight * (coalesce(p.upper, 100) - p.points)) ^ 2)) / v_present AS above
          FROM unnest(weights, points, lower, upper) AS p(weight, points, lower, upper)
          WHERE p.points IS NOT NULL) AS s;
END
$$;

COMMENT ON FUNCTION cxm.weighted_rating(double precision[], double precision[], double precision[], double precision[]) IS
'The weighted mean of points (0 to 100), with an interval out of those of the parts, which are taken as independent: the method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27, 2008, 1693). A part whose points are NULL is missing: it does not count as zero, its weight is shared out among the others in proportion; weight_present is the share of all weight that was there, 0 to 1. A part without an interval counts with 0 to 100. NULL rating when no part has points. Errors (22023): arrays of different length, a weight that is not a finite number above zero.';
