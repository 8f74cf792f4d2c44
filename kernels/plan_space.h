/* Facts about formats that plan.c decides and plan_space.c enumerates by. */
#ifndef IQT_KERNELS_PLAN_SPACE_H
#define IQT_KERNELS_PLAN_SPACE_H

#include "kernels/plan.h"

/* Bytes that native rows can be loaded by: their guaranteed alignment, 1, 2 or 4. */
uint32_t iqt_plan_native_vec(const struct iqt_format *f);
/* iqt_plan_check() with the packed unit of the format, which it would have to derive. */
IQT_MUST_USE enum iqt_status iqt_plan_check_unit(const struct iqt_plan *plan,
                                                 const struct iqt_limits *limits,
                                                 uint32_t unit);
bool iqt_plan_lookup_ok(const struct iqt_format *f, enum iqt_dialect d,
                        enum iqt_lookup lookup);

#endif
