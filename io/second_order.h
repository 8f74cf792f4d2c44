/* Second-order statistics: how the inputs of each weight matrix vary together, for error feedback.
 *
 * A GGUF file with two tensors of floats for a matrix NAME, or a stack of them, with k columns:
 *
 *     NAME.hessian  (window, k, matrices)  row i: sums over inputs x of x_i x_j for the columns j of the window
 *                                          that i is in, [i / window * window, + window); beyond column k: 0
 *     NAME.counts   (1, matrices)          inputs that the sums are of
 *
 * window is k, then all of x^T x is there, or a multiple of 256 below k: blocks along the diagonal. Matrices with the
 * same inputs have one entry: attn_q serves attn_k and attn_v, ffn_up ffn_gate. */
#ifndef IQT_IO_SECOND_ORDER_H
#define IQT_IO_SECOND_ORDER_H

#include "base/base.h"

#include <iqtile/gguf.h>

enum { IQT_SECOND_WINDOW = 1024, IQT_SECOND_STEP = 256 };

struct iqt_second_entry {
    char *name; /* of the weights */
    size_t columns, window, matrices;
    const uint8_t
        *sum; /* matrices * columns * window floats, unaligned: in the file, or own */
    const uint8_t *count;
    float *own, *own_count;
};

struct iqt_second {
    char *path;
    struct iqt_second_entry *entry;
    size_t entries, capacity;
    uint32_t chunks, chunk_size;
    struct iqt_buf datasets; /* names of texts, a line each */
    struct iqt_gguf *gguf;   /* what the entries point into */
};

/* Finite sums, symmetric, diagonals not below 0, no product above what diagonals allow: all else is
 * IQT_ERR_FORMAT, which names file and tensor. */
IQT_MUST_USE enum iqt_status iqt_second_read(const char *path, struct iqt_second **out);
/* The bytes must outlive *out. */
IQT_MUST_USE enum iqt_status iqt_second_parse(const void *data, size_t bytes,
                                              struct iqt_second **out);

IQT_MUST_USE enum iqt_status iqt_second_create(const char *path, struct iqt_second **out);
void iqt_second_destroy(struct iqt_second *s); /* NULL is allowed */
/* What window rows of so many columns have when at most so many are asked for. */
size_t iqt_second_window(size_t columns, size_t asked);
/* An entry more, own sums and counts of zero. */
IQT_MUST_USE enum iqt_status iqt_second_append(struct iqt_second *s, const char *name,
                                               size_t columns, size_t window,
                                               size_t matrices,
                                               struct iqt_second_entry **out);
/* Adds one input more, x^T x, 32 inputs at once: column i of input t is x[i * 32 + t]. Only left of the diagonal and
 * on it, for rows [begin, begin + count). */
void iqt_second_add(struct iqt_second_entry *e, size_t matrix, const float *x,
                    size_t begin, size_t count);
enum { IQT_SECOND_INPUTS = 32 };
/* Copies what is left of the diagonals to their right. */
void iqt_second_mirror(struct iqt_second_entry *e);

/* The entry for a tensor, under its name or that of a tensor with the same inputs: *out NULL when there is none.
 * IQT_ERR_FORMAT when columns or matrices are not ne[0] and ne[2]. */
IQT_MUST_USE enum iqt_status iqt_second_match(const struct iqt_second *s,
                                              const char *name, const uint64_t ne[4],
                                              const struct iqt_second_entry **out);

/* Whether a GGUF file says that it is one of these. */
bool iqt_second_is(const struct iqt_gguf *g);

/* ---- second_order_merge.c ---- */

/* Adds what from has to s, whose entries are all own ones; IQT_ERR_FORMAT where shapes differ. */
IQT_MUST_USE enum iqt_status iqt_second_merge(struct iqt_second *s,
                                              const struct iqt_second *from);

/* ---- second_order_write.c ---- */

/* The file appears whole or not at all. */
IQT_MUST_USE enum iqt_status iqt_second_write(const struct iqt_second *s,
                                              const char *path);

#endif
