/*
 * src/clusters_core.c
 *		Clusters of scored links.
 *
 * One false link joins two people, and in a chain of a thousand links one is false: connected components of links,
 * each of which is nearly certain, collapse when there are many records.  So links are taken strongest first, and one
 * is refused that would make a cluster too large, or that would join two clusters between whose members there are too
 * few links altogether.  A link counts for that whether it has had its turn or not, so only the clusters as they stand
 * decide, and these depend on the weights and on the names of the nodes alone.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "clusters_core.h"

#include <stdbool.h>
#include <stdlib.h>

#define POLL_STEPS	65536

static int
compare_ends(const void *x, const void *y)
{
	const CxmLink *p = x;
	const CxmLink *q = y;

	if (p->a != q->a)
		return p->a < q->a ? -1 : 1;
	if (p->b != q->b)
		return p->b < q->b ? -1 : 1;
	return (p->weight < q->weight) - (p->weight > q->weight);
}

static int
compare_weights(const void *x, const void *y)
{
	const CxmLink *p = x;
	const CxmLink *q = y;

	if (p->weight != q->weight)
		return p->weight > q->weight ? -1 : 1;
	return compare_ends(x, y);
}

/* Keep the heaviest of the links between the same two nodes, and none of a node to itself */
static size_t
drop_repetitions(CxmLink *links, size_t nlinks)
{
	size_t		n = 0;

	for (size_t i = 0; i < nlinks; i++)
	{
		if (links[i].a > links[i].b)
		{
			uint32_t	end = links[i].a;

			links[i].a = links[i].b;
			links[i].b = end;
		}
	}
	if (nlinks > 1)
		qsort(links, nlinks, sizeof(CxmLink), compare_ends);
	for (size_t i = 0; i < nlinks; i++)
	{
		if (links[i].a == links[i].b)
			continue;
		if (n == 0 || links[n - 1].a != links[i].a || links[n - 1].b != links[i].b)
			links[n++] = links[i];
	}
	return n;
}

static void
list_neighbours(const CxmLink *links, size_t nlinks, uint32_t nnodes, CxmClusterSpace *space)
{
	for (size_t v = 0; v <= nnodes; v++)
		space->first[v] = 0;
	for (size_t i = 0; i < nlinks; i++)
	{
		space->first[links[i].a]++;
		space->first[links[i].b]++;
	}
	for (uint32_t v = 0; v < nnodes; v++)
		space->first[v + 1] += space->first[v];
	/* each list is filled from its end, which leaves first where the lists begin */
	for (size_t i = 0; i < nlinks; i++)
	{
		space->neighbours[--space->first[links[i].a]] = links[i].b;
		space->neighbours[--space->first[links[i].b]] = links[i].a;
	}
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

/* How many links there are between two clusters; counts what it looks at */
static size_t
links_between(CxmClusterSpace *space, uint32_t x, uint32_t y, size_t *steps)
{
	uint32_t	from = space->size[x] <= space->size[y] ? x : y;
	uint32_t	to = from == x ? y : x;
	uint32_t	member = from;
	size_t		n = 0;

	do
	{
		for (size_t k = space->first[member]; k < space->first[member + 1]; k++)
			n += find_root(space->parent, space->neighbours[k]) == to;
		*steps += space->first[member + 1] - space->first[member] + 1;
		member = space->next[member];
	} while (member != from);
	return n;
}

static void
join(CxmClusterSpace *space, uint32_t x, uint32_t y)
{
	uint32_t	least = x < y ? x : y;
	uint32_t	other = x < y ? y : x;
	uint32_t	after = space->next[least];

	space->parent[other] = least;
	space->size[least] += space->size[other];
	space->next[least] = space->next[other];
	space->next[other] = after;
}

/*
 * Put each node into a cluster; the answer is in space->parent.
 *
 * Nodes are numbered by the order of their names.  A link joins two clusters when they have at most max_size nodes
 * together, and at least the share min_density of the pairs across are links.  Changes the array of links.
 */
void
cxm_clusters(CxmLink *links, size_t nlinks, uint32_t nnodes, uint32_t max_size, double min_density,
			 CxmClusterSpace *space)
{
	size_t		steps = 0;

	nlinks = drop_repetitions(links, nlinks);
	list_neighbours(links, nlinks, nnodes, space);
	if (nlinks > 1)
		qsort(links, nlinks, sizeof(CxmLink), compare_weights);

	for (uint32_t v = 0; v < nnodes; v++)
	{
		space->parent[v] = v;
		space->size[v] = 1;
		space->next[v] = v;
	}
	for (size_t i = 0; i < nlinks; i++)
	{
		uint32_t	x = find_root(space->parent, links[i].a);
		uint32_t	y = find_root(space->parent, links[i].b);
		double		across;

		if (++steps >= POLL_STEPS)
		{
			steps = 0;
			if (space->poll)
				space->poll();
		}
		if (x == y || (uint64_t) space->size[x] + space->size[y] > max_size)
			continue;
		across = (double) space->size[x] * space->size[y];
		/* one link is there, which is enough for two single nodes and where no density is asked for */
		if (min_density * across > 1 && (double) links_between(space, x, y, &steps) < min_density * across)
			continue;
		join(space, x, y);
	}
	for (uint32_t v = 0; v < nnodes; v++)
		space->parent[v] = find_root(space->parent, v);
}
