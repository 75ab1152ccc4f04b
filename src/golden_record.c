/*
 * src/golden_record.c
 *		The type cxm.golden_record: what sources said of one person, and the policies that choose among it.
 *
 * A value holds one entry for each (trait, value, source): when the source first said it, when it last did, and
 * how often. That is all that any policy goes by, entries of two values add up in any order, and what was beaten
 * is still there to be shown. So the policy does not shape the entries; it is kept beside them and applied when
 * the value is read.
 *
 * While it grows, a value is an expanded object with an array of pointers to entries. A new observation goes to
 * the end; when the array is full it is sorted, equal entries become one, and only if that freed less than half
 * does the array grow. So memory follows the number of different entries, n observations take O(n log n)
 * comparisons, and a group of a handful of rows costs no hash table. The expanded object is the transition value
 * of the aggregates, changed in place; whatever leaves a process is the flat form, an ordinary varlena, so the
 * aggregates combine across workers and machines without serial functions.
 *
 * The flat form has its entries in the order of their bytes: equal values have equal bytes, in whatever order
 * the observations came. The order in which values compete (that of jsonb) is another one, since the collation
 * of the database is part of it.
 *
 * There is no golden_record_core.c: the algorithm is comparing, adding up and taking apart jsonb and numeric
 * values, and without the server there are none.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "cxm.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/expandeddatum.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define GOLDEN_RECORD_VERSION	1
#define GOLDEN_RECORD_MAGIC		0x60D1
#define FIRST_CAPACITY			8
#define NAME_SHOWN				100 /* bytes of a name that an error message shows */

/* what is said where the policy has nothing to say about a trait */
#define ANY_TRAIT				"*"

/* A value of a trait that a source stated; on disk as it is in memory, at an address that is a multiple of 8 */
typedef struct Entry
{
	int64		first_at;		/* timestamptz */
	int64		last_at;
	int64		times;
	uint32		size;			/* of the whole entry, a multiple of 8 */
	uint32		value_size;
	uint32		trait_size;
	int32		source_size;	/* -1: the source is not known */
	char		data[FLEXIBLE_ARRAY_MEMBER];	/* value (jsonb), trait, source */
} Entry;

/* The flat form: this header, the policy (jsonb) filled up to a multiple of 8, the entries in order */
typedef struct FlatRecord
{
	int32		vl_len_;
	uint8		version;
	uint8		reserved[3];
	uint32		count;
	uint32		policy_size;	/* 0: no policy */
} FlatRecord;

/* What both forms are read through */
typedef struct Record
{
	const Jsonb *policy;		/* NULL: the default for every trait */
	Entry	  **entries;
	int			count;
	int			capacity;
	bool		sorted;			/* in order, and no two alike */
} Record;

typedef struct ExpandedRecord
{
	ExpandedObjectHeader hdr;
	int			magic;
	Size		flat_size;		/* 0: to be computed */
	Record		record;
} ExpandedRecord;

/* sql/value/golden_record.sql declares the alignment of the type, and the bytes are on disk */
StaticAssertDecl(sizeof(FlatRecord) == 16, "the header of cxm.golden_record has no padding");
StaticAssertDecl(offsetof(Entry, data) == 40, "an entry of cxm.golden_record has no padding");

#define ALIGN8(n) TYPEALIGN(8, (n))

typedef enum PolicyKind
{
	MOST_RECENT,
	OLDEST,
	MOST_FREQUENT,
	SOURCE_RANK,
	MAX_VALUE,
	MIN_VALUE,
	SUM_VALUES,
	UNION_VALUES,
	NON_EMPTY
} PolicyKind;

static const char *const policy_names[] = {
	"most_recent", "oldest", "most_frequent", "source_rank", "max", "min", "sum", "union", "non_empty"
};

#define POLICY_NAMES \
	"The policies are most_recent, oldest, most_frequent, source_rank, max, min, sum, union and non_empty."

typedef struct RankedSource
{
	const char *name;
	int			size;
	int			rank;			/* 0 is the best */
} RankedSource;

typedef struct Policy
{
	PolicyKind	kind;
	int			source_count;
	RankedSource *sources;		/* in the order of their names */
} Policy;

/* An entry that competes for its trait */
typedef struct Candidate
{
	Entry	   *entry;
	int			rank;			/* of its source; those that are not listed share the last rank */
	bool		supports;		/* says, or is part of, the value that won */
} Candidate;

/* What became of a trait */
typedef struct Outcome
{
	const char *trait;
	int			trait_size;
	Policy		policy;
	Candidate  *candidates;
	int			count;
	const Jsonb *value;			/* NULL: the trait has no value */
	const Entry *decided;		/* the entry that won, or that took the value away, or the last part of a sum */
} Outcome;

/*--------------------------------------------------------------------------------------------------------
 * Entries
 *--------------------------------------------------------------------------------------------------------
 */

static inline Jsonb *
entry_value(const Entry *e)
{
	return (Jsonb *) unconstify(Entry *, e)->data;
}

static inline const char *
entry_trait(const Entry *e)
{
	return e->data + e->value_size;
}

static inline const char *
entry_source(const Entry *e)
{
	return entry_trait(e) + e->trait_size;
}

/* A name as an error message shows it */
static char *
shown(const char *name, int size)
{
	return pnstrdup(name, pg_mbcliplen(name, size, NAME_SHOWN));
}

static int
compare_bytes(const char *a, uint32 a_size, const char *b, uint32 b_size)
{
	int			result = memcmp(a, b, Min(a_size, b_size));

	if (result == 0 && a_size != b_size)
		result = (a_size < b_size) ? -1 : 1;
	return result;
}

static int
compare_traits(const Entry *a, const Entry *b)
{
	return compare_bytes(entry_trait(a), a->trait_size, entry_trait(b), b->trait_size);
}

/* By name; a source that is not known comes last */
static int
compare_sources(const Entry *a, const Entry *b)
{
	if (a->source_size < 0 || b->source_size < 0)
		return (a->source_size < 0) - (b->source_size < 0);
	return compare_bytes(entry_source(a), (uint32) a->source_size, entry_source(b), (uint32) b->source_size);
}

/* The order on disk; 0 means that the two are to be one */
static int
compare_entries(const void *a, const void *b)
{
	const Entry *x = *(Entry *const *) a;
	const Entry *y = *(Entry *const *) b;
	int			result = compare_traits(x, y);

	if (result == 0)
		result = compare_sources(x, y);
	if (result == 0)
		result = compare_bytes(x->data, x->value_size, y->data, y->value_size);
	return result;
}

