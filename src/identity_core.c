/*
 * src/identity_core.c
 *		Who is one person: the partition of identifiers that links and rules give.
 *
 * Every rule is of the kind that two clusters may not become one because of
 * something in the one and something in the other.  So whatever forbids two
 * clusters forbids any that contain them, and a connected component in which
 * no rule is broken as a whole needs no order: all its links hold.  Only the
 * components in which a rule might bind are taken link by link.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "identity_core.h"

#include <string.h>

#define NONE UINT32_MAX

/* steps between two calls of poll() */
#define POLL_STEPS 8192

/* bits of the parts of a strength, from the greatest on: kind 2, verified 1, two ranks, evidence 1, probability */
#define RANK_BITS 14
#define PROBABILITY_BITS 31

/* so many refusals are remembered at most */
#define MAX_REFUSALS 1048576U

/* how a limit is kept track of: a namespace that has one, its counts and, with a window, its trees */
typedef struct Limit
{
	uint32_t	max;			/* 0: only is_unique binds */
	int64_t		window;			/* 0: for ever */
	bool		is_unique;
	uint32_t	tree;			/* which of the trees of a cluster, when there is a window */
} Limit;

/* an end of a link of kind never, in the list of its cluster */
typedef struct Apart
{
	uint32_t	other;
	uint32_t	next;
} Apart;

/* two clusters that may not become one, how large they were then, and why */
typedef struct Refusal
{
	uint32_t	x;
	uint32_t	y;
	uint32_t	size_x;
	uint32_t	size_y;
	CxmRefusal	reason;
} Refusal;

typedef struct Solver
{
	CxmIdentityGraph *graph;
	uint32_t   *parent;
	uint32_t	steps;

	/* of the components in which a rule might bind: their identifiers, numbered from 0 */
	uint32_t   *local;			/* by identifier; NONE for the others */
	uint32_t	nlocal;
	uint32_t   *size;

	Limit	   *limits;
	uint32_t	nlimits;
	uint32_t   *limit_of;		/* by namespace; NONE for those without */
	uint32_t   *counts;			/* nlimits for each cluster */

	/* treaps of the identifiers of a cluster and namespace, by time */
	uint32_t	ntrees;
	uint32_t   *tree;			/* ntrees roots for each cluster */
	uint32_t   *left;
	uint32_t   *right;
	uint32_t   *global;			/* identifier by local number */
	bool	   *crowded;		/* by tree: has it more than max within a window? */
	int64_t    *times;			/* room for a run to each side */

	Apart	   *apart;
	uint32_t   *apart_first;
	uint32_t   *apart_last;
	uint32_t   *napart;
	bool		has_apart;

	bool	   *is_known;

	Refusal    *refusals;		/* the last ones, each at the place of its hash; NULL: the rules are quick to test */
	uint32_t	nrefusals;
} Solver;

static inline void
step(Solver *solver)
{
	if (++solver->steps % POLL_STEPS == 0)
		solver->graph->poll();
}

static void *
allocate(const Solver *solver, size_t count, size_t size)
{
	return solver->graph->allocate((count == 0 ? 1 : count) * size);
}

static uint32_t *
allocate_numbers(const Solver *solver, size_t count, uint32_t value)
{
	uint32_t   *numbers = allocate(solver, count, sizeof(uint32_t));

	for (size_t i = 0; i < count; i++)
		numbers[i] = value;
	return numbers;
}

uint64_t
cxm_identity_strength(CxmLinkKind kind, bool is_verified, uint32_t rank_a, uint32_t rank_b,
					  bool has_evidence, double probability)
{
	uint32_t	weak = rank_a > rank_b ? rank_a : rank_b;
	uint32_t	strong = rank_a > rank_b ? rank_b : rank_a;
	uint64_t	strength = kind;
	double		doubt = probability >= 0 && probability <= 1 ? 1 - probability : 0;

	strength = strength << 1 | !is_verified;
	strength = strength << RANK_BITS | (weak < CXM_MAX_RANK ? weak : CXM_MAX_RANK);
	strength = strength << RANK_BITS | (strong < CXM_MAX_RANK ? strong : CXM_MAX_RANK);
	strength = strength << 1 | !has_evidence;
	return strength << PROBABILITY_BITS | (uint64_t) (doubt * INT32_MAX);
}

