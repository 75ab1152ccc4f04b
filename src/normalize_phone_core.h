/*
 * src/normalize_phone_core.h
 *		What the C++ of libphonenumber does for the C of PostgreSQL.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_NORMALIZE_PHONE_CORE_H
#define CXM_NORMALIZE_PHONE_CORE_H

#include <stddef.h>

/* + and 15 digits, ;ext= and an extension of up to 20 digits, a zero byte, and room to spare */
#define CXM_PHONE_BYTES		64

/* libphonenumber reads no longer ones */
#define CXM_PHONE_LONGEST	250

typedef enum CxmPhoneResult
{
	CXM_PHONE_OK,
	CXM_PHONE_NONE,				/* it is no telephone number */
	CXM_PHONE_REGION,			/* the region is not known */
	CXM_PHONE_MEMORY,			/* there is no memory left */
	CXM_PHONE_FAILED			/* libphonenumber threw something else */
} CxmPhoneResult;

#ifdef __cplusplus
extern "C"
{
#endif

extern CxmPhoneResult cxm_phone_e164(const char *value, size_t length, const char *region, int must_be_valid,
									 char *out);

#ifdef __cplusplus
}
#endif

#endif							/* CXM_NORMALIZE_PHONE_CORE_H */
