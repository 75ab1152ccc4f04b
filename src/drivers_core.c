/*
 * src/drivers_core.c
 *		What drives an outcome: shares of explained variance and coefficients.
 *
 * LMG, the Shapley value of R squared (Lindeman, Merenda and Gold 1980), is what a driver adds to R squared, averaged
 * over all orders in which drivers can enter. That takes R squared of all 2^p subsets. They are visited as a tree: a
 * node is a subset, its children add one driver that comes later, and on the way down the drivers that are still to
 * come, and the outcome, are cleared of what was added (Furnival 1971). So a subset costs little more than a
 * division, no path is longer than p, and nothing is kept but the path.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "drivers_core.h"

#include <math.h>
#include <string.h>

/* subtrees of so many drivers are visited between two checks: a fraction of a millisecond */
#define CHECK_DRIVERS	14

typedef struct Lmg
{
	const double *factor;		/* of R squared of a subset, by its size */
	CxmDriversCheck check;
} Lmg;

/* A matrix of q drivers has a row each, and in each row the covariance with the outcome last */
static inline size_t
matrix_size(int q)
{
	return (size_t) q * ((size_t) q + 1);
}

size_t
cxm_lmg_work(int p)
{
	size_t		size = 2 * ((size_t) p + 1);

	for (int q = p; q > 0; q--)
		size += matrix_size(q);
	return size;
}

/* What a driver with this variance and covariance left adds to R squared */
static inline double
gain(double variance, double covariance)
{
	return variance > CXM_COLLINEAR ? covariance * covariance / variance : 0;
}

/* The matrix of the drivers behind driver t, cleared of driver t; only what is above the diagonal is kept */
static inline void
clear_of(const double *restrict a, int q, int t, double *restrict child)
{
	int			left = q - 1 - t;
	const double *row = a + (size_t) t * ((size_t) q + 1);
	double		scale = row[t] > CXM_COLLINEAR ? 1 / row[t] : 0;

	for (int u = 0; u < left; u++)
	{
		double		factor = row[t + 1 + u] * scale;
		const double *from = a + (size_t) (t + 1 + u) * ((size_t) q + 1) + t + 1;
		double	   *to = child + (size_t) u * ((size_t) left + 1);

		for (int v = u; v <= left; v++)
			to[v] = from[v] - factor * row[t + 1 + v];
	}
}

/*
 * Visit all subsets that add some of the q drivers left to one of this size and R squared; returns the sum over them.
 * sums is that of the first driver left, room what the matrices of the subtree may take.
 */
static double
visit(const Lmg *lmg, const double *a, int q, int size, double r2, double *sums, double *room)
{
	double		total = 0;

	if (q >= CHECK_DRIVERS && lmg->check != NULL)
		lmg->check();
	for (int t = 0; t < q; t++)
	{
		const double *row = a + (size_t) t * ((size_t) q + 1);
		int			left = q - 1 - t;
		double		here = r2 + gain(row[t], row[q]);
		double		sum = here * lmg->factor[size + 1];

		if (left > 1)
		{
			clear_of(a, q, t, room);
			sum += visit(lmg, room, left, size + 1, here, sums + t + 1, room + matrix_size(left));
		}
		else if (left == 1)
		{
			/* half of the subtrees are as small as this */
			const double *last = row + q + 1;
			double		scale = row[t] > CXM_COLLINEAR ? row[t + 1] / row[t] : 0;
			double		only = (here + gain(last[t + 1] - scale * row[t + 1], last[q] - scale * row[q])) *
				lmg->factor[size + 2];

			sums[t + 1] += only;
			sum += only;
		}
		sums[t] += sum;
		total += sum;
	}
	return total;
}

/*
 * Shares of R squared by Shapley. A driver that is a sum of others has its share, too: it adds something to subsets
 * that lack one of those.
 */
void
cxm_lmg(int p, const double *r, const double *ry, double *lmg, double *work, CxmDriversCheck check)
{
	double	   *factor = work;
	double	   *a = work + p + 1;
	double		all = 0;
	double		r2;
	double		ways = 1;		/* subsets of this size of p - 1 drivers */
	double		rest;
	Lmg			context;

	/*
	 * The share of driver j is the sum, over the subsets S without j, of (R2(S + j) - R2(S)) / (p * ways(|S|)). So R2
	 * of a subset of k drivers counts 1 / (p * ways(k - 1)) where j is in it, and -1 / (p * ways(k)) where it is not.
	 * The latter, taken over all subsets instead, is the same number for every driver: what makes the sum R2.
	 */
	factor[0] = 0;
	for (int k = 1; k <= p; k++)
	{
		double		next = ways * (p - k) / k;

		factor[k] = 1 / (p * ways) + (k < p ? 1 / (p * next) : 0);
		ways = next;
	}

	for (int i = 0; i < p; i++)
	{
		lmg[i] = 0;
		memcpy(a + (size_t) i * ((size_t) p + 1), r + (size_t) i * (size_t) p, sizeof(double) * (size_t) p);
		a[(size_t) i * ((size_t) p + 1) + (size_t) p] = ry[i];
	}
	context.factor = factor;
	context.check = check;
	if (p > 0)
		visit(&context, a, p, 0, 0, lmg, a + matrix_size(p));

	/* R2 of all drivers, by going down the path that adds every one */
	r2 = 0;
	for (int q = p; q > 0; q--)
	{
		r2 += gain(a[0], a[q]);
		if (q > 1)
			clear_of(a, q, 0, a + matrix_size(q));
		a += matrix_size(q);
	}
	for (int i = 0; i < p; i++)
		all += lmg[i];
	rest = p > 0 ? (all - r2) / p : 0;
	for (int i = 0; i < p; i++)
		lmg[i] -= rest;
}

