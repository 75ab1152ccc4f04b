/*
 * src/bridges.c
 *		cxm.bridges(), cxm.spanning_forest() and cxm.shortest_path() for SQL.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "bridges_core.h"
#include "catalog/pg_type.h"
#include "cxm.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"

/* What the set-returning function keeps between its rows */
typedef struct BridgesState
{
	CxmEdges	edges;
	CxmBridge  *bridges;
	uint32		nbridges;
	uint32		next;
} BridgesState;

static void
poll_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

static void *
allocate_huge(size_t size)
{
	/* only in the address space of 32 bits can the edges of an array of 1 GB need more */
	if (size > MaxAllocHugeSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many edges for the memory of this machine")));
	return MemoryContextAllocHuge(CurrentMemoryContext, size);
}

/* The elements of a bigint[] argument that must be flat and free of NULLs */
static const int64 *
flat_ids(ArrayType *array, const char *name, uint32 *count)
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
				 errhint("Leave what is not known out.")));

	*count = (uint32) ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	return (const int64 *) ARR_DATA_PTR(array);
}

static CxmEdges
edges_of(ArrayType *array_a, ArrayType *array_b)
{
	CxmEdges	edges = {.allocate = allocate_huge, .poll = poll_interrupts};
	uint32		count_b;

	edges.a = flat_ids(array_a, "a", &edges.count);
	edges.b = flat_ids(array_b, "b", &count_b);
	if (edges.count != count_b)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays \"a\" and \"b\" must have the same length"),
				 errdetail("They have %u and %u elements.", edges.count, count_b)));
	return edges;
}

/* An array of the places of edges, counted from 1, given by their indexes */
static ArrayType *
places_array(const uint32 *indexes, uint32 count)
{
	Datum	   *places = palloc_extended(sizeof(Datum) * (Size) Max(count, 1), MCXT_ALLOC_HUGE);

	for (uint32 i = 0; i < count; i++)
		places[i] = Int64GetDatum((int64) indexes[i] + 1);
	return construct_array(places, (int) count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

/* Run a function in a context of its own, so that its large arrays are gone before the result is used */
static MemoryContext
begin_scratch(MemoryContext *scratch)
{
	*scratch = AllocSetContextCreate(CurrentMemoryContext, "cxm graph", ALLOCSET_DEFAULT_SIZES);
	return MemoryContextSwitchTo(*scratch);
}

PG_FUNCTION_INFO_V1(cxm_bridges_sql);

/* cxm.bridges(a bigint[], b bigint[], marked bigint[]) returns one row a bridge */
Datum
cxm_bridges_sql(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	BridgesState *state;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext oldcontext;
		MemoryContext scratch;
		TupleDesc	tupdesc;
		CxmBridge  *found;
		const int64 *marked;
		uint32		nmarked;

		funcctx = SRF_FIRSTCALL_INIT();
		oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);

		if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		funcctx->tuple_desc = BlessTupleDesc(tupdesc);

		state = palloc0(sizeof(BridgesState));
		state->edges = edges_of(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1));
		marked = flat_ids(PG_GETARG_ARRAYTYPE_P(2), "marked", &nmarked);

		begin_scratch(&scratch);
		state->nbridges = cxm_bridges(&state->edges, marked, nmarked, &found);
		MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
		if (state->nbridges > 0)
		{
			state->bridges = allocate_huge(sizeof(CxmBridge) * (Size) state->nbridges);
			memcpy(state->bridges, found, sizeof(CxmBridge) * (Size) state->nbridges);
		}
		MemoryContextDelete(scratch);

		funcctx->user_fctx = state;
		MemoryContextSwitchTo(oldcontext);
	}

	funcctx = SRF_PERCALL_SETUP();
	state = funcctx->user_fctx;

	if (state->next < state->nbridges)
	{
		CxmBridge  *bridge = &state->bridges[state->next++];
		Datum		values[7];
		bool		nulls[7] = {false};

		values[0] = Int64GetDatum((int64) bridge->edge + 1);
		values[1] = Int64GetDatum(state->edges.a[bridge->edge]);
		values[2] = Int64GetDatum(state->edges.b[bridge->edge]);
		values[3] = Int64GetDatum((int64) bridge->size_a);
		values[4] = Int64GetDatum((int64) bridge->size_b);
		values[5] = Int64GetDatum((int64) bridge->marked_a);
		values[6] = Int64GetDatum((int64) bridge->marked_b);
		SRF_RETURN_NEXT(funcctx,
						HeapTupleGetDatum(heap_form_tuple(funcctx->tuple_desc, values, nulls)));
	}
	SRF_RETURN_DONE(funcctx);
}

PG_FUNCTION_INFO_V1(cxm_spanning_forest_sql);

/* cxm.spanning_forest(a bigint[], b bigint[]) returns bigint[] */
Datum
cxm_spanning_forest_sql(PG_FUNCTION_ARGS)
{
	CxmEdges	edges = edges_of(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1));
	MemoryContext scratch;
	MemoryContext oldcontext = begin_scratch(&scratch);
	uint32	   *forest = allocate_huge(sizeof(uint32) * (Size) Max(edges.count, 1));
	uint32		nforest = cxm_spanning_forest(&edges, forest);
	ArrayType  *result;

	MemoryContextSwitchTo(oldcontext);
	result = places_array(forest, nforest);
	MemoryContextDelete(scratch);
	PG_RETURN_ARRAYTYPE_P(result);
}

PG_FUNCTION_INFO_V1(cxm_shortest_path_sql);

/* cxm.shortest_path(a bigint[], b bigint[], source bigint, target bigint) returns bigint[] */
Datum
cxm_shortest_path_sql(PG_FUNCTION_ARGS)
{
	CxmEdges	edges = edges_of(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1));
	MemoryContext scratch;
	MemoryContext oldcontext = begin_scratch(&scratch);
	uint32	   *path = allocate_huge(sizeof(uint32) * (Size) Max(edges.count, 1));
	uint32		npath = cxm_shortest_path(&edges, PG_GETARG_INT64(2), PG_GETARG_INT64(3), path);
	ArrayType  *result = NULL;

	MemoryContextSwitchTo(oldcontext);
	if (npath != UINT32_MAX)
		result = places_array(path, npath);
	MemoryContextDelete(scratch);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(result);
}
