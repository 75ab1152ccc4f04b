/*
 * src/solve.c
 *		cxm.solve(): who is one, for the links of any query.
 *
 * The query runs under the caller's rights, and its values are taken as the
 * executor has them: no tuple is copied, and links are kept, as pairs of
 * numbers, only where a limit has to be applied (src/solve_core.c).  Then all
 * links that no generic node takes part in are joined.  Only the components in
 * which a limit might bind go through the solver of the store
 * (src/identity_core.c), strongest link first: a component that keeps the
 * limits as a whole keeps them in every order.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "cxm.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "identity_core.h"
#include "miscadmin.h"
#include "rows.h"
#include "solve_core.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/plancache.h"
#include "utils/timestamp.h"

/* texts of a batch are copied, up to this size together */
#define BATCH_BYTES		65536

/* of the limits; a namespace is a number of 16 bits, 0 is for those without any */
#define MAX_NAMESPACES	1000

/* what nodes are named by */
typedef enum NodeType
{
	NODES_OF_ANY_TYPE,			/* the first query will say */
	NODES_OF_BIGINT,
	NODES_OF_TEXT
} NodeType;

/* the rules of a namespace that the limits name */
typedef struct NamedLimits
{
	char	   *name;
	int			length;
	CxmNamespace rules;
} NamedLimits;

/* what reads a query, and all that comes of it */
typedef struct Solve
{
	DestReceiver receiver;		/* must be first */
	CxmSolve	core;
	MemoryContext context;
	MemoryContext batch;		/* for as long as a batch */

	NamedLimits *limits;		/* from 1 on */
	int			nlimits;
	bool		has_limits;		/* max_per_profile or is_unique */
	bool		has_windows;
	bool		has_max_links;
	bool		keeps_links;

	NodeType	node_type;
	const char *query;			/* what messages call the query that is read */
	Oid			types[3];		/* of its columns, without domains */
	char	   *columns[3];
	int			ncolumns;

	uint16	   *namespaces;		/* of the nodes of the identifiers */
	uint32		nnamed;
	uint32		named_room;
	int			last_limit;		/* the namespace that came last, for the next is often the same */

	/* the batch: ends of links, or identifiers */
	int			n;
	int64		ids[2 * CXM_SOLVE_BATCH];
	int64		order[CXM_SOLVE_BATCH];
	uint16		namespace[CXM_SOLVE_BATCH];
	const char *texts[2 * CXM_SOLVE_BATCH];
	uint32		lengths[2 * CXM_SOLVE_BATCH];
	uint64		hashes[2 * CXM_SOLVE_BATCH];
	Size		nbytes;
	char		bytes[BATCH_BYTES];

	/* the part that is solved link by link */
	CxmIdentityGraph graph;
	uint32	   *nodes;			/* by number in it */
} Solve;

static void *
resize(void *space, size_t size)
{
	if (size > MaxAllocHugeSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many links or identifiers for the memory of this machine")));
	return space ? repalloc_huge(space, size) : MemoryContextAllocHuge(CurrentMemoryContext, size);
}

static void *
allocate(size_t size)
{
	return resize(NULL, size);
}

static void
release(void *space)
{
	pfree(space);
}

static void
poll_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/*
 * ---- Limits
 */
static void
limits_error(const char *message, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", message),
			 errdetail("%s", detail),
			 errhint("Limits look like {\"user_id\": 1, \"email\": {\"max_per_profile\": 5, \"max_window\": \"90 days\", \"max_links\": 100}}.")));
}

static uint32
count_value(const JsonbValue *v, const char *what)
{
	double		number;

	if (v->type != jbvNumeric)
		limits_error(psprintf("%s must be a number", what), "It is of another type.");
	number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(v->val.numeric)));
	/* written so that NaN is refused */
	if (!(number >= 1 && number <= PG_INT32_MAX && number == floor(number)))
		limits_error(psprintf("%s must be a whole number from 1 to %d", what, PG_INT32_MAX),
					 psprintf("It is %g.", number));
	return (uint32) number;
}

