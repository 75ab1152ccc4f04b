/*
 * src/drivers.c
 *		What drives an outcome, read from co-moments: a library of its own, loaded when one of its functions is
 *		first called.
 *
 * LAPACK, and the Fortran library that it brings along, are no burden for a session that asks for no drivers: so none
 * of this is in the library that holds everything else.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "comoments.h"
#include "drivers_core.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "ratings_core.h"
#include "rows.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "cxm_drivers", .version = CXM_VERSION);
#else
PG_MODULE_MAGIC;
#endif

/* an eigenvalue below this, of a matrix of correlations, is not the rounding of 0 */
#define INDEFINITE (-1e-9)

#define MAX_REPLICATES 100000

/* LAPACK: eigenvalues, and vectors, of a symmetric matrix; Fortran passes the lengths of strings at the end */
extern void dsyev_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
				   double *work, const int *lwork, int *info, size_t jobz_length, size_t uplo_length);

PG_FUNCTION_INFO_V1(cxm_drivers_lmg);
PG_FUNCTION_INFO_V1(cxm_drivers_johnson);
PG_FUNCTION_INFO_V1(cxm_drivers_betas);
PG_FUNCTION_INFO_V1(cxm_drivers_r2);
PG_FUNCTION_INFO_V1(cxm_drivers_fit);
PG_FUNCTION_INFO_V1(cxm_drivers_coefficients);
PG_FUNCTION_INFO_V1(cxm_drivers_bootstrap);

typedef enum FitStatus
{
	FIT_OK,
	FIT_NO_ROWS,				/* fewer than two */
	FIT_NO_VARIATION,			/* of the outcome */
	FIT_NO_COMMON_ROWS,			/* two variables that vary, but not where both are known */
	FIT_INDEFINITE				/* pairs that no single set of rows can have */
} FitStatus;

static const char *const fit_status_names[] = {"ok", "no rows", "no variation", "no common rows", "not positive definite"};

typedef enum Method
{
	METHOD_LMG,
	METHOD_JOHNSON,
	METHOD_BETA,
	METHOD_CORRELATION
} Method;

/* What the measures are computed from; made once, filled for each sample */
typedef struct Problem
{
	int			drivers;		/* all */
	int			p;				/* those that vary */
	int			variable[CXM_COMOMENTS_MAX_DRIVERS];	/* their numbers, from 1 on */
	double	   *r;				/* p times p */
	double	   *ry;
	double	   *matrix;			/* of all variables, with the outcome first: drivers + 1 squared */
	double	   *eigen;			/* eigenvalues */
	double	   *copy;			/* for LAPACK to work in, (drivers + 1) squared */
	double	   *lapack;			/* room for it */
	int			lapack_size;
	double	   *lmg_work;
	double	   *answer;			/* 2 p numbers */
	double	   *vif;
	double		r2;
	double		smallest;		/* eigenvalue; NaN where nobody looked */
	int			one;			/* the first pair of variables without common rows */
	int			other;
} Problem;

static void
check_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

static Problem *
make_problem(int drivers)
{
	size_t		m = (size_t) drivers + 1;
	Problem    *problem = palloc0(sizeof(Problem));

	problem->drivers = drivers;
	problem->r = palloc(sizeof(double) * m * m);
	problem->ry = palloc(sizeof(double) * m);
	problem->matrix = palloc(sizeof(double) * m * m);
	problem->eigen = palloc(sizeof(double) * m);
	problem->copy = palloc(sizeof(double) * m * m);
	problem->lapack_size = 34 * (int) m;
	problem->lapack = palloc(sizeof(double) * (size_t) problem->lapack_size);
	problem->lmg_work = palloc(sizeof(double) * cxm_lmg_work((int) Min(m, CXM_LMG_MAX_DRIVERS)));
	problem->answer = palloc(sizeof(double) * 2 * m);
	problem->vif = palloc(sizeof(double) * m);
	return problem;
}

/* Eigenvalues, ascending, and, where asked for, vectors (in problem->copy) of a matrix of n rows */
static void
eigen(Problem *problem, const double *matrix, int n, bool vectors)
{
	int			info = 0;

	memcpy(problem->copy, matrix, sizeof(double) * (size_t) n * (size_t) n);
	if (n > 0)
		dsyev_(vectors ? "V" : "N", "U", &n, problem->copy, &n, problem->eigen, problem->lapack, &problem->lapack_size,
			   &info, 1, 1);
	if (info != 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("LAPACK found no eigenvalues of a matrix of %d variables", n)));
}

