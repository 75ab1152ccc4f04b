-- What came of surveys.

CREATE OR REPLACE VIEW cx.survey_summary AS
SELECT
    s.survey_id,
    s.key AS survey,
    s.name,
    s.state,
    v.version,
    coalesce(r.started, 0) AS started,
    coalesce(r.complete, 0) AS complete,
    coalesce(r.screened_out, 0) AS screened_out,
    coalesce(r.partial, 0) AS partial,
    100.0::double precision * r.complete / nullif(r.started - r.screened_out, 0) AS completion_rate,
    coalesce(r.timed, 0) AS timed,
    r.median_seconds,
    r.p90_seconds,
    r.first_at,
    r.last_at
FROM cx.survey AS s
JOIN cx.survey_version AS v ON v.survey_id = s.survey_id AND v.state = 'published'
LEFT JOIN (
    SELECT
        r.survey_id,
        r.version,
        count(*) AS started,
        count(*) FILTER (WHERE r.state = 'complete') AS complete,
        count(*) FILTER (WHERE r.state = 'screened_out') AS screened_out,
        count(*) FILTER (WHERE r.state = 'partial') AS partial,
        count(*) FILTER (WHERE r.state = 'complete' AND r.started_at IS NOT NULL) AS timed,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM r.completed_at - r.started_at)::double precision)
            FILTER (WHERE r.state = 'complete') AS median_seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM r.completed_at - r.started_at)::double precision)
            FILTER (WHERE r.state = 'complete') AS p90_seconds,
        min(coalesce(r.started_at, r.updated_at)) AS first_at,
        max(r.updated_at) AS last_at
    FROM cx.response AS r
    GROUP BY r.survey_id, r.version
) AS r ON r.survey_id = v.survey_id AND r.version = v.version;

COMMENT ON VIEW cx.survey_summary IS 'How many began and finished each published version of a survey, and how long it took them; one row a version, also one that nobody has answered.';
COMMENT ON COLUMN cx.survey_summary.survey_id IS 'The survey (cx.survey).';
COMMENT ON COLUMN cx.survey_summary.survey IS 'Its key.';
COMMENT ON COLUMN cx.survey_summary.name IS 'Its name.';
COMMENT ON COLUMN cx.survey_summary.state IS 'State of the survey: active or closed.';
COMMENT ON COLUMN cx.survey_summary.version IS 'The version (cx.survey_version).';
COMMENT ON COLUMN cx.survey_summary.started IS 'Responses that were begun.';
COMMENT ON COLUMN cx.survey_summary.complete IS 'Those that were submitted.';
COMMENT ON COLUMN cx.survey_summary.screened_out IS 'Those whose answers led out of the survey.';
COMMENT ON COLUMN cx.survey_summary.partial IS 'Those that have not been submitted.';
COMMENT ON COLUMN cx.survey_summary.completion_rate IS 'Percentage (0 to 100) of complete responses among all that were not screened out; NULL when there are none.';
COMMENT ON COLUMN cx.survey_summary.timed IS 'Complete responses whose beginning is known: the base of the times.';
COMMENT ON COLUMN cx.survey_summary.median_seconds IS 'Median time in seconds from beginning to submission; NULL when none is known.';
COMMENT ON COLUMN cx.survey_summary.p90_seconds IS 'Seconds within which nine of ten were done; NULL when none is known.';
COMMENT ON COLUMN cx.survey_summary.first_at IS 'When the first response was begun.';
COMMENT ON COLUMN cx.survey_summary.last_at IS 'When a response was last saved or submitted.';

CREATE OR REPLACE VIEW cx.survey_dropoff AS
SELECT
    s.survey_id,
    s.key AS survey,
    q.version,
    q.position,
    k.key AS question,
    k.type,
    q.required,
    coalesce(c.shown, 0) AS shown,
    coalesce(c.answered, 0) AS answered,
    coalesce(c.shown - c.answered - c.left_unanswered, 0) AS skipped,
    coalesce(c.left_here, 0) AS left_here,
    100.0::double precision * c.answered / nullif(c.shown, 0) AS answered_rate,
    100.0::double precision * c.left_here / nullif(c.shown, 0) AS left_rate
