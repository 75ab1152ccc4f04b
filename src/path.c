/*
 * src/path.c
 *		What follows what, for SQL: sessions, transitions, and paths from an event on.
 *
 * The state of cxm.transitions_agg() is a bytea that holds a PathTable (path_core.h) behind 4 bytes of nothing, so
 * that its numbers lie where the processor wants them. It grows by doubling; as long as it need not, the transition
 * function gives back the same pointer, so that the executor copies nothing.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "funcapi.h"
#include "journey.h"
#include "miscadmin.h"
#include "path_core.h"
#include "rows.h"
#include "steps.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(cxm_path_count_sessions_sql);
PG_FUNCTION_INFO_V1(cxm_path_sessions);
PG_FUNCTION_INFO_V1(cxm_path_transitions);
PG_FUNCTION_INFO_V1(cxm_path_add_transitions);
PG_FUNCTION_INFO_V1(cxm_path_combine_transitions);
PG_FUNCTION_INFO_V1(cxm_path_transitions_final);
PG_FUNCTION_INFO_V1(cxm_path_paths);
PG_FUNCTION_INFO_V1(cxm_path_steps);

/* first places of a state */
#define FIRST_PAIRS 8
#define FIRST_GAPS 16

/* what lies between the header of a state and its table */
#define STATE_PADDING 4

/* steps of a path at most */
#define MAX_STEPS 10000

/* rows between two looks for interrupts */
#define STRIDE 65536

/*--------------------------------------------------------------------------------------------------------
 * Arguments
 *--------------------------------------------------------------------------------------------------------
 */

/* A gap between sessions in microseconds; a day is 24 hours */
static uint64
read_gap(const Interval *gap)
{
	int64		usecs;

#ifdef INTERVAL_NOT_FINITE
	if (INTERVAL_IS_NOEND(gap))
		return PG_UINT64_MAX;
#endif
	if (gap->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the gap between sessions must not be in months or years"),
				 errdetail("Their length depends on the calendar; a day of a gap is 24 hours."),
				 errhint("Write it in minutes, hours or days, such as interval '30 minutes'.")));
	if (pg_mul_s64_overflow((int64) gap->day, USECS_PER_DAY, &usecs) || pg_add_s64_overflow(usecs, gap->time, &usecs))
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("the gap between sessions is too long")));
	if (usecs < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the gap between sessions must not be negative"),
				 errhint("A new session begins after a longer gap, such as interval '30 minutes'.")));
	return (uint64) usecs;
}

/* The same of an argument that may be left out, or NULL: then there is one session */
static uint64
optional_gap(FunctionCallInfo fcinfo, int n)
{
	if (PG_NARGS() <= n || PG_ARGISNULL(n))
		return PG_UINT64_MAX;
	return read_gap(PG_GETARG_INTERVAL_P(n));
}

static JourneyBuffer *
get_buffer(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = cxm_journey_buffer(fcinfo->flinfo->fn_mcxt);
	return fcinfo->flinfo->fn_extra;
}

static Datum
interval_of(uint64 usecs)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = usecs > (uint64) PG_INT64_MAX ? PG_INT64_MAX : (int64) usecs;
	return IntervalPGetDatum(interval);
}

/* Put a row; what it was made of is gone after that */
static void
put_row(CxmRows *rows, Datum *values, bool *nulls)
{
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
	MemoryContextReset(rows->context);
}

/*--------------------------------------------------------------------------------------------------------
 * Sessions
 *--------------------------------------------------------------------------------------------------------
 */

/* cxm.count_sessions(journey, interval) */
Datum
cxm_path_count_sessions_sql(PG_FUNCTION_ARGS)
{
	JourneyView view;

	cxm_journey_view(PG_GETARG_DATUM(0), get_buffer(fcinfo), &view);
	PG_RETURN_INT64((int64) cxm_path_count_sessions(&view, read_gap(PG_GETARG_INTERVAL_P(1)), cxm_journey_poll));
}

/* cxm.sessions(journey, interval) */
Datum
cxm_path_sessions(PG_FUNCTION_ARGS)
{
	uint64		gap = read_gap(PG_GETARG_INTERVAL_P(1));
	JourneyView view;
	CxmRows		rows;
	int64		number = 0;

	cxm_begin_rows(fcinfo, &rows);
	cxm_journey_view(PG_GETARG_DATUM(0), get_buffer(fcinfo), &view);
	for (Size i = 0; i < view.count;)
	{
		Size		end = cxm_path_session_end(&view, i, gap);
		Datum		values[6];
		bool		nulls[6] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int64GetDatum(++number);
		values[1] = TimestampTzGetDatum(journey_at(&view, i));
		values[2] = TimestampTzGetDatum(journey_at(&view, end - 1));
		values[3] = Int64GetDatum((int64) (end - i));
		values[4] = Int32GetDatum(journey_code(&view, i));
		values[5] = Int32GetDatum(journey_code(&view, end - 1));
		put_row(&rows, values, nulls);
		i = end;
	}
	MemoryContextDelete(rows.context);
	return (Datum) 0;
}

