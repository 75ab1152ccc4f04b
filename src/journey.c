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

/*
 * Lengths of a state: powers of two, which leave nothing of a chunk unused. Each time that a state grows the executor
 * copies it once more, so small ones take large steps.
 */
#define FIRST_STATE		128
#define SECOND_STATE	512

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

/* Bytes of an entry, where the value is a loose journey, and the number of its events; 0 where it is packed */
static inline size_t
open_loose(const Bytes *bytes, size_t *count)
{
	size_t		entry = journey_entry(bytes->start, bytes->size);

	if (entry > 0)
	{
		*count = journey_count(bytes->start);
		if (unlikely(journey_loose_size(entry, *count) > bytes->size))
			report_damaged("the length does not agree with the number of events");
	}
	return entry;
}

/* The events of a loose journey, in order */
static void
read_loose(const Bytes *bytes, size_t entry, size_t count, JourneyBuffer *buffer)
{
	bool		in_order = true;
	int64_t		at_before = PG_INT64_MIN;
	int32_t		code_before = PG_INT32_MIN;

	set_room(buffer, count);
	for (size_t i = 0; i < count; i++)
	{
		if (i % STRIDE == STRIDE - 1)
			CHECK_FOR_INTERRUPTS();
		journey_get_loose(bytes->start, entry, count, i, &buffer->at[i], &buffer->code[i]);
		in_order &= journey_compare_events(at_before, code_before, buffer->at[i], buffer->code[i]) <= 0;
		at_before = buffer->at[i];
		code_before = buffer->code[i];
	}
	if (!in_order)
		sort_buffer(buffer, count);
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
	size_t		entry = open_loose(&bytes, &events->count);

	if (unlikely(entry > 0))
		read_loose(&bytes, entry, events->count, buffer);
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

Datum
cxm_journey_of_events(JourneyEvent *events, size_t count)
{
	JourneyEvent *scratch = MemoryContextAllocHuge(CurrentMemoryContext, (count / 2 + 1) * sizeof(JourneyEvent));
	int64_t    *at = MemoryContextAllocHuge(CurrentMemoryContext, Max(count, 1) * sizeof(int64_t));
	int32_t    *code = MemoryContextAllocHuge(CurrentMemoryContext, Max(count, 1) * sizeof(int32_t));
	Datum		journey;

	cxm_journey_sort(events, scratch, count, cxm_journey_poll);
	for (size_t i = 0; i < count; i++)
	{
		check_at(events[i].at);
		at[i] = events[i].at;
		code[i] = events[i].code;
	}
	journey = cxm_journey_make(count, at, code);
	pfree(code);
	pfree(at);
	pfree(scratch);
	return journey;
}

static Datum
pack(const Bytes *bytes, size_t entry, size_t count, JourneyBuffer *buffer)
{
	read_loose(bytes, entry, count, buffer);
	return cxm_journey_make(count, buffer->at, buffer->code);
}

/* The bytes of a value in the packed form, and a view of them */
static Bytes
packed_bytes(Datum journey, JourneyBuffer *buffer, JourneyView *view)
{
	Bytes		bytes = bytes_of(journey);
	size_t		count;
	size_t		entry = open_loose(&bytes, &count);

	if (unlikely(entry > 0))
	{
		Datum		packed = pack(&bytes, entry, count, buffer);

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
	if (why == NULL)
	{
		text = skip_space(text);
		if (*text != '\0')
			why = "Nothing comes behind the closing brace.";
	}
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
		if ((Size) text.len > MaxAllocSize - JOURNEY_EVENT_TEXT - 2)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("a journey of %zu events is too large for a text", view.count),
					 errdetail("A text takes at most %llu bytes.", (unsigned long long) MaxAllocSize),
					 errhint("Read it with cxm.events(), in binary form, or in parts with cxm.slice().")));
		if (i > 0)
			appendStringInfoChar(&text, ',');
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
				 event < view.count ? errdetail("Event %zu of %zu: %s.", event + 1, view.count, why) :
				 errdetail("Of %zu events: %s.", view.count, why)));
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

