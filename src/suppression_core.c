/*
 * src/suppression_core.c
 *		Suppression of small groups, and of those that small ones could be told from.
 *
 * What is not shown of a group that is shown lies in a remainder: the groups within it that are hidden, and the people
 * in none. The smallest groups join the remainder until it is empty or large enough, and what lies within a hidden
 * group is hidden. So all people are in parts, the remainders of shown groups and the shown groups without any within
 * them, none of which is too small; and every shown group is a sum of such parts. Whatever is added up and subtracted
 * from what is shown, it is about whole parts.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "suppression_core.h"

/* Whether parents come first and have at least the people within them; else *where is the first that is wrong */
bool
suppression_is_sound(const SuppressionGroup *groups, size_t n, int64_t *within, size_t *where)
{
	for (size_t i = 0; i < n; i++)
	{
		within[i] = 0;
		*where = i;
		if (groups[i].people < 0
			|| (i == 0 ? groups[i].parent != -1 : groups[i].parent < 0 || (size_t) groups[i].parent >= i))
			return false;
		if (i > 0)
		{
			int64_t    *of_parent = &within[groups[i].parent];

			if (groups[i].people > groups[groups[i].parent].people - *of_parent)
				return false;
			*of_parent += groups[i].people;
		}
	}
	return true;
}

/* The smallest group within a parent that is shown and has people; -1: none */
static int64_t
smallest_shown(const SuppressionGroup *groups, size_t n, int32_t parent, const Suppression *result)
{
	int64_t		smallest = -1;

	for (size_t i = (size_t) parent + 1; i < n; i++)
	{
		if (groups[i].parent == parent && result[i] == SHOWN && groups[i].people > 0
			&& (smallest < 0 || groups[i].people < groups[smallest].people))
			smallest = (int64_t) i;
	}
	return smallest;
}

/* Decide what is shown. within[] has room for n numbers; groups must be sound */
void
suppress(const SuppressionGroup *groups, size_t n, int64_t least, int64_t *within, Suppression *result)
{
	/* remainders, to begin with the people in none of the groups */
	for (size_t i = 0; i < n; i++)
	{
		within[i] = groups[i].people;
		if (i > 0)
			within[groups[i].parent] -= groups[i].people;
	}
	/* groups without people tell nothing, and are shown as such */
	for (size_t i = 0; i < n; i++)
	{
		result[i] = SHOWN;
		if (groups[i].people > 0 && groups[i].people < least)
		{
			result[i] = HIDDEN_SMALL;
			if (i > 0)
				within[groups[i].parent] += groups[i].people;
		}
	}
	for (size_t i = 0; i < n; i++)
	{
		int64_t    *remainder = &within[i];

		if (i > 0 && groups[i].people > 0 && result[groups[i].parent] != SHOWN)
			result[i] = HIDDEN_WITH_PARENT;
		while (result[i] == SHOWN && *remainder > 0 && *remainder < least)
		{
			int64_t		smallest = smallest_shown(groups, n, (int32_t) i, result);

			/* the group itself has enough people, so this ends with all within it hidden at the latest */
			if (smallest < 0)
				break;
			result[smallest] = HIDDEN_WITH_OTHERS;
			*remainder += groups[smallest].people;
		}
	}
}
