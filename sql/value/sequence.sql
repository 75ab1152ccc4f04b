-- Sequences: patterns of events in a journey or in rows, and the event beside a chain of events.
--
-- Steps of one code each are an integer array; steps that are sets of codes are jsonb, such as '[1, [2, 5], 3]'.

---- In journeys

CREATE FUNCTION cxm.matches(journey cxm.journey, pattern text, steps integer[]) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_sequence_matches'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 100;

COMMENT ON FUNCTION cxm.matches(cxm.journey, text, integer[]) IS
'Does the pattern occur in the journey? steps are the codes of step 1, 2 ... Events of other codes are passed over as if they were not there. In the pattern, (?N) is an event of step N, . any event, .* any number of events, and (?t<=S) passes over events up to one at most S seconds after the event taken before (or, behind .*, after the one that it came to); also <, >=, > and ==, up to six decimals. ClickHouse''s sequenceMatch, with events in the order of (at, code). Work is proportional to events times steps, whatever the pattern. NULL when an argument is NULL. Errors: syntax_error (42601) and others name the character of the pattern that is wrong; 22023 a step that there is not, 22003 a time that is too long, 54000 a pattern of more than 16384 elements, 22004 a NULL step.';

CREATE FUNCTION cxm.matches(journey cxm.journey, pattern text, steps jsonb) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_sequence_matches_json'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 100;

COMMENT ON FUNCTION cxm.matches(cxm.journey, text, jsonb) IS
'The same for steps that are sets of codes: a JSON array of codes and arrays of codes, such as [1, [2, 5], 3], where step 2 is code 2 or 5. A step with an empty set never is.';

CREATE FUNCTION cxm.count_matches(journey cxm.journey, pattern text, steps integer[]) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_sequence_count_matches'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 100;

COMMENT ON FUNCTION cxm.count_matches(cxm.journey, text, integer[]) IS
'How often the pattern occurs in the journey, without overlap: each match is the earliest one after that before. ClickHouse''s sequenceCount. Arguments and errors are those of cxm.matches(). NULL when an argument is NULL.';

CREATE FUNCTION cxm.count_matches(journey cxm.journey, pattern text, steps jsonb) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_sequence_count_matches_json'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 100;

COMMENT ON FUNCTION cxm.count_matches(cxm.journey, text, jsonb) IS
'The same for steps that are sets of codes: a JSON array of codes and arrays of codes, such as [1, [2, 5], 3], where step 2 is code 2 or 5. A step with an empty set never is.';

CREATE FUNCTION cxm.match_events(journey cxm.journey, pattern text, steps integer[]) RETURNS timestamptz[]
AS 'MODULE_PATHNAME', 'cxm_sequence_match_events'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 100;

COMMENT ON FUNCTION cxm.match_events(cxm.journey, text, integer[]) IS
'Times of the events that take the (?N) of the pattern, in that order: of the first match, or where there is none, of the earliest of the longest beginnings of the pattern that occur. An empty array where not even the first (?N) occurs. ClickHouse''s sequenceMatchEvents, but what matches here is what cxm.matches() matches. Arguments and errors are those of cxm.matches(). NULL when an argument is NULL.';

CREATE FUNCTION cxm.match_events(journey cxm.journey, pattern text, steps jsonb) RETURNS timestamptz[]
AS 'MODULE_PATHNAME', 'cxm_sequence_match_events_json'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 100;

COMMENT ON FUNCTION cxm.match_events(cxm.journey, text, jsonb) IS
'The same for steps that are sets of codes: a JSON array of codes and arrays of codes, such as [1, [2, 5], 3], where step 2 is code 2 or 5. A step with an empty set never is.';

CREATE FUNCTION cxm.next_step(journey cxm.journey, steps integer[], base text DEFAULT 'first_match', base_codes integer[] DEFAULT NULL) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_sequence_next_step'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 10;

COMMENT ON FUNCTION cxm.next_step(cxm.journey, integer[], text, integer[]) IS
'The code of the event right after a chain of events. steps are the codes of the chain, the first one first. base is where the chain begins: head the first event of the journey, first_match or last_match the first or last event of the first step. base_codes, where not NULL, are the only codes that an event at the base may have. Of one base only: NULL where the chain is not there or nothing comes after it. ClickHouse''s sequenceNextNode with direction forward. NULL when another argument is NULL. Another base or no step raises invalid_parameter_value (22023), a NULL step null_value_not_allowed (22004).';

CREATE FUNCTION cxm.next_step(journey cxm.journey, steps jsonb, base text DEFAULT 'first_match', base_codes integer[] DEFAULT NULL) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_sequence_next_step_json'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 10;

