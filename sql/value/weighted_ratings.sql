-- Weighted ratings: answers that stand for more or fewer people each, by score; what a weighted survey comes to.

---- Type

CREATE TYPE cxm.weighted_ratings;

CREATE FUNCTION cxm.weighted_ratings_in(cstring) RETURNS cxm.weighted_ratings
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_in'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.weighted_ratings_in(cstring) IS
'Input function of cxm.weighted_ratings. Text that is not weighted ratings raises invalid_text_representation (22P02).';

CREATE FUNCTION cxm.weighted_ratings_out(cxm.weighted_ratings) RETURNS cstring
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.weighted_ratings_out(cxm.weighted_ratings) IS
'Output function of cxm.weighted_ratings: the scale, the number of answers, and for each score the sum of the weights and that of their squares, in the fewest digits that give the numbers back; empty for a value without a scale.';

CREATE FUNCTION cxm.weighted_ratings_recv(internal) RETURNS cxm.weighted_ratings
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_recv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.weighted_ratings_recv(internal) IS
'Binary input function of cxm.weighted_ratings. Bytes that are not weighted ratings raise invalid_binary_representation (22P03).';

CREATE FUNCTION cxm.weighted_ratings_send(cxm.weighted_ratings) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_send'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.weighted_ratings_send(cxm.weighted_ratings) IS
'Binary output function of cxm.weighted_ratings, the same on every platform.';

CREATE TYPE cxm.weighted_ratings (
    INPUT = cxm.weighted_ratings_in,
    OUTPUT = cxm.weighted_ratings_out,
    RECEIVE = cxm.weighted_ratings_recv,
    SEND = cxm.weighted_ratings_send,
    INTERNALLENGTH = 192,
    ALIGNMENT = double,
    STORAGE = plain
);

COMMENT ON TYPE cxm.weighted_ratings IS
'Weighted answers by score on a scale of 2 to 11 points: their number, and for each score the sum of the weights and of their squares. Text form 1..3:2:{0,1.5,2}:{0,2.25,4}.';

---- Building

CREATE FUNCTION cxm.add_weighted_score(ratings cxm.weighted_ratings, score bigint, weight double precision) RETURNS cxm.weighted_ratings
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_add_score'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_weighted_score(cxm.weighted_ratings, bigint, double precision) IS
'The ratings with one answer more. A score off the scale, and a weight that is negative, not finite or above 1e100, raise numeric_value_out_of_range (22003). NULL when an argument is NULL. Transition function of cxm.weighted_nps_agg.';

CREATE FUNCTION cxm.add_weighted_score(ratings cxm.weighted_ratings, score bigint, weight double precision, lo integer, hi integer) RETURNS cxm.weighted_ratings
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_add_score'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.add_weighted_score(cxm.weighted_ratings, bigint, double precision, integer, integer) IS
'The ratings on the scale lo to hi with one answer more; empty ratings get that scale. Errors as without a scale, and 22023 where the scale is none or another than that of the ratings. NULL when an argument is NULL. Transition function of cxm.weighted_ratings_agg.';

CREATE FUNCTION cxm.weighted_ratings_add(a cxm.weighted_ratings, b cxm.weighted_ratings) RETURNS cxm.weighted_ratings
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_add'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.weighted_ratings_add(cxm.weighted_ratings, cxm.weighted_ratings) IS
'All answers of both; empty ratings take the scale of the other. Different scales raise invalid_parameter_value (22023). NULL when an argument is NULL. The function of the operator + and the combine function of the aggregates.';

CREATE OPERATOR cxm.+ (
    FUNCTION = cxm.weighted_ratings_add,
    LEFTARG = cxm.weighted_ratings, RIGHTARG = cxm.weighted_ratings,
    COMMUTATOR = OPERATOR(cxm.+)
);

COMMENT ON OPERATOR cxm.+ (cxm.weighted_ratings, cxm.weighted_ratings) IS 'All answers of both.';

