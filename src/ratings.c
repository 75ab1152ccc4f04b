/*
 * src/ratings.c
 *		The type cxm.ratings, its aggregates and its accessors.
 *
 * A value counts the answers of every score on a scale of up to 11 points. It has a fixed length and no
 * pointers, so it is its own transition type: the transition functions count in place, the combine function
 * is plain addition, the inverse is exact subtraction, and nothing is ever serialized. Whatever ships values
 * between processes or machines uses the send and receive functions of the type.
 *
 * add_score() and remove_score() are both the transition functions and ordinary functions: inside an
 * aggregate they change their first argument, elsewhere a copy of it.
 *
 * What a value means and how it is read is in ratings_core.c. This file fetches arguments, checks them,
 * turns fractions into the units of the SQL interface, and raises errors.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "cxm.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "nodes/nodes.h"
#include "ratings_core.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#define PG_GETARG_RATINGS_P(n) ((Ratings *) PG_GETARG_POINTER(n))
#define PG_RETURN_RATINGS_P(r) PG_RETURN_POINTER(r)

/* the scale and the cut points that the Net Promoter Score is defined with */
#define NPS_LO				0
#define NPS_HI				10
#define NPS_PASSIVE_FROM	7
#define NPS_PROMOTER_FROM	9

/* sql/value/ratings.sql declares the length of the type, and the bytes are on disk */
StaticAssertDecl(sizeof(Ratings) == 96, "cxm.ratings is 96 bytes long");
StaticAssertDecl(offsetof(Ratings, count) == 8, "cxm.ratings has no padding");

/*--------------------------------------------------------------------------------------------------------
 * Errors
 *--------------------------------------------------------------------------------------------------------
 */

/* A score that is not on the scale; the text of the score keeps what the caller wrote */
static void
report_off_scale(const Ratings *r, const char *score)
{
	if (r->points == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("score %s cannot be counted in ratings without a scale", score),
				 errhint("Start with the ratings of a scale, such as cxm.ratings '1..5:{0,0,0,0,0}'.")));
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("score %s is not on the scale %d to %d", score, r->lo, ratings_hi(r)),
			 errhint("Correct the score, leave it out with FILTER (WHERE ...), or count another scale with cxm.ratings_agg(score, lo, hi).")));
}

static void
report_not_whole(const Ratings *r, const char *score)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("score %s is not a whole number", score),
			 errdetail("Ratings count single answers on the scale %d to %d.", r->lo, ratings_hi(r)),
			 errhint("Count the answers themselves, not averages of them.")));
}

static void
report_scales_differ(int lo_a, int hi_a, int lo_b, int hi_b)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("ratings on the scale %d to %d and on the scale %d to %d do not go together",
					lo_a, hi_a, lo_b, hi_b),
			 errhint("Group by the scale, or keep one aggregate for each scale.")));
}

static void
report_bad_scale(int64 lo, int64 hi)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%lld to %lld is not a scale of ratings", (long long) lo, (long long) hi),
			 errdetail("A scale has %d to %d points between %d and %d.",
					   RATINGS_MIN_POINTS, RATINGS_MAX_POINTS, RATINGS_MIN_SCORE, RATINGS_MAX_SCORE)));
}

static void
report_too_many(int score)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("too many answers of score %d", score),
			 errdetail("A count of answers must fit in a bigint.")));
}

static void
report_too_few(int score, int64 have, int64 n)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("cannot take away more answers of score %d than there are", score),
			 errdetail("There are %lld, and %lld are to be taken away.", (long long) have, (long long) n)));
}

static void
report_total_too_large(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("the number of answers does not fit in a bigint")));
}

/* What went wrong when n answers of a score were counted */
static void
report_count(RatingsStatus status, const Ratings *r, int64 score, int64 n)
{
	if (status == RATINGS_OFF_SCALE)
		report_off_scale(r, psprintf(INT64_FORMAT, score));
	if (status == RATINGS_TOO_MANY)
		report_too_many((int) score);
	report_too_few((int) score, r->count[ratings_point(r, score)], n);
}

/* What went wrong when two values were added or subtracted; point is the place of the count */
static void
report_join(RatingsStatus status, const Ratings *a, const Ratings *b, int point)
{
	if (status == RATINGS_SCALES_DIFFER)
		report_scales_differ(a->lo, ratings_hi(a), b->lo, ratings_hi(b));
	if (status == RATINGS_TOO_MANY)
		report_too_many(a->lo + point);
	report_too_few(a->lo + point, a->count[point], b->count[point]);
}

/*--------------------------------------------------------------------------------------------------------
 * Arguments and results
 *--------------------------------------------------------------------------------------------------------
 */

