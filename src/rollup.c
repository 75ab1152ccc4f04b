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
#include "datatype/timestamp.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "partition.h"
#include "pgtime.h"
#include "ratings_core.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#if PG_VERSION_NUM >= 160000
#define map_by_name(in, out) build_attrmap_by_name(in, out, false)
#else
#define map_by_name(in, out) build_attrmap_by_name(in, out)
#endif

/* groups that are held in memory; when there are more, these are written and it begins anew */
#define MAX_GROUPS 8192

/* places for groups before memory is asked for; a power of two */
#define FEW_GROUPS 16

/* columns of a group, and measures, that a rollup can have */
#define MAX_COLUMNS 31

/* seconds from 1970, when a zone's time begins, to 2000 */
#define EPOCH ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

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

/*
 * Periods are cut from a time by date_trunc() in a time zone, which takes as
 * long as all the rest.  The period of a row is mostly that of the row before:
 * so it is kept from when to when times are known to be in it.
 */
typedef struct Period
{
	ExprState  *at;				/* the time; NULL = cut in another way, so nothing is kept */
	pg_tz	   *zone;
	TimestampTz step;			/* longer than any period, shorter than any two */
	FmgrInfo	cut;
	Datum		unit;			/* arguments of date_trunc() */
	Datum		zone_name;
	TimestampTz start;			/* of the last period */
	TimestampTz from;			/* times from here on are in it */
	TimestampTz to;				/* up to but not including this */
} Period;

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
	Period		period;
	int			nkeys;			/* the period, and the dimensions */
	Key		   *keys;
	int			nmeasures;
	Measure    *measures;
	TupleTableSlot *row;		/* of the delta table */
} Rollup;

typedef struct State
{
	int64		n;				/* values; of scores the ratings have it */
	Datum		sum;			/* of numerics; 0 = none yet */
	Ratings		ratings;
} State;

typedef struct Cell
{
	uint32		hash;
	int64		n[2];			/* rows that came, rows that went */
	State	   *states[2];		/* of each measure */
	Datum	   *keys;
	bool	   *nulls;
} Cell;

typedef struct Sums
{
	Rollup	   *rollup;
	MemoryContext context;		/* of the groups */
	uint32		size;			/* of the table, a power of two */
	uint32		n;
	Cell	  **groups;			/* by hash */
	Cell	   *first[FEW_GROUPS];	/* the table, as long as there are few */
	Datum		keys[MAX_COLUMNS];	/* of the row at hand */
	bool		nulls[MAX_COLUMNS];
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

/* for errors; a number as long as a dump of data alone has not come to cx.rollup */
static char *
rollup_name(const Rollup *rollup)
{
	Oid			source;
	bool		is_live;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	char	   *name = read_rollup(rollup->key.id, snapshot, &source, &is_live);

	UnregisterSnapshot(snapshot);
	return name != NULL ? name : psprintf("%d", rollup->key.id);
}

static Oid
find_table(const Rollup *rollup, const char *suffix)
{
	char	   *table = psprintf("rollup_%d_%s", rollup->key.id, suffix);
	Oid			schema = get_namespace_oid("cx", true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid(table, schema) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rollup \"%s\" cannot be kept any longer", rollup_name(rollup)),
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
	TargetEntry *entry = get_tle_by_resno(query->targetList, number);

	return entry == NULL ? InvalidOid : exprType((Node *) entry->expr);
}

static void
report_delta(const Rollup *rollup, Relation delta)
{
	for (int i = 0; i < RelationGetDescr(delta)->natts; i++)
	{
		if (TupleDescAttr(RelationGetDescr(delta), i)->attisdropped)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("rollup \"%s\" cannot be kept any longer", rollup_name(rollup)),
					 errdetail("A column of %s was dropped, as DROP EXTENSION cxm CASCADE does.", RelationGetRelationName(delta)),
					 errhint("Run SELECT cxm.upgrade_store().")));
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s is not as rollup \"%s\" made it", RelationGetRelationName(delta), rollup_name(rollup)),
			 errhint("Columns and indexes of yours cannot be kept there: drop them, or make the rollup anew.")));
}

