/*
 * src/journey_fold.c
 *		What came and went since is put into the journeys of the store.
 *
 * Both tables are read in the order of identifiers, by their indexes, side by
 * side: the rows of cx.journey_delta of one identifier make a journey, which is
 * added to the one in cx.journey, and are deleted.  A statement that does the
 * same sorts, joins and keeps aside every row several times, which takes as
 * long again as reading and writing them.
 *
 * All of it is done in the snapshot of the calling statement, whose changes are
 * none of it, so each row is found once.  Rows are written by what serves
 * logical replication: constraints, indexes and row triggers are as with a
 * statement.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_am.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "direct.h"
#include "executor/executor.h"
#include "journey.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(cxm_journey_fold);

#if PG_VERSION_NUM >= 180000
#define begin_index_scan(relation, index, snapshot, nkeys) index_beginscan(relation, index, snapshot, NULL, nkeys, 0)
#else
#define begin_index_scan(relation, index, snapshot, nkeys) index_beginscan(relation, index, snapshot, nkeys, 0)
#endif

#if PG_VERSION_NUM >= 160000
#define begin_recheck(recheck, estate) EvalPlanQualInit(recheck, estate, NULL, NIL, -1, NIL)
#else
#define begin_recheck(recheck, estate) EvalPlanQualInit(recheck, estate, NULL, NIL, -1)
#endif

/* index entries that are passed over, at most, before the next one is looked up from the root */
#define NEAR 32

/* changes that are read at once, page by page */
#define BATCH 65536

/* events that there is room for at first, and what is kept from one identifier to the next */
#define FIRST_ROOM 64
#define KEPT_ROOM 65536

/* a table that is read by the index on its identifier_id */
typedef struct Table
{
	Relation	relation;
	Relation	index;
	AttrNumber	identifier;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	ResultRelInfo *info;
	int64		at;				/* identifier of the index entry that was read last */
	bool		has_entry;
	bool		is_over;
} Table;

/* events of one identifier, in the order in which they were found */
typedef struct Events
{
	size_t		n;
	size_t		room;
	JourneyEvent *events;
} Events;

/* an entry of the index of the delta, and the row that it leads to */
typedef struct Change
{
	int64		identifier;
	TimestampTz at;
	int32		code;
	int16		weight;
	bool		is_there;
} Change;

/* where a row is, and which entry leads there */
typedef struct Place
{
	uint64		tid;			/* block, and offset in the lowest 16 bits */
	uint32		change;
} Place;

typedef struct Fold
{
	EState	   *estate;
	EPQState	recheck;
	Table		delta;
	Table		base;
	TupleTableSlot *changed;	/* a row of the base to be written */
	AttrNumber	journey;
	AttrNumber	delta_at;
	AttrNumber	delta_code;
	AttrNumber	delta_weight;
	JourneyBuffer *buffer;
	int64		rows;
	int64		identifier;		/* of the events that came and went */
	Events		came;
	Events		went;
	uint32		n;
	Change	   *changes;
	Place	   *places;
} Fold;

/*--------------------------------------------------------------------------------------------------------
 * Tables
 *--------------------------------------------------------------------------------------------------------
 */

static void
check_privileges(Relation relation, AclMode needed)
{
	Oid			relid = RelationGetRelid(relation);

	if (pg_class_aclmask(relid, GetUserId(), needed, ACLMASK_ALL) != needed)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(relation->rd_rel->relkind),
					   RelationGetRelationName(relation));
	/* half of what came is worse than none */
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("journeys cannot be folded by who does not see all rows of cx.%s", RelationGetRelationName(relation)),
				 errhint("Fold as the owner of the store.")));
}

static AttrNumber
find_column(Relation relation, const char *name, Oid type)
{
	AttrNumber	number = get_attnum(RelationGetRelid(relation), name);

	if (number <= 0 || TupleDescAttr(RelationGetDescr(relation), number - 1)->atttypid != type)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("journeys need column \"%s\" of type %s in cx.%s", name, format_type_be(type),
						RelationGetRelationName(relation)),
				 errhint("Put the column back as the store had it.")));
	return number;
}

