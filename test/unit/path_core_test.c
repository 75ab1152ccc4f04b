/*
 * test/unit/path_core_test.c
 *		Transitions against a list of all, for any order of adding and merging; sessions and paths by hand.
 *
 * cc -Isrc test/unit/path_core_test.c src/path_core.c && ./a.out
 */
#include "path_core.h"
#include "check.h"

#include <stdlib.h>

static void *
allocate(size_t size)
{
	void	   *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		exit(1);
	return p;
}

/*--------------------------------------------------------------------------------------------------------
 * Transitions
 *--------------------------------------------------------------------------------------------------------
 */

typedef struct Transition
{
	int32_t		customer;
	int32_t		from;
	int32_t		to;
	uint64_t	gap;
} Transition;

static PathTable *
new_table(uint32_t pair_places, uint32_t gap_places, uint32_t limit, uint32_t level)
{
	PathTable  *table = allocate(cxm_path_table_size(pair_places, gap_places));

	cxm_path_table_begin(table, pair_places, gap_places, limit, level);
	return table;
}

/* A table with room, or of the next level, with all that is in another one, which is gone */
static PathTable *
moved(PathTable *table, uint32_t pairs, uint32_t gaps, uint32_t level)
{
	uint64_t	pair_places;
	uint64_t	gap_places;
	PathTable  *next;

	cxm_path_table_next_size(table, pairs, gaps, &pair_places, &gap_places);
	next = new_table((uint32_t) pair_places, (uint32_t) gap_places, table->limit, level);
	if (!cxm_path_table_merge(next, table, NULL))
		failed++;
	free(table);
	return next;
}

static PathTable *
settled(PathTable *table)
{
	while (path_table_is_over(table))
		table = moved(table, 0, 0, table->level + 1);
	return table;
}

static PathTable *
build(const Transition *transitions, size_t n, uint32_t limit)
{
	PathTable  *table = new_table(2, 2, limit, 0);

	for (size_t i = 0; i < n;)
	{
		PathTransition batch[PATH_BATCH];
		size_t		most = 1 + next_random(PATH_BATCH);
		size_t		k = 0;

		if (i == 0 || transitions[i].customer != transitions[i - 1].customer)
			table->serial++;
		do
		{
			batch[k++] = (PathTransition) {transitions[i].from, transitions[i].to, transitions[i].gap};
			i++;
		}
		while (k < most && i < n && transitions[i].customer == transitions[i - 1].customer);
		if (!cxm_path_table_has_room(table, (uint32_t) k, (uint32_t) k))
			table = moved(table, (uint32_t) k, (uint32_t) k, table->level);
		if (!cxm_path_table_add(table, batch, k))
			failed++;
		table = settled(table);
	}
	return table;
}

static int
compare_transitions(const void *x, const void *y)
{
	const Transition *a = x;
	const Transition *b = y;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	if (a->to != b->to)
		return a->to < b->to ? -1 : 1;
	return (a->gap > b->gap) - (a->gap < b->gap);
}

static int
compare_customers(const void *x, const void *y)
{
	return ((const Transition *) x)->customer - ((const Transition *) y)->customer;
}

static PathRow *
read(const PathTable *table, uint32_t *n)
{
	PathGap    *gaps = allocate(table->gaps * sizeof(PathGap));
	PathRow    *rows = allocate(table->pairs * sizeof(PathRow));
	uint32_t   *starts = allocate((table->pair_places + 1) * sizeof(uint32_t));

	*n = cxm_path_table_read(table, gaps, starts, rows);
	free(starts);
	free(gaps);
	return rows;
}

