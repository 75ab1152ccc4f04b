/*
 * src/sequence_core.c
 *		Patterns of events: does one occur, how often, and when?
 *
 * Copyright (c) 2026, cxm developers
 */
#include "sequence_core.h"

#define BITS 64

/* how much work is done between two looks for interrupts */
#define POLL_WORK ((size_t) 1 << 18)

/* microseconds in a second, and how many decimals of a second there are */
#define SECOND UINT64_C(1000000)
#define DECIMALS 6

#define ALIGN8(n) (((n) + 7) & ~(size_t) 7)

/* compiled once for each constant that it is called with */
#if defined(__GNUC__)
#define FORCE_INLINE static inline __attribute__((always_inline))
#else
#define FORCE_INLINE static inline
#endif

static inline bool
is_comparison(SequenceKind kind)
{
	return kind >= SEQUENCE_AT_MOST;
}

/*--------------------------------------------------------------------------------------------------------
 * Parsing
 *--------------------------------------------------------------------------------------------------------
 */

typedef struct Parser
{
	const char *text;
	size_t		length;
	size_t		position;
} Parser;

static bool
accept(Parser *p, const char *word)
{
	size_t		n = strlen(word);

	if (p->length - p->position < n || memcmp(p->text + p->position, word, n) != 0)
		return false;
	p->position += n;
	return true;
}

/* A number without sign; what does not fit is UINT64_MAX */
static bool
accept_number(Parser *p, uint64_t *number)
{
	size_t		start = p->position;

	*number = 0;
	while (p->position < p->length && p->text[p->position] >= '0' && p->text[p->position] <= '9')
	{
		uint64_t	digit = (uint64_t) (p->text[p->position++] - '0');

		*number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
	}
	return p->position > start;
}

/* Seconds, with up to six decimals, as microseconds */
static SequenceStatus
accept_duration(Parser *p, uint64_t *duration)
{
	size_t		start = p->position;
	uint64_t	seconds;
	uint64_t	fraction = 0;
	uint64_t	unit = SECOND;

	if (!accept_number(p, &seconds))
		return SEQUENCE_NO_NUMBER;
	if (accept(p, "."))
	{
		size_t		first = p->position;

		while (p->position < p->length && p->text[p->position] >= '0' && p->text[p->position] <= '9' &&
			   p->position - first < DECIMALS)
		{
			unit /= 10;
			fraction += unit * (uint64_t) (p->text[p->position++] - '0');
		}
		if (p->position == first)
			return SEQUENCE_NO_NUMBER;
	}
	if (seconds > (uint64_t) INT64_MAX / SECOND - 1)
	{
		p->position = start;
		return SEQUENCE_TIME_TOO_LONG;
	}
	*duration = seconds * SECOND + fraction;
	return SEQUENCE_OK;
}

static bool
accept_comparison(Parser *p, SequenceKind *kind)
{
	if (accept(p, "<="))
		*kind = SEQUENCE_AT_MOST;
	else if (accept(p, "<"))
		*kind = SEQUENCE_LESS;
	else if (accept(p, ">="))
		*kind = SEQUENCE_AT_LEAST;
	else if (accept(p, ">"))
		*kind = SEQUENCE_MORE;
	else if (accept(p, "=="))
		*kind = SEQUENCE_EXACTLY;
	else
		return false;
	return true;
}

/*
 * After any number of events that are passed over, the time is compared with that of the event that one came to:
 * these hold at once, wherever that is.
 */
static bool
holds_at_once(const SequenceElement *element)
{
	return element->star &&
		(element->kind == SEQUENCE_AT_MOST ||
		 (element->kind == SEQUENCE_LESS && element->duration > 0) ||
		 (element->kind == SEQUENCE_AT_LEAST && element->duration == 0));
}

static bool
may_be_empty(const SequenceElement *element)
{
	return element->kind == SEQUENCE_AT_MOST || element->kind == SEQUENCE_LESS ||
		(element->kind == SEQUENCE_AT_LEAST && element->duration == 0);
}

