-- The overall rating: the mean of its parts, by the version that held; a missing part is no zero
BEGIN;
SELECT no_plan();
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;

-- the arithmetic
SELECT is(array(SELECT cxm.rating_points(v, w, b) FROM (VALUES (-100.0, -100.0, 100.0), (0, -100, 100), (100, -100, 100), (250, -100, 100), (-101, -100, 100), (2, 10, 0), (11, 10, 0), (-1, 10, 0), (5, 5, 5)) AS p(v, w, b)),
          ARRAY[0, 50, 100, 100, 0, 80, 0, 100, NULL]::float8[], 'points go from worst to best, and no further');
SELECT results_eq($$SELECT rating, round(rating_lower::numeric, 10), round(rating_upper::numeric, 10), weight_present FROM cxm.weighted_rating('{3,1}', '{60,80}', '{50,70}', '{70,95}')$$,
                  $$VALUES (65::float8, round((65 - sqrt(30.0^2 + 10^2) / 4)::numeric, 10), round((65 + sqrt(30.0^2 + 15^2) / 4)::numeric, 10), 1::float8)$$, 'weighted, with an interval');
SELECT results_eq($$SELECT * FROM cxm.weighted_rating('{3,1,4}', '{60,80,NULL}', '{50,70,NULL}', '{70,95,NULL}')$$,
                  $$SELECT rating, rating_lower, rating_upper, 0.5::float8 FROM cxm.weighted_rating('{3,1}', '{60,80}', '{50,70}', '{70,95}')$$, 'a missing part is no zero, and its weight is shared out');
SELECT results_eq($$SELECT * FROM cxm.weighted_rating('{1}', '{50}', '{NULL}', '{NULL}')$$, 'VALUES (50::float8, 0::float8, 100::float8, 1::float8)', 'a part that is not known may be anything');
SELECT results_eq($$SELECT * FROM cxm.weighted_rating('{1,2}', '{NULL,NULL}', '{NULL,NULL}', '{NULL,NULL}') UNION ALL SELECT * FROM cxm.weighted_rating('{}', '{}', '{}', '{}')$$,
                  'VALUES (NULL::float8, NULL::float8, NULL::float8, 0::float8), (NULL, NULL, NULL, 0)', 'of nothing there is no rating');
SELECT throws_ok(format('SELECT cxm.weighted_rating(%s)', args), '22023', NULL, 'refused: ' || args)
FROM unnest(ARRAY[$$'{1}', '{1,2}', '{1}', '{1}'$$, $$NULL, '{1}', '{1}', '{1}'$$, $$'{0}', '{1}', '{1}', '{1}'$$, $$'{-1}', '{1}', '{1}', '{1}'$$,
                  $$'{NaN}', '{1}', '{1}', '{1}'$$, $$'{Infinity}', '{1}', '{1}', '{1}'$$, $$'{NULL}', '{1}', '{1}', '{1}'$$]) AS args;

-- data: two places, one of which is never asked for its CSAT
INSERT INTO cx.location (key) VALUES ('north'), ('south');
INSERT INTO cx.feedback (occurred_at, metric, score, scale_min, scale_max, location_id)
SELECT timestamptz '2026-01-01 00:00Z' + (hashint4(i) & 8388607) * interval '1 second', m.metric, m.low + (hashint4(i * 7 + m.low) & 1023) % (m.high - m.low + 1), m.low, m.high, l.location_id
FROM cx.location AS l, generate_series(1, 400) AS i, (VALUES ('nps', 0, 10), ('csat', 1, 5), ('ces', 1, 7)) AS m(metric, low, high)
WHERE l.key = 'north' OR (l.key = 'south' AND m.metric <> 'csat');
UPDATE cx.store SET time_zone = 'UTC';

SELECT is(cxm.set_overall_rating('{"nps": {"weight": 5, "worst": -100, "best": 100}, "csat": {"weight": 3, "worst": 0, "best": 100}, "ces": {"weight": 2, "worst": 7, "best": 1}}', 'test', 0.6), 2, 'another version');

-- restated from the scores themselves
CREATE TEMPORARY VIEW restated AS
SELECT l.key, p.period, sum(w.weight * w.points) / sum(w.weight) AS rating, sum(w.weight) / 10 AS present, count(*)::integer AS parts
FROM cx.location AS l
CROSS JOIN (VALUES (date '2026-01-01'), ('2026-02-01'), ('2026-03-01'), ('2026-04-01')) AS p(period)
CROSS JOIN LATERAL (
    SELECT CASE f.metric WHEN 'nps' THEN 5.0 WHEN 'csat' THEN 3 ELSE 2 END AS weight,
           CASE f.metric WHEN 'nps' THEN (100.0 * (count(*) FILTER (WHERE score >= 9) - count(*) FILTER (WHERE score <= 6)) / count(*) + 100) / 2
                         WHEN 'csat' THEN 100.0 * count(*) FILTER (WHERE score >= 4) / count(*)
                         ELSE 100 * (7 - avg(score)) / 6 END AS points
    FROM cx.feedback AS f WHERE f.location_id = l.location_id AND f.occurred_at >= p.period AND f.occurred_at < p.period + interval '1 month'
    GROUP BY f.metric) AS w
