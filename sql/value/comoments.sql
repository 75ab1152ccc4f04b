-- Co-moments: counts, means and sums of products of an outcome and its drivers, from which correlation, regression and
-- the importance of drivers (value/drivers) are read.
--
-- comoments_agg() builds a value, rollup() and + join values, the accessors read it.

---- Type

CREATE TYPE cxm.comoments;

CREATE FUNCTION cxm.comoments_in(cstring) RETURNS cxm.comoments
AS 'MODULE_PATHNAME', 'cxm_comoments_in'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.comoments_in(cstring) IS
'Input function of cxm.comoments. Text that is not co-moments raises invalid_text_representation (22P02).';

CREATE FUNCTION cxm.comoments_out(cxm.comoments) RETURNS cstring
AS 'MODULE_PATHNAME', 'cxm_comoments_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.comoments_out(cxm.comoments) IS
'Output function of cxm.comoments: policy:drivers and groups of numbers in braces, or empty. Every number is written so that it comes back exactly, whatever extra_float_digits says. Equal values have equal text.';

CREATE FUNCTION cxm.comoments_recv(internal) RETURNS cxm.comoments
AS 'MODULE_PATHNAME', 'cxm_comoments_recv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.comoments_recv(internal) IS
'Binary input function of cxm.comoments. Every byte is checked; what cannot be co-moments raises invalid_binary_representation (22P03).';

CREATE FUNCTION cxm.comoments_send(cxm.comoments) RETURNS bytea
AS 'MODULE_PATHNAME', 'cxm_comoments_send'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.comoments_send(cxm.comoments) IS
'Binary output function of cxm.comoments: format version and policy (a byte each), number of drivers (two bytes), then the counts (bigint) and numbers (double precision) in the order of the text form, all big-endian.';

CREATE TYPE cxm.comoments (
    INPUT = cxm.comoments_in,
    OUTPUT = cxm.comoments_out,
    RECEIVE = cxm.comoments_recv,
    SEND = cxm.comoments_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = external
);

COMMENT ON TYPE cxm.comoments IS
'Counts, means and sums of squares and products of an outcome and 1 to 100 drivers, with or without weights, and how many rows were left out for what is missing. With p drivers and m = p + 1 variables: listwise 64 + 8 (p + 2 m + m (m + 1) / 2) bytes, pairwise 64 + 8 p + 36 m (m + 1). The value empty is neutral in sums.';

---- Rows and sums

CREATE FUNCTION cxm.comoments_add_row(comoments cxm.comoments, y double precision, x double precision[]) RETURNS cxm.comoments
AS 'MODULE_PATHNAME', 'cxm_comoments_row'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.comoments_add_row(cxm.comoments, double precision, double precision[]) IS
'The co-moments with one row more: outcome y and drivers x. A row in which anything is NULL is counted as left out (listwise). NULL when the first argument is. NaN, infinity and sums too large raise numeric_value_out_of_range (22003), another number of drivers than before or pairwise co-moments invalid_parameter_value (22023), an array that is empty or has two dimensions 2202E, more than 100 drivers 54000. Also the transition function of the aggregate.';

CREATE FUNCTION cxm.comoments_add_row(comoments cxm.comoments, y double precision, x double precision[], missing text) RETURNS cxm.comoments
AS 'MODULE_PATHNAME', 'cxm_comoments_row_missing'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.comoments_add_row(cxm.comoments, double precision, double precision[], text) IS
'The co-moments with one row more. missing says what becomes of a row with a NULL: listwise (it is left out) or pairwise (each pair of variables uses the rows that have both); another policy than that of the co-moments raises invalid_parameter_value (22023). Other errors as without it. Also the transition function of the aggregate.';

CREATE FUNCTION cxm.comoments_add_row(comoments cxm.comoments, y double precision, x double precision[], weight double precision) RETURNS cxm.comoments
AS 'MODULE_PATHNAME', 'cxm_comoments_row_weight'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.comoments_add_row(cxm.comoments, double precision, double precision[], double precision) IS
'The co-moments with one row of this weight more, listwise. A row whose weight is NULL or 0 is counted as left out; a negative one, NaN and infinity raise numeric_value_out_of_range (22003). Other errors as without it. Also the transition function of the aggregate.';

CREATE FUNCTION cxm.comoments_add_row(comoments cxm.comoments, y double precision, x double precision[], weight double precision, missing text) RETURNS cxm.comoments
AS 'MODULE_PATHNAME', 'cxm_comoments_row_weight_missing'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.comoments_add_row(cxm.comoments, double precision, double precision[], double precision, text) IS
'The co-moments with one row of this weight more, missing being listwise or pairwise. Errors as of the forms with one of the two. Also the transition function of the aggregate.';

CREATE FUNCTION cxm.comoments_add(cxm.comoments, cxm.comoments) RETURNS cxm.comoments
AS 'MODULE_PATHNAME', 'cxm_comoments_join'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.comoments_add(cxm.comoments, cxm.comoments) IS
'The co-moments of the rows of both. NULL when an argument is NULL. Different numbers of drivers, or listwise and pairwise, raise invalid_parameter_value (22023). Also the combine function of the aggregates.';

CREATE OPERATOR cxm.+ (
    LEFTARG = cxm.comoments,
    RIGHTARG = cxm.comoments,
    FUNCTION = cxm.comoments_add,
    COMMUTATOR = OPERATOR(cxm.+)
);

COMMENT ON OPERATOR cxm.+ (cxm.comoments, cxm.comoments) IS 'the rows of both';

---- Aggregates