/* How a state holds its entries; 0 where it is packed, or not to be changed in place */
static inline size_t
loose_state(const struct varlena *state)
{
	return VARATT_IS_4B_U(state) ? journey_entry((const uint8_t *) VARDATA(state), VARSIZE(state) - VARHDRSZ) : 0;
}

/* Has a loose state room for more events? */
static inline bool
has_room(const struct varlena *state, size_t entry, uint64 more)
{
	uint64		count = (uint64) journey_count((const uint8_t *) VARDATA(state)) + more;

	return journey_loose_size(entry, count) <= VARSIZE(state) - VARHDRSZ;
}

/* Put all events of a value behind those of a loose one, which has room for them, and whose entries they fit */
static void
put_all(uint8_t *loose, size_t entry, const Bytes *bytes)
{
	size_t		count = journey_count(loose);
	size_t		more;
	size_t		from = open_loose(bytes, &more);
	JourneyView view;
	int64_t		at;
	int32_t		code;

	if (from == 0)
	{
		open_bytes(bytes, &view);
		more = view.count;
	}
	if (from == entry && count == 0 && journey_load64(loose + 8) == journey_load64(bytes->start + 8))
	{
		/* a state that grows */
		memcpy(loose + JOURNEY_HEADER, bytes->start + JOURNEY_HEADER, journey_loose_size(entry, more) - JOURNEY_HEADER);
		journey_store32(loose + 4, (uint32_t) more);
		return;
	}
	for (size_t i = 0; i < more; i++)
	{
		if (i % STRIDE == STRIDE - 1)
			CHECK_FOR_INTERRUPTS();
		if (from == 0)
		{
			at = journey_at(&view, i);
			code = journey_code(&view, i);
		}
		else
			journey_get_loose(bytes->start, from, more, i, &at, &code);
		journey_put_loose(loose, entry, count + i, at, code);
	}
	journey_store32(loose + 4, (uint32_t) (count + more));
}

static size_t
count_of(const Bytes *bytes)
{
	size_t		count;
	JourneyView view;

	if (open_loose(bytes, &count) > 0)
		return count;
	open_bytes(bytes, &view);
	return view.count;
}

bool
cxm_journey_is_empty(Datum journey)
{
	Bytes		bytes = bytes_of(journey);
	size_t		count = count_of(&bytes);

	free_bytes(&bytes);
	return count == 0;
}

/* Would all events of a value fit entries under this header? */
static bool
all_fit(const uint8_t *header, size_t entry, const Bytes *bytes)
{
	size_t		count;
	size_t		from = open_loose(bytes, &count);
	JourneyView view;

	if (entry == JOURNEY_WIDE)
		return true;
	if (from == 0)
	{
		open_bytes(bytes, &view);
		return view.count == 0 ||
			(view.code_shift < 2 && (entry != JOURNEY_BRIEF || (view.code_shift == 0 && view.unit <= JOURNEY_SECOND)) &&
			 journey_fits(header, entry, view.first, 0) &&
			 journey_fits(header, entry, journey_at(&view, view.count - 1), 0));
	}
	if (from > entry)
		return count == 0;
	if (from == entry && journey_load64(header + 8) == journey_load64(bytes->start + 8))
		return true;
	for (size_t i = 0; i < count; i++)
	{
		int64_t		at;
		int32_t		code;

		journey_get_loose(bytes->start, from, count, i, &at, &code);
		if (!journey_fits(header, entry, at, code))
			return false;
	}
	return true;
}

/* The time that entries of a value would start at; false where it has no events */
static bool
start_of(const Bytes *bytes, int64_t *start)
{
	size_t		count;
	size_t		entry = open_loose(bytes, &count);
	JourneyView view;
	int32_t		code;

	if (entry == JOURNEY_WIDE && count > 0)
		journey_get_loose(bytes->start, entry, count, 0, start, &code);
	else if (entry > 0)
		*start = (int64_t) (journey_load64(bytes->start + 8) + journey_reach_back(entry));
	else
	{
		open_bytes(bytes, &view);
		count = view.count;
		*start = view.first;
	}
	return count > 0;
}

static inline size_t
wider(size_t entry)
{
	return entry == JOURNEY_BRIEF ? JOURNEY_NARROW : JOURNEY_WIDE;
}

