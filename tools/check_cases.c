/* Random valid weights of chosen shapes through the rungs of the ladder. Weights and activations
 * of a shape depend only on the seed, the format and the shape, so that a failure can be seen
 * again alone. */
#include "tools/check_cases.h"
#include "kernels/layout.h"
#include "tools/ladder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAIL = 64
}; /* bytes of 0xff behind the weights: a kernel may read, but not use them */

struct shape {
    size_t m, k;
    enum iqt_fill fill;
    enum iqt_magnitude magnitude;
};

/* One shape's matrix on the device, its model and its vectors. */
struct bed {
    struct iqt_check *check;
    struct shape shape;
    uint8_t *rows;
    struct iqt_rung rung;
    float *x; /* [16][k] */
    float *y; /* [16][m] */
    struct iqt_model model;
};

void iqt_check_report(const struct iqt_check *c, size_t m, size_t k, uint32_t n,
                      const struct iqt_plan *plan, const char *kind)
{
    const char *spec = iqt_device_describe(c->seat->dev)->spec;
    char name[IQT_PLAN_NAME_BYTES] = "default";

    if (plan != NULL)
        iqt_plan_name(plan, name);
    fprintf(
        stderr,
        "FAIL %s %s %s: %s, m = %zu, k = %zu, n = %u, plan %s: %s\n"
        "  to see it again: iqtile check --device %s --format %s --seed 0x%llx %s%s\n",
        c->format->name, spec, iqt_layout_name(c->layout), kind, m, k, n, name,
        iqt_last_error(), spec, c->format->name, (unsigned long long)c->seed,
        plan != NULL ? "--plan " : "--plans default", plan != NULL ? name : "");
}

/* "product" of plain weights; "product, ones, large" and so on of the extremes. */
static void describe(const struct shape *s, const char *kind, char out[64])
{
    static const char *const fills[IQT_FILLS] = { "", ", zeros", ", ones" };
    static const char *const magnitudes[IQT_MAGNITUDES] = { "", ", small", ", large",
                                                            ", zero" };

    snprintf(out, 64, "%s%s%s", kind, fills[s->fill], magnitudes[s->magnitude]);
}

/* Enters a result; forwards what stops the whole run. */
static enum iqt_status note(const struct bed *b, uint32_t n, const char *kind,
                            enum iqt_status status)
{
    if (status == IQT_OK) {
        b->check->passed++;
    } else {
        char text[64];

        describe(&b->shape, kind, text);
        b->check->failed++;
        iqt_check_report(b->check, b->shape.m, b->shape.k, n, b->rung.plan, text);
    }
    return iqt_cli_interrupted() ? iqt_fail(IQT_ERR_INTERRUPTED, "interrupted") : IQT_OK;
}

/* ---- A shape on the device ---- */

/* Columns of every kind: plain, spiky, tiny, zero. */
static void fill_x(struct iqt_rng *rng, size_t k, float *x)
{
    for (uint32_t c = 0; c < IQT_MAX_COLS; c++) {
        const float scale = c % 4 == 3 ? 1e-6f : c % 4 == 2 ? 100.0f : 1.0f;

        for (size_t j = 0; j < k; j++)
            x[c * k + j] = c == 5 ? 0 : scale * iqt_rng_gauss(rng);
        if (c % 2 == 1)
            x[c * k + iqt_rng_below(rng, (uint32_t)k)] *= 50;
    }
}

static enum iqt_status bed_fill(struct bed *b)
{
    const struct iqt_format *f = b->check->format;
    const struct shape *s = &b->shape;
    struct iqt_rng rng = { b->check->seed ^
                           iqt_hash(f->name, strlen(f->name), s->m * 65536 + s->k) };
    size_t row_bytes;

    IQT_TRY(iqt_format_row_bytes(f, s->k, &row_bytes));
    b->rows = malloc(s->m * row_bytes + TAIL);
    b->x = malloc(IQT_MAX_COLS * s->k * sizeof *b->x);
    b->y = malloc(IQT_MAX_COLS * s->m * sizeof *b->y);
    if (b->rows == NULL || b->x == NULL || b->y == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu rows of %zu", s->m, s->k);
    iqt_random_rows(f, s->k, s->m, s->fill, s->magnitude, &rng, b->rows);
    memset(b->rows + s->m * row_bytes, 0xff, TAIL);
    fill_x(&rng, s->k, b->x);
    IQT_TRY(iqt_model_run_as(
        f, b->rung.plan != NULL ? b->rung.plan->compute : iqt_compute_default(f), b->rows,
        s->m, s->k, b->x, 0, IQT_MAX_COLS, &b->model));
    b->rung.queue = b->check->seat->queue;
    return iqt_matrix_upload(b->check->seat->dev, f, s->m, s->k, b->rows,
                             s->m * row_bytes, b->check->layout, &b->rung.matrix);
}

static void bed_close(struct bed *b)
{
    iqt_matrix_destroy(b->rung.matrix);
    iqt_model_free(&b->model);
    free(b->y);
    free(b->x);
    free(b->rows);
}

/* ---- Checks on it ---- */

static enum iqt_status check_products(struct bed *b, uint32_t first, uint32_t last,
                                      bool columns)
{
    for (uint32_t n = first; n <= last; n++) {
        double worst = 0;

        IQT_TRY(note(b, n, "product",
                     iqt_rung_model(&b->rung, &b->model, b->x, n, b->y, &worst)));
        if (columns && n > 1)
            IQT_TRY(note(b, n, "columns", iqt_rung_columns(&b->rung, b->x, n, b->y)));
    }
    return IQT_OK;
}

static enum iqt_status check_one_hot(struct bed *b)
{
    const struct iqt_format *f = b->check->format;
    const size_t count = b->shape.m * b->shape.k;
    const bool minima = f->super_min.at != IQT_AT_NONE;
    float *weights = malloc(count * sizeof *weights);
    float *parts = minima ? malloc(count * sizeof *parts) : NULL;
    enum iqt_status status;

