/*
 * src/identity.c
 *		Identifiers that came together on records: adding them, linking them.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "identity.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "normalize.h"
#include "rows.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/*
 * On a record each identifier is linked to so many of the strongest ones.
 * Not to the strongest alone: should that turn out to be nobody's, such as
 * the user id of all guests, the others still belong together.
 */
#define HUBS_ON_A_RECORD 4

/* bytes of an identifier's value at most */
#define MAX_VALUE 512

/* an identifier by its value, and what becomes of it */
typedef struct Mentioned
{
	text	   *namespace;
	text	   *value;
	int64		id;				/* 0 as long as it is not in the store */
	int64		canonical;		/* the standing profile, 0 for a fresh one */
	uint32		rules;			/* index of the namespace's */
	uint32		group;			/* union-find parent, of those that come together */
	uint8		quarantine;		/* CxmRefusal */
	bool		is_malformed;
} Mentioned;

/* a link to be */
typedef struct Edge
{
	int64		a;
	int64		b;
	text	   *evidence;
	TimestampTz at;
	bool		is_verified;
	uint8		refused;
} Edge;

typedef struct Batch
{
	CxmConnection *connection;	/* for statements; NULL when there is one */
	const CxmRules *rules;
	Mentioned  *mentioned;
	uint32		n;
	CxmIdMap	place_of;		/* by identifier_id */
	CxmVector	edges;
	CxmVector	changes;		/* CxmChange */
	CxmVector	fresh;			/* CxmFresh */
	CxmVector	labels;			/* CxmLabel of those that were found */
	bool		retires;		/* links read are to be retired */
	uint32	   *added;			/* places in the order of insertion */
	uint32		nadded;
	uint32		next_added;
	int64	   *guesses;		/* by place */
	bool	   *guess_is_new;
	CxmDirect	direct;
	bool		is_small;		/* and its rows may be read without a statement */
	bool		is_searched;	/* for its identifiers ... */
	bool		is_unseen;		/* ... and for its one link, which is not there */
} Batch;

/* beyond so many identifiers statements that take them all at once are the faster way */
#define MAX_SMALL 16

static CxmQuery rules_version_query =
{
	.sql = "SELECT s.rules_version::bigint FROM cx.store AS s"
};

static CxmQuery find_query =
{
	.sql = "SELECT k.ordinality, i.identifier_id, i.quarantined, i.profile_id, c.profile_id, c.xmin, c.ctid"
	" FROM unnest($1, $2) WITH ORDINALITY AS k(namespace, value, ordinality)"
	" JOIN cx.identifier AS i ON i.namespace = k.namespace COLLATE \"C\" AND i.value = k.value COLLATE \"C\""
	" LEFT JOIN cx.profile AS s ON s.profile_id = i.profile_id"
	" LEFT JOIN cx.profile AS c ON c.profile_id = s.canonical_id AND c.canonical_id = c.profile_id",
	.nargs = 2,
	.types = {TEXTARRAYOID, TEXTARRAYOID}
};

/* in the order of the arrays, which is that of the key, so that two batches never wait for each other in a circle */
static CxmQuery add_query =
{
	.sql = "INSERT INTO cx.identifier (namespace, value, profile_id, quarantined)"
	" SELECT k.namespace, k.value, k.profile_id,"
	" nullif(k.quarantined, '')"
	" FROM unnest($1, $2, $3, $4) AS k(namespace, value, profile_id, quarantined)"
	" ON CONFLICT (namespace, value) DO NOTHING"
	" RETURNING identifier_id, namespace, value",
	.nargs = 4,
	.types = {TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, TEXTARRAYOID}
};

/* a link that is there already is not even locked; each is looked up by itself, whatever the table was like before */
static CxmQuery link_query =
{
	.sql = "INSERT INTO cx.link AS l (identifier_a, identifier_b, source_id, evidence, verified, observed_at, refused)"
	" SELECT e.a, e.b, $7, e.evidence, e.verified, e.at, nullif(e.refused, '')"
	" FROM unnest($1, $2, $3, $4, $5, $6) AS e(a, b, evidence, verified, at, refused)"
	" WHERE (SELECT true FROM cx.link AS x"
	"  WHERE x.identifier_a = e.a AND x.identifier_b = e.b AND x.source_id = $7 AND x.kind = 'seen'"
	"  AND x.evidence = e.evidence COLLATE \"C\" AND x.retired_at IS NULL LIMIT 1) IS NULL"
	" ON CONFLICT (identifier_a, identifier_b, source_id, kind, evidence) WHERE retired_at IS NULL DO NOTHING"
	" RETURNING l.link_id, l.identifier_a, l.identifier_b, l.verified, l.evidence <> '', l.observed_at, l.refused",
	.nargs = 7,
	.types = {INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, INT4OID}
};

/* and has to change only where it says less: earlier, or verified */
static CxmQuery stronger_query =
{
	.sql = "SELECT l.link_id, l.identifier_a, l.identifier_b, e.verified, l.evidence <> '', e.at, l.refused"
	" FROM unnest($1, $2, $3, $4, $5) AS e(a, b, evidence, verified, at)"
	" JOIN cx.link AS l ON l.identifier_a = e.a AND l.identifier_b = e.b AND l.source_id = $6 AND l.kind = 'seen'"
	"  AND l.evidence = e.evidence COLLATE \"C\" AND l.retired_at IS NULL"
	" WHERE (e.verified AND NOT l.verified) OR e.at < l.observed_at",
	.nargs = 6,
	.types = {INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID, INT4OID}
};

