/*
 * src/identity_direct.c
 *		Single rows of the identity tables, read and written without a plan.
 *
 * To start and end a statement costs several times what the few rows cost
 * that a single link is about.  So these are looked up by an index and
 * written here, in the steps that the executor takes: privileges, defaults,
 * NOT NULL and CHECK constraints, the row, its index entries.
 *
 * That holds only for tables that are as the store makes them.  Where the
 * rows of one are seen or changed by anything else, such as row security,
 * triggers, rules, columns or functions of the user's, or where the caller
 * has been granted single columns only, nothing is done here, and the callers
 * run statements instead.
 *
 * A row is changed only in the version that was read.  When somebody else was
 * faster, that fails, and what has failed holds no lock: whoever changes one
 * row may simply begin anew.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/parallel.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "identity.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#if PG_VERSION_NUM >= 180000
#define begin_index_scan(relation, index, snapshot, nkeys) index_beginscan(relation, index, snapshot, NULL, nkeys, 0)
#define has_no_conflict(info, slot, estate, tid, arbiters) \
	ExecCheckIndexConstraints(info, slot, estate, tid, &(ItemPointerData) {{0, 0}, 0}, arbiters)
#else
#define begin_index_scan(relation, index, snapshot, nkeys) index_beginscan(relation, index, snapshot, nkeys, 0)
#define has_no_conflict(info, slot, estate, tid, arbiters) ExecCheckIndexConstraints(info, slot, estate, tid, arbiters)
#endif

#if PG_VERSION_NUM >= 160000
#define insert_index_entries(info, slot, estate, may_fail, conflict, arbiters) \
	ExecInsertIndexTuples(info, slot, estate, false, may_fail, conflict, arbiters, false)
#define IndexUpdates TU_UpdateIndexes
#define NO_INDEX_UPDATES TU_None
#else
#define insert_index_entries(info, slot, estate, may_fail, conflict, arbiters) \
	ExecInsertIndexTuples(info, slot, estate, false, may_fail, conflict, arbiters)
#define IndexUpdates bool
#define NO_INDEX_UPDATES false
#endif

/*
 * The tables as the store makes them
 */
typedef struct Column
{
	const char *name;
	Oid			type;
} Column;

typedef enum IdentifierColumn
{
	IDENTIFIER_ID, IDENTIFIER_NAMESPACE, IDENTIFIER_VALUE, IDENTIFIER_PROFILE_ID, IDENTIFIER_CREATED_AT,
	IDENTIFIER_QUARANTINED
} IdentifierColumn;

static const Column identifier_columns[] =
{
	[IDENTIFIER_ID] = {"identifier_id", INT8OID},
	[IDENTIFIER_NAMESPACE] = {"namespace", TEXTOID},
	[IDENTIFIER_VALUE] = {"value", TEXTOID},
	[IDENTIFIER_PROFILE_ID] = {"profile_id", INT8OID},
	[IDENTIFIER_CREATED_AT] = {"created_at", TIMESTAMPTZOID},
	[IDENTIFIER_QUARANTINED] = {"quarantined", TEXTOID}
};

typedef enum LinkColumn
{
	LINK_ID, LINK_A, LINK_B, LINK_KIND, LINK_VERIFIED, LINK_SOURCE_ID, LINK_EVIDENCE, LINK_PROBABILITY,
	LINK_OBSERVED_AT, LINK_REFUSED, LINK_REASON, LINK_CREATED_AT, LINK_CREATED_BY, LINK_RETIRED_AT, LINK_RETIRED_BY,
	LINK_RETIRED_REASON
} LinkColumn;

static const Column link_columns[] =
{
	[LINK_ID] = {"link_id", INT8OID},
	[LINK_A] = {"identifier_a", INT8OID},
	[LINK_B] = {"identifier_b", INT8OID},
	[LINK_KIND] = {"kind", TEXTOID},
	[LINK_VERIFIED] = {"verified", BOOLOID},
	[LINK_SOURCE_ID] = {"source_id", INT4OID},
	[LINK_EVIDENCE] = {"evidence", TEXTOID},
	[LINK_PROBABILITY] = {"probability", FLOAT8OID},
	[LINK_OBSERVED_AT] = {"observed_at", TIMESTAMPTZOID},
	[LINK_REFUSED] = {"refused", TEXTOID},
	[LINK_REASON] = {"reason", TEXTOID},
	[LINK_CREATED_AT] = {"created_at", TIMESTAMPTZOID},
	[LINK_CREATED_BY] = {"created_by", TEXTOID},
	[LINK_RETIRED_AT] = {"retired_at", TIMESTAMPTZOID},
	[LINK_RETIRED_BY] = {"retired_by", TEXTOID},
	[LINK_RETIRED_REASON] = {"retired_reason", TEXTOID}
};

typedef enum ProfileColumn
{
	PROFILE_ID, PROFILE_CANONICAL_ID, PROFILE_CREATED_AT, PROFILE_CHANGED_AT, PROFILE_COUNTS, PROFILE_IS_KNOWN,
	PROFILE_IS_KEPT_APART, PROFILE_WEAKEST, PROFILE_WEAKEST_AT
} ProfileColumn;

static const Column profile_columns[] =
{
	[PROFILE_ID] = {"profile_id", INT8OID},
	[PROFILE_CANONICAL_ID] = {"canonical_id", INT8OID},
	[PROFILE_CREATED_AT] = {"created_at", TIMESTAMPTZOID},
	[PROFILE_CHANGED_AT] = {"changed_at", TIMESTAMPTZOID},
	[PROFILE_COUNTS] = {"counts", INT4ARRAYOID},
	[PROFILE_IS_KNOWN] = {"is_known", BOOLOID},
	[PROFILE_IS_KEPT_APART] = {"is_kept_apart", BOOLOID},
	[PROFILE_WEAKEST] = {"weakest", INT8OID},
	[PROFILE_WEAKEST_AT] = {"weakest_at", TIMESTAMPTZOID}
};

