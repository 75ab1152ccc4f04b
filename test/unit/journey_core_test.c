/*
 * test/unit/journey_core_test.c
 *		Packing, checking, sorting and printing of journey_core.c, against plain arrays and against each other.
 *
 * cc -Isrc test/unit/journey_core_test.c src/journey_core.c && ./a.out
 * With the argument "bench" it measures instead: cc -O2 ... && ./a.out bench
 */
#include "journey_core.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST 400
#define DAY INT64_C(86400000000)

static int	polls = 0;

static void
count_poll(void)
{
	polls++;
}

static uint64_t
next_bits(void)
{
	uint64_t	step = next_step();

	return step >> 11 ^ step << 21;
}

static int
compare(const void *a, const void *b)
{
	const JourneyEvent *x = a;
	const JourneyEvent *y = b;

	return journey_compare_events(x->at, x->code, y->at, y->code);
}

static const int64_t units[] = {DAY, DAY / 24, DAY / 1440, 1000000, 1000, 1};

/* random events: of all units, spans and widths of codes, with many ties */
static size_t
make_events(JourneyEvent *events)
{
	size_t		count = next_bits() % 4 == 0 ? next_bits() % 4 : next_bits() % MOST;
	int64_t		unit = units[next_bits() % 6];
	uint64_t	span = (UINT64_C(1) << next_bits() % 52) / (uint64_t) unit + 1;
	int64_t		start = (int64_t) (next_bits() % 4000000) * INT64_C(1000000007) - INT64_C(1000000000000000);
	int			width = (int) (next_bits() % 4);

	if (next_bits() % 10 == 0)
		span = ((uint64_t) JOURNEY_END_AT - 1 - (uint64_t) start) / (uint64_t) unit;
	for (size_t i = 0; i < count; i++)
	{
		events[i].at = (int64_t) ((uint64_t) start + next_bits() % (span + 1) * (uint64_t) unit);
		events[i].code = (int32_t) (width == 0 ? next_bits() % 5 : width == 1 ? next_bits() % 256 :
									width == 2 ? next_bits() % 65536 : next_bits());
	}
	return count;
}

static void
split(const JourneyEvent *events, size_t count, int64_t *at, int32_t *code)
{
	for (size_t i = 0; i < count; i++)
	{
		at[i] = events[i].at;
		code[i] = events[i].code;
	}
}

/* Pack into memory of exactly the size, so that a sanitizer sees a byte too many */
static uint8_t *
pack(const int64_t *at, const int32_t *code, size_t count, size_t *size)
{
	JourneyShape shape;
	uint8_t    *bytes;

	cxm_journey_measure(count, at, code, count_poll, &shape);
	*size = (size_t) shape.size;
	bytes = malloc(*size);
	cxm_journey_write(&shape, at, code, count_poll, bytes);
	return bytes;
}

/* The bits that n values up to a maximum need, counted out */
static int
slow_bits(uint64_t most)
{
	int			bits = 0;

	while (bits < 64 && most >> bits != 0)
		bits++;
	return bits > 57 ? 64 : bits;
}

