/* Where the bits of many blocks or groups are. */
#ifndef IQT_CODEGEN_EMIT_HOST_LANES_H
#define IQT_CODEGEN_EMIT_HOST_LANES_H

#include "codegen/emit_host.h"

enum {
    IQT_WINDOW = 16, /* bytes of one load */
    IQT_WIDEST_LANES = 16,
    IQT_NOTHING = 0x80, /* as the number of a byte: a shuffle makes it 0 */
};

/* A load of 16 bytes that has all bits of some planes and lanes. */
struct iqt_window {
    int begin; /* from at[r], or of the vector: 0 */
    char address[64];
};

/* false: there is none that stays inside of the row. A vector is one. */
bool iqt_host_find_window(const struct iqt_emit *e, const struct iqt_plane *planes,
                          uint32_t count, struct iqt_lanes s, struct iqt_window *out);
/* Lanes of 32 bits in a vector. */
uint32_t iqt_host_group_size(const struct iqt_emit *e);
/* Of lanes that are not used: that of the first one. */
struct iqt_place iqt_host_lane_place(const struct iqt_emit *e,
                                     const struct iqt_plane *plane, struct iqt_lanes s,
                                     uint32_t lane);

#endif
