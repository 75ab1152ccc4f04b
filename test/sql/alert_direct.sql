-- What users put on cx.alert and cx.outbox holds for the single rows that are written without a statement, too.
\set SHOW_CONTEXT never
\pset null '(null)'
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT cxm.create_store('UTC') IS NOT NULL AS made;
SELECT cxm.add_alert_rule('unhappy', metric => 'nps', score_max => 6);
SET cxm.notify_mode = off;

CREATE FUNCTION pg_temp.written() RETURNS TABLE (alert_id bigint, feedback bigint, owner text, told bigint)
LANGUAGE sql AS $$
    SELECT a.alert_id, a.feedback_id, a.owner, (SELECT count(*) FROM cx.outbox AS o WHERE o.payload->>'alert_id' = a.alert_id::text)
    FROM cx.alert AS a ORDER BY 1
$$;

-- an answer that has its alert already raises no other, and what comes with it is not lost; numbers may be left out
INSERT INTO cx.feedback (feedback_id, metric, score, occurred_at) VALUES (1, 'nps', 0, '2020-01-01');
INSERT INTO cx.feedback (feedback_id, metric, score, occurred_at) VALUES (1, 'nps', 0, '2020-01-02');
INSERT INTO cx.feedback (feedback_id, metric, score, occurred_at) VALUES (1, 'nps', 0, '2020-01-03'), (2, 'nps', 1, '2020-01-03');
SELECT feedback, told FROM pg_temp.written();
SELECT count(*) FROM cx.rejection;

-- one alone is written without a subtransaction, which would take another transaction number, from the second one of a session on
SELECT a.feedback_id, a.xmin = f.xmin AS same_transaction, (SELECT o.xmin FROM cx.outbox AS o WHERE o.payload->>'alert_id' = a.alert_id::text) = f.xmin AS told_in_it
FROM cx.alert AS a JOIN cx.feedback AS f USING (feedback_id, occurred_at) ORDER BY 1;
INSERT INTO cx.feedback (feedback_id, metric, score, occurred_at) VALUES (3, 'nps', 0, '2020-01-04');
SELECT a.feedback_id, a.xmin = f.xmin AS same_transaction, (SELECT o.xmin FROM cx.outbox AS o WHERE o.payload->>'alert_id' = a.alert_id::text) = f.xmin AS told_in_it
FROM cx.alert AS a JOIN cx.feedback AS f USING (feedback_id, occurred_at) WHERE feedback_id = 3;

-- many at once are written by one statement; each is told as one is
TRUNCATE cx.alert, cx.outbox, cx.feedback RESTART IDENTITY;
INSERT INTO cx.feedback (metric, score) SELECT 'nps', 0 FROM generate_series(1, 16);
INSERT INTO cx.feedback (metric, score) SELECT 'nps', 0 FROM generate_series(1, 17);
SELECT count(*), sum(told), min(feedback), max(feedback) FROM pg_temp.written();
SELECT count(DISTINCT payload - 'alert_id' - 'feedback_id') FROM cx.outbox;
SELECT count(*), count(DISTINCT (kind, severity, state, rule_version, raised_xid IS NOT NULL, raised_at IS NOT NULL)) FROM cx.alert;

-- a trigger
TRUNCATE cx.alert, cx.outbox, cx.feedback RESTART IDENTITY;
CREATE FUNCTION public.to_anna() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.owner := 'anna'; RETURN NEW; END $$;
CREATE TRIGGER to_anna BEFORE INSERT ON cx.alert FOR EACH ROW EXECUTE FUNCTION public.to_anna();
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
SELECT * FROM pg_temp.written();
ALTER TABLE cx.alert DISABLE TRIGGER to_anna;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
SELECT * FROM pg_temp.written();
DROP TRIGGER to_anna ON cx.alert;
DROP FUNCTION public.to_anna();

-- a column with a default, and its going
ALTER TABLE cx.alert ADD COLUMN region text DEFAULT 'north';
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
SELECT alert_id, region FROM cx.alert WHERE alert_id = 3;
ALTER TABLE cx.alert DROP COLUMN region;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
SELECT alert_id, feedback, told FROM pg_temp.written() WHERE alert_id = 4;

-- another default, an index more
ALTER TABLE cx.alert ALTER COLUMN owner SET DEFAULT 'nobody', ALTER COLUMN kind SET DEFAULT 'reply';
CREATE INDEX alert_owner_idx ON cx.alert (owner);
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
SELECT kind, owner FROM cx.alert WHERE alert_id = 5;
SET enable_seqscan = off;
SELECT count(*) FROM cx.alert WHERE owner IS NULL;
RESET enable_seqscan;
ALTER TABLE cx.alert ALTER COLUMN owner DROP DEFAULT, ALTER COLUMN kind SET DEFAULT 'answer';

