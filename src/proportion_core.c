/*
 * src/proportion_core.c
 *		Whether shares of several groups differ.
 *
 * Pearson's chi-square test holds where all expected counts are large enough (five, by Cochran's rule).  Elsewhere, and
 * skewed data are always elsewhere, the test is exact: Fisher's, extended to several groups by Freeman and Halton.
 * Given how many succeeded in all, the successes of the groups are multivariate hypergeometric when the shares are
 * equal; the p-value is the probability of all tables that are no more likely than the one that was seen.
 *
 *	 Cochran: Biometrics 10 (1954) 417-451.
 *	 Freeman, Halton: Biometrika 38 (1951) 141-149.
 *	 Upper incomplete gamma function, recurrence: NIST DLMF 8.8.2.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "proportion_core.h"

#include <math.h>

/* tables whose probabilities differ by less than this are equally likely, as R's fisher.test() has it */
#define SAME_PROBABILITY 1e-7

typedef struct Walk
{
	const CxmGroup *groups;		/* with something in them, the largest last */
	size_t		ngroups;
	double		seen;			/* log probability of the table that was seen, up to a constant */
	double		tail;			/* sum of probabilities relative to the table seen */
	double		whole;
	void		(*poll) (void);
} Walk;

/* Probability that a chi-square variable exceeds x */
double
cxm_chi_square_tail(double x, int degrees)
{
	double		half = x / 2;
	double		tail = degrees % 2 == 0 ? exp(-half) : erfc(sqrt(half));

	if (half <= 0)
		return 1;
	for (int doubled = degrees % 2 == 0 ? 2 : 1; doubled < degrees; doubled += 2)
		tail += exp(doubled / 2.0 * log(half) - half - lgamma(doubled / 2.0 + 1));
	return tail < 1 ? tail : 1;
}

static double
log_choose(int64_t n, int64_t k)
{
	return lgamma((double) n + 1) - lgamma((double) k + 1) - lgamma((double) (n - k) + 1);
}

/* Add up all tables that share out what is left of the successes among the groups from one on */
static void
walk(Walk *w, size_t group, int64_t successes, int64_t trials, double so_far)
{
	const CxmGroup *g = &w->groups[group];
	int64_t		rest = trials - g->trials;
	int64_t		low = successes > rest ? successes - rest : 0;
	int64_t		high = successes < g->trials ? successes : g->trials;

	if (group + 1 == w->ngroups)
	{
		double		relative = so_far + log_choose(g->trials, successes) - w->seen;

		w->whole += exp(relative);
		if (relative <= SAME_PROBABILITY)
			w->tail += exp(relative);
		return;
	}
	for (int64_t k = low; k <= high; k++)
	{
		w->poll();
		walk(w, group + 1, successes - k, rest, so_far + log_choose(g->trials, k));
	}
}

/*
 * The two-sided p-value of equal shares.
 *
 * Groups without trials say nothing and are left out.  max_tables bounds the work of the exact test; beyond it the
 * chi-square test stands in, and the method says so.
 */
CxmProportionMethod
cxm_proportion_test(const CxmGroup *groups, size_t ngroups, double max_tables, void (*poll) (void), double *p_value)
{
	CxmGroup	used[CXM_PROPORTION_MAX_GROUPS];
	size_t		n = 0;
	size_t		largest = 0;
	int64_t		successes = 0;
	int64_t		trials = 0;
	double		smallest = INFINITY;
	double		statistic = 0;
	double		tables = 1;

	for (size_t i = 0; i < ngroups; i++)
	{
		if (groups[i].trials == 0)
			continue;
		used[n] = groups[i];
		if (used[n].trials > used[largest].trials)
			largest = n;
		successes += used[n].successes;
		trials += used[n].trials;
		n++;
	}
	if (n < 2)
		return CXM_PROPORTION_NONE;
	if (successes == 0 || successes == trials)
	{
		/* there is only one table */
		*p_value = 1;
		return CXM_PROPORTION_EXACT;
	}

	/* the last group takes what is left, so the largest costs nothing */
	{
		CxmGroup	swap = used[n - 1];

		used[n - 1] = used[largest];
		used[largest] = swap;
	}

	for (size_t i = 0; i < n; i++)
	{
		double		expected = (double) used[i].trials * (double) successes / (double) trials;
		double		other = (double) used[i].trials - expected;
		double		off = (double) used[i].successes - expected;
		int64_t		range = used[i].trials;

		smallest = fmin(smallest, fmin(expected, other));
		statistic += off * off / expected + off * off / other;
		range = range < successes ? range : successes;
		range = range < trials - successes ? range : trials - successes;
		if (i + 1 < n)
			tables *= (double) range + 1;
	}

	if (smallest >= 5 || tables > max_tables)
	{
		*p_value = cxm_chi_square_tail(statistic, (int) n - 1);
		return CXM_PROPORTION_CHI_SQUARE;
	}
	else
	{
		Walk		w = {used, n, 0, 0, 0, poll};

		for (size_t i = 0; i < n; i++)
			w.seen += log_choose(used[i].trials, used[i].successes);
		walk(&w, 0, successes, trials, 0);
		*p_value = fmin(w.tail / w.whole, 1);
		return CXM_PROPORTION_EXACT;
	}
}
