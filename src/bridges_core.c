/*
 * src/bridges_core.c
 *		Bridges after Tarjan (1974), a spanning forest, the shortest path.
 *
 * Ids are numbered by their rank among the distinct ones.  No function
 * recurses: a chain of a million nodes is as good as any other graph.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "bridges_core.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* between two looks at whether to stop */
#define POLL_EVERY 65536

/* a graph with numbered nodes; the edges at node v are half[first[v]] .. half[first[v + 1] - 1] */
typedef struct Graph
{
	int64_t    *ids;
	uint32_t	nnodes;
	uint32_t   *end_a;
	uint32_t   *end_b;
	uint32_t   *first;
	uint32_t   *half;
} Graph;

static int
compare_ids(const void *x, const void *y)
{
	int64_t		a = *(const int64_t *) x;
	int64_t		b = *(const int64_t *) y;

	return (a > b) - (a < b);
}

static int
compare_bridges(const void *x, const void *y)
{
	uint32_t	a = ((const CxmBridge *) x)->edge;
	uint32_t	b = ((const CxmBridge *) y)->edge;

	return (a > b) - (a < b);
}

static void
poll_now_and_then(const CxmEdges *edges, uint32_t step)
{
	if (step % POLL_EVERY == 0)
		edges->poll();
}

