-- Alert rules, what they raise, what listeners are told, and who takes the alerts up.
\set SHOW_CONTEXT never
\pset null '(null)'
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT cxm.create_store('UTC') IS NOT NULL AS made;

-- what an answer raised: rule, answer, score
CREATE FUNCTION pg_temp.raised() RETURNS TABLE (rule text, version integer, feedback bigint, score smallint, state text)
LANGUAGE sql AS $$
    SELECT r.name, a.rule_version, a.feedback_id, a.score, a.state
    FROM cx.alert AS a JOIN cx.alert_rule AS r USING (rule_id) ORDER BY a.alert_id
$$;

-- no rule, no alert
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
SELECT count(*) FROM cx.alert;

-- rules
SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6, owner => 'anna');
SELECT cxm.add_alert_rule('till', 'rating', 1, 2, 'checkout', 'store 7', 'SKU-1', NULL, 'simple', 'low', NULL, '2020-01-01 00:00+00', '2021-01-01 00:00+00');
SELECT cxm.add_alert_rule('refund', search => 'refund or "never again" -joke', search_config => 'english', severity => 'critical');
SELECT r.*, t.key AS touchpoint, l.key AS location, p.key AS product
FROM (SELECT rule_id, name, version, enabled, metric, score_min, score_max, touchpoint_ids, location_ids, product_ids, search, search_config, severity, owner,
             valid_from AT TIME ZONE 'UTC' AS valid_from, valid_to AT TIME ZONE 'UTC' AS valid_to FROM cx.alert_rule) AS r
LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = ANY (r.touchpoint_ids) LEFT JOIN cx.location AS l ON l.location_id = ANY (r.location_ids) LEFT JOIN cx.product AS p ON p.product_id = ANY (r.product_ids)
ORDER BY rule_id
\gx
-- a key that is known is used
SELECT cxm.add_alert_rule('checkout again', touchpoint => 'checkout');
SELECT count(*) FROM cx.touchpoint;
SELECT cxm.enable_alert_rule('checkout again', false), cxm.enable_alert_rule('checkout again', false), cxm.enable_alert_rule('checkout again'), cxm.enable_alert_rule('checkout again', false);

-- rules that are refused
SELECT cxm.add_alert_rule(NULL, metric => 'nps');
SELECT cxm.add_alert_rule('', metric => 'nps');
SELECT cxm.add_alert_rule('everything');
SELECT cxm.add_alert_rule('everything', owner => 'anna', valid_to => '2020-01-01');
SELECT cxm.add_alert_rule('detractors', metric => 'nps');
SELECT cxm.add_alert_rule('x', metric => 'enps');
SELECT cxm.add_alert_rule('x', metric => 'nps', score_max => 11);
SELECT cxm.add_alert_rule('x', metric => 'csat', score_min => 0, score_max => 2);
SELECT cxm.add_alert_rule('x', metric => 'csat', score_min => 3, score_max => 2);
SELECT cxm.add_alert_rule('x', score_max => 6);
SELECT cxm.add_alert_rule('x', search => ' ?! ');
SELECT cxm.add_alert_rule('x', search => 'the and of', search_config => 'english');
SELECT cxm.add_alert_rule('x', search => 'refund', search_config => 'klingon');
SELECT cxm.add_alert_rule('x', search => 'refund', search_config => NULL);
SELECT cxm.add_alert_rule('x', metric => 'nps', severity => 'urgent');
SELECT cxm.add_alert_rule('x', metric => 'nps', severity => NULL);
SELECT cxm.add_alert_rule('x', metric => 'nps', valid_from => '2021-01-01 00:00+00', valid_to => '2021-01-01 00:00+00') IS NULL;
SELECT cxm.add_alert_rule('x', metric => 'nps', valid_to => NULL) IS NULL;
SELECT cxm.add_alert_rule('x', location => '');
SELECT count(*) FROM cx.alert_rule;

