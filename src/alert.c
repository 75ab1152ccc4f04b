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

#include "access/relation.h"
#include "access/xact.h"
#include "alert.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/int.h"
#include "direct.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "notifier.h"
#include "rows.h"
#include "utils/acl.h"
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

/* more alerts than this are written by one statement */
#define MAX_SINGLE 16

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

static const CxmColumn feedback_columns[NCOLUMNS] =
{
	[FEEDBACK_ID] = {"feedback_id", INT8OID},
	[OCCURRED_AT] = {"occurred_at", TIMESTAMPTZOID},
	[IDENTIFIER_ID] = {"identifier_id", INT8OID},
	[METRIC] = {"metric", TEXTOID},
	[SCORE] = {"score", INT2OID},
	[TOUCHPOINT_ID] = {"touchpoint_id", INT4OID},
	[LOCATION_ID] = {"location_id", INT4OID},
	[PRODUCT_ID] = {"product_id", INT4OID},
	[RECEIVED_AT] = {"received_at", TIMESTAMPTZOID},
	[COMMENT] = {"comment", TEXTOID}
};

/* an answer that meets a rule */
typedef struct Match
{
	uint32		rule;
	bool		met_before;
	bool		has_identifier;
	int64		feedback_id;
	int64		identifier_id;
	TimestampTz occurred_at;
	TimestampTz received_at;
	const text *metric;
	CxmAlertId	score;
	CxmAlertId	touchpoint;
	CxmAlertId	location;
	CxmAlertId	product;
} Match;

typedef struct Matches
{
	Match	   *all;
	Size		n;
	Size		room;
} Matches;

/* alerts that were raised together */
typedef struct Telling
{
	Datum		payloads[MAX_TOLD];
	int64		n;
	int64		first_id;
	int64		last_id;
} Telling;

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
	MemoryContext row;			/* of a row that is being looked at; NULL before the first match */
	MemoryContext batch;		/* of matches that are not written yet; likewise */

	/* of one attempt */
	int64		only;			/* rule to try, or -1 for all of them together */
	bool		in_subtransaction;
	bool		is_connected;	/* to SPI */
	bool		by_statement;	/* write no single rows */
	Matches		found;
	Telling		telling;
	ArrayBuildState *follow_ups;
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

