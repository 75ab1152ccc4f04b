-- Retention, lifecycle and stickiness reports: what they show is what a plain look at the records gives
BEGIN;
SELECT plan(72);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;

---- an empty store

SELECT is_empty($$SELECT * FROM cxm.retention_report(NULL, NULL, during => '[2024-01-01,2024-03-01)', as_of => '2024-03-01') WHERE customers > 0 OR cohort_size > 0$$, 'nobody comes back to an empty store');
SELECT is((SELECT count(*) FROM cxm.retention_report(NULL, NULL, during => '[2024-01-01,2024-03-01)', time_zone => 'UTC', periods => 1, as_of => '2024-02-15')), 3::bigint, 'its cohorts are there all the same, in periods that have begun');
SELECT is_empty('SELECT * FROM cx.retention_monthly', 'the view shows no empty cohort');

---- a year of records: 60 customers, some of them two people till the end of the test

SELECT lives_ok($$
    SELECT cxm.track_batch(jsonb_agg(jsonb_build_object('event', (ARRAY['visit', 'view', 'chat'])[1 + h.x % 3], 'at', timestamptz '2024-01-01 00:00+00' + (h.x / 8 % 20000) * interval '25 minutes',
               'identifiers', jsonb_build_object(CASE WHEN h.x / 32 % 2 = 0 THEN 'email' ELSE 'user_id' END, CASE WHEN h.x / 32 % 2 = 0 THEN format('c%s@example.com', c) ELSE 'u' || c END),
               'touchpoint', (ARRAY['shop', 'web', NULL])[1 + h.x / 64 % 3], 'location', (ARRAY['north', 'south'])[1 + h.x / 256 % 2],
               'properties', jsonb_build_object('plan', (ARRAY['basic', 'gold'])[1 + h.x / 512 % 2]))))
    FROM generate_series(1, 60) AS c, generate_series(1, 14) AS e, LATERAL (SELECT abs(hashint8extended(c, e)) % 1000000007 AS x) AS h$$, 'events');
SELECT lives_ok($$
    SELECT cxm.record_purchase(10, jsonb_build_object('user_id', 'u' || c), at => timestamptz '2024-01-01 00:00+00' + (h.x / 8 % 20000) * interval '25 minutes', touchpoint => (ARRAY['shop', 'web', NULL])[1 + h.x / 64 % 3], location => (ARRAY['north', 'south'])[1 + h.x / 256 % 2])
    FROM generate_series(1, 60) AS c, generate_series(1, 3) AS e, LATERAL (SELECT abs(hashint8extended(c, e + 100)) % 1000000007 AS x) AS h$$, 'purchases');
SELECT lives_ok($$
    SELECT cxm.record_feedback('nps', (h.x % 11)::smallint, jsonb_build_object('email', format('c%s@example.com', c)), at => timestamptz '2024-01-01 00:00+00' + (h.x / 16 % 20000) * interval '25 minutes', touchpoint => 'shop')
    FROM generate_series(1, 60, 2) AS c, LATERAL (SELECT abs(hashint8extended(c, 777)) % 1000000007 AS x) AS h$$, 'feedback');
SELECT lives_ok($$SELECT cxm.track('login', jsonb_build_object('email', format('c%s@example.com', c), 'user_id', 'u' || c), at => '2024-06-01 12:00+00') FROM generate_series(1, 60, 3) AS c$$, 'a third of them are known to be one');
SELECT lives_ok($$SELECT cxm.identify(jsonb_build_object('user_id', 'u' || c), jsonb_build_object('tier', (ARRAY['a', 'b', 'c'])[1 + c % 3]), at => '2024-01-01 00:00+00') FROM generate_series(1, 50) AS c$$, 'and traits of most');

