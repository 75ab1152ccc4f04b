/*
 * src/components.c
 *		cxm.components(): connected components for SQL.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "components_core.h"
#include "cxm.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/memutils.h"

/* What the set-returning function keeps between its rows */
typedef struct ComponentsState
{
	CxmComponent *nodes;
	size_t		nnodes;
	size_t		next;
} ComponentsState;

/* The elements of a bigint[] argument that must be flat and free of NULLs */
static const int64 *
edge_ends(ArrayType *array, const char *name, int *count)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" must have one dimension", name),
				 errdetail("It has %d.", ARR_NDIM(array))));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array \"%s\" must not contain nulls", name),
				 errhint("Leave edges with an unknown end out.")));

	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return (const int64 *) ARR_DATA_PTR(array);
}

static ComponentsState *
solve(ArrayType *array_a, ArrayType *array_b)
{
	ComponentsState *state = palloc0(sizeof(ComponentsState));
	int			count_a;
	int			count_b;
	const int64 *a = edge_ends(array_a, "a", &count_a);
	const int64 *b = edge_ends(array_b, "b", &count_b);
	uint32_t   *parent;

	if (count_a != count_b)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays \"a\" and \"b\" must have the same length"),
				 errdetail("They have %d and %d elements.", count_a, count_b)));

	if (count_a > 0)
	{
		Size		nends = (Size) count_a * 2;

		/* an array of 1 GB is too much for the address space of 32 bits only */
		if (nends > MaxAllocHugeSize / sizeof(CxmComponent))
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many edges for the memory of this machine"),
					 errdetail("There are %d.", count_a)));

		state->nodes = MemoryContextAllocHuge(CurrentMemoryContext,
											  nends * sizeof(CxmComponent));
		parent = MemoryContextAllocHuge(CurrentMemoryContext,
										nends * sizeof(uint32_t));
		state->nnodes = cxm_components(a, b, (size_t) count_a, state->nodes, parent);
		pfree(parent);
	}
	return state;
}

PG_FUNCTION_INFO_V1(cxm_components_sql);

/* cxm.components(a bigint[], b bigint[]) returns one row a node */
Datum
cxm_components_sql(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	ComponentsState *state;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext oldcontext;
		TupleDesc	tupdesc;

		funcctx = SRF_FIRSTCALL_INIT();
		oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);

		if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		funcctx->tuple_desc = BlessTupleDesc(tupdesc);
		funcctx->user_fctx = solve(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1));

		MemoryContextSwitchTo(oldcontext);
	}

	funcctx = SRF_PERCALL_SETUP();
	state = funcctx->user_fctx;

	if (state->next < state->nnodes)
	{
		CxmComponent *node = &state->nodes[state->next++];
		Datum		values[2];
		bool		nulls[2] = {false, false};

		values[0] = Int64GetDatum(node->member);
		values[1] = Int64GetDatum(node->component);
		SRF_RETURN_NEXT(funcctx,
						HeapTupleGetDatum(heap_form_tuple(funcctx->tuple_desc, values, nulls)));
	}
	SRF_RETURN_DONE(funcctx);
}