/*
 * Take the matrix of correlations apart: those of the drivers that vary, and theirs with the outcome. A correlation is
 * NaN where it is undefined; only pairwise data can be indefinite.
 */
static FitStatus
set_problem(Problem *problem, bool pairwise)
{
	const double *matrix = problem->matrix;
	int			m = problem->drivers + 1;
	int			p = 0;

	problem->smallest = NAN;
	problem->p = 0;
	if (isnan(matrix[0]))
		return FIT_NO_VARIATION;
	for (int i = 1; i < m; i++)
	{
		if (!isnan(matrix[i * m + i]))
			problem->variable[p++] = i;
	}
	for (int i = 0; i < p; i++)
	{
		const double *row = matrix + (size_t) problem->variable[i] * (size_t) m;
		double	   *r = problem->r + (size_t) i * (size_t) p;

		problem->ry[i] = row[0];
		for (int j = 0; j < p; j++)
			r[j] = row[problem->variable[j]];
		for (int j = -1; j < i; j++)
		{
			int			column = j < 0 ? 0 : problem->variable[j];

			if (isnan(row[column]))
			{
				problem->one = column;
				problem->other = problem->variable[i];
				return FIT_NO_COMMON_ROWS;
			}
		}
	}
	problem->p = p;
	if (pairwise)
	{
		/* with the outcome, so that no R squared comes to more than 1 */
		int			n = p + 1;
		double	   *whole = palloc(sizeof(double) * (size_t) n * (size_t) n);

		whole[0] = 1;
		for (int i = 0; i < p; i++)
		{
			double	   *row = whole + (size_t) (i + 1) * (size_t) n;

			whole[i + 1] = row[0] = problem->ry[i];
			memcpy(row + 1, problem->r + (size_t) i * (size_t) p, sizeof(double) * (size_t) p);
		}
		eigen(problem, whole, n, false);
		pfree(whole);
		problem->smallest = problem->eigen[0];
		if (problem->smallest < INDEFINITE)
			return FIT_INDEFINITE;
	}
	return FIT_OK;
}

static FitStatus
problem_of(const CxmComoments *c, Problem *problem)
{
	int			m = c->drivers + 1;
	CxmPair		outcome;

	cxm_comoments_pair(c, 0, 0, &outcome);
	if (outcome.n < 2 || c->drivers == 0)
		return FIT_NO_ROWS;
	for (int i = 0; i < m; i++)
	{
		for (int j = 0; j <= i; j++)
			problem->matrix[i * m + j] = problem->matrix[j * m + i] = cxm_comoments_correlation(c, i, j);
	}
	return set_problem(problem, c->policy == CXM_MISSING_PAIRWISE);
}

/* Say why there is no answer where the data contradict themselves; false where they say nothing at all */
static bool
has_answer(const Problem *problem, FitStatus status)
{
	if (status == FIT_NO_COMMON_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the correlation of variables %d and %d is undefined", problem->one, problem->other),
				 errdetail("They vary, but not over the rows that have both; variable 0 is the outcome."),
				 errhint("Leave one of them out.")));
	if (status == FIT_INDEFINITE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the matrix of pairwise correlations is not positive definite"),
				 errdetail("Its smallest eigenvalue is %g: its pairs come from different rows and contradict each other.",
						   problem->smallest),
				 errhint("Count listwise, or leave out drivers that few rows have.")));
	return status == FIT_OK;
}

/* The measure of each driver that varies, into problem->answer */
static void
measure(Problem *problem, Method method)
{
	int			p = problem->p;

	switch (method)
	{
		case METHOD_LMG:
			cxm_lmg(p, problem->r, problem->ry, problem->answer, problem->lmg_work, check_interrupts);
			break;
		case METHOD_JOHNSON:
			eigen(problem, problem->r, p, true);
			cxm_johnson(p, problem->eigen, problem->copy, problem->ry, problem->answer);
			break;
		case METHOD_BETA:
			problem->r2 = cxm_betas(p, problem->r, problem->ry, problem->answer, problem->vif, problem->copy);
			break;
		case METHOD_CORRELATION:
			memcpy(problem->answer, problem->ry, sizeof(double) * (size_t) p);
			break;
	}
}