/* What a column of the delta table is; 0 = what this does not write */
static unsigned char
column_kind(TupleDesc desc, int number)
{
	Form_pg_attribute column = number < desc->natts ? TupleDescAttr(desc, number) : NULL;

	if (column == NULL || column->attisdropped)
		return '\0';
	if (column->atttypid == INT8OID)
		return COUNT;
	if (column->atttypid == NUMERICOID)
		return SUM;
	return !column->attbyval && column->attlen == sizeof(Ratings) ? RATINGS : '\0';
}

/*
 * The delta table says what is measured: its columns are those that
 * cxm.create_rollup() has made, a sum followed by the number of its values.
 */
static void
prepare_measures(Rollup *rollup, const Query *query, Relation delta)
{
	TupleDesc	desc = RelationGetDescr(delta);
	int			number = rollup->nkeys + 1;

	rollup->nmeasures = 0;
	rollup->measures = palloc0(MAX_COLUMNS * sizeof(Measure));
	for (int column = DELTA_KEYS + rollup->nkeys; column < desc->natts; column++)
	{
		Measure    *measure = &rollup->measures[rollup->nmeasures];

		measure->kind = column_kind(desc, column);
		measure->column = column;
		measure->type = column_type(query, number);
		if (rollup->nmeasures >= MAX_COLUMNS || measure->kind == 0
			|| (measure->kind == SUM && (measure->type != NUMERICOID || column_kind(desc, column + 1) != COUNT))
			|| (measure->kind == RATINGS && ((measure->type != INT8OID && measure->type != NUMERICOID)
											 || column_type(query, number + 1) != INT4OID
											 || column_type(query, number + 2) != INT4OID)))
			report_delta(rollup, delta);
		measure->value = prepare_column(rollup, query, number++);
		if (measure->kind == SUM)
			column++;
		if (measure->kind == RATINGS)
		{
			measure->lo = prepare_column(rollup, query, number++);
			measure->hi = prepare_column(rollup, query, number++);
		}
		rollup->nmeasures++;
	}
}

static void
prepare_keys(Rollup *rollup, const Query *query, Relation delta)
{
	TupleDesc	desc = RelationGetDescr(delta);

	/* names of measures begin with m, those of the columns of a group do not */
	rollup->nkeys = 0;
	while (DELTA_KEYS + rollup->nkeys < desc->natts
		   && NameStr(TupleDescAttr(desc, DELTA_KEYS + rollup->nkeys)->attname)[0] != 'm')
		rollup->nkeys++;
	if (rollup->nkeys < 1 || rollup->nkeys > MAX_COLUMNS
		|| TupleDescAttr(desc, DELTA_WEIGHT)->atttypid != INT2OID || column_kind(desc, DELTA_N) != COUNT)
		report_delta(rollup, delta);

	rollup->keys = palloc0(rollup->nkeys * sizeof(Key));
	for (int i = 0; i < rollup->nkeys; i++)
	{
		Key		   *key = &rollup->keys[i];
		Oid			type = column_type(query, i + 1);
		Form_pg_attribute column = TupleDescAttr(desc, DELTA_KEYS + i);

		if (column->attisdropped || column->atttypid != type)
			report_delta(rollup, delta);
		key->value = prepare_column(rollup, query, i + 1);
		key->collation = exprCollation((Node *) get_tle_by_resno(query->targetList, i + 1)->expr);
		key->type = lookup_type_cache(type, TYPECACHE_HASH_PROC_FINFO | TYPECACHE_EQ_OPR_FINFO);
		if (!OidIsValid(key->type->hash_proc_finfo.fn_oid) || !OidIsValid(key->type->eq_opr_finfo.fn_oid))
			elog(ERROR, "type %s cannot be a dimension", format_type_be(type));
	}
}

/* The text of a constant, or NULL */
static Const *
text_constant(Node *node)
{
	Const	   *constant = (Const *) node;

	return IsA(node, Const) && constant->consttype == TEXTOID && !constant->constisnull ? constant : NULL;
}

/*
 * Is the period CASE WHEN isfinite(at) THEN date_trunc(unit, at, zone) ELSE at
 * END, as cxm.rollup_period() has it mostly?  The name of the zone must be no
 * abbreviation, which may stand for something else.
 */
