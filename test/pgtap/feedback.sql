-- The scale of an answer that is written without one, and rules that not everybody may read.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SELECT plan(26);
DO $$ BEGIN PERFORM cxm.version(); END $$;

CREATE FUNCTION pg_temp.scales(answers text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v_scales text;
BEGIN
    EXECUTE format('WITH i AS (INSERT INTO cx.feedback %s RETURNING feedback_id, metric, scale_min, scale_max)
                    SELECT string_agg(metric || '' '' || scale_min || '' '' || scale_max, '', '' ORDER BY feedback_id) FROM i', answers) INTO v_scales;
    RETURN v_scales;
END
$$;

---- which scale

SELECT is(pg_temp.scales($$(metric, score) VALUES ('nps', 9)$$), 'nps 0 10', 'the metric''s usual one');
SELECT is(pg_temp.scales($$(metric, score, scale_max) VALUES ('nps', 3, 5)$$), 'nps 0 5', 'the end that was left out');
SELECT is(pg_temp.scales($$(metric, score, scale_min) VALUES ('nps', 3, 1)$$), 'nps 1 10', 'and the other');
SELECT is(pg_temp.scales($$(metric, score, scale_min, scale_max) VALUES ('nps', 3, 1, 7)$$), 'nps 1 7', 'one that is given stays');
SELECT is(pg_temp.scales($$(metric, score, scale_min, scale_max) VALUES ('mood', 3, 1, 7)$$), 'mood 1 7', 'also of a metric that nobody has added');
SELECT is(pg_temp.scales($$(metric, score, scale_min, scale_max) VALUES ('csat', 3, NULL, NULL), ('nps', 3, 1, 7), ('nps', 3, NULL, NULL), ('csat', 3, 3, NULL)$$),
          (SELECT format('csat %s %s, nps 1 7, nps 0 10, csat 3 %s', m.scale_min, m.scale_max, m.scale_max) FROM cx.metric AS m WHERE m.metric = 'csat'),
          'each row its own');
SELECT pg_temp.scales($$(metric, score) VALUES ('ces', 3)$$);
UPDATE cx.metric SET scale_max = scale_max + 1 WHERE metric = 'ces';
SELECT is(pg_temp.scales($$(metric, score) VALUES ('ces', 3)$$), (SELECT format('ces %s %s', m.scale_min, m.scale_max) FROM cx.metric AS m WHERE m.metric = 'ces'), 'as it is now');

SELECT throws_ok($$INSERT INTO cx.feedback (metric, score) VALUES ('mood', 3)$$, '23503', 'unknown metric "mood"', 'an unknown metric has none');
SELECT throws_ok($$INSERT INTO cx.feedback (metric, score) VALUES (NULL, 3)$$, '23503', 'unknown metric "NULL"', 'nor has no metric');
SELECT throws_ok('SELECT cxm.feedback_usual_scale()', '39P01', NULL, 'it is for a trigger');
CREATE TABLE public.other (metric text);
CREATE TRIGGER other BEFORE INSERT ON public.other FOR EACH ROW EXECUTE FUNCTION cxm.feedback_usual_scale();
SELECT throws_ok($$INSERT INTO public.other VALUES ('nps')$$, '42703', 'cxm.feedback_usual_scale() is a trigger of cx.feedback', 'of that table');
CREATE TRIGGER after_it AFTER INSERT ON cx.feedback FOR EACH STATEMENT EXECUTE FUNCTION cxm.feedback_usual_scale();
SELECT throws_ok($$INSERT INTO cx.feedback (metric, score) VALUES ('nps', 3)$$, '39P01', NULL, 'before each row');
DROP TRIGGER after_it ON cx.feedback;

---- a partition that somebody made himself, with other columns between

DO $$
DECLARE
    v_columns text;
BEGIN
    SELECT string_agg(format('%I %s%s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                             CASE WHEN a.attname = 'metric' THEN ' COLLATE "C"' ELSE '' END,
                             CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END, format(', gone_%s integer', a.attnum)), ', ' ORDER BY a.attname DESC)
    INTO v_columns
    FROM pg_attribute AS a
    WHERE a.attrelid = 'cx.feedback'::regclass AND a.attnum > 0;
    EXECUTE format('CREATE TABLE public.mine (%s%s)', v_columns,
                   (SELECT string_agg(format(', CONSTRAINT %I %s', c.conname, pg_get_constraintdef(c.oid)), '') FROM pg_constraint AS c
                    WHERE c.conrelid = 'cx.feedback'::regclass AND c.contype = 'c'));
    FOR i IN 1 .. 17 LOOP
        EXECUTE format('ALTER TABLE public.mine DROP COLUMN gone_%s', i);
    END LOOP;
END
$$;
ALTER TABLE cx.feedback ATTACH PARTITION public.mine FOR VALUES FROM ('2040-01-01 00:00+00') TO ('2040-02-01 00:00+00');
SELECT is(pg_temp.scales($$(metric, score, occurred_at) VALUES ('nps', 9, '2040-01-15 00:00+00'), ('nps', 9, '2020-01-15 00:00+00')$$), 'nps 0 10, nps 0 10', 'through the table');
SELECT is((SELECT format('%s %s %s %s', metric, score, scale_min, scale_max) FROM public.mine), 'nps 9 0 10', 'as it was given');
INSERT INTO public.mine (feedback_id, metric, score, scale_max, occurred_at, received_at) VALUES (-1, 'nps', 7, 9, '2040-01-15 00:00+00', now());
SELECT is((SELECT format('%s %s %s %s', metric, score, scale_min, scale_max) FROM public.mine WHERE feedback_id = -1), 'nps 7 0 9', 'straight into it');

---- what is no answer, however it is written

CREATE FUNCTION pg_temp.is_answer(occurred_at timestamptz, score smallint, scale_min smallint, scale_max smallint, comment text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN cxm.check_feedback(occurred_at, score, scale_min, scale_max, comment)::text;
EXCEPTION WHEN check_violation THEN
    RETURN 'false';
END
$$;
-- true and NULL pass a constraint
SELECT is_empty($x$
    SELECT * FROM (
        SELECT t.at, s.score, l.lo, h.hi, c.comment, pg_temp.is_answer(t.at, s.score::smallint, l.lo::smallint, h.hi::smallint, c.comment) AS got,
               ((t.at >= '4000-01-01 00:00+00 BC' AND t.at < '200000-01-01 00:00+00') IS NOT FALSE
                AND (l.lo >= -128 AND h.hi <= 127 AND h.hi > l.lo AND h.hi - l.lo <= 10) IS NOT FALSE
                AND (s.score BETWEEN l.lo AND h.hi) IS NOT FALSE
                AND (s.score IS NOT NULL OR c.comment IS NOT NULL))::text AS wanted
        FROM unnest('{NULL,-infinity,4001-12-31 23:59:59.999999+00 BC,4000-01-01 00:00:00+00 BC,2026-01-01,199999-12-31 23:59:59.999999+00,200000-01-01 00:00:00+00,infinity}'::timestamptz[]) AS t(at)
        CROSS JOIN unnest('{NULL,-32768,-129,-128,-5,0,3,5,6,10,11,127,128,32767}'::integer[]) AS s(score)
        CROSS JOIN unnest('{NULL,-32768,-129,-128,-5,0,1,117,127,32767}'::integer[]) AS l(lo)
        CROSS JOIN unnest('{NULL,-32768,-118,-117,0,1,5,10,11,127,128,32767}'::integer[]) AS h(hi)
        CROSS JOIN unnest('{NULL,"",hm}'::text[]) AS c(comment)
        -- where one end is missing NOT NULL decides
        WHERE (l.lo IS NULL) = (h.hi IS NULL)) AS x
    WHERE x.got <> x.wanted$x$, 'a check says what it says in SQL');
SELECT throws_ok($$INSERT INTO cx.feedback (metric, score, occurred_at) VALUES ('nps', 3, 'infinity')$$, '23514', 'an answer cannot be of infinity', 'not a time');
SELECT throws_ok($$INSERT INTO cx.feedback (metric, score, scale_min, scale_max) VALUES ('nps', 3, 0, 11)$$, '23514', 'no scale goes from 0 to 11', 'not a scale');
SELECT throws_ok($$INSERT INTO cx.feedback_default (feedback_id, metric, score, occurred_at) VALUES (-2, 'nps', 11, '2060-01-01')$$, '23514', 'score 11 is off the scale 0 to 10', 'straight into a partition');
SELECT throws_ok($$INSERT INTO public.mine (feedback_id, metric, score, occurred_at, received_at) VALUES (-2, 'nps', -1, '2040-01-15 00:00+00', now())$$, '23514', 'score -1 is off the scale 0 to 10', 'and into mine');
SELECT throws_ok($$UPDATE cx.feedback SET score = 10 WHERE feedback_id = -1$$, '23514', 'score 10 is off the scale 0 to 9', 'by an update');
SELECT throws_ok($$INSERT INTO cx.feedback (metric) VALUES ('nps')$$, '23514', 'the answer has neither score nor comment', 'nothing said');
SELECT throws_ok($$UPDATE cx.feedback SET scale_max = NULL WHERE feedback_id = -1$$, '23502', NULL, 'no scale');

---- rules that row security hides raise nothing for whom it hides them from

SELECT cxm.add_alert_rule('hidden', metric => 'nps', score_max => 0);
SELECT cxm.add_alert_rule('shown', metric => 'nps', score_max => 1);
CREATE ROLE cxm_test_writer;
SELECT cxm.grant_store('cxm_test_writer', 'writer');
ALTER TABLE cx.alert_rule ENABLE ROW LEVEL SECURITY;
CREATE POLICY shown ON cx.alert_rule FOR SELECT USING (name = 'shown');
CREATE FUNCTION pg_temp.raised_by(role text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    INSERT INTO cx.feedback (metric, score) VALUES ('nps', 0);
    RESET ROLE;
    RETURN (SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM cx.alert AS a JOIN cx.alert_rule AS r USING (rule_id)
            WHERE a.feedback_id = (SELECT max(f.feedback_id) FROM cx.feedback AS f));
END
$$;
SELECT is(pg_temp.raised_by('cxm_test_writer'), 'shown', 'row security hides a rule');
SELECT is(pg_temp.raised_by(current_user), 'hidden, shown', 'not from the owner');
ALTER TABLE cx.alert_rule DISABLE ROW LEVEL SECURITY;
SELECT is(pg_temp.raised_by('cxm_test_writer'), 'hidden, shown', 'and no more when it is off');

SELECT * FROM finish();
ROLLBACK;