static void
find_columns(Evaluation *e, TupleDesc desc)
{
	static int	last[NCOLUMNS];

	for (int column = 0; column < NCOLUMNS; column++)
	{
		e->columns[column] = cxm_find_column(desc, &feedback_columns[column], &last[column]);
		if (e->columns[column] == 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("cxm.feedback_alert() is a trigger of cx.feedback"),
					 errdetail("The table of this trigger has no column \"%s\" of type %s.",
							   feedback_columns[column].name, format_type_be(feedback_columns[column].type))));
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
make_contexts(Evaluation *e)
{
	if (e->batch != NULL)
		return;
	e->row = AllocSetContextCreate(e->outer, "cxm alert row", ALLOCSET_SMALL_SIZES);
	e->batch = AllocSetContextCreate(e->outer, "cxm alert matches", ALLOCSET_DEFAULT_SIZES);
}

/* Before anything that may fail for other reasons than the writer's own statement */
static void
begin_subtransaction(Evaluation *e)
{
	MemoryContext old = CurrentMemoryContext;

	if (e->in_subtransaction)
		return;
	BeginInternalSubTransaction(NULL);
	e->in_subtransaction = true;
	MemoryContextSwitchTo(old);
}

static void
connect_spi(Evaluation *e)
{
	MemoryContext old = CurrentMemoryContext;

	if (e->is_connected)
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	e->is_connected = true;
	MemoryContextSwitchTo(old);
}

static void
add_match(Evaluation *e, Matches *matches, uint32 rule, const CxmAlertAnswer *answer)
{
	Match	   *match;

	if (matches->n == matches->room)
	{
		matches->room = matches->room == 0 ? 8 : matches->room * 2;
		matches->all = matches->all == NULL
			? MemoryContextAlloc(e->batch, matches->room * sizeof(Match))
			: repalloc(matches->all, matches->room * sizeof(Match));
	}
	match = &matches->all[matches->n++];
	match->rule = rule;
	match->met_before = false;
	match->feedback_id = DatumGetInt64(value_of(e, FEEDBACK_ID));
	match->occurred_at = DatumGetTimestampTz(value_of(e, OCCURRED_AT));
	match->received_at = answer->received_at;
	match->has_identifier = !is_null(e, IDENTIFIER_ID);
	match->identifier_id = match->has_identifier ? DatumGetInt64(value_of(e, IDENTIFIER_ID)) : 0;
	match->score = answer->score;
	match->touchpoint = answer->touchpoint;
	match->location = answer->location;
	match->product = answer->product;
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

/* the columns of an alert, or of what may become one, in the order of the queries below */
typedef enum AlertParam
{
	P_RULE_ID,
	P_FEEDBACK_ID,
	P_OCCURRED_AT,
	P_IDENTIFIER_ID,
	P_METRIC,
	P_SCORE,
	P_RULE_VERSION,
	P_SEVERITY,
	P_CHANNEL,
	P_OWNER,
	N_ALERT,
	P_RECEIVED_AT = P_RULE_VERSION,
	P_TOUCHPOINT,
	P_LOCATION,
	P_PRODUCT,
	N_CANDIDATE
} AlertParam;

static const Oid alert_types[N_ALERT] =
{
	INT4OID, INT8OID, TIMESTAMPTZOID, INT8OID, TEXTOID, INT2OID, INT4OID, TEXTOID, TEXTOID, TEXTOID
};

static const Oid candidate_types[N_CANDIDATE] =
{
	INT4OID, INT8OID, TIMESTAMPTZOID, INT8OID, TEXTOID, INT2OID, TIMESTAMPTZOID, INT4OID, INT4OID, INT4OID
};

#define ALERT_INTO \
	"INSERT INTO cx.alert AS n (rule_id, feedback_id, occurred_at, identifier_id, metric, score, rule_version, severity, channel, owner) "
#define ALERT_CONFLICT " ON CONFLICT ON CONSTRAINT alert_feedback_rule_key DO NOTHING RETURNING n.alert_id, n.rule_id, n.feedback_id"
#define TEN_ARRAYS \
	"ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)," \
	" pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10))"
#define CANDIDATES \
	"ARRAY(SELECT ROW(c.rule_id, 'answer', c.feedback_id, NULL, c.occurred_at, c.received_at, c.identifier_id, c.metric, c.score," \
	" c.touchpoint_id, c.location_id, c.product_id, NULL)::cxm.alert_candidate FROM " TEN_ARRAYS \
	" AS c(rule_id, feedback_id, occurred_at, identifier_id, metric, score, received_at, touchpoint_id, location_id, product_id))"

static void
common_values(const Evaluation *e, const Match *match, Datum *values, bool *nulls)
{
	values[P_RULE_ID] = Int32GetDatum(e->rules->rules[match->rule].rule_id);
	values[P_FEEDBACK_ID] = Int64GetDatum(match->feedback_id);
	values[P_OCCURRED_AT] = TimestampTzGetDatum(match->occurred_at);
	values[P_IDENTIFIER_ID] = Int64GetDatum(match->identifier_id);
	nulls[P_IDENTIFIER_ID] = !match->has_identifier;
	values[P_METRIC] = PointerGetDatum(match->metric);
	values[P_SCORE] = Int16GetDatum((int16) match->score.id);
	nulls[P_SCORE] = !match->score.is_known;
}

static void
alert_values(const Evaluation *e, const Match *match, Datum *values, bool *nulls)
{
	const CxmAlertRule *rule = &e->rules->rules[match->rule];

	memset(nulls, false, N_ALERT * sizeof(bool));
	common_values(e, match, values, nulls);
	values[P_RULE_VERSION] = Int32GetDatum(rule->version);
	values[P_SEVERITY] = PointerGetDatum(rule->severity);
	values[P_CHANNEL] = PointerGetDatum(rule->channel);
	nulls[P_CHANNEL] = rule->channel == NULL;
	values[P_OWNER] = PointerGetDatum(rule->owner);
	nulls[P_OWNER] = rule->owner == NULL;
}

static void
candidate_values(const Evaluation *e, const Match *match, Datum *values, bool *nulls)
{
	memset(nulls, false, N_CANDIDATE * sizeof(bool));
	common_values(e, match, values, nulls);
	values[P_RECEIVED_AT] = TimestampTzGetDatum(match->received_at);
	values[P_TOUCHPOINT] = Int32GetDatum(match->touchpoint.id);
	nulls[P_TOUCHPOINT] = !match->touchpoint.is_known;
	values[P_LOCATION] = Int32GetDatum(match->location.id);
	nulls[P_LOCATION] = !match->location.is_known;
	values[P_PRODUCT] = Int32GetDatum(match->product.id);
	nulls[P_PRODUCT] = !match->product.is_known;
}

typedef void (*ValuesOf) (const Evaluation *e, const Match *match, Datum *values, bool *nulls);

StaticAssertDecl(N_ALERT == (int) N_CANDIDATE, "both have ten columns");

/* Run a statement with ten arrays, of matches that are chosen */
static void
run_with_arrays(Evaluation *e, SPIPlanPtr *plan, const char *sql, const Matches *matches,
				ValuesOf values_of, const Oid *element_types, int expected)
{
	Oid			types[N_ALERT];
	Datum		arrays[N_ALERT];
	Size		n = matches->n;
	MemoryContext old = MemoryContextSwitchTo(e->batch);
	Datum	   *values = MemoryContextAllocHuge(e->batch, N_ALERT * n * sizeof(Datum));
	bool	   *nulls = MemoryContextAllocHuge(e->batch, N_ALERT * n * sizeof(bool));
	int			dims[1] = {(int) n};
	int			lbs[1] = {1};

	connect_spi(e);
	for (Size i = 0; i < n; i++)
	{
		Datum		row[N_ALERT];
		bool		row_nulls[N_ALERT];

		values_of(e, &matches->all[i], row, row_nulls);
		for (int param = 0; param < N_ALERT; param++)
		{
			values[param * n + i] = row[param];
			nulls[param * n + i] = row_nulls[param];
		}
	}
	for (int param = 0; param < N_ALERT; param++)
	{
		int16		length;
		bool		by_value;
		char		align;

		types[param] = get_array_type(element_types[param]);
		get_typlenbyvalalign(element_types[param], &length, &by_value, &align);
		arrays[param] = PointerGetDatum(construct_md_array(values + param * n, nulls + param * n, 1, dims, lbs,
														   element_types[param], length, by_value, align));
	}
	MemoryContextSwitchTo(old);
	run_plan(kept_plan(plan, sql, N_ALERT, types), arrays, NULL, expected);
}

static Datum
returned(uint64 row, int column)
{
	bool		is_null;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);
}

/*
 * An update tells news where the answer meets a rule that it did not meet
 * before: mark the matches that are none.
 */
static void
mark_met_before(Matches *found, int64 feedback_id, const CxmAlertRules *rules, int32 rule_id)
{
	Match		key = {.feedback_id = feedback_id};
	Size		from = 0;
	Size		to = found->n;

	while (from < to)
	{
		Size		middle = from + (to - from) / 2;

		if (compare_matches(&found->all[middle], &key) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < found->n && found->all[from].feedback_id == feedback_id; from++)
	{
		if (rules->rules[found->all[from].rule].rule_id == rule_id)
			found->all[from].met_before = true;
	}
}

static void
look_at_old_rows(Evaluation *e)
{
	static SPIPlanPtr plan = NULL;
	Matches    *found = &e->found;
	Matches		doubtful = {0};

	rewind_rows(e->old_rows, e->old_pointer);
	while (next_row(e, e->old_rows, e->old_pointer))
	{
		Match		key = {.feedback_id = DatumGetInt64(value_of(e, FEEDBACK_ID))};
		Size		from = 0;
		Size		to = found->n;
		CxmAlertAnswer answer;

		while (from < to)
		{
			Size		middle = from + (to - from) / 2;

			if (compare_matches(&found->all[middle], &key) < 0)
				from = middle + 1;
			else
				to = middle;
		}
		if (from == found->n || found->all[from].feedback_id != key.feedback_id)
			continue;
		(void) read_answer(e, &answer);
		for (; from < found->n && found->all[from].feedback_id == key.feedback_id; from++)
		{
			Match	   *match = &found->all[from];
			const CxmAlertRule *rule = &e->rules->rules[match->rule];

			if (match->met_before || !cxm_alert_holds(&rule->condition, &answer) || !comment_holds(e, rule))
				continue;
			if (rule->asks_customer)
				add_match(e, &doubtful, match->rule, &answer);
			else
				match->met_before = true;
		}
	}
	if (doubtful.n == 0)
		return;

	run_with_arrays(e, &plan, "SELECT f.rule_id, f.feedback_id FROM cxm.alert_facts(" CANDIDATES ") AS f",
					&doubtful, candidate_values, candidate_types, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
		mark_met_before(found, DatumGetInt64(returned(i, 2)), e->rules, DatumGetInt32(returned(i, 1)));
	SPI_freetuptable(SPI_tuptable);
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
		   const text *metric, CxmAlertId score, const text *severity, const text *kind, const text *channel)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	/* in the order in which jsonb keeps keys, for it has nothing to sort then */
	if (kind != NULL && !(VARSIZE_ANY_EXHDR(kind) == 6 && memcmp(VARDATA_ANY(kind), "answer", 6) == 0))
		push_text(&state, "kind", kind, 63);
	push_text(&state, "rule", rule, 200);
	push_number(&state, "score", score.id, score.is_known);
	push_text(&state, "metric", metric, 63);
	if (channel != NULL)
		push_text(&state, "channel", channel, 200);
	push_number(&state, "rule_id", rule_id, true);
	push_number(&state, "alert_id", alert_id, true);
	push_text(&state, "severity", severity, 63);
	push_number(&state, "feedback_id", feedback_id, has_feedback);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* Whether the payload of one more alert is wanted: put it into telling->payloads[telling->n - 1] */
static bool
count_alert(Telling *telling, int64 alert_id)
{
	telling->first_id = telling->n == 0 ? alert_id : Min(telling->first_id, alert_id);
	telling->last_id = telling->n == 0 ? alert_id : Max(telling->last_id, alert_id);
	return ++telling->n <= MAX_TOLD;
}

/* Tell the listeners of the alerts that were raised together */
static void
tell_listeners(Telling *telling)
{
	if (telling->n > MAX_TOLD)
	{
		JsonbParseState *state = NULL;

		pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		push_number(&state, "alerts", telling->n, true);
		push_number(&state, "first_alert_id", telling->first_id, true);
		push_number(&state, "last_alert_id", telling->last_id, true);
		telling->payloads[0] = JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	}
	if (telling->n > 0)
		cxm_post_notifications("cxm_alert", telling->payloads, telling->n > MAX_TOLD ? 1 : (int) telling->n);
}

static void
note_follow_up(Evaluation *e, int64 alert_id)
{
	e->follow_ups = accumArrayResult(e->follow_ups, Int64GetDatum(alert_id), false, INT8OID, e->outer);
}

static void
open_follow_ups(Evaluation *e)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[1] = {INT8ARRAYOID};
	Datum		ids;

	if (e->follow_ups == NULL)
		return;
	connect_spi(e);
	ids = makeArrayResult(e->follow_ups, e->outer);
	run_plan(kept_plan(&plan, "SELECT cxm.try_open_follow_ups($1)", 1, types), &ids, NULL, SPI_OK_SELECT);
}

static Datum
payload_of_match(int64 alert_id, const CxmAlertRule *rule, const Match *match)
{
	return payload_of(alert_id, rule->rule_id, rule->name, match->feedback_id, true,
					  match->metric, match->score, rule->severity, NULL, rule->channel);
}

static void
note_alert(Evaluation *e, int64 alert_id, const Match *match)
{
	const CxmAlertRule *rule = &e->rules->rules[match->rule];

	if (count_alert(&e->telling, alert_id))
	{
		MemoryContext old = MemoryContextSwitchTo(e->outer);

		e->telling.payloads[e->telling.n - 1] = payload_of_match(alert_id, rule, match);
		MemoryContextSwitchTo(old);
	}
	if (rule->follow_up)
		note_follow_up(e, alert_id);
}

/* cx.alert as the store makes it */
typedef enum AlertColumn
{
	ALERT_ID, ALERT_RULE_ID, ALERT_RULE_VERSION, ALERT_KIND, ALERT_FEEDBACK_ID, ALERT_KEY, ALERT_OCCURRED_AT,
	ALERT_IDENTIFIER_ID, ALERT_METRIC, ALERT_SCORE, ALERT_FACTS, ALERT_SEVERITY, ALERT_CHANNEL, ALERT_OWNER,
	ALERT_RAISED_AT, ALERT_RAISED_XID, ALERT_STATE, ALERT_LIMIT_KEY, ALERT_HELD_UNTIL, ALERT_RELEASED_AT,
	ALERT_CLAIMED_AT, ALERT_CLAIMED_BY, ALERT_CLAIM_EXPIRES_AT, ALERT_ACKNOWLEDGED_AT, ALERT_ACKNOWLEDGED_BY,
	ALERT_NOTE
} AlertColumn;

static const CxmColumn alert_columns[] =
{
	[ALERT_ID] = {"alert_id", INT8OID},
	[ALERT_RULE_ID] = {"rule_id", INT4OID},
	[ALERT_RULE_VERSION] = {"rule_version", INT4OID},
	[ALERT_KIND] = {"kind", TEXTOID},
	[ALERT_FEEDBACK_ID] = {"feedback_id", INT8OID},
	[ALERT_KEY] = {"key", TEXTOID},
	[ALERT_OCCURRED_AT] = {"occurred_at", TIMESTAMPTZOID},
	[ALERT_IDENTIFIER_ID] = {"identifier_id", INT8OID},
	[ALERT_METRIC] = {"metric", TEXTOID},
	[ALERT_SCORE] = {"score", INT2OID},
	[ALERT_FACTS] = {"facts", JSONBOID},
	[ALERT_SEVERITY] = {"severity", TEXTOID},
	[ALERT_CHANNEL] = {"channel", TEXTOID},
	[ALERT_OWNER] = {"owner", TEXTOID},
	[ALERT_RAISED_AT] = {"raised_at", TIMESTAMPTZOID},
	[ALERT_RAISED_XID] = {"raised_xid", XID8OID},
	[ALERT_STATE] = {"state", TEXTOID},
	[ALERT_LIMIT_KEY] = {"limit_key", TEXTOID},
	[ALERT_HELD_UNTIL] = {"held_until", TIMESTAMPTZOID},
	[ALERT_RELEASED_AT] = {"released_at", TIMESTAMPTZOID},
	[ALERT_CLAIMED_AT] = {"claimed_at", TIMESTAMPTZOID},
	[ALERT_CLAIMED_BY] = {"claimed_by", TEXTOID},
	[ALERT_CLAIM_EXPIRES_AT] = {"claim_expires_at", TIMESTAMPTZOID},
	[ALERT_ACKNOWLEDGED_AT] = {"acknowledged_at", TIMESTAMPTZOID},
	[ALERT_ACKNOWLEDGED_BY] = {"acknowledged_by", TEXTOID},
	[ALERT_NOTE] = {"note", TEXTOID}
};

/* key IS NOT NULL */
static bool
is_of_keys(const List *predicate)
{
	const Node *node = list_length(predicate) == 1 ? linitial(predicate) : NULL;

	return node != NULL && IsA(node, NullTest) && ((const NullTest *) node)->nulltesttype == IS_NOT_NULL
		&& cxm_is_column((const Node *) ((const NullTest *) node)->arg, ALERT_KEY);
}

#define BY_RULE_KEY 0

static const char *const alert_parts[] =
{
	"alert_pkey", "alert_feedback_rule_key", "alert_state_check", "alert_rule_key_key", "alert_pending_idx",
	"alert_held_until_idx", "alert_suppressed_idx", "alert_raised_xid_idx", NULL
};

static CxmTable alerts = {
	.name = "alert", .columns = alert_columns, .ncolumns = lengthof(alert_columns), .is_inserted_into = true,
	.nkeys = 1, .keys = {[BY_RULE_KEY] = {2, {ALERT_RULE_ID, ALERT_KEY}, is_of_keys, true}}, .parts = alert_parts
};

/* the columns that the values of a match go to */
static const AlertColumn columns_of_match[N_ALERT] =
{
	[P_RULE_ID] = ALERT_RULE_ID,
	[P_FEEDBACK_ID] = ALERT_FEEDBACK_ID,
	[P_OCCURRED_AT] = ALERT_OCCURRED_AT,
	[P_IDENTIFIER_ID] = ALERT_IDENTIFIER_ID,
	[P_METRIC] = ALERT_METRIC,
	[P_SCORE] = ALERT_SCORE,
	[P_RULE_VERSION] = ALERT_RULE_VERSION,
	[P_SEVERITY] = ALERT_SEVERITY,
	[P_CHANNEL] = ALERT_CHANNEL,
	[P_OWNER] = ALERT_OWNER
};

/* The alert of a match, suppressed under that limit or (NULL) open */
static void
set_alert(const Evaluation *e, const Match *match, const text *limit_key, CxmNewRow *row)
{
	Datum		values[N_ALERT];
	bool		nulls[N_ALERT];

	row->table = &alerts;
	alert_values(e, match, values, nulls);
	for (int param = 0; param < N_ALERT; param++)
	{
		cxm_set_column(row, columns_of_match[param], values[param]);
		row->nulls[columns_of_match[param]] = nulls[param];
	}
	if (limit_key != NULL)
	{
		cxm_set_column(row, ALERT_STATE, CStringGetTextDatum("suppressed"));
		cxm_set_column(row, ALERT_LIMIT_KEY, PointerGetDatum(limit_key));
	}
}

static int64
insert_alert(const Evaluation *e, Relation relation, const Match *match, const text *limit_key)
{
	CxmNewRow	row = {0};

	set_alert(e, match, limit_key, &row);
	(void) cxm_insert_row(relation, &row, CXM_NO_KEY, NULL);
	return DatumGetInt64(row.values[ALERT_ID]);
}

/*
 * Write alerts one by one, without a statement; false when that cannot be.
 * An answer that has an alert already makes it fail, and then all is written
 * by statements, which leave such an answer out.
 */
static bool
write_single(Evaluation *e, const Matches *plain)
{
	Relation	relation;

	if (e->by_statement || plain->n > MAX_SINGLE)
		return false;
	relation = cxm_table_open(&alerts, ACL_INSERT | ACL_SELECT);
	if (relation == NULL)
		return false;
	for (Size i = 0; i < plain->n; i++)
		note_alert(e, insert_alert(e, relation, &plain->all[i], NULL), &plain->all[i]);
	relation_close(relation, NoLock);
	CommandCounterIncrement();
	return true;
}

/*
 * Write the one alert that there is in steps that do not fail, for which no
 * subtransaction is needed; false when that cannot be, and nothing was done.
 */
static bool
write_at_once(Evaluation *e)
{
	const Match *match = &e->found.all[0];
	const CxmAlertRule *rule = &e->rules->rules[match->rule];
	Relation	relation;
	CxmNewRow	row = {0};
	ItemPointerData ctid;
	bool		is_written;

	if (e->in_subtransaction || e->by_statement || e->old_rows != NULL || rule->is_guarded || rule->follow_up)
		return false;
	relation = cxm_table_open_at_once(&alerts, ACL_INSERT | ACL_SELECT);
	if (relation == NULL)
		return false;
	set_alert(e, match, NULL, &row);
	is_written = cxm_prepare_row(relation, &row) && cxm_insert_prepared(relation, &row, &ctid);
	if (is_written
		&& !cxm_post_at_once("cxm_alert", payload_of_match(DatumGetInt64(row.values[ALERT_ID]), rule, match)))
	{
		cxm_take_back_row(relation, &ctid);
		is_written = false;
	}
	relation_close(relation, NoLock);
	return is_written;
}

/* cx.alert_limit as the store makes it */
typedef enum LimitColumn
{
	LIMIT_RULE_ID, LIMIT_KEY, LIMIT_STARTED_AT, LIMIT_COUNT
} LimitColumn;

static const CxmColumn limit_columns[] =
{
	[LIMIT_RULE_ID] = {"rule_id", INT4OID},
	[LIMIT_KEY] = {"key", TEXTOID},
	[LIMIT_STARTED_AT] = {"started_at", TIMESTAMPTZOID},
	[LIMIT_COUNT] = {"count", INT4OID}
};

static CxmTable limits = {
	.name = "alert_limit", .columns = limit_columns, .ncolumns = lengthof(limit_columns), .nkeys = 1,
	.keys = {{2, {LIMIT_RULE_ID, LIMIT_KEY}, NULL, true}}
};

static text *
key_of_place(const char *kind, CxmAlertId place)
{
	return cstring_to_text(place.is_known ? psprintf("%s %d", kind, place.id) : kind);
}

/* The key in cx.alert_limit of what the throttle of a match is for, as cxm.alert_verdicts() writes it; NULL: none */
static text *
throttle_key(const CxmAlertRule *rule, const Match *match)
{
	switch (rule->throttle_by)
	{
		case CXM_THROTTLE_CUSTOMER:
			if (match->has_identifier)
				return cstring_to_text(psprintf("identifier " INT64_FORMAT, match->identifier_id));
			break;
		case CXM_THROTTLE_TOUCHPOINT:
			return key_of_place("touchpoint", match->touchpoint);
		case CXM_THROTTLE_LOCATION:
			return key_of_place("location", match->location);
		case CXM_THROTTLE_PRODUCT:
			return key_of_place("product", match->product);
		case CXM_THROTTLE_RULE:
			return cstring_to_text("rule");
		case CXM_THROTTLE_NONE:
			break;
	}
	return NULL;
}

/* Whether a limit runs since it last began, that long, when the match comes; count: of its alerts */
static bool
is_running(Relation relation, const Match *match, int32 rule_id, const text *key, int64 length,
		   TimestampTz *begun_at, int32 *count)
{
	Datum		values[2] = {Int32GetDatum(rule_id), PointerGetDatum(key)};
	CxmLookup	lookup;
	bool		runs = false;

	cxm_begin_lookup(&limits, relation, 0, values, 2, &lookup);
	if (cxm_next_row(&lookup))
	{
		int64		end;

		*begun_at = DatumGetTimestampTz(lookup.slot->tts_values[LIMIT_STARTED_AT]);
		*count = DatumGetInt32(lookup.slot->tts_values[LIMIT_COUNT]);
		runs = !TIMESTAMP_NOT_FINITE(*begun_at) && !pg_add_s64_overflow(*begun_at, length, &end)
			&& match->received_at < end;
	}
	cxm_end_lookup(&lookup);
	return runs;
}

/* The key of the alert that stands for a storm, as cxm.raise_alerts() writes it */
static text *
storm_key(TimestampTz begun_at)
{
	Datum		time = DirectFunctionCall2Coll(timestamp_to_char, C_COLLATION_OID, TimestampGetDatum(begun_at),
											   CStringGetTextDatum("YYYY-MM-DD\"T\"HH24:MI:SS.US"));

	return cstring_to_text(psprintf("storm %s", TextDatumGetCString(time)));
}

/* Whether there is an alert of the rule with that key */
static bool
has_key(Relation relation, int32 rule_id, const text *key)
{
	Datum		values[2] = {Int32GetDatum(rule_id), PointerGetDatum(key)};
	CxmLookup	lookup;
	bool		is_found;

	cxm_begin_lookup(&alerts, relation, BY_RULE_KEY, values, 2, &lookup);
	is_found = cxm_next_row(&lookup);
	cxm_end_lookup(&lookup);
	return is_found;
}

/*
 * The limit that suppresses a match as limits stand, as far as that can be
 * said here; otherwise NULL.
 */
static const text *
suppressed_by(Relation limit, Relation alert, const CxmAlertRule *rule, const Match *match)
{
	TimestampTz begun_at;
	int32		count;
	const text *key;

	/* whether the customer meets it comes first */
	if (rule->asks_customer)
		return NULL;
	key = throttle_key(rule, match);
	if (key != NULL)
	{
		if (is_running(limit, match, rule->rule_id, key, rule->throttle, &begun_at, &count))
			return key;
		/* the customer's other identifiers may be throttled */
		if (rule->throttle_by == CXM_THROTTLE_CUSTOMER)
			return NULL;
	}
	if (rule->storm_cap > 0
		&& is_running(limit, match, rule->rule_id, cstring_to_text("storm"), rule->storm_window, &begun_at, &count)
		&& count >= rule->storm_cap)
	{
		key = storm_key(begun_at);
		if (has_key(alert, rule->rule_id, key))
			return key;
	}
	return NULL;
}

/*
 * Write those that a limit suppresses in the same way, and take them out.
 * What is suppressed as the limits stood when the statement began stays so.
 */
static void
write_suppressed(Evaluation *e, Matches *guarded)
{
	Relation	limit;
	Relation	alert;
	const text *keys[MAX_SINGLE];
	Size		kept = 0;

	if (e->by_statement || guarded->n > MAX_SINGLE)
		return;
	limit = cxm_table_open(&limits, ACL_SELECT);
	if (limit == NULL)
		return;
	alert = cxm_table_open(&alerts, ACL_INSERT | ACL_SELECT);
	/* all are looked at before any is written */
	for (Size i = 0; alert != NULL && i < guarded->n; i++)
		keys[i] = suppressed_by(limit, alert, &e->rules->rules[guarded->all[i].rule], &guarded->all[i]);
	relation_close(limit, NoLock);
	if (alert == NULL)
		return;
	for (Size i = 0; i < guarded->n; i++)
	{
		if (keys[i] != NULL)
			(void) insert_alert(e, alert, &guarded->all[i], keys[i]);
		else
			guarded->all[kept++] = guarded->all[i];
	}
	guarded->n = kept;
	relation_close(alert, NoLock);
	CommandCounterIncrement();
}

/* Alerts of rules that nothing else has a say in */
static void
write_plain(Evaluation *e, const Matches *plain)
{
	static SPIPlanPtr plan = NULL;
	Size		place = 0;

	if (plain->n == 0 || write_single(e, plain))
		return;
	run_with_arrays(e, &plan, ALERT_INTO "SELECT * FROM " TEN_ARRAYS ALERT_CONFLICT, plain,
					alert_values, alert_types, SPI_OK_INSERT_RETURNING);

	/* the rows come back in the order in which they went in, less those that were there already */
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int32		rule_id = DatumGetInt32(returned(i, 2));
		int64		feedback_id = DatumGetInt64(returned(i, 3));

		while (place < plain->n && (plain->all[place].feedback_id != feedback_id
									|| e->rules->rules[plain->all[place].rule].rule_id != rule_id))
			place++;
		/* a trigger of somebody else's may have changed what was written */
		if (place == plain->n)
			elog(ERROR, "alerts came back in another order than they were written in");
		note_alert(e, DatumGetInt64(returned(i, 1)), &plain->all[place]);
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Alerts that depend on the customer, a limit, the hour or a route */
static void
write_guarded(Evaluation *e, Matches *guarded)
{
	static SPIPlanPtr plan = NULL;

	if (guarded->n > 0)
		write_suppressed(e, guarded);
	if (guarded->n == 0)
		return;
	run_with_arrays(e, &plan, "SELECT a.alert_id, a.follow_up, a.payload FROM cxm.raise_alerts(" CANDIDATES ") AS a"
					" WHERE a.state OPERATOR(pg_catalog.=) 'open'",
					guarded, candidate_values, candidate_types, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int64		alert_id = DatumGetInt64(returned(i, 1));

		if (count_alert(&e->telling, alert_id))
		{
			MemoryContext old = MemoryContextSwitchTo(e->outer);

			e->telling.payloads[e->telling.n - 1] = JsonbPGetDatum(DatumGetJsonbPCopy(returned(i, 3)));
			MemoryContextSwitchTo(old);
		}
		if (DatumGetBool(returned(i, 2)))
			note_follow_up(e, alert_id);
	}
	SPI_freetuptable(SPI_tuptable);
}

static void
write_matches(Evaluation *e)
{
	Matches		guarded = {0};
	Matches    *found = &e->found;
	Size		kept = 0;

	if (found->n == 0)
		return;
	begin_subtransaction(e);
	if (found->n > 1)
		qsort(found->all, found->n, sizeof(Match), compare_matches);
	if (e->old_rows != NULL)
		look_at_old_rows(e);
	guarded.all = MemoryContextAllocHuge(e->batch, found->n * sizeof(Match));
	for (Size i = 0; i < found->n; i++)
	{
		if (found->all[i].met_before)
			continue;
		if (e->rules->rules[found->all[i].rule].is_guarded)
			guarded.all[guarded.n++] = found->all[i];
		else
			found->all[kept++] = found->all[i];
	}
	found->n = kept;
	write_plain(e, found);
	write_guarded(e, &guarded);
	MemoryContextReset(e->batch);
	memset(found, 0, sizeof(Matches));
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
			/* nothing is known of a customer who is not */
			if (rule->asks_customer && is_null(e, IDENTIFIER_ID))
				continue;
			make_contexts(e);
			if (rule->search != NULL)
				begin_subtransaction(e);
			if (comment_holds(e, rule))
				add_match(e, &e->found, list->rules[i], &answer);
		}
		/* written without the row in hand, for the slot is needed */
		if (e->found.n >= MAX_MATCHES)
			write_matches(e);
	}
	if (e->found.n == 1 && write_at_once(e))
		return;
	write_matches(e);
	tell_listeners(&e->telling);
	open_follow_ups(e);
}

/*
 * Try all rules together (only = -1) or one alone.  NULL, or what went wrong,
 * with nothing of it written.
 */
static ErrorData *
try_rules(Evaluation *e, int64 only, bool by_statement)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	e->only = only;
	e->in_subtransaction = false;
	e->is_connected = false;
	e->by_statement = by_statement;
	memset(&e->found, 0, sizeof(Matches));
	e->telling.n = 0;
	e->follow_ups = NULL;
	PG_TRY();
	{
		evaluate(e);
		if (e->in_subtransaction)
		{
			if (e->is_connected)
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
	if (e->batch != NULL)
	{
		MemoryContextReset(e->batch);
		MemoryContextReset(e->row);
	}
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
		ErrorData  *failure = e->concerned[i] ? try_rules(e, i, true) : NULL;
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

static bool
is_called_well(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo)
		|| !TRIGGER_FIRED_AFTER(trigger->tg_event)
		|| !TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event)
		|| trigger->tg_newtable == NULL)
		return false;
	return TRIGGER_FIRED_BY_INSERT(trigger->tg_event)
		|| (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && trigger->tg_oldtable != NULL);
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

	if (!is_called_well(fcinfo))
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
		/* what is changed may have its alerts already */
		if (try_rules(&e, -1, e.old_rows != NULL) != NULL && try_rules(&e, -1, true) != NULL)
			try_one_by_one(&e);
	}

	tuplestore_select_read_pointer(e.new_rows, 0);
	if (e.old_rows != NULL)
		tuplestore_select_read_pointer(e.old_rows, 0);
	ExecDropSingleTupleTableSlot(e.slot);
	return PointerGetDatum(NULL);
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

