/*
 * src/comoments.c
 *		The type cxm.comoments, its aggregates and its accessors.
 *
 * A value has no pointers, so it is its own transition type: the first row gives it its length, and from then on rows
 * and other values are added in place. Inside an aggregate the functions change their first argument, elsewhere a
 * copy of it. How a value is kept and what is read from it is in comoments_core.c.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "comoments.h"
#include "common/shortest_dec.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "nodes/nodes.h"
#include "rows.h"
#include "utils/array.h"
#include "utils/builtins.h"

static const char *const policy_names[] = {"empty", "listwise", "pairwise"};

/* a number in text is shorter than this, or it is none */
#define NUMBER_BYTES 400

/*--------------------------------------------------------------------------------------------------------
 * Errors
 *--------------------------------------------------------------------------------------------------------
 */

static void
report_drivers_differ(int have, int row)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%d drivers and %d drivers do not go together", have, row),
			 errhint("Every row must give the same drivers in the same order, with NULL for one that is missing.")));
}

static void
report_policies_differ(int have, int other)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s and %s co-moments do not go together", policy_names[have], policy_names[other]),
			 errhint("Choose one way for all rows in which something is missing.")));
}

static void
report_status(CxmComomentsStatus status)
{
	switch (status)
	{
		case CXM_COMOMENTS_OK:
		case CXM_COMOMENTS_DRIVERS_DIFFER:
		case CXM_COMOMENTS_MISSING_DIFFERS:
			break;
		case CXM_COMOMENTS_NOT_FINITE:
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("an outcome or a driver is NaN or infinity"),
					 errhint("What is missing is NULL: use nullif(value, 'NaN').")));
			break;
		case CXM_COMOMENTS_BAD_WEIGHT:
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("a weight must be a finite number that is not negative"),
					 errdetail("Nor may it be so small that its square is 0.")));
			break;
		case CXM_COMOMENTS_OVERFLOW:
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("a sum of squares does not fit in a double precision number")));
			break;
		case CXM_COMOMENTS_TOO_MANY:
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("more than %lld rows cannot be counted", (long long) CXM_COMOMENTS_MAX_ROWS)));
			break;
	}
}

/*--------------------------------------------------------------------------------------------------------
 * Input and output
 *
 * Both forms are the kind and the number of drivers, and then the groups of numbers of comoments_core.h in
 * their order: first the counts of a group, then its other numbers.
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_comoments_in);
PG_FUNCTION_INFO_V1(cxm_comoments_out);
PG_FUNCTION_INFO_V1(cxm_comoments_recv);
PG_FUNCTION_INFO_V1(cxm_comoments_send);

typedef struct NumberGroup
{
	int64	   *counts;
	int			ncounts;
	double	   *numbers;
	int			nnumbers;
} NumberGroup;

static CxmComoments *
make_comoments(int policy, int drivers)
{
	size_t		size = cxm_comoments_size(policy, drivers);
	CxmComoments *c = palloc(size);

	SET_VARSIZE(c, size);
	cxm_comoments_init(c, policy, drivers);
	return c;
}

/* The k-th group of a value; false when there are no more */
static bool
get_group(const CxmComoments *c, int k, NumberGroup *group)
{
	int			m = c->drivers + 1;

	memset(group, 0, sizeof(NumberGroup));
	if (c->policy == CXM_MISSING_UNSET)
		return false;
	if (k == 0)
	{
		group->counts = unconstify(int64 *, &c->rows);
		group->ncounts = 5;
		group->numbers = unconstify(double *, &c->weight);
		group->nnumbers = 2;
		return true;
	}
	if (k == 1)
	{
		group->counts = cxm_comoments_missing(c) + 1;
		group->ncounts = c->drivers;
		return true;
	}
	k -= 2;
	if (c->policy == CXM_MISSING_LISTWISE)
	{
		group->numbers = cxm_comoments_mean(c) + (size_t) k * (size_t) m;
		group->nnumbers = k < 2 ? m : (int) cxm_triangle((size_t) m);
		return k < 3;
	}
	if (k >= (int) cxm_triangle((size_t) m))
		return false;
	group->counts = &cxm_comoments_pairs(c)[k].n;
	group->ncounts = 1;
	group->numbers = &cxm_comoments_pairs(c)[k].weight;
	group->nnumbers = 8;
	return true;
}

