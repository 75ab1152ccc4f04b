-- The scorecard against plain restatements, over random records, periods, zones, dimensions and windows
BEGIN;
SELECT plan(104);
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;
-- what workers read is not counted
SET LOCAL max_parallel_workers_per_gather = 0;
UPDATE cx.store SET time_zone = 'Europe/Berlin', complaint_types = '{complaint,parcel_lost}';

---- records: a year of them, both changes of the clock and turns of the year inside, many on the borders of days
CREATE FUNCTION pg_temp.u(a bigint, b bigint) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$ SELECT (hashint8extended(a, b) & 1073741823) / 1073741824.0::double precision $$;
CREATE FUNCTION pg_temp.k(a bigint, b bigint, n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT (pg_temp.u(a, b) * n)::integer % n + 1 $$;
CREATE FUNCTION pg_temp.some_time(a bigint, b bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN pg_temp.u(a, b + 900) < 0.2 THEN (date '2024-10-05' + (pg_temp.u(a, b) * 300)::integer)::timestamp AT TIME ZONE (ARRAY['Europe/Berlin', 'America/New_York', 'Asia/Kolkata'])[pg_temp.k(a, b + 901, 3)]
                ELSE timestamptz '2024-10-05 00:00+00' + pg_temp.u(a, b) * interval '300 days' END $$;

INSERT INTO cx.touchpoint (touchpoint_id, key) SELECT i, 'touchpoint ' || i FROM generate_series(1, 3) AS i;
INSERT INTO cx.location (location_id, key, region) SELECT i, 'location ' || i, 'region ' || 2 - i % 2 FROM generate_series(1, 3) AS i;
INSERT INTO cx.product (product_id, key, category) SELECT i, 'product ' || i, CASE WHEN i < 3 THEN 'category 1' END FROM generate_series(1, 3) AS i;
-- two locations are in one region, two products of one category, and one product is of none
CREATE FUNCTION pg_temp.dims(touchpoint_id integer, location_id integer, product_id integer, employee_id integer DEFAULT NULL) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('touchpoint', touchpoint_id, 'location', location_id, 'region', 2 - location_id % 2, 'product', product_id, 'category', CASE WHEN product_id < 3 THEN 1 END, 'employee', employee_id) $$;
INSERT INTO cx.employee (employee_id, key) SELECT i, 'employee ' || i FROM generate_series(1, 3) AS i;
INSERT INTO cx.event_type (event_type_id, key) VALUES (1, 'view'), (2, 'complaint'), (3, 'parcel_lost'), (4, 'praise');
DO $$ BEGIN PERFORM cxm.identify(jsonb_build_object('email', i || '@shop.test')) FROM generate_series(1, 60) AS i; END $$;
-- some are one person under two names
DO $$ BEGIN PERFORM cxm.merge('email', i || '@shop.test', 'email', (i + 30) || '@shop.test', 'test') FROM generate_series(1, 10) AS i; END $$;
DO $$ BEGIN PERFORM cxm.identify(jsonb_build_object('email', i || '@shop.test'), jsonb_build_object('tier', 'trait:tier ' || 1 + i / 3 % 3), timestamptz '2026-01-01 00:00+00' + i * interval '1 minute') FROM generate_series(1, 60) AS i WHERE i % 3 > 0; END $$;
CREATE TEMPORARY TABLE person AS SELECT split_part(i.value, '@', 1)::integer AS no, i.identifier_id FROM cx.identifier AS i WHERE i.namespace = 'email';
CREATE FUNCTION pg_temp.who(a bigint, b bigint) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT CASE WHEN pg_temp.u(a, b + 77) < 0.1 THEN NULL ELSE (SELECT p.identifier_id FROM person AS p WHERE p.no = pg_temp.k(a, b, 60)) END $$;
CREATE FUNCTION pg_temp.ref(a bigint, b bigint) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT nullif(pg_temp.k(a, b, 4), 4) $$;

INSERT INTO cx.feedback (occurred_at, identifier_id, metric, score, scale_min, scale_max, comment, question, touchpoint_id, location_id, product_id, employee_id)
SELECT pg_temp.some_time(i, 1), pg_temp.who(i, 2), m.metric, CASE WHEN pg_temp.u(i, 4) < 0.95 THEN lo + pg_temp.k(i, 5, hi - lo + 1) - 1 END, lo, hi, 'x',
       CASE WHEN m.metric = 'rating' AND pg_temp.u(i, 6) < 0.6 THEN 'public_review' END, pg_temp.ref(i, 7), pg_temp.ref(i, 8), pg_temp.ref(i, 9), pg_temp.ref(i, 10)
FROM generate_series(1, 900) AS i
JOIN cx.metric AS m ON m.metric = (ARRAY['nps', 'csat', 'ces', 'rating'])[pg_temp.k(i, 3, 4)]
-- some on another scale than the usual one
CROSS JOIN LATERAL (SELECT CASE WHEN pg_temp.u(i, 11) < 0.05 THEN 1 ELSE m.scale_min END AS lo, CASE WHEN pg_temp.u(i, 11) < 0.05 THEN 9 ELSE m.scale_max END AS hi) AS s;
INSERT INTO cx.purchase (occurred_at, identifier_id, order_id, amount, currency, touchpoint_id, location_id, product_id, employee_id)
SELECT pg_temp.some_time(o.no, 21), pg_temp.who(o.no, 22), CASE WHEN pg_temp.u(o.no, 23) < 0.7 THEN 'o' || o.no END, round((pg_temp.u(i, 24) * 100 - CASE WHEN pg_temp.u(i, 25) < 0.15 THEN 120 ELSE 0 END)::numeric, 2),
       (ARRAY['EUR', 'EUR', 'USD', NULL])[pg_temp.k(i, 26, 4)], pg_temp.ref(i, 27), pg_temp.ref(i, 28), pg_temp.ref(i, 29), pg_temp.ref(i, 30)
FROM generate_series(1, 400) AS i CROSS JOIN LATERAL (SELECT i - i % 2 * pg_temp.k(i, 31, 2) AS no) AS o;
INSERT INTO cx.event (occurred_at, identifier_id, event_type_id, touchpoint_id, location_id, product_id, employee_id)
SELECT pg_temp.some_time(i, 41), pg_temp.who(i, 42), pg_temp.k(i, 43, 4), pg_temp.ref(i, 47), pg_temp.ref(i, 48), pg_temp.ref(i, 49), pg_temp.ref(i, 50) FROM generate_series(1, 300) AS i;
INSERT INTO cx.spend (occurred_at, amount, currency, touchpoint_id, location_id, product_id)
SELECT pg_temp.some_time(i, 51), round((pg_temp.u(i, 52) * 50)::numeric, 2), (ARRAY['EUR', 'USD', NULL])[pg_temp.k(i, 53, 3)], pg_temp.ref(i, 57), pg_temp.ref(i, 58), pg_temp.ref(i, 59) FROM generate_series(1, 120) AS i;
INSERT INTO cx.follow_up (identifier_id, opened_at, first_response_at, state, closed_at, touchpoint_id, location_id, product_id)
SELECT pg_temp.who(i, 60), t.at, CASE WHEN pg_temp.u(i, 62) < 0.9 THEN t.at + pg_temp.k(i, 63, 40) * interval '37 minutes' END, CASE WHEN pg_temp.u(i, 64) < 0.1 THEN 'cancelled' ELSE 'open' END, CASE WHEN pg_temp.u(i, 64) < 0.1 THEN t.at END, pg_temp.ref(i, 67), pg_temp.ref(i, 68), pg_temp.ref(i, 69)
FROM generate_series(1, 250) AS i CROSS JOIN LATERAL (SELECT pg_temp.some_time(i, 61) AS at) AS t;
INSERT INTO cx.conversation (conversation_id, channel) OVERRIDING SYSTEM VALUE SELECT 1000 + i, 'web_chat' FROM generate_series(1, 80) AS i;
INSERT INTO cx.conversation_message (conversation_id, message_no, kind, participant, channel, body, occurred_at, asked_at)
SELECT 1000 + i, 2 * no, 'outbound', 'ann', 'web_chat', 'x', t.at + no * pg_temp.k(i, 72, 50) * interval '11 minutes', t.at FROM generate_series(1, 80) AS i CROSS JOIN generate_series(1, 2) AS no CROSS JOIN LATERAL (SELECT pg_temp.some_time(i, 71) AS at) AS t;
-- where an invitation does not say what it is about, its survey does
INSERT INTO cx.survey (survey_id, key, name, default_language, touchpoint_id) VALUES (1, 'visit', 'Visit', 'en', 2);
INSERT INTO cx.invitation (survey_id, identifier_id, kind, purpose, state, asked_for, send_at, expires_at, sent_at, responded_at, suppressed_by, attributes)
SELECT 1, (SELECT identifier_id FROM person WHERE no = pg_temp.k(i, 82, 60)), CASE WHEN i % 17 = 0 THEN 'thank_you' ELSE 'survey' END, 'survey', s.state, t.at, t.at, t.at + interval '90 days', CASE WHEN s.state <> 'suppressed' THEN t.at END,
       CASE WHEN s.state = 'responded' THEN t.at + pg_temp.k(i, 83, 60) * interval '1 day' END, CASE WHEN s.state = 'suppressed' THEN 'sampling' END,
       jsonb_strip_nulls(jsonb_build_object('touchpoint', 'touchpoint ' || pg_temp.ref(i, 85), 'location', 'location ' || pg_temp.ref(i, 86), 'product', 'product ' || pg_temp.ref(i, 87), 'employee', 'employee ' || pg_temp.ref(i, 88)))
FROM generate_series(1, 300) AS i CROSS JOIN LATERAL (SELECT pg_temp.some_time(i, 81) AS at) AS t CROSS JOIN LATERAL (SELECT (ARRAY['sent', 'responded', 'responded', 'expired', 'bounced', 'suppressed'])[pg_temp.k(i, 84, 6)] AS state) AS s;
INSERT INTO cx.referral_code (code, identifier_id, created_at) SELECT 'ABCDEFGH' || to_char(i, 'FM00'), (SELECT identifier_id FROM person WHERE no = i), pg_temp.some_time(i, 91) FROM generate_series(1, 25) AS i;
INSERT INTO cx.referral (code, referrer_id, referred_id, referred_at, source_id)
SELECT 'ABCDEFGH' || to_char(pg_temp.k(i, 92, 25), 'FM00'), (SELECT identifier_id FROM person WHERE no = pg_temp.k(i, 92, 25)), (SELECT identifier_id FROM person WHERE no = i), pg_temp.some_time(i, 93), cxm.source_id('app')
FROM generate_series(20, 60) AS i WHERE pg_temp.k(i, 92, 25) <> i;

---- the restatement of each measure, for one window
CREATE FUNCTION pg_temp.tier(profile_id bigint) RETURNS integer LANGUAGE sql STABLE AS $$ SELECT right(t.value #>> '{}', 1)::integer FROM cx.profile_trait AS t WHERE t.profile_id = $1 AND t.trait = 'tier' $$;
CREATE TEMPORARY VIEW record_of AS
SELECT p.canonical_id AS customer, r.kind, r.record_id, r.at, r.identifier_id, r.reviewed, r.complained, r.amount, r.currency, r.order_id, r.dims || jsonb_build_object('trait:tier', pg_temp.tier(p.canonical_id)) AS dims
FROM (
    SELECT 'feedback' AS kind, f.feedback_id AS record_id, f.occurred_at AS at, f.identifier_id, f.metric = 'rating' AND coalesce(f.question, '') = 'public_review' AS reviewed, false AS complained,
           NULL::numeric AS amount, NULL AS currency, NULL AS order_id, pg_temp.dims(f.touchpoint_id, f.location_id, f.product_id, f.employee_id) AS dims FROM cx.feedback AS f
    UNION ALL
    SELECT 'event', e.event_id, e.occurred_at, e.identifier_id, false, e.event_type_id IN (2, 3), NULL, NULL, NULL, pg_temp.dims(e.touchpoint_id, e.location_id, e.product_id, e.employee_id) FROM cx.event AS e
    UNION ALL
    SELECT 'purchase', b.purchase_id, b.occurred_at, b.identifier_id, false, false, b.amount, b.currency, coalesce(b.order_id, 'line' || b.purchase_id),
           pg_temp.dims(b.touchpoint_id, b.location_id, b.product_id, b.employee_id) FROM cx.purchase AS b
) AS r
LEFT JOIN cx.identifier AS i ON i.identifier_id = r.identifier_id
LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id;
CREATE TEMPORARY TABLE rec AS TABLE record_of;
CREATE TEMPORARY TABLE pair AS SELECT q.referrer_id, q.referred_at FROM cx.referral_pair AS q;
CREATE TEMPORARY VIEW money AS
SELECT s.occurred_at AS at, s.amount, s.currency, pg_temp.dims(s.touchpoint_id, s.location_id, s.product_id) AS dims FROM cx.spend AS s;
CREATE TEMPORARY VIEW waited AS
SELECT f.opened_at AS at, f.first_response_at AS answered, pg_temp.dims(f.touchpoint_id, f.location_id, f.product_id) || jsonb_build_object('trait:tier', pg_temp.tier(p.canonical_id)) AS dims, false AS is_talk
FROM cx.follow_up AS f LEFT JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id WHERE f.state <> 'cancelled'
UNION ALL
SELECT m.asked_at, m.occurred_at, NULL, true FROM cx.conversation_message AS m WHERE m.message_no = 2 AND m.conversation_id > 1000;

CREATE FUNCTION pg_temp.restate(d text, v integer, a timestamptz, b timestamptz, z timestamptz, until timestamptz) RETURNS TABLE (measure text, unit text, n bigint, value double precision)
LANGUAGE sql AS $$
    WITH inside AS MATERIALIZED (SELECT * FROM rec AS r WHERE r.at < until AND (d IS NULL OR (r.dims ->> d)::integer = v))
    SELECT f.metric, CASE f.metric WHEN 'nps' THEN 'points' WHEN 'csat' THEN 'percent' ELSE 'mean' END, count(*),
           CASE f.metric WHEN 'nps' THEN 100 * avg(CASE WHEN f.score >= 9 THEN 1 WHEN f.score <= 6 THEN -1 ELSE 0 END) WHEN 'csat' THEN 100 * avg((f.score >= 4)::integer) ELSE avg(f.score) END::double precision
    FROM cx.feedback AS f JOIN rec AS r ON r.kind = 'feedback' AND r.record_id = f.feedback_id
    WHERE f.score IS NOT NULL AND f.scale_max <> 9 AND f.occurred_at >= a AND f.occurred_at < b AND f.occurred_at < until AND (d IS NULL OR (r.dims ->> d)::integer = v)
    GROUP BY f.metric
    UNION ALL
    SELECT 'response_rate', 'percent', count(*), 100.0 * count(*) FILTER (WHERE i.responded_at < until) / nullif(count(*), 0)
    FROM cx.invitation AS i WHERE (d IS NULL OR (pg_temp.dims(coalesce(right(i.attributes ->> 'touchpoint', 1), '2')::integer, right(i.attributes ->> 'location', 1)::integer, right(i.attributes ->> 'product', 1)::integer, right(i.attributes ->> 'employee', 1)::integer)
           || jsonb_build_object('trait:tier', (SELECT pg_temp.tier(p.canonical_id) FROM cx.identifier AS n JOIN cx.profile AS p USING (profile_id) WHERE n.identifier_id = i.identifier_id)) ->> d)::integer = v)
      AND i.kind = 'survey' AND i.state NOT IN ('bounced', 'suppressed') AND i.sent_at >= a AND i.sent_at < b AND i.sent_at < until
    UNION ALL
    SELECT m.measure, 'percent', count(*), 100.0 * count(*) FILTER (WHERE m.measure = 'churn_rate' AND q.customer IS NULL OR m.measure <> 'churn_rate' AND q.customer IS NOT NULL) / nullif(count(*), 0)
    FROM (SELECT DISTINCT i.customer FROM inside AS i WHERE i.amount > 0 AND i.at >= z AND i.at < a AND i.customer IS NOT NULL) AS p
    LEFT JOIN (SELECT DISTINCT i.customer FROM inside AS i WHERE i.amount > 0 AND i.at >= a AND i.at < b) AS q ON q.customer = p.customer
    CROSS JOIN (VALUES ('retention_rate'), ('churn_rate')) AS m (measure)
    GROUP BY m.measure
    UNION ALL
    SELECT 'repeat_purchase_rate', 'percent', count(DISTINCT i.customer), 100.0 * count(DISTINCT i.customer) FILTER (WHERE i.order_id <> (
               SELECT o.order_id FROM inside AS o WHERE o.customer = i.customer AND o.amount > 0 ORDER BY o.at, o.order_id COLLATE "C" LIMIT 1)) / nullif(count(DISTINCT i.customer), 0)
    FROM inside AS i WHERE i.amount > 0 AND i.at >= a AND i.at < b
    UNION ALL
    SELECT m.measure, 'percent', count(DISTINCT i.customer), 100.0 * count(DISTINCT i.customer) FILTER (WHERE CASE m.measure WHEN 'complaint_rate' THEN i.complained ELSE i.reviewed END) / nullif(count(DISTINCT i.customer), 0)
    FROM inside AS i CROSS JOIN (VALUES ('complaint_rate'), ('review_rate')) AS m (measure) WHERE i.at >= a AND i.at < b GROUP BY m.measure
    UNION ALL
    SELECT 'referral_rate', 'percent', count(*), 100.0 * count(*) FILTER (WHERE EXISTS (SELECT FROM pair AS q WHERE q.referrer_id = h.customer AND q.referred_at >= a AND q.referred_at < b AND q.referred_at < until)) / nullif(count(*), 0)
    FROM (SELECT p.canonical_id FROM cx.referral_code AS c JOIN cx.identifier USING (identifier_id) JOIN cx.profile AS p USING (profile_id) WHERE c.created_at < least(b, until)
          UNION SELECT q.referrer_id FROM pair AS q WHERE q.referred_at < least(b, until)) AS h (customer)
    WHERE d IS NULL OR CASE WHEN d LIKE 'trait:%' THEN pg_temp.tier(h.customer) = v ELSE EXISTS (SELECT FROM inside AS i WHERE i.customer = h.customer AND i.amount > 0 AND i.at < b) END
    UNION ALL
    SELECT 'first_response', 'hours', count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM w.answered - w.at)::double precision) / 3600
    FROM waited AS w WHERE w.at >= a AND w.at < b AND w.at < until AND w.answered < until AND (d IS NULL OR (w.dims ->> d)::integer = v)
    UNION ALL
    SELECT 'clv', c.currency, count(*), avg(c.worth)::double precision
    FROM (SELECT i.customer, i.currency, sum(i.amount) AS worth FROM inside AS i WHERE i.kind = 'purchase' AND i.customer IS NOT NULL AND i.at < b GROUP BY 1, 2 HAVING bool_or(i.amount > 0)) AS c
    GROUP BY c.currency
    UNION ALL
    SELECT 'acquisition_cost', s.currency, w.won, (sum(s.amount) / nullif(w.won, 0))::double precision
    FROM money AS s CROSS JOIN (
        SELECT count(*) AS won FROM (SELECT DISTINCT ON (r.customer) r.at, r.dims FROM rec AS r WHERE r.customer IS NOT NULL AND r.amount > 0 AND r.at < until ORDER BY r.customer, r.at, r.record_id) AS o
        WHERE o.at >= a AND o.at < b AND (d IS NULL OR (o.dims ->> d)::integer = v)) AS w
    WHERE coalesce(d, '') NOT IN ('employee', 'trait:tier') AND s.at >= a AND s.at < b AND s.at < until AND (d IS NULL OR (s.dims ->> d)::integer = v)
    GROUP BY s.currency, w.won
$$;

-- all windows of a scorecard, from the calendar
CREATE FUNCTION pg_temp.restated(b text, d text, rolling integer, zone text, ws integer, until timestamptz, only_from timestamptz DEFAULT NULL)
RETURNS TABLE (period date, starts_at timestamptz, ends_at timestamptz, key text, measure text, unit text, n bigint, value numeric, previous_n bigint, previous numeric)
LANGUAGE sql AS $$
    WITH calendar AS (
        SELECT g.local::date AS period, (g.local - (rolling - 1) * s.step) AT TIME ZONE zone AS a, (g.local + s.step) AT TIME ZONE zone AS b,
               (g.local - (2 * rolling - 1) * s.step) AT TIME ZONE zone AS z, (g.local - rolling * s.step + s.step) AT TIME ZONE zone AS b_before, (g.local - (3 * rolling - 1) * s.step) AT TIME ZONE zone AS z_before
        FROM (SELECT CASE b WHEN 'quarter' THEN interval '3 months' ELSE ('1 ' || b)::interval END AS step) AS s,
             generate_series(CASE b WHEN 'week' THEN timestamp '2024-09-02' + (ws - 1) * interval '1 day' WHEN 'day' THEN '2025-03-01' ELSE timestamp '2024-07-01' END, least(until AT TIME ZONE zone, timestamp '2026-02-01') - interval '1 microsecond', s.step) AS g (local)
    ), figure AS (
        SELECT c.period, c.a, c.b, v.id, v.key, r.*
        FROM calendar AS c
        CROSS JOIN (SELECT i AS id, d || ' ' || i AS key FROM generate_series(1, 3) AS i WHERE d IS NOT NULL UNION ALL SELECT NULL, NULL WHERE d IS NULL) AS v
        CROSS JOIN LATERAL pg_temp.restate(d, v.id, c.a, c.b, c.z, until) AS r
        WHERE (r.n > 0 OR r.measure = 'acquisition_cost') AND (d IS DISTINCT FROM 'employee' OR r.measure <> 'first_response')
    ), before AS (
        SELECT c.period, v.id, r.*
        FROM calendar AS c
        CROSS JOIN (SELECT i AS id FROM generate_series(1, 3) AS i WHERE d IS NOT NULL UNION ALL SELECT NULL WHERE d IS NULL) AS v
        CROSS JOIN LATERAL pg_temp.restate(d, v.id, c.z, c.b_before, c.z_before, until) AS r
    )
    SELECT f.period, f.a, f.b, f.key, f.measure, f.unit, f.n, round(f.value::numeric, 8), coalesce(p.n, 0), round(p.value::numeric, 8)
    FROM figure AS f
    LEFT JOIN before AS p ON p.period = f.period AND p.id IS NOT DISTINCT FROM f.id AND p.measure = f.measure AND p.unit IS NOT DISTINCT FROM f.unit
    WHERE only_from IS NULL OR f.b > only_from
$$;
CREATE FUNCTION pg_temp.shown(b text, d text, rolling integer, zone text, ws integer, until timestamptz, from_time timestamptz DEFAULT NULL, measures text[] DEFAULT NULL)
RETURNS TABLE (period date, starts_at timestamptz, ends_at timestamptz, key text, measure text, unit text, n bigint, value numeric, previous_n bigint, previous numeric)
LANGUAGE sql AS $$
    SELECT s.period, s.starts_at, s.ends_at, s.key, s.measure, s.unit, s.n, round(s.value::numeric, 8), s.previous_n, round(s.previous::numeric, 8)
    FROM cxm.scorecard(b, d, from_time, until, rolling, measures, zone => zone, week_start => ws) AS s
    WHERE s.period < '2026-02-01' AND (b <> 'day' OR s.period >= '2025-03-01')
$$;

---- every row, whatever the period, zone, dimension, window and end

CREATE TEMPORARY TABLE combination (no integer, b text, d text, rolling integer, zone text, ws integer, until timestamptz);
INSERT INTO combination VALUES
    (1, 'month', NULL, 1, 'Europe/Berlin', 1, '2025-07-20 13:00+00'), (2, 'month', NULL, 3, 'America/New_York', 1, '2025-05-10'), (3, 'quarter', NULL, 2, 'Asia/Kolkata', 1, '2025-07-01'),
    (4, 'week', NULL, 4, 'Europe/Berlin', 7, '2024-12-05 10:00+00'), (5, 'month', 'location', 1, 'Europe/Berlin', 1, '2025-02-15'), (6, 'month', 'product', 2, 'Asia/Kolkata', 3, '2025-02-15'),
    (7, 'quarter', 'touchpoint', 1, 'America/New_York', 1, '2025-08-02'), (8, 'quarter', 'employee', 1, 'Europe/Berlin', 1, '2025-08-02'), (9, 'day', NULL, 7, 'Europe/Berlin', 1, '2025-03-08'),
    (10, 'month', 'region', 2, 'Europe/Berlin', 1, '2025-05-15'), (11, 'month', 'category', 1, 'America/New_York', 1, '2025-04-15'), (12, 'quarter', 'region', 1, 'Asia/Kolkata', 1, '2025-08-02'),
    (13, 'month', 'trait:tier', 2, 'Europe/Berlin', 1, '2025-05-15'), (14, 'quarter', 'trait:tier', 1, 'Asia/Kolkata', 1, '2025-08-02');
CREATE TEMPORARY TABLE expected AS SELECT c.no, r.* FROM combination AS c CROSS JOIN LATERAL pg_temp.restated(c.b, c.d, c.rolling, c.zone, c.ws, c.until) AS r;
CREATE TEMPORARY TABLE found AS SELECT c.no, r.* FROM combination AS c CROSS JOIN LATERAL pg_temp.shown(c.b, c.d, c.rolling, c.zone, c.ws, c.until) AS r;
SELECT is((SELECT count(*) FROM ((SELECT * FROM found AS f WHERE f.no = c.no EXCEPT ALL SELECT * FROM expected AS e WHERE e.no = c.no) UNION ALL (SELECT * FROM expected AS e WHERE e.no = c.no EXCEPT ALL SELECT * FROM found AS f WHERE f.no = c.no)) AS x), 0::bigint,
          format('every %s of %s in %s, %s together', c.b, coalesce('each ' || c.d, 'all'), c.zone, c.rolling))
FROM combination AS c ORDER BY c.no;
SELECT set_eq($$SELECT DISTINCT f.measure FROM found AS f WHERE f.no = 1$$, $$SELECT m.metric FROM cx.metric AS m UNION SELECT k.measure FROM cxm.scorecard_measures() AS k$$, 'all measures are among them');
SELECT set_eq(format($$SELECT DISTINCT f.measure FROM found AS f JOIN combination AS c USING (no) WHERE c.d = %L$$, d),
              format($$SELECT m.metric FROM cx.metric AS m UNION SELECT k.measure FROM cxm.scorecard_measures() AS k WHERE split_part(%L, ':', 1) = ANY (k.dimensions)$$, d), 'by ' || d || ' those that have a meaning')
FROM unnest('{touchpoint,location,region,product,category,employee,trait:tier}'::text[]) AS d;
SELECT cmp_ok((SELECT count(*)::integer FROM found AS f WHERE f.previous IS NOT NULL), '>', 400, 'most of them with something before');

-- a part of the time, and of the measures, is that part of all
CREATE TEMPORARY TABLE whole AS SELECT s.* FROM cxm.scorecard('month', NULL, NULL, '2025-07-20', 3) AS s;
SELECT bag_eq($$SELECT * FROM cxm.scorecard('month', NULL, '2025-03-14 09:00+01', '2025-07-20', 3)$$, $$SELECT * FROM whole AS w WHERE w.period >= '2025-03-01'$$, 'from a time on: the same rows from its period on');
SELECT bag_eq($$SELECT * FROM cxm.scorecard('month', NULL, NULL, '2025-07-20', 3, '{nps,churn_rate,clv}')$$, $$SELECT * FROM whole AS w WHERE w.measure IN ('nps', 'churn_rate', 'clv')$$, 'some measures: the same rows of those');
SELECT is_empty($$SELECT * FROM cxm.scorecard('month', NULL, NULL, '2025-07-20', 3, '{}')$$, 'none: none');
SELECT is_empty($$SELECT * FROM cxm.scorecard('month', 'employee', NULL, '2025-07-20', 3, '{acquisition_cost,first_response}')$$, 'what has no meaning in a dimension has no row');
SELECT is_empty($$SELECT * FROM cxm.scorecard('month', to_time => '-infinity')$$, 'before everything: nothing');
SELECT is_empty($$SELECT * FROM cxm.scorecard('month', from_time => 'infinity')$$, 'after everything: nothing');
SELECT bag_eq($$SELECT * FROM cxm.scorecard('year', from_time => '-infinity', to_time => 'infinity', measures => '{nps}')$$, $$SELECT * FROM cxm.scorecard('year', measures => '{nps}')$$, 'infinity: no bound');

---- intervals, tests, and what is complete

CREATE TEMPORARY TABLE own AS SELECT s.* FROM cxm.scorecard('month', NULL, NULL, '2025-07-20', 1, NULL, 0.9) AS s;
SELECT set_eq($$SELECT o.period, o.complete FROM own AS o$$, $$SELECT o.period, o.period < '2025-07-01' FROM own AS o$$, 'the month that the end cuts is not complete');
SELECT is_empty($$SELECT * FROM own AS o WHERE (o.change IS NULL) <> (NOT o.complete OR o.previous IS NULL OR o.value IS NULL) OR o.change <> o.value - o.previous OR (o.change IS NULL AND o.p_value IS NOT NULL)
                  OR o.significant IS DISTINCT FROM (o.p_value < 1 - 0.9::double precision)$$, 'change: from complete rows with something before alone');
SELECT is_empty($$SELECT * FROM own AS o WHERE NOT (o.lower <= o.value AND o.value <= o.upper) OR ((o.lower IS NULL OR o.upper IS NULL) AND o.n > 8)$$, 'values lie in their intervals');
CREATE FUNCTION pg_temp.near(a double precision, b double precision) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(abs(a - b) <= 1e-9 * greatest(abs(a), abs(b), 1e-3), a IS NULL AND b IS NULL) $$;
SELECT is_empty($$SELECT o.period, o.measure FROM own AS o, cxm.proportion_interval(round(o.n * o.value / 100)::bigint, o.n, 0.9) AS i WHERE o.unit = 'percent' AND NOT (pg_temp.near(o.lower, 100 * i.lower) AND pg_temp.near(o.upper, 100 * i.upper))$$, 'shares: Wilson');
SELECT is_empty($$SELECT o.period, o.measure FROM own AS o WHERE o.unit = 'percent' AND o.change IS NOT NULL
                  AND NOT pg_temp.near(o.p_value, (cxm.proportion_test(ARRAY[round(o.n * o.value / 100), round(o.previous_n * o.previous / 100)]::bigint[], ARRAY[o.n, o.previous_n])).p_value)$$, 'and the test of two');
CREATE TEMPORARY VIEW answer AS
SELECT date_trunc('month', f.occurred_at AT TIME ZONE 'Europe/Berlin')::date AS period, f.metric, array_agg(f.score::integer) AS scores FROM cx.feedback AS f WHERE f.score IS NOT NULL AND f.scale_max <> 9 AND f.occurred_at < '2025-07-20' GROUP BY 1, 2;
CREATE FUNCTION pg_temp.t(scores integer[]) RETURNS TABLE (m double precision, v double precision, n bigint) LANGUAGE sql AS $$ SELECT avg(s)::double precision, var_samp(s)::double precision, count(*) FROM unnest(scores) AS s $$;
SELECT is_empty($$SELECT o.period FROM own AS o JOIN answer AS a ON a.period = o.period AND a.metric = o.measure JOIN answer AS b ON b.period = o.period - interval '1 month' AND b.metric = o.measure,
                  pg_temp.t(a.scores) AS x, pg_temp.t(b.scores) AS y WHERE o.unit = 'mean' AND o.complete AND NOT (pg_temp.near(o.p_value, cxm.mean_test(x.m, x.v, x.n, y.m, y.v, y.n)) AND pg_temp.near(o.upper - o.value, cxm.student_quantile(0.9, x.n - 1) * sqrt(x.v / x.n)))$$,
                'means: Student, Welch');
SELECT is_empty($$SELECT o.period FROM own AS o JOIN answer AS a ON a.period = o.period AND a.metric = o.measure JOIN answer AS b ON b.period = o.period - interval '1 month' AND b.metric = o.measure,
                  LATERAL (SELECT cxm.nps_agg(s) AS r FROM unnest(a.scores) AS s) AS x, LATERAL (SELECT cxm.nps_agg(s) AS r FROM unnest(b.scores) AS s) AS y
                  WHERE o.measure = 'nps' AND o.complete AND NOT (pg_temp.near(o.p_value, (cxm.nps_test(x.r, y.r)).p_value) AND pg_temp.near(o.upper, (cxm.nps_interval(x.r, 0.9)).upper))$$, 'NPS: adjusted Wald');
CREATE TEMPORARY VIEW waits AS
SELECT date_trunc('month', w.at AT TIME ZONE 'Europe/Berlin')::date AS period, array_agg(extract(epoch FROM w.answered - w.at)::double precision / 3600) AS hours FROM waited AS w WHERE w.answered < '2025-07-20' GROUP BY 1;
SELECT is_empty($$SELECT o.period FROM own AS o JOIN waits AS a ON a.period = o.period JOIN waits AS b ON b.period = o.period - interval '1 month', cxm.median_interval(a.hours, 0.9) AS i
                  WHERE o.measure = 'first_response' AND o.complete AND NOT (pg_temp.near(o.p_value, cxm.rank_sum_test(a.hours, b.hours)) AND pg_temp.near(o.lower, i.lower) AND pg_temp.near(o.upper, i.upper))$$, 'waits: order statistics, ranks');
-- what each customer was worth by the end of the window, and by the end of the one before
CREATE FUNCTION pg_temp.worth_test(rolling integer) RETURNS TABLE (period date, currency text, p_value double precision, half double precision) LANGUAGE sql AS $$
    SELECT w.period, w.currency, CASE WHEN w.n_z > 1 THEN cxm.mean_test(w.m, w.v, w.n, w.m_z, w.v_z, w.n_z, w.n_z, w.c) END, cxm.student_quantile(0.95, w.n - 1) * sqrt(w.v / w.n)
    FROM (SELECT x.period, x.currency, count(x.now) AS n, avg(x.now)::double precision AS m, var_samp(x.now)::double precision AS v, count(x.before) AS n_z, avg(x.before)::double precision AS m_z, var_samp(x.before)::double precision AS v_z,
                 covar_samp(x.now, x.before) AS c
          FROM (SELECT g.period::date AS period, r.currency, r.customer,
                       CASE WHEN bool_or(r.amount > 0) THEN sum(r.amount) END AS now,
                       CASE WHEN bool_or(r.amount > 0) FILTER (WHERE r.at < (g.period - (rolling - 1) * interval '1 month') AT TIME ZONE 'Europe/Berlin') THEN sum(r.amount) FILTER (WHERE r.at < (g.period - (rolling - 1) * interval '1 month') AT TIME ZONE 'Europe/Berlin') END AS before
                FROM generate_series(timestamp '2024-10-01', '2025-06-01', '1 month') AS g (period) JOIN rec AS r ON r.kind = 'purchase' AND r.customer IS NOT NULL AND r.at < (g.period + interval '1 month') AT TIME ZONE 'Europe/Berlin'
                GROUP BY 1, 2, 3, g.period) AS x
          WHERE x.now IS NOT NULL GROUP BY 1, 2) AS w $$;
SELECT is_empty(format($$SELECT s.period, s.unit, s.p_value, t.p_value, s.upper - s.value, t.half FROM cxm.scorecard('month', NULL, NULL, '2025-07-01 00:00+02', %s, '{clv}') AS s
                  FULL JOIN pg_temp.worth_test(%s) AS t ON t.period = s.period AND coalesce(t.currency, '') = coalesce(s.unit, '') WHERE s.complete IS NOT false AND NOT (pg_temp.near(s.p_value, t.p_value) AND pg_temp.near(s.upper - s.value, t.half))$$, rolling, rolling),
                format('customer value, %s together: the test knows whom both have', rolling)) FROM unnest('{1,3}'::integer[]) AS rolling;
SELECT is_empty($$SELECT o.period FROM own AS o, cxm.poisson_interval(o.n, 0.9) AS i WHERE o.measure = 'acquisition_cost' AND o.n > 0 AND NOT (pg_temp.near(o.lower, o.value * o.n / i.upper) AND pg_temp.near(o.upper, o.value * o.n / i.lower))$$, 'cost: the interval of the count');
SELECT is_empty($$SELECT o.period FROM own AS o WHERE o.measure = 'acquisition_cost' AND o.p_value IS NOT NULL AND NOT pg_temp.near(o.p_value, cxm.poisson_test(o.n, o.value * o.n, o.previous_n, o.previous * o.previous_n))$$, 'and the test of two');
SELECT is_empty($$SELECT s.measure FROM cxm.scorecard('month', NULL, NULL, '2025-07-20', 1, '{nps}', 0.5) AS s JOIN own AS o USING (period, measure) WHERE s.upper - s.lower >= o.upper - o.lower$$, 'less confidence, narrower intervals');

---- people who become one, and two again

CREATE TEMPORARY TABLE apart AS SELECT * FROM pg_temp.shown('month', NULL, 1, 'Europe/Berlin', 1, '2025-07-20');
DO $$ BEGIN PERFORM cxm.merge('email', i || '@shop.test', 'email', (i + 5) || '@shop.test', 'test') FROM generate_series(11, 15) AS i; END $$;
TRUNCATE rec;
INSERT INTO rec TABLE record_of;
TRUNCATE pair;
INSERT INTO pair SELECT q.referrer_id, q.referred_at FROM cx.referral_pair AS q;
SELECT bag_eq($$SELECT * FROM pg_temp.shown('month', NULL, 1, 'Europe/Berlin', 1, '2025-07-20')$$, $$SELECT * FROM pg_temp.restated('month', NULL, 1, 'Europe/Berlin', 1, '2025-07-20')$$, 'after merges: the figures of the people that there are now');
SELECT set_eq($$SELECT DISTINCT x.measure FROM (SELECT * FROM apart EXCEPT SELECT * FROM pg_temp.shown('month', NULL, 1, 'Europe/Berlin', 1, '2025-07-20')) AS x$$,
              $$VALUES ('retention_rate'), ('churn_rate'), ('repeat_purchase_rate'), ('referral_rate'), ('review_rate'), ('complaint_rate'), ('clv'), ('acquisition_cost')$$, 'which are others, where people count');
DO $$ BEGIN PERFORM cxm.unmerge(array_agg(l.link_id), 'test') FROM cx.link AS l WHERE l.link_id > (SELECT max(k.link_id) - 5 FROM cx.link AS k); END $$;
TRUNCATE rec;
INSERT INTO rec TABLE record_of;
TRUNCATE pair;
INSERT INTO pair SELECT q.referrer_id, q.referred_at FROM cx.referral_pair AS q;
SELECT bag_eq($$SELECT * FROM pg_temp.shown('month', NULL, 1, 'Europe/Berlin', 1, '2025-07-20')$$, $$SELECT * FROM apart$$, 'after unmerges: as before');

---- goals and benchmarks beside the measures

SELECT cxm.set_goal('nps 2025', 'ann', 'nps', 10, '2025-05-15', '2024-12-10') IS NOT NULL AS goal \gset
SELECT cxm.set_goal('spring', 'bob', 'nps', -100, '2025-04-20', '2025-04-01') IS NOT NULL AS goal \gset
SELECT cxm.set_goal('ces at 2', 'cid', 'ces', 3, '2025-12-31', '2025-01-01', 'location', 'location 2', direction => 'at_most') IS NOT NULL AS goal \gset
SELECT cxm.set_benchmark('nps', 25, 'Survey A', '2024-12-31') IS NOT NULL AS benchmark \gset
SELECT cxm.set_benchmark('nps', 30, 'Survey B', '2025-03-15') IS NOT NULL AS benchmark \gset
SELECT results_eq($$SELECT s.period, s.goal, s.target, s.goal_met = (s.value >= s.target), s.owner, s.benchmark, s.benchmark_source, s.benchmark_as_of FROM cxm.scorecard('month', from_time => '2024-11-01', to_time => '2025-07-01', measures => '{nps}', zone => 'UTC') AS s ORDER BY s.period$$,
    $$VALUES (date '2024-11-01', NULL, NULL::double precision, NULL::boolean, NULL, NULL::double precision, NULL, NULL::date), ('2024-12-01', 'nps 2025', 10, true, 'ann', 25, 'Survey A', '2024-12-31'), ('2025-01-01', 'nps 2025', 10, true, 'ann', 25, 'Survey A', '2024-12-31'),
             ('2025-02-01', 'nps 2025', 10, true, 'ann', 25, 'Survey A', '2024-12-31'), ('2025-03-01', 'nps 2025', 10, true, 'ann', 30, 'Survey B', '2025-03-15'), ('2025-04-01', 'spring', -100, true, 'bob', 30, 'Survey B', '2025-03-15'),
             ('2025-05-01', 'nps 2025', 10, true, 'ann', 30, 'Survey B', '2025-03-15'), ('2025-06-01', NULL, NULL, NULL, NULL, 30, 'Survey B', '2025-03-15')$$, 'from its first to its last day, the one due first; the newest benchmark of the time');
SELECT results_eq($$SELECT DISTINCT s.key, s.goal, s.goal_met = (s.value <= 3) FROM cxm.scorecard('quarter', 'location', '2025-01-01', '2025-07-01', measures => '{ces}') AS s ORDER BY 1$$,
    $$VALUES ('location 1', NULL, NULL::boolean), ('location 2', 'ces at 2', true), ('location 3', NULL, NULL)$$, 'of the key that it is about; at most');
UPDATE cx.goal SET target = 12, changed_at = '2025-02-10' WHERE name = 'nps 2025';
UPDATE cx.goal_version SET changed_at = CASE version WHEN 1 THEN timestamptz '2024-12-01' ELSE '2025-02-10' END WHERE goal_id = (SELECT g.goal_id FROM cx.goal AS g WHERE g.name = 'nps 2025');
SELECT results_eq($$SELECT s.target FROM cxm.scorecard('month', from_time => '2025-01-01', to_time => '2025-04-01 00:00+02', measures => '{nps}') AS s ORDER BY s.period$$, $$VALUES (10::double precision), (12), (12)$$, 'the version at the end of the period');

---- the same windows by another way: a quarter is three months, a year four quarters; a part of the time is that part of the whole

CREATE TEMPORARY TABLE way AS
SELECT v.bucket, v.rolling, d.dimension, s.ends_at, s.key, s.measure, s.unit, (s.n, s.value, s.lower, s.upper, s.previous_n, s.previous, s.change, s.p_value)::text AS said
FROM (VALUES ('quarter', 1), ('month', 3), ('year', 1), ('quarter', 4)) AS v(bucket, rolling), (VALUES (NULL), ('location'), ('product')) AS d(dimension), LATERAL cxm.scorecard(v.bucket, d.dimension, rolling => v.rolling) AS s
WHERE s.complete;
SELECT cmp_ok((SELECT count(*) FROM way WHERE bucket = 'quarter' AND rolling = 1), '>', 50::bigint, 'there are quarters to compare');
SELECT is_empty(format($$SELECT w.*, m.said FROM way AS w LEFT JOIN way AS m ON (m.bucket, m.rolling) = (%2$L, %3$s) AND m.dimension IS NOT DISTINCT FROM w.dimension AND m.ends_at = w.ends_at
                              AND m.key IS NOT DISTINCT FROM w.key AND m.measure = w.measure AND m.unit IS NOT DISTINCT FROM w.unit
                          WHERE (w.bucket, w.rolling) = (%1$L, 1) AND m.said IS DISTINCT FROM w.said$$, v.bucket, v.parts, v.n), format('each %s is %s times a %s', v.bucket, v.n, v.parts))
FROM (VALUES ('quarter', 'month', 3), ('year', 'quarter', 4)) AS v(bucket, parts, n);
SELECT is_empty(format($$SELECT * FROM cxm.scorecard('month', %1$L, '2025-02-10', rolling => %2$s) EXCEPT SELECT * FROM cxm.scorecard('month', %1$L, rolling => %2$s)$$, v.dimension, v.rolling), format('from February on: %s', v))
FROM (VALUES (NULL, 1), ('location', 2)) AS v(dimension, rolling);

---- goals and benchmarks of counted measures

SELECT cxm.set_goal('retention', 'ann', 'retention_rate', 60, '2025-07-31', '2024-11-05', 'location', 'location 1', baseline => 20, period => 'month') IS NOT NULL AS goal \gset
SELECT cxm.set_goal('churn', 'ann', 'churn_rate', 75, '2025-07-31', '2024-11-05', direction => 'at_most') IS NOT NULL AS goal \gset
SELECT cxm.set_goal('clv', 'bob', 'clv', 250, '2025-09-30', '2025-01-01', period => 'month', currency => 'USD') IS NOT NULL AS goal \gset
SELECT cxm.set_goal('waits', 'cid', 'first_response', 9, '2025-06-15', '2025-01-01', direction => 'at_most', period => 'month') IS NOT NULL AS goal \gset
CREATE FUNCTION pg_temp.status(g text, at timestamptz) RETURNS TABLE (status text, starts_at timestamptz, ends_at timestamptz, n bigint, value double precision, lower double precision, upper double precision, progress double precision, periods integer, projected double precision)
LANGUAGE sql AS $$
    WITH goal AS (
        SELECT o.*, k.unit, (o.starts_on::timestamp AT TIME ZONE 'Europe/Berlin') AS first_at, ((o.due_on + 1)::timestamp AT TIME ZONE 'Europe/Berlin') AS due_at, CASE o.direction WHEN 'at_least' THEN 1 ELSE -1 END AS sign,
               CASE WHEN o.location_id IS NOT NULL THEN 'location' END AS d, (SELECT l.key FROM cx.location AS l WHERE l.location_id = o.location_id) AS key
        FROM cx.goal AS o JOIN cxm.scorecard_measures() AS k ON k.measure = o.measure WHERE o.name = g
    ), period AS (
        SELECT s.*, row_number() OVER (ORDER BY s.starts_at DESC) AS back
        FROM goal AS o CROSS JOIN LATERAL cxm.scorecard(o.period, o.d, measures => ARRAY[o.measure]) AS s
        WHERE s.starts_at >= o.first_at AND s.ends_at <= least(at, o.due_at) AND s.value IS NOT NULL AND s.key IS NOT DISTINCT FROM o.key AND s.unit = coalesce(o.currency, o.unit)
    ), precise AS (
        SELECT sum(p.n * p.n * ((p.upper - p.lower) / 2 / 1.959963984540054) ^ 2) / sum(p.n) FILTER (WHERE p.upper > p.lower) AS v FROM period AS p
    ), line AS (
        SELECT count(*)::integer AS periods, (cxm.project(array_agg(extract(epoch FROM p.starts_at + (p.ends_at - p.starts_at) / 2 - o.first_at)::double precision / 604800 ORDER BY p.back), array_agg(p.value ORDER BY p.back),
                             array_agg(p.n / q.v ORDER BY p.back), extract(epoch FROM o.due_at + ((o.due_at AT TIME ZONE 'Europe/Berlin' - ('1 ' || o.period)::interval) AT TIME ZONE 'Europe/Berlin' - o.due_at) / 2 - o.first_at)::double precision / 604800)).*
        FROM goal AS o, period AS p, precise AS q GROUP BY o.due_at, o.period, o.first_at
    )
    SELECT CASE WHEN at >= o.due_at THEN CASE WHEN o.sign * p.value >= o.sign * o.target THEN 'reached' ELSE 'missed' END
                WHEN l.periods < 3 THEN 'too early'
                WHEN o.sign * CASE o.sign WHEN 1 THEN p.lower ELSE p.upper END >= o.sign * o.target THEN 'reached'
                WHEN o.sign * l.value >= o.sign * o.target THEN 'on track' WHEN o.sign * CASE o.sign WHEN 1 THEN l.upper ELSE l.lower END >= o.sign * o.target THEN 'at risk' ELSE 'off track' END,
           p.starts_at, p.ends_at, p.n, p.value, p.lower, p.upper, 100 * (p.value - o.baseline) / (o.target - o.baseline), l.periods,
           CASE WHEN at < o.due_at AND l.periods >= 3 THEN greatest(CASE o.unit WHEN 'percent' THEN least(l.value, 100) ELSE l.value END, 0) END
    FROM goal AS o, period AS p, line AS l WHERE p.back = 1
$$;
SELECT is_empty(format($$SELECT s.*, t.* FROM cxm.goal_status(%1$L, %2$L) AS s FULL JOIN pg_temp.status(%1$L, %2$L) AS t ON true
                WHERE (s.status, s.starts_at, s.ends_at, s.n, s.periods) IS DISTINCT FROM (t.status, t.starts_at, t.ends_at, t.n, t.periods)
                   OR NOT (pg_temp.near(s.value, t.value) AND pg_temp.near(s.lower, t.lower) AND pg_temp.near(s.upper, t.upper) AND pg_temp.near(s.progress, t.progress) AND abs(coalesce(s.projected, -1) - coalesce(t.projected, -1)) < 1e-6)$$, g, at), format('goal %s at %s', g, at))
FROM unnest('{retention,churn,clv,waits}'::text[]) AS g, unnest('{2025-02-20 13:00+00,2025-05-09 09:00+00,2025-10-05 00:00+00}'::timestamptz[]) AS at;
SELECT results_eq($$SELECT s.status, s.n, s.value, s.periods FROM cxm.goal_status('clv', '2025-01-20') AS s$$, $$VALUES ('too early', 0::bigint, NULL::double precision, 0)$$, 'no period is over yet');
SELECT is((SELECT s.metric || ' ' || s.currency FROM cx.goal_status AS s WHERE s.goal = 'clv'), 'clv USD', 'in the view by the name of the measure');
SELECT results_eq($$SELECT DISTINCT s.unit, s.goal, s.target FROM cxm.scorecard('month', from_time => '2025-03-01', to_time => '2025-05-01', measures => '{clv}') AS s ORDER BY 1$$, $$VALUES ('EUR', NULL, NULL::double precision), ('USD', 'clv', 250), (NULL, NULL, NULL)$$, 'beside the rows in its currency');
SELECT cxm.set_benchmark('complaint_rate', 12.5, 'Survey A', '2025-01-01', dimension => 'product', key => 'product 2') IS NOT NULL AS benchmark \gset
SELECT cxm.set_benchmark('clv', 200, 'Survey A', '2025-01-01', currency => 'EUR') IS NOT NULL AS benchmark \gset
SELECT cxm.set_benchmark('clv', 300, 'Survey A', '2025-01-01', currency => 'USD') IS NOT NULL AS benchmark \gset
SELECT bag_eq($$SELECT b.measure, g.n, round(g.score::numeric, 8) AS score, round(g.difference::numeric, 8) AS difference FROM cxm.benchmark_gap('2025-04-10 15:00+02', '29 days 15 hours') AS g JOIN cx.benchmark AS b USING (benchmark_id) WHERE b.measure IS NOT NULL$$,
    $$SELECT b.measure, r.n, round(r.value::numeric, 8) AS score, round((r.value - b.value)::numeric, 8) AS difference FROM cx.benchmark AS b CROSS JOIN LATERAL pg_temp.restate(CASE WHEN b.product_id IS NOT NULL THEN 'product' END, b.product_id, '2025-03-12 00:00+01', '2025-04-11 00:00+02', '2025-02-10', '2025-04-10 15:00+02') AS r
      WHERE r.measure = b.measure AND r.unit = coalesce(b.currency, r.unit)$$, 'benchmarks of counted measures: the last thirty days');
SELECT throws_ok($$SELECT cxm.set_goal('x', 'ann', 'first_response', 10, '2026-01-01', dimension => 'employee', key => 'employee 1')$$, '22023', 'measure "first_response" has no meaning by employee', 'a dimension that it does not have');
SELECT throws_ok($$SELECT cxm.set_goal('x', 'ann', 'response_rate', 101, '2026-01-01')$$, '22003', 'target 101 is no value of measure "response_rate"', 'more than all');
SELECT throws_ok($$SELECT cxm.set_goal('x', 'ann', 'clv', 'NaN', '2026-01-01')$$, '22003', NULL, 'not a number');
SELECT throws_ok($$SELECT cxm.set_goal('x', 'ann', 'nps', 10, '2026-01-01', currency => 'EUR')$$, '22023', '"nps" is not in money', 'a currency where there is none');
SELECT throws_ok($$SELECT cxm.set_goal('x', 'ann', 'clv', 10, '2026-01-01', currency => 'Euro')$$, '22023', 'currency "Euro" is not an ISO 4217 code', 'a currency that is none');
SELECT throws_ok($$SELECT cxm.set_benchmark('clv', -1, 'x', '2025-01-01')$$, '22003', NULL, 'customers worth less than nothing');
SELECT throws_ok($$SELECT cxm.change_goal('retention', 'why', 101)$$, '22003', 'target 101 is no value of measure "retention_rate"', 'changed to what cannot be');
SELECT throws_ok($$SELECT cxm.set_goal('x', 'ann', 'happiness', 10, '2026-01-01')$$, '42704', 'metric "happiness" does not exist', 'what is measured nowhere');

---- the view, and what is not asked for

SELECT bag_eq($$SELECT s.period, s.key, s.measure, s.unit, s.n, s.value, s.p_value FROM cx.scorecard AS s WHERE s.bucket = 'quarter' AND s.dimension = 'location'$$, $$SELECT s.period, s.key, s.measure, s.unit, s.n, s.value, s.p_value FROM cxm.scorecard('quarter', 'location') AS s$$, 'the view is the function');
SELECT set_eq($$SELECT DISTINCT s.bucket, s.dimension FROM cx.scorecard AS s$$, $$SELECT b, d FROM unnest('{week,month,quarter}'::text[]) AS b, unnest('{all,touchpoint,location,region,product,category,employee}'::text[]) AS d$$, 'of three periods and seven dimensions');
CREATE FUNCTION pg_temp.calls(query text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) ' || query INTO plan;
    RETURN (SELECT sum(n::integer) FROM jsonb_path_query(plan::jsonb, 'strict $.**?(@."Node Type" == "Function Scan")."Actual Loops"') AS n);
END
$$;
SELECT is(pg_temp.calls($$SELECT * FROM cx.scorecard WHERE bucket = 'month' AND dimension = 'all'$$), 1, 'one bucket and one dimension are one call');
SELECT is(pg_temp.calls('SELECT * FROM cx.scorecard'), 21, 'all are twenty-one');
CREATE FUNCTION pg_temp.scans(measures text[]) RETURNS TABLE (tables text) LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := (SELECT jsonb_object_agg(c.relname, pg_stat_get_xact_numscans(c.oid)) FROM pg_class AS c WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'i'));
BEGIN
    PERFORM * FROM cxm.scorecard('month', measures => measures);
    RETURN QUERY SELECT DISTINCT split_part(c.relname, '_', 1) FROM pg_class AS c
    WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'i') AND c.relname ~ '^(feedback|purchase|event|spend|invitation|conversation|referral|follow)' AND c.relname !~ 'event_type' AND pg_stat_get_xact_numscans(c.oid) > (before ->> c.relname)::bigint;