static void
prepare_period(Rollup *rollup, const Query *query)
{
	static const struct
	{
		const char *unit;
		int			hours;
	}			steps[] = {{"hour", 1}, {"day", 36}, {"week", 240}, {"month", 1080}, {"quarter", 3240}, {"year", 12960}};
	Period	   *period = &rollup->period;
	CaseExpr   *choice = (CaseExpr *) get_tle_by_resno(query->targetList, 1)->expr;
	FuncExpr   *cut;
	Const	   *unit;
	Const	   *zone;
	char	   *name;

	memset(period, 0, sizeof(Period));
	if (!IsA(choice, CaseExpr) || choice->arg != NULL || list_length(choice->args) != 1 || choice->defresult == NULL)
		return;
	cut = (FuncExpr *) linitial_node(CaseWhen, choice->args)->result;
	if (!IsA(cut, FuncExpr) || cut->funcid != F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT
		|| !equal(lsecond(cut->args), choice->defresult))
		return;
	unit = text_constant(linitial(cut->args));
	zone = text_constant(lthird(cut->args));
	if (unit == NULL || zone == NULL)
		return;
	name = TextDatumGetCString(zone->constvalue);
	if (strchr(name, '/') == NULL && strcmp(name, "UTC") != 0)
		return;
	period->zone = pg_tzset(name);
	if (period->zone == NULL)
		return;
	for (size_t i = 0; i < lengthof(steps); i++)
	{
		if (strcmp(TextDatumGetCString(unit->constvalue), steps[i].unit) == 0)
			period->step = i == 0 ? USECS_PER_HOUR * 3 / 2 : steps[i].hours * USECS_PER_HOUR;
	}
	if (period->step == 0)
		return;
	fmgr_info(cut->funcid, &period->cut);
	period->unit = unit->constvalue;
	period->zone_name = zone->constvalue;
	period->at = ExecPrepareExpr(choice->defresult, rollup->estate);
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
learn_rollup(Rollup *rollup, Relation relation)
{
	MemoryContext old;
	Query	   *query;

	if (rollup->context != NULL)
		MemoryContextDelete(rollup->context);
	rollup->context = NULL;
	rollup->rows = find_table(rollup, "rows");
	rollup->delta = find_table(rollup, "delta");
	rollup->context = AllocSetContextCreate(CacheMemoryContext, "cxm rollup", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(rollup->context);

	/* said first: what changes while it is looked at makes this bad again */
	rollup->is_good = true;
	rollup->is_kept = true;
	query = read_view(rollup, relation);
	if (rollup->is_member)
	{
		Relation	delta = table_open(rollup->delta, RowExclusiveLock);

		if (delta->rd_rel->relkind != RELKIND_RELATION || RelationGetDescr(delta)->natts <= DELTA_KEYS)
			report_delta(rollup, delta);
		rollup->estate = CreateExecutorState();
		prepare_keys(rollup, query, delta);
		prepare_measures(rollup, query, delta);
		prepare_period(rollup, query);
		rollup->is_kept &= !calls_users(query->jointree->quals, NULL);
		rollup->filter = ExecPrepareQual(make_ands_implicit((Expr *) query->jointree->quals), rollup->estate);
		rollup->row = MakeTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(delta)), table_slot_callbacks(delta));
		table_close(delta, NoLock);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Sums
 */

static void
begin_sums(Sums *sums, Rollup *rollup)
{
	sums->rollup = rollup;
	sums->size = FEW_GROUPS;
	sums->n = 0;
	sums->groups = sums->first;
	memset(sums->first, 0, sizeof(sums->first));
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
	if (old != sums->first)
		pfree(old);
}

static Cell *
add_group(Sums *sums, uint32 hash)
{
	const Rollup *rollup = sums->rollup;
	MemoryContext old = MemoryContextSwitchTo(sums->context);
	Size		states = MAXALIGN(rollup->nmeasures * sizeof(State));
	Size		keys = MAXALIGN(rollup->nkeys * sizeof(Datum));
	Cell	   *group = palloc0(MAXALIGN(sizeof(Cell)) + 2 * states + keys + rollup->nkeys * sizeof(bool));
	char	   *rest = (char *) group + MAXALIGN(sizeof(Cell));

	group->hash = hash;
	group->states[0] = (State *) rest;
	group->states[1] = (State *) (rest + states);
	group->keys = (Datum *) (rest + 2 * states);
	group->nulls = (bool *) (rest + 2 * states + keys);
	for (int i = 0; i < rollup->nkeys; i++)
	{
		group->nulls[i] = sums->nulls[i];
		if (!sums->nulls[i])
			group->keys[i] = datumCopy(sums->keys[i], rollup->keys[i].type->typbyval, rollup->keys[i].type->typlen);
	}
	for (int i = 0; i < rollup->nmeasures; i++)
	{
		ratings_init(&group->states[0][i].ratings);
		ratings_init(&group->states[1][i].ratings);
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

static TimestampTz
cut_period(Period *period, TimestampTz at)
{
	return DatumGetTimestampTz(FunctionCall3(&period->cut, period->unit, TimestampTzGetDatum(at), period->zone_name));
}

/*
 * From a time on that is in a period: till when is all that follows in it?  As
 * long as the zone's clock is not changed it only goes forward, so what lies
 * between two times of one period is in it, too.
 */
static void
keep_period(Period *period, TimestampTz at, TimestampTz start)
{
	pg_time_t	second = at / USECS_PER_SEC + EPOCH - 1;
	pg_time_t	change;
	long		before;
	long		after;
	int			is_dst_before;
	int			is_dst_after;
	int			found;
	TimestampTz to;

	period->from = period->to = 0;
	/* far from the ends of what a time can be */
	if (at < -USECS_PER_DAY * 365 * 4000 || at > USECS_PER_DAY * 365 * 100000)
		return;
	to = cut_period(period, start + period->step);
	found = pg_next_dst_boundary(&second, &before, &is_dst_before, &change, &after, &is_dst_after, period->zone);
	if (found < 0)
		return;
	if (found > 0)
		to = Min(to, (change - EPOCH) * USECS_PER_SEC);
	if (to <= at || cut_period(period, to - 1) != start)
		return;
	period->from = at;
	period->to = to;
}

static Datum
find_period(Rollup *rollup, ExprContext *context, bool *is_null)
{
	Period	   *period = &rollup->period;
	Datum		value;
	TimestampTz at;
	MemoryContext old;

	if (period->at == NULL)
		return ExecEvalExprSwitchContext(rollup->keys[0].value, context, is_null);
	value = ExecEvalExprSwitchContext(period->at, context, is_null);
	if (*is_null || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
		return value;
	at = DatumGetTimestampTz(value);
	old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
	if (at < period->from || at >= period->to)
	{
		TimestampTz start = cut_period(period, at);

		/* rows of all kinds of periods in turn would have to look each time */
		if (start == period->start)
			keep_period(period, at, start);
		else
			period->from = period->to = 0;
		period->start = start;
	}
	value = TimestampTzGetDatum(period->start);
	MemoryContextSwitchTo(old);
	return value;
}

/* The group of the row at hand */
static Cell *
find_group(Sums *sums, ExprContext *context)
{
	Rollup	   *rollup = sums->rollup;
	uint32		hash = 0;
	uint32		place;

	for (int i = 0; i < rollup->nkeys; i++)
	{
		const Key  *key = &rollup->keys[i];

		sums->keys[i] = i == 0 ? find_period(rollup, context, &sums->nulls[i])
			: ExecEvalExprSwitchContext(key->value, context, &sums->nulls[i]);
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
			 errdetail("Rollup \"%s\" counts it.", rollup_name(sums->rollup)),
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
				 errdetail("Rollup \"%s\" counts it.", rollup_name(sums->rollup))));
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
				 errmsg("a score of rollup \"%s\" has no scale", rollup_name(sums->rollup)),
				 errdetail("The score is " INT64_FORMAT "; an end of its scale is NULL.", score)));
	if (ratings->points == 0 && ratings_init_scale(ratings, lo, (int64) hi - lo + 1) != RATINGS_OK)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%d to %d is no scale", lo, hi),
				 errdetail("Rollup \"%s\" counts a score on it. A scale has 2 to 11 points between -128 and 127.", rollup_name(sums->rollup))));
	if (ratings->lo != lo || ratings_hi(ratings) != hi)
		elog(ERROR, "scores of one group of rollup \"%s\" are on scales %d to %d and %d to %d", rollup_name(sums->rollup), ratings->lo, ratings_hi(ratings), lo, hi);
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
				 errmsg("%s cannot be summed up by rollup \"%s\"", DatumGetCString(DirectFunctionCall1(numeric_out, value)), rollup_name(sums->rollup)),
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

/* It may have been altered since it was looked at */
static void
check_delta(Relation delta, const Rollup *rollup)
{
	TupleDesc	desc = RelationGetDescr(delta);
	TupleDesc	known = rollup->row->tts_tupleDescriptor;
	bool		is_same = desc->natts == known->natts && !delta->rd_rel->relhasindex;

	for (int i = 0; is_same && i < desc->natts; i++)
		is_same = TupleDescAttr(desc, i)->atttypid == TupleDescAttr(known, i)->atttypid;
	if (!is_same)
		report_delta(rollup, delta);
}

static void
write_side(Relation delta, const Rollup *rollup, const Cell *group, int side)
{
	TupleTableSlot *slot = rollup->row;
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

	if (sums->n == 0)
		return;
	delta = table_open(rollup->delta, RowExclusiveLock);
	check_delta(delta, rollup);
	for (uint32 i = 0; i < sums->size; i++)
	{
		Cell	   *group = sums->groups[i];

		if (group == NULL || is_zero_sum(group, rollup))
			continue;
		CHECK_FOR_INTERRUPTS();
		for (int side = 0; side < 2; side++)
		{
			if (group->n[side] > 0)
				write_side(delta, rollup, group, side);
		}
	}
	ExecClearTuple(rollup->row);
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
add_rows(Sums *sums, Tuplestorestate *store, int pointer, TupleTableSlot *slot, int side)
{
	bool		is_kept = sums->rollup->is_kept;

	tuplestore_select_read_pointer(store, pointer);
	tuplestore_rescan(store);
	while (tuplestore_gettupleslot(store, true, !is_kept, slot))
	{
		CHECK_FOR_INTERRUPTS();
		add_row(sums, slot, side);
		/* an expression of somebody's may have moved it */
		if (!is_kept)
			tuplestore_select_read_pointer(store, pointer);
	}
	ExecClearTuple(slot);
	tuplestore_select_read_pointer(store, 0);
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
take_away_counted(const Rollup *rollup, Relation relation)
{
	Snapshot	snapshot;
	Oid			source;
	bool		is_live = false;

	if (RelationGetRelid(relation) != rollup->source || relation->rd_rel->relhassubclass
		|| relation->rd_rel->relispartition)
		return false;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (read_rollup(rollup->key.id, snapshot, &source, &is_live) != NULL && is_live)
	{
		Relation	delta = table_open(rollup->delta, RowExclusiveLock);
		Relation	base = table_open(find_table(rollup, "base"), AccessShareLock);

		check_delta(delta, rollup);
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
 * The argument is the numbers of the rollups, ascending, such as "3 7": one
 * that came twice would count everything once more.  It is one argument since
 * each statement copies them all.  0 after the last.
 */
int32
cxm_next_rollup(const char **numbers, int32 previous)
{
	const char *next = *numbers;
	int32		id = 0;

	if (*next == '\0')
		return 0;
	while (*next >= '0' && *next <= '9' && id < PG_INT32_MAX / 10)
		id = id * 10 + (*next++ - '0');
	if (id <= previous || (*next != ' ' && *next != '\0') || (*next == ' ' && next[1] == '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("\"%s\" is not the numbers of rollups", *numbers),
				 errhint("Run SELECT cxm.upgrade_store().")));
	*numbers = *next == ' ' ? next + 1 : next;
	return id;
}

/* a trigger of another name would count everything once more */
static bool
is_called_well(const TriggerData *trigger)
{
	const char *name = trigger->tg_trigger->tgname;

	if (!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1
		|| strncmp(name, "cxm_rollup_", 11) != 0 || strcmp(name + 11, event_name(trigger)) != 0)
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

/* What a statement has changed, read once for each rollup */
typedef struct Change
{
	Relation	relation;
	Tuplestorestate *rows[2];	/* that came, that went; NULL = none */
	int			pointers[2];
	TupleTableSlot *slot;
} Change;

static void
begin_change(Change *change, const TriggerData *trigger)
{
	change->relation = trigger->tg_relation;
	change->rows[0] = has_rows(trigger->tg_newtable) ? trigger->tg_newtable : NULL;
	change->rows[1] = has_rows(trigger->tg_oldtable) ? trigger->tg_oldtable : NULL;
	for (int side = 0; side < 2; side++)
	{
		if (change->rows[side] != NULL)
			change->pointers[side] = tuplestore_alloc_read_pointer(change->rows[side], EXEC_FLAG_REWIND);
	}
	change->slot = MakeSingleTupleTableSlot(RelationGetDescr(change->relation), &TTSOpsMinimalTuple);
}

static void
count_change(Sums *sums, const Change *change)
{
	Rollup	   *rollup = sums->rollup;

	if (change->rows[0] == NULL && change->rows[1] == NULL)
	{
		if (!take_away_counted(rollup, change->relation))
			take_away_all(sums, change->relation);
	}
	for (int side = 1; side >= 0; side--)
	{
		if (change->rows[side] != NULL)
			add_rows(sums, change->rows[side], change->pointers[side], change->slot, side);
	}
	write_sums(sums);
	if (sums->groups != sums->first)
		pfree(sums->groups);
	cxm_mark_partitions(rollup->key.id, change->relation);
	ResetPerTupleExprContext(rollup->estate);
}

static void
serve_rollup(Rollup *rollup, Sums *sums, const Change *change)
{
	if (rollup->is_busy)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("an expression of rollup \"%s\" writes to the table that it is about", rollup_name(rollup))));
	rollup->is_busy = true;
	PG_TRY();
	{
		if (!rollup->is_good)
			learn_rollup(rollup, change->relation);
		if (rollup->is_member)
		{
			begin_sums(sums, rollup);
			count_change(sums, change);
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
}

PG_FUNCTION_INFO_V1(cxm_rollup_delta);

/* cxm.rollup_delta() */
Datum
cxm_rollup_delta(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;
	const char *numbers;
	int32		id = 0;
	Change		change;
	Sums		sums;

	if (!CALLED_AS_TRIGGER(fcinfo) || !is_called_well(trigger))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("cxm.rollup_delta() must be called as a trigger that cxm.create_rollup() has made"),
				 errhint("SELECT cxm.upgrade_store() makes those of a store that has others.")));
	if (!TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)
		&& !has_rows(trigger->tg_newtable) && !has_rows(trigger->tg_oldtable))
		return PointerGetDatum(NULL);

	begin_change(&change, trigger);
	sums.context = AllocSetContextCreate(CurrentMemoryContext, "cxm rollup sums", ALLOCSET_DEFAULT_SIZES);
	numbers = trigger->tg_trigger->tgargs[0];
	while ((id = cxm_next_rollup(&numbers, id)) > 0)
		serve_rollup(find_rollup(id, RelationGetRelid(change.relation)), &sums, &change);
	MemoryContextDelete(sums.context);
	ExecDropSingleTupleTableSlot(change.slot);
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(cxm_rollups_of);

/* cxm.rollups_of(relation): those that its triggers serve as of now, whatever the snapshot at hand shows */
Datum
cxm_rollups_of(PG_FUNCTION_ARGS)
{
	Relation	relation = relation_open(PG_GETARG_OID(0), AccessShareLock);
	const TriggerDesc *triggers = relation->trigdesc;
	const char *numbers = "";
	int32		id = 0;
	ArrayBuildState *ids = initArrayResult(INT4OID, CurrentMemoryContext, false);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (strcmp(trigger->tgname, "cxm_rollup_insert") == 0 && trigger->tgnargs == 1)
			numbers = trigger->tgargs[0];
	}
	while ((id = cxm_next_rollup(&numbers, id)) > 0)
		ids = accumArrayResult(ids, Int32GetDatum(id), false, INT4OID, CurrentMemoryContext);
	relation_close(relation, AccessShareLock);
	PG_RETURN_DATUM(makeArrayResult(ids, CurrentMemoryContext));
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
