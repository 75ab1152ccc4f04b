/*
 * src/identity.h
 *		What the files that resolve identities share: queries, rules, vectors.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_IDENTITY_H
#define CXM_IDENTITY_H

#include "cxm.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "identity_core.h"
#include "storage/itemptr.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"

/*
 * A statement whose plan is kept.  "reader" gets each row as it comes; what a
 * row points at does not live longer than the call.
 */
#define CXM_MAX_ARGS 12

typedef struct CxmQuery
{
	const char *sql;
	int			nargs;
	Oid			types[CXM_MAX_ARGS];
	bool		reads_all;		/* of a table, so whatever the planner thinks best */
	SPIPlanPtr	plan;
	bool		is_planned;
} CxmQuery;

typedef void (*CxmRowReader) (TupleTableSlot *slot, void *state);

/*
 * What statements need, for a call that may do without: it is made when the
 * first one is about to be run, outside any subtransaction of the call's.
 */
typedef struct CxmConnection
{
	MemoryContext context;		/* of the call */
	int			level;			/* of settings; 0 as long as there is no connection */
} CxmConnection;

extern void cxm_connect(CxmConnection *connection);
extern void cxm_disconnect(CxmConnection *connection);

extern uint64 cxm_query(CxmQuery *query, const Datum *args, bool read_only, CxmRowReader reader, void *state);
extern void cxm_query_ends(void);
extern uint64 cxm_query_latest(CxmQuery *query, const Datum *args);

/* columns of a row, from 1 */
#define row_is_null(slot, i)	((slot)->tts_isnull[(i) - 1])
#define row_value(slot, i)		((slot)->tts_values[(i) - 1])
#define row_int64(slot, i)		DatumGetInt64(row_value(slot, i))
#define row_bool(slot, i)		DatumGetBool(row_value(slot, i))

/* a growing array; its memory is of the context in which it was made */
typedef struct CxmVector
{
	MemoryContext context;
	Size		element;
	char	   *data;
	Size		n;
	Size		room;
} CxmVector;

extern void cxm_vector_init(CxmVector *vector, Size element);
extern void *cxm_vector_add(CxmVector *vector);

#define vector_at(vector, type, i) (&((type *) (vector)->data)[i])

/* from a 64-bit id to a place in an array */
typedef struct CxmIdMap
{
	MemoryContext context;
	int64	   *keys;
	uint32	   *places;			/* PG_UINT32_MAX where the slot is free */
	Size		nslots;
	Size		n;
} CxmIdMap;

extern void cxm_idmap_init(CxmIdMap *map);
extern uint32 cxm_idmap_find(const CxmIdMap *map, int64 key);
extern bool cxm_idmap_add(CxmIdMap *map, int64 key, uint32 place);

#define CXM_NOWHERE PG_UINT32_MAX

/* arrays for the parameters of a query */
extern Datum cxm_int8_array(const int64 *values, Size n);
extern Datum cxm_text_array(Datum *values, const bool *nulls, Size n);
extern Datum cxm_array(Datum *values, const bool *nulls, Size n, Oid type);

/* how values of a namespace are normalised: without a query, or by cxm.normalize() */
typedef enum CxmForm
{
	CXM_TEXT,
	CXM_EMAIL,
	CXM_OTHER
} CxmForm;

/* how a namespace is called, and how its values are written */
typedef struct CxmSpelling
{
	const char *name;
	Size		length;
	int16		id;				/* namespace_id */
	CxmForm		form;
	Jsonb	   *options;
} CxmSpelling;

/* a rule of cx.blocked_value: a value or a pattern, in lower case */
typedef struct CxmBlocked
{
	text	   *namespace;		/* empty: every one */
	text	   *value;
	text	   *pattern;
} CxmBlocked;

/* the rules of identity resolution, the strongest namespace first */
typedef struct CxmRules
{
	const CxmNamespace *namespaces;
	uint32		n;				/* and one more that stands for unknown namespaces */
	int			max_id;
	bool		has_windows;
	bool		has_lasting_ranks;	/* a new namespace leaves those of others as they are */
	CxmVector	all;			/* CxmNamespace */
	CxmVector	spellings;		/* CxmSpelling */
	CxmVector	blocked;		/* CxmBlocked */
} CxmRules;

#define rules_spelling(rules, i) vector_at(&(rules)->spellings, CxmSpelling, i)

extern const CxmRules *cxm_rules(CxmConnection *connection);
extern const CxmRules *cxm_rules_kept(void);
extern const CxmRules *cxm_rules_seen(void);
extern int32 cxm_source_kept(const text *source);
extern void cxm_keep_source(const CxmRules *rules, const text *source, int32 source_id, TransactionId xmin);
extern uint32 cxm_rules_find(const CxmRules *rules, const text *name);
extern bool cxm_rules_block(const CxmRules *rules, const text *namespace, const text *value);

/*
 * What is kept of a profile that stands.  No link that holds in it comes
 * after "weakest" in the order of the solver, as far as strength and time
 * tell.
 */
typedef struct CxmStanding
{
	int64		id;
	const int32 *counts;		/* by namespace_id - 1 */
	uint64		weakest;
	TimestampTz weakest_at;
	bool		is_known;
	bool		is_kept_apart;
} CxmStanding;

/* where an identifier that is in the store belongs */
typedef struct CxmLabel
{
	int64		id;
	int64		stub;			/* profile_id in its row */
	int64		canonical;		/* the standing profile, and its row's version */
	TransactionId xmin;
	ItemPointerData ctid;
	uint32		namespace;		/* index of its rules */
	uint8		quarantine;		/* CxmRefusal */
	bool		is_known;		/* these of the standing profile ... */
	bool		is_kept_apart;
	uint64		weakest;
	TimestampTz weakest_at;
	ArrayType  *counts;			/* ... NULL when only its version was asked for */
} CxmLabel;

