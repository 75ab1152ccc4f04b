/*
 * test/unit/sequence_core_test.c
 *		Patterns against trying all ways; hostile ones by the work they take.
 *
 * cc -Isrc test/unit/sequence_core_test.c src/sequence_core.c src/journey_core.c && ./a.out
 */
#include "sequence_core.h"
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
allocate(size_t size)
{
	void	   *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		exit(1);
	return p;
}

/*--------------------------------------------------------------------------------------------------------
 * All ways, one after the other: fewest events passed over first
 *--------------------------------------------------------------------------------------------------------
 */

#define MAX_ACTIONS 8
#define MAX_EVENTS 12
#define CONDITIONS 3

typedef struct Action
{
	char		kind;			/* 1 condition, . any, * star, l <=, < <, g >=, > >, = == */
	int			number;
} Action;

static Action actions[MAX_ACTIONS];
static int	nactions;
static int	nevents;
static int	fulfils[MAX_EVENTS];	/* conditions, a bit each; never none */
static int64_t times[MAX_EVENTS];

static size_t path[MAX_ACTIONS];
static int	depth;
static size_t best[MAX_ACTIONS];
static int	best_depth;

static int
holds(char kind, int64_t gone, int64_t duration)
{
	switch (kind)
	{
		case 'l':
			return gone <= duration;
		case '<':
			return gone < duration;
		case 'g':
			return gone >= duration;
		case '>':
			return gone > duration;
		default:
			return gone == duration;
	}
}

/* Actions from k on at event p; the event after the match, or -1 */
static int
try_all(int k, int p, int base)
{
	int			end;

	if (depth > best_depth)
	{
		best_depth = depth;
		memcpy(best, path, sizeof(path));
	}
	if (k == nactions)
		return p;
	if (p == nevents)
	{
		for (; k < nactions; k++)
			if (strchr("*l<", actions[k].kind) == NULL && (actions[k].kind != 'g' || actions[k].number != 0))
				return -1;
		return p;
	}
	switch (actions[k].kind)
	{
		case '1':
			if (!(fulfils[p] >> (actions[k].number - 1) & 1))
				return -1;
			path[depth++] = (size_t) p;
			end = try_all(k + 1, p + 1, p);
			depth--;
			return end;
		case '.':
			return try_all(k + 1, p + 1, p);
		default:
			for (int q = p; q < nevents; q++)
			{
				if (actions[k].kind != '*' && !holds(actions[k].kind, times[q] - times[base], actions[k].number * INT64_C(1000000)))
					continue;
				end = try_all(k + 1, q, q);
				if (end >= 0)
					return end;
			}
			return -1;
	}
}

/* A search from the first event on: the event after the match, or -1. Where all may be empty, it matches at the end. */
static int
search(void)
{
	int			end;
	int			k = 0;

	depth = 0;
	end = try_all(0, 0, 0);
	while (k < nactions && (strchr("*l<", actions[k].kind) != NULL || (actions[k].kind == 'g' && actions[k].number == 0)))
		k++;
	return end < 0 && k == nactions ? nevents : end;
}

/* What the functions under test do, from the text of a pattern on */
typedef struct Case
{
	SequenceStatus status;
	size_t		position;
	SequencePattern pattern;
	SequencePattern relaxed;
	SequenceMachine machine;
	SequenceMachine relaxed_machine;
	SequenceElement *elements;
	SequenceElement *relaxed_elements;
	void	   *memory;
	void	   *relaxed_memory;
} Case;

