/*
 * src/retention.c
 *		Retention, lifecycle and active periods of a journey, and the aggregates that count them.
 *
 * A function of a journey answers with a set of pairs of integers, an array; cxm.count_pairs() counts over all
 * customers how many have each pair. So what is asked is given to functions, with names and defaults, and the state of
 * the aggregate knows nothing of it: an array of bigint that combines by addition.
 *
 * What is worked out once and not for every row is the question: codes, rule, zone, and the table of periods.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "cxm.h"
#include "journey.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "period.h"
#include "retention_core.h"
#include "rows.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* what is kept for a giant is given back when a journey needs less than this */
#define GIANT			65536

/* events from one look at the interrupts to the next */
#define STRIDE			65536

/* events that are looked at at once; a divisor of STRIDE */
#define BLOCK			1024

/* most pairs that an array of them has */
#define MAX_PAIRS		(MaxArraySize / 2)

PG_FUNCTION_INFO_V1(cxm_retention_periods);
PG_FUNCTION_INFO_V1(cxm_active_periods_of);
PG_FUNCTION_INFO_V1(cxm_lifecycle_periods);
PG_FUNCTION_INFO_V1(cxm_count_pairs_add);
PG_FUNCTION_INFO_V1(cxm_count_pairs_combine);
PG_FUNCTION_INFO_V1(cxm_count_pairs_final);
PG_FUNCTION_INFO_V1(cxm_pair_counts);
PG_FUNCTION_INFO_V1(cxm_retention_flags_add);
PG_FUNCTION_INFO_V1(cxm_retention_flags_combine);
PG_FUNCTION_INFO_V1(cxm_retention_flags_final);

/* most arguments that a function has after the journey */
#define MAX_ARGUMENTS	11

/* an argument as it was when the question was asked */
typedef struct Argument
{
	bool		constant;		/* it is the same in every row */
	bool		by_value;
	int16		length;			/* of its type; -1 for a varlena */
	bool		is_null;
	Datum		value;			/* when by value */
	Size		size;			/* when not: bytes, without a varlena's header */
	Size		room;
	char	   *bytes;
} Argument;

/* a question about journeys, and room to answer it */
typedef struct Question
{
	MemoryContext context;
	bool		asked;
	int			narguments;		/* those after the journey */
	Argument	arguments[MAX_ARGUMENTS];
	CxmCodeMarks marks;
	size_t		large_room;
	CxmZonePeriods periods;
	CxmRetentionRule rule;
	TypeCacheEntry *range;
	JourneyBuffer *buffer;

	/* events of one journey that the question is about */
	size_t		room;
	size_t		nevents;
	int64_t    *at;
	uint8_t    *mark;
	CxmPeriodEvent *scratch;	/* two an event */
	uint16_t	found[BLOCK];	/* those of a block of events that have a mark */

	size_t		pairs_room;
	CxmPair    *pairs;
} Question;

/*--------------------------------------------------------------------------------------------------------
 * Arguments
 *--------------------------------------------------------------------------------------------------------
 */

/* The question that a function keeps from row to row */
static Question *
own_question(FunctionCallInfo fcinfo)
{
	Question   *q = fcinfo->flinfo->fn_extra;

	if (q == NULL)
	{
		Node	   *expr = fcinfo->flinfo->fn_expr;
		List	   *args = expr && IsA(expr, FuncExpr) ? ((FuncExpr *) expr)->args : NIL;

		q = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Question));
		q->context = fcinfo->flinfo->fn_mcxt;
		q->periods.context = q->context;
		q->buffer = cxm_journey_buffer(q->context);
		q->narguments = PG_NARGS() - 1;
		Assert(q->narguments <= MAX_ARGUMENTS);
		for (int i = 0; i < q->narguments; i++)
		{
			Argument   *argument = &q->arguments[i];
			Oid			type = get_fn_expr_argtype(fcinfo->flinfo, i + 1);

			argument->constant = i + 1 < list_length(args) && IsA(list_nth(args, i + 1), Const);
			if (OidIsValid(type))
				get_typlenbyval(type, &argument->length, &argument->by_value);
		}
		fcinfo->flinfo->fn_extra = q;
	}
	return q;
}