FROM cx.survey_question AS q
JOIN cx.survey AS s ON s.survey_id = q.survey_id
JOIN cx.question AS k ON k.question_id = q.question_id
LEFT JOIN (
    SELECT
        u.survey_id,
        u.version,
        u.question_id,
        sum(u.shown)::bigint AS shown,
        sum(u.answered)::bigint AS answered,
        sum(u.left_here)::bigint AS left_here,
        sum(u.left_unanswered)::bigint AS left_unanswered
    FROM (
        SELECT r.survey_id, r.version, p.question_id, count(*) AS shown, 0 AS answered, 0 AS left_here, 0 AS left_unanswered
        FROM cx.response AS r
        CROSS JOIN LATERAL unnest(r.path) AS p(question_id)
        GROUP BY r.survey_id, r.version, p.question_id
        UNION ALL
        SELECT r.survey_id, r.version, a.question_id, 0 AS shown, count(*) AS answered, 0 AS left_here, 0 AS left_unanswered
        FROM cx.response AS r
        JOIN cx.answer AS a ON a.response_id = r.response_id
        WHERE a.on_path
        GROUP BY r.survey_id, r.version, a.question_id
        UNION ALL
        SELECT r.survey_id, r.version, r.path[cardinality(r.path)] AS question_id, 0 AS shown, 0 AS answered, count(*) AS left_here, count(*) FILTER (WHERE a.response_id IS NULL) AS left_unanswered
        FROM cx.response AS r
        LEFT JOIN cx.answer AS a ON a.response_id = r.response_id AND a.question_id = r.path[cardinality(r.path)] AND a.on_path
        WHERE r.state = 'partial'
        GROUP BY r.survey_id, r.version, r.path[cardinality(r.path)]
    ) AS u
    GROUP BY u.survey_id, u.version, u.question_id
) AS c ON c.survey_id = q.survey_id AND c.version = q.version AND c.question_id = q.question_id;

COMMENT ON VIEW cx.survey_dropoff IS 'Question by question: who was shown it, answered it, skipped it, and saw nothing after it. One row a (version, question). shown = answered + skipped + those who left here without an answer.';
COMMENT ON COLUMN cx.survey_dropoff.survey_id IS 'The survey (cx.survey).';
COMMENT ON COLUMN cx.survey_dropoff.survey IS 'Its key.';
COMMENT ON COLUMN cx.survey_dropoff.version IS 'The version (cx.survey_version).';
COMMENT ON COLUMN cx.survey_dropoff.position IS 'Place of the question in the version.';
COMMENT ON COLUMN cx.survey_dropoff.question IS 'Key of the question.';
COMMENT ON COLUMN cx.survey_dropoff.type IS 'Its type.';
COMMENT ON COLUMN cx.survey_dropoff.required IS 'Whether it has to be answered.';
COMMENT ON COLUMN cx.survey_dropoff.shown IS 'Responses that were shown it: it lies on their path, not after the last question that they saw.';
COMMENT ON COLUMN cx.survey_dropoff.answered IS 'Responses that answered it.';
COMMENT ON COLUMN cx.survey_dropoff.skipped IS 'Responses that went on, or were submitted, without an answer to it.';
COMMENT ON COLUMN cx.survey_dropoff.left_here IS 'Partial responses, begun and not submitted, that saw nothing after it.';
COMMENT ON COLUMN cx.survey_dropoff.answered_rate IS 'answered as a percentage (0 to 100) of shown; NULL when nobody was shown it.';
COMMENT ON COLUMN cx.survey_dropoff.left_rate IS 'left_here as a percentage (0 to 100) of shown; NULL when nobody was shown it.';

