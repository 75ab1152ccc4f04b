/*
 * test/unit/funnel_core_test.c
 *		Every mode against all chains there are, found by trying, on small random journeys; published examples; speed.
 *
 * cc -Isrc test/unit/funnel_core_test.c src/funnel_core.c && ./a.out
 *
 * With an argument it measures the kernel instead: ./a.out bench
 */
#include "funnel_core.h"
#include "check.h"

/* to pack what the plain kernel reads */
#include "journey_core.c"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void
poll(void)
{
}

/*--------------------------------------------------------------------------------------------------------
 * The slow and plainly right one. An event is a time and the set of steps that it fulfils (bit 0 is step 1)
 * and of exclusions that it falls under.
 *--------------------------------------------------------------------------------------------------------
 */

#define MAX_EVENTS	8
#define MAX_STEPS	5
#define MAX_X		2

typedef struct Case
{
	unsigned	mode;
	int			nsteps;
	int64_t		within;
	int			n;
	int64_t		at[MAX_EVENTS];
	unsigned	steps[MAX_EVENTS];
	unsigned	excluded[MAX_EVENTS];
	int			nx;
	bool		cut;
	int			from[MAX_X];
	int			to[MAX_X];
} Case;

/* what is read: of each event the steps */
static unsigned readable[MAX_EVENTS];
static bool seen[MAX_EVENTS];	/* for exclusions */

typedef struct Answer
{
	int			level;
	int64_t		t[MAX_STEPS];
} Answer;

static const Case *k;
static Answer best;
static int	wanted_from;		/* index of the time that a chain has to begin at, or -1 */

/* Ends first, then begins last, then earlier times; longer before all of it */
static bool
is_better(const Answer *a, const Answer *b)
{
	if (a->level != b->level)
		return a->level > b->level;
	if (a->level == 0)
		return false;
	if (a->t[a->level - 1] != b->t[a->level - 1])
		return a->t[a->level - 1] < b->t[a->level - 1];
	if (a->t[0] != b->t[0])
		return a->t[0] > b->t[0];
	for (int i = 0; i < a->level; i++)
		if (a->t[i] != b->t[i])
			return a->t[i] < b->t[i];
	return false;
}

/* No excluded event strictly between step from and the earlier of step to and the end of the chain */
static bool
is_clean(const Answer *a)
{
	for (int x = 0; x < k->nx; x++)
	{
		int			end = a->level < k->to[x] ? a->level : k->to[x];

		if (a->level <= k->from[x])
			continue;
		for (int e = 0; e < k->n; e++)
			if (seen[e] && (k->excluded[e] >> x & 1) && k->at[e] > a->t[k->from[x] - 1] && k->at[e] < a->t[end - 1])
				return false;
	}
	return true;
}

static void
chains(Answer *a, unsigned used, bool cleanly)
{
	if (a->level > 0 && (!cleanly || is_clean(a)) && is_better(a, &best))
		best = *a;
	if (a->level == k->nsteps)
		return;
	for (int e = 0; e < k->n; e++)
	{
		if (!(readable[e] >> a->level & 1))
			continue;
		if (a->level > 0)
		{
			int64_t		last = a->t[a->level - 1];

			if (k->at[e] < last || k->at[e] - a->t[0] > k->within)
				continue;
			if ((k->mode & FUNNEL_STRICT_INCREASE) && k->at[e] == last)
				continue;
			if ((k->mode & FUNNEL_STRICT_ONCE) && (used >> e & 1))
				continue;
		}
		else if (wanted_from >= 0 && k->at[e] != k->at[wanted_from])
			continue;
		a->t[a->level++] = k->at[e];
		chains(a, used | 1u << e, cleanly);
		a->level--;
	}
}

static int
longest(bool cleanly)
{
	Answer		a = {0};

	memset(&best, 0, sizeof(best));
	chains(&a, 0, cleanly);
	return best.level;
}