/* A stored value: refuse what another version of the library wrote, or what was damaged */
static const Ratings *
ratings_arg(FunctionCallInfo fcinfo, int argno)
{
	const Ratings *r = PG_GETARG_RATINGS_P(argno);

	if (unlikely(r->version != RATINGS_VERSION || r->points > RATINGS_MAX_POINTS))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ratings of format version %d cannot be read", r->version),
				 errdetail("This library reads version %d.", RATINGS_VERSION)));
	return r;
}

static Ratings *
ratings_copy(const Ratings *r)
{
	Ratings    *copy = palloc(sizeof(Ratings));

	memcpy(copy, r, sizeof(Ratings));
	return copy;
}

/*
 * The first argument, to be changed: the transition value itself in an aggregate, elsewhere a copy. The test is
 * that of AggCheckCallContext(fcinfo, NULL), which would be a function call for every row.
 */
static inline Ratings *
state_arg(FunctionCallInfo fcinfo)
{
	if (likely(fcinfo->context != NULL &&
			   (IsA(fcinfo->context, AggState) || IsA(fcinfo->context, WindowAggState))))
		return PG_GETARG_RATINGS_P(0);
	return ratings_copy(ratings_arg(fcinfo, 0));
}

/* The number of answers that a row stands for */
static inline int64
n_arg(FunctionCallInfo fcinfo, int argno)
{
	int64		n = PG_GETARG_INT64(argno);

	if (unlikely(n < 0))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("number of answers must not be negative: %lld", (long long) n),
				 errhint("Take answers away with cxm.remove_score() or with the operator \"-\".")));
	return n;
}

static double
confidence_arg(FunctionCallInfo fcinfo, int argno)
{
	double		confidence = PG_GETARG_FLOAT8(argno);

	/* written so that NaN fails */
	if (!(confidence > 0 && confidence < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("confidence must be between 0 and 1"),
				 errhint("Write 0.95 for 95 percent.")));
	return confidence;
}

static double
fraction_arg(FunctionCallInfo fcinfo, int argno)
{
	double		fraction = PG_GETARG_FLOAT8(argno);

	if (!(fraction >= 0 && fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("fraction must be between 0 and 1"),
				 errhint("Write 0.9 for the 90th percentile.")));
	return fraction;
}

static RatingsMethod
method_arg(FunctionCallInfo fcinfo, int argno)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(argno));

	if (strcmp(name, "adjusted_wald") == 0)
		return RATINGS_ADJUSTED_WALD;
	if (strcmp(name, "wald") == 0)
		return RATINGS_WALD;
	if (strcmp(name, "score") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown interval method \"%s\"", name),
				 errhint("The methods are \"adjusted_wald\", \"wald\" and \"score\".")));
	return RATINGS_SCORE;
}

static int64
total_of(const Ratings *r)
{
	int64_t		total;

	if (!ratings_total(r, &total))
		report_total_too_large();
	return total;
}

static void
check_cut(const Ratings *r, const char *name, int cut)
{
	if (r->points > 0 && (cut <= r->lo || cut > ratings_hi(r)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be above %d and at most %d on the scale %d to %d: %d",
						name, r->lo, ratings_hi(r), r->lo, ratings_hi(r), cut)));
}

/*
 * Detractors, passives and promoters of a value. The cut points are the arguments from cutno on, where the
 * SQL function has them; where it has not, the scale must be the one that the usual cut points are for.
 */
static RatingsGroups
groups_of(FunctionCallInfo fcinfo, const Ratings *r, int cutno)
{
	int			passive_from = NPS_PASSIVE_FROM;
	int			promoter_from = NPS_PROMOTER_FROM;
	RatingsGroups groups;

	if (PG_NARGS() > cutno)
	{
		passive_from = PG_GETARG_INT32(cutno);
		promoter_from = PG_GETARG_INT32(cutno + 1);
		check_cut(r, "passive_from", passive_from);
		check_cut(r, "promoter_from", promoter_from);
		if (passive_from > promoter_from)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("passive_from (%d) must not be above promoter_from (%d)",
							passive_from, promoter_from)));
	}
	else if (r->points > 0 && (r->lo != NPS_LO || ratings_hi(r) != NPS_HI))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ratings on the scale %d to %d have no promoters without cut points",
						r->lo, ratings_hi(r)),
				 errdetail("The Net Promoter Score is defined on the scale %d to %d.", NPS_LO, NPS_HI),
				 errhint("Give passive_from and promoter_from, or read the ratings with cxm.csat() or cxm.mean().")));

	if (!ratings_groups(r, passive_from, promoter_from, &groups))
		report_total_too_large();
	return groups;
}

/*
 * Satisfied answers of a value: from the cut point in argument cutno on, where the SQL function has it, else
 * the two highest scores of the scale.
 */
