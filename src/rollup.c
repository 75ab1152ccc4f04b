/*
 * src/rollup.c
 *		What changes in a table, as changes of its rollups.
 *
 * Statement triggers on the source of a rollup, and on its partitions, append
 * what came and what went to the delta table of the rollup, summed up for each
 * group, in the writer's transaction; nobody updates a row that another writer
 * may want.
 *
 * What a rollup counts is said by a view over its source, cx.rollup_N_rows: a
 * row for each row of the source, with its period, its dimensions and what is
 * measured.  The expressions of that view are evaluated here on the rows of
 * the transition tables.  So they mean what they meant when the rollup was
 * made, follow columns that are renamed, and no column that they read can be
 * dropped by accident.
 *
 * The delta table is written without a statement, and without asking for
 * privileges: who may write to the source may do so whoever counts it, as with
 * a foreign key.  Nobody can point a trigger of another table at it, see
 * is_member().
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "cxm.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "partition.h"
#include "ratings_core.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#if PG_VERSION_NUM >= 160000
#define map_by_name(in, out) build_attrmap_by_name(in, out, false)
#else
#define map_by_name(in, out) build_attrmap_by_name(in, out)
#endif

/* groups that are held in memory; when there are more, these are written and it begins anew */
#define MAX_GROUPS 8192

/* dimensions, and measures, that a rollup can have */
#define MAX_COLUMNS 31

/* columns of a delta table before the dimensions */
#define DELTA_WEIGHT	0
#define DELTA_N			1
#define DELTA_KEYS		2

typedef enum Kind
{
	COUNT = 'c',				/* of values that are not NULL */
	SUM = 's',					/* of numerics, and how many there are */
	RATINGS = 'r'				/* of a score on a scale: three columns of the view */
} Kind;

typedef struct Key
{
	ExprState  *value;
	TypeCacheEntry *type;
	Oid			collation;
} Key;

typedef struct Measure
{
	Kind		kind;
	ExprState  *value;
	Oid			type;			/* of value */
	ExprState  *lo;				/* of ratings */
	ExprState  *hi;
	int			column;			/* of the delta table, counted from 0 */
} Measure;

typedef struct RollupId
{
	int32		id;
	Oid			relid;
} RollupId;

/* a rollup, as it is evaluated on rows of one table: its source or a partition of it */
typedef struct Rollup
{
	RollupId	key;
	bool		is_good;
	bool		is_busy;
	bool		is_kept;		/* calls no function that somebody made, so it is good till something changes */
	bool		is_member;
	Oid			rows;
	Oid			delta;
	Oid			source;
	MemoryContext context;
	EState	   *estate;
	ExprState  *filter;
	int			nkeys;			/* the period, and the dimensions */
	Key		   *keys;
	int			nmeasures;
	Measure    *measures;
} Rollup;

/* what a trigger of a rollup says */
typedef struct Arguments
{
	int32		id;
	const char *name;
	int			nkeys;
	char		kinds[MAX_COLUMNS + 1];
} Arguments;

typedef struct State
{
	int64		n;				/* values; of scores the ratings have it */
	Datum		sum;			/* of numerics; 0 = none yet */
	Ratings		ratings;
} State;

typedef struct Cell
{
	uint32		hash;
	Datum	   *keys;
	bool	   *nulls;
	int64		n[2];			/* rows that came, rows that went */
	State	   *states[2];		/* of each measure */
} Cell;

typedef struct Sums
{
	Rollup	   *rollup;
	const char *name;
	MemoryContext context;		/* of the groups */
	uint32		size;			/* of the table, a power of two */
	uint32		n;
	Cell	  **groups;			/* by hash */
	Datum	   *keys;			/* of the row at hand */
	bool	   *nulls;
} Sums;

static HTAB *rollups = NULL;

/*
 * What is known of rollups
 */

static void
forget_relation(Datum argument, Oid relid)
{
	HASH_SEQ_STATUS scan;
	Rollup	   *rollup;

	hash_seq_init(&scan, rollups);
	while ((rollup = hash_seq_search(&scan)) != NULL)
	{
		if (relid == InvalidOid || relid == rollup->key.relid || relid == rollup->rows
			|| relid == rollup->delta || relid == rollup->source)
			rollup->is_good = false;
	}
}

static Rollup *
find_rollup(int32 id, Oid relid)
{
	RollupId	key = {id, relid};
	Rollup	   *rollup;
	bool		is_found;

	if (rollups == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(RollupId), .entrysize = sizeof(Rollup)};

		rollups = hash_create("cxm rollups", 16, &control, HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	}
	rollup = hash_search(rollups, &key, HASH_ENTER, &is_found);
	if (!is_found)
		memset((char *) rollup + sizeof(RollupId), 0, sizeof(Rollup) - sizeof(RollupId));
	return rollup;
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

static Oid
find_table(const Arguments *arguments, const char *suffix)
{
	char	   *table = psprintf("rollup_%d_%s", arguments->id, suffix);
	Oid			schema = get_namespace_oid("cx", true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid(table, schema) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rollup \"%s\" cannot be kept any longer", arguments->name),
				 errdetail("There is no cx.%s: it was dropped, or a column or function that the rollup reads was dropped with CASCADE.", table),
				 errhint("Remove the rollup with cxm.drop_rollup(), and make it anew without what is gone.")));
	pfree(table);
	return relid;
}

