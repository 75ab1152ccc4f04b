/*
 * src/weighted_ratings.c
 *		The type cxm.weighted_ratings, its aggregates and its accessors.
 *
 * Of a fixed length without pointers, as cxm.ratings is, and its own transition type for the same reasons. Sums
 * of floating-point numbers depend on the order in the last digits, so there is no inverse: windows are counted anew.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "cxm.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "ratings_core.h"
#include "utils/builtins.h"
#include "weighted_ratings_core.h"

/* sql/value/weighted_ratings.sql declares the length of the type, and the bytes are on disk */
StaticAssertDecl(sizeof(WeightedRatings) == 192, "cxm.weighted_ratings is 192 bytes long");

PG_FUNCTION_INFO_V1(cxm_weighted_ratings_in);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_out);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_recv);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_send);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_add_score);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_add);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_count);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_total);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_effective_n);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_design_effect);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_nps);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_csat);
PG_FUNCTION_INFO_V1(cxm_weighted_ratings_mean);

static void
report_bad_scale(int64 lo, int64 hi)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%lld to %lld is not a scale of ratings", (long long) lo, (long long) hi),
			 errdetail("A scale has 2 to %d points between %d and %d.", WEIGHTED_MAX_POINTS, PG_INT8_MIN, PG_INT8_MAX)));
}

/* A stored value: refuse what another version of the library wrote, or what was damaged */
static const WeightedRatings *
weighted_arg(FunctionCallInfo fcinfo, int argno)
{
	const WeightedRatings *r = (const WeightedRatings *) PG_GETARG_POINTER(argno);

	if (unlikely(r->version != WEIGHTED_VERSION || r->points > WEIGHTED_MAX_POINTS))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("weighted ratings of format version %d cannot be read", r->version),
				 errdetail("This library reads version %d.", WEIGHTED_VERSION)));
	return r;
}

/* The first argument, to be changed: the transition value itself in an aggregate, elsewhere a copy */
static WeightedRatings *
state_arg(FunctionCallInfo fcinfo)
{
	const WeightedRatings *r = weighted_arg(fcinfo, 0);
	WeightedRatings *copy;

	if (AggCheckCallContext(fcinfo, NULL))
		return unconstify(WeightedRatings *, r);
	copy = palloc(sizeof(WeightedRatings));
	memcpy(copy, r, sizeof(WeightedRatings));
	return copy;
}

/* Text to weighted ratings */
Datum
cxm_weighted_ratings_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	WeightedRatings *r = palloc(sizeof(WeightedRatings));
	WeightedStatus status = weighted_parse(text, r);

	if (status == WEIGHTED_BAD_SYNTAX)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s: \"%s\"", "cxm.weighted_ratings", text),
				 errhint("Write the scale, the number of answers, and for each score the sum of weights and that of their squares, such as 1..3:2:{0,1.5,2}:{0,2.25,4}, or empty.")));
	if (status != WEIGHTED_OK)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input for type %s: \"%s\"", "cxm.weighted_ratings", text),
				 status == WEIGHTED_BAD_SCALE
				 ? errdetail("A scale has 2 to %d points between %d and %d.", WEIGHTED_MAX_POINTS, PG_INT8_MIN, PG_INT8_MAX)
				 : errdetail("No weights have these sums, or there are no answers for them.")));
	PG_RETURN_POINTER(r);
}

/* Weighted ratings to text */
Datum
cxm_weighted_ratings_out(PG_FUNCTION_ARGS)
{
	char	   *text = palloc(WEIGHTED_TEXT_SIZE);

	weighted_format(weighted_arg(fcinfo, 0), text);
	PG_RETURN_CSTRING(text);
}