CREATE OR REPLACE VIEW cx.survey_score AS
SELECT
    s.survey_id,
    s.key AS survey,
    g.version,
    k.key AS question,
    k.type,
    k.metric,
    k.scale_min::integer AS scale_min,
    k.scale_max::integer AS scale_max,
    coalesce(cxm.count(g.ratings), 0) AS n,
    CASE k.type
        WHEN 'nps' THEN cxm.nps(g.ratings)
        WHEN 'csat' THEN cxm.csat(g.ratings, greatest(k.scale_max - 1, k.scale_min + 1))
        ELSE cxm.mean(g.ratings)
    END AS score,
    CASE k.type
        WHEN 'nps' THEN (cxm.nps_interval(g.ratings)).lower
        WHEN 'csat' THEN (cxm.csat_interval(g.ratings, 0.95, greatest(k.scale_max - 1, k.scale_min + 1))).lower
        ELSE (cxm.mean_interval(g.ratings)).lower
    END AS lower,
    CASE k.type
        WHEN 'nps' THEN (cxm.nps_interval(g.ratings)).upper
        WHEN 'csat' THEN (cxm.csat_interval(g.ratings, 0.95, greatest(k.scale_max - 1, k.scale_min + 1))).upper
        ELSE (cxm.mean_interval(g.ratings)).upper
    END AS upper,
    cxm.mean(g.ratings) AS mean_score
FROM (
    SELECT
        q.survey_id,
        q.version,
        q.question_id,
        cxm.ratings_agg(a.value_number, k.scale_min::integer, k.scale_max::integer) AS ratings
    FROM cx.survey_question AS q
    JOIN cx.question AS k ON k.question_id = q.question_id AND k.metric IS NOT NULL
    LEFT JOIN (
        cx.response AS r
        JOIN cx.answer AS a ON a.response_id = r.response_id AND a.on_path
    ) ON r.survey_id = q.survey_id AND r.version = q.version AND r.state = 'complete' AND a.question_id = q.question_id
    GROUP BY q.survey_id, q.version, q.question_id
) AS g
JOIN cx.survey AS s ON s.survey_id = g.survey_id
JOIN cx.question AS k ON k.question_id = g.question_id;

COMMENT ON VIEW cx.survey_score IS 'What the score questions of surveys came to, with confidence intervals, from complete responses: one row a (version, question). What became feedback is in cx.metric_score too, across surveys.';
COMMENT ON COLUMN cx.survey_score.survey_id IS 'The survey (cx.survey).';
COMMENT ON COLUMN cx.survey_score.survey IS 'Its key.';
COMMENT ON COLUMN cx.survey_score.version IS 'The version (cx.survey_version).';
COMMENT ON COLUMN cx.survey_score.question IS 'Key of the question.';
COMMENT ON COLUMN cx.survey_score.type IS 'nps, csat, ces or rating: how its scores are summed up.';
COMMENT ON COLUMN cx.survey_score.metric IS 'Metric (cx.metric).';
COMMENT ON COLUMN cx.survey_score.scale_min IS 'Lowest score.';
COMMENT ON COLUMN cx.survey_score.scale_max IS 'Highest score.';
COMMENT ON COLUMN cx.survey_score.n IS 'Number of answers.';
COMMENT ON COLUMN cx.survey_score.score IS 'nps: Net Promoter Score, -100 to 100. csat: percentage of answers with one of the two highest scores (of a scale of two points, the higher one). ces and rating: the mean. NULL without answers.';
COMMENT ON COLUMN cx.survey_score.lower IS 'Lower end of its 95 % confidence interval: adjusted Wald (nps), Wilson (csat), Student''s t (ces and rating; NULL for fewer than two answers).';
COMMENT ON COLUMN cx.survey_score.upper IS 'Upper end of that interval.';
COMMENT ON COLUMN cx.survey_score.mean_score IS 'Mean score, on the scale.';

CREATE OR REPLACE VIEW cx.survey_distribution AS
SELECT
    s.survey_id,
    s.key AS survey,
    q.version,
    q.position,
    k.key AS question,
    k.type,
    v.place,
    v.answer,
    v.option_id,
    coalesce(cxm.survey_label(q.survey_id, q.version, k.key, v.answer, 'label', ARRAY[s.default_language]), v.answer) AS label,
    coalesce(c.n, 0) AS n,
    coalesce(b.base, 0) AS base,
    100.0::double precision * coalesce(c.n, 0) / nullif(b.base, 0) AS share
