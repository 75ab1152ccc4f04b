/*
 * src/linkage_suggest.c
 *		Settings of record linkage for records that nobody has described: cxm.linkage_settings().
 *
 * How a column is compared follows from its type and from what its values look like, not from its name, which may be
 * in any language.  Blocking rules are chosen for the matches that they would find with the slips that people make,
 * against the pairs that they cost, which are counted on a sample.  Training rules are those whose pairs are matches
 * most often.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "cxm.h"
#include "executor/spi.h"
#include "linkage.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

/* records that are looked at; more of them change no choice */
#define SAMPLE_RECORDS	50000.0

/* so many pairs are compared without blocking */
#define ALL_PAIRS		1.3e7

/* pairs a record that all rules may give, and one; and what they may give at least */
#define TOTAL_PER_RECORD 60.0
#define RULE_PER_RECORD 20.0
#define RELATED_PER_RECORD 3.0
#define LEAST_TOTAL		2e7
#define LEAST_RULE		5e6

/* imagined matches on which rules are tried */
#define IMAGINED		16384

#define MAX_CANDIDATES	24
#define MAX_TRIED		400

/* what the values of a column look like */
typedef enum Kind
{
	KIND_SKIP,
	KIND_SET,
	KIND_CATEGORY,				/* few values */
	KIND_DATE,					/* a type that knows days */
	KIND_DATE_TEXT,
	KIND_NUMBER,
	KIND_CODE,					/* digits, perhaps with letters: a phone, a postcode */
	KIND_EMAIL,
	KIND_NAME,
	KIND_TEXT					/* several words: an address */
} Kind;

/* a column of the query */
typedef struct Sight
{
	char	   *name;
	Kind		kind;
	double		present;		/* share of records that have a value */
	double		equal;			/* share of pairs that have the same one */
	double		length;			/* characters on average */
	bool		repeats;		/* some value comes twice */
	bool		personal;		/* relatives have different ones */
} Sight;

/* a column, or the beginning of one, for rules */
typedef struct Candidate
{
	int			sight;
	int			first;
	int			column;			/* in the records read for it */
} Candidate;

/* a rule that was tried */
typedef struct Trial
{
	uint32		mask;			/* bits of candidates */
	int			ncolumns;
	bool		whole;			/* no mere beginnings */
	double		pairs;			/* among all records */
	double		share;			/* of the matches that it would find */
	bool		chosen;
} Trial;

typedef struct Suggestion
{
	Sight		sights[CXM_MAX_COLUMNS];
	int			nsights;
	Candidate	candidates[MAX_CANDIDATES];
	int			ncandidates;
	Trial		trials[MAX_TRIED];
	int			ntrials;
	uint32	   *imagined;		/* for each imagined match the candidates that agree */
	double		records;		/* of the whole query */
	double		scale;			/* pairs of all records a pair of the sample */
	double		all_pairs;
	double		most_rule;		/* pairs that one rule may give */
	double		most_total;		/* and all of them */
} Suggestion;

/*
 * ---- What columns look like
 */

static bool
is_date_text(const char *text, uint32 length)
{
	uint32		digits = 0;
	uint32		marks = 0;

	if (length < 8 || length > 10)
		return false;
	for (uint32 i = 0; i < length; i++)
	{
		if (text[i] >= '0' && text[i] <= '9')
			digits++;
		else if (text[i] == '-' || text[i] == '/' || text[i] == '.')
			marks++;
		else
			return false;
	}
	if (marks == 2)
		return digits >= 6;
	/* eight digits in a row are one when they begin with a year and go on with a month and a day */
	return marks == 0 && digits == 8 && (strncmp(text, "18", 2) == 0 || strncmp(text, "19", 2) == 0 || strncmp(text, "20", 2) == 0) &&
		(text[4] - '0') * 10 + text[5] - '0' <= 12 && (text[6] - '0') * 10 + text[7] - '0' <= 31;
}

/* shares of the values of a column that look like something */
typedef struct Shapes
{
	double		dates;
	double		emails;
	double		digits;			/* hold a digit */
	double		numbers;		/* hold nothing but digits and marks */
	double		words;			/* hold a blank */
	double		length;
} Shapes;

