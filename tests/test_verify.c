/* The judge judged: the exact model must agree with a plain double loop, must notice a wrong
 * shift bit in one block, and random rows must be what they promise. Needs no device. */
#include "kernels/format.h"
#include "kernels/quantized.h"
#include "runtime/verify.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { M = 5, K = 1536, N = 3 }; /* K is legal for every format */

struct bed {
    const struct iqt_format *f;
    size_t row_bytes;
    uint8_t *rows;
    float x[N * K];
    struct iqt_model model;
};

static void bed_open(struct bed *b, const struct iqt_format *f)
{
    struct iqt_rng rng = { check_seed() };

    *b = (struct bed){ .f = f };
    check_true(iqt_format_row_bytes(f, K, &b->row_bytes) == IQT_OK, "%s",
               iqt_last_error());
    b->rows = malloc(M * b->row_bytes);
    iqt_random_rows(f, K, M, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng, b->rows);
    for (size_t i = 0; i < N * K; i++)
        b->x[i] = iqt_rng_gauss(&rng);
    for (size_t i = 0; i < K; i++) /* so that no block of weights meets a sum of 0 */
        b->x[i] = fabsf(b->x[i]);
    check_true(iqt_model_run(f, b->rows, M, K, b->x, 0, N, &b->model) == IQT_OK, "%s",
               iqt_last_error());
}

static void bed_close(struct bed *b)
{
    iqt_model_free(&b->model);
    free(b->rows);
}

/* What a kernel without rounding would return. */
static void products(const struct bed *b, float *y)
{
    static float w[K];
    static int8_t q[K];
    static struct iqt_xs s[K / IQT_X_BLOCK];

    for (size_t r = 0; r < M; r++) {
        check_true(iqt_decode_row(b->f, b->rows + r * b->row_bytes, K, IQT_DECODE_COMPUTE,
                                  w) == IQT_OK,
                   "%s", iqt_last_error());
        for (size_t c = 0; c < N; c++) {
            const float *x = b->x + c * K;
            double sum = 0;

            iqt_quantize_ref(x, K, q, s);
            for (size_t j = 0; j < K; j++)
                sum += b->f->decode == IQT_DECODE_FLOAT
                           ? (double)w[j] * (double)x[j]
                           : (double)w[j] * ((double)s[j / IQT_X_BLOCK].d * q[j]);
            y[c * M + r] = (float)sum;
        }
    }
}

static void check_model(const struct iqt_format *f)
{
    struct bed b;
    struct iqt_mismatch bad;
    float y[N * M];

    bed_open(&b, f);
    products(&b, y);
    check_true(iqt_model_agrees(&b.model, y, 0, N, 0, M, &bad),
               "row %zu of vector %u: %g, model %g +- %g", bad.row, bad.col, bad.got,
               bad.want, bad.allowed);
    /* The bound is meant to be tight: four times the tolerance off must show. */
    y[M + 2] += (float)(4 * IQT_MODEL_RTOL * b.model.bound[M + 2]);
    check_true(!iqt_model_agrees(&b.model, y, 0, N, 0, M, &bad) && bad.count == 1 &&
                   bad.row == 2 && bad.col == 1,
               "a result that is off is not noticed");
    iqt_model_skip_row(&b.model, 2);
    check_true(iqt_model_agrees(&b.model, y, 0, N, 0, M, NULL),
               "a skipped row is compared");
    y[0] = NAN;
    check_true(!iqt_model_agrees(&b.model, y, 0, N, 0, M, NULL), "NaN is not noticed");
    check_true(iqt_model_agrees(&b.model, y + 1, M, N, 1, M - 1, NULL),
               "a range of rows is compared with other rows");
    bed_close(&b);
}

