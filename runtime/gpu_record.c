/* Recorders, and products enqueued on a caller's stream: checks, then gpu_launch.c; nothing is
 * allocated, copied or waited for, so that a stream under capture may be used. */
#include "runtime/gpu_recorder.h"

#include <stdlib.h>

enum { ALIGNMENT = IQT_GPU_ALIGNMENT };

/* ---- Recorders ---- */

static bool is_gpu(const struct iqt_device *dev)
{
    return dev->backend == &iqt_backend_cuda || dev->backend == &iqt_backend_hip;
}

/* Gives every part its place and returns the bytes of all. */
static uint64_t place_scratch(struct iqt_gpu_recorder *r)
{
    const uint64_t activations = (uint64_t)r->max_n * r->max_k;

    r->lanes_at = iqt_round_up(activations, ALIGNMENT);
    r->scales_at = r->lanes_at; /* in whole 512 for vectors of 256 or more: */
    if (iqt_call_lanes_at(r->dev, 256, r->max_n) != 0)
        r->scales_at += 2 * activations;
    r->work_at = iqt_round_up(
        r->scales_at + activations / IQT_X_BLOCK * sizeof(struct iqt_xs), ALIGNMENT);
    r->work = iqt_work_for(&r->dev->limits, r->max_n);
    return r->work_at + iqt_work_bytes(&r->work);
}

static enum iqt_status zero(struct iqt_hw *hw, uint64_t address, uint64_t bytes)
{
    IQT_GPU_TRY(hw->api, fill_async, address, 0, bytes, hw->stream);
    IQT_GPU_TRY(hw->api, stream_wait, hw->stream);
    return IQT_OK;
}

/* The last workgroup of a group of rows leaves its counter at 0 again. */
static enum iqt_status zero_counters(struct iqt_gpu_recorder *r)
{
    struct iqt_hw *hw = r->dev->hw;
    enum iqt_status status;
    void *saved;

    if (r->work.counters == 0)
        return IQT_OK;
    IQT_TRY(iqt_gpu_enter(hw, &saved));
    pthread_mutex_lock(&hw->stream_lock);
    status =
        zero(hw, r->scratch->address + r->work_at, r->work.counters * sizeof(uint32_t));
    pthread_mutex_unlock(&hw->stream_lock);
    iqt_gpu_leave(hw, saved);
    return status;
}

enum iqt_status iqt_gpu_recorder_create(struct iqt_device *dev, uint32_t max_n,
                                        size_t max_k, struct iqt_gpu_recorder **out)
{
    struct iqt_gpu_recorder *r;
    enum iqt_status status;

    if (!dev || !out)
        return iqt_fail(IQT_ERR_ARG, "iqt_gpu_recorder_create: %s is NULL",
                        dev ? "out" : "dev");
    if (!is_gpu(dev))
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s is no device of backend cuda or hip",
                        dev->info.spec);
    if (max_n < 1 || max_n > IQT_MAX_COLS || max_k == 0 ||
        max_k > UINT32_MAX / IQT_MAX_COLS)
        return iqt_fail(IQT_ERR_SHAPE,
                        "recorder for %u vectors of %zu; 1 .. %u of 1 .. %u", max_n,
                        max_k, IQT_MAX_COLS, UINT32_MAX / IQT_MAX_COLS);
    r = calloc(1, sizeof *r);
    if (!r)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a recorder");
    r->dev = dev;
    r->max_n = max_n;
    r->max_k = iqt_round_up(max_k, IQT_X_BLOCK);
    status = iqt_gpu_alloc(dev->hw, place_scratch(r), NULL, &r->scratch);
    if (status == IQT_OK)
        status = zero_counters(r);
    if (status != IQT_OK) {
        iqt_gpu_recorder_destroy(r);
        return status;
    }
    *out = r;
    return IQT_OK;
}

void iqt_gpu_recorder_destroy(struct iqt_gpu_recorder *r)
{
    if (!r)
        return;
    iqt_gpu_free(r->dev->hw, r->scratch);
    free(r);
}

/* ---- Checks ---- */

static enum iqt_status check_gate(const struct iqt_gpu_product *p, size_t at)
{
    const struct iqt_matrix *g = p->gate, *w = p->w;

    if (!g)
        return p->gate_bias == 0
                   ? IQT_OK
                   : iqt_fail(IQT_ERR_ARG, "product %zu: gate_bias without gate", at);
    if (g->dev != w->dev || g->format != w->format || g->layout != w->layout ||
        g->m != w->m || g->k != w->k)
        return iqt_fail(
            IQT_ERR_SHAPE,
            "product %zu: gate differs from w in device, format, layout or shape", at);
    if ((unsigned)p->act > IQT_ACT_SWIGLU_OAI)
        return iqt_fail(IQT_ERR_ARG, "product %zu: act is %d", at, (int)p->act);
    if (p->act == IQT_ACT_SWIGLU_OAI && !(p->limit > 0))
        return iqt_fail(IQT_ERR_ARG, "product %zu: limit is %g, expected > 0", at,
                        (double)p->limit);
    return IQT_OK;
}

static enum iqt_status check_product(const struct iqt_gpu_call *c, size_t at)
{
    const struct iqt_gpu_product *p = &c->products[at];
    const uint64_t addresses = p->bias | p->gate_bias | p->residual | p->y;