static void
test_packing(void)
{
	static JourneyEvent events[MOST];
	static int64_t at[MOST];
	static int32_t code[MOST];
	static int64_t at_back[MOST];
	static int32_t code_back[MOST];
	int			good = 0;
	int			sizes = 0;
	int			cuts = 0;
	int			runs = 3000;

	for (int run = 0; run < runs; run++)
	{
		size_t		count = make_events(events);
		size_t		size;
		size_t		event;
		uint8_t    *bytes;
		JourneyView view;
		int			ok;
		int64_t		unit = DAY;
		int			width = 1;

		qsort(events, count, sizeof(JourneyEvent), compare);
		split(events, count, at, code);
		bytes = pack(at, code, count, &size);
		ok = cxm_journey_open(bytes, size, &view) == NULL && view.count == count &&
			cxm_journey_check(&view, count_poll, &event) == NULL &&
			cxm_journey_decode(&view, 0, count, at_back, code_back) &&
			memcmp(at, at_back, count * sizeof(int64_t)) == 0 && memcmp(code, code_back, count * sizeof(int32_t)) == 0;
		for (size_t i = 0; ok && i < count; i++)
			ok = journey_at(&view, i) == at[i] && journey_code(&view, i) == code[i];
		good += ok;

		/* no more bytes than the format promises */
		for (size_t i = 0; i < count; i++)
		{
			for (int u = 0; ((uint64_t) at[i] - (uint64_t) at[0]) % (uint64_t) unit != 0; u++)
				unit = units[u] < unit ? units[u] : unit;
			if (code[i] < 0 || code[i] > 65535)
				width = 4;
			else if (code[i] > 255 && width == 1)
				width = 2;
		}
		if (count == 0)
			sizes += size == JOURNEY_HEADER;
		else
			sizes += size == JOURNEY_HEADER + count * (size_t) width +
				(count * (size_t) slow_bits(((uint64_t) at[count - 1] - (uint64_t) at[0]) / (uint64_t) unit) + 7) / 8;

		/* any part of it, and any cut */
		if (count > 0)
		{
			size_t		from = next_bits() % count;
			size_t		to = from + next_bits() % (count - from + 1);
			int64_t		cut = at[next_bits() % count] + (int64_t) (next_bits() % 3) - 1;
			size_t		before = 0;

			while (before < count && at[before] < cut)
				before++;
			cuts += cxm_journey_bisect(&view, cut) == before &&
				cxm_journey_decode(&view, from, to, at_back, code_back) &&
				memcmp(at + from, at_back, (to - from) * sizeof(int64_t)) == 0 &&
				memcmp(code + from, code_back, (to - from) * sizeof(int32_t)) == 0;
		}
		else
			cuts += cxm_journey_bisect(&view, 0) == 0;
		free(bytes);
	}
	check(good == runs, "what was packed is what is decoded");
	check(sizes == runs, "the packed form is as small as it is said to be");
	check(cuts == runs, "parts and cuts are those of the array");
}

/* What is put behind a journey that is packed gives the packed form of all of it, or is refused */
static void
test_extending(void)
{
	static JourneyEvent events[MOST];
	static int64_t at[MOST];
	static int32_t code[MOST];
	int			good = 0;
	int			extended = 0;
	int			wanted = 0;
	int			runs = 3000;

	for (int run = 0; run < runs; run++)
	{
		size_t		count = make_events(events);
		size_t		cut = count == 0 ? 0 : count - next_bits() % (count < 4 ? count : 4);
		size_t		sizes[4];
		size_t		size;
		uint8_t    *bytes[4];
		JourneyView a;
		JourneyView b;
		int			ok = 1;

		qsort(events, count, sizeof(JourneyEvent), compare);
		split(events, count, at, code);
		bytes[0] = pack(at, code, cut, &sizes[0]);
		bytes[1] = pack(at + cut, code + cut, count - cut, &sizes[1]);
		bytes[2] = pack(at, code, count, &sizes[2]);
		ok &= cxm_journey_open(bytes[0], sizes[0], &a) == NULL && cxm_journey_open(bytes[1], sizes[1], &b) == NULL;
		size = cxm_journey_extended_size(&a, &b);
		/* the same unit, width of times and width of codes: only then */
		wanted = cut > 0 && cut < count && a.usecs > 0 && bytes[0][1] == bytes[2][1] && bytes[0][2] == bytes[2][2];
		ok &= (size > 0) == wanted;
		if (size > 0)
		{
			extended++;
			bytes[3] = malloc(size);
			cxm_journey_extend(&a, &b, bytes[3]);
			ok &= size == sizes[2] && memcmp(bytes[2], bytes[3], size) == 0;
			free(bytes[3]);
		}
		/* the other way round there is order only where all is equal */
		if (count > cut && cut > 0 && compare(&events[0], &events[count - 1]) != 0)
			ok &= cxm_journey_extended_size(&b, &a) == 0;
		good += ok;
		for (int i = 0; i < 3; i++)
			free(bytes[i]);
	}
	check(good == runs, "what is put behind a journey gives what packing all of it gives");
	check(extended > runs / 10 && extended < runs, "some can be extended and some cannot");
}