static void
report_too_large(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the golden record is too large"),
			 errdetail("A value can have up to 1 GB.")));
}

/* Sort the entries and make one of those that are alike */
static void
compact(Record *r)
{
	int			kept = 0;
	bool		overflow = false;

	if (r->sorted)
		return;
	qsort(r->entries, (size_t) r->count, sizeof(Entry *), compare_entries);
	for (int i = 0; i < r->count; i++)
	{
		Entry	   *e = r->entries[i];
		Entry	   *last = (kept > 0) ? r->entries[kept - 1] : NULL;
		int64		times;

		if (last == NULL || compare_entries(&last, &e) != 0)
			r->entries[kept++] = e;
		else if (pg_add_s64_overflow(last->times, e->times, &times))
		{
			/* leave the record whole: whoever catches the error may still have it */
			overflow = true;
			r->entries[kept++] = e;
		}
		else
		{
			last->times = times;
			last->first_at = Min(last->first_at, e->first_at);
			last->last_at = Max(last->last_at, e->last_at);
			pfree(e);
		}
	}
	r->count = kept;
	if (overflow)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the number of observations does not fit in a bigint")));
	r->sorted = true;
}

/*--------------------------------------------------------------------------------------------------------
 * The expanded form and the flat form
 *--------------------------------------------------------------------------------------------------------
 */

static Size
record_get_flat_size(ExpandedObjectHeader *eohptr)
{
	ExpandedRecord *x = (ExpandedRecord *) eohptr;
	Record	   *r = &x->record;
	Size		size = sizeof(FlatRecord);

	if (x->flat_size > 0)
		return x->flat_size;
	compact(r);
	if (r->policy != NULL)
		size += ALIGN8(VARSIZE(r->policy));
	for (int i = 0; i < r->count; i++)
	{
		size += r->entries[i]->size;
		if (!AllocSizeIsValid(size))
			report_too_large();
	}
	x->flat_size = size;
	return size;
}

static void
record_flatten_into(ExpandedObjectHeader *eohptr, void *result, Size allocated_size)
{
	ExpandedRecord *x = (ExpandedRecord *) eohptr;
	Record	   *r = &x->record;
	FlatRecord *flat = (FlatRecord *) result;
	char	   *next = (char *) result + sizeof(FlatRecord);

	Assert(allocated_size == x->flat_size && r->sorted);
	memset(flat, 0, sizeof(FlatRecord));
	SET_VARSIZE(flat, allocated_size);
	flat->version = GOLDEN_RECORD_VERSION;
	flat->count = (uint32) r->count;
	if (r->policy != NULL)
	{
		flat->policy_size = VARSIZE(r->policy);
		memset(next, 0, ALIGN8(flat->policy_size));
		memcpy(next, r->policy, flat->policy_size);
		next += ALIGN8(flat->policy_size);
	}
	for (int i = 0; i < r->count; i++)
	{
		memcpy(next, r->entries[i], r->entries[i]->size);
		next += r->entries[i]->size;
	}
}

static const ExpandedObjectMethods record_methods = {
	record_get_flat_size,
	record_flatten_into
};

/* An empty record with a memory context of its own in the given one */
static ExpandedRecord *
new_record(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "golden record", ALLOCSET_START_SMALL_SIZES);
	ExpandedRecord *x = MemoryContextAllocZero(context, sizeof(ExpandedRecord));

	EOH_init_header(&x->hdr, &record_methods, context);
	x->magic = GOLDEN_RECORD_MAGIC;
	x->record.capacity = FIRST_CAPACITY;
	x->record.entries = MemoryContextAlloc(context, FIRST_CAPACITY * sizeof(Entry *));
	x->record.sorted = true;
	return x;
}

static ExpandedRecord *
expanded_record(Datum datum)
{
	ExpandedRecord *x = (ExpandedRecord *) DatumGetEOHP(datum);

	if (x->magic != GOLDEN_RECORD_MAGIC)
		elog(ERROR, "expanded object is not a golden record");
	return x;
}

/* Does an entry fit into the bytes that are left, and its parts into the entry? */
static bool
is_sound(const Entry *e, Size left)
{
	if (left < offsetof(Entry, data) || e->size > left || e->size != ALIGN8(e->size))
		return false;
	return offsetof(Entry, data) + (Size) e->value_size + (Size) e->trait_size +
		(Size) Max(e->source_size, 0) <= e->size;
}

/* Read a flat record where it stands: refuse what another version of the library wrote, or what was damaged */
static void
read_flat(FlatRecord *flat, Record *r)
{
	char	   *next = (char *) flat + sizeof(FlatRecord);
	char	   *end = (char *) flat + VARSIZE(flat);

	if (VARSIZE(flat) < sizeof(FlatRecord) || flat->version != GOLDEN_RECORD_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("golden record of format version %d cannot be read", flat->version),
				 errdetail("This library reads version %d.", GOLDEN_RECORD_VERSION)));
	r->policy = NULL;
	if (flat->policy_size > 0 && flat->policy_size <= (Size) (end - next))
	{
		r->policy = (Jsonb *) next;
		next += ALIGN8(flat->policy_size);
	}
	r->count = 0;
	r->capacity = (int) flat->count;
	r->sorted = true;
	if (flat->count > (VARSIZE(flat) - sizeof(FlatRecord)) / offsetof(Entry, data))
		next = end + 1;
	else
		r->entries = palloc(Max(flat->count, 1) * sizeof(Entry *));
	while (next < end && r->count < r->capacity)
	{
		Entry	   *e = (Entry *) next;

		if (!is_sound(e, (Size) (end - next)))
			break;
		r->entries[r->count++] = e;
		next += e->size;
	}
	if (next != end || r->count != r->capacity)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("golden record is damaged")));
}

/* An argument to be read, with its entries in order */
static Record *
record_arg(FunctionCallInfo fcinfo, int argno)
{
	Datum		datum = PG_GETARG_DATUM(argno);
	Record	   *r;

	if (VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(datum)))
	{
		r = &expanded_record(datum)->record;
		compact(r);
		return r;
	}
	r = palloc0(sizeof(Record));
	read_flat((FlatRecord *) PG_DETOAST_DATUM(datum), r);
	return r;
}

/* Room for one more entry */
static void
make_room(ExpandedRecord *x)
{
	Record	   *r = &x->record;

	if (r->count < r->capacity)
		return;
	compact(r);
	if (r->count > r->capacity / 2)
	{
		if (r->capacity > (int) (MaxAllocSize / sizeof(Entry *) / 2))
			report_too_large();
		r->entries = repalloc(r->entries, 2 * (Size) r->capacity * sizeof(Entry *));
		r->capacity *= 2;
	}
}

