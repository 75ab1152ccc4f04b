/*
 * src/similarity_core.c
 *		Jaro, Jaro-Winkler, Levenshtein, Damerau-Levenshtein and Jaccard.
 *
 * Names are short, so there are two forms of each: one for strings that fit a machine word, where a column of the
 * matrix is a few operations on bits (Myers 1999, Hyyroe 2003), and one for any length and alphabet, which needs
 * memory in proportion to the length and never to its square.
 *
 * The form for any alphabet first numbers the characters of one string, 1, 2, 3 ..., and gives those of the other
 * string that it does not have the number 0: they match nothing, and nobody asks whether they match each other.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "similarity_core.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* bits of a table of masks that is still worth it: above, the plain matrix runs */
#define MAX_MASK_WORDS	(1 << 22)

/* steps of an inner loop between two calls of poll */
#define POLL_STEPS		(1 << 16)

/* Boosting similar beginnings only makes sense for strings that are similar at all (Winkler 1990) */
#define BOOST_ABOVE		0.7
#define MAX_PREFIX		4

static inline int
minimum(int a, int b)
{
	return a < b ? a : b;
}

static inline int
maximum(int a, int b)
{
	return a > b ? a : b;
}

/* The n lowest bits */
static inline uint64_t
low_bits(int n)
{
	if (n <= 0)
		return 0;
	return n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
}

/* The number of the lowest bit that is set */
static inline int
lowest_bit(uint64_t word)
{
#if defined(__GNUC__)
	return __builtin_ctzll(word);
#else
	int			n = 0;

	while ((word & 1) == 0)
	{
		word >>= 1;
		n++;
	}
	return n;
#endif
}

/* Working space of at least so many bytes; what it held is lost */
static void *
reserve(CxmSimilarity *s, size_t size)
{
	if (s->size < size)
	{
		void	   *old = s->scratch;

		/* resize may leave by a long jump, and then the old space is gone */
		s->scratch = NULL;
		s->size = 0;
		s->scratch = s->resize(old, size);
		s->size = size;
	}
	return s->scratch;
}

/* Let the caller be interrupted after a number of steps */
static inline void
count_steps(CxmSimilarity *s, size_t *steps, size_t more)
{
	*steps += more;
	if (*steps >= POLL_STEPS)
	{
		*steps = 0;
		if (s->poll)
			s->poll();
	}
}

/* Characters farther apart than this do not count as common */
static inline int
jaro_window(int la, int lb)
{
	int			half = maximum(la, lb) / 2;

	return half > 0 ? half - 1 : 0;
}

/* Jaro's mean of three shares; out_of_order counts the common characters that stand at different ranks */
static inline double
jaro_value(int common, int out_of_order, int la, int lb)
{
	double		m = common;
	int			transpositions = out_of_order / 2;

	if (common == 0)
		return 0;
	return (m / la + m / lb + (m - transpositions) / m) / 3;
}

/*
 * Winkler's boost for a common beginning.
 */
double
cxm_winkler(double jaro, int prefix, double prefix_weight)
{
	if (jaro <= BOOST_ABOVE)
		return jaro;
	return jaro + minimum(prefix, MAX_PREFIX) * prefix_weight * (1 - jaro);
}

/*
 * ---- Short strings
 */

static inline void
set_masks(CxmSimilarity *s, const uint8_t *b, int lb)
{
	for (int j = 0; j < lb; j++)
		s->mask[b[j]] |= UINT64_C(1) << j;
}

static inline void
clear_masks(CxmSimilarity *s, const uint8_t *b, int lb)
{
	for (int j = 0; j < lb; j++)
		s->mask[b[j]] = 0;
}

/*
 * Jaro similarity.  Each character of a takes the first free equal one of b within the window.  For each character
 * that is a walk through two ascending lists of places which treats both alike, so that the answer is symmetric.
 */
