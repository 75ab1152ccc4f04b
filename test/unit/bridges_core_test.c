/*
 * test/unit/bridges_core_test.c
 *		Bridges, spanning forests and shortest paths against brute force on
 *		random graphs.
 *
 * cc -Isrc test/unit/bridges_core_test.c src/bridges_core.c && ./a.out
 */
#include "bridges_core.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

/* memory is given back at the end of a test, as a memory context would */
#define MAX_BLOCKS 64
static void *blocks[MAX_BLOCKS];
static int	nblocks = 0;

static void *
allocate(size_t size)
{
	if (nblocks == MAX_BLOCKS || (blocks[nblocks] = malloc(size)) == NULL)
		abort();
	return blocks[nblocks++];
}

static void
release(void)
{
	while (nblocks > 0)
		free(blocks[--nblocks]);
}

static void
poll(void)
{
}

#define MAX_NODES 24
#define MAX_EDGES 48

/* the nodes that can be reached from one without an edge: slow and plainly right */
static int
reach(const CxmEdges *edges, int64_t start, uint32_t without, int *reached)
{
	int			changed = 1;
	int			count = 1;

	memset(reached, 0, sizeof(int) * MAX_NODES);
	reached[start] = 1;
	while (changed)
	{
		changed = 0;
		for (uint32_t e = 0; e < edges->count; e++)
		{
			if (e != without && reached[edges->a[e]] != reached[edges->b[e]])
			{
				reached[edges->a[e]] = reached[edges->b[e]] = 1;
				count++;
				changed = 1;
			}
		}
	}
	return count;
}

static uint32_t
marks_among(const int64_t *marked, uint32_t nmarked, const int *reached)
{
	uint32_t	count = 0;

	for (uint32_t i = 0; i < nmarked; i++)
		count += marked[i] < MAX_NODES && reached[marked[i]];
	return count;
}

static int
bridges_are_right(const CxmEdges *edges, const int64_t *marked, uint32_t nmarked)
{
	CxmBridge  *bridges;
	uint32_t	nbridges = cxm_bridges(edges, marked, nmarked, &bridges);
	uint32_t	next = 0;
	int			side_a[MAX_NODES];
	int			side_b[MAX_NODES];

	for (uint32_t e = 0; e < edges->count; e++)
	{
		uint32_t	size_a = (uint32_t) reach(edges, edges->a[e], e, side_a);
		uint32_t	size_b = (uint32_t) reach(edges, edges->b[e], e, side_b);

		if (side_a[edges->b[e]])
			continue;
		if (next >= nbridges || bridges[next].edge != e ||
			bridges[next].size_a != size_a || bridges[next].size_b != size_b ||
			bridges[next].marked_a != marks_among(marked, nmarked, side_a) ||
			bridges[next].marked_b != marks_among(marked, nmarked, side_b))
			return 0;
		next++;
	}
	return next == nbridges;
}

static int
forest_is_right(const CxmEdges *edges)
{
	uint32_t	forest[MAX_EDGES];
	uint32_t	nforest = cxm_spanning_forest(edges, forest);
	uint32_t	next = 0;
	int			reached[MAX_NODES];

	/* an edge is in the forest when those before it do not connect its ends */
	for (uint32_t e = 0; e < edges->count; e++)
	{
		CxmEdges	before = *edges;

		before.count = e;
		reach(&before, edges->a[e], UINT32_MAX, reached);
		if (!reached[edges->b[e]] && (next >= nforest || forest[next++] != e))
			return 0;
	}
	return next == nforest;
}

/* is there a way of at most length edges, all of them before limit? */
static int
is_way(const CxmEdges *edges, int64_t source, int64_t target, uint32_t length, uint32_t limit)
{
	int			reached[MAX_NODES] = {0};

	reached[source] = 1;
	for (uint32_t step = 0; step < length; step++)
	{
		int			wider[MAX_NODES];

		memcpy(wider, reached, sizeof(wider));
		for (uint32_t e = 0; e < limit; e++)
		{
			if (reached[edges->a[e]] || reached[edges->b[e]])
				wider[edges->a[e]] = wider[edges->b[e]] = 1;
		}
		memcpy(reached, wider, sizeof(wider));
	}
	return reached[target];
}

static int
path_is_right(const CxmEdges *edges, int64_t source, int64_t target)
{
	uint32_t	path[MAX_EDGES];
	uint32_t	npath = cxm_shortest_path(edges, source, target, path);
	uint32_t	last = 0;
	int64_t		at = source;

	if (npath == UINT32_MAX)
		return source != target && !is_way(edges, source, target, MAX_NODES, edges->count);
	for (uint32_t i = 0; i < npath; i++)
	{
		if (edges->a[path[i]] != at && edges->b[path[i]] != at)
			return 0;
		at = edges->a[path[i]] == at ? edges->b[path[i]] : edges->a[path[i]];
		if (path[i] > last)
			last = path[i];
	}
	if (at != target || npath == 0)
		return source == target && npath == 0;
	return !is_way(edges, source, target, npath - 1, edges->count) && !is_way(edges, source, target, npath, last);
}

