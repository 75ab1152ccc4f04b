/*
 * test/unit/normalize_core_test.c
 *		The tables of normalize_core.c are sorted, and its functions keep to their buffers, whatever comes.
 *
 * cc -Isrc test/unit/normalize_core_test.c src/normalize_core.c && ./a.out
 */
#include "normalize_core.h"
#include "check.h"
#include "normalize_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* a copy of just so many bytes: a sanitizer or valgrind sees what reads beyond */
static char *
copy_of(const char *value, size_t length)
{
	char	   *copy = malloc(length + 1);

	memcpy(copy, value, length);
	copy[length] = 'x';
	return copy;
}

static void
test_words(void)
{
	int			n = (int) (sizeof(nicknames) / sizeof(nicknames[0]));
	int			m = (int) (sizeof(street_words) / sizeof(street_words[0]));
	int			t = (int) (sizeof(titles) / sizeof(titles[0]));

	for (int i = 0; i < n; i++)
	{
		size_t		length = strlen(nicknames[i].word);
		const char *names = nicknames[i].meaning;
		int			spaces = 0;
		char	   *word = copy_of(nicknames[i].word, length);

		check(i == 0 || strcmp(nicknames[i - 1].word, nicknames[i].word) < 0, nicknames[i].word);
		check(strcmp(cxm_formal_names(word, length), names) == 0, nicknames[i].word);
		for (const char *c = names; *c; c++)
		{
			spaces += *c == ' ';
			check((*c >= 'a' && *c <= 'z') || (*c == ' ' && c != names && c[1] >= 'a'), names);
		}
		/* src/normalize.c leaves room for so many */
		check(spaces < 6, names);
		free(word);
	}
	for (int i = 0; i < m; i++)
	{
		const char *meaning = street_words[i].meaning;

		check(i == 0 || strcmp(street_words[i - 1].word, street_words[i].word) < 0, street_words[i].word);
		check(strcmp(cxm_street_word(street_words[i].word, strlen(street_words[i].word)), meaning) == 0, street_words[i].word);
		/* what is written out stays so */
		check(cxm_street_word(meaning, strlen(meaning)) == NULL, meaning);
		check(!cxm_is_street_ending(meaning, strlen(meaning)), meaning);
	}
	for (int i = 0; i < t; i++)
		check(cxm_is_title(titles[i], strlen(titles[i])), titles[i]);
	check(!cxm_is_title("d", 1) && !cxm_is_title("drx", 3) && !cxm_is_title("", 0), "what is no title");
	check(cxm_is_street_ending("hauptstr", 8) && !cxm_is_street_ending("str", 3) && !cxm_is_street_ending("astr", 4),
		  "streets that end in str");
}

static void
test_providers(void)
{
	static const char *const some[] = {
		"gmail.com", "googlemail.com", "outlook.com", "me.com", "mac.com", "pm.me", "protonmail.com", "ya.ru", "yandex.by", "fastmail.com", "yandex.ru"
	};

	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
	{
		const CxmMailProvider *provider = cxm_mail_provider(some[i], strlen(some[i]));

		check(provider != NULL && strcmp(provider->domain, some[i]) == 0, some[i]);
		if (provider && provider->alias)
		{
			const CxmMailProvider *target = cxm_mail_provider(provider->alias, strlen(provider->alias));

			/* one step, and nothing that the first would lose there */
			check(target && !target->alias && target->dots == provider->dots && target->plus == provider->plus, some[i]);
		}
	}
	check(cxm_mail_provider("gmail.co", 8) == NULL && cxm_mail_provider("gmail.com", 8) == NULL &&
		  cxm_mail_provider("", 0) == NULL, "domains that are not known");
}

