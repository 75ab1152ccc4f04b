-- Ratings: the exact histogram of whole-number scores on a scale of up to 11 points, its aggregates and its accessors.
--
-- The aggregates build a value (nps_agg, csat_agg, ces_agg, ratings_agg, rollup), the accessors read it (nps, csat, mean,
-- nps_interval ...). nps(score), csat(score) and ces(score) do both in one step.
--
-- Score types have a function each, smallint to double precision: nothing is cast, so nothing is rounded on the way
-- in, and the transition is one C call a row.

---- Type

CREATE TYPE cxm.ratings;

CREATE FUNCTION cxm.ratings_in(cstring) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_ratings_in'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_in(cstring) IS
'Input function of cxm.ratings. Text that is not ratings raises invalid_text_representation (22P02).';

CREATE FUNCTION cxm.ratings_out(cxm.ratings) RETURNS cstring
AS 'MODULE_PATHNAME', 'cxm_ratings_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_out(cxm.ratings) IS
'Output function of cxm.ratings: lowest..highest:{count of the lowest score, ..., count of the highest}, or empty. Equal values have equal text.';

CREATE FUNCTION cxm.ratings_recv(internal) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_ratings_recv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_recv(internal) IS
'Binary input function of cxm.ratings. Every byte is checked; what cannot be ratings raises invalid_binary_representation (22P03).';

CREATE FUNCTION cxm.ratings_send(cxm.ratings) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_ratings_send'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_send(cxm.ratings) IS
'Binary output function of cxm.ratings: format version, lowest score and number of points (a byte each), then a big-endian bigint count for each point.';

CREATE TYPE cxm.ratings (
    INPUT = cxm.ratings_in,
    OUTPUT = cxm.ratings_out,
    RECEIVE = cxm.ratings_recv,
    SEND = cxm.ratings_send,
    INTERNALLENGTH = 96,
    ALIGNMENT = double,
    STORAGE = plain
);

COMMENT ON TYPE cxm.ratings IS
'Exact histogram of whole-number scores: a scale of 2 to 11 points between -128 and 127 and a bigint count of answers for each point. 96 bytes. Text form: 1..5:{0,2,1,4,3}. The value empty has no scale and no answers and is neutral in sums.';

---- Sum, difference, order

CREATE FUNCTION cxm.ratings_add(a cxm.ratings, b cxm.ratings) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_ratings_add'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_add(cxm.ratings, cxm.ratings) IS
'All answers of both values; the function of the operator + and the combine function of the aggregates. Different scales raise invalid_parameter_value (22023), a count beyond bigint numeric_value_out_of_range (22003). empty takes the scale of the other value. NULL when an argument is NULL.';

CREATE FUNCTION cxm.ratings_subtract(a cxm.ratings, b cxm.ratings) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_ratings_subtract'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_subtract(cxm.ratings, cxm.ratings) IS
'The answers of the first value without those of the second; the function of the operator -. Exact: a - b + b = a. More answers of a score than the first value has raise numeric_value_out_of_range (22003), different scales invalid_parameter_value (22023). NULL when an argument is NULL.';

CREATE FUNCTION cxm.ratings_rollup_inv(state cxm.ratings, ratings cxm.ratings) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_ratings_rollup_inv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_rollup_inv(cxm.ratings, cxm.ratings) IS
'Inverse transition function of cxm.rollup(cxm.ratings) for moving windows. Inside an aggregate it is NULL when no answers are left, which makes the aggregate start anew. Elsewhere the same as the operator -.';

CREATE FUNCTION cxm.ratings_eq(a cxm.ratings, b cxm.ratings) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_ratings_eq'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_eq(cxm.ratings, cxm.ratings) IS
'Are the two values equal, scale and all counts? NULL when an argument is NULL.';

CREATE FUNCTION cxm.ratings_ne(a cxm.ratings, b cxm.ratings) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_ratings_ne'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_ne(cxm.ratings, cxm.ratings) IS
'Do the two values differ in scale or any count? NULL when an argument is NULL.';

CREATE FUNCTION cxm.ratings_lt(a cxm.ratings, b cxm.ratings) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_ratings_lt'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_lt(cxm.ratings, cxm.ratings) IS
'Does the first value sort before the second? By lowest score, number of points, then counts from the lowest score up; an order to sort by, not a judgement. NULL when an argument is NULL.';

CREATE FUNCTION cxm.ratings_le(a cxm.ratings, b cxm.ratings) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_ratings_le'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_le(cxm.ratings, cxm.ratings) IS
'Does the first value sort before the second or equal it? NULL when an argument is NULL.';

CREATE FUNCTION cxm.ratings_gt(a cxm.ratings, b cxm.ratings) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_ratings_gt'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_gt(cxm.ratings, cxm.ratings) IS
'Does the first value sort after the second? NULL when an argument is NULL.';

CREATE FUNCTION cxm.ratings_ge(a cxm.ratings, b cxm.ratings) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_ratings_ge'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_ge(cxm.ratings, cxm.ratings) IS
'Does the first value sort after the second or equal it? NULL when an argument is NULL.';

CREATE FUNCTION cxm.ratings_cmp(a cxm.ratings, b cxm.ratings) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_ratings_cmp'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_cmp(cxm.ratings, cxm.ratings) IS
'Btree comparison: negative, 0 or positive. 0 means equal bytes.';

CREATE FUNCTION cxm.ratings_hash(ratings cxm.ratings) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_ratings_hash'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_hash(cxm.ratings) IS
'Hash of the value.';

