-- Funnel reports over the store.
BEGIN;
SET client_min_messages = warning;
SET LOCAL timezone = 'UTC';
SET search_path = public, pg_catalog;
SELECT no_plan();

CREATE FUNCTION at(n numeric) RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2026-03-02 00:00Z' + n * interval '1 minute' $$;
CREATE FUNCTION happened(who text, what text, n numeric, browser text DEFAULT NULL, touchpoint text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    SELECT cxm.track(what, jsonb_build_object('user_id', who), CASE WHEN browser IS NOT NULL THEN jsonb_build_object('browser', browser) END, at(n), touchpoint) $$;
CREATE FUNCTION who(profile_id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT min(i.value COLLATE "C") FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE p.canonical_id = who.profile_id AND i.value !~ '@' $$;
-- value: customers at each step, of all rows of a report
CREATE FUNCTION shown(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE format('SELECT string_agg(line, ''; '' ORDER BY line COLLATE "C") FROM (SELECT coalesce(value, ''-'') || '': '' || string_agg(customers::text, '' '' ORDER BY step_no) AS line FROM %s GROUP BY value) AS l', query) INTO answer;
    RETURN answer;
END $$;

---- PostHog's examples of attribution
DO $$ BEGIN
    PERFORM happened('a', 'pageview', 0, 'Chrome'), happened('a', 'signup', 1, 'Firefox');
END $$;
SELECT is(shown($$cxm.funnel_report(ARRAY['pageview', 'signup'], '1 day', breakdown => 'property:browser')$$), 'Chrome: 1 1', 'first touch');
SELECT is(shown($$cxm.funnel_report(ARRAY['pageview', 'signup'], '1 day', breakdown => 'property:browser', attribution => 'last')$$), 'Firefox: 1 1', 'last touch');
DELETE FROM cx.event;
DO $$ BEGIN
    PERFORM happened('b', 'pageview', 0, 'Chrome'), happened('b', 'pageview', 1, 'Firefox'), happened('b', 'signup', 2, 'Chrome'), happened('b', 'posted', 3, 'Chrome'), happened('b', 'posted', 4, 'Firefox');
    INSERT INTO cx.event_type (key) VALUES ('never');
END $$;
SELECT is(shown($$cxm.funnel_report(ARRAY['pageview', 'signup', 'posted'], '1 day', breakdown => 'property:browser', attribution => 'all')$$), 'Chrome: 1 1 1; Firefox: 1 0 0', 'all steps');
SELECT is(shown($$cxm.funnel_report(ARRAY['pageview', 'signup', 'posted'], '1 day', breakdown => 'property:browser', attribution => 'step 1')$$), 'Chrome: 1 1 1; Firefox: 1 1 1', 'a step: both');
SELECT is(shown($$cxm.funnel_report(ARRAY['pageview', 'signup', 'posted'], '1 day', breakdown => 'property:browser', attribution => 'step 2')$$), 'Chrome: 1 1 1', 'another step');
SELECT is(shown($$cxm.funnel_report(ARRAY['pageview', 'signup', 'never'], '1 day', breakdown => 'property:browser', attribution => 'step 3')$$), '-: 1 1 0', 'a step that nobody came to');
SELECT is(shown($$cxm.funnel_report(ARRAY['pageview', 'signup', 'posted'], '1 day', breakdown => 'property:browser', attribution => 'first')$$), 'Chrome: 1 1 1', 'first of several');
SELECT is(shown($$cxm.funnel_report(ARRAY['pageview', 'signup', 'posted'], '1 day', breakdown => 'property:browser', attribution => 'last')$$), 'Firefox: 1 1 1', 'last of several');
SELECT is(shown($$cxm.funnel_report(ARRAY['pageview', 'signup', 'posted'], '1 day', breakdown => 'property:nothing', attribution => 'all')$$), '-: 1 1 1', 'no value is a value of its own');
SELECT is(shown($$cxm.funnel_report(ARRAY['pageview', 'signup'], '1 day', 'strict', breakdown => 'property:browser', attribution => 'all')$$), 'Chrome: 1 1; Firefox: 1 0', 'strict within the records of a value');

---- numbers, against what is easily counted
DELETE FROM cx.event;
DO $$ BEGIN
    -- ten come, the n-th goes on to the cart after n minutes, the first six; the first three buy an hour later
    PERFORM happened('c' || n, 'visit', 0, touchpoint => CASE WHEN n % 2 = 0 THEN 'web' ELSE 'app' END) FROM generate_series(1, 10) AS n;
    PERFORM happened('c' || n, 'cart', n, touchpoint => 'web') FROM generate_series(1, 6) AS n;
    PERFORM cxm.record_purchase(10, jsonb_build_object('user_id', 'c' || n), at => at(60 + n)) FROM generate_series(1, 3) AS n;
    PERFORM cxm.identify(jsonb_build_object('user_id', 'c' || n), jsonb_build_object('tier', CASE WHEN n <= 2 THEN 'gold' ELSE 'silver' END)) FROM generate_series(1, 6) AS n;
    PERFORM happened('x', 'cart', 3), happened('x', 'visit', 4);
END $$;
SELECT results_eq($$SELECT * FROM cxm.funnel_report(ARRAY['visit', 'cart', 'purchase'], '1 day')$$,
    $$VALUES (NULL::text, 1, 'visit', 11::bigint, 100::double precision, NULL::double precision, NULL::bigint, NULL::interval, NULL::interval, NULL::interval, NULL::interval),
             (NULL, 2, 'cart', 6, 600 / 11.0::double precision, 600 / 11.0::double precision, 5, interval '3.5 minutes', interval '5.5 minutes', interval '3.5 minutes', interval '5.5 minutes'),
             (NULL, 3, 'purchase', 3, 300 / 11.0::double precision, 50, 3, interval '60 minutes', interval '60 minutes', interval '62 minutes', interval '62.8 minutes')$$,
    'customers, conversion, time to convert');
SELECT is(ARRAY(SELECT who(profile_id) FROM cxm.funnel_dropoff(ARRAY['visit', 'cart', 'purchase'], '1 day', 2)), ARRAY['c6', 'c5', 'c4'], 'who dropped off after the cart, the latest first');
SELECT is(ARRAY(SELECT reached_at FROM cxm.funnel_dropoff(ARRAY['visit', 'cart', 'purchase'], '1 day', 3)), ARRAY[at(63), at(62), at(61)], 'after the last step: who came through, and when');
SELECT results_eq($$SELECT n, (SELECT count(*) FROM cxm.funnel_dropoff(ARRAY['visit', 'cart', 'purchase'], '1 day', n)) FROM generate_series(1, 2) AS n$$,
                  $$SELECT step_no - 1, dropped FROM cxm.funnel_report(ARRAY['visit', 'cart', 'purchase'], '1 day') WHERE step_no > 1$$, 'the list is what is counted');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart', 'purchase'], '1 hour')$$), '-: 11 6 0', 'a shorter window');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart', 'purchase'], '1 day', during => tstzrange(at(0), at(4)))$$), '-: 10 3 0', 'a time range');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', breakdown => 'touchpoint')$$), '-: 1 0; app: 5 3; web: 5 3', 'by touchpoint');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', breakdown => 'touchpoint', attribution => 'all')$$), '-: 1 0; app: 5 0; web: 5 3', 'by touchpoint, all steps at it');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', breakdown => 'trait:tier')$$), '-: 5 0; gold: 2 2; silver: 4 4', 'by trait');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', breakdown => 'source')$$), 'app: 11 6', 'by source');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit@web', 'cart'], '1 day')$$), '-: 5 3', 'a step at a touchpoint');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit | cart', 'cart | purchase'], '1 day')$$), '-: 11 6', 'a step that is several names');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', 'any_order')$$), '-: 11 7', 'any order');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'visit'], '1 day')$$), '-: 11 0', 'a step listed twice needs two records');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'visit'], '1 day', 'default')$$), '-: 11 11', 'but not in mode default');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'purchase'], '1 day', exclusions => '[{"step": "cart"}]')$$), '-: 5 0', 'who had a cart is out');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'purchase'], '1 day', exclusions => '[{"step": "cart", "from": 1, "to": 2}]', on_exclusion => 'cut')$$), '-: 11 0', 'or came to the visit');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'purchase'], '1 day', breakdown => 'touchpoint', attribution => 'step 1', exclusions => '[{"step": "cart"}]')$$), '-: 1 0; app: 2 0; web: 2 0', 'also in a breakdown');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', profile_ids => ARRAY(SELECT profile_id FROM cx.profile_trait WHERE trait = 'tier' AND value = '"gold"'))$$), '-: 2 2', 'a segment');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', breakdown => 'touchpoint', profile_ids => '{}')$$), NULL, 'nobody, broken down: no rows');
