/* Routed experts: checks, parameters of the launch, and the call with vectors in host memory. Which
 * expert a result needs is the kernel's affair. */
#include "runtime/routed.h"

#include "runtime/pass.h"

#include <string.h>

/* ---- Checks ---- */

static enum iqt_status check_gate(const struct iqt_routed_call *c)
{
    const struct iqt_matrix *w = c->w, *g = c->gate;

    if (!g)
        return c->gate_bias ? iqt_fail(IQT_ERR_ARG, "routed: gate_bias without a gate")
                            : IQT_OK;
    if (g->dev != w->dev || g->experts != w->experts || g->m != w->m || g->k != w->k ||
        g->format != w->format || g->layout != w->layout)
        return iqt_fail(IQT_ERR_SHAPE, "routed: gate differs from w in device, experts, "
                                       "shape, format or layout");
    if ((unsigned)c->act > IQT_ACT_SWIGLU_OAI)
        return iqt_fail(IQT_ERR_ARG, "routed: unknown activation %d", (int)c->act);
    if (c->act == IQT_ACT_SWIGLU_OAI && !(c->limit > 0))
        return iqt_fail(IQT_ERR_ARG, "routed: limit is %g, must be positive",
                        (double)c->limit);
    return IQT_OK;
}

/* Kernels count groups, results and blocks of activations with 32 bits. */
static enum iqt_status check_sizes(struct iqt_routed_call *c)
{
    const uint64_t jobs = (uint64_t)c->tokens * c->used;

    if (c->tokens == 0 || c->used == 0)
        return iqt_fail(IQT_ERR_SHAPE, "routed: %u tokens with %u experts each",
                        c->tokens, c->used);
    c->x_stride = c->x_stride ? c->x_stride : c->w->k;
    c->y_stride = c->y_stride ? c->y_stride : c->w->m;
    if (c->x_stride < c->w->k || c->y_stride < c->w->m)
        return iqt_fail(
            IQT_ERR_SHAPE,
            "routed: strides of x and y are %zu and %zu, vectors have %zu and %zu",
            c->x_stride, c->y_stride, c->w->k, c->w->m);
    if (jobs > UINT32_MAX / c->y_stride || jobs > UINT32_MAX / c->x_stride)
        return iqt_fail(IQT_ERR_SHAPE,
                        "routed: %llu results of %zu from vectors of %zu: too many",
                        (unsigned long long)jobs, c->y_stride, c->x_stride);
    c->jobs = (uint32_t)jobs;
    c->vectors = c->x_per_slot ? c->jobs : c->tokens;
    return IQT_OK;
}

enum iqt_status iqt_routed_check_x(const struct iqt_routed_call *c)
{
    if (iqt_routed_floats(c) && c->vectors > 1 && c->x_stride != c->w->k)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "routed: %s weights need x_stride %zu, not %zu",
                        c->w->format->name, c->w->k, c->x_stride);
    return IQT_OK;
}

enum iqt_status iqt_routed_check(const struct iqt_device *dev, struct iqt_routed_call *c)
{
    if (!c->w || !c->w->experts)
        return iqt_fail(IQT_ERR_ARG, "routed: w is %s",
                        c->w ? "no matrix of experts" : "NULL");
    if (c->w->dev != dev)
        return iqt_fail(IQT_ERR_ARG, "routed: w lives on another device");
    IQT_TRY(check_gate(c));
    return check_sizes(c);
}

/* ---- Launches ---- */

enum iqt_status iqt_routed_kernel(const struct iqt_routed_call *c,
                                  const struct iqt_built **out)
{
    return iqt_plan_choose(c->w->dev, c->w, c->gate ? IQT_OP_GATED : IQT_OP_MATVEC, 1,
                           out);
}

static uint64_t expert_bytes(const struct iqt_matrix *w)
{
    return (uint64_t)w->expert_rows * w->row_bytes;
}

/* Only GLSL cannot move the address of a buffer. */
size_t iqt_routed_reach(const struct iqt_matrix *w)
{
    const struct iqt_device *dev = w->dev;
    /* A slice starts up to an alignment early and ends up to two vectors late. */
    const uint64_t room = dev->max_binding - dev->offset_align - 32;
    const uint64_t reach = room / expert_bytes(w);

    if (dev->backend->dialect != IQT_DIALECT_GLSL || reach >= w->experts)
        return w->experts;
    return reach > 0 ? reach : 1;
}

struct iqt_params iqt_routed_params(const struct iqt_routed_call *c, size_t begin,
                                    size_t end)
{
    const uint64_t bytes = expert_bytes(c->w);

    return (struct iqt_params){
        .rows = (uint32_t)c->w->m,
        .k = (uint32_t)c->w->k,
        .row_bytes = (uint32_t)c->w->row_bytes,
        .cols = 1,
        .y_stride = (uint32_t)c->y_stride,
        .flags = (c->bias ? (uint32_t)IQT_FLAG_BIAS : 0) |
                 (c->gate_bias ? (uint32_t)IQT_FLAG_GATE_BIAS : 0),
        .act = c->gate ? c->act : 0,
        .limit = c->gate ? c->limit : 0,
        .jobs = c->jobs,
        .share = c->x_per_slot ? 1 : c->used,
        .experts = (uint32_t)c->w->experts,
        .expert_begin = (uint32_t)begin,
        .expert_end = (uint32_t)end,
        .expert_bytes = (uint32_t)bytes,
        .expert_bytes_high = (uint32_t)(bytes >> 32),
        .expert_rows = (uint32_t)c->w->m,
    };
}