/* An interval in microseconds, a month taken as 30 days */
static int64
window_value(const JsonbValue *v, const char *what)
{
	Interval   *interval;
	int64		days;
	int64		window;

	if (v->type != jbvString)
		limits_error(psprintf("%s must be a string", what), "It is of another type.");
	interval = DatumGetIntervalP(DirectFunctionCall3(interval_in,
													 CStringGetDatum(pnstrdup(v->val.string.val, v->val.string.len)),
													 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &window) ||
		pg_add_s64_overflow(window, interval->time, &window) || window <= 0)
		limits_error(psprintf("%s must be more than 0 and less than 290000 years", what),
					 psprintf("It is %s.", pnstrdup(v->val.string.val, v->val.string.len)));
	return window;
}

/* The rules of one namespace: a number, or an object */
static void
read_rules(JsonbValue *value, const char *name, CxmNamespace *rules)
{
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	const char *key = "";

	if (value->type == jbvNumeric)
	{
		rules->max_per_profile = count_value(value, psprintf("limit of \"%s\"", name));
		return;
	}
	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		limits_error(psprintf("limit of \"%s\" must be a number or an object", name), "It is of another type.");

	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char	   *what;

		if (token == WJB_KEY)
			key = pnstrdup(v.val.string.val, v.val.string.len);
		if (token != WJB_VALUE)
			continue;
		what = psprintf("\"%s\" of \"%s\"", key, name);
		if (strcmp(key, "max_per_profile") != 0 && strcmp(key, "max_window") != 0 &&
			strcmp(key, "is_unique") != 0 && strcmp(key, "max_links") != 0)
			limits_error(psprintf("unknown key \"%s\" in the limit of \"%s\"", key, name),
						 "Known keys are: max_per_profile, max_window, is_unique, max_links.");
		if (strcmp(key, "max_links") == 0)
			rules->max_links = v.type == jbvNull ? 0 : count_value(&v, what);
		else if (v.type == jbvNull)
			continue;
		else if (strcmp(key, "max_per_profile") == 0)
			rules->max_per_profile = count_value(&v, what);
		else if (strcmp(key, "max_window") == 0)
			rules->max_window = window_value(&v, what);
		else if (v.type == jbvBool)
			rules->is_unique = v.val.boolean;
		else
			limits_error(psprintf("%s must be true or false", what), "It is of another type.");
	}
	if (rules->max_window > 0 && rules->max_per_profile == 0)
		limits_error(psprintf("limit of \"%s\" has a window and no number", name), "\"max_per_profile\" is missing.");
}

static void
read_limits(Solve *solve, Jsonb *limits, int32 max_links)
{
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	int			room = limits ? JB_ROOT_COUNT(limits) : 0;

	if (limits && !JB_ROOT_IS_OBJECT(limits))
		limits_error("limits must be an object", "They are of another type.");
	if (room > MAX_NAMESPACES)
		limits_error("too many limits", psprintf("There are %d, and may be %d.", room, MAX_NAMESPACES));
	solve->limits = palloc0(sizeof(NamedLimits) * (room + 1));
	solve->limits[0].rules.max_links = max_links;
	solve->has_max_links = max_links > 0;
	if (limits == NULL)
		return;

	it = JsonbIteratorInit(&limits->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		NamedLimits *named = &solve->limits[solve->nlimits];

		if (token == WJB_KEY)
		{
			named = &solve->limits[++solve->nlimits];
			named->name = pnstrdup(v.val.string.val, v.val.string.len);
			named->length = v.val.string.len;
			named->rules.max_links = max_links;
		}
		if (token != WJB_VALUE)
			continue;
		read_rules(&v, named->name, &named->rules);
		solve->has_limits |= named->rules.max_per_profile > 0 || named->rules.is_unique;
		solve->has_windows |= named->rules.max_window > 0;
		solve->has_max_links |= named->rules.max_links > 0;
	}
}

