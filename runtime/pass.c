/* Runs a planned call: one upload, the launches, one download. Knows no plan's inside. */
#include "runtime/pass.h"

#include "codegen/codegen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum iqt_status grow_scratch(struct iqt_queue *q, uint64_t bytes)
{
    const struct iqt_backend *backend = q->dev->backend;
    struct iqt_mem *mem = NULL;

    if (bytes <= q->scratch_bytes)
        return IQT_OK;
    IQT_TRY(backend->alloc(q->dev->hw, bytes, NULL, &mem));
    if (q->scratch)
        backend->free(q->dev->hw, q->scratch);
    q->scratch = mem;
    q->scratch_bytes = bytes;
    return IQT_OK;
}

static enum iqt_status grow_stage(struct iqt_queue *q, uint64_t bytes)
{
    uint8_t *stage;

    if (bytes <= q->stage_bytes)
        return IQT_OK;
    stage = calloc(1, bytes); /* zeroed: gaps between buffers are uploaded, too */
    if (!stage)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %llu staging bytes",
                        (unsigned long long)bytes);
    free(q->stage);
    q->stage = stage;
    q->stage_bytes = bytes;
    return IQT_OK;
}

enum iqt_status iqt_queue_reserve(struct iqt_queue *q, uint64_t scratch, uint64_t stage)
{
    IQT_TRY(grow_scratch(q, scratch));
    return grow_stage(q, stage);
}

static void copy_floats(void *to, const void *from, size_t count)
{
    memcpy(to, from, count * sizeof(float));
}

/* Rows of the launch that starts at row begin of the pass. */
static size_t launch_rows(const struct iqt_pass *p, size_t begin)
{
    return p->rows - begin < p->chunk ? p->rows - begin : p->chunk;
}

static uint64_t chunk_at(const struct iqt_pass *p, size_t begin)
{
    return begin / p->chunk * p->chunk_bytes;
}

static void stage_residual(const struct iqt_call *call, const struct iqt_pass *p)
{
    const size_t given = p->product->residual_stride;
    const size_t stride = given ? given : p->w->m;

    for (size_t begin = 0; begin < p->rows; begin += p->chunk) {
        const size_t rows = launch_rows(p, begin);
        uint8_t *to = call->q->stage + p->residual_at + chunk_at(p, begin);

        for (uint32_t c = 0; c < call->n; c++)
            copy_floats(to + c * rows * sizeof(float), p->residual + c * stride + begin,
                        rows);
    }
}

static enum iqt_status upload(const struct iqt_call *call)
{
    struct iqt_queue *q = call->q;

    for (uint32_t c = 0; c < call->n; c++)
        copy_floats(q->stage + call->x_at + c * call->k * sizeof(float),
                    call->x + c * call->x_stride, call->k);
    for (size_t i = 0; i < call->passes; i++) {
        const struct iqt_pass *p = &q->pass[i];

        if (p->bias)
            copy_floats(q->stage + p->bias_at, p->bias + p->product->row_begin, p->rows);
        if (p->gate_bias)
            copy_floats(q->stage + p->gate_bias_at, p->gate_bias + p->product->row_begin,
                        p->rows);
        if (p->residual)
            stage_residual(call, p);
        if (p->built->plan.split > 1)
            memset(q->stage + p->counters_at, 0, iqt_pass_counters(p) * sizeof(uint32_t));
    }
    return q->dev->backend->write(q->stream, q->scratch, 0, q->stage, call->up_bytes);
}

static struct iqt_slice scratch_slice(const struct iqt_call *call, uint64_t at,
                                      uint64_t bytes)
{
    return (struct iqt_slice){ .mem = call->q->scratch, .offset = at, .bytes = bytes };
}

static struct iqt_slice slice_x(const struct iqt_call *call)
{
    return scratch_slice(call, call->x_at, (uint64_t)call->n * call->k * sizeof(float));
}

static struct iqt_slice slice_xq(const struct iqt_call *call)
{
    return scratch_slice(call, call->xq_at, iqt_call_made_bytes(call));
}

/* What of it a kernel reads. */
static struct iqt_slice slice_made(const struct iqt_call *call,
                                   const struct iqt_plan *plan)
{
    const uint64_t skip = iqt_plan_takes_lanes(plan)
                              ? iqt_call_lanes_at(call->q->dev, call->k, call->n)
                              : 0;

    return scratch_slice(call, call->xq_at + skip, iqt_call_made_bytes(call) - skip);
}

static struct iqt_slice slice_xs(const struct iqt_call *call)
{
    return scratch_slice(call, call->xs_at,
                         iqt_call_xs_bytes(call->q->dev, (uint64_t)call->n * call->k));
}

