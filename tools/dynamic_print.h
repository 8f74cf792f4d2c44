/* How `iqtile stats --dynamic` shows what was counted while a kernel ran. */
#ifndef IQT_TOOLS_DYNAMIC_PRINT_H
#define IQT_TOOLS_DYNAMIC_PRINT_H

#include "stats/dynamic.h"

struct iqt_dynamic_row {
    const char *arch;
    const struct iqt_plan *plan;
    uint32_t m, k, n;
    struct iqt_dynamic d;
};

void iqt_dynamic_print_head(const struct iqt_dynamic_row *row);
void iqt_dynamic_print_row(const struct iqt_dynamic_row *row);
/* Every instruction that touches memory, every primitive. */
void iqt_dynamic_print_detail(const struct iqt_dynamic_row *row);
void iqt_dynamic_csv_head(void);
void iqt_dynamic_csv_row(const struct iqt_dynamic_row *row);

#endif
