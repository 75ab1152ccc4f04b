/*
 * test/unit/retention_core_test.c
 *		Retention, lifecycle and counts of pairs, against asking the definition about every number there can be.
 *
 * cc -Isrc test/unit/retention_core_test.c src/retention_core.c && ./a.out
 */
#include "retention_core.h"
#include "check.h"

/* the tables that it is asked with */
#include "../../src/period_core.c"

#include <stdlib.h>
#include <string.h>

#define MAX_EVENTS 14
#define MAX_PAIRS 4000
#define SPAN 40					/* the days that events lie in */

static int	polls = 0;

static void
poll(void)
{
	polls++;
}

static int64_t
next_number(int64_t bound)
{
	return (int64_t) (next_step() >> 20) % bound;
}

/*
 * Days of a zone where, if it is to be hard, midnight of day 20 is crossed three times: an hour after it clocks are set
 * back by two. What the table does not cover is told by the same rule.
 */
static int	hard;

static int64_t
offset_at(int64_t at)
{
	return hard && at >= 20 * DAY + DAY / 24 ? -DAY / 12 : 0;
}

static int64_t
day_of(int64_t at)
{
	int64_t		local = at + offset_at(at);

	return local / DAY - (local % DAY < 0);
}

static int64_t
elsewhere(void *arg, int64_t at)
{
	(void) arg;
	return day_of(at);
}

/* leave out events without a mark, as callers do */
static size_t
select_marked(const CxmCodeMarks *marks, const int64_t *at, const int32_t *code, size_t n, int64_t *marked_at, uint8_t *mark)
{
	size_t		k = 0;

	for (size_t i = 0; i < n; i++)
		if (cxm_mark_of(marks, code[i]))
		{
			marked_at[k] = at[i];
			mark[k++] = cxm_mark_of(marks, code[i]);
		}
	return k;
}

static int
is_start(int32_t code)
{
	return code == 1 || code == 2 || code == -7 || code == 1000;
}

static int
is_return(int32_t code)
{
	return code == 2 || code == 3 || code == 1000 || code == 300;
}

static const int32_t start_codes[] = {1, 2, -7, 1000, 2};
static const int32_t return_codes[] = {1000, 2, 3, 300};
static const int32_t any_code[] = {1, 2, 3, 4, 1000, -7, 300, -8};

