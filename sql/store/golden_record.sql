-- Which of several values of a trait holds.

CREATE TABLE cx.trait_policy (
    trait           text        NOT NULL COLLATE "C",
    policy          text        NOT NULL,
    sources         text[],
    changed_at      timestamptz NOT NULL DEFAULT now(),
    changed_by      text        NOT NULL DEFAULT session_user,
    CONSTRAINT trait_policy_pkey PRIMARY KEY (trait),
    CONSTRAINT trait_policy_policy_check CHECK (policy IN ('most_recent', 'oldest', 'most_frequent', 'source_rank', 'max', 'min', 'sum', 'union', 'non_empty')),
    CONSTRAINT trait_policy_sources_check CHECK (cardinality(sources) > 0 AND array_ndims(sources) = 1 AND array_position(sources, NULL) IS NULL),
    CONSTRAINT trait_policy_source_rank_check CHECK (policy <> 'source_rank' OR sources IS NOT NULL)
);

COMMENT ON TABLE cx.trait_policy IS 'How the golden record chooses among the values that sources gave for a trait. Set by cxm.set_trait_policy().';
COMMENT ON COLUMN cx.trait_policy.trait IS 'Name of the trait; * = every trait that has no policy of its own.';
COMMENT ON COLUMN cx.trait_policy.policy IS 'most_recent, oldest, most_frequent, source_rank, max, min, sum, union or non_empty.';
COMMENT ON COLUMN cx.trait_policy.sources IS 'Names of sources (cx.source), the best first; all others come after them. Decides under source_rank, and between observations of one time under the other policies; NULL = all are equal.';
COMMENT ON COLUMN cx.trait_policy.changed_at IS 'When the policy was set.';
COMMENT ON COLUMN cx.trait_policy.changed_by IS 'Session user that set it.';

INSERT INTO cx.trait_policy (trait, policy) VALUES ('*', 'most_recent');
