/*
 * test/unit/solve_core_test.c
 *		Numbering of nodes, components, generic nodes and limits of solve_core.c against plain loops.
 *
 * cc -Isrc test/unit/solve_core_test.c src/solve_core.c && ./a.out
 */
#include "solve_core.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

static void *
resize(void *space, size_t size)
{
	space = realloc(space, size);
	if (space == NULL)
		abort();
	return space;
}

static void
poll(void)
{
}

static CxmSolve
begin(bool is_text)
{
	CxmSolve	solve = {.resize = resize, .release = free, .poll = poll, .is_text = is_text, .seed = seed};

	cxm_solve_begin(&solve);
	return solve;
}

/* but texts, of which there are few here */
static void
end(CxmSolve *solve)
{
	free(solve->parent);
	free(solve->ids);
	free((void *) solve->texts);
	free(solve->links);
	free(solve->order);
	free(solve->rules);
}

#define MAX_NODES 40
#define MAX_LINKS 120

/* least node of each component, by repeated relaxation */
static void
oracle(uint32_t n, const uint32_t *links, size_t nlinks, const bool *is_out, uint32_t *label)
{
	bool		changed = true;

	for (uint32_t i = 0; i < n; i++)
		label[i] = i;
	while (changed)
	{
		changed = false;
		for (size_t i = 0; i < nlinks; i++)
		{
			uint32_t	a = links[2 * i];
			uint32_t	b = links[2 * i + 1];
			uint32_t	least = label[a] < label[b] ? label[a] : label[b];

			if (is_out[a] || is_out[b] || (label[a] == least && label[b] == least))
				continue;
			label[a] = label[b] = least;
			changed = true;
		}
	}
}

/* Nodes are numbered as they come: 0 to n - 1, each with an id or a text of its own */
static void
intern(CxmSolve *solve, uint32_t n, const int64_t *ids, char texts[][16], const uint64_t *hashes, const uint32_t *nodes, int count, uint32_t *found)
{
	int64_t		some_ids[2 * CXM_SOLVE_BATCH];
	const char *some_texts[2 * CXM_SOLVE_BATCH];
	uint32_t	lengths[2 * CXM_SOLVE_BATCH];
	uint64_t	some_hashes[2 * CXM_SOLVE_BATCH];

	for (int i = 0; i < count; i++)
	{
		some_ids[i] = ids[nodes[i]];
		some_texts[i] = texts[nodes[i]];
		lengths[i] = (uint32_t) strlen(texts[nodes[i]]);
		some_hashes[i] = hashes[nodes[i]];
	}
	check(solve->is_text ? cxm_solve_intern_texts(solve, some_texts, lengths, some_hashes, count, found)
		  : cxm_solve_intern_ids(solve, some_ids, count, found), "there is room");
	check(solve->nnodes <= n, "no node is there twice");
}

