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
	HIDDEN_SMALL,				/* too few people */
	HIDDEN_WITH_OTHERS,			/* else a group too small could be told by subtraction */
	HIDDEN_WITH_PARENT			/* part of a group that is not shown */
} Suppression;

/*
 * A group; it lies within the group parent, which comes before it, and the first one, of everybody, in none. What the
 * groups within a group do not account for are people of it who are in none of them.
 */
typedef struct SuppressionGroup
{
	int64_t		people;
	int32_t		parent;			/* its place; -1: none */
} SuppressionGroup;

extern bool suppression_is_sound(const SuppressionGroup *groups, size_t n, int64_t *within, size_t *where);
extern void suppress(const SuppressionGroup *groups, size_t n, int64_t least, int64_t *within, Suppression *result);

#endif							/* SUPPRESSION_CORE_H */
