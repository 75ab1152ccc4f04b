/*
 * src/suppression.c
 *		Which counts of nested groups may be shown, for SQL.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "cxm.h"
#include "suppression_core.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(cxm_suppress_groups);

static int
elements_arg(FunctionCallInfo fcinfo, int argno, const char *name, Oid type, int length, bool by_value, char align,
			 Datum **values)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(argno);
	bool	   *nulls;
	int			n;

	if (ARR_NDIM(array) > 1 || array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be an array of one dimension without NULL", name)));
	deconstruct_array(array, type, length, by_value, align, values, &nulls, &n);
	return n;
}

static const char *
name_of(Suppression suppression)
{
	switch (suppression)
	{
		case SHOWN:
			break;
		case HIDDEN_SMALL:
			return "small";
		case HIDDEN_WITH_OTHERS:
			return "with others";
		case HIDDEN_WITH_PARENT:
			return "with parent";
	}
	return "shown";
}

/* cxm.suppress_groups(people bigint[], parents integer[], min_group integer) */
Datum
cxm_suppress_groups(PG_FUNCTION_ARGS)
{
	Datum	   *people;
	Datum	   *parents;
	int			n = elements_arg(fcinfo, 0, "people", INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &people);
	int			nparents = elements_arg(fcinfo, 1, "parents", INT4OID, sizeof(int32), true, TYPALIGN_INT, &parents);
	int32		least = PG_GETARG_INT32(2);
	SuppressionGroup *groups = palloc(Max(n, 1) * sizeof(SuppressionGroup));
	Suppression *result = palloc(Max(n, 1) * sizeof(Suppression));
	int64_t    *within = palloc(Max(n, 1) * sizeof(int64_t));
	Datum	   *names = palloc(Max(n, 1) * sizeof(Datum));
	size_t		where;

	if (n != nparents)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there are %d groups and %d parents", n, nparents)));
	if (least < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the smallest group to be shown must have at least one person: %d", least)));
	for (int i = 0; i < n; i++)
	{
		groups[i].people = DatumGetInt64(people[i]);
		/* counted from 1 in SQL, 0 = none */
		groups[i].parent = (int32_t) Max(DatumGetInt32(parents[i]), 0) - 1;
	}
	if (!suppression_is_sound(groups, (size_t) n, within, &where))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("group %zu of %d does not fit in with those before it", where + 1, n),
				 errdetail("It has %lld people and parent %d.", (long long) groups[where].people, groups[where].parent + 1),
				 errhint("The first group is that of everybody and has parent 0; every other comes after its parent, and has no more people than that has left.")));
	suppress(groups, (size_t) n, least, within, result);
	for (int i = 0; i < n; i++)
		names[i] = CStringGetTextDatum(name_of(result[i]));
	PG_RETURN_ARRAYTYPE_P(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}
