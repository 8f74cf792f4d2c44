/* iqtile quantize --target-size, --target-bpw: types by measured error under a budget. */
#ifndef IQT_TOOLS_QUANTIZE_TARGET_H
#define IQT_TOOLS_QUANTIZE_TARGET_H

#include "tools/quantize.h"

struct iqt_target {
    uint64_t bytes;    /* of the whole file; 0: bits decide */
    double bits;       /* of the data of all tensors, a weight */
    const char *types; /* to choose from, with commas; NULL: all that can be encoded */
    double error,
        weight; /* the result: sums of relative squared errors and of what they count */
};

/* Chooses for every job that is free. The same input, options and program give the same choice, on any
 * number of threads. IQT_ERR_ARG when the budget is too small. */
IQT_MUST_USE enum iqt_status iqt_target_choose(struct iqt_target *target,
                                               struct iqt_jobs *jobs,
                                               const struct iqt_gguf *g,
                                               struct iqt_quantize_plan *plan,
                                               struct iqt_pool *pool);
/* The command line options that choose the same without measuring, on stdout. */
void iqt_target_print(const struct iqt_target *target, const struct iqt_jobs *jobs,
                      const struct iqt_quantize_plan *plan);

#endif