SELECT is(shown($$cxm.funnel_report(ARRAY['never', 'cart'], '1 day')$$), '-: 0 0', 'nobody came: zeros');
SELECT is((SELECT string_agg(coalesce(conversion_from_first::text, 'NULL'), ' ') FROM cxm.funnel_report(ARRAY['never', 'cart'], '1 day')), 'NULL NULL', 'and no rate');

-- merged, a person is one; taken apart, two
DO $$ BEGIN
    PERFORM cxm.track('visit', '{"email": "y@shop.test"}', at => at(0)), cxm.track('cart', '{"email": "z@shop.test"}', at => at(1));
    PERFORM cxm.merge('email', 'y@shop.test', 'email', 'z@shop.test', 'test');
END $$;
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart'], '1 day')$$), '-: 12 7', 'a merge makes one journey');
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', breakdown => 'touchpoint', attribution => 'all')$$), '-: 2 1; app: 5 0; web: 5 3', 'also of values');
DO $$ BEGIN PERFORM cxm.unmerge('email', 'y@shop.test', 'email', 'z@shop.test', 'test'); END $$;
SELECT is(shown($$cxm.funnel_report(ARRAY['visit', 'cart'], '1 day')$$), '-: 12 6', 'and an unmerge two');

---- errors
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit', 'kart'], '1 day')$$, '42704', NULL, 'an unknown step');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit', NULL], '1 day')$$, '42704', NULL, 'no step');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report('{}', '1 day')$$, '22023', NULL, 'no steps');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(NULL, '1 day')$$, '22023', NULL, 'NULL for steps');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit'], NULL)$$, '22004', NULL, 'no window');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit'], '1 day', NULL)$$, '22004', NULL, 'no mode');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit'], '1 month')$$, '22023', NULL, 'a window in months');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit'], '1 day', 'loose')$$, '22023', NULL, 'an unknown mode');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit'], '1 day', breakdown => 'browser')$$, '22023', NULL, 'an unknown breakdown');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit'], '1 day', breakdown => 'property:')$$, '22023', NULL, 'a property without a name');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit'], '1 day', attribution => 'first')$$, '22023', NULL, 'attribution of nothing');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit'], '1 day', breakdown => 'trait:tier', attribution => 'first')$$, '22023', NULL, 'attribution of a trait');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit'], '1 day', breakdown => 'touchpoint', attribution => 'step 2')$$, '22023', NULL, 'a step that there is not');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit'], '1 day', breakdown => 'touchpoint', attribution => 'middle')$$, '22023', NULL, 'an unknown attribution');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', exclusions => '{"step": "cart"}')$$, '22023', NULL, 'exclusions that are no array');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', exclusions => '[{"steps": "cart"}]')$$, '22023', NULL, 'an exclusion without a step');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', exclusions => '[{"step": "cart", "til": 2}]')$$, '22023', NULL, 'an exclusion with something else');
SELECT throws_ok($$SELECT * FROM cxm.funnel_report(ARRAY['visit', 'cart'], '1 day', exclusions => '[{"step": "cart", "to": 3}]')$$, '22023', NULL, 'an exclusion beyond the end');
SELECT throws_ok($$SELECT * FROM cxm.funnel_dropoff(ARRAY['visit', 'cart'], '1 day', 3)$$, '22023', NULL, 'drop-off after a step that there is not');
SELECT throws_ok($$SELECT * FROM cxm.funnel_dropoff(ARRAY['visit', 'cart'], '1 day', NULL)$$, '22023', NULL, 'drop-off after no step');

SELECT * FROM finish();
ROLLBACK;