double
cxm_jaro_short(CxmSimilarity *s, const uint8_t *a, int la, const uint8_t *b, int lb)
{
	uint8_t		common[CXM_SHORT_STRING];
	uint64_t	taken = 0;
	int			window = jaro_window(la, lb);
	int			n = 0;
	int			out_of_order = 0;

	if (la == 0 || lb == 0)
		return la == lb;

	set_masks(s, b, lb);
	for (int i = 0; i < la; i++)
	{
		uint64_t	range = low_bits(i + window + 1) & ~low_bits(maximum(i - window, 0));
		uint64_t	hit = s->mask[a[i]] & range & ~taken;

		if (hit)
		{
			taken |= hit & (~hit + 1);
			common[n++] = a[i];
		}
	}
	clear_masks(s, b, lb);

	for (int k = 0; k < n; k++)
	{
		out_of_order += common[k] != b[lowest_bit(taken)];
		taken &= taken - 1;
	}
	return jaro_value(n, out_of_order, la, lb);
}

/*
 * Levenshtein's distance, and with transpositions the restricted one ("optimal string alignment"), a column of the
 * matrix at a time (Hyyroe 2003).  positive and negative hold where the column rises and falls.
 */
static inline int
distance_short(CxmSimilarity *s, const uint8_t *a, int la, const uint8_t *b, int lb, const bool transpositions)
{
	uint64_t	positive = ~UINT64_C(0);
	uint64_t	negative = 0;
	uint64_t	diagonal = 0;
	uint64_t	match_before = 0;
	uint64_t	last;
	int			distance = lb;

	if (la == 0 || lb == 0)
		return la + lb;

	last = UINT64_C(1) << (lb - 1);
	set_masks(s, b, lb);
	for (int i = 0; i < la; i++)
	{
		uint64_t	match = s->mask[a[i]];
		uint64_t	swapped = transpositions ? (((~diagonal) & match) << 1) & match_before : 0;
		uint64_t	rises;
		uint64_t	falls;

		diagonal = (((match & positive) + positive) ^ positive) | match | negative | swapped;
		rises = negative | ~(diagonal | positive);
		falls = diagonal & positive;
		distance += (rises & last) != 0;
		distance -= (falls & last) != 0;

		rises = (rises << 1) | 1;
		falls <<= 1;
		positive = falls | ~(diagonal | rises);
		negative = rises & diagonal;
		match_before = match;
	}
	clear_masks(s, b, lb);
	return distance;
}

int
cxm_levenshtein_short(CxmSimilarity *s, const uint8_t *a, int la, const uint8_t *b, int lb)
{
	return distance_short(s, a, la, b, lb, false);
}

int
cxm_osa_short(CxmSimilarity *s, const uint8_t *a, int la, const uint8_t *b, int lb)
{
	return distance_short(s, a, la, b, lb, true);
}

/*
 * ---- Strings of any length
 */

/* an entry of the table that numbers characters */
typedef struct Numbered
{
	uint32_t	character;
	uint32_t	number;			/* 0: the entry is free */
} Numbered;

/* two strings with their characters numbered; both lie in the working space */
typedef struct NumberedPair
{
	uint32_t   *a;
	uint32_t   *b;
	uint32_t	distinct;		/* characters of a have the numbers 1 to this */
	void	   *rest;			/* free space behind them, aligned for 8 bytes */
} NumberedPair;

static size_t
table_size(int length)
{
	size_t		size = 16;

	while (size < (size_t) length * 2)
		size *= 2;
	return size;
}

static Numbered *
find_character(Numbered *table, size_t size, uint32_t character)
{
	size_t		slot = ((uint64_t) character * UINT64_C(0x9E3779B97F4A7C15)) >> 32;

	while (table[slot & (size - 1)].number != 0 && table[slot & (size - 1)].character != character)
		slot++;
	return &table[slot & (size - 1)];
}

