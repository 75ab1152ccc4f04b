/*
 * src/normalize_core.h
 *		One form for names, words of addresses, e-mail addresses and dates.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_NORMALIZE_CORE_H
#define CXM_NORMALIZE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Characters are Unicode code points.  From here on up they stand for the bytes of an encoding that is not taken apart:
 * CXM_OPAQUE + the byte.  They are parts of words and come out as they went in.
 */
#define CXM_OPAQUE			0x200000

/* the longest e-mail address: a local part of 64 bytes, @, a domain of 255 */
#define CXM_EMAIL_BYTES		320

/* what a provider of mailboxes makes of addresses; alias is the domain whose mailboxes these are, or NULL */
typedef struct CxmMailProvider
{
	const char *domain;
	bool		dots;			/* dots before the @ make no difference */
	bool		plus;			/* nor does what follows a plus sign there */
	const char *alias;
} CxmMailProvider;

/* which number of a date like 3/4/2026 is which */
typedef enum CxmDateOrder
{
	CXM_YMD,
	CXM_DMY,
	CXM_MDY
} CxmDateOrder;

/* two digits are not a year */
#define CXM_NO_CENTURY		0

extern bool cxm_is_white_space(uint32_t c);
extern bool cxm_is_invisible(uint32_t c);
extern uint32_t cxm_before_decomposition(uint32_t c);
extern int	cxm_fold(const uint32_t *in, int n, uint32_t *out);

extern bool cxm_is_title(const char *word, size_t length);
extern const char *cxm_formal_names(const char *name, size_t length);
extern const char *cxm_street_word(const char *word, size_t length);
extern bool cxm_is_street_ending(const char *word, size_t length);

extern bool cxm_is_email(const char *value, size_t length);
extern bool cxm_is_mail_domain(const char *value, size_t length);
extern const CxmMailProvider *cxm_mail_provider(const char *domain, size_t length);

extern int	cxm_phone_digits(const char *value, size_t length, char *out);
extern bool cxm_is_international(const char *value, size_t length);

extern bool cxm_read_date(const char *value, size_t length, CxmDateOrder order, int first_year,
						  int *year, int *month, int *day);

#endif							/* CXM_NORMALIZE_CORE_H */