-- whatever way answers come in
INSERT INTO cx.feedback (feedback_id, metric, score) OVERRIDING SYSTEM VALUE VALUES (101, 'nps', 6), (102, 'nps', 7), (103, 'csat', 1), (104, 'nps', 0);
INSERT INTO cx.feedback (feedback_id, metric, score) SELECT 110 + i, 'nps', i FROM generate_series(5, 8) AS i;
COPY cx.feedback (feedback_id, metric, score, comment) FROM stdin;
121	nps	3	\N
122	nps	10	\N
123	nps	10	I want my refunds now
124	csat	5	never again
125	csat	5	never ever again
126	csat	5	never again, no joke
127	csat	\N	Refund!
\.
SELECT (cxm.record_feedback_batch('[{"metric": "nps", "score": 2, "at": "2025-03-01T10:00:00Z"}, {"metric": "nps", "score": 11, "at": "2025-03-01T10:00:00Z"}]')).rejected;
INSERT INTO cx.feedback_default (feedback_id, metric, score, scale_min, scale_max, occurred_at) VALUES (130, 'nps', 1, 0, 10, '2031-01-01 00:00+00');
-- values of a rule's valid time and catalogues
INSERT INTO cx.feedback (feedback_id, metric, score, touchpoint_id, location_id, product_id, received_at)
VALUES (141, 'rating', 2, 1, 1, 1, '2020-01-01 00:00+00'),
       (142, 'rating', 2, 1, 1, 1, '2021-01-01 00:00+00'),
       (143, 'rating', 2, 1, 1, 1, '2019-12-31 23:59:59.999999+00'),
       (144, 'rating', 3, 1, 1, 1, '2020-06-01 00:00+00'),
       (145, 'rating', 2, 1, 1, NULL, '2020-06-01 00:00+00'),
       (146, 'rating', 2, 1, 1, 2, '2020-06-01 00:00+00');
INSERT INTO cx.feedback (feedback_id, metric, comment, touchpoint_id, location_id, product_id, received_at)
VALUES (147, 'rating', 'no score', 1, 1, 1, '2020-06-01 00:00+00');
SELECT * FROM pg_temp.raised();
-- within its valid time
SELECT * FROM cxm.matching_alert_rules('rating', 2, 1, 1, 1, NULL, '2020-06-01 00:00+00');
SELECT record, reason FROM cx.rejection WHERE kind = 'alert';

-- a correction tells news, once
UPDATE cx.feedback SET score = 3 WHERE feedback_id = 102;
UPDATE cx.feedback SET score = 2 WHERE feedback_id IN (101, 102);
UPDATE cx.feedback SET score = 9 WHERE feedback_id = 102;
UPDATE cx.feedback SET score = 1 WHERE feedback_id = 102;
-- into another month, which moves the row to another partition
UPDATE cx.feedback SET score = 4, occurred_at = '2032-01-01 00:00+00' WHERE feedback_id = 118;
UPDATE cx.feedback_default SET score = 2 WHERE feedback_id = 118;
-- an answer that met a rule before the change is no news, even when nobody was told (a rule made later)
UPDATE cx.feedback SET properties = '{}', comment = 'erased' WHERE score = 0;
SELECT cxm.add_alert_rule('all csat', metric => 'csat') > 0 AS added;
UPDATE cx.feedback SET properties = '{"checked": true}' WHERE metric = 'csat';
UPDATE cx.feedback SET metric = 'csat' WHERE feedback_id = 147;
UPDATE cx.feedback SET score = 3 WHERE false;
SELECT * FROM pg_temp.raised() WHERE feedback IN (101, 102, 103, 118) OR rule = 'all csat' OR feedback < 100 ORDER BY 3, 1;

-- held against the rules again by hand: what has an alert gets no second one
SELECT cxm.evaluate_alerts('{101,102,103,999}'), cxm.evaluate_alerts('{101,102,103,999}'), cxm.evaluate_alerts('{}'), cxm.evaluate_alerts(NULL);
SELECT cxm.evaluate_alerts('{1,124,125}', (SELECT rule_id FROM cx.alert_rule WHERE name = 'detractors'));
SELECT * FROM cxm.matching_alert_rules('nps', 3, NULL, NULL, NULL, 'a refund', now()) ORDER BY rule_id;
SELECT count(*) FROM cxm.matching_alert_rules('nps', 7, NULL, NULL, NULL, NULL, now());

