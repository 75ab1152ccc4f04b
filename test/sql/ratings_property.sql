-- ratings: laws that hold for any values
DO $$
DECLARE
    a cxm.ratings;
    b cxm.ratings;
    c cxm.ratings;
    lo integer;
    points integer;
    lower double precision;
    upper double precision;
    previous double precision;
    method text;
    confidence double precision;
    scores integer[];
    parts integer;
BEGIN
    PERFORM setseed(0.57721);
    FOR i IN 1 .. 1000 LOOP
        lo := floor(21 * random())::integer - 10;
        points := 2 + floor(10 * random())::integer;
        a := cxm.ratings(lo, ARRAY(SELECT floor(10 ^ (12 * random()))::bigint * (random() < 0.7)::integer FROM generate_series(1, points)));
        b := cxm.ratings(lo, ARRAY(SELECT floor(10 ^ (12 * random()))::bigint * (random() < 0.7)::integer FROM generate_series(1, points)));
        c := CASE WHEN random() < 0.1 THEN 'empty' ELSE cxm.ratings(lo, ARRAY(SELECT floor(100 * random())::bigint FROM generate_series(1, points))) END;

        -- a sum has no order
        ASSERT a OPERATOR(cxm.+) b OPERATOR(cxm.=) (b OPERATOR(cxm.+) a);
        ASSERT (a OPERATOR(cxm.+) b) OPERATOR(cxm.+) c OPERATOR(cxm.=) (a OPERATOR(cxm.+) (b OPERATOR(cxm.+) c));
        ASSERT cxm.count(a OPERATOR(cxm.+) b) = cxm.count(a) + cxm.count(b);
        -- a difference undoes it
        ASSERT (a OPERATOR(cxm.+) b) OPERATOR(cxm.-) b OPERATOR(cxm.=) a;
        ASSERT ((a OPERATOR(cxm.+) c) OPERATOR(cxm.-) c) OPERATOR(cxm.+) c OPERATOR(cxm.=) (a OPERATOR(cxm.+) c);
        ASSERT (SELECT cxm.rollup(x) FROM unnest(ARRAY[a, b, c, NULL]) AS x) OPERATOR(cxm.=) (a OPERATOR(cxm.+) b OPERATOR(cxm.+) c);
        -- forms and parts come back
        ASSERT a::text::cxm.ratings OPERATOR(cxm.=) a AND a::text::cxm.ratings::text = a::text;
        ASSERT cxm.ratings(cxm.scale_low(a), cxm.counts(a)) OPERATOR(cxm.=) a;
        ASSERT (SELECT cxm.ratings_agg(d.score, lo, lo + points - 1, d.count) FROM cxm.distribution(a) AS d) OPERATOR(cxm.=) a;
        -- readings agree with each other
        IF cxm.count(a) > 0 THEN
            ASSERT abs((SELECT sum(share) FROM cxm.distribution(a)) - 100) < 1e-9;
            ASSERT cxm.mean(a) BETWEEN lo AND lo + points - 1;
            ASSERT cxm.percentile(a, 0) = (SELECT min(d.score) FROM cxm.distribution(a) AS d WHERE d.count > 0);
            ASSERT cxm.percentile(a, 1) = (SELECT max(d.score) FROM cxm.distribution(a) AS d WHERE d.count > 0);
            ASSERT cxm.percentile_cont(a, 0.3) BETWEEN cxm.percentile_cont(a, 0.2) AND cxm.percentile_cont(a, 0.4);
            ASSERT cxm.median(a) = cxm.percentile_cont(a, 0.5);
            ASSERT abs(cxm.promoter_share(a, lo + 1, lo + 1) - cxm.csat(a, lo + 1)) < 1e-9;
            ASSERT abs(cxm.promoter_share(a, lo + 1, lo + points - 1) + cxm.passive_share(a, lo + 1, lo + points - 1) + cxm.detractor_share(a, lo + 1, lo + points - 1) - 100) < 1e-9;
            ASSERT abs(cxm.promoter_share(a, lo + 1, lo + points - 1) - cxm.detractor_share(a, lo + 1, lo + points - 1) - cxm.nps(a, lo + 1, lo + points - 1)) < 1e-9;
            ASSERT cxm.promoters(a, lo + 1, lo + points - 1) + cxm.passives(a, lo + 1, lo + points - 1) + cxm.detractors(a, lo + 1, lo + points - 1) = cxm.count(a);
        END IF;
    END LOOP;

    FOR i IN 1 .. 400 LOOP
        -- small samples, where intervals are hardest
        a := cxm.ratings(0, ARRAY(SELECT floor(4 * random())::bigint * (random() < 0.4)::integer FROM generate_series(1, 11)));
        CONTINUE WHEN cxm.count(a) = 0;
        FOREACH method IN ARRAY ARRAY['wald', 'adjusted_wald', 'score'] LOOP
            previous := 0;
            FOREACH confidence IN ARRAY ARRAY[0.5, 0.9, 0.95, 0.999] LOOP
                SELECT * INTO lower, upper FROM cxm.nps_interval(a, confidence, method) AS t;
                ASSERT lower >= -100 AND upper <= 100 AND lower <= upper, a;
                -- more confidence, wider interval
                ASSERT upper - lower >= previous, a;
                previous := upper - lower;
                IF method <> 'adjusted_wald' THEN
                    ASSERT cxm.nps(a) BETWEEN lower - 1e-9 AND upper + 1e-9, a;
                END IF;
            END LOOP;
            -- promoters and detractors change places: so do the ends
            b := cxm.ratings(0, ARRAY[cxm.promoters(a), 0, 0, 0, 0, 0, 0, cxm.passives(a), 0, 0, cxm.detractors(a)]);
            ASSERT abs(lower + (cxm.nps_interval(b, confidence, method)).upper) < 1e-9 AND abs(upper + (cxm.nps_interval(b, confidence, method)).lower) < 1e-9, a;
        END LOOP;
        b := cxm.ratings(0, ARRAY(SELECT floor(4 * random())::bigint FROM generate_series(1, 11)));
        CONTINUE WHEN cxm.count(b) = 0;
        ASSERT abs((cxm.nps_test(a, b)).difference + (cxm.nps_test(b, a)).difference) < 1e-9;
        ASSERT (cxm.nps_test(a, b)).p_value BETWEEN 0 AND 1;
        -- the interval leaves out 0 exactly when the test says so
        ASSERT ((cxm.nps_test(a, b)).lower > 0 OR (cxm.nps_test(a, b)).upper < 0) = ((cxm.nps_test(a, b)).p_value < 0.05);
    END LOOP;

    -- parts of any division roll up to the whole, and the whole less a part is the rest
    FOR i IN 1 .. 50 LOOP
        scores := ARRAY(SELECT floor(11 * random())::integer FROM generate_series(1, 200));
        parts := 1 + floor(20 * random())::integer;
        SELECT cxm.nps_agg(s) INTO a FROM unnest(scores) AS s;
        SELECT cxm.rollup(r) INTO b FROM (SELECT cxm.nps_agg(s) AS r FROM unnest(scores) WITH ORDINALITY AS t (s, o) GROUP BY (o * 31) % parts) AS p;
        ASSERT a OPERATOR(cxm.=) b;
        SELECT cxm.nps_agg(s) INTO c FROM unnest(scores[1:parts]) AS s;
        ASSERT a OPERATOR(cxm.-) c OPERATOR(cxm.=) (SELECT cxm.nps_agg(s) FROM unnest(scores[parts + 1:]) AS s);
    END LOOP;
END $$;

-- without passives the score is twice the share of promoters less 100, and the score interval is Wilson's
SELECT bool_and(abs((w.lower * 2 - 100) - s.lower) < 1e-9 AND abs((w.upper * 2 - 100) - s.upper) < 1e-9) AS wilson, count(*)
FROM generate_series(0, 20) AS k,
     LATERAL (SELECT cxm.ratings(0, ARRAY[20 - k, 0, 0, 0, 0, 0, 0, 0, 0, 0, k]) AS r) AS v,
     cxm.nps_interval(r, 0.95, 'score') AS s, cxm.csat_interval(r, 0.95, 9) AS w;
