/* How a call becomes launches. A pass is one kernel over the rows of one matrix or of a fused
 * pair: a product is one pass, or two when its matrices cannot be fused. Passes are cut into
 * chunks of rows, one launch each, so that every binding stays within the device's limit. */
#ifndef IQT_RUNTIME_PASS_H
#define IQT_RUNTIME_PASS_H

#include "runtime/runtime.h"

struct iqt_pass {
    const struct iqt_product *product;
    const struct iqt_matrix *w, *gate;        /* gate NULL: plain */
    const float *bias, *gate_bias, *residual; /* NULL: not in this pass */
    const struct iqt_built *built;
    size_t rows, chunk;   /* rows of the product, rows of a launch */
    uint64_t chunk_bytes; /* between the results of two launches */
    bool
        combine; /* results still need act(this) * (next pass) (+ residual) on the host */
    uint64_t bias_at, gate_bias_at, residual_at, y_at; /* bytes in scratch */
};

struct iqt_call {
    struct iqt_queue *q;
    const float *x;
    size_t x_stride, k;
    uint32_t n;
    size_t passes;  /* in q->pass */
    bool quantized; /* some pass needs int8 activations */
    const struct iqt_built *quantizer;
    uint64_t x_at, xq_at, xs_at;       /* bytes in scratch */
    uint64_t up_bytes, down_at, bytes; /* host writes [0, up), reads [down_at, bytes) */
};

/* Splits checked products into passes and gives every buffer its place in scratch. */
IQT_MUST_USE enum iqt_status iqt_call_plan(struct iqt_call *call,
                                           const struct iqt_product *products,
                                           size_t count);
/* Picks and builds the kernels of a planned call. */
IQT_MUST_USE enum iqt_status iqt_call_choose(struct iqt_call *call,
                                             const struct iqt_plan *forced);
/* Uploads, launches, waits, downloads. */
IQT_MUST_USE enum iqt_status iqt_call_run(struct iqt_call *call, uint64_t *elapsed_ns);

static inline size_t iqt_product_rows(const struct iqt_product *p)
{
    return p->rows ? p->rows : p->w->m - p->row_begin;
}

#endif
