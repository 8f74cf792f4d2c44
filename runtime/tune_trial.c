/* Verifies and times one plan after the other on the same weights. Decides which rows are
 * compared and how many copies of the weights outgrow the cache. */
#include "runtime/tune_trial.h"

#include "kernels/layout.h"
#include "runtime/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL_ROWS = 131, /* prime: ends inside every workgroup */
    EDGE_ROWS = 67,   /* compared at either end of the whole matrix */
    MOST_COPIES = 24,
    GUARD = 16, /* floats between and behind the vectors of y */
};
static const uint64_t most_copied = UINT64_C(1) << 30, unknown_cache = UINT64_C(64) << 20;

/* A matrix and the host bytes that a CPU device borrows from. */
struct copy {
    struct iqt_matrix *w;
    void *host; /* NULL: the caller's weights, or not needed */
};

struct iqt_trial {
    struct iqt_device *dev;
    struct iqt_queue *queue;
    struct iqt_tune_job job;
    const uint8_t *weights;
    size_t row_bytes;
    struct copy copy[IQT_LAYOUTS][MOST_COPIES]; /* the first one is the caller's bytes */
    uint32_t copies[IQT_LAYOUTS];
    struct iqt_matrix *small[IQT_LAYOUTS], *small_gate[IQT_LAYOUTS];
    float *x, *y;
    struct iqt_model head, tail,
        gate;      /* of the first, the last and the small gate's rows */
    uint32_t turn; /* copy of the next measured call */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- Loading ------------------------------------------------------------------------- */

static void unload(struct iqt_trial *t)
{
    for (uint32_t l = 0; l < IQT_LAYOUTS; l++) {
        for (uint32_t i = 0; i < t->copies[l]; i++) {
            iqt_matrix_destroy(t->copy[l][i].w);
            free(t->copy[l][i].host);
        }
        iqt_matrix_destroy(t->small[l]);
        iqt_matrix_destroy(t->small_gate[l]);
        t->copies[l] = 0;
        t->small[l] = t->small_gate[l] = NULL;
    }
    free(t->x);
    free(t->y);
    t->x = t->y = NULL;
    iqt_model_free(&t->head);
    iqt_model_free(&t->tail);
    iqt_model_free(&t->gate);
    t->weights = NULL;
}

enum iqt_status iqt_trial_create(struct iqt_device *dev, struct iqt_trial **out)
{
    struct iqt_trial *t = calloc(1, sizeof *t);

    if (!t)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a trial");
    t->dev = dev;
    const enum iqt_status status = iqt_queue_create(dev, &t->queue);
    if (status != IQT_OK) {
        free(t);
        return status;
    }
    *out = t;
    return IQT_OK;
}

void iqt_trial_destroy(struct iqt_trial *t)
{
    if (!t)
        return;
    unload(t);
    iqt_queue_destroy(t->queue);
    free(t);
}

/* Ordinary activations, but for one block of zeros and one of large values. */
static void fill_x(float *x, size_t k, uint32_t n)
{
    struct iqt_rng rng = { .state = 0x7475 };

    for (size_t i = 0; i < k * n; i++) {
        const size_t block = i % k / 32;

        x[i] = iqt_rng_gauss(&rng) * (block == 1 ? 0.0f : block == 2 ? 900.0f : 1.0f);
    }
}

static const uint8_t *row_at(const struct iqt_trial *t, size_t row)
{
    return t->weights + row * t->row_bytes;
}

static enum iqt_status run_models(struct iqt_trial *t)
{
    const struct iqt_tune_job *j = &t->job;
    const size_t edge = least(j->m, EDGE_ROWS), small = least(j->m, SMALL_ROWS);

    IQT_TRY(iqt_model_run(j->format, t->weights, small, j->k, t->x, 0, j->n, &t->head));
    IQT_TRY(iqt_model_run(j->format, row_at(t, j->m - edge), edge, j->k, t->x, 0, j->n,
                          &t->tail));
    return iqt_model_run(j->format, row_at(t, j->m - small), small, j->k, t->x, 0, j->n,
                         &t->gate);
}

enum iqt_status iqt_trial_load(struct iqt_trial *t, const struct iqt_tune_job *job,
                               const void *weights)
{
    size_t row_bytes;

    unload(t);
    IQT_TRY(iqt_format_row_bytes(job->format, job->k, &row_bytes));
    t->job = *job;
    t->weights = weights;
    t->row_bytes = row_bytes;
    t->x = malloc(job->n * job->k * sizeof *t->x);
    t->y = malloc((job->m + GUARD) * job->n * sizeof *t->y);
    if (!t->x || !t->y)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %u vectors of %zu and %zu",
                        job->n, job->k, job->m);
    fill_x(t->x, job->k, job->n);
    return run_models(t);
}

static enum iqt_status upload(const struct iqt_trial *t, enum iqt_layout layout,
                              size_t rows, const void *bytes, struct iqt_matrix **out)
{
    return iqt_matrix_upload_alone(t->dev, t->job.format, rows, t->job.k, bytes,
                                   rows * t->row_bytes, layout, out);
}