/*--------------------------------------------------------------------------------------------------------
 * Transitions
 *--------------------------------------------------------------------------------------------------------
 */

static void
report_state(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("bytes are no state of an aggregate of transitions"),
			 errhint("Call the aggregate, not its functions.")));
}

static PathTable *
table_of(bytea *state)
{
	return (PathTable *) (VARDATA(state) + STATE_PADDING);
}

/* The table of a state that came from elsewhere, whose bytes may be anything and anywhere */
static bytea *
open_state(bytea *state)
{
	Size		size = VARSIZE(state) - VARHDRSZ;

	if (size < STATE_PADDING + sizeof(PathTable))
		report_state();
	if ((uintptr_t) table_of(state) % sizeof(uint64) != 0)
	{
		bytea	   *copy = palloc(VARSIZE(state));

		memcpy(copy, state, VARSIZE(state));
		state = copy;
	}
	if (!cxm_path_table_is_sound(table_of(state), size - STATE_PADDING))
		report_state();
	return state;
}

static bytea *
new_state(uint64 pairs, uint64 gaps, uint32 limit, uint32 level)
{
	Size		size = cxm_path_table_size(pairs, gaps);
	bytea	   *state;

	if (pairs > MaxAllocSize / sizeof(PathPair) || gaps > MaxAllocSize / sizeof(PathGap) ||
		size > MaxAllocSize - VARHDRSZ - STATE_PADDING)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many different transitions"),
				 errdetail("Their counts would take more than %zu bytes.", (Size) MaxAllocSize),
				 errhint("Leave out events that no question is about with cxm.filter_codes().")));
	size += VARHDRSZ + STATE_PADDING;
	state = palloc(size);
	SET_VARSIZE(state, size);
	memset(VARDATA(state), 0, STATE_PADDING);
	cxm_path_table_begin(table_of(state), (uint32_t) pairs, (uint32_t) gaps, limit, level);
	return state;
}

/* A state with room for more, or of a higher level, with all that another one has */
static bytea *
move_state(bytea *from, uint32 pairs, uint32 gaps, uint32 level)
{
	uint64_t	pair_places;
	uint64_t	gap_places;
	bytea	   *state;

	cxm_path_table_next_size(table_of(from), pairs, gaps, &pair_places, &gap_places);
	state = new_state(pair_places, gap_places, table_of(from)->limit, level);
	if (!cxm_path_table_merge(table_of(state), table_of(from), cxm_journey_poll))
		report_state();
	return state;
}

/* The level that so many gaps call for; a state that is left behind is freed unless it is the one given */
static bytea *
settle_state(bytea *state)
{
	bytea	   *given = state;
	uint64_t	gap_places;

	while (path_table_is_over(table_of(state)))
	{
		bytea	   *next = move_state(state, 0, 0, table_of(state)->level + 1);

		if (state != given)
			pfree(state);
		state = next;
	}
	if (state != given && cxm_path_table_is_roomy(table_of(state), &gap_places))
	{
		PathTable  *table = table_of(state);
		bytea	   *next = new_state(table->pair_places, gap_places, table->limit, table->level);

		if (!cxm_path_table_merge(table_of(next), table, cxm_journey_poll))
			report_state();
		pfree(state);
		state = next;
	}
	return state;
}

/* Count transitions of a customer; the state may become another one, and is then freed unless it is the one given */
static bytea *
add_transitions(bytea *state, bytea *given, const PathTransition *transitions, Size n)
{
	bytea	   *next = state;

	if (!cxm_path_table_has_room(table_of(state), (uint32) n, (uint32) n))
		next = move_state(state, (uint32) n, (uint32) n, table_of(state)->level);
	if (!cxm_path_table_add(table_of(next), transitions, n))
		report_state();
	if (next != state && state != given)
		pfree(state);
	state = next;
	if (path_table_is_over(table_of(state)))
	{
		next = settle_state(state);
		if (state != given)
			pfree(state);
		state = next;
	}
	return state;
}