static void
transitions(void)
{
	int			wrong = 0;
	int			differ = 0;
	int			far = 0;
	uint32_t	levels[PATH_LAST_LEVEL + 1] = {0};

	for (int round = 0; round < 3000; round++)
	{
		size_t		n = next_random(round % 50 == 0 ? 3000 : 60);
		int32_t		codes = 1 + (int32_t) next_random(6);
		uint32_t	limit = round % 3 == 0 ? 10 + next_random(60) : 100000;
		uint32_t	spread = 1 + next_random(round % 2 == 0 ? 5 : 100000000);
		Transition *all = allocate(n * sizeof(Transition));
		size_t		cuts[2];
		PathTable  *whole;
		PathTable  *parts[3];
		PathTable  *merged;
		PathRow    *rows;
		PathRow    *merged_rows;
		uint32_t	nrows;
		uint32_t	nmerged;
		uint32_t	row = 0;
		bool		same;
		int32_t		customer = 0;
		uint64_t	loss;

		for (size_t i = 0; i < n; i++)
		{
			customer += next_random(4) == 0;
			all[i] = (Transition) {customer, (int32_t) next_random((uint32_t) codes) - 2, (int32_t) next_random((uint32_t) codes) - 2,
								   next_random(9) == 0 ? UINT64_C(9000000000000000000) + next_random(3) : next_random(spread)};
		}
		whole = build(all, n, limit);

		/* three parts, cut between customers, merged in another order */
		cuts[0] = n == 0 ? 0 : next_random((uint32_t) n);
		cuts[1] = cuts[0] + (n == cuts[0] ? 0 : next_random((uint32_t) (n - cuts[0])));
		for (int c = 0; c < 2; c++)
			while (cuts[c] > 0 && cuts[c] < n && all[cuts[c]].customer == all[cuts[c] - 1].customer)
				cuts[c]++;
		if (cuts[1] < cuts[0])
			cuts[1] = cuts[0];
		parts[0] = build(all, cuts[0], limit);
		parts[1] = build(all + cuts[0], cuts[1] - cuts[0], limit);
		parts[2] = build(all + cuts[1], n - cuts[1], limit);
		merged = parts[2];
		for (int p = 0; p < 2; p++)
		{
			uint32_t	level = merged->level > parts[p]->level ? merged->level : parts[p]->level;

			merged = moved(merged, parts[p]->pairs, parts[p]->gaps, level);
			if (!cxm_path_table_merge(merged, parts[p], NULL))
				failed++;
			merged = settled(merged);
			free(parts[p]);
		}
		levels[whole->level]++;
		rows = read(whole, &nrows);
		merged_rows = read(merged, &nmerged);
		same = nrows == nmerged && whole->level == merged->level && whole->gaps == merged->gaps;
		for (uint32_t i = 0; same && i < nrows; i++)
			same = rows[i].from == merged_rows[i].from && rows[i].to == merged_rows[i].to && rows[i].count == merged_rows[i].count &&
				rows[i].customers == merged_rows[i].customers && rows[i].mean == merged_rows[i].mean && rows[i].median == merged_rows[i].median;
		differ += !same;

		/* against the list: a median is off by no more than what the level drops */
		loss = whole->level == 0 ? 0 : UINT64_C(1) << (11 - 2 * whole->level);
		qsort(all, n, sizeof(Transition), compare_transitions);
		for (size_t i = 0; i < n;)
		{
			size_t		end = i;
			unsigned __int128 sum = 0;
			uint64_t	median;
			uint64_t	customers = 0;

			while (end < n && all[end].from == all[i].from && all[end].to == all[i].to)
				sum += all[end++].gap;
			median = all[i + (end - i - 1) / 2].gap + (all[i + (end - i) / 2].gap - all[i + (end - i - 1) / 2].gap) / 2;
			if (row >= nrows || rows[row].from != all[i].from || rows[row].to != all[i].to || rows[row].count != end - i ||
				rows[row].mean != (uint64_t) (sum / (end - i)))
			{
				wrong++;
				break;
			}
			if (loss == 0 ? rows[row].median != median :
				rows[row].median > median + median / loss + 1 || median > rows[row].median + median / loss + 1)
				far++;
			qsort(all + i, end - i, sizeof(Transition), compare_customers);
			for (size_t k = i; k < end; k++)
				customers += k == i || all[k].customer != all[k - 1].customer;
			wrong += rows[row].customers != customers;
			row++;
			i = end;
		}
		wrong += row != nrows;
		free(all);
		free(whole);
		free(merged);
		free(rows);
		free(merged_rows);
	}
	check(wrong == 0, "pairs, counts, customers and means are those of the list");
	check(far == 0, "medians are exact, or within what the level says");
	check(differ == 0, "any order of merging gives the same");
	check(levels[0] > 1000 && levels[1] + levels[2] + levels[3] + levels[4] + levels[5] > 100, "there are exact ones and others");
}

/* More of one gap than a place can count, by doubling: 2^34 of each of two, and one more of the shorter one */
static void
many_of_one_gap(void)
{
	static const PathTransition two[] = {{1, 2, 5}, {1, 2, 9}};
	PathTable  *table = new_table(8, 64, 1000, 0);
	PathTable  *other = new_table(8, 64, 1000, 0);
	PathRow    *rows;
	uint32_t	n;

	check(cxm_path_table_add(table, two, 2), "two transitions are added");
	for (int i = 0; i < 34; i++)
	{
		PathTable  *twice = new_table(8, 64, 1000, 0);

		check(cxm_path_table_merge(twice, table, NULL) && cxm_path_table_merge(twice, table, NULL), "a table is doubled");
		free(table);
		table = twice;
	}
	rows = read(table, &n);
	check(n == 1 && rows[0].count == UINT64_C(1) << 35 && rows[0].median == 7 && rows[0].mean == 7, "2^34 of each of two gaps");
	check(table->gaps == 10, "as few places as there can be");
	free(rows);

	/* the other way round: all at once into a table that has a few */
	check(cxm_path_table_add(other, two, 1) && cxm_path_table_merge(other, table, NULL), "and one more");
	rows = read(other, &n);
	check(n == 1 && rows[0].count == (UINT64_C(1) << 35) + 1 && rows[0].median == 5, "one more of the shorter one is the median");
	check(other->gaps == table->gaps, "in the same places");
	free(rows);
	free(other);
	free(table);
}