static uint32_t
find(uint32_t *parent, uint32_t node)
{
	while (parent[node] != node)
	{
		parent[node] = parent[parent[node]];
		node = parent[node];
	}
	return node;
}

/*
 * Sorting, with the graph at hand for the ties.  Quicksort that goes over to
 * heapsort where its pivots are bad, so that no order of links is slow.
 */
static bool
is_before(const CxmIdentifier *identifiers, const CxmIdentityLink *x, const CxmIdentityLink *y)
{
	uint64_t	x_least;
	uint64_t	y_least;
	uint64_t	x_greatest;
	uint64_t	y_greatest;

	if (x->strength != y->strength)
		return x->strength < y->strength;
	if (x->at != y->at)
		return x->at < y->at;

	x_least = identifiers[x->a].hash;
	x_greatest = identifiers[x->b].hash;
	if (x_least > x_greatest)
	{
		x_least = identifiers[x->b].hash;
		x_greatest = identifiers[x->a].hash;
	}
	y_least = identifiers[y->a].hash;
	y_greatest = identifiers[y->b].hash;
	if (y_least > y_greatest)
	{
		y_least = identifiers[y->b].hash;
		y_greatest = identifiers[y->a].hash;
	}
	return x_least != y_least ? x_least < y_least : x_greatest < y_greatest;
}

static void
swap_links(CxmIdentityLink *x, CxmIdentityLink *y)
{
	CxmIdentityLink z = *x;

	*x = *y;
	*y = z;
}

static void
sift_down(const CxmIdentifier *identifiers, CxmIdentityLink *links, size_t root, size_t n)
{
	for (;;)
	{
		size_t		child = 2 * root + 1;

		if (child >= n)
			return;
		if (child + 1 < n && is_before(identifiers, &links[child], &links[child + 1]))
			child++;
		if (!is_before(identifiers, &links[root], &links[child]))
			return;
		swap_links(&links[root], &links[child]);
		root = child;
	}
}

static void
heap_sort(Solver *solver, CxmIdentityLink *links, size_t n)
{
	const CxmIdentifier *identifiers = solver->graph->identifiers;

	for (size_t i = n / 2; i-- > 0;)
	{
		step(solver);
		sift_down(identifiers, links, i, n);
	}
	for (size_t i = n; i-- > 1;)
	{
		step(solver);
		swap_links(&links[0], &links[i]);
		sift_down(identifiers, links, 0, i);
	}
}

/* Divide around a pivot; returns where the second part begins, with at least one link in each */
static size_t
divide(Solver *solver, CxmIdentityLink *links, size_t n)
{
	const CxmIdentifier *identifiers = solver->graph->identifiers;
	CxmIdentityLink *first = &links[0];
	CxmIdentityLink *middle = &links[(n - 1) / 2];
	CxmIdentityLink *last = &links[n - 1];
	CxmIdentityLink pivot;
	size_t		i = 0;
	size_t		j = n - 1;

	if (is_before(identifiers, middle, first))
		swap_links(middle, first);
	if (is_before(identifiers, last, middle))
	{
		swap_links(last, middle);
		if (is_before(identifiers, middle, first))
			swap_links(middle, first);
	}
	pivot = *middle;

	for (;;)
	{
		step(solver);
		while (is_before(identifiers, &links[i], &pivot))
			i++;
		while (is_before(identifiers, &pivot, &links[j]))
			j--;
		if (i >= j)
			return j + 1;
		swap_links(&links[i++], &links[j--]);
	}
}

static void
sort_links(Solver *solver, CxmIdentityLink *links, size_t n)
{
	int			depth = 2;

	for (size_t rest = n; rest > 1; rest /= 2)
		depth += 2;

	/* the smaller part by recursion, so it is never deep */
	while (n > 16)
	{
		size_t		second;

		if (depth-- == 0)
		{
			heap_sort(solver, links, n);
			return;
		}
		second = divide(solver, links, n);
		if (second < n - second)
		{
			sort_links(solver, links, second);
			links += second;
			n -= second;
		}
		else
		{
			sort_links(solver, links + second, n - second);
			n = second;
		}
	}

	for (size_t i = 1; i < n; i++)
	{
		for (size_t j = i; j > 0 && is_before(solver->graph->identifiers, &links[j], &links[j - 1]); j--)
			swap_links(&links[j], &links[j - 1]);
	}
}

