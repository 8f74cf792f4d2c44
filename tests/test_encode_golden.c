/* Encoders against the reference's bytes for the same sources: never a larger error, and smaller ones over
 * all. And weights that have not shrunk. */
#include "tests/check.h"
#include "quant/encoder.h"

#include <iqtile/gguf.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One source of a golden file, with the reference's bytes. */
struct source {
    const char *name;
    size_t k, rows;
    const float *x, *importance; /* NULL: none */
    const uint8_t *theirs;
};

static const void *tensor_data(const struct iqt_gguf *g, const char *name,
                               const char *suffix, struct iqt_gguf_tensor *t)
{
    char full[64];

    snprintf(full, sizeof full, "%s%s", name, suffix);
    return iqt_gguf_tensor_find(g, full, t) == IQT_OK ? t->data : NULL;
}

/* Sums as iqt_row_loss() with the reference's element weights, or counted by the importance. */
static double error_of(const struct iqt_format *f, const struct source *s,
                       const uint8_t *bytes, struct iqt_row_work *work, float *y)
{
    double missed = 0, all = 0;
    size_t row_bytes = 0;

    if (iqt_format_row_bytes(f, s->k, &row_bytes) != IQT_OK)
        return INFINITY;
    for (size_t r = 0; r < s->rows; r++) {
        const float *x = s->x + r * s->k;
        const uint8_t *row = bytes + r * row_bytes;

        if (s->importance == NULL) {
            const struct iqt_row_loss loss = iqt_row_loss(f, s->k, x, NULL, row, work);

            missed += loss.missed;
            all += loss.all;
            continue;
        }
        if (iqt_decode_row(f, row, s->k, IQT_DECODE_COMPUTE, y) != IQT_OK)
            return INFINITY;
        for (size_t i = 0; i < s->k; i++) {
            const double w = s->importance[i], miss = (double)x[i] - y[i];

            missed += w * miss * miss;
            all += w * x[i] * x[i];
        }
    }
    return sqrt(missed / all);
}

/* The logarithm of our error by theirs. */
static double compare(const struct iqt_encoder *e, const struct source *s)
{
    const struct iqt_format *f = e->format;
    struct iqt_row_work work = { 0 };
    size_t row_bytes = 0;
    double ours = INFINITY, theirs = 1;
    uint8_t *bytes = NULL;
    float *y = NULL;

    if (iqt_format_row_bytes(f, s->k, &row_bytes) == IQT_OK &&
        iqt_row_work_create(f, s->k, &work) == IQT_OK) {
        bytes = malloc(s->rows * row_bytes);
        y = malloc(s->k * sizeof *y);
        if (bytes != NULL && y != NULL &&
            iqt_encode_rows(e, s->rows, s->k, s->x, s->importance, bytes) == IQT_OK) {
            ours = error_of(f, s, bytes, &work, y);
            theirs = error_of(f, s, s->theirs, &work, y);
        }
        iqt_row_work_free(&work);
    }
    free(y);
    free(bytes);
    check_true(ours <= theirs, "%s, %s%s: error %.6f, the reference's %.6f", f->name,
               s->name, s->importance != NULL ? " with importance" : "", ours, theirs);
    return log(ours / theirs);
}

static bool load(const struct iqt_gguf *g, const char *name, bool importance,
                 struct source *s)
{
    struct iqt_gguf_tensor t, other;

    *s = (struct source){ .name = name, .x = tensor_data(g, name, ".src", &t) };
    if (s->x == NULL)
        return false;
    s->k = (size_t)t.ne[0];
    s->rows = (size_t)t.ne[1];
    if (importance)
        s->importance = tensor_data(g, name, ".imatrix", &other);
    s->theirs = tensor_data(g, name, importance ? "_im.q" : ".q", &other);
    return s->theirs != NULL && (s->importance != NULL) == importance;
}

static void test_format(const struct iqt_format *f, enum iqt_quality quality, double *sum,
                        int *count)
{
    static const char *const names[] = { "gauss", "heavy", "real", "edge" };
    const struct iqt_encoder_opts opts = { .quality = quality };
    struct iqt_encoder *e = NULL;
    struct iqt_gguf *g = NULL;
    char path[512], upper[16] = { 0 };

    for (size_t i = 0; i + 1 < sizeof upper && f->name[i] != '\0'; i++)
        upper[i] = (char)toupper((unsigned char)f->name[i]);
    snprintf(path, sizeof path, "%s/golden/%s.gguf", check_data(), upper);
    if (access(path, R_OK) != 0) /* types that others have, too */
        return;
    if (iqt_gguf_open(path, &g) != IQT_OK ||
        iqt_encoder_create_with(f, &opts, &e) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        iqt_gguf_close(g);
        return;
    }
    for (size_t i = 0; i < 2 * IQT_COUNT(names); i++) {
        const bool importance = i % 2 != 0;
        struct source s;
        double log_ratio;

        if (!load(g, names[i / 2], importance, &s)) {
            check_true(importance && i / 2 == 3, "%s: no source", names[i / 2]);
            continue;
        }
        log_ratio = compare(e, &s);
        if (importance) {
            *sum += log_ratio;
            ++*count;
        }
    }
    iqt_encoder_destroy(e);
    iqt_gguf_close(g);
}

