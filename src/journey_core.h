/*
 * src/journey_core.h
 *		A multiset of events (time, code) packed into bytes, in the order of (time, code).
 *
 * Nothing here knows PostgreSQL: the same code runs in test/unit without a server. What runs once an event is
 * inline, everything else is in journey_core.c.
 *
 * The bytes of a packed journey, all numbers little-endian, at any alignment:
 *
 *		1	version, JOURNEY_VERSION
 *		1	bits 0 to 2: unit of the offsets, a JourneyUnit; bits 3 and 4: log2 of the width of a code in bytes;
 *			bits 5 and 6: zero; bit 7: JOURNEY_LOOSE, zero here
 *		1	bits of an offset: 0 to 57, or 64
 *		1	zero
 *		4	number of events
 *		8	time of the first event, in microseconds since 2000-01-01 00:00 UTC; 0 without events
 *		n	the codes, 1, 2 or 4 bytes each
 *		n	the offsets: time less that of the first event, in units, the bits of one behind those of the other
 *			from the lowest bit up; what is left of the last byte is zero
 *
 * Offsets instead of gaps between neighbours: a gap is a few bits shorter, but an offset is read without the
 * ones before it. So a kernel scans the codes, a byte an event, and decodes the times of those events only that
 * it is about; a slice is found by bisection; and the first and the last time cost the same.
 *
 * One multiset has one packed form, so equal values have equal bytes: events are in order, the unit is the
 * largest that divides all offsets, codes are as narrow as the widest of them allows, and so are offsets.
 *
 * A loose journey is what an aggregate builds: the same header, with JOURNEY_LOOSE in the flags and the bytes of an
 * entry in the third byte, then room for entries in the order of arrival. Where an event does not fit, all entries are
 * made wider:
 *
 *		brief	4 bytes of whole seconds since the time in the header, and a code below 256
 *		narrow	8 bytes: microseconds since the time in the header, shifted by 16 bits, and a code below 65536
 *		wide	8 bytes of time and 4 of code
 *
 * A small state is what makes an aggregate over many groups fast, since each row of it waits for memory. For that
 * reason the last few entries, from one that is a multiple of JOURNEY_RECENT, stand next to the header, before the
 * others: a row touches one place, not two.
 *
 * A loose journey has no second life: the final function packs it, and the functions of the type take it where a
 * partial aggregate hands it on.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef JOURNEY_CORE_H
#define JOURNEY_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* what the version byte of a value says */
#define JOURNEY_VERSION		1

/* bytes in front of the codes */
#define JOURNEY_HEADER		16

/* flag of a journey that is not packed, and the bytes of its entries */
#define JOURNEY_LOOSE		0x80
#define JOURNEY_BRIEF		5
#define JOURNEY_NARROW		8
#define JOURNEY_WIDE		12

/* how many of its entries are next to the header */
#define JOURNEY_RECENT		4

/* microseconds of a step of a brief entry, and how far entries reach back: 68 years; a year */
#define JOURNEY_BRIEF_UNIT	UINT64_C(1000000)
#define JOURNEY_BRIEF_BACK	((UINT64_C(1) << 31) * JOURNEY_BRIEF_UNIT)
#define JOURNEY_NARROW_BACK	(UINT64_C(1) << 45)

/* the times that a timestamptz can have, the end excluded */
#define JOURNEY_MIN_AT		INT64_C(-211813488000000000)
#define JOURNEY_END_AT		INT64_C(9223371331200000000)

/* longest text of an event: "-4712-01-01T00:00:00.000001Z -2147483648", a final zero, and some room */
#define JOURNEY_EVENT_TEXT	64

/* an offset of more bits would not fit in one load of 8 bytes at any place */
#define JOURNEY_MAX_BITS	57

typedef enum JourneyUnit
{
	JOURNEY_DAY,
	JOURNEY_HOUR,
	JOURNEY_MINUTE,
	JOURNEY_SECOND,
	JOURNEY_MILLISECOND,
	JOURNEY_MICROSECOND
} JourneyUnit;

#define JOURNEY_UNITS		(JOURNEY_MICROSECOND + 1)

/* events for a kernel: ascending by (at, code), duplicates kept */
typedef struct JourneyEvents
{
	size_t		count;
	const int64_t *at;			/* microseconds since 2000-01-01 00:00 UTC */
	const int32_t *code;
} JourneyEvents;

/* one event, to sort */
typedef struct JourneyEvent
{
	int64_t		at;
	int32_t		code;
} JourneyEvent;

/* a packed journey, opened: any event is read without the others */
typedef struct JourneyView
{
	size_t		count;
	const uint8_t *codes;		/* count << code_shift bytes; the code itself where code_shift is 0 */
	const uint8_t *offsets;
	int64_t		first;			/* time of the first event */
	uint64_t	usecs;			/* microseconds of a unit; 0 where all offsets are 0 */
	JourneyUnit unit;
	int			bits;			/* of an offset */
	int			code_shift;		/* log2 of the width of a code in bytes: 0, 1 or 2 */
} JourneyView;