static CxmQuery changed_query =
{
	.sql = "SELECT l.link_id, l.identifier_a, l.identifier_b, l.verified, l.evidence <> '', l.observed_at, l.refused,"
	" l.kind, l.probability, l.retired_at IS NOT NULL, a.namespace, b.namespace"
	" FROM cx.link AS l"
	" JOIN cx.identifier AS a ON a.identifier_id = l.identifier_a"
	" JOIN cx.identifier AS b ON b.identifier_id = l.identifier_b"
	" WHERE l.link_id = ANY ($1)",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

/*
 * The rules, which stay as they are till the end of the transaction.  A
 * transaction that looks at an older state of them must not go on.
 */
static const CxmRules *
current_rules(CxmConnection *connection)
{
	const CxmRules *rules = cxm_rules_kept();

	if (rules == NULL)
		rules = cxm_rules(connection);
	if (IsolationUsesXactSnapshot())
	{
		uint64		seen;
		bool		is_null;

		cxm_connect(connection);
		if (SPI_execute(rules_version_query.sql, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
			elog(ERROR, "the store has no version of its rules");
		seen = (uint64) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
		if (cxm_query_latest(&rules_version_query, NULL) != seen)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to a concurrent change of identity rules")));
	}
	return rules;
}

/*
 * Identifiers
 */
/* An identifier of the batch is in the store */
static void
note_label(Batch *batch, uint32 place, CxmLabel *label)
{
	Mentioned  *mentioned = &batch->mentioned[place];

	mentioned->id = label->id;
	mentioned->quarantine = label->quarantine;
	mentioned->canonical = label->canonical;
	label->namespace = mentioned->rules;
	if (cxm_idmap_add(&batch->place_of, label->id, place))
		*(CxmLabel *) cxm_vector_add(&batch->labels) = *label;
}

static void
read_found(TupleTableSlot *slot, void *state)
{
	Batch	   *batch = state;
	uint32		place = batch->added == NULL ? (uint32) row_int64(slot, 1) - 1 : batch->added[row_int64(slot, 1) - 1];
	CxmLabel	label = {0};

	/* what this call has added, whose profile may be yet to come */
	if (batch->mentioned[place].id != 0)
		return;
	label.id = row_int64(slot, 2);
	label.quarantine = cxm_row_refusal(slot, 3);
	label.stub = row_int64(slot, 4);
	label.canonical = cxm_row_canonical(slot, 5, label.id);
	label.xmin = DatumGetTransactionId(row_value(slot, 6));
	label.ctid = *(ItemPointer) DatumGetPointer(row_value(slot, 7));
	note_label(batch, place, &label);
}

static void
find_identifiers(Batch *batch)
{
	uint32		n = batch->added == NULL ? batch->n : batch->nadded;
	Datum	   *namespaces;
	Datum	   *values;
	Datum		args[2];

	if (batch->is_small && batch->added == NULL)
	{
		for (uint32 i = 0; i < n; i++)
		{
			const Mentioned *mentioned = &batch->mentioned[i];
			CxmLabel	label = {0};

			if (cxm_direct_find_identifier(&batch->direct, mentioned->namespace, mentioned->value, &label)
				&& cxm_direct_read_profile(&batch->direct, &label))
				note_label(batch, i, &label);
		}
		return;
	}
	cxm_connect(batch->connection);
	namespaces = palloc_extended(n * sizeof(Datum), MCXT_ALLOC_HUGE);
	values = palloc_extended(n * sizeof(Datum), MCXT_ALLOC_HUGE);
	for (uint32 i = 0; i < n; i++)
	{
		const Mentioned *mentioned = &batch->mentioned[batch->added == NULL ? i : batch->added[i]];

		namespaces[i] = PointerGetDatum(mentioned->namespace);
		values[i] = PointerGetDatum(mentioned->value);
	}
	args[0] = cxm_text_array(namespaces, NULL, n);
	args[1] = cxm_text_array(values, NULL, n);
	cxm_query(&find_query, args, false, read_found, batch);
}

static uint32
find_group(Mentioned *mentioned, uint32 place)
{
	while (mentioned[place].group != place)
	{
		mentioned[place].group = mentioned[mentioned[place].group].group;
		place = mentioned[place].group;
	}
	return place;
}

/*
 * In all likelihood a new identifier goes into the profile of those that it
 * comes with, or into a new one with them.  Where that is wrong, resolving
 * puts it right.
 */
static void
guess_profiles(Batch *batch)
{
	int64	   *new_ids;
	Size		nnew = 0;

	batch->guesses = palloc_extended(batch->n * sizeof(int64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	batch->guess_is_new = palloc_extended(batch->n * sizeof(bool), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint32 i = 0; i < batch->n; i++)
	{
		const Mentioned *mentioned = &batch->mentioned[i];
		int64	   *guess = &batch->guesses[find_group(batch->mentioned, i)];

		if (mentioned->id != 0 && mentioned->quarantine == CXM_HOLDS && (*guess == 0 || mentioned->canonical < *guess))
			*guess = mentioned->canonical;
	}
	for (uint32 i = 0; i < batch->n; i++)
	{
		uint32		group = find_group(batch->mentioned, i);

		if (batch->mentioned[i].id == 0 && batch->guesses[group] == 0 && !batch->guess_is_new[group])
		{
			batch->guess_is_new[group] = true;
			nnew++;
		}
	}
	new_ids = palloc_extended(Max(nnew, 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	if (batch->direct.is_writable)
	{
		for (Size i = 0; i < nnew; i++)
			new_ids[i] = cxm_direct_next_profile_id(&batch->direct);
	}
	else
	{
		cxm_connect(batch->connection);
		cxm_next_profile_ids(new_ids, nnew);
	}
	for (uint32 i = 0; i < batch->n; i++)
	{
		if (batch->mentioned[i].group == i && batch->guess_is_new[i])
			batch->guesses[i] = new_ids[--nnew];
	}
}

static int
compare_texts(const text *x, const text *y)
{
	Size		nx = VARSIZE_ANY_EXHDR(x);
	Size		ny = VARSIZE_ANY_EXHDR(y);
	int			order = memcmp(VARDATA_ANY(x), VARDATA_ANY(y), Min(nx, ny));

	return order != 0 ? order : (nx > ny) - (nx < ny);
}

static int
compare_places(const void *x, const void *y, void *state)
{
	const Mentioned *a = &((const Mentioned *) state)[*(const uint32 *) x];
	const Mentioned *b = &((const Mentioned *) state)[*(const uint32 *) y];
	int			order = compare_texts(a->namespace, b->namespace);

	return order != 0 ? order : compare_texts(a->value, b->value);
}

/* The hash that SQL's hashtextextended() gives for "namespace:value" */
static uint64
hash_of(const Mentioned *mentioned)
{
	StringInfoData key;
	uint64		hash;

	initStringInfo(&key);
	appendBinaryStringInfo(&key, VARDATA_ANY(mentioned->namespace), VARSIZE_ANY_EXHDR(mentioned->namespace));
	appendStringInfoChar(&key, ':');
	appendBinaryStringInfo(&key, VARDATA_ANY(mentioned->value), VARSIZE_ANY_EXHDR(mentioned->value));
	hash = DatumGetUInt64(hash_any_extended((unsigned char *) key.data, key.len, 0));
	pfree(key.data);
	return hash;
}

static CxmFresh *
note_added(Batch *batch, uint32 place, int64 id)
{
	Mentioned  *mentioned = &batch->mentioned[place];
	uint32		group = find_group(batch->mentioned, place);
	CxmFresh   *fresh = cxm_vector_add(&batch->fresh);

	mentioned->id = id;
	cxm_idmap_add(&batch->place_of, id, place);
	fresh->id = id;
	fresh->guess = batch->guesses[group];
	fresh->guess_is_new = batch->guess_is_new[group];
	fresh->namespace = mentioned->rules;
	fresh->quarantine = mentioned->quarantine;
	fresh->hash = hash_of(mentioned);
	return fresh;
}

/* What was inserted comes in the order of insertion, without those that somebody else had added meanwhile */
static void
read_added(TupleTableSlot *slot, void *state)
{
	Batch	   *batch = state;
	text	   *namespace = DatumGetTextPP(row_value(slot, 2));
	text	   *value = DatumGetTextPP(row_value(slot, 3));
	uint32		place;

	for (;;)
	{
		const Mentioned *mentioned;

		place = batch->added[batch->next_added++];
		mentioned = &batch->mentioned[place];
		if (compare_texts(mentioned->value, value) == 0 && compare_texts(mentioned->namespace, namespace) == 0)
			break;
	}
	(void) note_added(batch, place, row_int64(slot, 1));
}

/* Add those that are not in the store */
static void
add_identifiers(Batch *batch)
{
	Datum	   *columns[4];
	Datum		args[4];
	uint64		nadded;
	bool		is_direct = true;

	for (;;)
	{
		batch->nadded = 0;
		for (uint32 i = 0; i < batch->n; i++)
			batch->nadded += batch->mentioned[i].id == 0;
		if (batch->nadded == 0)
			return;

		is_direct = is_direct && batch->is_small && cxm_direct_may_write(&batch->direct);
		if (batch->guesses == NULL)
			guess_profiles(batch);
		if (batch->added == NULL)
			batch->added = palloc_extended(batch->nadded * sizeof(uint32), MCXT_ALLOC_HUGE);
		batch->nadded = 0;
		for (uint32 i = 0; i < batch->n; i++)
		{
			if (batch->mentioned[i].id == 0)
				batch->added[batch->nadded++] = i;
		}
		qsort_arg(batch->added, batch->nadded, sizeof(uint32), compare_places, batch->mentioned);

		for (uint32 i = 0; i < batch->nadded; i++)
		{
			Mentioned  *mentioned = &batch->mentioned[batch->added[i]];

			if (mentioned->is_malformed)
				mentioned->quarantine = CXM_MALFORMED;
			else if (cxm_rules_block(batch->rules, mentioned->namespace, mentioned->value))
				mentioned->quarantine = CXM_BLOCKED;
		}
		if (is_direct)
		{
			/* where another session was faster, the statements find out what has become of it */
			is_direct = false;
			for (uint32 i = 0; i < batch->nadded; i++)
			{
				uint32		place = batch->added[i];
				const Mentioned *mentioned = &batch->mentioned[place];
				int64		id;
				ItemPointerData ctid;

				if (!cxm_direct_add_identifier(&batch->direct, mentioned->namespace, mentioned->value,
											   batch->guesses[find_group(batch->mentioned, place)],
											   mentioned->quarantine, &id, &ctid))
					break;
				note_added(batch, place, id)->ctid = ctid;
			}
			continue;
		}
		cxm_connect(batch->connection);
		for (int i = 0; i < 4; i++)
			columns[i] = palloc_extended(batch->nadded * sizeof(Datum), MCXT_ALLOC_HUGE);
		for (uint32 i = 0; i < batch->nadded; i++)
		{
			const Mentioned *mentioned = &batch->mentioned[batch->added[i]];

			columns[0][i] = PointerGetDatum(mentioned->namespace);
			columns[1][i] = PointerGetDatum(mentioned->value);
			columns[2][i] = Int64GetDatum(batch->guesses[find_group(batch->mentioned, batch->added[i])]);
			columns[3][i] = CStringGetTextDatum(cxm_refusal_name(mentioned->quarantine));
		}
		batch->next_added = 0;
		args[0] = cxm_text_array(columns[0], NULL, batch->nadded);
		args[1] = cxm_text_array(columns[1], NULL, batch->nadded);
		args[2] = cxm_array(columns[2], NULL, batch->nadded, INT8OID);
		args[3] = cxm_text_array(columns[3], NULL, batch->nadded);
		nadded = cxm_query(&add_query, args, false, read_added, batch);
		if (nadded == batch->nadded)
			return;

		/* another session was faster with some; who is not found has been deleted by a third one, so that one got on */
		CHECK_FOR_INTERRUPTS();
		find_identifiers(batch);
	}
}

/*
 * Links
 */
static int
compare_edges(const void *x, const void *y)
{
	const Edge *a = x;
	const Edge *b = y;

	if (a->a != b->a)
		return a->a < b->a ? -1 : 1;
	if (a->b != b->b)
		return a->b < b->b ? -1 : 1;
	return compare_texts(a->evidence, b->evidence);
}

static void
add_edge(Batch *batch, uint32 place_a, uint32 place_b, text *evidence, TimestampTz at, bool is_verified)
{
	const Mentioned *a = &batch->mentioned[place_a];
	const Mentioned *b = &batch->mentioned[place_b];
	Edge	   *edge = cxm_vector_add(&batch->edges);

	edge->a = Min(a->id, b->id);
	edge->b = Max(a->id, b->id);
	edge->evidence = evidence;
	edge->at = at;
	edge->is_verified = is_verified;
	edge->refused = a->quarantine != CXM_HOLDS ? a->quarantine : b->quarantine;
}

/* One edge for all that say the same of the same two: since the earliest, verified if one is */
static void
unite_edges(Batch *batch)
{
	Edge	   *edges = (Edge *) batch->edges.data;
	Size		n = 0;

	qsort(edges, batch->edges.n, sizeof(Edge), compare_edges);
	for (Size i = 0; i < batch->edges.n; i++)
	{
		if (n > 0 && compare_edges(&edges[n - 1], &edges[i]) == 0)
		{
			edges[n - 1].at = Min(edges[n - 1].at, edges[i].at);
			edges[n - 1].is_verified |= edges[i].is_verified;
		}
		else
			edges[n++] = edges[i];
	}
	batch->edges.n = n;
}

static void
read_change(TupleTableSlot *slot, CxmChange *change)
{
	change->link_id = row_int64(slot, 1);
	change->a = row_int64(slot, 2);
	change->b = row_int64(slot, 3);
	change->is_verified = row_bool(slot, 4);
	change->at = row_int64(slot, 6);
	change->refused = cxm_row_refusal(slot, 7);
	change->kind = CXM_SEEN;
}

/* The rank of an identifier of this batch */
static uint32
rank_of(const Batch *batch, int64 id)
{
	return batch->rules->namespaces[batch->mentioned[cxm_idmap_find(&batch->place_of, id)].rules].rank;
}

static void
read_linked(TupleTableSlot *slot, void *state)
{
	Batch	   *batch = state;
	CxmChange  *change = cxm_vector_add(&batch->changes);

	read_change(slot, change);
	change->strength = cxm_identity_strength(CXM_SEEN, change->is_verified,
											 rank_of(batch, change->a), rank_of(batch, change->b),
											 row_bool(slot, 5), 1);
}

static void
read_stronger(TupleTableSlot *slot, void *state)
{
	Batch	   *batch = state;
	CxmChange  *change;

	read_linked(slot, state);
	change = vector_at(&batch->changes, CxmChange, batch->changes.n - 1);
	change->pending = CXM_TO_STRENGTHEN;
	/* it may be verified already, and so stronger than what is said now */
	change->strength = 0;
}

static bool
is_fresh(const Batch *batch, int64 id)
{
	for (Size i = 0; i < batch->fresh.n; i++)
	{
		if (vector_at(&batch->fresh, CxmFresh, i)->id == id)
			return true;
	}
	return false;
}

/* Add what is not there; what is left over is for the statements */
static void
add_links_directly(Batch *batch, int32 source_id)
{
	Edge	   *edges = (Edge *) batch->edges.data;
	Size		nleft = 0;

	for (Size i = 0; i < batch->edges.n; i++)
	{
		Edge	   *edge = &edges[i];
		bool		is_new = is_fresh(batch, edge->a) || is_fresh(batch, edge->b);
		bool		is_verified;
		TimestampTz at;
		int64		link_id;
		ItemPointerData ctid;
		CxmChange  *change;

		if (!is_new && !batch->is_unseen
			&& cxm_direct_find_link(&batch->direct, edge->a, edge->b, source_id, edge->evidence, &is_verified, &at))
		{
			if ((edge->is_verified && !is_verified) || edge->at < at)
				edges[nleft++] = *edge;
			continue;
		}
		if (!cxm_direct_may_write(&batch->direct)
			|| !cxm_direct_add_link(&batch->direct, edge->a, edge->b, source_id, edge->evidence, edge->is_verified,
									edge->at, edge->refused, is_new, &link_id, &ctid))
		{
			edges[nleft++] = *edge;
			continue;
		}
		change = cxm_vector_add(&batch->changes);
		change->link_id = link_id;
		change->ctid = ctid;
		change->a = edge->a;
		change->b = edge->b;
		change->is_verified = edge->is_verified;
		change->at = edge->at;
		change->refused = edge->refused;
		change->kind = CXM_SEEN;
		change->strength = cxm_identity_strength(CXM_SEEN, change->is_verified, rank_of(batch, change->a),
												 rank_of(batch, change->b), VARSIZE_ANY_EXHDR(edge->evidence) > 0, 1);
	}
	batch->edges.n = nleft;
}

static void
add_links(Batch *batch, int32 source_id)
{
	Datum	   *columns[6];
	Datum		args[7];
	Size		n;

	if (batch->edges.n == 0)
		return;
	unite_edges(batch);
	if (batch->is_small)
		add_links_directly(batch, source_id);
	n = batch->edges.n;
	if (n == 0)
		return;
	cxm_connect(batch->connection);
	for (int i = 0; i < 6; i++)
		columns[i] = palloc_extended(n * sizeof(Datum), MCXT_ALLOC_HUGE);
	for (Size i = 0; i < n; i++)
	{
		const Edge *edge = vector_at(&batch->edges, Edge, i);

		columns[0][i] = Int64GetDatum(edge->a);
		columns[1][i] = Int64GetDatum(edge->b);
		columns[2][i] = PointerGetDatum(edge->evidence);
		columns[3][i] = BoolGetDatum(edge->is_verified);
		columns[4][i] = TimestampTzGetDatum(edge->at);
		columns[5][i] = CStringGetTextDatum(cxm_refusal_name(edge->refused));
	}
	args[6] = Int32GetDatum(source_id);
	args[0] = cxm_array(columns[0], NULL, n, INT8OID);
	args[1] = cxm_array(columns[1], NULL, n, INT8OID);
	args[2] = cxm_text_array(columns[2], NULL, n);
	args[3] = cxm_array(columns[3], NULL, n, BOOLOID);
	args[4] = cxm_array(columns[4], NULL, n, TIMESTAMPTZOID);
	args[5] = cxm_text_array(columns[5], NULL, n);
	if (cxm_query(&link_query, args, false, read_linked, batch) < n)
	{
		args[5] = Int32GetDatum(source_id);
		cxm_query(&stronger_query, args, false, read_stronger, batch);
	}
}

static void
read_changed(TupleTableSlot *slot, void *state)
{
	Batch	   *batch = state;
	CxmChange  *change = cxm_vector_add(&batch->changes);
	uint32		a = cxm_rules_find(batch->rules, DatumGetTextPP(row_value(slot, 11)));
	uint32		b = cxm_rules_find(batch->rules, DatumGetTextPP(row_value(slot, 12)));

	read_change(slot, change);
	change->kind = cxm_row_kind(slot, 8);
	change->is_retired = row_bool(slot, 10);
	if (!batch->retires)
		change->is_edited = true;
	else if (change->is_retired)
		batch->changes.n--;
	else
		change->pending = CXM_TO_RETIRE;
	change->strength = cxm_identity_strength(change->kind, change->is_verified,
											 batch->rules->namespaces[a].rank, batch->rules->namespaces[b].rank,
											 row_bool(slot, 5),
											 row_is_null(slot, 9) ? 1 : DatumGetFloat8(row_value(slot, 9)));
}

/*
 * Records
 */

typedef struct Argument
{
	const char *name;
	Datum	   *values;
	bool	   *nulls;
	int			n;
	bool		is_given;
} Argument;

static Argument
array_argument(FunctionCallInfo fcinfo, int arg, const char *name, Oid type)
{
	Argument	argument = {.name = name, .is_given = !PG_ARGISNULL(arg)};
	int16		length;
	bool		by_value;
	char		align;

	if (!argument.is_given)
		return argument;
	if (ARR_NDIM(PG_GETARG_ARRAYTYPE_P(arg)) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" must have one dimension", name)));
	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), type, length, by_value, align,
					  &argument.values, &argument.nulls, &argument.n);
	return argument;
}

/* One that must have as many elements as another one, and no NULL */
static void
check_argument(const Argument *argument, const Argument *like)
{
	if (argument->n != like->n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays \"%s\" and \"%s\" must have the same length", like->name, argument->name),
				 errdetail("They have %d and %d elements.", like->n, argument->n)));
	for (int i = 0; i < argument->n; i++)
	{
		if (argument->nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("array \"%s\" must not contain nulls", argument->name),
					 errdetail("Element %d is NULL.", i + 1)));
	}
}

