/*
 * src/comoments_core.c
 *		Counts, means and co-moments of an outcome and its drivers.
 *
 * Rows are added by the update of Youngs and Cramer, values by that of Chan, Golub and LeVeque, both weighted.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "comoments_core.h"

#include <math.h>
#include <string.h>

/* deviations that are nothing but the rounding of the values themselves: a part of the mean */
#define NO_VARIATION	1e-15

/* a mean, kept in two doubles, moved by a step */
static inline void
move_mean(double *mean, double *low, double step)
{
	double		sum = *mean + step;
	double		part = sum - *mean;
	double		rest = (*mean - (sum - part)) + (step - part) + *low;

	*mean = sum + rest;
	/* adding 0 makes -0 into 0 */
	*low = rest - (*mean - sum) + 0.0;
}

/* An empty value; a policy makes room for its drivers */
void
cxm_comoments_init(CxmComoments *c, int policy, int drivers)
{
	int32_t		length = c->vl_len_;

	memset(c, 0, cxm_comoments_size(policy, drivers));
	c->vl_len_ = length;
	c->version = CXM_COMOMENTS_VERSION;
	c->policy = (uint8_t) policy;
	c->drivers = (uint16_t) drivers;
}

/* Take over a value that has no drivers yet; wide has been initialised */
void
cxm_comoments_widen(CxmComoments *wide, const CxmComoments *narrow, int policy)
{
	int32_t		length = wide->vl_len_;
	uint16_t	drivers = wide->drivers;

	memcpy(wide, narrow, sizeof(CxmComoments));
	wide->vl_len_ = length;
	wide->drivers = drivers;
	wide->policy = (uint8_t) policy;
	if (narrow->policy == CXM_MISSING_PAIRWISE)
		cxm_comoments_pairs(wide)[0] = cxm_comoments_pairs(narrow)[0];
}

/*--------------------------------------------------------------------------------------------------------
 * Bytes that come from outside
 *--------------------------------------------------------------------------------------------------------
 */

/* A number that a value can have: finite, and not -0 */
static bool
is_number(double d)
{
	return isfinite(d) && !(d == 0 && signbit(d));
}

static bool
is_mean(double mean, double low)
{
	return is_number(mean) && is_number(low) && fabs(low) <= fabs(mean) * 0x1p-52;
}

static bool
is_square(double d)
{
	return is_number(d) && d >= 0;
}

/* By Cauchy and Schwarz, with room for rounding and for squares that were too small for a double */
static bool
is_product(double product, double square_i, double square_j)
{
	return is_number(product) && fabs(product) <= sqrt(square_i + 1e-290) * sqrt(square_j + 1e-290) * (1 + 1e-6);
}

static bool
is_count(int64_t n, int64_t most)
{
	return n >= 0 && n <= most;
}

static const char *
check_listwise(const CxmComoments *c)
{
	const double *mean = cxm_comoments_mean(c);
	const double *low = cxm_comoments_low(c);
	const double *square = cxm_comoments_square(c);
	int			m = c->drivers + 1;

	for (int i = 0; i < m; i++)
	{
		double		square_i = square[cxm_triangle((size_t) i) + (size_t) i];

		if (!is_mean(mean[i], low[i]) || (c->complete == 0 && mean[i] != 0))
			return "Impossible mean.";
		if (!is_square(square_i) || (c->complete <= 1 && square_i != 0))
			return "Impossible sum of squares.";
		for (int j = 0; j < i; j++)
		{
			if (!is_product(square[cxm_triangle((size_t) i) + (size_t) j], square_i,
							square[cxm_triangle((size_t) j) + (size_t) j]))
				return "Impossible sum of products.";
		}
	}
	return NULL;
}

static const char *
check_pair(const CxmPair *p, int64_t most)
{
	if (!is_count(p->n, most))
		return "Impossible count.";
	if (!is_square(p->weight) || (p->weight > 0) != (p->n > 0))
		return "Impossible weight.";
	if (!is_mean(p->mean_i, p->low_i) || !is_mean(p->mean_j, p->low_j) ||
		(p->n == 0 && (p->mean_i != 0 || p->mean_j != 0)))
		return "Impossible mean.";
	if (!is_square(p->square_i) || !is_square(p->square_j) || (p->n <= 1 && (p->square_i != 0 || p->square_j != 0)))
		return "Impossible sum of squares.";
	if (!is_product(p->product, p->square_i, p->square_j))
		return "Impossible sum of products.";
	return NULL;
}