typedef enum ChangeColumn
{
	CHANGE_ID, CHANGE_CHANGED_AT, CHANGE_PROFILE_ID, CHANGE_IDENTIFIER_ID, CHANGE_FROM_PROFILE, CHANGE_TO_PROFILE,
	CHANGE_LINK_ID, CHANGE_CAUSE, CHANGE_CHANGED_BY, CHANGE_TRANSACTION_ID
} ChangeColumn;

static const Column change_columns[] =
{
	[CHANGE_ID] = {"change_id", INT8OID},
	[CHANGE_CHANGED_AT] = {"changed_at", TIMESTAMPTZOID},
	[CHANGE_PROFILE_ID] = {"profile_id", INT8OID},
	[CHANGE_IDENTIFIER_ID] = {"identifier_id", INT8OID},
	[CHANGE_FROM_PROFILE] = {"from_profile", INT8OID},
	[CHANGE_TO_PROFILE] = {"to_profile", INT8OID},
	[CHANGE_LINK_ID] = {"link_id", INT8OID},
	[CHANGE_CAUSE] = {"cause", TEXTOID},
	[CHANGE_CHANGED_BY] = {"changed_by", TEXTOID},
	[CHANGE_TRANSACTION_ID] = {"transaction_id", XID8OID}
};

typedef enum SourceColumn
{
	SOURCE_ID, SOURCE_SOURCE, SOURCE_KIND
} SourceColumn;

static const Column source_columns[] =
{
	[SOURCE_ID] = {"source_id", INT4OID},
	[SOURCE_SOURCE] = {"source", TEXTOID},
	[SOURCE_KIND] = {"kind", TEXTOID}
};

#define MAX_COLUMNS lengthof(link_columns)

/* where rows are looked up: an index of exactly these columns */
#define MAX_KEY 5

typedef enum Where
{
	ALL_ROWS,
	NOT_RETIRED,				/* retired_at IS NULL */
	MERGED_AWAY					/* canonical_id <> profile_id */
} Where;

typedef struct Key
{
	int			n;
	int			columns[MAX_KEY];
	Where		where;
	bool		is_unique;
} Key;

typedef enum TableNumber
{
	IDENTIFIERS, PROFILES, LINKS, SOURCES, CHANGES,
	NTABLES
} TableNumber;

#define NREAD (SOURCES + 1)

enum
{
	BY_ID,						/* of identifiers, profiles */
	BY_VALUE = 1,				/* of identifiers */
	BY_CANONICAL = 1,			/* of profiles */
	BY_ENDS = 0,				/* of links */
	BY_B = 1,
	BY_NAME = 0,				/* of sources */
	MAX_KEYS = 2
};

typedef struct Table
{
	const char *name;
	const Column *columns;

	/* what was found out about it, good until it changes */
	MemoryContext context;
	EState	   *estate;
	ResultRelInfo *info;
	ExprState **defaults;
	Oid		   *indexes;		/* of info->ri_NumIndices */
	int			ncolumns;
	int			nkeys;
	Oid			relid;
	Oid			index_of[MAX_KEYS];
	Key			keys[MAX_KEYS];
	bool		is_inserted_into;
	bool		is_updated;
	bool		is_known;
	bool		is_plain;
	Oid			user;			/* who has these privileges */
	AclMode		privileges;
} Table;

static Table tables[NTABLES] =
{
	[IDENTIFIERS] = {
		.name = "identifier", .columns = identifier_columns, .ncolumns = lengthof(identifier_columns),
		.is_inserted_into = true, .is_updated = true, .nkeys = 2,
		.keys = {
			[BY_ID] = {1, {IDENTIFIER_ID}, ALL_ROWS, true},
			[BY_VALUE] = {2, {IDENTIFIER_NAMESPACE, IDENTIFIER_VALUE}, ALL_ROWS, true}
		}
	},
	[PROFILES] = {
		.name = "profile", .columns = profile_columns, .ncolumns = lengthof(profile_columns),
		.is_inserted_into = true, .is_updated = true, .nkeys = 2,
		.keys = {
			[BY_ID] = {1, {PROFILE_ID}, ALL_ROWS, true},
			[BY_CANONICAL] = {1, {PROFILE_CANONICAL_ID}, MERGED_AWAY, false}
		}
	},
	[LINKS] = {
		.name = "link", .columns = link_columns, .ncolumns = lengthof(link_columns),
		.is_inserted_into = true, .is_updated = true, .nkeys = 2,
		.keys = {
			[BY_ENDS] = {5, {LINK_A, LINK_B, LINK_SOURCE_ID, LINK_KIND, LINK_EVIDENCE}, NOT_RETIRED, true},
			[BY_B] = {2, {LINK_B, LINK_A}, NOT_RETIRED, false}
		}
	},
	[SOURCES] = {
		.name = "source", .columns = source_columns, .ncolumns = lengthof(source_columns), .nkeys = 1,
		.keys = {[BY_NAME] = {1, {SOURCE_SOURCE}, ALL_ROWS, true}}
	},
	[CHANGES] = {
		.name = "identity_change", .columns = change_columns, .ncolumns = lengthof(change_columns),
		.is_inserted_into = true
	}
};

/*
 * What a table is like
 */

/* functions that somebody made may look at anything, and may be replaced at any time */
static bool
is_users(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

static bool
calls_users(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_users, context) || expression_tree_walker(node, calls_users, context);
}

