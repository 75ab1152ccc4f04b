/*
 * src/partition.c
 *		Whether a table has the partitions whose rows are counted.
 *
 * Journeys and rollups are kept by statement triggers.  What comes or goes
 * with a whole partition, by ATTACH, DETACH or DROP, fires none, and a
 * partition that somebody else made has none, so what is written straight into
 * it is not seen either.  So cx.partition_set says which partitions each
 * journey or rollup counts, and whoever reads or folds compares that, in the
 * snapshot at hand, with those that the table has now, and goes no further
 * when they differ.  A partition without rows makes no difference.
 *
 * Partitions that were there for a while, and written to through the table, are
 * in what was counted, and no comparison afterwards tells.  So a writer who
 * finds partitions that are not known leaves a mark: a row of cx.partition_set
 * without partitions.  One who may, and finds them before the first row goes
 * in, makes them known: of what is in them the triggers then see all.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "partition.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* partitions of a table that were as they are known to be when a writer looked */
typedef struct Known
{
	struct Known *next;
	int32		rollup_id;
	Oid			source;
	bool		is_good;
	int			n;
	Oid		   *members;		/* ascending */
} Known;

static Known *known_sets = NULL;

/*
 * Rows of the store, without a statement
 */

/* False when there is no such table */
bool
cxm_begin_store_scan(CxmStoreScan *scan, const char *table, const char *index, const char *key, int32 value,
					 Snapshot snapshot)
{
	Oid			schema = get_namespace_oid("cx", true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid(table, schema) : InvalidOid;
	Oid			index_id;
	ScanKeyData condition;
	AttrNumber	number;

	if (!OidIsValid(relid))
		return false;
	index_id = get_relname_relid(index, schema);
	scan->relation = table_open(relid, AccessShareLock);
	number = get_attnum(relid, key);
	if (number <= 0 || get_atttype(relid, number) != INT4OID)
		elog(ERROR, "table cx.%s has no integer column %s", table, key);
	ScanKeyInit(&condition, number, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(value));
	scan->scan = systable_beginscan(scan->relation, index_id, OidIsValid(index_id), snapshot, 1, &condition);
	return true;
}

HeapTuple
cxm_next_store_row(CxmStoreScan *scan)
{
	return systable_getnext(scan->scan);
}

Datum
cxm_store_column(const CxmStoreScan *scan, HeapTuple row, const char *column, bool *is_null)
{
	AttrNumber	number = get_attnum(RelationGetRelid(scan->relation), column);

	if (number <= 0)
		elog(ERROR, "table cx.%s has no column %s", RelationGetRelationName(scan->relation), column);
	return heap_getattr(row, number, RelationGetDescr(scan->relation), is_null);
}

void
cxm_end_store_scan(CxmStoreScan *scan)
{
	systable_endscan(scan->scan);
	table_close(scan->relation, NoLock);
}

/*
 * Comparing
 */

static int
compare_oids(const void *a, const void *b)
{
	Oid			x = *(const Oid *) a;
	Oid			y = *(const Oid *) b;

	return (x > y) - (x < y);
}

/*
 * A partition that has no rows in a snapshot need not be known there: so one
 * that was made, and known, since the snapshot was taken is in nobody's way.
 * Without a snapshot it must have had none at all.
 */
static bool
is_empty(Oid relid, Snapshot snapshot)
{
	Relation	relation = try_relation_open(relid, AccessShareLock);
	bool		is_one;

	if (relation == NULL)
		return false;
	is_one = relation->rd_rel->relkind == RELKIND_RELATION && RelationGetNumberOfBlocks(relation) == 0;
	if (!is_one && snapshot != NULL && relation->rd_rel->relkind == RELKIND_RELATION)
	{
		TupleTableSlot *slot = table_slot_create(relation, NULL);
		TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);

		is_one = !table_scan_getnextslot(scan, ForwardScanDirection, slot);
		table_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
	}
	relation_close(relation, NoLock);
	return is_one;
}

/*
 * Are the partitions of a table those of a set, and others empty?  nfound
 * counts those of the set, nempty the others.
 */
