/* Kernels over tiles on the matrix units. CUDA: mma.sync of int8, a warp 32 rows (emit_mma*.c); HIP: mfma or
 * wmma of int8, a wave 16 rows or more (emit_mfma*.c). */
#ifndef IQT_CODEGEN_EMIT_MMA_H
#define IQT_CODEGEN_EMIT_MMA_H

#include "codegen/emit_tile.h"
#include "kernels/tile_mma.h"

/* How a decoder hands over a lane's eight weights of a block. */
struct iqt_mma_values {
    uint8_t parts;   /* words of four int8 for the same four weights, whose sum counts */
    bool states;     /* a word of four bytes for each weight, whose sum counts */
    bool adds_shift; /* the shift bits' words are one more part */
    uint8_t shift_byte; /* what a shift bit becomes: 0, no use of it */
    int8_t offset;      /* what the words' values lack */
};

/* A decoder's way with shift bits, of a format that has them or not. */
void iqt_mma_use_shift(const struct iqt_tile *tile, struct iqt_mma_values *out);
/* Decoder `values()`; primitives and shared memory. */
void iqt_emit_mma_values(struct iqt_emit *e, const struct iqt_tile *tile,
                         struct iqt_mma_values *out);
void iqt_emit_mma_functions(struct iqt_emit *e, const struct iqt_tile *tile);
/* How a lane comes to its words of codes: emit_mma_stage.c. Shared memory; before the loop; for span i the
 * copy, the lane's words q, and after their use. */
void iqt_emit_mma_stage_functions(struct iqt_emit *e);
void iqt_emit_mma_stage_start(struct iqt_emit *e, const struct iqt_mma_lane *lane);
void iqt_emit_mma_stage(struct iqt_emit *e, const struct iqt_tile *tile);
void iqt_emit_mma_codes(struct iqt_emit *e, const struct iqt_tile *tile,
                        const struct iqt_mma_lane *lane);
void iqt_emit_mma_stage_end(struct iqt_emit *e);
/* Body: which thread does what; the row and span loop of matrix e->prefix, whose sums it leaves in
 * shared memory. */
void iqt_emit_mma_threads(struct iqt_emit *e);
void iqt_emit_mma_spans(struct iqt_emit *e, const struct iqt_tile *tile,
                        const struct iqt_mma_values *values);
/* Behind them: each sum is finished by one of the warps that share its rows. */
void iqt_emit_mma_finish(struct iqt_emit *e);
/* In the loop: a lane's own tile's block scales own[], its shift bits shifts[]. */
void iqt_emit_mma_own(struct iqt_emit *e, const struct iqt_tile *tile,
                      const struct iqt_mma_values *values);

/* Words of instructions and lanes; four words that the compiler does not know to be equal. */
void iqt_emit_mma_primitives(struct iqt_emit *e);
void iqt_emit_mma_four(struct iqt_emit *e, const char *name, uint32_t value);

/* One column or two of a trellis on CUDA: emit_mma_one.c. Products of block b of all rows, to c[]; whether seeds come
 * with all that they lack, so that powers are multiplied and nothing is added. */
void iqt_emit_mma_one_products(struct iqt_emit *e, const struct iqt_tile *tile);
bool iqt_mma_one_whole_seeds(const struct iqt_tile *tile);
void iqt_emit_mma_one_values(struct iqt_emit *e, const struct iqt_tile *tile,
                             struct iqt_mma_values *out);
void iqt_emit_mma_one_functions(struct iqt_emit *e, const struct iqt_tile *tile);
void iqt_emit_mma_one_spans(struct iqt_emit *e, const struct iqt_tile *tile,
                            const struct iqt_mma_values *values);
void iqt_emit_mma_one_finish(struct iqt_emit *e);

/* The same for HIP. Waves of 32 have values in one word, with the shift in them: what their units would add
 * costs them more. Macro TERMS: words for the same four weights; LIFTED: shifted blocks have a table. */
bool iqt_mfma_lifts(const struct iqt_tile *tile);
/* Words t[] of each generation, lifted[] of shifted blocks. */
void iqt_emit_mfma_table(struct iqt_emit *e, const struct iqt_tile *tile,
                         const uint32_t *word, uint32_t n);
void iqt_emit_mfma_values(struct iqt_emit *e, const struct iqt_tile *tile,
                          struct iqt_mma_values *out);
void iqt_emit_mfma_functions(struct iqt_emit *e, const struct iqt_tile *tile);
void iqt_emit_mfma_threads(struct iqt_emit *e);
void iqt_emit_mfma_spans(struct iqt_emit *e, const struct iqt_tile *tile,
                         const struct iqt_mma_values *values);
void iqt_emit_mfma_finish(struct iqt_emit *e);

#endif