static bool
has_columns(const Table *table, TupleDesc desc)
{
	/* of one that is only read others may follow */
	if (table->is_inserted_into ? desc->natts != table->ncolumns : desc->natts < table->ncolumns)
		return false;
	for (int i = 0; i < table->ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (column->attisdropped || column->attgenerated != '\0' || column->atttypid != table->columns[i].type
			|| strcmp(NameStr(column->attname), table->columns[i].name) != 0)
			return false;
	}
	return true;
}

static bool
has_plain_checks(TupleDesc desc)
{
	for (int i = 0; desc->constr != NULL && i < desc->constr->num_check; i++)
	{
		if (calls_users(stringToNode(desc->constr->check[i].ccbin), NULL))
			return false;
	}
	return true;
}

/* A foreign key that refers to the first column minds nothing else, and no update here changes that */
static bool
is_of_reference(const Trigger *trigger)
{
	HeapTuple	tuple;
	bool		refers_to_id = false;

	if (!trigger->tgisinternal || RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_PK)
		return false;
	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(trigger->tgconstrindid));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

		refers_to_id = index->indnatts == 1 && index->indkey.values[0] == 1;
		ReleaseSysCache(tuple);
	}
	return refers_to_id;
}

static bool
has_triggers(const Table *table, const TriggerDesc *triggers)
{
	int			nreferences = 0;

	if (triggers == NULL)
		return false;
	for (int i = 0; i < triggers->numtriggers; i++)
		nreferences += is_of_reference(&triggers->triggers[i]);
	if (nreferences == triggers->numtriggers)
		return false;
	return (table->is_inserted_into
			&& (triggers->trig_insert_before_row || triggers->trig_insert_after_row
				|| triggers->trig_insert_before_statement || triggers->trig_insert_after_statement
				|| triggers->trig_insert_instead_row))
		|| (table->is_updated
			&& (triggers->trig_update_before_row || triggers->trig_update_after_row
				|| triggers->trig_update_before_statement || triggers->trig_update_after_statement
				|| triggers->trig_update_instead_row));
}

static bool
is_column(const Node *node, int column)
{
	return IsA(node, Var) && ((const Var *) node)->varattno == column + 1;
}

static bool
matches_where(const Key *key, const List *predicate)
{
	const Node *node;

	if (key->where == ALL_ROWS || list_length(predicate) != 1)
		return key->where == ALL_ROWS && predicate == NIL;
	node = linitial(predicate);
	if (key->where == NOT_RETIRED)
		return IsA(node, NullTest) && ((const NullTest *) node)->nulltesttype == IS_NULL
			&& is_column((const Node *) ((const NullTest *) node)->arg, LINK_RETIRED_AT);
	return IsA(node, OpExpr) && get_opcode(((const OpExpr *) node)->opno) == F_INT8NE
		&& is_column(linitial(((const OpExpr *) node)->args), PROFILE_CANONICAL_ID)
		&& is_column(lsecond(((const OpExpr *) node)->args), PROFILE_ID);
}

static bool
matches_key(const Key *key, Relation index, const IndexInfo *info)
{
	if (!index->rd_index->indisvalid || index->rd_index->indcheckxmin
		|| info->ii_NumIndexKeyAttrs != key->n || (key->is_unique && !info->ii_Unique)
		|| !matches_where(key, info->ii_Predicate))
		return false;
	for (int i = 0; i < key->n; i++)
	{
		if (info->ii_IndexAttrNumbers[i] != key->columns[i] + 1
			|| (index->rd_opfamily[i] != INTEGER_BTREE_FAM_OID && index->rd_opfamily[i] != TEXT_BTREE_FAM_OID))
			return false;
	}
	return true;
}

/* Look at the indexes, and keep what is needed to write to them */
static bool
has_plain_indexes(Table *table, Relation relation)
{
	ResultRelInfo *info = table->info;
	List	   *indexes = RelationGetIndexList(relation);
	bool		is_plain = true;
	ListCell   *cell;

	info->ri_NumIndices = 0;
	info->ri_IndexRelationDescs = palloc0(Max(list_length(indexes), 1) * sizeof(Relation));
	info->ri_IndexRelationInfo = palloc0(Max(list_length(indexes), 1) * sizeof(IndexInfo *));
	table->indexes = palloc0(Max(list_length(indexes), 1) * sizeof(Oid));
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		IndexInfo  *index_info = BuildIndexInfo(index);

		if (index_info->ii_Unique)
			BuildSpeculativeIndexInfo(index, index_info);
		is_plain &= index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indimmediate
			&& index_info->ii_ExclusionOps == NULL && index_info->ii_Expressions == NIL
			&& !calls_users((Node *) index_info->ii_Predicate, NULL);
		for (int key = 0; key < table->nkeys; key++)
		{
			if (matches_key(&table->keys[key], index, index_info))
				table->index_of[key] = lfirst_oid(cell);
		}
		table->indexes[info->ri_NumIndices] = lfirst_oid(cell);
		info->ri_IndexRelationInfo[info->ri_NumIndices++] = index_info;
		index_close(index, AccessShareLock);
	}
	for (int key = 0; key < table->nkeys; key++)
		is_plain &= OidIsValid(table->index_of[key]);
	return is_plain;
}

/* What is to be put where a row says nothing; false when that takes more than the server's own functions */
static bool
has_plain_defaults(Table *table, Relation relation)
{
	table->defaults = palloc0(table->ncolumns * sizeof(ExprState *));
	for (int i = 0; i < table->ncolumns; i++)
	{
		Node	   *expression = build_column_default(relation, i + 1);

		if (expression == NULL)
			continue;
		if (calls_users(expression, NULL))
			return false;
		table->defaults[i] = ExecPrepareExpr((Expr *) expression, table->estate);
	}
	/* numbers come from there */
	return table->defaults[0] != NULL;
}

