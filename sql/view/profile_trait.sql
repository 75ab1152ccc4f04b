-- The golden record with its provenance, a row a trait.
--
-- It is folded when it is read: nothing is stored that a merge, an unmerge, a late observation or a new policy would
-- have to bring up to date. As in cx.customer_360, everything is reached from the profile through index look-ups.

CREATE OR REPLACE VIEW cx.profile_trait AS
SELECT
    p.profile_id,
    w.trait,
    w.value,
    w.source,
    w.observed_at,
    w.beaten,
    w.policy,
    w.supported_by
FROM cx.profile AS p
CROSS JOIN LATERAL (
    SELECT cxm.profile_merge_agg(t.traits, t.observed_at, s.source, (SELECT cxm.trait_policies())) AS record
    FROM (
        SELECT p.profile_id
        UNION ALL
        SELECT o.profile_id
        FROM cx.profile AS o
        WHERE o.canonical_id = p.profile_id AND o.canonical_id <> o.profile_id
    ) AS member
    JOIN cx.identifier AS i ON i.profile_id = member.profile_id
    JOIN cx.trait AS t ON t.identifier_id = i.identifier_id
    LEFT JOIN cx.source AS s ON s.source_id = t.source_id
) AS golden
CROSS JOIN LATERAL cxm.provenance(golden.record) AS w
WHERE p.canonical_id = p.profile_id;

COMMENT ON VIEW cx.profile_trait IS 'The golden record, one row a trait of a person (a profile that stands today): which value holds, who said so and when, and what it beat. By the policies of cx.trait_policy. Fast for one person (WHERE profile_id = ...).';
COMMENT ON COLUMN cx.profile_trait.profile_id IS 'The customer: a profile that stands today (cx.profile with profile_id = canonical_id).';
COMMENT ON COLUMN cx.profile_trait.trait IS 'Name of the trait.';
COMMENT ON COLUMN cx.profile_trait.value IS 'The value that holds, as JSON; NULL when the trait has no value, because it was taken away by a JSON null, say.';
COMMENT ON COLUMN cx.profile_trait.source IS 'Source of the observation that decided; of a sum or union, of its latest part.';
COMMENT ON COLUMN cx.profile_trait.observed_at IS 'Time of that observation: the last time that the source said so; under policy oldest, the first time.';
COMMENT ON COLUMN cx.profile_trait.beaten IS 'What lost, the latest first: [{"value": ..., "source": ..., "observed_at": last time, "first_observed_at": first time, "observations": how often}, ...]; [] when nothing did. Times in UTC.';
COMMENT ON COLUMN cx.profile_trait.policy IS 'Policy that decided: the trait''s own, or the default.';
COMMENT ON COLUMN cx.profile_trait.supported_by IS 'Who says what won, as in beaten; of a sum or union, all its parts.';
