/*
 * test/unit/comoments_core_test.c
 *		Tests of src/comoments_core.c without a server.
 *
 * Compile and run:
 *	 cc -Isrc test/unit/comoments_core_test.c src/comoments_core.c -lm -o comoments_core_test && ./comoments_core_test
 * Prints the checks that failed and a line "N passed, N failed"; the exit status is 1 if any failed.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "comoments_core.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_P 6
#define ROWS 300

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

/* A generator of our own, so that a failure can be repeated anywhere */
static uint64_t
next_random(void)
{
	static uint64_t state = UINT64_C(0x9E3779B97F4A7C15);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static double
uniform(void)
{
	return (double) (next_random() >> 11) * 0x1p-53;
}

typedef struct Row
{
	double		y;
	double		x[MAX_P];
	bool		x_missing[MAX_P];
	bool		y_missing;
	bool		all_missing;
	bool		no_weight;
	double		weight;
} Row;

static Row	data[ROWS];

static CxmComoments *
make(int policy, int drivers)
{
	CxmComoments *c = malloc(cxm_comoments_size(policy, drivers));

	c->vl_len_ = 4711;
	cxm_comoments_init(c, policy, drivers);
	return c;
}

static CxmComomentsStatus
add(CxmComoments *c, const Row *row)
{
	return cxm_comoments_add_row(c, row->y_missing ? NULL : &row->y, row->all_missing ? NULL : row->x, row->x_missing,
								 row->no_weight ? NULL : &row->weight);
}

static void
random_rows(int p, double gaps, bool weighted, double offset)
{
	for (int i = 0; i < ROWS; i++)
	{
		Row		   *row = &data[i];
		double		common = uniform();

		row->y = offset + common + uniform();
		row->y_missing = uniform() < gaps;
		row->all_missing = uniform() < gaps / 4;
		row->no_weight = weighted && uniform() < 0.1;
		row->weight = weighted ? floor(4 * uniform()) / 2 : 1;
		for (int j = 0; j < p; j++)
		{
			row->x[j] = offset * (j - 1) + common * j + uniform();
			row->x_missing[j] = uniform() < gaps;
		}
	}
}

static bool
used(const Row *row)
{
	return !row->no_weight && row->weight > 0;
}

static bool
has(const Row *row, int variable)
{
	return variable == 0 ? !row->y_missing : !row->all_missing && !row->x_missing[variable - 1];
}

static long double
value(const Row *row, int variable)
{
	return variable == 0 ? row->y : row->x[variable - 1];
}

static bool
complete(const Row *row, int p)
{
	for (int i = 0; i <= p; i++)
	{
		if (!has(row, i))
			return false;
	}
	return true;
}

static bool
near(long double got, long double expected, long double scale, double tolerance)
{
	return fabsl(got - expected) <= tolerance * scale;
}

/* Compare a pair with two passes over the rows, in longer numbers */
static void
compare_pair(const CxmComoments *c, int p, int i, int j, double tolerance)
{
	CxmPair		pair;
	int64_t		n = 0;
	long double weight = 0;
	long double mean_i = 0;
	long double mean_j = 0;
	long double square_i = 0;
	long double square_j = 0;
	long double product = 0;

	for (int pass = 0; pass < 2; pass++)
	{
		for (int k = 0; k < ROWS; k++)
		{
			const Row  *row = &data[k];

			if (!used(row) || (c->policy == CXM_MISSING_LISTWISE ? !complete(row, p) : !has(row, i) || !has(row, j)))
				continue;
			if (pass == 0)
			{
				n++;
				weight += row->weight;
				mean_i += row->weight * value(row, i);
				mean_j += row->weight * value(row, j);
				continue;
			}
			square_i += row->weight * (value(row, i) - mean_i) * (value(row, i) - mean_i);
			square_j += row->weight * (value(row, j) - mean_j) * (value(row, j) - mean_j);
			product += row->weight * (value(row, i) - mean_i) * (value(row, j) - mean_j);
		}
		if (pass == 0 && n > 0)
		{
			mean_i /= weight;
			mean_j /= weight;
		}
	}
	cxm_comoments_pair(c, i, j, &pair);
	CHECK(pair.n == n);
	CHECK(near(pair.weight, weight, weight, 1e-14));
	CHECK(near((long double) pair.mean_i + pair.low_i, mean_i, fabsl(mean_i) + 1, tolerance));
	CHECK(near((long double) pair.mean_j + pair.low_j, mean_j, fabsl(mean_j) + 1, tolerance));
	CHECK(near(pair.square_i, square_i, square_i, tolerance));
	CHECK(near(pair.square_j, square_j, square_j, tolerance));
	CHECK(near(pair.product, product, sqrtl(square_i * square_j), tolerance));
	if (n > 1)
		CHECK(near(cxm_comoments_correlation(c, i, j), i == j ? 1 : product / sqrtl(square_i * square_j), 1, tolerance));
}

static void
check_rows(int p, int policy, double gaps, bool weighted, double offset)
{
	CxmComoments *c = make(policy, p);
	int64_t		no_weight = 0;
	int64_t		no_outcome = 0;
	int64_t		no_drivers = 0;
	int64_t		whole = 0;

	random_rows(p, gaps, weighted, offset);
	for (int k = 0; k < ROWS; k++)
	{
		CHECK(add(c, &data[k]) == CXM_COMOMENTS_OK);
		no_weight += !used(&data[k]);
		no_outcome += used(&data[k]) && data[k].y_missing;
		no_drivers += used(&data[k]) && data[k].all_missing;
		whole += used(&data[k]) && complete(&data[k], p);
	}
	CHECK(c->rows == ROWS && c->no_weight == no_weight && c->no_outcome == no_outcome);
	CHECK(c->no_drivers == no_drivers && c->complete == whole);
	for (int i = 0; i <= p; i++)
	{
		for (int j = 0; j <= p; j++)
			compare_pair(c, p, i, j, 2e-13);
	}
	CHECK(cxm_comoments_check(c, cxm_comoments_size(policy, p)) == NULL);
	CHECK(c->vl_len_ == 4711);
	free(c);
}

/* Random parts, joined in random order, are the same as all rows one after the other */
static void
check_parts(int p, int policy, double gaps, bool weighted, double offset)
{
	CxmComoments *part[8];
	CxmComoments *all = make(policy, p);
	int			parts = 8;

	random_rows(p, gaps, weighted, offset);
	for (int i = 0; i < parts; i++)
		part[i] = make(policy, p);
	for (int k = 0; k < ROWS; k++)
	{
		/* some parts stay empty */
		add(part[next_random() % 6], &data[k]);
		add(all, &data[k]);
	}
	while (parts > 1)
	{
		int			from = (int) (next_random() % (uint64_t) parts);
		int			to = (from + 1 + (int) (next_random() % (uint64_t) (parts - 1))) % parts;

		CHECK(cxm_comoments_add(part[to], part[from]) == CXM_COMOMENTS_OK);
		free(part[from]);
		part[from] = part[--parts];
	}
	CHECK(part[0]->rows == all->rows && part[0]->complete == all->complete && part[0]->no_weight == all->no_weight);
	CHECK(memcmp(cxm_comoments_missing(part[0]) + 1, cxm_comoments_missing(all) + 1, sizeof(int64_t) * (size_t) p) == 0);
	for (int i = 0; i <= p; i++)
	{
		for (int j = 0; j <= i; j++)
		{
			compare_pair(part[0], p, i, j, 1e-12);
			CHECK(isnan(cxm_comoments_correlation(all, i, j)) ||
				  near(cxm_comoments_correlation(part[0], i, j), cxm_comoments_correlation(all, i, j), 1, 1e-12));
		}
	}
	CHECK(cxm_comoments_check(part[0], cxm_comoments_size(policy, p)) == NULL);
	free(part[0]);
	free(all);
}

/* Whatever is done to the bytes, the check returns, and what it lets pass can be read and added */
static void
check_hostile(int policy)
{
	int			p = 3;
	size_t		size = cxm_comoments_size(policy, p);
	CxmComoments *good = make(policy, p);
	CxmComoments *bad = malloc(size);
	int			let_pass = 0;

	random_rows(p, 0.2, true, 10);
	for (int k = 0; k < 50; k++)
		add(good, &data[k]);
	for (int k = 0; k < 20000; k++)
	{
		size_t		at = 4 + next_random() % (size - 4);

		memcpy(bad, good, size);
		if (k % 2)
			((unsigned char *) bad)[at] = (unsigned char) next_random();
		else
		{
			static const double odd[] = {NAN, INFINITY, -INFINITY, -0.0, -1, 1e308, 5e-324, 0};

			memcpy((char *) bad + at / 8 * 8, &odd[next_random() % 8], 8);
		}
		if (cxm_comoments_check(bad, size) == NULL)
		{
			CxmComoments *sum = make(policy, p);

			let_pass++;
			CHECK(cxm_comoments_add(sum, bad) == CXM_COMOMENTS_OK || bad->weight2 > 1e300);
			cxm_comoments_add(sum, good);
			CHECK(!(fabs(cxm_comoments_correlation(sum, 0, 1)) > 1));
			free(sum);
		}
		CHECK(cxm_comoments_check(good, size - 8) != NULL && cxm_comoments_check(good, size + 8) != NULL);
	}
	CHECK(let_pass > 100 && let_pass < 15000);
	free(good);
	free(bad);
}

static void
check_refused(void)
{
	CxmComoments *c = make(CXM_MISSING_LISTWISE, 2);
	CxmComoments *other = make(CXM_MISSING_LISTWISE, 3);
	CxmComoments *pairwise = make(CXM_MISSING_PAIRWISE, 2);
	bool		none[3] = {false};
	double		y = 1;
	double		x[3] = {1, 2, 3};
	double		bad = NAN;
	double		minus = -1;
	double		tiny = 1e-200;
	double		one = 1;

	CHECK(cxm_comoments_add_row(c, &bad, x, none, &one) == CXM_COMOMENTS_NOT_FINITE);
	x[1] = INFINITY;
	CHECK(cxm_comoments_add_row(c, &y, x, none, &one) == CXM_COMOMENTS_NOT_FINITE);
	x[1] = 2;
	CHECK(cxm_comoments_add_row(c, &y, x, none, &bad) == CXM_COMOMENTS_BAD_WEIGHT);
	CHECK(cxm_comoments_add_row(c, &y, x, none, &minus) == CXM_COMOMENTS_BAD_WEIGHT);
	CHECK(c->rows == 0);
	CHECK(cxm_comoments_add_row(c, &y, x, none, &tiny) == CXM_COMOMENTS_BAD_WEIGHT);
	x[0] = 1.7e308;
	cxm_comoments_add_row(c, &y, x, none, &one);
	x[0] = -1.7e308;
	CHECK(cxm_comoments_add_row(c, &y, x, none, &one) == CXM_COMOMENTS_OVERFLOW);

	cxm_comoments_init(c, CXM_MISSING_LISTWISE, 2);
	cxm_comoments_add_row(c, &y, x, none, &one);
	cxm_comoments_add_row(other, &y, x, none, &one);
	cxm_comoments_add_row(pairwise, &y, x, none, &one);
	CHECK(cxm_comoments_add(c, other) == CXM_COMOMENTS_DRIVERS_DIFFER);
	CHECK(cxm_comoments_add(c, pairwise) == CXM_COMOMENTS_MISSING_DIFFERS);
	other->rows = CXM_COMOMENTS_MAX_ROWS;
	CHECK(cxm_comoments_add_row(other, &y, x, none, &one) == CXM_COMOMENTS_TOO_MANY);
	free(c);
	free(other);
	free(pairwise);
}

int
main(void)
{
	for (int policy = CXM_MISSING_LISTWISE; policy <= CXM_MISSING_PAIRWISE; policy++)
	{
		for (int p = 1; p <= MAX_P; p++)
		{
			for (int variant = 0; variant < 8; variant++)
			{
				/* an offset a hundred million times the spread costs nothing */
				double		offset = variant & 4 ? 1e8 : 3;

				check_rows(p, policy, variant & 1 ? 0.3 : 0, (variant & 2) != 0, offset);
				check_parts(p, policy, variant & 1 ? 0.3 : 0, (variant & 2) != 0, offset);
			}
		}
		check_hostile(policy);
	}
	check_refused();
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