-- the version of the rule stays with the alert
SELECT cxm.change_alert_rule('detractors', '{"score_max": 2, "severity": "critical", "owner": null, "touchpoint": "phone"}');
SELECT cxm.change_alert_rule('detractors', '{"touchpoint": null, "name": "furious"}');
INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (151, 'nps', 2), (152, 'nps', 3);
SELECT rule_version, feedback_id, severity, owner FROM cx.alert WHERE feedback_id IN (101, 151, 152) ORDER BY feedback_id;
SELECT name, version, metric, score_min, score_max, touchpoint_ids, search_config, severity, owner FROM cx.alert_rule WHERE name = 'furious';
SELECT cxm.change_alert_rule('detractors', '{}');
SELECT cxm.change_alert_rule('furious', '{"scoremax": 2, "rule_id": 7}');
SELECT cxm.change_alert_rule('furious', '[]');
SELECT cxm.change_alert_rule('furious', NULL);
SELECT cxm.change_alert_rule('furious', '{"score_max": 12}');
SELECT cxm.change_alert_rule('furious', '{"score_max": 2.5}');
SELECT cxm.change_alert_rule('furious', '{"metric": null, "score_max": null}');
SELECT cxm.change_alert_rule('furious', '{"name": "till"}');
SELECT cxm.enable_alert_rule('nobody');
SELECT cxm.enable_alert_rule('furious', NULL);

-- turned off: a rule, or all of it
SELECT cxm.enable_alert_rule('furious', false);
INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (161, 'nps', 0);
SELECT cxm.enable_alert_rule('furious');
SET cxm.alerts = off;
SELECT cxm.alerts_enabled();
INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (162, 'nps', 0);
UPDATE cx.feedback SET score = 1 WHERE feedback_id = 152;
RESET cxm.alerts;
SELECT cxm.alerts_enabled();
SELECT count(*) FROM cx.alert WHERE feedback_id IN (152, 161, 162);
SET cxm.alerts = maybe;
SET cxm.notify_mode = nobody;
DO $$
BEGIN
    -- only 15 and later can reserve the prefix
    IF current_setting('server_version_num')::integer >= 150000 THEN
        SET cxm.no_such_setting = 1;
        RAISE EXCEPTION 'a setting that there is not was taken';
    END IF;
EXCEPTION
    WHEN invalid_name THEN NULL;
END
$$;