/*
 * A loose copy of a state with room for more events and with the header that was chosen. It is made in the context of
 * the call: the executor copies what is not the state it knows into the context of the aggregate, and frees the one
 * that was there.
 */
static struct varlena *
grow_state(const Bytes *state, uint64 more, size_t entry, int64_t start)
{
	uint64		count = (uint64) count_of(state) + more;
	uint64		least = VARHDRSZ + journey_loose_size(entry, count);
	uint64		size = least <= FIRST_STATE ? FIRST_STATE : Max(pg_nextpower2_64(least), SECOND_STATE);
	struct varlena *grown;
	uint8_t    *loose;

	if (least > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a journey of %llu events is too large to be built", (unsigned long long) count),
				 errdetail("While it is built it would take %llu bytes, %d an event; a value takes at most %llu.",
						   (unsigned long long) least, (int) entry, (unsigned long long) MaxAllocSize),
				 errhint("Build a journey for each period, or leave out events that no question is about.")));
	size = Min(size, MaxAllocSize);
	/* zeroed, since all of it is copied, and written where a hash table spills */
	grown = palloc0((Size) size);
	SET_VARSIZE(grown, (Size) size);
	loose = (uint8_t *) VARDATA(grown);
	journey_start_loose(loose, entry, start);
	put_all(loose, entry, state);
	return grown;
}

/* One event more, of an ordinary value */
static Datum
insert_event(Datum journey, JourneyBuffer *buffer, TimestampTz at, int32 code)
{
	Bytes		bytes = bytes_of(journey);
	JourneyEvents events;
	size_t		place;

	/* the room for one more is made first, since making room forgets */
	set_room(buffer, count_of(&bytes) + 1);
	cxm_journey_read(PointerGetDatum(bytes.copy != NULL ? bytes.copy : DatumGetPointer(journey)), buffer, &events);
	free_bytes(&bytes);
	for (place = events.count; place > 0; place--)
		if (journey_compare_events(buffer->at[place - 1], buffer->code[place - 1], at, code) <= 0)
			break;
	memmove(buffer->at + place + 1, buffer->at + place, (events.count - place) * sizeof(int64_t));
	memmove(buffer->code + place + 1, buffer->code + place, (events.count - place) * sizeof(int32_t));
	buffer->at[place] = at;
	buffer->code[place] = code;
	return cxm_journey_make(events.count + 1, buffer->at, buffer->code);
}

/* One event more */
Datum
cxm_journey_append(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(1);
	int32		code = PG_GETARG_INT32(2);
	struct varlena *state;
	uint8_t    *loose;
	size_t		entry;
	size_t		count;

	check_at(at);
	if (unlikely(!in_aggregate(fcinfo)))
		return insert_event(PG_GETARG_DATUM(0), own_buffer(fcinfo), at, code);

	state = (struct varlena *) PG_GETARG_POINTER(0);
	loose = (uint8_t *) VARDATA(state);
	entry = loose_state(state);
	if (unlikely(entry == 0 || !has_room(state, entry, 1) ||
				 !journey_fits(loose, entry, at, code)))
	{
		Bytes		bytes = bytes_of(PointerGetDatum(state));
		int64_t		start = at;
		uint8_t		header[JOURNEY_HEADER];

		start_of(&bytes, &start);
		entry = at % (int64) JOURNEY_BRIEF_UNIT == 0 ? JOURNEY_BRIEF : JOURNEY_NARROW;
		for (; entry != JOURNEY_WIDE; entry = wider(entry))
		{
			journey_start_loose(header, entry, start);
			if (journey_fits(header, entry, at, code) && all_fit(header, entry, &bytes))
				break;
		}
		state = grow_state(&bytes, 1, entry, start);
		loose = (uint8_t *) VARDATA(state);
		free_bytes(&bytes);
	}
	count = journey_count(loose);
	journey_put_loose(loose, entry, count, at, code);
	journey_store32(loose + 4, (uint32_t) (count + 1));
	PG_RETURN_POINTER(state);
}

