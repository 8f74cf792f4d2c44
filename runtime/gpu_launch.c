/* Checked products as launches on a stream: those of one format share a launch. */
#include "runtime/gpu_recorder.h"

#include "codegen/codegen.h"

#include <string.h>

enum { SOME = 64 };

enum iqt_status iqt_gpu_record_quantize(struct iqt_gpu_recorder *r, void *stream,
                                        uint64_t x, size_t x_stride, size_t k, uint32_t n)
{
    const struct iqt_quantize_params params = { .k = (uint32_t)k,
                                                .cols = n,
                                                .x_stride = (uint32_t)x_stride,
                                                .lanes_at =
                                                    iqt_call_lanes_at(r->dev, k, n) != 0
                                                        ? (uint32_t)(r->lanes_at / 16)
                                                        : 0 };
    uint64_t address[IQT_BINDINGS] = { [IQT_BIND_W] = x,
                                       [IQT_BIND_XQ] = r->scratch->address,
                                       [IQT_BIND_XS] =
                                           r->scratch->address + r->scales_at };
    const struct iqt_built *built;

    IQT_TRY(iqt_kernel_get(r->dev, NULL, &built));
    return iqt_gpu_enqueue(r->dev->hw, stream, built->kernel, address, &params,
                           iqt_helper_groups(IQT_HELPER_QUANTIZE,
                                             r->dev->backend->dialect, (uint64_t)n * k));
}