-- an error in evaluation is recorded, the answer is stored, and the other rules still raise
CREATE TEXT SEARCH CONFIGURATION public.doomed (COPY = pg_catalog.english);
SELECT cxm.add_alert_rule('doomed', metric => 'ces', search => 'slow', search_config => 'public.doomed') > 0 AS added;
SELECT cxm.add_alert_rule('hard work', metric => 'ces', score_max => 2) > 0 AS added;
SELECT cxm.add_alert_rule('broken', metric => 'ces', score_max => 3) > 0 AS added;
DROP TEXT SEARCH CONFIGURATION public.doomed;
UPDATE cx.alert_rule SET search = 'x', search_config = 'no such' WHERE name = 'broken';
INSERT INTO cx.feedback (feedback_id, metric, score, comment) VALUES (171, 'ces', 1, 'slow'), (172, 'ces', 7, 'fast');
SELECT * FROM pg_temp.raised() WHERE feedback > 170;
SELECT r.name, j.record->'feedback_ids' AS ids, j.reason, j.sqlstate, j.attempts, j.state
FROM cx.rejection AS j JOIN cx.alert_rule AS r ON r.rule_id = (j.record->>'rule_id')::integer
WHERE j.kind = 'alert' ORDER BY 1;
-- an update too
UPDATE cx.feedback SET score = 2 WHERE feedback_id = 172;
SELECT * FROM pg_temp.raised() WHERE feedback > 170;
-- by hand the error is an error, for the replay of the rejection to see
SELECT cxm.evaluate_alerts('{171}', (SELECT rule_id FROM cx.alert_rule WHERE name = 'doomed'));
SELECT cxm.evaluate_alerts('{171}');
-- mended
SELECT cxm.change_alert_rule('doomed', '{"search_config": "english"}');
SELECT cxm.evaluate_alerts(ARRAY(SELECT jsonb_array_elements_text(j.record->'feedback_ids')::bigint), (j.record->>'rule_id')::integer)
FROM cx.rejection AS j JOIN cx.alert_rule AS r ON r.rule_id = (j.record->>'rule_id')::integer AND r.name = 'doomed' ORDER BY rejection_id;
DELETE FROM cx.alert_rule WHERE name = 'broken';
-- a comment beyond what text search can take
SELECT cxm.add_alert_rule('word', metric => 'ces', search => 'w77') > 0 AS added;
INSERT INTO cx.feedback (feedback_id, metric, comment)
SELECT 180, 'ces', string_agg('w' || i, ' ') FROM generate_series(1, 200000) AS i UNION ALL SELECT 181, 'ces', 'w77';
SELECT * FROM pg_temp.raised() WHERE feedback > 179;
-- many answers to one rule that cannot be evaluated: no row of cx.rejection grows without bound
DELETE FROM cx.rejection;
UPDATE cx.alert_rule SET search_config = 'no such' WHERE name = 'word';
INSERT INTO cx.feedback (metric, comment) SELECT 'ces', 'a' FROM generate_series(1, 10001);
SELECT jsonb_array_length(record->'feedback_ids') AS ids FROM cx.rejection ORDER BY 1;
DELETE FROM cx.alert_rule WHERE name = 'word';

TRUNCATE cx.alert, cx.feedback, cx.rejection RESTART IDENTITY;

-- a constraint of one's own on cx.alert
ALTER TABLE cx.alert ADD CONSTRAINT mine CHECK (score IS DISTINCT FROM 1) NOT VALID;
INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (191, 'ces', 1), (192, 'ces', 2);
SELECT record->'feedback_ids' AS ids, reason FROM cx.rejection;
SELECT count(*) FROM cx.alert;
ALTER TABLE cx.alert DROP CONSTRAINT mine;

-- roles that may write answers, and less and less else
DELETE FROM cx.alert_rule WHERE name NOT IN ('furious', 'hard work');
RESET client_min_messages;
CREATE ROLE regress_cxm_writer;
CREATE ROLE regress_cxm_clerk;
CREATE ROLE regress_cxm_stranger;
SELECT cxm.grant_store('regress_cxm_writer', 'writer');
GRANT USAGE ON SCHEMA cxm, cx TO regress_cxm_clerk;
GRANT USAGE ON SCHEMA cx TO regress_cxm_stranger;
GRANT INSERT ON cx.feedback TO regress_cxm_clerk, regress_cxm_stranger;
GRANT SELECT ON cx.alert_rule TO regress_cxm_clerk;
DELETE FROM cx.rejection;
-- a new session, so that no plan of the owner is at hand
\c -
\set SHOW_CONTEXT never
SET ROLE regress_cxm_writer;
INSERT INTO cx.feedback (feedback_id, metric, score) VALUES (201, 'nps', 0);
SET ROLE regress_cxm_clerk;
INSERT INTO cx.feedback (feedback_id, metric, score, scale_min, scale_max) VALUES (202, 'nps', 0, 0, 10);
\c -
\set SHOW_CONTEXT never
SET ROLE regress_cxm_stranger;
INSERT INTO cx.feedback (feedback_id, metric, score, scale_min, scale_max) VALUES (203, 'nps', 0, 0, 10);
RESET ROLE;
GRANT INSERT ON cx.rejection TO regress_cxm_clerk;
SET ROLE regress_cxm_clerk;
INSERT INTO cx.feedback (feedback_id, metric, score, scale_min, scale_max) VALUES (204, 'nps', 0, 0, 10);
RESET ROLE;
SELECT feedback_id FROM cx.feedback WHERE feedback_id > 200 ORDER BY 1;
SELECT feedback_id FROM cx.alert WHERE feedback_id > 200 ORDER BY 1;
SELECT r.name, j.record->'feedback_ids' AS ids, j.reason FROM cx.rejection AS j JOIN cx.alert_rule AS r ON r.rule_id = (j.record->>'rule_id')::integer ORDER BY 1;
SET client_min_messages = warning;

