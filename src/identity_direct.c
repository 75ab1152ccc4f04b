/*
 * src/identity_direct.c
 *		Single rows of the identity tables, read and written without a plan.
 *
 * What a single link is about is few rows, so they are looked up and written
 * by direct.c, where the tables are as the store makes them.  Where one is not,
 * nothing is done here, and the callers run statements instead.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "direct.h"
#include "executor/executor.h"
#include "identity.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/*
 * The tables as the store makes them
 */
typedef enum IdentifierColumn
{
	IDENTIFIER_ID, IDENTIFIER_NAMESPACE, IDENTIFIER_VALUE, IDENTIFIER_PROFILE_ID, IDENTIFIER_CREATED_AT,
	IDENTIFIER_QUARANTINED
} IdentifierColumn;

static const CxmColumn identifier_columns[] =
{
	[IDENTIFIER_ID] = {"identifier_id", INT8OID},
	[IDENTIFIER_NAMESPACE] = {"namespace", TEXTOID},
	[IDENTIFIER_VALUE] = {"value", TEXTOID},
	[IDENTIFIER_PROFILE_ID] = {"profile_id", INT8OID},
	[IDENTIFIER_CREATED_AT] = {"created_at", TIMESTAMPTZOID},
	[IDENTIFIER_QUARANTINED] = {"quarantined", TEXTOID}
};

typedef enum LinkColumn
{
	LINK_ID, LINK_A, LINK_B, LINK_KIND, LINK_VERIFIED, LINK_SOURCE_ID, LINK_EVIDENCE, LINK_PROBABILITY,
	LINK_OBSERVED_AT, LINK_REFUSED, LINK_REASON, LINK_CREATED_AT, LINK_CREATED_BY, LINK_RETIRED_AT, LINK_RETIRED_BY,
	LINK_RETIRED_REASON
} LinkColumn;

static const CxmColumn link_columns[] =
{
	[LINK_ID] = {"link_id", INT8OID},
	[LINK_A] = {"identifier_a", INT8OID},
	[LINK_B] = {"identifier_b", INT8OID},
	[LINK_KIND] = {"kind", TEXTOID},
	[LINK_VERIFIED] = {"verified", BOOLOID},
	[LINK_SOURCE_ID] = {"source_id", INT4OID},
	[LINK_EVIDENCE] = {"evidence", TEXTOID},
	[LINK_PROBABILITY] = {"probability", FLOAT8OID},
	[LINK_OBSERVED_AT] = {"observed_at", TIMESTAMPTZOID},
	[LINK_REFUSED] = {"refused", TEXTOID},
	[LINK_REASON] = {"reason", TEXTOID},
	[LINK_CREATED_AT] = {"created_at", TIMESTAMPTZOID},
	[LINK_CREATED_BY] = {"created_by", TEXTOID},
	[LINK_RETIRED_AT] = {"retired_at", TIMESTAMPTZOID},
	[LINK_RETIRED_BY] = {"retired_by", TEXTOID},
	[LINK_RETIRED_REASON] = {"retired_reason", TEXTOID}
};

typedef enum ProfileColumn
{
	PROFILE_ID, PROFILE_CANONICAL_ID, PROFILE_CREATED_AT, PROFILE_CHANGED_AT, PROFILE_COUNTS, PROFILE_IS_KNOWN,
	PROFILE_IS_KEPT_APART, PROFILE_WEAKEST, PROFILE_WEAKEST_AT
} ProfileColumn;

static const CxmColumn profile_columns[] =
{
	[PROFILE_ID] = {"profile_id", INT8OID},
	[PROFILE_CANONICAL_ID] = {"canonical_id", INT8OID},
	[PROFILE_CREATED_AT] = {"created_at", TIMESTAMPTZOID},
	[PROFILE_CHANGED_AT] = {"changed_at", TIMESTAMPTZOID},
	[PROFILE_COUNTS] = {"counts", INT4ARRAYOID},
	[PROFILE_IS_KNOWN] = {"is_known", BOOLOID},
	[PROFILE_IS_KEPT_APART] = {"is_kept_apart", BOOLOID},
	[PROFILE_WEAKEST] = {"weakest", INT8OID},
	[PROFILE_WEAKEST_AT] = {"weakest_at", TIMESTAMPTZOID}
};

