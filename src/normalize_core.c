/*
 * src/normalize_core.c
 *		One form for names, words of addresses, e-mail addresses and dates.
 *
 * Nothing here asks the locale: what a function makes of a value is the same in every database, and stays so.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "normalize_core.h"

#include <string.h>

#include "normalize_words.h"

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* what becomes of a character that is not kept */
typedef enum Fate
{
	DROPPED,					/* it joins what stands beside it */
	PARTING						/* it parts words */
} Fate;

typedef struct Range
{
	uint32_t	first;
	uint32_t	last;
	Fate		fate;
} Range;

/*
 * Beyond ASCII, after compatibility decomposition: accents and points, which are dropped, and what is no letter or
 * digit.  The vowel signs of Indic scripts and the marks of kana are not here, for without them a word is another.
 */
static const Range no_letters[] = {
	{0x80, 0xA9, PARTING},
	{0xAB, 0xB4, PARTING},
	{0xB6, 0xB9, PARTING},
	{0xBB, 0xBF, PARTING},
	{0xD7, 0xD7, PARTING},
	{0xF7, 0xF7, PARTING},
	{0x2B9, 0x2FF, DROPPED},
	{0x300, 0x36F, DROPPED},
	{0x37E, 0x37E, PARTING},
	{0x387, 0x387, PARTING},
	{0x483, 0x489, DROPPED},
	{0x55A, 0x55F, PARTING},
	{0x589, 0x58A, PARTING},
	{0x591, 0x5BD, DROPPED},
	{0x5BE, 0x5BE, PARTING},
	{0x5BF, 0x5C7, DROPPED},
	{0x5F3, 0x5F4, DROPPED},
	{0x600, 0x60F, PARTING},
	{0x610, 0x61A, DROPPED},
	{0x61B, 0x61F, PARTING},
	{0x640, 0x640, DROPPED},
	{0x64B, 0x65F, DROPPED},
	{0x66A, 0x66D, PARTING},
	{0x670, 0x670, DROPPED},
	{0x6D4, 0x6D4, PARTING},
	{0x964, 0x965, PARTING},
	{0x1680, 0x1680, PARTING},
	{0x1AB0, 0x1AFF, DROPPED},
	{0x1DC0, 0x1DFF, DROPPED},
	{0x2000, 0x200A, PARTING},
	{0x200B, 0x200F, DROPPED},
	{0x2010, 0x2017, PARTING},
	{0x2018, 0x201B, DROPPED},
	{0x201C, 0x2029, PARTING},
	{0x202A, 0x202E, DROPPED},
	{0x202F, 0x2031, PARTING},
	{0x2032, 0x2032, DROPPED},
	{0x2033, 0x2034, PARTING},
	{0x2035, 0x2035, DROPPED},
	{0x2036, 0x205F, PARTING},
	{0x2060, 0x206F, DROPPED},
	{0x20A0, 0x20CF, PARTING},
	{0x20D0, 0x20FF, DROPPED},
	{0x2190, 0x2BFF, PARTING},
	{0x2E00, 0x2E7F, PARTING},
	{0x3000, 0x3004, PARTING},
	{0x3008, 0x3020, PARTING},
	{0x3030, 0x3030, PARTING},
	{0x30A0, 0x30A0, PARTING},
	{0x30FB, 0x30FB, PARTING},
	{0xFE00, 0xFE0F, DROPPED},
	{0xFE20, 0xFE2F, DROPPED},
	{0xFEFF, 0xFEFF, DROPPED},
	{0xFFF9, 0xFFFF, PARTING},
	{0x1F000, 0x1FAFF, PARTING},
	{0xE0000, 0xE0FFF, DROPPED}
};

typedef struct Letter
{
	uint32_t	from;
	char		to[3];
} Letter;