static void
random_graph(bool is_text)
{
	CxmSolve	solve = begin(is_text);
	CxmSolve	streamed = begin(is_text);
	CxmSolveNamespace namespaces[3];
	uint32_t	n = 1 + next_random(MAX_NODES);
	size_t		nlinks = next_random(MAX_LINKS + 1);
	int64_t		ids[MAX_NODES];
	char		texts[MAX_NODES][16];
	uint64_t	hashes[MAX_NODES];
	uint32_t	links[2 * MAX_LINKS];
	uint32_t	found[2 * MAX_LINKS];
	uint32_t	node_of[MAX_NODES];
	uint32_t	label[MAX_NODES];
	bool		is_out[MAX_NODES] = {false};
	uint32_t   *least;
	uint32_t	nbound = 0;
	bool		right = true;

	/* names that look alike, at the ends of the range too; hashes of texts that are often equal */
	for (uint32_t i = 0; i < n; i++)
	{
		ids[i] = i % 3 == 0 ? INT64_MIN + i : i % 3 == 1 ? INT64_MAX - i : (int64_t) i << 32;
		sprintf(texts[i], "%.*s%u", (int) next_random(4), "abc", i);
		hashes[i] = (uint64_t) next_random(3) << 62 | next_random(2);
	}
	for (size_t i = 0; i < nlinks; i++)
	{
		links[2 * i] = next_random(n);
		links[2 * i + 1] = next_random(3) == 0 ? 0 : next_random(n);
	}

	/* in batches of any size, links kept and not kept */
	for (size_t i = 0; i < nlinks;)
	{
		size_t		some = 1 + next_random(CXM_SOLVE_BATCH);

		if (some > nlinks - i)
			some = nlinks - i;
		intern(&solve, n, ids, texts, hashes, &links[2 * i], (int) (2 * some), &found[2 * i]);
		cxm_solve_keep(&solve, &found[2 * i], NULL, some);
		intern(&streamed, n, ids, texts, hashes, &links[2 * i], (int) (2 * some), &found[2 * i]);
		cxm_solve_join(&streamed, &found[2 * i], some);
		i += some;
	}
	for (uint32_t i = 0; i < n; i++)
		intern(&solve, n, ids, texts, hashes, &i, 1, &node_of[i]);
	check(solve.nnodes == n, "as many nodes as there are names");
	cxm_solve_name(&solve);
	cxm_solve_name(&streamed);
	for (uint32_t i = 0; i < n; i++)
		right &= is_text ? memcmp(solve.texts[node_of[i]] + sizeof(uint32_t), texts[i], strlen(texts[i])) == 0
			: solve.ids[node_of[i]] == ids[i];
	check(right, "a node has its name");

	/* components, without rules */
	oracle(n, links, nlinks, is_out, label);
	right = true;
	least = cxm_solve_least(&streamed);
	for (size_t i = 0; i < 2 * nlinks; i++)
	{
		for (size_t j = 0; j < 2 * nlinks; j += 7)
			right &= (streamed.parent[found[i]] == streamed.parent[found[j]]) == (label[links[i]] == label[links[j]]);
	}
	check(right, "components equal label propagation");
	right = true;
	for (size_t i = 0; i < 2 * nlinks; i++)
	{
		uint32_t	named = least[streamed.parent[found[i]]];

		right &= streamed.parent[named] == streamed.parent[found[i]];
		for (size_t j = 0; j < 2 * nlinks; j++)
		{
			if (label[links[j]] != label[links[i]])
				continue;
			right &= is_text || streamed.ids[named] <= ids[links[j]];
			if (is_text)
			{
				char		name[16] = "";
				uint32_t	length;

				memcpy(&length, streamed.texts[named], sizeof(uint32_t));
				memcpy(name, streamed.texts[named] + sizeof(uint32_t), length);
				right &= strcmp(name, texts[links[j]]) <= 0;
			}
		}
	}
	check(right, "a component is named by its least");
	free(least);

	/* generic nodes */
	for (int i = 0; i < 3; i++)
		namespaces[i] = (CxmSolveNamespace) {.max = next_random(4), .max_links = next_random(6), .counts = next_random(3) > 0};
	solve.rules = calloc(n, sizeof(CxmSolveRules));
	if (solve.rules == NULL)
		abort();
	for (uint32_t i = 0; i < n; i++)
		solve.rules[i].namespace = (uint16_t) next_random(3);
	cxm_solve_find_generic(&solve, namespaces);
	right = true;
	for (uint32_t x = 0; x < n; x++)
	{
		const CxmSolveNamespace *rules = &namespaces[solve.rules[node_of[x]].namespace];
		bool		is_neighbour[MAX_NODES] = {false};
		uint32_t	degree = 0;

		for (size_t i = 0; i < nlinks; i++)
		{
			if (links[2 * i] == x)
				is_neighbour[links[2 * i + 1]] = true;
			if (links[2 * i + 1] == x)
				is_neighbour[links[2 * i]] = true;
		}
		for (uint32_t y = 0; y < n; y++)
			degree += is_neighbour[y] && y != x && namespaces[solve.rules[node_of[y]].namespace].counts;
		is_out[x] = rules->max_links > 0 && degree > rules->max_links;
		right &= is_out[x] == solve.rules[node_of[x]].is_generic;
	}
	check(right, "generic are those with too many different neighbours that count");

	/* components without these, and those in which there are too many of a namespace */
	cxm_solve_join_kept(&solve);
	oracle(n, links, nlinks, is_out, label);
	nbound = cxm_solve_find_bound(&solve, namespaces, 3);
	right = true;
	for (uint32_t x = 0; x < n; x++)
	{
		uint32_t	count[3] = {0};
		bool		is_bound = false;

		for (uint32_t y = 0; y < n; y++)
		{
			right &= (label[x] == label[y]) == (solve.parent[node_of[x]] == solve.parent[node_of[y]]);
			if (label[x] == label[y])
				count[solve.rules[node_of[y]].namespace]++;
		}
		for (int i = 0; i < 3; i++)
			is_bound |= namespaces[i].max > 0 && count[i] > namespaces[i].max;
		right &= is_bound == solve.rules[solve.parent[node_of[x]]].is_bound;
		nbound -= is_bound;
	}
	check(right && nbound == 0, "a limit binds where there are too many of a namespace");
	end(&solve);
	end(&streamed);
}

