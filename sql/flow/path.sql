-- Sequences and paths over the store: what customers do before and after something, by the names of the steps.
--
-- A step is named as cxm.journey_codes() takes it; several with | between them are any of these.

CREATE FUNCTION cxm.sequence_customers(
    pattern text,
    steps text[],
    during tstzrange DEFAULT NULL,
    profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    profile_id bigint,
    matches bigint,
    matched_at timestamptz[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 10000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_steps jsonb;
BEGIN
    PERFORM cxm.store_version();
    SELECT coalesce(jsonb_agg(to_jsonb(cxm.journey_codes(s)) ORDER BY n), '[]') INTO v_steps FROM unnest(steps) WITH ORDINALITY AS u (s, n);
    -- a pattern that is none is an error on an empty store, too
    PERFORM cxm.matches('{}', pattern, v_steps);
    RETURN QUERY
    SELECT m.profile_id, m.matches, cxm.match_events(m.journey, sequence_customers.pattern, v_steps)
    FROM (SELECT j.profile_id, j.journey, cxm.count_matches(j.journey, sequence_customers.pattern, v_steps) AS matches
          FROM cxm.journeys(during, profile_ids) AS j) AS m
    WHERE m.matches > 0;
END
$$;

COMMENT ON FUNCTION cxm.sequence_customers(text, text[], tstzrange, bigint[]) IS
'The customers in whose journeys a pattern occurs: how often, and the times of the events of its first match. (?1), (?2) ... of the pattern are the steps, by name; several names with | between them are any of these. The pattern is that of cxm.matches(). during cuts journeys to a range of time, profile_ids asks for some customers; NULL for either is all. No rows when the pattern is NULL. Errors: those of cxm.matches(); 42704 for an unknown or NULL step.';

CREATE FUNCTION cxm.path_report(
    anchor text DEFAULT NULL,
    direction text DEFAULT 'after',
    steps integer DEFAULT 5,
    collapse boolean DEFAULT true,
    session_gap interval DEFAULT NULL,
    occurrence text DEFAULT 'first',
    during tstzrange DEFAULT NULL,
    profile_ids bigint[] DEFAULT NULL,
    most integer DEFAULT 20)
RETURNS TABLE (
    path text[],
    customers bigint,
    paths bigint,
    share double precision,
    median_time interval)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_anchor integer[] := cxm.journey_codes(anchor);
BEGIN
    PERFORM cxm.store_version();
    -- wrong arguments are an error on an empty store, too
    PERFORM FROM cxm.paths('{}', v_anchor, direction, path_report.steps, collapse, session_gap, occurrence);
    RETURN QUERY
    WITH way AS (
        SELECT j.profile_id, p.path, p.ended_at - p.started_at AS took
        FROM cxm.journeys(during, profile_ids) AS j
        CROSS JOIN LATERAL cxm.paths(j.journey, v_anchor, direction, path_report.steps, collapse, session_gap, occurrence) AS p
    ), counted AS (
        SELECT w.path, count(DISTINCT w.profile_id) AS customers, count(*) AS paths, count(*) / sum(count(*)) OVER ()::double precision AS share,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY w.took) AS median_time
        FROM way AS w
        GROUP BY w.path
        ORDER BY count(*) DESC, w.path
        LIMIT most
    )
    SELECT n.names, c.customers, c.paths, c.share, c.median_time
    FROM counted AS c
    CROSS JOIN LATERAL (SELECT array_agg(cxm.journey_step(u.code) ORDER BY u.i) AS names FROM unnest(c.path) WITH ORDINALITY AS u (code, i)) AS n
    ORDER BY c.paths DESC, c.path;
END
$$;

COMMENT ON FUNCTION cxm.path_report(text, text, integer, boolean, interval, text, tstzrange, bigint[], integer) IS
'The paths that customers take most, from a step on (direction after) or up to one (before): the names of the steps in the order of time with the anchor, how many customers and how many times, which share of all paths (0 to 1), and the median of the time from the first to the last event. Most frequent first, at most so many (most; NULL is all). anchor, steps, collapse, session_gap and occurrence are those of cxm.paths(), with a name for the anchor; NULL is from the beginning, or to the end. during cuts journeys to a range of time, profile_ids asks for some customers; NULL for either is all. Errors: those of cxm.paths(); 42704 for an unknown step.';

CREATE FUNCTION cxm.sankey_report(
    anchor text DEFAULT NULL,
    direction text DEFAULT 'after',
    steps integer DEFAULT 5,
    collapse boolean DEFAULT true,
    session_gap interval DEFAULT NULL,
    occurrence text DEFAULT 'first',
    during tstzrange DEFAULT NULL,
    profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    step_no integer,
    from_step text,
    to_step text,
    customers bigint,
    paths bigint,
    median_time interval)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_anchor integer[] := cxm.journey_codes(anchor);
BEGIN
    PERFORM cxm.store_version();
    PERFORM FROM cxm.path_steps('{}', v_anchor, direction, sankey_report.steps, collapse, session_gap, occurrence);
    RETURN QUERY
    WITH flow AS (
        SELECT p.step_no, p.from_code, p.to_code, count(DISTINCT j.profile_id) AS customers, count(*) AS paths,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY p.gap) AS median_time
        FROM cxm.journeys(during, profile_ids) AS j
        CROSS JOIN LATERAL cxm.path_steps(j.journey, v_anchor, direction, sankey_report.steps, collapse, session_gap, occurrence) AS p
        GROUP BY p.step_no, p.from_code, p.to_code
    )
    SELECT f.step_no, cxm.journey_step(f.from_code), cxm.journey_step(f.to_code), f.customers, f.paths, f.median_time
    FROM flow AS f
    ORDER BY f.step_no, f.paths DESC, f.from_code, f.to_code;
