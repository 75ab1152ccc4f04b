/*
 * src/path_core.h
 *		What follows what: sessions, paths from an event on, and counts of transitions with the time they take.
 *
 * Nothing here knows PostgreSQL: the same code runs in test/unit without a server.
 *
 * Counts of transitions are one block of memory without pointers, so that it can be the state of an aggregate: a
 * table of pairs (from, to), and one of (pair, gap) with how often it occurs, which is what a median is read from.
 * Gaps are exact while there are few different ones, which is always so for few customers. Beyond a limit all are
 * cut to nine significant bits, then to seven, five, three, one. Which, depends on the number of different gaps of
 * all transitions and on nothing else, so any order of events and of merging gives the same block but for the
 * places in it.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef PATH_CORE_H
#define PATH_CORE_H

#include "journey_core.h"

/* different gaps that are kept */
#define PATH_GAPS_LIMIT (1 << 19)

/* gaps are exact at level 0 and have one significant bit at the last one */
#define PATH_LAST_LEVEL 5

typedef struct PathPair
{
	int32_t		from;
	int32_t		to;
	uint64_t	count;			/* 0 is a free place */
	uint64_t	customers;
	uint64_t	serial;			/* of the customer counted last */
	uint64_t	sum_low;		/* of gaps, in microseconds: 128 bits */
	uint64_t	sum_high;
} PathPair;

/* A quarter of a line of the processor's cache. What occurs more often than a count can tell has a second place. */
typedef struct PathGap
{
	uint64_t	gap;			/* microseconds */
	uint32_t	pair;			/* place among the pairs */
	uint32_t	count;			/* 0 is a free place */
} PathGap;

/* transitions that are counted at once */
#define PATH_BATCH 32

typedef struct PathTransition
{
	int32_t		from;
	int32_t		to;
	uint64_t	gap;			/* microseconds */
} PathTransition;

/* Followed by pair_places pairs and gap_places gaps, both powers of two */
typedef struct PathTable
{
	uint32_t	magic;
	uint32_t	level;
	uint32_t	pair_places;
	uint32_t	pairs;
	uint32_t	gap_places;
	uint32_t	gaps;
	uint32_t	limit;			/* of gaps */
	uint32_t	zero;
	uint64_t	serial;			/* customers so far */
} PathTable;

extern size_t cxm_path_table_size(uint64_t pair_places, uint64_t gap_places);
extern void cxm_path_table_begin(PathTable *table, uint32_t pair_places, uint32_t gap_places, uint32_t limit,
								 uint32_t level);

/*
 * Do the sizes agree, so that bytes of a stranger can be read as a table? What else may be wrong with them makes the
 * functions below return false, or rows that mean nothing.
 */
extern bool cxm_path_table_is_sound(const PathTable *table, size_t size);

/* Is there room for so many more pairs and gaps? If not, the places of a table that has it */
extern bool cxm_path_table_has_room(const PathTable *table, uint32_t pairs, uint32_t gaps);
extern void cxm_path_table_next_size(const PathTable *table, uint32_t pairs, uint32_t gaps, uint64_t *pair_places,
									 uint64_t *gap_places);

/* Would a table of fewer places be better? They are told */
extern bool cxm_path_table_is_roomy(const PathTable *table, uint64_t *gap_places);

/*
 * Are there more gaps than the limit? Then the table is to be merged into one of the next level, and so on. To be
 * asked after transitions are added, and after a merge.
 */
static inline bool
path_table_is_over(const PathTable *table)
{
	return table->gaps > table->limit && table->level < PATH_LAST_LEVEL;
}

/* Put everything of a table into one that has room, and whose level is no lower */
extern bool cxm_path_table_merge(PathTable *into, const PathTable *from, JourneyPoll poll);

/* Count up to PATH_BATCH transitions of the customer table->serial, from 1; there must be room for as many */
extern bool cxm_path_table_add(PathTable *table, const PathTransition *transitions, size_t n);

static inline PathPair *
path_pairs(const PathTable *table)
{
	return (PathPair *) ((char *) table + sizeof(PathTable));
}

static inline PathGap *
path_gaps(const PathTable *table)
{
	return (PathGap *) (path_pairs(table) + table->pair_places);
}

/* One pair, read */
typedef struct PathRow
{
	int32_t		from;
	int32_t		to;
	uint64_t	customers;
	uint64_t	count;
	uint64_t	mean;			/* microseconds */
	uint64_t	median;
} PathRow;

/*
 * Rows of all pairs in the order of (from, to), how many: gaps has room for table->gaps, starts for table->pair_places
 * and one more, rows for table->pairs
 */
extern uint32_t cxm_path_table_read(const PathTable *table, PathGap *gaps, uint32_t *starts, PathRow *rows);

/* Number of sessions: a new one begins after a gap of more than so many microseconds */
extern uint64_t cxm_path_count_sessions(const JourneyView *view, uint64_t gap, JourneyPoll poll);

/* The event behind the session that begins with event i */
extern size_t cxm_path_session_end(const JourneyView *view, size_t i, uint64_t gap);

/*
 * Up to so many events, of those from low to before high, from event i on, forward or backward: where they are. With
 * collapse, events of one code in a row are one, the first of them by time.
 */
extern size_t cxm_path_walk(const JourneyView *view, size_t low, size_t high, size_t i, bool forward, bool collapse,
							size_t most, size_t *path);

#endif							/* PATH_CORE_H */