typedef enum ChangeColumn
{
	CHANGE_ID, CHANGE_CHANGED_AT, CHANGE_PROFILE_ID, CHANGE_IDENTIFIER_ID, CHANGE_FROM_PROFILE, CHANGE_TO_PROFILE,
	CHANGE_LINK_ID, CHANGE_CAUSE, CHANGE_CHANGED_BY, CHANGE_TRANSACTION_ID
} ChangeColumn;

static const CxmColumn change_columns[] =
{
	[CHANGE_ID] = {"change_id", INT8OID},
	[CHANGE_CHANGED_AT] = {"changed_at", TIMESTAMPTZOID},
	[CHANGE_PROFILE_ID] = {"profile_id", INT8OID},
	[CHANGE_IDENTIFIER_ID] = {"identifier_id", INT8OID},
	[CHANGE_FROM_PROFILE] = {"from_profile", INT8OID},
	[CHANGE_TO_PROFILE] = {"to_profile", INT8OID},
	[CHANGE_LINK_ID] = {"link_id", INT8OID},
	[CHANGE_CAUSE] = {"cause", TEXTOID},
	[CHANGE_CHANGED_BY] = {"changed_by", TEXTOID},
	[CHANGE_TRANSACTION_ID] = {"transaction_id", XID8OID}
};

typedef enum SourceColumn
{
	SOURCE_ID, SOURCE_SOURCE, SOURCE_KIND
} SourceColumn;

static const CxmColumn source_columns[] =
{
	[SOURCE_ID] = {"source_id", INT4OID},
	[SOURCE_SOURCE] = {"source", TEXTOID},
	[SOURCE_KIND] = {"kind", TEXTOID}
};

/* retired_at IS NULL */
static bool
is_not_retired(const List *predicate)
{
	const Node *node = list_length(predicate) == 1 ? linitial(predicate) : NULL;

	return node != NULL && IsA(node, NullTest) && ((const NullTest *) node)->nulltesttype == IS_NULL
		&& cxm_is_column((const Node *) ((const NullTest *) node)->arg, LINK_RETIRED_AT);
}

/* canonical_id <> profile_id */
static bool
is_merged_away(const List *predicate)
{
	const Node *node = list_length(predicate) == 1 ? linitial(predicate) : NULL;

	return node != NULL && IsA(node, OpExpr) && get_opcode(((const OpExpr *) node)->opno) == F_INT8NE
		&& cxm_is_column(linitial(((const OpExpr *) node)->args), PROFILE_CANONICAL_ID)
		&& cxm_is_column(lsecond(((const OpExpr *) node)->args), PROFILE_ID);
}

typedef enum TableNumber
{
	IDENTIFIERS, PROFILES, LINKS, SOURCES, CHANGES,
	NTABLES
} TableNumber;

#define NREAD (LINKS + 1)

enum
{
	BY_ID,						/* of identifiers, profiles */
	BY_VALUE = 1,				/* of identifiers */
	BY_CANONICAL = 1,			/* of profiles */
	BY_ENDS = 0,				/* of links */
	BY_B = 1,
	BY_NAME = 0					/* of sources */
};

static CxmTable tables[NTABLES] =
{
	[IDENTIFIERS] = {
		.name = "identifier", .columns = identifier_columns, .ncolumns = lengthof(identifier_columns),
		.is_inserted_into = true, .is_updated = true, .nkeys = 2,
		.keys = {
			[BY_ID] = {1, {IDENTIFIER_ID}, NULL, true},
			[BY_VALUE] = {2, {IDENTIFIER_VALUE, IDENTIFIER_NAMESPACE}, NULL, true}
		}
	},
	[PROFILES] = {
		.name = "profile", .columns = profile_columns, .ncolumns = lengthof(profile_columns),
		.is_inserted_into = true, .is_updated = true, .nkeys = 2,
		.keys = {
			[BY_ID] = {1, {PROFILE_ID}, NULL, true},
			[BY_CANONICAL] = {1, {PROFILE_CANONICAL_ID}, is_merged_away, false}
		}
	},
	[LINKS] = {
		.name = "link", .columns = link_columns, .ncolumns = lengthof(link_columns),
		.is_inserted_into = true, .is_updated = true, .nkeys = 2,
		.keys = {
			[BY_ENDS] = {5, {LINK_A, LINK_B, LINK_SOURCE_ID, LINK_KIND, LINK_EVIDENCE}, is_not_retired, true},
			[BY_B] = {2, {LINK_B, LINK_A}, is_not_retired, false}
		}
	},
	[SOURCES] = {
		.name = "source", .columns = source_columns, .ncolumns = lengthof(source_columns), .nkeys = 1,
		.keys = {[BY_NAME] = {1, {SOURCE_SOURCE}, NULL, true}}
	},
	[CHANGES] = {
		.name = "identity_change", .columns = change_columns, .ncolumns = lengthof(change_columns),
		.is_inserted_into = true
	}
};