static void
check_length(const Argument *argument, const Argument *like)
{
	if (argument->is_given && argument->n != like->n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("arrays \"%s\" and \"%s\" must have the same length", like->name, argument->name),
				 errdetail("They have %d and %d elements.", like->n, argument->n)));
}

static bool
is_null(const Argument *argument, int i)
{
	return argument->nulls == NULL || argument->nulls[i];
}

static bool
is_true(const Argument *argument, int i)
{
	return !is_null(argument, i) && DatumGetBool(argument->values[i]);
}

/* A place among n things, from 0 on */
static int
place_in(const Argument *argument, int i, int n)
{
	int			place = DatumGetInt32(argument->values[i]);

	if (place < 1 || place > n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("array \"%s\" names place %d", argument->name, place),
				 errdetail("There are %d.", n)));
	return place - 1;
}

static void
init_batch(Batch *batch)
{
	batch->rules = current_rules(batch->connection);
	cxm_idmap_init(&batch->place_of);
	cxm_vector_init(&batch->edges, sizeof(Edge));
	cxm_vector_init(&batch->changes, sizeof(CxmChange));
	cxm_vector_init(&batch->fresh, sizeof(CxmFresh));
	cxm_vector_init(&batch->labels, sizeof(CxmLabel));
}

/* Read rows without statements, if there are few identifiers and that is possible */
static void
begin_direct(Batch *batch)
{
	batch->is_small = batch->n <= MAX_SMALL && cxm_direct_begin(&batch->direct, batch->rules);
	batch->direct.connection = batch->connection;
}

