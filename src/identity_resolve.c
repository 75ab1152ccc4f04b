/*
 * src/identity_resolve.c
 *		From links that came, changed or were retired to the profiles that follow.
 *
 * The standing profiles at the ends of the changed links are locked in one
 * order, and what is read after that stays till the end of the transaction.
 * Locking happens in a subtransaction: where a profile turns out to have
 * changed before it was locked, or where more profiles are concerned than was
 * thought, all locks are given back and the attempt begins anew.  So single
 * statements never wait for each other in a circle.
 *
 * Most changes are settled from the counts kept on the profiles alone: if all
 * that the new links join may be one person, it is one (see identity_core.c
 * for why that is exact).  Otherwise the region is solved link by link: the
 * profiles concerned, and as many around them as the outcome reaches.
 *
 * Every change touches the rows of the profiles concerned, so a transaction
 * with an older snapshot gets 40001 when it locks them.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "identity.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/itemptr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* an identifier in the region, or one outside at the end of a link that leads there */
typedef struct Member
{
	int64		id;
	int64		stub;			/* profile_id in its row */
	uint64		hash;
	TimestampTz at;
	uint32		namespace;
	uint32		cluster;		/* CXM_NOWHERE when it is fresh */
	uint32		fresh;			/* CXM_NOWHERE when it is not */
	uint32		part;			/* result, inside the region */
	uint8		was;			/* quarantine as it stands in the row ... */
	uint8		is;				/* ... and as it is from now on */
	bool		is_known;
	bool		is_kept_apart;
	bool		is_outside;
} Member;

/* a standing profile */
typedef struct Cluster
{
	int64		id;
	TransactionId xmin;
	ItemPointerData ctid;
	int32	   *counts;			/* by namespace_id - 1 */
	uint64		weakest;
	TimestampTz weakest_at;
	bool		is_known;
	bool		is_kept_apart;
	bool		is_exclusive;	/* the lock that is wanted */
	bool		is_locked;
	bool		is_in_region;
	bool		is_core;		/* links of its own changed */
	bool		is_changed;		/* the solution differs from what it is */
	uint32		part;			/* of one of its identifiers */
	int64		via;			/* the link that changed it */
	bool		via_retired;
} Cluster;

/* a link in the region */
typedef struct LinkRow
{
	int64		link_id;
	double		probability;
	bool		has_evidence;
	uint8		refused;		/* as it stands in the row ... */
	uint8		solved;			/* ... and as it is from now on */
} LinkRow;

/* what is to be written */
typedef struct Relabel
{
	int64		profile_id;
	int64		from;
	int64		to;
	int64		link_id;
	bool		is_retired;
} Relabel;

typedef struct Move
{
	int64		identifier_id;
	int64		stub;
	int64		from;			/* 0: a fresh one, which was nowhere before */
	int64		to;
	int64		link_id;
	bool		is_retired;
} Move;

typedef struct Flag
{
	int64		id;
	uint8		flag;			/* CxmRefusal */
} Flag;

typedef struct Resolve
{
	const CxmRules *rules;
	const CxmChange *given;
	Size		ngiven;
	const CxmFresh *fresh;
	Size		nfresh;
	const CxmLabel *labels;		/* what the caller has read; good for the first attempt */
	Size		nlabels;
	text	   *retired_reason;
	bool		is_everything;
	bool		never_waits;	/* for a profile that somebody else has locked */
	CxmDirect  *direct;			/* NULL where statements have to be run */
	bool		is_direct;		/* this attempt does without, as far as it goes */
	bool		has_own_rows;	/* and changes no others but profiles than it has written */

	/* of all attempts */
	CxmIdMap	fresh_of;
	CxmVector	extra;			/* int64: profiles that have to be locked, too */

	/* of this attempt */
	CxmChange  *changes;		/* those given, without what somebody else has retired meanwhile */
	Size		nchanges;
	CxmIdMap	pending_of;		/* changes by link_id */
	CxmVector	members;
	CxmIdMap	member_of;
	CxmVector	clusters;
	CxmIdMap	cluster_of;
	CxmVector	ids;			/* int64: to be looked up */
	bool		is_stale;
	bool		gives_way;		/* to others: it is to give back its locks at once */

	/* the groups: of so many clusters, and the fresh identifiers */
	struct LinkGroup *groups;
	uint32		nclusters;

	/* the region */
	CxmVector	links;			/* CxmIdentityLink */
	CxmVector	rows;			/* LinkRow, by the tag of the link */
	CxmIdMap	row_of;
	CxmVector	entered;		/* uint32: members in it whose links have not been read */
	Size		nfollowed;		/* links from which all neighbours have been taken */
	Size		nranked;		/* links whose strength is known */
	uint64		strength;		/* of the strongest change in it */
	bool		needs_locks;
	bool		has_region;
	bool		has_spread;		/* to groups that were not slow by themselves */
	CxmVector	parts;			/* Part */

	/* results */
	CxmIdMap	taken;			/* guesses of new profiles that have become true */
	CxmVector	merges;			/* Relabel of all stubs of a standing profile */
	CxmVector	relabels;
	CxmVector	moves;
	CxmVector	inserts;		/* CxmStanding */
	CxmVector	touches;		/* CxmStanding */
	CxmVector	refusals;		/* Flag */
	CxmVector	quarantines;	/* Flag */
} Resolve;

/*
 * Statements
 */
#define LABEL_COLUMNS \
	"i.identifier_id, i.namespace, i.profile_id, c.profile_id, i.quarantined, c.xmin, c.ctid"