WHERE l.key IN ('north', 'south')
GROUP BY 1, 2;
SELECT cmp_ok(count(*), '>=', 7::bigint, 'there are months to rate') FROM restated;
CREATE TEMPORARY VIEW rated AS SELECT * FROM cxm.overall_rating('month', 'location', version => 2) WHERE key IN ('north', 'south');
SELECT results_eq($$SELECT key COLLATE "default", period, round(rating::numeric, 9), round(weight_present::numeric, 9), parts FROM rated ORDER BY 1, 2$$,
                  $$SELECT key COLLATE "default", period, round(rating, 9), round(present, 9), parts FROM restated ORDER BY 1, 2$$, 'the rating is the weighted mean of points');
SELECT is_empty($$SELECT FROM rated WHERE NOT (lower <= rating AND rating <= upper AND lower >= 0 AND upper <= 100)$$, 'within its interval');
SELECT is((SELECT array_agg(DISTINCT missing) FROM rated WHERE key = 'south'), ARRAY['csat'], 'what is missing is named');
SELECT is_empty($$SELECT FROM rated AS r JOIN (SELECT key, period, sum(contribution) AS c, sum(share) AS s, count(*) AS n FROM cxm.overall_rating_parts('month', 'location', version => 2) GROUP BY 1, 2) AS p
                  USING (key, period) WHERE abs(p.c - r.rating) > 1e-9 OR abs(p.s - 1) > 1e-9 OR p.n <> 3$$, 'contributions add up to it, shares to one, and each part has a row');
SELECT is_empty($$SELECT FROM rated AS r JOIN rated AS b ON b.key = r.key AND b.ends_at = r.starts_at
                  WHERE r.complete AND (abs(r.change - (r.rating - b.rating)) > 1e-9 OR r.previous <> b.rating OR r.significant <> (r.change_lower > 0 OR r.change_upper < 0)
                        OR NOT (r.change_lower < r.change AND r.change < r.change_upper))$$, 'the change is against the month before');
SELECT ok((SELECT bool_and((change IS NULL) = (period = '2026-01-01')) FROM rated), 'which the first has not');
-- too little of the weight
SELECT is(cxm.set_overall_rating('{"csat": {"weight": 6, "worst": 0, "best": 100}, "nps": {"weight": 4, "worst": 0, "best": 100}}', 'mostly csat', 0.5), 3, 'a third version');
SELECT is((SELECT array_agg(version ORDER BY set_at, version DESC) FROM cx.overall_rating_version), '{1,2,3}', 'a later version holds from later on, whenever its transaction began');
SELECT results_eq($$SELECT DISTINCT key COLLATE "default", rating IS NULL, weight_present FROM cxm.overall_rating('month', 'location', version => 3) WHERE key IN ('north', 'south') ORDER BY 1$$,
                  $$VALUES ('north', false, 1::float8), ('south', true, 0.4)$$, 'where too little of the weight is there, there is no rating');
-- the version that held: all were set in this transaction, after these months had ended, so the first rates them
SELECT is((SELECT array_agg(DISTINCT rating_version) FROM cxm.overall_rating('month', to_time => '2026-04-01Z')), ARRAY[1], 'a time before all versions is rated by the first');
INSERT INTO cx.overall_rating_version (version, reason, set_at) VALUES (10, 'long ago', '2026-02-10Z');
INSERT INTO cx.overall_rating_part (version, measure, weight, worst, best) VALUES (10, 'nps', 1, 0, 10);
SELECT results_eq($$SELECT period, rating_version, previous IS NULL FROM cxm.overall_rating('month', to_time => '2026-04-01Z')$$,
                  $$VALUES (date '2026-01-01', 10, true), ('2026-02-01', 10, false), ('2026-03-01', 10, false)$$, 'the first is the one that was set first');
INSERT INTO cx.overall_rating_version (version, reason, set_at) VALUES (11, 'later', '2026-03-01 00:00Z');
INSERT INTO cx.overall_rating_part (version, measure, weight, worst, best) VALUES (11, 'ces', 1, 1, 7);
SELECT results_eq($$SELECT period, rating_version, previous IS NULL FROM cxm.overall_rating('month', to_time => '2026-04-01Z')$$,
                  $$VALUES (date '2026-01-01', 10, true), ('2026-02-01', 10, false), ('2026-03-01', 11, true)$$, 'what ends when a version is set was rated by the one before; versions are not compared');
