/*
 * src/period.c
 *		Calendar periods in a time zone.
 *
 * The period of a time is that of its local time, date_trunc(period, at AT TIME ZONE zone), and PostgreSQL's own time
 * zone code says what local time is. A table of the stretches between changes of the clock spares asking it for every
 * event.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "cxm.h"
#include "miscadmin.h"
#include "period.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* seconds between the epochs of PostgreSQL and of time zones */
#define EPOCH_SECONDS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

/* most pieces that a table has, 4 MB: hours of 30 years, days of 700; times beyond it are asked for one by one */
#define MAX_PIECES ((size_t) 1 << 18)

/* how far the numbers of hours go, so that every difference of two numbers is an integer */
#define MAX_NUMBER 2000000000

PG_FUNCTION_INFO_V1(cxm_period_number);
PG_FUNCTION_INFO_V1(cxm_period_start);

static const struct
{
	const char *name;
	CxmPeriodUnit unit;
	int64_t		shortest;		/* microseconds */
}			units[] =
{
	{"hour", CXM_PERIOD_HOUR, USECS_PER_HOUR},
	{"day", CXM_PERIOD_DAY, USECS_PER_DAY},
	{"week", CXM_PERIOD_WEEK, 7 * USECS_PER_DAY},
	{"month", CXM_PERIOD_MONTH, 28 * USECS_PER_DAY},
	{"quarter", CXM_PERIOD_QUARTER, 90 * USECS_PER_DAY},
	{"year", CXM_PERIOD_YEAR, 365 * USECS_PER_DAY}
};

/* What is meant by names of arguments; NULL is no name of a period */
CxmPeriodKind
cxm_period_kind(const char *period, int week_start)
{
	if (week_start < 1 || week_start > 7)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("week start %d is not a day of the week", week_start),
				 errhint("Give 1 for Monday to 7 for Sunday.")));
	for (size_t i = 0; period && i < lengthof(units); i++)
		if (strcmp(period, units[i].name) == 0)
			return (CxmPeriodKind){units[i].unit, week_start};
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 period ? errmsg("period must be hour, day, week, month, quarter or year, not \"%s\"", period)
			 : errmsg("period must not be NULL"),
			 errhint("Periods of another length are those that are counted from the customer's own start: argument \"rolling\".")));
	pg_unreachable();
}

/*
 * Whether AT TIME ZONE takes the name of a zone for an abbreviation, as it does CET, EET, MET and WET: then its clocks
 * never change, and periods would not be those of their dates.
 */
static bool
is_abbreviation(const char *name, const pg_tz *zone)
{
	long int	offset;
	int			seconds;
	pg_tz	   *dynamic;
	int			type;
	bool		is_fixed;

#if PG_VERSION_NUM >= 160000
	type = DecodeTimezoneName(name, &seconds, &dynamic);
	is_fixed = type == TZNAME_FIXED_OFFSET;
#else
	char	   *lower = downcase_truncate_identifier(name, (int) strlen(name), false);

	type = DecodeTimezoneAbbrev(0, lower, &seconds, &dynamic);
	is_fixed = type == TZ || type == DTZ;
#endif

	/* UTC and the like are the same either way */
	return is_fixed && !pg_get_timezone_offset(zone, &offset);
}

pg_tz *
cxm_period_zone(const char *name)
{
	static pg_tz *accepted = NULL;
	pg_tz	   *zone = name && strlen(name) <= TZ_STRLEN_MAX ? pg_tzset(name) : NULL;

	/* zones live as long as the session, one for each name; most calls are for each of many records */
	if (zone && zone == accepted)
		return zone;

	if (zone == NULL || !pg_tz_acceptable(zone))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 name ? errmsg("time zone \"%s\" is not known", name) : errmsg("time zone must not be NULL"),
				 errhint("Give a name out of pg_timezone_names, such as Europe/Berlin.")));
	if (is_abbreviation(name, zone))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" is the name of two", name),
				 errdetail("It is a zone in which clocks change, and an abbreviation for an offset that stays the same."),
				 errhint("Give the name of a place, such as Europe/Berlin.")));
	accepted = zone;
	return zone;
}

/* whole seconds of a time, as time zones count them */
static pg_time_t
zone_seconds(int64_t at)
{
	return (pg_time_t) (at / USECS_PER_SEC - (at % USECS_PER_SEC < 0) + EPOCH_SECONDS);
}

/* local time less UTC */
static int64_t
offset_at(pg_tz *zone, int64_t at)
{
	pg_time_t	seconds = zone_seconds(at);
	struct pg_tm *local = pg_localtime(&seconds, zone);

	if (local == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return (int64_t) local->tm_gmtoff * USECS_PER_SEC;
}

static int64_t
number_of(CxmPeriodKind kind, pg_tz *zone, int64_t at)
{
	int64_t		number = cxm_period_of_local(kind, at + offset_at(zone, at));

	if (number > MAX_NUMBER)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range for periods of an hour"),
				 errhint("Use a longer period.")));
	return number;
}

/* what a table does not cover */
static int64_t
number_elsewhere(void *arg, int64_t at)
{
	CxmZonePeriods *periods = arg;

	return number_of(periods->table.kind, periods->zone, at);
}

