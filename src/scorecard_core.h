/*
 * src/scorecard_core.h
 *		Intervals and tests for what scorecards show: means, medians, counts.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_SCORECARD_CORE_H
#define CXM_SCORECARD_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CxmSample
{
	double		mean;
	double		variance;
	int64_t		n;
} CxmSample;

/* windows of periods, by the last period of each: from one on, up to but not including another */
typedef struct CxmRun
{
	int64_t		begins;
	int64_t		ends;
} CxmRun;

extern double cxm_student_tails(double t, double df);
extern bool cxm_mean_test(const CxmSample *a, const CxmSample *b, int64_t both, double covariance, double *p_value);
extern bool cxm_rank_sum_test(double *a, size_t na, double *b, size_t nb, void (*poll) (void), double *p_value);
extern size_t cxm_median_rank(size_t n, double confidence);
extern void cxm_poisson_interval(int64_t events, double confidence, double *lower, double *upper);
extern double cxm_poisson_test(int64_t events_a, double exposure_a, int64_t events_b, double exposure_b);
extern void cxm_sort_doubles(double *values, size_t n);
extern size_t cxm_window_runs(int64_t *numbers, size_t n, int64_t rolling, CxmRun *runs);
extern size_t cxm_shared_runs(const CxmRun *a, size_t na, const CxmRun *b, size_t nb, CxmRun *shared);

#endif							/* CXM_SCORECARD_CORE_H */