static void
examine(Table *table, Relation relation)
{
	MemoryContext old;

	table->is_plain = false;
	table->is_known = false;
	memset(table->index_of, 0, sizeof(table->index_of));
	if (table->context != NULL)
		MemoryContextDelete(table->context);
	table->context = NULL;
	table->context = AllocSetContextCreate(CacheMemoryContext, "cxm identity table", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(table->context);
	table->relid = RelationGetRelid(relation);

	/* said first: who changes the table while it is looked at makes this unknown again */
	table->is_known = true;
	if (relation->rd_rel->relkind == RELKIND_RELATION && !relation->rd_rel->relispartition
		&& !relation->rd_rel->relhassubclass && !relation->rd_rel->relrowsecurity && relation->rd_rules == NULL
		&& !has_triggers(table, relation->trigdesc) && has_columns(table, RelationGetDescr(relation))
		&& has_plain_checks(RelationGetDescr(relation)))
	{
		table->estate = CreateExecutorState();
		table->info = makeNode(ResultRelInfo);
		InitResultRelInfo(table->info, relation, 0, NULL, 0);
		table->is_plain = has_plain_indexes(table, relation)
			&& (!table->is_inserted_into || has_plain_defaults(table, relation));
	}
	MemoryContextSwitchTo(old);
}

static void
forget_table(Datum arg, Oid relid)
{
	for (int i = 0; i < NTABLES; i++)
	{
		Table	   *table = &tables[i];

		if (relid == InvalidOid || relid == table->relid)
		{
			table->is_known = false;
			table->user = InvalidOid;
		}
		for (int j = 0; table->is_known && table->is_plain && j < table->info->ri_NumIndices; j++)
		{
			if (table->indexes[j] == relid)
				table->is_known = false;
		}
	}
}

/* Schemas may have been given other names, or users other rights */
static void
forget_names(Datum arg, int cache, uint32 hash)
{
	forget_table((Datum) 0, InvalidOid);
}

/* Has the user these on a table?  What is found out is good until somebody grants or revokes */
static bool
has_privileges(TableNumber number, AclMode privileges)
{
	Table	   *table = &tables[number];
	Oid			user = GetUserId();

	if (table->user != user)
		table->privileges = ACL_NO_RIGHTS;
	table->user = user;
	if ((table->privileges & privileges) != privileges
		&& pg_class_aclmask(table->relid, user, privileges, ACLMASK_ALL) == privileges)
		table->privileges |= privileges;
	return (table->privileges & privileges) == privileges;
}

/*
 * Open a table, if its rows are to be had here by whoever asks.  The lock is
 * that of a writer, which also keeps the indexes as they are: they need no
 * locks of their own, which would be more than a session has room for.
 */
static bool
open_table(CxmDirect *direct, TableNumber number, AclMode privileges)
{
	static bool is_registered = false;
	Table	   *table = &tables[number];
	Relation	relation;

	if (!is_registered)
	{
		CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_names, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, forget_names, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_names, (Datum) 0);
		is_registered = true;
	}
	if (!table->is_known)
	{
		Oid			schema = get_namespace_oid("cx", true);

		table->relid = OidIsValid(schema) ? get_relname_relid(table->name, schema) : InvalidOid;
	}
	relation = OidIsValid(table->relid) ? try_relation_open(table->relid, RowExclusiveLock) : NULL;
	if (relation == NULL)
		return false;
	direct->relations[number] = relation;
	if (!table->is_known)
	{
		/* by that name, now that it is locked? */
		if (strcmp(RelationGetRelationName(relation), table->name) != 0
			|| get_namespace_oid("cx", true) != RelationGetNamespace(relation))
			return false;
		examine(table, relation);
	}
	return table->is_plain && has_privileges(number, privileges);
}

/*
 * May rows be read here?  Then they are seen as a statement sees them that
 * begins now, until cxm_direct_end().  Whatever the answer is, that has to be
 * called.
 */
bool
cxm_direct_begin(CxmDirect *direct, const CxmRules *rules)
{
	memset(direct, 0, sizeof(CxmDirect));
	direct->rules = rules;
	if (ExecutorCheckPerms_hook != NULL || IsInParallelMode())
		return false;
	for (int i = 0; i < NREAD; i++)
	{
		if (!open_table(direct, i, ACL_SELECT))
			return false;
	}
	direct->is_readable = true;
	cxm_direct_refresh(direct);
	return true;
}

/* From now on rows are seen as they are now, with what this transaction has written */
void
cxm_direct_refresh(CxmDirect *direct)
{
	if (!direct->is_readable)
		return;
	if (direct->has_snapshot)
		PopActiveSnapshot();
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	direct->has_snapshot = true;
}

/* May rows be written here? */
bool
cxm_direct_may_write(CxmDirect *direct)
{
	if (!direct->is_readable || direct->was_asked)
		return direct->is_writable;
	direct->was_asked = true;
	if (XactReadOnly || !has_privileges(IDENTIFIERS, ACL_SELECT | ACL_INSERT)
		|| !has_privileges(PROFILES, ACL_SELECT | ACL_INSERT | ACL_UPDATE)
		|| !has_privileges(LINKS, ACL_SELECT | ACL_INSERT))
		return false;
	CheckCmdReplicaIdentity(direct->relations[PROFILES], CMD_UPDATE);
	direct->is_writable = true;
	return true;
}

/* May rows be changed here that this call has written itself? */
bool
cxm_direct_may_update(CxmDirect *direct)
{
	if (!has_privileges(IDENTIFIERS, ACL_UPDATE) || !has_privileges(LINKS, ACL_UPDATE))
		return false;
	CheckCmdReplicaIdentity(direct->relations[IDENTIFIERS], CMD_UPDATE);
	CheckCmdReplicaIdentity(direct->relations[LINKS], CMD_UPDATE);
	return true;
}

