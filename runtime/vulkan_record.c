/* Recorders: products as commands in a caller's command buffer. First everything is checked, then
 * recorded without a way to fail. Knows neither queues nor fences. */
#include "runtime/vulkan_recorder.h"

#include "codegen/codegen.h"

#include <stdlib.h>

enum { SOME = 64 };

/* A call's arguments, checked. */
struct call {
    struct iqt_vulkan_recorder *r;
    VkCommandBuffer cmd;
    struct iqt_vulkan_buffer x;
    size_t x_stride, k;
    uint32_t n;
    bool quantized;
};

/* ---- Recorders ---- */

/* The last workgroup of a group of rows leaves its counter at 0 again. */
static enum iqt_status zero_counters(struct iqt_vulkan_recorder *r)
{
    const uint64_t bytes = r->work.counters * sizeof(uint32_t);
    void *zeros = calloc(1, bytes);
    struct iqt_stream *s = NULL;
    enum iqt_status status;

    if (zeros == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a recorder");
    status = iqt_vk_stream_create(r->dev->hw, &s);
    if (status == IQT_OK)
        status = iqt_vk_stream_write(s, r->room, 0, zeros, bytes);
    iqt_vk_stream_destroy(s);
    free(zeros);
    return status;
}

static enum iqt_status fill_work(struct iqt_vulkan_recorder *r)
{
    r->work = iqt_work_for(&r->dev->limits, r->max_n);
    if (r->work.counters == 0)
        return IQT_OK;
    IQT_TRY(iqt_vk_alloc(r->dev->hw, iqt_work_bytes(&r->work), false, &r->room));
    return zero_counters(r);
}

static enum iqt_status fill(struct iqt_vulkan_recorder *r)
{
    const uint64_t activations = (uint64_t)r->max_n * r->max_k;
    struct iqt_hw *hw = r->dev->hw;

    IQT_TRY(iqt_kernel_get(r->dev, NULL, &r->quantizer));
    IQT_TRY(iqt_vk_sets_reserve(hw, &r->sets, r->max_launches));
    IQT_TRY(iqt_vk_alloc(hw, activations, false, &r->xq));
    IQT_TRY(iqt_vk_alloc(hw, activations / IQT_X_BLOCK * sizeof(struct iqt_xs), false,
                         &r->xs));
    return fill_work(r);
}

static enum iqt_status check_options(const struct iqt_device *dev,
                                     const struct iqt_vulkan_recorder_options *o)
{
    if (o->struct_size != sizeof(*o))
        return iqt_fail(IQT_ERR_ARG, "recorder options: struct_size is %zu, expected %zu",
                        o->struct_size, sizeof(*o));
    if (dev->backend != &iqt_backend_vulkan)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s is no Vulkan device", dev->info.spec);
    if (o->max_launches == 0)
        return iqt_fail(IQT_ERR_ARG, "recorder options: max_launches is 0");
    if (o->max_n < 1 || o->max_n > IQT_MAX_COLS)
        return iqt_fail(IQT_ERR_SHAPE, "recorder options: max_n is %u, expected 1 .. %u",
                        o->max_n, IQT_MAX_COLS);
    if (o->max_k == 0 || o->max_k > dev->max_binding / (sizeof(float) * o->max_n))
        return iqt_fail(
            IQT_ERR_SHAPE,
            "recorder options: max_k is %zu; %u vectors of it must fit into a "
            "binding of %llu bytes",
            o->max_k, o->max_n, (unsigned long long)dev->max_binding);
    return IQT_OK;
}

enum iqt_status iqt_vulkan_recorder_create(
    struct iqt_device *dev, const struct iqt_vulkan_recorder_options *options,
    struct iqt_vulkan_recorder **out)
{
    struct iqt_vulkan_recorder *r;
    enum iqt_status status;

