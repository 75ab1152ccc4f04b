-- Funnels: how far a journey, or a group of rows, comes through a sequence of steps within a window of time.
--
-- Steps of one code each are an integer array; steps that are sets of codes are jsonb, such as '[1, [2, 5], 3]', which
-- reads as what it is and is put together by to_jsonb() and jsonb_agg(). What each mode means is in docs/funnel.md.

---- Journeys

CREATE FUNCTION cxm.funnel(
    journey cxm.journey,
    steps integer[],
    within interval,
    mode text DEFAULT 'default',
    exclusions jsonb DEFAULT '[]',
    on_exclusion text DEFAULT 'remove')
RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_funnel_array'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 50;

COMMENT ON FUNCTION cxm.funnel(cxm.journey, integer[], interval, text, jsonb, text) IS
'How many of the steps the journey comes through, in order, the last at most within after the first; 0 to the number of steps. steps are codes. within is a fixed length, a day is 24 hours; months raise invalid_parameter_value (22023). mode is default, strict, any_order, or words with commas between them: strict_order, allow_reentry, strict_deduplication, strict_increase, strict_once. exclusions are objects {"codes": [7], "from": 1, "to": 2}: events that must not come after step from and before step to; from is 1 and to the last step when left out. on_exclusion says what they do: remove voids the attempt, cut ends the chain before them. NULL when an argument is NULL. Other modes, steps or exclusions raise 22023 or a sibling of it.';

CREATE FUNCTION cxm.funnel(
    journey cxm.journey,
    steps jsonb,
    within interval,
    mode text DEFAULT 'default',
    exclusions jsonb DEFAULT '[]',
    on_exclusion text DEFAULT 'remove')
RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_funnel_json'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 50;

COMMENT ON FUNCTION cxm.funnel(cxm.journey, jsonb, interval, text, jsonb, text) IS
'The same for steps that are sets of codes: a JSON array of codes and arrays of codes, such as [1, [2, 5], 3], where step 2 is fulfilled by code 2 or 5. A step with an empty set is never fulfilled.';

CREATE FUNCTION cxm.funnel_times(
    journey cxm.journey,
    steps integer[],
    within interval,
    mode text DEFAULT 'default',
    exclusions jsonb DEFAULT '[]',
    on_exclusion text DEFAULT 'remove')
RETURNS timestamptz[]
AS 'MODULE_PATHNAME', 'cxm_funnel_times_array'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 100;

COMMENT ON FUNCTION cxm.funnel_times(cxm.journey, integer[], interval, text, jsonb, text) IS
'The time of each step that the journey comes through, as many as cxm.funnel() with the same arguments says; empty for none. Of the longest chains it is the one that ends first, of those the one that begins last, and of those the one that takes each step earliest. In mode any_order element i is the time by which i steps are done. Arguments, NULL and errors as in cxm.funnel().';

CREATE FUNCTION cxm.funnel_times(
    journey cxm.journey,
    steps jsonb,
    within interval,
    mode text DEFAULT 'default',
    exclusions jsonb DEFAULT '[]',
    on_exclusion text DEFAULT 'remove')
RETURNS timestamptz[]
AS 'MODULE_PATHNAME', 'cxm_funnel_times_json'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 100;

COMMENT ON FUNCTION cxm.funnel_times(cxm.journey, jsonb, interval, text, jsonb, text) IS
'The same for steps that are sets of codes, a JSON array of codes and arrays of codes.';

---- Rows

CREATE FUNCTION cxm.funnel_add_row(state bytea, at timestamptz, conditions boolean[], within interval, mode text) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_funnel_add_row'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.funnel_add_row(bytea, timestamptz, boolean[], interval, text) IS
'Transition function of cxm.funnel_agg: the state with one more row. Bytes that are no such state raise data_corrupted (XX001).';

CREATE FUNCTION cxm.funnel_combine_rows(a bytea, b bytea) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_funnel_combine_rows'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.funnel_combine_rows(bytea, bytea) IS
'Combine function of cxm.funnel_agg: the rows of both states. NULL when an argument is NULL.';

CREATE FUNCTION cxm.funnel_rows_level(state bytea) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_funnel_rows_level'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.funnel_rows_level(bytea) IS
'Final function of cxm.funnel_agg: the level that the rows of a state reach. NULL for NULL.';

CREATE AGGREGATE cxm.funnel_agg(at timestamptz, conditions boolean[], within interval, mode text) (
    SFUNC = cxm.funnel_add_row,
    STYPE = bytea,
    SSPACE = 512,
    INITCOND = '',
    FINALFUNC = cxm.funnel_rows_level,
    COMBINEFUNC = cxm.funnel_combine_rows,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.funnel_agg(timestamptz, boolean[], interval, text) IS
'How many steps a group of rows comes through, as cxm.funnel() says of a journey: a row is an event at a time, and element i of conditions says whether it fulfils step i. Rows may come in any order; NULL in conditions is false; rows whose time or whole array is NULL are skipped; no rows give 0. within and mode must be the same in all rows of a group, and so must be the number of conditions, or invalid_parameter_value (22023) or array_subscript_error (2202E) is raised; NULL for them raises null_value_not_allowed (22004), an infinite time datetime_field_overflow (22008).';

CREATE FUNCTION cxm.funnel_add_row(state bytea, at timestamptz, conditions boolean[], within interval) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_funnel_add_row'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.funnel_add_row(bytea, timestamptz, boolean[], interval) IS
'Transition function of cxm.funnel_agg without a mode: as with mode default.';

CREATE AGGREGATE cxm.funnel_agg(at timestamptz, conditions boolean[], within interval) (
    SFUNC = cxm.funnel_add_row,
    STYPE = bytea,
    SSPACE = 512,
    INITCOND = '',
    FINALFUNC = cxm.funnel_rows_level,
    COMBINEFUNC = cxm.funnel_combine_rows,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.funnel_agg(timestamptz, boolean[], interval) IS
'cxm.funnel_agg with mode default.';