static void
look_at_values(const CxmColumn *c, Shapes *s)
{
	double		total = 0;

	memset(s, 0, sizeof(*s));
	for (uint32 id = 1; id <= c->dictionary.n; id++)
	{
		const char *text = c->dictionary.keys[id];
		uint32		length = c->dictionary.lengths[id];
		double		count = c->values[id].count;
		bool		digit = false;
		bool		letter = false;
		bool		at = false;
		bool		blank = false;

		if (id % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
		for (uint32 i = 0; i < length; i++)
		{
			unsigned char ch = (unsigned char) text[i];

			digit |= ch >= '0' && ch <= '9';
			letter |= (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch >= 128;
			at |= ch == '@';
			blank |= ch == ' ';
		}
		total += count;
		s->dates += is_date_text(text, length) ? count : 0;
		s->emails += at ? count : 0;
		s->digits += digit ? count : 0;
		s->numbers += digit && !letter ? count : 0;
		s->words += blank ? count : 0;
		s->length += c->values[id].length * count;
	}
	total = Max(total, 1);
	s->dates /= total;
	s->emails /= total;
	s->digits /= total;
	s->numbers /= total;
	s->words /= total;
	s->length /= total;
}

static Kind
kind_of_text(const Shapes *s)
{
	if (s->emails >= 0.5)
		return KIND_EMAIL;
	if (s->dates >= 0.7)
		return KIND_DATE_TEXT;
	if (s->numbers >= 0.7 || (s->digits >= 0.7 && s->length <= 12))
		return KIND_CODE;
	if (s->length > 20 || (s->words >= 0.5 && s->length > 9))
		return KIND_TEXT;
	return KIND_NAME;
}

/*
 * Is it what tells the members of a household apart: the date of birth, the given name? That is the one thing which
 * the values do not show, so it goes by the name of the column.
 */
static bool
is_personal(const char *name, Kind kind)
{
	static const char *const births[] = {"birth", "born", "dob", "geb", "naiss", "nacim", "nascit"};
	static const char *const names[] = {"first", "given", "fore", "fname", "vorname", "rufname", "prenom", "nombre"};
	char	   *lower = asc_tolower(name, strlen(name));

	if (kind == KIND_DATE || kind == KIND_DATE_TEXT)
	{
		for (int i = 0; i < (int) lengthof(births); i++)
		{
			if (strstr(lower, births[i]))
				return true;
		}
	}
	for (int i = 0; i < (int) lengthof(names) && kind == KIND_NAME; i++)
	{
		if (strstr(lower, names[i]))
			return true;
	}
	return false;
}

static void
look_at_column(const Linkage *l, int column, Sight *sight)
{
	const CxmColumn *c = &l->core.columns[column];
	Oid			type = l->types[column];
	Shapes		shapes;
	bool		wide;

	sight->name = l->columns[column];
	sight->present = (double) c->present / Max(l->core.nrecords, 1);
	sight->equal = cxm_share_of_equal(&l->core, column);
	sight->repeats = c->dictionary.n < c->present;
	look_at_values(c, &shapes);
	sight->length = shapes.length;
	wide = sight->equal < 0.03;

	if (c->dictionary.n < 2 || c->present < 2)
		sight->kind = KIND_SKIP;
	else if (OidIsValid(l->element_types[column]))
		sight->kind = KIND_SET;
	else if (!wide || type == BOOLOID)
		sight->kind = KIND_CATEGORY;
	else if (type == UUIDOID || cxm_is_number(type) || type == TIMESTAMPOID || type == TIMESTAMPTZOID)
		/* what is different in every record is its number, or when it was made */
		sight->kind = !sight->repeats ? KIND_SKIP :
			cxm_is_time(type) ? KIND_DATE :
			type == FLOAT4OID || type == FLOAT8OID || type == NUMERICOID ? KIND_NUMBER : KIND_CODE;
	else if (type == DATEOID)
		sight->kind = KIND_DATE;
	else
		sight->kind = kind_of_text(&shapes);
	sight->personal = is_personal(sight->name, sight->kind);
}

/* The most telling columns first; those that say nothing are dropped */
static int
compare_sights(const void *x, const void *y)
{
	const Sight *a = x;
	const Sight *b = y;
	double		va = a->present * -log(Max(a->equal, 1e-9));
	double		vb = b->present * -log(Max(b->equal, 1e-9));

	if (va != vb)
		return va > vb ? -1 : 1;
	return strcmp(a->name, b->name);
}

static void
look_at_records(Suggestion *s, Linkage *l)
{
	for (int i = 0; i < l->core.ncolumns; i++)
	{
		Sight	   *sight = &s->sights[s->nsights];

		look_at_column(l, i, sight);
		if (sight->kind != KIND_SKIP)
			s->nsights++;
	}
	if (s->nsights == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("the query has no column that could be compared"),
				 errdetail("Besides \"%s\" a column must have different values, some of them more than once or of a type other than a number.",
						   l->id_column)));
	qsort(s->sights, s->nsights, sizeof(Sight), compare_sights);
	s->nsights = Min(s->nsights, CXM_MAX_COMPARISONS);
}

/*
 * ---- Rules
 */

static void
add_candidate(Suggestion *s, int sight, int first)
{
	if (s->ncandidates < MAX_CANDIDATES)
	{
		Candidate	c = {sight, first, 0};

		s->candidates[s->ncandidates++] = c;
	}
}

static void
choose_candidates(Suggestion *s)
{
	for (int i = 0; i < s->nsights; i++)
	{
		if (s->sights[i].kind != KIND_SET && s->sights[i].kind != KIND_NUMBER)
			add_candidate(s, i, 0);
	}
	/* a slip near the end leaves the beginning whole: of a date that is the year */
	for (int i = 0; i < s->nsights; i++)
	{
		const Sight *sight = &s->sights[i];

		if (sight->kind == KIND_NAME && sight->length >= 4)
			add_candidate(s, i, 3);
		else if (sight->kind == KIND_EMAIL || sight->kind == KIND_TEXT)
			add_candidate(s, i, 6);
		else if (sight->kind == KIND_DATE || sight->kind == KIND_DATE_TEXT ||
				 (sight->kind == KIND_CODE && sight->length >= 5))
			add_candidate(s, i, 4);
	}
}

/* How often two records of one person are equal in a column where both have a value */
static double
usual_m(Kind kind)
{
	switch (kind)
	{
		case KIND_CATEGORY:
			return 0.9;
		case KIND_EMAIL:
		case KIND_TEXT:
			return 0.75;
		default:
			return 0.85;
	}
}

/* A generator of our own: the same settings for the same records everywhere */
static double
next_share(uint64 *state)
{
	uint64		x = (*state += UINT64CONST(0x9E3779B97F4A7C15));

	x = (x ^ (x >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return (double) ((x ^ (x >> 31)) >> 11) / 9007199254740992.0;
}

static void
imagine_matches(Suggestion *s)
{
	uint64		state = 1;

	s->imagined = palloc0(sizeof(uint32) * IMAGINED);
	for (int i = 0; i < IMAGINED; i++)
	{
		bool		present[CXM_MAX_COMPARISONS] = {false};
		bool		equal[CXM_MAX_COMPARISONS] = {false};

		for (int k = 0; k < s->nsights; k++)
		{
			present[k] = next_share(&state) < s->sights[k].present * s->sights[k].present;
			equal[k] = next_share(&state) < usual_m(s->sights[k].kind);
		}
		for (int k = 0; k < s->ncandidates; k++)
		{
			int			sight = s->candidates[k].sight;
			bool		begins = s->candidates[k].first > 0 && next_share(&state) < 0.5;

			if (present[sight] && (equal[sight] || begins))
				s->imagined[i] |= UINT32_C(1) << k;
		}
	}
}

static void
try_rule(Suggestion *s, Linkage *l, CxmPairs *pairs, uint32 mask)
{
	Trial	   *t = &s->trials[s->ntrials];
	CxmRule		rule = {0};
	int			found = 0;

	if (s->ntrials == MAX_TRIED)
		return;
	t->mask = mask;
	t->whole = true;
	t->chosen = false;
	for (int k = 0; k < s->ncandidates; k++)
	{
		if ((mask >> k & 1) == 0)
			continue;
		rule.columns[rule.ncolumns++] = s->candidates[k].column;
		t->whole &= s->candidates[k].first == 0;
	}
	t->ncolumns = rule.ncolumns;
	t->pairs = cxm_block_size(&l->core, pairs, &rule, 1) * s->scale;
	for (int i = 0; i < IMAGINED; i++)
		found += (s->imagined[i] & mask) == mask;
	t->share = (double) found / IMAGINED;
	s->ntrials++;
	CHECK_FOR_INTERRUPTS();
}

static bool
same_sight(const Suggestion *s, uint32 mask, int k)
{
	for (int i = 0; i < s->ncandidates; i++)
	{
		if ((mask >> i & 1) && s->candidates[i].sight == s->candidates[k].sight)
			return true;
	}
	return false;
}

/* Try single columns, pairs of them, and where a pair is too much, three of them */
static void
try_rules(Suggestion *s, Linkage *l)
{
	CxmPairs	pairs = {0};
	int			before;

	for (int k = 0; k < s->ncandidates; k++)
		try_rule(s, l, &pairs, UINT32_C(1) << k);
	for (int k = 0; k < s->ncandidates; k++)
	{
		for (int j = k + 1; j < s->ncandidates; j++)
		{
			if (s->candidates[k].sight != s->candidates[j].sight)
				try_rule(s, l, &pairs, UINT32_C(1) << k | UINT32_C(1) << j);
		}
	}
	before = s->ntrials;
	for (int i = 0; i < before; i++)
	{
		uint32		mask = s->trials[i].mask;

		if (s->trials[i].ncolumns != 2 || s->trials[i].pairs <= s->most_rule || s->trials[i].pairs > s->most_rule * 100)
			continue;
		for (int k = 0; k < s->ncandidates; k++)
		{
			/* beyond the greatest bit, so that each three come up once from each of their pairs at most */
			if ((mask >> k) == 0 && !same_sight(s, mask, k))
				try_rule(s, l, &pairs, mask | UINT32_C(1) << k);
		}
	}
}

/* Take the rules that find most of what is still missing for the pairs that they cost */
static int
choose_blocking(Suggestion *s)
{
	bool	   *found = palloc0(sizeof(bool) * IMAGINED);
	double		total = s->most_total;
	int			n = 0;

	while (n < CXM_MAX_RULES)
	{
		int			best = -1;
		double		best_value = 0;

		for (int r = 0; r < s->ntrials; r++)
		{
			Trial	   *t = &s->trials[r];
			int			gain = 0;
			double		value;

			if (t->chosen || t->pairs > s->most_rule || t->pairs > total)
				continue;
			for (int i = 0; i < IMAGINED; i++)
				gain += !found[i] && (s->imagined[i] & t->mask) == t->mask;
			value = gain / (t->pairs + 0.2 * s->records);
			if (gain > IMAGINED / 8000 && value > best_value)
			{
				best = r;
				best_value = value;
			}
		}
		CHECK_FOR_INTERRUPTS();
		if (best < 0)
			break;
		s->trials[best].chosen = true;
		total -= s->trials[best].pairs;
		for (int i = 0; i < IMAGINED; i++)
			found[i] |= (s->imagined[i] & s->trials[best].mask) == s->trials[best].mask;
		n++;
	}
	return n;
}

static void
append_rule(StringInfo out, const Suggestion *s, const Trial *t)
{
	const char *between = "";

	appendStringInfoChar(out, '[');
	for (int k = 0; k < s->ncandidates; k++)
	{
		if ((t->mask >> k & 1) == 0)
			continue;
		appendStringInfoString(out, between);
		between = ",";
		if (s->candidates[k].first > 0)
			appendStringInfoString(out, "{\"column\":");
		escape_json(out, s->sights[s->candidates[k].sight].name);
		if (s->candidates[k].first > 0)
			appendStringInfo(out, ",\"first\":%d}", s->candidates[k].first);
	}
	appendStringInfoChar(out, ']');
}

static void
append_blocking(StringInfo out, Suggestion *s)
{
	const char *between = "";

	appendStringInfoString(out, ",\"blocking\":[");
	if (s->all_pairs <= Min(ALL_PAIRS, s->most_rule * 6) || choose_blocking(s) == 0)
		appendStringInfoString(out, "[]");
	for (int r = 0; r < s->ntrials; r++)
	{
		if (!s->trials[r].chosen)
			continue;
		appendStringInfoString(out, between);
		append_rule(out, s, &s->trials[r]);
		between = ",";
	}
	appendStringInfoChar(out, ']');
}

/* The columns, as bits of sights, that a rule goes by */
static uint32
columns_of(const Suggestion *s, const Trial *t)
{
	uint32		columns = 0;

	for (int k = 0; k < s->ncandidates; k++)
	{
		if (t->mask >> k & 1)
			columns |= UINT32_C(1) << s->candidates[k].sight;
	}
	return columns;
}

/* what a training rule must be like */
typedef struct Wanted
{
	uint32		columns;		/* it has only these */
	uint32		unlearnt;		/* leaves out one of these */
	int			most_columns;
	double		most_pairs;
} Wanted;

/* The rule of that kind whose pairs are matches most often, of those with pairs enough to learn from; -1: none */
static int
best_training(const Suggestion *s, const bool *used, const Wanted *w)
{
	double		least = Max(20, s->records / 1000);
	int			best = -1;

	for (int r = 0; r < s->ntrials; r++)
	{
		const Trial *t = &s->trials[r];
		uint32		columns = columns_of(s, t);

		if (used[r] || !t->whole || t->ncolumns > w->most_columns || t->pairs < least || t->pairs > w->most_pairs)
			continue;
		if ((columns & ~w->columns) != 0 || (~columns & w->unlearnt) == 0)
			continue;
		if (best < 0 || t->share / t->pairs > s->trials[best].share / s->trials[best].pairs)
			best = r;
	}
	return best;
}

/* Rules until each column has been left out by one, if they can be had, each of other columns than those before */
static int
add_purest(const Suggestion *s, bool *used, int *rules, int n)
{
	uint32		all = (UINT32_C(1) << s->nsights) - 1;
	Wanted		w = {all, all, 2, s->most_rule};

	for (int k = 0; k < 3 && w.unlearnt != 0; k++)
	{
		int			r = best_training(s, used, &w);

		if (r < 0)
		{
			w.columns = all;
			r = best_training(s, used, &w);
		}
		if (r < 0)
			break;
		rules[n++] = r;
		used[r] = true;
		w.columns &= ~columns_of(s, &s->trials[r]);
		w.unlearnt &= columns_of(s, &s->trials[r]);
	}
	return n;
}

/* So many rules that have only the given columns */
static int
add_among(const Suggestion *s, bool *used, uint32 columns, int most_columns, double most_pairs, int most,
		  int *rules, int n)
{
	Wanted		w = {columns, ~UINT32_C(0), most_columns, Min(most_pairs, s->most_rule)};

	for (int k = 0; k < most; k++)
	{
		int			r = best_training(s, used, &w);

		if (r < 0)
			break;
		rules[n++] = r;
		used[r] = true;
	}
	return n;
}

/*
 * Training rules: those whose pairs are matches most often; one of personal columns alone, which finds people who have
 * moved; and some without any, whose pairs tell matches from relatives.
 */
static void
append_training(StringInfo out, const Suggestion *s)
{
	bool		used[MAX_TRIED] = {false};
	uint32		personal = 0;
	int			rules[16];
	int			n;

	for (int i = 0; i < s->nsights; i++)
		personal |= s->sights[i].personal ? UINT32_C(1) << i : 0;
	n = add_purest(s, used, rules, 0);
	if (personal)
	{
		n = add_among(s, used, personal, 2, s->most_rule, 1, rules, n);
		n = add_among(s, used, ~personal, 1, RELATED_PER_RECORD * s->records, 4, rules, n);
	}
	appendStringInfoString(out, ",\"training\":[");
	for (int k = 0; k < n; k++)
	{
		if (k > 0)
			appendStringInfoChar(out, ',');
		append_rule(out, s, &s->trials[rules[k]]);
	}
	appendStringInfoString(out, n == 0 ? "[]]" : "]");
}

/*
 * ---- Comparisons
 */

static void
append_comparison(StringInfo out, const Sight *sight)
{
	const char *levels = "";
	bool		frequency = false;

	switch (sight->kind)
	{
		case KIND_SET:
			levels = "\"exact\",{\"jaccard\":0.5},{\"intersect\":1}";
			break;
		case KIND_DATE:
			levels = "\"exact\",{\"damerau\":1},{\"days\":31},{\"days\":366}";
			break;
		case KIND_DATE_TEXT:
			levels = "\"exact\",{\"damerau\":1},{\"damerau\":2}";
			break;
		case KIND_NUMBER:
			levels = "\"exact\",{\"relative\":0.01},{\"relative\":0.1}";
			break;
		case KIND_CODE:
			levels = sight->length < 2.5 ? "\"exact\"" : sight->length < 4 ? "\"exact\",{\"damerau\":1}" :
				"\"exact\",{\"damerau\":1},{\"damerau\":2}";
			frequency = sight->repeats;
			break;
		case KIND_EMAIL:
			levels = "\"exact\",{\"jaro_winkler\":0.95},{\"jaro_winkler\":0.88}";
			frequency = sight->repeats;
			break;
		case KIND_NAME:
			levels = "\"exact\",{\"jaro_winkler\":0.92},{\"jaro_winkler\":0.88},{\"jaro_winkler\":0.7}";
			frequency = true;
			break;
		case KIND_TEXT:
			levels = "\"exact\",{\"jaro_winkler\":0.92},{\"jaccard\":0.5}";
			frequency = true;
			break;
		case KIND_CATEGORY:
		case KIND_SKIP:
			levels = "\"exact\"";
			frequency = true;
			break;
	}
	appendStringInfoString(out, "{\"column\":");
	escape_json(out, sight->name);
	appendStringInfo(out, ",\"levels\":[%s],\"term_frequency\":%s", levels, frequency ? "true" : "false");
	appendStringInfoString(out, sight->personal ? ",\"personal\":true}" : "}");
}

/*
 * ---- All of it
 */

/* How many records the query has */
static double
count_records(const char *query)
{
	double		n;
	bool		isnull;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to the server programming interface");
	/* on a line of its own, for the query may end in a comment */
	if (SPI_execute(psprintf("SELECT pg_catalog.count(*) FROM (%s\n) AS q", query), false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not count the records");
	n = (double) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return n;
}

/* The columns that given comparisons name, in place of all of them */
static void
take_compared(Linkage *l, Jsonb *settings)
{
	Linkage    *given = cxm_read_settings(settings, true);

	l->all_columns = given->core.ncomparisons == 0;
	for (int i = 0; i < given->core.ncomparisons; i++)
		cxm_column_number(l, MemoryContextStrdup(l->context, given->columns[given->core.comparisons[i].column]), 0);
	MemoryContextDelete(given->context);
}

/* Read the columns that rules may go by, and try rules */
static void
look_for_rules(Suggestion *s, const char *query, Jsonb *settings, const Linkage *before)
{
	Linkage    *l = cxm_new_linkage();

	cxm_read_basics(l, settings, true);
	l->id_column = before->id_column;
	l->share = before->share;
	choose_candidates(s);
	for (int k = 0; k < s->ncandidates; k++)
		s->candidates[k].column = cxm_column_number(l, s->sights[s->candidates[k].sight].name, s->candidates[k].first);
	cxm_read_records(l, query);
	s->scale = s->all_pairs / Max(cxm_linkage_all_pairs(&l->core), 1);
	imagine_matches(s);
	try_rules(s, l);
	MemoryContextDelete(l->context);
}

/* Complete settings by a look at the records: what they say stands */
Jsonb *
cxm_suggest_settings(const char *query, Jsonb *settings)
{
	Suggestion *s = palloc0(sizeof(Suggestion));
	Linkage    *l = cxm_new_linkage();
	StringInfoData out;

	cxm_read_basics(l, settings, true);
	take_compared(l, settings);
	s->records = count_records(query);
	l->share = s->records > SAMPLE_RECORDS ? SAMPLE_RECORDS / s->records : 0;
	cxm_read_records(l, query);
	s->all_pairs = cxm_linkage_all_pairs(&l->core) * (l->share > 0 ? pow(1 / l->share, 2) : 1);
	s->most_rule = Min(Max(RULE_PER_RECORD * s->records, LEAST_RULE), l->max_pairs);
	s->most_total = Max(TOTAL_PER_RECORD * s->records, LEAST_TOTAL);
	look_at_records(s, l);
	look_for_rules(s, query, settings, l);

	initStringInfo(&out);
	appendStringInfo(&out, "{\"link_type\":\"%s\",\"id\":", l->link_only ? "link_only" : "dedupe");
	escape_json(&out, l->id_column);
	appendStringInfo(&out, ",\"clean\":%s,\"comparisons\":[", l->clean ? "true" : "false");
	for (int i = 0; i < s->nsights; i++)
	{
		if (i > 0)
			appendStringInfoChar(&out, ',');
		append_comparison(&out, &s->sights[i]);
	}
	appendStringInfoChar(&out, ']');
	append_blocking(&out, s);
	append_training(&out, s);
	appendStringInfoChar(&out, '}');
	MemoryContextDelete(l->context);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat,
											  DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data)),
											  JsonbPGetDatum(settings)));
}

PG_FUNCTION_INFO_V1(cxm_linkage_settings);

/* cxm.linkage_settings(query text, settings jsonb) */
Datum
cxm_linkage_settings(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_JSONB_P(cxm_suggest_settings(query, PG_GETARG_JSONB_P(1)));
}
