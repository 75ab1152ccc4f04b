/*
 * src/identity_query.c
 *		What resolving identities needs of the server: queries, rules, vectors.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tupdesc.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "direct.h"
#include "identity.h"
#include "normalize.h"
#include "regex/regex.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* in a header from 15 on */
#ifndef MaxArraySize
#define MaxArraySize ((Size) (MaxAllocSize / sizeof(Datum)))
#endif

typedef struct Receiver
{
	DestReceiver pub;
	CxmRowReader reader;
	void	   *state;
} Receiver;

static bool is_read_enough;

static bool
receive_slot(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *receiver = (Receiver *) self;

	slot_getallattrs(slot);
	is_read_enough = false;
	receiver->reader(slot, receiver->state);
	return !is_read_enough;
}

/* For a reader: the statement ends with this row, before anything is done about the next one */
void
cxm_query_ends(void)
{
	is_read_enough = true;
}

static void
start_receiver(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
end_receiver(DestReceiver *self)
{
}

/* A generic plan, for the number of elements of an array says nothing of how they are best looked up */
static SPIPlanPtr
plan_of(CxmQuery *query)
{
	if (query->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(query->sql, query->nargs, query->types, CURSOR_OPT_GENERIC_PLAN);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", query->sql, SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		query->plan = plan;
		query->is_planned = false;
	}
	return query->plan;
}

/*
 * Kept plans say what was best when the tables were as large as they were
 * then.  Nothing tells a session that they have grown until somebody analyzes
 * them, so it looks for itself, at each call and after many rows.
 */
#define MANY_ROWS 1000

static bool sizes_are_due = true;

static void
look_at_sizes(void)
{
	static const char *const tables[] = {"identifier", "link", "profile"};
	static BlockNumber planned = 0;
	Oid			schema = get_namespace_oid("cx", true);
	BlockNumber blocks = 0;

	sizes_are_due = false;
	for (Size i = 0; i < lengthof(tables); i++)
	{
		Oid			relid = get_relname_relid(tables[i], schema);
		Relation	relation = OidIsValid(relid) ? try_relation_open(relid, AccessShareLock) : NULL;

		if (relation == NULL)
			continue;
		blocks += RelationGetNumberOfBlocks(relation);
		relation_close(relation, AccessShareLock);
	}
	/* below 64 blocks any plan will do */
	if (Max(blocks, 64) / 2 > Max(planned, 32) || Max(planned, 64) / 4 > Max(blocks, 16))
	{
		ResetPlanCache();
		planned = blocks;
	}
}

/*
 * Besides, a statement that looks a few rows up is planned as if there were
 * many, for that is where a bad plan hurts.
 */
static int
steer_planner(const CxmQuery *query)
{
	static const char *const ways[] = {"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_material"};
	int			level;

	if (query->reads_all || (query->is_planned && SPI_plan_is_valid(query->plan)))
		return 0;
	level = NewGUCNestLevel();
	for (Size i = 0; i < lengthof(ways); i++)
		(void) set_config_option(ways[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/*
 * Run a statement as a command of its own, which sees what was committed
 * before it as far as the isolation level lets it; read_only, it sees what
 * the calling statement sees.  Returns the number of rows.
 */
uint64
cxm_query(CxmQuery *query, const Datum *args, bool read_only, CxmRowReader reader, void *state)
{
	SPIPlanPtr	plan = plan_of(query);
	SPIExecuteOptions options = {0};
	Receiver	receiver = {0};
	int			level;
	int			result;

	if (sizes_are_due)
		look_at_sizes();
	level = steer_planner(query);
	options.read_only = read_only;
	if (args != NULL)
	{
		options.params = makeParamList(query->nargs);
		for (int i = 0; i < query->nargs; i++)
		{
			ParamExternData *param = &options.params->params[i];

			param->value = args[i];
			param->isnull = false;
			param->pflags = PARAM_FLAG_CONST;
			param->ptype = query->types[i];
		}
	}
	if (reader != NULL)
	{
		receiver.pub.receiveSlot = receive_slot;
		receiver.pub.rStartup = start_receiver;
		receiver.pub.rShutdown = end_receiver;
		receiver.pub.rDestroy = end_receiver;
		receiver.pub.mydest = DestNone;
		receiver.reader = reader;
		receiver.state = state;
		options.dest = &receiver.pub;
	}

	result = SPI_execute_plan_extended(plan, &options);
	if (level > 0)
		AtEOXact_GUC(true, level);
	query->is_planned = true;
	sizes_are_due |= SPI_processed > MANY_ROWS;
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", query->sql, SPI_result_code_string(result));
	return SPI_processed;
}

/*
 * Ask for a single number as it is committed at this moment, whatever the
 * snapshot of the transaction.
 */
uint64
cxm_query_latest(CxmQuery *query, const Datum *args)
{
	int			result;
	bool		is_null;
	Datum		value;

	result = SPI_execute_snapshot(plan_of(query), unconstify(Datum *, args), NULL, GetLatestSnapshot(), InvalidSnapshot,
								  true, false, 1);
	if (result != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not run \"%s\": %s", query->sql, SPI_result_code_string(result));
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
	SPI_freetuptable(SPI_tuptable);
	return is_null ? 0 : (uint64) DatumGetInt64(value);
}

/* Be ready for statements, whose names then mean the same whoever calls */
void
cxm_connect(CxmConnection *connection)
{
	MemoryContext old;

	if (connection == NULL || connection->level > 0)
		return;
	old = MemoryContextSwitchTo(connection->context);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	connection->level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	MemoryContextSwitchTo(old);
}

void
cxm_disconnect(CxmConnection *connection)
{
	if (connection->level == 0)
		return;
	AtEOXact_GUC(true, connection->level);
	connection->level = 0;
	SPI_finish();
}

void
cxm_vector_init(CxmVector *vector, Size element)
{
	memset(vector, 0, sizeof(CxmVector));
	vector->context = CurrentMemoryContext;
	vector->element = element;
}

/* A new element, zeroed */
void *
cxm_vector_add(CxmVector *vector)
{
	char	   *added;

	if (vector->n == vector->room)
	{
		Size		room = vector->room == 0 ? 8 : vector->room * 2;

		if (vector->data == NULL)
			vector->data = MemoryContextAllocHuge(vector->context, room * vector->element);
		else
			vector->data = repalloc_huge(vector->data, room * vector->element);
		vector->room = room;
	}
	added = vector->data + vector->n++ * vector->element;
	memset(added, 0, vector->element);
	return added;
}

void
cxm_idmap_init(CxmIdMap *map)
{
	memset(map, 0, sizeof(CxmIdMap));
	map->context = CurrentMemoryContext;
}

static Size
slot_of(const CxmIdMap *map, int64 key)
{
	uint64		hash = (uint64) key * UINT64CONST(0x9E3779B97F4A7C15);
	Size		slot = (hash ^ hash >> 32) & (map->nslots - 1);

	while (map->places[slot] != CXM_NOWHERE && map->keys[slot] != key)
		slot = (slot + 1) & (map->nslots - 1);
	return slot;
}

static void
grow_idmap(CxmIdMap *map)
{
	CxmIdMap	grown = *map;

	grown.nslots = map->nslots == 0 ? 16 : map->nslots * 2;
	grown.keys = MemoryContextAllocHuge(map->context, grown.nslots * sizeof(int64));
	grown.places = MemoryContextAllocHuge(map->context, grown.nslots * sizeof(uint32));
	for (Size i = 0; i < grown.nslots; i++)
		grown.places[i] = CXM_NOWHERE;
	for (Size i = 0; i < map->nslots; i++)
	{
		if (map->places[i] != CXM_NOWHERE)
		{
			Size		slot = slot_of(&grown, map->keys[i]);

			grown.keys[slot] = map->keys[i];
			grown.places[slot] = map->places[i];
		}
	}
	if (map->nslots > 0)
	{
		pfree(map->keys);
		pfree(map->places);
	}
	*map = grown;
}

uint32
cxm_idmap_find(const CxmIdMap *map, int64 key)
{
	return map->nslots == 0 ? CXM_NOWHERE : map->places[slot_of(map, key)];
}

/* False, and nothing done, when the key is there already */
bool
cxm_idmap_add(CxmIdMap *map, int64 key, uint32 place)
{
	Size		slot;

	if ((map->n + 1) * 2 > map->nslots)
		grow_idmap(map);
	slot = slot_of(map, key);
	if (map->places[slot] != CXM_NOWHERE)
		return false;
	map->keys[slot] = key;
	map->places[slot] = place;
	map->n++;
	return true;
}

Datum
cxm_array(Datum *values, const bool *nulls, Size n, Oid type)
{
	int			dims[1] = {(int) n};
	int			lbs[1] = {1};
	int16		length;
	bool		by_value;
	char		align;

	if (n > MaxArraySize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many identifiers or links in one statement"),
				 errdetail("There are %zu; at most %zu fit into an array.", n, (Size) MaxArraySize),
				 errhint("Send them in parts.")));
	get_typlenbyvalalign(type, &length, &by_value, &align);
	if (n == 0)
		return PointerGetDatum(construct_empty_array(type));
	return PointerGetDatum(construct_md_array(values, unconstify(bool *, nulls), 1, dims, lbs,
											  type, length, by_value, align));
}

Datum
cxm_text_array(Datum *values, const bool *nulls, Size n)
{
	return cxm_array(values, nulls, n, TEXTOID);
}

Datum
cxm_int8_array(const int64 *values, Size n)
{
	Datum	   *datums = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * sizeof(Datum));
	Datum		array;

	for (Size i = 0; i < n; i++)
		datums[i] = Int64GetDatum(values[i]);
	array = cxm_array(datums, NULL, n, INT8OID);
	pfree(datums);
	return array;
}

static bool
is_text(const text *text, const char *data, Size length)
{
	return VARSIZE_ANY_EXHDR(text) == length && memcmp(VARDATA_ANY(text), data, length) == 0;
}

static const char *const refusal_names[] =
{
	[CXM_HOLDS] = "",
	[CXM_BLOCKED] = "blocked",
	[CXM_MALFORMED] = "malformed",
	[CXM_GENERIC] = "generic",
	[CXM_KEPT_APART] = "never",
	[CXM_UNIQUE] = "unique",
	[CXM_LIMIT] = "limit",
	[CXM_UNVERIFIED] = "unverified"
};

/* CxmRefusal by its name */
uint8
cxm_refusal_of(const text *name)
{
	for (int i = CXM_BLOCKED; i <= CXM_UNVERIFIED; i++)
	{
		if (is_text(name, refusal_names[i], strlen(refusal_names[i])))
			return (uint8) i;
	}
	return CXM_HOLDS;
}

/* A column of cx.link.refused or cx.identifier.quarantined: CxmRefusal */
uint8
cxm_row_refusal(TupleTableSlot *slot, int column)
{
	return row_is_null(slot, column) ? CXM_HOLDS : cxm_refusal_of(DatumGetTextPP(row_value(slot, column)));
}

/* A column of cx.link.kind: CxmLinkKind */
uint8
cxm_row_kind(TupleTableSlot *slot, int column)
{
	switch (VARDATA_ANY(DatumGetTextPP(row_value(slot, column)))[0])
	{
		case 'p':
			return CXM_PINNED;
		case 'm':
			return CXM_MATCHED;
		case 'n':
			return CXM_NEVER;
		default:
			return CXM_SEEN;
	}
}

/* A profile_id of the standing profile that an identifier is in; NULL where cx.profile has none */
int64
cxm_row_canonical(TupleTableSlot *slot, int column, int64 identifier_id)
{
	if (row_is_null(slot, column))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("identifier %lld has no profile", (long long) identifier_id),
				 errhint("SELECT * FROM cxm.store_check() shows what else is wrong with the store.")));
	return row_int64(slot, column);
}

