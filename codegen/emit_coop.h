/* Kernels on Vulkan's cooperative matrices: rows of any layout, decoded to int8 in shared memory
 * (kernels/coop.h). */
#ifndef IQT_CODEGEN_EMIT_COOP_H
#define IQT_CODEGEN_EMIT_COOP_H

#include "codegen/emit.h"
#include "kernels/coop.h"

/* Shared memory and the words for matrices, before the table functions; places in it, behind them. */
void iqt_emit_coop_begin(struct iqt_emit *e);
void iqt_emit_coop_functions(struct iqt_emit *e);
/* Inside of a span: a block of 32, decoded, goes to shared memory. */
void iqt_emit_coop_block(struct iqt_emit *e, uint32_t block);
void iqt_emit_coop_body(struct iqt_emit *e);

#endif
