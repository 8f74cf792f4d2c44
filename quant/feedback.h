/* Error feedback across the columns of a row, from second-order statistics of what a matrix is multiplied with.
 *
 * If H is the sum of x^T x over inputs x, an error e in a row of weights costs e H e^T. H = C D C^T, C upper
 * triangular with ones on its diagonal, makes that the sum over columns j of d_j (e_j + sum of c_ij e_i, i < j)^2:
 * encoding columns in their order, each for its weight plus what the errors of earlier columns ask for, leaves only
 * what rounding does at each. That is GPTQ (Frantar et al. 2022, arXiv:2210.17323) in the form of Chee et al. 2023
 * (arXiv:2307.13304), who call it LDLQ and show that they are the same. Columns are in windows; what lies outside of
 * its window counts as independent. */
#ifndef IQT_QUANT_FEEDBACK_H
#define IQT_QUANT_FEEDBACK_H

#include "base/base.h"

struct iqt_pool;

/* Of one matrix; immutable. */
struct iqt_feedback {
    size_t k, window; /* columns; of a window, the last may be shorter */
    float *c;         /* row i, window floats: c_ij at [j - first column of the window] */
    float *d;
    bool is_none; /* all c are 0 */
};

/* h: k rows of window floats, of row i the columns of its window, little-endian, at any address; only what lies left
 * of the diagonal and on it is read. damping times the mean of the diagonal is added to the diagonal. A window of
 * zeros asks for nothing. IQT_ERR_FORMAT: h is not positive definite. */
IQT_MUST_USE enum iqt_status iqt_feedback_create(size_t k, size_t window, const void *h,
                                                 double damping, struct iqt_pool *pool,
                                                 struct iqt_feedback **out);
void iqt_feedback_destroy(struct iqt_feedback *f); /* NULL is allowed */

/* What misses in columns [begin, end) of one window, miss[j] = weight - what stands for it, ask of the columns from
 * `from` on: added to x. */
void iqt_feedback_push(const struct iqt_feedback *f, const float *miss, size_t begin,
                       size_t end, size_t from, float *x);
/* What columns [begin, end) of one window are to become together, from x, which has what earlier ones ask for: each
 * also makes up for what those before it in the range mean to miss, from - x. */
void iqt_feedback_aim(const struct iqt_feedback *f, const float *from, size_t begin,
                      size_t end, float *x);
/* to = x C */
void iqt_feedback_mix(const struct iqt_feedback *f, const float *x, float *to);

#endif
