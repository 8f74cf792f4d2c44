/* Relative errors of rows, and the worst rows of a tensor. */
#ifndef IQT_TOOLS_WORST_H
#define IQT_TOOLS_WORST_H

#include "base/base.h"

enum { IQT_WORST_ROWS = 3 };
/* Falling errors; a row that is not there has error -1. */
struct iqt_worst {
    uint64_t row[IQT_WORST_ROWS];
    double error[IQT_WORST_ROWS];
};
extern const struct iqt_worst iqt_worst_none;

/* sqrt(missed / all) of two sums of squares: 0 when nothing is missed, infinite when all is 0. */
double iqt_relative_error(double missed, double all);
/* Rows come in rising order; of equals the first stays in front. */
void iqt_worst_add(struct iqt_worst *worst, uint64_t row, double error);
/* "12 (0.0931) 7 (0.0925)": up to count rows. */
enum { IQT_WORST_TEXT = 40 * IQT_WORST_ROWS };
const char *iqt_worst_text(const struct iqt_worst *worst, size_t count,
                           char out[IQT_WORST_TEXT]);

#endif
