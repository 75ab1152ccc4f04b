/*
 * test/unit/suppression_core_test.c
 *		An attacker who adds up and subtracts what is shown in every way, on random trees.
 *
 * cc -Isrc test/unit/suppression_core_test.c src/suppression_core.c && ./a.out
 */
#include "suppression_core.h"
#include "check.h"

#include <string.h>

#define MAX_GROUPS 9
#define MAX_ANSWERS 3
#define WIDTH (1 + MAX_ANSWERS)
#define MAX_QUESTIONS 3

/* people whom the groups tell apart no further, those of a group who are in none within it; then by answer */
static int64_t atoms[MAX_GROUPS][WIDTH];

/* Whether these people may not be told apart */
static int
is_too_telling(const int64_t *counts, size_t answers, int64_t least)
{
	int			different = 0;

	for (size_t j = 1; j <= answers; j++)
		different += counts[j] > 0;
	return counts[0] > 0 && (counts[0] < least || (answers > 0 && different < 2));
}

static int
is_within(const SuppressionGroup *groups, int group, int outer)
{
	while (group >= 0 && group != outer)
		group = groups[group].parent;
	return group == outer;
}

/* The groups that are shown; and how many ways there are to give each of them one of three factors */
static int
list_shown(int n, const Suppression *result, int *shown, long *ways)
{
	int			nshown = 0;

	*ways = 1;
	for (int i = 0; i < n; i++)
	{
		if (result[i] == SHOWN)
		{
			shown[nshown++] = i;
			*ways *= 3;
		}
	}
	return nshown;
}

/*
 * Every sum of shown groups with factors -1, 0 and 1 that is a set of people is of nobody or of enough people, who do
 * not all say the same. That is all there is: the groups are nested, so any combination that is a set can be had with
 * those factors.
 */
static int
is_safe(const SuppressionGroup *groups, int n, size_t answers, const Suppression *result, int64_t least)
{
	int			shown[MAX_GROUPS];
	long		ways;
	int			nshown = list_shown(n, result, shown, &ways);

	for (long way = 0; way < ways; way++)
	{
		long		rest = way;
		int			factor[MAX_GROUPS] = {0};
		int64_t		counts[WIDTH] = {0};
		int			is_set = 1;

		for (int i = 0; i < nshown; i++, rest /= 3)
			factor[i] = (int) (rest % 3) - 1;
		for (int atom = 0; atom < n && is_set; atom++)
		{
			int			times = 0;

			if (atoms[atom][0] == 0)
				continue;
			for (int i = 0; i < nshown; i++)
			{
				if (factor[i] != 0 && is_within(groups, atom, shown[i]))
					times += factor[i];
			}
			is_set = times == 0 || times == 1;
			for (size_t j = 0; j <= answers; j++)
				counts[j] += times == 1 ? atoms[atom][j] : 0;
		}
		if (is_set && is_too_telling(counts, answers, least))
			return 0;
	}
	return 1;
}

