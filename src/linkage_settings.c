/*
 * src/linkage_settings.c
 *		The settings of record linkage: one jsonb document, read with an error for all that means nothing.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "cxm.h"
#include "linkage.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#define DEFAULT_SAMPLE	1000000.0
#define DEFAULT_MAX_PAIRS 1e9

#define LEVEL_KINDS		10

const CxmLevelName cxm_level_kinds[LEVEL_KINDS] = {
	{"exact", CXM_EXACT, 0, 0, "equal"},
	{"jaro_winkler", CXM_JARO_WINKLER, 0, 1, "jaro_winkler >= "},
	{"levenshtein", CXM_LEVENSHTEIN, 0, 1000000, "levenshtein <= "},
	{"damerau", CXM_DAMERAU, 0, 1000000, "damerau <= "},
	{"jaccard", CXM_JACCARD, 0, 1, "jaccard >= "},
	{"intersect", CXM_INTERSECT, 1, 1000000, "elements in common >= "},
	{"days", CXM_DIFFERENCE, 0, 1e9, "days apart <= "},
	{"difference", CXM_DIFFERENCE, 0, 1e300, "difference <= "},
	{"relative", CXM_RELATIVE, 0, 1, "relative difference <= "},
	{"else", CXM_ELSE, 0, 0, "all other"}
};

/* Refuse the settings */
void
cxm_settings_error(const char *message, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", message),
			 errdetail("%s", detail)));
}

/* The value of a key of an object, or NULL */
static JsonbValue *
member(JsonbContainer *object, const char *key)
{
	JsonbValue	k;

	k.type = jbvString;
	k.val.string.val = unconstify(char *, key);
	k.val.string.len = strlen(key);
	return findJsonbValueFromContainer(object, JB_FOBJECT, &k);
}

/* Refuse keys that mean nothing: most are slips that would silently change the answer */
static void
check_keys(JsonbContainer *object, const char *where, const char *const *known, int nknown)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		bool		found = false;
		StringInfoData all;

		if (token != WJB_KEY)
			continue;
		initStringInfo(&all);
		for (int i = 0; i < nknown; i++)
		{
			found |= (int) strlen(known[i]) == v.val.string.len &&
				memcmp(known[i], v.val.string.val, v.val.string.len) == 0;
			appendStringInfo(&all, "%s%s", i > 0 ? ", " : "", known[i]);
		}
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown key \"%s\" in %s", pnstrdup(v.val.string.val, v.val.string.len), where),
					 errdetail("Known keys are: %s.", all.data)));
	}
}

static char *
string_value(const JsonbValue *v, const char *what)
{
	if (v->type != jbvString || v->val.string.len == 0)
		cxm_settings_error(psprintf("%s must be a string", what), "It is empty or of another type.");
	return pnstrdup(v->val.string.val, v->val.string.len);
}

static double
number_value(const JsonbValue *v, const char *what, double lowest, double highest)
{
	double		number;

	if (v->type != jbvNumeric)
		cxm_settings_error(psprintf("%s must be a number", what), "It is of another type.");
	number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(v->val.numeric)));
	/* written so that NaN is refused */
	if (!(number >= lowest && number <= highest))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between %g and %g", what, lowest, highest),
				 errdetail("It is %g.", number)));
	return number;
}

static double
number_member(JsonbContainer *object, const char *key, double otherwise, double lowest, double highest)
{
	JsonbValue *v = member(object, key);

	return v ? number_value(v, psprintf("\"%s\"", key), lowest, highest) : otherwise;
}

static bool
boolean_member(JsonbContainer *object, const char *key, bool otherwise)
{
	JsonbValue *v = member(object, key);

	if (v && v->type != jbvBool)
		cxm_settings_error(psprintf("\"%s\" must be true or false", key), "It is of another type.");
	return v ? v->val.boolean : otherwise;
}

