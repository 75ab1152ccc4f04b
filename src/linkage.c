/*
 * src/linkage.c
 *		Record linkage for SQL: reading the records, training, scores and explanations.
 *
 * The query runs under the caller's rights through a cursor, and what is needed of its rows is interned as they come
 * (src/linkage_core.c).  Then the records are put into the order of their ids, so that neither the order of the rows
 * nor a repetition changes any answer.
 *
 * A model is its settings with what was learnt: lambda, and m and u at each level.  Everything the functions need is
 * in that one document, which can be looked at, corrected by hand and kept in a table.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/shortest_dec.h"
#include "cxm.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "linkage.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "normalize.h"
#include "rows.h"
#include "parser/scansup.h"
#include "similarity.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define FETCH_ROWS		1000
#define BATCH_PAIRS		1024

/* how many pairs ahead memory is asked for */
#define ROWS_AHEAD		16
#define VALUES_AHEAD	4

/* how near the parameters must come to rest, and how long they may take */
#define TOLERANCE		1e-7
#define MAX_ITERATIONS	5000
#define MAX_RELATED_ITERATIONS 500

/* fewer related pairs a match are taken for matches with many slips */
#define LEAST_RELATED	0.1
#define LEAST_RELATED_PAIRS 10

/* iterations between two looks for an interrupt */
#define EM_SLICE		10

/* as good as so many pairs spread over all levels, so that what has not been seen is not taken for impossible */
#define UNSEEN			1.0

/*
 * ---- Records
 */

bool
cxm_is_number(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID ||
		type == FLOAT4OID || type == FLOAT8OID || type == NUMERICOID;
}

bool
cxm_is_time(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

/* Does a kind of level fit the type of its column? */
static void
check_level(const Linkage *l, int comparison, const CxmLevel *level)
{
	int			column = l->core.comparisons[comparison].column;
	Oid			type = l->types[column];
	bool		set = OidIsValid(l->element_types[column]);
	bool		fits = true;
	const char *needs = "text";

	if (level->kind == CXM_INTERSECT)
	{
		fits = set;
		needs = "an array";
	}
	else if (level->kind == CXM_DIFFERENCE || level->kind == CXM_RELATIVE)
	{
		fits = cxm_is_number(type) || (cxm_is_time(type) && level->kind == CXM_DIFFERENCE);
		needs = "a number or a date";
	}
	else if (level->kind == CXM_JARO_WINKLER || level->kind == CXM_LEVENSHTEIN || level->kind == CXM_DAMERAU)
		fits = !set;
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of type %s cannot be compared so", l->columns[column], format_type_be(type)),
				 errdetail("A level of comparison \"%s\" needs %s.", l->names[comparison], needs),
				 errhint("Cast the column in the query.")));
}

static int
attribute_number(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
			return i + 1;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("query has no column \"%s\"", name),
			 errdetail("The settings name it.")));
	return 0;
}

static bool
has_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return true;
	}
	return false;
}

static bool
is_ignored(const Linkage *l, const char *name)
{
	ListCell   *cell;

	foreach(cell, l->ignored)
	{
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	}
	return false;
}

/* Take all columns that have a text form to speak of, besides those that name the record */
static void
take_all_columns(Linkage *l, TupleDesc desc)
{
	static const char *const usual[] = {"unique_id", "record_id", "rec_id"};

	for (int i = 0; i < (int) lengthof(usual) && !l->id_given && !has_column(desc, l->id_column); i++)
	{
		if (has_column(desc, usual[i]))
			l->id_column = MemoryContextStrdup(l->context, usual[i]);
	}
	for (int i = 0; i < desc->natts && l->core.ncolumns < CXM_MAX_COLUMNS; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Oid			type = getBaseType(attribute->atttypid);
		char	   *name = NameStr(attribute->attname);

		if (strcmp(name, l->id_column) == 0 || strcmp(name, l->source_column) == 0 || is_ignored(l, name))
			continue;
		if (type == BYTEAOID || type == JSONOID || type == JSONBOID || type == XMLOID ||
			get_typtype(type) == TYPTYPE_COMPOSITE)
			continue;
		cxm_column_number(l, MemoryContextStrdup(l->context, name), 0);
	}
}

static void
find_columns(Linkage *l, TupleDesc desc)
{
	if (l->all_columns)
		take_all_columns(l, desc);
	l->id_attribute = attribute_number(desc, l->id_column);
	l->source_attribute = l->link_only ? attribute_number(desc, l->source_column) : 0;
	for (int i = 0; i < l->core.ncolumns; i++)
	{
		l->attributes[i] = attribute_number(desc, l->columns[i]);
		l->types[i] = getBaseType(SPI_gettypeid(desc, l->attributes[i]));
		l->element_types[i] = get_element_type(l->types[i]);
	}
	for (int i = 0; i < l->core.ncomparisons; i++)
	{
		for (int k = 0; k < l->core.comparisons[i].nlevels; k++)
			check_level(l, i, &l->core.comparisons[i].levels[k]);
	}
}

/* What a value means as a number, or in days; 0 where it is neither */
static double
number_of(Datum value, Oid type)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return (double) DatumGetInt64(value);
		case FLOAT4OID:
			return DatumGetFloat4(value);
		case FLOAT8OID:
			return DatumGetFloat8(value);
		case NUMERICOID:
			return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
		case DATEOID:
			return DatumGetDateADT(value);
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return (double) DatumGetTimestamp(value) / USECS_PER_DAY;
		default:
			return 0;
	}
}

/* A value as text, the same whatever DateStyle, TimeZone and extra_float_digits are */
static char *
output_of(Datum value, Oid type)
{
	static const int utc = 0;
	Oid			function;
	bool		is_varlena;
	char	   *digits;

	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
			return TextDatumGetCString(value);
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return JsonEncodeDateTime(NULL, value, type, type == TIMESTAMPTZOID ? &utc : NULL);
		case FLOAT4OID:
			digits = palloc(FLOAT_SHORTEST_DECIMAL_LEN);
			float_to_shortest_decimal_buf(DatumGetFloat4(value), digits);
			return digits;
		case FLOAT8OID:
			digits = palloc(DOUBLE_SHORTEST_DECIMAL_LEN);
			double_to_shortest_decimal_buf(DatumGetFloat8(value), digits);
			return digits;
		default:
			getTypeOutputInfo(type, &function, &is_varlena);
			return OidOutputFunctionCall(function, value);
	}
}

