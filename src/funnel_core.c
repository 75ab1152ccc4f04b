/*
 * src/funnel_core.c
 *		How far does a journey come through a sequence of steps within a window of time?
 *
 * A chain of level k is an event of step 1, one of step 2, and so on up to step k, none earlier than the one before,
 * the last no later than "within" after the first. The level of a journey is that of its longest chain. What a
 * chain is restricted by, and which events are read at all, depends on the mode.
 *
 * Only one thing must be known about all chains of a level that end by now: the latest time that one begins at, for
 * whatever extends another chain extends that one. So one pass with a number a level finds the longest chain,
 * however many there are. Events of equal time are taken together: what they extend is looked up as it was before
 * them, and within them the steps are gone through in order, so that the order in which they come plays no role. Where
 * an event may serve one step only, what a group of simultaneous events can do is a matching of steps and events.
 *
 * Where an excluded event voids what was begun, chains do not suffice: attempts are followed, one for each time at
 * which step 1 is fulfilled. Attempts that are at the same level go on together, so each is put into a list once, lists
 * are joined, and the work is linear all the same.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "funnel_core.h"

#include <stdlib.h>
#include <string.h>

/* events between two calls of the caller's poll function */
#define POLL_EVERY		4096

/* arrays in one block of memory begin at addresses that suit every type */
#define ALIGNED(size)	(((size) + 7) & ~(size_t) 7)

/* no attempt */
#define NONE			UINT32_MAX

struct FunnelWork
{
	/* chains: the latest beginning of those that end by now, by level; and what is left of it after a cut */
	int64_t    *best;
	int64_t    *after_cut;
	int32_t    *cut_from;		/* levels whose chains are cut by the group; 0 for those that are not */

	/* the group at hand */
	size_t		size;			/* events */
	bool		has_other;		/* is there an event that fulfils no step? */
	size_t		nlist;			/* steps that it fulfils, ascending */
	int32_t    *list;
	int32_t    *lowest;			/* for each of them: the lowest level from which the group leads to it */
	int64_t    *candidate;		/* for each of them: the latest beginning of a chain that comes to it now */
	uint32_t   *events;			/* for each step: how many events fulfil it */
	size_t		nclasses;		/* classes that it has events of */
	uint32_t   *class;
	size_t		nexcluded;		/* exclusions that it has an event of */
	uint32_t   *excluded;
	bool	   *is_excluded;

	/* a matching of steps and events */
	uint32_t   *room;			/* for each class: events */
	uint32_t   *used;			/* for each class: events that are matched */
	uint32_t   *match;			/* for each step: its class, 0 for none */
	int32_t		match_lo;		/* where to look for steps that are matched */
	int32_t		match_hi;
	uint32_t	round;
	uint32_t   *class_round;	/* for each class: the search that last came to it */
	uint32_t   *step_round;
	int32_t    *class_via;		/* for each class: the step that led to it */
	uint32_t   *step_via;		/* for each step: the class that led to it */
	int32_t    *queue;

	/* strict: levels at which a chain may go on with the next event */
	size_t		nopen;
	int32_t    *open;
	int32_t    *open_next;
	int64_t    *open_first;

	/* attempts, in lists by level, earlier ones first */
	int64_t    *attempt_first;
	uint32_t   *attempt_next;
	uint32_t   *head;
	uint32_t   *tail;

	/* cut: the times of a chain for each level, one beginning only */
	int64_t    *rows;
	bool	   *alive;

	FunnelPoll	poll;
	size_t		polled;
};

/* The answer of a search: of the longest chains the one that ends first, of those the one that begins last */
typedef struct Found
{
	int			level;
	int64_t		first;
	int64_t		last;
} Found;

/*--------------------------------------------------------------------------------------------------------
 * Modes
 *--------------------------------------------------------------------------------------------------------
 */

