-- Periods of the calendar: their numbers and starts in zones whose clocks do all that clocks have done.
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';

---- By hand

-- days of 23 and of 25 hours
SELECT d, cxm.period_start(n + 1, 'day', zone) - cxm.period_start(n, 'day', zone) AS length
FROM (VALUES (timestamptz '2026-03-28 12:00+00', 'Europe/Berlin'), ('2026-03-29 12:00+00', 'Europe/Berlin'), ('2026-10-25 12:00+00', 'Europe/Berlin'),
             ('2026-04-05 00:00+00', 'Australia/Lord_Howe'), ('2026-10-04 00:00+00', 'Australia/Lord_Howe')) AS v (d, zone)
CROSS JOIN LATERAL (SELECT cxm.period_number(d, 'day', zone) AS n) AS p;

-- an event on a boundary belongs to the period that begins there; the microsecond before does not
SELECT period, at, cxm.period_number(at, period, 'Europe/Berlin') - cxm.period_number(at - interval '1 microsecond', period, 'Europe/Berlin') AS apart
FROM (VALUES ('hour', timestamptz '2026-03-29 01:00+00'), ('day', '2026-03-28 23:00+00'), ('day', '2026-03-29 22:00+00'), ('week', '2026-03-29 22:00+00'),
             ('week', '2026-03-28 23:00+00'), ('month', '2026-03-31 22:00+00'), ('quarter', '2026-03-31 22:00+00'), ('year', '2026-12-31 23:00+00'),
             ('year', '2027-01-01 00:00+00')) AS v (period, at);

-- eight hours east of Greenwich it is tomorrow from 16:00 on; no day is shifted
SELECT at, date '2000-01-01' + cxm.period_number(at, 'day', 'Asia/Shanghai') AS day, cxm.period_start(cxm.period_number(at, 'day', 'Asia/Shanghai'), 'day', 'Asia/Shanghai')
FROM (VALUES (timestamptz '2026-11-22 15:59:59.999999+00'), ('2026-11-22 16:00+00')) AS v (at);

-- the week of Wednesday 2026-11-18 by the day that weeks begin on, 1 = Monday ... 7 = Sunday
SELECT w, cxm.period_start(cxm.period_number('2026-11-18 12:00+00', 'week', 'UTC', w), 'week', 'UTC', w)::date AS first_day,
       cxm.period_number('2000-01-01 00:00+00', 'week', 'UTC', w) AS week_of_2000
FROM generate_series(1, 7) AS w;

-- months have the lengths that they have
SELECT y, array_agg(extract(day FROM cxm.period_start((y - 2000) * 12 + m, 'month', 'UTC') - cxm.period_start((y - 2000) * 12 + m - 1, 'month', 'UTC'))::integer ORDER BY m) AS days
FROM (VALUES (1900), (2000), (2023), (2024), (2100)) AS v (y), generate_series(1, 12) AS m
GROUP BY y ORDER BY y;

-- Samoa had no 2011-12-30: the day has a number, and no length
SELECT day, cxm.period_start(day - date '2000-01-01', 'day', 'Pacific/Apia') AS starts_at
FROM (VALUES (date '2011-12-29'), ('2011-12-30'), ('2011-12-31'), ('2012-01-01')) AS v (day);

-- in Newfoundland clocks were set back from 00:01 to 23:01: a minute of the new day, then the last hour of the old one again
SELECT at, at AT TIME ZONE 'America/St_Johns' AS local, date '2000-01-01' + cxm.period_number(at, 'day', 'America/St_Johns') AS day
FROM (VALUES (timestamptz '2010-11-07 02:29:59+00'), ('2010-11-07 02:30:30+00'), ('2010-11-07 02:31:30+00'), ('2010-11-07 03:30+00')) AS v (at);

-- far from today
SELECT period, cxm.period_number(at, period, 'UTC'), cxm.period_start(cxm.period_number(at, period, 'UTC'), period, 'UTC')
FROM (VALUES ('day', timestamptz '4713-12-01 00:00+00 BC'), ('month', '0001-12-31 23:59:59+00 BC'), ('year', '0001-06-01 00:00+00'),
             ('day', '294276-12-31 23:59:59.999999+00'), ('week', '200000-01-01 00:00+00'), ('hour', '200000-01-01 00:30+00')) AS v (period, at);

---- Zones whose names AT TIME ZONE takes for abbreviations, which have no summer: dates and starts of periods would not fit
SELECT cxm.period_number('2026-07-01 00:00+02', 'month', 'CET');
SELECT cxm.period_start(0, 'day', 'eet');
SELECT cxm.period_start(cxm.period_number('2026-07-01 00:00+02', 'day', zone), 'day', zone) AT TIME ZONE 'UTC' AS start, zone FROM unnest('{UTC,GMT,Zulu,Etc/GMT-1,Europe/Berlin,europe/berlin}'::text[]) AS zone;

---- Against date_trunc(), at times near and far, in every zone that has something about it

CREATE TEMPORARY TABLE zone (zone text);
INSERT INTO zone VALUES ('UTC'), ('Europe/Berlin'), ('America/New_York'), ('Australia/Lord_Howe'), ('America/St_Johns'), ('Pacific/Apia'), ('Asia/Shanghai'),
    ('America/Sao_Paulo'), ('America/Havana'), ('Pacific/Kwajalein'), ('America/Juneau'), ('Asia/Kathmandu'), ('Africa/Casablanca'), ('Antarctica/Troll'),
    ('Africa/Monrovia'), ('Asia/Manila'), ('Etc/GMT+12'), ('Pacific/Kiritimati');

