/* Uploading copies, timing plans in turn, checking them. */
#include "bench/race.h"
#include "bench/bandwidth.h"
#include "runtime/runtime.h"
#include "runtime/verify.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_RUNS = 3, SAMPLED_ROWS = 48 };

static enum iqt_status add_copy(struct iqt_race *race)
{
    const struct iqt_bench_matrix *w = race->weights;
    const void *bytes = w->rows;
    uint8_t *host = NULL;
    enum iqt_status status;

    assert(race->copies < IQT_RACE_COPIES);
    if (race->layout == IQT_LAYOUT_NATIVE) {
        host = malloc(w->bytes);
        if (host == NULL)
            return iqt_fail(IQT_ERR_NO_MEMORY,
                            "copy of a matrix: no memory for %zu bytes", w->bytes);
        bytes = memcpy(host, w->rows, w->bytes);
    }
    status = iqt_matrix_upload_alone(race->dev, w->format, w->m, w->k, bytes, w->bytes,
                                     race->layout, &race->matrix[race->copies]);
    if (status != IQT_OK) {
        free(host);
        return status;
    }
    race->host[race->copies++] = host;
    return IQT_OK;
}

/* A bell-shaped vector: what activations look like to the quantizer. */
static enum iqt_status make_vectors(struct iqt_race *race)
{
    const size_t k = race->weights->k, m = race->weights->m;
    struct iqt_rng rng = { .state = 1 };

    race->x = calloc(IQT_MAX_COLS * k, sizeof(*race->x));
    race->y = calloc(IQT_MAX_COLS * m, sizeof(*race->y));
    if (race->x == NULL || race->y == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%u vectors of %zu and %zu floats",
                        IQT_MAX_COLS, k, m);
    for (size_t i = 0; i < IQT_MAX_COLS * k; i++)
        race->x[i] = iqt_rng_gauss(&rng);
    return IQT_OK;
}

enum iqt_status iqt_race_open(struct iqt_device *dev, const struct iqt_bench_matrix *w,
                              enum iqt_layout layout, struct iqt_race **out)
{
    struct iqt_race *race = calloc(1, sizeof(*race));
    enum iqt_status status;

    if (race == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a race");
    race->dev = dev;
    race->weights = w;
    race->layout = layout;
    status = make_vectors(race);
    if (status == IQT_OK)
        status = iqt_queue_create(dev, &race->queue);
    if (status == IQT_OK)
        status = add_copy(race);
    if (status != IQT_OK) {
        iqt_race_close(race);
        return status;
    }
    *out = race;
    return IQT_OK;
}

void iqt_race_close(struct iqt_race *race)
{
    if (race == NULL)
        return;
    iqt_queue_destroy(race->queue);
    for (uint32_t i = 0; i < race->copies; i++) {
        iqt_matrix_destroy(race->matrix[i]);
        free(race->host[i]);
    }
    free(race->x);
    free(race->y);
    free(race);
}

enum iqt_status iqt_race_spread(struct iqt_race *race, uint64_t span)
{
    while (race->copies < IQT_RACE_COPIES && race->copies * race->weights->bytes < span)
        IQT_TRY(add_copy(race));
    return IQT_OK;
}

enum iqt_status iqt_race_once(struct iqt_race *race, const struct iqt_plan *plan,
                              uint32_t n, uint64_t *ns)
{
    const struct iqt_product product = { .struct_size = sizeof(product),
                                         .w = race->matrix[race->next],
                                         .y = race->y };

    race->next = (race->next + 1) % race->copies;
    return iqt_product_run(race->queue, race->x, 0, n, &product, 1, plan, ns);
}

enum iqt_status iqt_race_warm(struct iqt_race *race, const struct iqt_plan *plans,
                              uint32_t count, uint32_t n, double bandwidth, bool *rotated)
{
    bool fast = bandwidth <= 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t ns;

        /* Twice: the first run may compile, even inside the driver. */
        IQT_TRY(iqt_race_once(race, &plans[i], n, &ns));
        IQT_TRY(iqt_race_once(race, &plans[i], n, &ns));
        if ((double)race->weights->bytes * 1e9 >= bandwidth / 10 * (double)ns)
            fast = true;
    }
    *rotated = fast;
    if (!fast)
        return IQT_OK;
    return iqt_race_spread(
        race, iqt_bandwidth_span(iqt_device_describe(race->dev)->cache_bytes));
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static struct iqt_race_time summary(uint64_t *samples, uint32_t runs)
{
    double best;

    qsort(samples, runs, sizeof(*samples), compare_u64);
    best = samples[0] > 0 ? (double)samples[0] : 1; /* a clock too coarse to see it */
    return (struct iqt_race_time){ .ns = best,
                                   .spread = ((double)samples[runs / 2] - best) / best,
                                   .runs = runs };
}

enum iqt_status iqt_race_run(struct iqt_race *race, const struct iqt_plan *plans,
                             uint32_t count, uint32_t n, double seconds,
                             struct iqt_race_time *times)
{
    const uint64_t end = iqt_now_ns() + (uint64_t)(seconds * 1e9);
    uint64_t sample[IQT_RACE_PLANS][IQT_RACE_SAMPLES];
    uint32_t runs = 0;

