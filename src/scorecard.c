/*
 * src/scorecard.c
 *		Intervals and tests of means, medians and counts for SQL.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "cxm.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "scorecard_core.h"
#include "utils/array.h"

/* more is not counted exactly by a double */
#define MAX_EVENTS ((int64) 1 << 53)

PG_FUNCTION_INFO_V1(cxm_mean_test_p_value);
PG_FUNCTION_INFO_V1(cxm_rank_sum_test_p_value);
PG_FUNCTION_INFO_V1(cxm_median_interval_of);
PG_FUNCTION_INFO_V1(cxm_poisson_interval_of);
PG_FUNCTION_INFO_V1(cxm_poisson_test_p_value);

static void
check_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

static void
check_confidence(double confidence)
{
	if (!(confidence > 0 && confidence < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("confidence must lie between 0 and 1, not at %g", confidence),
				 errhint("Use 0.95 for a 95 %% interval.")));
}

static int64
checked_events(int64 events)
{
	if (events < 0 || events > MAX_EVENTS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%lld is no number of events", (long long) events),
				 errhint("Give a number from 0 to %lld.", (long long) MAX_EVENTS)));
	return events;
}

/* A copy of the elements that may be sorted */
static double *
finite_values(ArrayType *array, size_t *n)
{
	const double *values = (const double *) ARR_DATA_PTR(array);
	double	   *copy;

	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the values must not contain nulls"),
				 errhint("Leave out what is not known.")));
	*n = (size_t) ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	copy = palloc(Max(*n, 1) * sizeof(double));
	for (size_t i = 0; i < *n; i++)
	{
		if (isnan(values[i]))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("NaN has no rank"),
					 errhint("Leave out what is not known.")));
		copy[i] = values[i];
	}
	return copy;
}

static Datum
interval_datum(FunctionCallInfo fcinfo, bool known, double lower, double upper)
{
	TupleDesc	desc;
	Datum		values[2] = {Float8GetDatum(lower), Float8GetDatum(upper)};
	bool		nulls[2] = {!known, !known};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static CxmSample
sample(double mean, double variance, int64 n)
{
	if (n < 0 || n > MAX_EVENTS || !isfinite(mean) || !(variance >= 0) || isinf(variance))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no sample of %lld has mean %g and variance %g", (long long) n, mean, variance)));
	return (CxmSample){mean, variance, n};
}

/* cxm.mean_test(): mean, variance and size of two samples, how many members they share, and the covariance of these */
Datum
cxm_mean_test_p_value(PG_FUNCTION_ARGS)
{
	CxmSample	a = sample(PG_GETARG_FLOAT8(0), PG_GETARG_FLOAT8(1), PG_GETARG_INT64(2));
	CxmSample	b = sample(PG_GETARG_FLOAT8(3), PG_GETARG_FLOAT8(4), PG_GETARG_INT64(5));
	int64		both = PG_GETARG_INT64(6);
	double		covariance = PG_GETARG_FLOAT8(7);
	double		p_value;

	if (both < 0 || both > Min(a.n, b.n) || !isfinite(covariance))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("samples of %lld and %lld cannot share %lld with covariance %g",
						(long long) a.n, (long long) b.n, (long long) both, covariance)));
	if (!cxm_mean_test(&a, &b, both, covariance, &p_value))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(p_value);
}

/* cxm.rank_sum_test(double precision[], double precision[]) */
Datum
cxm_rank_sum_test_p_value(PG_FUNCTION_ARGS)
{
	size_t		na;
	size_t		nb;
	double	   *a = finite_values(PG_GETARG_ARRAYTYPE_P(0), &na);
	double	   *b = finite_values(PG_GETARG_ARRAYTYPE_P(1), &nb);
	double		p_value;

	if (!cxm_rank_sum_test(a, na, b, nb, check_interrupts, &p_value))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(p_value);
}

/* cxm.median_interval(double precision[], double precision) */
Datum
cxm_median_interval_of(PG_FUNCTION_ARGS)
{
	size_t		n;
	double	   *values = finite_values(PG_GETARG_ARRAYTYPE_P(0), &n);
	double		confidence = PG_GETARG_FLOAT8(1);
	size_t		rank;

	check_confidence(confidence);
	rank = cxm_median_rank(n, confidence);
	if (rank == 0)
		PG_RETURN_DATUM(interval_datum(fcinfo, false, 0, 0));
	cxm_sort_doubles(values, n);
	PG_RETURN_DATUM(interval_datum(fcinfo, true, values[rank - 1], values[n - rank]));
}

/* cxm.poisson_interval(bigint, double precision) */
Datum
cxm_poisson_interval_of(PG_FUNCTION_ARGS)
{
	int64		events = checked_events(PG_GETARG_INT64(0));
	double		confidence = PG_GETARG_FLOAT8(1);
	double		lower;
	double		upper;

	check_confidence(confidence);
	cxm_poisson_interval(events, confidence, &lower, &upper);
	PG_RETURN_DATUM(interval_datum(fcinfo, true, lower, upper));
}

/* cxm.poisson_test(bigint, double precision, bigint, double precision) */
Datum
cxm_poisson_test_p_value(PG_FUNCTION_ARGS)
{
	int64		events_a = checked_events(PG_GETARG_INT64(0));
	double		exposure_a = PG_GETARG_FLOAT8(1);
	int64		events_b = checked_events(PG_GETARG_INT64(2));
	double		exposure_b = PG_GETARG_FLOAT8(3);

	checked_events(events_a + events_b);
	if (!(exposure_a > 0 && exposure_b > 0) || isinf(exposure_a) || isinf(exposure_b))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("exposures must be above 0 and finite, not %g and %g", exposure_a, exposure_b)));
	PG_RETURN_FLOAT8(cxm_poisson_test(events_a, exposure_a, events_b, exposure_b));
}
