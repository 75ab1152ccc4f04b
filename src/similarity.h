/*
 * src/similarity.h
 *		Texts as arrays of characters.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_SIMILARITY_H
#define CXM_SIMILARITY_H

extern uint32 *cxm_text_characters(const char *bytes, int nbytes, int *length);

#endif							/* CXM_SIMILARITY_H */
