/* The public product calls: checks every argument once, then plans and runs the call. */
#include "runtime/pass.h"

#include <math.h>

static enum iqt_status check_matrix(const struct iqt_queue *q, const struct iqt_matrix *w,
                                    size_t i, size_t k)
{
    if (w->dev != q->dev)
        return iqt_fail(IQT_ERR_ARG,
                        "product %zu: a matrix lives on another device than the queue",
                        i);
    if (w->experts)
        return iqt_fail(IQT_ERR_ARG,
                        "product %zu: a matrix of experts is for iqt_matvec_routed()", i);
    if (w->k != k)
        return iqt_fail(IQT_ERR_SHAPE,
                        "product %zu: a matrix has %zu columns, expected %zu", i, w->k,
                        k);
    return IQT_OK;
}

static enum iqt_status check_gate(const struct iqt_queue *q, const struct iqt_product *p,
                                  size_t i, size_t k)
{
    if (!p->gate)
        return p->gate_bias
                   ? iqt_fail(IQT_ERR_ARG, "product %zu: gate_bias without a gate", i)
                   : IQT_OK;
    IQT_TRY(check_matrix(q, p->gate, i, k));
    if (p->gate->m != p->w->m)
        return iqt_fail(IQT_ERR_SHAPE,
                        "product %zu: the gate has %zu rows, the matrix %zu", i,
                        p->gate->m, p->w->m);
    if ((uint32_t)p->act > IQT_ACT_SWIGLU_OAI)
        return iqt_fail(IQT_ERR_ARG, "product %zu: unknown activation %d", i,
                        (int)p->act);
    if (p->act == IQT_ACT_SWIGLU_OAI && !(p->limit > 0))
        return iqt_fail(IQT_ERR_ARG, "product %zu: limit is %g, must be positive", i,
                        (double)p->limit);
    return IQT_OK;
}

static enum iqt_status check_rows(const struct iqt_product *p, size_t i)
{
    const size_t m = p->w->m;
    size_t rows;

    if (p->row_begin >= m || p->rows > m - p->row_begin)
        return iqt_fail(IQT_ERR_SHAPE,
                        "product %zu: rows %zu + %zu of a matrix with %zu rows", i,
                        p->row_begin, p->rows, m);
    rows = iqt_product_rows(p);
    if (p->y_stride && p->y_stride < rows)
        return iqt_fail(IQT_ERR_SHAPE, "product %zu: y_stride is %zu, less than %zu rows",
                        i, p->y_stride, rows);
    if (p->residual && p->residual_stride && p->residual_stride < rows)
        return iqt_fail(IQT_ERR_SHAPE,
                        "product %zu: residual_stride is %zu, less than %zu rows", i,
                        p->residual_stride, rows);
    return IQT_OK;
}

static enum iqt_status check_products(const struct iqt_queue *q, uint32_t n,
                                      const struct iqt_product *products, size_t count)
{
    if (!q || !products || count == 0)
        return iqt_fail(IQT_ERR_ARG, "%s", !q ? "queue is NULL" : "no products");
    if (n < 1 || n > IQT_MAX_COLS)
        return iqt_fail(IQT_ERR_SHAPE, "n is %u, expected 1 .. %u", n, IQT_MAX_COLS);
    for (size_t i = 0; i < count; i++) {
        const struct iqt_product *p = &products[i];

        if (p->struct_size != sizeof *p)
            return iqt_fail(IQT_ERR_ARG, "product %zu: struct_size is %zu, expected %zu",
                            i, p->struct_size, sizeof *p);
        if (!p->w)
            return iqt_fail(IQT_ERR_ARG, "product %zu: w is NULL", i);
        IQT_TRY(check_matrix(q, p->w, i, products[0].w->k));
        IQT_TRY(check_gate(q, p, i, products[0].w->k));
        IQT_TRY(check_rows(p, i));
    }
    return IQT_OK;
}

