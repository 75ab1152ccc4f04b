/*
 * test/unit/drivers_core_test.c
 *		Tests of src/drivers_core.c without a server.
 *
 * Compile and run:
 *	 cc -Isrc test/unit/drivers_core_test.c src/drivers_core.c -lm -o drivers_core_test && ./drivers_core_test
 * Prints the checks that failed and a line "N passed, N failed"; the exit status is 1 if any failed.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "drivers_core.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_P 12
#define ROWS 40

static int	passed = 0;
static int	failed = 0;

#define CHECK(condition) check(condition, #condition, __LINE__)

static void
check(bool ok, const char *what, int line)
{
	if (ok)
		passed++;
	else
	{
		failed++;
		printf("line %d: not true: %s\n", line, what);
	}
}

static bool
near(double a, double b, double tolerance)
{
	return fabs(a - b) <= tolerance;
}

static uint64_t random_state = 20260801;

static double
uniform(void)
{
	return (double) (cxm_random(&random_state) >> 11) * 0x1p-53;
}

/* Correlations of random drivers and a random outcome that depends on them; rank limits how many are independent */
static void
random_problem(int p, int rank, double *r, double *ry)
{
	static double x[ROWS][MAX_P + 1];
	double		mix[MAX_P];

	for (int row = 0; row < ROWS; row++)
	{
		double		common = uniform();

		for (int i = 0; i < rank; i++)
			x[row][i] = uniform() + common;
	}
	/* the others are sums of those */
	for (int i = rank; i < p; i++)
	{
		for (int k = 0; k < rank; k++)
			mix[k] = uniform() - 0.5;
		for (int row = 0; row < ROWS; row++)
		{
			x[row][i] = 0;
			for (int k = 0; k < rank; k++)
				x[row][i] += mix[k] * x[row][k];
		}
	}
	for (int row = 0; row < ROWS; row++)
	{
		x[row][p] = uniform();
		for (int i = 0; i < p; i += 2)
			x[row][p] += x[row][i] / (1 + i);
	}
	for (int i = 0; i <= p; i++)
	{
		double		mean = 0;
		double		square = 0;

		for (int row = 0; row < ROWS; row++)
			mean += x[row][i] / ROWS;
		for (int row = 0; row < ROWS; row++)
			square += (x[row][i] - mean) * (x[row][i] - mean);
		for (int row = 0; row < ROWS; row++)
			x[row][i] = (x[row][i] - mean) / sqrt(square);
	}
	for (int i = 0; i < p; i++)
	{
		ry[i] = 0;
		for (int row = 0; row < ROWS; row++)
			ry[i] += x[row][i] * x[row][p];
		for (int j = 0; j < p; j++)
		{
			r[i * p + j] = 0;
			for (int row = 0; row < ROWS; row++)
				r[i * p + j] += x[row][i] * x[row][j];
		}
	}
}

/* R squared of the drivers of a set, by elimination with the largest pivot first, in longer numbers */
static double
r2_of(int p, const double *r, const double *ry, unsigned set)
{
	long double a[MAX_P][MAX_P + 1];
	int			members[MAX_P];
	bool		used[MAX_P] = {false};
	int			n = 0;
	long double r2 = 0;

	for (int i = 0; i < p; i++)
	{
		if (set & (1u << i))
			members[n++] = i;
	}
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < n; j++)
			a[i][j] = r[members[i] * p + members[j]];
		a[i][n] = ry[members[i]];
	}
	for (int step = 0; step < n; step++)
	{
		int			best = -1;

		for (int i = 0; i < n; i++)
		{
			if (!used[i] && (best < 0 || a[i][i] > a[best][best]))
				best = i;
		}
		if (a[best][best] < 1e-9L)
			break;
		used[best] = true;
		r2 += a[best][n] * a[best][n] / a[best][best];
		for (int i = 0; i < n; i++)
		{
			long double factor = a[i][best] / a[best][best];

			if (used[i])
				continue;
			for (int j = 0; j <= n; j++)
				a[i][j] -= factor * a[best][j];
		}
	}
	return (double) r2;
}

/* What each driver adds in an order, summed over all orders of those from "from" on */
static long
all_orders(int p, const double *r2, int *order, int from, double *sums)
{
	long		n = 0;
	unsigned	set = 0;

	if (from == p)
	{
		for (int i = 0; i < p; i++)
		{
			sums[order[i]] += r2[set | (1u << order[i])] - r2[set];
			set |= 1u << order[i];
		}
		return 1;
	}
	for (int i = from; i < p; i++)
	{
		int			other = order[from];

		order[from] = order[i];
		order[i] = other;
		n += all_orders(p, r2, order, from + 1, sums);
		order[i] = order[from];
		order[from] = other;
	}
	return n;
}

