/*
 * src/rake.c
 *		Raking for SQL: arrays in, weights out.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "cxm.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "rake_core.h"
#include "ratings_core.h"
#include "utils/array.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(cxm_rake_weights);
PG_FUNCTION_INFO_V1(cxm_rake_mean);

static void
poll(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* The numbers of an array without NULLs, as they lie there */
static const void *
numbers_arg(FunctionCallInfo fcinfo, int argno, const char *name, Oid type, size_t *n)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(argno);

	if (ARR_NDIM(array) > 1 || ARR_HASNULL(array) || ARR_ELEMTYPE(array) != type)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be an array of one dimension without NULL", name)));
	*n = (size_t) ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return ARR_DATA_PTR(array);
}

/* Categories are counted from 1 in SQL, with 0 for unknown, and from 0 in the core, with -1 */
static const int32_t *
read_categories(const int32 *from, size_t n, int32 ncategories)
{
	int32_t    *categories = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(int32_t));

	for (size_t i = 0; i < n; i++)
	{
		if (from[i] < 0 || from[i] > ncategories)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("there is no category %d of %d", from[i], ncategories)));
		categories[i] = from[i] - 1;
	}
	return categories;
}

static Datum
result_row(FunctionCallInfo fcinfo, const double *weight, size_t n, const RakeResult *result)
{
	ArrayType  *array = palloc0(ARR_OVERHEAD_NONULLS(1) + n * sizeof(double));
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};

	SET_VARSIZE(array, ARR_OVERHEAD_NONULLS(1) + n * sizeof(double));
	array->ndim = 1;
	array->elemtype = FLOAT8OID;
	ARR_DIMS(array)[0] = (int) n;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), weight, n * sizeof(double));

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type");
	values[0] = PointerGetDatum(array);
	values[1] = Int32GetDatum(result->iterations);
	values[2] = BoolGetDatum(result->converged);
	values[3] = Float8GetDatum(result->largest_difference);
	values[4] = Int64GetDatum(result->capped);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * The variables of arguments 0 and 1, categories by variable and answer and how many of them each variable has, and the
 * number of categories that the one with the most has. targets: NULL = none.
 */
static RakeVariable *
read_variables(FunctionCallInfo fcinfo, size_t n, const double *targets, size_t ntargets, int *nvariables, int32 *most)
{
	size_t		ncategories;
	size_t		ncounts;
	size_t		ntargets_read = 0;
	const int32 *categories = numbers_arg(fcinfo, 0, "categories", INT4OID, &ncategories);
	const int32 *counts = numbers_arg(fcinfo, 1, "counts", INT4OID, &ncounts);
	RakeVariable *variables = palloc(Max(ncounts, 1) * sizeof(RakeVariable));

	if (n == 0 || ncounts == 0 || ncategories != n * ncounts)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%zu categories are not %zu variables of %zu answers", ncategories, ncounts, n)));
	*most = 0;
	for (size_t v = 0; v < ncounts; v++)
	{
		if (counts[v] < 1 || (size_t) counts[v] > (targets ? ntargets - ntargets_read : n))
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("there are not %d %s for variable %zu", counts[v], targets ? "targets" : "answers", v + 1)));
		variables[v].ncategories = counts[v];
		variables[v].target = targets ? targets + ntargets_read : NULL;
		variables[v].category = read_categories(categories + v * n, n, counts[v]);
		ntargets_read += (size_t) counts[v];
		*most = Max(*most, counts[v]);
	}
	*nvariables = (int) ncounts;
	return variables;
}

static void
check_weights(const double *weight, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
	{
		if (!(weight[i] > 0 && weight[i] <= 1e100))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("%g is no weight%s", weight[i], what),
					 errdetail("Answer %zu of %zu has it; a weight is above 0 and at most 1e100.", i + 1, n)));
	}
}

/*
 * cxm.rake_weights(categories integer[], counts integer[], targets double precision[],
 *		weights double precision[], cap double precision, max_iterations integer,
 *		tolerance double precision)
 */
