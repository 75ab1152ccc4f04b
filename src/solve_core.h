/*
 * src/solve_core.h
 *		Connected components of a graph that comes a few links at a time, in little memory, and who joins too many.
 *
 * Nodes are numbered from 0 in the order in which they come.  A node is named by 64 bits, or by a text.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_SOLVE_CORE_H
#define CXM_SOLVE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* links that are taken at once, so that memory can be asked for ahead */
#define CXM_SOLVE_BATCH 128

#define CXM_SOLVE_MAX_NODES ((uint32_t) INT32_MAX)

/* of the open-addressing table: a name, or the hash of one, and its node + 1; 0 = free */
typedef struct CxmSolveSlot
{
	uint64_t	key;
	uint32_t	node;
} CxmSolveSlot;

/* what a limited solve knows of a node */
typedef struct CxmSolveRules
{
	uint32_t	degree;			/* links to nodes that count; never more than UINT32_MAX */
	uint16_t	namespace;
	bool		is_generic;		/* joins nobody */
	bool		is_bound;		/* of a root: a limit might bind in its component */
} CxmSolveRules;

/* the rules of a namespace; 0 = none */
typedef struct CxmSolveNamespace
{
	uint32_t	max;			/* in a component */
	uint32_t	max_links;
	bool		counts;			/* do links to it count for max_links? */
} CxmSolveNamespace;

typedef struct CxmSolve
{
	/* the caller's services: memory that may be large, and a place to stop */
	void	   *(*resize) (void *space, size_t size);	/* space may be NULL */
	void		(*release) (void *space);
	void		(*poll) (void);

	uint64_t	seed;			/* so that nobody can choose names that collide */
	bool		is_text;

	uint32_t	nnodes;
	uint32_t	room;
	uint32_t   *parent;
	int64_t    *ids;			/* by node, after cxm_solve_name() */
	const char **texts;			/* by node: its length as uint32_t, then the bytes */
	CxmSolveSlot *slots;
	int			slot_bits;
	char	   *text_space;
	size_t		text_left;

	/* links that are kept */
	size_t		nlinks;
	size_t		link_room;
	uint32_t   *links;			/* pairs of nodes */
	int64_t    *order;			/* of each link, or NULL */
	bool		is_ordered;

	CxmSolveRules *rules;		/* by node */
} CxmSolve;

extern void cxm_solve_begin(CxmSolve *solve);
extern bool cxm_solve_intern_ids(CxmSolve *solve, const int64_t *ids, int n, uint32_t *nodes);
extern bool cxm_solve_intern_texts(CxmSolve *solve, const char *const *texts, const uint32_t *lengths,
								   const uint64_t *hashes, int n, uint32_t *nodes);
extern void cxm_solve_join(CxmSolve *solve, const uint32_t *links, size_t n);
extern void cxm_solve_keep(CxmSolve *solve, const uint32_t *links, const int64_t *order, size_t n);
extern void cxm_solve_name(CxmSolve *solve);
extern void cxm_solve_find_generic(CxmSolve *solve, const CxmSolveNamespace *namespaces);
extern void cxm_solve_join_kept(CxmSolve *solve);
extern uint32_t cxm_solve_find_bound(CxmSolve *solve, const CxmSolveNamespace *namespaces, uint32_t nnamespaces);
extern uint32_t *cxm_solve_least(CxmSolve *solve);

#endif							/* CXM_SOLVE_CORE_H */
