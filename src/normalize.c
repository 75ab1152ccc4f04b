/*
 * src/normalize.c
 *		Values in one form, for SQL: e-mail addresses, names, words of addresses, dates.
 *
 * Texts of a UTF8 database are taken apart into characters.  In other encodings only ASCII is understood, and every
 * other byte is kept as it is.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/unicode_norm.h"
#include "cxm.h"
#include "normalize.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "normalize_core.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"

/* no name and no address is as long; what is longer is an error, not a reason to take a gigabyte apart */
#define MAX_BYTES			1000000

/* longer than any way to write a date and a time */
#define MAX_DATE_BYTES		64

/* a text taken apart */
typedef struct Words
{
	char	   *bytes;			/* folded words, parted by one space; ends with a zero byte */
	int			length;
} Words;

/* what cxm.normalize_email() is to do beyond small letters */
typedef struct EmailOptions
{
	bool		dots;
	bool		plus;
	bool		aliases;
	JsonbContainer *providers;	/* the caller's own, or NULL */
} EmailOptions;

/* what is to be done with the addresses of one domain */
typedef struct MailRule
{
	bool		dots;
	bool		plus;
	const char *alias;			/* NULL when the domain stands for itself */
	int			alias_length;
} MailRule;

PG_FUNCTION_INFO_V1(cxm_normalize_text);
PG_FUNCTION_INFO_V1(cxm_normalize_email);
PG_FUNCTION_INFO_V1(cxm_normalize_name);
PG_FUNCTION_INFO_V1(cxm_normalize_date);
PG_FUNCTION_INFO_V1(cxm_phone_digits_sql);
PG_FUNCTION_INFO_V1(cxm_formal_names_sql);
PG_FUNCTION_INFO_V1(cxm_address_tokens);

/* ---- texts */

/* Length of the white space that a text begins with */
static int
white_space_before(const char *bytes, int length)
{
	bool		is_utf8 = GetDatabaseEncoding() == PG_UTF8;
	int			i = 0;

	while (i < length)
	{
		const unsigned char *c = (const unsigned char *) bytes + i;
		int			size = IS_HIGHBIT_SET(*c) && is_utf8 ? pg_utf_mblen(c) : 1;

		if ((IS_HIGHBIT_SET(*c) && !is_utf8) || size > length - i || !cxm_is_white_space(utf8_to_unicode(c)))
			break;
		i += size;
	}
	return i;
}

/* Length of a text, not counting the white space that it ends with */
static int
length_without_white_space(const char *bytes, int length)
{
	bool		is_utf8 = GetDatabaseEncoding() == PG_UTF8;

	while (length > 0)
	{
		const unsigned char *c = (const unsigned char *) bytes + length - 1;

		if (IS_HIGHBIT_SET(*c))
		{
			if (!is_utf8)
				break;
			while (c > (const unsigned char *) bytes && (*c & 0xC0) == 0x80)
				c--;
			if (c + pg_utf_mblen(c) != (const unsigned char *) bytes + length)
				break;
		}
		if (!cxm_is_white_space(utf8_to_unicode(c)))
			break;
		length = (int) (c - (const unsigned char *) bytes);
	}
	return length;
}

/* The part of a text between the white space around it */
static const char *
trim(const text *value, int *length)
{
	const char *bytes = VARDATA_ANY(value);
	int			begin = white_space_before(bytes, VARSIZE_ANY_EXHDR(value));

	*length = length_without_white_space(bytes + begin, VARSIZE_ANY_EXHDR(value) - begin);
	return bytes + begin;
}

static bool
is_ascii(const char *bytes, int length)
{
	for (int i = 0; i < length; i++)
	{
		if (IS_HIGHBIT_SET(bytes[i]))
			return false;
	}
	return true;
}

