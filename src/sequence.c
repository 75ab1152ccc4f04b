/*
 * src/sequence.c
 *		Patterns of events for SQL: in journeys, and in rows by an aggregate; the event beside a chain of events.
 *
 * What a pattern means and how it is looked for is in sequence_core.c. This file fetches arguments, keeps what is
 * the same from row to row, and raises errors.
 *
 * The state of the aggregates is a bytea: the pattern, and behind it time and conditions of every row of which any
 * condition is true. It grows by doubling, and while there is room the transition function gives back the same pointer,
 * so that the executor copies nothing.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "cxm.h"
#include "journey.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "sequence_core.h"
#include "steps.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(cxm_sequence_matches);
PG_FUNCTION_INFO_V1(cxm_sequence_matches_json);
PG_FUNCTION_INFO_V1(cxm_sequence_count_matches);
PG_FUNCTION_INFO_V1(cxm_sequence_count_matches_json);
PG_FUNCTION_INFO_V1(cxm_sequence_match_events);
PG_FUNCTION_INFO_V1(cxm_sequence_match_events_json);
PG_FUNCTION_INFO_V1(cxm_sequence_next_step);
PG_FUNCTION_INFO_V1(cxm_sequence_next_step_json);
PG_FUNCTION_INFO_V1(cxm_sequence_previous_step);
PG_FUNCTION_INFO_V1(cxm_sequence_previous_step_json);
PG_FUNCTION_INFO_V1(cxm_sequence_add_row);
PG_FUNCTION_INFO_V1(cxm_sequence_combine);
PG_FUNCTION_INFO_V1(cxm_sequence_matches_final);
PG_FUNCTION_INFO_V1(cxm_sequence_count_final);
PG_FUNCTION_INFO_V1(cxm_sequence_events_final);

/* symbols of events whose codes are bytes are the codes */
#define NARROW 256

/* scratch memory beyond this is given back after the call */
#define KEPT_SCRATCH ((Size) 1 << 20)

/* bytes of a pattern that an error message shows */
#define SHOWN 24

/*--------------------------------------------------------------------------------------------------------
 * Patterns
 *--------------------------------------------------------------------------------------------------------
 */

/* A pattern and steps, made ready once for all rows that have the same */
typedef struct Prepared
{
	MemoryContext context;		/* of what depends on pattern and steps */
	text	   *text;
	struct varlena *argument;	/* the steps as they were given; NULL in an aggregate */
	SequencePattern pattern;
	SequencePattern relaxed;	/* without times; only where the pattern has any */
	CxmSteps	steps;
	SequenceMachine narrow;		/* for codes of one byte, or for up to 8 conditions of rows */
	SequenceMachine narrow_relaxed;
	bool		has_wide;
	SequenceMachine wide;		/* for other codes, by their rank among those of the steps */
	SequenceMachine wide_relaxed;
} Prepared;

/* What a function keeps in fn_extra */
typedef struct SequenceState
{
	JourneyBuffer *buffer;
	Prepared   *prepared;
	void	   *scratch;
	Size		scratch_size;
	uint32_t   *words;			/* symbols of events whose codes are not bytes */
	Size		words_size;
} SequenceState;

static void
report_pattern(SequenceStatus status, const char *pattern, Size length, Size position, Size conditions)
{
	int			character = pg_mbstrlen_with_len(pattern, (int) position) + 1;
	Size		left = length - position;
	Size		shown = left > SHOWN ? (Size) pg_mbcliplen(pattern + position, (int) left, SHOWN) : left;
	char	   *rest = pnstrdup(pattern + position, shown);
	const char *syntax = "A pattern is made of (?1), (?2) ... for an event of that step, \".\" for any event, \".*\" for any number of events, and (?t<=60), with <=, <, >=, > or ==, for seconds since the event before.";

	switch (status)
	{
		case SEQUENCE_OK:
			break;
		case SEQUENCE_NO_SUCH_CONDITION:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("pattern names a step that there is not, at character %d", character),
					 errdetail("The rest of the pattern is \"%s\"; steps are numbered from 1 to %zu.", rest, conditions)));
			break;
		case SEQUENCE_TIME_AFTER_TIME:
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("pattern has a time right after a time, at character %d", character),
					 errdetail("The rest of the pattern is \"%s\".", rest),
					 errhint("Put \"(?N)\", \".\" or \".*\" between them: a time is that since the event before.")));
			break;
		case SEQUENCE_TIME_TOO_LONG:
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("pattern has a time that is too long, at character %d", character),
					 errdetail("The rest of the pattern is \"%s\".", rest),
					 errhint("Times are in seconds.")));
			break;
		case SEQUENCE_TOO_MANY:
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("pattern has more than %d elements", SEQUENCE_MAX_ELEMENTS)));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("%s in pattern, at character %d",
							status == SEQUENCE_NO_NUMBER ? "number missing" :
							status == SEQUENCE_NO_COMPARISON ? "comparison missing" :
							status == SEQUENCE_NOT_CLOSED ? "closing parenthesis missing" : "syntax error", character),
					 left > 0 ? errdetail("The rest of the pattern is \"%s\".", rest) : errdetail("The pattern ends there."),
					 errhint("%s", syntax)));
	}
}

