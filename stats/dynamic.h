/* What a kernel asks of memory and executes, counted while its emitted text runs on the simulated
 * machine (sim/sim.h): the work behind `iqtile stats --dynamic`. Needs a C++ compiler, never a GPU. */
#ifndef IQT_STATS_DYNAMIC_H
#define IQT_STATS_DYNAMIC_H

#include "kernels/plan.h"
#include "sim/sim.h"

/* Most of what a weight may be asked for more than once. */
#define IQT_DYNAMIC_MOST 1.03

enum iqt_dynamic_buffer {
    IQT_DYNAMIC_WEIGHTS, /* the gate's, too */
    IQT_DYNAMIC_X,
    IQT_DYNAMIC_SCALES, /* of x */
    IQT_DYNAMIC_Y,      /* with bias and residual */
    IQT_DYNAMIC_BUFFERS,
};
const char *iqt_dynamic_buffer_name(enum iqt_dynamic_buffer b);
enum iqt_dynamic_buffer iqt_dynamic_buffer_of(int argument);
const char *iqt_dynamic_primitive_name(enum iqt_sim_primitive p);

struct iqt_dynamic_product {
    uint32_t m, k, n;
    const char *arch; /* sm_90, gfx942, gfx1100 */
    const char *text; /* NULL: what is emitted for the plan */
};

struct iqt_dynamic {
    double weights; /* of the product; both matrices' of a gated one */
    uint32_t workgroups;
    double needed
        [IQT_DYNAMIC_BUFFERS]; /* bytes: weights once, x and its scales once a workgroup */
    struct iqt_sim_traffic traffic[IQT_DYNAMIC_BUFFERS];
    struct iqt_sim_counted counted;
};

/* IQT_ERR_UNSUPPORTED: no simulated machine or no compiler for it. IQT_ERR_ARG: the plan is
 * not for CUDA or HIP, or does not fit k. */
IQT_MUST_USE enum iqt_status iqt_dynamic_count(const struct iqt_plan *plan,
                                               const struct iqt_dynamic_product *product,
                                               struct iqt_dynamic *out);

/* Bytes asked for / bytes needed; sectors asked for and fetched in units of the needed ones. */
double iqt_dynamic_ratio(const struct iqt_dynamic *d, enum iqt_dynamic_buffer b);
double iqt_dynamic_sector_ratio(const struct iqt_dynamic *d, enum iqt_dynamic_buffer b);
double iqt_dynamic_fetch_ratio(const struct iqt_dynamic *d, enum iqt_dynamic_buffer b);

/* Whether a warp's access to weights is spread over sectors that it does not use up at once, by this and
 * other loads for the same time. */
bool iqt_dynamic_uncoalesced(const struct iqt_dynamic *d, uint32_t site);

#endif