/* Count the transitions of a journey; the state may become another one */
static bytea *
count_transitions(bytea *state, const JourneyView *view, uint64 gap)
{
	bytea	   *given = state;
	uint64		most = gap == PG_UINT64_MAX || view->usecs == 0 ? PG_UINT64_MAX : gap / view->usecs;
	uint64		before = 0;
	int32		from = view->count > 0 ? journey_code(view, 0) : 0;
	PathTransition batch[PATH_BATCH];
	Size		n = 0;

	table_of(state)->serial++;
	for (Size i = 1; i < view->count; i++)
	{
		uint64		offset = journey_offset(view, i);
		int32		to = journey_code(view, i);

		if (offset - before <= most)
		{
			batch[n].from = from;
			batch[n].to = to;
			batch[n++].gap = (offset - before) * view->usecs;
			if (n == PATH_BATCH)
			{
				CHECK_FOR_INTERRUPTS();
				state = add_transitions(state, given, batch, n);
				n = 0;
			}
		}
		before = offset;
		from = to;
	}
	return add_transitions(state, given, batch, n);
}

/* Rows of a state, in order */
static PathRow *
read_state(bytea *state, uint32 *n)
{
	PathTable  *table = table_of(state);
	PathGap    *gaps = MemoryContextAllocHuge(CurrentMemoryContext, Max((Size) table->gaps, 1) * sizeof(PathGap));
	PathRow    *rows = MemoryContextAllocHuge(CurrentMemoryContext, Max((Size) table->pairs, 1) * sizeof(PathRow));
	uint32	   *starts = MemoryContextAllocHuge(CurrentMemoryContext, ((Size) table->pair_places + 1) * sizeof(uint32));

	*n = cxm_path_table_read(table, gaps, starts, rows);
	pfree(starts);
	pfree(gaps);
	return rows;
}

/* cxm.transitions(journey, interval) */
Datum
cxm_path_transitions(PG_FUNCTION_ARGS)
{
	uint64		gap = optional_gap(fcinfo, 1);
	JourneyView view;
	CxmRows		rows;
	bytea	   *state;
	PathRow    *found;
	uint32		n;

	cxm_begin_rows(fcinfo, &rows);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	cxm_journey_view(PG_GETARG_DATUM(0), get_buffer(fcinfo), &view);
	/* of one journey medians are exact, however many gaps there are */
	state = count_transitions(new_state(FIRST_PAIRS, FIRST_GAPS, PG_UINT32_MAX, 0), &view, gap);
	found = read_state(state, &n);
	for (uint32 i = 0; i < n; i++)
	{
		Datum		values[5];
		bool		nulls[5] = {false};
		MemoryContext old = MemoryContextSwitchTo(rows.context);

		values[0] = Int32GetDatum(found[i].from);
		values[1] = Int32GetDatum(found[i].to);
		values[2] = Int64GetDatum((int64) found[i].count);
		values[3] = interval_of(found[i].mean);
		values[4] = interval_of(found[i].median);
		MemoryContextSwitchTo(old);
		put_row(&rows, values, nulls);
	}
	MemoryContextDelete(rows.context);
	return (Datum) 0;
}

/* cxm.transitions_add(bytea, journey), cxm.transitions_add(bytea, journey, interval) */
Datum
cxm_path_add_transitions(PG_FUNCTION_ARGS)
{
	bytea	   *state;
	JourneyView view;

	if (PG_ARGISNULL(0))
	{
		if (PG_ARGISNULL(1))
			PG_RETURN_NULL();
		state = new_state(FIRST_PAIRS, FIRST_GAPS, PATH_GAPS_LIMIT, 0);
	}
	else
	{
		/* elsewhere than in an aggregate an argument is not changed */
		if (AggCheckCallContext(fcinfo, NULL) == 0)
			state = open_state(PG_GETARG_BYTEA_P_COPY(0));
		else
			state = open_state(PG_GETARG_BYTEA_P(0));
		if (PG_ARGISNULL(1))
			PG_RETURN_BYTEA_P(state);
	}
	cxm_journey_view(PG_GETARG_DATUM(1), get_buffer(fcinfo), &view);
	PG_RETURN_BYTEA_P(count_transitions(state, &view, optional_gap(fcinfo, 2)));
}