/* A btree that has all rows in the order of the identifier */
static Relation
open_index(Relation relation, AttrNumber identifier)
{
	List	   *indexes = RelationGetIndexList(relation);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indkey.values[0] == identifier &&
			index->rd_opfamily[0] == INTEGER_BTREE_FAM_OID && index->rd_indoption[0] == 0 &&
			RelationGetIndexPredicate(index) == NIL && index->rd_index->indisvalid &&
			(!index->rd_index->indcheckxmin ||
			 TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin)))
			return index;
		index_close(index, AccessShareLock);
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("journeys need an index on column identifier_id of cx.%s", RelationGetRelationName(relation)),
			 errhint("Put the index back as the store had it.")));
	return NULL;				/* not reached */
}

static void
open_table(Table *table, const char *name, AclMode needed)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid("cx", false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"cx.%s\" does not exist", name),
				 errhint("cxm.upgrade_store() makes what a store lacks.")));
	table->relation = table_open(relid, RowExclusiveLock);
	check_privileges(table->relation, needed);
	table->identifier = find_column(table->relation, "identifier_id", INT8OID);
	table->index = open_index(table->relation, table->identifier);
	table->slot = table_slot_create(table->relation, NULL);
	table->info = makeNode(ResultRelInfo);
	InitResultRelInfo(table->info, table->relation, 0, NULL, 0);
	ExecOpenIndices(table->info, false);
}

static void
close_table(Table *table)
{
	if (table->scan != NULL)
		index_endscan(table->scan);
	ExecDropSingleTupleTableSlot(table->slot);
	ExecCloseIndices(table->info);
	index_close(table->index, NoLock);
	table_close(table->relation, NoLock);
}

/* The next entry of the index; a row need not be fetched to know its identifier */
static bool
next_entry(Table *table)
{
	bool		is_null;

	CHECK_FOR_INTERRUPTS();
	table->has_entry = index_getnext_tid(table->scan, ForwardScanDirection) != NULL;
	table->is_over = !table->has_entry;
	if (table->has_entry)
		table->at = DatumGetInt64(index_getattr(table->scan->xs_itup, 1, table->scan->xs_itupdesc, &is_null));
	return table->has_entry;
}

/* From an identifier on, or after it */
static void
look_up(Table *table, int64 from, bool after)
{
	ScanKeyData bound;

	ScanKeyInit(&bound, 1, after ? BTGreaterStrategyNumber : BTGreaterEqualStrategyNumber,
				after ? F_INT8GT : F_INT8GE, Int64GetDatum(from));
	if (table->scan == NULL)
	{
		table->scan = begin_index_scan(table->relation, table->index, GetActiveSnapshot(), 1);
		table->scan->xs_want_itup = true;
	}
	index_rescan(table->scan, &bound, 1, NULL, 0);
}

/* The row of an identifier, in table->slot; identifiers ascend from call to call */
static bool
find_row(Table *table, int64 identifier)
{
	for (int passed = 0; !table->is_over && (!table->has_entry || table->at < identifier); passed++)
	{
		if (!table->has_entry || passed == NEAR)
			look_up(table, identifier, false);
		next_entry(table);
	}
	/* entries of rows that nobody sees any more may be in front of that of the row */
	while (!table->is_over && table->at == identifier)
	{
		if (index_fetch_heap(table->scan, table->slot))
			return true;
		next_entry(table);
	}
	return false;
}

/*
 * With a snapshot of before the lock was waited for, somebody may have changed a row since. Otherwise nobody has who
 * takes the lock, too.
 */
static void
check_latest(const Table *table)
{
	if (IsolationUsesXactSnapshot() && !cxm_lock_row(table->relation, table->slot))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("Somebody else folded journeys after this transaction had begun."),
				 errhint("Begin the transaction anew.")));
}

/*--------------------------------------------------------------------------------------------------------
 * Folding
 *--------------------------------------------------------------------------------------------------------
 */

