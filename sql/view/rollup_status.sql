-- Rollups: are they exact, and how much waits to be folded?

CREATE OR REPLACE VIEW cx.rollup_status AS
SELECT
    s.name,
    s.source,
    s.bucket,
    s.time_zone,
    s.state,
    s.problem,
    s.group_count,
    s.delta_count,
    s.backfill_rows,
    s.backfilled_at,
    s.folded_rows,
    s.folded_at
FROM cxm.rollup_status() AS s;

COMMENT ON VIEW cx.rollup_status IS 'The rollups of the store and how they stand.';
COMMENT ON COLUMN cx.rollup_status.name IS 'Name of the rollup, and of the view that shows it.';
COMMENT ON COLUMN cx.rollup_status.source IS 'The table that it counts.';
COMMENT ON COLUMN cx.rollup_status.bucket IS 'How long its periods are.';
COMMENT ON COLUMN cx.rollup_status.time_zone IS 'The time zone in which they are cut.';
COMMENT ON COLUMN cx.rollup_status.state IS 'pending = what was in the source before is still to be counted; live = the rollup can be read.';
COMMENT ON COLUMN cx.rollup_status.problem IS 'What keeps it from being exact, and what to do; NULL = nothing is known. cxm.rollup_check() looks at the rows, too.';
COMMENT ON COLUMN cx.rollup_status.group_count IS 'Groups in its base table, by the statistics of the server; NULL = there are none yet.';
COMMENT ON COLUMN cx.rollup_status.delta_count IS 'Rows that wait to be folded, by the statistics of the server.';
COMMENT ON COLUMN cx.rollup_status.backfill_rows IS 'Rows of the source that the last backfill has counted.';
COMMENT ON COLUMN cx.rollup_status.backfilled_at IS 'When it was complete; NULL = it is not.';
COMMENT ON COLUMN cx.rollup_status.folded_rows IS 'Rows of the delta table that the last fold took.';
COMMENT ON COLUMN cx.rollup_status.folded_at IS 'When that was.';