/* Latin letters that Unicode does not take apart, capitals and small */
static const Letter latin_letters[] = {
	{0xC6, "ae"}, {0xD0, "d"}, {0xD8, "o"}, {0xDE, "th"}, {0xDF, "ss"}, {0xE6, "ae"}, {0xF0, "d"}, {0xF8, "o"},
	{0xFE, "th"}, {0x110, "d"}, {0x111, "d"}, {0x126, "h"}, {0x127, "h"}, {0x131, "i"}, {0x138, "k"}, {0x141, "l"},
	{0x142, "l"}, {0x14A, "n"}, {0x14B, "n"}, {0x152, "oe"}, {0x153, "oe"}, {0x166, "t"}, {0x167, "t"}, {0x180, "b"},
	{0x181, "b"}, {0x189, "d"}, {0x18A, "d"}, {0x18F, "a"}, {0x191, "f"}, {0x192, "f"}, {0x193, "g"}, {0x197, "i"},
	{0x198, "k"}, {0x199, "k"}, {0x19A, "l"}, {0x19D, "n"}, {0x19E, "n"}, {0x1A4, "p"}, {0x1A5, "p"}, {0x1AC, "t"},
	{0x1AD, "t"}, {0x1AE, "t"}, {0x1B2, "v"}, {0x1B3, "y"}, {0x1B4, "y"}, {0x1B5, "z"}, {0x1B6, "z"}, {0x1DD, "a"},
	{0x1E4, "g"}, {0x1E5, "g"}, {0x220, "n"}, {0x221, "d"}, {0x23A, "a"}, {0x23B, "c"}, {0x23C, "c"}, {0x23D, "l"},
	{0x23E, "t"}, {0x243, "b"}, {0x244, "u"}, {0x246, "e"}, {0x247, "e"}, {0x248, "j"}, {0x249, "j"}, {0x24C, "r"},
	{0x24D, "r"}, {0x24E, "y"}, {0x24F, "y"}, {0x253, "b"}, {0x256, "d"}, {0x257, "d"}, {0x259, "a"}, {0x260, "g"},
	{0x268, "i"}, {0x26B, "l"}, {0x272, "n"}, {0x288, "t"}, {0x289, "u"}, {0x28B, "v"}, {0x1E9E, "ss"},
	{0x2C65, "a"}, {0x2C66, "t"}
};

static const char *const months[] = {
	"january", "february", "march", "april", "may", "june",
	"july", "august", "september", "october", "november", "december"
};

static const char *const weekdays[] = {
	"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
};

/*
 * Providers of which it is known for certain, and by their own word, what they make of an address.  Sorted by domain.
 */
static const CxmMailProvider providers[] = {
	{"fastmail.com", false, true, NULL},
	{"fastmail.fm", false, true, NULL},
	{"gmail.com", true, true, NULL},
	{"googlemail.com", true, true, "gmail.com"},
	{"hotmail.co.uk", false, true, NULL},
	{"hotmail.com", false, true, NULL},
	{"hotmail.de", false, true, NULL},
	{"hotmail.es", false, true, NULL},
	{"hotmail.fr", false, true, NULL},
	{"hotmail.it", false, true, NULL},
	{"icloud.com", false, true, NULL},
	{"live.co.uk", false, true, NULL},
	{"live.com", false, true, NULL},
	{"live.de", false, true, NULL},
	{"live.fr", false, true, NULL},
	{"mac.com", false, true, "icloud.com"},
	{"mailbox.org", false, true, NULL},
	{"me.com", false, true, "icloud.com"},
	{"msn.com", false, true, NULL},
	{"outlook.com", false, true, NULL},
	{"outlook.de", false, true, NULL},
	{"outlook.fr", false, true, NULL},
	{"pm.me", true, true, "proton.me"},
	{"posteo.de", false, true, NULL},
	{"proton.me", true, true, NULL},
	{"protonmail.ch", true, true, "proton.me"},
	{"protonmail.com", true, true, "proton.me"},
	{"ya.ru", false, true, "yandex.ru"},
	{"yandex.by", false, true, "yandex.ru"},
	{"yandex.com", false, true, "yandex.ru"},
	{"yandex.kz", false, true, "yandex.ru"},
	{"yandex.ru", false, true, NULL}
};

