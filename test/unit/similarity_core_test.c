/*
 * test/unit/similarity_core_test.c
 *		The forms of similarity_core.c against the textbook and against each other, on random strings.
 *
 * cc -Isrc test/unit/similarity_core_test.c src/similarity_core.c && ./a.out
 */
#include "similarity_core.h"
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 200

static int	polls = 0;

static void
count_poll(void)
{
	polls++;
}

static CxmSimilarity s = {.resize = realloc, .poll = count_poll};

static int
min3(int a, int b, int c)
{
	int			least = a < b ? a : b;

	return c < least ? c : least;
}

/* the whole matrix, as in every textbook; transpositions 1: restricted, 2: Lowrance and Wagner's */
static int
textbook_distance(const uint32_t *a, int la, const uint32_t *b, int lb, int transpositions)
{
	static int	d[LONGEST + 1][LONGEST + 1];

	for (int i = 0; i <= la; i++)
		d[i][0] = i;
	for (int j = 0; j <= lb; j++)
		d[0][j] = j;
	for (int i = 1; i <= la; i++)
	{
		for (int j = 1; j <= lb; j++)
		{
			d[i][j] = min3(d[i - 1][j - 1] + (a[i - 1] != b[j - 1]), d[i - 1][j] + 1, d[i][j - 1] + 1);
			if (transpositions == 1 && i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
			if (transpositions == 2)
			{
				int			k = i - 1;
				int			l = j - 1;

				while (k > 0 && a[k - 1] != b[j - 1])
					k--;
				while (l > 0 && b[l - 1] != a[i - 1])
					l--;
				if (k > 0 && l > 0 && d[k - 1][l - 1] + (i - k - 1) + 1 + (j - l - 1) < d[i][j])
					d[i][j] = d[k - 1][l - 1] + (i - k - 1) + 1 + (j - l - 1);
			}
		}
	}
	return d[la][lb];
}

static double
textbook_jaro(const uint32_t *a, int la, const uint32_t *b, int lb)
{
	int			used_a[LONGEST] = {0};
	int			used_b[LONGEST] = {0};
	int			longer = la > lb ? la : lb;
	int			window = longer / 2 - 1 > 0 ? longer / 2 - 1 : 0;
	int			m = 0;
	int			moved = 0;
	int			k = 0;

	if (la == 0 && lb == 0)
		return 1;
	for (int i = 0; i < la; i++)
	{
		for (int j = 0; j < lb; j++)
		{
			if (abs(i - j) <= window && !used_b[j] && a[i] == b[j])
			{
				used_a[i] = used_b[j] = 1;
				m++;
				break;
			}
		}
	}
	if (m == 0)
		return 0;
	for (int i = 0; i < la; i++)
	{
		if (!used_a[i])
			continue;
		while (!used_b[k])
			k++;
		moved += a[i] != b[k++];
	}
	return ((double) m / la + (double) m / lb + (double) (m - moved / 2) / m) / 3;
}

/* is the gram of n characters at p one of those that begin before the end of a string? */
static int
has_gram(const uint32_t *string, int length, const uint32_t *p, int n)
{
	for (int i = 0; i + n <= length; i++)
	{
		if (memcmp(string + i, p, n * sizeof(uint32_t)) == 0)
			return 1;
	}
	return 0;
}

static double
textbook_jaccard(const uint32_t *a, int la, const uint32_t *b, int lb, int n)
{
	int			both = 0;
	int			either = 0;
	int			na = la < n ? la : n;
	int			nb = lb < n ? lb : n;

	if (la == 0 && lb == 0)
		return 1;
	for (int i = 0; na > 0 && i + na <= la; i++)
	{
		if (has_gram(a, i + na - 1, a + i, na))
			continue;			/* seen before */
		either++;
		both += na == nb && has_gram(b, lb, a + i, na);
	}
	for (int j = 0; nb > 0 && j + nb <= lb; j++)
	{
		if (has_gram(b, j + nb - 1, b + j, nb))
			continue;
		either += !(na == nb && has_gram(a, la, b + j, nb));
	}
	return (double) both / either;
}

static int
random_string(uint32_t *string, int longest, uint32_t alphabet, uint32_t base)
{
	int			length = (int) next_random(longest + 1);

	for (int i = 0; i < length; i++)
		string[i] = base + next_random(alphabet);
	return length;
}

/* often a changed copy, so that distances are small and transpositions matter */
static int
random_partner(const uint32_t *a, int la, uint32_t *b, int longest, uint32_t alphabet, uint32_t base)
{
	int			lb = la;

	if (la == 0 || next_random(3) == 0)
		return random_string(b, longest, alphabet, base);
	memcpy(b, a, la * sizeof(uint32_t));
	for (uint32_t edits = next_random(6); edits > 0 && lb > 1; edits--)
	{
		int			at = (int) next_random(lb - 1);
		uint32_t	kept = b[at];

		switch (next_random(4))
		{
			case 0:
				b[at] = base + next_random(alphabet);
				break;
			case 1:
				b[at] = b[at + 1];
				b[at + 1] = kept;
				break;
			case 2:
				memmove(b + at, b + at + 1, (lb - at - 1) * sizeof(uint32_t));
				lb--;
				break;
			default:
				if (lb < longest)
				{
					memmove(b + at + 1, b + at, (lb - at) * sizeof(uint32_t));
					b[at] = base + next_random(alphabet);
					lb++;
				}
		}
	}
	return lb;
}

static void
random_pair(int longest, uint32_t alphabet, uint32_t base)
{
	uint32_t	a[LONGEST];
	uint32_t	b[LONGEST];
	int			la = random_string(a, longest, alphabet, base);
	int			lb = random_partner(a, la, b, longest, alphabet, base);
	int			lev = textbook_distance(a, la, b, lb, 0);
	int			osa = textbook_distance(a, la, b, lb, 1);
	int			dam = textbook_distance(a, la, b, lb, 2);
	double		jaro = textbook_jaro(a, la, b, lb);
	int			max = (int) next_random(12);
	int			n = 1 + (int) next_random(5);
	double		jaccard = textbook_jaccard(a, la, b, lb, n);

	check(cxm_levenshtein(&s, a, la, b, lb, CXM_NO_LIMIT) == lev, "Levenshtein");
	check(cxm_osa(&s, a, la, b, lb, CXM_NO_LIMIT) == osa, "OSA");
	check(cxm_damerau(&s, a, la, b, lb, CXM_NO_LIMIT) == dam, "Damerau");
	check(cxm_levenshtein(&s, a, la, b, lb, max) == (lev > max ? max + 1 : lev), "Levenshtein within a limit");
	check(cxm_osa(&s, a, la, b, lb, max) == (osa > max ? max + 1 : osa), "OSA within a limit");
	check(cxm_damerau(&s, a, la, b, lb, max) == (dam > max ? max + 1 : dam), "Damerau within a limit");
	check(cxm_levenshtein(&s, b, lb, a, la, CXM_NO_LIMIT) == lev &&
		  cxm_osa(&s, b, lb, a, la, max) == (osa > max ? max + 1 : osa) &&
		  cxm_damerau(&s, b, lb, a, la, CXM_NO_LIMIT) == dam, "distances are symmetric");
	check(dam <= osa && osa <= lev && lev <= 2 * dam, "order of the distances");
	check(fabs(cxm_jaro(&s, a, la, b, lb) - jaro) < 1e-15, "Jaro");
	check(cxm_jaro(&s, b, lb, a, la) == cxm_jaro(&s, a, la, b, lb), "Jaro is symmetric");
	check(cxm_jaccard(&s, a, la, b, lb, n) == jaccard, "Jaccard");
	check(cxm_jaccard(&s, b, lb, a, la, n) == jaccard, "Jaccard is symmetric");

	if (la <= CXM_SHORT_STRING && lb <= CXM_SHORT_STRING && alphabet + base <= 256)
	{
		uint8_t		ba[CXM_SHORT_STRING];
		uint8_t		bb[CXM_SHORT_STRING];

		for (int i = 0; i < la; i++)
			ba[i] = (uint8_t) a[i];
		for (int j = 0; j < lb; j++)
			bb[j] = (uint8_t) b[j];
		check(cxm_levenshtein_short(&s, ba, la, bb, lb) == lev, "short Levenshtein");
		check(cxm_osa_short(&s, ba, la, bb, lb) == osa, "short OSA");
		check(cxm_damerau_short(&s, ba, la, bb, lb, max) == (dam > max ? max + 1 : dam), "short Damerau");
		check(cxm_damerau_short(&s, ba, la, bb, lb, CXM_NO_LIMIT) == dam, "short Damerau without a limit");
		check(fabs(cxm_jaro_short(&s, ba, la, bb, lb) - jaro) < 1e-15, "short Jaro");
	}
}

/*
 * Damerau's distance is the length of a shortest chain of edits.  Search the graph of all strings of up to MAX_SEARCH
 * letters whose edges are single edits.
 */
#define LETTERS 3
#define MAX_SEARCH 6
#define STRINGS 1093			/* 3^0 + ... + 3^6 */

static int	strings[STRINGS][MAX_SEARCH + 1];	/* length, letters */

static int
string_id(const int *string)
{
	int			id = 0;
	int			offset = 0;
	int			power = 1;

	for (int i = 0; i < string[0]; i++)
	{
		offset += power;
		power *= LETTERS;
		id = id * LETTERS + string[i + 1];
	}
	return offset + id;
}

static void
search_from(int start, int *distance)
{
	int			queue[STRINGS];
	int			head = 0;
	int			tail = 0;

	for (int i = 0; i < STRINGS; i++)
		distance[i] = -1;
	distance[start] = 0;
	queue[tail++] = start;
	while (head < tail)
	{
		int			from = queue[head++];
		int			length = strings[from][0];

		/* kind 0 to 2: substitute, 3: delete, 4: swap, 5 to 7: insert */
		for (int kind = 0; kind < 8; kind++)
		{
			for (int at = 1; at <= length + 1; at++)
			{
				int			changed[MAX_SEARCH + 2];
				int			id;

				memcpy(changed, strings[from], sizeof(strings[from]));
				if (kind < 5 && at > length)
					continue;
				if (kind < 3)
					changed[at] = kind;
				else if (kind == 3)
				{
					memmove(changed + at, changed + at + 1, (length - at) * sizeof(int));
					changed[0]--;
				}
				else if (kind == 4)
				{
					if (at == length)
						continue;
					changed[at] = strings[from][at + 1];
					changed[at + 1] = strings[from][at];
				}
				else
				{
					if (length == MAX_SEARCH)
						continue;
					memmove(changed + at + 1, changed + at, (length - at + 1) * sizeof(int));
					changed[at] = kind - 5;
					changed[0]++;
				}
				id = string_id(changed);
				if (distance[id] < 0)
				{
					distance[id] = distance[from] + 1;
					queue[tail++] = id;
				}
			}
		}
	}
}

static void
shortest_chains(void)
{
	int			distance[STRINGS];
	int			wrong = 0;
	int			compared = 0;

	for (int id = 0; id < STRINGS; id++)
	{
		int			rest = id;
		int			power = 1;

		while (rest >= power)
		{
			rest -= power;
			power *= LETTERS;
			strings[id][0]++;
		}
		for (int i = strings[id][0]; i > 0; i--)
		{
			strings[id][i] = rest % LETTERS;
			rest /= LETTERS;
		}
	}
	for (int from = 0; from < STRINGS; from += 3)
	{
		search_from(from, distance);
		for (int to = 0; to < STRINGS; to++)
		{
			uint32_t	a[MAX_SEARCH];
			uint32_t	b[MAX_SEARCH];

			for (int i = 0; i < strings[from][0]; i++)
				a[i] = 'a' + strings[from][i + 1];
			for (int i = 0; i < strings[to][0]; i++)
				b[i] = 'a' + strings[to][i + 1];
			wrong += cxm_damerau(&s, a, strings[from][0], b, strings[to][0], CXM_NO_LIMIT) != distance[to];
			compared++;
		}
	}
	check(compared > 300000 && wrong == 0, "Damerau is the shortest chain of edits");
}

/* the triangle inequality, which the restricted distance does not keep */
static void
random_triangle(void)
{
	uint32_t	x[3][12];
	int			l[3];
	int			lev[3];
	int			dam[3];

	for (int i = 0; i < 3; i++)
		l[i] = random_string(x[i], 12, 2 + next_random(3), 'a');
	for (int i = 0; i < 3; i++)
	{
		int			j = (i + 1) % 3;

		lev[i] = cxm_levenshtein(&s, x[i], l[i], x[j], l[j], CXM_NO_LIMIT);
		dam[i] = cxm_damerau(&s, x[i], l[i], x[j], l[j], CXM_NO_LIMIT);
		check((lev[i] == 0) == (l[i] == l[j] && memcmp(x[i], x[j], l[i] * sizeof(uint32_t)) == 0), "0 is equality");
		check((dam[i] == 0) == (lev[i] == 0), "0 is equality");
	}
	check(lev[0] <= lev[1] + lev[2] && lev[1] <= lev[0] + lev[2] && lev[2] <= lev[0] + lev[1], "triangle, Levenshtein");
	check(dam[0] <= dam[1] + dam[2] && dam[1] <= dam[0] + dam[2] && dam[2] <= dam[0] + dam[1], "triangle, Damerau");
}

/* too long for a matrix: one text and the same with known edits far apart */
static void
long_strings(void)
{
	int			length = 50000;
	uint32_t   *a = malloc(length * sizeof(uint32_t));
	uint32_t   *b = malloc(length * sizeof(uint32_t));

	/* every character is another one, so that no shorter script exists */
	for (int i = 0; i < length; i++)
		a[i] = b[i] = 1000 + i;
	b[100] = 1;
	b[20000] = a[20001];
	b[20001] = a[20000];
	b[40000] = 2;
	polls = 0;
	check(cxm_levenshtein(&s, a, length, b, length, 10) == 4, "long Levenshtein in a band");
	check(cxm_levenshtein(&s, a, length, b, length, 3) == 4, "long Levenshtein above its limit");
	check(cxm_damerau(&s, a, length, b, length, 10) == 3, "long Damerau in a band");
	check(cxm_osa(&s, a, length, b, length, 10) == 3, "long OSA in a band");
	check(fabs(cxm_jaro(&s, a, length, b, length) - (2 * 49998.0 / 50000 + 49997.0 / 49998) / 3) < 1e-12, "long Jaro");
	check(fabs(cxm_jaccard(&s, a, length, b, length, 2) - 49992.0 / 50006) < 1e-12, "long Jaccard");
	for (int i = 0; i < length; i++)
	{
		a[i] = i % 7;
		b[i] = i % 5;
	}
	check(cxm_levenshtein(&s, a, length, b, length, CXM_NO_LIMIT) > 0, "long Levenshtein in words");
	check(polls > 10, "long ones can be interrupted");
	check(s.size < (size_t) 64 * length, "memory is linear in the length");
	free(a);
	free(b);
}

int
main(void)
{
	for (int i = 0; i < 20000; i++)
		random_pair(8, 2 + next_random(3), 'a');
	for (int i = 0; i < 10000; i++)
		random_pair(40, 4 + next_random(20), 'a');
	for (int i = 0; i < 2000; i++)
		random_pair(70, 3 + next_random(200), 1);
	for (int i = 0; i < 3000; i++)
		random_pair(LONGEST, 2 + next_random(600), 0x1F600);
	for (int i = 0; i < 20000; i++)
		random_triangle();
	shortest_chains();
	long_strings();
	check(fabs(cxm_winkler(0.7, 4, 0.1) - 0.7) < 1e-15, "no boost at .7");
	check(fabs(cxm_winkler(0.8, 9, 0.1) - 0.88) < 1e-15, "a prefix counts up to 4");

	for (int i = 0; i < 256; i++)
		check(s.mask[i] == 0, "masks are left as they were found");
	free(s.scratch);
	return report();
}