/*
 * Entries, a time and a step each, in the order of time and step, are read until one interrupts; step 0 is an event
 * that fulfils none. Entries of one time and step are alike: of several, all but one are repeats.
 */
static void
read_entries(void)
{
	bool		deduplicates = (k->mode & FUNNEL_STRICT_DEDUPLICATION) != 0;
	bool		in_order = (k->mode & FUNNEL_STRICT_ORDER) != 0;
	bool		entered = false;

	memset(readable, 0, sizeof(readable));
	for (int e = 0; e < MAX_EVENTS; e++)
		seen[e] = false;
	for (int first = 0, end; first < k->n; first = end)
	{
		for (end = first; end < k->n && k->at[end] == k->at[first];)
			seen[end++] = true;
		for (int e = first; e < end; e++)
			if (k->steps[e] == 0 && in_order && entered)
				return;
		for (int step = 1; step <= k->nsteps; step++)
		{
			int			together = 0;
			int			level = longest(k->cut);

			for (int e = first; e < end; e++)
				together += k->steps[e] >> (step - 1) & 1;
			if (together == 0)
				continue;
			if (step == 1 && in_order && !(k->mode & FUNNEL_ALLOW_REENTRY) && level >= 2)
				return;
			if (step > 1 && ((deduplicates && level >= step) || (in_order && entered && level < step - 1)))
				return;
			for (int e = first; e < end; e++)
				readable[e] |= k->steps[e] & 1u << (step - 1);
			if (step == 1)
				entered = true;
			else if (deduplicates && together > 1 && longest(k->cut) >= step)
				return;
		}
	}
}

/* Attempts: the earliest time of each step from each beginning, void or not */
static void
attempts(Answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	for (int e = 0; e < k->n; e++)
	{
		Answer		attempt = {0};
		bool		is_void = false;
		Case		shorter = *k;
		const Case *whole = k;

		if (!(readable[e] & 1))
			continue;
		wanted_from = e;
		for (int level = 1; level <= whole->nsteps; level++)
		{
			shorter.nsteps = level;
			k = &shorter;
			/* is_better() takes the one that ends first */
			if (longest(false) < level)
				break;
			attempt.t[level - 1] = best.t[level - 1];
			attempt.level = level;
		}
		k = whole;
		wanted_from = -1;
		for (int x = 0; x < k->nx; x++)
			if (attempt.level >= k->from[x])
				for (int y = 0; y < k->n; y++)
					if (seen[y] && (k->excluded[y] >> x & 1) && k->at[y] > attempt.t[k->from[x] - 1] &&
						(attempt.level >= k->to[x] ? k->at[y] < attempt.t[k->to[x] - 1] :
						 k->at[y] - attempt.t[0] <= k->within))
						is_void = true;
		if (!is_void && is_better(&attempt, answer))
			*answer = attempt;
	}
}

/* Strict: distinct events in a row, those of one time in whatever order is best */
static int	order[MAX_EVENTS];

static void
permute(int placed)
{
	if (placed == k->n)
	{
		for (int begin = 0; begin < k->n; begin++)
		{
			Answer		a = {0};

			for (int i = begin; i < k->n && a.level < k->nsteps; i++)
			{
				int			e = order[i];

				if (!(k->steps[e] >> a.level & 1) || (a.level > 0 && k->at[e] - a.t[0] > k->within))
					break;
				a.t[a.level++] = k->at[e];
				if (is_better(&a, &best))
					best = a;
			}
		}
		return;
	}
	for (int e = 0; e < k->n; e++)
	{
		bool		is_placed = false;

		for (int i = 0; i < placed; i++)
			is_placed |= order[i] == e;
		if (is_placed || k->at[e] != k->at[placed])
			continue;
		order[placed] = e;
		permute(placed + 1);
	}
}