static void
append_entry(ExpandedRecord *x, Entry *e)
{
	make_room(x);
	x->record.entries[x->record.count++] = e;
	x->record.sorted = false;
	x->flat_size = 0;
}

/* Note that a source said something; source is NULL where it is not known */
static void
add_entry(ExpandedRecord *x, const char *trait, int trait_size, const Jsonb *value,
		  const char *source, int source_size, int64 first_at, int64 last_at, int64 times)
{
	Size		value_size = VARSIZE(value);
	Size		size = ALIGN8(offsetof(Entry, data) + value_size + (Size) trait_size +
							  (source == NULL ? 0 : (Size) source_size));
	Entry	   *e;

	if (!AllocSizeIsValid(size))
		report_too_large();
	e = MemoryContextAllocZero(x->hdr.eoh_context, size);
	e->first_at = first_at;
	e->last_at = last_at;
	e->times = times;
	e->size = (uint32) size;
	e->value_size = (uint32) value_size;
	e->trait_size = (uint32) trait_size;
	e->source_size = (source == NULL) ? -1 : source_size;
	memcpy(e->data, value, value_size);
	memcpy(e->data + value_size, trait, (size_t) trait_size);
	if (source != NULL)
		memcpy(e->data + value_size + trait_size, source, (size_t) source_size);
	append_entry(x, e);
}

static void
set_policy(ExpandedRecord *x, const Jsonb *policy)
{
	Jsonb	   *copy = NULL;

	if (policy != NULL)
	{
		copy = MemoryContextAlloc(x->hdr.eoh_context, VARSIZE(policy));
		memcpy(copy, policy, VARSIZE(policy));
	}
	x->record.policy = copy;
	x->flat_size = 0;
}

static void
add_record(ExpandedRecord *x, const Record *r)
{
	for (int i = 0; i < r->count; i++)
	{
		Entry	   *copy = MemoryContextAlloc(x->hdr.eoh_context, r->entries[i]->size);

		CHECK_FOR_INTERRUPTS();
		memcpy(copy, r->entries[i], r->entries[i]->size);
		append_entry(x, copy);
	}
}

/* The flat form of a record that is not needed any more */
static Datum
flat_datum(ExpandedRecord *x)
{
	Size		size = EOH_get_flat_size(&x->hdr);
	void	   *flat = palloc(size);

	EOH_flatten_into(&x->hdr, flat, size);
	DeleteExpandedObject(EOHPGetRWDatum(&x->hdr));
	return PointerGetDatum(flat);
}

/* The first argument, to be changed: the transition value itself in an aggregate, elsewhere a copy */
static ExpandedRecord *
state_arg(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	const Record *r;
	ExpandedRecord *x;

	if (!AggCheckCallContext(fcinfo, &context))
		context = CurrentMemoryContext;
	else if (!PG_ARGISNULL(0) && VARATT_IS_EXTERNAL_EXPANDED_RW(DatumGetPointer(PG_GETARG_DATUM(0))))
		return expanded_record(PG_GETARG_DATUM(0));
	if (PG_ARGISNULL(0))
		return new_record(context);

	r = record_arg(fcinfo, 0);
	x = new_record(context);
	set_policy(x, r->policy);
	add_record(x, r);
	return x;
}

/*--------------------------------------------------------------------------------------------------------
 * Policies
 *--------------------------------------------------------------------------------------------------------
 */

static int
compare_ranked_sources(const void *a, const void *b)
{
	const RankedSource *x = a;
	const RankedSource *y = b;
	int			result = compare_bytes(x->name, (uint32) x->size, y->name, (uint32) y->size);

	/* a source that is listed twice has the better place */
	return (result != 0) ? result : x->rank - y->rank;
}

/* "sources": [...] of a trait's policy */
static bool
parse_sources(const char *trait, const JsonbValue *list, Policy *policy, Node *escontext)
{
	uint32		count;

	if (list->type != jbvBinary || !JsonContainerIsArray(list->val.binary.data) ||
		JsonContainerIsScalar(list->val.binary.data))
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the sources of trait \"%s\" are not an array", trait),
				 errhint("List them, the best first: [\"crm\", \"shop\"].")));
	count = JsonContainerSize(list->val.binary.data);
	policy->sources = palloc(Max(count, 1) * sizeof(RankedSource));
	policy->source_count = (int) count;
	for (uint32 i = 0; i < count; i++)
	{
		const JsonbValue *source = getIthJsonbValueFromContainer(list->val.binary.data, i);

		if (source->type != jbvString)
			ereturn(escontext, false,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a source of trait \"%s\" is not a string", trait)));
		policy->sources[i].name = source->val.string.val;
		policy->sources[i].size = source->val.string.len;
		policy->sources[i].rank = (int) i;
	}
	qsort(policy->sources, count, sizeof(RankedSource), compare_ranked_sources);
	return true;
}

/* "policy": "..." of a trait's policy */
static bool
parse_kind(const char *trait, const JsonbValue *name, Policy *policy, Node *escontext)
{
	if (name->type != jbvString)
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the policy of trait \"%s\" is not named by a string", trait),
				 errhint(POLICY_NAMES)));
	for (int i = 0; i < (int) lengthof(policy_names); i++)
	{
		if (name->val.string.len == (int) strlen(policy_names[i]) &&
			memcmp(name->val.string.val, policy_names[i], (size_t) name->val.string.len) == 0)
		{
			policy->kind = (PolicyKind) i;
			return true;
		}
	}
	ereturn(escontext, false,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown policy \"%s\" for trait \"%s\"",
					shown(name->val.string.val, name->val.string.len), trait),
			 errhint(POLICY_NAMES)));
}

