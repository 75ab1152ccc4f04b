-- Recovery and match sets against a plain restatement, over random answers, histories, merges and splits.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SET timezone = 'UTC';
SELECT plan(9);
DO $$ BEGIN PERFORM setseed(0.75); PERFORM cxm.version(); END $$;

SELECT cxm.add_alert_rule('nps', metric => 'nps', score_max => 6), cxm.add_alert_rule('csat', metric => 'csat', score_max => 3), cxm.add_alert_rule('any csat', metric => 'csat');
SELECT count(cxm.identify(jsonb_build_object('email', 'p' || i || '@x.org', 'loyalty_id', CASE WHEN i % 2 = 0 THEN 'l' || i END))) FROM generate_series(1, 30) AS i;
INSERT INTO cx.touchpoint (touchpoint_id, key) VALUES (1, 't1'), (2, 't2');
INSERT INTO cx.location (location_id, key) VALUES (1, 'l1'), (2, 'l2');
INSERT INTO cx.feedback (metric, score, occurred_at, identifier_id, touchpoint_id, location_id)
SELECT CASE WHEN random() < 0.6 THEN 'nps' ELSE 'csat' END, 1 + floor(random() * 5), timestamptz '2025-01-01' + floor(random() * 200) * interval '12 hours',
       CASE WHEN random() < 0.95 THEN (SELECT identifier_id FROM cx.identifier ORDER BY random() + i LIMIT 1) END,
       CASE WHEN random() < 0.7 THEN 1 + floor(random() * 2) END, CASE WHEN random() < 0.7 THEN 1 + floor(random() * 2) END
FROM generate_series(1, 350) AS i;
UPDATE cx.feedback SET score = score + 4 WHERE metric = 'nps' AND random() < 0.6;
SELECT cxm.open_follow_ups(ARRAY(SELECT alert_id FROM cx.alert WHERE random() < 0.7)) > 30 AS opened;

-- histories: opened, resolved, re-opened, resolved ... at random times, some cancelled
TRUNCATE cx.follow_up_event;
INSERT INTO cx.follow_up_event (follow_up_id, move, moved_at, moved_by, from_state, to_state, to_owner, to_priority, changes)
SELECT h.follow_up_id, h.move, h.moved_at, 'x', lag(h.state) OVER (PARTITION BY h.follow_up_id ORDER BY h.place), h.state, 'o' || h.follow_up_id % 3, 'high',
       CASE WHEN h.move = 'resolve' THEN jsonb_build_object('outcome', jsonb_build_array(NULL, 'solved')) END
FROM (
    SELECT f.follow_up_id, m.place, m.move, m.state, f.occurred_at + m.place * interval '5 days' + random() * interval '4 days' AS moved_at, random() < 0.85 AS goes_on
    FROM cx.follow_up AS f
    CROSS JOIN (VALUES (0, 'open', 'open'), (1, 'take', 'in_progress'), (2, 'resolve', 'resolved'), (3, 'close', 'closed'), (4, 'reopen', 'open'), (5, 'take', 'in_progress'),
                       (6, 'resolve', 'resolved'), (7, 'note', 'resolved')) AS m (place, move, state)
    WHERE m.place <= f.follow_up_id % 10
) AS h
ORDER BY h.follow_up_id, h.place;
INSERT INTO cx.follow_up_event (follow_up_id, move, moved_at, moved_by, from_state, to_state, to_priority)
SELECT follow_up_id, 'cancel', max(moved_at) + interval '1 day', 'x', 'open', 'cancelled', 'high' FROM cx.follow_up_event GROUP BY 1 HAVING count(*) = 1 AND follow_up_id % 20 = 0;

-- customers as known today
CREATE TEMPORARY VIEW said AS
SELECT f.*, p.canonical_id AS customer, CASE f.metric WHEN 'nps' THEN f.score < 7 ELSE f.score < 4 END AS unhappy
FROM cx.feedback AS f JOIN cx.identifier AS i USING (identifier_id) JOIN cx.profile AS p USING (profile_id) WHERE f.score IS NOT NULL;
-- recovery: the answer after the resolution before which there is no other
CREATE TEMPORARY VIEW oracle AS
WITH resolution AS (
    SELECT e.event_id, e.follow_up_id, e.moved_at, f.feedback_id, f.metric,
           (SELECT min(o.moved_at) FROM cx.follow_up_event AS o WHERE o.follow_up_id = e.follow_up_id AND o.event_id > e.event_id AND o.move = 'reopen') AS until
    FROM cx.follow_up_event AS e JOIN cx.follow_up AS f USING (follow_up_id) WHERE e.move = 'resolve'
)
SELECT r.event_id, b.unhappy AS unhappy_before, n.feedback_id AS next_feedback_id, n.score - b.score AS change, CASE WHEN b.unhappy THEN NOT n.unhappy END AS recovered
FROM resolution AS r
LEFT JOIN said AS b ON b.feedback_id = r.feedback_id
LEFT JOIN said AS n ON n.customer = b.customer AND n.metric = r.metric AND n.occurred_at > r.moved_at AND (r.until IS NULL OR n.occurred_at <= r.until)
    AND NOT EXISTS (SELECT FROM said AS x WHERE x.customer = n.customer AND x.metric = n.metric AND x.occurred_at > r.moved_at
                                             AND (x.occurred_at, x.feedback_id) < (n.occurred_at, n.feedback_id))
