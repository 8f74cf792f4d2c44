/* RADV without hardware: SPIR-V to AMD machine code and what it uses. */
#ifndef IQT_STATS_RADV_H
#define IQT_STATS_RADV_H

#include "kernels/plan.h"

struct iqt_radv_info {
    char driver[64];
    uint32_t registers, scalars, spills, shared_bytes, scratch_bytes, wave;
};

/* Compiles in a child process, because ACO aborts where it is not up to a shader. family: RADV's
 * names, several separated by commas are tried in turn. Appends ACO's listing to out. */
IQT_MUST_USE enum iqt_status iqt_radv_compile(const char *family,
                                              const struct iqt_plan *plan,
                                              const uint32_t *word, size_t words,
                                              struct iqt_buf *out,
                                              struct iqt_radv_info *info);

#endif
