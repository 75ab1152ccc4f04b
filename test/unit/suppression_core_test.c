/*
 * test/unit/suppression_core_test.c
 *		An attacker who adds up and subtracts what is shown in every way, on random trees.
 *
 * cc -Isrc test/unit/suppression_core_test.c src/suppression_core.c && ./a.out
 */
#include "suppression_core.h"

#include <stdio.h>
#include <string.h>

static int	passed = 0;
static int	failed = 0;

static void
check(int ok, const char *what)
{
	if (ok)
		passed++;
	else
	{
		failed++;
		printf("not ok: %s\n", what);
	}
}

static uint64_t seed = 42;

static uint32_t
next_random(uint32_t bound)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t) (seed >> 33) % bound;
}

#define MAX_GROUPS 9

/* people whom the groups tell apart no further: those of a group who are in none within it */
static int64_t atoms[MAX_GROUPS];

static int
is_within(const SuppressionGroup *groups, int group, int outer)
{
	while (group >= 0 && group != outer)
		group = groups[group].parent;
	return group == outer;
}

/*
 * Every sum of shown groups with factors -1, 0 and 1 that is a set of people is of nobody or of enough people. That is
 * all there is: the groups are nested, so any combination that is a set can be had with those factors.
 */
static int
is_safe(const SuppressionGroup *groups, int n, const Suppression *result, int64_t least)
{
	int			shown[MAX_GROUPS];
	int			nshown = 0;
	long		ways = 1;

	for (int i = 0; i < n; i++)
	{
		if (result[i] == SHOWN)
		{
			shown[nshown++] = i;
			ways *= 3;
		}
	}
	for (long way = 0; way < ways; way++)
	{
		long		rest = way;
		int			factor[MAX_GROUPS] = {0};
		int64_t		people = 0;
		int			is_set = 1;

		for (int i = 0; i < nshown; i++, rest /= 3)
			factor[i] = (int) (rest % 3) - 1;
		for (int atom = 0; atom < n && is_set; atom++)
		{
			int			times = 0;

			if (atoms[atom] == 0)
				continue;
			for (int i = 0; i < nshown; i++)
			{
				if (factor[i] != 0 && is_within(groups, atom, shown[i]))
					times += factor[i];
			}
			is_set = times == 0 || times == 1;
			people += times == 1 ? atoms[atom] : 0;
		}
		if (is_set && people > 0 && people < least)
			return 0;
	}
	return 1;
}

static void
one_tree(void)
{
	SuppressionGroup groups[MAX_GROUPS];
	Suppression result[MAX_GROUPS];
	int64_t		within[MAX_GROUPS];
	int			n = 1 + (int) next_random(MAX_GROUPS);
	int64_t		least = 1 + next_random(8);
	uint32_t	most = 1 + next_random(12);
	size_t		where;

	memset(groups, 0, sizeof(groups));
	for (int i = 0; i < n; i++)
	{
		groups[i].parent = i == 0 ? -1 : (int32_t) next_random((uint32_t) i);
		atoms[i] = next_random(3) == 0 ? 0 : next_random(most);
	}
	for (int i = 0; i < n; i++)
	{
		for (int outer = 0; outer <= i; outer++)
			groups[outer].people += is_within(groups, i, outer) ? atoms[i] : 0;
	}
	check(suppression_is_sound(groups, (size_t) n, within, &where), "a tree of people is sound");
	suppress(groups, (size_t) n, least, within, result);
	check(is_safe(groups, n, result, least), "nothing about a small group can be told");
	for (int i = 0; i < n; i++)
	{
		int			parent_is_shown = i == 0 || result[groups[i].parent] == SHOWN;

		check(result[i] == SHOWN || groups[i].people > 0, "a group without people is shown");
		check((result[i] == HIDDEN_SMALL) <= (groups[i].people < least), "only small groups are small");
		check((groups[i].people > 0 && groups[i].people < least) <= (result[i] != SHOWN), "no small group is shown");
		check((result[i] == HIDDEN_WITH_PARENT) <= !parent_is_shown, "hidden with a parent that is hidden");
		check((!parent_is_shown && groups[i].people > 0) <= (result[i] != SHOWN), "nothing is shown within what is hidden");

		/* no group is hidden with others where showing it alone would still be safe */
		if (result[i] == HIDDEN_WITH_OTHERS)
		{
			int			others = 0;

			for (int j = 0; j < n; j++)
				others |= j != i && groups[j].parent == groups[i].parent && result[j] != SHOWN;
			others |= atoms[groups[i].parent] > 0;
			check(others, "with others there are others");
		}
	}
}

static void
examples(void)
{
	SuppressionGroup groups[4] = {{30, -1}, {20, 0}, {7, 0}, {3, 0}};
	SuppressionGroup direct[3] = {{12, -1}, {5, 0}, {5, 0}};
	SuppressionGroup single[2] = {{6, -1}, {6, 0}};
	SuppressionGroup bad[2] = {{6, -1}, {7, 0}};
	SuppressionGroup later[2] = {{6, -1}, {3, 1}};
	Suppression result[4];
	int64_t		within[4];
	size_t		where;

	suppress(groups, 4, 5, within, result);
	check(result[0] == SHOWN && result[1] == SHOWN && result[2] == HIDDEN_WITH_OTHERS && result[3] == HIDDEN_SMALL,
		  "the next smallest is hidden with a small one");
	suppress(direct, 3, 5, within, result);
	check(result[0] == SHOWN && result[1] == HIDDEN_WITH_OTHERS && result[2] == SHOWN, "two people in no group are a small one, too");
	suppress(single, 2, 5, within, result);
	check(result[0] == SHOWN && result[1] == SHOWN, "one group that is all there is");
	suppress(single, 2, 7, within, result);
	check(result[0] == HIDDEN_SMALL && result[1] != SHOWN, "too few altogether");
	check(!suppression_is_sound(bad, 2, within, &where) && where == 1, "more people within than there are");
	check(!suppression_is_sound(later, 2, within, &where) && where == 1, "a parent that comes later");
}

int
main(void)
{
	examples();
	for (int i = 0; i < 20000; i++)
		one_tree();
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}
