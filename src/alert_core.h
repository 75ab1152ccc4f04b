/*
 * src/alert_core.h
 *		What an alert rule asks of an answer alone, and whether the answer meets it.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_ALERT_CORE_H
#define CXM_ALERT_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* of a metric: any, in a rule; none that a rule asks for, in an answer */
#define CXM_ANY_METRIC (-1)

/* numbers in ascending order; NULL: any will do */
typedef struct CxmAlertIds
{
	const int32_t *ids;
	size_t		n;
} CxmAlertIds;

/* a number that an answer may lack */
typedef struct CxmAlertId
{
	int32_t		id;
	bool		is_known;
} CxmAlertId;

typedef struct CxmAlertCondition
{
	int32_t		metric;
	bool		asks_score;
	int32_t		score_min;
	int32_t		score_max;
	CxmAlertIds touchpoints;
	CxmAlertIds locations;
	CxmAlertIds products;
	int64_t		valid_from;		/* microseconds, inclusive */
	int64_t		valid_to;		/* exclusive */
} CxmAlertCondition;

typedef struct CxmAlertAnswer
{
	int32_t		metric;
	CxmAlertId	score;
	CxmAlertId	touchpoint;
	CxmAlertId	location;
	CxmAlertId	product;
	int64_t		received_at;
} CxmAlertAnswer;

extern bool cxm_alert_holds(const CxmAlertCondition *condition, const CxmAlertAnswer *answer);

#endif							/* CXM_ALERT_CORE_H */