static CxmQuery labels_query =
{
	.sql = "SELECT " LABEL_COLUMNS
	" FROM cx.identifier AS i"
	" LEFT JOIN cx.profile AS s ON s.profile_id = i.profile_id"
	" LEFT JOIN cx.profile AS c ON c.profile_id = s.canonical_id AND c.canonical_id = c.profile_id"
	" WHERE i.identifier_id = ANY ($1)",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

#define PROFILE_COLUMNS \
	"SELECT p.profile_id, p.canonical_id, p.xmin, p.ctid, p.counts, p.is_known, p.is_kept_apart, p.weakest," \
	" p.weakest_at FROM cx.profile AS p"
#define LOCK_COLUMNS PROFILE_COLUMNS " WHERE p.profile_id = ANY ($1) ORDER BY p.profile_id"

static CxmQuery all_profiles_query =
{
	.sql = PROFILE_COLUMNS " WHERE p.canonical_id = p.profile_id",
	.reads_all = true
};

static CxmQuery lock_query =
{
	.sql = LOCK_COLUMNS " FOR NO KEY UPDATE",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};
static CxmQuery lock_shared_query =
{
	.sql = LOCK_COLUMNS " FOR SHARE",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};
static CxmQuery lock_free_query =
{
	.sql = LOCK_COLUMNS " FOR NO KEY UPDATE SKIP LOCKED",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};
static CxmQuery lock_shared_free_query =
{
	.sql = LOCK_COLUMNS " FOR SHARE SKIP LOCKED",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

/* an upper bound of the fan-out, good enough for nearly all */
static CxmQuery rough_fanout_query =
{
	.sql = "SELECT x.id FROM unnest($1, $2) AS x(id, max)"
	" WHERE (SELECT count(*) FROM (SELECT FROM cx.link AS l"
	"  WHERE l.identifier_a = x.id AND l.retired_at IS NULL LIMIT x.max + 1) AS a)"
	" + (SELECT count(*) FROM (SELECT FROM cx.link AS l"
	"  WHERE l.identifier_b = x.id AND l.retired_at IS NULL LIMIT x.max + 1) AS b) > x.max",
	.nargs = 2,
	.types = {INT8ARRAYOID, INT8ARRAYOID}
};

/* neighbours at one end have greater ids, those at the other smaller ones, so none is counted twice */
static CxmQuery fanout_query =
{
	.sql = "SELECT (SELECT count(*) FROM (SELECT DISTINCT l.identifier_b FROM cx.link AS l"
	"  JOIN cx.identifier AS i ON i.identifier_id = l.identifier_b"
	"  JOIN cx.namespace AS n ON n.namespace = i.namespace"
	"  WHERE l.identifier_a = $1 AND l.identifier_b <> $1 AND l.retired_at IS NULL AND l.kind IN ('seen', 'matched')"
	"  AND i.quarantined IS DISTINCT FROM 'blocked' AND i.quarantined IS DISTINCT FROM 'malformed'"
	"  AND (n.max_per_profile IS NOT NULL OR n.is_unique) ORDER BY l.identifier_b LIMIT $2 + 1) AS a)"
	" + (SELECT count(*) FROM (SELECT DISTINCT l.identifier_a FROM cx.link AS l"
	"  JOIN cx.identifier AS i ON i.identifier_id = l.identifier_a"
	"  JOIN cx.namespace AS n ON n.namespace = i.namespace"
	"  WHERE l.identifier_b = $1 AND l.identifier_a <> $1 AND l.retired_at IS NULL AND l.kind IN ('seen', 'matched')"
	"  AND i.quarantined IS DISTINCT FROM 'blocked' AND i.quarantined IS DISTINCT FROM 'malformed'"
	"  AND (n.max_per_profile IS NOT NULL OR n.is_unique) ORDER BY l.identifier_a LIMIT $2 + 1) AS b)",
	.nargs = 2,
	.types = {INT8OID, INT8OID}
};

#define MEMBER_COLUMNS \
	"i.identifier_id, i.namespace, i.profile_id, p.canonical_id, i.quarantined," \
	" hashtextextended((i.namespace || ':' || i.value) COLLATE \"C\", 0)"

static CxmQuery members_query =
{
	.sql = "SELECT " MEMBER_COLUMNS
	" FROM cx.profile AS p JOIN cx.identifier AS i ON i.profile_id = p.profile_id"
	" WHERE p.profile_id = ANY ($1) AND p.canonical_id = p.profile_id"
	" UNION ALL SELECT " MEMBER_COLUMNS
	" FROM cx.profile AS p JOIN cx.identifier AS i ON i.profile_id = p.profile_id"
	" WHERE p.canonical_id = ANY ($1) AND p.canonical_id <> p.profile_id",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

static CxmQuery all_members_query =
{
	.sql = "SELECT " MEMBER_COLUMNS
	" FROM cx.profile AS p JOIN cx.identifier AS i ON i.profile_id = p.profile_id",
	.reads_all = true
};

#define LINK_COLUMNS \
	"SELECT l.link_id, l.identifier_a, l.identifier_b, l.kind, l.verified, l.evidence <> '', l.probability," \
	" l.observed_at, l.refused" \
	" FROM cx.link AS l WHERE l.retired_at IS NULL"

static CxmQuery links_query =
{
	.sql = LINK_COLUMNS " AND l.identifier_a = ANY ($1) UNION ALL " LINK_COLUMNS " AND l.identifier_b = ANY ($1)",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

static CxmQuery links_by_hand_query =
{
	.sql = LINK_COLUMNS " AND l.kind IN ('pinned', 'never') AND l.identifier_a = ANY ($1) UNION ALL "
	LINK_COLUMNS " AND l.kind IN ('pinned', 'never') AND l.identifier_b = ANY ($1)",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

static CxmQuery all_links_query =
{
	.sql = LINK_COLUMNS,
	.reads_all = true
};

static CxmQuery insert_profiles_query =
{
	.sql = "INSERT INTO cx.profile (profile_id, canonical_id, counts, is_known, is_kept_apart, weakest, weakest_at)"
	" SELECT n.id, n.id, n.counts::integer[], n.is_known, n.is_kept_apart, n.weakest, n.weakest_at"
	" FROM unnest($1, $2, $3, $4, $5, $6) AS n(id, counts, is_known, is_kept_apart, weakest, weakest_at)",
	.nargs = 6,
	.types = {INT8ARRAYOID, TEXTARRAYOID, BOOLARRAYOID, BOOLARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID}
};

#define NOTHING_KEPT \
	"counts = '{}', is_known = false, is_kept_apart = false, weakest = 0, weakest_at = '-infinity'"

/* all stubs of a standing profile go to another one; the changes of a step share their time, see cxm.merge_links() */
static CxmQuery merge_query =
{
	.sql = "WITH moved AS (UPDATE cx.profile AS p"
	" SET canonical_id = m.winner, changed_at = now(), " NOTHING_KEPT
	" FROM (SELECT u.loser AS stub, u.loser, u.winner, u.link_id FROM unnest($1, $2, $3) AS u(loser, winner, link_id)"
	"  UNION ALL SELECT s.profile_id, u.loser, u.winner, u.link_id FROM unnest($1, $2, $3) AS u(loser, winner, link_id)"
	"  JOIN cx.profile AS s ON s.canonical_id = u.loser AND s.canonical_id <> s.profile_id) AS m"
	" WHERE p.profile_id = m.stub RETURNING p.profile_id, m.loser, m.winner, m.link_id)"
	" INSERT INTO cx.identity_change (profile_id, from_profile, to_profile, link_id, cause, changed_at)"
	" SELECT d.profile_id, d.loser, d.winner, d.link_id, 'link', (SELECT clock_timestamp())"
	" FROM moved AS d ORDER BY d.profile_id",
	.nargs = 3,
	.types = {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}
};

static CxmQuery relabel_query =
{
	.sql = "WITH moved AS (UPDATE cx.profile AS p"
	" SET canonical_id = m.winner, changed_at = now(), " NOTHING_KEPT
	" FROM unnest($1, $2, $3, $4, $5) AS m(stub, loser, winner, link_id, cause)"
	" WHERE p.profile_id = m.stub RETURNING p.profile_id, m.loser, m.winner, m.link_id, m.cause)"
	" INSERT INTO cx.identity_change (profile_id, from_profile, to_profile, link_id, cause, changed_at)"
	" SELECT d.profile_id, d.loser, d.winner, nullif(d.link_id, 0), d.cause, (SELECT clock_timestamp())"
	" FROM moved AS d ORDER BY d.profile_id",
	.nargs = 5,
	.types = {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID}
};

static CxmQuery move_query =
{
	.sql = "WITH moved AS (UPDATE cx.identifier AS i SET profile_id = m.winner"
	" FROM unnest($1, $2, $3, $4, $5, $6) AS m(identifier_id, stub, loser, winner, link_id, cause)"
	" WHERE i.identifier_id = m.identifier_id"
	" RETURNING i.identifier_id, m.stub, m.loser, m.winner, m.link_id, m.cause)"
	" INSERT INTO cx.identity_change (profile_id, identifier_id, from_profile, to_profile, link_id, cause)"
	" SELECT d.stub, d.identifier_id, d.loser, d.winner, nullif(d.link_id, 0), d.cause FROM moved AS d"
	" WHERE d.loser <> 0 ORDER BY d.identifier_id",
	.nargs = 6,
	.types = {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID}
};

static CxmQuery touch_query =
{
	.sql = "UPDATE cx.profile AS p"
	" SET changed_at = now(), counts = t.counts::integer[], is_known = t.is_known, is_kept_apart = t.is_kept_apart,"
	"  weakest = t.weakest, weakest_at = t.weakest_at"
	" FROM unnest($1, $2, $3, $4, $5, $6) AS t(id, counts, is_known, is_kept_apart, weakest, weakest_at)"
	" WHERE p.profile_id = t.id",
	.nargs = 6,
	.types = {INT8ARRAYOID, TEXTARRAYOID, BOOLARRAYOID, BOOLARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID}
};

/*
 * The rows of links are changed under the locks of profiles only, here and
 * by refuse_query, so that whoever waits for one holds nothing that its
 * owner wants.
 */
static CxmQuery retire_query =
{
	.sql = "UPDATE cx.link AS l SET retired_at = now(), retired_by = session_user, retired_reason = $2"
	" WHERE l.link_id = ANY ($1) AND l.retired_at IS NULL RETURNING l.link_id, l.verified, l.observed_at, l.refused",
	.nargs = 2,
	.types = {INT8ARRAYOID, TEXTOID}
};

static CxmQuery strengthen_query =
{
	.sql = "UPDATE cx.link AS l SET verified = l.verified OR s.verified, observed_at = least(l.observed_at, s.at)"
	" FROM unnest($1, $2, $3) AS s(link_id, verified, at) WHERE l.link_id = s.link_id AND l.retired_at IS NULL"
	" RETURNING l.link_id, l.verified, l.observed_at, l.refused",
	.nargs = 3,
	.types = {INT8ARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID}
};

/* the same of one profile, which is the usual case */
static CxmQuery touch_one_query =
{
	.sql = "UPDATE cx.profile AS p SET changed_at = now(), counts = $2, is_known = $3, is_kept_apart = $4,"
	"  weakest = $5, weakest_at = $6 WHERE p.profile_id = $1",
	.nargs = 6,
	.types = {INT8OID, INT4ARRAYOID, BOOLOID, BOOLOID, INT8OID, TIMESTAMPTZOID}
};

static CxmQuery refuse_query =
{
	.sql = "UPDATE cx.link AS l SET refused = nullif(r.refused, '')"
	" FROM unnest($1, $2) AS r(id, refused) WHERE l.link_id = r.id",
	.nargs = 2,
	.types = {INT8ARRAYOID, TEXTARRAYOID}
};

static CxmQuery quarantine_query =
{
	.sql = "UPDATE cx.identifier AS i SET quarantined = nullif(q.quarantined, '')"
	" FROM unnest($1, $2) AS q(id, quarantined) WHERE i.identifier_id = q.id",
	.nargs = 2,
	.types = {INT8ARRAYOID, TEXTARRAYOID}
};

static CxmQuery next_ids_query =
{
	.sql = "SELECT nextval(s.name::regclass)"
	" FROM (SELECT pg_get_serial_sequence('cx.profile', 'profile_id') AS name OFFSET 0) AS s, generate_series(1, $1)",
	.nargs = 1,
	.types = {INT8OID}
};

/*
 * Reading
 */
static uint32
namespace_of(const Resolve *resolve, TupleTableSlot *slot, int column)
{
	return cxm_rules_find(resolve->rules, DatumGetTextPP(row_value(slot, column)));
}

static bool
is_static(uint8 quarantine)
{
	return quarantine == CXM_BLOCKED || quarantine == CXM_MALFORMED;
}

static Member *
member_at(const Resolve *resolve, uint32 i)
{
	return vector_at(&resolve->members, Member, i);
}

static Cluster *
cluster_at(const Resolve *resolve, uint32 i)
{
	return vector_at(&resolve->clusters, Cluster, i);
}

/* A member that is there, by its identifier_id */
static Member *
end_of(const Resolve *resolve, int64 id)
{
	return member_at(resolve, cxm_idmap_find(&resolve->member_of, id));
}

static uint32
add_member(Resolve *resolve, int64 id)
{
	uint32		i = (uint32) resolve->members.n;
	Member	   *member;

	if (!cxm_idmap_add(&resolve->member_of, id, i))
		return cxm_idmap_find(&resolve->member_of, id);
	member = cxm_vector_add(&resolve->members);
	member->id = id;
	member->cluster = CXM_NOWHERE;
	member->part = CXM_NOWHERE;
	member->at = PG_INT64_MAX;
	member->namespace = resolve->rules->n;
	member->fresh = cxm_idmap_find(&resolve->fresh_of, id);
	member->is_outside = true;
	if (member->fresh != CXM_NOWHERE)
	{
		const CxmFresh *fresh = &resolve->fresh[member->fresh];

		member->stub = fresh->guess;
		member->hash = fresh->hash;
		member->namespace = fresh->namespace;
		member->was = fresh->quarantine;
		member->is = fresh->quarantine;
	}
	return i;
}

static uint32
add_cluster(Resolve *resolve, int64 id)
{
	uint32		i = (uint32) resolve->clusters.n;
	Cluster    *cluster;

	if (!cxm_idmap_add(&resolve->cluster_of, id, i))
		return cxm_idmap_find(&resolve->cluster_of, id);
	cluster = cxm_vector_add(&resolve->clusters);
	cluster->id = id;
	cluster->part = CXM_NOWHERE;
	return i;
}

static void
read_counts(const Resolve *resolve, Datum value, int32 *counts)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (ARR_NDIM(array) > 1 || ARR_HASNULL(array))
		return;
	memcpy(counts, ARR_DATA_PTR(array), Min(n, resolve->rules->max_id) * sizeof(int32));
}

static int32 *
new_counts(const Resolve *resolve)
{
	return MemoryContextAllocZero(resolve->clusters.context, Max(resolve->rules->max_id, 1) * sizeof(int32));
}

static void
set_label(Resolve *resolve, const CxmLabel *label)
{
	Member	   *member = end_of(resolve, label->id);
	Cluster    *cluster;

	if (member->fresh != CXM_NOWHERE)
		return;
	member->namespace = label->namespace;
	member->stub = label->stub;
	member->was = label->quarantine;
	member->is = member->was;
	member->cluster = add_cluster(resolve, label->canonical);
	cluster = cluster_at(resolve, member->cluster);
	if (!cluster->is_locked)
	{
		cluster->xmin = label->xmin;
		cluster->ctid = label->ctid;
	}
	if (resolve->is_direct && cluster->counts == NULL && label->counts != NULL)
	{
		cluster->counts = new_counts(resolve);
		read_counts(resolve, PointerGetDatum(label->counts), cluster->counts);
		cluster->is_known = label->is_known;
		cluster->is_kept_apart = label->is_kept_apart;
		cluster->weakest = label->weakest;
		cluster->weakest_at = label->weakest_at;
	}
}

static void
read_label(TupleTableSlot *slot, void *state)
{
	Resolve    *resolve = state;
	CxmLabel	label = {.id = row_int64(slot, 1)};

	label.namespace = namespace_of(resolve, slot, 2);
	label.stub = row_int64(slot, 3);
	label.canonical = cxm_row_canonical(slot, 4, label.id);
	label.quarantine = cxm_row_refusal(slot, 5);
	label.xmin = DatumGetTransactionId(row_value(slot, 6));
	label.ctid = *(ItemPointer) DatumGetPointer(row_value(slot, 7));
	set_label(resolve, &label);
}

/* What was to be locked because it was in the region is no profile any more */
static void
forget_extra(Resolve *resolve, int64 id)
{
	Size		n = 0;

	for (Size i = 0; i < resolve->extra.n; i++)
	{
		int64		extra = *vector_at(&resolve->extra, int64, i);

		if (extra != id)
			*vector_at(&resolve->extra, int64, n++) = extra;
	}
	resolve->extra.n = n;
}

static void
read_lock(TupleTableSlot *slot, void *state)
{
	Resolve    *resolve = state;
	int64		id = row_int64(slot, 1);
	uint32		i = cxm_idmap_find(&resolve->cluster_of, id);
	Cluster    *cluster;

	if (row_int64(slot, 2) != id)
	{
		/* merged away meanwhile; a profile of the region is then found under its new name */
		forget_extra(resolve, id);
		if (i != CXM_NOWHERE)
			resolve->is_stale = true;

		/* its row may be changed by whoever has locked the one that it is in now, so nothing is waited for with it */
		if (!resolve->never_waits)
		{
			resolve->is_stale = true;
			resolve->gives_way = true;
			cxm_query_ends();
		}
		return;
	}
	if (i == CXM_NOWHERE)
	{
		/* only shared locks are chosen one by one */
		i = add_cluster(resolve, id);
		cluster_at(resolve, i)->is_exclusive = true;
	}
	else if (cluster_at(resolve, i)->xmin != DatumGetTransactionId(row_value(slot, 3))
			 || !ItemPointerEquals(&cluster_at(resolve, i)->ctid, (ItemPointer) DatumGetPointer(row_value(slot, 4))))
		resolve->is_stale = true;

	cluster = cluster_at(resolve, i);
	cluster->is_locked = true;
	cluster->counts = new_counts(resolve);
	read_counts(resolve, row_value(slot, 5), cluster->counts);
	cluster->is_known = row_bool(slot, 6);
	cluster->is_kept_apart = row_bool(slot, 7);
	cluster->weakest = (uint64) row_int64(slot, 8);
	cluster->weakest_at = row_int64(slot, 9);
}

static int
compare_ids(const void *x, const void *y)
{
	int64		a = *(const int64 *) x;
	int64		b = *(const int64 *) y;

	return (a > b) - (a < b);
}

static void
add_id(CxmVector *ids, int64 id)
{
	*(int64 *) cxm_vector_add(ids) = id;
}

static void
query_ids(Resolve *resolve, CxmQuery *query, CxmRowReader reader)
{
	Datum		args[1];

	if (resolve->ids.n == 0)
		return;
	args[0] = cxm_int8_array((int64 *) resolve->ids.data, resolve->ids.n);
	cxm_query(query, args, false, reader, resolve);
	pfree(DatumGetPointer(args[0]));
	resolve->ids.n = 0;
}

static void
read_next_id(TupleTableSlot *slot, void *state)
{
	int64	  **next = state;

	*(*next)++ = row_int64(slot, 1);
}

/* Statements are about to be run, which this call has done without so far */
static void
connect_statements(const Resolve *resolve)
{
	if (resolve->direct != NULL)
		cxm_connect(resolve->direct->connection);
}

/* New values for cx.profile.profile_id */
void
cxm_next_profile_ids(int64 *ids, Size n)
{
	Datum		args[1] = {Int64GetDatum(n)};

	if (n > 0)
		cxm_query(&next_ids_query, args, false, read_next_id, &ids);
}

/*
 * Locking
 */
static void
read_labels_directly(Resolve *resolve)
{
	for (Size i = 0; i < resolve->ids.n; i++)
	{
		CxmLabel	label = {0};

		/* who is not to be found stays without a profile, and is left to the statements */
		if (cxm_direct_read_identifier(resolve->direct, *vector_at(&resolve->ids, int64, i), &label)
			&& cxm_direct_read_profile(resolve->direct, &label))
			set_label(resolve, &label);
	}
	resolve->ids.n = 0;
}

/* The identifiers at the ends of the changed links, and the profiles that they are in */
static void
read_ends(Resolve *resolve)
{
	Size		nknown = 0;

	for (Size i = 0; i < resolve->nchanges; i++)
	{
		for (int end = 0; end < 2; end++)
		{
			int64		id = end == 0 ? resolve->changes[i].a : resolve->changes[i].b;

			if (cxm_idmap_find(&resolve->member_of, id) == CXM_NOWHERE
				&& member_at(resolve, add_member(resolve, id))->fresh == CXM_NOWHERE)
				add_id(&resolve->ids, id);
		}
	}
	for (Size i = 0; i < resolve->nlabels; i++)
	{
		if (cxm_idmap_find(&resolve->member_of, resolve->labels[i].id) == CXM_NOWHERE)
			continue;
		set_label(resolve, &resolve->labels[i]);
		nknown++;
	}
	resolve->nlabels = 0;
	if (nknown == resolve->ids.n)
		resolve->ids.n = 0;
	if (resolve->is_direct)
		read_labels_directly(resolve);
	else
		query_ids(resolve, &labels_query, read_label);
}

static bool
is_by_hand(uint8 kind)
{
	return kind == CXM_PINNED || kind == CXM_NEVER;
}

/* Note the locks that the changes need; static quarantine cannot change by them, so needs none */
static void
choose_locks(Resolve *resolve)
{
	for (Size i = 0; i < resolve->nchanges; i++)
	{
		const CxmChange *change = &resolve->changes[i];

		for (int end = 0; end < 2; end++)
		{
			Member	   *member = end_of(resolve, end == 0 ? change->a : change->b);

			if (member->cluster == CXM_NOWHERE || (is_static(member->was) && !is_by_hand(change->kind)))
				continue;
			add_id(&resolve->ids, cluster_at(resolve, member->cluster)->id);
			/* one more link to a generic identifier changes nothing about it, so many may come at once */
			if (member->was != CXM_GENERIC || change->pending != CXM_WRITTEN
				|| change->is_retired || is_by_hand(change->kind))
				cluster_at(resolve, member->cluster)->is_exclusive = true;
		}
	}
	for (Size i = 0; i < resolve->extra.n; i++)
	{
		int64		id = *vector_at(&resolve->extra, int64, i);
		uint32		cluster = cxm_idmap_find(&resolve->cluster_of, id);

		add_id(&resolve->ids, id);
		if (cluster != CXM_NOWHERE)
			cluster_at(resolve, cluster)->is_exclusive = true;
	}
}

/* What has to be locked is said as the detail, for a caller that gives back its locks and begins anew with all */
static void
complain_of_locks(const int64 *ids, Size n)
{
	StringInfoData list;

	initStringInfo(&list);
	for (Size i = 0; i < n; i++)
		appendStringInfo(&list, "%s%lld", i == 0 ? "" : " ", (long long) ids[i]);
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not lock all profiles that are concerned without waiting"),
			 errdetail_internal("%s", list.data),
			 errhint("Let it wait, or lock the profiles named in the detail first.")));
}

/* Lock the profiles in ascending order; those that need no more than a shared lock get that */
static void
lock_profiles(Resolve *resolve)
{
	int64	   *ids = (int64 *) resolve->ids.data;
	Size		n = 0;
	Size		first = 0;

	qsort(ids, resolve->ids.n, sizeof(int64), compare_ids);
	for (Size i = 0; i < resolve->ids.n; i++)
	{
		if (n == 0 || ids[i] != ids[n - 1])
			ids[n++] = ids[i];
	}

	while (first < n && !resolve->gives_way)
	{
		Size		end = first;
		bool		is_shared = false;
		Datum		args[1];

		for (; end < n; end++)
		{
			uint32		cluster = cxm_idmap_find(&resolve->cluster_of, ids[end]);
			bool		wants_shared = cluster != CXM_NOWHERE && !cluster_at(resolve, cluster)->is_exclusive;

			if (end == first)
				is_shared = wants_shared;
			else if (wants_shared != is_shared)
				break;
		}
		args[0] = cxm_int8_array(ids + first, end - first);
		if (!resolve->never_waits)
			cxm_query(is_shared ? &lock_shared_query : &lock_query, args, false, read_lock, resolve);
		else if (cxm_query(is_shared ? &lock_shared_free_query : &lock_free_query, args, false, read_lock, resolve)
				 < end - first)
			complain_of_locks(ids, n);
		first = end;
	}
	resolve->ids.n = 0;
}

/*
 * Pending changes
 */
static void
read_pending(TupleTableSlot *slot, void *state)
{
	Resolve    *resolve = state;
	CxmChange  *change = &resolve->changes[cxm_idmap_find(&resolve->pending_of, row_int64(slot, 1))];

	change->is_retired = change->pending == CXM_TO_RETIRE;
	change->is_verified = row_bool(slot, 2);
	change->at = row_int64(slot, 3);
	change->refused = cxm_row_refusal(slot, 4);
	change->pending = CXM_WRITTEN;
}

static void
write_pending(Resolve *resolve, CxmPending pending)
{
	CxmVector	ids;
	CxmVector	verified;
	CxmVector	times;
	Datum		args[3];

	cxm_vector_init(&ids, sizeof(int64));
	cxm_vector_init(&verified, sizeof(Datum));
	cxm_vector_init(&times, sizeof(Datum));
	for (Size i = 0; i < resolve->nchanges; i++)
	{
		const CxmChange *change = &resolve->changes[i];

		/* a link may be named twice */
		if (change->pending != pending || !cxm_idmap_add(&resolve->pending_of, change->link_id, (uint32) i))
			continue;
		add_id(&ids, change->link_id);
		*(Datum *) cxm_vector_add(&verified) = BoolGetDatum(change->is_verified);
		*(Datum *) cxm_vector_add(&times) = TimestampTzGetDatum(change->at);
	}
	if (ids.n == 0)
		return;
	args[0] = cxm_int8_array((int64 *) ids.data, ids.n);
	if (pending == CXM_TO_RETIRE)
	{
		args[1] = PointerGetDatum(resolve->retired_reason);
		cxm_query(&retire_query, args, false, read_pending, resolve);
	}
	else
	{
		args[1] = cxm_array((Datum *) verified.data, NULL, verified.n, BOOLOID);
		args[2] = cxm_array((Datum *) times.data, NULL, times.n, TIMESTAMPTZOID);
		cxm_query(&strengthen_query, args, false, read_pending, resolve);
	}
}

/* Write what is pending, now that nobody else can, and forget what has been retired meanwhile */
static void
settle_pending(Resolve *resolve)
{
	Size		n = 0;

	write_pending(resolve, CXM_TO_RETIRE);
	write_pending(resolve, CXM_TO_STRENGTHEN);
	for (Size i = 0; i < resolve->nchanges; i++)
	{
		if (resolve->changes[i].pending == CXM_WRITTEN)
			resolve->changes[n++] = resolve->changes[i];
	}
	resolve->nchanges = n;
}

/*
 * Quarantine: who has become generic, who is not any more
 */
static bool
is_counted(const Resolve *resolve, const Member *other)
{
	const CxmNamespace *rules = &resolve->rules->namespaces[other->namespace];

	return !is_static(other->was) && (rules->max_per_profile > 0 || rules->is_unique);
}

static void
read_suspect(TupleTableSlot *slot, void *state)
{
	add_id(&((Resolve *) state)->ids, row_int64(slot, 1));
}

static void
count_fanout(Resolve *resolve, Member *member)
{
	int64		max = resolve->rules->namespaces[member->namespace].max_links;
	Datum		args[2] = {Int64GetDatum(member->id), Int64GetDatum(max)};
	uint64		fanout;
	int64		count = 0;
	int64	   *next = &count;

	cxm_query(&fanout_query, args, false, read_next_id, &next);
	fanout = (uint64) count;

	/* additions to a generic identifier do not touch its profile, so an old snapshot has to be asked twice */
	if (member->was == CXM_GENERIC && IsolationUsesXactSnapshot() && cxm_query_latest(&fanout_query, args) != fanout)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent links")));
	member->is = max > 0 && fanout > (uint64) max ? CXM_GENERIC : CXM_HOLDS;
}

static void
find_generic(Resolve *resolve)
{
	CxmVector	max;
	Datum		args[2];

	cxm_vector_init(&max, sizeof(int64));
	for (Size i = 0; i < resolve->nchanges; i++)
	{
		const CxmChange *change = &resolve->changes[i];

		if (is_by_hand(change->kind) || change->a == change->b)
			continue;
		for (int end = 0; end < 2; end++)
		{
			Member	   *member = end_of(resolve, end == 0 ? change->a : change->b);
			Member	   *other = end_of(resolve, end == 0 ? change->b : change->a);
			uint32		max_links = resolve->rules->namespaces[member->namespace].max_links;

			/* "part" serves as a mark here: a fresh one has no more links than come with it now */
			if (max_links == 0 || !is_counted(resolve, other)
				|| member->was != (change->is_retired ? CXM_GENERIC : CXM_HOLDS))
				continue;
			if (member->part == CXM_NOWHERE)
				member->part = 0;
			if (++member->part == (member->fresh == CXM_NOWHERE || change->is_retired ? 1 : max_links + 1))
			{
				if (change->is_retired)
					count_fanout(resolve, member);
				else
				{
					add_id(&resolve->ids, member->id);
					add_id(&max, max_links);
				}
			}
		}
	}

	if (resolve->is_direct)
	{
		Size		n = 0;

		for (Size i = 0; i < resolve->ids.n; i++)
		{
			int64		most = *vector_at(&max, int64, i);

			n += cxm_direct_count_links(resolve->direct, *vector_at(&resolve->ids, int64, i), most + 1) > most;
		}
		/* what has to be counted exactly is left to the statements */
		resolve->is_direct = n == 0;
		resolve->ids.n = 0;
	}
	else if (resolve->ids.n > 0)
	{
		args[0] = cxm_int8_array((int64 *) resolve->ids.data, resolve->ids.n);
		args[1] = cxm_int8_array((int64 *) max.data, max.n);
		resolve->ids.n = 0;
		cxm_query(&rough_fanout_query, args, false, read_suspect, resolve);
		for (Size i = 0; i < resolve->ids.n; i++)
			count_fanout(resolve, end_of(resolve, *vector_at(&resolve->ids, int64, i)));
		resolve->ids.n = 0;
	}
	for (Size i = 0; i < resolve->members.n; i++)
		member_at(resolve, (uint32) i)->part = CXM_NOWHERE;
}

/*
 * Groups: the standing profiles and fresh identifiers that the changed links
 * would join
 */
typedef struct LinkGroup
{
	uint32		parent;
	int32	   *counts;
	uint32		nclusters;
	uint32		nknown;			/* clusters that are known */
	uint32		nverified;		/* links */
	uint32		nunverified;
	bool		is_slow;
	bool		is_touched;
	bool		is_kept_apart;
	bool		is_decided;		/* what may not be one in it has been left apart */
	bool		is_too_much;	/* for one person */
	uint64		weakest;
	TimestampTz weakest_at;
	uint64		bound;			/* the same without the links that have come */
	TimestampTz bound_at;
	int64		via;
	int64		winner;			/* of the clusters in it, 0 for none */
	int64		guess;			/* of a profile to be */
} LinkGroup;

/* Does a link come after another one, however ties are broken? */
static bool
is_weaker(uint64 strength, TimestampTz at, uint64 than, TimestampTz than_at)
{
	return strength != than ? strength > than : at > than_at;
}

/* Let a bound take in one more link, or another bound */
static void
note_weakest(uint64 *weakest, TimestampTz *weakest_at, uint64 strength, TimestampTz at)
{
	if (is_weaker(strength, at, *weakest, *weakest_at))
	{
		*weakest = strength;
		*weakest_at = at;
	}
}

static uint32
find_group(LinkGroup *groups, uint32 i)
{
	while (groups[i].parent != i)
	{
		groups[i].parent = groups[groups[i].parent].parent;
		i = groups[i].parent;
	}
	return i;
}

/* clusters come first, fresh identifiers after them */
static uint32
group_of(const Resolve *resolve, const Member *member)
{
	return member->cluster != CXM_NOWHERE ? member->cluster : resolve->nclusters + member->fresh;
}

static bool
may_hold(const CxmChange *change, const Member *a, const Member *b)
{
	return change->kind == CXM_PINNED
		|| (change->kind != CXM_NEVER && a->is == CXM_HOLDS && b->is == CXM_HOLDS);
}

/* A link can only make an identifier earlier, which a window may mind */
static bool
has_window(const Resolve *resolve, const Member *member)
{
	return member->fresh == CXM_NOWHERE && resolve->rules->namespaces[member->namespace].max_window > 0;
}

/* May an edited link have been what made its ends known? */
static bool
lost_verification(const CxmChange *change)
{
	return change->is_edited && change->kind == CXM_SEEN && !change->is_verified;
}

/* Does this change need more than the counts to be settled? */
static bool
needs_solving(const Resolve *resolve, const CxmChange *change, const Member *a, const Member *b)
{
	bool		was_quarantined = is_static(change->refused) || change->refused == CXM_GENERIC;

	if (is_by_hand(change->kind) || lost_verification(change))
		return true;
	if (change->is_retired)
		return change->refused == CXM_HOLDS || change->is_verified || resolve->rules->has_windows;
	if (has_window(resolve, a) || has_window(resolve, b))
		return true;
	if (!may_hold(change, a, b))
		return false;
	if (change->refused != CXM_HOLDS)
		return !was_quarantined;
	return change->is_edited && a->cluster != CXM_NOWHERE && a->cluster == b->cluster;
}

/* Can the profile of this end come out changed? One more link to a generic identifier leaves it as it is */
static bool
concerns(const CxmChange *change, const Member *member)
{
	return is_by_hand(change->kind)
		|| member->is == CXM_HOLDS
		|| (!is_static(member->is) && (change->is_retired || member->was != member->is));
}

static LinkGroup *
make_groups(Resolve *resolve)
{
	Size		n = resolve->nclusters + resolve->nfresh;
	LinkGroup	   *groups = MemoryContextAllocHuge(CurrentMemoryContext, Max(n, 1) * sizeof(LinkGroup));

	memset(groups, 0, n * sizeof(LinkGroup));
	for (uint32 i = 0; i < n; i++)
	{
		groups[i].parent = i;
		groups[i].weakest_at = DT_NOBEGIN;
		groups[i].bound_at = DT_NOBEGIN;
	}

	for (Size i = 0; i < resolve->nchanges; i++)
	{
		const CxmChange *change = &resolve->changes[i];
		Member	   *a = end_of(resolve, change->a);
		Member	   *b = end_of(resolve, change->b);
		uint32		x = find_group(groups, group_of(resolve, a));
		uint32		y = find_group(groups, group_of(resolve, b));
		bool		is_slow = needs_solving(resolve, change, a, b) || a->was != a->is || b->was != b->is;

		if (!change->is_retired && may_hold(change, a, b) && change->decided == CXM_HOLDS && x != y)
		{
			groups[y].parent = x;
			note_weakest(&groups[x].weakest, &groups[x].weakest_at, groups[y].weakest, groups[y].weakest_at);
			if (groups[x].via == 0)
				groups[x].via = change->link_id;
			groups[x].is_slow |= groups[y].is_slow;
			groups[x].is_touched |= groups[y].is_touched;
			groups[x].is_decided |= groups[y].is_decided;
			groups[x].nverified += groups[y].nverified;
			groups[x].nunverified += groups[y].nunverified;
			y = x;
		}
		if (x == y && a != b && !change->is_retired && may_hold(change, a, b))
			note_weakest(&groups[x].weakest, &groups[x].weakest_at, change->strength, change->at);
		groups[x].is_decided |= change->is_decided;
		groups[y].is_decided |= change->is_decided;
		if (concerns(change, a))
		{
			groups[x].is_touched = true;
			groups[x].is_slow |= is_slow;
		}
		if (concerns(change, b))
		{
			groups[y].is_touched = true;
			groups[y].is_slow |= is_slow;
		}
		if (!change->is_retired && change->kind != CXM_NEVER)
		{
			/* of one in quarantine it says nothing, even where by hand both are one person */
			if (a->is == CXM_HOLDS || (x == y && b->is == CXM_HOLDS))
				groups[x].nverified += change->is_verified;
			if (b->is == CXM_HOLDS && x != y)
				groups[y].nverified += change->is_verified;
			groups[x].nunverified += !change->is_verified && x == y;
		}
	}
	return groups;
}

static bool
exceeds_limit(const Resolve *resolve, const int32 *counts)
{
	for (uint32 i = 0; i < resolve->rules->n; i++)
	{
		const CxmNamespace *rules = &resolve->rules->namespaces[i];
		uint32		max = rules->is_unique ? 1 : rules->max_per_profile;

		if (max > 0 && (uint32) counts[rules_spelling(resolve->rules, i)->id - 1] > max)
			return true;
	}
	return false;
}

static void
count_identifier(const Resolve *resolve, int32 *counts, uint32 namespace)
{
	if (namespace < resolve->rules->n)
		counts[rules_spelling(resolve->rules, namespace)->id - 1]++;
}

/* Add up what the groups consist of, and find those that the counts cannot settle */
static void
weigh_groups(Resolve *resolve, LinkGroup *groups)
{
	Size		nclusters = resolve->nclusters;

	for (uint32 i = 0; i < nclusters + resolve->nfresh; i++)
	{
		LinkGroup	   *group = &groups[find_group(groups, i)];

		if (group->counts == NULL)
			group->counts = new_counts(resolve);
		if (i < nclusters)
		{
			Cluster    *cluster = cluster_at(resolve, i);

			/* not locked: no change of it is at stake */
			if (!cluster->is_locked)
				continue;
			for (int j = 0; j < resolve->rules->max_id; j++)
				group->counts[j] += cluster->counts[j];
			group->nclusters++;
			group->nknown += cluster->is_known;
			group->is_kept_apart |= cluster->is_kept_apart;
			note_weakest(&group->weakest, &group->weakest_at, cluster->weakest, cluster->weakest_at);
			note_weakest(&group->bound, &group->bound_at, cluster->weakest, cluster->weakest_at);
			if (group->winner == 0 || cluster->id < group->winner)
				group->winner = cluster->id;
		}
		else
		{
			const CxmFresh *fresh = &resolve->fresh[i - nclusters];

			count_identifier(resolve, group->counts, fresh->namespace);
			if (fresh->guess_is_new && (group->guess == 0 || fresh->guess < group->guess))
				group->guess = fresh->guess;
		}
	}

	for (uint32 i = 0; i < nclusters + resolve->nfresh; i++)
	{
		LinkGroup	   *group = &groups[i];

		if (group->parent != i || group->is_decided)
			continue;
		if ((group->nverified == 0 && group->nknown > 1)
			|| (group->nverified > 0 && group->nunverified > 0)
			|| (group->nverified > 1 && group->nclusters > 0)
			|| (group->nverified > 0 && group->nknown > 0)
			|| group->is_kept_apart
			|| ((group->is_touched || group->nclusters == 0) && exceeds_limit(resolve, group->counts)))
			group->is_too_much = group->is_touched || group->nclusters == 0;
	}
}

/*
 * A link that comes after all that hold in the profiles at its ends finds
 * these as they are, so their counts say what becomes of it.  If they refuse
 * it, that is all that comes of it.
 */
typedef struct Side
{
	uint32		parent;
	int32	   *counts;
	bool		is_known;
} Side;

typedef struct LateLink
{
	CxmChange  *change;
	uint32		group;
	uint32		a;
	uint32		b;
} LateLink;

static int
compare_late_links(const void *x, const void *y)
{
	const LateLink *a = x;
	const LateLink *b = y;

	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	if (a->change->strength != b->change->strength)
		return a->change->strength < b->change->strength ? -1 : 1;
	return (a->change->at > b->change->at) - (a->change->at < b->change->at);
}

static uint32
find_side(Side *sides, uint32 i)
{
	while (sides[i].parent != i)
		i = sides[i].parent;
	return i;
}

/* Why the two may not be one, by a link that is not verified */
static CxmRefusal
refuse_sides(const Resolve *resolve, const Side *x, const Side *y)
{
	CxmRefusal	refusal = CXM_HOLDS;

	for (uint32 i = 0; i < resolve->rules->n; i++)
	{
		const CxmNamespace *rules = &resolve->rules->namespaces[i];
		int			place = rules_spelling(resolve->rules, i)->id - 1;

		if (x->counts[place] == 0 || y->counts[place] == 0)
			continue;
		if (rules->is_unique)
			return CXM_UNIQUE;
		if (rules->max_per_profile > 0
			&& (uint64) x->counts[place] + (uint64) y->counts[place] > rules->max_per_profile)
			refusal = CXM_LIMIT;
	}
	return refusal == CXM_HOLDS && x->is_known && y->is_known ? CXM_UNVERIFIED : refusal;
}

static Side *
make_sides(const Resolve *resolve)
{
	Size		n = resolve->nclusters + resolve->nfresh;
	Side	   *sides = MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(Side));

	for (uint32 i = 0; i < n; i++)
	{
		sides[i] = (Side) {.parent = i, .counts = new_counts(resolve)};
		if (i >= resolve->nclusters)
			count_identifier(resolve, sides[i].counts, resolve->fresh[i - resolve->nclusters].namespace);
		else if (cluster_at(resolve, i)->is_locked)
		{
			memcpy(sides[i].counts, cluster_at(resolve, i)->counts, resolve->rules->max_id * sizeof(int32));
			sides[i].is_known = cluster_at(resolve, i)->is_known;
		}
	}
	return sides;
}

/* Take the late links of a group, which are in order */
static void
take_late_links(Resolve *resolve, Side *sides, LateLink *links, Size n)
{
	for (Size i = 0; i < n; i++)
	{
		CxmChange  *change = links[i].change;
		uint32		x = find_side(sides, links[i].a);
		uint32		y = find_side(sides, links[i].b);

		change->is_decided = true;
		if (x == y)
			continue;
		change->decided = refuse_sides(resolve, &sides[x], &sides[y]);
		if (change->decided != CXM_HOLDS)
			continue;
		sides[y].parent = x;
		sides[x].is_known |= sides[y].is_known;
		for (int j = 0; j < resolve->rules->max_id; j++)
			sides[x].counts[j] += sides[y].counts[j];
	}
	/* what was refused then may have come together another way */
	for (Size i = 0; i < n; i++)
	{
		if (find_side(sides, links[i].a) == find_side(sides, links[i].b))
			links[i].change->decided = CXM_HOLDS;
	}
}

/* May the late links of this group be taken by counts? */
static bool
is_late(const LinkGroup *group, const LateLink *links, Size n)
{
	for (Size i = 0; i < n; i++)
	{
		const CxmChange *change = links[i].change;

		/* of two at once the identifiers would say which comes first */
		if (change->is_verified || change->is_edited || change->strength == 0
			|| !is_weaker(change->strength, change->at, group->bound, group->bound_at)
			|| (i > 0 && change->strength == links[i - 1].change->strength && change->at == links[i - 1].change->at))
			return false;
	}
	return true;
}

/*
 * Decide on the links of groups that are too much for one person.  True when
 * that is done, and the groups have to be made again; it is done for all of
 * them or for none, since solving one may reach another.
 */
static bool
decide_links(Resolve *resolve, LinkGroup *groups)
{
	Size		n = resolve->nclusters + resolve->nfresh;
	LateLink   *links;
	Size		nlinks = 0;
	Side	   *sides;
	bool		is_decidable = resolve->rules->has_lasting_ranks && !resolve->rules->has_windows;
	bool		any = false;

	for (uint32 i = 0; i < n; i++)
	{
		if (groups[i].parent != i)
			continue;
		any |= groups[i].is_too_much;
		is_decidable &= !groups[i].is_slow
			&& (!groups[i].is_too_much || (groups[i].nverified == 0 && !groups[i].is_kept_apart));
	}
	if (any && is_decidable)
	{
		links = MemoryContextAllocHuge(CurrentMemoryContext, Max(resolve->nchanges, 1) * sizeof(LateLink));
		for (Size i = 0; i < resolve->nchanges; i++)
		{
			CxmChange  *change = &resolve->changes[i];
			const Member *a = end_of(resolve, change->a);
			const Member *b = end_of(resolve, change->b);
			LateLink	late = {.change = change, .a = group_of(resolve, a), .b = group_of(resolve, b)};

			late.group = find_group(groups, late.a);
			if (!change->is_retired && may_hold(change, a, b) && groups[late.group].is_too_much)
				links[nlinks++] = late;
		}
		qsort(links, nlinks, sizeof(LateLink), compare_late_links);
		for (Size first = 0, end; first < nlinks && is_decidable; first = end)
		{
			for (end = first; end < nlinks && links[end].group == links[first].group; end++)
				;
			is_decidable = is_late(&groups[links[first].group], &links[first], end - first);
		}
		if (is_decidable)
		{
			sides = make_sides(resolve);
			for (Size first = 0, end; first < nlinks; first = end)
			{
				for (end = first; end < nlinks && links[end].group == links[first].group; end++)
					;
				take_late_links(resolve, sides, &links[first], end - first);
			}
			ereport(DEBUG1,
					(errmsg_internal("%zu links decided by counts", nlinks)));
			return true;
		}
	}
	for (uint32 i = 0; i < n; i++)
		groups[i].is_slow |= groups[i].is_too_much;
	return false;
}

/* The groups, with what can be decided by counts decided */
static void
form_groups(Resolve *resolve)
{
	resolve->nclusters = (uint32) resolve->clusters.n;
	resolve->groups = make_groups(resolve);
	weigh_groups(resolve, resolve->groups);
	if (decide_links(resolve, resolve->groups))
	{
		resolve->groups = make_groups(resolve);
		weigh_groups(resolve, resolve->groups);
	}
}

static void
add_relabel(CxmVector *relabels, int64 profile_id, int64 from, int64 to, int64 link_id, bool is_retired)
{
	Relabel    *relabel = cxm_vector_add(relabels);

	relabel->profile_id = profile_id;
	relabel->from = from;
	relabel->to = to;
	relabel->link_id = link_id;
	relabel->is_retired = is_retired;
}

static void
add_standing(Resolve *resolve, CxmVector *standings, CxmStanding standing)
{
	/* ranks that another namespace would change are none to be kept */
	if (!resolve->rules->has_lasting_ranks && standing.weakest_at != DT_NOBEGIN)
	{
		standing.weakest = PG_INT64_MAX;
		standing.weakest_at = DT_NOEND;
	}
	*(CxmStanding *) cxm_vector_add(standings) = standing;
}

static void
add_group(Resolve *resolve, CxmVector *standings, const LinkGroup *group)
{
	add_standing(resolve, standings, (CxmStanding) {.id = group->winner, .counts = group->counts,
		.weakest = group->weakest, .weakest_at = group->weakest_at,
		.is_known = group->nknown > 0 || group->nverified > 0, .is_kept_apart = group->is_kept_apart});
}

static void
add_flag(CxmVector *flags, int64 id, uint8 flag)
{
	Flag	   *added = cxm_vector_add(flags);

	*added = (Flag) {.id = id, .flag = flag};
}

/* A fresh identifier's profile, when that is not what was guessed */
static void
place_fresh(Resolve *resolve, const CxmFresh *fresh, int64 profile_id)
{
	if (fresh->guess != profile_id)
	{
		Move	   *move = cxm_vector_add(&resolve->moves);

		*move = (Move) {.identifier_id = fresh->id, .stub = fresh->guess, .to = profile_id};
	}
}

/* Groups that may be one person each become one */
static void
settle_groups(Resolve *resolve, LinkGroup *groups)
{
	Size		nclusters = resolve->nclusters;
	CxmVector	new_ids;
	Size		next_id = 0;

	cxm_vector_init(&new_ids, sizeof(int64));

	/* a guess serves one group only; the others need numbers of their own */
	for (uint32 i = 0; i < nclusters + resolve->nfresh; i++)
	{
		LinkGroup	   *group = &groups[i];

		if (group->parent != i || group->is_slow || group->winner != 0 || i < nclusters)
			continue;
		if (group->guess == 0 || !cxm_idmap_add(&resolve->taken, group->guess, i))
		{
			group->guess = 0;
			cxm_vector_add(&new_ids);
		}
	}
	if (resolve->is_direct)
	{
		for (Size i = 0; i < new_ids.n; i++)
			*vector_at(&new_ids, int64, i) = cxm_direct_next_profile_id(resolve->direct);
	}
	else
	{
		connect_statements(resolve);
		cxm_next_profile_ids((int64 *) new_ids.data, new_ids.n);
	}

	for (uint32 i = 0; i < nclusters + resolve->nfresh; i++)
	{
		LinkGroup	   *group = &groups[i];

		if (group->parent != i || group->is_slow)
			continue;
		if (group->winner != 0)
		{
			if (group->is_touched)
				add_group(resolve, &resolve->touches, group);
		}
		else if (i >= nclusters)
		{
			group->winner = group->guess != 0 ? group->guess : *vector_at(&new_ids, int64, next_id++);
			add_group(resolve, &resolve->inserts, group);
		}
	}

	for (uint32 i = 0; i < nclusters + resolve->nfresh; i++)
	{
		LinkGroup	   *group = &groups[find_group(groups, i)];

		if (group->is_slow)
			continue;
		if (i >= nclusters)
			place_fresh(resolve, &resolve->fresh[i - nclusters], group->winner);
		else if (cluster_at(resolve, i)->is_locked && cluster_at(resolve, i)->id != group->winner)
			add_relabel(&resolve->merges, cluster_at(resolve, i)->id, cluster_at(resolve, i)->id,
						group->winner, group->via, false);
	}
}

/* Changed links that the region did not read hold, or are refused by the quarantine of an end */
static void
settle_links(Resolve *resolve)
{
	for (Size i = 0; i < resolve->nchanges; i++)
	{
		const CxmChange *change = &resolve->changes[i];
		const Member *a = end_of(resolve, change->a);
		const Member *b = end_of(resolve, change->b);
		uint8		refused = CXM_HOLDS;

		/* the region says of its own links whether they hold; those between quarantined ends it leaves out */
		if (change->is_retired || change->kind == CXM_NEVER
			|| cxm_idmap_find(&resolve->row_of, change->link_id) != CXM_NOWHERE)
			continue;
		if (change->kind != CXM_PINNED)
			refused = a->is != CXM_HOLDS ? a->is : b->is;
		if (refused == CXM_HOLDS)
			refused = change->decided;
		if (refused != change->refused)
			add_flag(&resolve->refusals, change->link_id, refused);
	}
}

/*
 * The region: what cannot be settled by counts, and what the outcome reaches
 */
static void
enter_region(Resolve *resolve, uint32 i)
{
	if (member_at(resolve, i)->is_outside)
		*(uint32 *) cxm_vector_add(&resolve->entered) = i;
	member_at(resolve, i)->is_outside = false;
}

static void
read_member(TupleTableSlot *slot, void *state)
{
	Resolve    *resolve = state;
	uint32		i = add_member(resolve, row_int64(slot, 1));
	Member	   *member = member_at(resolve, i);

	if (member->fresh != CXM_NOWHERE)
		return;
	member->namespace = namespace_of(resolve, slot, 2);
	member->stub = row_int64(slot, 3);
	member->cluster = add_cluster(resolve, row_int64(slot, 4));
	/* an end of a changed link knows already what it is from now on; who is generic of all is found anew */
	if (member->is == member->was)
		member->is = cxm_row_refusal(slot, 5);
	member->was = cxm_row_refusal(slot, 5);
	if (resolve->is_everything && member->was == CXM_GENERIC)
		member->is = CXM_HOLDS;
	member->hash = (uint64) row_int64(slot, 6);
	enter_region(resolve, i);
}

static void
read_link(TupleTableSlot *slot, void *state)
{
	Resolve    *resolve = state;
	int64		link_id = row_int64(slot, 1);
	CxmIdentityLink *link;
	LinkRow    *row;
	uint32		a;
	uint32		b;

	if (!resolve->is_everything && !cxm_idmap_add(&resolve->row_of, link_id, (uint32) resolve->rows.n))
		return;
	if (resolve->rows.n >= CXM_NOWHERE - 1 || resolve->members.n >= CXM_NOWHERE - 1)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many links to solve at once"),
				 errdetail("The solver takes %u.", CXM_NOWHERE - 1)));

	a = add_member(resolve, row_int64(slot, 2));
	b = add_member(resolve, row_int64(slot, 3));
	row = cxm_vector_add(&resolve->rows);
	row->link_id = link_id;
	row->has_evidence = row_bool(slot, 6);
	row->probability = row_is_null(slot, 7) ? 1 : DatumGetFloat8(row_value(slot, 7));
	row->refused = cxm_row_refusal(slot, 9);
	row->solved = row->refused;
	link = cxm_vector_add(&resolve->links);
	link->a = a;
	link->b = b;
	link->tag = (uint32_t) resolve->rows.n - 1;
	link->kind = cxm_row_kind(slot, 4);
	link->is_verified = row_bool(slot, 5);
	link->at = row_int64(slot, 8);
}

