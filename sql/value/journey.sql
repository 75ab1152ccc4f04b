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
    STORAGE = main
);

COMMENT ON TYPE cxm.journey IS
'The events of a customer: a multiset of times (timestamptz, finite, to the microsecond) and codes (any integer), kept in the order of time and code, duplicates included. 16 bytes, and for an event 1, 2 or 4 bytes of code (0 to 255, 0 to 65535, others) and as many bits as the span of the journey needs in the largest unit (day to microsecond) that fits all its times. Text form: {2026-03-01T09:00:00Z 1,2026-03-01T09:05:30.25Z 2}; {} has no events.';

---- Sum, difference, order

CREATE FUNCTION cxm.journey_add(a cxm.journey, b cxm.journey) RETURNS cxm.journey
AS 'MODULE_PATHNAME', 'cxm_journey_add'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_add(cxm.journey, cxm.journey) IS
'All events of both journeys, duplicates included; the function of the operator + and the combine function of the aggregates. NULL when an argument is NULL.';

CREATE FUNCTION cxm.journey_subtract(a cxm.journey, b cxm.journey) RETURNS cxm.journey
AS 'MODULE_PATHNAME', 'cxm_journey_subtract'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_subtract(cxm.journey, cxm.journey) IS
'The events of the first journey without those of the second, each as often as it is there; the function of the operator -. Exact: a + b - b = a. An event that the first has not, or not as often, raises invalid_parameter_value (22023), which names it. NULL when an argument is NULL.';

CREATE FUNCTION cxm.journey_eq(a cxm.journey, b cxm.journey) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_journey_eq'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_eq(cxm.journey, cxm.journey) IS
'Do both journeys have the same events, each as often? NULL when an argument is NULL.';

CREATE FUNCTION cxm.journey_ne(a cxm.journey, b cxm.journey) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_journey_ne'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_ne(cxm.journey, cxm.journey) IS
'Do the two journeys differ in any event? NULL when an argument is NULL.';

CREATE FUNCTION cxm.journey_lt(a cxm.journey, b cxm.journey) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_journey_lt'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_lt(cxm.journey, cxm.journey) IS
'Does the first journey sort before the second? Event by event, each by time and code; the beginning of a journey sorts before the whole. NULL when an argument is NULL.';

CREATE FUNCTION cxm.journey_le(a cxm.journey, b cxm.journey) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_journey_le'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_le(cxm.journey, cxm.journey) IS
'Does the first journey sort before the second or equal it? NULL when an argument is NULL.';

CREATE FUNCTION cxm.journey_gt(a cxm.journey, b cxm.journey) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_journey_gt'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_gt(cxm.journey, cxm.journey) IS
'Does the first journey sort after the second? NULL when an argument is NULL.';

CREATE FUNCTION cxm.journey_ge(a cxm.journey, b cxm.journey) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_journey_ge'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_ge(cxm.journey, cxm.journey) IS
'Does the first journey sort after the second or equal it? NULL when an argument is NULL.';

CREATE FUNCTION cxm.journey_cmp(a cxm.journey, b cxm.journey) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_journey_cmp'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_cmp(cxm.journey, cxm.journey) IS
'Btree comparison: negative, 0 or positive. 0 means equal bytes.';

CREATE FUNCTION cxm.journey_hash(journey cxm.journey) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_journey_hash'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_hash(cxm.journey) IS
'Hash of the journey.';