/* The bytes of an argument that is passed by reference; may copy a value that is stored elsewhere */
static const char *
argument_bytes(const Argument *argument, Datum value, Size *size)
{
	struct varlena *varlena = (struct varlena *) DatumGetPointer(value);

	if (argument->length > 0)
	{
		*size = (Size) argument->length;
		return DatumGetPointer(value);
	}
	if (VARATT_IS_EXTERNAL_EXPANDED(varlena))
	{
		/* what PL/pgSQL makes of arrays; as a rule it has the flat one at hand */
		ExpandedArrayHeader *expanded = (ExpandedArrayHeader *) DatumGetEOHP(value);

		if (expanded->ea_magic == EA_MAGIC && expanded->fvalue)
			varlena = (struct varlena *) expanded->fvalue;
	}
	varlena = pg_detoast_datum_packed(varlena);
	*size = VARSIZE_ANY_EXHDR(varlena);
	return VARDATA_ANY(varlena);
}

/*
 * Is the question still the one that was asked? A parameter is the same for every row of a query, but PL/pgSQL keeps
 * what a function knows from one evaluation of an expression to the next, so only constants are taken for granted.
 */
static bool
same_question(FunctionCallInfo fcinfo, const Question *q)
{
	if (!q->asked)
		return false;
	for (int i = 0; i < q->narguments; i++)
	{
		const Argument *argument = &q->arguments[i];
		const char *bytes;
		Size		size;

		if (argument->constant)
			continue;
		if (argument->is_null != PG_ARGISNULL(i + 1))
			return false;
		if (argument->is_null)
			continue;
		if (argument->by_value)
		{
			if (argument->value != PG_GETARG_DATUM(i + 1))
				return false;
			continue;
		}
		bytes = argument_bytes(argument, PG_GETARG_DATUM(i + 1), &size);
		if (size != argument->size || memcmp(bytes, argument->bytes, size) != 0)
			return false;
	}
	return true;
}

/* From now on this is the question */
static void
remember_question(FunctionCallInfo fcinfo, Question *q)
{
	for (int i = 0; i < q->narguments; i++)
	{
		Argument   *argument = &q->arguments[i];
		const char *bytes;

		/* a caller that does not tell types is asked anew each time */
		if (argument->length == 0)
			return;
		argument->is_null = PG_ARGISNULL(i + 1);
		if (argument->constant || argument->is_null)
			continue;
		if (argument->by_value)
		{
			argument->value = PG_GETARG_DATUM(i + 1);
			continue;
		}
		bytes = argument_bytes(argument, PG_GETARG_DATUM(i + 1), &argument->size);
		if (argument->size > argument->room)
		{
			if (argument->bytes)
				pfree(argument->bytes);
			argument->room = 0;
			argument->bytes = MemoryContextAlloc(q->context, argument->size);
			argument->room = argument->size;
		}
		memcpy(argument->bytes, bytes, argument->size);
	}
	q->asked = true;
}

static char *
text_arg(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argno));
}

/* One of a few words; NULL is none of them */
static int
word_arg(FunctionCallInfo fcinfo, int argno, const char *name, const char *const *words, int nwords, const char *list)
{
	char	   *word = text_arg(fcinfo, argno);

	for (int i = 0; word && i < nwords; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 word ? errmsg("%s must be %s, not \"%s\"", name, list, word)
			 : errmsg("%s must be %s, not NULL", name, list)));
	pg_unreachable();
}

/* An array of codes gives them a mark; NULL gives it to all codes */
static void
mark_codes_arg(FunctionCallInfo fcinfo, int argno, Question *q, uint8_t mark)
{
	ArrayType  *array;
	int			n;

	if (PG_ARGISNULL(argno))
	{
		q->marks.all |= mark;
		return;
	}
	array = PG_GETARG_ARRAYTYPE_P(argno);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("an array of codes must have one dimension")));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("an array of codes must not contain nulls"),
				 errhint("NULL instead of the array means any code.")));
	n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (q->marks.nlarge + n > q->large_room)
	{
		CxmMarkedCode *larger;

		larger = MemoryContextAllocHuge(q->context, (q->marks.nlarge + n) * sizeof(CxmMarkedCode));
		if (q->marks.large)
		{
			memcpy(larger, q->marks.large, q->marks.nlarge * sizeof(CxmMarkedCode));
			pfree(q->marks.large);
		}
		q->marks.large = larger;
		q->large_room = q->marks.nlarge + n;
	}
	cxm_mark_codes(&q->marks, (const int32_t *) ARR_DATA_PTR(array), (size_t) n, mark);
}