/* Any order: the most steps that events from a to b, inclusive, can be given to, an event to a step */
static int
most(int step, int64_t a, int64_t b, unsigned used)
{
	int			m;

	if (step == k->nsteps)
		return 0;
	m = most(step + 1, a, b, used);
	for (int e = 0; e < k->n; e++)
		if ((k->steps[e] >> step & 1) && !(used >> e & 1) && k->at[e] >= a && k->at[e] <= b)
		{
			int			with = 1 + most(step + 1, a, b, used | 1u << e);

			if (with > m)
				m = with;
		}
	return m;
}

static void
any_order(Answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	for (int e = 0; e < k->n; e++)
	{
		Answer		a = {0};
		int64_t		end = k->at[e] + k->within;
		bool		is_void = false;

		if (k->steps[e] == 0)
			continue;
		for (int y = 0; y < k->n; y++)
			if (k->cut && k->excluded[y] && k->at[y] > k->at[e] && k->at[y] < end)
				end = k->at[y];
		for (int y = e; y < k->n && k->at[y] <= end; y++)
			for (int m = most(0, k->at[e], k->at[y], 0); a.level < m;)
				a.t[a.level++] = k->at[y];
		for (int y = 0; y < k->n && !k->cut; y++)
			if (k->excluded[y] && k->at[y] > k->at[e] && k->at[y] <= end &&
				(a.level < k->nsteps || k->at[y] < a.t[a.level - 1]))
				is_void = true;
		if (!is_void && is_better(&a, answer))
			*answer = a;
	}
}

static void
by_trying(const Case *c, Answer *answer)
{
	k = c;
	wanted_from = -1;
	if (c->mode & FUNNEL_STRICT)
	{
		memset(&best, 0, sizeof(best));
		permute(0);
		*answer = best;
	}
	else if (c->mode & FUNNEL_ANY_ORDER)
		any_order(answer);
	else
	{
		read_entries();
		if (c->nx > 0 && !c->cut)
			attempts(answer);
		else
		{
			longest(true);
			*answer = best;
		}
	}
}

/*--------------------------------------------------------------------------------------------------------
 * The one that is tested
 *--------------------------------------------------------------------------------------------------------
 */

/* Codes: a set of steps and exclusions is a code of its own, and its number says which */
static int32_t
code_of(unsigned steps, unsigned excluded, int32_t scale)
{
	return (int32_t) (steps | excluded << MAX_STEPS) * scale;
}

static FunnelPlan *
make_plan(const Case *c, int32_t scale)
{
	static int32_t codes[MAX_STEPS][256];
	static int32_t excluded[MAX_X][256];
	const int32_t *pcodes[MAX_STEPS];
	const int32_t *pexcluded[MAX_X];
	uint32_t	ncodes[MAX_STEPS] = {0};
	uint32_t	nexcluded[MAX_X] = {0};
	int32_t		from[MAX_X];
	int32_t		to[MAX_X];
	void	   *memory;

	for (unsigned m = 1; m < 1u << (MAX_STEPS + MAX_X); m++)
	{
		bool		is_there = false;

		for (int e = 0; e < c->n; e++)
			is_there |= (c->steps[e] | c->excluded[e] << MAX_STEPS) == m;
		for (int s = 0; s < c->nsteps; s++)
			if ((m >> s & 1) && (is_there || (m & (m - 1)) == 0))
				codes[s][ncodes[s]++] = (int32_t) m * scale;
		for (int x = 0; x < c->nx; x++)
			if ((m >> (MAX_STEPS + x) & 1) && is_there)
				excluded[x][nexcluded[x]++] = (int32_t) m * scale;
	}
	for (int s = 0; s < c->nsteps; s++)
		pcodes[s] = codes[s];
	for (int x = 0; x < c->nx; x++)
	{
		pexcluded[x] = excluded[x];
		from[x] = c->from[x];
		to[x] = c->to[x];
	}
	memory = malloc(cxm_funnel_plan_size(c->nsteps, ncodes, c->nx, nexcluded));
	return cxm_funnel_plan_codes(memory, c->mode, c->within, c->nsteps, pcodes, ncodes, c->nx, pexcluded, nexcluded,
								 from, to, c->cut);
}

