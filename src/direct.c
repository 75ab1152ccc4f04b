/*
 * src/direct.c
 *		Single rows of the store's tables, read and written without a plan.
 *
 * To start and end a statement costs several times what the few rows cost
 * that it is about.  So these are looked up by an index and written here, in
 * the steps that the executor takes: privileges, defaults, NOT NULL and CHECK
 * constraints, the row, its index entries.
 *
 * That holds only for tables that are as the store makes them.  Where the
 * rows of one are seen or changed by anything else, such as row security,
 * triggers, rules, columns or functions of the user's, or where the caller
 * has been granted single columns only, a table cannot be opened here, and the
 * callers run statements instead.
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
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "direct.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "rewrite/rewriteHandler.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
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

/* all tables that were looked at in this session */
static CxmTable *tables = NULL;

/*
 * What a table is like
 */

static bool
is_column(TupleDesc desc, int number, const CxmColumn *column)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, number - 1);

	return !attribute->attisdropped && attribute->atttypid == column->type
		&& strcmp(NameStr(attribute->attname), column->name) == 0;
}

/*
 * The number of a column, for tables that may have others between those that
 * the store gives them, such as partitions that were attached; 0 if there is
 * none.  *last is where it was in the last table, and mostly is.
 */
int
cxm_find_column(TupleDesc desc, const CxmColumn *column, int *last)
{
	if (*last > 0 && *last <= desc->natts && is_column(desc, *last, column))
		return *last;
	for (int number = 1; number <= desc->natts; number++)
	{
		if (is_column(desc, number, column))
			return *last = number;
	}
	return 0;
}

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
has_columns(const CxmTable *table, TupleDesc desc)
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

/* Does the store make an index or a constraint of that name with the table? */
static bool
is_part(const CxmTable *table, const char *name)
{
	for (const char *const *part = table->parts; part != NULL && *part != NULL; part++)
	{
		if (strcmp(*part, name) == 0)
			return true;
	}
	return false;
}

/* Look at the CHECK constraints, and note the columns that they are about */
static bool
has_plain_checks(CxmTable *table, TupleDesc desc)
{
	table->checked = NULL;
	table->checks = NIL;
	for (int i = 0; desc->constr != NULL && i < desc->constr->num_check; i++)
	{
		Node	   *check = stringToNode(desc->constr->check[i].ccbin);

		if (calls_users(check, NULL))
			return false;
		pull_varattnos(check, 1, &table->checked);
		table->is_untouched &= is_part(table, desc->constr->check[i].ccname);
		if (table->is_untouched)
			table->checks = lappend(table->checks, ExecPrepareExpr((Expr *) check, table->estate));
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
has_triggers(const CxmTable *table, const TriggerDesc *triggers)
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
matches_key(const CxmKey *key, Relation index, const IndexInfo *info)
{
	if (!index->rd_index->indisvalid || index->rd_index->indcheckxmin
		|| info->ii_NumIndexKeyAttrs != key->n || (key->is_unique && !info->ii_Unique)
		|| (key->has_where == NULL ? info->ii_Predicate != NIL : !key->has_where(info->ii_Predicate)))
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
has_plain_indexes(CxmTable *table, Relation relation)
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

		is_plain &= index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indimmediate
			&& index_info->ii_ExclusionOps == NULL && index_info->ii_Expressions == NIL
			&& !calls_users((Node *) index_info->ii_Predicate, NULL);
		for (int key = 0; key < table->nkeys; key++)
		{
			if (!matches_key(&table->keys[key], index, index_info))
				continue;
			table->index_of[key] = lfirst_oid(cell);
			if (table->keys[key].is_unique)
				BuildSpeculativeIndexInfo(index, index_info);
		}
		table->is_untouched &= is_part(table, RelationGetRelationName(index));
		table->indexes[info->ri_NumIndices] = lfirst_oid(cell);
		info->ri_IndexRelationInfo[info->ri_NumIndices++] = index_info;
		index_close(index, AccessShareLock);
	}
	for (int key = 0; key < table->nkeys; key++)
		is_plain &= OidIsValid(table->index_of[key]);
	return is_plain;
}

/* Nothing can go wrong when it is worked out, nor does the value go away with what it was worked out in */
static bool
cannot_fail(const Node *expression, bool by_value)
{
	if (IsA(expression, Const))
		return true;
	if (!by_value)
		return false;
	return IsA(expression, FuncExpr) && (((const FuncExpr *) expression)->funcid == F_CLOCK_TIMESTAMP
										 || ((const FuncExpr *) expression)->funcid == F_PG_CURRENT_XACT_ID);
}

/* Does a sequence count up as far as numbers go, which takes longer than anybody will wait? */
static bool
is_endless(Oid sequence)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	bool		is_endless = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_sequence form = (Form_pg_sequence) GETSTRUCT(tuple);

		is_endless = form->seqincrement == 1 && form->seqmax == PG_INT64_MAX;
		ReleaseSysCache(tuple);
	}
	return is_endless;
}