/* The number at the cursor, a token of such characters only: no hexadecimal, no inf, no nan */
static bool
read_token(const char **cursor, const char *characters, char *token)
{
	size_t		length = strspn(*cursor, characters);

	if (length == 0 || length >= NUMBER_BYTES)
		return false;
	memcpy(token, *cursor, length);
	token[length] = '\0';
	*cursor += length;
	return true;
}

static bool
read_count(const char **cursor, int64 most, int64 *count)
{
	char		token[NUMBER_BYTES];
	char	   *end;

	if (!read_token(cursor, "0123456789", token))
		return false;
	errno = 0;
	*count = strtoll(token, &end, 10);
	return errno == 0 && *end == '\0' && *count <= most;
}

static bool
read_number(const char **cursor, double *number)
{
	char		token[NUMBER_BYTES];
	char	   *end;

	if (!read_token(cursor, "0123456789+-.eE", token))
		return false;
	/* a number that is too small for a normal double is taken as it is */
	*number = strtod(token, &end) + 0.0;
	return end != token && *end == '\0';
}

static bool
read_char(const char **cursor, char c)
{
	if (**cursor != c)
		return false;
	(*cursor)++;
	return true;
}

static bool
read_group(const char **cursor, const NumberGroup *group)
{
	if (!read_char(cursor, '{'))
		return false;
	for (int i = 0; i < group->ncounts + group->nnumbers; i++)
	{
		if (i > 0 && !read_char(cursor, ','))
			return false;
		if (!(i < group->ncounts ? read_count(cursor, CXM_COMOMENTS_MAX_ROWS, &group->counts[i]) :
			  read_number(cursor, &group->numbers[i - group->ncounts])))
			return false;
	}
	return read_char(cursor, '}');
}

/* NULL when the text has not the form of a value */
static CxmComoments *
parse(const char *text)
{
	const char *cursor = text;
	CxmComoments *c;
	NumberGroup		group;
	int64		drivers;
	int			policy;

	if (strcmp(text, policy_names[CXM_MISSING_UNSET]) == 0)
		return make_comoments(CXM_MISSING_UNSET, 0);
	policy = strncmp(text, "listwise:", 9) == 0 ? CXM_MISSING_LISTWISE : CXM_MISSING_PAIRWISE;
	if (policy == CXM_MISSING_PAIRWISE && strncmp(text, "pairwise:", 9) != 0)
		return NULL;
	cursor += 9;
	if (!read_count(&cursor, CXM_COMOMENTS_MAX_DRIVERS, &drivers))
		return NULL;
	c = make_comoments(policy, (int) drivers);
	for (int k = 0; get_group(c, k, &group); k++)
	{
		if (!read_group(&cursor, &group))
			return NULL;
	}
	return *cursor == '\0' ? c : NULL;
}

/* Text to co-moments */
Datum
cxm_comoments_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	CxmComoments *c = parse(text);
	const char *wrong;

	if (c == NULL)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s", "cxm.comoments"),
				 errhint("Values are made by cxm.comoments_agg(); the text form is what it writes, or empty.")));
	wrong = cxm_comoments_check(c, VARSIZE(c));
	if (wrong != NULL)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input for type %s", "cxm.comoments"),
				 errdetail("%s", wrong)));
	PG_RETURN_POINTER(c);
}