/* Another copy of the weights. A CPU borrows native bytes, so it needs host bytes of its own. */
static enum iqt_status add_copy(struct iqt_trial *t, enum iqt_layout layout)
{
    struct copy *c = &t->copy[layout][t->copies[layout]];
    const size_t bytes = t->job.m * t->row_bytes;
    const void *from = t->weights;

    *c = (struct copy){ 0 };
    if (t->copies[layout] > 0 && layout == IQT_LAYOUT_NATIVE &&
        t->dev->backend->dialect == IQT_DIALECT_HOST) {
        c->host = malloc(bytes);
        if (!c->host)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu bytes of weights",
                            bytes);
        from = memcpy(c->host, t->weights, bytes);
    }
    const enum iqt_status status = upload(t, layout, t->job.m, from, &c->w);
    if (status != IQT_OK) {
        free(c->host);
        return status;
    }
    t->copies[layout]++;
    return IQT_OK;
}

/* Copies that together are more than twice the last-level cache, as far as memory goes. */
static uint32_t copies_to_rotate(const struct iqt_trial *t, enum iqt_layout layout)
{
    const struct iqt_device_info *info = &t->dev->info;
    const uint64_t bytes =
        t->job.m * iqt_layout_row_bytes(t->job.format, layout, t->job.k);
    const uint64_t cache = info->cache_bytes ? info->cache_bytes : unknown_cache;
    uint64_t most = most_copied, wanted = 2 * cache / bytes + 1;

    if (info->memory_bytes && info->memory_bytes / 4 < most)
        most = info->memory_bytes / 4;
    wanted = least(wanted, most / bytes);
    wanted = least(wanted, MOST_COPIES);
    return wanted < 1 ? 1 : (uint32_t)wanted;
}

static enum iqt_status need_copies(struct iqt_trial *t, enum iqt_layout layout,
                                   uint32_t wanted)
{
    /* A gated product reads two matrices. */
    const uint32_t needed = t->job.op == IQT_OP_GATED ? 2 : 1;

    while (t->copies[layout] < wanted || t->copies[layout] < needed) {
        const enum iqt_status status = add_copy(t, layout);

        if (status == IQT_ERR_NO_MEMORY && t->copies[layout] >= needed)
            break; /* rotates over fewer */
        IQT_TRY(status);
    }
    return IQT_OK;
}

static enum iqt_status need_small(struct iqt_trial *t, enum iqt_layout layout)
{
    const size_t rows = least(t->job.m, SMALL_ROWS);

    if (!t->small[layout])
        IQT_TRY(upload(t, layout, rows, t->weights, &t->small[layout]));
    if (t->job.op == IQT_OP_GATED && !t->small_gate[layout])
        IQT_TRY(
            upload(t, layout, rows, row_at(t, t->job.m - rows), &t->small_gate[layout]));
    return IQT_OK;
}

/* ---- Running ------------------------------------------------------------------------- */

static enum iqt_validity verdict_of(enum iqt_status status)
{
    switch (status) {
    case IQT_OK:
        return IQT_VALID_CORRECT;
    case IQT_ERR_COMPILE:
        return IQT_VALID_COMPILE;
    case IQT_ERR_UNSUPPORTED:
    case IQT_ERR_SHAPE:
    case IQT_ERR_ARG:
        return IQT_VALID_CONSTRAINTS;
    default:
        return IQT_VALID_RUNTIME;
    }
}

static enum iqt_status run(struct iqt_trial *t, const struct iqt_plan *plan,
                           const struct iqt_matrix *w, const struct iqt_matrix *gate,
                           uint32_t n, uint64_t *ns)
{
    const struct iqt_product product = {
        .struct_size = sizeof product,
        .w = w,
        .gate = t->job.op == IQT_OP_GATED ? gate : NULL,
        .act = IQT_ACT_SILU,
        .y = t->y,
        .y_stride = w->m + GUARD,
    };

    return iqt_product_run(t->queue, t->x, 0, n, &product, 1, plan, ns);
}

static double silu(double g)
{
    return g / (1 + exp(-g));
}

/* What row r of column c must be, and how far off it may be. */
static double wanted(const struct iqt_model *up, const struct iqt_model *gate, uint32_t c,
                     size_t r, double *allowed)
{
    const double u = up->y[c * up->m + r];

    *allowed = IQT_MODEL_RTOL * up->bound[c * up->m + r] + up->tiny;
    if (!gate)
        return u;
    /* Errors of both factors; silu's slope stays below 1.1. The exponential is good to 2e-6. */
    const double g = gate->y[c * gate->m + r], s = silu(g);
    const double slack_g =
        1.1 * IQT_MODEL_RTOL * gate->bound[c * gate->m + r] + gate->tiny;
    *allowed = *allowed * (fabs(s) + slack_g) + fabs(u) * (slack_g + 2e-6 * fabs(s));
    return s * u;
}

