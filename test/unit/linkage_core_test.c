/*
 * test/unit/linkage_core_test.c
 *		Comparison levels, blocking, learning and scores of linkage_core.c against plain loops.
 *
 * cc -Isrc test/unit/linkage_core_test.c src/linkage_core.c src/similarity_core.c -lm && ./a.out
 */
/* the runner compiles a test with the core of its name; this core stands on another one */
#include "../../src/similarity_core.c"

#include "linkage_core.h"
#include "check.h"

#include <math.h>

static int	polls = 0;

static void
count_poll(void)
{
	polls++;
}

/* everything is freed at the end */
static void *spaces[100000];
static int	nspaces = 0;

static void *
resize_space(void *arena, void *space, size_t size)
{
	int			i = 0;

	(void) arena;
	while (i < nspaces && spaces[i] != space)
		i++;
	if (space == NULL || i == nspaces)
		i = nspaces++;
	if (size == 0)
	{
		free(space);
		spaces[i] = NULL;
		return NULL;
	}
	spaces[i] = realloc(space, size);
	return spaces[i];
}

#define RECORDS 240
#define COLUMNS 4				/* two of text, one of numbers, one of sets */

static char texts[RECORDS][2][80];
static double numbers[RECORDS];
static uint32_t sets[RECORDS][5];
static int	set_sizes[RECORDS];
static int	missing[RECORDS][COLUMNS];

/* a record with values out of few, so that pairs agree often */
static void
make_record(CxmLinkage *l, int r)
{
	uint32_t	row[COLUMNS] = {0};
	uint32_t   *added;

	for (int t = 0; t < 2; t++)
	{
		char	   *text = texts[r][t];
		uint32_t	characters[80];
		int			length;

		length = (int) next_random(t == 0 ? 6 : 4);
		if (next_random(20) == 0)
			length = 30 + (int) next_random(45);	/* far and wide ones */
		for (int i = 0; i < length; i++)
			text[i] = (char) ('a' + next_random(3));
		text[length] = '\0';
		for (int i = 0; i < length; i++)
			characters[i] = (unsigned char) text[i] + (t == 1 ? 0x400 : 0);	/* the second is not ASCII */
		missing[r][t] = next_random(8) == 0;
		if (!missing[r][t])
			row[t] = cxm_intern_text(l, t, text, (uint32_t) length, characters, (uint32_t) length, 0);
	}
	{
		char		bytes[32];
		uint32_t	characters[32];
		int			length;

		numbers[r] = next_random(50);
		length = snprintf(bytes, sizeof(bytes), "%g", numbers[r]);
		for (int i = 0; i < length; i++)
			characters[i] = (unsigned char) bytes[i];
		missing[r][2] = next_random(8) == 0;
		if (!missing[r][2])
			row[2] = cxm_intern_text(l, 2, bytes, (uint32_t) length, characters, (uint32_t) length, numbers[r]);
	}
	{
		uint32_t	elements[5];

		set_sizes[r] = (int) next_random(6);
		for (int i = 0; i < set_sizes[r]; i++)
		{
			char		name = (char) ('a' + next_random(6));

			sets[r][i] = elements[i] = cxm_intern_element(l, 3, &name, 1);
		}
		missing[r][3] = next_random(8) == 0;
		if (!missing[r][3])
			row[3] = cxm_intern_set(l, 3, elements, (uint32_t) set_sizes[r]);
	}
	added = cxm_linkage_add(l);
	memcpy(added, row, sizeof(row));
}

static int
has(const uint32_t *set, int n, uint32_t element)
{
	for (int i = 0; i < n; i++)
	{
		if (set[i] == element)
			return 1;
	}
	return 0;
}

/* elements in common, and in either */
static void
plain_common(int a, int b, int *common, int *either)
{
	*common = 0;
	*either = 0;
	for (uint32_t e = 1; e <= 6; e++)
	{
		int			x = has(sets[a], set_sizes[a], e);
		int			y = has(sets[b], set_sizes[b], e);

		*common += x && y;
		*either += x || y;
	}
}

