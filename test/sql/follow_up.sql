-- Follow-ups: policies, opening, attaching, re-opening, merges, moves, escalation, and the figures of the views.
\set SHOW_CONTEXT never
\pset null '(null)'
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
SELECT cxm.create_store('UTC') IS NOT NULL AS made;

---- what is unhappy
SELECT family, lo, hi, array_agg(score ORDER BY score) FILTER (WHERE cxm.is_unhappy(family, score, lo, hi)) AS unhappy,
       array_agg(score ORDER BY score) FILTER (WHERE NOT cxm.is_unhappy(family, score, lo, hi)) AS other,
       bool_or(cxm.is_unhappy(family, score, lo, hi) IS NULL) AS unknown
FROM (VALUES ('nps', 0, 10), ('nps', 1, 5), ('csat', 1, 5), ('csat', 0, 1), ('csat', 1, 7), ('ces', 1, 7), ('rating', 1, 5), ('rating', 1, 10), ('mood', 1, 5)) AS f (family, lo, hi),
     generate_series(lo, hi) AS score
GROUP BY 1, 2, 3 ORDER BY 1, 3, 2;
SELECT cxm.is_unhappy('nps', NULL, 0, 10), cxm.is_unhappy(NULL, 1, 0, 10), cxm.is_unhappy('csat', 1, NULL, 5), cxm.is_unhappy('csat', 1, 1, NULL);

---- a difference of shares over strata
-- 13 trials of a vaccine (Colditz 1994); the R package metafor prints -0.0033, -0.0039 to -0.0027 and z -11.4708
SELECT strata, round(difference::numeric, 4) AS difference, round((difference - 1.959964 * standard_error)::numeric, 4) AS wald_lower,
       round((difference + 1.959964 * standard_error)::numeric, 4) AS wald_upper, round((difference / standard_error)::numeric, 4) AS z,
       round(lower::numeric, 4) AS lower, round(upper::numeric, 4) AS upper
FROM cxm.risk_difference('{4,6,3,62,33,180,8,505,29,17,186,5,27}', '{123,306,231,13598,5069,1541,2545,88391,7499,1716,50634,2498,16913}',
                         '{11,29,11,248,47,372,10,499,45,65,141,3,29}', '{139,303,220,12867,5808,1451,629,88391,7277,1665,27338,2341,17854}');
-- one stratum: the examples of Newcombe (1998, Statistics in Medicine 17:873-890), who gives for this method 0.0528 to
-- 0.3382, 0.1700 to 0.8406, 0.0342 to 0.8534, -0.0326 to 0.1933, -0.1658 to 0.2844, -0.2879 to 0.2879, 0.7156 to 1, 0.6636 to 1
SELECT x1 || '/' || n1 || ' - ' || x0 || '/' || n0 AS shares, round(difference::numeric, 4) AS difference, round(lower::numeric, 4) AS lower, round(upper::numeric, 4) AS upper
FROM (VALUES (56, 70, 48, 80), (9, 10, 3, 10), (6, 7, 2, 7), (5, 56, 0, 29), (0, 10, 0, 20), (0, 10, 0, 10), (10, 10, 0, 20), (10, 10, 0, 10)) AS v (x1, n1, x0, n0),
     cxm.risk_difference(ARRAY[x1]::bigint[], ARRAY[n1]::bigint[], ARRAY[x0]::bigint[], ARRAY[n0]::bigint[]);
-- the ends are where the statistic is 1.96; the group that is named first only changes the sign; strata may come in any order
SELECT round(cxm.risk_difference_z('{3,5,0}', '{10,9,4}', '{1,2,1}', '{8,12,7}', r.lower)::numeric, 6) AS at_lower,
       round(cxm.risk_difference_z('{3,5,0}', '{10,9,4}', '{1,2,1}', '{8,12,7}', r.upper)::numeric, 6) AS at_upper,
       round((r.lower + s.upper)::numeric, 9) AS mirrored, round((r.difference + s.difference)::numeric, 9) AS difference,
       round((r.standard_error - s.standard_error)::numeric, 9) AS standard_error, round((r.lower - t.lower)::numeric, 9) AS shuffled
FROM cxm.risk_difference('{3,5,0}', '{10,9,4}', '{1,2,1}', '{8,12,7}') AS r, cxm.risk_difference('{1,2,1}', '{8,12,7}', '{3,5,0}', '{10,9,4}') AS s,
     cxm.risk_difference('{0,3,5}', '{4,10,9}', '{1,1,2}', '{7,8,12}') AS t;
