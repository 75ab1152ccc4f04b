/*
 * src/period_core.h
 *		Calendar periods: hours, days, weeks, months, quarters and years by local time.
 *
 * A period has a number: how many periods lie between it and the one that 2000-01-01 00:00 falls into, so that
 * numbers of consecutive periods are consecutive. Times are microseconds since 2000-01-01 00:00, local or UTC.
 *
 * The period of an event is that of its local time. A period table answers that without asking for the local
 * time of each event: it cuts a stretch of UTC into pieces, each inside one period. As a rule a period is one
 * piece. Where clocks were set back across midnight, one period has two pieces with one of the next between
 * them, and where a day was left out of the calendar, its period has none.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_PERIOD_CORE_H
#define CXM_PERIOD_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum CxmPeriodUnit
{
	CXM_PERIOD_HOUR,
	CXM_PERIOD_DAY,
	CXM_PERIOD_WEEK,
	CXM_PERIOD_MONTH,
	CXM_PERIOD_QUARTER,
	CXM_PERIOD_YEAR
} CxmPeriodUnit;

typedef struct CxmPeriodKind
{
	CxmPeriodUnit unit;
	int			week_start;		/* 1 = Monday ... 7 = Sunday */
} CxmPeriodKind;

typedef struct CxmPeriodTable
{
	CxmPeriodKind kind;
	size_t		npieces;
	size_t		capacity;		/* pieces that number[] has room for; start[] has room for one more */
	int64_t    *start;			/* ascending; start[npieces] is where the last piece ends */
	int64_t    *number;
	double		pieces_per_microsecond; /* on average, for a first guess */
} CxmPeriodTable;

/* Tells the period of any time: from a table, and for times that it does not cover, from elsewhere */
typedef struct CxmPeriodClock
{
	const CxmPeriodTable *table;
	int64_t		(*elsewhere) (void *arg, int64_t at);
	void	   *arg;
} CxmPeriodClock;

/* What a clock told last, for times that come in order */
typedef struct CxmPeriodNow
{
	int64_t		from;
	int64_t		to;				/* from = to when nothing is known yet */
	int64_t		number;
} CxmPeriodNow;

extern int64_t cxm_period_of_local(CxmPeriodKind kind, int64_t local);
extern int64_t cxm_period_local_start(CxmPeriodKind kind, int64_t number);
extern bool cxm_period_table_add(CxmPeriodTable *table, int64_t from, int64_t to, int64_t offset);

/* does the table know this time? */
static inline bool
cxm_period_table_covers(const CxmPeriodTable *table, int64_t at)
{
	return table->npieces > 0 && at >= table->start[0] && at < table->start[table->npieces];
}

/* the piece that a time lies in, which the table must cover */
static inline size_t
cxm_period_piece(const CxmPeriodTable *table, int64_t at)
{
	size_t		i = (size_t) ((double) (at - table->start[0]) * table->pieces_per_microsecond);

	/* periods differ in length, but little: the guess is next to the piece, if not right */
	if (i >= table->npieces)
		i = table->npieces - 1;
	while (table->start[i] > at)
		i--;
	while (table->start[i + 1] <= at)
		i++;
	return i;
}

/* the number of the period that a time lies in */
static inline int64_t
cxm_period_at(const CxmPeriodClock *clock, CxmPeriodNow *now, int64_t at)
{
	if (at < now->from || at >= now->to)
	{
		if (cxm_period_table_covers(clock->table, at))
		{
			size_t		i = cxm_period_piece(clock->table, at);

			now->from = clock->table->start[i];
			now->to = clock->table->start[i + 1];
			now->number = clock->table->number[i];
		}
		else
		{
			now->from = at;
			now->to = at + 1;
			now->number = clock->elsewhere(clock->arg, at);
		}
	}
	return now->number;
}

#endif							/* CXM_PERIOD_CORE_H */