static uint32
intern_set(Linkage *l, int column, ArrayType *array)
{
	Oid			type = l->element_types[column];
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	uint32		count = 0;
	uint32	   *numbers;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &elements, &nulls, &n);
	numbers = palloc(sizeof(uint32) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
		{
			char	   *text = output_of(elements[i], type);

			numbers[count++] = cxm_intern_element(&l->core, column, text, strlen(text));
		}
	}
	return cxm_intern_set(&l->core, column, numbers, count);
}

/* One form for texts that differ in letter case and blanks only */
static char *
clean_text(const char *text)
{
	char	   *lower = cxm_lower(text, (int) strlen(text));
	char	   *to = lower;

	for (const char *from = lower; *from; from++)
	{
		if (!scanner_isspace(*from))
			*to++ = *from;
		else if (to > lower && to[-1] != ' ')
			*to++ = ' ';
	}
	if (to > lower && to[-1] == ' ')
		to--;
	*to = '\0';
	return lower;
}

static uint32
intern(Linkage *l, int column, Datum value)
{
	char	   *text;
	uint32	   *characters;
	int			length;

	if (OidIsValid(l->element_types[column]))
		return intern_set(l, column, DatumGetArrayTypeP(value));
	text = output_of(value, l->types[column]);
	if (l->clean)
		text = clean_text(text);
	if (l->clean && text[0] == '\0')
		return 0;
	if (l->first[column] > 0)
		text[pg_mbcharcliplen(text, strlen(text), l->first[column])] = '\0';
	characters = cxm_text_characters(text, strlen(text), &length);
	return cxm_intern_text(&l->core, column, text, strlen(text), characters, length,
						   number_of(value, l->types[column]));
}

/* Which of the two sets a record belongs to: the first or the second name that came up, put in order later */
static uint8
side_of(Linkage *l, const char *source)
{
	for (int side = 0; side < 2; side++)
	{
		if (l->sources[side] == NULL)
			l->sources[side] = MemoryContextStrdup(l->context, source);
		if (strcmp(l->sources[side], source) == 0)
			return side;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("records to be linked must come from two sources"),
			 errdetail("Column \"%s\" has \"%s\", \"%s\" and \"%s\".",
					   l->source_column, l->sources[0], l->sources[1], source)));
	return 0;
}

/* An identifying value as text; it may not be missing */
static char *
key_value(HeapTuple tuple, TupleDesc desc, int attribute, const char *name)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, attribute, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("column \"%s\" must not be null", name),
				 errdetail("It tells the records apart.")));
	return output_of(value, getBaseType(SPI_gettypeid(desc, attribute)));
}

/* Is a record one of the share of all that is read? By its id, so whatever the order of the rows */
static bool
is_in_share(const Linkage *l, const char *id)
{
	return l->share <= 0 || l->share >= 1 ||
		(double) hash_bytes_extended((const unsigned char *) id, strlen(id), 0) < l->share * 18446744073709551616.0;
}

static void
add_record(Linkage *l, HeapTuple tuple, TupleDesc desc)
{
	uint32		r = l->core.nrecords;
	size_t		room = l->core.room;
	char	   *id = key_value(tuple, desc, l->id_attribute, l->id_column);
	uint32	   *row;

	if (!is_in_share(l, id))
		return;

	if (r == PG_UINT32_MAX / 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many records"),
				 errdetail("There may be %u.", PG_UINT32_MAX / 2)));
	row = cxm_linkage_add(&l->core);
	if (l->core.room != room)
	{
		l->ids = cxm_resize_space(l->context, l->ids, l->core.room * sizeof(char *));
		l->sides = cxm_resize_space(l->context, l->sides, l->core.room);
	}
	l->ids[r] = MemoryContextStrdup(l->context, id);
	l->sides[r] = l->link_only ? side_of(l, key_value(tuple, desc, l->source_attribute, l->source_column)) : 0;
	for (int i = 0; i < l->core.ncolumns; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(tuple, desc, l->attributes[i], &isnull);

		row[i] = isnull ? 0 : intern(l, i, value);
	}
}

static int
compare_records(const void *x, const void *y, void *arg)
{
	const Linkage *l = arg;
	uint32		a = *(const uint32 *) x;
	uint32		b = *(const uint32 *) y;

	if (l->sides[a] != l->sides[b])
		return (int) l->sides[a] - (int) l->sides[b];
	return strcmp(l->ids[a], l->ids[b]);
}

/* Put the records into the order of their sources and ids, whatever the order in which they came */
static void
order_records(Linkage *l)
{
	uint32		n = l->core.nrecords;
	Size		ncolumns = l->core.ncolumns;
	uint32	   *order = MemoryContextAllocHuge(l->context, sizeof(uint32) * Max(n, 1));
	uint32	   *rows = MemoryContextAllocHuge(l->context, sizeof(uint32) * Max(n, 1) * Max(ncolumns, 1));
	char	  **ids = MemoryContextAllocHuge(l->context, sizeof(char *) * Max(n, 1));

	if (l->sources[1] && strcmp(l->sources[0], l->sources[1]) > 0)
	{
		for (uint32 r = 0; r < n; r++)
			l->sides[r] = !l->sides[r];
	}
	for (uint32 r = 0; r < n; r++)
		order[r] = r;
	qsort_arg(order, n, sizeof(uint32), compare_records, l);

	l->core.nleft = 0;
	for (uint32 r = 0; r < n; r++)
	{
		if (r > 0 && compare_records(&order[r - 1], &order[r], l) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNIQUE_VIOLATION),
					 errmsg("record id \"%s\" is not unique", l->ids[order[r]]),
					 errdetail("Column \"%s\" must tell the records apart%s.",
							   l->id_column, l->link_only ? " within their source" : "")));
		memcpy(&rows[(Size) r * ncolumns], &l->core.rows[(Size) order[r] * ncolumns], sizeof(uint32) * ncolumns);
		ids[r] = l->ids[order[r]];
		l->core.nleft += l->link_only && l->sides[order[r]] == 0;
	}
	if (l->core.rows)
	{
		pfree(l->core.rows);
		pfree(l->ids);
	}
	pfree(order);
	l->core.rows = rows;
	l->ids = ids;
	if (l->link_only && (l->core.nleft == 0 || l->core.nleft == n))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("records to be linked must come from two sources"),
				 errdetail("Column \"%s\" has %s.", l->source_column, n == 0 ? "no value" : "one value only")));
}

