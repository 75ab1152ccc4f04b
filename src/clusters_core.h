/*
 * src/clusters_core.h
 *		Clusters of scored links, with guards against links that chain strangers together.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_CLUSTERS_CORE_H
#define CXM_CLUSTERS_CORE_H

#include <stddef.h>
#include <stdint.h>

typedef struct CxmLink
{
	uint32_t	a;
	uint32_t	b;
	double		weight;
} CxmLink;

/* working space, all of it the caller's: nnodes entries each, but first nnodes + 1 and neighbours 2 * nlinks */
typedef struct CxmClusterSpace
{
	uint32_t   *parent;			/* of the result: the cluster of each node, named by its least node */
	uint32_t   *size;
	uint32_t   *next;			/* members of a cluster in a ring */
	size_t	   *first;			/* where the neighbours of a node begin */
	uint32_t   *neighbours;
	void		(*poll) (void);
} CxmClusterSpace;

extern void cxm_clusters(CxmLink *links, size_t nlinks, uint32_t nnodes,
						 uint32_t max_size, double min_density, CxmClusterSpace *space);

#endif							/* CXM_CLUSTERS_CORE_H */
