/*
 * test/unit/identity_core_test.c
 *		The solver of identities against a slow one that is written from the rules alone.
 *
 * cc -Isrc test/unit/identity_core_test.c src/identity_core.c && ./a.out
 */
#include "identity_core.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

static bool
one_in(uint32_t n)
{
	return next_random(n) == 0;
}

/* memory is given back all at once, as the server does */
#define MAX_BLOCKS 1024

static void *blocks[MAX_BLOCKS];
static int	nblocks = 0;
static size_t npolls = 0;

static void *
allocate(size_t size)
{
	/* what is not set must not be relied upon */
	void	   *block = malloc(size + 1);

	if (block == NULL || nblocks == MAX_BLOCKS)
		abort();
	memset(block, 0xA5, size < 65536 ? size : 65536);
	blocks[nblocks++] = block;
	return block;
}

static void
give_back(void)
{
	while (nblocks > 0)
		free(blocks[--nblocks]);
}

static void
poll(void)
{
	npolls++;
}

/*
 * A case: what is said, before anything is derived from it
 */
#define MAX_NODES 48
#define MAX_LINKS 160
#define MAX_NAMESPACES 4

typedef struct Statement
{
	int			a;
	int			b;
	CxmLinkKind kind;
	bool		is_verified;
	bool		has_evidence;
	double		probability;	/* below 0: none is given */
	int64_t		at;
} Statement;

typedef struct Case
{
	int			nnamespaces;
	CxmNamespace namespaces[MAX_NAMESPACES];
	int			nnodes;
	int			namespace[MAX_NODES];
	uint64_t	hash[MAX_NODES];
	CxmRefusal	quarantine[MAX_NODES];
	int			nlinks;
	Statement	links[MAX_LINKS];
} Case;

typedef struct Answer
{
	CxmRefusal	quarantine[MAX_NODES];
	int			cluster[MAX_NODES]; /* least node */
	CxmRefusal	refused[MAX_LINKS];
} Answer;

static bool
is_limited(const CxmNamespace *rules)
{
	return rules->max_per_profile > 0 || rules->is_unique;
}

/* an identifier's time: the least of its links but those of kind never */
static int64_t
time_of(const Case *c, int node)
{
	int64_t		least = INT64_MAX;

	for (int i = 0; i < c->nlinks; i++)
	{
		const Statement *s = &c->links[i];

		if (s->kind != CXM_NEVER && (s->a == node || s->b == node) && s->at < least)
			least = s->at;
	}
	return least;
}

static bool
is_known(const Case *c, int node)
{
	for (int i = 0; i < c->nlinks; i++)
	{
		const Statement *s = &c->links[i];

		if (s->kind == CXM_SEEN && s->is_verified && (s->a == node || s->b == node))
			return true;
	}
	return false;
}

/*
 * The slow solver
 */
static void
quarantine(const Case *c, Answer *answer)
{
	for (int x = 0; x < c->nnodes; x++)
	{
		uint32_t	count = 0;

		answer->quarantine[x] = c->quarantine[x];
		for (int y = 0; y < c->nnodes; y++)
		{
			bool		linked = false;

			for (int i = 0; i < c->nlinks; i++)
			{
				const Statement *s = &c->links[i];

				if ((s->kind == CXM_SEEN || s->kind == CXM_MATCHED) && ((s->a == x && s->b == y) || (s->a == y && s->b == x)))
					linked = true;
			}
			if (x != y && linked && c->quarantine[y] == CXM_HOLDS && is_limited(&c->namespaces[c->namespace[y]]))
				count++;
		}
		if (c->quarantine[x] == CXM_HOLDS && c->namespaces[c->namespace[x]].max_links > 0
			&& count > c->namespaces[c->namespace[x]].max_links)
			answer->quarantine[x] = CXM_GENERIC;
	}
}

static int
sign(bool less, bool more)
{
	return less ? -1 : more ? 1 : 0;
}

