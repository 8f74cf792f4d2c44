/* How `iqtile stats` shows what was counted: a table, one kernel in detail, CSV. */
#ifndef IQT_TOOLS_STATS_PRINT_H
#define IQT_TOOLS_STATS_PRINT_H

#include "stats/stats.h"

/* One kernel's row. plan NULL: a binary of unknown origin. */
struct iqt_stats_row {
    const struct iqt_stats_target *target;
    const struct iqt_plan *plan;
    uint32_t n; /* columns that were asked for */
    struct iqt_stats stats;
};

void iqt_stats_print_head(const struct iqt_stats_target *target);
void iqt_stats_print_row(const struct iqt_stats_row *row);
void iqt_stats_print_classes(const struct iqt_stats_row *row);
void iqt_stats_csv_head(void);
void iqt_stats_csv_row(const struct iqt_stats_row *row);

#endif
