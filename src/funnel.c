/*
 * src/funnel.c
 *		Functions that tell how far a journey, or a group of rows, comes through a sequence of steps.
 *
 * Steps, window and mode are the same for all rows of a query as a rule. So they are compiled once, into a plan that
 * is kept in fn_extra together with the memory of a search, and a row costs no allocation.
 *
 * funnel_agg() keeps rows as they come, a time and a bit for each condition, in a bytea that grows by doubling and is
 * changed in place; what is asked of them is kept with them, for that is what a combined state needs to know.
 *
 * The search is in funnel_core.c.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "funnel_core.h"
#include "journey.h"
#include "mb/pg_wchar.h"
#include "nodes/primnodes.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* memory for more events than this is a giant's, and given back when it is far too large for the next journey */
#define GIANT				65536

/* what the version byte of a state says */
#define STATE_VERSION		1

/*
 * Lengths of a state: powers of two, which leave nothing of a chunk unused. Each time that a state grows the executor
 * copies it once more, so small ones take large steps.
 */
#define FIRST_STATE			128
#define SECOND_STATE		512

/* what is known from one group to the next has no more conditions, over all sets of them */
#define MAX_KNOWN			4096

/* numbers of arguments of funnel() and funnel_times() */
#define ARG_JOURNEY			0
#define ARG_STEPS			1
#define ARG_WITHIN			2
#define ARG_MODE			3
#define ARG_EXCLUSIONS		4
#define ARG_ON_EXCLUSION	5
#define NARGS				6

/* A list of sets of codes, as it is read from arguments */
typedef struct Sets
{
	int			count;
	int			room;
	int32	  **codes;
	uint32	   *ncodes;
} Sets;

/* What funnel() and funnel_times() keep from row to row */
typedef struct FunnelState
{
	MemoryContext context;
	JourneyBuffer *buffer;

	/* the plan, in a context of its own, and copies of the arguments that it was made of */
	MemoryContext plan_context;
	FunnelPlan *plan;
	bool		is_constant;	/* the arguments cannot change */
	struct varlena *steps;
	Interval	within;
	struct varlena *mode;
	struct varlena *exclusions;
	struct varlena *on_exclusion;

	void	   *plain;			/* memory of searches */
	FunnelWork *work;
	Size		work_room;		/* events that "work" serves */
	bool		work_times;
	int64	   *times;

	Size		room;			/* events that fit in these */
	int64	   *at;
	uint32	   *class;
} FunnelState;

/* The state of funnel_agg(), behind the varlena header; rows of 8 bytes of time and one bit a condition follow */
typedef struct RowsHeader
{
	uint8		version;		/* STATE_VERSION */
	uint8		reserved[3];	/* zero */
	uint32		mode;
	int64		within;
	uint32		nsteps;
	uint32		nrows;
} RowsHeader;

/* What funnel_agg() keeps from row to row: the arguments as they were last read */
typedef struct RowArguments
{
	struct varlena *mode;
	uint32		mode_bits;
	bool		is_set;			/* is there a window yet? */
	Interval	within;
	int64		within_usecs;
} RowArguments;

/*--------------------------------------------------------------------------------------------------------
 * Arguments
 *--------------------------------------------------------------------------------------------------------
 */

/* The words of a mode, from text */
static unsigned
read_mode(const struct varlena *mode)
{
	const char *text = VARDATA_ANY(mode);
	Size		length = VARSIZE_ANY_EXHDR(mode);
	const char *word;
	size_t		word_length;
	unsigned	bits;
	FunnelStatus status = cxm_funnel_parse_mode(text, length, &bits, &word, &word_length);

	if (status == FUNNEL_UNKNOWN_WORD)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%.*s\" is not a mode of a funnel", pg_mbcliplen(word, (int) Min(word_length, 64), 64), word),
				 errhint("A mode is default, strict, any_order, or some of strict_order, allow_reentry, strict_deduplication, strict_increase and strict_once with commas between them.")));
	if (status == FUNNEL_WORDS_CLASH && (bits & FUNNEL_ALLOW_REENTRY) != 0 && (bits & FUNNEL_STRICT_ORDER) == 0 &&
		(bits & (FUNNEL_STRICT | FUNNEL_ANY_ORDER)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mode allow_reentry says nothing without strict_order"),
				 errhint("Write \"strict_order, allow_reentry\".")));
	if (status == FUNNEL_WORDS_CLASH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("modes strict and any_order do not go together with others"),
				 errhint("Choose one of them, or some of strict_order, allow_reentry, strict_deduplication, strict_increase and strict_once.")));
	return bits;
}

/* The length of a window in microseconds; a day is 24 hours */
static int64
read_within(const Interval *within)
{
	int64		days;
	int64		usecs;

#ifdef INTERVAL_NOT_FINITE
	if (INTERVAL_IS_NOEND(within))
		return PG_INT64_MAX;
#endif
	if (within->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the window of a funnel must not be in months or years"),
				 errdetail("Their length depends on the calendar; a day of a window is 24 hours."),
				 errhint("Write it in days, such as interval '30 days'.")));
	if (pg_mul_s64_overflow((int64) within->day, USECS_PER_DAY, &days) ||
		pg_add_s64_overflow(days, within->time, &usecs))
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("the window of a funnel is too long")));
	if (usecs < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the window of a funnel must not be negative"),
				 errhint("The window is the time from the first step to the last, such as interval '7 days'.")));
	return usecs;
}

