/*
 * src/invitation_core.h
 *		When a person may be asked next, under a limit on how often.
 *
 * Times are microseconds.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_INVITATION_CORE_H
#define CXM_INVITATION_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CxmFatigueLimit
{
	int32_t		max_count;		/* at most so many in any stretch shorter than window; 0 = any number */
	int64_t		window;
	int64_t		min_gap;		/* any two at least so far apart; 0 = none */
} CxmFatigueLimit;

extern bool cxm_fatigue_free_at(const int64_t *times, size_t ntimes, int64_t at, const CxmFatigueLimit *limit,
								void (*poll) (void), int64_t *free_at);

#endif							/* CXM_INVITATION_CORE_H */