/* the table and the arrays grow many times; ids that differ in the lower or in the upper bits alone */
static void
many_nodes(int shift)
{
	CxmSolve	solve = begin(false);
	uint32_t	n = 300000;
	bool		right = true;
	uint32_t   *least;

	for (uint32_t i = 0; i + 1 < n; i++)
	{
		int64_t		ids[2] = {(int64_t) ((uint64_t) i << shift), (int64_t) ((uint64_t) (i + 1) << shift)};
		uint32_t	nodes[2];

		right &= cxm_solve_intern_ids(&solve, ids, 2, nodes) && nodes[0] == i && nodes[1] == i + 1;
		if (i % 3 != 2)
			cxm_solve_join(&solve, nodes, 1);
	}
	check(right && solve.nnodes == n, "a table that grows loses nothing");
	cxm_solve_name(&solve);
	least = cxm_solve_least(&solve);
	for (uint32_t i = 0; i < n; i++)
	{
		uint32_t	a = least[solve.parent[i]];

		/* triples, of which the least as signed numbers */
		right &= a / 3 == i / 3 && solve.ids[i] == (int64_t) ((uint64_t) i << shift) && solve.ids[a] <= solve.ids[i];
	}
	check(right, "triples are triples");
	free(least);
	end(&solve);
}

static void
no_links(void)
{
	CxmSolve	solve = begin(false);
	CxmSolveNamespace namespace = {.max = 1, .max_links = 1, .counts = true};

	cxm_solve_name(&solve);
	solve.rules = resize(NULL, 1);
	cxm_solve_find_generic(&solve, &namespace);
	cxm_solve_join_kept(&solve);
	check(cxm_solve_find_bound(&solve, &namespace, 1) == 0, "nothing is bound where nothing is");
	free(cxm_solve_least(&solve));
	end(&solve);
}

static void
too_many(void)
{
	CxmSolve	solve = begin(false);
	int64_t		ids[2] = {1, 2};
	uint32_t	nodes[2];

	solve.nnodes = CXM_SOLVE_MAX_NODES - 1;
	check(!cxm_solve_intern_ids(&solve, ids, 2, nodes), "there is an end to the numbers");
	solve.nnodes = 0;
	cxm_solve_name(&solve);
	end(&solve);
}

int
main(void)
{
	for (int i = 0; i < 3000; i++)
		random_graph(i % 2 == 0);
	many_nodes(0);
	many_nodes(20);
	many_nodes(45);
	no_links();
	too_many();
	return report();
}