/* below 0: x is the stronger one */
static int
compare_strength(const Case *c, const Statement *x, const Statement *y)
{
	const Statement *s[2] = {x, y};
	int			kind[2];
	uint32_t	weak[2];
	uint32_t	strong[2];
	double		probability[2];
	uint64_t	least[2];
	uint64_t	greatest[2];
	int			order;

	for (int i = 0; i < 2; i++)
	{
		uint32_t	rank_a = c->namespaces[c->namespace[s[i]->a]].rank;
		uint32_t	rank_b = c->namespaces[c->namespace[s[i]->b]].rank;
		uint64_t	hash_a = c->hash[s[i]->a];
		uint64_t	hash_b = c->hash[s[i]->b];

		kind[i] = s[i]->kind == CXM_PINNED ? 0 : s[i]->kind == CXM_SEEN ? 1 : 2;
		weak[i] = rank_a > rank_b ? rank_a : rank_b;
		strong[i] = rank_a > rank_b ? rank_b : rank_a;
		probability[i] = s[i]->probability < 0 ? 1 : s[i]->probability;
		least[i] = hash_a < hash_b ? hash_a : hash_b;
		greatest[i] = hash_a < hash_b ? hash_b : hash_a;
	}
	if ((order = sign(kind[0] < kind[1], kind[0] > kind[1])) != 0)
		return order;
	if ((order = sign(x->is_verified && !y->is_verified, y->is_verified && !x->is_verified)) != 0)
		return order;
	if ((order = sign(weak[0] < weak[1], weak[0] > weak[1])) != 0)
		return order;
	if ((order = sign(strong[0] < strong[1], strong[0] > strong[1])) != 0)
		return order;
	if ((order = sign(x->has_evidence && !y->has_evidence, y->has_evidence && !x->has_evidence)) != 0)
		return order;
	if ((order = sign(probability[0] > probability[1], probability[0] < probability[1])) != 0)
		return order;
	if ((order = sign(x->at < y->at, x->at > y->at)) != 0)
		return order;
	if ((order = sign(least[0] < least[1], least[0] > least[1])) != 0)
		return order;
	return sign(greatest[0] < greatest[1], greatest[0] > greatest[1]);
}

static int
compare_times(const void *x, const void *y)
{
	int64_t		a = *(const int64_t *) x;
	int64_t		b = *(const int64_t *) y;

	return (a > b) - (a < b);
}

static bool
breaks_limit(const Case *c, const int *cluster, int x, int y, int namespace)
{
	const CxmNamespace *rules = &c->namespaces[namespace];
	int64_t		times[MAX_NODES];
	uint32_t	in_x = 0;
	uint32_t	in_y = 0;
	int			n = 0;

	for (int i = 0; i < c->nnodes; i++)
	{
		if (c->namespace[i] != namespace || (cluster[i] != x && cluster[i] != y))
			continue;
		if (cluster[i] == x)
			in_x++;
		else
			in_y++;
		times[n++] = time_of(c, i);
	}
	if (rules->max_per_profile == 0 || in_x == 0 || in_y == 0)
		return false;
	if (rules->max_window == 0)
		return in_x + in_y > rules->max_per_profile;
	qsort(times, n, sizeof(int64_t), compare_times);
	for (int i = 0; i + (int) rules->max_per_profile < n; i++)
	{
		if ((uint64_t) times[i + rules->max_per_profile] - (uint64_t) times[i] < (uint64_t) rules->max_window)
			return true;
	}
	return false;
}

static CxmRefusal
test_union(const Case *c, const int *cluster, const Statement *s)
{
	int			x = cluster[s->a];
	int			y = cluster[s->b];
	bool		known_x = false;
	bool		known_y = false;

	for (int i = 0; i < c->nlinks; i++)
	{
		int			end_a = cluster[c->links[i].a];
		int			end_b = cluster[c->links[i].b];

		if (c->links[i].kind == CXM_NEVER && ((end_a == x && end_b == y) || (end_a == y && end_b == x)))
			return CXM_KEPT_APART;
	}
	for (int i = 0; i < c->nnodes; i++)
	{
		for (int j = 0; j < c->nnodes; j++)
		{
			if (cluster[i] == x && cluster[j] == y && c->namespace[i] == c->namespace[j] && c->namespaces[c->namespace[i]].is_unique)
				return CXM_UNIQUE;
		}
	}
	if (s->kind == CXM_PINNED)
		return CXM_HOLDS;
	for (int i = 0; i < c->nnamespaces; i++)
	{
		if (breaks_limit(c, cluster, x, y, i))
			return CXM_LIMIT;
	}
	for (int i = 0; i < c->nnodes; i++)
	{
		known_x |= cluster[i] == x && is_known(c, i);
		known_y |= cluster[i] == y && is_known(c, i);
	}
	return !s->is_verified && known_x && known_y ? CXM_UNVERIFIED : CXM_HOLDS;
}