/* All events of two ordinary values */
Datum
cxm_journey_sum(Datum first, Datum second, JourneyBuffer *buffer)
{
	JourneyView view_a;
	JourneyView view_b;
	Bytes		a = packed_bytes(first, buffer, &view_a);
	Bytes		b = packed_bytes(second, buffer, &view_b);
	size_t		count = view_a.count + view_b.count;
	Size		size = VARHDRSZ + cxm_journey_extended_size(&view_a, &view_b);
	struct varlena *sum;

	if (likely(size > VARHDRSZ && size <= MaxAllocSize))
	{
		sum = palloc(size);
		SET_VARSIZE(sum, size);
		cxm_journey_extend(&view_a, &view_b, (uint8_t *) VARDATA(sum));
	}
	else
	{
		set_room(buffer, count);
		decode(&view_a, 0, view_a.count, buffer->at, buffer->code);
		decode(&view_b, 0, view_b.count, buffer->at + view_a.count, buffer->code + view_a.count);
		if (view_a.count > 0 && view_b.count > 0 &&
			journey_compare_events(buffer->at[view_a.count - 1], buffer->code[view_a.count - 1],
								   buffer->at[view_a.count], buffer->code[view_a.count]) > 0)
			sort_buffer(buffer, count);
		sum = (struct varlena *) DatumGetPointer(cxm_journey_make(count, buffer->at, buffer->code));
	}
	free_bytes(&a);
	free_bytes(&b);
	return PointerGetDatum(sum);
}

/* All events of both */
Datum
cxm_journey_add(PG_FUNCTION_ARGS)
{
	struct varlena *state;
	Bytes		a;
	Bytes		b;
	size_t		entry;
	size_t		more;

	if (!in_aggregate(fcinfo))
		return cxm_journey_sum(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), own_buffer(fcinfo));

	state = (struct varlena *) PG_GETARG_POINTER(0);
	b = bytes_of(PG_GETARG_DATUM(1));
	entry = loose_state(state);
	more = count_of(&b);

	/* the first one stays packed, for most groups of a rollup have no other */
	if (entry == 0 && journey_entry(b.start, b.size) == 0)
	{
		a = bytes_of(PG_GETARG_DATUM(0));
		if (count_of(&a) == 0)
			PG_RETURN_DATUM(b.copy != NULL ? PointerGetDatum(b.copy) : PG_GETARG_DATUM(1));
		free_bytes(&a);
	}

	if (entry == 0 || !has_room(state, entry, more) ||
		!all_fit((const uint8_t *) VARDATA(state), entry, &b))
	{
		uint8_t		header[JOURNEY_HEADER];
		int64_t		start = 0;

		a = bytes_of(PG_GETARG_DATUM(0));
		if (!start_of(&a, &start))
			start_of(&b, &start);
		for (entry = JOURNEY_BRIEF; entry != JOURNEY_WIDE; entry = wider(entry))
		{
			journey_start_loose(header, entry, start);
			if (all_fit(header, entry, &a) && all_fit(header, entry, &b))
				break;
		}
		state = grow_state(&a, more, entry, start);
		free_bytes(&a);
	}
	put_all((uint8_t *) VARDATA(state), entry, &b);
	free_bytes(&b);
	PG_RETURN_POINTER(state);
}

/* The final function: what an aggregate has collected, packed; the state stays as it is */
Datum
cxm_journey_pack(PG_FUNCTION_ARGS)
{
	Bytes		bytes = bytes_of(PG_GETARG_DATUM(0));
	size_t		count;
	size_t		entry = open_loose(&bytes, &count);

	if (entry == 0)
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	PG_RETURN_DATUM(pack(&bytes, entry, count, own_buffer(fcinfo)));
}