/* May profiles be merged here, which also writes down that they were? */
bool
cxm_direct_may_merge(CxmDirect *direct)
{
	if (direct->relations[CHANGES] != NULL)
		return true;
	return open_table(direct, CHANGES, ACL_INSERT);
}

void
cxm_direct_end(CxmDirect *direct)
{
	if (direct->has_snapshot)
		PopActiveSnapshot();
	for (int i = 0; i < NTABLES; i++)
	{
		if (direct->relations[i] != NULL)
			relation_close(direct->relations[i], NoLock);
	}
	if (direct->has_written)
		CommandCounterIncrement();
	memset(direct, 0, sizeof(CxmDirect));
}

/*
 * Reading
 */
typedef struct IndexLookup
{
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} IndexLookup;

#define slot_value(slot, column) ((slot)->tts_values[column])
#define slot_is_null(slot, column) ((slot)->tts_isnull[column])
#define slot_int64(slot, column) DatumGetInt64(slot_value(slot, column))

/* An index of a table that is open */
static Relation
open_index(Oid relid)
{
	Relation	index = RelationIdGetRelation(relid);

	if (index == NULL)
		elog(ERROR, "could not open index with OID %u", relid);
	return index;
}

/* Look up the rows whose first columns of a key have these values */
static void
begin_scan(const CxmDirect *direct, TableNumber number, int key, const Datum *values, int n, IndexLookup *scan)
{
	const Table *table = &tables[number];
	Relation	relation = direct->relations[number];
	ScanKeyData keys[MAX_KEY];

	scan->index = open_index(table->index_of[key]);
	for (int i = 0; i < n; i++)
	{
		Oid			type = table->columns[table->keys[key].columns[i]].type;

		ScanKeyEntryInitialize(&keys[i], 0, (AttrNumber) (i + 1), BTEqualStrategyNumber, InvalidOid,
							   scan->index->rd_indcollation[i],
							   type == TEXTOID ? F_TEXTEQ : type == INT4OID ? F_INT4EQ : F_INT8EQ, values[i]);
	}
	scan->slot = table_slot_create(relation, NULL);
	scan->scan = begin_index_scan(relation, scan->index, GetActiveSnapshot(), n);
	index_rescan(scan->scan, keys, n, NULL, 0);
}

static bool
next_row(IndexLookup *scan)
{
	if (!index_getnext_slot(scan->scan, ForwardScanDirection, scan->slot))
		return false;
	slot_getallattrs(scan->slot);
	return true;
}

static void
end_scan(IndexLookup *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	RelationClose(scan->index);
}

static bool
read_profile(const CxmDirect *direct, int64 profile_id, CxmLabel *label)
{
	Datum		values[1] = {Int64GetDatum(profile_id)};
	IndexLookup		scan;
	bool		is_found;
	int64		canonical = 0;

	begin_scan(direct, PROFILES, BY_ID, values, 1, &scan);
	is_found = next_row(&scan);
	if (is_found)
	{
		canonical = slot_int64(scan.slot, PROFILE_CANONICAL_ID);
		label->canonical = canonical;
		label->ctid = scan.slot->tts_tid;
		label->is_known = DatumGetBool(slot_value(scan.slot, PROFILE_IS_KNOWN));
		label->is_kept_apart = DatumGetBool(slot_value(scan.slot, PROFILE_IS_KEPT_APART));
		if (canonical == profile_id)
		{
			bool		is_null;

			label->xmin = DatumGetTransactionId(slot_getsysattr(scan.slot, MinTransactionIdAttributeNumber, &is_null));
			label->counts = DatumGetArrayTypePCopy(slot_value(scan.slot, PROFILE_COUNTS));
			label->weakest = (uint64) slot_int64(scan.slot, PROFILE_WEAKEST);
			label->weakest_at = DatumGetTimestampTz(slot_value(scan.slot, PROFILE_WEAKEST_AT));
		}
	}
	end_scan(&scan);
	if (is_found && canonical != profile_id)
		is_found = read_profile(direct, canonical, label) && label->canonical == canonical;
	return is_found;
}

static bool
read_identifier(const CxmDirect *direct, int key, const Datum *values, int n, CxmLabel *label)
{
	IndexLookup		scan;
	bool		is_found;

	begin_scan(direct, IDENTIFIERS, key, values, n, &scan);
	is_found = next_row(&scan);
	if (is_found)
	{
		text	   *quarantined = slot_is_null(scan.slot, IDENTIFIER_QUARANTINED) ? NULL
			: DatumGetTextPP(slot_value(scan.slot, IDENTIFIER_QUARANTINED));

		label->id = slot_int64(scan.slot, IDENTIFIER_ID);
		label->stub = slot_int64(scan.slot, IDENTIFIER_PROFILE_ID);
		label->namespace = cxm_rules_find(direct->rules, DatumGetTextPP(slot_value(scan.slot, IDENTIFIER_NAMESPACE)));
		label->quarantine = quarantined == NULL ? CXM_HOLDS : cxm_refusal_of(quarantined);
	}
	end_scan(&scan);

	return is_found;
}

/* Find an identifier, all but the profile that stands */
bool
cxm_direct_find_identifier(const CxmDirect *direct, text *namespace, text *value, CxmLabel *label)
{
	Datum		values[2] = {PointerGetDatum(namespace), PointerGetDatum(value)};

	return read_identifier(direct, BY_VALUE, values, 2, label);
}

