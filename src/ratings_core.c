/*
 * src/ratings_core.c
 *		An exact histogram of whole-number scores on a small scale, and what is read from it.
 *
 * Counts are kept as they are and never rounded; everything that is read is computed in double precision
 * from exact integers. NPS figures are fractions (-1 to 1) here and become -100 to 100 in ratings.c.
 *
 * Sources of the formulas:
 *	 Net Promoter Score and its variance: a multinomial with values -1, 0, 1, so the variance of one answer
 *	   is p + d - (p - d)^2, over n and not n - 1.
 *	 Adjusted Wald: Agresti and Min, Statistics in Medicine 24 (2005) 729-740: three made-up answers, 3/4
 *	   detractor, 3/2 passive, 3/4 promoter. Recommended for NPS by Rocks, The American Statistician 70
 *	   (2016) 365-372.
 *	 Score: Tango, Statistics in Medicine 17 (1998) 891-908, which is May and Johnson, Biometrical Journal
 *	   39 (1997) 117-128: every difference that a test with the variance under that difference keeps.
 *	 Wilson: Journal of the American Statistical Association 22 (1927) 209-212.
 *	 Normal quantile: Wichura, algorithm AS 241, Applied Statistics 37 (1988) 477-484.
 *	 Student quantile: the incomplete beta function by its continued fraction (NIST DLMF 8.17.22), solved
 *	   by Newton's method; beyond 1000 degrees of freedom the expansion DLMF/Abramowitz-Stegun 26.7.5.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "ratings_core.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif

/* where the expansion of the Student quantile is exact to double precision */
#define STUDENT_EXPANSION_DF	1000.0

/* what adjusted Wald adds to passives; promoters and detractors get half of it each */
#define ADJUSTED_WALD_PASSIVES	1.5

/* the empty value without a scale */
void
ratings_init(Ratings *r)
{
	memset(r, 0, sizeof(Ratings));
	r->version = RATINGS_VERSION;
}

/* Empty value of a scale */
RatingsStatus
ratings_init_scale(Ratings *r, int64_t lo, int64_t points)
{
	ratings_init(r);
	if (points < RATINGS_MIN_POINTS || points > RATINGS_MAX_POINTS ||
		lo < RATINGS_MIN_SCORE || lo > RATINGS_MAX_SCORE - (points - 1))
		return RATINGS_BAD_SCALE;
	r->lo = (int8_t) lo;
	r->points = (uint8_t) points;
	return RATINGS_OK;
}

/* Is this a value that we could have written? */
RatingsStatus
ratings_check(const Ratings *r)
{
	if (r->version != RATINGS_VERSION)
		return RATINGS_BAD_VERSION;
	for (size_t i = 0; i < sizeof(r->reserved); i++)
	{
		if (r->reserved[i] != 0)
			return RATINGS_BAD_VERSION;
	}
	if (r->points == 0 ? r->lo != 0 :
		(r->points < RATINGS_MIN_POINTS || r->points > RATINGS_MAX_POINTS ||
		 ratings_hi(r) > RATINGS_MAX_SCORE))
		return RATINGS_BAD_SCALE;
	for (int i = 0; i < RATINGS_MAX_POINTS; i++)
	{
		if (r->count[i] < 0 || (i >= r->points && r->count[i] != 0))
			return RATINGS_BAD_COUNT;
	}
	return RATINGS_OK;
}

/* No answers at all, with or without a scale */
bool
ratings_is_zero(const Ratings *r)
{
	for (int i = 0; i < RATINGS_MAX_POINTS; i++)
	{
		if (r->count[i] != 0)
			return false;
	}
	return true;
}

/*
 * Total order: scale, then counts from the lowest score up. Zero means equal bytes. It is spelled out
 * instead of memcmp so that the order is the same on every machine.
 */
int
ratings_compare(const Ratings *a, const Ratings *b)
{
	if (a->version != b->version)
		return a->version < b->version ? -1 : 1;
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	if (a->points != b->points)
		return a->points < b->points ? -1 : 1;
	for (int i = 0; i < RATINGS_MAX_POINTS; i++)
	{
		if (a->count[i] != b->count[i])
			return a->count[i] < b->count[i] ? -1 : 1;
	}
	return memcmp(a->reserved, b->reserved, sizeof(a->reserved));
}