CREATE AGGREGATE cxm.weighted_nps_agg(score bigint, weight double precision) (
    SFUNC = cxm.add_weighted_score, STYPE = cxm.weighted_ratings, SSPACE = 256,
    INITCOND = '0..10:0:{0,0,0,0,0,0,0,0,0,0,0}:{0,0,0,0,0,0,0,0,0,0,0}',
    COMBINEFUNC = cxm.weighted_ratings_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.weighted_nps_agg(bigint, double precision) IS
'Weighted answers to the question of the Net Promoter Score, 0 to 10. Rows with a NULL score or weight are skipped. Sums of weights depend on the order of the rows in the last digits. Errors as cxm.add_weighted_score.';

CREATE AGGREGATE cxm.weighted_ratings_agg(score bigint, weight double precision, lo integer, hi integer) (
    SFUNC = cxm.add_weighted_score, STYPE = cxm.weighted_ratings, SSPACE = 256, INITCOND = 'empty',
    COMBINEFUNC = cxm.weighted_ratings_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.weighted_ratings_agg(bigint, double precision, integer, integer) IS
'Weighted answers on the scale lo to hi. Rows with a NULL argument are skipped; without rows the ratings are empty. Sums of weights depend on the order of the rows in the last digits. Errors as cxm.add_weighted_score.';

CREATE AGGREGATE cxm.rollup(ratings cxm.weighted_ratings) (
    SFUNC = cxm.weighted_ratings_add, STYPE = cxm.weighted_ratings, SSPACE = 256, INITCOND = 'empty',
    COMBINEFUNC = cxm.weighted_ratings_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.rollup(cxm.weighted_ratings) IS
'All answers of all ratings. NULL is skipped. Different scales raise invalid_parameter_value (22023).';

---- Reading

CREATE FUNCTION cxm.count(ratings cxm.weighted_ratings) RETURNS bigint
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_count'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.count(cxm.weighted_ratings) IS 'Number of answers, whatever they weigh.';

CREATE FUNCTION cxm.total_weight(ratings cxm.weighted_ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_total'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.total_weight(cxm.weighted_ratings) IS 'Sum of the weights.';

CREATE FUNCTION cxm.effective_n(ratings cxm.weighted_ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_effective_n'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.effective_n(cxm.weighted_ratings) IS
'Number of answers of equal weight that would be as precise: the square of the sum of the weights by the sum of their squares (Kish 1965). NULL without weight.';

CREATE FUNCTION cxm.design_effect(ratings cxm.weighted_ratings) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_design_effect'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.design_effect(cxm.weighted_ratings) IS
'Answers for each effective one, 1 or more (Kish 1965): what the weights cost in precision. NULL without weight.';

CREATE FUNCTION cxm.weighted_nps(ratings cxm.weighted_ratings, confidence double precision DEFAULT 0.95, passive_from integer DEFAULT 7, promoter_from integer DEFAULT 9,
    OUT nps double precision, OUT standard_error double precision, OUT lower double precision, OUT upper double precision) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_nps'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.weighted_nps(cxm.weighted_ratings, double precision, integer, integer) IS
'Weighted Net Promoter Score, -100 to 100, with the standard error of a linearised ratio (svymean of the R package survey, for answers drawn one by one) and the normal interval, cut off at the ends of the scale. The weights are taken as given: that raking has estimated them is not accounted for. All NULL without weight; error and interval NULL with fewer than two answers. A confidence that is not between 0 and 1, and cut points that are off the scale or out of order, raise invalid_parameter_value (22023).';

CREATE FUNCTION cxm.weighted_csat(ratings cxm.weighted_ratings, confidence double precision DEFAULT 0.95, satisfied_from integer DEFAULT NULL,
    OUT csat double precision, OUT standard_error double precision, OUT lower double precision, OUT upper double precision) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_csat'
LANGUAGE C IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.weighted_csat(cxm.weighted_ratings, double precision, integer) IS
'Weighted percentage of satisfied answers, 0 to 100, with standard error and interval as cxm.weighted_nps. Satisfied are scores from satisfied_from on; NULL = the two highest scores of the scale. NULL when ratings or confidence are NULL. Errors 22023 as cxm.weighted_nps.';

CREATE FUNCTION cxm.weighted_mean(ratings cxm.weighted_ratings, confidence double precision DEFAULT 0.95,
    OUT mean double precision, OUT standard_error double precision, OUT lower double precision, OUT upper double precision) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_weighted_ratings_mean'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.weighted_mean(cxm.weighted_ratings, double precision) IS
'Weighted mean of the scores on their own scale (such as CES), with standard error and interval as cxm.weighted_nps. Error 22023: a confidence that is not between 0 and 1.';
