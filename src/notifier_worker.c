/*
 * src/notifier_worker.c
 *		The background workers that send what waits in cx.outbox.
 *
 * With shared_preload_libraries = 'cxm' the server runs one launcher, which
 * belongs to no database, and one worker for each database that holds a store.
 * A writer that has posted something sets the latch of its database's worker
 * when it has committed, or the launcher's where there is no worker yet.
 * Nobody polls: without work all of them sleep until a latch is set.
 *
 * What they share is a slot for each database.  It says who its worker is and
 * from which outbox_id on there may be something unsent.  Nothing in it needs
 * to survive: after a start, a crash or a promotion the launcher sends a worker
 * into every database to look, and what is unsent says so itself (sent_at).
 *
 * A worker is connected as the bootstrap superuser, as background workers are
 * that do not name a role, and a role that may not log in could not be named.
 * The outbox, though, is a table of its owner, who may have put triggers,
 * rules or constraints on it; so its transactions run as that owner, in a
 * security-restricted operation, from which no way leads back to the session's
 * user.  Row-level security is off, which for an owner who is subject to it (FORCE)
 * makes the statement fail rather than pass rows over in silence.
 *
 * A worker in a database is in the way of DROP DATABASE and others that need
 * it for themselves, so these ask it to leave first.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "commands/async.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "notifier.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "replication/syncrep.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define SCHEMA "cx"
#define OUTBOX "outbox"

#define WORKER_NAME "cxm notifier"
#define LAUNCHER_NAME "cxm notifier launcher"

/* every row, and none, as the id to begin with */
#define FROM_FIRST PG_INT64_MIN
#define FROM_NONE PG_INT64_MAX

/* pauses after failures: from the first, doubled each time, up to the last */
#define FIRST_PAUSE_MS 250
#define LONGEST_PAUSE_MS 60000

/* rows that another session has locked are looked for sooner */
#define FIRST_LOCKED_PAUSE_MS 20
#define LONGEST_LOCKED_PAUSE_MS 5000

/*
 * Batches begin no closer to each other than this.  One that comes alone is
 * sent at once; where they come in crowds, waking the worker, its commits and
 * waking the listeners are for many of them together, and cost the writers that
 * much less.  The larger a batch is the longer the next one waits.
 */
#define SHORTEST_INTERVAL_MS 3
#define LONGEST_INTERVAL_MS 8
#define SENT_PER_MS 5			/* so many rows of a batch make the interval after it a millisecond longer */

/*
 * A batch is told once its mark is on disk.  Writers flush all the time while
 * there is much to tell, and take the mark along: that is waited for in so many
 * naps of so many microseconds, unless nobody writes.
 */
#define FLUSH_NAPS 2
#define FLUSH_NAP_US 1000

typedef enum SlotState
{
	SLOT_QUIET,					/* no worker, and none is wanted */
	SLOT_WANTED,				/* the launcher is to start a worker */
	SLOT_STARTING,				/* it has done so */
	SLOT_RUNNING				/* the worker is connected */
} SlotState;

/* of one database; all but "from" is guarded by the lock */
typedef struct Slot
{
	Oid			database;		/* InvalidOid: the slot is free */
	SlotState	state;
	uint32		start;			/* counts starts, so that a late worker knows that it is not meant any more */
	int			holders;		/* sessions that need the database for themselves */
	pid_t		pid;			/* of the worker, or 0 */
	Latch	   *latch;			/* its latch */
	ConditionVariable left;		/* told when the worker has left */
	int			failures;		/* starts, or workers' deaths, in a row */
	TimestampTz not_before;		/* the next start */
	pg_atomic_uint64 from;		/* an int64: rows with this id or a higher one may be unsent */

	/* for cxm.notifier_status() */
	bool		is_failing;
	TimestampTz started_at;
	int64		batches;
	int64		sent;
	TimestampTz last_sent_at;
	TimestampTz error_at;
	char		error[512];
} Slot;

typedef struct Shared
{
	LWLock	   *lock;
	pid_t		launcher_pid;
	Latch	   *launcher_latch;
	bool		look_around;	/* the launcher is to look into every database */
	int			nslots;
	Slot		slots[FLEXIBLE_ARRAY_MEMBER];
} Shared;

static Shared *shared = NULL;

/* what this session does when its transaction ends */
static int64 wake_from = FROM_NONE;
static bool look_is_due = false;	/* an object is gone that the worker may need */
static List *held_databases = NIL;

#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type previous_shmem_request = NULL;
#endif
static shmem_startup_hook_type previous_shmem_startup = NULL;
static ProcessUtility_hook_type previous_process_utility = NULL;
static object_access_hook_type previous_object_access = NULL;

extern PGDLLEXPORT void cxm_notifier_launcher_main(Datum argument);
extern PGDLLEXPORT void cxm_notifier_worker_main(Datum argument);

PG_FUNCTION_INFO_V1(cxm_wake);
PG_FUNCTION_INFO_V1(cxm_notifier_status);

/*
 * Slots
 */

