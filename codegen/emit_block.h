/* The inner part of a GPU kernel: one superblock of a span, decoded and multiplied. */
#ifndef IQT_CODEGEN_EMIT_BLOCK_H
#define IQT_CODEGEN_EMIT_BLOCK_H

#include "codegen/emit.h"

/* Adds superblock s of span u to <prefix>_sum; at[r] is the base of its bytes or side record. */
void iqt_emit_superblock(struct iqt_emit *e, uint32_t s);

#endif
