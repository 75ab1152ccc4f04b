-- The golden record: what several sources said of one person, and which of it holds.
--
-- The aggregates collect observations (profile_merge_agg, rollup), the accessors read them by a policy for each trait
-- (traits, provenance). profile_merge() does both in one step.

---- Type

CREATE TYPE cxm.golden_record;

CREATE FUNCTION cxm.golden_record_in(cstring) RETURNS cxm.golden_record
AS 'MODULE_PATHNAME', 'cxm_golden_record_in'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.golden_record_in(cstring) IS
'Input function of cxm.golden_record. Text that is no golden record raises invalid_text_representation (22P02), a malformed policy invalid_parameter_value (22023).';

CREATE FUNCTION cxm.golden_record_out(cxm.golden_record) RETURNS cstring
AS 'MODULE_PATHNAME', 'cxm_golden_record_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.golden_record_out(cxm.golden_record) IS
'Output function of cxm.golden_record: JSON with the policy, if there is one, and the observations. Equal values have equal text.';

CREATE FUNCTION cxm.golden_record_recv(internal) RETURNS cxm.golden_record
AS 'MODULE_PATHNAME', 'cxm_golden_record_recv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.golden_record_recv(internal) IS
'Binary input function of cxm.golden_record. The text in it is checked as the input function does; another version raises invalid_binary_representation (22P03).';

CREATE FUNCTION cxm.golden_record_send(cxm.golden_record) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_golden_record_send'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.golden_record_send(cxm.golden_record) IS
'Binary output function of cxm.golden_record: a byte with the format version, then the text form.';

CREATE TYPE cxm.golden_record (
    INPUT = cxm.golden_record_in,
    OUTPUT = cxm.golden_record_out,
    RECEIVE = cxm.golden_record_recv,
    SEND = cxm.golden_record_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = extended
);

COMMENT ON TYPE cxm.golden_record IS
'What sources said of one person: for each trait, value and source when it was first and last said and how often, and the policy that chooses among the values when the record is read. Text form: {"policy": {...}, "observations": [{"trait": "city", "value": "Kiel", "source": "crm", "first_at": "2025-01-31T12:00:00+00:00", "last_at": "2025-01-31T12:00:00+00:00", "times": 1}]}; without a policy, the most recent value holds.';

---- Collecting

CREATE FUNCTION cxm.observe(record cxm.golden_record, traits jsonb, observed_at timestamptz, source text) RETURNS cxm.golden_record
AS 'MODULE_PATHNAME', 'cxm_golden_record_observe'
LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.observe(cxm.golden_record, jsonb, timestamptz, text) IS
'Adds what a source said at a time to a golden record (NULL = an empty one); transition function of cxm.profile_merge_agg(traits, observed_at, source). The record itself when traits is NULL. source NULL = not known. Traits that are not an object raise invalid_parameter_value (22023), a NULL time null_value_not_allowed (22004).';

CREATE FUNCTION cxm.observe(record cxm.golden_record, traits jsonb, observed_at timestamptz, source text, policy jsonb) RETURNS cxm.golden_record
AS 'MODULE_PATHNAME', 'cxm_golden_record_observe_by_policy'
LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.observe(cxm.golden_record, jsonb, timestamptz, text, jsonb) IS
'Adds what a source said at a time to a golden record with a policy; transition function of cxm.profile_merge_agg(traits, observed_at, source, policy). As cxm.observe() without a policy; a malformed policy, or one that differs from that of the record, raises invalid_parameter_value (22023). policy NULL = the default.';

CREATE FUNCTION cxm.golden_record_add(a cxm.golden_record, b cxm.golden_record) RETURNS cxm.golden_record
AS 'MODULE_PATHNAME', 'cxm_golden_record_add'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.golden_record_add(cxm.golden_record, cxm.golden_record) IS
'All observations of both; combine function of the aggregates. Different policies raise invalid_parameter_value (22023). NULL when an argument is NULL.';

CREATE FUNCTION cxm.with_policy(record cxm.golden_record, policy jsonb) RETURNS cxm.golden_record
AS 'MODULE_PATHNAME', 'cxm_golden_record_with_policy'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.with_policy(cxm.golden_record, jsonb) IS
'The same observations under another policy: {"trait": {"policy": name, "sources": [best, ...]}, ...}, with "*" for all traits that are not named; {} = the most recent value of each. Names: most_recent, oldest, most_frequent, source_rank (needs sources), max, min, sum, union, non_empty. An unknown or malformed policy raises invalid_parameter_value (22023). NULL when an argument is NULL.';