static void flip(uint8_t *block, uint32_t bit)
{
    block[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* How much the weights of a row change when one bit of a superblock flips. */
static double flip_size(const struct bed *b, const uint8_t *row, uint8_t *block,
                        uint32_t bit)
{
    static float before[K], after[K];
    double size = 0;

    check_true(iqt_decode_row(b->f, row, K, IQT_DECODE_COMPUTE, before) == IQT_OK,
               "decode");
    flip(block, bit);
    check_true(iqt_decode_row(b->f, row, K, IQT_DECODE_COMPUTE, after) == IQT_OK,
               "decode");
    flip(block, bit);
    for (size_t j = 0; j < K; j++)
        size += fabs((double)after[j] - (double)before[j]);
    return size;
}

/* Scales may be 0 or tiny, and then the bit hardly matters: the block whose weights change the
 * most gets the wrong bit. */
static bool plant(struct bed *b, size_t r)
{
    const struct iqt_format *f = b->f;
    uint8_t *row = b->rows + r * b->row_bytes, *worst_block = row;
    uint32_t worst_bit = 0;
    double worst = 0;

    for (uint32_t i = 0; i < K; i += f->block) {
        uint8_t *block = row + f->row_head + i / f->superblock * f->bytes;
        const uint32_t bit = iqt_plane_bit(&f->shift.plane[0], i % f->superblock);
        const double size = flip_size(b, row, block, bit);

        if (size > worst) {
            worst = size;
            worst_bit = bit;
            worst_block = block;
        }
    }
    flip(worst_block, worst_bit);
    return worst > 0;
}

static void check_planted(const struct iqt_format *f)
{
    struct bed b;
    struct iqt_mismatch bad;
    float y[N * M];

    bed_open(&b, f);
    check_true(plant(&b, 3), "no block of %s depends on its shift bit", f->name);
    products(&b, y);
    check_true(!iqt_model_agrees(&b.model, y, 0, N, 0, M, &bad) && bad.row == 3,
               "a wrong shift bit in one block of row 3 is not noticed");
    bed_close(&b);
}

/* Every kind of row decodes to finite weights, the plain one to weights that are not all 0. */
static void check_rows(const struct iqt_format *f)
{
    struct iqt_rng rng = { check_seed() };
    static float w[K];
    size_t row_bytes;
    uint8_t *row;

    check_true(iqt_format_row_bytes(f, K, &row_bytes) == IQT_OK, "%s", iqt_last_error());
    row = malloc(row_bytes + 1);
    for (int fill = 0; fill < IQT_FILLS; fill++)
        for (int magnitude = 0; magnitude < IQT_MAGNITUDES; magnitude++) {
            double size = 0;

            row[row_bytes] = 0x5a;
            iqt_random_rows(f, K, 1, fill, magnitude, &rng, row);
            check_true(row[row_bytes] == 0x5a, "wrote past the row");
            check_true(iqt_decode_row(f, row, K, IQT_DECODE_COMPUTE, w) == IQT_OK, "%s",
                       iqt_last_error());
            for (size_t j = 0; j < K; j++) {
                check_true(isfinite(w[j]), "fill %d magnitude %d: weight %zu is %g", fill,
                           magnitude, j, (double)w[j]);
                size += fabs((double)w[j]);
            }
            if (fill == IQT_FILL_RANDOM)
                check_true((size > 0) == (magnitude != IQT_MAGNITUDE_ZERO),
                           "magnitude %d: weights sum up to %g", magnitude, size);
        }
    free(row);
}

/* Without its minima a row has weights of one sign times the scale; what was lost is dmin * M. */
static void check_minima(const struct iqt_format *f)
{
    static float with[K], without[K];
    struct bed b;
    size_t differ = 0;

    bed_open(&b, f);
    check_true(iqt_decode_row(f, b.rows, K, IQT_DECODE_COMPUTE, with) == IQT_OK,
               "decode");
    iqt_clear_minima(f, K, M, b.rows);
    check_true(iqt_decode_row(f, b.rows, K, IQT_DECODE_COMPUTE, without) == IQT_OK,
               "decode");
    for (size_t j = 0; j < K; j++)
        differ += memcmp(&with[j], &without[j], sizeof with[j]) != 0;
    if (f->super_min.at == IQT_AT_NONE)
        check_true(differ == 0, "clearing minima that do not exist changes %zu weights",
                   differ);
    else
        check_true(differ > K / 2, "clearing minima changes only %zu weights", differ);
    bed_close(&b);
}

/* The model must not depend on how many threads share it: large enough for several. */
static void check_threads(void)
{
    enum { ROWS = 2000 };
    const struct iqt_format *f = iqt_format_at(0);
    struct iqt_rng rng = { check_seed() };
    struct iqt_model whole = { 0 }, part = { 0 };
    size_t row_bytes;
    uint8_t *rows;
    float x[K];

    check_true(iqt_format_row_bytes(f, K, &row_bytes) == IQT_OK, "%s", iqt_last_error());
    rows = malloc(ROWS * row_bytes);
    iqt_random_rows(f, K, ROWS, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng, rows);
    for (size_t j = 0; j < K; j++)
        x[j] = iqt_rng_gauss(&rng);
    check_true(iqt_model_run(f, rows, ROWS, K, x, 0, 1, &whole) == IQT_OK, "model");
    for (size_t r = 0; r < ROWS; r += 333) {
        check_true(iqt_model_run(f, rows + r * row_bytes, 1, K, x, 0, 1, &part) == IQT_OK,
                   "model");
        check_true(part.y[0] == whole.y[r] && part.bound[0] == whole.bound[r],
                   "row %zu: %g of one thread, %g of several", r, part.y[0], whole.y[r]);
        iqt_model_free(&part);
    }
    iqt_model_free(&whole);
    free(rows);
}

/* Activations that are not finite make every result of their vector so. */
static void check_not_finite(void)
{
    struct bed b;
    float y[N * M];

    bed_open(&b, iqt_format_at(0));
    products(&b, y);
    iqt_model_free(&b.model);
    b.x[K + 7] = INFINITY;
    check_true(iqt_model_run(b.f, b.rows, M, K, b.x, 0, N, &b.model) == IQT_OK, "%s",
               iqt_last_error());
    check_true(!iqt_model_agrees(&b.model, y, 0, N, 0, M, NULL), "finite results pass");
    for (size_t r = 0; r < M; r++)
        y[M + r] = r % 2 == 0 ? NAN : INFINITY;
    check_true(iqt_model_agrees(&b.model, y, 0, N, 0, M, NULL),
               "NaN and infinity do not pass");
    bed_close(&b);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const struct iqt_format *f);
        bool needs_shift;
    } checks[] = {
        { "model", check_model, false },
        { "planted", check_planted, true },
        { "rows", check_rows, false },
        { "minima", check_minima, false },
    };

    check_init(argc, argv);
    for (size_t i = 0; i < IQT_COUNT(checks); i++)
        for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
            if (checks[i].needs_shift && iqt_field_empty(&f->shift))
                continue;
            if (!check_begin("verify.%s.%s", checks[i].name, f->name))
                continue;
            checks[i].run(f);
            check_end();
        }
    if (check_begin("verify.threads")) {
        check_threads();
        check_end();
    }
    if (check_begin("verify.not_finite")) {
        check_not_finite();
        check_end();
    }
    return check_done();
}
