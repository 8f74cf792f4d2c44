/* The part of a superblock's text that multiplies floats. */
#ifndef IQT_CODEGEN_EMIT_FLOATS_H
#define IQT_CODEGEN_EMIT_FLOATS_H

#include "codegen/emit.h"

/* x of a block of 32 of a column, and its sums where something is added to all weights of a block. */
void iqt_emit_float_x(struct iqt_emit *e, uint32_t block);
/* Sums of one row and column over its blocks of weights, corrected, and their terms of the result. */
void iqt_emit_float_dots(struct iqt_emit *e);
/* Eight float weights of all rows, from weight i of the span, times float activations. */
void iqt_emit_float_weights(struct iqt_emit *e, uint32_t i);

#endif