-- the proportions that the statistic goes by are the likeliest: a search over all in steps of a ten thousandth finds none better
WITH z AS (
    SELECT v.*, (v.x1::double precision / v.n1 - v.x0::double precision / v.n0 - v.d) AS excess,
           cxm.risk_difference_z(ARRAY[x1]::bigint[], ARRAY[n1]::bigint[], ARRAY[x0]::bigint[], ARRAY[n0]::bigint[], v.d) AS statistic
    FROM (VALUES (3, 10, 1, 8, 0.05), (3, 10, 1, 8, -0.3), (0, 12, 4, 9, -0.2), (7, 7, 2, 30, 0.6), (5, 9, 5, 9, 0.1)) AS v (x1, n1, x0, n0, d)
)
SELECT x1, n1, x0, n0, d, round(z.statistic::numeric, 2) AS statistic, round(found.statistic::numeric, 2) AS searched
FROM z, LATERAL (
    SELECT z.excess / sqrt((p * (1 - p) / n1 + (p - d) * (1 - p + d) / n0) * (n1 + n0) / (n1 + n0 - 1)) AS statistic
    FROM (SELECT i / 10000.0 AS p FROM generate_series(1, 9999) AS i) AS p
    WHERE p - d > 0 AND p - d < 1
    ORDER BY x1 * ln(p) + (n1 - x1) * ln(1 - p) + x0 * ln(p - d) + (n0 - x0) * ln(1 - p + d) DESC
    LIMIT 1) AS found;
SELECT * FROM cxm.risk_difference('{1}', '{2}', '{0}', '{0}');
SELECT * FROM cxm.risk_difference('{}', '{}', '{}', '{}');
SELECT * FROM cxm.risk_difference('{1}', '{2,3}', '{0}', '{0}');
SELECT * FROM cxm.risk_difference('{3}', '{2}', '{0}', '{0}');
SELECT * FROM cxm.risk_difference('{1}', '{2}', '{NULL}', '{4}');
SELECT * FROM cxm.risk_difference('{-1}', '{2}', '{1}', '{4}');
SELECT * FROM cxm.risk_difference(NULL, '{2}', '{1}', '{4}');

---- policies
SELECT severity, priority, respond_within, resolve_within, scope, reopen_within FROM cx.follow_up_policy ORDER BY policy_id;
SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6, owner => 'service'), cxm.add_alert_rule('refund', search => 'refund', severity => 'critical', owner => 'finance');
SELECT cxm.set_follow_up_policy('high', rule => 'detractors', respond_within => '4 hours', resolve_within => '2 days',
    escalations => '[{"owner": "lead"}, {"after": "1 day", "owner": "manager", "priority": "critical"}]', reopen_within => '10 days', root_cause_required => true) AS policy;
SELECT cxm.set_follow_up_policy(location => 'airport', priority => 'medium', respond_within => '1 hour') AS policy;
-- replaced, not added to
SELECT cxm.set_follow_up_policy(location => 'airport', priority => 'low', respond_within => '2 hours', resolve_within => '1 day') AS policy;
SELECT p.policy_id, p.severity, r.name AS rule, l.key AS location, p.priority, p.respond_within, p.resolve_within, p.reopen_within, e.level, e.after, e.owner, e.priority AS raised_to
FROM cx.follow_up_policy AS p LEFT JOIN cx.alert_rule AS r USING (rule_id) LEFT JOIN cx.location AS l ON l.location_id = p.location_id LEFT JOIN cx.follow_up_escalation AS e USING (policy_id)
WHERE p.policy_id > 4 ORDER BY 1, e.level;
-- rule before location before severity
SELECT rule, location, severity, cxm.find_follow_up_policy(rule, location, severity) AS policy
FROM (VALUES (1, 1, 'high'), (1, NULL, 'high'), (1, 1, 'low'), (2, 1, 'critical'), (2, NULL, 'critical'), (NULL, NULL, 'low')) AS v (rule, location, severity);
SELECT cxm.find_follow_up_policy(1, NULL, priority => 'high') AS high, cxm.find_follow_up_policy(2, NULL, priority => 'medium') AS medium;
SELECT cxm.set_follow_up_policy('urgent');
SELECT cxm.set_follow_up_policy();
SELECT cxm.set_follow_up_policy('low', priority => 'none');
SELECT cxm.set_follow_up_policy('low', scope => 'person');
SELECT cxm.set_follow_up_policy('low', scope => NULL);
SELECT cxm.set_follow_up_policy('low', respond_within => '0');
SELECT cxm.set_follow_up_policy('low', reopen_within => '-1 day');
SELECT cxm.set_follow_up_policy('low', outcome_required => NULL);
SELECT cxm.set_follow_up_policy('low', rule => 'nobody');
SELECT cxm.set_follow_up_policy('low', escalations => '{}');
SELECT cxm.set_follow_up_policy('low', escalations => '[{"after": "1 hour"}]');
SELECT cxm.set_follow_up_policy('low', escalations => '[{"owner": "x", "afterwards": "1 hour"}]');
SELECT cxm.set_follow_up_policy('low', escalations => '[{"owner": "x", "after": "soon"}]');
SELECT cxm.set_follow_up_policy('low', escalations => '[{"owner": "x", "after": "2 hours"}, {"owner": "y", "after": "1 hour"}]');
SELECT cxm.add_root_cause('Too late');
SELECT cxm.add_follow_up_outcome(NULL);
SELECT cxm.add_root_cause('packaging', 'delivery', 'Torn or wet'), cxm.add_root_cause('packaging', 'product'), cxm.add_follow_up_outcome('voucher', 'Was given a voucher');
SELECT root_cause, category, description FROM cx.root_cause WHERE root_cause = 'packaging';