/* A range of times as its first microsecond and the one behind its last; NULL is all time */
static void
during_arg(FunctionCallInfo fcinfo, int argno, Question *q)
{
	RangeType  *range;
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	q->rule.from = PG_INT64_MIN;
	q->rule.to = PG_INT64_MAX;
	if (PG_ARGISNULL(argno))
		return;
	range = PG_GETARG_RANGE_P(argno);
	if (q->range == NULL || q->range->type_id != RangeTypeGetOid(range))
		q->range = lookup_type_cache(RangeTypeGetOid(range), TYPECACHE_RANGE_INFO);
	range_deserialize(q->range, range, &lower, &upper, &empty);
	if (empty)
	{
		q->rule.to = PG_INT64_MIN;
		return;
	}
	/* no event is at an end of time, so that infinite bounds need no care but for the additions */
	if (!lower.infinite)
	{
		q->rule.from = DatumGetTimestampTz(lower.val);
		if (!lower.inclusive && q->rule.from < PG_INT64_MAX)
			q->rule.from++;
	}
	if (!upper.infinite)
	{
		q->rule.to = DatumGetTimestampTz(upper.val);
		if (upper.inclusive && q->rule.to < PG_INT64_MAX)
			q->rule.to++;
	}
}

/* Length of the periods that are counted from the customer's own start; NULL is 0, those of the calendar */
static void
rolling_arg(FunctionCallInfo fcinfo, int argno, Question *q)
{
	Interval   *length;
	int64		days;

	q->rule.length = 0;
	if (PG_ARGISNULL(argno))
		return;
	length = PG_GETARG_INTERVAL_P(argno);
	if (length->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rolling periods must have a fixed length"),
				 errdetail("Months and years differ in length."),
				 errhint("Use days, which are 24 hours here, or leave out \"rolling\" for periods of the calendar.")));
	if (pg_mul_s64_overflow(length->day, USECS_PER_DAY, &days) ||
		pg_add_s64_overflow(days, length->time, &q->rule.length) ||
		q->rule.length > PG_INT64_MAX / 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the length of rolling periods is out of range"),
				 errhint("Use interval '24 hours' for days that begin when the customer started.")));
	if (q->rule.length <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the length of rolling periods must be positive"),
				 errhint("Use interval '24 hours' for days that begin when the customer started.")));
}

static void
as_of_arg(FunctionCallInfo fcinfo, int argno, Question *q)
{
	q->rule.until = PG_ARGISNULL(argno) ? PG_INT64_MAX : PG_GETARG_TIMESTAMPTZ(argno);
}

static void
periods_args(FunctionCallInfo fcinfo, int period, int zone, int week_start, Question *q)
{
	if (PG_ARGISNULL(week_start))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("week start must not be NULL"),
				 errhint("Give 1 for Monday to 7 for Sunday.")));
	cxm_zone_periods_set(&q->periods, cxm_period_kind(text_arg(fcinfo, period), PG_GETARG_INT32(week_start)),
						 cxm_period_zone(text_arg(fcinfo, zone)));
}

/* Start over with the codes */
static void
forget_codes(Question *q)
{
	q->marks.all = 0;
	q->marks.nlarge = 0;
	memset(q->marks.small, 0, sizeof(q->marks.small));
}

/*--------------------------------------------------------------------------------------------------------
 * Events
 *--------------------------------------------------------------------------------------------------------
 */

static void *
renew(MemoryContext context, void *old, Size size)
{
	if (old)
		pfree(old);
	return MemoryContextAllocHuge(context, size);
}

static void
set_room(Question *q, size_t count)
{
	if (count <= q->room && !(q->room > GIANT && count <= GIANT))
		return;
	count = Max(count, 1024);
	q->room = 0;
	q->at = renew(q->context, q->at, count * sizeof(int64_t));
	q->mark = renew(q->context, q->mark, count);
	q->scratch = renew(q->context, q->scratch, 2 * count * sizeof(CxmPeriodEvent));
	q->room = count;
}

/*
 * Those of up to BLOCK events, from one on, that have a mark, by the codes, which are bytes: where they are. Whether an
 * event is one of them cannot be foretold, so nothing depends on it but how many there are.
 */