/*
 * Quarantine
 */
static bool
is_limited(const CxmNamespace *rules)
{
	return rules->max_per_profile > 0 || rules->is_unique;
}

/* Does the link count for "from", as one to an identifier of which a person can have only some? */
static bool
counts_for(const CxmIdentityGraph *graph, const CxmIdentityLink *link, uint32_t from, uint32_t to)
{
	const CxmIdentifier *x = &graph->identifiers[from];
	const CxmIdentifier *y = &graph->identifiers[to];

	return (link->kind == CXM_SEEN || link->kind == CXM_MATCHED) && from != to
		&& x->quarantine == CXM_HOLDS && graph->namespaces[x->namespace].max_links > 0
		&& y->quarantine != CXM_BLOCKED && y->quarantine != CXM_MALFORMED
		&& is_limited(&graph->namespaces[y->namespace]);
}

static void
sift_down_number(uint64_t *numbers, size_t root, size_t n)
{
	for (;;)
	{
		size_t		child = 2 * root + 1;
		uint64_t	number = numbers[root];

		if (child >= n)
			return;
		if (child + 1 < n && numbers[child] < numbers[child + 1])
			child++;
		if (number >= numbers[child])
			return;
		numbers[root] = numbers[child];
		numbers[child] = number;
		root = child;
	}
}

static void
sort_numbers(Solver *solver, uint64_t *numbers, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
	{
		step(solver);
		sift_down_number(numbers, i, n);
	}
	for (size_t i = n; i-- > 1;)
	{
		uint64_t	number = numbers[0];

		step(solver);
		numbers[0] = numbers[i];
		numbers[i] = number;
		sift_down_number(numbers, 0, i);
	}
}

void
cxm_identity_quarantine(CxmIdentityGraph *graph)
{
	Solver		solver = {.graph = graph};
	CxmIdentifier *identifiers = graph->identifiers;
	uint32_t   *degree;
	uint64_t   *pairs;
	size_t		npairs = 0;
	bool		any = false;

	for (uint32_t i = 0; i < graph->nnamespaces; i++)
		any |= graph->namespaces[i].max_links > 0;
	if (!any || graph->nlinks == 0)
		return;

	/* links, of which there may be several to the same identifier: only who has too many is looked at again */
	degree = allocate_numbers(&solver, graph->nidentifiers, 0);
	for (size_t i = 0; i < graph->nlinks; i++)
	{
		const CxmIdentityLink *link = &graph->links[i];

		step(&solver);
		if (counts_for(graph, link, link->a, link->b))
			degree[link->a]++;
		if (counts_for(graph, link, link->b, link->a))
			degree[link->b]++;
	}
	for (uint32_t i = 0; i < graph->nidentifiers; i++)
	{
		uint32_t	max_links = graph->namespaces[identifiers[i].namespace].max_links;

		if (max_links == 0 || degree[i] <= max_links)
			degree[i] = 0;
		npairs += degree[i];
	}
	if (npairs == 0)
		return;

	pairs = allocate(&solver, npairs, sizeof(uint64_t));
	npairs = 0;
	for (size_t i = 0; i < graph->nlinks; i++)
	{
		const CxmIdentityLink *link = &graph->links[i];

		step(&solver);
		if (degree[link->a] > 0 && counts_for(graph, link, link->a, link->b))
			pairs[npairs++] = (uint64_t) link->a << 32 | link->b;
		if (degree[link->b] > 0 && counts_for(graph, link, link->b, link->a))
			pairs[npairs++] = (uint64_t) link->b << 32 | link->a;
	}
	sort_numbers(&solver, pairs, npairs);

	for (size_t i = 0; i < npairs;)
	{
		uint32_t	node = (uint32_t) (pairs[i] >> 32);
		uint32_t	distinct = 0;

		for (; i < npairs && pairs[i] >> 32 == node; i++)
		{
			if (i == 0 || pairs[i] != pairs[i - 1])
				distinct++;
		}
		if (distinct > graph->namespaces[identifiers[node].namespace].max_links)
			identifiers[node].quarantine = CXM_GENERIC;
	}
}

/*
 * The times of a limited namespace in a cluster, as a treap: a search tree by
 * (time, number) that is balanced by priorities drawn from the number.
 */