/* White space as the input functions of the server know it, whatever the locale */
static const char *
skip_space(const char *s)
{
	while (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		s++;
	return s;
}

/*
 * Read a whole number with an optional minus sign. Returns the place behind it, or NULL where there is
 * none or it does not fit.
 */
static const char *
parse_number(const char *s, int64_t *number)
{
	bool		negative;
	int64_t		value = 0;

	s = skip_space(s);
	negative = (*s == '-');
	if (negative)
		s++;
	if (*s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++)
	{
		int			digit = *s - '0';

		if (value > (INT64_MAX - digit) / 10)
			return NULL;
		value = value * 10 + digit;
	}
	*number = negative ? -value : value;
	return skip_space(s);
}

/* Does the text consist of this word, in any case, and white space around it? */
static bool
is_word(const char *s, const char *word)
{
	s = skip_space(s);
	for (; *word != '\0'; word++, s++)
	{
		if (*s != *word && *s != *word - 'a' + 'A')
			return false;
	}
	return *skip_space(s) == '\0';
}

/*
 * Read the text form: "empty", or lowest..highest:{count of the lowest, ..., count of the highest}.
 */
RatingsStatus
ratings_parse(const char *text, Ratings *r)
{
	int64_t		lo;
	int64_t		hi;
	RatingsStatus status;

	ratings_init(r);
	if (is_word(text, "empty"))
		return RATINGS_OK;

	if ((text = parse_number(text, &lo)) == NULL || text[0] != '.' || text[1] != '.')
		return RATINGS_BAD_SYNTAX;
	if ((text = parse_number(text + 2, &hi)) == NULL || *text != ':')
		return RATINGS_BAD_SYNTAX;
	/* far ends are refused before they are subtracted */
	if (lo < RATINGS_MIN_SCORE || hi > RATINGS_MAX_SCORE || hi < lo)
		return RATINGS_BAD_SCALE;
	if ((status = ratings_init_scale(r, lo, hi - lo + 1)) != RATINGS_OK)
		return status;

	text = skip_space(text + 1);
	if (*text != '{')
		return RATINGS_BAD_SYNTAX;
	for (int i = 0; i < r->points; i++)
	{
		if ((text = parse_number(text + 1, &r->count[i])) == NULL ||
			*text != (i + 1 < r->points ? ',' : '}'))
			return RATINGS_BAD_SYNTAX;
		if (r->count[i] < 0)
			return RATINGS_BAD_COUNT;
	}
	return *skip_space(text + 1) == '\0' ? RATINGS_OK : RATINGS_BAD_SYNTAX;
}

/* Write the text form; text has room for RATINGS_TEXT_SIZE bytes */
void
ratings_format(const Ratings *r, char *text)
{
	size_t		len;

	if (r->points == 0)
	{
		memcpy(text, "empty", sizeof("empty"));
		return;
	}
	len = (size_t) snprintf(text, RATINGS_TEXT_SIZE, "%d..%d:{", r->lo, ratings_hi(r));
	for (int i = 0; i < r->points; i++)
		len += (size_t) snprintf(text + len, RATINGS_TEXT_SIZE - len, i == 0 ? "%lld" : ",%lld",
								 (long long) r->count[i]);
	snprintf(text + len, RATINGS_TEXT_SIZE - len, "}");
}

/*
 * Give two values one scale: a value without a scale takes that of the other.
 */
static RatingsStatus
join_scale(Ratings *a, const Ratings *b)
{
	if (b->points == 0)
		return RATINGS_OK;
	if (a->points == 0)
	{
		a->lo = b->lo;
		a->points = b->points;
		return RATINGS_OK;
	}
	return a->lo == b->lo && a->points == b->points ? RATINGS_OK : RATINGS_SCALES_DIFFER;
}

/*
 * a := a + b. When it fails a is as it was, except for the scale, and *point tells which count it was.
 *
 * Counts are not negative, so a sum that is too large has its highest bit set. It is looked for once and not
 * for each count, because a rollup is read by little else than this.
 */
RatingsStatus
ratings_add(Ratings *a, const Ratings *b, int *point)
{
	RatingsStatus status = join_scale(a, b);
	uint64_t	bits = 0;

	if (status != RATINGS_OK)
		return status;
	for (int i = 0; i < RATINGS_MAX_POINTS; i++)
		bits |= (uint64_t) a->count[i] + (uint64_t) b->count[i];
	if (bits > INT64_MAX)
	{
		for (*point = 0; a->count[*point] <= INT64_MAX - b->count[*point]; (*point)++)
			;
		return RATINGS_TOO_MANY;
	}
	for (int i = 0; i < RATINGS_MAX_POINTS; i++)
		a->count[i] += b->count[i];
	return RATINGS_OK;
}

/* a := a - b, like ratings_add */
RatingsStatus
ratings_subtract(Ratings *a, const Ratings *b, int *point)
{
	RatingsStatus status = join_scale(a, b);

	if (status != RATINGS_OK)
		return status;
	for (*point = 0; *point < RATINGS_MAX_POINTS; (*point)++)
	{
		if (a->count[*point] < b->count[*point])
			return RATINGS_TOO_FEW;
	}
	for (int i = 0; i < RATINGS_MAX_POINTS; i++)
		a->count[i] -= b->count[i];
	return RATINGS_OK;
}

/* Number of answers, or false where it passes INT64_MAX */
bool
ratings_total(const Ratings *r, int64_t *total)
{
	*total = 0;
	for (int i = 0; i < RATINGS_MAX_POINTS; i++)
	{
		if (*total > INT64_MAX - r->count[i])
			return false;
		*total += r->count[i];
	}
	return true;
}

/*
 * Answers below passive_from, from there to below promoter_from, and from there on. False where the total
 * passes INT64_MAX.
 */
bool
ratings_groups(const Ratings *r, int passive_from, int promoter_from, RatingsGroups *groups)
{
	memset(groups, 0, sizeof(RatingsGroups));
	if (!ratings_total(r, &groups->total))
		return false;
	for (int i = 0; i < r->points; i++)
	{
		int			score = r->lo + i;

		if (score >= promoter_from)
			groups->promoters += r->count[i];
		else if (score >= passive_from)
			groups->passives += r->count[i];
		else
			groups->detractors += r->count[i];
	}
	return true;
}

/* Mean score; total must be above 0 */
double
ratings_mean(const Ratings *r, int64_t total)
{
	double		sum = 0;

	for (int i = 0; i < r->points; i++)
		sum += (double) r->count[i] * (r->lo + i);
	return sum / (double) total;
}

/* Sum of squared distances from the mean; total must be above 0 */
double
ratings_squares(const Ratings *r, int64_t total)
{
	double		mean = ratings_mean(r, total);
	double		sum = 0;

	for (int i = 0; i < r->points; i++)
		sum += (double) r->count[i] * (r->lo + i - mean) * (r->lo + i - mean);
	return sum;
}

/* Score of the answer at a place, counted from 0, when all are sorted */
static int
score_at(const Ratings *r, int64_t place)
{
	int			i = 0;

	while (i < r->points - 1 && place >= r->count[i])
		place -= r->count[i++];
	/* a place behind the last answer means the last answer */
	while (i > 0 && r->count[i] == 0)
		i--;
	return r->lo + i;
}

/* A place computed in double precision, brought back among the answers */
static int64_t
clamp_place(double place, int64_t total)
{
	if (place < 0)
		return 0;
	return place >= (double) total ? total - 1 : (int64_t) place;
}

/* First score whose cumulative share reaches the fraction, as SQL percentile_disc; total must be above 0 */
int
ratings_percentile_disc(const Ratings *r, int64_t total, double fraction)
{
	return score_at(r, clamp_place(ceil(fraction * (double) total) - 1, total));
}

/* Score at the fraction, interpolated between neighbours, as SQL percentile_cont; total must be above 0 */
double
ratings_percentile_cont(const Ratings *r, int64_t total, double fraction)
{
	double		place = fraction * (double) (total - 1);
	double		below = score_at(r, clamp_place(floor(place), total));
	double		above = score_at(r, clamp_place(ceil(place), total));

	return below + (place - floor(place)) * (above - below);
}

/*
 * Share of promoters less share of detractors, when "extra" answers are made up: half of them passive, the
 * rest promoter and detractor in equal parts. *variance is that of one answer.
 */
static double
nps_moments(const RatingsGroups *groups, double extra_passives, double *n, double *variance)
{
	double		promoters = (double) groups->promoters + extra_passives / 2;
	double		detractors = (double) groups->detractors + extra_passives / 2;
	double		nps;

	*n = (double) groups->total + 2 * extra_passives;
	nps = (promoters - detractors) / *n;
	*variance = (promoters + detractors) / *n - nps * nps;
	/* rounding may leave a trace of minus where all answers are alike */
	if (*variance < 0)
		*variance = 0;
	return nps;
}

/* Variance of what one answer adds; total must be above 0 */
double
nps_variance(const RatingsGroups *groups)
{
	double		n;
	double		variance;

	nps_moments(groups, 0, &n, &variance);
	return variance;
}

/* Standard error of the score; total must be above 0 */
double
nps_standard_error(const RatingsGroups *groups)
{
	return sqrt(nps_variance(groups) / (double) groups->total);
}

/*
 * Squared distance of the observed score from a supposed one, less what the test allows. The variance is
 * that of the most likely shares whose difference is the supposed score (Tango's equation).
 */
static double
score_excess(const RatingsGroups *groups, double z, double supposed)
{
	double		n = (double) groups->total;
	double		p = (double) groups->promoters / n;
	double		d = (double) groups->detractors / n;
	double		b = (2 - p + d) * supposed - p - d;
	double		c = -d * supposed * (1 - supposed);
	double		root = b * b - 8 * c;
	double		detractor_share = (sqrt(root > 0 ? root : 0) - b) / 4;
	double		variance = 2 * detractor_share + supposed * (1 - supposed);
	double		distance = p - d - supposed;

	return n * distance * distance - z * z * variance;
}

/*
 * End of the score interval between the observed score, which the test keeps, and an end of the scale.
 * Halving the distance until nothing is left between the two ends cannot go astray.
 */
static double
score_bound(const RatingsGroups *groups, double z, double kept, double refused)
{
	if (score_excess(groups, z, refused) <= 0)
		return refused;
	for (;;)
	{
		double		middle = (kept + refused) / 2;

		if (middle == kept || middle == refused)
			return middle;
		if (score_excess(groups, z, middle) > 0)
			refused = middle;
		else
			kept = middle;
	}
}

/* Confidence interval of the score, within -1 to 1; total must be above 0 */
void
nps_interval(const RatingsGroups *groups, double confidence, RatingsMethod method,
			 double *lower, double *upper)
{
	double		z = normal_two_sided(confidence);
	double		n;
	double		variance;
	double		nps = nps_moments(groups, method == RATINGS_ADJUSTED_WALD ? ADJUSTED_WALD_PASSIVES : 0,
								  &n, &variance);

	if (method == RATINGS_SCORE)
	{
		*lower = score_bound(groups, z, nps, -1);
		*upper = score_bound(groups, z, nps, 1);
	}
	else
	{
		*lower = fmax(nps - z * sqrt(variance / n), -1);
		*upper = fmin(nps + z * sqrt(variance / n), 1);
	}
}

/*
 * Are two scores different? Two-sided z test for independent samples, Wald or adjusted Wald (each sample
 * gets its made-up answers); both totals must be above 0.
 */
void
nps_test(const RatingsGroups *a, const RatingsGroups *b, double confidence, RatingsMethod method,
		 RatingsTest *test)
{
	double		extra = method == RATINGS_ADJUSTED_WALD ? ADJUSTED_WALD_PASSIVES : 0;
	double		margin;
	double		n[2];
	double		variance[2];

	test->difference = nps_moments(a, extra, &n[0], &variance[0]) -
		nps_moments(b, extra, &n[1], &variance[1]);
	test->standard_error = sqrt(variance[0] / n[0] + variance[1] / n[1]);
	if (test->standard_error > 0)
	{
		test->z = test->difference / test->standard_error;
		test->p_value = erfc(fabs(test->z) / sqrt(2));
	}
	else
		test->z = test->p_value = NAN;
	margin = normal_two_sided(confidence) * test->standard_error;
	test->lower = test->difference - margin;
	test->upper = test->difference + margin;
}

/* Wilson's confidence interval of a share; total must be above 0 */
void
wilson_interval(int64_t successes, int64_t total, double confidence, double *lower, double *upper)
{
	double		z = normal_two_sided(confidence);
	double		n = (double) total;
	double		share = (double) successes / n;
	double		centre = (share + z * z / (2 * n)) / (1 + z * z / n);
	double		margin = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n));

	/* the two ends are 0 and 1 exactly where no or every answer is a success */
	*lower = successes == 0 ? 0 : fmax(centre - margin, 0);
	*upper = successes == total ? 1 : fmin(centre + margin, 1);
}

