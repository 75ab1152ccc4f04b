/*
 * src/journey_delta.c
 *		What changes in the records of the store, as changes of journeys.
 *
 * Statement triggers on cx.event, cx.purchase and cx.feedback append a row to
 * cx.journey_delta for each record that came or went, in the writer's
 * transaction; nobody updates a row that another writer may want.
 *
 * A journey holds a small code for each step.  Codes are given out when a step
 * is first seen, here.  Two sessions may see it at once, and neither waits for
 * the other: who comes second finds the row of the first, committed or not,
 * and writes a row with the same code.  So a code is good whichever of the two
 * transactions rolls back, and the view cx.journey_code shows it once.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "direct.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "partition.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* rows of cx.journey_delta that one statement writes */
#define MAX_ROWS 8192

/* any two numbers: the advisory lock under which codes are given out */
#define LOCK_HIGH 0x63786d6a
#define LOCK_LOW 0x636f6465

typedef enum Kind
{
	EVENT,
	PURCHASE,
	FEEDBACK,
	NKINDS
} Kind;

static const char *const kind_names[NKINDS] = {"event", "purchase", "feedback"};

/* the column that a step is named by, besides its touchpoint */
static const CxmColumn type_columns[NKINDS] = {
	[EVENT] = {"event_type_id", INT4OID},
	[FEEDBACK] = {"metric", TEXTOID}
};

/* of an event type its id, of a metric its place in metrics */
typedef struct Step
{
	int32		kind;
	int32		type;
	int32		touchpoint;
	int32		has_touchpoint;
} Step;

typedef struct KnownStep
{
	Step		step;
	int32		code;
} KnownStep;

/* what this session knows of cx.journey_code_entry */
static struct
{
	MemoryContext context;
	HTAB	   *steps;
	Oid			relid;
	bool		is_good;
	bool		is_own;			/* some of it is of this transaction */
} known;

/* the metrics that this session has met; their places hold as long as it does */
static char **metrics;
static int	nmetrics;

/* a record, as far as journeys go */
typedef struct Record
{
	bool		has_identifier;
	int64		identifier;
	TimestampTz at;
	Step		step;
} Record;

typedef struct Columns
{
	Kind		kind;
	AttrNumber	identifier;
	AttrNumber	at;
	AttrNumber	type;
	AttrNumber	touchpoint;
} Columns;

/* made for the first of them: most statements about anonymous customers, and updates, have none */
typedef struct Rows
{
	int			n;
	Datum		identifiers[MAX_ROWS];
	Datum		times[MAX_ROWS];
	Datum		codes[MAX_ROWS];
	Datum		weights[MAX_ROWS];
} Rows;

static SPIPlanPtr insert_one;
static SPIPlanPtr insert_many;

/*
 * Codes
 */

static void
forget_on_invalidation(Datum argument, Oid relid)
{
	if (relid == InvalidOid || relid == known.relid)
		known.is_good = false;
}

static void
forget_on_end(XactEvent event, void *argument)
{
	/* what is prepared may still be rolled back */
	if ((event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE) && known.is_own)
		known.is_good = false;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		known.is_own = false;
}

static void
forget_on_rollback(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *argument)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && known.is_own)
		known.is_good = false;
}

/* The place of a metric in metrics, to which it is added */
static int32
metric_number(const text *metric)
{
	const char *name = VARDATA_ANY(metric);
	size_t		length = VARSIZE_ANY_EXHDR(metric);
	char	   *kept;

	for (int i = 0; i < nmetrics; i++)
	{
		if (strncmp(metrics[i], name, length) == 0 && metrics[i][length] == '\0')
			return i;
	}
	kept = MemoryContextAlloc(TopMemoryContext, length + 1);
	memcpy(kept, name, length);
	kept[length] = '\0';
	if (metrics == NULL)
		metrics = MemoryContextAlloc(TopMemoryContext, sizeof(char *));
	else if ((nmetrics & (nmetrics - 1)) == 0)
		metrics = repalloc(metrics, 2 * sizeof(char *) * nmetrics);
	metrics[nmetrics] = kept;
	return nmetrics++;
}

static void
keep_step(const Step *step, int32 code)
{
	KnownStep  *entry = hash_search(known.steps, step, HASH_ENTER, NULL);

	entry->code = code;
}

