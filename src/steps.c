/*
 * src/steps.c
 *		Steps as SQL names them: arrays of codes.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "steps.h"
#include "utils/builtins.h"

static int
compare_pairs(const void *x, const void *y)
{
	uint64		a = *(const uint64 *) x;
	uint64		b = *(const uint64 *) y;

	return (a > b) - (a < b);
}

void
cxm_read_steps(ArrayType *array, const char *name, CxmSteps *steps)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			width;
	uint64	   *pairs;
	Size		npairs = 0;

	if (ARR_NDIM(array) > 2)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" must have one dimension or two", name),
				 errdetail("It has %d.", ARR_NDIM(array)),
				 errhint("Give a code a step, or a row of codes a step.")));
	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &elements, &nulls, &n);
	width = ARR_NDIM(array) == 2 ? ARR_DIMS(array)[1] : 1;
	steps->count = n / width;

	/* a pair is one number, in the order of codes and then steps; the sign bit is turned, for negative codes */
	pairs = palloc(((Size) n + 1) * sizeof(uint64));
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			pairs[npairs++] = (uint64) ((uint32) DatumGetInt32(elements[i]) ^ UINT32_C(0x80000000)) << 32 |
				(uint32) (i / width);
		else if (ARR_NDIM(array) < 2)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("array \"%s\" must not contain nulls", name),
					 errdetail("Step %d is null.", i + 1)));
	}
	for (int step = 0; step < steps->count && ARR_NDIM(array) == 2; step++)
	{
		int			i = step * width;

		while (i < (step + 1) * width && nulls[i])
			i++;
		if (i == (step + 1) * width)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("step %d of array \"%s\" has no code", step + 1, name)));
	}
	qsort(pairs, npairs, sizeof(uint64), compare_pairs);
	npairs = qunique(pairs, npairs, sizeof(uint64), compare_pairs);

	steps->pairs = npairs;
	steps->code = palloc((npairs + 1) * sizeof(int32));
	steps->step = palloc((npairs + 1) * sizeof(uint32));
	for (Size i = 0; i < npairs; i++)
	{
		steps->code[i] = (int32) ((uint32) (pairs[i] >> 32) ^ UINT32_C(0x80000000));
		steps->step[i] = (uint32) pairs[i];
	}
	pfree(pairs);
	pfree(elements);
	pfree(nulls);
}