/* A text without white space around it, NULL when nothing is left */
text *
cxm_trimmed(text *value)
{
	int			length;
	const char *bytes = trim(value, &length);

	if (length == 0)
		return NULL;
	return length == (int) VARSIZE_ANY_EXHDR(value) ? value : cstring_to_text_with_len(bytes, length);
}

/* cxm.normalize_text(value) */
Datum
cxm_normalize_text(PG_FUNCTION_ARGS)
{
	text	   *trimmed = cxm_trimmed(PG_GETARG_TEXT_PP(0));

	if (trimmed == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(trimmed);
}

/* ---- names and addresses */

static void
check_length(int length)
{
	if (length > MAX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("text is too long to be taken apart"),
				 errdetail("It has %d bytes, the limit is %d.", length, MAX_BYTES)));
}

/* The characters of a text as the core takes them, decomposed, ended by a zero */
static pg_wchar *
decompose(const char *bytes, int length, int *n)
{
	pg_wchar   *characters = palloc(sizeof(pg_wchar) * ((Size) length + 1));
	bool		is_utf8 = GetDatabaseEncoding() == PG_UTF8;
	bool		is_plain = true;
	int			count = 0;

	for (int i = 0; i < length;)
	{
		const unsigned char *c = (const unsigned char *) bytes + i;
		int			size = is_utf8 ? pg_utf_mblen(c) : 1;

		/* a zero byte would end the array; half a character can only come from a broken text */
		if (*c == 0 || size > length - i)
			break;
		if (!IS_HIGHBIT_SET(*c))
			characters[count++] = *c;
		else if (!is_utf8)
			characters[count++] = CXM_OPAQUE + *c;
		else
		{
			characters[count++] = cxm_before_decomposition(utf8_to_unicode(c));
			is_plain = false;
		}
		i += size;
	}
	characters[count] = 0;

	if (!is_plain)
	{
		characters = unicode_normalize(UNICODE_NFKD, characters);
		for (count = 0; characters[count] != 0; count++)
			 /* count them */ ;
	}
	*n = count;
	return characters;
}

/* The folded words of a text, parted by one space */
static Words
fold(const text *value)
{
	int			n;
	int			written = 0;
	bool		is_plain = true;
	pg_wchar   *in;
	pg_wchar   *out;
	Words		words;

	check_length(VARSIZE_ANY_EXHDR(value));
	in = decompose(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &n);
	/* twice the characters, and each decomposes into 18 at most: far below what palloc gives out */
	out = palloc_extended(sizeof(pg_wchar) * (2 * (Size) n + 1), MCXT_ALLOC_HUGE);
	n = cxm_fold(in, n, out);
	out[n] = 0;
	pfree(in);
	CHECK_FOR_INTERRUPTS();

	for (int i = 0; i < n && is_plain; i++)
		is_plain = out[i] < 0x80 || out[i] >= CXM_OPAQUE;
	if (!is_plain)
	{
		/* back to the usual spelling: syllables of Hangul, kana with their marks */
		pg_wchar   *composed = unicode_normalize(UNICODE_NFC, out);

		pfree(out);
		out = composed;
		for (n = 0; out[n] != 0; n++)
			 /* count them */ ;
	}

	words.bytes = palloc_extended(4 * (Size) n + 1, MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
	{
		if (out[i] >= CXM_OPAQUE)
			words.bytes[written++] = (char) (out[i] - CXM_OPAQUE);
		else
		{
			unicode_to_utf8(out[i], (unsigned char *) words.bytes + written);
			written += pg_utf_mblen((unsigned char *) words.bytes + written);
		}
	}
	words.bytes[written] = '\0';
	words.length = written;
	pfree(out);
	return words;
}

/* The folded words of a name, without titles before it; the last word is kept, whatever it is */
static Words
fold_name(const text *value)
{
	Words		words = fold(value);
	char	   *space;

	while ((space = strchr(words.bytes, ' ')) != NULL && cxm_is_title(words.bytes, space - words.bytes))
	{
		words.length -= (int) (space + 1 - words.bytes);
		words.bytes = space + 1;
	}
	return words;
}

/* cxm.normalize_name(value) */
Datum
cxm_normalize_name(PG_FUNCTION_ARGS)
{
	Words		words = fold_name(PG_GETARG_TEXT_PP(0));

	if (words.length == 0)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(words.bytes, words.length));
}