/* What follows from the elements */
static void
finish_pattern(SequencePattern *pattern)
{
	pattern->comparisons = 0;
	pattern->exact = 0;
	for (size_t j = 0; j < pattern->count; j++)
	{
		pattern->comparisons += is_comparison(pattern->elements[j].kind);
		pattern->exact += pattern->elements[j].kind == SEQUENCE_EXACTLY;
	}
	pattern->empty_from = pattern->count;
	while (pattern->empty_from > 0 && may_be_empty(&pattern->elements[pattern->empty_from - 1]))
		pattern->empty_from--;
}

SequenceStatus
cxm_sequence_parse(const char *text, size_t length, size_t conditions, SequenceElement *elements,
				   SequencePattern *pattern, size_t *position)
{
	Parser		p = {text, length, 0};
	bool		star = true;	/* a match may begin anywhere */
	bool		after_comparison = false;

	pattern->count = 0;
	pattern->elements = elements;
	while (p.position < p.length)
	{
		SequenceElement element = {SEQUENCE_ANY, star, 0, 0};
		SequenceStatus status = SEQUENCE_OK;

		*position = p.position;
		if (accept(&p, ".*"))
		{
			star = true;
			after_comparison = false;
			continue;
		}
		if (accept(&p, "(?t"))
		{
			if (after_comparison)
				return SEQUENCE_TIME_AFTER_TIME;
			*position = p.position;
			if (!accept_comparison(&p, &element.kind))
				return SEQUENCE_NO_COMPARISON;
			status = accept_duration(&p, &element.duration);
			*position = p.position;
		}
		else if (accept(&p, "(?"))
		{
			uint64_t	number;

			element.kind = SEQUENCE_CONDITION;
			*position = p.position;
			if (!accept_number(&p, &number))
				status = SEQUENCE_NO_NUMBER;
			else if (number < 1 || number > conditions)
				status = SEQUENCE_NO_SUCH_CONDITION;
			else
				element.condition = (uint32_t) (number - 1);
		}
		else if (!accept(&p, "."))
			return SEQUENCE_BAD_ELEMENT;
		if (status != SEQUENCE_OK)
			return status;
		if (element.kind != SEQUENCE_ANY)
		{
			*position = p.position;
			if (!accept(&p, ")"))
				return SEQUENCE_NOT_CLOSED;
		}
		after_comparison = is_comparison(element.kind);
		if (after_comparison && holds_at_once(&element))
			continue;
		if (pattern->count == SEQUENCE_MAX_ELEMENTS)
			return SEQUENCE_TOO_MANY;
		elements[pattern->count++] = element;
		star = false;
	}
	finish_pattern(pattern);
	return SEQUENCE_OK;
}

void
cxm_sequence_relax(const SequencePattern *pattern, SequenceElement *elements, SequencePattern *relaxed)
{
	bool		star = false;

	relaxed->count = 0;
	relaxed->elements = elements;
	for (size_t j = 0; j < pattern->count; j++)
	{
		star |= pattern->elements[j].star;
		if (is_comparison(pattern->elements[j].kind))
			star = true;
		else
		{
			elements[relaxed->count] = pattern->elements[j];
			elements[relaxed->count++].star = star;
			star = false;
		}
	}
	finish_pattern(relaxed);
}

/*--------------------------------------------------------------------------------------------------------
 * Which elements take which symbols
 *--------------------------------------------------------------------------------------------------------
 */

/* Words of a set of elements that has room for the end of the pattern, too */
static size_t
words_of(const SequencePattern *pattern)
{
	return pattern->count / BITS + 1;
}

size_t
cxm_sequence_machine_size(const SequencePattern *pattern, size_t symbols)
{
	size_t		words = words_of(pattern);

	return sizeof(uint64_t) * (symbols * words + symbols + 3 * words) + ALIGN8(symbols * sizeof(bool));
}

