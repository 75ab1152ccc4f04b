-- The scorecard: every measure by period and dimension, with how certain it is, what it was before, and what it is to be.

---- What the parts share

CREATE FUNCTION cxm.scorecard_start(number integer, bucket text, zone text, week_start integer) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- the tables hold nothing earlier, and dates do not go far beyond
    SELECT CASE WHEN number > cxm.period_number('4000-01-01 00:00+00 BC', bucket, zone, week_start)
                THEN cxm.period_start(number, bucket, zone, week_start) ELSE '-infinity' END;
$$;

COMMENT ON FUNCTION cxm.scorecard_start(integer, text, text, integer) IS
'From when on a scorecard reads records whose first period has this number (cxm.period_number): -infinity for NULL and for periods before the first that records can lie in.';

CREATE FUNCTION cxm.scorecard_scores(
    bucket text,
    dimension text,
    zone text,
    week_start integer,
    rolling integer,
    first_number integer,
    last_number integer,
    read_to timestamptz,
    confidence double precision,
    measures text[])
RETURNS TABLE (
    measure text,
    unit text,
    number integer,
    id integer,
    n bigint,
    value double precision,
    lower double precision,
    upper double precision,
    previous_n bigint,
    previous double precision,
    p_value double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 1000
SET search_path = pg_catalog, pg_temp
-- what to read depends on the arguments, and compiling it takes longer than most of it runs
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    v_from CONSTANT timestamptz NOT NULL := cxm.scorecard_start(first_number - 2 * rolling + 1, bucket, zone, week_start);
BEGIN
    RETURN QUERY
    WITH counted AS MATERIALIZED (
        SELECT f.metric, f.scale_min, f.scale_max, cxm.period_number(f.occurred_at, bucket, zone, week_start) AS number,
               CASE dimension WHEN 'touchpoint' THEN f.touchpoint_id WHEN 'location' THEN f.location_id WHEN 'product' THEN f.product_id WHEN 'employee' THEN f.employee_id END AS id,
               cxm.ratings_agg(f.score, f.scale_min, f.scale_max) AS ratings
        FROM cx.feedback AS f
        WHERE f.metric = ANY (measures)
          AND f.score IS NOT NULL
          AND f.occurred_at >= v_from
          AND f.occurred_at < read_to
          AND CASE dimension WHEN 'touchpoint' THEN f.touchpoint_id IS NOT NULL WHEN 'location' THEN f.location_id IS NOT NULL
                             WHEN 'product' THEN f.product_id IS NOT NULL WHEN 'employee' THEN f.employee_id IS NOT NULL ELSE true END
        GROUP BY 1, 2, 3, 4, 5
    ), usual AS (
        SELECT m.metric, m.family, c.number, c.id, c.ratings
        FROM counted AS c
        JOIN cx.metric AS m ON m.metric = c.metric AND m.scale_min = c.scale_min AND m.scale_max = c.scale_max
    ), spread AS (
        -- a window has a row where the last of its periods has no answers, too
        SELECT s.metric, s.family, s.number, s.id, cxm.rollup(s.ratings) AS ratings
        FROM (
            SELECT u.metric, u.family, u.number, u.id, u.ratings FROM usual AS u
            UNION ALL
            SELECT u.metric, u.family, u.number + later.j, u.id, NULL FROM usual AS u CROSS JOIN generate_series(1, rolling - 1) AS later (j) WHERE u.number + later.j <= last_number
        ) AS s
        GROUP BY s.metric, s.family, s.number, s.id
    ), windowed AS (
        SELECT s.metric, s.family, s.number, s.id,
               cxm.rollup(s.ratings) OVER (own RANGE BETWEEN rolling - 1 PRECEDING AND CURRENT ROW) AS ratings,
               cxm.rollup(s.ratings) OVER (own RANGE BETWEEN 2 * rolling - 1 PRECEDING AND rolling PRECEDING) AS ratings_before
        FROM spread AS s
        WINDOW own AS (PARTITION BY s.metric, s.family, s.id ORDER BY s.number)
    )
    SELECT w.metric, CASE w.family WHEN 'nps' THEN 'points' WHEN 'csat' THEN 'percent' ELSE 'mean' END, w.number, w.id,
           cxm.count(w.ratings), cxm.score_of(w.family, w.ratings), i.lower, i.upper,
           cxm.count(w.ratings_before), CASE WHEN cxm.count(w.ratings_before) > 0 THEN cxm.score_of(w.family, w.ratings_before) END,
           CASE WHEN cxm.count(w.ratings_before) > 0 THEN cxm.score_test(w.family, w.ratings, w.ratings_before) END
    FROM windowed AS w
    CROSS JOIN LATERAL cxm.score_interval(w.family, w.ratings, confidence) AS i
    WHERE first_number IS NULL OR w.number >= first_number;
END
$$;

COMMENT ON FUNCTION cxm.scorecard_scores(text, text, text, integer, integer, integer, integer, timestamptz, double precision, text[]) IS
'Part of cxm.scorecard(): the metrics (measures), from answers on their usual scale. number: of the period (cxm.period_number), from first_number on (NULL: from the first answer); windows without an answer in their last period end at last_number. id: of the dimension''s catalogue. Nothing from read_to on is read.';

---- The scorecard

CREATE FUNCTION cxm.scorecard(
    bucket text DEFAULT 'month',
    dimension text DEFAULT NULL,
    from_time timestamptz DEFAULT NULL,
    to_time timestamptz DEFAULT NULL,
    rolling integer DEFAULT 1,
    measures text[] DEFAULT NULL,
    confidence double precision DEFAULT 0.95,
    zone text DEFAULT NULL,
    week_start integer DEFAULT NULL)
RETURNS TABLE (
    period date,
    starts_at timestamptz,
    ends_at timestamptz,
    complete boolean,
    key text,
    measure text,
    unit text,
    n bigint,
    value double precision,
    lower double precision,
    upper double precision,
    previous_n bigint,
    previous double precision,
    change double precision,
    p_value double precision,
    significant boolean,
    goal text,
    target double precision,
    goal_met boolean,
    benchmark double precision,
    benchmark_source text,
    benchmark_as_of date,
    owner text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 1000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    v_metrics text[];
    v_unknown text;
    v_read_to CONSTANT timestamptz NOT NULL := coalesce(to_time, 'infinity');
    v_first integer;
    v_last integer;
BEGIN
    PERFORM cxm.store_version();
    IF bucket IS NULL OR bucket NOT IN ('day', 'week', 'month', 'quarter', 'year') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('bucket must be day, week, month, quarter or year, not %s', coalesce('"' || left(bucket, 100) || '"', 'NULL'));
    ELSIF dimension NOT IN ('touchpoint', 'location', 'product', 'employee') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('dimension must be touchpoint, location, product or employee, not "%s"', left(dimension, 100)),
            HINT = 'Leave it out for all records together.';
    ELSIF (rolling BETWEEN 1 AND 400) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('rolling must be a number of periods from 1 to 400, not %s', coalesce(rolling::text, 'NULL')),
            HINT = 'With 1 each row is about its own period alone.';
    ELSIF (confidence > 0 AND confidence < 1) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('confidence %s is not between 0 and 1', coalesce(confidence::text, 'NULL')),
            HINT = 'Use 0.95 for a 95 % interval.';
    END IF;
    zone := coalesce(zone, (SELECT s.time_zone FROM cx.store AS s));
    week_start := cxm.check_week_start(coalesce(week_start, (SELECT s.week_start FROM cx.store AS s)));
    SELECT array_agg(m.metric) INTO v_metrics FROM cx.metric AS m WHERE measures IS NULL OR m.metric = ANY (measures);
    SELECT u.measure INTO v_unknown FROM unnest(measures) AS u (measure) WHERE u.measure <> ALL (coalesce(v_metrics, '{}')) IS NOT FALSE LIMIT 1;
    IF FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('measure %s does not exist', coalesce('"' || left(v_unknown, 100) || '"', 'NULL')),
            DETAIL = format('The metrics are %s.', cxm.metric_names());
    END IF;

    -- a wrong zone is an error on an empty store, too
    v_last := cxm.period_number(now(), bucket, zone, week_start);
    IF v_read_to <= '4000-01-01 00:00+00 BC' THEN
        RETURN;
    ELSIF isfinite(to_time) THEN
        v_last := least(v_last, cxm.period_number(to_time - interval '1 microsecond', bucket, zone, week_start));
    END IF;
    IF from_time > '4000-01-01 00:00+00 BC' THEN
        IF NOT isfinite(from_time) THEN
            RETURN;
        END IF;
        v_first := cxm.period_number(from_time, bucket, zone, week_start);
    END IF;

    RETURN QUERY
    WITH figure AS (
        SELECT f.* FROM cxm.scorecard_scores(bucket, dimension, zone, week_start, rolling, v_first, v_last, v_read_to, confidence, v_metrics) AS f
        WHERE v_metrics IS NOT NULL
    ), placed AS (
        SELECT f.*, (p.begins_at AT TIME ZONE zone)::date AS period, p.begins_at, p.starts_at, p.ends_at, p.ends_at <= least(now(), v_read_to) AS complete,
               (least(p.ends_at, v_read_to) - interval '1 microsecond') AT TIME ZONE zone AS last_time
        FROM figure AS f
        CROSS JOIN LATERAL (
            SELECT cxm.period_start(f.number, bucket, zone, week_start) AS begins_at,
                   cxm.period_start(f.number - rolling + 1, bucket, zone, week_start) AS starts_at,
                   cxm.period_start(f.number + 1, bucket, zone, week_start) AS ends_at) AS p
    )
    SELECT
        f.period,
        f.starts_at,
        f.ends_at,
        f.complete,
        CASE dimension
            WHEN 'touchpoint' THEN (SELECT k.key FROM cx.touchpoint AS k WHERE k.touchpoint_id = f.id)
            WHEN 'location' THEN (SELECT k.key FROM cx.location AS k WHERE k.location_id = f.id)
            WHEN 'product' THEN (SELECT k.key FROM cx.product AS k WHERE k.product_id = f.id)
            WHEN 'employee' THEN (SELECT k.key FROM cx.employee AS k WHERE k.employee_id = f.id)
        END AS key,
        f.measure,
        f.unit,
        f.n,
        f.value,
        f.lower,
        f.upper,
        f.previous_n,
        f.previous,
        CASE WHEN f.complete THEN f.value - f.previous END,
        CASE WHEN f.complete THEN f.p_value END,
        CASE WHEN f.complete THEN f.p_value < 1 - confidence END,
        g.name,
        g.target,
        CASE g.direction WHEN 'at_least' THEN f.value >= g.target ELSE f.value <= g.target END,
        b.value,
        b.source,
        b.as_of,
        g.owner
    FROM placed AS f
    LEFT JOIN LATERAL (
        -- of several the one that is due next, as it stood when the period ended
        SELECT o.name, o.direction, v.target, v.owner
        FROM cx.goal AS o
        JOIN LATERAL (
            SELECT h.* FROM cx.goal_version AS h WHERE h.goal_id = o.goal_id
            ORDER BY (h.changed_at < f.ends_at) DESC, CASE WHEN h.changed_at < f.ends_at THEN -h.version ELSE h.version END
            LIMIT 1
        ) AS v ON true
        WHERE o.metric = f.measure
          AND o.touchpoint_id IS NOT DISTINCT FROM CASE dimension WHEN 'touchpoint' THEN f.id END
          AND o.location_id IS NOT DISTINCT FROM CASE dimension WHEN 'location' THEN f.id END
          AND o.product_id IS NOT DISTINCT FROM CASE dimension WHEN 'product' THEN f.id END
          AND o.employee_id IS NOT DISTINCT FROM CASE dimension WHEN 'employee' THEN f.id END
          AND o.starts_on <= f.last_time::date AND v.due_on >= f.period AND v.closed_at IS NULL
        ORDER BY v.due_on, o.goal_id
        LIMIT 1
    ) AS g ON true
    LEFT JOIN LATERAL (
        SELECT o.value, o.source, o.as_of
        FROM cx.benchmark AS o
        WHERE o.metric = f.measure
          AND o.touchpoint_id IS NOT DISTINCT FROM CASE dimension WHEN 'touchpoint' THEN f.id END
          AND o.location_id IS NOT DISTINCT FROM CASE dimension WHEN 'location' THEN f.id END
          AND o.product_id IS NOT DISTINCT FROM CASE dimension WHEN 'product' THEN f.id END
          AND o.employee_id IS NOT DISTINCT FROM CASE dimension WHEN 'employee' THEN f.id END
          AND o.as_of <= f.last_time::date
        ORDER BY o.as_of DESC, o.segment, o.source
        LIMIT 1
    ) AS b ON true
    ORDER BY f.number, 5, f.measure, f.unit;
END
$$;

COMMENT ON FUNCTION cxm.scorecard(text, text, timestamptz, timestamptz, integer, text[], double precision, text, integer) IS
'Measures by period and dimension, a row each, oldest first: how much, how certain, what it was before, whether that is more than chance, what it is to be, and what others have.
bucket: day, week, month, quarter or year, cut in zone with weeks from week_start (NULL: those of cx.store). dimension: touchpoint, location, product or employee (then key is its key, and records that name none do not count); NULL: all records, key NULL. from_time: the first period shown is the one that it lies in, whole; to_time: nothing from then on is read; NULL: no bound. rolling: a row covers this many periods, those that end with its own, and has starts_at moved back. measures: only these, the others cost nothing; NULL: all. confidence: of intervals; a change is significant when p_value is below 1 - confidence.
Columns: period: first day of the period; starts_at, ends_at: what the row covers; complete: whether that is over, now and at to_time; measure, unit; n: what the value rests on; value with lower and upper, NULL where none can be told; previous_n, previous: of as many periods right before starts_at, NULL without data; change: value less previous, with p_value and significant, NULL for a row that is not complete or has nothing before; goal, target, owner: the goal (cx.goal) of that measure and key in force in the period, of several the one due first, by its version at the end; goal_met: whether value reaches the target; benchmark: the newest (cx.benchmark) as of the end of the period, with source and day. A period without data has no row.
Measures: every metric of cx.metric under its own name, answers on its usual scale alone: NPS in points with its adjusted Wald interval and test, CSAT in percent with Wilson''s and a test of two proportions, others their mean with Student''s t and Welch''s test.
Errors: 22023 another bucket, dimension, rolling, confidence, zone or week_start; 42704 an unknown measure.';