static void
make_machine(SequenceMachine *machine, const SequencePattern *pattern, Size symbols)
{
	Size		size = cxm_sequence_machine_size(pattern, symbols);

	if (size > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("pattern of %zu elements is too long for %zu different events", pattern->count, symbols)));
	cxm_sequence_machine(machine, pattern, symbols, palloc(size));
}

/* Parse; in the current memory context, which keeps the result */
static void
parse_pattern(Prepared *prepared, const char *text, Size length, Size conditions)
{
	Size		position = 0;
	SequenceStatus status;

	status = cxm_sequence_parse(text, length, conditions,
								palloc((Min(length, SEQUENCE_MAX_ELEMENTS) + 1) * sizeof(SequenceElement)),
								&prepared->pattern, &position);
	if (status != SEQUENCE_OK)
		report_pattern(status, text, length, position, conditions);
	cxm_sequence_relax(&prepared->pattern,
					   palloc((prepared->pattern.count + 1) * sizeof(SequenceElement)), &prepared->relaxed);
}

static bool
same_bytes(const void *a, const void *b)
{
	return VARSIZE_ANY(a) == VARSIZE_ANY(b) && memcmp(a, b, VARSIZE_ANY(a)) == 0;
}

static void *
copy_bytes(const void *value)
{
	return memcpy(palloc(VARSIZE_ANY(value)), value, VARSIZE_ANY(value));
}

static void
read_steps(struct varlena *argument, bool is_json, CxmSteps *steps)
{
	if (is_json)
		cxm_read_json_steps((Jsonb *) argument, "steps", steps);
	else
		cxm_read_steps((ArrayType *) argument, "steps", steps);
}

/* The memory context of what is prepared anew; that of before is gone */
static Prepared *
begin_prepared(SequenceState *state, MemoryContext parent, MemoryContext *old)
{
	MemoryContext context;
	Prepared   *prepared;

	if (state->prepared != NULL)
	{
		context = state->prepared->context;
		state->prepared = NULL;
		MemoryContextDelete(context);
	}
	context = AllocSetContextCreate(parent, "cxm sequence", ALLOCSET_SMALL_SIZES);
	*old = MemoryContextSwitchTo(context);
	prepared = palloc0(sizeof(Prepared));
	prepared->context = context;
	return prepared;
}

static SequenceState *
get_state(FunctionCallInfo fcinfo)
{
	SequenceState *state = fcinfo->flinfo->fn_extra;

	if (state == NULL)
	{
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(SequenceState));
		state->buffer = cxm_journey_buffer(fcinfo->flinfo->fn_mcxt);
		fcinfo->flinfo->fn_extra = state;
	}
	return state;
}

/* The arguments pattern (1) and steps (2) */
static Prepared *
prepare(FunctionCallInfo fcinfo, SequenceState *state, bool is_json)
{
	text	   *pattern = PG_GETARG_TEXT_PP(1);
	struct varlena *argument = PG_DETOAST_DATUM(PG_GETARG_DATUM(2));
	Prepared   *prepared = state->prepared;
	MemoryContext old;

	if (prepared != NULL && same_bytes(prepared->text, pattern) && same_bytes(prepared->argument, argument))
		return prepared;

	prepared = begin_prepared(state, fcinfo->flinfo->fn_mcxt, &old);
	prepared->text = copy_bytes(pattern);
	prepared->argument = copy_bytes(argument);
	read_steps(prepared->argument, is_json, &prepared->steps);
	parse_pattern(prepared, VARDATA_ANY(prepared->text), VARSIZE_ANY_EXHDR(prepared->text),
				  (Size) prepared->steps.count);
	make_machine(&prepared->narrow, &prepared->pattern, NARROW);
	make_machine(&prepared->narrow_relaxed, &prepared->relaxed, NARROW);
	for (Size i = 0; i < prepared->steps.pairs; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (prepared->steps.code[i] >= 0 && prepared->steps.code[i] < NARROW)
		{
			cxm_sequence_tell(&prepared->narrow, (uint32_t) prepared->steps.code[i], prepared->steps.step[i]);
			cxm_sequence_tell(&prepared->narrow_relaxed, (uint32_t) prepared->steps.code[i], prepared->steps.step[i]);
		}
	}
	MemoryContextSwitchTo(old);
	state->prepared = prepared;
	return prepared;
}

