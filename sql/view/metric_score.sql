-- Every metric in one row.

CREATE OR REPLACE VIEW cx.metric_score AS
SELECT
    m.metric,
    m.family,
    coalesce(s.scale_min, m.scale_min::integer) AS scale_min,
    coalesce(s.scale_max, m.scale_max::integer) AS scale_max,
    coalesce(cxm.count(s.ratings), 0) AS n,
    CASE m.family
        WHEN 'nps' THEN cxm.nps(s.nps_ratings)
        WHEN 'csat' THEN cxm.csat(s.ratings, s.satisfied_from)
        ELSE cxm.mean(s.ratings)
    END AS score,
    CASE m.family
        WHEN 'nps' THEN (cxm.nps_interval(s.nps_ratings)).lower
        WHEN 'csat' THEN (cxm.csat_interval(s.ratings, 0.95, s.satisfied_from)).lower
        ELSE (cxm.mean_interval(s.ratings)).lower
    END AS lower,
    CASE m.family
        WHEN 'nps' THEN (cxm.nps_interval(s.nps_ratings)).upper
        WHEN 'csat' THEN (cxm.csat_interval(s.ratings, 0.95, s.satisfied_from)).upper
        ELSE (cxm.mean_interval(s.ratings)).upper
    END AS upper,
    CASE m.family
        WHEN 'nps' THEN 'points'
        WHEN 'csat' THEN 'percent'
        ELSE 'mean'
    END AS unit,
    CASE m.family WHEN 'nps' THEN cxm.promoter_share(s.nps_ratings) END AS promoter_share,
    CASE m.family WHEN 'nps' THEN cxm.passive_share(s.nps_ratings) END AS passive_share,
    CASE m.family WHEN 'nps' THEN cxm.detractor_share(s.nps_ratings) END AS detractor_share,
    cxm.mean(s.ratings) AS mean_score,
    s.first_at,
    s.last_at
FROM cx.metric AS m
LEFT JOIN (
    SELECT
        r.metric,
        r.scale_min,
        r.scale_max,
        r.ratings,
        CASE WHEN r.scale_min = 0 AND r.scale_max = 10 THEN r.ratings END AS nps_ratings,
        greatest(r.scale_max - 1, r.scale_min + 1) AS satisfied_from,
        r.first_at,
        r.last_at
    FROM (
        SELECT
            f.metric,
            f.scale_min::integer AS scale_min,
            f.scale_max::integer AS scale_max,
            cxm.ratings_agg(f.score, f.scale_min, f.scale_max) AS ratings,
            min(f.occurred_at) AS first_at,
            max(f.occurred_at) AS last_at
        FROM cx.feedback AS f
        WHERE f.score IS NOT NULL
        GROUP BY f.metric, f.scale_min, f.scale_max
    ) AS r
) AS s ON s.metric = m.metric;

COMMENT ON VIEW cx.metric_score IS 'Every metric with its score and confidence interval, over all answers in the store: one row a (metric, scale), and one row for a metric that nobody has answered. Answers without a score do not count.';
COMMENT ON COLUMN cx.metric_score.metric IS 'Metric (cx.metric).';
COMMENT ON COLUMN cx.metric_score.family IS 'How its scores are summed up: nps, csat, ces or rating.';
COMMENT ON COLUMN cx.metric_score.scale_min IS 'Lowest score of the scale that was shown.';
COMMENT ON COLUMN cx.metric_score.scale_max IS 'Highest score of the scale that was shown.';
COMMENT ON COLUMN cx.metric_score.n IS 'Number of answers.';
COMMENT ON COLUMN cx.metric_score.score IS 'nps: Net Promoter Score, -100 to 100. csat: percentage of answers with one of the two highest scores (of a scale of two points, the higher one). ces and rating: the mean, on the scale. NULL without answers, and for NPS answers that were not given on the scale 0 to 10.';
COMMENT ON COLUMN cx.metric_score.lower IS 'Lower end of its 95 % confidence interval, in the unit of the score: adjusted Wald (nps), Wilson (csat), Student''s t (ces and rating; NULL for fewer than two answers).';
COMMENT ON COLUMN cx.metric_score.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.metric_score.unit IS 'Unit of score, lower and upper: points (nps), percent (csat) or mean (ces, rating).';
COMMENT ON COLUMN cx.metric_score.promoter_share IS 'Percentage of promoters (9 and 10); NULL unless the family is nps.';
COMMENT ON COLUMN cx.metric_score.passive_share IS 'Percentage of passives (7 and 8); NULL unless the family is nps.';
COMMENT ON COLUMN cx.metric_score.detractor_share IS 'Percentage of detractors (0 to 6); NULL unless the family is nps.';
COMMENT ON COLUMN cx.metric_score.mean_score IS 'Mean score, on the scale.';
COMMENT ON COLUMN cx.metric_score.first_at IS 'Time of the first answer.';
COMMENT ON COLUMN cx.metric_score.last_at IS 'Time of the last answer.';
