/*
 * src/cxm.h
 *		What every file of the library includes after postgres.h.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_H
#define CXM_H

#include "fmgr.h"

#if PG_VERSION_NUM < 140000
#error "cxm needs PostgreSQL 14 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* the most elements of an array; array.h shows it from 15 on */
#if PG_VERSION_NUM < 150000
#define MaxArraySize ((Size) (MaxAllocSize / sizeof(Datum)))
#endif

/* soft errors came in 16; before that an input function can only raise */
#if PG_VERSION_NUM < 160000
#define ereturn(context, dummy_value, ...) ereport(ERROR, __VA_ARGS__)
#endif

#endif							/* CXM_H */
