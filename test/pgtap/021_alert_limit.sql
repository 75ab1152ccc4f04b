-- Customers, throttles and storm caps against a plain restatement, one answer after the other; the same by backtest.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SET LOCAL timezone = 'UTC';
SELECT plan(11);
DO $$ BEGIN PERFORM cxm.version(); PERFORM setseed(0.25); END $$;

-- forty identifiers of sixteen people
DO $$
BEGIN
    FOR i IN 1 .. 40 LOOP
        PERFORM cxm.identify(jsonb_build_object('email', i || '@shop.test', 'loyalty_id', 'card-' || i % 16),
                             jsonb_build_object('segment', CASE WHEN i % 3 = 0 THEN 'vip' ELSE 'other' END), at => timestamptz '2026-01-01 00:00+00' + i * interval '20 hours');
    END LOOP;
    FOR i IN 1 .. 150 LOOP
        PERFORM cxm.record_purchase(amount => (random() * 200 - 40)::numeric(9, 2), identifiers => jsonb_build_object('email', 1 + floor(random() * 40)::integer || '@shop.test'),
                                    currency => (ARRAY['EUR', 'CHF'])[1 + floor(random() * 2)], at => timestamptz '2026-01-01 00:00+00' + random() * interval '40 days');
    END LOOP;
END
$$;
INSERT INTO cx.touchpoint (touchpoint_id, key) SELECT i, 't' || i FROM generate_series(1, 3) AS i;
INSERT INTO cx.location (location_id, key) SELECT i, 'l' || i FROM generate_series(1, 3) AS i;
INSERT INTO cx.product (product_id, key) SELECT i, 'p' || i FROM generate_series(1, 3) AS i;

CREATE TEMPORARY TABLE person AS
SELECT i.identifier_id, p.canonical_id AS person FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id);
SELECT is((SELECT count(DISTINCT person) FROM person), 16::bigint, 'there are sixteen people');

INSERT INTO cx.alert_rule (name, metric, score_max, drop_min, segment, spend_min, spend_currency, spend_window, throttle, throttle_by, storm_cap, storm_window, location_ids)
SELECT 'rule ' || i, m, 6,
       CASE WHEN m IS NOT NULL AND random() < 0.3 THEN 1 + floor(random() * 5) END,
       CASE WHEN random() < 0.3 THEN '{"segment": "vip"}'::jsonb END,
       CASE WHEN s < 0.3 THEN floor(random() * 300) END,
       CASE WHEN s < 0.15 THEN 'EUR' END,
       CASE WHEN s < 0.1 OR s BETWEEN 0.2 AND 0.3 THEN interval '12 days' END,
       CASE WHEN t < 0.7 THEN (1 + floor(random() * 40)) * interval '1 hour' END,
       CASE WHEN t < 0.7 THEN (ARRAY['customer', 'touchpoint', 'location', 'product', 'rule'])[1 + floor(t / 0.14)] END,
       CASE WHEN c < 0.5 THEN 1 + floor(random() * 5) END,
       CASE WHEN c < 0.5 THEN (1 + floor(random() * 72)) * interval '1 hour' END,
       CASE WHEN random() < 0.2 THEN '{1,3}'::integer[] END
FROM (SELECT i, (ARRAY['nps', 'csat'])[1 + floor(random() * 2)] AS m, random() AS s, random() AS t, random() AS c FROM generate_series(1, 50) AS i) AS r;

CREATE TEMPORARY TABLE answer AS
SELECT row_number() OVER (ORDER BY at) AS feedback_id, a.*
FROM (SELECT timestamptz '2026-01-05 00:00+00' + floor(random() * 5000) * interval '10 minutes' AS at,
             (ARRAY['nps', 'csat'])[1 + floor(random() * 2)] AS metric,
             floor(random() * 11)::integer AS score,
             (SELECT p.identifier_id FROM person AS p WHERE i IS NOT NULL AND random() < 0.9 ORDER BY random() LIMIT 1) AS identifier_id,
             CASE WHEN random() < 0.8 THEN 1 + floor(random() * 3) END::integer AS touchpoint_id,
             CASE WHEN random() < 0.8 THEN 1 + floor(random() * 3) END::integer AS location_id,
             CASE WHEN random() < 0.8 THEN 1 + floor(random() * 3) END::integer AS product_id
      FROM generate_series(1, 250) AS i) AS a;

DO $$
BEGIN
    FOR i IN 1 .. 250 LOOP
        INSERT INTO cx.feedback (feedback_id, occurred_at, received_at, metric, score, scale_min, scale_max, identifier_id, touchpoint_id, location_id, product_id)
        SELECT a.feedback_id, a.at, a.at, a.metric, a.score, 0, 10, a.identifier_id, a.touchpoint_id, a.location_id, a.product_id FROM answer AS a WHERE a.feedback_id = i;
    END LOOP;
END
$$;
SELECT is_empty('SELECT * FROM cx.rejection', 'nothing failed');

-- what each rule says, once more and plainly
CREATE TEMPORARY TABLE wanted (rule_id integer, feedback_id bigint, verdict text, storm_at timestamptz);
DO $$
DECLARE
    r record;
    a record;
    met boolean;
    v text;
    k text;
    began timestamptz;
    raised integer;
