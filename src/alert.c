/*
 * src/alert.c
 *		The statement triggers of cx.feedback, which raise alerts in the writer's transaction.
 *
 * New rows are held against the rules as they stand in the transition table.
 * As long as nothing matches, nothing in here asks the server for anything.
 * From the first match on it works in a subtransaction, so that nothing that
 * goes wrong fails the writer.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/xact.h"
#include "alert.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "rows.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

/* of src/cxm.c */
extern PGDLLEXPORT Datum cxm_alerts_enabled(PG_FUNCTION_ARGS);

/* alerts written by one INSERT */
#define MAX_MATCHES 100000

/* more alerts than this in one statement come as one summary, so that a bulk load floods nobody */
#define MAX_TOLD 100

/* answers in one row of cx.rejection */
#define MAX_REJECTED 10000

typedef enum Column
{
	FEEDBACK_ID,
	OCCURRED_AT,
	IDENTIFIER_ID,
	METRIC,
	SCORE,
	TOUCHPOINT_ID,
	LOCATION_ID,
	PRODUCT_ID,
	RECEIVED_AT,
	COMMENT,
	NCOLUMNS
} Column;

static const char *const column_names[NCOLUMNS] =
{
	"feedback_id", "occurred_at", "identifier_id", "metric", "score",
	"touchpoint_id", "location_id", "product_id", "received_at", "comment"
};

static const Oid column_types[NCOLUMNS] =
{
	INT8OID, TIMESTAMPTZOID, INT8OID, TEXTOID, INT2OID, INT4OID, INT4OID, INT4OID, TIMESTAMPTZOID, TEXTOID
};

/* an answer that meets a rule */
typedef struct Match
{
	uint32		rule;
	bool		met_before;
	bool		has_identifier;
	bool		has_score;
	int16		score;
	int64		feedback_id;
	int64		identifier_id;
	TimestampTz occurred_at;
	const text *metric;
} Match;

/* one statement of a writer */
typedef struct Evaluation
{
	const CxmAlertRules *rules;
	bool	   *concerned;		/* once something failed: the rules to try one by one */
	Tuplestorestate *new_rows;
	Tuplestorestate *old_rows;	/* or NULL */
	int			new_pointer;
	int			old_pointer;
	TupleTableSlot *slot;
	AttrNumber	columns[NCOLUMNS];
	MemoryContext outer;		/* of the statement */
	MemoryContext row;			/* of a row that is being looked at */
	MemoryContext batch;		/* of matches that are not written yet */

	/* of one attempt */
	int64		only;			/* rule to try, or -1 for all of them together */
	bool		in_subtransaction;
	Match	   *matches;
	Size		n;
	Size		room;
	Datum		told[MAX_TOLD];
	int64		ntold;
	int64		first_id;
	int64		last_id;
} Evaluation;

static bool
is_null(const Evaluation *e, Column column)
{
	return e->slot->tts_isnull[e->columns[column] - 1];
}

static Datum
value_of(const Evaluation *e, Column column)
{
	return e->slot->tts_values[e->columns[column] - 1];
}

static CxmAlertId
id_of(const Evaluation *e, Column column)
{
	CxmAlertId	id = {0, false};

	if (!is_null(e, column))
	{
		id.id = column == SCORE ? DatumGetInt16(value_of(e, column)) : DatumGetInt32(value_of(e, column));
		id.is_known = true;
	}
	return id;
}

/* The columns go by name: partitions that were attached may have others between them */
static void
find_columns(Evaluation *e, TupleDesc desc)
{
	for (int column = 0; column < NCOLUMNS; column++)
	{
		e->columns[column] = 0;
		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute attribute = TupleDescAttr(desc, i);

			if (!attribute->attisdropped && attribute->atttypid == column_types[column]
				&& strcmp(NameStr(attribute->attname), column_names[column]) == 0)
			{
				e->columns[column] = attribute->attnum;
				break;
			}
		}
		if (e->columns[column] == 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("cxm.feedback_alert() is a trigger of cx.feedback"),
					 errdetail("The table of this trigger has no column \"%s\" of type %s.",
							   column_names[column], format_type_be(column_types[column]))));
	}
}

