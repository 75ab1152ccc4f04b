/*
 * src/linkage_core.c
 *		Record linkage after Fellegi and Sunter (1969).
 *
 * Each column's distinct values get numbers, and a record is a row of numbers.  Equality, which decides most
 * comparisons, is then one of integers; how often a value occurs is counted on the way; and what is left is to compare
 * two short strings that lie in a cache line each.
 *
 * Pairs are never kept.  A blocking rule sorts the records by its key and walks through the blocks; a pair is left out
 * when an earlier rule has brought it together already, which its columns tell.  For learning, the pairs of a rule
 * become a histogram of comparison vectors, of which there are few, and the iterations run on that.
 *
 * Nothing depends on the order in which records came, as long as the caller puts them into one order before the pairs
 * are drawn: sums run over sorted vectors.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "linkage_core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE		((size_t) 256 * 1024)

/* pairs between two calls of poll */
#define POLL_PAIRS		4096

/* a probability that was never seen; 0 would make one slip decide everything */
#define LEAST_M			1e-6

/* a value takes at least this share of its u when the matches among random pairs are taken out of it */
#define LEAST_U_LEFT	0.02

/* Winkler's */
#define PREFIX_WEIGHT	0.1

typedef struct CxmKeyed
{
	uint64_t	key;
	uint32_t	record;
} CxmKeyed;

static inline double
smaller(double a, double b)
{
	return a < b ? a : b;
}

static inline double
greater(double a, double b)
{
	return a > b ? a : b;
}