/*
 * Whether rows of a table count: those of the source and of its partitions do.
 * So do those of a partition that was detached and is not yet subtracted, if
 * it still belongs to whom the source belongs to.
 */
static bool
is_member(Relation relation, Oid source)
{
	Oid			relid = RelationGetRelid(relation);
	bool		is_one = relid == source;

	if (!is_one && relation->rd_rel->relispartition)
	{
		List	   *ancestors = get_partition_ancestors(relid);

		is_one = list_member_oid(ancestors, source);
		list_free(ancestors);
	}
	if (!is_one)
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(source));

		if (HeapTupleIsValid(tuple))
		{
			is_one = ((Form_pg_class) GETSTRUCT(tuple))->relowner == relation->rd_rel->relowner;
			ReleaseSysCache(tuple);
		}
	}
	return is_one;
}

static ExprState *
prepare_column(Rollup *rollup, const Query *query, int number)
{
	TargetEntry *entry = get_tle_by_resno(query->targetList, number);

	if (entry == NULL)
		elog(ERROR, "view cx.rollup_%d_rows has no column %d", rollup->key.id, number);
	rollup->is_kept &= !calls_users((Node *) entry->expr, NULL);
	return ExecPrepareExpr(entry->expr, rollup->estate);
}

static Oid
column_type(const Query *query, int number)
{
	return exprType((Node *) get_tle_by_resno(query->targetList, number)->expr);
}

static void
prepare_measures(Rollup *rollup, const Query *query, const char *kinds)
{
	int			number = rollup->nkeys + 1;
	int			column = DELTA_KEYS + rollup->nkeys;

	rollup->nmeasures = strlen(kinds);
	rollup->measures = palloc0(Max(rollup->nmeasures, 1) * sizeof(Measure));
	for (int i = 0; i < rollup->nmeasures; i++)
	{
		Measure    *measure = &rollup->measures[i];

		measure->kind = (unsigned char) kinds[i];
		measure->column = column;
		measure->value = prepare_column(rollup, query, number);
		measure->type = column_type(query, number);
		number++;
		column++;
		if (measure->kind == SUM)
			column++;
		if (measure->kind == RATINGS)
		{
			measure->lo = prepare_column(rollup, query, number++);
			measure->hi = prepare_column(rollup, query, number++);
		}
	}
}

/* The query of the view, with the columns of the table at hand in place of those of the source */
static Query *
read_view(Rollup *rollup, Relation relation)
{
	Relation	view = relation_open(rollup->rows, AccessShareLock);
	Query	   *query = copyObject(get_view_query(view));
	int			source = linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex;

	relation_close(view, NoLock);
	rollup->source = rt_fetch(source, query->rtable)->relid;
	rollup->is_member = is_member(relation, rollup->source);
	if (rollup->is_member && RelationGetRelid(relation) != rollup->source)
	{
		Relation	parent = relation_open(rollup->source, AccessShareLock);
		AttrMap    *map = map_by_name(RelationGetDescr(relation), RelationGetDescr(parent));
		bool		found_whole_row;

		query->targetList = (List *) map_variable_attnos((Node *) query->targetList, source, 0, map, InvalidOid,
														 &found_whole_row);
		query->jointree->quals = map_variable_attnos(query->jointree->quals, source, 0, map, InvalidOid,
													 &found_whole_row);
		relation_close(parent, NoLock);
	}
	return query;
}

