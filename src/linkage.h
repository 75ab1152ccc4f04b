/*
 * src/linkage.h
 *		What the files of record linkage share: the settings, and the records that are read under them.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_LINKAGE_H
#define CXM_LINKAGE_H

#include "linkage_core.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* the name that PostgreSQL has for it changed in 18 */
#if defined(__GNUC__)
#define CXM_NORETURN	__attribute__((noreturn))
#else
#define CXM_NORETURN
#endif

/* a rule is believed to find this share of the matches unless the settings say otherwise */
#define CXM_DEFAULT_RECALL	0.8

typedef struct RuleSet
{
	int			n;
	CxmRule		rules[CXM_MAX_RULES];
} RuleSet;

/* the settings, and the records once they are read */
typedef struct Linkage
{
	CxmLinkage	core;
	MemoryContext context;

	bool		link_only;
	char	   *id_column;
	char	   *source_column;
	char	   *columns[CXM_MAX_COLUMNS];	/* names, by number in core */
	int			first[CXM_MAX_COLUMNS]; /* only so many characters of it; 0: all */
	char	   *names[CXM_MAX_COMPARISONS];
	RuleSet		blocking;
	RuleSet		training;
	RuleSet		deterministic;
	double		recall;
	double		sample;
	double		max_pairs;
	double		lambda;			/* 0: not given */
	double		lambda_related;
	bool		correct_u;
	List	   *ignored;		/* names of columns that are not to be compared */
	bool		id_given;
	bool		clean;			/* bring texts into one form */
	bool		all_columns;	/* take every column of the query that can be compared */
	double		share;			/* read this share of the records; 0: all of them */
	bool		has_m;			/* every level has m and u: a model */
	bool		has_r;			/* and r */

	/* of the query */
	int			id_attribute;
	int			source_attribute;
	int			attributes[CXM_MAX_COLUMNS];
	Oid			types[CXM_MAX_COLUMNS];		/* base types */
	Oid			element_types[CXM_MAX_COLUMNS]; /* of sets, or 0 */

	/* of the records, in their order */
	char	  **ids;
	uint8	   *sides;			/* 0: left, 1: right */
	char	   *sources[2];
} Linkage;

/* how a kind of level is written in the settings and in explanations */
typedef struct CxmLevelName
{
	const char *name;
	CxmLevelKind kind;
	double		lowest;			/* limits that it may have */
	double		highest;
	const char *relation;		/* stands before the limit */
} CxmLevelName;

extern const CxmLevelName cxm_level_kinds[];

extern Linkage *cxm_read_settings(Jsonb *settings, bool partial);
extern Linkage *cxm_read_model(Jsonb *model);
extern Linkage *cxm_new_linkage(void);
extern void cxm_read_basics(Linkage *l, Jsonb *settings, bool clean);
extern int	cxm_column_number(Linkage *l, char *name, int first);
extern void cxm_read_records(Linkage *l, const char *query);
extern Jsonb *cxm_suggest_settings(const char *query, Jsonb *settings);
extern bool cxm_lacks_settings(Jsonb *settings);
extern bool cxm_is_number(Oid type);
extern bool cxm_is_time(Oid type);
extern void cxm_settings_error(const char *message, const char *detail) CXM_NORETURN;
extern void *cxm_resize_space(void *arena, void *space, size_t size);

#endif							/* CXM_LINKAGE_H */