/*
 * Relative weights of Johnson (2000): the drivers are replaced by the uncorrelated ones that are nearest to them, and
 * what those explain is shared out by how much of each driver they hold. values and vectors are the eigenvalues of the
 * matrix of correlations and their vectors, one after the other.
 */
void
cxm_johnson(int p, const double *values, const double *vectors, const double *ry, double *weights)
{
	double	   *explained = weights + p;

	/* covariance of the outcome with each of the nearest uncorrelated drivers: V values^(-1/2) V' ry */
	memset(explained, 0, sizeof(double) * (size_t) p);
	for (int k = 0; k < p; k++)
	{
		const double *vector = vectors + (size_t) k * (size_t) p;
		double		along = 0;

		if (values[k] <= CXM_COLLINEAR)
			continue;
		for (int j = 0; j < p; j++)
			along += vector[j] * ry[j];
		along /= sqrt(values[k]);
		for (int j = 0; j < p; j++)
			explained[j] += vector[j] * along;
	}
	/* correlation of driver i with the k-th of them: V values^(1/2) V' */
	for (int i = 0; i < p; i++)
	{
		weights[i] = 0;
		for (int k = 0; k < p; k++)
		{
			double		correlation = 0;

			for (int l = 0; l < p; l++)
			{
				if (values[l] > CXM_COLLINEAR)
					correlation += sqrt(values[l]) * vectors[(size_t) l * (size_t) p + (size_t) i] *
						vectors[(size_t) l * (size_t) p + (size_t) k];
			}
			weights[i] += correlation * correlation * explained[k] * explained[k];
		}
	}
}

/*
 * Standardised coefficients, and how much the variance of each is inflated by the others (1 / tolerance), by the sweep
 * operator of Beaton; returns R squared. A driver that is a sum of those before it has no coefficient: NaN, as R does.
 * work holds (p + 1)^2 doubles.
 */
double
cxm_betas(int p, const double *r, const double *ry, double *betas, double *vif, double *work)
{
	size_t		m = (size_t) p + 1;
	double		r2;

	for (int i = 0; i < p; i++)
	{
		memcpy(work + (size_t) i * m, r + (size_t) i * (size_t) p, sizeof(double) * (size_t) p);
		work[(size_t) i * m + (size_t) p] = work[(size_t) p * m + (size_t) i] = ry[i];
	}
	work[m * m - 1] = 1;
	for (int k = 0; k < p; k++)
	{
		double	   *row = work + (size_t) k * m;
		double		pivot = row[k];

		betas[k] = vif[k] = NAN;
		if (!(pivot > CXM_COLLINEAR))
			continue;
		betas[k] = 0;
		for (size_t j = 0; j < m; j++)
			row[j] /= pivot;
		for (size_t i = 0; i < m; i++)
		{
			double	   *other = work + i * m;
			double		factor = other[k];

			if (i == (size_t) k)
				continue;
			for (size_t j = 0; j < m; j++)
				other[j] -= factor * row[j];
			other[k] = -factor / pivot;
		}
		row[k] = 1 / pivot;
	}
	for (int k = 0; k < p; k++)
	{
		if (isnan(betas[k]))
			continue;
		betas[k] = work[(size_t) k * m + (size_t) p];
		vif[k] = work[(size_t) k * m + (size_t) k];
	}
	r2 = 1 - work[m * m - 1];
	return fmin(1, fmax(0, r2));
}

/*--------------------------------------------------------------------------------------------------------
 * Resampling
 *--------------------------------------------------------------------------------------------------------
 */

/* Splitmix64 (Steele, Lea and Flood 2014) */
uint64_t
cxm_random(uint64_t *state)
{
	uint64_t	z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/*
 * How often each of the groups is in a replicate that draws as many with replacement. A replicate has a stream of its
 * own, so that it does not matter which are computed, nor in which order.
 */
void
cxm_draw(uint64_t seed, uint64_t replicate, int groups, int32_t *times)
{
	uint64_t	state = seed;

	state = cxm_random(&state) ^ (replicate * UINT64_C(0xD1342543DE82EF95));
	memset(times, 0, sizeof(int32_t) * (size_t) groups);
	/* there are fewer than 2^31 groups, so the product fits, and no group is favoured by more than 2^-32 */
	for (int i = 0; i < groups; i++)
		times[((cxm_random(&state) >> 32) * (uint64_t) groups) >> 32]++;
}

/* Quantile of sorted numbers, interpolated: the seventh definition of Hyndman and Fan, as percentile_cont() has it */
double
cxm_quantile(const double *sorted, int n, double fraction)
{
	double		at = fraction * (n - 1);
	int			below = (int) floor(at);

	if (below >= n - 1)
		return sorted[n - 1];
	return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
}
