/* Which backends exist, most preferred first. A plain table: constructors in a static library
 * would be dropped by the linker. */
#include "runtime/backend.h"

const struct iqt_backend *const iqt_backends[] = {
    &iqt_backend_cuda, &iqt_backend_hip, &iqt_backend_vulkan, &iqt_backend_cpu, NULL,
};