/* Value of a polynomial, coefficients from the constant up */
static double
polynomial(const double *coefficient, int n, double x)
{
	double		value = 0;

	while (n-- > 0)
		value = value * x + coefficient[n];
	return value;
}

/* Quantile of the standard normal distribution, 0 < p < 1; relative error about 1e-16 (AS 241) */
double
normal_quantile(double p)
{
	static const double centre_up[] = {
		3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
		1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
		3.3430575583588128105e+4, 2.5090809287301226727e+3
	};
	static const double centre_down[] = {
		1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
		2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4,
		5.2264952788528545610e+3
	};
	static const double middle_up[] = {
		1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
		3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
		2.27238449892691845833e-2, 7.74545014278341407640e-4
	};
	static const double middle_down[] = {
		1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
		1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
		1.05075007164441684324e-9
	};
	static const double tail_up[] = {
		6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
		2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
		2.71155556874348757815e-5, 2.01033439929228813265e-7
	};
	static const double tail_down[] = {
		1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
		7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
		2.04426310338993978564e-15
	};
	double		q = p - 0.5;
	double		r;
	double		x;

	if (fabs(q) <= 0.425)
	{
		r = 0.180625 - q * q;
		return q * polynomial(centre_up, 8, r) / polynomial(centre_down, 8, r);
	}
	r = sqrt(-log(q < 0 ? p : 1 - p));
	if (r <= 5)
		x = polynomial(middle_up, 8, r - 1.6) / polynomial(middle_down, 8, r - 1.6);
	else
		x = polynomial(tail_up, 8, r - 5) / polynomial(tail_down, 8, r - 5);
	return q < 0 ? -x : x;
}