static void
learn_rollup(Rollup *rollup, Relation relation, const Arguments *arguments)
{
	MemoryContext old;
	Query	   *query;

	if (rollup->context != NULL)
		MemoryContextDelete(rollup->context);
	rollup->context = NULL;
	rollup->rows = find_table(arguments, "rows");
	rollup->delta = find_table(arguments, "delta");
	rollup->context = AllocSetContextCreate(CacheMemoryContext, "cxm rollup", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(rollup->context);

	/* said first: what changes while it is looked at makes this bad again */
	rollup->is_good = true;
	rollup->is_kept = true;
	query = read_view(rollup, relation);
	if (rollup->is_member)
	{
		rollup->estate = CreateExecutorState();
		rollup->nkeys = arguments->nkeys;
		rollup->keys = palloc0(rollup->nkeys * sizeof(Key));
		for (int i = 0; i < rollup->nkeys; i++)
		{
			Key		   *key = &rollup->keys[i];
			Oid			type = column_type(query, i + 1);

			key->value = prepare_column(rollup, query, i + 1);
			key->collation = exprCollation((Node *) get_tle_by_resno(query->targetList, i + 1)->expr);
			key->type = lookup_type_cache(type, TYPECACHE_HASH_PROC_FINFO | TYPECACHE_EQ_OPR_FINFO);
			if (!OidIsValid(key->type->hash_proc_finfo.fn_oid) || !OidIsValid(key->type->eq_opr_finfo.fn_oid))
				elog(ERROR, "type %s cannot be a dimension", format_type_be(type));
		}
		prepare_measures(rollup, query, arguments->kinds);
		rollup->is_kept &= !calls_users(query->jointree->quals, NULL);
		rollup->filter = ExecPrepareQual(make_ands_implicit((Expr *) query->jointree->quals), rollup->estate);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Sums
 */

static void
begin_sums(Sums *sums, Rollup *rollup, const char *name)
{
	sums->rollup = rollup;
	sums->name = name;
	sums->context = AllocSetContextCreate(CurrentMemoryContext, "cxm rollup sums", ALLOCSET_DEFAULT_SIZES);
	sums->size = 16;
	sums->n = 0;
	sums->groups = palloc0(sums->size * sizeof(Cell *));
	sums->keys = palloc(rollup->nkeys * sizeof(Datum));
	sums->nulls = palloc(rollup->nkeys * sizeof(bool));
}

static void
grow_sums(Sums *sums)
{
	Cell	  **old = sums->groups;
	uint32		old_size = sums->size;

	sums->size *= 2;
	sums->groups = palloc0(sums->size * sizeof(Cell *));
	for (uint32 i = 0; i < old_size; i++)
	{
		uint32		place;

		if (old[i] == NULL)
			continue;
		place = old[i]->hash & (sums->size - 1);
		while (sums->groups[place] != NULL)
			place = (place + 1) & (sums->size - 1);
		sums->groups[place] = old[i];
	}
	pfree(old);
}

static Cell *
add_group(Sums *sums, uint32 hash)
{
	const Rollup *rollup = sums->rollup;
	MemoryContext old = MemoryContextSwitchTo(sums->context);
	Cell	   *group = palloc0(sizeof(Cell));

	group->hash = hash;
	group->keys = palloc0(rollup->nkeys * sizeof(Datum));
	group->nulls = palloc(rollup->nkeys * sizeof(bool));
	for (int i = 0; i < rollup->nkeys; i++)
	{
		group->nulls[i] = sums->nulls[i];
		if (!sums->nulls[i])
			group->keys[i] = datumCopy(sums->keys[i], rollup->keys[i].type->typbyval, rollup->keys[i].type->typlen);
	}
	for (int side = 0; side < 2; side++)
	{
		group->states[side] = palloc0(Max(rollup->nmeasures, 1) * sizeof(State));
		for (int i = 0; i < rollup->nmeasures; i++)
			ratings_init(&group->states[side][i].ratings);
	}
	MemoryContextSwitchTo(old);
	sums->n++;
	return group;
}

static bool
is_group(const Sums *sums, const Cell *group)
{
	for (int i = 0; i < sums->rollup->nkeys; i++)
	{
		const Key  *key = &sums->rollup->keys[i];

		if (group->nulls[i] != sums->nulls[i])
			return false;
		if (!group->nulls[i]
			&& !DatumGetBool(FunctionCall2Coll(&key->type->eq_opr_finfo, key->collation,
											   group->keys[i], sums->keys[i])))
			return false;
	}
	return true;
}

/* The group of the row at hand */
static Cell *
find_group(Sums *sums, ExprContext *context)
{
	const Rollup *rollup = sums->rollup;
	uint32		hash = 0;
	uint32		place;

	for (int i = 0; i < rollup->nkeys; i++)
	{
		const Key  *key = &rollup->keys[i];

		sums->keys[i] = ExecEvalExprSwitchContext(key->value, context, &sums->nulls[i]);
		hash = (hash << 1) | (hash >> 31);
		if (!sums->nulls[i])
			hash ^= DatumGetUInt32(FunctionCall1Coll(&key->type->hash_proc_finfo, key->collation, sums->keys[i]));
	}
	/* integers hash well, but not times of day in their low bits */
	hash ^= hash >> 15;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;

	for (place = hash & (sums->size - 1); sums->groups[place] != NULL; place = (place + 1) & (sums->size - 1))
	{
		if (sums->groups[place]->hash == hash && is_group(sums, sums->groups[place]))
			return sums->groups[place];
	}
	sums->groups[place] = add_group(sums, hash);
	return sums->groups[place];
}

static void
report_score(const Sums *sums, const char *score, const Ratings *ratings)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("score %s is not on the scale %d to %d", score, ratings->lo, ratings_hi(ratings)),
			 errdetail("Rollup \"%s\" counts it.", sums->name),
			 errhint("Give the right score; or make the rollup with a filter that leaves such rows out.")));
}

static int64
whole_score(const Sums *sums, Numeric score)
{
	Datum		whole = DirectFunctionCall2(numeric_trunc, NumericGetDatum(score), Int32GetDatum(0));

	if (numeric_is_nan(score) || numeric_is_inf(score)
		|| DatumGetInt32(DirectFunctionCall2(numeric_cmp, whole, NumericGetDatum(score))) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("score %s is not a whole number", DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(score)))),
				 errdetail("Rollup \"%s\" counts it.", sums->name)));
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, whole));
}