static int
slots_wanted(void)
{
	/* databases beyond the number of workers wait for one; a slot is cheap */
	return Max(128, 2 * max_worker_processes);
}

static Size
shared_size(void)
{
	return add_size(offsetof(Shared, slots), mul_size(slots_wanted(), sizeof(Slot)));
}

static void
request_shared_memory(void)
{
#if PG_VERSION_NUM >= 150000
	if (previous_shmem_request)
		previous_shmem_request();
#endif
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche("cxm_notifier", 1);
}

static void
start_shared_memory(void)
{
	bool		found;

	if (previous_shmem_startup)
		previous_shmem_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("cxm notifier", shared_size(), &found);
	if (!found)
	{
		memset(shared, 0, shared_size());
		shared->lock = &GetNamedLWLockTranche("cxm_notifier")->lock;
		shared->nslots = slots_wanted();
		for (int i = 0; i < shared->nslots; i++)
		{
			ConditionVariableInit(&shared->slots[i].left);
			pg_atomic_init_u64(&shared->slots[i].from, (uint64) FROM_NONE);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

static Slot *
find_slot(Oid database)
{
	static int	last = 0;		/* a session looks for one database nearly always */

	Assert(LWLockHeldByMe(shared->lock));
	if (shared->slots[last].database == database)
		return &shared->slots[last];
	for (int i = 0; i < shared->nslots; i++)
		if (shared->slots[i].database == database)
		{
			last = i;
			return &shared->slots[i];
		}
	return NULL;
}

/* The slot of a database, a new one when it has none; NULL when all are taken */
static Slot *
make_slot(Oid database)
{
	Slot	   *slot = find_slot(database);

	Assert(LWLockHeldByMeInMode(shared->lock, LW_EXCLUSIVE));
	if (slot == NULL && (slot = find_slot(InvalidOid)) != NULL)
	{
		slot->database = database;
		slot->state = SLOT_QUIET;
		slot->holders = 0;
		slot->pid = 0;
		slot->latch = NULL;
		slot->failures = 0;
		slot->not_before = 0;
		pg_atomic_write_u64(&slot->from, (uint64) FROM_NONE);
		slot->is_failing = false;
		slot->started_at = 0;
		slot->batches = 0;
		slot->sent = 0;
		slot->last_sent_at = 0;
		slot->error_at = 0;
		slot->error[0] = '\0';
	}
	return slot;
}

static void
free_slot(Slot *slot)
{
	slot->database = InvalidOid;
	slot->start++;
}

static void
lower_from(Slot *slot, int64 from)
{
	uint64		old = pg_atomic_read_u64(&slot->from);

	while (from < (int64) old && !pg_atomic_compare_exchange_u64(&slot->from, &old, (uint64) from))
		;
}

static bool
has_work(Slot *slot)
{
	return (int64) pg_atomic_read_u64(&slot->from) != FROM_NONE;
}

static void
set_latch(Latch *latch)
{
	if (latch != NULL)
		SetLatch(latch);
}

/* When to try again after so many failures in a row: in "first" milliseconds, and each time twice as many */
static TimestampTz
next_attempt(int failures, int first, int longest)
{
	int			pause = failures > 16 ? longest : Min(first << Max(failures - 1, 0), longest);

	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause);
}

static uint32
wait_event(void)
{
#if PG_VERSION_NUM >= 170000
	static uint32 event = 0;

	if (event == 0)
		event = WaitEventExtensionNew("CxmNotifier");
	return event;
#else
	return PG_WAIT_EXTENSION;
#endif
}

/* Sleep until the latch is set, or that moment has come (0: never) */
static void
sleep_until(TimestampTz moment)
{
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	long		timeout = -1;

	if (moment != 0)
	{
		events |= WL_TIMEOUT;
		timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), moment) + 1;
	}
	(void) WaitLatch(MyLatch, events, timeout, wait_event());
	ResetLatch(MyLatch);
}

/* Sleep so long, whatever comes */
static void
nap(long milliseconds)
{
	if (milliseconds > 0)
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds, wait_event());
}