/* The strength of links, once the namespaces of both ends are known */
static void
rank_links(Resolve *resolve)
{
	for (; resolve->nranked < resolve->links.n; resolve->nranked++)
	{
		CxmIdentityLink *link = vector_at(&resolve->links, CxmIdentityLink, resolve->nranked);
		const LinkRow *row = vector_at(&resolve->rows, LinkRow, link->tag);

		link->strength = cxm_identity_strength(link->kind, link->is_verified,
											   resolve->rules->namespaces[member_at(resolve, link->a)->namespace].rank,
											   resolve->rules->namespaces[member_at(resolve, link->b)->namespace].rank,
											   row->has_evidence, row->probability);
	}
}

/* Read the links of the identifiers in the region, and who is at their other ends */
static void
read_links(Resolve *resolve)
{
	uint32		nmembers = (uint32) resolve->members.n;

	for (int by_hand = 0; by_hand < 2; by_hand++)
	{
		for (Size i = 0; i < resolve->entered.n; i++)
		{
			const Member *member = member_at(resolve, *vector_at(&resolve->entered, uint32, i));
			bool		is_quarantined = member->was != CXM_HOLDS && member->is != CXM_HOLDS;

			/* of the many links at a quarantined identifier only those by hand count */
			if (is_quarantined == (by_hand == 1))
				add_id(&resolve->ids, member->id);
		}
		query_ids(resolve, by_hand == 1 ? &links_by_hand_query : &links_query, read_link);
	}
	resolve->entered.n = 0;

	for (uint32 i = nmembers; i < resolve->members.n; i++)
	{
		if (member_at(resolve, i)->fresh == CXM_NOWHERE)
			add_id(&resolve->ids, member_at(resolve, i)->id);
	}
	query_ids(resolve, &labels_query, read_label);
	rank_links(resolve);
}

