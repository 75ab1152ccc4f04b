/*
 * src/rake_core.c
 *		Raking, by iterative proportional fitting (Deming and Stephan 1940).
 *
 * A pass multiplies the weights of each category by what its share lacks, one variable after the other. Weights
 * above the cap are cut to it after each pass, and the rest takes up what they lose, until the cut ones stay what
 * they are: so no weight ends above the cap, whatever the shares come to.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "rake_core.h"

#include <math.h>

/* Weight in each category, and its share of all that is known */
void
rake_shares(const RakeVariable *variable, const double *weight, size_t n, double *sums, double *shares)
{
	double		total = 0;

	for (int32_t i = 0; i < variable->ncategories; i++)
		sums[i] = 0;
	for (size_t i = 0; i < n; i++)
	{
		if (variable->category[i] >= 0)
			sums[variable->category[i]] += weight[i];
	}
	for (int32_t i = 0; i < variable->ncategories; i++)
		total += sums[i];
	for (int32_t i = 0; i < variable->ncategories; i++)
		shares[i] = total > 0 ? sums[i] / total : 0;
}

static double
largest_difference(const RakeVariable *variables, int nvariables, const double *weight, size_t n, double *sums,
				   double *shares)
{
	double		largest = 0;

	for (int v = 0; v < nvariables; v++)
	{
		rake_shares(&variables[v], weight, n, sums, shares);
		for (int32_t i = 0; i < variables[v].ncategories; i++)
			largest = fmax(largest, fabs(shares[i] - variables[v].target[i]));
	}
	return largest;
}

static void
fit_variable(const RakeVariable *variable, double *weight, size_t n, double *sums, double *shares)
{
	rake_shares(variable, weight, n, sums, shares);
	/* from here on what a weight is multiplied by; nobody is in a category without a share */
	for (int32_t i = 0; i < variable->ncategories; i++)
		shares[i] = shares[i] > 0 ? variable->target[i] / shares[i] : 1;
	for (size_t i = 0; i < n; i++)
	{
		if (variable->category[i] >= 0)
			weight[i] *= shares[variable->category[i]];
	}
}

/* Make the mean 1 again, no weight above the cap; returns how many are at it */
static int64_t
trim(double *weight, size_t n, double cap)
{
	double		total = 0;

	for (size_t i = 0; i < n; i++)
		total += weight[i];
	for (size_t i = 0; i < n; i++)
		weight[i] *= (double) n / total;
	for (;;)
	{
		double		free_weight = 0;
		int64_t		capped = 0;
		bool		is_done = true;
		double		factor;

		for (size_t i = 0; i < n; i++)
		{
			if (weight[i] >= cap)
				capped++;
			else
				free_weight += weight[i];
		}
		factor = capped > 0 && free_weight > 0 ? ((double) n - (double) capped * cap) / free_weight : 1;
		for (size_t i = 0; i < n; i++)
		{
			if (weight[i] >= cap)
				weight[i] = cap;
			else
			{
				weight[i] *= factor;
				is_done &= weight[i] < cap;
			}
		}
		if (is_done)
			return capped;
	}
}

/*
 * Rake. weight[] has the weights to begin with, all above zero, and gets the raked ones, with a mean of 1. cap: the
 * largest weight, above 1; INFINITY for none. sums[] has room for twice as many numbers as the variable with the most
 * categories has of them. Ends when all shares are within the tolerance, when the weights stay what they are though the
 * shares are not (which a cap, or targets that exclude each other, can do), or after max_iterations passes.
 */