static CxmSimilarity plain = {.resize = realloc};

static int
plain_level(const CxmComparison *c, int a, int b)
{
	uint32_t	x[80];
	uint32_t	y[80];
	int			la = 0;
	int			lb = 0;

	if (missing[a][c->column] || missing[b][c->column])
		return 0;
	if (c->column < 2)
	{
		la = (int) strlen(texts[a][c->column]);
		lb = (int) strlen(texts[b][c->column]);
		for (int i = 0; i < la; i++)
			x[i] = (unsigned char) texts[a][c->column][i];
		for (int i = 0; i < lb; i++)
			y[i] = (unsigned char) texts[b][c->column][i];
	}
	for (int k = 0; k < c->nlevels; k++)
	{
		const CxmLevel *level = &c->levels[k];
		int			reached = 0;
		int			prefix = 0;
		int			common;
		int			either;

		plain_common(a, b, &common, &either);
		switch (level->kind)
		{
			case CXM_EXACT:
				reached = c->column < 2 ? strcmp(texts[a][c->column], texts[b][c->column]) == 0
					: c->column == 2 ? numbers[a] == numbers[b] : common == either;
				break;
			case CXM_JARO_WINKLER:
				while (prefix < la && prefix < lb && x[prefix] == y[prefix])
					prefix++;
				reached = cxm_winkler(cxm_jaro(&plain, x, la, y, lb), prefix, 0.1) >= level->limit;
				break;
			case CXM_LEVENSHTEIN:
				reached = cxm_levenshtein(&plain, x, la, y, lb, CXM_NO_LIMIT) <= level->limit;
				break;
			case CXM_DAMERAU:
				reached = cxm_damerau(&plain, x, la, y, lb, CXM_NO_LIMIT) <= level->limit;
				break;
			case CXM_JACCARD:
				reached = c->column == 3 ? either == 0 || (double) common / either >= level->limit
					: cxm_jaccard(&plain, x, la, y, lb, 2) >= level->limit;
				break;
			case CXM_INTERSECT:
				reached = common >= level->limit;
				break;
			case CXM_DIFFERENCE:
				reached = fabs(numbers[a] - numbers[b]) <= level->limit;
				break;
			case CXM_RELATIVE:
				reached = fabs(numbers[a] - numbers[b]) <= level->limit * fmax(numbers[a], numbers[b]);
				break;
			case CXM_ELSE:
				reached = 1;
		}
		if (reached)
			return k + 1;
	}
	return -1;
}

static void
set_comparison(CxmLinkage *l, int column, int n, const CxmLevel *levels)
{
	CxmComparison *c = &l->comparisons[l->ncomparisons++];

	c->column = column;
	c->nlevels = n + 1;
	memcpy(c->levels, levels, sizeof(CxmLevel) * n);
	c->levels[n].kind = CXM_ELSE;
	for (int k = 0; k <= n; k++)
	{
		c->levels[k].m = (n + 1.0 - k) / ((n + 1) * (n + 2) / 2.0);
		c->levels[k].u = (k + 1.0) / ((n + 1) * (n + 2) / 2.0);
	}
	c->tf_weight = levels[0].kind == CXM_EXACT && column < 2 ? 0.7 : 0;
}

