/* Calls whose launches are more or less than one matrix: routed experts, against the exact model, ids
 * that name no expert among them; and k split over workgroups, which is forced on sizes too small to
 * ask for it. */
#include "tools/check_cases.h"
#include "runtime/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXPERTS = 3, M = 21, TOKENS = 3, USED = 2, JOBS = TOKENS * USED, STRIDE = M + 3 };

static const int32_t ids[JOBS] = { 2, 0, -1, 1, 2, EXPERTS };

struct routed {
    struct iqt_check *check;
    size_t k, row_bytes;
    uint8_t *rows;                /* of both matrices, expert by expert */
    struct iqt_matrix *matrix[2]; /* up, gate */
    struct iqt_model model[2];
    float *x; /* [JOBS][k] */
    float bias[2][EXPERTS * M];
    float y[JOBS * STRIDE];
};

/* A sum of a row and its bias, and how far off it may be. */
struct value {
    double is, off;
};

static struct value row_value(const struct routed *r, int which, uint32_t vector,
                              size_t row)
{
    const struct iqt_model *model = &r->model[which];
    const size_t at = vector * model->m + row;
    const double bias = (double)r->bias[which][row];

    return (struct value){ model->y[at] + bias,
                           IQT_MODEL_RTOL * (model->bound[at] + fabs(bias)) +
                               model->tiny };
}

/* max(g, 0) * u: an activation without a driver's exp. */
static struct value gated_value(const struct routed *r, uint32_t vector, size_t row)
{
    const struct value u = row_value(r, 0, vector, row), g = row_value(r, 1, vector, row);

    return (struct value){ fmax(g.is, 0) * u.is, g.off * (fabs(u.is) + u.off) +
                                                     fabs(g.is) * u.off +
                                                     1e-6 * fabs(g.is * u.is) };
}

static enum iqt_status check_job(const struct routed *r, uint32_t j, bool gated,
                                 bool x_per_slot)
{
    const uint32_t vector = x_per_slot ? j : j / USED;
    const bool none = ids[j] < 0 || ids[j] >= EXPERTS;

    for (size_t i = 0; i < STRIDE; i++) {
        const float got = r->y[j * STRIDE + i];
        struct value want = { 0, 0 };

        if (i >= M && !isnan(got))
            return iqt_fail(IQT_ERR_INTERNAL, "result %u: wrote behind its rows", j);
        if (i < M && !none)
            want = gated ? gated_value(r, vector, (size_t)ids[j] * M + i)
                         : row_value(r, 0, vector, (size_t)ids[j] * M + i);
        if (i < M && !(fabs((double)got - want.is) <= want.off + 1e-6 * fabs(want.is)))
            return iqt_fail(IQT_ERR_INTERNAL,
                            "result %u, expert %d, row %zu: got %.9g, expected %.9g +- "
                            "%.3g",
                            j, (int)ids[j], i, (double)got, want.is, want.off);
    }
    return IQT_OK;
}

static enum iqt_status run_call(struct routed *r, bool gated, bool x_per_slot)
{
    const struct iqt_routed p = {
        .struct_size = sizeof p,
        .w = r->matrix[0],
        .gate = gated ? r->matrix[1] : NULL,
        .act = IQT_ACT_RELU,
        .bias = r->bias[0],
        .gate_bias = gated ? r->bias[1] : NULL,
        .ids = ids,
        .tokens = TOKENS,
        .used = USED,
        .x_per_slot = x_per_slot,
        .y = r->y,
        .y_stride = STRIDE,
    };

    for (size_t i = 0; i < JOBS * STRIDE; i++)
        r->y[i] = NAN;
    IQT_TRY(iqt_matvec_routed(r->check->seat->queue, r->x, 0, &p));
    for (uint32_t j = 0; j < JOBS; j++)
        IQT_TRY(check_job(r, j, gated, x_per_slot));
    return IQT_OK;
}

static enum iqt_status open_matrix(struct routed *r, int which)
{
    const struct iqt_format *f = r->check->format;
    const size_t bytes = EXPERTS * M * r->row_bytes;
    const uint8_t *rows = r->rows + (size_t)which * bytes;

    IQT_TRY(iqt_model_run(f, rows, EXPERTS * M, r->k, r->x, 0, JOBS, &r->model[which]));
    return iqt_experts_upload(r->check->seat->dev, f, EXPERTS, M, r->k, rows, bytes,
                              r->check->layout, &r->matrix[which]);
}

static enum iqt_status open_routed(struct routed *r)
{
    const struct iqt_format *f = r->check->format;
    struct iqt_rng rng = { r->check->seed };

    IQT_TRY(iqt_format_row_bytes(f, r->k, &r->row_bytes));
    r->rows = malloc(2 * EXPERTS * M * r->row_bytes);
    r->x = malloc(JOBS * r->k * sizeof *r->x);
    if (r->rows == NULL || r->x == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %d experts", EXPERTS);
    iqt_random_rows(f, r->k, 2 * EXPERTS * M, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng,
                    r->rows);
    for (size_t i = 0; i < JOBS * r->k; i++)
        r->x[i] = iqt_rng_gauss(&rng);
    for (size_t i = 0; i < EXPERTS * M; i++)
        for (int which = 0; which < 2; which++)
            r->bias[which][i] = iqt_rng_gauss(&rng);
    IQT_TRY(open_matrix(r, 0));
    return open_matrix(r, 1);
}

static void close_routed(struct routed *r)
{
    for (int which = 0; which < 2; which++) {
        iqt_matrix_destroy(r->matrix[which]);
        iqt_model_free(&r->model[which]);
    }
    free(r->x);
    free(r->rows);
    free(r);
}

/* A device without a compiler may lack the kernel: left out, as other plans are. */
static enum iqt_status note(struct routed *r, bool gated, bool x_per_slot)
{
    const enum iqt_status status = run_call(r, gated, x_per_slot);

    if (status == IQT_OK) {
        r->check->passed++;
    } else if (status == IQT_ERR_UNSUPPORTED) {
        r->check->unbuilt++;
    } else {
        r->check->failed++;
        iqt_check_report(r->check, M, r->k, 1, NULL,
                         gated ? "routed experts, gated" : "routed experts");
    }
    return iqt_cli_interrupted() ? iqt_fail(IQT_ERR_INTERRUPTED, "interrupted") : IQT_OK;
}

enum iqt_status iqt_check_routed(struct iqt_check *c)
{
    struct routed *r = calloc(1, sizeof *r);
    enum iqt_status status;

    if (r == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for routed experts");
    r->check = c;
    r->k = c->format->superblock < 256 ? 288 : 512;
    status = open_routed(r);
    for (int i = 0; i < 4 && status == IQT_OK; i++)
        status = note(r, i % 2 != 0, i / 2 != 0);
    close_routed(r);
    return status;
}

enum iqt_status iqt_check_split(struct iqt_check *c)
{
    const enum iqt_dialect d = c->seat->dev->backend->dialect;
    struct iqt_plan plan =
        iqt_plan_default(c->format, d, IQT_OP_MATVEC, c->n != 0 ? c->n : 3, c->layout);

    plan.split = 2;
    if (d == IQT_DIALECT_HOST || iqt_plan_check(&plan, &c->seat->dev->limits) != IQT_OK)
        return IQT_OK;
    return iqt_check_plan(c, &plan);
}
