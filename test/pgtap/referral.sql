-- Referrals and public reviews.
BEGIN;
SET client_min_messages = warning;
SET search_path = public, pg_catalog;
SELECT no_plan();

CREATE FUNCTION code(who text) RETURNS text LANGUAGE sql AS $$ SELECT cxm.referral_code(jsonb_build_object('email', who || '@shop.test')) $$;
CREATE FUNCTION bring(who text, whom text, at timestamptz DEFAULT now()) RETURNS bigint LANGUAGE sql AS $$ SELECT cxm.record_referral(code(who), jsonb_build_object('email', whom || '@shop.test'), at) $$;
CREATE FUNCTION pairs() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(split_part(a.value, '@', 1) || ' ' || split_part(b.value, '@', 1), ', ' ORDER BY a.value, b.value)
    FROM cx.referral_pair AS p JOIN cx.referral AS r USING (referral_id) JOIN cx.identifier AS a ON a.identifier_id = r.referrer_id JOIN cx.identifier AS b ON b.identifier_id = r.referred_id $$;

---- codes
SELECT matches(code('ann'), '^[0-9A-HJKMNP-TV-Z]{10}$', 'a code can be read out');
SELECT is(code('ann'), code('ann'), 'a person has one');
SELECT isnt(code('bob'), code('ann'), 'another person another');
SELECT is((SELECT count(DISTINCT cxm.random_code())::integer FROM generate_series(1, 2000)), 2000, 'no two are alike');
SELECT is((SELECT count(DISTINCT substr(cxm.random_code(), 1 + i % 10, 1))::integer FROM generate_series(1, 2000) AS i), 32, 'every character comes');
SELECT is(cxm.normalize_code(lower(regexp_replace(code('ann'), '(.{5})', '\1-')) || ' '), code('ann'), 'however it is typed');
SELECT is(cxm.normalize_code('oil-1'), '0111', 'what is misread is read right');
SELECT isnt(cxm.referral_code('{"email": "ann@shop.test"}', 'spring'), code('ann'), 'a campaign has codes of its own');
SELECT throws_ok('SELECT cxm.random_code(7)', '22023', NULL, 'a short code could be guessed');
SELECT throws_ok('SELECT cxm.referral_code(''{}'')', '22004', NULL, 'nobody has no code');

---- referrals
SELECT is(bring('ann', 'cy') > 0, true, 'Ann brings Cy');
SELECT is(bring('bob', 'cy'), bring('ann', 'cy'), 'who is brought once is not brought again');
SELECT throws_ok('SELECT bring(''ann'', ''ann'')', '22023', NULL, 'nobody brings themselves');
SELECT throws_ok('SELECT cxm.record_referral(''NOSUCHCODE'', ''{"email": "x@shop.test"}'')', 'P0002', NULL, 'by no code');
SELECT throws_ok('SELECT cxm.record_referral(NULL, ''{"email": "x@shop.test"}'')', 'P0002', NULL, 'by none');
SELECT throws_ok(format('SELECT cxm.record_referral(%L, NULL)', code('ann')), '22004', NULL, 'nor is nobody brought');
SELECT throws_ok(format('SELECT cxm.record_referral(%L, ''{"email": "x@shop.test"}'', ''infinity'')', code('ann')), '22008', NULL, 'nor never');
UPDATE cx.referral_code SET active = false WHERE code = code('bob');
SELECT throws_ok(format('SELECT cxm.record_referral(%L, ''{"email": "x@shop.test"}'')', (SELECT c.code FROM cx.referral_code AS c WHERE NOT c.active)), 'P0002', NULL, 'nor by a code that is off') WHERE EXISTS (SELECT FROM cx.referral_code AS c WHERE NOT c.active);
DO $$ BEGIN PERFORM bring('cy', 'dan'), bring('dan', 'eve', now() + interval '1 minute'), bring('eve', 'ann', now() + interval '2 minutes'); END $$;
SELECT is(pairs(), 'ann cy, cy dan, dan eve', 'of a circle the last does not count');
SELECT is((SELECT count(*)::integer FROM cx.referral), 4, 'though it is kept');