static void
make_linkage(CxmLinkage *l, int nleft)
{
	const CxmLevel names[] = {{CXM_EXACT, 0, 0, 0, 0}, {CXM_JARO_WINKLER, 0.92, 0, 0, 0},
	{CXM_JARO_WINKLER, 0.7, 0, 0, 0}};
	const CxmLevel edits[] = {{CXM_EXACT, 0, 0, 0, 0}, {CXM_DAMERAU, 1, 0, 0, 0}, {CXM_LEVENSHTEIN, 2, 0, 0, 0},
	{CXM_DAMERAU, 3, 0, 0, 0}, {CXM_JACCARD, 0.2, 0, 0, 0}};
	const CxmLevel amounts[] = {{CXM_EXACT, 0, 0, 0, 0}, {CXM_RELATIVE, 0.1, 0, 0, 0}, {CXM_DIFFERENCE, 5, 0, 0, 0}};
	const CxmLevel tags[] = {{CXM_INTERSECT, 3, 0, 0, 0}, {CXM_EXACT, 0, 0, 0, 0}, {CXM_JACCARD, 0.5, 0, 0, 0},
	{CXM_INTERSECT, 1, 0, 0, 0}};

	memset(l, 0, sizeof(*l));
	l->resize = resize_space;
	l->poll = count_poll;
	l->similarity.resize = realloc;
	l->ncolumns = COLUMNS;
	for (int r = 0; r < RECORDS; r++)
		make_record(l, r);
	l->nleft = (uint32_t) nleft;
	set_comparison(l, 0, 3, names);
	set_comparison(l, 1, 5, edits);
	set_comparison(l, 0, 5, edits);
	set_comparison(l, 1, 3, names);
	set_comparison(l, 2, 3, amounts);
	set_comparison(l, 3, 4, tags);
	l->lambda = 0.01;
	cxm_linkage_prepare(l);
	cxm_linkage_weights(l);
}

/* vectors and scores of all pairs */
static void
all_pairs(CxmLinkage *l)
{
	int			wrong_levels = 0;
	int			wrong_scores = 0;
	int			asymmetric = 0;
	int			kept = 0;

	for (int a = 0; a < RECORDS; a++)
	{
		for (int b = 0; b < RECORDS; b++)
		{
			uint64_t	vector = cxm_linkage_compare(l, (uint32_t) a, (uint32_t) b);
			double		weight = log2(l->lambda / (1 - l->lambda));
			double		least = next_random(40) - 25.0;
			uint64_t	scored = 0;
			double		score = 0;
			bool		is_kept;

			asymmetric += vector != cxm_linkage_compare(l, (uint32_t) b, (uint32_t) a);
			for (int i = 0; i < l->ncomparisons; i++)
			{
				const CxmComparison *c = &l->comparisons[i];
				int			code = plain_level(c, a, b);

				wrong_levels += code != cxm_code(vector, i);
				if (code > 0)
					weight += log2(c->levels[code - 1].m / c->levels[code - 1].u);
				if (code > 0 && c->tf_weight > 0 && c->levels[code - 1].kind == CXM_EXACT)
				{
					int			same = 0;
					int			present = 0;

					for (int r = 0; r < RECORDS; r++)
					{
						present += !missing[r][c->column];
						same += !missing[r][c->column] && strcmp(texts[r][c->column], texts[a][c->column]) == 0;
					}
					weight += c->tf_weight * log2(c->levels[code - 1].u * present / same);
				}
			}
			is_kept = cxm_linkage_score_pair(l, (uint32_t) a, (uint32_t) b, least, &scored, &score);
			kept += is_kept;
			if (fabs(weight - least) > 1e-9)
				wrong_scores += is_kept != (weight >= least);
			wrong_scores += is_kept && (scored != vector || fabs(score - weight) > 1e-9);
			wrong_scores += fabs(cxm_linkage_weight(l, (uint32_t) a, vector) - weight) > 1e-9;
		}
	}
	check(wrong_levels == 0, "levels of all pairs");
	check(asymmetric == 0, "levels are symmetric");
	check(wrong_scores == 0 && kept > 1000, "scores of all pairs, and nothing above the threshold is lost");
}

static int
plain_rule(const CxmLinkage *l, const CxmRule *rule, int a, int b)
{
	for (int k = 0; k < rule->ncolumns; k++)
	{
		uint32_t	x = l->rows[a * COLUMNS + rule->columns[k]];

		if (x == 0 || x != l->rows[b * COLUMNS + rule->columns[k]])
			return 0;
	}
	return 1;
}