static int
compare_texts(const void *a, const void *b)
{
	const text *x = DatumGetTextPP(*(const Datum *) a);
	const text *y = DatumGetTextPP(*(const Datum *) b);
	int			lx = VARSIZE_ANY_EXHDR(x);
	int			ly = VARSIZE_ANY_EXHDR(y);
	int			order = memcmp(VARDATA_ANY(x), VARDATA_ANY(y), Min(lx, ly));

	return order != 0 ? order : lx - ly;
}

/* An array of texts, in the order of their bytes, each once */
static ArrayType *
make_set(Datum *texts, int n)
{
	int			kept = 0;

	qsort(texts, n, sizeof(Datum), compare_texts);
	for (int i = 0; i < n; i++)
	{
		if (kept == 0 || compare_texts(&texts[i], &texts[kept - 1]) != 0)
			texts[kept++] = texts[i];
	}
	return construct_array(texts, kept, TEXTOID, -1, false, TYPALIGN_INT);
}

/* cxm.address_tokens(value) */
Datum
cxm_address_tokens(PG_FUNCTION_ARGS)
{
	Words		words = fold(PG_GETARG_TEXT_PP(0));
	Datum	   *tokens = palloc(sizeof(Datum) * ((Size) words.length / 2 + 1));
	int			n = 0;
	char	   *word = words.bytes;

	while (*word != '\0')
	{
		const char *space = strchr(word, ' ');
		int			length = (int) (space ? (Size) (space - word) : strlen(word));
		const char *meaning = cxm_street_word(word, length);

		if (meaning)
			tokens[n++] = CStringGetTextDatum(meaning);
		else if (cxm_is_street_ending(word, length))
			tokens[n++] = CStringGetTextDatum(psprintf("%.*sasse", length, word));
		else
			tokens[n++] = PointerGetDatum(cstring_to_text_with_len(word, length));
		word += length + (space ? 1 : 0);
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_ARRAYTYPE_P(make_set(tokens, n));
}

/* ---- nicknames */

static void
raise_nicknames(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("nicknames must be an object of names"),
			 errdetail_internal("%s", detail),
			 errhint("Give {\"nickname\": \"formal name\"} or {\"nickname\": [\"formal name\", ...]}.")));
}

/* A formal name of the caller's list, folded */
static Datum
given_name(const JsonbValue *value)
{
	Words		words;

	if (value->type != jbvString)
		raise_nicknames(_("A formal name is not a string."));
	words = fold_name(cstring_to_text_with_len(value->val.string.val, value->val.string.len));
	return PointerGetDatum(cstring_to_text_with_len(words.bytes, words.length));
}

/* cxm.formal_names(value, nicknames) */
Datum
cxm_formal_names_sql(PG_FUNCTION_ARGS)
{
	Words		name = fold_name(PG_GETARG_TEXT_PP(0));
	Jsonb	   *own = PG_GETARG_JSONB_P(1);
	const char *known;
	JsonbValue	key;
	JsonbValue *given;
	Datum	   *names;
	int			n = 0;

	if (!JB_ROOT_IS_OBJECT(own))
		raise_nicknames(_("The argument is not an object."));
	if (name.length == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(TEXTOID));

	key.type = jbvString;
	key.val.string.val = name.bytes;
	key.val.string.len = name.length;
	given = findJsonbValueFromContainer(&own->root, JB_FOBJECT, &key);
	known = cxm_formal_names(name.bytes, name.length);

	/* the name itself, four of the list that is shipped at most, and the caller's */
	names = palloc(sizeof(Datum) * (8 + (given && given->type == jbvBinary ?
										 (Size) JsonContainerSize(given->val.binary.data) : 1)));
	names[n++] = PointerGetDatum(cstring_to_text_with_len(name.bytes, name.length));
	while (known && *known)
	{
		const char *space = strchr(known, ' ');
		int			length = (int) (space ? (Size) (space - known) : strlen(known));

		names[n++] = PointerGetDatum(cstring_to_text_with_len(known, length));
		known += length + (space ? 1 : 0);
	}
	if (given && given->type == jbvBinary && JsonContainerIsArray(given->val.binary.data))
	{
		int			count = (int) JsonContainerSize(given->val.binary.data);

		for (int i = 0; i < count; i++)
			names[n++] = given_name(getIthJsonbValueFromContainer(given->val.binary.data, i));
	}
	else if (given)
		names[n++] = given_name(given);
	PG_RETURN_ARRAYTYPE_P(make_set(names, n));
}

