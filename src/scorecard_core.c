/*
 * src/scorecard_core.c
 *		Intervals and tests for what scorecards show: means, medians, counts.
 *
 *	 Means of samples that share members: Derrick, Russ, Toher, White, J. of Modern Applied Statistical Methods 16
 *	 (2017) 137-157.  Without shared members it is Welch's test, with all of them shared the paired one.
 *	 Rank sums: Mann, Whitney, Annals of Mathematical Statistics 18 (1947) 50-60, normal approximation with the
 *	 corrections for ties and continuity.
 *	 Median between order statistics: Conover, Practical Nonparametric Statistics, 3.2.
 *	 Poisson counts: Garwood, Biometrika 28 (1936) 437-442; two of them: Przyborowski, Wilenski, Biometrika 31 (1940)
 *	 313-323.
 *	 Gamma quantile of many events: Wilson, Hilferty, PNAS 17 (1931) 684-688.
 *	 Student's tail for many degrees of freedom: Wallace, Annals of Mathematical Statistics 30 (1959) 1121-1130.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "scorecard_core.h"

#include <math.h>
#include <stdlib.h>

#include "ratings_core.h"

/* from here on an expansion is as exact as the sums of logarithms that it replaces, and fast */
#define MANY_DF 1e5
#define MANY_EVENTS 1000000

/* probabilities that differ by less are the same, as R's binom.test() has it */
#define SAME_PROBABILITY 1e-7

/* Probability that Student's t with df degrees of freedom is further from 0 than t */
double
cxm_student_tails(double t, double df)
{
	if (df > MANY_DF)
		return erfc(sqrt(df * log1p(t * t / df)) * (8 * df + 1) / (8 * df + 3) / sqrt(2));
	return cxm_incomplete_beta(df / 2, 0.5, df / (df + t * t));
}

/*
 * Two-sided p-value of equal means.  both members stand in either sample, and their values have that covariance.
 * False when there is no variance to go by.
 */
