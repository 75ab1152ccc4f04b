-- The overall rating: a weighted index of measures of the scorecard, by versions.

CREATE FUNCTION cxm.keep_overall_rating() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE object_not_in_prerequisite_state USING
        MESSAGE = 'a version of the overall rating never changes',
        HINT = 'Set another one with cxm.set_overall_rating().';
END
$$;

COMMENT ON FUNCTION cxm.keep_overall_rating() IS
'Trigger on cx.overall_rating_version and cx.overall_rating_part: error 55000 on UPDATE and DELETE, for what was once reported stays explained.';

CREATE FUNCTION cxm.add_overall_rating_triggers() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['overall_rating_version', 'overall_rating_part'] LOOP
        IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = format('cx.%I', v_table)::regclass AND t.tgname = v_table || '_keep') THEN
            EXECUTE format('CREATE TRIGGER %1$I BEFORE UPDATE OR DELETE ON cx.%2$I FOR EACH STATEMENT EXECUTE FUNCTION cxm.keep_overall_rating()',
                           v_table || '_keep', v_table);
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.add_overall_rating_triggers() IS 'Gives the tables of the overall rating their triggers back where they have lost them.';

CREATE FUNCTION cxm.set_overall_rating(parts jsonb, reason text, min_weight double precision DEFAULT 0.5) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_part record;
    v_weight double precision;
    v_worst double precision;
    v_best double precision;
    v_version integer;
