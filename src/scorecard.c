/*
 * src/scorecard.c
 *		Intervals and tests of means, medians and counts for SQL.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "cxm.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "scorecard_core.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* more is not counted exactly by a double */
#define MAX_EVENTS ((int64) 1 << 53)

PG_FUNCTION_INFO_V1(cxm_mean_test_p_value);
PG_FUNCTION_INFO_V1(cxm_rank_sum_test_p_value);
PG_FUNCTION_INFO_V1(cxm_median_interval_of);
PG_FUNCTION_INFO_V1(cxm_poisson_interval_of);
PG_FUNCTION_INFO_V1(cxm_poisson_test_p_value);
PG_FUNCTION_INFO_V1(cxm_scorecard_steps);

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

/* what a record says of its customer, in the low bits of a mark; the period is above */
#define MARK_BITS	3
#define BOUGHT		1
#define COMPLAINED	2
#define REVIEWED	4

/* what windows are counted by; a step is 2 * kind, or 2 * kind + 1 where it ends */
enum
{
	STEP_BOUGHT,
	STEP_BOUGHT_AGAIN,
	STEP_ACTIVE,
	STEP_COMPLAINED,
	STEP_REVIEWED,
	STEP_BOUGHT_BEFORE,
	STEP_RETAINED
};

typedef struct Steps
{
	int32	   *pairs;
	size_t		n;
} Steps;

static void
add_runs(Steps *steps, const CxmRun *runs, size_t nruns, int kind)
{
	if (nruns == 0)
		return;
	steps->pairs = repalloc(steps->pairs, (steps->n + 2 * nruns) * 2 * sizeof(int32));
	for (size_t i = 0; i < 2 * nruns; i++)
	{
		int64		number = i % 2 == 0 ? runs[i / 2].begins : runs[i / 2].ends;

		if (number < PG_INT32_MIN || number > PG_INT32_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("there is no period %lld", (long long) number)));
		steps->pairs[2 * steps->n] = (int32) number;
		steps->pairs[2 * steps->n + 1] = 2 * kind + (int32) (i % 2);
		steps->n++;
	}
}

typedef struct Orders
{
	Datum	   *marks;
	bool	   *no_mark;
	int			n;
	Datum	   *at;				/* NULL = nobody asks for orders */
	Datum	   *keys;
	bool	   *no_key;
	int			first;			/* the row of the first order; -1 = none */
} Orders;

static bool
is_order(const Orders *orders, int i)
{
	return !orders->no_mark[i] && (DatumGetInt64(orders->marks[i]) & BOUGHT) != 0 && !orders->no_key[i];
}

static int
compare_keys(Datum a, Datum b)
{
	text	   *x = DatumGetTextPP(a);
	text	   *y = DatumGetTextPP(b);
	int			result = memcmp(VARDATA_ANY(x), VARDATA_ANY(y), Min(VARSIZE_ANY_EXHDR(x), VARSIZE_ANY_EXHDR(y)));

	return result != 0 ? result : (int) VARSIZE_ANY_EXHDR(x) - (int) VARSIZE_ANY_EXHDR(y);
}

static void
find_first_order(Orders *orders)
{
	orders->first = -1;
	if (orders->keys == NULL || orders->at == NULL)
		return;
	for (int i = 0; i < orders->n; i++)
	{
		int64		difference;

		if (!is_order(orders, i))
			continue;
		if (orders->first >= 0)
		{
			difference = timestamptz_cmp_internal(DatumGetTimestampTz(orders->at[i]),
												  DatumGetTimestampTz(orders->at[orders->first]));
			if (difference > 0
				|| (difference == 0 && compare_keys(orders->keys[i], orders->keys[orders->first]) >= 0))
				continue;
		}
		orders->first = i;
	}
}