static void
check_method(const Problem *problem, Method method)
{
	if (method == METHOD_LMG && problem->p > CXM_LMG_MAX_DRIVERS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d drivers are too many for LMG", problem->p),
				 errdetail("It looks at every subset of them, and is exact for up to %d.", CXM_LMG_MAX_DRIVERS),
				 errhint("Use Johnson's relative weights, cxm.drivers_johnson(), which are close to it, for more.")));
}

/* An array of the measure, a driver each; one that does not vary has 0, or NULL where it has no coefficient */
static Datum
measures(FunctionCallInfo fcinfo, Method method)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	Problem    *problem = make_problem(c->drivers);
	Datum	   *values;
	bool	   *nulls;
	int			dims[1];
	int			starts[1] = {1};

	if (!has_answer(problem, problem_of(c, problem)))
		PG_RETURN_NULL();
	check_method(problem, method);
	measure(problem, method);
	values = palloc(sizeof(Datum) * c->drivers);
	nulls = palloc(sizeof(bool) * c->drivers);
	for (int i = 0; i < c->drivers; i++)
	{
		values[i] = Float8GetDatum(0);
		nulls[i] = (method == METHOD_BETA);
	}
	for (int i = 0; i < problem->p; i++)
	{
		values[problem->variable[i] - 1] = Float8GetDatum(problem->answer[i]);
		nulls[problem->variable[i] - 1] = isnan(problem->answer[i]);
	}
	dims[0] = c->drivers;
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, dims, starts, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
											 TYPALIGN_DOUBLE));
}

/* Shares of R squared by Shapley */
Datum
cxm_drivers_lmg(PG_FUNCTION_ARGS)
{
	return measures(fcinfo, METHOD_LMG);
}

/* Shares of R squared by Johnson */
Datum
cxm_drivers_johnson(PG_FUNCTION_ARGS)
{
	return measures(fcinfo, METHOD_JOHNSON);
}

/* Standardised coefficients */
Datum
cxm_drivers_betas(PG_FUNCTION_ARGS)
{
	return measures(fcinfo, METHOD_BETA);
}

/* R squared */
Datum
cxm_drivers_r2(PG_FUNCTION_ARGS)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	Problem    *problem = make_problem(c->drivers);

	if (!has_answer(problem, problem_of(c, problem)))
		PG_RETURN_NULL();
	measure(problem, METHOD_BETA);
	PG_RETURN_FLOAT8(problem->r2);
}

/* Rows beyond those that the coefficients take up, by Kish where they are weighted; of drivers that vary */
static double
degrees_of_freedom(const CxmComoments *c, const Problem *problem)
{
	double		df = cxm_comoments_effective_n(c, problem->variable, problem->p) - 1;

	for (int i = 0; i < problem->p; i++)
		df -= isnan(problem->answer[i]) ? 0 : 1;
	return df;
}