const char *
cxm_refusal_name(CxmRefusal refusal)
{
	return refusal_names[refusal];
}

/*
 * Rules
 */
/* the columns of cx.namespace and cx.blocked_value that the rules are made of, and those before them */
typedef enum NamespaceColumn
{
	NAMESPACE_NAMESPACE = 1, NAMESPACE_ID, NAMESPACE_RANK, NAMESPACE_DESCRIPTION, NAMESPACE_MAX_PER_PROFILE,
	NAMESPACE_MAX_WINDOW, NAMESPACE_IS_UNIQUE, NAMESPACE_MAX_LINKS, NAMESPACE_FORM, NAMESPACE_OPTIONS
} NamespaceColumn;

static const CxmColumn namespace_columns[] =
{
	{"namespace", TEXTOID}, {"namespace_id", INT2OID}, {"rank", INT4OID}, {"description", TEXTOID},
	{"max_per_profile", INT4OID}, {"max_window", INTERVALOID}, {"is_unique", BOOLOID}, {"max_links", INT4OID},
	{"form", TEXTOID}, {"options", JSONBOID}
};

typedef enum BlockedColumn
{
	BLOCKED_ID = 1, BLOCKED_NAMESPACE, BLOCKED_VALUE, BLOCKED_PATTERN
} BlockedColumn;

