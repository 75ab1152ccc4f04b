/*
 * test/unit/proportion_core_test.c
 *		The exact test against counting all ways to deal out the successes, the chi-square tail against its integral.
 *
 * cc -Isrc test/unit/proportion_core_test.c src/proportion_core.c -lm && ./a.out
 */
#include "proportion_core.h"
#include "check.h"

#include <math.h>
#include <stdlib.h>

static void
poll(void)
{
}

#define MAX_TRIALS 16

/* p-value by going through all subsets of the trials that have as many successes: each is equally likely */
static double
by_counting(const CxmGroup *groups, size_t ngroups)
{
	static double count_of[1 << 16];
	int			owner[MAX_TRIALS];
	int			trials = 0;
	int			successes = 0;
	int			code_seen = 0;
	double		tail = 0;
	double		whole = 0;

	for (size_t i = 0; i < ngroups; i++)
	{
		successes += (int) groups[i].successes;
		code_seen += (int) groups[i].successes << (5 * i);
		for (int j = 0; j < groups[i].trials; j++)
			owner[trials++] = (int) i;
	}
	for (size_t i = 0; i < sizeof(count_of) / sizeof(count_of[0]); i++)
		count_of[i] = 0;
	for (int set = 0; set < 1 << trials; set++)
	{
		int			code = 0;
		int			size = 0;

		for (int j = 0; j < trials; j++)
			if (set >> j & 1)
			{
				code += 1 << (5 * owner[j]);
				size++;
			}
		if (size == successes)
			count_of[code]++;
	}
	for (size_t i = 0; i < sizeof(count_of) / sizeof(count_of[0]); i++)
	{
		whole += count_of[i];
		if (count_of[i] <= count_of[code_seen])
			tail += count_of[i];
	}
	return tail / whole;
}

/* the density, added up in small steps */
static double
by_integral(double x, int degrees)
{
	const int	steps = 400000;
	double		end = x + 200;
	double		sum = 0;

	for (int i = 0; i < steps; i++)
	{
		double		y = x + (end - x) * (i + 0.5) / steps;

		sum += exp((degrees / 2.0 - 1) * log(y) - y / 2 - degrees / 2.0 * log(2) - lgamma(degrees / 2.0));
	}
	return sum * (end - x) / steps;
}

int
main(void)
{
	CxmGroup	groups[3];
	double		p;
	double		worst = 0;
	int			exact = 0;
	int			small = 0;

	for (int run = 0; run < 400; run++)
	{
		size_t		n = 2 + next_random(2);

		for (size_t i = 0; i < n; i++)
		{
			groups[i].trials = next_random(i == 0 ? 8 : 5);
			groups[i].successes = next_random((uint32_t) groups[i].trials + 1);
		}
		switch (cxm_proportion_test(groups, n, 1e7, poll, &p))
		{
			case CXM_PROPORTION_EXACT:
				exact++;
				small += p < 0.1;
				worst = fmax(worst, fabs(p - by_counting(groups, n)));
				break;
			case CXM_PROPORTION_NONE:
				{
					int			filled = 0;

					for (size_t i = 0; i < n; i++)
						filled += groups[i].trials > 0;
					check(filled < 2, "no answer only where there is nothing to compare");
				}
				break;
			case CXM_PROPORTION_CHI_SQUARE:
				check(0, "small tables are tested exactly");
		}
	}
	check(exact > 300 && small > 5, "many tables were tested, some of them unequal");
	check(worst < 1e-9, "the exact p-value is that of counting");

	worst = 0;
	for (int degrees = 1; degrees <= 7; degrees++)
		for (double x = 0.5; x < 20; x *= 1.7)
			worst = fmax(worst, fabs(cxm_chi_square_tail(x, degrees) - by_integral(x, degrees)));
	check(worst < 1e-5, "the tail of chi-square is its integral");
	/* the quantile of every table of the distribution */
	check(fabs(cxm_chi_square_tail(3.841458820694124, 1) - 0.05) < 1e-12, "5 % of one degree");
	check(fabs(cxm_chi_square_tail(5.991464547107979, 2) - 0.05) < 1e-12, "5 % of two degrees");

	/* Fisher's tea: 3 of 4 against 1 of 4 */
	groups[0] = (CxmGroup)
	{
		3, 4
	};
	groups[1] = (CxmGroup)
	{
		1, 4
	};
	check(cxm_proportion_test(groups, 2, 1e7, poll, &p) == CXM_PROPORTION_EXACT && fabs(p - 34.0 / 70) < 1e-12, "Fisher's tea");

	/* large and even: 100 of 200 against 120 of 200, chi-square 4.0404 */
	groups[0] = (CxmGroup)
	{
		100, 200
	};
	groups[1] = (CxmGroup)
	{
		120, 200
	};
	check(cxm_proportion_test(groups, 2, 1e7, poll, &p) == CXM_PROPORTION_CHI_SQUARE && fabs(p - erfc(sqrt(400.0 / 99 / 2))) < 1e-12, "two large groups");

	/* a huge group beside a tiny one is still exact, and cheap */
	groups[0] = (CxmGroup)
	{
		475000, 950000
	};
	groups[1] = (CxmGroup)
	{
		0, 4
	};
	check(cxm_proportion_test(groups, 2, 1e7, poll, &p) == CXM_PROPORTION_EXACT && fabs(p - 0.125) < 1e-5, "95 % are promoters");

	return report();
}