/* Run the query, as the caller, and take its records */
void
cxm_read_records(Linkage *l, const char *query)
{
	MemoryContext row_context;
	MemoryContext old;
	SPIPlanPtr	plan;
	Portal		portal;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to the server programming interface");
	plan = SPI_prepare(query, 0, NULL);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("query must be one that returns rows"),
				 errhint("For a table write TABLE name.")));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, false);
	find_columns(l, portal->tupDesc);

	row_context = AllocSetContextCreate(l->context, "cxm linkage row", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		old = MemoryContextSwitchTo(row_context);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			add_record(l, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
			MemoryContextReset(row_context);
		}
		MemoryContextSwitchTo(old);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	SPI_finish();
	MemoryContextDelete(row_context);
	order_records(l);
}

/*
 * ---- Training
 */

/* Begin with the pairs of the last of some rules; refuse what would take days */
static double
begin_pairs(Linkage *l, CxmPairs *pairs, const CxmRule *rules, int nrules)
{
	const CxmRule *rule = &rules[nrules - 1];
	double		n = cxm_block_size(&l->core, pairs, rules, nrules);
	StringInfoData names;

	if (n <= l->max_pairs)
		return n;
	initStringInfo(&names);
	for (int k = 0; k < rule->ncolumns; k++)
	{
		appendStringInfo(&names, "%s%s", k > 0 ? ", " : "", l->columns[rule->columns[k]]);
		if (l->first[rule->columns[k]] > 0)
			appendStringInfo(&names, " first %d", l->first[rule->columns[k]]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("blocking rule (%s) gives too many pairs", names.data),
			 errdetail("It gives %.0f pairs, and \"max_pairs\" is %.0f.", n, l->max_pairs),
			 errhint("Add a column to the rule, leave common values out with \"max_block\", or raise \"max_pairs\".")));
	return 0;
}

/* Ask for the memory that the pairs after pair i are going to need */
static inline void
look_ahead(const Linkage *l, const uint32 *a, const uint32 *b, int i, int n)
{
	if (i + ROWS_AHEAD < n)
		cxm_linkage_prefetch_row(&l->core, b[i + ROWS_AHEAD]);
	if (i + VALUES_AHEAD < n)
		cxm_linkage_prefetch(&l->core, a[i + VALUES_AHEAD], b[i + VALUES_AHEAD]);
}

/* How many pairs some rules bring together, each pair once */
static double
count_pairs(Linkage *l, const RuleSet *set)
{
	CxmPairs	pairs = {0};
	uint32		a[BATCH_PAIRS];
	uint32		b[BATCH_PAIRS];
	double		total = 0;

	for (int i = 0; i < set->n; i++)
	{
		int			n;

		begin_pairs(l, &pairs, set->rules, i + 1);
		while ((n = cxm_next_pairs(&pairs, a, b, BATCH_PAIRS)) >= 0)
		{
			total += n;
			CHECK_FOR_INTERRUPTS();
		}
	}
	return total;
}

/* what one training rule taught */
typedef struct Session
{
	CxmEm		em;
	double		pairs;
} Session;

/* Is it the same column of the query, or the beginning of it? */
static bool
same_column(const Linkage *l, int a, int b)
{
	return a == b || strcmp(l->columns[a], l->columns[b]) == 0;
}

static void
start_session(const Linkage *l, const CxmRule *rule, CxmEm *em)
{
	memset(em, 0, sizeof(*em));
	em->ncomparisons = l->core.ncomparisons;
	for (int i = 0; i < em->ncomparisons; i++)
	{
		const CxmComparison *c = &l->core.comparisons[i];

		em->nlevels[i] = c->nlevels;
		cxm_em_start(em, i);
		for (int k = 0; k < c->nlevels; k++)
		{
			em->u[i][k + 1] = c->levels[k].u;
			if (l->has_m)
				em->m[i][k + 1] = c->levels[k].m;
			/* related people agree in much, but not in what is personal */
			em->r[i][k + 1] = c->personal ? c->levels[k].u : (em->m[i][k + 1] + c->levels[k].u) / 2;
		}
		em->fixed[i] = c->personal;
		/* the pairs were chosen for being equal in these columns */
		for (int k = 0; k < rule->ncolumns; k++)
			em->unused[i] |= same_column(l, rule->columns[k], c->column);
	}
}

/* Can the pairs of a rule tell matches from related people? Not when they are equal in something personal */
static bool
tells_relations(const Linkage *l, const CxmRule *rule)
{
	bool		anchored = false;

	for (int i = 0; i < l->core.ncomparisons; i++)
	{
		const CxmComparison *c = &l->core.comparisons[i];

		anchored |= c->personal;
		for (int k = 0; k < rule->ncolumns; k++)
		{
			if (c->personal && same_column(l, rule->columns[k], c->column))
				return false;
		}
	}
	return anchored;
}