/* Whatever bytes pass the check are the one packed form of their events; none is read beyond its end */
static int
is_refused_or_packed(const uint8_t *bytes, size_t size, int *refused)
{
	uint8_t    *copy = malloc(size > 0 ? size : 1);
	JourneyView view;
	size_t		event = 0;
	int			ok = 1;

	memcpy(copy, bytes, size);
	if (cxm_journey_open(copy, size, &view) != NULL)
		(*refused)++;
	else
	{
		int64_t    *at = malloc((view.count + 1) * sizeof(int64_t));
		int32_t    *code = malloc((view.count + 1) * sizeof(int32_t));

		/* nothing in it is read outside of it, whether it is good or not */
		cxm_journey_decode(&view, 0, view.count, at, code);
		cxm_journey_bisect(&view, 0);
		if (cxm_journey_check(&view, count_poll, &event) != NULL)
		{
			(*refused)++;
			ok = event <= view.count;
		}
		else
		{
			size_t		again_size;
			uint8_t    *again = pack(at, code, view.count, &again_size);

			ok = again_size == size && memcmp(again, copy, size) == 0;
			free(again);
		}
		free(at);
		free(code);
	}
	free(copy);
	return ok;
}

static void
test_hostile_bytes(void)
{
	static JourneyEvent events[MOST];
	static int64_t at[MOST];
	static int32_t code[MOST];
	int			good = 0;
	int			tried = 0;
	int			refused = 0;
	uint8_t		noise[64];

	for (int run = 0; run < 60; run++)
	{
		size_t		count = make_events(events) % 30;
		size_t		size;
		uint8_t    *bytes;

		qsort(events, count, sizeof(JourneyEvent), compare);
		split(events, count, at, code);
		bytes = pack(at, code, count, &size);
		for (size_t cut = 0; cut < size; cut++)
		{
			int			before = refused;

			good += is_refused_or_packed(bytes, cut, &refused) && refused == before + 1;
			tried++;
		}
		for (size_t i = 0; i < size * 8; i++)
		{
			bytes[i / 8] ^= (uint8_t) (1 << i % 8);
			good += is_refused_or_packed(bytes, size, &refused);
			tried++;
			bytes[i / 8] ^= (uint8_t) (1 << i % 8);
		}
		for (size_t i = 0; i < size; i++)
		{
			uint8_t		kept = bytes[i];

			bytes[i] = (uint8_t) next_bits();
			good += is_refused_or_packed(bytes, size, &refused);
			bytes[i] = kept;
			tried++;
		}
		free(bytes);
	}
	for (int run = 0; run < 20000; run++)
	{
		size_t		size = next_bits() % sizeof(noise);

		for (size_t i = 0; i < size; i++)
			noise[i] = (uint8_t) (next_bits() % 5 == 0 ? next_bits() : i < 8 ? next_bits() % 3 : 0);
		if (size > 0)
			noise[0] = JOURNEY_VERSION;
		good += is_refused_or_packed(noise, size, &refused);
		tried++;
	}
	check(good == tried, "hostile bytes are refused, or are the packed form of what they say");
	check(refused > tried / 2 && refused < tried, "some are refused and some are not");
}