static bool
next_row(Evaluation *e, Tuplestorestate *rows, int pointer)
{
	CHECK_FOR_INTERRUPTS();
	tuplestore_select_read_pointer(rows, pointer);
	if (!tuplestore_gettupleslot(rows, true, false, e->slot))
		return false;
	slot_getallattrs(e->slot);
	return true;
}

static void
rewind_rows(Tuplestorestate *rows, int pointer)
{
	tuplestore_select_read_pointer(rows, pointer);
	tuplestore_rescan(rows);
}

/* The rules that the row in the slot may meet, and what they ask it about */
static const CxmAlertList *
read_answer(const Evaluation *e, CxmAlertAnswer *answer)
{
	answer->score = id_of(e, SCORE);
	answer->touchpoint = id_of(e, TOUCHPOINT_ID);
	answer->location = id_of(e, LOCATION_ID);
	answer->product = id_of(e, PRODUCT_ID);
	answer->received_at = DatumGetTimestampTz(value_of(e, RECEIVED_AT));
	return cxm_alert_rules_for(e->rules, DatumGetTextPP(value_of(e, METRIC)), &answer->metric);
}

static bool
comment_holds(Evaluation *e, const CxmAlertRule *rule)
{
	MemoryContext old;
	bool		holds;

	if (rule->search == NULL)
		return true;
	if (is_null(e, COMMENT))
		return false;
	old = MemoryContextSwitchTo(e->row);
	holds = cxm_alert_reads(e->rules, rule, DatumGetTextPP(value_of(e, COMMENT)));
	MemoryContextSwitchTo(old);
	MemoryContextReset(e->row);
	return holds;
}

static void
begin_subtransaction(Evaluation *e)
{
	MemoryContext old = CurrentMemoryContext;

	if (e->in_subtransaction)
		return;
	BeginInternalSubTransaction(NULL);
	e->in_subtransaction = true;
	MemoryContextSwitchTo(old);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	MemoryContextSwitchTo(old);
}

static void
add_match(Evaluation *e, uint32 rule, const CxmAlertAnswer *answer)
{
	Match	   *match;

	if (e->n == e->room)
	{
		e->room = e->room == 0 ? 8 : e->room * 2;
		e->matches = e->matches == NULL
			? MemoryContextAlloc(e->batch, e->room * sizeof(Match))
			: repalloc(e->matches, e->room * sizeof(Match));
	}
	match = &e->matches[e->n++];
	match->rule = rule;
	match->met_before = false;
	match->feedback_id = DatumGetInt64(value_of(e, FEEDBACK_ID));
	match->occurred_at = DatumGetTimestampTz(value_of(e, OCCURRED_AT));
	match->has_identifier = !is_null(e, IDENTIFIER_ID);
	match->identifier_id = match->has_identifier ? DatumGetInt64(value_of(e, IDENTIFIER_ID)) : 0;
	match->has_score = answer->score.is_known;
	match->score = (int16) answer->score.id;
	if (answer->metric != CXM_ANY_METRIC)
		match->metric = e->rules->metrics[answer->metric];
	else
	{
		MemoryContext old = MemoryContextSwitchTo(e->batch);

		match->metric = DatumGetTextPCopy(value_of(e, METRIC));
		MemoryContextSwitchTo(old);
	}
}

static int
compare_matches(const void *a, const void *b)
{
	const Match *left = a;
	const Match *right = b;

	if (left->feedback_id != right->feedback_id)
		return left->feedback_id < right->feedback_id ? -1 : 1;
	return (left->rule > right->rule) - (left->rule < right->rule);
}

/*
 * An update tells news where the answer meets a rule that it did not meet
 * before: mark the matches that are none.
 */
static void
look_at_old_rows(Evaluation *e)
{
	rewind_rows(e->old_rows, e->old_pointer);
	while (next_row(e, e->old_rows, e->old_pointer))
	{
		int64		id = DatumGetInt64(value_of(e, FEEDBACK_ID));
		Size		from = 0;
		Size		to = e->n;
		CxmAlertAnswer answer;

		while (from < to)
		{
			Size		middle = from + (to - from) / 2;

			if (e->matches[middle].feedback_id < id)
				from = middle + 1;
			else
				to = middle;
		}
		if (from == e->n || e->matches[from].feedback_id != id)
			continue;
		(void) read_answer(e, &answer);
		for (; from < e->n && e->matches[from].feedback_id == id; from++)
		{
			const CxmAlertRule *rule = &e->rules->rules[e->matches[from].rule];

			if (!e->matches[from].met_before && cxm_alert_holds(&rule->condition, &answer) && comment_holds(e, rule))
				e->matches[from].met_before = true;
		}
	}
}