static RatingsGroups
satisfied_of(FunctionCallInfo fcinfo, const Ratings *r, int cutno)
{
	int			satisfied_from = ratings_hi(r) - 1;
	RatingsGroups groups;

	if (PG_NARGS() > cutno)
	{
		satisfied_from = PG_GETARG_INT32(cutno);
		check_cut(r, "satisfied_from", satisfied_from);
	}
	else if (r->points > 0 && satisfied_from == r->lo)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the two highest scores are the whole scale %d to %d", r->lo, ratings_hi(r)),
				 errhint("Give satisfied_from.")));

	if (!ratings_groups(r, satisfied_from, satisfied_from, &groups))
		report_total_too_large();
	return groups;
}

/* A row of the function's result type, all double precision; NaN stands for NULL */
static Datum
row_of_doubles(FunctionCallInfo fcinfo, int n, const double *values)
{
	TupleDesc	tupdesc;
	Datum		datums[6];
	bool		nulls[6];

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE ||
		tupdesc->natts != n || n > (int) lengthof(datums))
		elog(ERROR, "unexpected result type");
	for (int i = 0; i < n; i++)
	{
		nulls[i] = isnan(values[i]);
		datums[i] = Float8GetDatum(values[i]);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), datums, nulls));
}

/* A confidence interval, in the units of the SQL interface */
static Datum
interval(FunctionCallInfo fcinfo, double lower, double upper)
{
	double		values[2];

	values[0] = lower;
	values[1] = upper;
	return row_of_doubles(fcinfo, 2, values);
}

/*--------------------------------------------------------------------------------------------------------
 * Input and output
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_ratings_in);
PG_FUNCTION_INFO_V1(cxm_ratings_out);
PG_FUNCTION_INFO_V1(cxm_ratings_recv);
PG_FUNCTION_INFO_V1(cxm_ratings_send);
PG_FUNCTION_INFO_V1(cxm_ratings_from_counts);
PG_FUNCTION_INFO_V1(cxm_ratings_counts);

/* Text to ratings */
Datum
cxm_ratings_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	Ratings    *r = palloc(sizeof(Ratings));
	RatingsStatus status = ratings_parse(text, r);

	if (status == RATINGS_BAD_SCALE)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input for type %s: \"%s\"", "cxm.ratings", text),
				 errdetail("A scale has %d to %d points between %d and %d.",
						   RATINGS_MIN_POINTS, RATINGS_MAX_POINTS,
						   RATINGS_MIN_SCORE, RATINGS_MAX_SCORE)));
	if (status == RATINGS_BAD_COUNT)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input for type %s: \"%s\"", "cxm.ratings", text),
				 errdetail("A count of answers must not be negative.")));
	if (status != RATINGS_OK)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s: \"%s\"", "cxm.ratings", text),
				 errhint("Write the scale and a count for each score on it, such as 1..5:{0,2,1,4,3}, or empty.")));
	PG_RETURN_RATINGS_P(r);
}

/* Ratings to text */
Datum
cxm_ratings_out(PG_FUNCTION_ARGS)
{
	char	   *text = palloc(RATINGS_TEXT_SIZE);

	ratings_format(ratings_arg(fcinfo, 0), text);
	PG_RETURN_CSTRING(text);
}

/* Binary form to ratings: version, lowest score, number of points, and as many counts */
Datum
cxm_ratings_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	Ratings    *r = palloc0(sizeof(Ratings));
	int			points;

	r->version = (uint8) pq_getmsgbyte(buf);
	r->lo = (int8) pq_getmsgbyte(buf);
	points = pq_getmsgbyte(buf);
	/* further bytes of another version would be misread as counts */
	if (r->version != RATINGS_VERSION || points > RATINGS_MAX_POINTS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of type %s", "cxm.ratings"),
				 errdetail("Version %d with %d points.", r->version, points)));
	r->points = (uint8) points;
	for (int i = 0; i < points; i++)
		r->count[i] = pq_getmsgint64(buf);
	if (ratings_check(r) != RATINGS_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of type %s", "cxm.ratings"),
				 errdetail("Impossible scale or negative count.")));
	PG_RETURN_RATINGS_P(r);
}

/* Ratings to binary form */
Datum
cxm_ratings_send(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint8(&buf, r->version);
	pq_sendint8(&buf, (uint8) r->lo);
	pq_sendint8(&buf, r->points);
	for (int i = 0; i < r->points; i++)
		pq_sendint64(&buf, (uint64) r->count[i]);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* Ratings from the lowest score and an array of counts */
Datum
cxm_ratings_from_counts(PG_FUNCTION_ARGS)
{
	int32		lo = PG_GETARG_INT32(0);
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	Ratings    *r = palloc(sizeof(Ratings));
	Datum	   *counts;
	bool	   *nulls;
	int			points;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("counts must be an array of one dimension")));
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &counts, &nulls, &points);
	if (ratings_init_scale(r, lo, points) != RATINGS_OK)
		report_bad_scale(lo, (int64) lo + points - 1);

	for (int i = 0; i < points; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("counts must not contain nulls")));
		r->count[i] = DatumGetInt64(counts[i]);
		if (r->count[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("number of answers must not be negative: %lld", (long long) r->count[i])));
	}
	PG_RETURN_RATINGS_P(r);
}