/* ---- e-mail addresses */

static void
raise_email_option(const char *key, int length, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("e-mail option \"%.*s\" %s", length, key, expected),
			 errhint("Options are dots, plus and aliases, true or false, and providers: {\"domain\": {\"dots\": true, \"plus\": true, \"alias\": \"domain\"}, ...}.")));
}

static bool
is_key(const JsonbValue *key, const char *name)
{
	return key->val.string.len == (int) strlen(name) && memcmp(key->val.string.val, name, key->val.string.len) == 0;
}

static bool
option_boolean(const JsonbValue *key, const JsonbValue *value)
{
	if (value->type != jbvBool)
		raise_email_option(key->val.string.val, key->val.string.len, "must be true or false");
	return value->val.boolean;
}

static void
read_email_options(Jsonb *options, EmailOptions *read)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	memset(read, 0, sizeof(*read));
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a JSON object"),
				 errhint("Give {\"dots\": true, \"plus\": true, \"aliases\": true}, or {} for none.")));
	if (JB_ROOT_COUNT(options) == 0)
		return;

	iterator = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (is_key(&key, "dots"))
			read->dots = option_boolean(&key, &value);
		else if (is_key(&key, "plus"))
			read->plus = option_boolean(&key, &value);
		else if (is_key(&key, "aliases"))
			read->aliases = option_boolean(&key, &value);
		else if (is_key(&key, "providers"))
		{
			if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
				raise_email_option(key.val.string.val, key.val.string.len, "must be an object");
			read->providers = value.val.binary.data;
		}
		else
			raise_email_option(key.val.string.val, key.val.string.len, "is not known");
	}
}

/* Read the caller's own entry for a domain; false when there is none */
static bool
own_provider(JsonbContainer *own, const char *domain, int length, MailRule *rule)
{
	JsonbValue	wanted;
	JsonbValue *entry;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	memset(rule, 0, sizeof(*rule));
	if (own == NULL)
		return false;
	wanted.type = jbvString;
	wanted.val.string.val = unconstify(char *, domain);
	wanted.val.string.len = length;
	entry = findJsonbValueFromContainer(own, JB_FOBJECT, &wanted);
	if (entry == NULL)
		return false;
	if (entry->type != jbvBinary || !JsonContainerIsObject(entry->val.binary.data))
		raise_email_option(domain, length, "must be an object");

	iterator = JsonbIteratorInit(entry->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (is_key(&key, "dots"))
			rule->dots = option_boolean(&key, &value);
		else if (is_key(&key, "plus"))
			rule->plus = option_boolean(&key, &value);
		else if (is_key(&key, "alias"))
		{
			if (value.type != jbvString || !cxm_is_mail_domain(value.val.string.val, value.val.string.len))
				raise_email_option("alias", 5, "must be a domain");
			for (int i = 0; i < value.val.string.len; i++)
			{
				if (value.val.string.val[i] >= 'A' && value.val.string.val[i] <= 'Z')
					raise_email_option("alias", 5, "must be in lower case");
			}
			rule->alias = value.val.string.val;
			rule->alias_length = value.val.string.len;
		}
		else
			raise_email_option(key.val.string.val, key.val.string.len, "is not known");
	}
	return true;
}

