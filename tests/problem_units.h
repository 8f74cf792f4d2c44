/* Products on matrix units: simulated ones of CUDA and HIP, Vulkan's emulated. */
#ifndef IQT_TESTS_PROBLEM_UNITS_H
#define IQT_TESTS_PROBLEM_UNITS_H

#include "kernels/coop.h"
#include "runtime/vulkan_hw.h"
#include "tests/coop_emulated.h"
#include "tests/problem.h"

/* One of the plans for matrix units that the tuner would try for a drawn n; false, and a failure: there is
 * none. */
static inline bool problem_unit_plan(const struct target *t, const struct iqt_format *f,
                                     enum iqt_op op, struct iqt_plan *out)
{
    enum { MOST = 2048 };
    struct iqt_plan *plans = calloc(MOST, sizeof *plans);
    const uint32_t n = 4 + check_rand() % (IQT_MAX_COLS - 3);
    const size_t count =
        plans ? iqt_plan_list(f, t->dev->backend->dialect, op, n, IQT_LAYOUT_PACKED,
                              &t->dev->limits, plans, MOST)
              : 0;
    size_t units = 0;

    for (size_t i = 0; i < count && i < MOST; i++)
        if (plans[i].compute == IQT_COMPUTE_MMA)
            plans[units++] = plans[i];
    check_true(units > 0, "%s has no plan for matrix units on %s, n %u", f->name, t->name,
               n);
    if (units > 0)
        *out = plans[check_rand() % units];
    free(plans);
    return units > 0;
}

/* Vulkan's matrices are emulated, one format in four. */
static inline bool has_unit(const struct target *t, const struct iqt_format *f,
                            size_t number)
{
    return t->dev->backend->dialect == IQT_DIALECT_GLSL
               ? iqt_coop_has(f) && is_drawn(t, number, 4)
               : iqt_mma_lane_of(f, t->dev->backend->dialect) != NULL;
}

static inline void targets_emulate(struct targets *all)
{
    for (size_t i = 0; i < all->count; i++) {
        struct iqt_device *dev = all->at[i].dev;

        if (dev->backend != &iqt_backend_vulkan || dev->limits.mma ||
            !dev->hw->gpu.has.dot_product)
            continue;
        dev->hw->edit = coop_emulate;
        dev->hw->gpu.depth = check_seed() % 2 ? 16 : 32;
        dev->limits.mma = true;
    }
}

/* The same for a drawn plan for matrix units of each format. */
typedef void (*unit_fn)(struct target *t, const struct iqt_plan *plan);

static inline void for_each_unit(struct targets *all, const char *name, enum iqt_op op,
                                 unit_fn fn)
{
    size_t number = 0;

    targets_emulate(all);
    for (size_t i = 0; i < all->count; i++)
        for (const struct iqt_format *f = iqt_formats; f->name; f++) {
            struct target *t = &all->at[i];
            struct iqt_plan plan;

            if (!t->dev->limits.mma || !has_unit(t, f, number++) ||
                !check_begin("%s.%s.%s", name, t->name, f->name))
                continue;
            if (problem_unit_plan(t, f, op, &plan))
                fn(t, &plan);
            check_end();
        }
}

#endif