static uint32_t
priority_of(uint32_t node)
{
	uint32_t	x = node * 0x9E3779B1U;

	x ^= x >> 15;
	x *= 0x85EBCA77U;
	return x ^ x >> 13;
}

static int64_t
time_of(const Solver *solver, uint32_t node)
{
	return solver->graph->identifiers[solver->global[node]].at;
}

static bool
is_earlier(const Solver *solver, uint32_t x, uint32_t y)
{
	int64_t		x_at = time_of(solver, x);
	int64_t		y_at = time_of(solver, y);

	return x_at != y_at ? x_at < y_at : x < y;
}

/* The tree with one more node */
static void
insert_time(Solver *solver, uint32_t *root, uint32_t node)
{
	uint32_t   *place = root;
	uint32_t   *less = &solver->left[node];
	uint32_t   *more = &solver->right[node];
	uint32_t	rest;

	while (*place != NONE && priority_of(*place) >= priority_of(node))
		place = is_earlier(solver, node, *place) ? &solver->left[*place] : &solver->right[*place];

	/* what was there is divided among the new node's children */
	rest = *place;
	*place = node;
	while (rest != NONE)
	{
		if (is_earlier(solver, rest, node))
		{
			*less = rest;
			less = &solver->right[rest];
			rest = *less;
		}
		else
		{
			*more = rest;
			more = &solver->left[rest];
			rest = *more;
		}
	}
	*less = NONE;
	*more = NONE;
}

/* Empty one tree into another */
static void
merge_times(Solver *solver, uint32_t *into, uint32_t from)
{
	uint32_t	stack = from;	/* trees that wait, chained by their left child once that is free */

	while (stack != NONE)
	{
		uint32_t	node = stack;
		uint32_t	left = solver->left[node];

		step(solver);
		if (left != NONE)
		{
			/* turn right till there is no left child */
			solver->left[node] = solver->right[left];
			solver->right[left] = node;
			stack = left;
			continue;
		}
		stack = solver->right[node];
		insert_time(solver, into, node);
	}
}

/* The node right before or after one, or before or after where that one would be; NONE at the end */
static uint32_t
neighbour(const Solver *solver, uint32_t tree, uint32_t node, bool after)
{
	uint32_t	best = NONE;

	while (tree != NONE)
	{
		bool		beyond = after ? is_earlier(solver, node, tree) : is_earlier(solver, tree, node);

		if (beyond)
			best = tree;
		if (after)
			tree = beyond ? solver->left[tree] : solver->right[tree];
		else
			tree = beyond ? solver->right[tree] : solver->left[tree];
	}
	return best;
}

/*
 * Would the two trees together have more than max within a window that
 * contains the node, which is in one of them?
 */
static bool
is_crowded_around(Solver *solver, const Limit *limit, uint32_t own, uint32_t other, uint32_t node)
{
	int64_t    *times = &solver->times[limit->max];
	int64_t		before = 0;
	int64_t		after = 0;

	times[0] = time_of(solver, node);
	for (int direction = 0; direction < 2; direction++)
	{
		uint32_t	x = neighbour(solver, own, node, direction);
		uint32_t	y = neighbour(solver, other, node, direction);

		for (uint32_t i = 1; i <= limit->max && (x != NONE || y != NONE); i++)
		{
			bool		take_y = x == NONE || (y != NONE && is_earlier(solver, y, x) == (direction == 1));
			int64_t		time = time_of(solver, take_y ? y : x);

			step(solver);
			/* by subtraction of unsigned numbers, for the ends of time are far apart */
			if ((direction == 1 ? (uint64_t) time - (uint64_t) times[0] : (uint64_t) times[0] - (uint64_t) time)
				>= (uint64_t) limit->window)
				break;
			times[direction == 1 ? ++after : -(++before)] = time;
			if (take_y)
				y = neighbour(solver, other, y, direction);
			else
				x = neighbour(solver, own, x, direction);
		}
	}

	/* runs of max + 1 that contain place 0 */
	for (int64_t first = -before; first <= 0 && first + limit->max <= after; first++)
	{
		if ((uint64_t) times[first + limit->max] - (uint64_t) times[first] < (uint64_t) limit->window)
			return true;
	}
	return false;
}

