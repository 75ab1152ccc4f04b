/*
 * src/weighted_ratings_core.c
 *		Weighted answers by score: see weighted_ratings_core.h.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "weighted_ratings_core.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Give an empty value a scale; false when it is none */
bool
weighted_set_scale(WeightedRatings *r, int64_t lo, int64_t hi)
{
	memset(r, 0, sizeof(WeightedRatings));
	r->version = WEIGHTED_VERSION;
	if (lo < INT8_MIN || hi > INT8_MAX || hi <= lo || hi - lo >= WEIGHTED_MAX_POINTS)
		return false;
	r->lo = (int8_t) lo;
	r->points = (uint8_t) (hi - lo + 1);
	return true;
}

/* Whether a value can have come from answers */
WeightedStatus
weighted_check(const WeightedRatings *r)
{
	double		total = 0;

	if (r->points == 0)
		return r->lo == 0 && r->n == 0 ? WEIGHTED_OK : WEIGHTED_BAD_SCALE;
	if (r->points < 2 || r->points > WEIGHTED_MAX_POINTS || weighted_hi(r) > INT8_MAX)
		return WEIGHTED_BAD_SCALE;
	if (r->n < 0)
		return WEIGHTED_BAD_SUM;
	for (int i = 0; i < r->points; i++)
	{
		/* written so that NaN fails; squares of such weights sum up to no more than the square of their sum */
		if (!(r->weight[i] >= 0 && isfinite(r->weight[i]) && r->square[i] >= 0 && isfinite(r->square[i])
			  && r->square[i] <= r->weight[i] * r->weight[i] * (1 + 1e-9)))
			return WEIGHTED_BAD_SUM;
		total += r->weight[i];
	}
	return isfinite(total) && (r->n > 0 || total == 0) ? WEIGHTED_OK : WEIGHTED_BAD_SUM;
}

static const char *
parse_list(const char *text, int n, double *values)
{
	if (*text != '{')
		return NULL;
	for (int i = 0; i < n; i++)
	{
		char	   *end;

		/* strtod() would take spaces, signs, names and hexadecimal numbers, too */
		if (!((text[1] >= '0' && text[1] <= '9') || text[1] == '.') || text[2] == 'x' || text[2] == 'X')
			return NULL;
		values[i] = strtod(text + 1, &end);
		if (end == text + 1 || *end != (i + 1 < n ? ',' : '}'))
			return NULL;
		text = end;
	}
	return text + 1;
}

/* Read the text form, such as 1..5:3:{0,1.5,0,0,2}:{0,1.25,0,0,4} */
WeightedStatus
weighted_parse(const char *text, WeightedRatings *r)
{
	char	   *end;
	long		lo;
	long		hi;
	long long	n;

	memset(r, 0, sizeof(WeightedRatings));
	r->version = WEIGHTED_VERSION;
	if (strcmp(text, "empty") == 0)
		return WEIGHTED_OK;
	lo = strtol(text, &end, 10);
	if (end == text || strncmp(end, "..", 2) != 0)
		return WEIGHTED_BAD_SYNTAX;
	text = end + 2;
	hi = strtol(text, &end, 10);
	if (end == text || *end != ':')
		return WEIGHTED_BAD_SYNTAX;
	if (!weighted_set_scale(r, lo, hi))
		return WEIGHTED_BAD_SCALE;
	text = end + 1;
	n = strtoll(text, &end, 10);
	if (end == text || *end != ':')
		return WEIGHTED_BAD_SYNTAX;
	r->n = n;
	text = parse_list(end + 1, r->points, r->weight);
	if (text == NULL || *text != ':')
		return WEIGHTED_BAD_SYNTAX;
	text = parse_list(text + 1, r->points, r->square);
	if (text == NULL || *text != '\0')
		return WEIGHTED_BAD_SYNTAX;
	return weighted_check(r);
}

/* The fewest digits that give the number back */
static int
format_number(double value, char *text, size_t size)
{
	int			length = 0;

	for (int digits = 15; digits <= 17; digits++)
	{
		length = snprintf(text, size, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	return length;
}

static size_t
format_list(const double *values, int n, char *text, size_t size)
{
	size_t		length = 0;

	for (int i = 0; i < n; i++)
	{
		text[length++] = i == 0 ? '{' : ',';
		length += (size_t) format_number(values[i], text + length, size - length);
	}
	text[length++] = '}';
	text[length] = '\0';
	return length;
}

/* Write the text form; text has room for WEIGHTED_TEXT_SIZE bytes */
void
weighted_format(const WeightedRatings *r, char *text)
{
	size_t		length;

	if (r->points == 0)
	{
		memcpy(text, "empty", sizeof("empty"));
		return;
	}
	length = (size_t) snprintf(text, WEIGHTED_TEXT_SIZE, "%d..%d:%lld:", r->lo, weighted_hi(r), (long long) r->n);
	length += format_list(r->weight, r->points, text + length, WEIGHTED_TEXT_SIZE - length);
	text[length++] = ':';
	format_list(r->square, r->points, text + length, WEIGHTED_TEXT_SIZE - length);
}

/* a := a + b; false when the scales differ or the number of answers does not fit */
bool
weighted_add(WeightedRatings *a, const WeightedRatings *b)
{
	if (b->points == 0)
		return true;
	if (a->points == 0)
	{
		*a = *b;
		return true;
	}
	if (a->lo != b->lo || a->points != b->points || a->n > INT64_MAX - b->n)
		return false;
	a->n += b->n;
	for (int i = 0; i < a->points; i++)
	{
		a->weight[i] += b->weight[i];
		a->square[i] += b->square[i];
	}
	return true;
}

/* Sum of all weights */
double
weighted_total(const WeightedRatings *r)
{
	double		total = 0;

	for (int i = 0; i < r->points; i++)
		total += r->weight[i];
	return total;
}

/* Kish: answers of equal weight that would be as good; NaN without weight */
double
weighted_effective_n(const WeightedRatings *r)
{
	double		total = weighted_total(r);
	double		squares = 0;

	for (int i = 0; i < r->points; i++)
		squares += r->square[i];
	return squares > 0 ? total / squares * total : NAN;
}

/*
 * Weighted mean of what a score counts for, value[] by score, and its standard error: that of a ratio of two
 * weighted totals, linearised, with n / (n - 1), as svymean() of the R package survey has it for a design without
 * strata and clusters.
 */
WeightedMean
weighted_mean(const WeightedRatings *r, const double *value)
{
	double		total = weighted_total(r);
	WeightedMean result = {NAN, NAN};
	double		sum = 0;
	double		variance = 0;

	if (!(total > 0))
		return result;
	for (int i = 0; i < r->points; i++)
		sum += r->weight[i] / total * value[i];
	result.mean = sum;
	if (r->n < 2)
		return result;
	for (int i = 0; i < r->points; i++)
		variance += r->square[i] / total / total * (value[i] - sum) * (value[i] - sum);
	result.standard_error = sqrt(variance * (double) r->n / (double) (r->n - 1));
	return result;
}