static bool
match_partitions(Oid relid, bool is_parent_known, const Oid *set, int nset, Snapshot snapshot, int *nfound,
				 int *nempty)
{
	Relation	relation = try_relation_open(relid, AccessShareLock);
	PartitionDesc partitions;
	bool		is_same = true;

	check_stack_depth();
	if (relation == NULL)
		return false;
	partitions = RelationGetPartitionDesc(relation, true);
	for (int i = 0; is_same && i < partitions->nparts; i++)
	{
		Oid			member = partitions->oids[i];
		bool		is_known = nset > 0 && bsearch(&member, set, nset, sizeof(Oid), compare_oids) != NULL;

		/* statements on a parent that is not known are seen by no trigger, whatever they write to */
		if (is_known && is_parent_known)
			(*nfound)++;
		else if (is_known)
			is_same = false;
		else
			(*nempty)++;
		if (!partitions->is_leaf[i])
			is_same = is_same && match_partitions(member, is_known, set, nset, snapshot, nfound, nempty);
		else if (!is_known)
			is_same = is_same && is_empty(member, snapshot);
	}
	relation_close(relation, NoLock);
	return is_same;
}

/* Add partitions to a set of OIDs, which is ascending */
static void
read_set(Datum array, Oid **members, int *n)
{
	ArrayType  *set = DatumGetArrayTypeP(array);
	int			nmore = ArrayGetNItems(ARR_NDIM(set), ARR_DIMS(set));
	int			nkept = 0;

	if (ARR_HASNULL(set) || ARR_ELEMTYPE(set) != REGCLASSOID)
		elog(ERROR, "a set of partitions is not one of tables");
	*members = *members == NULL ? palloc(Max(nmore, 1) * sizeof(Oid))
		: repalloc(*members, Max(*n + nmore, 1) * sizeof(Oid));
	memcpy(*members + *n, ARR_DATA_PTR(set), nmore * sizeof(Oid));
	nmore += *n;
	for (int i = 1; i < nmore; i++)
	{
		if ((*members)[i] <= (*members)[i - 1])
		{
			qsort(*members, nmore, sizeof(Oid), compare_oids);
			break;
		}
	}
	for (int i = 0; i < nmore; i++)
	{
		if (nkept == 0 || (*members)[i] != (*members)[nkept - 1])
			(*members)[nkept++] = (*members)[i];
	}
	*n = nkept;
}

/* In one that is a parent or child without partitioning, statements on others write */
static bool
inherits(Relation relation)
{
	return relation->rd_rel->relispartition || has_superclass(RelationGetRelid(relation))
		|| (relation->rd_rel->relkind == RELKIND_RELATION && relation->rd_rel->relhassubclass
			&& find_inheritance_children(RelationGetRelid(relation), NoLock) != NIL);
}

/*
 * As cxm_check_partitions(), of a partitioned table.  The set is given, and
 * whether it is that of all partitions, and whether somebody left a mark.
 */
static CxmPartitions
check_set(int32 rollup_id, Oid source, Snapshot snapshot, bool is_writer, Oid **set, int *nset, bool *is_exact,
		  bool *is_marked)
{
	CxmStoreScan scan;
	HeapTuple	row;
	int			nfound = 0;
	int			nempty = 0;

	*set = NULL;
	*nset = 0;
	*is_marked = false;
	if (!cxm_begin_store_scan(&scan, "partition_set", "partition_set_rollup_id_idx", "rollup_id", rollup_id, snapshot))
		return CXM_PARTITIONS_CHANGED;
	while ((row = cxm_next_store_row(&scan)) != NULL)
	{
		bool		is_null;
		Datum		value = cxm_store_column(&scan, row, "source", &is_null);

		if (is_null || DatumGetObjectId(value) != source)
			continue;
		value = cxm_store_column(&scan, row, "partitions", &is_null);
		if (is_null)
			*is_marked = true;
		else
			read_set(value, set, nset);
	}
	cxm_end_store_scan(&scan);
	if (*set == NULL || (*is_marked && !is_writer)
		|| !match_partitions(source, true, *set, *nset, is_writer ? NULL : snapshot, &nfound, &nempty)
		|| nfound != *nset)
		return CXM_PARTITIONS_CHANGED;
	*is_exact = nempty == 0;
	return *is_marked ? CXM_PARTITIONS_CHANGED : CXM_PARTITIONS_KNOWN;
}