/*
 * Take a standing profile into the region; its members are read by the next
 * grow_region().  What counts would have settled for it has to be solved, too.
 * False when it is there already.
 */
static bool
take_cluster(Resolve *resolve, uint32 i)
{
	Cluster    *cluster = cluster_at(resolve, i);

	if (cluster->is_in_region)
		return false;
	cluster->is_in_region = true;
	if (i < resolve->nclusters)
	{
		LinkGroup  *group = &resolve->groups[find_group(resolve->groups, i)];

		resolve->has_spread |= group->is_touched && !group->is_slow;
		group->is_slow |= group->is_touched;
	}
	add_id(&resolve->ids, cluster->id);
	if (!cluster->is_locked || !cluster->is_exclusive)
	{
		add_id(&resolve->extra, cluster->id);
		resolve->needs_locks = true;
	}
	return true;
}

static bool take_slow_groups(Resolve *resolve);

static void
grow_region(Resolve *resolve)
{
	while (resolve->has_spread)
	{
		resolve->has_spread = false;
		take_slow_groups(resolve);
	}
	query_ids(resolve, &members_query, read_member);
	read_links(resolve);
}

/*
 * Solving
 */

/* a cluster of the solution */
typedef struct Part
{
	int64		profile_id;		/* the standing one */
	int32	   *counts;
	uint32		cluster;		/* of one of its identifiers, CXM_NOWHERE when all are fresh */
	int64		guess;			/* number of a profile to be */
	uint64		weakest;
	TimestampTz weakest_at;
	bool		is_mixed;		/* not only of that cluster */
	bool		is_known;
	bool		is_kept_apart;
} Part;

