/*
 * src/path_core.c
 *		What follows what: sessions, paths from an event on, and counts of transitions with the time they take.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "path_core.h"

#include <stdlib.h>

#define MAGIC UINT32_C(0x43585054)

#define BITS 64

/* events between two looks for interrupts */
#define STRIDE 65536

/*--------------------------------------------------------------------------------------------------------
 * Counts of transitions
 *--------------------------------------------------------------------------------------------------------
 */

size_t
cxm_path_table_size(uint64_t pair_places, uint64_t gap_places)
{
	return sizeof(PathTable) + (size_t) pair_places * sizeof(PathPair) + (size_t) gap_places * sizeof(PathGap);
}

void
cxm_path_table_begin(PathTable *table, uint32_t pair_places, uint32_t gap_places, uint32_t limit, uint32_t level)
{
	memset(table, 0, cxm_path_table_size(pair_places, gap_places));
	table->magic = MAGIC;
	table->pair_places = pair_places;
	table->gap_places = gap_places;
	table->limit = limit;
	table->level = level;
}

static bool
is_power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

bool
cxm_path_table_is_sound(const PathTable *table, size_t size)
{
	return size >= sizeof(PathTable) && table->magic == MAGIC && table->level <= PATH_LAST_LEVEL &&
		is_power_of_two(table->pair_places) && is_power_of_two(table->gap_places) &&
		table->pair_places <= UINT32_C(1) << 30 && table->gap_places <= UINT32_C(1) << 30 &&
		size == cxm_path_table_size(table->pair_places, table->gap_places) &&
		table->pairs <= table->pair_places && table->gaps <= table->gap_places;
}

/* a table of more gaps than this grows fourfold: moving it, and asking for memory, is what it waits for */
#define LARGE_GAPS 4096

/* Tables are filled to three quarters */
static bool
fits(uint64_t used, uint64_t places)
{
	return used <= places / 4 * 3;
}

bool
cxm_path_table_has_room(const PathTable *table, uint32_t pairs, uint32_t gaps)
{
	return fits((uint64_t) table->pairs + pairs, table->pair_places) &&
		fits((uint64_t) table->gaps + gaps, table->gap_places);
}

void
cxm_path_table_next_size(const PathTable *table, uint32_t pairs, uint32_t gaps, uint64_t *pair_places,
						 uint64_t *gap_places)
{
	*pair_places = table->pair_places;
	*gap_places = table->gap_places;
	while (!fits((uint64_t) table->pairs + pairs, *pair_places))
		*pair_places *= 2;
	while (!fits((uint64_t) table->gaps + gaps, *gap_places))
		*gap_places *= *gap_places < LARGE_GAPS || table->level > 0 ? 2 : 4;
}

/* A table of a higher level has few gaps, and is faster to look up in where it is not much larger than they */
bool
cxm_path_table_is_roomy(const PathTable *table, uint64_t *gap_places)
{
	*gap_places = table->gap_places;
	while (*gap_places > 1 && (uint64_t) table->gaps * 2 <= *gap_places / 2)
		*gap_places /= 2;
	return table->level > 0 && *gap_places < table->gap_places;
}

static inline uint64_t
mix(uint64_t x)
{
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	return x;
}

/* The number of bits of a number */
static inline int
bits_of(uint64_t x)
{
#if defined(__GNUC__)
	return x == 0 ? 0 : BITS - __builtin_clzll(x);
#else
	int			n = 0;

	while (x != 0)
	{
		n++;
		x >>= 1;
	}
	return n;
#endif
}

static int
significant_bits(uint32_t level)
{
	return level == 0 ? BITS : 11 - 2 * (int) level;
}

/* A gap as it is kept at a level */
static uint64_t
cut(uint64_t gap, uint32_t level)
{
	int			drop = level == 0 ? 0 : bits_of(gap) - significant_bits(level);

	return drop <= 0 ? gap : gap >> drop << drop;
}