/* How well the outcome is explained, and whether it can be; raises nothing */
Datum
cxm_drivers_fit(PG_FUNCTION_ARGS)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	Problem    *problem = make_problem(c->drivers);
	FitStatus	status = problem_of(c, problem);
	TupleDesc	desc;
	Datum		values[7];
	bool		nulls[7] = {false, true, true, true, true, true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type");
	values[0] = CStringGetTextDatum(fit_status_names[status]);
	if (status == FIT_OK)
	{
		double		df;
		double		n;
		int			collinear = 0;

		measure(problem, METHOD_BETA);
		df = degrees_of_freedom(c, problem);
		for (int i = 0; i < problem->p; i++)
			collinear += isnan(problem->answer[i]);
		values[1] = Float8GetDatum(problem->r2);
		n = cxm_comoments_effective_n(c, problem->variable, problem->p);
		values[2] = Float8GetDatum(1 - (1 - problem->r2) * (n - 1) / df);
		values[3] = Float8GetDatum(df);
		values[4] = Int32GetDatum(problem->drivers - problem->p);
		values[5] = Int32GetDatum(collinear);
		nulls[1] = nulls[3] = nulls[4] = nulls[5] = false;
		nulls[2] = !(df > 0);
	}
	values[6] = Float8GetDatum(problem->smallest);
	nulls[6] = (status != FIT_OK && status != FIT_INDEFINITE) || isnan(problem->smallest);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

static double
confidence_arg(FunctionCallInfo fcinfo, int argno)
{
	double		confidence = PG_GETARG_FLOAT8(argno);

	/* written so that NaN fails */
	if (!(confidence > 0 && confidence < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("confidence must be between 0 and 1"),
				 errhint("Write 0.95 for 95 percent.")));
	return confidence;
}

/* A row a driver: coefficient with its interval, standardised coefficient, inflation of the variance */
Datum
cxm_drivers_coefficients(PG_FUNCTION_ARGS)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	double		confidence = confidence_arg(fcinfo, 1);
	Problem    *problem = make_problem(c->drivers);
	bool		answered = has_answer(problem, problem_of(c, problem));
	double		df = 0;
	double		margin = NAN;
	double		outcome = 0;
	CxmRows		rows;
	CxmPair		pair;

	cxm_begin_rows(fcinfo, &rows);
	if (answered)
	{
		measure(problem, METHOD_BETA);
		df = degrees_of_freedom(c, problem);
		if (df > 0)
			margin = student_two_sided(confidence, df);
		cxm_comoments_pair(c, 0, 0, &pair);
		outcome = sqrt(pair.square_i / pair.weight);
	}
	for (int i = 1, at = 0; answered && i <= c->drivers; i++)
	{
		Datum		values[8];
		bool		nulls[8] = {false, true, true, true, true, true, true, true};

		values[0] = Int32GetDatum(i);
		if (at < problem->p && problem->variable[at] == i)
		{
			double		beta = problem->answer[at];
			double		beta_error = sqrt(problem->vif[at] * (1 - problem->r2) / df);
			double		scale;

			cxm_comoments_pair(c, i, i, &pair);
			scale = outcome / sqrt(pair.square_i / pair.weight);
			values[1] = Float8GetDatum(beta * scale);
			values[2] = Float8GetDatum(beta_error * scale);
			values[3] = Float8GetDatum((beta - margin * beta_error) * scale);
			values[4] = Float8GetDatum((beta + margin * beta_error) * scale);
			values[5] = Float8GetDatum(beta / beta_error);
			values[6] = Float8GetDatum(beta);
			values[7] = Float8GetDatum(problem->vif[at]);
			nulls[1] = nulls[6] = nulls[7] = isnan(beta);
			nulls[2] = nulls[3] = nulls[4] = isnan(beta) || !(df > 0);
			nulls[5] = nulls[2] || !(beta_error > 0);
			at++;
		}
		tuplestore_putvalues(rows.store, rows.desc, values, nulls);
	}
	return (Datum) 0;
}

/*--------------------------------------------------------------------------------------------------------
 * Bootstrap
 *
 * What is drawn are values: of one row each, or of a group of rows. For this each becomes its sums about one origin,
 * the means of all rows: then a replicate is a plain sum of them, each as often as it was drawn, and since the origin
 * lies among the data, what is subtracted in the end costs no digits.
 *--------------------------------------------------------------------------------------------------------
 */

typedef struct Sample
{
	bool		pairwise;
	int			m;				/* variables */
	int			groups;
	size_t		length;			/* of the sums of a group */
	double	   *sums;			/* a group after the other */
	double	   *total;			/* of a replicate */
} Sample;

/* in the sums of a pair of variables, in this order */
#define PAIR_SUMS 6

static void
listwise_sums(const CxmComoments *c, const CxmComoments *all, double *sums)
{
	int			m = c->drivers + 1;
	const double *square = cxm_comoments_square(c);
	double	   *sum = sums + 1;
	double	   *product = sums + 1 + m;

	sums[0] = c->weight;
	for (int i = 0; i < m; i++)
		sum[i] = (cxm_comoments_mean(c)[i] - cxm_comoments_mean(all)[i]) +
			(cxm_comoments_low(c)[i] - cxm_comoments_low(all)[i]);
	for (int i = 0; i < m; i++)
	{
		for (int j = 0; j <= i; j++)
			*product++ = *square++ + c->weight * sum[i] * sum[j];
	}
	for (int i = 0; i < m; i++)
		sum[i] *= c->weight;
}