/* Bytes of a stranger: an end, and no read outside */
static void
damaged(void)
{
	Transition	some[40];

	for (int i = 0; i < 40; i++)
		some[i] = (Transition) {i / 4, (int32_t) next_random(4), (int32_t) next_random(4), next_random(1000)};
	for (int round = 0; round < 20000; round++)
	{
		PathTable  *table = build(some, 40, 1000);
		size_t		size = cxm_path_table_size(table->pair_places, table->gap_places);
		uint32_t	n;

		for (int i = 0; i < 4; i++)
			((uint8_t *) table)[next_random((uint32_t) size)] = (uint8_t) next_random(256);
		if (cxm_path_table_is_sound(table, size))
		{
			PathTable  *next = new_table(table->pair_places * 2, table->gap_places * 2, 1000, table->level);

			free(read(table, &n));
			(void) cxm_path_table_merge(next, table, NULL);
			for (int i = 0; i < 100; i++)
				(void) cxm_path_table_add(table, &(PathTransition) {i, i, (uint64_t) i}, 1);
			free(next);
		}
		free(table);
	}
	check(1, "damaged bytes end");
	{
		PathTable  *table = new_table(4, 4, 1000, 0);
		int			added = 0;

		for (int i = 0; i < 10; i++)
			added += cxm_path_table_add(table, &(PathTransition) {i, i, 1}, 1);
		check(added == 4, "a table without a place left says so");
		free(table);
	}
}

/*--------------------------------------------------------------------------------------------------------
 * Sessions and paths
 *--------------------------------------------------------------------------------------------------------
 */

/* A view over codes of a byte, and over times as offsets of 64 bits in microseconds */
static JourneyView
view_of(const uint8_t *codes, const uint64_t *offsets, size_t n)
{
	JourneyView view = {0};

	view.count = n;
	view.codes = codes;
	view.offsets = (const uint8_t *) offsets;
	view.usecs = 1;
	view.bits = 64;
	return view;
}

static void
sessions_and_paths(void)
{
	static const uint8_t codes[] = {1, 1, 2, 3, 3, 3, 1, 4};
	/* one word in front, since a reader loads the 8 bytes that end with an offset */
	static const uint64_t offsets[] = {0, 0, 10, 20, 31, 31, 50, 100, 110};
	JourneyView view = view_of(codes, offsets + 1, 8);
	JourneyView none = view_of(codes, offsets + 1, 0);
	size_t		path[8];

	check(cxm_path_count_sessions(&view, 10, NULL) == 4, "a new session after more than 10");
	check(cxm_path_count_sessions(&view, 11, NULL) == 3, "not after 11 of at most 11");
	check(cxm_path_count_sessions(&view, 0, NULL) == 7 && cxm_path_count_sessions(&view, UINT64_MAX, NULL) == 1, "none and all are one");
	check(cxm_path_count_sessions(&none, 10, NULL) == 0, "no event, no session");
	check(cxm_path_session_end(&view, 0, 10) == 3 && cxm_path_session_end(&view, 3, 10) == 5 && cxm_path_session_end(&view, 6, 10) == 8, "ends of sessions");

	check(cxm_path_walk(&view, 0, 8, 0, true, false, 4, path) == 4 && path[0] == 0 && path[3] == 3, "forward");
	check(cxm_path_walk(&view, 0, 8, 0, true, true, 8, path) == 5 && path[0] == 0 && path[1] == 2 && path[2] == 3 && path[3] == 6 && path[4] == 7, "forward, rows of one code as one");
	check(cxm_path_walk(&view, 2, 5, 2, true, false, 8, path) == 3 && path[2] == 4, "forward, within bounds");
	check(cxm_path_walk(&view, 0, 8, 7, false, false, 3, path) == 3 && path[0] == 7 && path[2] == 5, "backward");
	check(cxm_path_walk(&view, 0, 8, 7, false, true, 3, path) == 3 && path[0] == 7 && path[1] == 6 && path[2] == 3, "backward, a row of one code is its first event");
	check(cxm_path_walk(&view, 0, 8, 7, false, true, 8, path) == 5 && path[4] == 0, "backward to the first event");
	check(cxm_path_walk(&view, 4, 8, 7, false, true, 8, path) == 3 && path[2] == 4, "backward, within bounds");
}

int
main(void)
{
	transitions();
	many_of_one_gap();
	damaged();
	sessions_and_paths();
	return report();
}