/* What is wrong with a value of so many bytes, or NULL */
const char *
cxm_comoments_check(const CxmComoments *c, size_t size)
{
	const int64_t *missing;
	int64_t		weighted;

	if (size < sizeof(CxmComoments) || c->version != CXM_COMOMENTS_VERSION)
		return "Unknown version.";
	if (c->policy > CXM_MISSING_PAIRWISE || c->drivers > CXM_COMOMENTS_MAX_DRIVERS ||
		size != cxm_comoments_size(c->policy, c->drivers))
		return "Impossible number of drivers.";
	if (!is_count(c->rows, CXM_COMOMENTS_MAX_ROWS) || !is_count(c->no_weight, c->rows))
		return "Impossible count.";
	weighted = c->rows - c->no_weight;
	if (!is_count(c->complete, weighted) || !is_count(c->no_drivers, weighted - c->complete) ||
		!is_count(c->no_outcome, weighted - c->complete))
		return "Impossible count.";
	if (!is_square(c->weight) || !is_square(c->weight2) || (c->weight > 0) != (c->weight2 > 0) ||
		(c->weight > 0) != ((c->policy == CXM_MISSING_PAIRWISE ? weighted : c->complete) > 0))
		return "Impossible weight.";
	if (c->policy == CXM_MISSING_UNSET)
		return c->rows == 0 && c->drivers == 0 ? NULL : "Rows without a policy.";
	if (c->rows == 0 || (c->drivers == 0 && weighted != c->no_drivers))
		return "Impossible count.";

	missing = cxm_comoments_missing(c);
	for (int i = 1; i <= c->drivers; i++)
	{
		if (!is_count(missing[i], weighted - c->no_drivers - c->complete))
			return "Impossible count.";
	}
	if (c->policy == CXM_MISSING_LISTWISE)
		return check_listwise(c);
	for (size_t k = 0; k < cxm_triangle((size_t) c->drivers + 1); k++)
	{
		const char *wrong = check_pair(&cxm_comoments_pairs(c)[k], weighted);

		if (wrong != NULL)
			return wrong;
	}
	return NULL;
}

/*--------------------------------------------------------------------------------------------------------
 * Sums
 *--------------------------------------------------------------------------------------------------------
 */

static CxmComomentsStatus
add_complete_row(CxmComoments *c, double y, const double *x, double weight)
{
	double	   *mean = cxm_comoments_mean(c);
	double	   *low = cxm_comoments_low(c);
	double	   *square = cxm_comoments_square(c);
	double		before = c->weight;
	double		share;
	double		factor;
	double		largest = 0;
	double		d[CXM_COMOMENTS_MAX_DRIVERS + 1];
	int			m = c->drivers + 1;

	c->complete++;
	c->weight += weight;
	c->weight2 += weight * weight;
	share = weight / c->weight;
	factor = before * share;
	d[0] = (y - mean[0]) - low[0];
	for (int i = 1; i < m; i++)
		d[i] = (x[i - 1] - mean[i]) - low[i];
	for (int i = 0; i < m; i++)
	{
		double		scaled = factor * d[i];

		for (int j = 0; j <= i; j++)
			square[j] += scaled * d[j];
		largest = fmax(largest, square[i]);
		square += i + 1;
		move_mean(&mean[i], &low[i], d[i] * share);
	}
	return isfinite(largest) && isfinite(c->weight2) ? CXM_COMOMENTS_OK : CXM_COMOMENTS_OVERFLOW;
}

/* share is the part of the row in the weight after it */
static inline void
add_to_pair(CxmPair *p, double value_i, double value_j, double weight, double share)
{
	double		d_i = (value_i - p->mean_i) - p->low_i;
	double		d_j = (value_j - p->mean_j) - p->low_j;
	double		factor = p->weight * share;

	p->n++;
	p->weight += weight;
	p->square_i += factor * d_i * d_i;
	p->square_j += factor * d_j * d_j;
	p->product += factor * d_i * d_j;
	move_mean(&p->mean_i, &p->low_i, d_i * share);
	move_mean(&p->mean_j, &p->low_j, d_j * share);
}