static void
pairwise_sums(const CxmComoments *c, const CxmComoments *all, double *sums)
{
	size_t		pairs = cxm_triangle((size_t) all->drivers + 1);

	memset(sums, 0, sizeof(double) * PAIR_SUMS * pairs);
	/* one without drivers tells of the outcome alone */
	for (size_t k = 0; k < cxm_triangle((size_t) c->drivers + 1); k++)
	{
		const CxmPair *pair = &cxm_comoments_pairs(c)[k];
		const CxmPair *origin = &cxm_comoments_pairs(all)[k];
		double		d_i = (pair->mean_i - origin->mean_i) + (pair->low_i - origin->low_i);
		double		d_j = (pair->mean_j - origin->mean_j) + (pair->low_j - origin->low_j);
		double	   *to = sums + PAIR_SUMS * k;

		if (pair->n == 0)
			continue;
		to[0] = pair->weight;
		to[1] = pair->weight * d_i;
		to[2] = pair->weight * d_j;
		to[3] = pair->square_i + pair->weight * d_i * d_i;
		to[4] = pair->square_j + pair->weight * d_j * d_j;
		to[5] = pair->product + pair->weight * d_i * d_j;
	}
}

/* Sum of squares about the own mean; what is but rounding of the sums counts as none */
static double
own_square(double weight, double sum, double square)
{
	double		result = square - sum / weight * sum;

	return result <= square * 1e-12 ? 0 : result;
}

static double
correlation_of_sums(double weight, double sum_i, double sum_j, double square_i, double square_j, double product)
{
	double		own_i;
	double		own_j;

	if (!(weight > 0))
		return NAN;
	own_i = own_square(weight, sum_i, square_i);
	own_j = own_square(weight, sum_j, square_j);
	if (own_i == 0 || own_j == 0)
		return NAN;
	return Max(-1, Min(1, (product - sum_i / weight * sum_j) / sqrt(own_i) / sqrt(own_j)));
}

/* The matrix of correlations of a replicate */
static void
replicate_matrix(const Sample *sample, const int32 *times, double *matrix)
{
	double	   *total = sample->total;
	int			m = sample->m;

	memset(total, 0, sizeof(double) * sample->length);
	for (int g = 0; g < sample->groups; g++)
	{
		const double *sums = sample->sums + (size_t) g * sample->length;
		double		n = times[g];

		if (times[g] == 0)
			continue;
		for (size_t k = 0; k < sample->length; k++)
			total[k] += n * sums[k];
	}
	for (int i = 0; i < m; i++)
	{
		for (int j = 0; j <= i; j++)
		{
			size_t		at = cxm_triangle((size_t) i) + (size_t) j;
			double		correlation;

			if (sample->pairwise)
			{
				const double *t = total + PAIR_SUMS * at;

				correlation = correlation_of_sums(t[0], t[1], t[2], t[3], t[4], t[5]);
			}
			else
			{
				const double *product = total + 1 + m;

				correlation = correlation_of_sums(total[0], total[1 + i], total[1 + j],
												  product[cxm_triangle((size_t) i) + (size_t) i],
												  product[cxm_triangle((size_t) j) + (size_t) j], product[at]);
			}
			matrix[i * m + j] = matrix[j * m + i] = i == j && !isnan(correlation) ? 1 : correlation;
		}
	}
}

/* All values of the array, added up; sets the number of those that hold rows */
static CxmComoments *
join_all(Datum *values, const bool *nulls, int n, int *groups)
{
	CxmComoments *all = NULL;

	*groups = 0;
	for (int k = 0; k < n; k++)
	{
		const CxmComoments *c;

		CHECK_FOR_INTERRUPTS();
		if (nulls[k])
			continue;
		c = cxm_check_comoments((CxmComoments *) PG_DETOAST_DATUM(values[k]));
		values[k] = PointerGetDatum(c);
		if (c->policy == CXM_MISSING_UNSET)
			continue;
		if (all == NULL || (all->drivers == 0 && c->drivers > 0 && all->policy == c->policy))
		{
			size_t		size = cxm_comoments_size(c->policy, c->drivers);
			CxmComoments *wide = palloc(size);

			SET_VARSIZE(wide, size);
			cxm_comoments_init(wide, c->policy, c->drivers);
			if (all != NULL)
				cxm_comoments_widen(wide, all, all->policy);
			all = wide;
		}
		switch (cxm_comoments_add(all, c))
		{
			case CXM_COMOMENTS_OK:
				break;
			case CXM_COMOMENTS_DRIVERS_DIFFER:
			case CXM_COMOMENTS_MISSING_DIFFERS:
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("co-moments of different drivers or policies cannot be resampled together"),
						 errdetail("Element %d differs from those before it.", k + 1)));
				break;
			default:
				ereport(ERROR,
						(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						 errmsg("a sum of co-moments does not fit")));
		}
		*groups += c->weight > 0;
	}
	return all;
}

