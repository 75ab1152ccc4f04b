/*
 * src/notifier.c
 *		Telling listeners: what is posted to cx.outbox, and how it becomes a
 *		notification.
 *
 * Whoever has something to tell writes a row of cx.outbox in the transaction
 * that it is about.  Who gives it to NOTIFY depends on cxm.notify_mode: the
 * worker of the database (notifier_worker.c), the transaction itself, or
 * nobody until cxm.send_outbox() is called.
 *
 * Statements here run under whatever search_path the session has, so every
 * name and operator in them has its schema.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "direct.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "notifier.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

const struct config_enum_entry cxm_notify_modes[] = {
	{"worker", CXM_NOTIFY_WORKER, false},
	{"direct", CXM_NOTIFY_DIRECT, false},
	{"off", CXM_NOTIFY_OFF, false},
	{NULL, 0, false}
};

int			cxm_notify_mode = CXM_NOTIFY_WORKER;

PG_FUNCTION_INFO_V1(cxm_get_notify_mode);
PG_FUNCTION_INFO_V1(cxm_post_notification_array);
PG_FUNCTION_INFO_V1(cxm_send_notification);

/* a statement whose plan is kept */
typedef struct Statement
{
	const char *sql;
	int			nargs;
	Oid			types[4];
	SPIPlanPtr	plan;
} Statement;

/* Run it as a command of its own; SPI_tuptable has what it returns */
static uint64
run(Statement *statement, Datum *args)
{
	int			status;

	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->sql, statement->nargs, statement->types);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", statement->sql, SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		statement->plan = plan;
	}
	status = SPI_execute_plan(statement->plan, args, NULL, false, 0);
	if (status < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql, SPI_result_code_string(status));
	return SPI_processed;
}

static Datum
value_of(uint64 row, int column)
{
	bool		is_null;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null);

	if (is_null)
		elog(ERROR, "a column of cx.outbox that is never null is null");
	return value;
}

/* The mode in force: nobody hears of what waits for a worker that cannot be */
static CxmNotifyMode
mode_in_force(void)
{
	if (cxm_notify_mode == CXM_NOTIFY_WORKER && !cxm_notifier_is_preloaded())
		return CXM_NOTIFY_DIRECT;
	return (CxmNotifyMode) cxm_notify_mode;
}

/* How full NOTIFY's queue is, from 0 to 1 */
double
cxm_notify_queue_usage(void)
{
	return DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE));
}

/*
 * What NOTIFY is given of a payload, with outbox_id as its first key.  By the
 * id a listener knows what it has had already; and without it PostgreSQL would
 * fold equal payloads of one transaction into one.
 */
static char *
notice_of(int64 outbox_id, Datum payload)
{
	Jsonb	   *json = DatumGetJsonbP(payload);
	const char *text = JsonbToCString(NULL, &json->root, VARSIZE(json));
	const char *rest = text + 1;

	if (text[0] != '{')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload of a notification must be a JSON object")));
	return psprintf("{\"outbox_id\": " INT64_FORMAT "%s%s", outbox_id, *rest == '}' ? "" : ", ", rest);
}

/*
 * cxm.send_notification(channel text, outbox_id bigint, payload jsonb) RETURNS timestamptz
 */
Datum
cxm_send_notification(PG_FUNCTION_ARGS)
{
	Async_Notify(text_to_cstring(PG_GETARG_TEXT_PP(0)), notice_of(PG_GETARG_INT64(1), PG_GETARG_DATUM(2)));
	PG_RETURN_TIMESTAMPTZ(GetCurrentTimestamp());
}

/* The value of cxm.notify_mode that is in force; calling this loads the library */
Datum
cxm_get_notify_mode(PG_FUNCTION_ARGS)
{
	const struct config_enum_entry *option = cxm_notify_modes;

	while (option->val != (int) mode_in_force())
		option++;
	PG_RETURN_TEXT_P(cstring_to_text(option->name));
}

/* posting */

/* more than this are written by one statement */
#define MAX_SINGLE 16

#define POST_COLUMNS \
	"INSERT INTO cx.outbox AS o (channel, payload, sent_at, held) "

static Statement post_many = {
	POST_COLUMNS
	"SELECT $1, p.payload, CASE WHEN $3 THEN pg_catalog.clock_timestamp() END, $4 "
	"FROM pg_catalog.unnest($2) WITH ORDINALITY AS p(payload, place) ORDER BY p.place "
	"RETURNING o.outbox_id, o.payload",
	4, {TEXTOID, JSONBARRAYOID, BOOLOID, BOOLOID}, NULL
};