static void
random_graph(void)
{
	int64_t		a[MAX_EDGES];
	int64_t		b[MAX_EDGES];
	int64_t		marked[MAX_NODES];
	uint32_t	nodes = 2 + next_random(MAX_NODES - 1);
	uint32_t	nmarked = next_random(MAX_NODES);
	CxmEdges	edges = {a, b, 0, allocate, poll};

	edges.count = next_random(MAX_EDGES + 1);
	for (uint32_t e = 0; e < edges.count; e++)
	{
		a[e] = next_random(nodes);
		/* now and then the pair of the edge before, the other way round */
		if (e > 0 && next_random(8) == 0)
		{
			b[e] = a[e - 1];
			a[e] = b[e - 1];
		}
		else
			b[e] = next_random(nodes);
	}
	for (uint32_t i = 0; i < nmarked; i++)
		marked[i] = next_random(2 * MAX_NODES);

	check(bridges_are_right(&edges, marked, nmarked), "bridges and their sides, by leaving each edge out");
	check(forest_is_right(&edges), "a forest edge joins what those before it do not");
	check(path_is_right(&edges, next_random(nodes), next_random(nodes)), "no way is shorter, or as short and earlier");
	release();
}

/* a chain, a ring and a star of a million nodes each: no recursion, no square */
#define LONG 1000000

static void
long_graphs(void)
{
	int64_t    *a = malloc(sizeof(int64_t) * (LONG + 1));
	int64_t    *b = malloc(sizeof(int64_t) * (LONG + 1));
	uint32_t   *path = malloc(sizeof(uint32_t) * (LONG + 1));
	CxmEdges	edges = {a, b, LONG, allocate, poll};
	CxmBridge  *bridges;
	int			right = 1;

	for (int64_t i = 0; i < LONG; i++)
	{
		a[i] = i;
		b[i] = i + 1;
	}
	check(cxm_bridges(&edges, a, LONG, &bridges) == LONG, "each edge of a chain is a bridge");
	for (uint32_t i = 0; i < LONG; i++)
		right &= bridges[i].edge == i && bridges[i].size_a == i + 1 && bridges[i].size_b == LONG - i &&
			bridges[i].marked_a == i + 1 && bridges[i].marked_b == LONG - i - 1;
	check(right, "and cuts it in two known parts");
	check(cxm_shortest_path(&edges, LONG, 0, path) == LONG && path[0] == LONG - 1 && path[LONG - 1] == 0, "the way along a chain");
	release();

	a[LONG] = LONG;
	b[LONG] = 0;
	edges.count = LONG + 1;
	check(cxm_bridges(&edges, NULL, 0, &bridges) == 0, "no edge of a ring is a bridge");
	check(cxm_spanning_forest(&edges, path) == LONG && path[LONG - 1] == LONG - 1, "and the last one is redundant");
	release();

	for (int64_t i = 0; i < LONG; i++)
		a[i] = -1;
	edges.count = LONG;
	check(cxm_bridges(&edges, NULL, 0, &bridges) == LONG && bridges[7].size_a == LONG && bridges[7].size_b == 1, "each edge of a star is a bridge");
	release();
	free(a);
	free(b);
	free(path);
}

int
main(void)
{
	int64_t		a[] = {INT64_MAX, 0, 7};
	int64_t		b[] = {INT64_MIN, 0, INT64_MIN};
	CxmEdges	edges = {a, b, 0, allocate, poll};
	CxmBridge  *bridges;
	uint32_t	path[3];

	check(cxm_bridges(&edges, NULL, 0, &bridges) == 0, "no edges, no bridges");
	check(cxm_spanning_forest(&edges, path) == 0, "no edges, no forest");
	check(cxm_shortest_path(&edges, 1, 2, path) == UINT32_MAX, "no edges, no way");
	edges.count = 3;
	check(cxm_bridges(&edges, a, 3, &bridges) == 2 && bridges[0].edge == 0 && bridges[0].size_b == 2 && bridges[1].edge == 2 &&
		  bridges[1].size_b == 2 && bridges[1].marked_a == 1 && bridges[1].marked_b == 1, "extreme ids; a loop is none");
	check(cxm_shortest_path(&edges, INT64_MAX, 7, path) == 2 && path[0] == 0 && path[1] == 2, "a way across extreme ids");
	check(cxm_shortest_path(&edges, 0, 7, path) == UINT32_MAX, "a loop leads nowhere");
	release();

	for (int i = 0; i < 2000; i++)
		random_graph();
	long_graphs();

	return report();
}