static bool
read_kind(const char *name, Kind *kind)
{
	for (int i = 0; i < NKINDS; i++)
	{
		if (strcmp(name, kind_names[i]) == 0)
		{
			*kind = i;
			return true;
		}
	}
	return false;
}

/* The step that columns kind, event_type_id, metric and touchpoint_id name; false when they name none */
static bool
step_of(Step *step, const Datum *values, const bool *nulls)
{
	Kind		kind;

	memset(step, 0, sizeof(*step));
	if (nulls[0] || !read_kind(TextDatumGetCString(values[0]), &kind))
		return false;
	step->kind = kind;
	if (kind == EVENT)
	{
		if (nulls[1])
			return false;
		step->type = DatumGetInt32(values[1]);
	}
	else if (kind == FEEDBACK)
	{
		if (nulls[2])
			return false;
		step->type = metric_number(DatumGetTextPP(values[2]));
	}
	step->has_touchpoint = !nulls[3];
	step->touchpoint = nulls[3] ? 0 : DatumGetInt32(values[3]);
	return true;
}

static void
begin_knowing(void)
{
	static bool is_registered = false;
	HASHCTL		control = {.keysize = sizeof(Step), .entrysize = sizeof(KnownStep)};

	if (!is_registered)
	{
		CacheRegisterRelcacheCallback(forget_on_invalidation, (Datum) 0);
		RegisterXactCallback(forget_on_end, NULL);
		RegisterSubXactCallback(forget_on_rollback, NULL);
		is_registered = true;
	}
	if (known.context != NULL)
		MemoryContextDelete(known.context);
	memset(&known, 0, sizeof(known));
	known.context = AllocSetContextCreate(CacheMemoryContext, "cxm journey codes", ALLOCSET_SMALL_SIZES);
	control.hcxt = known.context;
	known.steps = hash_create("cxm journey codes", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Read the codes that this transaction sees; within SPI */
static void
read_codes(void)
{
	bool		is_own = known.is_own;

	begin_knowing();
	known.is_own = is_own;
	known.relid = get_relname_relid("journey_code_entry", get_namespace_oid("cx", false));
	/* what changes from here on makes it bad again */
	known.is_good = true;
	if (SPI_execute("SELECT kind, event_type_id, metric, touchpoint_id, code FROM cx.journey_code_entry", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "cx.journey_code_entry cannot be read");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[5];
		bool		nulls[5];
		Step		step;

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		if (step_of(&step, values, nulls))
			keep_step(&step, DatumGetInt32(values[4]));
	}
	SPI_freetuptable(SPI_tuptable);
}

/* The code of a step in a row of whichever transaction, committed or under way; false when there is none */
static bool
find_any(const Step *step, int32 *code)
{
	static const char *const names[] = {"kind", "event_type_id", "metric", "touchpoint_id", "code"};
	Relation	relation = table_open(known.relid, RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	AttrNumber	columns[lengthof(names)];
	SnapshotData snapshot;
	TableScanDesc scan;
	bool		is_found = false;

	for (size_t i = 0; i < lengthof(names); i++)
	{
		columns[i] = get_attnum(known.relid, names[i]);
		if (columns[i] <= 0)
			elog(ERROR, "cx.journey_code_entry has no column %s", names[i]);
	}
	InitDirtySnapshot(snapshot);
	scan = table_beginscan_strat(relation, &snapshot, 0, NULL, true, false);
	while (!is_found && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		Datum		values[lengthof(names)];
		bool		nulls[lengthof(names)] = {false};
		Step		other;

		for (size_t i = 0; i < lengthof(names); i++)
			values[i] = slot_getattr(slot, columns[i], &nulls[i]);
		if (step_of(&other, values, nulls) && !nulls[4] && memcmp(&other, step, sizeof(other)) == 0)
		{
			*code = DatumGetInt32(values[4]);
			is_found = true;
		}
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, NoLock);
	return is_found;
}

/*
 * A code for a step that no row names which this transaction sees; within SPI.
 * The lock is held while one row is written, and never while anything is
 * waited for.
 */
static int32
give_code(const Step *step)
{
	LOCKTAG		tag;
	Oid			types[] = {INT4OID, TEXTOID, INT4OID, TEXTOID, INT4OID};
	Datum		values[5] = {0};
	char		nulls[] = "     ";
	int32		code = 0;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, LOCK_HIGH, LOCK_LOW, 1);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);

	if (find_any(step, &code))
		values[0] = Int32GetDatum(code);
	else
		nulls[0] = 'n';
	values[1] = CStringGetTextDatum(kind_names[step->kind]);
	if (step->kind == EVENT)
		values[2] = Int32GetDatum(step->type);
	else
		nulls[2] = 'n';
	if (step->kind == FEEDBACK)
		values[3] = CStringGetTextDatum(metrics[step->type]);
	else
		nulls[3] = 'n';
	if (step->has_touchpoint)
		values[4] = Int32GetDatum(step->touchpoint);
	else
		nulls[4] = 'n';
	known.is_own = true;
	if (SPI_execute_with_args("INSERT INTO cx.journey_code_entry AS e (code, kind, event_type_id, metric, touchpoint_id) "
							  "VALUES (coalesce($1, pg_catalog.nextval(pg_catalog.pg_get_serial_sequence('cx.journey_code_entry', 'code'))::integer), "
							  "$2, $3, $4, $5) RETURNING e.code",
							  5, types, values, nulls, false, 1) != SPI_OK_INSERT_RETURNING || SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no code could be given to a step of journeys"),
				 errdetail("The row that was written to cx.journey_code_entry is not there."),
				 errhint("A rule, trigger or policy of yours on cx.journey_code_entry takes it away.")));
	{
		bool		is_null;

		code = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
	}
	SPI_freetuptable(SPI_tuptable);

	(void) LockRelease(&tag, ExclusiveLock, false);
	return code;
}

