-- retention_periods(), active_periods() and lifecycle_periods() against plain SQL with date_trunc(), over random small
-- journeys and every combination of options
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';

-- three worlds: days around a change of the clocks, a year of days, and all of time
CREATE TEMPORARY TABLE zone (n integer, zone text, base timestamptz);
INSERT INTO zone VALUES
    (0, 'Europe/Berlin', '2026-03-27 00:00+00'), (1, 'America/St_Johns', '2010-11-05 00:00+00'), (2, 'Pacific/Apia', '2011-12-28 00:00+00'),
    (3, 'Australia/Lord_Howe', '2026-04-03 00:00+00'), (4, 'Asia/Shanghai', '2026-12-29 00:00+00'), (5, 'America/Sao_Paulo', '2018-02-15 00:00+00'),
    (6, 'America/Juneau', '1867-10-16 00:00+00'), (7, 'UTC', '2024-02-27 00:00+00');

CREATE TEMPORARY TABLE event AS
SELECT w.n * 1000 + c AS customer, w.zone,
       CASE c % 3
           WHEN 0 THEN w.base + (h.x % 480) * interval '15 minutes'
           WHEN 1 THEN w.base + (h.x % 365) * interval '1 day' + (h.x / 1024 % 3) * interval '12 hours'
           ELSE timestamptz '2000-01-01 00:00+00' + (h.x % 150000) * interval '30 days' - (h.x / 4096 % 20000) * interval '30 days'
       END AS at,
       (ARRAY[1, 1, 2, 3, 300, -5])[1 + h.x / 65536 % 6] AS code
FROM zone AS w
CROSS JOIN generate_series(0, 44) AS c
CROSS JOIN LATERAL generate_series(1, 1 + abs(hashint8extended(c, w.n)) % 9) AS e
CROSS JOIN LATERAL (SELECT abs(hashint8extended(c * 100 + e, 7 + w.n)) % 1000000007 AS x) AS h;

CREATE TEMPORARY TABLE journey AS
SELECT customer, zone, cxm.journey_agg(at, code) AS journey FROM event GROUP BY customer, zone ORDER BY customer;

-- the period of a local time as the local time that it begins at, and how many periods lie between two
CREATE FUNCTION pg_temp.period_of(at timestamptz, period text, zone text, week_start integer) RETURNS timestamp
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN period = 'week' THEN date_trunc('week', (at AT TIME ZONE zone) - (week_start - 1) * interval '1 day') + (week_start - 1) * interval '1 day'
                ELSE date_trunc(period, at AT TIME ZONE zone) END