static CxmComomentsStatus
add_pairs(CxmComoments *c, const double *y, const double *x, const bool *x_missing, double weight)
{
	CxmPair    *pair = cxm_comoments_pairs(c);
	double		largest = 0;
	double		after = 0;
	double		share = 0;
	double		value[CXM_COMOMENTS_MAX_DRIVERS + 1];
	bool		known[CXM_COMOMENTS_MAX_DRIVERS + 1];
	int			m = x == NULL ? 1 : c->drivers + 1;

	c->weight += weight;
	c->weight2 += weight * weight;
	known[0] = (y != NULL);
	value[0] = y != NULL ? *y : 0;
	for (int i = 1; i < m; i++)
	{
		known[i] = !x_missing[i - 1];
		value[i] = x[i - 1];
	}
	for (int i = 0; i < m; i++)
	{
		if (known[i])
		{
			for (int j = 0; j <= i; j++)
			{
				if (!known[j])
					continue;
				/* most pairs have the same weight; a division costs as much as all the rest */
				if (pair[j].weight + weight != after)
				{
					after = pair[j].weight + weight;
					share = weight / after;
				}
				add_to_pair(&pair[j], value[i], value[j], weight, share);
			}
			largest = fmax(largest, pair[i].square_i);
		}
		pair += i + 1;
	}
	return isfinite(largest) && isfinite(c->weight2) ? CXM_COMOMENTS_OK : CXM_COMOMENTS_OVERFLOW;
}

/*
 * Count a row. y, x and weight are NULL where they are missing; x_missing says so for each driver.
 *
 * The values are looked at before anything is counted, so that a row that is refused leaves no trace, unless it makes
 * a sum overflow.
 */
CxmComomentsStatus
cxm_comoments_add_row(CxmComoments *c, const double *y, const double *x, const bool *x_missing, const double *weight)
{
	int64_t    *missing = cxm_comoments_missing(c);
	int			gaps = (y == NULL) + (x == NULL);

	if (c->rows >= CXM_COMOMENTS_MAX_ROWS)
		return CXM_COMOMENTS_TOO_MANY;
	if (weight != NULL && !(*weight >= 0 && isfinite(*weight)))
		return CXM_COMOMENTS_BAD_WEIGHT;
	if (y != NULL && !isfinite(*y))
		return CXM_COMOMENTS_NOT_FINITE;
	for (int i = 0; x != NULL && i < c->drivers; i++)
	{
		if (x_missing[i])
			gaps++;
		else if (!isfinite(x[i]))
			return CXM_COMOMENTS_NOT_FINITE;
	}

	c->rows++;
	if (weight == NULL || *weight == 0)
	{
		c->no_weight++;
		return CXM_COMOMENTS_OK;
	}
	/* a weight whose square is nothing would count as none */
	if (*weight * *weight == 0)
		return CXM_COMOMENTS_BAD_WEIGHT;
	c->no_outcome += (y == NULL);
	c->no_drivers += (x == NULL);
	for (int i = 0; x != NULL && gaps > 0 && i < c->drivers; i++)
		missing[i + 1] += x_missing[i];

	if (c->policy == CXM_MISSING_PAIRWISE)
	{
		c->complete += (gaps == 0);
		return add_pairs(c, y, x, x_missing, *weight);
	}
	return gaps == 0 ? add_complete_row(c, *y, x, *weight) : CXM_COMOMENTS_OK;
}

