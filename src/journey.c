/*
 * src/journey.c
 *		The type cxm.journey, its aggregates and its accessors.
 *
 * The type is its own transition type, so nothing is ever serialized, and whatever ships values between processes
 * or machines uses its send and receive functions. An aggregate collects events in the loose form, which grows by
 * doubling: the transition function puts an event behind the last one and gives back the same pointer, so that the
 * executor copies a state only where it has grown, and no group has a memory context of its own. Order is for the
 * final function, which sorts what did not come in order and packs.
 *
 * append() and journey_add() are both transition functions and ordinary functions: inside an aggregate they change
 * their first argument, elsewhere they make a packed value.
 *
 * What the bytes mean is in journey_core.c. This file fetches arguments, keeps memory, and raises errors.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "funcapi.h"
#include "journey.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodes.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* first length of a state; a length that is a power of two leaves nothing of its chunk unused */
#define FIRST_STATE		64

/* a buffer for more events than this is a giant, and given back when it is far too large for the next journey */
#define GIANT			65536

/* characters of a text that an error message shows */
#define SHOWN			24

/* events from one look at the interrupts to the next */
#define STRIDE			65536

struct JourneyBuffer
{
	MemoryContext context;
	size_t		room;
	int64_t    *at;
	int32_t    *code;
};

/* what slice() keeps from row to row */
typedef struct SliceState
{
	JourneyBuffer *buffer;
	TypeCacheEntry *range;
} SliceState;

/* the bytes of a value, without its varlena header */
typedef struct Bytes
{
	const uint8_t *start;
	Size		size;
	void	   *copy;			/* to be freed, where the value was stored elsewhere */
} Bytes;

/*--------------------------------------------------------------------------------------------------------
 * Errors
 *--------------------------------------------------------------------------------------------------------
 */

static void
report_damaged(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("value of type %s cannot be read", "cxm.journey"),
			 errdetail("Of its bytes %s.", why)));
}

static void
report_too_large(uint64 count, uint64 bytes)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("a journey of %llu events is too large", (unsigned long long) count),
			 errdetail("It would take %llu bytes; a value takes at most %llu.",
					   (unsigned long long) bytes, (unsigned long long) MaxAllocSize),
			 errhint("Keep a journey for each period, or leave out events that no question is about.")));
}

static void
check_at(TimestampTz at)
{
	if (unlikely(TIMESTAMP_NOT_FINITE(at)))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("an event of a journey cannot be at %s", TIMESTAMP_IS_NOBEGIN(at) ? "-infinity" : "infinity"),
				 errhint("Leave it out with FILTER (WHERE isfinite(...)).")));
}

/*--------------------------------------------------------------------------------------------------------
 * Reading and making values
 *--------------------------------------------------------------------------------------------------------
 */

void
cxm_journey_poll(void)
{
	CHECK_FOR_INTERRUPTS();
}

JourneyBuffer *
cxm_journey_buffer(MemoryContext context)
{
	JourneyBuffer *buffer = MemoryContextAllocZero(context, sizeof(JourneyBuffer));

	buffer->context = context;
	return buffer;
}

/* The buffer that a function keeps from row to row */
static JourneyBuffer *
own_buffer(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = cxm_journey_buffer(fcinfo->flinfo->fn_mcxt);
	return fcinfo->flinfo->fn_extra;
}

/* Make room; what was in the buffer is lost */
static void
set_room(JourneyBuffer *buffer, size_t count)
{
	size_t		room = Max(count, 64);

	if (likely(count <= buffer->room && (buffer->room <= GIANT || buffer->room / 16 <= count)))
		return;
	if (buffer->at != NULL)
	{
		pfree(buffer->at);
		pfree(buffer->code);
		/* an error below must not leave pointers to what is gone */
		buffer->at = NULL;
		buffer->code = NULL;
		buffer->room = 0;
	}
	if (room <= GIANT)
		room = pg_nextpower2_64(room);
	buffer->at = MemoryContextAllocHuge(buffer->context, room * sizeof(int64_t));
	buffer->code = MemoryContextAllocHuge(buffer->context, room * sizeof(int32_t));
	buffer->room = room;
}