static bool
open_table(CxmDirect *direct, TableNumber number, AclMode privileges)
{
	direct->relations[number] = cxm_table_open(&tables[number], privileges);
	return direct->relations[number] != NULL;
}

/*
 * May rows be read here?  Then they are seen as a statement sees them that
 * begins now, until cxm_direct_end().  Whatever the answer is, that has to be
 * called.
 */
bool
cxm_direct_begin(CxmDirect *direct, const CxmRules *rules)
{
	memset(direct, 0, sizeof(CxmDirect));
	direct->rules = rules;
	for (int i = 0; i < NREAD; i++)
	{
		if (!open_table(direct, i, ACL_SELECT))
			return false;
	}
	direct->is_readable = true;
	cxm_direct_refresh(direct);
	return true;
}

/* From now on rows are seen as they are now, with what this transaction has written */
void
cxm_direct_refresh(CxmDirect *direct)
{
	if (!direct->is_readable)
		return;
	if (direct->has_snapshot)
		PopActiveSnapshot();
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	direct->has_snapshot = true;
}

/* May rows be written here? */
bool
cxm_direct_may_write(CxmDirect *direct)
{
	if (!direct->is_readable || direct->was_asked)
		return direct->is_writable;
	direct->was_asked = true;
	if (XactReadOnly || !cxm_table_allows(&tables[IDENTIFIERS], ACL_SELECT | ACL_INSERT)
		|| !cxm_table_allows(&tables[PROFILES], ACL_SELECT | ACL_INSERT | ACL_UPDATE)
		|| !cxm_table_allows(&tables[LINKS], ACL_SELECT | ACL_INSERT))
		return false;
	CheckCmdReplicaIdentity(direct->relations[PROFILES], CMD_UPDATE);
	direct->is_writable = true;
	return true;
}

/* May rows be changed here that this call has written itself? */
bool
cxm_direct_may_update(CxmDirect *direct)
{
	if (!cxm_table_allows(&tables[IDENTIFIERS], ACL_UPDATE) || !cxm_table_allows(&tables[LINKS], ACL_UPDATE))
		return false;
	CheckCmdReplicaIdentity(direct->relations[IDENTIFIERS], CMD_UPDATE);
	CheckCmdReplicaIdentity(direct->relations[LINKS], CMD_UPDATE);
	return true;
}

/* May profiles be merged here, which also writes down that they were? */
bool
cxm_direct_may_merge(CxmDirect *direct)
{
	if (direct->relations[CHANGES] != NULL)
		return true;
	return open_table(direct, CHANGES, ACL_INSERT);
}

void
cxm_direct_end(CxmDirect *direct)
{
	if (direct->has_snapshot)
		PopActiveSnapshot();
	for (int i = 0; i < NTABLES; i++)
	{
		if (direct->relations[i] != NULL)
			relation_close(direct->relations[i], NoLock);
	}
	if (direct->has_written)
		CommandCounterIncrement();
	memset(direct, 0, sizeof(CxmDirect));
}

/*
 * Reading
 */
#define slot_value(slot, column) ((slot)->tts_values[column])
#define slot_is_null(slot, column) ((slot)->tts_isnull[column])
#define slot_int64(slot, column) DatumGetInt64(slot_value(slot, column))

