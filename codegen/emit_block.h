/* The inner part of a GPU kernel: one superblock of a span, decoded and multiplied. */
#ifndef IQT_CODEGEN_EMIT_BLOCK_H
#define IQT_CODEGEN_EMIT_BLOCK_H

#include "codegen/emit.h"

/* Adds superblock s of span u to <prefix>_sum; at[r] is the base of its bytes or side record. */
void iqt_emit_superblock(struct iqt_emit *e, uint32_t s);

/* Shift bits of codebooks become a correction with the activation sums. */
static inline bool iqt_emit_has_correction(const struct iqt_format *f)
{
    return f->decode == IQT_DECODE_CODEBOOK && !iqt_field_empty(&f->shift);
}

/* A column of x; in C++ the pointer to a routed product's activations has been moved. */
const char *iqt_emit_column(const struct iqt_emit *e);
/* Declares block: the number of a span's block of 32 among those of all columns. */
void iqt_emit_block_number(struct iqt_emit *e, uint32_t block);

/* Whether two blocks of 16 make one term: their sums, times their own scales, are added before d and dx,
 * which they share. Not on HIP, whose compiler packs the four multiplications two by two, nor with 3 bits on
 * CUDA: 72 registers on sm_90 in place of 64. */
bool iqt_emit_pairs(const struct iqt_plan *plan);

#endif
