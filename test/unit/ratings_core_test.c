/*
 * test/unit/ratings_core_test.c
 *		Tests of src/ratings_core.c without a server.
 *
 * Compile and run:
 *	 cc -Isrc test/unit/ratings_core_test.c src/ratings_core.c -lm -o ratings_core_test && ./ratings_core_test
 * and, for the sanitizers, with -g -fsanitize=address,undefined -fno-sanitize-recover=all.
 * Prints the checks that failed and a line "N passed, N failed"; the exit status is 1 if any failed.
 *
 * Copyright (c) 2026, cxm developers
 */
#include "ratings_core.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

static int	passed = 0;
static int	failed = 0;

#define CHECK(condition) check(condition, #condition, __LINE__)

static void
check(bool ok, const char *what, int line)
{
	if (ok)
		passed++;
	else
	{
		failed++;
		printf("line %d: not true: %s\n", line, what);
	}
}

/* Equal to so many parts of the larger one */
static bool
near(double a, double b, double tolerance)
{
	return fabs(a - b) <= tolerance * fmax(fabs(a), fabs(b));
}

/* A generator of our own, so that a failure can be repeated anywhere */
static uint64_t
next_random(void)
{
	static uint64_t state = UINT64_C(0x9E3779B97F4A7C15);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int
below(int n)
{
	return (int) (next_random() % (uint64_t) n);
}

static Ratings
parsed(const char *text)
{
	Ratings		r;

	CHECK(ratings_parse(text, &r) == RATINGS_OK);
	return r;
}

/* A value of any scale; counts small, large, or as large as they get */
static Ratings
random_ratings(void)
{
	Ratings		r;
	int			points = RATINGS_MIN_POINTS + below(RATINGS_MAX_POINTS - RATINGS_MIN_POINTS + 1);

	ratings_init(&r);
	if (below(20) == 0)
		return r;
	if (ratings_init_scale(&r, below(40) - 20, points) != RATINGS_OK)
		abort();
	for (int i = 0; i < points; i++)
	{
		switch (below(8))
		{
			case 0:
				r.count[i] = INT64_MAX - below(3);
				break;
			case 1:
			case 2:
				r.count[i] = (int64_t) (next_random() >> (1 + below(62)));
				break;
			case 3:
				break;
			default:
				r.count[i] = below(100);
		}
	}
	return r;
}

static void
test_scale(void)
{
	Ratings		r;

	CHECK(sizeof(Ratings) == 96);
	CHECK(ratings_init_scale(&r, 0, 11) == RATINGS_OK && ratings_hi(&r) == 10);
	CHECK(ratings_init_scale(&r, -128, 11) == RATINGS_OK && ratings_hi(&r) == -118);
	CHECK(ratings_init_scale(&r, 117, 11) == RATINGS_OK && ratings_hi(&r) == 127);
	CHECK(ratings_init_scale(&r, 118, 11) == RATINGS_BAD_SCALE);
	CHECK(ratings_init_scale(&r, -129, 2) == RATINGS_BAD_SCALE);
	CHECK(ratings_init_scale(&r, 0, 1) == RATINGS_BAD_SCALE);
	CHECK(ratings_init_scale(&r, 0, 12) == RATINGS_BAD_SCALE);
	CHECK(ratings_init_scale(&r, INT64_MIN, 2) == RATINGS_BAD_SCALE);
	CHECK(ratings_init_scale(&r, INT64_MAX, 2) == RATINGS_BAD_SCALE);
	CHECK(ratings_init_scale(&r, 0, INT64_MAX) == RATINGS_BAD_SCALE);
	CHECK(ratings_init_scale(&r, 0, INT64_MIN) == RATINGS_BAD_SCALE);
	/* what failed is the empty value */
	CHECK(ratings_check(&r) == RATINGS_OK && r.points == 0);
}

static void
test_counting(void)
{
	static const int64_t off[] = {-1, 11, 255, 256, -128, 65536, INT64_C(4294967296), INT64_MIN, INT64_MAX};
	Ratings		r = parsed("0..10:{0,0,0,0,0,0,0,0,0,0,0}");
	Ratings		low = parsed("-5..-3:{0,0,0}");
	Ratings		none = parsed("empty");

	CHECK(ratings_count_up(&r, 0, 1) == RATINGS_OK && r.count[0] == 1);
	CHECK(ratings_count_up(&r, 10, 5) == RATINGS_OK && r.count[10] == 5);
	CHECK(ratings_count_down(&r, 10, 5) == RATINGS_OK && r.count[10] == 0);
	CHECK(ratings_count_down(&r, 10, 1) == RATINGS_TOO_FEW && r.count[10] == 0);
	CHECK(ratings_count_up(&r, 0, INT64_MAX) == RATINGS_TOO_MANY && r.count[0] == 1);
	CHECK(ratings_count_up(&r, 0, INT64_MAX - 1) == RATINGS_OK && r.count[0] == INT64_MAX);
	for (size_t i = 0; i < lengthof(off); i++)
	{
		CHECK(ratings_count_up(&r, off[i], 1) == RATINGS_OFF_SCALE);
		CHECK(ratings_count_down(&r, off[i], 0) == RATINGS_OFF_SCALE);
		CHECK(ratings_count_up(&none, off[i], 1) == RATINGS_OFF_SCALE);
	}
	CHECK(ratings_count_up(&none, 0, 1) == RATINGS_OFF_SCALE);
	CHECK(ratings_count_up(&low, -5, 1) == RATINGS_OK && low.count[0] == 1);
	CHECK(ratings_count_up(&low, -3, 1) == RATINGS_OK && low.count[2] == 1);
	CHECK(ratings_count_up(&low, -6, 1) == RATINGS_OFF_SCALE);
	CHECK(ratings_count_up(&low, -2, 1) == RATINGS_OFF_SCALE);
}

/* R package NPS: detractors, passives, promoters, score and its three 95 % intervals */
static const struct
{
	RatingsGroups groups;
	double		nps;
	double		interval[3][2];
}			reference[] =
{
	{{10, 20, 70, 100}, .60, {{.4526976, .7123509}, {.4699907, .7300093}, {.4521665, .7127679}}},
	{{1, 2, 3, 6}, .3333333, {{-.2674326, .7118770}, {-.2630647, .9297314}, {-.3110737, .7539567}}},
	{{2, 11, 18, 31}, .516129, {{.2551233, .6860531}, {.2994803, .7327778}, {.2609191, .6991590}}},
	{{150, 100, 250, 500}, .20, {{.1226878, .2749265}, {.1235865, .2764135}, {.1224613, .2748862}}},
	{{0, 5, 5, 10}, .50, {{.0620695, .7071613}, {.1901025, .8098975}, {.0837011, .7634069}}},
	{{30, 30, 30, 90}, 0, {{-.1652733, .1652733}, {-.1686868, .1686868}, {-.1668802, .1668802}}},
	{{342, 968, 1436, 2746}, .3983977, {{.3718236, .4241022}, {.3722491, .4245463}, {.3718942, .4241885}}},
};

/*
 * The equation of the score interval, solved independently of the library: the shares that make the observed
 * answers most likely when promoters less detractors is "supposed", by ternary search over the detractors.
 */
static double
log_likelihood(const RatingsGroups *g, double supposed, double d)
{
	double		p = d + supposed;
	double		rest = 1 - p - d;

	return (g->promoters > 0 ? (double) g->promoters * log(p) : 0) +
		(g->detractors > 0 ? (double) g->detractors * log(d) : 0) +
		(g->passives > 0 ? (double) g->passives * log(rest) : 0);
}

static double
score_statistic(const RatingsGroups *g, double supposed)
{
	double		low = fmax(0, -supposed);
	double		high = (1 - supposed) / 2;
	double		n = (double) g->total;
	double		distance = (double) (g->promoters - g->detractors) / n - supposed;
	double		d;

	for (int i = 0; i < 300; i++)
	{
		double		a = low + (high - low) / 3;
		double		b = high - (high - low) / 3;

		if (log_likelihood(g, supposed, a) < log_likelihood(g, supposed, b))
			low = a;
		else
			high = b;
	}
	d = (low + high) / 2;
	return n * distance * distance / (2 * d + supposed - supposed * supposed);
}

static void
test_intervals(void)
{
	double		lower;
	double		upper;

	for (size_t i = 0; i < lengthof(reference); i++)
	{
		const RatingsGroups *g = &reference[i].groups;

		CHECK(fabs((double) (g->promoters - g->detractors) / (double) g->total - reference[i].nps) < 6e-8);
		for (int method = RATINGS_ADJUSTED_WALD; method <= RATINGS_SCORE; method++)
		{
			double		tolerance = method == RATINGS_SCORE ? 4e-7 : 6e-8;

			nps_interval(g, 0.95, (RatingsMethod) method, &lower, &upper);
			CHECK(fabs(lower - reference[i].interval[method][0]) < tolerance);
			CHECK(fabs(upper - reference[i].interval[method][1]) < tolerance);
		}
		/* the ends of the score interval solve its equation */
		CHECK(near(score_statistic(g, lower), 3.841458820694124, 1e-6));
		CHECK(near(score_statistic(g, upper), 3.841458820694124, 1e-6));
	}
	wilson_interval(45, 50, 0.95, &lower, &upper);
	CHECK(fabs(lower - .78639769) < 6e-9 && fabs(upper - .95652424) < 6e-9);
	wilson_interval(0, 10, 0.95, &lower, &upper);
	CHECK(lower == 0 && near(upper, 3.841458820694124 / 13.841458820694124, 1e-14));
	wilson_interval(10, 10, 0.95, &lower, &upper);
	CHECK(upper == 1 && near(lower, 10 / 13.841458820694124, 1e-14));
}

static void
test_comparison_of_two(void)
{
	const RatingsGroups a = {10, 20, 70, 100};
	const RatingsGroups b = {20, 20, 60, 100};
	const RatingsGroups same = {0, 0, 5, 5};
	RatingsTest t;

	nps_test(&a, &b, 0.95, RATINGS_WALD, &t);
	CHECK(fabs(t.difference - .2) < 1e-12 && fabs(t.standard_error - .103923) < 6e-7);
	CHECK(fabs(t.p_value - .0542918) < 6e-8);
	CHECK(fabs(t.lower + .0036854) < 6e-8 && fabs(t.upper - .4036854) < 6e-8);
	nps_test(&a, &b, 0.95, RATINGS_ADJUSTED_WALD, &t);
	CHECK(fabs(t.difference - .1941748) < 6e-8 && fabs(t.standard_error - .1029834) < 6e-8);
	CHECK(fabs(t.p_value - .0593629) < 6e-8);
	CHECK(fabs(t.lower + .0076690) < 6e-8 && fabs(t.upper - .3960185) < 6e-8);
	nps_test(&same, &same, 0.95, RATINGS_WALD, &t);
	CHECK(t.standard_error == 0 && isnan(t.z) && isnan(t.p_value) && t.lower == 0);
}

/* Computed with 40 digits (mpmath) */
static void
test_quantiles(void)
{
	static const struct
	{
		double		confidence;
		double		df;
		double		t;
	}			table[] =
	{
		{0.5, 1, 1.0},
		{0.5, 3, 0.764892328404345281},
		{0.5, 5, 0.726686843800422653},
		{0.5, 10, 0.699812061312431627},
		{0.5, 29, 0.68304386082161315},
		{0.5, 30, 0.682755693321292553},
		{0.5, 100, 0.676951043011471478},
		{0.5, 999, 0.67473541034671903},
		{0.5, 1000, 0.674735164607009437},
		{0.5, 1001, 0.674734919358447065},
		{0.5, 2745, 0.674579135946025145},
		{0.5, 10000, 0.674514284483592434},
		{0.9, 1, 6.3137515146750431},
		{0.9, 2, 2.91998558035372569},
		{0.9, 3, 2.35336343480182388},
		{0.9, 5, 2.01504837333302424},
		{0.9, 10, 1.81246112281167641},
		{0.9, 29, 1.69912702653349775},
		{0.9, 30, 1.69726088659395785},
		{0.9, 100, 1.66023432608533956},
		{0.9, 999, 1.64638034542753565},
		{0.9, 1000, 1.64637881728546472},
		{0.9, 1001, 1.64637729219946816},
		{0.9, 2745, 1.64540892263678716},
		{0.9, 10000, 1.64500601806924296},
		{0.95, 1, 12.7062047361747046},
		{0.95, 2, 4.30265272974946385},
		{0.95, 3, 3.18244630528370959},
		{0.95, 5, 2.57058183563631551},
		{0.95, 10, 2.22813885198627475},
		{0.95, 29, 2.0452296421327043},
		{0.95, 30, 2.04227245630123831},
		{0.95, 100, 1.98397151852355229},
		{0.95, 999, 1.96234146113344998},
		{0.95, 1000, 1.96233908082640848},
		{0.95, 1001, 1.96233670528087992},
		{0.95, 2745, 1.96082857463193702},
		{0.95, 10000, 1.96020123989062626},
		{0.99, 1, 63.656741162871581},
		{0.99, 2, 9.92484320091829311},
		{0.99, 3, 5.84090930973335726},
		{0.99, 5, 4.03214298355522808},
		{0.99, 10, 3.16927267261695123},
		{0.99, 29, 2.75638590367060549},
		{0.99, 30, 2.74999565356722533},
		{0.99, 100, 2.62589052143801793},
		{0.99, 999, 2.58075963726763684},
		{0.99, 1000, 2.58075469806595108},
		{0.99, 1001, 2.58074976875052499},
		{0.99, 2745, 2.5776215686503481},
		{0.99, 10000, 2.57632104666852889},
		{0.999, 1, 636.619248768719616},
		{0.999, 2, 31.5990545764436207},
		{0.999, 3, 12.9239786366874831},
		{0.999, 5, 6.86882662588111025},
		{0.999, 10, 4.5868938587026359},
		{0.999, 29, 3.65940501946633286},
		{0.999, 30, 3.64595863504202182},
		{0.999, 100, 3.39049131116422992},
		{0.999, 999, 3.30029244039873548},
		{0.999, 1000, 3.30028264842391291},
		{0.999, 1001, 3.30027287606600913},
		{0.999, 2745, 3.29407473074486982},
		{0.999, 10000, 3.29149996594160468},
	};

	CHECK(near(normal_two_sided(0.5), 0.674489750196081743, 1e-14));
	CHECK(near(normal_two_sided(0.95), 1.95996398454005424, 1e-14));
	CHECK(near(normal_two_sided(0.99), 2.57582930354890076, 1e-14));
	CHECK(near(normal_two_sided(0.999), 3.29052673149189793, 1e-13));
	CHECK(normal_quantile(0.5) == 0);
	CHECK(near(normal_quantile(1e-300), -37.0471, 1e-5));
	for (size_t i = 0; i < lengthof(table); i++)
		CHECK(near(student_two_sided(table[i].confidence, table[i].df), table[i].t, 1e-11));
	/* no jump where one method takes over from the other, and the normal quantile in the end */
	for (double confidence = 0.01; confidence < 0.9999; confidence += 0.01)
	{
		double		before = student_two_sided(confidence, 1000);
		double		after = student_two_sided(confidence, 1000.0000001);

		CHECK(near(before, after, 1e-9));
		CHECK(near(student_two_sided(confidence, 1e18), normal_two_sided(confidence), 1e-14));
		for (double df = 1; df < 2000; df *= 1.7)
			CHECK(student_two_sided(confidence, df) > student_two_sided(confidence, df * 1.7));
	}
}

static void
test_percentiles(void)
{
	Ratings		r = parsed("1..5:{0,1,1,0,2}");

	CHECK(ratings_percentile_disc(&r, 4, 0) == 2);
	CHECK(ratings_percentile_disc(&r, 4, 0.25) == 2);
	CHECK(ratings_percentile_disc(&r, 4, 0.26) == 3);
	CHECK(ratings_percentile_disc(&r, 4, 0.5) == 3);
	CHECK(ratings_percentile_disc(&r, 4, 0.51) == 5);
	CHECK(ratings_percentile_disc(&r, 4, 1) == 5);
	CHECK(ratings_percentile_cont(&r, 4, 0.5) == 4);
	CHECK(near(ratings_percentile_cont(&r, 4, 0.25), 2.75, 1e-15));
	/* counts beyond what a double tells apart: still a score that was given */
	r = parsed("1..3:{9223372036854775806,1,0}");
	CHECK(ratings_percentile_disc(&r, INT64_MAX, 1) == 2);
	CHECK(ratings_percentile_disc(&r, INT64_MAX, 0) == 1);
	CHECK(ratings_percentile_cont(&r, INT64_MAX, 1) == 2);
}

/* Whatever was counted, reading it neither traps nor leaves its bounds */
static void
fuzz_values(void)
{
	for (int i = 0; i < 200000; i++)
	{
		Ratings		a = random_ratings();
		Ratings		b = random_ratings();
		Ratings		sum = a;
		Ratings		back;
		char		text[RATINGS_TEXT_SIZE];
		RatingsGroups groups;
		RatingsStatus status;
		int			point = 0;
		bool		ok = true;

		ok &= ratings_check(&a) == RATINGS_OK;
		ratings_format(&a, text);
		ok &= ratings_parse(text, &back) == RATINGS_OK && memcmp(&a, &back, sizeof(Ratings)) == 0;
		ok &= (ratings_compare(&a, &b) == 0) == (memcmp(&a, &b, sizeof(Ratings)) == 0);
		ok &= ratings_compare(&a, &b) == -ratings_compare(&b, &a);

		status = ratings_add(&sum, &b, &point);
		ok &= ratings_check(&sum) == RATINGS_OK;
		if (status == RATINGS_OK)
		{
			Ratings		other = b;

			ok &= ratings_add(&other, &a, &point) == RATINGS_OK && ratings_compare(&sum, &other) == 0;
			ok &= ratings_subtract(&sum, &b, &point) == RATINGS_OK;
			ok &= a.points == 0 || ratings_compare(&sum, &a) == 0;
		}
		else if (status == RATINGS_TOO_MANY)
			ok &= ratings_compare(&sum, &a) == 0 && point < a.points;
		else
			ok &= status == RATINGS_SCALES_DIFFER && (a.lo != b.lo || a.points != b.points);

		if (ratings_groups(&a, a.lo + 1, ratings_hi(&a), &groups) && groups.total > 0)
		{
			double		confidence = 0.5 + 0.4999 * (double) below(1000) / 1000;
			double		lower;
			double		upper;
			double		mean = ratings_mean(&a, groups.total);
			double		fraction = (double) below(1001) / 1000;
			int			disc = ratings_percentile_disc(&a, groups.total, fraction);
			double		cont = ratings_percentile_cont(&a, groups.total, fraction);

			ok &= groups.detractors + groups.passives + groups.promoters == groups.total;
			ok &= mean >= a.lo - 1e-9 && mean <= ratings_hi(&a) + 1e-9;
			ok &= ratings_squares(&a, groups.total) >= 0;
			ok &= a.count[disc - a.lo] > 0;
			ok &= cont >= a.lo && cont <= ratings_hi(&a);
			for (int method = RATINGS_ADJUSTED_WALD; method <= RATINGS_SCORE; method++)
			{
				nps_interval(&groups, confidence, (RatingsMethod) method, &lower, &upper);
				ok &= lower >= -1 && lower <= upper && upper <= 1;
			}
			wilson_interval(groups.promoters, groups.total, confidence, &lower, &upper);
			ok &= lower >= 0 && lower <= upper && upper <= 1;
		}
		CHECK(ok);
	}
}

/* Any text is a value or an error, and a value has one text */
static void
fuzz_text(void)
{
	static const char alphabet[] = "0123456789..::{{}},,-- \t\nemptyEMPTY+x\xff";
	int			accepted = 0;
	bool		ok = true;

	for (int i = 0; i < 500000; i++)
	{
		char		text[RATINGS_TEXT_SIZE + 8];
		char		again[RATINGS_TEXT_SIZE];
		Ratings		r = random_ratings();
		Ratings		back;
		size_t		len;

		ratings_format(&r, text);
		len = strlen(text);
		for (int j = below(4); j > 0; j--)
		{
			size_t		place = (size_t) below((int) len + 1);
			char		c = alphabet[below((int) sizeof(alphabet) - 1)];

			if (below(2) == 0 && len > 0)
				text[place == len ? len - 1 : place] = c;
			else if (below(2) == 0)
				text[len = place] = '\0';
			else
			{
				memmove(text + place + 1, text + place, len - place + 1);
				text[place] = c;
				len++;
			}
		}
		if (ratings_parse(text, &r) != RATINGS_OK)
			continue;
		accepted++;
		ok &= ratings_check(&r) == RATINGS_OK;
		ratings_format(&r, again);
		ok &= ratings_parse(again, &back) == RATINGS_OK && memcmp(&r, &back, sizeof(Ratings)) == 0;
	}
	CHECK(ok);
	CHECK(accepted > 100000 && accepted < 450000);
}

/* Damaged bytes are noticed */
static void
fuzz_bytes(void)
{
	bool		ok = true;

	for (int i = 0; i < 200000; i++)
	{
		Ratings		r = random_ratings();
		unsigned char *bytes = (unsigned char *) &r;

		bytes[below((int) sizeof(Ratings))] = (unsigned char) next_random();
		if (ratings_check(&r) == RATINGS_OK)
		{
			char		text[RATINGS_TEXT_SIZE];
			Ratings		back;

			ratings_format(&r, text);
			ok &= ratings_parse(text, &back) == RATINGS_OK && memcmp(&r, &back, sizeof(Ratings)) == 0;
		}
	}
	CHECK(ok);
}

int
main(void)
{
	test_scale();
	test_counting();
	test_intervals();
	test_comparison_of_two();
	test_quantiles();
	test_percentiles();
	fuzz_values();
	fuzz_text();
	fuzz_bytes();
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}