/* Look up the rows whose first columns of a key have these values */
static void
begin_lookup(const CxmDirect *direct, TableNumber number, int key, const Datum *values, int n, CxmLookup *lookup)
{
	cxm_begin_lookup(&tables[number], direct->relations[number], key, values, n, lookup);
}

/* Read a row of cx.profile: whom it belongs to and, if it stands, what is kept of it */
static bool
read_profile(const CxmDirect *direct, int64 profile_id, CxmLabel *label)
{
	Datum		values[1] = {Int64GetDatum(profile_id)};
	CxmLookup	scan;
	bool		is_found;

	begin_lookup(direct, PROFILES, BY_ID, values, 1, &scan);
	is_found = cxm_next_row(&scan);
	if (is_found)
	{
		label->canonical = slot_int64(scan.slot, PROFILE_CANONICAL_ID);
		label->ctid = scan.slot->tts_tid;
		label->is_known = DatumGetBool(slot_value(scan.slot, PROFILE_IS_KNOWN));
		label->is_kept_apart = DatumGetBool(slot_value(scan.slot, PROFILE_IS_KEPT_APART));
		if (label->canonical == profile_id)
		{
			bool		is_null;

			label->xmin = DatumGetTransactionId(slot_getsysattr(scan.slot, MinTransactionIdAttributeNumber, &is_null));
			label->counts = DatumGetArrayTypePCopy(slot_value(scan.slot, PROFILE_COUNTS));
			label->weakest = (uint64) slot_int64(scan.slot, PROFILE_WEAKEST);
			label->weakest_at = DatumGetTimestampTz(slot_value(scan.slot, PROFILE_WEAKEST_AT));
		}
	}
	cxm_end_lookup(&scan);
	return is_found;
}

static bool
read_identifier(const CxmDirect *direct, int key, const Datum *values, int n, CxmLabel *label)
{
	CxmLookup	scan;
	bool		is_found;

	begin_lookup(direct, IDENTIFIERS, key, values, n, &scan);
	is_found = cxm_next_row(&scan);
	if (is_found)
	{
		text	   *quarantined = slot_is_null(scan.slot, IDENTIFIER_QUARANTINED) ? NULL
			: DatumGetTextPP(slot_value(scan.slot, IDENTIFIER_QUARANTINED));

		label->id = slot_int64(scan.slot, IDENTIFIER_ID);
		label->stub = slot_int64(scan.slot, IDENTIFIER_PROFILE_ID);
		label->namespace = cxm_rules_find(direct->rules, DatumGetTextPP(slot_value(scan.slot, IDENTIFIER_NAMESPACE)));
		label->quarantine = quarantined == NULL ? CXM_HOLDS : cxm_refusal_of(quarantined);
	}
	cxm_end_lookup(&scan);

	return is_found;
}

/* Find an identifier, all but the profile that stands */
bool
cxm_direct_find_identifier(const CxmDirect *direct, text *namespace, text *value, CxmLabel *label)
{
	Datum		values[2] = {PointerGetDatum(value), PointerGetDatum(namespace)};

	return read_identifier(direct, BY_VALUE, values, 2, label);
}

/* The same of one whose number is known */
bool
cxm_direct_read_identifier(const CxmDirect *direct, int64 id, CxmLabel *label)
{
	Datum		values[1] = {Int64GetDatum(id)};

	return read_identifier(direct, BY_ID, values, 1, label);
}

/* The profile that stands; an identifier without one is left to the statements, which complain */
bool
cxm_direct_read_profile(const CxmDirect *direct, CxmLabel *label)
{
	int64		canonical;

	if (!read_profile(direct, label->stub, label))
		return false;
	canonical = label->canonical;
	return canonical == label->stub
		|| (read_profile(direct, canonical, label) && label->canonical == canonical);
}

