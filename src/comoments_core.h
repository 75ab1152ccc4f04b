/*
 * src/comoments_core.h
 *		Counts, means and co-moments of an outcome and its drivers: what correlation and regression are read from.
 *
 * Nothing here knows PostgreSQL: the same code runs in test/unit without a server.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef COMOMENTS_CORE_H
#define COMOMENTS_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* what the version byte of a value says */
#define CXM_COMOMENTS_VERSION		1

#define CXM_COMOMENTS_MAX_DRIVERS	100

/* counts stay below this, so that sums of a few of them cannot overflow and a double holds each exactly */
#define CXM_COMOMENTS_MAX_ROWS		((int64_t) 1 << 53)

/* What is done with a row in which something is missing */
typedef enum CxmMissing
{
	CXM_MISSING_UNSET,			/* the empty value: nothing was counted yet */
	CXM_MISSING_LISTWISE,		/* only rows without a gap are used */
	CXM_MISSING_PAIRWISE		/* each pair of variables uses the rows that have both */
} CxmMissing;

typedef enum CxmComomentsStatus
{
	CXM_COMOMENTS_OK,
	CXM_COMOMENTS_NOT_FINITE,	/* NaN or infinity */
	CXM_COMOMENTS_BAD_WEIGHT,	/* negative, NaN or infinity */
	CXM_COMOMENTS_OVERFLOW,		/* a sum of squares is too large for a double */
	CXM_COMOMENTS_TOO_MANY,		/* more rows than can be counted */
	CXM_COMOMENTS_DRIVERS_DIFFER,	/* values of different numbers of drivers */
	CXM_COMOMENTS_MISSING_DIFFERS	/* one value is listwise, the other one pairwise */
} CxmComomentsStatus;

/*
 * The value as it lies on disk, without padding. Variable 0 is the outcome, variable i the i-th driver. After the
 * head come int64_t missing[drivers], and then
 *
 * listwise: double mean[m], low[m], square[m (m + 1) / 2], with m = drivers + 1;
 * pairwise: CxmPair pair[m (m + 1) / 2].
 *
 * Triangles are kept by rows: the cell of i and j, j <= i, is the i (i + 1) / 2 + j-th. A mean is mean + low: with
 * the second double an offset, however large, costs no digits of the squares. Nothing is ever -0, so equal values
 * have equal bytes.
 *
 * The empty value has neither policy nor drivers and ends with the head; it is neutral in a sum. A value of which
 * every row had NULL for its array of drivers has a policy and no drivers yet.
 */
typedef struct CxmComoments
{
	int32_t		vl_len_;		/* length word of a value of variable length; not ours to touch */
	uint8_t		version;		/* CXM_COMOMENTS_VERSION */
	uint8_t		policy;			/* CxmMissing */
	uint16_t	drivers;
	int64_t		rows;			/* all rows */
	int64_t		complete;		/* rows with a weight and without a gap */
	int64_t		no_weight;		/* rows without a weight, or of weight 0: left out, and not counted below */
	int64_t		no_drivers;		/* rows whose array of drivers is missing */
	int64_t		no_outcome;		/* rows whose outcome is missing */
	double		weight;			/* listwise: weight of the complete rows, pairwise: of all with a weight */
	double		weight2;		/* sum of the squares of these weights */
} CxmComoments;

/* The rows that have both of two variables; i = j for one variable */
typedef struct CxmPair
{
	int64_t		n;
	double		weight;
	double		mean_i;
	double		low_i;
	double		mean_j;
	double		low_j;
	double		square_i;		/* sums of weighted squares and products of deviations from these means */
	double		square_j;
	double		product;
} CxmPair;

static inline size_t
cxm_triangle(size_t i)
{
	return i * (i + 1) / 2;
}

/* Length in bytes of a value */
static inline size_t
cxm_comoments_size(int policy, int drivers)
{
	size_t		m = (size_t) drivers + 1;

	if (policy == CXM_MISSING_UNSET)
		return sizeof(CxmComoments);
	return sizeof(CxmComoments) + sizeof(int64_t) * (size_t) drivers +
		(policy == CXM_MISSING_LISTWISE ? sizeof(double) * (2 * m + cxm_triangle(m)) :
		 sizeof(CxmPair) * cxm_triangle(m));
}

/* Rows with a weight and drivers in which driver i, from 1 on, is missing */
static inline int64_t *
cxm_comoments_missing(const CxmComoments *c)
{
	return (int64_t *) (c + 1) - 1;
}

static inline double *
cxm_comoments_mean(const CxmComoments *c)
{
	return (double *) (void *) ((int64_t *) (c + 1) + c->drivers);
}

static inline double *
cxm_comoments_low(const CxmComoments *c)
{
	return cxm_comoments_mean(c) + c->drivers + 1;
}

static inline double *
cxm_comoments_square(const CxmComoments *c)
{
	return cxm_comoments_low(c) + c->drivers + 1;
}

static inline CxmPair *
cxm_comoments_pairs(const CxmComoments *c)
{
	return (CxmPair *) cxm_comoments_mean(c);
}

extern void cxm_comoments_init(CxmComoments *c, int policy, int drivers);
extern void cxm_comoments_widen(CxmComoments *wide, const CxmComoments *narrow, int policy);
extern const char *cxm_comoments_check(const CxmComoments *c, size_t size);

extern CxmComomentsStatus cxm_comoments_add_row(CxmComoments *c, const double *y, const double *x,
												const bool *x_missing, const double *weight);
extern CxmComomentsStatus cxm_comoments_add(CxmComoments *a, const CxmComoments *b);

extern void cxm_comoments_pair(const CxmComoments *c, int i, int j, CxmPair *pair);
extern double cxm_comoments_variation(const CxmComoments *c, int i);
extern double cxm_comoments_correlation(const CxmComoments *c, int i, int j);
extern double cxm_comoments_effective_n(const CxmComoments *c, const int *drivers, int n);
extern void cxm_comoments_extent(const CxmComoments *c, int64_t *least, int64_t *most);

#endif							/* COMOMENTS_CORE_H */
