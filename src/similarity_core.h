/*
 * src/similarity_core.h
 *		Similarity and distance of two strings of characters.
 *
 * Copyright (c) 2026, cxm developers
 */
#ifndef CXM_SIMILARITY_CORE_H
#define CXM_SIMILARITY_CORE_H

#include <stddef.h>
#include <stdint.h>

/* a string of at most so many characters fits one machine word of the bit-parallel forms */
#define CXM_SHORT_STRING	64

/* a distance without a limit */
#define CXM_NO_LIMIT		INT32_MAX

/*
 * What the functions work with.  Zero it, set resize and perhaps poll, and use it for any number of calls.  resize is
 * realloc() or of its kind and does not return when there is no memory; poll is called now and then by what can take
 * long, and may leave by a long jump.
 */
typedef struct CxmSimilarity
{
	uint64_t	mask[256];		/* where a character stands in a short string; all zero between calls */
	void	   *scratch;		/* working space of the forms for any length */
	size_t		size;			/* its bytes */
	void	   *(*resize) (void *scratch, size_t size);
	void		(*poll) (void);
} CxmSimilarity;

/* two strings of at most CXM_SHORT_STRING characters each, of an alphabet of 256 */
extern double cxm_jaro_short(CxmSimilarity *s, const uint8_t *a, int la, const uint8_t *b, int lb);
extern int	cxm_levenshtein_short(CxmSimilarity *s, const uint8_t *a, int la, const uint8_t *b, int lb);
extern int	cxm_osa_short(CxmSimilarity *s, const uint8_t *a, int la, const uint8_t *b, int lb);
extern int	cxm_damerau_short(CxmSimilarity *s, const uint8_t *a, int la, const uint8_t *b, int lb, int max);

/* two strings of any length and alphabet; a distance above max is max + 1 */
extern double cxm_jaro(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb);
extern int	cxm_levenshtein(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, int max);
extern int	cxm_osa(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, int max);
extern int	cxm_damerau(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, int max);
extern double cxm_jaccard(CxmSimilarity *s, const uint32_t *a, int la, const uint32_t *b, int lb, int n);

extern double cxm_winkler(double jaro, int prefix, double prefix_weight);

#endif							/* CXM_SIMILARITY_CORE_H */