---- Reading

CREATE FUNCTION cxm.traits(record cxm.golden_record) RETURNS jsonb
AS 'MODULE_PATHNAME', 'cxm_golden_record_traits'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 10;

COMMENT ON FUNCTION cxm.traits(cxm.golden_record) IS
'The golden record as {"trait": value, ...}: of each trait the value that wins by its policy. Traits without a value (the most recent observation is JSON null, say) are left out. NULL when the record is NULL.';

CREATE FUNCTION cxm.provenance(
    record cxm.golden_record,
    OUT trait text,
    OUT value jsonb,
    OUT source text,
    OUT observed_at timestamptz,
    OUT beaten jsonb,
    OUT policy text,
    OUT supported_by jsonb
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_golden_record_provenance'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 20 ROWS 10;

COMMENT ON FUNCTION cxm.provenance(cxm.golden_record) IS
'A row a trait, by name: the value that wins (NULL when the trait has none), the source and time of the observation that decided (of a sum or union: of its latest part; source NULL = not known), what was beaten, the policy, and who says the same. beaten and supported_by are arrays, the latest first, of {"value", "source", "observed_at", "first_observed_at", "observations"}, one for each value and source, with times in UTC; [] when there are none. No rows when the record is NULL.';

---- Aggregates

CREATE AGGREGATE cxm.profile_merge_agg(traits jsonb, observed_at timestamptz, source text) (
    SFUNC = cxm.observe,
    STYPE = cxm.golden_record,
    SSPACE = 2048,
    COMBINEFUNC = cxm.golden_record_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.profile_merge_agg(jsonb, timestamptz, text) IS
'Golden record of one person out of observations; the most recent value of each trait holds until cxm.with_policy() says otherwise. The order of rows does not matter. Rows whose traits are NULL count for nothing; source NULL = not known. NULL when nothing was observed. Traits that are not an object raise invalid_parameter_value (22023), a NULL time null_value_not_allowed (22004).';

CREATE AGGREGATE cxm.profile_merge_agg(traits jsonb, observed_at timestamptz, source text, policy jsonb) (
    SFUNC = cxm.observe,
    STYPE = cxm.golden_record,
    SSPACE = 2048,
    COMBINEFUNC = cxm.golden_record_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.profile_merge_agg(jsonb, timestamptz, text, jsonb) IS
'Golden record of one person out of observations, read by a policy (see cxm.with_policy()), which must be the same in all rows; NULL = the default. Otherwise as cxm.profile_merge_agg(traits, observed_at, source). A malformed policy, or several, raises invalid_parameter_value (22023).';

CREATE AGGREGATE cxm.profile_merge(traits jsonb, observed_at timestamptz, source text) (
    SFUNC = cxm.observe,
    STYPE = cxm.golden_record,
    SSPACE = 2048,
    FINALFUNC = cxm.traits,
    COMBINEFUNC = cxm.golden_record_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.profile_merge(jsonb, timestamptz, text) IS
'The most recent value of each trait as {"trait": value, ...}: cxm.traits(cxm.profile_merge_agg(traits, observed_at, source)) in one step.';

CREATE AGGREGATE cxm.profile_merge(traits jsonb, observed_at timestamptz, source text, policy jsonb) (
    SFUNC = cxm.observe,
    STYPE = cxm.golden_record,
    SSPACE = 2048,
    FINALFUNC = cxm.traits,
    COMBINEFUNC = cxm.golden_record_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.profile_merge(jsonb, timestamptz, text, jsonb) IS
'The value of each trait that wins by the policy, as {"trait": value, ...}: cxm.traits(cxm.profile_merge_agg(traits, observed_at, source, policy)) in one step.';

CREATE AGGREGATE cxm.rollup(record cxm.golden_record) (
    SFUNC = cxm.golden_record_add,
    STYPE = cxm.golden_record,
    SSPACE = 2048,
    COMBINEFUNC = cxm.golden_record_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.rollup(cxm.golden_record) IS
'All observations of many golden records as one. NULL records are skipped; NULL when there are none. Different policies raise invalid_parameter_value (22023).';