/* The number of a source that is no attached table; 0 when there is none, or it is not to be had here */
int32
cxm_direct_find_source(CxmDirect *direct, text *source)
{
	int32		source_id = cxm_source_kept(source);
	Datum		values[1] = {PointerGetDatum(source)};
	CxmLookup	scan;

	if (source_id != 0 && cxm_table_allows(&tables[SOURCES], ACL_SELECT))
		return source_id;
	if (!open_table(direct, SOURCES, ACL_SELECT))
		return 0;
	source_id = 0;
	begin_lookup(direct, SOURCES, BY_NAME, values, 1, &scan);
	if (cxm_next_row(&scan))
	{
		text	   *kind = DatumGetTextPP(slot_value(scan.slot, SOURCE_KIND));
		bool		is_null;
		Datum		xmin = slot_getsysattr(scan.slot, MinTransactionIdAttributeNumber, &is_null);

		if (VARSIZE_ANY_EXHDR(kind) == 3 && memcmp(VARDATA_ANY(kind), "app", 3) == 0)
			source_id = DatumGetInt32(slot_value(scan.slot, SOURCE_ID));
		if (source_id != 0)
			cxm_keep_source(direct->rules, source, source_id, DatumGetTransactionId(xmin));
	}
	cxm_end_lookup(&scan);
	return source_id;
}

/* Has the source said so before? */
bool
cxm_direct_find_link(const CxmDirect *direct, int64 a, int64 b, int32 source_id, text *evidence,
				   bool *is_verified, TimestampTz *at)
{
	Datum		values[5] = {
		Int64GetDatum(Min(a, b)), Int64GetDatum(Max(a, b)), Int32GetDatum(source_id), CStringGetTextDatum("seen"),
		PointerGetDatum(evidence)
	};
	CxmLookup	scan;
	bool		is_found;

	begin_lookup(direct, LINKS, BY_ENDS, values, 5, &scan);
	is_found = cxm_next_row(&scan);
	if (is_found)
	{
		*is_verified = DatumGetBool(slot_value(scan.slot, LINK_VERIFIED));
		*at = DatumGetTimestampTz(slot_value(scan.slot, LINK_OBSERVED_AT));
	}
	cxm_end_lookup(&scan);
	return is_found;
}

/* The number of live links at an identifier, counted no further than max */
int64
cxm_direct_count_links(const CxmDirect *direct, int64 id, int64 max)
{
	Datum		values[1] = {Int64GetDatum(id)};
	int64		n = 0;

	for (int key = BY_ENDS; key <= BY_B; key++)
	{
		CxmLookup	scan;

		begin_lookup(direct, LINKS, key, values, 1, &scan);
		while (n < max && index_getnext_slot(scan.scan, ForwardScanDirection, scan.slot))
			n++;
		cxm_end_lookup(&scan);
	}
	return n;
}

/*
 * Writing
 */
static void
set_refusal(CxmNewRow *row, int column, uint8 refusal)
{
	row->is_given[column] = true;
	row->nulls[column] = refusal == CXM_HOLDS;
	if (refusal != CXM_HOLDS)
		row->values[column] = CStringGetTextDatum(cxm_refusal_name(refusal));
}

static bool
insert_row(CxmDirect *direct, CxmNewRow *row, int key, ItemPointer ctid)
{
	direct->has_written = true;
	return cxm_insert_row(direct->relations[row->table - tables], row, key, ctid);
}

static bool
update_row(CxmDirect *direct, TupleTableSlot *old, const CxmNewRow *changed)
{
	direct->has_written = true;
	return cxm_update_row(direct->relations[changed->table - tables], old, changed, true);
}

/* Add an identifier; false when another session has */
bool
cxm_direct_add_identifier(CxmDirect *direct, text *namespace, text *value, int64 profile_id, uint8 quarantine,
						  int64 *id, ItemPointer ctid)
{
	CxmNewRow	row = {.table = &tables[IDENTIFIERS]};

	cxm_set_column(&row, IDENTIFIER_NAMESPACE, PointerGetDatum(namespace));
	cxm_set_column(&row, IDENTIFIER_VALUE, PointerGetDatum(value));
	cxm_set_column(&row, IDENTIFIER_PROFILE_ID, Int64GetDatum(profile_id));
	set_refusal(&row, IDENTIFIER_QUARANTINED, quarantine);
	if (!insert_row(direct, &row, BY_VALUE, ctid))
		return false;
	*id = DatumGetInt64(row.values[IDENTIFIER_ID]);
	return true;
}

/*
 * Add a link that was seen; false when another session has.  Nobody else can
 * have one to an identifier that is new.
 */
