/* What a call can do beyond y = W x: three products that share x, with bias, residual, a gate and
 * its activation, a range of rows, and results that lie apart. Compared with two exact models
 * joined in double. */
#include "tools/check_cases.h"
#include "runtime/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    M = 37,
    BEGIN = 5,
    ROWS = 23,
    STRIDE = M + 3,
    PRODUCTS = 3,
    MAX_CELLS = 16 * STRIDE
};

static const float limit = 1.5f; /* near the size of the results, so that it bites */

static const struct {
    enum iqt_act act;
    const char *name;
} acts[] = {
    { IQT_ACT_SILU, "silu" },
    { IQT_ACT_GELU, "gelu" },
    { IQT_ACT_RELU, "relu" },
    { IQT_ACT_SWIGLU_OAI, "swiglu_oai" },
};

struct fused {
    struct iqt_check *check;
    size_t k, row_bytes;
    uint8_t *rows;                /* of both matrices */
    struct iqt_matrix *matrix[2]; /* up, gate */
    struct iqt_model model[2];
    float *x;                     /* [16][k] */
    float bias[2][M];             /* up, gate */
    float residual[MAX_CELLS];    /* 16 vectors, STRIDE apart */
    float y[PRODUCTS][MAX_CELLS]; /* the same */
};

/* ---- What must come out ---- */

static double act_of(enum iqt_act act, double g, double u)
{
    switch (act) {
    case IQT_ACT_SILU:
        return g / (1 + exp(-g)) * u;
    case IQT_ACT_GELU:
        return 0.5 * g * (1 + tanh(sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g))) * u;
    case IQT_ACT_RELU:
        return fmax(g, 0) * u;
    case IQT_ACT_SWIGLU_OAI:
        g = fmin(g, (double)limit);
        u = fmin(fmax(u, -(double)limit), (double)limit);
        return g / (1 + exp(-1.702 * g)) * (u + 1);
    }
    return NAN;
}

/* A sum of a row and its bias, and how far off it may be. */
struct value {
    double is, off;
};

static struct value row_value(const struct fused *f, int which, uint32_t c, size_t r)
{
    const struct iqt_model *model = &f->model[which];
    const double bias = (double)f->bias[which][r];
    const size_t at = c * model->m + r;

    return (struct value){ model->y[at] + bias,
                           IQT_MODEL_RTOL * (model->bound[at] + fabs(bias)) +
                               model->tiny };
}

/* No activation is steeper than 1.2. Drivers' exp and tanh are good to some 1e-6 of the factors,
 * not of the result: where it is tiny, so may be its correct digits. */
static struct value gated_value(const struct fused *f, enum iqt_act act, uint32_t c,
                                size_t r)
{
    const struct value u = row_value(f, 0, c, r), g = row_value(f, 1, c, r);
    const double is = act_of(act, g.is, u.is);

    return (struct value){ is, 1.2 * g.off * (fabs(u.is) + 1) + fabs(g.is) * u.off +
                                   1e-5 * (fabs(g.is) + 1) * (fabs(u.is) + 1) };
}

static enum iqt_status check_value(float got, struct value want, double residual,
                                   uint32_t c, size_t r)
{
    const double off = fabs((double)got - (want.is + residual));

    if (off <= want.off + 1e-6 * (fabs(residual) + fabs(want.is)))
        return IQT_OK;
    return iqt_fail(IQT_ERR_INTERNAL,
                    "row %zu of vector %u: got %.9g, expected %.9g +- %.3g", r, c,
                    (double)got, want.is + residual, want.off);
}

static enum iqt_status check_results(const struct fused *f, enum iqt_act act, uint32_t n)
{
    for (uint32_t c = 0; c < n; c++)
        for (size_t r = 0; r < M; r++) {
            const size_t at = c * STRIDE + r;
            const double residual = (double)f->residual[at];
            struct value plain = row_value(f, 1, c, r);

            plain.is -= (double)f->bias[1][r];
            IQT_TRY(check_value(f->y[0][at], gated_value(f, act, c, r), residual, c, r));
            if (r < ROWS)
                IQT_TRY(check_value(f->y[1][at], row_value(f, 0, c, BEGIN + r), residual,
                                    c, BEGIN + r));
            IQT_TRY(check_value(f->y[2][at], plain, 0, c, r));
        }
    return IQT_OK;
}

/* What lies between the vectors, and behind the range, belongs to somebody else. */
static enum iqt_status check_untouched(const struct fused *f, uint32_t n)
{
    static const size_t rows[PRODUCTS] = { M, ROWS, M };

    for (int p = 0; p < PRODUCTS; p++)
        for (uint32_t c = 0; c < IQT_MAX_COLS; c++)
            for (size_t r = c < n ? rows[p] : 0; r < STRIDE; r++)
                if (!isnan(f->y[p][c * STRIDE + r]))
                    return iqt_fail(
                        IQT_ERR_INTERNAL,
                        "product %d wrote to row %zu of vector %u, beside its results", p,
                        r, c);
    return IQT_OK;
}

/* ---- The call ---- */