static void
one_tree(void)
{
	SuppressionGroup groups[MAX_GROUPS];
	Suppression result[MAX_GROUPS];
	int64_t		counts[MAX_GROUPS][WIDTH];
	int64_t		work[MAX_GROUPS * WIDTH];
	int32_t		places[MAX_GROUPS];
	bool		flags[3][MAX_GROUPS];
	SuppressionRoom room = {work, places, flags[0], flags[1], flags[2]};
	int			n = 1 + (int) next_random(MAX_GROUPS);
	size_t		answers = next_random(2) * MAX_ANSWERS;
	int64_t		least = 1 + next_random(8);
	uint32_t	most = 1 + next_random(12);
	uint32_t	opinions = 1 + next_random(MAX_ANSWERS);
	size_t		where;

	memset(counts, 0, sizeof(counts));
	memset(atoms, 0, sizeof(atoms));
	for (int i = 0; i < n; i++)
	{
		groups[i].counts = counts[i];
		groups[i].parent = i == 0 ? -1 : (int32_t) next_random((uint32_t) i);
		atoms[i][0] = next_random(3) == 0 ? 0 : next_random(most);
		for (int64_t person = 0; person < atoms[i][0]; person++)
			atoms[i][1 + next_random(opinions)]++;
		for (int outer = 0; outer <= i; outer++)
		{
			for (size_t j = 0; j < WIDTH; j++)
				counts[outer][j] += is_within(groups, i, outer) ? atoms[i][j] : 0;
		}
	}
	check(suppression_is_sound(groups, (size_t) n, (SuppressionShape) {1, answers}, room, &where), "a tree of people is sound");
	suppress(groups, (size_t) n, (SuppressionShape) {1, answers}, least, room, result);
	check(is_safe(groups, n, answers, result, least), "nothing about a small group can be told");
	for (int i = 0; i < n; i++)
	{
		int			parent_is_shown = i == 0 || result[groups[i].parent] == SHOWN;
		int			is_telling = is_too_telling(counts[i], answers, least);

		check(result[i] == SHOWN || counts[i][0] > 0, "a group without people is shown");
		check((result[i] == HIDDEN_SMALL) <= is_telling, "only small groups are small");
		check(is_telling <= (result[i] != SHOWN), "no small group is shown");
		check((result[i] == HIDDEN_WITH_PARENT) <= !parent_is_shown, "hidden with a parent that is hidden");
		check((!parent_is_shown && counts[i][0] > 0) <= (result[i] != SHOWN), "nothing is shown within what is hidden");

		/* a group is hidden with others where the rest without it would tell too much, and only there */
		if (result[i] == HIDDEN_WITH_OTHERS)
		{
			int64_t		rest[WIDTH];

			memcpy(rest, counts[groups[i].parent], sizeof(rest));
			for (int j = 1; j < n; j++)
			{
				int			is_told = j == i || (groups[j].parent == groups[i].parent && result[j] == SHOWN);

				for (size_t k = 0; k < WIDTH; k++)
					rest[k] -= is_told ? counts[j][k] : 0;
			}
			check(is_too_telling(rest, answers, least), "hidden with others that need it");
		}
	}
}

/* Whether what is shown adds up to the people of one group, and nobody else's */
static int
is_told(const SuppressionGroup *groups, int n, int group, const Suppression *result)
{
	int			shown[MAX_GROUPS];
	long		ways;
	int			nshown = list_shown(n, result, shown, &ways);

	for (long way = 0; way < ways; way++)
	{
		int			is_same = 1;

		for (int atom = 0; atom < n && is_same; atom++)
		{
			int			times = 0;
			long		rest = way;

			for (int i = 0; i < nshown; i++, rest /= 3)
				times += is_within(groups, atom, shown[i]) ? (int) (rest % 3) - 1 : 0;
			is_same = atoms[atom][0] == 0 || times == is_within(groups, atom, group);
		}
		if (is_same)
			return 1;
	}
	return 0;
}

/*
 * Several questions, of which each is safe; and if all of a group, within one that is shown, said the same, its size is
 * told by no other question.
 */