enum iqt_status iqt_queue_activations(struct iqt_queue *q, enum iqt_helper helper,
                                      struct iqt_slice x, size_t k, uint32_t n,
                                      struct iqt_slice xq, struct iqt_slice xs)
{
    const uint64_t lanes = iqt_call_lanes_at(q->dev, k, n);
    const struct iqt_quantize_params params = { .k = (uint32_t)k,
                                                .cols = n,
                                                .x_stride = (uint32_t)k,
                                                .lanes_at = helper == IQT_HELPER_QUANTIZE
                                                                ? (uint32_t)(lanes / 16)
                                                                : 0 };
    const struct iqt_built *built;
    struct iqt_launch launch = {
        .bind = { [IQT_BIND_W] = x, [IQT_BIND_XQ] = xq, [IQT_BIND_XS] = xs },
        .params = &params,
        .params_bytes = sizeof params,
        .groups = iqt_helper_groups(helper, q->dev->backend->dialect, (uint64_t)n * k),
    };

    IQT_TRY(iqt_helper_get(q->dev, helper, &built));
    launch.kernel = built->kernel;
    return q->dev->backend->launch(q->stream, &launch);
}

/* Rows of a matrix as a slice at an aligned offset; *base is what the alignment left over. */
static struct iqt_slice slice_rows(const struct iqt_matrix *w, size_t row, size_t rows,
                                   uint32_t *base)
{
    const size_t skip = row % w->tile_rows;
    const uint64_t at = (uint64_t)(row - skip) * w->row_bytes;

    *base = (uint32_t)(at % w->dev->offset_align);
    return (struct iqt_slice){
        .mem = w->mem,
        .offset = at - *base,
        .bytes = iqt_round_up(
                     *base + iqt_round_up(rows + skip, w->tile_rows) * w->row_bytes, 16) +
                 16,
    };
}

static void bind_pass(const struct iqt_call *call, const struct iqt_pass *p, size_t begin,
                      struct iqt_params *params, struct iqt_slice *bind)
{
    const size_t row = p->product->row_begin + begin, rows = launch_rows(p, begin);
    const uint64_t result = (uint64_t)rows * call->n * sizeof(float);
    const uint64_t floats = (uint64_t)p->rows * sizeof(float);

    bind[IQT_BIND_W] = slice_rows(p->w, row, rows, &params->w_base);
    bind[IQT_BIND_GATE] =
        slice_rows(p->gate ? p->gate : p->w, row, rows, &params->gate_base);
    if (iqt_plan_takes_floats(&p->built->plan)) {
        bind[IQT_BIND_XQ] = slice_x(call);
    } else {
        bind[IQT_BIND_XQ] = slice_made(call, &p->built->plan);
        bind[IQT_BIND_XS] = slice_xs(call);
    }
    if (p->bias)
        bind[IQT_BIND_BIAS] = scratch_slice(call, p->bias_at, floats);
    if (p->gate_bias)
        bind[IQT_BIND_GATE_BIAS] = scratch_slice(call, p->gate_bias_at, floats);
    if (p->residual)
        bind[IQT_BIND_RESIDUAL] =
            scratch_slice(call, p->residual_at + chunk_at(p, begin), result);
    bind[IQT_BIND_Y] = scratch_slice(call, p->y_at + chunk_at(p, begin), result);
    if (p->built->plan.split > 1) {
        bind[IQT_BIND_WORK] =
            scratch_slice(call, call->work_at, call->down_at - call->work_at);
        params->counters =
            (uint32_t)((p->counters_at - call->work_at) / sizeof(uint32_t));
        params->partials =
            (uint32_t)((p->partials_at - call->work_at) / sizeof(uint32_t));
    }
}

static void fill_launch(const struct iqt_call *call, const struct iqt_pass *p,
                        size_t begin, struct iqt_params *params, struct iqt_launch *l)
{
    const size_t rows = launch_rows(p, begin);

    *params = (struct iqt_params){
        .rows = (uint32_t)rows,
        .k = (uint32_t)call->k,
        .row0 = (uint32_t)begin, /* biases are uploaded from row_begin on */
        .row_bytes = (uint32_t)p->w->row_bytes,
        .cols = call->n,
        .y_stride = (uint32_t)rows,
        .flags = (p->bias ? (uint32_t)IQT_FLAG_BIAS : 0) |
                 (p->gate_bias ? (uint32_t)IQT_FLAG_GATE_BIAS : 0) |
                 (p->residual ? (uint32_t)IQT_FLAG_RESIDUAL : 0),
        .act = p->gate ? p->product->act : 0,
        .limit = p->gate ? p->product->limit : 0,
        .skip = (uint32_t)((p->product->row_begin + begin) % p->w->tile_rows),
    };
    *l = (struct iqt_launch){
        .kernel = p->built->kernel,
        .params = params,
        .params_bytes = sizeof *params,
        .groups = iqt_plan_groups(&p->built->plan, (uint32_t)rows + params->skip),
        /* All write results of their own; chunks share the counters of a split plan. */
        .beside = begin > 0 ? p->built->plan.split == 1 : p != call->q->pass,
    };
    bind_pass(call, p, begin, params, l->bind);
}