/* The number of a node, NONE when the graph does not have it */
static uint32_t
node_of(const Graph *graph, int64_t id)
{
	uint32_t	low = 0;
	uint32_t	high = graph->nnodes;

	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (graph->ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < graph->nnodes && graph->ids[low] == id ? low : NONE;
}

static uint32_t *
allocate_numbers(const CxmEdges *edges, size_t count)
{
	return edges->allocate(sizeof(uint32_t) * (count > 0 ? count : 1));
}

static uint32_t *
allocate_zeros(const CxmEdges *edges, size_t count)
{
	uint32_t   *numbers = allocate_numbers(edges, count);

	memset(numbers, 0, sizeof(uint32_t) * count);
	return numbers;
}

/* Number the nodes, and the ends of the edges by them */
static void
number_nodes(const CxmEdges *edges, Graph *graph)
{
	size_t		nends = (size_t) edges->count * 2;

	graph->ids = edges->allocate(sizeof(int64_t) * (nends > 0 ? nends : 1));
	graph->nnodes = 0;
	for (uint32_t e = 0; e < edges->count; e++)
	{
		graph->ids[2 * (size_t) e] = edges->a[e];
		graph->ids[2 * (size_t) e + 1] = edges->b[e];
	}
	edges->poll();
	qsort(graph->ids, nends, sizeof(int64_t), compare_ids);
	for (size_t i = 0; i < nends; i++)
	{
		if (graph->nnodes == 0 || graph->ids[graph->nnodes - 1] != graph->ids[i])
			graph->ids[graph->nnodes++] = graph->ids[i];
	}

	graph->end_a = allocate_numbers(edges, edges->count);
	graph->end_b = allocate_numbers(edges, edges->count);
	for (uint32_t e = 0; e < edges->count; e++)
	{
		poll_now_and_then(edges, e);
		graph->end_a[e] = node_of(graph, edges->a[e]);
		graph->end_b[e] = node_of(graph, edges->b[e]);
	}
}

/* Lay the edges out by node; an edge from a node to itself holds nothing together and is left out */
static void
lay_out(const CxmEdges *edges, Graph *graph)
{
	uint32_t   *next = allocate_numbers(edges, graph->nnodes);

	graph->first = allocate_zeros(edges, (size_t) graph->nnodes + 1);
	graph->half = allocate_numbers(edges, (size_t) edges->count * 2);
	for (uint32_t e = 0; e < edges->count; e++)
	{
		if (graph->end_a[e] == graph->end_b[e])
			continue;
		graph->first[graph->end_a[e] + 1]++;
		graph->first[graph->end_b[e] + 1]++;
	}
	for (uint32_t v = 0; v < graph->nnodes; v++)
	{
		graph->first[v + 1] += graph->first[v];
		next[v] = graph->first[v];
	}
	for (uint32_t e = 0; e < edges->count; e++)
	{
		poll_now_and_then(edges, e);
		if (graph->end_a[e] == graph->end_b[e])
			continue;
		graph->half[next[graph->end_a[e]]++] = e;
		graph->half[next[graph->end_b[e]]++] = e;
	}
}

static uint32_t
other_end(const Graph *graph, uint32_t edge, uint32_t node)
{
	return graph->end_a[edge] == node ? graph->end_b[edge] : graph->end_a[edge];
}

/* What the search for bridges knows of a node */
typedef struct Visit
{
	uint32_t	order;			/* from 1, in the order of the search; 0 = not reached yet */
	uint32_t	low;			/* least order that the subtree reaches past its parent's edge */
	uint32_t	up;				/* the edge to the parent; NONE at a root */
	uint32_t	next;			/* the edge to look at next */
	uint32_t	size;			/* nodes of the subtree */
	uint32_t	marked;			/* marks in it */
} Visit;

/* Search one component, from a root; adds its bridges */
static uint32_t
search_component(const CxmEdges *edges, const Graph *graph, Visit *visits, uint32_t root, uint32_t *order,
				 CxmBridge *bridges, uint32_t nbridges)
{
	uint32_t	first_bridge = nbridges;
	uint32_t	node = root;

	visits[root].up = NONE;
	visits[root].order = visits[root].low = ++*order;
	for (;;)
	{
		Visit	   *visit = &visits[node];

		if (visit->next < graph->first[node + 1])
		{
			uint32_t	edge = graph->half[visit->next++];
			uint32_t	other = other_end(graph, edge, node);

			/* the same edge is not a way back, another one between the two is */
			if (edge == visit->up)
				continue;
			if (visits[other].order > 0)
			{
				if (visits[other].order < visit->low)
					visit->low = visits[other].order;
				continue;
			}
			poll_now_and_then(edges, *order);
			visits[other].up = edge;
			visits[other].order = visits[other].low = ++*order;
			node = other;
		}
		else if (visit->up != NONE)
		{
			Visit	   *parent = &visits[other_end(graph, visit->up, node)];

			/* for the time being size_b is what is under the bridge, whichever end that is */
			if (visit->low == visit->order)
				bridges[nbridges++] = (CxmBridge)
			{
				.edge = visit->up, .size_b = visit->size, .marked_b = visit->marked
			};
			if (visit->low < parent->low)
				parent->low = visit->low;
			parent->size += visit->size;
			parent->marked += visit->marked;
			node = other_end(graph, visit->up, node);
		}
		else
			break;
	}

	for (uint32_t i = first_bridge; i < nbridges; i++)
	{
		CxmBridge  *bridge = &bridges[i];
		uint32_t	a = graph->end_a[bridge->edge];
		uint32_t	b = graph->end_b[bridge->edge];

		bridge->size_a = visits[root].size - bridge->size_b;
		bridge->marked_a = visits[root].marked - bridge->marked_b;
		if (visits[a].order > visits[b].order)
		{
			uint32_t	size = bridge->size_a;
			uint32_t	marked = bridge->marked_a;

			bridge->size_a = bridge->size_b;
			bridge->marked_a = bridge->marked_b;
			bridge->size_b = size;
			bridge->marked_b = marked;
		}
	}
	return nbridges;
}

uint32_t
cxm_bridges(const CxmEdges *edges, const int64_t *marked, uint32_t nmarked, CxmBridge **bridges)
{
	Graph		graph;
	Visit	   *visits;
	uint32_t	nbridges = 0;
	uint32_t	order = 0;

	number_nodes(edges, &graph);
	lay_out(edges, &graph);

	visits = edges->allocate(sizeof(Visit) * ((size_t) graph.nnodes + 1));
	*bridges = edges->allocate(sizeof(CxmBridge) * ((size_t) graph.nnodes + 1));
	for (uint32_t v = 0; v < graph.nnodes; v++)
		visits[v] = (Visit)
	{
		.next = graph.first[v], .size = 1
	};
	for (uint32_t i = 0; i < nmarked; i++)
	{
		uint32_t	node = node_of(&graph, marked[i]);

		poll_now_and_then(edges, i);
		if (node != NONE)
			visits[node].marked++;
	}

	for (uint32_t v = 0; v < graph.nnodes; v++)
	{
		poll_now_and_then(edges, v);
		if (visits[v].order == 0)
			nbridges = search_component(edges, &graph, visits, v, &order, *bridges, nbridges);
	}
	qsort(*bridges, nbridges, sizeof(CxmBridge), compare_bridges);
	return nbridges;
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

uint32_t
cxm_spanning_forest(const CxmEdges *edges, uint32_t *forest)
{
	Graph		graph;
	uint32_t   *parent;
	uint32_t	nforest = 0;

	number_nodes(edges, &graph);
	parent = allocate_numbers(edges, graph.nnodes);
	for (uint32_t v = 0; v < graph.nnodes; v++)
		parent[v] = v;
	for (uint32_t e = 0; e < edges->count; e++)
	{
		uint32_t	x = find_root(parent, graph.end_a[e]);
		uint32_t	y = find_root(parent, graph.end_b[e]);

		poll_now_and_then(edges, e);
		if (x == y)
			continue;
		/* roots of small rank stay roots: with path halving that keeps the trees flat */
		parent[x < y ? y : x] = x < y ? x : y;
		forest[nforest++] = e;
	}
	return nforest;
}

uint32_t
cxm_shortest_path(const CxmEdges *edges, int64_t source, int64_t target, uint32_t *path)
{
	Graph		graph;
	uint32_t	from;
	uint32_t	to;
	uint32_t   *distance;
	uint32_t   *weakest;		/* the last edge on the way to a node, in the order of the edges */
	uint32_t   *via;
	uint32_t   *queue;
	uint32_t	head = 0;
	uint32_t	tail = 0;
	uint32_t	npath;

	if (source == target)
		return 0;
	number_nodes(edges, &graph);
	from = node_of(&graph, source);
	to = node_of(&graph, target);
	if (from == NONE || to == NONE)
		return NONE;

	lay_out(edges, &graph);
	distance = allocate_numbers(edges, graph.nnodes);
	weakest = allocate_zeros(edges, graph.nnodes);
	via = allocate_zeros(edges, graph.nnodes);
	queue = allocate_numbers(edges, graph.nnodes);
	for (uint32_t v = 0; v < graph.nnodes; v++)
		distance[v] = NONE;

	distance[from] = 0;
	queue[tail++] = from;
	while (head < tail && queue[head] != to)
	{
		uint32_t	node = queue[head++];

		poll_now_and_then(edges, head);
		for (uint32_t h = graph.first[node]; h < graph.first[node + 1]; h++)
		{
			uint32_t	edge = graph.half[h];
			uint32_t	other = other_end(&graph, edge, node);
			uint32_t	way = weakest[node] > edge ? weakest[node] : edge;

			if (distance[other] == NONE)
			{
				distance[other] = distance[node] + 1;
				queue[tail++] = other;
			}
			else if (distance[other] != distance[node] + 1 || way > weakest[other] ||
					 (way == weakest[other] && edge > via[other]))
				continue;
			weakest[other] = way;
			via[other] = edge;
		}
	}
	if (distance[to] == NONE)
		return NONE;

	npath = distance[to];
	for (uint32_t i = npath; i > 0; i--)
	{
		path[i - 1] = via[to];
		to = other_end(&graph, via[to], to);
	}
	return npath;
}
