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
#include "catalog/pg_opfamily.h"
#include "commands/trigger.h"
#include "direct.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#if PG_VERSION_NUM >= 160000
#define insert_index_entries(info, slot, estate) ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL, false)
#else
#define insert_index_entries(info, slot, estate) ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL)
#endif

/* all that were looked at in this session */
static CxmTable *tables = NULL;

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

static bool
has_triggers(const CxmTable *table, const TriggerDesc *triggers)
{
	if (triggers == NULL)
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
has_plain_defaults(CxmTable *table, Relation relation)
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
examine(CxmTable *table, Relation relation)
{
	MemoryContext old;

	table->is_plain = false;
	table->is_known = false;
	memset(table->index_of, 0, sizeof(table->index_of));
	if (table->context != NULL)
		MemoryContextDelete(table->context);
	table->context = NULL;
	table->context = AllocSetContextCreate(CacheMemoryContext, "cxm table", ALLOCSET_SMALL_SIZES);
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
	for (CxmTable *table = tables; table != NULL; table = table->next)
	{
		if (relid == InvalidOid || relid == table->relid)
			table->is_known = false;
		for (int i = 0; table->is_known && table->is_plain && i < table->info->ri_NumIndices; i++)
		{
			if (table->indexes[i] == relid)
				table->is_known = false;
		}
	}
}

/* Have what is known of the table forgotten when it changes */
static void
list_table(CxmTable *table)
{
	if (table->is_listed)
		return;
	if (tables == NULL)
		CacheRegisterRelcacheCallback(forget_table, (Datum) 0);
	table->next = tables;
	table->is_listed = true;
	tables = table;
}

/*
 * Open a table, to be closed with relation_close(); NULL if its rows are not
 * to be had here by whoever asks.
 */
Relation
cxm_table_open(CxmTable *table, Oid schema, LOCKMODE lock, AclMode privileges)
{
	Oid			relid;
	Relation	relation;

	if (!OidIsValid(schema) || ExecutorCheckPerms_hook != NULL || IsInParallelMode()
		|| (XactReadOnly && lock > AccessShareLock))
		return NULL;
	relid = get_relname_relid(table->name, schema);
	if (!OidIsValid(relid) || pg_class_aclmask(relid, GetUserId(), privileges, ACLMASK_ALL) != privileges)
		return NULL;
	relation = try_relation_open(relid, lock);
	if (relation == NULL)
		return NULL;
	list_table(table);
	if (!table->is_known || table->relid != relid)
		examine(table, relation);
	if (table->is_plain)
		return relation;
	relation_close(relation, NoLock);
	return NULL;
}

/* What the row says nothing of */
static void
add_defaults(const CxmTable *table, CxmNewRow *row)
{
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

/* The indexes of the table, to be written to till close_indexes(); the locks stay, for the next row */
static void
open_indexes(const CxmTable *table, Relation relation)
{
	table->info->ri_RelationDesc = relation;
	for (int i = 0; i < table->info->ri_NumIndices; i++)
		table->info->ri_IndexRelationDescs[i] = index_open(table->indexes[i], RowExclusiveLock);
}

static void
close_indexes(const CxmTable *table)
{
	for (int i = 0; i < table->info->ri_NumIndices; i++)
	{
		index_close(table->info->ri_IndexRelationDescs[i], NoLock);
		table->info->ri_IndexRelationDescs[i] = NULL;
	}
	table->info->ri_RelationDesc = NULL;
	ResetPerTupleExprContext(table->estate);
}

/*
 * Insert a row.  Its number is in row->values[0] then; values by reference
 * that came from defaults are not.
 */
void
cxm_table_insert(CxmTable *table, Relation relation, CxmNewRow *row)
{
	TupleTableSlot *slot = table_slot_create(relation, NULL);

	open_indexes(table, relation);
	add_defaults(table, row);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->values, table->ncolumns * sizeof(Datum));
	memcpy(slot->tts_isnull, row->nulls, table->ncolumns * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	if (RelationGetDescr(relation)->constr != NULL)
		ExecConstraints(table->info, slot, table->estate);
	table_tuple_insert(relation, slot, GetCurrentCommandId(true), 0, NULL);
	insert_index_entries(table->info, slot, table->estate);
	ExecDropSingleTupleTableSlot(slot);
	close_indexes(table);
}
