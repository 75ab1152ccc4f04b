/*
 * src/clusters.c
 *		cxm.clusters(): clusters of scored links for SQL.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "clusters_core.h"
#include "cxm.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* What the set-returning function keeps between its rows */
typedef struct ClustersState
{
	Datum	   *names;			/* of the nodes, in the order of their bytes */
	uint32		nnodes;
	uint32	   *cluster;
	uint32	   *size;			/* by the first node of a cluster */
	uint32		next;
} ClustersState;

static void
poll_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* The elements of an array that must be flat and free of NULLs */
static Datum *
flat_elements(ArrayType *array, const char *name, Oid type, int *count)
{
	Datum	   *elements;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" must have one dimension", name),
				 errdetail("It has %d.", ARR_NDIM(array))));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array \"%s\" must not contain nulls", name),
				 errhint("Leave links with an unknown end or weight out.")));
	if (type == TEXTOID)
		deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, count);
	else
		deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, NULL, count);
	return elements;
}

static int
compare_names(const void *x, const void *y)
{
	text	   *a = (text *) DatumGetPointer(*(const Datum *) x);
	text	   *b = (text *) DatumGetPointer(*(const Datum *) y);
	int			la = VARSIZE_ANY_EXHDR(a);
	int			lb = VARSIZE_ANY_EXHDR(b);
	int			order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(la, lb));

	return order != 0 ? order : (la > lb) - (la < lb);
}

/* The number of a name that is among the nodes */
static uint32
node_of(const ClustersState *state, Datum name)
{
	uint32		low = 0;
	uint32		high = state->nnodes - 1;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (compare_names(&state->names[middle], &name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Memory for so many things, which may be more than a gigabyte */
static void *
space_for(Size n, Size size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * size);
}

static ClustersState *
solve(ArrayType *array_a, ArrayType *array_b, ArrayType *array_weight, int32 max_size, float8 min_density)
{
	ClustersState *state = palloc0(sizeof(ClustersState));
	CxmClusterSpace space;
	CxmLink    *links;
	int			n;
	int			nb;
	int			nweights;
	Datum	   *a = flat_elements(array_a, "a", TEXTOID, &n);
	Datum	   *b = flat_elements(array_b, "b", TEXTOID, &nb);
	Datum	   *weights = flat_elements(array_weight, "weight", FLOAT8OID, &nweights);

	if (n != nb || n != nweights)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays \"a\", \"b\" and \"weight\" must have the same length"),
				 errdetail("They have %d, %d and %d elements.", n, nb, nweights)));

	state->names = space_for((Size) n * 2, sizeof(Datum));
	memcpy(state->names, a, sizeof(Datum) * n);
	memcpy(state->names + n, b, sizeof(Datum) * n);
	qsort(state->names, (size_t) n * 2, sizeof(Datum), compare_names);
	for (Size i = 0; i < (Size) n * 2; i++)
	{
		if (state->nnodes == 0 || compare_names(&state->names[state->nnodes - 1], &state->names[i]) != 0)
			state->names[state->nnodes++] = state->names[i];
	}

	links = space_for(n, sizeof(CxmLink));
	for (int i = 0; i < n; i++)
	{
		links[i].a = node_of(state, a[i]);
		links[i].b = node_of(state, b[i]);
		links[i].weight = DatumGetFloat8(weights[i]);
		if (isnan(links[i].weight))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("weights must be numbers"),
					 errdetail("Weight %d is NaN.", i + 1)));
	}

	space.parent = space_for(state->nnodes, sizeof(uint32));
	space.size = space_for(state->nnodes, sizeof(uint32));
	space.next = space_for(state->nnodes, sizeof(uint32));
	space.first = space_for((Size) state->nnodes + 1, sizeof(size_t));
	space.neighbours = space_for((Size) n * 2, sizeof(uint32));
	space.poll = poll_interrupts;
	cxm_clusters(links, (size_t) n, state->nnodes, (uint32) max_size, min_density, &space);
	state->cluster = space.parent;
	state->size = space.size;
	return state;
}

PG_FUNCTION_INFO_V1(cxm_clusters_sql);

/* cxm.clusters(a text[], b text[], weight double precision[], max_size integer, min_density double precision) */
Datum
cxm_clusters_sql(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	ClustersState *state;

	if (SRF_IS_FIRSTCALL())
	{
		int32		max_size = PG_GETARG_INT32(3);
		float8		min_density = PG_GETARG_FLOAT8(4);
		MemoryContext oldcontext;
		TupleDesc	tupdesc;

		if (max_size < 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("greatest size of a cluster must be at least 1"),
					 errdetail("It is %d.", max_size)));
		/* written so that NaN is refused */
		if (!(min_density >= 0 && min_density <= 1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("least density must be between 0 and 1"),
					 errdetail("It is %g.", min_density)));

		funcctx = SRF_FIRSTCALL_INIT();
		oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		funcctx->tuple_desc = BlessTupleDesc(tupdesc);

		/* the names stay in the arrays, so these must stay as long as the rows come */
		funcctx->user_fctx = solve(PG_GETARG_ARRAYTYPE_P_COPY(0), PG_GETARG_ARRAYTYPE_P_COPY(1),
								   PG_GETARG_ARRAYTYPE_P(2), max_size, min_density);
		MemoryContextSwitchTo(oldcontext);
	}

	funcctx = SRF_PERCALL_SETUP();
	state = funcctx->user_fctx;

	if (state->next < state->nnodes)
	{
		uint32		node = state->next++;
		Datum		values[3];
		bool		nulls[3] = {false, false, false};

		values[0] = state->names[node];
		values[1] = state->names[state->cluster[node]];
		values[2] = Int32GetDatum((int32) state->size[state->cluster[node]]);
		SRF_RETURN_NEXT(funcctx,
						HeapTupleGetDatum(heap_form_tuple(funcctx->tuple_desc, values, nulls)));
	}
	SRF_RETURN_DONE(funcctx);
}