---- opening
CREATE FUNCTION pg_temp.look() RETURNS TABLE (id bigint, state text, owner text, severity text, priority text, alerts integer, reopened integer, response interval, resolution interval)
LANGUAGE sql AS $$
    SELECT f.follow_up_id, f.state, f.owner, f.severity, f.priority, f.alerts, f.reopened,
           date_trunc('minute', f.first_response_due - f.opened_at + interval '30 s'), date_trunc('minute', f.due_at - coalesce(f.reopened_at, f.opened_at) + interval '30 s')
    FROM cx.follow_up AS f ORDER BY f.follow_up_id
$$;
-- as the evaluator of rules does, for what was raised since
CREATE FUNCTION pg_temp.open() RETURNS bigint LANGUAGE sql AS $$
    SELECT cxm.open_follow_ups(ARRAY(SELECT a.alert_id FROM cx.alert AS a WHERE NOT EXISTS (SELECT FROM cx.follow_up_alert AS x WHERE x.alert_id = a.alert_id)))
$$;
SELECT cxm.record_feedback('nps', 3, '{"email": "ann@x.org"}', comment => 'never again', touchpoint => 'checkout') AS feedback;
SELECT pg_temp.open() AS opened;
SELECT * FROM pg_temp.look();
-- a second answer joins the first; a second rule has its own; nobody is not somebody else
SELECT cxm.record_feedback('nps', 1, '{"email": "ann@x.org"}', comment => 'I want a refund') AS feedback;
SELECT cxm.record_feedback('nps', 2) AS feedback;
SELECT cxm.record_feedback('nps', 2) AS feedback;
SELECT pg_temp.open() AS opened;
SELECT * FROM pg_temp.look();
SELECT alert_id, follow_up_id FROM cx.follow_up_alert ORDER BY 1;
-- at the airport
SELECT cxm.record_feedback('ces', 2, '{"email": "bob@x.org"}', comment => 'refund', location => 'airport') AS feedback;
SELECT pg_temp.open() AS opened, cxm.open_follow_ups('{}') AS none, cxm.open_follow_ups(NULL) AS nothing, cxm.open_follow_ups('{NULL,-1,1,1}') AS known;
SELECT * FROM pg_temp.look() WHERE id > 4;
SELECT cxm.open_follow_ups(ARRAY(SELECT alert_id FROM cx.alert)) AS again;

