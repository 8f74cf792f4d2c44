/* Weights to time with: a tensor as it is, a wanted shape filled from tensors, or random rows.
 * Knows no device. */
#ifndef IQT_BENCH_MATRIX_H
#define IQT_BENCH_MATRIX_H

#include "kernels/format.h"

#include <iqtile/gguf.h>

enum { IQT_ORIGIN_BYTES = 128 };

struct iqt_bench_matrix {
    const struct iqt_format *format;
    size_t m, k, bytes;
    const uint8_t *rows; /* m rows of GGUF bytes */
    uint8_t *owned;      /* NULL: rows belong to a GGUF file */
    char origin[IQT_ORIGIN_BYTES];
};

/* Borrows the tensor's data; the file must stay open. */
IQT_MUST_USE enum iqt_status iqt_bench_matrix_of_tensor(const struct iqt_gguf_tensor *t,
                                                        struct iqt_bench_matrix *out);
/* Fills m x k from count tensors of one format. A row is made by joining the superblocks of
 * successive source rows until k is reached; it keeps the row header of the first. Each row
 * starts with a fresh source row; after the last one the first comes again. So scales, codes and
 * bytes are those of a real model, while the values are of no real layer. */
IQT_MUST_USE enum iqt_status iqt_bench_matrix_tile(const struct iqt_gguf_tensor *tensors,
                                                   size_t count, size_t m, size_t k,
                                                   struct iqt_bench_matrix *out);
/* Random codes with scales of a plain size. */
IQT_MUST_USE enum iqt_status iqt_bench_matrix_random(const struct iqt_format *f, size_t m,
                                                     size_t k, uint64_t seed,
                                                     struct iqt_bench_matrix *out);
void iqt_bench_matrix_free(struct iqt_bench_matrix *w); /* leaves it empty */

/* Whether iqtile has kernels for the tensor and it is a matrix inside the file: what can be
 * uploaded. float_types: F32, F16 and BF16, too. */
bool iqt_bench_matrix_usable(const struct iqt_gguf_tensor *t, bool float_types);

/* One kind of product that files need: a format and a shape, and what of it there is. */
struct iqt_bench_shape {
    const struct iqt_format *format;
    size_t m, k;
    struct iqt_gguf_tensor tensor; /* the first with it */
    uint32_t tensors;
    uint64_t bytes; /* of one matrix */
};
/* The distinct shapes of the usable tensors, float types left out, in order of bits per weight,
 * format, bytes. Writes at most cap, returns the total. */
size_t iqt_bench_shapes(struct iqt_gguf *const *files, size_t count,
                        struct iqt_bench_shape *out, size_t cap);
/* Sorts shapes into that order. */
void iqt_bench_shapes_sort(struct iqt_bench_shape *shapes, size_t count);

/* "4096x14336" (m x k) from a list such as "4096x4096,14336x4096": reads one shape at *list and
 * moves on behind it and its comma. */
IQT_MUST_USE enum iqt_status iqt_bench_shape_parse(const char **list, size_t *m,
                                                   size_t *k);

#endif