static const CxmColumn blocked_columns[] =
{
	{"blocked_value_id", INT4OID}, {"namespace", TEXTOID}, {"value", TEXTOID}, {"pattern", TEXTOID}
};

static CxmTable namespaces = {
	.name = "namespace", .columns = namespace_columns, .ncolumns = lengthof(namespace_columns)
};

static CxmTable blocked_values = {
	.name = "blocked_value", .columns = blocked_columns, .ncolumns = lengthof(blocked_columns)
};

static CxmQuery namespaces_query =
{
	.sql = "SELECT n.namespace, n.namespace_id, n.rank, n.description, n.max_per_profile, n.max_window, n.is_unique,"
	" n.max_links, n.form, n.options FROM cx.namespace AS n",
	.reads_all = true
};

static CxmQuery blocked_query =
{
	.sql = "SELECT b.blocked_value_id, b.namespace, b.value, b.pattern FROM cx.blocked_value AS b",
	.reads_all = true
};

static CxmForm
form_of(const text *name)
{
	return is_text(name, "text", 4) ? CXM_TEXT : is_text(name, "email", 5) ? CXM_EMAIL : CXM_OTHER;
}

/*
 * In microseconds, months and years counted as EXTRACT (EPOCH) does.  One that
 * is longer than that can say, 292 thousand years, is so long: an error here
 * would stop every writer of the store.
 */