/* Number the characters of a pair and leave room for so many bytes behind it */
static NumberedPair
number_characters(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, size_t rest)
{
	size_t		entries = table_size(la);
	size_t		strings = ((size_t) la + lb + 1) / 2 * 2 * sizeof(uint32_t);
	size_t		table_bytes = entries * sizeof(Numbered);
	char	   *space = reserve(s, strings + (table_bytes > rest ? table_bytes : rest));
	Numbered   *table = (Numbered *) (space + strings);
	NumberedPair pair;

	pair.a = (uint32_t *) space;
	pair.b = pair.a + la;
	pair.distinct = 0;
	pair.rest = table;			/* nobody needs the table any more */

	memset(table, 0, table_bytes);
	for (int i = 0; i < la; i++)
	{
		Numbered   *entry = find_character(table, entries, a[i]);

		if (entry->number == 0)
		{
			entry->character = a[i];
			entry->number = ++pair.distinct;
		}
		pair.a[i] = entry->number;
	}
	for (int j = 0; j < lb; j++)
		pair.b[j] = find_character(table, entries, b[j])->number;
	return pair;
}

/* Turn a numbered pair into bytes where it fits the forms for short strings */
static bool
shorten(const NumberedPair *pair, int la, int lb, uint8_t *a, uint8_t *b)
{
	if (la > CXM_SHORT_STRING || lb > CXM_SHORT_STRING)
		return false;
	for (int i = 0; i < la; i++)
		a[i] = (uint8_t) pair->a[i];
	for (int j = 0; j < lb; j++)
		b[j] = (uint8_t) pair->b[j];
	return true;
}

/* Leave out what two strings have in common at both ends: it does not change their distance */
static void
trim(const uint32_t **a, int *la, const uint32_t **b, int *lb)
{
	while (*la > 0 && *lb > 0 && (*a)[*la - 1] == (*b)[*lb - 1])
	{
		--*la;
		--*lb;
	}
	while (*la > 0 && *lb > 0 && **a == **b)
	{
		++*a;
		++*b;
		--*la;
		--*lb;
	}
}

/* Put the shorter string first; distances are symmetric */
static void
order_by_length(const uint32_t **a, int *la, const uint32_t **b, int *lb)
{
	if (*la > *lb)
	{
		const uint32_t *string = *a;
		int			length = *la;

		*a = *b;
		*la = *lb;
		*b = string;
		*lb = length;
	}
}

/* What all distances begin with: is the answer known already? */
static bool
distance_is_known(const uint32_t **a, int *la, const uint32_t **b, int *lb, int *max, int *distance)
{
	trim(a, la, b, lb);
	order_by_length(a, la, b, lb);
	*max = minimum(*max, *lb);	/* no distance is greater than the longer string */
	*distance = *lb;
	if (*lb - *la > *max)
		*distance = *max + 1;
	return *la == 0 || *lb - *la > *max;
}

/* Jaro similarity in linear time: the places of each character of b form a list that is walked once */
double
cxm_jaro(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb)
{
	uint8_t		short_a[CXM_SHORT_STRING];
	uint8_t		short_b[CXM_SHORT_STRING];
	NumberedPair pair;
	int			window = jaro_window(la, lb);
	int		   *next;			/* the next place in b of the same character, or lb */
	int		   *first;			/* by character: its first place in b that is still free */
	uint8_t    *taken;
	int			n = 0;
	int			rank = 0;
	int			out_of_order = 0;

	if (la == 0 || lb == 0)
		return la == lb;

	pair = number_characters(s, a, la, b, lb, ((size_t) lb + la + 1) * sizeof(int) + lb);
	if (shorten(&pair, la, lb, short_a, short_b))
		return cxm_jaro_short(s, short_a, la, short_b, lb);

	next = pair.rest;
	first = next + lb;
	taken = (uint8_t *) (first + la + 1);
	memset(taken, 0, lb);
	for (uint32_t c = 0; c <= pair.distinct; c++)
		first[c] = lb;
	for (int j = lb - 1; j >= 0; j--)
	{
		next[j] = first[pair.b[j]];
		first[pair.b[j]] = j;
	}

	/* the common characters of a, in order, overwrite a */
	for (int i = 0; i < la; i++)
	{
		uint32_t	c = pair.a[i];
		int			j = first[c];

		while (j < i - window && j < lb)
			j = next[j];
		first[c] = j;
		if (j < lb && j <= i + window)
		{
			taken[j] = 1;
			first[c] = next[j];
			pair.a[n++] = c;
		}
	}
	for (int j = 0; j < lb; j++)
	{
		if (taken[j])
			out_of_order += pair.a[rank++] != pair.b[j];
	}
	return jaro_value(n, out_of_order, la, lb);
}