/* symbol s fulfils the conditions whose bits it has, and 0 none */
static void
begin(Case *c, const char *text, size_t conditions, size_t symbols)
{
	size_t		length = strlen(text);

	memset(c, 0, sizeof(*c));
	c->elements = allocate((length + 1) * sizeof(SequenceElement));
	c->relaxed_elements = allocate((length + 1) * sizeof(SequenceElement));
	c->status = cxm_sequence_parse(text, length, conditions, c->elements, &c->pattern, &c->position);
	if (c->status != SEQUENCE_OK)
		return;
	cxm_sequence_relax(&c->pattern, c->relaxed_elements, &c->relaxed);
	c->memory = allocate(cxm_sequence_machine_size(&c->pattern, symbols));
	cxm_sequence_machine(&c->machine, &c->pattern, symbols, c->memory);
	c->relaxed_memory = allocate(cxm_sequence_machine_size(&c->relaxed, symbols));
	cxm_sequence_machine(&c->relaxed_machine, &c->relaxed, symbols, c->relaxed_memory);
	for (uint32_t s = 0; s < symbols; s++)
		for (uint32_t condition = 0; condition < conditions && condition < 32; condition++)
			if (s >> condition & 1)
			{
				cxm_sequence_tell(&c->machine, s, condition);
				cxm_sequence_tell(&c->relaxed_machine, s, condition);
			}
}

static void
finish(Case *c)
{
	free(c->elements);
	free(c->relaxed_elements);
	free(c->memory);
	free(c->relaxed_memory);
}

static uint64_t
count(const SequenceMachine *machine, const SequenceEvents *events, bool only_first, uint64_t *work)
{
	void	   *scratch = allocate(cxm_sequence_scratch_size(machine, events->count, false));
	uint64_t	n = cxm_sequence_count(machine, events, only_first, scratch, NULL, work);

	free(scratch);
	return n;
}

static size_t
trace(const SequenceMachine *machine, const SequenceEvents *events, size_t *taken, uint64_t *work)
{
	void	   *scratch = allocate(cxm_sequence_scratch_size(machine, events->count, true));
	size_t		n = cxm_sequence_trace(machine, events, taken, scratch, NULL, work);

	free(scratch);
	return n;
}

/* A random pattern, as actions and as text */
static void
random_pattern(char *text)
{
	bool		after_time = false;

	nactions = 0;
	actions[nactions++] = (Action) {'*', 0};
	*text = 0;
	for (int n = (int) next_random(MAX_ACTIONS); n > 0; n--)
	{
		Action		a = {0, 0};
		const char *symbol = "";

		switch (next_random(after_time ? 4 : 7))
		{
			case 0:
			case 1:
				a = (Action) {'1', 1 + (int) next_random(CONDITIONS)};
				break;
			case 2:
				a.kind = '.';
				break;
			case 3:
				a.kind = '*';
				break;
			default:
				a.number = (int) next_random(4);
				a.kind = "l<g>="[next_random(5)];
				symbol = a.kind == 'l' ? "<=" : a.kind == '<' ? "<" : a.kind == 'g' ? ">=" : a.kind == '>' ? ">" : "==";
		}
		after_time = *symbol != 0;
		if (after_time)
			text += sprintf(text, "(?t%s%d)", symbol, a.number);
		else if (a.kind == '1')
			text += sprintf(text, "(?%d)", a.number);
		else
			text += sprintf(text, a.kind == '*' ? ".*" : ".");
		actions[nactions++] = a;
		if (nactions == MAX_ACTIONS)
			break;
	}
}

