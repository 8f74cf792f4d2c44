/* Products enqueued on a caller's stream: checks, then launches; nothing is allocated, copied or
 * waited for, so that a stream under capture may be used. */
#include "runtime/gpu_hw.h"
#include "runtime/runtime.h"

#include <iqtile/gpu.h>

#include <stdlib.h>

enum { QUANTIZE_THREADS = 64, ALIGNMENT = 16 };

struct iqt_gpu_recorder {
    struct iqt_device *dev;
    struct iqt_mem *scratch; /* quantized activations, then their scales */
    uint32_t max_n;
    size_t max_k;
};

/* ---- Recorders ---- */

static bool is_gpu(const struct iqt_device *dev)
{
    return dev->backend == &iqt_backend_cuda || dev->backend == &iqt_backend_hip;
}

static uint64_t scales_at(const struct iqt_gpu_recorder *r)
{
    return iqt_round_up((uint64_t)r->max_n * r->max_k, ALIGNMENT);
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
    status = iqt_gpu_alloc(dev->hw,
                           scales_at(r) + (uint64_t)r->max_n * r->max_k / IQT_X_BLOCK *
                                              sizeof(struct iqt_xs),
                           NULL, &r->scratch);
    if (status != IQT_OK) {
        free(r);
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

struct record {
    struct iqt_gpu_recorder *r;
    void *stream;
    uint64_t x;
    size_t x_stride, k;
    uint32_t n;
    const struct iqt_gpu_product *products;
    size_t count;
    bool quantized;
};

static size_t rows_of(const struct iqt_gpu_product *p)
{
    return p->rows ? p->rows : p->w->m - p->row_begin;
}

static size_t stride_of(const struct iqt_gpu_product *p)
{
    return p->stride ? p->stride : rows_of(p);
}

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

static enum iqt_status check_product(const struct record *c, size_t at)
{
    const struct iqt_gpu_product *p = &c->products[at];
    const uint64_t addresses = p->bias | p->gate_bias | p->residual | p->y;

    if (p->struct_size != sizeof *p)
        return iqt_fail(IQT_ERR_ARG, "product %zu: struct_size is %zu, expected %zu", at,
                        p->struct_size, sizeof *p);
    if (!p->w || p->w->dev != c->r->dev)
        return iqt_fail(IQT_ERR_ARG,
                        "product %zu: w is not a matrix of the recorder's device", at);
    if (p->w->k != c->k)
        return iqt_fail(IQT_ERR_SHAPE, "product %zu has k = %zu, product 0 %zu", at,
                        p->w->k, c->k);
    if (p->row_begin >= p->w->m || rows_of(p) > p->w->m - p->row_begin)
        return iqt_fail(IQT_ERR_SHAPE, "product %zu: rows %zu + %zu exceed m = %zu", at,
                        p->row_begin, p->rows, p->w->m);
    if (stride_of(p) < rows_of(p))
        return iqt_fail(IQT_ERR_SHAPE, "product %zu: stride %zu is below %zu rows", at,
                        p->stride, rows_of(p));
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

static uint64_t y_bytes(const struct record *c, const struct iqt_gpu_product *p)
{
    return ((uint64_t)(c->n - 1) * stride_of(p) + rows_of(p)) * sizeof(float);
}

static enum iqt_status check_alias(const struct record *c, size_t at)
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

static enum iqt_status check(struct record *c)
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

/* ---- Launches ---- */

static enum iqt_status launch_quantizer(const struct record *c)
{
    const struct iqt_quantize_params params = { .k = (uint32_t)c->k,
                                                .cols = c->n,
                                                .x_stride = (uint32_t)c->x_stride };
    const uint64_t blocks = (uint64_t)c->n * c->k / IQT_X_BLOCK;
    uint64_t address[IQT_BINDINGS] = { [IQT_BIND_W] = c->x,
                                       [IQT_BIND_XQ] = c->r->scratch->address,
                                       [IQT_BIND_XS] =
                                           c->r->scratch->address + scales_at(c->r) };
    const struct iqt_built *built;

    IQT_TRY(iqt_kernel_get(c->r->dev, NULL, &built));
    return iqt_gpu_enqueue(
        c->r->dev->hw, c->stream, built->kernel, address, &params,
        (uint32_t)((blocks + QUANTIZE_THREADS - 1) / QUANTIZE_THREADS));
}

static struct iqt_params params_of(const struct record *c,
                                   const struct iqt_gpu_product *p, size_t begin,
                                   size_t rows)
{
    return (struct iqt_params){
        .rows = (uint32_t)rows,
        .k = (uint32_t)c->k,
        .row0 = (uint32_t)(p->row_begin + begin),
        .row_bytes = (uint32_t)p->w->row_bytes,
        .cols = c->n,
        .y_stride = (uint32_t)stride_of(p),
        .y_base = (uint32_t)begin,
        .flags = (p->bias ? (uint32_t)IQT_FLAG_BIAS : 0) |
                 (p->gate_bias ? (uint32_t)IQT_FLAG_GATE_BIAS : 0) |
                 (p->residual ? (uint32_t)IQT_FLAG_RESIDUAL : 0),
        .act = p->gate ? p->act : 0,
        .limit = p->gate ? p->limit : 0,
        .skip = (uint32_t)((p->row_begin + begin) % p->w->tile_rows),
    };
}

/* Weights of a row may start anywhere: a binding starts on 16 bytes, the rest is w_base. */
static uint64_t rows_at(const struct iqt_matrix *w, size_t row, uint32_t *base)
{
    const uint64_t at =
        w->mem->address + (uint64_t)(row - row % w->tile_rows) * w->row_bytes;

    *base = (uint32_t)(at % ALIGNMENT);
    return at - *base;
}

static enum iqt_status launch_product(const struct record *c,
                                      const struct iqt_gpu_product *p)
{
    const struct iqt_device *dev = c->r->dev;
    const bool is_float = p->w->format->decode == IQT_DECODE_FLOAT;
    const size_t most = (dev->max_binding - 64) / p->w->row_bytes / 64 * 64;
    const size_t chunk = most > 0 ? most : 1;
    const struct iqt_built *built;

    IQT_TRY(iqt_plan_choose(c->r->dev, p->w, p->gate ? IQT_OP_GATED : IQT_OP_MATVEC, c->n,
                            &built));
    for (size_t begin = 0; begin < rows_of(p); begin += chunk) {
        const size_t left = rows_of(p) - begin, rows = left < chunk ? left : chunk;
        struct iqt_params params = params_of(c, p, begin, rows);
        uint64_t address[IQT_BINDINGS] = {
            [IQT_BIND_W] = rows_at(p->w, p->row_begin + begin, &params.w_base),
            [IQT_BIND_GATE] = rows_at(p->gate ? p->gate : p->w, p->row_begin + begin,
                                      &params.gate_base),
            [IQT_BIND_XQ] = is_float ? c->x : c->r->scratch->address,
            [IQT_BIND_XS] = is_float ? 0 : c->r->scratch->address + scales_at(c->r),
            [IQT_BIND_BIAS] = p->bias,
            [IQT_BIND_GATE_BIAS] = p->gate_bias,
            [IQT_BIND_RESIDUAL] = p->residual,
            [IQT_BIND_Y] = p->y,
        };

        IQT_TRY(
            iqt_gpu_enqueue(dev->hw, c->stream, built->kernel, address, &params,
                            iqt_plan_groups(&built->plan, (uint32_t)rows + params.skip)));
    }
    return IQT_OK;
}

static enum iqt_status launch_all(const struct record *c)
{
    if (c->quantized)
        IQT_TRY(launch_quantizer(c));
    for (size_t i = 0; i < c->count; i++)
        IQT_TRY(launch_product(c, &c->products[i]));
    return IQT_OK;
}

enum iqt_status iqt_gpu_record(struct iqt_gpu_recorder *r, void *stream, uint64_t x,
                               size_t x_stride, uint32_t n,
                               const struct iqt_gpu_product *products, size_t count)
{
    struct record c = { .r = r,
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
    status = launch_all(&c);
    iqt_gpu_leave(hw, saved);
    return status;
}
