/*
 * src/invitation_core.c
 *		When a person may be asked next, under a limit on how often.
 *
 * A moment is free when nothing that stands is closer to it than the gap, and when no max_count of those that stand
 * lie, together with it, in a stretch shorter than the window.  The limit is symmetric in time: what is planned for
 * later counts as much as what was sent before, so the order in which invitations are made does not matter.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "invitation_core.h"

/* Index of the first time after a moment; the times ascend */
static size_t
first_after(const int64_t *times, size_t ntimes, int64_t at)
{
	size_t		low = 0;
	size_t		high = ntimes;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (times[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Whether a lies less than a distance before b; a <= b, and the difference may be too large for 64 bits */
static bool
closer(int64_t a, int64_t b, int64_t distance)
{
	return (uint64_t) b - (uint64_t) a < (uint64_t) distance;
}

/*
 * The time whose neighbourhood forbids a moment, and how long it does so.
 *
 * Whatever later moment is to be free must lie at least that long after it.
 */
static bool
forbidden_by(const int64_t *times, size_t ntimes, int64_t at, const CxmFatigueLimit *limit, int64_t *by, int64_t *lasts)
{
	size_t		after = first_after(times, ntimes, at);
	size_t		most = (size_t) limit->max_count;

	*lasts = limit->min_gap;
	if (limit->min_gap > 0)
	{
		/* the later of two neighbours forbids for longer */
		if (after < ntimes && closer(at, times[after], limit->min_gap))
		{
			*by = times[after];
			return true;
		}
		if (after > 0 && closer(times[after - 1], at, limit->min_gap))
		{
			*by = times[after - 1];
			return true;
		}
	}

	*lasts = limit->window;
	if (most > 0 && ntimes >= most)
	{
		/* each run of max_count neighbours that the moment could stand among, the latest first */
		size_t		first = after > most ? after - most : 0;
		size_t		run = after < ntimes - most ? after : ntimes - most;

		for (;;)
		{
			int64_t		from = times[run] < at ? times[run] : at;
			int64_t		to = times[run + most - 1] > at ? times[run + most - 1] : at;

			if (closer(from, to, limit->window))
			{
				*by = times[run];
				return true;
			}
			if (run <= first)
				break;
			run--;
		}
	}
	return false;
}

/*
 * The earliest free moment that is not before the one given.
 *
 * times ascend.  Returns false when it lies beyond what 64 bits hold.
 */
bool
cxm_fatigue_free_at(const int64_t *times, size_t ntimes, int64_t at, const CxmFatigueLimit *limit,
					void (*poll) (void), int64_t *free_at)
{
	int64_t		by;
	int64_t		lasts;

	/* each step goes beyond the neighbourhood of one of the times for good */
	while (forbidden_by(times, ntimes, at, limit, &by, &lasts))
	{
		poll();
		if (by > INT64_MAX - lasts)
			return false;
		at = by + lasts;
	}
	*free_at = at;
	return true;
}