/* cx.outbox as the store makes it */
typedef enum OutboxColumn
{
	OUTBOX_ID, OUTBOX_CHANNEL, OUTBOX_PAYLOAD, OUTBOX_CREATED_AT, OUTBOX_POSTED_XID, OUTBOX_HELD, OUTBOX_SENT_AT
} OutboxColumn;

static const CxmColumn outbox_columns[] =
{
	[OUTBOX_ID] = {"outbox_id", INT8OID},
	[OUTBOX_CHANNEL] = {"channel", TEXTOID},
	[OUTBOX_PAYLOAD] = {"payload", JSONBOID},
	[OUTBOX_CREATED_AT] = {"created_at", TIMESTAMPTZOID},
	[OUTBOX_POSTED_XID] = {"posted_xid", XID8OID},
	[OUTBOX_HELD] = {"held", BOOLOID},
	[OUTBOX_SENT_AT] = {"sent_at", TIMESTAMPTZOID}
};

/* sent_at IS NULL AND NOT held */
static bool
is_of_unsent(const List *predicate)
{
	bool		is_unsent = false;
	bool		is_not_held = false;
	ListCell   *cell;

	foreach(cell, predicate)
	{
		const Node *node = lfirst(cell);

		if (IsA(node, NullTest) && ((const NullTest *) node)->nulltesttype == IS_NULL)
			is_unsent = cxm_is_column((const Node *) ((const NullTest *) node)->arg, OUTBOX_SENT_AT);
		else if (IsA(node, BoolExpr) && ((const BoolExpr *) node)->boolop == NOT_EXPR)
			is_not_held = cxm_is_column(linitial(((const BoolExpr *) node)->args), OUTBOX_HELD);
	}
	return list_length(predicate) == 2 && is_unsent && is_not_held;
}

static const char *const outbox_parts[] =
{
	"outbox_pkey", "outbox_channel_check", "outbox_payload_check", "outbox_unsent_idx", "outbox_held_idx",
	"outbox_posted_xid_idx", NULL
};

#define BY_UNSENT_ID 0

static CxmTable outbox = {
	.name = "outbox", .columns = outbox_columns, .ncolumns = lengthof(outbox_columns),
	.is_inserted_into = true, .is_updated = true, .nkeys = 1,
	.keys = {[BY_UNSENT_ID] = {1, {OUTBOX_ID}, is_of_unsent, false}}, .parts = outbox_parts
};

/* who sends what one call posts */
typedef struct Posting
{
	const char *channel;
	CxmNotifyMode mode;
	bool		is_direct;
} Posting;

/*
 * A full queue would make the writer's COMMIT fail, so what does not fit
 * waits in the outbox, for the worker where there is one.
 */
static Posting
begin_posting(const char *channel)
{
	Posting		posting = {.channel = channel, .mode = mode_in_force()};

	posting.is_direct = posting.mode == CXM_NOTIFY_DIRECT && cxm_notify_queue_usage() < CXM_FULLEST_QUEUE;
	return posting;
}

static void
give_to_sender(const Posting *posting, int64 outbox_id, Datum payload)
{
	if (posting->is_direct)
		Async_Notify(posting->channel, notice_of(outbox_id, payload));
	else if (posting->mode != CXM_NOTIFY_OFF)
		cxm_posted(outbox_id);
}