/* The number of a namespace, 0 when no limit names it */
static int
limit_number(Solve *solve, const text *name)
{
	int			length = VARSIZE_ANY_EXHDR(name);
	int			i = solve->last_limit;

	if (i > 0 && solve->limits[i].length == length && memcmp(solve->limits[i].name, VARDATA_ANY(name), length) == 0)
		return i;
	for (i = solve->nlimits; i > 0; i--)
	{
		if (solve->limits[i].length == length && memcmp(solve->limits[i].name, VARDATA_ANY(name), length) == 0)
			break;
	}
	return solve->last_limit = i;
}

/*
 * ---- Reading
 */

/* The batch has the nodes of its names now */
static void
take_batch(Solve *solve, uint32 *nodes)
{
	int			n = solve->n;
	bool		fits;

	if (solve->node_type == NODES_OF_TEXT)
		fits = cxm_solve_intern_texts(&solve->core, solve->texts, solve->lengths, solve->hashes, n, nodes);
	else
		fits = cxm_solve_intern_ids(&solve->core, solve->ids, n, nodes);
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many identifiers"),
				 errdetail("There may be %u.", CXM_SOLVE_MAX_NODES),
				 errhint("Solve parts that no link connects in calls of their own.")));
	solve->n = 0;
	solve->nbytes = 0;
	MemoryContextReset(solve->batch);
}

static void
take_links(Solve *solve)
{
	MemoryContext old = MemoryContextSwitchTo(solve->context);
	uint32		nodes[2 * CXM_SOLVE_BATCH];
	int			nlinks = solve->n / 2;

	take_batch(solve, nodes);
	if (solve->keeps_links)
		cxm_solve_keep(&solve->core, nodes, solve->order, nlinks);
	else
		cxm_solve_join(&solve->core, nodes, nlinks);
	MemoryContextSwitchTo(old);
}

/* Nodes without a namespace that is limited need no more than to be there */
static void
take_identifiers(Solve *solve)
{
	MemoryContext old = MemoryContextSwitchTo(solve->context);
	uint32		nodes[2 * CXM_SOLVE_BATCH];
	int			n = solve->n;

	take_batch(solve, nodes);
	if (solve->nnamed + n > solve->named_room)
	{
		solve->named_room = solve->named_room == 0 ? 1024 : solve->named_room * 2;
		solve->namespaces = resize(solve->namespaces, (Size) solve->named_room * sizeof(uint16));
	}
	for (int i = 0; i < n; i++)
	{
		uint32		node = nodes[i];

		if (node == solve->nnamed)
			solve->namespaces[solve->nnamed++] = solve->namespace[i];
		else if (solve->namespaces[node] != solve->namespace[i])
		{
			char	   *name;

			if (solve->node_type == NODES_OF_TEXT)
			{
				uint32		length;

				memcpy(&length, solve->core.texts[node], sizeof(uint32));
				name = pnstrdup(solve->core.texts[node] + sizeof(uint32), length);
			}
			else
				name = psprintf(INT64_FORMAT, solve->ids[i]);
			ereport(ERROR,
					(errcode(ERRCODE_UNIQUE_VIOLATION),
					 errmsg("identifier \"%s\" is in two namespaces", name),
					 errdetail("Column \"%s\" of the identifiers must have one namespace for each \"%s\".",
							   solve->columns[1], solve->columns[0])));
		}
	}
	MemoryContextSwitchTo(old);
}

static void
null_error(const Solve *solve, int column)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("column \"%s\" of the %s must not be null", solve->columns[column], solve->query),
			 errhint("Leave such rows out: add WHERE %s IS NOT NULL to the query.",
					 quote_identifier(solve->columns[column]))));
}