static void
compare_with_all_orders(int p, int rank)
{
	double		r[MAX_P * MAX_P];
	double		ry[MAX_P];
	double		lmg[MAX_P];
	double		sums[MAX_P] = {0};
	static double r2[1 << 7];
	double	   *work = malloc(sizeof(double) * cxm_lmg_work(p));
	int			order[MAX_P];
	double		total = 0;
	long		n;

	random_problem(p, rank, r, ry);
	for (unsigned set = 0; set < 1u << p; set++)
		r2[set] = r2_of(p, r, ry, set);
	for (int i = 0; i < p; i++)
		order[i] = i;
	n = all_orders(p, r2, order, 0, sums);
	cxm_lmg(p, r, ry, lmg, work, NULL);
	for (int i = 0; i < p; i++)
	{
		CHECK(near(lmg[i], sums[i] / (double) n, 1e-10));
		CHECK(lmg[i] > -1e-12);
		total += lmg[i];
	}
	CHECK(near(total, r2[(1u << p) - 1], 1e-10));
	free(work);
}

/* Eigenvalues and vectors by Jacobi's rotations, slow and sure; vectors one after the other */
static void
jacobi(int p, const double *matrix, double *values, double *vectors)
{
	double		a[MAX_P * MAX_P];

	memcpy(a, matrix, sizeof(double) * (size_t) (p * p));
	for (int i = 0; i < p * p; i++)
		vectors[i] = i % (p + 1) == 0;
	for (int sweep = 0; sweep < 60; sweep++)
	{
		for (int i = 0; i < p; i++)
		{
			for (int j = i + 1; j < p; j++)
			{
				double		theta = 0.5 * atan2(2 * a[i * p + j], a[j * p + j] - a[i * p + i]);
				double		c = cos(theta);
				double		s = sin(theta);

				for (int k = 0; k < p; k++)
				{
					double		one = a[k * p + i];
					double		two = a[k * p + j];

					a[k * p + i] = c * one - s * two;
					a[k * p + j] = s * one + c * two;
				}
				for (int k = 0; k < p; k++)
				{
					double		one = a[i * p + k];
					double		two = a[j * p + k];

					a[i * p + k] = c * one - s * two;
					a[j * p + k] = s * one + c * two;
					one = vectors[i * p + k];
					two = vectors[j * p + k];
					vectors[i * p + k] = c * one - s * two;
					vectors[j * p + k] = s * one + c * two;
				}
			}
		}
	}
	for (int i = 0; i < p; i++)
		values[i] = a[i * p + i];
}

static void
check_johnson(int p, int rank)
{
	double		r[MAX_P * MAX_P];
	double		ry[MAX_P];
	double		values[MAX_P];
	double		vectors[MAX_P * MAX_P];
	double		weights[2 * MAX_P];
	double		total = 0;

	random_problem(p, rank, r, ry);
	jacobi(p, r, values, vectors);
	cxm_johnson(p, values, vectors, ry, weights);
	for (int i = 0; i < p; i++)
	{
		CHECK(weights[i] >= 0);
		total += weights[i];
	}
	CHECK(near(total, r2_of(p, r, ry, (1u << p) - 1), 1e-9));
	/* of two drivers Johnson's weights are LMG */
	if (p == 2 && rank == 2)
	{
		double		lmg[2];
		double		work[64];

		cxm_lmg(2, r, ry, lmg, work, NULL);
		CHECK(near(lmg[0], weights[0], 1e-12) && near(lmg[1], weights[1], 1e-12));
	}
}

/* The coefficients solve the normal equations; each left-out driver is a sum of those before it */
static void
check_betas(int p, int rank)
{
	double		r[MAX_P * MAX_P];
	double		ry[MAX_P];
	double		betas[MAX_P];
	double		vif[MAX_P];
	double		work[(MAX_P + 1) * (MAX_P + 1)];
	double		r2;
	double		explained = 0;
	int			left = 0;

	random_problem(p, rank, r, ry);
	r2 = cxm_betas(p, r, ry, betas, vif, work);
	for (int i = 0; i < p; i++)
	{
		double		sum = 0;

		left += isnan(betas[i]);
		CHECK(isnan(betas[i]) == (i >= rank));
		for (int j = 0; j < p; j++)
			sum += isnan(betas[j]) ? 0 : r[i * p + j] * betas[j];
		CHECK(near(sum, ry[i], 1e-8));
		explained += isnan(betas[i]) ? 0 : betas[i] * ry[i];
		if (!isnan(betas[i]) && rank == p)
		{
			/* inflation by its definition: 1 / (1 - R2 of this driver by the others) */
			double		others[MAX_P * MAX_P];
			double		with[MAX_P];
			int			n = 0;

			for (int j = 0; j < p; j++)
			{
				int			m = 0;

				if (j == i)
					continue;
				for (int k = 0; k < p; k++)
				{
					if (k != i)
						others[n * (p - 1) + m++] = r[j * p + k];
				}
				with[n++] = r[j * p + i];
			}
			CHECK(near(vif[i] * (1 - r2_of(p - 1, others, with, (1u << (p - 1)) - 1)), 1, 1e-8));
		}
	}
	CHECK(left == p - rank);
	CHECK(near(r2, explained, 1e-8) && near(r2, r2_of(p, r, ry, (1u << p) - 1), 1e-9));
}