static void
run_session(Linkage *l, const CxmRule *rule, Session *session, bool relations)
{
	CxmPairs	pairs = {0};
	CxmHistogram histogram = {0};
	uint32		a[BATCH_PAIRS];
	uint32		b[BATCH_PAIRS];
	int			n;

	begin_pairs(l, &pairs, rule, 1);
	session->pairs = 0;
	while ((n = cxm_next_pairs(&pairs, a, b, BATCH_PAIRS)) >= 0)
	{
		for (int i = 0; i < n; i++)
		{
			look_ahead(l, a, b, i, n);
			cxm_histogram_add(&l->core, &histogram, cxm_linkage_compare(&l->core, a[i], b[i]), 1);
		}
		session->pairs += n;
		CHECK_FOR_INTERRUPTS();
	}
	start_session(l, rule, &session->em);
	if (session->pairs == 0)
		return;
	cxm_histogram_sort(&histogram);
	session->em.lambda = 0.2;
	if (l->core.lambda > 0)
	{
		double		share = l->core.lambda * cxm_linkage_all_pairs(&l->core) * CXM_DEFAULT_RECALL / session->pairs;

		session->em.lambda = Min(0.9, Max(0.001, share));
	}
	if (relations && tells_relations(l, rule))
		session->em.lambda_related = (1 - session->em.lambda) / 4;
	/* relations that are not there never come to rest */
	cxm_em(&session->em, &histogram, TOLERANCE,
		   session->em.lambda_related > 0 ? MAX_RELATED_ITERATIONS : MAX_ITERATIONS);
	pfree(pairs.order);
	pfree(pairs.spare);
	pfree(histogram.vectors);
	pfree(histogram.counts);
}

/* m of each comparison: the mean of the sessions that could learn it, by the share of matches among their pairs */
static void
average_m(Linkage *l, const Session *sessions)
{
	for (int i = 0; i < l->core.ncomparisons; i++)
	{
		CxmComparison *c = &l->core.comparisons[i];
		double		sum[CXM_LEVEL_CODES] = {0};
		double		matches = 0;
		double		n = 0;

		for (int s = 0; s < l->training.n; s++)
		{
			if (sessions[s].em.unused[i] || sessions[s].pairs == 0)
				continue;
			n += sessions[s].em.lambda;
			matches += sessions[s].em.lambda * sessions[s].pairs;
			for (int k = 0; k < c->nlevels; k++)
				sum[k] += sessions[s].em.lambda * sessions[s].em.m[i][k + 1];
		}
		c->trained = n > 0;
		for (int k = 0; k < c->nlevels; k++)
		{
			/* what so many matches did not show may come all the same */
			if (n > 0)
				c->levels[k].m = (sum[k] / n * matches + UNSEEN / c->nlevels) / (matches + UNSEEN);
			else if (!l->has_m)
				c->levels[k].m = sessions[0].em.m[i][k + 1];
		}
	}
}

static void
warn_untrained(const Linkage *l, int comparison)
{
	const CxmComparison *c = &l->core.comparisons[comparison];

	if (!c->trained)
		ereport(WARNING,
				(errmsg("comparison \"%s\" could not be trained", l->names[comparison]),
				 errdetail("Its column is in every training rule that gives pairs."),
				 errhint("Add a training rule without column \"%s\".", l->columns[c->column])));
}

/* The share of matches, or of related pairs, that a rule finds: those that are equal in its columns */
static double
share_found(const Linkage *l, const CxmRule *rule, bool related)
{
	double		share = 1;

	for (int k = 0; k < rule->ncolumns; k++)
	{
		const CxmColumn *column = &l->core.columns[rule->columns[k]];
		double		present = (double) column->present / Max(l->core.nrecords, 1);

		share *= present * present;
		for (int i = 0; i < l->core.ncomparisons; i++)
		{
			const CxmComparison *c = &l->core.comparisons[i];

			if (same_column(l, rule->columns[k], c->column) && c->exact > 0)
			{
				share *= related ? c->levels[c->exact - 1].r : c->levels[c->exact - 1].m;
				break;
			}
		}
	}
	return Max(share, 0.01);
}

/* The share of matches among all pairs, as a session sees it */
static double
lambda_of_session(const Linkage *l, const CxmRule *rule, const Session *session)
{
	return session->em.lambda * session->pairs / share_found(l, rule, false) / cxm_linkage_all_pairs(&l->core);
}

/* How many related pairs a session saw */
static double
related_pairs(const Session *session)
{
	return session->em.lambda_related * session->pairs;
}

/* How many bits tell a related pair of a session from strangers */
static double
related_bits(const Linkage *l, const CxmEm *em)
{
	double		bits = 0;

	for (int i = 0; i < l->core.ncomparisons && em->lambda_related > 0; i++)
	{
		for (int k = 1; k <= em->nlevels[i] && !em->unused[i]; k++)
			bits += em->r[i][k] * log2(em->r[i][k] / em->u[i][k]);
	}
	return bits;
}

/* Are the related people of a session about as close as any? bits: what tells the closest ones from strangers */
static bool
is_close(const Linkage *l, const Session *session, double bits)
{
	return related_pairs(session) >= LEAST_RELATED_PAIRS && related_bits(l, &session->em) >= bits / 2;
}

/*
 * r of each comparison, the mean of the sessions that could learn it, and how many related pairs there are: those that
 * a rule found by the share that is equal in its columns.  Neighbours are related too, but less so, and more of them;
 * sessions that saw mere neighbours are left out.
 */
static void
learn_relations(Linkage *l, const Session *sessions)
{
	double		bits = 0;
	double		found = 0;
	double		shares = 0;

	for (int s = 0; s < l->training.n; s++)
	{
		if (related_pairs(&sessions[s]) >= LEAST_RELATED_PAIRS)
			bits = Max(bits, related_bits(l, &sessions[s].em));
	}
	for (int i = 0; i < l->core.ncomparisons; i++)
	{
		CxmComparison *c = &l->core.comparisons[i];
		double		sum[CXM_LEVEL_CODES] = {0};
		double		seen = 0;

		for (int s = 0; s < l->training.n; s++)
		{
			if (sessions[s].em.unused[i] || !is_close(l, &sessions[s], bits))
				continue;
			seen += related_pairs(&sessions[s]);
			for (int k = 0; k < c->nlevels; k++)
				sum[k] += related_pairs(&sessions[s]) * sessions[s].em.r[i][k + 1];
		}
		for (int k = 0; k < c->nlevels; k++)
		{
			double		otherwise = c->personal ? c->levels[k].u : (c->levels[k].m + c->levels[k].u) / 2;

			c->levels[k].r = (sum[k] + UNSEEN * otherwise) / (seen + UNSEEN);
		}
	}
	for (int s = 0; s < l->training.n; s++)
	{
		if (!is_close(l, &sessions[s], bits))
			continue;
		found += related_pairs(&sessions[s]);
		shares += share_found(l, &l->training.rules[s], true);
	}
	l->core.lambda_related = found > 0 ? Min(found / shares / cxm_linkage_all_pairs(&l->core), 0.5) : 0;
}

