/* What tests of plans take for a device that can do nearly everything. */
#ifndef IQT_TESTS_PLAN_LIMITS_H
#define IQT_TESTS_PLAN_LIMITS_H

#include "kernels/plan.h"

enum { MOST = 4096 };

static const struct iqt_limits wide_limits = {
    .subgroup_min = 32,
    .subgroup_max = 32,
    .max_threads = 1024,
    .shared_bytes = 49152,
    .compute_units = 16,
    .subgroup_ops = true,
    .mma = true,
};

#endif