/* cxm.transitions_combine(bytea, bytea) */
Datum
cxm_path_combine_transitions(PG_FUNCTION_ARGS)
{
	bool		in_place = AggCheckCallContext(fcinfo, NULL) != 0;
	bytea	   *a = open_state(in_place ? PG_GETARG_BYTEA_P(0) : PG_GETARG_BYTEA_P_COPY(0));
	bytea	   *b = open_state(PG_GETARG_BYTEA_P(1));
	uint32		level = Max(table_of(a)->level, table_of(b)->level);

	if (table_of(a)->limit != table_of(b)->limit)
		report_state();
	if (level != table_of(a)->level || !cxm_path_table_has_room(table_of(a), table_of(b)->pairs, table_of(b)->gaps))
		a = move_state(a, table_of(b)->pairs, table_of(b)->gaps, level);
	if (!cxm_path_table_merge(table_of(a), table_of(b), cxm_journey_poll))
		report_state();
	PG_RETURN_BYTEA_P(settle_state(a));
}

/* cxm.transitions_final(bytea) */
Datum
cxm_path_transitions_final(PG_FUNCTION_ARGS)
{
	uint32		n;
	PathRow    *rows = read_state(open_state(PG_GETARG_BYTEA_P(0)), &n);
	Oid			type = get_element_type(get_fn_expr_rettype(fcinfo->flinfo));
	Datum	   *elements;
	TupleDesc	desc;

	if (!OidIsValid(type))
		elog(ERROR, "could not determine the type of a transition");
	desc = lookup_rowtype_tupdesc_copy(type, -1);
	elements = MemoryContextAllocHuge(CurrentMemoryContext, Max((Size) n, 1) * sizeof(Datum));
	for (uint32 i = 0; i < n; i++)
	{
		Datum		values[6];
		bool		nulls[6] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(rows[i].from);
		values[1] = Int32GetDatum(rows[i].to);
		values[2] = Int64GetDatum((int64) rows[i].customers);
		values[3] = Int64GetDatum((int64) rows[i].count);
		values[4] = interval_of(rows[i].mean);
		values[5] = interval_of(rows[i].median);
		elements[i] = HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, (int) n, type, -1, false, TYPALIGN_DOUBLE));
}

/*--------------------------------------------------------------------------------------------------------
 * Paths
 *--------------------------------------------------------------------------------------------------------
 */

typedef enum Occurrence
{
	FIRST,
	LAST,
	ALL
} Occurrence;

/* The arguments of cxm.paths() and cxm.path_steps(), and what goes on from event to event */
typedef struct Walk
{
	JourneyView view;
	CxmRows		rows;
	CxmSteps	anchor;			/* its codes, each a step of its own */
	Size		most;			/* events of a path */
	uint64		gap;
	size_t	   *path;
	int64		number;
	Occurrence	occurrence;
	bool		has_anchor;
	bool		forward;
	bool		collapse;
	bool		as_steps;
} Walk;