$$;
CREATE FUNCTION pg_temp.between(a timestamp, b timestamp, period text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE period
        WHEN 'hour' THEN extract(epoch FROM b - a) / 3600
        WHEN 'day' THEN b::date - a::date
        WHEN 'week' THEN (b::date - a::date) / 7
        ELSE ((extract(year FROM b) - extract(year FROM a)) + ((extract(year FROM b) < 0)::integer - (extract(year FROM a) < 0)::integer)) * 12
             + extract(month FROM b) - extract(month FROM a) END::bigint
           / CASE period WHEN 'quarter' THEN 3 WHEN 'year' THEN 12 ELSE 1 END
$$;
CREATE FUNCTION pg_temp.number_of(at timestamptz, period text, zone text, week_start integer) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_temp.between(pg_temp.period_of(timestamp '2000-01-01' AT TIME ZONE 'UTC', period, 'UTC', week_start), pg_temp.period_of(at, period, zone, week_start), period)::integer
$$;
CREATE FUNCTION pg_temp.rows_of(pairs integer[]) RETURNS TABLE (a integer, b integer)
LANGUAGE sql IMMUTABLE AS $$ SELECT pairs[i][1], pairs[i][2] FROM generate_subscripts(pairs, 1) AS i $$;

-- worked out once, since every question needs them
CREATE TEMPORARY TABLE numbered AS
SELECT e.customer, e.zone, e.at, e.code, p.period, w.week_start, pg_temp.number_of(e.at, p.period, e.zone, w.week_start) AS number
FROM event AS e
CROSS JOIN (VALUES ('hour'), ('day'), ('week'), ('month'), ('quarter'), ('year')) AS p (period)
CROSS JOIN generate_series(1, 7) AS w (week_start);
CREATE INDEX ON numbered (period, week_start);
ANALYZE numbered;

-- the definition, word by word
CREATE FUNCTION pg_temp.retention(start_codes integer[], return_codes integer[], period text, week_start integer, during tstzrange, periods integer, cohorts text, criterion text, rolling interval, as_of timestamptz)
RETURNS TABLE (customer integer, cohort integer, number integer)
LANGUAGE sql AS $$
    WITH event AS (
        SELECT * FROM numbered AS n
        WHERE n.period = $3 AND n.week_start = $4 AND n.at <= coalesce(as_of, 'infinity')
    ), start AS (
        SELECT e.customer, e.at, e.number AS cohort,
               e.at <@ coalesce(during, '(,)') AS in_range, rank() OVER (PARTITION BY e.customer ORDER BY e.at) AS first_ever,
               rank() OVER (PARTITION BY e.customer, e.at <@ coalesce(during, '(,)') ORDER BY e.at) AS first_in_range
        FROM event AS e
        WHERE start_codes IS NULL OR e.code = ANY (start_codes)
    ), member AS (
        SELECT s.customer, s.cohort, min(s.at) AS since
        FROM start AS s
        WHERE s.in_range AND CASE cohorts WHEN 'first_ever' THEN s.first_ever = 1 WHEN 'first_in_range' THEN s.first_in_range = 1 ELSE true END
        GROUP BY 1, 2
    ), back AS (
        SELECT m.customer, m.cohort,
               CASE WHEN rolling IS NULL THEN e.number - m.cohort
                    ELSE floor(extract(epoch FROM e.at - m.since) / extract(epoch FROM rolling))::integer END AS number
        FROM member AS m
        JOIN event AS e ON e.customer = m.customer AND e.at >= m.since
        WHERE return_codes IS NULL OR e.code = ANY (return_codes)
    )
    SELECT customer, cohort, -1 FROM member
    UNION SELECT customer, cohort, number FROM back WHERE criterion = 'on' AND number BETWEEN 0 AND periods
    UNION SELECT customer, cohort, generate_series(0, least(max(number), periods)) FROM back WHERE criterion = 'on_or_after' AND number >= 0 GROUP BY customer, cohort
$$;

CREATE FUNCTION pg_temp.check_retention() RETURNS TABLE (questions bigint, answers bigint)
LANGUAGE plpgsql AS $$
DECLARE
    o record;
    wrong bigint;
    n bigint;
BEGIN
    questions := 0;
    answers := 0;
    FOR o IN
        SELECT p.period, c.cohorts, k.criterion, r.rolling, s.start_codes, s.return_codes, d.during, a.as_of, n.periods, 1 + (row_number() OVER ()) % 7 AS week_start
        FROM (VALUES ('hour'), ('day'), ('week'), ('month'), ('quarter'), ('year')) AS p (period)
        CROSS JOIN (VALUES ('first_ever'), ('first_in_range'), ('recurring')) AS c (cohorts)
        CROSS JOIN (VALUES ('on'), ('on_or_after')) AS k (criterion)
        CROSS JOIN (VALUES (NULL::interval), ('24 hours'), ('10 days 12:00')) AS r (rolling)
        CROSS JOIN LATERAL (
            SELECT * FROM (VALUES ('{1}'::integer[], '{1}'::integer[]), ('{1}', '{2,3}'), ('{1,300}', '{300,-5}'), (NULL, '{2}'), ('{-5,2}', NULL)) AS v (start_codes, return_codes)
            ORDER BY hashtext(p.period || c.cohorts || k.criterion || coalesce(r.rolling::text, '') || v::text) LIMIT 2) AS s
        CROSS JOIN LATERAL (
            SELECT * FROM (VALUES (NULL::tstzrange), ('[2010-11-06 00:00+00,2026-03-29 01:00+00]'), ('(2026-03-28 23:00+00,)'), ('(,2011-12-30 10:00+00)'), ('empty')) AS v (during)
            ORDER BY hashtext('x' || p.period || c.cohorts || k.criterion || coalesce(r.rolling::text, '') || s::text || v::text) LIMIT 1) AS d
        CROSS JOIN LATERAL (
            SELECT * FROM (VALUES (NULL::timestamptz), ('2026-04-01 00:00+00'), ('2010-11-07 02:31+00')) AS v (as_of)
            ORDER BY hashtext('y' || p.period || c.cohorts || k.criterion || coalesce(r.rolling::text, '') || s::text || v::text) LIMIT 1) AS a
        CROSS JOIN LATERAL (VALUES (CASE WHEN hashtext(p.period || c.cohorts || s::text) % 2 = 0 THEN 12 ELSE 3 END)) AS n (periods)
    LOOP
        WITH ours AS (
            SELECT j.customer, r.a AS cohort, r.b AS number
            FROM journey AS j
            CROSS JOIN LATERAL (SELECT cxm.retention_periods(j.journey, o.start_codes, o.return_codes, o.period, j.zone, o.week_start::integer, o.during, o.periods, o.cohorts, o.criterion, o.rolling, o.as_of) AS pairs OFFSET 0) AS p
            CROSS JOIN LATERAL pg_temp.rows_of(p.pairs) AS r
        ), theirs AS (
            SELECT * FROM pg_temp.retention(o.start_codes, o.return_codes, o.period, o.week_start::integer, o.during, o.periods, o.cohorts, o.criterion, o.rolling, o.as_of)
        )
        SELECT (SELECT count(*) FROM (TABLE ours EXCEPT ALL TABLE theirs) AS x) + (SELECT count(*) FROM (TABLE theirs EXCEPT ALL TABLE ours) AS x), (SELECT count(*) FROM theirs)
        INTO wrong, n;
        IF wrong > 0 THEN
            RAISE WARNING 'differs in % rows: %', wrong, o;
        END IF;
        questions := questions + 1;
        answers := answers + n;
    END LOOP;
    RETURN NEXT;
END
$$;
SELECT questions, answers > 20000 AS many FROM pg_temp.check_retention();

-- all numbers where there is no limit
SELECT count(*) AS differ
FROM journey AS j
CROSS JOIN (VALUES ('month', 'on'), ('year', 'on_or_after')) AS o (period, criterion)
CROSS JOIN (VALUES ('first_ever'), ('recurring')) AS c (cohorts)
WHERE cxm.retention_periods(j.journey, '{1}', '{2}', o.period, j.zone, cohorts => c.cohorts, criterion => o.criterion)
      <> cxm.retention_periods(j.journey, '{1}', '{2}', o.period, j.zone, cohorts => c.cohorts, criterion => o.criterion, periods => 1000000);

-- active periods, and what a customer was in each
CREATE FUNCTION pg_temp.check_lifecycle() RETURNS TABLE (questions bigint, answers bigint)
LANGUAGE plpgsql AS $$
DECLARE
    o record;
    wrong bigint;
    n bigint;
BEGIN
    questions := 0;
    answers := 0;
    FOR o IN
        SELECT p.period, s.codes, d.during, a.as_of, 1 + (row_number() OVER ()) % 7 AS week_start
        FROM (VALUES ('hour'), ('day'), ('week'), ('month'), ('quarter'), ('year')) AS p (period)
        CROSS JOIN (VALUES (NULL::integer[]), ('{1,300}')) AS s (codes)
        CROSS JOIN (VALUES (NULL::tstzrange), ('[2010-11-06 00:00+00,2026-03-29 01:00+00]'), ('(2026-03-28 23:00+00,2026-03-31 22:00+00)'), ('empty')) AS d (during)
        CROSS JOIN (VALUES ('2026-03-29 12:00+00'::timestamptz), (NULL)) AS a (as_of)
    LOOP
        WITH active AS (
            SELECT DISTINCT e.customer, e.zone, e.number AS period
            FROM numbered AS e
            WHERE e.period = o.period AND e.week_start = o.week_start AND (o.codes IS NULL OR e.code = ANY (o.codes)) AND e.at <= coalesce(o.as_of, 'infinity')
        ), life AS (
            SELECT a.customer, a.zone, a.period,
                   CASE WHEN a.period = first_value(a.period) OVER w THEN 0 WHEN lag(a.period) OVER w = a.period - 1 THEN 1 ELSE 2 END AS state
            FROM active AS a
            WINDOW w AS (PARTITION BY a.customer ORDER BY a.period)
            UNION ALL
            SELECT a.customer, a.zone, a.period + 1, 3
            FROM active AS a
            WHERE NOT EXISTS (SELECT 1 FROM active AS b WHERE b.customer = a.customer AND b.period = a.period + 1)
        ), bound AS (
            SELECT z.zone,
                   pg_temp.number_of(lower(o.during), o.period, z.zone, o.week_start::integer) AS from_period,
                   pg_temp.number_of(upper(o.during) - CASE WHEN upper_inc(o.during) THEN interval '0' ELSE interval '1 microsecond' END, o.period, z.zone, o.week_start::integer) AS to_period,
                   pg_temp.number_of(o.as_of, o.period, z.zone, o.week_start::integer) AS last_period
            FROM zone AS z
        ), theirs AS (
            SELECT l.customer, l.period, l.state
            FROM life AS l
            JOIN bound AS b ON b.zone = l.zone
            WHERE (o.during IS NULL OR NOT isempty(o.during))
              AND (lower(o.during) IS NULL OR l.period >= b.from_period)
              AND (upper(o.during) IS NULL OR l.period <= b.to_period)
              AND (o.as_of IS NULL OR l.period <= b.last_period)
        ), ours AS (
            SELECT j.customer, r.a AS period, r.b AS state
            FROM journey AS j
            CROSS JOIN LATERAL (SELECT cxm.lifecycle_periods(j.journey, o.codes, o.period, j.zone, o.week_start::integer, o.during, o.as_of) AS pairs OFFSET 0) AS p
            CROSS JOIN LATERAL pg_temp.rows_of(p.pairs) AS r
        ), in_range AS (
            SELECT DISTINCT e.customer, e.number AS period
            FROM numbered AS e
            WHERE e.period = o.period AND e.week_start = o.week_start AND (o.codes IS NULL OR e.code = ANY (o.codes)) AND e.at <= coalesce(o.as_of, 'infinity') AND e.at <@ coalesce(o.during, '(,)')
        ), ours_in_range AS (
            SELECT j.customer, unnest(cxm.active_periods(j.journey, o.codes, o.period, j.zone, o.week_start::integer, o.during, o.as_of)) AS period FROM journey AS j
        )
        SELECT (SELECT count(*) FROM (TABLE ours EXCEPT ALL TABLE theirs) AS x) + (SELECT count(*) FROM (TABLE theirs EXCEPT ALL TABLE ours) AS x)
               + (SELECT count(*) FROM (TABLE in_range EXCEPT ALL TABLE ours_in_range) AS x) + (SELECT count(*) FROM (TABLE ours_in_range EXCEPT ALL TABLE in_range) AS x),
               (SELECT count(*) FROM theirs)
        INTO wrong, n;
        IF wrong > 0 THEN
            RAISE WARNING 'differs in % rows: %', wrong, o;
        END IF;
        questions := questions + 1;
        answers := answers + n;
    END LOOP;
    RETURN NEXT;
END
$$;
SELECT questions, answers > 20000 AS many FROM pg_temp.check_lifecycle();

-- answers are ascending, each pair once
SELECT count(*) AS unordered
FROM (
    SELECT cxm.retention_periods(j.journey, NULL, NULL, 'day', j.zone, cohorts => 'recurring') AS pairs FROM journey AS j
    UNION ALL
    SELECT cxm.lifecycle_periods(j.journey, NULL, 'day', j.zone) FROM journey AS j
    OFFSET 0) AS v
WHERE (SELECT array_agg(ROW (r.a, r.b)) FROM pg_temp.rows_of(v.pairs) AS r)
      <> (SELECT array_agg(DISTINCT ROW (r.a, r.b) ORDER BY ROW (r.a, r.b)) FROM pg_temp.rows_of(v.pairs) AS r);