static JsonbContainer *
container_value(JsonbValue *v, bool array, const char *what)
{
	if (v == NULL || v->type != jbvBinary ||
		!(array ? JsonContainerIsArray(v->val.binary.data) : JsonContainerIsObject(v->val.binary.data)))
		cxm_settings_error(psprintf("%s must be %s", what, array ? "an array" : "an object"),
					   v ? "It is of another type." : "It is missing.");
	return v->val.binary.data;
}

/* The number of a column of the records, or of its first characters; a new one when it has not been named before */
int
cxm_column_number(Linkage *l, char *name, int first)
{
	for (int i = 0; i < l->core.ncolumns; i++)
	{
		if (strcmp(l->columns[i], name) == 0 && l->first[i] == first)
			return i;
	}
	if (l->core.ncolumns == CXM_MAX_COLUMNS)
		cxm_settings_error("too many columns", psprintf("There may be %d.", CXM_MAX_COLUMNS));
	l->columns[l->core.ncolumns] = name;
	l->first[l->core.ncolumns] = first;
	return l->core.ncolumns++;
}

/* What a rule goes by is a column, or {"column": name, "first": so many characters of it} */
static int
read_rule_column(Linkage *l, JsonbValue *v, const char *key)
{
	static const char *const known[] = {"column", "first"};
	const char *what = psprintf("each column of \"%s\"", key);
	JsonbContainer *object;

	if (v->type == jbvString)
		return cxm_column_number(l, string_value(v, what), 0);
	object = container_value(v, false, psprintf("%s that is no string", what));
	check_keys(object, psprintf("a rule of \"%s\"", key), known, lengthof(known));
	if (member(object, "column") == NULL)
		cxm_settings_error(psprintf("%s must be named", what), "\"column\" is missing.");
	return cxm_column_number(l, string_value(member(object, "column"), what), (int) number_member(object, "first", 0, 1, 1000));
}

/* A rule is a column, or an array of columns; the empty one holds for all pairs */
static void
read_rule(Linkage *l, JsonbValue *v, const char *key, CxmRule *rule)
{
	JsonbContainer *columns;

	rule->ncolumns = 1;
	if (v->type == jbvString || (v->type == jbvBinary && JsonContainerIsObject(v->val.binary.data)))
	{
		rule->columns[0] = read_rule_column(l, v, key);
		return;
	}
	columns = container_value(v, true, psprintf("each rule of \"%s\"", key));
	rule->ncolumns = JsonContainerSize(columns);
	if (rule->ncolumns > CXM_MAX_RULE_COLUMNS)
		cxm_settings_error(psprintf("each rule of \"%s\" may name %d columns", key, CXM_MAX_RULE_COLUMNS),
						   psprintf("One names %d.", rule->ncolumns));
	for (int i = 0; i < rule->ncolumns; i++)
		rule->columns[i] = read_rule_column(l, getIthJsonbValueFromContainer(columns, i), key);
}

static void
read_rules(Linkage *l, JsonbContainer *settings, const char *key, RuleSet *set)
{
	JsonbValue *v = member(settings, key);
	JsonbContainer *rules;

	set->n = 0;
	if (v == NULL)
		return;
	rules = container_value(v, true, psprintf("\"%s\"", key));
	set->n = JsonContainerSize(rules);
	if (set->n > CXM_MAX_RULES)
		cxm_settings_error(psprintf("\"%s\" has too many rules", key),
					   psprintf("It has %d, and may have %d.", set->n, CXM_MAX_RULES));
	for (int i = 0; i < set->n; i++)
		read_rule(l, getIthJsonbValueFromContainer(rules, i), key, &set->rules[i]);
}

