-- Sequences and paths over the store, against the same by hand
BEGIN;
SELECT plan(26);
SET LOCAL timezone = 'UTC';
SET LOCAL intervalstyle = 'postgres';

SELECT is_empty($$ SELECT * FROM cxm.path_report() $$, 'no record, no path');
SELECT is_empty($$ SELECT * FROM cxm.sankey_report() $$, 'nor flow');
SELECT is_empty($$ SELECT * FROM cxm.transition_report() $$, 'nor transition');
SELECT is_empty($$ SELECT * FROM cxm.session_report() $$, 'nor session');
SELECT throws_ok($$ SELECT * FROM cxm.path_report('nothing') $$, '42704', NULL, 'a step must be known');
SELECT throws_ok($$ SELECT * FROM cxm.sankey_report(direction => 'up') $$, '22023', NULL, 'arguments are checked without a customer');
SELECT throws_ok($$ SELECT * FROM cxm.path_report(steps => 0) $$, '22023', NULL, 'arguments are checked without a customer');
SELECT throws_ok($$ SELECT * FROM cxm.transition_report('1 month') $$, '22023', NULL, 'a gap has a fixed length');
SELECT throws_ok($$ SELECT * FROM cxm.session_report('-1 hour') $$, '22023', NULL, 'and is not negative');

-- cyd is known by two identifiers, which one customer has
SELECT cxm.identify(jsonb_build_object('user_id', u)) FROM unnest('{ann,bob,cyd,dan}'::text[]) AS u;
SELECT cxm.identify('{"email": "cyd@example.com"}');
SELECT cxm.merge('user_id', 'cyd', 'email', 'cyd@example.com', 'one person');
INSERT INTO cx.event_type (event_type_id, key) VALUES (1, 'view'), (2, 'cart'), (3, 'buy'), (4, 'help');
-- codes are given out on first sight: in the order of these
INSERT INTO cx.event (occurred_at, identifier_id, event_type_id)
SELECT timestamptz '2026-03-01 10:00:00+00' + make_interval(mins => m), (SELECT i.identifier_id FROM cx.identifier AS i WHERE i.value = c), e
FROM (VALUES ('ann', '{1,1,2,3}'::integer[], '{0,1,3,10}'::integer[]), ('bob', '{1,4,2,1}', '{0,2,4,300}'), ('cyd', '{2,3}', '{5,6}'), ('dan', '{1}', '{7}'), ('cyd@example.com', '{1}', '{0}')) AS v (c, events, minutes),
     unnest(events, minutes) AS u (e, m);

SELECT results_eq($$ SELECT path, customers, paths, round(share::numeric, 3), median_time FROM cxm.path_report() $$,
    $$ VALUES ('{view,cart,buy}'::text[], 2::bigint, 2::bigint, 0.500, '8 minutes'::interval), ('{view}', 1, 1, 0.250, '0'), ('{view,help,cart,view}', 1, 1, 0.250, '5 hours') $$, 'top paths, from the beginning on');
SELECT results_eq($$ SELECT path, customers FROM cxm.path_report('cart', 'before', 1, most => 1) $$, $$ VALUES ('{view,cart}'::text[], 2::bigint) $$, 'before a step');
SELECT results_eq($$ SELECT path, customers FROM cxm.path_report('cart|help', 'after', 1) $$, $$ VALUES ('{cart,buy}'::text[], 2::bigint), ('{help,cart}', 1) $$, 'after one of several steps');
SELECT results_eq($$ SELECT path, paths FROM cxm.path_report('view', collapse => false, steps => 1, occurrence => 'all') $$,
    $$ VALUES ('{view}'::text[], 2::bigint), ('{view,cart}', 2), ('{view,view}', 1), ('{view,help}', 1) $$, 'every occurrence, repeats and all');
