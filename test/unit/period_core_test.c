/*
 * test/unit/period_core_test.c
 *		Periods against a calendar that is walked day by day; tables against asking for each time.
 *
 * cc -Isrc test/unit/period_core_test.c src/period_core.c && ./a.out
 */
#include "period_core.h"
#include "check.h"

#include <stdlib.h>

#define HOUR INT64_C(3600000000)
#define DAY (24 * HOUR)

static int
leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
length_of_month(int64_t year, int month)
{
	static const int length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return length[month] + (month == 1 && leap(year));
}

/* from -3000-01-01 to 6000, forth and back by the lengths of months alone */
static void
test_calendar(void)
{
	static const CxmPeriodUnit units[] = {CXM_PERIOD_DAY, CXM_PERIOD_MONTH, CXM_PERIOD_QUARTER, CXM_PERIOD_YEAR};
	int64_t		day = 0;
	int			wrong = 0;

	for (int direction = 1; direction >= -1; direction -= 2)
	{
		int64_t		year = direction > 0 ? 2000 : 1999;

		day = 0;
		for (; direction > 0 ? year < 6000 : year > -3000; year += direction)
			for (int i = 0; i < 12; i++)
			{
				int			month = direction > 0 ? i : 11 - i;
				int64_t		numbers[4];
				int64_t		first;

				first = direction > 0 ? day : day - length_of_month(year, month);
				numbers[1] = (year - 2000) * 12 + month;
				numbers[2] = (year - 2000) * 4 + month / 3;
				numbers[3] = year - 2000;
				for (int u = 1; u < 4; u++)
				{
					CxmPeriodKind kind = {units[u], 1};

					wrong += cxm_period_of_local(kind, first * DAY) != numbers[u];
					wrong += cxm_period_of_local(kind, (first + length_of_month(year, month)) * DAY - 1) != numbers[u];
					wrong += cxm_period_of_local(kind, cxm_period_local_start(kind, numbers[u])) != numbers[u];
					wrong += cxm_period_of_local(kind, cxm_period_local_start(kind, numbers[u]) - 1) != numbers[u] - 1;
				}
				day = direction > 0 ? day + length_of_month(year, month) : first;
			}
	}
	check(wrong == 0, "months, quarters and years are those of the calendar");
}

static void
test_weeks(void)
{
	int			wrong = 0;

	for (int start = 1; start <= 7; start++)
		for (int64_t day = -5000; day < 5000; day++)
		{
			CxmPeriodKind kind = {CXM_PERIOD_WEEK, start};
			int64_t		number = cxm_period_of_local(kind, day * DAY);
			/* 2000-01-01 was a Saturday */
			int			weekday = (int) (((day + 5) % 7 + 7) % 7) + 1;

			wrong += (cxm_period_of_local(kind, day * DAY - 1) != number) != (weekday == start);
			wrong += cxm_period_of_local(kind, (day + 7) * DAY - 1) != cxm_period_of_local(kind, day * DAY - 1) + 1;
			wrong += cxm_period_local_start(kind, number) > day * DAY || cxm_period_local_start(kind, number + 1) <= day * DAY;
		}
	check(wrong == 0, "weeks begin on the day that they begin on");
	check(cxm_period_of_local((CxmPeriodKind){CXM_PERIOD_WEEK, 6}, 0) == 0 &&
			  cxm_period_of_local((CxmPeriodKind){CXM_PERIOD_WEEK, 7}, 0) == 0 &&
			  cxm_period_of_local((CxmPeriodKind){CXM_PERIOD_WEEK, 1}, 0) == 0,
		  "2000-01-01 lies in week 0");
}

static int64_t
next_number(int64_t bound)
{
	return (int64_t) (next_step() >> 20) % bound;
}

/* zones made up at random: clocks set by up to a day and a half, every few hours to months */
static void
test_tables(void)
{
	enum
	{
		CAPACITY = 100000,
		STRETCHES = 40
	};
	static int64_t start[CAPACITY + 1];
	static int64_t number[CAPACITY];
	int64_t		from[STRETCHES + 1];
	int64_t		offset[STRETCHES];
	int			wrong = 0;
	int			unordered = 0;

	for (int run = 0; run < 600; run++)
	{
		CxmPeriodTable table = {{(CxmPeriodUnit) (run % 6), 1 + run % 7}, 0, CAPACITY, start, number, 0};
		int			nstretches = 1 + (int) next_number(STRETCHES);
		int64_t		longest = run % 2 ? 3 * DAY : 90 * DAY;

		from[0] = next_number(2000000) * HOUR - next_number(1000000) * HOUR + next_number(HOUR);
		for (int i = 0; i < nstretches; i++)
		{
			offset[i] = (next_number(73) - 36) * (run % 3 ? HOUR / 2 : HOUR);
			from[i + 1] = from[i] + 1 + next_number(longest);
			if (!cxm_period_table_add(&table, from[i], from[i + 1], offset[i]))
				wrong++;
		}
		wrong += start[0] != from[0] || start[table.npieces] != from[nstretches];
		for (size_t i = 0; i < table.npieces; i++)
		{
			wrong += start[i] >= start[i + 1] || (i > 0 && number[i] == number[i - 1]);
			unordered += i > 0 && number[i] < number[i - 1];
		}
		for (int i = 0; i < nstretches; i++)
			for (int j = 0; j < 50; j++)
			{
				int64_t		at = j == 0 ? from[i] : j == 1 ? from[i + 1] - 1
												   : from[i] + next_number(from[i + 1] - from[i]);

				wrong += !cxm_period_table_covers(&table, at) ||
					number[cxm_period_piece(&table, at)] != cxm_period_of_local(table.kind, at + offset[i]);
			}
		/* each end of a piece */
		for (size_t i = 0; i < table.npieces; i++)
			wrong += cxm_period_piece(&table, start[i]) != i || cxm_period_piece(&table, start[i + 1] - 1) != i;
		wrong += cxm_period_table_covers(&table, from[0] - 1) || cxm_period_table_covers(&table, from[nstretches]);
	}
	check(wrong == 0, "a table gives the period of the local time");
	check(unordered > 100, "some clocks were set back across a boundary");

	{
		CxmPeriodTable table = {{CXM_PERIOD_DAY, 1}, 0, 3, start, number, 0};

		check(cxm_period_table_add(&table, 0, 3 * DAY, 0) && table.npieces == 3, "three days fit into three pieces");
		check(!cxm_period_table_add(&table, 3 * DAY, 4 * DAY, 0) && table.npieces == 3, "a fourth does not");
		check(cxm_period_piece(&table, 3 * DAY - 1) == 2, "a full table still answers");
	}
}

int
main(void)
{
	test_calendar();
	test_weeks();
	test_tables();
	return report();
}
