/* The instruction sets of quant/ that run here. */
#ifndef IQT_TESTS_QUANT_ISAS_H
#define IQT_TESTS_QUANT_ISAS_H

#include "tests/check.h"
#include "runtime/cpu.h"
#include "quant/encoder.h"

#include <string.h>

/* The weakest one first. */
static inline size_t check_isas(const struct iqt_quant_isa **out)
{
    uint32_t best;
    size_t count = 0;

    if (iqt_cpu_isa(&best) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        best = 0;
    }
    for (const struct iqt_quant_isa *i = iqt_quant_isas; i->name != NULL; i++) {
        out[count++] = i;
        if (strcmp(i->name, iqt_cpu_isas[best]) == 0)
            break;
    }
    return count;
}

#endif