static void
pack(size_t count, const int64_t *at, const int32_t *code, uint8_t **bytes, JourneyView *view)
{
	JourneyShape shape;

	cxm_journey_measure(count, at, code, poll, &shape);
	*bytes = malloc((size_t) shape.size + 16);
	cxm_journey_write(&shape, at, code, poll, *bytes);
	if (cxm_journey_open(*bytes, (size_t) shape.size, view) != NULL)
		abort();
}

static void
print_case(const Case *c, const Answer *want, int level, const int64_t *times)
{
	printf("mode %x steps %d within %d%s; events", c->mode, c->nsteps, (int) c->within, c->cut ? " cut" : "");
	for (int e = 0; e < c->n; e++)
		printf(" %d:%x/%x", (int) c->at[e], c->steps[e], c->excluded[e]);
	for (int x = 0; x < c->nx; x++)
		printf("; x%d %d..%d", x, c->from[x], c->to[x]);
	printf("\n  want %d", want->level);
	for (int i = 0; i < want->level; i++)
		printf(" %d", (int) want->t[i]);
	printf(", got %d", level);
	for (int i = 0; i < level && level <= MAX_STEPS; i++)
		printf(" %d", (int) times[i]);
	printf("\n");
}

static bool
compare(const Case *c)
{
	Answer		want;
	int64_t		times[MAX_STEPS];
	uint32_t	class[MAX_EVENTS];
	int32_t		scale = next_random(4) == 0 ? 1000003 : next_random(2) == 0 ? -1 : 1;
	FunnelPlan *plan = make_plan(c, scale);
	void	   *memory = malloc(cxm_funnel_work_size(plan, MAX_EVENTS, true));
	FunnelWork *work = cxm_funnel_work(memory, plan, MAX_EVENTS, true);
	int			level;
	int			timed;
	bool		ok;

	by_trying(c, &want);
	for (int e = 0; e < c->n; e++)
		class[e] = funnel_class(plan, code_of(c->steps[e], c->excluded[e], scale));
	level = cxm_funnel_level(plan, work, (size_t) c->n, c->at, class, NULL);
	timed = cxm_funnel_times(plan, work, (size_t) c->n, c->at, class, times, poll);
	ok = level == want.level && timed == want.level;
	for (int i = 0; ok && i < level; i++)
		ok = times[i] == want.t[i];
	/* once more with the same memory */
	ok = ok && cxm_funnel_level(plan, work, (size_t) c->n, c->at, class, NULL) == level;
	if (!ok && failed < 10)
		print_case(c, &want, timed, times);
	if (plan->is_plain)
	{
		int64_t		at[MAX_EVENTS];
		int32_t		code[MAX_EVENTS];
		uint8_t    *bytes;
		JourneyView view;
		void	   *plain = malloc(cxm_funnel_plain_size(plan));

		/* within one time, codes in order, as a journey has them */
		for (int e = 0; e < c->n; e++)
		{
			int			to = e;

			at[e] = c->at[e];
			for (; to > 0 && at[to - 1] == at[e] && code[to - 1] > code_of(c->steps[e], 0, scale); to--)
				code[to] = code[to - 1];
			code[to] = code_of(c->steps[e], 0, scale);
		}
		pack((size_t) c->n, at, code, &bytes, &view);
		level = cxm_funnel_level_plain(plan, &view, plain);
		if (level != want.level)
		{
			ok = false;
			if (failed < 10)
			{
				printf("plain: ");
				print_case(c, &want, level, times);
			}
		}
		free(plain);
		free(bytes);
	}
	free(memory);
	free(plan);
	return ok;
}