/* Rows [at, at + rows) of the result against the first rows of the models. */
static bool rows_agree(const struct iqt_trial *t, const struct iqt_plan *plan, size_t m,
                       uint32_t n, size_t at, size_t rows, const struct iqt_model *up,
                       const struct iqt_model *gate)
{
    for (uint32_t c = 0; c < n; c++)
        for (size_t r = 0; r < rows; r++) {
            const float got = t->y[c * (m + GUARD) + at + r];
            double allowed;
            const double want = wanted(up, gate, c, r, &allowed);
            char name[IQT_PLAN_NAME_BYTES];

            /* Weights of a file may overflow; then anything that is not finite is right. */
            if (fabs((double)got - want) <= allowed ||
                (!isfinite(want) && !isfinite(got)))
                continue;
            iqt_plan_name(plan, name);
            (void)iqt_fail(IQT_ERR_INTERNAL,
                           "%s: row %zu of %zu, column %u of %u is %g, not %g (+- %g)",
                           name, at + r, m, c, n, (double)got, want, allowed);
            return false;
        }
    return true;
}

static void poison(struct iqt_trial *t, size_t floats)
{
    for (size_t i = 0; i < floats; i++)
        t->y[i] = NAN;
}

static bool guards_hold(const struct iqt_trial *t, const struct iqt_plan *plan, size_t m,
                        uint32_t n)
{
    char name[IQT_PLAN_NAME_BYTES];

    for (uint32_t c = 0; c < n; c++)
        for (size_t i = m; i < m + GUARD; i++)
            if (!isnan(t->y[c * (m + GUARD) + i])) {
                iqt_plan_name(plan, name);
                (void)iqt_fail(IQT_ERR_INTERNAL,
                               "%s: wrote %zu floats behind its %zu rows", name,
                               i - m + 1, m);
                return false;
            }
    return true;
}

static enum iqt_status verify_whole(struct iqt_trial *t, const struct iqt_plan *plan,
                                    enum iqt_validity *verdict)
{
    const struct iqt_tune_job *j = &t->job;
    const struct copy *c = t->copy[plan->layout];
    const size_t edge = least(j->m, EDGE_ROWS);
    const bool gated = j->op == IQT_OP_GATED;

    poison(t, (j->m + GUARD) * j->n);
    *verdict = verdict_of(run(t, plan, c[0].w, c[1].w, j->n, NULL));
    if (*verdict != IQT_VALID_CORRECT)
        return IQT_OK;
    /* Both matrices are the same here; the small ones differ. */
    if (!guards_hold(t, plan, j->m, j->n) ||
        !rows_agree(t, plan, j->m, j->n, 0, edge, &t->head, gated ? &t->head : NULL) ||
        !rows_agree(t, plan, j->m, j->n, j->m - edge, edge, &t->tail,
                    gated ? &t->tail : NULL))
        *verdict = IQT_VALID_CORRECTNESS;
    return IQT_OK;
}

static enum iqt_status verify_small(struct iqt_trial *t, const struct iqt_plan *plan,
                                    uint32_t n, enum iqt_validity *verdict)
{
    const size_t rows = least(t->job.m, SMALL_ROWS);
    const struct iqt_model *gate = t->job.op == IQT_OP_GATED ? &t->gate : NULL;

    poison(t, (rows + GUARD) * n);
    *verdict = verdict_of(
        run(t, plan, t->small[plan->layout], t->small_gate[plan->layout], n, NULL));
    if (*verdict == IQT_VALID_CORRECT &&
        (!guards_hold(t, plan, rows, n) ||
         !rows_agree(t, plan, rows, n, 0, rows, &t->head, gate)))
        *verdict = IQT_VALID_CORRECTNESS;
    return IQT_OK;
}

enum iqt_status iqt_trial_verify(struct iqt_trial *t, const struct iqt_plan *plan,
                                 enum iqt_validity *verdict)
{
    const struct iqt_built *built;

    *verdict = verdict_of(iqt_kernel_get(t->dev, plan, &built));
    if (*verdict != IQT_VALID_CORRECT)
        return IQT_OK;
    IQT_TRY(need_copies(t, plan->layout, 1));
    IQT_TRY(need_small(t, plan->layout));
    IQT_TRY(verify_whole(t, plan, verdict));
    for (uint32_t n = 1; n <= t->job.n && *verdict == IQT_VALID_CORRECT; n++)
        IQT_TRY(verify_small(t, plan, n, verdict));
    return IQT_OK;
}

enum iqt_status iqt_trial_measure(struct iqt_trial *t, const struct iqt_plan *plan,
                                  uint32_t iterations, bool rotate, uint64_t *ns,
                                  enum iqt_validity *verdict)
{
    uint64_t total = 0;

    IQT_TRY(need_copies(t, plan->layout, rotate ? copies_to_rotate(t, plan->layout) : 1));
    const uint32_t copies = rotate ? t->copies[plan->layout] : 1;
    *verdict = IQT_VALID_CORRECT;
    for (uint32_t i = 0; i < iterations && *verdict == IQT_VALID_CORRECT; i++) {
        const struct copy *c = t->copy[plan->layout];
        const uint32_t at = t->turn++ % copies;
        uint64_t once = 0;

        *verdict = verdict_of(run(
            t, plan, c[at].w, c[(at + 1) % t->copies[plan->layout]].w, t->job.n, &once));
        total += once;
    }
    *ns = total;
    return IQT_OK;
}