static void
add_event(Events *events, TimestampTz at, int32 code)
{
	if (events->n == events->room)
	{
		Size		room = events->room == 0 ? FIRST_ROOM : 2 * events->room;

		if (events->events == NULL)
			events->events = palloc(room * sizeof(JourneyEvent));
		else
			events->events = repalloc_huge(events->events, room * sizeof(JourneyEvent));
		events->room = room;
	}
	events->events[events->n].at = at;
	events->events[events->n++].code = code;
}

static void
forget_events(Events *events)
{
	events->n = 0;
	if (events->room > KEPT_ROOM)
	{
		pfree(events->events);
		events->events = NULL;
		events->room = 0;
	}
}

/* Put what came and went at an identifier into its journey, which begins or ends with that where it must */
static void
fold_identifier(Fold *fold)
{
	Table	   *base = &fold->base;
	TupleTableSlot *row = fold->changed;
	int			natts = RelationGetDescr(base->relation)->natts;
	MemoryContext old;
	Datum		journey;
	bool		is_there;

	if (fold->came.n == 0 && fold->went.n == 0)
		return;
	is_there = find_row(base, fold->identifier);
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(fold->estate));
	journey = cxm_journey_of_events(fold->came.events, fold->came.n);
	if (is_there)
	{
		bool		is_null;
		Datum		before;

		check_latest(base);
		slot_getallattrs(base->slot);
		before = slot_getattr(base->slot, fold->journey, &is_null);
		if (!is_null)
			journey = cxm_journey_sum(before, journey, fold->buffer);
	}
	if (fold->went.n > 0)
		journey = cxm_journey_difference(journey, cxm_journey_of_events(fold->went.events, fold->went.n), fold->buffer);

	if (cxm_journey_is_empty(journey))
	{
		if (is_there)
			ExecSimpleRelationDelete(base->info, fold->estate, &fold->recheck, base->slot);
	}
	else
	{
		ExecClearTuple(row);
		if (is_there)
		{
			memcpy(row->tts_values, base->slot->tts_values, natts * sizeof(Datum));
			memcpy(row->tts_isnull, base->slot->tts_isnull, natts * sizeof(bool));
		}
		else
		{
			memset(row->tts_isnull, true, natts * sizeof(bool));
			row->tts_values[base->identifier - 1] = Int64GetDatum(fold->identifier);
			row->tts_isnull[base->identifier - 1] = false;
		}
		row->tts_values[fold->journey - 1] = journey;
		row->tts_isnull[fold->journey - 1] = false;
		ExecStoreVirtualTuple(row);
		if (is_there)
			ExecSimpleRelationUpdate(base->info, fold->estate, &fold->recheck, base->slot, row);
		else
			ExecSimpleRelationInsert(base->info, fold->estate, row);
		ExecClearTuple(row);
	}
	MemoryContextSwitchTo(old);
	ResetPerTupleExprContext(fold->estate);
	forget_events(&fold->came);
	forget_events(&fold->went);
}

/* Read a row of the delta, which is in its slot, and delete it */
static void
take_row(Fold *fold, Change *change)
{
	Table	   *delta = &fold->delta;
	bool		is_null[3];

	change->at = DatumGetTimestampTz(slot_getattr(delta->slot, fold->delta_at, &is_null[0]));
	change->code = DatumGetInt32(slot_getattr(delta->slot, fold->delta_code, &is_null[1]));
	change->weight = DatumGetInt16(slot_getattr(delta->slot, fold->delta_weight, &is_null[2]));
	if (is_null[0] || is_null[1] || is_null[2])
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a row of cx.journey_delta has a NULL"),
				 errhint("Put its NOT NULL constraints back as the store had them.")));
	check_latest(delta);
	ExecSimpleRelationDelete(delta->info, fold->estate, &fold->recheck, delta->slot);
	ResetPerTupleExprContext(fold->estate);
	change->is_there = true;
	fold->rows++;
}

static int
compare_places(const void *x, const void *y)
{
	const Place *a = x;
	const Place *b = y;

	return (a->tid > b->tid) - (a->tid < b->tid);
}

/*
 * The next rows of the delta, in the order of identifiers; they were written in that of time, so they are fetched in
 * the order in which they lie. False where there are no more.
 */