static void
random_cases(void)
{
	int			wrong_match = 0;
	int			wrong_count = 0;
	int			wrong_trace = 0;
	int			wrong_relaxed = 0;
	int			matched = 0;
	int			timed = 0;

	for (int round = 0; round < 300000; round++)
	{
		char		text[MAX_ACTIONS * 16];
		uint8_t		bytes[MAX_EVENTS + MAX_EVENTS];
		uint32_t	words[MAX_EVENTS + MAX_EVENTS];
		int64_t		at[MAX_EVENTS + MAX_EVENTS];
		size_t		at_event[MAX_EVENTS];	/* by event of the plain search, where it is */
		int64_t		t = (int64_t) next_random(3) * 1000000;
		size_t		n = 0;
		SequenceEvents events = {0};
		Case		c;
		int			expected_matches = 0;
		bool		expected;
		size_t		taken[MAX_ACTIONS];
		size_t		ntaken;
		bool		same;

		random_pattern(text);
		nevents = 0;
		for (int i = (int) next_random(MAX_EVENTS); i > 0; i--)
		{
			int			symbol = next_random(4) == 0 ? (int) next_random(8) : 1 << next_random(3);

			if (next_random(3) != 0)
				t += (int64_t) next_random(3) * 1000000;
			bytes[n] = (uint8_t) symbol;
			words[n] = (uint32_t) symbol;
			at[n] = t;
			if (symbol != 0)
			{
				fulfils[nevents] = symbol;
				times[nevents] = t;
				at_event[nevents++] = n;
			}
			n++;
		}
		events.count = n;
		events.at = at;
		if (round % 2 == 0)
			events.bytes = bytes;
		else
			events.words = words;

		best_depth = 0;
		expected = search() >= 0;
		{
			int			p = 0;

			/* the search begins at event p: shift the others away */
			int			all = nevents;
			int			fulfils_all[MAX_EVENTS];
			int64_t		times_all[MAX_EVENTS];

			memcpy(fulfils_all, fulfils, sizeof(fulfils));
			memcpy(times_all, times, sizeof(times));
			while (p < all)
			{
				int			end;
				size_t		keep[MAX_ACTIONS];
				int			keep_depth = best_depth;

				memcpy(keep, best, sizeof(best));
				nevents = all - p;
				memcpy(fulfils, fulfils_all + p, sizeof(int) * (size_t) nevents);
				memcpy(times, times_all + p, sizeof(int64_t) * (size_t) nevents);
				end = search();
				memcpy(best, keep, sizeof(best));
				best_depth = keep_depth;
				if (end < 0)
					break;
				expected_matches++;
				p += end > 0 ? end : 1;
			}
		}

		begin(&c, text, CONDITIONS, 8);
		if (c.status != SEQUENCE_OK)
		{
			wrong_match++;
			finish(&c);
			continue;
		}
		if ((count(&c.machine, &events, true, NULL) == 1) != expected)
		{
			if (wrong_match++ == 0)
				printf("# %s matches differently, expected %d\n", text, expected);
		}
		if (count(&c.machine, &events, false, NULL) != (uint64_t) expected_matches)
		{
			if (wrong_count++ == 0)
				printf("# %s counted %d, expected %d\n", text, (int) count(&c.machine, &events, false, NULL), expected_matches);
		}
		if (expected && count(&c.relaxed_machine, &events, true, NULL) == 0)
			wrong_relaxed++;
		ntaken = trace(&c.machine, &events, taken, NULL);
		same = ntaken == (size_t) best_depth;
		for (size_t k = 0; same && k < ntaken; k++)
			same = taken[k] == at_event[best[k]];
		if (!same && wrong_trace++ == 0)
		{
			printf("# %s traced %zu:", text, ntaken);
			for (size_t k = 0; k < ntaken; k++)
				printf(" %zu", taken[k]);
			printf(", expected %d:", best_depth);
			for (int k = 0; k < best_depth; k++)
				printf(" %zu", at_event[best[k]]);
			printf("\n");
		}
		matched += expected;
		timed += c.pattern.comparisons > 0;
		finish(&c);
	}
	check(wrong_match == 0, "random patterns match as trying all ways does");
	check(wrong_count == 0, "random patterns are counted as trying all ways does");
	check(wrong_trace == 0, "random patterns take the events that trying all ways takes");
	check(wrong_relaxed == 0, "what the pattern matches, it matches without its times");
	check(matched > 50000 && matched < 250000 && timed > 100000, "the random patterns are a fair sample");
}

/*--------------------------------------------------------------------------------------------------------
 * Long patterns, long journeys
 *--------------------------------------------------------------------------------------------------------
 */

/* A pattern of n times a piece */
static char *
repeated(const char *piece, int n, const char *end)
{
	char	   *text = allocate(strlen(piece) * (size_t) n + strlen(end) + 1);
	char	   *p = text;

	for (int i = 0; i < n; i++)
		p += sprintf(p, "%s", piece);
	sprintf(p, "%s", end);
	return text;
}