/* what an alert is made of: the columns that its INSERT fills, and where they are in the arrays for it */
#define NPARAMS 9

static const Oid alert_types[NPARAMS] =
{
	INT4OID, INT4OID, INT8OID, TIMESTAMPTZOID, INT8OID, TEXTOID, INT2OID, TEXTOID, TEXTOID
};

#define ALERT_COLUMNS "rule_id, rule_version, feedback_id, occurred_at, identifier_id, metric, score, severity, owner"
#define ALERT_CONFLICT " ON CONFLICT ON CONSTRAINT alert_rule_feedback_key DO NOTHING RETURNING "

static const char *const insert_one =
"INSERT INTO cx.alert AS n (" ALERT_COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
ALERT_CONFLICT "n.alert_id, 1::pg_catalog.int8";

static const char *const insert_many =
"INSERT INTO cx.alert AS n (" ALERT_COLUMNS ") SELECT * FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
" pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
" pg_catalog.unnest($8), pg_catalog.unnest($9))"
ALERT_CONFLICT "n.alert_id, n.rule_id, n.feedback_id";

/* Prepare a statement once a session */
static SPIPlanPtr
kept_plan(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare_cursor(sql, nargs, unconstify(Oid *, types), CURSOR_OPT_GENERIC_PLAN);

		if (prepared == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
		SPI_keepplan(prepared);
		*plan = prepared;
	}
	return *plan;
}

static void
run_plan(SPIPlanPtr plan, Datum *values, const char *nulls, int expected)
{
	int			result = SPI_execute_plan(plan, values, nulls, false, 0);

	if (result != expected)
		elog(ERROR, "could not write alerts: %s", SPI_result_code_string(result));
}

static void
match_values(const Evaluation *e, const Match *match, Datum *values, bool *nulls)
{
	const CxmAlertRule *rule = &e->rules->rules[match->rule];

	memset(nulls, false, NPARAMS * sizeof(bool));
	values[0] = Int32GetDatum(rule->rule_id);
	values[1] = Int32GetDatum(rule->version);
	values[2] = Int64GetDatum(match->feedback_id);
	values[3] = TimestampTzGetDatum(match->occurred_at);
	values[4] = Int64GetDatum(match->identifier_id);
	nulls[4] = !match->has_identifier;
	values[5] = PointerGetDatum(match->metric);
	values[6] = Int16GetDatum(match->score);
	nulls[6] = !match->has_score;
	values[7] = PointerGetDatum(rule->severity);
	values[8] = PointerGetDatum(rule->owner);
	nulls[8] = rule->owner == NULL;
}

static void
push_number(JsonbParseState **state, const char *key, int64 number, bool is_known)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
	value.type = jbvNull;
	if (is_known)
	{
		value.type = jbvNumeric;
		value.val.numeric = DatumGetNumeric(DirectFunctionCall1(int8_numeric, Int64GetDatum(number)));
	}
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* Text of ours, not more than that many characters of it */
static void
push_text(JsonbParseState **state, const char *key, const text *string, int most)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
	value.type = jbvNull;
	if (string != NULL)
	{
		int			length = VARSIZE_ANY_EXHDR(string);

		value.type = jbvString;
		value.val.string.val = VARDATA_ANY(string);
		value.val.string.len = length <= most ? length : pg_mbcharcliplen(VARDATA_ANY(string), length, most);
	}
	pushJsonbValue(state, WJB_VALUE, &value);
}

/* What listeners are told of one alert: ids and our own words, under the 8000 bytes of NOTIFY */
static Datum
payload_of(int64 alert_id, int32 rule_id, const text *rule, int64 feedback_id, bool has_feedback,
		   const text *metric, int16 score, bool has_score, const text *severity)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_number(&state, "alert_id", alert_id, true);
	push_number(&state, "rule_id", rule_id, true);
	push_text(&state, "rule", rule, 200);
	push_number(&state, "feedback_id", feedback_id, has_feedback);
	push_text(&state, "metric", metric, 63);
	push_number(&state, "score", score, has_score);
	push_text(&state, "severity", severity, 63);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