static void
test_refusals(void)
{
	/* two events at 0 and 3 seconds, codes 1 and 2; every rule of the format broken once */
	static const uint8_t good[] = {1, 3, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0x0C};
	static const struct
	{
		size_t		place;
		uint8_t		value;
		const char *why;
	}			broken[] = {
		{0, 2, "the format version is not known"},
		{0, 0, "the format version is not known"},
		{1, 3 | 0x20, "a reserved bit is set"},
		{1, 3 | 0x40, "a reserved bit is set"},
		{1, 3 | 0x80, "a reserved bit is set"},
		{1, 6, "there is no such unit of time"},
		{1, 3 | 3 << 3, "there is no such width of a code"},
		{1, 4, NULL},
		{1, 2, NULL},
		{1, 3 | 1 << 3, "the length does not agree with the number of events"},
		{2, 58, "there is no such width of a time"},
		{3, 1, "a reserved bit is set"},
		{4, 3, "the length does not agree with the number of events"},
		{7, 0x80, "the length does not agree with the number of events"},
		{15, 0x7F, NULL},
		{15, 0x80, "the first time is out of range"},
		{18, 0x0D, "its time is not the first one"},
		{18, 0x08, NULL},
		{18, 0x00, "a larger unit of time divides all gaps"},
		{18, 0x1C, "there is something behind the last time"},
	};
	JourneyView view;
	size_t		event;

	check(cxm_journey_open(good, sizeof(good), &view) == NULL && cxm_journey_check(&view, count_poll, &event) == NULL &&
		  journey_at(&view, 0) == 0 && journey_at(&view, 1) == 3000000, "a journey by hand");
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
	{
		uint8_t		bytes[sizeof(good)];
		const char *why;

		memcpy(bytes, good, sizeof(good));
		bytes[broken[i].place] = broken[i].value;
		why = cxm_journey_open(bytes, sizeof(bytes), &view);
		if (why == NULL)
			why = cxm_journey_check(&view, count_poll, &event);
		check(why == NULL ? broken[i].why == NULL : broken[i].why != NULL && strcmp(why, broken[i].why) == 0,
			  broken[i].why == NULL ? "another journey" : broken[i].why);
	}
	{
		static const uint8_t unordered_codes[] = {1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1};
		static const uint8_t unordered_times[] = {1, 3, 2, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 0x1C};
		static const uint8_t empty_with_time[] = {1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};

		static const uint8_t wide_times[] = {1, 3, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0x18};
		static const uint8_t wide_codes[] = {1, 11, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0x0C};
		uint8_t		late[sizeof(good)];

		check(cxm_journey_open(wide_times, sizeof(wide_times), &view) == NULL &&
			  strcmp(cxm_journey_check(&view, count_poll, &event), "the times are wider than they need be") == 0,
			  "the times are wider than they need be");
		check(cxm_journey_open(wide_codes, sizeof(wide_codes), &view) == NULL &&
			  strcmp(cxm_journey_check(&view, count_poll, &event), "the codes are wider than they need be") == 0,
			  "the codes are wider than they need be");
		memcpy(late, good, sizeof(good));
		journey_store64(late + 8, (uint64_t) JOURNEY_END_AT - 3000000);
		check(cxm_journey_open(late, sizeof(late), &view) == NULL &&
			  strcmp(cxm_journey_check(&view, count_poll, &event), "its time is out of range") == 0 && event == 1,
			  "its time is out of range");
		check(cxm_journey_open(unordered_codes, sizeof(unordered_codes), &view) == NULL &&
			  cxm_journey_check(&view, count_poll, &event) != NULL && event == 1, "codes at one time are in order");
		check(cxm_journey_open(unordered_times, sizeof(unordered_times), &view) == NULL &&
			  cxm_journey_check(&view, count_poll, &event) != NULL && event == 2, "times are in order");
		check(cxm_journey_open(empty_with_time, sizeof(empty_with_time), &view) == NULL &&
			  cxm_journey_check(&view, count_poll, &event) != NULL, "the empty journey has one form");
	}
}

