/*
 * src/solve_core.c
 *		Connected components of a graph that comes a few links at a time, in little memory, and who joins too many.
 *
 * What takes the time is waiting for memory: each end of a link is looked up
 * in a table of many megabytes.  So links are taken in batches, in which
 * memory is asked for a step before it is needed.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "solve_core.h"

#include <string.h>

#define FIRST_SLOT_BITS	10
#define FIRST_ROOM		512

/* texts are kept in pieces of this size, longer ones in their own */
#define TEXT_PIECE		1048576

/* links between two calls of poll() */
#define POLL_LINKS		65536

/* how many links ahead memory is asked for */
#define LINKS_AHEAD		16

#if defined(__GNUC__)
#define ask_for(address) __builtin_prefetch(address)
#else
#define ask_for(address) ((void) (address))
#endif

/* A one-to-one function of 64 bits that leaves no pattern in the upper ones */
static inline uint64_t
scramble(uint64_t key, uint64_t seed)
{
	key = (key ^ seed) * UINT64_C(0x9E3779B97F4A7C15);
	key ^= key >> 32;
	key = (key + seed) * UINT64_C(0xD6E8FEB86659FD93);
	return key ^ key >> 29;
}

/*
 * The slot where the search for a key begins.  By the upper bits, so that a
 * table of twice the size has everything in the same order.
 */
static inline size_t
home_of(const CxmSolve *solve, uint64_t hash)
{
	return (size_t) (hash >> (64 - solve->slot_bits));
}

static inline uint64_t
hash_of(const CxmSolve *solve, uint64_t key)
{
	return solve->is_text ? key : scramble(key, solve->seed);
}

void
cxm_solve_begin(CxmSolve *solve)
{
	size_t		size = sizeof(CxmSolveSlot) << FIRST_SLOT_BITS;

	solve->slot_bits = FIRST_SLOT_BITS;
	solve->slots = solve->resize(NULL, size);
	memset(solve->slots, 0, size);
}

static void
double_slots(CxmSolve *solve)
{
	CxmSolveSlot *old = solve->slots;
	size_t		nold = (size_t) 1 << solve->slot_bits;
	size_t		mask = 2 * nold - 1;

	solve->slots = solve->resize(NULL, 2 * nold * sizeof(CxmSolveSlot));
	memset(solve->slots, 0, 2 * nold * sizeof(CxmSolveSlot));
	solve->slot_bits++;
	for (size_t i = 0; i < nold; i++)
	{
		size_t		slot;

		if (old[i].node == 0)
			continue;
		slot = home_of(solve, hash_of(solve, old[i].key));
		while (solve->slots[slot].node != 0)
			slot = (slot + 1) & mask;
		solve->slots[slot] = old[i];
	}
	solve->release(old);
	solve->poll();
}

/* Room for n more nodes, so that nothing moves while they are added; false when there would be too many */
static bool
make_room(CxmSolve *solve, uint32_t n)
{
	uint64_t	needed = (uint64_t) solve->nnodes + n;

	if (needed > CXM_SOLVE_MAX_NODES)
		return false;
	/* at most three quarters of the table are used */
	while (needed * 4 > ((uint64_t) 3 << solve->slot_bits))
		double_slots(solve);
	if (needed > solve->room)
	{
		uint64_t	room = solve->room == 0 ? FIRST_ROOM : (uint64_t) solve->room * 2;

		if (room < needed)
			room = needed;
		if (room > CXM_SOLVE_MAX_NODES)
			room = CXM_SOLVE_MAX_NODES;
		solve->parent = solve->resize(solve->parent, room * sizeof(uint32_t));
		if (solve->is_text)
			solve->texts = solve->resize((void *) solve->texts, room * sizeof(char *));
		solve->room = (uint32_t) room;
	}
	return true;
}

static uint32_t
add_node(CxmSolve *solve, size_t slot, uint64_t key)
{
	uint32_t	node = solve->nnodes++;

	solve->slots[slot].key = key;
	solve->slots[slot].node = node + 1;
	solve->parent[node] = node;
	return node;
}

/* The nodes of up to 2 * CXM_SOLVE_BATCH ids, new ones where there are none yet; false when there would be too many */
bool
cxm_solve_intern_ids(CxmSolve *solve, const int64_t *ids, int n, uint32_t *nodes)
{
	size_t		home[2 * CXM_SOLVE_BATCH];
	size_t		mask;

	if (!make_room(solve, (uint32_t) n))
		return false;
	mask = ((size_t) 1 << solve->slot_bits) - 1;
	for (int i = 0; i < n; i++)
	{
		home[i] = home_of(solve, scramble((uint64_t) ids[i], solve->seed));
		ask_for(&solve->slots[home[i]]);
	}
	for (int i = 0; i < n; i++)
	{
		uint64_t	key = (uint64_t) ids[i];
		size_t		slot = home[i];

		while (solve->slots[slot].node != 0 && solve->slots[slot].key != key)
			slot = (slot + 1) & mask;
		nodes[i] = solve->slots[slot].node != 0 ? solve->slots[slot].node - 1 : add_node(solve, slot, key);
		ask_for(&solve->parent[nodes[i]]);
	}
	return true;
}

