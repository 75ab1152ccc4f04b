/*
 * src/proportion_core.h
 *		Whether shares of several groups differ.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_PROPORTION_CORE_H
#define CXM_PROPORTION_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CXM_PROPORTION_MAX_GROUPS 64

typedef enum CxmProportionMethod
{
	CXM_PROPORTION_NONE,		/* fewer than two groups have anything in them */
	CXM_PROPORTION_EXACT,
	CXM_PROPORTION_CHI_SQUARE
} CxmProportionMethod;

typedef struct CxmGroup
{
	int64_t		successes;
	int64_t		trials;
} CxmGroup;

extern CxmProportionMethod cxm_proportion_test(const CxmGroup *groups, size_t ngroups, double max_tables,
											   void (*poll) (void), double *p_value);
extern double cxm_chi_square_tail(double x, int degrees);

#endif							/* CXM_PROPORTION_CORE_H */