static void
random_cases(unsigned mode, int rounds, bool sets, int exclusions, const char *what)
{
	int			wrong = 0;

	for (int i = 0; i < rounds; i++)
	{
		Case		c;
		uint32_t	span = 1 + next_random(12);

		memset(&c, 0, sizeof(c));
		c.mode = mode;
		c.nsteps = 1 + (int) next_random(MAX_STEPS);
		c.within = next_random(span + 2);
		c.n = (int) next_random(MAX_EVENTS + 1);
		if ((mode & FUNNEL_STRICT) && c.n > 6)
			c.n = 6;
		for (int e = 0; e < c.n; e++)
		{
			int64_t		at = next_random(span);
			int			to = e;

			for (; to > 0 && c.at[to - 1] > at; to--)
				c.at[to] = c.at[to - 1];
			c.at[to] = at;
		}
		if (exclusions > 0)
		{
			c.nx = 1 + (int) next_random(MAX_X);
			c.cut = exclusions == 2;
			for (int x = 0; x < c.nx; x++)
			{
				if (c.nsteps == 1)
					c.nsteps = 2;
				c.from[x] = 1 + (int) next_random((uint32_t) c.nsteps - 1);
				c.to[x] = c.from[x] + 1 + (int) next_random((uint32_t) (c.nsteps - c.from[x]));
				if (mode & FUNNEL_ANY_ORDER)
				{
					c.from[x] = 1;
					c.to[x] = c.nsteps;
				}
			}
		}
		for (int e = 0; e < c.n; e++)
		{
			if (sets)
				c.steps[e] = next_random(3) == 0 ? next_random(1u << c.nsteps) : 1u << next_random((uint32_t) c.nsteps);
			else
				c.steps[e] = next_random(6) == 0 ? 0 : 1u << next_random((uint32_t) c.nsteps);
			if (c.nx > 0 && next_random(4) == 0)
			{
				c.excluded[e] = next_random(1u << c.nx);
				if (next_random(3) > 0)
					c.steps[e] = 0;
			}
		}
		if (!compare(&c))
			wrong++;
	}
	if (wrong > 0)
		printf("%s: %d of %d wrong\n", what, wrong, rounds);
	check(wrong == 0, what);
}

/*--------------------------------------------------------------------------------------------------------
 * Published examples: one letter an event, at 1, 2, 3 ...
 *--------------------------------------------------------------------------------------------------------
 */

static int
level_of(const char *journey, const char *steps, const char *mode, int64_t within)
{
	unsigned	bits;
	const char *word;
	size_t		length;
	const int32_t *codes[32];
	uint32_t	ncodes[32];
	int32_t		letters[32];
	int			n = (int) strlen(steps);
	size_t		count = strlen(journey);
	int64_t		at[256];
	uint32_t	class[256];
	FunnelPlan *plan;
	FunnelWork *work;
	int			level;

	if (cxm_funnel_parse_mode(mode, strlen(mode), &bits, &word, &length) != FUNNEL_OK)
		return -1;
	for (int i = 0; i < n; i++)
	{
		letters[i] = steps[i];
		codes[i] = &letters[i];
		ncodes[i] = 1;
	}
	plan = cxm_funnel_plan_codes(malloc(cxm_funnel_plan_size(n, ncodes, 0, NULL)), bits, within, n, codes, ncodes,
								 0, NULL, NULL, NULL, NULL, false);
	work = cxm_funnel_work(malloc(cxm_funnel_work_size(plan, count, false)), plan, count, false);
	for (size_t i = 0; i < count; i++)
	{
		at[i] = (int64_t) i + 1;
		class[i] = funnel_class(plan, journey[i]);
	}
	level = cxm_funnel_level(plan, work, count, at, class, NULL);
	free(work);
	free(plan);
	return level;
}