static int64
resolve_batch(Batch *batch, text *retired_reason, bool never_waits, CxmPlace *place)
{
	if (!batch->is_small)
		cxm_connect(batch->connection);
	return cxm_resolve(batch->rules, (CxmChange *) batch->changes.data, batch->changes.n,
					   (CxmFresh *) batch->fresh.data, batch->fresh.n,
					   (CxmLabel *) batch->labels.data, batch->labels.n, retired_reason, never_waits,
					   batch->is_small ? &batch->direct : NULL, place);
}

/* The identifiers that the batch names, each once */
static void
take_identifiers(Batch *batch, const Argument *namespaces, const Argument *values, const Argument *malformed)
{
	batch->n = (uint32) namespaces->n;
	batch->mentioned = palloc_extended(Max(batch->n, 1) * sizeof(Mentioned), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint32 i = 0; i < batch->n; i++)
	{
		Mentioned  *mentioned = &batch->mentioned[i];

		mentioned->namespace = DatumGetTextPP(namespaces->values[i]);
		mentioned->value = DatumGetTextPP(values->values[i]);
		mentioned->rules = cxm_rules_find(batch->rules, mentioned->namespace);
		mentioned->group = i;
		mentioned->is_malformed = is_true(malformed, (int) i);
		if (mentioned->rules == batch->rules->n)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("unknown namespace \"%s\"", text_to_cstring(mentioned->namespace)),
					 errhint("Add it with cxm.add_namespace().")));
	}
}

