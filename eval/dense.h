/* Products of float matrices with the columns of a window of text, and attention: the loops that take the time.
 *
 * Columns (one a token) lie in panels of 32: value i of column t is at [t / 32][i][t % 32], so that 32 columns are
 * computed side by side. Sums have one order on every instruction set: equal inputs give equal bits. */
#ifndef IQT_EVAL_DENSE_H
#define IQT_EVAL_DENSE_H

#include "base/base.h"

enum { IQT_PANEL = 32, IQT_ATTEND_MAX = 256 /* values of a head */ };

static inline size_t iqt_panel_at(size_t values, size_t column, size_t i)
{
    return (column / IQT_PANEL * values + i) * IQT_PANEL + column % IQT_PANEL;
}

/* Head `head` of the queries of one panel against all earlier keys. */
struct iqt_attend {
    const float *q, *k, *v;
    float *out;
    size_t q_values, kv_values; /* of a column */
    size_t q_first, kv_first;   /* value of the head within its column */
    size_t head, panel;         /* values of a head; which panel of queries */
    float scale;
    float *scratch; /* IQT_PANEL floats for each panel of keys */
};

struct iqt_dense {
    /* y of rows [first, first + count) of w, k values each, for panels [panel, panels). */
    void (*multiply)(const float *w, size_t k, size_t first, size_t count, const float *x,
                     size_t panel, size_t panels, float *y, size_t y_values);
    void (*attend)(const struct iqt_attend *a);
};
extern const struct iqt_dense iqt_dense_portable, iqt_dense_avx2, iqt_dense_avx512;

/* The best of this machine, or what IQT_CPU asks for. */
IQT_MUST_USE enum iqt_status iqt_dense_find(const struct iqt_dense **out);

#endif