static text *
text_argument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : PG_GETARG_TEXT_PP(number);
}

PG_FUNCTION_INFO_V1(cxm_alert_payload);

/* cxm.alert_payload(alert_id, rule_id, rule, feedback_id, metric, score, severity, kind, channel) */
Datum
cxm_alert_payload(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	return payload_of(PG_GETARG_INT64(0), PG_GETARG_INT32(1), text_argument(fcinfo, 2),
					  PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3), !PG_ARGISNULL(3),
					  text_argument(fcinfo, 4), id_argument(fcinfo, 5), text_argument(fcinfo, 6),
					  text_argument(fcinfo, 7), text_argument(fcinfo, 8));
}

PG_FUNCTION_INFO_V1(cxm_send_notifications);

/* cxm.send_notifications(alert_ids, payloads) */
Datum
cxm_send_notifications(PG_FUNCTION_ARGS)
{
	Telling    *telling = palloc0(sizeof(Telling));
	Datum	   *ids;
	Datum	   *payloads;
	bool	   *id_nulls;
	bool	   *payload_nulls;
	int			nids;
	int			npayloads;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_INT64(0);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &ids, &id_nulls, &nids);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), JSONBOID, -1, false, TYPALIGN_INT,
					  &payloads, &payload_nulls, &npayloads);
	if (nids != npayloads)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there are %d alerts and %d payloads", nids, npayloads)));
	for (int i = 0; i < nids; i++)
	{
		if (id_nulls[i] || payload_nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("alert %d of the list is NULL or has no payload", i + 1)));
		if (count_alert(telling, DatumGetInt64(ids[i])))
			telling->payloads[i] = payloads[i];
	}
	tell_listeners(telling);
	PG_RETURN_INT64(nids);
}