static void
check_steps(int64 steps)
{
	if (steps == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a funnel needs a step"),
				 errhint("Steps are codes in their order, such as ARRAY[1, 2, 3].")));
	if (steps > FUNNEL_MAX_STEPS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%lld steps are too many", (long long) steps),
				 errdetail("A funnel has at most %d.", FUNNEL_MAX_STEPS)));
}

static void
add_set(Sets *sets)
{
	if (sets->count == sets->room)
	{
		sets->room = Max(8, 2 * sets->room);
		if (sets->codes == NULL)
		{
			sets->codes = palloc((Size) sets->room * sizeof(int32 *));
			sets->ncodes = palloc((Size) sets->room * sizeof(uint32));
		}
		else
		{
			sets->codes = repalloc(sets->codes, (Size) sets->room * sizeof(int32 *));
			sets->ncodes = repalloc(sets->ncodes, (Size) sets->room * sizeof(uint32));
		}
	}
	sets->codes[sets->count] = NULL;
	sets->ncodes[sets->count++] = 0;
}

/* Put a code into the last set; memory grows when their number is a power of two */
static void
add_code(Sets *sets, int32 code)
{
	int32	  **codes = &sets->codes[sets->count - 1];
	uint32	   *n = &sets->ncodes[sets->count - 1];

	if (*n == 0)
		*codes = palloc(sizeof(int32));
	else if ((*n & (*n - 1)) == 0)
		*codes = repalloc(*codes, 2 * (Size) *n * sizeof(int32));
	(*codes)[(*n)++] = code;
}

/* Steps of one code each, from an array */
static void
read_array(ArrayType *array, Sets *sets)
{
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	const int32 *codes = (const int32 *) ARR_DATA_PTR(array);

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("steps must be an array of one dimension"),
				 errhint("Steps that are sets of codes are written as jsonb, such as '[1, [2, 5], 3]'.")));
	check_steps(n);
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a step must not be null")));
	for (int i = 0; i < n; i++)
	{
		add_set(sets);
		add_code(sets, codes[i]);
	}
}

/* A whole number of 4 bytes */
static int32
read_number(const JsonbValue *value, const char *what)
{
	if (value->type == jbvNumeric)
	{
		const char *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		char	   *end;
		long long	number;

		errno = 0;
		number = strtoll(text, &end, 10);
		if (*end == '\0' && errno == 0 && number >= PG_INT32_MIN && number <= PG_INT32_MAX)
			return (int32) number;
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s %s is not a number of type integer", what, text)));
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s must be a number", what)));
}

/* Iterate; containers are entered */
static JsonbIteratorToken
next_token(JsonbIterator **it, JsonbValue *value)
{
	return JsonbIteratorNext(it, value, false);
}

/* The codes of a set behind its opening bracket */
static void
read_codes(JsonbIterator **it, Sets *sets)
{
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = next_token(it, &value)) != WJB_END_ARRAY)
	{
		if (token != WJB_ELEM)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a set of codes must contain numbers only")));
		add_code(sets, read_number(&value, "a code"));
	}
}

/* Steps, each a code or a set of codes, from JSON */
static void
read_json(Jsonb *json, Sets *sets)
{
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("steps must be a JSON array"),
				 errhint("A step is a code or a set of codes, such as '[1, [2, 5], 3]'.")));
	check_steps(JB_ROOT_COUNT(json));
	it = JsonbIteratorInit(&json->root);
	next_token(&it, &value);
	while ((token = next_token(&it, &value)) != WJB_END_ARRAY)
	{
		add_set(sets);
		if (token == WJB_BEGIN_ARRAY)
			read_codes(&it, sets);
		else if (token == WJB_ELEM)
			add_code(sets, read_number(&value, "a step"));
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a step must be a code or an array of codes")));
	}
}

/* An exclusion, from an object whose opening brace is read */
static void
read_exclusion(JsonbIterator **it, Sets *sets, int nsteps, int32 *from, int32 *to)
{
	JsonbValue	value;
	bool		has_codes = false;

	add_set(sets);
	*from = 1;
	*to = nsteps;
	while (next_token(it, &value) == WJB_KEY)
	{
		int			length = value.val.string.len;
		const char *key = value.val.string.val;
		JsonbIteratorToken token = next_token(it, &value);

		if (length == 5 && memcmp(key, "codes", 5) == 0)
		{
			has_codes = true;
			if (token == WJB_BEGIN_ARRAY)
				read_codes(it, sets);
			else if (token == WJB_VALUE)
				add_code(sets, read_number(&value, "a code"));
			else
				has_codes = false;
			if (!has_codes)
				break;
		}
		else if (length == 4 && memcmp(key, "from", 4) == 0)
			*from = read_number(&value, "from");
		else if (length == 2 && memcmp(key, "to", 2) == 0)
			*to = read_number(&value, "to");
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("an exclusion has no \"%.*s\"", pg_mbcliplen(key, Min(length, 64), 64), key),
					 errhint("It has codes, from and to, such as {\"codes\": [7], \"from\": 1, \"to\": 2}; the last two are numbers of steps.")));
	}
	if (!has_codes)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an exclusion must say which codes it is about"),
				 errhint("Write an object such as {\"codes\": [7], \"from\": 1, \"to\": 2}.")));
	if (*from < 1 || *to > nsteps || *from >= *to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an exclusion cannot be from step %d to step %d", *from, *to),
				 errdetail("The funnel has %d steps, counted from 1, and an exclusion is from one to a later one.", nsteps)));
}

