-- Journeys: the events (time, code) of a customer as one packed value, its aggregates and its accessors.

---- Type

CREATE TYPE cxm.journey;

CREATE FUNCTION cxm.journey_in(cstring) RETURNS cxm.journey
AS 'MODULE_PATHNAME', 'cxm_journey_in'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_in(cstring) IS
'Input function of cxm.journey. Events may come in any order; a time needs its distance from UTC (Z, +02, +02:00) and has up to 6 decimal places. Text that is no journey raises invalid_text_representation (22P02), with the place and what is wanted there.';

CREATE FUNCTION cxm.journey_out(cxm.journey) RETURNS cstring
AS 'MODULE_PATHNAME', 'cxm_journey_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_out(cxm.journey) IS
'Output function of cxm.journey: {time code,time code,...} in order, times in UTC as ISO 8601 writes them whatever the settings of the session, years before 1 as 0000 (1 BC), -0001 (2 BC) and so on. Equal values have equal text. A text beyond 1 GB raises program_limit_exceeded (54000).';

CREATE FUNCTION cxm.journey_recv(internal) RETURNS cxm.journey
AS 'MODULE_PATHNAME', 'cxm_journey_recv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_recv(internal) IS
'Binary input function of cxm.journey. Every byte is checked; what is not the one packed form of a journey raises invalid_binary_representation (22P03).';

CREATE FUNCTION cxm.journey_send(cxm.journey) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_journey_send'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_send(cxm.journey) IS
'Binary output function of cxm.journey: the packed bytes as they are stored, little-endian, beginning with the format version.';

CREATE TYPE cxm.journey (
    INPUT = cxm.journey_in,
    OUTPUT = cxm.journey_out,
    RECEIVE = cxm.journey_recv,
    SEND = cxm.journey_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = external
);

COMMENT ON TYPE cxm.journey IS
'The events of a customer: a multiset of times (timestamptz, finite, to the microsecond) and codes (any integer), kept in the order of time and code, duplicates included. 16 bytes, and for an event 1, 2 or 4 bytes of code (0 to 255, 0 to 65535, others) and as many bits as the span of the journey needs in the largest unit (day to microsecond) that fits all its times. Text form: {2026-03-01T09:00:00Z 1,2026-03-01T09:05:30.25Z 2}; {} has no events.';

---- Building

CREATE FUNCTION cxm.append(journey cxm.journey, at timestamptz, code integer) RETURNS cxm.journey
AS 'MODULE_PATHNAME', 'cxm_journey_append'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.append(cxm.journey, timestamptz, integer) IS
'The journey with one event more, at its place whatever the order; a duplicate counts. An infinite time raises datetime_field_overflow (22008). NULL when an argument is NULL. Also the transition function of cxm.journey_agg.';

CREATE FUNCTION cxm.journey_add(a cxm.journey, b cxm.journey) RETURNS cxm.journey
AS 'MODULE_PATHNAME', 'cxm_journey_add'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_add(cxm.journey, cxm.journey) IS
'All events of both journeys, duplicates included; the function of the operator + and the combine function of the aggregates. NULL when an argument is NULL.';

CREATE FUNCTION cxm.journey_pack(state cxm.journey) RETURNS cxm.journey
AS 'MODULE_PATHNAME', 'cxm_journey_pack'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_pack(cxm.journey) IS
'Final function of cxm.journey_agg and cxm.rollup(cxm.journey): sorts and packs what was collected. Any other journey is packed already and stays as it is. NULL for NULL.';

CREATE AGGREGATE cxm.journey_agg(at timestamptz, code integer) (
    SFUNC = cxm.append, STYPE = cxm.journey, SSPACE = 512, INITCOND = '{}',
    FINALFUNC = cxm.journey_pack,
    COMBINEFUNC = cxm.journey_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.journey_agg(timestamptz, integer) IS
'The journey of all rows, one event a row, in whatever order they come. Rows with a NULL argument are skipped; no rows give {}. An infinite time raises datetime_field_overflow (22008), more than 89 million events in a group program_limit_exceeded (54000).';

CREATE AGGREGATE cxm.rollup(journey cxm.journey) (
    SFUNC = cxm.journey_add, STYPE = cxm.journey, SSPACE = 512, INITCOND = '{}',
    FINALFUNC = cxm.journey_pack,
    COMBINEFUNC = cxm.journey_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.rollup(cxm.journey) IS
'All events of all journeys, as if one had been built from all rows. NULL is skipped; no rows give {}. More than 89 million events in a group raise program_limit_exceeded (54000).';
