/*
 * src/cxm.c
 *		Module declaration of the cxm library.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "cxm.h"
#include "utils/builtins.h"

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "cxm", .version = CXM_VERSION);
#else
PG_MODULE_MAGIC;
#endif

PG_FUNCTION_INFO_V1(cxm_version);

/* The version that cxm.control gave the build */
Datum
cxm_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(CXM_VERSION));
}