static void
note_alert(Evaluation *e, int64 alert_id, const Match *match)
{
	if (e->ntold < MAX_TOLD)
	{
		const CxmAlertRule *rule = &e->rules->rules[match->rule];
		MemoryContext old = MemoryContextSwitchTo(e->outer);

		e->told[e->ntold] = payload_of(alert_id, rule->rule_id, rule->name, match->feedback_id, true,
									   match->metric, match->score, match->has_score, rule->severity);
		MemoryContextSwitchTo(old);
	}
	e->first_id = e->ntold == 0 ? alert_id : Min(e->first_id, alert_id);
	e->last_id = e->ntold == 0 ? alert_id : Max(e->last_id, alert_id);
	e->ntold++;
}

static void
write_one(Evaluation *e, const Match *match)
{
	static SPIPlanPtr plan = NULL;
	Datum		values[NPARAMS];
	bool		nulls[NPARAMS];
	char		blanks[NPARAMS];

	match_values(e, match, values, nulls);
	for (int i = 0; i < NPARAMS; i++)
		blanks[i] = nulls[i] ? 'n' : ' ';
	run_plan(kept_plan(&plan, insert_one, NPARAMS, alert_types), values, blanks, SPI_OK_INSERT_RETURNING);
	if (SPI_processed > 0)
	{
		bool		isnull;

		note_alert(e, DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)), match);
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
write_many(Evaluation *e)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[NPARAMS];
	Datum		arrays[NPARAMS];
	Datum	   *values = MemoryContextAllocHuge(e->batch, NPARAMS * e->n * sizeof(Datum));
	bool	   *nulls = MemoryContextAllocHuge(e->batch, NPARAMS * e->n * sizeof(bool));
	int			dims[1] = {(int) e->n};
	int			lbs[1] = {1};
	MemoryContext old = MemoryContextSwitchTo(e->batch);
	Size		place = 0;

	for (Size i = 0; i < e->n; i++)
	{
		Datum		row[NPARAMS];
		bool		row_nulls[NPARAMS];

		match_values(e, &e->matches[i], row, row_nulls);
		for (int param = 0; param < NPARAMS; param++)
		{
			values[param * e->n + i] = row[param];
			nulls[param * e->n + i] = row_nulls[param];
		}
	}
	for (int param = 0; param < NPARAMS; param++)
	{
		int16		length;
		bool		by_value;
		char		align;

		types[param] = get_array_type(alert_types[param]);
		get_typlenbyvalalign(alert_types[param], &length, &by_value, &align);
		arrays[param] = PointerGetDatum(construct_md_array(values + param * e->n, nulls + param * e->n, 1, dims, lbs,
														   alert_types[param], length, by_value, align));
	}
	MemoryContextSwitchTo(old);
	run_plan(kept_plan(&plan, insert_many, NPARAMS, types), arrays, NULL, SPI_OK_INSERT_RETURNING);

	/* the rows come back in the order in which they went in, less those that were there already */
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		isnull;
		int32		rule_id = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
		int64		feedback_id = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull));

		while (place < e->n && (e->matches[place].feedback_id != feedback_id
								|| e->rules->rules[e->matches[place].rule].rule_id != rule_id))
			place++;
		/* a trigger of somebody else's may have changed what was written */
		if (place == e->n)
			elog(ERROR, "alerts came back in another order than they were written in");
		note_alert(e, DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull)), &e->matches[place]);
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
write_matches(Evaluation *e)
{
	Size		kept = 0;

	if (e->n > 0)
	{
		if (e->n > 1)
			qsort(e->matches, e->n, sizeof(Match), compare_matches);
		if (e->old_rows != NULL)
			look_at_old_rows(e);
		for (Size i = 0; i < e->n; i++)
		{
			if (!e->matches[i].met_before)
				e->matches[kept++] = e->matches[i];
		}
		e->n = kept;
		if (e->n == 1)
			write_one(e, &e->matches[0]);
		else if (e->n > 1)
			write_many(e);
	}
	MemoryContextReset(e->batch);
	e->matches = NULL;
	e->n = e->room = 0;
}

