/* The inner part of a GPU kernel: one superblock of a span, decoded and multiplied. */
#ifndef IQT_CODEGEN_EMIT_BLOCK_H
#define IQT_CODEGEN_EMIT_BLOCK_H

#include "codegen/emit.h"

/* Adds superblock s of span u to <prefix>_sum; at[r] is the base of its bytes or side record. */
void iqt_emit_superblock(struct iqt_emit *e, uint32_t s);

/* Whether two blocks of 16 make one term: their sums, times their own scales, are added before d and dx,
 * which they share. Not on HIP, whose compiler packs the four multiplications two by two, nor with 3 bits on
 * CUDA: 72 registers on sm_90 in place of 64. */
bool iqt_emit_pairs(const struct iqt_plan *plan);

#endif
