/*
 * test/unit/invitation_core_test.c
 *		The earliest free moment against trying one moment after the other.
 *
 * cc -Isrc test/unit/invitation_core_test.c src/invitation_core.c && ./a.out
 */
#include "invitation_core.h"
#include "check.h"

#include <stdlib.h>

static void
poll(void)
{
}

static int
by_time(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

#define MAX_TIMES 12

/* put the moment among the times and look at every stretch that holds it: slow and plainly right */
static int
is_free(const int64_t *times, size_t ntimes, int64_t at, const CxmFatigueLimit *limit)
{
	for (size_t i = 0; i < ntimes; i++)
		if (limit->min_gap > 0 && llabs(times[i] - at) < limit->min_gap)
			return 0;
	if (limit->max_count > 0)
		for (int64_t begin = at - limit->window + 1; begin <= at; begin++)
		{
			int			count = 1;

			for (size_t i = 0; i < ntimes; i++)
				count += times[i] >= begin && times[i] < begin + limit->window;
			if (count > limit->max_count)
				return 0;
		}
	return 1;
}

int
main(void)
{
	int64_t		times[MAX_TIMES];
	int64_t		got;
	CxmFatigueLimit limit;
	int			moved = 0;
	int			right = 0;
	const int	runs = 50000;

	for (int run = 0; run < runs; run++)
	{
		size_t		ntimes = next_random(MAX_TIMES + 1);
		int64_t		at = next_random(40);
		int64_t		expected = at;

		for (size_t i = 0; i < ntimes; i++)
			times[i] = next_random(50);
		qsort(times, ntimes, sizeof(int64_t), by_time);
		limit.max_count = (int32_t) next_random(4);
		limit.window = 1 + next_random(15);
		limit.min_gap = next_random(2) == 0 ? 0 : next_random(8);

		while (!is_free(times, ntimes, expected, &limit))
			expected++;
		if (cxm_fatigue_free_at(times, ntimes, at, &limit, poll, &got) && got == expected)
			right++;
		moved += got != at;
	}
	check(right == runs, "the earliest free moment is found");
	check(moved > runs / 10 && moved < runs, "it is often another one than asked for, and not always");

	/* at the ends of what 64 bits hold */
	times[0] = INT64_MIN;
	times[1] = INT64_MAX;
	limit = (CxmFatigueLimit)
	{
		1, 10, 10
	};
	check(cxm_fatigue_free_at(times, 2, 0, &limit, poll, &got) && got == 0, "far ends do not count");
	check(!cxm_fatigue_free_at(times, 2, INT64_MAX - 5, &limit, poll, &got), "there is no moment after the last");
	limit = (CxmFatigueLimit)
	{
		2, INT64_MAX, 0
	};
	check(cxm_fatigue_free_at(times, 2, 0, &limit, poll, &got) && got == 0, "a stretch of all time is longer than the window");
	check(cxm_fatigue_free_at(times, 0, 7, &limit, poll, &got) && got == 7, "nothing stands, everything is free");

	return report();
}