static Part *
part_at(const Resolve *resolve, uint32 i)
{
	return vector_at(&resolve->parts, Part, i);
}

static void *
allocate_huge(size_t size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, size);
}

static void
poll_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* What the links say of the identifiers at their ends: since when, verified, kept apart */
static void
note_links(Resolve *resolve)
{
	for (Size i = 0; i < resolve->links.n; i++)
	{
		const CxmIdentityLink *link = vector_at(&resolve->links, CxmIdentityLink, i);

		for (int end = 0; end < 2; end++)
		{
			Member	   *member = member_at(resolve, end == 0 ? link->a : link->b);

			if (link->kind == CXM_NEVER)
				member->is_kept_apart = true;
			else if (member->is == CXM_HOLDS || link->kind == CXM_PINNED)
			{
				member->at = Min(member->at, link->at);
				member->is_known |= link->is_verified;
			}
		}
	}
}

/* Solve the region, with generic identifiers to be found first when it is everything */
static void
solve_region(Resolve *resolve)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "cxm identity solver", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);
	CxmIdentityGraph graph = {0};
	uint32	   *part_of;

	graph.namespaces = resolve->rules->namespaces;
	graph.nnamespaces = resolve->rules->n + 1;
	graph.nidentifiers = (uint32_t) resolve->members.n;
	graph.identifiers = allocate_huge(Max(resolve->members.n, 1) * sizeof(CxmIdentifier));
	graph.allocate = allocate_huge;
	graph.poll = poll_interrupts;
	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		const Member *member = member_at(resolve, i);

		graph.identifiers[i] = (CxmIdentifier) {0};
		graph.identifiers[i].hash = member->hash;
		graph.identifiers[i].namespace = (uint16_t) member->namespace;
		graph.identifiers[i].quarantine = member->is;
	}

	if (resolve->is_everything)
	{
		graph.links = (CxmIdentityLink *) resolve->links.data;
		graph.nlinks = resolve->links.n;
		cxm_identity_quarantine(&graph);
		for (uint32 i = 0; i < resolve->members.n; i++)
			member_at(resolve, i)->is = graph.identifiers[i].quarantine;
	}
	else
	{
		/* the solver reorders what it gets, and links that lead outside are not its business */
		graph.links = allocate_huge(Max(resolve->links.n, 1) * sizeof(CxmIdentityLink));
		for (Size i = 0; i < resolve->links.n; i++)
		{
			const CxmIdentityLink *link = vector_at(&resolve->links, CxmIdentityLink, i);
			const Member *a = member_at(resolve, link->a);
			const Member *b = member_at(resolve, link->b);

			if (!a->is_outside && !b->is_outside)
				graph.links[graph.nlinks++] = *link;
			else if (!is_by_hand(link->kind) && (a->is != CXM_HOLDS || b->is != CXM_HOLDS))
				vector_at(&resolve->rows, LinkRow, link->tag)->solved = a->is != CXM_HOLDS ? a->is : b->is;
		}
	}
	note_links(resolve);
	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		graph.identifiers[i].at = member_at(resolve, i)->at;
		graph.identifiers[i].is_known = member_at(resolve, i)->is_known;
	}
	cxm_identity_solve(&graph);

	for (Size i = 0; i < graph.nlinks; i++)
		vector_at(&resolve->rows, LinkRow, graph.links[i].tag)->solved = graph.links[i].refused;

	resolve->parts.n = 0;
	part_of = allocate_huge(Max(resolve->members.n, 1) * sizeof(uint32));
	for (uint32 i = 0; i < resolve->members.n; i++)
		part_of[i] = CXM_NOWHERE;
	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		Member	   *member = member_at(resolve, i);
		uint32	   *part = &part_of[graph.identifiers[i].cluster];

		if (member->is_outside)
			continue;
		if (*part == CXM_NOWHERE)
		{
			Part	   *added = cxm_vector_add(&resolve->parts);

			*part = (uint32) resolve->parts.n - 1;
			added->cluster = CXM_NOWHERE;
			added->weakest_at = DT_NOBEGIN;
		}
		member->part = *part;
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
}