/* Co-moments to text; each number has the digits that give it back */
Datum
cxm_comoments_out(PG_FUNCTION_ARGS)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	StringInfoData buf;
	NumberGroup		group;

	initStringInfo(&buf);
	appendStringInfoString(&buf, policy_names[c->policy]);
	if (c->policy != CXM_MISSING_UNSET)
		appendStringInfo(&buf, ":%d", c->drivers);
	for (int k = 0; get_group(c, k, &group); k++)
	{
		appendStringInfoChar(&buf, '{');
		for (int i = 0; i < group.ncounts + group.nnumbers; i++)
		{
			char		number[DOUBLE_SHORTEST_DECIMAL_LEN];

			if (i > 0)
				appendStringInfoChar(&buf, ',');
			if (i < group.ncounts)
				appendStringInfo(&buf, INT64_FORMAT, group.counts[i]);
			else
			{
				double_to_shortest_decimal_buf(group.numbers[i - group.ncounts], number);
				appendStringInfoString(&buf, number);
			}
		}
		appendStringInfoChar(&buf, '}');
	}
	PG_RETURN_CSTRING(buf.data);
}

/* Binary form to co-moments: version, policy, number of drivers, and the groups */
Datum
cxm_comoments_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			version = pq_getmsgbyte(buf);
	int			policy = pq_getmsgbyte(buf);
	int			drivers = (int) pq_getmsgint(buf, 2);
	const char *wrong;
	CxmComoments *c;
	NumberGroup		group;

	if (version != CXM_COMOMENTS_VERSION || policy > CXM_MISSING_PAIRWISE || drivers > CXM_COMOMENTS_MAX_DRIVERS ||
		(policy == CXM_MISSING_UNSET && drivers > 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of type %s", "cxm.comoments"),
				 errdetail("Version %d, policy %d, %d drivers.", version, policy, drivers)));
	c = make_comoments(policy, drivers);
	for (int k = 0; get_group(c, k, &group); k++)
	{
		for (int i = 0; i < group.ncounts; i++)
			group.counts[i] = pq_getmsgint64(buf);
		for (int i = 0; i < group.nnumbers; i++)
			group.numbers[i] = pq_getmsgfloat8(buf);
	}
	wrong = cxm_comoments_check(c, VARSIZE(c));
	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary form of type %s", "cxm.comoments"),
				 errdetail("%s", wrong)));
	PG_RETURN_POINTER(c);
}

/* Co-moments to binary form */
Datum
cxm_comoments_send(PG_FUNCTION_ARGS)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	StringInfoData buf;
	NumberGroup		group;

	pq_begintypsend(&buf);
	pq_sendint8(&buf, c->version);
	pq_sendint8(&buf, c->policy);
	pq_sendint16(&buf, c->drivers);
	for (int k = 0; get_group(c, k, &group); k++)
	{
		for (int i = 0; i < group.ncounts; i++)
			pq_sendint64(&buf, (uint64) group.counts[i]);
		for (int i = 0; i < group.nnumbers; i++)
			pq_sendfloat8(&buf, group.numbers[i]);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/*--------------------------------------------------------------------------------------------------------
 * Rows
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_comoments_row);
PG_FUNCTION_INFO_V1(cxm_comoments_row_missing);
PG_FUNCTION_INFO_V1(cxm_comoments_row_weight);
PG_FUNCTION_INFO_V1(cxm_comoments_row_weight_missing);
PG_FUNCTION_INFO_V1(cxm_comoments_join);

/* The argument is the transition value itself; the test is that of AggCheckCallContext(), without the call */
static inline bool
in_place(FunctionCallInfo fcinfo)
{
	return fcinfo->context != NULL && (IsA(fcinfo->context, AggState) || IsA(fcinfo->context, WindowAggState));
}

/* The first argument, to be changed, with room for these drivers */
static CxmComoments *
state_arg(FunctionCallInfo fcinfo, int policy, int drivers)
{
	CxmComoments *c;
	CxmComoments *wide;

	/* an aggregate of somebody else's may begin with a stored value, as it lay in its row */
	if (likely(in_place(fcinfo) && VARATT_IS_4B_U(PG_GETARG_POINTER(0))))
		c = (CxmComoments *) PG_GETARG_POINTER(0);
	else
		c = cxm_check_comoments((CxmComoments *) PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0)));
	if (likely(c->drivers == drivers && c->policy == policy))
		return c;
	if (c->policy != policy && c->policy != CXM_MISSING_UNSET)
		report_policies_differ(c->policy, policy);
	/* a row, or a value, without an array of drivers goes with any number of them */
	if (drivers == 0 && c->policy != CXM_MISSING_UNSET)
		return c;
	if (c->drivers != 0)
		report_drivers_differ(c->drivers, drivers);
	wide = make_comoments(policy, drivers);
	cxm_comoments_widen(wide, c, policy);
	return wide;
}