/* most: the geometric mean of our errors by the reference's, with an importance. */
static void test_quality(const char *name, enum iqt_quality quality, double most)
{
    double sum = 0, mean;
    int count = 0;

    if (!check_begin("encode_golden.%s", name))
        return;
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        if (f->weighting.factor > 0)
            test_format(f, quality, &sum, &count);
    mean = exp(sum / (count > 0 ? count : 1));
    check_true(count == 45 && mean <= most, "%d cases, mean %.4f, at most %.4f", count,
               mean, most);
    check_end();
}

/* What encoding does to normal weights, counted by the importance and relative to their squares: how far
 * the projection on the original falls short of 1, and the error. */
struct loss {
    double shrinkage, error;
};

static struct loss loss_of(const struct iqt_encoder *e, size_t rows, size_t k,
                           const float *x, const float *importance)
{
    const struct iqt_format *f = e->format;
    double xy = 0, xx = 0, errors = 0;
    size_t row_bytes = 0;
    uint8_t *bytes = NULL;
    float *y = malloc(k * sizeof *y);

    if (iqt_format_row_bytes(f, k, &row_bytes) == IQT_OK)
        bytes = malloc(rows * row_bytes);
    if (y != NULL && bytes != NULL &&
        iqt_encode_rows(e, rows, k, x, importance, bytes) == IQT_OK)
        for (size_t i = 0; i < rows * k; i++) {
            if (i % k == 0 && iqt_decode_row(f, bytes + i / k * row_bytes, k,
                                             IQT_DECODE_COMPUTE, y) != IQT_OK)
                break;

            const double w = importance[i % k], d = (double)x[i] - y[i % k];

            xy += w * x[i] * y[i % k];
            xx += w * x[i] * x[i];
            errors += w * d * d;
        }
    free(bytes);
    free(y);
    return xx > 0 ? (struct loss){ 1 - xy / xx, errors / xx } : (struct loss){ 1, 1 };
}

/* The projection of values at the scale of least error falls short of 1 by their relative error, of which
 * `unshrink` undoes its share. With `best`, which counts errors as this test does; half a step of a
 * half-precision scale of weights of this size is 0.0005. */
static void test_projection(void)
{
    enum { ROWS = 4, K = 1024 };
    static float x[ROWS * K], importance[K];
    const struct iqt_encoder_opts opts = { .quality = IQT_QUALITY_BEST };

    if (!check_begin("encode_golden.projection"))
        return;
    for (size_t i = 0; i < IQT_COUNT(x); i++)
        x[i] = check_gauss();
    for (size_t i = 0; i < K; i++)
        importance[i] = expf(check_gauss());
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        struct iqt_encoder *e = NULL;
        struct loss loss;
        double left;

        if (f->unshrink <= 0)
            continue;
        if (iqt_encoder_create_with(f, &opts, &e) != IQT_OK) {
            check_fail("%s", iqt_last_error());
            continue;
        }
        loss = loss_of(e, ROWS, K, x, importance);
        left = (1 - (double)f->unshrink) * loss.error;
        check_true(fabs(loss.shrinkage - left) < 0.0006 + 0.01 * loss.error,
                   "%s: projection %.5f, expected %.5f", f->name, 1 - loss.shrinkage,
                   1 - left);
        iqt_encoder_destroy(e);
    }
    check_end();
}

/* Where comparisons find the nearest of few values, the table that others look up has the same. */
static void check_few(const struct iqt_encoder *e)
{
    for (uint32_t shift = 0; shift < e->shifts; shift++)
        for (uint32_t step = 0; step < IQT_NEAREST_STEPS; step++) {
            uint32_t n = 0;

            while (n + 1 < IQT_FEW && (float)step >= e->edge[n])
                n++;
            check_true(e->value[shift][n] == e->near[shift][step],
                       "%s, table %u, half step %u: %g, expected %g", e->format->name,
                       shift, step, (double)e->value[shift][n],
                       (double)e->near[shift][step]);
        }
}

static void test_few(void)
{
    if (!check_begin("encode_golden.few"))
        return;
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        struct iqt_encoder *e = NULL;

        if (f->codebook == NULL || f->codebook->count != IQT_FEW ||
            f->weighting.factor <= 0)
            continue;
        if (iqt_encoder_create(f, &e) != IQT_OK) {
            check_fail("%s", iqt_last_error());
            continue;
        }
        check_true(e->picker == IQT_PICK_FEW, "%s: not picked by comparisons", f->name);
        check_few(e);
        iqt_encoder_destroy(e);
    }
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    test_quality("default", IQT_QUALITY_DEFAULT, 0.97);
    test_quality("best", IQT_QUALITY_BEST, 0.92);
    test_projection();
    test_few();
    return check_done();
}