-- what listeners are told
TRUNCATE cx.alert, cx.outbox, cx.rejection, cx.feedback RESTART IDENTITY;
DELETE FROM cx.alert_rule WHERE name <> 'furious';
SELECT cxm.add_alert_rule(repeat('a"\', 500), metric => 'csat') > 0 AS added;
SELECT cxm.add_alert_rule('w', search => 'w') > 0 AS added;
SELECT cxm.notify_mode();
INSERT INTO cx.feedback (metric, score, comment) VALUES ('nps', 1, 'what a customer wrote');
INSERT INTO cx.feedback (metric, score) VALUES ('csat', 2);
INSERT INTO cx.feedback (metric, score, comment, scale_min, scale_max) VALUES (repeat('"', 9000), 1, 'w', 0, 10);
INSERT INTO cx.feedback (metric, score) SELECT 'nps', 0 FROM generate_series(1, 100);
INSERT INTO cx.feedback (metric, score) SELECT 'nps', 0 FROM generate_series(1, 101);
SELECT outbox_id, channel, payload - 'rule' AS payload, sent_at IS NOT NULL AS sent, octet_length(payload::text) < 8000 AS fits
FROM cx.outbox WHERE outbox_id < 5 OR outbox_id > 102 ORDER BY outbox_id;
SELECT length(payload->>'rule') FROM cx.outbox WHERE payload->>'metric' = 'csat';
SELECT length(payload->>'metric') FROM cx.outbox WHERE payload->>'rule' = 'w';
-- nothing is sent: it waits
TRUNCATE cx.outbox RESTART IDENTITY;
SET cxm.notify_mode = off;
SELECT cxm.notify_mode();
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 1), ('nps', 2), ('nps', 0);
SELECT outbox_id, sent_at IS NOT NULL AS sent FROM cx.outbox ORDER BY 1;
SELECT cxm.send_outbox(2);
SELECT outbox_id, sent_at IS NOT NULL AS sent FROM cx.outbox ORDER BY 1;
SELECT cxm.send_outbox(), cxm.send_outbox();
SELECT cxm.send_outbox(0);
RESET cxm.notify_mode;

-- a rolled-back answer leaves nothing, also to a savepoint
TRUNCATE cx.alert, cx.outbox, cx.feedback RESTART IDENTITY;
BEGIN;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 1);
SAVEPOINT s;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 2);
ROLLBACK TO s;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
COMMIT;
SELECT a.feedback_id, o.payload->>'feedback_id' AS told FROM cx.alert AS a JOIN cx.outbox AS o ON (o.payload->>'alert_id')::bigint = a.alert_id ORDER BY 1;

-- claims
TRUNCATE cx.alert, cx.outbox, cx.feedback RESTART IDENTITY;
INSERT INTO cx.feedback (metric, score, comment) VALUES ('nps', 0, 'a'), ('nps', 1, NULL), ('nps', 2, 'c'), ('csat', 2, 'd');
SELECT alert_id, left(rule, 7) AS rule, rule_id IS NOT NULL AS rule_id, severity, owner, feedback_id, occurred_at IS NOT NULL AS occurred_at, identifier_id, metric, score, comment,
       claim_expires_at - clock_timestamp() BETWEEN '4 minutes' AND '5 minutes' AS lease