END
$$;
SELECT set_eq($$SELECT * FROM pg_temp.scans('{nps,csat}')$$, $$VALUES ('feedback')$$, 'scores read answers alone');
SELECT set_eq($$SELECT * FROM pg_temp.scans('{retention_rate}')$$, $$VALUES ('purchase')$$, 'retention purchases alone');
SELECT set_eq($$SELECT * FROM pg_temp.scans('{response_rate}')$$, $$VALUES ('invitation')$$, 'the response rate invitations alone');
SELECT set_eq($$SELECT * FROM pg_temp.scans('{first_response}')$$, $$VALUES ('follow'), ('conversation')$$, 'waits follow-ups and conversations');

---- what cannot be

SELECT throws_ok($$SELECT * FROM cxm.scorecard('fortnight')$$, '22023', 'bucket must be day, week, month, quarter or year, not "fortnight"', 'another bucket');
SELECT throws_ok($$SELECT * FROM cxm.scorecard(NULL)$$, '22023', NULL, 'no bucket');
SELECT throws_ok($$SELECT * FROM cxm.scorecard(dimension => 'planet')$$, '22023', 'dimension must be touchpoint, location, region, product, category, employee or trait:NAME, not "planet"', 'another dimension');
SELECT throws_ok($$SELECT * FROM cxm.scorecard(dimension => 'trait:')$$, '22023', NULL, 'a trait without a name');
SELECT is_empty($$SELECT * FROM cxm.scorecard(dimension => 'trait:shoe size')$$, 'a trait that nobody has');
SELECT set_eq($$SELECT t.id, t.value FROM cxm.trait_members('tier') AS t$$, $$SELECT i, 'trait:tier ' || i FROM generate_series(1, 3) AS i$$, 'values of a trait have numbers in their order');
SELECT results_eq($$SELECT cxm.dimension_groups('region'), cxm.dimension_groups('category'), cxm.dimension_groups('location')$$, $$VALUES ('{1,2,1}'::integer[], '{1,1,0}'::integer[], NULL::integer[])$$, 'groups: the first of each, 0 for none');
INSERT INTO cx.location (location_id, key, region) VALUES (1000001, 'far', 'region 2'), (-1, 'below', 'region 1');
SELECT throws_ok($$SELECT * FROM cxm.scorecard(dimension => 'region')$$, '54000', NULL, 'an id beyond the largest');
SELECT lives_ok($$SELECT * FROM cxm.scorecard(dimension => 'location')$$, 'which matters by region alone');
SELECT throws_ok($$SELECT * FROM cxm.scorecard(rolling => 0)$$, '22023', 'rolling must be a number of periods from 1 to 400, not 0', 'windows of nothing');
SELECT throws_ok($$SELECT * FROM cxm.scorecard(confidence => 1)$$, '22023', 'confidence 1 is not between 0 and 1', 'certainty');
SELECT throws_ok($$SELECT * FROM cxm.scorecard(zone => 'Mars/Olympus')$$, '22023', NULL, 'an unknown zone');
SELECT throws_ok($$SELECT * FROM cxm.scorecard(week_start => 8)$$, '22023', NULL, 'an eighth day');
SELECT throws_ok($$SELECT * FROM cxm.scorecard(measures => '{nps,happiness}')$$, '42704', 'measure "happiness" does not exist', 'an unknown measure');
SELECT throws_ok($$SELECT * FROM cxm.scorecard(measures => '{nps,NULL}')$$, '42704', 'measure NULL does not exist', 'none');
SELECT throws_ok($$SELECT cxm.add_metric('clv', 'rating', 1, 5)$$, '23514', NULL, 'a metric with the name of a counted measure');
SELECT is_empty($$SELECT k.measure FROM cxm.scorecard_measures() AS k WHERE pg_get_constraintdef((SELECT c.oid FROM pg_constraint AS c WHERE c.conrelid = 'cx.metric'::regclass AND c.conname = 'metric_counted_check')) !~ quote_literal(k.measure)$$, 'or of any of them');
SELECT is_empty($$SELECT k.measure FROM cxm.scorecard_measures() AS k, pg_constraint AS c WHERE c.conname IN ('goal_currency_check', 'benchmark_currency_check') AND (pg_get_constraintdef(c.oid) ~ quote_literal(k.measure)) <> (k.unit IS NULL)$$, 'a currency is for those in money');

SELECT * FROM finish();
ROLLBACK;
