/* The part of RADV that runs in the child: Vulkan from instance to the compiled pipeline's listing. */
#ifndef IQT_STATS_RADV_DEVICE_H
#define IQT_STATS_RADV_DEVICE_H

#include "stats/radv.h"

/* With the environment set up for RADV's null device. Leaves its Vulkan objects to the end of the
 * process. IQT_ERR_NO_DRIVER: no such device. */
IQT_MUST_USE enum iqt_status iqt_radv_device_compile(const struct iqt_plan *plan,
                                                     const uint32_t *word, size_t words,
                                                     struct iqt_buf *out,
                                                     struct iqt_radv_info *info);

#endif