/* The machine for codes of any width; symbol 0 is none of the steps, the others are the ranks of their codes */
static void
prepare_wide(Prepared *prepared)
{
	MemoryContext old = MemoryContextSwitchTo(prepared->context);
	uint32_t	symbol = 0;

	make_machine(&prepared->wide, &prepared->pattern, prepared->steps.pairs + 1);
	make_machine(&prepared->wide_relaxed, &prepared->relaxed, prepared->steps.pairs + 1);
	for (Size i = 0; i < prepared->steps.pairs; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i == 0 || prepared->steps.code[i] != prepared->steps.code[i - 1])
			symbol = (uint32_t) i + 1;
		cxm_sequence_tell(&prepared->wide, symbol, prepared->steps.step[i]);
		cxm_sequence_tell(&prepared->wide_relaxed, symbol, prepared->steps.step[i]);
	}
	prepared->has_wide = true;
	MemoryContextSwitchTo(old);
}

/*--------------------------------------------------------------------------------------------------------
 * Memory of a run
 *--------------------------------------------------------------------------------------------------------
 */

/* At least so many bytes, kept for the next row */
static void *
get_space(MemoryContext context, void **space, Size *have, Size need)
{
	if (*have < need)
	{
		if (*space != NULL)
			pfree(*space);
		*space = NULL;
		*have = 0;
		need += need / 2;
		*space = MemoryContextAllocHuge(context, need);
		*have = need;
	}
	return *space;
}

/* What a giant needed is given back */
static void
release_space(SequenceState *state)
{
	if (state->scratch_size > KEPT_SCRATCH)
	{
		pfree(state->scratch);
		state->scratch = NULL;
		state->scratch_size = 0;
	}
	if (state->words_size > KEPT_SCRATCH)
	{
		pfree(state->words);
		state->words = NULL;
		state->words_size = 0;
	}
}

static void *
get_scratch(SequenceState *state, MemoryContext context, const SequenceMachine *machine, Size events, bool trace)
{
	Size		need = cxm_sequence_scratch_size(machine, events, trace);

	if (need > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("pattern with %zu times is too long for a journey of %zu events", machine->pattern->comparisons, events),
				 errhint("Ask for a slice of the journey, or compare times less often.")));
	return get_space(context, &state->scratch, &state->scratch_size, need);
}

/* Events of a journey as symbols; true where the wide machine is for them */
static bool
read_events(FunctionCallInfo fcinfo, SequenceState *state, JourneyView *view, SequenceEvents *events)
{
	Prepared   *prepared = state->prepared;
	void	   *space;

	cxm_journey_view(PG_GETARG_DATUM(0), state->buffer, view);
	memset(events, 0, sizeof(*events));
	events->count = view->count;
	events->view = view;
	if (view->code_shift == 0)
	{
		events->bytes = view->codes;
		return false;
	}
	if (!prepared->has_wide)
		prepare_wide(prepared);
	space = state->words;
	state->words = get_space(fcinfo->flinfo->fn_mcxt, &space, &state->words_size, view->count * sizeof(uint32_t));
	events->words = state->words;
	for (Size i = 0; i < view->count; i++)
	{
		if (i % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
		state->words[i] = cxm_find_code(&prepared->steps, journey_code(view, i));
	}
	return true;
}

/*--------------------------------------------------------------------------------------------------------
 * Patterns in journeys
 *--------------------------------------------------------------------------------------------------------
 */

static uint64
count_matches(FunctionCallInfo fcinfo, bool is_json, bool only_first)
{
	SequenceState *state = get_state(fcinfo);
	Prepared   *prepared = prepare(fcinfo, state, is_json);
	JourneyView view;
	SequenceEvents events;
	bool		wide = read_events(fcinfo, state, &view, &events);
	uint64		matches = 0;
	const SequenceMachine *machine = wide ? &prepared->wide : &prepared->narrow;
	const SequenceMachine *relaxed = wide ? &prepared->wide_relaxed : &prepared->narrow_relaxed;

	/* the codes tell most journeys that do not match; their times need not be read */
	if (prepared->pattern.comparisons == 0 ||
		cxm_sequence_count(relaxed, &events, true,
						   get_scratch(state, fcinfo->flinfo->fn_mcxt, relaxed, events.count, false),
						   cxm_journey_poll, NULL) > 0)
		matches = cxm_sequence_count(machine, &events, only_first,
									 get_scratch(state, fcinfo->flinfo->fn_mcxt, machine, events.count, false),
									 cxm_journey_poll, NULL);
	release_space(state);
	return matches;
}

/* cxm.matches(journey, text, integer[]) */
Datum
cxm_sequence_matches(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(count_matches(fcinfo, false, true) > 0);
}

/* cxm.matches(journey, text, jsonb) */
Datum
cxm_sequence_matches_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(count_matches(fcinfo, true, true) > 0);
}