static void
make_sample(Sample *sample, Datum *values, const bool *nulls, int n, const CxmComoments *all, int groups)
{
	int			g = 0;

	sample->pairwise = (all->policy == CXM_MISSING_PAIRWISE);
	sample->m = all->drivers + 1;
	sample->groups = groups;
	sample->length = sample->pairwise ? PAIR_SUMS * cxm_triangle((size_t) sample->m) :
		1 + (size_t) sample->m + cxm_triangle((size_t) sample->m);
	if ((size_t) groups > MaxAllocSize / (sizeof(double) * sample->length))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d co-moments of %d drivers are too many to draw from", groups, all->drivers),
				 errdetail("Their sums would take more than 1 GB."),
				 errhint("Draw groups of rows: join co-moments with cxm.rollup() or count them GROUP BY; a thousand groups are enough.")));
	sample->sums = palloc(sizeof(double) * sample->length * (size_t) Max(groups, 1));
	sample->total = palloc(sizeof(double) * sample->length);
	for (int k = 0; k < n; k++)
	{
		const CxmComoments *c;

		if (nulls[k])
			continue;
		c = (const CxmComoments *) DatumGetPointer(values[k]);
		if (!(c->weight > 0))
			continue;
		if (sample->pairwise)
			pairwise_sums(c, all, sample->sums + (size_t) g * sample->length);
		else
			listwise_sums(c, all, sample->sums + (size_t) g * sample->length);
		g++;
	}
}

static Method
method_arg(FunctionCallInfo fcinfo, int argno)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(argno));

	if (strcmp(name, "lmg") == 0)
		return METHOD_LMG;
	if (strcmp(name, "johnson") == 0)
		return METHOD_JOHNSON;
	if (strcmp(name, "beta") == 0)
		return METHOD_BETA;
	if (strcmp(name, "correlation") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown method \"%s\"", name),
				 errhint("The methods are \"lmg\", \"johnson\", \"beta\" and \"correlation\".")));
	return METHOD_CORRELATION;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* What a replicate gives: the measure of each driver, its share of the whole, its rank */
typedef struct Replicates
{
	int			drivers;
	int			asked;			/* how many there can be */
	int			n;				/* how many have an answer */
	double	   *value[3];		/* a driver after the other: measure, share, rank */
	double	   *r2;				/* of all drivers; NaN with the method correlation */
} Replicates;

#define MEASURE	0
#define SHARE	1
#define RANK	2

/* The measure of all drivers, NaN where there is none; returns what they sum to, NaN where that has no meaning */
static double
measure_all(Problem *problem, Method method, double *measure_of)
{
	double		whole = 0;

	problem->r2 = NAN;

	for (int i = 0; i < problem->drivers; i++)
		measure_of[i] = method == METHOD_BETA || method == METHOD_CORRELATION ? NAN : 0;
	measure(problem, method);
	for (int i = 0; i < problem->p; i++)
	{
		measure_of[problem->variable[i] - 1] = problem->answer[i];
		whole += problem->answer[i];
	}
	if (method == METHOD_BETA || method == METHOD_CORRELATION)
		return NAN;
	problem->r2 = whole;
	return whole;
}

/* 1 for the largest, by absolute value; equals have the mean of their ranks */
static double
rank_of(const double *measure_of, int drivers, int i)
{
	double		rank = 1;

	if (isnan(measure_of[i]))
		return NAN;
	for (int j = 0; j < drivers; j++)
	{
		if (j != i && fabs(measure_of[j]) > fabs(measure_of[i]))
			rank += 1;
		else if (j != i && fabs(measure_of[j]) == fabs(measure_of[i]))
			rank += 0.5;
	}
	return rank;
}

static void
keep_replicate(Replicates *replicates, const double *measure_of, double whole, double r2)
{
	replicates->r2[replicates->n] = r2;
	for (int i = 0; i < replicates->drivers; i++)
	{
		size_t		at = (size_t) i * (size_t) replicates->asked + (size_t) replicates->n;

		replicates->value[MEASURE][at] = measure_of[i];
		replicates->value[SHARE][at] = whole > 0 ? measure_of[i] / whole : NAN;
		replicates->value[RANK][at] = rank_of(measure_of, replicates->drivers, i);
	}
	replicates->n++;
}

