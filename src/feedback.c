/*
 * src/feedback.c
 *		The row trigger and the CHECK constraint of cx.feedback.
 *
 * Most statements write one row, and each reads and prepares anew what the
 * table says of its rows in SQL.  That takes ten times as long as to find out
 * here: so the trigger has no condition, though it mostly has nothing to do,
 * and all checks are one function.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "direct.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* the scale that a row lacks, in part or as a whole */
enum
{
	SCALE_MIN, SCALE_MAX, METRIC, NCOLUMNS
};

static const CxmColumn scale_columns[NCOLUMNS] =
{
	[SCALE_MIN] = {"scale_min", INT2OID},
	[SCALE_MAX] = {"scale_max", INT2OID},
	[METRIC] = {"metric", TEXTOID}
};

static int
find_column(TupleDesc desc, int column)
{
	static int	last[NCOLUMNS];
	int			number = cxm_find_column(desc, &scale_columns[column], &last[column]);

	if (number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("cxm.feedback_usual_scale() is a trigger of cx.feedback"),
				 errdetail("The table of this trigger has no column \"%s\" of type %s.",
						   scale_columns[column].name, format_type_be(scale_columns[column].type))));
	return number;
}

static SPIPlanPtr
kept_plan(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare(sql, nargs, types);

		if (prepared == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
		SPI_keepplan(prepared);
		*plan = prepared;
	}
	return *plan;
}

static void
refuse_metric(Datum metric, bool is_null)
{
	static SPIPlanPtr plan = NULL;
	char	   *known = NULL;

	if (SPI_execute_plan(kept_plan(&plan, "SELECT cxm.metric_names()", 0, NULL), NULL, NULL, false, 0) == SPI_OK_SELECT
		&& SPI_processed == 1)
		known = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
			 errmsg("unknown metric \"%s\"", is_null ? "NULL" : TextDatumGetCString(metric)),
			 errdetail("Known are %s.", known == NULL ? "none" : known),
			 errhint("Add it with cxm.add_metric().")));
}

/* A row with the ends of the scale that it lacks */
static HeapTuple
add_scale(HeapTuple row, TupleDesc desc, int *columns)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {TEXTOID};
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS];
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext of_spi;
	HeapTuple	result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	columns[METRIC] = find_column(desc, METRIC);
	for (int i = 0; i < NCOLUMNS; i++)
		values[i] = heap_getattr(row, columns[i], desc, &nulls[i]);
	if (SPI_execute_plan(kept_plan(&plan, "SELECT m.scale_min, m.scale_max FROM cx.metric AS m"
								   " WHERE m.metric OPERATOR(pg_catalog.=) $1", 1, types),
						 &values[METRIC], nulls[METRIC] ? "n" : " ", false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look the metric up");
	if (SPI_processed == 0)
		refuse_metric(values[METRIC], nulls[METRIC]);
	for (int i = SCALE_MIN; i <= SCALE_MAX; i++)
	{
		if (nulls[i])
			values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &nulls[i]);
	}
	of_spi = MemoryContextSwitchTo(caller);
	result = heap_modify_tuple_by_cols(row, desc, 2, columns, values, nulls);
	MemoryContextSwitchTo(of_spi);
	SPI_finish();
	return result;
}

PG_FUNCTION_INFO_V1(cxm_feedback_usual_scale);

/* cxm.feedback_usual_scale() */
Datum
cxm_feedback_usual_scale(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	int			columns[NCOLUMNS];

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event)
		|| !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("cxm.feedback_usual_scale() must be called as a trigger"),
				 errdetail("It is one BEFORE INSERT, FOR EACH ROW.")));
	desc = RelationGetDescr(trigger->tg_relation);
	columns[SCALE_MIN] = find_column(desc, SCALE_MIN);
	columns[SCALE_MAX] = find_column(desc, SCALE_MAX);
	if (!heap_attisnull(trigger->tg_trigtuple, columns[SCALE_MIN], desc)
		&& !heap_attisnull(trigger->tg_trigtuple, columns[SCALE_MAX], desc))
		return PointerGetDatum(trigger->tg_trigtuple);
	return PointerGetDatum(add_scale(trigger->tg_trigtuple, desc, columns));
}

/* times from then and before then, in days since the epoch: further off, views and partitions cannot be computed */
#define FIRST_DAY (date2j(-3999, 1, 1) - POSTGRES_EPOCH_JDATE)
#define DAY_AFTER_LAST (date2j(200000, 1, 1) - POSTGRES_EPOCH_JDATE)

#define LEAST_SCORE (-128)
#define GREATEST_SCORE 127
#define LONGEST_SCALE 10

PG_FUNCTION_INFO_V1(cxm_check_feedback);

/* cxm.check_feedback(occurred_at, score, scale_min, scale_max, comment) */
Datum
cxm_check_feedback(PG_FUNCTION_ARGS)
{
	bool		has_score = !PG_ARGISNULL(1);
	bool		has_scale = !PG_ARGISNULL(2) && !PG_ARGISNULL(3);
	TimestampTz occurred_at = PG_GETARG_TIMESTAMPTZ(0);
	int			score = PG_GETARG_INT16(1);
	int			scale_min = PG_GETARG_INT16(2);
	int			scale_max = PG_GETARG_INT16(3);

	if (!PG_ARGISNULL(0)
		&& (occurred_at < FIRST_DAY * USECS_PER_DAY || occurred_at >= DAY_AFTER_LAST * USECS_PER_DAY))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("an answer cannot be of %s", timestamptz_to_str(occurred_at)),
				 errhint("Give a time from 4000-01-01 BC on and before 200000-01-01 (UTC).")));
	if (has_scale && (scale_min < LEAST_SCORE || scale_max > GREATEST_SCORE || scale_max <= scale_min
					  || scale_max - scale_min > LONGEST_SCALE))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("no scale goes from %d to %d", scale_min, scale_max),
				 errhint("A scale has 2 to %d points between %d and %d.",
						 LONGEST_SCALE + 1, LEAST_SCORE, GREATEST_SCORE)));
	if (has_score && has_scale && (score < scale_min || score > scale_max))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("score %d is off the scale %d to %d", score, scale_min, scale_max),
				 errhint("Give the score as it was answered; say scale_min and scale_max where the scale is not the usual one.")));
	if (!has_score && PG_ARGISNULL(4))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("the answer has neither score nor comment"),
				 errhint("Give a score, a comment or both.")));
	PG_RETURN_BOOL(true);
}