-- a constraint: the answer is kept, the refusal recorded, and tried again once the constraint has gone
ALTER TABLE cx.alert ADD CONSTRAINT no_zero CHECK (score > 0) NOT VALID;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0), ('nps', 1);
SELECT count(*) FROM cx.feedback;
SELECT count(*) FROM cx.alert WHERE alert_id > 5;
SELECT kind, record, sqlstate FROM cx.rejection;
ALTER TABLE cx.alert DROP CONSTRAINT no_zero;
CALL cxm.replay_rejections();
SELECT score FROM cx.alert WHERE feedback_id IN (6, 7) ORDER BY 1;
ALTER TABLE cx.outbox ADD CONSTRAINT no_alerts CHECK (channel <> 'cxm_alert') NOT VALID;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
SELECT count(*) FROM cx.alert WHERE feedback_id = 8;
SELECT kind, record, sqlstate FROM cx.rejection;
ALTER TABLE cx.outbox DROP CONSTRAINT no_alerts;


-- what else may refuse an alert, now and once the session knows of it: the answers are kept, and the reasons
TRUNCATE cx.alert, cx.outbox, cx.feedback, cx.rejection RESTART IDENTITY;
CREATE PROCEDURE pg_temp.answer_twice() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
    INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
END
$$;
ALTER TABLE cx.alert ADD CONSTRAINT no_zero CHECK (score > 0) NOT VALID;
CALL pg_temp.answer_twice();
ALTER TABLE cx.alert DROP CONSTRAINT no_zero;
ALTER TABLE cx.alert ALTER COLUMN owner SET NOT NULL;
CALL pg_temp.answer_twice();
ALTER TABLE cx.alert ALTER COLUMN owner DROP NOT NULL, ALTER COLUMN state SET DEFAULT 'lost';
CALL pg_temp.answer_twice();
ALTER TABLE cx.alert ALTER COLUMN state SET DEFAULT 'open';
CREATE UNIQUE INDEX alert_once_key ON cx.alert (kind);
CALL pg_temp.answer_twice();
DROP INDEX cx.alert_once_key;
ALTER TABLE cx.outbox ALTER COLUMN created_at SET DEFAULT make_timestamptz(2000, 13, 1, 0, 0, 0);
CALL pg_temp.answer_twice();
ALTER TABLE cx.outbox ALTER COLUMN created_at SET DEFAULT clock_timestamp();
-- numbers that are taken, as after a load that brought its own
SELECT setval(pg_get_serial_sequence('cx.alert', 'alert_id'), min(alert_id), false) IS NOT NULL AS set_back FROM cx.alert;
CALL pg_temp.answer_twice();
CALL pg_temp.answer_twice();
SELECT setval(pg_get_serial_sequence('cx.outbox', 'outbox_id'), min(outbox_id), false) IS NOT NULL AS set_back FROM cx.outbox;
CALL pg_temp.answer_twice();
CALL pg_temp.answer_twice();
SELECT count(*) AS alerts, count(*) FILTER (WHERE told = 1) AS told FROM pg_temp.written();
SELECT setval(pg_get_serial_sequence('cx.outbox', 'outbox_id'), max(outbox_id)) IS NOT NULL AS set_right FROM cx.outbox;
SELECT sqlstate, count(*) FROM cx.rejection GROUP BY 1 ORDER BY 1;
SELECT count(*), count(a.alert_id) FROM cx.feedback AS f LEFT JOIN cx.alert AS a USING (feedback_id);
CALL cxm.replay_rejections();
SELECT count(*), count(a.alert_id) FROM cx.feedback AS f LEFT JOIN cx.alert AS a USING (feedback_id);

-- what a throttle holds back, or nobody said: the same as by statements, which a trigger makes it go through
TRUNCATE cx.alert, cx.outbox, cx.feedback, cx.rejection RESTART IDENTITY;
UPDATE cx.alert_rule SET enabled = false;
INSERT INTO cx.touchpoint (touchpoint_id, key) VALUES (1, 'shop');
INSERT INTO cx.location (location_id, key) VALUES (1, 'here');
INSERT INTO cx.product (product_id, key) VALUES (1, 'tea');
-- two identifiers of one customer, one of another
SELECT cxm.identify('{"email": "1@shop.test", "loyalty_id": "one"}') IS NOT NULL AND cxm.identify('{"email": "2@shop.test"}') IS NOT NULL AS identified;
SELECT count(cxm.add_alert_rule('by ' || b, metric => 'nps', score_max => 6, severity => 'low', owner => 'anna', throttle => '1 hour', throttle_by => b,
                                storm_cap => s, storm_window => CASE WHEN s > 0 THEN interval '1 day' END))
