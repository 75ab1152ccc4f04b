/*
 * src/journey_core.c
 *		Packing, checking, sorting and printing the events of a journey.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "journey_core.h"

#include <limits.h>
#include <stdio.h>

/* events between two polls */
#define STRIDE				65536

/* runs up to this length are sorted by insertion */
#define SHORT_RUN			16

#define USECS_PER_SEC		INT64_C(1000000)
#define USECS_PER_DAY		(INT64_C(86400) * USECS_PER_SEC)

/* days from 0000-03-01 to 2000-01-01 */
#define DAYS_BEFORE_2000	INT64_C(730425)

/* what is added to a year so that divisions round down; a multiple of 400, the period of the calendar */
#define YEAR_SHIFT			INT64_C(8000)
#define DAYS_OF_400_YEARS	INT64_C(146097)

/* microseconds of each unit, and how many of it make one of the unit before */
static const uint64_t unit_usecs[JOURNEY_UNITS] = {
	UINT64_C(86400000000), UINT64_C(3600000000), UINT64_C(60000000), 1000000, 1000, 1
};
static const uint64_t unit_ratio[JOURNEY_UNITS] = {0, 24, 60, 60, 1000, 1000};

/*--------------------------------------------------------------------------------------------------------
 * Packed form
 *--------------------------------------------------------------------------------------------------------
 */

/* Bits that an offset needs */
static int
bits_of(uint64_t offset)
{
	int			bits = offset == 0 ? 0 : 64 - __builtin_clzll(offset);

	return bits > JOURNEY_MAX_BITS ? 64 : bits;
}

/* log2 of the bytes that a code needs, from the codes or'ed together; a negative one needs 4 */
static int
shift_of(uint32_t codes)
{
	return codes <= 0xFF ? 0 : codes <= 0xFFFF ? 1 : 2;
}

const char *
cxm_journey_open(const uint8_t *bytes, size_t size, JourneyView *view)
{
	unsigned	flags;
	unsigned	unit;
	uint64_t	codes;
	uint64_t	offsets;

	if (size < JOURNEY_HEADER)
		return "the header is cut off";
	if (bytes[0] != JOURNEY_VERSION)
		return "the format version is not known";
	flags = bytes[1];
	unit = flags & 7;
	view->code_shift = (int) (flags >> 3 & 3);
	view->bits = bytes[2];
	if ((flags & 0xE0) != 0 || bytes[3] != 0)
		return "a reserved bit is set";
	if (unit >= JOURNEY_UNITS)
		return "there is no such unit of time";
	if (view->code_shift > 2)
		return "there is no such width of a code";
	if (view->bits > JOURNEY_MAX_BITS && view->bits != 64)
		return "there is no such width of a time";
	view->count = journey_count(bytes);
	codes = (uint64_t) view->count << view->code_shift;
	offsets = ((uint64_t) view->count * (uint64_t) view->bits + 7) / 8;
	if (size - JOURNEY_HEADER != codes + offsets)
		return "the length does not agree with the number of events";
	view->codes = bytes + JOURNEY_HEADER;
	view->offsets = view->codes + (size_t) codes;
	view->first = (int64_t) journey_load64(bytes + 8);
	view->unit = (JourneyUnit) unit;
	view->usecs = view->bits == 0 ? 0 : unit_usecs[unit];
	if (view->first < JOURNEY_MIN_AT || view->first >= JOURNEY_END_AT)
		return "the first time is out of range";
	return NULL;
}