static bool
has_step(const Orders *orders, int i, int kind)
{
	int64		mark = DatumGetInt64(orders->marks[i]);

	switch (kind)
	{
		case STEP_BOUGHT:
			return (mark & BOUGHT) != 0;
		case STEP_BOUGHT_AGAIN:
			return orders->first >= 0 && is_order(orders, i)
				&& compare_keys(orders->keys[i], orders->keys[orders->first]) != 0;
		case STEP_COMPLAINED:
			return (mark & COMPLAINED) != 0;
		case STEP_REVIEWED:
			return (mark & REVIEWED) != 0;
		default:
			return true;
	}
}

static void
take_array(FunctionCallInfo fcinfo, int argument, Oid type, int16 length, bool by_value, char alignment,
		   Datum **values, bool **nulls, int n)
{
	int			found;

	if (PG_ARGISNULL(argument))
		return;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), type, length, by_value, alignment, values, nulls, &found);
	if (found != n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there are %d marks, but %d of what goes with them", n, found)));
}

/* The windows that a customer counts in, by each kind */
static Steps
find_steps(const Orders *orders, int64 rolling)
{
	Steps		steps = {palloc(sizeof(int32)), 0};
	int64	   *numbers = palloc(Max(orders->n, 1) * sizeof(int64));
	CxmRun	   *runs = palloc(Max(orders->n, 1) * sizeof(CxmRun));

	for (int kind = STEP_BOUGHT; kind <= STEP_REVIEWED; kind++)
	{
		size_t		n = 0;
		size_t		nruns;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < orders->n; i++)
		{
			if (!orders->no_mark[i] && has_step(orders, i, kind))
				numbers[n++] = DatumGetInt64(orders->marks[i]) >> MARK_BITS;
		}
		nruns = cxm_window_runs(numbers, n, rolling, runs);
		add_runs(&steps, runs, nruns, kind);
		if (kind == STEP_BOUGHT)
		{
			CxmRun	   *before = palloc(Max(nruns, 1) * sizeof(CxmRun));
			CxmRun	   *shared = palloc(2 * Max(nruns, 1) * sizeof(CxmRun));

			for (size_t i = 0; i < nruns; i++)
				before[i] = (CxmRun){runs[i].begins + rolling, runs[i].ends + rolling};
			add_runs(&steps, before, nruns, STEP_BOUGHT_BEFORE);
			add_runs(&steps, shared, cxm_shared_runs(runs, nruns, before, nruns, shared), STEP_RETAINED);
			pfree(before);
			pfree(shared);
		}
	}
	return steps;
}

/* cxm.scorecard_steps(marks, rolling, at, orders) */
Datum
cxm_scorecard_steps(PG_FUNCTION_ARGS)
{
	int64		rolling = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	Orders		orders = {0};
	bool	   *no_at = NULL;
	Steps		steps;
	Size		size;
	ArrayType  *pairs;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (rolling < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a window cannot have %lld periods", (long long) rolling)));
	orders.n = ArrayGetNItems(ARR_NDIM(PG_GETARG_ARRAYTYPE_P(0)), ARR_DIMS(PG_GETARG_ARRAYTYPE_P(0)));
	take_array(fcinfo, 0, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
			   &orders.marks, &orders.no_mark, orders.n);
	if (!PG_ARGISNULL(3))
	{
		take_array(fcinfo, 2, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
				   &orders.at, &no_at, orders.n);
		take_array(fcinfo, 3, TEXTOID, -1, false, TYPALIGN_INT, &orders.keys, &orders.no_key, orders.n);
	}
	find_first_order(&orders);
	steps = find_steps(&orders, rolling);
	if (steps.n == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(INT4OID));
	size = ARR_OVERHEAD_NONULLS(2) + steps.n * 2 * sizeof(int32);
	pairs = palloc0(size);
	SET_VARSIZE(pairs, size);
	pairs->ndim = 2;
	pairs->elemtype = INT4OID;
	ARR_DIMS(pairs)[0] = (int) steps.n;
	ARR_DIMS(pairs)[1] = 2;
	ARR_LBOUND(pairs)[0] = 1;
	ARR_LBOUND(pairs)[1] = 1;
	memcpy(ARR_DATA_PTR(pairs), steps.pairs, steps.n * 2 * sizeof(int32));
	PG_RETURN_ARRAYTYPE_P(pairs);
}
