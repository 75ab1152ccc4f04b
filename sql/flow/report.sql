-- Questions that take arguments, over the store: what a view cannot be asked.

CREATE FUNCTION cxm.nps_trend(
    bucket text,
    zone text DEFAULT NULL,
    week_start integer DEFAULT NULL,
    from_time timestamptz DEFAULT NULL,
    to_time timestamptz DEFAULT NULL,
    metric text DEFAULT 'nps')
RETURNS TABLE (
    period date,
    starts_at timestamptz,
    ends_at timestamptz,
    complete boolean,
    n bigint,
    nps double precision,
    lower double precision,
    upper double precision,
    promoters bigint,
    passives bigint,
    detractors bigint,
    change double precision,
    p_value double precision,
    significant boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_step interval;
BEGIN
    IF bucket IS NULL OR bucket NOT IN ('day', 'week', 'month') THEN
        RAISE EXCEPTION 'bucket must be day, week or month, not %', coalesce(quote_literal(bucket), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM cxm.store_version();
    zone := coalesce(zone, (SELECT s.time_zone FROM cx.store AS s));
    week_start := cxm.check_week_start(coalesce(week_start, (SELECT s.week_start FROM cx.store AS s)));
    -- a wrong zone is an error on an empty store, too
    PERFORM now() AT TIME ZONE zone, cxm.period_number(now(), 'day', zone, 1);
    v_step := ('1 ' || bucket)::interval;

    RETURN QUERY
    WITH daily AS (
        SELECT (f.occurred_at AT TIME ZONE zone)::date AS day, cxm.nps_agg(f.score) AS ratings
        FROM cx.feedback AS f
        WHERE f.metric = nps_trend.metric
          AND f.score IS NOT NULL
          AND f.scale_min = 0
          AND f.scale_max = 10
          AND f.occurred_at >= coalesce(from_time, '-infinity')
          AND f.occurred_at < coalesce(to_time, 'infinity')
        GROUP BY 1
    ), periodic AS (
        SELECT
            CASE nps_trend.bucket
                WHEN 'day' THEN d.day
                WHEN 'week' THEN d.day - (extract(isodow FROM d.day)::integer - nps_trend.week_start + 7) % 7
                ELSE d.day - extract(day FROM d.day)::integer + 1
            END AS first_day,
            cxm.rollup(d.ratings) AS ratings
        FROM daily AS d
        GROUP BY 1
    ), compared AS (
        SELECT
            c.first_day,
            c.first_day::timestamp AT TIME ZONE zone AS starts_at,
            (c.first_day + v_step) AT TIME ZONE zone AS ends_at,
            c.ratings,
            before.ratings AS ratings_before
        FROM periodic AS c
        LEFT JOIN periodic AS before ON before.first_day = (c.first_day - v_step)::date
    )
    SELECT
        c.first_day,
        c.starts_at,
        c.ends_at,
        c.ends_at <= now()
            AND c.starts_at >= coalesce(from_time, '-infinity')
            AND c.ends_at <= coalesce(to_time, 'infinity'),
        cxm.count(c.ratings),
        cxm.nps(c.ratings),
        i.lower,
        i.upper,
        cxm.promoters(c.ratings),
        cxm.passives(c.ratings),
        cxm.detractors(c.ratings),
        cxm.nps(c.ratings) - cxm.nps(c.ratings_before),
        t.p_value,
        t.p_value < 0.05
    FROM compared AS c
    CROSS JOIN LATERAL cxm.nps_interval(c.ratings) AS i
    CROSS JOIN LATERAL cxm.nps_test(c.ratings, c.ratings_before) AS t
    ORDER BY c.first_day;
END
$$;

COMMENT ON FUNCTION cxm.nps_trend(text, text, integer, timestamptz, timestamptz, text) IS
'Net Promoter Score of each day, week or month (bucket) that has answers, oldest first. zone is an IANA time zone and week_start the first day of the week (1 = Monday ... 7 = Sunday); NULL means those of cx.store. Only answers from from_time up to but not including to_time are read; NULL means no bound, and a period that a bound cuts is not complete. metric is one with the scale 0 to 10. Columns as in cx.nps_trend. Another bucket or week_start raises invalid_parameter_value (22023), as does an unknown zone.';
