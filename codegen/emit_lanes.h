/* Plans of Vulkan whose threads have rows of their own and share the rest in a subgroup. */
#ifndef IQT_CODEGEN_EMIT_LANES_H
#define IQT_CODEGEN_EMIT_LANES_H

#include "codegen/emit.h"

/* pick(code), and lut() or lut0() and lut1(), from a table in the lanes' registers; the lines that fill it. */
void iqt_emit_lanes_lookup(struct iqt_emit *e);
void iqt_emit_lanes_fill(struct iqt_emit *e);
/* Values are unsigned bytes; what they lack. */
int iqt_emit_lanes_offset(const struct iqt_format *f);
/* Loads of the span's activations, each once a subgroup; then those of a block of column c. */
void iqt_emit_lanes_load(struct iqt_emit *e);
void iqt_emit_lanes_x(struct iqt_emit *e, uint32_t block);

#endif