CREATE FUNCTION cxm.ratings_hash_extended(ratings cxm.ratings, seed bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_ratings_hash_extended'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings_hash_extended(cxm.ratings, bigint) IS
'64-bit hash of the value with a seed, for hash partitions and hash joins.';

CREATE OPERATOR cxm.+ (
    LEFTARG = cxm.ratings,
    RIGHTARG = cxm.ratings,
    FUNCTION = cxm.ratings_add,
    COMMUTATOR = OPERATOR(cxm.+)
);

COMMENT ON OPERATOR cxm.+ (cxm.ratings, cxm.ratings) IS 'all answers of both';

CREATE OPERATOR cxm.- (
    LEFTARG = cxm.ratings,
    RIGHTARG = cxm.ratings,
    FUNCTION = cxm.ratings_subtract
);

COMMENT ON OPERATOR cxm.- (cxm.ratings, cxm.ratings) IS 'the answers of the first without those of the second';

CREATE OPERATOR cxm.= (
    LEFTARG = cxm.ratings,
    RIGHTARG = cxm.ratings,
    FUNCTION = cxm.ratings_eq,
    COMMUTATOR = OPERATOR(cxm.=),
    NEGATOR = OPERATOR(cxm.<>),
    RESTRICT = pg_catalog.eqsel,
    JOIN = pg_catalog.eqjoinsel,
    HASHES,
    MERGES
);

COMMENT ON OPERATOR cxm.= (cxm.ratings, cxm.ratings) IS 'equal';

CREATE OPERATOR cxm.<> (
    LEFTARG = cxm.ratings,
    RIGHTARG = cxm.ratings,
    FUNCTION = cxm.ratings_ne,
    COMMUTATOR = OPERATOR(cxm.<>),
    NEGATOR = OPERATOR(cxm.=),
    RESTRICT = pg_catalog.neqsel,
    JOIN = pg_catalog.neqjoinsel
);

COMMENT ON OPERATOR cxm.<> (cxm.ratings, cxm.ratings) IS 'not equal';

CREATE OPERATOR cxm.< (
    LEFTARG = cxm.ratings,
    RIGHTARG = cxm.ratings,
    FUNCTION = cxm.ratings_lt,
    COMMUTATOR = OPERATOR(cxm.>),
    NEGATOR = OPERATOR(cxm.>=),
    RESTRICT = pg_catalog.scalarltsel,
    JOIN = pg_catalog.scalarltjoinsel
);

COMMENT ON OPERATOR cxm.< (cxm.ratings, cxm.ratings) IS 'sorts before';

CREATE OPERATOR cxm.<= (
    LEFTARG = cxm.ratings,
    RIGHTARG = cxm.ratings,
    FUNCTION = cxm.ratings_le,
    COMMUTATOR = OPERATOR(cxm.>=),
    NEGATOR = OPERATOR(cxm.>),
    RESTRICT = pg_catalog.scalarlesel,
    JOIN = pg_catalog.scalarlejoinsel
);

COMMENT ON OPERATOR cxm.<= (cxm.ratings, cxm.ratings) IS 'sorts before or is equal';

CREATE OPERATOR cxm.> (
    LEFTARG = cxm.ratings,
    RIGHTARG = cxm.ratings,
    FUNCTION = cxm.ratings_gt,
    COMMUTATOR = OPERATOR(cxm.<),
    NEGATOR = OPERATOR(cxm.<=),
    RESTRICT = pg_catalog.scalargtsel,
    JOIN = pg_catalog.scalargtjoinsel
);

COMMENT ON OPERATOR cxm.> (cxm.ratings, cxm.ratings) IS 'sorts after';

CREATE OPERATOR cxm.>= (
    LEFTARG = cxm.ratings,
    RIGHTARG = cxm.ratings,
    FUNCTION = cxm.ratings_ge,
    COMMUTATOR = OPERATOR(cxm.<=),
    NEGATOR = OPERATOR(cxm.<),
    RESTRICT = pg_catalog.scalargesel,
    JOIN = pg_catalog.scalargejoinsel
);

COMMENT ON OPERATOR cxm.>= (cxm.ratings, cxm.ratings) IS 'sorts after or is equal';

CREATE OPERATOR CLASS cxm.ratings_ops DEFAULT FOR TYPE cxm.ratings USING btree AS
    OPERATOR 1 cxm.<,
    OPERATOR 2 cxm.<=,
    OPERATOR 3 cxm.=,
    OPERATOR 4 cxm.>=,
    OPERATOR 5 cxm.>,
    FUNCTION 1 cxm.ratings_cmp(cxm.ratings, cxm.ratings),
    FUNCTION 4 (cxm.ratings, cxm.ratings) pg_catalog.btequalimage(oid);

CREATE OPERATOR CLASS cxm.ratings_ops DEFAULT FOR TYPE cxm.ratings USING hash AS
    OPERATOR 1 cxm.=,
    FUNCTION 1 cxm.ratings_hash(cxm.ratings),
    FUNCTION 2 cxm.ratings_hash_extended(cxm.ratings, bigint);

---- Counting one score more or less

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score smallint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_int2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, smallint) IS
'The ratings with one answer of this score more. A score off the scale raises numeric_value_out_of_range (22003). NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_int4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, integer) IS
'The ratings with one answer of this score more. A score off the scale raises numeric_value_out_of_range (22003). NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_int8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, bigint) IS
'The ratings with one answer of this score more. A score off the scale raises numeric_value_out_of_range (22003). NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score numeric) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_numeric'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, numeric) IS
'The ratings with one answer of this score more. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score double precision) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_float8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, double precision) IS
'The ratings with one answer of this score more. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score smallint, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_n_int2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, smallint, bigint) IS
'The ratings with n answers of this score more. A score off the scale raises numeric_value_out_of_range (22003), a negative n too. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_n_int4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, integer, bigint) IS
'The ratings with n answers of this score more. A score off the scale raises numeric_value_out_of_range (22003), a negative n too. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score bigint, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_n_int8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, bigint, bigint) IS
'The ratings with n answers of this score more. A score off the scale raises numeric_value_out_of_range (22003), a negative n too. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score numeric, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_n_numeric'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, numeric, bigint) IS
'The ratings with n answers of this score more. A score off the scale raises numeric_value_out_of_range (22003), a negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score double precision, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_n_float8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, double precision, bigint) IS
'The ratings with n answers of this score more. A score off the scale raises numeric_value_out_of_range (22003), a negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score smallint, lo integer, hi integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_scale_int2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, smallint, integer, integer) IS
'The ratings with one answer on the scale lo to hi of this score more. A score off the scale raises numeric_value_out_of_range (22003). Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score integer, lo integer, hi integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_scale_int4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, integer, integer, integer) IS
'The ratings with one answer on the scale lo to hi of this score more. A score off the scale raises numeric_value_out_of_range (22003). Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score bigint, lo integer, hi integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_scale_int8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, bigint, integer, integer) IS
'The ratings with one answer on the scale lo to hi of this score more. A score off the scale raises numeric_value_out_of_range (22003). Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score numeric, lo integer, hi integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_scale_numeric'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, numeric, integer, integer) IS
'The ratings with one answer on the scale lo to hi of this score more. A score off the scale raises numeric_value_out_of_range (22003). Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score double precision, lo integer, hi integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_scale_float8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, double precision, integer, integer) IS
'The ratings with one answer on the scale lo to hi of this score more. A score off the scale raises numeric_value_out_of_range (22003). Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score smallint, lo integer, hi integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_scale_n_int2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, smallint, integer, integer, bigint) IS
'The ratings with n answers on the scale lo to hi of this score more. A score off the scale raises numeric_value_out_of_range (22003), a negative n too. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score integer, lo integer, hi integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_scale_n_int4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, integer, integer, integer, bigint) IS
'The ratings with n answers on the scale lo to hi of this score more. A score off the scale raises numeric_value_out_of_range (22003), a negative n too. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score bigint, lo integer, hi integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_scale_n_int8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, bigint, integer, integer, bigint) IS
'The ratings with n answers on the scale lo to hi of this score more. A score off the scale raises numeric_value_out_of_range (22003), a negative n too. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score numeric, lo integer, hi integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_scale_n_numeric'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, numeric, integer, integer, bigint) IS
'The ratings with n answers on the scale lo to hi of this score more. A score off the scale raises numeric_value_out_of_range (22003), a negative n too. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.add_score(ratings cxm.ratings, score double precision, lo integer, hi integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_add_score_scale_n_float8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_score(cxm.ratings, double precision, integer, integer, bigint) IS
'The ratings with n answers on the scale lo to hi of this score more. A score off the scale raises numeric_value_out_of_range (22003), a negative n too. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score smallint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_int2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, smallint) IS
'The ratings with one answer of this score less. A score off the scale raises numeric_value_out_of_range (22003); so does taking away more answers than there are. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_int4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, integer) IS
'The ratings with one answer of this score less. A score off the scale raises numeric_value_out_of_range (22003); so does taking away more answers than there are. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_int8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, bigint) IS
'The ratings with one answer of this score less. A score off the scale raises numeric_value_out_of_range (22003); so does taking away more answers than there are. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score numeric) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_numeric'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, numeric) IS
'The ratings with one answer of this score less. A score off the scale raises numeric_value_out_of_range (22003); so does taking away more answers than there are. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score double precision) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_float8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, double precision) IS
'The ratings with one answer of this score less. A score off the scale raises numeric_value_out_of_range (22003); so does taking away more answers than there are. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score smallint, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_n_int2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, smallint, bigint) IS
'The ratings with n answers of this score less. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; so does taking away more answers than there are. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_n_int4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, integer, bigint) IS
'The ratings with n answers of this score less. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; so does taking away more answers than there are. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score bigint, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_n_int8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, bigint, bigint) IS
'The ratings with n answers of this score less. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; so does taking away more answers than there are. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score numeric, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_n_numeric'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, numeric, bigint) IS
'The ratings with n answers of this score less. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; so does taking away more answers than there are. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score double precision, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_n_float8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, double precision, bigint) IS
'The ratings with n answers of this score less. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; so does taking away more answers than there are. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score smallint, lo integer, hi integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_scale_int2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, smallint, integer, integer) IS
'The ratings with one answer on the scale lo to hi of this score less. A score off the scale raises numeric_value_out_of_range (22003); so does taking away more answers than there are. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score integer, lo integer, hi integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_scale_int4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, integer, integer, integer) IS
'The ratings with one answer on the scale lo to hi of this score less. A score off the scale raises numeric_value_out_of_range (22003); so does taking away more answers than there are. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score bigint, lo integer, hi integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_scale_int8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, bigint, integer, integer) IS
'The ratings with one answer on the scale lo to hi of this score less. A score off the scale raises numeric_value_out_of_range (22003); so does taking away more answers than there are. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score numeric, lo integer, hi integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_scale_numeric'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, numeric, integer, integer) IS
'The ratings with one answer on the scale lo to hi of this score less. A score off the scale raises numeric_value_out_of_range (22003); so does taking away more answers than there are. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score double precision, lo integer, hi integer) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_scale_float8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, double precision, integer, integer) IS
'The ratings with one answer on the scale lo to hi of this score less. A score off the scale raises numeric_value_out_of_range (22003); so does taking away more answers than there are. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score smallint, lo integer, hi integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_scale_n_int2'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, smallint, integer, integer, bigint) IS
'The ratings with n answers on the scale lo to hi of this score less. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; so does taking away more answers than there are. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score integer, lo integer, hi integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_scale_n_int4'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, integer, integer, integer, bigint) IS
'The ratings with n answers on the scale lo to hi of this score less. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; so does taking away more answers than there are. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score bigint, lo integer, hi integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_scale_n_int8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, bigint, integer, integer, bigint) IS
'The ratings with n answers on the scale lo to hi of this score less. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; so does taking away more answers than there are. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score numeric, lo integer, hi integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_scale_n_numeric'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, numeric, integer, integer, bigint) IS
'The ratings with n answers on the scale lo to hi of this score less. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; so does taking away more answers than there are. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

