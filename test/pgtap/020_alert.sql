-- Contracts of alerts: evaluation against a plain restatement of the rules, over random rules and answers, by every
-- way in; the trigger's place; names, comments and privileges.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SELECT plan(21);
-- settings are known once the library is loaded
DO $$ BEGIN PERFORM cxm.version(); END $$;

SELECT has_trigger('cx', 'feedback', 'feedback_alert_insert', 'inserts are watched');
SELECT has_trigger('cx', 'feedback', 'feedback_alert_update', 'updates are watched');
SELECT has_trigger('cx', 'feedback_default', 'feedback_alert_insert', 'inserts straight into the default partition are watched');
SELECT is_empty('SELECT p.relid FROM pg_partition_tree(''cx.feedback'') AS p, (VALUES (''feedback_alert_insert''), (''feedback_alert_update'')) AS w(name)
                 WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = p.relid AND t.tgname = w.name AND t.tgenabled = ''O'')',
                'and so is every other partition');
SELECT is((SELECT count(*)::integer FROM pg_trigger WHERE tgrelid = 'cx.feedback'::regclass AND tgname LIKE 'feedback\_alert%' AND tgtype & 1 = 1), 0, 'no trigger of ours fires a row at a time');
SELECT col_is_unique('cx', 'alert', ARRAY['feedback_id', 'rule_id'], 'an alert is unique for rule and answer');
SELECT is((SELECT setting FROM pg_settings WHERE name = 'cxm.alerts'), 'on', 'alerts are on unless turned off');
SELECT is((SELECT setting FROM pg_settings WHERE name = 'cxm.notify_mode'), 'worker', 'listeners are told unless turned off');
SELECT is((SELECT string_agg(context || ' ' || vartype, ', ' ORDER BY name) FROM pg_settings WHERE name IN ('cxm.alerts', 'cxm.notify_mode')),
          'user bool, user enum', 'both are any user''s to set');

-- random rules over few values, so that every condition often holds and often does not
DO $$ BEGIN PERFORM setseed(0.5); END $$;
INSERT INTO cx.touchpoint (touchpoint_id, key) SELECT i, 't' || i FROM generate_series(1, 3) AS i;
INSERT INTO cx.location (location_id, key) SELECT i, 'l' || i FROM generate_series(1, 3) AS i;
INSERT INTO cx.product (product_id, key) SELECT i, 'p' || i FROM generate_series(1, 3) AS i;
INSERT INTO cx.alert_rule (name, enabled, metric, score_min, score_max, touchpoint_ids, location_ids, product_ids, search, search_config, valid_from, valid_to)
SELECT 'rule ' || i,
       random() < 0.9,
       CASE WHEN random() < 0.7 THEN (ARRAY['nps', 'csat', 'ces'])[1 + floor(random() * 3)] END,
       CASE WHEN random() < 0.4 THEN floor(random() * 5) END,
       CASE WHEN random() < 0.4 THEN 5 + floor(random() * 5) END,
       CASE WHEN random() < 0.3 THEN ARRAY[1 + floor(random() * 3), 1 + floor(random() * 3)]::integer[] END,
       CASE WHEN random() < 0.3 THEN ARRAY[1 + floor(random() * 3), 1 + floor(random() * 3)]::integer[] END,
       CASE WHEN random() < 0.3 THEN ARRAY[1 + floor(random() * 3), 1 + floor(random() * 3)]::integer[] END,
       CASE WHEN random() < 0.3 THEN (ARRAY['refund', 'slow or late', '"very slow"', 'slow -late', 'nobody'])[1 + floor(random() * 5)] END,
       (ARRAY['simple', 'pg_catalog.english'])[1 + floor(random() * 2)],
       CASE WHEN random() < 0.3 THEN timestamptz '2024-06-01 00:00+00' ELSE '-infinity' END,
       CASE WHEN random() < 0.3 THEN timestamptz '2024-09-01 00:00+00' ELSE 'infinity' END
FROM generate_series(1, 150) AS i;

CREATE TEMPORARY TABLE answer AS
SELECT i AS feedback_id,
       timestamptz '2024-01-01 00:00+00' + random() * interval '700 days' AS occurred_at,
       (ARRAY['nps', 'csat', 'ces'])[1 + floor(random() * 3)] AS metric,
       (CASE WHEN random() < 0.9 THEN floor(random() * 11) END)::integer AS score,
       0 AS scale_min, 10 AS scale_max,
       CASE WHEN random() < 0.8 THEN 1 + floor(random() * 3) END AS touchpoint_id,
       CASE WHEN random() < 0.8 THEN 1 + floor(random() * 3) END AS location_id,
       CASE WHEN random() < 0.8 THEN 1 + floor(random() * 3) END AS product_id,
       timestamptz '2024-01-01 00:00+00' + random() * interval '360 days' AS received_at,
       (ARRAY['a refund', 'Refunds!', 'very slow', 'slow and late', 'slow, very', 'fine', ''])[1 + floor(random() * 7)] AS comment
FROM generate_series(1, 400) AS i;
UPDATE answer SET comment = NULL WHERE score IS NOT NULL AND random() < 0.3;

-- what each rule says, told once more and otherwise
CREATE FUNCTION pg_temp.reads(search text, config text, comment text) RETURNS boolean LANGUAGE sql AS $$
    SELECT CASE search
        WHEN 'refund' THEN comment ~* CASE config WHEN 'simple' THEN '\mrefund\M' ELSE '\mrefunds?\M' END
        WHEN 'slow or late' THEN comment ~ '\m(slow|late)\M'
        WHEN '"very slow"' THEN comment ~ CASE config WHEN 'simple' THEN '\mvery slow\M' ELSE '\mslow\M' END  -- very is a stop word
        WHEN 'slow -late' THEN comment ~ '\mslow\M' AND comment !~ '\mlate\M'
        WHEN 'nobody' THEN false
    END