/* Counts from the lowest score up, as an array */
Datum
cxm_ratings_counts(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	Datum		counts[RATINGS_MAX_POINTS];

	for (int i = 0; i < r->points; i++)
		counts[i] = Int64GetDatum(r->count[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(counts, r->points, INT8OID, sizeof(int64),
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*--------------------------------------------------------------------------------------------------------
 * Counting scores
 *--------------------------------------------------------------------------------------------------------
 */

/* Count in place; the error path stays out of the loop over the rows */
static inline void
count_up(Ratings *r, int64 score, int64 n)
{
	RatingsStatus status = ratings_count_up(r, score, n);

	if (unlikely(status != RATINGS_OK))
		report_count(status, r, score, n);
}

static inline void
count_down(Ratings *r, int64 score, int64 n)
{
	RatingsStatus status = ratings_count_down(r, score, n);

	if (unlikely(status != RATINGS_OK))
		report_count(status, r, score, n);
}

/* Give the state the scale that a row names, or see that it has it */
static void
set_scale(Ratings *r, int32 lo, int32 hi)
{
	if (r->points == 0)
	{
		if (ratings_init_scale(r, lo, (int64) hi - lo + 1) != RATINGS_OK)
			report_bad_scale(lo, hi);
	}
	else if (r->lo != lo || ratings_hi(r) != hi)
		report_scales_differ(r->lo, ratings_hi(r), lo, hi);
}

/*
 * Result of an inverse transition that may have taken away the last row that had a scale. Without answers
 * the state cannot tell whether other rows of the frame have one, so the aggregate must start anew, which
 * NULL asks for. It costs nothing: no row with answers is left in the frame.
 */
static Datum
unscaled_result(FunctionCallInfo fcinfo, Ratings *r)
{
	if (AggCheckCallContext(fcinfo, NULL) && ratings_is_zero(r))
		PG_RETURN_NULL();
	PG_RETURN_RATINGS_P(r);
}

static inline int64
int2_score(FunctionCallInfo fcinfo, const Ratings *r)
{
	(void) r;
	return PG_GETARG_INT16(1);
}

static inline int64
int4_score(FunctionCallInfo fcinfo, const Ratings *r)
{
	(void) r;
	return PG_GETARG_INT32(1);
}

static inline int64
int8_score(FunctionCallInfo fcinfo, const Ratings *r)
{
	(void) r;
	return PG_GETARG_INT64(1);
}

static inline int64
float8_score(FunctionCallInfo fcinfo, const Ratings *r)
{
	double		value = PG_GETARG_FLOAT8(1);

	/* what no scale can hold is not cast; NaN fails the comparison */
	if (unlikely(!(value >= RATINGS_MIN_SCORE && value <= RATINGS_MAX_SCORE)))
		report_off_scale(r, DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(value))));
	if (unlikely(value != (double) (int) value))
		report_not_whole(r, DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(value))));
	return (int64) value;
}

/*
 * The first bytes of a stored numeric tell the small whole numbers apart. They are read off numerics that the
 * server makes, so nothing is assumed about the format but that equal bytes are equal numbers.
 */
static bool
numeric_image(const struct varlena *value, uint32 *image)
{
	*image = 0;
	if (VARSIZE_ANY_EXHDR(value) == sizeof(uint32))
		memcpy(image, VARDATA_ANY(value), sizeof(uint32));
	else if (VARSIZE_ANY_EXHDR(value) == sizeof(uint16))
		memcpy(image, VARDATA_ANY(value), sizeof(uint16));
	else
		return false;
	return true;
}

/* Images of all scores that a scale can have, from RATINGS_MIN_SCORE up; made once a process */
static const uint32 *
score_images(void)
{
	static uint32 images[RATINGS_MAX_SCORE - RATINGS_MIN_SCORE + 1];
	static bool ready = false;

	if (unlikely(!ready))
	{
		for (int score = RATINGS_MIN_SCORE; score <= RATINGS_MAX_SCORE; score++)
		{
			Numeric		numeric = int64_to_numeric(score);

			if (!numeric_image((const struct varlena *) numeric, &images[score - RATINGS_MIN_SCORE]))
				elog(ERROR, "unexpected numeric format");
			pfree(numeric);
		}
		ready = true;
	}
	return images;
}

/* Any numeric to a score, by way of the server's own functions */
static int64
numeric_score_slow(Datum datum, const Ratings *r)
{
	Numeric		value = DatumGetNumeric(datum);
	bool		failed = false;
	int32		score = 0;

	if (numeric_is_nan(value) || numeric_is_inf(value))
		failed = true;
	else
		score = numeric_int4_opt_error(value, &failed);
	if (failed)
		report_off_scale(r, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value))));
	/* the conversion rounds */
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(value),
										  NumericGetDatum(int64_to_numeric(score)))))
		report_not_whole(r, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value))));
	return score;
}