-- instants: anywhere, in two centuries, and close to the changes of the clocks of a zone
CREATE TEMPORARY TABLE instant AS
SELECT z.zone, v.at
FROM zone AS z
CROSS JOIN generate_series(1, 400) AS i
CROSS JOIN LATERAL (VALUES
    (timestamptz '2000-01-01 00:00+00' + (hashint8extended(i, 1) % 200000000000) * interval '1 second'),
    (timestamptz '1950-01-01 00:00+00' + (hashint8extended(i, 2) % 3000000000) * interval '1 second' + interval '7 microseconds')) AS v (at);
INSERT INTO instant
SELECT z.zone, h.at + v.shift
FROM zone AS z
CROSS JOIN (VALUES (timestamptz '1867-10-10 00:00+00'), ('1844-12-28 00:00+00'), ('1993-08-18 00:00+00'), ('2010-11-04 00:00+00'), ('2011-12-27 00:00+00'), ('2012-03-28 00:00+00')) AS w (from_at)
CROSS JOIN LATERAL (SELECT w.from_at + i * interval '1 hour' AS at FROM generate_series(0, 240) AS i) AS h
CROSS JOIN (VALUES (interval '0'), (interval '-1 microsecond'), (interval '30 minutes 30 seconds')) AS v (shift)
WHERE (h.at AT TIME ZONE z.zone) - (h.at AT TIME ZONE 'UTC') <> ((h.at + interval '2 hours') AT TIME ZONE z.zone) - ((h.at + interval '2 hours') AT TIME ZONE 'UTC')
   OR extract(hour FROM h.at AT TIME ZONE z.zone) IN (23, 0);
SELECT count(*) > 20000 AS many FROM instant;

-- by arithmetic on the local time alone
CREATE FUNCTION pg_temp.number_of(local timestamp, period text, week_start integer) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE period
        WHEN 'hour' THEN floor(extract(epoch FROM local - timestamp '2000-01-01') / 3600)
        WHEN 'day' THEN local::date - date '2000-01-01'
        WHEN 'week' THEN floor((local::date - date '2000-01-03' - (week_start - 1)) / 7.0) - floor((date '2000-01-01' - date '2000-01-03' - (week_start - 1)) / 7.0)
        WHEN 'month' THEN (y - 2000) * 12 + m - 1
        WHEN 'quarter' THEN floor(((y - 2000) * 12 + m - 1) / 3.0)
        ELSE y - 2000 END::bigint
    FROM (SELECT extract(year FROM local)::integer + (extract(year FROM local) < 0)::integer AS y, extract(month FROM local)::integer AS m) AS ym
$$;

SELECT i.zone, i.at, p.period, w.week_start
FROM instant AS i
CROSS JOIN (VALUES ('hour'), ('day'), ('week'), ('month'), ('quarter'), ('year')) AS p (period)
CROSS JOIN generate_series(1, 7, 3) AS w (week_start)
WHERE cxm.period_number(i.at, p.period, i.zone, w.week_start) <> pg_temp.number_of(i.at AT TIME ZONE i.zone, p.period, w.week_start)
ORDER BY 1, 2, 3, 4 LIMIT 10;

-- a period starts with the first instant that shows it or a later one; on the way there clocks show earlier ones only
SELECT i.zone, i.at, p.period
FROM instant AS i
CROSS JOIN (VALUES ('hour'), ('day'), ('week'), ('month'), ('quarter'), ('year')) AS p (period)
CROSS JOIN LATERAL (SELECT cxm.period_number(i.at, p.period, i.zone, 7) AS n) AS a
CROSS JOIN LATERAL (SELECT cxm.period_start(n, p.period, i.zone, 7) AS starts_at, cxm.period_start(n + 1, p.period, i.zone, 7) AS ends_at) AS s
WHERE i.at < s.starts_at OR s.starts_at > s.ends_at
   OR cxm.period_number(s.starts_at, p.period, i.zone, 7) < n
   OR cxm.period_number(s.starts_at - interval '1 microsecond', p.period, i.zone, 7) >= n
ORDER BY 1, 2, 3 LIMIT 10;

---- NULL and errors

SELECT cxm.period_number(NULL, 'day', 'UTC') AS a, cxm.period_number(now(), NULL, 'UTC') AS b, cxm.period_number(now(), 'day', NULL) AS c,
       cxm.period_number(now(), 'day', 'UTC', NULL) AS d, cxm.period_start(NULL, 'day', 'UTC') AS e;
SELECT cxm.period_number(now(), 'fortnight', 'UTC');
SELECT cxm.period_number(now(), 'Day', 'UTC');
SELECT cxm.period_number(now(), 'day', 'Europe/Atlantis');
SELECT cxm.period_number(now(), 'day', repeat('x', 256));
SELECT cxm.period_number(now(), 'week', 'UTC', 0);
SELECT cxm.period_number(now(), 'week', 'UTC', 8);
SELECT cxm.period_number('infinity', 'day', 'UTC');
SELECT cxm.period_number('-infinity', 'year', 'UTC');
SELECT cxm.period_number('294276-01-01 00:00+00', 'hour', 'UTC');
SELECT cxm.period_start(2147483647, 'day', 'UTC');
SELECT cxm.period_start(-2147483648, 'year', 'UTC');
SELECT cxm.period_start(cxm.period_number('294276-12-31 12:00+00', period, 'UTC') + 1, period, 'UTC') FROM (VALUES ('year')) AS v (period);