static enum iqt_status launch_chunks(const struct iqt_call *call,
                                     const struct iqt_pass *p)
{
    for (size_t begin = 0; begin < p->rows; begin += p->chunk) {
        struct iqt_params params;
        struct iqt_launch launch;

        fill_launch(call, p, begin, &params, &launch);
        IQT_TRY(call->q->dev->backend->launch(call->q->stream, &launch));
    }
    return IQT_OK;
}

static enum iqt_status launch_set(const struct iqt_call *call, size_t leader)
{
    struct iqt_params params[IQT_SET_JOBS];
    struct iqt_launch launch[IQT_SET_JOBS];
    size_t count = 0;

    for (size_t i = leader; i < call->passes; i++)
        if (call->q->pass[i].leader == leader) {
            fill_launch(call, &call->q->pass[i], 0, &params[count], &launch[count]);
            count++;
        }
    return call->q->dev->backend->launch_set(call->q->stream, launch, count);
}

static enum iqt_status launch_all(const struct iqt_call *call)
{
    if (call->made)
        IQT_TRY(iqt_queue_activations(call->q, call->made->made_by, slice_x(call),
                                      call->k, call->n, slice_xq(call), slice_xs(call)));
    for (size_t i = 0; i < call->passes; i++) {
        const struct iqt_pass *p = &call->q->pass[i];

        if (p->built->plan.covers != IQT_COVERS_SET)
            IQT_TRY(launch_chunks(call, p));
        else if (p->leader == i)
            IQT_TRY(launch_set(call, i));
    }
    return IQT_OK;
}

static float *staged_result(const struct iqt_call *call, const struct iqt_pass *p,
                            size_t begin)
{
    return (float *)(void *)(call->q->stage + (p->y_at - call->down_at) +
                             chunk_at(p, begin));
}

/* Joins a gate pass with the pass after it, into the latter's staged results. */
static void combine(const struct iqt_call *call, const struct iqt_pass *gate)
{
    const struct iqt_product *product = gate->product;
    const size_t given = product->residual_stride;
    const size_t stride = given ? given : product->w->m;

    for (size_t begin = 0; begin < gate->rows; begin += gate->chunk) {
        const size_t rows = launch_rows(gate, begin);
        const float *g = staged_result(call, gate, begin);
        float *u = staged_result(call, gate + 1, begin);

        for (uint32_t c = 0; c < call->n; c++)
            for (size_t i = 0; i < rows; i++) {
                float *v = &u[c * rows + i];

                *v = iqt_act_apply(product->act, product->limit, g[c * rows + i], *v);
                if (product->residual)
                    *v += product->residual[c * stride + begin + i];
            }
    }
}

static void scatter(const struct iqt_call *call, const struct iqt_pass *p)
{
    const size_t stride = p->product->y_stride ? p->product->y_stride : p->rows;

    for (size_t begin = 0; begin < p->rows; begin += p->chunk) {
        const size_t rows = launch_rows(p, begin);
        const float *from = staged_result(call, p, begin);

        for (uint32_t c = 0; c < call->n; c++)
            copy_floats(p->product->y + c * stride + begin, from + c * rows, rows);
    }
}

static enum iqt_status download(const struct iqt_call *call)
{
    struct iqt_queue *q = call->q;

    IQT_TRY(q->dev->backend->read(q->stream, q->scratch, call->down_at, q->stage,
                                  call->bytes - call->down_at));
    for (size_t i = 0; i < call->passes; i++) {
        if (q->pass[i].combine)
            combine(call, &q->pass[i++]);
        scatter(call, &q->pass[i]);
    }
    return IQT_OK;
}

enum iqt_status iqt_queue_finish(struct iqt_queue *q, enum iqt_status launched,
                                 uint64_t *elapsed_ns)
{
    char why[2048];

    if (launched == IQT_OK)
        return q->dev->backend->finish(q->stream, elapsed_ns);
    /* Drains what was launched; the first failure is the one to report. */
    snprintf(why, sizeof why, "%s", iqt_last_error());
    (void)!q->dev->backend->finish(q->stream, NULL);
    return iqt_fail(launched, "%s", why);
}

enum iqt_status iqt_call_run(struct iqt_call *call, uint64_t *elapsed_ns)
{
    const uint64_t down = call->bytes - call->down_at;

    IQT_TRY(iqt_queue_reserve(call->q, call->bytes,
                              call->up_bytes > down ? call->up_bytes : down));
    IQT_TRY(upload(call));
    IQT_TRY(iqt_queue_finish(call->q, launch_all(call), elapsed_ns));
    return download(call);
}