static const char *
keep_text(CxmSolve *solve, const char *text, uint32_t length)
{
	/* aligned for the length in front */
	size_t		size = (2 * sizeof(uint32_t) - 1 + (size_t) length) & ~(sizeof(uint32_t) - 1);
	char	   *place;

	if (size > TEXT_PIECE / 16)
		place = solve->resize(NULL, size);
	else
	{
		if (size > solve->text_left)
		{
			solve->text_space = solve->resize(NULL, TEXT_PIECE);
			solve->text_left = TEXT_PIECE;
		}
		place = solve->text_space;
		solve->text_space += size;
		solve->text_left -= size;
	}
	memcpy(place, &length, sizeof(uint32_t));
	memcpy(place + sizeof(uint32_t), text, length);
	return place;
}

static bool
is_text(const char *kept, const char *text, uint32_t length)
{
	return memcmp(kept, &length, sizeof(uint32_t)) == 0 && memcmp(kept + sizeof(uint32_t), text, length) == 0;
}

/* The same for texts.  Those of equal hash are compared. */
bool
cxm_solve_intern_texts(CxmSolve *solve, const char *const *texts, const uint32_t *lengths,
					   const uint64_t *hashes, int n, uint32_t *nodes)
{
	size_t		found[2 * CXM_SOLVE_BATCH];
	size_t		mask;

	if (!make_room(solve, (uint32_t) n))
		return false;
	mask = ((size_t) 1 << solve->slot_bits) - 1;
	for (int i = 0; i < n; i++)
		ask_for(&solve->slots[home_of(solve, hashes[i])]);
	for (int i = 0; i < n; i++)
	{
		found[i] = home_of(solve, hashes[i]);
		while (solve->slots[found[i]].node != 0 && solve->slots[found[i]].key != hashes[i])
			found[i] = (found[i] + 1) & mask;
		if (solve->slots[found[i]].node != 0)
			ask_for(&solve->texts[solve->slots[found[i]].node - 1]);
	}
	for (int i = 0; i < n; i++)
	{
		if (solve->slots[found[i]].node != 0)
			ask_for(solve->texts[solve->slots[found[i]].node - 1]);
	}
	for (int i = 0; i < n; i++)
	{
		size_t		slot = found[i];

		while (solve->slots[slot].node != 0 &&
			   (solve->slots[slot].key != hashes[i] ||
				!is_text(solve->texts[solve->slots[slot].node - 1], texts[i], lengths[i])))
			slot = (slot + 1) & mask;
		if (solve->slots[slot].node != 0)
			nodes[i] = solve->slots[slot].node - 1;
		else
		{
			nodes[i] = add_node(solve, slot, hashes[i]);
			solve->texts[nodes[i]] = keep_text(solve, texts[i], lengths[i]);
		}
		ask_for(&solve->parent[nodes[i]]);
	}
	return true;
}

static inline uint32_t
find(uint32_t *parent, uint32_t node)
{
	while (parent[node] != node)
	{
		parent[node] = parent[parent[node]];
		node = parent[node];
	}
	return node;
}

static inline void
join(uint32_t *parent, uint32_t a, uint32_t b)
{
	uint32_t	x = find(parent, a);
	uint32_t	y = find(parent, b);

	if (x < y)
		parent[y] = x;
	else
		parent[x] = y;
}

/* Take links that need not be kept */
void
cxm_solve_join(CxmSolve *solve, const uint32_t *links, size_t n)
{
	for (size_t i = 0; i < n; i++)
		join(solve->parent, links[2 * i], links[2 * i + 1]);
}

void
cxm_solve_keep(CxmSolve *solve, const uint32_t *links, const int64_t *order, size_t n)
{
	if (solve->nlinks + n > solve->link_room)
	{
		solve->link_room = solve->link_room == 0 ? FIRST_ROOM : solve->link_room * 2;
		solve->links = solve->resize(solve->links, solve->link_room * 2 * sizeof(uint32_t));
		if (solve->is_ordered)
			solve->order = solve->resize(solve->order, solve->link_room * sizeof(int64_t));
	}
	memcpy(&solve->links[2 * solve->nlinks], links, n * 2 * sizeof(uint32_t));
	if (solve->is_ordered)
		memcpy(&solve->order[solve->nlinks], order, n * sizeof(int64_t));
	solve->nlinks += n;
}