static const struct
{
	const char *name;
	unsigned	bit;
}			words[] =
{
	{"default", 0},
	{"strict_deduplication", FUNNEL_STRICT_DEDUPLICATION},
	{"strict_order", FUNNEL_STRICT_ORDER},
	{"allow_reentry", FUNNEL_ALLOW_REENTRY},
	{"strict_increase", FUNNEL_STRICT_INCREASE},
	{"strict_once", FUNNEL_STRICT_ONCE},
	{"strict", FUNNEL_STRICT},
	{"any_order", FUNNEL_ANY_ORDER},
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Words with commas between them. "word" is set to the one that is not known, or that does not go with the others.
 */
FunnelStatus
cxm_funnel_parse_mode(const char *text, size_t length, unsigned *mode, const char **word, size_t *word_length)
{
	const char *end = text + length;
	size_t		given = 0;

	*mode = 0;
	for (;;)
	{
		const char *stop;
		size_t		i;

		while (text < end && is_space(*text))
			text++;
		stop = text;
		while (stop < end && *stop != ',')
			stop++;
		*word = text;
		*word_length = (size_t) (stop - text);
		while (*word_length > 0 && is_space(text[*word_length - 1]))
			(*word_length)--;
		for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (*word_length == strlen(words[i].name) && memcmp(*word, words[i].name, *word_length) == 0)
				break;
		if (i == sizeof(words) / sizeof(words[0]))
			return FUNNEL_UNKNOWN_WORD;
		*mode |= words[i].bit;
		given++;
		/* these two are whole modes */
		if ((*mode & (FUNNEL_STRICT | FUNNEL_ANY_ORDER)) != 0 && given > 1)
			return FUNNEL_WORDS_CLASH;
		if (stop == end)
			break;
		text = stop + 1;
	}
	if ((*mode & FUNNEL_ALLOW_REENTRY) != 0 && (*mode & FUNNEL_STRICT_ORDER) == 0)
	{
		*word = "allow_reentry";
		*word_length = strlen(*word);
		return FUNNEL_WORDS_CLASH;
	}
	return FUNNEL_OK;
}

/*--------------------------------------------------------------------------------------------------------
 * Plans
 *--------------------------------------------------------------------------------------------------------
 */

/* Memory that is given out in pieces; without a base it is only counted */
typedef struct Block
{
	char	   *base;
	size_t		used;
} Block;

static void *
take(Block *block, size_t size)
{
	void	   *piece = block->base == NULL ? NULL : block->base + block->used;

	block->used += ALIGNED(size);
	return piece;
}

/* log2 of the places in the table of codes: at most half of them are taken */
static uint32_t
hash_bits(size_t codes)
{
	uint32_t	bits = 1;

	while (((size_t) 1 << bits) < 2 * codes)
		bits++;
	return bits;
}

static size_t
count_all(int n, const uint32_t *counts)
{
	size_t		all = 0;

	for (int i = 0; i < n; i++)
		all += counts[i];
	return all;
}

/* What the lists of a plan take */
static size_t
lists_size(int nsteps, int nexclusions, size_t nclasses, size_t nentries, size_t nexcluded)
{
	return ALIGNED(sizeof(FunnelPlan)) +
		2 * ALIGNED((nclasses + 2) * sizeof(uint32_t)) +
		ALIGNED(((size_t) nsteps + 2) * sizeof(uint32_t)) +
		2 * ALIGNED((nentries + 1) * sizeof(uint32_t)) +
		ALIGNED((nexcluded + 1) * sizeof(uint32_t)) +
		2 * ALIGNED(((size_t) nexclusions + 1) * sizeof(int32_t));
}

static FunnelPlan *
plan_init(Block *memory, unsigned mode, int64_t within, int nsteps, int nexclusions, bool cut,
		  size_t nclasses, size_t nentries, size_t nexcluded)
{
	FunnelPlan *plan = take(memory, sizeof(FunnelPlan));

	memset(plan, 0, sizeof(FunnelPlan));
	plan->mode = mode;
	plan->nsteps = nsteps;
	plan->within = within;
	plan->nexclusions = nexclusions;
	plan->cut = cut;
	plan->step_start = take(memory, (nclasses + 2) * sizeof(uint32_t));
	plan->excluded_start = take(memory, (nclasses + 2) * sizeof(uint32_t));
	plan->class_start = take(memory, ((size_t) nsteps + 2) * sizeof(uint32_t));
	plan->step = take(memory, (nentries + 1) * sizeof(int32_t));
	plan->class_of = take(memory, (nentries + 1) * sizeof(uint32_t));
	plan->excluded = take(memory, (nexcluded + 1) * sizeof(uint32_t));
	plan->from = take(memory, ((size_t) nexclusions + 1) * sizeof(int32_t));
	plan->to = take(memory, ((size_t) nexclusions + 1) * sizeof(int32_t));
	memset(plan->step_start, 0, (nclasses + 2) * sizeof(uint32_t));
	memset(plan->excluded_start, 0, (nclasses + 2) * sizeof(uint32_t));
	memset(plan->class_start, 0, ((size_t) nsteps + 2) * sizeof(uint32_t));
	return plan;
}

/* From the steps of each class to the classes of each step, and whether the plan is a plain one */
static void
plan_finish(FunnelPlan *plan)
{
	uint32_t   *start = plan->class_start;
	bool		one_step = true;

	for (uint32_t c = 1; c <= plan->nclasses; c++)
	{
		for (uint32_t i = plan->step_start[c]; i < plan->step_start[c + 1]; i++)
			start[plan->step[i]]++;
		if (plan->step_start[c + 1] - plan->step_start[c] != 1)
			one_step = false;
	}
	/* ends first, which become beginnings as they are filled from behind */
	for (int s = 1; s <= plan->nsteps; s++)
		start[s] += start[s - 1];
	start[plan->nsteps + 1] = start[plan->nsteps];
	for (uint32_t c = plan->nclasses; c >= 1; c--)
		for (uint32_t i = plan->step_start[c + 1]; i-- > plan->step_start[c];)
			plan->class_of[--start[plan->step[i]]] = c;

	/* an event that fulfils one step cannot serve two */
	plan->is_plain = one_step && plan->nexclusions == 0 &&
		(plan->mode & ~(unsigned) (FUNNEL_STRICT_INCREASE | FUNNEL_STRICT_ONCE)) == 0;
	if (plan->is_plain)
		for (int i = 0; i < FUNNEL_LOW_CODES; i++)
			plan->low_step[i] = plan->low[i] == 0 ? 0 : plan->step[plan->step_start[plan->low[i]]];
}

static int
compare_codes(const void *a, const void *b)
{
	int32_t		x = *(const int32_t *) a;
	int32_t		y = *(const int32_t *) b;

	return (x > y) - (x < y);
}

static int
compare_pairs(const void *a, const void *b)
{
	uint64_t	x = *(const uint64_t *) a;
	uint64_t	y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

size_t
cxm_funnel_plan_size(int nsteps, const uint32_t *ncodes, int nexclusions, const uint32_t *nexcluded)
{
	size_t		entries = count_all(nsteps, ncodes);
	size_t		excluded = count_all(nexclusions, nexcluded);

	return lists_size(nsteps, nexclusions, entries + excluded, entries, excluded) +
		2 * ALIGNED(sizeof(uint32_t) << hash_bits(entries + excluded)) +
	/* while the plan is made: the codes, and the pairs of class and list */
		ALIGNED((entries + excluded + 1) * sizeof(int32_t)) +
		ALIGNED((entries + excluded + 1) * sizeof(uint64_t));
}

/* The lists of numbers, from 1, that the codes of each class stand in */
static uint32_t
fill_lists(const FunnelPlan *plan, int nlists, const int32_t *const *codes, const uint32_t *ncodes, uint64_t *pairs,
		   uint32_t *start, uint32_t *numbers)
{
	size_t		npairs = 0;
	uint32_t	n = 0;
	uint32_t	class = 0;

	for (int i = 0; i < nlists; i++)
		for (uint32_t j = 0; j < ncodes[i]; j++)
			pairs[npairs++] = (uint64_t) funnel_class(plan, codes[i][j]) << 32 | (uint32_t) (i + 1);
	if (npairs > 1)
		qsort(pairs, npairs, sizeof(uint64_t), compare_pairs);
	for (size_t i = 0; i < npairs; i++)
	{
		/* a code that a list names twice counts once */
		if (i > 0 && pairs[i] == pairs[i - 1])
			continue;
		while (class < (uint32_t) (pairs[i] >> 32))
			start[++class] = n;
		numbers[n++] = (uint32_t) pairs[i];
	}
	while (class < plan->nclasses + 1)
		start[++class] = n;
	return n;
}

/*
 * A plan for events that are codes. Step i, from 0, is fulfilled by any of ncodes[i] codes; exclusion x concerns
 * nexcluded[x] codes on the way from step from[x] to step to[x], counted from 1. memory has cxm_funnel_plan_size()
 * bytes.
 */
FunnelPlan *
cxm_funnel_plan_codes(void *memory, unsigned mode, int64_t within, int nsteps, const int32_t *const *codes,
					  const uint32_t *ncodes, int nexclusions, const int32_t *const *excluded,
					  const uint32_t *nexcluded, const int32_t *from, const int32_t *to, bool cut)
{
	Block		block = {memory, 0};
	size_t		entries = count_all(nsteps, ncodes);
	size_t		outside = count_all(nexclusions, nexcluded);
	uint32_t	bits = hash_bits(entries + outside);
	FunnelPlan *plan = plan_init(&block, mode, within, nsteps, nexclusions, cut, entries + outside, entries, outside);
	int32_t    *sorted;
	uint64_t   *pairs;
	size_t		n = 0;

	plan->hash_shift = 32 - bits;
	plan->hash_mask = ((uint32_t) 1 << bits) - 1;
	plan->hash_code = take(&block, sizeof(int32_t) << bits);
	plan->hash_class = take(&block, sizeof(uint32_t) << bits);
	memset(plan->hash_class, 0, sizeof(uint32_t) << bits);
	sorted = take(&block, (entries + outside + 1) * sizeof(int32_t));
	pairs = take(&block, (entries + outside + 1) * sizeof(uint64_t));

	for (int i = 0; i < nsteps; i++)
		for (uint32_t j = 0; j < ncodes[i]; j++)
			sorted[n++] = codes[i][j];
	for (int x = 0; x < nexclusions; x++)
		for (uint32_t j = 0; j < nexcluded[x]; j++)
			sorted[n++] = excluded[x][j];
	if (n > 1)
		qsort(sorted, n, sizeof(int32_t), compare_codes);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || sorted[i] != sorted[i - 1])
		{
			uint32_t	place = ((uint32_t) sorted[i] * UINT32_C(2654435769)) >> plan->hash_shift;

			while (plan->hash_class[place] != 0)
				place = (place + 1) & plan->hash_mask;
			plan->hash_code[place] = sorted[i];
			plan->hash_class[place] = ++plan->nclasses;
			if ((uint32_t) sorted[i] < FUNNEL_LOW_CODES)
				plan->low[sorted[i]] = plan->nclasses;
		}

	fill_lists(plan, nsteps, codes, ncodes, pairs, plan->step_start, (uint32_t *) plan->step);
	n = fill_lists(plan, nexclusions, excluded, nexcluded, pairs, plan->excluded_start, plan->excluded);
	for (size_t i = 0; i < n; i++)
		plan->excluded[i]--;
	for (int x = 0; x < nexclusions; x++)
	{
		plan->from[x] = from[x];
		plan->to[x] = to[x];
	}
	plan_finish(plan);
	return plan;
}

/* Conditions that hold, in all masks */
static size_t
count_conditions(size_t nmasks, const uint8_t *masks, size_t mask_size)
{
	size_t		all = 0;

	for (size_t i = 0; i < nmasks * mask_size; i++)
		all += (size_t) __builtin_popcount(masks[i]);
	return all;
}

size_t
cxm_funnel_plan_rows_size(int nsteps, size_t nmasks, const uint8_t *masks, size_t mask_size)
{
	return lists_size(nsteps, 0, nmasks, count_conditions(nmasks, masks, mask_size), 0);
}

/*
 * A plan for events that are rows of conditions: class i + 1 is that of rows with the bits masks[i * mask_size ...],
 * bit 0 for step 1. memory has cxm_funnel_plan_rows_size() bytes.
 */
FunnelPlan *
cxm_funnel_plan_rows(void *memory, unsigned mode, int64_t within, int nsteps, size_t nmasks, const uint8_t *masks,
					 size_t mask_size)
{
	Block		block = {memory, 0};
	FunnelPlan *plan = plan_init(&block, mode, within, nsteps, 0, false, nmasks,
								 count_conditions(nmasks, masks, mask_size), 0);
	uint32_t	n = 0;

	plan->nclasses = (uint32_t) nmasks;
	for (uint32_t c = 1; c <= plan->nclasses; c++)
	{
		const uint8_t *mask = masks + (c - 1) * mask_size;

		plan->step_start[c] = n;
		for (int s = 1; s <= nsteps; s++)
			if ((mask[(s - 1) / 8] >> ((s - 1) % 8) & 1) != 0)
				plan->step[n++] = s;
	}
	plan->step_start[plan->nclasses + 1] = n;
	plan_finish(plan);
	/* rows have no codes */
	plan->is_plain = false;
	return plan;
}

/*--------------------------------------------------------------------------------------------------------
 * Memory of a search
 *--------------------------------------------------------------------------------------------------------
 */

/* Does a search follow attempts? */
static bool
has_attempts(const FunnelPlan *plan)
{
	return plan->nexclusions > 0 && !plan->cut && (plan->mode & FUNNEL_ANY_ORDER) == 0;
}

/* Does a search for times keep a chain for each level? */
static bool
has_rows(const FunnelPlan *plan)
{
	return plan->nexclusions > 0 && plan->cut && (plan->mode & FUNNEL_ANY_ORDER) == 0;
}

static FunnelWork *
lay_out(Block *block, const FunnelPlan *plan, size_t count, bool times)
{
	size_t		steps = (size_t) plan->nsteps + 2;
	size_t		classes = (size_t) plan->nclasses + 2;
	size_t		attempts = has_attempts(plan) ? count : 0;
	size_t		rows = times && has_rows(plan) ? steps * steps : 0;
	FunnelWork *work = take(block, sizeof(FunnelWork));
	FunnelWork	w;

	memset(&w, 0, sizeof(w));
	w.best = take(block, steps * sizeof(int64_t));
	w.after_cut = take(block, steps * sizeof(int64_t));
	w.cut_from = take(block, steps * sizeof(int32_t));
	w.list = take(block, steps * sizeof(int32_t));
	w.lowest = take(block, steps * sizeof(int32_t));
	w.candidate = take(block, steps * sizeof(int64_t));
	w.events = take(block, steps * sizeof(uint32_t));
	w.class = take(block, classes * sizeof(uint32_t));
	w.excluded = take(block, ((size_t) plan->nexclusions + 1) * sizeof(uint32_t));
	w.is_excluded = take(block, ((size_t) plan->nexclusions + 1) * sizeof(bool));
	w.room = take(block, classes * sizeof(uint32_t));
	w.used = take(block, classes * sizeof(uint32_t));
	w.match = take(block, steps * sizeof(uint32_t));
	w.class_round = take(block, classes * sizeof(uint32_t));
	w.step_round = take(block, steps * sizeof(uint32_t));
	w.class_via = take(block, classes * sizeof(int32_t));
	w.step_via = take(block, steps * sizeof(uint32_t));
	w.queue = take(block, (steps + classes) * sizeof(int32_t));
	w.open = take(block, steps * sizeof(int32_t));
	w.open_next = take(block, steps * sizeof(int32_t));
	w.open_first = take(block, steps * sizeof(int64_t));
	w.attempt_first = take(block, (attempts + 1) * sizeof(int64_t));
	w.attempt_next = take(block, (attempts + 1) * sizeof(uint32_t));
	w.head = take(block, steps * sizeof(uint32_t));
	w.tail = take(block, steps * sizeof(uint32_t));
	w.rows = take(block, (rows + 1) * sizeof(int64_t));
	w.alive = take(block, steps * sizeof(bool));
	if (work != NULL)
	{
		memset(w.events, 0, steps * sizeof(uint32_t));
		memset(w.is_excluded, 0, ((size_t) plan->nexclusions + 1) * sizeof(bool));
		memset(w.room, 0, classes * sizeof(uint32_t));
		memset(w.used, 0, classes * sizeof(uint32_t));
		memset(w.match, 0, steps * sizeof(uint32_t));
		memset(w.class_round, 0, classes * sizeof(uint32_t));
		memset(w.step_round, 0, steps * sizeof(uint32_t));
		*work = w;
	}
	return work;
}

/* Bytes that a search of so many events needs, for a level or also for times */
size_t
cxm_funnel_work_size(const FunnelPlan *plan, size_t count, bool times)
{
	Block		block = {NULL, 0};

	lay_out(&block, plan, count, times);
	return block.used;
}

/* Memory of that size, made ready; it serves any number of searches of up to that many events */
FunnelWork *
cxm_funnel_work(void *memory, const FunnelPlan *plan, size_t count, bool times)
{
	Block		block = {memory, 0};

	return lay_out(&block, plan, count, times);
}

/*--------------------------------------------------------------------------------------------------------
 * Matching steps and events
 *
 * A class has room for as many steps as there are events of it. Steps are matched one by one, by the shortest path of
 * changes; so whatever is matched is a largest matching of the steps that were asked for.
 *--------------------------------------------------------------------------------------------------------
 */

/* So much was done that an interrupt may be due */
static void
poll_now_and_then(FunnelWork *w, size_t events)
{
	w->polled += events;
	if (w->polled >= POLL_EVERY)
	{
		w->polled = 0;
		w->poll();
	}
}

/* No searches by a number that was used already */
static void
next_round(const FunnelPlan *plan, FunnelWork *w)
{
	if (++w->round == 0)
	{
		memset(w->class_round, 0, ((size_t) plan->nclasses + 2) * sizeof(uint32_t));
		memset(w->step_round, 0, ((size_t) plan->nsteps + 2) * sizeof(uint32_t));
		w->round = 1;
	}
}

/* Match a step, if need be by matching others anew */
static bool
match_step(const FunnelPlan *plan, FunnelWork *w, int32_t step)
{
	size_t		done = 0;
	size_t		queued = 0;

	next_round(plan, w);
	w->queue[queued++] = step;
	while (done < queued)
	{
		int32_t		s = w->queue[done++];

		for (uint32_t i = plan->class_start[s]; i < plan->class_start[s + 1]; i++)
		{
			uint32_t	c = plan->class_of[i];

			if (w->room[c] == 0 || w->class_round[c] == w->round)
				continue;
			w->class_round[c] = w->round;
			w->class_via[c] = s;
			if (w->used[c] < w->room[c])
			{
				w->used[c]++;
				for (;;)
				{
					uint32_t	before;

					s = w->class_via[c];
					before = w->match[s];
					w->match[s] = c;
					if (s == step)
						return true;
					c = before;
				}
			}
			poll_now_and_then(w, (size_t) (w->match_hi - w->match_lo) / 16);
			for (int32_t other = w->match_lo; other <= w->match_hi; other++)
				if (w->match[other] == c)
					w->queue[queued++] = other;
		}
	}
	return false;
}

static void
unmatch_step(FunnelWork *w, int32_t step)
{
	if (w->match[step] != 0)
	{
		w->used[w->match[step]]--;
		w->match[step] = 0;
	}
}

/* One more event of a class: does it let one more step be matched? */
static bool
match_event(const FunnelPlan *plan, FunnelWork *w, uint32_t class)
{
	size_t		done = 0;
	size_t		queued = 0;

	w->room[class]++;
	next_round(plan, w);
	w->queue[queued++] = (int32_t) class;
	w->class_round[class] = w->round;
	while (done < queued)
	{
		uint32_t	c = (uint32_t) w->queue[done++];

		for (uint32_t i = plan->step_start[c]; i < plan->step_start[c + 1]; i++)
		{
			int32_t		s = plan->step[i];
			uint32_t	of = w->match[s];

			if (w->step_round[s] == w->round)
				continue;
			w->step_round[s] = w->round;
			w->step_via[s] = c;
			if (of == 0)
			{
				for (;;)
				{
					c = w->step_via[s];
					w->match[s] = c;
					if (c == class)
						break;
					s = w->class_via[c];
				}
				w->used[class]++;
				return true;
			}
			if (w->class_round[of] != w->round)
			{
				w->class_round[of] = w->round;
				w->class_via[of] = s;
				w->queue[queued++] = (int32_t) of;
			}
		}
	}
	return false;
}

/* One event of a class less: is there one matched step less? */
static bool
unmatch_event(const FunnelPlan *plan, FunnelWork *w, uint32_t class)
{
	w->room[class]--;
	if (w->used[class] <= w->room[class])
		return false;
	for (uint32_t i = plan->step_start[class];; i++)
	{
		int32_t		s = plan->step[i];

		if (w->match[s] == class)
		{
			unmatch_step(w, s);
			return !match_step(plan, w, s);
		}
	}
}

/*--------------------------------------------------------------------------------------------------------
 * Groups of simultaneous events
 *--------------------------------------------------------------------------------------------------------
 */

static int
compare_steps(const void *a, const void *b)
{
	int32_t		x = *(const int32_t *) a;
	int32_t		y = *(const int32_t *) b;

	return (x > y) - (x < y);
}

/*
 * From which levels does the group lead on? To step l it leads from all levels from lowest[] to l - 1: an event for
 * each step between is in the group. Where every step needs an event of its own, the steps are matched with events, as
 * far down as that goes; what can be matched from one level can be from all above it.
 */
static void
find_lowest(const FunnelPlan *plan, FunnelWork *w)
{
	bool		own_event = (plan->mode & (FUNNEL_STRICT_ONCE | FUNNEL_STRICT)) != 0;

	if ((plan->mode & FUNNEL_STRICT_INCREASE) != 0 || (own_event && w->size == 1))
	{
		for (size_t i = 0; i < w->nlist; i++)
			w->lowest[i] = w->list[i] - 1;
		return;
	}
	if (!own_event)
	{
		for (size_t i = 0; i < w->nlist; i++)
			w->lowest[i] = i > 0 && w->list[i - 1] == w->list[i] - 1 ? w->lowest[i - 1] : w->list[i] - 1;
		return;
	}
	w->match_lo = 1;
	w->match_hi = 0;
	for (size_t i = 0; i < w->nlist; i++)
	{
		int32_t		step = w->list[i];

		if (i == 0 || w->list[i - 1] != step - 1)
		{
			while (w->match_lo <= w->match_hi)
				unmatch_step(w, w->match_lo++);
			w->match_lo = step;
		}
		w->match_hi = step;
		while (!match_step(plan, w, step))
			unmatch_step(w, w->match_lo++);
		w->lowest[i] = w->match_lo - 1;
	}
	while (w->match_lo <= w->match_hi)
		unmatch_step(w, w->match_lo++);
}

/* Look at the events from i on that have one time; returns where the next time begins */
static size_t
read_group(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class, size_t i)
{
	size_t		begin = i;

	w->nlist = 0;
	w->nclasses = 0;
	w->nexcluded = 0;
	w->has_other = false;
	do
	{
		uint32_t	c = class[i];

		if (plan->step_start[c] == plan->step_start[c + 1])
			w->has_other = true;
		if (c != 0 && w->room[c]++ == 0)
			w->class[w->nclasses++] = c;
		i++;
	} while (i < count && at[i] == at[begin]);
	w->size = i - begin;

	for (size_t j = 0; j < w->nclasses; j++)
	{
		uint32_t	c = w->class[j];

		for (uint32_t k = plan->step_start[c]; k < plan->step_start[c + 1]; k++)
		{
			int32_t		step = plan->step[k];

			if (w->events[step] == 0)
				w->list[w->nlist++] = step;
			w->events[step] += w->room[c];
		}
		for (uint32_t k = plan->excluded_start[c]; k < plan->excluded_start[c + 1]; k++)
		{
			uint32_t	x = plan->excluded[k];

			if (!w->is_excluded[x])
			{
				w->is_excluded[x] = true;
				w->excluded[w->nexcluded++] = x;
			}
		}
	}
	/* the steps of one class are in order */
	if (w->nclasses > 1 && w->nlist > 1)
		qsort(w->list, w->nlist, sizeof(int32_t), compare_steps);
	find_lowest(plan, w);
	poll_now_and_then(w, w->size);
	return i;
}

/* Nothing of the group stays in the memory */
static void
leave_group(FunnelWork *w)
{
	for (size_t i = 0; i < w->nclasses; i++)
		w->room[w->class[i]] = 0;
	for (size_t i = 0; i < w->nlist; i++)
		w->events[w->list[i]] = 0;
	for (size_t i = 0; i < w->nexcluded; i++)
		w->is_excluded[w->excluded[i]] = false;
}

/* The highest level that the group leads to from this one, using no step above the limit */
static int32_t
advance(const FunnelWork *w, int32_t level, int32_t limit)
{
	size_t		lo = 0;
	size_t		n = w->nlist;
	int32_t		reached = level;

	/* where are the steps above the level? */
	while (n > 0)
	{
		size_t		half = n / 2;

		if (w->list[lo + half] <= level)
		{
			lo += half + 1;
			n -= half + 1;
		}
		else
			n = half;
	}
	for (; lo < w->nlist && w->list[lo] == reached + 1 && w->list[lo] <= limit && w->lowest[lo] <= level; lo++)
		reached++;
	return reached;
}

/* The earliest time from which an event is within the window of this one */
static int64_t
window_start(const FunnelPlan *plan, int64_t at)
{
	int64_t		start;

	/* no event has the lowest number, so that is never a beginning */
	if (__builtin_sub_overflow(at, plan->within, &start) || start == FUNNEL_NEVER)
		start = FUNNEL_NEVER + 1;
	return start;
}

/*--------------------------------------------------------------------------------------------------------
 * Chains
 *--------------------------------------------------------------------------------------------------------
 */

/* How far events are read: all before the group that begins here, and of that the steps up to a limit */
typedef struct Limit
{
	size_t		group;
	int32_t		step;
} Limit;

/* The latest beginning of a chain that the group takes from one of the levels lo to hi */
static int64_t
latest_beginning(const FunnelWork *w, int32_t lo, int32_t hi, int64_t start, int64_t at)
{
	int64_t		latest = FUNNEL_NEVER;

	if (lo > hi)
		return FUNNEL_NEVER;
	if (lo == 0)
		return at;
	for (int32_t k = hi; k >= lo; k--)
		if (w->best[k] >= start && w->best[k] > latest)
			latest = w->best[k];
	return latest;
}

/*
 * The chains that an excluded event of the group ends: those with step from[] behind them and step to[] before them,
 * but for those that come to step from[] in the group itself.
 */
static bool
find_cuts(const FunnelPlan *plan, FunnelWork *w)
{
	if (w->nexcluded == 0)
		return false;
	memset(w->cut_from, 0, ((size_t) plan->nsteps + 1) * sizeof(int32_t));
	for (size_t i = 0; i < w->nexcluded; i++)
	{
		uint32_t	x = w->excluded[i];

		for (int32_t level = plan->from[x]; level < plan->to[x]; level++)
			if (w->cut_from[level] == 0 || plan->from[x] < w->cut_from[level])
				w->cut_from[level] = plan->from[x];
	}
	return true;
}

/*
 * The longest chain of all that is read; "limit" is set to where reading ends. With "upto", events after that time do
 * not count, and nothing else ends the search: best[] is what is wanted.
 */
static Found
find_chain(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class, bool cut,
		   const int64_t *upto, Limit *limit)
{
	bool		deduplicates = (plan->mode & FUNNEL_STRICT_DEDUPLICATION) != 0;
	bool		in_order = (plan->mode & FUNNEL_STRICT_ORDER) != 0;
	bool		reenters = (plan->mode & FUNNEL_ALLOW_REENTRY) != 0;
	bool		by_levels = (plan->mode & (FUNNEL_STRICT_ONCE | FUNNEL_STRICT_INCREASE)) != 0;
	bool		entered = false;
	Found		found = {0, FUNNEL_NEVER, FUNNEL_NEVER};
	size_t		next;

	for (int32_t level = 0; level <= plan->nsteps; level++)
		w->best[level] = FUNNEL_NEVER;
	limit->group = count;
	limit->step = plan->nsteps;

	for (size_t i = 0; i < count; i = next)
	{
		int64_t		now = at[i];
		int64_t		start = window_start(plan, now);
		bool		cuts = false;
		bool		stops = false;

		if (upto != NULL && now > *upto)
			break;
		next = read_group(plan, w, count, at, class, i);
		if (in_order && entered && w->has_other)
		{
			limit->step = 0;
			stops = true;
		}

		/* what the group does to the chains before it, before any of them is changed */
		for (size_t j = 0; j < w->nlist && !stops; j++)
		{
			int32_t		step = w->list[j];

			if (by_levels)
				w->candidate[j] = latest_beginning(w, w->lowest[j], step - 1, start, now);
			else
			{
				w->candidate[j] = latest_beginning(w, step - 1, step - 1, start, now);
				if (w->lowest[j] < step - 1 && w->candidate[j - 1] > w->candidate[j])
					w->candidate[j] = w->candidate[j - 1];
			}
		}
		if (cut && !stops && find_cuts(plan, w))
		{
			size_t		j = 0;

			cuts = true;
			for (int32_t level = 1; level < plan->nsteps; level++)
			{
				w->after_cut[level] = FUNNEL_NEVER;
				while (j < w->nlist && w->list[j] < level)
					j++;
				if (w->cut_from[level] != 0 && j < w->nlist && w->list[j] == level)
					w->after_cut[level] = latest_beginning(w, w->lowest[j], w->cut_from[level] - 1, start, now);
			}
		}

		/* step by step, for a step may be what ends reading */
		for (size_t j = 0; j < w->nlist && !stops; j++)
		{
			int32_t		step = w->list[j];

			if (step == 1 ? in_order && !reenters && found.level >= 2 :
				(deduplicates && found.level >= step) || (in_order && entered && found.level < step - 1))
			{
				limit->step = step - 1;
				stops = true;
				break;
			}
			if (step == 1)
				entered = true;
			if (w->candidate[j] != FUNNEL_NEVER)
			{
				if (w->candidate[j] > w->best[step])
					w->best[step] = w->candidate[j];
				if (step > found.level)
				{
					found.level = step;
					found.first = w->candidate[j];
					found.last = now;
				}
			}
			/* of several events that fulfil the step now, all but one repeat it */
			if (deduplicates && step > 1 && w->events[step] > 1 && found.level >= step)
			{
				limit->step = step;
				stops = true;
			}
		}
		if (cuts)
			for (int32_t level = 1; level < plan->nsteps; level++)
				if (w->cut_from[level] != 0)
					w->best[level] = w->after_cut[level];
		leave_group(w);
		if (stops)
		{
			limit->group = i;
			break;
		}
	}
	return found;
}

/* The first event that is not before a time */
static size_t
find_time(size_t count, const int64_t *at, int64_t time)
{
	size_t		lo = 0;

	while (count > 0)
	{
		size_t		half = count / 2;

		if (at[lo + half] < time)
		{
			lo += half + 1;
			count -= half + 1;
		}
		else
			count = half;
	}
	return lo;
}

/* The times of a chain that begins at a time and takes each step as early as it can */
static void
follow(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class, Found found,
	   int64_t *times)
{
	int32_t		level = 0;
	size_t		next;

	for (size_t i = find_time(count, at, found.first); i < count && level < found.level; i = next)
	{
		int32_t		reached;

		next = read_group(plan, w, count, at, class, i);
		reached = advance(w, level, found.level);
		while (level < reached)
			times[level++] = at[i];
		leave_group(w);
	}
}

/* Is the way to a level by this base earlier than the way by the other? */
static bool
is_earlier(const FunnelPlan *plan, const FunnelWork *w, int32_t base, int32_t other, int64_t now)
{
	const int64_t *a = w->rows + (size_t) base * (size_t) plan->nsteps;
	const int64_t *b = w->rows + (size_t) other * (size_t) plan->nsteps;

	for (int32_t i = 0; i < base || i < other; i++)
	{
		int64_t		x = i < base ? a[i] : now;
		int64_t		y = i < other ? b[i] : now;

		if (x != y)
			return x < y;
	}
	return false;
}

/* The same where excluded events end chains: a chain for each level is kept, the earliest that is not ended */
static void
follow_uncut(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class, Found found,
			 int64_t *times)
{
	bool		begun = false;
	bool		done = false;
	size_t		next;

	memset(w->alive, 0, ((size_t) plan->nsteps + 1) * sizeof(bool));
	w->alive[0] = true;
	for (size_t i = find_time(count, at, found.first); i < count && !done; i = next)
	{
		int64_t		now = at[i];
		bool		cuts;

		next = read_group(plan, w, count, at, class, i);
		cuts = find_cuts(plan, w);

		/* downwards, so that the levels below are as they were before the group */
		for (size_t j = w->nlist; j-- > 0 && !done;)
		{
			int32_t		step = w->list[j];
			int32_t		highest = step - 1;
			int32_t		base = -1;
			int64_t    *row = w->rows + (size_t) step * (size_t) plan->nsteps;
			bool		is_last = step == found.level && now == found.last;

			if (cuts && w->cut_from[step] != 0 && !is_last)
			{
				w->alive[step] = false;
				if (w->cut_from[step] - 1 < highest)
					highest = w->cut_from[step] - 1;
			}
			if (w->alive[step])
				continue;
			for (int32_t k = w->lowest[j]; k <= highest; k++)
				if (w->alive[k] && (k > 0 || !begun) && (base < 0 || is_earlier(plan, w, k, base, now)))
					base = k;
			if (base < 0)
				continue;
			memcpy(row, w->rows + (size_t) base * (size_t) plan->nsteps, (size_t) base * sizeof(int64_t));
			for (int32_t k = base; k < step; k++)
				row[k] = now;
			w->alive[step] = true;
			done = is_last;
		}
		if (cuts)
			for (int32_t level = 1; level < plan->nsteps; level++)
				if (w->cut_from[level] != 0 && w->events[level] == 0)
					w->alive[level] = false;
		begun = true;
		leave_group(w);
	}
	memcpy(times, w->rows + (size_t) found.level * (size_t) plan->nsteps, (size_t) found.level * sizeof(int64_t));
}

/*--------------------------------------------------------------------------------------------------------
 * Attempts
 *--------------------------------------------------------------------------------------------------------
 */

/* What is looked for among attempts that are not void: the first of the highest level, or the last of a given one */
typedef struct Wanted
{
	int32_t		level;			/* 0: the highest */
	int64_t		upto;			/* of a given level: beginnings after it do not count */
	Found		found;
} Wanted;

static void
end_attempt(const FunnelWork *w, Wanted *wanted, uint32_t attempt, int32_t level)
{
	int64_t		first = w->attempt_first[attempt];

	if (wanted->level == 0 ? level > wanted->found.level :
		level == wanted->level && first <= wanted->upto && first > wanted->found.first)
	{
		wanted->found.level = level;
		wanted->found.first = first;
	}
}

static void
end_attempts(FunnelWork *w, Wanted *wanted, int32_t level)
{
	for (uint32_t attempt = w->head[level]; attempt != NONE; attempt = w->attempt_next[attempt])
		end_attempt(w, wanted, attempt, level);
	w->head[level] = NONE;
}

/*
 * An attempt begins wherever step 1 is fulfilled, and takes each step as early as it can. An earlier one is never at a
 * lower level than a later one, so lists by level hold all attempts in order, and those whose windows end are at the
 * beginning.
 */
static void
find_attempt(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class, Limit limit,
			 Wanted *wanted)
{
	int32_t		n = plan->nsteps;
	uint32_t	nattempts = 0;
	int32_t		top = 0;
	size_t		next;

	for (int32_t level = 0; level <= n; level++)
		w->head[level] = NONE;
	for (size_t i = 0; i < count && i <= limit.group; i = next)
	{
		int64_t		now = at[i];
		int64_t		start = window_start(plan, now);
		int32_t		highest = i == limit.group ? limit.step : n;
		int32_t		new_top = 0;

		/* windows that have ended */
		while (top > 0)
		{
			uint32_t	attempt = w->head[top];

			while (attempt != NONE && w->attempt_first[attempt] < start)
			{
				end_attempt(w, wanted, attempt, top);
				attempt = w->attempt_next[attempt];
			}
			w->head[top] = attempt;
			if (attempt != NONE)
				break;
			top--;
		}

		next = read_group(plan, w, count, at, class, i);
		for (int32_t level = top < n ? top : n - 1; level >= 0; level--)
		{
			int32_t		reached;
			bool		is_void = false;

			if (level == 0)
			{
				if (w->events[1] == 0 || highest < 1)
					continue;
				w->attempt_first[nattempts] = now;
				w->attempt_next[nattempts] = NONE;
				w->head[0] = w->tail[0] = nattempts++;
			}
			if (w->head[level] == NONE)
				continue;
			reached = advance(w, level, highest);
			for (size_t j = 0; j < w->nexcluded && !is_void; j++)
				is_void = plan->from[w->excluded[j]] <= level && reached < plan->to[w->excluded[j]];
			if (is_void)
				w->head[level] = NONE;
			else if (reached > level)
			{
				if (w->head[reached] == NONE)
					w->head[reached] = w->head[level];
				else
					w->attempt_next[w->tail[reached]] = w->head[level];
				w->tail[reached] = w->tail[level];
				w->head[level] = NONE;
			}
			if (!is_void && reached > new_top)
				new_top = reached;
		}
		leave_group(w);
		top = new_top;

		/* nothing can void what is complete */
		if (top == n)
		{
			end_attempts(w, wanted, n);
			if (wanted->level == 0)
				return;
			while (top > 0 && w->head[top] == NONE)
				top--;
		}
	}
	for (int32_t level = n; level > 0; level--)
		end_attempts(w, wanted, level);
}

/*--------------------------------------------------------------------------------------------------------
 * Strict: nothing between the steps
 *--------------------------------------------------------------------------------------------------------
 */

/* Does the group lead from the level to exactly "size" levels more, so that a chain goes through all its events? */
static bool
leads_through(const FunnelPlan *plan, const FunnelWork *w, int32_t level)
{
	return w->size <= (size_t) (plan->nsteps - level) &&
		(size_t) advance(w, level, plan->nsteps) >= (size_t) level + w->size;
}

static Found
find_strict(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class)
{
	int32_t		n = plan->nsteps;
	Found		found = {0, FUNNEL_NEVER, FUNNEL_NEVER};
	size_t		next;

	w->nopen = 0;
	for (size_t i = 0; i < count && found.level < n; i = next)
	{
		int64_t		now = at[i];
		int64_t		start = window_start(plan, now);
		size_t		nopen = 0;
		int32_t		reached;

		next = read_group(plan, w, count, at, class, i);

		/* what begins here may be the end of the group, however many steps it takes */
		reached = advance(w, 0, n);
		if (reached > found.level)
			found = (Found) {reached, now, now};
		for (int32_t level = 1; level <= reached; level++)
		{
			w->best[level] = now;
			w->open_next[nopen++] = level;
		}
		for (size_t j = 0; j < w->nopen; j++)
		{
			int32_t		level = w->open[j];
			int64_t		first = w->open_first[j];
			int32_t		to;

			if (first < start)
				continue;
			to = advance(w, level, n);
			if (to > found.level || (to == found.level && now == found.last && first > found.first))
				found = (Found) {to, first, now};
			if (leads_through(plan, w, level) && (size_t) level + w->size > (size_t) reached)
			{
				/* levels that are open are all different, and so are these */
				to = level + (int32_t) w->size;
				w->best[to] = first;
				w->open_next[nopen++] = to;
			}
		}
		leave_group(w);
		for (size_t j = 0; j < nopen; j++)
		{
			w->open[j] = w->open_next[j];
			w->open_first[j] = w->best[w->open_next[j]];
		}
		w->nopen = nopen;
	}
	return found;
}

/* The times of a strict chain: as many of the first group's events as can be, then all of each group */
static void
follow_strict(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class,
			  Found found, int64_t *times)
{
	size_t		begin = find_time(count, at, found.first);
	size_t		second = read_group(plan, w, count, at, class, begin);
	int32_t		most = advance(w, 0, found.level);

	leave_group(w);
	for (int32_t taken = most; taken > 0; taken--)
	{
		int32_t		level = taken;
		size_t		next;

		for (int32_t k = 0; k < taken; k++)
			times[k] = found.first;
		for (size_t i = second; i < count && level < found.level && at[i] <= found.last; i = next)
		{
			int32_t		reached = level;
			bool		goes_on;

			next = read_group(plan, w, count, at, class, i);
			goes_on = leads_through(plan, w, level);
			if (at[i] == found.last)
				reached = advance(w, level, found.level);
			else if (goes_on)
				reached = level + (int32_t) w->size;
			leave_group(w);
			for (int32_t k = level; k < reached && k < found.level; k++)
				times[k] = at[i];
			level = reached;
			if (!goes_on)
				break;
		}
		if (level >= found.level)
			return;
	}
}

/*--------------------------------------------------------------------------------------------------------
 * Any order
 *--------------------------------------------------------------------------------------------------------
 */

static bool
is_excluded(const FunnelPlan *plan, uint32_t class)
{
	return plan->excluded_start[class] < plan->excluded_start[class + 1];
}

static void
forget_matches(const FunnelPlan *plan, FunnelWork *w)
{
	memset(w->room, 0, ((size_t) plan->nclasses + 2) * sizeof(uint32_t));
	memset(w->used, 0, ((size_t) plan->nclasses + 2) * sizeof(uint32_t));
	memset(w->match, 0, ((size_t) plan->nsteps + 2) * sizeof(uint32_t));
	w->match_lo = 1;
	w->match_hi = plan->nsteps;
}

/* The time at which the window that begins at a time comes to a level */
static int64_t
follow_any(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class, int64_t first,
		   int32_t level, int64_t *times)
{
	int32_t		reached = 0;
	int64_t		last = first;

	forget_matches(plan, w);
	for (size_t i = find_time(count, at, first); i < count && reached < level; i++)
		if (class[i] != 0 && match_event(plan, w, class[i]))
		{
			last = at[i];
			if (times != NULL)
				times[reached] = last;
			reached++;
		}
	return last;
}

/* The latest time from which a level is reached by a given time */
static int64_t
latest_any(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class, int64_t last,
		   int32_t level)
{
	int32_t		reached = 0;
	int64_t		first = last;

	forget_matches(plan, w);
	for (size_t i = count; i-- > 0 && reached < level;)
		if (at[i] <= last && class[i] != 0 && match_event(plan, w, class[i]))
		{
			first = at[i];
			reached++;
		}
	return first;
}

/*
 * For each time that a window may begin at, as many steps as possible are matched with events in the window. The
 * next window loses the events at its beginning and gains some at its end, so no matching is begun anew.
 */
static void
find_any(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class, Wanted *wanted)
{
	int32_t		n = plan->nsteps;
	int32_t		matched = 0;
	size_t		end = 0;
	size_t		excluded = 0;
	size_t		next;

	forget_matches(plan, w);
	for (size_t i = 0; i < count; i = next)
	{
		int64_t		now = at[i];
		int64_t		last;
		int64_t		exclusion = INT64_MAX;
		bool		begins = false;
		bool		is_void;

		for (next = i; next < count && at[next] == now; next++)
			begins |= plan->step_start[class[next]] < plan->step_start[class[next] + 1];
		poll_now_and_then(w, next - i);
		if (!begins)
			continue;

		if (__builtin_add_overflow(now, plan->within, &last))
			last = INT64_MAX;
		if (plan->nexclusions > 0)
		{
			while (excluded < count && (at[excluded] <= now || !is_excluded(plan, class[excluded])))
				excluded++;
			if (excluded < count)
				exclusion = at[excluded];
		}
		if (plan->cut && exclusion < last)
			last = exclusion;

		for (; end < count && at[end] <= last && matched < n; end++)
			if (class[end] != 0 && match_event(plan, w, class[end]))
				matched++;

		/* where all steps are matched, the last event did it */
		is_void = !plan->cut && exclusion <= last && (matched < n || exclusion < at[end - 1]);
		if (!is_void)
		{
			if (wanted->level == 0 ? matched > wanted->found.level :
				matched == wanted->level && now <= wanted->upto)
			{
				wanted->found.level = matched;
				wanted->found.first = now;
			}
			if (matched == n && wanted->level == 0)
				return;
		}

		for (size_t j = i; j < next && j < end; j++)
			if (class[j] != 0 && unmatch_event(plan, w, class[j]))
				matched--;
		if (end < next)
			end = next;
	}
}

/*--------------------------------------------------------------------------------------------------------
 * Levels and times
 *--------------------------------------------------------------------------------------------------------
 */

static void
no_poll(void)
{
}

/* Level, beginning and end of the chain or attempt that counts; the end only where there is room for times */
static Found
search(const FunnelPlan *plan, FunnelWork *w, size_t count, const int64_t *at, const uint32_t *class, int64_t *times)
{
	Wanted		wanted = {0, FUNNEL_NEVER, {0, FUNNEL_NEVER, FUNNEL_NEVER}};
	Limit		limit;
	Limit		unlimited;
	Found		found;

	if ((plan->mode & FUNNEL_STRICT) != 0)
		return find_strict(plan, w, count, at, class);

	/* in both cases below: what is found first also ends first, and it is asked again for the last that ends then */
	if ((plan->mode & FUNNEL_ANY_ORDER) != 0)
	{
		find_any(plan, w, count, at, class, &wanted);
		found = wanted.found;
		if (times == NULL || found.level == 0)
			return found;
		found.last = follow_any(plan, w, count, at, class, found.first, found.level, NULL);
		wanted.upto = latest_any(plan, w, count, at, class, found.last, found.level);
		wanted.level = found.level;
		find_any(plan, w, count, at, class, &wanted);
		found.first = wanted.found.first;
		return found;
	}

	found = find_chain(plan, w, count, at, class, plan->nexclusions > 0 && plan->cut, NULL, &limit);
	if (!has_attempts(plan) || found.level == 0)
		return found;
	find_attempt(plan, w, count, at, class, limit, &wanted);
	found = wanted.found;
	if (times == NULL || found.level == 0)
		return found;
	follow(plan, w, count, at, class, found, times);
	found.last = times[found.level - 1];
	find_chain(plan, w, count, at, class, false, &found.last, &unlimited);
	wanted.upto = w->best[found.level];
	wanted.level = found.level;
	find_attempt(plan, w, count, at, class, limit, &wanted);
	found.first = wanted.found.first;
	return found;
}

/*
 * How many steps does the journey come through? Events come in the order of time, as times and classes. "poll" may be
 * NULL.
 */
int
cxm_funnel_level(const FunnelPlan *plan, FunnelWork *work, size_t count, const int64_t *at, const uint32_t *class,
				 FunnelPoll poll)
{
	work->poll = poll != NULL ? poll : no_poll;
	work->polled = 0;
	return search(plan, work, count, at, class, NULL).level;
}

/*
 * The same, and the time of each step that is reached; "times" has room for all steps. Of the longest chains it is the
 * one that ends first, of those the one that begins last, and of those the one that takes each step as early as can be.
 */
int
cxm_funnel_times(const FunnelPlan *plan, FunnelWork *work, size_t count, const int64_t *at, const uint32_t *class,
				 int64_t *times, FunnelPoll poll)
{
	Found		found;

	work->poll = poll != NULL ? poll : no_poll;
	work->polled = 0;
	found = search(plan, work, count, at, class, times);
	if (found.level == 0)
		return 0;
	if ((plan->mode & FUNNEL_STRICT) != 0)
		follow_strict(plan, work, count, at, class, found, times);
	else if ((plan->mode & FUNNEL_ANY_ORDER) != 0)
		follow_any(plan, work, count, at, class, found.first, found.level, times);
	else if (has_rows(plan))
		follow_uncut(plan, work, count, at, class, found, times);
	else
		follow(plan, work, count, at, class, found, times);
	return found.level;
}

/*--------------------------------------------------------------------------------------------------------
 * Plain plans
 *
 * Every event fulfils one step at most and nothing but chains counts, as in nearly every funnel that people ask for.
 * Codes are looked at first; times are decoded only of events that matter.
 *--------------------------------------------------------------------------------------------------------
 */

/* events whose codes are looked at before the times of those that matter */
#define STRIDE			512

/* longer windows are as good as none: an offset of a view that is searched here has JOURNEY_MAX_BITS at most */
#define ENDLESS			(UINT64_C(1) << (JOURNEY_MAX_BITS + 1))

/* Bytes that cxm_funnel_level_plain() needs */
size_t
cxm_funnel_plain_size(const FunnelPlan *plan)
{
	return ((size_t) plan->nsteps + 1) * (sizeof(uint64_t) + 1);
}

/*
 * Simultaneous events that matter: steps upwards, so that one leads to the next, or downwards where they must not.
 * fulfilled[] is all zero before and after.
 */
static int
plain_group(const FunnelPlan *plan, const JourneyView *view, size_t i, size_t end, uint64_t start, uint64_t *best,
			uint8_t *fulfilled, int level)
{
	bool		increases = (plan->mode & FUNNEL_STRICT_INCREASE) != 0;
	int32_t		lo = plan->nsteps;
	int32_t		hi = 0;

	for (; i < end; i++)
	{
		int32_t		step = funnel_plain_step(plan, journey_code(view, i));

		if (step == 0)
			continue;
		fulfilled[step] = 1;
		if (step < lo)
			lo = step;
		if (step > hi)
			hi = step;
	}
	for (int32_t k = 0; k <= hi - lo; k++)
	{
		int32_t		step = increases ? hi - k : lo + k;

		if (fulfilled[step] == 0 || best[step - 1] < start)
			continue;
		best[step] = best[step - 1];
		if (step > level)
			level = step;
	}
	memset(fulfilled + lo, 0, (size_t) (hi - lo) + 1);
	return level;
}

/*
 * How many steps does the journey come through, in a plan that is plain? The view has offsets of JOURNEY_MAX_BITS at
 * most. Times are offsets shifted so far that the earliest time of a window is never 0, which stands for no chain.
 */
int
cxm_funnel_level_plain(const FunnelPlan *plan, const JourneyView *view, void *memory)
{
	size_t		count = view->count;
	int			n = plan->nsteps;
	int			level = 0;
	uint64_t	within = view->usecs == 0 ? ENDLESS : (uint64_t) plan->within / view->usecs;
	uint64_t	mask = view->usecs == 0 ? 0 : UINT64_MAX;	/* offsets of no bits mean nothing */
	uint64_t   *best = memory;
	uint8_t    *fulfilled = (uint8_t *) (best + n + 1);
	uint64_t	before = 0;		/* time of the last event that mattered, where it is, and what it replaced */
	size_t		before_at = 0;
	int32_t		before_step = 0;
	uint64_t	replaced = 0;
	size_t		i = 0;

	if (within > ENDLESS)
		within = ENDLESS;
	memset(memory, 0, cxm_funnel_plain_size(plan));

	while (i < count)
	{
		size_t		begin = i;
		size_t		end = count - i < STRIDE ? count : i + STRIDE;
		uint16_t	place[STRIDE];
		int32_t		step_of[STRIDE];
		size_t		m = 0;

		/* which of the events matter? */
		if (view->code_shift == 0)
			for (; i < end; i++)
			{
				int32_t		step = plan->low_step[view->codes[i]];

				place[m] = (uint16_t) (i - begin);
				step_of[m] = step;
				m += step != 0;
			}
		else
			for (; i < end; i++)
			{
				int32_t		step = funnel_plain_step(plan, journey_code(view, i));

				place[m] = (uint16_t) (i - begin);
				step_of[m] = step;
				m += step != 0;
			}

		for (size_t j = 0; j < m; j++)
		{
			int32_t		step = step_of[j];
			uint64_t	start = (journey_offset(view, begin + place[j]) & mask) + 1;
			uint64_t	now = start + within;
			uint64_t	first;

			if (now == before)
			{
				size_t		group_end = begin + place[j] + 1;

				/* as the chains were before the first of the group, then all of the group at once */
				while (group_end < count && (journey_offset(view, group_end) & mask) + 1 == start)
					group_end++;
				best[before_step] = replaced;
				best[0] = now;
				level = plain_group(plan, view, before_at, group_end, start, best, fulfilled, level);
				if (level == n)
					return n;
				while (j + 1 < m && begin + place[j + 1] < group_end)
					j++;
				if (i < group_end)
					i = group_end;
				continue;
			}
			best[0] = now;
			first = best[step - 1];
			before = now;
			before_at = begin + place[j];
			before_step = step;
			replaced = best[step];
			if (first >= start)
			{
				best[step] = first;
				if (step > level)
				{
					level = step;
					if (level == n)
						return n;
				}
			}
		}
	}
	return level;
}
