-- Which partitions are counted.

-- No key but by intention: writers who find partitions that are not known each add a row, without partitions or with one
-- that they made known, so that none waits for another. What is known is in all rows together.
CREATE TABLE cx.partition_set (
    rollup_id       integer     NOT NULL,
    source          regclass    NOT NULL,
    partitions      regclass[]
);

ALTER TABLE cx.partition_set REPLICA IDENTITY FULL;
CREATE INDEX partition_set_rollup_id_idx ON cx.partition_set (rollup_id);

COMMENT ON TABLE cx.partition_set IS 'The partitions of partitioned tables whose rows rollups and journeys count. Where a table has others with rows in them, these are not read until cxm.refresh_rollup() or cxm.fold_journeys() has made up for it.';
COMMENT ON COLUMN cx.partition_set.rollup_id IS 'The rollup (cx.rollup); 0 = journeys.';
COMMENT ON COLUMN cx.partition_set.source IS 'The partitioned table that it counts.';
COMMENT ON COLUMN cx.partition_set.partitions IS 'Partitions of it, at all levels, that are counted; all rows together have them all. NULL = a mark that the table was written to while it had others.';