/* A name into the batch, at this place; the text is not ours for longer than the call */
static void
put_name(Solve *solve, int place, Datum value, Oid type)
{
	text	   *name;
	Size		length;

	if (solve->node_type == NODES_OF_BIGINT)
	{
		solve->ids[place] = type == INT8OID ? DatumGetInt64(value)
			: type == INT4OID ? DatumGetInt32(value) : DatumGetInt16(value);
		return;
	}
	name = DatumGetTextPP(value);
	length = VARSIZE_ANY_EXHDR(name);
	solve->hashes[place] = hash_bytes_extended((unsigned char *) VARDATA_ANY(name), (int) length, solve->core.seed);
	solve->lengths[place] = (uint32) length;
	if (length <= BATCH_BYTES - solve->nbytes)
	{
		solve->texts[place] = memcpy(&solve->bytes[solve->nbytes], VARDATA_ANY(name), length);
		solve->nbytes += length;
	}
	else
	{
		/* too long to copy: the batch is taken while the row is there */
		solve->texts[place] = VARDATA_ANY(name);
		solve->nbytes = BATCH_BYTES;
	}
}

/* A number that sorts as the value does */
static int64
order_of(const Solve *solve, Datum value)
{
	double		number;
	int64		bits;

	switch (solve->types[2])
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		case DATEOID:
			if (DATE_IS_NOBEGIN(DatumGetDateADT(value)))
				return PG_INT64_MIN;
			if (DATE_IS_NOEND(DatumGetDateADT(value)))
				return PG_INT64_MAX;
			/* dates go further than timestamps */
			if (pg_mul_s64_overflow(DatumGetDateADT(value), USECS_PER_DAY, &bits))
				return PG_INT64_MAX - 1;
			return bits;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return DatumGetTimestamp(value);
		case FLOAT4OID:
			number = DatumGetFloat4(value);
			break;
		case NUMERICOID:
			number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
			break;
		default:
			number = DatumGetFloat8(value);
	}
	if (isnan(number))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" of the %s must not be NaN", solve->columns[2], solve->query)));
	number += 0.0;				/* no negative zero */
	memcpy(&bits, &number, sizeof(bits));
	return bits >= 0 ? bits : bits ^ PG_INT64_MAX;
}

static bool
receive_link(TupleTableSlot *slot, DestReceiver *self)
{
	Solve	   *solve = (Solve *) self;
	int			n = solve->n;
	MemoryContext old = MemoryContextSwitchTo(solve->batch);

	slot_getsomeattrs(slot, solve->ncolumns);
	for (int i = 0; i < solve->ncolumns; i++)
	{
		if (slot->tts_isnull[i])
			null_error(solve, i);
	}
	put_name(solve, n, slot->tts_values[0], solve->types[0]);
	put_name(solve, n + 1, slot->tts_values[1], solve->types[1]);
	if (solve->ncolumns > 2)
		solve->order[n / 2] = order_of(solve, slot->tts_values[2]);
	solve->n += 2;
	if (solve->n == 2 * CXM_SOLVE_BATCH || solve->nbytes > BATCH_BYTES / 2)
		take_links(solve);
	MemoryContextSwitchTo(old);
	return true;
}

static bool
receive_identifier(TupleTableSlot *slot, DestReceiver *self)
{
	Solve	   *solve = (Solve *) self;
	int			n = solve->n;
	MemoryContext old = MemoryContextSwitchTo(solve->batch);

	slot_getsomeattrs(slot, 2);
	for (int i = 0; i < 2; i++)
	{
		if (slot->tts_isnull[i])
			null_error(solve, i);
	}
	put_name(solve, n, slot->tts_values[0], solve->types[0]);
	solve->namespace[n] = limit_number(solve, DatumGetTextPP(slot->tts_values[1]));
	if (++solve->n == CXM_SOLVE_BATCH || solve->nbytes > BATCH_BYTES / 2)
		take_identifiers(solve);
	MemoryContextSwitchTo(old);
	return true;
}

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

static bool
is_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID;
}

static void
type_error(const Solve *solve, int column, const char *wanted, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of the %s must be %s", solve->columns[column], solve->query, wanted),
			 errdetail("It is of type %s.", format_type_be(solve->types[column])),
			 errhint("%s", hint)));
}