/* The stored rules, or the one in the last argument, which is read once for a query */
static const CxmAlertRules *
rules_to_match(FunctionCallInfo fcinfo)
{
	struct
	{
		bytea	   *rule;
		const CxmAlertRules *rules;
	}		   *kept = fcinfo->flinfo->fn_extra;
	bytea	   *rule;

	if (PG_ARGISNULL(8))
		return cxm_alert_rules(false, NULL);
	rule = PG_GETARG_BYTEA_PP(8);
	if (kept == NULL)
		fcinfo->flinfo->fn_extra = kept = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(*kept));
	if (kept->rule == NULL || VARSIZE_ANY_EXHDR(kept->rule) != VARSIZE_ANY_EXHDR(rule)
		|| memcmp(VARDATA_ANY(kept->rule), VARDATA_ANY(rule), VARSIZE_ANY_EXHDR(rule)) != 0)
	{
		MemoryContext old;

		kept->rules = cxm_alert_rules_of(PG_GETARG_DATUM(8), fcinfo->flinfo->fn_mcxt);
		old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		kept->rule = PG_GETARG_BYTEA_P_COPY(8);
		MemoryContextSwitchTo(old);
	}
	return kept->rules;
}

PG_FUNCTION_INFO_V1(cxm_matching_alert_rules);

/*
 * cxm.matching_alert_rules(metric, score, touchpoint_id, location_id, product_id,
 *		comment, received_at, only_rule, rule)
 */
Datum
cxm_matching_alert_rules(PG_FUNCTION_ARGS)
{
	const CxmAlertRules *rules = rules_to_match(fcinfo);
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