/* Levenshtein's distance a column at a time, where the column takes several words */
static int
levenshtein_words(CxmSimilarity *s, const NumberedPair *pair, int la, int lb, int max)
{
	int			words = (la + 63) / 64;
	uint64_t   *masks = pair->rest;
	uint64_t   *positive = masks + (size_t) (pair->distinct + 1) * words;
	uint64_t   *negative = positive + words;
	uint64_t	last = UINT64_C(1) << ((la - 1) % 64);
	int			distance = la;
	size_t		steps = 0;

	memset(masks, 0, (size_t) (pair->distinct + 1) * words * sizeof(uint64_t));
	for (int i = 0; i < la; i++)
		masks[(size_t) pair->a[i] * words + i / 64] |= UINT64_C(1) << (i % 64);
	for (int w = 0; w < words; w++)
	{
		positive[w] = ~UINT64_C(0);
		negative[w] = 0;
	}

	for (int j = 0; j < lb; j++)
	{
		const uint64_t *mask = masks + (size_t) pair->b[j] * words;
		uint64_t	rise_below = 1;
		uint64_t	fall_below = 0;

		for (int w = 0; w < words; w++)
		{
			uint64_t	match = mask[w] | fall_below;
			uint64_t	diagonal = (((match & positive[w]) + positive[w]) ^ positive[w]) | match | negative[w];
			uint64_t	rises = negative[w] | ~(diagonal | positive[w]);
			uint64_t	falls = diagonal & positive[w];
			uint64_t	rise_above;
			uint64_t	fall_above;

			if (w == words - 1)
			{
				distance += (rises & last) != 0;
				distance -= (falls & last) != 0;
			}
			rise_above = rises >> 63;
			fall_above = falls >> 63;
			rises = (rises << 1) | rise_below;
			falls = (falls << 1) | fall_below;
			rise_below = rise_above;
			fall_below = fall_above;
			positive[w] = falls | ~(diagonal | rises);
			negative[w] = rises & diagonal;
		}
		/* each column that is left can bring it down by one */
		if (distance - (lb - 1 - j) > max)
			return max + 1;
		count_steps(s, &steps, words);
	}
	return distance > max ? max + 1 : distance;
}

/*
 * Levenshtein's distance or, with transpositions, the restricted one, row by row and only so near to the diagonal as
 * a distance within max can come.
 */
static int
distance_banded(CxmSimilarity *s, const NumberedPair *pair, int la, int lb, int max, bool transpositions)
{
	const uint32_t *a = pair->a;
	const uint32_t *b = pair->b;
	int		   *before = pair->rest;	/* the row before the row before */
	int		   *above = before + lb + 2;
	int		   *row = above + lb + 2;
	size_t		steps = 0;

	for (int j = 0; j <= lb; j++)
		above[j] = minimum(j, max + 1);

	for (int i = 1; i <= la; i++)
	{
		int			from = maximum(1, i - max);
		int			to = i > lb - max ? lb : i + max;
		int			least = max + 1;
		int		   *free_row;

		row[from - 1] = from == 1 ? minimum(i, max + 1) : max + 1;
		if (to == i + max)
			above[to] = max + 1;
		for (int j = from; j <= to; j++)
		{
			int			value = above[j - 1] + (a[i - 1] != b[j - 1]);

			value = minimum(value, minimum(row[j - 1], above[j]) + 1);
			if (transpositions && i > 1 && j > 1 && j - 2 >= i - 2 - max && j - 2 <= i - 2 + max &&
				a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && a[i - 1] != 0)
				value = minimum(value, before[j - 2] + 1);
			row[j] = minimum(value, max + 1);
			least = minimum(least, row[j]);
		}
		/* a transposition can still come from the row above */
		if (least > max && !transpositions)
			return max + 1;
		free_row = before;
		before = above;
		above = row;
		row = free_row;
		count_steps(s, &steps, to - from + 1);
	}
	return above[lb];
}

