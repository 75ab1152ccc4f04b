/*
 * test/unit/components_core_test.c
 *		cxm_components() against label propagation on random graphs.
 *
 * cc -Isrc test/unit/components_core_test.c src/components_core.c && ./a.out
 */
#include "components_core.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

#define MAX_NODES 64
#define MAX_EDGES 96

/* least label reachable, by repeated relaxation: slow and plainly right */
static void
oracle(const int64_t *a, const int64_t *b, size_t nedges, int64_t *label)
{
	int			changed = 1;

	for (int64_t i = 0; i < MAX_NODES; i++)
		label[i] = i;
	while (changed)
	{
		changed = 0;
		for (size_t e = 0; e < nedges; e++)
		{
			int64_t		least = label[a[e]] < label[b[e]] ? label[a[e]] : label[b[e]];

			if (label[a[e]] != least || label[b[e]] != least)
			{
				label[a[e]] = label[b[e]] = least;
				changed = 1;
			}
		}
	}
}

static void
random_graph(void)
{
	int64_t		a[MAX_EDGES];
	int64_t		b[MAX_EDGES];
	int64_t		label[MAX_NODES];
	CxmComponent nodes[2 * MAX_EDGES];
	uint32_t	parent[2 * MAX_EDGES];
	size_t		nedges = next_random(MAX_EDGES + 1);
	size_t		nnodes;
	int			right = 1;

	for (size_t e = 0; e < nedges; e++)
	{
		a[e] = next_random(MAX_NODES);
		b[e] = next_random(MAX_NODES);
	}
	oracle(a, b, nedges, label);
	nnodes = cxm_components(a, b, nedges, nodes, parent);
	for (size_t i = 0; i < nnodes; i++)
	{
		if (i > 0 && nodes[i - 1].member >= nodes[i].member)
			right = 0;
		if (nodes[i].component != label[nodes[i].member])
			right = 0;
	}
	check(right, "components equal label propagation");
}

int
main(void)
{
	int64_t		far_a[] = {INT64_MAX, 0};
	int64_t		far_b[] = {INT64_MIN, 0};
	CxmComponent nodes[4];
	uint32_t	parent[4];

	check(cxm_components(far_a, far_b, 0, nodes, parent) == 0, "no edges, no nodes");
	check(cxm_components(far_a, far_b, 2, nodes, parent) == 3, "a loop is one node");
	check(nodes[0].member == INT64_MIN && nodes[2].component == INT64_MIN, "extreme ids");

	for (int i = 0; i < 500; i++)
		random_graph();

	return report();
}