/*
 * Are there related people among these records, or is what was found but strangers, or matches with many slips?
 * Relations that are real tell more than it takes to find them among all pairs, and are no rare exception.
 */
static bool
are_related(const Linkage *l, double lambda)
{
	double		bits = log2(Max(l->core.lambda_related, 1e-300));

	for (int i = 0; i < l->core.ncomparisons; i++)
	{
		const CxmComparison *c = &l->core.comparisons[i];

		for (int k = 0; k < c->nlevels; k++)
			bits += c->levels[k].r * log2(c->levels[k].r / c->levels[k].u);
	}
	return bits > 0 && l->core.lambda_related > LEAST_RELATED * lambda;
}

/* lambda as the sessions see it, the mean of them */
static double
lambda_of_sessions(const Linkage *l, const Session *sessions)
{
	double		sum = 0;
	int			n = 0;

	for (int s = 0; s < l->training.n; s++)
	{
		if (sessions[s].pairs == 0)
			continue;
		sum += lambda_of_session(l, &l->training.rules[s], &sessions[s]);
		n++;
	}
	return sum / Max(n, 1);
}

static void
train(Linkage *l, Session *sessions, uint64 seed, uint64 *sampled)
{
	double		all = cxm_linkage_all_pairs(&l->core);
	int			n = 0;

	*sampled = cxm_linkage_estimate_u(&l->core, (uint64) l->sample, seed);
	l->core.lambda = l->lambda;
	if (l->deterministic.n > 0)
		l->core.lambda = count_pairs(l, &l->deterministic) / l->recall / all;

	for (int i = 0; i < l->training.n; i++)
	{
		run_session(l, &l->training.rules[i], &sessions[i], true);
		n += sessions[i].pairs > 0;
	}
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("no training rule gives a pair"),
				 errhint("Choose rules of columns in which records agree.")));
	average_m(l, sessions);
	learn_relations(l, sessions);
	if (l->core.lambda_related > 0 &&
		!are_related(l, l->core.lambda > 0 ? l->core.lambda : lambda_of_sessions(l, sessions)))
	{
		l->core.lambda_related = 0;
		for (int i = 0; i < l->training.n; i++)
		{
			if (sessions[i].em.lambda_related > 0)
				run_session(l, &l->training.rules[i], &sessions[i], false);
		}
		average_m(l, sessions);
	}
	for (int i = 0; i < l->core.ncomparisons; i++)
		warn_untrained(l, i);
	if (l->core.lambda <= 0)
		l->core.lambda = lambda_of_sessions(l, sessions);
	l->core.lambda = Min(Max(l->core.lambda, 0.1 / all), 0.999);
	if (l->correct_u)
		cxm_linkage_correct_u(&l->core);
}

/*
 * ---- Models as jsonb
 */

/* All digits, whatever extra_float_digits says: a model must not change on its way through text */
static void
append_number(StringInfo out, double number)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(number, digits);
	appendStringInfoString(out, digits);
}

/* The entry of cxm_level_kinds that a level was written with */
static int
kind_of_level(const Linkage *l, const CxmComparison *c, const CxmLevel *level)
{
	int			i = 0;

	while (cxm_level_kinds[i].kind != level->kind ||
		   (level->kind == CXM_DIFFERENCE &&
			(strcmp(cxm_level_kinds[i].name, "days") == 0) != cxm_is_time(l->types[c->column])))
		i++;
	return i;
}

static void
append_comparison(StringInfo out, const Linkage *l, int number)
{
	const CxmComparison *c = &l->core.comparisons[number];

	appendStringInfoString(out, "{\"column\":");
	escape_json(out, l->columns[c->column]);
	appendStringInfoString(out, ",\"name\":");
	escape_json(out, l->names[number]);
	appendStringInfoString(out, ",\"term_frequency\":");
	append_number(out, c->tf_weight);
	appendStringInfo(out, ",\"personal\":%s,\"trained\":%s,\"levels\":[", c->personal ? "true" : "false", c->trained ? "true" : "false");
	for (int k = 0; k < c->nlevels; k++)
	{
		const CxmLevel *level = &c->levels[k];

		appendStringInfo(out, "%s{\"%s\":", k > 0 ? "," : "", cxm_level_kinds[kind_of_level(l, c, level)].name);
		if (level->kind == CXM_EXACT || level->kind == CXM_ELSE)
			appendStringInfoString(out, "true");
		else
			append_number(out, level->limit);
		appendStringInfoString(out, ",\"m\":");
		append_number(out, level->m);
		appendStringInfoString(out, ",\"u\":");
		append_number(out, level->u);
		if (l->core.lambda_related > 0)
		{
			appendStringInfoString(out, ",\"r\":");
			append_number(out, level->r);
		}
		appendStringInfoChar(out, '}');
	}
	appendStringInfoString(out, "]}");
}