    assert(count <= IQT_RACE_PLANS);
    while (runs < LEAST_RUNS || (runs < IQT_RACE_SAMPLES && iqt_now_ns() < end)) {
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t p = runs % 2 == 0 ? i : count - 1 - i;

            IQT_TRY(iqt_race_once(race, &plans[p], n, &sample[p][runs]));
        }
        runs++;
    }
    for (uint32_t i = 0; i < count; i++)
        times[i] = summary(sample[i], runs);
    return IQT_OK;
}

/* ---- Checking ------------------------------------------------------------------------ */

/* Rows compared: spread evenly, the first and the last among them. */
static size_t sampled_row(const struct iqt_race *race, uint32_t i, uint32_t count)
{
    return count == 1 ? 0 : i * (race->weights->m - 1) / (count - 1);
}

/* The sampled rows' bytes, one after the other. */
static enum iqt_status gather_rows(const struct iqt_race *race, uint32_t count,
                                   uint8_t **out)
{
    const size_t row_bytes = race->weights->bytes / race->weights->m;
    uint8_t *rows = malloc(count * row_bytes);

    if (rows == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %u rows of %zu bytes", count,
                        row_bytes);
    for (uint32_t i = 0; i < count; i++)
        memcpy(rows + i * row_bytes,
               race->weights->rows + sampled_row(race, i, count) * row_bytes, row_bytes);
    *out = rows;
    return IQT_OK;
}

/* Largest |difference| / sum |w x|. */
static double worst_ratio(const struct iqt_model *model, const float *y)
{
    double worst = 0;

    for (size_t i = 0; i < model->m * model->n; i++) {
        if (model->bound[i] > 0)
            worst = fmax(worst, fabs(y[i] - model->y[i]) / model->bound[i]);
    }
    return worst;
}

static enum iqt_status compare_rows(const struct iqt_race *race,
                                    const struct iqt_plan *plan,
                                    const struct iqt_model *model, double *worst)
{
    const uint32_t count = (uint32_t)model->m;
    float *y = malloc(model->m * model->n * sizeof(*y));
    enum iqt_status status = IQT_OK;
    struct iqt_mismatch bad;

    if (y == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %u results", count);
    for (uint32_t c = 0; c < model->n; c++)
        for (uint32_t i = 0; i < count; i++)
            y[c * model->m + i] =
                race->y[c * race->weights->m + sampled_row(race, i, count)];
    if (!iqt_model_agrees(model, y, 0, model->n, 0, model->m, &bad)) {
        char name[IQT_PLAN_NAME_BYTES];

        iqt_plan_name(plan, name);
        status =
            iqt_fail(IQT_ERR_INTERNAL,
                     "%s, %zu x %zu: row %zu column %u is %.9g, must be %.9g +- %.3g",
                     name, race->weights->m, race->weights->k,
                     sampled_row(race, (uint32_t)bad.row, count), bad.col, bad.got,
                     bad.want, bad.allowed);
    } else {
        *worst = worst_ratio(model, y);
    }
    free(y);
    return status;
}

enum iqt_status iqt_race_verify(struct iqt_race *race, const struct iqt_plan *plan,
                                uint32_t n, uint32_t *rows, double *worst)
{
    const struct iqt_bench_matrix *w = race->weights;
    const uint32_t count = w->m < SAMPLED_ROWS ? (uint32_t)w->m : SAMPLED_ROWS;
    struct iqt_model model = { 0 };
    uint8_t *bytes = NULL;
    enum iqt_status status;
    uint64_t ns;

    memset(race->y, 0xff, n * w->m * sizeof(*race->y)); /* NaN: a row left out shows */
    IQT_TRY(iqt_race_once(race, plan, n, &ns));
    IQT_TRY(gather_rows(race, count, &bytes));
    status = iqt_model_run(w->format, bytes, count, w->k, race->x, 0, n, &model);
    if (status == IQT_OK)
        status = compare_rows(race, plan, &model, worst);
    if (status == IQT_OK)
        *rows = count;
    iqt_model_free(&model);
    free(bytes);
    return status;
}
