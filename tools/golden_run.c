/* A golden case on a device: rows in chunks of bounded size, each through every rung. */
#include "tools/golden_case.h"
#include "tools/ladder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_WEIGHTS = 4 << 20 };

/* Numbers of columns that are tried: one, two, an odd one, all. */
static const uint32_t tried_cols[] = { 1, 2, 5, IQT_MAX_COLS };

struct chunk {
    const struct iqt_golden_case *c;
    struct iqt_rung rung;
    size_t begin, m;
    uint32_t cols;  /* vectors in x */
    const float *x; /* [cols][k], vector 0 is the case's own */
    float *weights; /* [m][k], compute mode */
    bool *skip;     /* rows with weights that are not finite */
    float *y;       /* [cols][m] */
    struct iqt_model model;
    bool own_y;       /* .y is what these weights give */
    double off, size; /* sums of squares against .y */
    struct iqt_golden_tally *tally;
    enum iqt_status status[IQT_GOLDEN_KINDS];
    char why[IQT_GOLDEN_KINDS][256]; /* the first failure of each kind */
};

/* Keeps the first failure of a kind over all chunks. */
static void note(struct chunk *h, enum iqt_golden_kind kind, enum iqt_status status)
{
    if (status == IQT_OK || h->status[kind] != IQT_OK)
        return;
    h->status[kind] = status;
    snprintf(h->why[kind], sizeof h->why[kind], "%s", iqt_last_error());
}

static void find_skipped(struct chunk *h)
{
    const size_t k = h->c->k;
    const uint8_t *deq = h->c->deq + 4 * h->begin * k;

    memset(h->skip, 0, h->m * sizeof *h->skip);
    for (size_t i = 0; i < h->m * k; i++) {
        const float want = iqt_read_f32(deq + 4 * i);

        if (!isfinite(want) || !isfinite(h->weights[i]))
            h->skip[i / k] = true;
        else if (h->weights[i] != want)
            h->own_y = false;
    }
}

static double exact_dot(const float *w, const float *x, size_t k)
{
    double sum = 0;

    for (size_t j = 0; j < k; j++)
        sum += (double)w[j] * (double)x[j];
    return sum;
}

/* Against .y, or, where compute's weights are not those of .deq, a product in double over them. */
static void add_rms(struct chunk *h)
{
    const size_t k = h->c->k;

    for (size_t r = 0; r < h->m; r++) {
        const uint64_t bits = iqt_read_u64(h->c->y + 8 * (h->begin + r));
        double want, off;

        if (h->skip[r])
            continue;
        memcpy(&want, &bits, sizeof want);
        if (!h->own_y)
            want = exact_dot(h->weights + r * k, h->x, k);
        off = (double)h->y[r] - want;
        h->off += off * off;
        h->size += want * want;
    }
}

static void check_cols(struct chunk *h, uint32_t n)
{
    enum iqt_status status;

    status = iqt_rung_model(&h->rung, &h->model, h->x, n, h->y, &h->tally->worst_model);
    note(h, IQT_GOLDEN_MATVEC, status);
    /* Disagreement with the model still leaves results; a device failure does not. */
    if (status != IQT_OK && status != IQT_ERR_INTERNAL) {
        note(h, IQT_GOLDEN_COLUMNS, status);
        note(h, IQT_GOLDEN_Y, status);
        return;
    }
    if (n == 1 && h->c->y != NULL)
        add_rms(h);
    if (n > 1)
        note(h, IQT_GOLDEN_COLUMNS, iqt_rung_columns(&h->rung, h->x, n, h->y));
}

static enum iqt_status check_matrix(struct chunk *h)
{
    const struct iqt_golden_case *c = h->c;
    const uint8_t *rows = c->q + h->begin * c->row_bytes;

    IQT_TRY(iqt_model_run(c->format, rows, h->m, c->k, h->x, 0, h->cols, &h->model));
    for (size_t r = 0; r < h->m; r++)
        if (h->skip[r])
            iqt_model_skip_row(&h->model, r);
    for (size_t i = 0; i < IQT_COUNT(tried_cols); i++)
        if (tried_cols[i] <= h->cols)
            check_cols(h, tried_cols[i]);
    iqt_model_free(&h->model);
    note(h, IQT_GOLDEN_ONE_HOT, iqt_rung_one_hot(&h->rung, h->weights, NULL));
    h->tally->weights += h->m * c->k;
    return iqt_cli_interrupted() ? iqt_fail(IQT_ERR_INTERRUPTED, "interrupted") : IQT_OK;
}

