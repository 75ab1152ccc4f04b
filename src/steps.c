/*
 * src/steps.c
 *		Steps as SQL names them: codes, or sets of codes.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "steps.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

/* Pairs as they are read; each is one number, in the order of codes and then steps */
typedef struct Pairs
{
	Size		count;
	Size		room;
	uint64	   *pair;
} Pairs;

/* the sign bit is turned, for negative codes */
#define SIGN UINT32_C(0x80000000)

static void
add_pair(Pairs *pairs, int32 code, int step)
{
	if (pairs->count == pairs->room)
	{
		pairs->room = Max(16, 2 * pairs->room);
		pairs->pair = pairs->pair == NULL ? palloc(pairs->room * sizeof(uint64)) :
			repalloc_huge(pairs->pair, pairs->room * sizeof(uint64));
	}
	pairs->pair[pairs->count++] = (uint64) ((uint32) code ^ SIGN) << 32 | (uint32) step;
}

static int
compare_pairs(const void *x, const void *y)
{
	uint64		a = *(const uint64 *) x;
	uint64		b = *(const uint64 *) y;

	return (a > b) - (a < b);
}

static void
sort_pairs(Pairs *pairs, CxmSteps *steps)
{
	if (pairs->count > 0)
	{
		qsort(pairs->pair, pairs->count, sizeof(uint64), compare_pairs);
		pairs->count = qunique(pairs->pair, pairs->count, sizeof(uint64), compare_pairs);
	}
	steps->pairs = pairs->count;
	steps->code = MemoryContextAllocHuge(CurrentMemoryContext, (pairs->count + 1) * sizeof(int32));
	steps->step = MemoryContextAllocHuge(CurrentMemoryContext, (pairs->count + 1) * sizeof(uint32));
	for (Size i = 0; i < pairs->count; i++)
	{
		steps->code[i] = (int32) ((uint32) (pairs->pair[i] >> 32) ^ SIGN);
		steps->step[i] = (uint32) pairs->pair[i];
	}
	if (pairs->pair != NULL)
		pfree(pairs->pair);
}

void
cxm_read_steps(ArrayType *array, const char *name, CxmSteps *steps)
{
	const int32 *codes = (const int32 *) ARR_DATA_PTR(array);
	Pairs		pairs = {0};

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" must have one dimension", name),
				 errdetail("It has %d.", ARR_NDIM(array)),
				 errhint("Steps that are sets of codes are written as jsonb, such as '[1, [2, 5], 3]'.")));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array \"%s\" must not contain nulls", name)));
	steps->count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	for (int i = 0; i < steps->count; i++)
		add_pair(&pairs, codes[i], i);
	sort_pairs(&pairs, steps);
}

static int32
read_code(const JsonbValue *value, const char *name)
{
	if (value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("codes in \"%s\" must be numbers", name)));
	/* raises an error of its own for what is too large; a fraction is not rounded away */
	if (numeric_is_nan(value->val.numeric) ||
		!DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(value->val.numeric),
										  DirectFunctionCall1(numeric_floor, NumericGetDatum(value->val.numeric)))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("codes in \"%s\" must be whole numbers", name),
				 errdetail("One is %s.", DatumGetCString(DirectFunctionCall1(numeric_out,
																			  NumericGetDatum(value->val.numeric))))));
	return DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(value->val.numeric)));
}

void
cxm_read_json_steps(Jsonb *json, const char *name, CxmSteps *steps)
{
	const char *hint = "Give a code or an array of codes a step, such as '[1, [2, 5], 3]'.";
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	Pairs		pairs = {0};

	if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be a JSON array", name),
				 errhint("%s", hint)));
	steps->count = 0;
	it = JsonbIteratorInit(&json->root);
	(void) JsonbIteratorNext(&it, &value, false);
	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_END_ARRAY)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_ELEM)
			add_pair(&pairs, read_code(&value, name), steps->count);
		else if (token == WJB_BEGIN_ARRAY)
		{
			while (JsonbIteratorNext(&it, &value, true) != WJB_END_ARRAY)
				add_pair(&pairs, read_code(&value, name), steps->count);
		}
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("step %d of \"%s\" is neither a code nor an array of codes", steps->count + 1, name),
					 errhint("%s", hint)));
		steps->count++;
	}
	sort_pairs(&pairs, steps);
}
