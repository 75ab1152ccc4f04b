/*
 * src/comoments.h
 *		The type cxm.comoments, for what reads it.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef COMOMENTS_H
#define COMOMENTS_H

#include "comoments_core.h"
#include "cxm.h"

/* doubles and counts lie in it, so it is always a whole copy, aligned */
#define PG_GETARG_COMOMENTS_P(n) cxm_check_comoments((CxmComoments *) PG_DETOAST_DATUM(PG_GETARG_DATUM(n)))

/* A stored value: refuse what another version of the library wrote, or what was damaged */
static inline CxmComoments *
cxm_check_comoments(CxmComoments *c)
{
	if (unlikely(VARSIZE(c) < sizeof(CxmComoments) || c->version != CXM_COMOMENTS_VERSION ||
				 c->policy > CXM_MISSING_PAIRWISE || c->drivers > CXM_COMOMENTS_MAX_DRIVERS ||
				 VARSIZE(c) != cxm_comoments_size(c->policy, c->drivers)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("co-moments of this format cannot be read"),
				 errdetail("This library reads version %d.", CXM_COMOMENTS_VERSION)));
	return c;
}

#endif							/* COMOMENTS_H */
