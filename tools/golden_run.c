/* A golden case on a device: rows in chunks of bounded size, each through every rung. */
#include "tools/golden_case.h"
#include "kernels/quantized.h"
#include "tools/ladder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_WEIGHTS = 4 << 20, RESULT_COLS = 2 };

/* What is left of vector 0 after rounding it to int8 is vector 1, so that the sum of both results
 * has no error of activation rounding to speak of. Against .y that allows a test that does not
 * depend on luck: the result of x alone may differ by sum |w| d / 2, which is far more than 1 %
 * of a result that happens to be small; the sum must be within 1 %. */

struct chunk {
    const struct iqt_golden_case *c;
    struct iqt_rung rung;
    size_t begin, m;
    uint32_t cols; /* vectors in x */
    const struct iqt_cli_columns *tried;
    bool one_hot;
    const float *x;    /* [cols][k], see fill_x() */
    struct iqt_xs *xs; /* [k / 32] of vector 0 */
    float *weights;    /* [m][k], compute mode */
    bool *skip;        /* rows with weights that are not finite */
    float *y;          /* [cols][m] */
    struct iqt_model model;
    bool own_y;              /* .y is what these weights give */
    size_t summed;           /* rows that are in the sums below */
    double plain, off, size; /* sums of squares: x alone, with its remainder, of .y */
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

/* The most that rounding x to int8 can change in a result: half a step of every activation. */
static double rounding_bound(const struct chunk *h, size_t r)
{
    const float *w = h->weights + r * h->c->k;
    double sum = 0;

    for (size_t j = 0; j < h->c->k; j++)
        sum += fabs((double)w[j]) * (double)h->xs[j / IQT_X_BLOCK].d;
    return sum * 0.5001;
}

/* .y, or, where compute's weights are not those of .deq, a product in double over them. */
static double expected_y(const struct chunk *h, size_t r)
{
    const uint64_t bits = iqt_read_u64(h->c->y + 8 * (h->begin + r));
    double want;

    memcpy(&want, &bits, sizeof want);
    return h->own_y ? want : exact_dot(h->weights + r * h->c->k, h->x, h->c->k);
}

/* Vector 0 alone: nothing but the rounding of x may be between it and .y. */
static void check_plain(struct chunk *h)
{
    for (size_t r = 0; r < h->m; r++) {
        const double allowed = rounding_bound(h, r) + IQT_MODEL_RTOL * h->model.bound[r];
        double want, off;

        if (h->skip[r])
            continue;
        want = expected_y(h, r);
        off = (double)h->y[r] - want;
        h->plain += off * off;
        if (!(fabs(off) <= allowed + h->model.tiny))
            note(h, IQT_GOLDEN_Y,
                 iqt_fail(IQT_ERR_INTERNAL,
                          "row %zu gives %.9g, expected %.9g; rounding x explains %.3g",
                          h->begin + r, (double)h->y[r], want, allowed));
    }
}

static void add_rms(struct chunk *h)
{
    for (size_t r = 0; r < h->m; r++) {
        double want, off;

        if (h->skip[r])
            continue;
        want = expected_y(h, r);
        off = (double)h->y[r] + (double)h->y[h->m + r] - want;
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
        check_plain(h);
    if (n >= RESULT_COLS && h->c->y != NULL && h->summed <= h->begin) {
        add_rms(h);
        h->summed = h->begin + h->m;
    }
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
    for (size_t i = 0; i < h->tried->count; i++)
        if (h->tried->n[i] <= h->cols)
            check_cols(h, h->tried->n[i]);
    iqt_model_free(&h->model);
    if (h->one_hot) {
        note(h, IQT_GOLDEN_ONE_HOT, iqt_rung_one_hot(&h->rung, h->weights, NULL));
        h->tally->weights += h->m * c->k;
    }
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

/* Vector 0 is the case's own, or random where it has none; vector 1 is what int8 loses of it;
 * the others are vector 0 turned and scaled by powers of two; vector 3 is zero. */
static enum iqt_status fill_x(struct chunk *h, float *x)
{
    const size_t k = h->c->k;
    struct iqt_rng rng = { 20240607 };
    int8_t *q = calloc(k, 1);

    if (q == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu activations", k);
    for (size_t j = 0; j < k; j++)
        x[j] = h->c->x != NULL ? iqt_read_f32(h->c->x + 4 * j) : iqt_rng_gauss(&rng);
    if (h->c->format->decode != IQT_DECODE_FLOAT)
        iqt_quantize_ref(x, k, q, h->xs);
    for (size_t j = 0; j < k; j++)
        x[k + j] = h->c->format->decode == IQT_DECODE_FLOAT
                       ? 0
                       : (float)((double)x[j] - (double)h->xs[j / IQT_X_BLOCK].d * q[j]);
    for (uint32_t i = 2; i < h->cols; i++)
        for (size_t j = 0; j < k; j++)
            x[i * k + j] = i == 3 ? 0 : ldexpf(x[(j + 37 * i) % k], (int)(i % 5) - 2);
    free(q);
    return IQT_OK;
}

static double relative(double off, double size)
{
    return size != 0 ? sqrt(off / size) : off != 0 ? INFINITY : 0;
}

/* All kinds of a case are counted once, whatever the number of chunks. */
static void enter_results(struct chunk *h)
{
    const double rms = relative(h->off, h->size), plain = relative(h->plain, h->size);

    if (h->c->y != NULL) {
        if (h->summed > 0 && !(rms <= 0.01))
            note(h, IQT_GOLDEN_Y,
                 iqt_fail(IQT_ERR_INTERNAL,
                          "relative RMS %.3g %% against %s, at most 1 %%", 100 * rms,
                          h->own_y ? ".y" : "the exact product"));
        h->tally->worst_rms = fmax(rms, h->tally->worst_rms);
        h->tally->worst_plain = fmax(plain, h->tally->worst_plain);
    }
    for (int kind = IQT_GOLDEN_MATVEC; kind < IQT_GOLDEN_KINDS; kind++) {
        enum iqt_status status = h->status[kind];

        if ((kind == IQT_GOLDEN_Y && h->c->y == NULL) ||
            (kind == IQT_GOLDEN_ONE_HOT && !h->one_hot))
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
                               const struct iqt_cli_columns *cols, bool one_hot,
                               struct iqt_golden_tally *tally)
{
    struct chunk h = { .c = c,
                       .rung = { .queue = seat->queue },
                       .cols = IQT_MAX_COLS,
                       .tried = cols,
                       .one_hot = one_hot,
                       .own_y = true,
                       .tally = tally };
    size_t step = CHUNK_WEIGHTS / c->k;
    enum iqt_status status;
    float *x;

    step = step == 0 ? 1 : step > c->m ? c->m : step;
    while (h.cols > RESULT_COLS && h.cols * c->k > CHUNK_WEIGHTS)
        h.cols--;
    h.x = x = calloc(h.cols * c->k, sizeof *x);
    h.weights = calloc(step * c->k, sizeof *h.weights);
    h.skip = calloc(step, sizeof *h.skip);
    h.y = calloc(h.cols * step, sizeof *h.y);
    h.xs = calloc(c->k / IQT_X_BLOCK + 1, sizeof *h.xs);
    if (x == NULL || h.xs == NULL || h.weights == NULL || h.skip == NULL || h.y == NULL) {
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu rows of %zu", step, c->k);
    } else {
        status = fill_x(&h, x);
        if (status == IQT_OK)
            status = run_chunks(&h, seat, layout, step);
    }
    free(h.y);
    free(h.skip);
    free(h.weights);
    free(h.xs);
    free(x);
    if (status == IQT_ERR_INTERRUPTED)
        return status;
    for (int kind = IQT_GOLDEN_MATVEC; kind < IQT_GOLDEN_KINDS; kind++)
        note(&h, kind, status); /* upload or memory: nothing of the case was tested */
    enter_results(&h);
    return IQT_OK;
}
