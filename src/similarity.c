/*
 * src/similarity.c
 *		Similarity and distance of texts, for SQL.
 *
 * What is compared are characters of the database's encoding, not bytes.  Two short texts of ASCII, which is what most
 * names are, go to the core as they lie; others are first turned into an array of numbers, one a character.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "cxm.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "similarity.h"
#include "similarity_core.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* times and memory stay bearable up to this length */
#define MAX_CHARACTERS		1000000

/* n-grams longer than this are hardly what anyone meant */
#define MAX_GRAM			64

/* working space above this is given back after the call */
#define KEPT_SPACE			((size_t) 1024 * 1024)

/* Damerau's is the plain one; the restricted one is called optimal string alignment */
typedef enum Distance
{
	LEVENSHTEIN,
	OSA,
	DAMERAU
} Distance;

/* a text as the core wants it */
typedef struct Characters
{
	const uint8_t *bytes;		/* the text as it lies */
	int			nbytes;
	bool		is_short;		/* one byte a character, and few of them */
	uint32_t   *wide;			/* its characters; NULL until asked for */
	int			nwide;
} Characters;

static void *
resize_space(void *space, size_t size)
{
	if (space)
		pfree(space);
	return MemoryContextAllocHuge(TopMemoryContext, size);
}

static void
poll_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* What the core works with; one for the session, because its tables are cleared with each use and not before it */
static CxmSimilarity *
similarity_space(void)
{
	static CxmSimilarity space = {.resize = resize_space, .poll = poll_interrupts};

	return &space;
}

/* Give back what only a huge text needed */
static void
release_space(void)
{
	CxmSimilarity *space = similarity_space();

	if (space->size > KEPT_SPACE)
	{
		pfree(space->scratch);
		space->scratch = NULL;
		space->size = 0;
	}
}

static bool
is_ascii(const uint8_t *bytes, int nbytes)
{
	uint8_t		all = 0;

	for (int i = 0; i < nbytes; i++)
		all |= bytes[i];
	return all < 0x80;
}

static Characters
characters_of(text *t)
{
	Characters	c;

	c.bytes = (const uint8_t *) VARDATA_ANY(t);
	c.nbytes = VARSIZE_ANY_EXHDR(t);
	c.is_short = c.nbytes <= CXM_SHORT_STRING &&
		(is_ascii(c.bytes, c.nbytes) || pg_database_encoding_max_length() == 1);
	c.wide = NULL;
	c.nwide = 0;
	return c;
}

/*
 * Turn a text into an array of numbers, one a character.
 *
 * The number is made of the bytes of the character, whatever the encoding: it is enough that equal characters have
 * equal numbers.
 */
uint32 *
cxm_text_characters(const char *bytes, int nbytes, int *length)
{
	const uint8_t *p = (const uint8_t *) bytes;
	const uint8_t *end = p + nbytes;
	int			encoding = GetDatabaseEncoding();
	bool		one_byte = pg_database_encoding_max_length() == 1;
	uint32	   *characters = NULL;
	int			n = 0;

	/* a character has at most four bytes, so that many cannot be too few */
	if (nbytes / 4 > MAX_CHARACTERS)
		n = MAX_CHARACTERS + 1;
	else
	{
		characters = palloc(sizeof(uint32) * Max(nbytes, 1));
		while (p < end)
		{
			int			size = 1;
			uint32		character = 0;

			if (!one_byte && *p >= 0x80)
				size = Min(pg_encoding_mblen(encoding, (const char *) p), (int) (end - p));
			while (size-- > 0)
				character = character << 8 | *p++;
			characters[n++] = character;
		}
	}
	if (n > MAX_CHARACTERS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("text is too long to be compared"),
				 errdetail("The longest that is compared has %d characters.", MAX_CHARACTERS)));
	*length = n;
	return characters;
}

static void
widen(Characters *c)
{
	c->wide = cxm_text_characters((const char *) c->bytes, c->nbytes, &c->nwide);
}

static double
jaro(Characters *a, Characters *b)
{
	CxmSimilarity *space = similarity_space();
	double		value;

	if (a->is_short && b->is_short)
		return cxm_jaro_short(space, a->bytes, a->nbytes, b->bytes, b->nbytes);

	widen(a);
	widen(b);
	value = cxm_jaro(space, a->wide, a->nwide, b->wide, b->nwide);
	release_space();
	return value;
}

PG_FUNCTION_INFO_V1(cxm_jaro_sql);

/* cxm.jaro(a text, b text) */
Datum
cxm_jaro_sql(PG_FUNCTION_ARGS)
{
	Characters	a = characters_of(PG_GETARG_TEXT_PP(0));
	Characters	b = characters_of(PG_GETARG_TEXT_PP(1));

	PG_RETURN_FLOAT8(jaro(&a, &b));
}

/* How many characters two texts have in common at their beginning, up to those that count */
static int
common_prefix(const Characters *a, const Characters *b)
{
	int			prefix = 0;

	if (a->is_short && b->is_short)
	{
		while (prefix < 4 && prefix < a->nbytes && prefix < b->nbytes && a->bytes[prefix] == b->bytes[prefix])
			prefix++;
	}
	else
	{
		while (prefix < 4 && prefix < a->nwide && prefix < b->nwide && a->wide[prefix] == b->wide[prefix])
			prefix++;
	}
	return prefix;
}

PG_FUNCTION_INFO_V1(cxm_jaro_winkler_sql);