/* The same of one whose number is known */
bool
cxm_direct_read_identifier(const CxmDirect *direct, int64 id, CxmLabel *label)
{
	Datum		values[1] = {Int64GetDatum(id)};

	return read_identifier(direct, BY_ID, values, 1, label);
}

/* The profile that stands; an identifier without one is left to the statements, which complain */
bool
cxm_direct_read_profile(const CxmDirect *direct, CxmLabel *label)
{
	return read_profile(direct, label->stub, label);
}

/* The number of a source that is no attached table; 0 when there is none */
int32
cxm_direct_find_source(const CxmDirect *direct, text *source)
{
	Datum		values[1] = {PointerGetDatum(source)};
	int32		source_id = 0;
	IndexLookup		scan;

	begin_scan(direct, SOURCES, BY_NAME, values, 1, &scan);
	if (next_row(&scan))
	{
		text	   *kind = DatumGetTextPP(slot_value(scan.slot, SOURCE_KIND));

		if (VARSIZE_ANY_EXHDR(kind) == 3 && memcmp(VARDATA_ANY(kind), "app", 3) == 0)
			source_id = DatumGetInt32(slot_value(scan.slot, SOURCE_ID));
	}
	end_scan(&scan);
	return source_id;
}

/* Has the source said so before? */
bool
cxm_direct_find_link(const CxmDirect *direct, int64 a, int64 b, int32 source_id, text *evidence,
				   bool *is_verified, TimestampTz *at)
{
	Datum		values[5] = {
		Int64GetDatum(Min(a, b)), Int64GetDatum(Max(a, b)), Int32GetDatum(source_id), CStringGetTextDatum("seen"),
		PointerGetDatum(evidence)
	};
	IndexLookup		scan;
	bool		is_found;

	begin_scan(direct, LINKS, BY_ENDS, values, 5, &scan);
	is_found = next_row(&scan);
	if (is_found)
	{
		*is_verified = DatumGetBool(slot_value(scan.slot, LINK_VERIFIED));
		*at = DatumGetTimestampTz(slot_value(scan.slot, LINK_OBSERVED_AT));
	}
	end_scan(&scan);
	return is_found;
}

/* The number of live links at an identifier, counted no further than max */
int64
cxm_direct_count_links(const CxmDirect *direct, int64 id, int64 max)
{
	Datum		values[1] = {Int64GetDatum(id)};
	int64		n = 0;

	for (int key = BY_ENDS; key <= BY_B; key++)
	{
		IndexLookup		scan;

		begin_scan(direct, LINKS, key, values, 1, &scan);
		while (n < max && index_getnext_slot(scan.scan, ForwardScanDirection, scan.slot))
			n++;
		end_scan(&scan);
	}
	return n;
}

/*
 * Writing
 */
typedef struct NewRow
{
	TableNumber number;
	Datum		values[MAX_COLUMNS];
	bool		nulls[MAX_COLUMNS];
	bool		is_given[MAX_COLUMNS];
} NewRow;

static void
set_column(NewRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->is_given[column] = true;
}

static void
set_refusal(NewRow *row, int column, uint8 refusal)
{
	row->is_given[column] = true;
	row->nulls[column] = refusal == CXM_HOLDS;
	if (refusal != CXM_HOLDS)
		row->values[column] = CStringGetTextDatum(cxm_refusal_name(refusal));
}

static void
add_defaults(NewRow *row)
{
	const Table *table = &tables[row->number];

	for (int i = 0; i < table->ncolumns; i++)
	{
		if (row->is_given[i])
			continue;
		row->nulls[i] = table->defaults[i] == NULL;
		if (table->defaults[i] != NULL)
			row->values[i] = ExecEvalExprSwitchContext(table->defaults[i], GetPerTupleExprContext(table->estate),
													   &row->nulls[i]);
	}
}

static void
store_row(const NewRow *row, TupleTableSlot *slot)
{
	const Table *table = &tables[row->number];

	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->values, table->ncolumns * sizeof(Datum));
	memcpy(slot->tts_isnull, row->nulls, table->ncolumns * sizeof(bool));
	ExecStoreVirtualTuple(slot);
}

/* The indexes of a table, to be written to till close_indexes() */
static void
open_indexes(const CxmDirect *direct, const Table *table)
{
	table->info->ri_RelationDesc = direct->relations[table - tables];
	for (int i = 0; i < table->info->ri_NumIndices; i++)
		table->info->ri_IndexRelationDescs[i] = open_index(table->indexes[i]);
}

static void
close_indexes(const Table *table)
{
	for (int i = 0; i < table->info->ri_NumIndices; i++)
	{
		RelationClose(table->info->ri_IndexRelationDescs[i]);
		table->info->ri_IndexRelationDescs[i] = NULL;
	}
	table->info->ri_RelationDesc = NULL;
	ResetPerTupleExprContext(table->estate);
}

/*
 * Insert a row.  Where "arbiter" names an index, and another session has
 * a row with that key, or is about to, it is waited for, and nothing is
 * inserted if the row is there to stay.  The caller has just found none, so
 * that is looked into only after the insertion has met one.
 */
