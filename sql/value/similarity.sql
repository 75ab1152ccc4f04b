-- How alike two texts are: similarities from 0 to 1, and distances in edits.
--
-- Everything here counts characters of the database's encoding, not bytes, and compares them as they are: fold case
-- and accents first where they should not matter. All are symmetric.

CREATE FUNCTION cxm.jaro(a text, b text) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_jaro_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 2;

COMMENT ON FUNCTION cxm.jaro(text, text) IS
'Jaro similarity (Jaro 1989), from 0 (nothing in common) to 1 (equal): the mean of the shares of common characters in a and in b and of those in order among them. Characters are common when equal and at most greatest(length) / 2 - 1 apart. Half the characters out of order are counted, rounded down. Two empty texts have 1, one of them 0. NULL when an argument is NULL. A text of more than 1000000 characters raises program_limit_exceeded (54000), unless both are plain ASCII of at most 64.';

CREATE FUNCTION cxm.jaro_winkler(a text, b text, prefix_weight double precision DEFAULT 0.1) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_jaro_winkler_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 2;

COMMENT ON FUNCTION cxm.jaro_winkler(text, text, double precision) IS
'Jaro-Winkler similarity (Winkler 1990), from 0 to 1: j + l * prefix_weight * (1 - j), where j is cxm.jaro(a, b) and l the length of the common beginning, at most 4; j itself where j is not above 0.7. prefix_weight is between 0 and 0.25, otherwise invalid_parameter_value (22023). Empty texts, NULL and limits as in cxm.jaro().';

CREATE FUNCTION cxm.levenshtein(a text, b text) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_levenshtein_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 2;

COMMENT ON FUNCTION cxm.levenshtein(text, text) IS
'Levenshtein distance: the least number of characters to insert, delete or replace to make b of a; the length of b where a is empty. A metric. NULL when an argument is NULL. A text of more than 1000000 characters raises program_limit_exceeded (54000).';

CREATE FUNCTION cxm.levenshtein(a text, b text, max_distance integer) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_levenshtein_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 2;

COMMENT ON FUNCTION cxm.levenshtein(text, text, integer) IS
'Levenshtein distance where it is at most max_distance, otherwise max_distance + 1; much quicker on long texts when max_distance is small. A negative max_distance raises invalid_parameter_value (22023). NULL and limits as in cxm.levenshtein(text, text).';

CREATE FUNCTION cxm.osa(a text, b text) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_osa_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 2;

COMMENT ON FUNCTION cxm.osa(text, text) IS
'Optimal string alignment, also called restricted Damerau-Levenshtein distance: as cxm.levenshtein(), and swapping two neighbours counts once, but no place is edited twice. Not a metric: osa(CA, ABC) is 3, though osa(CA, AC) is 1 and osa(AC, ABC) is 1. NULL when an argument is NULL. A text of more than 1000000 characters raises program_limit_exceeded (54000).';

CREATE FUNCTION cxm.osa(a text, b text, max_distance integer) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_osa_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 2;

COMMENT ON FUNCTION cxm.osa(text, text, integer) IS
'Optimal string alignment where it is at most max_distance, otherwise max_distance + 1. A negative max_distance raises invalid_parameter_value (22023). NULL and limits as in cxm.osa(text, text).';

CREATE FUNCTION cxm.damerau(a text, b text) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_damerau_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 4;

COMMENT ON FUNCTION cxm.damerau(text, text) IS
'Damerau-Levenshtein distance: the least number of characters to insert, delete or replace and of neighbours to swap to make b of a, where a place may be edited again. A metric: damerau(CA, ABC) is 2. NULL when an argument is NULL. A text of more than 1000000 characters raises program_limit_exceeded (54000). Memory is linear in the length; the time of two long texts is their product, unless max_distance is given.';

CREATE FUNCTION cxm.damerau(a text, b text, max_distance integer) RETURNS integer
AS 'MODULE_PATHNAME', 'cxm_damerau_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 4;

COMMENT ON FUNCTION cxm.damerau(text, text, integer) IS
'Damerau-Levenshtein distance where it is at most max_distance, otherwise max_distance + 1. A negative max_distance raises invalid_parameter_value (22023). NULL and limits as in cxm.damerau(text, text).';

CREATE FUNCTION cxm.jaccard(a text, b text, n integer DEFAULT 2) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_jaccard_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 4;

COMMENT ON FUNCTION cxm.jaccard(text, text, integer) IS
'Jaccard similarity of the sets of n-grams (runs of n characters), from 0 to 1: grams in both / grams in either. A text of fewer than n characters is its own only gram; the empty text has none; two empty texts have 1. n is between 1 and 64, otherwise invalid_parameter_value (22023). NULL when an argument is NULL. A text of more than 1000000 characters raises program_limit_exceeded (54000).';

CREATE FUNCTION cxm.jaccard(a text[], b text[]) RETURNS double precision
AS 'MODULE_PATHNAME', 'cxm_jaccard_array_sql'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
COST 4;

COMMENT ON FUNCTION cxm.jaccard(text[], text[]) IS
'Jaccard similarity of two sets of texts, from 0 to 1: elements in both / elements in either. Order, repetitions and NULL elements do not count; elements are equal when their bytes are. Two arrays without elements have 1. NULL when an argument is NULL.';