/* cxm.count_matches(journey, text, integer[]) */
Datum
cxm_sequence_count_matches(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) count_matches(fcinfo, false, false));
}

/* cxm.count_matches(journey, text, jsonb) */
Datum
cxm_sequence_count_matches_json(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) count_matches(fcinfo, true, false));
}

/* Times of the events that a match takes */
static Datum
traced_times(SequenceState *state, MemoryContext context, const SequenceMachine *machine, const SequenceEvents *events)
{
	size_t	   *taken = palloc((machine->pattern->count + 1) * sizeof(size_t));
	Size		n = cxm_sequence_trace(machine, events, taken,
									   get_scratch(state, context, machine, events->count, true),
									   cxm_journey_poll, NULL);
	Datum	   *times = palloc((n + 1) * sizeof(Datum));

	for (Size k = 0; k < n; k++)
		times[k] = TimestampTzGetDatum(events->at != NULL ? events->at[taken[k]] : journey_at(events->view, taken[k]));
	release_space(state);
	return PointerGetDatum(construct_array(times, (int) n, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

static Datum
match_events(FunctionCallInfo fcinfo, bool is_json)
{
	SequenceState *state = get_state(fcinfo);
	Prepared   *prepared = prepare(fcinfo, state, is_json);
	JourneyView view;
	SequenceEvents events;
	bool		wide = read_events(fcinfo, state, &view, &events);

	return traced_times(state, fcinfo->flinfo->fn_mcxt, wide ? &prepared->wide : &prepared->narrow, &events);
}

/* cxm.match_events(journey, text, integer[]) */
Datum
cxm_sequence_match_events(PG_FUNCTION_ARGS)
{
	return match_events(fcinfo, false);
}

/* cxm.match_events(journey, text, jsonb) */
Datum
cxm_sequence_match_events_json(PG_FUNCTION_ARGS)
{
	return match_events(fcinfo, true);
}

/*--------------------------------------------------------------------------------------------------------
 * The event beside a chain of events
 *--------------------------------------------------------------------------------------------------------
 */

typedef enum ChainBase
{
	BASE_HEAD,
	BASE_TAIL,
	BASE_FIRST_MATCH,
	BASE_LAST_MATCH
} ChainBase;

/* What next_step() and previous_step() keep in fn_extra */
typedef struct ChainState
{
	JourneyBuffer *buffer;
	MemoryContext context;
	struct varlena *argument;	/* the steps as they were given */
	ArrayType  *base_array;		/* NULL where any event may be the base */
	CxmSteps	steps;
	CxmSteps	base_steps;
	bool		is_first[NARROW];	/* may an event of such a code, where codes are bytes, be the first of the chain? */
} ChainState;

/* Is a code one of those of step k, from 0? */
static bool
is_of_step(const CxmSteps *steps, int32 code, uint32 k)
{
	uint32		i = cxm_find_code(steps, code);

	if (i == 0)
		return false;
	for (Size p = i - 1; p < steps->pairs && steps->code[p] == code; p++)
	{
		if (steps->step[p] == k)
			return true;
	}
	return false;
}

static bool
may_be_base(const ChainState *state, int32 code)
{
	return state->base_array == NULL || cxm_find_code(&state->base_steps, code) != 0;
}

static ChainBase
read_base(text *name, bool forward)
{
	const char *s = VARDATA_ANY(name);
	Size		n = VARSIZE_ANY_EXHDR(name);

	if (forward && n == 4 && memcmp(s, "head", 4) == 0)
		return BASE_HEAD;
	if (!forward && n == 4 && memcmp(s, "tail", 4) == 0)
		return BASE_TAIL;
	if (n == 11 && memcmp(s, "first_match", 11) == 0)
		return BASE_FIRST_MATCH;
	if (n == 10 && memcmp(s, "last_match", 10) == 0)
		return BASE_LAST_MATCH;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("base must be %s, first_match or last_match, not \"%s\"", forward ? "head" : "tail", text_to_cstring(name)),
			 forward ? errhint("From the last event on there is no next one; see cxm.previous_step().") :
			 errhint("Before the first event there is none; see cxm.next_step().")));
	return BASE_HEAD;			/* not reached */
}

static ChainState *
prepare_chain(FunctionCallInfo fcinfo, bool is_json)
{
	ChainState *state = fcinfo->flinfo->fn_extra;
	struct varlena *argument = PG_DETOAST_DATUM(PG_GETARG_DATUM(1));
	ArrayType  *base_array = PG_ARGISNULL(3) ? NULL : PG_GETARG_ARRAYTYPE_P(3);
	MemoryContext old;

	if (state == NULL)
	{
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(ChainState));
		state->buffer = cxm_journey_buffer(fcinfo->flinfo->fn_mcxt);
		state->context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "cxm chain", ALLOCSET_SMALL_SIZES);
		fcinfo->flinfo->fn_extra = state;
	}
	else if (state->argument != NULL && same_bytes(state->argument, argument) &&
			 (state->base_array == NULL) == (base_array == NULL) &&
			 (base_array == NULL || same_bytes(state->base_array, base_array)))
		return state;

	state->argument = NULL;
	state->base_array = NULL;
	MemoryContextReset(state->context);
	old = MemoryContextSwitchTo(state->context);
	argument = copy_bytes(argument);
	read_steps(argument, is_json, &state->steps);
	if (state->steps.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there must be a step"),
				 errhint("Name at least the event whose neighbour is asked for.")));
	if (base_array != NULL)
	{
		cxm_read_steps(base_array, "base_codes", &state->base_steps);
		state->base_array = copy_bytes(base_array);
	}
	for (int32 code = 0; code < NARROW; code++)
		state->is_first[code] = may_be_base(state, code) && is_of_step(&state->steps, code, 0);
	state->argument = argument;
	MemoryContextSwitchTo(old);
	return state;
}