/* The identifiers of a record come one after the other, strongest first */
static void
group_mentions(Batch *batch, const Argument *records, const Argument *places, int nrecords)
{
	for (int i = 0; i < records->n; i++)
	{
		int			record = place_in(records, i, nrecords);
		int			place = place_in(places, i, (int) batch->n);
		int			before;

		if (i == 0 || record > place_in(records, i - 1, nrecords))
			continue;
		if (record < place_in(records, i - 1, nrecords))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("array \"%s\" must ascend", records->name),
					 errdetail("After %d comes %d.", DatumGetInt32(records->values[i - 1]), record + 1)));
		before = place_in(places, i - 1, (int) batch->n);
		if (!batch->mentioned[before].is_malformed && !batch->mentioned[place].is_malformed)
			batch->mentioned[find_group(batch->mentioned, (uint32) place)].group =
				find_group(batch->mentioned, (uint32) before);
	}
}

/*
 * Link what came on one record, whose mentions are those from first to end.
 * Returns the place of the identifier that the record hangs on: the
 * strongest one that is somebody's.
 */
static uint32
link_record(Batch *batch, const Argument *places, int first, int end, text *evidence, TimestampTz at, bool is_verified)
{
	uint32		anchor = (uint32) place_in(places, first, (int) batch->n);
	bool		is_linked = false;

	for (int i = first; i < end; i++)
	{
		uint32		place = (uint32) place_in(places, i, (int) batch->n);

		if (batch->mentioned[anchor].quarantine != CXM_HOLDS && batch->mentioned[place].quarantine == CXM_HOLDS)
			anchor = place;
		for (int hub = first; hub < i && hub < first + HUBS_ON_A_RECORD; hub++)
		{
			uint32		other = (uint32) place_in(places, hub, (int) batch->n);

			if (batch->mentioned[other].id == batch->mentioned[place].id)
				continue;
			add_edge(batch, other, place, evidence, at, is_verified);
			is_linked = true;
		}
	}
	/* with nothing to be linked to, that it was verified is still worth knowing */
	if (is_verified && !is_linked)
		add_edge(batch, anchor, anchor, evidence, at, true);
	return anchor;
}