void
cxm_sequence_machine(SequenceMachine *machine, const SequencePattern *pattern, size_t symbols,
					 void *memory)
{
	size_t		words = words_of(pattern);
	uint64_t   *next = memory;

	memset(memory, 0, cxm_sequence_machine_size(pattern, symbols));
	machine->pattern = pattern;
	machine->symbols = symbols;
	machine->words = words;
	machine->takes = next;
	next += symbols * words;
	machine->keeps = next;
	next += symbols;
	machine->star = next;
	next += words;
	machine->times = next;
	next += words;
	machine->conditions = next;
	next += words;
	machine->exists = (bool *) next;

	for (size_t j = 0; j < pattern->count; j++)
	{
		uint64_t	bit = UINT64_C(1) << j % BITS;

		if (pattern->elements[j].star)
			machine->star[j / BITS] |= bit;
		if (is_comparison(pattern->elements[j].kind))
			machine->times[j / BITS] |= bit;
		if (pattern->elements[j].kind == SEQUENCE_CONDITION)
			machine->conditions[j / BITS] |= bit;
	}
	for (size_t s = 0; s < symbols; s++)
		machine->keeps[s] = UINT64_MAX;
}

void
cxm_sequence_tell(SequenceMachine *machine, uint32_t symbol, uint32_t condition)
{
	uint64_t   *takes = machine->takes + symbol * machine->words;
	const SequencePattern *pattern = machine->pattern;
	bool		is_new = !machine->exists[symbol];

	machine->exists[symbol] = true;
	machine->keeps[symbol] = machine->star[0];
	for (size_t j = 0; j < pattern->count; j++)
	{
		const SequenceElement *element = &pattern->elements[j];

		if ((element->kind == SEQUENCE_ANY && is_new) ||
			(element->kind == SEQUENCE_CONDITION && element->condition == condition))
			takes[j / BITS] |= UINT64_C(1) << j % BITS;
	}
}

/*--------------------------------------------------------------------------------------------------------
 * Reading events
 *--------------------------------------------------------------------------------------------------------
 */

FORCE_INLINE uint32_t
symbol_of(const SequenceEvents *events, size_t i)
{
	return events->bytes != NULL ? events->bytes[i] : events->words[i];
}

static inline int64_t
time_of(const SequenceEvents *events, size_t i)
{
	return events->at != NULL ? events->at[i] : journey_at(events->view, i);
}

/* Microseconds from one time to a later one, which may be more than a signed number can say */
static inline uint64_t
elapsed(int64_t from, int64_t to)
{
	return (uint64_t) to - (uint64_t) from;
}

static inline bool
compare(SequenceKind kind, uint64_t elapsed, uint64_t duration)
{
	switch (kind)
	{
		case SEQUENCE_AT_MOST:
			return elapsed <= duration;
		case SEQUENCE_LESS:
			return elapsed < duration;
		case SEQUENCE_AT_LEAST:
			return elapsed >= duration;
		case SEQUENCE_MORE:
			return elapsed > duration;
		default:
			return elapsed == duration;
	}
}

/* The lowest bit of a set that is not empty */
static inline size_t
lowest(uint64_t set)
{
#if defined(__GNUC__)
	return (size_t) __builtin_ctzll(set);
#else
	size_t		n = 0;

	while ((set >> n & 1) == 0)
		n++;
	return n;
#endif
}

static inline size_t
highest(uint64_t set)
{
	size_t		n = 0;

	while (set >>= 1)
		n++;
	return n;
}

/*--------------------------------------------------------------------------------------------------------
 * Patterns of one word that compare no times
 *
 * The end of the pattern is one more bit: there are at most 63 elements.
 *--------------------------------------------------------------------------------------------------------
 */

FORCE_INLINE uint64_t
count_untimed(const SequenceMachine *m, const SequenceEvents *events, bool wide, bool only_first, JourneyPoll poll,
			  uint64_t *work)
{
	const uint64_t *takes = m->takes;
	const uint64_t *keeps = m->keeps;
	uint64_t	end = UINT64_C(1) << m->pattern->count;
	uint64_t	active = 1;
	uint64_t	matches = 0;
	size_t		i = 0;

	while (i < events->count)
	{
		size_t		stop = events->count - i > POLL_WORK ? i + POLL_WORK : events->count;

		for (; i < stop; i++)
		{
			uint32_t	s = wide ? events->words[i] : events->bytes[i];

			active = (active & takes[s]) << 1 | (active & keeps[s]);
			if (active & end)
			{
				matches++;
				active = 1;
				if (only_first)
				{
					*work += i + 1;
					return matches;
				}
			}
		}
		if (poll != NULL)
			poll();
	}
	*work += events->count;
	return matches;
}

/*--------------------------------------------------------------------------------------------------------
 * All patterns
 *--------------------------------------------------------------------------------------------------------
 */