/* What is to be done with the addresses of a domain */
static MailRule
mail_rule(const EmailOptions *options, const char *domain, int length)
{
	const CxmMailProvider *shipped;
	MailRule	every;
	MailRule	rule;

	if (own_provider(options->providers, domain, length, &rule))
		return rule;
	shipped = cxm_mail_provider(domain, length);
	if (shipped)
	{
		rule.dots = options->dots && shipped->dots;
		rule.plus = options->plus && shipped->plus;
		if (options->aliases && shipped->alias)
		{
			rule.alias = shipped->alias;
			rule.alias_length = (int) strlen(shipped->alias);
		}
	}
	if (own_provider(options->providers, "*", 1, &every))
	{
		if (every.alias)
			raise_email_option("alias", 5, "cannot stand for every domain");
		rule.dots |= every.dots;
		rule.plus |= every.plus;
	}
	return rule;
}

/* Apply what the provider makes of an address, in place where it gets shorter; returns the address */
static char *
apply_provider(char *address, int *length, const EmailOptions *options)
{
	int			local = (int) (strchr(address, '@') - address);
	char	   *domain = address + local + 1;
	int			domain_length = *length - local - 1;
	MailRule	rule = mail_rule(options, domain, domain_length);
	int			kept = local;
	char	   *plus;
	char	   *result;

	if (rule.alias && !(rule.alias_length == domain_length && memcmp(rule.alias, domain, domain_length) == 0))
	{
		MailRule	target = mail_rule(options, rule.alias, rule.alias_length);

		/* one step, so that an address in its form keeps it */
		if (target.alias && !(target.alias_length == rule.alias_length &&
							  memcmp(target.alias, rule.alias, rule.alias_length) == 0))
			raise_email_option("alias", 5, "leads to a domain that is itself an alias");
		domain = pnstrdup(rule.alias, rule.alias_length);
		domain_length = rule.alias_length;
		rule = target;
	}

	plus = memchr(address, '+', kept);
	if (rule.plus && plus != NULL && plus != address)
		kept = (int) (plus - address);
	if (rule.dots)
	{
		int			letters = 0;

		for (int i = 0; i < kept; i++)
			letters += address[i] != '.';
		if (letters > 0)
		{
			int			written = 0;

			for (int i = 0; i < kept; i++)
			{
				if (address[i] != '.')
					address[written++] = address[i];
			}
			kept = written;
		}
	}
	result = psprintf("%.*s@%.*s", kept, address, domain_length, domain);
	*length = kept + 1 + domain_length;
	return result;
}

/* Does the locale take A to Z for what they are in ASCII? Some do not with I; it is asked once, for it never changes */
static bool
has_plain_letters(void)
{
	static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static bool is_known = false;
	static bool is_plain;

	if (!is_known)
	{
		is_plain = strcmp(str_tolower(upper, strlen(upper), DEFAULT_COLLATION_OID), "abcdefghijklmnopqrstuvwxyz") == 0;
		is_known = true;
	}
	return is_plain;
}

/*
 * What lower() gives in the collation of the database, ended by a zero byte.
 * ASCII does without the locale, which takes several times as long.
 */
char *
cxm_lower(const char *bytes, int length)
{
	char	   *lower;

	if (!is_ascii(bytes, length) || !has_plain_letters())
		return str_tolower(bytes, length, DEFAULT_COLLATION_OID);
	lower = palloc(length + 1);
	for (int i = 0; i < length; i++)
		lower[i] = (char) pg_ascii_tolower((unsigned char) bytes[i]);
	lower[length] = '\0';
	return lower;
}

