/*
 * src/alert.h
 *		What the files that evaluate alert rules share.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_ALERT_H
#define CXM_ALERT_H

#include "cxm.h"
#include "alert_core.h"
#include "utils/timestamp.h"

/* what a throttle is for */
typedef enum CxmThrottle
{
	CXM_THROTTLE_NONE,
	CXM_THROTTLE_CUSTOMER,
	CXM_THROTTLE_TOUCHPOINT,
	CXM_THROTTLE_LOCATION,
	CXM_THROTTLE_PRODUCT,
	CXM_THROTTLE_RULE
} CxmThrottle;

/* a rule of cx.alert_rule, ready to be held against answers */
typedef struct CxmAlertRule
{
	int32		rule_id;
	int32		version;
	CxmAlertCondition condition;
	text	   *name;
	text	   *severity;
	text	   *channel;		/* or NULL */
	text	   *owner;			/* or NULL */
	bool		follow_up;
	bool		is_guarded;		/* something else decides whether, when or to whom it is raised */
	bool		asks_customer;	/* so that it is guarded */
	CxmThrottle throttle_by;	/* likewise */
	int64		throttle;		/* microseconds */
	int32		storm_cap;		/* likewise; 0: none */
	int64		storm_window;	/* microseconds */
	char	   *search;			/* or NULL */
	char	   *search_config;
	Oid			config;			/* of search, once it was looked up */
	Datum		query;			/* 0 until then */
} CxmAlertRule;

/* places of rules, ascending by rule_id */
typedef struct CxmAlertList
{
	uint32	   *rules;
	uint32		n;
} CxmAlertList;

typedef struct CxmAlertRules
{
	MemoryContext context;
	CxmAlertRule *rules;		/* ascending by rule_id */
	uint32		n;
	text	  **metrics;		/* those that rules ask for */
	int32		nmetrics;
	CxmAlertList *by_metric;	/* the rules that an answer to a metric may meet; the last is for all others */
} CxmAlertRules;

extern const CxmAlertRules *cxm_alert_rules(bool use_subtransaction, ErrorData **error);
extern const CxmAlertRules *cxm_alert_rules_of(Datum rule, MemoryContext parent);
extern const CxmAlertList *cxm_alert_rules_for(const CxmAlertRules *rules, const text *metric, int32 *found);
extern bool cxm_alert_reads(const CxmAlertRules *rules, const CxmAlertRule *rule, text *comment);

#endif							/* CXM_ALERT_H */