/* is the block of a record left out? */
static int
in_large_block(const CxmLinkage *l, const CxmRule *rule, int a)
{
	uint32_t	size = 0;

	for (int r = 0; r < RECORDS; r++)
		size += plain_rule(l, rule, a, r) != 0;
	return l->max_block > 0 && size > l->max_block;
}

/* each pair that some rule blocks together comes once, and no other */
static void
blocking(CxmLinkage *l, int room)
{
	static int	seen[RECORDS][RECORDS];
	const CxmRule rules[4] = {{2, {0, 2}}, {1, {1}}, {2, {1, 0}}, {1, {3}}};
	CxmPairs	pairs = {0};
	uint32_t	a[64];
	uint32_t	b[64];
	int			wrong = 0;
	int			found = 0;

	memset(seen, 0, sizeof(seen));
	for (int r = 0; r < 4; r++)
	{
		double		size = cxm_block_size(l, &pairs, rules, r + 1);
		int			expected = 0;
		int			n;

		for (int x = 0; x < RECORDS; x++)
		{
			for (int y = x + 1; y < RECORDS; y++)
				expected += (l->nleft == 0 || (x < (int) l->nleft && y >= (int) l->nleft)) &&
					plain_rule(l, &rules[r], x, y) && !in_large_block(l, &rules[r], x);
		}
		check(size == expected, "pairs of a rule");
		while ((n = cxm_next_pairs(&pairs, a, b, room)) >= 0)
		{
			for (int i = 0; i < n; i++)
				wrong += seen[a[i]][b[i]]++ != 0;
		}
	}
	for (int x = 0; x < RECORDS; x++)
	{
		for (int y = 0; y < RECORDS; y++)
		{
			int			wanted = 0;

			for (int r = 0; r < 4; r++)
				wanted |= plain_rule(l, &rules[r], x, y) && !in_large_block(l, &rules[r], x);
			wanted = wanted && (l->nleft == 0 ? x < y : x < (int) l->nleft && y >= (int) l->nleft);
			wrong += seen[x][y] != wanted;
			found += wanted;
		}
	}
	check(wrong == 0 && found > 100, "blocked pairs");
}

/* u of all pairs, and of a sample */
static void
estimate_u(CxmLinkage *l)
{
	double		exact[CXM_MAX_COMPARISONS][CXM_LEVEL_CODES] = {{0}};
	double		farthest = 0;
	double		sum_error = 0;

	for (int a = 0; a < RECORDS; a++)
	{
		for (int b = a + 1; b < RECORDS; b++)
		{
			if (l->nleft > 0 && (a >= (int) l->nleft || b < (int) l->nleft))
				continue;
			for (int i = 0; i < l->ncomparisons; i++)
				exact[i][plain_level(&l->comparisons[i], a, b)]++;
		}
	}
	for (int sample = 0; sample < 2; sample++)
	{
		uint64_t	max_pairs = sample ? 20000 : 1000000;
		uint64_t	n = cxm_linkage_estimate_u(l, max_pairs, 7);

		check(sample ? n == 20000 || cxm_linkage_all_pairs(l) <= 20000 : n == (uint64_t) cxm_linkage_all_pairs(l), "pairs looked at");
		farthest = 0;
		for (int i = 0; i < l->ncomparisons; i++)
		{
			double		total = 0;
			double		sum = 0;

			for (int k = 1; k <= l->comparisons[i].nlevels; k++)
				total += exact[i][k];
			for (int k = 0; k < l->comparisons[i].nlevels; k++)
			{
				farthest = fmax(farthest, fabs(l->comparisons[i].levels[k].u - exact[i][k + 1] / total));
				sum += l->comparisons[i].levels[k].u;
			}
			sum_error = fmax(sum_error, fabs(sum - 1));
		}
		check(farthest < (sample ? 0.02 : 1e-4), sample ? "u of a sample" : "u of all pairs");
	}
	check(sum_error < 1e-12, "u sums to 1");

	/* u = lambda m + (1 - lambda) u' */
	{
		CxmLevel	before[CXM_MAX_LEVELS];
		CxmComparison *c = &l->comparisons[0];

		memcpy(before, c->levels, sizeof(before));
		cxm_linkage_correct_u(l);
		farthest = 0;
		for (int k = 0; k < c->nlevels; k++)
		{
			double		corrected = (before[k].u - l->lambda * c->levels[k].m) / (1 - l->lambda);

			if (corrected > 0.02 * before[k].u)
				farthest = fmax(farthest, fabs(c->levels[k].u - corrected));
		}
		check(farthest < 1e-9, "matches are taken out of u");
	}
}

