-- What the views of a store answer, against figures worked out by hand
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
BEGIN;
SELECT cxm.create_store('Europe/Berlin', 1) IS NOT NULL AS made;

-- An empty store: no row, or no number, but never a zero for a score
SELECT metric, family, scale_min, scale_max, n, score, lower, upper, unit, promoter_share, mean_score, first_at
FROM cx.metric_score ORDER BY metric;
SELECT count(*) FROM cx.nps_by_touchpoint;
SELECT count(*) FROM cx.nps_trend;
SELECT count(*) FROM cx.csat_by_product;
SELECT count(*) FROM cx.detractor_queue;
SELECT count(*) FROM cx.customer_360;
SELECT cxm.customer('email', 'nobody@example.com') IS NULL AS unknown;

INSERT INTO cx.source (source_id, source) VALUES (1, 'shop'), (2, 'till');
INSERT INTO cx.touchpoint (touchpoint_id, key, name, channel) VALUES (1, 'checkout', 'Checkout', 'web'), (2, 'delivery', NULL, NULL);
INSERT INTO cx.location (location_id, key) VALUES (1, 'store-7');
INSERT INTO cx.product (product_id, key, name, category) VALUES (1, 'kettle', 'Kettle', 'kitchen'), (2, 'lamp', NULL, NULL);
INSERT INTO cx.metric (metric, family, scale_min, scale_max) VALUES ('nps_staff', 'nps', 0, 10), ('thumbs', 'csat', 0, 1);

-- NPS by touchpoint: detractors, passives and promoters 10, 20, 70 and 1, 2, 3 have published intervals
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max, touchpoint_id)
SELECT '2025-06-02 10:00Z', 'nps', g.score, 0, 10, 1
FROM (VALUES (0, 4), (6, 6), (7, 11), (8, 9), (9, 30), (10, 40)) AS g (score, times), generate_series(1, g.times);
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max, touchpoint_id)
SELECT '2025-06-03 10:00Z', 'nps', g.score, 0, 10, 2
FROM (VALUES (3, 1), (7, 2), (10, 3)) AS g (score, times), generate_series(1, g.times);
-- one answer about no touchpoint, one of another metric, and what does not count: no score, another scale
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max, touchpoint_id, comment) VALUES
    ('2025-06-04 10:00Z', 'nps', 9, 0, 10, NULL, NULL),
    ('2025-06-04 10:00Z', 'nps_staff', 2, 0, 10, 2, NULL),
    ('2025-06-04 10:00Z', 'nps', NULL, 0, 10, 2, 'no score'),
    ('2025-06-04 10:00Z', 'nps', 5, 1, 5, 2, NULL);

SELECT metric, touchpoint, touchpoint_name, channel, n, round(nps::numeric, 4) AS nps, round(lower::numeric, 4) AS lower,
       round(upper::numeric, 4) AS upper, promoters, passives, detractors, first_at = last_at AS at_once
FROM cx.nps_by_touchpoint ORDER BY metric, touchpoint NULLS LAST;

-- CSAT by product: 3 of 4 satisfied is 75 % (Wilson 30.0642 to 95.4413); thumbs up or down counts the upper one
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max, product_id) VALUES
    ('2025-06-05 10:00Z', 'csat', 5, 1, 5, 1),
    ('2025-06-05 10:00Z', 'csat', 4, 1, 5, 1),
    ('2025-06-05 10:00Z', 'csat', 4, 1, 5, 1),
    ('2025-06-06 10:00Z', 'csat', 3, 1, 5, 1),
    ('2025-06-05 10:00Z', 'csat', 6, 1, 7, 1),
    ('2025-06-05 10:00Z', 'csat', 5, 1, 7, 1),
    ('2025-06-05 10:00Z', 'csat', 1, 1, 5, 2),
    ('2025-06-05 10:00Z', 'thumbs', 1, 0, 1, 2),
    ('2025-06-05 10:00Z', 'thumbs', 0, 0, 1, 2),
    ('2025-06-05 10:00Z', 'csat', 5, 1, 5, NULL);
SELECT metric, product, product_name, category, scale_min, scale_max, n, csat, round(lower::numeric, 4) AS lower,
       round(upper::numeric, 4) AS upper, mean_score
