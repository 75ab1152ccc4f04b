/*
 * src/normalize.h
 *		What other files use of normalisation.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_NORMALIZE_H
#define CXM_NORMALIZE_H

#include "utils/jsonb.h"

extern char *cxm_lower(const char *bytes, int length);
extern text *cxm_trimmed(text *value);
extern text *cxm_normalized_email(text *value, Jsonb *given);

#endif							/* CXM_NORMALIZE_H */
