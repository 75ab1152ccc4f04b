-- What became of invitations, how full quotas are, and whether reviews are asked for without regard to the score.

CREATE OR REPLACE VIEW cx.invitation_outcome AS
SELECT
    n.survey_id,
    n.kind,
    n.purpose,
    n.channel,
    count(*) AS decided,
    count(*) FILTER (WHERE n.suppressed_by = 'sampling') AS not_sampled,
    count(*) FILTER (WHERE n.suppressed_by = 'consent') AS no_consent,
    count(*) FILTER (WHERE n.suppressed_by = 'address') AS no_address,
    count(*) FILTER (WHERE n.suppressed_by = 'fatigue') AS too_often,
    count(*) FILTER (WHERE n.suppressed_by = 'quota') AS over_quota,
    count(*) FILTER (WHERE n.suppressed_by = 'survey') AS survey_closed,
    count(*) FILTER (WHERE n.state = 'scheduled') AS scheduled,
    count(n.sent_at) AS sent,
    count(*) FILTER (WHERE n.state = 'bounced') AS bounced,
    count(n.opened_at) AS opened,
    count(*) FILTER (WHERE n.state = 'responded') AS responded,
    count(*) FILTER (WHERE n.state = 'expired') AS expired,
    count(*) FILTER (WHERE n.state = 'revoked') AS revoked,
    sum(n.reminded)::bigint AS reminders,
    100.0::double precision * count(*) FILTER (WHERE n.state = 'responded') / nullif(count(n.sent_at), 0) AS response_rate,
    100 * (cxm.proportion_interval(count(*) FILTER (WHERE n.state = 'responded'), count(n.sent_at))).lower AS lower,
    100 * (cxm.proportion_interval(count(*) FILTER (WHERE n.state = 'responded'), count(n.sent_at))).upper AS upper
FROM cx.invitation AS n
GROUP BY n.survey_id, n.kind, n.purpose, n.channel;

COMMENT ON VIEW cx.invitation_outcome IS 'What became of invitations and asks, one row a (survey, kind, purpose, channel).';
COMMENT ON COLUMN cx.invitation_outcome.survey_id IS 'Survey (cx.survey).';
COMMENT ON COLUMN cx.invitation_outcome.kind IS 'survey, thank_you, referral_ask or review_ask.';
COMMENT ON COLUMN cx.invitation_outcome.purpose IS 'Purpose.';
COMMENT ON COLUMN cx.invitation_outcome.channel IS 'Channel; NULL = the token was handed over, or no channel was possible.';
COMMENT ON COLUMN cx.invitation_outcome.decided IS 'All that were decided on, suppressed ones included.';
COMMENT ON COLUMN cx.invitation_outcome.not_sampled IS 'Suppressed: not in the sample.';
COMMENT ON COLUMN cx.invitation_outcome.no_consent IS 'Suppressed: no consent to any of the channels.';
COMMENT ON COLUMN cx.invitation_outcome.no_address IS 'Suppressed: consent, but no address.';
COMMENT ON COLUMN cx.invitation_outcome.too_often IS 'Suppressed by a fatigue rule.';
COMMENT ON COLUMN cx.invitation_outcome.over_quota IS 'Suppressed by a quota.';
COMMENT ON COLUMN cx.invitation_outcome.survey_closed IS 'Suppressed because the survey was not open any more.';
COMMENT ON COLUMN cx.invitation_outcome.scheduled IS 'Not sent yet.';
COMMENT ON COLUMN cx.invitation_outcome.sent IS 'Sent, whatever came after.';
COMMENT ON COLUMN cx.invitation_outcome.bounced IS 'Could not be delivered.';
COMMENT ON COLUMN cx.invitation_outcome.opened IS 'Opened, whatever came after.';
COMMENT ON COLUMN cx.invitation_outcome.responded IS 'Answered.';
COMMENT ON COLUMN cx.invitation_outcome.expired IS 'Ended without an answer.';
COMMENT ON COLUMN cx.invitation_outcome.revoked IS 'Taken back.';
COMMENT ON COLUMN cx.invitation_outcome.reminders IS 'Reminders that went out.';
COMMENT ON COLUMN cx.invitation_outcome.response_rate IS 'Answered of those sent, 0 to 100; NULL when none was sent.';
COMMENT ON COLUMN cx.invitation_outcome.lower IS 'Lower end of its 95 % confidence interval (Wilson).';
COMMENT ON COLUMN cx.invitation_outcome.upper IS 'Upper end of that interval.';

