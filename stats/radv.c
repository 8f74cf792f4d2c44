/* RADV's null device. */
#include "stats/radv.h"

enum iqt_status iqt_radv_compile(const char *family, const struct iqt_plan *plan,
                                 const uint32_t *word, size_t words, struct iqt_buf *out,
                                 struct iqt_radv_info *info)
{
    (void)plan, (void)word, (void)words, (void)out, (void)info;
    return iqt_fail(IQT_ERR_UNSUPPORTED, "radv:%s is not there yet", family);
}