/* {"policy": ..., "sources": ...} of a trait; false when an error was saved */
static bool
parse_policy(const char *trait, const JsonbValue *document, Policy *policy, Node *escontext)
{
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;
	bool		named = false;

	memset(policy, 0, sizeof(Policy));
	if (document->type != jbvBinary || !JsonContainerIsObject(document->val.binary.data))
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the policy of trait \"%s\" is not an object", trait),
				 errhint("Write {\"policy\": \"most_recent\"}.")));
	it = JsonbIteratorInit(document->val.binary.data);
	(void) JsonbIteratorNext(&it, &key, false);
	while (JsonbIteratorNext(&it, &key, false) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		if (key.val.string.len == 6 && memcmp(key.val.string.val, "policy", 6) == 0)
		{
			if (!parse_kind(trait, &value, policy, escontext))
				return false;
			named = true;
		}
		else if (key.val.string.len == 7 && memcmp(key.val.string.val, "sources", 7) == 0)
		{
			if (!parse_sources(trait, &value, policy, escontext))
				return false;
		}
		else
			ereturn(escontext, false,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the policy of trait \"%s\" has an unknown key \"%s\"",
							trait, shown(key.val.string.val, key.val.string.len)),
					 errhint("The keys are policy and sources.")));
	}
	if (!named)
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the policy of trait \"%s\" is not named", trait),
				 errhint("Write {\"policy\": \"most_recent\"}.")));
	if (policy->kind == SOURCE_RANK && policy->source_count == 0)
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the policy source_rank of trait \"%s\" has no sources", trait),
				 errhint("List them, the best first: {\"policy\": \"source_rank\", \"sources\": [\"crm\", \"shop\"]}.")));
	return true;
}

/* Is this {"trait": {"policy": ..., "sources": ...}, ...}? false when an error was saved */
static bool
check_policy(const Jsonb *document, Node *escontext)
{
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;
	Policy		policy;

	if (!JB_ROOT_IS_OBJECT(document))
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the policy is not an object"),
				 errhint("Write {\"trait\": {\"policy\": \"oldest\"}, \"*\": {\"policy\": \"most_recent\"}}.")));
	it = JsonbIteratorInit(&unconstify(Jsonb *, document)->root);
	(void) JsonbIteratorNext(&it, &key, false);
	while (JsonbIteratorNext(&it, &key, false) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		if (!parse_policy(shown(key.val.string.val, key.val.string.len), &value, &policy, escontext))
			return false;
	}
	return true;
}

/* The policy of a trait: its own, or that of "*", or the most recent value */
static void
find_policy(const Jsonb *document, const char *trait, int trait_size, Policy *policy)
{
	JsonbContainer *container;
	const JsonbValue *found;

	memset(policy, 0, sizeof(Policy));
	if (document == NULL)
		return;
	container = &unconstify(Jsonb *, document)->root;
	found = getKeyJsonValueFromContainer(container, trait, trait_size, NULL);
	if (found == NULL)
		found = getKeyJsonValueFromContainer(container, ANY_TRAIT, (int) strlen(ANY_TRAIT), NULL);
	if (found != NULL)
		(void) parse_policy(shown(trait, trait_size), found, policy, NULL);
}