static void
test_loose(void)
{
	static uint8_t bytes[JOURNEY_HEADER + 100 * JOURNEY_WIDE];
	static const size_t entries[] = {JOURNEY_BRIEF, JOURNEY_NARROW, JOURNEY_WIDE};
	static const char *const names[] = {"brief entries", "narrow entries", "wide entries"};
	int64_t		year = 365 * DAY;
	int64_t		times[3][5] = {
		{5 * year, 5 * year - (int64_t) JOURNEY_BRIEF_BACK, 73 * year, 0, 1000000},
		{5 * year, 5 * year - (int64_t) JOURNEY_NARROW_BACK, 12 * year, 5 * year + 1, 6 * year - 1},
		{5 * year, JOURNEY_MIN_AT, JOURNEY_END_AT - 1, 0, -1}
	};
	int32_t		codes[3][5] = {{255, 0, 7, 8, 9}, {65535, 0, 7, 8, 9}, {65536, -1, INT32_MIN, INT32_MAX, 0}};
	int64_t		at;
	int32_t		code;

	for (int kind = 0; kind < 3; kind++)
	{
		size_t		entry = entries[kind];
		size_t		room = 100;
		int			ok = 1;

		while (journey_loose_size(entry, room) > sizeof(bytes))
			room--;
		ok &= room >= 97 && journey_loose_size(entry, 0) == JOURNEY_HEADER;
		journey_start_loose(bytes, entry, times[kind][0]);
		ok &= journey_entry(bytes, sizeof(bytes)) == entry && journey_count(bytes) == 0;
		/* each number of entries that there is room for, all of them read */
		for (size_t count = 1; count <= room; count++)
		{
			ok &= journey_fits(bytes, entry, times[kind][(count - 1) % 5], codes[kind][(count - 1) % 5]);
			journey_put_loose(bytes, entry, count - 1, times[kind][(count - 1) % 5], codes[kind][(count - 1) % 5]);
			for (size_t i = 0; i < count; i++)
			{
				journey_get_loose(bytes, entry, count, i, &at, &code);
				ok &= at == times[kind][i % 5] && code == codes[kind][i % 5];
				ok &= journey_place(entry, count, i) + entry <= sizeof(bytes);
			}
		}
		check(ok, names[kind]);
	}
	journey_start_loose(bytes, JOURNEY_BRIEF, 500);
	check(!journey_fits(bytes, JOURNEY_BRIEF, 500, -1) && !journey_fits(bytes, JOURNEY_BRIEF, 500, 256) &&
		  journey_fits(bytes, JOURNEY_BRIEF, 500, 255) && !journey_fits(bytes, JOURNEY_BRIEF, 501, 0) &&
		  !journey_fits(bytes, JOURNEY_BRIEF, 0, 0) && journey_fits(bytes, JOURNEY_BRIEF, 68 * year + 500, 0) &&
		  !journey_fits(bytes, JOURNEY_BRIEF, 69 * year + 500, 0) && journey_fits(bytes, JOURNEY_BRIEF, 500 - 68 * year, 0) &&
		  !journey_fits(bytes, JOURNEY_BRIEF, 500 - 69 * year, 0) && !journey_fits(bytes, JOURNEY_BRIEF, JOURNEY_MIN_AT, 0) &&
		  !journey_fits(bytes, JOURNEY_BRIEF, JOURNEY_END_AT - 1, 0),
		  "what fits a brief entry");
	journey_start_loose(bytes, JOURNEY_NARROW, 0);
	check(!journey_fits(bytes, JOURNEY_NARROW, 0, -1) && !journey_fits(bytes, JOURNEY_NARROW, 0, 65536) &&
		  journey_fits(bytes, JOURNEY_NARROW, 0, 65535) && journey_fits(bytes, JOURNEY_NARROW, 7 * year, 0) &&
		  !journey_fits(bytes, JOURNEY_NARROW, 9 * year, 0) && journey_fits(bytes, JOURNEY_NARROW, -year, 0) &&
		  !journey_fits(bytes, JOURNEY_NARROW, -2 * year, 0) && !journey_fits(bytes, JOURNEY_NARROW, JOURNEY_MIN_AT, 0) &&
		  !journey_fits(bytes, JOURNEY_NARROW, JOURNEY_END_AT - 1, 0) &&
		  journey_fits(bytes, JOURNEY_WIDE, JOURNEY_MIN_AT, INT32_MIN),
		  "what fits a narrow entry");
	check(journey_entry(bytes, JOURNEY_HEADER - 1) == 0, "a cut header is not loose");
}