FROM cx.csat_by_product ORDER BY metric, product, scale_max;

-- The scorecard: 4, 6 and 7 of 7 have mean 17/3, s 1.527525, t(2) 4.302653, so 5.6667 +- 3.7946
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max) VALUES
    ('2025-06-05 10:00Z', 'ces', 4, 1, 7),
    ('2025-06-05 10:00Z', 'ces', 6, 1, 7),
    ('2025-06-05 10:00Z', 'ces', 7, 1, 7),
    ('2025-06-05 10:00Z', 'rating', 2, 1, 5);
SELECT metric, scale_min, scale_max, n, round(score::numeric, 4) AS score, round(lower::numeric, 4) AS lower,
       round(upper::numeric, 4) AS upper, unit, round(promoter_share::numeric, 2) AS promoters,
       round(passive_share::numeric, 2) AS passives, round(detractor_share::numeric, 2) AS detractors,
       round(mean_score::numeric, 4) AS mean
FROM cx.metric_score ORDER BY metric, scale_max;
DELETE FROM cx.feedback;

-- The trend, over the nights on which Berlin changes its clocks (30 March and 26 October 2025, both Sundays)
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max) VALUES
    ('2025-03-29 22:59:59Z', 'nps', 0, 0, 10),
    ('2025-03-29 23:00Z', 'nps', 10, 0, 10),
    ('2025-03-30 21:59:59Z', 'nps', 7, 0, 10),
    ('2025-03-30 22:00Z', 'nps', 9, 0, 10),
    ('2025-03-31 22:00Z', 'nps', 0, 0, 10),
    ('2025-10-25 22:00Z', 'nps', 10, 0, 10),
    ('2025-10-26 22:59:59Z', 'nps', 10, 0, 10),
    ('2025-10-26 23:00Z', 'nps', 0, 0, 10);
SELECT bucket, period, starts_at, ends_at, ends_at - starts_at AS length, complete, n, nps, promoters AS pr, passives AS pa,
       detractors AS de, change
FROM cx.nps_trend WHERE metric = 'nps' ORDER BY array_position(ARRAY['day', 'week', 'month'], bucket), period;
-- the same with weeks that begin on Sunday, and in other zones
SELECT period, starts_at, n, nps, change FROM cxm.nps_trend('week', week_start => 7);
SELECT period, starts_at, ends_at - starts_at AS length, n FROM cxm.nps_trend('day', 'Asia/Kolkata');
SELECT period, n FROM cxm.nps_trend('month', 'America/New_York');
UPDATE cx.store SET week_start = 3, time_zone = 'UTC';
SELECT period, starts_at, n FROM cx.nps_trend WHERE bucket = 'week' ORDER BY period;
-- part of the time: what a bound cuts is not complete
SELECT period, complete, n
FROM cxm.nps_trend('month', 'UTC', from_time => '2025-03-30 12:00Z', to_time => '2025-10-26 00:00Z');
-- no such thing
SAVEPOINT s;
SELECT * FROM cxm.nps_trend('hour');
ROLLBACK TO s;
SELECT * FROM cxm.nps_trend(NULL);
ROLLBACK TO s;
SELECT * FROM cxm.nps_trend('day', 'Mars/Olympus');
ROLLBACK TO s;
SELECT * FROM cxm.nps_trend('week', week_start => 0);
ROLLBACK TO s;
DELETE FROM cx.feedback;

-- Changes: 10/20/70, then 20/20/60 (p 0.0594, not significant), then 60/20/20; then a gap, then again
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max)
SELECT g.at, 'nps', g.score, 0, 10
FROM (VALUES
    (timestamptz '2025-01-15 12:00Z', 5, 10), ('2025-01-15 12:00Z', 8, 20), ('2025-01-15 12:00Z', 9, 70),
    ('2025-02-15 12:00Z', 5, 20), ('2025-02-15 12:00Z', 8, 20), ('2025-02-15 12:00Z', 9, 60),
    ('2025-03-15 12:00Z', 5, 60), ('2025-03-15 12:00Z', 8, 20), ('2025-03-15 12:00Z', 9, 20),
    ('2025-05-15 12:00Z', 9, 1)) AS g (at, score, times), generate_series(1, g.times);
