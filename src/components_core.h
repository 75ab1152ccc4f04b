/*
 * src/components_core.h
 *		Connected components of an undirected graph with 64-bit node ids.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_COMPONENTS_CORE_H
#define CXM_COMPONENTS_CORE_H

#include <stddef.h>
#include <stdint.h>

/* a node and the least node of its component */
typedef struct CxmComponent
{
	int64_t		member;
	int64_t		component;
} CxmComponent;

extern size_t cxm_components(const int64_t *a, const int64_t *b, size_t nedges,
							 CxmComponent *nodes, uint32_t *parent);

#endif							/* CXM_COMPONENTS_CORE_H */