static void
set_posted(const Posting *posting, CxmNewRow *row, Datum payload)
{
	row->table = &outbox;
	cxm_set_column(row, OUTBOX_CHANNEL, CStringGetTextDatum(posting->channel));
	cxm_set_column(row, OUTBOX_PAYLOAD, payload);
	cxm_set_column(row, OUTBOX_HELD, BoolGetDatum(posting->mode == CXM_NOTIFY_OFF));
	if (posting->is_direct)
		cxm_set_column(row, OUTBOX_SENT_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
}

static bool
post_single(const Posting *posting, const Datum *payloads, int n)
{
	Relation	relation;

	if (n > MAX_SINGLE)
		return false;
	relation = cxm_table_open(&outbox, ACL_INSERT | ACL_SELECT);
	if (relation == NULL)
		return false;
	for (int i = 0; i < n; i++)
	{
		CxmNewRow	row = {0};

		set_posted(posting, &row, payloads[i]);
		(void) cxm_insert_row(relation, &row, CXM_NO_KEY, NULL);
		give_to_sender(posting, DatumGetInt64(row.values[OUTBOX_ID]), payloads[i]);
	}
	relation_close(relation, NoLock);
	CommandCounterIncrement();
	return true;
}

void
cxm_post_notifications(const char *channel, const Datum *payloads, int n)
{
	Posting		posting;
	Datum		args[4];
	uint64		nposted;

	if (n == 0)
		return;
	posting = begin_posting(channel);
	if (post_single(&posting, payloads, n))
		return;
	SPI_connect();
	args[0] = CStringGetTextDatum(channel);
	args[1] = PointerGetDatum(construct_array(unconstify(Datum *, payloads), n, JSONBOID, -1, false, TYPALIGN_INT));
	args[2] = BoolGetDatum(posting.is_direct);
	args[3] = BoolGetDatum(posting.mode == CXM_NOTIFY_OFF);
	nposted = run(&post_many, args);
	for (uint64 i = 0; i < nposted; i++)
		give_to_sender(&posting, DatumGetInt64(value_of(i, 1)), value_of(i, 2));
	SPI_finish();
}

/* Post one that is as cx.outbox wants it, without an error; false when that cannot be, and nothing was done */
bool
cxm_post_at_once(const char *channel, Datum payload)
{
	Posting		posting = begin_posting(channel);
	Relation	relation = cxm_table_open_at_once(&outbox, ACL_INSERT | ACL_SELECT);
	CxmNewRow	row = {.meets_checks = true};
	ItemPointerData ctid;
	bool		is_posted;

	if (relation == NULL)
		return false;
	set_posted(&posting, &row, payload);
	is_posted = cxm_prepare_row(relation, &row) && cxm_insert_prepared(relation, &row, &ctid);
	if (is_posted)
	{
		give_to_sender(&posting, DatumGetInt64(row.values[OUTBOX_ID]), payload);
		CommandCounterIncrement();
	}
	relation_close(relation, NoLock);
	return is_posted;
}

/*
 * cxm.post_notifications(channel text, payloads jsonb[]) RETURNS bigint
 */
Datum
cxm_post_notification_array(PG_FUNCTION_ARGS)
{
	ArrayType  *array;
	Datum	   *payloads;
	bool	   *nulls;
	int			n;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("channel of a notification is missing")));
	if (PG_ARGISNULL(1))
		PG_RETURN_INT64(0);
	array = PG_GETARG_ARRAYTYPE_P(1);
	deconstruct_array(array, JSONBOID, -1, false, TYPALIGN_INT, &payloads, &nulls, &n);
	for (int i = 0; i < n; i++)
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("payload %d of %d is missing", i + 1, n)));
	cxm_post_notifications(text_to_cstring(PG_GETARG_TEXT_PP(0)), payloads, n);
	PG_RETURN_INT64(n);
}

/* sending */

static Statement send_waiting = {
	"WITH waiting AS MATERIALIZED ("
	" SELECT o.outbox_id FROM cx.outbox AS o"
	" WHERE o.sent_at IS NULL AND NOT o.held AND o.outbox_id OPERATOR(pg_catalog.>=) $1"
	" ORDER BY o.outbox_id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED"
	"), sent AS ("
	" UPDATE cx.outbox AS o SET sent_at = pg_catalog.clock_timestamp()"
	" FROM (SELECT w.outbox_id FROM waiting AS w ORDER BY w.outbox_id) AS w"
	" WHERE o.outbox_id OPERATOR(pg_catalog.=) w.outbox_id"
	" RETURNING o.outbox_id, o.channel, o.payload"
	") SELECT s.outbox_id, s.channel, s.payload FROM sent AS s ORDER BY s.outbox_id",
	2, {INT8OID, INT8OID}, NULL
};

static Statement any_waiting = {
	"SELECT o.outbox_id FROM cx.outbox AS o"
	" WHERE o.sent_at IS NULL AND NOT o.held AND o.outbox_id OPERATOR(pg_catalog.>=) $1"
	" ORDER BY o.outbox_id LIMIT 1",
	1, {INT8OID}, NULL
};

/* kept for cxm_tell_batch() */
typedef struct Notice
{
	int64		outbox_id;
	char	   *channel;
	char	   *text;
} Notice;

