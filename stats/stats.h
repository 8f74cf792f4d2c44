/* What a compiled kernel costs per weight, counted in its machine code: the work behind `iqtile
 * stats`. Needs compilers and disassemblers, never a GPU. */
#ifndef IQT_STATS_STATS_H
#define IQT_STATS_STATS_H

#include "kernels/plan.h"
#include "runtime/compile.h"
#include "stats/count.h"
#include "stats/occupancy.h"

struct iqt_stats_target {
    char name[40]; /* as given: "sm_90", "gfx1100", "radv:navi21" */
    enum iqt_isa isa;
    enum iqt_syntax syntax;
    struct iqt_target compile;
    const char *arch;   /* of the table of limits */
    const char *family; /* RADV's name, or NULL */
    bool dot4;          /* SPIR-V's dot product is an instruction there */
};

/* IQT_ERR_ARG lists the kinds of targets. out must not be moved: arch points into it. */
IQT_MUST_USE enum iqt_status iqt_stats_target_parse(const char *name,
                                                    struct iqt_stats_target *out);

enum { IQT_STATS_LENGTHS = 2 };
extern const uint32_t iqt_stats_k[IQT_STATS_LENGTHS]; /* 4096 and 14336 */

struct iqt_stats {
    char compiler[64];
    uint32_t weights; /* of one iteration of the hot loop, one thread, all its rows */
    uint32_t unroll;  /* iterations of the text's loop in one of the binary's */
    struct iqt_counts hot; /* one iteration */
    double hot_slots;
    double whole_slots[IQT_STATS_LENGTHS]; /* per weight, whole kernel; 0: not known */
    struct iqt_counts once,
        loops;             /* every instruction once; those of the loops over spans */
    double expected_bytes; /* that one iteration needs from memory */
    uint32_t registers, scalars, shared_bytes, wave;
    uint32_t spill_bytes; /* local memory of a thread */
    struct iqt_occupancy occupancy;
    size_t instructions; /* of the whole kernel */
    struct iqt_loop loop;
    size_t inner_loops; /* in the hot loop, counted as if they ran once: 0 is exact */
};

/* Compiles the plan's text for the target, just as `iqtile gen --target` does, and counts.
 * IQT_ERR_UNSUPPORTED: a compiler or disassembler is missing, or it shows an unknown instruction. */
IQT_MUST_USE enum iqt_status iqt_stats_plan(const struct iqt_stats_target *target,
                                            const struct iqt_plan *plan,
                                            struct iqt_stats *out);
/* Counts in a cubin or code object of any origin. kernel NULL: the first. weights: of one
 * iteration; threads of a workgroup for the occupancy, 0: unknown. */
IQT_MUST_USE enum iqt_status iqt_stats_binary(const struct iqt_stats_target *target,
                                              const void *bytes, size_t size,
                                              const char *kernel, uint32_t weights,
                                              uint32_t threads, struct iqt_stats *out);

/* Iterations of the binary's hot loop for a row of k, and slots per weight of the whole kernel then:
 * what the first thread of a row executes, over its share of the weights. */
double iqt_stats_iterations(const struct iqt_stats *s, const struct iqt_plan *plan,
                            uint64_t k);
double iqt_stats_whole(const struct iqt_stats *s, enum iqt_isa isa,
                       const struct iqt_plan *plan, uint64_t k);

#endif