static TimestampTz
earlier(TimestampTz a, TimestampTz b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* What both kinds of process look at before they sleep */
static void
heed_signals(void)
{
	/* somebody has cancelled what we are not doing any more */
	QueryCancelPending = false;

	if (ProcDiePending)
		proc_exit(MyBgworkerEntry->bgw_restart_time == BGW_NEVER_RESTART ? 0 : 1);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * The launcher
 */

/* of each slot, from its last start; in the launcher's memory */
static BackgroundWorkerHandle **handles = NULL;

static void
forget_launcher(int code, Datum argument)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (shared->launcher_pid == MyProcPid)
	{
		shared->launcher_pid = 0;
		shared->launcher_latch = NULL;
	}
	LWLockRelease(shared->lock);
}

/* The databases that a worker can be in; in a template nobody is expected to have a store, unless he says so */
static List *
list_databases(MemoryContext context, bool with_templates)
{
	List	   *databases = NIL;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	/* without a database there are no catalogue indexes, so read the table */
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		/* a negative limit other than -1 marks what is left of a DROP DATABASE that was cut off */
		if (!database->datallowconn || database->datconnlimit < -1 || (database->datistemplate && !with_templates))
			continue;
		old = MemoryContextSwitchTo(context);
		databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return databases;
}

static bool
register_worker(int index)
{
	Slot	   *slot = &shared->slots[index];
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = Int32GetDatum(index);
	strlcpy(worker.bgw_library_name, "cxm", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "cxm_notifier_worker_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, WORKER_NAME, sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, WORKER_NAME, sizeof(worker.bgw_type));
	memcpy(worker.bgw_extra, &slot->start, sizeof(slot->start));

	if (handles[index] != NULL)
		pfree(handles[index]);
	handles[index] = NULL;
	return RegisterDynamicBackgroundWorker(&worker, &handles[index]);
}

/* A process that could not even begin says nothing; its handle does */
static bool
has_vanished(int index)
{
	pid_t		pid;

	return handles[index] == NULL || GetBackgroundWorkerPid(handles[index], &pid) == BGWH_STOPPED;
}

static void
note_failed_start(Slot *slot, const char *error)
{
	slot->state = SLOT_WANTED;
	slot->not_before = next_attempt(++slot->failures, FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
	if (error != NULL)
	{
		strlcpy(slot->error, error, sizeof(slot->error));
		slot->error_at = GetCurrentTimestamp();
	}
}

static bool
wants_worker(const Slot *slot)
{
	return OidIsValid(slot->database) && slot->state == SLOT_WANTED && slot->holders == 0;
}

/*
 * Start the workers that are wanted, and return when to try the next one (0:
 * when the latch is set).  Databases of which nobody knows whether they hold a
 * store come one after the other, so that a server with many of them does not
 * run out of processes.
 */
static TimestampTz
start_workers(List **unknown)
{
	static bool is_exhausted = false;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = 0;
	List	   *databases = NIL;
	bool		is_busy = false;
	bool		is_wanted = false;
	bool		was_refused = false;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots; i++)
	{
		Slot	   *slot = &shared->slots[i];

		if (!OidIsValid(slot->database))
			continue;
		if (slot->state == SLOT_STARTING && slot->pid == 0 && has_vanished(i))
			note_failed_start(slot, NULL);
		is_busy |= slot->state == SLOT_STARTING || (slot->state == SLOT_WANTED && slot->not_before <= now);
	}
	while (*unknown != NIL && !is_busy)
	{
		Oid			database = linitial_oid(*unknown);
		Slot	   *slot;

		if (find_slot(database) == NULL)
		{
			slot = make_slot(database);
			if (slot == NULL)
			{
				next = TimestampTzPlusMilliseconds(now, LONGEST_PAUSE_MS);
				break;
			}
			slot->state = SLOT_WANTED;
			pg_atomic_write_u64(&slot->from, (uint64) FROM_FIRST);
			is_busy = true;
		}
		*unknown = list_delete_first(*unknown);
	}
	for (int i = 0; i < shared->nslots; i++)
		is_wanted |= wants_worker(&shared->slots[i]);
	LWLockRelease(shared->lock);

	if (!is_wanted)
		return next;
	databases = list_databases(CurrentMemoryContext, true);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->nslots; i++)
	{
		Slot	   *slot = &shared->slots[i];

		if (!wants_worker(slot))
			continue;
		if (!list_member_oid(databases, slot->database))
		{
			/* then it is the next one's turn */
			free_slot(slot);
			next = earlier(next, now);
			continue;
		}
		if (slot->not_before > now)
		{
			next = earlier(next, slot->not_before);
			continue;
		}
		slot->state = SLOT_STARTING;
		slot->start++;
		if (!register_worker(i))
		{
			was_refused = true;
			note_failed_start(slot, "no background worker process is free");
			next = earlier(next, slot->not_before);
		}
	}
	LWLockRelease(shared->lock);
	list_free(databases);

	/* once, not at each attempt */
	if (was_refused && !is_exhausted)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no background worker process is free for a cxm notifier"),
				 errdetail("Notifications wait in cx.outbox; the launcher tries again at intervals of up to %d seconds.", LONGEST_PAUSE_MS / 1000),
				 errhint("Increase max_worker_processes (now %d): the notifier needs one, and one for each database that holds a store.", max_worker_processes)));
	is_exhausted = was_refused || (is_exhausted && next != 0);
	return next;
}

void
cxm_notifier_launcher_main(Datum argument)
{
	List	   *unknown = NIL;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	handles = MemoryContextAllocZero(TopMemoryContext, shared->nslots * sizeof(void *));
	before_shmem_exit(forget_launcher, (Datum) 0);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher_pid = MyProcPid;
	shared->launcher_latch = MyLatch;
	shared->look_around = true;
	LWLockRelease(shared->lock);

	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	SetConfigOption("application_name", LAUNCHER_NAME, PGC_USERSET, PGC_S_OVERRIDE);

	for (;;)
	{
		bool		look_around;

		heed_signals();
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		look_around = shared->look_around;
		shared->look_around = false;
		LWLockRelease(shared->lock);
		if (look_around)
		{
			list_free(unknown);
			unknown = list_databases(TopMemoryContext, false);
		}
		pgstat_report_activity(STATE_RUNNING, "starting notifiers");
		MemoryContextSwitchTo(TopMemoryContext);
		{
			TimestampTz next = start_workers(&unknown);

			pgstat_report_activity(STATE_IDLE, NULL);
			sleep_until(next);
		}
	}
}