/* What is to be put where a row says nothing; false when that takes more than the server's own functions */
static bool
has_plain_defaults(CxmTable *table, Relation relation)
{
	table->defaults = palloc0(table->ncolumns * sizeof(ExprState *));
	table->sequence = InvalidOid;
	for (int i = 0; i < table->ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), i);
		Node	   *expression;

		/* their types have none */
		if (!column->atthasdef && column->attidentity == '\0')
			continue;
		expression = build_column_default(relation, i + 1);
		if (expression == NULL)
			continue;
		if (calls_users(expression, NULL))
			return false;
		if (i == 0 && IsA(expression, NextValueExpr))
		{
			table->sequence = ((const NextValueExpr *) expression)->seqid;
			table->sequence_hash = GetSysCacheHashValue1(SEQRELID, ObjectIdGetDatum(table->sequence));
			table->is_untouched &= is_endless(table->sequence);
		}
		else
			table->is_untouched &= cannot_fail(expression, column->attbyval);
		table->defaults[i] = ExecPrepareExpr((Expr *) expression, table->estate);
	}
	/* numbers come from there */
	return table->defaults[0] != NULL;
}

/* All of it is read, and neither indexes nor what may be written matter */
static bool
is_only_scanned(const CxmTable *table)
{
	return table->nkeys == 0 && !table->is_inserted_into && !table->is_updated;
}

