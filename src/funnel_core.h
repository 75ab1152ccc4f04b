/*
 * src/funnel_core.h
 *		How far does a journey come through a sequence of steps within a window of time?
 *
 * Nothing here knows PostgreSQL: the same code runs in test/unit without a server. Memory is the caller's. What
 * every mode means stands in docs/funnel.md; funnel_core.c says how it is found.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef FUNNEL_CORE_H
#define FUNNEL_CORE_H

#include "journey_core.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* the words of a mode */
#define FUNNEL_STRICT_DEDUPLICATION	0x01
#define FUNNEL_STRICT_ORDER			0x02
#define FUNNEL_ALLOW_REENTRY		0x04
#define FUNNEL_STRICT_INCREASE		0x08
#define FUNNEL_STRICT_ONCE			0x10
#define FUNNEL_STRICT				0x20
#define FUNNEL_ANY_ORDER			0x40

/* no time at all; no event has it */
#define FUNNEL_NEVER				INT64_MIN

/* the most steps, which keeps every index in 32 bits; memory sets a lower limit */
#define FUNNEL_MAX_STEPS			1000000

/* codes below it are looked up in a table */
#define FUNNEL_LOW_CODES			256

typedef enum FunnelStatus
{
	FUNNEL_OK,
	FUNNEL_UNKNOWN_WORD,		/* not a word of a mode */
	FUNNEL_WORDS_CLASH			/* words that do not go together */
} FunnelStatus;

/*
 * A sequence of steps, ready to be looked for. Events are told apart by class: class 0 is what no step and no
 * exclusion names, the others fulfil steps, counted from 1, or are excluded events, or both. All events of a
 * class are alike.
 *
 * Lists of lists are one array of numbers and one of places: class c fulfils step[step_start[c]] up to, but not
 * including, step[step_start[c + 1]], in ascending order.
 */
typedef struct FunnelPlan
{
	unsigned	mode;			/* FUNNEL_STRICT_ORDER ... */
	int			nsteps;
	int64_t		within;			/* length of the window, both ends included */
	uint32_t	nclasses;		/* classes 1 to nclasses */
	uint32_t   *step_start;		/* nclasses + 2 */
	int32_t    *step;
	uint32_t   *class_start;	/* nsteps + 2: the classes that fulfil a step */
	uint32_t   *class_of;

	/* excluded events: exclusion x concerns the way from step from[x] to step to[x] */
	int			nexclusions;
	bool		cut;			/* they end a chain; else they void the attempt */
	int32_t    *from;
	int32_t    *to;
	uint32_t   *excluded_start; /* nclasses + 2: the exclusions that a class falls under */
	uint32_t   *excluded;

	/* which class is a code? */
	uint32_t	low[FUNNEL_LOW_CODES];
	int32_t		low_step[FUNNEL_LOW_CODES]; /* of a plain plan: the step, 0 for none */
	uint32_t	hash_shift;
	uint32_t	hash_mask;
	int32_t    *hash_code;
	uint32_t   *hash_class;		/* 0 is a free place */

	bool		is_plain;		/* no class has two steps, none is excluded, and the mode asks for nothing but
								 * chains: cxm_funnel_level_plain() may be used */
} FunnelPlan;

/* What a search needs besides; its size depends on the plan and the number of events */
typedef struct FunnelWork FunnelWork;

/* called now and then in long searches; may not return */
typedef void (*FunnelPoll) (void);

extern FunnelStatus cxm_funnel_parse_mode(const char *text, size_t length, unsigned *mode,
									  const char **word, size_t *word_length);

extern size_t cxm_funnel_plan_size(int nsteps, const uint32_t *ncodes, int nexclusions, const uint32_t *nexcluded);
extern FunnelPlan *cxm_funnel_plan_codes(void *memory, unsigned mode, int64_t within, int nsteps,
									 const int32_t *const *codes, const uint32_t *ncodes, int nexclusions,
									 const int32_t *const *excluded, const uint32_t *nexcluded,
									 const int32_t *from, const int32_t *to, bool cut);
extern size_t cxm_funnel_plan_rows_size(int nsteps, size_t nmasks, const uint8_t *masks, size_t mask_size);
extern FunnelPlan *cxm_funnel_plan_rows(void *memory, unsigned mode, int64_t within, int nsteps,
									size_t nmasks, const uint8_t *masks, size_t mask_size);

extern size_t cxm_funnel_work_size(const FunnelPlan *plan, size_t count, bool times);
extern FunnelWork *cxm_funnel_work(void *memory, const FunnelPlan *plan, size_t count, bool times);

extern size_t cxm_funnel_plain_size(const FunnelPlan *plan);
extern int	cxm_funnel_level_plain(const FunnelPlan *plan, const JourneyView *view, void *memory);
extern int	cxm_funnel_level(const FunnelPlan *plan, FunnelWork *work, size_t count, const int64_t *at,
						 const uint32_t *class, FunnelPoll poll);
extern int	cxm_funnel_times(const FunnelPlan *plan, FunnelWork *work, size_t count, const int64_t *at,
						 const uint32_t *class, int64_t *times, FunnelPoll poll);

/* The class of a code */
static inline uint32_t
funnel_class(const FunnelPlan *plan, int32_t code)
{
	uint32_t	place;

	if ((uint32_t) code < FUNNEL_LOW_CODES)
		return plan->low[code];
	place = ((uint32_t) code * UINT32_C(2654435769)) >> plan->hash_shift;
	while (plan->hash_class[place] != 0 && plan->hash_code[place] != code)
		place = (place + 1) & plan->hash_mask;
	return plan->hash_class[place];
}

/* The only step that a class fulfils, in a plan that is plain; 0 for none */
static inline int32_t
funnel_plain_step(const FunnelPlan *plan, int32_t code)
{
	uint32_t	class = funnel_class(plan, code);

	return class == 0 ? 0 : plan->step[plan->step_start[class]];
}

#endif							/* FUNNEL_CORE_H */
