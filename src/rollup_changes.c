/*
 * src/rollup_changes.c
 *		What waits to be folded in a rollup, added up group by group.
 *
 * There may be a row of changes for each statement since the last fold.
 * Whoever reads the rollup needs them added up, so this is done in one pass
 * and without a plan.  What is given may still hold several rows of a group,
 * for the reader adds it to the base table anyway: so groups are told apart by
 * their bytes, and only so many are held in memory.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "cxm.h"
#include "miscadmin.h"
#include "ratings_core.h"
#include "rows.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* groups that are held in memory; when there are more, these are given and it begins anew */
#define MAX_GROUPS 8192

/* columns of a delta table */
#define DELTA_WEIGHT	0
#define DELTA_N			1

/* what a column is: one that groups are told apart by, or what is added up */
typedef enum Part
{
	KEY,						/* what came and what went stay apart, too */
	INTEGER,
	NUMBER,
	RATINGS
} Part;

typedef struct Group
{
	uint32		hash;
	Datum	   *values;			/* a row of the delta table; NULL = a free place */
	bool	   *nulls;
} Group;

typedef struct Changes
{
	CxmRows		rows;
	TupleDesc	desc;			/* of the delta table */
	int			ncolumns;
	Part	   *parts;			/* of its columns */
	MemoryContext context;		/* of the groups */
	uint32		size;			/* of the table, a power of two */
	uint32		n;
	Group	   *groups;			/* by hash */
} Changes;

extern PGDLLEXPORT Datum cxm_can_read_rollup(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum cxm_ratings_add(PG_FUNCTION_ARGS);

/*
 * Groups
 */

static void
begin_groups(Changes *changes, uint32 size)
{
	changes->size = size;
	changes->n = 0;
	changes->groups = MemoryContextAllocZero(changes->context, size * sizeof(Group));
}

static void
give_groups(Changes *changes)
{
	for (uint32 i = 0; i < changes->size; i++)
	{
		const Group *group = &changes->groups[i];

		if (group->values != NULL)
			tuplestore_putvalues(changes->rows.store, changes->rows.desc, group->values, group->nulls);
	}
	MemoryContextReset(changes->context);
}

static void
grow_groups(Changes *changes)
{
	Group	   *old = changes->groups;
	uint32		old_size = changes->size;
	uint32		n = changes->n;

	begin_groups(changes, old_size * 2);
	changes->n = n;
	for (uint32 i = 0; i < old_size; i++)
	{
		uint32		place = old[i].hash & (changes->size - 1);

		if (old[i].values == NULL)
			continue;
		while (changes->groups[place].values != NULL)
			place = (place + 1) & (changes->size - 1);
		changes->groups[place] = old[i];
	}
	pfree(old);
}

static uint32
hash_keys(const Changes *changes, const TupleTableSlot *row)
{
	uint64		hash = 0;

	for (int i = 0; i < changes->ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(changes->desc, i);

		if (changes->parts[i] != KEY || row->tts_isnull[i])
			continue;
		hash = hash * UINT64CONST(0x9e3779b97f4a7c15) + i;
		hash ^= column->attbyval ? (uint64) row->tts_values[i]
			: datum_image_hash(row->tts_values[i], false, column->attlen);
		hash ^= hash >> 32;
	}
	return murmurhash32((uint32) (hash * UINT64CONST(0xbf58476d1ce4e5b9) >> 32));
}

static bool
is_group(const Changes *changes, const Group *group, const TupleTableSlot *row)
{
	for (int i = 0; i < changes->ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(changes->desc, i);

		if (changes->parts[i] != KEY)
			continue;
		if (group->nulls[i] != row->tts_isnull[i])
			return false;
		if (row->tts_isnull[i])
			continue;
		if (column->attbyval ? group->values[i] != row->tts_values[i]
			: !datum_image_eq(group->values[i], row->tts_values[i], false, column->attlen))
			return false;
	}
	return true;
}

static void
fill_group(Changes *changes, Group *group, uint32 hash, const TupleTableSlot *row)
{
	int			ncolumns = changes->ncolumns;
	MemoryContext old = MemoryContextSwitchTo(changes->context);

	group->hash = hash;
	group->values = palloc(ncolumns * sizeof(Datum));
	group->nulls = palloc(ncolumns * sizeof(bool));
	memcpy(group->nulls, row->tts_isnull, ncolumns * sizeof(bool));
	for (int i = 0; i < ncolumns; i++)
	{
		Form_pg_attribute column = TupleDescAttr(changes->desc, i);

		group->values[i] = row->tts_isnull[i] ? (Datum) 0
			: datumCopy(row->tts_values[i], column->attbyval, column->attlen);
	}
	changes->n++;
	MemoryContextSwitchTo(old);
}

/*
 * Adding up
 */

static void
add_integer(Datum *sum, Datum integer)
{
	int64		total;

	if (pg_add_s64_overflow(DatumGetInt64(*sum), DatumGetInt64(integer), &total))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("bigint out of range")));
#ifdef USE_FLOAT8_BYVAL
	*sum = Int64GetDatum(total);
#else
	memcpy(DatumGetPointer(*sum), &total, sizeof(int64));
#endif
}