static int
compare_events(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/* is the customer in this cohort, and since when? */
static int
in_cohort(const int64_t *at, const int32_t *code, size_t n, const CxmRetentionRule *rule, int64_t cohort, int64_t *since)
{
	for (size_t i = 0; i < n; i++)
	{
		if (!is_start(code[i]) || at[i] > rule->until)
			continue;
		if (at[i] < rule->from || at[i] >= rule->to)
		{
			if (rule->cohorts == CXM_COHORTS_FIRST_EVER)
				return 0;
			continue;
		}
		if (day_of(at[i]) == cohort)
		{
			*since = at[i];
			return 1;
		}
		if (rule->cohorts != CXM_COHORTS_RECURRING)
			return 0;
	}
	return 0;
}

static int
came_back(const int64_t *at, const int32_t *code, size_t n, const CxmRetentionRule *rule, int64_t cohort, int64_t since, int64_t number)
{
	for (size_t i = 0; i < n; i++)
		if (is_return(code[i]) && at[i] >= since && at[i] <= rule->until)
		{
			int64_t		its = rule->length > 0 ? (at[i] - since) / rule->length : day_of(at[i]) - cohort;

			if (its == number || (rule->on_or_after && its > number))
				return 1;
		}
	return 0;
}

static void
test_retention(void)
{
	int64_t		bounds[200];
	int64_t		numbers[200];
	CxmMarkedCode large[16];
	CxmCodeMarks marks = {0, {0}, 0, large};
	int			wrong = 0;
	int			npairs = 0;
	int			cut = 0;

	cxm_mark_codes(&marks, start_codes, 5, CXM_MARK_START);
	cxm_mark_codes(&marks, return_codes, 4, CXM_MARK_RETURN);

	for (int run = 0; run < 200000; run++)
	{
		CxmPeriodTable table = {{CXM_PERIOD_DAY, 1}, 0, 199, bounds, numbers, 0};
		CxmPeriodClock clock = {&table, elsewhere, NULL};
		int64_t		at[MAX_EVENTS];
		int32_t		code[MAX_EVENTS];
		CxmPeriodEvent scratch[2 * MAX_EVENTS];
		CxmPair		pairs[MAX_PAIRS];
		CxmPair		expected[MAX_PAIRS];
		size_t		n = (size_t) next_number(MAX_EVENTS + 1);
		int64_t		marked_at[MAX_EVENTS];
		uint8_t		mark[MAX_EVENTS];
		size_t		nmarked;
		size_t		found;
		size_t		want = 0;
		int64_t		grain = next_number(2) ? DAY / 48 : DAY / 2;
		CxmRetentionRule rule;

		hard = run % 2;
		/* a table of all times, of a part of them, or of none */
		if (run % 5 < 4)
		{
			int64_t		first = run % 5 < 2 ? -DAY : 18 * DAY;
			int64_t		last = run % 5 < 3 ? (SPAN + 2) * DAY : 22 * DAY;
			int64_t		change = 20 * DAY + DAY / 24;

			if (!cxm_period_table_add(&table, first, change, 0) || !cxm_period_table_add(&table, change, last, hard ? -DAY / 12 : 0))
				wrong++;
		}
		for (size_t i = 0; i < n; i++)
		{
			at[i] = run % 3 == 0 ? 20 * DAY + (next_number(96) - 48) * (DAY / 48) : next_number(SPAN * DAY / grain) * grain;
			code[i] = any_code[next_number(8)];
		}
		qsort(at, n, sizeof(int64_t), compare_events);

		rule.cohorts = (CxmCohorts) next_number(3);
		rule.on_or_after = next_number(2);
		rule.from = next_number(3) ? INT64_MIN : next_number(SPAN) * grain;
		rule.to = next_number(3) ? INT64_MAX : next_number(SPAN) * DAY;
		rule.until = next_number(3) ? INT64_MAX : next_number(SPAN) * DAY;
		rule.length = next_number(3) ? 0 : (1 + next_number(3)) * (DAY / 2);
		rule.max_number = next_number(2) ? INT32_MAX : next_number(5);

		nmarked = select_marked(&marks, at, code, n, marked_at, mark);
		found = cxm_retention(marked_at, mark, nmarked, &clock, &rule, scratch, pairs, MAX_PAIRS, MAX_PAIRS, poll);

		for (int64_t cohort = -2; cohort <= SPAN + 1; cohort++)
		{
			int64_t		since;

			if (!in_cohort(at, code, n, &rule, cohort, &since))
				continue;
			expected[want++] = (CxmPair){(int32_t) cohort, CXM_IN_COHORT};
			for (int64_t number = 0; number <= 2 * SPAN + 2 && number <= rule.max_number; number++)
				if (came_back(at, code, n, &rule, cohort, since, number))
					expected[want++] = (CxmPair){(int32_t) cohort, (int32_t) number};
		}
		if (found != want || memcmp(pairs, expected, want * sizeof(CxmPair)) != 0)
			wrong++;
		npairs += (int) want;

		/* less room: the same count, and the pairs that there is room for */
		if (want > 1)
		{
			memset(pairs, 0x55, sizeof(pairs));
			found = cxm_retention(marked_at, mark, nmarked, &clock, &rule, scratch, pairs, 1, MAX_PAIRS, poll);
			wrong += found != want || memcmp(pairs, expected, sizeof(CxmPair)) != 0 || pairs[1].first != 0x55555555;
			found = cxm_retention(marked_at, mark, nmarked, &clock, &rule, scratch, pairs, 0, 1, poll);
			wrong += found <= 1 || found > want;
			cut++;
		}
	}
	check(wrong == 0, "a customer is in the cohorts, and came back in the periods, of the definition");
	check(npairs > 500000 && cut > 50000, "many did");
}

static void
test_far_times(void)
{
	/* the first and the last microsecond that a timestamptz can be */
	int64_t		at[] = {INT64_C(-211813488000000000), INT64_C(9223371331199999999)};
	uint8_t		mark[] = {3, 3};
	CxmPeriodTable none = {{CXM_PERIOD_DAY, 1}, 0, 0, NULL, NULL, 0};
	CxmPeriodClock clock = {&none, elsewhere, NULL};
	CxmRetentionRule rule = {CXM_COHORTS_FIRST_EVER, false, INT64_MIN, INT64_MAX, INT64_MAX, 0, INT32_MAX};
	CxmPeriodEvent scratch[4];
	CxmPair		pairs[8];

	hard = 0;
	check(cxm_retention(at, mark, 2, &clock, &rule, scratch, pairs, 8, 8, poll) == 3 &&
			  pairs[2].first == -2451545 && pairs[2].second == 2451545 + 106751982,
		  "days from one end of time to the other");
	rule.length = DAY;
	check(cxm_retention(at, mark, 2, &clock, &rule, scratch, pairs, 8, 8, poll) == 3 && pairs[2].second == 2451545 + 106751982,
		  "and rolling ones");
	rule.length = INT64_MAX / 2;
	check(cxm_retention(at, mark, 2, &clock, &rule, scratch, pairs, 8, 8, poll) == 3 && pairs[2].second == 2, "as long as half of it");
	rule.length = DAY;
	rule.on_or_after = true;
	polls = 0;
	check(cxm_retention(at, mark, 2, &clock, &rule, scratch, pairs, 8, 200000, poll) == 200001 && polls >= 3,
		  "too many pairs stop soon, and can be interrupted");
}

static void
test_active(void)
{
	int64_t		bounds[200];
	int64_t		numbers[200];
	CxmCodeMarks marks = {0, {0}, 0, NULL};
	int			wrong = 0;
	int			seen[4] = {0, 0, 0, 0};

	marks.small[1] = 1;
	for (int run = 0; run < 100000; run++)
	{
		CxmPeriodTable table = {{CXM_PERIOD_DAY, 1}, 0, 199, bounds, numbers, 0};
		CxmPeriodClock clock = {&table, elsewhere, NULL};
		int64_t		at[MAX_EVENTS];
		int32_t		code[MAX_EVENTS];
		int64_t		periods[MAX_EVENTS];
		CxmPair		pairs[2 * MAX_EVENTS];
		size_t		n = (size_t) next_number(MAX_EVENTS + 1);
		int64_t		marked_at[MAX_EVENTS];
		uint8_t		mark[MAX_EVENTS];
		size_t		nperiods;
		size_t		npairs;
		size_t		k = 0;
		size_t		j = 0;
		int64_t		from = next_number(2) ? INT64_MIN : next_number(20) * DAY;
		int64_t		to = next_number(2) ? INT64_MAX : (10 + next_number(30)) * DAY;
		int64_t		first = next_number(30) - 3;
		int64_t		last = first + next_number(30) - 2;
		int			active[SPAN + 4] = {0};

		hard = run % 2;
		marks.all = run % 7 == 0;
		if (run % 3)
			cxm_period_table_add(&table, 0, 20 * DAY, 0);
		for (size_t i = 0; i < n; i++)
		{
			at[i] = run % 5 == 0 ? 20 * DAY + (next_number(96) - 48) * (DAY / 48) : next_number(SPAN * 8) * (DAY / 8);
			code[i] = (int32_t) next_number(2);
		}
		qsort(at, n, sizeof(int64_t), compare_events);
		for (size_t i = 0; i < n; i++)
			if ((marks.all || code[i] == 1) && at[i] >= from && at[i] < to)
				active[day_of(at[i]) + 2] = 1;

		nperiods = cxm_active_periods(marked_at, select_marked(&marks, at, code, n, marked_at, mark), &clock, from, to, periods);
		for (int64_t day = -2; day < SPAN + 2; day++)
			if (active[day + 2])
				wrong += k >= nperiods || periods[k++] != day;
		wrong += k != nperiods;

		npairs = cxm_lifecycle(periods, nperiods, first, last, pairs);
		for (int64_t day = first > -2 ? first : -2; day <= last && day < SPAN + 2; day++)
		{
			int			before = 0;
			int			previous = day > -2 && active[day + 1];
			CxmLifecycle state;

			for (int64_t d = -2; d < day; d++)
				before |= active[d + 2];
			if (!active[day + 2] && !previous)
				continue;
			state = !active[day + 2] ? CXM_DORMANT : previous ? CXM_RETURNING : before ? CXM_RESURRECTING
																					  : CXM_NEW;
			wrong += j >= npairs || pairs[j].first != day || pairs[j].second != (int32_t) state;
			j++;
			seen[state]++;
		}
		wrong += j != npairs;
	}
	check(wrong == 0, "active periods, and what a customer was in each, are those of the definition");
	check(seen[0] > 1000 && seen[1] > 1000 && seen[2] > 1000 && seen[3] > 1000, "every state was seen");
}

static void
test_counts(void)
{
	enum
	{
		KEYS = 3000
	};
	static int64_t tables[2][CXM_PAIR_COUNTS_LENGTH(8192)];
	static CxmPairCount sorted[8192];
	static int64_t expected[KEYS];
	int64_t    *counts = tables[0];
	int64_t		small[CXM_PAIR_COUNTS_LENGTH(64)];
	int			wrong = 0;
	size_t		n;
	size_t		k = 0;

	cxm_pair_counts_init(counts, 8192);
	check(cxm_pair_counts_valid(counts, CXM_PAIR_COUNTS_LENGTH(8192)), "an empty table is valid");
	for (int i = 0; i < 100000; i++)
	{
		int			key = (int) next_number(KEYS);
		int64_t		by = 1 + next_number(3);

		expected[key] += by;
		wrong += cxm_pair_counts_add(counts, (CxmPair){key / 50 - 30, key % 50 - 1}, by) != CXM_PAIR_COUNTS_OK;
	}
	n = cxm_pair_counts_sort(counts, sorted);
	for (int key = 0; key < KEYS; key++)
		if (expected[key] > 0)
		{
			wrong += k >= n || sorted[k].pair.first != key / 50 - 30 || sorted[k].pair.second != key % 50 - 1 || sorted[k].count != expected[key];
			k++;
		}
	wrong += k != n;
	check(wrong == 0, "pairs are counted, in order");

	cxm_pair_counts_init(small, 64);
	for (int i = 0; i < 48; i++)
		wrong += cxm_pair_counts_add(small, (CxmPair){i, INT32_MIN}, 1) != CXM_PAIR_COUNTS_OK;
	check(wrong == 0 && cxm_pair_counts_add(small, (CxmPair){48, 0}, 1) == CXM_PAIR_COUNTS_FULL, "a table is full when three in four slots are used");
	check(cxm_pair_counts_add(small, (CxmPair){47, INT32_MIN}, 1) == CXM_PAIR_COUNTS_OK, "what is in it is counted on");
	check(cxm_pair_counts_add(small, (CxmPair){47, INT32_MIN}, INT64_MAX) == CXM_PAIR_COUNTS_OVERFLOW, "counts do not overflow");

	/* bytes of somebody else */
	small[0] = 63;
	check(!cxm_pair_counts_valid(small, CXM_PAIR_COUNTS_LENGTH(64)), "slots are a power of two");
	small[0] = INT64_MIN;
	check(!cxm_pair_counts_valid(small, CXM_PAIR_COUNTS_LENGTH(64)), "and not negative");
	small[0] = 64;
	small[1] = 65;
	check(!cxm_pair_counts_valid(small, CXM_PAIR_COUNTS_LENGTH(64)), "no more is used than there is");
	small[1] = 0;
	for (int i = 0; i < 64; i++)
		small[CXM_PAIR_COUNTS_HEADER + 2 * i + 1] = 1;
	check(cxm_pair_counts_valid(small, CXM_PAIR_COUNTS_LENGTH(64)) &&
			  cxm_pair_counts_add(small, (CxmPair){-5, -5}, 1) == CXM_PAIR_COUNTS_FULL,
		  "a table without a free slot does not hold up the search");
}

int
main(void)
{
	test_retention();
	test_far_times();
	test_active();
	test_counts();
	return report();
}