---- moves
SELECT follow_up_id, priority, metric, score, comment FROM cxm.claim_follow_ups(2, 'anna', 'service');
SELECT follow_up_id FROM cxm.claim_follow_ups(5, 'bob', 'service');
SELECT follow_up_id FROM cxm.claim_follow_ups(5, 'bob', 'service');
SELECT follow_up_id FROM cxm.claim_follow_ups(5, 'bob');
SELECT * FROM cxm.claim_follow_ups(0, 'bob');
SELECT * FROM cxm.claim_follow_ups(1, '');
SELECT cxm.respond_follow_up(1, 'rang, no answer', 'anna') AS changed, cxm.respond_follow_up(1, 'again', 'anna') AS again;
SELECT cxm.take_follow_up(1, moved_by => 'anna') AS mine, cxm.wait_follow_up(1, 'mailed', 'anna') AS waits, cxm.wait_follow_up(1) AS still;
SELECT cxm.take_follow_up(3, moved_by => 'anna');
SELECT cxm.close_follow_up(1);
SELECT cxm.resolve_follow_up(1);
SELECT cxm.resolve_follow_up(1, 'solved');
SELECT cxm.resolve_follow_up(1, 'fine', 'staff');
SELECT cxm.resolve_follow_up(1, 'solved', 'weather');
SELECT cxm.prioritize_follow_up(1, 'urgent');
SELECT cxm.prioritize_follow_up(1, NULL);
SELECT cxm.note_follow_up(1, '');
SELECT cxm.note_follow_up(77, 'x');
SELECT cxm.note_follow_ups(ARRAY[1, 77, NULL], 'x');
SELECT cxm.assign_follow_up(1, '');
SELECT cxm.assign_follow_up(1, 'bob', moved_by => '');
SELECT cxm.move_follow_ups('{1}', 'attach', 'anna');
SELECT cxm.move_follow_ups('{1}', NULL, 'anna');
SELECT cxm.close_follow_ups(ARRAY[1, 2, 3, 5]);
SELECT cxm.assign_follow_ups('{}', 'bob') AS none, cxm.assign_follow_ups('{1,1,3}', 'bob', 'bulk', 'lead') AS two, cxm.assign_follow_ups('{1,3}', 'bob') AS no_more;
-- priority: due times come forward, and do not go back
SELECT cxm.prioritize_follow_up(5, 'critical') AS raised, cxm.prioritize_follow_up(5, 'critical') AS again;
SELECT * FROM pg_temp.look() WHERE id = 5;
SELECT cxm.prioritize_follow_up(5, 'low') AS lowered;
SELECT * FROM pg_temp.look() WHERE id = 5;
-- time spent waiting does not count
UPDATE cx.follow_up SET waiting_since = waiting_since - interval '5 hours' WHERE follow_up_id = 1;
SELECT cxm.resume_follow_up(1, 'they rang back', 'bob') AS resumed;
SELECT date_trunc('hour', waited) AS waited, date_trunc('hour', due_at - opened_at) AS resolution, waiting_since FROM cx.follow_up WHERE follow_up_id = 1;
SELECT cxm.resolve_follow_up(1, 'solved', 'staff', 'sorted', 'bob') AS resolved, cxm.resolve_follow_up(1, 'solved', 'staff') AS again;
SELECT cxm.resolve_follow_up(1, 'declined', 'staff');
SELECT cxm.close_follow_up(1) AS closed, cxm.close_follow_up(1) AS again;
SELECT move, moved_by, what, alert_id, note
FROM (SELECT e.*, regexp_replace(regexp_replace(e.what, '\d{4}-\d\d-\d\dT[^ ;]*', '<time>', 'g'), '\d+:\d\d:\d\d[.\d]*', '<interval>', 'g') AS what FROM cxm.explain_follow_up(1) AS e) AS h (moved_at, move, moved_by, whole, alert_id, note, what);
SELECT * FROM cxm.explain_follow_up(NULL);

---- a bad score re-opens within ten days
SELECT cxm.record_feedback('nps', 5, '{"email": "ann@x.org"}') AS feedback;
SELECT pg_temp.open() AS opened;
SELECT id, state, owner, priority, alerts, reopened, resolution FROM pg_temp.look() WHERE id = 1;
SELECT outcome, root_cause, resolved_at, closed_at, first_response_at IS NOT NULL AS responded FROM cx.follow_up WHERE follow_up_id = 1;
SELECT move, from_state, to_state, alert_id, changes -> 'outcome' AS outcome FROM cx.follow_up_event WHERE follow_up_id = 1 ORDER BY event_id DESC LIMIT 1;
SELECT cxm.take_follow_up(1, moved_by => 'bob'), cxm.resolve_follow_up(1, 'explained', 'price', moved_by => 'bob');
UPDATE cx.follow_up SET resolved_at = resolved_at - interval '11 days' WHERE follow_up_id = 1;
SELECT cxm.record_feedback('nps', 4, '{"email": "ann@x.org"}') AS feedback;
SELECT pg_temp.open() AS opened;
SELECT id, state, alerts, reopened FROM pg_temp.look() WHERE id IN (1, 6);
-- an alert while it waits for the customer ends the waiting
SELECT cxm.take_follow_up(6), cxm.wait_follow_up(6);
SELECT cxm.record_feedback('nps', 0, '{"email": "ann@x.org"}') AS feedback;
SELECT pg_temp.open() AS opened;
SELECT id, state, alerts FROM pg_temp.look() WHERE id = 6;
-- a cancelled one is none
SELECT cxm.cancel_follow_up(6, 'a joke');
SELECT cxm.record_feedback('nps', 0, '{"email": "ann@x.org"}') AS feedback;
SELECT pg_temp.open() AS opened;
SELECT id, state, alerts FROM pg_temp.look() WHERE id > 5;

