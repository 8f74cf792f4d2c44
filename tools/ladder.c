/* The rungs of the correctness ladder: products run through guarded buffers and compared with
 * the exact model, with themselves, and with the decoded weights. */
#include "tools/ladder.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 16, MAX_ONE_HOT = 4 << 20 }; /* floats */

/* A quiet NaN that no kernel computes: its payload tells it from a result. */
static const uint32_t poison_bits = 0x7fc0beefu;

static bool is_poison(const float *value)
{
    return memcmp(value, &poison_bits, sizeof *value) == 0;
}

static enum iqt_status wrong(const char *what, size_t row, uint32_t col)
{
    return iqt_fail(IQT_ERR_INTERNAL, "%s at row %zu of vector %u", what, row, col);
}

/* The buffer: GUARD, then n times m results and GUARD. */
static enum iqt_status check_guards(const float *buffer, size_t m, uint32_t n)
{
    for (size_t i = 0; i < GUARD; i++)
        if (!is_poison(buffer + i))
            return iqt_fail(IQT_ERR_INTERNAL, "wrote %zu floats in front of y",
                            GUARD - i);
    for (uint32_t c = 0; c < n; c++) {
        const float *y = buffer + GUARD + c * (m + GUARD);

        for (size_t r = 0; r < m; r++)
            if (is_poison(y + r))
                return wrong("no result", r, c);
        for (size_t i = 0; i < GUARD; i++)
            if (!is_poison(y + m + i))
                return wrong("wrote past the end", m + i, c);
    }
    return IQT_OK;
}

enum iqt_status iqt_rung_run(const struct iqt_rung *r, const float *x, uint32_t n,
                             float *y)
{
    const size_t m = r->matrix->m, count = GUARD + n * (m + GUARD);
    struct iqt_product p = { .struct_size = sizeof p,
                             .w = r->matrix,
                             .y_stride = m + GUARD };
    float *buffer = malloc(count * sizeof *buffer);
    enum iqt_status status;

    if (buffer == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu results", count);
    for (size_t i = 0; i < count; i++)
        memcpy(buffer + i, &poison_bits, sizeof *buffer);
    p.y = buffer + GUARD;
    status = iqt_product_run(r->queue, x, 0, n, &p, 1, r->plan, NULL);
    if (status == IQT_OK)
        status = check_guards(buffer, m, n);
    for (uint32_t c = 0; c < n && status == IQT_OK; c++)
        memcpy(y + c * m, p.y + c * p.y_stride, m * sizeof *y);
    free(buffer);
    return status;
}

static void note_worst(const struct iqt_model *model, const float *y, uint32_t n,
                       double *worst)
{
    for (size_t i = 0; i < n * model->m; i++)
        if (isfinite(model->bound[i]) && model->bound[i] > 0 && isfinite(y[i])) {
            double off = fabs((double)y[i] - model->y[i]) - model->tiny;

            off /= model->bound[i];
            *worst = off > *worst ? off : *worst;
        }
}

enum iqt_status iqt_rung_model(const struct iqt_rung *r, const struct iqt_model *model,
                               const float *x, uint32_t n, float *y, double *worst)
{
    struct iqt_mismatch bad;

    IQT_TRY(iqt_rung_run(r, x, n, y));
    note_worst(model, y, n, worst);
    if (iqt_model_agrees(model, y, 0, n, 0, model->m, &bad))
        return IQT_OK;
    return iqt_fail(
        IQT_ERR_INTERNAL,
        "n = %u: %zu of %zu results differ from the exact model; worst at row %zu of "
        "vector %u: got %.9g, expected %.9g +- %.3g",
        n, bad.count, n * model->m, bad.row, bad.col, bad.got, bad.want, bad.allowed);
}

enum iqt_status iqt_rung_columns(const struct iqt_rung *r, const float *x, uint32_t n,
                                 const float *y)
{
    const size_t m = r->matrix->m, k = r->matrix->k;
    struct iqt_rung single = *r;
    struct iqt_plan plan;
    enum iqt_status status = IQT_OK;
    const char *name;
    float *alone;

    if (r->plan == NULL) {
        IQT_TRY(iqt_plan_used(r->matrix->dev, r->matrix, false, n, &name));
        IQT_TRY(iqt_plan_parse(name, &plan));
        single.plan = &plan;
    }
    alone = malloc(m * sizeof *alone);
    if (alone == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu results", m);
    for (uint32_t c = 0; c < n && status == IQT_OK; c++) {
        status = iqt_rung_run(&single, x + c * k, 1, alone);
        for (size_t i = 0; i < m && status == IQT_OK; i++) {
            const float together = y[c * m + i];

            if (isfinite(together) && memcmp(&together, &alone[i], sizeof together) != 0)
                status =
                    iqt_fail(IQT_ERR_INTERNAL,
                             "n = %u: row %zu of vector %u is %.9g, but %.9g when the "
                             "vector is alone",
                             n, i, c, (double)together, (double)alone[i]);
        }
    }
    free(alone);
    return status;
}

/* A product of one weight takes a scale times a scale times an integer: two roundings, and the
 * decoder has two of its own. A subtracted minimum adds the same of its own size. */
static bool weight_agrees(float got, float want, float part)
{
    const double slack = part == 0 && want == 0 ? 0 : FLT_MIN;
    const double size = fabs((double)want) + 2 * (double)part;

    return fabs((double)got - (double)want) <= size * 0x1p-22 + slack;
}

static enum iqt_status check_column(const struct iqt_rung *r, const float *y,
                                    size_t column, const float *weights,
                                    const float *parts, const bool *skip)
{
    const size_t k = r->matrix->k;

    for (size_t i = 0; i < r->matrix->m; i++) {
        const size_t at = i * k + column;

        if (skip[i] || weight_agrees(y[i], weights[at], parts != NULL ? parts[at] : 0))
            continue;
        return iqt_fail(IQT_ERR_INTERNAL,
                        "one-hot at column %zu: row %zu gives %.9g, its weight is %.9g",
                        column, i, (double)y[i], (double)weights[at]);
    }
    return IQT_OK;
}

static void find_skipped(const float *weights, size_t m, size_t k, bool *skip)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < k && !skip[i]; j++)
            skip[i] = !isfinite(weights[i * k + j]);
}