static void
add_score(const Sums *sums, const Measure *measure, State *state, Datum value, ExprContext *context)
{
	int64		score = measure->type == NUMERICOID ? whole_score(sums, DatumGetNumeric(value)) : DatumGetInt64(value);
	bool		no_lo;
	bool		no_hi;
	int32		lo = DatumGetInt32(ExecEvalExprSwitchContext(measure->lo, context, &no_lo));
	int32		hi = DatumGetInt32(ExecEvalExprSwitchContext(measure->hi, context, &no_hi));
	Ratings    *ratings = &state->ratings;

	if (no_lo || no_hi)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a score of rollup \"%s\" has no scale", sums->name),
				 errdetail("The score is " INT64_FORMAT "; an end of its scale is NULL.", score)));
	if (ratings->points == 0 && ratings_init_scale(ratings, lo, (int64) hi - lo + 1) != RATINGS_OK)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%d to %d is no scale", lo, hi),
				 errdetail("Rollup \"%s\" counts a score on it. A scale has 2 to 11 points between -128 and 127.", sums->name)));
	if (ratings->lo != lo || ratings_hi(ratings) != hi)
		elog(ERROR, "scores of one group of rollup \"%s\" are on scales %d to %d and %d to %d", sums->name, ratings->lo, ratings_hi(ratings), lo, hi);
	if (ratings_count_up(ratings, score, 1) != RATINGS_OK)
		report_score(sums, psprintf(INT64_FORMAT, score), ratings);
}

static void
add_number(const Sums *sums, State *state, Datum value, ExprContext *context)
{
	Numeric		number = DatumGetNumeric(value);
	Datum		sum;
	MemoryContext old;

	if (numeric_is_nan(number) || numeric_is_inf(number))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s cannot be summed up by rollup \"%s\"", DatumGetCString(DirectFunctionCall1(numeric_out, value)), sums->name),
				 errdetail("What is added to a sum must be such that it can be taken away again."),
				 errhint("Make the rollup with a filter that leaves such values out.")));
	old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
	sum = NumericGetDatum(number);
	if (state->n > 0)
		sum = DirectFunctionCall2(numeric_add, state->sum, sum);
	MemoryContextSwitchTo(sums->context);
	if (state->n > 0)
		pfree(DatumGetPointer(state->sum));
	state->sum = datumCopy(sum, false, -1);
	MemoryContextSwitchTo(old);
	state->n++;
}

/*
 * Writing
 */

static bool
is_zero_sum(const Cell *group, const Rollup *rollup)
{
	if (group->n[0] != group->n[1])
		return false;
	for (int i = 0; i < rollup->nmeasures; i++)
	{
		const State *came = &group->states[0][i];
		const State *went = &group->states[1][i];

		if (came->n != went->n || memcmp(&came->ratings, &went->ratings, sizeof(Ratings)) != 0)
			return false;
		if (rollup->measures[i].kind == SUM && came->n > 0
			&& DatumGetInt32(DirectFunctionCall2(numeric_cmp, came->sum, went->sum)) != 0)
			return false;
	}
	return true;
}

static void
check_delta(Relation delta, const Rollup *rollup, const char *name)
{
	int			ncolumns = DELTA_KEYS + rollup->nkeys;

	for (int i = 0; i < rollup->nmeasures; i++)
		ncolumns += rollup->measures[i].kind == SUM ? 2 : 1;
	if (delta->rd_rel->relkind != RELKIND_RELATION || delta->rd_rel->relhasindex
		|| RelationGetDescr(delta)->natts != ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is not as rollup \"%s\" made it", RelationGetRelationName(delta), name),
				 errhint("Columns and indexes of yours cannot be kept there: drop them, or make the rollup anew.")));
	for (int i = 0; i < ncolumns; i++)
	{
		if (TupleDescAttr(RelationGetDescr(delta), i)->attisdropped)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("rollup \"%s\" cannot be kept any longer", name),
					 errdetail("A column of %s was dropped, as DROP EXTENSION cxm CASCADE does.", RelationGetRelationName(delta)),
					 errhint("Run SELECT cxm.upgrade_store().")));
	}
}

static void
write_side(Relation delta, TupleTableSlot *slot, const Rollup *rollup, const Cell *group, int side)
{
	Datum	   *values = slot->tts_values;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, slot->tts_tupleDescriptor->natts * sizeof(bool));
	values[DELTA_WEIGHT] = Int16GetDatum(side == 0 ? 1 : -1);
	values[DELTA_N] = Int64GetDatum(group->n[side]);
	memcpy(&values[DELTA_KEYS], group->keys, rollup->nkeys * sizeof(Datum));
	memcpy(&slot->tts_isnull[DELTA_KEYS], group->nulls, rollup->nkeys * sizeof(bool));
	for (int i = 0; i < rollup->nmeasures; i++)
	{
		const Measure *measure = &rollup->measures[i];
		State	   *state = &group->states[side][i];

		switch (measure->kind)
		{
			case COUNT:
				values[measure->column] = Int64GetDatum(state->n);
				break;
			case SUM:
				values[measure->column] = state->n > 0 ? state->sum
					: DirectFunctionCall1(int4_numeric, Int32GetDatum(0));
				values[measure->column + 1] = Int64GetDatum(state->n);
				break;
			case RATINGS:
				values[measure->column] = PointerGetDatum(&state->ratings);
				break;
		}
	}
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(delta, slot, GetCurrentCommandId(true), 0, NULL);
}