    if (dev == NULL || options == NULL || out == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_vulkan_recorder_create: %s is NULL",
                        dev == NULL       ? "dev"
                        : options == NULL ? "options"
                                          : "out");
    IQT_TRY(check_options(dev, options));
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a recorder");
    r->dev = dev;
    r->max_launches = options->max_launches;
    r->max_n = options->max_n;
    r->max_k = iqt_round_up(options->max_k, IQT_X_BLOCK);
    status = fill(r);
    if (status != IQT_OK) {
        iqt_vulkan_recorder_destroy(r);
        return status;
    }
    *out = r;
    return IQT_OK;
}

void iqt_vulkan_recorder_destroy(struct iqt_vulkan_recorder *r)
{
    if (r == NULL)
        return;
    iqt_vk_free(r->dev->hw, r->room);
    iqt_vk_free(r->dev->hw, r->xs);
    iqt_vk_free(r->dev->hw, r->xq);
    iqt_vk_sets_free(r->dev->hw, &r->sets);
    free(r);
}

void iqt_vulkan_recorder_reset(struct iqt_vulkan_recorder *r)
{
    r->sets.used = 0;
}

uint32_t iqt_vulkan_offset_alignment(const struct iqt_device *dev)
{
    return dev->offset_align;
}

/* ---- Sizes ---- */

static size_t stride_of(const struct iqt_vulkan_product *p)
{
    return p->stride != 0 ? p->stride : iqt_vk_rows_of(p);
}

static bool is_float(const struct iqt_matrix *w)
{
    return w->format->decode == IQT_DECODE_FLOAT;
}

/* ---- Checks ---- */

enum iqt_status iqt_vk_check_buffer(const struct iqt_device *dev, const char *name,
                                    const struct iqt_vulkan_buffer *b, uint64_t vectors,
                                    uint64_t stride, uint64_t length)
{
    uint64_t floats = 0, need = 0;

    if (b->buffer == VK_NULL_HANDLE)
        return IQT_OK;
    if (b->offset % dev->offset_align != 0)
        return iqt_fail(IQT_ERR_ARG, "%s: offset %llu is not a multiple of %u", name,
                        (unsigned long long)b->offset, dev->offset_align);
    if (vectors > 1 && stride < length)
        return iqt_fail(IQT_ERR_SHAPE, "%s: vectors of %llu floats are %llu apart", name,
                        (unsigned long long)length, (unsigned long long)stride);
    if (!iqt_mul(vectors - 1, stride, &floats) || !iqt_add(floats, length, &floats) ||
        !iqt_mul(floats, sizeof(float), &need) || need > b->bytes)
        return iqt_fail(IQT_ERR_SHAPE,
                        "%s: %llu vectors of %llu floats need more than %llu bytes", name,
                        (unsigned long long)vectors, (unsigned long long)length,
                        (unsigned long long)b->bytes);
    if (need > dev->max_binding)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s: %llu bytes, a binding holds %llu", name,
                        (unsigned long long)need, (unsigned long long)dev->max_binding);
    return IQT_OK;
}

static enum iqt_status check_matrices(const struct call *c,
                                      const struct iqt_vulkan_product *p)
{
    const struct iqt_matrix *w = p->w, *gate = p->gate;

    if (w == NULL)
        return iqt_fail(IQT_ERR_ARG, "product: w is NULL");
    if (w->dev != c->r->dev || (gate != NULL && gate->dev != c->r->dev))
        return iqt_fail(IQT_ERR_ARG, "product: a matrix lives on another device");
    if (w->experts != 0)
        return iqt_fail(IQT_ERR_ARG, "product: a matrix of experts is for "
                                     "iqt_vulkan_record_routed()");
    if (w->k != c->k)
        return iqt_fail(IQT_ERR_SHAPE, "product: w has %zu columns, the first one %zu",
                        w->k, c->k);
    if (gate != NULL && (gate->m != w->m || gate->k != w->k))
        return iqt_fail(IQT_ERR_SHAPE, "product: gate is %zu x %zu, w is %zu x %zu",
                        gate->m, gate->k, w->m, w->k);
    if (gate != NULL && (gate->format != w->format || gate->layout != w->layout))
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "product: gate (%s) and w (%s) must have one format and layout",
                        gate->format->name, w->format->name);
    if (p->row_begin >= w->m || p->rows > w->m - p->row_begin)
        return iqt_fail(IQT_ERR_SHAPE, "product: rows %zu + %zu of %zu", p->row_begin,
                        p->rows, w->m);
    if (is_float(w) && c->n > 1 && c->x_stride != c->k)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "product: %s weights need x_stride %zu, not %zu", w->format->name,
                        c->k, c->x_stride);
    return IQT_OK;
}