static void
hostile(void)
{
	static const char *const pieces[] = {
		".*(?1)", ".*(?1).*(?1)", "(?1)(?t>=1)", "(?1)(?t<=100000)", "(?1)(?t==1)", "(?1)(?t==0)", ".*(?t>0).", "(?1)(?t<=5).*(?t==3)",
		".(?t<2).*", ".*(?t==2)(?1)"
	};
	static const char *const ends[] = {"", "(?2)", ".*(?t==7)(?2)", ".*(?2).*(?2)"};
	size_t		n = 20000;
	uint8_t    *bytes = allocate(n);
	int64_t    *at = allocate(n * sizeof(int64_t));
	SequenceEvents events = {0};

	events.count = n;
	events.bytes = bytes;
	events.at = at;
	for (int ties = 0; ties < 3; ties++)
	{
		for (size_t i = 0; i < n; i++)
		{
			bytes[i] = 1;
			at[i] = ties == 0 ? (int64_t) i * 1000000 : ties == 1 ? 0 : (int64_t) (i / (n / 4)) * 1000000;
		}
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++)
			for (size_t e = 0; e < sizeof(ends) / sizeof(ends[0]); e++)
			{
				char	   *text = repeated(pieces[k], 200, ends[e]);
				Case		c;
				uint64_t	work[3];
				uint64_t	bound;
				size_t	   *taken;
				char		what[200];

				begin(&c, text, 2, 4);
				check(c.status == SEQUENCE_OK, text);
				taken = allocate((c.pattern.count + 1) * sizeof(size_t));
				(void) count(&c.machine, &events, true, &work[0]);
				(void) count(&c.machine, &events, false, &work[1]);
				(void) trace(&c.machine, &events, taken, &work[2]);
				bound = (uint64_t) n * (2 * c.machine.words + 3 * c.pattern.comparisons + 2) + 1000 * c.pattern.count;
				snprintf(what, sizeof(what), "200 times %s and %s: work %llu %llu %llu is within %llu", pieces[k], ends[e],
						 (unsigned long long) work[0], (unsigned long long) work[1], (unsigned long long) work[2], (unsigned long long) bound);
				check(work[0] <= bound && work[1] <= bound && work[2] <= bound, what);
				free(taken);
				free(text);
				finish(&c);
			}
	}

	/* without comparisons of times: four words an event, and no more */
	free(bytes);
	free(at);
	n = 100000;
	events.count = n;
	events.bytes = bytes = allocate(n);
	events.at = at = allocate(n * sizeof(int64_t));
	memset(bytes, 1, n);
	for (size_t i = 0; i < n; i++)
		at[i] = (int64_t) i * 1000000;
	{
		char	   *text = repeated("(?1).*", 200, "(?2)");
		Case		c;
		uint64_t	work;

		begin(&c, text, 2, 4);
		check(count(&c.machine, &events, false, &work) == 0, "there is no event of the last condition");
		check(c.machine.words == 4 && work <= 4 * n + 4, "200 elements of a pattern are four words an event");
		bytes[n - 1] = 2;
		check(count(&c.machine, &events, false, &work) == 1, "now there is one");
		free(text);
		finish(&c);
	}
	/* and as many matches as fit */
	{
		char	   *text = repeated("(?1)", 100, "");
		Case		c;

		memset(bytes, 1, n);
		begin(&c, text, 1, 2);
		check(count(&c.machine, &events, false, NULL) == n / 100, "matches do not overlap");
		free(text);
		finish(&c);
	}
	free(bytes);
	free(at);
}

/*--------------------------------------------------------------------------------------------------------
 * The language
 *--------------------------------------------------------------------------------------------------------
 */

static void
refuse(const char *text, SequenceStatus status, size_t position)
{
	Case		c;

	begin(&c, text, 2, 4);
	check(c.status == status && c.position == position, text);
	finish(&c);
}