const char *
cxm_journey_check(const JourneyView *view, JourneyPoll poll, size_t *event)
{
	uint64_t	limit = ((uint64_t) JOURNEY_END_AT - 1 - (uint64_t) view->first) / unit_usecs[view->unit];
	uint64_t	ratio = unit_ratio[view->unit];
	uint64_t	offset = 0;
	uint32_t	codes = 0;
	int32_t		code = INT32_MIN;
	bool		is_largest_unit = view->unit == JOURNEY_DAY;
	uint64_t	used = (uint64_t) view->count * (uint64_t) view->bits;

	*event = view->count;
	if (view->count == 0)
		return view->first != 0 || view->unit != JOURNEY_DAY || view->code_shift != 0 || view->bits != 0 ?
			"an empty journey has a header of its own" : NULL;
	for (size_t i = 0; i < view->count; i++)
	{
		uint64_t	next_offset = view->bits == 0 ? 0 : journey_offset(view, i);
		int32_t		next_code = journey_code(view, i);

		*event = i;
		if (i % STRIDE == 0)
			poll();
		if (next_offset < offset || (next_offset == offset && next_code < code))
			return "it is before the event in front of it";
		if (i == 0 && next_offset != 0)
			return "its time is not the first one";
		if (next_offset > limit)
			return "its time is out of range";
		if (!is_largest_unit)
			is_largest_unit = next_offset % ratio != 0;
		offset = next_offset;
		code = next_code;
		codes |= (uint32_t) code;
	}
	*event = view->count;
	if (!is_largest_unit)
		return "a larger unit of time divides all gaps";
	if (bits_of(offset) != view->bits)
		return "the times are wider than they need be";
	if (shift_of(codes) != view->code_shift)
		return "the codes are wider than they need be";
	if ((used & 7) != 0 && view->offsets[used >> 3] >> (used & 7) != 0)
		return "there is something behind the last time";
	return NULL;
}

bool
cxm_journey_decode(const JourneyView *view, size_t from, size_t to, int64_t *at, int32_t *code)
{
	size_t		count = to - from;
	int64_t		before = INT64_MIN;
	bool		ascends = true;

	switch (view->code_shift)
	{
		case 0:
			for (size_t i = 0; i < count; i++)
				code[i] = view->codes[from + i];
			break;
		case 1:
			for (size_t i = 0; i < count; i++)
				code[i] = view->codes[2 * (from + i)] | view->codes[2 * (from + i) + 1] << 8;
			break;
		default:
			for (size_t i = 0; i < count; i++)
				code[i] = (int32_t) journey_load32(view->codes + 4 * (from + i));
	}
	for (size_t i = 0; i < count; i++)
	{
		at[i] = journey_at(view, from + i);
		ascends &= before <= at[i];
		before = at[i];
	}
	return ascends;
}