uint32_t iqt_routed_groups(const struct iqt_routed_call *c, const struct iqt_built *built)
{
    return c->jobs * iqt_plan_groups(&built->plan, (uint32_t)c->w->m);
}

/* ---- Vectors in host memory ---- */

struct host_call {
    struct iqt_queue *q;
    const struct iqt_routed *p;
    const float *x;
    struct iqt_routed_call c;
    const struct iqt_built *built;
    uint64_t x_at, ids_at, bias_at, gate_bias_at, xq_at, xs_at, y_at; /* in scratch */
    uint64_t up_bytes, bytes;
};

static uint64_t place(const struct host_call *h, uint64_t *end, uint64_t bytes)
{
    const uint32_t align = h->q->dev->offset_align > 64 ? h->q->dev->offset_align : 64;
    const uint64_t at = iqt_round_up(*end, align);

    *end = at + bytes + 64; /* wide loads may run over the end */
    return at;
}

static uint64_t bias_bytes(const struct host_call *h)
{
    return (uint64_t)h->c.w->experts * h->c.w->m * sizeof(float);
}

static uint64_t xq_bytes(const struct host_call *h)
{
    return iqt_call_xq_bytes(h->q->dev, h->c.w->k, h->c.vectors);
}

static void place_buffers(struct host_call *h)
{
    const uint64_t activations = (uint64_t)h->c.vectors * h->c.w->k;
    uint64_t at = 0;

    h->x_at = place(h, &at, activations * sizeof(float));
    h->ids_at = place(h, &at, (uint64_t)h->c.jobs * sizeof(int32_t));
    if (h->c.bias)
        h->bias_at = place(h, &at, bias_bytes(h));
    if (h->c.gate_bias)
        h->gate_bias_at = place(h, &at, bias_bytes(h));
    h->up_bytes = at;
    h->xq_at = place(h, &at, xq_bytes(h));
    h->xs_at = place(h, &at, iqt_call_xs_bytes(h->q->dev, activations));
    h->y_at = place(h, &at, (uint64_t)h->c.jobs * h->c.w->m * sizeof(float));
    h->bytes = at;
}

static enum iqt_status check_bindings(const struct host_call *h)
{
    const uint64_t x = (uint64_t)h->c.vectors * h->c.w->k,
                   y = (uint64_t)h->c.jobs * h->c.w->m;
    uint64_t most = sizeof(float) * (x > y ? x : y);

    if ((h->c.bias || h->c.gate_bias) && bias_bytes(h) > most)
        most = bias_bytes(h);
    if (most > h->q->dev->max_binding)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "routed: a buffer of %llu bytes, %s binds at most %llu",
                        (unsigned long long)most, h->q->dev->info.spec,
                        (unsigned long long)h->q->dev->max_binding);
    return IQT_OK;
}

static enum iqt_status upload(const struct host_call *h)
{
    struct iqt_queue *q = h->q;
    const size_t k = h->c.w->k;

    for (uint32_t v = 0; v < h->c.vectors; v++)
        memcpy(q->stage + h->x_at + v * k * sizeof(float), h->x + v * h->c.x_stride,
               k * sizeof(float));
    memcpy(q->stage + h->ids_at, h->p->ids, h->c.jobs * sizeof(int32_t));
    if (h->c.bias)
        memcpy(q->stage + h->bias_at, h->p->bias, bias_bytes(h));
    if (h->c.gate_bias)
        memcpy(q->stage + h->gate_bias_at, h->p->gate_bias, bias_bytes(h));
    return q->dev->backend->write(q->stream, q->scratch, 0, q->stage, h->up_bytes);
}

static struct iqt_slice slice(const struct host_call *h, uint64_t at, uint64_t bytes)
{
    return (struct iqt_slice){ .mem = h->q->scratch, .offset = at, .bytes = bytes };
}

static struct iqt_slice slice_experts(const struct iqt_matrix *w, size_t begin,
                                      size_t end, uint32_t *base)
{
    const uint64_t at = begin * expert_bytes(w);

    *base = (uint32_t)(at % w->dev->offset_align);
    return (struct iqt_slice){
        .mem = w->mem,
        .offset = at - *base,
        .bytes = iqt_round_up(*base + (end - begin) * expert_bytes(w), 16) + 16,
    };
}