static inline size_t
find_marked(const uint8_t *mark_of, const uint8_t *codes, size_t n, uint16_t *found)
{
	size_t		nfound = 0;

	for (size_t i = 0; i < n; i++)
	{
		found[nfound] = (uint16_t) i;
		nfound += mark_of[codes[i]] != 0;
	}
	return nfound;
}

/* The events of a journey that have a mark, and a table of the periods that they lie in */
static void
read_events(Question *q, Datum journey)
{
	JourneyView opened;
	JourneyView view;
	int64_t    *at;
	uint8_t    *mark;
	int64_t		before = PG_INT64_MIN;
	bool		ascends = true;
	size_t		n = 0;

	cxm_journey_view(journey, q->buffer, &opened);
	/* a copy that nobody else knows stays in registers */
	view = opened;
	set_room(q, view.count);
	at = q->at;
	mark = q->mark;
	for (size_t from = 0; from < view.count; from += BLOCK)
	{
		size_t		to = Min(from + BLOCK, view.count);
		size_t		first = n;

		if (from % STRIDE == 0)
			CHECK_FOR_INTERRUPTS();
		if (q->marks.all != 0)
		{
			for (size_t i = from; i < to; i++)
				at[i] = journey_at(&view, i);
			for (size_t i = from; i < to; i++)
				mark[i] = cxm_mark_of(&q->marks, journey_code(&view, i));
			n = to;
		}
		else if (view.code_shift == 0)
		{
			size_t		nfound = find_marked(q->marks.small, view.codes + from, to - from, q->found);

			for (size_t i = 0; i < nfound; i++)
			{
				at[n] = journey_at(&view, from + q->found[i]);
				mark[n++] = q->marks.small[view.codes[from + q->found[i]]];
			}
		}
		else
		{
			for (size_t i = from; i < to; i++)
			{
				mark[n] = cxm_mark_of(&q->marks, journey_code(&view, i));
				if (mark[n] != 0)
					at[n++] = journey_at(&view, i);
			}
		}
		/* the header of a value was checked, its events were not */
		for (size_t i = first; i < n; i++)
		{
			ascends &= before <= at[i];
			before = at[i];
		}
	}

	q->nevents = n;
	if (n == 0)
		return;
	if (unlikely(!ascends))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("value of type %s cannot be read", "cxm.journey"),
				 errdetail("Of its bytes times do not ascend.")));
	if (unlikely(!IS_VALID_TIMESTAMP(at[0]) || !IS_VALID_TIMESTAMP(at[n - 1])))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("value of type %s cannot be read", "cxm.journey"),
				 errdetail("Of its bytes a time is out of range.")));
	cxm_zone_periods_cover(&q->periods, at[0], at[n - 1]);
}

/*--------------------------------------------------------------------------------------------------------
 * Answers
 *--------------------------------------------------------------------------------------------------------
 */

static void
report_too_many(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("a customer came back in too many periods"),
			 errdetail("An array has room for %llu.", (unsigned long long) MAX_PAIRS),
			 errhint("Limit them with \"periods\", or use longer ones.")));
}

/* Room for n integers in an array of rows of so many; empty arrays have no dimension */
static ArrayType *
new_array(Oid element, Size size, int ndim, size_t nrows, int width)
{
	ArrayType  *array;
	Size		length;

	if (nrows == 0)
		return construct_empty_array(element);
	length = ARR_OVERHEAD_NONULLS(ndim) + nrows * (Size) width * size;
	array = palloc(length);
	SET_VARSIZE(array, length);
	array->ndim = ndim;
	array->dataoffset = 0;
	array->elemtype = element;
	ARR_DIMS(array)[0] = (int) nrows;
	ARR_LBOUND(array)[0] = 1;
	if (ndim == 2)
	{
		ARR_DIMS(array)[1] = width;
		ARR_LBOUND(array)[1] = 1;
	}
	return array;
}

static ArrayType *
pairs_array(const CxmPair *pairs, size_t n)
{
	ArrayType  *array;

	StaticAssertStmt(sizeof(CxmPair) == 2 * sizeof(int32), "a pair is a row of an array of integers");
	if (n > MAX_PAIRS)
		report_too_many();
	array = new_array(INT4OID, sizeof(int32), 2, n, 2);
	if (n > 0)
		memcpy(ARR_DATA_PTR(array), pairs, n * sizeof(CxmPair));
	return array;
}

