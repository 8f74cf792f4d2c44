/* Kernels counted while they run. */
#include "tools/stats_dynamic.h"

#include "tools/dynamic_print.h"

#include <stdio.h>
#include <string.h>

const char *iqt_stats_dynamic_target(const char *name)
{
    if (name == NULL || strcmp(name, "cuda") == 0)
        return "sm_90";
    return strcmp(name, "hip") == 0 ? "gfx942" : name;
}

enum iqt_status iqt_stats_dynamic(const struct iqt_plan *plan,
                                  const struct iqt_dynamic_product *product, bool csv,
                                  bool head, bool detail)
{
    struct iqt_dynamic_row row = { .arch = product->arch,
                                   .plan = plan,
                                   .m = product->m,
                                   .k = product->k,
                                   .n = product->n };

    IQT_TRY(iqt_dynamic_count(plan, product, &row.d));
    if (csv) {
        if (head)
            iqt_dynamic_csv_head();
        iqt_dynamic_csv_row(&row);
    } else {
        if (head)
            iqt_dynamic_print_head(&row);
        iqt_dynamic_print_row(&row);
        if (detail)
            iqt_dynamic_print_detail(&row);
    }
    fflush(stdout);
    return IQT_OK;
}
