-- What people granted and withdrew, as it stands.

CREATE OR REPLACE VIEW cx.current_consent AS
SELECT
    p.profile_id,
    said.channel,
    said.purpose,
    c.granted,
    k.decided_at,
    k.evidence,
    s.source,
    c.conflict
FROM cx.profile AS p
CROSS JOIN LATERAL (
    SELECT d.channel, d.purpose, min(d.identifier_id) AS identifier_id
    FROM cxm.profile_identifiers(ARRAY[p.profile_id]) AS m
    JOIN cx.consent AS d ON d.identifier_id = m.identifier_id
    GROUP BY d.channel, d.purpose
) AS said
CROSS JOIN LATERAL cxm.consent_of(ARRAY[said.identifier_id], ARRAY[said.channel], said.purpose) AS c
LEFT JOIN cx.consent AS k ON k.consent_id = c.consent_id
LEFT JOIN cx.source AS s ON s.source_id = k.source_id
WHERE p.canonical_id = p.profile_id;

COMMENT ON VIEW cx.current_consent IS 'Consent as it stands, one row a (person, channel, purpose) that the person has decided on. What nobody decided follows cx.consent_policy. Fast for one person (WHERE profile_id = ...).';
COMMENT ON COLUMN cx.current_consent.profile_id IS 'The customer: a profile that stands today (cx.profile with profile_id = canonical_id).';
COMMENT ON COLUMN cx.current_consent.channel IS 'Channel; * = every channel.';
COMMENT ON COLUMN cx.current_consent.purpose IS 'Purpose; * = every purpose.';
COMMENT ON COLUMN cx.current_consent.granted IS 'Whether the person may be written to.';
COMMENT ON COLUMN cx.current_consent.decided_at IS 'When that was decided.';
COMMENT ON COLUMN cx.current_consent.evidence IS 'What proves it.';
COMMENT ON COLUMN cx.current_consent.source IS 'Source that recorded it.';
COMMENT ON COLUMN cx.current_consent.conflict IS 'Whether identifiers of the person carry different decisions: a reason to ask again.';