/* What a run remembers of a comparison of times that may be the next element to be fulfilled */
typedef struct Comparison
{
	int64_t		base;			/* the time to compare with */
	size_t		cursor;			/* SEQUENCE_EXACTLY: the first event that is not too long ago */
	uint64_t   *groups;			/* SEQUENCE_EXACTLY: times to compare with, as the first event of each */
	size_t		base_event;		/* trace: the first event to compare with */
	uint64_t   *bases;			/* trace: all events to compare with */
} Comparison;

/* The parts of the caller's memory; sets of elements have machine->words words */
typedef struct Scratch
{
	uint64_t   *active;			/* elements that may take the next event */
	uint64_t   *live;			/* comparisons that have something to compare with */
	uint64_t   *done;			/* comparisons that hold from now on */
	uint64_t   *sticky;			/* elements that follow those */
	uint64_t   *came;			/* elements that came up by the event taken last */
	Comparison *comparisons;	/* by element */
	size_t	   *first;			/* trace: by element with a star, the event at which it came up */
	size_t		stride;			/* words of a bit an event */
} Scratch;

/* Sets of events that a run needs */
static size_t
sets_of(const SequencePattern *pattern, bool trace)
{
	return pattern->exact + (trace ? pattern->comparisons : 0);
}

size_t
cxm_sequence_scratch_size(const SequenceMachine *machine, size_t events, bool trace)
{
	const SequencePattern *pattern = machine->pattern;
	size_t		stride = events / BITS + 1;
	size_t		sets = sets_of(pattern, trace);
	size_t		fixed = 5 * machine->words * sizeof(uint64_t) +
		pattern->count * (sizeof(Comparison) + sizeof(size_t));

	if (sets > 0 && stride > (SIZE_MAX - fixed) / sizeof(uint64_t) / sets)
		return SIZE_MAX;
	return fixed + sets * stride * sizeof(uint64_t);
}

static void
divide_scratch(const SequenceMachine *machine, size_t events, bool trace, void *memory, Scratch *scratch)
{
	const SequencePattern *pattern = machine->pattern;
	uint64_t   *next = memory;
	uint64_t   *set;

	memset(memory, 0, cxm_sequence_scratch_size(machine, events, trace));
	scratch->stride = events / BITS + 1;
	scratch->active = next;
	scratch->live = next + machine->words;
	scratch->done = next + 2 * machine->words;
	scratch->sticky = next + 3 * machine->words;
	scratch->came = next + 4 * machine->words;
	next += 5 * machine->words;
	scratch->comparisons = (Comparison *) next;
	scratch->first = (size_t *) (scratch->comparisons + pattern->count);
	set = (uint64_t *) (scratch->first + pattern->count);
	for (size_t j = 0; j < pattern->count; j++)
	{
		if (pattern->elements[j].kind == SEQUENCE_EXACTLY)
		{
			scratch->comparisons[j].groups = set;
			set += scratch->stride;
		}
		if (trace && is_comparison(pattern->elements[j].kind))
		{
			scratch->comparisons[j].bases = set;
			set += scratch->stride;
		}
	}
}

static inline void
set_bit(uint64_t *set, size_t i)
{
	set[i / BITS] |= UINT64_C(1) << i % BITS;
}

static inline bool
has_bit(const uint64_t *set, size_t i)
{
	return set[i / BITS] >> i % BITS & 1;
}

/* Where a run stands */
typedef struct Run
{
	const SequenceMachine *machine;
	const SequenceEvents *events;
	Scratch		scratch;
	bool		trace;
	bool		fresh;			/* no event was looked at since the last match */
	size_t		previous;		/* the event looked at last */
	size_t		group;			/* with SEQUENCE_EXACTLY: the first event since start of the time of this one */
	size_t		previous_group;
	int64_t		group_time;
	uint64_t	work;
} Run;

static void
start_match(Run *run)
{
	size_t		words = run->machine->words;
	Scratch    *scratch = &run->scratch;

	/* active, live, done, sticky and came lie side by side */
	memset(scratch->active, 0, 5 * words * sizeof(uint64_t));
	scratch->active[0] = 1;
	run->fresh = true;
	run->work += words;
}

