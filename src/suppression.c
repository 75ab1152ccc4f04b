/*
 * src/suppression.c
 *		Which counts of nested groups may be shown, for SQL.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "cxm.h"
#include "suppression_core.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(cxm_suppress_groups);

/* The elements of an array without NULL that has no more dimensions than that */
static int
elements_arg(const ArrayType *array, const char *name, int most_dimensions, Oid type, int length, bool by_value,
			 char align, Datum **values)
{
	bool	   *nulls;
	int			n;

	if (ARR_NDIM(array) > most_dimensions || array_contains_nulls((ArrayType *) array))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be an array of %s without NULL", name,
						most_dimensions == 1 ? "one dimension" : "one to three dimensions")));
	deconstruct_array((ArrayType *) array, type, length, by_value, align, values, &nulls, &n);
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

/*
 * cxm.suppress_groups(people bigint[], parents integer[], min_group integer): people has a number a group, or a row of
 * numbers a group, of those who gave each answer, or such a row for each of several questions
 */
Datum
cxm_suppress_groups(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *people;
	Datum	   *parents;
	int			elements = elements_arg(array, "people", 3, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &people);
	int			nparents = elements_arg(PG_GETARG_ARRAYTYPE_P(1), "parents", 1, INT4OID, sizeof(int32), true, TYPALIGN_INT, &parents);
	int32		least = PG_GETARG_INT32(2);
	int			dimensions = ARR_NDIM(array);
	int			questions = dimensions == 3 ? ARR_DIMS(array)[1] : 1;
	int			answers = dimensions > 1 ? ARR_DIMS(array)[dimensions - 1] : 0;
	int			n = dimensions > 1 ? ARR_DIMS(array)[0] : elements;
	SuppressionShape shape = {(size_t) questions, (size_t) answers};
	Size		width = mul_size(questions, 1 + answers);
	SuppressionGroup *groups = palloc(Max(n, 1) * sizeof(SuppressionGroup));
	Suppression *result = palloc(mul_size(Max(n, 1), questions * sizeof(Suppression)));
	int64	   *counts = palloc(mul_size(Max(n, 1), width * sizeof(int64)));
	SuppressionRoom room = {
		.counts = palloc(mul_size(Max(n, 1), width * sizeof(int64_t))),
		.smallest = palloc(Max(n, 1) * sizeof(int32_t)),
		.alike = palloc(Max(n, 1) * sizeof(bool)),
		.alone = palloc(Max(n, 1) * sizeof(bool)),
		.together = palloc(Max(n, 1) * sizeof(bool))
	};
	Datum	   *names = palloc(mul_size(Max(n, 1), questions * sizeof(Datum)));
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
		groups[i].counts = (const int64_t *) (counts + i * width);
		/* counted from 1 in SQL, 0 = none */
		groups[i].parent = (int32_t) Max(DatumGetInt32(parents[i]), 0) - 1;
		for (int q = 0; q < questions; q++)
		{
			int64	   *of_group = counts + i * width + (Size) q * (1 + answers);
			const Datum *given = people + ((Size) i * questions + q) * Max(answers, 1);

			of_group[0] = answers > 0 ? 0 : DatumGetInt64(given[0]);
			for (int j = 1; j <= answers; j++)
			{
				of_group[j] = DatumGetInt64(given[j - 1]);
				if (pg_add_s64_overflow(of_group[0], of_group[j], &of_group[0]))
					ereport(ERROR,
							(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							 errmsg("group %d has more people than can be counted", i + 1)));
			}
		}
	}
	if (!suppression_is_sound(groups, (size_t) n, shape, room, &where))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("group %zu of %d does not fit in with those before it", where + 1, n),
				 errdetail("It has %lld people and parent %d.", (long long) groups[where].counts[0], groups[where].parent + 1),
				 errhint("The first group is that of everybody and has parent 0; every other comes after its parent, and has no more people, nor more of any answer, than that has left.")));
	suppress(groups, (size_t) n, shape, least, room, result);
	for (int i = 0; i < n * questions; i++)
		names[i] = CStringGetTextDatum(name_of(result[i]));
	PG_RETURN_ARRAYTYPE_P(construct_md_array(names, NULL, n == 0 ? 0 : Max(dimensions - 1, 1), (int[]) {n, questions},
											 (int[]) {1, 1}, TEXTOID, -1, false, TYPALIGN_INT));
}
