/* The exact scalar model of a product, and the comparison with it. It shares no code with the
 * emitters: weights come from the hand-written reference decoders, activations from the scalar
 * quantizer, sums are in double. Knows no device. */
#include "runtime/verify.h"

#include "base/base.h"
#include "kernels/quantized.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_WORKERS = 16, PART_WEIGHTS = 1 << 18 };

/* One thread's share: rows [begin, end) of the model. */
struct part {
    const struct iqt_format *f;
    const uint8_t *rows;
    size_t row_bytes, k, begin, end;
    const double *x; /* [n][k], as the kernels see it */
    struct iqt_model *model;
    enum iqt_status status;
    char why[256]; /* iqt_last_error() is per thread */
};

/* One row against one vector. Fixed order of sums, so that a model is the same for any number
 * of threads. */
static void dot(const float *w, const double *x, size_t k, double *y, double *bound)
{
    double sum = 0, size = 0;

    for (size_t j = 0; j < k; j++) {
        const double product = (double)w[j] * x[j];

        sum += product;
        size += fabs(product);
    }
    *y = sum;
    *bound = size;
}

static enum iqt_status run_part(const struct part *p)
{
    float *w = malloc(p->k * sizeof *w);
    enum iqt_status status = IQT_OK;

    if (w == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a row of %zu weights", p->k);
    for (size_t r = p->begin; r < p->end; r++) {
        status =
            iqt_decode_row(p->f, p->rows + r * p->row_bytes, p->k, IQT_DECODE_COMPUTE, w);
        if (status != IQT_OK)
            break;
        for (uint32_t c = 0; c < p->model->n; c++) {
            const size_t at = c * p->model->m + r;

            dot(w, p->x + c * p->k, p->k, &p->model->y[at], &p->model->bound[at]);
        }
    }
    free(w);
    return status;
}

static void *part_main(void *arg)
{
    struct part *p = arg;

    p->status = run_part(p);
    if (p->status != IQT_OK)
        strncpy(p->why, iqt_last_error(), sizeof p->why - 1);
    return NULL;
}

static size_t worker_count(size_t m, size_t k)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = cores < 1 ? 1 : (size_t)cores;

    if (count > MAX_WORKERS)
        count = MAX_WORKERS;
    if (count > m)
        count = m;
    /* A thread costs about as much as decoding some ten thousand weights. */
    return m * k / PART_WEIGHTS < count ? m * k / PART_WEIGHTS + 1 : count;
}

/* Splits the rows over threads; a thread that cannot be started is done right here. */
static enum iqt_status run_parts(const struct part *whole, size_t m)
{
    struct part part[MAX_WORKERS];
    pthread_t thread[MAX_WORKERS];
    bool started[MAX_WORKERS] = { false };
    size_t count = worker_count(m, whole->k);

    if (count > m)
        count = m;
    for (size_t i = 0; i < count; i++) {
        part[i] = *whole;
        part[i].begin = m * i / count;
        part[i].end = m * (i + 1) / count;
        if (i > 0)
            started[i] = pthread_create(&thread[i], NULL, part_main, &part[i]) == 0;
    }
    for (size_t i = 0; i < count; i++)
        if (!started[i])
            part_main(&part[i]);
    for (size_t i = 0; i < count; i++)
        if (started[i])
            pthread_join(thread[i], NULL);
    for (size_t i = 0; i < count; i++)
        if (part[i].status != IQT_OK)
            return iqt_fail(part[i].status, "%s", part[i].why);
    return IQT_OK;
}

/* The activations that the kernels multiply with, d * q, are exact in double. A vector at a time. */
static void quantized(const float *x, size_t k, void *made, struct iqt_xs *s, double *out)
{
    int8_t *const q = made;

    iqt_quantize_ref(x, k, q, s);
    for (size_t j = 0; j < k; j++)
        out[j] = (double)s[j / IQT_X_BLOCK].d * q[j];
}

static void halved(const float *x, size_t k, void *made, struct iqt_xs *s, double *out)
{
    uint16_t *const h = made;

    iqt_halve_ref(x, k, h, s);
    for (size_t j = 0; j < k; j++)
        out[j] = (double)s[j / IQT_X_BLOCK].d * (double)iqt_f16_to_f32(h[j]);
}

static void as_given(const float *x, size_t k, void *made, struct iqt_xs *s, double *out)
{
    (void)made;
    (void)s;
    for (size_t j = 0; j < k; j++)
        out[j] = (double)x[j];
}