static void
tell_listeners(Evaluation *e)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[1] = {JSONBARRAYOID};
	Datum		payloads;

	if (e->ntold == 0)
		return;
	if (e->ntold > MAX_TOLD)
	{
		JsonbParseState *state = NULL;

		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		push_number(&state, "alerts", e->ntold, true);
		push_number(&state, "first_alert_id", e->first_id, true);
		push_number(&state, "last_alert_id", e->last_id, true);
		e->told[0] = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	}
	payloads = PointerGetDatum(construct_array(e->told, e->ntold > MAX_TOLD ? 1 : (int) e->ntold,
											   JSONBOID, -1, false, TYPALIGN_INT));
	run_plan(kept_plan(&plan, "SELECT cxm.post_notifications('cxm_alert', $1)", 1, types), &payloads, NULL, SPI_OK_SELECT);
}

/* Hold all new rows against the rules, or against one of them, and write what they raise */
static void
evaluate(Evaluation *e)
{
	rewind_rows(e->new_rows, e->new_pointer);
	while (next_row(e, e->new_rows, e->new_pointer))
	{
		CxmAlertAnswer answer;
		const CxmAlertList *list = read_answer(e, &answer);

		for (uint32 i = 0; i < list->n; i++)
		{
			const CxmAlertRule *rule = &e->rules->rules[list->rules[i]];

			if ((e->only >= 0 && e->only != list->rules[i]) || !cxm_alert_holds(&rule->condition, &answer))
				continue;
			begin_subtransaction(e);
			if (comment_holds(e, rule))
				add_match(e, list->rules[i], &answer);
		}
		/* written without the row in hand, for the slot is needed */
		if (e->n >= MAX_MATCHES)
			write_matches(e);
	}
	write_matches(e);
	tell_listeners(e);
}

/*
 * Try all rules together (only = -1) or one alone.  NULL, or what went wrong,
 * with nothing of it written.
 */
static ErrorData *
try_rules(Evaluation *e, int64 only)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	e->only = only;
	e->in_subtransaction = false;
	e->ntold = 0;
	e->matches = NULL;
	e->n = e->room = 0;
	PG_TRY();
	{
		evaluate(e);
		if (e->in_subtransaction)
		{
			SPI_finish();
			ReleaseCurrentSubTransaction();
		}
	}
	PG_CATCH();
	{
		if (!e->in_subtransaction)
			PG_RE_THROW();
		MemoryContextSwitchTo(e->outer);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	MemoryContextReset(e->batch);
	MemoryContextReset(e->row);
	return error;
}

static void
write_rejection(Evaluation *e, int32 rule_id, bool has_rule, Datum *ids, int n, const ErrorData *failure)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[4] = {INT4OID, INT8ARRAYOID, TEXTOID, TEXTOID};
	Datum		values[4];
	char		blanks[] = "    ";

	values[0] = Int32GetDatum(rule_id);
	blanks[0] = has_rule ? ' ' : 'n';
	values[1] = PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[2] = CStringGetTextDatum(failure->message);
	values[3] = CStringGetTextDatum(unpack_sql_state(failure->sqlerrcode));
	run_plan(kept_plan(&plan,
					   "INSERT INTO cx.rejection (kind, record, reason, sqlstate)"
					   " VALUES ('alert', pg_catalog.jsonb_build_object('rule_id', $1, 'feedback_ids', pg_catalog.to_jsonb($2)), $3, $4)",
					   4, types),
			 values, blanks, SPI_OK_INSERT);
}

static int
compare_int64(const void *a, const void *b)
{
	int64		left = DatumGetInt64(*(const Datum *) a);
	int64		right = DatumGetInt64(*(const Datum *) b);

	return (left > right) - (left < right);
}

/* Record which answers a rule was not held against; place -1: no rule could be read at all */
static void
record_failure(Evaluation *e, int64 place, const ErrorData *failure)
{
	const CxmAlertRule *rule = place < 0 ? NULL : &e->rules->rules[place];
	int32		rule_id = rule == NULL ? 0 : rule->rule_id;
	Datum	   *ids = palloc(MAX_REJECTED * sizeof(Datum));
	int			n = 0;

	rewind_rows(e->new_rows, e->new_pointer);
	while (next_row(e, e->new_rows, e->new_pointer))
	{
		CxmAlertAnswer answer;

		if (rule != NULL)
		{
			(void) read_answer(e, &answer);
			if (!cxm_alert_holds(&rule->condition, &answer))
				continue;
		}
		ids[n++] = value_of(e, FEEDBACK_ID);
		if (n == MAX_REJECTED)
		{
			write_rejection(e, rule_id, rule != NULL, ids, n, failure);
			n = 0;
		}
	}
	if (n > 0)
	{
		qsort(ids, n, sizeof(Datum), compare_int64);
		write_rejection(e, rule_id, rule != NULL, ids, n, failure);
	}
}

