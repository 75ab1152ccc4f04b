-- What becomes of customers at each stage of the journey maps.

CREATE OR REPLACE VIEW cx.journey_dropoff AS
SELECT
    d.map,
    d.stage,
    d."position",
    d.name,
    d.entered,
    d.went_on,
    d.dropped,
    d.conversion_rate,
    d.dropoff_rate,
    d.median_seconds,
    d.p90_seconds,
    d.first_at,
    d.last_at
FROM cxm.journey_dropoff() AS d;

COMMENT ON VIEW cx.journey_dropoff IS 'What becomes of customers at each stage (cx.journey_stage), one row a stage in the order of its map, over all records. A customer enters a stage with the first step of it, and goes on with the first step of any later stage at that time or after. Merged profiles are one customer. cxm.journey_dropoff(only_map, during) looks at one map or a range of time.';
COMMENT ON COLUMN cx.journey_dropoff.map IS 'The journey map.';
COMMENT ON COLUMN cx.journey_dropoff.stage IS 'Key of the stage.';
COMMENT ON COLUMN cx.journey_dropoff.position IS 'Its place in the order of the map.';
COMMENT ON COLUMN cx.journey_dropoff.name IS 'Its name to show to people; the key where it has none.';
COMMENT ON COLUMN cx.journey_dropoff.entered IS 'Customers who entered the stage.';
COMMENT ON COLUMN cx.journey_dropoff.went_on IS 'Those who went on to a later stage; NULL at the last one.';
COMMENT ON COLUMN cx.journey_dropoff.dropped IS 'Those who have not gone on, or not yet; NULL at the last stage.';
COMMENT ON COLUMN cx.journey_dropoff.conversion_rate IS 'Percentage (0 to 100) of them that went on; NULL at the last stage and where nobody entered.';
COMMENT ON COLUMN cx.journey_dropoff.dropoff_rate IS 'Percentage (0 to 100) of them that did not; NULL likewise.';
COMMENT ON COLUMN cx.journey_dropoff.median_seconds IS 'Median time in seconds from entering to going on, of those who went on; NULL when nobody did.';
COMMENT ON COLUMN cx.journey_dropoff.p90_seconds IS 'Seconds within which nine of ten of those went on.';
COMMENT ON COLUMN cx.journey_dropoff.first_at IS 'When the first customer entered.';
COMMENT ON COLUMN cx.journey_dropoff.last_at IS 'When the last customer entered.';