static CxmMissing
policy_arg(FunctionCallInfo fcinfo, int argno)
{
	if (!PG_ARGISNULL(argno))
	{
		const text *name = PG_GETARG_TEXT_PP(argno);
		size_t		length = VARSIZE_ANY_EXHDR(name);

		if (length == 8 && memcmp(VARDATA_ANY(name), "listwise", 8) == 0)
			return CXM_MISSING_LISTWISE;
		if (length == 8 && memcmp(VARDATA_ANY(name), "pairwise", 8) == 0)
			return CXM_MISSING_PAIRWISE;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown policy for what is missing: %s",
					PG_ARGISNULL(argno) ? "NULL" : quote_literal_cstr(text_to_cstring(PG_GETARG_TEXT_PP(argno)))),
			 errhint("The policies are listwise (only rows without a gap) and pairwise (each pair of variables by the rows that have both).")));
	return CXM_MISSING_UNSET;	/* keep the compiler quiet */
}

/* Drivers of a row that has gaps: values and what is missing */
static void
read_gaps(ArrayType *array, int drivers, double *x, bool *missing)
{
	const bits8 *bitmap = ARR_NULLBITMAP(array);
	const char *at = ARR_DATA_PTR(array);

	for (int i = 0; i < drivers; i++)
	{
		missing[i] = bitmap != NULL && (bitmap[i / 8] & (1 << (i % 8))) == 0;
		x[i] = 0;
		if (!missing[i])
		{
			memcpy(&x[i], at, sizeof(double));
			at += sizeof(double);
		}
	}
}

/* Add the row of arguments 1 and 2; weight is NULL when it is missing */
static Datum
add_row(FunctionCallInfo fcinfo, const double *weight, CxmMissing policy)
{
	static const bool none_missing[CXM_COMOMENTS_MAX_DRIVERS] = {false};
	double		gapped[CXM_COMOMENTS_MAX_DRIVERS];
	bool		missing[CXM_COMOMENTS_MAX_DRIVERS];
	const bool *x_missing = none_missing;
	const double *x = NULL;
	double		y = PG_ARGISNULL(1) ? 0 : PG_GETARG_FLOAT8(1);
	ArrayType  *array = NULL;
	int			drivers = 0;
	CxmComoments *c;
	CxmComomentsStatus status;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(2))
	{
		array = PG_GETARG_ARRAYTYPE_P(2);
		drivers = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
		if (drivers < 1 || ARR_NDIM(array) != 1)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("the drivers of a row must be an array of one dimension with at least one element"),
					 errhint("A driver that is missing is a NULL in the array.")));
		if (drivers > CXM_COMOMENTS_MAX_DRIVERS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%d drivers are too many", drivers),
					 errhint("Co-moments hold at most %d.", CXM_COMOMENTS_MAX_DRIVERS)));
		if (ARR_HASNULL(array))
		{
			read_gaps(array, drivers, gapped, missing);
			x = gapped;
			x_missing = missing;
		}
		else
			x = (const double *) ARR_DATA_PTR(array);
	}
	c = state_arg(fcinfo, policy, drivers);
	status = cxm_comoments_add_row(c, PG_ARGISNULL(1) ? NULL : &y, x, x_missing, weight);
	if (unlikely(status != CXM_COMOMENTS_OK))
		report_status(status);
	PG_RETURN_POINTER(c);
}