static bool
same_policy(const Jsonb *a, const Jsonb *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

static int
source_rank(const Policy *policy, const Entry *e)
{
	int			low = 0;
	int			high = policy->source_count;

	if (e->source_size < 0)
		return policy->source_count;
	/* the first of those with the name */
	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		const RankedSource *s = &policy->sources[middle];

		if (compare_bytes(s->name, (uint32) s->size, entry_source(e), (uint32) e->source_size) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < policy->source_count && policy->sources[low].size == e->source_size &&
		memcmp(policy->sources[low].name, entry_source(e), (size_t) e->source_size) == 0)
		return policy->sources[low].rank;
	return policy->source_count;
}

/*--------------------------------------------------------------------------------------------------------
 * Which value wins
 *--------------------------------------------------------------------------------------------------------
 */

/* A jsonb value as part of another one */
static void
as_part(const Jsonb *value, JsonbValue *part)
{
	JsonbContainer *root = &unconstify(Jsonb *, value)->root;

	if (JB_ROOT_IS_SCALAR(value) && JsonbExtractScalar(root, part))
		return;
	part->type = jbvBinary;
	part->val.binary.data = root;
	part->val.binary.len = (int) (VARSIZE(value) - VARHDRSZ);
}

static bool
is_null(const Entry *e)
{
	JsonbValue	part;

	as_part(entry_value(e), &part);
	return part.type == jbvNull;
}

static bool
is_number(const Entry *e)
{
	JsonbValue	part;

	as_part(entry_value(e), &part);
	return part.type == jbvNumeric;
}

/* null, "", [] or {} */
static bool
is_empty(const Entry *e)
{
	JsonbValue	part;

	as_part(entry_value(e), &part);
	return part.type == jbvNull || (part.type == jbvString && part.val.string.len == 0) ||
		(part.type == jbvBinary && JsonContainerSize(part.val.binary.data) == 0);
}

/*
 * The order of jsonb: null, strings, numbers, booleans, arrays, objects. Taken at its word: core lets an empty array
 * at the top go before null, "for historical reasons".
 */
static int
compare_jsonb(const Jsonb *a, const Jsonb *b)
{
	if (JB_ROOT_IS_SCALAR(a) != JB_ROOT_IS_SCALAR(b))
		return JB_ROOT_IS_SCALAR(a) ? -1 : 1;
	return compareJsonbContainers(&unconstify(Jsonb *, a)->root, &unconstify(Jsonb *, b)->root);
}

/* The same, and by their text where they are equal but written differently: 1 and 1.0 */
static int
compare_spelled_jsonb(const Jsonb *a, const Jsonb *b)
{
	int			result;

	if (VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0)
		return 0;
	result = compare_jsonb(a, b);
	if (result == 0)
		result = strcmp(JsonbToCString(NULL, &unconstify(Jsonb *, a)->root, VARSIZE(a)),
						JsonbToCString(NULL, &unconstify(Jsonb *, b)->root, VARSIZE(b)));
	return result;
}

static int
compare_values(const Entry *a, const Entry *b)
{
	return compare_jsonb(entry_value(a), entry_value(b));
}

/* Negative when a goes before b, both of one time: better source, greater value, name of the source */
static int
compare_ties(const Candidate *a, const Candidate *b)
{
	int			result = a->rank - b->rank;

	if (result == 0)
		result = compare_spelled_jsonb(entry_value(b->entry), entry_value(a->entry));
	if (result == 0)
		result = compare_sources(a->entry, b->entry);
	return result;
}

/* Negative when a goes before b: the later one does */
static int
compare_recency(const Candidate *a, const Candidate *b)
{
	if (a->entry->last_at != b->entry->last_at)
		return (a->entry->last_at > b->entry->last_at) ? -1 : 1;
	return compare_ties(a, b);
}

/* Negative when a goes before b: the one that was said first does */
static int
compare_age(const Candidate *a, const Candidate *b)
{
	if (a->entry->first_at != b->entry->first_at)
		return (a->entry->first_at < b->entry->first_at) ? -1 : 1;
	return compare_ties(a, b);
}

static int
compare_rank(const Candidate *a, const Candidate *b)
{
	return (a->rank != b->rank) ? a->rank - b->rank : compare_recency(a, b);
}

static int
compare_greatest(const Candidate *a, const Candidate *b)
{
	int			result = compare_values(b->entry, a->entry);

	return (result != 0) ? result : compare_recency(a, b);
}

static int
compare_least(const Candidate *a, const Candidate *b)
{
	int			result = compare_values(a->entry, b->entry);

	return (result != 0) ? result : compare_recency(a, b);
}

static int
sort_by_recency(const void *a, const void *b)
{
	return compare_recency(a, b);
}

static int
sort_by_rank(const void *a, const void *b)
{
	return compare_rank(a, b);
}

static int
sort_by_value(const void *a, const void *b)
{
	return compare_least(a, b);
}

/* The candidate that goes before all others, among those that are not left out; NULL when there is none */
static const Candidate *
first_of(const Outcome *o, int (*compare) (const Candidate *, const Candidate *), bool (*leave_out) (const Entry *))
{
	const Candidate *best = NULL;

	for (int i = 0; i < o->count; i++)
	{
		const Candidate *c = &o->candidates[i];

		if (leave_out != NULL && leave_out(c->entry))
			continue;
		if (best == NULL || compare(c, best) < 0)
			best = c;
	}
	return best;
}

/* The value said most often; of equals the least one. What is told of it is its latest observation. */
static const Candidate *
most_frequent(Outcome *o)
{
	const Candidate *best = NULL;
	int64		best_times = 0;
	int			next;

	qsort(o->candidates, (size_t) o->count, sizeof(Candidate), sort_by_value);
	for (int i = 0; i < o->count; i = next)
	{
		int64		times = 0;

		/* a run of equal values, its latest in front */
		for (next = i; next < o->count; next++)
		{
			if (compare_values(o->candidates[next].entry, o->candidates[i].entry) != 0)
				break;
			if (pg_add_s64_overflow(times, o->candidates[next].entry->times, &times))
				times = PG_INT64_MAX;
		}
		if (times > best_times && !is_null(o->candidates[i].entry))
		{
			best = &o->candidates[i];
			best_times = times;
		}
	}
	return best;
}

/* The latest word of the best source that has not taken its value back */
static const Candidate *
best_source(Outcome *o)
{
	qsort(o->candidates, (size_t) o->count, sizeof(Candidate), sort_by_rank);
	for (int i = 0; i < o->count; i++)
	{
		if ((i == 0 || o->candidates[i - 1].rank != o->candidates[i].rank) && !is_null(o->candidates[i].entry))
			return &o->candidates[i];
	}
	return NULL;
}

/* The sum of the numbers, each as often as it was said; other values are no part of it */
static const Jsonb *
sum_of_numbers(Outcome *o)
{
	JsonbValue	sum;
	bool		any = false;

	for (int i = 0; i < o->count; i++)
	{
		Candidate  *c = &o->candidates[i];
		JsonbValue	number;
		Datum		product;

		CHECK_FOR_INTERRUPTS();
		if (!is_number(c->entry))
			continue;
		c->supports = true;
		as_part(entry_value(c->entry), &number);
		product = NumericGetDatum(number.val.numeric);
		if (c->entry->times != 1)
			product = DirectFunctionCall2(numeric_mul, product, NumericGetDatum(int64_to_numeric(c->entry->times)));
		if (any)
			product = DirectFunctionCall2(numeric_add, NumericGetDatum(sum.val.numeric), product);
		sum.type = jbvNumeric;
		sum.val.numeric = DatumGetNumeric(product);
		any = true;
	}
	return any ? JsonbValueToJsonb(&sum) : NULL;
}

/* Of equal values the one whose text is the greatest goes first, and stays */
static int
sort_elements(const void *a, const void *b)
{
	const Jsonb *x = *(Jsonb *const *) a;
	const Jsonb *y = *(Jsonb *const *) b;
	int			result = compare_jsonb(x, y);

	return (result != 0) ? result : compare_spelled_jsonb(y, x);
}

/* Values, and the elements of values that are arrays, to be put together */
typedef struct Elements
{
	Jsonb	  **values;
	Size		count;
	Size		capacity;
} Elements;

static void
add_element(Elements *all, Jsonb *value)
{
	if (all->count == all->capacity)
	{
		if (all->capacity > MaxAllocSize / sizeof(Jsonb *) / 2)
			report_too_large();
		all->capacity *= 2;
		all->values = repalloc(all->values, all->capacity * sizeof(Jsonb *));
	}
	all->values[all->count++] = value;
}

static void
add_elements_of(Elements *all, const Entry *e)
{
	JsonbIterator *it;
	JsonbValue	element;

	if (!JB_ROOT_IS_ARRAY(entry_value(e)) || JB_ROOT_IS_SCALAR(entry_value(e)))
	{
		add_element(all, entry_value(e));
		return;
	}
	it = JsonbIteratorInit(&entry_value(e)->root);
	(void) JsonbIteratorNext(&it, &element, false);
	while (JsonbIteratorNext(&it, &element, true) == WJB_ELEM)
	{
		if (element.type != jbvNull)
			add_element(all, JsonbValueToJsonb(&element));
	}
}

/* The different values in their order, as an array; a value that is an array gives its elements, null nothing */
static const Jsonb *
union_of_values(Outcome *o)
{
	Elements	all;
	JsonbParseState *state = NULL;
	JsonbValue	part;
	bool		any = false;

	all.count = 0;
	all.capacity = 16;
	all.values = palloc(all.capacity * sizeof(Jsonb *));
	for (int i = 0; i < o->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_null(o->candidates[i].entry))
			continue;
		o->candidates[i].supports = true;
		any = true;
		add_elements_of(&all, o->candidates[i].entry);
	}
	if (!any)
		return NULL;
	qsort(all.values, all.count, sizeof(Jsonb *), sort_elements);
	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (Size i = 0; i < all.count; i++)
	{
		if (i > 0 && compare_jsonb(all.values[i - 1], all.values[i]) == 0)
			continue;
		as_part(all.values[i], &part);
		(void) pushJsonbValue(&state, WJB_ELEM, &part);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

static bool
is_not_number(const Entry *e)
{
	return !is_number(e);
}

/* Sum and union: made of many entries, of which the latest is told of */
static void
settle_derived(Outcome *o)
{
	bool		sum = (o->policy.kind == SUM_VALUES);
	const Candidate *latest = first_of(o, compare_recency, sum ? is_not_number : is_null);

	if (latest == NULL)
		latest = first_of(o, compare_recency, NULL);
	o->decided = latest->entry;
	o->value = sum ? sum_of_numbers(o) : union_of_values(o);
}

static const Candidate *
choose(Outcome *o)
{
	switch (o->policy.kind)
	{
		case OLDEST:
			return first_of(o, compare_age, is_null);
		case MOST_FREQUENT:
			return most_frequent(o);
		case SOURCE_RANK:
			return best_source(o);
		case MAX_VALUE:
			return first_of(o, compare_greatest, is_null);
		case MIN_VALUE:
			return first_of(o, compare_least, is_null);
		case NON_EMPTY:
			return first_of(o, compare_recency, is_empty);
		default:
			return first_of(o, compare_recency, NULL);
	}
}

/* Decide the trait whose entries begin at *next, and go on to the next trait; false at the end */
static bool
next_outcome(const Record *r, int *next, Outcome *o)
{
	int			first = *next;
	const Candidate *winner;

	if (first >= r->count)
		return false;
	CHECK_FOR_INTERRUPTS();
	while (*next < r->count && compare_traits(r->entries[*next], r->entries[first]) == 0)
		(*next)++;

	memset(o, 0, sizeof(Outcome));
	o->trait = entry_trait(r->entries[first]);
	o->trait_size = (int) r->entries[first]->trait_size;
	find_policy(r->policy, o->trait, o->trait_size, &o->policy);
	o->count = *next - first;
	o->candidates = palloc((Size) o->count * sizeof(Candidate));
	for (int i = 0; i < o->count; i++)
	{
		o->candidates[i].entry = r->entries[first + i];
		o->candidates[i].rank = source_rank(&o->policy, r->entries[first + i]);
		o->candidates[i].supports = false;
	}

	if (o->policy.kind == SUM_VALUES || o->policy.kind == UNION_VALUES)
	{
		settle_derived(o);
		return true;
	}
	winner = choose(o);
	/* nothing but nulls, say: what stands last is told of */
	if (winner == NULL)
		o->decided = first_of(o, compare_recency, NULL)->entry;
	else
	{
		o->decided = winner->entry;
		if (!is_null(winner->entry))
			o->value = entry_value(winner->entry);
	}
	return true;
}

/* Find who said what won; only those who ask for it pay for it */
static void
mark_support(Outcome *o)
{
	if (o->policy.kind == SUM_VALUES || o->policy.kind == UNION_VALUES)
		return;
	for (int i = 0; i < o->count; i++)
		o->candidates[i].supports = (compare_values(o->candidates[i].entry, o->decided) == 0);
}

/*--------------------------------------------------------------------------------------------------------
 * Building JSON
 *--------------------------------------------------------------------------------------------------------
 */

static void
push_key(JsonbParseState **state, const char *key, int size)
{
	JsonbValue	k;

	k.type = jbvString;
	k.val.string.val = unconstify(char *, key);
	k.val.string.len = size;
	(void) pushJsonbValue(state, WJB_KEY, &k);
}

static void
push_string(JsonbParseState **state, const char *key, const char *string, int size)
{
	JsonbValue	v;

	push_key(state, key, (int) strlen(key));
	v.type = (string == NULL) ? jbvNull : jbvString;
	v.val.string.val = unconstify(char *, string);
	v.val.string.len = size;
	(void) pushJsonbValue(state, WJB_VALUE, &v);
}

/* A time in UTC, so that the text does not depend on the session */
static char *
time_text(int64 at)
{
	char	   *text = palloc(MAXDATELEN + 1);
	int			utc = 0;

	JsonEncodeDateTime(text, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc);
	return text;
}

static void
push_time(JsonbParseState **state, const char *key, int64 at)
{
	char	   *text = time_text(at);

	push_string(state, key, text, (int) strlen(text));
}

static void
push_entry(JsonbParseState **state, const Entry *e)
{
	JsonbValue	part;

	(void) pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_key(state, "value", 5);
	as_part(entry_value(e), &part);
	(void) pushJsonbValue(state, WJB_VALUE, &part);
	push_string(state, "source", e->source_size < 0 ? NULL : entry_source(e), e->source_size);
	push_time(state, "observed_at", e->last_at);
	push_time(state, "first_observed_at", e->first_at);
	push_key(state, "observations", 12);
	part.type = jbvNumeric;
	part.val.numeric = int64_to_numeric(e->times);
	(void) pushJsonbValue(state, WJB_VALUE, &part);
	(void) pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* The entries that won, or those that did not, the latest first */
static Jsonb *
list_entries(const Outcome *o, bool supports)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < o->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (o->candidates[i].supports == supports)
			push_entry(&state, o->candidates[i].entry);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL));
}