-- merges
DO $$ BEGIN PERFORM cxm.merge('email', 'dan@shop.test', 'email', 'eve@shop.test', 'test'); END $$;
SELECT is(pairs(), 'ann cy, cy dan', 'who turns out to be the same person was not brought by themselves');
DO $$ BEGIN PERFORM bring('fay', 'gus', now() - interval '1 hour'), bring('bob', 'hal'); PERFORM cxm.merge('email', 'gus@shop.test', 'email', 'hal@shop.test', 'test'); END $$;
SELECT is(pairs(), 'ann cy, cy dan, fay gus', 'who was brought twice was brought by the first');
SELECT is(code('gus'), code('hal'), 'and has one code');
DO $$ BEGIN PERFORM cxm.unmerge('email', 'gus@shop.test', 'email', 'hal@shop.test', 'test'); PERFORM cxm.unmerge('email', 'dan@shop.test', 'email', 'eve@shop.test', 'test'); END $$;
SELECT is(pairs(), 'ann cy, bob hal, cy dan, dan eve, fay gus', 'taken back, all is as it was');

-- conversion
DO $$
BEGIN
    PERFORM cxm.record_purchase(5, '{"email": "hal@shop.test"}', at => now() - interval '1 year');
    PERFORM cxm.record_purchase(20, '{"email": "hal@shop.test"}', at => now() + interval '1 hour');
    PERFORM cxm.record_purchase(20, '{"email": "cy@shop.test"}', at => now() + interval '1 hour');
    PERFORM cxm.record_purchase(-20, '{"email": "gus@shop.test"}', at => now() + interval '1 hour');
END $$;
SELECT is((SELECT count(*) FILTER (WHERE converted) || ' ' || count(*) FILTER (WHERE is_new) || ' ' || count(*) FILTER (WHERE is_new AND converted) FROM cx.referral_pair), '2 4 1', 'who bought before is no new customer, and a return no purchase');
SELECT is((SELECT referrers || ' ' || referred || ' ' || new_customers || ' ' || converted || ' ' || round(conversion_rate::numeric, 2) FROM cx.referral_rate WHERE campaign = ''), '5 5 4 1 25.00', 'the rate says so');
SELECT is((SELECT referred || ' ' || coalesce(conversion_rate::text, 'NULL') FROM cx.referral_rate WHERE campaign = 'spring'), '0 NULL', 'nobody brought is no rate');

---- reviews
CREATE TEMPORARY TABLE r AS SELECT cxm.record_review('maps', 'm1', 2, 'Cold soup', 'A. Guest', 'https://maps.example.org/m1', location => 'berlin') AS id;
SELECT is((SELECT site || ' ' || stars || ' ' || author || ' ' || url || ' ' || location FROM cx.review), 'maps 2 A. Guest https://maps.example.org/m1 berlin', 'a review is feedback');
SELECT is(cxm.record_review('maps', 'm1', 4, 'Hot soup now', 'A. Guest', location => 'berlin'), (SELECT id FROM r), 'edited, it is the same one');
SELECT is((SELECT count(*) || ' ' || min(stars) || ' ' || min(comment) FROM cx.review), '1 4 Hot soup now', 'with what it says now');
SELECT is((SELECT array[b.accepted, b.updated, b.rejected] FROM cxm.record_review_batch('[{"external_id": "m2", "stars": 5, "location": "berlin"}, {"external_id": "m1", "stars": 3}, {"external_id": "m3", "stars": 4.5}, {"external_id": "m4"}, {"stars": 1}, {"external_id": "m5", "stars": 1, "url": "javascript:alert(1)"}]', 'maps') AS b)::text, '{1,1,4}', 'a batch takes what it can');
SELECT is((SELECT count(DISTINCT r.reason)::integer FROM cx.rejection AS r WHERE r.kind = 'feedback'), 4, 'and says why not');
SELECT is((SELECT string_agg(coalesce(location, '-') || ' ' || reviews || ' ' || mean_stars || ' ' || stars_5, ', ' ORDER BY location) FROM cx.review_by_site), 'berlin 1 5 1, - 1 3 0', 'summed up by site and location');
SELECT throws_ok(x, e, NULL, x) FROM (VALUES ('SELECT cxm.record_review(''maps'', NULL, 5)', '22004'), ('SELECT cxm.record_review(''maps'', ''x'', NULL)', '22023'), ('SELECT cxm.record_review(''maps'', ''x'', 4.5)', '22023'), ('SELECT cxm.record_review(''maps'', ''x'', 6)', '22003'),
    ('SELECT cxm.record_review(''maps'', ''x'', 5, url => ''javascript:alert(1)'')', '22023'), ('SELECT cxm.record_review('''', ''x'', 5)', '22023'), ('SELECT cxm.record_review(''maps'', ''x'', 5, properties => ''[]'')', '22023')) AS x(x, e);

SELECT * FROM finish();
ROLLBACK;