static void
read_exclusions(Jsonb *json, unsigned mode, int nsteps, Sets *sets, int32 **from, int32 **to)
{
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("exclusions must be a JSON array"),
				 errhint("Write objects such as '[{\"codes\": [7], \"from\": 1, \"to\": 2}]'.")));
	if (JB_ROOT_COUNT(json) == 0)
		return;
	if ((mode & FUNNEL_STRICT) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("exclusions say nothing in mode strict"),
				 errdetail("There, any event between two steps ends the chain.")));
	*from = palloc(JB_ROOT_COUNT(json) * sizeof(int32));
	*to = palloc(JB_ROOT_COUNT(json) * sizeof(int32));
	it = JsonbIteratorInit(&json->root);
	next_token(&it, &value);
	while ((token = next_token(&it, &value)) != WJB_END_ARRAY)
	{
		if (token != WJB_BEGIN_OBJECT)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("an exclusion must be a JSON object"),
					 errhint("Write objects such as {\"codes\": [7], \"from\": 1, \"to\": 2}.")));
		read_exclusion(&it, sets, nsteps, *from + sets->count, *to + sets->count);
		if ((mode & FUNNEL_ANY_ORDER) != 0 && ((*to)[sets->count - 1] != nsteps || (*from)[sets->count - 1] != 1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("in mode any_order an exclusion cannot be from step %d to step %d",
							(*from)[sets->count - 1], (*to)[sets->count - 1]),
					 errdetail("Steps have no order there."),
					 errhint("Leave from and to out.")));
	}
}

static bool
is_cut(const struct varlena *on_exclusion)
{
	const char *text = VARDATA_ANY(on_exclusion);
	Size		length = VARSIZE_ANY_EXHDR(on_exclusion);

	if (length == 3 && memcmp(text, "cut", 3) == 0)
		return true;
	if (length != 6 || memcmp(text, "remove", 6) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_exclusion must be remove or cut, not \"%.*s\"",
						pg_mbcliplen(text, (int) Min(length, 64), 64), text)));
	return false;
}

/*--------------------------------------------------------------------------------------------------------
 * Plans
 *--------------------------------------------------------------------------------------------------------
 */

/* Is the argument what the copy is of? */
static bool
is_same(const struct varlena *value, const struct varlena *copy)
{
	return VARSIZE_ANY(value) == VARSIZE_ANY(copy) && memcmp(value, copy, VARSIZE_ANY(value)) == 0;
}

static struct varlena *
copy_of(const struct varlena *value)
{
	struct varlena *copy = palloc(VARSIZE_ANY(value));

	memcpy(copy, value, VARSIZE_ANY(value));
	return copy;
}

/* A window of no length at all is one; so the two ends of it are compared as what they are */
static bool
is_same_interval(const Interval *a, const Interval *b)
{
	return a->time == b->time && a->day == b->day && a->month == b->month;
}

static void
make_plan(FunnelState *state, bool from_array, struct varlena *steps, const Interval *within, struct varlena *mode,
		  struct varlena *exclusions, struct varlena *on_exclusion)
{
	MemoryContext old;
	MemoryContext scratch;
	unsigned	bits = read_mode(mode);
	int64		usecs = read_within(within);
	bool		cut = is_cut(on_exclusion);
	Sets		sets = {0};
	Sets		excluded = {0};
	int32	   *from = NULL;
	int32	   *to = NULL;
	void	   *memory;

