/*
 * src/weighted_ratings_core.h
 *		Weighted answers by score: what a survey whose answers are weighted comes to, and how certain that is.
 *
 * For each score the sum of the weights and of their squares: with them any share, mean or difference of shares
 * of scores has the standard error of a linearised estimator, as surveys that draw answers one by one have it.
 *
 * Nothing here knows PostgreSQL: the same code runs in test/unit without a server.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef WEIGHTED_RATINGS_CORE_H
#define WEIGHTED_RATINGS_CORE_H

#include <stdbool.h>
#include <stdint.h>

/* what the version byte of a value says */
#define WEIGHTED_VERSION	1

#define WEIGHTED_MAX_POINTS	11

/* longest text form: the scale, the number of answers, 22 numbers of 24 characters with their commas, braces */
#define WEIGHTED_TEXT_SIZE	640

/*
 * The value as it lies on disk: 192 bytes, no padding. What is not used is zero. "points = 0" is the empty value
 * without a scale; it is neutral in a sum.
 */
typedef struct WeightedRatings
{
	uint8_t		version;		/* WEIGHTED_VERSION */
	int8_t		lo;				/* lowest score of the scale */
	uint8_t		points;			/* scores on the scale, or 0 */
	uint8_t		reserved[5];	/* zero */
	int64_t		n;				/* answers; never negative */
	double		weight[WEIGHTED_MAX_POINTS];	/* of score lo, lo + 1, ...: sum of the weights */
	double		square[WEIGHTED_MAX_POINTS];	/* sum of their squares */
} WeightedRatings;

typedef enum WeightedStatus
{
	WEIGHTED_OK,
	WEIGHTED_BAD_SYNTAX,
	WEIGHTED_BAD_SCALE,
	WEIGHTED_BAD_SUM			/* negative, not finite, or squares that no weights have */
} WeightedStatus;

/* something that each answer counts for: its weighted mean, and the standard error of that */
typedef struct WeightedMean
{
	double		mean;			/* NaN without weight */
	double		standard_error; /* NaN with fewer than two answers */
} WeightedMean;

static inline int
weighted_hi(const WeightedRatings *r)
{
	return r->lo + r->points - 1;
}

extern bool weighted_set_scale(WeightedRatings *r, int64_t lo, int64_t hi);
extern WeightedStatus weighted_check(const WeightedRatings *r);
extern WeightedStatus weighted_parse(const char *text, WeightedRatings *r);
extern void weighted_format(const WeightedRatings *r, char *text);
extern bool weighted_add(WeightedRatings *a, const WeightedRatings *b);
extern double weighted_total(const WeightedRatings *r);
extern double weighted_effective_n(const WeightedRatings *r);
extern WeightedMean weighted_mean(const WeightedRatings *r, const double *value);

#endif							/* WEIGHTED_RATINGS_CORE_H */