/* Would the two clusters together have more than max within a window? */
static bool
is_crowded(Solver *solver, uint32_t l, uint32_t x, uint32_t y)
{
	const Limit *limit = &solver->limits[l];
	size_t		tree_x = (size_t) x * solver->ntrees + limit->tree;
	size_t		tree_y = (size_t) y * solver->ntrees + limit->tree;
	uint32_t	own = solver->tree[tree_x];
	uint32_t	other = solver->tree[tree_y];
	uint32_t	node;

	/* pinned links may have made one so by itself */
	if (solver->crowded[tree_x] || solver->crowded[tree_y])
		return true;

	/* otherwise a window with too many has some of each, so some of the smaller one */
	if (solver->counts[(size_t) x * solver->nlimits + l] > solver->counts[(size_t) y * solver->nlimits + l])
	{
		uint32_t	swap = own;

		own = other;
		other = swap;
	}

	node = own;
	while (solver->left[node] != NONE)
		node = solver->left[node];
	for (; node != NONE; node = neighbour(solver, own, node, true))
	{
		if (is_crowded_around(solver, limit, own, other, node))
			return true;
	}
	return false;
}

/*
 * Taking links
 */
static bool
are_kept_apart(const Solver *solver, uint32_t x, uint32_t y)
{
	uint32_t	few = solver->napart[x] <= solver->napart[y] ? x : y;
	uint32_t	many = few == x ? y : x;

	for (uint32_t i = solver->apart_first[few]; i != NONE; i = solver->apart[i].next)
	{
		if (solver->local[find(solver->parent, solver->apart[i].other)] == many)
			return true;
	}
	return false;
}

/*
 * May the clusters with these local numbers become one by this link?  What is
 * known already is not tested again: before and CXM_LIMIT say that a limit
 * forbids it.
 */
static CxmRefusal
test_union(Solver *solver, const CxmIdentityLink *link, uint32_t x, uint32_t y, CxmRefusal before)
{
	const uint32_t *counts_x = &solver->counts[(size_t) x * solver->nlimits];
	const uint32_t *counts_y = &solver->counts[(size_t) y * solver->nlimits];

	if (are_kept_apart(solver, x, y))
		return CXM_KEPT_APART;

	for (uint32_t l = 0; l < solver->nlimits; l++)
	{
		if (solver->limits[l].is_unique && counts_x[l] > 0 && counts_y[l] > 0)
			return CXM_UNIQUE;
	}
	if (link->kind == CXM_PINNED)
		return CXM_HOLDS;
	if (before == CXM_LIMIT)
		return CXM_LIMIT;

	for (uint32_t l = 0; l < solver->nlimits; l++)
	{
		const Limit *limit = &solver->limits[l];

		if (limit->max > 0 && counts_x[l] > 0 && counts_y[l] > 0
			&& (uint64_t) counts_x[l] + counts_y[l] > limit->max
			&& (limit->window == 0 || is_crowded(solver, l, x, y)))
			return CXM_LIMIT;
	}
	if (!link->is_verified && solver->is_known[x] && solver->is_known[y])
		return CXM_UNVERIFIED;
	return CXM_HOLDS;
}

/*
 * The same, remembering refusals.  Two clusters that may not become one never
 * may, however they grow; growth can only put an earlier reason in front.
 */
static CxmRefusal
test_union_again(Solver *solver, const CxmIdentityLink *link, uint32_t x, uint32_t y)
{
	Refusal    *memory;
	CxmRefusal	before = CXM_HOLDS;

	if (solver->refusals == NULL)
		return test_union(solver, link, x, y, before);

	if (x > y)
	{
		uint32_t	swap = x;

		x = y;
		y = swap;
	}
	memory = &solver->refusals[(x * 0x9E3779B1U ^ y * 0x85EBCA77U) >> 7 & (solver->nrefusals - 1)];
	if (memory->reason != CXM_HOLDS && memory->x == x && memory->y == y)
	{
		bool		same = memory->size_x == solver->size[x] && memory->size_y == solver->size[y];

		if (memory->reason == CXM_KEPT_APART || (same && (memory->reason != CXM_UNVERIFIED || !link->is_verified)))
			return memory->reason;
		before = memory->reason;
	}
	before = test_union(solver, link, x, y, before);
	if (before != CXM_HOLDS)
		*memory = (Refusal) {.x = x, .y = y, .size_x = solver->size[x], .size_y = solver->size[y], .reason = before};
	return before;
}