-- rolling
SELECT is_empty($$SELECT FROM cxm.overall_rating('month', 'location', rolling => 2, version => 2) AS r
                  WHERE r.key IN ('north', 'south') AND r.change IS NOT NULL
                    AND r.previous IS DISTINCT FROM (SELECT b.rating FROM cxm.overall_rating('month', 'location', rolling => 2, version => 2) AS b WHERE b.key = r.key AND b.ends_at = r.starts_at)$$,
                'rolling windows are compared with those that they do not overlap');
-- a part of the time is that part of the whole: its first periods, too, are compared with those before them
SELECT is_empty(format($$(SELECT * FROM cxm.overall_rating(%1$L, %2$L, %3$L, rolling => %4$s, version => 2)
                          EXCEPT ALL SELECT * FROM cxm.overall_rating(%1$L, %2$L, rolling => %4$s, version => 2) WHERE ends_at > %3$L)
                         UNION ALL
                         (SELECT * FROM cxm.overall_rating(%1$L, %2$L, rolling => %4$s, version => 2) WHERE ends_at > %3$L
                          EXCEPT ALL SELECT * FROM cxm.overall_rating(%1$L, %2$L, %3$L, rolling => %4$s, version => 2))$$, v.bucket, v.dimension, v.from_time, v.rolling), format('from %s: %s', v.from_time, v))
FROM (VALUES ('month', NULL, '2026-02-10Z', 1), ('week', 'location', '2026-02-16Z', 1), ('week', NULL, '2026-02-16Z', 2), ('month', NULL, '-infinity', 1), ('month', NULL, 'infinity', 1)) AS v(bucket, dimension, from_time, rolling);
SELECT isnt((SELECT change FROM cxm.overall_rating('month', from_time => '2026-02-10Z', version => 2) ORDER BY period LIMIT 1), NULL, 'there is something to compare with');
-- the views
SELECT results_eq($$SELECT key COLLATE "default", period, rating FROM cx.overall_rating WHERE bucket = 'month' AND dimension = 'location' ORDER BY 1, 2$$,
                  $$SELECT key COLLATE "default", period, rating FROM cxm.overall_rating('month', 'location') ORDER BY 1, 2$$, 'the view is the function');
SELECT results_eq($$SELECT measure, points FROM cx.overall_rating_parts WHERE bucket = 'quarter' AND dimension = 'all' ORDER BY 1, 2$$,
                  $$SELECT measure, points FROM cxm.overall_rating_parts('quarter') ORDER BY 1, 2$$, 'and so is that of the parts');

-- what is refused
SELECT throws_ok(format('SELECT cxm.set_overall_rating(%s)', args), state, NULL, 'no version: ' || args) FROM (VALUES
    ($$NULL, 'x'$$, '22023'), ($$'[]', 'x'$$, '22023'), ($$'{}', 'x'$$, '22023'), ($$'{"nps": 3}', 'x'$$, '22023'),
    ($$'{"nps": {"weight": 1, "worst": 0}}', 'x'$$, '22023'), ($$'{"nps": {"weight": "1", "worst": 0, "best": 1}}', 'x'$$, '22023'),
    ($$'{"nps": {"weight": 1, "worst": 0, "best": 1, "more": 1}}', 'x'$$, '22023'), ($$'{"nps": {"weight": 0, "worst": 0, "best": 1}}', 'x'$$, '22023'),
    ($$'{"nps": {"weight": 1e400, "worst": 0, "best": 1}}', 'x'$$, '22023'), ($$'{"nps": {"weight": 1, "worst": 1, "best": 1}}', 'x'$$, '22023'),
    ($$'{"mood": {"weight": 1, "worst": 0, "best": 1}}', 'x'$$, '42704'), ($$'{"nps": {"weight": 1, "worst": 0, "best": 1}}', ''$$, '22023'),
    ($$'{"nps": {"weight": 1, "worst": 0, "best": 1}}', 'x', 0$$, '22023'), ($$'{"nps": {"weight": 1, "worst": 0, "best": 1}}', 'x', 1.1$$, '22023'),
    ($$'{"nps": {"weight": 1, "worst": 0, "best": 1}}', 'x', 'NaN'$$, '22023')) AS v(args, state);
SELECT throws_ok(statement, '55000', 'a version of the overall rating never changes', 'refused: ' || statement) FROM unnest(ARRAY[
    'UPDATE cx.overall_rating_part SET weight = 1', 'DELETE FROM cx.overall_rating_part', 'UPDATE cx.overall_rating_version SET reason = ''x''']) AS statement;
SELECT throws_ok($$SELECT * FROM cxm.overall_rating(version => 99)$$, '42704', 'version 99 of the overall rating does not exist', 'nor is there a version that was never set');

SELECT * FROM finish();
ROLLBACK;