/* Bits that are set.  Inline, because without an option for the machine the compiler's own one is a call. */
static inline int
count_bits(uint64_t word)
{
	word -= (word >> 1) & UINT64_C(0x5555555555555555);
	word = (word & UINT64_C(0x3333333333333333)) + ((word >> 2) & UINT64_C(0x3333333333333333));
	word = (word + (word >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
	return (int) ((word * UINT64_C(0x0101010101010101)) >> 56);
}

static inline void
prefetch(const void *address)
{
#if defined(__GNUC__)
	__builtin_prefetch(address);
#else
	(void) address;
#endif
}

/* Scatter the bits of a number (the finalizer of splitmix64) */
static inline uint64_t
mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

/*
 * ---- Memory
 */

static void *
resize(CxmLinkage *l, void *space, size_t size)
{
	return l->resize(l->arena, space, size);
}

/* A copy that stays as long as the linkage does, aligned for numbers */
static void *
keep(CxmLinkage *l, const void *bytes, size_t size)
{
	size_t		aligned = size > 0 ? (size + 7) & ~(size_t) 7 : 8;	/* nothing has a place, too */
	char	   *copy;

	if (aligned > CHUNK_SIZE / 8)
	{
		copy = resize(l, NULL, aligned);
		memcpy(copy, bytes, size);
		return copy;
	}
	if (l->chunk_left < aligned)
	{
		l->chunk = resize(l, NULL, CHUNK_SIZE);
		l->chunk_left = CHUNK_SIZE;
	}
	copy = l->chunk;
	l->chunk += aligned;
	l->chunk_left -= aligned;
	memcpy(copy, bytes, size);
	return copy;
}

/*
 * ---- Values
 */

static uint64_t
hash_bytes(const char *bytes, uint32_t nbytes)
{
	uint64_t	hash = nbytes;

	while (nbytes >= 8)
	{
		uint64_t	word;

		memcpy(&word, bytes, 8);
		hash = mix(hash ^ word);
		bytes += 8;
		nbytes -= 8;
	}
	if (nbytes > 0)
	{
		uint64_t	word = 0;

		memcpy(&word, bytes, nbytes);
		hash = mix(hash ^ word);
	}
	return mix(hash + UINT64_C(0x9E3779B97F4A7C15));
}

/*
 * What a slot holds: a number, which is below that of the slots, and in the
 * bits that it leaves some of the hash.  So other values with the same slot
 * are passed by without a look at them, which would be a miss of the cache.
 */
static uint32_t
tag_of(const CxmDictionary *d, uint64_t hash)
{
	return (uint32_t) (hash >> 32) & ~(uint32_t) (d->nslots - 1);
}

static void
grow_dictionary(CxmLinkage *l, CxmDictionary *d)
{
	size_t		nslots = d->nslots ? d->nslots * 2 : 64;

	if (d->n + 2 > d->room)
	{
		size_t		room = d->room ? d->room * 2 : 32;

		d->keys = resize(l, (void *) d->keys, room * sizeof(*d->keys));
		d->lengths = resize(l, d->lengths, room * sizeof(*d->lengths));
		d->room = room;
	}
	if ((size_t) d->n * 2 < d->nslots)
		return;
	d->slots = resize(l, d->slots, nslots * sizeof(*d->slots));
	d->nslots = nslots;
	memset(d->slots, 0, nslots * sizeof(*d->slots));
	for (uint32_t id = 1; id <= d->n; id++)
	{
		uint64_t	hash = hash_bytes(d->keys[id], d->lengths[id]);
		size_t		slot = hash & (nslots - 1);

		while (d->slots[slot] != 0)
			slot = (slot + 1) & (nslots - 1);
		d->slots[slot] = tag_of(d, hash) | id;
	}
}

/* The number of a string of bytes, a new one when it was not there */
static uint32_t
look_up(CxmLinkage *l, CxmDictionary *d, const char *bytes, uint32_t nbytes, bool *is_new)
{
	uint64_t	hash = hash_bytes(bytes, nbytes);
	uint32_t	tag;
	size_t		slot;

	grow_dictionary(l, d);
	tag = tag_of(d, hash);
	slot = hash & (d->nslots - 1);
	while (d->slots[slot] != 0)
	{
		uint32_t	id = d->slots[slot] ^ tag;

		if (id < d->nslots && d->lengths[id] == nbytes && memcmp(d->keys[id], bytes, nbytes) == 0)
		{
			*is_new = false;
			return id;
		}
		slot = (slot + 1) & (d->nslots - 1);
	}
	d->n++;
	d->keys[d->n] = keep(l, bytes, nbytes);
	d->lengths[d->n] = nbytes;
	d->slots[slot] = tag | d->n;
	*is_new = true;
	return d->n;
}

static CxmValue *
new_value(CxmLinkage *l, CxmColumn *column, uint32_t id)
{
	if (id >= column->room)
	{
		column->room = column->room ? column->room * 2 : 32;
		column->values = resize(l, column->values, column->room * sizeof(CxmValue));
	}
	memset(&column->values[id], 0, sizeof(CxmValue));
	return &column->values[id];
}

/* The byte that stands for a character in this column, or -1 when there are too many of them */
static int
byte_of(CxmColumn *column, uint32_t character)
{
	if (character < 128)
		return (int) character;
	for (uint32_t k = 0; k < column->nalphabet; k++)
	{
		if (column->alphabet[k] == character)
			return (int) (128 + k);
	}
	if (column->nalphabet == 128)
		return -1;
	column->alphabet[column->nalphabet] = character;
	return (int) (128 + column->nalphabet++);
}

static void
store_text(CxmLinkage *l, CxmColumn *column, CxmValue *value, const uint32_t *characters, uint32_t length)
{
	uint8_t		bytes[CXM_SHORT_STRING];
	bool		is_short = length <= CXM_SHORT_STRING;

	for (uint32_t i = 0; i < length && is_short; i++)
	{
		int			byte = byte_of(column, characters[i]);

		if (byte < 0)
			is_short = false;
		else
			bytes[i] = (uint8_t) byte;
	}
	for (uint32_t i = 0; i < length; i++)
		value->letters |= UINT64_C(1) << (characters[i] & 63);
	value->length = length;
	if (!is_short)
	{
		value->form = CXM_WIDE;
		value->data.wide = keep(l, characters, length * sizeof(uint32_t));
	}
	else if (length > CXM_NEAR_TEXT)
	{
		value->form = CXM_FAR;
		value->data.far = keep(l, bytes, length);
	}
	else
	{
		value->form = CXM_NEAR;
		memcpy(value->data.near, bytes, length);
	}
}

/*
 * The number of a text in its column; number is what it means where the column has days or numbers.
 *
 * bytes tell values apart; characters are what is compared.
 */
uint32_t
cxm_intern_text(CxmLinkage *l, int column, const char *bytes, uint32_t nbytes,
				const uint32_t *characters, uint32_t length, double number)
{
	CxmColumn  *c = &l->columns[column];
	bool		is_new;
	uint32_t	id = look_up(l, &c->dictionary, bytes, nbytes, &is_new);

	if (is_new)
	{
		CxmValue   *value = new_value(l, c, id);

		value->number = number;
		store_text(l, c, value, characters, length);
	}
	c->values[id].count++;
	c->present++;
	return id;
}

/* The number of an element of the sets of a column */
uint32_t
cxm_intern_element(CxmLinkage *l, int column, const char *bytes, uint32_t nbytes)
{
	bool		is_new;

	return look_up(l, &l->columns[column].elements, bytes, nbytes, &is_new);
}

static int
compare_numbers(const void *x, const void *y)
{
	uint32_t	a = *(const uint32_t *) x;
	uint32_t	b = *(const uint32_t *) y;

	return (a > b) - (a < b);
}

/* The number of a set of elements; sorts them and drops repetitions */
uint32_t
cxm_intern_set(CxmLinkage *l, int column, uint32_t *elements, uint32_t n)
{
	CxmColumn  *c = &l->columns[column];
	uint32_t	distinct = 0;
	bool		is_new;
	uint32_t	id;

	if (n > 1)
		qsort(elements, n, sizeof(uint32_t), compare_numbers);
	for (uint32_t i = 0; i < n; i++)
	{
		if (distinct == 0 || elements[distinct - 1] != elements[i])
			elements[distinct++] = elements[i];
	}
	id = look_up(l, &c->dictionary, (const char *) elements, distinct * sizeof(uint32_t), &is_new);
	if (is_new)
	{
		CxmValue   *value = new_value(l, c, id);

		value->form = CXM_SET;
		value->length = distinct;
		value->data.wide = (const uint32_t *) c->dictionary.keys[id];
	}
	c->values[id].count++;
	c->present++;
	return id;
}

/* A new record, whose values the caller fills in */
uint32_t *
cxm_linkage_add(CxmLinkage *l)
{
	if (l->nrecords >= l->room)
	{
		l->room = l->room ? l->room * 2 : 1024;
		l->rows = resize(l, l->rows, l->room * l->ncolumns * sizeof(uint32_t));
	}
	return &l->rows[(size_t) l->nrecords++ * l->ncolumns];
}

/*
 * ---- Comparisons
 */

/* Work out what makes comparing quick; once after the comparisons are set */
void
cxm_linkage_prepare(CxmLinkage *l)
{
	for (int i = 0; i < l->ncomparisons; i++)
	{
		CxmComparison *c = &l->comparisons[i];

		c->exact = 0;
		c->reflexive = true;
		c->least_jaro_winkler = 1;
		c->most_levenshtein = 0;
		c->most_damerau = 0;
		for (int k = 0; k < c->nlevels; k++)
		{
			const CxmLevel *level = &c->levels[k];

			if (level->kind == CXM_EXACT && c->exact == 0)
				c->exact = k + 1;
			if (level->kind == CXM_INTERSECT)
				c->reflexive = false;
			if (level->kind == CXM_JARO_WINKLER)
				c->least_jaro_winkler = smaller(c->least_jaro_winkler, level->limit);
			if (level->kind == CXM_LEVENSHTEIN)
				c->most_levenshtein = (int) greater(c->most_levenshtein, level->limit);
			if (level->kind == CXM_DAMERAU)
				c->most_damerau = (int) greater(c->most_damerau, level->limit);
		}
	}
}

static inline const uint8_t *
bytes_of(const CxmValue *v)
{
	return v->form == CXM_NEAR ? v->data.near : v->data.far;
}

/* The characters of a value; short ones are written to space */
static const uint32_t *
characters_of(const CxmColumn *column, const CxmValue *v, uint32_t *space)
{
	const uint8_t *bytes;

	if (v->form == CXM_WIDE)
		return v->data.wide;
	bytes = bytes_of(v);
	for (uint32_t i = 0; i < v->length; i++)
		space[i] = bytes[i] < 128 ? bytes[i] : column->alphabet[bytes[i] - 128];
	return space;
}

/*
 * Jaro-Winkler similarity, or 0 when it is certainly below least.
 *
 * Letters that only one of the strings has cannot be common ones; that rules out most pairs of random names.
 */
static double
jaro_winkler(CxmLinkage *l, const CxmColumn *column, const CxmValue *a, const CxmValue *b, double least)
{
	int			la = (int) a->length;
	int			lb = (int) b->length;
	int			prefix = 0;

	if (a->form <= CXM_FAR && b->form <= CXM_FAR)
	{
		const uint8_t *x = bytes_of(a);
		const uint8_t *y = bytes_of(b);
		int			common_a = la - count_bits(a->letters & ~b->letters);
		int			common_b = lb - count_bits(b->letters & ~a->letters);
		double		common = common_a < common_b ? common_a : common_b;

		while (prefix < 4 && prefix < la && prefix < lb && x[prefix] == y[prefix])
			prefix++;
		if (la > 0 && lb > 0 && cxm_winkler((common / la + common / lb + 1) / 3, prefix, PREFIX_WEIGHT) < least - 1e-9)
			return 0;
		return cxm_winkler(cxm_jaro_short(&l->similarity, x, la, y, lb), prefix, PREFIX_WEIGHT);
	}
	else
	{
		uint32_t	space_a[CXM_SHORT_STRING];
		uint32_t	space_b[CXM_SHORT_STRING];
		const uint32_t *x = characters_of(column, a, space_a);
		const uint32_t *y = characters_of(column, b, space_b);

		while (prefix < 4 && prefix < la && prefix < lb && x[prefix] == y[prefix])
			prefix++;
		return cxm_winkler(cxm_jaro(&l->similarity, x, la, y, lb), prefix, PREFIX_WEIGHT);
	}
}

/* A distance, or max + 1 when it is more than max */
static int
edit_distance(CxmLinkage *l, const CxmColumn *column, const CxmValue *a, const CxmValue *b, CxmLevelKind kind, int max)
{
	int			la = (int) a->length;
	int			lb = (int) b->length;

	/* a letter that the other one lacks costs an edit */
	if (la - lb > max || lb - la > max ||
		count_bits(a->letters & ~b->letters) > max || count_bits(b->letters & ~a->letters) > max)
		return max + 1;

	if (a->form <= CXM_FAR && b->form <= CXM_FAR)
	{
		if (kind == CXM_DAMERAU)
			return cxm_damerau_short(&l->similarity, bytes_of(a), la, bytes_of(b), lb, max);
		return cxm_levenshtein_short(&l->similarity, bytes_of(a), la, bytes_of(b), lb);
	}
	else
	{
		uint32_t	space_a[CXM_SHORT_STRING];
		uint32_t	space_b[CXM_SHORT_STRING];
		const uint32_t *x = characters_of(column, a, space_a);
		const uint32_t *y = characters_of(column, b, space_b);

		if (kind == CXM_DAMERAU)
			return cxm_damerau(&l->similarity, x, la, y, lb, max);
		return cxm_levenshtein(&l->similarity, x, la, y, lb, max);
	}
}

static uint32_t
common_elements(const CxmValue *a, const CxmValue *b)
{
	uint32_t	i = 0;
	uint32_t	j = 0;
	uint32_t	common = 0;

	while (i < a->length && j < b->length)
	{
		uint32_t	x = a->data.wide[i];
		uint32_t	y = b->data.wide[j];

		common += x == y;
		i += x <= y;
		j += y <= x;
	}
	return common;
}

static double
jaccard(CxmLinkage *l, const CxmColumn *column, const CxmValue *a, const CxmValue *b)
{
	uint32_t	space_a[CXM_SHORT_STRING];
	uint32_t	space_b[CXM_SHORT_STRING];

	if (a->form == CXM_SET)
	{
		uint32_t	common = common_elements(a, b);
		uint32_t	either = a->length + b->length - common;

		return either > 0 ? (double) common / either : 1;
	}
	return cxm_jaccard(&l->similarity, characters_of(column, a, space_a), (int) a->length,
					   characters_of(column, b, space_b), (int) b->length, 2);
}

/* The code of the first level that two values of a column reach: 1 for the first one; 0 when a value is missing */
int
cxm_linkage_level(CxmLinkage *l, const CxmComparison *c, uint32_t a, uint32_t b)
{
	const CxmColumn *column = &l->columns[c->column];
	const CxmValue *x;
	const CxmValue *y;
	double		winkler = -1;
	double		shared = -1;
	int			levenshtein = -1;
	int			damerau = -1;

	if (a == 0 || b == 0)
		return 0;
	if (a == b && c->reflexive)
		return 1;
	x = &column->values[a];
	y = &column->values[b];

	for (int k = 0; k < c->nlevels; k++)
	{
		const CxmLevel *level = &c->levels[k];
		bool		reached = false;

		switch (level->kind)
		{
			case CXM_EXACT:
				reached = a == b;
				break;
			case CXM_JARO_WINKLER:
				if (winkler < 0)
					winkler = jaro_winkler(l, column, x, y, c->least_jaro_winkler);
				reached = winkler >= level->limit;
				break;
			case CXM_LEVENSHTEIN:
				if (levenshtein < 0)
					levenshtein = edit_distance(l, column, x, y, CXM_LEVENSHTEIN, c->most_levenshtein);
				reached = levenshtein <= level->limit;
				break;
			case CXM_DAMERAU:
				if (damerau < 0)
					damerau = edit_distance(l, column, x, y, CXM_DAMERAU, c->most_damerau);
				reached = damerau <= level->limit;
				break;
			case CXM_JACCARD:
				if (shared < 0)
					shared = jaccard(l, column, x, y);
				reached = shared >= level->limit;
				break;
			case CXM_INTERSECT:
				reached = common_elements(x, y) >= level->limit;
				break;
			case CXM_DIFFERENCE:
				reached = fabs(x->number - y->number) <= level->limit;
				break;
			case CXM_RELATIVE:
				reached = fabs(x->number - y->number) <= level->limit * greater(fabs(x->number), fabs(y->number));
				break;
			case CXM_ELSE:
				reached = true;
				break;
		}
		if (reached)
			return k + 1;
	}
	return c->nlevels;
}

/* The comparison vector of two records */
uint64_t
cxm_linkage_compare(CxmLinkage *l, uint32_t a, uint32_t b)
{
	const uint32_t *x = &l->rows[(size_t) a * l->ncolumns];
	const uint32_t *y = &l->rows[(size_t) b * l->ncolumns];
	uint64_t	vector = 0;

	for (int i = 0; i < l->ncomparisons; i++)
	{
		const CxmComparison *c = &l->comparisons[i];

		vector |= (uint64_t) cxm_linkage_level(l, c, x[c->column], y[c->column]) << (4 * i);
	}
	return vector;
}

/* How many pairs of records there are */
double
cxm_linkage_all_pairs(const CxmLinkage *l)
{
	if (l->nleft > 0)
		return (double) l->nleft * (l->nrecords - l->nleft);
	return (double) l->nrecords * ((double) l->nrecords - 1) / 2;
}

/*
 * ---- Blocking
 */

/* Do two records agree in all columns of a rule? */
static inline bool
rule_holds(const CxmRule *rule, const uint32_t *x, const uint32_t *y)
{
	for (int k = 0; k < rule->ncolumns; k++)
	{
		uint32_t	id = x[rule->columns[k]];

		if (id == 0 || id != y[rule->columns[k]])
			return false;
	}
	return true;
}

/* Sort by key, a byte at a time from the lowest; equal keys keep their order */
static void
radix_sort(CxmPairs *p)
{
	for (int shift = 0; shift < 64; shift += 8)
	{
		uint32_t	starts[257] = {0};
		CxmKeyed   *sorted;

		for (uint32_t i = 0; i < p->n; i++)
			starts[((p->order[i].key >> shift) & 255) + 1]++;
		if (p->n == 0 || starts[((p->order[0].key >> shift) & 255) + 1] == p->n)
			continue;			/* the byte is the same everywhere */
		for (int k = 0; k < 256; k++)
			starts[k + 1] += starts[k];
		for (uint32_t i = 0; i < p->n; i++)
			p->spare[starts[(p->order[i].key >> shift) & 255]++] = p->order[i];
		sorted = p->spare;
		p->spare = p->order;
		p->order = sorted;
	}
}

/* Is a block left out for its size? */
static inline bool
is_large(const CxmPairs *p, uint32_t from, uint32_t to)
{
	return p->linkage->max_block > 0 && to - from > p->linkage->max_block && p->rules[p->nrules - 1].ncolumns > 0;
}

/* Remember whose blocks the last rule leaves out: a later rule must not take their pairs for done */
static void
mark_large_blocks(CxmLinkage *l, CxmPairs *p)
{
	uint32_t	bit = UINT32_C(1) << (p->nrules - 1);
	size_t		size = ((size_t) l->nrecords + 1) * sizeof(uint32_t);

	if (l->max_block == 0)
		return;
	if (l->in_large_block == NULL)
	{
		l->in_large_block = resize(l, NULL, size);
		memset(l->in_large_block, 0, size);
	}
	for (uint32_t r = 0; r < l->nrecords; r++)
		l->in_large_block[r] &= ~bit;
	for (uint32_t from = 0, to; from < p->n; from = to)
	{
		for (to = from + 1; to < p->n && p->order[to].key == p->order[from].key;)
			to++;
		for (uint32_t i = from; i < to && is_large(p, from, to); i++)
			l->in_large_block[p->order[i].record] |= bit;
	}
}

/* Find the block that begins at from: where it ends, and where its right side begins */
static void
find_block(CxmPairs *p, uint32_t from)
{
	uint32_t	to = from;

	p->from = from;
	p->middle = from;
	while (to < p->n && p->order[to].key == p->order[from].key)
	{
		p->middle += p->order[to].record < p->linkage->nleft;
		to++;
	}
	p->to = to;
	p->i = is_large(p, from, to) ? to : from;
	p->j = p->linkage->nleft > 0 ? p->middle : from + 1;
}

/*
 * Begin to walk through the pairs of the last of some rules, without those of the rules before it.  Returns how many
 * pairs there are to look at.  p is zeroed before its first use and may be used again.
 */
double
cxm_block_size(CxmLinkage *l, CxmPairs *p, const CxmRule *rules, int nrules)
{
	const CxmRule *rule = &rules[nrules - 1];
	double		pairs = 0;

	if (p->order == NULL)
	{
		p->order = resize(l, NULL, ((size_t) l->nrecords + 1) * sizeof(CxmKeyed));
		p->spare = resize(l, NULL, ((size_t) l->nrecords + 1) * sizeof(CxmKeyed));
	}
	p->linkage = l;
	p->rules = rules;
	p->nrules = nrules;
	p->n = 0;
	for (uint32_t r = 0; r < l->nrecords; r++)
	{
		const uint32_t *row = &l->rows[(size_t) r * l->ncolumns];
		uint64_t	key = 0;
		int			k = 0;

		for (; k < rule->ncolumns && row[rule->columns[k]] != 0; k++)
			key = rule->ncolumns == 1 ? row[rule->columns[k]] : mix(key ^ row[rule->columns[k]]) + k;
		if (k < rule->ncolumns)
			continue;			/* a value is missing */
		p->order[p->n].key = key;
		p->order[p->n++].record = r;
	}
	radix_sort(p);
	mark_large_blocks(l, p);
	if (l->poll)
		l->poll();

	for (uint32_t from = 0; from < p->n; from = p->to)
	{
		find_block(p, from);
		if (is_large(p, p->from, p->to))
			continue;
		if (l->nleft > 0)
			pairs += (double) (p->middle - p->from) * (p->to - p->middle);
		else
			pairs += (double) (p->to - p->from) * (p->to - p->from - 1) / 2;
	}
	find_block(p, 0);
	return pairs;
}

/* The next pairs, at most room of them, and no more looked at than POLL_PAIRS; -1 when there are no more */
int
cxm_next_pairs(CxmPairs *p, uint32_t *a, uint32_t *b, int room)
{
	const CxmLinkage *l = p->linkage;
	int			looked_at = 0;
	int			n = 0;

	while (n < room && looked_at < POLL_PAIRS)
	{
		uint32_t	left_end = l->nleft > 0 ? p->middle : p->to;
		uint32_t	x;
		const uint32_t *row;

		if (p->from >= p->n)
			return n > 0 ? n : -1;
		if (p->i >= left_end || (l->nleft > 0 && p->middle == p->to))
		{
			looked_at++;
			find_block(p, p->to);
			continue;
		}

		x = p->order[p->i].record;
		row = &l->rows[(size_t) x * l->ncolumns];
		for (; p->j < p->to && n < room && looked_at < POLL_PAIRS; p->j++)
		{
			uint32_t	y = p->order[p->j].record;
			const uint32_t *other = &l->rows[(size_t) y * l->ncolumns];
			bool		wanted = true;

			looked_at++;
			/* keys of several columns may collide */
			if (p->rules[p->nrules - 1].ncolumns > 1)
				wanted = rule_holds(&p->rules[p->nrules - 1], row, other);
			for (int r = 0; r < p->nrules - 1 && wanted; r++)
				wanted = !rule_holds(&p->rules[r], row, other) ||
					(l->max_block > 0 && (l->in_large_block[x] >> r & 1));
			if (wanted)
			{
				a[n] = x;
				b[n++] = y;
			}
		}
		if (p->j >= p->to)
		{
			p->i++;
			p->j = l->nleft > 0 ? p->middle : p->i + 1;
		}
	}
	return n;
}

/*
 * ---- Histograms of comparison vectors
 */

static void
grow_histogram(CxmLinkage *l, CxmHistogram *h)
{
	CxmHistogram old = *h;

	h->room = old.room ? old.room * 2 : 1024;
	h->vectors = resize(l, NULL, h->room * sizeof(uint64_t));
	h->counts = resize(l, NULL, h->room * sizeof(uint64_t));
	h->n = 0;
	memset(h->counts, 0, h->room * sizeof(uint64_t));
	for (size_t i = 0; i < old.room; i++)
	{
		if (old.counts[i] > 0)
			cxm_histogram_add(l, h, old.vectors[i], old.counts[i]);
	}
	if (old.room > 0)
	{
		l->resize(l->arena, old.vectors, 0);
		l->resize(l->arena, old.counts, 0);
	}
}

/* Count a vector.  While it is filled, the histogram is an open hash table; count is greater than 0 */
void
cxm_histogram_add(CxmLinkage *l, CxmHistogram *h, uint64_t vector, uint64_t count)
{
	size_t		slot;

	if (h->n * 2 >= h->room)
		grow_histogram(l, h);
	slot = mix(vector + UINT64_C(0x9E3779B97F4A7C15)) & (h->room - 1);
	while (h->counts[slot] > 0 && h->vectors[slot] != vector)
		slot = (slot + 1) & (h->room - 1);
	h->n += h->counts[slot] == 0;
	h->vectors[slot] = vector;
	h->counts[slot] += count;
}

typedef struct Bin
{
	uint64_t	vector;
	uint64_t	count;
} Bin;

static void
sift_down(CxmHistogram *h, size_t root, size_t n)
{
	for (size_t child = 2 * root + 1; child < n; child = 2 * root + 1)
	{
		Bin			bin = {h->vectors[root], h->counts[root]};

		if (child + 1 < n && h->vectors[child + 1] > h->vectors[child])
			child++;
		if (h->vectors[child] <= bin.vector)
			return;
		h->vectors[root] = h->vectors[child];
		h->counts[root] = h->counts[child];
		h->vectors[child] = bin.vector;
		h->counts[child] = bin.count;
		root = child;
	}
}

/* Put the n bins in front, in ascending order: sums over them are the same whatever came first.  Ends the filling. */
void
cxm_histogram_sort(CxmHistogram *h)
{
	size_t		n = 0;

	for (size_t i = 0; i < h->room; i++)
	{
		if (h->counts[i] > 0)
		{
			h->vectors[n] = h->vectors[i];
			h->counts[n++] = h->counts[i];
		}
	}
	for (size_t root = n / 2; root-- > 0;)
		sift_down(h, root, n);
	for (size_t end = n; end-- > 1;)
	{
		Bin			bin = {h->vectors[0], h->counts[0]};

		h->vectors[0] = h->vectors[end];
		h->counts[0] = h->counts[end];
		h->vectors[end] = bin.vector;
		h->counts[end] = bin.count;
		sift_down(h, 0, end);
	}
}

/*
 * ---- Learning
 */

/* Start values: matches mostly agree, others mostly do not */
void
cxm_em_start(CxmEm *em, int comparison)
{
	int			n = em->nlevels[comparison];

	for (int code = 1; code <= n; code++)
	{
		em->m[comparison][code] = n == 1 ? 1 : code == 1 ? 0.9 : 0.1 / (n - 1);
		em->u[comparison][code] = n == 1 ? 1 : code == n ? 0.9 : 0.1 / (n - 1);
	}
}

/* Make probabilities of expected counts; return the greatest change */
static double
new_probabilities(double *p, const double *expected, int nlevels)
{
	double		total = 0;
	double		sum = 0;
	double		change = 0;
	double		next[CXM_LEVEL_CODES];

	for (int code = 1; code <= nlevels; code++)
		total += expected[code];
	if (total <= 0)
		return 0;
	for (int code = 1; code <= nlevels; code++)
	{
		next[code] = greater(expected[code] / total, LEAST_M);
		sum += next[code];
	}
	for (int code = 1; code <= nlevels; code++)
	{
		change = greater(change, fabs(next[code] / sum - p[code]));
		p[code] = next[code] / sum;
	}
	return change;
}

/* The probability of a vector, among matches, among related people and among the others */
static void
vector_likelihood(const CxmEm *em, uint64_t vector, double *m, double *r, double *u)
{
	*m = em->lambda;
	*r = em->lambda_related;
	*u = 1 - em->lambda - em->lambda_related;
	for (int i = 0; i < em->ncomparisons; i++)
	{
		int			code = cxm_code(vector, i);

		if (code == 0 || em->unused[i])
			continue;
		*m *= em->m[i][code];
		*u *= em->u[i][code];
		if (em->lambda_related > 0)
			*r *= em->r[i][code];
	}
}

/*
 * Estimate lambda and m, and u when asked to, by expectation maximisation from the values that are there.  A missing
 * value says nothing.  Ends when no parameter changes by more than tolerance.
 */
void
cxm_em(CxmEm *em, const CxmHistogram *h, double tolerance, int max_iterations)
{
	em->converged = false;
	em->iterations = 0;
	while (!em->converged && em->iterations < max_iterations)
	{
		double		m[CXM_MAX_COMPARISONS][CXM_LEVEL_CODES] = {{0}};
		double		r[CXM_MAX_COMPARISONS][CXM_LEVEL_CODES] = {{0}};
		double		u[CXM_MAX_COMPARISONS][CXM_LEVEL_CODES] = {{0}};
		double		matches = 0;
		double		related = 0;
		double		total = 0;
		double		lambda;
		double		change;

		em->log_likelihood = 0;
		for (size_t k = 0; k < h->n; k++)
		{
			double		count = (double) h->counts[k];
			double		pm;
			double		pr;
			double		pu;
			double		p;
			double		q;

			vector_likelihood(em, h->vectors[k], &pm, &pr, &pu);
			p = pm + pr + pu > 0 ? pm / (pm + pr + pu) : 0.5;
			q = pm + pr + pu > 0 ? pr / (pm + pr + pu) : 0;
			em->log_likelihood += pm + pr + pu > 0 ? count * log(pm + pr + pu) : 0;
			matches += p * count;
			related += q * count;
			total += count;
			for (int i = 0; i < em->ncomparisons; i++)
			{
				m[i][cxm_code(h->vectors[k], i)] += p * count;
				r[i][cxm_code(h->vectors[k], i)] += q * count;
				u[i][cxm_code(h->vectors[k], i)] += (1 - p - q) * count;
			}
		}
		if (total <= 0)
			return;

		lambda = smaller(greater(matches / total, 1e-12), 1 - 1e-12);
		change = fabs(lambda - em->lambda);
		em->lambda = lambda;
		if (em->lambda_related > 0)
		{
			double		share = smaller(greater(related / total, 1e-12), 1 - 1e-12);

			change = greater(change, fabs(share - em->lambda_related));
			em->lambda_related = share;
		}
		for (int i = 0; i < em->ncomparisons; i++)
		{
			if (em->unused[i])
				continue;
			change = greater(change, new_probabilities(em->m[i], m[i], em->nlevels[i]));
			if (em->lambda_related > 0 && !em->fixed[i])
				change = greater(change, new_probabilities(em->r[i], r[i], em->nlevels[i]));
			if (em->estimate_u)
				change = greater(change, new_probabilities(em->u[i], u[i], em->nlevels[i]));
		}
		em->iterations++;
		em->converged = change <= tolerance;
	}
}

/* A generator of our own: the same pairs for the same seed, on every machine */
static uint64_t
next_random(uint64_t *state)
{
	*state += UINT64_C(0x9E3779B97F4A7C15);
	return mix(*state);
}

static uint32_t
random_below(uint64_t *state, uint32_t bound)
{
	return (uint32_t) (((next_random(state) >> 32) * bound) >> 32);
}

/* Share of all pairs with both values whose values are equal; known without drawing any */
double
cxm_share_of_equal(const CxmLinkage *l, int column)
{
	uint32_t   *left;
	double		equal = 0;
	double		both;
	const CxmColumn *c = &l->columns[column];
	double		present_left = 0;

	if (l->nleft == 0)
	{
		for (uint32_t id = 1; id <= c->dictionary.n; id++)
			equal += (double) c->values[id].count * ((double) c->values[id].count - 1);
		both = (double) c->present * ((double) c->present - 1);
		return both > 0 ? equal / both : 0;
	}

	left = l->resize(l->arena, NULL, ((size_t) c->dictionary.n + 1) * sizeof(uint32_t));
	memset(left, 0, ((size_t) c->dictionary.n + 1) * sizeof(uint32_t));
	for (uint32_t r = 0; r < l->nleft; r++)
	{
		uint32_t	id = l->rows[(size_t) r * l->ncolumns + column];

		left[id]++;
		present_left += id != 0;
	}
	for (uint32_t id = 1; id <= c->dictionary.n; id++)
		equal += (double) left[id] * (c->values[id].count - left[id]);
	both = present_left * ((double) c->present - present_left);
	l->resize(l->arena, left, 0);
	return both > 0 ? equal / both : 0;
}

static void
count_levels(CxmLinkage *l, uint32_t a, uint32_t b, uint64_t counts[][CXM_LEVEL_CODES])
{
	uint64_t	vector = cxm_linkage_compare(l, a, b);

	for (int i = 0; i < l->ncomparisons; i++)
		counts[i][cxm_code(vector, i)]++;
}

/* Make u of the counts of a comparison; equal is the true share of equal values where the first level is exact */
static void
set_u(CxmComparison *c, const uint64_t *counts, double equal)
{
	double		drawn = 0;
	double		sum = 0;

	for (int k = c->exact == 1 ? 1 : 0; k < c->nlevels; k++)
		drawn += (double) counts[k + 1];
	for (int k = 0; k < c->nlevels; k++)
	{
		CxmLevel   *level = &c->levels[k];

		if (k == 0 && c->exact == 1)
			level->u = equal;
		else
			level->u = drawn > 0 ? (double) counts[k + 1] / drawn * (c->exact == 1 ? 1 - equal : 1) : 0;
		/* what never came up among so many pairs is rare, not impossible */
		level->u = greater(level->u, 0.5 / (drawn + 1));
		sum += level->u;
	}
	for (int k = 0; k < c->nlevels; k++)
		c->levels[k].u /= sum;
}

/*
 * Estimate u from random pairs, nearly all of which are no matches; from all pairs when there are no more than
 * max_pairs.  Returns how many were looked at.
 */
uint64_t
cxm_linkage_estimate_u(CxmLinkage *l, uint64_t max_pairs, uint64_t seed)
{
	uint64_t	counts[CXM_MAX_COMPARISONS][CXM_LEVEL_CODES] = {{0}};
	uint64_t	state = mix(seed);
	uint64_t	n = 0;
	uint32_t	nright = l->nrecords - l->nleft;

	if (cxm_linkage_all_pairs(l) <= (double) max_pairs)
	{
		for (uint32_t a = 0; a < (l->nleft > 0 ? l->nleft : l->nrecords); a++)
		{
			for (uint32_t b = l->nleft > 0 ? l->nleft : a + 1; b < l->nrecords; b++)
			{
				count_levels(l, a, b, counts);
				if (++n % POLL_PAIRS == 0 && l->poll)
					l->poll();
			}
		}
	}
	else
	{
		while (n < max_pairs)
		{
			uint32_t	a = random_below(&state, l->nleft > 0 ? l->nleft : l->nrecords);
			uint32_t	b = random_below(&state, l->nleft > 0 ? nright : l->nrecords - 1);

			if (l->nleft > 0)
				b += l->nleft;
			else if (b >= a)
				b++;			/* any other record */
			count_levels(l, a, b, counts);
			if (++n % POLL_PAIRS == 0 && l->poll)
				l->poll();
		}
	}
	for (int i = 0; i < l->ncomparisons; i++)
	{
		CxmComparison *c = &l->comparisons[i];

		set_u(c, counts[i], c->exact == 1 ? cxm_share_of_equal(l, c->column) : 0);
	}
	return n;
}

/*
 * Take the matches out of u, and the related people.
 *
 * Random pairs contain lambda of matches.  Where a level is nearly as rare among the others as matches are among all
 * pairs, that makes u far too great: u = lambda * m + (1 - lambda) * u'.
 */
void
cxm_linkage_correct_u(CxmLinkage *l)
{
	double		strangers = 1 - l->lambda - l->lambda_related;

	for (int i = 0; i < l->ncomparisons; i++)
	{
		CxmComparison *c = &l->comparisons[i];
		double		sum = 0;

		for (int k = 0; k < c->nlevels; k++)
		{
			CxmLevel   *level = &c->levels[k];
			double		known = l->lambda * level->m + l->lambda_related * level->r;

			level->u = greater((level->u - known) / strangers, LEAST_U_LEFT * level->u);
			sum += level->u;
		}
		for (int k = 0; k < c->nlevels; k++)
			c->levels[k].u /= sum;
	}
}

/*
 * ---- Scores
 */

/* How much a comparison of two different values usually takes away from the best that it could add, for its cost */
static double
disappointment(const CxmLinkage *l, int comparison)
{
	const CxmComparison *c = &l->comparisons[comparison];
	double		cost = 1;

	for (int k = 0; k < c->nlevels; k++)
		cost += c->levels[k].kind == CXM_JACCARD ? 4 : c->levels[k].kind == CXM_JARO_WINKLER ? 0.5 : 0;
	return (l->best_unequal[comparison] - l->weight[comparison][c->nlevels]) / cost;
}

/* Compare first what is likely to put a pair out */
static void
choose_order(CxmLinkage *l)
{
	for (int i = 0; i < l->ncomparisons; i++)
	{
		int			k = i;

		for (; k > 0 && disappointment(l, l->order[k - 1]) < disappointment(l, i); k--)
			l->order[k] = l->order[k - 1];
		l->order[k] = i;
	}
}

/* Make weights, in bits, of the probabilities */
void
cxm_linkage_weights(CxmLinkage *l)
{
	l->prior = log2(l->lambda / (1 - l->lambda));
	l->related_prior = log2(l->lambda_related / (1 - l->lambda));
	l->strangers = 1 - l->lambda_related / (1 - l->lambda);
	l->best_prior = l->prior - log2(l->strangers);
	for (int i = 0; i < l->ncomparisons; i++)
	{
		const CxmComparison *c = &l->comparisons[i];

		l->weight[i][0] = 0;
		l->related_weight[i][0] = 0;
		l->best_unequal[i] = -INFINITY;
		for (int k = 0; k < c->nlevels; k++)
		{
			l->weight[i][k + 1] = log2(c->levels[k].m / c->levels[k].u);
			l->related_weight[i][k + 1] = log2(c->levels[k].r / c->levels[k].u);
			if (k + 1 != c->exact)
				l->best_unequal[i] = greater(l->best_unequal[i], l->weight[i][k + 1]);
		}
	}
	choose_order(l);
}

/* What it adds that a value on which both agree exactly is rarer, or commoner, than values are on average */
double
cxm_tf_weight(const CxmLinkage *l, const CxmComparison *c, uint32_t value)
{
	const CxmColumn *column = &l->columns[c->column];
	double		frequency = (double) column->values[value].count / (double) column->present;

	return c->tf_weight * log2(c->levels[c->exact - 1].u / frequency);
}

/*
 * What it takes away that the pair may be two people who are related: they share much that strangers do not.  It is
 * log2 of what both together are as a multiple of what strangers alone would be, were all others strangers; so the odds
 * of a match become those against both.
 */
double
cxm_related_weight(const CxmLinkage *l, uint32_t a, uint64_t vector)
{
	double		weight = l->related_prior;

	if (l->lambda_related <= 0)
		return 0;
	for (int i = 0; i < l->ncomparisons; i++)
	{
		const CxmComparison *c = &l->comparisons[i];
		int			code = cxm_code(vector, i);

		weight += l->related_weight[i][code];
		if (c->tf_weight > 0 && code == c->exact && code > 0)
			weight += cxm_tf_weight(l, c, l->rows[(size_t) a * l->ncolumns + c->column]);
	}
	return weight > 60 ? -weight : -log2(l->strangers + exp2(weight));
}

/* The weight of a pair: the prior and what the comparisons add; a is one of the two records */
double
cxm_linkage_weight(const CxmLinkage *l, uint32_t a, uint64_t vector)
{
	double		weight = l->prior;

	for (int i = 0; i < l->ncomparisons; i++)
	{
		const CxmComparison *c = &l->comparisons[i];
		int			code = cxm_code(vector, i);

		weight += l->weight[i][code];
		if (c->tf_weight > 0 && code == c->exact && code > 0)
			weight += cxm_tf_weight(l, c, l->rows[(size_t) a * l->ncolumns + c->column]);
	}
	return weight + cxm_related_weight(l, a, vector);
}

/*
 * Score a pair.  Returns false as soon as it is certain that its weight is below least: what is equal or missing is
 * seen at once, and the strings are compared only while the best that they could add is enough.
 */
bool
cxm_linkage_score_pair(CxmLinkage *l, uint32_t a, uint32_t b, double least, uint64_t *vector, double *weight)
{
	const uint32_t *x = &l->rows[(size_t) a * l->ncolumns];
	const uint32_t *y = &l->rows[(size_t) b * l->ncolumns];
	uint64_t	known = 0;
	uint32_t	open = 0;
	double		best = l->best_prior;

	for (int i = 0; i < l->ncomparisons; i++)
	{
		const CxmComparison *c = &l->comparisons[i];
		uint32_t	id = x[c->column];
		uint32_t	other = y[c->column];

		if (id == 0 || other == 0)
			continue;
		if (id == other)
		{
			int			code = cxm_linkage_level(l, c, id, other);

			known |= (uint64_t) code << (4 * i);
			best += l->weight[i][code];
			if (c->tf_weight > 0 && code == c->exact)
				best += cxm_tf_weight(l, c, id);
		}
		else
		{
			open |= UINT32_C(1) << i;
			best += l->best_unequal[i];
		}
	}
	/* the sum is made in another order at the end, so leave room for its rounding */
	for (int k = 0; k < l->ncomparisons; k++)
	{
		int			i = l->order[k];
		const CxmComparison *c = &l->comparisons[i];
		int			code;

		if (best < least - 1e-6)
			return false;
		if ((open & (UINT32_C(1) << i)) == 0)
			continue;
		code = cxm_linkage_level(l, c, x[c->column], y[c->column]);
		known |= (uint64_t) code << (4 * i);
		best += l->weight[i][code] - l->best_unequal[i];
	}
	*vector = known;
	*weight = cxm_linkage_weight(l, a, known);
	return *weight >= least;
}

/* Ask for the memory that some pairs are going to need: they are strewn over all records */
void
cxm_linkage_prefetch(const CxmLinkage *l, uint32_t a, uint32_t b)
{
	const uint32_t *x = &l->rows[(size_t) a * l->ncolumns];
	const uint32_t *y = &l->rows[(size_t) b * l->ncolumns];

	for (int i = 0; i < l->ncomparisons; i++)
	{
		int			column = l->comparisons[i].column;

		if (x[column] != y[column])
		{
			prefetch(&l->columns[column].values[x[column]]);
			prefetch(&l->columns[column].values[y[column]]);
		}
	}
}

void
cxm_linkage_prefetch_row(const CxmLinkage *l, uint32_t record)
{
	prefetch(&l->rows[(size_t) record * l->ncolumns]);
}

/* The probability that belongs to a weight */
double
cxm_probability(double weight)
{
	if (weight > 0)
		return 1 / (1 + exp2(-weight));
	return exp2(weight) / (1 + exp2(weight));
}
