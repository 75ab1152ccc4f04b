-- The pairs that somebody must decide on, the likeliest first: as long as nobody does they are two people, so what is
-- lost by not looking grows with the probability.

CREATE OR REPLACE VIEW cx.match_queue AS
SELECT
    m.match_id,
    s.source AS matching,
    m.probability,
    m.held_back,
    pa.canonical_id AS profile_a,
    pb.canonical_id AS profile_b,
    (
        SELECT jsonb_object_agg(n.namespace, n.identifier_values)
        FROM (
            SELECT i.namespace, jsonb_agg(i.value ORDER BY i.value) AS identifier_values
            FROM cx.identifier AS i
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            WHERE p.canonical_id = pa.canonical_id
            GROUP BY i.namespace
        ) AS n
    ) AS identifiers_a,
    (
        SELECT jsonb_object_agg(n.namespace, n.identifier_values)
        FROM (
            SELECT i.namespace, jsonb_agg(i.value ORDER BY i.value) AS identifier_values
            FROM cx.identifier AS i
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            WHERE p.canonical_id = pb.canonical_id
            GROUP BY i.namespace
        ) AS n
    ) AS identifiers_b,
    (SELECT jsonb_object_agg(t.trait, t.value) FROM cx.profile_trait AS t WHERE t.profile_id = pa.canonical_id AND t.value IS NOT NULL) AS traits_a,
    (SELECT jsonb_object_agg(t.trait, t.value) FROM cx.profile_trait AS t WHERE t.profile_id = pb.canonical_id AND t.value IS NOT NULL) AS traits_b,
    m.record_a,
    m.record_b,
    m.created_at
FROM cx.match AS m
JOIN cx.source AS s ON s.source_id = m.source_id
JOIN cx.identifier AS ia ON ia.identifier_id = m.identifier_a
JOIN cx.profile AS pa ON pa.profile_id = ia.profile_id
JOIN cx.identifier AS ib ON ib.identifier_id = m.identifier_b
JOIN cx.profile AS pb ON pb.profile_id = ib.profile_id
WHERE m.state = 'open' AND pa.canonical_id <> pb.canonical_id
ORDER BY m.probability DESC, m.match_id;

COMMENT ON VIEW cx.match_queue IS 'Pairs of records that are alike, but not surely enough to be linked, the most probable first. Decide with cxm.accept_match(match_id, reason) or cxm.reject_match(match_id, reason); cxm.match_explain(match_id) says why they are alike.';
COMMENT ON COLUMN cx.match_queue.match_id IS 'Key of the match (cx.match).';
COMMENT ON COLUMN cx.match_queue.matching IS 'Name of the matching that found it.';
COMMENT ON COLUMN cx.match_queue.probability IS 'How probable it is that the two are one person.';
COMMENT ON COLUMN cx.match_queue.held_back IS 'Why a pair of high probability waits: size or density of the cluster that it would make (see cx.match); NULL when it is the probability.';
COMMENT ON COLUMN cx.match_queue.profile_a IS 'Profile of the one, as it stands today.';
COMMENT ON COLUMN cx.match_queue.profile_b IS 'Profile of the other.';
COMMENT ON COLUMN cx.match_queue.identifiers_a IS 'What the one is called by, as {"namespace": ["value", ...]}.';
COMMENT ON COLUMN cx.match_queue.identifiers_b IS 'What the other is called by.';
COMMENT ON COLUMN cx.match_queue.traits_a IS 'Golden record of the one, as {"trait": value}; NULL when nothing is known.';
COMMENT ON COLUMN cx.match_queue.traits_b IS 'Golden record of the other.';
COMMENT ON COLUMN cx.match_queue.record_a IS 'id of the one''s record in the query of the matching.';
COMMENT ON COLUMN cx.match_queue.record_b IS 'id of the other''s record.';
COMMENT ON COLUMN cx.match_queue.created_at IS 'When the pair was found.';