static Bytes
bytes_of(Datum journey)
{
	struct varlena *value = PG_DETOAST_DATUM_PACKED(journey);
	Bytes		bytes;

	bytes.start = (const uint8_t *) VARDATA_ANY(value);
	bytes.size = VARSIZE_ANY_EXHDR(value);
	bytes.copy = (Pointer) value == DatumGetPointer(journey) ? NULL : value;
	return bytes;
}

static void
free_bytes(Bytes *bytes)
{
	if (bytes->copy != NULL)
		pfree(bytes->copy);
}

/* Sort what is in the buffer; the memory for that lives only as long */
static void
sort_buffer(JourneyBuffer *buffer, size_t count)
{
	JourneyEvent *events = MemoryContextAllocHuge(CurrentMemoryContext, count * sizeof(JourneyEvent));
	JourneyEvent *scratch = MemoryContextAllocHuge(CurrentMemoryContext, (count / 2 + 1) * sizeof(JourneyEvent));

	for (size_t i = 0; i < count; i++)
	{
		events[i].at = buffer->at[i];
		events[i].code = buffer->code[i];
	}
	cxm_journey_sort(events, scratch, count, cxm_journey_poll);
	for (size_t i = 0; i < count; i++)
	{
		buffer->at[i] = events[i].at;
		buffer->code[i] = events[i].code;
	}
	pfree(scratch);
	pfree(events);
}

/* The events of a loose journey, in order */
static size_t
read_loose(const Bytes *bytes, JourneyBuffer *buffer)
{
	size_t		count = journey_count(bytes->start);
	bool		in_order = true;

	if (count > journey_room(bytes->size))
		report_damaged("the length does not agree with the number of events");
	set_room(buffer, count);
	for (size_t i = 0; i < count; i++)
	{
		buffer->at[i] = journey_loose_at(bytes->start, i);
		buffer->code[i] = journey_loose_code(bytes->start, i);
		if (i > 0 && in_order)
			in_order = journey_compare_events(buffer->at[i - 1], buffer->code[i - 1],
											  buffer->at[i], buffer->code[i]) <= 0;
	}
	if (!in_order)
		sort_buffer(buffer, count);
	return count;
}

static void
open_bytes(const Bytes *bytes, JourneyView *view)
{
	const char *why = cxm_journey_open(bytes->start, bytes->size, view);

	if (unlikely(why != NULL))
		report_damaged(why);
}

/* Decode the events of a view from "from" to before "to" */
static void
decode(const JourneyView *view, size_t from, size_t to, int64_t *at, int32_t *code)
{
	for (size_t i = from; i < to; i += STRIDE)
	{
		CHECK_FOR_INTERRUPTS();
		if (unlikely(!cxm_journey_decode(view, i, Min(to, i + STRIDE), at + (i - from), code + (i - from))))
			report_damaged("times do not ascend");
	}
}

void
cxm_journey_read(Datum journey, JourneyBuffer *buffer, JourneyEvents *events)
{
	Bytes		bytes = bytes_of(journey);

	if (unlikely(journey_is_loose(bytes.start, bytes.size)))
		events->count = read_loose(&bytes, buffer);
	else
	{
		JourneyView view;

		open_bytes(&bytes, &view);
		set_room(buffer, view.count);
		decode(&view, 0, view.count, buffer->at, buffer->code);
		events->count = view.count;
	}
	events->at = buffer->at;
	events->code = buffer->code;
	free_bytes(&bytes);
}

Datum
cxm_journey_make(size_t count, const int64_t *at, const int32_t *code)
{
	JourneyShape shape;
	struct varlena *value;

	cxm_journey_measure(count, at, code, cxm_journey_poll, &shape);
	if (shape.size > MaxAllocSize - VARHDRSZ)
		report_too_large(count, shape.size + VARHDRSZ);
	value = palloc((Size) shape.size + VARHDRSZ);
	SET_VARSIZE(value, (Size) shape.size + VARHDRSZ);
	cxm_journey_write(&shape, at, code, cxm_journey_poll, (uint8_t *) VARDATA(value));
	return PointerGetDatum(value);
}

