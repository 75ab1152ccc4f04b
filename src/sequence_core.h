/*
 * src/sequence_core.h
 *		Patterns of events: does one occur, how often, and when?
 *
 * Nothing here knows PostgreSQL: the same code runs in test/unit without a server.
 *
 * A pattern is a row of elements: (?N) takes an event that fulfils condition N, "." takes any event, ".*" passes
 * over any number of events, and (?t<=S) and its like pass over as many events as it takes to come to one whose
 * time fulfils the comparison with the time of the event taken last. Events that fulfil no condition at all do
 * not exist for a pattern.
 *
 * A pattern that starts with the fewest events passed over, and passes over the fewest at every later element,
 * takes every element at the earliest event at which any match can take it. (Let two matches, of which one takes
 * some element earlier and a later one later than the other. In between they cross at an element that passes over
 * events, and there the one could have gone on as the other does.) So a search that goes back and tries again is
 * not needed: one pass keeps the set of elements that may come next, a bit each, and the first match to be
 * complete is the one that such a search would find. What a comparison of times must remember is one time, the
 * latest for "at most" and the earliest for "at least"; for "exactly" it is a bit an event.
 *
 * Work is at most events * (elements / 64 + 1 + comparisons of times), whatever the pattern and the events.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef SEQUENCE_CORE_H
#define SEQUENCE_CORE_H

#include "journey_core.h"

/* elements of a pattern at most */
#define SEQUENCE_MAX_ELEMENTS 16384

typedef enum SequenceKind
{
	SEQUENCE_CONDITION,			/* (?N) */
	SEQUENCE_ANY,				/* . */
	SEQUENCE_AT_MOST,			/* (?t<=S) */
	SEQUENCE_LESS,				/* (?t<S) */
	SEQUENCE_AT_LEAST,			/* (?t>=S) */
	SEQUENCE_MORE,				/* (?t>S) */
	SEQUENCE_EXACTLY			/* (?t==S) */
} SequenceKind;

typedef struct SequenceElement
{
	SequenceKind kind;
	bool		star;			/* any number of events may be passed over in front of it */
	uint32_t	condition;		/* of SEQUENCE_CONDITION, from 0 */
	uint64_t	duration;		/* of a comparison of times, in microseconds */
} SequenceElement;

typedef struct SequencePattern
{
	size_t		count;
	SequenceElement *elements;
	size_t		comparisons;	/* elements that compare times */
	size_t		exact;			/* those of them that are SEQUENCE_EXACTLY */
	size_t		empty_from;		/* from this element on nothing more is needed where the events are over */
} SequencePattern;

typedef enum SequenceStatus
{
	SEQUENCE_OK,
	SEQUENCE_BAD_ELEMENT,
	SEQUENCE_NO_NUMBER,
	SEQUENCE_NO_COMPARISON,
	SEQUENCE_NOT_CLOSED,
	SEQUENCE_NO_SUCH_CONDITION,
	SEQUENCE_TIME_AFTER_TIME,
	SEQUENCE_TIME_TOO_LONG,
	SEQUENCE_TOO_MANY
} SequenceStatus;

/*
 * A pattern for events that are symbols: 0 to symbols - 1, where what a symbol fulfils is told once. All memory
 * is the caller's: cxm_sequence_machine_size() bytes for one, aligned to 8.
 */
typedef struct SequenceMachine
{
	const SequencePattern *pattern;
	size_t		symbols;
	size_t		words;			/* of a set of elements, the end of the pattern among them */
	uint64_t   *takes;			/* for every symbol the elements that take it */
	uint64_t   *keeps;			/* for every symbol what stays when it comes; of the first word only */
	uint64_t   *star;
	uint64_t   *times;			/* elements that compare times */
	uint64_t   *conditions;		/* elements that are SEQUENCE_CONDITION */
	bool	   *exists;			/* for every symbol: does it fulfil any condition? */
} SequenceMachine;

/* Events: symbols as bytes or as words, times as an array or as a journey. Ascending by time. */
typedef struct SequenceEvents
{
	size_t		count;
	const uint8_t *bytes;		/* or NULL */
	const uint32_t *words;
	const int64_t *at;			/* or NULL */
	const JourneyView *view;
} SequenceEvents;

/*
 * Parse; elements has room for as many as the text has bytes, or for SEQUENCE_MAX_ELEMENTS. Where it is wrong, the
 * byte, from 0, is told.
 */
extern SequenceStatus cxm_sequence_parse(const char *text, size_t length, size_t conditions,
										 SequenceElement *elements, SequencePattern *pattern, size_t *position);

/* The same without its comparisons of times: what has no match of this has none of the pattern */
extern void cxm_sequence_relax(const SequencePattern *pattern, SequenceElement *elements, SequencePattern *relaxed);

extern size_t cxm_sequence_machine_size(const SequencePattern *pattern, size_t symbols);
extern void cxm_sequence_machine(SequenceMachine *machine, const SequencePattern *pattern, size_t symbols,
								 void *memory);

/* Tell that events of a symbol fulfil a condition, from 0 */
extern void cxm_sequence_tell(SequenceMachine *machine, uint32_t symbol, uint32_t condition);

/* Bytes that a run over so many events needs; SIZE_MAX where that is more than can be said */
extern size_t cxm_sequence_scratch_size(const SequenceMachine *machine, size_t events, bool trace);

/*
 * Number of matches that do not overlap, one after the other, each the earliest; at most 1 where only the first is
 * asked for. work, where not NULL, is how many words and comparisons it took.
 */
extern uint64_t cxm_sequence_count(const SequenceMachine *machine, const SequenceEvents *events, bool only_first,
								   void *memory, JourneyPoll poll, uint64_t *work);

/*
 * The longest beginning of the pattern that occurs, by conditions taken, the earliest one of those: the events,
 * from 0, that take its conditions, into taken, which has room for one an element. How many they are is returned.
 */
extern size_t cxm_sequence_trace(const SequenceMachine *machine, const SequenceEvents *events, size_t *taken,
								 void *memory, JourneyPoll poll, uint64_t *work);

#endif							/* SEQUENCE_CORE_H */