/* Put the smaller of two clusters, given by their roots, into the greater one */
static void
join(Solver *solver, uint32_t root_x, uint32_t root_y, bool is_pinned)
{
	uint32_t	x = solver->local[root_x];
	uint32_t	y = solver->local[root_y];

	if (solver->size[x] < solver->size[y])
	{
		join(solver, root_y, root_x, is_pinned);
		return;
	}
	solver->parent[root_y] = root_x;
	solver->size[x] += solver->size[y];
	solver->is_known[x] |= solver->is_known[y];

	for (uint32_t l = 0; l < solver->nlimits; l++)
	{
		uint32_t   *count_x = &solver->counts[(size_t) x * solver->nlimits + l];
		uint32_t   *count_y = &solver->counts[(size_t) y * solver->nlimits + l];

		if (solver->limits[l].window > 0 && *count_y > 0)
		{
			size_t		place_x = (size_t) x * solver->ntrees + solver->limits[l].tree;
			size_t		place_y = (size_t) y * solver->ntrees + solver->limits[l].tree;
			uint32_t   *tree_x = &solver->tree[place_x];
			uint32_t   *tree_y = &solver->tree[place_y];

			/* pinned links alone are not tested for it */
			if (is_pinned && *count_x > 0)
				solver->crowded[place_x] = is_crowded(solver, l, x, y);
			else
				solver->crowded[place_x] |= solver->crowded[place_y];
			if (*count_x < *count_y)
			{
				uint32_t	swap = *tree_x;

				*tree_x = *tree_y;
				*tree_y = swap;
			}
			merge_times(solver, tree_x, *tree_y);
		}
		*count_x += *count_y;
	}

	if (solver->napart[y] > 0)
	{
		if (solver->napart[x] == 0)
			solver->apart_first[x] = solver->apart_first[y];
		else
			solver->apart[solver->apart_last[x]].next = solver->apart_first[y];
		solver->apart_last[x] = solver->apart_last[y];
		solver->napart[x] += solver->napart[y];
	}
}

/* Links that quarantine refuses are settled; does this one wait for the rules? */
static bool
is_open(const CxmIdentityLink *link)
{
	return link->kind != CXM_NEVER && link->a != link->b && link->refused == CXM_HOLDS;
}

/* The components of all links that may hold */
static void
join_everything(Solver *solver)
{
	CxmIdentityGraph *graph = solver->graph;

	for (size_t i = 0; i < graph->nlinks; i++)
	{
		CxmIdentityLink *link = &graph->links[i];

		step(solver);
		link->refused = CXM_HOLDS;
		if (link->kind == CXM_SEEN || link->kind == CXM_MATCHED)
		{
			link->refused = graph->identifiers[link->a].quarantine;
			if (link->refused == CXM_HOLDS)
				link->refused = graph->identifiers[link->b].quarantine;
		}
		if (is_open(link))
		{
			uint32_t	x = find(solver->parent, link->a);
			uint32_t	y = find(solver->parent, link->b);

			if (x < y)
				solver->parent[y] = x;
			else
				solver->parent[x] = y;
		}
	}
}

/* Collect the namespaces that have a limit */
static void
find_limits(Solver *solver)
{
	const CxmIdentityGraph *graph = solver->graph;
	uint32_t	max = 0;

	solver->limits = allocate(solver, graph->nnamespaces, sizeof(Limit));
	solver->limit_of = allocate_numbers(solver, graph->nnamespaces, NONE);
	for (uint32_t i = 0; i < graph->nnamespaces; i++)
	{
		const CxmNamespace *rules = &graph->namespaces[i];
		Limit	   *limit = &solver->limits[solver->nlimits];

		if (!is_limited(rules))
			continue;
		*limit = (Limit) {.max = rules->max_per_profile, .window = rules->max_window, .is_unique = rules->is_unique};
		if (limit->max == 0)
			limit->window = 0;
		if (limit->window > 0)
		{
			limit->tree = solver->ntrees++;
			if (limit->max > max)
				max = limit->max;
		}
		solver->limit_of[i] = solver->nlimits++;
	}

	/* a window never has more in it than there are identifiers */
	if (max > graph->nidentifiers)
		max = graph->nidentifiers;
	for (uint32_t l = 0; l < solver->nlimits; l++)
	{
		if (solver->limits[l].window > 0 && solver->limits[l].max > max)
			solver->limits[l].max = max;
	}
	solver->times = allocate(solver, 2 * (size_t) max + 1, sizeof(int64_t));
}

