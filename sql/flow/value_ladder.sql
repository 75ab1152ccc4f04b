-- The value ladder: detractor, passive, promoter, advocate; how customers climb it, and how they fall.

CREATE FUNCTION cxm.check_value_ladder(metric text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_family text;
BEGIN
    PERFORM cxm.store_version();
    SELECT m.family INTO v_family FROM cx.metric AS m WHERE m.metric = check_value_ladder.metric;
    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('metric %s does not exist', coalesce('"' || left(check_value_ladder.metric, 100) || '"', 'NULL')),
            DETAIL = format('The metrics are %s.', cxm.metric_names());
    ELSIF v_family <> 'nps' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('metric "%s" has no value ladder', check_value_ladder.metric),
            DETAIL = format('It is of family %s, whose scores are not those of detractors, passives and promoters.', v_family),
            HINT = format('Metrics of family nps are %s.', (SELECT string_agg(m.metric, ', ' ORDER BY m.metric) FROM cx.metric AS m WHERE m.family = 'nps'));
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_value_ladder(text) IS 'Error unless the metric has a value ladder: 42704 when there is no such metric, 22023 when its family is not nps.';

CREATE FUNCTION cxm.value_ladder_identifiers(profile_ids bigint[], OUT identifiers bigint[], OUT owners bigint[]) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
-- cxm.value_ladder_moves(), which calls it, goes without
SET enable_nestloop = on
AS $$
BEGIN
    SELECT coalesce(array_agg(m.identifier_id), '{}'), coalesce(array_agg(m.canonical_id), '{}') INTO identifiers, owners
    FROM cxm.profile_identifiers(ARRAY(SELECT DISTINCT p.canonical_id FROM cx.profile AS p WHERE p.profile_id = ANY (profile_ids))) AS m;
END
$$;

COMMENT ON FUNCTION cxm.value_ladder_identifiers(bigint[]) IS
'The identifiers of customers, named by any profile_id that they have or had, and beside each the profile that it belongs to today; empty arrays when there are none.';

CREATE FUNCTION cxm.value_ladder_standings(metric text DEFAULT 'nps', during tstzrange DEFAULT NULL, profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    profile_id bigint,
    number integer,
    at timestamptz,
    rung text,
    "position" smallint,
    score smallint,
    cause text,
    record_id bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 100000
SET search_path = pg_catalog, pg_temp
-- cxm.value_ladder_moves(), which calls it, goes without
SET enable_nestloop = on
-- for one customer the plan is another than for all, and compiling it would take longer than it runs
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    -- what came after the range is not known in it
    v_known CONSTANT tstzrange NOT NULL := CASE
        WHEN during IS NULL THEN tstzrange(NULL, NULL)
        WHEN isempty(during) THEN 'empty'
        ELSE tstzrange(NULL, upper(during), CASE WHEN upper_inc(during) THEN '(]' ELSE '()' END) END;
    -- those of the customers asked for, as constants of the plan, which then goes by indexes where they are few
    v_identifiers bigint[];
    v_owners bigint[];
BEGIN
    PERFORM cxm.check_value_ladder(metric);
    IF profile_ids IS NOT NULL THEN
        SELECT m.identifiers, m.owners INTO v_identifiers, v_owners FROM cxm.value_ladder_identifiers(profile_ids) AS m;
    END IF;

    RETURN QUERY
    WITH customer AS NOT MATERIALIZED (
        SELECT i.identifier_id, p.canonical_id
        FROM cx.identifier AS i
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        WHERE v_identifiers IS NULL
        UNION ALL
        SELECT u.identifier_id, u.canonical_id
        FROM unnest(v_identifiers, v_owners) AS u(identifier_id, canonical_id)
        WHERE v_identifiers IS NOT NULL
    ), done AS (
        -- of one time scores come first: who is a promoter in the moment of the review is an advocate
        SELECT c.canonical_id, f.occurred_at, CASE WHEN f.metric = value_ladder_standings.metric THEN 0 ELSE 2 END AS kind, f.feedback_id AS id,
               CASE WHEN f.metric = value_ladder_standings.metric THEN f.score END AS score
        FROM cx.feedback AS f
        JOIN customer AS c ON c.identifier_id = f.identifier_id
        WHERE (v_identifiers IS NULL OR f.identifier_id = ANY (v_identifiers))
          AND f.occurred_at <@ v_known
          AND (f.metric = value_ladder_standings.metric AND f.score IS NOT NULL AND f.scale_min = 0 AND f.scale_max = 10
               OR f.metric = 'rating' AND f.question = 'public_review'
                  AND (f.scale_min = 1 AND f.scale_max = 5 AND f.score >= 4 OR f.scale_min = 0 AND f.scale_max = 10 AND f.score >= 9))
        UNION ALL
        SELECT c.canonical_id, r.referred_at, 1, r.referral_id, NULL
        FROM cx.referral AS r
        JOIN customer AS c ON c.identifier_id = r.referrer_id
        JOIN cx.identifier AS i ON i.identifier_id = r.referred_id
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        -- whom one has become one person with one has not brought
        WHERE (v_identifiers IS NULL OR r.referrer_id = ANY (v_identifiers))
          AND p.canonical_id <> c.canonical_id AND r.referred_at <@ v_known AND isfinite(r.referred_at)
    ), scored AS (
        -- a run begins with each score that is no promoter's
        SELECT d.*, count(d.score) OVER customer AS scores, count(*) FILTER (WHERE d.score < 9) OVER customer AS run
        FROM done AS d
        WINDOW customer AS (PARTITION BY d.canonical_id ORDER BY d.occurred_at, d.kind, d.id)
    ), promoting AS (
        SELECT s.*, first_value(s.score) OVER (PARTITION BY s.canonical_id, s.scores ORDER BY s.occurred_at, s.kind, s.id) AS last_score,
               s.score IS NULL AND count(*) FILTER (WHERE s.score >= 9) OVER (PARTITION BY s.canonical_id, s.run ORDER BY s.occurred_at, s.kind, s.id) > 0 AS is_act
        FROM scored AS s
    ), acted AS (
        SELECT p.*, count(*) FILTER (WHERE p.is_act) OVER (PARTITION BY p.canonical_id, p.run ORDER BY p.occurred_at, p.kind, p.id) AS acts
        FROM promoting AS p
    ), standing AS (
        SELECT a.*, CASE WHEN a.acts > 0 THEN 4 WHEN a.score >= 9 THEN 3 WHEN a.score >= 7 THEN 2 ELSE 1 END AS place
        FROM acted AS a
        WHERE a.kind = 0 OR (a.is_act AND a.acts = 1)
    )
    SELECT s.canonical_id, (row_number() OVER (PARTITION BY s.canonical_id ORDER BY s.occurred_at, s.kind, s.id))::integer, s.occurred_at,
           ('{detractor,passive,promoter,advocate}'::text[])[s.place], s.place::smallint, s.last_score,
           ('{score,referral,review}'::text[])[s.kind + 1], s.id
    FROM standing AS s;
END
$$;

COMMENT ON FUNCTION cxm.value_ladder_standings(text, tstzrange, bigint[]) IS
'Where customers, as known today, stood on the value ladder of a metric of family nps, one row a standing, numbered 1, 2, ... for each customer (profile_id). A standing is a score (0 to 6 detractor, 7 and 8 passive, 9 and 10 promoter; position 1, 2, 3) or the first act of advocacy of a promoter: a code that somebody else came by (cx.referral) or a public review of 4 or 5 of 1 to 5 stars, or of 9 or 10 of 0 to 10 (cause referral or review). With it the promoter is an advocate (position 4), and remains one with further scores of 9 and 10, until a score below. Acts of others than promoters are no standing. score: the score that held then; record_id: key of the score or review (cx.feedback) or of the referral (cx.referral). Of one time scores come first, by feedback_id, then referrals, then reviews. Answers without a score, without a customer, or on another scale than 0 to 10 do not count. during: nothing after its end is read, everything before it is, whatever its beginning. profile_ids: only these customers, by any profile_id that they have or had; NULL = everybody. Error 42704: an unknown metric; 22023: one of another family.';

CREATE FUNCTION cxm.value_ladder_moves(metric text DEFAULT 'nps', during tstzrange DEFAULT NULL, profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    profile_id bigint,
    number integer,
    from_at timestamptz,
    from_rung text,
    from_score smallint,
    to_at timestamptz,
    to_rung text,
    to_score smallint,
    cause text,
    record_id bigint,
    dwell interval,
    climbed smallint,
    follow_up text,
    outcome text,
    touchpoints text[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 100000
SET search_path = pg_catalog, pg_temp
-- how many moves there are is not known when it is planned
SET enable_nestloop = off
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_identifiers bigint[];
    v_owners bigint[];
BEGIN
    IF profile_ids IS NOT NULL THEN
        SELECT m.identifiers, m.owners INTO v_identifiers, v_owners FROM cxm.value_ladder_identifiers(profile_ids) AS m;
    END IF;

    RETURN QUERY
    WITH paired AS (
        SELECT s.*, lag(s.at) OVER customer AS from_at, lag(s.rung) OVER customer AS from_rung, lag(s.position) OVER customer AS from_position,
               lag(s.score) OVER customer AS from_score
        FROM cxm.value_ladder_standings(value_ladder_moves.metric, during, profile_ids) AS s
        WINDOW customer AS (PARTITION BY s.profile_id ORDER BY s.number)
    ), moved AS MATERIALIZED (
        SELECT p.* FROM paired AS p WHERE p.number > 1 AND (during IS NULL OR p.at <@ during)
    ), customer AS NOT MATERIALIZED (
        SELECT i.identifier_id, p.canonical_id
        FROM cx.identifier AS i
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        WHERE v_identifiers IS NULL
        UNION ALL
        SELECT u.identifier_id, u.canonical_id
        FROM unnest(v_identifiers, v_owners) AS u(identifier_id, canonical_id)
        WHERE v_identifiers IS NOT NULL
    ), attended AS (
        -- a follow-up that had not come to its end before, as it stood at the move
        SELECT m.profile_id, m.number, coalesce(bool_or(e.is_closed), false) AS is_closed,
               (array_agg(e.outcome ORDER BY e.resolved_at DESC, f.follow_up_id DESC) FILTER (WHERE e.is_closed))[1] AS outcome
        FROM moved AS m
        JOIN customer AS c ON c.canonical_id = m.profile_id
        JOIN cx.follow_up AS f ON f.identifier_id = c.identifier_id AND f.occurred_at < m.at AND (v_identifiers IS NULL OR f.identifier_id = ANY (v_identifiers))
        CROSS JOIN LATERAL (
            SELECT w.state, w.outcome, w.resolved_at, w.state IN ('resolved', 'closed') AS is_closed
            FROM (
                SELECT (array_agg(v.to_state ORDER BY v.event_id DESC))[1] AS state,
                       (array_agg(v.changes -> 'outcome' ->> 1 ORDER BY v.event_id DESC) FILTER (WHERE v.changes ? 'outcome'))[1] AS outcome,
                       max(v.moved_at) FILTER (WHERE v.to_state = 'resolved' AND v.from_state <> 'resolved') AS resolved_at
                FROM cx.follow_up_event AS v
                WHERE v.follow_up_id = f.follow_up_id AND v.moved_at < m.at
            ) AS w
            WHERE w.state IN ('open', 'in_progress', 'waiting') OR (w.state IN ('resolved', 'closed') AND w.resolved_at >= m.from_at)
        ) AS e
        GROUP BY m.profile_id, m.number
    ), passed AS (
        SELECT m.profile_id, m.number, array_agg(DISTINCT t.key::text ORDER BY t.key::text) AS touchpoints
        FROM moved AS m
        JOIN customer AS c ON c.canonical_id = m.profile_id
        JOIN (
            SELECT e.identifier_id, e.occurred_at, e.touchpoint_id FROM cx.event AS e
            WHERE e.touchpoint_id IS NOT NULL AND (v_identifiers IS NULL OR e.identifier_id = ANY (v_identifiers))
            UNION ALL
            SELECT b.identifier_id, b.occurred_at, b.touchpoint_id FROM cx.purchase AS b
            WHERE b.touchpoint_id IS NOT NULL AND (v_identifiers IS NULL OR b.identifier_id = ANY (v_identifiers))
        ) AS r ON r.identifier_id = c.identifier_id AND r.occurred_at > m.from_at AND r.occurred_at < m.at
        JOIN cx.touchpoint AS t ON t.touchpoint_id = r.touchpoint_id
        GROUP BY m.profile_id, m.number
    )
    SELECT m.profile_id, m.number - 1, m.from_at, m.from_rung, m.from_score, m.at, m.rung, m.score, m.cause, m.record_id, m.at - m.from_at,
           m.position - m.from_position,
           CASE WHEN a.is_closed THEN 'closed' WHEN a.profile_id IS NOT NULL THEN 'open' ELSE 'none' END,
           a.outcome, coalesce(p.touchpoints, '{}')
    FROM moved AS m
    LEFT JOIN attended AS a ON a.profile_id = m.profile_id AND a.number = m.number
    LEFT JOIN passed AS p ON p.profile_id = m.profile_id AND p.number = m.number
    ORDER BY m.profile_id, m.number;
END
$$;

COMMENT ON FUNCTION cxm.value_ladder_moves(text, tstzrange, bigint[]) IS
'From each standing of a customer on the value ladder (cxm.value_ladder_standings(), which has the definitions) to the next, one row a pair, also where the rung is the same; number: 1, 2, ... for each customer. during: moves that ended (to_at) in that range, the standing before it may lie before the range, and nothing after its end is read; NULL = all. profile_ids: only these customers, by any profile_id that they have or had; NULL = everybody. cause: what the new standing is from, a score, a referral or a review, record_id its key. dwell: time from the one to the other, a day being 24 hours. climbed: rungs up, or down where it is negative. follow_up: how the customer''s follow-ups stood at to_at that were about something before it and had not been resolved before from_at: closed when one was resolved or closed, else open, none when there was none or they were cancelled; outcome: of the one closed last, NULL when none. touchpoints: keys of those that events and purchases of the customer name between the two, excluding both times, each once, in order; empty when there are none. Errors as of cxm.value_ladder_standings().';

CREATE FUNCTION cxm.value_ladder(metric text DEFAULT 'nps', during tstzrange DEFAULT NULL, segment_trait text DEFAULT NULL,
                                 confidence double precision DEFAULT 0.95, profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    segment text,
    from_rung text,
    to_rung text,
    moves bigint,
    customers bigint,
    share double precision,
    lower double precision,
    upper double precision,
    median_dwell interval,
    p90_dwell interval)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 17
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    v_identifiers bigint[];
BEGIN
    IF profile_ids IS NOT NULL THEN
        v_identifiers := (SELECT m.identifiers FROM cxm.value_ladder_identifiers(profile_ids) AS m);
    END IF;

    RETURN QUERY
    WITH stood AS MATERIALIZED (
        SELECT s.profile_id, t.value AS segment, s.at, s.position,
               lead(s.at) OVER customer AS next_at, lead(s.position) OVER customer AS next_position
        FROM cxm.value_ladder_standings(value_ladder.metric, during, profile_ids) AS s
        LEFT JOIN cxm.trait_values(segment_trait, v_identifiers) AS t ON t.profile_id = s.profile_id
        WINDOW customer AS (PARTITION BY s.profile_id ORDER BY s.number)
    ), counted AS (
        SELECT s.segment, s.position, s.next_position, count(s.next_at) AS moves, count(DISTINCT s.profile_id) AS customers,
               percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY s.next_at - s.at) AS dwell
        FROM stood AS s
        WHERE s.next_at IS NULL OR during IS NULL OR s.next_at <@ during
        GROUP BY s.segment, s.position, s.next_position
    ), cell AS (
        -- nobody becomes an advocate but from promoter, nor a mere promoter from advocate
        SELECT g.segment, f.position, t.position AS next_position
        FROM (SELECT DISTINCT s.segment FROM stood AS s) AS g
        CROSS JOIN generate_series(1, 4) AS f(position)
        CROSS JOIN (VALUES (1), (2), (3), (4), (NULL)) AS t(position)
        WHERE t.position IS NULL
           OR CASE t.position WHEN 4 THEN f.position >= 3 WHEN 3 THEN f.position <= 3 ELSE true END
    ), summed AS (
        SELECT e.segment, e.position, e.next_position, coalesce(c.moves, 0) AS moves, coalesce(c.customers, 0) AS customers, c.dwell,
               (sum(coalesce(c.moves, 0)) OVER (PARTITION BY e.segment, e.position))::bigint AS moves_from
        FROM cell AS e
        LEFT JOIN counted AS c ON c.segment IS NOT DISTINCT FROM e.segment AND c.position = e.position AND c.next_position IS NOT DISTINCT FROM e.next_position
    )
    SELECT s.segment, n.rungs[s.position], coalesce(n.rungs[s.next_position], 'none'), s.moves, s.customers,
           CASE WHEN s.next_position IS NOT NULL THEN s.moves::double precision / nullif(s.moves_from, 0) END,
           CASE WHEN s.next_position IS NOT NULL THEN i.lower END, CASE WHEN s.next_position IS NOT NULL THEN i.upper END,
           s.dwell[1], s.dwell[2]
    FROM summed AS s
    CROSS JOIN (SELECT '{detractor,passive,promoter,advocate}'::text[] AS rungs) AS n
    CROSS JOIN LATERAL cxm.proportion_interval(s.moves, s.moves_from, confidence) AS i
    ORDER BY s.segment COLLATE "C", s.position, s.next_position;
END
$$;

COMMENT ON FUNCTION cxm.value_ladder(text, tstzrange, text, double precision, bigint[]) IS
'The transition matrix of the value ladder (cxm.value_ladder_standings() has the definitions): from each rung to each that the next standing can be on. moves: how often; customers: of how many; share: of the moves from that rung, 0 to 1, with Wilson''s interval (lower, upper) at that confidence; NULL when there is no move from it. median_dwell, p90_dwell: time from standing to standing of these moves, NULL when there are none. Rows with to_rung none are no moves: they count the customers who stand on that rung, there being no next standing yet, each customer once; they are in no share. during: moves that ended in that range, and who stands where at its end. segment_trait: one matrix for each value of that trait, as the golden record of the customer has it today, NULL for those without; left out, one matrix with segment NULL. 17 rows a segment, none when nobody has a standing. profile_ids and errors as of cxm.value_ladder_standings(); 22023 also when confidence is not between 0 and 1.';

CREATE FUNCTION cxm.value_ladder_between(metric text DEFAULT 'nps', during tstzrange DEFAULT NULL, from_rung text DEFAULT NULL,
                                         confidence double precision DEFAULT 0.95, profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    dimension text,
    key text,
    moves bigint,
    customers bigint,
    climbed bigint,
    climbed_share double precision,
    climbed_lower double precision,
    climbed_upper double precision,
    stayed bigint,
    stayed_share double precision,
    stayed_lower double precision,
    stayed_upper double precision,
    fell bigint,
    fell_share double precision,
    fell_lower double precision,
    fell_upper double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 20
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF from_rung <> ALL ('{detractor,passive,promoter,advocate}'::text[]) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('the value ladder has no rung "%s"', left(from_rung, 100)),
            HINT = 'Rungs are detractor, passive, promoter and advocate; leave from_rung out for all of them.';
    END IF;

    RETURN QUERY
    WITH moved AS MATERIALIZED (
        SELECT m.profile_id, m.climbed, m.follow_up, m.outcome, m.touchpoints
        FROM cxm.value_ladder_moves(value_ladder_between.metric, during, profile_ids) AS m
        WHERE m.from_rung = coalesce(value_ladder_between.from_rung, m.from_rung)
    ), met AS (
        SELECT 1 AS place, 'all' AS dimension, NULL::text AS key, m.profile_id, m.climbed FROM moved AS m
        UNION ALL
        SELECT 2, 'follow_up', m.follow_up, m.profile_id, m.climbed FROM moved AS m
        UNION ALL
        SELECT 3, 'outcome', m.outcome, m.profile_id, m.climbed FROM moved AS m WHERE m.follow_up = 'closed'
        UNION ALL
        SELECT 4, 'touchpoint', t.key, m.profile_id, m.climbed FROM moved AS m LEFT JOIN LATERAL unnest(m.touchpoints) AS t(key) ON true
    ), counted AS (
        SELECT e.place, e.dimension, e.key, count(*) AS moves, count(DISTINCT e.profile_id) AS customers,
               count(*) FILTER (WHERE e.climbed > 0) AS climbed, count(*) FILTER (WHERE e.climbed = 0) AS stayed, count(*) FILTER (WHERE e.climbed < 0) AS fell
        FROM met AS e
        GROUP BY e.place, e.dimension, e.key
    )
    SELECT c.dimension, c.key, c.moves, c.customers,
           c.climbed, c.climbed::double precision / c.moves, u.lower, u.upper,
           c.stayed, c.stayed::double precision / c.moves, s.lower, s.upper,
           c.fell, c.fell::double precision / c.moves, d.lower, d.upper
    FROM counted AS c
    CROSS JOIN LATERAL cxm.proportion_interval(c.climbed, c.moves, confidence) AS u
    CROSS JOIN LATERAL cxm.proportion_interval(c.stayed, c.moves, confidence) AS s
    CROSS JOIN LATERAL cxm.proportion_interval(c.fell, c.moves, confidence) AS d
    ORDER BY c.place, c.key COLLATE "C" NULLS FIRST;
END
$$;

COMMENT ON FUNCTION cxm.value_ladder_between(text, tstzrange, text, double precision, bigint[]) IS
'What lay between the standings of customers who climbed, stayed and fell on the value ladder: moves of cxm.value_ladder_moves() by dimension and key. all: every move (key NULL); follow_up: none, open or closed; outcome: of the moves whose follow_up is closed, NULL = without outcome; touchpoint: passed in between, a move with several in several rows, NULL = passed none. climbed, stayed, fell: how many of moves, their share (0 to 1) and Wilson''s interval at that confidence. from_rung: only moves from there, which makes rows comparable: detractors cannot fall, nor advocates climb; NULL = from all. It shows what goes along with climbing and proves no cause: who was followed up, or came by a touchpoint, may differ in other things (cx.follow_up_lift compares customers who are alike). during, profile_ids and errors as of cxm.value_ladder_moves(); 22023 also for a rung that does not exist and a confidence that is not between 0 and 1. No rows when there is no move.';

CREATE FUNCTION cxm.value_ladder_customers(direction text DEFAULT 'fell', metric text DEFAULT 'nps', during tstzrange DEFAULT NULL, profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    profile_id bigint,
    from_at timestamptz,
    from_rung text,
    from_score smallint,
    to_at timestamptz,
    to_rung text,
    to_score smallint,
    cause text,
    dwell interval,
    climbed smallint,
    follow_up text,
    outcome text,
    touchpoints text[],
    is_last boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 10000
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF (direction IN ('climbed', 'fell')) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('there is no direction %s', coalesce('"' || left(direction, 100) || '"', 'NULL')),
            HINT = 'Directions are climbed and fell.';
    END IF;

    RETURN QUERY
    SELECT m.profile_id, m.from_at, m.from_rung, m.from_score, m.to_at, m.to_rung, m.to_score, m.cause, m.dwell, m.climbed, m.follow_up, m.outcome, m.touchpoints, m.is_last
    FROM (
        SELECT w.*, lead(w.number) OVER (PARTITION BY w.profile_id ORDER BY w.number) IS NULL AS is_last
        FROM cxm.value_ladder_moves(value_ladder_customers.metric, during, profile_ids) AS w
    ) AS m
    WHERE CASE direction WHEN 'climbed' THEN m.climbed > 0 ELSE m.climbed < 0 END
    ORDER BY m.to_at DESC, m.profile_id, m.number DESC;
END
$$;

COMMENT ON FUNCTION cxm.value_ladder_customers(text, text, tstzrange, bigint[]) IS
'Who climbed the value ladder (direction climbed) or fell (fell): the moves of cxm.value_ladder_moves() up or down, newest first, with its columns; is_last: whether the customer has made no move since then up to the end of during, that is, still stands there. Error 22023: another direction; others as of cxm.value_ladder_moves().';