bool
cxm_mean_test(const CxmSample *a, const CxmSample *b, int64_t both, double covariance, double *p_value)
{
	double		va = a->variance / (double) a->n;
	double		vb = b->variance / (double) b->n;
	double		square = va + vb - 2 * covariance * (double) both / ((double) a->n * (double) b->n);
	double		alone = (double) (a->n - both) + (double) (b->n - both);
	double		welch;
	double		df;

	if (a->n < 2 || b->n < 2 || both == 1)
		return false;
	/* a difference of rounding is no variance */
	if (!(sqrt(fmax(square, 0)) > 1e-14 * fmax(fabs(a->mean), fabs(b->mean))) || isinf(square))
		return false;
	welch = (va + vb) * (va + vb) / (va * va / (double) (a->n - 1) + vb * vb / (double) (b->n - 1));
	df = welch;
	if (both > 0)
		df = (double) (both - 1) + (welch - (double) both + 1) / (alone + 2 * (double) both) * alone;
	*p_value = cxm_student_tails((a->mean - b->mean) / sqrt(square), df);
	return true;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* None of them NaN */
void
cxm_sort_doubles(double *values, size_t n)
{
	qsort(values, n, sizeof(double), compare_doubles);
}

/*
 * Two-sided p-value of two samples coming from one distribution, by the sum of ranks.  Sorts both arrays.
 * False when a sample is empty or all values are the same.
 */
bool
cxm_rank_sum_test(double *a, size_t na, double *b, size_t nb, void (*poll) (void), double *p_value)
{
	double		n = (double) na + (double) nb;
	double		u = -(double) na * ((double) na + 1) / 2;
	double		ties = 0;
	double		variance;
	double		off;

	if (na == 0 || nb == 0)
		return false;
	cxm_sort_doubles(a, na);
	cxm_sort_doubles(b, nb);
	for (size_t i = 0, j = 0; i < na || j < nb;)
	{
		double		value = j == nb || (i < na && a[i] <= b[j]) ? a[i] : b[j];
		double		before = (double) i + (double) j;
		size_t		from_a = i;
		double		tied;

		poll();
		while (i < na && a[i] == value)
			i++;
		while (j < nb && b[j] == value)
			j++;
		tied = (double) i + (double) j - before;
		/* all of a tie have the mean of its ranks */
		u += (double) (i - from_a) * (before + (tied + 1) / 2);
		ties += tied * tied * tied - tied;
	}
	variance = (double) na * (double) nb / 12 * (n + 1 - ties / (n * (n - 1)));
	if (!(variance > 0))
		return false;
	off = fabs(u - (double) na * (double) nb / 2);
	*p_value = fmin(1, erfc((off > 0 ? off - 0.5 : 0) / sqrt(2 * variance)));
	return true;
}

/* Probability of at most k successes in n trials of probability p */
static double
binomial_at_most(double k, double n, double p)
{
	if (k < 0)
		return 0;
	return k >= n ? 1 : cxm_incomplete_beta(n - k, k + 1, 1 - p);
}

/*
 * Of n values in order, counted from 1: the one from which, and the last but which one, the median is covered with at
 * least this confidence.  0 when they are too few.
 */
size_t
cxm_median_rank(size_t n, double confidence)
{
	double		tail = (1 - confidence) / 2;
	size_t		low = 0;
	size_t		high = n / 2;

	while (low < high)
	{
		size_t		middle = low + (high - low + 1) / 2;

		if (binomial_at_most((double) middle - 1, (double) n, 0.5) < tail)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* Probability that a gamma variable of this shape is below x */
static double
gamma_below(double shape, double x)
{
	double		front = exp(shape * log(x) - x - lgamma(shape));

	if (x <= 0)
		return 0;
	if (x < shape + 1)
	{
		double		term = 1 / shape;
		double		sum = term;

		for (int k = 1; term > sum * 1e-17; k++)
		{
			term *= x / (shape + k);
			sum += term;
		}
		return front * sum;
	}
	else
	{
		/* the continued fraction of the rest, by Lentz's method (NIST DLMF 8.9.2) */
		double		b = x + 1 - shape;
		double		c = 1e300;
		double		d = 1 / b;
		double		f = d;

		for (int k = 1; k < 100000; k++)
		{
			double		a = -k * (k - shape);

			b += 2;
			d = 1 / (a * d + b);
			c = b + a / c;
			f *= d * c;
			if (fabs(d * c - 1) < 1e-16)
				break;
		}
		return 1 - front * f;
	}
}

/* What a gamma variable of this shape is below with probability p */
static double
gamma_quantile(double shape, double p)
{
	double		root = 1 - 1 / (9 * shape) + normal_quantile(p) / (3 * sqrt(shape));
	double		low = 0;
	double		high = fmax(shape * root * root * root, shape);

	if (shape > MANY_EVENTS)
		return shape * root * root * root;
	while (gamma_below(shape, high) < p)
	{
		low = high;
		high *= 2;
	}
	for (int i = 0; i < 200 && high - low > 1e-14 * high; i++)
	{
		double		middle = (low + high) / 2;

		if (gamma_below(shape, middle) < p)
			low = middle;
		else
			high = middle;
	}
	return (low + high) / 2;
}

/* The exact interval of the mean of a Poisson count */
void
cxm_poisson_interval(int64_t events, double confidence, double *lower, double *upper)
{
	double		tail = (1 - confidence) / 2;

	*lower = events == 0 ? 0 : gamma_quantile((double) events, tail);
	*upper = gamma_quantile((double) events + 1, 1 - tail);
}

static double
log_binomial(double k, double n, double p)
{
	return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log1p(-p);
}

/*
 * Two-sided p-value of equal rates: events over exposure, both above 0.  Given how many events there are in all, those
 * of the first are binomial; all numbers that are no more likely than the one seen count.
 */
double
cxm_poisson_test(int64_t events_a, double exposure_a, int64_t events_b, double exposure_b)
{
	double		n = (double) events_a + (double) events_b;
	double		p = exposure_a / (exposure_a + exposure_b);
	double		k = (double) events_a;
	double		seen;
	double		low;
	double		high;

	if (n == 0 || k == n * p)
		return 1;
	/* count the other side from the top */
	if (k > n * p)
	{
		k = (double) events_b;
		p = 1 - p;
	}
	seen = log_binomial(k, n, p) + log1p(SAME_PROBABILITY);
	/* above the mean probabilities fall: the first that is no more likely */
	low = ceil(n * p);
	high = n + 1;
	while (low < high)
	{
		double		middle = floor((low + high) / 2);

		if (log_binomial(middle, n, p) <= seen)
			high = middle;
		else
			low = middle + 1;
	}
	return fmin(1, binomial_at_most(k, n, p) + (low > n ? 0 : cxm_incomplete_beta(low, n - low + 1, p)));
}

static int
compare_numbers(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/*
 * The windows of so many periods that have one of these periods in them, in as
 * few runs as can be; how many these are, n at most.  The numbers are sorted.
 */
size_t
cxm_window_runs(int64_t *numbers, size_t n, int64_t rolling, CxmRun *runs)
{
	size_t		nruns = 0;

	qsort(numbers, n, sizeof(int64_t), compare_numbers);
	for (size_t i = 0; i < n; i++)
	{
		if (nruns > 0 && numbers[i] <= runs[nruns - 1].ends)
			runs[nruns - 1].ends = numbers[i] + rolling;
		else
			runs[nruns++] = (CxmRun){numbers[i], numbers[i] + rolling};
	}
	return nruns;
}

/* What is in both; how many runs that are, na + nb at most */
size_t
cxm_shared_runs(const CxmRun *a, size_t na, const CxmRun *b, size_t nb, CxmRun *shared)
{
	size_t		nshared = 0;

	for (size_t i = 0, j = 0; i < na && j < nb;)
	{
		int64_t		begins = a[i].begins > b[j].begins ? a[i].begins : b[j].begins;
		int64_t		ends = a[i].ends < b[j].ends ? a[i].ends : b[j].ends;

		if (begins < ends)
			shared[nshared++] = (CxmRun){begins, ends};
		if (a[i].ends < b[j].ends)
			i++;
		else
			j++;
	}
	return nshared;
}