/*--------------------------------------------------------------------------------------------------------
 * Difference and order
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_journey_subtract);
PG_FUNCTION_INFO_V1(cxm_journey_eq);
PG_FUNCTION_INFO_V1(cxm_journey_ne);
PG_FUNCTION_INFO_V1(cxm_journey_lt);
PG_FUNCTION_INFO_V1(cxm_journey_le);
PG_FUNCTION_INFO_V1(cxm_journey_gt);
PG_FUNCTION_INFO_V1(cxm_journey_ge);
PG_FUNCTION_INFO_V1(cxm_journey_cmp);
PG_FUNCTION_INFO_V1(cxm_journey_hash);
PG_FUNCTION_INFO_V1(cxm_journey_hash_extended);

/* The events of the first without those of the second, as often as they are there */
Datum
cxm_journey_difference(Datum first, Datum second, JourneyBuffer *buffer)
{
	JourneyBuffer other = {.context = CurrentMemoryContext};
	JourneyView b;
	Bytes		bytes = packed_bytes(second, &other, &b);
	JourneyEvents a;
	size_t		kept = 0;
	size_t		taken = 0;
	Datum		difference;

	cxm_journey_read(first, buffer, &a);
	for (size_t i = 0; i < a.count; i++)
	{
		int			order = taken == b.count ? -1 :
			journey_compare_events(a.at[i], a.code[i], journey_at(&b, taken), journey_code(&b, taken));

		if (i % STRIDE == STRIDE - 1)
			CHECK_FOR_INTERRUPTS();
		if (order > 0)
			break;
		if (order == 0)
			taken++;
		else
		{
			buffer->at[kept] = a.at[i];
			buffer->code[kept++] = a.code[i];
		}
	}
	if (taken < b.count)
	{
		char		text[JOURNEY_EVENT_TEXT];

		cxm_journey_format(journey_at(&b, taken), journey_code(&b, taken), text);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event %s cannot be taken away: the journey does not have it, or not as often", text),
				 errhint("Take away only what was added.")));
	}
	difference = cxm_journey_make(kept, buffer->at, buffer->code);
	free_bytes(&bytes);
	if (other.at != NULL)
	{
		pfree(other.at);
		pfree(other.code);
	}
	return difference;
}

Datum
cxm_journey_subtract(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(cxm_journey_difference(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), own_buffer(fcinfo)));
}

/* Both arguments, packed; the caller frees them */
static void
both_packed(FunctionCallInfo fcinfo, Bytes *a, JourneyView *view_a, Bytes *b, JourneyView *view_b)
{
	/* what is packed on the way is a copy, so one buffer is enough */
	*a = packed_bytes(PG_GETARG_DATUM(0), own_buffer(fcinfo), view_a);
	*b = packed_bytes(PG_GETARG_DATUM(1), own_buffer(fcinfo), view_b);
}

static bool
is_equal(FunctionCallInfo fcinfo)
{
	JourneyView view_a;
	JourneyView view_b;
	Bytes		a;
	Bytes		b;
	bool		equal;

	both_packed(fcinfo, &a, &view_a, &b, &view_b);
	equal = a.size == b.size && memcmp(a.start, b.start, a.size) == 0;
	free_bytes(&a);
	free_bytes(&b);
	return equal;
}

/* By the events, the earliest first, each by time and code; the beginning of a journey is less than the whole */
static int
compare(FunctionCallInfo fcinfo)
{
	JourneyView view_a;
	JourneyView view_b;
	Bytes		a;
	Bytes		b;
	size_t		common;
	int			order = 0;

	both_packed(fcinfo, &a, &view_a, &b, &view_b);
	common = Min(view_a.count, view_b.count);
	if (a.size != b.size || memcmp(a.start, b.start, a.size) != 0)
	{
		for (size_t i = 0; i < common && order == 0; i++)
		{
			if (i % STRIDE == STRIDE - 1)
				CHECK_FOR_INTERRUPTS();
			order = journey_compare_events(journey_at(&view_a, i), journey_code(&view_a, i),
										   journey_at(&view_b, i), journey_code(&view_b, i));
		}
		if (order == 0)
			order = view_a.count < view_b.count ? -1 : 1;
	}
	free_bytes(&a);
	free_bytes(&b);
	return order;
}

Datum
cxm_journey_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(is_equal(fcinfo));
}

Datum
cxm_journey_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!is_equal(fcinfo));
}

Datum
cxm_journey_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) < 0);
}

Datum
cxm_journey_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) <= 0);
}

Datum
cxm_journey_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) > 0);
}

Datum
cxm_journey_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) >= 0);
}

Datum
cxm_journey_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare(fcinfo));
}