WHERE b.feedback_id IS NOT NULL;
-- match sets
CREATE TEMPORARY VIEW matched AS
WITH pair AS (
    SELECT u.*, n.unhappy AS still, date_trunc('month', u.occurred_at)::date AS period,
           (SELECT string_agg(DISTINCT (SELECT e.to_state FROM cx.follow_up_event AS e WHERE e.follow_up_id = w.follow_up_id AND e.moved_at < n.occurred_at
                                        ORDER BY e.event_id DESC LIMIT 1), ' ')
            FROM cx.follow_up_alert AS w JOIN cx.alert AS a USING (alert_id) WHERE a.feedback_id = u.feedback_id) AS states
    FROM said AS u
    JOIN said AS n ON n.customer = u.customer AND n.metric = u.metric AND (n.occurred_at, n.feedback_id) > (u.occurred_at, u.feedback_id)
        AND NOT EXISTS (SELECT FROM said AS x WHERE x.customer = u.customer AND x.metric = u.metric AND (x.occurred_at, x.feedback_id) > (u.occurred_at, u.feedback_id)
                                                 AND (x.occurred_at, x.feedback_id) < (n.occurred_at, n.feedback_id))
    WHERE u.unhappy
), stood AS (
    SELECT p.*, CASE WHEN states ~ 'resolved|closed' THEN 'closed' WHEN states ~ 'open|in_progress|waiting' THEN 'open' WHEN states ~ 'cancelled' THEN 'cancelled' ELSE 'none' END AS standing
    FROM pair AS p
), counted AS (
    SELECT * FROM stood AS s
    WHERE NOT EXISTS (SELECT FROM stood AS x WHERE (x.customer, x.metric, x.period, x.standing) = (s.customer, s.metric, s.period, s.standing)
                                                AND (x.occurred_at, x.feedback_id) < (s.occurred_at, s.feedback_id))
)
SELECT metric, score, touchpoint_id, location_id, period, sum((standing = 'closed')::integer) AS closed, sum((standing = 'closed' AND NOT still)::integer) AS closed_recovered,
       sum((standing = 'open')::integer) AS open, sum((standing = 'open' AND NOT still)::integer) AS open_recovered,
       sum((standing = 'none')::integer) AS none, sum((standing = 'none' AND NOT still)::integer) AS none_recovered
FROM counted WHERE standing <> 'cancelled' GROUP BY 1, 2, 3, 4, 5;

CREATE FUNCTION pg_temp.compare(what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT set_eq('SELECT v.event_id, v.unhappy_before, v.next_feedback_id, v.change, v.recovered FROM cx.follow_up_recovery AS v
                        WHERE EXISTS (SELECT FROM said AS s JOIN cx.follow_up AS f USING (feedback_id) WHERE f.follow_up_id = v.follow_up_id)', 'SELECT * FROM oracle', 'recovery ' || what);
    RETURN NEXT set_eq('SELECT m.metric, m.score, substr(m.touchpoint, 2)::integer AS touchpoint_id, substr(m.location, 2)::integer AS location_id, m.period, m.closed_answers, m.closed_recovered, m.open_answers, m.open_recovered,
                               m.none_answers, m.none_recovered FROM cx.follow_up_match AS m', 'SELECT * FROM matched', 'match sets ' || what);
END
$$;
SELECT cmp_ok((SELECT count(*) FROM oracle WHERE recovered IS NOT NULL), '>', 20::bigint, 'many resolutions have a next answer');
SELECT is((SELECT count(*) FROM (SELECT sum(closed) AS n FROM matched UNION ALL SELECT sum(open) FROM matched UNION ALL SELECT sum(none) FROM matched UNION ALL SELECT sum(closed_recovered) FROM matched) AS s
           WHERE n > 5), 4::bigint, 'customers stand in every way');
SELECT pg_temp.compare('is what plain words say');
-- people turn out to be one, and two again; answers are corrected, come late and go
SELECT count(cxm.merge('email', 'p' || i || '@x.org', 'email', 'p' || i + 10 || '@x.org', 'one')) FROM generate_series(1, 6) AS i;
UPDATE cx.feedback SET score = 11 - score WHERE metric = 'nps' AND feedback_id % 7 = 0;
UPDATE cx.feedback SET occurred_at = occurred_at + interval '9 days' WHERE feedback_id % 11 = 0;
DELETE FROM cx.feedback WHERE feedback_id % 13 = 0;
SELECT pg_temp.compare('after merges and corrections');
SELECT count(*) FROM generate_series(1, 6, 2) AS i, cxm.unmerge('email', 'p' || i || '@x.org', 'email', 'p' || i + 10 || '@x.org', 'two');
SELECT pg_temp.compare('after splits');

-- the lift is that of the match sets
SELECT results_eq($$SELECT metric, compared_with, round(lift::numeric, 8) FROM cx.follow_up_lift WHERE compared_with <> 'open or none' ORDER BY 1, 2$$,
                  $$SELECT metric, g.w, round(100 * sum((m.closed_recovered * g.n - g.x * m.closed) / nullif(m.closed + g.n, 0)::numeric)
                                       / nullif(sum(m.closed * g.n / nullif(m.closed + g.n, 0)::numeric), 0), 8)
                    FROM matched AS m, LATERAL (VALUES ('open', m.open, m.open_recovered), ('none', m.none, m.none_recovered)) AS g (w, n, x)
                    GROUP BY 1, 2 ORDER BY 1, 2$$, 'lift is the weighted difference of the shares');
SELECT * FROM finish();
ROLLBACK;