/* What a gap that was cut stands for: the middle of those that are cut to it */
static uint64_t
uncut(uint64_t gap, uint32_t level)
{
	int			drop = level == 0 ? 0 : bits_of(gap) - significant_bits(level);

	return drop <= 0 ? gap : gap + (UINT64_C(1) << (drop - 1));
}

/* The place of a pair, which is new where it was not there; false where there is no place left, in damaged bytes */
static bool
find_pair(PathTable *table, int32_t from, int32_t to, uint32_t *place)
{
	PathPair   *pairs = path_pairs(table);
	uint32_t	mask = table->pair_places - 1;
	uint32_t	i = (uint32_t) mix((uint64_t) (uint32_t) from << 32 | (uint32_t) to) & mask;

	for (uint32_t tries = 0; tries <= mask; tries++)
	{
		if (pairs[i].count == 0)
		{
			pairs[i].from = from;
			pairs[i].to = to;
			table->pairs++;
			*place = i;
			return true;
		}
		if (pairs[i].from == from && pairs[i].to == to)
		{
			*place = i;
			return true;
		}
		i = (i + 1) & mask;
	}
	return false;
}

/* Where to begin to look for a gap of a pair */
static inline uint32_t
home_of_gap(const PathTable *table, uint32_t pair, uint64_t gap)
{
	return (uint32_t) mix(gap * 31 + pair) & (table->gap_places - 1);
}

static bool
put_gap(PathTable *table, uint32_t pair, uint64_t gap, uint32_t count)
{
	PathGap    *gaps = path_gaps(table);
	uint32_t	mask = table->gap_places - 1;
	uint32_t	i = home_of_gap(table, pair, gap);

	for (uint32_t tries = 0; tries <= mask; tries++)
	{
		PathGap    *g = &gaps[i];

		if (g->count == 0)
		{
			*g = (PathGap) {gap, pair, count};
			table->gaps++;
			return true;
		}
		if (g->gap == gap && g->pair == pair)
		{
			uint32_t	room = UINT32_MAX - g->count;

			if (count <= room)
			{
				g->count += count;
				return true;
			}
			g->count = UINT32_MAX;
			count -= room;
		}
		i = (i + 1) & mask;
	}
	return false;
}

/* Add to a sum of 128 bits */
static inline void
add_sum(PathPair *pair, uint64_t high, uint64_t low)
{
	uint64_t	before = pair->sum_low;

	pair->sum_low += low;
	pair->sum_high += high + (pair->sum_low < before);
}

/*
 * A table of many gaps lies in slow memory, so first all places are asked for, and then they are looked at: by that
 * time they have come.
 */
bool
cxm_path_table_add(PathTable *table, const PathTransition *transitions, size_t n)
{
	uint32_t	places[PATH_BATCH];
	uint64_t	gaps[PATH_BATCH];

	for (size_t k = 0; k < n; k++)
	{
		const PathTransition *t = &transitions[k];
		PathPair   *pair;

		if (!find_pair(table, t->from, t->to, &places[k]))
			return false;
		pair = &path_pairs(table)[places[k]];
		pair->count++;
		pair->customers += pair->serial != table->serial;
		pair->serial = table->serial;
		add_sum(pair, 0, t->gap);
		gaps[k] = cut(t->gap, table->level);
#if defined(__GNUC__)
		__builtin_prefetch(&path_gaps(table)[home_of_gap(table, places[k], gaps[k])], 1);
#endif
	}
	for (size_t k = 0; k < n; k++)
	{
		if (!put_gap(table, places[k], gaps[k], 1))
			return false;
	}
	return true;
}