Datum
cxm_journey_hash(PG_FUNCTION_ARGS)
{
	JourneyView view;
	Bytes		bytes = packed_bytes(PG_GETARG_DATUM(0), own_buffer(fcinfo), &view);
	Datum		hash = hash_any(bytes.start, (int) bytes.size);

	free_bytes(&bytes);
	PG_RETURN_DATUM(hash);
}

Datum
cxm_journey_hash_extended(PG_FUNCTION_ARGS)
{
	JourneyView view;
	Bytes		bytes = packed_bytes(PG_GETARG_DATUM(0), own_buffer(fcinfo), &view);
	Datum		hash = hash_any_extended(bytes.start, (int) bytes.size, (uint64) PG_GETARG_INT64(1));

	free_bytes(&bytes);
	PG_RETURN_DATUM(hash);
}

/*--------------------------------------------------------------------------------------------------------
 * Reading
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_journey_count);
PG_FUNCTION_INFO_V1(cxm_journey_first_at);
PG_FUNCTION_INFO_V1(cxm_journey_last_at);
PG_FUNCTION_INFO_V1(cxm_journey_duration);
PG_FUNCTION_INFO_V1(cxm_journey_slice);
PG_FUNCTION_INFO_V1(cxm_journey_filter_codes);
PG_FUNCTION_INFO_V1(cxm_journey_events);

/* Number of events, and the first and the last time, which are set only where there are events */
static size_t
ends_of(FunctionCallInfo fcinfo, TimestampTz *first, TimestampTz *last)
{
	JourneyView view;
	Bytes		bytes = packed_bytes(PG_GETARG_DATUM(0), own_buffer(fcinfo), &view);

	if (view.count > 0)
	{
		*first = view.first;
		*last = journey_at(&view, view.count - 1);
	}
	free_bytes(&bytes);
	return view.count;
}

Datum
cxm_journey_count(PG_FUNCTION_ARGS)
{
	TimestampTz first;
	TimestampTz last;

	PG_RETURN_INT64((int64) ends_of(fcinfo, &first, &last));
}

/* Time of the first event; NULL where there is none */
Datum
cxm_journey_first_at(PG_FUNCTION_ARGS)
{
	TimestampTz first;
	TimestampTz last;

	if (ends_of(fcinfo, &first, &last) == 0)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(first);
}

/* Time of the last event; NULL where there is none */
Datum
cxm_journey_last_at(PG_FUNCTION_ARGS)
{
	TimestampTz first;
	TimestampTz last;

	if (ends_of(fcinfo, &first, &last) == 0)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(last);
}

/* From the first to the last event, in days of 24 hours and a time, as the difference of two times is */
Datum
cxm_journey_duration(PG_FUNCTION_ARGS)
{
	TimestampTz first;
	TimestampTz last;
	int64		usecs;
	Interval   *duration;

	if (ends_of(fcinfo, &first, &last) == 0)
		PG_RETURN_NULL();
	if (pg_sub_s64_overflow(last, first, &usecs))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("the duration of a journey is out of the range of interval")));
	duration = palloc0(sizeof(Interval));
	duration->day = (int32) (usecs / USECS_PER_DAY);
	duration->time = usecs % USECS_PER_DAY;
	PG_RETURN_INTERVAL_P(duration);
}

/* How many events are before a time, or at it, too */
static size_t
events_until(const JourneyView *view, TimestampTz at, bool inclusive)
{
	if (!inclusive)
		return cxm_journey_bisect(view, at);
	return at == DT_NOEND ? view->count : cxm_journey_bisect(view, at + 1);
}

