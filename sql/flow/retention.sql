-- Retention, lifecycle and stickiness of the customers in the store, as rows.

---- What the reports share

-- during is a bounded range of periods, as_of a time: defaults of the store are put in here and nowhere else
CREATE FUNCTION cxm.report_periods(
    INOUT period text,
    INOUT time_zone text,
    INOUT week_start integer,
    INOUT during tstzrange,
    INOUT as_of timestamptz,
    number_of_periods integer,
    OUT first_period integer,
    OUT last_period integer)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.store_version();
    time_zone := coalesce(time_zone, (SELECT s.time_zone FROM cx.store AS s));
    week_start := cxm.check_week_start(coalesce(week_start, (SELECT s.week_start FROM cx.store AS s)));
    as_of := coalesce(as_of, now());
    IF (number_of_periods >= 0) IS NOT TRUE THEN
        RAISE EXCEPTION 'number of periods must not be negative: %', coalesce(number_of_periods::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF number_of_periods > 100000 THEN
        RAISE EXCEPTION 'a report of % periods is too long', number_of_periods
            USING ERRCODE = 'program_limit_exceeded',
                  HINT = 'Use longer periods.';
    END IF;
    IF NOT isfinite(as_of) THEN
        RAISE EXCEPTION 'as_of must be finite, not %', as_of USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- a wrong name is an error whatever the range
    last_period := cxm.period_number(as_of, coalesce(period, ''), time_zone, week_start);
    IF during IS NULL THEN
        first_period := last_period - number_of_periods;
        during := tstzrange(cxm.period_start(first_period, period, time_zone, week_start), NULL);
    ELSIF isempty(during) THEN
        first_period := last_period + 1;
    ELSIF lower_inf(during) OR NOT isfinite(lower(during)) THEN
        RAISE EXCEPTION 'the range of a report must have a beginning'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give during a lower bound, or leave it out for the last periods.';
    ELSE
        first_period := cxm.period_number(lower(during), period, time_zone, week_start);
        IF NOT upper_inf(during) AND isfinite(upper(during)) THEN
            last_period := least(last_period, cxm.period_number(
                CASE WHEN upper_inc(during) THEN upper(during) ELSE upper(during) - interval '1 microsecond' END, period, time_zone, week_start));
        END IF;
    END IF;
    IF last_period::bigint - first_period > 100000 THEN
        RAISE EXCEPTION 'a report of % periods is too long', last_period::bigint - first_period + 1
            USING ERRCODE = 'program_limit_exceeded',
                  HINT = 'Use longer periods, or a shorter range.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.report_periods(text, text, integer, tstzrange, timestamptz, integer) IS
'The periods that a report is about: its arguments with the defaults of the store put in, and the numbers (cxm.period_number) of the first and the last one, those that have not begun by as_of left out (first > last when there is none). during NULL means the period of as_of and number_of_periods before it. Error 22023: another period, zone or week start, a range without beginning, a negative number, an infinite as_of; 54000: more than 100000 periods.';

---- Retention

CREATE FUNCTION cxm.retention_counts(
    start_codes integer[],
    return_codes integer[],
    period text,
    time_zone text,
    week_start integer,
    during tstzrange,
    periods integer,
    cohorts text,
    criterion text,
    rolling interval,
    as_of timestamptz,
    breakdown text)
RETURNS TABLE (value text, cohort integer, number integer, customers bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_in_range tstzrange := CASE WHEN cohorts = 'first_in_range' THEN during ELSE '(,)' END * tstzrange(NULL, as_of, '(]');
BEGIN
    IF breakdown IS NULL THEN
        RETURN QUERY
        SELECT NULL::text, c.first, c.second, c.count
        FROM (
            SELECT cxm.count_pairs(cxm.retention_periods(j.journey, start_codes, return_codes, period, time_zone, week_start, during, periods, cohorts, criterion, rolling, as_of)) AS counts
            FROM cxm.journeys() AS j
        ) AS q
        CROSS JOIN LATERAL cxm.pair_counts(q.counts) AS c;
    ELSE
        -- each value is a world of its own, but a first start is one of them all: it counts for its value alone
        RETURN QUERY
        SELECT q.value, c.first, c.second, c.count
        FROM (
            SELECT b.value, cxm.count_pairs(cxm.retention_periods(b.journey, start_codes, return_codes, period, time_zone, week_start, during, periods, cohorts, criterion, rolling, as_of)) AS counts
            FROM (
                SELECT j.value, j.journey,
                       cohorts = 'recurring'
                       OR row_number() OVER (PARTITION BY j.profile_id ORDER BY
                              cxm.first_at(CASE WHEN start_codes IS NULL THEN cxm.slice(j.journey, v_in_range) ELSE cxm.filter_codes(cxm.slice(j.journey, v_in_range), start_codes) END),
                              j.value) = 1 AS has_start
                FROM cxm.journeys_by(breakdown, CASE WHEN start_codes IS NOT NULL AND return_codes IS NOT NULL THEN start_codes || return_codes END) AS j
            ) AS b
            WHERE b.has_start
            GROUP BY b.value
        ) AS q
        CROSS JOIN LATERAL cxm.pair_counts(q.counts) AS c;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.retention_counts(integer[], integer[], text, text, integer, tstzrange, integer, text, text, interval, timestamptz, text) IS
'What cxm.retention_report() shows, before cohorts without customers and periods without returns are filled in: the customers of a cohort (number -1) and those that came back in a period after it, by value of the breakdown. Arguments as in cxm.retention_periods() and cxm.journeys_by().';

CREATE FUNCTION cxm.retention_report(
    start_step text,
    return_step text,
    period text DEFAULT 'month',
    periods integer DEFAULT 12,
    during tstzrange DEFAULT NULL,
    time_zone text DEFAULT NULL,
    week_start integer DEFAULT NULL,
    cohorts text DEFAULT 'first_ever',
    criterion text DEFAULT 'on',
    rolling interval DEFAULT NULL,
    as_of timestamptz DEFAULT now(),
    breakdown text DEFAULT NULL)
RETURNS TABLE (
    value text,
    cohort date,
    starts_at timestamptz,
    cohort_size bigint,
    number integer,
    customers bigint,
    share double precision,
    share_of_previous double precision,
    complete boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_periods record;
BEGIN
    v_periods := cxm.report_periods(period, time_zone, week_start, during, as_of, periods);
    PERFORM cxm.check_breakdown(breakdown);

    RETURN QUERY
    WITH counted AS MATERIALIZED (
        -- values by number, since NULL is one of them
        SELECT c.*, dense_rank() OVER (ORDER BY c.value) AS group_id
        FROM cxm.retention_counts(cxm.step_codes(start_step), cxm.step_codes(return_step), v_periods.period, v_periods.time_zone, v_periods.week_start,
                                  v_periods.during, periods, cohorts, criterion, rolling, v_periods.as_of, breakdown) AS c
    ), period_of AS (
        SELECT n.number, s.starts_at, s.ends_at,
               s.starts_at >= coalesce(lower(v_periods.during), '-infinity') AND s.ends_at <= coalesce(upper(v_periods.during), 'infinity') AS whole
        FROM generate_series(v_periods.first_period, v_periods.last_period + CASE WHEN rolling IS NULL THEN periods ELSE 0 END) AS n (number)
        CROSS JOIN LATERAL (
            SELECT cxm.period_start(n.number, v_periods.period, v_periods.time_zone, v_periods.week_start) AS starts_at,
                   cxm.period_start(n.number + 1, v_periods.period, v_periods.time_zone, v_periods.week_start) AS ends_at) AS s
        WHERE s.starts_at <= v_periods.as_of
    ), cell AS (
        SELECT g.group_id, g.value, c.number AS cohort, c.starts_at, k.number, c.whole,
               CASE WHEN rolling IS NULL THEN p.starts_at ELSE c.starts_at + make_interval(secs => extract(epoch FROM rolling) * k.number) END AS begins_at,
               CASE WHEN rolling IS NULL THEN p.ends_at ELSE c.ends_at + make_interval(secs => extract(epoch FROM rolling) * (k.number + 1)) END AS ends_at
        FROM (SELECT t.group_id, t.value FROM counted AS t UNION SELECT 1, NULL WHERE breakdown IS NULL) AS g
        CROSS JOIN period_of AS c
        CROSS JOIN generate_series(0, periods) AS k (number)
        LEFT JOIN period_of AS p ON rolling IS NULL AND p.number = c.number + k.number
        WHERE c.number <= v_periods.last_period
    ), filled AS (
        SELECT c.group_id, c.value, c.cohort, c.starts_at, coalesce(s.customers, 0) AS cohort_size, c.number, coalesce(n.customers, 0) AS customers,
               c.whole AND c.ends_at <= v_periods.as_of AS complete
        FROM cell AS c
        LEFT JOIN counted AS s ON s.group_id = c.group_id AND s.cohort = c.cohort AND s.number = -1
        LEFT JOIN counted AS n ON n.group_id = c.group_id AND n.cohort = c.cohort AND n.number = c.number
        WHERE c.begins_at <= v_periods.as_of
    )
    SELECT f.value, (f.starts_at AT TIME ZONE v_periods.time_zone)::date, f.starts_at, f.cohort_size, f.number, f.customers,
           f.customers::double precision / nullif(f.cohort_size, 0),
           f.customers::double precision / nullif(lag(f.customers) OVER (PARTITION BY f.group_id, f.cohort ORDER BY f.number), 0),
           f.complete
    FROM filled AS f
    ORDER BY f.group_id, f.cohort, f.number;
END
$$;

COMMENT ON FUNCTION cxm.retention_report(text, text, text, integer, tstzrange, text, integer, text, text, interval, timestamptz, text) IS
'Of the customers who took the start step, how many took the return step so many periods later: a row a cohort (the customers who started in a period) and number of periods, 0 being the period of the start, for periods that have begun by as_of.
start_step, return_step: as cxm.journey_codes() takes them, such as purchase or view@shop; NULL = any record. They may be the same; then a start is its own return in period 0. period: hour, day, week, month, quarter or year, cut in time_zone with weeks from week_start (NULL = those of cx.store). periods: numbers 0 to this. during: starts in this range make cohorts, returns count whenever they are; NULL = the period of as_of and as many before it as periods says. cohorts: first_ever (the first start of all makes the cohort), first_in_range, or recurring (each period with a start). criterion: on (back in that period) or on_or_after (or in a later one, also beyond the last number). rolling: periods of this length from each customer''s own start instead of those of the calendar, 24 hours say. as_of: later records are not read; NULL = now. breakdown: as in cxm.journeys_by(); both records must have the same value, and a first start counts for its own value.
Columns: value of the breakdown; cohort: first day of its period; starts_at: when that began; cohort_size; number; customers who came back; share of the cohort, 0 to 1, NULL for an empty one; share_of_previous: of those who came back one period before, NULL when nobody did; complete: false while the period can still bring somebody back because it is not over (rolling: not over for the last to start), and when during cuts the cohort''s own period. Errors: 42704 unknown step; 22023 another word, zone or breakdown, or a range without beginning; 54000 more than 100000 periods.';

CREATE FUNCTION cxm.retention_curve(
    start_step text,
    return_step text,
    period text DEFAULT 'month',
    periods integer DEFAULT 12,
    during tstzrange DEFAULT NULL,
    time_zone text DEFAULT NULL,
    week_start integer DEFAULT NULL,
    cohorts text DEFAULT 'first_ever',
    criterion text DEFAULT 'on',
    rolling interval DEFAULT NULL,
    as_of timestamptz DEFAULT now(),
    breakdown text DEFAULT NULL)
RETURNS TABLE (value text, number integer, cohorts_counted bigint, cohort_size numeric, customers numeric, weighted_mean double precision, simple_mean double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT r.value, r.number, count(r.share), sum(r.cohort_size), sum(r.customers),
           (sum(r.customers) / nullif(sum(r.cohort_size), 0))::double precision, avg(r.share)
    FROM cxm.retention_report(start_step, return_step, period, periods, during, time_zone, week_start, cohorts, criterion, rolling, as_of, breakdown) AS r
    WHERE r.complete
    GROUP BY r.value, r.number
    ORDER BY r.value, r.number;
END
$$;

COMMENT ON FUNCTION cxm.retention_curve(text, text, text, integer, tstzrange, text, integer, text, text, interval, timestamptz, text) IS
'Retention over all cohorts of cxm.retention_report(), a row for each number of periods: the mean of the cohorts whose period of that number is complete. cohorts_counted: those with customers; cohort_size, customers: their sums; weighted_mean: of the shares, each cohort by its size (customers / cohort_size); simple_mean: each cohort alike. Both 0 to 1, NULL without customers. Arguments and errors as in the report.';

CREATE FUNCTION cxm.retention_customers(
    start_step text,
    return_step text,
    cohort_at timestamptz,
    number integer,
    came_back boolean DEFAULT true,
    period text DEFAULT 'month',
    during tstzrange DEFAULT NULL,
    time_zone text DEFAULT NULL,
    week_start integer DEFAULT NULL,
    cohorts text DEFAULT 'first_ever',
    criterion text DEFAULT 'on',
    rolling interval DEFAULT NULL,
    as_of timestamptz DEFAULT now())
RETURNS TABLE (profile_id bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_periods record;
    v_start_codes integer[] := cxm.step_codes(start_step);
    v_return_codes integer[] := cxm.step_codes(return_step);
    v_cohort integer;
BEGIN
    v_periods := cxm.report_periods(period, time_zone, week_start, NULL, as_of, number);
    v_cohort := cxm.period_number(cohort_at, period, v_periods.time_zone, v_periods.week_start);
    IF v_cohort IS NULL OR came_back IS NULL THEN
        RAISE EXCEPTION '% must not be NULL', CASE WHEN came_back IS NULL THEN 'came_back' ELSE 'cohort_at' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    RETURN QUERY
    SELECT r.profile_id
    FROM (
        SELECT j.profile_id, cxm.retention_periods(j.journey, v_start_codes, v_return_codes, v_periods.period, v_periods.time_zone, v_periods.week_start, during, number, cohorts, criterion, rolling, v_periods.as_of) AS pairs
        FROM cxm.journeys() AS j
        OFFSET 0
    ) AS r
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE r.pairs[i][2] = -1) > 0 AS is_in, count(*) FILTER (WHERE r.pairs[i][2] = number) > 0 AS is_back
        FROM generate_subscripts(r.pairs, 1) AS s (i)
        WHERE r.pairs[i][1] = v_cohort
    ) AS c
    WHERE c.is_in AND c.is_back = came_back
    ORDER BY r.profile_id;
END
$$;

COMMENT ON FUNCTION cxm.retention_customers(text, text, timestamptz, integer, boolean, text, tstzrange, text, integer, text, text, interval, timestamptz) IS
'Who they are, that cxm.retention_report() counts: the customers (profile_id) of one cohort who came back in the period of a number, or with came_back = false those who did not. cohort_at: any time in the period of the cohort, such as starts_at of the report. Other arguments and errors as in the report, but during NULL is all time; error 22004: cohort_at or came_back is NULL.';

---- Lifecycle

CREATE FUNCTION cxm.lifecycle_report(
    step text DEFAULT NULL,
    period text DEFAULT 'week',
    periods integer DEFAULT 12,
    during tstzrange DEFAULT NULL,
    time_zone text DEFAULT NULL,
    week_start integer DEFAULT NULL,
    as_of timestamptz DEFAULT now(),
    breakdown text DEFAULT NULL)
RETURNS TABLE (
    value text,
    period_date date,
    starts_at timestamptz,
    ends_at timestamptz,
    active bigint,
    new_customers bigint,
    returning_customers bigint,
    resurrecting_customers bigint,
    dormant_customers bigint,
    complete boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_periods record;
    v_codes integer[];
BEGIN
    v_periods := cxm.report_periods(period, time_zone, week_start, during, as_of, periods);
    PERFORM cxm.check_breakdown(breakdown);
    v_codes := cxm.step_codes(step);

    RETURN QUERY
    WITH counted AS (
        SELECT NULL::text AS value, c.first AS number, c.second AS state, c.count AS customers
        FROM (
            SELECT cxm.count_pairs(cxm.lifecycle_periods(j.journey, v_codes, v_periods.period, v_periods.time_zone, v_periods.week_start, v_periods.during, v_periods.as_of)) AS counts
            FROM cxm.journeys() AS j
            WHERE breakdown IS NULL
        ) AS q
        CROSS JOIN LATERAL cxm.pair_counts(q.counts) AS c
        UNION ALL
        SELECT q.value, c.first, c.second, c.count
        FROM (
            SELECT j.value, cxm.count_pairs(cxm.lifecycle_periods(j.journey, v_codes, v_periods.period, v_periods.time_zone, v_periods.week_start, v_periods.during, v_periods.as_of)) AS counts
            FROM cxm.journeys_by(coalesce(breakdown, 'touchpoint'), v_codes) AS j
            WHERE breakdown IS NOT NULL
            GROUP BY j.value
        ) AS q
        CROSS JOIN LATERAL cxm.pair_counts(q.counts) AS c
    ), grouped AS MATERIALIZED (
        SELECT c.*, dense_rank() OVER (ORDER BY c.value) AS group_id FROM counted AS c
    )
    SELECT w.value, (s.starts_at AT TIME ZONE v_periods.time_zone)::date, s.starts_at, s.ends_at,
           w.born + w.back + w.risen, w.born, w.back, w.risen, w.asleep, s.ends_at <= v_periods.as_of
    FROM (
        SELECT g.group_id, g.value, n.number,
               coalesce(sum(c.customers) FILTER (WHERE c.state = 0), 0)::bigint AS born,
               coalesce(sum(c.customers) FILTER (WHERE c.state = 1), 0)::bigint AS back,
               coalesce(sum(c.customers) FILTER (WHERE c.state = 2), 0)::bigint AS risen,
               coalesce(sum(c.customers) FILTER (WHERE c.state = 3), 0)::bigint AS asleep
        FROM (SELECT t.group_id, t.value FROM grouped AS t UNION SELECT 1, NULL WHERE breakdown IS NULL) AS g
        CROSS JOIN generate_series(v_periods.first_period, v_periods.last_period) AS n (number)
        LEFT JOIN grouped AS c ON c.group_id = g.group_id AND c.number = n.number
        GROUP BY g.group_id, g.value, n.number
    ) AS w
    CROSS JOIN LATERAL (
        SELECT cxm.period_start(w.number, v_periods.period, v_periods.time_zone, v_periods.week_start) AS starts_at,
               cxm.period_start(w.number + 1, v_periods.period, v_periods.time_zone, v_periods.week_start) AS ends_at) AS s
    ORDER BY w.group_id, w.number;
END
$$;

COMMENT ON FUNCTION cxm.lifecycle_report(text, text, integer, tstzrange, text, integer, timestamptz, text) IS
'How many customers are new, return, come back after a gap and fall asleep: a row a period. A customer is active in a period with a record of the step (NULL: any record); new in the first one of all; returning when also active in the period before; resurrecting when not, but earlier; dormant in a period without, right after one with. So active = new + returning + resurrecting, and dormant = active of the period before - returning. periods: how many before that of as_of, where there is no during; a period that during touches is shown whole. Columns: value of the breakdown, period_date its first day, starts_at, ends_at, the counts, complete: false while the period is not over: who is dormant in it may yet be active. breakdown: each value on its own, so a customer can be new once for each. Other arguments and errors as in cxm.retention_report().';

---- Stickiness

CREATE FUNCTION cxm.stickiness_report(
    step text DEFAULT NULL,
    period text DEFAULT 'day',
    periods integer DEFAULT 30,
    during tstzrange DEFAULT NULL,
    time_zone text DEFAULT NULL,
    week_start integer DEFAULT NULL,
    as_of timestamptz DEFAULT now(),
    breakdown text DEFAULT NULL)
RETURNS TABLE (value text, active_periods integer, customers bigint, share double precision, customers_at_least bigint, share_at_least double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_periods record;
    v_codes integer[];
BEGIN
    v_periods := cxm.report_periods(period, time_zone, week_start, during, as_of, periods);
    PERFORM cxm.check_breakdown(breakdown);
    v_codes := cxm.step_codes(step);

    RETURN QUERY
    WITH counted AS (
        SELECT NULL::text AS value, cardinality(cxm.active_periods(j.journey, v_codes, v_periods.period, v_periods.time_zone, v_periods.week_start, v_periods.during, v_periods.as_of)) AS n, count(*) AS customers
        FROM cxm.journeys() AS j
        WHERE breakdown IS NULL
        GROUP BY 2
        UNION ALL
        SELECT j.value, cardinality(cxm.active_periods(j.journey, v_codes, v_periods.period, v_periods.time_zone, v_periods.week_start, v_periods.during, v_periods.as_of)), count(*)
        FROM cxm.journeys_by(coalesce(breakdown, 'touchpoint'), v_codes) AS j
        WHERE breakdown IS NOT NULL
        GROUP BY 1, 2
    ), grouped AS MATERIALIZED (
        SELECT c.*, dense_rank() OVER (ORDER BY c.value) AS group_id FROM counted AS c
    ), filled AS (
        SELECT g.group_id, g.value, n.n, coalesce(c.customers, 0) AS customers,
               sum(coalesce(c.customers, 0)) OVER (PARTITION BY g.group_id ORDER BY n.n DESC) AS at_least,
               sum(coalesce(c.customers, 0)) OVER (PARTITION BY g.group_id) AS all_of_them
        FROM (SELECT t.group_id, t.value FROM grouped AS t UNION SELECT 1, NULL WHERE breakdown IS NULL) AS g
        CROSS JOIN generate_series(1, v_periods.last_period - v_periods.first_period + 1) AS n (n)
        LEFT JOIN grouped AS c ON c.group_id = g.group_id AND c.n = n.n
    )
    SELECT f.value, f.n, f.customers, (f.customers / nullif(f.all_of_them, 0))::double precision, f.at_least::bigint, (f.at_least / nullif(f.all_of_them, 0))::double precision
    FROM filled AS f
    ORDER BY f.group_id, f.n;
END
$$;

COMMENT ON FUNCTION cxm.stickiness_report(text, text, integer, tstzrange, text, integer, timestamptz, text) IS
'In how many periods of a range customers were active: a row for each number from 1 to that of all periods that have begun. Only records of the step (NULL: any) inside of during count, and only customers who have one. Columns: value of the breakdown; active_periods; customers active in just so many, and their share of all who were active, 0 to 1; customers_at_least: in so many or more, and their share. The range is the period of as_of and so many periods before it, where there is no during. Other arguments and errors as in cxm.retention_report().';

CREATE FUNCTION cxm.activity_report(
    step text DEFAULT NULL,
    inner_period text DEFAULT 'day',
    outer_period text DEFAULT 'month',
    periods integer DEFAULT 12,
    during tstzrange DEFAULT NULL,
    time_zone text DEFAULT NULL,
    week_start integer DEFAULT NULL,
    as_of timestamptz DEFAULT now())
RETURNS TABLE (period_date date, starts_at timestamptz, ends_at timestamptz, active bigint, mean_active double precision, ratio double precision, complete boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_periods record;
    v_codes integer[];
    v_whole tstzrange;
BEGIN
    v_periods := cxm.report_periods(outer_period, time_zone, week_start, during, as_of, periods);
    v_codes := cxm.step_codes(step);
    IF (inner_period, outer_period) NOT IN (VALUES ('hour', 'day'), ('hour', 'week'), ('hour', 'month'), ('hour', 'quarter'), ('hour', 'year'),
                                                   ('day', 'week'), ('day', 'month'), ('day', 'quarter'), ('day', 'year'),
                                                   ('month', 'quarter'), ('month', 'year'), ('quarter', 'year')) IS NOT FALSE THEN
        RAISE EXCEPTION 'a % does not consist of whole %s', outer_period, coalesce(inner_period, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Compare hours or days with weeks, months, quarters or years; months with quarters or years.';
    END IF;
    IF v_periods.first_period > v_periods.last_period THEN
        RETURN;
    END IF;
    v_whole := tstzrange(cxm.period_start(v_periods.first_period, outer_period, v_periods.time_zone, v_periods.week_start),
                         cxm.period_start(v_periods.last_period + 1, outer_period, v_periods.time_zone, v_periods.week_start));

    RETURN QUERY
    WITH counted AS MATERIALIZED (
        SELECT cxm.count_pairs(cxm.active_periods(j.journey, v_codes, outer_period, v_periods.time_zone, v_periods.week_start, v_whole, v_periods.as_of)) AS whole,
               cxm.count_pairs(cxm.active_periods(j.journey, v_codes, inner_period, v_periods.time_zone, v_periods.week_start, v_whole, v_periods.as_of)) AS parts
        FROM cxm.journeys() AS j
    ), part AS (
        SELECT cxm.period_number(cxm.period_start(c.first, inner_period, v_periods.time_zone, v_periods.week_start), outer_period, v_periods.time_zone, v_periods.week_start) AS number, sum(c.count) AS customers
        FROM counted AS q
        CROSS JOIN LATERAL cxm.pair_counts(q.parts) AS c
        GROUP BY 1
    )
    SELECT (s.starts_at AT TIME ZONE v_periods.time_zone)::date, s.starts_at, s.ends_at, coalesce(w.count, 0),
           m.mean_active, m.mean_active / nullif(w.count, 0), s.ends_at <= v_periods.as_of
    FROM generate_series(v_periods.first_period, v_periods.last_period) AS n (number)
    CROSS JOIN LATERAL (
        SELECT cxm.period_start(n.number, outer_period, v_periods.time_zone, v_periods.week_start) AS starts_at,
               cxm.period_start(n.number + 1, outer_period, v_periods.time_zone, v_periods.week_start) AS ends_at) AS s
    LEFT JOIN (SELECT c.first, c.count FROM counted AS q CROSS JOIN LATERAL cxm.pair_counts(q.whole) AS c) AS w ON w.first = n.number
    LEFT JOIN part AS p ON p.number = n.number
    CROSS JOIN LATERAL (
        -- parts that have begun, the last of the period or that of as_of included
        SELECT (coalesce(p.customers, 0)
                / (cxm.period_number(least(s.ends_at - interval '1 microsecond', v_periods.as_of), inner_period, v_periods.time_zone, v_periods.week_start)
                   - cxm.period_number(s.starts_at, inner_period, v_periods.time_zone, v_periods.week_start) + 1))::double precision AS mean_active) AS m
    ORDER BY n.number;
END
$$;

COMMENT ON FUNCTION cxm.activity_report(text, text, text, integer, tstzrange, text, integer, timestamptz) IS
'Daily by monthly active customers and the like: for each outer period (month) active = the customers active in it (MAU), mean_active = those active in an inner period (day), on average over the inner periods that have begun (mean DAU), ratio = mean_active / active, 0 to 1, NULL when nobody was active. A customer is active with a record of the step (NULL: any). Periods are taken whole; complete: false while the outer one is not over. inner_period and outer_period: hours or days of a longer period, months of a quarter or year, quarters of a year; weeks are no parts of anything. Other arguments and errors as in cxm.lifecycle_report().';
