/*
 * src/cxm.c
 *		Module declaration of the cxm library, and its settings.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "cxm.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "cxm", .version = CXM_VERSION);
#else
PG_MODULE_MAGIC;
#endif

/* Who tells the listeners of an alert */
typedef enum NotifyMode
{
	NOTIFY_MODE_OFF,
	NOTIFY_MODE_DIRECT
} NotifyMode;

static const struct config_enum_entry notify_mode_options[] = {
	{"direct", NOTIFY_MODE_DIRECT, false},
	{"off", NOTIFY_MODE_OFF, false},
	{NULL, 0, false}
};

static bool cxm_alerts = true;
static int	cxm_notify_mode = NOTIFY_MODE_DIRECT;

/* a library that can be loaded has to show this one; the header of 16 says so itself */
extern PGDLLEXPORT void _PG_init(void);

PG_FUNCTION_INFO_V1(cxm_version);
PG_FUNCTION_INFO_V1(cxm_alerts_enabled);
PG_FUNCTION_INFO_V1(cxm_get_notify_mode);

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
							 "Says who sends the notifications of alerts.",
							 "direct: the transaction that raised the alert, at its commit. off: nobody until cxm.send_outbox() is called.",
							 &cxm_notify_mode,
							 NOTIFY_MODE_DIRECT,
							 notify_mode_options,
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

/* The value of cxm.notify_mode, for the same reason */
Datum
cxm_get_notify_mode(PG_FUNCTION_ARGS)
{
	const struct config_enum_entry *option = notify_mode_options;

	while (option->val != cxm_notify_mode)
		option++;

	PG_RETURN_TEXT_P(cstring_to_text(option->name));
}