/* Write the groups, and begin anew */
static void
write_sums(Sums *sums)
{
	Rollup	   *rollup = sums->rollup;
	Relation	delta;
	TupleTableSlot *slot;

	if (sums->n == 0)
		return;
	delta = table_open(rollup->delta, RowExclusiveLock);
	check_delta(delta, rollup, sums->name);
	slot = table_slot_create(delta, NULL);
	for (uint32 i = 0; i < sums->size; i++)
	{
		Cell	   *group = sums->groups[i];

		if (group == NULL || is_zero_sum(group, rollup))
			continue;
		CHECK_FOR_INTERRUPTS();
		for (int side = 0; side < 2; side++)
		{
			if (group->n[side] > 0)
				write_side(delta, slot, rollup, group, side);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(delta, NoLock);

	MemoryContextReset(sums->context);
	memset(sums->groups, 0, sums->size * sizeof(Cell *));
	sums->n = 0;
}

/* Count a row that came (side 0) or went (side 1) */
static void
add_row(Sums *sums, TupleTableSlot *slot, int side)
{
	const Rollup *rollup = sums->rollup;
	ExprContext *context = GetPerTupleExprContext(rollup->estate);
	Cell	   *group;

	ResetExprContext(context);
	context->ecxt_scantuple = slot;
	if (!ExecQual(rollup->filter, context))
		return;
	if (sums->n >= sums->size / 2)
	{
		if (sums->n >= MAX_GROUPS)
			write_sums(sums);
		else
			grow_sums(sums);
	}
	group = find_group(sums, context);
	group->n[side]++;
	for (int i = 0; i < rollup->nmeasures; i++)
	{
		const Measure *measure = &rollup->measures[i];
		State	   *state = &group->states[side][i];
		bool		is_null;
		Datum		value = ExecEvalExprSwitchContext(measure->value, context, &is_null);

		if (is_null)
			continue;
		switch (measure->kind)
		{
			case COUNT:
				state->n++;
				break;
			case SUM:
				add_number(sums, state, value, context);
				break;
			case RATINGS:
				add_score(sums, measure, state, value, context);
				break;
		}
	}
}

static void
add_rows(Sums *sums, Tuplestorestate *store, TupleDesc desc, int side)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	int			pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(store, pointer);
	while (tuplestore_gettupleslot(store, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		add_row(sums, slot, side);
		/* an expression of somebody's may have moved it */
		tuplestore_select_read_pointer(store, pointer);
	}
	tuplestore_select_read_pointer(store, 0);
	ExecDropSingleTupleTableSlot(slot);
}

/* What cx.rollup says of a rollup; NULL when it says nothing */
static char *
read_rollup(int32 id, Snapshot snapshot, Oid *source, bool *is_live)
{
	CxmStoreScan scan;
	HeapTuple	row;
	char	   *name = NULL;

	if (!cxm_begin_store_scan(&scan, "rollup", "rollup_pkey", "rollup_id", id, snapshot))
		return NULL;
	row = cxm_next_store_row(&scan);
	if (row != NULL)
	{
		bool		is_null;

		name = TextDatumGetCString(cxm_store_column(&scan, row, "name", &is_null));
		*source = DatumGetObjectId(cxm_store_column(&scan, row, "source", &is_null));
		*is_live = strcmp(TextDatumGetCString(cxm_store_column(&scan, row, "state", &is_null)), "live") == 0;
	}
	cxm_end_store_scan(&scan);
	return name;
}

/* Append what stands in a table of the rollup, base or delta, to the delta table with its sign turned */
static void
append_reversed(Relation delta, Relation table, Snapshot snapshot)
{
	int			first = table == delta ? 0 : 1; /* the base table has no weights */
	int			ncolumns = RelationGetDescr(delta)->natts - first;
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TupleTableSlot *reversed = MakeSingleTupleTableSlot(RelationGetDescr(delta), &TTSOpsVirtual);
	TableScanDesc scan = table_beginscan(table, snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		ExecClearTuple(reversed);
		memcpy(&reversed->tts_values[first], slot->tts_values, ncolumns * sizeof(Datum));
		memcpy(&reversed->tts_isnull[first], slot->tts_isnull, ncolumns * sizeof(bool));
		reversed->tts_values[DELTA_WEIGHT] = Int16GetDatum(first > 0 ? -1
														   : -DatumGetInt16(slot->tts_values[DELTA_WEIGHT]));
		reversed->tts_isnull[DELTA_WEIGHT] = false;
		ExecStoreVirtualTuple(reversed);
		table_tuple_insert(delta, reversed, GetCurrentCommandId(true), 0, NULL);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(reversed);
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * When the source itself is emptied, and all that was in it is counted, what
 * is counted goes, and no row needs to be read.  Nothing is deleted, so
 * neither a fold nor a reader with an older snapshot is disturbed.  False when
 * the rows are to be read, also when that is not much more: a table that is
 * emptied time and again between two folds would double the delta table.
 */
static bool
take_away_counted(const Rollup *rollup, const Arguments *arguments, Relation relation)
{
	Snapshot	snapshot;
	Oid			source;
	bool		is_live = false;

	if (RelationGetRelid(relation) != rollup->source || relation->rd_rel->relhassubclass
		|| relation->rd_rel->relispartition)
		return false;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (read_rollup(arguments->id, snapshot, &source, &is_live) != NULL && is_live)
	{
		Relation	delta = table_open(rollup->delta, RowExclusiveLock);
		Relation	base = table_open(find_table(arguments, "base"), AccessShareLock);

		check_delta(delta, rollup, arguments->name);
		is_live = RelationGetDescr(base)->natts == RelationGetDescr(delta)->natts - 1
			&& RelationGetNumberOfBlocks(base) + RelationGetNumberOfBlocks(delta)
			< RelationGetNumberOfBlocks(relation) / 8;
		if (is_live)
		{
			append_reversed(delta, base, snapshot);
			append_reversed(delta, delta, snapshot);
		}
		table_close(base, NoLock);
		table_close(delta, NoLock);
	}
	UnregisterSnapshot(snapshot);
	return is_live;
}

/* All rows of a table that is about to be emptied go, also those that an old snapshot does not show */
static void
take_away_all(Sums *sums, Relation relation)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		add_row(sums, slot, 1);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
}

/*
 * Triggers
 */

static const char *
event_name(const TriggerData *trigger)
{
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		return "insert";
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		return "update";
	return TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ? "delete" : "truncate";
}

/*
 * The argument is "number, columns of a group, kinds of measures, name", such
 * as "3 2 rc store_nps"; one argument, since each statement copies them all.
 */
static bool
read_arguments(char *argument, Arguments *arguments)
{
	char	   *end;
	size_t		length;

	arguments->id = strtol(argument, &end, 10);
	if (*end != ' ')
		return false;
	arguments->nkeys = strtol(end, &end, 10);
	if (*end != ' ' || arguments->nkeys < 1 || arguments->nkeys > MAX_COLUMNS)
		return false;
	length = strspn(++end, "csr");
	if (length > MAX_COLUMNS || end[length] != ' ')
		return false;
	memcpy(arguments->kinds, end, length);
	arguments->kinds[length] = '\0';
	arguments->name = end + length + 1;
	return true;
}

/* a trigger of another name would count everything once more */
static bool
has_right_name(const TriggerData *trigger, int32 id)
{
	const char *name = trigger->tg_trigger->tgname;
	char	   *end;

	return strncmp(name, "rollup_", 7) == 0 && strtol(name + 7, &end, 10) == id
		&& *end == '_' && strcmp(end + 1, event_name(trigger)) == 0;
}

static bool
is_called_well(const TriggerData *trigger, Arguments *arguments)
{
	if (!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1
		|| !read_arguments(trigger->tg_trigger->tgargs[0], arguments) || !has_right_name(trigger, arguments->id))
		return false;
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		return TRIGGER_FIRED_BEFORE(trigger->tg_event) && trigger->tg_relation->rd_rel->relkind == RELKIND_RELATION;
	return TRIGGER_FIRED_AFTER(trigger->tg_event)
		&& (trigger->tg_newtable != NULL) == !TRIGGER_FIRED_BY_DELETE(trigger->tg_event)
		&& (trigger->tg_oldtable != NULL) == !TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
}

static bool
has_rows(Tuplestorestate *store)
{
	return store != NULL && tuplestore_tuple_count(store) > 0;
}

PG_FUNCTION_INFO_V1(cxm_rollup_delta);

/* cxm.rollup_delta() */
Datum
cxm_rollup_delta(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;
	Arguments	arguments;
	Rollup	   *rollup;

	if (!CALLED_AS_TRIGGER(fcinfo) || !is_called_well(trigger, &arguments))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("cxm.rollup_delta() must be called as a trigger that cxm.create_rollup() has made")));
	if (!TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)
		&& !has_rows(trigger->tg_newtable) && !has_rows(trigger->tg_oldtable))
		return PointerGetDatum(NULL);

	rollup = find_rollup(arguments.id, RelationGetRelid(trigger->tg_relation));
	if (rollup->is_busy)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("an expression of rollup \"%s\" writes to the table that it is about", arguments.name)));
	rollup->is_busy = true;
	PG_TRY();
	{
		if (!rollup->is_good)
		{
			rollup->is_good = false;
			learn_rollup(rollup, trigger->tg_relation, &arguments);
		}
		if (rollup->is_member)
		{
			Sums		sums;

			begin_sums(&sums, rollup, arguments.name);
			if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)
				&& !take_away_counted(rollup, &arguments, trigger->tg_relation))
				take_away_all(&sums, trigger->tg_relation);
			if (has_rows(trigger->tg_oldtable))
				add_rows(&sums, trigger->tg_oldtable, RelationGetDescr(trigger->tg_relation), 1);
			if (has_rows(trigger->tg_newtable))
				add_rows(&sums, trigger->tg_newtable, RelationGetDescr(trigger->tg_relation), 0);
			write_sums(&sums);
			MemoryContextDelete(sums.context);
			cxm_mark_partitions(arguments.id, trigger->tg_relation);
			ResetPerTupleExprContext(rollup->estate);
		}
	}
	PG_CATCH();
	{
		rollup->is_busy = false;
		rollup->is_good = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	rollup->is_busy = false;
	rollup->is_good &= rollup->is_kept;
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(cxm_rollup_guard);

/*
 * cxm.rollup_guard()
 *
 * Rows of a rollup's own tables are written above, or under a lock.  What
 * comes without is loaded from a dump of data alone, and while that is loaded
 * the triggers of the source count its rows.
 */
Datum
cxm_rollup_guard(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event)
		|| !TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("cxm.rollup_guard() must be called as a trigger BEFORE INSERT, FOR EACH ROW")));
	if (!CheckRelationLockedByMe(trigger->tg_relation, ShareRowExclusiveLock, true))
		return PointerGetDatum(NULL);
	return PointerGetDatum(trigger->tg_trigtuple);
}

