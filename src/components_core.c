/*
 * src/components_core.c
 *		Connected components by union-find.
 *
 * Nodes are numbered by their rank among the distinct ids, so that the
 * smaller of two roots is also the smaller id.  Always hanging the greater
 * root under the smaller one makes the root of a finished set the least id of
 * its component, whatever the order of the edges; path halving keeps the
 * trees flat.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "components_core.h"

#include <stdlib.h>

static int
compare_members(const void *x, const void *y)
{
	int64_t		a = ((const CxmComponent *) x)->member;
	int64_t		b = ((const CxmComponent *) y)->member;

	return (a > b) - (a < b);
}

/* Rank of an id that is known to be among the nodes */
static uint32_t
rank_of(const CxmComponent *nodes, size_t nnodes, int64_t id)
{
	size_t		low = 0;
	size_t		high = nnodes - 1;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (nodes[middle].member < id)
			low = middle + 1;
		else
			high = middle;
	}
	return (uint32_t) low;
}

static uint32_t
find_root(uint32_t *parent, uint32_t node)
{
	while (parent[node] != node)
	{
		parent[node] = parent[parent[node]];
		node = parent[node];
	}
	return node;
}

/* Sort the ids at the ends of the edges and drop repetitions */
static size_t
collect_nodes(const int64_t *a, const int64_t *b, size_t nedges, CxmComponent *nodes)
{
	size_t		nnodes = 0;

	for (size_t i = 0; i < nedges; i++)
	{
		nodes[2 * i].member = a[i];
		nodes[2 * i + 1].member = b[i];
	}
	qsort(nodes, 2 * nedges, sizeof(CxmComponent), compare_members);

	for (size_t i = 0; i < 2 * nedges; i++)
	{
		if (nnodes == 0 || nodes[nnodes - 1].member != nodes[i].member)
			nodes[nnodes++].member = nodes[i].member;
	}
	return nnodes;
}

/*
 * Find the components of the graph with the edges (a[i], b[i]).
 *
 * nodes has room for 2 * nedges entries and receives the distinct nodes in
 * ascending order; parent is working space for as many.  Returns the number
 * of nodes.
 */
size_t
cxm_components(const int64_t *a, const int64_t *b, size_t nedges,
			   CxmComponent *nodes, uint32_t *parent)
{
	size_t		nnodes;

	if (nedges == 0)
		return 0;

	nnodes = collect_nodes(a, b, nedges, nodes);

	for (size_t i = 0; i < nnodes; i++)
		parent[i] = (uint32_t) i;

	for (size_t i = 0; i < nedges; i++)
	{
		uint32_t	x = find_root(parent, rank_of(nodes, nnodes, a[i]));
		uint32_t	y = find_root(parent, rank_of(nodes, nnodes, b[i]));

		if (x < y)
			parent[y] = x;
		else
			parent[x] = y;
	}

	for (size_t i = 0; i < nnodes; i++)
		nodes[i].component = nodes[find_root(parent, (uint32_t) i)].member;

	return nnodes;
}