/* Binary form to weighted ratings: version, lowest score, points, answers, weights, squares */
Datum
cxm_weighted_ratings_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	WeightedRatings *r = palloc0(sizeof(WeightedRatings));

	r->version = (uint8) pq_getmsgbyte(buf);
	r->lo = (int8) pq_getmsgbyte(buf);
	r->points = (uint8) pq_getmsgbyte(buf);
	if (r->version != WEIGHTED_VERSION || r->points > WEIGHTED_MAX_POINTS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of type %s", "cxm.weighted_ratings"),
				 errdetail("Version %d with %d points.", r->version, r->points)));
	r->n = pq_getmsgint64(buf);
	for (int i = 0; i < r->points; i++)
		r->weight[i] = pq_getmsgfloat8(buf);
	for (int i = 0; i < r->points; i++)
		r->square[i] = pq_getmsgfloat8(buf);
	if (weighted_check(r) != WEIGHTED_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of type %s", "cxm.weighted_ratings"),
				 errdetail("Impossible scale, or sums that no weights have.")));
	PG_RETURN_POINTER(r);
}

/* Weighted ratings to binary form */
Datum
cxm_weighted_ratings_send(PG_FUNCTION_ARGS)
{
	const WeightedRatings *r = weighted_arg(fcinfo, 0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint8(&buf, r->version);
	pq_sendint8(&buf, (uint8) r->lo);
	pq_sendint8(&buf, r->points);
	pq_sendint64(&buf, r->n);
	for (int i = 0; i < r->points; i++)
		pq_sendfloat8(&buf, r->weight[i]);
	for (int i = 0; i < r->points; i++)
		pq_sendfloat8(&buf, r->square[i]);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* cxm.add_weighted_score(state, score, weight [, lo, hi]): the scale is that of the state, or the one given */
Datum
cxm_weighted_ratings_add_score(PG_FUNCTION_ARGS)
{
	WeightedRatings *r = state_arg(fcinfo);
	int64		score = PG_GETARG_INT64(1);
	float8		weight = PG_GETARG_FLOAT8(2);
	int			place;

	if (PG_NARGS() > 3 && r->points == 0 && !weighted_set_scale(r, PG_GETARG_INT32(3), PG_GETARG_INT32(4)))
		report_bad_scale(PG_GETARG_INT32(3), PG_GETARG_INT32(4));
	if (PG_NARGS() > 3 && (r->lo != PG_GETARG_INT32(3) || weighted_hi(r) != PG_GETARG_INT32(4)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ratings on the scale %d to %d and on the scale %d to %d do not go together",
						r->lo, weighted_hi(r), PG_GETARG_INT32(3), PG_GETARG_INT32(4)),
				 errhint("Group by the scale.")));
	if (r->points == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("score %lld cannot be counted in ratings without a scale", (long long) score)));
	if (score < r->lo || score > weighted_hi(r))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("score %lld is not on the scale %d to %d", (long long) score, r->lo, weighted_hi(r)),
				 errhint("Correct the score, or leave it out with FILTER (WHERE ...).")));
	/* its square must be finite, too, and written so that NaN fails */
	if (!(weight >= 0 && weight <= 1e100))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%g is no weight of an answer", weight),
				 errdetail("A weight is at least 0 and at most 1e100.")));
	place = (int) (score - r->lo);
	r->n++;
	r->weight[place] += weight;
	r->square[place] += weight * weight;
	PG_RETURN_POINTER(r);
}

/* Sum of two */
Datum
cxm_weighted_ratings_add(PG_FUNCTION_ARGS)
{
	WeightedRatings *a = state_arg(fcinfo);
	const WeightedRatings *b = weighted_arg(fcinfo, 1);

	if (!weighted_add(a, b))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ratings on the scale %d to %d and on the scale %d to %d do not go together",
						a->lo, weighted_hi(a), b->lo, weighted_hi(b)),
				 errhint("Group by the scale.")));
	PG_RETURN_POINTER(a);
}

/* Number of answers */
Datum
cxm_weighted_ratings_count(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(weighted_arg(fcinfo, 0)->n);
}

/* Sum of the weights */
Datum
cxm_weighted_ratings_total(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(weighted_total(weighted_arg(fcinfo, 0)));
}

/* Kish's effective number of answers; NULL without weight */
Datum
cxm_weighted_ratings_effective_n(PG_FUNCTION_ARGS)
{
	double		effective = weighted_effective_n(weighted_arg(fcinfo, 0));

	if (isnan(effective))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(effective);
}

