/* The rungs of the correctness ladder, on one matrix of one device. Each returns IQT_OK when the
 * kernel is right; IQT_ERR_INTERNAL when it is wrong, and then iqt_last_error() says where; what
 * the device reports otherwise. */
#ifndef IQT_TOOLS_LADDER_H
#define IQT_TOOLS_LADDER_H

#include "runtime/runtime.h"
#include "runtime/verify.h"

struct iqt_rung {
    struct iqt_queue *queue;
    struct iqt_matrix *matrix;
    const struct iqt_plan *plan; /* forced; NULL: the one the library chooses */
};

/* y[n][m] = W x, through a buffer full of NaN with guards around each vector of results: a kernel
 * that leaves a result out, or writes beside one, is caught. */
IQT_MUST_USE enum iqt_status iqt_rung_run(const struct iqt_rung *r, const float *x,
                                          uint32_t n, float *y);

/* Runs n columns of x, compares with the exact model, and leaves the results in y[n][m].
 * *worst becomes the largest |difference| / sum |w x| if that is larger. */
IQT_MUST_USE enum iqt_status iqt_rung_model(const struct iqt_rung *r,
                                            const struct iqt_model *model, const float *x,
                                            uint32_t n, float *y, double *worst);

/* The plan that r uses at n columns gives each column the bits that it has alone. y: the results
 * of iqt_rung_run(). Rows that are not finite are left out. */
IQT_MUST_USE enum iqt_status iqt_rung_columns(const struct iqt_rung *r, const float *x,
                                              uint32_t n, const float *y);

/* One-hot activations at every column return the decoded weights. weights: m * k floats in
 * compute mode. parts: the size of what a minimum takes from each weight, m * k floats, or NULL.
 * Rows with weights that are not finite are left out. */
IQT_MUST_USE enum iqt_status iqt_rung_one_hot(const struct iqt_rung *r,
                                              const float *weights, const float *parts);

/* Decodes m rows in compute mode into weights[m * k]; parts (may be NULL, allowed only for
 * formats with minima) as above. */
IQT_MUST_USE enum iqt_status iqt_rung_decode(const struct iqt_format *f,
                                             const uint8_t *rows, size_t m, size_t k,
                                             float *weights, float *parts);

#endif