/*
 * The worker
 */

static Slot *my_slot = NULL;
static char my_database[NAMEDATALEN];
static bool store_is_gone = false;

static void
leave_slot(int code, Datum argument)
{
	TimestampTz now = GetCurrentTimestamp();
	Latch	   *launcher;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->pid = 0;
	my_slot->latch = NULL;
	my_slot->is_failing = false;
	if (store_is_gone && my_slot->holders == 0 && !has_work(my_slot))
		free_slot(my_slot);
	else
	{
		/* who was asked to leave comes back as soon as it may */
		bool		was_asked = my_slot->holders > 0;

		if (my_slot->started_at != 0 && TimestampDifferenceExceeds(my_slot->started_at, now, LONGEST_PAUSE_MS))
			my_slot->failures = 0;
		my_slot->state = SLOT_WANTED;
		my_slot->not_before = 0;
		lower_from(my_slot, FROM_FIRST);
		if (!was_asked && !store_is_gone)
			my_slot->not_before = next_attempt(++my_slot->failures, FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
	}
	launcher = shared->launcher_latch;
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&my_slot->left);
	set_latch(launcher);
}

/* Whether a session needs the database for itself */
static bool
must_leave(void)
{
	bool		must;

	LWLockAcquire(shared->lock, LW_SHARED);
	must = my_slot->holders > 0;
	LWLockRelease(shared->lock);
	return must;
}

/* Connected: from now on we can be interrupted, and the launcher may turn to the next database */
static void
announce(void)
{
	Latch	   *launcher;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->state = SLOT_RUNNING;
	launcher = shared->launcher_latch;
	LWLockRelease(shared->lock);
	set_latch(launcher);
}

static void
note_error(const char *error)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->is_failing = true;
	my_slot->error_at = GetCurrentTimestamp();
	strlcpy(my_slot->error, error, pg_mbcliplen(error, strlen(error), sizeof(my_slot->error) - 1) + 1);
	LWLockRelease(shared->lock);
}

static void
note_batch(const CxmBatch *batch)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_slot->is_failing = false;
	my_slot->failures = 0;
	if (batch->sent > 0)
	{
		my_slot->batches++;
		my_slot->sent += batch->sent;
		my_slot->last_sent_at = GetCurrentTimestamp();
	}
	LWLockRelease(shared->lock);
}

/* Known to be there, for the server keeps no cache of extensions */
static bool extension_is_there = false;

static void
forget_extension(Datum argument, int cache, uint32 hash)
{
	extension_is_there = false;
}

/* Is the extension there?  That is asked for each batch. */
static bool
has_extension(void)
{
	static bool is_registered = false;

	if (!is_registered)
	{
		/* its functions go with it */
		CacheRegisterSyscacheCallback(PROCOID, forget_extension, (Datum) 0);
		is_registered = true;
	}
	if (extension_is_there)
		return true;
	/* said first: what changes while it is looked up makes this unknown again */
	extension_is_there = true;
	if (OidIsValid(get_extension_oid("cxm", true)))
		return true;
	extension_is_there = false;
	return false;
}

/* The outbox of the store, locked, or NULL */
static Relation
open_outbox(void)
{
	Oid			schema = get_namespace_oid(SCHEMA, true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid(OUTBOX, schema) : InvalidOid;
	char		kind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';

	/* not a view, and nothing that a dropped extension has left */
	if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) || !has_extension())
		return NULL;
	return try_relation_open(relid, RowExclusiveLock);
}

typedef enum Outcome
{
	NO_STORE,
	DONE,
	FAILED,
	QUEUE_FULL,					/* nearly: nothing was tried */
	TOO_MANY					/* they did not fit into the queue */
} Outcome;

/* who a transaction was before it became the owner of the outbox, up to and with its commit; an error ends that, too */
typedef struct Owner
{
	Oid			user;
	int			security;
} Owner;

static void
become_owner(Relation outbox, Owner *before)
{
	GetUserIdAndSecContext(&before->user, &before->security);
	SetUserIdAndSecContext(outbox->rd_rel->relowner, before->security | SECURITY_RESTRICTED_OPERATION);
}

static void
commit_as_owner(Relation outbox, const Owner *before)
{
	relation_close(outbox, NoLock);
	PopActiveSnapshot();
	CommitTransactionCommand();
	SetUserIdAndSecContext(before->user, before->security);
}

/* Not by SET LOCAL, for to take that back costs a look at every setting that there is */
static void
commit_unflushed(Relation outbox, const Owner *before)
{
	int			wanted = synchronous_commit;

	synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
	PG_TRY();
	{
		if (outbox != NULL)
			commit_as_owner(outbox, before);
		else
			CommitTransactionCommand();
	}
	PG_FINALLY();
	{
		synchronous_commit = wanted;
	}
	PG_END_TRY();
}

