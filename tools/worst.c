/* Relative errors of rows and the worst of them. */
#include "tools/worst.h"

#include <math.h>
#include <stdio.h>

const struct iqt_worst iqt_worst_none = { .error = { -1, -1, -1 } };

double iqt_relative_error(double missed, double all)
{
    if (missed == 0)
        return 0;
    return all > 0 ? sqrt(missed / all) : INFINITY;
}

void iqt_worst_add(struct iqt_worst *worst, uint64_t row, double error)
{
    size_t at = IQT_WORST_ROWS;

    while (at > 0 && error > worst->error[at - 1])
        at--;
    for (size_t i = IQT_WORST_ROWS; i-- > at + 1;) {
        worst->row[i] = worst->row[i - 1];
        worst->error[i] = worst->error[i - 1];
    }
    if (at < IQT_WORST_ROWS) {
        worst->row[at] = row;
        worst->error[at] = error;
    }
}

const char *iqt_worst_text(const struct iqt_worst *worst, size_t count,
                           char out[IQT_WORST_TEXT])
{
    int used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count && i < IQT_WORST_ROWS && worst->error[i] >= 0; i++)
        used += snprintf(out + used, (size_t)(IQT_WORST_TEXT - used), "%s%llu (%.4g)",
                         i > 0 ? " " : "", (unsigned long long)worst->row[i],
                         worst->error[i]);
    return out;
}
