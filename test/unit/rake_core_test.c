/*
 * test/unit/rake_core_test.c
 *		Raking against its definition on random answers: shares and cap; the error of a mean against the residuals of a
 *		regression on all categories, by elimination.
 *
 * cc -Isrc test/unit/rake_core_test.c src/rake_core.c -lm && ./a.out
 */
#include "rake_core.h"
#include "check.h"

#include <math.h>
#include <string.h>

static void
no_poll(void)
{
}

#define N 200
#define MAX_CATEGORIES 4
#define MAX_VARIABLES 3
#define COLUMNS (MAX_CATEGORIES * MAX_VARIABLES)

static int32_t category[MAX_VARIABLES][N];
static double target[MAX_VARIABLES][MAX_CATEGORIES];
static RakeVariable variables[MAX_VARIABLES];

/* Every category has answers, and so has each pair of them, but for chance */
static void
make_survey(int nvariables, bool some_unknown)
{
	for (int v = 0; v < nvariables; v++)
	{
		double		total = 0;
		int			ncategories = 2 + (int) next_random(MAX_CATEGORIES - 1);

		for (int i = 0; i < N; i++)
			category[v][i] = i < ncategories ? i : (int32_t) next_random((uint32_t) ncategories);
		for (int i = ncategories; some_unknown && i < N; i += 7)
			category[v][i] = -1;
		for (int i = 0; i < ncategories; i++)
			total += target[v][i] = 1 + next_random(4);
		for (int i = 0; i < ncategories; i++)
			target[v][i] /= total;
		variables[v] = (RakeVariable) {category[v], target[v], ncategories};
	}
}

/* What a regression on all categories leaves of the values, by Gauss with a ridge too small to see */
static void
residuals(int nvariables, const double *base, double *value)
{
	double		a[COLUMNS][COLUMNS + 1];

	memset(a, 0, sizeof(a));
	for (int i = 0; i < N; i++)
	{
		double		w = base ? base[i] : 1;

		for (int v = 0; v < nvariables; v++)
		{
			int			row = v * MAX_CATEGORIES + category[v][i];

			if (category[v][i] < 0)
				continue;
			for (int u = 0; u < nvariables; u++)
			{
				if (category[u][i] >= 0)
					a[row][u * MAX_CATEGORIES + category[u][i]] += w;
			}
			a[row][COLUMNS] += w * value[i];
		}
	}
	for (int i = 0; i < COLUMNS; i++)
		a[i][i] += 1e-9;
	for (int i = 0; i < COLUMNS; i++)
	{
		for (int j = 0; j < COLUMNS; j++)
		{
			double		factor = a[j][i] / a[i][i];

			for (int k = i; j != i && k <= COLUMNS; k++)
				a[j][k] -= factor * a[i][k];
		}
	}
	for (int i = 0; i < N; i++)
	{
		for (int v = 0; v < nvariables; v++)
		{
			int			row = v * MAX_CATEGORIES + category[v][i];

			if (category[v][i] >= 0)
				value[i] -= a[row][COLUMNS] / a[row][row];
		}
	}
}

static void
test_raking(void)
{
	double		weight[N];
	double		sums[2 * MAX_CATEGORIES];
	double		shares[MAX_CATEGORIES];

	for (int round = 0; round < 200; round++)
	{
		int			nvariables = 1 + (int) next_random(MAX_VARIABLES);
		double		cap = round % 3 == 0 ? 2.5 : INFINITY;
		double		total = 0;
		double		largest = 0;
		RakeResult	result;

		make_survey(nvariables, round % 2 == 1);
		for (int i = 0; i < N; i++)
			weight[i] = 1 + next_random(3);
		result = rake(variables, nvariables, N, weight, cap, 5000, 1e-10, sums, no_poll);
		for (int i = 0; i < N; i++)
		{
			total += weight[i];
			largest = fmax(largest, weight[i]);
		}
		check(fabs(total / N - 1) < 1e-9 && largest <= cap, "weights have a mean of 1 and stay within the cap");
		check(result.converged || isfinite(cap), "without a cap shares are reached");
		for (int v = 0; result.converged && v < nvariables; v++)
		{
			double		difference = 0;

			rake_shares(&variables[v], weight, N, sums, shares);
			for (int i = 0; i < variables[v].ncategories; i++)
				difference = fmax(difference, fabs(shares[i] - target[v][i]));
			check(difference <= 1e-10, "every share is its target");
		}
	}
}

static void
test_mean(void)
{
	double		base[N];
	double		weight[N];
	double		value[N];
	double		left[N];
	double		sums[2 * MAX_CATEGORIES];

	for (int round = 0; round < 200; round++)
	{
		int			nvariables = 1 + (int) next_random(MAX_VARIABLES);
		const double *by = round % 2 ? base : NULL;
		double		total = 0;
		double		mean = 0;
		double		average = 0;
		double		squares = 0;
		int			answers = 0;
		RakeMean	result;

		make_survey(nvariables, round % 3 == 0);
		for (int i = 0; i < N; i++)
		{
			base[i] = 1 + next_random(3);
			weight[i] = 0.5 + next_random(100) / 100.0;
			value[i] = round % 5 == 0 && i % 11 == 0 ? NAN : (double) next_random(11) + category[0][i];
			if (isnan(value[i]))
				continue;
			answers++;
			total += weight[i];
			mean += weight[i] * value[i];
		}
		mean /= total;
		for (int i = 0; i < N; i++)
			left[i] = isnan(value[i]) ? 0 : value[i] - mean;
		residuals(nvariables, by, left);
		for (int i = 0; i < N; i++)
			average += weight[i] * left[i] / total / N;
		for (int i = 0; i < N; i++)
			squares += pow(weight[i] * left[i] / total - average, 2);
		result = rake_mean(variables, nvariables, N, by, weight, value, sums, no_poll);
		check(result.answers == answers && fabs(result.mean - mean) < 1e-12, "the weighted mean of what is there");
		check(fabs(result.standard_error / sqrt(squares * N / (N - 1.0)) - 1) < 1e-6, "the error is that of the residuals");
	}
	for (int i = 0; i < N; i++)
		value[i] = NAN;
	check(isnan(rake_mean(variables, 1, N, NULL, weight, value, sums, no_poll).mean), "no mean without values");
	value[7] = 3;
	check(isnan(rake_mean(variables, 1, N, NULL, weight, value, sums, no_poll).standard_error), "no error with one");
	for (int i = 0; i < N; i++)
		value[i] = category[0][i] * 10;
	check(rake_mean(variables, 1, N, NULL, weight, value, sums, no_poll).standard_error < 1e-12, "what the variable says is certain");
}

int
main(void)
{
	test_raking();
	test_mean();
	return report();
}