static void
examine(CxmTable *table, Relation relation)
{
	MemoryContext old;

	table->is_plain = false;
	table->is_known = false;
	table->is_untouched = table->parts != NULL;
	memset(table->index_of, 0, sizeof(table->index_of));
	if (table->context != NULL)
		MemoryContextDelete(table->context);
	table->context = NULL;
	table->context = AllocSetContextCreate(CacheMemoryContext, "cxm table", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(table->context);
	table->info = NULL;
	table->relid = RelationGetRelid(relation);

	/* said first: who changes the table while it is looked at makes this unknown again */
	table->is_known = true;
	if (relation->rd_rel->relkind != RELKIND_RELATION || relation->rd_rel->relispartition
		|| relation->rd_rel->relam != HEAP_TABLE_AM_OID
		|| relation->rd_rel->relhassubclass || relation->rd_rel->relrowsecurity || relation->rd_rules != NULL
		|| has_triggers(table, relation->trigdesc) || !has_columns(table, RelationGetDescr(relation)))
		table->is_plain = false;
	else if (is_only_scanned(table))
		table->is_plain = true;
	else
	{
		table->estate = CreateExecutorState();
		table->info = makeNode(ResultRelInfo);
		InitResultRelInfo(table->info, relation, 0, NULL, 0);
		table->is_plain = has_plain_checks(table, RelationGetDescr(relation)) && has_plain_indexes(table, relation)
			&& (!table->is_inserted_into || has_plain_defaults(table, relation));
	}
	MemoryContextSwitchTo(old);
}

/* What is known of a table, or of all (InvalidOid), may be so no more */
static void
forget_table(Datum arg, Oid relid)
{
	for (CxmTable *table = tables; table != NULL; table = table->next)
	{
		if (relid == InvalidOid || relid == table->relid)
		{
			table->is_known = false;
			table->user = InvalidOid;
		}
		if (table->info == NULL || !table->is_plain)
			continue;
		for (int i = 0; table->is_known && i < table->info->ri_NumIndices; i++)
		{
			if (table->indexes[i] == relid)
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

/* A sequence, or (0) any, may have been given another end */
static void
forget_sequence(Datum arg, int cache, uint32 hash)
{
	for (CxmTable *table = tables; table != NULL; table = table->next)
	{
		if (OidIsValid(table->sequence) && (hash == 0 || hash == table->sequence_hash))
			table->is_known = false;
	}
}

/* Have what is known of the table forgotten when it changes */
static void
list_table(CxmTable *table)
{
	static bool is_registered = false;

	if (!is_registered)
	{
		CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, forget_names, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, forget_names, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_names, (Datum) 0);
		CacheRegisterSyscacheCallback(SEQRELID, forget_sequence, (Datum) 0);
		is_registered = true;
	}
	if (!table->is_listed)
	{
		table->next = tables;
		tables = table;
		table->is_listed = true;
	}
}

static bool
may_use_schema(Oid schema, Oid user)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, user, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, user, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/* Has the user these on a table that is open?  What is found out is good until somebody grants or revokes */
bool
cxm_table_allows(CxmTable *table, AclMode privileges)
{
	Oid			user = GetUserId();

	if (table->user != user)
		table->privileges = ACL_NO_RIGHTS;
	table->user = user;
	if ((table->privileges & privileges) != privileges
		&& may_use_schema(get_rel_namespace(table->relid), user)
		&& pg_class_aclmask(table->relid, user, privileges, ACLMASK_ALL) == privileges)
		table->privileges |= privileges;
	return (table->privileges & privileges) == privileges;
}

static bool
may_open(AclMode privileges)
{
	return ExecutorCheckPerms_hook == NULL && !IsInParallelMode() && (!XactReadOnly || privileges == ACL_SELECT);
}

/*
 * Open a table, to be closed with relation_close(); NULL if its rows are not
 * to be had here by whoever asks.  The lock is that of a writer, which also
 * keeps the indexes as they are: they need no locks of their own, which would
 * be more than a session has room for.  Where no index matters it is that of
 * a reader.
 */
Relation
cxm_table_open(CxmTable *table, AclMode privileges)
{
	LOCKMODE	mode = is_only_scanned(table) ? AccessShareLock : RowExclusiveLock;
	Relation	relation;

	if (!may_open(privileges))
		return NULL;
	list_table(table);
	if (!table->is_known)
	{
		Oid			schema = get_namespace_oid("cx", true);

		table->relid = OidIsValid(schema) ? get_relname_relid(table->name, schema) : InvalidOid;
	}
	relation = OidIsValid(table->relid) ? try_relation_open(table->relid, mode) : NULL;
	if (relation == NULL)
		return NULL;
	/* by that name, now that it is locked? */
	if (!table->is_known && strcmp(RelationGetRelationName(relation), table->name) == 0
		&& get_namespace_oid("cx", true) == RelationGetNamespace(relation))
		examine(table, relation);
	if (table->is_known && table->is_plain && cxm_table_allows(table, privileges))
		return relation;
	relation_close(relation, NoLock);
	return NULL;
}

/*
 * Open a table that is known, to write prepared rows to it; NULL if that
 * would have to wait, or a row might be refused by what somebody added.
 */
Relation
cxm_table_open_at_once(CxmTable *table, AclMode privileges)
{
	/* the locks come with what others have changed; that of the sequence is the one that its next number takes */
	if (!may_open(privileges) || !table->is_known || !OidIsValid(table->relid)
		|| !ConditionalLockRelationOid(table->relid, RowExclusiveLock)
		|| (OidIsValid(table->sequence) && !ConditionalLockRelationOid(table->sequence, RowExclusiveLock))
		|| !table->is_known || !table->is_plain || !table->is_untouched || !cxm_table_allows(table, privileges))
		return NULL;
	return try_relation_open(table->relid, NoLock);
}

/*
 * Reading
 */

/* An index of a table that is open */
static Relation
open_index(Oid relid)
{
	Relation	index = RelationIdGetRelation(relid);

	if (index == NULL)
		elog(ERROR, "could not open index with OID %u", relid);
	return index;
}

static void
begin_scan(Relation relation, const ScanKeyData *keys, int n, CxmLookup *lookup)
{
	lookup->relation = relation;
	lookup->buffer = InvalidBuffer;
	lookup->slot = table_slot_create(relation, NULL);
	lookup->scan = begin_index_scan(relation, lookup->index, GetActiveSnapshot(), n);
	index_rescan(lookup->scan, unconstify(ScanKeyData *, keys), n, NULL, 0);
}

/* Look up the rows whose first columns of a key have these values */
void
cxm_begin_lookup(const CxmTable *table, Relation relation, int key, const Datum *values, int n, CxmLookup *lookup)
{
	ScanKeyData keys[CXM_MAX_KEY];

	lookup->index = open_index(table->index_of[key]);
	for (int i = 0; i < n; i++)
	{
		Oid			type = table->columns[table->keys[key].columns[i]].type;

		ScanKeyEntryInitialize(&keys[i], 0, (AttrNumber) (i + 1), BTEqualStrategyNumber, InvalidOid,
							   lookup->index->rd_indcollation[i],
							   type == TEXTOID ? F_TEXTEQ : type == INT4OID ? F_INT4EQ : F_INT8EQ, values[i]);
	}
	begin_scan(relation, keys, n, lookup);
}

/* Look up the rows whose first column of a key, a bigint, is at least that, ascending */
void
cxm_begin_lookup_from(const CxmTable *table, Relation relation, int key, int64 from, CxmLookup *lookup)
{
	ScanKeyData bound;

	lookup->index = open_index(table->index_of[key]);
	ScanKeyEntryInitialize(&bound, 0, 1, BTGreaterEqualStrategyNumber, InvalidOid, InvalidOid, F_INT8GE,
						   Int64GetDatum(from));
	begin_scan(relation, &bound, 1, lookup);
}

/*
 * Is there too little room on a page for another two versions of rows as long
 * as those that it has?  A row that was changed may have two line pointers.
 */
static bool
is_nearly_full(Page page)
{
	Size		used = ((PageHeader) page)->pd_special - ((PageHeader) page)->pd_upper;

	return PageIsFull(page) || PageGetHeapFreeSpace(page) * PageGetMaxOffsetNumber(page) < 4 * used;
}

/*
 * Read the version that is seen of the row that an index entry leads to, as
 * table_index_fetch_tuple() does, except for pruning: a table with a
 * fillfactor has its pages pruned by that each time after a row has changed,
 * which costs more than all the rest.  Here that waits until the room is
 * needed.
 */
static bool
fetch_version(CxmLookup *lookup, const ItemPointerData *tid)
{
	BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) lookup->slot;
	ItemPointerData ctid = *tid;
	bool		all_dead = false;
	bool		is_found;

	lookup->buffer = ReleaseAndReadBuffer(lookup->buffer, lookup->relation, ItemPointerGetBlockNumber(&ctid));
	if (is_nearly_full(BufferGetPage(lookup->buffer)))
		heap_page_prune_opt(lookup->relation, lookup->buffer);
	LockBuffer(lookup->buffer, BUFFER_LOCK_SHARE);
	is_found = heap_hot_search_buffer(&ctid, lookup->relation, lookup->buffer, lookup->scan->xs_snapshot,
									  &slot->base.tupdata, &all_dead, true);
	LockBuffer(lookup->buffer, BUFFER_LOCK_UNLOCK);
	if (is_found)
	{
		pgstat_count_heap_fetch(lookup->index);
		slot->base.base.tts_tableOid = RelationGetRelid(lookup->relation);
		ExecStoreBufferHeapTuple(&slot->base.tupdata, lookup->slot, lookup->buffer);
	}
	/* the index is told, so that nobody follows that entry again */
	lookup->scan->kill_prior_tuple = all_dead && !lookup->scan->xactStartedInRecovery;
	return is_found;
}

/* The next of them, in lookup->slot */
bool
cxm_next_row(CxmLookup *lookup)
{
	ItemPointer tid;

	while ((tid = index_getnext_tid(lookup->scan, ForwardScanDirection)) != NULL)
	{
		if (!fetch_version(lookup, tid))
			continue;
		slot_getallattrs(lookup->slot);
		return true;
	}
	return false;
}

void
cxm_end_lookup(CxmLookup *lookup)
{
	if (BufferIsValid(lookup->buffer))
		ReleaseBuffer(lookup->buffer);
	index_endscan(lookup->scan);
	ExecDropSingleTupleTableSlot(lookup->slot);
	RelationClose(lookup->index);
}

/* Read all rows of a table that is open */
void
cxm_read_rows(Relation relation, void (*reader) (TupleTableSlot *slot, void *state), void *state)
{
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		reader(slot, state);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Writing
 */

/* What a column gets when a row says nothing of it */
Datum
cxm_column_default(const CxmTable *table, int column, bool *is_null)
{
	*is_null = table->defaults[column] == NULL;
	if (*is_null)
		return (Datum) 0;
	return ExecEvalExprSwitchContext(table->defaults[column], GetPerTupleExprContext(table->estate), is_null);
}

static void
add_defaults(CxmNewRow *row)
{
	for (int i = 0; i < row->table->ncolumns; i++)
	{
		if (!row->is_given[i])
			row->values[i] = cxm_column_default(row->table, i, &row->nulls[i]);
	}
}

static void
store_row(const CxmNewRow *row, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->values, row->table->ncolumns * sizeof(Datum));
	memcpy(slot->tts_isnull, row->nulls, row->table->ncolumns * sizeof(bool));
	ExecStoreVirtualTuple(slot);
}

static bool
meets_checks(const CxmNewRow *row, Relation relation)
{
	ExprContext *context = GetPerTupleExprContext(row->table->estate);
	TupleTableSlot *slot;
	bool		holds = true;
	ListCell   *cell;

	if (row->meets_checks || row->table->checks == NIL)
		return true;
	slot = table_slot_create(relation, NULL);
	store_row(row, slot);
	context->ecxt_scantuple = slot;
	foreach(cell, row->table->checks)
		holds = holds && ExecCheck(lfirst(cell), context);
	context->ecxt_scantuple = NULL;
	ExecDropSingleTupleTableSlot(slot);
	return holds;
}

/*
 * Fill in all that is not given in a row of a table that was opened at once.
 * Then it can be inserted without an error, by cxm_insert_prepared(), or (false)
 * not in this way.
 */
bool
cxm_prepare_row(Relation relation, CxmNewRow *row)
{
	add_defaults(row);
	for (int i = 0; i < row->table->ncolumns; i++)
	{
		if (row->nulls[i] && TupleDescAttr(RelationGetDescr(relation), i)->attnotnull)
			return false;
	}
	return meets_checks(row, relation);
}

/* The indexes of a table, to be written to till close_indexes() */
static void
open_indexes(const CxmTable *table, Relation relation)
{
	table->info->ri_RelationDesc = relation;
	for (int i = 0; i < table->info->ri_NumIndices; i++)
		table->info->ri_IndexRelationDescs[i] = open_index(table->indexes[i]);
}

static void
close_indexes(const CxmTable *table)
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
 * Insert a row; its number is in row->values[0] then.  Where another session
 * has a row with that unique key, or is about to, it is waited for, and nothing
 * is inserted if the row is there to stay: false.  The caller has just found
 * none, so that is looked into only after the insertion has met one.  With
 * CXM_NO_KEY such a row is an error.
 */
bool
cxm_insert_row(Relation relation, CxmNewRow *row, int key, ItemPointer ctid)
{
	const CxmTable *table = row->table;
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	CommandId	command = GetCurrentCommandId(true);
	List	   *arbiters = key == CXM_NO_KEY ? NIL : list_make1_oid(table->index_of[key]);
	bool		is_inserted = true;

	open_indexes(table, relation);
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

/*
 * Insert a prepared row; false when a key of it is taken, or may be, and
 * nothing was inserted.  An index tells this as it takes the entry, so it is
 * cheaper than ON CONFLICT; but for others the row that is taken back then is
 * in their way until the transaction ends, so this is for keys that nobody else
 * comes with.
 */
bool
cxm_insert_prepared(Relation relation, CxmNewRow *row, ItemPointer ctid)
{
	const CxmTable *table = row->table;
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	bool		has_conflict = false;

	open_indexes(table, relation);
	store_row(row, slot);
	table_tuple_insert(relation, slot, GetCurrentCommandId(true), 0, NULL);
	insert_index_entries(table->info, slot, table->estate, true, &has_conflict, NIL);
	*ctid = slot->tts_tid;
	ExecDropSingleTupleTableSlot(slot);
	close_indexes(table);
	if (has_conflict)
		cxm_take_back_row(relation, ctid);
	return !has_conflict;
}

/* Delete a row that this command has inserted */
void
cxm_take_back_row(Relation relation, const ItemPointerData *ctid)
{
	ItemPointerData tid = *ctid;

	CommandCounterIncrement();
	simple_heap_delete(relation, &tid);
	CommandCounterIncrement();
}

/* Lock the version of a row that was read, without waiting: false when there is a later one, or it is locked already */
bool
cxm_lock_row(Relation relation, TupleTableSlot *slot)
{
	ItemPointerData ctid = slot->tts_tid;
	TM_FailureData failure;
	bool		is_locked = table_tuple_lock(relation, &ctid, GetActiveSnapshot(), slot, GetCurrentCommandId(false),
											 LockTupleNoKeyExclusive, LockWaitSkip, 0, &failure) == TM_Ok;

	if (is_locked)
		slot_getallattrs(slot);
	return is_locked;
}

/* Might values that are changed break a constraint?  The others have kept them as they are. */
static bool
is_constrained(TupleDesc desc, const CxmNewRow *changed)
{
	const CxmTable *table = changed->table;

	/* one about the row as a whole */
	if (bms_is_member(-FirstLowInvalidHeapAttributeNumber, table->checked))
		return true;
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (changed->is_given[i]
			&& (TupleDescAttr(desc, i)->attnotnull
				|| bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, table->checked)))
			return true;
	}
	return false;
}

/* Change the version of a row that was read; false when there is a later one, or, unless it waits, somebody locks it */
bool
cxm_update_row(Relation relation, TupleTableSlot *old, const CxmNewRow *changed, bool waits)
{
	const CxmTable *table = changed->table;
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	CxmNewRow	row = *changed;
	IndexUpdates index_updates = NO_INDEX_UPDATES;
	ItemPointerData ctid = old->tts_tid;
	LockTupleMode mode;
	TM_FailureData failure;
	TM_Result	result;

	slot_getallattrs(old);
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (!row.is_given[i])
		{
			row.values[i] = old->tts_values[i];
			row.nulls[i] = old->tts_isnull[i];
		}
	}
	table->info->ri_RelationDesc = relation;
	store_row(&row, slot);
	if (is_constrained(RelationGetDescr(relation), changed))
		ExecConstraints(table->info, slot, table->estate);
	result = table_tuple_update(relation, &ctid, slot, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot,
								waits, &failure, &mode, &index_updates);
	if (result == TM_Ok && index_updates != NO_INDEX_UPDATES)
	{
		open_indexes(table, relation);
		insert_index_entries(table->info, slot, table->estate, false, NULL, NIL);
		close_indexes(table);
	}
	ResetPerTupleExprContext(table->estate);
	ExecDropSingleTupleTableSlot(slot);
	return result == TM_Ok;
}