/* 47 Swiss provinces of 1888, fertility by five; figures of R's relaimpo and eigen */
static void
check_swiss(void)
{
	static const double r[25] = {
		1, -0.68654221, -0.63952252, 0.40109505, -0.06085861,
		-0.68654221, 1, 0.69841530, -0.57274180, -0.11402160,
		-0.63952252, 0.69841530, 1, -0.15385892, -0.09932185,
		0.40109505, -0.57274180, -0.15385892, 1, 0.17549591,
		-0.06085861, -0.11402160, -0.09932185, 0.17549591, 1
	};
	static const double ry[5] = {0.35307918, -0.64588270, -0.66378886, 0.46368470, 0.41655603};
	static const double expected[5] = {0.057091221, 0.171173029, 0.260134679, 0.105570150, 0.112765923};
	static const double johnson[5] = {0.048416896, 0.154708250, 0.271964105, 0.114680030, 0.116965721};
	double		lmg[5];
	double		work[200];
	double		values[5];
	double		vectors[25];
	double		weights[10];

	cxm_lmg(5, r, ry, lmg, work, NULL);
	jacobi(5, r, values, vectors);
	cxm_johnson(5, values, vectors, ry, weights);
	for (int i = 0; i < 5; i++)
	{
		/* the correlations above have eight digits */
		CHECK(near(lmg[i], expected[i], 5e-8));
		CHECK(near(weights[i], johnson[i], 5e-8));
	}
}

static int	interrupts = 0;

static void
count_interrupt(void)
{
	interrupts++;
}

static void
check_limits(void)
{
	double		r[25 * 25];
	double		ry[25];
	double		lmg[25];
	double	   *work = malloc(sizeof(double) * cxm_lmg_work(25));
	double		total = 0;

	/* uncorrelated drivers: the squares of their correlations with the outcome */
	for (int i = 0; i < 18; i++)
	{
		for (int j = 0; j < 18; j++)
			r[i * 18 + j] = i == j;
		ry[i] = (i % 2 ? -0.01 : 0.01) * i;
	}
	cxm_lmg(18, r, ry, lmg, work, count_interrupt);
	CHECK(interrupts > 10);
	for (int i = 0; i < 18; i++)
		CHECK(near(lmg[i], ry[i] * ry[i], 1e-14));

	/* one and the same driver many times: equal shares */
	for (int i = 0; i < 16 * 16; i++)
		r[i] = 1;
	for (int i = 0; i < 16; i++)
		ry[i] = 0.8;
	cxm_lmg(16, r, ry, lmg, work, NULL);
	for (int i = 0; i < 16; i++)
	{
		CHECK(near(lmg[i], 0.64 / 16, 1e-12));
		total += lmg[i];
	}
	CHECK(near(total, 0.64, 1e-13));

	/* one driver, and none */
	r[0] = 1;
	ry[0] = -0.5;
	cxm_lmg(1, r, ry, lmg, work, NULL);
	CHECK(near(lmg[0], 0.25, 1e-15));
	cxm_lmg(0, r, ry, lmg, work, NULL);
	free(work);
}

static void
check_draws(void)
{
	int32_t		times[1000];
	int32_t		again[1000];
	double		mean[50] = {0};
	double		sorted[5] = {1, 2, 4, 8, 16};

	for (int replicate = 0; replicate < 400; replicate++)
	{
		long		total = 0;
		bool		in_range = true;

		cxm_draw(7, (uint64_t) replicate, 50, times);
		cxm_draw(7, (uint64_t) replicate, 50, again);
		CHECK(memcmp(times, again, sizeof(int32_t) * 50) == 0);
		cxm_draw(8, (uint64_t) replicate, 50, again);
		CHECK(memcmp(times, again, sizeof(int32_t) * 50) != 0);
		for (int i = 0; i < 50; i++)
		{
			total += times[i];
			in_range &= times[i] >= 0 && times[i] <= 50;
			mean[i] += times[i] / 400.0;
		}
		CHECK(total == 50 && in_range);
	}
	/* each as often as any other: the standard error of a mean is 0.05 */
	for (int i = 0; i < 50; i++)
		CHECK(near(mean[i], 1, 0.25));
	cxm_draw(1, 0, 1, times);
	CHECK(times[0] == 1);

	CHECK(cxm_quantile(sorted, 5, 0) == 1 && cxm_quantile(sorted, 5, 1) == 16);
	CHECK(cxm_quantile(sorted, 5, 0.5) == 4 && near(cxm_quantile(sorted, 5, 0.1), 1.4, 1e-12));
	CHECK(cxm_quantile(sorted, 1, 0.3) == 1);
}

int
main(void)
{
	for (int round = 0; round < 20; round++)
	{
		for (int p = 1; p <= 7; p++)
		{
			compare_with_all_orders(p, p);
			if (p > 2)
				compare_with_all_orders(p, p - 1 - round % 2);
		}
		for (int p = 1; p <= MAX_P; p++)
		{
			check_johnson(p, p);
			check_betas(p, p);
			if (p > 2)
			{
				check_johnson(p, p - 1);
				check_betas(p, p - 1 - round % 2);
			}
		}
	}
	check_swiss();
	check_limits();
	check_draws();
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