/* Half the width, in standard errors, of an interval of this confidence, 0 < confidence < 1 */
double
normal_two_sided(double confidence)
{
	/* the lower tail keeps its digits where 1 - p would lose them */
	return -normal_quantile((1 - confidence) / 2);
}

/* Keep a divisor away from 0, as Lentz's method wants */
static double
not_zero(double x)
{
	return fabs(x) < 1e-300 ? 1e-300 : x;
}

/* Continued fraction of the incomplete beta function, by Lentz's method */
static double
beta_fraction(double a, double b, double x)
{
	double		c = 1;
	double		d = 1 / not_zero(1 - (a + b) * x / (a + 1));
	double		f = d;

	for (int m = 1; m <= 10000; m++)
	{
		double		even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double		odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));

		d = 1 / not_zero(1 + even * d);
		c = not_zero(1 + even / c);
		f *= d * c;
		d = 1 / not_zero(1 + odd * d);
		c = not_zero(1 + odd / c);
		f *= d * c;
		if (fabs(d * c - 1) < 1e-16)
			break;
	}
	return f;
}

/* Regularised incomplete beta function */
double
cxm_incomplete_beta(double a, double b, double x)
{
	if (x <= 0 || x >= 1)
		return x <= 0 ? 0 : 1;
	/* the fraction converges quickly on one side of the mean only */
	if (x > (a + 1) / (a + b + 2))
		return 1 - cxm_incomplete_beta(b, a, 1 - x);
	return exp(a * log(x) + b * log1p(-x) + lgamma(a + b) - lgamma(a) - lgamma(b)) / a *
		beta_fraction(a, b, x);
}

