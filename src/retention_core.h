/*
 * src/retention_core.h
 *		When a customer started, when they came back, and in which periods they were active.
 *
 * All of it works on the events of one customer, ascending by time, of which those that the question is about have a
 * mark and the others are left out. Answers are pairs of numbers; what is counted over customers is how many have each
 * pair, for which there is a hash table that is one flat array.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_RETENTION_CORE_H
#define CXM_RETENTION_CORE_H

#include "period_core.h"

/* what the code of an event means to the question asked */
#define CXM_MARK_START	1
#define CXM_MARK_RETURN 2

typedef struct CxmMarkedCode
{
	int32_t		code;
	uint8_t		mark;
} CxmMarkedCode;

/* the marks of codes: small codes by a table, others by search */
typedef struct CxmCodeMarks
{
	uint8_t		all;			/* mark of every code */
	uint8_t		small[256];		/* marks of codes 0 to 255 */
	size_t		nlarge;
	CxmMarkedCode *large;		/* ascending by code, each once */
} CxmCodeMarks;

typedef enum CxmCohorts
{
	CXM_COHORTS_FIRST_EVER,		/* the first start that there is, when it lies in the range */
	CXM_COHORTS_FIRST_IN_RANGE, /* the first start in the range */
	CXM_COHORTS_RECURRING		/* each period in which there is a start in the range */
} CxmCohorts;

typedef struct CxmRetentionRule
{
	CxmCohorts	cohorts;
	bool		on_or_after;	/* back in a period or in any later one */
	int64_t		from;			/* starts at or after this count ... */
	int64_t		to;				/* ... and before this */
	int64_t		until;			/* events after this are not read */
	int64_t		length;			/* of periods counted from the start itself; 0 = those of the calendar */
	int64_t		max_number;		/* of a period after the start */
} CxmRetentionRule;

/* a cohort and the number of a period after it; or a period and what the customer was in it */
typedef struct CxmPair
{
	int32_t		first;
	int32_t		second;
} CxmPair;

/* the second number of the pair that says that a customer is in a cohort */
#define CXM_IN_COHORT (-1)

typedef enum CxmLifecycle
{
	CXM_NEW,
	CXM_RETURNING,
	CXM_RESURRECTING,
	CXM_DORMANT
} CxmLifecycle;

/* a period, with the time of an event in it */
typedef struct CxmPeriodEvent
{
	int64_t		period;
	int64_t		at;
} CxmPeriodEvent;

extern size_t cxm_retention(const int64_t *at, const uint8_t *mark, size_t nevents,
							const CxmPeriodClock *clock, const CxmRetentionRule *rule, CxmPeriodEvent *scratch,
							CxmPair *pairs, size_t capacity, size_t limit, void (*poll) (void));
extern size_t cxm_active_periods(const int64_t *at, size_t nevents, const CxmPeriodClock *clock,
								 int64_t from, int64_t to, int64_t *periods);
extern size_t cxm_lifecycle(const int64_t *periods, size_t nperiods, int64_t from, int64_t to, CxmPair *pairs);

extern void cxm_mark_codes(CxmCodeMarks *marks, const int32_t *codes, size_t ncodes, uint8_t mark);
extern uint8_t cxm_mark_of_large(const CxmCodeMarks *marks, int32_t code);

static inline uint8_t
cxm_mark_of(const CxmCodeMarks *marks, int32_t code)
{
	return marks->all | ((uint32_t) code < 256 ? marks->small[code] : cxm_mark_of_large(marks, code));
}

/* counts of pairs: a hash table in one array of 2 + 2 * slots integers */
#define CXM_PAIR_COUNTS_HEADER 2
#define CXM_PAIR_COUNTS_LENGTH(slots) (CXM_PAIR_COUNTS_HEADER + 2 * (size_t) (slots))
#define CXM_PAIR_COUNTS_MIN_SLOTS 64

typedef enum CxmPairCountsStatus
{
	CXM_PAIR_COUNTS_OK,
	CXM_PAIR_COUNTS_FULL,		/* make a larger table first */
	CXM_PAIR_COUNTS_OVERFLOW
} CxmPairCountsStatus;

typedef struct CxmPairCount
{
	CxmPair		pair;
	int64_t		count;
} CxmPairCount;

extern void cxm_pair_counts_init(int64_t *counts, size_t slots);
extern bool cxm_pair_counts_valid(const int64_t *counts, size_t length);
extern CxmPairCountsStatus cxm_pair_counts_add(int64_t *counts, CxmPair pair, int64_t n);
extern size_t cxm_pair_counts_sort(const int64_t *counts, CxmPairCount *sorted);

static inline int64_t
cxm_pair_counts_slots(const int64_t *counts)
{
	return counts[0];
}

static inline CxmPair
cxm_pair_unpack(int64_t packed)
{
	return (CxmPair){(int32_t) (uint32_t) ((uint64_t) packed >> 32), (int32_t) (uint32_t) packed};
}

#endif							/* CXM_RETENTION_CORE_H */
