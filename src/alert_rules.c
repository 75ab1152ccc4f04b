/*
 * src/alert_rules.c
 *		The alert rules of a session: read once, kept until somebody changes them.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "alert.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "tsearch/ts_type.h"
#include "tsearch/ts_utils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* what keeps a comment within the limits of text search */
#define MAX_COMMENT 100000

/*
 * Whoever changes rules sends an invalidation of cx.alert_rule, by its
 * trigger; GRANT and REVOKE send one by themselves.  Rules are read with the
 * newest snapshot there is, so that what is kept is never older than the last
 * invalidation.
 */
static struct
{
	CxmAlertRules *rules;
	Oid			relid;
	Oid			user;
	bool		is_current;
	bool		is_registered;
} kept;

static void
forget_rules_of_relation(Datum arg, Oid relid)
{
	if (relid == kept.relid || relid == InvalidOid)
		kept.is_current = false;
}

static void
forget_rules_of_catalog(Datum arg, int cache, uint32 hash)
{
	kept.is_current = false;
}

/* Text search configurations are compiled in; names and privileges were looked at when the rules were read */
static void
register_callbacks(void)
{
	static const int caches[] = {TSCONFIGOID, TSCONFIGMAP, TSDICTOID, NAMESPACEOID, AUTHOID, AUTHMEMROLEMEM};

	CacheRegisterRelcacheCallback(forget_rules_of_relation, (Datum) 0);
	for (size_t i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], forget_rules_of_catalog, (Datum) 0);
	kept.is_registered = true;
}

enum
{
	RULE_ID = 1, VERSION, NAME, METRIC, SCORE_MIN, SCORE_MAX, TOUCHPOINTS, LOCATIONS, PRODUCTS,
	SEARCH, SEARCH_CONFIG, SEVERITY, CHANNEL, OWNER, VALID_FROM, VALID_TO, FOLLOW_UP, ASKS_DROP, ASKS_CUSTOMER,
	IS_LIMITED, THROTTLE_BY, THROTTLE, STORM_CAP, STORM_WINDOW
};

#define RULE_COLUMNS \
	"SELECT r.rule_id, r.version, r.name, r.metric, r.score_min, r.score_max, r.touchpoint_ids, r.location_ids, r.product_ids," \
	" r.search, r.search_config, r.severity, r.channel, r.owner, r.valid_from, r.valid_to, r.follow_up," \
	" r.drop_min IS NOT NULL," \
	" r.drop_min IS NOT NULL OR r.segment IS NOT NULL OR r.spend_min IS NOT NULL," \
	" r.throttle IS NOT NULL OR r.storm_cap IS NOT NULL OR r.quiet_from IS NOT NULL OR r.routing OPERATOR(pg_catalog.<>) 'owner'," \
	" r.throttle_by, (pg_catalog.date_part('epoch', r.throttle) OPERATOR(pg_catalog.*) 1000000)::bigint," \
	" r.storm_cap, (pg_catalog.date_part('epoch', r.storm_window) OPERATOR(pg_catalog.*) 1000000)::bigint"

static const char *const stored_rules =
RULE_COLUMNS " FROM cx.alert_rule AS r WHERE r.enabled AND r.kind OPERATOR(pg_catalog.=) 'answer' ORDER BY r.rule_id";

static const char *const given_rule =
RULE_COLUMNS " FROM pg_catalog.jsonb_populate_record(NULL::cx.alert_rule, $1) AS r";

static Datum
column(HeapTuple row, int number, bool *is_null)
{
	return SPI_getbinval(row, SPI_tuptable->tupdesc, number, is_null);
}

static text *
text_column(HeapTuple row, int number, MemoryContext context)
{
	bool		is_null;
	Datum		value = column(row, number, &is_null);
	MemoryContext old = MemoryContextSwitchTo(context);
	text	   *copy = is_null ? NULL : DatumGetTextPCopy(value);

	MemoryContextSwitchTo(old);
	return copy;
}