SELECT period, n, round(nps::numeric, 4) AS nps, round(lower::numeric, 4) AS lower, round(upper::numeric, 4) AS upper,
       round(change::numeric, 4) AS change, round(p_value::numeric, 7) AS p_value, significant
FROM cx.nps_trend WHERE bucket = 'month' ORDER BY period;
-- the period that is running is not complete
INSERT INTO cx.feedback (metric, score, scale_min, scale_max) VALUES ('nps', 9, 0, 10);
SELECT bucket, complete, count(*) FROM cx.nps_trend GROUP BY 1, 2 ORDER BY 1, 2;
DELETE FROM cx.feedback;

-- A customer: profile 2 was merged into 1, so two addresses and cookie x are one person; bob and cyd stand alone
INSERT INTO cx.profile (profile_id, canonical_id) VALUES (1, 1), (2, 1), (3, 3), (4, 4);
INSERT INTO cx.identifier (identifier_id, namespace, value, profile_id) VALUES
    (1, 'email', 'ann@example.com', 1), (2, 'anonymous_id', 'x', 2), (3, 'email', 'ann@example.org', 2),
    (4, 'email', 'bob@example.com', 3), (5, 'email', 'cyd@example.com', 4);
INSERT INTO cx.trait (identifier_id, observed_at, traits, source_id) VALUES
    (1, '2025-01-01', '{"city": "Kiel", "name": "Ann", "vip": true, "note": null}', 1),
    (2, '2025-03-01', '{"city": "Bonn", "vip": null}', 1),
    (3, '2025-02-01', '{"city": "Ulm", "age": 40}', 2);
INSERT INTO cx.event_type (event_type_id, key) VALUES (1, 'visit');
INSERT INTO cx.event (occurred_at, identifier_id, event_type_id, touchpoint_id, source_id) VALUES
    ('2025-01-02 10:00Z', 2, 1, 1, 1), ('2025-01-03 10:00Z', 2, 1, 1, 1), ('2025-01-04 10:00Z', 1, 1, 2, 1);
INSERT INTO cx.purchase (occurred_at, identifier_id, order_id, quantity, amount, currency, touchpoint_id, source_id) VALUES
    ('2025-01-05 10:00Z', 1, 'a', 1, 10.00, 'EUR', 2, 1),
    ('2025-01-05 10:00Z', 1, 'a', 2, 20.50, 'EUR', NULL, 1),
    ('2025-01-06 10:00Z', 3, 'a', 1, 5.00, 'EUR', NULL, 2),
    ('2025-01-07 10:00Z', 3, NULL, 1, 1.00, 'EUR', NULL, 2),
    ('2025-01-08 10:00Z', 1, 'r', -1, -10.00, 'EUR', NULL, 1),
    ('2025-01-05 10:00Z', 4, 'b', 1, 10, 'EUR', NULL, 1),
    ('2025-01-06 10:00Z', 4, 'c', 1, 7, 'USD', NULL, 1),
    ('2025-01-07 10:00Z', 4, 'd', 1, 3, NULL, NULL, 1);
INSERT INTO cx.feedback (feedback_id, occurred_at, identifier_id, metric, score, scale_min, scale_max, touchpoint_id, location_id, product_id, comment) VALUES
    (101, '2025-01-09 10:00Z', 1, 'nps', 9, 0, 10, NULL, NULL, NULL, NULL),
    (102, '2025-01-10 10:00Z', 3, 'nps', 2, 0, 10, 1, 1, 1, 'arrived broken'),
    (103, '2025-01-11 10:00Z', 2, 'nps', NULL, 0, 10, NULL, NULL, NULL, 'hello'),
    (104, '2025-01-12 10:00Z', 2, 'csat', 5, 1, 5, NULL, NULL, NULL, NULL),
    (105, '2025-01-01 10:00Z', 4, 'nps', 6, 0, 10, 2, NULL, NULL, 'late'),
    (106, '2025-01-03 10:00Z', 4, 'nps', 6, 0, 10, 2, NULL, NULL, 'late again'),
    (107, now() - interval '90 minutes', NULL, 'nps', 0, 0, 10, 2, NULL, NULL, 'nobody knows me'),
    (108, '2025-01-04 10:00Z', 4, 'nps', 7, 0, 10, 2, NULL, NULL, 'passive'),
    (109, '2025-01-04 10:00Z', 4, 'nps', 0, 0, 10, 2, NULL, NULL, 'no rule cared'),
    (110, '2025-01-04 10:00Z', 4, 'nps', 1, 0, 10, 2, NULL, NULL, 'done with');