bool
cxm_path_table_merge(PathTable *into, const PathTable *from, JourneyPoll poll)
{
	const PathPair *pairs = path_pairs(from);
	const PathGap *gaps = path_gaps(from);
	bool		moves = into->pairs == 0 && into->serial == 0;
	uint32_t	place;

	for (uint32_t i = 0; i < from->pair_places; i++)
	{
		PathPair   *pair;

		if (pairs[i].count == 0)
			continue;
		if (!find_pair(into, pairs[i].from, pairs[i].to, &place))
			return false;
		pair = &path_pairs(into)[place];
		pair->count += pairs[i].count;
		pair->customers += pairs[i].customers;
		add_sum(pair, pairs[i].sum_high, pairs[i].sum_low);
		if (moves)
			pair->serial = pairs[i].serial;
	}
	for (uint32_t i = 0; i < from->gap_places; i++)
	{
		if (poll != NULL && i % STRIDE == STRIDE - 1)
			poll();
		if (gaps[i].count == 0)
			continue;
		if (gaps[i].pair >= from->pair_places || pairs[gaps[i].pair].count == 0 ||
			!find_pair(into, pairs[gaps[i].pair].from, pairs[gaps[i].pair].to, &place) ||
			!put_gap(into, place, cut(gaps[i].gap, into->level), gaps[i].count))
			return false;
	}
	/* the customers of two tables are different ones, so the one counted last is that of neither */
	into->serial += from->serial + !moves;
	return true;
}

static int
compare_rows(const void *x, const void *y)
{
	const PathRow *a = x;
	const PathRow *b = y;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	return (a->to > b->to) - (a->to < b->to);
}

/* A sum of 128 bits by a number, where the quotient has 64; long division, a bit at a time */
static uint64_t
divide(uint64_t high, uint64_t low, uint64_t by)
{
	uint64_t	quotient = 0;
	uint64_t	rest = high % by;

	for (int bit = 63; bit >= 0; bit--)
	{
		uint64_t	over = rest >> 63;

		rest = rest << 1 | (low >> bit & 1);
		if (over || rest >= by)
		{
			rest -= by;
			quotient |= UINT64_C(1) << bit;
		}
	}
	return quotient;
}

static inline void
swap_gaps(PathGap *a, PathGap *b)
{
	PathGap		kept = *a;

	*a = *b;
	*b = kept;
}

/* The gap at a rank, from 0, of the n entries of a pair, which are brought into another order */
static uint64_t
gap_at(PathGap *gaps, uint32_t n, uint64_t rank)
{
	while (n > 1)
	{
		/* any of them; where they lie tells nobody which */
		uint64_t	pivot = gaps[mix(rank ^ n) % n].gap;
		uint64_t	weight_less = 0;
		uint64_t	weight_same = 0;
		uint32_t	less = 0;
		uint32_t	more = n;

		for (uint32_t i = 0; i < more;)
		{
			if (gaps[i].gap < pivot)
			{
				weight_less += gaps[i].count;
				swap_gaps(&gaps[i++], &gaps[less++]);
			}
			else if (gaps[i].gap > pivot)
				swap_gaps(&gaps[i], &gaps[--more]);
			else
				weight_same += gaps[i++].count;
		}
		if (rank < weight_less)
			n = less;
		else if (rank - weight_less < weight_same || more == n)
			return pivot;
		else
		{
			rank -= weight_less + weight_same;
			gaps += more;
			n -= more;
		}
	}
	return gaps[0].gap;
}

/* Does an entry belong to a pair? It does unless the bytes are damaged. */
static inline bool
is_of_pair(const PathTable *table, const PathGap *gap)
{
	return gap->count > 0 && gap->pair < table->pair_places && path_pairs(table)[gap->pair].count > 0;
}