FROM (VALUES ('customer', NULL), ('touchpoint', 2), ('location', NULL), ('product', NULL), ('rule', 1)) AS v(b, s);
SELECT count(cxm.add_alert_rule('drop by ' || b, metric => 'nps', drop_min => 1, throttle => '1 hour', throttle_by => b)) FROM unnest(ARRAY['customer', 'rule']) AS b;
SELECT cxm.add_alert_rule('spend', metric => 'nps', spend_min => 0);
CREATE FUNCTION pg_temp.answers() RETURNS TABLE (n bigint, rule text, version integer, kind text, state text, limit_key text, owner text, severity text, facts jsonb, same_time boolean, held boolean, told boolean)
LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE cx.alert, cx.outbox, cx.feedback, cx.rejection, cx.alert_limit RESTART IDENTITY;
    FOR i IN 0 .. 39 LOOP
        INSERT INTO cx.feedback (metric, score, comment, occurred_at, received_at, identifier_id, touchpoint_id, location_id, product_id)
        VALUES ('nps', CASE WHEN i % 13 < 11 THEN (i * 7) % 11 END, 'so', timestamptz '2026-01-05 10:00+00' + i * interval '17 minutes', timestamptz '2026-01-05 10:00+00' + i * interval '17 minutes',
                nullif(i % 4, 0), nullif(i % 2, 0), nullif((i / 2) % 2, 0), nullif((i / 3) % 2, 0));
    END LOOP;
    RETURN QUERY SELECT a.feedback_id, r.name, a.rule_version, a.kind, a.state, a.limit_key, a.owner, a.severity, a.facts, a.occurred_at = f.occurred_at, a.held_until IS NOT NULL,
                        EXISTS (SELECT FROM cx.outbox AS o WHERE o.payload->>'alert_id' = a.alert_id::text)
                 FROM cx.alert AS a JOIN cx.alert_rule AS r USING (rule_id) LEFT JOIN cx.feedback AS f USING (feedback_id);
END
$$;
CREATE TEMPORARY TABLE directly AS SELECT * FROM pg_temp.answers();
CREATE FUNCTION public.as_it_is() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER as_it_is BEFORE INSERT ON cx.alert FOR EACH ROW EXECUTE FUNCTION public.as_it_is();
CREATE TEMPORARY TABLE by_statement AS SELECT * FROM pg_temp.answers();
SELECT (SELECT count(*) FROM directly) = (SELECT count(*) FROM by_statement) AS as_many;
SELECT * FROM directly EXCEPT SELECT * FROM by_statement;
SELECT rule, state, count(*), count(limit_key), bool_or(told) AS told FROM directly GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) FROM cx.rejection;
DROP FUNCTION public.as_it_is() CASCADE;
DELETE FROM cx.alert_rule WHERE name <> 'unhappy';
UPDATE cx.alert_rule SET enabled = true;

-- row security, for whom it holds
TRUNCATE cx.alert, cx.outbox, cx.feedback, cx.rejection RESTART IDENTITY;
CREATE ROLE regress_cxm_direct;
SELECT cxm.grant_store('regress_cxm_direct', 'writer');
ALTER TABLE cx.alert ENABLE ROW LEVEL SECURITY;
SET ROLE regress_cxm_direct;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
RESET ROLE;
SELECT count(*) FROM cx.alert;
SELECT sqlstate FROM cx.rejection;
CREATE POLICY all_rows ON cx.alert TO regress_cxm_direct USING (true) WITH CHECK (true);
SET ROLE regress_cxm_direct;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
RESET ROLE;
SELECT feedback, told FROM pg_temp.written();
DROP POLICY all_rows ON cx.alert;
ALTER TABLE cx.alert DISABLE ROW LEVEL SECURITY;
SET ROLE regress_cxm_direct;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
RESET ROLE;
SELECT feedback, told FROM pg_temp.written();

-- the right to write it
REVOKE INSERT ON cx.alert FROM regress_cxm_direct;
SET ROLE regress_cxm_direct;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
RESET ROLE;
SELECT count(*) FROM cx.alert;
SELECT count(*) FROM cx.rejection WHERE sqlstate = '42501' AND record->'feedback_ids' = '[4]';

-- numbers that come to an end
SELECT max(alert_id) AS last FROM cx.alert \gset
ALTER SEQUENCE cx.alert_alert_id_seq MAXVALUE :last;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
SELECT count(*) FROM cx.rejection WHERE sqlstate = '2200H' AND record->'feedback_ids' = '[5]';
ALTER SEQUENCE cx.alert_alert_id_seq NO MAXVALUE;
ALTER SEQUENCE cx.outbox_outbox_id_seq INCREMENT -1 NO MINVALUE MAXVALUE 1000 START 1000 RESTART;
INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
SELECT feedback, told FROM pg_temp.written();

DROP OWNED BY regress_cxm_direct;
DROP ROLE regress_cxm_direct;
DROP SCHEMA cx CASCADE;