	/* whatever fails below, there is no plan that is not whole */
	state->plan = NULL;
	if (state->plan_context == NULL)
		state->plan_context = AllocSetContextCreate(state->context, "cxm funnel plan", ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(state->plan_context);
	state->work = NULL;
	state->plain = NULL;
	state->times = NULL;

	scratch = AllocSetContextCreate(CurrentMemoryContext, "cxm funnel steps", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(scratch);
	/* both want to be aligned */
	steps = PG_DETOAST_DATUM_COPY(PointerGetDatum(steps));
	exclusions = PG_DETOAST_DATUM_COPY(PointerGetDatum(exclusions));
	if (from_array)
		read_array((ArrayType *) steps, &sets);
	else
		read_json((Jsonb *) steps, &sets);
	read_exclusions((Jsonb *) exclusions, bits, sets.count, &excluded, &from, &to);

	memory = MemoryContextAllocHuge(state->plan_context,
									cxm_funnel_plan_size(sets.count, sets.ncodes, excluded.count, excluded.ncodes));
	state->plan = cxm_funnel_plan_codes(memory, bits, usecs, sets.count, (const int32 *const *) sets.codes, sets.ncodes,
										excluded.count, (const int32 *const *) excluded.codes, excluded.ncodes,
										from, to, cut);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	if (state->plan->is_plain)
		state->plain = MemoryContextAllocHuge(state->plan_context, cxm_funnel_plain_size(state->plan));
}

/*
 * Are all arguments but the journey constants? A parameter is none: an expression of PL/pgSQL keeps its fn_extra while
 * its variables change.
 */
static bool
has_constants(fmNodePtr expr)
{
	List	   *args;

	if (expr == NULL || !IsA(expr, FuncExpr))
		return false;
	args = ((FuncExpr *) expr)->args;
	if (list_length(args) != NARGS)
		return false;
	for (int i = ARG_STEPS; i < NARGS; i++)
		if (!IsA(list_nth(args, i), Const))
			return false;
	return true;
}

/* The plan for this row: that of the row before, as a rule */
static FunnelState *
get_state(FunctionCallInfo fcinfo, bool from_array)
{
	FunnelState *state = fcinfo->flinfo->fn_extra;
	struct varlena *steps;
	struct varlena *mode;
	struct varlena *exclusions;
	struct varlena *on_exclusion;
	const Interval *within;
	MemoryContext old;

	if (likely(state != NULL && state->plan != NULL && state->is_constant))
		return state;
	if (state == NULL)
	{
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(FunnelState));
		state->context = fcinfo->flinfo->fn_mcxt;
		state->buffer = cxm_journey_buffer(state->context);
		fcinfo->flinfo->fn_extra = state;
	}

	steps = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(ARG_STEPS));
	within = PG_GETARG_INTERVAL_P(ARG_WITHIN);
	mode = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(ARG_MODE));
	exclusions = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(ARG_EXCLUSIONS));
	on_exclusion = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(ARG_ON_EXCLUSION));
	if (state->plan != NULL && is_same(steps, state->steps) && is_same_interval(within, &state->within) &&
		is_same(mode, state->mode) && is_same(exclusions, state->exclusions) &&
		is_same(on_exclusion, state->on_exclusion))
		return state;

	make_plan(state, from_array, steps, within, mode, exclusions, on_exclusion);
	old = MemoryContextSwitchTo(state->plan_context);
	state->steps = copy_of(steps);
	state->within = *within;
	state->mode = copy_of(mode);
	state->exclusions = copy_of(exclusions);
	state->on_exclusion = copy_of(on_exclusion);
	MemoryContextSwitchTo(old);

	state->is_constant = has_constants(fcinfo->flinfo->fn_expr);
	return state;
}

/*--------------------------------------------------------------------------------------------------------
 * Journeys
 *--------------------------------------------------------------------------------------------------------
 */

/* Make room for the events of a journey; what was there is lost */
static void
set_room(FunnelState *state, Size count)
{
	Size		room = Max(count, 64);

	if (likely(count <= state->room && (state->room <= GIANT || state->room / 16 <= count)))
		return;
	if (state->at != NULL)
	{
		pfree(state->at);
		state->at = NULL;
		state->room = 0;
	}
	if (state->class != NULL)
	{
		pfree(state->class);
		state->class = NULL;
	}
	if (room <= GIANT)
		room = pg_nextpower2_64(room);
	state->at = MemoryContextAllocHuge(state->context, room * sizeof(int64));
	state->class = MemoryContextAllocHuge(state->context, room * sizeof(uint32));
	state->room = room;
}

/* Memory for a search of that many events */
static void
set_work(FunnelState *state, Size count, bool times)
{
	Size		room = Max(count, 64);

	if (likely(state->work != NULL && count <= state->work_room && (state->work_times || !times) &&
			   (state->work_room <= GIANT || state->work_room / 16 <= count)))
		return;
	if (state->work != NULL)
	{
		pfree(state->work);
		state->work = NULL;
	}
	if (room <= GIANT)
		room = pg_nextpower2_64(room);
	state->work = cxm_funnel_work(MemoryContextAllocHuge(state->plan_context,
														 cxm_funnel_work_size(state->plan, room, times)),
								  state->plan, room, times);
	state->work_room = room;
	state->work_times = times;
}

/* The events that matter: their number, or 0 where there is none to begin with */
static Size
read_events(FunnelState *state, const JourneyView *view)
{
	const FunnelPlan *plan = state->plan;
	bool		all = (plan->mode & (FUNNEL_STRICT | FUNNEL_STRICT_ORDER)) != 0;
	bool		begins = (plan->mode & FUNNEL_ANY_ORDER) != 0;
	int64		before = PG_INT64_MIN;
	bool		ascends = true;
	Size		n = 0;

	set_room(state, view->count);
	for (Size i = 0; i < view->count; i++)
	{
		uint32		class = funnel_class(plan, journey_code(view, i));
		int64		at;

		if (unlikely(i % GIANT == GIANT - 1))
			cxm_journey_poll();
		if (class == 0 && !all)
			continue;
		at = journey_at(view, i);
		ascends &= before <= at;
		before = at;
		begins |= plan->step_start[class] < plan->step_start[class + 1] && plan->step[plan->step_start[class]] == 1;
		state->at[n] = at;
		state->class[n++] = class;
	}
	if (unlikely(!ascends))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("value of type %s cannot be read", "cxm.journey"),
				 errdetail("Of its bytes times do not ascend.")));
	return begins ? n : 0;
}