static void
keep_notice(CxmBatch *batch, int64 outbox_id, const char *channel, const char *text)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	Notice	   *notice = palloc(sizeof(Notice));

	notice->outbox_id = outbox_id;
	notice->channel = pstrdup(channel);
	notice->text = pstrdup(text);
	batch->kept = lappend(batch->kept, notice);
	MemoryContextSwitchTo(old);
}

static void
give_to_listeners(CxmBatch *batch, int64 outbox_id, Datum channel, Datum payload)
{
	char	   *name = TextDatumGetCString(channel);
	char	   *text = notice_of(outbox_id, payload);

	if (batch->tells_later)
		keep_notice(batch, outbox_id, name, text);
	else
		Async_Notify(name, text);
	batch->sent++;
}

/* Row by row, without a statement; false when that cannot be, and nothing was done */
static bool
send_by_row(int64 from, int limit, CxmBatch *batch)
{
	Relation	relation = cxm_table_open(&outbox, ACL_SELECT | ACL_UPDATE);
	MemoryContext context;
	CxmLookup	lookup;

	if (relation == NULL)
		return false;
	context = AllocSetContextCreate(CurrentMemoryContext, "cxm notification", ALLOCSET_DEFAULT_SIZES);
	cxm_begin_lookup_from(&outbox, relation, BY_UNSENT_ID, from, &lookup);
	while (batch->sent < limit && cxm_next_row(&lookup))
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		CxmNewRow	row = {.table = &outbox};
		int64		outbox_id = DatumGetInt64(lookup.slot->tts_values[OUTBOX_ID]);

		CHECK_FOR_INTERRUPTS();
		cxm_set_column(&row, OUTBOX_SENT_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
		if (cxm_update_row(relation, lookup.slot, &row, false))
		{
			give_to_listeners(batch, outbox_id, lookup.slot->tts_values[OUTBOX_CHANNEL],
							  lookup.slot->tts_values[OUTBOX_PAYLOAD]);
			if (!batch->are_left)
				batch->next = outbox_id;
		}
		else if (!batch->are_left)
		{
			batch->are_left = true;
			batch->next = outbox_id;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	cxm_end_lookup(&lookup);
	relation_close(relation, NoLock);
	return true;
}

static void
send_by_statement(int64 from, int limit, CxmBatch *batch)
{
	Datum		args[2];
	uint64		n;

	SPI_connect();
	args[0] = Int64GetDatum(from);
	args[1] = Int64GetDatum(limit);
	n = run(&send_waiting, args);
	for (uint64 i = 0; i < n; i++)
		give_to_listeners(batch, DatumGetInt64(value_of(i, 1)), value_of(i, 2), value_of(i, 3));
	batch->are_left = run(&any_waiting, args) > 0;
	if (batch->are_left)
		batch->next = DatumGetInt64(value_of(0, 1));
	SPI_finish();
}

/*
 * Mark the oldest notifications that wait, from that id on, as sent and give
 * them to NOTIFY: both happen when the transaction commits, or neither.  Where
 * the batch tells later, they are marked, and kept.
 */
void
cxm_send_batch(int64 from, int limit, CxmBatch *batch)
{
	batch->next = from;
	if (!send_by_row(from, limit, batch))
	{
		/* statements may fire triggers, also at the commit */
		batch->tells_later = false;
		send_by_statement(from, limit, batch);
	}
	batch->is_full = batch->sent == limit;
}

/* Give what was kept to NOTIFY, in another transaction than the one that has marked it */
void
cxm_tell_batch(const CxmBatch *batch)
{
	ListCell   *cell;

	foreach(cell, batch->kept)
	{
		const Notice *notice = lfirst(cell);

		Async_Notify(notice->channel, notice->text);
	}
}

static Statement take_back = {
	"UPDATE cx.outbox AS o SET sent_at = NULL WHERE o.outbox_id OPERATOR(pg_catalog.=) ANY ($1)",
	1, {INT8ARRAYOID}, NULL
};

/* What was kept could not be told: it waits again */
void
cxm_take_back_batch(const CxmBatch *batch)
{
	Datum	   *ids = palloc(list_length(batch->kept) * sizeof(Datum));
	int			n = 0;
	Datum		args[1];
	ListCell   *cell;

	foreach(cell, batch->kept)
		ids[n++] = Int64GetDatum(((const Notice *) lfirst(cell))->outbox_id);
	args[0] = PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	SPI_connect();
	run(&take_back, args);
	SPI_finish();
}