PG_FUNCTION_INFO_V1(cxm_link_identifiers);

/*
 * cxm.link_identifiers(source_id, namespaces, vals, malformed, records, places, times, evidence, verified,
 * retired_links, retired_reason): the identifier that each record hangs on
 */
Datum
cxm_link_identifiers(PG_FUNCTION_ARGS)
{
	Argument	namespaces = array_argument(fcinfo, 1, "namespaces", TEXTOID);
	Argument	values = array_argument(fcinfo, 2, "vals", TEXTOID);
	Argument	malformed = array_argument(fcinfo, 3, "malformed", BOOLOID);
	Argument	records = array_argument(fcinfo, 4, "records", INT4OID);
	Argument	places = array_argument(fcinfo, 5, "places", INT4OID);
	Argument	times = array_argument(fcinfo, 6, "times", TIMESTAMPTZOID);
	Argument	evidence = array_argument(fcinfo, 7, "evidence", TEXTOID);
	Argument	verified = array_argument(fcinfo, 8, "verified", BOOLOID);
	text	   *no_evidence = cstring_to_text("");
	Batch		batch = {0};
	Datum	   *anchors;
	bool	   *has_no_anchor;
	Datum		result;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("source_id must not be NULL"),
				 errhint("cxm.source_id(source) gives the number of a source.")));
	check_argument(&namespaces, &values);
	check_argument(&values, &namespaces);
	check_length(&malformed, &namespaces);
	check_argument(&records, &places);
	check_argument(&places, &records);
	check_length(&evidence, &times);
	check_length(&verified, &times);

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	init_batch(&batch);
	take_identifiers(&batch, &namespaces, &values, &malformed);
	group_mentions(&batch, &records, &places, times.n);
	begin_direct(&batch);
	find_identifiers(&batch);
	add_identifiers(&batch);

	anchors = palloc_extended(Max(times.n, 1) * sizeof(Datum), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	has_no_anchor = palloc_extended(Max(times.n, 1) * sizeof(bool), MCXT_ALLOC_HUGE);
	memset(has_no_anchor, true, times.n);
	for (int first = 0, end; first < records.n; first = end)
	{
		int			record = place_in(&records, first, times.n);
		text	   *said = is_null(&evidence, record) ? no_evidence : DatumGetTextPP(evidence.values[record]);
		uint32		anchor;

		/* a record that says nothing of anybody needs no time */
		if (is_null(&times, record))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("record %d has no time", record + 1)));
		for (end = first; end < records.n && DatumGetInt32(records.values[end]) == record + 1; end++)
			;
		anchor = link_record(&batch, &places, first, end, said,
							 DatumGetTimestampTz(times.values[record]), is_true(&verified, record));
		anchors[record] = Int64GetDatum(batch.mentioned[anchor].id);
		has_no_anchor[record] = false;
	}
	if (!PG_ARGISNULL(9))
	{
		Datum		args[1] = {PG_GETARG_DATUM(9)};

		batch.retires = true;
		cxm_query(&changed_query, args, false, read_changed, &batch);
	}
	add_links(&batch, PG_GETARG_INT32(0));
	resolve_batch(&batch, PG_ARGISNULL(10) ? no_evidence : PG_GETARG_TEXT_PP(10), false, NULL);
	cxm_direct_end(&batch.direct);

	result = cxm_array(anchors, has_no_anchor, (Size) times.n, INT8OID);
	result = SPI_datumTransfer(result, false, -1);
	SPI_finish();
	PG_RETURN_DATUM(result);
}

/*
 * One link
 */
