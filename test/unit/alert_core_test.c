/*
 * test/unit/alert_core_test.c
 *		Conditions of alert rules of alert_core.c against a plain restatement.
 *
 * cc -Isrc test/unit/alert_core_test.c src/alert_core.c && ./a.out
 */
#include "alert_core.h"
#include "check.h"

#include <stdlib.h>

static int
compare(const void *a, const void *b)
{
	return *(const int32_t *) a - *(const int32_t *) b;
}

static CxmAlertId
random_id(void)
{
	CxmAlertId	id = {(int32_t) next_random(6), next_random(4) > 0};

	return id;
}

/* up to five numbers in order, perhaps one twice, perhaps none, or any */
static CxmAlertIds
random_ids(int32_t *space)
{
	CxmAlertIds ids = {NULL, 0};

	if (next_random(2) == 0)
		return ids;
	ids.n = next_random(6);
	for (size_t i = 0; i < ids.n; i++)
		space[i] = (int32_t) next_random(6);
	qsort(space, ids.n, sizeof(int32_t), compare);
	ids.ids = space;
	return ids;
}

static bool
plainly_among(CxmAlertIds ids, CxmAlertId id)
{
	bool		found = false;

	for (size_t i = 0; i < ids.n; i++)
		found |= id.is_known && ids.ids[i] == id.id;
	return ids.ids == NULL || found;
}

static bool
plainly_holds(const CxmAlertCondition *c, const CxmAlertAnswer *a)
{
	bool		metric = c->metric == CXM_ANY_METRIC || c->metric == a->metric;
	bool		score = !c->asks_score || (a->score.is_known && c->score_min <= a->score.id && a->score.id <= c->score_max);
	bool		time = c->valid_from <= a->received_at && a->received_at < c->valid_to;

	return metric && score && time
		&& plainly_among(c->touchpoints, a->touchpoint)
		&& plainly_among(c->locations, a->location)
		&& plainly_among(c->products, a->product);
}

static void
test_random(void)
{
	int			held = 0;

	for (int round = 0; round < 1000000; round++)
	{
		int32_t		spaces[3][6];
		CxmAlertCondition c = {
			.metric = (int32_t) next_random(3) - 1,
			.asks_score = next_random(2),
			.score_min = (int32_t) next_random(6) - 1,
			.score_max = (int32_t) next_random(6) + 1,
			.valid_from = next_random(2) ? INT64_MIN : (int64_t) next_random(6),
			.valid_to = next_random(2) ? INT64_MAX : (int64_t) next_random(6)
		};
		CxmAlertAnswer a = {
			.metric = (int32_t) next_random(3) - 1,
			.score = random_id(),
			.touchpoint = random_id(),
			.location = random_id(),
			.product = random_id(),
			.received_at = (int64_t) next_random(6)
		};

		c.touchpoints = random_ids(spaces[0]);
		c.locations = random_ids(spaces[1]);
		c.products = random_ids(spaces[2]);
		held += plainly_holds(&c, &a);
		if (cxm_alert_holds(&c, &a) != plainly_holds(&c, &a))
		{
			check(false, "a random condition");
			return;
		}
	}
	check(held > 10000, "random conditions hold often enough to say something");
	check(true, "random conditions");
}

static void
test_ends(void)
{
	CxmAlertCondition any = {.metric = CXM_ANY_METRIC, .valid_from = INT64_MIN, .valid_to = INT64_MAX};
	CxmAlertAnswer empty = {.metric = CXM_ANY_METRIC};
	int32_t		ids[] = {INT32_MIN, INT32_MAX};

	check(cxm_alert_holds(&any, &empty), "no condition always holds");
	empty.received_at = INT64_MIN;
	check(cxm_alert_holds(&any, &empty), "from the beginning");
	empty.received_at = INT64_MAX;
	check(!cxm_alert_holds(&any, &empty), "the end is not in it");
	empty.received_at = 0;

	any.touchpoints.ids = ids;
	check(!cxm_alert_holds(&any, &empty), "an empty list holds for none");
	any.touchpoints.n = 2;
	check(!cxm_alert_holds(&any, &empty), "nor a list where the answer has nothing");
	empty.touchpoint.is_known = true;
	check(!cxm_alert_holds(&any, &empty), "between the ends");
	empty.touchpoint.id = INT32_MAX;
	check(cxm_alert_holds(&any, &empty), "the last");
	empty.touchpoint.id = INT32_MIN;
	check(cxm_alert_holds(&any, &empty), "the first");

	any.asks_score = true;
	any.score_min = INT32_MIN;
	any.score_max = INT32_MAX;
	check(!cxm_alert_holds(&any, &empty), "any score, but there is none");
	empty.score.is_known = true;
	check(cxm_alert_holds(&any, &empty), "any score");
}

int
main(void)
{
	test_ends();
	test_random();
	return report();
}
