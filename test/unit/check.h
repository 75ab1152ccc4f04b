/*
 * test/unit/check.h
 *		What most unit tests begin and end with.
 *
 * A test calls check() for all that must hold and returns report() from main(): its last line is "N passed, N failed".
 */
#ifndef CXM_TEST_CHECK_H
#define CXM_TEST_CHECK_H

#include <stdint.h>
#include <stdio.h>

static int	passed = 0;
static int	failed = 0;

static void
check(int ok, const char *what)
{
	if (ok)
		passed++;
	else if (failed++ < 20)
		printf("not ok: %s\n", what);
}

/* the exit status */
static int
report(void)
{
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}

/* a small generator of our own, so that every run is the same */
static uint64_t seed = 42;

/* 64 bits, the high ones better than the low ones */
static inline uint64_t
next_step(void)
{
	return seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
}

static inline uint32_t
next_random(uint32_t bound)
{
	return (uint32_t) (next_step() >> 33) % bound;
}

#endif							/* CXM_TEST_CHECK_H */