    if (weights == NULL || (minima && parts == NULL))
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu weights", count);
    else
        status = iqt_rung_decode(f, b->rows, b->shape.m, b->shape.k, weights, parts);
    if (status == IQT_OK)
        status = iqt_rung_one_hot(&b->rung, weights, parts);
    free(parts);
    free(weights);
    return note(b, IQT_MAX_COLS, "one-hot", status);
}

struct range {
    uint32_t first, last;
};

static enum iqt_status run_shape(struct iqt_check *c, const struct shape *s,
                                 const struct iqt_plan *plan, struct range n, bool full)
{
    struct bed b = { .check = c, .shape = *s, .rung = { .plan = plan } };
    enum iqt_status status = bed_fill(&b);

    if (status == IQT_OK)
        status = check_products(&b, n.first, n.last, full);
    if (status == IQT_OK && full)
        status = check_one_hot(&b);
    bed_close(&b);
    return status;
}

/* ---- Which shapes ---- */

enum { M_COUNT = 5, K_COUNT = 3 };

/* 1, around the tile, prime; one superblock, two, a prime number of them. */
static void make_sizes(const struct iqt_format *f, const struct iqt_plan *plan,
                       size_t m[M_COUNT], size_t k[K_COUNT])
{
    const size_t tile = plan->rows_group > 1 ? plan->rows_group : 4;
    const size_t step = f->superblock;

    m[0] = 1;
    m[1] = tile - 1;
    m[2] = tile;
    m[3] = tile + 1;
    m[4] = tile < 32 ? 37 : 2 * tile + 3;
    k[0] = step;
    k[1] = step < 256 ? 3 * step : 2 * step;
    k[2] = step < 256 ? 256 : 7 * step;
}

/* Every kind of weights that random ones hardly ever are. */
static enum iqt_status check_extremes(struct iqt_check *c, struct range n)
{
    for (int fill = 0; fill < IQT_FILLS; fill++)
        for (int magnitude = 0; magnitude < IQT_MAGNITUDES; magnitude++) {
            const struct shape s = { 5, c->format->superblock < 256 ? 288 : 512, fill,
                                     magnitude };
            const struct range few = { n.first,
                                       n.first < 3 && n.last >= 3 ? 3 : n.first };

            IQT_TRY(run_shape(c, &s, NULL, few, true));
        }
    return IQT_OK;
}

enum iqt_status iqt_check_default(struct iqt_check *c)
{
    const struct range n = { c->n == 0 ? 1 : c->n, c->n == 0 ? IQT_MAX_COLS : c->n };
    const struct iqt_plan plan =
        iqt_plan_default_for(&c->seat->dev->limits, c->format,
                             c->seat->dev->backend->dialect, IQT_OP_MATVEC, 1, c->layout);
    size_t m[M_COUNT], k[K_COUNT];

    make_sizes(c->format, &plan, m, k);
    for (size_t i = 0; i < M_COUNT; i++)
        for (size_t j = 0; j < K_COUNT; j++) {
            const struct shape s = { m[i], k[j], IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN };

            IQT_TRY(run_shape(c, &s, NULL, n, i == M_COUNT - 1 && j == 1));
        }
    return check_extremes(c, n);
}

enum iqt_status iqt_check_plan(struct iqt_check *c, const struct iqt_plan *plan)
{
    const struct range all = { 1, plan->n };
    const struct iqt_built *built;
    size_t m[M_COUNT], k[K_COUNT];
    enum iqt_status status = iqt_kernel_get(c->seat->dev, plan, &built);

    if (status == IQT_ERR_UNSUPPORTED) {
        c->unbuilt++;
        return IQT_OK;
    }
    if (status != IQT_OK) {
        c->failed++;
        iqt_check_report(c, 0, 0, plan->n, plan, "build");
        return IQT_OK;
    }
    c->plans++;
    make_sizes(c->format, plan, m, k);
    for (size_t i = 0; i < M_COUNT; i++) {
        const struct shape s = { m[i], k[i % K_COUNT], IQT_FILL_RANDOM,
                                 IQT_MAGNITUDE_PLAIN };
        const struct range last = { plan->n, plan->n };

        if (iqt_plan_fits(plan, s.k))
            IQT_TRY(run_shape(c, &s, plan, i == 0 ? all : last, i == 3));
    }
    return IQT_OK;
}
