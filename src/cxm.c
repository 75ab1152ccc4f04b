/*
 * src/cxm.c
 *		Module declaration of the cxm library, and its settings.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "cxm.h"
#include "miscadmin.h"
#include "notifier.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "cxm", .version = CXM_VERSION);
#else
PG_MODULE_MAGIC;
#endif

static bool cxm_alerts = true;

/* a library that can be loaded has to show this one; the header of 16 says so itself */
extern PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(cxm_version);
PG_FUNCTION_INFO_V1(cxm_alerts_enabled);

/* Define the settings when the library is loaded, by its first call in a session at the latest */
void
_PG_init(void)
{
	DefineCustomBoolVariable("cxm.alerts",
							 "Evaluates alert rules for new feedback.",
							 "Turn it off while loading history that nobody has to act on.",
							 &cxm_alerts,
							 true,
							 PGC_USERSET,
							 0,
							 NULL,
							 NULL,
							 NULL);

	DefineCustomEnumVariable("cxm.notify_mode",
							 "Says who sends the notifications that this session posts.",
							 "worker: the background worker of the database, or direct where the library is not preloaded. "
							 "direct: the transaction that posts them, at its commit. "
							 "off: nobody until cxm.send_outbox() is called.",
							 &cxm_notify_mode,
							 CXM_NOTIFY_WORKER,
							 cxm_notify_modes,
							 PGC_USERSET,
							 0,
							 NULL,
							 NULL,
							 NULL);

#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved("cxm");
#else
	EmitWarningsOnPlaceholders("cxm");
#endif

	if (process_shared_preload_libraries_in_progress)
		cxm_notifier_preload();
}

/* The version that cxm.control gave the build */
Datum
cxm_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(CXM_VERSION));
}

/*
 * Whether cxm.alerts is on.
 *
 * current_setting() would not do: before the library is loaded the setting is missing or an unchecked string.
 * Calling this loads the library.
 */
Datum
cxm_alerts_enabled(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(cxm_alerts);
}