static Datum
step_beside(FunctionCallInfo fcinfo, bool is_json, bool forward)
{
	ChainState *state;
	ChainBase	base;
	JourneyView view;
	Size		at = 0;
	bool		from_head;
	bool		found = false;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	state = prepare_chain(fcinfo, is_json);
	base = read_base(PG_GETARG_TEXT_PP(2), forward);
	cxm_journey_view(PG_GETARG_DATUM(0), state->buffer, &view);

	from_head = base == BASE_HEAD || base == BASE_FIRST_MATCH;
	if (base == BASE_HEAD || base == BASE_TAIL)
	{
		at = from_head || view.count == 0 ? 0 : view.count - 1;
		found = view.count > 0 && may_be_base(state, journey_code(&view, at));
	}
	else
	{
		for (Size k = 0; k < view.count && !found; k++)
		{
			int32		code;

			if (k % 65536 == 0)
				CHECK_FOR_INTERRUPTS();
			at = from_head ? k : view.count - 1 - k;
			code = journey_code(&view, at);
			found = view.code_shift == 0 ? state->is_first[code] :
				may_be_base(state, code) && is_of_step(&state->steps, code, 0);
		}
	}
	/* the chain, and one event more */
	if (!found || (forward ? view.count - at : at + 1) <= (Size) state->steps.count)
		PG_RETURN_NULL();
	for (int k = 0; k < state->steps.count; k++)
	{
		if (!is_of_step(&state->steps, journey_code(&view, at), (uint32) k))
			PG_RETURN_NULL();
		at = forward ? at + 1 : at - 1;
	}
	PG_RETURN_INT32(journey_code(&view, at));
}

/* cxm.next_step(journey, integer[], text, integer[]) */
Datum
cxm_sequence_next_step(PG_FUNCTION_ARGS)
{
	return step_beside(fcinfo, false, true);
}

/* cxm.next_step(journey, jsonb, text, integer[]) */
Datum
cxm_sequence_next_step_json(PG_FUNCTION_ARGS)
{
	return step_beside(fcinfo, true, true);
}

/* cxm.previous_step(journey, integer[], text, integer[]) */
Datum
cxm_sequence_previous_step(PG_FUNCTION_ARGS)
{
	return step_beside(fcinfo, false, false);
}

/* cxm.previous_step(journey, jsonb, text, integer[]) */
Datum
cxm_sequence_previous_step_json(PG_FUNCTION_ARGS)
{
	return step_beside(fcinfo, true, false);
}

/*--------------------------------------------------------------------------------------------------------
 * Patterns in rows
 *
 * The state is a bytea, in the machine's own order of bytes:
 *
 *		4	STATE_MAGIC
 *		4	number of conditions
 *		4	bytes of the pattern
 *		4	number of rows
 *		n	the pattern
 *		n	rows: 8 bytes of time, and 8 bytes for each 64 conditions or fewer
 *		n	room
 *--------------------------------------------------------------------------------------------------------
 */

#define STATE_MAGIC UINT32_C(0x43584d51)
#define STATE_HEADER 16

/* first length of a state */
#define FIRST_ROWS 4