int
cxm_levenshtein(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, int max)
{
	uint8_t		short_a[CXM_SHORT_STRING];
	uint8_t		short_b[CXM_SHORT_STRING];
	NumberedPair pair;
	size_t		words;
	size_t		mask_words;
	size_t		rows;
	int			distance;

	if (distance_is_known(&a, &la, &b, &lb, &max, &distance))
		return distance;

	words = ((size_t) la + 63) / 64;
	rows = ((size_t) lb + 2) * 3 * sizeof(int);
	pair = number_characters(s, a, la, b, lb, rows);
	if (shorten(&pair, la, lb, short_a, short_b))
	{
		distance = cxm_levenshtein_short(s, short_a, la, short_b, lb);
		return distance > max ? max + 1 : distance;
	}

	/* a narrow band has less to do than all words, and a large alphabet would need too many masks */
	mask_words = (pair.distinct + 3) * words;
	if (mask_words > MAX_MASK_WORDS || (size_t) max / 2 < words)
		return distance_banded(s, &pair, la, lb, max, false);
	pair = number_characters(s, a, la, b, lb, mask_words * sizeof(uint64_t));
	return levenshtein_words(s, &pair, la, lb, max);
}

int
cxm_osa(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, int max)
{
	uint8_t		short_a[CXM_SHORT_STRING];
	uint8_t		short_b[CXM_SHORT_STRING];
	NumberedPair pair;
	int			distance;

	if (distance_is_known(&a, &la, &b, &lb, &max, &distance))
		return distance;

	pair = number_characters(s, a, la, b, lb, ((size_t) lb + 2) * 3 * sizeof(int));
	if (shorten(&pair, la, lb, short_a, short_b))
	{
		distance = cxm_osa_short(s, short_a, la, short_b, lb);
		return distance > max ? max + 1 : distance;
	}
	return distance_banded(s, &pair, la, lb, max, true);
}

/*
 * Damerau's distance with unrestricted transpositions, in linear memory (Zhao and Sahni 2019).
 *
 * An optimal script needs only two kinds of transposition that span others: with nothing deleted between the two
 * characters of a, or with nothing inserted between the two of b.  So it is enough to keep, for each column, the value
 * before its last match, and for the row, the value before its last match.  Only cells within max + 2 of the diagonal
 * are looked at; no script within max leaves them.
 *
 * a and b are numbered by the characters of a; last_row has an entry for each number, the rows lb + 2 each.
 */
static int
damerau_rows(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, int max,
			 int *last_row, uint32_t distinct, int *rows)
{
	int			infinite = maximum(la, lb) + 1;
	int		   *row = rows + 1; /* each row has a place -1 */
	int		   *above = row + lb + 2;
	int		   *before_match = above + lb + 2;
	int			reach = minimum(max, infinite) + 2;
	size_t		steps = 0;

	for (uint32_t c = 0; c <= distinct; c++)
		last_row[c] = -1;
	for (int j = -1; j <= lb; j++)
	{
		above[j] = infinite;
		before_match[j] = infinite;
		row[j] = j < 0 ? infinite : j;
	}

	for (int i = 1; i <= la; i++)
	{
		int			from = maximum(1, i - reach);
		int			to = i > lb - reach ? lb : i + reach;
		int			last_column = -1;
		int			two_above;	/* of the column before, two rows above */
		int			before_last = infinite;
		int		   *swap = row;

		row = above;
		above = swap;
		two_above = row[from - 1];
		row[from - 1] = from == 1 ? i : infinite;
		if (to == i + reach)
			above[to] = infinite;

		for (int j = from; j <= to; j++)
		{
			int			value = above[j - 1] + (a[i - 1] != b[j - 1]);

			value = minimum(value, minimum(row[j - 1], above[j]) + 1);
			if (a[i - 1] == b[j - 1])
			{
				last_column = j;
				before_match[j] = above[j - 2];
				before_last = two_above;
			}
			else if (j - last_column == 1)
				value = minimum(value, before_match[j] + i - last_row[b[j - 1]]);
			else if (i - last_row[b[j - 1]] == 1)
				value = minimum(value, before_last + j - last_column);
			two_above = row[j];
			row[j] = value;
		}
		last_row[a[i - 1]] = i;
		count_steps(s, &steps, to - from + 1);
	}
	return row[lb] > max ? max + 1 : row[lb];
}