/* What was learnt, in the form of settings */
static char *
trained_settings(const Linkage *l, const Session *sessions, uint64 sampled)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, "{\"lambda\":");
	append_number(&out, l->core.lambda);
	appendStringInfoString(&out, ",\"lambda_related\":");
	append_number(&out, l->core.lambda_related);
	appendStringInfoString(&out, ",\"comparisons\":[");
	for (int i = 0; i < l->core.ncomparisons; i++)
	{
		if (i > 0)
			appendStringInfoChar(&out, ',');
		append_comparison(&out, l, i);
	}
	appendStringInfo(&out, "],\"training_result\":{\"records\":%u,\"sampled_pairs\":" UINT64_FORMAT ",\"sessions\":[",
					 l->core.nrecords, sampled);
	for (int i = 0; i < l->training.n; i++)
	{
		appendStringInfo(&out, "%s{\"pairs\":%.0f,\"iterations\":%d,\"converged\":%s,\"lambda\":", i > 0 ? "," : "",
						 sessions[i].pairs, sessions[i].em.iterations, sessions[i].em.converged ? "true" : "false");
		append_number(&out, sessions[i].em.lambda);
		if (sessions[i].em.lambda_related > 0)
		{
			appendStringInfoString(&out, ",\"lambda_related\":");
			append_number(&out, sessions[i].em.lambda_related);
		}
		appendStringInfoChar(&out, '}');
	}
	appendStringInfoString(&out, "]}}");
	return out.data;
}

PG_FUNCTION_INFO_V1(cxm_linkage_train);

/* cxm.linkage_train(query text, settings jsonb, seed bigint) */
Datum
cxm_linkage_train(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Jsonb	   *settings = PG_GETARG_JSONB_P(1);
	Linkage    *l;
	Session    *sessions;
	uint64		sampled;
	char	   *trained;

	if (cxm_lacks_settings(settings))
		settings = cxm_suggest_settings(query, settings);
	l = cxm_read_settings(settings, false);
	if (l->training.n == 0)
		l->training = l->blocking;
	if (l->training.n == 0)
		cxm_settings_error("there must be a training rule", "Neither \"training\" nor \"blocking\" has one.");
	cxm_read_records(l, query);
	if (l->core.nrecords < 2)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("there must be two records at least"),
				 errdetail("The query gave %u.", l->core.nrecords)));

	sessions = palloc0(sizeof(Session) * l->training.n);
	train(l, sessions, (uint64) PG_GETARG_INT64(2), &sampled);
	trained = trained_settings(l, sessions, sampled);
	MemoryContextDelete(l->context);
	PG_RETURN_DATUM(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(settings),
										DirectFunctionCall1(jsonb_in, CStringGetDatum(trained))));
}

/*
 * ---- Scores
 */

/* a pair above the threshold */
typedef struct Scored
{
	uint32		a;
	uint32		b;
	double		weight;
	uint64		vector;
} Scored;

/* How a pair agrees in a comparison, from 0 (all other) upwards; -1 when a value is missing */
static int
agreement(const CxmComparison *c, int code)
{
	return code == 0 ? -1 : c->nlevels - code;
}

static void
put_pair(Linkage *l, CxmRows *rows, const Scored *pair)
{
	MemoryContext old = MemoryContextSwitchTo(rows->context);
	Datum		levels[CXM_MAX_COMPARISONS];
	Datum		values[5];
	bool		nulls[5] = {false};

	for (int i = 0; i < l->core.ncomparisons; i++)
		levels[i] = Int32GetDatum(agreement(&l->core.comparisons[i], cxm_code(pair->vector, i)));
	values[0] = CStringGetTextDatum(l->ids[pair->a]);
	values[1] = CStringGetTextDatum(l->ids[pair->b]);
	values[2] = Float8GetDatum(pair->weight);
	values[3] = Float8GetDatum(cxm_probability(pair->weight));
	values[4] = PointerGetDatum(construct_array(levels, l->core.ncomparisons, INT4OID,
												sizeof(int32), true, TYPALIGN_INT));
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(rows->context);
}

/* pairs kept for a choice among them */
typedef struct Candidates
{
	Scored	   *pairs;
	Size		n;
	Size		room;
} Candidates;

static void
keep_pair(Linkage *l, Candidates *candidates, const Scored *pair)
{
	if (candidates->n == candidates->room)
	{
		candidates->room = candidates->room ? candidates->room * 2 : 1024;
		candidates->pairs = cxm_resize_space(l->context, candidates->pairs, candidates->room * sizeof(Scored));
	}
	candidates->pairs[candidates->n++] = *pair;
}

/* Heaviest first; among equals by record, so that the choice is always the same */
static int
compare_pairs(const void *x, const void *y)
{
	const Scored *a = x;
	const Scored *b = y;

	if (a->weight != b->weight)
		return a->weight > b->weight ? -1 : 1;
	if (a->a != b->a)
		return a->a < b->a ? -1 : 1;
	return (a->b > b->b) - (a->b < b->b);
}

/* Give each record at most one partner, the heaviest pairs first */
static void
put_one_to_one(Linkage *l, CxmRows *rows, Candidates *candidates)
{
	bool	   *taken = MemoryContextAllocHuge(l->context, Max(l->core.nrecords, 1));

	memset(taken, 0, l->core.nrecords);
	if (candidates->n > 0)
		qsort(candidates->pairs, candidates->n, sizeof(Scored), compare_pairs);
	for (Size i = 0; i < candidates->n; i++)
	{
		const Scored *pair = &candidates->pairs[i];

		if (taken[pair->a] || taken[pair->b])
			continue;
		taken[pair->a] = taken[pair->b] = true;
		put_pair(l, rows, pair);
	}
}

static void
score_pairs(Linkage *l, CxmRows *rows, double least_weight, Candidates *candidates)
{
	CxmPairs	pairs = {0};
	uint32		a[BATCH_PAIRS];
	uint32		b[BATCH_PAIRS];

	for (int r = 0; r < l->blocking.n; r++)
	{
		int			n;

		begin_pairs(l, &pairs, l->blocking.rules, r + 1);
		while ((n = cxm_next_pairs(&pairs, a, b, BATCH_PAIRS)) >= 0)
		{
			for (int i = 0; i < n; i++)
			{
				Scored		pair;

				look_ahead(l, a, b, i, n);
				pair.a = a[i];
				pair.b = b[i];
				if (!cxm_linkage_score_pair(&l->core, a[i], b[i], least_weight, &pair.vector, &pair.weight))
					continue;
				if (candidates)
					keep_pair(l, candidates, &pair);
				else
					put_pair(l, rows, &pair);
			}
			CHECK_FOR_INTERRUPTS();
		}
	}
}