static struct iqt_params params_of(const struct iqt_gpu_call *c,
                                   const struct iqt_gpu_product *p, size_t begin,
                                   size_t rows)
{
    return (struct iqt_params){
        .rows = (uint32_t)rows,
        .k = (uint32_t)c->k,
        .row0 = (uint32_t)(p->row_begin + begin),
        .row_bytes = (uint32_t)p->w->row_bytes,
        .cols = c->n,
        .y_stride = (uint32_t)iqt_gpu_stride(p),
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

    *base = (uint32_t)(at % IQT_GPU_ALIGNMENT);
    return at - *base;
}

/* Rows [begin, begin + rows) of a product as a launch, or as a part of one. */
static void fill_part(const struct iqt_gpu_call *c, const struct iqt_gpu_product *p,
                      const struct iqt_plan *plan, size_t begin, size_t rows,
                      struct iqt_gpu_part *out)
{
    const struct iqt_gpu_recorder *r = c->r;
    const bool is_float = iqt_plan_takes_floats(plan);

    *out = (struct iqt_gpu_part){ .params = params_of(c, p, begin, rows) };
    out->groups = iqt_plan_groups(plan, (uint32_t)rows + out->params.skip);
    const uint64_t address[IQT_BINDINGS] = {
        [IQT_BIND_W] = rows_at(p->w, p->row_begin + begin, &out->params.w_base),
        [IQT_BIND_GATE] = rows_at(p->gate ? p->gate : p->w, p->row_begin + begin,
                                  &out->params.gate_base),
        [IQT_BIND_XQ] = is_float ? c->x : iqt_gpu_quantized(r, plan),
        [IQT_BIND_XS] = is_float ? 0 : r->scratch->address + r->scales_at,
        [IQT_BIND_BIAS] = p->bias,
        [IQT_BIND_GATE_BIAS] = p->gate_bias,
        [IQT_BIND_RESIDUAL] = p->residual,
        [IQT_BIND_Y] = p->y,
        [IQT_BIND_WORK] = r->scratch->address + r->work_at,
    };
    memcpy(out->address, address, sizeof address);
}

static size_t chunk_of(const struct iqt_gpu_call *c, const struct iqt_gpu_product *p)
{
    const size_t most = (c->r->dev->max_binding - 64) / p->w->row_bytes / 64 * 64;

    return most > 0 ? most : 1;
}

static enum iqt_op op_of(const struct iqt_gpu_product *p)
{
    return p->gate ? IQT_OP_GATED : IQT_OP_MATVEC;
}

static enum iqt_status launch_product(const struct iqt_gpu_call *c,
                                      const struct iqt_gpu_product *p)
{
    const size_t chunk = chunk_of(c, p);
    const struct iqt_built *built;

    IQT_TRY(iqt_plan_choose(c->r->dev, p->w, op_of(p), c->n, &built));
    for (size_t begin = 0; begin < iqt_gpu_rows(p); begin += chunk) {
        const size_t left = iqt_gpu_rows(p) - begin, rows = left < chunk ? left : chunk;
        struct iqt_gpu_part part;

        fill_part(c, p, &built->plan, begin, rows, &part);
        iqt_work_release(&c->r->work); /* launches on a stream take turns */
        if (!iqt_work_take(&c->r->work, &built->plan, &part.params))
            return iqt_fail(IQT_ERR_NO_MEMORY,
                            "plan %s: the recorder has no room for partial sums of %zu "
                            "rows",
                            built->name, rows);
        IQT_TRY(iqt_gpu_enqueue(c->r->dev->hw, c->stream, built->kernel, part.address,
                                &part.params, part.groups));
    }
    return IQT_OK;
}

static bool goes_with(const struct iqt_gpu_call *c, const struct iqt_gpu_product *a,
                      const struct iqt_gpu_product *b)
{
    return iqt_gpu_rows(a) <= chunk_of(c, a) && iqt_gpu_rows(b) <= chunk_of(c, b) &&
           iqt_matrix_goes_with(a->w, b->w) && op_of(a) == op_of(b);
}

/* The kernel of a set, which its largest matrix decides on; NULL: there is none, each goes alone. */
static enum iqt_status choose_set(const struct iqt_gpu_call *c, const size_t *member,
                                  size_t count, const struct iqt_built **out)
{
    const struct iqt_gpu_product *largest = &c->products[member[0]];
    enum iqt_status status;

    for (size_t i = 1; i < count; i++)
        if (c->products[member[i]].w->m > largest->w->m)
            largest = &c->products[member[i]];
    status = iqt_plan_choose_set(c->r->dev, largest->w, op_of(largest), c->n, out);
    if (status != IQT_ERR_UNSUPPORTED)
        return status;
    *out = NULL;
    return IQT_OK;
}

/* Members of a set in as few launches as the room for partial sums allows: one, nearly always. */
static enum iqt_status launch_set(const struct iqt_gpu_call *c, const size_t *member,
                                  size_t count, const struct iqt_built *built)
{
    struct iqt_gpu_part part[IQT_SET_JOBS];

    for (size_t i = 0; i < count;) {
        size_t n = 0;

        iqt_work_release(&c->r->work);
        while (i + n < count) {
            const struct iqt_gpu_product *p = &c->products[member[i + n]];

            fill_part(c, p, &built->plan, 0, iqt_gpu_rows(p), &part[n]);
            if (!iqt_work_take(&c->r->work, &built->plan, &part[n].params))
                break;
            n++;
        }
        if (n == 0)
            return iqt_fail(IQT_ERR_NO_MEMORY,
                            "plan %s: the recorder has no room for partial sums",
                            built->name);
        IQT_TRY(iqt_gpu_enqueue_set(c->r->dev->hw, c->stream, built->kernel, part, n));
        i += n;
    }
    return IQT_OK;
}

/* Product `first` and those behind it that can share its launch. */
static enum iqt_status launch_with(const struct iqt_gpu_call *c, size_t first, bool *done)
{
    const struct iqt_built *built = NULL;
    size_t member[IQT_SET_JOBS], count = 0;

    for (size_t i = first; i < c->count && count < IQT_SET_JOBS; i++)
        if (!done[i] &&
            (i == first || goes_with(c, &c->products[first], &c->products[i])))
            member[count++] = i;
    if (count > 1)
        IQT_TRY(choose_set(c, member, count, &built));
    if (built) {
        for (size_t i = 0; i < count; i++)
            done[member[i]] = true;
        return launch_set(c, member, count, built);
    }
    done[first] = true;
    return launch_product(c, &c->products[first]);
}

/* Sets are found among so many products at a time, which need no memory to remember. */
static enum iqt_status launch_some(const struct iqt_gpu_call *c)
{
    bool done[SOME] = { false };

    for (size_t i = 0; i < c->count; i++)
        if (!done[i])
            IQT_TRY(launch_with(c, i, done));
    return IQT_OK;
}

enum iqt_status iqt_gpu_launch_all(const struct iqt_gpu_call *c)
{
    struct iqt_gpu_call some = *c;

    if (c->quantized)
        IQT_TRY(iqt_gpu_record_quantize(c->r, c->stream, c->x, c->x_stride, c->k, c->n));
    for (size_t i = 0; i < c->count; i += SOME) {
        some.products = c->products + i;
        some.count = c->count - i < SOME ? c->count - i : SOME;
        IQT_TRY(launch_some(&some));
    }
    return IQT_OK;
}
