/*
 * src/retention_core.c
 *		When a customer started, when they came back, and in which periods they were active.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "retention_core.h"

#include <stdlib.h>
#include <string.h>

/* steps between two looks at whether somebody wants to stop */
#define POLL_EVERY 65536

/*--------------------------------------------------------------------------------------------------------
 * Codes
 *--------------------------------------------------------------------------------------------------------
 */

static int
compare_marked_codes(const void *a, const void *b)
{
	int32_t		x = ((const CxmMarkedCode *) a)->code;
	int32_t		y = ((const CxmMarkedCode *) b)->code;

	return (x > y) - (x < y);
}

/* Give codes a mark, beside those that they have; marks->large has room for them all */
void
cxm_mark_codes(CxmCodeMarks *marks, const int32_t *codes, size_t ncodes, uint8_t mark)
{
	size_t		kept = 0;

	for (size_t i = 0; i < ncodes; i++)
	{
		if (codes[i] >= 0 && codes[i] < 256)
			marks->small[codes[i]] |= mark;
		else
			marks->large[marks->nlarge++] = (CxmMarkedCode){codes[i], mark};
	}
	if (marks->nlarge == 0)
		return;
	qsort(marks->large, marks->nlarge, sizeof(CxmMarkedCode), compare_marked_codes);
	for (size_t i = 0; i < marks->nlarge; i++)
	{
		if (kept > 0 && marks->large[kept - 1].code == marks->large[i].code)
			marks->large[kept - 1].mark |= marks->large[i].mark;
		else
			marks->large[kept++] = marks->large[i];
	}
	marks->nlarge = kept;
}

uint8_t
cxm_mark_of_large(const CxmCodeMarks *marks, int32_t code)
{
	CxmMarkedCode key = {code, 0};
	const CxmMarkedCode *found;

	if (marks->nlarge == 0)
		return 0;
	found = bsearch(&key, marks->large, marks->nlarge, sizeof(CxmMarkedCode), compare_marked_codes);
	return found ? found->mark : 0;
}

/*--------------------------------------------------------------------------------------------------------
 * Periods of one customer
 *--------------------------------------------------------------------------------------------------------
 */

/* how many events, from the first one on, are not later than this */
static size_t
count_until(const int64_t *at, size_t n, int64_t until)
{
	size_t		lo = 0;

	if (n == 0 || at[n - 1] <= until)
		return n;
	while (lo < n)
	{
		size_t		mid = lo + (n - lo) / 2;

		if (at[mid] <= until)
			lo = mid + 1;
		else
			n = mid;
	}
	return lo;
}

static int
compare_period_events(const void *a, const void *b)
{
	const CxmPeriodEvent *x = a;
	const CxmPeriodEvent *y = b;

	if (x->period != y->period)
		return x->period < y->period ? -1 : 1;
	return (x->at > y->at) - (x->at < y->at);
}

/*
 * Bring periods into order, each once, with its first or its last event. As a rule that is how they come; not so
 * where clocks were set back across the start of a period.
 */
static size_t
order_periods(CxmPeriodEvent *events, size_t n, bool keep_last)
{
	bool		ordered = true;
	size_t		kept = 0;

	for (size_t i = 1; i < n && ordered; i++)
		ordered = events[i - 1].period < events[i].period;
	if (ordered)
		return n;
	qsort(events, n, sizeof(CxmPeriodEvent), compare_period_events);
	for (size_t i = 0; i < n; i++)
	{
		if (kept == 0 || events[kept - 1].period != events[i].period)
			events[kept++] = events[i];
		else if (keep_last)
			events[kept - 1] = events[i];
	}
	return kept;
}

/* where pairs go: those that have room are kept, all are counted */
typedef struct PairSink
{
	CxmPair    *pairs;
	size_t		capacity;
	size_t		n;
	size_t		limit;
	void		(*poll) (void);
} PairSink;

/* false when there are more than anybody wants */
static inline bool
put_pair(PairSink *sink, int64_t first, int64_t second)
{
	if (sink->n < sink->capacity)
		sink->pairs[sink->n] = (CxmPair){(int32_t) first, (int32_t) second};
	sink->n++;
	if (sink->n % POLL_EVERY == 0)
		sink->poll();
	return sink->n <= sink->limit;
}

