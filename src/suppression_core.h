/*
 * src/suppression_core.h
 *		Which counts of nested groups may be shown, so that nobody can tell what a small group said.
 *
 * Nothing here knows PostgreSQL: the same code runs in test/unit without a server.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef SUPPRESSION_CORE_H
#define SUPPRESSION_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum Suppression
{
	SHOWN,
	HIDDEN_SMALL,				/* too few people, or all of them say the same */
	HIDDEN_WITH_OTHERS,			/* else such a part could be told by subtraction, or by another question */
	HIDDEN_WITH_PARENT			/* part of a group that is not shown */
} Suppression;

/*
 * A group; it lies within the group parent, which comes before it, and the first one, of everybody, in none. What the
 * groups within a group do not account for are people of it who are in none of them.
 */
typedef struct SuppressionGroup
{
	const int64_t *counts;		/* for each question its people, then how many gave each answer, if that is known */
	int32_t		parent;			/* its place; -1: none */
} SuppressionGroup;

/* How many questions there are, and answers to each; 0: what people say is not known */
typedef struct SuppressionShape
{
	size_t		questions;
	size_t		answers;
} SuppressionShape;

/* What the functions work in: room for a number a group and count, and a group */
typedef struct SuppressionRoom
{
	int64_t    *counts;
	int32_t    *smallest;
	bool	   *alike;
	bool	   *alone;
	bool	   *together;
} SuppressionRoom;

extern bool suppression_is_sound(const SuppressionGroup *groups, size_t n, SuppressionShape shape, SuppressionRoom room,
								 size_t *where);
extern void suppress(const SuppressionGroup *groups, size_t n, SuppressionShape shape, int64_t least,
					 SuppressionRoom room, Suppression *result);

#endif							/* SUPPRESSION_CORE_H */
