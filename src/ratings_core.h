/*
 * src/ratings_core.h
 *		An exact histogram of whole-number scores on a small scale, and what is read from it.
 *
 * Nothing here knows PostgreSQL: the same code runs in test/unit without a server. The functions that
 * run once a row are inline, everything else is in ratings_core.c.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef RATINGS_CORE_H
#define RATINGS_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* what the version byte of a value says */
#define RATINGS_VERSION		1

/* the longest scale is 0 to 10, or -5 to 5 */
#define RATINGS_MIN_POINTS	2
#define RATINGS_MAX_POINTS	11

/* a scale must fit in the bytes that keep it */
#define RATINGS_MIN_SCORE	INT8_MIN
#define RATINGS_MAX_SCORE	INT8_MAX

/* longest text form: "-128..-118:{" and 11 counts of 19 digits with their commas, "}", and the final zero */
#define RATINGS_TEXT_SIZE	256

/*
 * The value as it lies on disk: 96 bytes, no padding. What is not used is zero, so equal values have equal
 * bytes. "points = 0" is the empty value without a scale; it is neutral in a sum.
 *
 * The number of points is kept instead of the highest score because the check of a score then is one
 * unsigned comparison, and because a value without a scale refuses every score by that same comparison.
 */
typedef struct Ratings
{
	uint8_t		version;		/* RATINGS_VERSION */
	int8_t		lo;				/* lowest score of the scale */
	uint8_t		points;			/* scores on the scale, or 0 */
	uint8_t		reserved[5];	/* zero */
	int64_t		count[RATINGS_MAX_POINTS];	/* answers of score lo, lo + 1, ...; never negative */
} Ratings;

typedef enum RatingsStatus
{
	RATINGS_OK,
	RATINGS_OFF_SCALE,			/* the score is not on the scale */
	RATINGS_TOO_MANY,			/* a count would pass INT64_MAX */
	RATINGS_TOO_FEW,			/* a count would become negative */
	RATINGS_SCALES_DIFFER,		/* two values of different scales */
	RATINGS_BAD_SCALE,			/* not a scale that a value can have */
	RATINGS_BAD_VERSION,		/* written by a library that we do not know */
	RATINGS_BAD_COUNT,			/* a negative count */
	RATINGS_BAD_SYNTAX			/* text that is not ratings */
} RatingsStatus;

/* answers below the first cut, between the cuts, and from the second cut on */
typedef struct RatingsGroups
{
	int64_t		detractors;
	int64_t		passives;
	int64_t		promoters;
	int64_t		total;
} RatingsGroups;

typedef enum RatingsMethod
{
	RATINGS_ADJUSTED_WALD,
	RATINGS_WALD,
	RATINGS_SCORE
} RatingsMethod;

/* two NPS compared, as fractions */
typedef struct RatingsTest
{
	double		difference;		/* first minus second */
	double		standard_error;
	double		z;				/* NaN when the standard error is 0 */
	double		p_value;		/* two-sided; NaN when the standard error is 0 */
	double		lower;
	double		upper;
} RatingsTest;

/* Highest score of the scale; meaningless without a scale */
static inline int
ratings_hi(const Ratings *r)
{
	return r->lo + r->points - 1;
}

/*
 * Place of a score in count[], or a number that is not below r->points. The subtraction is unsigned, so it
 * cannot overflow whatever the score is.
 */
static inline uint64_t
ratings_point(const Ratings *r, int64_t score)
{
	return (uint64_t) score - (uint64_t) (int64_t) r->lo;
}

/* Count n more answers of a score; n must not be negative */
static inline RatingsStatus
ratings_count_up(Ratings *r, int64_t score, int64_t n)
{
	uint64_t	point = ratings_point(r, score);

	if (point >= r->points)
		return RATINGS_OFF_SCALE;
	if (r->count[point] > INT64_MAX - n)
		return RATINGS_TOO_MANY;
	r->count[point] += n;
	return RATINGS_OK;
}

/* Count n answers of a score less; n must not be negative */
static inline RatingsStatus
ratings_count_down(Ratings *r, int64_t score, int64_t n)
{
	uint64_t	point = ratings_point(r, score);

	if (point >= r->points)
		return RATINGS_OFF_SCALE;
	if (r->count[point] < n)
		return RATINGS_TOO_FEW;
	r->count[point] -= n;
	return RATINGS_OK;
}

extern void ratings_init(Ratings *r);
extern RatingsStatus ratings_init_scale(Ratings *r, int64_t lo, int64_t points);
extern RatingsStatus ratings_check(const Ratings *r);
extern bool ratings_is_zero(const Ratings *r);
extern int	ratings_compare(const Ratings *a, const Ratings *b);

extern RatingsStatus ratings_parse(const char *text, Ratings *r);
extern void ratings_format(const Ratings *r, char *text);

extern RatingsStatus ratings_add(Ratings *a, const Ratings *b, int *point);
extern RatingsStatus ratings_subtract(Ratings *a, const Ratings *b, int *point);

extern bool ratings_total(const Ratings *r, int64_t *total);
extern bool ratings_groups(const Ratings *r, int passive_from, int promoter_from, RatingsGroups *groups);

extern double ratings_mean(const Ratings *r, int64_t total);
extern double ratings_squares(const Ratings *r, int64_t total);
extern int	ratings_percentile_disc(const Ratings *r, int64_t total, double fraction);
extern double ratings_percentile_cont(const Ratings *r, int64_t total, double fraction);

extern double nps_variance(const RatingsGroups *groups);
extern double nps_standard_error(const RatingsGroups *groups);
extern void nps_interval(const RatingsGroups *groups, double confidence, RatingsMethod method,
						 double *lower, double *upper);
extern void nps_test(const RatingsGroups *a, const RatingsGroups *b, double confidence,
					 RatingsMethod method, RatingsTest *test);
extern void wilson_interval(int64_t successes, int64_t total, double confidence,
							double *lower, double *upper);

extern double cxm_incomplete_beta(double a, double b, double x);
extern double normal_quantile(double p);
extern double normal_two_sided(double confidence);
extern double student_two_sided(double confidence, double df);

#endif							/* RATINGS_CORE_H */