static int
level_of(FunctionCallInfo fcinfo, bool from_array)
{
	FunnelState *state = get_state(fcinfo, from_array);
	FunnelWork *work;
	JourneyView view;
	Size		count;
	int			level;

	cxm_journey_view(PG_GETARG_DATUM(ARG_JOURNEY), state->buffer, &view);
	if (likely(state->plan->is_plain && view.bits <= JOURNEY_MAX_BITS))
		return cxm_funnel_level_plain(state->plan, &view, state->plain);
	count = read_events(state, &view);
	if (count == 0)
		return 0;
	set_work(state, count, false);
	work = state->work;
	/* a search that an interrupt ends leaves its memory as nobody may find it */
	state->work = NULL;
	level = cxm_funnel_level(state->plan, work, count, state->at, state->class, cxm_journey_poll);
	state->work = work;
	return level;
}

static Datum
times_of(FunctionCallInfo fcinfo, bool from_array)
{
	FunnelState *state = get_state(fcinfo, from_array);
	FunnelWork *work;
	JourneyView view;
	Size		count;
	int			level;
	Datum	   *elements;
	ArrayType  *array;

	cxm_journey_view(PG_GETARG_DATUM(ARG_JOURNEY), state->buffer, &view);
	count = read_events(state, &view);
	if (count == 0)
		return PointerGetDatum(construct_empty_array(TIMESTAMPTZOID));
	set_work(state, count, true);
	if (state->times == NULL)
		state->times = MemoryContextAllocHuge(state->plan_context, (Size) state->plan->nsteps * sizeof(int64));
	work = state->work;
	state->work = NULL;
	level = cxm_funnel_times(state->plan, work, count, state->at, state->class, state->times, cxm_journey_poll);
	state->work = work;
	if (level == 0)
		return PointerGetDatum(construct_empty_array(TIMESTAMPTZOID));
	elements = palloc((Size) level * sizeof(Datum));
	for (int i = 0; i < level; i++)
		elements[i] = TimestampTzGetDatum(state->times[i]);
	array = construct_array(elements, level, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	pfree(elements);
	return PointerGetDatum(array);
}

PG_FUNCTION_INFO_V1(cxm_funnel_array);
PG_FUNCTION_INFO_V1(cxm_funnel_json);
PG_FUNCTION_INFO_V1(cxm_funnel_times_array);
PG_FUNCTION_INFO_V1(cxm_funnel_times_json);

/* Level that a journey reaches; steps are an array of codes */
Datum
cxm_funnel_array(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(level_of(fcinfo, true));
}

/* Level that a journey reaches; steps are codes or sets of codes, as jsonb */
Datum
cxm_funnel_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(level_of(fcinfo, false));
}

/* Time of each step that is reached; steps are an array of codes */
Datum
cxm_funnel_times_array(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(times_of(fcinfo, true));
}

/* Time of each step that is reached; steps are codes or sets of codes, as jsonb */
Datum
cxm_funnel_times_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(times_of(fcinfo, false));
}

/*--------------------------------------------------------------------------------------------------------
 * Rows
 *--------------------------------------------------------------------------------------------------------
 */

static Size
mask_size(uint32 nsteps)
{
	return (nsteps + 7) / 8;
}

static Size
row_size(uint32 nsteps)
{
	return sizeof(int64) + mask_size(nsteps);
}

/* The header of a state; false where nothing was put into it yet. Any bytea may come here. */
static bool
read_header(const bytea *state, RowsHeader *header)
{
	Size		size = VARSIZE(state) - VARHDRSZ;

	if (size == 0)
		return false;
	if (size < sizeof(RowsHeader))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("bytes that are no state of cxm.funnel_agg()")));
	memcpy(header, VARDATA(state), sizeof(RowsHeader));
	if (header->version != STATE_VERSION || header->reserved[0] != 0 || header->reserved[1] != 0 ||
		header->reserved[2] != 0 || header->mode >= 2 * FUNNEL_ANY_ORDER || header->within < 0 || header->nsteps == 0 ||
		header->nsteps > FUNNEL_MAX_STEPS ||
		(uint64) header->nrows * row_size(header->nsteps) > size - sizeof(RowsHeader))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("bytes that are no state of cxm.funnel_agg()")));
	return true;
}

static char *
rows_of(const bytea *state)
{
	return (char *) VARDATA(state) + sizeof(RowsHeader);
}

static Size
room_of(const bytea *state, uint32 nsteps)
{
	return (VARSIZE(state) - VARHDRSZ - sizeof(RowsHeader)) / row_size(nsteps);
}