/* A level is the name of a kind without a limit, or {"kind": limit, "m": ..., "u": ...} */
static void
read_level(Linkage *l, JsonbValue *v, const char *name, CxmLevel *level)
{
	const char *what = psprintf("each level of comparison \"%s\"", name);
	JsonbContainer *object = v->type == jbvString ? NULL : container_value(v, false, what);
	char	   *text = object ? NULL : string_value(v, what);
	const char *known[LEVEL_KINDS + 3] = {"m", "u", "r"};
	int			kinds = 0;

	level->m = 0;
	level->u = 0;
	level->r = 0;
	for (int i = 0; i < LEVEL_KINDS; i++)
	{
		JsonbValue *limit = object ? member(object, cxm_level_kinds[i].name) : NULL;
		bool		bare = cxm_level_kinds[i].kind == CXM_EXACT || cxm_level_kinds[i].kind == CXM_ELSE;

		known[i + 3] = cxm_level_kinds[i].name;
		if (limit == NULL && (object || strcmp(text, cxm_level_kinds[i].name) != 0))
			continue;
		kinds++;
		level->kind = cxm_level_kinds[i].kind;
		level->limit = 0;
		if (bare && limit && !(limit->type == jbvBool && limit->val.boolean))
			cxm_settings_error(psprintf("level \"%s\" of comparison \"%s\" must be true", cxm_level_kinds[i].name, name),
						   "It has no limit.");
		if (!bare && limit == NULL)
			cxm_settings_error(psprintf("level \"%s\" of comparison \"%s\" needs a limit", cxm_level_kinds[i].name, name),
						   psprintf("Write {\"%s\": limit}.", cxm_level_kinds[i].name));
		if (!bare)
			level->limit = number_value(limit,
										psprintf("limit of level \"%s\" of comparison \"%s\"", cxm_level_kinds[i].name, name),
										cxm_level_kinds[i].lowest, cxm_level_kinds[i].highest);
	}
	if (object)
		check_keys(object, psprintf("a level of comparison \"%s\"", name), known, lengthof(known));
	if (kinds != 1)
		cxm_settings_error(psprintf("%s must have one kind", what),
					   object ? psprintf("One has %d.", kinds) : psprintf("There is no kind \"%s\".", text));
	if (object && (member(object, "m") || member(object, "u")))
	{
		/* 0 or 1 would make one field decide alone */
		level->m = number_member(object, "m", 0, 1e-12, 1);
		level->u = number_member(object, "u", 0, 1e-12, 1);
		level->r = number_member(object, "r", 0, 1e-12, 1);
	}
	l->has_r &= level->r > 0;
	l->has_m &= level->m > 0 && level->u > 0;
}

static void
read_levels(Linkage *l, JsonbContainer *levels, const char *name, CxmComparison *c)
{
	int			n = JsonContainerSize(levels);

	c->nlevels = 0;
	for (int i = 0; i < n; i++)
	{
		/* the last level may be left out, and so needs room */
		if (c->nlevels == CXM_MAX_LEVELS - (i < n - 1 ? 1 : 0))
			cxm_settings_error(psprintf("comparison \"%s\" has too many levels", name),
						   psprintf("It may have %d besides \"else\".", CXM_MAX_LEVELS - 1));
		read_level(l, getIthJsonbValueFromContainer(levels, i), name, &c->levels[c->nlevels++]);
		if (i < n - 1 && c->levels[i].kind == CXM_ELSE)
			cxm_settings_error(psprintf("\"else\" must be the last level of comparison \"%s\"", name),
						   "There are levels after it.");
	}
	if (n > 0 && c->levels[n - 1].kind == CXM_ELSE)
		n--;
	else
	{
		CxmLevel	rest = {CXM_ELSE, 0, 0, 0, 0};

		if (c->nlevels == CXM_MAX_LEVELS)
			cxm_settings_error(psprintf("comparison \"%s\" has too many levels", name),
						   psprintf("It may have %d besides \"else\".", CXM_MAX_LEVELS - 1));
		c->levels[c->nlevels++] = rest;
		l->has_m = false;
	}
	if (n == 0)
		cxm_settings_error(psprintf("comparison \"%s\" must have a level besides \"else\"", name),
					   "Otherwise it says nothing.");
}

