/*
 * src/normalize.h
 *		What other files use of normalisation.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_NORMALIZE_H
#define CXM_NORMALIZE_H

extern text *cxm_trimmed(text *value);

#endif							/* CXM_NORMALIZE_H */
