/*
 * src/rake_core.h
 *		Raking: weights with which answers have the shares that the population has, variable by variable.
 *
 * Nothing here knows PostgreSQL: the same code runs in test/unit without a server.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef RAKE_CORE_H
#define RAKE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* a variable: which category an answer is in, and the share that each category is to have */
typedef struct RakeVariable
{
	const int32_t *category;	/* by answer, from 0; -1: unknown, and left alone by this variable */
	const double *target;		/* by category; they sum up to 1 */
	int32_t		ncategories;
} RakeVariable;

typedef struct RakeResult
{
	int32_t		iterations;
	bool		converged;		/* all shares are as near as wanted */
	double		largest_difference; /* of a share from its target, at the end */
	int64_t		capped;			/* answers whose weight is the largest that is allowed */
} RakeResult;

/* the mean of something over raked answers; NAN where there is none */
typedef struct RakeMean
{
	int64_t		answers;		/* those that have it */
	double		mean;
	double		standard_error;
} RakeMean;

typedef void (*RakePoll) (void);

extern void rake_shares(const RakeVariable *variable, const double *weight, size_t n, double *sums, double *shares);
extern RakeResult rake(const RakeVariable *variables, int nvariables, size_t n, double *weight, double cap,
					   int32_t max_iterations, double tolerance, double *sums, RakePoll poll);
extern RakeMean rake_mean(const RakeVariable *variables, int nvariables, size_t n, const double *base,
						  const double *weight, double *value, double *sums, RakePoll poll);

#endif							/* RAKE_CORE_H */
