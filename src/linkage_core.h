/*
 * src/linkage_core.h
 *		Record linkage after Fellegi and Sunter: compare pairs of records, learn what agreement is worth, add it up.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_LINKAGE_CORE_H
#define CXM_LINKAGE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "similarity_core.h"

/* a comparison vector is packed into 64 bits, 4 a comparison: 0 is "a value is missing", the levels count from 1 */
#define CXM_MAX_COMPARISONS 16
#define CXM_MAX_LEVELS		15
#define CXM_LEVEL_CODES		16

/* columns that records have, and columns of one blocking rule */
#define CXM_MAX_COLUMNS		32
#define CXM_MAX_RULE_COLUMNS 8
#define CXM_MAX_RULES		32

/* how pairs of values may agree */
typedef enum CxmLevelKind
{
	CXM_EXACT,
	CXM_JARO_WINKLER,			/* similarity at least limit */
	CXM_LEVENSHTEIN,			/* distance at most limit */
	CXM_DAMERAU,				/* distance at most limit */
	CXM_JACCARD,				/* similarity of 2-grams, or of sets, at least limit */
	CXM_INTERSECT,				/* sets have at least limit elements in common */
	CXM_DIFFERENCE,				/* numbers, or days, differ by at most limit */
	CXM_RELATIVE,				/* numbers differ by at most limit times the greater one */
	CXM_ELSE					/* the last level of each comparison */
} CxmLevelKind;

typedef struct CxmLevel
{
	CxmLevelKind kind;
	double		limit;
	double		m;				/* share of pairs at this level among matches */
	double		u;				/* and among the others */
	double		r;				/* and among pairs of related people */
} CxmLevel;

typedef struct CxmComparison
{
	int			column;
	int			nlevels;		/* with the last one, CXM_ELSE */
	CxmLevel	levels[CXM_MAX_LEVELS];
	double		tf_weight;		/* how much the frequency of the value counts at the exact level; 0: not at all */
	bool		trained;		/* is m from the data? */
	bool		personal;		/* of a pair of related people it says no more than of strangers */

	/* derived by cxm_linkage_prepare() */
	int			exact;			/* code of the exact level, or 0 */
	bool		reflexive;		/* equal values are at the first level */
	double		least_jaro_winkler;
	int			most_levenshtein;
	int			most_damerau;
} CxmComparison;

/* the form of a value */
typedef enum CxmForm
{
	CXM_NEAR,					/* up to CXM_NEAR_TEXT characters, one byte each */
	CXM_FAR,					/* up to CXM_SHORT_STRING of them */
	CXM_WIDE,					/* any text */
	CXM_SET						/* ascending numbers of elements */
} CxmForm;

#define CXM_NEAR_TEXT	32

/* a distinct value of a column, one cache line */
typedef struct CxmValue
{
	uint64_t	letters;		/* bits of the characters in it */
	double		number;			/* days or number, where the column has them */
	uint32_t	count;			/* records that have it */
	uint32_t	length;			/* characters or elements */
	CxmForm		form;
	union
	{
		uint8_t		near[CXM_NEAR_TEXT];
		const uint8_t *far;
		const uint32_t *wide;	/* also of CXM_SET */
	}			data;
} CxmValue;

/* a table that gives distinct strings of bytes numbers from 1 on */
typedef struct CxmDictionary
{
	uint32_t   *slots;
	size_t		nslots;
	const char **keys;			/* by number */
	uint32_t   *lengths;
	size_t		room;
	uint32_t	n;
} CxmDictionary;

typedef struct CxmColumn
{
	CxmDictionary dictionary;
	CxmDictionary elements;		/* of sets */
	CxmValue   *values;			/* by number; number 0 is the missing value */
	size_t		room;
	uint32_t	nalphabet;		/* characters of several bytes that have got a byte, from 128 on */
	uint32_t	alphabet[128];
	uint64_t	present;		/* records that have a value */
} CxmColumn;

typedef struct CxmRule
{
	int			ncolumns;
	int			columns[CXM_MAX_RULE_COLUMNS];
} CxmRule;

typedef struct CxmLinkage
{
	/* memory and interrupts, as in CxmSimilarity; arena is handed to allocate */
	void	   *(*resize) (void *arena, void *space, size_t size);
	void	   *arena;
	void		(*poll) (void);
	CxmSimilarity similarity;

	int			ncolumns;
	CxmColumn	columns[CXM_MAX_COLUMNS];

	/* records: ncolumns numbers of values each */
	uint32_t	nrecords;
	size_t		room;
	uint32_t   *rows;
	uint32_t	max_block;		/* larger blocks are left out; 0: none is */
	uint32_t   *in_large_block;	/* by record: bits of the rules whose block is left out */
	uint32_t	nleft;			/* when two sets are linked: the first nleft records are one of them; 0: one set */

	int			ncomparisons;
	CxmComparison comparisons[CXM_MAX_COMPARISONS];
	double		lambda;			/* share of matches among all pairs */
	double		lambda_related; /* share of pairs of related people, who have much in common; 0: not looked for */

	/* derived by cxm_linkage_weights() */
	double		weight[CXM_MAX_COMPARISONS][CXM_LEVEL_CODES];
	double		related_weight[CXM_MAX_COMPARISONS][CXM_LEVEL_CODES];
	double		related_prior;
	double		strangers;		/* share of strangers among pairs that are no matches */
	double		best_prior;		/* the prior, with the most that relations can add */
	double		best_unequal[CXM_MAX_COMPARISONS];	/* the most that two different values can weigh */
	int			order[CXM_MAX_COMPARISONS]; /* in which different values are compared */
	double		prior;

	char	   *chunk;			/* small things are cut from chunks */
	size_t		chunk_left;
} CxmLinkage;