static void
test_sort(void)
{
	static JourneyEvent events[5000];
	static JourneyEvent expected[5000];
	static JourneyEvent scratch[2500];
	int			good = 0;
	int			runs = 600;

	for (int run = 0; run < runs; run++)
	{
		size_t		count = next_bits() % (run % 10 == 0 ? 5001 : 100);
		size_t		pieces = next_bits() % 6;
		uint64_t	spread = UINT64_C(1) << next_bits() % 40;

		for (size_t i = 0; i < count; i++)
		{
			events[i].at = (int64_t) (next_bits() % spread) - 50;
			events[i].code = (int32_t) (next_bits() % 3) - 1;
		}
		/* random, in order, backwards, or runs behind each other */
		if (pieces == 1)
			qsort(events, count, sizeof(JourneyEvent), compare);
		for (size_t p = 0; pieces > 1 && p < pieces; p++)
		{
			size_t		from = count * p / pieces;

			qsort(events + from, count * (p + 1) / pieces - from, sizeof(JourneyEvent), compare);
		}
		if (pieces == 5)
			for (size_t i = 0; i < count / 2; i++)
			{
				JourneyEvent swapped = events[i];

				events[i] = events[count - 1 - i];
				events[count - 1 - i] = swapped;
			}
		memcpy(expected, events, count * sizeof(JourneyEvent));
		qsort(expected, count, sizeof(JourneyEvent), compare);
		cxm_journey_sort(events, scratch, count, count_poll);
		for (size_t i = 0; i <= count; i++)
			if (i == count || compare(&events[i], &expected[i]) != 0)
			{
				good += i == count;
				break;
			}
	}
	check(good == runs, "sorted as qsort() does");
}

/* The calendar, a day at a time, over more than two periods of 400 years around the ends and the year 0 */
static void
test_calendar(void)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int			year = -1000;
	int			month = 1;
	int			day = 1;
	/* 7 periods of 400 years before 2000, and the 200 years before them, of which every fourth but -1000 and -900 is long */
	int64_t		days = -(7 * INT64_C(146097) + 200 * 365 + 48);
	int			good = 0;
	int			tried = 0;

	for (; year < 2500; tried++)
	{
		char		expected[JOURNEY_EVENT_TEXT];
		char		text[JOURNEY_EVENT_TEXT];
		const char *p = text;
		int64_t		at;
		int32_t		code;
		int			is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

		snprintf(expected, sizeof(expected), "%s%04d-%02d-%02dT00:00:00Z 0", year < 0 ? "-" : "", year < 0 ? -year : year, month, day);
		cxm_journey_format(days * DAY, 0, text);
		good += strcmp(text, expected) == 0 && cxm_journey_parse(&p, &at, &code) == NULL && at == days * DAY;
		days++;
		if (++day > lengths[month - 1] + (month == 2 && is_leap))
		{
			day = 1;
			if (++month > 12)
			{
				month = 1;
				year++;
			}
		}
	}
	check(good == tried, "every day from 1001 BC to 2499");
}