---- merges
SELECT cxm.record_feedback('nps', 2, '{"phone": "+493012345"}') AS feedback;
SELECT pg_temp.open() AS opened;
SELECT follow_up_id, profile_id = cxm.customer('email', 'ann@x.org') AS is_ann, others_open FROM cx.follow_up_queue WHERE follow_up_id IN (7, 8) ORDER BY 1;
SELECT cxm.merge('email', 'ann@x.org', 'phone', '+493012345', 'one voice') > 0 AS merged;
-- two that were two people's are two; what comes now joins the older
SELECT follow_up_id, profile_id = cxm.customer('email', 'ann@x.org') AS is_ann, others_open FROM cx.follow_up_queue WHERE follow_up_id IN (7, 8) ORDER BY 1;
SELECT cxm.record_feedback('nps', 2, '{"phone": "+493012345"}') AS feedback;
SELECT pg_temp.open() AS opened;
SELECT id, state, alerts FROM pg_temp.look() WHERE id > 6;
SELECT count(*) FROM cxm.unmerge('phone', '+493012345', 'email', 'ann@x.org', 'two voices');
SELECT cxm.record_feedback('nps', 2, '{"phone": "+493012345"}') AS feedback;
SELECT pg_temp.open() AS opened;
SELECT id, state, alerts FROM pg_temp.look() WHERE id > 6;
SELECT * FROM cxm.store_check();

---- by hand
SELECT cxm.record_feedback('csat', 4, '{"email": "cleo@x.org"}', comment => 'could you ring me', location => 'airport') AS feedback \gset
SELECT cxm.open_follow_up(:feedback, 'low', 'anna', 'wants a call', 'anna') AS opened;
SET client_min_messages = notice;
SELECT cxm.open_follow_up(:feedback) = max(follow_up_id) AS same FROM cx.follow_up;
SET client_min_messages = warning;
SELECT state, owner, priority, note, alert_id, moved_by FROM cx.follow_up WHERE feedback_id = :feedback;
SELECT cxm.open_follow_up(-1);
SELECT cxm.open_follow_up(:feedback, 'urgent');

---- escalation
SELECT cxm.escalate_overdue() AS nothing_is_due;
SELECT cxm.escalate_overdue(0);
UPDATE cx.follow_up SET opened_at = opened_at - interval '5 hours', first_response_due = first_response_due - interval '5 hours', due_at = due_at - interval '5 hours' WHERE follow_up_id IN (3, 7);
UPDATE cx.follow_up SET opened_at = opened_at - interval '3 days 1 hour', first_response_due = first_response_due - interval '3 days 1 hour', due_at = due_at - interval '3 days 1 hour' WHERE follow_up_id = 8;
SELECT follow_up_id, state, priority, owner, first_response_at IS NOT NULL AS responded, overdue FROM cx.follow_up_queue WHERE overdue ORDER BY 1;
SELECT cxm.escalate_overdue() AS escalated, cxm.escalate_overdue() AS again;
SELECT follow_up_id, state, priority, owner, escalation_level, note FROM cx.follow_up WHERE escalation_level > 0 ORDER BY 1;
SELECT follow_up_id, from_owner, to_owner, from_priority, to_priority, moved_by = session_user AS by_us FROM cx.follow_up_event WHERE move = 'escalate' ORDER BY 1;
-- with a response only the resolution can be overdue
SELECT cxm.respond_follow_up(7);
UPDATE cx.follow_up SET due_at = due_at - interval '3 days' WHERE follow_up_id = 7;
SELECT cxm.escalate_overdue() AS escalated;
SELECT owner, priority, escalation_level, note FROM cx.follow_up WHERE follow_up_id = 7;
SELECT cxm.escalate_follow_up(3, 'director', note => 'a friend of the mayor') AS by_hand;
SELECT owner, escalation_level FROM cx.follow_up WHERE follow_up_id = 3;
CALL cxm.escalate_follow_ups();
SELECT job, outcome, row_count, detail FROM cx.job_run ORDER BY run_id;
SELECT channel, payload FROM cx.outbox WHERE channel = 'cxm_follow_up' AND payload ->> 'move' = 'escalate' ORDER BY outbox_id;
DROP SCHEMA cx CASCADE;

