/* What the files that are compiled per instruction set share. */
#ifndef IQT_QUANT_INNER_H
#define IQT_QUANT_INNER_H

#include "quant/encoder.h"
#include "quant/isa.h"

/* ---- trellis_find.c ---- */

/* The point whose values minimise the sum of w (y - value)^2, the lowest code of equals, or UINT32_MAX where that sum is
 * above most. start: a point that may be near, or UINT32_MAX. */
uint32_t iqt_trellis_find(const struct iqt_trellis_tree *tree, const float *y,
                          const float *w, uint32_t start, float most);

/* ---- trellis_scan.c ---- */

/* Where bytes can be looked up: the same point, mostly sooner. IQT_TREE_UNKNOWN: ask iqt_trellis_find(). */
enum { IQT_TREE_UNKNOWN = 0x7fffffff };
#if defined(__AVX512VBMI__) && defined(__AVX512VBMI2__)
#define IQT_TREE_SCANS
uint32_t iqt_trellis_scan(const struct iqt_trellis_tree *tree, const float *y,
                          const float *w, uint32_t start, float most);
#endif

/* A value of a point, from where the search has read it. */
static inline float iqt_tree_value(const struct iqt_trellis_tree *tree, uint32_t point,
                                   uint32_t d)
{
#ifdef IQT_TREE_SCANS
    const uint32_t dims = tree->dims, byte = tree->sheet[iqt_sheet_place(dims, point, d)];

    return (float)((int)(dims == 8 ? (byte << 1 | byte >> 7) & 255 : byte) - 128);
#else
    return iqt_trellis_value(tree, point, d);
#endif
}

/* The sum, in the order of dimensions: whoever asks gets the same bits. */
static inline float iqt_trellis_distance(const struct iqt_trellis_tree *tree,
                                         const float *y, const float *w, uint32_t point,
                                         const uint32_t dims)
{
    float sum = 0;

    for (uint32_t d = 0; d < dims; d++) {
        const float miss = y[d] - iqt_tree_value(tree, point, d);

        sum += w[d] * (miss * miss);
    }
    return sum;
}

/* ---- pick.c ---- */

/* Picks the codes that are best at this scale with this table. choice->point is read first. Of a goal with `only` there
 * are no sums. */
struct iqt_sums iqt_pick(const struct iqt_encoder *e, const struct iqt_goal *goal,
                         float scale, bool shift, struct iqt_choice *choice);

/* ---- search.c ---- */

/* The float scale of a block that fits best alone: sets scale, xv, vv, point, shift. end: its largest weight. */
void iqt_block_search(const struct iqt_encoder *e, const struct iqt_goal *goal, float end,
                      struct iqt_block *out);

/* ---- guess.c ---- */

/* The best shared scales for the wanted scales of the blocks, best first, no two equal. Returns
 * how many there are. */
uint32_t iqt_guess_shared(const struct iqt_group *g, double *d);

/* ---- encode_group.c ---- */

/* bytes: the superblocks of the group, zero; scale: where its float scale goes. */
void iqt_encode_group(struct iqt_group *g, uint8_t *bytes, uint8_t *scale);

#endif