/* The bytes of a value in the packed form, and a view of them */
static Bytes
packed_bytes(Datum journey, JourneyBuffer *buffer, JourneyView *view)
{
	Bytes		bytes = bytes_of(journey);

	if (unlikely(journey_is_loose(bytes.start, bytes.size)))
	{
		size_t		count = read_loose(&bytes, buffer);
		Datum		packed = cxm_journey_make(count, buffer->at, buffer->code);

		free_bytes(&bytes);
		bytes = bytes_of(packed);
		bytes.copy = DatumGetPointer(packed);
	}
	open_bytes(&bytes, view);
	return bytes;
}

void
cxm_journey_view(Datum journey, JourneyBuffer *buffer, JourneyView *view)
{
	packed_bytes(journey, buffer, view);
}

/*--------------------------------------------------------------------------------------------------------
 * Input and output
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_journey_in);
PG_FUNCTION_INFO_V1(cxm_journey_out);
PG_FUNCTION_INFO_V1(cxm_journey_recv);
PG_FUNCTION_INFO_V1(cxm_journey_send);

static const char *
skip_space(const char *text)
{
	while (*text == ' ' || (*text >= '\t' && *text <= '\r'))
		text++;
	return text;
}

/* Text to journey */
Datum
cxm_journey_in(PG_FUNCTION_ARGS)
{
	const char *start = PG_GETARG_CSTRING(0);
	const char *text = skip_space(start);
	const char *why = NULL;
	JourneyBuffer buffer = {.context = CurrentMemoryContext};
	size_t		count = 0;
	bool		in_order = true;
	Datum		journey;

	if (*text != '{')
		why = "A journey begins with a brace.";
	else
		text = skip_space(text + 1);
	if (why == NULL && *text == '}')
		text++;
	else if (why == NULL)
	{
		/* an event has at least 22 characters, so this is enough and not much too much */
		set_room(&buffer, strlen(text) / 22 + 1);
		for (;;)
		{
			why = cxm_journey_parse(&text, &buffer.at[count], &buffer.code[count]);
			if (why != NULL)
				break;
			if (count > 0 && in_order)
				in_order = journey_compare_events(buffer.at[count - 1], buffer.code[count - 1],
												  buffer.at[count], buffer.code[count]) <= 0;
			if (++count % STRIDE == 0)
				CHECK_FOR_INTERRUPTS();
			text = skip_space(text);
			if (*text == '}')
			{
				text++;
				break;
			}
			if (*text != ',')
			{
				why = "After an event comes a comma or the closing brace.";
				break;
			}
			text = skip_space(text + 1);
		}
	}
	if (why == NULL && *skip_space(text) != '\0')
		why = "Nothing comes behind the closing brace.";
	if (why != NULL)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s, at character %d: \"%.*s\"", "cxm.journey",
						pg_mbstrlen_with_len(start, (int) (text - start)) + 1,
						pg_mbcliplen(text, (int) strlen(text), SHOWN), text),
				 errdetail_internal("%s", why),
				 errhint("Write times and codes such as {2026-03-01T09:00:00Z 1,2026-03-01T09:05:30.25Z 2}, or {}.")));

	if (!in_order)
		sort_buffer(&buffer, count);
	journey = cxm_journey_make(count, buffer.at, buffer.code);
	if (buffer.at != NULL)
	{
		pfree(buffer.at);
		pfree(buffer.code);
	}
	return journey;
}

/* Journey to text */
Datum
cxm_journey_out(PG_FUNCTION_ARGS)
{
	JourneyView view;
	Bytes		bytes = packed_bytes(PG_GETARG_DATUM(0), own_buffer(fcinfo), &view);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	for (size_t i = 0; i < view.count; i++)
	{
		if (i % STRIDE == 0)
			CHECK_FOR_INTERRUPTS();
		if ((Size) text.len > MaxAllocSize - 2 * JOURNEY_EVENT_TEXT)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("a journey of %zu events is too large for a text", view.count),
					 errdetail("A text takes at most %llu bytes.", (unsigned long long) MaxAllocSize),
					 errhint("Read it with cxm.events(), in binary form, or in parts with cxm.slice().")));
		if (i > 0)
			appendStringInfoCharMacro(&text, ',');
		enlargeStringInfo(&text, JOURNEY_EVENT_TEXT);
		text.len += (int) cxm_journey_format(journey_at(&view, i), journey_code(&view, i), text.data + text.len);
	}
	appendStringInfoChar(&text, '}');
	free_bytes(&bytes);
	PG_RETURN_CSTRING(text.data);
}

