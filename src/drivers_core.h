/*
 * src/drivers_core.h
 *		What drives an outcome: shares of explained variance by Shapley (LMG) and by Johnson, standardised
 *		coefficients, and the resampling of groups of rows for intervals of them.
 *
 * Nothing here knows PostgreSQL, nor how co-moments are kept: everything begins with a matrix of correlations.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef DRIVERS_CORE_H
#define DRIVERS_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* drivers whose subsets are all looked at: 2^25 of them take about a second */
#define CXM_LMG_MAX_DRIVERS	25

/* what is left of the variance of a driver, a part, below which it counts as a sum of others */
#define CXM_COLLINEAR		1e-10

/* called now and then, for the caller to look whether somebody wants to stop */
typedef void (*CxmDriversCheck) (void);

/* room that cxm_lmg() needs, in doubles */
extern size_t cxm_lmg_work(int p);

/*
 * r is the matrix of correlations of the drivers, p times p; ry are their correlations with the outcome.
 */
extern void cxm_lmg(int p, const double *r, const double *ry, double *lmg, double *work, CxmDriversCheck check);
/* weights has room for 2 p numbers, of which the first p are the answer */
extern void cxm_johnson(int p, const double *values, const double *vectors, const double *ry, double *weights);
extern double cxm_betas(int p, const double *r, const double *ry, double *betas, double *vif, double *work);

extern uint64_t cxm_random(uint64_t *state);
extern void cxm_draw(uint64_t seed, uint64_t replicate, int groups, int32_t *times);
extern double cxm_quantile(const double *sorted, int n, double fraction);

#endif							/* DRIVERS_CORE_H */