static CxmComomentsStatus
join_listwise(CxmComoments *a, const CxmComoments *b)
{
	double	   *mean = cxm_comoments_mean(a);
	double	   *low = cxm_comoments_low(a);
	double	   *square = cxm_comoments_square(a);
	const double *b_mean = cxm_comoments_mean(b);
	const double *b_low = cxm_comoments_low(b);
	const double *b_square = cxm_comoments_square(b);
	double		share = b->weight / (a->weight + b->weight);
	double		factor = a->weight * share;
	double		largest = 0;
	double		d[CXM_COMOMENTS_MAX_DRIVERS + 1];
	int			m = a->drivers + 1;

	if (a->weight == 0)
	{
		memcpy(mean, b_mean, sizeof(double) * (2 * (size_t) m + cxm_triangle((size_t) m)));
		return CXM_COMOMENTS_OK;
	}
	for (int i = 0; i < m; i++)
		d[i] = (b_mean[i] - mean[i]) + (b_low[i] - low[i]);
	for (int i = 0; i < m; i++)
	{
		for (int j = 0; j <= i; j++)
			square[j] += b_square[j] + factor * d[i] * d[j];
		largest = fmax(largest, square[i]);
		square += i + 1;
		b_square += i + 1;
		move_mean(&mean[i], &low[i], d[i] * share);
	}
	return isfinite(largest) ? CXM_COMOMENTS_OK : CXM_COMOMENTS_OVERFLOW;
}

static CxmComomentsStatus
join_pair(CxmPair *a, const CxmPair *b)
{
	double		share;
	double		d_i;
	double		d_j;

	if (b->n == 0)
		return CXM_COMOMENTS_OK;
	if (a->n == 0)
	{
		*a = *b;
		return CXM_COMOMENTS_OK;
	}
	d_i = (b->mean_i - a->mean_i) + (b->low_i - a->low_i);
	d_j = (b->mean_j - a->mean_j) + (b->low_j - a->low_j);
	share = b->weight / (a->weight + b->weight);
	a->square_i += b->square_i + a->weight * share * d_i * d_i;
	a->square_j += b->square_j + a->weight * share * d_j * d_j;
	a->product += b->product + a->weight * share * d_i * d_j;
	a->n += b->n;
	a->weight += b->weight;
	move_mean(&a->mean_i, &a->low_i, d_i * share);
	move_mean(&a->mean_j, &a->low_j, d_j * share);
	return isfinite(a->square_i) && isfinite(a->square_j) ? CXM_COMOMENTS_OK : CXM_COMOMENTS_OVERFLOW;
}

/* Add b to a, which has at least as many drivers as b and the policy of b */
CxmComomentsStatus
cxm_comoments_add(CxmComoments *a, const CxmComoments *b)
{
	CxmComomentsStatus status = CXM_COMOMENTS_OK;

	if (b->policy == CXM_MISSING_UNSET)
		return CXM_COMOMENTS_OK;
	if (a->policy != b->policy)
		return CXM_COMOMENTS_MISSING_DIFFERS;
	if (b->drivers != 0 && a->drivers != b->drivers)
		return CXM_COMOMENTS_DRIVERS_DIFFER;
	if (a->rows + b->rows > CXM_COMOMENTS_MAX_ROWS)
		return CXM_COMOMENTS_TOO_MANY;
	if (a->policy == CXM_MISSING_PAIRWISE)
	{
		for (size_t k = 0; k < cxm_triangle((size_t) b->drivers + 1) && status == CXM_COMOMENTS_OK; k++)
			status = join_pair(&cxm_comoments_pairs(a)[k], &cxm_comoments_pairs(b)[k]);
	}
	else if (b->complete > 0)
		status = join_listwise(a, b);

	a->rows += b->rows;
	a->complete += b->complete;
	a->no_weight += b->no_weight;
	a->no_drivers += b->no_drivers;
	a->no_outcome += b->no_outcome;
	a->weight += b->weight;
	a->weight2 += b->weight2;
	for (int i = 1; i <= b->drivers; i++)
		cxm_comoments_missing(a)[i] += cxm_comoments_missing(b)[i];
	return isfinite(a->weight2) ? status : CXM_COMOMENTS_OVERFLOW;
}

/*--------------------------------------------------------------------------------------------------------
 * Reading
 *--------------------------------------------------------------------------------------------------------
 */