/* False when the table has too little room */
static bool
fill_table(CxmPeriodTable *table, pg_tz *zone, int64_t from, int64_t to)
{
	table->npieces = 0;
	while (from < to)
	{
		pg_time_t	seconds = zone_seconds(from);
		pg_time_t	boundary;
		long		offset;
		long		offset_after;
		int			isdst;
		int64_t		until = to;

		switch (pg_next_dst_boundary(&seconds, &offset, &isdst, &boundary, &offset_after, &isdst, zone))
		{
			case 1:
				/* compared in seconds: a boundary may lie beyond the end of time */
				if (boundary <= zone_seconds(to))
					until = Min((int64_t) (boundary - EPOCH_SECONDS) * USECS_PER_SEC, to);
				break;
			case 0:
				break;
			default:
				elog(ERROR, "time zone \"%s\" does not tell its changes", pg_get_timezone_name(zone));
		}
		if (!cxm_period_table_add(table, from, until, (int64_t) offset * USECS_PER_SEC))
			return false;
		from = until;
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}

/* Periods of which nothing is known yet; a table of the same periods is kept */
void
cxm_zone_periods_set(CxmZonePeriods *periods, CxmPeriodKind kind, pg_tz *zone)
{
	CxmPeriodTable *table = &periods->table;

	/* zones live as long as the session */
	if (periods->zone == zone && table->kind.unit == kind.unit && table->kind.week_start == kind.week_start)
		return;
	periods->zone = zone;
	table->kind = kind;
	table->npieces = 0;
	periods->clock = (CxmPeriodClock){table, number_elsewhere, periods};
}

/*
 * See to it that the table covers these times, both included, unless it would become too large. With every extension
 * it grows by half at least, so that customers who come in order of time do not each cause one.
 */
void
cxm_zone_periods_cover(CxmZonePeriods *periods, int64_t first, int64_t last)
{
	CxmPeriodTable *table = &periods->table;
	int64_t		from = first;
	int64_t		to = last + 1;
	int64_t		margin;
	uint64_t	pieces;

	if (cxm_period_table_covers(table, first) && cxm_period_table_covers(table, last))
		return;
	if (table->npieces > 0)
	{
		from = Min(from, table->start[0]);
		to = Max(to, table->start[table->npieces]);
	}
	margin = (int64_t) (((uint64_t) to - (uint64_t) from) / 4);
	margin = Min(margin, INT64_C(400) * 365 * USECS_PER_DAY) + 32 * USECS_PER_DAY;
	from = from < MIN_TIMESTAMP + margin ? MIN_TIMESTAMP : from - margin;
	to = to > END_TIMESTAMP - margin ? END_TIMESTAMP : to + margin;

	pieces = ((uint64_t) to - (uint64_t) from) / (uint64_t) units[table->kind.unit].shortest + 64;
	if (pieces > MAX_PIECES)
		return;
	/* two changes of the clock a year, each of which may cut off a piece */
	pieces += pieces / 16;
	for (;;)
	{
		if (table->capacity < pieces)
		{
			MemoryContext caller = MemoryContextSwitchTo(periods->context);

			table->npieces = 0;
			table->capacity = 0;
			if (table->start)
				pfree(table->start);
			table->start = NULL;
			/* one allocation: the starts, one more than there are pieces, and the numbers */
			table->start = palloc((2 * pieces + 1) * sizeof(int64_t));
			table->number = table->start + pieces + 1;
			table->capacity = pieces;
			MemoryContextSwitchTo(caller);
		}
		if (fill_table(table, periods->zone, from, to))
			break;
		pieces = 2 * table->capacity;
	}
	if (table->kind.unit == CXM_PERIOD_HOUR && table->number[table->npieces - 1] > MAX_NUMBER)
		table->npieces = 0;		/* let number_of() report those that are too late */
}

static char *
text_arg(FunctionCallInfo fcinfo, int argno)
{
	return text_to_cstring(PG_GETARG_TEXT_PP(argno));
}

/* cxm.period_number(at, period, time_zone, week_start) */
Datum
cxm_period_number(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	CxmPeriodKind kind = cxm_period_kind(text_arg(fcinfo, 1), PG_GETARG_INT32(3));
	pg_tz	   *zone = cxm_period_zone(text_arg(fcinfo, 2));

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("%s lies in no period", TIMESTAMP_IS_NOBEGIN(at) ? "-infinity" : "infinity")));
	PG_RETURN_INT32((int32) number_of(kind, zone, at));
}

/* cxm.period_start(number, period, time_zone, week_start) */
Datum
cxm_period_start(PG_FUNCTION_ARGS)
{
	int32		number = PG_GETARG_INT32(0);
	CxmPeriodKind kind = cxm_period_kind(text_arg(fcinfo, 1), PG_GETARG_INT32(3));
	pg_tz	   *zone = cxm_period_zone(text_arg(fcinfo, 2));
	int64_t		start[257];
	int64_t		numbers[256];
	CxmPeriodTable table = {kind, 0, lengthof(numbers), start, numbers, 0};
	int64_t		local;

	if (number > cxm_period_of_local(kind, MIN_TIMESTAMP)
		&& number <= cxm_period_of_local(kind, END_TIMESTAMP - 1 + USECS_PER_DAY))
	{
		/* local time is less than a day off, and changes by no more than a day */
		local = cxm_period_local_start(kind, number);
		if (!fill_table(&table, zone, Max(local - 2 * USECS_PER_DAY, MIN_TIMESTAMP),
						Min(local + 2 * USECS_PER_DAY, END_TIMESTAMP)))
			elog(ERROR, "time zone \"%s\" changes too often", pg_get_timezone_name(zone));
		for (size_t i = 0; i < table.npieces; i++)
			if (numbers[i] >= number)
				PG_RETURN_TIMESTAMPTZ(start[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 errmsg("%s %d lies outside the range of timestamps", text_arg(fcinfo, 1), number),
			 errdetail("Numbers count from the %s that 2000-01-01 lies in.", text_arg(fcinfo, 1))));
	pg_unreachable();
}