static Relation
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	return open_outbox();
}

/*
 * Does a commit wait for the disk, and for nothing else?  Then the flush of a
 * writer may be waited for instead of one more.
 */
static bool
may_share_flush(void)
{
	return synchronous_commit > SYNCHRONOUS_COMMIT_OFF
		&& (synchronous_commit == SYNCHRONOUS_COMMIT_LOCAL_FLUSH
			|| SyncRepStandbyNames == NULL || SyncRepStandbyNames[0] == '\0');
}

static XLogRecPtr
flushed_to(void)
{
#if PG_VERSION_NUM >= 150000
	return GetFlushRecPtr(NULL);
#else
	return GetFlushRecPtr();
#endif
}

/* Wait until that much is on disk.  While others commit, one of them takes it along soon. */
static void
await_flush(XLogRecPtr end)
{
	XLogRecPtr	before = flushed_to();

	for (int nap = 0; enableFsync && nap < FLUSH_NAPS && before < end; nap++)
	{
		XLogRecPtr	now;

		pg_usleep(FLUSH_NAP_US);
		now = flushed_to();
		if (now == before && !MinimumActiveBackends(1))
			break;
		before = now;
	}
	XLogFlush(end);
}

/*
 * Tell of a batch that is marked, once the mark is on disk: nobody is to hear
 * of what a crash takes back, and then again.  A crash in between costs those
 * nothing who listen, for they have to connect anew and replay; anything else
 * that ends this process waits (interrupts are held).
 */
static void
tell_of_marked(CxmBatch *batch)
{
	await_flush(XactLastCommitEnd);
	StartTransactionCommand();
	cxm_tell_batch(batch);
	/* there is nothing in it that would have to last */
	commit_unflushed(NULL, NULL);
	batch->is_marked = false;
}

/* Send a batch: in one transaction, or in one that marks and another that tells */
static Outcome
send_in_transactions(int64 from, int limit, CxmBatch *batch)
{
	Relation	outbox = begin_transaction();
	Owner		before;

	pgstat_report_activity(STATE_RUNNING, "sending notifications of cx.outbox");
	if (outbox == NULL)
	{
		PopActiveSnapshot();
		CommitTransactionCommand();
		return NO_STORE;
	}
	become_owner(outbox, &before);
	if (cxm_notify_queue_usage() >= CXM_FULLEST_QUEUE)
	{
		commit_as_owner(outbox, &before);
		return QUEUE_FULL;
	}
	batch->tells_later = may_share_flush();
	cxm_send_batch(from, limit, batch);
	if (batch->kept == NIL)
		commit_as_owner(outbox, &before);
	else
	{
		HOLD_INTERRUPTS();
		commit_unflushed(outbox, &before);
		batch->is_marked = true;
		tell_of_marked(batch);
		RESUME_INTERRUPTS();
	}
#if PG_VERSION_NUM < 150000
	/* before 14.1 the listeners are signalled by this, later by the commit */
	ProcessCompletedNotifies();
#endif
	return DONE;
}

/* End the transaction that failed, and say why; interrupts are held, for the caller to resume */
static ErrorData *
abort_failed(MemoryContext context)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	return error;
}

/* What was marked and could not be told waits again; that is not to be cut off either */
static void
take_back(const CxmBatch *batch)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		Relation	outbox;
		Owner		before;

		HOLD_INTERRUPTS();
		outbox = begin_transaction();
		if (outbox == NULL)
		{
			PopActiveSnapshot();
			CommitTransactionCommand();
		}
		else
		{
			become_owner(outbox, &before);
			cxm_take_back_batch(batch);
			commit_as_owner(outbox, &before);
		}
		RESUME_INTERRUPTS();
	}
	PG_CATCH();
	{
		ErrorData  *error = abort_failed(context);

		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("%d notifications of database \"%s\" are marked as sent and were not told: %s",
						list_length(batch->kept), my_database, error->message),
				 errhint("Listeners get them by cxm.replay_outbox().")));
		FreeErrorData(error);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/* Remember why it failed, and log it unless the attempt before failed likewise; error: if one was raised */