/*--------------------------------------------------------------------------------------------------------
 * Aggregates
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_golden_record_observe);
PG_FUNCTION_INFO_V1(cxm_golden_record_observe_by_policy);
PG_FUNCTION_INFO_V1(cxm_golden_record_add);
PG_FUNCTION_INFO_V1(cxm_golden_record_with_policy);

/* The observations of one row, in arguments 1 to 3 */
static void
observe(FunctionCallInfo fcinfo, ExpandedRecord *x)
{
	Jsonb	   *traits = PG_GETARG_JSONB_P(1);
	text	   *source = PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3);
	int64		at;
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(traits))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("traits are not an object"),
				 errhint("Give {\"name\": value, ...}.")));
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("traits have no time"),
				 errhint("Give the time at which they held, or leave them out with FILTER (WHERE ...).")));
	at = PG_GETARG_TIMESTAMPTZ(2);
	it = JsonbIteratorInit(&traits->root);
	(void) JsonbIteratorNext(&it, &key, false);
	while (JsonbIteratorNext(&it, &key, false) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		add_entry(x, key.val.string.val, key.val.string.len, JsonbValueToJsonb(&value),
				  source == NULL ? NULL : VARDATA_ANY(source), source == NULL ? 0 : (int) VARSIZE_ANY_EXHDR(source),
				  at, at, 1);
	}
}

/* What one row says, read by the default policy */
Datum
cxm_golden_record_observe(PG_FUNCTION_ARGS)
{
	ExpandedRecord *x;

	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	x = state_arg(fcinfo);
	observe(fcinfo, x);
	PG_RETURN_DATUM(EOHPGetRWDatum(&x->hdr));
}