uint32_t
cxm_path_table_read(const PathTable *table, PathGap *gaps, uint32_t *starts, PathRow *rows)
{
	const PathPair *pairs = path_pairs(table);
	const PathGap *places = path_gaps(table);
	uint32_t	n = 0;
	uint32_t	nrows = 0;

	/* the gaps of each pair side by side: how many each has, where they begin, and there they go */
	memset(starts, 0, ((size_t) table->pair_places + 1) * sizeof(uint32_t));
	for (uint32_t i = 0; i < table->gap_places && n < table->gaps; i++)
	{
		if (is_of_pair(table, &places[i]))
		{
			starts[places[i].pair + 1]++;
			n++;
		}
	}
	for (uint32_t i = 0; i < table->pair_places; i++)
		starts[i + 1] += starts[i];
	for (uint32_t i = 0, put = 0; i < table->gap_places && put < n; i++)
	{
		if (is_of_pair(table, &places[i]))
		{
			gaps[starts[places[i].pair]++] = places[i];
			put++;
		}
	}

	/* now each start is the end of its pair */
	for (uint32_t i = 0; i < table->pair_places && nrows < table->pairs; i++)
	{
		const PathPair *pair = &pairs[i];
		uint32_t	start = i == 0 ? 0 : starts[i - 1];
		PathRow    *row = &rows[nrows];
		uint64_t	below;
		uint64_t	above;

		if (starts[i] == start)
			continue;
		below = uncut(gap_at(gaps + start, starts[i] - start, (pair->count - 1) / 2), table->level);
		above = uncut(gap_at(gaps + start, starts[i] - start, pair->count / 2), table->level);
		row->from = pair->from;
		row->to = pair->to;
		row->customers = pair->customers;
		row->count = pair->count;
		row->mean = divide(pair->sum_high, pair->sum_low, pair->count);
		row->median = below + (above - below) / 2;
		nrows++;
	}
	qsort(rows, nrows, sizeof(PathRow), compare_rows);
	return nrows;
}

/*--------------------------------------------------------------------------------------------------------
 * Sessions
 *--------------------------------------------------------------------------------------------------------
 */

/* A gap in units of the offsets of a journey; none of them is longer than UINT64_MAX */
static uint64_t
gap_in_units(const JourneyView *view, uint64_t gap)
{
	return view->usecs == 0 ? UINT64_MAX : gap / view->usecs;
}

uint64_t
cxm_path_count_sessions(const JourneyView *view, uint64_t gap, JourneyPoll poll)
{
	uint64_t	most = gap_in_units(view, gap);
	uint64_t	before = 0;
	uint64_t	sessions = view->count > 0;

	for (size_t i = 1; i < view->count;)
	{
		size_t		stop = view->count - i > STRIDE ? i + STRIDE : view->count;

		for (; i < stop; i++)
		{
			uint64_t	offset = journey_offset(view, i);

			sessions += offset - before > most;
			before = offset;
		}
		if (poll != NULL)
			poll();
	}
	return sessions;
}

size_t
cxm_path_session_end(const JourneyView *view, size_t i, uint64_t gap)
{
	uint64_t	most = gap_in_units(view, gap);
	uint64_t	before = journey_offset(view, i);

	while (++i < view->count)
	{
		uint64_t	offset = journey_offset(view, i);

		if (offset - before > most)
			break;
		before = offset;
	}
	return i;
}

/*--------------------------------------------------------------------------------------------------------
 * Paths
 *--------------------------------------------------------------------------------------------------------
 */

size_t
cxm_path_walk(const JourneyView *view, size_t low, size_t high, size_t i, bool forward, bool collapse, size_t most,
			  size_t *path)
{
	size_t		n = 0;

	while (n < most && i >= low && i < high)
	{
		int32_t		code = journey_code(view, i);

		if (n > 0 && collapse && code == journey_code(view, path[n - 1]))
		{
			/* backward, an earlier one of a row is the first of it */
			if (!forward)
				path[n - 1] = i;
		}
		else
			path[n++] = i;
		if (!forward && i == low)
			break;
		i = forward ? i + 1 : i - 1;
	}
	/* the row of the last one may begin further back */
	if (!forward && collapse && n == most && n > 0)
	{
		i = path[n - 1];
		while (i > low && journey_code(view, i - 1) == journey_code(view, i))
			i--;
		path[n - 1] = i;
	}
	return n;
}