/* what these functions do is not to be planned in the way of a look-up of few rows */
static CxmQuery source_query =
{
	.sql = "SELECT cxm.source_id($1)",
	.nargs = 1,
	.types = {TEXTOID},
	.reads_all = true
};
static CxmQuery normalize_query =
{
	.sql = "SELECT cxm.normalize($1, $2)",
	.nargs = 2,
	.types = {TEXTOID, TEXTOID},
	.reads_all = true
};

static CxmQuery profile_query =
{
	.sql = "SELECT s.canonical_id FROM cx.identifier AS i JOIN cx.profile AS s ON s.profile_id = i.profile_id"
	" WHERE i.identifier_id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

static void
read_number(TupleTableSlot *slot, void *state)
{
	*(int64 *) state = row_int64(slot, 1);
}

static void
read_source(TupleTableSlot *slot, void *state)
{
	*(int32 *) state = DatumGetInt32(row_value(slot, 1));
}

typedef struct TextReader
{
	MemoryContext context;
	text	   *text;
} TextReader;

static void
read_text(TupleTableSlot *slot, void *state)
{
	TextReader *reader = state;
	MemoryContext old = MemoryContextSwitchTo(reader->context);

	reader->text = row_is_null(slot, 1) ? NULL : DatumGetTextPCopy(row_value(slot, 1));
	MemoryContextSwitchTo(old);
}

/* An identifier in the form in which it is kept */
static text *
normalized_argument(FunctionCallInfo fcinfo, const Batch *batch, int arg)
{
	const CxmRules *rules = batch->rules;
	text	   *normalized = NULL;

	if (!PG_ARGISNULL(arg) && !PG_ARGISNULL(arg + 1))
	{
		uint32		namespace = cxm_rules_find(rules, PG_GETARG_TEXT_PP(arg));
		const CxmSpelling *spelling;

		if (namespace == rules->n)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("unknown namespace \"%s\"", text_to_cstring(PG_GETARG_TEXT_PP(arg))),
					 errhint("Add it with cxm.add_namespace().")));
		spelling = rules_spelling(rules, namespace);
		if (spelling->form == CXM_TEXT)
			normalized = cxm_trimmed(PG_GETARG_TEXT_PP(arg + 1));
		else if (spelling->form == CXM_EMAIL)
			normalized = cxm_normalized_email(PG_GETARG_TEXT_PP(arg + 1), spelling->options);
		else
		{
			Datum		args[2] = {PG_GETARG_DATUM(arg), PG_GETARG_DATUM(arg + 1)};
			TextReader	reader = {.context = CurrentMemoryContext};

			cxm_connect(batch->connection);
			cxm_query(&normalize_query, args, false, read_text, &reader);
			normalized = reader.text;
		}
	}
	if (normalized == NULL || VARSIZE_ANY_EXHDR(normalized) > MAX_VALUE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s \"%.100s\" is not an identifier",
						PG_ARGISNULL(arg) ? "<NULL>" : text_to_cstring(PG_GETARG_TEXT_PP(arg)),
						PG_ARGISNULL(arg + 1) ? "<NULL>" : text_to_cstring(PG_GETARG_TEXT_PP(arg + 1))),
				 errhint("See cxm.normalize() for what can be one of the namespace.")));
	return normalized;
}

/* Has it been said before, and is it all that is said now?  That takes no more than looking */
static bool
is_known_link(Batch *batch, int32 source_id, text *evidence, TimestampTz at, bool is_verified, int64 *profile_id)
{
	CxmLabel	labels[2] = {0};
	bool		was_verified;
	TimestampTz was_at;

	for (uint32 i = 0; i < 2; i++)
	{
		const Mentioned *mentioned = &batch->mentioned[i];

		cxm_direct_find_identifier(&batch->direct, mentioned->namespace, mentioned->value, &labels[i]);
	}
	batch->is_unseen = labels[0].id == 0 || labels[1].id == 0
		|| !cxm_direct_find_link(&batch->direct, labels[0].id, labels[1].id, source_id, evidence,
								 &was_verified, &was_at);
	if (!batch->is_unseen && (was_verified || !is_verified) && was_at <= at)
	{
		*profile_id = cxm_direct_read_profile(&batch->direct, &labels[0]) ? labels[0].canonical : 0;
		if (*profile_id != 0)
			return true;
	}
	batch->is_searched = true;
	for (uint32 i = 0; i < 2; i++)
	{
		if (labels[i].id != 0 && cxm_direct_read_profile(&batch->direct, &labels[i]))
			note_label(batch, i, &labels[i]);
	}
	return false;
}

PG_FUNCTION_INFO_V1(cxm_link);