/* Quantile of Student's distribution from that of the normal one, for many degrees of freedom */
static double
student_expansion(double z, double df)
{
	static const double first[] = {1, 1};
	static const double second[] = {3, 16, 5};
	static const double third[] = {-15, 17, 19, 3};
	static const double fourth[] = {-945, -1920, 1482, 776, 79};
	double		z2 = z * z;

	return z * (1 + (polynomial(first, 2, z2) / 4 +
					 (polynomial(second, 3, z2) / 96 +
					  (polynomial(third, 4, z2) / 384 +
					   polynomial(fourth, 5, z2) / 92160 / df) / df) / df) / df);
}

/*
 * Half the width, in standard errors, of an interval of this confidence when the variance was estimated
 * with df degrees of freedom; 0 < confidence < 1, df >= 1.
 */
double
student_two_sided(double confidence, double df)
{
	double		tails = 1 - confidence;
	double		z = normal_two_sided(confidence);
	double		low = z;
	double		high;
	double		t;
	double		log_scale;

	if (df > STUDENT_EXPANSION_DF)
		return student_expansion(z, df);
	if (df == 1)
		return 1 / tan(M_PI * tails / 2);

	/* Student's quantile lies above the normal one: find a bracket, then Newton's method inside it */
	for (high = fmax(2 * z, 1); cxm_incomplete_beta(df / 2, 0.5, df / (df + high * high)) > tails; high *= 2)
		low = high;
	log_scale = lgamma((df + 1) / 2) - lgamma(df / 2) - log(df * M_PI) / 2;
	t = (low + high) / 2;
	for (int i = 0; i < 200; i++)
	{
		double		excess = cxm_incomplete_beta(df / 2, 0.5, df / (df + t * t)) - tails;
		double		slope = 2 * exp(log_scale - (df + 1) / 2 * log1p(t * t / df));
		double		next = t + excess / slope;

		if (excess > 0)
			low = t;
		else
			high = t;
		if (!(next > low && next < high))
			next = (low + high) / 2;
		if (fabs(next - t) <= 1e-15 * t)
			break;
		t = next;
	}
	return t;
}