/* Does the comparison j hold at event i, at time t? It came up now if it has arrived. */
static bool
fulfilled(Run *run, size_t j, size_t i, int64_t t, bool arrived)
{
	const SequenceElement *element = &run->machine->pattern->elements[j];
	Comparison *c = &run->scratch.comparisons[j];
	uint64_t   *live = &run->scratch.live[j / BITS];
	uint64_t	bit = UINT64_C(1) << j % BITS;
	bool		holds;

	run->work++;
	if (arrived)
	{
		/* the event to compare with: the one taken last, or where ".*" came to */
		size_t		base = element->star ? i : run->previous;

		if (element->kind == SEQUENCE_EXACTLY)
		{
			size_t		group = element->star ? run->group : run->previous_group;

			if (!(*live & bit))
				c->cursor = group;
			set_bit(c->groups, group);
		}
		else if (element->kind == SEQUENCE_AT_MOST || element->kind == SEQUENCE_LESS || !(*live & bit))
			c->base = element->star ? t : time_of(run->events, base);
		if (run->trace)
		{
			if (!(*live & bit))
				c->base_event = base;
			set_bit(c->bases, base);
		}
		*live |= bit;
	}
	switch (element->kind)
	{
		case SEQUENCE_AT_MOST:
		case SEQUENCE_LESS:
			/* time goes on, so what is too long ago stays so */
			holds = compare(element->kind, elapsed(c->base, t), element->duration);
			if (!holds)
				*live &= ~bit;
			return holds;
		case SEQUENCE_AT_LEAST:
		case SEQUENCE_MORE:
			/* and what is long enough ago stays so, too */
			holds = compare(element->kind, elapsed(c->base, t), element->duration);
			if (holds)
			{
				*live &= ~bit;
				run->scratch.done[j / BITS] |= bit;
				set_bit(run->scratch.sticky, j + 1);
			}
			return holds;
		default:
			while (c->cursor < i && (!run->machine->exists[symbol_of(run->events, c->cursor)] ||
									 elapsed(time_of(run->events, c->cursor), t) > element->duration))
			{
				c->cursor++;
				run->work++;
			}
			return elapsed(time_of(run->events, c->cursor), t) == element->duration && has_bit(c->groups, c->cursor);
	}
}

/* An element comes up at event i */
static inline void
came_up(Run *run, size_t j, size_t i)
{
	if (run->trace && j < run->machine->pattern->count && run->machine->pattern->elements[j].star &&
		!has_bit(run->scratch.active, j))
		run->scratch.first[j] = i;
	set_bit(run->scratch.active, j);
}

/* Comparisons at event i; true where the pattern ends with one that holds */
static bool
compare_times(Run *run, size_t i)
{
	const SequenceMachine *m = run->machine;
	Scratch    *scratch = &run->scratch;
	bool		has_time = false;
	bool		ended = false;
	int64_t		t = 0;

	if (m->pattern->exact > 0)
	{
		t = time_of(run->events, i);
		has_time = true;
		if (run->fresh || t != run->group_time)
		{
			run->group = i;
			run->group_time = t;
		}
	}
	for (size_t w = 0; w < m->words; w++)
	{
		uint64_t	waiting = ((scratch->active[w] & m->times[w]) | scratch->live[w]) & ~scratch->done[w];

		run->work++;
		while (waiting != 0)
		{
			size_t		j = w * BITS + lowest(waiting);

			if (!has_time)
			{
				t = time_of(run->events, i);
				has_time = true;
			}
			waiting &= waiting - 1;
			if (!fulfilled(run, j, i, t, has_bit(scratch->active, j)))
				continue;
			came_up(run, j + 1, i);
			if (j + 1 == m->pattern->count)
				ended = true;
			else if ((j + 1) / BITS == w && has_bit(m->times, j + 1) && !has_bit(scratch->done, j + 1))
				waiting |= UINT64_C(1) << (j + 1) % BITS;
		}
	}
	return ended;
}