/* Binary form to journey: the packed bytes, each of which is checked */
Datum
cxm_journey_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			size = buf->len - buf->cursor;
	struct varlena *value;
	JourneyView view;
	const char *why;
	size_t		event = 0;

	if ((Size) size > MaxAllocSize - VARHDRSZ)
		report_too_large(0, (uint64) size + VARHDRSZ);
	value = palloc((Size) size + VARHDRSZ);
	SET_VARSIZE(value, (Size) size + VARHDRSZ);
	pq_copymsgbytes(buf, VARDATA(value), size);
	why = cxm_journey_open((const uint8_t *) VARDATA(value), (size_t) size, &view);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of type %s", "cxm.journey"),
				 errdetail("Of %d bytes %s.", size, why)));
	why = cxm_journey_check(&view, cxm_journey_poll, &event);
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of type %s", "cxm.journey"),
				 errdetail("Event %zu of %zu: %s.", Min(event + 1, view.count), view.count, why)));
	PG_RETURN_POINTER(value);
}

/* Journey to binary form */
Datum
cxm_journey_send(PG_FUNCTION_ARGS)
{
	JourneyView view;
	Bytes		bytes = packed_bytes(PG_GETARG_DATUM(0), own_buffer(fcinfo), &view);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbytes(&buf, (const char *) bytes.start, (int) bytes.size);
	free_bytes(&bytes);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*--------------------------------------------------------------------------------------------------------
 * Building
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_journey_append);
PG_FUNCTION_INFO_V1(cxm_journey_add);
PG_FUNCTION_INFO_V1(cxm_journey_pack);

/*
 * Is the function called as part of an aggregate, so that the first argument is the state? The test is that of
 * AggCheckCallContext(fcinfo, NULL), which would be a function call for every row.
 */
static inline bool
in_aggregate(FunctionCallInfo fcinfo)
{
	return fcinfo->context != NULL && (IsA(fcinfo->context, AggState) || IsA(fcinfo->context, WindowAggState));
}

/* The bytes of a state that can be changed in place, or NULL */
static inline uint8_t *
loose_state(const struct varlena *state)
{
	if (likely(VARATT_IS_4B_U(state) && journey_is_loose((const uint8_t *) VARDATA(state), VARSIZE(state) - VARHDRSZ)))
		return (uint8_t *) VARDATA(state);
	return NULL;
}

/* Put all events of a value behind those of a loose one, which has room for them */
static void
put_all(uint8_t *loose, const Bytes *bytes)
{
	size_t		count = journey_count(loose);

	if (journey_is_loose(bytes->start, bytes->size))
	{
		size_t		more = journey_count(bytes->start);

		memcpy(loose + JOURNEY_HEADER + count * JOURNEY_LOOSE_EVENT, bytes->start + JOURNEY_HEADER,
			   more * JOURNEY_LOOSE_EVENT);
		count += more;
	}
	else
	{
		JourneyView view;

		open_bytes(bytes, &view);
		for (size_t i = 0; i < view.count; i++)
		{
			if (i % STRIDE == STRIDE - 1)
				CHECK_FOR_INTERRUPTS();
			journey_put_loose(loose, count++, journey_at(&view, i), journey_code(&view, i));
		}
	}
	journey_store32(loose + 4, (uint32_t) count);
}

/* How many events a value has; for a loose one, whether they are there, too */
static size_t
count_of(const Bytes *bytes)
{
	JourneyView view;

	if (journey_is_loose(bytes->start, bytes->size))
	{
		if (journey_count(bytes->start) > journey_room(bytes->size))
			report_damaged("the length does not agree with the number of events");
		return journey_count(bytes->start);
	}
	open_bytes(bytes, &view);
	return view.count;
}

/*
 * A loose copy of a state with room for more events. It is made in the context of the call: the executor copies
 * what is not the state it knows into the context of the aggregate, and frees the state that was there.
 */