static char *
string_column(HeapTuple row, int number, MemoryContext context)
{
	bool		is_null;
	Datum		value = column(row, number, &is_null);
	MemoryContext old = MemoryContextSwitchTo(context);
	char	   *copy = is_null ? NULL : TextDatumGetCString(value);

	MemoryContextSwitchTo(old);
	return copy;
}

static bool
bool_column(HeapTuple row, int number)
{
	bool		is_null;
	Datum		value = column(row, number, &is_null);

	return !is_null && DatumGetBool(value);
}

static int
compare_ids(const void *a, const void *b)
{
	int32		left = *(const int32 *) a;
	int32		right = *(const int32 *) b;

	return (left > right) - (left < right);
}

static CxmAlertIds
ids_column(HeapTuple row, int number, MemoryContext context)
{
	CxmAlertIds list = {NULL, 0};
	bool		is_null;
	Datum		value = column(row, number, &is_null);
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int32	   *ids;

	if (is_null)
		return list;
	array = DatumGetArrayTypeP(value);
	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &elements, &nulls, &n);
	ids = MemoryContextAlloc(context, Max(n, 1) * sizeof(int32));
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			ids[list.n++] = DatumGetInt32(elements[i]);
	}
	qsort(ids, list.n, sizeof(int32), compare_ids);
	list.ids = ids;
	return list;
}

static bool
is_same(const text *a, const text *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b)
		&& memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

static int32
metric_number(const CxmAlertRules *rules, const text *metric)
{
	for (int32 i = 0; i < rules->nmetrics; i++)
	{
		if (is_same(rules->metrics[i], metric))
			return i;
	}
	return CXM_ANY_METRIC;
}

static void
read_limits(CxmAlertRule *rule, HeapTuple row, MemoryContext context)
{
	static const char *const names[] = {
		[CXM_THROTTLE_CUSTOMER] = "customer",
		[CXM_THROTTLE_TOUCHPOINT] = "touchpoint",
		[CXM_THROTTLE_LOCATION] = "location",
		[CXM_THROTTLE_PRODUCT] = "product",
		[CXM_THROTTLE_RULE] = "rule"
	};
	const char *name = string_column(row, THROTTLE_BY, context);
	bool		is_null;

	/* what is null is 0 */
	rule->throttle_by = CXM_THROTTLE_NONE;
	for (size_t i = 1; name != NULL && i < lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			rule->throttle_by = (CxmThrottle) i;
	}
	rule->throttle = DatumGetInt64(column(row, THROTTLE, &is_null));
	rule->storm_cap = DatumGetInt32(column(row, STORM_CAP, &is_null));
	rule->storm_window = DatumGetInt64(column(row, STORM_WINDOW, &is_null));
}

static void
read_rule(CxmAlertRules *rules, CxmAlertRule *rule, HeapTuple row)
{
	MemoryContext context = rules->context;
	CxmAlertCondition *condition = &rule->condition;
	text	   *metric = text_column(row, METRIC, context);
	bool		is_null;
	bool		has_min;
	bool		has_max;
	Datum		value;

	rule->rule_id = DatumGetInt32(column(row, RULE_ID, &is_null));
	rule->version = DatumGetInt32(column(row, VERSION, &is_null));
	rule->name = text_column(row, NAME, context);
	rule->severity = text_column(row, SEVERITY, context);
	rule->channel = text_column(row, CHANNEL, context);
	rule->owner = text_column(row, OWNER, context);
	rule->follow_up = bool_column(row, FOLLOW_UP);
	rule->asks_customer = bool_column(row, ASKS_CUSTOMER);
	rule->is_guarded = rule->asks_customer || bool_column(row, IS_LIMITED);
	read_limits(rule, row, context);
	rule->search = string_column(row, SEARCH, context);
	rule->search_config = string_column(row, SEARCH_CONFIG, context);

	condition->metric = CXM_ANY_METRIC;
	if (metric != NULL)
	{
		condition->metric = metric_number(rules, metric);
		if (condition->metric == CXM_ANY_METRIC)
		{
			condition->metric = rules->nmetrics;
			rules->metrics[rules->nmetrics++] = metric;
		}
	}
	value = column(row, SCORE_MIN, &is_null);
	has_min = !is_null;
	condition->score_min = has_min ? DatumGetInt16(value) : PG_INT32_MIN;
	value = column(row, SCORE_MAX, &is_null);
	has_max = !is_null;
	condition->score_max = has_max ? DatumGetInt16(value) : PG_INT32_MAX;
	/* also of one that is to lie below the last */
	condition->asks_score = has_min || has_max || bool_column(row, ASKS_DROP);
	condition->touchpoints = ids_column(row, TOUCHPOINTS, context);
	condition->locations = ids_column(row, LOCATIONS, context);
	condition->products = ids_column(row, PRODUCTS, context);
	condition->valid_from = DatumGetTimestampTz(column(row, VALID_FROM, &is_null));
	condition->valid_to = DatumGetTimestampTz(column(row, VALID_TO, &is_null));
}

