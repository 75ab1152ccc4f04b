/*
 * test/bench/sequence_kernels.c
 *		How many events a second do the kernels of sequences and sessions take, over arrays in memory?
 *
 * Journeys of 40 events of 12 codes, 10 million events in all. The goals are the rates that the DuckDB extension
 * "behavioral" publishes for a core: 92.7 million events a second of sequence_match, 63.5 of sequence_count, 824 of
 * sessionize.
 */
#include "path_core.h"
#include "sequence_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CUSTOMERS 250000
#define LENGTH 40
#define RUNS 7

static uint8_t codes[(size_t) CUSTOMERS * LENGTH];
static int64_t times[(size_t) CUSTOMERS * LENGTH];
static JourneyView views[CUSTOMERS];
static uint64_t seed = 42;

static uint32_t
next_random(uint32_t bound)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t) (seed >> 33) % bound;
}

static void
poll(void)
{
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
make_journeys(void)
{
	for (size_t c = 0; c < CUSTOMERS; c++)
	{
		int64_t		at = (int64_t) next_random(1000000) * 1000000;
		int32_t		code[LENGTH];
		JourneyShape shape;
		uint8_t    *bytes;

		for (size_t i = 0; i < LENGTH; i++)
		{
			uint32_t	a = next_random(13);
			uint32_t	b = next_random(13);

			at += (int64_t) next_random(400000) * 1000000;
			times[c * LENGTH + i] = at;
			codes[c * LENGTH + i] = (uint8_t) (1 + (a < b ? a : b));
			code[i] = codes[c * LENGTH + i];
		}
		cxm_journey_measure(LENGTH, times + c * LENGTH, code, poll, &shape);
		bytes = malloc(shape.size);
		if (bytes == NULL)
			exit(1);
		cxm_journey_write(&shape, times + c * LENGTH, code, poll, bytes);
		if (cxm_journey_open(bytes, shape.size, &views[c]) != NULL)
			exit(1);
	}
}

/* goal in millions of events a second; 0 for none */
static void
report(const char *name, double best, uint64_t answer, double goal)
{
	double		rate = (double) CUSTOMERS * LENGTH / best / 1e6;

	printf("%-76s %9.1f million events/s", name, rate);
	if (goal > 0)
		printf(", goal %.1f %s\n", goal, rate >= goal ? "ok" : "MISS");
	else
		printf(" (%llu)\n", (unsigned long long) answer);
}

static void
sequences(const char *text, bool only_first, double goal)
{
	SequenceElement elements[64];
	SequenceElement relaxed_elements[64];
	SequencePattern pattern;
	SequencePattern relaxed;
	SequenceMachine machine;
	SequenceMachine relaxed_machine;
	size_t		position;
	void	   *scratch;
	double		best = 1e9;
	uint64_t	answer = 0;
	char		name[100];

	if (cxm_sequence_parse(text, strlen(text), 3, elements, &pattern, &position) != SEQUENCE_OK)
		exit(1);
	cxm_sequence_relax(&pattern, relaxed_elements, &relaxed);
	cxm_sequence_machine(&machine, &pattern, 256, malloc(cxm_sequence_machine_size(&pattern, 256)));
	cxm_sequence_machine(&relaxed_machine, &relaxed, 256, malloc(cxm_sequence_machine_size(&relaxed, 256)));
	for (uint32_t code = 1; code <= 3; code++)
	{
		cxm_sequence_tell(&machine, code, code - 1);
		cxm_sequence_tell(&relaxed_machine, code, code - 1);
	}
	scratch = malloc(cxm_sequence_scratch_size(&machine, LENGTH, false));
	for (int run = 0; run < RUNS; run++)
	{
		double		start = seconds();

		answer = 0;
		for (size_t c = 0; c < CUSTOMERS; c++)
		{
			SequenceEvents events = {LENGTH, codes + c * LENGTH, NULL, times + c * LENGTH, NULL};

			if (pattern.comparisons == 0 || cxm_sequence_count(&relaxed_machine, &events, true, scratch, NULL, NULL) > 0)
				answer += cxm_sequence_count(&machine, &events, only_first, scratch, NULL, NULL);
		}
		if (seconds() - start < best)
			best = seconds() - start;
	}
	snprintf(name, sizeof(name), "kernel, %s %s", only_first ? "match" : "count", text);
	report(name, best, answer, goal);
	free(scratch);
}

int
main(void)
{
	double		best = 1e9;
	uint64_t	answer = 0;

	make_journeys();
	sequences("(?1).*(?2).*(?3)", true, 92.7);
	sequences("(?1)(?2)(?3)", true, 92.7);
	sequences("(?1)(?t<=86400)(?2)", true, 92.7);
	sequences("(?1).*(?2).*(?3)", false, 63.5);
	sequences("(?1)(?2)", false, 63.5);
	sequences("(?1)(?t<=86400)(?2)", false, 63.5);
	sequences("(?1)(?t>=86400)(?2)", false, 63.5);
	sequences("(?1)(?t<=86400)(?2)(?t<=86400)(?3)", false, 63.5);
	for (int run = 0; run < RUNS; run++)
	{
		double		start = seconds();

		answer = 0;
		for (size_t c = 0; c < CUSTOMERS; c++)
			answer += cxm_path_count_sessions(&views[c], UINT64_C(86400000000), NULL);
		if (seconds() - start < best)
			best = seconds() - start;
	}
	report("kernel, sessions of packed journeys", best, answer, 824);
	return 0;
}
