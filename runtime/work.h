/* Room of a recorder for plans that split k: counters, which are 0 between launches, and behind them
 * partial sums. Launches that may run at the same time take parts of it one behind the other. */
#ifndef IQT_RUNTIME_WORK_H
#define IQT_RUNTIME_WORK_H

#include "runtime/backend.h"

struct iqt_work {
    uint64_t counters, partials;           /* words there are */
    uint64_t counters_used, partials_used; /* by launches that may be running */
};

/* Enough for any launch that iqt_plan_short() allows on the device, with up to max_n columns and a
 * gate: its last workgroup may have rows that are not there. None where nothing is split. */
static inline struct iqt_work iqt_work_for(const struct iqt_limits *limits,
                                           uint32_t max_n)
{
    const uint64_t rows = iqt_plan_split_rows(limits);
    const uint64_t parts =
        rows ? rows + 2 * IQT_PLAN_MOST_SPLIT * IQT_PLAN_SPLIT_GROUP : 0;

    return (struct iqt_work){ .counters = parts, .partials = 2 * parts * max_n };
}

static inline uint64_t iqt_work_bytes(const struct iqt_work *w)
{
    return (w->counters + w->partials) * sizeof(uint32_t);
}

static inline void iqt_work_release(struct iqt_work *w)
{
    w->counters_used = w->partials_used = 0;
}

/* Tells the launch where its part is; false: no room, nothing is taken. */
static inline bool iqt_work_take(struct iqt_work *w, const struct iqt_plan *plan,
                                 struct iqt_params *params)
{
    const uint32_t rows = params->rows + params->skip;
    const uint64_t counters = w->counters_used + iqt_plan_row_groups(plan, rows);
    const uint64_t partials =
        w->partials_used + iqt_plan_partials(plan, rows, params->cols);

    if (plan->split == 1)
        return true;
    if (counters > w->counters || partials > w->partials)
        return false;
    params->counters = (uint32_t)w->counters_used;
    params->partials = (uint32_t)(w->counters + w->partials_used);
    w->counters_used = counters;
    w->partials_used = partials;
    return true;
}

#endif
