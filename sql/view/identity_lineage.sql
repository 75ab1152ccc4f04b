-- How profiles became what they are: a row when a profile was first seen, and one each time that it, or an identifier by
-- itself, went to another one.

CREATE OR REPLACE VIEW cx.identity_lineage AS
SELECT
    p.profile_id,
    p.profile_id AS canonical_id,
    'created'::text AS event,
    NULL::bigint AS identifier_id,
    NULL::bigint AS link_id,
    NULL::text AS source,
    NULL::text AS evidence,
    NULL::text AS changed_by,
    p.created_at AS occurred_at,
    NULL::bigint AS change_id
FROM cx.profile AS p
UNION ALL
SELECT
    c.profile_id,
    c.to_profile,
    CASE
        WHEN c.identifier_id IS NOT NULL THEN 'moved'
        WHEN c.to_profile < c.from_profile THEN 'merged'
        ELSE 'split'
    END,
    c.identifier_id,
    c.link_id,
    s.source,
    l.evidence,
    c.changed_by,
    c.changed_at,
    c.change_id
FROM cx.identity_change AS c
LEFT JOIN cx.link AS l ON l.link_id = c.link_id
LEFT JOIN cx.source AS s ON s.source_id = l.source_id;

COMMENT ON VIEW cx.identity_lineage IS 'How profiles became what they are: first seen, merged, split again. Never rewritten: for one profile (WHERE profile_id = ...) it lists every profile_id that its people were ever found under.';
COMMENT ON COLUMN cx.identity_lineage.profile_id IS 'The profile that it happened to; for an identifier that moved, the profile (stub) that it was in before.';
COMMENT ON COLUMN cx.identity_lineage.canonical_id IS 'The profile that stands for the person from then on.';
COMMENT ON COLUMN cx.identity_lineage.event IS 'created (first seen), merged (into an older profile), split (from the profile that it was merged into) or moved (an identifier went to another profile by itself).';
COMMENT ON COLUMN cx.identity_lineage.identifier_id IS 'The identifier that moved (cx.identifier); NULL for a whole profile.';
COMMENT ON COLUMN cx.identity_lineage.link_id IS 'The link that joined, or was retired (cx.link); NULL when the profile was created, or a rule did it.';
COMMENT ON COLUMN cx.identity_lineage.source IS 'Source of that link.';
COMMENT ON COLUMN cx.identity_lineage.evidence IS 'message_id of the record that stated the link; empty for one seen in passing.';
COMMENT ON COLUMN cx.identity_lineage.changed_by IS 'Session user who did it; NULL when the profile was created.';
COMMENT ON COLUMN cx.identity_lineage.occurred_at IS 'When.';
COMMENT ON COLUMN cx.identity_lineage.change_id IS 'Key of the change (cx.identity_change), which gives the order within one time; NULL when the profile was created.';