static void
several_questions(void)
{
	SuppressionGroup groups[MAX_GROUPS];
	Suppression result[MAX_GROUPS * MAX_QUESTIONS];
	Suppression of_question[MAX_GROUPS];
	int64_t		counts[MAX_GROUPS][MAX_QUESTIONS * WIDTH];
	int64_t		by_question[MAX_QUESTIONS][MAX_GROUPS][WIDTH];
	int64_t		work[MAX_GROUPS * MAX_QUESTIONS * WIDTH];
	int32_t		places[MAX_GROUPS];
	bool		flags[3][MAX_GROUPS];
	SuppressionRoom room = {work, places, flags[0], flags[1], flags[2]};
	int			n = 2 + (int) next_random(5);
	int			questions = 1 + (int) next_random(MAX_QUESTIONS);
	int64_t		least = 2 + next_random(4);
	SuppressionShape shape = {(size_t) questions, MAX_ANSWERS};
	size_t		where;

	memset(counts, 0, sizeof(counts));
	memset(by_question, 0, sizeof(by_question));
	for (int i = 0; i < n; i++)
	{
		uint32_t	people = next_random(9);

		groups[i].counts = counts[i];
		groups[i].parent = i == 0 ? -1 : (int32_t) next_random((uint32_t) i);
		for (int q = 0; q < questions; q++)
		{
			uint32_t	answered = next_random(4) == 0 ? next_random(people + 1) : people;
			uint32_t	opinions = 1 + next_random(MAX_ANSWERS);

			by_question[q][i][0] = answered;
			for (uint32_t person = 0; person < answered; person++)
				by_question[q][i][1 + next_random(opinions)]++;
			for (int outer = 0; outer <= i; outer++)
			{
				for (size_t j = 0; j < WIDTH; j++)
					counts[outer][q * WIDTH + j] += is_within(groups, i, outer) ? by_question[q][i][j] : 0;
			}
		}
	}
	check(suppression_is_sound(groups, (size_t) n, shape, room, &where), "questions are sound");
	suppress(groups, (size_t) n, shape, least, room, result);
	for (int q = 0; q < questions; q++)
	{
		memcpy(atoms, by_question[q], sizeof(atoms));
		for (int i = 0; i < n; i++)
			of_question[i] = result[i * questions + q];
		check(is_safe(groups, n, MAX_ANSWERS, of_question, least), "each question is safe");
		for (int i = 1; i < n; i++)
		{
			check((of_question[i] == SHOWN) <= !is_too_telling(counts[i] + q * WIDTH, MAX_ANSWERS, least), "no telling group is shown");
			for (int other = 0; other < questions; other++)
			{
				if (result[groups[i].parent * questions + other] == SHOWN && counts[i][other * WIDTH] >= least &&
					is_too_telling(counts[i] + other * WIDTH, MAX_ANSWERS, least))
					check(counts[i][q * WIDTH] == 0 || !is_told(groups, n, i, of_question), "the size of a group of one opinion is not told");
			}
		}
	}
}

/* What is done with groups of so many people, answers not known; -1: they are not sound, at *where */
static int
decide(int n, const int64_t *people, const int32_t *parents, int64_t least, Suppression *result, size_t *where)
{
	SuppressionGroup groups[MAX_GROUPS];
	int64_t		work[MAX_GROUPS];
	int32_t		places[MAX_GROUPS];
	bool		flags[3][MAX_GROUPS];
	SuppressionRoom room = {work, places, flags[0], flags[1], flags[2]};

	for (int i = 0; i < n; i++)
	{
		groups[i].counts = people + i;
		groups[i].parent = parents[i];
	}
	if (!suppression_is_sound(groups, (size_t) n, (SuppressionShape) {1, 0}, room, where))
		return -1;
	suppress(groups, (size_t) n, (SuppressionShape) {1, 0}, least, room, result);
	return 0;
}

static void
examples(void)
{
	Suppression result[MAX_GROUPS];
	size_t		where;

	decide(4, (int64_t[]) {30, 20, 7, 3}, (int32_t[]) {-1, 0, 0, 0}, 5, result, &where);
	check(result[0] == SHOWN && result[1] == SHOWN && result[2] == HIDDEN_WITH_OTHERS && result[3] == HIDDEN_SMALL,
		  "the next smallest is hidden with a small one");
	decide(3, (int64_t[]) {12, 5, 5}, (int32_t[]) {-1, 0, 0}, 5, result, &where);
	check(result[0] == SHOWN && result[1] == HIDDEN_WITH_OTHERS && result[2] == SHOWN, "two people in no group are a small one, too");
	decide(2, (int64_t[]) {6, 6}, (int32_t[]) {-1, 0}, 5, result, &where);
	check(result[0] == SHOWN && result[1] == SHOWN, "one group that is all there is");
	decide(2, (int64_t[]) {6, 6}, (int32_t[]) {-1, 0}, 7, result, &where);
	check(result[0] == HIDDEN_SMALL && result[1] != SHOWN, "too few altogether");
	check(decide(2, (int64_t[]) {6, 7}, (int32_t[]) {-1, 0}, 5, result, &where) < 0 && where == 1, "more people within than there are");
	check(decide(2, (int64_t[]) {6, 3}, (int32_t[]) {-1, 1}, 5, result, &where) < 0 && where == 1, "a parent that comes later");
}

int
main(void)
{
	examples();
	for (int i = 0; i < 20000; i++)
		one_tree();
	for (int i = 0; i < 20000; i++)
		several_questions();
	return report();
}
