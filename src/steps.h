/*
 * src/steps.h
 *		Steps as SQL names them: codes, or sets of codes.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_STEPS_H
#define CXM_STEPS_H

#include "cxm.h"
#include "utils/array.h"
#include "utils/jsonb.h"

/* Steps, as pairs of a code and a step that it fulfils, from 0; ascending, each once */
typedef struct CxmSteps
{
	int			count;
	Size		pairs;
	int32	   *code;
	uint32	   *step;
} CxmSteps;

/* Read into the current memory context: an array has a code a step, a JSON array a code or an array of codes a step */
extern void cxm_read_steps(ArrayType *array, const char *name, CxmSteps *steps);
extern void cxm_read_json_steps(Jsonb *json, const char *name, CxmSteps *steps);

/* One more than the first pair of a code, or 0 */
static inline uint32
cxm_find_code(const CxmSteps *steps, int32 code)
{
	Size		low = 0;
	Size		high = steps->pairs;

	while (low < high)
	{
		Size		middle = low + (high - low) / 2;

		if (steps->code[middle] < code)
			low = middle + 1;
		else
			high = middle;
	}
	return low < steps->pairs && steps->code[low] == code ? (uint32) low + 1 : 0;
}

#endif							/* CXM_STEPS_H */