static void
put_path(Walk *walk, Size n)
{
	const JourneyView *view = &walk->view;
	MemoryContext old = MemoryContextSwitchTo(walk->rows.context);
	Datum	   *codes = palloc(n * sizeof(Datum));
	Datum		values[4];
	bool		nulls[4] = {false};
	Size		first = walk->forward ? walk->path[0] : walk->path[n - 1];
	Size		last = walk->forward ? walk->path[n - 1] : walk->path[0];

	for (Size k = 0; k < n; k++)
		codes[walk->forward ? k : n - 1 - k] = Int32GetDatum(journey_code(view, walk->path[k]));
	values[0] = Int64GetDatum(++walk->number);
	values[1] = PointerGetDatum(construct_array(codes, (int) n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	values[2] = TimestampTzGetDatum(journey_at(view, first));
	values[3] = TimestampTzGetDatum(journey_at(view, last));
	MemoryContextSwitchTo(old);
	put_row(&walk->rows, values, nulls);
}

/* A row a step, and one for the end of a path that is shorter than was asked for */
static void
put_steps(Walk *walk, Size n)
{
	const JourneyView *view = &walk->view;

	walk->number++;
	for (Size k = 1; k <= n && k < walk->most; k++)
	{
		Datum		values[5];
		bool		nulls[5] = {false};
		Datum		near = Int32GetDatum(journey_code(view, walk->path[k - 1]));
		MemoryContext old = MemoryContextSwitchTo(walk->rows.context);

		values[0] = Int64GetDatum(walk->number);
		values[1] = Int32GetDatum(walk->forward ? (int32) k : -(int32) k);
		values[walk->forward ? 2 : 3] = near;
		if (k < n)
		{
			uint64		a = journey_offset(view, walk->path[k - 1]);
			uint64		b = journey_offset(view, walk->path[k]);

			values[walk->forward ? 3 : 2] = Int32GetDatum(journey_code(view, walk->path[k]));
			values[4] = interval_of((walk->forward ? b - a : a - b) * view->usecs);
		}
		else
		{
			nulls[walk->forward ? 3 : 2] = true;
			nulls[4] = true;
		}
		MemoryContextSwitchTo(old);
		put_row(&walk->rows, values, nulls);
	}
}

static void
put_walk(Walk *walk, Size low, Size high, Size i)
{
	Size		n = cxm_path_walk(&walk->view, low, high, i, walk->forward, walk->collapse, walk->most, walk->path);

	CHECK_FOR_INTERRUPTS();
	if (walk->as_steps)
		put_steps(walk, n);
	else
		put_path(walk, n);
}

/* Does a path begin (forward) or end (backward) at this event? Of a row of one code that is one, at the first. */
static bool
is_anchor(const Walk *walk, Size low, Size i)
{
	int32		code = journey_code(&walk->view, i);

	return cxm_find_code(&walk->anchor, code) != 0 &&
		(!walk->collapse || i == low || journey_code(&walk->view, i - 1) != code);
}

/* All paths of a journey, or of a session of it */
static void
walk_part(Walk *walk, Size low, Size high)
{
	if (!walk->has_anchor)
	{
		put_walk(walk, low, high, walk->forward ? low : high - 1);
		return;
	}
	for (Size k = low; k < high; k++)
	{
		Size		i = walk->occurrence == LAST ? high - 1 - (k - low) : k;

		if (k % STRIDE == 0)
			CHECK_FOR_INTERRUPTS();
		if (!is_anchor(walk, low, i))
			continue;
		put_walk(walk, low, high, i);
		if (walk->occurrence != ALL)
			break;
	}
}

static bool
is_word(const text *t, const char *word)
{
	return VARSIZE_ANY_EXHDR(t) == strlen(word) && memcmp(VARDATA_ANY(t), word, strlen(word)) == 0;
}

/* Arguments: journey, anchor, direction, steps, collapse, session_gap, occurrence */
static Datum
walk_journey(FunctionCallInfo fcinfo, bool as_steps)
{
	Walk		walk;
	text	   *direction;
	text	   *occurrence;
	int32		steps;

	memset(&walk, 0, sizeof(walk));
	cxm_begin_rows(fcinfo, &walk.rows);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4) || PG_ARGISNULL(6))
		return (Datum) 0;

	direction = PG_GETARG_TEXT_PP(2);
	walk.forward = is_word(direction, "after");
	if (!walk.forward && !is_word(direction, "before"))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("direction must be after or before, not \"%s\"", text_to_cstring(direction))));
	steps = PG_GETARG_INT32(3);
	if (steps < 1 || steps > MAX_STEPS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a path must have 1 to %d steps, not %d", MAX_STEPS, steps)));
	occurrence = PG_GETARG_TEXT_PP(6);
	walk.occurrence = is_word(occurrence, "first") ? FIRST : is_word(occurrence, "last") ? LAST : ALL;
	if (walk.occurrence == ALL && !is_word(occurrence, "all"))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("occurrence must be first, last or all, not \"%s\"", text_to_cstring(occurrence))));
	walk.has_anchor = !PG_ARGISNULL(1);
	if (walk.has_anchor)
		cxm_read_steps(PG_GETARG_ARRAYTYPE_P(1), "anchor", &walk.anchor);
	walk.collapse = PG_GETARG_BOOL(4);
	walk.gap = optional_gap(fcinfo, 5);
	walk.as_steps = as_steps;

	cxm_journey_view(PG_GETARG_DATUM(0), get_buffer(fcinfo), &walk.view);
	walk.most = Min((Size) steps + 1, Max(walk.view.count, 1) + 1);
	walk.path = palloc(walk.most * sizeof(size_t));
	for (Size i = 0; i < walk.view.count;)
	{
		Size		end = walk.gap == PG_UINT64_MAX ? walk.view.count : cxm_path_session_end(&walk.view, i, walk.gap);

		walk_part(&walk, i, end);
		i = end;
	}
	MemoryContextDelete(walk.rows.context);
	return (Datum) 0;
}

/* cxm.paths(journey, integer[], text, integer, boolean, interval, text) */
Datum
cxm_path_paths(PG_FUNCTION_ARGS)
{
	return walk_journey(fcinfo, false);
}

/* cxm.path_steps(journey, integer[], text, integer, boolean, interval, text) */
Datum
cxm_path_steps(PG_FUNCTION_ARGS)
{
	return walk_journey(fcinfo, true);
}