CREATE OR REPLACE VIEW cx.quota_status AS
SELECT
    q.quota_id,
    q.survey_id,
    q.name,
    q.basis,
    q.attributes,
    q.period,
    nullif(t.period_start, '-infinity') AS period_start,
    q.target,
    coalesce(t.taken, 0) AS taken,
    greatest(coalesce(t.capacity, q.target) - coalesce(t.taken, 0), 0) AS left_over,
    coalesce(t.taken >= t.capacity, q.target = 0) AS is_full,
    (SELECT count(*) FROM cx.quota_excess AS e
     WHERE e.quota_id = q.quota_id AND cxm.quota_period(q.period, e.came_at) IS NOT DISTINCT FROM coalesce(t.period_start, cxm.quota_period(q.period, e.came_at))) AS excess
FROM cx.quota AS q
LEFT JOIN (
    SELECT s.quota_id, s.period_start, sum(s.capacity) AS capacity, sum(s.taken) AS taken
    FROM cx.quota_stripe AS s
    GROUP BY s.quota_id, s.period_start
) AS t ON t.quota_id = q.quota_id
WHERE q.enabled;

COMMENT ON VIEW cx.quota_status IS 'How full quotas are, one row a quota and period that has begun.';
COMMENT ON COLUMN cx.quota_status.quota_id IS 'Quota (cx.quota).';
COMMENT ON COLUMN cx.quota_status.survey_id IS 'Survey (cx.survey).';
COMMENT ON COLUMN cx.quota_status.name IS 'Name of the quota.';
COMMENT ON COLUMN cx.quota_status.basis IS 'response or invitation.';
COMMENT ON COLUMN cx.quota_status.attributes IS 'The segment; {} = all.';
COMMENT ON COLUMN cx.quota_status.period IS 'day, week or month; NULL = for ever.';
COMMENT ON COLUMN cx.quota_status.period_start IS 'First day of the period; NULL without one.';
COMMENT ON COLUMN cx.quota_status.target IS 'How many are wanted.';
COMMENT ON COLUMN cx.quota_status.taken IS 'How many places are taken.';
COMMENT ON COLUMN cx.quota_status.left_over IS 'How many are left.';
COMMENT ON COLUMN cx.quota_status.is_full IS 'Whether none is left.';
COMMENT ON COLUMN cx.quota_status.excess IS 'Responses that came when it was full.';

CREATE OR REPLACE VIEW cx.review_ask_audit AS
WITH ask AS (
    SELECT
        n.step_id,
        coalesce(a.band, 'unscored') AS band,
        count(*) AS responses,
        count(*) FILTER (WHERE n.suppressed_by IN ('consent', 'address')) AS unreachable,
        count(*) FILTER (WHERE n.suppressed_by = 'sampling') AS not_sampled,
        count(*) FILTER (WHERE n.suppressed_by = 'fatigue') AS too_often,
        count(*) FILTER (WHERE n.state = 'revoked' AND n.sent_at IS NULL) AS revoked,
        count(*) FILTER (WHERE n.state <> 'suppressed' AND NOT (n.state = 'revoked' AND n.sent_at IS NULL)) AS asked
    FROM cx.invitation AS n
    LEFT JOIN LATERAL (
        SELECT CASE WHEN s.value_number >= 9 THEN 'promoter' WHEN s.value_number >= 7 THEN 'passive' ELSE 'detractor' END AS band
        FROM cx.answer AS s
        JOIN cx.question AS q ON q.question_id = s.question_id
        JOIN cx.metric AS m ON m.metric = q.metric
        WHERE s.response_id = n.record_id AND m.family = 'nps' AND s.value_number IS NOT NULL AND s.on_path
        ORDER BY q.question_id
        LIMIT 1
    ) AS a ON true
    WHERE n.kind = 'review_ask' AND n.step_id IS NOT NULL
    GROUP BY n.step_id, coalesce(a.band, 'unscored')
), band AS (
    SELECT
        s.step_id,
        s.survey_id,
        b.place,
        b.band,
        coalesce(k.responses, 0) AS responses,
        coalesce(k.unreachable, 0) AS unreachable,
        coalesce(k.responses - k.unreachable, 0) AS eligible,
        coalesce(k.not_sampled, 0) AS not_sampled,
        coalesce(k.too_often, 0) AS too_often,
        coalesce(k.revoked, 0) AS revoked,
        coalesce(k.asked, 0) AS asked
    FROM cx.survey_step AS s
    CROSS JOIN (VALUES (1, 'promoter'), (2, 'passive'), (3, 'detractor'), (4, 'unscored')) AS b(place, band)
    LEFT JOIN ask AS k ON k.step_id = s.step_id AND k.band = b.band
    WHERE s.kind = 'review_ask'
), tested AS (
    SELECT b.step_id, t.p_value, t.method
    FROM (
        SELECT b.step_id, array_agg(b.asked ORDER BY b.place) AS asked, array_agg(b.eligible ORDER BY b.place) AS eligible
        FROM band AS b
        WHERE b.band <> 'unscored'
        GROUP BY b.step_id
    ) AS b
    CROSS JOIN LATERAL cxm.proportion_test(b.asked, b.eligible) AS t
)
SELECT
    b.step_id,
    b.survey_id,
    b.band,
    b.responses,
    b.unreachable,
    b.eligible,
    b.not_sampled,
    b.too_often,
    b.revoked,
    b.asked,
    100.0::double precision * b.asked / nullif(b.eligible, 0) AS ask_rate,
    100 * i.lower AS lower,
    100 * i.upper AS upper,
    t.p_value,
    t.method,
    t.p_value < 0.05 AS differs