/* how events are to be packed */
typedef struct JourneyShape
{
	size_t		count;
	uint64_t	size;			/* bytes of the packed form */
	int64_t		first;
	JourneyUnit unit;
	int			bits;
	int			code_shift;
} JourneyShape;

/* called in long loops now and then; does not return where the caller is to stop */
typedef void (*JourneyPoll) (void);

static inline uint64_t
journey_load64(const uint8_t *p)
{
	uint64_t	x;

	memcpy(&x, p, sizeof(x));
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	return x;
}

static inline uint32_t
journey_load32(const uint8_t *p)
{
	uint32_t	x;

	memcpy(&x, p, sizeof(x));
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	x = __builtin_bswap32(x);
#endif
	return x;
}

static inline void
journey_store64(uint8_t *p, uint64_t x)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	memcpy(p, &x, sizeof(x));
}

static inline void
journey_store32(uint8_t *p, uint32_t x)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	x = __builtin_bswap32(x);
#endif
	memcpy(p, &x, sizeof(x));
}

/* Code of event i, from 0 */
static inline int32_t
journey_code(const JourneyView *v, size_t i)
{
	if (v->code_shift == 0)
		return v->codes[i];
	if (v->code_shift == 1)
		return v->codes[2 * i] | v->codes[2 * i + 1] << 8;
	return (int32_t) journey_load32(v->codes + 4 * i);
}

/*
 * Offset of event i in units. The 8 bytes that end with the last bit of the offset are loaded: they begin in the
 * header at the earliest, so no room is needed behind the value. Where offsets have no bits it means nothing, and
 * journey_at() multiplies it by 0.
 */
static inline uint64_t
journey_offset(const JourneyView *v, size_t i)
{
	uint64_t	end = ((uint64_t) i + 1) * (uint64_t) v->bits;
	uint64_t	x = journey_load64(v->offsets + (size_t) ((end + 7) >> 3) - 8);

	return (x << (-end & 7)) >> ((64 - v->bits) & 63);
}

/* Time of event i, from 0, in microseconds since 2000-01-01 00:00 UTC */
static inline int64_t
journey_at(const JourneyView *v, size_t i)
{
	return (int64_t) ((uint64_t) v->first + journey_offset(v, i) * v->usecs);
}

/* Number of events of a journey, loose or packed; the header must be there */
static inline size_t
journey_count(const uint8_t *bytes)
{
	return journey_load32(bytes + 4);
}

/* Bytes of an entry of a loose journey; 0 where these bytes are no loose journey */
static inline size_t
journey_entry(const uint8_t *bytes, size_t size)
{
	uint32_t	start = size < JOURNEY_HEADER ? 0 : journey_load32(bytes);
	uint32_t	entry = start >> 16;

	if ((start & 0xFFFF) != (JOURNEY_VERSION | JOURNEY_LOOSE << 8))
		return 0;
	return entry == JOURNEY_BRIEF || entry == JOURNEY_NARROW || entry == JOURNEY_WIDE ? entry : 0;
}

/* From the time in the header of a loose journey to that of its first event */
static inline uint64_t
journey_reach_back(size_t entry)
{
	return entry == JOURNEY_BRIEF ? JOURNEY_BRIEF_BACK : entry == JOURNEY_NARROW ? JOURNEY_NARROW_BACK : 0;
}

/* Header of a loose journey without events, the first of which is to be at this time */
static inline void
journey_start_loose(uint8_t *bytes, size_t entry, int64_t at)
{
	journey_store32(bytes, (uint32_t) (JOURNEY_VERSION | JOURNEY_LOOSE << 8 | entry << 16));
	journey_store32(bytes + 4, 0);
	journey_store64(bytes + 8, entry == JOURNEY_WIDE ? 0 : (uint64_t) at - journey_reach_back(entry));
}

/* Would an event fit an entry of a journey that was started at some time? */
static inline bool
journey_fits(const uint8_t *bytes, size_t entry, int64_t at, int32_t code)
{
	uint64_t	since = (uint64_t) at - journey_load64(bytes + 8);

	if (entry == JOURNEY_BRIEF)
		return since / JOURNEY_BRIEF_UNIT >> 32 == 0 && since % JOURNEY_BRIEF_UNIT == 0 && (uint32_t) code <= 0xFF;
	return entry == JOURNEY_WIDE || (since >> 48 == 0 && (uint32_t) code <= 0xFFFF);
}

/* Bytes of a loose journey with room for so many events */
static inline uint64_t
journey_loose_size(size_t entry, uint64_t count)
{
	return JOURNEY_HEADER + (count + JOURNEY_RECENT - 1) / JOURNEY_RECENT * JOURNEY_RECENT * entry;
}