static int64
length_of(Datum interval)
{
	Datum		seconds = DirectFunctionCall2(extract_interval, CStringGetTextDatum("epoch"), interval);
	Datum		length = DirectFunctionCall2(numeric_mul, seconds, NumericGetDatum(int64_to_numeric(USECS_PER_SEC)));

	return DatumGetInt64(DirectFunctionCall1(numeric_int8,
											 DirectFunctionCall2(numeric_smaller, length,
																 NumericGetDatum(int64_to_numeric(PG_INT64_MAX)))));
}

static uint32
row_maximum(TupleTableSlot *slot, int column)
{
	return row_is_null(slot, column) ? 0 : (uint32) DatumGetInt32(row_value(slot, column));
}

/* One more namespace; they come in any order, and there are few */
static void
read_namespace(TupleTableSlot *slot, void *state)
{
	CxmRules   *rules = state;
	CxmNamespace *namespace = cxm_vector_add(&rules->all);
	CxmSpelling *spelling = cxm_vector_add(&rules->spellings);
	MemoryContext old = MemoryContextSwitchTo(rules->all.context);
	uint32		rank = (uint32) DatumGetInt32(row_value(slot, NAMESPACE_RANK));

	/* the strongest first */
	for (Size i = rules->all.n - 1; i > 0 && namespace[-1].rank > rank; i--)
	{
		*namespace = namespace[-1];
		*spelling = spelling[-1];
		namespace--;
		spelling--;
	}
	spelling->id = DatumGetInt16(row_value(slot, NAMESPACE_ID));
	spelling->name = TextDatumGetCString(row_value(slot, NAMESPACE_NAMESPACE));
	spelling->length = strlen(spelling->name);
	spelling->form = form_of(DatumGetTextPP(row_value(slot, NAMESPACE_FORM)));
	spelling->options = (Jsonb *) PG_DETOAST_DATUM_COPY(row_value(slot, NAMESPACE_OPTIONS));
	namespace->rank = rank;
	namespace->max_per_profile = row_maximum(slot, NAMESPACE_MAX_PER_PROFILE);
	namespace->max_window = row_is_null(slot, NAMESPACE_MAX_WINDOW) ? 0
		: length_of(row_value(slot, NAMESPACE_MAX_WINDOW));
	namespace->max_links = row_maximum(slot, NAMESPACE_MAX_LINKS);
	namespace->is_unique = row_bool(slot, NAMESPACE_IS_UNIQUE);
	rules->max_id = Max(rules->max_id, spelling->id);
	rules->has_windows |= namespace->max_window > 0;
	MemoryContextSwitchTo(old);
}