/* What one row says, and the policy by which it is to be read */
Datum
cxm_golden_record_observe_by_policy(PG_FUNCTION_ARGS)
{
	bool		first = PG_ARGISNULL(0);
	const Jsonb *policy;
	ExpandedRecord *x;

	if (PG_ARGISNULL(1))
	{
		if (first)
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	policy = PG_ARGISNULL(4) ? NULL : PG_GETARG_JSONB_P(4);
	x = state_arg(fcinfo);
	if (first)
	{
		if (policy != NULL)
			(void) check_policy(policy, NULL);
		set_policy(x, policy);
	}
	else if (!same_policy(x->record.policy, policy))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the policy is not the same in all rows"),
				 errhint("Give one policy for all observations of a golden record.")));
	observe(fcinfo, x);
	PG_RETURN_DATUM(EOHPGetRWDatum(&x->hdr));
}

/* All observations of both; the combine function of the aggregates and the transition function of rollup() */
Datum
cxm_golden_record_add(PG_FUNCTION_ARGS)
{
	const Record *r = record_arg(fcinfo, 1);
	ExpandedRecord *x = state_arg(fcinfo);

	if (!same_policy(x->record.policy, r->policy))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("golden records with different policies do not go together"),
				 errhint("Give them one policy with cxm.with_policy(record, policy).")));
	add_record(x, r);
	PG_RETURN_DATUM(EOHPGetRWDatum(&x->hdr));
}

/* The same observations under another policy */
Datum
cxm_golden_record_with_policy(PG_FUNCTION_ARGS)
{
	const Record *r = record_arg(fcinfo, 0);
	const Jsonb *policy = PG_GETARG_JSONB_P(1);
	ExpandedRecord *x;

	(void) check_policy(policy, NULL);
	x = new_record(CurrentMemoryContext);
	set_policy(x, policy);
	add_record(x, r);
	PG_RETURN_DATUM(flat_datum(x));
}

