/* iqtile stats --dynamic. */
#ifndef IQT_TOOLS_STATS_DYNAMIC_H
#define IQT_TOOLS_STATS_DYNAMIC_H

#include "stats/dynamic.h"

/* cuda, hip and NULL are names of a target that is usual. */
const char *iqt_stats_dynamic_target(const char *name);
/* Counts and prints one kernel. */
IQT_MUST_USE enum iqt_status iqt_stats_dynamic(const struct iqt_plan *plan,
                                               const struct iqt_dynamic_product *product,
                                               bool csv, bool head, bool detail);

#endif