static void
read_comparison(Linkage *l, JsonbValue *v, int number)
{
	static const char *const known[] = {"column", "name", "levels", "term_frequency", "personal", "trained"};
	JsonbContainer *object = container_value(v, false, "each comparison");
	CxmComparison *c = &l->core.comparisons[number];
	JsonbValue *column = member(object, "column");
	JsonbValue *name = member(object, "name");
	JsonbValue *tf = member(object, "term_frequency");
	JsonbContainer *levels;
	bool		exact = false;

	check_keys(object, "a comparison", known, lengthof(known));
	if (column == NULL)
		cxm_settings_error("each comparison must name its column", "\"column\" is missing.");
	c->column = cxm_column_number(l, string_value(column, "\"column\" of a comparison"), 0);
	l->names[number] = name ? string_value(name, "\"name\" of a comparison") : l->columns[c->column];
	levels = container_value(member(object, "levels"), true,
							 psprintf("\"levels\" of comparison \"%s\"", l->names[number]));
	read_levels(l, levels, l->names[number], c);

	c->personal = boolean_member(object, "personal", false);
	c->tf_weight = 0;
	if (tf && tf->type == jbvBool)
		c->tf_weight = tf->val.boolean;
	else if (tf)
		c->tf_weight = number_value(tf, psprintf("\"term_frequency\" of comparison \"%s\"", l->names[number]), 0, 1);
	for (int k = 0; k < c->nlevels; k++)
		exact |= c->levels[k].kind == CXM_EXACT;
	if (c->tf_weight > 0 && !exact)
		cxm_settings_error(psprintf("\"term_frequency\" of comparison \"%s\" needs a level \"exact\"", l->names[number]),
					   "Only equal values have a frequency in common.");
}