static void
tell_failure(const char *message, const ErrorData *error, int failures)
{
	static char last[512] = "";
	bool		is_new = failures == 0 || strncmp(last, message, sizeof(last) - 1) != 0;

	strlcpy(last, message, sizeof(last));
	note_error(message);
	if (!is_new)
		return;
	ereport(WARNING,
			(errcode(error ? error->sqlerrcode : ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("notifications of database \"%s\" wait: %s", my_database, message),
			 error && error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error == NULL ? errhint("A session that listens is in a long transaction: see pg_stat_activity.")
			 : error->hint ? errhint("%s", error->hint) : 0,
			 error && error->context ? errcontext("%s", error->context) : 0));
}

/* The same, with errors caught */
static Outcome
try_to_send(int64 from, int limit, CxmBatch *batch, int failures)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Outcome outcome = FAILED;

	memset(batch, 0, sizeof(*batch));
	batch->context = AllocSetContextCreate(context, "cxm notifications", ALLOCSET_DEFAULT_SIZES);
	PG_TRY();
	{
		outcome = send_in_transactions(from, limit, batch);
	}
	PG_CATCH();
	{
		ErrorData  *error = abort_failed(context);

		pgstat_report_activity(STATE_IDLE, NULL);
		outcome = error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED ? TOO_MANY : FAILED;
		/* who is asked to leave in the middle of something has no error to tell of */
		if (error->sqlerrcode != ERRCODE_QUERY_CANCELED || !must_leave())
			tell_failure(error->message, error, failures);
		FreeErrorData(error);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (batch->is_marked)
		take_back(batch);
	MemoryContextDelete(batch->context);

	if (outcome == QUEUE_FULL)
		tell_failure("the queue of NOTIFY is nearly full", NULL, failures);
	return outcome;
}

/* Settings of the database or its roles must not change what the worker does */
static void
fix_settings(void)
{
	static const char *const settings[][2] = {
		{"application_name", WORKER_NAME},
		{"search_path", "pg_catalog, pg_temp"},
		{"row_security", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
#if PG_VERSION_NUM >= 170000
		{"transaction_timeout", "0"},
#endif
		/* its statements look few rows up by index, whatever the statistics say */
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"jit", "off"},
		{"plan_cache_mode", "force_generic_plan"},
	};

	for (Size i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

/* Take the slot that the launcher has chosen; false when it has changed its mind meanwhile */
static bool
take_slot(int index)
{
	uint32		start;
	bool		is_mine;

	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));
	my_slot = &shared->slots[index];
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	is_mine = OidIsValid(my_slot->database) && my_slot->state == SLOT_STARTING && my_slot->start == start;
	if (is_mine)
	{
		my_slot->pid = MyProcPid;
		my_slot->latch = MyLatch;
		my_slot->started_at = GetCurrentTimestamp();
	}
	LWLockRelease(shared->lock);
	return is_mine;
}

void
cxm_notifier_worker_main(Datum argument)
{
	int64		todo = FROM_FIRST;
	TimestampTz not_before = 0;
	TimestampTz next_batch = 0;
	int			limit = CXM_BATCH_SIZE;
	int			failures = 0;
	int			locked = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	if (!take_slot(DatumGetInt32(argument)))
		proc_exit(0);
	before_shmem_exit(leave_slot, (Datum) 0);
	if (must_leave())
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(my_slot->database, InvalidOid, 0);
	fix_settings();
	StartTransactionCommand();
	strlcpy(my_database, get_database_name(MyDatabaseId), sizeof(my_database));
	CommitTransactionCommand();
	announce();

	for (;;)
	{
		TimestampTz next;
		int64		hint;

		heed_signals();
		if (must_leave())
			proc_exit(0);

		if (next_batch != 0 && has_work(my_slot))
			nap(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_batch));

		/* what has just come does not wait for rows that others have locked */
		hint = (int64) pg_atomic_exchange_u64(&my_slot->from, (uint64) FROM_NONE);
		if (hint != FROM_NONE && failures == 0)
			not_before = 0;
		todo = Min(todo, hint);

		if (todo != FROM_NONE && (not_before == 0 || GetCurrentTimestamp() >= not_before))
		{
			CxmBatch	batch;
			Outcome		outcome;
			TimestampTz begun_at = GetCurrentTimestamp();

			outcome = try_to_send(todo, limit, &batch, failures);
			next_batch = TimestampTzPlusMilliseconds(begun_at, Min(SHORTEST_INTERVAL_MS + batch.sent / SENT_PER_MS,
																   LONGEST_INTERVAL_MS));
			if (outcome == NO_STORE)
			{
				store_is_gone = true;
				proc_exit(0);
			}
			else if (outcome != DONE)
			{
				if (outcome == TOO_MANY)
					limit = Max(limit / 2, 1);
				not_before = next_attempt(++failures, FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
			}
			else
			{
				if (failures > 0)
					ereport(LOG, (errmsg("notifications of database \"%s\" are sent again, after %d attempts that failed", my_database, failures)));
				failures = 0;
				not_before = 0;
				note_batch(&batch);
				todo = batch.is_full || batch.are_left ? Min(batch.next, FROM_NONE - 1) : FROM_NONE;
				if (batch.is_full)
					continue;
				limit = CXM_BATCH_SIZE;
				if (batch.are_left)
					not_before = next_attempt(++locked, FIRST_LOCKED_PAUSE_MS, LONGEST_LOCKED_PAUSE_MS);
				else
					locked = 0;
			}
		}

		/* what was counted is to be seen soon, and the worker is to sleep without looking at the clock */
		next = todo == FROM_NONE ? 0 : not_before;
#if PG_VERSION_NUM >= 150000
		{
			long		delay = pgstat_report_stat(false);

			if (delay > 0)
				next = earlier(next, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), delay));
		}
#else
		pgstat_report_stat(true);
#endif
		pgstat_report_activity(STATE_IDLE, NULL);
		sleep_until(next);
	}
}