/* A numeric is compared with the few scores of the scale before it is unpacked */
static inline int64
numeric_score(FunctionCallInfo fcinfo, const Ratings *r)
{
	const struct varlena *value = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(1));
	const uint32 *images = score_images() + (r->lo - RATINGS_MIN_SCORE);
	uint32		image;

	if (likely(numeric_image(value, &image)))
	{
		for (int i = 0; i < r->points; i++)
		{
			if (image == images[i])
				return r->lo + i;
		}
	}
	return numeric_score_slow(PointerGetDatum(value), r);
}

/*
 * The functions of one score type. In SQL they are
 *		add_score(ratings, score)					remove_score(ratings, score)
 *		add_score(ratings, score, n)				remove_score(ratings, score, n)
 *		add_score(ratings, score, lo, hi)			remove_score(ratings, score, lo, hi)
 *		add_score(ratings, score, lo, hi, n)		remove_score(ratings, score, lo, hi, n)
 * One function for each type and shape, so that no row pays for finding out what it was called with.
 */
#define DEFINE_SCORE_FUNCTIONS(type) \
PG_FUNCTION_INFO_V1(cxm_add_score_##type); \
PG_FUNCTION_INFO_V1(cxm_add_score_n_##type); \
PG_FUNCTION_INFO_V1(cxm_add_score_scale_##type); \
PG_FUNCTION_INFO_V1(cxm_add_score_scale_n_##type); \
PG_FUNCTION_INFO_V1(cxm_remove_score_##type); \
PG_FUNCTION_INFO_V1(cxm_remove_score_n_##type); \
PG_FUNCTION_INFO_V1(cxm_remove_score_scale_##type); \
PG_FUNCTION_INFO_V1(cxm_remove_score_scale_n_##type); \
Datum \
cxm_add_score_##type(PG_FUNCTION_ARGS) \
{ \
	Ratings    *r = state_arg(fcinfo); \
\
	count_up(r, type##_score(fcinfo, r), 1); \
	PG_RETURN_RATINGS_P(r); \
} \
Datum \
cxm_add_score_n_##type(PG_FUNCTION_ARGS) \
{ \
	Ratings    *r = state_arg(fcinfo); \
\
	count_up(r, type##_score(fcinfo, r), n_arg(fcinfo, 2)); \
	PG_RETURN_RATINGS_P(r); \
} \
Datum \
cxm_add_score_scale_##type(PG_FUNCTION_ARGS) \
{ \
	Ratings    *r = state_arg(fcinfo); \
\
	set_scale(r, PG_GETARG_INT32(2), PG_GETARG_INT32(3)); \
	count_up(r, type##_score(fcinfo, r), 1); \
	PG_RETURN_RATINGS_P(r); \
} \
Datum \
cxm_add_score_scale_n_##type(PG_FUNCTION_ARGS) \
{ \
	Ratings    *r = state_arg(fcinfo); \
\
	set_scale(r, PG_GETARG_INT32(2), PG_GETARG_INT32(3)); \
	count_up(r, type##_score(fcinfo, r), n_arg(fcinfo, 4)); \
	PG_RETURN_RATINGS_P(r); \
} \
Datum \
cxm_remove_score_##type(PG_FUNCTION_ARGS) \
{ \
	Ratings    *r = state_arg(fcinfo); \
\
	count_down(r, type##_score(fcinfo, r), 1); \
	PG_RETURN_RATINGS_P(r); \
} \
Datum \
cxm_remove_score_n_##type(PG_FUNCTION_ARGS) \
{ \
	Ratings    *r = state_arg(fcinfo); \
\
	count_down(r, type##_score(fcinfo, r), n_arg(fcinfo, 2)); \
	PG_RETURN_RATINGS_P(r); \
} \
Datum \
cxm_remove_score_scale_##type(PG_FUNCTION_ARGS) \
{ \
	Ratings    *r = state_arg(fcinfo); \
\
	set_scale(r, PG_GETARG_INT32(2), PG_GETARG_INT32(3)); \
	count_down(r, type##_score(fcinfo, r), 1); \
	return unscaled_result(fcinfo, r); \
} \
Datum \
cxm_remove_score_scale_n_##type(PG_FUNCTION_ARGS) \
{ \
	Ratings    *r = state_arg(fcinfo); \
\
	set_scale(r, PG_GETARG_INT32(2), PG_GETARG_INT32(3)); \
	count_down(r, type##_score(fcinfo, r), n_arg(fcinfo, 4)); \
	return unscaled_result(fcinfo, r); \
}

DEFINE_SCORE_FUNCTIONS(int2)
DEFINE_SCORE_FUNCTIONS(int4)
DEFINE_SCORE_FUNCTIONS(int8)
DEFINE_SCORE_FUNCTIONS(float8)
DEFINE_SCORE_FUNCTIONS(numeric)

/*--------------------------------------------------------------------------------------------------------
 * Whole values: sum, difference, comparison
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_ratings_add);
PG_FUNCTION_INFO_V1(cxm_ratings_subtract);
PG_FUNCTION_INFO_V1(cxm_ratings_rollup_inv);
PG_FUNCTION_INFO_V1(cxm_ratings_eq);
PG_FUNCTION_INFO_V1(cxm_ratings_ne);
PG_FUNCTION_INFO_V1(cxm_ratings_lt);
PG_FUNCTION_INFO_V1(cxm_ratings_le);
PG_FUNCTION_INFO_V1(cxm_ratings_gt);
PG_FUNCTION_INFO_V1(cxm_ratings_ge);
PG_FUNCTION_INFO_V1(cxm_ratings_cmp);
PG_FUNCTION_INFO_V1(cxm_ratings_hash);
PG_FUNCTION_INFO_V1(cxm_ratings_hash_extended);

/* a + b; also the combine function of every aggregate and the transition function of rollup() */
Datum
cxm_ratings_add(PG_FUNCTION_ARGS)
{
	Ratings    *a = state_arg(fcinfo);
	const Ratings *b = ratings_arg(fcinfo, 1);
	int			point = 0;
	RatingsStatus status = ratings_add(a, b, &point);

	if (unlikely(status != RATINGS_OK))
		report_join(status, a, b, point);
	PG_RETURN_RATINGS_P(a);
}

static Ratings *
difference(FunctionCallInfo fcinfo)
{
	Ratings    *a = state_arg(fcinfo);
	const Ratings *b = ratings_arg(fcinfo, 1);
	int			point = 0;
	RatingsStatus status = ratings_subtract(a, b, &point);

	if (unlikely(status != RATINGS_OK))
		report_join(status, a, b, point);
	return a;
}

/* a - b */
Datum
cxm_ratings_subtract(PG_FUNCTION_ARGS)
{
	PG_RETURN_RATINGS_P(difference(fcinfo));
}

/* Inverse transition of rollup() */
Datum
cxm_ratings_rollup_inv(PG_FUNCTION_ARGS)
{
	return unscaled_result(fcinfo, difference(fcinfo));
}

static int
compare_args(FunctionCallInfo fcinfo)
{
	return ratings_compare(PG_GETARG_RATINGS_P(0), PG_GETARG_RATINGS_P(1));
}

Datum
cxm_ratings_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) == 0);
}

Datum
cxm_ratings_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) != 0);
}

Datum
cxm_ratings_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) < 0);
}

Datum
cxm_ratings_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) <= 0);
}

Datum
cxm_ratings_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) > 0);
}

Datum
cxm_ratings_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) >= 0);
}