/* Event i is taken or passed over; true where the pattern ends with it */
static bool
take_event(Run *run, size_t i)
{
	const SequenceMachine *m = run->machine;
	Scratch    *scratch = &run->scratch;
	const uint64_t *takes = m->takes + symbol_of(run->events, i) * m->words;
	uint64_t	carry = 0;

	for (size_t w = 0; w < m->words; w++)
	{
		uint64_t	taking = scratch->active[w] & takes[w];
		uint64_t	staying = scratch->active[w] & (m->star[w] | scratch->sticky[w]);
		uint64_t	came = taking << 1 | carry;

		carry = taking >> (BITS - 1);
		if (run->trace)
		{
			uint64_t	fresh = came & m->star[w] & ~staying;

			for (; fresh != 0; fresh &= fresh - 1)
				scratch->first[w * BITS + lowest(fresh)] = i;
		}
		scratch->came[w] = came;
		scratch->active[w] = staying | came;
	}
	run->work += m->words;
	run->previous = i;
	run->previous_group = run->group;
	run->fresh = false;
	return has_bit(scratch->came, m->pattern->count);
}

/* Is a match complete where the events are over? */
static bool
ends_empty(const Run *run)
{
	const SequencePattern *pattern = run->machine->pattern;

	if (run->fresh)
		return false;
	for (size_t j = pattern->empty_from; j < pattern->count; j++)
	{
		if (has_bit(run->scratch.came, j))
			return true;
	}
	return false;
}

static uint64_t
count_any(const SequenceMachine *machine, const SequenceEvents *events, bool only_first, void *memory,
		  JourneyPoll poll, uint64_t *work)
{
	Run			run = {0};
	uint64_t	matches = 0;
	uint64_t	next_poll = POLL_WORK;
	bool		passed;			/* the event at hand cannot be of the next match */
	bool		is_short = machine->words == 1 && machine->pattern->exact == 0;

	run.machine = machine;
	run.events = events;
	divide_scratch(machine, events->count, false, memory, &run.scratch);
	start_match(&run);

	for (size_t i = 0; i < events->count; i++)
	{
		if (run.work + i > next_poll)
		{
			next_poll += POLL_WORK;
			if (poll != NULL)
				poll();
		}
		if (!machine->exists[symbol_of(events, i)])
			continue;
		/* nothing has begun, and this event begins nothing: most events are such */
		if (is_short && run.scratch.active[0] == 1 && run.scratch.live[0] == 0 && (machine->times[0] & 1) == 0 &&
			(machine->takes[symbol_of(events, i)] & 1) == 0)
		{
			run.scratch.came[0] = 0;
			run.previous = i;
			run.fresh = false;
			run.work++;
			continue;
		}
		passed = false;
		while (machine->pattern->comparisons > 0 && !passed && compare_times(&run, i))
		{
			matches++;
			if (only_first)
				goto finish;

			/* this event was not taken, so the next match may begin with it; but not where none was taken */
			passed = run.fresh;
			for (size_t j = 0; machine->pattern->exact > 0 && j < machine->pattern->count; j++)
			{
				if (run.scratch.comparisons[j].groups != NULL)
					run.scratch.comparisons[j].groups[i / BITS] &= ~(UINT64_C(1) << i % BITS);
				run.work++;
			}
			start_match(&run);
		}
		if (!passed && take_event(&run, i))
		{
			matches++;
			if (only_first)
				goto finish;
			start_match(&run);
		}
	}
	if (ends_empty(&run))
		matches++;

finish:
	*work += run.work;
	return matches;
}

uint64_t
cxm_sequence_count(const SequenceMachine *machine, const SequenceEvents *events, bool only_first, void *memory,
				   JourneyPoll poll, uint64_t *work)
{
	uint64_t	spent = 0;
	uint64_t	matches = 0;

	if (machine->pattern->count == 0)
	{
		/* a match of nothing, before every event; one without any event, too */
		if (only_first)
			matches = 1;
		for (size_t i = 0; i < events->count && !only_first; i++)
			matches += machine->exists[symbol_of(events, i)];
	}
	else if (machine->pattern->empty_from == 0)
	{
		/* it never holds where there is an event, and is complete where they are over */
		matches = only_first;
		for (size_t i = 0; i < events->count && matches == 0; i++)
			matches = machine->exists[symbol_of(events, i)];
	}
	else if (machine->words > 1 || machine->pattern->comparisons > 0)
		matches = count_any(machine, events, only_first, memory, poll, &spent);
	else if (events->bytes == NULL)
		matches = only_first ? count_untimed(machine, events, true, true, poll, &spent) :
			count_untimed(machine, events, true, false, poll, &spent);
	else
		matches = only_first ? count_untimed(machine, events, false, true, poll, &spent) :
			count_untimed(machine, events, false, false, poll, &spent);
	if (work != NULL)
		*work = spent;
	return matches;
}

