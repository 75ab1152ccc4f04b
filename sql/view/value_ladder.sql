-- How customers climb and fall from one standing to the next.

CREATE OR REPLACE VIEW cx.value_ladder AS
SELECT
    m.metric,
    r.from_rung,
    r.to_rung,
    array_position('{detractor,passive,promoter,advocate}'::text[], r.from_rung) AS from_position,
    array_position('{detractor,passive,promoter,advocate}'::text[], r.to_rung) AS to_position,
    r.moves,
    r.customers,
    r.share,
    r.lower,
    r.upper,
    extract(epoch FROM r.median_dwell)::double precision AS median_seconds,
    extract(epoch FROM r.p90_dwell)::double precision AS p90_seconds
FROM cx.metric AS m
CROSS JOIN LATERAL cxm.value_ladder(m.metric) AS r
WHERE m.family = 'nps';

COMMENT ON VIEW cx.value_ladder IS 'The transition matrix of the value ladder, detractor, passive, promoter, advocate: from each standing of a customer, as known today, to the next, over all time, one row a (metric, from_rung, to_rung) for each metric of family nps that has an answer. An advocate is a promoter who brought somebody or wrote a good public review. Rows with to_rung none count who stands there now. Ask for one metric (WHERE metric = ''nps''). cxm.value_ladder() takes ranges of time and segments, and has the definitions.';
COMMENT ON COLUMN cx.value_ladder.metric IS 'Metric (cx.metric).';
COMMENT ON COLUMN cx.value_ladder.from_rung IS 'Rung of the standing: detractor, passive, promoter or advocate.';
COMMENT ON COLUMN cx.value_ladder.to_rung IS 'Rung of the customer''s next standing; none = there is none yet.';
COMMENT ON COLUMN cx.value_ladder.from_position IS 'from_rung by number, to sort by: 1 detractor to 4 advocate.';
COMMENT ON COLUMN cx.value_ladder.to_position IS 'to_rung by number; NULL for none.';
COMMENT ON COLUMN cx.value_ladder.moves IS 'How often that happened; 0 for none.';
COMMENT ON COLUMN cx.value_ladder.customers IS 'Number of different customers; for none: those who stand on from_rung now.';
COMMENT ON COLUMN cx.value_ladder.share IS 'moves of all moves from that rung, 0 to 1; NULL for none, and when there is no move from it.';
COMMENT ON COLUMN cx.value_ladder.lower IS 'Lower end of its 95 % confidence interval (Wilson); NULL with it.';
COMMENT ON COLUMN cx.value_ladder.upper IS 'Upper end of that interval; NULL with it.';
COMMENT ON COLUMN cx.value_ladder.median_seconds IS 'Median time from standing to standing of these moves, in seconds; NULL when there are none.';
COMMENT ON COLUMN cx.value_ladder.p90_seconds IS 'Ninth decile of that time, in seconds.';