/* The rows that tell of two variables, whatever the policy; the value has them */
void
cxm_comoments_pair(const CxmComoments *c, int i, int j, CxmPair *pair)
{
	size_t		at = i >= j ? cxm_triangle((size_t) i) + (size_t) j : cxm_triangle((size_t) j) + (size_t) i;

	if (c->policy == CXM_MISSING_PAIRWISE)
	{
		const CxmPair *p = &cxm_comoments_pairs(c)[at];

		*pair = *p;
		if (i < j)
		{
			pair->mean_i = p->mean_j;
			pair->low_i = p->low_j;
			pair->square_i = p->square_j;
			pair->mean_j = p->mean_i;
			pair->low_j = p->low_i;
			pair->square_j = p->square_i;
		}
		return;
	}
	memset(pair, 0, sizeof(CxmPair));
	if (c->policy == CXM_MISSING_UNSET)
		return;
	pair->n = c->complete;
	pair->weight = c->weight;
	pair->mean_i = cxm_comoments_mean(c)[i];
	pair->low_i = cxm_comoments_low(c)[i];
	pair->mean_j = cxm_comoments_mean(c)[j];
	pair->low_j = cxm_comoments_low(c)[j];
	pair->square_i = cxm_comoments_square(c)[cxm_triangle((size_t) i) + (size_t) i];
	pair->square_j = cxm_comoments_square(c)[cxm_triangle((size_t) j) + (size_t) j];
	pair->product = cxm_comoments_square(c)[at];
}

/* A sum of squares, without what is but rounding of the values */
static double
variation(double square, double mean, double weight)
{
	double		rounding = mean * NO_VARIATION;

	return square <= weight * rounding * rounding ? 0 : square;
}

/* Sum of squares of a variable over all rows that have it; 0 when it does not vary */
double
cxm_comoments_variation(const CxmComoments *c, int i)
{
	CxmPair		p;

	cxm_comoments_pair(c, i, i, &p);
	return variation(p.square_i, p.mean_i, p.weight);
}

/* NaN when one of them does not vary over the rows that have both */
double
cxm_comoments_correlation(const CxmComoments *c, int i, int j)
{
	CxmPair		p;
	double		square_i;
	double		square_j;

	cxm_comoments_pair(c, i, j, &p);
	square_i = variation(p.square_i, p.mean_i, p.weight);
	square_j = variation(p.square_j, p.mean_j, p.weight);
	if (square_i == 0 || square_j == 0)
		return NAN;
	if (i == j)
		return 1;
	/* one root after the other: the product of two squares may be too large */
	return fmax(-1, fmin(1, p.product / sqrt(square_i) / sqrt(square_j)));
}

/* Least and greatest number of rows of two different variables */
void
cxm_comoments_extent(const CxmComoments *c, int64_t *least, int64_t *most)
{
	*least = *most = c->complete;
	if (c->policy != CXM_MISSING_PAIRWISE)
		return;
	*least = CXM_COMOMENTS_MAX_ROWS;
	for (int i = 1; i <= c->drivers; i++)
	{
		const CxmPair *pair = cxm_comoments_pairs(c) + cxm_triangle((size_t) i);

		for (int j = 0; j < i; j++)
		{
			if (pair[j].n < *least)
				*least = pair[j].n;
			if (pair[j].n > *most)
				*most = pair[j].n;
		}
	}
	if (c->drivers == 0)
		*least = 0;
}

/*
 * As many rows of equal weight tell as much, by Kish: of the complete rows, or of those of the rarest pair of the
 * outcome and these drivers (NULL: all)
 */
double
cxm_comoments_effective_n(const CxmComoments *c, const int *drivers, int n)
{
	int64_t		least;
	int64_t		most;
	double		rows = (double) (c->policy == CXM_MISSING_PAIRWISE ? c->rows - c->no_weight : c->complete);

	if (c->weight == 0)
		return 0;
	cxm_comoments_extent(c, &least, &most);
	if (c->policy == CXM_MISSING_PAIRWISE && drivers != NULL)
	{
		CxmPair		pair;

		cxm_comoments_pair(c, 0, 0, &pair);
		least = pair.n;
		for (int i = 0; i < n; i++)
		{
			for (int j = -1; j < i; j++)
			{
				cxm_comoments_pair(c, drivers[i], j < 0 ? 0 : drivers[j], &pair);
				if (pair.n < least)
					least = pair.n;
			}
		}
	}
	return (double) least * (c->weight * c->weight / c->weight2 / rows);
}
