/* The inner part of a host kernel. Text reads at[r] (superblock or side record), vec[r] (vectors of the
 * superblock), xq, xs, d[r], dmin[r] and adds to sum[r][c]. */
#ifndef IQT_CODEGEN_EMIT_HOST_H
#define IQT_CODEGEN_EMIT_HOST_H

#include "codegen/emit.h"

/* Sums that are added to in turn, so that none waits for the one before: of 128 weights. */
static inline uint32_t iqt_host_chains(const struct iqt_emit *e)
{
    return 128 / e->lanes;
}
/* The weights of a vector (e->lanes) from weight i of the superblock. */
void iqt_emit_host_block(struct iqt_emit *e, uint32_t i);
/* left, the field of weight i as a scalar, right. */
void iqt_emit_host_scalar(struct iqt_emit *e, const char *left, const struct iqt_field *f,
                          uint32_t i, const char *right);
/* Weights of blocks or groups: first, first + step, ... Levels are lanes of blocks, of which a wide vector may have
 * more than there are. */
struct iqt_lanes {
    uint32_t first, step, count;
    bool levels;
};
/* vints (vlevels) <name>: the field of each, a lane each. */
void iqt_emit_host_lanes(struct iqt_emit *e, const char *name, const struct iqt_field *f,
                         struct iqt_lanes s);
/* Address of the byte that holds a place. */
void iqt_host_address(const struct iqt_emit *e, struct iqt_place place, char out[64]);
/* scale[r][]: float scale times block scale, a lane for each block of the superblock, iqt_host_scale_groups()
 * vectors. rest[r][]: what is to be multiplied with the sum of a block's x, that is shift and minimum. */
void iqt_emit_host_scales(struct iqt_emit *e);
uint32_t iqt_host_scale_groups(const struct iqt_emit *e);
bool iqt_host_has_rests(const struct iqt_emit *e);
/* factor[r][]: scale[r][] times the scales of x, of one column. */
void iqt_emit_host_factors(struct iqt_emit *e);
/* Adds rest[r][] times the sums of x. */
void iqt_emit_host_rests(struct iqt_emit *e);
/* Eight float weights from weight i. */
void iqt_emit_host_floats(struct iqt_emit *e, uint32_t i);

#endif
