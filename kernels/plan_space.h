/* Facts about formats that plan.c decides and plan_space.c enumerates by. */
#ifndef IQT_KERNELS_PLAN_SPACE_H
#define IQT_KERNELS_PLAN_SPACE_H

#include "kernels/plan.h"

/* Bytes that native rows can be loaded by: their guaranteed alignment, 1, 2 or 4. */
uint32_t iqt_plan_native_vec(const struct iqt_format *f);
bool iqt_plan_lookup_ok(const struct iqt_format *f, enum iqt_dialect d,
                        enum iqt_lookup lookup);

#endif