bool
cxm_direct_add_link(CxmDirect *direct, int64 a, int64 b, int32 source_id, text *evidence, bool is_verified,
					TimestampTz at, uint8 refused, bool is_new, int64 *id, ItemPointer ctid)
{
	CxmNewRow	row = {.table = &tables[LINKS]};

	cxm_set_column(&row, LINK_A, Int64GetDatum(a));
	cxm_set_column(&row, LINK_B, Int64GetDatum(b));
	cxm_set_column(&row, LINK_KIND, CStringGetTextDatum("seen"));
	cxm_set_column(&row, LINK_VERIFIED, BoolGetDatum(is_verified));
	cxm_set_column(&row, LINK_SOURCE_ID, Int32GetDatum(source_id));
	cxm_set_column(&row, LINK_EVIDENCE, PointerGetDatum(evidence));
	cxm_set_column(&row, LINK_OBSERVED_AT, TimestampTzGetDatum(at));
	set_refusal(&row, LINK_REFUSED, refused);
	if (!insert_row(direct, &row, is_new ? CXM_NO_KEY : BY_ENDS, ctid))
		return false;
	*id = DatumGetInt64(row.values[LINK_ID]);
	return true;
}

static Datum
counts_datum(const int32 *counts, int n)
{
	Datum	   *values = palloc(Max(n, 1) * sizeof(Datum));

	while (n > 0 && counts[n - 1] == 0)
		n--;
	for (int i = 0; i < n; i++)
		values[i] = Int32GetDatum(counts[i]);
	return cxm_array(values, NULL, n, INT4OID);
}

