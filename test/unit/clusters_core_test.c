/*
 * test/unit/clusters_core_test.c
 *		cxm_clusters() against a plain form on random graphs.
 *
 * cc -Isrc test/unit/clusters_core_test.c src/clusters_core.c && ./a.out
 */
#include "clusters_core.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

#define NODES 40
#define LINKS 120

/* labels, and a matrix of the heaviest weights */
static void
plain_clusters(const CxmLink *links, int n, uint32_t max_size, double min_density, uint32_t *label)
{
	static double weight[NODES][NODES];
	static int	linked[NODES][NODES];
	static int	done[NODES][NODES];

	memset(linked, 0, sizeof(linked));
	memset(done, 0, sizeof(done));
	for (uint32_t v = 0; v < NODES; v++)
		label[v] = v;
	for (int i = 0; i < n; i++)
	{
		uint32_t	a = links[i].a < links[i].b ? links[i].a : links[i].b;
		uint32_t	b = links[i].a < links[i].b ? links[i].b : links[i].a;

		if (a != b && (!linked[a][b] || links[i].weight > weight[a][b]))
			weight[a][b] = links[i].weight;
		linked[a][b] = a != b;
	}
	for (;;)
	{
		int			best_a = -1;
		int			best_b = -1;
		int			sizes[2] = {0, 0};
		int			between = 0;
		uint32_t	x;
		uint32_t	y;

		for (int a = 0; a < NODES; a++)
		{
			for (int b = a + 1; b < NODES; b++)
			{
				if (linked[a][b] && !done[a][b] && (best_a < 0 || weight[a][b] > weight[best_a][best_b]))
				{
					best_a = a;
					best_b = b;
				}
			}
		}
		if (best_a < 0)
			return;
		done[best_a][best_b] = 1;
		x = label[best_a];
		y = label[best_b];
		if (x == y)
			continue;
		for (int a = 0; a < NODES; a++)
		{
			sizes[0] += label[a] == x;
			sizes[1] += label[a] == y;
			for (int b = 0; b < NODES; b++)
				between += linked[a][b] && ((label[a] == x && label[b] == y) || (label[a] == y && label[b] == x));
		}
		if ((uint32_t) (sizes[0] + sizes[1]) > max_size || between < min_density * sizes[0] * sizes[1])
			continue;
		for (int v = 0; v < NODES; v++)
		{
			if (label[v] == x || label[v] == y)
				label[v] = x < y ? x : y;
		}
	}
}

static void
random_graph(void)
{
	static const double densities[] = {0, 0.125, 0.25, 0.5, 1};
	CxmLink		links[LINKS];
	CxmLink		shuffled[LINKS];
	uint32_t	label[NODES];
	uint32_t	parent[NODES];
	uint32_t	size[NODES];
	uint32_t	next[NODES];
	size_t		first[NODES + 1];
	uint32_t	neighbours[2 * LINKS];
	CxmClusterSpace space = {parent, size, next, first, neighbours, NULL};
	int			n = (int) next_random(LINKS + 1);
	uint32_t	max_size = 1 + next_random(NODES);
	double		min_density = densities[next_random(5)];
	int			wrong_sizes = 0;

	for (int i = 0; i < n; i++)
	{
		links[i].a = next_random(NODES);
		links[i].b = next_random(4) ? (links[i].a + next_random(4)) % NODES : next_random(NODES);
		links[i].weight = next_random(20);
	}
	memcpy(shuffled, links, sizeof(links));
	for (int i = n - 1; i > 0; i--)
	{
		int			j = (int) next_random(i + 1);
		CxmLink		link = shuffled[i];

		shuffled[i] = shuffled[j];
		shuffled[j] = link;
	}
	plain_clusters(links, n, max_size, min_density, label);
	cxm_clusters(links, (size_t) n, NODES, max_size, min_density, &space);
	check(memcmp(parent, label, sizeof(label)) == 0, "clusters");
	for (int v = 0; v < NODES; v++)
	{
		uint32_t	members = 0;

		for (int w = 0; w < NODES; w++)
			members += parent[w] == parent[v];
		wrong_sizes += size[parent[v]] != members || members > max_size;
	}
	check(wrong_sizes == 0, "sizes");
	cxm_clusters(shuffled, (size_t) n, NODES, max_size, min_density, &space);
	check(memcmp(parent, label, sizeof(label)) == 0, "clusters of shuffled links");
}

int
main(void)
{
	for (int i = 0; i < 4000; i++)
		random_graph();
	return report();
}