/* The code of a step, given out when it is a new one; within SPI */
static int32
code_of(const Step *step)
{
	const KnownStep *entry;
	int32		code;

	/* read when a record asks for one: who writes what is in no journey needs no right to them */
	if (!known.is_good)
		read_codes();
	entry = hash_search(known.steps, step, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->code;

	/* somebody else may have met it meanwhile */
	read_codes();
	entry = hash_search(known.steps, step, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->code;
	code = give_code(step);
	keep_step(step, code);
	return code;
}

static SPIPlanPtr
prepare(const char *query, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(query, nargs, types);

	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "a statement cannot be prepared: %s", query);
	return plan;
}

static void
write_rows(Rows *rows)
{
	int			result;

	if (rows->n == 0)
		return;
	if (rows->n == 1)
	{
		Oid			types[] = {INT8OID, TIMESTAMPTZOID, INT4OID, INT2OID};
		Datum		values[] = {rows->identifiers[0], rows->times[0], rows->codes[0], rows->weights[0]};

		if (insert_one == NULL)
			insert_one = prepare("INSERT INTO cx.journey_delta (identifier_id, at, code, weight) VALUES ($1, $2, $3, $4)", 4, types);
		result = SPI_execute_plan(insert_one, values, NULL, false, 0);
	}
	else
	{
		Oid			types[] = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT2ARRAYOID};
		Datum		values[4];

		if (insert_many == NULL)
			insert_many = prepare("INSERT INTO cx.journey_delta (identifier_id, at, code, weight) "
								  "SELECT pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4)", 4, types);
		values[0] = PointerGetDatum(construct_array(rows->identifiers, rows->n, INT8OID, 8, FLOAT8PASSBYVAL,
													TYPALIGN_DOUBLE));
		values[1] = PointerGetDatum(construct_array(rows->times, rows->n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL,
													TYPALIGN_DOUBLE));
		values[2] = PointerGetDatum(construct_array(rows->codes, rows->n, INT4OID, 4, true, TYPALIGN_INT));
		values[3] = PointerGetDatum(construct_array(rows->weights, rows->n, INT2OID, 2, true, TYPALIGN_SHORT));
		result = SPI_execute_plan(insert_many, values, NULL, false, 0);
		for (int i = 0; i < 4; i++)
			pfree(DatumGetPointer(values[i]));
	}
	if (result != SPI_OK_INSERT)
		elog(ERROR, "cx.journey_delta cannot be written: %s", SPI_result_code_string(result));
	rows->n = 0;
}