static void
solve_slowly(const Case *c, Answer *answer)
{
	int			order[MAX_LINKS];
	int			n = 0;

	quarantine(c, answer);
	for (int i = 0; i < c->nnodes; i++)
		answer->cluster[i] = i;
	for (int i = 0; i < c->nlinks; i++)
	{
		const Statement *s = &c->links[i];
		int			place = n;

		answer->refused[i] = CXM_HOLDS;
		if (s->kind == CXM_SEEN || s->kind == CXM_MATCHED)
		{
			/* of two quarantined ends either reason will do: see is_same_reason() */
			answer->refused[i] = answer->quarantine[s->a] != CXM_HOLDS ? answer->quarantine[s->a] : answer->quarantine[s->b];
		}
		if (s->kind == CXM_NEVER || s->a == s->b || answer->refused[i] != CXM_HOLDS)
			continue;
		while (place > 0 && compare_strength(c, s, &c->links[order[place - 1]]) < 0)
		{
			order[place] = order[place - 1];
			place--;
		}
		order[place] = i;
		n++;
	}

	for (int i = 0; i < n; i++)
	{
		const Statement *s = &c->links[order[i]];
		int			x = answer->cluster[s->a];
		int			y = answer->cluster[s->b];

		if (x == y)
			continue;
		answer->refused[order[i]] = test_union(c, answer->cluster, s);
		if (answer->refused[order[i]] != CXM_HOLDS)
			continue;
		for (int j = 0; j < c->nnodes; j++)
		{
			if (answer->cluster[j] == x || answer->cluster[j] == y)
				answer->cluster[j] = x < y ? x : y;
		}
	}
	for (int i = 0; i < n; i++)
	{
		if (answer->cluster[c->links[order[i]].a] == answer->cluster[c->links[order[i]].b])
			answer->refused[order[i]] = CXM_HOLDS;
	}
}

/*
 * The solver that is tested, with nodes and links in an order of its own
 */
static void
shuffle(int *numbers, int n)
{
	for (int i = 0; i < n; i++)
		numbers[i] = i;
	for (int i = n - 1; i > 0; i--)
	{
		int			j = next_random(i + 1);
		int			swap = numbers[i];

		numbers[i] = numbers[j];
		numbers[j] = swap;
	}
}

static void
solve(const Case *c, Answer *answer, bool in_order)
{
	CxmIdentifier identifiers[MAX_NODES];
	CxmIdentityLink links[MAX_LINKS];
	CxmIdentityGraph graph = {.namespaces = c->namespaces, .nnamespaces = c->nnamespaces,
		.identifiers = identifiers, .nidentifiers = c->nnodes, .links = links, .nlinks = c->nlinks,
	.allocate = allocate, .poll = poll};
	int			number[MAX_NODES];
	int			place[MAX_LINKS];
	int			least[MAX_NODES];
	int			seen[MAX_LINKS] = {0};
	bool		right = true;

	shuffle(number, c->nnodes);
	shuffle(place, c->nlinks);
	for (int i = 0; i < c->nnodes; i++)
	{
		CxmIdentifier *identifier = &identifiers[in_order ? (number[i] = i) : number[i]];

		memset(identifier, 0x5A, sizeof(CxmIdentifier));
		identifier->hash = c->hash[i];
		identifier->at = time_of(c, i);
		identifier->namespace = c->namespace[i];
		identifier->quarantine = c->quarantine[i];
		identifier->is_known = is_known(c, i);
	}
	for (int i = 0; i < c->nlinks; i++)
	{
		CxmIdentityLink *link = &links[in_order ? i : place[i]];
		const Statement *s = &c->links[i];
		bool		turned = !in_order && one_in(2);

		memset(link, 0x5A, sizeof(CxmIdentityLink));
		link->a = number[turned ? s->b : s->a];
		link->b = number[turned ? s->a : s->b];
		link->strength = cxm_identity_strength(s->kind, s->is_verified, c->namespaces[c->namespace[s->a]].rank,
											   c->namespaces[c->namespace[s->b]].rank, s->has_evidence,
											   s->probability < 0 ? 1 : s->probability);
		link->at = s->at;
		link->tag = i;
		link->kind = s->kind;
		link->is_verified = s->is_verified;
	}

	cxm_identity_quarantine(&graph);
	cxm_identity_solve(&graph);
	give_back();

	for (int i = 0; i < c->nnodes; i++)
		least[i] = -1;
	for (int i = 0; i < c->nnodes; i++)
	{
		const CxmIdentifier *identifier = &identifiers[number[i]];

		right &= identifier->cluster < (uint32_t) c->nnodes && identifiers[identifier->cluster].cluster == identifier->cluster;
		answer->quarantine[i] = identifier->quarantine;
		if (!right)
			break;
		if (least[identifier->cluster] < 0)
			least[identifier->cluster] = i;
		answer->cluster[i] = least[identifier->cluster];
	}
	for (int i = 0; i < c->nlinks; i++)
	{
		if (links[i].tag < (uint32_t) c->nlinks)
		{
			seen[links[i].tag]++;
			answer->refused[links[i].tag] = links[i].refused;
		}
	}
	for (int i = 0; i < c->nlinks; i++)
		right &= seen[i] == 1;
	check(right, "a cluster is named by one of its own, and every link is still there");
}