---- figures, worked by hand
SELECT cxm.create_store('UTC') IS NOT NULL AS made;
SELECT count(*) FROM cx.follow_up_times;
SELECT count(*) FROM cx.follow_up_by_owner;
SELECT count(*) FROM cx.follow_up_recovery_rate;
SELECT count(*) FROM cx.follow_up_lift;
INSERT INTO cx.location (location_id, key) VALUES (1, 'north'), (2, 'south');
INSERT INTO cx.follow_up (owner, location_id, opened_at, first_response_due, first_response_at, due_at, state, resolved_at, waiting_since) VALUES
    -- response after 1, 2, 3, 10 hours, due after 4; resolution after 10, 20, 30 hours, due after 24
    ('anna', 1, now() - interval '100 hours', now() - interval '96 hours', now() - interval '99 hours', now() - interval '76 hours', 'resolved', now() - interval '90 hours', NULL),
    ('anna', 1, now() - interval '100 hours', now() - interval '96 hours', now() - interval '98 hours', now() - interval '76 hours', 'resolved', now() - interval '80 hours', NULL),
    ('anna', 2, now() - interval '100 hours', now() - interval '96 hours', now() - interval '97 hours', now() - interval '76 hours', 'resolved', now() - interval '70 hours', NULL),
    ('bob', 2, now() - interval '100 hours', now() - interval '96 hours', now() - interval '90 hours', now() - interval '76 hours', 'in_progress', NULL, NULL),
    -- overdue, not yet due, and waiting for the customer since before it was due
    ('bob', NULL, now() - interval '10 hours', now() - interval '6 hours', NULL, now() + interval '14 hours', 'open', NULL, NULL),
    ('bob', NULL, now() - interval '2 hours', now() + interval '2 hours', NULL, now() + interval '22 hours', 'open', NULL, NULL),
    (NULL, NULL, now() - interval '50 hours', now() - interval '46 hours', now() - interval '47 hours', now() - interval '26 hours', 'waiting', NULL, now() - interval '30 hours');
INSERT INTO cx.follow_up (state, closed_at, first_response_due) VALUES ('cancelled', now(), now() - interval '1 day');
SELECT dimension, key, follow_ups AS n, responded, round(median_response_hours::numeric, 2) AS median, round(p90_response_hours::numeric, 2) AS p90,
       response_promises AS promises, response_breaches AS breaches, round(response_breach_percent::numeric, 2) AS percent
FROM cx.follow_up_times ORDER BY 1, 2;
SELECT dimension, key, resolved, round(median_resolution_hours::numeric, 2) AS median, round(p90_resolution_hours::numeric, 2) AS p90,
       resolution_promises AS promises, resolution_breaches AS breaches, round(resolution_breach_percent::numeric, 2) AS percent, reopened
FROM cx.follow_up_times ORDER BY 1, 2;
SELECT owner, location, promise, late_hours, kept_at IS NOT NULL AS kept FROM cx.follow_up_breaches ORDER BY 1, 2, 3, 4;
SELECT owner, follow_ups AS n, open, in_progress, waiting, response_overdue, resolution_overdue, under_1_day, from_1_to_3_days, from_3_to_7_days, from_7_to_30_days, over_30_days
FROM cx.follow_up_by_owner ORDER BY owner;
TRUNCATE cx.follow_up, cx.follow_up_event RESTART IDENTITY;

-- recovery
SELECT cxm.add_alert_rule('detractors', metric => 'nps', score_max => 6, owner => 'anna') AS rule;
CREATE FUNCTION pg_temp.say(who text, score integer, at text, note text DEFAULT NULL, metric text DEFAULT 'nps') RETURNS bigint LANGUAGE sql AS $$
    SELECT cxm.record_feedback(metric, score, jsonb_build_object('email', who || '@x.org'), at => at::timestamptz, comment => note, location => 'north')
$$;
-- opens what is new as of then, and resolves it a day later
CREATE FUNCTION pg_temp.resolve(who text, at text, outcome text DEFAULT 'solved') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM cxm.open_follow_ups(ARRAY(SELECT alert_id FROM cx.alert));
    SELECT f.follow_up_id INTO v_id FROM cx.follow_up AS f JOIN cx.identifier AS i USING (identifier_id)
    WHERE i.value = who || '@x.org' AND f.state IN ('open', 'in_progress') ORDER BY 1 DESC LIMIT 1;
    PERFORM cxm.take_follow_up(v_id, moved_by => 'anna'), cxm.resolve_follow_up(v_id, outcome, 'staff', moved_by => 'anna');
    -- as if it had been then
    UPDATE cx.follow_up_event SET moved_at = at::timestamptz WHERE follow_up_id = v_id AND moved_at > now() - interval '1 hour';
    RETURN v_id;