/* Which standing profiles does the solution leave as they are? */
static void
compare_solution(Resolve *resolve)
{
	for (uint32 i = 0; i < resolve->clusters.n; i++)
	{
		cluster_at(resolve, i)->part = CXM_NOWHERE;
		cluster_at(resolve, i)->is_changed = false;
	}
	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		const Member *member = member_at(resolve, i);
		Part	   *part;
		Cluster    *cluster;

		if (member->is_outside)
			continue;
		part = part_at(resolve, member->part);
		if (member->cluster == CXM_NOWHERE)
		{
			part->is_mixed = true;
			continue;
		}
		cluster = cluster_at(resolve, member->cluster);
		if (cluster->part == CXM_NOWHERE)
			cluster->part = member->part;
		cluster->is_changed |= cluster->part != member->part;
		if (part->cluster == CXM_NOWHERE)
			part->cluster = member->cluster;
		part->is_mixed |= part->cluster != member->cluster;
	}
	for (uint32 i = 0; i < resolve->clusters.n; i++)
	{
		Cluster    *cluster = cluster_at(resolve, i);

		if (cluster->part != CXM_NOWHERE)
			cluster->is_changed |= part_at(resolve, cluster->part)->is_mixed;
	}
}

/*
 * Take in the profiles outside to which links lead that the outcome may
 * reach.  A link weaker than all changes was refused when its turn came; it
 * is refused again if both profiles at its ends come about as before, which
 * those do whose links and members are what they were.
 */
static bool
take_neighbours(Resolve *resolve, bool of_all)
{
	bool		any = false;

	/* where all neighbours are wanted, those of earlier links are in already */
	for (Size i = of_all ? resolve->nfollowed : 0; i < resolve->links.n; i++)
	{
		const CxmIdentityLink *link = vector_at(&resolve->links, CxmIdentityLink, i);
		const Member *inside = member_at(resolve, link->a);
		const Member *outside = member_at(resolve, link->b);

		if (inside->is_outside)
		{
			outside = inside;
			inside = member_at(resolve, link->b);
		}
		if (inside->is_outside || !outside->is_outside || outside->cluster == CXM_NOWHERE || link->kind == CXM_NEVER
			|| link->strength < resolve->strength
			|| (link->kind != CXM_PINNED && (inside->is != CXM_HOLDS || outside->is != CXM_HOLDS)))
			continue;
		if (of_all || inside->cluster == CXM_NOWHERE
			|| cluster_at(resolve, inside->cluster)->is_core || cluster_at(resolve, inside->cluster)->is_changed)
		{
			/* who stays outside has left a profile that is yet to be locked: another look would find the same */
			any |= take_cluster(resolve, outside->cluster);
		}
	}
	if (of_all)
		resolve->nfollowed = resolve->links.n;
	return any;
}

/* Take the slow groups into the region: their profiles are its core */
static bool
take_slow_groups(Resolve *resolve)
{
	bool		any = false;

	for (uint32 i = 0; i < resolve->nclusters; i++)
	{
		if (!cluster_at(resolve, i)->is_locked || !resolve->groups[find_group(resolve->groups, i)].is_slow)
			continue;
		cluster_at(resolve, i)->is_core = true;
		take_cluster(resolve, i);
		any = true;
	}
	for (uint32 i = 0; i < resolve->nfresh; i++)
	{
		if (resolve->groups[find_group(resolve->groups, resolve->nclusters + i)].is_slow)
		{
			enter_region(resolve, add_member(resolve, resolve->fresh[i].id));
			any = true;
		}
	}
	return any;
}

/* Begin with the slow groups, and find how strong the strongest change is */
static bool
start_region(Resolve *resolve)
{
	resolve->strength = PG_UINT64_MAX;
	if (!take_slow_groups(resolve))
		return false;

	for (Size i = 0; i < resolve->nchanges; i++)
	{
		const CxmChange *change = &resolve->changes[i];
		const Member *a = end_of(resolve, change->a);
		const Member *b = end_of(resolve, change->b);

		for (int end = 0; end < 2; end++)
		{
			const Member *member = end == 0 ? a : b;

			if (member->cluster != CXM_NOWHERE && cluster_at(resolve, member->cluster)->via == 0)
			{
				cluster_at(resolve, member->cluster)->via = change->link_id;
				cluster_at(resolve, member->cluster)->via_retired = change->is_retired;
			}
		}
		/* what changes more than one link's turn, or a turn that is not known, may reach links of any strength */
		if (change->kind == CXM_NEVER || a->was != a->is || b->was != b->is || resolve->rules->has_windows
			|| (change->is_edited && change->refused == CXM_HOLDS) || lost_verification(change))
			resolve->strength = 0;
		resolve->strength = Min(resolve->strength, change->strength);
	}

	/* what an earlier attempt had to lock has turned out to be part of the region */
	for (Size i = 0; i < resolve->extra.n; i++)
	{
		uint32		cluster = cxm_idmap_find(&resolve->cluster_of, *vector_at(&resolve->extra, int64, i));

		if (cluster != CXM_NOWHERE && cluster_at(resolve, cluster)->is_locked)
			take_cluster(resolve, cluster);
	}
	return true;
}

/* False when more profiles have to be locked first */
static bool
solve_slow_groups(Resolve *resolve)
{
	Size		nextra = resolve->extra.n;

	resolve->has_region = start_region(resolve);
	if (!resolve->has_region)
		return true;
	grow_region(resolve);

	for (int round = 0;; round++)
	{
		/* each round reaches further, so that many rounds are not many times the work of the last one */
		int			levels = round < 4 ? 1 : 1 << Min(round - 3, 20);

		CHECK_FOR_INTERRUPTS();
		solve_region(resolve);
		compare_solution(resolve);
		if (!take_neighbours(resolve, false))
			break;
		grow_region(resolve);
		while (--levels > 0 && take_neighbours(resolve, true))
			grow_region(resolve);
	}
	if (resolve->needs_locks)
	{
		ereport(DEBUG1,
				(errmsg_internal("%zu more profiles to lock", resolve->extra.n - nextra)));
		return false;
	}
	return true;
}

/*
 * From the solution to profiles
 */

/* a profile in the region that may stand or be merged away */
typedef struct Stub
{
	int64		id;
	int64		first;			/* its oldest identifier */
	uint32		part;			/* of that one, so its own */
	uint32		cluster;
} Stub;

static void
find_stubs(Resolve *resolve, CxmVector *stubs, CxmIdMap *stub_of)
{
	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		const Member *member = member_at(resolve, i);
		Stub	   *stub;

		if (member->is_outside || member->fresh != CXM_NOWHERE)
			continue;
		if (cxm_idmap_add(stub_of, member->stub, (uint32) stubs->n))
		{
			stub = cxm_vector_add(stubs);
			stub->id = member->stub;
			stub->first = PG_INT64_MAX;
			stub->cluster = member->cluster;
		}
		stub = vector_at(stubs, Stub, cxm_idmap_find(stub_of, member->stub));
		if (member->id < stub->first)
		{
			stub->first = member->id;
			stub->part = member->part;
		}
	}

	/* the oldest profile of a part stands */
	for (Size i = 0; i < stubs->n; i++)
	{
		const Stub *stub = vector_at(stubs, Stub, i);
		Part	   *part = part_at(resolve, stub->part);

		if (part->profile_id == 0 || stub->id < part->profile_id)
			part->profile_id = stub->id;
	}
}

static void
add_part(Resolve *resolve, CxmVector *standings, const Part *part)
{
	add_standing(resolve, standings, (CxmStanding) {.id = part->profile_id, .counts = part->counts,
		.weakest = part->weakest, .weakest_at = part->weakest_at,
		.is_known = part->is_known, .is_kept_apart = part->is_kept_apart});
}

/* Parts that have no profile of their own get new ones */
static void
add_profiles(Resolve *resolve)
{
	CxmVector	new_ids;
	Size		next_id = 0;

	cxm_vector_init(&new_ids, sizeof(int64));
	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		const Member *member = member_at(resolve, i);
		Part	   *part;

		if (member->is_outside || member->fresh == CXM_NOWHERE)
			continue;
		part = part_at(resolve, member->part);
		if (part->profile_id == 0 && part->guess == 0 && resolve->fresh[member->fresh].guess_is_new
			&& cxm_idmap_add(&resolve->taken, resolve->fresh[member->fresh].guess, member->part))
			part->guess = resolve->fresh[member->fresh].guess;
	}
	for (Size i = 0; i < resolve->parts.n; i++)
	{
		if (part_at(resolve, (uint32) i)->profile_id == 0 && part_at(resolve, (uint32) i)->guess == 0)
			cxm_vector_add(&new_ids);
	}
	cxm_next_profile_ids((int64 *) new_ids.data, new_ids.n);
	for (Size i = 0; i < resolve->parts.n; i++)
	{
		Part	   *part = part_at(resolve, (uint32) i);

		if (part->profile_id != 0)
			continue;
		part->profile_id = part->guess != 0 ? part->guess : *vector_at(&new_ids, int64, next_id++);
		add_part(resolve, &resolve->inserts, part);
	}
}

static void
count_parts(Resolve *resolve)
{
	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		const Member *member = member_at(resolve, i);
		Part	   *part;

		if (member->is_outside)
			continue;
		part = part_at(resolve, member->part);
		if (part->counts == NULL)
			part->counts = new_counts(resolve);
		count_identifier(resolve, part->counts, member->namespace);
		part->is_known |= member->is_known;
		part->is_kept_apart |= member->is_kept_apart;
	}
}

/* The weakest link that holds in each part */
static void
bound_parts(Resolve *resolve)
{
	for (Size i = 0; i < resolve->links.n; i++)
	{
		const CxmIdentityLink *link = vector_at(&resolve->links, CxmIdentityLink, i);
		const Member *a = member_at(resolve, link->a);
		const Member *b = member_at(resolve, link->b);

		if (link->kind != CXM_NEVER && link->a != link->b && !a->is_outside && !b->is_outside && a->part == b->part
			&& vector_at(&resolve->rows, LinkRow, link->tag)->solved == CXM_HOLDS)
			note_weakest(&part_at(resolve, a->part)->weakest, &part_at(resolve, a->part)->weakest_at,
						 link->strength, link->at);
	}
}

/* Does the row of the standing profile say what is so already? */
static bool
is_up_to_date(const Resolve *resolve, const Part *part)
{
	uint32		i = cxm_idmap_find(&resolve->cluster_of, part->profile_id);
	const Cluster *cluster;

	if (i == CXM_NOWHERE)
		return false;
	cluster = cluster_at(resolve, i);
	return cluster->is_locked && !cluster->is_core
		&& !is_weaker(part->weakest, part->weakest_at, cluster->weakest, cluster->weakest_at)
		&& cluster->is_known == part->is_known && cluster->is_kept_apart == part->is_kept_apart
		&& memcmp(cluster->counts, part->counts, resolve->rules->max_id * sizeof(int32)) == 0;
}

static void
write_down_solution(Resolve *resolve)
{
	CxmVector	stubs;
	CxmIdMap	stub_of;

	cxm_vector_init(&stubs, sizeof(Stub));
	cxm_idmap_init(&stub_of);
	count_parts(resolve);
	bound_parts(resolve);
	find_stubs(resolve, &stubs, &stub_of);
	for (Size i = 0; i < resolve->parts.n; i++)
	{
		Part	   *part = part_at(resolve, (uint32) i);

		if (part->profile_id != 0 && !is_up_to_date(resolve, part))
			add_part(resolve, &resolve->touches, part);
	}
	add_profiles(resolve);

	for (Size i = 0; i < stubs.n; i++)
	{
		const Stub *stub = vector_at(&stubs, Stub, i);
		const Cluster *cluster = cluster_at(resolve, stub->cluster);
		int64		to = part_at(resolve, stub->part)->profile_id;

		if (to != cluster->id)
			add_relabel(&resolve->relabels, stub->id, cluster->id, to, cluster->via, cluster->via_retired);
	}

	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		const Member *member = member_at(resolve, i);
		int64		to;

		if (member->is_outside)
			continue;
		to = part_at(resolve, member->part)->profile_id;
		if (member->fresh != CXM_NOWHERE)
			place_fresh(resolve, &resolve->fresh[member->fresh], to);
		else if (vector_at(&stubs, Stub, cxm_idmap_find(&stub_of, member->stub))->part != member->part)
		{
			const Cluster *cluster = cluster_at(resolve, member->cluster);
			Move	   *move = cxm_vector_add(&resolve->moves);

			*move = (Move) {.identifier_id = member->id, .stub = member->stub, .from = cluster->id, .to = to,
			.link_id = cluster->via, .is_retired = cluster->via_retired};
		}
		if (member->is != member->was)
			add_flag(&resolve->quarantines, member->id, member->is);
	}

	for (Size i = 0; i < resolve->rows.n; i++)
	{
		const LinkRow *row = vector_at(&resolve->rows, LinkRow, i);

		if (row->solved != row->refused)
			add_flag(&resolve->refusals, row->link_id, row->solved);
	}
}

/*
 * Writing
 */
typedef struct Columns
{
	Datum	   *values[6];
	int			n;
	Size		nrows;
} Columns;

