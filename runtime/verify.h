/* Knowing that a product is right: the exact scalar model of every kernel, the comparison with
 * it, and random weights that are valid for any format. Shared by `check`, `golden`, the tuner
 * and the tests. Knows no device. */
#ifndef IQT_RUNTIME_VERIFY_H
#define IQT_RUNTIME_VERIFY_H

#include "kernels/plan.h"

/* ---- The exact model ------------------------------------------------------------------ */

/* What y = W x must be, in double. W is decoded in compute mode; x is quantized as the kernels
 * do it (iqt_quantize_ref), or used as it is by IQT_DECODE_FLOAT formats. */
struct iqt_model {
    size_t m;
    uint32_t n;
    double *y;     /* [n][m] */
    double *bound; /* [n][m]: sum over the row of |w x| */
    double tiny;   /* absolute slack for flushed subnormals */
};

/* rows: m rows of GGUF bytes, one after the other. x: n vectors, x_stride floats apart (0: k).
 * Decodes one row at a time; large products are split over threads. */
IQT_MUST_USE enum iqt_status iqt_model_run(const struct iqt_format *f, const void *rows,
                                           size_t m, size_t k, const float *x,
                                           size_t x_stride, uint32_t n,
                                           struct iqt_model *out);
/* The same of a compute kind that need not be the format's: f16 has x halved (iqt_halve_ref), f32 as it is. */
IQT_MUST_USE enum iqt_status iqt_model_run_as(const struct iqt_format *f,
                                              enum iqt_compute kind, const void *rows,
                                              size_t m, size_t k, const float *x,
                                              size_t x_stride, uint32_t n,
                                              struct iqt_model *out);
void iqt_model_free(struct iqt_model *model); /* leaves an empty model */

/* Leaves a row out of comparisons: its bound becomes infinite. */
void iqt_model_skip_row(struct iqt_model *model, size_t row);

/* Accuracy every kernel owes: |y - model| <= IQT_MODEL_RTOL * sum |w x|. */
#define IQT_MODEL_RTOL 1e-5

struct iqt_mismatch {
    size_t count; /* values outside their tolerance */
    size_t row;   /* the worst one of them */
    uint32_t col;
    double got, want, allowed;
};

/* Compares the first n columns of y (y_stride floats apart; 0: m) with the model; row r of y is
 * the model's row row_begin + r. Where the model is not finite, y must not be finite either.
 * True when all agree; worst (may be NULL) is filled in either case. */
bool iqt_model_agrees(const struct iqt_model *model, const float *y, size_t y_stride,
                      uint32_t n, size_t row_begin, size_t rows,
                      struct iqt_mismatch *worst);

/* ---- Random weights ------------------------------------------------------------------- */

/* A small generator (splitmix64): equal seeds give equal rows on every machine. */
struct iqt_rng {
    uint64_t state;
};
uint32_t iqt_rng_next(struct iqt_rng *rng);
uint32_t iqt_rng_below(struct iqt_rng *rng, uint32_t end); /* 0 .. end - 1; end > 0 */
float iqt_rng_gauss(struct iqt_rng *rng);

enum iqt_fill { /* the bytes of codes and integer scales */
                IQT_FILL_RANDOM,
                IQT_FILL_ZEROS, /* every bit 0: the lowest codes and scales */
                IQT_FILL_ONES,  /* every bit 1: the highest */
                IQT_FILLS,
};

enum iqt_magnitude { /* the float scales, and the elements of float formats */
                     IQT_MAGNITUDE_PLAIN, /* 2^-12 .. 2^-5, both signs */
                     IQT_MAGNITUDE_SMALL, /* half-precision subnormals; about 2^-60 for the wider floats */
                     IQT_MAGNITUDE_LARGE, /* up to the largest half; about 2^40 for the wider floats */
                     IQT_MAGNITUDE_ZERO, /* +0 and -0 */
                     IQT_MAGNITUDES,
};

/* Writes `rows` valid rows of k weights (k legal for f): fill everywhere, but finite scales. */
void iqt_random_rows(const struct iqt_format *f, size_t k, size_t rows,
                     enum iqt_fill fill, enum iqt_magnitude magnitude,
                     struct iqt_rng *rng, uint8_t *out);

/* Sets the minimum's scale (super_min) of every superblock to 0 and leaves the rest: what the
 * decoded weight loses by it is the size of the subtracted part. No-op without minima. */
void iqt_clear_minima(const struct iqt_format *f, size_t k, size_t rows, uint8_t *bytes);

#endif