/* A state, opened */
typedef struct RowState
{
	uint32		conditions;
	uint32		pattern_length;
	uint32		rows;
	Size		row_size;
	char	   *pattern;
	char	   *row;
	Size		room;			/* rows that fit */
} RowState;

static Size
row_size(Size conditions)
{
	return sizeof(int64) + sizeof(uint64) * ((conditions + 63) / 64);
}

/* Whatever the bytes are, what is read of them later lies in them */
static void
open_state(bytea *bytes, RowState *state)
{
	Size		size = VARSIZE_ANY_EXHDR(bytes);
	char	   *p = VARDATA_ANY(bytes);
	uint32		header[4];

	if (size >= STATE_HEADER)
	{
		memcpy(header, p, STATE_HEADER);
		state->conditions = header[1];
		state->pattern_length = header[2];
		state->rows = header[3];
		state->row_size = row_size(state->conditions);
		if (header[0] == STATE_MAGIC && state->conditions <= MaxAllocSize &&
			state->pattern_length <= size - STATE_HEADER)
		{
			state->pattern = p + STATE_HEADER;
			state->row = state->pattern + state->pattern_length;
			state->room = (size - STATE_HEADER - state->pattern_length) / state->row_size;
			if (state->rows <= state->room)
				return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("bytes are no state of an aggregate of patterns"),
			 errhint("Call the aggregate, not its functions.")));
}

/* A state with room for so many rows, and the rows of another one */
static bytea *
grow_state(RowState from, Size room, RowState *state)
{
	Size		size = VARHDRSZ + STATE_HEADER + from.pattern_length;
	bytea	   *bytes;
	uint32		header[4] = {STATE_MAGIC, from.conditions, from.pattern_length, from.rows};

	if (room > (MaxAllocSize - size) / from.row_size || room > PG_UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows to look for a pattern in"),
				 errdetail("A group may have %zu rows of which any condition is true.", (MaxAllocSize - size) / from.row_size)));
	size += room * from.row_size;
	bytes = palloc(size);
	SET_VARSIZE(bytes, size);
	memcpy(VARDATA(bytes), header, STATE_HEADER);
	open_state(bytes, state);
	memcpy(state->pattern, from.pattern, from.pattern_length);
	if (from.rows > 0)
		memcpy(state->row, from.row, from.rows * from.row_size);
	/* no byte of a value is left to chance */
	memset(state->row + from.rows * from.row_size, 0, (room - from.rows) * from.row_size);
	return bytes;
}

static void
set_rows(bytea *bytes, uint32 rows)
{
	memcpy(VARDATA_ANY(bytes) + 3 * sizeof(uint32), &rows, sizeof(rows));
}

/* The pattern of a state or of rows, parsed once for all groups */
static Prepared *
prepare_rows(SequenceState *state, MemoryContext parent, const char *pattern, Size length, Size conditions)
{
	Prepared   *prepared = state->prepared;
	MemoryContext old;

	if (prepared != NULL && VARSIZE_ANY_EXHDR(prepared->text) == length && (Size) prepared->steps.count == conditions &&
		memcmp(VARDATA_ANY(prepared->text), pattern, length) == 0)
		return prepared;
	prepared = begin_prepared(state, parent, &old);
	prepared->text = cstring_to_text_with_len(pattern, (int) length);
	prepared->steps.count = (int) conditions;
	parse_pattern(prepared, VARDATA_ANY(prepared->text), length, conditions);
	if (conditions <= 8)
	{
		make_machine(&prepared->narrow, &prepared->pattern, NARROW);
		for (uint32_t symbol = 0; symbol < NARROW; symbol++)
			for (uint32_t condition = 0; condition < conditions; condition++)
				if (symbol >> condition & 1)
					cxm_sequence_tell(&prepared->narrow, symbol, condition);
	}
	MemoryContextSwitchTo(old);
	state->prepared = prepared;
	return prepared;
}

/* The conditions of a row, a bit each; false where none is true */
static bool
read_conditions(ArrayType *array, Size n, uint64 *bits)
{
	const char *values = ARR_DATA_PTR(array);
	const uint8 *bitmap = ARR_NULLBITMAP(array);
	bool		any = false;

	memset(bits, 0, (n + 63) / 64 * sizeof(uint64));
	for (Size i = 0; i < n; i++)
	{
		if (bitmap != NULL && !(bitmap[i / 8] >> i % 8 & 1))
			continue;
		if (*values++)
		{
			bits[i / 64] |= UINT64CONST(1) << i % 64;
			any = true;
		}
	}
	return any;
}

