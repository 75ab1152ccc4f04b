-- Public reviews, and how they stand by site.

CREATE OR REPLACE VIEW cx.review AS
SELECT
    f.feedback_id,
    s.source AS site,
    f.occurred_at,
    f.score AS stars,
    f.comment,
    f.properties #>> '{review,author}' AS author,
    f.properties #>> '{review,url}' AS url,
    l.key AS location,
    p.key AS product,
    e.key AS employee,
    w.canonical_id AS profile_id
FROM cx.feedback AS f
JOIN cx.source AS s ON s.source_id = f.source_id
LEFT JOIN cx.location AS l ON l.location_id = f.location_id
LEFT JOIN cx.product AS p ON p.product_id = f.product_id
LEFT JOIN cx.employee AS e ON e.employee_id = f.employee_id
LEFT JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id
LEFT JOIN cx.profile AS w ON w.profile_id = i.profile_id
WHERE f.metric = 'rating' AND f.question = 'public_review';

COMMENT ON VIEW cx.review IS 'Public reviews, one row each.';
COMMENT ON COLUMN cx.review.feedback_id IS 'Key of the review (cx.feedback).';
COMMENT ON COLUMN cx.review.site IS 'Site that it stands on (cx.source).';
COMMENT ON COLUMN cx.review.occurred_at IS 'When it was written, or last edited.';
COMMENT ON COLUMN cx.review.stars IS '1 to 5.';
COMMENT ON COLUMN cx.review.comment IS 'What it says.';
COMMENT ON COLUMN cx.review.author IS 'Name of the author on that site.';
COMMENT ON COLUMN cx.review.url IS 'Where it can be read.';
COMMENT ON COLUMN cx.review.location IS 'Location that it is about, by key.';
COMMENT ON COLUMN cx.review.product IS 'Product that it is about, by key.';
COMMENT ON COLUMN cx.review.employee IS 'Employee that it is about, by key.';
COMMENT ON COLUMN cx.review.profile_id IS 'Who wrote it: a profile that stands today; NULL = not known.';

CREATE OR REPLACE VIEW cx.review_by_site AS
SELECT
    s.source AS site,
    l.key AS location,
    count(*) AS reviews,
    avg(f.score)::double precision AS mean_stars,
    count(*) FILTER (WHERE f.score = 1) AS stars_1,
    count(*) FILTER (WHERE f.score = 2) AS stars_2,
    count(*) FILTER (WHERE f.score = 3) AS stars_3,
    count(*) FILTER (WHERE f.score = 4) AS stars_4,
    count(*) FILTER (WHERE f.score = 5) AS stars_5,
    100.0::double precision * count(*) FILTER (WHERE f.score >= 4) / count(*) AS satisfied,
    100 * (cxm.proportion_interval(count(*) FILTER (WHERE f.score >= 4), count(*))).lower AS lower,
    100 * (cxm.proportion_interval(count(*) FILTER (WHERE f.score >= 4), count(*))).upper AS upper,
    count(f.comment) AS with_text,
    max(f.occurred_at) AS last_at
FROM cx.feedback AS f
JOIN cx.source AS s ON s.source_id = f.source_id
LEFT JOIN cx.location AS l ON l.location_id = f.location_id
WHERE f.metric = 'rating' AND f.question = 'public_review'
GROUP BY s.source, l.key;

COMMENT ON VIEW cx.review_by_site IS 'Public reviews summed up, one row a (site, location).';
COMMENT ON COLUMN cx.review_by_site.site IS 'Site (cx.source).';
COMMENT ON COLUMN cx.review_by_site.location IS 'Location, by key; NULL = reviews that name none.';
COMMENT ON COLUMN cx.review_by_site.reviews IS 'Number of reviews.';
COMMENT ON COLUMN cx.review_by_site.mean_stars IS 'Mean of the stars, 1 to 5.';
COMMENT ON COLUMN cx.review_by_site.stars_1 IS 'Reviews with one star.';
COMMENT ON COLUMN cx.review_by_site.stars_2 IS 'Reviews with two stars.';
COMMENT ON COLUMN cx.review_by_site.stars_3 IS 'Reviews with three stars.';
COMMENT ON COLUMN cx.review_by_site.stars_4 IS 'Reviews with four stars.';
COMMENT ON COLUMN cx.review_by_site.stars_5 IS 'Reviews with five stars.';
COMMENT ON COLUMN cx.review_by_site.satisfied IS 'Share of four and five stars, 0 to 100.';
COMMENT ON COLUMN cx.review_by_site.lower IS 'Lower end of its 95 % confidence interval (Wilson).';
COMMENT ON COLUMN cx.review_by_site.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.review_by_site.with_text IS 'Reviews with a text.';
COMMENT ON COLUMN cx.review_by_site.last_at IS 'When the latest was written.';
