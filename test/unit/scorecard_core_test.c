/*
 * test/unit/scorecard_core_test.c
 *		Tests and intervals against slow and plain ones: all sums of ranks counted, tails summed up term by term, densities
 *		integrated.
 *
 * cc -Isrc test/unit/scorecard_core_test.c src/scorecard_core.c -lm && ./a.out
 */
#include "scorecard_core.h"
#include "check.h"

#include <math.h>

/* the quantiles and the beta function that it stands on; a unit test is linked with its own file alone */
#include "ratings_core.c"

static void
poll(void)
{
}

/* Both tails of Student's distribution by Simpson's rule */
static double
student_by_integral(double t, double df)
{
	double		scale = exp(lgamma((df + 1) / 2) - lgamma(df / 2)) / sqrt(df * M_PI);
	double		sum = 0;
	int			steps = 20000;

	for (int i = 0; i <= steps; i++)
	{
		double		x = t * i / steps;

		sum += (i == 0 || i == steps ? 1 : i % 2 ? 4 : 2) * scale * pow(1 + x * x / df, -(df + 1) / 2);
	}
	return 1 - 2 * sum * t / steps / 3;
}

static double
poisson_at_most(int64_t k, double mean)
{
	double		sum = 0;

	for (int64_t i = 0; i <= k; i++)
		sum += exp((double) i * log(mean) - mean - lgamma((double) i + 1));
	return sum;
}

static double
binomial(int64_t k, int64_t n, double p)
{
	return exp(lgamma((double) n + 1) - lgamma((double) k + 1) - lgamma((double) (n - k) + 1) +
			   (double) k * log(p) + (double) (n - k) * log1p(-p));
}

static void
student(void)
{
	for (double df = 1; df < 2000; df = df * 1.7 + 0.3)
		for (double t = 0.1; t < 6; t += 0.7)
			check(fabs(cxm_student_tails(t, df) - student_by_integral(t, df)) < 1e-9, "Student's tails");
	/* where the expansion takes over nothing jumps */
	for (double t = 0.1; t < 6; t += 0.7)
		check(fabs(cxm_student_tails(t, 1e5) / cxm_student_tails(t, 1e5 + 1) - 1) < 1e-6, "Student's tails of many degrees");
}

static void
means(void)
{
	CxmSample	a = {3, 2, 40};
	CxmSample	b = {3.4, 1, 25};
	double		p = 0;
	double		q = 0;

	check(cxm_mean_test(&a, &b, 0, 0, &p) && cxm_mean_test(&b, &a, 0, 0, &q) && p == q, "the same both ways");
	b.n = 1;
	check(!cxm_mean_test(&a, &b, 0, 0, &p), "one is no sample");
	b = a;
	check(!cxm_mean_test(&a, &b, 40, 2, &p), "the same sample twice has no variance");
	b.mean = 3.5;
	check(cxm_mean_test(&a, &b, 40, 1.5, &p) &&
		  fabs(p - cxm_student_tails(0.5 / sqrt((2 + 2 - 3) / 40.0), 39)) < 1e-12, "all shared: the paired test");
}

/* mean and variance of the rank sum over all ways to choose the first sample from the pooled values */
static void
ranks(void)
{
	for (int round = 0; round < 200; round++)
	{
		size_t		na = 1 + next_random(5);
		size_t		nb = 1 + next_random(5);
		size_t		n = na + nb;
		double		pool[10] = {0};
		double		rank[10] = {0};
		double		a[5];
		double		b[5];
		double		sum = 0;
		double		squares = 0;
		double		ways = 0;
		double		seen = 0;
		double		variance;
		double		p = -1;
		bool		known;

		for (size_t i = 0; i < n; i++)
			pool[i] = next_random(6);
		for (size_t i = 0; i < n; i++)
		{
			rank[i] = 0.5;
			for (size_t j = 0; j < n; j++)
				rank[i] += pool[j] < pool[i] ? 1 : pool[j] == pool[i] ? 0.5 : 0;
		}
		for (size_t i = 0; i < na; i++)
		{
			a[i] = pool[i];
			seen += rank[i];
		}
		for (size_t i = 0; i < nb; i++)
			b[i] = pool[na + i];
		for (unsigned chosen = 0; chosen < 1U << n; chosen++)
		{
			double		w = 0;
			size_t		members = 0;

			for (size_t i = 0; i < n; i++)
				if (chosen >> i & 1)
				{
					w += rank[i];
					members++;
				}
			if (members != na)
				continue;
			sum += w;
			squares += w * w;
			ways++;
		}
		variance = squares / ways - sum / ways * (sum / ways);
		known = cxm_rank_sum_test(a, na, b, nb, poll, &p);
		check(known == (variance > 1e-9), "ranks that vary");
		if (known)
		{
			double		off = fabs(seen - sum / ways);

			check(fabs(p - fmin(1, erfc(fmax(off - 0.5, off > 1e-9 ? -0.5 : 0) / sqrt(2 * variance)))) < 1e-9, "the rank sum");
		}
	}
}