/* cxm.sequence_add_row(bytea, timestamptz, boolean[], text) */
Datum
cxm_sequence_add_row(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_ARGISNULL(0) ? NULL : PG_GETARG_BYTEA_P(0);
	RowState	state;
	ArrayType  *array;
	text	   *pattern;
	TimestampTz at;
	Size		n;
	uint64		few[4];
	uint64	   *bits = few;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
	{
		if (bytes == NULL)
			PG_RETURN_NULL();
		PG_RETURN_BYTEA_P(bytes);
	}
	at = PG_GETARG_TIMESTAMPTZ(1);
	array = PG_GETARG_ARRAYTYPE_P(2);
	pattern = PG_GETARG_TEXT_PP(3);
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("an event cannot be at %s", TIMESTAMP_IS_NOBEGIN(at) ? "-infinity" : "infinity"),
				 errhint("Leave it out with FILTER (WHERE isfinite(...)).")));
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" must have one dimension", "conditions"),
				 errdetail("It has %d.", ARR_NDIM(array))));
	n = (Size) ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (bytes == NULL)
	{
		RowState	empty = {0};

		/* a pattern that is none is refused with the first row */
		(void) prepare_rows(get_state(fcinfo), fcinfo->flinfo->fn_mcxt,
							VARDATA_ANY(pattern), VARSIZE_ANY_EXHDR(pattern), n);
		empty.conditions = (uint32) n;
		empty.pattern = VARDATA_ANY(pattern);
		empty.pattern_length = VARSIZE_ANY_EXHDR(pattern);
		empty.row_size = row_size(n);
		bytes = grow_state(empty, FIRST_ROWS, &state);
	}
	else
	{
		open_state(bytes, &state);
		if (state.pattern_length != VARSIZE_ANY_EXHDR(pattern) ||
			memcmp(state.pattern, VARDATA_ANY(pattern), state.pattern_length) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("pattern must be the same for all rows")));
		if (state.conditions != n)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("array \"%s\" must have the same length in all rows", "conditions"),
					 errdetail("It has %zu elements, and %u before.", n, state.conditions)));
		if (AggCheckCallContext(fcinfo, NULL) == 0)
			bytes = grow_state(state, state.room, &state);
	}

	if (state.row_size - sizeof(int64) > sizeof(few))
		bits = palloc(state.row_size - sizeof(int64));
	/* rows of which no condition is true do not exist for a pattern */
	if (read_conditions(array, n, bits))
	{
		char	   *row;

		if (state.rows == state.room)
			bytes = grow_state(state, Max(2 * state.room, FIRST_ROWS), &state);
		row = state.row + state.rows * state.row_size;
		memcpy(row, &at, sizeof(at));
		memcpy(row + sizeof(at), bits, state.row_size - sizeof(at));
		set_rows(bytes, state.rows + 1);
	}
	PG_RETURN_BYTEA_P(bytes);
}