size_t
cxm_journey_bisect(const JourneyView *view, int64_t at)
{
	size_t		low = 0;
	size_t		high = view->count;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (journey_at(view, middle) < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* On to the first event whose time is no whole number of units after the first; the divisor is a constant */
#define SKIP_MULTIPLES(usecs) \
	while (i < end && ((uint64_t) at[i] - first) % (usecs) == 0) \
		i++

/* The largest unit, not above the one so far, that divides the offsets of all events from i to before end */
static JourneyUnit
largest_unit(JourneyUnit unit, const int64_t *at, uint64_t first, size_t i, size_t end)
{
	switch (unit)
	{
		case JOURNEY_DAY:
			SKIP_MULTIPLES(UINT64_C(86400000000));
			if (i == end)
				return JOURNEY_DAY;
			/* FALLTHROUGH */
		case JOURNEY_HOUR:
			SKIP_MULTIPLES(UINT64_C(3600000000));
			if (i == end)
				return JOURNEY_HOUR;
			/* FALLTHROUGH */
		case JOURNEY_MINUTE:
			SKIP_MULTIPLES(UINT64_C(60000000));
			if (i == end)
				return JOURNEY_MINUTE;
			/* FALLTHROUGH */
		case JOURNEY_SECOND:
			SKIP_MULTIPLES(UINT64_C(1000000));
			if (i == end)
				return JOURNEY_SECOND;
			/* FALLTHROUGH */
		case JOURNEY_MILLISECOND:
			SKIP_MULTIPLES(UINT64_C(1000));
			if (i == end)
				return JOURNEY_MILLISECOND;
			/* FALLTHROUGH */
		default:
			return JOURNEY_MICROSECOND;
	}
}

void
cxm_journey_measure(size_t count, const int64_t *at, const int32_t *code, JourneyPoll poll, JourneyShape *shape)
{
	uint32_t	codes = 0;
	uint64_t	span;

	memset(shape, 0, sizeof(*shape));
	shape->count = count;
	shape->unit = JOURNEY_DAY;
	shape->size = JOURNEY_HEADER;
	if (count == 0)
		return;
	shape->first = at[0];
	for (size_t i = 0; i < count; i += STRIDE)
	{
		size_t		end = count - i < STRIDE ? count : i + STRIDE;

		poll();
		for (size_t j = i; j < end; j++)
			codes |= (uint32_t) code[j];
		shape->unit = largest_unit(shape->unit, at, (uint64_t) at[0], i, end);
	}
	span = (uint64_t) at[count - 1] - (uint64_t) at[0];
	shape->bits = bits_of(span / unit_usecs[shape->unit]);
	shape->code_shift = shift_of(codes);
	shape->size += ((uint64_t) count << shape->code_shift) + ((uint64_t) count * (uint64_t) shape->bits + 7) / 8;
}

/* Bits on their way to bytes */
typedef struct Bits
{
	uint8_t    *to;
	uint64_t	pending;		/* the lowest "filled" bits of it */
	int			filled;			/* 0 to 63 */
} Bits;

static inline void
put_bits(Bits *b, uint64_t value, int bits)
{
	b->pending |= value << b->filled;
	if (b->filled + bits < 64)
		b->filled += bits;
	else
	{
		journey_store64(b->to, b->pending);
		b->to += 8;
		b->pending = b->filled == 0 ? 0 : value >> (64 - b->filled);
		b->filled += bits - 64;
	}
}

/* The rest of them, up to a whole byte */
static void
end_bits(Bits *b)
{
	for (; b->filled > 0; b->filled -= 8)
	{
		*b->to++ = (uint8_t) b->pending;
		b->pending >>= 8;
	}
}

static inline void
put_code(uint8_t *codes, int shift, size_t i, int32_t code)
{
	if (shift == 0)
		codes[i] = (uint8_t) code;
	else if (shift == 1)
	{
		codes[2 * i] = (uint8_t) code;
		codes[2 * i + 1] = (uint8_t) (code >> 8);
	}
	else
		journey_store32(codes + 4 * i, (uint32_t) code);
}

/* The divisor is a constant here, too, wherever this is called */
#define WRITE_OFFSETS(usecs) \
	for (; i < end; i++) \
		put_bits(&b, ((uint64_t) at[i] - first) / (usecs), shape->bits)

void
cxm_journey_write(const JourneyShape *shape, const int64_t *at, const int32_t *code, JourneyPoll poll, uint8_t *bytes)
{
	size_t		count = shape->count;
	uint64_t	first = (uint64_t) shape->first;
	uint8_t    *codes = bytes + JOURNEY_HEADER;
	Bits		b = {.to = codes + (count << shape->code_shift)};
	size_t		i = 0;

	bytes[0] = JOURNEY_VERSION;
	bytes[1] = (uint8_t) ((unsigned) shape->unit | (unsigned) shape->code_shift << 3);
	bytes[2] = (uint8_t) shape->bits;
	bytes[3] = 0;
	journey_store32(bytes + 4, (uint32_t) count);
	journey_store64(bytes + 8, first);

	while (i < count)
	{
		size_t		end = count - i < STRIDE ? count : i + STRIDE;

		poll();
		for (size_t j = i; j < end; j++)
			put_code(codes, shape->code_shift, j, code[j]);
		if (shape->bits == 0)
		{
			i = end;
			continue;
		}
		switch (shape->unit)
		{
			case JOURNEY_DAY:
				WRITE_OFFSETS(UINT64_C(86400000000));
				break;
			case JOURNEY_HOUR:
				WRITE_OFFSETS(UINT64_C(3600000000));
				break;
			case JOURNEY_MINUTE:
				WRITE_OFFSETS(UINT64_C(60000000));
				break;
			case JOURNEY_SECOND:
				WRITE_OFFSETS(UINT64_C(1000000));
				break;
			case JOURNEY_MILLISECOND:
				WRITE_OFFSETS(UINT64_C(1000));
				break;
			default:
				WRITE_OFFSETS(UINT64_C(1));
		}
	}
	end_bits(&b);
}

size_t
cxm_journey_extended_size(const JourneyView *a, const JourneyView *b)
{
	uint64_t	count = (uint64_t) a->count + b->count;
	uint64_t	offset = 0;
	int64_t		before;
	int64_t		at;

	if (a->usecs == 0 || b->count == 0 || b->count > STRIDE || b->code_shift > a->code_shift || count > UINT32_MAX)
		return 0;
	before = journey_at(a, a->count - 1);
	if (journey_compare_events(before, journey_code(a, a->count - 1), b->first, journey_code(b, 0)) > 0)
		return 0;
	for (size_t i = 0; i < b->count; i++, before = at)
	{
		at = journey_at(b, i);
		offset = (uint64_t) at - (uint64_t) a->first;
		if (at < before || offset % a->usecs != 0)
			return 0;
	}
	/* the last offset needs as many bits as the one that was the last has room for, and not more */
	if (a->bits < 64 && offset / a->usecs >> a->bits != 0)
		return 0;
	return JOURNEY_HEADER + (size_t) (count << a->code_shift) + (size_t) ((count * (uint64_t) a->bits + 7) / 8);
}

void
cxm_journey_extend(const JourneyView *a, const JourneyView *b, uint8_t *bytes)
{
	size_t		count = a->count + b->count;
	size_t		codes = a->count << a->code_shift;
	uint64_t	filled = (uint64_t) a->count * (uint64_t) a->bits;
	uint8_t    *offsets = bytes + JOURNEY_HEADER + (count << a->code_shift);
	Bits		bits = {.to = offsets + filled / 8, .filled = (int) (filled % 8)};

	/* the header is in front of the codes */
	memcpy(bytes, a->codes - JOURNEY_HEADER, JOURNEY_HEADER + codes);
	journey_store32(bytes + 4, (uint32_t) count);
	memcpy(offsets, a->offsets, (size_t) (filled / 8));
	if (bits.filled > 0)
		bits.pending = a->offsets[filled / 8] & ((UINT64_C(1) << bits.filled) - 1);
	for (size_t i = 0; i < b->count; i++)
	{
		put_code(bytes + JOURNEY_HEADER, a->code_shift, a->count + i, journey_code(b, i));
		put_bits(&bits, ((uint64_t) journey_at(b, i) - (uint64_t) a->first) / a->usecs, a->bits);
	}
	end_bits(&bits);
}

/*--------------------------------------------------------------------------------------------------------
 * Order
 *--------------------------------------------------------------------------------------------------------
 */

static inline bool
is_after(const JourneyEvent *a, const JourneyEvent *b)
{
	return a->at > b->at || (a->at == b->at && a->code > b->code);
}

static void
insertion_sort(JourneyEvent *events, size_t count)
{
	for (size_t i = 1; i < count; i++)
	{
		JourneyEvent moved = events[i];
		size_t		j = i;

		for (; j > 0 && is_after(&events[j - 1], &moved); j--)
			events[j] = events[j - 1];
		events[j] = moved;
	}
}

/*
 * Merge sort that does nothing where two halves are in order already. What is merged of two runs in a row is
 * twice their length in all, whatever the place where one ends, so states that were combined cost little.
 */
void
cxm_journey_sort(JourneyEvent *events, JourneyEvent *scratch, size_t count, JourneyPoll poll)
{
	size_t		half = count / 2;
	JourneyEvent *left = events;
	const JourneyEvent *end = events + count;
	const JourneyEvent *right = events + half;
	const JourneyEvent *kept = scratch;
	const JourneyEvent *kept_end;

	if (count <= SHORT_RUN)
	{
		insertion_sort(events, count);
		return;
	}
	cxm_journey_sort(events, scratch, half, poll);
	cxm_journey_sort(events + half, scratch, count - half, poll);
	if (!is_after(right - 1, right))
		return;
	if (count > STRIDE)
		poll();

	/* what is in place already stays there; the rest of the left half makes way */
	while (!is_after(left, right))
		left++;
	kept_end = scratch + (right - left);
	memcpy(scratch, left, (size_t) (right - left) * sizeof(JourneyEvent));
	while (kept < kept_end && right < end)
		*left++ = is_after(kept, right) ? *right++ : *kept++;
	memcpy(left, kept, (size_t) (kept_end - kept) * sizeof(JourneyEvent));
}

/*--------------------------------------------------------------------------------------------------------
 * Text
 *--------------------------------------------------------------------------------------------------------
 */

/* Days before each month of a year that begins in March */
static const int days_before_month[] = {0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337, INT_MAX};

/* Days from 0000-03-01 to March 1 of a year, in the Gregorian calendar */
static int64_t
days_to_year(int64_t year)
{
	int64_t		y = year + YEAR_SHIFT;

	return y * 365 + y / 4 - y / 100 + y / 400 - YEAR_SHIFT / 400 * DAYS_OF_400_YEARS;
}

/* Days from 2000-01-01 to a date; the day is not checked */
static int64_t
days_to_date(int64_t year, int month, int day)
{
	return days_to_year(month > 2 ? year : year - 1) + days_before_month[(month + 9) % 12] + day - 1 - DAYS_BEFORE_2000;
}

static void
date_of_days(int64_t days, int64_t *year, int *month, int *day)
{
	int			m = 0;
	int64_t		y;

	days += DAYS_BEFORE_2000;
	y = (days + YEAR_SHIFT / 400 * DAYS_OF_400_YEARS) * 400 / DAYS_OF_400_YEARS - YEAR_SHIFT;
	/* the estimate is off by one at most */
	while (days_to_year(y) > days)
		y--;
	while (days_to_year(y + 1) <= days)
		y++;
	days -= days_to_year(y);
	while (days_before_month[m + 1] <= days)
		m++;
	*day = (int) days - days_before_month[m] + 1;
	*month = (m + 2) % 12 + 1;
	*year = *month > 2 ? y : y + 1;
}

size_t
cxm_journey_format(int64_t at, int32_t code, char *text)
{
	int64_t		days = at / USECS_PER_DAY;
	int64_t		usecs = at % USECS_PER_DAY;
	int64_t		seconds;
	int64_t		year;
	int			month;
	int			day;
	int			length;

	if (usecs < 0)
	{
		usecs += USECS_PER_DAY;
		days--;
	}
	seconds = usecs / USECS_PER_SEC;
	usecs %= USECS_PER_SEC;
	date_of_days(days, &year, &month, &day);
	length = snprintf(text, JOURNEY_EVENT_TEXT, "%s%04lld-%02d-%02dT%02d:%02d:%02d", year < 0 ? "-" : "",
					  (long long) (year < 0 ? -year : year), month, day,
					  (int) (seconds / 3600), (int) (seconds / 60 % 60), (int) (seconds % 60));
	if (usecs != 0)
	{
		length += snprintf(text + length, (size_t) (JOURNEY_EVENT_TEXT - length), ".%06d", (int) usecs);
		while (text[length - 1] == '0')
			length--;
	}
	length += snprintf(text + length, (size_t) (JOURNEY_EVENT_TEXT - length), "Z %d", (int) code);
	return (size_t) length;
}

/* Exactly n digits, or at least n up to the most; -1 where they are not there */
static int64_t
parse_digits(const char **text, int least, int most)
{
	const char *p = *text;
	int64_t		value = 0;
	int			n = 0;

	for (; n < most && *p >= '0' && *p <= '9'; n++)
		value = value * 10 + (*p++ - '0');
	if (n < least)
		return -1;
	*text = p;
	return value;
}

/* Two digits below a bound, after a character where one is wanted; -1 where they are not there */
static int64_t
parse_two(const char **text, char before, int bound)
{
	const char *p = *text;
	int64_t		value;

	if (before != '\0' && *p++ != before)
		return -1;
	value = parse_digits(&p, 2, 2);
	if (value < 0 || value >= bound)
		return -1;
	*text = p;
	return value;
}

/* A time of day; false where there is none */
static bool
parse_clock(const char **text, int64_t *usecs)
{
	int64_t		hour = parse_two(text, '\0', 24);
	int64_t		minute = hour < 0 ? -1 : parse_two(text, ':', 60);
	int64_t		second = minute < 0 ? -1 : parse_two(text, ':', 60);

	if (second < 0)
		return false;
	*usecs = (hour * 3600 + minute * 60 + second) * USECS_PER_SEC;
	if (**text == '.')
	{
		int64_t		digit = USECS_PER_SEC / 10;

		(*text)++;
		if (**text < '0' || **text > '9')
			return false;
		for (; **text >= '0' && **text <= '9'; (*text)++)
		{
			/* what is finer than a microsecond would be lost */
			if (digit == 0 && **text != '0')
				return false;
			*usecs += (**text - '0') * digit;
			digit /= 10;
		}
	}
	return true;
}

/* An offset from UTC: Z, +hh, +hhmm or +hh:mm, and seconds after another colon; false where there is none */
static bool
parse_zone(const char **text, int64_t *usecs)
{
	int			sign = **text == '-' ? -1 : 1;
	int64_t		seconds;
	int64_t		part;

	*usecs = 0;
	if (**text == 'Z' || **text == 'z')
	{
		(*text)++;
		return true;
	}
	if (**text != '+' && **text != '-')
		return false;
	(*text)++;
	part = parse_two(text, '\0', 16);
	if (part < 0)
		return false;
	seconds = part * 3600;
	if (**text == ':' || (**text >= '0' && **text <= '9'))
	{
		part = parse_two(text, **text == ':' ? ':' : '\0', 60);
		if (part < 0)
			return false;
		seconds += part * 60;
		if (**text == ':')
		{
			part = parse_two(text, ':', 60);
			if (part < 0)
				return false;
			seconds += part;
		}
	}
	*usecs = sign * seconds * USECS_PER_SEC;
	return true;
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

const char *
cxm_journey_parse(const char **text, int64_t *at, int32_t *code)
{
	bool		is_negative = **text == '-';
	const char *start = *text;
	int64_t		year;
	int64_t		month;
	int64_t		day;
	int64_t		clock;
	int64_t		zone;
	int64_t		days;
	int64_t		days_in_month;
	int64_t		value;

	if (**text == '-' || **text == '+')
		(*text)++;
	year = parse_digits(text, 4, 6);
	if (year < 0)
		return "A time begins with a year of at least 4 digits.";
	if (is_negative)
		year = -year;
	month = parse_two(text, '-', 13);
	if (month < 1)
		return "After the year comes a month, such as -03.";
	day = parse_two(text, '-', 32);
	days_in_month = month == 12 ? 31 : days_to_date(year, (int) month + 1, 1) - days_to_date(year, (int) month, 1);
	if (day < 1 || day > days_in_month)
		return "After the month comes a day of it, such as -31.";
	if (**text != 'T' && **text != 't' && **text != ' ')
		return "After the date comes T or a space and the time of day.";
	(*text)++;
	if (!parse_clock(text, &clock))
		return "A time of day is hh:mm:ss with up to 6 decimal places.";
	if (!parse_zone(text, &zone))
		return "A time of day ends with Z or its distance from UTC, such as +02:00.";

	days = days_to_date(year, (int) month, (int) day);
	/* years of 6 digits do not overflow; times of day and zones do not either, next to the range */
	if (days < JOURNEY_MIN_AT / USECS_PER_DAY - 1 || days > JOURNEY_END_AT / USECS_PER_DAY)
	{
		*text = start;
		return "The time is out of the range of timestamptz.";
	}
	*at = days * USECS_PER_DAY + clock - zone;
	if (*at < JOURNEY_MIN_AT || *at >= JOURNEY_END_AT)
	{
		*text = start;
		return "The time is out of the range of timestamptz.";
	}

	if (!is_space(**text))
		return "After the time come a space and a code.";
	while (is_space(**text))
		(*text)++;
	start = *text;
	is_negative = **text == '-';
	if (**text == '-' || **text == '+')
		(*text)++;
	value = parse_digits(text, 1, 10);
	if (value < 0 || (**text >= '0' && **text <= '9') || value > (int64_t) INT32_MAX + is_negative)
	{
		*text = start;
		return "A code is a whole number from -2147483648 to 2147483647.";
	}
	*code = (int32_t) (is_negative ? -value : value);
	return NULL;
}
