-- Paths: the sessions of a journey, what follows what in it, and the way from an event on.
--
-- A gap is a fixed length of time: a day is 24 hours, and months are refused. A session ends where the next event comes
-- later than that.

---- Sessions

CREATE FUNCTION cxm.count_sessions(journey cxm.journey, gap interval) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_path_count_sessions_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 50;

COMMENT ON FUNCTION cxm.count_sessions(cxm.journey, interval) IS
'Number of sessions: a new one begins with an event that comes more than the gap after the one before. 0 for an empty journey. A gap in months, or negative, raises invalid_parameter_value (22023). NULL when an argument is NULL.';

CREATE FUNCTION cxm.sessions(journey cxm.journey, gap interval,
    OUT session_no bigint, OUT started_at timestamptz, OUT ended_at timestamptz, OUT events bigint, OUT first_code integer, OUT last_code integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_path_sessions'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 100 ROWS 10;

COMMENT ON FUNCTION cxm.sessions(cxm.journey, interval) IS
'The sessions of a journey, in order: number from 1, time of the first and the last event, how many events, code of the first and the last. A new session begins with an event that comes more than the gap after the one before. cxm.slice(journey, tstzrange(started_at, ended_at, ''[]'')) is the part of the journey. A gap in months, or negative, raises invalid_parameter_value (22023). No rows when an argument is NULL.';

---- Transitions

CREATE FUNCTION cxm.transitions(journey cxm.journey, session_gap interval DEFAULT NULL,
    OUT from_code integer, OUT to_code integer, OUT n bigint, OUT mean_gap interval, OUT median_gap interval)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_path_transitions'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 500 ROWS 20;

COMMENT ON FUNCTION cxm.transitions(cxm.journey, interval) IS
'How often an event of one code is followed, as the next event, by one of another (or the same): a row a pair of codes, in their order, with the mean and the median of the time from the one to the other. With session_gap, an event that comes later than that is not a next one. No rows when the journey is NULL. A gap in months, or negative, raises invalid_parameter_value (22023).';

CREATE TYPE cxm.transition AS (
    from_code integer,
    to_code integer,
    customers bigint,
    n bigint,
    mean_gap interval,
    median_gap interval
);

COMMENT ON TYPE cxm.transition IS
'An element of what cxm.transitions_agg() gives: how often events of from_code are followed by one of to_code (n), in how many journeys (customers), with the mean and the median of the time from the one to the other.';

CREATE FUNCTION cxm.transitions_add(state bytea, journey cxm.journey) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_path_add_transitions'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.transitions_add(bytea, cxm.journey) IS
'Transition function of cxm.transitions_agg(journey): the state with one more journey. A NULL journey is left out. The state is NULL, or what this function gave; other bytes raise invalid_binary_representation (22P03).';

CREATE FUNCTION cxm.transitions_add(state bytea, journey cxm.journey, session_gap interval) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_path_add_transitions'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.transitions_add(bytea, cxm.journey, interval) IS
'Transition function of cxm.transitions_agg(journey, session_gap): the state with one more journey. A NULL journey is left out, a NULL gap is none. The state is NULL, or what this function gave; other bytes raise invalid_binary_representation (22P03).';

CREATE FUNCTION cxm.transitions_combine(a bytea, b bytea) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_path_combine_transitions'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.transitions_combine(bytea, bytea) IS
'Combine function of cxm.transitions_agg(): the transitions of both states. NULL when an argument is NULL.';

CREATE FUNCTION cxm.transitions_final(state bytea) RETURNS cxm.transition[]
AS 'MODULE_PATHNAME', 'cxm_path_transitions_final'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.transitions_final(bytea) IS
'Final function of cxm.transitions_agg(). NULL when the state is NULL.';

CREATE AGGREGATE cxm.transitions_agg(journey cxm.journey) (
    SFUNC = cxm.transitions_add, STYPE = bytea, SSPACE = 4096,
    FINALFUNC = cxm.transitions_final,
    COMBINEFUNC = cxm.transitions_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.transitions_agg(cxm.journey) IS
'Transitions of many journeys, an element of cxm.transition a pair of codes, in their order; unnest() makes rows of them. Each journey is a customer. Medians are exact up to 524288 different times between events; beyond that within 0.2 percent, or where there are too many pairs for that, within 0.8, 3, 13 or 50. In parallel, and the same for any order of journeys. NULL without journeys. Beyond 1 GB of counts program_limit_exceeded (54000).';

CREATE AGGREGATE cxm.transitions_agg(journey cxm.journey, session_gap interval) (
    SFUNC = cxm.transitions_add, STYPE = bytea, SSPACE = 4096,
    FINALFUNC = cxm.transitions_final,
    COMBINEFUNC = cxm.transitions_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.transitions_agg(cxm.journey, interval) IS
'The same within sessions: an event that comes more than session_gap after the one before does not follow it. A gap in months, or negative, raises invalid_parameter_value (22023).';

---- Paths

CREATE FUNCTION cxm.paths(journey cxm.journey, anchor integer[] DEFAULT NULL, direction text DEFAULT 'after', steps integer DEFAULT 5,
    collapse boolean DEFAULT true, session_gap interval DEFAULT NULL, occurrence text DEFAULT 'first',
    OUT path_no bigint, OUT path integer[], OUT started_at timestamptz, OUT ended_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_path_paths'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 100 ROWS 1;

COMMENT ON FUNCTION cxm.paths(cxm.journey, integer[], text, integer, boolean, interval, text) IS
'Paths of a journey from an event of the codes anchor on (direction after), or up to one (before): the codes in the order of time, with the anchor and up to so many steps (1 to 10000) besides, and the time of the first and the last event. anchor NULL begins with the first event, or ends with the last. collapse takes events of one code in a row as one, the first of them. With session_gap, each session has paths of its own, and none leaves it. occurrence is which anchor: first, last or all. path_no counts from 1. No rows where no anchor occurs, or when another argument is NULL. Other words or numbers raise invalid_parameter_value (22023).';

CREATE FUNCTION cxm.path_steps(journey cxm.journey, anchor integer[] DEFAULT NULL, direction text DEFAULT 'after', steps integer DEFAULT 5,
    collapse boolean DEFAULT true, session_gap interval DEFAULT NULL, occurrence text DEFAULT 'first',
    OUT path_no bigint, OUT step_no integer, OUT from_code integer, OUT to_code integer, OUT gap interval)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_path_steps'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 100 ROWS 5;

COMMENT ON FUNCTION cxm.path_steps(cxm.journey, integer[], text, integer, boolean, interval, text) IS
'The steps of cxm.paths() with the same arguments, for a diagram of flows: from the anchor on, step_no is 1, 2 ...; up to it, -1, -2 ... from_code is the earlier event, to_code the later one, gap the time between them. Where a path has fewer steps than asked for, a last row says so: to_code (before the anchor: from_code) and gap are NULL.';
