/*
 * src/direct.h
 *		Single rows of the store's tables, read and written without a plan.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_DIRECT_H
#define CXM_DIRECT_H

#include "access/genam.h"
#include "cxm.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "nodes/primnodes.h"
#include "utils/rel.h"

/* a column, as the store makes it */
typedef struct CxmColumn
{
	const char *name;
	Oid			type;
} CxmColumn;

#define CXM_MAX_COLUMNS 32
#define CXM_MAX_KEY 5
#define CXM_MAX_KEYS 2

/* where rows are looked up: an index of exactly these columns, of integers and texts */
typedef struct CxmKey
{
	int			n;
	int			columns[CXM_MAX_KEY];	/* counted from 0 */
	bool		(*has_where) (const List *predicate);	/* of a partial index: is it the one? */
	bool		is_unique;
} CxmKey;

#define CXM_NO_KEY (-1)

/* a table of schema cx; by default the first column gets a number */
typedef struct CxmTable
{
	const char *name;
	const CxmColumn *columns;
	int			ncolumns;
	int			nkeys;
	CxmKey		keys[CXM_MAX_KEYS];
	bool		is_inserted_into;
	bool		is_updated;
	const char *const *parts;	/* for cxm_prepare_row(): its indexes and CHECK constraints, up to a NULL */

	/* what was found out about it, good until it changes */
	struct CxmTable *next;		/* of all that were looked at */
	MemoryContext context;
	EState	   *estate;
	ResultRelInfo *info;
	ExprState **defaults;
	List	   *checks;			/* ExprStates, of a table with parts */
	Bitmapset  *checked;		/* columns in CHECK constraints, as pull_varattnos() has them */
	Oid		   *indexes;		/* of info->ri_NumIndices */
	Oid			relid;
	Oid			sequence;		/* of the first column, or InvalidOid */
	uint32		sequence_hash;	/* of it in its system cache */
	Oid			index_of[CXM_MAX_KEYS];
	Oid			user;			/* who has these privileges */
	AclMode		privileges;
	bool		is_listed;
	bool		is_known;
	bool		is_plain;
	bool		is_untouched;	/* it has no index and no constraint but its parts, and no default that could fail */
} CxmTable;

/* rows that are looked up */
typedef struct CxmLookup
{
	Relation	relation;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	Buffer		buffer;			/* of the last row */
} CxmLookup;

/* a row to be written; columns that are not given get their defaults, or stay as they are */
typedef struct CxmNewRow
{
	CxmTable   *table;
	Datum		values[CXM_MAX_COLUMNS];
	bool		nulls[CXM_MAX_COLUMNS];
	bool		is_given[CXM_MAX_COLUMNS];
	bool		meets_checks;	/* the caller has seen to what CHECK constraints of the store ask for */
} CxmNewRow;

extern int	cxm_find_column(TupleDesc desc, const CxmColumn *column, int *last);
extern Relation cxm_table_open(CxmTable *table, AclMode privileges);
extern Relation cxm_table_open_at_once(CxmTable *table, AclMode privileges);
extern bool cxm_table_allows(CxmTable *table, AclMode privileges);
extern void cxm_begin_lookup(const CxmTable *table, Relation relation, int key, const Datum *values, int n,
							 CxmLookup *lookup);
extern void cxm_begin_lookup_from(const CxmTable *table, Relation relation, int key, int64 from, CxmLookup *lookup);
extern bool cxm_next_row(CxmLookup *lookup);
extern void cxm_end_lookup(CxmLookup *lookup);
extern void cxm_read_rows(Relation relation, void (*reader) (TupleTableSlot *slot, void *state), void *state);
extern Datum cxm_column_default(const CxmTable *table, int column, bool *is_null);
extern bool cxm_prepare_row(Relation relation, CxmNewRow *row);
extern bool cxm_insert_prepared(Relation relation, CxmNewRow *row, ItemPointer ctid);
extern void cxm_take_back_row(Relation relation, const ItemPointerData *ctid);
extern bool cxm_insert_row(Relation relation, CxmNewRow *row, int key, ItemPointer ctid);
extern bool cxm_lock_row(Relation relation, TupleTableSlot *slot);
extern bool cxm_update_row(Relation relation, TupleTableSlot *old, const CxmNewRow *changed, bool waits);

static inline void
cxm_set_column(CxmNewRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->is_given[column] = true;
}

/* Is that node of a predicate the column? */
static inline bool
cxm_is_column(const Node *node, int column)
{
	return IsA(node, Var) && ((const Var *) node)->varattno == column + 1;
}

#endif							/* CXM_DIRECT_H */
