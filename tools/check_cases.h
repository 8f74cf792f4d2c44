/* The checks of `iqtile check` on one format, device and layout, with one plan or the default
 * ones. Knows no options and prints only failures. */
#ifndef IQT_TOOLS_CHECK_CASES_H
#define IQT_TOOLS_CHECK_CASES_H

#include "tools/cli.h"
#include "runtime/runtime.h"

struct iqt_check {
    const struct iqt_seat *seat;
    const struct iqt_format *format;
    enum iqt_layout layout;
    uint32_t n; /* this number of columns only; 0: 1 .. 16 */
    uint64_t seed;
    uint64_t passed, failed;
    uint32_t unbuilt; /* plans that this device or build cannot make ready */
    uint32_t plans;   /* forced plans that ran */
};

/* Every size, column count and kind of weights with the plans that the library chooses. */
IQT_MUST_USE enum iqt_status iqt_check_default(struct iqt_check *c);
/* Bias, residual, gates with every activation, ranges of rows, products that share x. */
IQT_MUST_USE enum iqt_status iqt_check_fused(struct iqt_check *c);
/* Routed experts, plain and gated. */
IQT_MUST_USE enum iqt_status iqt_check_routed(struct iqt_check *c);
/* The default plan with k split over two workgroups, on a GPU. */
IQT_MUST_USE enum iqt_status iqt_check_split(struct iqt_check *c);
/* One forced plan on the sizes around its tile. */
IQT_MUST_USE enum iqt_status iqt_check_plan(struct iqt_check *c,
                                            const struct iqt_plan *plan);

/* Describes a failure on stderr; plan NULL: those that the library chooses. */
void iqt_check_report(const struct iqt_check *c, size_t m, size_t k, uint32_t n,
                      const struct iqt_plan *plan, const char *kind);

#endif