BEGIN
    PERFORM cxm.store_version();
    IF jsonb_typeof(parts) IS DISTINCT FROM 'object' OR parts = '{}' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the parts of the overall rating must be an object, not %s', coalesce(left(parts::text, 100), 'NULL')),
            HINT = 'Give {"nps": {"weight": 3, "worst": -100, "best": 100}, ...}.';
    ELSIF coalesce(reason, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'the overall rating is not set without a reason',
            HINT = 'Say why; it is kept with the version.';
    ELSIF (min_weight > 0 AND min_weight <= 1) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('min_weight %s is no share of the weight', coalesce(min_weight::text, 'NULL')),
            HINT = 'It is above 0 and at most 1.';
    END IF;
    FOR v_part IN SELECT p.key AS measure, p.value AS said FROM jsonb_each(parts) AS p LOOP
        -- knows what it measures, and has nothing to say of the end of time
        PERFORM FROM cxm.scorecard(from_time => 'infinity', measures => ARRAY[v_part.measure]);
        v_weight := cxm.rating_number(v_part.measure, v_part.said, 'weight');
        v_worst := cxm.rating_number(v_part.measure, v_part.said, 'worst');
        v_best := cxm.rating_number(v_part.measure, v_part.said, 'best');
        IF NOT v_weight > 0 THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('weight %s of "%s" is not above zero', v_weight, v_part.measure),
                HINT = 'Leave out a measure that is not to count.';
        ELSIF v_worst = v_best THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('worst and best of "%s" are both %s', v_part.measure, v_best),
                HINT = 'worst gives 0 points, best 100.';
        END IF;
    END LOOP;

    -- one at a time, so that versions have no gaps and no two are the same; and by the clock, for a transaction that
    -- began before the one that set the version before would date its own back to then
    LOCK TABLE cx.overall_rating_version IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO cx.overall_rating_version (version, min_weight, reason, set_at)
    SELECT coalesce(max(v.version), 0) + 1, min_weight, reason, clock_timestamp() FROM cx.overall_rating_version AS v
    RETURNING version INTO v_version;
    INSERT INTO cx.overall_rating_part (version, measure, unit, weight, worst, best)
    SELECT v_version, p.key, p.value ->> 'unit', (p.value ->> 'weight')::double precision, (p.value ->> 'worst')::double precision, (p.value ->> 'best')::double precision
    FROM jsonb_each(parts) AS p;
    RETURN v_version;
END
$$;

COMMENT ON FUNCTION cxm.set_overall_rating(jsonb, text, double precision) IS
'Sets what the overall rating is made of, from now on: {"measure": {"weight": above zero, "worst": value that gives 0 points, "best": value that gives 100}, ...}, with measures of the scorecard; best below worst where less is better; "unit": "EUR" beside them for a measure that comes in several units, which is missing without. min_weight: share of the weight (above 0, at most 1) whose parts must be there for a rating. Returns the number of the version; earlier ones stay and go on rating their time. Errors: no object, a field that is missing, unknown or no finite number, a weight that is not above zero, worst the same as best, no reason, min_weight out of range (22023), an unknown measure (42704).';

CREATE FUNCTION cxm.rating_number(measure text, part jsonb, field text) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(part) IS DISTINCT FROM 'object' OR part - '{weight,worst,best,unit}'::text[] <> '{}'
       OR jsonb_typeof(part -> field) IS DISTINCT FROM 'number' OR jsonb_typeof(coalesce(part -> 'unit', '""')) <> 'string' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('part "%s" of the overall rating must be {"weight": ..., "worst": ..., "best": ...}, not %s', left(measure, 100), coalesce(left(part::text, 100), 'NULL')),
            HINT = 'The three are numbers; "unit", a text, is for a measure that comes in several, such as money in several currencies.';
    ELSIF abs((part ->> field)::numeric) > 1e100 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s of "%s" is out of range', field, left(measure, 100)),
            HINT = 'Numbers go from -1e100 to 1e100.';
    END IF;
    RETURN part ->> field;
END
$$;

COMMENT ON FUNCTION cxm.rating_number(text, jsonb, text) IS
'A number of a part of the overall rating, which has weight, worst and best, numbers, and may have unit, a text, and nothing else; error 22023 otherwise.';

CREATE FUNCTION cxm.overall_rating_parts(
    bucket text DEFAULT 'month',
    dimension text DEFAULT NULL,
    from_time timestamptz DEFAULT NULL,
    to_time timestamptz DEFAULT NULL,
    rolling integer DEFAULT 1,
    version integer DEFAULT NULL,
    confidence double precision DEFAULT 0.95,
    zone text DEFAULT NULL,
    week_start integer DEFAULT NULL)
RETURNS TABLE (
    period date,
    starts_at timestamptz,
    ends_at timestamptz,
    complete boolean,
    key text,
    rating_version integer,
    measure text,
    unit text,
    n bigint,
    value double precision,
    worst double precision,
    best double precision,
    points double precision,
    points_lower double precision,
    points_upper double precision,
    weight double precision,
    share double precision,
    contribution double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.store_version();
    IF overall_rating_parts.version IS NOT NULL AND NOT EXISTS (SELECT FROM cx.overall_rating_version AS v WHERE v.version = overall_rating_parts.version) THEN
        RAISE undefined_object USING
            MESSAGE = format('version %s of the overall rating does not exist', overall_rating_parts.version),
            HINT = 'The versions are in cx.overall_rating_version.';
    END IF;
    RETURN QUERY
    WITH scored AS MATERIALIZED (
        SELECT s.*
        FROM cxm.scorecard(bucket, dimension, from_time, to_time, rolling,
                           ARRAY(SELECT DISTINCT p.measure FROM cx.overall_rating_part AS p
                                 WHERE overall_rating_parts.version IS NULL OR p.version = overall_rating_parts.version ORDER BY 1),
                           confidence, zone, week_start) AS s
    ), rated AS (
        -- by the version that held when the period ended; before there was one, by the first
        SELECT q.*, coalesce(overall_rating_parts.version,
                             (SELECT v.version FROM cx.overall_rating_version AS v
                              ORDER BY v.set_at < q.ends_at DESC, abs(extract(epoch FROM v.set_at - q.ends_at)),
                                       CASE WHEN v.set_at < q.ends_at THEN -v.version ELSE v.version END LIMIT 1)) AS rating_version
        FROM (SELECT DISTINCT s.period, s.starts_at, s.ends_at, s.complete, s.key FROM scored AS s) AS q
    ), pointed AS (
        SELECT r.*, p.measure, coalesce(s.unit, p.unit) AS unit, s.n, s.value, p.worst, p.best, p.weight,
               cxm.rating_points(s.value, p.worst, p.best) AS points,
               cxm.rating_points(CASE WHEN p.best > p.worst THEN s.lower ELSE s.upper END, p.worst, p.best) AS points_lower,
               cxm.rating_points(CASE WHEN p.best > p.worst THEN s.upper ELSE s.lower END, p.worst, p.best) AS points_upper
        FROM rated AS r
        JOIN cx.overall_rating_part AS p ON p.version = r.rating_version
        LEFT JOIN (SELECT c.*, count(*) OVER (PARTITION BY c.period, c.key, c.measure) AS units FROM scored AS c) AS s
               ON s.period = r.period AND s.key IS NOT DISTINCT FROM r.key AND s.measure = p.measure AND (s.unit = p.unit OR (p.unit IS NULL AND s.units = 1))
    ), shared AS (
        SELECT p.*, CASE WHEN p.points IS NOT NULL
                         THEN p.weight / sum(p.weight) FILTER (WHERE p.points IS NOT NULL) OVER (PARTITION BY p.period, p.key) END AS share
        FROM pointed AS p
    )
    SELECT s.period, s.starts_at, s.ends_at, s.complete, s.key, s.rating_version, s.measure::text, s.unit, s.n, s.value, s.worst, s.best,
           s.points, s.points_lower, s.points_upper, s.weight, s.share, s.points * s.share
    FROM shared AS s;
END
$$;

COMMENT ON FUNCTION cxm.overall_rating_parts(text, text, timestamptz, timestamptz, integer, integer, double precision, text, integer) IS
'The parts of the overall rating: a row for each period and key of cxm.scorecard(), whose arguments these are, and each measure of the version that held when the period ended (before there was one, the first), or of the version given. value: the measure, n of them; points: what it gives between worst and best, 0 to 100, with the ends of its interval; weight as set; share: its weight among the parts that are there, 0 to 1; contribution: points times share, which add up to the rating. A part that is missing has NULL value, points, share and contribution, and its weight is shared out among the others. Errors: an unknown version (42704), and those of cxm.scorecard().';

CREATE FUNCTION cxm.overall_rating(
    bucket text DEFAULT 'month',
    dimension text DEFAULT NULL,
    from_time timestamptz DEFAULT NULL,
    to_time timestamptz DEFAULT NULL,
    rolling integer DEFAULT 1,
    version integer DEFAULT NULL,
    confidence double precision DEFAULT 0.95,
    zone text DEFAULT NULL,
    week_start integer DEFAULT NULL)
RETURNS TABLE (
    period date,
    starts_at timestamptz,
    ends_at timestamptz,
    complete boolean,
    key text,
    rating_version integer,
    rating double precision,
    lower double precision,
    upper double precision,
    weight_present double precision,
    parts integer,
    missing text,
    previous double precision,
    change double precision,
    change_lower double precision,
    change_upper double precision,
    significant boolean)
LANGUAGE sql STABLE PARALLEL SAFE
ROWS 200
SET search_path = pg_catalog, pg_temp
AS $$
    WITH rated AS MATERIALIZED (
        SELECT p.period, p.starts_at, p.ends_at, p.complete, p.key, p.rating_version,
               count(p.points)::integer AS parts,
               string_agg(p.measure, ', ' ORDER BY p.measure) FILTER (WHERE p.points IS NULL) AS missing,
               cxm.weighted_rating(array_agg(p.weight ORDER BY p.measure), array_agg(p.points ORDER BY p.measure),
                                   array_agg(p.points_lower ORDER BY p.measure), array_agg(p.points_upper ORDER BY p.measure)) AS r
        -- from one window earlier, which the first ones shown are compared with
        FROM cxm.overall_rating_parts(bucket, dimension,
                                      CASE WHEN isfinite(from_time) AND bucket IN ('day', 'week', 'month', 'quarter', 'year') AND rolling BETWEEN 1 AND 400
                                           THEN (SELECT cxm.scorecard_start(cxm.period_number(from_time, bucket, z.zone, z.week_start) - rolling, bucket, z.zone, z.week_start)
                                                 FROM (SELECT coalesce(zone, s.time_zone) AS zone, cxm.check_week_start(coalesce(week_start, s.week_start)) AS week_start FROM cx.store AS s) AS z)
                                           ELSE from_time END,
                                      to_time, rolling, version, confidence, zone, week_start) AS p
        GROUP BY 1, 2, 3, 4, 5, 6
    ), held AS (
        SELECT r.period, r.starts_at, r.ends_at, r.complete, r.key, r.rating_version, r.parts, r.missing, (r.r).weight_present,
               CASE WHEN (r.r).weight_present >= v.min_weight THEN (r.r).rating END AS rating,
               CASE WHEN (r.r).weight_present >= v.min_weight THEN (r.r).rating_lower END AS lower,
               CASE WHEN (r.r).weight_present >= v.min_weight THEN (r.r).rating_upper END AS upper
        FROM rated AS r
        JOIN cx.overall_rating_version AS v ON v.version = r.rating_version
    ), compared AS (
        SELECT h.*, b.rating AS previous, h.rating - b.rating AS change,
               h.rating - b.rating - sqrt((h.rating - h.lower) ^ 2 + (b.upper - b.rating) ^ 2) AS change_lower,
               h.rating - b.rating + sqrt((h.upper - h.rating) ^ 2 + (b.rating - b.lower) ^ 2) AS change_upper
        FROM held AS h
        -- the same parts of the same version, of times that do not overlap: anything else would compare unlike things
        LEFT JOIN held AS b ON b.key IS NOT DISTINCT FROM h.key AND b.ends_at = h.starts_at AND b.rating_version = h.rating_version
                               AND b.missing IS NOT DISTINCT FROM h.missing AND h.complete
    )
    SELECT c.period, c.starts_at, c.ends_at, c.complete, c.key, c.rating_version, c.rating, c.lower, c.upper, c.weight_present, c.parts, c.missing,
           c.previous, c.change, c.change_lower, c.change_upper, c.change_lower > 0 OR c.change_upper < 0
    FROM compared AS c
    WHERE from_time IS NULL OR c.ends_at > from_time
    ORDER BY c.key, c.period;
$$;

COMMENT ON FUNCTION cxm.overall_rating(text, text, timestamptz, timestamptz, integer, integer, double precision, text, integer) IS
'The overall rating, 0 to 100, for each period and key of cxm.scorecard(), whose arguments these are: the weighted mean of the points of its parts, which cxm.overall_rating_parts() shows, by the version that held when the period ended, or the one given. lower, upper: by cxm.weighted_rating(), with the parts as independent of each other. weight_present: share of the weight that was there, 0 to 1; parts: how many parts were; missing: the others. A missing part does not count as zero: the others share its weight; where less than min_weight of the version is there, rating is NULL. change: against the period before that ends where this one begins, with an interval and whether that excludes 0; NULL where that one was rated by another version or lacked other parts, and in a period that is not complete. Errors: as cxm.overall_rating_parts().';