/* What a row says of a profile that stands */
static void
set_standing(CxmNewRow *row, const CxmStanding *standing, int n)
{
	cxm_set_column(row, PROFILE_CANONICAL_ID, Int64GetDatum(standing->id));
	cxm_set_column(row, PROFILE_CHANGED_AT, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	cxm_set_column(row, PROFILE_COUNTS, counts_datum(standing->counts, n));
	cxm_set_column(row, PROFILE_IS_KNOWN, BoolGetDatum(standing->is_known));
	cxm_set_column(row, PROFILE_IS_KEPT_APART, BoolGetDatum(standing->is_kept_apart));
	cxm_set_column(row, PROFILE_WEAKEST, Int64GetDatum((int64) standing->weakest));
	cxm_set_column(row, PROFILE_WEAKEST_AT, TimestampTzGetDatum(standing->weakest_at));
}

/* And of one that has been merged into it */
static void
set_merged(CxmNewRow *row, int64 canonical)
{
	set_standing(row, &(CxmStanding) {.id = canonical, .weakest_at = DT_NOBEGIN}, 0);
}

/* A new value for cx.profile.profile_id */
int64
cxm_direct_next_profile_id(const CxmDirect *direct)
{
	bool		is_null;

	return DatumGetInt64(cxm_column_default(&tables[PROFILES], PROFILE_ID, &is_null));
}

/* Add a profile that stands */
void
cxm_direct_add_profile(CxmDirect *direct, const CxmStanding *standing)
{
	CxmNewRow	row = {.table = &tables[PROFILES]};

	cxm_set_column(&row, PROFILE_ID, Int64GetDatum(standing->id));
	set_standing(&row, standing, direct->rules->max_id);
	row.is_given[PROFILE_CHANGED_AT] = false;
	insert_row(direct, &row, CXM_NO_KEY, NULL);
}

/* Change a profile that stands and was read before, by its number; false when there is a later version */
static bool
update_standing(CxmDirect *direct, int64 id, const ItemPointerData *ctid, const CxmNewRow *changed)
{
	TupleTableSlot *old = table_slot_create(direct->relations[PROFILES], NULL);
	ItemPointerData tid = *ctid;
	bool		is_done = false;

	if (table_tuple_fetch_row_version(direct->relations[PROFILES], &tid, GetActiveSnapshot(), old))
	{
		slot_getallattrs(old);
		is_done = slot_int64(old, PROFILE_ID) == id && slot_int64(old, PROFILE_CANONICAL_ID) == id
			&& update_row(direct, old, changed);
	}
	ExecDropSingleTupleTableSlot(old);
	return is_done;
}

/* Change what is kept of such a profile */
bool
cxm_direct_update_profile(CxmDirect *direct, const ItemPointerData *ctid, const CxmStanding *standing)
{
	CxmNewRow	changed = {.table = &tables[PROFILES]};

	set_standing(&changed, standing, direct->rules->max_id);
	return update_standing(direct, standing->id, ctid, &changed);
}

/* Change a row that this call has written, and so nobody else has changed */
static void
update_own_row(CxmDirect *direct, const ItemPointerData *ctid, const CxmNewRow *changed)
{
	Relation	relation = direct->relations[changed->table - tables];
	TupleTableSlot *old = table_slot_create(relation, NULL);
	ItemPointerData tid = *ctid;

	if (!table_tuple_fetch_row_version(relation, &tid, GetActiveSnapshot(), old) || !update_row(direct, old, changed))
		elog(ERROR, "could not change a new row of \"%s\"", RelationGetRelationName(relation));
	ExecDropSingleTupleTableSlot(old);
}

/* Say of a link that was added why it does not hold */
void
cxm_direct_refuse_link(CxmDirect *direct, const ItemPointerData *ctid, uint8 refused)
{
	CxmNewRow	changed = {.table = &tables[LINKS]};

	set_refusal(&changed, LINK_REFUSED, refused);
	update_own_row(direct, ctid, &changed);
}

/* Put an identifier that was added into another profile than was guessed */
void
cxm_direct_move_identifier(CxmDirect *direct, const ItemPointerData *ctid, int64 profile_id)
{
	CxmNewRow	changed = {.table = &tables[IDENTIFIERS]};

	cxm_set_column(&changed, IDENTIFIER_PROFILE_ID, Int64GetDatum(profile_id));
	update_own_row(direct, ctid, &changed);
}

static void
add_change(CxmDirect *direct, int64 profile_id, int64 from, int64 to, int64 link_id, TimestampTz at)
{
	CxmNewRow	row = {.table = &tables[CHANGES]};

	cxm_set_column(&row, CHANGE_CHANGED_AT, TimestampTzGetDatum(at));
	cxm_set_column(&row, CHANGE_PROFILE_ID, Int64GetDatum(profile_id));
	row.is_given[CHANGE_IDENTIFIER_ID] = true;
	row.nulls[CHANGE_IDENTIFIER_ID] = true;
	cxm_set_column(&row, CHANGE_FROM_PROFILE, Int64GetDatum(from));
	cxm_set_column(&row, CHANGE_TO_PROFILE, Int64GetDatum(to));
	cxm_set_column(&row, CHANGE_LINK_ID, Int64GetDatum(link_id));
	cxm_set_column(&row, CHANGE_CAUSE, CStringGetTextDatum("link"));
	insert_row(direct, &row, CXM_NO_KEY, NULL);
}

/*
 * Merge a profile that was read before, and all that were merged into it,
 * into another one that this transaction has locked; false when it has
 * changed since.  The changes of a step share their time.
 */
bool
cxm_direct_merge_profile(CxmDirect *direct, int64 loser, const ItemPointerData *ctid, int64 winner, int64 link_id)
{
	TimestampTz at = GetCurrentTimestamp();
	Datum		values[1] = {Int64GetDatum(loser)};
	CxmNewRow	changed = {.table = &tables[PROFILES]};
	bool		is_done;
	CxmLookup	scan;

	set_merged(&changed, winner);
	if (!update_standing(direct, loser, ctid, &changed))
		return false;
	add_change(direct, loser, loser, winner, link_id, at);

	begin_lookup(direct, PROFILES, BY_CANONICAL, values, 1, &scan);
	is_done = true;
	while (is_done && cxm_next_row(&scan))
	{
		int64		stub = slot_int64(scan.slot, PROFILE_ID);

		CHECK_FOR_INTERRUPTS();
		set_merged(&changed, winner);
		is_done = update_row(direct, scan.slot, &changed);
		if (is_done)
			add_change(direct, stub, loser, winner, link_id, at);
	}
	cxm_end_lookup(&scan);
	return is_done;
}