/*
 * Has a table the partitions that are counted, in the snapshot at hand?  What
 * it has now is looked at after the snapshot was taken, under a lock like that
 * of a query on the table.
 */
CxmPartitions
cxm_check_partitions(int32 rollup_id, Oid source)
{
	Relation	relation = try_relation_open(source, AccessShareLock);
	CxmPartitions result = CXM_PARTITIONS_CHANGED;

	if (relation == NULL)
		return result;
	if (inherits(relation))
		result = CXM_PARTITIONS_INHERIT;
	else if (relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		result = CXM_PARTITIONS_KNOWN;
	else
	{
		Oid		   *set;
		int			n;
		bool		is_exact;
		bool		is_marked;

		result = check_set(rollup_id, source, GetActiveSnapshot(), false, &set, &n, &is_exact, &is_marked);
	}
	relation_close(relation, NoLock);
	return result;
}

/*
 * Marking
 */

static void
forget_set(Datum argument, Oid relid)
{
	for (Known *known = known_sets; known != NULL; known = known->next)
	{
		if (relid == InvalidOid || relid == known->source
			|| (known->n > 0 && bsearch(&relid, known->members, known->n, sizeof(Oid), compare_oids) != NULL))
			known->is_good = false;
	}
}

static Known *
find_known(int32 rollup_id, Oid source)
{
	static bool is_registered = false;
	Known	   *known = known_sets;

	if (!is_registered)
	{
		CacheRegisterRelcacheCallback(forget_set, (Datum) 0);
		is_registered = true;
	}
	while (known != NULL && (known->rollup_id != rollup_id || known->source != source))
		known = known->next;
	if (known == NULL)
	{
		known = MemoryContextAllocZero(CacheMemoryContext, sizeof(Known));
		known->rollup_id = rollup_id;
		known->source = source;
		known->next = known_sets;
		known_sets = known;
	}
	return known;
}

static void
keep_set(Known *known, const Oid *set, int n)
{
	Oid		   *members = MemoryContextAlloc(CacheMemoryContext, Max(n, 1) * sizeof(Oid));

	known->n = 0;
	if (known->members != NULL)
		pfree(known->members);
	known->members = memcpy(members, set, n * sizeof(Oid));
	known->n = n;
}

/* A row of cx.partition_set: with a partition that is known from now on, or without one, a mark */
static void
write_set(int32 rollup_id, Oid source, Oid partition)
{
	Oid			schema = get_namespace_oid("cx", true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid("partition_set", schema) : InvalidOid;
	Relation	relation;
	Datum	   *values;
	bool	   *nulls;

	/* a store that was made before there was the table is refused by whoever reads */
	if (!OidIsValid(relid))
		return;
	relation = table_open(relid, RowExclusiveLock);
	values = palloc0(RelationGetDescr(relation)->natts * sizeof(Datum));
	nulls = palloc(RelationGetDescr(relation)->natts * sizeof(bool));
	memset(nulls, true, RelationGetDescr(relation)->natts * sizeof(bool));
	for (int i = 0; i < (OidIsValid(partition) ? 3 : 2); i++)
	{
		static const char *const columns[] = {"rollup_id", "source", "partitions"};
		AttrNumber	number = get_attnum(relid, columns[i]);

		if (number <= 0)
			elog(ERROR, "table cx.partition_set is not as the store made it");
		values[number - 1] = i == 0 ? Int32GetDatum(rollup_id) : ObjectIdGetDatum(source);
		if (i == 2)
		{
			Datum		member = ObjectIdGetDatum(partition);

			values[number - 1] = PointerGetDatum(construct_array(&member, 1, REGCLASSOID, sizeof(Oid), true,
																 TYPALIGN_INT));
		}
		nulls[number - 1] = false;
	}
	CatalogTupleInsert(relation, heap_form_tuple(RelationGetDescr(relation), values, nulls));
	table_close(relation, NoLock);
}

static Oid
root_of(Relation relation)
{
	Oid			root = RelationGetRelid(relation);

	if (relation->rd_rel->relispartition)
	{
		List	   *ancestors = get_partition_ancestors(root);

		root = llast_oid(ancestors);
		list_free(ancestors);
	}
	return root;
}

/*
 * Somebody writes to a partitioned table, or through a partition that is
 * partitioned itself: leave a mark if it has partitions that are not known.
 * What was found well once holds till some catalogue entry changes.
 */
void
cxm_mark_partitions(int32 rollup_id, Relation written)
{
	Oid			source;
	Known	   *known;
	Snapshot	snapshot;
	Oid		   *set;
	int			n;
	bool		is_exact;
	bool		is_marked;

	if (written->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return;
	source = root_of(written);
	known = find_known(rollup_id, source);
	if (known->is_good)
		return;

	/* an old snapshot would show what others have taken in since as not known */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	/* said first: what changes while it is looked at makes this bad again */
	known->is_good = true;
	if (check_set(rollup_id, source, snapshot, true, &set, &n, &is_exact, &is_marked) == CXM_PARTITIONS_KNOWN)
	{
		keep_set(known, set, n);
		known->is_good &= is_exact;
	}
	else
	{
		known->is_good = false;
		if (!is_marked)
			write_set(rollup_id, source, InvalidOid);
	}
	UnregisterSnapshot(snapshot);
}

/*
 * Making known
 */

static bool
owns(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result = HeapTupleIsValid(tuple)
		&& has_privs_of_role(GetUserId(), ((Form_pg_class) GETSTRUCT(tuple))->relowner);

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/*
 * A partition without rows, locked so that nobody else can write to it till
 * the end of the transaction, and not in use here either: a statement that has
 * begun would not fire triggers that are made now.  Nobody is waited for, and
 * others who write to it wait for no more than a statement: inside BEGIN ...
 * COMMIT this is left to those who have made the partition there.
 */
static bool
lock_empty(Oid relid)
{
	Relation	relation;
	bool		is_one;

	if (!owns(relid))
		return false;
	relation = try_relation_open(relid, AccessShareLock);
	if (relation == NULL)
		return false;
	is_one = relation->rd_rel->relkind == RELKIND_RELATION && relation->rd_rel->relispartition
		&& (relation->rd_createSubid != InvalidSubTransactionId || !IsTransactionBlock())
		&& relation->rd_refcnt == 1
		&& RelationGetNumberOfBlocks(relation) == 0
		/* and again, when nobody else can */
		&& ConditionalLockRelation(relation, ShareRowExclusiveLock)
		&& RelationGetNumberOfBlocks(relation) == 0;
	relation_close(relation, NoLock);
	return is_one;
}

/* The direct partitions of a known table that are not in the set */
static List *
unknown_partitions(Relation relation, const Oid *set, int n)
{
	PartitionDesc partitions = RelationGetPartitionDesc(relation, true);
	List	   *unknown = NIL;

	for (int i = 0; i < partitions->nparts; i++)
	{
		if (bsearch(&partitions->oids[i], set, n, sizeof(Oid), compare_oids) == NULL)
			unknown = lappend_oid(unknown, partitions->oids[i]);
	}
	return unknown;
}

static bool
add_triggers(int32 rollup_id, Oid source, Oid partition)
{
	static const char *const query =
		"SELECT cxm.add_rollup_triggers(r.rollup_id, $3) FROM cx.rollup AS r"
		" WHERE r.rollup_id OPERATOR(pg_catalog.=) $1 AND r.source OPERATOR(pg_catalog.=) $2";
	Oid			types[] = {INT4OID, REGCLASSOID, REGCLASSOID};
	Datum		values[] = {Int32GetDatum(rollup_id), ObjectIdGetDatum(source), ObjectIdGetDatum(partition)};
	bool		is_done;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	is_done = SPI_execute_with_args(query, 3, types, values, NULL, false, 0) == SPI_OK_SELECT && SPI_processed == 1;
	SPI_finish();
	return is_done;
}

/* For a rollup: whoever acts for the owner of its row may say what it counts */
static void
know_empty(int32 rollup_id, Oid source, Relation written)
{
	Oid			rollups = get_relname_relid("rollup", get_namespace_oid("cx", true));
	Snapshot	snapshot;
	Oid		   *set;
	int			n;
	bool		is_exact;
	bool		is_marked;
	ListCell   *cell;

	if (!OidIsValid(rollups) || !owns(rollups))
		return;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (check_set(rollup_id, source, snapshot, true, &set, &n, &is_exact, &is_marked) == CXM_PARTITIONS_KNOWN
		&& !is_exact)
	{
		foreach(cell, unknown_partitions(written, set, n))
		{
			Oid			partition = lfirst_oid(cell);

			if (lock_empty(partition) && add_triggers(rollup_id, source, partition))
			{
				write_set(rollup_id, source, partition);
				CommandCounterIncrement();
			}
		}
	}
	UnregisterSnapshot(snapshot);
}

PG_FUNCTION_INFO_V1(cxm_rollup_partition);

/*
 * cxm.rollup_partition()
 *
 * Before rows go into a partitioned table that rollups count: partitions
 * that are not known and have none yet are made known, where whoever writes
 * may do so, as who makes partitions mostly may.
 */
Datum
cxm_rollup_partition(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *numbers;
	int32		id = 0;
	Oid			source;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event)
		|| !TRIGGER_FIRED_BEFORE(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("cxm.rollup_partition() must be called as a trigger that cxm.create_rollup() has made")));
	if (trigger->tg_relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return PointerGetDatum(NULL);
	source = root_of(trigger->tg_relation);
	numbers = trigger->tg_trigger->tgargs[0];
	while ((id = cxm_next_rollup(&numbers, id)) > 0)
	{
		if (!find_known(id, source)->is_good)
			know_empty(id, source, trigger->tg_relation);
	}
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(cxm_has_known_partitions);

/* cxm.has_known_partitions(rollup_id, source) */
Datum
cxm_has_known_partitions(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(cxm_check_partitions(PG_GETARG_INT32(0), PG_GETARG_OID(1)) == CXM_PARTITIONS_KNOWN);
}

PG_FUNCTION_INFO_V1(cxm_check_journeys);

/* cxm.check_journeys(): all records are counted, or an error */
Datum
cxm_check_journeys(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"event", "feedback", "purchase"};
	Oid			schema = get_namespace_oid("cx", true);
	const char *changed = NULL;

	for (size_t i = 0; changed == NULL && OidIsValid(schema) && i < lengthof(names); i++)
	{
		Oid			source = get_relname_relid(names[i], schema);

		if (OidIsValid(source) && cxm_check_partitions(CXM_JOURNEYS, source) != CXM_PARTITIONS_KNOWN)
			changed = names[i];
	}
	/* cxm.begin_journeys() marks them as being built anew */
	if (changed == NULL && OidIsValid(schema) && OidIsValid(get_relname_relid("journey", schema)))
	{
		Oid		   *set;
		int			n;
		bool		is_exact;
		bool		is_marked;

		(void) check_set(CXM_JOURNEYS, get_relname_relid("journey", schema), GetActiveSnapshot(), false, &set, &n,
						 &is_exact, &is_marked);
		if (is_marked)
			changed = "event, cx.feedback and cx.purchase";
	}
	if (changed != NULL && PG_GETARG_BOOL(0))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("journeys are not what is recorded in cx.%s", changed),
				 errdetail("Partitions with records came or went (ATTACH, DETACH, DROP), or this transaction began before that was made up for."),
				 errhint("CALL cxm.fold_journeys(). Remove partitions with cxm.drop_partition().")));
	PG_RETURN_BOOL(changed == NULL);
}