/* Folding: bounded, without spaces at an end or two in a row, and the same when done again */
static void
test_fold(void)
{
	uint32_t	in[64];
	uint32_t	once[128];
	uint32_t	twice[256];

	for (int round = 0; round < 200000; round++)
	{
		int			n = (int) next_random(64);
		int			m;
		int			o;
		int			ok = 1;

		for (int i = 0; i < n; i++)
		{
			switch (next_random(5))
			{
				case 0:
					in[i] = next_random(128);
					break;
				case 1:
					in[i] = next_random(0x600);
					break;
				case 2:
					in[i] = next_random(0x3100);
					break;
				case 3:
					in[i] = CXM_OPAQUE + 128 + next_random(128);
					break;
				default:
					in[i] = next_random(0x110000);
			}
		}
		m = cxm_fold(in, n, once);
		check(m >= 0 && m <= 2 * n, "no more than twice as many");
		for (int i = 0; i < m; i++)
			ok &= once[i] != ' ' || (i > 0 && i + 1 < m && once[i - 1] != ' ');
		check(ok, "words parted by one space");
		o = cxm_fold(once, m, twice);
		check(o == m && memcmp(once, twice, sizeof(uint32_t) * (size_t) m) == 0, "folding again changes nothing");
	}
	for (uint32_t c = 0; c < 0x110000; c++)
	{
		uint32_t	letter[2];
		int			n = cxm_fold(&c, 1, letter);

		if (n > 0 && cxm_is_white_space(c))
			check(0, "white space is no letter");
		if (n == 1 && letter[0] < 0x80)
			check((letter[0] >= 'a' && letter[0] <= 'z') || (letter[0] >= '0' && letter[0] <= '9'), "small letters and digits");
	}
}

/* Days by the plain calendar, counted one after the other */
static void
test_dates(void)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	for (int y = 0; y <= 10000; y += (y > 1890 && y < 2110) ? 1 : 97)
	{
		int			is_leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

		for (int m = 0; m <= 13; m++)
		{
			for (int d = 0; d <= 32; d++)
			{
				int			is_date = y >= 1 && y <= 9999 && m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1] + (m == 2 && is_leap);
				char		text[32];
				int			ry,
							rm,
							rd;

				snprintf(text, sizeof(text), "%04d-%d-%d", y, m, d);
				check(cxm_read_date(text, strlen(text), CXM_DMY, CXM_NO_CENTURY, &ry, &rm, &rd) == is_date &&
					  (!is_date || (ry == y && rm == m && rd == d)), text);
				snprintf(text, sizeof(text), "%d.%d.%04d", d, m, y);
				check(cxm_read_date(text, strlen(text), CXM_DMY, CXM_NO_CENTURY, &ry, &rm, &rd) == is_date &&
					  (!is_date || (ry == y && rm == m && rd == d)), text);
			}
		}
	}
}

/* Whatever comes: nothing is read or written where it must not be, and what is said to be one is one */
static void
test_anything(void)
{
	static const char pieces[] = "0123456789 .,/-+@:TtZaprApril2026()\t\n\xC3\xA9\x80\xFF<>\"";

	for (int round = 0; round < 500000; round++)
	{
		size_t		length = next_random(40);
		char	   *value = malloc(length + 1);
		char		digits[20];
		int			y = -1,
					m = -1,
					d = -1;
		int			n;

		for (size_t i = 0; i < length; i++)
			value[i] = next_random(4) == 0 ? (char) next_random(256) : pieces[next_random(sizeof(pieces) - 1)];

		if (cxm_read_date(value, length, (CxmDateOrder) next_random(3), (int) next_random(2) * 1950, &y, &m, &d))
			check(y >= 1 && y <= 9999 && m >= 1 && m <= 12 && d >= 1 && d <= 31, "a date is one");
		n = cxm_phone_digits(value, length, digits);
		check(n == 0 || (n >= 5 && n <= 20), "5 to 20 digits");
		for (int i = 0; i < n; i++)
			check(digits[i] >= '0' && digits[i] <= '9', "a digit is one");
		(void) cxm_is_international(value, length);
		if (cxm_is_email(value, length))
			check(memchr(value, '@', length) != NULL && memchr(value, ' ', length) == NULL, "an address is one");
		(void) cxm_formal_names(value, length);
		(void) cxm_street_word(value, length);
		(void) cxm_mail_provider(value, length);
		free(value);
	}
}

int
main(void)
{
	test_words();
	test_providers();
	test_fold();
	test_dates();
	test_anything();
	return report();
}
