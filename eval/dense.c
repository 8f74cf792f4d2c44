/* Which of the compiled loops this machine runs. */
#include "eval/dense.h"
#include "runtime/cpu.h"

enum iqt_status iqt_dense_find(const struct iqt_dense **out)
{
    static const struct iqt_dense *const all[] = {
        &iqt_dense_portable,
#if IQT_DENSE_ISAS > 1
        &iqt_dense_avx2,
        &iqt_dense_avx512,
#endif
    };
    uint32_t isa;

    IQT_TRY(iqt_cpu_isa(&isa));
    *out = all[isa < IQT_COUNT(all) ? isa : 0];
    return IQT_OK;
}
