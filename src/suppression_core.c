/*
 * src/suppression_core.c
 *		Suppression of small groups, and of those that small ones could be told from.
 *
 * What is not shown of a group that is shown lies in a remainder: the groups within it that are hidden, and the people
 * in none. Where the remainder tells too much, the smallest group that could be shown joins it, and what lies within a
 * hidden group is hidden. So all people are in parts, the remainders of shown groups and the shown groups without any
 * within them, none of which is too small or of one opinion; and every shown group is a sum of such parts. Whatever is
 * added up and subtracted from what is shown, it is about whole parts.
 *
 * Of several questions, each is decided on its own, for few may have answered one and many another. But where a group
 * is hidden because its people all said the same, its size in another question would give that away: a group that is
 * hidden with it cannot be the cause if it is large, and then each of the others said what so many of the remainder
 * did. So it is hidden in all questions, and with it what is hidden with it.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "suppression_core.h"

#include <string.h>

/* Whether parents come first and have at least the people within them; else *where is the first that is wrong */
bool
suppression_is_sound(const SuppressionGroup *groups, size_t n, SuppressionShape shape, SuppressionRoom room,
					 size_t *where)
{
	size_t		width = shape.questions * (1 + shape.answers);

	for (size_t i = 0; i < n; i++)
	{
		int64_t    *within = room.counts + i * width;

		memset(within, 0, width * sizeof(int64_t));
		*where = i;
		if (i == 0 ? groups[i].parent != -1 : groups[i].parent < 0 || (size_t) groups[i].parent >= i)
			return false;
		for (size_t j = 0; j < width; j++)
		{
			if (groups[i].counts[j] < 0)
				return false;
			if (i > 0)
			{
				const SuppressionGroup *parent = &groups[groups[i].parent];
				int64_t    *of_parent = room.counts + (size_t) groups[i].parent * width + j;

				if (groups[i].counts[j] > parent->counts[j] - *of_parent)
					return false;
				*of_parent += groups[i].counts[j];
			}
		}
	}
	return true;
}

/* Whether so many people as may be shown all say the same, and so says each */
static bool
are_alike(const int64_t *counts, size_t answers, int64_t least)
{
	if (counts[0] == 0 || counts[0] < least)
		return false;
	for (size_t j = 1; j <= answers; j++)
	{
		if (counts[j] == counts[0])
			return true;
	}
	return false;
}

/* Whether these people may not be told from others */
static bool
tells_too_much(const int64_t *counts, size_t answers, int64_t least)
{
	return (counts[0] > 0 && counts[0] < least) || are_alike(counts, answers, least);
}

/*
 * Decide what is shown of one question, hiding what is to be hidden together. Groups that are hidden on account of what
 * people say are added to these; returns whether there are any new ones.
 */
static bool
suppress_question(const SuppressionGroup *groups, size_t n, SuppressionShape shape, size_t question, int64_t least,
				  SuppressionRoom room, Suppression *result)
{
	size_t		width = 1 + shape.answers;
	bool		is_new = false;

#define COUNTS(i) (groups[i].counts + question * width)
#define RESULT(i) (result[(i) * shape.questions + question])

	/* remainders, to begin with the people in none of the groups; groups without people tell nothing, and are shown */
	for (size_t i = 0; i < n; i++)
	{
		memcpy(room.counts + i * width, COUNTS(i), width * sizeof(int64_t));
		room.smallest[i] = -1;
		room.alike[i] = room.alone[i] = false;
		if (tells_too_much(COUNTS(i), shape.answers, least))
			RESULT(i) = HIDDEN_SMALL;
		else
			RESULT(i) = room.together[i] && COUNTS(i)[0] > 0 ? HIDDEN_WITH_OTHERS : SHOWN;
	}
	for (size_t i = 1; i < n; i++)
	{
		if (RESULT(i) == SHOWN && COUNTS(i)[0] > 0)
		{
			int64_t    *remainder = room.counts + (size_t) groups[i].parent * width;
			int32_t    *smallest = &room.smallest[groups[i].parent];

			for (size_t j = 0; j < width; j++)
				remainder[j] -= COUNTS(i)[j];
			if (*smallest < 0 || COUNTS(i)[0] < COUNTS(*smallest)[0])
				*smallest = (int32_t) i;
		}
	}

	/* remainders in which a group lies because of what its people say, and those that are nothing but it here */
	for (size_t i = 1; i < n; i++)
	{
		size_t		parent = (size_t) groups[i].parent;

		if (are_alike(COUNTS(i), shape.answers, least))
			room.alike[parent] = true;
		if (room.together[i] && COUNTS(i)[0] > 0 && COUNTS(i)[0] == room.counts[parent * width])
			room.alike[parent] = room.alone[parent] = true;
	}

	for (size_t i = 0; i < n; i++)
	{
		if (i > 0 && COUNTS(i)[0] > 0 && RESULT((size_t) groups[i].parent) != SHOWN)
			RESULT(i) = HIDDEN_WITH_PARENT;
		if (RESULT(i) != SHOWN)
			continue;
		if (are_alike(room.counts + i * width, shape.answers, least))
			room.alike[i] = true;

		/* one is enough: it has enough people, who do not all say the same */
		if (room.alone[i] || tells_too_much(room.counts + i * width, shape.answers, least))
		{
			if (room.smallest[i] >= 0)
				RESULT((size_t) room.smallest[i]) = HIDDEN_WITH_OTHERS;
			else if (room.alone[i])
				room.together[i] = is_new = true;
		}
	}
	for (size_t i = 1; i < n; i++)
	{
		if (room.alike[groups[i].parent] && !room.together[i] &&
			(RESULT(i) == HIDDEN_SMALL || RESULT(i) == HIDDEN_WITH_OTHERS))
			room.together[i] = is_new = true;
	}

#undef COUNTS
#undef RESULT
	return is_new;
}

/* Decide what is shown, a result a group and question; groups must be sound */
void
suppress(const SuppressionGroup *groups, size_t n, SuppressionShape shape, int64_t least, SuppressionRoom room,
		 Suppression *result)
{
	bool		again = true;

	memset(room.together, 0, n * sizeof(bool));

	/* with a single question there is no other to give anything away */
	while (again)
	{
		again = false;
		for (size_t question = 0; question < shape.questions; question++)
			again |= suppress_question(groups, n, shape, question, least, room, result) && shape.questions > 1;
	}
}