END
$$;
SELECT pg_temp.say('ann', 2, '2025-01-01'), pg_temp.resolve('ann', '2025-01-02');
SELECT pg_temp.say('bob', 3, '2025-01-01'), pg_temp.resolve('bob', '2025-01-02', 'declined');
SELECT pg_temp.say('cleo', 6, '2025-01-01'), pg_temp.resolve('cleo', '2025-01-02');
SELECT pg_temp.say('dan', 5, '2025-01-01'), pg_temp.resolve('dan', '2025-01-02');
-- another metric, and what was said before, do not count; a comment without a score neither
SELECT pg_temp.say('ann', 9, '2025-01-03'), pg_temp.say('ann', 1, '2025-01-04'), pg_temp.say('ann', 5, '2025-01-02 12:00', NULL, 'csat');
SELECT pg_temp.say('bob', 10, '2025-01-01 12:00'), pg_temp.say('bob', 4, '2025-02-01'), pg_temp.say('bob', NULL, '2025-01-10', 'hello');
SELECT pg_temp.say('cleo', 7, '2025-03-01');
SELECT cxm.open_follow_ups(ARRAY(SELECT alert_id FROM cx.alert)) AS reopened;
CREATE FUNCTION pg_temp.recovery() RETURNS TABLE (id bigint, outcome text, owner text, before smallint, unhappy boolean, next smallint, change integer, recovered boolean, at timestamptz) LANGUAGE sql AS $$
    SELECT follow_up_id, outcome, owner, score_before, unhappy_before, next_score, change, recovered, next_at FROM cx.follow_up_recovery ORDER BY 1, resolved_at
$$;
SELECT * FROM pg_temp.recovery();
SELECT dimension, key, resolutions, answered, recovered, round(recovery_rate::numeric, 4) AS rate, round(lower::numeric, 4) AS lower, round(upper::numeric, 4) AS upper, round(mean_change, 4) AS change
FROM cx.follow_up_recovery_rate ORDER BY 1, 2;
-- a late answer, a correction, a correction of the answer itself, one that moves it in time
SELECT pg_temp.say('cleo', 4, '2025-01-20');
UPDATE cx.feedback SET score = 7 WHERE score = 4 AND occurred_at = '2025-02-01';
UPDATE cx.feedback SET score = 8 WHERE score = 5 AND occurred_at = '2025-01-01';
SELECT pg_temp.say('dan', 9, '2025-05-01');
UPDATE cx.feedback SET occurred_at = '2024-06-01' WHERE score = 2;
SELECT * FROM pg_temp.recovery();
-- a merge: ann's next answer is one of eve; and back
SELECT cxm.record_feedback('nps', 0, '{"email": "eve@x.org"}', at => '2025-01-02 06:00') > 0 AS said;
SELECT cxm.merge('email', 'ann@x.org', 'email', 'eve@x.org', 'moved') > 0 AS merged;
SELECT * FROM pg_temp.recovery() WHERE id = 1;
SELECT count(*) FROM cxm.unmerge('email', 'ann@x.org', 'email', 'eve@x.org', 'no');
SELECT * FROM pg_temp.recovery() WHERE id = 1;
-- re-opened by a bad score: that is the next score of the first resolution, what comes later of the second
SELECT state, reopened FROM cx.follow_up WHERE follow_up_id = 2;
SELECT pg_temp.resolve('bob', '2025-02-10', 'compensated');
SELECT pg_temp.say('bob', 10, '2025-03-01');
SELECT * FROM pg_temp.recovery() WHERE id = 2;
SELECT * FROM cx.follow_up_match ORDER BY metric, score, period;
SELECT * FROM cxm.store_check();
DROP SCHEMA cx CASCADE;

-- Lift. Two match sets: of 10 closed 6 recovered and of 20 others 5, then of 10 closed 8 and of 10 others 6.
SELECT cxm.create_store('UTC') IS NOT NULL AS made;
INSERT INTO cx.alert_rule (name, metric, score_max) VALUES ('detractors', 'nps', 6);
INSERT INTO cx.location (location_id, key) VALUES (1, 'north'), (2, 'south');
CREATE TEMPORARY TABLE person AS
SELECT row_number() OVER () AS n, g.* FROM (VALUES
    ('closed', 1, 2, 6, true), ('closed', 1, 2, 4, false), ('open', 1, 2, 3, true), ('open', 1, 2, 7, false), ('none', 1, 2, 2, true), ('none', 1, 2, 8, false),
    ('closed', 2, 5, 8, true), ('closed', 2, 5, 2, false), ('open', 2, 5, 6, true), ('open', 2, 5, 4, false),
    -- sets of one kind, a cancelled one, somebody who did not answer again: say nothing
    ('closed', 1, 6, 3, true), ('none', 2, 6, 3, false), ('cancelled', 1, 2, 2, false), ('closed', 1, 2, 5, NULL)) AS g (standing, location_id, score, times, recovers),
    generate_series(1, g.times);