/* Memory of an arena for the core: size 0 frees, no space allocates */
void *
cxm_resize_space(void *arena, void *space, size_t size)
{
	if (size > MaxAllocHugeSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many records for the memory of this machine")));
	if (size == 0)
	{
		if (space)
			pfree(space);
		return NULL;
	}
	return space ? repalloc_huge(space, size) : MemoryContextAllocHuge((MemoryContext) arena, size);
}

static void *
resize_scratch(void *space, size_t size)
{
	return repalloc_huge(space, size);
}

static void
poll_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* An empty one, in a context of its own under the current one */
Linkage *
cxm_new_linkage(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "cxm linkage", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Linkage    *l = palloc0(sizeof(Linkage));

	l->context = context;
	l->core.arena = context;
	l->core.resize = cxm_resize_space;
	l->core.poll = poll_interrupts;
	l->core.similarity.resize = resize_scratch;
	l->core.similarity.poll = poll_interrupts;
	l->core.similarity.size = 1024;
	l->core.similarity.scratch = palloc(l->core.similarity.size);
	MemoryContextSwitchTo(old);
	return l;
}

/* Are the settings to be completed by a look at the records? */
bool
cxm_lacks_settings(Jsonb *settings)
{
	return JB_ROOT_IS_OBJECT(settings) &&
		(member(&settings->root, "comparisons") == NULL || member(&settings->root, "blocking") == NULL);
}

/* What all functions need of the settings; clean: whether texts are brought into one form unless these say otherwise */
void
cxm_read_basics(Linkage *l, Jsonb *settings, bool clean)
{
	static const char *const known[] = {"link_type", "id", "source", "comparisons", "blocking", "training",
		"deterministic", "recall", "sample", "max_block", "max_pairs", "correct_u", "clean", "ignore", "lambda", "lambda_related", "training_result"};
	JsonbContainer *root = &settings->root;
	JsonbValue *v;

	if (!JsonContainerIsObject(root))
		cxm_settings_error("settings must be an object", "They are of another type.");
	check_keys(root, "the settings", known, lengthof(known));

	v = member(root, "link_type");
	if (v)
	{
		char	   *type = string_value(v, "\"link_type\"");

		if (strcmp(type, "dedupe") != 0 && strcmp(type, "link_only") != 0)
			cxm_settings_error(psprintf("unknown link type \"%s\"", type), "Known are: dedupe, link_only.");
		l->link_only = strcmp(type, "link_only") == 0;
	}
	v = member(root, "id");
	l->id_given = v != NULL;
	l->id_column = v ? string_value(v, "\"id\"") : pstrdup("id");
	v = member(root, "source");
	l->source_column = v ? string_value(v, "\"source\"") : pstrdup("source");
	v = member(root, "ignore");
	if (v)
	{
		JsonbContainer *names = container_value(v, true, "\"ignore\"");

		for (uint32 i = 0; i < JsonContainerSize(names); i++)
			l->ignored = lappend(l->ignored, string_value(getIthJsonbValueFromContainer(names, i), "each name of \"ignore\""));
	}
	l->correct_u = boolean_member(root, "correct_u", true);
	l->clean = boolean_member(root, "clean", clean);
	l->recall = number_member(root, "recall", CXM_DEFAULT_RECALL, 0.01, 1);
	l->sample = number_member(root, "sample", DEFAULT_SAMPLE, 1, 1e12);
	l->core.max_block = (uint32) number_member(root, "max_block", 0, 2, 1e9);
	l->max_pairs = number_member(root, "max_pairs", DEFAULT_MAX_PAIRS, 1, 1e15);
	l->lambda = number_member(root, "lambda", 0, 1e-15, 1 - 1e-9);
	l->lambda_related = number_member(root, "lambda_related", 0, 0, 1 - 1e-9);
}

/* Read settings or a model, of which parts may be missing where they are to be completed */
Linkage *
cxm_read_settings(Jsonb *settings, bool partial)
{
	Linkage    *l = cxm_new_linkage();
	MemoryContext old = MemoryContextSwitchTo(l->context);
	JsonbContainer *root = &settings->root;
	JsonbContainer *comparisons;

	cxm_read_basics(l, settings, false);
	if (!partial || member(root, "comparisons"))
	{
		comparisons = container_value(member(root, "comparisons"), true, "\"comparisons\"");
		l->core.ncomparisons = JsonContainerSize(comparisons);
		if (l->core.ncomparisons < 1 || l->core.ncomparisons > CXM_MAX_COMPARISONS)
			cxm_settings_error(psprintf("there must be 1 to %d comparisons", CXM_MAX_COMPARISONS),
							   psprintf("There are %d.", l->core.ncomparisons));
		l->has_m = true;
		l->has_r = true;
		for (int i = 0; i < l->core.ncomparisons; i++)
			read_comparison(l, getIthJsonbValueFromContainer(comparisons, i), i);
	}
	read_rules(l, root, "blocking", &l->blocking);
	read_rules(l, root, "training", &l->training);
	read_rules(l, root, "deterministic", &l->deterministic);
	cxm_linkage_prepare(&l->core);

	MemoryContextSwitchTo(old);
	return l;
}

/* Settings that have been trained, or filled in by hand */
Linkage *
cxm_read_model(Jsonb *model)
{
	Linkage    *l = cxm_read_settings(model, false);

	if (!l->has_m || l->lambda == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("settings are not a model yet"),
				 errdetail("A model has \"lambda\", and \"m\" and \"u\" at each level of each comparison, "
						   "\"else\" included."),
				 errhint("Train them with cxm.linkage_train(), or fill them in.")));
	if (l->lambda_related > 0 && (!l->has_r || l->lambda + l->lambda_related >= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"lambda_related\" needs \"r\" at each level of each comparison, and less than 1 with \"lambda\""),
				 errdetail("It is %g, and \"lambda\" is %g.", l->lambda_related, l->lambda)));
	l->core.lambda = l->lambda;
	l->core.lambda_related = l->lambda_related;
	cxm_linkage_weights(&l->core);
	return l;
}
