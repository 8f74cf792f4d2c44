/* Kernels that cover more or less than the rows of one matrix: experts that the device chooses,
 * several matrices, a part of k. Text in front of the rows and behind their sums. */
#ifndef IQT_CODEGEN_EMIT_CALL_H
#define IQT_CODEGEN_EMIT_CALL_H

#include "codegen/emit.h"
#include "kernels/tile.h"

/* Everything else is a plain kernel: one matrix, all of k. */
bool iqt_emit_covers_more(const struct iqt_plan *plan);

/* Types of the parameters and, for a split, fences and counters; behind the prelude. */
void iqt_emit_call_types(struct iqt_emit *e);
/* GLSL's parameters: the words of every kernel, and those behind. */
void iqt_emit_glsl_launch(struct iqt_emit *e, const char *const *names, size_t count);
/* First lines of the body: p, group (the workgroup's group of rows), part (of k), buffers. */
void iqt_emit_call_begin(struct iqt_emit *e);
/* Those of a vector in the order of lanes (iqt_x_lanes_stride()). */
#define IQT_EMIT_LANES_VECTORS "(p.k + 511u) / 512u * 32u"
/* Vectors of 16 activations between those of one column and those of the next. */
const char *iqt_emit_x_vectors(const struct iqt_plan *plan);
/* The first span of a thread, and the distance to its next one. */
const char *iqt_emit_first_span(const struct iqt_plan *plan);
const char *iqt_emit_span_step(const struct iqt_plan *plan);

/* Split over k: keeps the total of row `local` of the workgroup, column c, matrix number `of`; and,
 * once they are all kept, lets the workgroup that comes last add and finish them. */
void iqt_emit_partial(struct iqt_emit *e, uint32_t of, const char *local,
                      const char *value);
void iqt_emit_combine(struct iqt_emit *e, const struct iqt_tile *tile);

/* gated(): what a gated product makes of its two sums; nothing for others. */
void iqt_emit_activation(struct iqt_emit *e);

#endif