PG_FUNCTION_INFO_V1(cxm_linkage_score);

/* cxm.linkage_score(query text, model jsonb, threshold double precision, one_to_one boolean) */
Datum
cxm_linkage_score(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Linkage    *l = cxm_read_model(PG_GETARG_JSONB_P(1));
	float8		threshold = PG_GETARG_FLOAT8(2);
	bool		one_to_one = PG_GETARG_BOOL(3);
	Candidates	candidates = {0};
	double		least_weight;
	CxmRows		rows;

	/* written so that NaN is refused */
	if (!(threshold >= 0 && threshold < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("threshold must be at least 0 and less than 1"),
				 errdetail("It is %g.", threshold)));
	if (one_to_one && !l->link_only)
		cxm_settings_error("one-to-one links need two sources", "\"link_type\" is not \"link_only\".");
	if (l->blocking.n == 0)
		cxm_settings_error("there must be a blocking rule", "\"blocking\" is missing or empty.");

	cxm_begin_rows(fcinfo, &rows);
	cxm_read_records(l, query);
	least_weight = log2(threshold / (1 - threshold));	/* 0 makes it -infinity */
	score_pairs(l, &rows, least_weight, one_to_one ? &candidates : NULL);
	if (one_to_one)
		put_one_to_one(l, &rows, &candidates);
	MemoryContextDelete(l->context);
	return (Datum) 0;
}

/*
 * ---- Explanations
 */

static uint32
find_record(const Linkage *l, const char *id, bool left)
{
	uint32		low = left || !l->link_only ? 0 : l->core.nleft;
	uint32		high = left && l->link_only ? l->core.nleft : l->core.nrecords;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		int			order = strcmp(l->ids[middle], id);

		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("there is no record \"%s\"", id),
			 errdetail("Column \"%s\" of the query does not have it%s.", l->id_column,
					   !l->link_only ? "" : left ? " in the first source" : " in the second source")));
	return 0;
}

/* A value of a record as text, or NULL */
static char *
value_text(const Linkage *l, int column, uint32 id)
{
	const CxmColumn *c = &l->core.columns[column];
	StringInfoData out;

	if (id == 0)
		return NULL;
	if (c->values[id].form != CXM_SET)
		return pnstrdup(c->dictionary.keys[id], c->dictionary.lengths[id]);
	initStringInfo(&out);
	for (uint32 i = 0; i < c->values[id].length; i++)
	{
		uint32		element = c->values[id].data.wide[i];

		if (i > 0)
			appendStringInfoString(&out, ", ");
		appendBinaryStringInfo(&out, c->elements.keys[element], c->elements.lengths[element]);
	}
	return out.data;
}

static char *
level_text(const Linkage *l, const CxmComparison *c, int code)
{
	const CxmLevel *level = &c->levels[code - 1];
	const char *relation = cxm_level_kinds[kind_of_level(l, c, level)].relation;

	if (level->kind == CXM_EXACT || level->kind == CXM_ELSE)
		return pstrdup(relation);
	return psprintf("%s%g", relation, level->limit);
}

/* a row of an explanation; texts that are NULL and numbers that are NaN are null */
typedef struct Step
{
	const char *comparison;
	const char *value_a;
	const char *value_b;
	const char *level;
	double		m;
	double		u;
	double		weight;
} Step;

static void
put_step(CxmRows *rows, int *number, double *total, const Step *step)
{
	const char *texts[4] = {step->comparison, step->value_a, step->value_b, step->level};
	double		numbers[5] = {step->m, step->u, step->weight};
	Datum		values[10];
	bool		nulls[10];

	*total += step->weight;
	numbers[3] = *total;
	numbers[4] = cxm_probability(*total);
	values[0] = Int32GetDatum((*number)++);
	nulls[0] = false;
	for (int i = 0; i < 4; i++)
	{
		nulls[1 + i] = texts[i] == NULL;
		values[1 + i] = texts[i] ? CStringGetTextDatum(texts[i]) : (Datum) 0;
	}
	for (int i = 0; i < 5; i++)
	{
		nulls[5 + i] = isnan(numbers[i]);
		values[5 + i] = Float8GetDatum(numbers[i]);
	}
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
}

static void
explain(Linkage *l, CxmRows *rows, uint32 a, uint32 b)
{
	const uint32 *x = &l->core.rows[(Size) a * l->core.ncolumns];
	const uint32 *y = &l->core.rows[(Size) b * l->core.ncolumns];
	uint64		vector = cxm_linkage_compare(&l->core, a, b);
	Step		prior = {"prior", NULL, NULL, NULL, NAN, NAN, l->core.prior};
	double		total = 0;
	int			number = 0;

	put_step(rows, &number, &total, &prior);
	for (int i = 0; i < l->core.ncomparisons; i++)
	{
		const CxmComparison *c = &l->core.comparisons[i];
		int			code = cxm_code(vector, i);
		Step		step = {l->names[i], value_text(l, c->column, x[c->column]), value_text(l, c->column, y[c->column]),
		"missing", NAN, NAN, l->core.weight[i][code]};

		if (code > 0)
		{
			step.level = level_text(l, c, code);
			step.m = c->levels[code - 1].m;
			step.u = c->levels[code - 1].u;
		}
		put_step(rows, &number, &total, &step);
		if (c->tf_weight > 0 && code == c->exact && code > 0)
		{
			const CxmColumn *column = &l->core.columns[c->column];
			Step		tf = {psprintf("%s: frequency", l->names[i]), step.value_a, step.value_b, NULL, NAN, NAN,
			cxm_tf_weight(&l->core, c, x[c->column])};

			tf.level = psprintf("%u of " UINT64_FORMAT " records", column->values[x[c->column]].count, column->present);
			put_step(rows, &number, &total, &tf);
		}
	}
	if (l->core.lambda_related > 0)
	{
		Step		related = {"related people", NULL, NULL, NULL, NAN, NAN, cxm_related_weight(&l->core, a, vector)};

		put_step(rows, &number, &total, &related);
	}
}