static bool
is_same_reason(const Case *c, const Answer *slow, const Answer *fast, int i)
{
	const Statement *s = &c->links[i];

	if ((s->kind == CXM_SEEN || s->kind == CXM_MATCHED) && slow->refused[i] != CXM_HOLDS && slow->refused[i] <= CXM_GENERIC)
		return fast->refused[i] != CXM_HOLDS &&
			(fast->refused[i] == slow->quarantine[s->a] || fast->refused[i] == slow->quarantine[s->b]);
	return slow->refused[i] == fast->refused[i];
}

static void
show(const Case *c, const Answer *slow, const Answer *fast)
{
	for (int i = 0; i < c->nnamespaces; i++)
		printf("  namespace %d: rank %u, max %u, window %lld, max_links %u%s\n", i, c->namespaces[i].rank, c->namespaces[i].max_per_profile,
			   (long long) c->namespaces[i].max_window, c->namespaces[i].max_links, c->namespaces[i].is_unique ? ", unique" : "");
	for (int i = 0; i < c->nnodes; i++)
		printf("  node %d: namespace %d, at %lld, cluster %d, is %d, quarantine %d, is %d\n", i, c->namespace[i], (long long) time_of(c, i),
			   slow->cluster[i], fast->cluster[i], (int) slow->quarantine[i], (int) fast->quarantine[i]);
	for (int i = 0; i < c->nlinks; i++)
		printf("  link %d: %d - %d, kind %d%s%s, probability %g, at %lld, refused %d, is %d\n", i, c->links[i].a, c->links[i].b,
			   (int) c->links[i].kind, c->links[i].is_verified ? ", verified" : "", c->links[i].has_evidence ? ", evidence" : "",
			   c->links[i].probability, (long long) c->links[i].at, (int) slow->refused[i], (int) fast->refused[i]);
}

/* Random rules, nodes and links; each kind of rule is left out of some cases, so that it does not hide the others */
static void
make_case(Case *c, int max_nodes, int max_links)
{
	static const double probabilities[] = {-1, 1, 0.99, 0.5, 0};
	bool		windows = one_in(2);
	bool		uniques = one_in(2);
	bool		nevers = one_in(2);
	bool		pins = one_in(2);
	bool		matches = one_in(2);
	bool		verifies = one_in(3);
	bool		quarantines = one_in(4);
	bool		generics = one_in(4);
	bool		limits = !one_in(8);
	bool		far_times = one_in(20);
	uint32_t	times = one_in(2) ? 4 : 30;

	memset(c, 0, sizeof(Case));
	c->nnamespaces = 1 + next_random(MAX_NAMESPACES);
	for (int i = 0; i < c->nnamespaces; i++)
	{
		CxmNamespace *rules = &c->namespaces[i];

		/* ranks are different, and large ones must not run into each other */
		rules->rank = (uint32_t) (i + 1) * (one_in(4) ? 4000 : 10) + next_random(3);
		if (limits && !one_in(3))
			rules->max_per_profile = 1 + next_random(4);
		if (windows && rules->max_per_profile > 0 && !one_in(3))
			rules->max_window = 1 + next_random(far_times ? 1000000 : 12);
		if (generics && !one_in(3))
			rules->max_links = 1 + next_random(4);
		rules->is_unique = uniques && one_in(3);
	}
	c->nnodes = 1 + next_random(max_nodes);
	for (int i = 0; i < c->nnodes; i++)
	{
		c->namespace[i] = next_random(c->nnamespaces);
		c->hash[i] = ((uint64_t) next_random(1U << 31) << 16 | i) * 0x9E3779B97F4A7C15ULL;
		if (quarantines && one_in(5))
			c->quarantine[i] = one_in(2) ? CXM_BLOCKED : CXM_MALFORMED;
	}
	c->nlinks = next_random(max_links + 1);
	for (int i = 0; i < c->nlinks; i++)
	{
		Statement  *s = &c->links[i];

		if (i > 0 && one_in(10))
		{
			/* the same again, or almost */
			*s = c->links[next_random(i)];
			if (one_in(2))
				s->at += next_random(3);
			continue;
		}
		s->a = next_random(c->nnodes);
		s->b = next_random(c->nnodes);
		s->kind = nevers && one_in(6) ? CXM_NEVER : pins && one_in(6) ? CXM_PINNED : matches && one_in(3) ? CXM_MATCHED : CXM_SEEN;
		s->is_verified = verifies && s->kind == CXM_SEEN && one_in(3);
		s->has_evidence = one_in(2);
		s->probability = s->kind == CXM_MATCHED ? probabilities[next_random(5)] : -1;
		s->at = next_random(times);
		if (far_times && one_in(4))
			s->at = one_in(2) ? INT64_MIN + s->at : INT64_MAX - 100 + s->at;
		if (s->a == s->b)
		{
			/* an identifier is said to be itself only when that is verified */
			s->kind = CXM_SEEN;
			s->is_verified = true;
		}
	}
}