/* cxm.link(namespace_a, value_a, namespace_b, value_b, source, observed_at, verified, evidence) */
Datum
cxm_link(PG_FUNCTION_ARGS)
{
	text	   *evidence = PG_ARGISNULL(7) ? cstring_to_text("") : PG_GETARG_TEXT_PP(7);
	TimestampTz at = PG_ARGISNULL(5) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(5);
	bool		is_verified = !PG_ARGISNULL(6) && PG_GETARG_BOOL(6);
	text	   *source = PG_ARGISNULL(4) ? cstring_to_text("") : PG_GETARG_TEXT_PP(4);
	Mentioned	ends[2] = {0};
	CxmConnection connection = {.context = CurrentMemoryContext};
	Batch		batch = {.connection = &connection, .n = 2, .mentioned = ends};
	int32		source_id = 0;
	CxmPlace	place = {0};
	Datum		args[1];

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time %s is not finite", TIMESTAMP_IS_NOBEGIN(at) ? "-infinity" : "infinity"),
				 errhint("Give the time at which it held.")));
	init_batch(&batch);
	for (Size i = 0; i < 2; i++)
	{
		ends[i].value = normalized_argument(fcinfo, &batch, (int) i * 2);
		ends[i].namespace = PG_GETARG_TEXT_PP(i * 2);
		ends[i].rules = cxm_rules_find(batch.rules, ends[i].namespace);
		/* both of one group, so that what is new goes to who is there */
		ends[i].group = 0;
	}
	if (ends[0].rules == ends[1].rules && compare_texts(ends[0].value, ends[1].value) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s \"%.100s\" cannot be linked to itself", text_to_cstring(ends[0].namespace),
						text_to_cstring(PG_GETARG_TEXT_PP(1))),
				 errhint("Give two different identifiers.")));

	begin_direct(&batch);
	if (batch.is_small)
		source_id = cxm_direct_find_source(&batch.direct, source);
	if (source_id != 0 && is_known_link(&batch, source_id, evidence, at, is_verified, &place.profile_id))
	{
		cxm_direct_end(&batch.direct);
		cxm_disconnect(&connection);
		PG_RETURN_INT64(place.profile_id);
	}
	if (source_id == 0)
	{
		cxm_connect(&connection);
		args[0] = PointerGetDatum(source);
		cxm_query(&source_query, args, false, read_source, &source_id);
	}
	if (!batch.is_searched)
		find_identifiers(&batch);
	add_identifiers(&batch);
	add_edge(&batch, 0, 1, evidence, at, is_verified);
	add_links(&batch, source_id);
	if (batch.changes.n == 0 && batch.fresh.n == 0)
		place.profile_id = ends[0].canonical;
	else
	{
		place.identifier_id = ends[0].id;
		resolve_batch(&batch, NULL, false, &place);
	}
	cxm_direct_end(&batch.direct);
	if (place.profile_id == 0)
	{
		cxm_connect(&connection);
		args[0] = Int64GetDatum(ends[0].id);
		cxm_query(&profile_query, args, false, read_number, &place.profile_id);
	}
	cxm_disconnect(&connection);
	PG_RETURN_INT64(place.profile_id);
}

/*
 * Resolve links by their numbers, retiring them first when there is a reason;
 * the others are only resolved, in the same go.
 */
static int64
resolve_by_id(Datum link_ids, text *retired_reason, bool waits, Datum others)
{
	Batch		batch = {.retires = retired_reason != NULL};
	int64		count;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	batch.rules = current_rules(NULL);
	cxm_vector_init(&batch.changes, sizeof(CxmChange));
	cxm_query(&changed_query, &link_ids, false, read_changed, &batch);
	if (others != (Datum) 0)
	{
		batch.retires = false;
		cxm_query(&changed_query, &others, false, read_changed, &batch);
	}
	count = resolve_batch(&batch, retired_reason, !waits, NULL);
	SPI_finish();
	return count;
}

PG_FUNCTION_INFO_V1(cxm_resolve_links);

/* cxm.resolve_links(link_ids, wait): how many profiles and identifiers belong to somebody else now */
Datum
cxm_resolve_links(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(resolve_by_id(PG_GETARG_DATUM(0), NULL, PG_GETARG_BOOL(1), (Datum) 0));
}

PG_FUNCTION_INFO_V1(cxm_retire_links);

/* cxm.retire_links(link_ids, reason, wait, resolved_links): the same of links that are retired with it */
Datum
cxm_retire_links(PG_FUNCTION_ARGS)
{
	Datum		link_ids = PG_ARGISNULL(0) ? PointerGetDatum(construct_empty_array(INT8OID)) : PG_GETARG_DATUM(0);
	Datum		others = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);

	PG_RETURN_INT64(resolve_by_id(link_ids, PG_ARGISNULL(1) ? cstring_to_text("") : PG_GETARG_TEXT_PP(1),
								  PG_ARGISNULL(2) || PG_GETARG_BOOL(2), others));
}

static CxmQuery state_query =
{
	.sql = "SELECT coalesce(bit_xor(hashtextextended(r.version, r.what)), 0) FROM ("
	"SELECT p.ctid::text || p.xmin::text AS version, 1 AS what FROM cx.profile AS p"
	" UNION ALL SELECT i.ctid::text || i.xmin::text, 2 FROM cx.identifier AS i"
	" UNION ALL SELECT l.ctid::text || l.xmin::text, 3 FROM cx.link AS l) AS r",
	.reads_all = true
};

static void
read_state(TupleTableSlot *slot, void *state)
{
	*(uint64 *) state = (uint64) row_int64(slot, 1);
}

PG_FUNCTION_INFO_V1(cxm_resolve_identities);

/* cxm.resolve_identities(): the same for all links, under the lock that its caller holds */
Datum
cxm_resolve_identities(PG_FUNCTION_ARGS)
{
	int64		count;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (IsolationUsesXactSnapshot())
	{
		uint64		seen;

		/* an old snapshot will do only where nothing has changed since */
		cxm_query(&state_query, NULL, false, read_state, &seen);
		if (cxm_query_latest(&state_query, NULL) != seen)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent links")));
	}
	count = cxm_resolve_everything(current_rules(NULL));
	SPI_finish();
	PG_RETURN_INT64(count);
}

/*
 * Where the store differs from the solution, as rows
 */
static void
put_difference(const CxmDifference *difference, void *state)
{
	CxmRows	   *rows = state;
	Datum		values[6];
	bool		nulls[6] = {
		false, difference->profile_id == 0, difference->identifier_id == 0, difference->link_id == 0, false, false
	};
	MemoryContext old = MemoryContextSwitchTo(rows->context);

	values[0] = CStringGetTextDatum(difference->kind);
	values[1] = Int64GetDatum(difference->profile_id);
	values[2] = Int64GetDatum(difference->identifier_id);
	values[3] = Int64GetDatum(difference->link_id);
	values[4] = CStringGetTextDatum(difference->stored);
	values[5] = CStringGetTextDatum(difference->expected);
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(rows->context);
}

PG_FUNCTION_INFO_V1(cxm_identity_compare);

Datum
cxm_identity_compare(PG_FUNCTION_ARGS)
{
	CxmRows		rows;

	cxm_begin_rows(fcinfo, &rows);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	cxm_compare_everything(cxm_rules_seen(), put_difference, &rows);
	SPI_finish();
	return (Datum) 0;
}