FROM cx.survey_question AS q
JOIN cx.survey AS s ON s.survey_id = q.survey_id
JOIN cx.question AS k ON k.question_id = q.question_id
CROSS JOIN LATERAL (
    SELECT i.ordinality::integer AS place, o.key AS answer, o.option_id
    FROM unnest(q.option_ids) WITH ORDINALITY AS i(id, ordinality)
    JOIN cx.question_option AS o ON o.option_id = i.id
    UNION ALL
    SELECT g.score - k.scale_min + 1 AS place, g.score::text COLLATE "C" AS answer, NULL::integer AS option_id
    FROM generate_series(k.scale_min::integer, k.scale_max::integer) AS g(score)
    UNION ALL
    SELECT b.place, b.answer COLLATE "C" AS answer, NULL::integer AS option_id
    FROM (VALUES (1, 'true'), (2, 'false')) AS b(place, answer)
    WHERE k.type = 'boolean'
) AS v
LEFT JOIN (
    SELECT r.survey_id, r.version, a.question_id, o.option_id, coalesce(trim_scale(a.value_number)::text, a.value_boolean::text) AS value, count(*) AS n
    FROM cx.response AS r
    JOIN cx.answer AS a ON a.response_id = r.response_id
    JOIN cx.question AS k ON k.question_id = a.question_id
    LEFT JOIN LATERAL unnest(a.option_ids) AS o(option_id) ON true
    WHERE r.state = 'complete' AND a.on_path AND k.type NOT IN ('text', 'number', 'date')
    GROUP BY r.survey_id, r.version, a.question_id, o.option_id, coalesce(trim_scale(a.value_number)::text, a.value_boolean::text)
) AS c ON c.survey_id = q.survey_id AND c.version = q.version AND c.question_id = q.question_id AND coalesce(c.option_id::text, c.value) = coalesce(v.option_id::text, v.answer)
LEFT JOIN (
    SELECT r.survey_id, r.version, a.question_id, count(*) AS base
    FROM cx.response AS r
    JOIN cx.answer AS a ON a.response_id = r.response_id
    WHERE r.state = 'complete' AND a.on_path
    GROUP BY r.survey_id, r.version, a.question_id
) AS b ON b.survey_id = q.survey_id AND b.version = q.version AND b.question_id = q.question_id;

COMMENT ON VIEW cx.survey_distribution IS 'How the answers to a question are spread, from complete responses: one row a (version, question, possible answer), also one that nobody gave. Questions for scores, choices and yes or no.';
COMMENT ON COLUMN cx.survey_distribution.survey_id IS 'The survey (cx.survey).';
COMMENT ON COLUMN cx.survey_distribution.survey IS 'Its key.';
COMMENT ON COLUMN cx.survey_distribution.version IS 'The version (cx.survey_version).';
COMMENT ON COLUMN cx.survey_distribution.position IS 'Place of the question in the version.';
COMMENT ON COLUMN cx.survey_distribution.question IS 'Key of the question.';
COMMENT ON COLUMN cx.survey_distribution.type IS 'Its type.';
COMMENT ON COLUMN cx.survey_distribution.place IS 'Place of the answer among those that are possible.';
COMMENT ON COLUMN cx.survey_distribution.answer IS 'The answer: key of the option, score, true or false.';
COMMENT ON COLUMN cx.survey_distribution.option_id IS 'The option (cx.question_option); NULL unless the question is a choice or multi.';
COMMENT ON COLUMN cx.survey_distribution.label IS 'What it said in the default language; the answer itself where it has no label.';
COMMENT ON COLUMN cx.survey_distribution.n IS 'Responses with this answer; a response to a multi counts for each option that it chose.';
COMMENT ON COLUMN cx.survey_distribution.base IS 'Responses that answered the question.';
COMMENT ON COLUMN cx.survey_distribution.share IS 'n as a percentage (0 to 100) of base; shares of a multi may add up to more than 100. NULL when nobody answered.';