/* Whether all characters beyond ASCII can be seen: two addresses that look the same would be two people */
static bool
is_visible(const char *bytes, int length)
{
	int			size;

	/* a text of the server's is valid, but nothing is read beyond it whatever it is */
	for (int i = 0; GetDatabaseEncoding() == PG_UTF8 && i < length; i += size)
	{
		const unsigned char *c = (const unsigned char *) bytes + i;

		size = pg_utf_mblen(c);
		if (size > length - i)
			return false;
		if (size > 1 && (cxm_is_white_space(utf8_to_unicode(c)) || cxm_is_invisible(utf8_to_unicode(c))))
			return false;
	}
	return true;
}

/* An e-mail address in its form, NULL when it is none */
text *
cxm_normalized_email(text *value, Jsonb *given)
{
	int			length;
	const char *bytes = trim(value, &length);
	EmailOptions options;
	char	   *address;

	read_email_options(given, &options);
	if (length > CXM_EMAIL_BYTES)
		return NULL;
	if (is_ascii(bytes, length))
	{
		address = pnstrdup(bytes, length);
		for (int i = 0; i < length; i++)
			address[i] = (char) pg_ascii_tolower((unsigned char) address[i]);
	}
	else if (!is_visible(bytes, length))
		return NULL;
	else
	{
		address = str_tolower(bytes, length, DEFAULT_COLLATION_OID);
		length = (int) strlen(address);
	}
	if (!cxm_is_email(address, length))
		return NULL;
	if (options.dots || options.plus || options.aliases || options.providers)
	{
		address = apply_provider(address, &length, &options);
		if (!cxm_is_email(address, length))
			return NULL;
	}
	return cstring_to_text_with_len(address, length);
}

/* cxm.normalize_email(value, options) */
Datum
cxm_normalize_email(PG_FUNCTION_ARGS)
{
	text	   *address = cxm_normalized_email(PG_GETARG_TEXT_PP(0), PG_GETARG_JSONB_P(1));

	if (address == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(address);
}

/* ---- telephone numbers without a country */

/* cxm.phone_digits(value) */
Datum
cxm_phone_digits_sql(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	int			length;
	const char *bytes = trim(value, &length);
	char		digits[20];
	int			n;

	if (cxm_is_international(bytes, length))
		PG_RETURN_NULL();
	n = cxm_phone_digits(bytes, length, digits);
	if (n == 0)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(digits, n));
}

/* ---- dates */

static CxmDateOrder
read_order(const text *name)
{
	static const char *const names[] = {[CXM_YMD] = "YMD",[CXM_DMY] = "DMY",[CXM_MDY] = "MDY"};

	for (int order = CXM_YMD; order <= CXM_MDY; order++)
	{
		if (VARSIZE_ANY_EXHDR(name) == 3 && pg_strncasecmp(VARDATA_ANY(name), names[order], 3) == 0)
			return (CxmDateOrder) order;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown order \"%s\" of a date", text_to_cstring(name)),
			 errhint("Orders are YMD, DMY and MDY.")));
	return CXM_YMD;				/* keep the compiler quiet */
}

/* cxm.normalize_date(value, date_order, first_year); first_year may be NULL */
Datum
cxm_normalize_date(PG_FUNCTION_ARGS)
{
	int			length;
	const char *bytes;
	CxmDateOrder order;
	int			first_year = CXM_NO_CENTURY;
	int			year;
	int			month;
	int			day;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	bytes = trim(PG_GETARG_TEXT_PP(0), &length);
	order = read_order(PG_GETARG_TEXT_PP(1));
	if (!PG_ARGISNULL(2))
	{
		first_year = PG_GETARG_INT32(2);
		if (first_year < 1 || first_year > 9900)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("first_year must be between 1 and 9900, not %d", first_year)));
	}
	if (length > MAX_DATE_BYTES || !cxm_read_date(bytes, length, order, first_year, &year, &month, &day))
		PG_RETURN_NULL();
	PG_RETURN_DATEADT(date2j(year, month, day) - POSTGRES_EPOCH_JDATE);
}