static void
read_blocked(TupleTableSlot *slot, void *state)
{
	CxmRules   *rules = state;
	CxmBlocked *blocked = cxm_vector_add(&rules->blocked);
	MemoryContext old = MemoryContextSwitchTo(rules->blocked.context);

	blocked->namespace = row_is_null(slot, BLOCKED_NAMESPACE) ? cstring_to_text("")
		: DatumGetTextPCopy(row_value(slot, BLOCKED_NAMESPACE));
	if (!row_is_null(slot, BLOCKED_VALUE))
		blocked->value = DatumGetTextPCopy(row_value(slot, BLOCKED_VALUE));
	if (!row_is_null(slot, BLOCKED_PATTERN))
		blocked->pattern = cstring_to_text(psprintf("^(?:%s)$",
													text_to_cstring(DatumGetTextPP(row_value(slot, BLOCKED_PATTERN)))));
	MemoryContextSwitchTo(old);
}

/*
 * Read the rows of both tables without a statement, which at the first call
 * of a session would be most of its time.  False where that is not possible.
 */
static bool
read_tables(CxmRules *rules, bool read_only)
{
	Relation	relations[2] = {NULL, NULL};
	bool		may_read;

	relations[0] = cxm_table_open(&namespaces, ACL_SELECT);
	if (relations[0] != NULL)
		relations[1] = cxm_table_open(&blocked_values, ACL_SELECT);
	may_read = relations[1] != NULL;
	if (may_read)
	{
		if (!read_only)
		{
			CommandCounterIncrement();
			PushActiveSnapshot(GetTransactionSnapshot());
		}
		cxm_read_rows(relations[0], read_namespace, rules);
		cxm_read_rows(relations[1], read_blocked, rules);
		if (!read_only)
			PopActiveSnapshot();
	}
	for (Size i = 0; i < lengthof(relations); i++)
	{
		if (relations[i] != NULL)
			relation_close(relations[i], NoLock);
	}
	return may_read;
}