static void
language(void)
{
	static const char alphabet[] = "(?t<=>1230.*) x";
	int			good = 0;

	refuse("x", SEQUENCE_BAD_ELEMENT, 0);
	refuse("(?1) (?2)", SEQUENCE_BAD_ELEMENT, 4);
	refuse("(?1)*", SEQUENCE_BAD_ELEMENT, 4);
	refuse("(1)", SEQUENCE_BAD_ELEMENT, 0);
	refuse("(?1)(?", SEQUENCE_NO_NUMBER, 6);
	refuse("(?x)", SEQUENCE_NO_NUMBER, 2);
	refuse("(?0)", SEQUENCE_NO_SUCH_CONDITION, 2);
	refuse(".(?3)", SEQUENCE_NO_SUCH_CONDITION, 3);
	refuse("(?18446744073709551617)", SEQUENCE_NO_SUCH_CONDITION, 2);
	refuse("(?1", SEQUENCE_NOT_CLOSED, 3);
	refuse("(?1(?2)", SEQUENCE_NOT_CLOSED, 3);
	refuse("(?t=5)", SEQUENCE_NO_COMPARISON, 3);
	refuse("(?t!=5)", SEQUENCE_NO_COMPARISON, 3);
	refuse("(?t<=)", SEQUENCE_NO_NUMBER, 5);
	refuse("(?t<=-1)", SEQUENCE_NO_NUMBER, 5);
	refuse("(?t<=1.)", SEQUENCE_NO_NUMBER, 7);
	refuse("(?t<=1.1234567)", SEQUENCE_NOT_CLOSED, 13);
	refuse("(?t>99999999999999)", SEQUENCE_TIME_TOO_LONG, 4);
	refuse("(?1)(?t>1)(?t<5)(?2)", SEQUENCE_TIME_AFTER_TIME, 10);

	/* whatever comes, there is an answer, and what is wrong lies in the text */
	for (int round = 0; round < 200000; round++)
	{
		char		text[24];
		size_t		length = next_random(sizeof(text) - 1);
		Case		c;

		for (size_t i = 0; i < length; i++)
			text[i] = alphabet[next_random(sizeof(alphabet) - 1)];
		if (next_random(2) == 0 && length > 8)
			memcpy(text + next_random((uint32_t) length - 8), "(?t<=1)", 7);
		if (next_random(2) == 0 && length > 5)
			memcpy(text + next_random((uint32_t) length - 5), "(?1)", 4);
		text[length] = 0;
		begin(&c, text, 2, 4);
		if (c.status != SEQUENCE_OK && c.position > length)
			failed++;
		good += c.status == SEQUENCE_OK && length > 0;
		finish(&c);
	}
	check(good > 300, "among random texts there are patterns");

	{
		char	   *text = repeated(".", SEQUENCE_MAX_ELEMENTS, "");
		char	   *longer = repeated(".", SEQUENCE_MAX_ELEMENTS, ".");
		Case		c;

		begin(&c, text, 1, 2);
		check(c.status == SEQUENCE_OK && c.pattern.count == SEQUENCE_MAX_ELEMENTS, "a pattern of as many elements as may be");
		finish(&c);
		begin(&c, longer, 1, 2);
		check(c.status == SEQUENCE_TOO_MANY && c.position == SEQUENCE_MAX_ELEMENTS, "one more is too many");
		finish(&c);
		free(text);
		free(longer);
	}
	/* decimals */
	{
		Case		c;

		begin(&c, "(?1)(?t<=0.25)(?t", 2, 4);
		finish(&c);
		begin(&c, "(?1)(?t<=12.000001)(?2)", 2, 4);
		check(c.status == SEQUENCE_OK && c.pattern.elements[1].duration == 12000001, "seconds have six decimals");
		finish(&c);
	}
}

int
main(void)
{
	random_cases();
	language();
	hostile();
	return report();
}