/* Which rules an answer to each metric may meet */
static void
list_rules(CxmAlertRules *rules)
{
	rules->by_metric = MemoryContextAllocZero(rules->context, (rules->nmetrics + 1) * sizeof(CxmAlertList));
	for (int32 metric = 0; metric <= rules->nmetrics; metric++)
	{
		CxmAlertList *list = &rules->by_metric[metric];

		list->rules = MemoryContextAlloc(rules->context, Max(rules->n, 1) * sizeof(uint32));
		for (uint32 i = 0; i < rules->n; i++)
		{
			int32		asked = rules->rules[i].condition.metric;

			if (asked == CXM_ANY_METRIC || asked == metric)
				list->rules[list->n++] = i;
		}
	}
}

/* Read the stored rules, or the one given */
static CxmAlertRules *
read_rules(MemoryContext context, const Datum *given)
{
	CxmAlertRules *rules = MemoryContextAllocZero(context, sizeof(CxmAlertRules));
	const char *query = given == NULL ? stored_rules : given_rule;
	Oid			types[1] = {JSONBOID};
	SPIPlanPtr	plan;

	rules->context = context;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = SPI_prepare(query, given == NULL ? 0 : 1, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", query, SPI_result_code_string(SPI_result));
	if (SPI_execute_snapshot(plan, unconstify(Datum *, given), NULL,
							 given != NULL || IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot(),
							 InvalidSnapshot, true, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", query);

	rules->n = (uint32) SPI_processed;
	rules->rules = MemoryContextAllocZero(context, Max(rules->n, 1) * sizeof(CxmAlertRule));
	rules->metrics = MemoryContextAlloc(context, Max(rules->n, 1) * sizeof(text *));
	for (uint32 i = 0; i < rules->n; i++)
		read_rule(rules, &rules->rules[i], SPI_tuptable->vals[i]);
	list_rules(rules);
	SPI_finish();
	return rules;
}

/* Read what is to be kept, as the owner of context */
static CxmAlertRules *
read_into(MemoryContext context, bool use_subtransaction, ErrorData **error)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	CxmAlertRules *volatile rules = NULL;

	if (!use_subtransaction)
		return read_rules(context, NULL);

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		rules = read_rules(context, NULL);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		*error = CopyErrorData();
		if ((*error)->sqlerrcode == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		rules = NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return rules;
}

/*
 * The enabled rules, as they are committed now or were changed in this
 * transaction.  What is returned lasts till the end of the transaction at
 * least.  use_subtransaction: what goes wrong comes back as *error, with NULL
 * for the rules.
 */
const CxmAlertRules *
cxm_alert_rules(bool use_subtransaction, ErrorData **error)
{
	Oid			schema;
	Oid			relid;
	MemoryContext context;
	CxmAlertRules *rules;

	AcceptInvalidationMessages();
	if (kept.is_current && kept.user == GetUserId())
		return kept.rules;

	schema = get_namespace_oid("cx", true);
	relid = OidIsValid(schema) ? get_relname_relid("alert_rule", schema) : InvalidOid;
	if (!kept.is_registered)
		register_callbacks();
	/* a caller further up may be going by the old ones still */
	if (kept.rules != NULL)
		MemoryContextSetParent(kept.rules->context, TopTransactionContext);
	kept.rules = NULL;
	kept.relid = relid;
	kept.user = GetUserId();
	/* whatever changes from here on makes what is read old again */
	kept.is_current = true;

	context = AllocSetContextCreate(TopTransactionContext, "cxm alert rules", ALLOCSET_SMALL_SIZES);
	PG_TRY();
	{
		rules = read_into(context, use_subtransaction, error);
	}
	PG_CATCH();
	{
		kept.is_current = false;
		PG_RE_THROW();
	}
	PG_END_TRY();

	if (rules == NULL || IsInParallelMode())
	{
		kept.is_current = false;
		return rules;
	}
	MemoryContextSetParent(context, TopMemoryContext);
	kept.rules = rules;
	return rules;
}

/* One rule, given as a row of cx.alert_rule in JSON */
const CxmAlertRules *
cxm_alert_rules_of(Datum rule, MemoryContext parent)
{
	return read_rules(AllocSetContextCreate(parent, "cxm alert rule", ALLOCSET_SMALL_SIZES), &rule);
}

/* The rules that an answer to this metric may meet, and the number of the metric */
const CxmAlertList *
cxm_alert_rules_for(const CxmAlertRules *rules, const text *metric, int32 *found)
{
	*found = metric_number(rules, metric);
	return &rules->by_metric[*found == CXM_ANY_METRIC ? rules->nmetrics : *found];
}

/* The text search configuration of that name; without a schema it is one of pg_catalog, whatever the search_path */
static Oid
config_of(const char *name)
{
#if PG_VERSION_NUM >= 160000
	List	   *names = stringToQualifiedNameList(name, NULL);
#else
	List	   *names = stringToQualifiedNameList(name);
#endif
	Oid			config;

	if (list_length(names) > 1)
		return get_ts_config_oid(names, false);
	config = GetSysCacheOid2(TSCONFIGNAMENSP, Anum_pg_ts_config_oid,
							 CStringGetDatum(strVal(linitial(names))), ObjectIdGetDatum(PG_CATALOG_NAMESPACE));
	if (!OidIsValid(config))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("text search configuration \"%s\" does not exist", name)));
	return config;
}

/* Look the configuration up and read the words; both may fail, and then do so at each answer */
static void
compile_search(const CxmAlertRules *rules, CxmAlertRule *rule)
{
	MemoryContext old;
	Datum		query;

	rule->config = config_of(rule->search_config);
	query = DirectFunctionCall2(websearch_to_tsquery_byid,
								ObjectIdGetDatum(rule->config), CStringGetTextDatum(rule->search));
	old = MemoryContextSwitchTo(rules->context);
	rule->query = PointerGetDatum(DatumGetTSQueryCopy(query));
	MemoryContextSwitchTo(old);
}

/* Whether a comment has the words that a rule with a search asks for */
bool
cxm_alert_reads(const CxmAlertRules *rules, const CxmAlertRule *rule, text *comment)
{
	Datum		vector;

	if (rule->query == 0)
		compile_search(rules, unconstify(CxmAlertRule *, rule));
	if (VARSIZE_ANY_EXHDR(comment) > MAX_COMMENT)
		comment = DatumGetTextPP(DirectFunctionCall2(text_left, PointerGetDatum(comment), Int32GetDatum(MAX_COMMENT)));
	vector = DirectFunctionCall2(to_tsvector_byid, ObjectIdGetDatum(rule->config), PointerGetDatum(comment));
	return DatumGetBool(DirectFunctionCall2(ts_match_vq, vector, rule->query));
}

PG_FUNCTION_INFO_V1(cxm_alert_rules_changed);

/* Trigger of cx.alert_rule: every session reads the rules anew */
Datum
cxm_alert_rules_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("cxm.alert_rules_changed() must be called as a trigger")));
	kept.is_current = false;
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}