/* pairs that a rule blocks together and no rule before it */
typedef struct CxmPairs
{
	const CxmLinkage *linkage;
	const CxmRule *rules;
	int			nrules;			/* the last of which is walked through */
	struct CxmKeyed *order;		/* records by key */
	struct CxmKeyed *spare;
	uint32_t	n;
	uint32_t	from;			/* the block */
	uint32_t	to;
	uint32_t	middle;			/* where its right side begins */
	uint32_t	i;
	uint32_t	j;
} CxmPairs;

/* distinct comparison vectors and how many pairs have them */
typedef struct CxmHistogram
{
	uint64_t   *vectors;
	uint64_t   *counts;
	size_t		room;
	size_t		n;
} CxmHistogram;

typedef struct CxmEm
{
	int			ncomparisons;
	int			nlevels[CXM_MAX_COMPARISONS];
	bool		unused[CXM_MAX_COMPARISONS];
	bool		estimate_u;
	bool		fixed[CXM_MAX_COMPARISONS]; /* r stays as it is */
	double		lambda;
	double		lambda_related; /* 0: there is no such class */
	double		m[CXM_MAX_COMPARISONS][CXM_LEVEL_CODES];	/* by code, so from 1 on */
	double		u[CXM_MAX_COMPARISONS][CXM_LEVEL_CODES];
	double		r[CXM_MAX_COMPARISONS][CXM_LEVEL_CODES];
	double		log_likelihood;
	int			iterations;
	bool		converged;
} CxmEm;

extern uint32_t cxm_intern_text(CxmLinkage *l, int column, const char *bytes, uint32_t nbytes,
								const uint32_t *characters, uint32_t length, double number);
extern uint32_t cxm_intern_element(CxmLinkage *l, int column, const char *bytes, uint32_t nbytes);
extern uint32_t cxm_intern_set(CxmLinkage *l, int column, uint32_t *elements, uint32_t n);
extern uint32_t *cxm_linkage_add(CxmLinkage *l);
extern void cxm_linkage_prepare(CxmLinkage *l);

extern int	cxm_linkage_level(CxmLinkage *l, const CxmComparison *c, uint32_t a, uint32_t b);
extern uint64_t cxm_linkage_compare(CxmLinkage *l, uint32_t a, uint32_t b);
extern double cxm_linkage_all_pairs(const CxmLinkage *l);

extern double cxm_block_size(CxmLinkage *l, CxmPairs *p, const CxmRule *rules, int nrules);
extern int	cxm_next_pairs(CxmPairs *p, uint32_t *a, uint32_t *b, int room);

extern void cxm_histogram_add(CxmLinkage *l, CxmHistogram *h, uint64_t vector, uint64_t count);
extern void cxm_histogram_sort(CxmHistogram *h);

extern void cxm_em(CxmEm *em, const CxmHistogram *h, double tolerance, int max_iterations);
extern void cxm_em_start(CxmEm *em, int comparison);
extern uint64_t cxm_linkage_estimate_u(CxmLinkage *l, uint64_t max_pairs, uint64_t seed);
extern double cxm_share_of_equal(const CxmLinkage *l, int column);
extern void cxm_linkage_correct_u(CxmLinkage *l);

extern void cxm_linkage_weights(CxmLinkage *l);
extern double cxm_tf_weight(const CxmLinkage *l, const CxmComparison *c, uint32_t value);
extern double cxm_related_weight(const CxmLinkage *l, uint32_t a, uint64_t vector);
extern double cxm_linkage_weight(const CxmLinkage *l, uint32_t a, uint64_t vector);
extern bool cxm_linkage_score_pair(CxmLinkage *l, uint32_t a, uint32_t b, double least,
								   uint64_t *vector, double *weight);
extern void cxm_linkage_prefetch(const CxmLinkage *l, uint32_t a, uint32_t b);
extern void cxm_linkage_prefetch_row(const CxmLinkage *l, uint32_t record);
extern double cxm_probability(double weight);

static inline int
cxm_code(uint64_t vector, int comparison)
{
	return (int) (vector >> (4 * comparison)) & 15;
}

#endif							/* CXM_LINKAGE_CORE_H */