/* A state with room for so many rows; those of another one are taken over */
static bytea *
make_rows(const RowsHeader *header, uint64 room, const bytea *from)
{
	Size		row = row_size(header->nsteps);
	uint64		least = VARHDRSZ + sizeof(RowsHeader) + room * row;
	uint64		size = least <= FIRST_STATE ? FIRST_STATE : Max(pg_nextpower2_64(least), SECOND_STATE);
	bytea	   *state;

	if (least > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows for cxm.funnel_agg()"),
				 errdetail("A group of rows with %u conditions may have %llu of them at most.", header->nsteps,
						   (unsigned long long) ((MaxAllocSize - VARHDRSZ - sizeof(RowsHeader)) / row)),
				 errhint("Leave out rows that fulfil no condition, or group by more.")));
	/* the last doubling may be less than one */
	size = Min(size, MaxAllocSize);
	/* zeroed, since all of it is copied, and written where a hash table spills */
	state = palloc0((Size) size);
	SET_VARSIZE(state, (Size) size);
	memcpy(VARDATA(state), header, sizeof(RowsHeader));
	if (from != NULL)
		memcpy(rows_of(state), rows_of(from), header->nrows * row);
	return state;
}

static void
report_differ(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("rows of one group ask for different funnels"),
			 errdetail("The number of conditions, the window and the mode must be the same in all of them.")));
}

/* The mode and the window of a row, which are those of the row before, as a rule */
static RowArguments *
row_arguments(FunctionCallInfo fcinfo)
{
	RowArguments *arguments = fcinfo->flinfo->fn_extra;
	const Interval *within;
	struct varlena *mode;

	bool		has_mode = PG_NARGS() > 4;

	if (PG_ARGISNULL(3) || (has_mode && PG_ARGISNULL(4)))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the %s of a funnel must not be null", PG_ARGISNULL(3) ? "window" : "mode")));
	if (arguments == NULL)
	{
		arguments = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(RowArguments));
		fcinfo->flinfo->fn_extra = arguments;
	}
	within = PG_GETARG_INTERVAL_P(3);
	if (unlikely(!arguments->is_set || !is_same_interval(within, &arguments->within)))
	{
		arguments->is_set = false;
		arguments->within_usecs = read_within(within);
		arguments->within = *within;
		arguments->is_set = true;
	}
	if (!has_mode)
		return arguments;
	mode = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(4));
	if (unlikely(arguments->mode == NULL || !is_same(mode, arguments->mode)))
	{
		if (arguments->mode != NULL)
			pfree(arguments->mode);
		arguments->mode = NULL;
		arguments->mode_bits = read_mode(mode);
		arguments->mode = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, VARSIZE_ANY(mode));
		memcpy(arguments->mode, mode, VARSIZE_ANY(mode));
	}
	return arguments;
}

/* The state to be changed: that of an aggregate itself, elsewhere a copy */
static bytea *
own_state(FunctionCallInfo fcinfo, int argno)
{
	if (AggCheckCallContext(fcinfo, NULL))
		return PG_GETARG_BYTEA_P(argno);
	return PG_GETARG_BYTEA_P_COPY(argno);
}

/* Does a mode ask for what is between steps, too? */
static bool
all_matter(unsigned mode)
{
	return (mode & (FUNNEL_STRICT | FUNNEL_STRICT_ORDER)) != 0;
}

/* Does a row fulfil any of its conditions? Nulls take no place in an array. */
static bool
any_true(ArrayType *conditions, int n)
{
	const char *values = ARR_DATA_PTR(conditions);

	if (ARR_HASNULL(conditions))
		n = (int) (VARSIZE(conditions) - (Size) (values - (char *) conditions));
	return memchr(values, 1, (Size) n) != NULL;
}

PG_FUNCTION_INFO_V1(cxm_funnel_add_row);
PG_FUNCTION_INFO_V1(cxm_funnel_combine_rows);
PG_FUNCTION_INFO_V1(cxm_funnel_rows_level);

/* Transition function of funnel_agg(): one more row */
Datum
cxm_funnel_add_row(PG_FUNCTION_ARGS)
{
	RowArguments *arguments = row_arguments(fcinfo);
	bytea	   *state;
	TimestampTz at;
	ArrayType  *conditions;
	RowsHeader	header;
	const bool *values;
	const bits8 *nulls;
	char	   *row;
	int			n;
	int			v = 0;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the state of cxm.funnel_agg() must not be null")));
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	state = own_state(fcinfo, 0);
	at = PG_GETARG_TIMESTAMPTZ(1);
	conditions = PG_GETARG_ARRAYTYPE_P(2);

	if (unlikely(TIMESTAMP_NOT_FINITE(at)))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("a row of a funnel cannot be at %s", TIMESTAMP_IS_NOBEGIN(at) ? "-infinity" : "infinity"),
				 errhint("Leave it out with FILTER (WHERE isfinite(...)).")));
	n = ArrayGetNItems(ARR_NDIM(conditions), ARR_DIMS(conditions));
	if (unlikely(ARR_NDIM(conditions) > 1))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("conditions must be an array of one dimension")));

	if (unlikely(!read_header(state, &header)))
	{
		check_steps(n);
		memset(&header, 0, sizeof(header));
		header.version = STATE_VERSION;
		header.mode = arguments->mode_bits;
		header.within = arguments->within_usecs;
		header.nsteps = (uint32) n;
		state = make_rows(&header, 1, NULL);
	}
	else
	{
		if (unlikely(header.nsteps != (uint32) n))
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("a row with %d conditions after one with %u", n, header.nsteps),
					 errhint("All rows of a group need the same conditions; one that is not known may be null.")));
		if (unlikely(header.mode != arguments->mode_bits || header.within != arguments->within_usecs))
			report_differ();
	}

	/* where only chains matter, so do only rows that fulfil something */
	if (!all_matter(header.mode) && !any_true(conditions, n))
		PG_RETURN_BYTEA_P(state);
	if (header.nrows >= room_of(state, header.nsteps))
		state = make_rows(&header, (uint64) header.nrows + 1, state);

	row = rows_of(state) + header.nrows * row_size(header.nsteps);
	memcpy(row, &at, sizeof(at));
	row += sizeof(at);
	memset(row, 0, mask_size(header.nsteps));
	values = (const bool *) ARR_DATA_PTR(conditions);
	nulls = ARR_NULLBITMAP(conditions);
	for (int i = 0; i < n; i++)
	{
		if (nulls != NULL && (nulls[i / 8] & (1 << (i % 8))) == 0)
			continue;
		if (values[v++])
			row[i / 8] |= (char) (1 << (i % 8));
	}
	header.nrows++;
	memcpy(VARDATA(state), &header, sizeof(header));
	PG_RETURN_BYTEA_P(state);
}

