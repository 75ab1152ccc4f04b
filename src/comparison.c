/*
 * src/comparison.c
 *		Many tests at once, and the answers that one needs, for SQL.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "comparison_core.h"
#include "cxm.h"
#include "ratings_core.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(cxm_adjust_p_values);
PG_FUNCTION_INFO_V1(cxm_nps_sample_size);
PG_FUNCTION_INFO_V1(cxm_nps_power);
PG_FUNCTION_INFO_V1(cxm_nps_detectable_difference);

static Adjustment
adjustment_arg(FunctionCallInfo fcinfo, int argno)
{
	static const char *const names[] =
	{
		[ADJUST_BONFERRONI] = "bonferroni",
		[ADJUST_HOLM] = "holm",
		[ADJUST_HOCHBERG] = "hochberg",
		[ADJUST_BENJAMINI_HOCHBERG] = "benjamini_hochberg",
		[ADJUST_BENJAMINI_YEKUTIELI] = "benjamini_yekutieli"
	};
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(argno));

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return (Adjustment) i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown adjustment of p-values \"%s\"", name),
			 errhint("They are holm, benjamini_hochberg, hochberg, bonferroni and benjamini_yekutieli.")));
	return ADJUST_HOLM;			/* keeps the compiler quiet */
}

/* cxm.adjust_p_values(double precision[], text); NULLs stay, and do not count */
Datum
cxm_adjust_p_values(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Adjustment	adjustment = adjustment_arg(fcinfo, 1);
	Datum	   *values;
	bool	   *nulls;
	RankedP    *p;
	double	   *adjusted;
	size_t		known = 0;
	int			n;

	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &values, &nulls, &n);
	p = palloc(Max(n, 1) * sizeof(RankedP));
	adjusted = palloc(Max(n, 1) * sizeof(double));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			continue;
		/* written so that NaN fails */
		if (!(DatumGetFloat8(values[i]) >= 0 && DatumGetFloat8(values[i]) <= 1))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("%g is no p-value", DatumGetFloat8(values[i])),
					 errdetail("A p-value is between 0 and 1.")));
		p[known].p = DatumGetFloat8(values[i]);
		p[known++].place = (size_t) i;
	}
	adjust_p_values(p, known, adjustment, adjusted);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			values[i] = Float8GetDatum(adjusted[i]);
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array),
											 FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static double
between_arg(FunctionCallInfo fcinfo, int argno, const char *name)
{
	double		value = PG_GETARG_FLOAT8(argno);

	if (!(value > 0 && value < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between 0 and 1: %g", name, value)));
	return value;
}

/* Variance of one answer, counted 1, 0 or -1, with these shares of promoters and detractors */
static double
variance_args(FunctionCallInfo fcinfo, int argno)
{
	double		promoters = PG_GETARG_FLOAT8(argno);
	double		detractors = PG_GETARG_FLOAT8(argno + 1);

	if (!(promoters >= 0 && detractors >= 0 && promoters + detractors > 0 && promoters + detractors <= 1 + 1e-12))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%g promoters and %g detractors are no shares of answers", promoters, detractors),
				 errhint("Give two shares from 0 to 1 that sum up to more than 0 and at most 1.")));
	return promoters + detractors - (promoters - detractors) * (promoters - detractors);
}

static int64
answers_arg(FunctionCallInfo fcinfo, int argno)
{
	int64		n = PG_GETARG_INT64(argno);

	if (n < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a group needs at least one answer: %lld", (long long) n)));
	return n;
}

static double
difference_arg(FunctionCallInfo fcinfo, int argno)
{
	double		difference = fabs(PG_GETARG_FLOAT8(argno));

	if (!(difference > 0 && difference <= 200))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%g is no difference of two scores", PG_GETARG_FLOAT8(argno)),
				 errhint("Give points of NPS, above 0 and at most 200.")));
	return difference / 100;
}

/* cxm.nps_sample_size(difference, promoters, detractors, power, confidence) */
Datum
cxm_nps_sample_size(PG_FUNCTION_ARGS)
{
	double		difference = difference_arg(fcinfo, 0);
	double		variance = variance_args(fcinfo, 1);
	double		power = between_arg(fcinfo, 3, "power");
	double		confidence = between_arg(fcinfo, 4, "confidence");
	double		z = normal_two_sided(confidence) + normal_quantile(power);
	double		n = z <= 0 ? 1 : ceil(2 * variance * z * z / (difference * difference));

	if (n >= 9e18)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a difference of %g points takes more answers than can be counted", difference * 100)));
	PG_RETURN_INT64((int64) Max(n, 1));
}

/* cxm.nps_power(n_a, n_b, difference, promoters, detractors, confidence) */
Datum
cxm_nps_power(PG_FUNCTION_ARGS)
{
	double		n_a = (double) answers_arg(fcinfo, 0);
	double		n_b = (double) answers_arg(fcinfo, 1);
	double		difference = difference_arg(fcinfo, 2);
	double		variance = variance_args(fcinfo, 3);

	PG_RETURN_FLOAT8(two_sided_power(difference, sqrt(variance / n_a + variance / n_b), between_arg(fcinfo, 5, "confidence")));
}

/* cxm.nps_detectable_difference(n_a, n_b, promoters, detractors, power, confidence) */
Datum
cxm_nps_detectable_difference(PG_FUNCTION_ARGS)
{
	double		n_a = (double) answers_arg(fcinfo, 0);
	double		n_b = (double) answers_arg(fcinfo, 1);
	double		variance = variance_args(fcinfo, 2);
	double		power = between_arg(fcinfo, 4, "power");
	double		z = normal_two_sided(between_arg(fcinfo, 5, "confidence")) + normal_quantile(power);

	PG_RETURN_FLOAT8(100 * Max(z, 0) * sqrt(variance / n_a + variance / n_b));
}
