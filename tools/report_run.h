/* What a report measures on one device: bandwidth, tuning, check, default against winner. */
#ifndef IQT_TOOLS_REPORT_RUN_H
#define IQT_TOOLS_REPORT_RUN_H

#include "tools/report_html.h"
#include "bench/matrix.h"

/* One product to report on. */
struct iqt_report_task {
    struct iqt_bench_matrix matrix;
    bool model_shape;
    uint64_t weight; /* bytes that the shape stands for: the tuner's order */
};

struct iqt_report_plan {
    const struct iqt_report_task *tasks;
    size_t count;
    uint32_t n;
    double budget_s; /* for tuning a device */
    double race_s;   /* for timing a pair of plans */
};

/* Fills *d and rows[count] of device number index. The context of dev must not have a source of
 * tuned plans, so that defaults are defaults. */
IQT_MUST_USE enum iqt_status iqt_report_device(struct iqt_device *dev, uint32_t index,
                                               const struct iqt_report_plan *plan,
                                               struct iqt_report_device *d,
                                               struct iqt_report_row *rows);

#endif
