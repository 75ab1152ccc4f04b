/*
 * src/proportion.c
 *		Shares for SQL: an interval for one, a test of several.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "cxm.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "proportion_core.h"
#include "ratings_core.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* tables that the exact test goes through at most: about a second */
#define MAX_TABLES 1e7

/* more would not be counted exactly by a double */
#define MAX_TRIALS ((int64) 1 << 53)

PG_FUNCTION_INFO_V1(cxm_proportion_interval);
PG_FUNCTION_INFO_V1(cxm_proportion_p_value);

static void
check_share(int64 successes, int64 trials)
{
	if (trials < 0 || trials > MAX_TRIALS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%lld is no number of trials", (long long) trials),
				 errhint("Give a number from 0 to %lld.", (long long) MAX_TRIALS)));
	if (successes < 0 || successes > trials)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there cannot be %lld successes in %lld trials", (long long) successes, (long long) trials)));
}

/* cxm.proportion_interval(bigint, bigint, double precision) */
Datum
cxm_proportion_interval(PG_FUNCTION_ARGS)
{
	int64		successes = PG_GETARG_INT64(0);
	int64		trials = PG_GETARG_INT64(1);
	float8		confidence = PG_GETARG_FLOAT8(2);
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {true, true};
	double		lower;
	double		upper;

	check_share(successes, trials);
	if (!(confidence > 0 && confidence < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("confidence must lie between 0 and 1, not at %g", confidence),
				 errhint("Use 0.95 for a 95 %% interval.")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	if (trials > 0)
	{
		wilson_interval(successes, trials, confidence, &lower, &upper);
		values[0] = Float8GetDatum(lower);
		values[1] = Float8GetDatum(upper);
		nulls[0] = nulls[1] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

static void
check_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

static const int64 *
counts(ArrayType *array, const char *name, int *n)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" must have one dimension", name)));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array \"%s\" must not contain nulls", name),
				 errhint("A group without trials has 0 of 0.")));
	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return (const int64 *) ARR_DATA_PTR(array);
}

/* cxm.proportion_test(bigint[], bigint[]) */
Datum
cxm_proportion_p_value(PG_FUNCTION_ARGS)
{
	CxmGroup	groups[CXM_PROPORTION_MAX_GROUPS];
	int			n;
	int			ntrials;
	const int64 *successes = counts(PG_GETARG_ARRAYTYPE_P(0), "successes", &n);
	const int64 *trials = counts(PG_GETARG_ARRAYTYPE_P(1), "trials", &ntrials);
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {true, true};
	CxmProportionMethod method;
	int64		sum = 0;
	double		p_value;

	if (n != ntrials)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays \"successes\" and \"trials\" must have the same length"),
				 errdetail("They have %d and %d elements.", n, ntrials)));
	if (n > CXM_PROPORTION_MAX_GROUPS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d groups are too many to compare", n),
				 errhint("At most %d can be compared.", CXM_PROPORTION_MAX_GROUPS)));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	for (int i = 0; i < n; i++)
	{
		check_share(successes[i], trials[i]);
		groups[i].successes = successes[i];
		groups[i].trials = trials[i];
		sum += trials[i];
	}
	/* at most 64 times 2^53: cannot overflow */
	check_share(0, sum);

	method = cxm_proportion_test(groups, (size_t) n, MAX_TABLES, check_interrupts, &p_value);
	if (method != CXM_PROPORTION_NONE)
	{
		values[0] = Float8GetDatum(p_value);
		values[1] = CStringGetTextDatum(method == CXM_PROPORTION_EXACT ? "exact" : "chi-square");
		nulls[0] = nulls[1] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