static void
test_text(void)
{
	static const struct
	{
		const char *text;
		int64_t		at;
		int32_t		code;
		const char *again;		/* NULL: the same */
	}			good[] = {
		{"2000-01-01T00:00:00Z 1", 0, 1, NULL},
		{"2000-01-01T00:00:00.5Z -7", 500000, -7, NULL},
		{"1999-12-31T23:59:59.999999Z 2147483647", -1, 2147483647, NULL},
		{"2000-01-01T00:00:00.000001Z -2147483648", 1, INT32_MIN, NULL},
		{"-4713-11-24T00:00:00Z 0", JOURNEY_MIN_AT, 0, NULL},
		{"294276-12-31T23:59:59.999999Z 0", JOURNEY_END_AT - 1, 0, NULL},
		{"2000-01-01 02:30:00+02:30   +4", 0, 4, "2000-01-01T00:00:00Z 4"},
		{"1999-12-31t22:00:00-02 \t4", 0, 4, "2000-01-01T00:00:00Z 4"},
		{"2000-01-01 00:19:32+00:19:32 4", 0, 4, "2000-01-01T00:00:00Z 4"},
		{"+2000-01-01 05:30:00.120000000+0530 4", 120000, 4, "2000-01-01T00:00:00.12Z 4"},
		{"2000-02-29T00:00:00z 1", 59 * DAY, 1, "2000-02-29T00:00:00Z 1"},
	};
	static const char *const bad[] = {
		"", "x", "2000", "200-01-01T00:00:00Z 1", "2000-1-01T00:00:00Z 1", "2000-00-01T00:00:00Z 1", "2000-13-01T00:00:00Z 1",
		"2000-01-00T00:00:00Z 1", "2000-01-32T00:00:00Z 1", "2001-02-29T00:00:00Z 1", "1900-02-29T00:00:00Z 1",
		"2000-04-31T00:00:00Z 1", "2000-01-01", "2000-01-01T", "2000-01-01T24:00:00Z 1", "2000-01-01T00:60:00Z 1",
		"2000-01-01T00:00:60Z 1", "2000-01-01T00:00Z 1", "2000-01-01T00:00:00.Z 1", "2000-01-01T00:00:00.0000001Z 1",
		"2000-01-01T00:00:00 1", "2000-01-01T00:00:00+ 1", "2000-01-01T00:00:00+1 1", "2000-01-01T00:00:00+16 1",
		"2000-01-01T00:00:00+01:60 1", "2000-01-01T00:00:00+01: 1", "2000-01-01T00:00:00Z", "2000-01-01T00:00:00Z1",
		"2000-01-01T00:00:00Z ", "2000-01-01T00:00:00Z x", "2000-01-01T00:00:00Z 2147483648",
		"2000-01-01T00:00:00Z -2147483649", "2000-01-01T00:00:00Z 99999999999999999999", "2000-01-01T00:00:00Z --1",
		"-4713-11-23T23:59:59.999999Z 1", "294277-01-01T00:00:00Z 1", "999999-01-01T00:00:00Z 1", "-999999-01-01T00:00:00Z 1",
		"1234567-01-01T00:00:00Z 1", "-4713-11-24T00:00:00+00:00:01 1", "294276-12-31T23:59:59-00:00:01 1"
	};
	char		text[JOURNEY_EVENT_TEXT];
	int			round_trips = 0;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		const char *p = good[i].text;
		int64_t		at = 77;
		int32_t		code = 77;
		const char *why = cxm_journey_parse(&p, &at, &code);
		size_t		length = cxm_journey_format(good[i].at, good[i].code, text);

		check(why == NULL && *p == '\0' && at == good[i].at && code == good[i].code, good[i].text);
		check(strcmp(text, good[i].again == NULL ? good[i].text : good[i].again) == 0 && strlen(text) == length, text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		const char *p = bad[i];
		int64_t		at;
		int32_t		code;

		check(cxm_journey_parse(&p, &at, &code) != NULL && p >= bad[i] && p <= bad[i] + strlen(bad[i]), bad[i]);
	}
	for (int i = 0; i < 20000; i++)
	{
		int64_t		at = JOURNEY_MIN_AT + (int64_t) (next_bits() % (uint64_t) (JOURNEY_END_AT / 2 - JOURNEY_MIN_AT / 2)) * 2 +
			(int64_t) (next_bits() % 2);
		int32_t		code = (int32_t) next_bits();
		int64_t		at_back;
		int32_t		code_back;
		const char *p = text;
		size_t		length = cxm_journey_format(at, code, text);

		round_trips += length < JOURNEY_EVENT_TEXT - 8 && cxm_journey_parse(&p, &at_back, &code_back) == NULL && *p == '\0' &&
			at_back == at && code_back == code;
	}
	check(round_trips == 20000, "text goes there and back");
	/* a letter changed, one left out: an error or an event, and never beyond the end */
	round_trips = 0;
	for (int i = 0; i < 20000; i++)
	{
		char	   *changed;
		const char *p;
		size_t		length = cxm_journey_format((int64_t) (next_bits() % 1000000000) * 1000000, (int32_t) next_bits(), text);
		int64_t		at;
		int32_t		code;

		text[next_bits() % length] = (char) (next_bits() % 3 == 0 ? 0 : "0123456789TZ:-+. {},"[next_bits() % 20]);
		changed = malloc(strlen(text) + 1);
		strcpy(changed, text);
		p = changed;
		round_trips += cxm_journey_parse(&p, &at, &code) != NULL || (at >= JOURNEY_MIN_AT && at < JOURNEY_END_AT);
		free(changed);
	}
	check(round_trips == 20000, "changed text is an event or an error");
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* Events a second of one core, best of 20 */
static void
measure(const char *name, size_t count, int64_t span, int64_t unit, uint64_t codes)
{
	size_t		journeys = 2000000 / count;
	JourneyEvent *events = malloc(count * sizeof(JourneyEvent));
	int64_t    *at = malloc(count * sizeof(int64_t));
	int32_t    *code = malloc(count * sizeof(int32_t));
	uint8_t   **bytes = malloc(journeys * sizeof(uint8_t *));
	size_t	   *sizes = malloc(journeys * sizeof(size_t));
	double		best[3] = {1e9, 1e9, 1e9};
	uint64_t	total = 0;
	uint64_t	sum = 0;

	for (size_t j = 0; j < journeys; j++)
	{
		for (size_t i = 0; i < count; i++)
		{
			events[i].at = INT64_C(800000000000000) + (int64_t) (next_bits() % (uint64_t) (span / unit)) * unit;
			events[i].code = (int32_t) (next_bits() % codes);
		}
		qsort(events, count, sizeof(JourneyEvent), compare);
		split(events, count, at, code);
		bytes[j] = pack(at, code, count, &sizes[j]);
		total += sizes[j];
	}
	for (int run = 0; run < 20; run++)
	{
		double		started = seconds();
		double		done;
		JourneyView view;

		for (size_t j = 0; j < journeys; j++)
		{
			cxm_journey_open(bytes[j], sizes[j], &view);
			cxm_journey_decode(&view, 0, view.count, at, code);
			sum += (uint64_t) at[count - 1] + (uint64_t) code[count / 2];
		}
		done = seconds();
		best[0] = done - started < best[0] ? done - started : best[0];

		/* what a funnel does: the time of every twelfth event, by its code */
		started = done;
		for (size_t j = 0; j < journeys; j++)
		{
			cxm_journey_open(bytes[j], sizes[j], &view);
			for (size_t i = 0; i < view.count; i++)
				if (journey_code(&view, i) == 3)
					sum += (uint64_t) journey_at(&view, i);
		}
		done = seconds();
		best[1] = done - started < best[1] ? done - started : best[1];

		started = done;
		for (size_t j = 0; j < journeys; j++)
		{
			JourneyShape shape;

			cxm_journey_measure(count, at, code, count_poll, &shape);
			cxm_journey_write(&shape, at, code, count_poll, bytes[j]);
		}
		done = seconds();
		best[2] = done - started < best[2] ? done - started : best[2];
	}
	printf("%-34s %5.2f bytes an event, decode %5.0f, one code of %d %5.0f, pack %5.0f million events/s (%d)\n", name,
		   (double) total / (double) (journeys * count), (double) (journeys * count) / best[0] / 1e6, (int) codes,
		   (double) (journeys * count) / best[1] / 1e6, (double) (journeys * count) / best[2] / 1e6, (int) (sum & 1));
	for (size_t j = 0; j < journeys; j++)
		free(bytes[j]);
	free(events);
	free(at);
	free(code);
	free(bytes);
	free(sizes);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "bench") == 0)
	{
		measure("40 events, seconds of 90 days", 40, 90 * DAY, 1000000, 12);
		measure("40 events, microseconds of 90 days", 40, 90 * DAY, 1, 12);
		measure("1000 events, seconds of 3 years", 1000, 1095 * DAY, 1000000, 12);
		measure("1000 events, codes of 2 bytes", 1000, 90 * DAY, 1000, 5000);
		return 0;
	}
	test_packing();
	test_extending();
	test_hostile_bytes();
	test_refusals();
	test_loose();
	test_sort();
	test_calendar();
	test_text();
	check(polls > 0, "long loops poll");
	return report();
}