static void
compare_case(const Case *c)
{
	Answer		slow;
	Answer		fast;

	solve_slowly(c, &slow);
	for (int run = 0; run < 2; run++)
	{
		bool		clusters = true;
		bool		quarantined = true;
		bool		reasons = true;

		solve(c, &fast, run == 0);
		for (int i = 0; i < c->nnodes; i++)
		{
			clusters &= slow.cluster[i] == fast.cluster[i];
			quarantined &= slow.quarantine[i] == fast.quarantine[i];
		}
		for (int i = 0; i < c->nlinks; i++)
			reasons &= is_same_reason(c, &slow, &fast, i);
		check(quarantined, "quarantine is as slow as can be");
		check(clusters, "clusters are those of the slow solver, in every order of nodes and links");
		check(reasons, "refused links are those of the slow solver, with its reasons");
		if (!(quarantined && clusters && reasons) && failed <= 3)
			show(c, &slow, &fast);
	}
}

/* What must hold whatever the rules are */
static void
check_properties(Case *c)
{
	Answer		answer;
	Answer		other;
	bool		apart = true;
	bool		unique = true;
	bool		whole = true;
	bool		same = true;
	bool		free = true;
	Case		without = *c;
	int			kept = 0;

	solve(c, &answer, false);
	for (int i = 0; i < c->nlinks; i++)
	{
		const Statement *s = &c->links[i];
		bool		together = answer.cluster[s->a] == answer.cluster[s->b];

		if (s->kind == CXM_NEVER)
			apart &= !together;
		else
			whole &= answer.refused[i] == CXM_HOLDS ? together : !together || answer.refused[i] <= CXM_GENERIC;
	}
	for (int i = 0; i < c->nnodes; i++)
	{
		for (int j = 0; j < i; j++)
			unique &= answer.cluster[i] != answer.cluster[j] || c->namespace[i] != c->namespace[j] || !c->namespaces[c->namespace[i]].is_unique;
	}
	check(apart, "what must not be one is not");
	check(unique, "two values of a unique namespace are two");
	check(whole, "a link holds exactly where its ends are one");

	/* links that were refused by a rule bind nobody, so without them nothing is different but the times and degrees */
	for (int i = 0; i < c->nnamespaces; i++)
	{
		without.namespaces[i].max_links = 0;
		without.namespaces[i].max_window = 0;
	}
	solve(&without, &answer, false);
	for (int i = 0; i < c->nlinks; i++)
	{
		if (answer.refused[i] == CXM_HOLDS || without.links[i].is_verified)
			without.links[kept++] = without.links[i];
	}
	without.nlinks = kept;
	solve(&without, &other, false);
	for (int i = 0; i < c->nnodes; i++)
		same &= answer.cluster[i] == other.cluster[i];
	check(same, "links that are refused may as well not be there");

	/* without rules clusters are connected components, and those of the rules lie inside them */
	for (int i = 0; i < c->nnamespaces; i++)
		c->namespaces[i] = (CxmNamespace) {.rank = c->namespaces[i].rank};
	memset(c->quarantine, 0, sizeof(c->quarantine));
	for (int i = 0; i < c->nlinks; i++)
	{
		if (c->links[i].kind == CXM_NEVER || c->links[i].is_verified)
			c->links[i] = (Statement) {.a = c->links[i].a, .b = c->links[i].b, .kind = CXM_MATCHED, .probability = 0.5};
	}
	solve(c, &other, false);
	for (int i = 0; i < c->nlinks; i++)
		free &= other.refused[i] == CXM_HOLDS && other.cluster[c->links[i].a] == other.cluster[c->links[i].b];
	check(free, "without rules every link holds");
	same = true;
	for (int i = 0; i < c->nnodes; i++)
		same &= other.cluster[answer.cluster[i]] == other.cluster[i];
	check(same, "rules divide components and never join them");
}

