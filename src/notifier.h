/*
 * src/notifier.h
 *		Telling listeners: posting, and the worker that sends.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_NOTIFIER_H
#define CXM_NOTIFIER_H

#include "cxm.h"
#include "nodes/pg_list.h"
#include "utils/guc.h"

/* who sends what is posted: the setting cxm.notify_mode */
typedef enum CxmNotifyMode
{
	CXM_NOTIFY_OFF,
	CXM_NOTIFY_DIRECT,
	CXM_NOTIFY_WORKER
} CxmNotifyMode;

extern int	cxm_notify_mode;
extern const struct config_enum_entry cxm_notify_modes[];

/*
 * For C code that tells listeners something, in the transaction that it is
 * about: n payloads, each a jsonb object of ids and states that takes at most
 * CXM_MAX_PAYLOAD bytes as text, for a channel.  It writes them to cx.outbox
 * with the rights of the current user, so within a transaction, with an active
 * snapshot; SPI may be connected or not.
 */
#define CXM_MAX_PAYLOAD 7950

extern void cxm_post_notifications(const char *channel, const Datum *payloads, int n);

/* The same for one payload, where that cannot fail: false when it might, and nothing was done */
extern bool cxm_post_at_once(const char *channel, Datum payload);

/* Have the worker of this database look at the outbox when the transaction commits */
extern void cxm_wake_notifier(void);

/*
 * Between the two files of the module.
 *
 * Rows of cx.outbox with an id of at least "from" may be unsent.
 */
typedef struct CxmBatch
{
	int			sent;
	bool		is_full;		/* as many as it might be: there may be more */
	bool		are_left;		/* unsent rows, such as another session has locked */
	int64		next;			/* where to go on when it is full or some are left */
	bool		tells_later;	/* what is marked is kept for cxm_tell_batch(); made false where that cannot be */
	bool		is_marked;		/* but not told yet */
	MemoryContext context;		/* of what is kept */
	List	   *kept;
} CxmBatch;

#define CXM_BATCH_SIZE 1000

extern void cxm_send_batch(int64 from, int limit, CxmBatch *batch);
extern void cxm_tell_batch(const CxmBatch *batch);
extern void cxm_take_back_batch(const CxmBatch *batch);
extern bool cxm_notifier_is_preloaded(void);
extern void cxm_posted(int64 outbox_id);
extern void cxm_notifier_preload(void);

/* notifications wait while NOTIFY's queue is fuller than this, for a full one makes COMMIT fail */
#define CXM_FULLEST_QUEUE 0.9

extern double cxm_notify_queue_usage(void);

#endif							/* CXM_NOTIFIER_H */
