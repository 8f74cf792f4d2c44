/* Kernels on Vulkan's cooperative matrices of int8 (compute kind mma in GLSL): which plans there are, and where
 * things lie in a workgroup's shared memory.
 *
 * A workgroup has g rows, g / 16 sets of 16. Its threads decode a chunk, t spans of each row, to int8; then its
 * subgroups multiply the chunk's blocks, each every so many of them, and keep sums of their own until the row's
 * end. A product has 16 rows, 16 columns and a depth of 16 or 32, which the device says; shared memory is in
 * vectors of 16 bytes:
 *
 *   a   weights. Depth 16: [span][block][half][row]; depth 32: [span][block][row][half]
 *   b   x. Depth 16: [block][half][column], 17 vectors from half to half; depth 32: [block][column][half],
 *       with blocks of 16 weights [half 0, zeros, half 1]: either half and zeros are 32 consecutive bytes
 *   r   floats for rows, [block][half][kind][row]: scale; minimum where a format has one
 *   c   floats for columns, [block][kind][column]: dx; sums of x of each half where a format has minima
 *
 * Spans of a and blocks of b are a few vectors longer, so that threads that store side by side use all banks. In
 * the end the sums of all rows take the place of the weights. */
#ifndef IQT_KERNELS_COOP_H
#define IQT_KERNELS_COOP_H

#include "kernels/plan.h"

enum {
    IQT_COOP_SIDE = 16,      /* rows and columns of a product */
    IQT_COOP_COLUMNS = 2,    /* the least that a plan has */
    IQT_COOP_MOST_ROWS = 64, /* of a workgroup */
    IQT_COOP_LEAST_THREADS = 32,
    IQT_COOP_DEPTH_ID =
        0, /* the specialization constant that is the depth, 16 unless it is given */
};

/* Whether the plan is of this kind. */
static inline bool iqt_plan_is_coop(const struct iqt_plan *p)
{
    return p->compute == IQT_COMPUTE_MMA && p->dialect == IQT_DIALECT_GLSL;
}

struct iqt_coop {
    uint32_t halves; /* blocks of scales in a block of 32 */
    uint32_t row_kinds, column_kinds;
    uint32_t span, block;         /* vectors of a span of a, of a block of b */
    uint32_t a, b, rows, columns; /* vectors of each */
    uint32_t bytes;               /* of all */
};
struct iqt_coop iqt_coop_of(const struct iqt_plan *p);

/* Whether a shared table has the shifted values behind the others, so that the shift bit is a bit of the code: where
 * both together are at most a word for each of 32 banks. */
bool iqt_coop_shifts_in_table(const struct iqt_plan *p);
/* Whether a format's weights, shifts included, are int8. */
bool iqt_coop_has(const struct iqt_format *f);
/* IQT_ERR_UNSUPPORTED says which rule is broken. subgroup: threads of the device's, 0: not known. */
IQT_MUST_USE enum iqt_status iqt_coop_check(const struct iqt_plan *p, uint32_t subgroup);

#endif
