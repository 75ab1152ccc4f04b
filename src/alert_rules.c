/*
 * src/alert_rules.c
 *		The alert rules of a session: read once, kept until somebody changes them.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/relation.h"
#include "access/xact.h"
#include "alert.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "direct.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
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

/* cx.alert_rule as the store makes it, as far as it is read here */
typedef enum RuleColumn
{
	RULE_ID, NAME, VERSION, ENABLED, KIND, METRIC, SCORE_MIN, SCORE_MAX, TOUCHPOINT_IDS, LOCATION_IDS, PRODUCT_IDS,
	SEARCH, SEARCH_CONFIG, DROP_MIN, SEGMENT, SPEND_MIN, SPEND_CURRENCY, SPEND_WINDOW, TREND_GOAL, TREND_WINDOW,
	TREND_BY, TREND_PERIOD, TREND_CONFIDENCE, SILENCE_AFTER, SILENCE_EXPECT, SILENCE_WITHIN, SEVERITY, CHANNEL,
	ROUTING, OWNER, OWNERS, FOLLOW_UP, THROTTLE, THROTTLE_BY, STORM_CAP, STORM_WINDOW, QUIET_FROM, QUIET_TO,
	VALID_FROM, VALID_TO
} RuleColumn;

static const CxmColumn rule_columns[] =
{
	[RULE_ID] = {"rule_id", INT4OID},
	[NAME] = {"name", TEXTOID},
	[VERSION] = {"version", INT4OID},
	[ENABLED] = {"enabled", BOOLOID},
	[KIND] = {"kind", TEXTOID},
	[METRIC] = {"metric", TEXTOID},
	[SCORE_MIN] = {"score_min", INT2OID},
	[SCORE_MAX] = {"score_max", INT2OID},
	[TOUCHPOINT_IDS] = {"touchpoint_ids", INT4ARRAYOID},
	[LOCATION_IDS] = {"location_ids", INT4ARRAYOID},
	[PRODUCT_IDS] = {"product_ids", INT4ARRAYOID},
	[SEARCH] = {"search", TEXTOID},
	[SEARCH_CONFIG] = {"search_config", TEXTOID},
	[DROP_MIN] = {"drop_min", INT2OID},
	[SEGMENT] = {"segment", JSONBOID},
	[SPEND_MIN] = {"spend_min", NUMERICOID},
	[SPEND_CURRENCY] = {"spend_currency", TEXTOID},
	[SPEND_WINDOW] = {"spend_window", INTERVALOID},
	[TREND_GOAL] = {"trend_goal", FLOAT8OID},
	[TREND_WINDOW] = {"trend_window", INTERVALOID},
	[TREND_BY] = {"trend_by", TEXTOID},
	[TREND_PERIOD] = {"trend_period", TEXTOID},
	[TREND_CONFIDENCE] = {"trend_confidence", FLOAT8OID},
	[SILENCE_AFTER] = {"silence_after", TEXTOID},
	[SILENCE_EXPECT] = {"silence_expect", TEXTOID},
	[SILENCE_WITHIN] = {"silence_within", INTERVALOID},
	[SEVERITY] = {"severity", TEXTOID},
	[CHANNEL] = {"channel", TEXTOID},
	[ROUTING] = {"routing", TEXTOID},
	[OWNER] = {"owner", TEXTOID},
	[OWNERS] = {"owners", TEXTARRAYOID},
	[FOLLOW_UP] = {"follow_up", BOOLOID},
	[THROTTLE] = {"throttle", INTERVALOID},
	[THROTTLE_BY] = {"throttle_by", TEXTOID},
	[STORM_CAP] = {"storm_cap", INT4OID},
	[STORM_WINDOW] = {"storm_window", INTERVALOID},
	[QUIET_FROM] = {"quiet_from", TIMEOID},
	[QUIET_TO] = {"quiet_to", TIMEOID},
	[VALID_FROM] = {"valid_from", TIMESTAMPTZOID},
	[VALID_TO] = {"valid_to", TIMESTAMPTZOID}
};

static CxmTable stored_rules = {
	.name = "alert_rule", .columns = rule_columns, .ncolumns = lengthof(rule_columns)
};

/* rules that are being read */
typedef struct Reading
{
	CxmAlertRules *rules;
	uint32		room;
	bool		is_given;
} Reading;

static bool
is_null(TupleTableSlot *row, RuleColumn column)
{
	return row->tts_isnull[column];
}

static Datum
value_of(TupleTableSlot *row, RuleColumn column)
{
	return row->tts_values[column];
}

