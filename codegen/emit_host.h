/* The inner part of a host kernel. Text reads at[r] (superblock or side record), vec[r] (vectors of the
 * superblock), xq, xs, d[r], dmin[r] and adds to sum[r][c] and below[r][c]. */
#ifndef IQT_CODEGEN_EMIT_HOST_H
#define IQT_CODEGEN_EMIT_HOST_H

#include "codegen/emit.h"

/* The 32 weights from weight i of the superblock. */
void iqt_emit_host_block(struct iqt_emit *e, uint32_t i);
/* Eight float weights from weight i. */
void iqt_emit_host_floats(struct iqt_emit *e, uint32_t i);

#endif