static void
add_row(Rows **made, const Record *record, int weight)
{
	Rows	   *rows = *made;

	if (!record->has_identifier)
		return;
	if (rows == NULL)
	{
		SPI_connect();
		*made = rows = palloc(sizeof(Rows));
		rows->n = 0;
	}
	if (rows->n == MAX_ROWS)
	{
		CHECK_FOR_INTERRUPTS();
		write_rows(rows);
	}
	rows->codes[rows->n] = Int32GetDatum(code_of(&record->step));
	rows->identifiers[rows->n] = Int64GetDatum(record->identifier);
	rows->times[rows->n] = TimestampTzGetDatum(record->at);
	rows->weights[rows->n] = Int16GetDatum(weight);
	rows->n++;
}

static AttrNumber
find_column(TupleDesc desc, const CxmColumn *column, int *last)
{
	int			number = cxm_find_column(desc, column, last);

	if (number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("journeys need column \"%s\" of type %s", column->name, format_type_be(column->type)),
				 errhint("Put the column back as the store had it.")));
	return (AttrNumber) number;
}

static void
find_columns(Columns *columns, Kind kind, TupleDesc desc)
{
	static const CxmColumn identifier = {"identifier_id", INT8OID};
	static const CxmColumn at = {"occurred_at", TIMESTAMPTZOID};
	static const CxmColumn touchpoint = {"touchpoint_id", INT4OID};
	static int	last[NKINDS][4];

	columns->kind = kind;
	columns->identifier = find_column(desc, &identifier, &last[kind][0]);
	columns->at = find_column(desc, &at, &last[kind][1]);
	columns->touchpoint = find_column(desc, &touchpoint, &last[kind][2]);
	if (type_columns[kind].name != NULL)
		columns->type = find_column(desc, &type_columns[kind], &last[kind][3]);
}

static bool
next_record(Tuplestorestate *store, int pointer, TupleTableSlot *slot, const Columns *columns, Record *record)
{
	bool		is_null;
	Datum		value;

	tuplestore_select_read_pointer(store, pointer);
	if (!tuplestore_gettupleslot(store, true, false, slot))
		return false;

	memset(record, 0, sizeof(*record));
	value = slot_getattr(slot, columns->identifier, &is_null);
	if (is_null)
		return true;
	record->has_identifier = true;
	record->identifier = DatumGetInt64(value);
	record->at = DatumGetTimestampTz(slot_getattr(slot, columns->at, &is_null));
	record->step.kind = columns->kind;
	value = slot_getattr(slot, columns->touchpoint, &is_null);
	record->step.has_touchpoint = !is_null;
	record->step.touchpoint = is_null ? 0 : DatumGetInt32(value);
	if (columns->kind == EVENT)
		record->step.type = DatumGetInt32(slot_getattr(slot, columns->type, &is_null));
	else if (columns->kind == FEEDBACK)
	{
		record->step.type = metric_number(DatumGetTextPP(slot_getattr(slot, columns->type, &is_null)));
	}
	return true;
}

static bool
is_same_record(const Record *a, const Record *b)
{
	return a->has_identifier == b->has_identifier && a->identifier == b->identifier && a->at == b->at
		&& memcmp(&a->step, &b->step, sizeof(Step)) == 0;
}

/* Rows that came count, rows that went count against; what an UPDATE left as it was does neither */
static void
add_rows(Rows **rows, const TriggerData *trigger, const Columns *columns, TupleTableSlot *slot)
{
	Tuplestorestate *came = trigger->tg_newtable;
	Tuplestorestate *went = trigger->tg_oldtable;
	int			came_pointer = came != NULL ? tuplestore_alloc_read_pointer(came, EXEC_FLAG_REWIND) : -1;
	int			went_pointer = went != NULL ? tuplestore_alloc_read_pointer(went, EXEC_FLAG_REWIND) : -1;
	bool		has_new = came != NULL;
	bool		has_old = went != NULL;

	while (has_new || has_old)
	{
		Record		new_record;
		Record		old_record;
		bool		is_same;

		if (has_new)
			has_new = next_record(came, came_pointer, slot, columns, &new_record);
		if (has_old)
			has_old = next_record(went, went_pointer, slot, columns, &old_record);
		is_same = has_new && has_old && is_same_record(&new_record, &old_record);
		if (has_old && !is_same)
			add_row(rows, &old_record, -1);
		if (has_new && !is_same)
			add_row(rows, &new_record, 1);
	}
	if (came != NULL)
		tuplestore_select_read_pointer(came, 0);
	if (went != NULL)
		tuplestore_select_read_pointer(went, 0);
}