/* All nodes are known: list their ids, and give back what looked them up */
void
cxm_solve_name(CxmSolve *solve)
{
	if (!solve->is_text)
	{
		size_t		nslots = (size_t) 1 << solve->slot_bits;

		solve->ids = solve->resize(NULL, (size_t) solve->nnodes * sizeof(int64_t) + 1);
		for (size_t i = 0; i < nslots; i++)
		{
			if (i + LINKS_AHEAD < nslots && solve->slots[i + LINKS_AHEAD].node != 0)
				ask_for(&solve->ids[solve->slots[i + LINKS_AHEAD].node - 1]);
			if (solve->slots[i].node != 0)
				solve->ids[solve->slots[i].node - 1] = (int64_t) solve->slots[i].key;
		}
	}
	solve->release(solve->slots);
	solve->slots = NULL;
}

static void
count_neighbour(CxmSolve *solve, const CxmSolveNamespace *namespaces, uint32_t from, uint32_t to)
{
	CxmSolveRules *rules = &solve->rules[from];

	if (namespaces[solve->rules[to].namespace].counts && rules->degree < UINT32_MAX)
		rules->degree++;
}

/*
 * Nodes that may be generic have as their degree their number among those, from 1 on, and all others 0.  Count the
 * different ones among their neighbours.
 */
static void
count_distinct(CxmSolve *solve, const CxmSolveNamespace *namespaces, uint32_t ncandidates)
{
	size_t	   *first = solve->resize(NULL, ((size_t) ncandidates + 2) * sizeof(size_t));
	uint32_t   *seen = solve->resize(NULL, (size_t) solve->nnodes * sizeof(uint32_t));
	uint32_t   *neighbours = NULL;

	memset(first, 0, ((size_t) ncandidates + 2) * sizeof(size_t));
	memset(seen, 0, (size_t) solve->nnodes * sizeof(uint32_t));

	/* how many, then which; first[c] moves from the start to the end of c's */
	for (int pass = 0; pass < 2; pass++)
	{
		for (size_t i = 0; i < solve->nlinks; i++)
		{
			if (i % POLL_LINKS == 0)
				solve->poll();
			if (i + LINKS_AHEAD < solve->nlinks)
			{
				ask_for(&solve->rules[solve->links[2 * (i + LINKS_AHEAD)]]);
				ask_for(&solve->rules[solve->links[2 * (i + LINKS_AHEAD) + 1]]);
			}
			for (int end = 0; end < 2; end++)
			{
				uint32_t	from = solve->links[2 * i + end];
				uint32_t	to = solve->links[2 * i + 1 - end];
				uint32_t	candidate = solve->rules[from].degree;

				if (candidate == 0 || from == to || !namespaces[solve->rules[to].namespace].counts)
					continue;
				if (pass == 0)
					first[candidate + 1]++;
				else
					neighbours[first[candidate]++] = to;
			}
		}
		if (pass == 0)
		{
			for (uint32_t c = 1; c <= ncandidates + 1; c++)
				first[c] += first[c - 1];
			neighbours = solve->resize(NULL, first[ncandidates + 1] * sizeof(uint32_t) + 1);
		}
	}

	for (uint32_t node = 0; node < solve->nnodes; node++)
	{
		CxmSolveRules *rules = &solve->rules[node];
		uint32_t	candidate = rules->degree;
		uint32_t	distinct = 0;

		if (candidate == 0)
			continue;
		solve->poll();
		for (size_t i = first[candidate - 1]; i < first[candidate]; i++)
		{
			if (seen[neighbours[i]] != candidate)
				distinct++;
			seen[neighbours[i]] = candidate;
		}
		rules->is_generic = distinct > namespaces[rules->namespace].max_links;
	}
	solve->release(neighbours);
	solve->release(seen);
	solve->release(first);
}

/* Mark the nodes with more different neighbours that count than their namespace allows */
void
cxm_solve_find_generic(CxmSolve *solve, const CxmSolveNamespace *namespaces)
{
	uint32_t	ncandidates = 0;

	for (size_t i = 0; i < solve->nlinks; i++)
	{
		uint32_t	a = solve->links[2 * i];
		uint32_t	b = solve->links[2 * i + 1];

		if (i % POLL_LINKS == 0)
			solve->poll();
		if (i + LINKS_AHEAD < solve->nlinks)
		{
			ask_for(&solve->rules[solve->links[2 * (i + LINKS_AHEAD)]]);
			ask_for(&solve->rules[solve->links[2 * (i + LINKS_AHEAD) + 1]]);
		}
		if (a != b)
		{
			count_neighbour(solve, namespaces, a, b);
			count_neighbour(solve, namespaces, b, a);
		}
	}
	for (uint32_t i = 0; i < solve->nnodes; i++)
	{
		uint32_t	max_links = namespaces[solve->rules[i].namespace].max_links;

		solve->rules[i].degree = max_links > 0 && solve->rules[i].degree > max_links ? ++ncandidates : 0;
	}
	if (ncandidates > 0)
		count_distinct(solve, namespaces, ncandidates);
}