/* tables whose rows are read and written without a plan */
typedef struct CxmDirect
{
	const CxmRules *rules;
	CxmConnection *connection;	/* for statements that are needed all the same; NULL when there is one */
	Relation	relations[5];
	bool		is_readable;
	bool		is_writable;
	bool		was_asked;		/* whether it is */
	bool		has_snapshot;
	bool		has_written;
} CxmDirect;

extern bool cxm_direct_begin(CxmDirect *direct, const CxmRules *rules);
extern void cxm_direct_refresh(CxmDirect *direct);
extern bool cxm_direct_may_write(CxmDirect *direct);
extern bool cxm_direct_may_merge(CxmDirect *direct);
extern void cxm_direct_end(CxmDirect *direct);
extern bool cxm_direct_find_identifier(const CxmDirect *direct, text *namespace, text *value, CxmLabel *label);
extern bool cxm_direct_read_identifier(const CxmDirect *direct, int64 id, CxmLabel *label);
extern bool cxm_direct_read_profile(const CxmDirect *direct, CxmLabel *label);
extern int32 cxm_direct_find_source(CxmDirect *direct, text *source);
extern bool cxm_direct_find_link(const CxmDirect *direct, int64 a, int64 b, int32 source_id, text *evidence,
							   bool *is_verified, TimestampTz *at);
extern int64 cxm_direct_count_links(const CxmDirect *direct, int64 id, int64 max);
extern bool cxm_direct_add_identifier(CxmDirect *direct, text *namespace, text *value, int64 profile_id,
									  uint8 quarantine, int64 *id, ItemPointer ctid);
extern bool cxm_direct_add_link(CxmDirect *direct, int64 a, int64 b, int32 source_id, text *evidence, bool is_verified,
							  TimestampTz at, uint8 refused, bool is_new, int64 *id, ItemPointer ctid);
extern bool cxm_direct_may_update(CxmDirect *direct);
extern void cxm_direct_refuse_link(CxmDirect *direct, const ItemPointerData *ctid, uint8 refused);
extern void cxm_direct_move_identifier(CxmDirect *direct, const ItemPointerData *ctid, int64 profile_id);
extern int64 cxm_direct_next_profile_id(const CxmDirect *direct);
extern void cxm_direct_add_profile(CxmDirect *direct, const CxmStanding *standing);
extern bool cxm_direct_update_profile(CxmDirect *direct, const ItemPointerData *ctid, const CxmStanding *standing);
extern bool cxm_direct_merge_profile(CxmDirect *direct, int64 loser, const ItemPointerData *ctid, int64 winner,
								   int64 link_id);

/* what is still to be written of a change, once the profiles at its ends are locked */
typedef enum CxmPending
{
	CXM_WRITTEN,
	CXM_TO_RETIRE,
	CXM_TO_STRENGTHEN			/* to is_verified or at */
} CxmPending;

/* a link that came, changed or was retired */
typedef struct CxmChange
{
	int64		link_id;
	int64		a;
	int64		b;
	uint64		strength;
	TimestampTz at;
	uint8		kind;			/* CxmLinkKind */
	uint8		refused;		/* CxmRefusal, as it stands in the row */
	bool		is_verified;
	bool		is_retired;
	bool		is_edited;		/* its row was: nobody knows what it was before, if it was */
	uint8		pending;		/* CxmPending */
	ItemPointerData ctid;		/* of its row; invalid when a statement has written that */
	bool		is_decided;		/* by the counts alone ... */
	uint8		decided;		/* ... as this CxmRefusal */
} CxmChange;

/* an identifier that this call added; its profile is a guess, and no row of it exists where that is new */
typedef struct CxmFresh
{
	int64		id;
	int64		guess;
	ItemPointerData ctid;		/* of its row; invalid when a statement has written that */
	uint64		hash;
	uint32		namespace;		/* index of its rules */
	uint8		quarantine;		/* CxmRefusal */
	bool		guess_is_new;
} CxmFresh;

/* where an identifier belongs afterwards, for whoever wants to know of one; 0 when that has to be looked up */
typedef struct CxmPlace
{
	int64		identifier_id;
	int64		profile_id;
} CxmPlace;

extern int64 cxm_resolve(const CxmRules *rules, const CxmChange *changes, Size nchanges,
						 const CxmFresh *fresh, Size nfresh, const CxmLabel *labels, Size nlabels,
						 text *retired_reason, bool never_waits, CxmDirect *direct, CxmPlace *place);
extern int64 cxm_resolve_everything(const CxmRules *rules);

/* where the store differs from what its links say; an id of 0 stands for none */
typedef struct CxmDifference
{
	const char *kind;
	int64		profile_id;
	int64		identifier_id;
	int64		link_id;
	const char *stored;
	const char *expected;
} CxmDifference;

typedef void (*CxmPutDifference) (const CxmDifference *difference, void *state);

extern void cxm_compare_everything(const CxmRules *rules, CxmPutDifference put, void *state);
extern void cxm_next_profile_ids(int64 *ids, Size n);
extern uint8 cxm_refusal_of(const text *name);
extern uint8 cxm_row_refusal(TupleTableSlot *slot, int column);
extern uint8 cxm_row_kind(TupleTableSlot *slot, int column);
extern int64 cxm_row_canonical(TupleTableSlot *slot, int column, int64 identifier_id);
extern const char *cxm_refusal_name(CxmRefusal refusal);

#endif							/* CXM_IDENTITY_H */