static bool
read_batch(Fold *fold, int64 upto)
{
	Table	   *delta = &fold->delta;
	IndexFetchTableData *fetch;

	fold->n = 0;
	while (fold->n < BATCH && !delta->is_over && next_entry(delta))
	{
		ItemPointer tid = &delta->scan->xs_heaptid;

		if (delta->at > upto)
		{
			delta->is_over = true;
			break;
		}
		fold->changes[fold->n].identifier = delta->at;
		fold->changes[fold->n].is_there = false;
		fold->places[fold->n].tid = (uint64) ItemPointerGetBlockNumber(tid) << 16 | ItemPointerGetOffsetNumber(tid);
		fold->places[fold->n].change = fold->n;
		fold->n++;
	}
	qsort(fold->places, fold->n, sizeof(Place), compare_places);
	fetch = table_index_fetch_begin(delta->relation);
	for (uint32 i = 0; i < fold->n; i++)
	{
		const Place *place = &fold->places[i];
		ItemPointerData tid;
		bool		has_more = false;

		CHECK_FOR_INTERRUPTS();
		ItemPointerSet(&tid, (BlockNumber) (place->tid >> 16), (OffsetNumber) (place->tid & 0xFFFF));
		if (table_index_fetch_tuple(fetch, &tid, GetActiveSnapshot(), delta->slot, &has_more, NULL))
			take_row(fold, &fold->changes[place->change]);
	}
	ExecClearTuple(delta->slot);
	table_index_fetch_end(fetch);
	return fold->n > 0;
}

/* cxm.fold_journey_delta(after, upto) */
Datum
cxm_journey_fold(PG_FUNCTION_ARGS)
{
	int64		after = PG_GETARG_INT64(0);
	int64		upto = PG_GETARG_INT64(1);
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("journey"),
									   ObjectIdGetDatum(get_namespace_oid("cxm", false)));
	int64		rows;
	Fold	   *fold = palloc0(sizeof(Fold));

	PreventCommandIfReadOnly("cxm.fold_journey_delta()");
	PreventCommandIfParallelMode("cxm.fold_journey_delta()");
	fold->estate = CreateExecutorState();
	fold->estate->es_snapshot = GetActiveSnapshot();
	open_table(&fold->delta, "journey_delta", ACL_SELECT | ACL_DELETE);
	open_table(&fold->base, "journey", ACL_SELECT | ACL_INSERT | ACL_UPDATE | ACL_DELETE);
	fold->delta_at = find_column(fold->delta.relation, "at", TIMESTAMPTZOID);
	fold->delta_code = find_column(fold->delta.relation, "code", INT4OID);
	fold->delta_weight = find_column(fold->delta.relation, "weight", INT2OID);
	fold->journey = find_column(fold->base.relation, "journey", type);
	fold->changed = table_slot_create(fold->base.relation, NULL);
	fold->buffer = cxm_journey_buffer(CurrentMemoryContext);
	fold->changes = palloc(BATCH * sizeof(Change));
	fold->places = palloc(BATCH * sizeof(Place));
	begin_recheck(&fold->recheck, fold->estate);
	AfterTriggerBeginQuery();

	look_up(&fold->delta, after, true);
	while (read_batch(fold, upto))
	{
		for (uint32 i = 0; i < fold->n; i++)
		{
			const Change *change = &fold->changes[i];

			if (!change->is_there)
				continue;
			if (change->identifier != fold->identifier)
				fold_identifier(fold);
			fold->identifier = change->identifier;
			add_event(change->weight > 0 ? &fold->came : &fold->went, change->at, change->code);
		}
	}
	fold_identifier(fold);

	AfterTriggerEndQuery(fold->estate);
	EvalPlanQualEnd(&fold->recheck);
	ExecDropSingleTupleTableSlot(fold->changed);
	close_table(&fold->delta);
	close_table(&fold->base);
	FreeExecutorState(fold->estate);
	rows = fold->rows;
	pfree(fold->changes);
	pfree(fold->places);
	pfree(fold);
	PG_RETURN_INT64(rows);
}