/* connection: for statements; NULL when there is one */
static CxmRules *
read_rules(bool read_only, CxmConnection *connection)
{
	CxmRules   *rules = palloc0(sizeof(CxmRules));
	CxmNamespace *unknown;

	cxm_vector_init(&rules->all, sizeof(CxmNamespace));
	cxm_vector_init(&rules->spellings, sizeof(CxmSpelling));
	cxm_vector_init(&rules->blocked, sizeof(CxmBlocked));
	if (!read_tables(rules, read_only))
	{
		cxm_connect(connection);
		cxm_query(&namespaces_query, NULL, read_only, read_namespace, rules);
		cxm_query(&blocked_query, NULL, read_only, read_blocked, rules);
	}
	rules->n = (uint32) rules->all.n;

	/* one more, without rules, for identifiers whose namespace was deleted by hand */
	unknown = cxm_vector_add(&rules->all);
	unknown->rank = CXM_MAX_RANK;
	rules->namespaces = (CxmNamespace *) rules->all.data;

	/* the place in the order of ranks says all that a rank says, in fewer bits, until there is one more */
	rules->has_lasting_ranks = rules->n == 0 || rules->namespaces[rules->n - 1].rank < CXM_MAX_RANK;
	for (uint32 i = 0; i <= rules->n && !rules->has_lasting_ranks; i++)
		vector_at(&rules->all, CxmNamespace, i)->rank = i + 1;
	return rules;
}

/*
 * The rules are kept from call to call, and the number of a source.  Whoever
 * changes them sends an invalidation of cx.namespace, by the triggers on their
 * tables; what was read in a transaction that is rolled back may never have
 * been so.
 */
static struct
{
	MemoryContext context;
	CxmRules   *rules;
	Oid			relid;
	SubTransactionId read_in;	/* InvalidSubTransactionId when that has been committed */
	bool		is_registered;
	text	   *source;			/* that was last spoken for; gone with the rules */
	int32		source_id;
} kept;

static void
forget_rules(void)
{
	kept.rules = NULL;
}

/* schemas may have been given other names */
static void
forget_rules_of_schema(Datum arg, int cache, uint32 hash)
{
	forget_rules();
}

static void
forget_rules_of_relation(Datum arg, Oid relid)
{
	if (relid == kept.relid || relid == InvalidOid)
		forget_rules();
}

static void
forget_rules_of_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT && kept.read_in != InvalidSubTransactionId)
		forget_rules();
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		kept.read_in = InvalidSubTransactionId;
}

static void
forget_rules_of_subtransaction(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	/* subtransactions of this one have greater numbers */
	if (event == SUBXACT_EVENT_ABORT_SUB && kept.read_in >= id)
		forget_rules();
}

/* The same without a statement; NULL when they have to be read */
const CxmRules *
cxm_rules_kept(void)
{
	if (kept.rules == NULL)
		return NULL;
	LockRelationOid(kept.relid, AccessShareLock);
	AcceptInvalidationMessages();
	sizes_are_due = true;
	return kept.rules;
}

/*
 * The rules as they stand, and stay till the end of the transaction: the lock
 * on cx.namespace keeps them.  connection: for statements; NULL when there is
 * one.
 */
const CxmRules *
cxm_rules(CxmConnection *connection)
{
	const CxmRules *known = cxm_rules_kept();
	Oid			relid;
	MemoryContext old;
	CxmRules   *rules;

	if (known != NULL)
		return known;
	relid = get_relname_relid("namespace", get_namespace_oid("cx", false));
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("this database has no cxm store"),
				 errhint("Run SELECT cxm.create_store().")));
	LockRelationOid(relid, AccessShareLock);
	AcceptInvalidationMessages();
	sizes_are_due = true;
	if (!kept.is_registered)
	{
		CacheRegisterRelcacheCallback(forget_rules_of_relation, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_rules_of_schema, (Datum) 0);
		RegisterXactCallback(forget_rules_of_transaction, NULL);
		RegisterSubXactCallback(forget_rules_of_subtransaction, NULL);
		kept.is_registered = true;
	}
	/* a caller further up may be going by the old ones still */
	if (kept.context != NULL)
		MemoryContextSetParent(kept.context, TopTransactionContext);
	kept.context = AllocSetContextCreate(TopMemoryContext, "cxm identity rules", ALLOCSET_SMALL_SIZES);
	kept.rules = NULL;
	kept.source = NULL;
	kept.relid = relid;
	kept.read_in = GetCurrentSubTransactionId();
	old = MemoryContextSwitchTo(kept.context);
	rules = read_rules(false, connection);
	MemoryContextSwitchTo(old);
	kept.rules = rules;
	return rules;
}