static enum iqt_status launch_experts(const struct host_call *h, size_t begin, size_t end)
{
    const uint64_t activations = (uint64_t)h->c.vectors * h->c.w->k;
    const bool floats = iqt_routed_floats(&h->c);
    const uint64_t lanes = iqt_plan_takes_lanes(&h->built->plan)
                               ? iqt_call_lanes_at(h->q->dev, h->c.w->k, h->c.vectors)
                               : 0;
    struct iqt_params params = iqt_routed_params(&h->c, begin, end);
    struct iqt_launch l = {
        .kernel = h->built->kernel,
        .params = &params,
        .params_bytes = sizeof params,
        .groups = iqt_routed_groups(&h->c, h->built),
        .beside = begin > 0,
        .bind = { [IQT_BIND_IDS] =
                      slice(h, h->ids_at, (uint64_t)h->c.jobs * sizeof(int32_t)),
                  [IQT_BIND_Y] =
                      slice(h, h->y_at, (uint64_t)h->c.jobs * h->c.w->m * sizeof(float)),
                  [IQT_BIND_XS] =
                      slice(h, h->xs_at, iqt_call_xs_bytes(h->q->dev, activations)) },
    };

    params.y_stride = params.rows; /* in scratch */
    l.bind[IQT_BIND_XQ] = floats ? slice(h, h->x_at, activations * sizeof(float))
                                 : slice(h, h->xq_at + lanes, xq_bytes(h) - lanes);
    l.bind[IQT_BIND_W] = slice_experts(h->c.w, begin, end, &params.w_base);
    l.bind[IQT_BIND_GATE] =
        slice_experts(h->c.gate ? h->c.gate : h->c.w, begin, end, &params.gate_base);
    if (h->c.bias)
        l.bind[IQT_BIND_BIAS] = slice(h, h->bias_at, bias_bytes(h));
    if (h->c.gate_bias)
        l.bind[IQT_BIND_GATE_BIAS] = slice(h, h->gate_bias_at, bias_bytes(h));
    return h->q->dev->backend->launch(h->q->stream, &l);
}

static enum iqt_status launch_all(const struct host_call *h)
{
    const uint64_t activations = (uint64_t)h->c.vectors * h->c.w->k;
    const size_t reach = iqt_routed_reach(h->c.w), experts = h->c.w->experts;

    if (!iqt_routed_floats(&h->c))
        IQT_TRY(iqt_queue_activations(
            h->q, IQT_HELPER_QUANTIZE, slice(h, h->x_at, activations * sizeof(float)),
            h->c.w->k, h->c.vectors, slice(h, h->xq_at, xq_bytes(h)),
            slice(h, h->xs_at, iqt_call_xs_bytes(h->q->dev, activations))));
    for (size_t begin = 0; begin < experts; begin += reach)
        IQT_TRY(
            launch_experts(h, begin, experts - begin < reach ? experts : begin + reach));
    return IQT_OK;
}

static enum iqt_status run(struct host_call *h)
{
    struct iqt_queue *q = h->q;
    const size_t m = h->c.w->m;
    const uint64_t down = (uint64_t)h->c.jobs * m * sizeof(float);

    place_buffers(h);
    IQT_TRY(check_bindings(h));
    IQT_TRY(iqt_routed_kernel(&h->c, &h->built));
    IQT_TRY(iqt_queue_reserve(q, h->bytes, h->up_bytes > down ? h->up_bytes : down));
    IQT_TRY(upload(h));
    IQT_TRY(iqt_queue_finish(q, launch_all(h), NULL));
    IQT_TRY(q->dev->backend->read(q->stream, q->scratch, h->y_at, q->stage, down));
    for (uint32_t j = 0; j < h->c.jobs; j++)
        memcpy(h->p->y + j * h->c.y_stride, q->stage + j * m * sizeof(float),
               m * sizeof(float));
    return IQT_OK;
}

enum iqt_status iqt_matvec_routed(struct iqt_queue *q, const float *x, size_t x_stride,
                                  const struct iqt_routed *product)
{
    struct host_call h = { .q = q, .p = product, .x = x };

    if (!q || !x || !product)
        return iqt_fail(IQT_ERR_ARG, "iqt_matvec_routed: %s is NULL",
                        !q   ? "queue"
                        : !x ? "x"
                             : "product");
    if (product->struct_size != sizeof *product)
        return iqt_fail(IQT_ERR_ARG, "routed: struct_size is %zu, expected %zu",
                        product->struct_size, sizeof *product);
    if (!product->ids || !product->y)
        return iqt_fail(IQT_ERR_ARG, "routed: %s is NULL", product->ids ? "y" : "ids");
    h.c = (struct iqt_routed_call){
        .w = product->w,
        .gate = product->gate,
        .act = product->act,
        .limit = product->limit,
        .bias = product->bias != NULL,
        .gate_bias = product->gate_bias != NULL,
        .tokens = product->tokens,
        .used = product->used,
        .x_per_slot = product->x_per_slot,
        .x_stride = x_stride,
        .y_stride = product->y_stride,
    };
    IQT_TRY(iqt_routed_check(q->dev, &h.c));
    return run(&h);
}