FROM band AS b
CROSS JOIN LATERAL cxm.proportion_interval(b.asked, b.eligible) AS i
LEFT JOIN tested AS t ON t.step_id = b.step_id
ORDER BY b.step_id, b.place;

COMMENT ON VIEW cx.review_ask_audit IS 'Whether public reviews are asked for whatever the score was: one row a (review ask, band of the NPS answer of the response), always all four bands. Responses whose ask is not decided yet (cx.survey_candidate) are not in it.';
COMMENT ON COLUMN cx.review_ask_audit.step_id IS 'The ask (cx.survey_step of kind review_ask).';
COMMENT ON COLUMN cx.review_ask_audit.survey_id IS 'Survey whose responses it follows (cx.survey).';
COMMENT ON COLUMN cx.review_ask_audit.band IS 'promoter (9 and 10), passive (7 and 8), detractor (0 to 6), or unscored: the response has no NPS answer.';
COMMENT ON COLUMN cx.review_ask_audit.responses IS 'Responses that the ask followed.';
COMMENT ON COLUMN cx.review_ask_audit.unreachable IS 'Of these from people without consent or address: nobody may or can ask them.';
COMMENT ON COLUMN cx.review_ask_audit.eligible IS 'Of these the others: people who could be asked.';
COMMENT ON COLUMN cx.review_ask_audit.not_sampled IS 'Of the eligible: not drawn.';
COMMENT ON COLUMN cx.review_ask_audit.too_often IS 'Of the eligible: held back by a fatigue rule.';
COMMENT ON COLUMN cx.review_ask_audit.revoked IS 'Of the eligible: taken back before they were sent.';
COMMENT ON COLUMN cx.review_ask_audit.asked IS 'Of the eligible: asked.';
COMMENT ON COLUMN cx.review_ask_audit.ask_rate IS 'asked of eligible, 0 to 100; NULL when nobody is eligible, which is not the same as nobody asked.';
COMMENT ON COLUMN cx.review_ask_audit.lower IS 'Lower end of its 95 % confidence interval (Wilson); NULL with it.';
COMMENT ON COLUMN cx.review_ask_audit.upper IS 'Upper end of that interval; NULL with it.';
COMMENT ON COLUMN cx.review_ask_audit.p_value IS 'Two-sided p-value of one ask rate for promoters, passives and detractors, the same in each row of a step; NULL when fewer than two of these bands have anybody eligible.';
COMMENT ON COLUMN cx.review_ask_audit.method IS 'exact where an expected count is below five, as with tiny bands; chi-square otherwise.';
COMMENT ON COLUMN cx.review_ask_audit.differs IS 'Whether p_value is below 0.05: the rates differ by more than chance, and somebody should look; NULL with it. Of twenty asks that are the same for everybody one shows true.';