static void
medians(void)
{
	for (size_t n = 0; n < 300; n++)
	{
		size_t		rank = cxm_median_rank(n, 0.95);
		double		below = 0;

		for (size_t k = 0; k + 1 <= rank; k++)
			below += binomial((int64_t) k, (int64_t) n, 0.5);
		check(below < 0.025, "the median is covered");
		if (n > 0)
			check(below + binomial((int64_t) rank, (int64_t) n, 0.5) >= 0.025 - 1e-12, "by no more than it takes");
	}
}

static void
counts(void)
{
	for (int64_t k = 0; k < 3000; k = k * 2 + 1)
	{
		double		lower;
		double		upper;

		cxm_poisson_interval(k, 0.9, &lower, &upper);
		check(k == 0 ? lower == 0 : fabs(1 - poisson_at_most(k - 1, lower) - 0.05) < 1e-9, "the lower end");
		check(fabs(poisson_at_most(k, upper) - 0.05) < 1e-9, "the upper end");
	}
	for (int round = 0; round < 500; round++)
	{
		int64_t		a = next_random(40);
		int64_t		b = next_random(40);
		double		exposure_a = 1 + next_random(5);
		double		exposure_b = 1 + next_random(5);
		double		share = exposure_a / (exposure_a + exposure_b);
		double		sum = 0;

		for (int64_t k = 0; k <= a + b; k++)
			if (binomial(k, a + b, share) <= binomial(a, a + b, share) * (1 + 1e-7))
				sum += binomial(k, a + b, share);
		check(fabs(cxm_poisson_test(a, exposure_a, b, exposure_b) - fmin(sum, 1)) < 1e-9, "two counts");
	}
}

static bool
is_in(const CxmRun *runs, size_t n, int64_t number)
{
	for (size_t i = 0; i < n; i++)
		if (number >= runs[i].begins && number < runs[i].ends)
			return true;
	return false;
}

static bool
is_apart(const CxmRun *runs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (runs[i].begins >= runs[i].ends || (i > 0 && runs[i].begins <= runs[i - 1].ends))
			return false;
	return true;
}

static bool
has_mark(const int64_t *numbers, size_t n, int64_t from, int64_t to)
{
	for (size_t i = 0; i < n; i++)
		if (numbers[i] >= from && numbers[i] <= to)
			return true;
	return false;
}

static void
windows(void)
{
	for (int round = 0; round < 2000; round++)
	{
		int64_t		numbers[12];
		size_t		n = next_random(13);
		int64_t		rolling = 1 + next_random(5);
		CxmRun		now[12];
		CxmRun		before[12];
		CxmRun		both[24];
		size_t		nnow;
		size_t		nboth;
		bool		is_right = true;

		for (size_t i = 0; i < n; i++)
			numbers[i] = (int64_t) next_random(40) - 20;
		nnow = cxm_window_runs(numbers, n, rolling, now);
		for (size_t i = 0; i < nnow; i++)
			before[i] = (CxmRun){now[i].begins + rolling, now[i].ends + rolling};
		nboth = cxm_shared_runs(now, nnow, before, nnow, both);
		check(nnow <= n && is_apart(now, nnow), "runs are ascending, and do not touch");
		for (int64_t number = -30; number < 40; number++)
		{
			bool		is_now = has_mark(numbers, n, number - rolling + 1, number);
			bool		was = has_mark(numbers, n, number - 2 * rolling + 1, number - rolling);

			is_right = is_right && is_in(now, nnow, number) == is_now && is_in(both, nboth, number) == (is_now && was);
		}
		check(is_right, "windows with a mark, and with one in the window before");
	}
}

int
main(void)
{
	windows();
	student();
	means();
	ranks();
	medians();
	counts();
	return report();
}