CREATE AGGREGATE cxm.comoments_agg(y double precision, x double precision[]) (
    SFUNC = cxm.comoments_add_row, STYPE = cxm.comoments, SSPACE = 1024, INITCOND = 'empty',
    COMBINEFUNC = cxm.comoments_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.comoments_agg(double precision, double precision[]) IS
'Co-moments of outcome y and drivers x, at most 100, in the same order in every row. Listwise: a row in which the outcome or a driver is NULL is left out, and counted (cxm.comoments_summary). No rows give empty, not NULL. Errors as of cxm.comoments_add_row().';

CREATE AGGREGATE cxm.comoments_agg(y double precision, x double precision[], missing text) (
    SFUNC = cxm.comoments_add_row, STYPE = cxm.comoments, SSPACE = 1024, INITCOND = 'empty',
    COMBINEFUNC = cxm.comoments_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.comoments_agg(double precision, double precision[], text) IS
'Co-moments of outcome y and drivers x. missing is listwise (a row with a NULL is left out, and counted) or pairwise (each pair of variables uses the rows that have both). No rows give empty, not NULL. Errors as of cxm.comoments_add_row().';

CREATE AGGREGATE cxm.comoments_agg(y double precision, x double precision[], weight double precision) (
    SFUNC = cxm.comoments_add_row, STYPE = cxm.comoments, SSPACE = 1024, INITCOND = 'empty',
    COMBINEFUNC = cxm.comoments_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.comoments_agg(double precision, double precision[], double precision) IS
'Weighted co-moments of outcome y and drivers x, listwise; a row whose weight is NULL or 0 is left out, and counted. Only the ratio of the weights matters. No rows give empty, not NULL. Errors as of cxm.comoments_add_row().';

CREATE AGGREGATE cxm.comoments_agg(y double precision, x double precision[], weight double precision, missing text) (
    SFUNC = cxm.comoments_add_row, STYPE = cxm.comoments, SSPACE = 1024, INITCOND = 'empty',
    COMBINEFUNC = cxm.comoments_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.comoments_agg(double precision, double precision[], double precision, text) IS
'Weighted co-moments of outcome y and drivers x, missing being listwise or pairwise. No rows give empty, not NULL. Errors as of cxm.comoments_add_row().';

CREATE AGGREGATE cxm.rollup(comoments cxm.comoments) (
    SFUNC = cxm.comoments_add, STYPE = cxm.comoments, SSPACE = 1024, INITCOND = 'empty',
    COMBINEFUNC = cxm.comoments_add,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE cxm.rollup(cxm.comoments) IS
'Co-moments of all the rows of these values. NULL values are skipped; no values give empty. Errors as of cxm.comoments_add().';

---- Accessors

CREATE FUNCTION cxm.comoments_summary(comoments cxm.comoments,
                                      OUT missing text, OUT drivers integer, OUT rows bigint, OUT complete bigint, OUT least_n bigint, OUT most_n bigint,
                                      OUT no_weight bigint, OUT no_outcome bigint, OUT no_drivers bigint, OUT effective_n double precision) RETURNS record
AS 'MODULE_PATHNAME', 'cxm_comoments_summary'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.comoments_summary(cxm.comoments) IS
'What the co-moments rest on. missing: listwise or pairwise (NULL for empty); rows: all there were; complete: rows with a weight and without a gap; least_n and most_n: rows of the rarest and the most frequent pair of variables (listwise both are complete); no_weight: rows left out because their weight was NULL or 0; of the others, no_outcome: rows without an outcome, no_drivers: rows whose array of drivers was NULL; effective_n: as many rows of equal weight as least_n tells as much (Kish).';

CREATE FUNCTION cxm.comoments_variables(comoments cxm.comoments,
                                        OUT variable integer, OUT n bigint, OUT missing bigint, OUT mean double precision, OUT variance double precision,
                                        OUT stddev double precision) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_comoments_variables'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10;

COMMENT ON FUNCTION cxm.comoments_variables(cxm.comoments) IS
'A row a variable: 0 is the outcome, from 1 on the drivers. n: rows used (listwise those without any gap, pairwise those with this variable); missing: rows in which it was NULL; mean, variance and standard deviation of the sample over the rows used (NULL for too few), weighted where there are weights.';

CREATE FUNCTION cxm.covariance(comoments cxm.comoments, i integer, j integer) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_comoments_covariance'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.covariance(cxm.comoments, integer, integer) IS
'Sample covariance of two variables, or variance of one: 0 is the outcome, from 1 on the drivers. NULL for fewer than two rows that have both. A variable that is not there raises invalid_parameter_value (22023).';

CREATE FUNCTION cxm.correlation(comoments cxm.comoments, i integer, j integer) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_comoments_correlation_of'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.correlation(cxm.comoments, integer, integer) IS
'Pearson''s correlation of two variables, -1 to 1: 0 is the outcome, from 1 on the drivers; pairwise over the rows that have both. NULL where one of them does not vary. A variable that is not there raises invalid_parameter_value (22023).';

CREATE FUNCTION cxm.correlations(comoments cxm.comoments) RETURNS double precision[]
AS 'MODULE_PATHNAME', 'cxm_comoments_correlations'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.correlations(cxm.comoments) IS
'The matrix of all correlations, the outcome in the first row and column; its lower bounds are 0, so [0][i] is that of the outcome and driver i. NULL for empty; an element is NULL where a variable does not vary.';

CREATE FUNCTION cxm.nps_points(score double precision) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_nps_points'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.nps_points(double precision) IS
'What one answer adds to the Net Promoter Score, of which it is the mean: -100 for 0 to 6, 0 for 7 and 8, 100 for 9 and 10. As an outcome of drivers it says what moves the NPS, where the score itself says what moves the score. A score that is not whole or not on the scale raises numeric_value_out_of_range (22003).';