PG_FUNCTION_INFO_V1(cxm_linkage_explain);

/* cxm.linkage_explain(query text, model jsonb, record_a text, record_b text) */
Datum
cxm_linkage_explain(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Linkage    *l = cxm_read_model(PG_GETARG_JSONB_P(1));
	char	   *record_a = text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *record_b = text_to_cstring(PG_GETARG_TEXT_PP(3));
	CxmRows		rows;

	cxm_begin_rows(fcinfo, &rows);
	cxm_read_records(l, query);
	explain(l, &rows, find_record(l, record_a, true), find_record(l, record_b, false));
	MemoryContextDelete(l->context);
	return (Datum) 0;
}

/*
 * ---- EM on its own
 */

/* Fill a histogram with the rows of a two-dimensional array of levels, counted from -1 (missing) upwards */
static void
read_vectors(ArrayType *vectors, ArrayType *counts, CxmLinkage *memory, CxmEm *em, CxmHistogram *histogram)
{
	int			n = ARR_NDIM(vectors) == 2 ? ARR_DIMS(vectors)[0] : 0;
	int			width = ARR_NDIM(vectors) == 2 ? ARR_DIMS(vectors)[1] : 0;
	const int32 *levels;
	const int64 *weights = counts ? (const int64 *) ARR_DATA_PTR(counts) : NULL;

	if (ARR_NDIM(vectors) != 2)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("comparison vectors must be an array of two dimensions"),
				 errdetail("It has %d.", ARR_NDIM(vectors)),
				 errhint("A row is a pair of records, a column a comparison.")));
	if (width > CXM_MAX_COMPARISONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many comparisons"),
				 errdetail("There are %d, and may be %d.", width, CXM_MAX_COMPARISONS)));
	if (array_contains_nulls(vectors) || (counts && array_contains_nulls(counts)))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("comparison vectors and counts must not contain nulls"),
				 errhint("The level of a missing value is -1.")));
	if (counts && (ARR_NDIM(counts) != 1 || ARR_DIMS(counts)[0] != n))
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there must be a count for each comparison vector"),
				 errdetail("There are %d vectors.", n)));

	levels = (const int32 *) ARR_DATA_PTR(vectors);
	em->ncomparisons = width;
	for (Size i = 0; i < (Size) n * width; i++)
	{
		if (levels[i] < -1 || levels[i] >= CXM_MAX_LEVELS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("levels must be between -1 and %d", CXM_MAX_LEVELS - 1),
					 errdetail("One is %d.", levels[i])));
		em->nlevels[i % width] = Max(em->nlevels[i % width], levels[i] + 1);
	}
	for (int r = 0; r < n; r++)
	{
		uint64		vector = 0;

		/* the highest level is the first one inside */
		for (int i = 0; i < width; i++)
		{
			int32		level = levels[(Size) r * width + i];

			vector |= (uint64) (level < 0 ? 0 : em->nlevels[i] - level) << (4 * i);
		}
		if (weights && weights[r] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("counts must not be negative"),
					 errdetail("One is " INT64_FORMAT ".", weights[r])));
		if (weights == NULL || weights[r] > 0)
			cxm_histogram_add(memory, histogram, vector, weights ? (uint64) weights[r] : 1);
		if (r % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
	}
}

static void
append_probabilities(StringInfo out, const CxmEm *em, const double p[][CXM_LEVEL_CODES])
{
	for (int i = 0; i < em->ncomparisons; i++)
	{
		appendStringInfoString(out, i > 0 ? ",[" : "[");
		for (int level = 0; level < em->nlevels[i]; level++)
		{
			if (level > 0)
				appendStringInfoChar(out, ',');
			append_number(out, p[i][em->nlevels[i] - level]);
		}
		appendStringInfoChar(out, ']');
	}
}

PG_FUNCTION_INFO_V1(cxm_em_sql);

/* cxm.em(vectors integer[], counts bigint[], max_iterations integer, tolerance double precision) */
Datum
cxm_em_sql(PG_FUNCTION_ARGS)
{
	ArrayType  *vectors;
	ArrayType  *counts = PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1);
	int32		max_iterations = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	float8		tolerance = PG_ARGISNULL(3) ? -1 : PG_GETARG_FLOAT8(3);
	CxmLinkage *memory = palloc0(sizeof(CxmLinkage));
	CxmEm	   *em = palloc0(sizeof(CxmEm));
	CxmHistogram histogram = {0};
	StringInfoData out;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	vectors = PG_GETARG_ARRAYTYPE_P(0);
	if (max_iterations < 1 || max_iterations > 1000000)
		cxm_settings_error("number of iterations must be between 1 and 1000000", "It is null or another number.");
	if (!(tolerance >= 0 && tolerance < 1))
		cxm_settings_error("tolerance must be at least 0 and less than 1", "It is null or another number.");

	memory->arena = CurrentMemoryContext;
	memory->resize = cxm_resize_space;
	read_vectors(vectors, counts, memory, em, &histogram);
	cxm_histogram_sort(&histogram);
	if (histogram.n == 0)
		PG_RETURN_NULL();
	em->estimate_u = true;
	em->lambda = 0.2;
	for (int i = 0; i < em->ncomparisons; i++)
		cxm_em_start(em, i);
	/* in slices, so that it can be interrupted */
	for (int done = 0; done < max_iterations && !em->converged; done += EM_SLICE)
	{
		CHECK_FOR_INTERRUPTS();
		cxm_em(em, &histogram, tolerance, Min(EM_SLICE, max_iterations - done));
	}

	initStringInfo(&out);
	appendStringInfoString(&out, "{\"lambda\":");
	append_number(&out, em->lambda);
	appendStringInfoString(&out, ",\"m\":[");
	append_probabilities(&out, em, em->m);
	appendStringInfoString(&out, "],\"u\":[");
	append_probabilities(&out, em, em->u);
	appendStringInfo(&out, "],\"converged\":%s,\"log_likelihood\":", em->converged ? "true" : "false");
	append_number(&out, em->log_likelihood);
	appendStringInfoChar(&out, '}');
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data)));
}
