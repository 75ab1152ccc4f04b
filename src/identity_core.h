/*
 * src/identity_core.h
 *		Who is one person: the partition of identifiers that links and rules give.
 *
 * Links are taken strongest first.  Each joins the two clusters at its ends,
 * unless a rule forbids that the two become one.  The answer depends on the
 * links and the rules alone, not on the order in which they are given.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_IDENTITY_CORE_H
#define CXM_IDENTITY_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* why a link does not hold; the first three also say why an identifier is quarantined */
typedef enum CxmRefusal
{
	CXM_HOLDS,
	CXM_BLOCKED,
	CXM_MALFORMED,
	CXM_GENERIC,
	CXM_KEPT_APART,				/* by a link of kind never */
	CXM_UNIQUE,
	CXM_LIMIT,
	CXM_UNVERIFIED
} CxmRefusal;

typedef enum CxmLinkKind
{
	CXM_PINNED,
	CXM_SEEN,
	CXM_MATCHED,
	CXM_NEVER
} CxmLinkKind;

/* the rules of a namespace; 0 = none */
typedef struct CxmNamespace
{
	uint32_t	rank;
	uint32_t	max_per_profile;
	int64_t		max_window;		/* in the unit of the times, such as microseconds */
	uint32_t	max_links;
	bool		is_unique;
} CxmNamespace;

typedef struct CxmIdentifier
{
	uint64_t	hash;			/* of namespace and value: breaks ties */
	int64_t		at;				/* least time of its live links; only windows need it */
	uint32_t	cluster;		/* result: the same number for all of a cluster, the index of one of them */
	uint16_t	namespace;		/* index of its rules */
	uint8_t		quarantine;		/* CxmRefusal: blocked, malformed or generic, else CXM_HOLDS */
	bool		is_known;		/* does a verified link end in it? */
} CxmIdentifier;

/* beyond this, ranks are all alike */
#define CXM_MAX_RANK 16383

/* strength is made by cxm_identity_strength(); the smaller, the stronger */
typedef struct CxmIdentityLink
{
	uint32_t	a;				/* indexes of identifiers */
	uint32_t	b;
	uint64_t	strength;
	int64_t		at;
	uint32_t	tag;			/* the caller's */
	uint8_t		kind;			/* CxmLinkKind */
	bool		is_verified;
	uint8_t		refused;		/* result: CxmRefusal */
} CxmIdentityLink;

typedef struct CxmIdentityGraph
{
	const CxmNamespace *namespaces;
	uint32_t	nnamespaces;
	CxmIdentifier *identifiers;
	uint32_t	nidentifiers;
	CxmIdentityLink *links;		/* the solver changes their order */
	size_t		nlinks;

	/* the caller's services: memory that may be large and is given back all at once, and a place to stop */
	void	   *(*allocate) (size_t size);
	void		(*poll) (void);
} CxmIdentityGraph;

/* a number that orders links by kind, verified, ranks, evidence and probability; never more than INT64_MAX */
extern uint64_t cxm_identity_strength(CxmLinkKind kind, bool is_verified, uint32_t rank_a, uint32_t rank_b,
									  bool has_evidence, double probability);

/* find the identifiers that are linked to too many others, and quarantine them */
extern void cxm_identity_quarantine(CxmIdentityGraph *graph);

/* find cluster of each identifier and refused of each link */
extern void cxm_identity_solve(CxmIdentityGraph *graph);

#endif							/* CXM_IDENTITY_CORE_H */