static enum iqt_status check_product(const struct call *c,
                                     const struct iqt_vulkan_product *p)
{
    if (p->struct_size != sizeof(*p))
        return iqt_fail(IQT_ERR_ARG, "product: struct_size is %zu, expected %zu",
                        p->struct_size, sizeof(*p));
    IQT_TRY(check_matrices(c, p));
    if (p->gate == NULL && p->gate_bias.buffer != VK_NULL_HANDLE)
        return iqt_fail(IQT_ERR_ARG, "product: gate_bias without gate");
    if (p->gate != NULL && ((unsigned)p->act > IQT_ACT_SWIGLU_OAI ||
                            (p->act == IQT_ACT_SWIGLU_OAI && !(p->limit > 0))))
        return iqt_fail(IQT_ERR_ARG, "product: act %d, limit %g", (int)p->act,
                        (double)p->limit);
    if (p->y.buffer == VK_NULL_HANDLE)
        return iqt_fail(IQT_ERR_ARG, "product: y is absent");
    IQT_TRY(iqt_vk_check_buffer(c->r->dev, "y", &p->y, c->n, stride_of(p),
                                iqt_vk_rows_of(p)));
    IQT_TRY(iqt_vk_check_buffer(c->r->dev, "residual", &p->residual, c->n, stride_of(p),
                                iqt_vk_rows_of(p)));
    IQT_TRY(iqt_vk_check_buffer(c->r->dev, "bias", &p->bias, 1, 0, p->w->m));
    return iqt_vk_check_buffer(c->r->dev, "gate_bias", &p->gate_bias, 1, 0, p->w->m);
}

/* Whether the largest launch of a plan that splits k has room for its sums. */
static enum iqt_status check_work(const struct call *c,
                                  const struct iqt_vulkan_product *p,
                                  const struct iqt_built *built)
{
    struct iqt_params params = { .rows = (uint32_t)iqt_vk_chunk_of(c->r->dev, p),
                                 .cols = c->n };
    struct iqt_work empty = c->r->work;

    iqt_work_release(&empty);
    if (iqt_work_take(&empty, &built->plan, &params))
        return IQT_OK;
    return iqt_fail(IQT_ERR_NO_MEMORY,
                    "plan %s: the recorder has no room for partial sums of %u rows",
                    built->name, params.rows);
}

static enum iqt_status check_call(struct call *c,
                                  const struct iqt_vulkan_product *products, size_t count)
{
    struct iqt_vulkan_recorder *r = c->r;
    uint64_t launches = 0;

    if (c->n < 1 || c->n > r->max_n || c->k > r->max_k)
        return iqt_fail(IQT_ERR_SHAPE,
                        "%u vectors of %zu, the recorder is made for %u of %zu", c->n,
                        c->k, r->max_n, r->max_k);
    if (c->x.buffer == VK_NULL_HANDLE)
        return iqt_fail(IQT_ERR_ARG, "iqt_vulkan_record: x is absent");
    IQT_TRY(iqt_vk_check_buffer(c->r->dev, "x", &c->x, c->n, c->x_stride, c->k));
    for (size_t i = 0; i < count; i++) {
        const struct iqt_built *built;

        IQT_TRY(check_product(c, &products[i]));
        IQT_TRY(iqt_plan_choose(r->dev, products[i].w, iqt_vk_op_of(&products[i]), c->n,
                                &built));
        IQT_TRY(check_work(c, &products[i], built));
        c->quantized |= !is_float(products[i].w);
        launches +=
            (iqt_vk_rows_of(&products[i]) + iqt_vk_chunk_of(r->dev, &products[i]) - 1) /
            iqt_vk_chunk_of(r->dev, &products[i]);
    }
    launches += c->quantized;
    if (launches > r->max_launches - r->sets.used)
        return iqt_fail(IQT_ERR_NO_MEMORY,
                        "%llu launches, the recorder has %u of %u left",
                        (unsigned long long)launches, r->max_launches - r->sets.used,
                        r->max_launches);
    return IQT_OK;
}

/* ---- Commands ---- */

struct iqt_slice iqt_vk_slice_caller(struct iqt_mem *view,
                                     const struct iqt_vulkan_buffer *b)
{
    if (b->buffer == VK_NULL_HANDLE)
        return (struct iqt_slice){ NULL, 0, 0 };
    *view = (struct iqt_mem){ .buffer = b->buffer, .bytes = b->offset + b->bytes };
    return (struct iqt_slice){ view, b->offset, b->bytes };
}

static struct iqt_slice slice_own(struct iqt_mem *mem, uint64_t bytes)
{
    return (struct iqt_slice){ mem, 0, bytes };
}