Datum
cxm_ratings_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_args(fcinfo));
}

/* Equal values have equal bytes, so the bytes can be hashed */
Datum
cxm_ratings_hash(PG_FUNCTION_ARGS)
{
	return hash_any((const unsigned char *) PG_GETARG_RATINGS_P(0), sizeof(Ratings));
}

Datum
cxm_ratings_hash_extended(PG_FUNCTION_ARGS)
{
	return hash_any_extended((const unsigned char *) PG_GETARG_RATINGS_P(0), sizeof(Ratings),
							 (uint64) PG_GETARG_INT64(1));
}

/*--------------------------------------------------------------------------------------------------------
 * Accessors: any scale
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_ratings_scale_low);
PG_FUNCTION_INFO_V1(cxm_ratings_scale_high);
PG_FUNCTION_INFO_V1(cxm_ratings_count);
PG_FUNCTION_INFO_V1(cxm_ratings_mean);
PG_FUNCTION_INFO_V1(cxm_ratings_variance);
PG_FUNCTION_INFO_V1(cxm_ratings_var_pop);
PG_FUNCTION_INFO_V1(cxm_ratings_stddev);
PG_FUNCTION_INFO_V1(cxm_ratings_stddev_pop);
PG_FUNCTION_INFO_V1(cxm_ratings_mean_interval);
PG_FUNCTION_INFO_V1(cxm_ratings_percentile);
PG_FUNCTION_INFO_V1(cxm_ratings_percentile_cont);
PG_FUNCTION_INFO_V1(cxm_ratings_median);
PG_FUNCTION_INFO_V1(cxm_ratings_distribution);

/* Lowest score of the scale */
Datum
cxm_ratings_scale_low(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);

	if (r->points == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(r->lo);
}

/* Highest score of the scale */
Datum
cxm_ratings_scale_high(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);

	if (r->points == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(ratings_hi(r));
}

/* Number of answers */
Datum
cxm_ratings_count(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(total_of(ratings_arg(fcinfo, 0)));
}