/* A cluster that a pinned link made too crowded takes no other one in, even after it went into a larger cluster */
static void
crowded_by_pins(void)
{
	Case		c = {.nnamespaces = 2, .namespaces = {{.rank = 2, .max_per_profile = 1, .max_window = 10}, {.rank = 1}},
		.nnodes = 6, .namespace = {0, 0, 1, 1, 1, 0}, .hash = {1, 2, 3, 4, 5, 6}, .nlinks = 5,
		.links = {
			{.a = 0, .b = 1, .kind = CXM_PINNED, .probability = -1, .at = 0},
			{.a = 2, .b = 3, .kind = CXM_SEEN, .probability = -1, .at = 1},
			{.a = 3, .b = 4, .kind = CXM_SEEN, .probability = -1, .at = 2},
			{.a = 1, .b = 4, .kind = CXM_SEEN, .probability = -1, .at = 3},
			{.a = 5, .b = 2, .kind = CXM_SEEN, .probability = -1, .at = 1000}
	}};
	Answer		answer;

	compare_case(&c);
	solve(&c, &answer, true);
	check(answer.cluster[4] == 0 && answer.cluster[5] == 5 && answer.refused[4] == CXM_LIMIT, "what a pin crowded stays crowded");
}

/*
 * Large and hostile ones.  Work is measured by calls of poll(), which come every so many steps.
 */
typedef struct Large
{
	CxmIdentityGraph graph;
	uint32_t   *tags;			/* place of each link */
} Large;

static Large
make_large(const CxmNamespace *namespaces, uint32_t nnamespaces, uint32_t n, size_t nlinks)
{
	Large		large = {.graph = {.namespaces = namespaces, .nnamespaces = nnamespaces, .nidentifiers = n, .nlinks = nlinks,
	.allocate = allocate, .poll = poll}};

	large.graph.identifiers = calloc(n, sizeof(CxmIdentifier));
	large.graph.links = calloc(nlinks, sizeof(CxmIdentityLink));
	if (large.graph.identifiers == NULL || large.graph.links == NULL)
		abort();
	for (uint32_t i = 0; i < n; i++)
	{
		large.graph.identifiers[i].hash = (i + 1) * 0x9E3779B97F4A7C15ULL;
		large.graph.identifiers[i].at = INT64_MAX;
	}
	npolls = 0;
	return large;
}

static void
put_link(Large *large, size_t i, uint32_t a, uint32_t b, int64_t at)
{
	CxmIdentityLink *link = &large->graph.links[i];

	link->a = a;
	link->b = b;
	link->at = at;
	link->tag = (uint32_t) i;
	link->kind = CXM_SEEN;
	if (at < large->graph.identifiers[a].at)
		large->graph.identifiers[a].at = at;
	if (at < large->graph.identifiers[b].at)
		large->graph.identifiers[b].at = at;
}

static size_t
count_clusters(const Large *large)
{
	size_t		n = 0;

	for (uint32_t i = 0; i < large->graph.nidentifiers; i++)
		n += large->graph.identifiers[i].cluster == i;
	return n;
}

static size_t
count_refused(const Large *large, CxmRefusal reason)
{
	size_t		n = 0;

	for (size_t i = 0; i < large->graph.nlinks; i++)
		n += large->graph.links[i].refused == reason;
	return n;
}

static void
drop_large(Large *large)
{
	free(large->graph.identifiers);
	free(large->graph.links);
	give_back();
}

/* The i-th of the numbers below n in a scattered order; n has no divisor in common with 611953, a prime */
static uint32_t
scattered(uint32_t i, uint32_t n)
{
	return (uint32_t) ((uint64_t) i * 611953 % n);
}

#define CHAIN 1000001