-- the records by names, without codes and journeys
CREATE TEMPORARY VIEW recorded AS
SELECT p.canonical_id AS profile_id, r.occurred_at AS at, r.step, t.key AS touchpoint, l.key AS location, l.region, r.kind, r.properties ->> 'plan' AS plan,
       (SELECT w.value #>> '{}' FROM cx.profile_trait AS w WHERE w.profile_id = p.canonical_id AND w.trait = 'tier') AS tier
FROM (
    SELECT e.identifier_id, e.occurred_at, y.key::text AS step, 'event' AS kind, e.touchpoint_id, e.location_id, e.properties FROM cx.event AS e JOIN cx.event_type AS y USING (event_type_id)
    UNION ALL
    SELECT b.identifier_id, b.occurred_at, 'purchase', 'purchase', b.touchpoint_id, b.location_id, b.properties FROM cx.purchase AS b
    UNION ALL
    SELECT f.identifier_id, f.occurred_at, 'feedback', 'feedback', f.touchpoint_id, f.location_id, f.properties FROM cx.feedback AS f
) AS r
JOIN cx.identifier AS i USING (identifier_id)
JOIN cx.profile AS p USING (profile_id)
LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = r.touchpoint_id
LEFT JOIN cx.location AS l ON l.location_id = r.location_id;

CREATE FUNCTION pg_temp.period_of(at timestamptz, period text, zone text, week_start integer) RETURNS timestamp
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN period = 'week' THEN date_trunc('week', (at AT TIME ZONE zone) - (week_start - 1) * interval '1 day') + (week_start - 1) * interval '1 day'
                ELSE date_trunc(period, at AT TIME ZONE zone) END
$$;
-- enough for days, weeks and months of a year
CREATE FUNCTION pg_temp.between(a timestamp, b timestamp, period text) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE period WHEN 'day' THEN b::date - a::date WHEN 'week' THEN (b::date - a::date) / 7
        ELSE ((extract(year FROM b) - extract(year FROM a)) * 12 + extract(month FROM b) - extract(month FROM a))::integer END
$$;

CREATE FUNCTION pg_temp.plain(start_step text, return_step text, period text, periods integer, during tstzrange, zone text, week_start integer, cohorts text, criterion text, rolling interval, as_of timestamptz, breakdown text)
RETURNS TABLE (value text, cohort date, cohort_size bigint, number integer, customers bigint)
LANGUAGE sql STABLE AS $$
    WITH record AS (
        SELECT r.profile_id, r.at, r.step, r.touchpoint, pg_temp.period_of(r.at, period, zone, week_start) AS p,
               CASE breakdown WHEN 'touchpoint' THEN r.touchpoint WHEN 'location' THEN r.location WHEN 'property:plan' THEN r.plan WHEN 'trait:tier' THEN r.tier WHEN 'region' THEN r.region WHEN 'kind' THEN r.kind END AS value
        FROM recorded AS r WHERE r.at <= as_of
    ), start AS (
        SELECT r.*, row_number() OVER (PARTITION BY r.profile_id ORDER BY r.at, r.value) AS first_ever, row_number() OVER (PARTITION BY r.profile_id, r.at <@ during ORDER BY r.at, r.value) AS first_in_range
        FROM record AS r WHERE start_step IS NULL OR r.step = start_step OR r.step || '@' || r.touchpoint = start_step
    ), member AS (
        SELECT s.profile_id, s.value, s.p AS cohort, min(s.at) AS since FROM start AS s
        WHERE s.at <@ during AND CASE cohorts WHEN 'first_ever' THEN s.first_ever = 1 WHEN 'first_in_range' THEN s.first_in_range = 1 ELSE true END
        GROUP BY 1, 2, 3
    ), back AS (
        SELECT m.profile_id, m.value, m.cohort,
               CASE WHEN rolling IS NULL THEN pg_temp.between(m.cohort, r.p, period) ELSE floor(extract(epoch FROM r.at - m.since) / extract(epoch FROM rolling))::integer END AS number
        FROM member AS m JOIN record AS r ON r.profile_id = m.profile_id AND r.value IS NOT DISTINCT FROM m.value AND r.at >= m.since
        WHERE return_step IS NULL OR r.step = return_step OR r.step || '@' || r.touchpoint = return_step
    )
    SELECT m.value, m.cohort::date, count(*), k.number,
           count(*) FILTER (WHERE EXISTS (SELECT 1 FROM back AS b WHERE b.profile_id = m.profile_id AND b.value IS NOT DISTINCT FROM m.value AND b.cohort = m.cohort
                                          AND CASE criterion WHEN 'on' THEN b.number = k.number ELSE b.number >= k.number END))
    FROM member AS m CROSS JOIN generate_series(0, periods) AS k (number)
    GROUP BY m.value, m.cohort, k.number
$$;

-- the same question to both, and a hint of how much there was to see
CREATE FUNCTION pg_temp.same(start_step text, return_step text, period text, periods integer, during tstzrange, zone text, week_start integer, cohorts text, criterion text, rolling interval, as_of timestamptz, breakdown text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    args text := format('%L, %L, %L, %s, %L, %L, %s, %L, %L, %L, %L, %L', start_step, return_step, period, periods, during, zone, week_start, cohorts, criterion, rolling, as_of, breakdown);
BEGIN
    RETURN NEXT bag_eq(format('SELECT value, cohort, cohort_size, number, customers FROM cxm.retention_report(%s) WHERE cohort_size > 0', args),
                       format('SELECT * FROM pg_temp.plain(%s) AS p WHERE EXISTS (SELECT 1 FROM cxm.retention_report(%1$s) AS r WHERE r.value IS NOT DISTINCT FROM p.value AND r.cohort = p.cohort AND r.number = p.number)', args), args);
    RETURN NEXT isnt_empty(format('SELECT 1 FROM cxm.retention_report(%s) WHERE number > 0 AND customers > 0', args), 'somebody came back');
END
$$;

SELECT pg_temp.same('visit', 'visit', 'month', 6, '[2024-01-01,2025-01-01)', 'UTC', 1, 'first_ever', 'on', NULL, '2024-12-31 00:00+00', NULL);
SELECT pg_temp.same('visit', 'purchase', 'week', 8, '[2024-02-10 12:00+00,2024-05-01)', 'Europe/Berlin', 7, 'first_ever', 'on_or_after', NULL, '2024-06-15 00:00+00', NULL);
SELECT pg_temp.same(NULL, NULL, 'day', 30, '[2024-03-25 00:00+00,2024-04-05)', 'America/New_York', 1, 'recurring', 'on', NULL, '2024-12-31 00:00+00', NULL);
SELECT pg_temp.same('purchase', 'purchase', 'month', 11, '[2024-02-01,2025-01-01)', 'Asia/Shanghai', 1, 'first_in_range', 'on', NULL, '2024-11-11 00:00+00', NULL);
SELECT pg_temp.same('visit@web', 'view', 'week', 5, '[2024-01-01,2024-12-01)', 'UTC', 6, 'recurring', 'on', '7 days', '2024-10-10 00:00+00', NULL);
SELECT pg_temp.same('visit', NULL, 'month', 4, '[2024-01-01,2024-12-01)', 'UTC', 1, 'first_ever', 'on', NULL, '2024-12-31 00:00+00', 'touchpoint');
SELECT pg_temp.same('visit', NULL, 'month', 4, '[2024-02-01,2024-12-01)', 'UTC', 1, 'first_in_range', 'on', NULL, '2024-12-31 00:00+00', 'touchpoint');
SELECT pg_temp.same(NULL, 'purchase', 'month', 4, '[2024-01-01,2024-12-01)', 'UTC', 1, 'recurring', 'on_or_after', NULL, '2024-12-31 00:00+00', 'location');
SELECT pg_temp.same('view', 'view', 'week', 9, '[2024-01-01,2024-08-01)', 'UTC', 1, 'first_ever', 'on', NULL, '2024-12-31 00:00+00', 'property:plan');
SELECT pg_temp.same('chat', 'visit', 'month', 6, '[2024-01-01,2024-12-01)', 'UTC', 1, 'first_ever', 'on', '30 days', '2024-12-31 00:00+00', 'trait:tier');
SELECT pg_temp.same('feedback', NULL, 'month', 6, '[2024-01-01,2024-12-01)', 'UTC', 1, 'first_ever', 'on', NULL, '2024-12-31 00:00+00', NULL);

-- several locations are one region
UPDATE cx.location SET region = 'coast';
SELECT pg_temp.same('visit', 'visit', 'month', 4, '[2024-01-01,2024-12-01)', 'UTC', 1, 'first_ever', 'on', NULL, '2024-12-31 00:00+00', 'region');
SELECT is((SELECT count(DISTINCT value) FROM cxm.retention_report('visit', 'visit', during => '[2024-01-01,2024-12-01)', breakdown => 'region')), 1::bigint, 'which there is one of');
SELECT pg_temp.same(NULL, NULL, 'month', 4, '[2024-01-01,2024-12-01)', 'UTC', 1, 'recurring', 'on', NULL, '2024-12-31 00:00+00', 'kind');
SELECT lives_ok(format('SELECT * FROM cxm.retention_report(NULL, NULL, during => %L, breakdown => %L)', '[2024-01-01,2024-12-01)', b), 'broken down by ' || b)
FROM unnest(ARRAY['product', 'category', 'employee', 'source', 'metric', 'currency', 'property:it''s']) AS b;

-- groups of first starts add up to the whole; nobody starts twice
SELECT is((SELECT sum(cohort_size) FROM cxm.retention_report('visit', NULL, periods => 0, during => '[2024-01-01,2025-01-01)', as_of => '2025-01-01', breakdown => 'touchpoint')),
          (SELECT count(DISTINCT profile_id)::numeric FROM recorded WHERE step = 'visit'), 'a first start counts for one value');

-- folded, all is as before
CREATE TEMPORARY TABLE before AS SELECT * FROM cxm.retention_report('visit', 'visit', 'week', 8, '[2024-01-01,2024-12-01)', as_of => '2024-12-31');
SELECT cxm.fold_journey_range(-9223372036854775808, 9223372036854775807) > 0 AS folded;
SELECT bag_eq('TABLE before', $$SELECT * FROM cxm.retention_report('visit', 'visit', 'week', 8, '[2024-01-01,2024-12-01)', as_of => '2024-12-31')$$, 'folding changes no answer');

-- who they are
SELECT is_empty($$SELECT * FROM cxm.retention_report('visit', 'purchase', 'month', 4, '[2024-01-15,2025-01-01)', cohorts => 'recurring', as_of => '2024-12-31') AS r
    WHERE customers <> (SELECT count(*) FROM cxm.retention_customers('visit', 'purchase', r.starts_at, r.number, during => '[2024-01-15,2025-01-01)', cohorts => 'recurring', as_of => '2024-12-31'))
       OR cohort_size - customers <> (SELECT count(*) FROM cxm.retention_customers('visit', 'purchase', r.starts_at, r.number, false, during => '[2024-01-15,2025-01-01)', cohorts => 'recurring', as_of => '2024-12-31'))$$,
    'those who came back and those who did not are as many as the report says');
SELECT bag_eq($$SELECT profile_id FROM cxm.retention_customers('visit', 'visit', '2024-03-09 12:00+00', 2, false, 'week', time_zone => 'UTC', as_of => '2024-12-31')$$,
    $$WITH f AS (SELECT profile_id, min(at) AS since FROM recorded WHERE step = 'visit' GROUP BY 1)
      SELECT f.profile_id FROM f WHERE f.since >= '2024-03-04' AND f.since < '2024-03-11'
      AND NOT EXISTS (SELECT 1 FROM recorded AS r WHERE r.profile_id = f.profile_id AND r.step = 'visit' AND r.at >= '2024-03-18' AND r.at < '2024-03-25')$$, 'the lost ones by name');
SELECT throws_ok($$SELECT * FROM cxm.retention_customers('visit', 'visit', NULL, 2)$$, '22004', 'cohort_at must not be NULL', 'of which cohort?');
SELECT throws_ok($$SELECT * FROM cxm.retention_customers('visit', 'visit', now(), -1)$$, '22023', NULL, 'no number less than 0');

---- periods that are not over

SELECT results_eq($$SELECT cohort, number, complete FROM cxm.retention_report('visit', 'visit', 'month', 2, '[2024-01-01,2024-04-01)', 'Europe/Berlin', as_of => '2024-03-31 22:00+00') ORDER BY 1, 2$$,
    $$VALUES ('2024-01-01'::date, 0, false), ('2024-01-01', 1, false), ('2024-01-01', 2, false), ('2024-02-01', 0, true), ('2024-02-01', 1, true), ('2024-02-01', 2, false), ('2024-03-01', 0, true), ('2024-03-01', 1, false), ('2024-04-01', 0, false)$$,
    'a month is over when the next begins in its zone; one that the range cuts is never complete');
SELECT results_eq($$SELECT number, complete FROM cxm.retention_report('visit', 'visit', 'day', 3, '[2024-03-01,2024-03-02)', 'UTC', rolling => '24 hours', as_of => '2024-03-03 23:59+00')$$,
    $$VALUES (0, true), (1, false), (2, false)$$, 'rolling periods are over for the last to start');
SELECT is((SELECT count(DISTINCT cohort) FROM cxm.retention_report('visit', 'visit', 'week', 4, as_of => '2024-06-15')), 5::bigint, 'without a range: that of as_of and so many before it');
SELECT is_empty($$SELECT * FROM cxm.retention_report('visit', 'visit', during => 'empty')$$, 'no period in an empty range');

---- means

SELECT bag_eq($$SELECT number, cohort_size, customers, weighted_mean, simple_mean FROM cxm.retention_curve('visit', 'visit', 'month', 6, '[2024-01-01,2025-01-01)', as_of => '2024-12-15')$$,
    $$SELECT number, sum(cohort_size) AS cohort_size, sum(customers) AS customers, (sum(customers) / sum(cohort_size))::double precision AS weighted, avg(customers::double precision / nullif(cohort_size, 0)) AS simple
      FROM cxm.retention_report('visit', 'visit', 'month', 6, '[2024-01-01,2025-01-01)', as_of => '2024-12-15') WHERE complete GROUP BY 1$$, 'both means, over what is complete');
SELECT isnt((SELECT weighted_mean FROM cxm.retention_curve('visit', 'visit', 'month', 6, '[2024-01-01,2025-01-01)', as_of => '2024-12-15') WHERE number = 2),
            (SELECT simple_mean FROM cxm.retention_curve('visit', 'visit', 'month', 6, '[2024-01-01,2025-01-01)', as_of => '2024-12-15') WHERE number = 2), 'which differ');

---- lifecycle

CREATE TEMPORARY VIEW active_week AS
SELECT DISTINCT profile_id, pg_temp.period_of(at, 'week', 'Europe/Berlin', 7)::date AS week FROM recorded WHERE step = 'visit' AND at <= '2024-09-01 00:00+00';
SELECT bag_eq($$SELECT period_date, active, new_customers, returning_customers, resurrecting_customers, dormant_customers FROM cxm.lifecycle_report('visit', 'week', during => '[2024-03-03,2024-09-10)', time_zone => 'Europe/Berlin', week_start => 7, as_of => '2024-09-01 00:00+00')$$,
    $$SELECT w.week::date,
             count(*) FILTER (WHERE c.now) AS active, count(*) FILTER (WHERE c.now AND NOT c.before AND NOT c.ever) AS born, count(*) FILTER (WHERE c.now AND c.before) AS back,
             count(*) FILTER (WHERE c.now AND NOT c.before AND c.ever) AS risen, count(*) FILTER (WHERE NOT c.now AND c.before) AS asleep
      FROM generate_series(timestamp '2024-03-03', '2024-09-01', '7 days') AS w (week)
      CROSS JOIN LATERAL (
          SELECT p.profile_id, bool_or(a.week = w.week::date) AS now, bool_or(a.week = w.week::date - 7) AS before, bool_or(a.week < w.week::date) AS ever
          FROM (SELECT DISTINCT profile_id FROM active_week) AS p JOIN active_week AS a USING (profile_id) GROUP BY 1) AS c
      GROUP BY 1$$, 'lifecycle by the definition');
SELECT is((SELECT bool_and(active = new_customers + returning_customers + resurrecting_customers) FROM cxm.lifecycle_report('visit', during => '[2024-01-01,2024-09-10)', as_of => '2024-12-01')), true, 'the active are new, returning or resurrecting');
SELECT is((SELECT bool_and(dormant_customers = before - returning_customers) FROM (SELECT *, lag(active, 1, 0::bigint) OVER (ORDER BY period_date) AS before FROM cxm.lifecycle_report('visit', during => '[2023-12-01,2024-09-10)', as_of => '2024-12-01')) AS l), true, 'the dormant were active and did not return');
SELECT is((SELECT sum(active) FROM cxm.lifecycle_report('visit', 'month', during => '[2024-01-01,2025-01-01)', time_zone => 'UTC', as_of => '2025-01-01', breakdown => 'touchpoint')),
          (SELECT count(*)::numeric FROM (SELECT DISTINCT profile_id, touchpoint, date_trunc('month', at) FROM recorded WHERE step = 'visit') AS d), 'broken down, each value is on its own');
SELECT results_eq($$SELECT period_date, complete FROM cxm.lifecycle_report('visit', 'month', during => '[2024-01-15,2024-05-01)', time_zone => 'UTC', as_of => '2024-03-31 23:59+00')$$,
    $$VALUES ('2024-01-01'::date, true), ('2024-02-01', true), ('2024-03-01', false)$$, 'months that have begun, each whole');

---- stickiness

SELECT bag_eq($$SELECT active_periods, customers, customers_at_least FROM cxm.stickiness_report('visit', 'month', during => '[2024-01-10,2024-09-10)', time_zone => 'UTC', as_of => '2024-12-01')$$,
    $$WITH n AS (SELECT profile_id, count(DISTINCT date_trunc('month', at)) AS n FROM recorded WHERE step = 'visit' AND at >= '2024-01-10' AND at < '2024-09-10' GROUP BY 1)
      SELECT k, (SELECT count(*) FROM n WHERE n.n = k) AS just, (SELECT count(*) FROM n WHERE n.n >= k) AS at_least FROM generate_series(1, 9) AS k$$, 'stickiness by the definition');
SELECT results_eq($$SELECT sum(share)::numeric(9, 6), max(share_at_least)::numeric(9, 6) FROM cxm.stickiness_report(NULL, 'day', 400, as_of => '2024-12-31')$$, 'VALUES (1::numeric(9, 6), 1::numeric(9, 6))', 'shares of all who were active');
SELECT is((SELECT count(DISTINCT value) FROM cxm.stickiness_report('visit', 'month', during => '[2024-01-10,2024-09-10)', as_of => '2024-12-01', breakdown => 'trait:tier')), 3::bigint, 'broken down by a trait');
SELECT bag_eq($$SELECT period_date, active, mean_active::numeric(12, 6), complete FROM cxm.activity_report('visit', during => '[2024-03-10,2024-06-01)', time_zone => 'America/New_York', as_of => '2024-05-20 12:00+00')$$,
    $$SELECT m::date, count(DISTINCT profile_id) FILTER (WHERE p = m) AS active, (count(DISTINCT (profile_id, d)) FILTER (WHERE p = m)::numeric / CASE m::date WHEN '2024-03-01' THEN 31 WHEN '2024-04-01' THEN 30 ELSE 20 END)::numeric(12, 6) AS mean, m < '2024-05-01' AS complete
      FROM (SELECT profile_id, pg_temp.period_of(at, 'month', 'America/New_York', 1) AS p, pg_temp.period_of(at, 'day', 'America/New_York', 1) AS d FROM recorded WHERE step = 'visit' AND at <= '2024-05-20 12:00+00') AS a,
           generate_series(timestamp '2024-03-01', '2024-05-01', '1 month') AS m
      GROUP BY m$$, 'daily by monthly active customers, days that have begun');

---- people who are one

SELECT cxm.fold_journey_range(-9223372036854775808, 9223372036854775807) >= 0 AS folded;
SELECT isnt((SELECT sum(cohort_size) FROM cxm.retention_report(NULL, NULL, 'year', 0, '[2024-01-01,2025-01-01)', 'UTC', as_of => '2025-01-01')), 120::numeric, 'some are one');
SELECT is((SELECT sum(cohort_size) FROM cxm.retention_report(NULL, NULL, 'year', 0, '[2024-01-01,2025-01-01)', 'UTC', as_of => '2025-01-01')), (SELECT count(DISTINCT profile_id)::numeric FROM recorded), 'and count as one');

---- errors

SELECT throws_ok($$SELECT * FROM cxm.retention_report('visitt', 'visit')$$, '42704', NULL, 'an unknown step');
SELECT throws_ok($$SELECT * FROM cxm.retention_report('visit', 'visit', breakdown => 'colour')$$, '22023', 'there is no breakdown by "colour"', 'an unknown breakdown is not ignored');
SELECT throws_ok($$SELECT * FROM cxm.retention_report('visit', 'visit', during => '(,2024-01-01)')$$, '22023', 'the range of a report must have a beginning', 'a range without beginning');
SELECT throws_ok($$SELECT * FROM cxm.retention_report('visit', 'visit', time_zone => 'Mars/Olympus')$$, '22023', NULL, 'an unknown zone');
SELECT throws_ok($$SELECT * FROM cxm.activity_report('visit', 'week', 'month')$$, '22023', 'a month does not consist of whole weeks', 'weeks are no parts of months');

---- rights

CREATE ROLE cxm_test_reader;
SELECT cxm.grant_store('cxm_test_reader');
SET LOCAL ROLE cxm_test_reader;
SELECT lives_ok('SELECT * FROM cx.retention_monthly', 'a reader of the store reads the view');
SELECT lives_ok($$SELECT * FROM cxm.retention_report('visit', 'visit', breakdown => 'trait:tier')$$, 'and asks for a report');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
