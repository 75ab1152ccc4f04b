-- The value ladder: a small history by hand, and random ones against a loop that goes through the records one by one
BEGIN;
SELECT plan(64);
SET LOCAL timezone = 'UTC';
SET LOCAL intervalstyle = postgres;
SET LOCAL client_min_messages = warning;

---- an empty store

SELECT is_empty('SELECT * FROM cxm.value_ladder()', 'nobody stands anywhere in an empty store');
SELECT is_empty('SELECT * FROM cxm.value_ladder_standings()', 'nor has stood');
SELECT is_empty('SELECT * FROM cxm.value_ladder_moves()', 'nor moved');
SELECT is_empty('SELECT * FROM cxm.value_ladder_between()', 'so nothing lies between');
SELECT is_empty($$SELECT * FROM cxm.value_ladder_customers('climbed')$$, 'and nobody climbed');
SELECT is_empty('SELECT * FROM cx.value_ladder', 'the view is empty, too');

---- by hand

CREATE FUNCTION pg_temp.day(n numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT timestamptz '2026-01-01 00:00+00' + n * interval '1 day' $$;
CREATE FUNCTION pg_temp.mail(who text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_build_object('email', who || '@example.org') $$;
CREATE FUNCTION pg_temp.who(id bigint) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT string_agg(split_part(i.value, '@', 1), '+' ORDER BY i.value) FROM cx.identifier AS i JOIN cx.profile AS p USING (profile_id) WHERE p.canonical_id = id $$;
CREATE FUNCTION pg_temp.id(who text) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT i.identifier_id FROM cx.identifier AS i WHERE i.value = who || '@example.org' $$;

SELECT cxm.record_feedback('nps', s.score, pg_temp.mail(s.who), at => pg_temp.day(s.day), comment => 'so')
FROM (VALUES ('ann', 1, 3), ('ann', 11, 8), ('ann', 21, 9), ('ann', 31, 10), ('ann', 41, 7), ('ann', 51, 9),
             ('bob', 1, 9), ('bob', 16, 2), ('bob', 36, 2),
             ('cleo', 6, 9), ('cleo', 26, 10),
             ('dan', 4, NULL), ('dan', 5, 7), ('dan', 6, NULL),
             ('fred', 5, 3), ('fred', 5, 10)) AS s(who, day, score);
-- no standings: another scale, another metric, nobody's
SELECT cxm.record_feedback('csat', 5, pg_temp.mail('eve'), at => pg_temp.day(1)), cxm.record_feedback('nps', 0, at => pg_temp.day(2));
INSERT INTO cx.feedback (metric, score, scale_min, scale_max, occurred_at, identifier_id) VALUES ('nps', 1, 1, 5, pg_temp.day(15), pg_temp.id('dan'));
SELECT cxm.record_review('maps', r.who || r.day, r.stars, identifiers => pg_temp.mail(r.who), at => pg_temp.day(r.day))
FROM (VALUES ('ann', 26, 5), ('ann', 46, 5), ('cleo', 6, 5), ('cleo', 30, 4), ('dan', 7, 5), ('eve', 3, 4), ('fred', 8, 3)) AS r(who, day, stars);
-- four stars that are no public review
SELECT cxm.record_feedback('rating', 5, pg_temp.mail('fred'), at => pg_temp.day(9));
SELECT cxm.record_referral(cxm.referral_code(pg_temp.mail('bob')), pg_temp.mail('cleo'), at => pg_temp.day(6));
SELECT cxm.record_referral(cxm.referral_code(pg_temp.mail('dan')), pg_temp.mail('eve'), at => pg_temp.day(6));

SELECT results_eq($$SELECT pg_temp.who(profile_id), number, at, rung, "position", score, cause FROM cxm.value_ladder_standings() ORDER BY 1, 2$$,
    $$SELECT w::text, n, pg_temp.day(d), r::text, p::smallint, s::smallint, c::text
      FROM (VALUES ('ann', 1, 1, 'detractor', 1, 3, 'score'), ('ann', 2, 11, 'passive', 2, 8, 'score'), ('ann', 3, 21, 'promoter', 3, 9, 'score'),
                   ('ann', 4, 26, 'advocate', 4, 9, 'review'), ('ann', 5, 31, 'advocate', 4, 10, 'score'), ('ann', 6, 41, 'passive', 2, 7, 'score'),
                   ('ann', 7, 51, 'promoter', 3, 9, 'score'),
                   ('bob', 1, 1, 'promoter', 3, 9, 'score'), ('bob', 2, 6, 'advocate', 4, 9, 'referral'), ('bob', 3, 16, 'detractor', 1, 2, 'score'), ('bob', 4, 36, 'detractor', 1, 2, 'score'),
                   ('cleo', 1, 6, 'promoter', 3, 9, 'score'), ('cleo', 2, 6, 'advocate', 4, 9, 'review'), ('cleo', 3, 26, 'advocate', 4, 10, 'score'),
                   ('dan', 1, 5, 'passive', 2, 7, 'score'),
                   ('fred', 1, 5, 'detractor', 1, 3, 'score'), ('fred', 2, 5, 'promoter', 3, 10, 'score')) AS v(w, n, d, r, p, s, c)$$,
    'standings: acts make advocates of promoters only, till the next score that is none; of one time scores come first, in the order of their keys');

SELECT results_eq($$SELECT from_rung, to_rung, moves, customers, round(share::numeric, 4), round(lower::numeric, 4), round(upper::numeric, 4), median_dwell::text, p90_dwell::text FROM cxm.value_ladder()$$,
    $$VALUES ('detractor'::text, 'detractor'::text, 1::bigint, 1::bigint, 0.3333, 0.0615, 0.7923, '20 days'::text, '20 days'::text),
             ('detractor', 'passive',   1, 1, 0.3333, 0.0615, 0.7923, '10 days', '10 days'),
             ('detractor', 'promoter',  1, 1, 0.3333, 0.0615, 0.7923, '00:00:00', '00:00:00'),
             ('detractor', 'none',      0, 1, NULL, NULL, NULL, NULL, NULL),
             ('passive',   'detractor', 0, 0, 0.0000, 0.0000, 0.6576, NULL, NULL),
             ('passive',   'passive',   0, 0, 0.0000, 0.0000, 0.6576, NULL, NULL),
             ('passive',   'promoter',  2, 1, 1.0000, 0.3424, 1.0000, '10 days', '10 days'),
             ('passive',   'none',      0, 1, NULL, NULL, NULL, NULL, NULL),
             ('promoter',  'detractor', 0, 0, 0.0000, 0.0000, 0.5615, NULL, NULL),
             ('promoter',  'passive',   0, 0, 0.0000, 0.0000, 0.5615, NULL, NULL),
             ('promoter',  'promoter',  0, 0, 0.0000, 0.0000, 0.5615, NULL, NULL),
             ('promoter',  'advocate',  3, 3, 1.0000, 0.4385, 1.0000, '5 days', '5 days'),
             ('promoter',  'none',      0, 2, NULL, NULL, NULL, NULL, NULL),
             ('advocate',  'detractor', 1, 1, 0.2500, 0.0456, 0.6994, '10 days', '10 days'),
             ('advocate',  'passive',   1, 1, 0.2500, 0.0456, 0.6994, '10 days', '10 days'),
             ('advocate',  'advocate',  2, 2, 0.5000, 0.1500, 0.8500, '12 days 12:00:00', '18 days 12:00:00'),
             ('advocate',  'none',      0, 1, NULL, NULL, NULL, NULL, NULL)$$, 'the matrix');
SELECT results_eq($$SELECT metric, from_rung, to_rung, from_position, to_position, moves, customers, share, lower, upper, median_seconds, p90_seconds FROM cx.value_ladder ORDER BY from_position, to_position$$,
    $$SELECT 'nps'::text COLLATE "C", from_rung, to_rung, array_position('{detractor,passive,promoter,advocate}'::text[], from_rung), nullif(array_position('{detractor,passive,promoter,advocate,none}'::text[], to_rung), 5),
             moves, customers, share, lower, upper, extract(epoch FROM median_dwell)::double precision, extract(epoch FROM p90_dwell)::double precision FROM cxm.value_ladder()$$, 'the view has it, in seconds');
SELECT results_eq($$SELECT from_rung, to_rung, round(lower::numeric, 4) FROM cxm.value_ladder(confidence => 0.8) WHERE to_rung = 'advocate'$$,
    $$VALUES ('promoter'::text, 'advocate'::text, 0.6462), ('advocate', 'advocate', 0.2302)$$, 'another confidence');

-- ranges: what came later is not known, what came before is
SELECT results_eq($$SELECT pg_temp.who(profile_id), to_at, from_rung, to_rung FROM cxm.value_ladder_moves(during => tstzrange(pg_temp.day(6), pg_temp.day(11))) ORDER BY 1$$,
    $$VALUES ('bob'::text, pg_temp.day(6), 'promoter'::text, 'advocate'::text), ('cleo', pg_temp.day(6), 'promoter', 'advocate')$$, 'moves that ended in a range');
SELECT is((SELECT string_agg(pg_temp.who(profile_id), ' ' ORDER BY 1) FROM cxm.value_ladder_moves(during => tstzrange(pg_temp.day(6), pg_temp.day(11), '(]'))), 'ann', 'its brackets hold');
SELECT is((SELECT string_agg(from_rung || ' ' || customers, ', ') FROM cxm.value_ladder(during => tstzrange(pg_temp.day(6), pg_temp.day(11))) WHERE to_rung = 'none'),
    'detractor 1, passive 1, promoter 1, advocate 2', 'who stood where at its end');
SELECT is((SELECT sum(moves) FROM cxm.value_ladder(during => tstzrange(pg_temp.day(6), pg_temp.day(11)))), 2::numeric, 'and its moves alone');
SELECT is_empty($$SELECT * FROM cxm.value_ladder(during => 'empty')$$, 'an empty range');
SELECT is((SELECT count(*) FROM cxm.value_ladder_moves(during => '(,)')), (SELECT count(*) FROM cxm.value_ladder_moves()), 'a range without ends');
SELECT is((SELECT count(*) FROM cxm.value_ladder_moves(during => '[-infinity,infinity]')), (SELECT count(*) FROM cxm.value_ladder_moves()), 'and one with infinite ends');

-- what lay between
SELECT cxm.track('visit', pg_temp.mail('ann'), at => pg_temp.day(3), touchpoint => 'web'), cxm.track('visit', pg_temp.mail('ann'), at => pg_temp.day(7), touchpoint => 'web'),
       cxm.track('call', pg_temp.mail('ann'), at => pg_temp.day(5), touchpoint => 'phone'), cxm.track('visit', pg_temp.mail('ann'), at => pg_temp.day(8)),
       cxm.track('visit', pg_temp.mail('ann'), at => pg_temp.day(11), touchpoint => 'at the time itself'), cxm.track('visit', pg_temp.mail('ann'), at => pg_temp.day(60), touchpoint => 'too late'),
       cxm.record_purchase(5, pg_temp.mail('ann'), at => pg_temp.day(15), touchpoint => 'shop'), cxm.record_purchase(5, pg_temp.mail('bob'), at => pg_temp.day(20), touchpoint => 'web');
INSERT INTO cx.follow_up (follow_up_id, occurred_at, identifier_id, opened_at, moved_at)
VALUES (101, pg_temp.day(1), pg_temp.id('ann'), pg_temp.day(2), pg_temp.day(2)),
       (102, pg_temp.day(9), pg_temp.id('bob'), pg_temp.day(10), pg_temp.day(10)), (103, pg_temp.day(16), pg_temp.id('bob'), pg_temp.day(17), pg_temp.day(17)),
       (104, pg_temp.day(21), pg_temp.id('ann'), pg_temp.day(22), pg_temp.day(22)),
       -- about the second standing itself, though the clock of whoever sent it was ahead
       (105, pg_temp.day(26), pg_temp.id('cleo'), pg_temp.day(25), pg_temp.day(25));
UPDATE cx.follow_up SET state = 'in_progress', move = 'take', moved_at = moved_at + interval '1 hour' WHERE follow_up_id IN (101, 102, 104);
UPDATE cx.follow_up SET state = 'resolved', move = 'resolve', outcome = 'solved', resolved_at = pg_temp.day(5), moved_at = pg_temp.day(5) WHERE follow_up_id = 101;
UPDATE cx.follow_up SET state = 'closed', move = 'close', closed_at = pg_temp.day(12), moved_at = pg_temp.day(12) WHERE follow_up_id = 101;
UPDATE cx.follow_up SET state = 'resolved', move = 'resolve', outcome = 'explained', resolved_at = pg_temp.day(20), moved_at = pg_temp.day(20) WHERE follow_up_id = 102;
UPDATE cx.follow_up SET state = 'cancelled', move = 'cancel', closed_at = pg_temp.day(18), moved_at = pg_temp.day(18) WHERE follow_up_id = 103;
UPDATE cx.follow_up SET state = 'resolved', move = 'resolve', outcome = 'solved', resolved_at = pg_temp.day(24), moved_at = pg_temp.day(24) WHERE follow_up_id = 104;
UPDATE cx.follow_up SET state = 'open', move = 'reopen', outcome = NULL, resolved_at = NULL, moved_at = pg_temp.day(25) WHERE follow_up_id = 104;

SELECT results_eq($$SELECT pg_temp.who(profile_id), number, from_at, from_rung, from_score, to_at, to_rung, to_score, cause, dwell::text, climbed, follow_up, outcome, touchpoints FROM cxm.value_ladder_moves() ORDER BY 1, 2$$,
    $$SELECT w::text, n, pg_temp.day(fa), fr::text, fs::smallint, pg_temp.day(ta), tr::text, ts::smallint, c::text, dw::text, cl::smallint, fu::text, o::text, tp::text[]
      FROM (VALUES ('ann', 1, 1, 'detractor', 3, 11, 'passive', 8, 'score', '10 days', 1, 'closed', 'solved', '{phone,web}'),
                   ('ann', 2, 11, 'passive', 8, 21, 'promoter', 9, 'score', '10 days', 1, 'none', NULL, '{shop}'),
                   ('ann', 3, 21, 'promoter', 9, 26, 'advocate', 9, 'review', '5 days', 1, 'open', NULL, '{}'),
                   ('ann', 4, 26, 'advocate', 9, 31, 'advocate', 10, 'score', '5 days', 0, 'open', NULL, '{}'),
                   ('ann', 5, 31, 'advocate', 10, 41, 'passive', 7, 'score', '10 days', -2, 'open', NULL, '{}'),
                   ('ann', 6, 41, 'passive', 7, 51, 'promoter', 9, 'score', '10 days', 1, 'open', NULL, '{}'),
                   ('bob', 1, 1, 'promoter', 9, 6, 'advocate', 9, 'referral', '5 days', 1, 'none', NULL, '{}'),
                   ('bob', 2, 6, 'advocate', 9, 16, 'detractor', 2, 'score', '10 days', -3, 'open', NULL, '{}'),
                   ('bob', 3, 16, 'detractor', 2, 36, 'detractor', 2, 'score', '20 days', 0, 'closed', 'explained', '{web}'),
                   ('cleo', 1, 6, 'promoter', 9, 6, 'advocate', 9, 'review', '00:00:00', 1, 'none', NULL, '{}'),
                   ('cleo', 2, 6, 'advocate', 9, 26, 'advocate', 10, 'score', '20 days', 0, 'none', NULL, '{}'),
                   ('fred', 1, 5, 'detractor', 3, 5, 'promoter', 10, 'score', '00:00:00', 2, 'none', NULL, '{}')) AS v(w, n, fa, fr, fs, ta, tr, ts, c, dw, cl, fu, o, tp)$$,
    'moves, with follow-ups as they stood then and touchpoints strictly between');
SELECT results_eq($$SELECT dimension, key, moves, customers, climbed, stayed, fell, round(climbed_share::numeric, 4), round(climbed_lower::numeric, 4), round(climbed_upper::numeric, 4), round(stayed_share::numeric, 4), round(fell_share::numeric, 4) FROM cxm.value_ladder_between()$$,
    $$VALUES ('all'::text, NULL::text, 12::bigint, 4::bigint, 7::bigint, 3::bigint, 2::bigint, 0.5833, 0.3195, 0.8067, 0.2500, 0.1667),
             ('follow_up', 'closed', 2, 2, 1, 1, 0, 0.5000, 0.0945, 0.9055, 0.5000, 0.0000),
             ('follow_up', 'none', 5, 4, 4, 1, 0, 0.8000, 0.3755, 0.9638, 0.2000, 0.0000),
             ('follow_up', 'open', 5, 2, 2, 1, 2, 0.4000, 0.1176, 0.7693, 0.2000, 0.4000),
             ('outcome', 'explained', 1, 1, 0, 1, 0, 0.0000, 0.0000, 0.7935, 1.0000, 0.0000),
             ('outcome', 'solved', 1, 1, 1, 0, 0, 1.0000, 0.2065, 1.0000, 0.0000, 0.0000),
             ('touchpoint', NULL, 9, 4, 5, 2, 2, 0.5556, 0.2667, 0.8112, 0.2222, 0.2222),
             ('touchpoint', 'phone', 1, 1, 1, 0, 0, 1.0000, 0.2065, 1.0000, 0.0000, 0.0000),
             ('touchpoint', 'shop', 1, 1, 1, 0, 0, 1.0000, 0.2065, 1.0000, 0.0000, 0.0000),
             ('touchpoint', 'web', 2, 2, 1, 1, 0, 0.5000, 0.0945, 0.9055, 0.5000, 0.0000)$$, 'what lay between');
SELECT is((SELECT moves || ' ' || climbed || ' ' || stayed || ' ' || fell FROM cxm.value_ladder_between(from_rung => 'advocate') WHERE dimension = 'all'), '4 0 2 2', 'from one rung');
SELECT results_eq($$SELECT pg_temp.who(profile_id), to_at, climbed, is_last FROM cxm.value_ladder_customers()$$,
    $$VALUES ('ann'::text, pg_temp.day(41), -2::smallint, false), ('bob', pg_temp.day(16), -3::smallint, false)$$, 'who fell, newest first');
SELECT results_eq($$SELECT to_at, pg_temp.who(profile_id), climbed, is_last FROM cxm.value_ladder_customers('climbed', during => tstzrange(pg_temp.day(5), pg_temp.day(21), '[]')) ORDER BY 1 DESC, 2$$,
    $$VALUES (pg_temp.day(21), 'ann'::text, 1::smallint, true), (pg_temp.day(11), 'ann', 1::smallint, false), (pg_temp.day(6), 'bob', 1::smallint, false), (pg_temp.day(6), 'cleo', 1::smallint, true), (pg_temp.day(5), 'fred', 2::smallint, true)$$,
    'who climbed in a range, and whether they stand there at its end');
SELECT ok((SELECT bool_and(to_at <= coalesce(before, to_at)) FROM (SELECT to_at, lag(to_at) OVER () AS before FROM cxm.value_ladder_customers('climbed')) AS r), 'newest first, all of them');

-- segments
SELECT cxm.identify(pg_temp.mail(t.who), jsonb_build_object('tier', t.tier, 'other', 1)) FROM (VALUES ('ann', 'gold'), ('cleo', 'gold'), ('bob', 'plain')) AS t(who, tier);
SELECT results_eq($$SELECT segment, sum(moves), sum(customers) FILTER (WHERE to_rung = 'none'), count(*) FROM cxm.value_ladder(segment_trait => 'tier') GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('gold'::text, 8::numeric, 2::numeric, 17::bigint), ('plain', 3, 1, 17), (NULL, 1, 2, 17)$$, 'by a trait, those without it apart');
SELECT is((SELECT round(share::numeric, 4) || ' ' || moves FROM cxm.value_ladder(segment_trait => 'tier') WHERE segment = 'gold' AND from_rung = 'advocate' AND to_rung = 'advocate'), '0.6667 2', 'shares are of the segment''s own moves');
SELECT results_eq($$SELECT segment, sum(moves), sum(customers) FILTER (WHERE to_rung = 'none') FROM cxm.value_ladder(segment_trait => 'tier', profile_ids => ARRAY(SELECT profile_id FROM cx.identifier WHERE identifier_id IN (pg_temp.id('ann'), pg_temp.id('dan')))) GROUP BY 1 ORDER BY 1$$,
    $$VALUES ('gold'::text, 6::numeric, 1::numeric), (NULL, 0, 1)$$, 'of two customers alone');
SELECT results_eq($$SELECT DISTINCT segment FROM cxm.value_ladder(segment_trait => 'no such trait')$$, $$VALUES (NULL::text)$$, 'a trait that nobody has');

-- merged, the two histories are one; unmerged, they are two as before
CREATE TEMPORARY TABLE before AS SELECT * FROM cxm.value_ladder_moves();
SELECT cxm.merge('email', 'bob@example.org', 'email', 'cleo@example.org', 'one person') AS merge_id \gset
SELECT results_eq($$SELECT pg_temp.who(profile_id), at, rung, cause FROM cxm.value_ladder_standings(profile_ids => (SELECT array_agg(profile_id) FROM cx.identifier WHERE identifier_id = pg_temp.id('bob')))$$,
    $$VALUES ('bob+cleo'::text, pg_temp.day(1), 'promoter'::text, 'score'::text), ('bob+cleo', pg_temp.day(6), 'promoter', 'score'), ('bob+cleo', pg_temp.day(6), 'advocate', 'review'),
             ('bob+cleo', pg_temp.day(16), 'detractor', 'score'), ('bob+cleo', pg_temp.day(26), 'promoter', 'score'), ('bob+cleo', pg_temp.day(30), 'advocate', 'review'), ('bob+cleo', pg_temp.day(36), 'detractor', 'score')$$,
    'a merge joins the histories, and nobody has brought themselves');
SELECT is((SELECT count(*) FROM cxm.value_ladder_standings(profile_ids => ARRAY(SELECT profile_id FROM cx.identifier WHERE identifier_id IN (pg_temp.id('bob'), pg_temp.id('cleo'))))), 7::bigint, 'asked for by both old profiles, once');
SELECT cxm.unmerge(ARRAY[:merge_id], 'two people');
SELECT results_eq('SELECT pg_temp.who(profile_id), number, from_at, to_at, from_rung, to_rung, follow_up, touchpoints FROM cxm.value_ladder_moves() ORDER BY 1, 2',
                  'SELECT pg_temp.who(profile_id), number, from_at, to_at, from_rung, to_rung, follow_up, touchpoints FROM before ORDER BY 1, 2', 'an unmerge brings all of it back');

-- corrections and what is gone
SAVEPOINT correction;
UPDATE cx.feedback SET score = 10 WHERE identifier_id = pg_temp.id('bob') AND occurred_at = pg_temp.day(16);
SELECT is((SELECT string_agg(rung, ' ' ORDER BY number) FROM cxm.value_ladder_standings() WHERE pg_temp.who(profile_id) = 'bob'), 'promoter advocate advocate detractor', 'a corrected score is in it at once');
DELETE FROM cx.referral WHERE referrer_id = pg_temp.id('bob');
SELECT is((SELECT string_agg(rung, ' ' ORDER BY number) FROM cxm.value_ladder_standings() WHERE pg_temp.who(profile_id) = 'bob'), 'promoter promoter detractor', 'as is a referral that is gone');
ROLLBACK TO SAVEPOINT correction;

-- a metric of one's own, which sees the same acts
SELECT cxm.add_metric('rnps', 'nps', 0, 10, 'about us');
SELECT cxm.record_feedback('rnps', 9, pg_temp.mail('eve'), at => pg_temp.day(1)), cxm.record_feedback('rnps', 9, pg_temp.mail('dan'), at => pg_temp.day(7.5));
SELECT results_eq($$SELECT pg_temp.who(profile_id), rung FROM cxm.value_ladder_standings('rnps') ORDER BY 1, number$$,
    $$VALUES ('dan'::text, 'promoter'::text), ('eve', 'promoter'), ('eve', 'advocate')$$, 'a ladder for each metric: acts count for promoters of it, if they come after');
SELECT is((SELECT count(*) FROM cx.value_ladder), 34::bigint, 'both are in the view');
INSERT INTO cx.feedback (metric, question, score, scale_min, scale_max, occurred_at, identifier_id)
VALUES ('rating', 'public_review', 8, 0, 10, pg_temp.day(70), pg_temp.id('dan')), ('rating', 'public_review', 4, 1, 7, pg_temp.day(71), pg_temp.id('dan'));
SELECT is((SELECT string_agg(rung, ' ' ORDER BY number) FROM cxm.value_ladder_standings('rnps') WHERE pg_temp.who(profile_id) = 'dan'), 'promoter', 'eight of ten and four of seven are not enough');
INSERT INTO cx.feedback (metric, question, score, scale_min, scale_max, occurred_at, identifier_id) VALUES ('rating', 'public_review', 9, 0, 10, pg_temp.day(72), pg_temp.id('dan'));
SELECT is((SELECT string_agg(rung, ' ' ORDER BY number) FROM cxm.value_ladder_standings('rnps') WHERE pg_temp.who(profile_id) = 'dan'), 'promoter advocate', 'nine of ten are');

---- what is refused

SELECT throws_ok($$SELECT * FROM cxm.value_ladder('csat')$$, '22023', 'metric "csat" has no value ladder', 'another family');
SELECT throws_ok($$SELECT * FROM cxm.value_ladder_moves('rating')$$, '22023', 'metric "rating" has no value ladder', 'also where moves are asked for');
SELECT throws_ok($$SELECT * FROM cxm.value_ladder('nsp')$$, '42704', 'metric "nsp" does not exist', 'an unknown metric');
SELECT throws_ok($$SELECT * FROM cxm.value_ladder(NULL)$$, '42704', 'metric NULL does not exist', 'none');
SELECT throws_ok($$SELECT * FROM cxm.value_ladder(confidence => 1.5)$$, '22023', NULL, 'a confidence that is none');
SELECT throws_ok($$SELECT * FROM cxm.value_ladder_between(from_rung => 'neutral')$$, '22023', 'the value ladder has no rung "neutral"', 'an unknown rung');
SELECT throws_ok($$SELECT * FROM cxm.value_ladder_customers('up')$$, '22023', 'there is no direction "up"', 'an unknown direction');
SELECT throws_ok($$SELECT * FROM cxm.value_ladder_customers(NULL)$$, '22023', 'there is no direction NULL', 'no direction');
SELECT is_empty($$SELECT * FROM cxm.value_ladder_moves(profile_ids => '{}')$$, 'nobody asked for is nobody');
SELECT is_empty($$SELECT * FROM cxm.value_ladder_moves(profile_ids => '{-1,NULL}')$$, 'as are profiles that there are not');

---- random histories against a loop

SELECT cxm.identify(jsonb_build_object('device_id', 'd' || i)) FROM generate_series(1, 80) AS i;
CREATE FUNCTION pg_temp.n(i integer, salt integer, n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT ((hashint8extended(i, salt) & 1073741823) % n)::integer $$;
CREATE FUNCTION pg_temp.device(i integer) RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT identifier_id FROM cx.identifier WHERE namespace = 'device_id' AND value = 'd' || 1 + pg_temp.n(i, 2, 80) $$;
-- few hours, so that many things happen at one time
CREATE FUNCTION pg_temp.at(i integer) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT timestamptz '2026-01-01' + make_interval(hours => pg_temp.n(i, 3, 60)) $$;
INSERT INTO cx.feedback (occurred_at, identifier_id, metric, score, scale_min, scale_max, comment)
SELECT pg_temp.at(i), CASE WHEN pg_temp.n(i, 1, 30) > 0 THEN pg_temp.device(i) END, CASE WHEN pg_temp.n(i, 5, 8) > 0 THEN 'nps' ELSE 'rnps' END,
       CASE WHEN pg_temp.n(i, 4, 15) > 0 THEN CASE WHEN pg_temp.n(i, 6, 2) = 0 THEN 9 ELSE pg_temp.n(i, 7, 11) END END, 0, 10, 'said'
FROM generate_series(1, 700) AS i;
INSERT INTO cx.feedback (occurred_at, identifier_id, metric, score, scale_min, scale_max, question)
SELECT pg_temp.at(i), pg_temp.device(i), 'rating', 1 + pg_temp.n(i, 8, 5), 1, 5, CASE WHEN pg_temp.n(i, 9, 4) > 0 THEN 'public_review' END FROM generate_series(1001, 1150) AS i;
INSERT INTO cx.referral_code (code, identifier_id) SELECT 'ABCDEFGH' || lpad(translate((row_number() OVER (ORDER BY i))::text, '0', 'X'), 4, 'Z'), i FROM (SELECT DISTINCT pg_temp.device(i) AS i FROM generate_series(2001, 2060) AS i) AS d;
INSERT INTO cx.referral (code, referrer_id, referred_id, referred_at, source_id)
SELECT DISTINCT ON (b) c.code, r.a, r.b, r.at, (SELECT min(source_id) FROM cx.source)
FROM (SELECT pg_temp.device(i) AS a, pg_temp.device(i + 10000) AS b, pg_temp.at(i) AS at, i FROM generate_series(2001, 2060) AS i) AS r
JOIN cx.referral_code AS c ON c.identifier_id = r.a
WHERE r.a <> r.b
ORDER BY b, r.i;
INSERT INTO cx.event_type (key) VALUES ('step');
INSERT INTO cx.event (occurred_at, identifier_id, event_type_id, touchpoint_id)
SELECT pg_temp.at(i), pg_temp.device(i), (SELECT event_type_id FROM cx.event_type WHERE key = 'step'), CASE WHEN pg_temp.n(i, 10, 5) > 0 THEN (SELECT touchpoint_id FROM cx.touchpoint WHERE key = (ARRAY['web', 'phone', 'shop'])[1 + pg_temp.n(i, 11, 3)]) END
FROM generate_series(3001, 3300) AS i;
INSERT INTO cx.purchase (occurred_at, identifier_id, amount, touchpoint_id) SELECT pg_temp.at(i), pg_temp.device(i), 1, (SELECT touchpoint_id FROM cx.touchpoint WHERE key = 'shop') FROM generate_series(3301, 3380) AS i;
INSERT INTO cx.follow_up (follow_up_id, occurred_at, identifier_id, opened_at, moved_at)
SELECT i, pg_temp.at(i), pg_temp.device(i), pg_temp.at(i) + interval '20 minutes', pg_temp.at(i) + interval '20 minutes' FROM generate_series(4001, 4150) AS i;
UPDATE cx.follow_up SET state = 'cancelled', closed_at = moved_at + interval '1 hour', moved_at = moved_at + interval '1 hour' WHERE follow_up_id > 4000 AND follow_up_id % 7 = 0;
UPDATE cx.follow_up SET state = 'in_progress', moved_at = moved_at + interval '1 hour' WHERE follow_up_id > 4000 AND state = 'open' AND follow_up_id % 5 > 0;
UPDATE cx.follow_up SET state = 'resolved', outcome = (ARRAY['solved', 'explained'])[1 + follow_up_id % 2], resolved_at = moved_at, moved_at = moved_at + make_interval(hours => pg_temp.n(follow_up_id::integer, 12, 12))
WHERE follow_up_id > 4000 AND state = 'in_progress' AND follow_up_id % 4 > 0 AND pg_temp.n(follow_up_id::integer, 12, 12) > 0;
UPDATE cx.follow_up SET state = 'closed', closed_at = moved_at, moved_at = moved_at + interval '3 hours' WHERE follow_up_id > 4000 AND state = 'resolved' AND follow_up_id % 3 = 0;
UPDATE cx.follow_up SET state = 'open', outcome = NULL, resolved_at = NULL, closed_at = NULL, reopened = 1, moved_at = moved_at + interval '2 hours' WHERE follow_up_id > 4000 AND state IN ('resolved', 'closed') AND follow_up_id % 8 = 1;

CREATE VIEW pg_temp.owner AS SELECT i.identifier_id, p.canonical_id AS person FROM cx.identifier AS i JOIN cx.profile AS p ON p.profile_id = i.profile_id;
CREATE FUNCTION pg_temp.person(identifier bigint) RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT p.canonical_id FROM cx.identifier AS i JOIN cx.profile AS p ON p.profile_id = i.profile_id WHERE i.identifier_id = identifier $$;
-- step by step, with what a person remembers of the one before; all variables are of the person at hand
CREATE FUNCTION pg_temp.walk(of_metric text, until timestamptz)
RETURNS TABLE (profile_id bigint, number integer, from_at timestamptz, from_rung text, to_at timestamptz, to_rung text, to_score smallint, cause text, record_id bigint, climbed integer, follow_up text, outcome text, touchpoints text[])
LANGUAGE plpgsql STABLE AS $$
DECLARE
    names text[] := '{detractor,passive,promoter,advocate}';
    one record; f record; v record; who bigint; old_place integer; old_at timestamptz; place integer; last_score smallint; closed_when timestamptz; state text; done timestamptz; came_to text;
BEGIN
    FOR one IN
        SELECT pg_temp.person(r.identifier_id) AS person, r.* FROM (
            SELECT x.identifier_id, x.occurred_at AS at, 1 AS sort, 'score' AS cause, x.feedback_id AS id, x.score FROM cx.feedback AS x WHERE x.metric = of_metric AND x.score IS NOT NULL AND x.scale_max = 10
            UNION ALL SELECT x.referrer_id, x.referred_at, 2, 'referral', x.referral_id, NULL FROM cx.referral AS x WHERE pg_temp.person(x.referrer_id) <> pg_temp.person(x.referred_id)
            UNION ALL SELECT x.identifier_id, x.occurred_at, 3, 'review', x.feedback_id, x.score FROM cx.feedback AS x WHERE x.question = 'public_review' AND ((x.scale_max = 5 AND x.score IN (4, 5)) OR (x.scale_max = 10 AND x.score IN (9, 10)))) AS r
        WHERE r.identifier_id IS NOT NULL AND r.at < until
        ORDER BY 1, r.at, r.sort, r.id
    LOOP
        IF one.person IS DISTINCT FROM who THEN
            who := one.person; old_place := NULL; old_at := NULL; number := 0;
        END IF;
        IF one.cause = 'score' THEN
            place := CASE WHEN one.score < 7 THEN 1 WHEN one.score < 9 THEN 2 WHEN old_place = 4 THEN 4 ELSE 3 END;
            last_score := one.score;
        ELSIF old_place = 3 THEN
            place := 4;
        ELSE
            CONTINUE;
        END IF;
        IF old_place IS NOT NULL THEN
            profile_id := who; number := number + 1; from_at := old_at; from_rung := names[old_place]; to_at := one.at; to_rung := names[place]; to_score := last_score; cause := one.cause; record_id := one.id; climbed := place - old_place;
            follow_up := 'none'; outcome := NULL; closed_when := NULL;
            FOR f IN SELECT x.* FROM pg_temp.owner AS o JOIN cx.follow_up AS x USING (identifier_id) WHERE o.person = who AND x.occurred_at < one.at ORDER BY x.follow_up_id LOOP
                state := NULL; done := NULL; came_to := NULL;
                FOR v IN SELECT x.* FROM cx.follow_up_event AS x WHERE x.follow_up_id = f.follow_up_id ORDER BY x.event_id LOOP
                    CONTINUE WHEN v.moved_at >= one.at;
                    state := v.to_state;
                    IF v.to_state = 'resolved' THEN done := v.moved_at; END IF;
                    IF v.changes ? 'outcome' THEN came_to := v.changes #>> '{outcome,1}'; END IF;
                END LOOP;
                IF state IN ('open', 'in_progress', 'waiting') AND follow_up = 'none' THEN
                    follow_up := 'open';
                ELSIF state IN ('resolved', 'closed') AND done >= old_at THEN
                    follow_up := 'closed';
                    IF closed_when IS NULL OR done >= closed_when THEN closed_when := done; outcome := came_to; END IF;
                END IF;
            END LOOP;
            touchpoints := ARRAY(SELECT DISTINCT t.key::text COLLATE "C" FROM cx.touchpoint AS t WHERE
                EXISTS (SELECT FROM pg_temp.owner AS o JOIN cx.event AS x USING (identifier_id) WHERE x.touchpoint_id = t.touchpoint_id AND o.person = who AND x.occurred_at > old_at AND x.occurred_at < one.at)
                OR EXISTS (SELECT FROM pg_temp.owner AS o JOIN cx.purchase AS x USING (identifier_id) WHERE x.touchpoint_id = t.touchpoint_id AND o.person = who AND x.occurred_at > old_at AND x.occurred_at < one.at) ORDER BY 1);
            RETURN NEXT;
        END IF;
        old_place := place; old_at := one.at;
    END LOOP;
END
$$;
CREATE FUNCTION pg_temp.moves(of_metric text, during tstzrange DEFAULT NULL, ids bigint[] DEFAULT NULL)
RETURNS TABLE (profile_id bigint, number integer, from_at timestamptz, from_rung text, to_at timestamptz, to_rung text, to_score smallint, cause text, record_id bigint, climbed integer, follow_up text, outcome text, touchpoints text[])
LANGUAGE sql STABLE AS
$$ SELECT profile_id, number, from_at, from_rung, to_at, to_rung, to_score, cause, record_id, climbed::integer, follow_up, outcome, touchpoints FROM cxm.value_ladder_moves(of_metric, during, ids) ORDER BY profile_id, number $$;

SELECT results_eq($$SELECT * FROM pg_temp.moves('nps')$$, $$SELECT * FROM pg_temp.walk('nps', 'infinity') ORDER BY 1, 2$$, 'moves are those of the loop');
SELECT results_eq($$SELECT * FROM pg_temp.moves('rnps')$$, $$SELECT * FROM pg_temp.walk('rnps', 'infinity') ORDER BY 1, 2$$, 'of another metric, too');
SELECT ok((SELECT count(*) > 300 AND count(DISTINCT from_rung || to_rung) = 13 AND count(DISTINCT follow_up) = 3 AND count(DISTINCT cause) = 3 AND bool_or(cardinality(touchpoints) > 1) AND bool_or(from_at = to_at)
           FROM cxm.value_ladder_moves()), 'all that there is occurs in them');
SELECT results_eq($$SELECT * FROM pg_temp.moves('nps', '[2026-01-01 12:00,2026-01-02 06:00)')$$,
                  $$SELECT * FROM pg_temp.walk('nps', '2026-01-02 06:00') WHERE to_at >= '2026-01-01 12:00' ORDER BY 1, 2$$, 'within a range');
CREATE TEMPORARY TABLE unmerged AS SELECT * FROM pg_temp.moves('nps');
SELECT results_eq($$SELECT r.* FROM (SELECT DISTINCT profile_id FROM unmerged) AS p CROSS JOIN LATERAL pg_temp.moves('nps', NULL, ARRAY[p.profile_id]) AS r ORDER BY 1, 2$$, 'SELECT * FROM unmerged ORDER BY 1, 2', 'one by one as all at once');

CREATE TEMPORARY TABLE merge AS SELECT cxm.merge('device_id', 'd' || i, 'device_id', 'd' || 40 + i, 'one person') AS link_id FROM generate_series(1, 30) AS i;
SELECT cxm.merge('device_id', 'd1', 'device_id', 'd2', 'one person'), cxm.merge('device_id', 'd42', 'device_id', 'd3', 'one person');
SELECT results_eq($$SELECT * FROM pg_temp.moves('nps')$$, $$SELECT * FROM pg_temp.walk('nps', 'infinity') ORDER BY 1, 2$$, 'after merges');
SELECT isnt((SELECT count(*) FROM pg_temp.moves('nps')), (SELECT count(*) FROM unmerged), 'which make a difference');
SELECT results_eq($$SELECT DISTINCT r.profile_id FROM cxm.value_ladder_moves(profile_ids => (SELECT array_agg(profile_id) FROM cx.identifier WHERE value = 'd3')) AS r$$,
                  $$SELECT pg_temp.person(identifier_id) FROM cx.identifier WHERE value = 'd1'$$, 'whoever is asked for by an old profile is the person of today');

-- the matrix from the loop, by scalar queries
CREATE TEMPORARY TABLE walked AS SELECT * FROM pg_temp.walk('nps', 'infinity');
SELECT results_eq($$SELECT from_rung, to_rung, moves, customers, round(share::numeric, 9), round(lower::numeric, 9), median_dwell, p90_dwell FROM cxm.value_ladder() WHERE to_rung <> 'none' ORDER BY 1, 2$$,
    $$SELECT w.from_rung, w.to_rung, count(*), count(DISTINCT w.profile_id), round(count(*)::numeric / (SELECT count(*) FROM walked AS a WHERE a.from_rung = w.from_rung), 9),
             round((cxm.proportion_interval(count(*), (SELECT count(*) FROM walked AS a WHERE a.from_rung = w.from_rung))).lower::numeric, 9),
             percentile_cont(0.5) WITHIN GROUP (ORDER BY w.to_at - w.from_at), percentile_cont(0.9) WITHIN GROUP (ORDER BY w.to_at - w.from_at)
      FROM walked AS w GROUP BY 1, 2 ORDER BY 1, 2$$, 'the matrix sums up the moves');
SELECT results_eq($$SELECT from_rung, customers FROM cxm.value_ladder() WHERE to_rung = 'none' AND moves = 0 AND share IS NULL ORDER BY 1$$,
    $$SELECT s.rung, count(*) FROM cxm.value_ladder_standings() AS s WHERE NOT EXISTS (SELECT FROM walked AS w WHERE w.profile_id = s.profile_id AND w.number = s.number) GROUP BY 1 ORDER BY 1$$,
    'whose standing is the last is shown apart');
SELECT is((SELECT sum(customers)::bigint FROM cxm.value_ladder() WHERE to_rung = 'none'), (SELECT count(DISTINCT profile_id) FROM cxm.value_ladder_standings()), 'each customer once');
SELECT results_eq($$SELECT from_rung, round(sum(share)::numeric, 9) FROM cxm.value_ladder() GROUP BY 1 ORDER BY 1$$, $$VALUES ('advocate'::text, 1.000000000), ('detractor', 1.000000000), ('passive', 1.000000000), ('promoter', 1.000000000)$$, 'shares from a rung come to one');
SELECT results_eq($$SELECT dimension, key, moves, climbed, stayed, fell FROM cxm.value_ladder_between(from_rung => 'promoter') ORDER BY 1, 2$$,
    $$SELECT d.dimension, d.key, count(*), count(*) FILTER (WHERE w.climbed > 0), count(*) FILTER (WHERE w.climbed = 0), count(*) FILTER (WHERE w.climbed < 0)
      FROM walked AS w CROSS JOIN LATERAL (SELECT 'all', NULL UNION ALL SELECT 'follow_up', w.follow_up UNION ALL SELECT 'outcome', w.outcome WHERE w.follow_up = 'closed'
           UNION ALL SELECT 'touchpoint', t.key COLLATE "default" FROM cx.touchpoint AS t WHERE t.key = ANY (w.touchpoints) UNION ALL SELECT 'touchpoint', NULL WHERE w.touchpoints = '{}') AS d(dimension, key)
      WHERE w.from_rung = 'promoter' GROUP BY 1, 2 ORDER BY 1, 2$$, 'what lay between, of promoters');
SELECT results_eq($$SELECT profile_id, to_at, to_rung FROM cxm.value_ladder_customers('fell') WHERE is_last$$,
    $$SELECT profile_id, to_at, to_rung FROM walked AS w WHERE climbed < 0 AND NOT EXISTS (SELECT FROM walked AS n WHERE n.profile_id = w.profile_id AND n.number > w.number) ORDER BY to_at DESC, profile_id$$,
    'who fell and has not got up');

-- every merge taken back
SELECT count(*) AS retired FROM (SELECT cxm.unmerge(ARRAY[l.link_id], 'two people') FROM cx.link AS l WHERE l.retired_at IS NULL AND l.link_id >= (SELECT min(link_id) FROM merge)) AS u;
SELECT results_eq($$SELECT * FROM pg_temp.moves('nps')$$, $$SELECT * FROM pg_temp.walk('nps', 'infinity') ORDER BY 1, 2$$, 'after unmerges');
SELECT results_eq($$SELECT count(*), sum(climbed), sum(extract(epoch FROM to_at - from_at)) FROM pg_temp.moves('nps')$$, 'SELECT count(*), sum(climbed), sum(extract(epoch FROM to_at - from_at)) FROM unmerged', 'it is as if never merged');

---- rights

CREATE ROLE cxm_test_reader;
SELECT cxm.grant_store('cxm_test_reader');
SET LOCAL ROLE cxm_test_reader;
SELECT lives_ok('SELECT * FROM cx.value_ladder', 'a reader of the store reads the view');
SELECT lives_ok($$SELECT * FROM cxm.value_ladder_between(), cxm.value_ladder(segment_trait => 'tier')$$, 'and asks');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