/* Take the columns of a query, and refuse other ones than "least" to "most" */
static void
take_columns(Solve *solve, TupleDesc desc, int least, int most, const char *hint)
{
	if (desc->natts < least || desc->natts > most)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 least == most ? errmsg("query of the %s must have %d columns", solve->query, least)
				 : errmsg("query of the %s must have %d or %d columns", solve->query, least, most),
				 errdetail("It has %d.", desc->natts),
				 errhint("%s", hint)));
	solve->ncolumns = desc->natts;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		solve->columns[i] = MemoryContextStrdup(solve->context, NameStr(attribute->attname));
		solve->types[i] = getBaseType(attribute->atttypid);
	}
}

static void
check_name(Solve *solve, int column)
{
	Oid			type = solve->types[column];

	if (solve->node_type == NODES_OF_ANY_TYPE)
		solve->node_type = is_text(type) ? NODES_OF_TEXT : NODES_OF_BIGINT;
	if (solve->node_type == NODES_OF_TEXT && !is_text(type))
		type_error(solve, column, "of type text", "Cast it to text in the query.");
	if (solve->node_type == NODES_OF_BIGINT && !is_integer(type))
		type_error(solve, column, "of type bigint, integer or smallint",
				   "Cast it in the query. Identifiers that are texts are solved by cxm.solve_text().");
	solve->core.is_text = solve->node_type == NODES_OF_TEXT;
}

static void
start_links(DestReceiver *self, int operation, TupleDesc desc)
{
	Solve	   *solve = (Solve *) self;

	take_columns(solve, desc, 2, 3, "Write SELECT a, b FROM ..., or SELECT a, b, observed_at FROM ....");
	check_name(solve, 0);
	check_name(solve, 1);
	if (solve->ncolumns > 2)
	{
		Oid			type = solve->types[2];
		bool		is_time = type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;

		if (!is_time && !is_integer(type) && type != FLOAT4OID && type != FLOAT8OID && type != NUMERICOID)
			type_error(solve, 2, "a number or a time", "Links with a smaller one are stronger.");
		if (!is_time && solve->has_windows)
			type_error(solve, 2, "a time", "Limits with \"max_window\" need to know when a link was seen.");
	}
	else if (solve->has_windows)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query of the %s must have a third column", solve->query),
				 errdetail("Limits with \"max_window\" need to know when a link was seen."),
				 errhint("Write SELECT a, b, observed_at FROM ....")));
	solve->core.is_ordered = solve->keeps_links && solve->has_limits && solve->ncolumns > 2;
}

static void
start_identifiers(DestReceiver *self, int operation, TupleDesc desc)
{
	Solve	   *solve = (Solve *) self;

	take_columns(solve, desc, 2, 2, "Write SELECT id, namespace FROM ....");
	check_name(solve, 0);
	if (!is_text(solve->types[1]))
		type_error(solve, 1, "of type text", "It is the namespace. Cast it to text in the query.");
}

static void
stop_nothing(DestReceiver *self)
{
}

/* Run a query, row by row into the receiver */
static void
read_query(Solve *solve, const char *name, text *query)
{
	SPIPlanPtr	plan;
	SPIExecuteOptions options = {0};
	const CachedPlanSource *source;
	int			result;

	solve->query = name;
	solve->receiver.rShutdown = stop_nothing;
	solve->receiver.rDestroy = stop_nothing;
	solve->receiver.mydest = DestNone;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	plan = SPI_prepare_cursor(text_to_cstring(query), 0, NULL, CURSOR_OPT_PARALLEL_OK);
	if (plan == NULL || !SPI_is_cursor_plan(plan))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("query of the %s must be one query that returns rows", name),
				 errdetail("It is: %s", text_to_cstring(query))));
	source = linitial(SPI_plan_get_plan_sources(plan));
	if (source->commandTag != CMDTAG_SELECT ||
		linitial_node(Query, source->query_list)->hasModifyingCTE ||
		linitial_node(Query, source->query_list)->rowMarks != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("query of the %s must not change or lock anything", name),
				 errdetail("It is: %s", text_to_cstring(query)),
				 errhint("Do that in a statement of its own.")));
	options.read_only = true;
	options.dest = &solve->receiver;
	result = SPI_execute_plan_extended(plan, &options);
	if (result < 0)
		elog(ERROR, "could not run the query of the %s: %s", name, SPI_result_code_string(result));
	SPI_finish();
}

