/*
 * src/journey.h
 *		How other modules read and make values of type cxm.journey.
 *
 * A function that reads one journey a row keeps a buffer in fn_extra:
 *
 *		if (fcinfo->flinfo->fn_extra == NULL)
 *			fcinfo->flinfo->fn_extra = cxm_journey_buffer(fcinfo->flinfo->fn_mcxt);
 *		cxm_journey_read(PG_GETARG_DATUM(0), fcinfo->flinfo->fn_extra, &events);
 *
 * A kernel that needs few of the times opens a view instead and asks journey_code(), journey_at() (journey_core.h);
 * where view.code_shift is 0, which is the rule, view.codes are the codes, a byte each.
 *
 * Both take what is packed and what an aggregate has not packed yet, and raise data_corrupted (XX001) for bytes that
 * are no journey. What they give is good until the next call with the same buffer, and a view only as long as the
 * memory context of the call.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_JOURNEY_H
#define CXM_JOURNEY_H

#include "cxm.h"
#include "journey_core.h"

/* decoded events of one journey at a time; grows, and gives memory back after a giant */
typedef struct JourneyBuffer JourneyBuffer;

extern JourneyBuffer *cxm_journey_buffer(MemoryContext context);

/* all events, decoded */
extern void cxm_journey_read(Datum journey, JourneyBuffer *buffer, JourneyEvents *events);

/* the packed bytes, opened */
extern void cxm_journey_view(Datum journey, JourneyBuffer *buffer, JourneyView *view);

/* a journey of events that are in order; raises program_limit_exceeded (54000) beyond 1 GB */
extern Datum cxm_journey_make(size_t count, const int64_t *at, const int32_t *code);

/* one of events that are in any order, and are brought into it */
extern Datum cxm_journey_of_events(JourneyEvent *events, size_t count);

/* all events of two; those of the first without those of the second, which raises invalid_parameter_value (22023) */
extern Datum cxm_journey_sum(Datum first, Datum second, JourneyBuffer *buffer);
extern Datum cxm_journey_difference(Datum first, Datum second, JourneyBuffer *buffer);

extern bool cxm_journey_is_empty(Datum journey);

/* CHECK_FOR_INTERRUPTS() as a function, for the loops of a core */
extern void cxm_journey_poll(void);

#endif							/* CXM_JOURNEY_H */
