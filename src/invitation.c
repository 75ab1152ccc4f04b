/*
 * src/invitation.c
 *		Invitations for SQL: tokens that cannot be guessed, and when a person may be asked next.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "cxm.h"
#include "invitation_core.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define TOKEN_BYTES 32
/* four characters for three bytes, without padding */
#define TOKEN_LENGTH ((TOKEN_BYTES * 4 + 2) / 3)

PG_FUNCTION_INFO_V1(cxm_random_token);
PG_FUNCTION_INFO_V1(cxm_fatigue_free);

/* cxm.random_token(): 32 bytes from the system's generator, as base64url */
Datum
cxm_random_token(PG_FUNCTION_ARGS)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8		bytes[TOKEN_BYTES];
	text	   *token = (text *) palloc(VARHDRSZ + TOKEN_LENGTH);
	char	   *next = VARDATA(token);
	uint32		bits = 0;
	int			nbits = 0;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));

	for (int i = 0; i < TOKEN_BYTES; i++)
	{
		bits = bits << 8 | bytes[i];
		nbits += 8;
		while (nbits >= 6)
		{
			nbits -= 6;
			*next++ = digits[bits >> nbits & 63];
		}
	}
	*next = digits[bits << (6 - nbits) & 63];
	SET_VARSIZE(token, VARHDRSZ + TOKEN_LENGTH);
	PG_RETURN_TEXT_P(token);
}

/* An interval as microseconds; a month has 30 days and a day 24 hours */
static int64
interval_usecs(const Interval *interval, const char *name)
{
	int64		days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	int64		usecs;

	if (__builtin_mul_overflow(days, USECS_PER_DAY, &usecs) || __builtin_add_overflow(usecs, interval->time, &usecs))
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("%s is out of range", name)));
	if (usecs <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be longer than zero", name)));
	return usecs;
}

static int
by_time(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return (x > y) - (x < y);
}

static void
check_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* cxm.fatigue_free_at(timestamptz[], timestamptz, integer, interval, interval) */
Datum
cxm_fatigue_free(PG_FUNCTION_ARGS)
{
	CxmFatigueLimit limit = {0, 0, 0};
	int64	   *times = NULL;
	int			ntimes = 0;
	TimestampTz at;
	int64		free_at;

	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	at = PG_GETARG_TIMESTAMPTZ(1);
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("the time to be asked at must be finite")));
	if (PG_ARGISNULL(2) != PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_count and rolling_window go together")));
	if (!PG_ARGISNULL(2))
	{
		limit.max_count = PG_GETARG_INT32(2);
		if (limit.max_count < 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("max_count must be greater than zero")));
		limit.window = interval_usecs(PG_GETARG_INTERVAL_P(3), "rolling_window");
	}
	if (!PG_ARGISNULL(4))
		limit.min_gap = interval_usecs(PG_GETARG_INTERVAL_P(4), "min_gap");

	if (!PG_ARGISNULL(0))
	{
		ArrayType  *array = PG_GETARG_ARRAYTYPE_P_COPY(0);

		if (ARR_NDIM(array) > 1)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("array \"%s\" must have one dimension", "times")));
		if (array_contains_nulls(array))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("array \"%s\" must not contain nulls", "times")));
		ntimes = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
		times = (int64 *) ARR_DATA_PTR(array);
		qsort(times, ntimes, sizeof(int64), by_time);
	}

	if (!cxm_fatigue_free_at(times, (size_t) ntimes, at, &limit, check_interrupts, &free_at)
		|| !IS_VALID_TIMESTAMP(free_at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("there is no free time within the range of timestamps")));
	PG_RETURN_TIMESTAMPTZ(free_at);
}