static struct varlena *
grow_state(struct varlena *state, size_t more)
{
	Bytes		bytes = bytes_of(PointerGetDatum(state));
	uint64		count = (uint64) count_of(&bytes) + more;
	uint64		least = VARHDRSZ + JOURNEY_HEADER + count * JOURNEY_LOOSE_EVENT;
	uint64		size = Min(pg_nextpower2_64(Max(least, FIRST_STATE)), MaxAllocSize);
	struct varlena *grown;

	if (least > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a journey of %llu events is too large to be built", (unsigned long long) count),
				 errdetail("While it is built it would take %llu bytes, %d an event; a value takes at most %llu.",
						   (unsigned long long) least, JOURNEY_LOOSE_EVENT, (unsigned long long) MaxAllocSize),
				 errhint("Build a journey for each period, and put them together with \"+\" where one value is wanted.")));
	grown = palloc((Size) size);
	SET_VARSIZE(grown, (Size) size);
	cxm_journey_write_loose((uint8_t *) VARDATA(grown));
	put_all((uint8_t *) VARDATA(grown), &bytes);
	free_bytes(&bytes);
	return grown;
}

/* One event more */
Datum
cxm_journey_append(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(1);
	int32		code = PG_GETARG_INT32(2);
	JourneyBuffer *buffer;
	JourneyEvents events;
	size_t		place;

	check_at(at);
	if (likely(in_aggregate(fcinfo)))
	{
		struct varlena *state = (struct varlena *) PG_GETARG_POINTER(0);
		uint8_t    *loose = loose_state(state);
		size_t		count;

		if (unlikely(loose == NULL || journey_count(loose) >= journey_room(VARSIZE(state) - VARHDRSZ)))
		{
			state = grow_state(state, 1);
			loose = (uint8_t *) VARDATA(state);
		}
		count = journey_count(loose);
		journey_put_loose(loose, count, at, code);
		journey_store32(loose + 4, (uint32_t) (count + 1));
		PG_RETURN_POINTER(state);
	}

	buffer = own_buffer(fcinfo);
	{
		Bytes		bytes = bytes_of(PG_GETARG_DATUM(0));

		/* read below; the room for one more is made first, since making room forgets */
		set_room(buffer, count_of(&bytes) + 1);
		free_bytes(&bytes);
	}
	cxm_journey_read(PG_GETARG_DATUM(0), buffer, &events);
	for (place = events.count; place > 0; place--)
		if (journey_compare_events(buffer->at[place - 1], buffer->code[place - 1], at, code) <= 0)
			break;
	memmove(buffer->at + place + 1, buffer->at + place, (events.count - place) * sizeof(int64_t));
	memmove(buffer->code + place + 1, buffer->code + place, (events.count - place) * sizeof(int32_t));
	buffer->at[place] = at;
	buffer->code[place] = code;
	return cxm_journey_make(events.count + 1, buffer->at, buffer->code);
}

/* All events of both */
Datum
cxm_journey_add(PG_FUNCTION_ARGS)
{
	struct varlena *a = (struct varlena *) PG_GETARG_POINTER(0);
	Bytes		b = bytes_of(PG_GETARG_DATUM(1));
	size_t		more = count_of(&b);
	Datum		sum;

	if (in_aggregate(fcinfo))
	{
		uint8_t    *loose = loose_state(a);

		if (loose == NULL || journey_count(loose) + more > journey_room(VARSIZE(a) - VARHDRSZ))
			a = grow_state(a, more);
		put_all((uint8_t *) VARDATA(a), &b);
		sum = PointerGetDatum(a);
	}
	else
	{
		JourneyBuffer *buffer = own_buffer(fcinfo);
		Bytes		loose;

		a = grow_state(a, more);
		put_all((uint8_t *) VARDATA(a), &b);
		loose = bytes_of(PointerGetDatum(a));
		more = read_loose(&loose, buffer);
		pfree(a);
		sum = cxm_journey_make(more, buffer->at, buffer->code);
	}
	free_bytes(&b);
	PG_RETURN_DATUM(sum);
}

/* The final function: what an aggregate has collected, packed; the state stays as it is */
Datum
cxm_journey_pack(PG_FUNCTION_ARGS)
{
	Bytes		bytes = bytes_of(PG_GETARG_DATUM(0));
	JourneyBuffer *buffer;
	size_t		count;

	if (!journey_is_loose(bytes.start, bytes.size))
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	buffer = own_buffer(fcinfo);
	count = read_loose(&bytes, buffer);
	return cxm_journey_make(count, buffer->at, buffer->code);
}