/* a population that has the probabilities exactly is its own estimate */
static void
em_returns(void)
{
	const double m[3][2] = {{0.7, 0.3}, {0.9, 0.1}, {0.95, 0.05}};	/* first level, other */
	const double u[3][2] = {{0.1, 0.9}, {0.025, 0.975}, {0.2, 0.8}};
	CxmLinkage	memory = {.resize = resize_space};
	CxmHistogram h = {0};
	CxmEm		em = {.ncomparisons = 3, .nlevels = {2, 2, 2}, .estimate_u = true, .lambda = 0.2};
	double		farthest = 0;
	double		likelihood = -INFINITY;
	int			falls = 0;

	for (int pass = 0; pass < 2; pass++)
	{
		for (int v = 0; v < 8; v++)
		{
			double		pm = 0.35;
			double		pu = 0.65;
			uint64_t	vector = 0;

			for (int i = 0; i < 3; i++)
			{
				int			level = (v >> i) & 1;

				pm *= m[i][level];
				pu *= u[i][level];
				vector |= (uint64_t) (level + 1) << (4 * i);
			}
			cxm_histogram_add(&memory, &h, vector, (uint64_t) llround((pm + pu) * 1e12 / 2));
		}
	}
	cxm_histogram_sort(&h);
	check(h.n == 8, "bins");
	for (size_t k = 1; k < h.n; k++)
		check(h.vectors[k - 1] < h.vectors[k], "bins are in order");
	for (int i = 0; i < 3; i++)
		cxm_em_start(&em, i);
	for (int i = 0; i < 400; i++)
	{
		cxm_em(&em, &h, 0, 50);
		falls += em.log_likelihood < likelihood - 1e-3 * 1e12 * 1e-12;
		likelihood = em.log_likelihood;
	}
	for (int i = 0; i < 3; i++)
	{
		for (int level = 0; level < 2; level++)
			farthest = fmax(farthest, fmax(fabs(em.m[i][level + 1] - m[i][level]), fabs(em.u[i][level + 1] - u[i][level])));
	}
	check(fabs(em.lambda - 0.35) < 1e-6 && farthest < 1e-6, "EM returns what the population was made of");
	check(falls == 0, "the likelihood never falls");
}

static void
many_bins(void)
{
	CxmLinkage	memory = {.resize = resize_space};
	CxmHistogram h = {0};
	static uint64_t counts[5000];
	int			wrong = 0;

	for (int i = 0; i < 100000; i++)
	{
		uint32_t	k = next_random(5000);

		counts[k]++;
		cxm_histogram_add(&memory, &h, (uint64_t) k << 40 | k, 1);
	}
	cxm_histogram_sort(&h);
	for (size_t k = 0; k < h.n; k++)
		wrong += counts[h.vectors[k] >> 40] != h.counts[k] || (k > 0 && h.vectors[k - 1] >= h.vectors[k]);
	check(wrong == 0 && h.n == 5000, "a histogram of many bins");
}

/*
 * A population of matches, related people and strangers, as its exact expected counts: with u and what is personal held
 * fast, EM finds the three shares, m and r again.
 */