int
cxm_damerau(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, int max)
{
	NumberedPair pair;
	size_t		rows;
	int			distance;

	if (distance_is_known(&a, &la, &b, &lb, &max, &distance))
		return distance;

	rows = ((size_t) lb + 2) * 3;
	pair = number_characters(s, a, la, b, lb, (rows + la + 1) * sizeof(int));
	return damerau_rows(s, pair.a, la, pair.b, lb, max, (int *) pair.rest + rows, pair.distinct, pair.rest);
}

/*
 * Damerau's distance of short strings, or max + 1.
 *
 * The restricted distance is quick.  It is never smaller, and never more than twice as great, for it is at most
 * Levenshtein's and a transposition is worth two edits: that decides nearly all pairs.
 */
int
cxm_damerau_short(CxmSimilarity *s, const uint8_t *a, int la, const uint8_t *b, int lb, int max)
{
	uint32_t	wide_a[CXM_SHORT_STRING];
	uint32_t	wide_b[CXM_SHORT_STRING];
	int			last_row[256];
	int			rows[3 * (CXM_SHORT_STRING + 2)];
	int			restricted;

	max = minimum(max, maximum(la, lb));
	if (la - lb > max || lb - la > max)
		return max + 1;
	restricted = cxm_osa_short(s, a, la, b, lb);

	/* a single edit is the same in both, and so is none */
	if (restricted <= 2)
		return minimum(restricted, max + 1);
	if (restricted > 2 * (int64_t) max)
		return max + 1;

	for (int i = 0; i < la; i++)
		wide_a[i] = a[i];
	for (int j = 0; j < lb; j++)
		wide_b[j] = b[j];
	return damerau_rows(s, wide_a, la, wide_b, lb, max, last_row, 255, rows);
}

/*
 * ---- Sets of n-grams
 */

static int
compare_grams(const void *x, const void *y)
{
	uint64_t	a = *(const uint64_t *) x;
	uint64_t	b = *(const uint64_t *) y;

	return (a > b) - (a < b);
}

/* Sort and drop repetitions */
static int
sort_grams(uint64_t *grams, int n)
{
	int			distinct = 0;

	if (n <= 24)
	{
		for (int i = 1; i < n; i++)
		{
			uint64_t	gram = grams[i];
			int			j = i;

			for (; j > 0 && grams[j - 1] > gram; j--)
				grams[j] = grams[j - 1];
			grams[j] = gram;
		}
	}
	else
		qsort(grams, n, sizeof(uint64_t), compare_grams);

	for (int i = 0; i < n; i++)
	{
		if (distinct == 0 || grams[distinct - 1] != grams[i])
			grams[distinct++] = grams[i];
	}
	return distinct;
}

static uint32_t
rank_of_gram(const uint64_t *sorted, int n, uint64_t gram)
{
	int			low = 0;
	int			high = n - 1;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (sorted[middle] < gram)
			low = middle + 1;
		else
			high = middle;
	}
	return (uint32_t) low;
}

/* Bits that every character of a string fits: 8, 16 or 32 */
static int
character_bits(const uint32_t *string, int length)
{
	uint32_t	all = 0;

	for (int i = 0; i < length; i++)
		all |= string[i];
	return all < 0x100 ? 8 : all < 0x10000 ? 16 : 32;
}