    if (p->struct_size != sizeof *p)
        return iqt_fail(IQT_ERR_ARG, "product %zu: struct_size is %zu, expected %zu", at,
                        p->struct_size, sizeof *p);
    if (!p->w || p->w->dev != c->r->dev)
        return iqt_fail(IQT_ERR_ARG,
                        "product %zu: w is not a matrix of the recorder's device", at);
    if (p->w->experts)
        return iqt_fail(IQT_ERR_ARG,
                        "product %zu: a matrix of experts is for iqt_gpu_record_routed()",
                        at);
    if (p->w->k != c->k)
        return iqt_fail(IQT_ERR_SHAPE, "product %zu has k = %zu, product 0 %zu", at,
                        p->w->k, c->k);
    if (p->row_begin >= p->w->m || iqt_gpu_rows(p) > p->w->m - p->row_begin)
        return iqt_fail(IQT_ERR_SHAPE, "product %zu: rows %zu + %zu exceed m = %zu", at,
                        p->row_begin, p->rows, p->w->m);
    if (iqt_gpu_stride(p) < iqt_gpu_rows(p))
        return iqt_fail(IQT_ERR_SHAPE, "product %zu: stride %zu is below %zu rows", at,
                        p->stride, iqt_gpu_rows(p));
    if (p->y == 0 || addresses % ALIGNMENT != 0)
        return iqt_fail(IQT_ERR_ARG,
                        "product %zu: y is 0 or an address is not a multiple of %d", at,
                        ALIGNMENT);
    return check_gate(p, at);
}

static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a != 0 && b != 0 && a < b + b_bytes && b < a + a_bytes;
}

static uint64_t y_bytes(const struct iqt_gpu_call *c, const struct iqt_gpu_product *p)
{
    return ((uint64_t)(c->n - 1) * iqt_gpu_stride(p) + iqt_gpu_rows(p)) * sizeof(float);
}

static enum iqt_status check_alias(const struct iqt_gpu_call *c, size_t at)
{
    const struct iqt_gpu_product *p = &c->products[at];
    const uint64_t bytes = y_bytes(c, p);

    if (overlap(p->y, bytes, c->x,
                ((uint64_t)(c->n - 1) * c->x_stride + c->k) * sizeof(float)))
        return iqt_fail(IQT_ERR_ARG, "product %zu: y overlaps x", at);
    for (size_t i = 0; i < c->count; i++) {
        const struct iqt_gpu_product *o = &c->products[i];
        const uint64_t other = y_bytes(c, o), floats = o->w->m * sizeof(float);

        if ((i != at && (overlap(p->y, bytes, o->y, other) ||
                         overlap(p->y, bytes, o->residual, other))) ||
            overlap(p->y, bytes, o->bias, floats) ||
            overlap(p->y, bytes, o->gate_bias, floats))
            return iqt_fail(IQT_ERR_ARG,
                            "y of product %zu overlaps a buffer of product %zu", at, i);
    }
    return IQT_OK;
}

static enum iqt_status check(struct iqt_gpu_call *c)
{
    if (!c->r || !c->products || c->count == 0 || !c->products[0].w)
        return iqt_fail(IQT_ERR_ARG, "iqt_gpu_record: a NULL argument or no product");
    c->k = c->products[0].w->k;
    c->x_stride = c->x_stride ? c->x_stride : c->k;
    if (c->n < 1 || c->n > c->r->max_n || c->k > c->r->max_k)
        return iqt_fail(IQT_ERR_NO_MEMORY,
                        "%u vectors of %zu; the recorder has room for %u of %zu", c->n,
                        c->k, c->r->max_n, c->r->max_k);
    if (c->x == 0 || c->x % ALIGNMENT != 0 || c->x_stride < c->k)
        return iqt_fail(IQT_ERR_ARG,
                        "x is 0, no multiple of %d, or its stride %zu below %zu",
                        ALIGNMENT, c->x_stride, c->k);
    for (size_t i = 0; i < c->count; i++)
        IQT_TRY(check_product(c, i));
    for (size_t i = 0; i < c->count; i++) {
        const bool is_float = c->products[i].w->format->decode == IQT_DECODE_FLOAT;

        c->quantized |= !is_float;
        if (is_float && c->x_stride != c->k)
            return iqt_fail(IQT_ERR_SHAPE, "product %zu: float weights need x_stride = k",
                            i);
        IQT_TRY(check_alias(c, i));
    }
    return IQT_OK;
}

enum iqt_status iqt_gpu_record(struct iqt_gpu_recorder *r, void *stream, uint64_t x,
                               size_t x_stride, uint32_t n,
                               const struct iqt_gpu_product *products, size_t count)
{
    struct iqt_gpu_call c = { .r = r,
                              .stream = stream,
                              .x = x,
                              .x_stride = x_stride,
                              .n = n,
                              .products = products,
                              .count = count };
    enum iqt_status status;
    struct iqt_hw *hw;
    void *saved;

    IQT_TRY(check(&c));
    hw = r->dev->hw;
    IQT_TRY(hw->api->driver->check_stream(hw->api, hw->context, stream));
    IQT_TRY(iqt_gpu_enter(hw, &saved));
    status = iqt_gpu_launch_all(&c);
    iqt_gpu_leave(hw, saved);
    return status;
}
