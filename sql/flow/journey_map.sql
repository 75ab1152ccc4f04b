-- The journey map: stages, what becomes of customers at each, and how those feel who passed a step.

CREATE FUNCTION cxm.set_journey_stage(stage text, "position" integer, steps text[], map text DEFAULT 'customer', name text DEFAULT NULL, description text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_step text;
BEGIN
    PERFORM cxm.store_version();
    IF coalesce(cardinality(steps), 0) = 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('stage %s has no steps', coalesce('"' || set_journey_stage.stage || '"', 'NULL')),
            HINT = 'Give steps as cxm.journey_codes() takes them, such as ARRAY[''view'', ''@checkout''].';
    END IF;
    -- a name that is unknown is an error here, and not a stage that stays empty
    FOREACH v_step IN ARRAY steps LOOP
        PERFORM cxm.journey_codes(v_step);
    END LOOP;

    INSERT INTO cx.journey_stage AS s (map, stage, position, name, description, steps)
    VALUES (set_journey_stage.map, set_journey_stage.stage, set_journey_stage."position", set_journey_stage.name, set_journey_stage.description, set_journey_stage.steps)
    ON CONFLICT ON CONSTRAINT journey_stage_pkey DO UPDATE
    SET position = excluded.position, name = excluded.name, description = excluded.description, steps = excluded.steps;
EXCEPTION
    WHEN unique_violation THEN
        RAISE unique_violation USING
            MESSAGE = format('position %s of map "%s" is taken', set_journey_stage."position", set_journey_stage.map),
            HINT = 'Choose another position, or move the stage that is there (cx.journey_stage).';
END
$$;

COMMENT ON FUNCTION cxm.set_journey_stage(text, integer, text[], text, text, text) IS
'Adds a stage to a journey map, or replaces the one of that key. position: its place in the order, unique in the map; steps: what belongs to it, by names that cxm.journey_codes() takes; name: to show to people. Errors: an unknown step (42704), no steps (22023), a position that is taken (23505), a stage, position or map that is NULL (23502) or empty (23514).';

CREATE FUNCTION cxm.stage_codes(steps text[]) RETURNS integer[]
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- what a catalogue has lost since must not take the whole map along
    RETURN ARRAY(SELECT DISTINCT c.code FROM unnest(steps) AS s(step) CROSS JOIN LATERAL unnest(cxm.codes_seen(s.step)) AS c(code) ORDER BY c.code);
END
$$;

COMMENT ON FUNCTION cxm.stage_codes(text[]) IS
'The codes in journeys that any of the steps stands for; names that are not known any more have none.';

CREATE FUNCTION cxm.journey_dropoff(only_map text DEFAULT NULL, during tstzrange DEFAULT NULL)
RETURNS TABLE (
    map text,
    stage text,
    "position" integer,
    name text,
    entered bigint,
    went_on bigint,
    dropped bigint,
    conversion_rate double precision,
    dropoff_rate double precision,
    median_seconds double precision,
    p90_seconds double precision,
    first_at timestamptz,
    last_at timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.store_version();
    RETURN QUERY
    WITH coded AS MATERIALIZED (
        SELECT s.map, s.stage, s.position, s.name, cxm.stage_codes(s.steps) AS codes
        FROM cx.journey_stage AS s
        WHERE s.map = coalesce(only_map, s.map)
    ), staged AS MATERIALIZED (
        SELECT c.map, c.stage, c.position, c.name, c.codes,
               ARRAY(SELECT DISTINCT u.code FROM coded AS l CROSS JOIN unnest(l.codes) AS u(code)
                     WHERE l.map = c.map AND l.position > c.position) AS later
        FROM coded AS c
    ), passed AS (
        SELECT s.map, s.stage, e.at, cxm.first_at(cxm.slice(cxm.filter_codes(j.journey, s.later), tstzrange(e.at, NULL))) AS next_at
        FROM cxm.journeys(journey_dropoff.during) AS j
        CROSS JOIN staged AS s
        CROSS JOIN LATERAL (SELECT cxm.first_at(cxm.filter_codes(j.journey, s.codes)) AS at OFFSET 0) AS e
        WHERE e.at IS NOT NULL
    ), counted AS (
        SELECT p.map, p.stage, count(*) AS entered, count(p.next_at) AS went_on,
               percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY extract(epoch FROM p.next_at - p.at)::double precision) AS seconds,
               min(p.at) AS first_at, max(p.at) AS last_at
        FROM passed AS p
        GROUP BY p.map, p.stage
    )
    SELECT s.map, s.stage, s.position, coalesce(s.name, s.stage), coalesce(c.entered, 0),
           CASE WHEN k.is_last THEN NULL ELSE coalesce(c.went_on, 0) END,
           CASE WHEN k.is_last THEN NULL ELSE coalesce(c.entered - c.went_on, 0) END,
           CASE WHEN k.is_last THEN NULL ELSE 100.0::double precision * c.went_on / c.entered END,
           CASE WHEN k.is_last THEN NULL ELSE 100.0::double precision * (c.entered - c.went_on) / c.entered END,
           c.seconds[1], c.seconds[2], c.first_at, c.last_at
    FROM staged AS s
    CROSS JOIN LATERAL (SELECT NOT EXISTS (SELECT FROM staged AS l WHERE l.map = s.map AND l.position > s.position) AS is_last) AS k
    LEFT JOIN counted AS c ON c.map = s.map AND c.stage = s.stage
    ORDER BY s.map, s.position;
END
$$;

COMMENT ON FUNCTION cxm.journey_dropoff(text, tstzrange) IS
'What becomes of customers at each stage of a journey map (only_map; NULL: of every map), in order. A customer enters a stage with the first step of it, and goes on with the first step of any later stage at that time or after; who leaves a stage out enters the others all the same. during: only steps in that range. A row a stage, with the columns of cx.journey_dropoff; no rows for a map without stages.';

CREATE FUNCTION cxm.score_of(family text, ratings cxm.ratings) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- the two upper scores; of a scale of two points the upper one
    SELECT CASE family
               WHEN 'nps' THEN cxm.nps(ratings)
               WHEN 'csat' THEN cxm.csat(ratings, greatest(cxm.scale_high(ratings) - 1, cxm.scale_low(ratings) + 1))
               ELSE cxm.mean(ratings)
           END;
$$;

COMMENT ON FUNCTION cxm.score_of(text, cxm.ratings) IS
'Answers summed up as the family of their metric (cx.metric) has it: nps (-100 to 100), csat (percentage of the two highest scores, 0 to 100), otherwise the mean, on the scale. NULL when there are none.';

CREATE FUNCTION cxm.score_interval(family text, ratings cxm.ratings, confidence double precision, OUT lower double precision, OUT upper double precision) RETURNS record
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    CASE family
        WHEN 'nps' THEN
            SELECT i.lower, i.upper INTO lower, upper FROM cxm.nps_interval(ratings, confidence) AS i;
        WHEN 'csat' THEN
            SELECT i.lower, i.upper INTO lower, upper
            FROM cxm.csat_interval(ratings, confidence, greatest(cxm.scale_high(ratings) - 1, cxm.scale_low(ratings) + 1)) AS i;
        ELSE
            SELECT i.lower, i.upper INTO lower, upper FROM cxm.mean_interval(ratings, confidence) AS i;
    END CASE;
END
$$;

COMMENT ON FUNCTION cxm.score_interval(text, cxm.ratings, double precision) IS
'Confidence interval of cxm.score_of(), by the method that its family has: adjusted Wald of an NPS, Wilson of a CSAT, Student''s t of a mean. NULLs when there are no answers.';

CREATE FUNCTION cxm.score_at_step(metric text DEFAULT 'nps', within interval DEFAULT interval '7 days', during tstzrange DEFAULT NULL, confidence double precision DEFAULT 0.95)
RETURNS TABLE (
    step text,
    kind text,
    touchpoint text,
    answers bigint,
    customers bigint,
    score double precision,
    lower double precision,
    upper double precision,
    elsewhere double precision,
    difference double precision,
    median_seconds double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_metric record;
    v_within double precision;
BEGIN
    PERFORM cxm.store_version();
    SELECT m.family, m.scale_min::integer, m.scale_max::integer INTO v_metric FROM cx.metric AS m WHERE m.metric = score_at_step.metric;
    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('metric %s does not exist', coalesce('"' || score_at_step.metric || '"', 'NULL')),
            DETAIL = format('The metrics are %s.', cxm.metric_names());
    ELSIF extract(month FROM within) <> 0 OR extract(year FROM within) <> 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s is no fixed time', within),
            HINT = 'Give days, hours, minutes: a day is 24 hours, and a month has no certain length.';
    ELSIF (within >= interval '0') IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('scores cannot be looked at within %s after a step', coalesce(within::text, 'NULL'));
    END IF;
    v_within := extract(epoch FROM within);

    RETURN QUERY
    WITH answer AS MATERIALIZED (
        SELECT f.feedback_id, f.occurred_at, f.score, p.canonical_id
        FROM cx.feedback AS f
        JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        WHERE f.metric = score_at_step.metric AND f.score IS NOT NULL
          AND f.scale_min = v_metric.scale_min AND f.scale_max = v_metric.scale_max
          AND (during IS NULL OR f.occurred_at <@ during)
    ), place AS MATERIALIZED (
        SELECT DISTINCT c.code, c.kind, cxm.journey_step(c.code) AS step, t.key AS touchpoint
        FROM cx.journey_code_entry AS c
        LEFT JOIN cx.touchpoint AS t ON t.touchpoint_id = c.touchpoint_id
        WHERE c.kind <> 'feedback'
    ), event AS MATERIALIZED (
        SELECT j.profile_id AS canonical_id, e.code, e.at
        FROM cxm.journeys(NULL, CASE WHEN (SELECT count(*) FROM answer) < 10000 THEN ARRAY(SELECT DISTINCT a.canonical_id FROM answer AS a) END) AS j
        CROSS JOIN LATERAL cxm.events(cxm.filter_codes(j.journey, ARRAY(SELECT p.code FROM place AS p))) AS e(at, code)
        WHERE j.profile_id IN (SELECT a.canonical_id FROM answer AS a)
    ), seen AS (
        -- each answer beside each step of the customer, in one order of time: work grows with both, not with their product
        SELECT e.canonical_id, e.code, e.at, e.at AS passed_at, NULL::bigint AS feedback_id, NULL::smallint AS score FROM event AS e
        UNION ALL
        SELECT c.canonical_id, c.code, a.occurred_at, NULL, a.feedback_id, a.score
        FROM (SELECT DISTINCT e.canonical_id, e.code FROM event AS e) AS c JOIN answer AS a ON a.canonical_id = c.canonical_id
    ), passed AS (
        -- each answer once at each step, from the last time that the customer was there
        SELECT l.code, l.canonical_id, l.score, extract(epoch FROM l.at - l.passed_at)::double precision AS seconds
        FROM (SELECT s.canonical_id, s.code, s.at, s.feedback_id, s.score, max(s.passed_at) OVER (PARTITION BY s.canonical_id, s.code ORDER BY s.at) AS passed_at
              FROM seen AS s) AS l
        WHERE l.feedback_id IS NOT NULL AND l.passed_at >= l.at - make_interval(secs => v_within)
    ), rated AS (
        SELECT p.code, count(DISTINCT p.canonical_id) AS customers,
               cxm.ratings_agg(p.score, v_metric.scale_min, v_metric.scale_max) AS ratings,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY p.seconds) AS seconds
        FROM passed AS p
        GROUP BY p.code
    ), compared AS (
        SELECT r.*, (SELECT cxm.ratings_agg(a.score, v_metric.scale_min, v_metric.scale_max) FROM answer AS a) OPERATOR(cxm.-) r.ratings AS others
        FROM rated AS r
    )
    SELECT n.step, n.kind, n.touchpoint, cxm.count(c.ratings), c.customers,
           s.score, s.lower, s.upper, s.elsewhere, s.score - s.elsewhere, c.seconds
    FROM compared AS c
    JOIN place AS n ON n.code = c.code
    CROSS JOIN LATERAL (
        SELECT cxm.score_of(v_metric.family, c.ratings) AS score, cxm.score_of(v_metric.family, c.others) AS elsewhere, i.lower, i.upper
        FROM cxm.score_interval(v_metric.family, c.ratings, confidence) AS i
    ) AS s
    ORDER BY s.score - s.elsewhere, cxm.count(c.ratings) DESC, n.step;
END
$$;

COMMENT ON FUNCTION cxm.score_at_step(text, interval, tstzrange, double precision) IS
'How customers who passed a step felt soon after: of each step (events and purchases, at their touchpoint) the score of the answers that were given within the given time after it, each answer once a step, those that lie furthest below the others first. metric: one of cx.metric, of whose answers those on its usual scale count; during: only answers of that range; confidence: of lower and upper. A row a step that somebody passed, with the columns of cx.score_at_step. A step that no answer followed in time has no row. Errors: an unknown metric (42704), a time with months or below zero (22023).';
