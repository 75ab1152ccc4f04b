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
#include "utils/array.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(cxm_rake_weights);

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
 * cxm.rake_weights(categories integer[], counts integer[], targets double precision[],
 *		weights double precision[], cap double precision, max_iterations integer,
 *		tolerance double precision)
 */
Datum
cxm_rake_weights(PG_FUNCTION_ARGS)
{
	size_t		ncategories;
	size_t		nvariables;
	size_t		ntargets;
	size_t		n;
	const int32 *categories = numbers_arg(fcinfo, 0, "categories", INT4OID, &ncategories);
	const int32 *counts = numbers_arg(fcinfo, 1, "counts", INT4OID, &nvariables);
	const double *targets = numbers_arg(fcinfo, 2, "targets", FLOAT8OID, &ntargets);
	const double *base = numbers_arg(fcinfo, 3, "weights", FLOAT8OID, &n);
	double		cap = PG_GETARG_FLOAT8(4);
	int32		max_iterations = PG_GETARG_INT32(5);
	double		tolerance = PG_GETARG_FLOAT8(6);
	RakeVariable *variables = palloc(Max(nvariables, 1) * sizeof(RakeVariable));
	double	   *weight;
	double	   *sums;
	size_t		ntargets_read = 0;
	int32		most = 0;
	RakeResult	result;

	if (n == 0 || nvariables == 0 || ncategories != n * nvariables)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%zu categories are not %zu variables of %zu answers", ncategories, nvariables, n)));
	for (size_t v = 0; v < nvariables; v++)
	{
		if (counts[v] < 1 || (size_t) counts[v] > ntargets - ntargets_read)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("there are not %d targets for variable %zu", counts[v], v + 1)));
		variables[v].ncategories = counts[v];
		variables[v].target = targets + ntargets_read;
		variables[v].category = read_categories(categories + v * n, n, counts[v]);
		ntargets_read += (size_t) counts[v];
		most = Max(most, counts[v]);
	}
	weight = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(double));
	for (size_t i = 0; i < n; i++)
	{
		if (!(base[i] > 0 && base[i] <= 1e100))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("%g is no weight to begin with", base[i]),
					 errdetail("Answer %zu of %zu has it; a weight is above 0 and at most 1e100.", i + 1, n)));
		weight[i] = base[i];
	}
	sums = palloc(2 * (size_t) most * sizeof(double));
	result = rake(variables, (int) nvariables, n, weight, cap, max_iterations, tolerance, sums, poll);
	return result_row(fcinfo, weight, n, &result);
}