void iqt_vk_record_launch(struct iqt_vulkan_recorder *r, VkCommandBuffer cmd,
                          const struct iqt_launch *l)
{
    iqt_vk_dispatch(r->dev->hw, cmd, r->sets.sets[r->sets.used++], l);
}

void iqt_vk_record_quantize(struct iqt_vulkan_recorder *r, VkCommandBuffer cmd,
                            const struct iqt_vulkan_buffer *x, size_t x_stride, size_t k,
                            uint32_t n)
{
    const uint64_t activations = (uint64_t)n * k, blocks = activations / IQT_X_BLOCK;
    const struct iqt_quantize_params params = { .k = (uint32_t)k,
                                                .cols = n,
                                                .x_stride = (uint32_t)x_stride };
    struct iqt_mem view;
    const struct iqt_launch l = {
        .kernel = r->quantizer->kernel,
        .bind = { [IQT_BIND_W] = iqt_vk_slice_caller(&view, x),
                  [IQT_BIND_XQ] = slice_own(r->xq, activations),
                  [IQT_BIND_XS] = slice_own(r->xs, blocks * sizeof(struct iqt_xs)) },
        .params = &params,
        .params_bytes = sizeof(params),
        .groups = iqt_helper_groups(IQT_HELPER_QUANTIZE, IQT_DIALECT_GLSL, activations),
    };

    iqt_vk_record_launch(r, cmd, &l);
    iqt_vk_barrier(r->dev->hw, cmd);
}

/* Rows of a matrix from an aligned offset; *base is what the alignment left over. */
static struct iqt_slice slice_rows(const struct iqt_matrix *w, size_t row, size_t rows,
                                   uint32_t *base)
{
    const uint64_t at = (uint64_t)row * w->row_bytes;

    *base = (uint32_t)(at % w->dev->offset_align);
    return (struct iqt_slice){ w->mem, at - *base,
                               *base + (uint64_t)rows * w->row_bytes };
}

/* Launches of a call run at the same time: each has room of its own, until there is none left. */
static void take_work(const struct call *c, const struct iqt_plan *plan,
                      struct iqt_params *params, struct iqt_launch *l)
{
    struct iqt_vulkan_recorder *r = c->r;

    if (plan->split == 1)
        return;
    if (!iqt_work_take(&r->work, plan, params)) {
        iqt_vk_barrier(r->dev->hw, c->cmd);
        iqt_work_release(&r->work);
        (void)!iqt_work_take(&r->work, plan, params); /* check_work() has seen it fit */
    }
    l->bind[IQT_BIND_WORK] = slice_own(r->room, iqt_work_bytes(&r->work));
}

/* Rows of a product as a launch, or as a part of one. */
struct part {
    struct iqt_params params;
    struct iqt_launch launch;
    struct iqt_mem view[5]; /* what launch binds */
};

static void fill_part(const struct call *c, const struct iqt_vulkan_product *p,
                      const struct iqt_built *built, size_t begin, size_t rows,
                      struct part *out)
{
    const uint64_t activations = (uint64_t)c->n * c->k;
    const size_t row = p->row_begin + begin;
    struct iqt_mem *view = out->view;

    out->params = (struct iqt_params){
        .rows = (uint32_t)rows,
        .k = (uint32_t)c->k,
        .row0 = (uint32_t)row,
        .row_bytes = (uint32_t)p->w->row_bytes,
        .cols = c->n,
        .y_stride = (uint32_t)stride_of(p),
        .y_base = (uint32_t)begin,
        .flags =
            (p->bias.buffer != VK_NULL_HANDLE ? (uint32_t)IQT_FLAG_BIAS : 0) |
            (p->gate_bias.buffer != VK_NULL_HANDLE ? (uint32_t)IQT_FLAG_GATE_BIAS : 0) |
            (p->residual.buffer != VK_NULL_HANDLE ? (uint32_t)IQT_FLAG_RESIDUAL : 0),
        .act = p->act,
        .limit = p->limit,
    };
    out->launch = (struct iqt_launch){
        .kernel = built->kernel,
        .bind = { [IQT_BIND_XQ] = slice_own(c->r->xq, activations),
                  [IQT_BIND_XS] = slice_own(c->r->xs, activations / IQT_X_BLOCK *
                                                          sizeof(struct iqt_xs)),
                  [IQT_BIND_BIAS] = iqt_vk_slice_caller(&view[0], &p->bias),
                  [IQT_BIND_GATE_BIAS] = iqt_vk_slice_caller(&view[1], &p->gate_bias),
                  [IQT_BIND_RESIDUAL] = iqt_vk_slice_caller(&view[2], &p->residual),
                  [IQT_BIND_Y] = iqt_vk_slice_caller(&view[3], &p->y) },
        .params = &out->params,
        .params_bytes = sizeof(out->params),
        .groups = iqt_plan_groups(&built->plan, (uint32_t)rows),
    };