BEGIN
    CREATE TEMPORARY TABLE before (key text, at timestamptz) ON COMMIT DROP;
    FOR r IN SELECT * FROM cx.alert_rule ORDER BY rule_id LOOP
        DELETE FROM before;
        began := NULL;
        raised := 0;
        FOR a IN SELECT w.*, p.person FROM answer AS w LEFT JOIN person AS p USING (identifier_id) ORDER BY w.feedback_id LOOP
            met := (r.metric IS NULL OR r.metric = a.metric) AND a.score <= r.score_max AND (r.location_ids IS NULL OR coalesce(a.location_id = ANY (r.location_ids), false));
            IF met AND r.drop_min IS NOT NULL THEN
                met := coalesce((SELECT b.score FROM answer AS b JOIN person AS p USING (identifier_id)
                                 WHERE p.person = a.person AND b.metric = a.metric AND b.feedback_id < a.feedback_id ORDER BY b.feedback_id DESC LIMIT 1) - a.score >= r.drop_min, false);
            END IF;
            IF met AND r.segment IS NOT NULL THEN
                met := coalesce((SELECT t.traits->>'segment' FROM cx.trait AS t JOIN person AS p USING (identifier_id)
                                 WHERE p.person = a.person AND t.observed_at <= a.at ORDER BY t.observed_at DESC LIMIT 1) = 'vip', false);
            END IF;
            IF met AND r.spend_min IS NOT NULL THEN
                met := EXISTS (SELECT FROM cx.purchase AS b JOIN person AS p USING (identifier_id)
                               WHERE p.person = a.person AND b.occurred_at <= a.at AND (r.spend_window IS NULL OR b.occurred_at > a.at - r.spend_window)
                                 AND (r.spend_currency IS NULL OR b.currency = r.spend_currency)
                               GROUP BY b.currency HAVING sum(b.amount) >= r.spend_min);
            END IF;
            CONTINUE WHEN NOT met;

            v := 'raised';
            k := CASE r.throttle_by WHEN 'customer' THEN a.person::text WHEN 'touchpoint' THEN coalesce(a.touchpoint_id::text, '-') WHEN 'location' THEN coalesce(a.location_id::text, '-')
                                    WHEN 'product' THEN coalesce(a.product_id::text, '-') WHEN 'rule' THEN '*' END;
            IF EXISTS (SELECT FROM before AS b WHERE b.key = k AND b.at > a.at - r.throttle) THEN
                v := 'throttled';
            ELSIF r.storm_cap IS NOT NULL THEN
                IF began IS NULL OR a.at >= began + r.storm_window THEN
                    began := a.at;
                    raised := 0;
                END IF;
                IF raised >= r.storm_cap THEN
                    v := 'storm';
                ELSE
                    raised := raised + 1;
                END IF;
            END IF;
            IF v = 'raised' THEN
                INSERT INTO before VALUES (k, a.at);
            END IF;
            INSERT INTO wanted VALUES (r.rule_id, a.feedback_id, v, CASE WHEN v = 'storm' THEN began END);
        END LOOP;
    END LOOP;
END
$$;
SELECT cmp_ok((SELECT min(n) FROM (SELECT count(*) AS n FROM wanted GROUP BY verdict) AS v), '>', 100::bigint, 'every verdict comes often');
SELECT is((SELECT count(DISTINCT verdict) FROM wanted), 3::bigint, 'all three of them');

CREATE TEMPORARY VIEW live AS
SELECT rule_id, feedback_id, CASE WHEN state <> 'suppressed' THEN 'raised' WHEN limit_key LIKE 'storm %' THEN 'storm' ELSE 'throttled' END AS verdict
FROM cx.alert WHERE kind = 'answer';
SELECT set_eq('SELECT * FROM live', 'SELECT rule_id, feedback_id, verdict FROM wanted', 'answers one by one raise and suppress what the rules say');
SELECT set_eq('SELECT rule_id, occurred_at FROM cx.alert WHERE kind = ''storm''', 'SELECT DISTINCT rule_id, storm_at FROM wanted WHERE verdict = ''storm''', 'each storm has one summary');
SELECT is((SELECT count(*) FROM cx.outbox), (SELECT count(*) FROM cx.alert WHERE state = 'open'), 'listeners hear of those and of no other');
SELECT set_eq('SELECT r.rule_id, b.feedback_id, b.verdict FROM cx.alert_rule AS r, cxm.alert_backtest(r.name, ''2026-01-01'', ''2026-12-31'') AS b WHERE b.verdict <> ''summary''',
              'SELECT * FROM live', 'the backtest is what was raised and suppressed');
SELECT set_eq('SELECT r.rule_id, b.key, b.at FROM cx.alert_rule AS r, cxm.alert_backtest(r.name, ''2026-01-01'', ''2026-12-31'') AS b WHERE b.verdict = ''summary''',
              'SELECT rule_id, key, occurred_at FROM cx.alert WHERE kind = ''storm''', 'with the summaries');

-- everything at once
CREATE TEMPORARY TABLE one_by_one AS SELECT * FROM live;
TRUNCATE cx.alert, cx.outbox, cx.feedback, cx.alert_limit;
INSERT INTO cx.feedback (feedback_id, occurred_at, received_at, metric, score, scale_min, scale_max, identifier_id, touchpoint_id, location_id, product_id)
SELECT a.feedback_id, a.at, a.at, a.metric, a.score, 0, 10, a.identifier_id, a.touchpoint_id, a.location_id, a.product_id FROM answer AS a ORDER BY random();
SELECT set_eq('SELECT * FROM live', 'SELECT * FROM one_by_one', 'one statement with all answers, in any order, raises the same');
SELECT is((SELECT count(*) FROM cx.alert AS a WHERE a.state = 'suppressed' AND (SELECT e.found FROM cxm.explain_alert(a.alert_id) AS e WHERE e.item = CASE WHEN a.limit_key LIKE 'storm %' THEN 'storm cap' ELSE 'throttle' END) !~ 'alert [0-9]+ '),
          0::bigint, 'every suppressed alert can name the one that it gave way to');

SELECT * FROM finish();
ROLLBACK;