/* Kish's design effect: answers for each effective one; NULL without weight */
Datum
cxm_weighted_ratings_design_effect(PG_FUNCTION_ARGS)
{
	const WeightedRatings *r = weighted_arg(fcinfo, 0);
	double		effective = weighted_effective_n(r);

	if (isnan(effective))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8((double) r->n / effective);
}

/* Estimate, standard error and interval of the mean of what the scores count for, times a factor, within bounds */
static Datum
estimate(FunctionCallInfo fcinfo, const WeightedRatings *r, const double *value, double factor, double least,
		 double most)
{
	double		confidence = PG_GETARG_FLOAT8(1);
	WeightedMean mean;
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4];
	double		numbers[4];
	double		reach;

	if (!(confidence > 0 && confidence < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("confidence must be between 0 and 1"),
				 errhint("Write 0.95 for 95 percent.")));
	mean = weighted_mean(r, value);
	reach = normal_two_sided(confidence) * mean.standard_error;
	numbers[0] = mean.mean * factor;
	numbers[1] = mean.standard_error * factor;
	numbers[2] = isnan(reach) ? reach : Max(least, (mean.mean - reach) * factor);
	numbers[3] = isnan(reach) ? reach : Min(most, (mean.mean + reach) * factor);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != lengthof(numbers))
		elog(ERROR, "unexpected result type");
	for (int i = 0; i < (int) lengthof(numbers); i++)
	{
		nulls[i] = isnan(numbers[i]);
		values[i] = Float8GetDatum(numbers[i]);
	}
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static int
cut_arg(FunctionCallInfo fcinfo, int argno, const char *name, const WeightedRatings *r)
{
	int			cut = PG_GETARG_INT32(argno);

	if (r->points > 0 && (cut <= r->lo || cut > weighted_hi(r)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be above %d and at most %d on the scale %d to %d: %d",
						name, r->lo, weighted_hi(r), r->lo, weighted_hi(r), cut)));
	return cut;
}

/* cxm.weighted_nps(ratings, confidence, passive_from, promoter_from) */
Datum
cxm_weighted_ratings_nps(PG_FUNCTION_ARGS)
{
	const WeightedRatings *r = weighted_arg(fcinfo, 0);
	int			passive_from = cut_arg(fcinfo, 2, "passive_from", r);
	int			promoter_from = cut_arg(fcinfo, 3, "promoter_from", r);
	double		value[WEIGHTED_MAX_POINTS];

	if (passive_from > promoter_from)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("passive_from (%d) must not be above promoter_from (%d)", passive_from, promoter_from)));
	for (int i = 0; i < r->points; i++)
		value[i] = r->lo + i >= promoter_from ? 1 : r->lo + i >= passive_from ? 0 : -1;
	return estimate(fcinfo, r, value, 100, -100, 100);
}

/* cxm.weighted_csat(ratings, confidence, satisfied_from); satisfied_from NULL: the two highest scores */
Datum
cxm_weighted_ratings_csat(PG_FUNCTION_ARGS)
{
	const WeightedRatings *r;
	int			satisfied_from;
	double		value[WEIGHTED_MAX_POINTS];

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	r = weighted_arg(fcinfo, 0);
	satisfied_from = PG_ARGISNULL(2) ? weighted_hi(r) - 1 : cut_arg(fcinfo, 2, "satisfied_from", r);
	if (r->points > 0 && satisfied_from <= r->lo)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the two highest scores are the whole scale %d to %d", r->lo, weighted_hi(r)),
				 errhint("Give satisfied_from.")));
	for (int i = 0; i < r->points; i++)
		value[i] = r->lo + i >= satisfied_from;
	return estimate(fcinfo, r, value, 100, 0, 100);
}

/* cxm.weighted_mean(ratings, confidence) */
Datum
cxm_weighted_ratings_mean(PG_FUNCTION_ARGS)
{
	const WeightedRatings *r = weighted_arg(fcinfo, 0);
	double		value[WEIGHTED_MAX_POINTS];

	for (int i = 0; i < r->points; i++)
		value[i] = r->lo + i;
	return estimate(fcinfo, r, value, 1, r->lo, weighted_hi(r));
}
