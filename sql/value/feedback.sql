-- What an answer is.

CREATE FUNCTION cxm.check_feedback(occurred_at timestamptz, score smallint, scale_min smallint, scale_max smallint, comment text) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_check_feedback'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.check_feedback(timestamptz, smallint, smallint, smallint, text) IS
'The CHECK constraint of cx.feedback: true, or error 23514 that says what is wrong: a time before 4000-01-01 BC, at or after 200000-01-01, or infinite; a scale that does not have 2 to 11 points between -128 and 127; a score off the scale; neither score nor comment. A time or an end of the scale that is NULL is left to NOT NULL.';
