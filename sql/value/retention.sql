-- Retention, lifecycle and active periods of a journey, and what counts them over customers.

---- One customer

CREATE FUNCTION cxm.retention_periods(
    journey cxm.journey,
    start_codes integer[],
    return_codes integer[],
    period text,
    time_zone text,
    week_start integer DEFAULT 1,
    during tstzrange DEFAULT NULL,
    periods integer DEFAULT NULL,
    cohorts text DEFAULT 'first_ever',
    criterion text DEFAULT 'on',
    rolling interval DEFAULT NULL,
    as_of timestamptz DEFAULT NULL) RETURNS integer[]
AS 'MODULE_PATHNAME', 'cxm_retention_periods'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.retention_periods(cxm.journey, integer[], integer[], text, text, integer, tstzrange, integer, text, text, interval, timestamptz) IS
'The cohorts that a customer is in and the periods in which they came back: rows {cohort, number}, ascending, each once; {} when in no cohort. cohort is the number (cxm.period_number) of the period of the start; its row with number -1 says that the customer is in it, one with number k that they came back k periods later, 0 being the period of the start itself. An event with one of start_codes is a start, one with one of return_codes at the time of the start or later a return; NULL instead of codes means any. The codes may be the same: then a start is its own return in period 0.
period: hour, day, week, month, quarter or year, by the clocks of time_zone (IANA name), weeks from week_start (1 = Monday ... 7 = Sunday). during: only starts in this range make cohorts; returns count whenever they are. periods: no number beyond this; NULL = all. cohorts: first_ever (the customer''s first start of all, when it lies in during), first_in_range (the first one in during), recurring (each period with a start, counted from its first start). criterion: on (back in that period) or on_or_after (in that one or any later one). rolling: returns are counted in periods of this fixed length from the start itself, not in those of the calendar; a day is 24 hours. as_of: events after it are not read.
NULL when journey is NULL. Error 22023: another word, zone or week start, a negative number, a length with months or not above zero; 22004: a NULL code; 54000: more periods than an array has room for.';

CREATE FUNCTION cxm.active_periods(
    journey cxm.journey,
    codes integer[],
    period text,
    time_zone text,
    week_start integer DEFAULT 1,
    during tstzrange DEFAULT NULL,
    as_of timestamptz DEFAULT NULL) RETURNS integer[]
AS 'MODULE_PATHNAME', 'cxm_active_periods_of'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.active_periods(cxm.journey, integer[], text, text, integer, tstzrange, timestamptz) IS
'The numbers (cxm.period_number) of the periods in which a customer has an event with one of the codes (NULL: with any) inside of during and not after as_of: ascending, each once; {} when there is none. Their cardinality is the customer''s stickiness. NULL when journey is NULL. Other arguments and errors as in cxm.retention_periods.';

CREATE FUNCTION cxm.lifecycle_periods(
    journey cxm.journey,
    codes integer[],
    period text,
    time_zone text,
    week_start integer DEFAULT 1,
    during tstzrange DEFAULT NULL,
    as_of timestamptz DEFAULT NULL) RETURNS integer[]
AS 'MODULE_PATHNAME', 'cxm_lifecycle_periods'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.lifecycle_periods(cxm.journey, integer[], text, text, integer, tstzrange, timestamptz) IS
'What a customer was in each period: rows {period, state}, ascending by period; {} when never anything. period is a number (cxm.period_number), state 0 = new (their first period of all with an event with one of the codes), 1 = returning (active, and in the period before), 2 = resurrecting (active again after a gap), 3 = dormant (not active, but in the period before). So active = new + returning + resurrecting, and dormant = active of the period before - returning. during: only the periods that it touches, each whole; what was before them is known all the same. as_of: events after it are not read, and periods that begin after it not shown; without it a customer is dormant in the period after the last one, whenever that is. NULL when journey is NULL. Other arguments and errors as in cxm.retention_periods.';

---- All customers

CREATE FUNCTION cxm.count_pairs_add(state bigint[], pairs integer[]) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'cxm_count_pairs_add'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.count_pairs_add(bigint[], integer[]) IS 'Transition function of cxm.count_pairs; an error outside of an aggregate.';

CREATE FUNCTION cxm.count_pairs_combine(state bigint[], other bigint[]) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'cxm_count_pairs_combine'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.count_pairs_combine(bigint[], bigint[]) IS 'Combine function of cxm.count_pairs; an error outside of an aggregate.';

CREATE FUNCTION cxm.count_pairs_final(state bigint[]) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'cxm_count_pairs_final'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.count_pairs_final(bigint[]) IS 'Final function of cxm.count_pairs: the state as rows {first, second, count}, in order.';

CREATE AGGREGATE cxm.count_pairs(pairs integer[]) (
    SFUNC = cxm.count_pairs_add, STYPE = bigint[], SSPACE = 1104,
    FINALFUNC = cxm.count_pairs_final,
    COMBINEFUNC = cxm.count_pairs_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.count_pairs(integer[]) IS
'How many rows have each pair of integers: over lists of pairs, such as cxm.retention_periods and cxm.lifecycle_periods give, rows {first, second, count}, ascending; read them with cxm.pair_counts. In a plain list of integers, such as cxm.active_periods gives, each one is a pair with 0. NULL and empty lists are skipped; no rows give {}. Memory goes with the number of different pairs. Error 2202E: an array of another shape; 22004: a NULL in it.';

CREATE FUNCTION cxm.pair_counts(counts bigint[])
RETURNS TABLE (first integer, second integer, count bigint)
AS 'MODULE_PATHNAME', 'cxm_pair_counts'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
ROWS 1000;

COMMENT ON FUNCTION cxm.pair_counts(bigint[]) IS
'What cxm.count_pairs counted, as rows. For cxm.retention_periods: first = the cohort, second = -1 with its size, or the number of a period with the customers who came back in it. For cxm.lifecycle_periods: first = the period, second = the state. For cxm.active_periods: first = the period, count = the customers active in it. No rows for {} and for NULL. Error 2202E: an array of another shape.';

---- Raw rows

CREATE FUNCTION cxm.retention_add(state boolean[], conditions boolean[]) RETURNS boolean[]
AS 'MODULE_PATHNAME', 'cxm_retention_flags_add'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.retention_add(boolean[], boolean[]) IS 'Transition function of cxm.retention; an error outside of an aggregate.';

CREATE FUNCTION cxm.retention_combine(state boolean[], other boolean[]) RETURNS boolean[]
AS 'MODULE_PATHNAME', 'cxm_retention_flags_combine'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.retention_combine(boolean[], boolean[]) IS 'Combine function of cxm.retention; an error outside of an aggregate.';

CREATE FUNCTION cxm.retention_final(state boolean[]) RETURNS boolean[]
AS 'MODULE_PATHNAME', 'cxm_retention_flags_final'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.retention_final(boolean[]) IS 'Final function of cxm.retention: every condition together with the first.';

CREATE AGGREGATE cxm.retention(conditions boolean[]) (
    SFUNC = cxm.retention_add, STYPE = boolean[], SSPACE = 64,
    FINALFUNC = cxm.retention_final,
    COMBINEFUNC = cxm.retention_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.retention(boolean[]) IS
'Over the rows of one customer, an array as long as conditions, of any length: first whether the first condition was met by any row; then, for each other one, whether it and the first were, by whichever rows. GROUP BY customer; sums over customers of (result)[1]::int, (result)[2]::int ... are a retention table. A NULL condition is not met; NULL arrays are skipped, and no rows give NULL. Error 2202E: an empty array, more than one dimension, or rows with different numbers of conditions.';