/*--------------------------------------------------------------------------------------------------------
 * Which events a match takes
 *--------------------------------------------------------------------------------------------------------
 */

/* The last existing event before i; there is one */
static size_t
event_before(const Run *run, size_t i)
{
	do
		i--;
	while (i > 0 && !run->machine->exists[symbol_of(run->events, i)]);
	return i;
}

/* The first event that the comparison j, which holds at event i, may have been with */
static size_t
first_base(const Run *run, size_t j, size_t i)
{
	const SequenceElement *element = &run->machine->pattern->elements[j];
	const Comparison *c = &run->scratch.comparisons[j];
	int64_t		t = time_of(run->events, i);

	if (element->kind == SEQUENCE_AT_LEAST || element->kind == SEQUENCE_MORE)
		return c->base_event;
	for (size_t w = 0; w <= i / BITS; w++)
	{
		for (uint64_t set = c->bases[w]; set != 0; set &= set - 1)
		{
			size_t		base = w * BITS + lowest(set);

			if (base < i && compare(element->kind, elapsed(time_of(run->events, base), t), element->duration))
				return base;
		}
	}
	return c->base_event;
}

/* From the element j, which takes event i at the earliest, back to the first one */
static size_t
trace_back(const Run *run, size_t j, size_t i, size_t *taken)
{
	const SequenceElement *elements = run->machine->pattern->elements;
	size_t		n = 0;

	for (;;)
	{
		if (elements[j].kind == SEQUENCE_CONDITION)
			taken[n++] = i;
		if (j == 0)
			break;
		if (elements[j].star)
			i = run->scratch.first[j];
		else if (is_comparison(elements[j].kind))
			i = first_base(run, j, i);
		else if (!is_comparison(elements[j - 1].kind))
			i = event_before(run, i);
		j--;
	}
	for (size_t k = 0; k < n / 2; k++)
	{
		size_t		swap = taken[k];

		taken[k] = taken[n - 1 - k];
		taken[n - 1 - k] = swap;
	}
	return n;
}

size_t
cxm_sequence_trace(const SequenceMachine *machine, const SequenceEvents *events, size_t *taken, void *memory,
				   JourneyPoll poll, uint64_t *work)
{
	Run			run = {0};
	size_t		deepest = 0;	/* one more than the last condition that was taken */
	size_t		deepest_at = 0;
	size_t		last = machine->pattern->count; /* one more than the last condition that there is */
	uint64_t	next_poll = POLL_WORK;
	size_t		n = 0;

	while (last > 0 && machine->pattern->elements[last - 1].kind != SEQUENCE_CONDITION)
		last--;
	run.machine = machine;
	run.events = events;
	run.trace = true;
	divide_scratch(machine, events->count, true, memory, &run.scratch);
	start_match(&run);

	for (size_t i = 0; i < events->count && deepest < last; i++)
	{
		const uint64_t *takes;

		if (run.work + i > next_poll)
		{
			next_poll += POLL_WORK;
			if (poll != NULL)
				poll();
		}
		if (!machine->exists[symbol_of(events, i)])
			continue;
		if (machine->pattern->comparisons > 0)
			(void) compare_times(&run, i);
		takes = machine->takes + symbol_of(events, i) * machine->words;
		for (size_t w = machine->words; w-- > deepest / BITS;)
		{
			uint64_t	taking = run.scratch.active[w] & takes[w] & machine->conditions[w];

			if (taking == 0)
				continue;
			if (w * BITS + highest(taking) >= deepest)
			{
				deepest = w * BITS + highest(taking) + 1;
				deepest_at = i;
			}
			break;
		}
		(void) take_event(&run, i);
	}
	if (deepest > 0)
		n = trace_back(&run, deepest - 1, deepest_at, taken);
	if (work != NULL)
		*work = run.work;
	return n;
}