/* The n-grams of a string where they fit a word */
static int
pack_characters(const uint32_t *string, int length, int n, int bits, uint64_t *grams)
{
	uint64_t	keep = low_bits(n * bits);
	uint64_t	gram = 0;

	for (int i = 0; i < length; i++)
	{
		gram = (gram << bits | string[i]) & keep;
		if (i >= n - 1)
			grams[i - n + 1] = gram;
	}
	return length - n + 1;
}

/* The n-grams of a string, packed as (number of the first n - 1 characters, last character) */
static int
pack_grams(const uint32_t *head, const uint32_t *string, int length, int n, uint64_t *grams)
{
	int			count = length - n + 1;

	for (int i = 0; i < count; i++)
		grams[i] = (uint64_t) head[i] << 32 | string[i + n - 1];
	return count;
}

/* How many of two ascending sets are in both */
static int
count_common(const uint64_t *a, int na, const uint64_t *b, int nb)
{
	int			i = 0;
	int			j = 0;
	int			common = 0;

	while (i < na && j < nb)
	{
		if (a[i] == b[j])
		{
			common++;
			i++;
			j++;
		}
		else if (a[i] < b[j])
			i++;
		else
			j++;
	}
	return common;
}

/* Fill grams with those of a, from grams + la on with those of b, and behind them is working space */
static void
number_grams(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, int n, uint64_t *grams)
{
	uint64_t   *grams_b = grams + la;
	uint64_t   *sorted = grams_b + lb;
	uint32_t   *head_a = (uint32_t *) (sorted + la + lb);
	uint32_t   *head_b = head_a + la;

	memcpy(head_a, a, la * sizeof(uint32_t));
	memcpy(head_b, b, lb * sizeof(uint32_t));
	for (int length = 2;; length++)
	{
		int			na = pack_grams(head_a, a, la, length, grams);
		int			nb = pack_grams(head_b, b, lb, length, grams_b);
		int			distinct;

		if (length == n)
			return;
		memcpy(sorted, grams, na * sizeof(uint64_t));
		memcpy(sorted + na, grams_b, nb * sizeof(uint64_t));
		distinct = sort_grams(sorted, na + nb);
		for (int i = 0; i < na; i++)
			head_a[i] = rank_of_gram(sorted, distinct, grams[i]);
		for (int j = 0; j < nb; j++)
			head_b[j] = rank_of_gram(sorted, distinct, grams_b[j]);
		if (s->poll)
			s->poll();
	}
}

/*
 * Jaccard similarity of the sets of n-grams.  A string of fewer than n characters is its own only gram, and the empty
 * string has none; two strings without grams are equal.
 *
 * Grams that do not fit a word are numbered in rounds, each of which appends one character to the grams of the round
 * before: nothing is hashed, so nothing collides.
 */
double
cxm_jaccard(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, int n)
{
	size_t		total = (size_t) la + lb;
	uint64_t   *grams_a;
	uint64_t   *grams_b;
	int			bits;
	int			na;
	int			nb;
	int			common;

	if (la == 0 || lb == 0)
		return la == lb;
	if (la < n || lb < n)
	{
		/* a short one has one gram, which no string of n or more characters has */
		return la == lb && memcmp(a, b, la * sizeof(uint32_t)) == 0;
	}

	grams_a = reserve(s, total * (2 * sizeof(uint64_t) + sizeof(uint32_t)));
	grams_b = grams_a + la;
	bits = maximum(character_bits(a, la), character_bits(b, lb));
	if (n * bits <= 64)
	{
		na = pack_characters(a, la, n, bits, grams_a);
		nb = pack_characters(b, lb, n, bits, grams_b);
	}
	else
	{
		number_grams(s, a, la, b, lb, n, grams_a);
		na = la - n + 1;
		nb = lb - n + 1;
	}
	na = sort_grams(grams_a, na);
	nb = sort_grams(grams_b, nb);
	common = count_common(grams_a, na, grams_b, nb);
	return (double) common / (na + nb - common);
}
