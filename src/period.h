/*
 * src/period.h
 *		Calendar periods in a time zone, for functions that read many times.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_PERIOD_H
#define CXM_PERIOD_H

#include "cxm.h"
#include "period_core.h"
#include "pgtime.h"

/* the periods of one kind in one zone, and a table of those that were asked for */
typedef struct CxmZonePeriods
{
	MemoryContext context;
	pg_tz	   *zone;
	CxmPeriodTable table;
	CxmPeriodClock clock;
} CxmZonePeriods;

extern CxmPeriodKind cxm_period_kind(const char *period, int week_start);
extern pg_tz *cxm_period_zone(const char *name);
extern void cxm_zone_periods_set(CxmZonePeriods *periods, CxmPeriodKind kind, pg_tz *zone);
extern void cxm_zone_periods_cover(CxmZonePeriods *periods, int64_t first, int64_t last);

#endif							/* CXM_PERIOD_H */
