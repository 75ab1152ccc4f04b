/*
 * src/period_core.c
 *		Calendar periods: hours, days, weeks, months, quarters and years by local time.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "period_core.h"

#define HOUR INT64_C(3600000000)
#define DAY (24 * HOUR)

/* the Gregorian calendar repeats itself after 400 years */
#define DAYS_OF_400_YEARS INT64_C(146097)

/* 2000-03-01, in days since 2000-01-01 */
#define MARCH_2000 60

/* quotient rounded down, also of negative numbers */
static int64_t
floor_divide(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* months since January 2000, from days since 2000-01-01 */
static int64_t
month_of_day(int64_t day)
{
	/*
	 * Count years from a first of March, so that the leap day is the last day of a year: then the lengths of the
	 * months repeat as 31 30 31 30 31, and the number of the month follows from that of the day by a division.
	 */
	int64_t		cycle = floor_divide(day - MARCH_2000, DAYS_OF_400_YEARS);
	int64_t		d = day - MARCH_2000 - cycle * DAYS_OF_400_YEARS;	/* 0..146096 */
	int64_t		year = (d - d / 1460 + d / 36524 - d / 146096) / 365;	/* 0..399 */
	int64_t		month = (5 * (d - (365 * year + year / 4 - year / 100)) + 2) / 153; /* 0 = March ... 11 = February */

	return (cycle * 400 + year) * 12 + month + 2;
}

/* days since 2000-01-01, of the first day of a month */
static int64_t
day_of_month(int64_t month)
{
	int64_t		cycle = floor_divide(month - 2, 4800);
	int64_t		m = month - 2 - cycle * 4800;	/* 0..4799 */
	int64_t		year = m / 12;

	return MARCH_2000 + cycle * DAYS_OF_400_YEARS + 365 * year + year / 4 - year / 100 + (153 * (m % 12) + 2) / 5;
}

/* the day on which the week of 2000-01-01, a Saturday, begins */
static int64_t
first_week(int week_start)
{
	return -((6 - week_start + 7) % 7);
}

/* The number of the period that a local time lies in */
int64_t
cxm_period_of_local(CxmPeriodKind kind, int64_t local)
{
	int64_t		day;

	if (kind.unit == CXM_PERIOD_HOUR)
		return floor_divide(local, HOUR);
	day = floor_divide(local, DAY);
	switch (kind.unit)
	{
		case CXM_PERIOD_WEEK:
			return floor_divide(day - first_week(kind.week_start), 7);
		case CXM_PERIOD_MONTH:
			return month_of_day(day);
		case CXM_PERIOD_QUARTER:
			return floor_divide(month_of_day(day), 3);
		case CXM_PERIOD_YEAR:
			return floor_divide(month_of_day(day), 12);
		default:
			return day;
	}
}

/* A day in microseconds, or the end of time: where the last timestamps are January, February is beyond 64 bits */
static int64_t
start_of_day(int64_t day)
{
	return day > INT64_MAX / DAY ? INT64_MAX : day * DAY;
}

/* The local time at which a period begins */
int64_t
cxm_period_local_start(CxmPeriodKind kind, int64_t number)
{
	switch (kind.unit)
	{
		case CXM_PERIOD_HOUR:
			return number * HOUR;
		case CXM_PERIOD_WEEK:
			return (first_week(kind.week_start) + number * 7) * DAY;
		case CXM_PERIOD_MONTH:
			return start_of_day(day_of_month(number));
		case CXM_PERIOD_QUARTER:
			return start_of_day(day_of_month(number * 3));
		case CXM_PERIOD_YEAR:
			return start_of_day(day_of_month(number * 12));
		default:
			return number * DAY;
	}
}

/*
 * Append a stretch of UTC, [from, to), in which local time is UTC + offset. Stretches come in order, each where
 * the last one ended. False when the table is full, which leaves it with part of the stretch.
 */
bool
cxm_period_table_add(CxmPeriodTable *table, int64_t from, int64_t to, int64_t offset)
{
	while (from < to)
	{
		int64_t		number = cxm_period_of_local(table->kind, from + offset);
		int64_t		next = cxm_period_local_start(table->kind, number + 1) - offset;

		if (next > to)
			next = to;
		/* a stretch that begins in the middle of a period carries on with its piece */
		if (table->npieces == 0 || table->number[table->npieces - 1] != number)
		{
			if (table->npieces == table->capacity)
				return false;
			table->start[table->npieces] = from;
			table->number[table->npieces++] = number;
		}
		table->start[table->npieces] = next;
		from = next;
	}
	if (table->npieces > 0)
		table->pieces_per_microsecond = (double) table->npieces /
			(double) (table->start[table->npieces] - table->start[0]);
	return true;
}