/* cxm.jaro_winkler(a text, b text, prefix_weight double precision) */
Datum
cxm_jaro_winkler_sql(PG_FUNCTION_ARGS)
{
	Characters	a = characters_of(PG_GETARG_TEXT_PP(0));
	Characters	b = characters_of(PG_GETARG_TEXT_PP(1));
	float8		prefix_weight = PG_GETARG_FLOAT8(2);
	double		value;

	/* written so that NaN is refused */
	if (!(prefix_weight >= 0 && prefix_weight <= 0.25))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("prefix weight must be between 0 and 0.25"),
				 errdetail("It is %g.", prefix_weight)));

	value = jaro(&a, &b);
	PG_RETURN_FLOAT8(cxm_winkler(value, common_prefix(&a, &b), prefix_weight));
}

static int
distance(Characters *a, Characters *b, Distance kind, int max)
{
	CxmSimilarity *space = similarity_space();
	int			value;

	if (a->is_short && b->is_short)
	{
		if (kind == DAMERAU)
			return cxm_damerau_short(space, a->bytes, a->nbytes, b->bytes, b->nbytes, max);
		value = kind == OSA ? cxm_osa_short(space, a->bytes, a->nbytes, b->bytes, b->nbytes)
			: cxm_levenshtein_short(space, a->bytes, a->nbytes, b->bytes, b->nbytes);
		return value > max ? max + 1 : value;
	}

	widen(a);
	widen(b);
	if (kind == LEVENSHTEIN)
		value = cxm_levenshtein(space, a->wide, a->nwide, b->wide, b->nwide, max);
	else if (kind == OSA)
		value = cxm_osa(space, a->wide, a->nwide, b->wide, b->nwide, max);
	else
		value = cxm_damerau(space, a->wide, a->nwide, b->wide, b->nwide, max);
	release_space();
	return value;
}

/* The distance of arguments 0 and 1, within argument 2 where there is one */
static Datum
distance_of_arguments(FunctionCallInfo fcinfo, Distance kind)
{
	Characters	a = characters_of(PG_GETARG_TEXT_PP(0));
	Characters	b = characters_of(PG_GETARG_TEXT_PP(1));
	int32		max = CXM_NO_LIMIT;

	if (PG_NARGS() > 2)
	{
		max = PG_GETARG_INT32(2);
		if (max < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("greatest distance must not be negative"),
					 errdetail("It is %d.", max)));
	}
	PG_RETURN_INT32(distance(&a, &b, kind, max));
}

PG_FUNCTION_INFO_V1(cxm_levenshtein_sql);

/* cxm.levenshtein(a text, b text [, max_distance integer]) */
Datum
cxm_levenshtein_sql(PG_FUNCTION_ARGS)
{
	return distance_of_arguments(fcinfo, LEVENSHTEIN);
}

PG_FUNCTION_INFO_V1(cxm_osa_sql);

/* cxm.osa(a text, b text [, max_distance integer]) */
Datum
cxm_osa_sql(PG_FUNCTION_ARGS)
{
	return distance_of_arguments(fcinfo, OSA);
}

PG_FUNCTION_INFO_V1(cxm_damerau_sql);

/* cxm.damerau(a text, b text [, max_distance integer]) */
Datum
cxm_damerau_sql(PG_FUNCTION_ARGS)
{
	return distance_of_arguments(fcinfo, DAMERAU);
}

PG_FUNCTION_INFO_V1(cxm_jaccard_sql);

/* cxm.jaccard(a text, b text, n integer) */
Datum
cxm_jaccard_sql(PG_FUNCTION_ARGS)
{
	Characters	a = characters_of(PG_GETARG_TEXT_PP(0));
	Characters	b = characters_of(PG_GETARG_TEXT_PP(1));
	int32		n = PG_GETARG_INT32(2);
	double		value;

	if (n < 1 || n > MAX_GRAM)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("length of n-grams must be between 1 and %d", MAX_GRAM),
				 errdetail("It is %d.", n)));

	widen(&a);
	widen(&b);
	value = cxm_jaccard(similarity_space(), a.wide, a.nwide, b.wide, b.nwide, n);
	release_space();
	PG_RETURN_FLOAT8(value);
}

static int
compare_texts(const void *x, const void *y)
{
	text	   *a = (text *) DatumGetPointer(*(const Datum *) x);
	text	   *b = (text *) DatumGetPointer(*(const Datum *) y);
	int			la = VARSIZE_ANY_EXHDR(a);
	int			lb = VARSIZE_ANY_EXHDR(b);
	int			order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(la, lb));

	return order != 0 ? order : (la > lb) - (la < lb);
}

/* The distinct elements of a text[] in ascending order of their bytes, without NULLs */
static Datum *
text_set(ArrayType *array, int *count)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			distinct = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			elements[distinct++] = elements[i];
	}
	n = distinct;
	qsort(elements, n, sizeof(Datum), compare_texts);
	distinct = 0;
	for (int i = 0; i < n; i++)
	{
		if (distinct == 0 || compare_texts(&elements[distinct - 1], &elements[i]) != 0)
			elements[distinct++] = elements[i];
	}
	*count = distinct;
	return elements;
}

PG_FUNCTION_INFO_V1(cxm_jaccard_array_sql);

/* cxm.jaccard(a text[], b text[]) */
Datum
cxm_jaccard_array_sql(PG_FUNCTION_ARGS)
{
	int			na;
	int			nb;
	Datum	   *a = text_set(PG_GETARG_ARRAYTYPE_P(0), &na);
	Datum	   *b = text_set(PG_GETARG_ARRAYTYPE_P(1), &nb);
	int			i = 0;
	int			j = 0;
	int			common = 0;

	if (na == 0 && nb == 0)
		PG_RETURN_FLOAT8(1);
	while (i < na && j < nb)
	{
		int			order = compare_texts(&a[i], &b[j]);

		common += order == 0;
		i += order <= 0;
		j += order >= 0;
	}
	PG_RETURN_FLOAT8((double) common / (na + nb - common));
}