/* Combine function of funnel_agg(): the rows of both */
Datum
cxm_funnel_combine_rows(PG_FUNCTION_ARGS)
{
	bytea	   *a = own_state(fcinfo, 0);
	bytea	   *b = PG_GETARG_BYTEA_P(1);
	RowsHeader	header;
	RowsHeader	other;
	Size		row;

	if (!read_header(b, &other))
		PG_RETURN_BYTEA_P(a);
	if (!read_header(a, &header))
		PG_RETURN_BYTEA_P(b);
	if (header.nsteps != other.nsteps || header.mode != other.mode || header.within != other.within)
		report_differ();
	row = row_size(header.nsteps);
	if (other.nrows > room_of(a, header.nsteps) - header.nrows)
		a = make_rows(&header, (uint64) header.nrows + other.nrows, a);
	memcpy(rows_of(a) + header.nrows * row, rows_of(b), other.nrows * row);
	header.nrows += other.nrows;
	memcpy(VARDATA(a), &header, sizeof(header));
	PG_RETURN_BYTEA_P(a);
}

/* A row to be sorted */
typedef struct Row
{
	int64		at;
	uint32		class;
} Row;

/*
 * What the final function keeps from group to group: rows with the same conditions are of one class, and few sets of
 * conditions are met over and over, so the plan for those that were met is kept.
 */
typedef struct RowsState
{
	MemoryContext context;		/* of all that follows */
	bool		is_whole;		/* no search was cut off in the middle */
	uint32		mode;
	int64		within;
	uint32		nsteps;

	/* the sets of conditions, one after the other, and a hash table of them: 0 or their class */
	uint32		nmasks;
	Size		masks_room;
	uint8	   *masks;
	uint32		table_mask;
	uint32	   *table;

	FunnelPlan *plan;			/* NULL while there is none for all of these */
	FunnelWork *work;
	Size		room;			/* rows that fit in these, and that "work" serves */
	Row		   *sorted;
	int64	   *at;
	uint32	   *class;
} RowsState;

static int
compare_rows(const void *a, const void *b)
{
	int64		x = ((const Row *) a)->at;
	int64		y = ((const Row *) b)->at;

	return (x > y) - (x < y);
}

/* What is known from the groups before, if it is about the same funnel, not too much, and not cut off */
static RowsState *
rows_state(FunctionCallInfo fcinfo, const RowsHeader *header)
{
	RowsState  *state = fcinfo->flinfo->fn_extra;
	MemoryContext context;

	if (state == NULL)
	{
		context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "cxm funnel rows", ALLOCSET_DEFAULT_SIZES);
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(RowsState));
		state->context = context;
		fcinfo->flinfo->fn_extra = state;
	}
	if (state->is_whole && state->mode == header->mode && state->within == header->within &&
		state->nsteps == header->nsteps && (uint64) state->nmasks * state->nsteps <= MAX_KNOWN &&
		(state->room <= GIANT || state->room / 16 <= header->nrows))
		return state;

	context = state->context;
	MemoryContextReset(context);
	memset(state, 0, sizeof(RowsState));
	state->context = context;
	state->mode = header->mode;
	state->within = header->within;
	state->nsteps = header->nsteps;
	return state;
}