/* Numbers 0 to last, for a customer who came back that late */
static bool
put_all_until(PairSink *sink, int64_t cohort, int64_t last)
{
	for (int64_t number = 0; number <= last; number++)
		if (!put_pair(sink, cohort, number))
			return false;
	return true;
}

/* the returns of a customer, and how far those reach that lie before the start that was last looked at */
typedef struct Returns
{
	const CxmPeriodEvent *events;
	size_t		n;
	size_t		from;
} Returns;

/* Periods of the calendar in which a customer came back: ascending, each with its last event */
static bool
put_calendar(PairSink *sink, const CxmRetentionRule *rule, CxmPeriodEvent start, Returns *returns)
{
	const CxmPeriodEvent *ret = returns->events;
	size_t		nret = returns->n;

	/* cohorts ascend, so what lies before one lies before the next */
	while (returns->from < nret && ret[returns->from].period < start.period)
		returns->from++;

	if (rule->on_or_after)
	{
		for (size_t i = nret; i > returns->from; i--)
			if (ret[i - 1].at >= start.at)
			{
				int64_t		last = ret[i - 1].period - start.period;

				return put_all_until(sink, start.period, last < rule->max_number ? last : rule->max_number);
			}
		return true;
	}
	for (size_t i = returns->from; i < nret && ret[i].period - start.period <= rule->max_number; i++)
		if (ret[i].at >= start.at && !put_pair(sink, start.period, ret[i].period - start.period))
			return false;
	return true;
}

/* microseconds from a start to what came at it or later: as many as all of time has do not fit into an int64_t */
static inline uint64_t
elapsed(CxmPeriodEvent start, CxmPeriodEvent later)
{
	return (uint64_t) later.at - (uint64_t) start.at;
}

/*
 * The first of events from..n-1, none of which is earlier than the start, so long after it or later. Takes as many
 * steps as the distance to it has digits.
 */
