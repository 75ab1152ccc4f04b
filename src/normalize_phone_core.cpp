/*
 * src/normalize_phone_core.cpp
 *		Telephone numbers by libphonenumber.
 *
 * Two worlds meet here that must not mix: an exception may not leave C++ for PostgreSQL's C, and a long jump of
 * PostgreSQL's may not pass over C++ objects.  So everything that can throw is inside one try, and nothing in this file
 * calls PostgreSQL: the result goes into a buffer of the caller.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "normalize_phone_core.h"

#include <cstring>
#include <new>
#include <set>
#include <string>

#include <phonenumbers/logger.h>
#include <phonenumbers/phonenumber.pb.h>
#include <phonenumbers/phonenumberutil.h>

namespace
{

using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

/* The library, the first time with its table of all countries; a few milliseconds */
const PhoneNumberUtil &
library()
{
	static PhoneNumberUtil *const util = [] {
		PhoneNumberUtil *made = PhoneNumberUtil::GetInstance();

		/* what it writes about hostile input would land on the server's standard output */
		made->SetLogger(new i18n::phonenumbers::NullLogger());
		return made;
	}();

	return *util;
}

bool
is_region(const std::string &region)
{
	static const std::set<std::string> known = [] {
		std::set<std::string> regions;

		library().GetSupportedRegions(&regions);
		return regions;
	}();

	return known.count(region) > 0;
}

bool
is_number(const PhoneNumber &number, bool must_be_valid)
{
	/* a number of the right length for the place only lacks the code of the place */
	return must_be_valid ? library().IsValidNumber(number)
		: library().IsPossibleNumberWithReason(number) == PhoneNumberUtil::IS_POSSIBLE;
}

/*
 * A number that is nothing but digits in groups, without what groups them: read faster, and not otherwise.  Any other
 * text, such as one with an extension, as it is.
 */
std::string
compact(const std::string &value)
{
	std::string digits;

	for (char c : value)
	{
		if ((c >= '0' && c <= '9') || (c == '+' && digits.empty()))
			digits += c;
		else if (c != ' ' && c != '-' && c != '.' && c != '(' && c != ')')
			return value;
	}
	return digits;
}

bool
has_letter(const std::string &value)
{
	for (char c : value)
	{
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
			return true;
	}
	return false;
}

CxmPhoneResult
e164(const std::string &value, const std::string &region, bool must_be_valid, char *out)
{
	PhoneNumber number;
	std::string text;

	if (region != "ZZ" && !is_region(region))
		return CXM_PHONE_REGION;
	if (library().Parse(compact(value), region, &number) != PhoneNumberUtil::NO_PARSING_ERROR ||
		!is_number(number, must_be_valid))
		return CXM_PHONE_NONE;
	/* elsewhere letters are a remark behind the number, and would become its digits */
	if (has_letter(value) && number.country_code() != 1 && library().IsAlphaNumber(value))
		return CXM_PHONE_NONE;

	library().Format(number, PhoneNumberUtil::E164, &text);
	if (number.has_extension() && !number.extension().empty())
		text += ";ext=" + number.extension();
	if (text.size() >= CXM_PHONE_BYTES)
		return CXM_PHONE_NONE;
	memcpy(out, text.c_str(), text.size() + 1);
	return CXM_PHONE_OK;
}

}								/* namespace */

/*
 * Write the number in E.164, with ";ext=" where it has an extension, into out, which has CXM_PHONE_BYTES.  value is
 * UTF-8; region is the ISO code of the country that a number without one is of, or ZZ.
 */
extern "C" CxmPhoneResult
cxm_phone_e164(const char *value, size_t length, const char *region, int must_be_valid, char *out)
{
	try
	{
		return e164(std::string(value, length), region, must_be_valid != 0, out);
	}
	catch (const std::bad_alloc &)
	{
		return CXM_PHONE_MEMORY;
	}
	catch (...)
	{
		return CXM_PHONE_FAILED;
	}
}
