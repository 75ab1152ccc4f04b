-- Who brought whom, and what came of it.

CREATE OR REPLACE VIEW cx.referral_pair AS
SELECT
    f.referral_id,
    f.code,
    f.campaign,
    f.referrer_id,
    f.referred_id,
    f.referred_at,
    bought.before_at IS NULL AS is_new,
    bought.after_at AS first_purchase_at,
    bought.after_at IS NOT NULL AS converted
FROM cxm.referral_links() AS f
CROSS JOIN LATERAL (
    SELECT min(p.occurred_at) FILTER (WHERE p.occurred_at < f.referred_at) AS before_at,
           min(p.occurred_at) FILTER (WHERE p.occurred_at >= f.referred_at) AS after_at
    FROM cxm.profile_identifiers(ARRAY[f.referred_id]) AS m
    JOIN cx.purchase AS p ON p.identifier_id = m.identifier_id AND p.amount > 0
) AS bought;

COMMENT ON VIEW cx.referral_pair IS 'Who brought whom, by people as they are today: each was brought at most once (the first time counts), nobody by themselves, and nobody by somebody whom they brought (of a circle the last referral does not count).';
COMMENT ON COLUMN cx.referral_pair.referral_id IS 'The referral (cx.referral).';
COMMENT ON COLUMN cx.referral_pair.code IS 'Code that was used.';
COMMENT ON COLUMN cx.referral_pair.campaign IS 'Campaign of the code; empty = none.';
COMMENT ON COLUMN cx.referral_pair.referrer_id IS 'Who brought: a profile that stands today.';
COMMENT ON COLUMN cx.referral_pair.referred_id IS 'Who was brought: a profile that stands today.';
COMMENT ON COLUMN cx.referral_pair.referred_at IS 'When the code was used.';
COMMENT ON COLUMN cx.referral_pair.is_new IS 'Whether the customer had bought nothing before.';
COMMENT ON COLUMN cx.referral_pair.first_purchase_at IS 'First purchase since then; NULL = none yet. Returns and free lines do not count.';
COMMENT ON COLUMN cx.referral_pair.converted IS 'Whether there was one.';

CREATE OR REPLACE VIEW cx.referral_rate AS
WITH code AS (
    SELECT c.campaign, count(DISTINCT p.canonical_id) AS people
    FROM cx.referral_code AS c
    JOIN cx.identifier AS i ON i.identifier_id = c.identifier_id
    JOIN cx.profile AS p ON p.profile_id = i.profile_id
    GROUP BY c.campaign
), pair AS (
    SELECT r.campaign, count(DISTINCT r.referrer_id) AS referrers, count(*) AS referred,
           count(*) FILTER (WHERE r.is_new) AS new_customers, count(*) FILTER (WHERE r.is_new AND r.converted) AS converted
    FROM cx.referral_pair AS r
    GROUP BY r.campaign
)
SELECT
    c.campaign,
    c.people,
    coalesce(p.referrers, 0) AS referrers,
    100.0::double precision * coalesce(p.referrers, 0) / nullif(c.people, 0) AS referral_rate,
    100 * h.lower AS referral_rate_lower,
    100 * h.upper AS referral_rate_upper,
    coalesce(p.referred, 0) AS referred,
    coalesce(p.new_customers, 0) AS new_customers,
    coalesce(p.converted, 0) AS converted,
    100.0::double precision * p.converted / nullif(p.new_customers, 0) AS conversion_rate,
    100 * i.lower AS conversion_rate_lower,
    100 * i.upper AS conversion_rate_upper
FROM code AS c
LEFT JOIN pair AS p ON p.campaign = c.campaign
CROSS JOIN LATERAL cxm.proportion_interval(coalesce(p.referrers, 0), c.people) AS h
CROSS JOIN LATERAL cxm.proportion_interval(coalesce(p.converted, 0), coalesce(p.new_customers, 0)) AS i;

COMMENT ON VIEW cx.referral_rate IS 'How many of those who have a code bring somebody, and how many of those brought buy: one row a campaign.';
COMMENT ON COLUMN cx.referral_rate.campaign IS 'Campaign; empty = none.';
COMMENT ON COLUMN cx.referral_rate.people IS 'People with a code.';
COMMENT ON COLUMN cx.referral_rate.referrers IS 'Those of them who brought somebody.';
COMMENT ON COLUMN cx.referral_rate.referral_rate IS 'referrers of people, 0 to 100.';
COMMENT ON COLUMN cx.referral_rate.referral_rate_lower IS 'Lower end of its 95 % confidence interval (Wilson).';
COMMENT ON COLUMN cx.referral_rate.referral_rate_upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.referral_rate.referred IS 'People who were brought.';
COMMENT ON COLUMN cx.referral_rate.new_customers IS 'Those of them who had bought nothing before.';
COMMENT ON COLUMN cx.referral_rate.converted IS 'New customers who have bought since.';
COMMENT ON COLUMN cx.referral_rate.conversion_rate IS 'converted of new_customers, 0 to 100; NULL when there are none.';
COMMENT ON COLUMN cx.referral_rate.conversion_rate_lower IS 'Lower end of its 95 % confidence interval (Wilson); NULL with it.';
COMMENT ON COLUMN cx.referral_rate.conversion_rate_upper IS 'Upper end of that interval; NULL with it.';