/* The events in a range of time */
Datum
cxm_journey_slice(PG_FUNCTION_ARGS)
{
	SliceState *state = fcinfo->flinfo->fn_extra;
	RangeType  *range = PG_GETARG_RANGE_P(1);
	RangeBound	lower;
	RangeBound	upper;
	bool		is_empty;
	JourneyView view;
	Bytes		bytes;
	size_t		from;
	size_t		to;
	Datum		slice;

	if (state == NULL)
	{
		state = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(SliceState));
		state->buffer = cxm_journey_buffer(fcinfo->flinfo->fn_mcxt);
		state->range = lookup_type_cache(RangeTypeGetOid(range), TYPECACHE_RANGE_INFO);
		fcinfo->flinfo->fn_extra = state;
	}
	range_deserialize(state->range, range, &lower, &upper, &is_empty);
	bytes = packed_bytes(PG_GETARG_DATUM(0), state->buffer, &view);
	from = is_empty || lower.infinite ? 0 : events_until(&view, DatumGetTimestampTz(lower.val), !lower.inclusive);
	to = is_empty ? 0 : upper.infinite ? view.count :
		events_until(&view, DatumGetTimestampTz(upper.val), upper.inclusive);
	/* bytes whose times do not ascend are found out when they are decoded */
	to = Max(from, to);
	set_room(state->buffer, to - from);
	decode(&view, from, to, state->buffer->at, state->buffer->code);
	free_bytes(&bytes);
	slice = cxm_journey_make(to - from, state->buffer->at, state->buffer->code);
	PG_RETURN_DATUM(slice);
}

static int
compare_codes(const void *a, const void *b)
{
	int32		x = *(const int32 *) a;
	int32		y = *(const int32 *) b;

	return (x > y) - (x < y);
}

/* The events whose code is one of an array */
Datum
cxm_journey_filter_codes(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	int			ncodes = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	int32	   *codes;
	bool		is_wanted[256] = {false};
	JourneyBuffer *buffer = own_buffer(fcinfo);
	JourneyView view;
	Bytes		bytes;
	size_t		kept = 0;
	Datum		filtered;

	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a code to filter by must not be NULL"),
				 errhint("Remove it with array_remove(codes, NULL).")));
	codes = palloc(Max(ncodes, 1) * sizeof(int32));
	memcpy(codes, ARR_DATA_PTR(array), ncodes * sizeof(int32));
	qsort(codes, ncodes, sizeof(int32), compare_codes);
	for (int i = 0; i < ncodes; i++)
		if (codes[i] >= 0 && codes[i] <= 255)
			is_wanted[codes[i]] = true;

	bytes = packed_bytes(PG_GETARG_DATUM(0), buffer, &view);
	set_room(buffer, view.count);
	for (size_t i = 0; i < view.count; i++)
	{
		int32		code = journey_code(&view, i);

		if (i % STRIDE == STRIDE - 1)
			CHECK_FOR_INTERRUPTS();
		if (code >= 0 && code <= 255 ? is_wanted[code] :
			bsearch(&code, codes, ncodes, sizeof(int32), compare_codes) != NULL)
		{
			buffer->at[kept] = journey_at(&view, i);
			buffer->code[kept++] = code;
		}
	}
	free_bytes(&bytes);
	pfree(codes);
	PG_FREE_IF_COPY(array, 1);
	filtered = cxm_journey_make(kept, buffer->at, buffer->code);
	PG_RETURN_DATUM(filtered);
}

/* One row an event, in order; nothing but the packed bytes is kept from row to row */
Datum
cxm_journey_events(PG_FUNCTION_ARGS)
{
	FuncCallContext *rows;
	const JourneyView *view;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext before;
		JourneyView *opened;
		JourneyBuffer buffer = {0};

		rows = SRF_FIRSTCALL_INIT();
		before = MemoryContextSwitchTo(rows->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &rows->tuple_desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "unexpected result type");
		rows->tuple_desc = BlessTupleDesc(rows->tuple_desc);
		buffer.context = CurrentMemoryContext;
		opened = palloc(sizeof(JourneyView));
		/* a copy of our own: the argument need not outlive the call */
		cxm_journey_view(PointerGetDatum(PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0))), &buffer, opened);
		rows->user_fctx = opened;
		MemoryContextSwitchTo(before);
	}
	rows = SRF_PERCALL_SETUP();
	view = rows->user_fctx;
	if (rows->call_cntr < view->count)
	{
		Datum		values[2];
		bool		nulls[2] = {false, false};

		values[0] = TimestampTzGetDatum(journey_at(view, (size_t) rows->call_cntr));
		values[1] = Int32GetDatum(journey_code(view, (size_t) rows->call_cntr));
		SRF_RETURN_NEXT(rows, HeapTupleGetDatum(heap_form_tuple(rows->tuple_desc, values, nulls)));
	}
	SRF_RETURN_DONE(rows);
}