$$;
CREATE TEMPORARY TABLE wanted AS
SELECT r.rule_id, f.feedback_id
FROM cx.alert_rule AS r, answer AS f
WHERE r.enabled
  AND f.received_at <@ tstzrange(r.valid_from, r.valid_to, '[)')
  AND coalesce(r.metric, f.metric) = f.metric
  AND (r.score_min IS NULL AND r.score_max IS NULL OR f.score <@ int4range(r.score_min, r.score_max, '[]') AND f.score IS NOT NULL)
  AND (r.touchpoint_ids IS NULL OR (r.touchpoint_ids @> ARRAY[f.touchpoint_id::integer] AND f.touchpoint_id IS NOT NULL))
  AND (r.location_ids IS NULL OR (r.location_ids @> ARRAY[f.location_id::integer] AND f.location_id IS NOT NULL))
  AND (r.product_ids IS NULL OR (r.product_ids @> ARRAY[f.product_id::integer] AND f.product_id IS NOT NULL))
  AND (r.search IS NULL OR coalesce(pg_temp.reads(r.search, r.search_config, f.comment), false));
SELECT cmp_ok((SELECT count(*) FROM wanted), '>', 1000::bigint, 'the random rules match often');
SELECT is((SELECT count(*) FROM (SELECT search IS NOT NULL, metric IS NOT NULL, score_min IS NOT NULL
                                 FROM wanted JOIN cx.alert_rule USING (rule_id) GROUP BY 1, 2, 3) AS c), 8::bigint, 'in every combination of three conditions');

-- in one statement
INSERT INTO cx.feedback (feedback_id, occurred_at, metric, score, scale_min, scale_max, touchpoint_id, location_id, product_id, received_at, comment) SELECT * FROM answer;
SELECT set_eq('SELECT rule_id, feedback_id FROM cx.alert', 'SELECT rule_id, feedback_id FROM wanted', 'INSERT ... SELECT raises what the rules say');
SELECT is((SELECT count(*) FROM cx.outbox), 1::bigint, 'and tells it in one summary');
SELECT is(cxm.evaluate_alerts(ARRAY(SELECT feedback_id FROM answer)), 0::bigint, 'evaluated again they raise nothing');

-- one by one
TRUNCATE cx.alert, cx.outbox, cx.feedback;
DO $$
BEGIN
    FOR i IN 1 .. 400 LOOP
        INSERT INTO cx.feedback (feedback_id, occurred_at, metric, score, scale_min, scale_max, touchpoint_id, location_id, product_id, received_at, comment)
        SELECT * FROM answer AS a WHERE a.feedback_id = i;
    END LOOP;
END
$$;
SELECT set_eq('SELECT rule_id, feedback_id FROM cx.alert', 'SELECT * FROM wanted', 'single INSERTs raise the same');
SELECT is((SELECT count(*) FROM cx.outbox), (SELECT count(*) FROM wanted), 'and tell of each');

-- stored while alerts were off, evaluated later
TRUNCATE cx.alert, cx.outbox, cx.feedback;
SET LOCAL cxm.alerts = off;
INSERT INTO cx.feedback (feedback_id, occurred_at, metric, score, scale_min, scale_max, touchpoint_id, location_id, product_id, received_at, comment) SELECT * FROM answer;
SELECT is((SELECT count(*) FROM cx.alert), 0::bigint, 'nothing is raised while alerts are off');
SET LOCAL cxm.alerts = on;
SELECT is(cxm.evaluate_alerts(ARRAY(SELECT feedback_id FROM answer)), (SELECT count(*) FROM wanted), 'cxm.evaluate_alerts() raises the same');

-- corrected: all answers turn into what other answers were
TRUNCATE cx.alert, cx.outbox, cx.feedback;
SET LOCAL cxm.alerts = off;
INSERT INTO cx.feedback (feedback_id, occurred_at, metric, score, scale_min, scale_max, touchpoint_id, location_id, product_id, received_at, comment)
SELECT feedback_id % 400 + 1, occurred_at, metric, score, scale_min, scale_max, touchpoint_id, location_id, product_id, received_at, comment FROM answer;
SET LOCAL cxm.alerts = on;
UPDATE cx.feedback AS f
SET (occurred_at, metric, score, touchpoint_id, location_id, product_id, received_at, comment) =
    (SELECT a.occurred_at, a.metric, a.score, a.touchpoint_id, a.location_id, a.product_id, a.received_at, a.comment FROM answer AS a WHERE a.feedback_id = f.feedback_id);
SELECT set_eq('SELECT rule_id, feedback_id FROM cx.alert',
              'SELECT * FROM wanted EXCEPT SELECT rule_id, feedback_id % 400 + 1 FROM wanted',
              'an UPDATE raises what holds now and did not hold before');

-- of this module
SELECT is((SELECT count(*) FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
           JOIN pg_language AS l ON l.oid = p.prolang
           WHERE p.pronamespace = 'cxm'::regnamespace AND p.proname ~ 'alert|outbox|notif' AND p.prosecdef), 0::bigint, 'nothing runs with more rights than the caller''s');
SELECT is((SELECT string_agg(p.proname, ', ') FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
           WHERE p.pronamespace = 'cxm'::regnamespace AND p.prosrc ~ '\mpg_notify\M'), NULL, 'nothing sends but through the outbox');

SELECT * FROM finish();
ROLLBACK;