static size_t
first_after(const CxmPeriodEvent *events, size_t n, size_t from, CxmPeriodEvent start, uint64_t after)
{
	size_t		step = 1;
	size_t		lo = from;
	size_t		hi = from;

	while (hi < n && elapsed(start, events[hi]) < after)
	{
		lo = hi + 1;
		hi += step;
		step *= 2;
	}
	if (hi > n)
		hi = n;
	while (lo < hi)
	{
		size_t		mid = lo + (hi - lo) / 2;

		if (elapsed(start, events[mid]) < after)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Periods counted from the start itself; the returns are all events that are one, ascending by time */
static bool
put_rolling(PairSink *sink, const CxmRetentionRule *rule, CxmPeriodEvent start, Returns *returns)
{
	const CxmPeriodEvent *ret = returns->events;
	size_t		nret = returns->n;
	uint64_t	length = (uint64_t) rule->length;
	uint64_t	max_number = (uint64_t) rule->max_number;
	uint64_t	number;

	/* as a rule starts ascend by time, but see order_periods() */
	while (returns->from > 0 && ret[returns->from - 1].at >= start.at)
		returns->from--;
	while (returns->from < nret && ret[returns->from].at < start.at)
		returns->from++;
	if (returns->from == nret)
		return true;

	if (rule->on_or_after)
	{
		number = elapsed(start, ret[nret - 1]) / length;
		return put_all_until(sink, start.period, (int64_t) (number < max_number ? number : max_number));
	}
	for (size_t i = returns->from; i < nret; i = first_after(ret, nret, i, start, (number + 1) * length))
	{
		number = elapsed(start, ret[i]) / length;
		if (number > max_number)
			break;
		if (!put_pair(sink, start.period, (int64_t) number))
			return false;
	}
	return true;
}

/*
 * The cohorts that a customer is in, each with CXM_IN_COHORT and then with the number of each period in which the
 * customer came back: at the start itself or later. Periods are numbered from the cohort's, which is 0.
 *
 * Ascending by cohort and number, each pair once. Returns how many there are; the first ones, as far as there is
 * room, are in pairs[]. Stops soon after the limit, with more than it. scratch[] has room for two an event.
 */
size_t
cxm_retention(const int64_t *at, const uint8_t *mark, size_t nevents,
			  const CxmPeriodClock *clock, const CxmRetentionRule *rule, CxmPeriodEvent *scratch,
			  CxmPair *pairs, size_t capacity, size_t limit, void (*poll) (void))
{
	PairSink	sink = {pairs, capacity, 0, limit, poll};
	CxmPeriodEvent *start = scratch;
	CxmPeriodEvent *ret = scratch + nevents;
	CxmPeriodNow now = {0, 0, 0};
	size_t		nstart = 0;
	size_t		nret = 0;
	Returns		returns;
	bool		recurring = rule->cohorts == CXM_COHORTS_RECURRING;
	bool		started = false;

	nevents = count_until(at, nevents, rule->until);
	for (size_t i = 0; i < nevents; i++)
	{
		if ((mark[i] & CXM_MARK_START) && (recurring || !started))
		{
			bool		in_range = at[i] >= rule->from && at[i] < rule->to;

			if (!in_range && rule->cohorts == CXM_COHORTS_FIRST_EVER)
				return 0;
			if (in_range)
			{
				int64_t		period = cxm_period_at(clock, &now, at[i]);

				started = true;
				if (nstart == 0 || start[nstart - 1].period != period)
					start[nstart++] = (CxmPeriodEvent){period, at[i]};
			}
		}
		if (mark[i] & CXM_MARK_RETURN)
		{
			if (rule->length > 0)
				ret[nret++] = (CxmPeriodEvent){0, at[i]};
			else
			{
				int64_t		period = cxm_period_at(clock, &now, at[i]);

				if (nret > 0 && ret[nret - 1].period == period)
					ret[nret - 1].at = at[i];
				else
					ret[nret++] = (CxmPeriodEvent){period, at[i]};
			}
		}
	}

	nstart = order_periods(start, nstart, false);
	if (rule->length == 0)
		nret = order_periods(ret, nret, true);
	returns = (Returns){ret, nret, 0};
	for (size_t i = 0; i < nstart; i++)
	{
		if (!put_pair(&sink, start[i].period, CXM_IN_COHORT))
			break;
		if (!(rule->length > 0 ? put_rolling : put_calendar)(&sink, rule, start[i], &returns))
			break;
	}
	return sink.n;
}

static int
compare_periods(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/*
 * The periods in which a customer has events, from "from" up to but not including "to": ascending, each once.
 * periods[] has room for one an event.
 */
size_t
cxm_active_periods(const int64_t *at, size_t nevents, const CxmPeriodClock *clock,
				   int64_t from, int64_t to, int64_t *periods)
{
	CxmPeriodNow now = {0, 0, 0};
	size_t		n = 0;
	size_t		kept = 0;
	bool		ordered = true;

	for (size_t i = 0; i < nevents && at[i] < to; i++)
	{
		int64_t		period;

		/* as a rule it is one more in the period that was put last */
		if (at[i] < from || (at[i] >= now.from && at[i] < now.to))
			continue;
		period = cxm_period_at(clock, &now, at[i]);
		if (n > 0 && periods[n - 1] == period)
			continue;
		ordered = ordered && (n == 0 || periods[n - 1] < period);
		periods[n++] = period;
	}
	if (ordered)
		return n;
	qsort(periods, n, sizeof(int64_t), compare_periods);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || periods[kept - 1] != periods[i])
			periods[kept++] = periods[i];
	return kept;
}

/*
 * What a customer was in each of the periods "from" to "to", given those in which they were active, ascending: new in
 * the first one of all, returning in one after another, resurrecting in one after a gap, dormant in the one after
 * each run. Ascending; in all other periods the customer was nothing. pairs[] has room for two a period.
 */
size_t
cxm_lifecycle(const int64_t *periods, size_t nperiods, int64_t from, int64_t to, CxmPair *pairs)
{
	size_t		n = 0;

	for (size_t i = 0; i < nperiods; i++)
	{
		int64_t		period = periods[i];
		bool		returning = i > 0 && periods[i - 1] == period - 1;

		if (period >= from && period <= to)
			pairs[n++] = (CxmPair){(int32_t) period, i == 0 ? CXM_NEW : returning ? CXM_RETURNING
																				 : CXM_RESURRECTING};
		if (period + 1 >= from && period + 1 <= to && (i + 1 == nperiods || periods[i + 1] != period + 1))
			pairs[n++] = (CxmPair){(int32_t) (period + 1), CXM_DORMANT};
	}
	return n;
}

/*--------------------------------------------------------------------------------------------------------
 * Counts of pairs
 *
 * counts[0] is the number of slots, a power of two; counts[1] how many are used, at most three in four. A slot is a
 * pair, packed, and its count; a count of 0 marks one that is free.
 *--------------------------------------------------------------------------------------------------------
 */

static int64_t
pack(CxmPair pair)
{
	return (int64_t) ((uint64_t) (uint32_t) pair.first << 32 | (uint32_t) pair.second);
}

void
cxm_pair_counts_init(int64_t *counts, size_t slots)
{
	memset(counts, 0, CXM_PAIR_COUNTS_LENGTH(slots) * sizeof(int64_t));
	counts[0] = (int64_t) slots;
}

/* Can these bytes be counts? What is in the slots may be anything: nothing goes wrong but the counts. */
bool
cxm_pair_counts_valid(const int64_t *counts, size_t length)
{
	return length >= CXM_PAIR_COUNTS_LENGTH(CXM_PAIR_COUNTS_MIN_SLOTS) &&
		counts[0] > 0 && (counts[0] & (counts[0] - 1)) == 0 &&
		(uint64_t) counts[0] < SIZE_MAX / 32 && CXM_PAIR_COUNTS_LENGTH(counts[0]) == length &&
		counts[1] >= 0 && counts[1] <= counts[0];
}

CxmPairCountsStatus
cxm_pair_counts_add(int64_t *counts, CxmPair pair, int64_t n)
{
	int64_t		packed = pack(pair);
	uint64_t	mask = (uint64_t) counts[0] - 1;
	int64_t    *slots = counts + CXM_PAIR_COUNTS_HEADER;
	uint64_t	hash = (uint64_t) packed * UINT64_C(0x9E3779B97F4A7C15);

	hash ^= hash >> 32;
	/* a table that is not one of ours may have no free slot */
	for (uint64_t tries = 0; tries <= mask; tries++, hash++)
	{
		int64_t    *slot = slots + 2 * (hash & mask);

		if (slot[1] == 0)
		{
			if (counts[1] >= counts[0] / 4 * 3)
				return CXM_PAIR_COUNTS_FULL;
			slot[0] = packed;
			slot[1] = n;
			counts[1]++;
			return CXM_PAIR_COUNTS_OK;
		}
		if (slot[0] == packed)
			return __builtin_add_overflow(slot[1], n, &slot[1]) ? CXM_PAIR_COUNTS_OVERFLOW : CXM_PAIR_COUNTS_OK;
	}
	return CXM_PAIR_COUNTS_FULL;
}

static int
compare_pair_counts(const void *a, const void *b)
{
	const CxmPairCount *x = a;
	const CxmPairCount *y = b;

	if (x->pair.first != y->pair.first)
		return x->pair.first < y->pair.first ? -1 : 1;
	return (x->pair.second > y->pair.second) - (x->pair.second < y->pair.second);
}

/* The pairs and their counts, ascending; sorted[] has room for one a slot */
size_t
cxm_pair_counts_sort(const int64_t *counts, CxmPairCount *sorted)
{
	const int64_t *slots = counts + CXM_PAIR_COUNTS_HEADER;
	size_t		n = 0;

	for (int64_t i = 0; i < counts[0]; i++)
		if (slots[2 * i + 1] != 0)
			sorted[n++] = (CxmPairCount){cxm_pair_unpack(slots[2 * i]), slots[2 * i + 1]};
	qsort(sorted, n, sizeof(CxmPairCount), compare_pair_counts);
	return n;
}