static void
set_pairs_room(Question *q, size_t n)
{
	if (n <= q->pairs_room && !(q->pairs_room > GIANT && n <= GIANT))
		return;
	n = Max(n, 1024);
	q->pairs_room = 0;
	q->pairs = renew(q->context, q->pairs, n * sizeof(CxmPair));
	q->pairs_room = n;
}

static void
ask_retention(FunctionCallInfo fcinfo, Question *q)
{
	static const char *const cohorts[] = {"first_ever", "first_in_range", "recurring"};
	static const char *const criteria[] = {"on", "on_or_after"};

	if (same_question(fcinfo, q))
		return;
	q->asked = false;
	forget_codes(q);
	mark_codes_arg(fcinfo, 1, q, CXM_MARK_START);
	mark_codes_arg(fcinfo, 2, q, CXM_MARK_RETURN);
	periods_args(fcinfo, 3, 4, 5, q);
	during_arg(fcinfo, 6, q);
	q->rule.max_number = PG_ARGISNULL(7) ? PG_INT32_MAX : PG_GETARG_INT32(7);
	if (q->rule.max_number < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of periods must not be negative: %d", (int) q->rule.max_number)));
	q->rule.cohorts = (CxmCohorts) word_arg(fcinfo, 8, "cohorts", cohorts, lengthof(cohorts), "first_ever, first_in_range or recurring");
	q->rule.on_or_after = word_arg(fcinfo, 9, "criterion", criteria, lengthof(criteria), "on or on_or_after") == 1;
	rolling_arg(fcinfo, 10, q);
	as_of_arg(fcinfo, 11, q);
	remember_question(fcinfo, q);
}

/*
 * cxm.retention_periods(journey, start_codes, return_codes, period, time_zone, week_start, during, periods, cohorts,
 * criterion, rolling, as_of)
 */
Datum
cxm_retention_periods(PG_FUNCTION_ARGS)
{
	Question   *q = own_question(fcinfo);
	size_t		n;

	/* what is asked is checked even where there is nobody to ask it about */
	ask_retention(fcinfo, q);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	read_events(q, PG_GETARG_DATUM(0));

	/* without a limit, periods must not be so short that their numbers are no integers */
	if (q->rule.length > 0 && q->rule.max_number == PG_INT32_MAX && q->nevents > 0 &&
		((uint64) q->at[q->nevents - 1] - (uint64) q->at[0]) / (uint64) q->rule.length > PG_INT32_MAX)
		report_too_many();

	set_pairs_room(q, 0);
	for (;;)
	{
		n = cxm_retention(q->at, q->mark, q->nevents, &q->periods.clock, &q->rule, q->scratch,
						  q->pairs, q->pairs_room, MAX_PAIRS, cxm_journey_poll);
		if (n > MAX_PAIRS)
			report_too_many();
		if (n <= q->pairs_room)
			break;
		set_pairs_room(q, n);
	}
	PG_RETURN_ARRAYTYPE_P(pairs_array(q->pairs, n));
}

static void
ask_activity(FunctionCallInfo fcinfo, Question *q)
{
	if (same_question(fcinfo, q))
		return;
	q->asked = false;
	forget_codes(q);
	mark_codes_arg(fcinfo, 1, q, CXM_MARK_START);
	periods_args(fcinfo, 2, 3, 4, q);
	during_arg(fcinfo, 5, q);
	as_of_arg(fcinfo, 6, q);
	remember_question(fcinfo, q);
}

/* The periods of the events that were read, up to as_of, in what was room for events */
static int64_t *
active_periods(Question *q, int64_t from, int64_t to, size_t *n)
{
	int64_t    *periods = (int64_t *) q->scratch;

	if (q->rule.until < PG_INT64_MAX)
		to = Min(to, q->rule.until + 1);
	*n = cxm_active_periods(q->at, q->nevents, &q->periods.clock, from, to, periods);
	return periods;
}

/* cxm.active_periods(journey, codes, period, time_zone, week_start, during, as_of) */
Datum
cxm_active_periods_of(PG_FUNCTION_ARGS)
{
	Question   *q = own_question(fcinfo);
	int64_t    *periods;
	size_t		n;
	ArrayType  *array;

	ask_activity(fcinfo, q);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	read_events(q, PG_GETARG_DATUM(0));
	periods = active_periods(q, q->rule.from, q->rule.to, &n);
	if (n > MAX_PAIRS)
		report_too_many();
	array = new_array(INT4OID, sizeof(int32), 1, n, 1);
	for (size_t i = 0; i < n; i++)
		((int32 *) ARR_DATA_PTR(array))[i] = (int32) periods[i];
	PG_RETURN_ARRAYTYPE_P(array);
}

/* the period of an end of a range; all time goes beyond any period */
static int64_t
period_of_bound(Question *q, int64_t at)
{
	CxmPeriodNow now = {0, 0, 0};

	if (at < MIN_TIMESTAMP)
		return PG_INT64_MIN;
	if (at >= END_TIMESTAMP)
		return PG_INT64_MAX;
	return cxm_period_at(&q->periods.clock, &now, at);
}

/* cxm.lifecycle_periods(journey, codes, period, time_zone, week_start, during, as_of) */
Datum
cxm_lifecycle_periods(PG_FUNCTION_ARGS)
{
	Question   *q = own_question(fcinfo);
	int64_t    *periods;
	size_t		nperiods;
	size_t		n = 0;
	int64_t		from;
	int64_t		to;

	ask_activity(fcinfo, q);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	read_events(q, PG_GETARG_DATUM(0));
	periods = active_periods(q, PG_INT64_MIN, PG_INT64_MAX, &nperiods);
	set_pairs_room(q, 2 * nperiods);

	/* periods are taken whole: those that the range touches, and that have begun */
	from = period_of_bound(q, q->rule.from);
	to = q->rule.to == PG_INT64_MIN ? PG_INT64_MIN : period_of_bound(q, q->rule.to - (q->rule.to < PG_INT64_MAX));
	if (q->rule.until < PG_INT64_MAX)
		to = Min(to, period_of_bound(q, q->rule.until));
	if (q->rule.from < q->rule.to)
		n = cxm_lifecycle(periods, nperiods, from, to, q->pairs);
	PG_RETURN_ARRAYTYPE_P(pairs_array(q->pairs, n));
}

/*--------------------------------------------------------------------------------------------------------
 * Counting pairs
 *
 * The state is the hash table of retention_core.c as a bigint[]. It is changed in place; one that has grown is given
 * back in the context of the call, and the executor puts it where states are.
 *--------------------------------------------------------------------------------------------------------
 */

static void
need_aggregate(FunctionCallInfo fcinfo)
{
	if (!AggCheckCallContext(fcinfo, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("this function works inside an aggregate only")));
}

static int64_t *
counts_of(ArrayType *state)
{
	return (int64_t *) ARR_DATA_PTR(state);
}

static ArrayType *
new_counts(size_t slots)
{
	ArrayType  *state;

	if (CXM_PAIR_COUNTS_LENGTH(slots) > (MaxAllocSize - ARR_OVERHEAD_NONULLS(1)) / sizeof(int64))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many different pairs to count"),
				 errhint("Use longer periods, or ask about a shorter time.")));
	state = new_array(INT8OID, sizeof(int64), 1, CXM_PAIR_COUNTS_LENGTH(slots), 1);
	cxm_pair_counts_init(counts_of(state), slots);
	return state;
}

