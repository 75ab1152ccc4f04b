/*
 * src/comparison_core.c
 *		Many tests at once: see comparison_core.h.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "comparison_core.h"

#include <math.h>
#include <stdlib.h>

#include "ratings_core.h"

static int
compare_p(const void *a, const void *b)
{
	double		left = ((const RankedP *) a)->p;
	double		right = ((const RankedP *) b)->p;

	return (left > right) - (left < right);
}

/* What the p-value of that rank, from 0 for the smallest, is multiplied by */
static double
factor_of(size_t rank, size_t n, Adjustment adjustment)
{
	switch (adjustment)
	{
		case ADJUST_BONFERRONI:
			return (double) n;
		case ADJUST_HOLM:
		case ADJUST_HOCHBERG:
			return (double) (n - rank);
		case ADJUST_BENJAMINI_HOCHBERG:
		case ADJUST_BENJAMINI_YEKUTIELI:
			return (double) n / (double) (rank + 1);
	}
	return 1;
}

/*
 * Adjust n p-values; p is sorted, and adjusted[] is in the order of the places. A smaller p-value never gets a larger
 * adjusted one: Holm's steps go down from the smallest, the others' up from the largest.
 */
void
adjust_p_values(RankedP *p, size_t n, Adjustment adjustment, double *adjusted)
{
	double		so_far;
	double		dependence = 1;

	qsort(p, n, sizeof(RankedP), compare_p);
	if (adjustment == ADJUST_HOLM || adjustment == ADJUST_BONFERRONI)
	{
		so_far = 0;
		for (size_t rank = 0; rank < n; rank++)
		{
			so_far = fmax(so_far, p[rank].p * factor_of(rank, n, adjustment));
			adjusted[p[rank].place] = fmin(so_far, 1);
		}
		return;
	}
	/* 1 + 1/2 + ... + 1/n: what it costs that tests may depend on each other in any way */
	if (adjustment == ADJUST_BENJAMINI_YEKUTIELI)
	{
		for (size_t i = n; i > 1; i--)
			dependence += 1 / (double) i;
	}
	so_far = 1;
	for (size_t rank = n; rank-- > 0;)
	{
		so_far = fmin(so_far, p[rank].p * factor_of(rank, n, adjustment) * dependence);
		adjusted[p[rank].place] = so_far;
	}
}

/* Share of a standard normal distribution below z */
double
normal_distribution(double z)
{
	return erfc(-z / sqrt(2)) / 2;
}

/* Probability that a two-sided test finds a difference of that size, in either direction */
double
two_sided_power(double difference, double standard_error, double confidence)
{
	double		z = normal_two_sided(confidence);
	double		shift = fabs(difference) / standard_error;

	return normal_distribution(shift - z) + normal_distribution(-shift - z);
}