static bool
insert_row(CxmDirect *direct, NewRow *row, Oid arbiter, ItemPointer ctid)
{
	const Table *table = &tables[row->number];
	Relation	relation = direct->relations[row->number];
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	CommandId	command = GetCurrentCommandId(true);
	List	   *arbiters = OidIsValid(arbiter) ? list_make1_oid(arbiter) : NIL;
	bool		is_inserted = true;

	direct->has_written = true;
	open_indexes(direct, table);
	add_defaults(row);
	store_row(row, slot);
	if (RelationGetDescr(relation)->constr != NULL)
		ExecConstraints(table->info, slot, table->estate);
	if (arbiters == NIL)
	{
		table_tuple_insert(relation, slot, command, 0, NULL);
		insert_index_entries(table->info, slot, table->estate, false, NULL, NIL);
	}
	else
	{
		/* with an old snapshot there may be one that was not seen */
		bool		looks_first = IsolationUsesXactSnapshot();

		for (;;)
		{
			ItemPointerData there;
			bool		has_conflict = false;
			uint32		token;

			if (looks_first)
				is_inserted = has_no_conflict(table->info, slot, table->estate, &there, arbiters);
			if (!is_inserted)
				break;
			token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
			table_tuple_insert_speculative(relation, slot, command, 0, NULL, token);
			insert_index_entries(table->info, slot, table->estate, true, &has_conflict, arbiters);
			table_tuple_complete_speculative(relation, slot, token, !has_conflict);
			SpeculativeInsertionLockRelease(GetCurrentTransactionId());
			if (!has_conflict)
				break;
			CHECK_FOR_INTERRUPTS();
			store_row(row, slot);
			looks_first = true;
		}
	}
	if (ctid != NULL)
		*ctid = slot->tts_tid;
	ExecDropSingleTupleTableSlot(slot);
	close_indexes(table);
	return is_inserted;
}

/* Add an identifier; false when another session has */
bool
cxm_direct_add_identifier(CxmDirect *direct, text *namespace, text *value, int64 profile_id, uint8 quarantine,
						  int64 *id, ItemPointer ctid)
{
	NewRow		row = {.number = IDENTIFIERS};

	set_column(&row, IDENTIFIER_NAMESPACE, PointerGetDatum(namespace));
	set_column(&row, IDENTIFIER_VALUE, PointerGetDatum(value));
	set_column(&row, IDENTIFIER_PROFILE_ID, Int64GetDatum(profile_id));
	set_refusal(&row, IDENTIFIER_QUARANTINED, quarantine);
	if (!insert_row(direct, &row, tables[IDENTIFIERS].index_of[BY_VALUE], ctid))
		return false;
	*id = DatumGetInt64(row.values[IDENTIFIER_ID]);
	return true;
}

/*
 * Add a link that was seen; false when another session has.  Nobody else can
 * have one to an identifier that is new.
 */
bool
cxm_direct_add_link(CxmDirect *direct, int64 a, int64 b, int32 source_id, text *evidence, bool is_verified,
					TimestampTz at, uint8 refused, bool is_new, int64 *id, ItemPointer ctid)
{
	NewRow		row = {.number = LINKS};

	set_column(&row, LINK_A, Int64GetDatum(a));
	set_column(&row, LINK_B, Int64GetDatum(b));
	set_column(&row, LINK_KIND, CStringGetTextDatum("seen"));
	set_column(&row, LINK_VERIFIED, BoolGetDatum(is_verified));
	set_column(&row, LINK_SOURCE_ID, Int32GetDatum(source_id));
	set_column(&row, LINK_EVIDENCE, PointerGetDatum(evidence));
	set_column(&row, LINK_OBSERVED_AT, TimestampTzGetDatum(at));
	set_refusal(&row, LINK_REFUSED, refused);
	if (!insert_row(direct, &row, is_new ? InvalidOid : tables[LINKS].index_of[BY_ENDS], ctid))
		return false;
	*id = DatumGetInt64(row.values[LINK_ID]);
	return true;
}

static Datum
counts_datum(const int32 *counts, int n)
{
	Datum	   *values = palloc(Max(n, 1) * sizeof(Datum));

	while (n > 0 && counts[n - 1] == 0)
		n--;
	for (int i = 0; i < n; i++)
		values[i] = Int32GetDatum(counts[i]);
	return cxm_array(values, NULL, n, INT4OID);
}

/* What a row says of a profile that stands */
static void
set_standing(NewRow *row, const CxmStanding *standing, int n)
{
	set_column(row, PROFILE_CANONICAL_ID, Int64GetDatum(standing->id));
	set_column(row, PROFILE_CHANGED_AT, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	set_column(row, PROFILE_COUNTS, counts_datum(standing->counts, n));
	set_column(row, PROFILE_IS_KNOWN, BoolGetDatum(standing->is_known));
	set_column(row, PROFILE_IS_KEPT_APART, BoolGetDatum(standing->is_kept_apart));
	set_column(row, PROFILE_WEAKEST, Int64GetDatum((int64) standing->weakest));
	set_column(row, PROFILE_WEAKEST_AT, TimestampTzGetDatum(standing->weakest_at));
}

/* And of one that has been merged into it */
static void
set_merged(NewRow *row, int64 canonical)
{
	set_standing(row, &(CxmStanding) {.id = canonical, .weakest_at = DT_NOBEGIN}, 0);
}

/* A new value for cx.profile.profile_id */
int64
cxm_direct_next_profile_id(const CxmDirect *direct)
{
	const Table *table = &tables[PROFILES];
	bool		is_null;

	return DatumGetInt64(ExecEvalExprSwitchContext(table->defaults[PROFILE_ID], GetPerTupleExprContext(table->estate),
												   &is_null));
}

/* Add a profile that stands */
void
cxm_direct_add_profile(CxmDirect *direct, const CxmStanding *standing)
{
	NewRow		row = {.number = PROFILES};

	set_column(&row, PROFILE_ID, Int64GetDatum(standing->id));
	set_standing(&row, standing, direct->rules->max_id);
	row.is_given[PROFILE_CHANGED_AT] = false;
	insert_row(direct, &row, InvalidOid, NULL);
}

/* Change the version of a row that was read; false when there is a later one */
static bool
update_row(CxmDirect *direct, TupleTableSlot *old, const NewRow *changed)
{
	const Table *table = &tables[changed->number];
	Relation	relation = direct->relations[changed->number];
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	NewRow		row = *changed;
	IndexUpdates index_updates = NO_INDEX_UPDATES;
	ItemPointerData ctid = old->tts_tid;
	LockTupleMode mode;
	TM_FailureData failure;
	TM_Result	result;

	direct->has_written = true;
	slot_getallattrs(old);
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (!row.is_given[i])
		{
			row.values[i] = slot_value(old, i);
			row.nulls[i] = slot_is_null(old, i);
		}
	}
	table->info->ri_RelationDesc = relation;
	store_row(&row, slot);
	if (RelationGetDescr(relation)->constr != NULL)
		ExecConstraints(table->info, slot, table->estate);
	result = table_tuple_update(relation, &ctid, slot, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot,
								true, &failure, &mode, &index_updates);
	if (result == TM_Ok && index_updates != NO_INDEX_UPDATES)
	{
		open_indexes(direct, table);
		insert_index_entries(table->info, slot, table->estate, false, NULL, NIL);
		close_indexes(table);
	}
	ResetPerTupleExprContext(table->estate);
	ExecDropSingleTupleTableSlot(slot);
	return result == TM_Ok;
}