static void
check_counts(ArrayType *state)
{
	if (ARR_NDIM(state) != 1 || ARR_HASNULL(state) || ARR_ELEMTYPE(state) != INT8OID ||
		!cxm_pair_counts_valid(counts_of(state), (size_t) ARR_DIMS(state)[0]))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("this array is no state of cxm.count_pairs()")));
}

/* The state, which may be another one afterwards */
static ArrayType *
add_pair(ArrayType *state, CxmPair pair, int64 n)
{
	for (;;)
	{
		int64_t    *counts = counts_of(state);
		ArrayType  *larger;

		switch (cxm_pair_counts_add(counts, pair, n))
		{
			case CXM_PAIR_COUNTS_OK:
				return state;
			case CXM_PAIR_COUNTS_OVERFLOW:
				ereport(ERROR,
						(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						 errmsg("bigint out of range")));
				break;
			case CXM_PAIR_COUNTS_FULL:
				break;
		}
		CHECK_FOR_INTERRUPTS();
		larger = new_counts(2 * (size_t) cxm_pair_counts_slots(counts));
		for (int64 i = 0; i < cxm_pair_counts_slots(counts); i++)
		{
			int64_t    *slot = counts + CXM_PAIR_COUNTS_HEADER + 2 * i;

			if (slot[1] != 0)
				(void) cxm_pair_counts_add(counts_of(larger), cxm_pair_unpack(slot[0]), slot[1]);
		}
		state = larger;
	}
}