static enum iqt_status seen_by_kernels(enum iqt_compute kind, const float *x,
                                       size_t stride, size_t k, uint32_t n, double *out)
{
    const struct iqt_activations *a = iqt_compute_activations(kind);
    void (*const see)(const float *, size_t, void *, struct iqt_xs *, double *) =
        a->made_by == IQT_HELPER_QUANTIZE ? quantized
        : a->made_by == IQT_HELPER_HALVE  ? halved
                                          : as_given;
    void *made = malloc(k * a->bytes);
    struct iqt_xs *s = malloc((k / IQT_X_BLOCK + 1) * sizeof *s);
    const bool room = made != NULL && s != NULL;

    for (uint32_t c = 0; room && c < n; c++)
        see(x + c * stride, k, made, s, out + c * k);
    free(made);
    free(s);
    return room ? IQT_OK
                : iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu activations", k);
}

enum iqt_status iqt_model_run_as(const struct iqt_format *f, enum iqt_compute kind,
                                 const void *rows, size_t m, size_t k, const float *x,
                                 size_t x_stride, uint32_t n, struct iqt_model *out)
{
    struct iqt_model model = { .m = m, .n = n, .tiny = (double)k * FLT_MIN };
    struct part whole = { .f = f, .rows = rows, .k = k, .model = &model };
    enum iqt_status status;
    uint64_t cells, weights;
    double *seen = NULL;

    assert(m > 0 && k > 0 && n > 0);
    IQT_TRY(iqt_format_row_bytes(f, k, &whole.row_bytes));
    if (!iqt_mul(m, n, &cells) || !iqt_mul(k, n, &weights))
        return iqt_fail(IQT_ERR_SHAPE, "a model of %zu x %zu with %u vectors overflows",
                        m, k, n);
    model.y = calloc(cells, sizeof *model.y);
    model.bound = calloc(cells, sizeof *model.bound);
    seen = calloc(weights, sizeof *seen);
    if (model.y == NULL || model.bound == NULL || seen == NULL) {
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a model of %zu x %u results",
                          m, n);
        goto free_model;
    }
    status = seen_by_kernels(kind, x, x_stride == 0 ? k : x_stride, k, n, seen);
    if (status != IQT_OK)
        goto free_model;
    whole.x = seen;
    status = run_parts(&whole, m);
    if (status != IQT_OK)
        goto free_model;
    free(seen);
    *out = model;
    return IQT_OK;

free_model:
    free(seen);
    iqt_model_free(&model);
    return status;
}

enum iqt_status iqt_model_run(const struct iqt_format *f, const void *rows, size_t m,
                              size_t k, const float *x, size_t x_stride, uint32_t n,
                              struct iqt_model *out)
{
    return iqt_model_run_as(f, iqt_compute_default(f), rows, m, k, x, x_stride, n, out);
}

void iqt_model_free(struct iqt_model *model)
{
    free(model->y);
    free(model->bound);
    *model = (struct iqt_model){ 0 };
}

void iqt_model_skip_row(struct iqt_model *model, size_t row)
{
    for (uint32_t c = 0; c < model->n; c++) {
        model->y[c * model->m + row] = 0;
        model->bound[c * model->m + row] = INFINITY;
    }
}

/* How far outside its tolerance a value is: <= 1 is inside. */
static double excess(const struct iqt_model *model, size_t at, float got, double *allowed)
{
    *allowed = IQT_MODEL_RTOL * model->bound[at] + model->tiny;
    if (isinf(model->bound[at])) /* infinite weights, or a row that is left out */
        return 0;
    if (!isfinite(model->y[at]))
        return isfinite(got) ? INFINITY : 0;
    /* A sum that leaves float's range may be infinite. */
    if (fabs(model->y[at]) > FLT_MAX)
        return isfinite(got) ? INFINITY : 0;
    if (!isfinite(got))
        return model->bound[at] > FLT_MAX ? 0 : INFINITY;
    return fabs((double)got - model->y[at]) / *allowed;
}

bool iqt_model_agrees(const struct iqt_model *model, const float *y, size_t y_stride,
                      uint32_t n, size_t row_begin, size_t rows,
                      struct iqt_mismatch *worst)
{
    struct iqt_mismatch found = { 0 };
    double worst_excess = -1;

    assert(n <= model->n && row_begin + rows <= model->m);
    if (y_stride == 0)
        y_stride = rows;
    for (uint32_t c = 0; c < n; c++)
        for (size_t r = 0; r < rows; r++) {
            const size_t at = c * model->m + row_begin + r;
            const float got = y[c * y_stride + r];
            double allowed;
            const double e = excess(model, at, got, &allowed);

            found.count += e > 1;
            if (e <= worst_excess)
                continue;
            worst_excess = e;
            found.row = row_begin + r;
            found.col = c;
            found.got = got;
            found.want = model->y[at];
            found.allowed = allowed;
        }
    if (worst != NULL)
        *worst = found;
    return found.count == 0;
}