/* cxm.sequence_combine(bytea, bytea) */
Datum
cxm_sequence_combine(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_P(0);
	RowState	a;
	RowState	b;

	open_state(bytes, &a);
	open_state(PG_GETARG_BYTEA_P(1), &b);
	if (a.conditions != b.conditions || a.pattern_length != b.pattern_length ||
		memcmp(a.pattern, b.pattern, a.pattern_length) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pattern and number of conditions must be the same for all rows")));
	if (AggCheckCallContext(fcinfo, NULL) == 0 || b.rows > a.room - a.rows)
		bytes = grow_state(a, Max((Size) a.rows + b.rows, Min(2 * a.room, ((Size) a.rows + b.rows) * 2)), &a);
	memcpy(a.row + a.rows * a.row_size, b.row, b.rows * b.row_size);
	set_rows(bytes, a.rows + b.rows);
	PG_RETURN_BYTEA_P(bytes);
}

/* Order of rows: by time, then by conditions as a number of which condition 1 is the lowest bit */
static int
compare_rows(const void *x, const void *y, void *arg)
{
	Size		words = *(const Size *) arg;
	const uint64 *a = x;
	const uint64 *b = y;

	if (a[0] != b[0])
		return (int64) a[0] < (int64) b[0] ? -1 : 1;
	for (Size w = words; w-- > 0;)
	{
		if (a[1 + w] != b[1 + w])
			return a[1 + w] < b[1 + w] ? -1 : 1;
	}
	return 0;
}

static int
compare_conditions(const void *x, const void *y, void *arg)
{
	Size		words = *(const Size *) arg;
	const uint64 *a = x;
	const uint64 *b = y;

	for (Size w = words; w-- > 0;)
	{
		if (a[w] != b[w])
			return a[w] < b[w] ? -1 : 1;
	}
	return 0;
}

/* What is looked for in the rows of a state, in order */
static const SequenceMachine *
read_rows(FunctionCallInfo fcinfo, SequenceState *state, SequenceEvents *events)
{
	RowState	rows;
	Prepared   *prepared;
	Size		words;
	uint64	   *sorted;
	int64	   *at;
	SequenceMachine *machine;

	open_state(PG_GETARG_BYTEA_PP(0), &rows);
	prepared = prepare_rows(state, fcinfo->flinfo->fn_mcxt, rows.pattern, rows.pattern_length, rows.conditions);
	words = rows.row_size / sizeof(uint64) - 1;
	sorted = MemoryContextAllocHuge(CurrentMemoryContext, Max(rows.rows * rows.row_size, 1));
	memcpy(sorted, rows.row, rows.rows * rows.row_size);
	for (Size i = 1; i < rows.rows; i++)
	{
		if (compare_rows(sorted + (i - 1) * (words + 1), sorted + i * (words + 1), &words) > 0)
		{
			qsort_arg(sorted, rows.rows, rows.row_size, compare_rows, &words);
			break;
		}
	}
	CHECK_FOR_INTERRUPTS();

	memset(events, 0, sizeof(*events));
	events->count = rows.rows;
	events->at = at = MemoryContextAllocHuge(CurrentMemoryContext, Max(rows.rows * sizeof(int64), 1));
	for (Size i = 0; i < rows.rows; i++)
		at[i] = (int64) sorted[i * (words + 1)];
	if (rows.conditions <= 8)
	{
		uint8_t    *bytes = MemoryContextAllocHuge(CurrentMemoryContext, Max(rows.rows, 1));

		for (Size i = 0; i < rows.rows; i++)
			bytes[i] = words == 0 ? 0 : (uint8_t) sorted[i * (words + 1) + 1];
		events->bytes = bytes;
		return &prepared->narrow;
	}

	/* more conditions: the symbol of a row is the rank of what it fulfils */
	{
		uint64	   *distinct = MemoryContextAllocHuge(CurrentMemoryContext, Max(rows.rows * words * sizeof(uint64), 1));
		uint32_t   *symbols = MemoryContextAllocHuge(CurrentMemoryContext, Max(rows.rows * sizeof(uint32_t), 1));
		Size		n = 0;

		for (Size i = 0; i < rows.rows; i++)
			memcpy(distinct + i * words, sorted + i * (words + 1) + 1, words * sizeof(uint64));
		qsort_arg(distinct, rows.rows, words * sizeof(uint64), compare_conditions, &words);
		for (Size i = 0; i < rows.rows; i++)
		{
			if (n == 0 || compare_conditions(distinct + (n - 1) * words, distinct + i * words, &words) != 0)
				memmove(distinct + n++ * words, distinct + i * words, words * sizeof(uint64));
		}
		machine = palloc(sizeof(SequenceMachine));
		make_machine(machine, &prepared->pattern, Max(n, 1));
		for (Size s = 0; s < n; s++)
		{
			CHECK_FOR_INTERRUPTS();
			for (uint32_t condition = 0; condition < rows.conditions; condition++)
				if (distinct[s * words + condition / 64] >> condition % 64 & 1)
					cxm_sequence_tell(machine, (uint32_t) s, condition);
		}
		for (Size i = 0; i < rows.rows; i++)
		{
			Size		low = 0;
			Size		high = n - 1;

			while (low < high)
			{
				Size		middle = low + (high - low) / 2;

				if (compare_conditions(distinct + middle * words, sorted + i * (words + 1) + 1, &words) < 0)
					low = middle + 1;
				else
					high = middle;
			}
			symbols[i] = (uint32_t) low;
		}
		events->words = symbols;
		return machine;
	}
}

static uint64
count_in_rows(FunctionCallInfo fcinfo, bool only_first)
{
	SequenceState *state = get_state(fcinfo);
	SequenceEvents events;
	const SequenceMachine *machine = read_rows(fcinfo, state, &events);
	uint64		matches = cxm_sequence_count(machine, &events, only_first,
											 get_scratch(state, fcinfo->flinfo->fn_mcxt, machine, events.count, false),
											 cxm_journey_poll, NULL);

	release_space(state);
	return matches;
}

/* cxm.sequence_matches_final(bytea) */
Datum
cxm_sequence_matches_final(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(count_in_rows(fcinfo, true) > 0);
}

/* cxm.sequence_count_final(bytea) */
Datum
cxm_sequence_count_final(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) count_in_rows(fcinfo, false));
}

/* cxm.sequence_events_final(bytea) */
Datum
cxm_sequence_events_final(PG_FUNCTION_ARGS)
{
	SequenceState *state = get_state(fcinfo);
	SequenceEvents events;
	const SequenceMachine *machine = read_rows(fcinfo, state, &events);

	return traced_times(state, fcinfo->flinfo->fn_mcxt, machine, &events);
}