/* The same of a profile that stands and was read before, by its number */
static bool
update_standing(CxmDirect *direct, int64 id, const ItemPointerData *ctid, const NewRow *changed)
{
	TupleTableSlot *old = table_slot_create(direct->relations[PROFILES], NULL);
	ItemPointerData tid = *ctid;
	bool		is_done = false;

	if (table_tuple_fetch_row_version(direct->relations[PROFILES], &tid, GetActiveSnapshot(), old))
	{
		slot_getallattrs(old);
		is_done = slot_int64(old, PROFILE_ID) == id && slot_int64(old, PROFILE_CANONICAL_ID) == id
			&& update_row(direct, old, changed);
	}
	ExecDropSingleTupleTableSlot(old);
	return is_done;
}

/* Change what is kept of such a profile */
bool
cxm_direct_update_profile(CxmDirect *direct, const ItemPointerData *ctid, const CxmStanding *standing)
{
	NewRow		changed = {.number = PROFILES};

	set_standing(&changed, standing, direct->rules->max_id);
	return update_standing(direct, standing->id, ctid, &changed);
}

/* Change a row that this call has written, and so nobody else has changed */
static void
update_own_row(CxmDirect *direct, const ItemPointerData *ctid, const NewRow *changed)
{
	Relation	relation = direct->relations[changed->number];
	TupleTableSlot *old = table_slot_create(relation, NULL);
	ItemPointerData tid = *ctid;

	if (!table_tuple_fetch_row_version(relation, &tid, GetActiveSnapshot(), old) || !update_row(direct, old, changed))
		elog(ERROR, "could not change a new row of \"%s\"", RelationGetRelationName(relation));
	ExecDropSingleTupleTableSlot(old);
}

/* Say of a link that was added why it does not hold */
void
cxm_direct_refuse_link(CxmDirect *direct, const ItemPointerData *ctid, uint8 refused)
{
	NewRow		changed = {.number = LINKS};

	set_refusal(&changed, LINK_REFUSED, refused);
	update_own_row(direct, ctid, &changed);
}

/* Put an identifier that was added into another profile than was guessed */
void
cxm_direct_move_identifier(CxmDirect *direct, const ItemPointerData *ctid, int64 profile_id)
{
	NewRow		changed = {.number = IDENTIFIERS};

	set_column(&changed, IDENTIFIER_PROFILE_ID, Int64GetDatum(profile_id));
	update_own_row(direct, ctid, &changed);
}

static void
add_change(CxmDirect *direct, int64 profile_id, int64 from, int64 to, int64 link_id, TimestampTz at)
{
	NewRow		row = {.number = CHANGES};

	set_column(&row, CHANGE_CHANGED_AT, TimestampTzGetDatum(at));
	set_column(&row, CHANGE_PROFILE_ID, Int64GetDatum(profile_id));
	row.is_given[CHANGE_IDENTIFIER_ID] = true;
	row.nulls[CHANGE_IDENTIFIER_ID] = true;
	set_column(&row, CHANGE_FROM_PROFILE, Int64GetDatum(from));
	set_column(&row, CHANGE_TO_PROFILE, Int64GetDatum(to));
	set_column(&row, CHANGE_LINK_ID, Int64GetDatum(link_id));
	set_column(&row, CHANGE_CAUSE, CStringGetTextDatum("link"));
	insert_row(direct, &row, InvalidOid, NULL);
}

/*
 * Merge a profile that was read before, and all that were merged into it,
 * into another one that this transaction has locked; false when it has
 * changed since.  The changes of a step share their time.
 */
bool
cxm_direct_merge_profile(CxmDirect *direct, int64 loser, const ItemPointerData *ctid, int64 winner, int64 link_id)
{
	TimestampTz at = GetCurrentTimestamp();
	Datum		values[1] = {Int64GetDatum(loser)};
	NewRow		changed = {.number = PROFILES};
	bool		is_done;
	IndexLookup		scan;

	set_merged(&changed, winner);
	if (!update_standing(direct, loser, ctid, &changed))
		return false;
	add_change(direct, loser, loser, winner, link_id, at);

	begin_scan(direct, PROFILES, BY_CANONICAL, values, 1, &scan);
	is_done = true;
	while (is_done && next_row(&scan))
	{
		int64		stub = slot_int64(scan.slot, PROFILE_ID);

		CHECK_FOR_INTERRUPTS();
		set_merged(&changed, winner);
		is_done = update_row(direct, scan.slot, &changed);
		if (is_done)
			add_change(direct, stub, loser, winner, link_id, at);
	}
	end_scan(&scan);
	return is_done;
}
