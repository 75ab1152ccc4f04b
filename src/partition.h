/*
 * src/partition.h
 *		Whether a table has the partitions whose rows are counted.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_PARTITION_H
#define CXM_PARTITION_H

#include "access/genam.h"
#include "cxm.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

/* whose partitions: a rollup's, by its number, or those of journeys */
#define CXM_JOURNEYS 0

typedef enum CxmPartitions
{
	CXM_PARTITIONS_KNOWN,
	CXM_PARTITIONS_CHANGED,		/* some came or went, or were written to before they were known */
	CXM_PARTITIONS_INHERIT		/* the table takes part in inheritance, or is a partition itself */
} CxmPartitions;

extern CxmPartitions cxm_check_partitions(int32 rollup_id, Oid source);
extern void cxm_mark_partitions(int32 rollup_id, Relation written);

/* in rollup.c: the next of the numbers that a trigger has as its argument */
extern int32 cxm_next_rollup(const char **numbers, int32 previous);

/* a row of a table of schema cx, by the integer that its key begins with */
typedef struct CxmStoreScan
{
	Relation	relation;
	SysScanDesc scan;
} CxmStoreScan;

extern bool cxm_begin_store_scan(CxmStoreScan *scan, const char *table, const char *index, const char *key,
								 int32 value, Snapshot snapshot);
extern HeapTuple cxm_next_store_row(CxmStoreScan *scan);
extern Datum cxm_store_column(const CxmStoreScan *scan, HeapTuple row, const char *column, bool *is_null);
extern void cxm_end_store_scan(CxmStoreScan *scan);

#endif							/* CXM_PARTITION_H */