/* The same in a subtransaction; NULL, or why it could not be recorded */
static ErrorData *
try_record(Evaluation *e, int64 place, const ErrorData *failure)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		record_failure(e, place, failure);
		SPI_finish();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(e->outer);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return error;
}

static void
warn_of_lost(const char *lost, const ErrorData *failure, const ErrorData *unrecorded)
{
	bool		lacks_rights = failure->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE
		|| unrecorded->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE;

	ereport(WARNING,
			(errcode(failure->sqlerrcode),
			 errmsg("alert rules were not evaluated: %s", failure->message),
			 errdetail("Rules (rule_id): %s. Nor could that be recorded in cx.rejection: %s", lost, unrecorded->message),
			 lacks_rights
			 ? errhint("Give the role that writes feedback what it needs with cxm.grant_store(role, 'writer').")
			 : errhint("Mend the cause, then call cxm.evaluate_alerts() for the new answers.")));
}

/* Which rules the answers meet but for the words that they ask for: the failure left some unseen */
static void
find_concerned(Evaluation *e)
{
	rewind_rows(e->new_rows, e->new_pointer);
	while (next_row(e, e->new_rows, e->new_pointer))
	{
		CxmAlertAnswer answer;
		const CxmAlertList *list = read_answer(e, &answer);

		for (uint32 i = 0; i < list->n; i++)
		{
			uint32		place = list->rules[i];

			if (!e->concerned[place] && cxm_alert_holds(&e->rules->rules[place].condition, &answer))
				e->concerned[place] = true;
		}
	}
}

/* One by one, so that a bad rule silences no other; what fails is recorded */
static void
try_one_by_one(Evaluation *e)
{
	StringInfoData lost;
	ErrorData  *last_failure = NULL;
	ErrorData  *unrecorded = NULL;

	initStringInfo(&lost);
	e->concerned = palloc0(e->rules->n * sizeof(bool));
	find_concerned(e);
	for (uint32 i = 0; i < e->rules->n; i++)
	{
		ErrorData  *failure = e->concerned[i] ? try_rules(e, i) : NULL;
		ErrorData  *problem = failure != NULL ? try_record(e, i, failure) : NULL;

		if (problem == NULL)
			continue;
		appendStringInfo(&lost, "%s%d", lost.len > 0 ? ", " : "", e->rules->rules[i].rule_id);
		last_failure = failure;
		unrecorded = problem;
	}
	if (unrecorded != NULL)
		warn_of_lost(lost.data, last_failure, unrecorded);
}

PG_FUNCTION_INFO_V1(cxm_feedback_alert);

/* cxm.feedback_alert() */
Datum
cxm_feedback_alert(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Evaluation	e = {0};
	ErrorData  *error = NULL;
	TupleDesc	desc;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event)
		|| trigger->tg_newtable == NULL
		|| !(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && trigger->tg_oldtable != NULL)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("cxm.feedback_alert() must be called as a trigger"),
				 errdetail("It is one AFTER INSERT or UPDATE, FOR EACH STATEMENT, with transition tables."),
				 errhint("Make it with cxm.add_alert_triggers().")));
	if (!DatumGetBool(cxm_alerts_enabled(fcinfo)) || tuplestore_tuple_count(trigger->tg_newtable) == 0)
		return PointerGetDatum(NULL);

	e.rules = cxm_alert_rules(true, &error);
	if (e.rules != NULL && e.rules->n == 0)
		return PointerGetDatum(NULL);

	desc = RelationGetDescr(trigger->tg_relation);
	find_columns(&e, desc);
	e.outer = CurrentMemoryContext;
	e.row = AllocSetContextCreate(e.outer, "cxm alert row", ALLOCSET_SMALL_SIZES);
	e.batch = AllocSetContextCreate(e.outer, "cxm alert matches", ALLOCSET_DEFAULT_SIZES);
	e.slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	e.new_rows = trigger->tg_newtable;
	e.new_pointer = tuplestore_alloc_read_pointer(e.new_rows, EXEC_FLAG_REWIND);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		e.old_rows = trigger->tg_oldtable;
		e.old_pointer = tuplestore_alloc_read_pointer(e.old_rows, EXEC_FLAG_REWIND);
	}

	if (e.rules == NULL)
	{
		ErrorData  *unrecorded = try_record(&e, -1, error);

		if (unrecorded != NULL)
			warn_of_lost("all", error, unrecorded);
	}
	else
	{
		if (try_rules(&e, -1) != NULL)
			try_one_by_one(&e);
	}

	tuplestore_select_read_pointer(e.new_rows, 0);
	if (e.old_rows != NULL)
		tuplestore_select_read_pointer(e.old_rows, 0);
	ExecDropSingleTupleTableSlot(e.slot);
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(cxm_alert_payload);