static void
add_number(Changes *changes, Datum *sum, Datum number)
{
	Datum		total = DirectFunctionCall2(numeric_add, *sum, number);
	MemoryContext old = MemoryContextSwitchTo(changes->context);

	pfree(DatumGetPointer(*sum));
	*sum = datumCopy(total, false, -1);
	MemoryContextSwitchTo(old);
}

static void
add_row(Changes *changes, Group *group, const TupleTableSlot *row)
{
	for (int i = 0; i < changes->ncolumns; i++)
	{
		Datum		value = row->tts_values[i];
		int			point;

		switch (changes->parts[i])
		{
			case KEY:
				break;
			case INTEGER:
				add_integer(&group->values[i], value);
				break;
			case NUMBER:
				add_number(changes, &group->values[i], value);
				break;
			case RATINGS:
				/* called for its error: one place says what is wrong with two values */
				if (ratings_add((Ratings *) DatumGetPointer(group->values[i]), (Ratings *) DatumGetPointer(value),
								&point) != RATINGS_OK)
					(void) DirectFunctionCall2(cxm_ratings_add, group->values[i], value);
				break;
		}
	}
}

/* What a row counts for cannot be NULL, but for what somebody wrote there by hand */
static bool
is_whole(const Changes *changes, const TupleTableSlot *row)
{
	for (int i = 0; i < changes->ncolumns; i++)
	{
		if (row->tts_isnull[i] && changes->parts[i] != KEY)
			return false;
	}
	return true;
}

static void
take_row(Changes *changes, const TupleTableSlot *row)
{
	uint32		hash;
	uint32		place;

	if (!is_whole(changes, row))
	{
		tuplestore_putvalues(changes->rows.store, changes->rows.desc, row->tts_values, row->tts_isnull);
		return;
	}
	if (changes->n >= MAX_GROUPS)
	{
		give_groups(changes);
		begin_groups(changes, 2 * MAX_GROUPS);
	}
	else if (changes->n >= changes->size / 2)
		grow_groups(changes);

	hash = hash_keys(changes, row);
	place = hash & (changes->size - 1);
	while (changes->groups[place].values != NULL)
	{
		if (changes->groups[place].hash == hash && is_group(changes, &changes->groups[place], row))
		{
			add_row(changes, &changes->groups[place], row);
			return;
		}
		place = (place + 1) & (changes->size - 1);
	}
	fill_group(changes, &changes->groups[place], hash, row);
}

static bool
find_part(Form_pg_attribute column, int number, Part *part)
{
	if (column->attisdropped)
		return false;
	if (number == DELTA_WEIGHT || (number != DELTA_N && NameStr(column->attname)[0] != 'm'))
		*part = KEY;
	else if (column->atttypid == INT8OID)
		*part = INTEGER;
	else if (column->atttypid == NUMERICOID)
		*part = NUMBER;
	else if (!column->attbyval && column->attlen == sizeof(Ratings))
		*part = RATINGS;
	else
		return false;
	return true;
}

/*
 * Which table it is, and how it is laid out, is known by the names that
 * cxm.create_rollup() has given.
 */
static Relation
open_delta(FunctionCallInfo fcinfo, Changes *changes)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			relid = OidIsValid(type) ? get_typ_typrelid(type) : InvalidOid;
	char	   *name = OidIsValid(relid) ? get_rel_name(relid) : NULL;
	char		last = '\0';
	int			id = 0;
	Relation	delta;

	if (name == NULL || sscanf(name, "rollup_%d_delt%c", &id, &last) != 2 || last != 'a'
		|| strcmp(name, psprintf("rollup_%d_delta", id)) != 0
		|| get_rel_namespace(relid) != get_namespace_oid("cx", true))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s is not that of a row of a rollup's delta table", format_type_be(type)),
				 errhint("Read the views of the rollup.")));
	(void) DirectFunctionCall1(cxm_can_read_rollup, Int32GetDatum(id));

	delta = table_open(relid, AccessShareLock);
	changes->desc = RelationGetDescr(delta);
	changes->ncolumns = changes->desc->natts;
	changes->parts = palloc(changes->ncolumns * sizeof(Part));
	for (int i = 0; i < changes->ncolumns; i++)
	{
		if (!find_part(TupleDescAttr(changes->desc, i), i, &changes->parts[i]))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table %s is not as cxm.create_rollup() made it", name),
					 errhint("Run SELECT cxm.upgrade_store().")));
	}
	return delta;
}

PG_FUNCTION_INFO_V1(cxm_rollup_changes);

/* cxm.rollup_changes(delta) */
Datum
cxm_rollup_changes(PG_FUNCTION_ARGS)
{
	Changes		changes = {0};
	Relation	delta = open_delta(fcinfo, &changes);
	TupleTableSlot *slot = table_slot_create(delta, NULL);
	TableScanDesc scan;
	MemoryContext old;

	cxm_begin_rows(fcinfo, &changes.rows);
	changes.context = AllocSetContextCreate(CurrentMemoryContext, "cxm rollup changes", ALLOCSET_DEFAULT_SIZES);
	begin_groups(&changes, 256);
	scan = table_beginscan(delta, GetActiveSnapshot(), 0, NULL);
	old = MemoryContextSwitchTo(changes.rows.context);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(changes.rows.context);
		slot_getallattrs(slot);
		take_row(&changes, slot);
	}
	give_groups(&changes);
	MemoryContextSwitchTo(old);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(delta, NoLock);
	return (Datum) 0;
}