static enum iqt_status run_one_hot(const struct iqt_rung *r, uint32_t most,
                                   const float *weights, const float *parts,
                                   const bool *skip, float *x, float *y)
{
    const size_t m = r->matrix->m, k = r->matrix->k;

    for (size_t at = 0; at < k; at += most) {
        const uint32_t n = k - at < most ? (uint32_t)(k - at) : most;
        enum iqt_status status;

        for (uint32_t c = 0; c < n; c++)
            x[c * k + at + c] = 1;
        status = iqt_rung_run(r, x, n, y);
        for (uint32_t c = 0; c < n; c++)
            x[c * k + at + c] = 0;
        for (uint32_t c = 0; c < n && status == IQT_OK; c++)
            status = check_column(r, y + c * m, at + c, weights, parts, skip);
        IQT_TRY(status);
    }
    return IQT_OK;
}

enum iqt_status iqt_rung_one_hot(const struct iqt_rung *r, const float *weights,
                                 const float *parts)
{
    const size_t m = r->matrix->m, k = r->matrix->k;
    uint32_t most = r->plan != NULL ? r->plan->n : IQT_MAX_COLS;
    enum iqt_status status;
    bool *skip;
    float *x, *y;

    while (most > 1 && most * k > MAX_ONE_HOT)
        most--;
    skip = calloc(m, sizeof *skip);
    x = calloc(most * k, sizeof *x);
    y = calloc(most * m, sizeof *y);
    if (skip == NULL || x == NULL || y == NULL) {
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %u vectors of %zu", most, k);
    } else {
        find_skipped(weights, m, k, skip);
        status = run_one_hot(r, most, weights, parts, skip, x, y);
    }
    free(y);
    free(x);
    free(skip);
    return status;
}

enum iqt_status iqt_rung_decode(const struct iqt_format *f, const uint8_t *rows, size_t m,
                                size_t k, float *weights, float *parts)
{
    enum iqt_status status = IQT_OK;
    size_t row_bytes;
    uint8_t *copy;

    IQT_TRY(iqt_format_row_bytes(f, k, &row_bytes));
    for (size_t i = 0; i < m; i++)
        IQT_TRY(iqt_decode_row(f, rows + i * row_bytes, k, IQT_DECODE_COMPUTE,
                               weights + i * k));
    if (parts == NULL)
        return IQT_OK;
    copy = malloc(row_bytes);
    if (copy == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a row of %zu weights", k);
    for (size_t i = 0; i < m && status == IQT_OK; i++) {
        memcpy(copy, rows + i * row_bytes, row_bytes);
        iqt_clear_minima(f, k, 1, copy);
        status = iqt_decode_row(f, copy, k, IQT_DECODE_COMPUTE, parts + i * k);
        for (size_t j = i * k; j < (i + 1) * k; j++)
            parts[j] = fabsf(parts[j] - weights[j]);
    }
    free(copy);
    return status;
}