/* cxm.alert_payload(alert_id, rule_id, rule, feedback_id, metric, score, severity) */
Datum
cxm_alert_payload(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	return payload_of(PG_GETARG_INT64(0), PG_GETARG_INT32(1),
					  PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2),
					  PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3), !PG_ARGISNULL(3),
					  PG_ARGISNULL(4) ? NULL : PG_GETARG_TEXT_PP(4),
					  PG_ARGISNULL(5) ? 0 : (int16) PG_GETARG_INT32(5), !PG_ARGISNULL(5),
					  PG_ARGISNULL(6) ? NULL : PG_GETARG_TEXT_PP(6));
}

static CxmAlertId
id_argument(FunctionCallInfo fcinfo, int number)
{
	CxmAlertId	id = {0, false};

	if (!PG_ARGISNULL(number))
	{
		id.id = PG_GETARG_INT32(number);
		id.is_known = true;
	}
	return id;
}

PG_FUNCTION_INFO_V1(cxm_matching_alert_rules);

/* cxm.matching_alert_rules(metric, score, touchpoint_id, location_id, product_id, comment, received_at, only_rule) */
Datum
cxm_matching_alert_rules(PG_FUNCTION_ARGS)
{
	const CxmAlertRules *rules = cxm_alert_rules(false, NULL);
	const CxmAlertList *list;
	CxmAlertAnswer answer;
	CxmRows		rows;

	cxm_begin_rows(fcinfo, &rows);
	if (PG_ARGISNULL(6))
		return (Datum) 0;
	answer.metric = CXM_ANY_METRIC;
	list = &rules->by_metric[rules->nmetrics];
	if (!PG_ARGISNULL(0))
		list = cxm_alert_rules_for(rules, PG_GETARG_TEXT_PP(0), &answer.metric);
	answer.score = id_argument(fcinfo, 1);
	answer.touchpoint = id_argument(fcinfo, 2);
	answer.location = id_argument(fcinfo, 3);
	answer.product = id_argument(fcinfo, 4);
	answer.received_at = PG_GETARG_TIMESTAMPTZ(6);

	for (uint32 i = 0; i < list->n; i++)
	{
		const CxmAlertRule *rule = &rules->rules[list->rules[i]];
		Datum		values[4];
		bool		nulls[4] = {false, false, false, rule->owner == NULL};
		MemoryContext old;
		bool		holds;

		CHECK_FOR_INTERRUPTS();
		if ((!PG_ARGISNULL(7) && PG_GETARG_INT32(7) != rule->rule_id) || !cxm_alert_holds(&rule->condition, &answer))
			continue;
		old = MemoryContextSwitchTo(rows.context);
		holds = rule->search == NULL || (!PG_ARGISNULL(5) && cxm_alert_reads(rules, rule, PG_GETARG_TEXT_PP(5)));
		MemoryContextSwitchTo(old);
		MemoryContextReset(rows.context);
		if (!holds)
			continue;
		values[0] = Int32GetDatum(rule->rule_id);
		values[1] = Int32GetDatum(rule->version);
		values[2] = PointerGetDatum(rule->severity);
		values[3] = PointerGetDatum(rule->owner);
		tuplestore_putvalues(rows.store, rows.desc, values, nulls);
	}
	MemoryContextDelete(rows.context);
	return (Datum) 0;
}