/*--------------------------------------------------------------------------------------------------------
 * Accessors
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_golden_record_traits);
PG_FUNCTION_INFO_V1(cxm_golden_record_provenance);

/* {"trait": value, ...} */
Datum
cxm_golden_record_traits(PG_FUNCTION_ARGS)
{
	const Record *r = record_arg(fcinfo, 0);
	JsonbParseState *state = NULL;
	Outcome		o;
	JsonbValue	part;
	int			next = 0;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while (next_outcome(r, &next, &o))
	{
		if (o.value == NULL)
			continue;
		push_key(&state, o.trait, o.trait_size);
		as_part(o.value, &part);
		(void) pushJsonbValue(&state, WJB_VALUE, &part);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* What provenance() keeps between its rows */
typedef struct Reading
{
	const Record *record;
	int			next;
} Reading;

static void
provenance_start(FunctionCallInfo fcinfo)
{
	FuncCallContext *funcctx = SRF_FIRSTCALL_INIT();
	MemoryContext oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
	Reading    *reading = palloc0(sizeof(Reading));

	reading->record = record_arg(fcinfo, 0);
	if (get_call_result_type(fcinfo, NULL, &funcctx->tuple_desc) != TYPEFUNC_COMPOSITE ||
		funcctx->tuple_desc->natts != 7)
		elog(ERROR, "unexpected result type");
	funcctx->tuple_desc = BlessTupleDesc(funcctx->tuple_desc);
	funcctx->user_fctx = reading;
	MemoryContextSwitchTo(oldcontext);
}

/* A row a trait: trait, value, source, time, what was beaten, policy, what supports the value */
Datum
cxm_golden_record_provenance(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	Reading    *reading;
	Outcome		o;
	Datum		values[7];
	bool		nulls[7] = {false};

	if (SRF_IS_FIRSTCALL())
		provenance_start(fcinfo);
	funcctx = SRF_PERCALL_SETUP();
	reading = funcctx->user_fctx;
	if (!next_outcome(reading->record, &reading->next, &o))
		SRF_RETURN_DONE(funcctx);

	mark_support(&o);
	qsort(o.candidates, (size_t) o.count, sizeof(Candidate), sort_by_recency);
	values[0] = PointerGetDatum(cstring_to_text_with_len(o.trait, o.trait_size));
	nulls[1] = (o.value == NULL);
	values[1] = PointerGetDatum(o.value);
	nulls[2] = (o.decided->source_size < 0);
	if (!nulls[2])
		values[2] = PointerGetDatum(cstring_to_text_with_len(entry_source(o.decided), o.decided->source_size));
	values[3] = TimestampTzGetDatum(o.policy.kind == OLDEST ? o.decided->first_at : o.decided->last_at);
	values[4] = JsonbPGetDatum(list_entries(&o, false));
	values[5] = CStringGetTextDatum(policy_names[o.policy.kind]);
	values[6] = JsonbPGetDatum(list_entries(&o, true));
	SRF_RETURN_NEXT(funcctx, HeapTupleGetDatum(heap_form_tuple(funcctx->tuple_desc, values, nulls)));
}

/*--------------------------------------------------------------------------------------------------------
 * Input and output
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_golden_record_in);
PG_FUNCTION_INFO_V1(cxm_golden_record_out);
PG_FUNCTION_INFO_V1(cxm_golden_record_recv);
PG_FUNCTION_INFO_V1(cxm_golden_record_send);

/* Call an input function of core; false when an error was saved */
static bool
input(PGFunction function, char *text, Node *escontext, Datum *result)
{
#if PG_VERSION_NUM >= 160000
	return DirectInputFunctionCallSafe(function, text, InvalidOid, -1, escontext, result);
#else
	*result = DirectFunctionCall3(function, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	return true;
#endif
}

static bool
invalid(const char *detail, Node *escontext)
{
	ereturn(escontext, false,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input for type %s", "cxm.golden_record"),
			 errdetail("%s", detail)));
}

/* A time as time_text() writes it, and nothing else: no "now", nothing that depends on the session */
static bool
parse_time(const JsonbValue *value, int64 *at, Node *escontext)
{
	char	   *text;
	Datum		datum;

	if (value == NULL || value->type != jbvString)
		return invalid("A time is missing or not a string.", escontext);
	text = pnstrdup(value->val.string.val, value->val.string.len);
	if (!input(timestamptz_in, text, escontext, &datum))
		return false;
	*at = DatumGetTimestampTz(datum);
	if (strcmp(time_text(*at), text) != 0)
		return invalid("A time is not written as in 2025-01-31T12:00:00+00:00.", escontext);
	return true;
}

static bool
parse_times(const JsonbValue *value, int64 *times, Node *escontext)
{
	char	   *text;
	char	   *end;
	long long	number;

	if (value == NULL || value->type != jbvNumeric)
		return invalid("The number of observations is missing or not a number.", escontext);
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || number < 1)
		return invalid("The number of observations is not a positive bigint.", escontext);
	*times = (int64) number;
	return true;
}

static const JsonbValue *
key_of(JsonbContainer *object, const char *key)
{
	return getKeyJsonValueFromContainer(object, key, (int) strlen(key), NULL);
}

/* {"trait": ..., "value": ..., "source": ..., "first_at": ..., "last_at": ..., "times": ...} */
static bool
parse_entry(ExpandedRecord *x, const JsonbValue *entry, Node *escontext)
{
	JsonbContainer *object;
	const JsonbValue *trait;
	const JsonbValue *source;
	JsonbValue *value;
	int64		first_at;
	int64		last_at;
	int64		times;

	if (entry->type != jbvBinary || !JsonContainerIsObject(entry->val.binary.data) ||
		JsonContainerSize(entry->val.binary.data) != 6)
		return invalid("An observation is not an object with the keys trait, value, source, first_at, last_at and times.",
					   escontext);
	object = entry->val.binary.data;
	trait = key_of(object, "trait");
	value = unconstify(JsonbValue *, key_of(object, "value"));
	source = key_of(object, "source");
	if (trait == NULL || trait->type != jbvString)
		return invalid("A trait is missing or not a string.", escontext);
	if (value == NULL)
		return invalid("A value is missing.", escontext);
	if (source == NULL || (source->type != jbvString && source->type != jbvNull))
		return invalid("A source is missing or neither a string nor null.", escontext);
	if (!parse_time(key_of(object, "first_at"), &first_at, escontext) ||
		!parse_time(key_of(object, "last_at"), &last_at, escontext) ||
		!parse_times(key_of(object, "times"), &times, escontext))
		return false;
	if (first_at > last_at || (times == 1 && first_at != last_at))
		return invalid("The times of an observation contradict each other.", escontext);
	add_entry(x, trait->val.string.val, trait->val.string.len, JsonbValueToJsonb(value),
			  source->type == jbvNull ? NULL : source->val.string.val,
			  source->type == jbvNull ? 0 : source->val.string.len, first_at, last_at, times);
	return true;
}

/* {"policy": {...}, "observations": [...]}; the policy may be missing. NULL when an error was saved. */
static ExpandedRecord *
parse_record(char *text, Node *escontext)
{
	ExpandedRecord *x = new_record(CurrentMemoryContext);
	Jsonb	   *document;
	Datum		datum;
	const JsonbValue *observations;
	JsonbValue *policy;
	JsonbIterator *it;
	JsonbValue	element;

	if (!input(jsonb_in, text, escontext, &datum))
		return NULL;
	document = DatumGetJsonbP(datum);
	if (!JB_ROOT_IS_OBJECT(document))
	{
		(void) invalid("It is not an object.", escontext);
		return NULL;
	}
	observations = key_of(&document->root, "observations");
	policy = unconstify(JsonbValue *, key_of(&document->root, "policy"));
	if (observations == NULL || observations->type != jbvBinary ||
		!JsonContainerIsArray(observations->val.binary.data) ||
		JB_ROOT_COUNT(document) != (policy == NULL ? 1 : 2))
	{
		(void) invalid("It has not the keys policy and observations, or the latter are not an array.", escontext);
		return NULL;
	}
	if (policy != NULL)
	{
		const Jsonb *checked = JsonbValueToJsonb(policy);

		if (!check_policy(checked, escontext))
			return NULL;
		set_policy(x, checked);
	}
	it = JsonbIteratorInit(observations->val.binary.data);
	(void) JsonbIteratorNext(&it, &element, false);
	while (JsonbIteratorNext(&it, &element, true) == WJB_ELEM)
	{
		CHECK_FOR_INTERRUPTS();
		if (!parse_entry(x, &element, escontext))
			return NULL;
	}
	return x;
}

static void
append_string(StringInfo out, const char *string, int size)
{
	char	   *copy = pnstrdup(string, size);

	escape_json(out, copy);
	pfree(copy);
}

static void
format_record(const Record *r, StringInfo out)
{
	appendStringInfoChar(out, '{');
	if (r->policy != NULL)
	{
		appendStringInfoString(out, "\"policy\": ");
		(void) JsonbToCString(out, &unconstify(Jsonb *, r->policy)->root, VARSIZE(r->policy));
		appendStringInfoString(out, ", ");
	}
	appendStringInfoString(out, "\"observations\": [");
	for (int i = 0; i < r->count; i++)
	{
		const Entry *e = r->entries[i];

		CHECK_FOR_INTERRUPTS();
		appendStringInfoString(out, i > 0 ? ", {\"trait\": " : "{\"trait\": ");
		append_string(out, entry_trait(e), (int) e->trait_size);
		appendStringInfoString(out, ", \"value\": ");
		(void) JsonbToCString(out, &entry_value(e)->root, (int) e->value_size);
		appendStringInfoString(out, ", \"source\": ");
		if (e->source_size < 0)
			appendStringInfoString(out, "null");
		else
			append_string(out, entry_source(e), e->source_size);
		appendStringInfo(out, ", \"first_at\": \"%s\", \"last_at\": \"%s\", \"times\": " INT64_FORMAT "}",
						 time_text(e->first_at), time_text(e->last_at), e->times);
	}
	appendStringInfoString(out, "]}");
}

/* Text to golden record */
Datum
cxm_golden_record_in(PG_FUNCTION_ARGS)
{
	ExpandedRecord *x = parse_record(PG_GETARG_CSTRING(0), fcinfo->context);

	if (x == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(flat_datum(x));
}

/* Golden record to text */
Datum
cxm_golden_record_out(PG_FUNCTION_ARGS)
{
	StringInfoData out;

	initStringInfo(&out);
	format_record(record_arg(fcinfo, 0), &out);
	PG_RETURN_CSTRING(out.data);
}

/* Binary form to golden record: the version, then the text */
Datum
cxm_golden_record_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			version = pq_getmsgbyte(buf);
	int			size;

	if (version != GOLDEN_RECORD_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of type %s", "cxm.golden_record"),
				 errdetail("Version %d.", version)));
	PG_RETURN_DATUM(flat_datum(parse_record(pq_getmsgtext(buf, buf->len - buf->cursor, &size), NULL)));
}

/* Golden record to binary form */
Datum
cxm_golden_record_send(PG_FUNCTION_ARGS)
{
	StringInfoData out;
	StringInfoData buf;

	initStringInfo(&out);
	format_record(record_arg(fcinfo, 0), &out);
	pq_begintypsend(&buf);
	pq_sendint8(&buf, GOLDEN_RECORD_VERSION);
	pq_sendtext(&buf, out.data, out.len);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}