/* Transition function of cxm.count_pairs(integer[]) */
Datum
cxm_count_pairs_add(PG_FUNCTION_ARGS)
{
	ArrayType  *state = NULL;
	ArrayType  *array;
	const int32 *numbers;
	int			n;
	int			width;

	need_aggregate(fcinfo);
	if (!PG_ARGISNULL(0))
	{
		state = PG_GETARG_ARRAYTYPE_P(0);
		check_counts(state);
	}
	if (PG_ARGISNULL(1))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_ARRAYTYPE_P(state);
	}
	array = PG_GETARG_ARRAYTYPE_P(1);
	if (ARR_NDIM(array) > 2 || (ARR_NDIM(array) == 2 && ARR_DIMS(array)[1] != 2))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("an array to count must be a list of integers or of pairs of integers"),
				 errhint("Lists look like {7,8}, lists of pairs like {{7,0},{7,1}}.")));
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("an array to count must not contain nulls")));
	if (state == NULL)
		state = new_counts(CXM_PAIR_COUNTS_MIN_SLOTS);

	width = ARR_NDIM(array) == 2 ? 2 : 1;
	n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	numbers = (const int32 *) ARR_DATA_PTR(array);
	for (int i = 0; i < n; i += width)
		state = add_pair(state, (CxmPair){numbers[i], width == 2 ? numbers[i + 1] : 0}, 1);
	PG_RETURN_ARRAYTYPE_P(state);
}

Datum
cxm_count_pairs_combine(PG_FUNCTION_ARGS)
{
	ArrayType  *state;
	ArrayType  *other;
	int64_t    *counts;

	need_aggregate(fcinfo);
	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	other = PG_GETARG_ARRAYTYPE_P(1);
	check_counts(other);
	counts = counts_of(other);
	if (PG_ARGISNULL(0))
		state = new_counts((size_t) cxm_pair_counts_slots(counts));
	else
	{
		state = PG_GETARG_ARRAYTYPE_P(0);
		check_counts(state);
	}
	for (int64 i = 0; i < cxm_pair_counts_slots(counts); i++)
	{
		int64_t    *slot = counts + CXM_PAIR_COUNTS_HEADER + 2 * i;

		if (slot[1] != 0)
			state = add_pair(state, cxm_pair_unpack(slot[0]), slot[1]);
	}
	PG_RETURN_ARRAYTYPE_P(state);
}

/* Rows of first, second, count; no rows give {} */
Datum
cxm_count_pairs_final(PG_FUNCTION_ARGS)
{
	ArrayType  *state;
	ArrayType  *array;
	CxmPairCount *sorted;
	int64	   *cells;
	size_t		n;

	if (PG_ARGISNULL(0))
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(INT8OID));
	state = PG_GETARG_ARRAYTYPE_P(0);
	check_counts(state);
	sorted = palloc_extended((Size) cxm_pair_counts_slots(counts_of(state)) * sizeof(CxmPairCount), MCXT_ALLOC_HUGE);
	n = cxm_pair_counts_sort(counts_of(state), sorted);
	if (n > (MaxAllocSize - ARR_OVERHEAD_NONULLS(2)) / (3 * sizeof(int64)))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many different pairs to count"),
				 errhint("Use longer periods, or ask about a shorter time.")));
	array = new_array(INT8OID, sizeof(int64), 2, n, 3);
	cells = (int64 *) ARR_DATA_PTR(array);
	for (size_t i = 0; i < n; i++)
	{
		cells[3 * i] = sorted[i].pair.first;
		cells[3 * i + 1] = sorted[i].pair.second;
		cells[3 * i + 2] = sorted[i].count;
	}
	PG_RETURN_ARRAYTYPE_P(array);
}