static void
large_chains(void)
{
	CxmNamespace rules[] = {{.rank = 1, .max_per_profile = 1}, {.rank = 2}};
	Large		large;

	/* every tenth is one of which a person has one; links in order of time, given in another */
	for (int window = 0; window < 2; window++)
	{
		rules[0] = window ? (CxmNamespace) {.rank = 1, .max_per_profile = 2, .max_window = 25} : rules[0];
		large = make_large(rules, 2, CHAIN, CHAIN - 1);
		for (uint32_t i = 0; i < CHAIN; i++)
			large.graph.identifiers[i].namespace = i % 10 != 0;
		for (uint32_t i = 0; i < CHAIN - 1; i++)
		{
			uint32_t	k = scattered(i + 1, CHAIN) - 1;

			put_link(&large, k, k, k + 1, k);
		}
		for (uint32_t i = CHAIN - 1; i > 0; i--)
		{
			uint32_t	j = next_random(i);
			CxmIdentityLink swap = large.graph.links[j];

			large.graph.links[j] = large.graph.links[i - 1];
			large.graph.links[i - 1] = swap;
		}
		cxm_identity_quarantine(&large.graph);
		cxm_identity_solve(&large.graph);

		/*
		 * 100001 limited ones at 0, 9, 19, 29 ...: one in each cluster, or two, since a third is 19 or 20 after the
		 * first
		 */
		check(count_clusters(&large) == (window ? 50001 : 100001), "a chain of a million falls into pieces");
		check(count_refused(&large, CXM_LIMIT) == (window ? 50000 : 100000), "a link is refused between two of them");
		check(npolls > 100 && npolls < 100000, "a chain takes steps in proportion");
		drop_large(&large);
	}

	/* no window binds: one cluster of 100001 times in a tree, joined from both ends and out of order */
	rules[0] = (CxmNamespace) {.rank = 1, .max_per_profile = 2, .max_window = 15};
	large = make_large(rules, 2, CHAIN, CHAIN - 1);
	for (uint32_t i = 0; i < CHAIN; i++)
		large.graph.identifiers[i].namespace = i % 10 != 0;
	for (uint32_t i = 0; i < CHAIN - 1; i++)
	{
		put_link(&large, i, i, i + 1, i);
		/* taken in another order than that of the times of the identifiers */
		large.graph.links[i].strength = scattered(i + 1, CHAIN);
	}
	cxm_identity_solve(&large.graph);
	check(count_clusters(&large) == 1, "a window that is short enough binds nobody");
	check(npolls < 100000, "trees of times stay flat");
	drop_large(&large);
}

#define STAR 100001

static void
large_stars(void)
{
	CxmNamespace rules[] = {{.rank = 1, .max_per_profile = 5}, {.rank = 2, .max_links = 100}};
	Large		large = make_large(rules, 2, STAR, STAR - 1);

	/* a device with 100000 people */
	large.graph.identifiers[0].namespace = 1;
	for (uint32_t i = 1; i < STAR; i++)
		put_link(&large, i - 1, i, 0, scattered(i, STAR));
	cxm_identity_quarantine(&large.graph);
	cxm_identity_solve(&large.graph);
	check(large.graph.identifiers[0].quarantine == CXM_GENERIC, "a shared device is generic");
	check(count_clusters(&large) == STAR, "and joins nobody");
	check(count_refused(&large, CXM_GENERIC) == STAR - 1, "none of its links holds");
	drop_large(&large);

	/* the same where it may be linked to any number: the five that came first are one */
	rules[1].max_links = 0;
	large = make_large(rules, 2, STAR, STAR - 1);
	large.graph.identifiers[0].namespace = 1;
	for (uint32_t i = 1; i < STAR; i++)
		put_link(&large, i - 1, i, 0, scattered(i, STAR));
	cxm_identity_quarantine(&large.graph);
	cxm_identity_solve(&large.graph);
	check(count_clusters(&large) == STAR - 5, "a limit holds all but five people off");
	check(count_refused(&large, CXM_LIMIT) == STAR - 6, "the other links are refused");
	check(npolls < 10000, "a star takes steps in proportion");
	drop_large(&large);

	/* a window in which all of them lie */
	rules[0].max_window = STAR;
	large = make_large(rules, 2, STAR, STAR - 1);
	large.graph.identifiers[0].namespace = 1;
	for (uint32_t i = 1; i < STAR; i++)
		put_link(&large, i - 1, i, 0, scattered(i, STAR));
	cxm_identity_solve(&large.graph);
	check(count_clusters(&large) == STAR - 5, "so does a window");
	drop_large(&large);
}

#define CLIQUE 1500