COMMENT ON FUNCTION cxm.next_step(cxm.journey, jsonb, text, integer[]) IS
'The same for steps that are sets of codes: a JSON array of codes and arrays of codes, such as [1, [2, 5], 3], where step 2 is code 2 or 5. A step with an empty set never is.';

CREATE FUNCTION cxm.previous_step(journey cxm.journey, steps integer[], base text DEFAULT 'last_match', base_codes integer[] DEFAULT NULL) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_sequence_previous_step'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 10;

COMMENT ON FUNCTION cxm.previous_step(cxm.journey, integer[], text, integer[]) IS
'The code of the event right before a chain of events that is read backward: steps are its codes, the last event first. base is where it begins: tail the last event of the journey, first_match or last_match the first or last event of the first of the steps. Otherwise as cxm.next_step(). ClickHouse''s sequenceNextNode with direction backward.';

CREATE FUNCTION cxm.previous_step(journey cxm.journey, steps jsonb, base text DEFAULT 'last_match', base_codes integer[] DEFAULT NULL) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_sequence_previous_step_json'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 10;

COMMENT ON FUNCTION cxm.previous_step(cxm.journey, jsonb, text, integer[]) IS
'The same for steps that are sets of codes: a JSON array of codes and arrays of codes, such as [1, [2, 5], 3], where step 2 is code 2 or 5. A step with an empty set never is.';

---- In rows

CREATE FUNCTION cxm.sequence_add_row(state bytea, at timestamptz, conditions boolean[], pattern text) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_sequence_add_row'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.sequence_add_row(bytea, timestamptz, boolean[], text) IS
'Transition function of cxm.matches_agg() and its like: the state and one more row. A row with a NULL is left out; of the conditions, NULL is false. The state is NULL, or what this function gave; other bytes raise invalid_binary_representation (22P03).';

CREATE FUNCTION cxm.sequence_combine(a bytea, b bytea) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_sequence_combine'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.sequence_combine(bytea, bytea) IS
'Combine function of cxm.matches_agg() and its like: the rows of both states. States of different patterns raise invalid_parameter_value (22023). NULL when an argument is NULL.';

CREATE FUNCTION cxm.sequence_matches_final(state bytea) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_sequence_matches_final'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.sequence_matches_final(bytea) IS
'Final function of cxm.matches_agg(). NULL when the state is NULL.';

CREATE FUNCTION cxm.sequence_count_final(state bytea) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_sequence_count_final'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.sequence_count_final(bytea) IS
'Final function of cxm.count_matches_agg(). NULL when the state is NULL.';

CREATE FUNCTION cxm.sequence_events_final(state bytea) RETURNS timestamptz[]
AS 'MODULE_PATHNAME', 'cxm_sequence_events_final'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.sequence_events_final(bytea) IS
'Final function of cxm.match_events_agg(). NULL when the state is NULL.';

CREATE AGGREGATE cxm.matches_agg(at timestamptz, conditions boolean[], pattern text) (
    SFUNC = cxm.sequence_add_row, STYPE = bytea, SSPACE = 256,
    FINALFUNC = cxm.sequence_matches_final,
    COMBINEFUNC = cxm.sequence_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.matches_agg(timestamptz, boolean[], text) IS
'Does the pattern occur in the rows, in the order of at? (?N) is a row of which condition N is true; a row may fulfil several. Rows of which none is true are passed over as if they were not there. Rows of the same time are in the order of their conditions, read as a number of which condition 1 is the lowest bit. The pattern is that of cxm.matches(). In any order of rows, and in parallel. A row with a NULL is left out. NULL without rows. Errors: those of cxm.matches(); 22023 where pattern, 2202E where the number of conditions differs from row to row, 22008 for infinite times, 54000 beyond 1 GB a group.';

CREATE AGGREGATE cxm.count_matches_agg(at timestamptz, conditions boolean[], pattern text) (
    SFUNC = cxm.sequence_add_row, STYPE = bytea, SSPACE = 256,
    FINALFUNC = cxm.sequence_count_final,
    COMBINEFUNC = cxm.sequence_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.count_matches_agg(timestamptz, boolean[], text) IS
'How often the pattern occurs in the rows, without overlap, as cxm.count_matches() counts. Arguments, order, NULL and errors are those of cxm.matches_agg().';

CREATE AGGREGATE cxm.match_events_agg(at timestamptz, conditions boolean[], pattern text) (
    SFUNC = cxm.sequence_add_row, STYPE = bytea, SSPACE = 256,
    FINALFUNC = cxm.sequence_events_final,
    COMBINEFUNC = cxm.sequence_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.match_events_agg(timestamptz, boolean[], text) IS
'Times of the rows that take the (?N) of the pattern, as cxm.match_events() gives them. Arguments, order, NULL and errors are those of cxm.matches_agg().';
