-- Recovery: when an answer is unhappy, and how much more often customers came back happier.

CREATE FUNCTION cxm.is_unhappy(family text, score integer, scale_min integer, scale_max integer) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE family
        WHEN 'nps' THEN CASE WHEN scale_min = 0 AND scale_max = 10 THEN score <= 6 END
        WHEN 'csat' THEN score < scale_max - (scale_max - scale_min > 1)::integer
        WHEN 'ces' THEN 2 * score <= scale_min + scale_max
        WHEN 'rating' THEN 2 * score <= scale_min + scale_max
    END;

COMMENT ON FUNCTION cxm.is_unhappy(text, integer, integer, integer) IS
'Whether a score of a metric of that family (cx.metric) is an unhappy customer''s: nps a detractor, 0 to 6 on the scale 0 to 10 (NULL on another scale); csat none of the two highest scores (of a scale of two points not the higher one); ces and rating not above the middle of the scale. A customer has recovered who was unhappy and then is not. NULL when an argument is NULL or the family unknown.';

CREATE FUNCTION cxm.risk_difference_z(events_a bigint[], n_a bigint[], events_b bigint[], n_b bigint[], difference double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    excess double precision;
    variance double precision;
BEGIN
    -- Proportions a and b of each stratum that fit best while a - b = difference: the root of a cubic equation,
    -- a * p^3 + b * p^2 + c * p + d = 0 with theta = n_b / n_a, by its trigonometric solution.
    SELECT sum(w * (pa - pb - difference)),
           sum(w * w * (ra * (1 - ra) / na + (ra - difference) * (1 - ra + difference) / nb) * (na + nb) / (na + nb - 1))
    INTO excess, variance
    FROM (
        SELECT s.*, least(greatest(2 * u * cos((pi() + acos(CASE WHEN u = 0 THEN 0 ELSE least(1, greatest(-1, v / (u * u * u))) END)) / 3) - b / (3 * a),
                                   greatest(0, difference)), least(1, 1 + difference)) AS ra
        FROM (
            SELECT r.*, CASE WHEN v < 0 THEN -1 ELSE 1 END * sqrt(greatest(0, b * b / (9 * a * a) - c / (3 * a))) AS u
            FROM (
                SELECT q.*, b * b * b / (27 * a * a * a) - b * c / (6 * a * a) + d / (2 * a) AS v
                FROM (
                    SELECT t.*, na * nb / (na + nb) AS w,
                           1 + nb / na AS a,
                           -(1 + nb / na + pa + nb / na * pb + difference * (nb / na + 2)) AS b,
                           difference * difference + difference * (2 * pa + nb / na + 1) + pa + nb / na * pb AS c,
                           -pa * difference * (1 + difference) AS d
                    FROM (
                        SELECT u.na::double precision, u.nb::double precision, u.xa::double precision / u.na AS pa, u.xb::double precision / u.nb AS pb
                        FROM unnest(events_a, n_a, events_b, n_b) AS u(xa, na, xb, nb)
                        WHERE u.na > 0 AND u.nb > 0
                    ) AS t
                ) AS q
            ) AS r
        ) AS s
    ) AS m;

    IF variance > 0 THEN
        RETURN excess / sqrt(variance);
    END IF;
    RETURN CASE WHEN excess > 0 THEN 'Infinity' WHEN excess < 0 THEN '-Infinity' ELSE 0 END;
END
$$;

COMMENT ON FUNCTION cxm.risk_difference_z(bigint[], bigint[], bigint[], bigint[], double precision) IS
'The score statistic of Miettinen and Nurminen (1985, Statistics in Medicine 4:213-226), with Mantel-Haenszel weights n_a * n_b / (n_a + n_b), for the hypothesis that the difference of two proportions is the given one in every stratum. It falls as that difference grows.';

CREATE FUNCTION cxm.risk_difference(events_a bigint[], n_a bigint[], events_b bigint[], n_b bigint[],
    OUT strata bigint, OUT share_a double precision, OUT share_b double precision, OUT difference double precision,
    OUT standard_error double precision, OUT lower double precision, OUT upper double precision)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    z CONSTANT double precision NOT NULL := 1.959963984540054;    -- 97.5 % of the normal distribution
    low double precision;
    high double precision;
    middle double precision;
BEGIN
    IF cardinality(events_a) IS DISTINCT FROM cardinality(n_a) OR cardinality(n_a) IS DISTINCT FROM cardinality(events_b)
       OR cardinality(events_b) IS DISTINCT FROM cardinality(n_b) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'the strata of the two groups differ in number',
            HINT = 'Give four arrays of the same length, an element a stratum.';
    END IF;
    IF EXISTS (SELECT FROM unnest(events_a, n_a, events_b, n_b) AS u(xa, na, xb, nb)
               WHERE (u.xa BETWEEN 0 AND u.na) IS NOT TRUE OR (u.xb BETWEEN 0 AND u.nb) IS NOT TRUE) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a stratum has more events than cases, or a negative or missing number';
    END IF;

    -- the estimate, and its variance by Sato, Greenland and Robins (1989, Biometrics 45:1323-1324)
    SELECT count(*), sum(w * xa / na) / sum(w), sum(w * xb / nb) / sum(w), (sum(w * xa / na) - sum(w * xb / nb)) / sum(w),
           sqrt(greatest(0, (sum(w * xa / na) - sum(w * xb / nb)) / sum(w)
                            * sum((xb * na * na - xa * nb * nb + na * nb * (nb - na) / 2) / ((na + nb) * (na + nb)))
                            + sum((xa * (nb - xb) + xb * (na - xa)) / (2 * (na + nb))))) / sum(w)
    INTO strata, share_a, share_b, difference, standard_error
    FROM (
        SELECT u.xa::double precision, u.na::double precision, u.xb::double precision, u.nb::double precision,
               u.na::double precision * u.nb / (u.na + u.nb) AS w
        FROM unnest(events_a, n_a, events_b, n_b) AS u(xa, na, xb, nb)
        WHERE u.na > 0 AND u.nb > 0
    ) AS s;
    IF strata = 0 THEN
        RETURN;
    END IF;

    -- the statistic falls from end to end, and is 0 at the estimate
    low := -1;
    high := difference;
    WHILE high - low > 1e-12 LOOP
        middle := (low + high) / 2;
        IF cxm.risk_difference_z(events_a, n_a, events_b, n_b, middle) > z THEN
            low := middle;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    lower := low;
    low := difference;
    high := 1;
    WHILE high - low > 1e-12 LOOP
        middle := (low + high) / 2;
        IF cxm.risk_difference_z(events_a, n_a, events_b, n_b, middle) < -z THEN
            high := middle;
        ELSE
            low := middle;
        END IF;
    END LOOP;
    upper := high;
END
$$;

COMMENT ON FUNCTION cxm.risk_difference(bigint[], bigint[], bigint[], bigint[]) IS
'How much greater the share of events is in group a than in group b, over strata: an element of each array is a stratum, with events out of n cases. strata: those with cases in both groups, all others are left out; share_a, share_b (0 to 1): the shares, strata weighted by n_a * n_b / (n_a + n_b) (Mantel and Haenszel); difference (-1 to 1): share_a less share_b; standard_error after Sato, Greenland and Robins (1989), right for many small strata and for few large ones; lower, upper: the 95 % confidence interval of the difference by the score method of Miettinen and Nurminen (1985) with the same weights, which has a width even where all or none of a group have the event. All but strata are NULL when no stratum is left. Error 22023: arrays of different length, or events that are not 0 to n.';