/* Percentile interval of what replicates gave, which are sorted on the way; both NULL where they gave nothing */
static void
percentile_interval(double *value, int replicates, double confidence, Datum *values, bool *nulls)
{
	int			n = 0;

	for (int i = 0; i < replicates; i++)
	{
		if (!isnan(value[i]))
			value[n++] = value[i];
	}
	nulls[0] = nulls[1] = (n < 2);
	if (n < 2)
		return;
	qsort(value, (size_t) n, sizeof(double), compare_doubles);
	values[0] = Float8GetDatum(cxm_quantile(value, n, (1 - confidence) / 2));
	values[1] = Float8GetDatum(cxm_quantile(value, n, (1 + confidence) / 2));
}

static void
set_number(Datum *value, bool *null, double number)
{
	*value = Float8GetDatum(number);
	*null = isnan(number);
}

/* A row a driver: its measure over all rows, and percentile intervals over replicates of what was drawn */
Datum
cxm_drivers_bootstrap(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Method		method = method_arg(fcinfo, 1);
	int			asked = PG_GETARG_INT32(2);
	int64		seed = PG_GETARG_INT64(3);
	double		confidence = confidence_arg(fcinfo, 4);
	CxmComoments *all;
	Problem    *problem;
	Sample		sample;
	Replicates	replicates;
	CxmRows		rows;
	Datum	   *values;
	bool	   *nulls;
	double	   *measure_of;
	double		whole;
	Datum		r2_interval[2] = {0, 0};
	bool		r2_missing[2];
	int32	   *times;
	int			n;
	int			groups;

	if (asked < 0 || asked > MAX_REPLICATES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d is no number of replicates", asked),
				 errhint("Give a number from 0, for no intervals, to %d; 1000 is usual.", MAX_REPLICATES)));
	cxm_begin_rows(fcinfo, &rows);
	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_DOUBLE, &values, &nulls, &n);
	all = join_all(values, nulls, n, &groups);
	if (all == NULL)
		return (Datum) 0;
	problem = make_problem(all->drivers);
	if (!has_answer(problem, problem_of(all, problem)))
		return (Datum) 0;
	check_method(problem, method);

	measure_of = palloc(sizeof(double) * Max(all->drivers, 1));
	replicates.drivers = all->drivers;
	replicates.asked = asked;
	replicates.n = 0;
	for (int i = 0; i < 3; i++)
		replicates.value[i] = palloc(sizeof(double) * (size_t) Max(asked, 1) * (size_t) all->drivers);
	replicates.r2 = palloc(sizeof(double) * (size_t) Max(asked, 1));
	make_sample(&sample, values, nulls, n, all, groups);
	times = palloc(sizeof(int32) * (size_t) Max(groups, 1));
	for (int i = 0; i < asked; i++)
	{
		CHECK_FOR_INTERRUPTS();
		cxm_draw((uint64) seed, (uint64) i, groups, times);
		replicate_matrix(&sample, times, problem->matrix);
		/* where what was drawn does not vary, or contradicts itself, there is no answer */
		if (set_problem(problem, sample.pairwise) == FIT_OK)
		{
			whole = measure_all(problem, method, measure_of);
			keep_replicate(&replicates, measure_of, whole, problem->r2);
		}
	}

	problem_of(all, problem);
	whole = measure_all(problem, method, measure_of);
	percentile_interval(replicates.r2, replicates.n, confidence, r2_interval, r2_missing);
	for (int i = 0; i < all->drivers; i++)
	{
		Datum		row[15];
		bool		missing[15] = {false};
		size_t		at = (size_t) i * (size_t) asked;

		row[0] = Int32GetDatum(i + 1);
		set_number(&row[1], &missing[1], measure_of[i]);
		percentile_interval(replicates.value[MEASURE] + at, replicates.n, confidence, &row[2], &missing[2]);
		set_number(&row[4], &missing[4], whole > 0 ? measure_of[i] / whole : NAN);
		percentile_interval(replicates.value[SHARE] + at, replicates.n, confidence, &row[5], &missing[5]);
		set_number(&row[7], &missing[7], rank_of(measure_of, all->drivers, i));
		percentile_interval(replicates.value[RANK] + at, replicates.n, confidence, &row[8], &missing[8]);
		set_number(&row[10], &missing[10], problem->r2);
		memcpy(&row[11], r2_interval, sizeof(r2_interval));
		missing[11] = missing[12] = r2_missing[0];
		row[13] = Int32GetDatum(groups);
		row[14] = Int32GetDatum(replicates.n);
		tuplestore_putvalues(rows.store, rows.desc, row, missing);
	}
	return (Datum) 0;
}