/* Take all links that are kept, but those of generic nodes */
void
cxm_solve_join_kept(CxmSolve *solve)
{
	const CxmSolveRules *rules = solve->rules;
	uint32_t   *parent = solve->parent;

	for (size_t i = 0; i < solve->nlinks; i++)
	{
		uint32_t	a = solve->links[2 * i];
		uint32_t	b = solve->links[2 * i + 1];

		if (i % POLL_LINKS == 0)
			solve->poll();
		if (i + LINKS_AHEAD < solve->nlinks)
		{
			for (int end = 0; end < 2; end++)
			{
				ask_for(&rules[solve->links[2 * (i + LINKS_AHEAD) + end]]);
				ask_for(&parent[solve->links[2 * (i + LINKS_AHEAD) + end]]);
			}
		}
		if (!rules[a].is_generic && !rules[b].is_generic)
			join(parent, a, b);
	}
}

/* Mark the roots of the components with more nodes of a namespace than it allows; how many nodes these have */
uint32_t
cxm_solve_find_bound(CxmSolve *solve, const CxmSolveNamespace *namespaces, uint32_t nnamespaces)
{
	CxmSolveRules *rules = solve->rules;
	uint32_t	n = solve->nnodes;
	uint32_t   *first = solve->resize(NULL, ((size_t) nnamespaces + 1) * sizeof(uint32_t));
	uint32_t   *nodes = solve->resize(NULL, (size_t) n * sizeof(uint32_t) + 1);
	uint32_t	nbound = 0;

	/* the nodes by namespace, so that one counter in each root serves one namespace after the other */
	memset(first, 0, ((size_t) nnamespaces + 1) * sizeof(uint32_t));
	for (uint32_t i = 0; i < n; i++)
	{
		rules[i].degree = 0;
		solve->parent[i] = find(solve->parent, i);
		first[rules[i].namespace + 1]++;
	}
	for (uint32_t i = 0; i < nnamespaces; i++)
		first[i + 1] += first[i];
	for (uint32_t i = 0; i < n; i++)
		nodes[first[rules[i].namespace]++] = i;
	solve->poll();

	for (uint32_t namespace = 0; namespace < nnamespaces; namespace++)
	{
		uint32_t	begin = namespace == 0 ? 0 : first[namespace - 1];

		if (namespaces[namespace].max == 0)
			continue;
		for (uint32_t i = begin; i < first[namespace]; i++)
		{
			CxmSolveRules *root = &rules[solve->parent[nodes[i]]];

			if (++root->degree > namespaces[namespace].max)
				root->is_bound = true;
		}
		for (uint32_t i = begin; i < first[namespace]; i++)
			rules[solve->parent[nodes[i]]].degree = 0;
		solve->poll();
	}
	for (uint32_t i = 0; i < n; i++)
		nbound += rules[solve->parent[i]].is_bound;
	solve->release(nodes);
	solve->release(first);
	return nbound;
}

static bool
is_less(const CxmSolve *solve, uint32_t x, uint32_t y)
{
	uint32_t	length_x;
	uint32_t	length_y;
	int			order;

	if (!solve->is_text)
		return solve->ids[x] < solve->ids[y];
	memcpy(&length_x, solve->texts[x], sizeof(uint32_t));
	memcpy(&length_y, solve->texts[y], sizeof(uint32_t));
	order = memcmp(solve->texts[x] + sizeof(uint32_t), solve->texts[y] + sizeof(uint32_t),
				   length_x < length_y ? length_x : length_y);
	return order != 0 ? order < 0 : length_x < length_y;
}

/* For the root of each component its least node; all parents are roots then */
uint32_t *
cxm_solve_least(CxmSolve *solve)
{
	uint32_t   *least = solve->resize(NULL, (size_t) solve->nnodes * sizeof(uint32_t) + 1);

	for (uint32_t i = 0; i < solve->nnodes; i++)
		least[i] = i;
	for (uint32_t i = 0; i < solve->nnodes; i++)
	{
		uint32_t	root = find(solve->parent, i);

		if (i % POLL_LINKS == 0)
			solve->poll();
		solve->parent[i] = root;
		if (is_less(solve, i, least[root]))
			least[root] = i;
	}
	return least;
}