/*
 * Who may read
 */

PG_FUNCTION_INFO_V1(cxm_can_read_rollup);

/* cxm.can_read_rollup(rollup_id) */
Datum
cxm_can_read_rollup(PG_FUNCTION_ARGS)
{
	int32		id = PG_GETARG_INT32(0);
	Oid			source = InvalidOid;
	bool		is_live = false;
	char	   *name = read_rollup(id, GetActiveSnapshot(), &source, &is_live);
	char	   *table = NULL;
	CxmPartitions partitions;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("rollup %d is not in cx.rollup", id),
				 errhint("Its row was deleted or not restored.")));
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source)))
		table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(source)), get_rel_name(source));
	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rollup \"%s\" has lost its source", name),
				 errdetail("The table that it counts was dropped."),
				 errhint("SELECT cxm.drop_rollup(%s).", quote_literal_cstr(name))));
	if (pg_class_aclcheck(source, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for rollup \"%s\"", name),
				 errdetail("Role \"%s\" may not read table %s, which it counts.", GetUserNameFromId(GetUserId(), false), table),
				 errhint("GRANT SELECT ON %s.", table)));
	if (check_enable_rls(source, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for rollup \"%s\"", name),
				 errdetail("Row-level security hides rows of table %s from role \"%s\", and the rollup counts them all.", table, GetUserNameFromId(GetUserId(), false)),
				 errhint("Ask the table.")));
	if (!is_live)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rollup \"%s\" is not complete yet", name),
				 errdetail("Rows that table %s had before are still to be counted.", table),
				 errhint("CALL cxm.backfill_rollup(%s).", quote_literal_cstr(name))));
	partitions = cxm_check_partitions(id, source);
	if (partitions == CXM_PARTITIONS_CHANGED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rollup \"%s\" does not count the partitions that table %s has", name, table),
				 errdetail("Some with rows came or went (ATTACH, DETACH, DROP), or this transaction began before that was made up for."),
				 errhint("SELECT cxm.refresh_rollup(%s). Upkeep does it, too; cxm.drop_partition() removes a partition without this.", quote_literal_cstr(name))));
	if (partitions == CXM_PARTITIONS_INHERIT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rollup \"%s\" cannot be kept any longer", name),
				 errdetail("Table %s takes part in inheritance, or has become a partition: statements on other tables reach it, or its children, without firing its triggers.", table),
				 errhint("End that, and CALL cxm.backfill_rollup(%1$s); or SELECT cxm.drop_rollup(%1$s).", quote_literal_cstr(name))));
	PG_RETURN_BOOL(true);
}