/*
 * The sessions
 */

bool
cxm_notifier_is_preloaded(void)
{
	return shared != NULL;
}

/* Tell the worker of a database, or the launcher where there is none yet and may_start */
static void
wake(Oid database, int64 from, bool may_start)
{
	Slot	   *slot;
	Latch	   *latch = NULL;

	LWLockAcquire(shared->lock, LW_SHARED);
	slot = find_slot(database);
	if (slot != NULL)
	{
		/* before the latch is set; a worker that has none yet looks when it starts */
		lower_from(slot, from);
		latch = slot->latch;
		may_start &= slot->state == SLOT_QUIET;
	}
	LWLockRelease(shared->lock);

	if (may_start)
	{
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		slot = make_slot(database);
		if (slot != NULL)
		{
			lower_from(slot, from);
			if (slot->state == SLOT_QUIET)
				slot->state = SLOT_WANTED;
			latch = slot->latch != NULL ? slot->latch : shared->launcher_latch;
		}
		else if (!shared->look_around)
		{
			shared->look_around = true;
			latch = shared->launcher_latch;
		}
		LWLockRelease(shared->lock);
	}
	set_latch(latch);
}

/* A row was posted that waits for the worker */
void
cxm_posted(int64 outbox_id)
{
	/* a savepoint that is rolled back makes it look for nothing, which is no harm */
	wake_from = Min(wake_from, Min(outbox_id, FROM_NONE - 1));
}

void
cxm_wake_notifier(void)
{
	wake_from = FROM_FIRST;
}

/*
 * cxm.wake_notifier() RETURNS void
 */
Datum
cxm_wake(PG_FUNCTION_ARGS)
{
	cxm_wake_notifier();
	PG_RETURN_VOID();
}

/* Ask the worker to leave a database, and see to it that none comes until the transaction ends */
static void
hold_database(Oid database)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Slot	   *slot;
	pid_t		pid = 0;
	Latch	   *latch = NULL;

	/* first, so that whatever goes wrong gives it back */
	held_databases = lappend_oid(held_databases, database);
	MemoryContextSwitchTo(old);

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = make_slot(database);
	if (slot != NULL)
	{
		slot->holders++;
		pid = slot->pid;
		latch = slot->latch;
		/* it may be waiting for a lock */
		if (pid != 0 && slot->state == SLOT_RUNNING)
			(void) kill(pid, SIGINT);
	}
	else
		held_databases = list_delete_last(held_databases);
	LWLockRelease(shared->lock);
	set_latch(latch);
	if (pid == 0)
		return;

	ConditionVariablePrepareToSleep(&slot->left);
	for (;;)
	{
		bool		has_left;

		LWLockAcquire(shared->lock, LW_SHARED);
		has_left = slot->database != database || slot->pid != pid;
		LWLockRelease(shared->lock);
		if (has_left)
			break;
		ConditionVariableSleep(&slot->left, wait_event());
	}
	ConditionVariableCancelSleep();

	/* it told us just before its end; what looks for sessions in the database must not find it */
	for (int i = 0; i < 1000 && BackendPidGetProc(pid) != NULL; i++)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(1000L);
	}
}

static void
release_databases(void)
{
	Latch	   *launcher;
	ListCell   *cell;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	foreach(cell, held_databases)
	{
		Slot	   *slot = find_slot(lfirst_oid(cell));

		if (slot == NULL || slot->holders == 0)
			continue;
		slot->holders--;
		if (slot->holders == 0 && slot->state == SLOT_QUIET)
		{
			if (has_work(slot))
				slot->state = SLOT_WANTED;
			else
				free_slot(slot);
		}
	}
	launcher = shared->launcher_latch;
	LWLockRelease(shared->lock);
	list_free(held_databases);
	held_databases = NIL;
	set_latch(launcher);
}

static void
end_of_transaction(XactEvent event, void *argument)
{
	if (shared == NULL || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE))
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		if (wake_from != FROM_NONE)
			wake(MyDatabaseId, wake_from, true);
		else if (look_is_due)
			wake(MyDatabaseId, FROM_FIRST, false);
	}
	wake_from = FROM_NONE;
	look_is_due = false;
	if (held_databases != NIL)
		release_databases();
}

/* The database that a command needs for itself, or InvalidOid */
static Oid
database_needed(Node *statement)
{
	const char *name = NULL;
	ListCell   *cell;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			name = ((DropdbStmt *) statement)->dbname;
			break;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				name = ((RenameStmt *) statement)->subname;
			break;
		case T_AlterDatabaseStmt:
			foreach(cell, ((AlterDatabaseStmt *) statement)->options)
				if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
					name = ((AlterDatabaseStmt *) statement)->dbname;
			break;
		case T_CreatedbStmt:
			name = "template1";
			foreach(cell, ((CreatedbStmt *) statement)->options)
				if (strcmp(((DefElem *) lfirst(cell))->defname, "template") == 0 && ((DefElem *) lfirst(cell))->arg != NULL)
					name = defGetString((DefElem *) lfirst(cell));
			break;
		default:
			break;
	}
	return name != NULL ? get_database_oid(name, true) : InvalidOid;
}

