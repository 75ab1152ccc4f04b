/*
 * src/bridges_core.h
 *		What holds an undirected graph together: bridges, a spanning forest, the
 *		shortest path between two nodes.  Nodes have 64-bit ids.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_BRIDGES_CORE_H
#define CXM_BRIDGES_CORE_H

#include <stddef.h>
#include <stdint.h>

/* at most 2^31 - 1 edges, (a[i], b[i]) */
typedef struct CxmEdges
{
	const int64_t *a;
	const int64_t *b;
	uint32_t	count;

	/* the caller's services: memory that may be large and is given back all at once, and a place to stop */
	void	   *(*allocate) (size_t size);
	void		(*poll) (void);
} CxmEdges;

/* an edge without which its component falls apart, and what is on the two sides then */
typedef struct CxmBridge
{
	uint32_t	edge;
	uint32_t	size_a;			/* nodes on the side of a[edge] */
	uint32_t	size_b;
	uint32_t	marked_a;		/* marks on that side */
	uint32_t	marked_b;
} CxmBridge;

/* all bridges, in the order of the edges; each entry of marked is a mark on a node; returns how many there are */
extern uint32_t cxm_bridges(const CxmEdges *edges, const int64_t *marked, uint32_t nmarked, CxmBridge **bridges);

/* the edges that join two components when they are taken in their order; forest has room for all edges */
extern uint32_t cxm_spanning_forest(const CxmEdges *edges, uint32_t *forest);

/*
 * The edges of a path with as few of them as possible; of equally short paths one whose last edge in the order of
 * the edges comes earliest.  path has room for all edges.  Returns 0 for a node to itself, UINT32_MAX when there is
 * no path.
 */
extern uint32_t cxm_shortest_path(const CxmEdges *edges, int64_t source, int64_t target, uint32_t *path);

#endif							/* CXM_BRIDGES_CORE_H */