/*
 * What rollups can be made of
 */

/* where in the text is no place in the statement that the user wrote */
static void
forget_position(void *context)
{
	if (geterrposition() > 0)
		errposition(0);
	errmsg("%s is not an expression: %s", ((char **) context)[0], ((char **) context)[1]);
}

PG_FUNCTION_INFO_V1(cxm_check_expression);

/* cxm.check_expression(expression, what): the text is one expression, so that it stays one in a statement */
Datum
cxm_check_expression(PG_FUNCTION_ARGS)
{
	char	   *expression = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *what = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *texts[] = {what, expression};
	ErrorContextCallback callback;
	List	   *statements;
	SelectStmt *select = NULL;

	callback.previous = error_context_stack;
	callback.callback = forget_position;
	callback.arg = texts;
	error_context_stack = &callback;
	statements = raw_parser(psprintf("SELECT (%s\n)", expression), RAW_PARSE_DEFAULT);
	error_context_stack = callback.previous;
	if (list_length(statements) == 1)
		select = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;
	if (select == NULL || !IsA(select, SelectStmt) || select->op != SETOP_NONE || list_length(select->targetList) != 1
		|| select->distinctClause != NIL || select->intoClause != NULL || select->fromClause != NIL
		|| select->whereClause != NULL || select->groupClause != NIL || select->havingClause != NULL
		|| select->windowClause != NIL || select->valuesLists != NIL || select->sortClause != NIL
		|| select->limitOffset != NULL || select->limitCount != NULL || select->lockingClause != NIL
		|| select->withClause != NULL || linitial_node(ResTarget, select->targetList)->name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("%s is not an expression: %s", what, expression),
				 errhint("Give a column, or an expression of columns.")));
	PG_RETURN_VOID();
}