static void
em_tells_relations(void)
{
	const double m[4] = {0.9, 0.85, 0.8, 0.7};
	const double r[4] = {0.1, 0.9, 0.75, 0.3};
	const double u[4] = {0.1, 0.05, 0.02, 0.01};
	CxmLinkage	memory = {0};
	CxmHistogram h = {0};
	CxmEm		em = {0};
	double		farthest = 0;

	memory.resize = resize_space;
	em.ncomparisons = 4;
	em.lambda = 0.3;
	em.lambda_related = 0.3;
	em.fixed[0] = true;
	for (int i = 0; i < 4; i++)
	{
		em.nlevels[i] = 2;
		cxm_em_start(&em, i);
		em.u[i][1] = u[i];
		em.u[i][2] = 1 - u[i];
		em.r[i][1] = i == 0 ? u[i] : (em.m[i][1] + u[i]) / 2;
		em.r[i][2] = 1 - em.r[i][1];
	}
	for (int pattern = 0; pattern < 16; pattern++)
	{
		uint64_t	vector = 0;
		double		p[3] = {0.2, 0.3, 0.5};

		for (int i = 0; i < 4; i++)
		{
			bool		other = pattern >> i & 1;

			vector |= (uint64_t) (other ? 2 : 1) << (4 * i);
			p[0] *= other ? 1 - m[i] : m[i];
			p[1] *= other ? 1 - r[i] : r[i];
			p[2] *= other ? 1 - u[i] : u[i];
		}
		cxm_histogram_add(&memory, &h, vector, (uint64_t) llround((p[0] + p[1] + p[2]) * 1e12));
	}
	cxm_histogram_sort(&h);
	for (int i = 0; i < 4000; i++)
		cxm_em(&em, &h, 0, 50);
	for (int i = 0; i < 4; i++)
		farthest = fmax(farthest, fmax(fabs(em.m[i][1] - m[i]), fabs(em.r[i][1] - r[i])));
	check(fabs(em.lambda - 0.2) < 1e-5 && fabs(em.lambda_related - 0.3) < 1e-5, "shares of matches and related people");
	check(farthest < 1e-5, "m and r of them");
	check(em.r[0][1] == u[0], "what is personal stays as it was");
}

/* Values keep their numbers while more and more come, and no two share one */
static void
many_values(void)
{
	enum
	{
		N = 50000
	};
	CxmLinkage	l;
	uint32_t	characters[8] = {0};
	int			wrong = 0;

	make_linkage(&l, 0);
	for (int pass = 0; pass < 3; pass++)
	{
		uint32_t	first = 0;

		for (int i = 0; i < N; i++)
		{
			char		text[32];
			int			length = snprintf(text, sizeof(text), "value no %d", i);
			uint32_t	id = cxm_intern_text(&l, 0, text, (uint32_t) length, characters, 8, 0);

			if (i == 0)
				first = id;
			wrong += id != first + (uint32_t) i;
		}
	}
	check(wrong == 0, "numbers of many values");
	free(l.similarity.scratch);
}

int
main(void)
{
	CxmLinkage	l;

	for (int run = 0; run < 4; run++)
	{
		make_linkage(&l, run % 2 ? 100 : 0);
		all_pairs(&l);
		blocking(&l, run < 2 ? 64 : 1);
		l.max_block = 12;
		blocking(&l, 64);
		l.max_block = 0;
		estimate_u(&l);
		free(l.similarity.scratch);
	}
	em_returns();
	em_tells_relations();
	many_bins();
	many_values();
	check(polls > 10, "it can be interrupted");
	check(cxm_probability(0) == 0.5 && fabs(cxm_probability(1) - 2.0 / 3) < 1e-15 && fabs(cxm_probability(-2) - 0.2) < 1e-15 &&
		  cxm_probability(5000) == 1 && cxm_probability(-5000) == 0, "probabilities");

	for (int i = 0; i < nspaces; i++)
		free(spaces[i]);
	free(plain.scratch);
	return report();
}
