/* Which of several sizes each thing gets, so that the sum of their errors is small and the sum of their sizes
 * within a budget. Knows nothing of tensors and types. */
#ifndef IQT_QUANT_BUDGET_H
#define IQT_QUANT_BUDGET_H

#include "base/base.h"

struct iqt_budget_choice {
    uint64_t bytes;
    double error; /* finite, not negative */
};
struct iqt_budget_item {
    const struct iqt_budget_choice *choice; /* in any order */
    size_t count;                           /* at least 1 */
    size_t chosen;                          /* the result */
};

/* Steps along the lower convex hulls of all items, those that save most error per byte first: the optimum,
 * but for the last bytes, which go to the steps that still fit. Equal inputs give equal choices.
 * IQT_ERR_ARG when the smallest choices are beyond the budget. */
IQT_MUST_USE enum iqt_status iqt_budget_choose(struct iqt_budget_item *item, size_t count,
                                               uint64_t budget);

#endif