static enum iqt_status check_data(const float *x, size_t x_stride,
                                  const struct iqt_product *products, size_t count)
{
    const size_t k = products[0].w->k;

    if (!x)
        return iqt_fail(IQT_ERR_ARG, "x is NULL");
    if (x_stride && x_stride < k)
        return iqt_fail(IQT_ERR_SHAPE, "x_stride is %zu, less than %zu columns", x_stride,
                        k);
    for (size_t i = 0; i < count; i++)
        if (!products[i].y)
            return iqt_fail(IQT_ERR_ARG, "product %zu: y is NULL", i);
    return IQT_OK;
}

enum iqt_status iqt_product_run(struct iqt_queue *q, const float *x, size_t x_stride,
                                uint32_t n, const struct iqt_product *products,
                                size_t count, const struct iqt_plan *forced,
                                uint64_t *elapsed_ns)
{
    struct iqt_call call = { .q = q, .x = x, .n = n };

    IQT_TRY(check_products(q, n, products, count));
    IQT_TRY(check_data(x, x_stride, products, count));
    call.k = products[0].w->k;
    call.x_stride = x_stride ? x_stride : call.k;
    IQT_TRY(iqt_call_plan(&call, products, count, forced));
    return iqt_call_run(&call, elapsed_ns);
}

enum iqt_status iqt_matvec(struct iqt_queue *q, const float *x, size_t x_stride,
                           uint32_t n, const struct iqt_product *products, size_t count)
{
    return iqt_product_run(q, x, x_stride, n, products, count, NULL, NULL);
}

enum iqt_status iqt_matvec_by_plan(struct iqt_queue *q, const char *plan, const float *x,
                                   size_t x_stride, uint32_t n,
                                   const struct iqt_product *products, size_t count)
{
    struct iqt_plan forced;

    if (!plan)
        return iqt_fail(IQT_ERR_ARG, "iqt_matvec_by_plan: plan is NULL");
    IQT_TRY(iqt_plan_parse(plan, &forced));
    return iqt_product_run(q, x, x_stride, n, products, count, &forced, NULL);
}

enum iqt_status iqt_workspace_bytes(struct iqt_queue *q, uint32_t n,
                                    const struct iqt_product *products, size_t count,
                                    size_t *bytes)
{
    struct iqt_call call = { .q = q, .n = n };

    if (!bytes)
        return iqt_fail(IQT_ERR_ARG, "iqt_workspace_bytes: bytes is NULL");
    IQT_TRY(check_products(q, n, products, count));
    call.k = products[0].w->k;
    IQT_TRY(iqt_call_plan(&call, products, count, NULL));
    /* Scratch only grows: an earlier, larger call leaves its size behind. */
    *bytes = call.bytes > q->scratch_bytes ? call.bytes : q->scratch_bytes;
    return IQT_OK;
}

static float silu(float g)
{
    return g / (1.0f + expf(-g));
}

/* sqrt(2 / pi) and the cubic's factor of the usual tanh approximation. */
static float gelu(float g)
{
    return 0.5f * g *
           (1.0f + tanhf(0.79788456080286535588f * (g + 0.044715f * g * g * g)));
}

/* Comparisons that let a NaN through, as g < limit ? g : limit would not. */
static float swiglu_oai(float g, float u, float limit)
{
    const float capped = g > limit ? limit : g;
    const float clamped = u > limit ? limit : u < -limit ? -limit : u;

    return capped / (1.0f + expf(-1.702f * capped)) * (clamped + 1.0f);
}

float iqt_act_apply(enum iqt_act act, float limit, float g, float u)
{
    switch (act) {
    case IQT_ACT_SILU:
        return silu(g) * u;
    case IQT_ACT_GELU:
        return gelu(g) * u;
    case IQT_ACT_RELU:
        return (g < 0 ? 0 : g) * u;
    case IQT_ACT_SWIGLU_OAI:
        return swiglu_oai(g, u, limit);
    }
    return NAN;
}