FROM cxm.claim_alerts(2);
SELECT alert_id FROM cxm.claim_alerts(n => 5, claimed_by => 'ben', lease => '1 microsecond');
SELECT alert_id, state, claimed_by FROM cx.alert ORDER BY 1;
-- ben's claims have lapsed
SELECT alert_id FROM cxm.claim_alerts(1, 'carl', '1 hour');
SELECT cxm.release_alert(3, 'ben'), cxm.release_alert(3, 'carl'), cxm.release_alert(3, 'carl'), cxm.release_alert(4, 'ben');
SELECT cxm.acknowledge_alert(3, 'called back', 'dora'), cxm.acknowledge_alert(3, 'again', 'emil'), cxm.acknowledge_alert(1, acknowledged_by => 'dora'), cxm.release_alert(3, 'carl');
SELECT alert_id, state, claimed_by, acknowledged_by, note, acknowledged_at IS NOT NULL AS at FROM cx.alert ORDER BY 1;
DELETE FROM cx.feedback WHERE feedback_id = 4;
SELECT alert_id, comment FROM cxm.claim_alerts(100, 'fay');
SELECT count(*) FROM cxm.claim_alerts();
SELECT cxm.acknowledge_alert(99);
SELECT cxm.acknowledge_alert(NULL);
SELECT cxm.acknowledge_alert(4, 'x', '');
SELECT cxm.release_alert(99);
SELECT * FROM cxm.claim_alerts(0);
SELECT * FROM cxm.claim_alerts(NULL);
SELECT * FROM cxm.claim_alerts(1, '');
SELECT * FROM cxm.claim_alerts(1, 'x', '0');
SELECT * FROM cxm.claim_alerts(1, 'x', '-1 day');
SELECT * FROM cxm.claim_alerts(1, 'x', NULL);

-- replay: by time, by snapshot, by both
TRUNCATE cx.alert, cx.outbox, cx.feedback RESTART IDENTITY;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
SELECT pg_current_snapshot() AS seen, clock_timestamp() AS at \gset
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 1);
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 2);
SELECT alert_id, feedback_id, state, payload - 'rule_id' AS payload FROM cxm.replay_alerts('2020-01-01');
SELECT alert_id FROM cxm.replay_alerts(:'at');
SELECT alert_id FROM cxm.replay_alerts(seen => :'seen');
SELECT alert_id FROM cxm.replay_alerts('infinity', :'seen');
SELECT alert_id FROM cxm.replay_alerts(seen => pg_current_snapshot());
SELECT bool_and(r.payload = o.payload) AS same FROM cxm.replay_alerts('-infinity') AS r JOIN cx.outbox AS o ON o.payload->>'alert_id' = r.alert_id::text;
-- in the middle of the transaction that raised it
BEGIN;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 1);
SELECT alert_id FROM cxm.replay_alerts(seen => :'seen');
ROLLBACK;
-- an alert of another cluster, whose transactions are numbered otherwise
UPDATE cx.alert SET raised_xid = '9000000000000000000' WHERE alert_id = 3;
SELECT alert_id FROM cxm.replay_alerts(seen => :'seen');
SELECT count(*) FROM cxm.replay_alerts('-infinity');
SELECT * FROM cxm.replay_alerts();

-- partitions
CREATE TABLE public.alien (LIKE cx.feedback);
SELECT cxm.add_alert_triggers('public.alien');
CREATE TABLE cx."Odd name" PARTITION OF cx.feedback FOR VALUES FROM ('2040-01-01 00:00+00') TO ('2040-02-01 00:00+00');
SELECT cxm.add_alert_triggers('cx."Odd name"'), cxm.add_alert_triggers('cx."Odd name"');
TRUNCATE cx.alert, cx.feedback RESTART IDENTITY;
INSERT INTO cx."Odd name" (feedback_id, metric, score, scale_min, scale_max, occurred_at) VALUES (1, 'nps', 0, 0, 10, '2040-01-01 00:00+00');
INSERT INTO cx.feedback (feedback_id, metric, score, occurred_at) VALUES (2, 'nps', 0, '2040-01-01 00:00+00');
SELECT feedback_id FROM cx.alert ORDER BY 1;

DROP TABLE public.alien;
DROP OWNED BY regress_cxm_writer, regress_cxm_clerk, regress_cxm_stranger;
DROP ROLE regress_cxm_writer, regress_cxm_clerk, regress_cxm_stranger;
DROP SCHEMA cx CASCADE;