/* The number of a source, if it is the one that this session last spoke for and the rules are kept; 0 otherwise */
int32
cxm_source_kept(const text *source)
{
	return kept.rules != NULL && kept.source != NULL
		&& is_text(kept.source, VARDATA_ANY(source), VARSIZE_ANY_EXHDR(source)) ? kept.source_id : 0;
}

/*
 * Keep it as long as the rules that the caller goes by, unless it may have
 * been so only to the caller: in an old snapshot, or in a row that it has
 * written itself.
 */
void
cxm_keep_source(const CxmRules *rules, const text *source, int32 source_id, TransactionId xmin)
{
	MemoryContext old;

	if (kept.rules != rules || IsolationUsesXactSnapshot() || TransactionIdIsCurrentTransactionId(xmin))
		return;
	if (kept.source != NULL)
		pfree(kept.source);
	kept.source = NULL;
	old = MemoryContextSwitchTo(kept.context);
	kept.source = cstring_to_text_with_len(VARDATA_ANY(source), (int) VARSIZE_ANY_EXHDR(source));
	kept.source_id = source_id;
	MemoryContextSwitchTo(old);
}

/* The rules as the calling statement sees them */
const CxmRules *
cxm_rules_seen(void)
{
	return read_rules(true, NULL);
}

PG_FUNCTION_INFO_V1(cxm_identity_rules_changed);

/* Trigger of cx.namespace, cx.blocked_value and cx.source: every session reads anew what it keeps of them */
Datum
cxm_identity_rules_changed(PG_FUNCTION_ARGS)
{
	Oid			relid = get_relname_relid("namespace", get_namespace_oid("cx", false));

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("cxm.identity_rules_changed() must be called as a trigger")));
	forget_rules();
	if (OidIsValid(relid))
		CacheInvalidateRelcacheByRelid(relid);
	return PointerGetDatum(NULL);
}

/* The index of a namespace; that of the last rules, which are none, when there is no such namespace */
uint32
cxm_rules_find(const CxmRules *rules, const text *name)
{
	Size		length = VARSIZE_ANY_EXHDR(name);
	uint32		i;

	for (i = 0; i < rules->n; i++)
	{
		const CxmSpelling *spelling = vector_at(&rules->spellings, CxmSpelling, i);

		if (spelling->length == length && memcmp(spelling->name, VARDATA_ANY(name), length) == 0)
			break;
	}
	return i;
}

/* Does a rule say that the identifier is nobody's? */
bool
cxm_rules_block(const CxmRules *rules, const text *namespace, const text *value)
{
	char	   *lower = cxm_lower(VARDATA_ANY(value), (int) VARSIZE_ANY_EXHDR(value));
	Size		length = strlen(lower);
	bool		is_blocked = false;

	for (Size i = 0; i < rules->blocked.n && !is_blocked; i++)
	{
		const CxmBlocked *blocked = vector_at(&rules->blocked, CxmBlocked, i);

		if (VARSIZE_ANY_EXHDR(blocked->namespace) > 0
			&& !is_text(blocked->namespace, VARDATA_ANY(namespace), VARSIZE_ANY_EXHDR(namespace)))
			continue;
		is_blocked = blocked->value != NULL
			? is_text(blocked->value, lower, length)
			: RE_compile_and_execute(blocked->pattern, lower, (int) length, REG_ADVANCED,
									 DEFAULT_COLLATION_OID, 0, NULL);
	}
	pfree(lower);
	return is_blocked;
}

PG_FUNCTION_INFO_V1(cxm_is_blocked);

/* cxm.is_blocked(namespace, value) */
Datum
cxm_is_blocked(PG_FUNCTION_ARGS)
{
	const text *namespace = PG_GETARG_TEXT_PP(0);
	const text *value = PG_GETARG_TEXT_PP(1);
	bool		is_blocked;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	is_blocked = cxm_rules_block(cxm_rules(NULL), namespace, value);
	SPI_finish();
	PG_RETURN_BOOL(is_blocked);
}