/* Place of the entry i of so many: that of an earlier one is behind those of the recent ones */
static inline size_t
journey_place(size_t entry, size_t count, size_t i)
{
	bool		is_recent = i >= (count - 1) / JOURNEY_RECENT * JOURNEY_RECENT;

	return JOURNEY_HEADER + (is_recent ? i % JOURNEY_RECENT : JOURNEY_RECENT + i) * entry;
}

/* Make room for the entry i: once the recent places are full, what is in them moves behind the earlier entries */
static inline uint8_t *
journey_next_place(uint8_t *bytes, size_t entry, size_t i)
{
	uint8_t    *recent = bytes + JOURNEY_HEADER;

	if (i % JOURNEY_RECENT == 0 && i > 0)
		memcpy(recent + i * entry, recent, JOURNEY_RECENT * entry);
	return recent + i % JOURNEY_RECENT * entry;
}

/* Put an event that fits behind i others */
static inline void
journey_put_loose(uint8_t *bytes, size_t entry, size_t i, int64_t at, int32_t code)
{
	uint64_t	since = (uint64_t) at - journey_load64(bytes + 8);
	uint8_t    *p;

	if (entry == JOURNEY_BRIEF)
	{
		p = journey_next_place(bytes, JOURNEY_BRIEF, i);
		journey_store32(p, (uint32_t) (since / JOURNEY_BRIEF_UNIT));
		p[4] = (uint8_t) code;
	}
	else if (entry == JOURNEY_NARROW)
	{
		p = journey_next_place(bytes, JOURNEY_NARROW, i);
		journey_store64(p, since << 16 | (uint32_t) code);
	}
	else
	{
		p = journey_next_place(bytes, JOURNEY_WIDE, i);
		journey_store64(p, (uint64_t) at);
		journey_store32(p + 8, (uint32_t) code);
	}
}

/* The event of the entry i of so many */
static inline void
journey_get_loose(const uint8_t *bytes, size_t entry, size_t count, size_t i, int64_t *at, int32_t *code)
{
	const uint8_t *p = bytes + journey_place(entry, count, i);
	uint64_t	start = journey_load64(bytes + 8);

	if (entry == JOURNEY_BRIEF)
	{
		*at = (int64_t) (start + journey_load32(p) * JOURNEY_BRIEF_UNIT);
		*code = p[4];
	}
	else if (entry == JOURNEY_NARROW)
	{
		uint64_t	x = journey_load64(p);

		*at = (int64_t) (start + (x >> 16));
		*code = (int32_t) (x & 0xFFFF);
	}
	else
	{
		*at = (int64_t) journey_load64(p);
		*code = (int32_t) journey_load32(p + 8);
	}
}

/* Less than 0, 0, or more than 0 as the first event is before, equal to or after the second */
static inline int
journey_compare_events(int64_t at_a, int32_t code_a, int64_t at_b, int32_t code_b)
{
	if (at_a != at_b)
		return at_a < at_b ? -1 : 1;
	return (code_a > code_b) - (code_a < code_b);
}

/*
 * Open packed bytes. Checks everything that the length and the header tell, so that whatever the bytes are, the
 * readers above stay inside of them. NULL, or what is wrong with them.
 */
extern const char *cxm_journey_open(const uint8_t *bytes, size_t size, JourneyView *view);

/*
 * Check what cxm_journey_open() does not: order, range, and that this is the one packed form of its events. NULL, or
 * what is wrong, and with which event, from 0; their number where it is wrong with all of them.
 */
extern const char *cxm_journey_check(const JourneyView *view, JourneyPoll poll, size_t *event);

/* Decode the events from "from" to before "to"; false where their times do not ascend, which damaged bytes do */
extern bool cxm_journey_decode(const JourneyView *view, size_t from, size_t to, int64_t *at, int32_t *code);

/* How many events are before a time */
extern size_t cxm_journey_bisect(const JourneyView *view, int64_t at);

/* Sort; scratch has room for half of the events */
extern void cxm_journey_sort(JourneyEvent *events, JourneyEvent *scratch, size_t count, JourneyPoll poll);

/* Pack events that are in order: how, and then do it into shape->size bytes */
extern void cxm_journey_measure(size_t count, const int64_t *at, const int32_t *code, JourneyPoll poll,
								JourneyShape *shape);
extern void cxm_journey_write(const JourneyShape *shape, const int64_t *at, const int32_t *code, JourneyPoll poll,
							  uint8_t *bytes);

/*
 * The events of b behind those of a, where they are few and come behind and the packing of a serves all of them, so
 * that no event of a is decoded: the size of the sum, 0 where this is not so; and then write it.
 */
extern size_t cxm_journey_extended_size(const JourneyView *a, const JourneyView *b);
extern void cxm_journey_extend(const JourneyView *a, const JourneyView *b, uint8_t *bytes);

/* One event as text, its length without the final zero; and back, where NULL or what is wrong at *text is returned */
extern size_t cxm_journey_format(int64_t at, int32_t code, char *text);
extern const char *cxm_journey_parse(const char **text, int64_t *at, int32_t *code);

#endif							/* JOURNEY_CORE_H */