/* Mean score */
Datum
cxm_ratings_mean(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	int64		total = total_of(r);

	if (total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(ratings_mean(r, total));
}

/* Sample variance */
Datum
cxm_ratings_variance(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	int64		total = total_of(r);

	if (total < 2)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(ratings_squares(r, total) / (double) (total - 1));
}

/* Population variance */
Datum
cxm_ratings_var_pop(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	int64		total = total_of(r);

	if (total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(ratings_squares(r, total) / (double) total);
}

/* Sample standard deviation */
Datum
cxm_ratings_stddev(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	int64		total = total_of(r);

	if (total < 2)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(sqrt(ratings_squares(r, total) / (double) (total - 1)));
}

/* Population standard deviation */
Datum
cxm_ratings_stddev_pop(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	int64		total = total_of(r);

	if (total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(sqrt(ratings_squares(r, total) / (double) total));
}

/* Student's confidence interval of the mean */
Datum
cxm_ratings_mean_interval(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	double		confidence = confidence_arg(fcinfo, 1);
	int64		total = total_of(r);
	double		mean;
	double		margin;

	if (total < 2)
		return interval(fcinfo, NAN, NAN);
	mean = ratings_mean(r, total);
	margin = student_two_sided(confidence, (double) (total - 1)) *
		sqrt(ratings_squares(r, total) / (double) (total - 1) / (double) total);
	return interval(fcinfo, mean - margin, mean + margin);
}

/* First score whose cumulative share reaches the fraction */
Datum
cxm_ratings_percentile(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	double		fraction = fraction_arg(fcinfo, 1);
	int64		total = total_of(r);

	if (total == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(ratings_percentile_disc(r, total, fraction));
}

/* Score at the fraction, interpolated */
Datum
cxm_ratings_percentile_cont(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	double		fraction = fraction_arg(fcinfo, 1);
	int64		total = total_of(r);

	if (total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(ratings_percentile_cont(r, total, fraction));
}

/* Middle score, or the mean of the two in the middle */
Datum
cxm_ratings_median(PG_FUNCTION_ARGS)
{
	const Ratings *r = ratings_arg(fcinfo, 0);
	int64		total = total_of(r);

	if (total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(ratings_percentile_cont(r, total, 0.5));
}

/* What distribution() keeps between its rows */
typedef struct Distribution
{
	Ratings		r;				/* copy: the argument may not live as long */
	int64		total;
} Distribution;

static void
distribution_start(FunctionCallInfo fcinfo)
{
	FuncCallContext *funcctx = SRF_FIRSTCALL_INIT();
	MemoryContext oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
	Distribution *state = palloc(sizeof(Distribution));

	state->r = *ratings_arg(fcinfo, 0);
	state->total = total_of(&state->r);
	if (get_call_result_type(fcinfo, NULL, &funcctx->tuple_desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "unexpected result type");
	funcctx->tuple_desc = BlessTupleDesc(funcctx->tuple_desc);
	funcctx->max_calls = state->r.points;
	funcctx->user_fctx = state;
	MemoryContextSwitchTo(oldcontext);
}

/* A row a score of the scale: score, count, share in percent */
Datum
cxm_ratings_distribution(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	const Distribution *state;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};
	int			i;

	if (SRF_IS_FIRSTCALL())
		distribution_start(fcinfo);
	funcctx = SRF_PERCALL_SETUP();
	if (funcctx->call_cntr >= funcctx->max_calls)
		SRF_RETURN_DONE(funcctx);

	state = funcctx->user_fctx;
	i = (int) funcctx->call_cntr;
	values[0] = Int32GetDatum(state->r.lo + i);
	values[1] = Int64GetDatum(state->r.count[i]);
	nulls[2] = (state->total == 0);
	values[2] = Float8GetDatum(nulls[2] ? 0 : 100.0 * (double) state->r.count[i] / (double) state->total);
	SRF_RETURN_NEXT(funcctx, HeapTupleGetDatum(heap_form_tuple(funcctx->tuple_desc, values, nulls)));
}

/*--------------------------------------------------------------------------------------------------------
 * Accessors: customer satisfaction
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_ratings_csat);
PG_FUNCTION_INFO_V1(cxm_ratings_csat_interval);

/* Percentage of satisfied answers */
Datum
cxm_ratings_csat(PG_FUNCTION_ARGS)
{
	RatingsGroups groups = satisfied_of(fcinfo, ratings_arg(fcinfo, 0), 1);

	if (groups.total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(100.0 * (double) groups.promoters / (double) groups.total);
}

/* Wilson's confidence interval of that percentage */
Datum
cxm_ratings_csat_interval(PG_FUNCTION_ARGS)
{
	RatingsGroups groups = satisfied_of(fcinfo, ratings_arg(fcinfo, 0), 2);
	double		confidence = confidence_arg(fcinfo, 1);
	double		lower;
	double		upper;

	if (groups.total == 0)
		return interval(fcinfo, NAN, NAN);
	wilson_interval(groups.promoters, groups.total, confidence, &lower, &upper);
	return interval(fcinfo, 100 * lower, 100 * upper);
}

/*--------------------------------------------------------------------------------------------------------
 * Accessors: Net Promoter Score
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_ratings_nps);
PG_FUNCTION_INFO_V1(cxm_ratings_nps_variance);
PG_FUNCTION_INFO_V1(cxm_ratings_nps_se);
PG_FUNCTION_INFO_V1(cxm_ratings_nps_interval);
PG_FUNCTION_INFO_V1(cxm_ratings_nps_test);
PG_FUNCTION_INFO_V1(cxm_ratings_promoters);
PG_FUNCTION_INFO_V1(cxm_ratings_passives);
PG_FUNCTION_INFO_V1(cxm_ratings_detractors);
PG_FUNCTION_INFO_V1(cxm_ratings_promoter_share);
PG_FUNCTION_INFO_V1(cxm_ratings_passive_share);
PG_FUNCTION_INFO_V1(cxm_ratings_detractor_share);

/* Percentage of promoters less percentage of detractors */
Datum
cxm_ratings_nps(PG_FUNCTION_ARGS)
{
	RatingsGroups groups = groups_of(fcinfo, ratings_arg(fcinfo, 0), 1);

	if (groups.total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(100.0 * (double) (groups.promoters - groups.detractors) / (double) groups.total);
}

/* Variance of what one answer adds to the score */
Datum
cxm_ratings_nps_variance(PG_FUNCTION_ARGS)
{
	RatingsGroups groups = groups_of(fcinfo, ratings_arg(fcinfo, 0), 1);

	if (groups.total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(100.0 * 100.0 * nps_variance(&groups));
}

/* Standard error of the score */
Datum
cxm_ratings_nps_se(PG_FUNCTION_ARGS)
{
	RatingsGroups groups = groups_of(fcinfo, ratings_arg(fcinfo, 0), 1);

	if (groups.total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(100.0 * nps_standard_error(&groups));
}

/* Confidence interval of the score */
Datum
cxm_ratings_nps_interval(PG_FUNCTION_ARGS)
{
	RatingsGroups groups = groups_of(fcinfo, ratings_arg(fcinfo, 0), 3);
	double		confidence = confidence_arg(fcinfo, 1);
	RatingsMethod method = method_arg(fcinfo, 2);
	double		lower;
	double		upper;

	if (groups.total == 0)
		return interval(fcinfo, NAN, NAN);
	nps_interval(&groups, confidence, method, &lower, &upper);
	return interval(fcinfo, 100 * lower, 100 * upper);
}

/* Difference of the scores of two independent samples, with test and confidence interval */
Datum
cxm_ratings_nps_test(PG_FUNCTION_ARGS)
{
	RatingsGroups a = groups_of(fcinfo, ratings_arg(fcinfo, 0), 4);
	RatingsGroups b = groups_of(fcinfo, ratings_arg(fcinfo, 1), 4);
	RatingsMethod method = method_arg(fcinfo, 2);
	double		confidence = confidence_arg(fcinfo, 3);
	double		values[6] = {NAN, NAN, NAN, NAN, NAN, NAN};
	RatingsTest test;

	if (method == RATINGS_SCORE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"score\" is for the interval of one sample"),
				 errhint("Compare two samples with \"adjusted_wald\" or \"wald\".")));
	if (a.total > 0 && b.total > 0)
	{
		nps_test(&a, &b, confidence, method, &test);
		values[0] = 100 * test.difference;
		values[1] = 100 * test.standard_error;
		values[2] = test.z;
		values[3] = test.p_value;
		values[4] = 100 * test.lower;
		values[5] = 100 * test.upper;
	}
	return row_of_doubles(fcinfo, 6, values);
}

Datum
cxm_ratings_promoters(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(groups_of(fcinfo, ratings_arg(fcinfo, 0), 1).promoters);
}

Datum
cxm_ratings_passives(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(groups_of(fcinfo, ratings_arg(fcinfo, 0), 1).passives);
}

Datum
cxm_ratings_detractors(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(groups_of(fcinfo, ratings_arg(fcinfo, 0), 1).detractors);
}

Datum
cxm_ratings_promoter_share(PG_FUNCTION_ARGS)
{
	RatingsGroups groups = groups_of(fcinfo, ratings_arg(fcinfo, 0), 1);

	if (groups.total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(100.0 * (double) groups.promoters / (double) groups.total);
}

Datum
cxm_ratings_passive_share(PG_FUNCTION_ARGS)
{
	RatingsGroups groups = groups_of(fcinfo, ratings_arg(fcinfo, 0), 1);

	if (groups.total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(100.0 * (double) groups.passives / (double) groups.total);
}

Datum
cxm_ratings_detractor_share(PG_FUNCTION_ARGS)
{
	RatingsGroups groups = groups_of(fcinfo, ratings_arg(fcinfo, 0), 1);

	if (groups.total == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(100.0 * (double) groups.detractors / (double) groups.total);
}