static void
read_identifiers(Solve *solve, text *query)
{
	solve->receiver.rStartup = start_identifiers;
	solve->receiver.receiveSlot = receive_identifier;
	read_query(solve, "identifiers", query);
	take_identifiers(solve);
}

static void
read_links(Solve *solve, text *query)
{
	solve->receiver.rStartup = start_links;
	solve->receiver.receiveSlot = receive_link;
	read_query(solve, "links", query);
	take_links(solve);
}

/*
 * ---- Solving
 */

/* Breaks ties of links by what they say, not by when they came */
static uint64
tie_hash(const CxmSolve *core, uint32 node)
{
	uint32		length;

	if (!core->is_text)
		return hash_bytes_extended((unsigned char *) &core->ids[node], sizeof(int64), 0);
	memcpy(&length, core->texts[node], sizeof(uint32));
	return hash_bytes_extended((const unsigned char *) core->texts[node] + sizeof(uint32), (int) length, 0);
}

/* A link of this time ends in a node */
static void
see_identifier(Solve *solve, uint32 node, int64 at)
{
	const CxmSolveRules *rules = solve->core.rules;
	CxmIdentifier *identifier = &solve->graph.identifiers[rules[node].degree];

	if (rules[solve->core.parent[node]].is_bound && at < identifier->at)
		identifier->at = at;
}

/* The components in which a limit might bind, as the solver of the store wants them */
static void
collect_bound(Solve *solve, uint32 nbound)
{
	CxmSolve   *core = &solve->core;
	CxmSolveRules *rules = core->rules;
	CxmIdentityGraph *graph = &solve->graph;
	CxmNamespace *namespaces = palloc(sizeof(CxmNamespace) * (solve->nlimits + 1));
	size_t		nlinks = 0;

	for (int i = 0; i <= solve->nlimits; i++)
		namespaces[i] = solve->limits[i].rules;
	graph->namespaces = namespaces;
	graph->nnamespaces = solve->nlimits + 1;
	graph->allocate = allocate;
	graph->poll = poll_interrupts;

	/* from here on a node's degree is its number in the graph */
	graph->identifiers = resize(NULL, nbound * sizeof(CxmIdentifier));
	solve->nodes = resize(NULL, nbound * sizeof(uint32));
	for (uint32 i = 0; i < core->nnodes; i++)
	{
		CxmIdentifier *identifier = &graph->identifiers[graph->nidentifiers];

		if (!rules[core->parent[i]].is_bound)
			continue;
		memset(identifier, 0, sizeof(CxmIdentifier));
		identifier->hash = tie_hash(core, i);
		identifier->at = PG_INT64_MAX;
		identifier->namespace = rules[i].namespace;
		rules[i].degree = graph->nidentifiers;
		solve->nodes[graph->nidentifiers++] = i;
	}

	/* how many, then which */
	for (int pass = 0; pass < 2; pass++)
	{
		if (pass == 1)
			graph->links = resize(NULL, nlinks * sizeof(CxmIdentityLink) + 1);
		for (size_t i = 0; i < core->nlinks; i++)
		{
			uint32		a = core->links[2 * i];
			uint32		b = core->links[2 * i + 1];
			CxmIdentityLink *link;

			if (i % 65536 == 0)
				CHECK_FOR_INTERRUPTS();
			if (pass == 0 && solve->has_windows)
			{
				/* links that are refused tell when an identifier was seen, too */
				see_identifier(solve, a, core->order[i]);
				see_identifier(solve, b, core->order[i]);
			}
			if (rules[a].is_generic || rules[b].is_generic || !rules[core->parent[a]].is_bound)
				continue;
			if (pass == 0)
			{
				nlinks++;
				continue;
			}
			link = &graph->links[graph->nlinks++];
			memset(link, 0, sizeof(CxmIdentityLink));
			link->a = rules[a].degree;
			link->b = rules[b].degree;
			link->at = core->order ? core->order[i] : 0;
			link->kind = CXM_SEEN;
		}
	}
}