static void
examples(void)
{
	static const struct
	{
		const char *mode;
		const char *steps;
		const char *journeys[8];
		int			levels[8];
	}			table[] = {
		{"default", "abc", {"abc", "adbc", "aabbcc", "aaaabbcc", "aabbdcc", "ccbbaa", "abcbd"}, {3, 3, 3, 3, 3, 1, 3}},
		{"strict_order", "abc", {"abc", "adbc", "aabbcc", "aaaabbcc", "aabbdcc", "ccbbaa", "acb"}, {3, 1, 3, 3, 2, 1, 1}},
		{"strict_deduplication,strict_order", "abc", {"abc", "adbc", "aabbcc", "aaaabbcc", "aabbdcc", "ccbbaa"}, {3, 1, 2, 2, 2, 1}},
		{"strict_deduplication", "abcd", {"abcbd", "abca"}, {3, 3}},
		{"strict_order", "abc", {"abac", "ababc", "abcbd", "acb", "abcabcd"}, {2, 2, 3, 1, 3}},
		{"strict_order, allow_reentry", "abc", {"abac", "ababc", "abcbd", "acb", "abcabcd"}, {3, 3, 3, 1, 3}},
		{"strict_order", "abcd", {"abac", "ababc", "abcbd", "acb", "abcabcd"}, {2, 2, 4, 1, 3}},
		{"strict_order, allow_reentry", "abcd", {"abac", "ababc", "abcbd", "acb", "abcabcd"}, {3, 3, 4, 1, 4}},
		{"strict_deduplication", "isle", {"isliisle", "islisisle"}, {3, 3}},
		{"strict_deduplication,strict_once", "isle", {"islisisle"}, {3}},
		{"strict", "abc", {"abc", "adbc", "aabc", "abac", "abdabc", "cab"}, {3, 1, 3, 2, 3, 2}},
		{"any_order", "abc", {"cba", "acb", "aab", "ddd", "c"}, {3, 3, 2, 0, 1}},
		{"default", "eee", {"e"}, {3}},
		{"strict_once", "eee", {"e", "ee"}, {1, 2}},
		{"strict_increase", "eee", {"e", "eeee"}, {1, 3}},
		{"any_order", "aab", {"ab", "aba"}, {2, 3}},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (int j = 0; j < 8 && table[i].journeys[j] != NULL; j++)
		{
			int			level = level_of(table[i].journeys[j], table[i].steps, table[i].mode, 1000);

			if (level != table[i].levels[j])
				printf("%s in %s, %s: %d, not %d\n", table[i].steps, table[i].journeys[j], table[i].mode, level, table[i].levels[j]);
			check(level == table[i].levels[j], "published examples");
		}
	check(level_of("a", "a", "strict_one", 1) == -1, "a word that is not known");
	check(level_of("a", "a", "strict, strict_order", 1) == -1, "words that do not go together");
	check(level_of("a", "a", "allow_reentry", 1) == -1, "allow_reentry without strict_order");
	check(level_of("a", "a", "", 1) == -1, "no word");
	check(level_of("ab", "ab", " strict_once ,strict_increase", 1) == 2, "spaces");
}

/* Long journeys: the two kernels must agree, and no search may take more than linear time by far */
static void
long_journeys(void)
{
	static const unsigned modes[] = {0, FUNNEL_STRICT_INCREASE, FUNNEL_STRICT_ONCE};
	bool		ok = true;

	for (int round = 0; round < 300; round++)
	{
		size_t		count = next_random(3000);
		int			n = 1 + (int) next_random(40);
		int64_t    *at = malloc((count + 1) * sizeof(int64_t));
		int32_t    *code = malloc((count + 1) * sizeof(int32_t));
		uint32_t   *class = malloc((count + 1) * sizeof(uint32_t));
		int32_t		steps[40];
		const int32_t *codes[40];
		uint32_t	ncodes[40];
		int64_t		now = 0;
		uint32_t	ncodes_all = next_random(2) ? 60 : 60000;
		uint32_t	gap = 1 + next_random(4);
		FunnelPlan *plan;
		FunnelWork *work;
		void	   *plain;
		uint8_t    *bytes;
		JourneyView view;

		for (size_t i = 0; i < count; i++)
		{
			int32_t		c = (int32_t) (next_random(n + 10) * (ncodes_all / 60));

			if (next_random(gap) > 0 || next_random(2) == 0)
			{
				now += next_random(3);
			}
			at[i] = now * 1000000;
			code[i] = c;
			for (size_t j = i; j > 0 && at[j - 1] == at[j] && code[j - 1] > code[j]; j--)
			{
				code[j] = code[j - 1];
				code[j - 1] = c;
			}
		}
		for (int s = 0; s < n; s++)
		{
			/* each code in one step, in any order */
			steps[s] = (int32_t) ((uint32_t) s * (ncodes_all / 60));
			ncodes[s] = 1;
			codes[s] = &steps[s];
		}
		for (int s = n - 1; s > 0; s--)
		{
			int			other = (int) next_random((uint32_t) s + 1);
			int32_t		kept = steps[s];

			steps[s] = steps[other];
			steps[other] = kept;
		}
		plan = cxm_funnel_plan_codes(malloc(cxm_funnel_plan_size(n, ncodes, 0, NULL)), modes[round % 3],
									 1000000 * (int64_t) next_random(2000), n, codes, ncodes,
									 0, NULL, NULL, NULL, NULL, false);
		work = cxm_funnel_work(malloc(cxm_funnel_work_size(plan, count, false)), plan, count, false);
		plain = malloc(cxm_funnel_plain_size(plan));
		for (size_t i = 0; i < count; i++)
			class[i] = funnel_class(plan, code[i]);
		pack(count, at, code, &bytes, &view);
		ok = ok && plan->is_plain &&
			cxm_funnel_level(plan, work, count, at, class, poll) == cxm_funnel_level_plain(plan, &view, plain);
		free(plain);
		free(bytes);
		free(work);
		free(plan);
		free(class);
		free(code);
		free(at);
	}
	check(ok, "long journeys: both kernels");
}

/*--------------------------------------------------------------------------------------------------------
 * Speed
 *--------------------------------------------------------------------------------------------------------
 */

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* journeys of 40 events in the middle, 12 codes of unequal frequency, 90 days; 4 or 12 steps within 7 days */
static void
bench(void)
{
	enum
	{
		JOURNEYS = 20000, EVENTS = 40, RUNS = 25
	};
	static JourneyView views[JOURNEYS];
	static const struct
	{
		const char *name;
		unsigned	mode;
		int			nsteps;
	}			funnels[] = {
		{"default", 0, 4}, {"default", 0, 12}, {"strict_once", FUNNEL_STRICT_ONCE, 4},
		{"strict_increase", FUNNEL_STRICT_INCREASE, 4}, {"strict_deduplication", FUNNEL_STRICT_DEDUPLICATION, 4},
		{"strict_order", FUNNEL_STRICT_ORDER, 4}, {"strict", FUNNEL_STRICT, 4}, {"any_order", FUNNEL_ANY_ORDER, 4}
	};
	static int64_t all_at[JOURNEYS][EVENTS];
	static int32_t all_code[JOURNEYS][EVENTS];

	for (int j = 0; j < JOURNEYS; j++)
	{
		uint8_t    *bytes;

		for (int i = 0; i < EVENTS; i++)
		{
			double		u = next_random(1 << 24) / (double) (1 << 24);
			int64_t		at = (int64_t) next_random(90 * 86400) * 1000000;
			int			to = i;

			for (; to > 0 && all_at[j][to - 1] > at; to--)
				all_at[j][to] = all_at[j][to - 1];
			all_at[j][to] = at;
			all_code[j][i] = 1 + (int32_t) (12 * u * u);
		}
		pack(EVENTS, all_at[j], all_code[j], &bytes, &views[j]);
	}
	for (size_t f = 0; f < sizeof(funnels) / sizeof(funnels[0]); f++)
	{
		int32_t		steps[12];
		const int32_t *codes[12];
		uint32_t	ncodes[12];
		FunnelPlan *plan;
		FunnelWork *work;
		void	   *plain;
		double		packed = 1e9;
		double		decoded = 1e9;
		long		levels = 0;

		for (int s = 0; s < 12; s++)
		{
			steps[s] = s + 1;
			codes[s] = &steps[s];
			ncodes[s] = 1;
		}
		plan = cxm_funnel_plan_codes(malloc(cxm_funnel_plan_size(funnels[f].nsteps, ncodes, 0, NULL)), funnels[f].mode,
									 INT64_C(7) * 86400 * 1000000, funnels[f].nsteps, codes, ncodes,
									 0, NULL, NULL, NULL, NULL, false);
		work = cxm_funnel_work(malloc(cxm_funnel_work_size(plan, EVENTS, false)), plan, EVENTS, false);
		plain = malloc(cxm_funnel_plain_size(plan));
		for (int run = 0; run < RUNS; run++)
		{
			double		begun = seconds();

			if (plan->is_plain)
			{
				for (int j = 0; j < JOURNEYS; j++)
					levels += cxm_funnel_level_plain(plan, &views[j], plain);
				if (seconds() - begun < packed)
					packed = seconds() - begun;
			}
			begun = seconds();
			for (int j = 0; j < JOURNEYS; j++)
			{
				uint32_t	class[EVENTS];

				for (int i = 0; i < EVENTS; i++)
					class[i] = funnel_class(plan, all_code[j][i]);
				levels += cxm_funnel_level(plan, work, EVENTS, all_at[j], class, NULL);
			}
			if (seconds() - begun < decoded)
				decoded = seconds() - begun;
		}
		printf("%-22s %2d steps: ", funnels[f].name, funnels[f].nsteps);
		if (plan->is_plain)
			printf("%6.0f M events/s from the packed bytes, ", JOURNEYS * (double) EVENTS / packed / 1e6);
		printf("%6.0f M events/s from decoded events (levels %ld)\n", JOURNEYS * (double) EVENTS / decoded / 1e6, levels);
		free(plain);
		free(work);
		free(plan);
	}
}

int
main(int argc, char **argv)
{
	static const unsigned words[] = {
		FUNNEL_STRICT_DEDUPLICATION, FUNNEL_STRICT_ORDER, FUNNEL_STRICT_INCREASE, FUNNEL_STRICT_ONCE
	};
	int			rounds = argc > 1 && atoi(argv[1]) > 0 ? atoi(argv[1]) : 2000;

	if (argc > 1 && strcmp(argv[1], "bench") == 0)
	{
		bench();
		return 0;
	}
	examples();
	for (unsigned set = 0; set < 16; set++)
		for (int reentry = 0; reentry < 2; reentry++)
		{
			unsigned	mode = reentry ? FUNNEL_ALLOW_REENTRY : 0;

			if (reentry && !(set & 2))
				continue;
			for (int i = 0; i < 4; i++)
				if (set >> i & 1)
					mode |= words[i];
			for (int exclusions = 0; exclusions < 3; exclusions++)
				for (int sets = 0; sets < 2; sets++)
				{
					char		what[80];

					snprintf(what, sizeof(what), "mode %x, %s, %s", mode, sets ? "sets" : "single steps",
							 exclusions == 0 ? "nothing excluded" : exclusions == 1 ? "removed" : "cut");
					random_cases(mode, rounds, sets, exclusions, what);
				}
		}
	random_cases(FUNNEL_STRICT, rounds, false, 0, "strict");
	random_cases(FUNNEL_STRICT, rounds, true, 0, "strict, sets");
	for (int exclusions = 0; exclusions < 3; exclusions++)
	{
		random_cases(FUNNEL_ANY_ORDER, rounds, false, exclusions, "any order");
		random_cases(FUNNEL_ANY_ORDER, rounds, true, exclusions, "any order, sets");
	}
	long_journeys();
	return report();
}
