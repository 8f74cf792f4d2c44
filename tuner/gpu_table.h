/* What is known of GPUs that need not be here: units, clocks, bandwidth, cache. Pure data for the
 * cost model (tuner/model.h); no driver is asked. */
#ifndef IQT_TUNER_GPU_TABLE_H
#define IQT_TUNER_GPU_TABLE_H

#include "base/base.h"

/* What GPUs of one vendor and kind of memory are assumed to have in common. */
enum iqt_gpu_kind {
    IQT_GPU_NVIDIA_HBM,
    IQT_GPU_NVIDIA_GDDR,
    IQT_GPU_AMD_HBM,
    IQT_GPU_AMD_GDDR,
    IQT_GPU_INTEL,
    IQT_GPU_KINDS,
};

struct iqt_gpu_kind_facts {
    double efficiency; /* best read bandwidth, of the specified one */
    double latency_ns; /* of a load that misses every cache, among others */
    double
        launch_us; /* from the end of a kernel to the start of the next one in a queue */
};
extern const struct iqt_gpu_kind_facts iqt_gpu_kinds[IQT_GPU_KINDS];

struct iqt_gpu {
    const char *name;
    const char *aliases; /* separated by '|': what else people and drivers call it */
    const char *target;  /* of `iqtile stats --target`; "": no compiler for it here */
    enum iqt_gpu_kind kind;
    uint32_t units; /* multiprocessors, compute units, Xe cores */
    uint32_t lanes; /* slots that a unit issues per clock: lanes of all its schedulers */
    double clock_ghz; /* see the table's head for which clock */
    double gb_per_s;  /* of memory, as specified */
    double cache_mib; /* last level */
};

extern const struct iqt_gpu iqt_gpus[]; /* ends with name NULL */

/* What mma.sync of int8 costs on a target of NVIDIA. */
struct iqt_tensor {
    const char *target;
    double slots; /* issue slots that a product of 16 x 8 x 32 takes of its scheduler */
    uint8_t one;  /* up to how many bits a single column of a trellis is worth products */
};
/* By the name of a target, "sm_90" and "sm_90a". What is not in the table is taken for slow. */
const struct iqt_tensor *iqt_gpu_tensor(const char *target);

/* Letters, digits and what a vendor puts in front decide: "rtx4090", "NVIDIA GeForce RTX 4090" and
 * "4090" are one. IQT_ERR_UNKNOWN lists the names. */
IQT_MUST_USE enum iqt_status iqt_gpu_find(const char *name, const struct iqt_gpu **out);

#endif