static enum iqt_status run_call(struct fused *f, enum iqt_act act, uint32_t n)
{
    const struct iqt_product product[PRODUCTS] = {
        { .struct_size = sizeof product[0],
          .w = f->matrix[0],
          .gate = f->matrix[1],
          .act = act,
          .limit = limit,
          .bias = f->bias[0],
          .gate_bias = f->bias[1],
          .residual = f->residual,
          .residual_stride = STRIDE,
          .y = f->y[0],
          .y_stride = STRIDE },
        { .struct_size = sizeof product[0],
          .w = f->matrix[0],
          .bias = f->bias[0],
          .residual = f->residual,
          .residual_stride = STRIDE,
          .y = f->y[1],
          .y_stride = STRIDE,
          .row_begin = BEGIN,
          .rows = ROWS },
        { .struct_size = sizeof product[0],
          .w = f->matrix[1],
          .y = f->y[2],
          .y_stride = STRIDE },
    };

    for (int p = 0; p < PRODUCTS; p++)
        for (size_t i = 0; i < MAX_CELLS; i++)
            f->y[p][i] = NAN;
    IQT_TRY(iqt_matvec(f->check->seat->queue, f->x, 0, n, product, PRODUCTS));
    IQT_TRY(check_untouched(f, n));
    return check_results(f, act, n);
}

/* Scales x by a power of two so that results are about 1, where activations bend. */
static enum iqt_status scale_x(struct fused *f, const uint8_t *rows)
{
    struct iqt_model model;
    double size = 0;

    IQT_TRY(
        iqt_model_run(f->check->format, rows, M, f->k, f->x, 0, IQT_MAX_COLS, &model));
    for (size_t i = 0; i < IQT_MAX_COLS * M; i++)
        size += model.y[i] * model.y[i];
    iqt_model_free(&model);
    size = sqrt(size / (IQT_MAX_COLS * M));
    for (size_t i = 0; i < IQT_MAX_COLS * f->k && size > 0; i++)
        f->x[i] = ldexpf(f->x[i], -ilogb(size));
    return IQT_OK;
}

static enum iqt_status open_fused(struct fused *f)
{
    const struct iqt_format *format = f->check->format;
    struct iqt_rng rng = { f->check->seed };

    IQT_TRY(iqt_format_row_bytes(format, f->k, &f->row_bytes));
    f->rows = malloc(2 * M * f->row_bytes);
    f->x = malloc(IQT_MAX_COLS * f->k * sizeof *f->x);
    if (f->rows == NULL || f->x == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %d rows of %zu", 2 * M, f->k);
    iqt_random_rows(format, f->k, 2 * M, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng,
                    f->rows);
    for (size_t i = 0; i < IQT_MAX_COLS * f->k; i++)
        f->x[i] = iqt_rng_gauss(&rng);
    for (size_t i = 0; i < M; i++)
        for (int which = 0; which < 2; which++)
            f->bias[which][i] = iqt_rng_gauss(&rng);
    for (size_t i = 0; i < MAX_CELLS; i++)
        f->residual[i] = iqt_rng_gauss(&rng);
    IQT_TRY(scale_x(f, f->rows + M * f->row_bytes));
    for (int which = 0; which < 2; which++) {
        const uint8_t *rows = f->rows + which * M * f->row_bytes;

        IQT_TRY(iqt_model_run(format, rows, M, f->k, f->x, 0, IQT_MAX_COLS,
                              &f->model[which]));
        IQT_TRY(iqt_matrix_upload(f->check->seat->dev, format, M, f->k, rows,
                                  M * f->row_bytes, f->check->layout, &f->matrix[which]));
    }
    return IQT_OK;
}

static void close_fused(struct fused *f)
{
    for (int which = 0; which < 2; which++) {
        iqt_matrix_destroy(f->matrix[which]);
        iqt_model_free(&f->model[which]);
    }
    free(f->x);
    free(f->rows);
    free(f);
}

static enum iqt_status run_all(struct fused *f)
{
    static const uint32_t cols[] = { 1, 3, IQT_MAX_COLS };
    struct iqt_check *c = f->check;

    for (size_t i = 0; i < IQT_COUNT(cols); i++)
        for (size_t a = 0; a < IQT_COUNT(acts); a++) {
            const uint32_t n = c->n != 0 ? c->n : cols[i];

            if (c->n != 0 && i > 0)
                return IQT_OK;
            if (run_call(f, acts[a].act, n) == IQT_OK) {
                c->passed++;
            } else {
                char kind[64];

                snprintf(kind, sizeof kind, "fused calls, %s", acts[a].name);
                c->failed++;
                iqt_check_report(c, M, f->k, n, NULL, kind);
            }
            if (iqt_cli_interrupted())
                return iqt_fail(IQT_ERR_INTERRUPTED, "interrupted");
        }
    return IQT_OK;
}

enum iqt_status iqt_check_fused(struct iqt_check *c)
{
    struct fused *f = calloc(1, sizeof *f);
    enum iqt_status status;

    if (f == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a fused call");
    f->check = c;
    f->k = c->format->superblock < 256 ? 288 : 512;
    status = open_fused(f);
    if (status == IQT_OK)
        status = run_all(f);
    close_fused(f);
    return status;
}