CREATE FUNCTION cxm.remove_score(ratings cxm.ratings, score double precision, lo integer, hi integer, n bigint) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_remove_score_scale_n_float8'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.remove_score(cxm.ratings, double precision, integer, integer, bigint) IS
'The ratings with n answers on the scale lo to hi of this score less. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; so does taking away more answers than there are. Ratings of another scale raise invalid_parameter_value (22023); empty takes the scale. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale. NULL when an argument is NULL. Also the inverse transition function of the aggregates.';

---- Aggregates that build ratings
--
-- SSPACE is what a group of a hash aggregate really takes: 96 bytes in a memory chunk of 128.

CREATE AGGREGATE cxm.nps_agg(score smallint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps_agg(smallint) IS
'Ratings on the scale 0 to 10 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.nps_agg(score integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps_agg(integer) IS
'Ratings on the scale 0 to 10 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.nps_agg(score bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps_agg(bigint) IS
'Ratings on the scale 0 to 10 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.nps_agg(score numeric) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps_agg(numeric) IS
'Ratings on the scale 0 to 10 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.nps_agg(score double precision) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps_agg(double precision) IS
'Ratings on the scale 0 to 10 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.nps_agg(score smallint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps_agg(smallint, bigint) IS
'Ratings on the scale 0 to 10 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.nps_agg(score integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps_agg(integer, bigint) IS
'Ratings on the scale 0 to 10 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.nps_agg(score bigint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps_agg(bigint, bigint) IS
'Ratings on the scale 0 to 10 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.nps_agg(score numeric, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps_agg(numeric, bigint) IS
'Ratings on the scale 0 to 10 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.nps_agg(score double precision, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps_agg(double precision, bigint) IS
'Ratings on the scale 0 to 10 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.csat_agg(score smallint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat_agg(smallint) IS
'Ratings on the scale 1 to 5 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.csat_agg(score integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat_agg(integer) IS
'Ratings on the scale 1 to 5 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.csat_agg(score bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat_agg(bigint) IS
'Ratings on the scale 1 to 5 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.csat_agg(score numeric) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat_agg(numeric) IS
'Ratings on the scale 1 to 5 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.csat_agg(score double precision) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat_agg(double precision) IS
'Ratings on the scale 1 to 5 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.csat_agg(score smallint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat_agg(smallint, bigint) IS
'Ratings on the scale 1 to 5 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.csat_agg(score integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat_agg(integer, bigint) IS
'Ratings on the scale 1 to 5 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.csat_agg(score bigint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat_agg(bigint, bigint) IS
'Ratings on the scale 1 to 5 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.csat_agg(score numeric, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat_agg(numeric, bigint) IS
'Ratings on the scale 1 to 5 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.csat_agg(score double precision, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat_agg(double precision, bigint) IS
'Ratings on the scale 1 to 5 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ces_agg(score smallint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces_agg(smallint) IS
'Ratings on the scale 1 to 7 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.ces_agg(score integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces_agg(integer) IS
'Ratings on the scale 1 to 7 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.ces_agg(score bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces_agg(bigint) IS
'Ratings on the scale 1 to 7 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.ces_agg(score numeric) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces_agg(numeric) IS
'Ratings on the scale 1 to 7 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ces_agg(score double precision) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces_agg(double precision) IS
'Ratings on the scale 1 to 7 of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ces_agg(score smallint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces_agg(smallint, bigint) IS
'Ratings on the scale 1 to 7 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.ces_agg(score integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces_agg(integer, bigint) IS
'Ratings on the scale 1 to 7 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.ces_agg(score bigint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces_agg(bigint, bigint) IS
'Ratings on the scale 1 to 7 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.ces_agg(score numeric, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces_agg(numeric, bigint) IS
'Ratings on the scale 1 to 7 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ces_agg(score double precision, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces_agg(double precision, bigint) IS
'Ratings on the scale 1 to 7 of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give ratings with no answers, not NULL. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ratings_agg(score smallint, lo integer, hi integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ratings_agg(smallint, integer, integer) IS
'Ratings on the scale lo to hi of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give empty. A score off the scale raises numeric_value_out_of_range (22003); a scale that changes from row to row, or is none, invalid_parameter_value (22023).';

CREATE AGGREGATE cxm.ratings_agg(score integer, lo integer, hi integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ratings_agg(integer, integer, integer) IS
'Ratings on the scale lo to hi of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give empty. A score off the scale raises numeric_value_out_of_range (22003); a scale that changes from row to row, or is none, invalid_parameter_value (22023).';

CREATE AGGREGATE cxm.ratings_agg(score bigint, lo integer, hi integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ratings_agg(bigint, integer, integer) IS
'Ratings on the scale lo to hi of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give empty. A score off the scale raises numeric_value_out_of_range (22003); a scale that changes from row to row, or is none, invalid_parameter_value (22023).';

CREATE AGGREGATE cxm.ratings_agg(score numeric, lo integer, hi integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ratings_agg(numeric, integer, integer) IS
'Ratings on the scale lo to hi of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give empty. A score off the scale raises numeric_value_out_of_range (22003); a scale that changes from row to row, or is none, invalid_parameter_value (22023). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ratings_agg(score double precision, lo integer, hi integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ratings_agg(double precision, integer, integer) IS
'Ratings on the scale lo to hi of all scores, one answer a row. Rows with a NULL argument are skipped; no rows give empty. A score off the scale raises numeric_value_out_of_range (22003); a scale that changes from row to row, or is none, invalid_parameter_value (22023). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ratings_agg(score smallint, lo integer, hi integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ratings_agg(smallint, integer, integer, bigint) IS
'Ratings on the scale lo to hi of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give empty. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; a scale that changes from row to row, or is none, invalid_parameter_value (22023).';

CREATE AGGREGATE cxm.ratings_agg(score integer, lo integer, hi integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ratings_agg(integer, integer, integer, bigint) IS
'Ratings on the scale lo to hi of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give empty. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; a scale that changes from row to row, or is none, invalid_parameter_value (22023).';

CREATE AGGREGATE cxm.ratings_agg(score bigint, lo integer, hi integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ratings_agg(bigint, integer, integer, bigint) IS
'Ratings on the scale lo to hi of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give empty. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; a scale that changes from row to row, or is none, invalid_parameter_value (22023).';

CREATE AGGREGATE cxm.ratings_agg(score numeric, lo integer, hi integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ratings_agg(numeric, integer, integer, bigint) IS
'Ratings on the scale lo to hi of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give empty. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; a scale that changes from row to row, or is none, invalid_parameter_value (22023). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ratings_agg(score double precision, lo integer, hi integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ratings_agg(double precision, integer, integer, bigint) IS
'Ratings on the scale lo to hi of all scores, n answers a row. Rows with a NULL argument are skipped; no rows give empty. A score off the scale raises numeric_value_out_of_range (22003), a negative n too; a scale that changes from row to row, or is none, invalid_parameter_value (22023). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.rollup(ratings cxm.ratings) (
    SFUNC = cxm.ratings_add, STYPE = cxm.ratings, SSPACE = 128, INITCOND = 'empty',
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.ratings_add, MINVFUNC = cxm.ratings_rollup_inv, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = 'empty',
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.rollup(cxm.ratings) IS
'All answers of all ratings, as if they had been counted together. NULL is skipped; no rows give empty. Different scales raise invalid_parameter_value (22023).';

---- Parts

CREATE FUNCTION cxm.ratings(lo integer, counts bigint[]) RETURNS cxm.ratings
AS 'MODULE_PATHNAME', 'cxm_ratings_from_counts'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ratings(integer, bigint[]) IS
'Ratings from the lowest score of the scale and the counts from that score up. The array gives the length of the scale: 2 to 11 points, else invalid_parameter_value (22023). A negative count raises numeric_value_out_of_range (22003), a NULL in the array null_value_not_allowed (22004). NULL when an argument is NULL.';

CREATE FUNCTION cxm.counts(ratings cxm.ratings) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'cxm_ratings_counts'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.counts(cxm.ratings) IS
'Counts of answers from the lowest score of the scale up. An empty array for empty; NULL for NULL.';

CREATE FUNCTION cxm.scale_low(ratings cxm.ratings) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_ratings_scale_low'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.scale_low(cxm.ratings) IS
'Lowest score of the scale. NULL for empty and for NULL.';

CREATE FUNCTION cxm.scale_high(ratings cxm.ratings) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_ratings_scale_high'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.scale_high(cxm.ratings) IS
'Highest score of the scale. NULL for empty and for NULL.';

CREATE FUNCTION cxm.count(ratings cxm.ratings) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_ratings_count'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.count(cxm.ratings) IS
'Number of answers, 0 or more. A total beyond bigint raises numeric_value_out_of_range (22003). NULL for NULL. Not an aggregate: it counts the answers in one value, count(*) counts rows.';

CREATE FUNCTION cxm.distribution(ratings cxm.ratings)
RETURNS TABLE (score integer, count bigint, share double precision)
AS 'MODULE_PATHNAME', 'cxm_ratings_distribution'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 11;

COMMENT ON FUNCTION cxm.distribution(cxm.ratings) IS
'A row for each score of the scale in ascending order, also for scores without answers: the score, the number of answers, and their share in percent (0 to 100; NULL when there are no answers at all). No rows for empty and for NULL.';

---- Reading any scale

CREATE FUNCTION cxm.mean(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_mean'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.mean(cxm.ratings) IS
'Mean score, on the scale of the ratings. NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.variance(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_variance'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.variance(cxm.ratings) IS
'Sample variance of the scores (divided by n - 1), as variance() over the scores. NULL for fewer than two answers and for NULL.';

CREATE FUNCTION cxm.var_pop(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_var_pop'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.var_pop(cxm.ratings) IS
'Population variance of the scores (divided by n), as var_pop() over the scores. NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.stddev(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_stddev'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.stddev(cxm.ratings) IS
'Sample standard deviation of the scores, the root of cxm.variance(). NULL for fewer than two answers and for NULL.';

CREATE FUNCTION cxm.stddev_pop(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_stddev_pop'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.stddev_pop(cxm.ratings) IS
'Population standard deviation of the scores, the root of cxm.var_pop(). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.percentile(ratings cxm.ratings, fraction double precision) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_ratings_percentile'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.percentile(cxm.ratings, double precision) IS
'First score whose cumulative share of the answers reaches the fraction (0 to 1), as percentile_disc() over the scores: always a score that was given. A fraction outside 0 to 1 raises numeric_value_out_of_range (22003). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.percentile_cont(ratings cxm.ratings, fraction double precision) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_percentile_cont'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.percentile_cont(cxm.ratings, double precision) IS
'Score at the fraction (0 to 1) of the sorted answers, interpolated between neighbours, as percentile_cont() over the scores. A fraction outside 0 to 1 raises numeric_value_out_of_range (22003). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.median(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_median'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.median(cxm.ratings) IS
'Middle score, the mean of the two in the middle when their number is even: cxm.percentile_cont(ratings, 0.5). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.mean_interval(ratings cxm.ratings, confidence double precision DEFAULT 0.95,
    OUT lower double precision, OUT upper double precision)
AS 'MODULE_PATHNAME', 'cxm_ratings_mean_interval'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.mean_interval(cxm.ratings, double precision) IS
'Confidence interval of the mean score by Student''s t distribution with n - 1 degrees of freedom, on the scale of the ratings and not cut off at its ends. confidence is between 0 and 1, else invalid_parameter_value (22023). Both ends are NULL for fewer than two answers.';

---- Customer effort and customer satisfaction

CREATE FUNCTION cxm.ces(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_mean'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.ces(cxm.ratings) IS
'Customer Effort Score: the mean score, on the scale of the ratings (usually 1 to 7). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.csat(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_csat'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.csat(cxm.ratings) IS
'Customer satisfaction: the percentage (0 to 100) of answers with one of the two highest scores of the scale. NULL when there are no answers and for NULL. A scale of two points raises invalid_parameter_value (22023).';

CREATE FUNCTION cxm.csat(ratings cxm.ratings, satisfied_from integer) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_csat'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.csat(cxm.ratings, integer) IS
'Customer satisfaction: the percentage (0 to 100) of answers with the score satisfied_from or higher. NULL when there are no answers and for NULL. A cut point that is not above the lowest score and on the scale raises invalid_parameter_value (22023).';

CREATE FUNCTION cxm.csat_interval(ratings cxm.ratings, confidence double precision DEFAULT 0.95,
    OUT lower double precision, OUT upper double precision)
AS 'MODULE_PATHNAME', 'cxm_ratings_csat_interval'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.csat_interval(cxm.ratings, double precision) IS
'Confidence interval of cxm.csat(ratings), in percent (0 to 100), by the method of Wilson (1927) without continuity correction. confidence is between 0 and 1, else invalid_parameter_value (22023). Both ends are NULL when there are no answers.';

CREATE FUNCTION cxm.csat_interval(ratings cxm.ratings, confidence double precision, satisfied_from integer,
    OUT lower double precision, OUT upper double precision)
AS 'MODULE_PATHNAME', 'cxm_ratings_csat_interval'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.csat_interval(cxm.ratings, double precision, integer) IS
'Confidence interval of cxm.csat(ratings, satisfied_from), in percent (0 to 100), by the method of Wilson (1927) without continuity correction. Errors as cxm.csat(ratings, satisfied_from). Both ends are NULL when there are no answers.';

---- Net Promoter Score
--
-- Each function comes twice: for the scale 0 to 10 with the cut points that define the score (passive from 7, promoter
-- from 9), and with explicit cut points for any scale.

CREATE FUNCTION cxm.nps(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_nps'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps(cxm.ratings) IS
'Net Promoter Score: percentage of promoters less percentage of detractors, -100 to 100, not rounded. Detractors are 0 to 6, passives 7 and 8, promoters 9 and 10; another scale raises invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.nps(ratings cxm.ratings, passive_from integer, promoter_from integer) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_nps'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps(cxm.ratings, integer, integer) IS
'Net Promoter Score: percentage of promoters less percentage of detractors, -100 to 100, not rounded. Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.nps_variance(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_nps_variance'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_variance(cxm.ratings) IS
'Variance of what one answer adds to the Net Promoter Score (100, 0 or -100), 0 to 10000, divided by n and not n - 1. Detractors are 0 to 6, passives 7 and 8, promoters 9 and 10; another scale raises invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.nps_variance(ratings cxm.ratings, passive_from integer, promoter_from integer) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_nps_variance'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_variance(cxm.ratings, integer, integer) IS
'Variance of what one answer adds to the Net Promoter Score (100, 0 or -100), 0 to 10000, divided by n and not n - 1. Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.nps_se(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_nps_se'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_se(cxm.ratings) IS
'Standard error of the Net Promoter Score, in points: the root of cxm.nps_variance() over the number of answers. Detractors are 0 to 6, passives 7 and 8, promoters 9 and 10; another scale raises invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.nps_se(ratings cxm.ratings, passive_from integer, promoter_from integer) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_nps_se'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_se(cxm.ratings, integer, integer) IS
'Standard error of the Net Promoter Score, in points: the root of cxm.nps_variance() over the number of answers. Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.promoters(ratings cxm.ratings) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_ratings_promoters'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.promoters(cxm.ratings) IS
'Number of promoters. Detractors are 0 to 6, passives 7 and 8, promoters 9 and 10; another scale raises invalid_parameter_value (22023). 0 when there are none, NULL for NULL.';

CREATE FUNCTION cxm.promoters(ratings cxm.ratings, passive_from integer, promoter_from integer) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_ratings_promoters'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.promoters(cxm.ratings, integer, integer) IS
'Number of promoters. Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023). 0 when there are none, NULL for NULL.';

CREATE FUNCTION cxm.passives(ratings cxm.ratings) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_ratings_passives'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.passives(cxm.ratings) IS
'Number of passives. Detractors are 0 to 6, passives 7 and 8, promoters 9 and 10; another scale raises invalid_parameter_value (22023). 0 when there are none, NULL for NULL.';

CREATE FUNCTION cxm.passives(ratings cxm.ratings, passive_from integer, promoter_from integer) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_ratings_passives'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.passives(cxm.ratings, integer, integer) IS
'Number of passives. Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023). 0 when there are none, NULL for NULL.';

CREATE FUNCTION cxm.detractors(ratings cxm.ratings) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_ratings_detractors'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.detractors(cxm.ratings) IS
'Number of detractors. Detractors are 0 to 6, passives 7 and 8, promoters 9 and 10; another scale raises invalid_parameter_value (22023). 0 when there are none, NULL for NULL.';

CREATE FUNCTION cxm.detractors(ratings cxm.ratings, passive_from integer, promoter_from integer) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_ratings_detractors'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.detractors(cxm.ratings, integer, integer) IS
'Number of detractors. Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023). 0 when there are none, NULL for NULL.';

CREATE FUNCTION cxm.promoter_share(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_promoter_share'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.promoter_share(cxm.ratings) IS
'Percentage of promoters, 0 to 100. Detractors are 0 to 6, passives 7 and 8, promoters 9 and 10; another scale raises invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.promoter_share(ratings cxm.ratings, passive_from integer, promoter_from integer) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_promoter_share'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.promoter_share(cxm.ratings, integer, integer) IS
'Percentage of promoters, 0 to 100. Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.passive_share(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_passive_share'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.passive_share(cxm.ratings) IS
'Percentage of passives, 0 to 100. Detractors are 0 to 6, passives 7 and 8, promoters 9 and 10; another scale raises invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.passive_share(ratings cxm.ratings, passive_from integer, promoter_from integer) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_passive_share'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.passive_share(cxm.ratings, integer, integer) IS
'Percentage of passives, 0 to 100. Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.detractor_share(ratings cxm.ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_detractor_share'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.detractor_share(cxm.ratings) IS
'Percentage of detractors, 0 to 100. Detractors are 0 to 6, passives 7 and 8, promoters 9 and 10; another scale raises invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.detractor_share(ratings cxm.ratings, passive_from integer, promoter_from integer) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_ratings_detractor_share'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.detractor_share(cxm.ratings, integer, integer) IS
'Percentage of detractors, 0 to 100. Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023). NULL when there are no answers and for NULL.';

CREATE FUNCTION cxm.nps_interval(ratings cxm.ratings, confidence double precision DEFAULT 0.95,
    method text DEFAULT 'adjusted_wald',
    OUT lower double precision, OUT upper double precision)
AS 'MODULE_PATHNAME', 'cxm_ratings_nps_interval'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_interval(cxm.ratings, double precision, text) IS
'Confidence interval of the Net Promoter Score, within -100 to 100. method is adjusted_wald (Agresti and Min 2005: 3/4 promoter, 3/2 passives and 3/4 detractor are added to the sample), wald, or score (Tango 1998, May and Johnson 1997; iterative). confidence is between 0 and 1. Another confidence, method or scale than these raises invalid_parameter_value (22023). Both ends are NULL when there are no answers.';

CREATE FUNCTION cxm.nps_interval(ratings cxm.ratings, confidence double precision, method text,
    passive_from integer, promoter_from integer,
    OUT lower double precision, OUT upper double precision)
AS 'MODULE_PATHNAME', 'cxm_ratings_nps_interval'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_interval(cxm.ratings, double precision, text, integer, integer) IS
'Confidence interval of the Net Promoter Score with explicit cut points, within -100 to 100. method is adjusted_wald (Agresti and Min 2005: 3/4 promoter, 3/2 passives and 3/4 detractor are added to the sample), wald, or score (Tango 1998, May and Johnson 1997; iterative). Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023). Both ends are NULL when there are no answers.';

CREATE FUNCTION cxm.nps_test(a cxm.ratings, b cxm.ratings, method text DEFAULT 'adjusted_wald',
    confidence double precision DEFAULT 0.95,
    OUT difference double precision, OUT standard_error double precision,
    OUT z double precision, OUT p_value double precision,
    OUT lower double precision, OUT upper double precision)
AS 'MODULE_PATHNAME', 'cxm_ratings_nps_test'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_test(cxm.ratings, cxm.ratings, text, double precision) IS
'Test whether the Net Promoter Scores of two independent samples differ: difference (first less second) and standard error in points, z, two-sided p_value (0 to 1), and the confidence interval of the difference, not cut off. method is adjusted_wald (3/4 promoter, 3/2 passives and 3/4 detractor are added to each sample, so the difference is the adjusted one) or wald. z and p_value are NULL when the standard error is 0, everything is NULL when a sample has no answers. Another method, scale or confidence raises invalid_parameter_value (22023).';

CREATE FUNCTION cxm.nps_test(a cxm.ratings, b cxm.ratings, method text, confidence double precision,
    passive_from integer, promoter_from integer,
    OUT difference double precision, OUT standard_error double precision,
    OUT z double precision, OUT p_value double precision,
    OUT lower double precision, OUT upper double precision)
AS 'MODULE_PATHNAME', 'cxm_ratings_nps_test'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_test(cxm.ratings, cxm.ratings, text, double precision, integer, integer) IS
'Test whether the Net Promoter Scores of two independent samples differ: difference (first less second) and standard error in points, z, two-sided p_value (0 to 1), and the confidence interval of the difference, not cut off. method is adjusted_wald (3/4 promoter, 3/2 passives and 3/4 detractor are added to each sample, so the difference is the adjusted one) or wald. z and p_value are NULL when the standard error is 0, everything is NULL when a sample has no answers. Promoters are the scores from promoter_from, passives those from passive_from below that, detractors the rest. Cut points must be above the lowest score, on the scale and in order, else invalid_parameter_value (22023).';

---- Aggregates in one step

CREATE AGGREGATE cxm.nps(score smallint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    FINALFUNC = cxm.nps,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.nps,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps(smallint) IS
'Net Promoter Score, -100 to 100, of scores 0 to 10, one answer a row; the same as cxm.nps(cxm.nps_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.nps(score integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    FINALFUNC = cxm.nps,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.nps,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps(integer) IS
'Net Promoter Score, -100 to 100, of scores 0 to 10, one answer a row; the same as cxm.nps(cxm.nps_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.nps(score bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    FINALFUNC = cxm.nps,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.nps,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps(bigint) IS
'Net Promoter Score, -100 to 100, of scores 0 to 10, one answer a row; the same as cxm.nps(cxm.nps_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.nps(score numeric) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    FINALFUNC = cxm.nps,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.nps,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps(numeric) IS
'Net Promoter Score, -100 to 100, of scores 0 to 10, one answer a row; the same as cxm.nps(cxm.nps_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.nps(score double precision) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    FINALFUNC = cxm.nps,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.nps,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps(double precision) IS
'Net Promoter Score, -100 to 100, of scores 0 to 10, one answer a row; the same as cxm.nps(cxm.nps_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.nps(score smallint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    FINALFUNC = cxm.nps,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.nps,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps(smallint, bigint) IS
'Net Promoter Score, -100 to 100, of scores 0 to 10, n answers a row; the same as cxm.nps(cxm.nps_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.nps(score integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    FINALFUNC = cxm.nps,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.nps,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps(integer, bigint) IS
'Net Promoter Score, -100 to 100, of scores 0 to 10, n answers a row; the same as cxm.nps(cxm.nps_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.nps(score bigint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    FINALFUNC = cxm.nps,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.nps,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps(bigint, bigint) IS
'Net Promoter Score, -100 to 100, of scores 0 to 10, n answers a row; the same as cxm.nps(cxm.nps_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.nps(score numeric, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    FINALFUNC = cxm.nps,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.nps,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps(numeric, bigint) IS
'Net Promoter Score, -100 to 100, of scores 0 to 10, n answers a row; the same as cxm.nps(cxm.nps_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.nps(score double precision, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    FINALFUNC = cxm.nps,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '0..10:{0,0,0,0,0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.nps,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.nps(double precision, bigint) IS
'Net Promoter Score, -100 to 100, of scores 0 to 10, n answers a row; the same as cxm.nps(cxm.nps_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.csat(score smallint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    FINALFUNC = cxm.csat,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    MFINALFUNC = cxm.csat,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat(smallint) IS
'Customer satisfaction, 0 to 100: percentage of the scores 4 and 5 among scores 1 to 5, one answer a row; the same as cxm.csat(cxm.csat_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.csat(score integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    FINALFUNC = cxm.csat,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    MFINALFUNC = cxm.csat,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat(integer) IS
'Customer satisfaction, 0 to 100: percentage of the scores 4 and 5 among scores 1 to 5, one answer a row; the same as cxm.csat(cxm.csat_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.csat(score bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    FINALFUNC = cxm.csat,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    MFINALFUNC = cxm.csat,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat(bigint) IS
'Customer satisfaction, 0 to 100: percentage of the scores 4 and 5 among scores 1 to 5, one answer a row; the same as cxm.csat(cxm.csat_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.csat(score numeric) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    FINALFUNC = cxm.csat,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    MFINALFUNC = cxm.csat,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat(numeric) IS
'Customer satisfaction, 0 to 100: percentage of the scores 4 and 5 among scores 1 to 5, one answer a row; the same as cxm.csat(cxm.csat_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.csat(score double precision) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    FINALFUNC = cxm.csat,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    MFINALFUNC = cxm.csat,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat(double precision) IS
'Customer satisfaction, 0 to 100: percentage of the scores 4 and 5 among scores 1 to 5, one answer a row; the same as cxm.csat(cxm.csat_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.csat(score smallint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    FINALFUNC = cxm.csat,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    MFINALFUNC = cxm.csat,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat(smallint, bigint) IS
'Customer satisfaction, 0 to 100: percentage of the scores 4 and 5 among scores 1 to 5, n answers a row; the same as cxm.csat(cxm.csat_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.csat(score integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    FINALFUNC = cxm.csat,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    MFINALFUNC = cxm.csat,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat(integer, bigint) IS
'Customer satisfaction, 0 to 100: percentage of the scores 4 and 5 among scores 1 to 5, n answers a row; the same as cxm.csat(cxm.csat_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.csat(score bigint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    FINALFUNC = cxm.csat,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    MFINALFUNC = cxm.csat,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat(bigint, bigint) IS
'Customer satisfaction, 0 to 100: percentage of the scores 4 and 5 among scores 1 to 5, n answers a row; the same as cxm.csat(cxm.csat_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.csat(score numeric, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    FINALFUNC = cxm.csat,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    MFINALFUNC = cxm.csat,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat(numeric, bigint) IS
'Customer satisfaction, 0 to 100: percentage of the scores 4 and 5 among scores 1 to 5, n answers a row; the same as cxm.csat(cxm.csat_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.csat(score double precision, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..5:{0,0,0,0,0}',
    FINALFUNC = cxm.csat,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..5:{0,0,0,0,0}',
    MFINALFUNC = cxm.csat,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.csat(double precision, bigint) IS
'Customer satisfaction, 0 to 100: percentage of the scores 4 and 5 among scores 1 to 5, n answers a row; the same as cxm.csat(cxm.csat_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ces(score smallint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    FINALFUNC = cxm.ces,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.ces,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces(smallint) IS
'Customer Effort Score, 1 to 7: mean of scores 1 to 7, one answer a row; the same as cxm.ces(cxm.ces_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.ces(score integer) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    FINALFUNC = cxm.ces,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.ces,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces(integer) IS
'Customer Effort Score, 1 to 7: mean of scores 1 to 7, one answer a row; the same as cxm.ces(cxm.ces_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.ces(score bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    FINALFUNC = cxm.ces,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.ces,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces(bigint) IS
'Customer Effort Score, 1 to 7: mean of scores 1 to 7, one answer a row; the same as cxm.ces(cxm.ces_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003).';

CREATE AGGREGATE cxm.ces(score numeric) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    FINALFUNC = cxm.ces,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.ces,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces(numeric) IS
'Customer Effort Score, 1 to 7: mean of scores 1 to 7, one answer a row; the same as cxm.ces(cxm.ces_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ces(score double precision) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    FINALFUNC = cxm.ces,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.ces,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces(double precision) IS
'Customer Effort Score, 1 to 7: mean of scores 1 to 7, one answer a row; the same as cxm.ces(cxm.ces_agg(score)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ces(score smallint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    FINALFUNC = cxm.ces,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.ces,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces(smallint, bigint) IS
'Customer Effort Score, 1 to 7: mean of scores 1 to 7, n answers a row; the same as cxm.ces(cxm.ces_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.ces(score integer, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    FINALFUNC = cxm.ces,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.ces,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces(integer, bigint) IS
'Customer Effort Score, 1 to 7: mean of scores 1 to 7, n answers a row; the same as cxm.ces(cxm.ces_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.ces(score bigint, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    FINALFUNC = cxm.ces,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.ces,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces(bigint, bigint) IS
'Customer Effort Score, 1 to 7: mean of scores 1 to 7, n answers a row; the same as cxm.ces(cxm.ces_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too.';

CREATE AGGREGATE cxm.ces(score numeric, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    FINALFUNC = cxm.ces,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.ces,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces(numeric, bigint) IS
'Customer Effort Score, 1 to 7: mean of scores 1 to 7, n answers a row; the same as cxm.ces(cxm.ces_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';

CREATE AGGREGATE cxm.ces(score double precision, n bigint) (
    SFUNC = cxm.add_score, STYPE = cxm.ratings, SSPACE = 128, INITCOND = '1..7:{0,0,0,0,0,0,0}',
    FINALFUNC = cxm.ces,
    COMBINEFUNC = cxm.ratings_add,
    MSFUNC = cxm.add_score, MINVFUNC = cxm.remove_score, MSTYPE = cxm.ratings, MSSPACE = 128, MINITCOND = '1..7:{0,0,0,0,0,0,0}',
    MFINALFUNC = cxm.ces,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.ces(double precision, bigint) IS
'Customer Effort Score, 1 to 7: mean of scores 1 to 7, n answers a row; the same as cxm.ces(cxm.ces_agg(score, n)). Rows with a NULL argument are skipped; NULL when no answers remain. A score off the scale raises numeric_value_out_of_range (22003). A negative n too. A score that is not whole raises invalid_parameter_value (22023); NaN and infinity are on no scale.';
