/*
 * src/alert_core.c
 *		What an alert rule asks of an answer alone, and whether the answer meets it.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "alert_core.h"

static bool
is_among(const CxmAlertIds *wanted, CxmAlertId given)
{
	size_t		from = 0;
	size_t		to = wanted->n;

	if (wanted->ids == NULL)
		return true;
	if (!given.is_known)
		return false;
	while (from < to)
	{
		size_t		middle = from + (to - from) / 2;

		if (wanted->ids[middle] < given.id)
			from = middle + 1;
		else
			to = middle;
	}
	return from < wanted->n && wanted->ids[from] == given.id;
}

/* All conditions given must hold; what an answer lacks meets no condition on it */
bool
cxm_alert_holds(const CxmAlertCondition *condition, const CxmAlertAnswer *answer)
{
	if (condition->metric != CXM_ANY_METRIC && condition->metric != answer->metric)
		return false;
	if (condition->asks_score
		&& (!answer->score.is_known
			|| answer->score.id < condition->score_min
			|| answer->score.id > condition->score_max))
		return false;
	return answer->received_at >= condition->valid_from
		&& answer->received_at < condition->valid_to
		&& is_among(&condition->touchpoints, answer->touchpoint)
		&& is_among(&condition->locations, answer->location)
		&& is_among(&condition->products, answer->product);
}
