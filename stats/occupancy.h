/* How many workgroups of a kernel fit a multiprocessor or compute unit. */
#ifndef IQT_STATS_OCCUPANCY_H
#define IQT_STATS_OCCUPANCY_H

#include "base/base.h"

struct iqt_occupancy_input {
    uint32_t threads;   /* of a workgroup */
    uint32_t registers; /* of a thread; AMD: vector registers */
    uint32_t shared_bytes;
    uint32_t wave; /* threads of a warp or wave */
};
struct iqt_occupancy {
    uint32_t waves, most; /* of a multiprocessor or compute unit */
};

/* arch: "sm_90", "gfx1100". IQT_ERR_UNSUPPORTED for one whose limits are not in the table. */
IQT_MUST_USE enum iqt_status iqt_occupancy(const char *arch,
                                           const struct iqt_occupancy_input *in,
                                           struct iqt_occupancy *out);

#endif
