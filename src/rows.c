/*
 * src/rows.c
 *		Rows of a set-returning function, all put at once.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "rows.h"
#include "utils/memutils.h"

/* Say that the function materialises its rows; the caller puts them into the store */
void
cxm_begin_rows(FunctionCallInfo fcinfo, CxmRows *rows)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	if (info == NULL || !IsA(info, ReturnSetInfo) || (info->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &rows->desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rows->store = tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	info->returnMode = SFRM_Materialize;
	info->setResult = rows->store;
	info->setDesc = rows->desc;
	MemoryContextSwitchTo(old);
	rows->context = AllocSetContextCreate(CurrentMemoryContext, "cxm row", ALLOCSET_SMALL_SIZES);
}