static void
start_columns(Columns *columns, int n, Size nrows)
{
	columns->n = n;
	columns->nrows = nrows;
	for (int i = 0; i < n; i++)
		columns->values[i] = MemoryContextAllocHuge(CurrentMemoryContext, nrows * sizeof(Datum));
}

static void
run_columns(const Columns *columns, CxmQuery *query)
{
	Datum		args[6];

	for (int i = 0; i < columns->n; i++)
		args[i] = cxm_array(columns->values[i], NULL, columns->nrows, get_element_type(query->types[i]));
	cxm_query(query, args, false, NULL, NULL);
	for (int i = 0; i < columns->n; i++)
	{
		pfree(DatumGetPointer(args[i]));
		pfree(columns->values[i]);
	}
}

static void
write_standings(const Resolve *resolve, const CxmVector *standings, CxmQuery *query)
{
	Columns		columns;

	if (standings->n == 0)
		return;
	if (standings->n == 1 && query == &touch_query)
	{
		const CxmStanding *standing = vector_at(standings, CxmStanding, 0);
		Datum	   *counts = palloc(resolve->rules->max_id * sizeof(Datum));
		int			n = resolve->rules->max_id;
		Datum		args[6];

		while (n > 0 && standing->counts[n - 1] == 0)
			n--;
		for (int i = 0; i < n; i++)
			counts[i] = Int32GetDatum(standing->counts[i]);
		args[0] = Int64GetDatum(standing->id);
		args[1] = cxm_array(counts, NULL, n, INT4OID);
		args[2] = BoolGetDatum(standing->is_known);
		args[3] = BoolGetDatum(standing->is_kept_apart);
		args[4] = Int64GetDatum((int64) standing->weakest);
		args[5] = TimestampTzGetDatum(standing->weakest_at);
		cxm_query(&touch_one_query, args, false, NULL, NULL);
		return;
	}
	start_columns(&columns, 6, standings->n);
	for (Size i = 0; i < standings->n; i++)
	{
		const CxmStanding *standing = vector_at(standings, CxmStanding, i);
		StringInfoData counts;
		int			n = resolve->rules->max_id;

		while (n > 0 && standing->counts[n - 1] == 0)
			n--;
		initStringInfo(&counts);
		for (int j = 0; j < n; j++)
			appendStringInfo(&counts, "%c%d", j == 0 ? '{' : ',', standing->counts[j]);
		appendStringInfoString(&counts, n == 0 ? "{}" : "}");
		columns.values[0][i] = Int64GetDatum(standing->id);
		columns.values[1][i] = PointerGetDatum(cstring_to_text_with_len(counts.data, counts.len));
		columns.values[2][i] = BoolGetDatum(standing->is_known);
		columns.values[3][i] = BoolGetDatum(standing->is_kept_apart);
		columns.values[4][i] = Int64GetDatum((int64) standing->weakest);
		columns.values[5][i] = TimestampTzGetDatum(standing->weakest_at);
		pfree(counts.data);
	}
	run_columns(&columns, query);
}

static Datum
cause_of(const Resolve *resolve, bool is_retired)
{
	return CStringGetTextDatum(resolve->is_everything ? "rule" : is_retired ? "retired" : "link");
}

static void
write_relabels(const Resolve *resolve)
{
	Columns		columns;

	if (resolve->merges.n > 0)
	{
		start_columns(&columns, 3, resolve->merges.n);
		for (Size i = 0; i < resolve->merges.n; i++)
		{
			const Relabel *merge = vector_at(&resolve->merges, Relabel, i);

			columns.values[0][i] = Int64GetDatum(merge->from);
			columns.values[1][i] = Int64GetDatum(merge->to);
			columns.values[2][i] = Int64GetDatum(merge->link_id);
		}
		run_columns(&columns, &merge_query);
	}
	if (resolve->relabels.n > 0)
	{
		start_columns(&columns, 5, resolve->relabels.n);
		for (Size i = 0; i < resolve->relabels.n; i++)
		{
			const Relabel *relabel = vector_at(&resolve->relabels, Relabel, i);

			columns.values[0][i] = Int64GetDatum(relabel->profile_id);
			columns.values[1][i] = Int64GetDatum(relabel->from);
			columns.values[2][i] = Int64GetDatum(relabel->to);
			columns.values[3][i] = Int64GetDatum(relabel->link_id);
			columns.values[4][i] = cause_of(resolve, relabel->is_retired);
		}
		run_columns(&columns, &relabel_query);
	}
}

static void
write_moves(const Resolve *resolve)
{
	Columns		columns;

	if (resolve->moves.n == 0)
		return;
	start_columns(&columns, 6, resolve->moves.n);
	for (Size i = 0; i < resolve->moves.n; i++)
	{
		const Move *move = vector_at(&resolve->moves, Move, i);

		columns.values[0][i] = Int64GetDatum(move->identifier_id);
		columns.values[1][i] = Int64GetDatum(move->stub);
		columns.values[2][i] = Int64GetDatum(move->from);
		columns.values[3][i] = Int64GetDatum(move->to);
		columns.values[4][i] = Int64GetDatum(move->link_id);
		columns.values[5][i] = cause_of(resolve, move->is_retired);
	}
	run_columns(&columns, &move_query);
}

static void
write_flags(const CxmVector *flags, CxmQuery *query)
{
	Columns		columns;

	if (flags->n == 0)
		return;
	start_columns(&columns, 2, flags->n);
	for (Size i = 0; i < flags->n; i++)
	{
		const Flag *flag = vector_at(flags, Flag, i);

		columns.values[0][i] = Int64GetDatum(flag->id);
		columns.values[1][i] = CStringGetTextDatum(cxm_refusal_name(flag->flag));
	}
	run_columns(&columns, query);
}

/* Returns how many profiles and identifiers belong to somebody else now */
static int64
write_down(const Resolve *resolve)
{
	int64		count = (int64) (resolve->merges.n + resolve->relabels.n);

	write_standings(resolve, &resolve->inserts, &insert_profiles_query);
	write_relabels(resolve);
	write_moves(resolve);
	write_standings(resolve, &resolve->touches, &touch_query);
	write_flags(&resolve->refusals, &refuse_query);
	write_flags(&resolve->quarantines, &quarantine_query);

	for (Size i = 0; i < resolve->moves.n; i++)
		count += vector_at(&resolve->moves, Move, i)->from != 0;
	return count;
}

/*
 * An attempt: lock, read, solve.  False when it has to begin anew.
 */
static void
start_attempt(Resolve *resolve)
{
	resolve->changes = MemoryContextAllocHuge(CurrentMemoryContext, Max(resolve->ngiven, 1) * sizeof(CxmChange));
	resolve->nchanges = resolve->ngiven;
	if (resolve->ngiven > 0)
		memcpy(resolve->changes, resolve->given, resolve->ngiven * sizeof(CxmChange));
	cxm_idmap_init(&resolve->pending_of);
	cxm_vector_init(&resolve->members, sizeof(Member));
	cxm_idmap_init(&resolve->member_of);
	cxm_vector_init(&resolve->clusters, sizeof(Cluster));
	cxm_idmap_init(&resolve->cluster_of);
	cxm_vector_init(&resolve->ids, sizeof(int64));
	cxm_vector_init(&resolve->links, sizeof(CxmIdentityLink));
	cxm_vector_init(&resolve->rows, sizeof(LinkRow));
	cxm_idmap_init(&resolve->row_of);
	cxm_vector_init(&resolve->parts, sizeof(Part));
	cxm_idmap_init(&resolve->taken);
	cxm_vector_init(&resolve->merges, sizeof(Relabel));
	cxm_vector_init(&resolve->relabels, sizeof(Relabel));
	cxm_vector_init(&resolve->moves, sizeof(Move));
	cxm_vector_init(&resolve->inserts, sizeof(CxmStanding));
	cxm_vector_init(&resolve->touches, sizeof(CxmStanding));
	cxm_vector_init(&resolve->refusals, sizeof(Flag));
	cxm_vector_init(&resolve->quarantines, sizeof(Flag));
	resolve->has_own_rows = false;
	resolve->is_stale = false;
	resolve->gives_way = false;
	resolve->needs_locks = false;
	resolve->has_spread = false;
	resolve->nranked = 0;
	resolve->nfollowed = 0;
	cxm_vector_init(&resolve->entered, sizeof(uint32));
}

/* What has been written stays when the next attempt begins without a subtransaction being rolled back */
static void
keep_settled(Resolve *resolve)
{
	MemoryContext old = MemoryContextSwitchTo(resolve->extra.context);
	CxmChange  *settled = allocate_huge(Max(resolve->nchanges, 1) * sizeof(CxmChange));

	memcpy(settled, resolve->changes, resolve->nchanges * sizeof(CxmChange));
	resolve->given = settled;
	resolve->ngiven = resolve->nchanges;
	MemoryContextSwitchTo(old);
}

static bool
attempt(Resolve *resolve)
{
	lock_profiles(resolve);
	if (resolve->is_stale)
		return false;
	settle_pending(resolve);
	if (resolve->never_waits)
		keep_settled(resolve);
	find_generic(resolve);
	form_groups(resolve);
	if (!solve_slow_groups(resolve))
		return false;
	settle_groups(resolve, resolve->groups);
	settle_links(resolve);
	if (resolve->has_region)
		write_down_solution(resolve);
	return true;
}

/* An attempt that writes down what comes out */
static bool
attempt_and_write(Resolve *resolve, int64 *count)
{
	if (!attempt(resolve))
		return false;
	*count = write_down(resolve);
	return true;
}

/*
 * In a subtransaction, so that locks can be given back.  What comes out is
 * written down there as well, for a row that is locked in one and changed in
 * another is dear, even if that is its parent.
 */
static bool
in_subtransaction(bool (*work) (Resolve *resolve, int64 *count), Resolve *resolve, int64 *count)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	bool		done = false;

	/* what is made inside would end there */
	if (resolve->moves.n + resolve->refusals.n > 0 && !resolve->has_own_rows)
		connect_statements(resolve);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		done = work(resolve, count);
		if (done)
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ReThrowError(error);
	}
	PG_END_TRY();

	if (!done)
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

/*
 * The usual case, without a statement: links that were seen join profiles
 * whose counts, as they were read, allow it.  Nothing is locked before it is
 * written, since a row is changed only in the version that was read; whoever
 * changes anything of a profile changes its row.  So what fails with the
 * first row has changed nothing, and only for more of them a subtransaction
 * is needed.
 */
typedef enum Outcome
{
	DONE,
	OVERTAKEN,					/* somebody else has changed one of the profiles */
	UNSUITED					/* it takes more than that */
} Outcome;

typedef struct RowUpdate
{
	int64		id;
	const CxmStanding *standing;
	const Relabel *merge;
} RowUpdate;

static int
compare_updates(const void *x, const void *y)
{
	return compare_ids(&((const RowUpdate *) x)->id, &((const RowUpdate *) y)->id);
}

/* Have the rows that settling them changes been written by this call, without a statement? */
static bool
has_own_rows(const Resolve *resolve)
{
	for (Size i = 0; i < resolve->refusals.n; i++)
	{
		int64		id = vector_at(&resolve->refusals, Flag, i)->id;
		Size		j = 0;

		while (j < resolve->nchanges
			   && (resolve->changes[j].link_id != id || !ItemPointerIsValid(&resolve->changes[j].ctid)))
			j++;
		if (j == resolve->nchanges)
			return false;
	}
	for (Size i = 0; i < resolve->moves.n; i++)
	{
		uint32		fresh = cxm_idmap_find(&resolve->fresh_of, vector_at(&resolve->moves, Move, i)->identifier_id);

		if (fresh == CXM_NOWHERE || !ItemPointerIsValid(&resolve->fresh[fresh].ctid))
			return false;
	}
	return resolve->refusals.n + resolve->moves.n > 0 && cxm_direct_may_update(resolve->direct);
}

static void
write_own_rows(Resolve *resolve)
{
	for (Size i = 0; i < resolve->moves.n; i++)
	{
		const Move *move = vector_at(&resolve->moves, Move, i);

		cxm_direct_move_identifier(resolve->direct,
								   &resolve->fresh[cxm_idmap_find(&resolve->fresh_of, move->identifier_id)].ctid,
								   move->to);
	}
	for (Size i = 0; i < resolve->refusals.n; i++)
	{
		const Flag *flag = vector_at(&resolve->refusals, Flag, i);
		Size		j = 0;

		while (resolve->changes[j].link_id != flag->id)
			j++;
		cxm_direct_refuse_link(resolve->direct, &resolve->changes[j].ctid, flag->flag);
	}
}