static void
solve_links(Solve *solve)
{
	CxmSolve   *core = &solve->core;
	CxmSolveNamespace *namespaces;
	uint32		nbound;

	cxm_solve_name(core);
	if (!solve->keeps_links)
		return;

	namespaces = palloc0(sizeof(CxmSolveNamespace) * (solve->nlimits + 1));
	for (int i = 0; i <= solve->nlimits; i++)
	{
		const CxmNamespace *rules = &solve->limits[i].rules;

		namespaces[i].max = rules->is_unique ? 1 : rules->max_per_profile;
		namespaces[i].max_links = rules->max_links;
		namespaces[i].counts = namespaces[i].max > 0 || !solve->has_limits;
	}
	core->rules = resize(NULL, (Size) core->nnodes * sizeof(CxmSolveRules) + 1);
	memset(core->rules, 0, (Size) core->nnodes * sizeof(CxmSolveRules));
	for (uint32 i = 0; i < solve->nnamed; i++)
		core->rules[i].namespace = solve->namespaces[i];

	if (solve->has_max_links)
		cxm_solve_find_generic(core, namespaces);
	cxm_solve_join_kept(core);
	nbound = solve->has_limits ? cxm_solve_find_bound(core, namespaces, solve->nlimits + 1) : 0;
	if (nbound > 0)
	{
		collect_bound(solve, nbound);
		cxm_identity_solve(&solve->graph);
		for (uint32 i = 0; i < nbound; i++)
			core->parent[solve->nodes[i]] = solve->nodes[solve->graph.identifiers[i].cluster];
	}
}

/*
 * ---- Rows
 */
/* A row a node */
static void
put_components(Solve *solve, CxmRows *rows)
{
	CxmSolve   *core = &solve->core;
	uint32	   *least = cxm_solve_least(core);
	MemoryContext row = AllocSetContextCreate(solve->context, "cxm solve row", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row);
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	/* the length in front of a text becomes the header of a value */
	if (core->is_text)
	{
		for (uint32 i = 0; i < core->nnodes; i++)
		{
			text	   *name = (text *) unconstify(char *, core->texts[i]);
			uint32		length;

			memcpy(&length, name, sizeof(uint32));
			SET_VARSIZE(name, length + VARHDRSZ);
		}
	}
	for (uint32 i = 0; i < core->nnodes; i++)
	{
		uint32		component = least[core->parent[i]];

		if (core->is_text)
		{
			values[0] = PointerGetDatum(core->texts[i]);
			values[1] = PointerGetDatum(core->texts[component]);
		}
		else
		{
			values[0] = Int64GetDatum(core->ids[i]);
			values[1] = Int64GetDatum(core->ids[component]);
		}
		values[2] = BoolGetDatum(core->rules && core->rules[i].is_generic);
		tuplestore_putvalues(rows->store, rows->desc, values, nulls);
		if (i % 8192 == 0)
		{
			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(row);
		}
	}
	MemoryContextSwitchTo(old);
}

static text *
name_of(const CxmSolve *core, uint32 node)
{
	char		digits[32];
	uint32		length;

	if (!core->is_text)
		return cstring_to_text_with_len(digits, pg_lltoa(core->ids[node], digits));
	memcpy(&length, core->texts[node], sizeof(uint32));
	return cstring_to_text_with_len(core->texts[node] + sizeof(uint32), (int) length);
}

static void
put_refused_link(const CxmSolve *core, CxmRows *rows, uint32 a, uint32 b, const char *reason)
{
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	values[0] = PointerGetDatum(name_of(core, a));
	values[1] = PointerGetDatum(name_of(core, b));
	values[2] = CStringGetTextDatum(reason);
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
}