/* comoments_add_row(comoments, y, x) */
Datum
cxm_comoments_row(PG_FUNCTION_ARGS)
{
	static const double one = 1;

	return add_row(fcinfo, &one, CXM_MISSING_LISTWISE);
}

/* comoments_add_row(comoments, y, x, missing) */
Datum
cxm_comoments_row_missing(PG_FUNCTION_ARGS)
{
	static const double one = 1;

	return add_row(fcinfo, &one, policy_arg(fcinfo, 3));
}

/* comoments_add_row(comoments, y, x, weight) */
Datum
cxm_comoments_row_weight(PG_FUNCTION_ARGS)
{
	double		weight = PG_ARGISNULL(3) ? 0 : PG_GETARG_FLOAT8(3);

	return add_row(fcinfo, &weight, CXM_MISSING_LISTWISE);
}

/* comoments_add_row(comoments, y, x, weight, missing) */
Datum
cxm_comoments_row_weight_missing(PG_FUNCTION_ARGS)
{
	double		weight = PG_ARGISNULL(3) ? 0 : PG_GETARG_FLOAT8(3);

	return add_row(fcinfo, &weight, policy_arg(fcinfo, 4));
}

/* a + b; also the combine function of the aggregates and the transition function of rollup() */
Datum
cxm_comoments_join(PG_FUNCTION_ARGS)
{
	const CxmComoments *b = PG_GETARG_COMOMENTS_P(1);
	CxmComoments *a;
	CxmComomentsStatus status;

	if (b->policy == CXM_MISSING_UNSET)
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	a = state_arg(fcinfo, b->policy, b->drivers);
	status = cxm_comoments_add(a, b);
	if (unlikely(status != CXM_COMOMENTS_OK))
		report_status(status);
	PG_RETURN_POINTER(a);
}

/*--------------------------------------------------------------------------------------------------------
 * Accessors
 *--------------------------------------------------------------------------------------------------------
 */

PG_FUNCTION_INFO_V1(cxm_comoments_summary);
PG_FUNCTION_INFO_V1(cxm_comoments_variables);
PG_FUNCTION_INFO_V1(cxm_comoments_covariance);
PG_FUNCTION_INFO_V1(cxm_comoments_correlation_of);
PG_FUNCTION_INFO_V1(cxm_comoments_correlations);
PG_FUNCTION_INFO_V1(cxm_nps_points);

/* How many rows there were, and how many were used */
Datum
cxm_comoments_summary(PG_FUNCTION_ARGS)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	TupleDesc	desc;
	Datum		values[10];
	bool		nulls[10] = {false};
	int64		least;
	int64		most;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type");
	cxm_comoments_extent(c, &least, &most);
	values[0] = CStringGetTextDatum(policy_names[c->policy]);
	nulls[0] = (c->policy == CXM_MISSING_UNSET);
	values[1] = Int32GetDatum(c->drivers);
	values[2] = Int64GetDatum(c->rows);
	values[3] = Int64GetDatum(c->complete);
	values[4] = Int64GetDatum(least);
	values[5] = Int64GetDatum(most);
	values[6] = Int64GetDatum(c->no_weight);
	values[7] = Int64GetDatum(c->no_outcome);
	values[8] = Int64GetDatum(c->no_drivers);
	values[9] = Float8GetDatum(cxm_comoments_effective_n(c, NULL, 0));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* Variance of one variable or covariance of two: of a sample, weights being relative; NaN for fewer than two rows */