/* Places for twice the masks that are known, and for all of them again */
static void
enlarge_masks(RowsState *state)
{
	Size		mask = mask_size(state->nsteps);
	Size		room = Max(2 * state->masks_room, 8);
	uint8	   *masks = MemoryContextAllocHuge(state->context, room * mask);
	uint32	   *table = MemoryContextAllocExtended(state->context, 2 * room * sizeof(uint32),
												   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	if (state->masks != NULL)
	{
		memcpy(masks, state->masks, state->nmasks * mask);
		pfree(state->masks);
		pfree(state->table);
	}
	state->masks = masks;
	state->masks_room = room;
	state->table = table;
	state->table_mask = (uint32) (2 * room - 1);
	for (uint32 i = 0; i < state->nmasks; i++)
	{
		uint32		place = hash_bytes(masks + i * mask, (int) mask) & state->table_mask;

		while (table[place] != 0)
			place = (place + 1) & state->table_mask;
		table[place] = i + 1;
	}
}

/* The class of rows with these conditions; a new one takes the plan away */
static uint32
class_of_mask(RowsState *state, const uint8 *bits, Size mask)
{
	uint32		hash = hash_bytes(bits, (int) mask);
	uint32		place = hash & state->table_mask;

	while (state->nmasks > 0 && state->table[place] != 0)
	{
		if (memcmp(state->masks + (Size) (state->table[place] - 1) * mask, bits, mask) == 0)
			return state->table[place];
		place = (place + 1) & state->table_mask;
	}
	if (state->nmasks == state->masks_room)
	{
		enlarge_masks(state);
		place = hash & state->table_mask;
		while (state->table[place] != 0)
			place = (place + 1) & state->table_mask;
	}
	memcpy(state->masks + (Size) state->nmasks * mask, bits, mask);
	state->table[place] = ++state->nmasks;
	if (state->plan != NULL)
	{
		pfree(state->plan);
		state->plan = NULL;
	}
	if (state->work != NULL)
	{
		pfree(state->work);
		state->work = NULL;
	}
	return state->nmasks;
}

static void
set_rows_room(RowsState *state, Size count)
{
	Size		room = Max(count, 64);

	if (likely(count <= state->room))
		return;
	if (state->room > 0)
	{
		pfree(state->sorted);
		pfree(state->at);
		pfree(state->class);
		state->room = 0;
	}
	if (state->work != NULL)
	{
		pfree(state->work);
		state->work = NULL;
	}
	if (room <= GIANT)
		room = pg_nextpower2_64(room);
	state->sorted = MemoryContextAllocHuge(state->context, room * sizeof(Row));
	state->at = MemoryContextAllocHuge(state->context, room * sizeof(int64));
	state->class = MemoryContextAllocHuge(state->context, room * sizeof(uint32));
	state->room = room;
}

/* A plan for all sets of conditions that are known, and memory for a search of as many rows as there is room for */
static void
set_rows_plan(RowsState *state)
{
	Size		mask = mask_size(state->nsteps);
	int			nsteps = (int) state->nsteps;
	Size		size;

	if (state->plan == NULL)
	{
		size = cxm_funnel_plan_rows_size(nsteps, state->nmasks, state->masks, mask);
		state->plan = cxm_funnel_plan_rows(MemoryContextAllocHuge(state->context, size), state->mode, state->within,
										   nsteps, state->nmasks, state->masks, mask);
	}
	if (state->work == NULL)
	{
		size = cxm_funnel_work_size(state->plan, state->room, false);
		state->work = cxm_funnel_work(MemoryContextAllocHuge(state->context, size), state->plan, state->room, false);
	}
}

/* Final function of funnel_agg(): the level that the rows reach */
Datum
cxm_funnel_rows_level(PG_FUNCTION_ARGS)
{
	bytea	   *state = PG_GETARG_BYTEA_P(0);
	RowsHeader	header;
	const char *rows = rows_of(state);
	RowsState  *kept;
	uint32		n = 0;
	Size		row;
	Size		mask;
	bool		all;
	bool		ascends = true;
	int			level;

	if (!read_header(state, &header) || header.nrows == 0)
		PG_RETURN_INT32(0);
	row = row_size(header.nsteps);
	mask = mask_size(header.nsteps);
	all = all_matter(header.mode);
	kept = rows_state(fcinfo, &header);
	/* what an interrupt cuts off leaves memory as nobody may find it */
	kept->is_whole = false;
	set_rows_room(kept, header.nrows);

	/* rows that fulfil nothing are class 0 */
	for (uint32 i = 0; i < header.nrows; i++)
	{
		const char *from = rows + i * row;
		const uint8 *bits = (const uint8 *) from + sizeof(int64);
		bool		is_empty = true;

		if (unlikely(i % GIANT == GIANT - 1))
			cxm_journey_poll();
		for (Size j = 0; j < mask && is_empty; j++)
			is_empty = bits[j] == 0;
		if (is_empty && !all)
			continue;
		memcpy(&kept->sorted[n].at, from, sizeof(int64));
		if (n > 0 && kept->sorted[n].at < kept->sorted[n - 1].at)
			ascends = false;
		kept->sorted[n++].class = is_empty ? 0 : class_of_mask(kept, bits, mask);
	}
	if (!ascends)
		qsort(kept->sorted, n, sizeof(Row), compare_rows);
	for (uint32 i = 0; i < n; i++)
	{
		kept->at[i] = kept->sorted[i].at;
		kept->class[i] = kept->sorted[i].class;
	}

	set_rows_plan(kept);
	level = cxm_funnel_level(kept->plan, kept->work, n, kept->at, kept->class, cxm_journey_poll);
	kept->is_whole = true;
	PG_FREE_IF_COPY(state, 0);
	PG_RETURN_INT32(level);
}