RakeResult
rake(const RakeVariable *variables, int nvariables, size_t n, double *weight, double cap, int32_t max_iterations,
	 double tolerance, double *sums, RakePoll poll)
{
	RakeResult	result = {0, false, 0, 0};
	double		before = INFINITY;
	double	   *shares;
	int32_t		most = 0;

	for (int v = 0; v < nvariables; v++)
		most = variables[v].ncategories > most ? variables[v].ncategories : most;
	shares = sums + most;

	result.capped = trim(weight, n, cap);
	result.largest_difference = largest_difference(variables, nvariables, weight, n, sums, shares);
	while (result.largest_difference > tolerance && result.iterations < max_iterations)
	{
		for (int v = 0; v < nvariables; v++)
			fit_variable(&variables[v], weight, n, sums, shares);
		result.capped = trim(weight, n, cap);
		result.largest_difference = largest_difference(variables, nvariables, weight, n, sums, shares);
		result.iterations++;
		/* it comes no nearer, and has not for a while */
		if (result.iterations % 50 == 0)
		{
			if (result.largest_difference > before * (1 - 1e-9))
				break;
			before = result.largest_difference;
		}
		poll();
	}
	result.converged = result.largest_difference <= tolerance;
	return result;
}

/* Take the mean of each category off its values; returns the largest of them */
static double
center(const RakeVariable *variable, size_t n, const double *base, double *value, double *sums, double *weights)
{
	double		largest = 0;

	for (int32_t i = 0; i < variable->ncategories; i++)
		sums[i] = weights[i] = 0;
	for (size_t i = 0; i < n; i++)
	{
		int32_t		category = variable->category[i];

		if (category >= 0)
		{
			sums[category] += base ? base[i] * value[i] : value[i];
			weights[category] += base ? base[i] : 1;
		}
	}
	for (int32_t i = 0; i < variable->ncategories; i++)
	{
		sums[i] = weights[i] > 0 ? sums[i] / weights[i] : 0;
		largest = fmax(largest, fabs(sums[i]));
	}
	for (size_t i = 0; i < n; i++)
	{
		if (variable->category[i] >= 0)
			value[i] -= sums[variable->category[i]];
	}
	return largest;
}

/*
 * Mean of value[], NAN where there is none, with the weights that raking gave, and its standard error.
 *
 * What the categories explain of the value varies no more from sample to sample, for their shares are held. So the
 * error is that of what they leave: the residuals of the values, after the means of the categories are taken off
 * variable by variable until there are none (what an answer without a value adds to the total, nothing, too). base[]
 * has the weights of these means; NULL: all the same. value[] is used up. sums[] as in rake().
 */
RakeMean
rake_mean(const RakeVariable *variables, int nvariables, size_t n, const double *base, const double *weight,
		  double *value, double *sums, RakePoll poll)
{
	RakeMean	result = {0, NAN, NAN};
	double		total = 0;
	double		sum = 0;
	double		spread = 0;
	double		average = 0;
	double		squares = 0;
	int32_t		most = 0;

	for (size_t i = 0; i < n; i++)
	{
		if (isnan(value[i]))
			continue;
		result.answers++;
		total += weight[i];
		sum += weight[i] * value[i];
	}
	if (result.answers == 0)
		return result;
	result.mean = sum / total;
	if (result.answers == 1)
		return result;

	for (size_t i = 0; i < n; i++)
	{
		value[i] = isnan(value[i]) ? 0 : value[i] - result.mean;
		spread = fmax(spread, fabs(value[i]));
	}
	for (int v = 0; v < nvariables; v++)
		most = variables[v].ncategories > most ? variables[v].ncategories : most;
	for (int pass = 0; pass < 1000; pass++)
	{
		double		largest = 0;

		for (int v = 0; v < nvariables; v++)
			largest = fmax(largest, center(&variables[v], n, base, value, sums, sums + most));
		if (nvariables == 1 || largest <= spread * 1e-12)
			break;
		poll();
	}

	for (size_t i = 0; i < n; i++)
	{
		value[i] *= weight[i] / total;
		average += value[i] / (double) n;
	}
	for (size_t i = 0; i < n; i++)
		squares += (value[i] - average) * (value[i] - average);
	result.standard_error = sqrt(squares * ((double) n / (double) (n - 1)));
	return result;
}
