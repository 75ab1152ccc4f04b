/*
 * src/comparison_core.h
 *		Many tests at once: p-values adjusted for their number; and how many answers a comparison needs.
 *
 * Nothing here knows PostgreSQL: the same code runs in test/unit without a server.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef COMPARISON_CORE_H
#define COMPARISON_CORE_H

#include <stddef.h>

typedef enum Adjustment
{
	ADJUST_BONFERRONI,
	ADJUST_HOLM,
	ADJUST_HOCHBERG,
	ADJUST_BENJAMINI_HOCHBERG,
	ADJUST_BENJAMINI_YEKUTIELI
} Adjustment;

typedef struct RankedP
{
	double		p;
	size_t		place;
} RankedP;

extern void adjust_p_values(RankedP *p, size_t n, Adjustment adjustment, double *adjusted);

extern double normal_distribution(double z);
extern double two_sided_power(double difference, double standard_error, double confidence);

#endif							/* COMPARISON_CORE_H */