/* ---- characters */

/* Whether it is white space by Unicode, or shows as little: a zero-width space, a byte-order mark */
bool
cxm_is_white_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
		(c >= 0x2000 && c <= 0x200B) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000 ||
		c == 0xFEFF;
}

/* Whether it shows as nothing, or only turns around what is beside it: controls, soft hyphens, joiners, directions */
bool
cxm_is_invisible(uint32_t c)
{
	return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0xAD || c == 0x61C || (c >= 0x200B && c <= 0x200F) ||
		(c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xE0000 && c <= 0xE0FFF);
}

/* What to decompose instead of a character: a lone acute stands for an apostrophe, and would become a space */
uint32_t
cxm_before_decomposition(uint32_t c)
{
	return c == 0xB4 || c == 0x1FFD || c == 0x1FEF || c == 0x1FBF || c == 0x1FBD || c == 0x384 ? '\'' : c;
}

/* The small letter of a capital, where it is not ASCII and does not decompose */
static uint32_t
small_letter(uint32_t c)
{
	if (c >= 0x391 && c <= 0x3A9 && c != 0x3A2)
		return c + 0x20;
	if (c == 0x3C2)
		return 0x3C3;			/* the sigma that ends a word */
	if (c >= 0x400 && c <= 0x40F)
		return c + 0x50;
	if (c >= 0x410 && c <= 0x42F)
		return c + 0x20;
	if ((c >= 0x460 && c <= 0x481) || (c >= 0x48A && c <= 0x4BF) || (c >= 0x4D0 && c <= 0x52F))
		return c | 1;
	if (c == 0x4C0)
		return 0x4CF;
	if (c >= 0x4C1 && c <= 0x4CE)
		return c % 2 == 1 ? c + 1 : c;
	if (c >= 0x531 && c <= 0x556)
		return c + 0x30;
	return c;
}

static const Range *
find_range(uint32_t c)
{
	int			low = 0;
	int			high = LENGTH(no_letters) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (c < no_letters[middle].first)
			high = middle - 1;
		else if (c > no_letters[middle].last)
			low = middle + 1;
		else
			return &no_letters[middle];
	}
	return NULL;
}

static const Letter *
find_letter(uint32_t c)
{
	int			low = 0;
	int			high = LENGTH(latin_letters) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (c < latin_letters[middle].from)
			high = middle - 1;
		else if (c > latin_letters[middle].from)
			low = middle + 1;
		else
			return &latin_letters[middle];
	}
	return NULL;
}

/*
 * Fold decomposed characters into words of small letters and digits, parted by one space.  out has room for twice as
 * many characters as in; returns how many there are.
 */
int
cxm_fold(const uint32_t *in, int n, uint32_t *out)
{
	int			written = 0;
	bool		is_parted = false;

	for (int i = 0; i < n; i++)
	{
		uint32_t	c = in[i];
		const char *expansion = NULL;

		if (c < 0x80)
		{
			if (c == '\'' || c == '`')
				continue;
			if (c >= 'A' && c <= 'Z')
				c += 'a' - 'A';
			else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
			{
				is_parted = true;
				continue;
			}
		}
		else if (c < CXM_OPAQUE)
		{
			const Range *range = find_range(c);
			const Letter *letter;

			if (range && range->fate == PARTING)
			{
				is_parted = true;
				continue;
			}
			/* a Cyrillic i or u with a breve is another letter */
			if (range && !(c == 0x306 && written > 0 && !is_parted &&
						   (out[written - 1] == 0x438 || out[written - 1] == 0x443)))
				continue;
			letter = find_letter(c);
			if (letter)
				expansion = letter->to;
			else
				c = small_letter(c);
		}

		if (is_parted && written > 0)
			out[written++] = ' ';
		is_parted = false;
		if (expansion)
		{
			for (; *expansion; expansion++)
				out[written++] = (unsigned char) *expansion;
		}
		else
			out[written++] = c;
	}
	return written;
}