/* Mark the roots of the components in which a rule might bind; how many identifiers these have */
static uint32_t
find_bound(Solver *solver, bool *is_bound)
{
	CxmIdentityGraph *graph = solver->graph;
	uint32_t	n = graph->nidentifiers;
	uint32_t   *count = allocate_numbers(solver, n, 0);
	uint32_t   *first = allocate_numbers(solver, (size_t) graph->nnamespaces + 1, 0);
	uint32_t   *order = allocate(solver, n, sizeof(uint32_t));
	uint32_t	nbound = 0;

	/* the identifiers by namespace, so that one counter for each component serves all namespaces in turn */
	for (uint32_t i = 0; i < n; i++)
		first[graph->identifiers[i].namespace + 1]++;
	for (uint32_t i = 0; i < graph->nnamespaces; i++)
		first[i + 1] += first[i];
	for (uint32_t i = 0; i < n; i++)
		order[first[graph->identifiers[i].namespace]++] = i;

	for (uint32_t i = 0, end; i < n; i = end)
	{
		uint32_t	namespace = graph->identifiers[order[i]].namespace;
		uint32_t	limit = solver->limit_of[namespace];
		uint32_t	max;

		end = first[namespace];
		if (limit == NONE)
			continue;
		max = solver->limits[limit].is_unique ? 1 : solver->limits[limit].max;
		for (uint32_t j = i; j < end; j++)
		{
			uint32_t	root = find(solver->parent, order[j]);

			step(solver);
			if (++count[root] > max)
				is_bound[root] = true;
		}
		for (uint32_t j = i; j < end; j++)
			count[find(solver->parent, order[j])] = 0;
	}

	for (uint32_t i = 0; i < n; i++)
	{
		step(solver);
		if (graph->identifiers[i].is_known && ++count[find(solver->parent, i)] > 1)
			is_bound[find(solver->parent, i)] = true;
	}
	for (size_t i = 0; i < graph->nlinks; i++)
	{
		uint32_t	root;

		step(solver);
		if (graph->links[i].kind != CXM_NEVER)
			continue;
		root = find(solver->parent, graph->links[i].a);
		if (root == find(solver->parent, graph->links[i].b))
			is_bound[root] = true;
	}

	for (uint32_t i = 0; i < n; i++)
		nbound += is_bound[find(solver->parent, i)];
	return nbound;
}

/* Each identifier of a bound component a cluster of its own */
static void
start_clusters(Solver *solver, const bool *is_bound)
{
	CxmIdentityGraph *graph = solver->graph;
	uint32_t	m = solver->nlocal;
	size_t		napart = 0;

	solver->local = allocate_numbers(solver, graph->nidentifiers, NONE);
	solver->global = allocate(solver, m, sizeof(uint32_t));
	solver->size = allocate_numbers(solver, m, 1);
	solver->counts = allocate_numbers(solver, (size_t) m * solver->nlimits, 0);
	solver->tree = allocate_numbers(solver, (size_t) m * solver->ntrees, NONE);
	solver->crowded = allocate(solver, (size_t) m * solver->ntrees, sizeof(bool));
	memset(solver->crowded, 0, (size_t) m * solver->ntrees);
	solver->left = allocate_numbers(solver, solver->ntrees > 0 ? m : 0, NONE);
	solver->right = allocate_numbers(solver, solver->ntrees > 0 ? m : 0, NONE);
	solver->is_known = allocate(solver, m, sizeof(bool));
	solver->apart_first = allocate_numbers(solver, m, NONE);
	solver->apart_last = allocate_numbers(solver, m, NONE);
	solver->napart = allocate_numbers(solver, m, 0);

	m = 0;
	for (uint32_t i = 0; i < graph->nidentifiers; i++)
	{
		const CxmIdentifier *identifier = &graph->identifiers[i];
		uint32_t	limit = solver->limit_of[identifier->namespace];

		step(solver);
		if (!is_bound[find(solver->parent, i)])
			continue;
		solver->local[i] = m;
		solver->global[m] = i;
		solver->is_known[m] = identifier->is_known;
		if (limit != NONE)
		{
			solver->counts[(size_t) m * solver->nlimits + limit] = 1;
			if (solver->limits[limit].window > 0)
				solver->tree[(size_t) m * solver->ntrees + solver->limits[limit].tree] = m;
		}
		m++;
	}
	for (uint32_t i = 0; i < m; i++)
		solver->parent[solver->global[i]] = solver->global[i];

	for (size_t i = 0; i < graph->nlinks; i++)
		napart += graph->links[i].kind == CXM_NEVER;
	solver->has_apart = napart > 0;
	solver->apart = allocate(solver, 2 * napart, sizeof(Apart));
	napart = 0;
	for (size_t i = 0; i < graph->nlinks; i++)
	{
		const CxmIdentityLink *link = &graph->links[i];

		if (link->kind != CXM_NEVER || link->a == link->b)
			continue;
		for (int end = 0; end < 2; end++)
		{
			uint32_t	node = solver->local[end == 0 ? link->a : link->b];

			if (node == NONE)
				continue;
			solver->apart[napart] = (Apart) {.other = end == 0 ? link->b : link->a, .next = solver->apart_first[node]};
			solver->apart_first[node] = (uint32_t) napart++;
			if (solver->napart[node]++ == 0)
				solver->apart_last[node] = solver->apart_first[node];
		}
	}
}