/* All rows of a table that is about to be emptied, also those that an old snapshot does not show */
static void
take_away_all(Relation relation, Kind kind)
{
	StringInfoData query;
	SPIPlanPtr	plan;
	Snapshot	snapshot;
	int			result;

	initStringInfo(&query);
	appendStringInfo(&query,
					 "INSERT INTO cx.journey_delta (identifier_id, at, code, weight) "
					 "SELECT r.identifier_id, r.occurred_at, cxm.journey_code('%s', %s, %s, r.touchpoint_id), -1 "
					 "FROM ONLY %s AS r WHERE r.identifier_id IS NOT NULL",
					 kind_names[kind], kind == EVENT ? "r.event_type_id" : "NULL", kind == FEEDBACK ? "r.metric" : "NULL",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
												RelationGetRelationName(relation)));
	plan = SPI_prepare(query.data, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "a statement cannot be prepared: %s", query.data);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	result = SPI_execute_snapshot(plan, NULL, NULL, snapshot, InvalidSnapshot, false, true, 0);
	UnregisterSnapshot(snapshot);
	if (result != SPI_OK_INSERT)
		elog(ERROR, "cx.journey_delta cannot be written: %s", SPI_result_code_string(result));
}

static bool
is_called_well(FunctionCallInfo fcinfo, Kind *kind)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo)
		|| !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event)
		|| trigger->tg_trigger->tgnargs != 1
		|| !read_kind(trigger->tg_trigger->tgargs[0], kind))
		return false;
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		return TRIGGER_FIRED_BEFORE(trigger->tg_event) && trigger->tg_relation->rd_rel->relkind == RELKIND_RELATION;
	return TRIGGER_FIRED_AFTER(trigger->tg_event)
		&& (trigger->tg_newtable != NULL) == !TRIGGER_FIRED_BY_DELETE(trigger->tg_event)
		&& (trigger->tg_oldtable != NULL) == !TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
}

PG_FUNCTION_INFO_V1(cxm_journey_delta);

/* cxm.journey_delta() */
Datum
cxm_journey_delta(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;
	Kind		kind;
	TupleDesc	desc;
	TupleTableSlot *slot;
	Columns		columns;
	Rows	   *rows = NULL;

	if (!is_called_well(fcinfo, &kind))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("cxm.journey_delta(kind) must be called as a trigger"),
				 errdetail("It is one AFTER INSERT, UPDATE or DELETE with all transition tables, or BEFORE TRUNCATE on a table that is not partitioned, FOR EACH STATEMENT."),
				 errhint("Make it with cxm.add_journey_triggers().")));

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		SPI_connect();
		take_away_all(trigger->tg_relation, kind);
		SPI_finish();
		return PointerGetDatum(NULL);
	}
	if ((trigger->tg_newtable == NULL || tuplestore_tuple_count(trigger->tg_newtable) == 0)
		&& (trigger->tg_oldtable == NULL || tuplestore_tuple_count(trigger->tg_oldtable) == 0))
		return PointerGetDatum(NULL);

	desc = RelationGetDescr(trigger->tg_relation);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	find_columns(&columns, kind, desc);
	add_rows(&rows, trigger, &columns, slot);
	ExecDropSingleTupleTableSlot(slot);
	if (rows != NULL)
	{
		write_rows(rows);
		SPI_finish();
	}
	cxm_mark_partitions(CXM_JOURNEYS, trigger->tg_relation);
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(cxm_journey_code);

/* cxm.journey_code(kind, event_type_id, metric, touchpoint_id) */
Datum
cxm_journey_code(PG_FUNCTION_ARGS)
{
	Datum		values[4];
	bool		nulls[4];
	Step		step;
	const KnownStep *entry = NULL;
	int32		code;

	for (int i = 0; i < 4; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i);
	}
	if (!step_of(&step, values, nulls))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("this is no step of a journey"),
				 errhint("Give event and an event_type_id, purchase, or feedback and a metric.")));
	if (known.is_good)
		entry = hash_search(known.steps, &step, HASH_FIND, NULL);
	if (entry != NULL)
		PG_RETURN_INT32(entry->code);
	SPI_connect();
	code = code_of(&step);
	SPI_finish();
	PG_RETURN_INT32(code);
}