END
$$;

COMMENT ON FUNCTION cxm.sankey_report(text, text, integer, boolean, interval, text, tstzrange, bigint[]) IS
'Flows from step to step of the paths of cxm.path_report() with the same arguments, for a Sankey diagram: number of the step from the anchor on (1, 2 ...) or up to it (-1, -2 ...), the earlier and the later step by name, how many customers and how many times, and the median of the time between them. Paths that are over are rows without to_step (up to an anchor: without from_step) and without a time. In the order of step_no, most frequent first. Errors: those of cxm.paths(); 42704 for an unknown step.';

CREATE FUNCTION cxm.transition_report(
    session_gap interval DEFAULT NULL,
    during tstzrange DEFAULT NULL,
    profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    from_step text,
    to_step text,
    customers bigint,
    n bigint,
    share double precision,
    mean_time interval,
    median_time interval)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.store_version();
    PERFORM FROM cxm.transitions('{}', session_gap);
    RETURN QUERY
    SELECT cxm.journey_step(t.from_code), cxm.journey_step(t.to_code), t.customers, t.n, t.n / (sum(t.n) OVER (PARTITION BY t.from_code))::double precision, t.mean_gap, t.median_gap
    FROM unnest((SELECT cxm.transitions_agg(j.journey, transition_report.session_gap) FROM cxm.journeys(during, profile_ids) AS j)) AS t
    ORDER BY t.n DESC, t.from_code, t.to_code;
END
$$;

COMMENT ON FUNCTION cxm.transition_report(interval, tstzrange, bigint[]) IS
'Which step follows which, over all customers: how many customers and how many times, which share of what follows the first of the two (0 to 1), and the mean and the median of the time between them, as cxm.transitions_agg() says. Most frequent first. With session_gap, a step that comes later than that does not follow. during cuts journeys to a range of time, profile_ids asks for some customers; NULL for either is all. A gap in months, or negative, raises invalid_parameter_value (22023).';

CREATE FUNCTION cxm.session_report(
    gap interval DEFAULT '30 minutes',
    during tstzrange DEFAULT NULL,
    profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    first_step text,
    sessions bigint,
    customers bigint,
    events_per_session double precision,
    single_event_share double precision,
    median_duration interval)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.store_version();
    PERFORM cxm.count_sessions('{}', gap);
    RETURN QUERY
    WITH session AS (
        SELECT s.first_code, count(*) AS sessions, count(DISTINCT j.profile_id) AS customers, avg(s.events)::double precision AS events,
               avg((s.events = 1)::integer)::double precision AS single, percentile_cont(0.5) WITHIN GROUP (ORDER BY s.ended_at - s.started_at) AS duration
        FROM cxm.journeys(during, profile_ids) AS j
        CROSS JOIN LATERAL cxm.sessions(j.journey, gap) AS s
        GROUP BY GROUPING SETS ((s.first_code), ())
    )
    SELECT cxm.journey_step(s.first_code), s.sessions, s.customers, s.events, s.single, s.duration
    FROM session AS s
    WHERE s.sessions > 0
    ORDER BY s.first_code IS NOT NULL, s.sessions DESC, s.first_code;
END
$$;

COMMENT ON FUNCTION cxm.session_report(interval, tstzrange, bigint[]) IS
'Sessions by the step that they begin with, and first, without first_step, all: how many, of how many customers, mean number of events, share of sessions of one event (0 to 1), and the median of the time from the first to the last event. A session ends where the next event comes more than the gap later. during cuts journeys, and so sessions, to a range of time, profile_ids asks for some customers; NULL for either is all. No rows when the gap is NULL or nothing has happened. A gap in months, or negative, raises invalid_parameter_value (22023).';