/* Make room for refusals when testing one takes more than a few steps */
static void
begin_refusals(Solver *solver, size_t nlinks)
{
	if (solver->ntrees == 0 && !solver->has_apart)
		return;
	solver->nrefusals = 16;
	while (solver->nrefusals < nlinks && solver->nrefusals < MAX_REFUSALS)
		solver->nrefusals *= 2;
	solver->refusals = allocate(solver, solver->nrefusals, sizeof(Refusal));
	memset(solver->refusals, 0, solver->nrefusals * sizeof(Refusal));
}

/* Bring the open links of the bound components to the front, strongest first; how many there are */
static size_t
order_links(Solver *solver)
{
	CxmIdentityLink *links = solver->graph->links;
	size_t		nfront = 0;

	for (size_t i = 0; i < solver->graph->nlinks; i++)
	{
		step(solver);
		if (is_open(&links[i]) && solver->local[links[i].a] != NONE)
			swap_links(&links[nfront++], &links[i]);
	}
	sort_links(solver, links, nfront);
	return nfront;
}

void
cxm_identity_solve(CxmIdentityGraph *graph)
{
	Solver		solver = {.graph = graph};
	bool	   *is_bound;

	solver.parent = allocate(&solver, graph->nidentifiers, sizeof(uint32_t));
	for (uint32_t i = 0; i < graph->nidentifiers; i++)
		solver.parent[i] = i;
	join_everything(&solver);

	find_limits(&solver);
	is_bound = allocate(&solver, graph->nidentifiers, sizeof(bool));
	memset(is_bound, 0, graph->nidentifiers * sizeof(bool));
	solver.nlocal = find_bound(&solver, is_bound);

	if (solver.nlocal > 0)
	{
		size_t		nfront;

		start_clusters(&solver, is_bound);
		nfront = order_links(&solver);
		begin_refusals(&solver, nfront);
		for (size_t i = 0; i < nfront; i++)
		{
			CxmIdentityLink *link = &graph->links[i];
			uint32_t	x = find(solver.parent, link->a);
			uint32_t	y = find(solver.parent, link->b);

			step(&solver);
			if (x == y)
				continue;
			link->refused = test_union_again(&solver, link, solver.local[x], solver.local[y]);
			if (link->refused == CXM_HOLDS)
				join(&solver, x, y, link->kind == CXM_PINNED);
		}

		/* what was refused then may have come together another way */
		for (size_t i = 0; i < nfront; i++)
		{
			if (find(solver.parent, graph->links[i].a) == find(solver.parent, graph->links[i].b))
				graph->links[i].refused = CXM_HOLDS;
		}
	}

	for (uint32_t i = 0; i < graph->nidentifiers; i++)
		graph->identifiers[i].cluster = find(solver.parent, i);
}
