/* The inner part of a host kernel. Text reads at[r] (superblock or side record), vec[r] (vectors of the
 * superblock), xq, xs, d[r], dmin[r] and adds to sum[r][c] and below[r][c]. */
#ifndef IQT_CODEGEN_EMIT_HOST_H
#define IQT_CODEGEN_EMIT_HOST_H

#include "codegen/emit.h"

/* The 32 weights from weight i of the superblock. */
void iqt_emit_host_block(struct iqt_emit *e, uint32_t i);
/* left, the field of weight i as a scalar, right. */
void iqt_emit_host_scalar(struct iqt_emit *e, const char *left, const struct iqt_field *f,
                          uint32_t i, const char *right);
/* scale[r][] (float scale times block scale, a lane for each block of the superblock, iqt_host_scale_groups()
 * vectors), least[r][] where there is a minimum, shift[r] where values have a shift. */
void iqt_emit_host_scales(struct iqt_emit *e);
uint32_t iqt_host_scale_groups(const struct iqt_emit *e);
bool iqt_host_has_shifts(const struct iqt_emit *e);
/* factor[r][c][]: scale[r][] times the scales of x. */
void iqt_emit_host_factors(struct iqt_emit *e);
/* Eight float weights from weight i. */
void iqt_emit_host_floats(struct iqt_emit *e, uint32_t i);

#endif