static text *
text_column(TupleTableSlot *row, RuleColumn column)
{
	return is_null(row, column) ? NULL : DatumGetTextPCopy(value_of(row, column));
}

static char *
string_column(TupleTableSlot *row, RuleColumn column)
{
	return is_null(row, column) ? NULL : TextDatumGetCString(value_of(row, column));
}

static bool
has_text(TupleTableSlot *row, RuleColumn column, const char *string)
{
	const text *value = is_null(row, column) ? NULL : DatumGetTextPP(value_of(row, column));

	return value != NULL && VARSIZE_ANY_EXHDR(value) == strlen(string)
		&& memcmp(VARDATA_ANY(value), string, strlen(string)) == 0;
}

static bool
bool_column(TupleTableSlot *row, RuleColumn column)
{
	return !is_null(row, column) && DatumGetBool(value_of(row, column));
}

/* In microseconds, months and years counted as EXTRACT (EPOCH) does */
static int64
length_column(TupleTableSlot *row, RuleColumn column)
{
	Datum		seconds;

	if (is_null(row, column))
		return 0;
	seconds = DirectFunctionCall2(interval_part, CStringGetTextDatum("epoch"), value_of(row, column));
	return DatumGetInt64(DirectFunctionCall1(dtoi8, Float8GetDatum(DatumGetFloat8(seconds) * USECS_PER_SEC)));
}

static int
compare_ids(const void *a, const void *b)
{
	int32		left = *(const int32 *) a;
	int32		right = *(const int32 *) b;

	return (left > right) - (left < right);
}

