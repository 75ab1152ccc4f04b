-- One figure for how customers are treated, and what it is made of.

CREATE OR REPLACE VIEW cx.overall_rating AS
SELECT b.bucket, d.dimension, r.key, r.period, r.starts_at, r.ends_at, r.complete, r.rating_version, r.rating, r.lower, r.upper,
       r.weight_present, r.parts, r.missing, r.previous, r.change, r.change_lower, r.change_upper, r.significant
FROM (VALUES ('week'), ('month'), ('quarter')) AS b(bucket)
CROSS JOIN (VALUES ('all'), ('touchpoint'), ('location'), ('region'), ('product'), ('category'), ('employee')) AS d(dimension)
CROSS JOIN LATERAL cxm.overall_rating(b.bucket, nullif(d.dimension, 'all')) AS r;

COMMENT ON VIEW cx.overall_rating IS 'The overall rating by period and dimension: a weighted index of measures of cx.scorecard, 0 to 100. Ask for a bucket and a dimension: only what is asked for is computed. cxm.overall_rating() takes a range of time, rolling windows and a version.';
COMMENT ON COLUMN cx.overall_rating.bucket IS 'Length of the period: week, month or quarter, in the time zone of the store.';
COMMENT ON COLUMN cx.overall_rating.dimension IS 'What is told apart: all (nothing), touchpoint, location, region, product, category or employee.';
COMMENT ON COLUMN cx.overall_rating.key IS 'Key of the touchpoint, location, product or employee, or the region or category; NULL for all.';
COMMENT ON COLUMN cx.overall_rating.period IS 'First day of the period.';
COMMENT ON COLUMN cx.overall_rating.starts_at IS 'When the period begins.';
COMMENT ON COLUMN cx.overall_rating.ends_at IS 'When it ends, exclusive.';
COMMENT ON COLUMN cx.overall_rating.complete IS 'Whether it has ended.';
COMMENT ON COLUMN cx.overall_rating.rating_version IS 'Version of the rating (cx.overall_rating_version) that held when the period ended; before there was one, the first.';
COMMENT ON COLUMN cx.overall_rating.rating IS 'The rating, 0 to 100: the weighted mean of the points of the parts that are there; NULL where too little of the weight is.';
COMMENT ON COLUMN cx.overall_rating.lower IS 'Lower end of its 95 % confidence interval; the parts are taken as independent.';
COMMENT ON COLUMN cx.overall_rating.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.overall_rating.weight_present IS 'Share of the weight whose parts are there, 0 to 1.';
COMMENT ON COLUMN cx.overall_rating.parts IS 'Number of parts that are there.';
COMMENT ON COLUMN cx.overall_rating.missing IS 'Names of those that are not; they do not count as zero. NULL when all are.';
COMMENT ON COLUMN cx.overall_rating.previous IS 'Rating of the period before; NULL where that was by another version or lacked other parts, and in a period that is not complete.';
COMMENT ON COLUMN cx.overall_rating.change IS 'Rating less that.';
COMMENT ON COLUMN cx.overall_rating.change_lower IS 'Lower end of the 95 % confidence interval of the change.';
COMMENT ON COLUMN cx.overall_rating.change_upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.overall_rating.significant IS 'Whether that interval excludes 0.';

CREATE OR REPLACE VIEW cx.overall_rating_parts AS
SELECT b.bucket, d.dimension, p.key, p.period, p.starts_at, p.ends_at, p.complete, p.rating_version, p.measure, p.unit, p.n,
       p.value, p.worst, p.best, p.points, p.points_lower, p.points_upper, p.weight, p.share, p.contribution
FROM (VALUES ('week'), ('month'), ('quarter')) AS b(bucket)
CROSS JOIN (VALUES ('all'), ('touchpoint'), ('location'), ('region'), ('product'), ('category'), ('employee')) AS d(dimension)
CROSS JOIN LATERAL cxm.overall_rating_parts(b.bucket, nullif(d.dimension, 'all')) AS p;

COMMENT ON VIEW cx.overall_rating_parts IS 'What each overall rating of cx.overall_rating is made of: a row a part, those that are missing included.';
COMMENT ON COLUMN cx.overall_rating_parts.bucket IS 'Length of the period: week, month or quarter, in the time zone of the store.';
COMMENT ON COLUMN cx.overall_rating_parts.dimension IS 'What is told apart: all (nothing), touchpoint, location, region, product, category or employee.';
COMMENT ON COLUMN cx.overall_rating_parts.key IS 'Key of the touchpoint, location, product or employee, or the region or category; NULL for all.';
COMMENT ON COLUMN cx.overall_rating_parts.period IS 'First day of the period.';
COMMENT ON COLUMN cx.overall_rating_parts.starts_at IS 'When the period begins.';
COMMENT ON COLUMN cx.overall_rating_parts.ends_at IS 'When it ends, exclusive.';
COMMENT ON COLUMN cx.overall_rating_parts.complete IS 'Whether it has ended.';
COMMENT ON COLUMN cx.overall_rating_parts.rating_version IS 'Version of the rating (cx.overall_rating_version).';
COMMENT ON COLUMN cx.overall_rating_parts.measure IS 'Measure of cx.scorecard.';
COMMENT ON COLUMN cx.overall_rating_parts.unit IS 'Unit of value, worst and best.';
COMMENT ON COLUMN cx.overall_rating_parts.n IS 'How many answers, customers and so on the value is of; NULL where the part is missing.';
COMMENT ON COLUMN cx.overall_rating_parts.value IS 'The measure; NULL where the part is missing.';
COMMENT ON COLUMN cx.overall_rating_parts.worst IS 'Value that gives 0 points.';
COMMENT ON COLUMN cx.overall_rating_parts.best IS 'Value that gives 100 points.';
COMMENT ON COLUMN cx.overall_rating_parts.points IS 'Points for the value, 0 to 100; NULL where the part is missing.';
COMMENT ON COLUMN cx.overall_rating_parts.points_lower IS 'Points for the worse end of its 95 % confidence interval.';
COMMENT ON COLUMN cx.overall_rating_parts.points_upper IS 'Points for the better end.';
COMMENT ON COLUMN cx.overall_rating_parts.weight IS 'Weight of the part, as set.';
COMMENT ON COLUMN cx.overall_rating_parts.share IS 'Its weight among the parts that are there, 0 to 1; NULL where it is missing.';
COMMENT ON COLUMN cx.overall_rating_parts.contribution IS 'Points times share: the contributions of a period add up to its rating.';