static enum iqt_status run_chunk(struct chunk *h, const struct iqt_seat *seat,
                                 enum iqt_layout layout)
{
    const struct iqt_golden_case *c = h->c;
    const uint8_t *rows = c->q + h->begin * c->row_bytes;
    enum iqt_status status;

    IQT_TRY(iqt_rung_decode(c->format, rows, h->m, c->k, h->weights, NULL));
    find_skipped(h);
    status = iqt_matrix_upload(seat->dev, c->format, h->m, c->k, rows,
                               h->m * c->row_bytes, layout, &h->rung.matrix);
    if (status != IQT_OK)
        return status;
    status = check_matrix(h);
    iqt_matrix_destroy(h->rung.matrix);
    return status;
}

/* Vector 0 is the case's own, or a plain ramp of signs where it has none; the others are turned
 * and scaled by powers of two; vector 3 is zero. */
static void fill_x(const struct iqt_golden_case *c, uint32_t cols, float *x)
{
    struct iqt_rng rng = { 20240607 };

    for (size_t j = 0; j < c->k; j++)
        x[j] = c->x != NULL ? iqt_read_f32(c->x + 4 * j) : iqt_rng_gauss(&rng);
    for (uint32_t i = 1; i < cols; i++)
        for (size_t j = 0; j < c->k; j++)
            x[i * c->k + j] =
                i == 3 ? 0 : ldexpf(x[(j + 37 * i) % c->k], (int)(i % 5) - 2);
}

/* All kinds of a case are counted once, whatever the number of chunks. */
static void enter_results(struct chunk *h)
{
    const double rms = h->size != 0 ? sqrt(h->off / h->size) : h->off != 0 ? INFINITY : 0;

    if (h->c->y != NULL) {
        if (!(rms <= 0.01))
            note(h, IQT_GOLDEN_Y,
                 iqt_fail(IQT_ERR_INTERNAL,
                          "relative RMS %.3g %% against %s, at most 1 %%", 100 * rms,
                          h->own_y ? ".y" : "the exact product"));
        h->tally->worst_rms = rms > h->tally->worst_rms ? rms : h->tally->worst_rms;
    }
    for (int kind = IQT_GOLDEN_MATVEC; kind < IQT_GOLDEN_KINDS; kind++) {
        enum iqt_status status = h->status[kind];

        if (kind == IQT_GOLDEN_Y && h->c->y == NULL)
            continue;
        if (status != IQT_OK)
            status = iqt_fail(status, "%s", h->why[kind]);
        iqt_golden_note(h->tally, kind, h->c->name, status);
    }
}

static enum iqt_status run_chunks(struct chunk *h, const struct iqt_seat *seat,
                                  enum iqt_layout layout, size_t step)
{
    for (h->begin = 0; h->begin < h->c->m; h->begin += h->m) {
        h->m = h->c->m - h->begin < step ? h->c->m - h->begin : step;
        IQT_TRY(run_chunk(h, seat, layout));
    }
    return IQT_OK;
}

enum iqt_status iqt_golden_run(const struct iqt_golden_case *c,
                               const struct iqt_seat *seat, enum iqt_layout layout,
                               struct iqt_golden_tally *tally)
{
    struct chunk h = { .c = c,
                       .rung = { .queue = seat->queue },
                       .cols = IQT_MAX_COLS,
                       .own_y = true,
                       .tally = tally };
    size_t step = CHUNK_WEIGHTS / c->k;
    enum iqt_status status;
    float *x;

    step = step == 0 ? 1 : step > c->m ? c->m : step;
    while (h.cols > 1 && h.cols * c->k > CHUNK_WEIGHTS)
        h.cols--;
    h.x = x = calloc(h.cols * c->k, sizeof *x);
    h.weights = calloc(step * c->k, sizeof *h.weights);
    h.skip = calloc(step, sizeof *h.skip);
    h.y = calloc(h.cols * step, sizeof *h.y);
    if (x == NULL || h.weights == NULL || h.skip == NULL || h.y == NULL) {
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu rows of %zu", step, c->k);
    } else {
        fill_x(c, h.cols, x);
        status = run_chunks(&h, seat, layout, step);
    }
    free(h.y);
    free(h.skip);
    free(h.weights);
    free(x);
    if (status == IQT_ERR_INTERRUPTED)
        return status;
    for (int kind = IQT_GOLDEN_MATVEC; kind < IQT_GOLDEN_KINDS; kind++)
        note(&h, kind, status); /* upload or memory: nothing of the case was tested */
    enter_results(&h);
    return IQT_OK;
}