Datum
cxm_rake_weights(PG_FUNCTION_ARGS)
{
	size_t		ntargets;
	size_t		n;
	const double *targets = numbers_arg(fcinfo, 2, "targets", FLOAT8OID, &ntargets);
	const double *base = numbers_arg(fcinfo, 3, "weights", FLOAT8OID, &n);
	double		cap = PG_GETARG_FLOAT8(4);
	int32		max_iterations = PG_GETARG_INT32(5);
	double		tolerance = PG_GETARG_FLOAT8(6);
	RakeVariable *variables;
	int			nvariables;
	int32		most;
	double	   *weight;
	double	   *sums;
	RakeResult	result;

	variables = read_variables(fcinfo, n, targets, ntargets, &nvariables, &most);
	check_weights(base, n, " to begin with");
	weight = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(double));
	memcpy(weight, base, n * sizeof(double));
	sums = palloc(2 * (size_t) most * sizeof(double));
	result = rake(variables, nvariables, n, weight, cap, max_iterations, tolerance, sums, poll);
	return result_row(fcinfo, weight, n, &result);
}

/* Values, NAN where they are NULL */
static double *
values_arg(FunctionCallInfo fcinfo, int argno, size_t n)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(argno);
	const bits8 *nulls = ARR_NULLBITMAP(array);
	const double *from = (const double *) ARR_DATA_PTR(array);
	double	   *values;

	if (ARR_NDIM(array) != 1 || ARR_ELEMTYPE(array) != FLOAT8OID || (size_t) ARR_DIMS(array)[0] != n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("values must be an array of one dimension with %zu elements", n)));
	values = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(double));
	for (size_t i = 0; i < n; i++)
	{
		if (nulls && !(nulls[i / 8] & (1 << (i % 8))))
		{
			values[i] = NAN;
			continue;
		}
		values[i] = *from++;
		if (!(fabs(values[i]) <= 1e100))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("%g cannot be averaged", values[i]),
					 errdetail("Answer %zu of %zu has it; a value is from -1e100 to 1e100.", i + 1, n),
					 errhint("What is missing is NULL.")));
	}
	return values;
}

/*
 * cxm.rake_mean(categories integer[], counts integer[], base_weights double precision[],
 *		weights double precision[], "values" double precision[], confidence double precision)
 */
Datum
cxm_rake_mean(PG_FUNCTION_ARGS)
{
	size_t		n;
	size_t		nweights;
	const double *base = numbers_arg(fcinfo, 2, "base_weights", FLOAT8OID, &n);
	const double *weight = numbers_arg(fcinfo, 3, "weights", FLOAT8OID, &nweights);
	double		confidence = PG_GETARG_FLOAT8(5);
	RakeVariable *variables;
	int			nvariables;
	int32		most;
	double	   *value;
	RakeMean	mean;
	double		reach;
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (!(confidence > 0 && confidence < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("confidence must be between 0 and 1"),
				 errhint("Write 0.95 for 95 percent.")));
	if (nweights != n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there are %zu weights for %zu answers", nweights, n)));
	variables = read_variables(fcinfo, n, NULL, 0, &nvariables, &most);
	check_weights(base, n, " to begin with");
	check_weights(weight, n, "");
	value = values_arg(fcinfo, 4, n);
	/* with one variable it is post-stratification, whose means have weights; otherwise as R does it */
	mean = rake_mean(variables, nvariables, n, nvariables == 1 ? base : NULL, weight, value,
					 palloc(2 * (size_t) most * sizeof(double)), poll);
	reach = normal_two_sided(confidence) * mean.standard_error;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type");
	values[0] = Int64GetDatum(mean.answers);
	values[1] = Float8GetDatum(mean.mean);
	values[2] = Float8GetDatum(mean.standard_error);
	values[3] = Float8GetDatum(mean.mean - reach);
	values[4] = Float8GetDatum(mean.mean + reach);
	nulls[1] = isnan(mean.mean);
	nulls[2] = nulls[3] = nulls[4] = isnan(mean.standard_error);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