static void
large_clique(void)
{
	CxmNamespace rules[] = {{.rank = 1, .max_per_profile = 3}, {.rank = 2, .max_links = 2000}};
	Large		large = make_large(rules, 2, CLIQUE, CLIQUE * (CLIQUE - 1) / 2);
	uint32_t	count[CLIQUE] = {0};
	bool		kept = true;
	int			nsmall = 0;
	size_t		n = 0;

	for (uint32_t i = 0; i < CLIQUE; i++)
	{
		large.graph.identifiers[i].namespace = i % 3 != 0;
		for (uint32_t j = 0; j < i; j++, n++)
			put_link(&large, n, i, j, 0);
	}
	cxm_identity_quarantine(&large.graph);
	cxm_identity_solve(&large.graph);

	/* all are linked to all: no two clusters are left that could be one */
	for (uint32_t i = 0; i < CLIQUE; i++)
		count[large.graph.identifiers[i].cluster] += i % 3 == 0;
	for (uint32_t i = 0; i < CLIQUE; i++)
	{
		kept &= count[i] <= 3;
		nsmall += large.graph.identifiers[i].cluster == i && count[i] < 2;
	}
	check(kept, "no cluster of a clique has too many");
	check(nsmall <= 1, "and none is left that could be joined");
	drop_large(&large);
}

/* two heaps of people whom nothing may join, and a hundred thousand links that try */
#define HEAP 20000

static void
large_refusals(void)
{
	CxmNamespace rules[] = {{.rank = 1, .max_per_profile = 2, .max_window = 3}, {.rank = 2}};
	CxmNamespace plain[] = {{.rank = 1}};
	uint32_t	n = 2 * HEAP;
	size_t		nlinks = 2 * (HEAP - 1) + 100000;
	Large		large;

	/* times 0, 2, 4, ... in the one and 0, 2, 4, ... in the other: each alone is loose, both together are crowded */
	large = make_large(rules, 2, n, nlinks);
	for (uint32_t i = 0; i < HEAP - 1; i++)
	{
		put_link(&large, 2 * i, i, i + 1, 0);
		put_link(&large, 2 * i + 1, HEAP + i, HEAP + i + 1, 0);
	}
	for (size_t i = 2 * (HEAP - 1); i < nlinks; i++)
		put_link(&large, i, next_random(HEAP), HEAP + next_random(HEAP), 1);
	for (uint32_t i = 0; i < n; i++)
		large.graph.identifiers[i].at = 2 * (int64_t) (i % HEAP) + (i % HEAP == HEAP - 1 ? 0 : 1000000 * (int64_t) (i / HEAP));
	cxm_identity_solve(&large.graph);
	check(count_clusters(&large) == 2, "two heaps stay two");
	check(count_refused(&large, CXM_LIMIT) == 100000, "and every link between them is refused");
	check(npolls < 100000, "refusing the same again and again takes steps in proportion");
	drop_large(&large);

	/* kept apart by one of many links of kind never, the last that is looked at */
	large = make_large(plain, 1, n, nlinks);
	for (uint32_t i = 0; i < HEAP - 1; i++)
	{
		put_link(&large, 2 * i, i, i + 1, 0);
		put_link(&large, 2 * i + 1, HEAP + i, HEAP + i + 1, 0);
	}
	for (size_t i = 2 * (HEAP - 1); i < nlinks; i++)
	{
		put_link(&large, i, next_random(HEAP), HEAP + next_random(HEAP), 1);
		if (i % 5 == 0)
			large.graph.links[i].kind = CXM_NEVER;
	}
	cxm_identity_solve(&large.graph);
	check(count_clusters(&large) == 2, "links of kind never keep two heaps apart");
	check(count_refused(&large, CXM_KEPT_APART) == 80000, "whatever else is said");
	check(npolls < 100000, "many of kind never take steps in proportion");
	drop_large(&large);
}

int
main(void)
{
	Case	   *c = malloc(sizeof(Case));

	if (c == NULL)
		abort();
	for (int i = 0; i < 50000; i++)
	{
		make_case(c, 8, 16);
		compare_case(c);
	}
	for (int i = 0; i < 8000; i++)
	{
		make_case(c, i % 2 == 0 ? 16 : MAX_NODES, MAX_LINKS);
		compare_case(c);
	}
	for (int i = 0; i < 5000; i++)
	{
		make_case(c, 20, 60);
		check_properties(c);
	}
	free(c);
	crowded_by_pins();

	large_chains();
	large_stars();
	large_clique();
	large_refusals();
	return report();
}
