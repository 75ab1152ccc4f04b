-- Record linkage after Fellegi and Sunter: which records of a query are about one and the same, although they share no
-- key. The query runs under the rights of the caller.

CREATE FUNCTION cxm.em(vectors integer[], counts bigint[] DEFAULT NULL, max_iterations integer DEFAULT 5000, tolerance double precision DEFAULT 1e-9)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'cxm_em_sql'
LANGUAGE C IMMUTABLE PARALLEL SAFE
COST 1000;

COMMENT ON FUNCTION cxm.em(integer[], bigint[], integer, double precision) IS
'The model of Fellegi and Sunter for given comparison vectors, by expectation maximisation with independent comparisons. vectors has two dimensions, a row a pair of records and a column a comparison: levels from 0 (no agreement) to at most 14 upwards, -1 for a missing value, at most 16 columns. counts, of one dimension, says how many pairs have each vector; NULL: one each. The answer is {"lambda": share of matches, "m": [[m of level 0, 1, ...], ...], "u": likewise, "converged": no parameter changed by more than tolerance, "log_likelihood": natural logarithm}. NULL when vectors is NULL or counts are all 0. Arguments of another form raise array_subscript_error (2202E), null_value_not_allowed (22004), invalid_parameter_value (22023) or program_limit_exceeded (54000).';

CREATE FUNCTION cxm.linkage_settings(query text, settings jsonb DEFAULT '{}')
RETURNS jsonb
AS 'MODULE_PATHNAME', 'cxm_linkage_settings'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
COST 1000000;

COMMENT ON FUNCTION cxm.linkage_settings(text, jsonb) IS
'Settings for the records of a query, from a look at a sample of them: how each column is compared, which pairs are compared at all, and from which the model is learnt. What the given settings say stands; the answer is meant to be read and changed. The same records give the same settings. The id is the column that the settings name, or id, unique_id, record_id or rec_id; columns without two different values, and numbers and times that never repeat, are left out, and so are all but the 16 most telling ones. Errors as of cxm.linkage_train(); no column to compare raises no_data_found (P0002). NULL when an argument is NULL.';

CREATE FUNCTION cxm.linkage_train(query text, settings jsonb DEFAULT '{}', seed bigint DEFAULT 42)
RETURNS jsonb
AS 'MODULE_PATHNAME', 'cxm_linkage_train'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
COST 1000000;

COMMENT ON FUNCTION cxm.linkage_train(text, jsonb, bigint) IS
'Learns from the records of a query what agreement is worth, without known matches; what the settings do not say of comparisons and blocking is chosen by cxm.linkage_settings(). Gives a model: the settings with "lambda" (share of matches among all pairs), "m" and "u" at each level and "training_result". u is estimated from random pairs ("sample", exactly where there are no more pairs than that), m by expectation maximisation over the pairs of each of the "training" rules and averaged, lambda from the "deterministic" rules and their "recall", otherwise from the sessions; then the matches are taken out of u ("correct_u"). The same records, settings and seed give the same model, in whatever order the records come. Settings that mean nothing raise invalid_parameter_value (22023), a column that the query does not have undefined_column (42703), one of an unfit type datatype_mismatch (42804), an id that repeats unique_violation (23505), rules with more than "max_pairs" pairs program_limit_exceeded (54000), rules without any no_data_found (P0002). NULL when an argument is NULL. See docs/linkage.md for the settings.';

CREATE FUNCTION cxm.linkage_score(query text, model jsonb, threshold double precision DEFAULT 0.95, one_to_one boolean DEFAULT false,
    OUT record_a text, OUT record_b text, OUT weight double precision, OUT probability double precision, OUT levels integer[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_linkage_score'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
COST 1000000 ROWS 1000;

COMMENT ON FUNCTION cxm.linkage_score(text, jsonb, double precision, boolean) IS
'Pairs of records that a model takes for matches: those that a "blocking" rule brings together and whose probability is at least threshold (0 to less than 1), each once, in no order. weight is log2 of the odds, probability = 2^weight / (1 + 2^weight); levels holds a number a comparison: -1 a value is missing, 0 no agreement, higher is nearer. Of one set record_a comes before record_b in the order of the ids'' bytes; of two sources (link_only) it is of the one whose name comes first. one_to_one, with link_only, gives each record at most one partner, the heaviest pairs first. Errors as of cxm.linkage_train(); a model without lambda, m or u raises invalid_parameter_value (22023). No rows when an argument is NULL.';

CREATE FUNCTION cxm.linkage_explain(query text, model jsonb, record_a text, record_b text,
    OUT step integer, OUT comparison text, OUT value_a text, OUT value_b text, OUT level text, OUT m double precision, OUT u double precision,
    OUT weight double precision, OUT total double precision, OUT probability double precision)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'cxm_linkage_explain'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
COST 1000000 ROWS 10;

COMMENT ON FUNCTION cxm.linkage_explain(text, jsonb, text, text) IS
'Why a pair of records has its score, a row a step in order: the prior, then for each comparison the two values, the level that they reach, its m and u, and log2(m / u) as weight; where the frequency of the value counts, a row more. total is the sum of the weights up to this row, probability what belongs to it; those of the last row are the ones of cxm.linkage_score(). An id that the query does not have raises no_data_found (P0002); other errors as of cxm.linkage_score(). No rows when an argument is NULL.';