SELECT count(cxm.identify(jsonb_build_object('user_id', n))) FROM person;
INSERT INTO cx.feedback (metric, score, occurred_at, identifier_id, location_id)
SELECT 'nps', p.score, '2025-04-05', i.identifier_id, p.location_id FROM person AS p JOIN cx.identifier AS i ON i.value = p.n::text;
SELECT cxm.open_follow_ups(ARRAY(SELECT a.alert_id FROM cx.alert AS a JOIN cx.identifier AS i USING (identifier_id) JOIN person AS p ON p.n::text = i.value WHERE p.standing <> 'none')) AS opened;
CREATE TEMPORARY TABLE standing AS SELECT f.follow_up_id, p.standing FROM cx.follow_up AS f JOIN cx.identifier AS i USING (identifier_id) JOIN person AS p ON p.n::text = i.value;
SELECT cxm.take_follow_ups(ARRAY(SELECT follow_up_id FROM standing WHERE standing = 'closed')) AS taken;
SELECT cxm.resolve_follow_ups(ARRAY(SELECT follow_up_id FROM standing WHERE standing = 'closed'), 'solved') AS resolved;
SELECT cxm.close_follow_ups(ARRAY(SELECT follow_up_id FROM standing WHERE standing = 'closed' AND follow_up_id % 2 = 0)) > 0 AS closed;
SELECT cxm.cancel_follow_ups(ARRAY(SELECT follow_up_id FROM standing WHERE standing = 'cancelled')) AS cancelled;
UPDATE cx.follow_up_event SET moved_at = '2025-04-06';
INSERT INTO cx.feedback (metric, score, occurred_at, identifier_id, location_id)
SELECT 'nps', CASE WHEN p.recovers THEN 9 ELSE p.score END, '2025-04-20', i.identifier_id, p.location_id FROM person AS p JOIN cx.identifier AS i ON i.value = p.n::text WHERE p.recovers IS NOT NULL;
SELECT * FROM cx.follow_up_match ORDER BY score, location;
-- (10 * 20 / 30 * (6/10 - 5/20) + 10 * 10 / 20 * (8/10 - 6/10)) / (10 * 20 / 30 + 10 * 10 / 20) = 28.5714 %
SELECT compared_with, match_sets, closed_answers, other_answers, round(closed_rate::numeric, 4) AS closed, round(other_rate::numeric, 4) AS other, round(lift::numeric, 4) AS lift,
       round(lower::numeric, 4) AS lower, round(upper::numeric, 4) AS upper, round(standard_error::numeric, 4) AS se
FROM cx.follow_up_lift ORDER BY 1;
-- what closed since makes no difference to what was said before
SELECT count(*) FROM (SELECT cxm.take_follow_up(follow_up_id), cxm.resolve_follow_up(follow_up_id, 'solved') FROM standing WHERE standing = 'open') AS s;
SELECT compared_with, round(lift::numeric, 4) AS lift FROM cx.follow_up_lift ORDER BY 1;
-- the same in other words: pairs of answers by a self-join, standing by the last event before
WITH pair AS (
    SELECT u.*, (SELECT n.score >= 7 FROM cx.feedback AS n WHERE n.identifier_id = u.identifier_id AND n.occurred_at > u.occurred_at ORDER BY n.occurred_at LIMIT 1) AS recovered,
           (SELECT e.to_state FROM cx.follow_up AS f JOIN cx.follow_up_event AS e USING (follow_up_id)
            WHERE f.identifier_id = u.identifier_id AND e.moved_at < '2025-04-20' ORDER BY e.event_id DESC LIMIT 1) AS state
    FROM cx.feedback AS u WHERE u.score <= 6 AND u.occurred_at = '2025-04-05'
), cell AS (
    SELECT score, location_id, count(*) FILTER (WHERE state IN ('resolved', 'closed')) AS n1, count(*) FILTER (WHERE state IN ('resolved', 'closed') AND recovered) AS x1,
           count(*) FILTER (WHERE coalesce(state, 'open') = 'open') AS n0, count(*) FILTER (WHERE coalesce(state, 'open') = 'open' AND recovered) AS x0
    FROM pair WHERE recovered IS NOT NULL GROUP BY 1, 2
)
SELECT round(100 * sum((x1 * n0 - x0 * n1) / (n1 + n0)::numeric) / sum(n1 * n0 / (n1 + n0)::numeric), 4) AS lift FROM cell WHERE n1 > 0 AND n0 > 0;
DROP SCHEMA cx CASCADE;