/* ---- words */

/* Order of a sorted word and one that does not end with a zero byte */
static int
compare_word(const char *sorted, const char *word, size_t length)
{
	size_t		sorted_length = strlen(sorted);
	int			order = memcmp(sorted, word, sorted_length < length ? sorted_length : length);

	return order != 0 ? order : (sorted_length > length) - (sorted_length < length);
}

static const char *
find_word(const Word *words, int n, const char *word, size_t length)
{
	int			low = 0;
	int			high = n - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = compare_word(words[middle].word, word, length);

		if (order == 0)
			return words[middle].meaning;
		if (order > 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Whether a folded word is a title, as stands before a name */
bool
cxm_is_title(const char *word, size_t length)
{
	int			low = 0;
	int			high = LENGTH(titles) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = compare_word(titles[middle], word, length);

		if (order == 0)
			return true;
		if (order > 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return false;
}

/* The names, parted by a space, that a folded given name may be short for; NULL when none is known */
const char *
cxm_formal_names(const char *name, size_t length)
{
	return find_word(nicknames, LENGTH(nicknames), name, length);
}

/* What a folded word of an address is short for; NULL when it is not short */
const char *
cxm_street_word(const char *word, size_t length)
{
	return find_word(street_words, LENGTH(street_words), word, length);
}

/* Whether a word is a German street name that ends in str for strasse, such as hauptstr */
bool
cxm_is_street_ending(const char *word, size_t length)
{
	return length > 5 && memcmp(word + length - 3, "str", 3) == 0;
}

/* ---- e-mail addresses */

static bool
is_one_of(char c, const char *set)
{
	for (; *set != '\0'; set++)
	{
		if (*set == c)
			return true;
	}
	return false;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether it can be the domain of an address: labels of letters, digits, - and _, parted by single dots */
bool
cxm_is_mail_domain(const char *value, size_t length)
{
	if (length == 0 || length > 255)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		char		c = value[i];

		if (c == '.' && (i == 0 || i + 1 == length || value[i - 1] == '.'))
			return false;
		if (!is_letter(c) && !is_digit(c) && c != '.' && c != '-' && c != '_' && (unsigned char) c < 0x80)
			return false;
	}
	return true;
}

/* Whether it can be an address: no white space and nothing that would need quotes; one @ between two parts */
bool
cxm_is_email(const char *value, size_t length)
{
	const char *at = memchr(value, '@', length);
	size_t		local;

	if (length > CXM_EMAIL_BYTES || at == NULL || at == value)
		return false;
	local = (size_t) (at - value);
	for (size_t i = 0; i < local; i++)
	{
		unsigned char c = (unsigned char) value[i];

		if (c <= ' ' || c == 0x7F || is_one_of(value[i], "\"(),:;<>[\\]"))
			return false;
	}
	return cxm_is_mail_domain(at + 1, length - local - 1);
}

/* What is known of the provider of a domain in small letters; NULL when nothing is */
const CxmMailProvider *
cxm_mail_provider(const char *domain, size_t length)
{
	int			low = 0;
	int			high = LENGTH(providers) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = compare_word(providers[middle].domain, domain, length);

		if (order == 0)
			return &providers[middle];
		if (order > 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return NULL;
}

/* ---- telephone numbers, without knowing a country */

/* Whether a number begins with its country: with + or 00 */
bool
cxm_is_international(const char *value, size_t length)
{
	size_t		i = 0;

	while (i < length && is_one_of(value[i], " \t(.-/"))
		i++;
	return i < length && (value[i] == '+' || (i + 1 < length && value[i] == '0' && value[i + 1] == '0'));
}

/* The digits of a number, where it is 5 to 20 digits and nothing else but what people group them with; else 0 */
int
cxm_phone_digits(const char *value, size_t length, char *out)
{
	int			n = 0;

	for (size_t i = 0; i < length; i++)
	{
		if (is_digit(value[i]))
		{
			if (n == 20)
				return 0;
			out[n++] = value[i];
		}
		else if (!is_one_of(value[i], " \t()./-"))
			return 0;
	}
	return n >= 5 ? n : 0;
}

/* ---- dates */

/* a number or word of a date */
typedef struct DatePart
{
	int			number;			/* its value; of a word the month */
	int			digits;			/* how many; 0 of a word */
} DatePart;

/* Which of some words this is, whole or its first three letters: 1 is the first; 0 when it is none */
static int
find_name(const char *const *names, int n, const char *word, size_t length)
{
	char		small[10];

	if (length < 3 || length >= sizeof(small))
		return 0;
	for (size_t i = 0; i < length; i++)
		small[i] = (char) (word[i] | 0x20);
	for (int i = 0; i < n; i++)
	{
		size_t		whole = strlen(names[i]);

		if (memcmp(names[i], small, 3) != 0)
			continue;
		if (length == 3 || (length == whole && memcmp(names[i], small, length) == 0) ||
			(length == 4 && memcmp(small, "sept", 4) == 0))
			return i + 1;
	}
	return 0;
}

static bool
is_date(int year, int month, int day)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return year >= 1 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 &&
		day <= days[month - 1] + (month == 2 && is_leap ? 1 : 0);
}

/* The year that a number of so many digits means; 0 when it means none */
static int
year_of(const DatePart *part, int first_year)
{
	if (part->digits == 4)
		return part->number;
	if (part->digits != 2 || first_year == CXM_NO_CENTURY)
		return 0;
	return first_year + (part->number - first_year % 100 + 100) % 100;
}

/* Whether what follows a date is a time of day, which is passed over */
static bool
is_time(const char *value, size_t length)
{
	size_t		i = 0;

	if (length == 0)
		return true;
	if (value[0] != 'T' && value[0] != 't' && value[0] != ' ')
		return false;
	i++;
	if (i + 2 >= length || !is_digit(value[i]))
		return false;
	while (i < length && is_digit(value[i]))
		i++;
	if (i == length || value[i] != ':')
		return false;
	for (; i < length; i++)
	{
		if (!is_digit(value[i]) && !is_letter(value[i]) && !is_one_of(value[i], ":.,+- "))
			return false;
	}
	return true;
}

/* Take a date of three parts apart: the first, the second and the third as the order says, if that is a date */
static bool
by_order(const DatePart part[3], CxmDateOrder order, int first_year, int *year, int *month, int *day)
{
	const DatePart *y = &part[order == CXM_YMD ? 0 : 2];
	const DatePart *m = &part[order == CXM_MDY ? 0 : 1];
	const DatePart *d = &part[order == CXM_YMD ? 2 : order == CXM_DMY ? 0 : 1];

	*year = year_of(y, first_year);
	*month = m->number;
	*day = d->number;
	return m->digits <= 2 && d->digits <= 2 && is_date(*year, *month, *day);
}

/*
 * Read a date as people and programs write it.  order says which number is which where the form does not: see the
 * comment of cxm.normalize_date().  Returns false when it is no date, or could be more than one.
 */
bool
cxm_read_date(const char *value, size_t length, CxmDateOrder order, int first_year, int *year, int *month, int *day)
{
	DatePart	part[3];
	char		parted_by[3] = {0};
	int			n = 0;
	int			named = -1;		/* which part is a month by name */
	size_t		i = 0;

	while (i < length && n < 3)
	{
		size_t		begin = i;
		char		separator = 0;

		if (is_digit(value[i]))
		{
			part[n].number = 0;
			while (i < length && is_digit(value[i]) && i - begin < 9)
				part[n].number = part[n].number * 10 + (value[i++] - '0');
			part[n].digits = (int) (i - begin);
			/* 3rd */
			if (part[n].digits <= 2 && length - i >= 2 && (length - i == 2 || !is_letter(value[i + 2])))
			{
				const char	a = value[i] | 0x20;
				const char	b = value[i + 1] | 0x20;

				if ((a == 's' && b == 't') || (a == 'n' && b == 'd') || (a == 'r' && b == 'd') ||
					(a == 't' && b == 'h'))
					i += 2;
			}
			n++;
		}
		else if (is_letter(value[i]))
		{
			while (i < length && is_letter(value[i]))
				i++;
			if (n == 0 && named < 0 && find_name(weekdays, LENGTH(weekdays), value + begin, i - begin) != 0)
			{
				while (i < length && (value[i] == ',' || value[i] == '.' || value[i] == ' '))
					i++;
				continue;
			}
			if (named >= 0)
				return false;
			part[n].number = find_name(months, LENGTH(months), value + begin, i - begin);
			part[n].digits = 0;
			if (part[n].number == 0)
				return false;
			named = n++;
		}
		else
			return false;

		if (n == 3)
			break;
		/* one mark between parts, with or without spaces around it */
		for (; i < length && is_one_of(value[i], " .,/-"); i++)
		{
			if (value[i] != ' ' && separator != 0 && separator != ' ' && !(separator == '.' && value[i] == ','))
				return false;
			if (value[i] != ' ' || separator == 0)
				separator = value[i];
		}
		parted_by[n] = separator;
	}

	/* 20260403 */
	if (n == 1 && named < 0 && (part[0].digits == 8 || part[0].digits == 6) && is_time(value + i, length - i))
	{
		int			all = part[0].number;
		int			years = part[0].digits - 4;
		DatePart	cut[3];

		if (parted_by[1] != 0)
			return false;
		if (order == CXM_YMD)
		{
			cut[0] = (DatePart) {all / 10000, years};
			cut[1] = (DatePart) {all / 100 % 100, 2};
			cut[2] = (DatePart) {all % 100, 2};
		}
		else
		{
			int			unit = years == 4 ? 10000 : 100;

			cut[0] = (DatePart) {all / unit / 100, 2};
			cut[1] = (DatePart) {all / unit % 100, 2};
			cut[2] = (DatePart) {all % unit, years};
		}
		return by_order(cut, order, first_year, year, month, day);
	}
	if (n != 3 || !is_time(value + i, length - i))
		return false;

	/* 3 April 2026, April 3, 2026, 2026 April 3 */
	if (named >= 0)
	{
		const DatePart *first = &part[named == 0 ? 1 : 0];
		const DatePart *second = &part[named == 2 ? 1 : 2];
		bool		is_year_first = first->digits == 4 || (first->digits == 2 && second->digits == 1);

		if (named == 2)
			return false;
		*year = year_of(is_year_first ? first : second, first_year);
		*month = part[named].number;
		*day = (is_year_first ? second : first)->number;
		return (is_year_first ? second : first)->digits <= 2 && is_date(*year, *month, *day);
	}

	if (parted_by[1] != parted_by[2] || parted_by[1] == 0 || parted_by[1] == ',')
		return false;
	if (part[0].digits == 4)
		return by_order(part, CXM_YMD, first_year, year, month, day);
	if (part[2].digits == 4 && order == CXM_YMD)
	{
		/* nobody has said which way round it is: only where there is no choice */
		int			other[3];
		bool		is_day_first = by_order(part, CXM_DMY, first_year, year, month, day);
		bool		is_month_first = by_order(part, CXM_MDY, first_year, &other[0], &other[1], &other[2]);

		if (is_day_first && is_month_first)
			return *month == other[1] && *day == other[2];
		return is_day_first || by_order(part, CXM_MDY, first_year, year, month, day);
	}
	return by_order(part, order, first_year, year, month, day);
}