/* Who may not do it anyway is not to keep the worker away: others than the owner may only copy */
static bool
may_need(Oid database)
{
	HeapTuple	role;
	bool		may;

#if PG_VERSION_NUM >= 160000
	if (object_ownercheck(DatabaseRelationId, database, GetUserId()))
		return true;
#else
	if (pg_database_ownercheck(database, GetUserId()))
		return true;
#endif
	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	may = HeapTupleIsValid(role) && ((Form_pg_authid) GETSTRUCT(role))->rolcreatedb;
	if (HeapTupleIsValid(role))
		ReleaseSysCache(role);
	return may;
}

static void
process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	/* the node may be gone afterwards */
	bool		commits_prepared = IsA(pstmt->utilityStmt, TransactionStmt) &&
		((TransactionStmt *) pstmt->utilityStmt)->kind == TRANS_STMT_COMMIT_PREPARED;

	if (shared != NULL && !commits_prepared)
	{
		Oid			database = database_needed(pstmt->utilityStmt);

		if (OidIsValid(database) && may_need(database))
			hold_database(database);
	}

	if (previous_process_utility)
		previous_process_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);

	/* who posted in it has forgotten that long ago, or lived before a restart */
	if (shared != NULL && commits_prepared && OidIsValid(get_namespace_oid(SCHEMA, true)))
		wake(MyDatabaseId, FROM_FIRST, true);
}

/* A worker that has lost its store is to notice at once */
static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *argument)
{
	if (previous_object_access)
		previous_object_access(access, class_id, object_id, sub_id, argument);
	if (access != OAT_DROP || sub_id != 0)
		return;
	if (class_id == RelationRelationId)
	{
		const char *name = get_rel_name(object_id);

		look_is_due |= name != NULL && strcmp(name, OUTBOX) == 0;
	}
	else if (class_id == NamespaceRelationId || class_id == ExtensionRelationId)
		look_is_due = true;
}

/* Called when the server starts and has cxm in shared_preload_libraries */
void
cxm_notifier_preload(void)
{
	BackgroundWorker launcher;

	/* pg_upgrade moves databases about; nobody listens */
	if (IsBinaryUpgrade)
		return;

#if PG_VERSION_NUM >= 150000
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
#else
	request_shared_memory();
#endif
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	previous_object_access = object_access_hook;
	object_access_hook = object_access;
	RegisterXactCallback(end_of_transaction, NULL);

	memset(&launcher, 0, sizeof(launcher));
	launcher.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	launcher.bgw_start_time = BgWorkerStart_RecoveryFinished;
	launcher.bgw_restart_time = 1;
	strlcpy(launcher.bgw_library_name, "cxm", sizeof(launcher.bgw_library_name));
	strlcpy(launcher.bgw_function_name, "cxm_notifier_launcher_main", sizeof(launcher.bgw_function_name));
	strlcpy(launcher.bgw_name, LAUNCHER_NAME, sizeof(launcher.bgw_name));
	strlcpy(launcher.bgw_type, LAUNCHER_NAME, sizeof(launcher.bgw_type));
	RegisterBackgroundWorker(&launcher);
}

/*
 * cxm.notifier_status() RETURNS record: what the server knows of this
 * database's worker
 */
Datum
cxm_notifier_status(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[9] = {0};
	bool		nulls[9];
	Slot		slot = {0};
	const char *state = "none";

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (shared != NULL)
	{
		Slot	   *found;

		LWLockAcquire(shared->lock, LW_SHARED);
		found = find_slot(MyDatabaseId);
		if (found != NULL)
		{
			slot = *found;
			state = slot.is_failing ? "failing"
				: slot.state == SLOT_RUNNING ? "running"
				: slot.state == SLOT_STARTING ? "starting"
				: slot.state == SLOT_WANTED ? "waiting" : "none";
		}
		LWLockRelease(shared->lock);
	}
	memset(nulls, true, sizeof(nulls));
#define SET(i, is_known, value) \
	do { \
		if (is_known) \
		{ \
			values[i] = (value); \
			nulls[i] = false; \
		} \
	} while (0)
	SET(0, true, BoolGetDatum(shared != NULL));
	SET(1, true, CStringGetTextDatum(state));
	SET(2, slot.pid != 0, Int32GetDatum((int32) slot.pid));
	SET(3, slot.pid != 0, TimestampTzGetDatum(slot.started_at));
	SET(4, OidIsValid(slot.database), Int64GetDatum(slot.batches));
	SET(5, OidIsValid(slot.database), Int64GetDatum(slot.sent));
	SET(6, slot.last_sent_at != 0, TimestampTzGetDatum(slot.last_sent_at));
	SET(7, slot.error_at != 0, CStringGetTextDatum(slot.error));
	SET(8, slot.error_at != 0, TimestampTzGetDatum(slot.error_at));
#undef SET
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
