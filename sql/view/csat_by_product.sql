-- Customer satisfaction with each product.

CREATE OR REPLACE VIEW cx.csat_by_product AS
SELECT
    s.metric,
    s.product_id,
    p.key AS product,
    coalesce(p.name, p.key) AS product_name,
    p.category,
    s.scale_min,
    s.scale_max,
    cxm.count(s.ratings) AS n,
    cxm.csat(s.ratings, s.satisfied_from) AS csat,
    i.lower,
    i.upper,
    cxm.mean(s.ratings) AS mean_score,
    s.first_at,
    s.last_at
FROM (
    SELECT
        f.metric,
        f.product_id,
        f.scale_min::integer AS scale_min,
        f.scale_max::integer AS scale_max,
        -- the two upper scores; of a scale of two points the upper one
        greatest(f.scale_max - 1, f.scale_min + 1) AS satisfied_from,
        cxm.ratings_agg(f.score, f.scale_min, f.scale_max) AS ratings,
        min(f.occurred_at) AS first_at,
        max(f.occurred_at) AS last_at
    FROM cx.feedback AS f
    WHERE f.metric IN (SELECT m.metric FROM cx.metric AS m WHERE m.family = 'csat')
      AND f.score IS NOT NULL
      AND f.product_id IS NOT NULL
    GROUP BY f.metric, f.product_id, f.scale_min, f.scale_max
) AS s
LEFT JOIN cx.product AS p ON p.product_id = s.product_id
CROSS JOIN LATERAL cxm.csat_interval(s.ratings, 0.95, s.satisfied_from) AS i;

COMMENT ON VIEW cx.csat_by_product IS 'Customer satisfaction with each product, one row a (metric, product, scale), over all answers that are about a product. Metrics of family csat; answers without a score do not count.';
COMMENT ON COLUMN cx.csat_by_product.metric IS 'Metric (cx.metric) of family csat.';
COMMENT ON COLUMN cx.csat_by_product.product_id IS 'Code of the product (cx.product).';
COMMENT ON COLUMN cx.csat_by_product.product IS 'Key of the product.';
COMMENT ON COLUMN cx.csat_by_product.product_name IS 'Its name to show to people; the key where it has none.';
COMMENT ON COLUMN cx.csat_by_product.category IS 'Category of the product.';
COMMENT ON COLUMN cx.csat_by_product.scale_min IS 'Lowest score of the scale that was shown.';
COMMENT ON COLUMN cx.csat_by_product.scale_max IS 'Highest score of the scale that was shown.';
COMMENT ON COLUMN cx.csat_by_product.n IS 'Number of answers.';
COMMENT ON COLUMN cx.csat_by_product.csat IS 'Percentage (0 to 100) of answers with one of the two highest scores; of a scale of two points, with the higher one.';
COMMENT ON COLUMN cx.csat_by_product.lower IS 'Lower end of its 95 % confidence interval (Wilson). Sort by it, or by upper, so that products with few answers do not crowd the ends of the list.';
COMMENT ON COLUMN cx.csat_by_product.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.csat_by_product.mean_score IS 'Mean score, on the scale.';
COMMENT ON COLUMN cx.csat_by_product.first_at IS 'Time of the first answer.';
COMMENT ON COLUMN cx.csat_by_product.last_at IS 'Time of the last answer.';