CREATE FUNCTION cxm.journey_hash_extended(journey cxm.journey, seed bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_journey_hash_extended'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.journey_hash_extended(cxm.journey, bigint) IS
'64-bit hash of the journey with a seed, for hash partitions and hash joins.';

CREATE OPERATOR cxm.+ (
    LEFTARG = cxm.journey,
    RIGHTARG = cxm.journey,
    FUNCTION = cxm.journey_add,
    COMMUTATOR = OPERATOR(cxm.+)
);

COMMENT ON OPERATOR cxm.+ (cxm.journey, cxm.journey) IS 'all events of both';

CREATE OPERATOR cxm.- (
    LEFTARG = cxm.journey,
    RIGHTARG = cxm.journey,
    FUNCTION = cxm.journey_subtract
);

COMMENT ON OPERATOR cxm.- (cxm.journey, cxm.journey) IS 'the events of the first without those of the second';

CREATE OPERATOR cxm.= (
    LEFTARG = cxm.journey,
    RIGHTARG = cxm.journey,
    FUNCTION = cxm.journey_eq,
    COMMUTATOR = OPERATOR(cxm.=),
    NEGATOR = OPERATOR(cxm.<>),
    RESTRICT = pg_catalog.eqsel,
    JOIN = pg_catalog.eqjoinsel,
    HASHES,
    MERGES
);

COMMENT ON OPERATOR cxm.= (cxm.journey, cxm.journey) IS 'equal';

CREATE OPERATOR cxm.<> (
    LEFTARG = cxm.journey,
    RIGHTARG = cxm.journey,
    FUNCTION = cxm.journey_ne,
    COMMUTATOR = OPERATOR(cxm.<>),
    NEGATOR = OPERATOR(cxm.=),
    RESTRICT = pg_catalog.neqsel,
    JOIN = pg_catalog.neqjoinsel
);

COMMENT ON OPERATOR cxm.<> (cxm.journey, cxm.journey) IS 'not equal';

CREATE OPERATOR cxm.< (
    LEFTARG = cxm.journey,
    RIGHTARG = cxm.journey,
    FUNCTION = cxm.journey_lt,
    COMMUTATOR = OPERATOR(cxm.>),
    NEGATOR = OPERATOR(cxm.>=),
    RESTRICT = pg_catalog.scalarltsel,
    JOIN = pg_catalog.scalarltjoinsel
);

COMMENT ON OPERATOR cxm.< (cxm.journey, cxm.journey) IS 'sorts before';

CREATE OPERATOR cxm.<= (
    LEFTARG = cxm.journey,
    RIGHTARG = cxm.journey,
    FUNCTION = cxm.journey_le,
    COMMUTATOR = OPERATOR(cxm.>=),
    NEGATOR = OPERATOR(cxm.>),
    RESTRICT = pg_catalog.scalarlesel,
    JOIN = pg_catalog.scalarlejoinsel
);

COMMENT ON OPERATOR cxm.<= (cxm.journey, cxm.journey) IS 'sorts before or is equal';

CREATE OPERATOR cxm.> (
    LEFTARG = cxm.journey,
    RIGHTARG = cxm.journey,
    FUNCTION = cxm.journey_gt,
    COMMUTATOR = OPERATOR(cxm.<),
    NEGATOR = OPERATOR(cxm.<=),
    RESTRICT = pg_catalog.scalargtsel,
    JOIN = pg_catalog.scalargtjoinsel
);

COMMENT ON OPERATOR cxm.> (cxm.journey, cxm.journey) IS 'sorts after';

CREATE OPERATOR cxm.>= (
    LEFTARG = cxm.journey,
    RIGHTARG = cxm.journey,
    FUNCTION = cxm.journey_ge,
    COMMUTATOR = OPERATOR(cxm.<=),
    NEGATOR = OPERATOR(cxm.<),
    RESTRICT = pg_catalog.scalargesel,
    JOIN = pg_catalog.scalargejoinsel
);

COMMENT ON OPERATOR cxm.>= (cxm.journey, cxm.journey) IS 'sorts after or is equal';

CREATE OPERATOR CLASS cxm.journey_ops DEFAULT FOR TYPE cxm.journey USING btree AS
    OPERATOR 1 cxm.<,
    OPERATOR 2 cxm.<=,
    OPERATOR 3 cxm.=,
    OPERATOR 4 cxm.>=,
    OPERATOR 5 cxm.>,
    FUNCTION 1 cxm.journey_cmp(cxm.journey, cxm.journey),
    FUNCTION 4 (cxm.journey, cxm.journey) pg_catalog.btequalimage(oid);

CREATE OPERATOR CLASS cxm.journey_ops DEFAULT FOR TYPE cxm.journey USING hash AS
    OPERATOR 1 cxm.=,
    FUNCTION 1 cxm.journey_hash(cxm.journey),
    FUNCTION 2 cxm.journey_hash_extended(cxm.journey, bigint);

---- Building

CREATE FUNCTION cxm.append(journey cxm.journey, at timestamptz, code integer) RETURNS cxm.journey
AS 'MODULE_PATHNAME', 'cxm_journey_append'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.append(cxm.journey, timestamptz, integer) IS
'The journey with one event more, at its place whatever the order; a duplicate counts. An infinite time raises datetime_field_overflow (22008). NULL when an argument is NULL. Also the transition function of cxm.journey_agg.';

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
'The journey of all rows, one event a row, in whatever order they come. Rows with a NULL argument are skipped; no rows give {}. An infinite time raises datetime_field_overflow (22008), more than 134 million events in a group (214 million of whole seconds with codes below 256, 89 million where codes are beyond 65535 or times years apart) program_limit_exceeded (54000).';

CREATE AGGREGATE cxm.rollup(journey cxm.journey) (
    SFUNC = cxm.journey_add, STYPE = cxm.journey, SSPACE = 512, INITCOND = '{}',
    FINALFUNC = cxm.journey_pack,
    COMBINEFUNC = cxm.journey_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.rollup(cxm.journey) IS
'All events of all journeys, as if one had been built from all rows. NULL is skipped; no rows give {}. More than 134 million events in a group (214 million of whole seconds with codes below 256, 89 million where codes are beyond 65535 or times years apart) raise program_limit_exceeded (54000).';

---- Reading

CREATE FUNCTION cxm.count(journey cxm.journey) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_journey_count'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.count(cxm.journey) IS
'Number of events, 0 or more. NULL for NULL. Not an aggregate: it counts the events of one journey, count(*) counts rows.';

CREATE FUNCTION cxm.first_at(journey cxm.journey) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'cxm_journey_first_at'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.first_at(cxm.journey) IS
'Time of the first event. NULL where there is none, and for NULL.';

CREATE FUNCTION cxm.last_at(journey cxm.journey) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'cxm_journey_last_at'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.last_at(cxm.journey) IS
'Time of the last event. NULL where there is none, and for NULL.';

CREATE FUNCTION cxm.duration(journey cxm.journey) RETURNS interval
AS 'MODULE_PATHNAME', 'cxm_journey_duration'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.duration(cxm.journey) IS
'From the first to the last event, in days of 24 hours and a time of day, like last_at - first_at; 0 for one event. NULL where there is none, and for NULL. More than 292000 years raise datetime_field_overflow (22008).';

CREATE FUNCTION cxm.slice(journey cxm.journey, during tstzrange) RETURNS cxm.journey
AS 'MODULE_PATHNAME', 'cxm_journey_slice'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.slice(cxm.journey, tstzrange) IS
'The events in a range of time, its bounds as they are written: [ and ] with, ( and ) without, none where it is open. {} for an empty range. NULL when an argument is NULL.';

CREATE FUNCTION cxm.filter_codes(journey cxm.journey, codes integer[]) RETURNS cxm.journey
AS 'MODULE_PATHNAME', 'cxm_journey_filter_codes'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.filter_codes(cxm.journey, integer[]) IS
'The events whose code is one of the array. {} for an empty array. A NULL in it raises null_value_not_allowed (22004). NULL when an argument is NULL.';

CREATE FUNCTION cxm.events(journey cxm.journey, OUT at timestamptz, OUT code integer) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_journey_events'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
ROWS 40;

COMMENT ON FUNCTION cxm.events(cxm.journey) IS
'A row for each event: its time and code, in order, duplicates as often as they are there. No rows for NULL.';