/* cxm.pair_counts(counts): what was counted, as rows */
Datum
cxm_pair_counts(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	const int64 *cells = (const int64 *) ARR_DATA_PTR(array);
	CxmRows		rows;
	int			n = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];

	if (array_contains_nulls(array) || (ARR_NDIM(array) != 0 && (ARR_NDIM(array) != 2 || ARR_DIMS(array)[1] != 3)))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("counts must be rows of three numbers"),
				 errhint("Give what cxm.count_pairs() counted.")));
	cxm_begin_rows(fcinfo, &rows);
	for (int i = 0; i < n; i++)
	{
		Datum		values[3];
		bool		nulls[3] = {false, false, false};

		for (int j = 0; j < 2; j++)
		{
			int64		number = cells[3 * i + j];

			if (number < PG_INT32_MIN || number > PG_INT32_MAX)
				ereport(ERROR,
						(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						 errmsg("%lld is not a number of a pair", (long long) number)));
			values[j] = Int32GetDatum((int32) number);
		}
		values[2] = Int64GetDatum(cells[3 * i + 2]);
		tuplestore_putvalues(rows.store, rows.desc, values, nulls);
		CHECK_FOR_INTERRUPTS();
	}
	return (Datum) 0;
}

/*--------------------------------------------------------------------------------------------------------
 * cxm.retention(conditions): over raw rows, which conditions were met by a customer who met the first
 *--------------------------------------------------------------------------------------------------------
 */

static ArrayType *
conditions_arg(FunctionCallInfo fcinfo, int argno)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(argno);

	if (ARR_NDIM(array) != 1 || ARR_ELEMTYPE(array) != BOOLOID)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("conditions must be an array of one dimension and one element at least"),
				 errhint("Give them as ARRAY[condition, condition ...].")));
	return array;
}

/* flag i of an array that may have nulls, which are false; *next runs along with it */
static bool
next_flag(const ArrayType *array, int i, const bool **next)
{
	const bits8 *bitmap = ARR_NULLBITMAP(array);

	if (bitmap && !(bitmap[i / 8] & (1 << (i % 8))))
		return false;
	return *(*next)++;
}

/* OR the flags of an array into a state that has no nulls; NULL is a state that has none yet */
static ArrayType *
add_flags(ArrayType *state, const ArrayType *array)
{
	int			n = ARR_DIMS(array)[0];
	const bool *next = (const bool *) ARR_DATA_PTR(array);
	bool	   *flags;

	if (state == NULL)
	{
		state = new_array(BOOLOID, sizeof(bool), 1, (size_t) n, 1);
		memset(ARR_DATA_PTR(state), 0, (size_t) n);
	}
	if (ARR_DIMS(state)[0] != n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("every row must have the same number of conditions"),
				 errdetail("One has %d, another %d.", ARR_DIMS(state)[0], n)));
	flags = (bool *) ARR_DATA_PTR(state);
	for (int i = 0; i < n; i++)
		if (next_flag(array, i, &next))
			flags[i] = true;
	return state;
}

/* Transition function of cxm.retention(boolean[]), and its combine function */
static Datum
join_flags(FunctionCallInfo fcinfo)
{
	ArrayType  *state = NULL;

	need_aggregate(fcinfo);
	if (!PG_ARGISNULL(0))
	{
		state = conditions_arg(fcinfo, 0);
		/* a state of ours has no nulls */
		if (ARR_HASNULL(state))
			state = add_flags(NULL, state);
	}
	if (!PG_ARGISNULL(1))
		state = add_flags(state, conditions_arg(fcinfo, 1));
	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(state);
}

Datum
cxm_retention_flags_add(PG_FUNCTION_ARGS)
{
	return join_flags(fcinfo);
}

Datum
cxm_retention_flags_combine(PG_FUNCTION_ARGS)
{
	return join_flags(fcinfo);
}

/* The first flag, and every other one together with it */
Datum
cxm_retention_flags_final(PG_FUNCTION_ARGS)
{
	ArrayType  *result = add_flags(NULL, conditions_arg(fcinfo, 0));
	bool	   *flags = (bool *) ARR_DATA_PTR(result);

	for (int i = 1; i < ARR_DIMS(result)[0]; i++)
		flags[i] = flags[i] && flags[0];
	PG_RETURN_ARRAYTYPE_P(result);
}
