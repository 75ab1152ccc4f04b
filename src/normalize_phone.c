/*
 * src/normalize_phone.c
 *		cxm.normalize_phone(): a library of its own, loaded when it is first called.
 *
 * libphonenumber brings along ICU, Protocol Buffers and the numbering plans of all countries.  A session that reads no
 * telephone number shall not carry them, so none of this is in the library that holds everything else.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "cxm.h"
#include "mb/pg_wchar.h"
#include "normalize_phone_core.h"
#include "utils/builtins.h"

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "cxm_phone", .version = CXM_VERSION);
#else
PG_MODULE_MAGIC;
#endif

PG_FUNCTION_INFO_V1(cxm_normalize_phone);

/* The region in capitals; "ZZ", which is none, for NULL */
static void
read_region(const text *region, char code[3])
{
	const char *bytes;

	strcpy(code, "ZZ");
	if (region == NULL)
		return;
	bytes = VARDATA_ANY(region);
	if (VARSIZE_ANY_EXHDR(region) == 2)
	{
		code[0] = (char) pg_ascii_toupper((unsigned char) bytes[0]);
		code[1] = (char) pg_ascii_toupper((unsigned char) bytes[1]);
	}
	if (VARSIZE_ANY_EXHDR(region) != 2 || strcmp(code, "ZZ") == 0)
		strcpy(code, "??");
}

/* Whether a number must be one that the numbering plan gives out, or may be any of the right length */
static bool
must_be_valid(const text *level)
{
	const char *name = text_to_cstring(level);

	if (strcmp(name, "valid") == 0)
		return true;
	if (strcmp(name, "possible") == 0)
		return false;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown level \"%s\" of telephone numbers", name),
			 errhint("Levels are valid (the numbering plan has such numbers) and possible (the length is right).")));
	return false;				/* keep the compiler quiet */
}

/* Normalise as the country that the text names or, where it names none, the region says */
static CxmPhoneResult
normalize(const char *value, size_t length, const char *region, bool valid, char *out)
{
	CxmPhoneResult result = CXM_PHONE_NONE;
	size_t		begin = 0;

	/* 00 goes for + in most of the world, but in the plan of some regions it does not */
	while (begin < length && (value[begin] == ' ' || value[begin] == '\t' || value[begin] == '('))
		begin++;
	if (length - begin > 2 && value[begin] == '0' && value[begin + 1] == '0' && value[begin + 2] != '0')
	{
		char		international[CXM_PHONE_LONGEST];

		if (strcmp(region, "ZZ") != 0)
			result = cxm_phone_e164(value, length, region, valid, out);
		if (result != CXM_PHONE_NONE)
			return result;
		international[0] = '+';
		memcpy(international + 1, value + begin + 2, length - begin - 2);
		return cxm_phone_e164(international, length - begin - 1, "ZZ", valid, out);
	}
	return cxm_phone_e164(value, length, region, valid, out);
}

/* cxm.normalize_phone(value, region, level); region may be NULL */
Datum
cxm_normalize_phone(PG_FUNCTION_ARGS)
{
	text	   *value;
	char	   *bytes;
	int			length;
	char		region[3];
	bool		valid;
	char		out[CXM_PHONE_BYTES];

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	value = PG_GETARG_TEXT_PP(0);
	read_region(PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1), region);
	valid = must_be_valid(PG_GETARG_TEXT_PP(2));

	bytes = VARDATA_ANY(value);
	length = VARSIZE_ANY_EXHDR(value);
	if (length > CXM_PHONE_LONGEST)
		length = 0;				/* no number, but the region is looked at */
	else if (GetDatabaseEncoding() != PG_UTF8)
	{
		/* digits and signs are the same in every encoding of a server; the rest is no number */
		for (int i = 0; i < length; i++)
		{
			if (IS_HIGHBIT_SET(bytes[i]))
			{
				length = 0;
				break;
			}
		}
	}
	else if (!pg_verify_mbstr(PG_UTF8, bytes, length, true))
		length = 0;

	switch (normalize(bytes, (size_t) length, region, valid, out))
	{
		case CXM_PHONE_OK:
			break;
		case CXM_PHONE_NONE:
			PG_RETURN_NULL();
		case CXM_PHONE_REGION:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("region \"%s\" is not known", text_to_cstring(PG_GETARG_TEXT_PP(1))),
					 errhint("Give the two letters of a country by ISO 3166, such as DE.")));
			break;
		case CXM_PHONE_MEMORY:
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
			break;
		case CXM_PHONE_FAILED:
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("libphonenumber could not read a number")));
			break;
	}
	PG_RETURN_TEXT_P(cstring_to_text(out));
}