    if (is_float(p->w))
        out->launch.bind[IQT_BIND_XQ] = iqt_vk_slice_caller(&view[4], &c->x);
    out->launch.bind[IQT_BIND_W] = slice_rows(p->w, row, rows, &out->params.w_base);
    out->launch.bind[IQT_BIND_GATE] =
        slice_rows(p->gate != NULL ? p->gate : p->w, row, rows, &out->params.gate_base);
}

/* Launches of one call write different rows and read none of them: no barriers between. */
static void record_product(const struct call *c, const struct iqt_vulkan_product *p,
                           const struct iqt_built *built)
{
    const size_t chunk = iqt_vk_chunk_of(c->r->dev, p), all = iqt_vk_rows_of(p);

    for (size_t begin = 0; begin < all; begin += chunk) {
        struct part part;

        fill_part(c, p, built, begin, all - begin < chunk ? all - begin : chunk, &part);
        take_work(c, &built->plan, &part.params, &part.launch);
        iqt_vk_record_launch(c->r, c->cmd, &part.launch);
    }
}

static void record_set(const struct call *c, const struct iqt_vulkan_product *products,
                       const struct iqt_vk_group *g)
{
    struct iqt_vulkan_recorder *r = c->r;
    struct part part[IQT_SHORT_SET_JOBS];
    struct iqt_launch launch[IQT_SHORT_SET_JOBS];

    for (size_t i = 0; i < g->count; i++) {
        const struct iqt_vulkan_product *p = &products[g->member[i]];

        fill_part(c, p, g->built, 0, iqt_vk_rows_of(p), &part[i]);
        launch[i] = part[i].launch;
    }
    iqt_vk_dispatch_set(r->dev->hw, c->cmd, r->sets.sets[r->sets.used++], launch,
                        g->count);
}

/* Makes the kernels of all products, or records them too. Sets are found among so many products at a time, which
 * need no memory to remember. */
static enum iqt_status each_group(const struct call *c,
                                  const struct iqt_vulkan_product *products, size_t count,
                                  bool record)
{
    for (size_t at = 0; at < count; at += SOME) {
        const size_t some = count - at < SOME ? count - at : SOME;
        bool done[SOME] = { false };

        for (size_t i = 0; i < some; i++) {
            const struct iqt_vulkan_product *p = &products[at];
            struct iqt_vk_group g = { .member = { i } };

            if (done[i])
                continue;
            IQT_TRY(iqt_vk_group_from(c->r->dev, c->n, p, some, done, &g));
            if (record && g.built->plan.covers == IQT_COVERS_SET)
                record_set(c, p, &g);
            else if (record)
                record_product(c, p + i, g.built);
        }
    }
    return IQT_OK;
}

enum iqt_status iqt_vulkan_record(struct iqt_vulkan_recorder *r, VkCommandBuffer cmd,
                                  struct iqt_vulkan_buffer x, size_t x_stride, uint32_t n,
                                  const struct iqt_vulkan_product *products, size_t count)
{
    struct call c = { .r = r, .cmd = cmd, .x = x, .n = n };

    if (r == NULL || cmd == NULL || products == NULL || count == 0 ||
        products[0].w == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_vulkan_record: %s",
                        r == NULL          ? "the recorder is NULL"
                        : cmd == NULL      ? "the command buffer is NULL"
                        : products == NULL ? "products is NULL"
                        : count == 0       ? "count is 0"
                                           : "the first product's w is NULL");
    c.k = products[0].w->k;
    c.x_stride = x_stride != 0 ? x_stride : c.k;
    IQT_TRY(check_call(&c, products, count));
    IQT_TRY(each_group(&c, products, count, false));

    iqt_vk_barrier(r->dev->hw, cmd);
    iqt_work_release(&r->work);
    if (c.quantized)
        iqt_vk_record_quantize(r, cmd, &c.x, c.x_stride, c.k, c.n);
    IQT_TRY(each_group(&c, products, count, true));
    iqt_vk_barrier(r->dev->hw, cmd);
    return IQT_OK;
}