typedef struct Reading
{
	const char *column;
	TupleDesc	desc;
} Reading;

static bool
check_reading(Node *node, Reading *reading)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		AttrNumber	number = ((Var *) node)->varattno;

		if (number <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s of a rollup reads %s", reading->column, number == 0 ? "whole rows" : "a system column"),
					 errhint("Name the columns that it is about.")));
		if (TupleDescAttr(reading->desc, number - 1)->attgenerated == 'v')
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s of a rollup reads column \"%s\", which is not stored", reading->column, NameStr(TupleDescAttr(reading->desc, number - 1)->attname)),
					 errhint("Give the expression by which it is generated.")));
	}
	return expression_tree_walker(node, check_reading, (void *) reading);
}

static void
check_column(Node *expression, const char *column, TupleDesc desc, bool may_change)
{
	Reading		reading = {column, desc};

	(void) check_reading(expression, &reading);
	if (expression_returns_set(expression))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s of a rollup gives several rows", column)));
	if (!may_change && contain_mutable_functions((Node *) expression_planner((Expr *) copyObject(expression))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("%s of a rollup is not the same for the same row at all times", column),
				 errdetail("It calls a function that is not IMMUTABLE: such as one that goes by the session's time zone or by what is in other tables. What it gave when a row came could not be taken away when the row goes."),
				 errhint("State the time zone, as in (at AT TIME ZONE 'Europe/Berlin')::date; join other tables when you read the rollup. What belongs to a person changes by merges: count by columns of the record, such as identifier_id.")));
}

PG_FUNCTION_INFO_V1(cxm_check_rollup_rows);

/* cxm.check_rollup_rows(rows, source, nkeys, labels): the view can be evaluated row by row */
Datum
cxm_check_rollup_rows(PG_FUNCTION_ARGS)
{
	Relation	view = relation_open(PG_GETARG_OID(0), AccessShareLock);
	Oid			source = PG_GETARG_OID(1);
	int			nkeys = PG_GETARG_INT32(2);
	Query	   *query;
	RangeTblRef *from;
	Relation	table;
	ListCell   *cell;
	Datum	   *labels;
	bool	   *nulls;
	int			nlabels;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(3), TEXTOID, -1, false, TYPALIGN_INT, &labels, &nulls, &nlabels);

	if (view->rd_rel->relkind != RELKIND_VIEW)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("%s is not a view", RelationGetRelationName(view))));
	query = get_view_query(view);
	from = list_length(query->jointree->fromlist) == 1 ? linitial(query->jointree->fromlist) : NULL;
	if (query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs || query->hasSubLinks
		|| query->groupClause != NIL || query->havingQual != NULL || query->distinctClause != NIL
		|| query->setOperations != NULL || query->cteList != NIL
		|| query->limitCount != NULL || query->limitOffset != NULL
		|| from == NULL || !IsA(from, RangeTblRef) || rt_fetch(from->rtindex, query->rtable)->relid != source)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("what a rollup reads must come from a row of its source alone"),
				 errdetail("An aggregate, a window function, a function that returns rows or a subquery does not."),
				 errhint("Join other tables when you read the rollup. Who a person is changes by merges: count by columns of the record, such as identifier_id.")));

	table = relation_open(source, AccessShareLock);
	foreach(cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		char	   *column = entry->resname;
		Oid			type = exprType((Node *) entry->expr);

		if (entry->resno <= nlabels && !nulls[entry->resno - 1])
			column = TextDatumGetCString(labels[entry->resno - 1]);

		/* periods are cut in a zone that is stated, and times are what they are cut from */
		check_column((Node *) entry->expr, column, RelationGetDescr(table),
					 entry->resno == 1 || entry->resno == list_length(query->targetList));
		if (entry->resno > 1 && entry->resno <= nkeys)
		{
			TypeCacheEntry *cache = lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC | TYPECACHE_HASH_PROC
													  | TYPECACHE_EQ_OPR);

			if (!OidIsValid(cache->hash_proc) || !OidIsValid(cache->hash_extended_proc) || !OidIsValid(cache->eq_opr))
				ereport(ERROR,
						(errcode(ERRCODE_DATATYPE_MISMATCH),
						 errmsg("%s of type %s cannot be a dimension", column, format_type_be(type)),
						 errdetail("Values of the type cannot be grouped by hashing."),
						 errhint("Cast it to another type, such as text.")));
		}
	}
	check_column(query->jointree->quals, "the filter", RelationGetDescr(table), false);
	relation_close(table, AccessShareLock);
	relation_close(view, AccessShareLock);
	PG_RETURN_VOID();
}
