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
 * Copyright (c) 2026, cxm developers
 */
#include "suppression_core.h"

#include <string.h>

/* Whether parents come first and have at least the people within them; else *where is the first that is wrong */
bool
suppression_is_sound(const SuppressionGroup *groups, size_t n, size_t answers, SuppressionRoom room, size_t *where)
{
	for (size_t i = 0; i < n; i++)
	{
		int64_t    *within = room.counts + i * (1 + answers);

		memset(within, 0, (1 + answers) * sizeof(int64_t));
		*where = i;
		if (i == 0 ? groups[i].parent != -1 : groups[i].parent < 0 || (size_t) groups[i].parent >= i)
			return false;
		for (size_t j = 0; j <= answers; j++)
		{
			if (groups[i].counts[j] < 0)
				return false;
			if (i > 0)
			{
				const SuppressionGroup *parent = &groups[groups[i].parent];
				int64_t    *of_parent = room.counts + (size_t) groups[i].parent * (1 + answers) + j;

				if (groups[i].counts[j] > parent->counts[j] - *of_parent)
					return false;
				*of_parent += groups[i].counts[j];
			}
		}
	}
	return true;
}

/* Whether these people may not be told from others: too few, or all of them say the same, and so says each */
static bool
tells_too_much(const int64_t *counts, size_t answers, int64_t least)
{
	if (counts[0] == 0)
		return false;
	if (counts[0] < least)
		return true;
	for (size_t j = 1; j <= answers; j++)
	{
		if (counts[j] == counts[0])
			return true;
	}
	return false;
}

/* Decide what is shown; groups must be sound */
void
suppress(const SuppressionGroup *groups, size_t n, size_t answers, int64_t least, SuppressionRoom room,
		 Suppression *result)
{
	size_t		width = 1 + answers;

	/* remainders, to begin with the people in none of the groups; groups without people tell nothing, and are shown */
	for (size_t i = 0; i < n; i++)
	{
		memcpy(room.counts + i * width, groups[i].counts, width * sizeof(int64_t));
		room.smallest[i] = -1;
		result[i] = tells_too_much(groups[i].counts, answers, least) ? HIDDEN_SMALL : SHOWN;
	}
	for (size_t i = 1; i < n; i++)
	{
		if (result[i] == SHOWN && groups[i].counts[0] > 0)
		{
			int64_t    *remainder = room.counts + (size_t) groups[i].parent * width;
			int32_t    *smallest = &room.smallest[groups[i].parent];

			for (size_t j = 0; j < width; j++)
				remainder[j] -= groups[i].counts[j];
			if (*smallest < 0 || groups[i].counts[0] < groups[*smallest].counts[0])
				*smallest = (int32_t) i;
		}
	}
	for (size_t i = 0; i < n; i++)
	{
		if (i > 0 && groups[i].counts[0] > 0 && result[groups[i].parent] != SHOWN)
			result[i] = HIDDEN_WITH_PARENT;

		/* one is enough: it has enough people, who do not all say the same */
		if (result[i] == SHOWN && tells_too_much(room.counts + i * width, answers, least) && room.smallest[i] >= 0)
			result[room.smallest[i]] = HIDDEN_WITH_OTHERS;
	}
}