static double
covariance(const CxmPair *p)
{
	if (p->n < 2)
		return NAN;
	return p->product / p->weight * ((double) p->n / (double) (p->n - 1));
}

/* A row a variable: 0 is the outcome */
Datum
cxm_comoments_variables(PG_FUNCTION_ARGS)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	CxmRows		rows;

	cxm_begin_rows(fcinfo, &rows);
	for (int i = 0; i <= c->drivers && c->policy != CXM_MISSING_UNSET; i++)
	{
		Datum		values[6];
		bool		nulls[6] = {false};
		CxmPair		p;
		double		variance;

		cxm_comoments_pair(c, i, i, &p);
		variance = covariance(&p);
		values[0] = Int32GetDatum(i);
		values[1] = Int64GetDatum(p.n);
		values[2] = Int64GetDatum(i == 0 ? c->no_outcome : c->no_drivers + cxm_comoments_missing(c)[i]);
		values[3] = Float8GetDatum(p.mean_i + p.low_i);
		nulls[3] = (p.n == 0);
		values[4] = Float8GetDatum(variance);
		values[5] = Float8GetDatum(sqrt(variance));
		nulls[4] = nulls[5] = isnan(variance);
		tuplestore_putvalues(rows.store, rows.desc, values, nulls);
	}
	return (Datum) 0;
}

/* The number of a variable: 0 the outcome, from 1 on the drivers */
static int
variable_arg(FunctionCallInfo fcinfo, const CxmComoments *c, int argno)
{
	int			i = PG_GETARG_INT32(argno);

	if (i < 0 || i > c->drivers)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no variable %d in co-moments of %d drivers", i, c->drivers),
				 errhint("0 is the outcome, 1 the first driver.")));
	return i;
}

/* Covariance of two variables, variance of one */
Datum
cxm_comoments_covariance(PG_FUNCTION_ARGS)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	int			i = variable_arg(fcinfo, c, 1);
	int			j = variable_arg(fcinfo, c, 2);
	CxmPair		p;
	double		result;

	cxm_comoments_pair(c, i, j, &p);
	result = covariance(&p);
	if (isnan(result))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(result);
}

/* Correlation of two variables */
Datum
cxm_comoments_correlation_of(PG_FUNCTION_ARGS)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	double		result = cxm_comoments_correlation(c, variable_arg(fcinfo, c, 1), variable_arg(fcinfo, c, 2));

	if (isnan(result))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(result);
}

/* The matrix of all correlations, the outcome first */
Datum
cxm_comoments_correlations(PG_FUNCTION_ARGS)
{
	const CxmComoments *c = PG_GETARG_COMOMENTS_P(0);
	int			m = c->drivers + 1;
	Datum	   *values = palloc(sizeof(Datum) * (size_t) (m * m));
	bool	   *nulls = palloc(sizeof(bool) * (size_t) (m * m));
	int			dims[2];
	int			starts[2] = {0, 0};

	if (c->policy == CXM_MISSING_UNSET)
		PG_RETURN_NULL();
	dims[0] = dims[1] = m;
	for (int i = 0; i < m; i++)
	{
		for (int j = 0; j < m; j++)
		{
			double		correlation = cxm_comoments_correlation(c, i, j);

			values[i * m + j] = Float8GetDatum(correlation);
			nulls[i * m + j] = isnan(correlation);
		}
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 2, dims, starts, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
											 TYPALIGN_DOUBLE));
}

/* What one answer adds to the Net Promoter Score */
Datum
cxm_nps_points(PG_FUNCTION_ARGS)
{
	double		score = PG_GETARG_FLOAT8(0);

	if (!(score >= 0 && score <= 10 && score == floor(score)))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("score %g is not a whole number from 0 to 10", score),
				 errhint("The Net Promoter Score is defined on that scale; take other scores as they are.")));
	PG_RETURN_FLOAT8(score >= 9 ? 100 : score >= 7 ? 0 : -100);
}