INSERT INTO cx.alert_rule (rule_id, name) VALUES (1, 'detractor'), (2, 'broken');
INSERT INTO cx.alert (alert_id, rule_id, rule_version, feedback_id, occurred_at, identifier_id, metric, score, severity, owner, raised_at, state, claimed_at, claimed_by, claim_expires_at, acknowledged_at, acknowledged_by) VALUES
    (1, 1, 1, 102, '2025-01-10 10:00Z', 3, 'nps', 2, 'high', 'care', '2025-01-10 10:00Z', 'claimed', now(), 'eve', 'infinity', NULL, NULL),
    (2, 2, 1, 102, '2025-01-10 10:00Z', 3, 'nps', 2, 'critical', NULL, '2025-01-10 10:00Z', 'claimed', now(), 'eve', 'infinity', NULL, NULL),
    (3, 1, 1, 105, '2025-01-01 10:00Z', 4, 'nps', 6, 'high', 'care', '2025-01-10 10:00Z', 'claimed', now(), 'eve', '2025-01-11', NULL, NULL),
    (4, 1, 1, 106, '2025-01-03 10:00Z', 4, 'nps', 6, 'high', 'care', '2025-01-10 10:00Z', 'open', NULL, NULL, NULL, NULL, NULL),
    (5, 1, 1, 107, now() - interval '90 minutes', NULL, 'nps', 0, 'high', 'care', '2025-01-10 10:00Z', 'open', NULL, NULL, NULL, NULL, NULL),
    (6, 1, 1, 108, '2025-01-04 10:00Z', 4, 'nps', 5, 'high', 'care', '2025-01-10 10:00Z', 'open', NULL, NULL, NULL, NULL, NULL),
    (7, 1, 1, 110, '2025-01-04 10:00Z', 4, 'nps', 1, 'high', 'care', '2025-01-10 10:00Z', 'acknowledged', now(), 'eve', now(), now(), 'eve'),
    (8, 1, 1, 999, '2025-01-04 10:00Z', 4, 'nps', 1, 'high', 'care', '2025-01-10 10:00Z', 'open', NULL, NULL, NULL, NULL, NULL);
\x on
SELECT * FROM cx.customer_360 ORDER BY profile_id;
\x off
-- whoever is asked for by whatever name is the same person
SELECT cxm.customer('email', 'ann@example.com'), cxm.customer('email', 'ann@example.org'), cxm.customer('anonymous_id', 'x'),
       cxm.customer('email', 'bob@example.com'), cxm.customer('email', NULL) AS nothing;
SELECT identifiers, orders, spend FROM cx.customer_360 WHERE profile_id = cxm.customer('email', 'ann@example.org');
-- a split gives each their own again: nothing had moved
UPDATE cx.profile SET canonical_id = 2 WHERE profile_id = 2;
SELECT profile_id, identifiers, traits, events, orders, spend, last_nps, open_alerts, favourite_touchpoint
FROM cx.customer_360 WHERE profile_id IN (1, 2) ORDER BY profile_id;
UPDATE cx.profile SET canonical_id = 1 WHERE profile_id = 2;

-- The queue: pending alerts of detractors, most severe first, then lowest score, then newest
SELECT feedback_id, CASE WHEN feedback_id = 107 THEN age_hours END AS age_hours, metric, score, comment, severity,
       alert_state, owner, claimed_by, profile_id, identifiers, spend, touchpoint, location, product, employee
FROM cx.detractor_queue;
SELECT feedback_id, jsonb_pretty(alerts) AS alerts FROM cx.detractor_queue LIMIT 2;

-- views of the user's own that stand on them survive an upgrade of the store
CREATE VIEW pg_temp.mine AS SELECT profile_id, spend FROM cx.customer_360;
SELECT cxm.upgrade_store() IS NOT NULL AS upgraded;
SELECT * FROM pg_temp.mine ORDER BY profile_id;
ROLLBACK;

-- without a store
SELECT * FROM cxm.nps_trend('day');
