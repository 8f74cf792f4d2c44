/* The end of a row: what every way to its sum shares. */
#ifndef IQT_CODEGEN_EMIT_GPU_H
#define IQT_CODEGEN_EMIT_GPU_H

#include "codegen/emit.h"

/* Factor of the finished sum of matrix e->prefix: the row header and the gain of the format. row:
 * where the row is, as text. */
void iqt_emit_row_factor(struct iqt_emit *e, const char *row);
/* What a body needs of its rows: byte positions that depend on k; where a thread's rows of matrix e->prefix are; a
 * span u of them, decoded by emit_block.c. */
void iqt_emit_geometry(struct iqt_emit *e);
void iqt_emit_rows_only(struct iqt_emit *e);
void iqt_emit_span(struct iqt_emit *e);
/* From totals and factors to y, for row and column c of the launch. */
void iqt_emit_store(struct iqt_emit *e);
/* Matrix units: sum i of a lane for row `row`, number r of the group of rows that is at `group`, and column c, if
 * there are such: the sum over the warps that share rows, in order. of, lane: indices of their sums. */
void iqt_emit_parts(struct iqt_emit *e, const char *group, const char *of,
                    const char *lane);

#endif