static bool
write_directly(Resolve *resolve, int64 *count)
{
	Size		n = resolve->touches.n + resolve->merges.n;
	RowUpdate  *updates = palloc(Max(n, 1) * sizeof(RowUpdate));

	for (Size i = 0; i < n; i++)
	{
		RowUpdate  *update = &updates[i];

		memset(update, 0, sizeof(RowUpdate));
		if (i < resolve->touches.n)
		{
			update->standing = vector_at(&resolve->touches, CxmStanding, i);
			update->id = update->standing->id;
		}
		else
		{
			update->merge = vector_at(&resolve->merges, Relabel, i - resolve->touches.n);
			update->id = update->merge->from;
		}
	}
	qsort(updates, n, sizeof(RowUpdate), compare_updates);
	for (Size i = 0; i < n; i++)
	{
		const Cluster *cluster = cluster_at(resolve, cxm_idmap_find(&resolve->cluster_of, updates[i].id));
		const CxmStanding *standing = updates[i].standing;
		bool		is_done;

		if (standing != NULL)
			is_done = cxm_direct_update_profile(resolve->direct, &cluster->ctid, standing);
		else
			is_done = cxm_direct_merge_profile(resolve->direct, cluster->id, &cluster->ctid, updates[i].merge->to,
											 updates[i].merge->link_id);
		if (!is_done)
			return false;
	}
	for (Size i = 0; i < resolve->inserts.n; i++)
		cxm_direct_add_profile(resolve->direct, vector_at(&resolve->inserts, CxmStanding, i));
	if (resolve->has_own_rows)
		write_own_rows(resolve);
	else
	{
		if (resolve->moves.n + resolve->refusals.n > 0)
			connect_statements(resolve);
		write_moves(resolve);
		write_flags(&resolve->refusals, &refuse_query);
	}
	*count = (int64) resolve->merges.n;
	return true;
}

static Outcome
attempt_directly(Resolve *resolve, int64 *count)
{
	for (Size i = 0; i < resolve->nchanges; i++)
	{
		const CxmChange *change = &resolve->changes[i];

		if (change->kind != CXM_SEEN || change->is_retired || change->is_edited || change->pending != CXM_WRITTEN)
			return UNSUITED;
	}
	read_ends(resolve);
	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		const Member *member = member_at(resolve, i);

		if (member->cluster == CXM_NOWHERE && member->fresh == CXM_NOWHERE)
			return UNSUITED;
	}
	choose_locks(resolve);
	for (Size i = 0; i < resolve->ids.n; i++)
	{
		Cluster    *cluster = cluster_at(resolve, cxm_idmap_find(&resolve->cluster_of,
																 *vector_at(&resolve->ids, int64, i)));

		if (!cluster->is_exclusive || cluster->counts == NULL)
			return UNSUITED;
		cluster->is_locked = true;
	}
	resolve->ids.n = 0;
	find_generic(resolve);
	if (!resolve->is_direct)
		return UNSUITED;
	form_groups(resolve);
	for (uint32 i = 0; i < resolve->nclusters + resolve->nfresh; i++)
	{
		if (resolve->groups[i].parent == i && resolve->groups[i].is_slow)
			return UNSUITED;
	}
	settle_groups(resolve, resolve->groups);
	settle_links(resolve);
	if (resolve->merges.n > 0 && !cxm_direct_may_merge(resolve->direct))
		return UNSUITED;
	resolve->has_own_rows = has_own_rows(resolve);
	if (resolve->touches.n + resolve->merges.n > 1)
		return in_subtransaction(write_directly, resolve, count) ? DONE : OVERTAKEN;
	return write_directly(resolve, count) ? DONE : OVERTAKEN;
}

/* Where an identifier belongs now that its group is settled */
static int64
place_of(const Resolve *resolve, int64 id)
{
	uint32		i = cxm_idmap_find(&resolve->member_of, id);
	const Member *member;
	int64		winner;

	if (i == CXM_NOWHERE)
		return 0;
	member = member_at(resolve, i);
	winner = resolve->groups[find_group(resolve->groups, group_of(resolve, member))].winner;
	return winner != 0 || member->cluster == CXM_NOWHERE ? winner : cluster_at(resolve, member->cluster)->id;
}

/*
 * Bring profiles up to date with links that came, changed or were retired.
 * The rows of fresh identifiers are written already, and so are those of
 * links unless they say that they are pending.
 */
int64
cxm_resolve(const CxmRules *rules, const CxmChange *changes, Size nchanges,
			const CxmFresh *fresh, Size nfresh, const CxmLabel *labels, Size nlabels,
			text *retired_reason, bool never_waits, CxmDirect *direct, CxmPlace *place)
{
	Resolve		resolve = {.rules = rules, .given = changes, .ngiven = nchanges, .fresh = fresh, .nfresh = nfresh,
	.labels = labels, .nlabels = nlabels, .retired_reason = retired_reason,
	.never_waits = never_waits, .direct = direct};
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext context;
	int64		count = 0;

	if (nchanges == 0 && nfresh == 0)
		return 0;
	cxm_idmap_init(&resolve.fresh_of);
	cxm_vector_init(&resolve.extra, sizeof(int64));
	for (Size i = 0; i < nfresh; i++)
		cxm_idmap_add(&resolve.fresh_of, fresh[i].id, (uint32) i);

	context = AllocSetContextCreate(outer, "cxm identity", ALLOCSET_DEFAULT_SIZES);
	resolve.is_direct = direct != NULL && cxm_direct_may_write(direct);
	while (resolve.is_direct)
	{
		Outcome		outcome;

		MemoryContextSwitchTo(context);
		cxm_direct_refresh(direct);
		start_attempt(&resolve);
		outcome = attempt_directly(&resolve, &count);
		if (outcome == DONE && place != NULL)
			place->profile_id = place_of(&resolve, place->identifier_id);
		MemoryContextSwitchTo(outer);
		if (outcome == DONE)
		{
			MemoryContextDelete(context);
			return count;
		}
		MemoryContextReset(context);
		if (outcome == OVERTAKEN && IsolationUsesXactSnapshot())
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent update")));
		resolve.is_direct = outcome == OVERTAKEN;
		CHECK_FOR_INTERRUPTS();
	}

	connect_statements(&resolve);
	for (;;)
	{
		MemoryContextSwitchTo(context);
		start_attempt(&resolve);
		read_ends(&resolve);
		choose_locks(&resolve);
		/* whoever only adds what nobody knows yet waits for nobody */
		if (resolve.ids.n > 0 && !never_waits)
		{
			if (in_subtransaction(attempt_and_write, &resolve, &count))
				break;
		}
		else if (attempt_and_write(&resolve, &count))
			break;
		MemoryContextSwitchTo(outer);
		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(context);
	return count;
}

/*
 * Solve all links at once
 */
static void
solve_everything(Resolve *resolve, bool read_only)
{
	resolve->is_everything = true;
	cxm_idmap_init(&resolve->fresh_of);
	start_attempt(resolve);
	cxm_query(&all_profiles_query, NULL, read_only, read_lock, resolve);
	cxm_query(&all_members_query, NULL, read_only, read_member, resolve);
	cxm_query(&all_links_query, NULL, read_only, read_link, resolve);
	rank_links(resolve);
	solve_region(resolve);
}

/* Bring all profiles up to date; the caller keeps everybody else from changing links and rules */
int64
cxm_resolve_everything(const CxmRules *rules)
{
	Resolve		resolve = {.rules = rules};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "cxm identity", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int64		count;

	solve_everything(&resolve, false);
	compare_solution(&resolve);
	write_down_solution(&resolve);
	count = write_down(&resolve);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return count;
}

/*
 * What is kept, against what all live links give
 */
static const char *
say_quarantine(uint8 quarantine)
{
	return quarantine == CXM_HOLDS ? "not quarantined" : cxm_refusal_name(quarantine);
}

static const char *
say_refused(uint8 refused)
{
	return refused == CXM_HOLDS ? "holds" : cxm_refusal_name(refused);
}

static const char *
say_bool(bool value)
{
	return value ? "true" : "false";
}

static void
compare_partition(Resolve *resolve, CxmPutDifference put, void *state)
{
	int64	   *low = allocate_huge(Max(resolve->parts.n, 1) * sizeof(int64));
	int64	   *high = allocate_huge(Max(resolve->parts.n, 1) * sizeof(int64));

	compare_solution(resolve);
	for (Size i = 0; i < resolve->parts.n; i++)
	{
		low[i] = PG_INT64_MAX;
		high[i] = PG_INT64_MIN;
	}
	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		const Member *member = member_at(resolve, i);

		if (!member->is_outside)
		{
			int64		id = cluster_at(resolve, member->cluster)->id;

			low[member->part] = Min(low[member->part], id);
			high[member->part] = Max(high[member->part], id);
		}
	}
	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		const Member *member = member_at(resolve, i);
		const Cluster *cluster;
		CxmDifference difference;

		if (member->is_outside)
			continue;
		cluster = cluster_at(resolve, member->cluster);
		difference = (CxmDifference) {.profile_id = cluster->id, .identifier_id = member->id};
		if (cluster->is_changed)
		{
			difference.kind = "partition";
			difference.stored = psprintf("profile %lld", (long long) cluster->id);
			difference.expected = low[member->part] == high[member->part] ? "not one person with all of the profile"
				: psprintf("one person with profiles %lld to %lld",
						   (long long) low[member->part], (long long) high[member->part]);
			put(&difference, state);
		}
		if (member->is != member->was)
		{
			difference.kind = "quarantined";
			difference.stored = say_quarantine(member->was);
			difference.expected = say_quarantine(member->is);
			put(&difference, state);
		}
	}
	pfree(low);
	pfree(high);
}

/* What a standing profile keeps besides: of the identifiers that it has, right or wrong */
static void
compare_standing(Resolve *resolve, CxmPutDifference put, void *state)
{
	Size		width = Max(resolve->rules->max_id, 1);
	int32	   *counts = MemoryContextAllocExtended(CurrentMemoryContext,
													Max(resolve->clusters.n, 1) * width * sizeof(int32),
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	bool	   *is_known = MemoryContextAllocExtended(CurrentMemoryContext, Max(resolve->clusters.n, 1),
													  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	bool	   *is_kept_apart = MemoryContextAllocExtended(CurrentMemoryContext, Max(resolve->clusters.n, 1),
														   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	bool	   *has_weaker = MemoryContextAllocExtended(CurrentMemoryContext, Max(resolve->clusters.n, 1),
														MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	for (uint32 i = 0; i < resolve->members.n; i++)
	{
		const Member *member = member_at(resolve, i);

		if (member->is_outside)
			continue;
		count_identifier(resolve, &counts[member->cluster * width], member->namespace);
		is_known[member->cluster] |= member->is_known;
		is_kept_apart[member->cluster] |= member->is_kept_apart;
	}
	for (Size i = 0; i < resolve->links.n; i++)
	{
		const CxmIdentityLink *link = vector_at(&resolve->links, CxmIdentityLink, i);
		uint32		in = member_at(resolve, link->a)->cluster;

		if (link->kind != CXM_NEVER && link->a != link->b && !member_at(resolve, link->a)->is_outside
			&& !member_at(resolve, link->b)->is_outside && member_at(resolve, link->b)->cluster == in
			&& vector_at(&resolve->rows, LinkRow, link->tag)->refused == CXM_HOLDS)
			has_weaker[in] |= is_weaker(link->strength, link->at,
										cluster_at(resolve, in)->weakest, cluster_at(resolve, in)->weakest_at);
	}
	for (uint32 i = 0; i < resolve->clusters.n; i++)
	{
		const Cluster *cluster = cluster_at(resolve, i);
		CxmDifference difference = {.profile_id = cluster->id};

		/* one that does not stand keeps nothing */
		if (!cluster->is_locked)
			continue;
		difference.kind = "counts";
		for (int id = 0; id < resolve->rules->max_id; id++)
		{
			if (cluster->counts[id] == counts[i * width + id])
				continue;
			difference.stored = psprintf("%d of namespace %d", cluster->counts[id], id + 1);
			difference.expected = psprintf("%d", counts[i * width + id]);
			put(&difference, state);
		}
		if (cluster->is_known != is_known[i])
		{
			difference.kind = "is_known";
			difference.stored = say_bool(cluster->is_known);
			difference.expected = say_bool(is_known[i]);
			put(&difference, state);
		}
		if (cluster->is_kept_apart != is_kept_apart[i])
		{
			difference.kind = "is_kept_apart";
			difference.stored = say_bool(cluster->is_kept_apart);
			difference.expected = say_bool(is_kept_apart[i]);
			put(&difference, state);
		}
		if (has_weaker[i] && resolve->rules->has_lasting_ranks)
		{
			difference.kind = "weakest";
			difference.stored = "holds by nothing weaker";
			difference.expected = "a weaker link holds";
			put(&difference, state);
		}
	}
	pfree(has_weaker);
	pfree(counts);
	pfree(is_known);
	pfree(is_kept_apart);
}

/*
 * Does a link that a rule refuses say so?  Of several reasons it gives the one
 * that was met when it was last looked at.  Profiles that grow can only put an
 * earlier one in front of that, for which nobody reads their links again.
 */
static bool
says_why(const LinkRow *row)
{
	return row->refused == row->solved || (row->solved >= CXM_KEPT_APART && row->refused > row->solved);
}

/* Solve all live links, and report where the store differs from that */
void
cxm_compare_everything(const CxmRules *rules, CxmPutDifference put, void *state)
{
	Resolve		resolve = {.rules = rules};

	solve_everything(&resolve, true);
	compare_partition(&resolve, put, state);
	compare_standing(&resolve, put, state);
	for (Size i = 0; i < resolve.rows.n; i++)
	{
		const LinkRow *row = vector_at(&resolve.rows, LinkRow, i);

		if (!says_why(row))
			put(&(CxmDifference) {.kind = "refused", .link_id = row->link_id,
				.stored = say_refused(row->refused), .expected = say_refused(row->solved)}, state);
	}
}