static CxmAlertIds
ids_column(TupleTableSlot *row, RuleColumn column)
{
	CxmAlertIds list = {NULL, 0};
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int32	   *ids;

	if (is_null(row, column))
		return list;
	deconstruct_array(DatumGetArrayTypeP(value_of(row, column)), INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &elements, &nulls, &n);
	ids = palloc(Max(n, 1) * sizeof(int32));
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
read_limits(CxmAlertRule *rule, TupleTableSlot *row)
{
	static const char *const names[] = {
		[CXM_THROTTLE_CUSTOMER] = "customer",
		[CXM_THROTTLE_TOUCHPOINT] = "touchpoint",
		[CXM_THROTTLE_LOCATION] = "location",
		[CXM_THROTTLE_PRODUCT] = "product",
		[CXM_THROTTLE_RULE] = "rule"
	};

	rule->throttle_by = CXM_THROTTLE_NONE;
	for (size_t i = 1; i < lengthof(names); i++)
	{
		if (has_text(row, THROTTLE_BY, names[i]))
			rule->throttle_by = (CxmThrottle) i;
	}
	rule->throttle = length_column(row, THROTTLE);
	rule->storm_cap = is_null(row, STORM_CAP) ? 0 : DatumGetInt32(value_of(row, STORM_CAP));
	rule->storm_window = length_column(row, STORM_WINDOW);
}

static void
read_condition(CxmAlertRules *rules, CxmAlertCondition *condition, TupleTableSlot *row)
{
	bool		has_min = !is_null(row, SCORE_MIN);
	bool		has_max = !is_null(row, SCORE_MAX);

	condition->metric = CXM_ANY_METRIC;
	if (!is_null(row, METRIC))
	{
		condition->metric = metric_number(rules, DatumGetTextPP(value_of(row, METRIC)));
		if (condition->metric == CXM_ANY_METRIC)
		{
			condition->metric = rules->nmetrics;
			rules->metrics[rules->nmetrics++] = text_column(row, METRIC);
		}
	}
	condition->score_min = has_min ? DatumGetInt16(value_of(row, SCORE_MIN)) : PG_INT32_MIN;
	condition->score_max = has_max ? DatumGetInt16(value_of(row, SCORE_MAX)) : PG_INT32_MAX;
	/* also of one that is to lie below the last */
	condition->asks_score = has_min || has_max || !is_null(row, DROP_MIN);
	condition->touchpoints = ids_column(row, TOUCHPOINT_IDS);
	condition->locations = ids_column(row, LOCATION_IDS);
	condition->products = ids_column(row, PRODUCT_IDS);
	condition->valid_from = DatumGetTimestampTz(value_of(row, VALID_FROM));
	condition->valid_to = DatumGetTimestampTz(value_of(row, VALID_TO));
}

/* One more rule; of the stored ones those that are enabled and about answers.  They come in any order. */
static void
read_rule(TupleTableSlot *row, void *state)
{
	Reading    *reading = state;
	CxmAlertRules *rules = reading->rules;
	CxmAlertRule *rule;
	MemoryContext old;

	if (!reading->is_given && (!bool_column(row, ENABLED) || !has_text(row, KIND, "answer")))
		return;
	old = MemoryContextSwitchTo(rules->context);
	if (rules->n == reading->room)
	{
		reading->room *= 2;
		rules->rules = repalloc(rules->rules, reading->room * sizeof(CxmAlertRule));
		rules->metrics = repalloc(rules->metrics, reading->room * sizeof(text *));
	}
	rule = &rules->rules[rules->n++];
	memset(rule, 0, sizeof(CxmAlertRule));
	rule->rule_id = DatumGetInt32(value_of(row, RULE_ID));
	rule->version = DatumGetInt32(value_of(row, VERSION));
	rule->name = text_column(row, NAME);
	rule->severity = text_column(row, SEVERITY);
	rule->channel = text_column(row, CHANNEL);
	rule->owner = text_column(row, OWNER);
	rule->follow_up = bool_column(row, FOLLOW_UP);
	rule->asks_customer = !is_null(row, DROP_MIN) || !is_null(row, SEGMENT) || !is_null(row, SPEND_MIN);
	rule->is_guarded = rule->asks_customer || !is_null(row, THROTTLE) || !is_null(row, STORM_CAP)
		|| !is_null(row, QUIET_FROM) || (!is_null(row, ROUTING) && !has_text(row, ROUTING, "owner"));
	read_limits(rule, row);
	rule->search = string_column(row, SEARCH);
	rule->search_config = string_column(row, SEARCH_CONFIG);
	read_condition(rules, &rule->condition, row);
	MemoryContextSwitchTo(old);
}

static int
compare_rules(const void *a, const void *b)
{
	return compare_ids(&((const CxmAlertRule *) a)->rule_id, &((const CxmAlertRule *) b)->rule_id);
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

/*
 * Without a statement, which at the first answer of a session would be most
 * of its time.  False where that is not possible.
 */
static bool
read_table(Reading *reading)
{
	Relation	relation = cxm_table_open(&stored_rules, ACL_SELECT);

	if (relation == NULL)
		return false;
	PushActiveSnapshot(GetLatestSnapshot());
	cxm_read_rows(relation, read_rule, reading);
	PopActiveSnapshot();
	relation_close(relation, NoLock);
	return true;
}

static void
run_query(Reading *reading, const char *source, const Datum *given)
{
	StringInfoData query;
	Oid			types[1] = {JSONBOID};
	SPIPlanPtr	plan;
	TupleTableSlot *row;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	initStringInfo(&query);
	for (size_t i = 0; i < lengthof(rule_columns); i++)
		appendStringInfo(&query, "%s r.%s", i == 0 ? "SELECT" : ",", rule_columns[i].name);
	appendStringInfo(&query, " FROM %s AS r", source);
	plan = SPI_prepare(query.data, given == NULL ? 0 : 1, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", query.data, SPI_result_code_string(SPI_result));
	if (SPI_execute_snapshot(plan, unconstify(Datum *, given), NULL,
							 given != NULL || IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot(),
							 InvalidSnapshot, true, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", query.data);
	row = MakeSingleTupleTableSlot(SPI_tuptable->tupdesc, &TTSOpsHeapTuple);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		ExecStoreHeapTuple(SPI_tuptable->vals[i], row, false);
		slot_getallattrs(row);
		read_rule(row, reading);
	}
	ExecDropSingleTupleTableSlot(row);
	SPI_finish();
}

/* Read the stored rules, or the one given */
static CxmAlertRules *
read_rules(MemoryContext context, const Datum *given)
{
	CxmAlertRules *rules = MemoryContextAllocZero(context, sizeof(CxmAlertRules));
	Reading		reading = {.rules = rules, .room = 8, .is_given = given != NULL};

	rules->context = context;
	rules->rules = MemoryContextAlloc(context, reading.room * sizeof(CxmAlertRule));
	rules->metrics = MemoryContextAlloc(context, reading.room * sizeof(text *));
	if (given != NULL)
		run_query(&reading, "pg_catalog.jsonb_populate_record(NULL::cx.alert_rule, $1)", given);
	else if (!read_table(&reading))
		run_query(&reading, "cx.alert_rule", NULL);
	qsort(rules->rules, rules->n, sizeof(CxmAlertRule), compare_rules);
	list_rules(rules);
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
