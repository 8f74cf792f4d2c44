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
    size_t leader; /* the pass whose launch this one is part of, often itself */
    size_t set;    /* of a leader: passes of its launch */
    uint64_t bias_at, gate_bias_at, residual_at, y_at; /* bytes in scratch */
    uint64_t counters_at, partials_at;                 /* the same, where k is split */
};

struct iqt_call {
    struct iqt_queue *q;
    const float *x;
    size_t x_stride, k;
    uint32_t n;
    size_t passes; /* in q->pass */
    /* What the first launch makes of x; NULL: nothing, every pass takes it as it is. */
    const struct iqt_activations *made;
    uint64_t x_at, xq_at, xs_at;       /* bytes in scratch; x is its beginning */
    uint64_t work_at;                  /* counters and partial sums of all passes */
    uint64_t up_bytes, down_at, bytes; /* host writes [0, up), reads [down_at, bytes) */
};

/* Of what it makes; 0: nothing. */
static inline uint64_t iqt_call_made_bytes(const struct iqt_call *c)
{
    return c->made == NULL       ? 0
           : c->made->bytes == 1 ? iqt_call_xq_bytes(c->q->dev, c->k, c->n)
                                 : (uint64_t)c->n * c->k * c->made->bytes;
}

/* Splits checked products into passes, picks and builds their kernels, gives every buffer its place in
 * scratch. forced: the plan of all passes; NULL: choose. */
IQT_MUST_USE enum iqt_status iqt_call_plan(struct iqt_call *call,
                                           const struct iqt_product *products,
                                           size_t count, const struct iqt_plan *forced);
/* Uploads, launches, waits, downloads. */
IQT_MUST_USE enum iqt_status iqt_call_run(struct iqt_call *call, uint64_t *elapsed_ns);

/* What calls of every kind need of a queue: scratch of so many bytes and a stage on the host's side; the
 * launch that makes activations of n vectors of k; waiting, after a failure for what was launched, too. */
IQT_MUST_USE enum iqt_status iqt_queue_reserve(struct iqt_queue *q, uint64_t scratch,
                                               uint64_t stage);
IQT_MUST_USE enum iqt_status iqt_queue_activations(struct iqt_queue *q,
                                                   enum iqt_helper helper,
                                                   struct iqt_slice x, size_t k,
                                                   uint32_t n, struct iqt_slice xq,
                                                   struct iqt_slice xs);
IQT_MUST_USE enum iqt_status iqt_queue_finish(struct iqt_queue *q,
                                              enum iqt_status launched,
                                              uint64_t *elapsed_ns);

/* Counters of a pass that splits k; its launches take turns with them. */
static inline uint32_t iqt_pass_counters(const struct iqt_pass *p)
{
    return iqt_plan_row_groups(&p->built->plan, (uint32_t)p->chunk + p->w->tile_rows);
}

static inline size_t iqt_product_rows(const struct iqt_product *p)
{
    return p->rows ? p->rows : p->w->m - p->row_begin;
}

#endif
