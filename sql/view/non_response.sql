-- Who answers and who does not, by what was known of people when they were asked.

CREATE OR REPLACE VIEW cx.non_response AS
WITH asked AS (
    SELECT n.survey_id, v.variable, v.category, n.state
    FROM cx.invitation AS n
    CROSS JOIN LATERAL (
        SELECT 'channel'::text COLLATE "default" AS variable, n.channel COLLATE "default" AS category
        UNION ALL
        SELECT 'language'::text COLLATE "default" AS variable, n.language COLLATE "default" AS category
        UNION ALL
        SELECT a.key AS variable, a.value AS category FROM jsonb_each_text(n.attributes) AS a
    ) AS v
    WHERE n.kind = 'survey' AND n.sent_at IS NOT NULL AND n.state <> 'bounced' AND v.category IS NOT NULL
), counted AS (
    SELECT
        a.survey_id,
        a.variable,
        a.category,
        count(*) AS asked,
        count(*) FILTER (WHERE a.state = 'responded') AS responded,
        count(*) FILTER (WHERE a.state IN ('sent', 'opened')) AS waiting
    FROM asked AS a
    GROUP BY a.survey_id, a.variable, a.category
), tested AS (
    SELECT c.survey_id, c.variable, CASE WHEN count(*) <= 64 THEN (cxm.proportion_test(array_agg(c.responded), array_agg(c.asked))).p_value END AS p_value
    FROM counted AS c
    GROUP BY c.survey_id, c.variable
)
SELECT
    c.survey_id,
    c.variable,
    c.category,
    c.asked,
    c.responded,
    c.waiting,
    100.0::double precision * c.responded / c.asked AS response_rate,
    100 * i.lower AS lower,
    100 * i.upper AS upper,
    100.0::double precision * c.asked / sum(c.asked) OVER w AS share_of_asked,
    100.0::double precision * c.responded / nullif(sum(c.responded) OVER w, 0) AS share_of_responses,
    t.p_value
FROM counted AS c
CROSS JOIN LATERAL cxm.proportion_interval(c.responded, c.asked) AS i
JOIN tested AS t ON t.survey_id = c.survey_id AND t.variable = c.variable
WINDOW w AS (PARTITION BY c.survey_id, c.variable);

COMMENT ON VIEW cx.non_response IS 'Whether those who answer a survey are like those who were asked: by channel, language and each attribute of the invitations (cx.invitation.attributes), a row a category. Invitations that were not sent, or came back, do not count. Where response rates differ, weights help: cxm.rake().';
COMMENT ON COLUMN cx.non_response.survey_id IS 'Survey (cx.survey).';
COMMENT ON COLUMN cx.non_response.variable IS 'What people are told apart by: channel, language, or an attribute.';
COMMENT ON COLUMN cx.non_response.category IS 'Its value. Invitations that have none are left out.';
COMMENT ON COLUMN cx.non_response.asked IS 'Invitations that reached somebody.';
COMMENT ON COLUMN cx.non_response.responded IS 'Answered.';
COMMENT ON COLUMN cx.non_response.waiting IS 'Not answered and still open: they may be.';
COMMENT ON COLUMN cx.non_response.response_rate IS 'Answered of those asked, 0 to 100.';
COMMENT ON COLUMN cx.non_response.lower IS 'Lower end of Wilson''s 95 percent interval of the rate.';
COMMENT ON COLUMN cx.non_response.upper IS 'Upper end of it.';
COMMENT ON COLUMN cx.non_response.share_of_asked IS 'Share of this category among those asked, 0 to 100.';
COMMENT ON COLUMN cx.non_response.share_of_responses IS 'Share of it among the answers, 0 to 100; NULL without answers.';
COMMENT ON COLUMN cx.non_response.p_value IS 'Whether the rates of all categories of the variable can be the same (cxm.proportion_test), 0 to 1; NULL with one category, or more than 64.';