/* A row a link that does not hold */
static void
put_refused(Solve *solve, CxmRows *rows)
{
	const CxmSolve *core = &solve->core;
	const CxmIdentityGraph *graph = &solve->graph;
	MemoryContext row = AllocSetContextCreate(solve->context, "cxm solve row", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row);

	if (core->rules == NULL)
		return;
	for (size_t i = 0; i < core->nlinks; i++)
	{
		uint32		a = core->links[2 * i];
		uint32		b = core->links[2 * i + 1];

		if (i % 8192 == 0)
			CHECK_FOR_INTERRUPTS();
		if (a != b && (core->rules[a].is_generic || core->rules[b].is_generic))
		{
			put_refused_link(core, rows, a, b, "generic");
			MemoryContextReset(row);
		}
	}
	for (size_t i = 0; i < graph->nlinks; i++)
	{
		const CxmIdentityLink *link = &graph->links[i];

		if (i % 8192 == 0)
			CHECK_FOR_INTERRUPTS();
		if (link->refused != CXM_HOLDS)
		{
			put_refused_link(core, rows, solve->nodes[link->a], solve->nodes[link->b],
							 link->refused == CXM_UNIQUE ? "unique" : "limit");
			MemoryContextReset(row);
		}
	}
	MemoryContextSwitchTo(old);
}

/* Read, solve, and give the rows; all three functions have the same arguments */
static Datum
run(FunctionCallInfo fcinfo, NodeType node_type, void (*put_rows) (Solve *solve, CxmRows *rows))
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "cxm solve", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	Solve	   *solve;
	CxmRows		rows;
	int32		max_links = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);

	cxm_begin_rows(fcinfo, &rows);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	if (!PG_ARGISNULL(3) && max_links < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_links must be at least 1"),
				 errdetail("It is %d.", max_links),
				 errhint("NULL is for any number of links.")));

	old = MemoryContextSwitchTo(context);
	solve = palloc0(sizeof(Solve));
	solve->context = context;
	solve->batch = AllocSetContextCreate(context, "cxm solve batch", ALLOCSET_SMALL_SIZES);
	solve->node_type = node_type;
	solve->core.resize = resize;
	solve->core.release = release;
	solve->core.poll = poll_interrupts;
	if (!pg_strong_random(&solve->core.seed, sizeof(solve->core.seed)))
		elog(ERROR, "could not generate random values");
	read_limits(solve, PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2), max_links);
	if (solve->nlimits > 0 && PG_ARGISNULL(1))
		limits_error("limits need identifiers", "A limit is about a namespace, and no query says the namespaces.");
	solve->keeps_links = solve->has_limits || solve->has_max_links;
	cxm_solve_begin(&solve->core);

	if (!PG_ARGISNULL(1))
		read_identifiers(solve, PG_GETARG_TEXT_PP(1));
	read_links(solve, PG_GETARG_TEXT_PP(0));
	solve_links(solve);
	put_rows(solve, &rows);

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(cxm_solve_sql);
PG_FUNCTION_INFO_V1(cxm_solve_text_sql);
PG_FUNCTION_INFO_V1(cxm_solve_refused_sql);

/* cxm.solve(links text, identifiers text, limits jsonb, max_links integer) */
Datum
cxm_solve_sql(PG_FUNCTION_ARGS)
{
	return run(fcinfo, NODES_OF_BIGINT, put_components);
}

/* cxm.solve_text(links text, identifiers text, limits jsonb, max_links integer) */
Datum
cxm_solve_text_sql(PG_FUNCTION_ARGS)
{
	return run(fcinfo, NODES_OF_TEXT, put_components);
}

/* cxm.solve_refused(links text, identifiers text, limits jsonb, max_links integer) */
Datum
cxm_solve_refused_sql(PG_FUNCTION_ARGS)
{
	return run(fcinfo, NODES_OF_ANY_TYPE, put_refused);
}
