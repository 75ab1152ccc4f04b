/*
 * src/rows.h
 *		Rows of a set-returning function, all put at once.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_ROWS_H
#define CXM_ROWS_H

#include "cxm.h"
#include "utils/tuplestore.h"

typedef struct CxmRows
{
	Tuplestorestate *store;
	TupleDesc	desc;
	MemoryContext context;		/* of one row, for the caller to reset */
} CxmRows;

extern void cxm_begin_rows(FunctionCallInfo fcinfo, CxmRows *rows);

#endif							/* CXM_ROWS_H */