SELECT results_eq($$ SELECT step_no, from_step, to_step, customers, median_time FROM cxm.sankey_report('view', steps => 2) $$,
    $$ VALUES (1, 'view', 'cart', 2::bigint, '4 minutes'::interval), (1, 'view', 'help', 1, '2 minutes'), (1, 'view', NULL, 1, NULL), (2, 'cart', 'buy', 2, '4 minutes'), (2, 'help', 'cart', 1, '2 minutes') $$, 'flows, and where they end');
SELECT results_eq($$ SELECT step_no, from_step, to_step, customers FROM cxm.sankey_report('buy', 'before', 3) $$,
    $$ VALUES (-3, NULL::text, 'view', 2::bigint), (-2, 'view', 'cart', 2), (-1, 'cart', 'buy', 2) $$, 'flows up to a step');
SELECT results_eq($$ SELECT path, paths FROM cxm.path_report(steps => 1, session_gap => '1 hour') $$,
    $$ VALUES ('{view}'::text[], 2::bigint), ('{view,cart}', 2), ('{view,help}', 1) $$, 'each session has a path');
SELECT results_eq($$ SELECT from_step, to_step, customers, n, round(share::numeric, 2), median_time FROM cxm.transition_report() $$,
    $$ VALUES ('view', 'cart', 2::bigint, 2::bigint, 0.50, '00:03:30'::interval), ('cart', 'buy', 2, 2, 0.67, '4 minutes'), ('view', 'view', 1, 1, 0.25, '1 minute'), ('view', 'help', 1, 1, 0.25, '2 minutes'), ('cart', 'view', 1, 1, 0.33, '04:56:00'), ('help', 'cart', 1, 1, 1.00, '2 minutes') $$, 'transitions');
SELECT is((SELECT sum(n) FROM cxm.transition_report('1 hour')), 7::numeric, 'within sessions the long one is none');
SELECT results_eq($$ SELECT first_step, sessions, customers, round(events_per_session::numeric, 2), round(single_event_share::numeric, 2), median_duration FROM cxm.session_report('1 hour') $$,
    $$ VALUES (NULL::text, 5::bigint, 4::bigint, 2.40, 0.40, '4 minutes'::interval), ('view', 5, 4, 2.40, 0.40, '4 minutes') $$, 'sessions, all and by first step');
SELECT is((SELECT sum(sessions) FROM cxm.session_report('1 minute') WHERE first_step IS NOT NULL), (SELECT sessions::numeric FROM cxm.session_report('1 minute') WHERE first_step IS NULL), 'sessions by first step add up');
SELECT results_eq($$ SELECT p.path FROM cxm.path_report(during => '[2026-03-01 10:03Z,2026-03-01 11:00Z)') AS p $$, $$ VALUES ('{cart,buy}'::text[]), ('{view}'), ('{cart}') $$, 'a range of time');
SELECT is((SELECT sum(customers) FROM cxm.path_report(profile_ids => ARRAY(SELECT profile_id FROM cxm.journeys() ORDER BY 1 LIMIT 2))), 2::numeric, 'some customers');
SELECT results_eq($$ SELECT matches, matched_at FROM cxm.sequence_customers('(?1)(?t<=300)(?2)', '{view,cart|buy}') ORDER BY matched_at $$,
    $$ VALUES (1::bigint, '{2026-03-01 10:00:00+00,2026-03-01 10:03:00+00}'::timestamptz[]), (1, '{2026-03-01 10:00:00+00,2026-03-01 10:04:00+00}'), (1, '{2026-03-01 10:00:00+00,2026-03-01 10:05:00+00}') $$, 'customers of a pattern: help in between is no step');
SELECT throws_ok($$ SELECT * FROM cxm.sequence_customers('(?1)(?3)', '{view,cart}') $$, '22023', NULL, 'a pattern that is none');
SELECT throws_ok($$ SELECT * FROM cxm.sequence_customers('(?1)', '{nothing}') $$, '42704', NULL, 'a step that there is not');
SELECT is_empty($$ SELECT * FROM cxm.sequence_customers('(?1)', '{view}', profile_ids => '{}') $$, 'no customer asked for');

SELECT * FROM finish();
ROLLBACK;
