/* Error feedback: the factors give the statistics back, statistics without correlations change no byte, correlated
 * inputs lose less with it than without, every instruction set writes the same. And the files of statistics: sound
 * ones, and each thing that can be wrong. */
#include "io/second_order.h"
#include "quant/encoder.h"
#include "runtime/cpu.h"
#include "tests/check.h"
#include "tests/imatrix_make.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { K = 512, INPUTS = 2048, ROWS = 16, MAX_ROW = 2304 };

/* Inputs whose neighbours vary together, as those of models do: what sums of squares of many tend to. */
static void fill_statistics(float *h, size_t window)
{
    double size[K], near[K];

    for (size_t i = 0; i < K; i++) {
        size[i] = exp(0.3 * (double)check_gauss());
        near[i] = pow(0.99, (double)i);
    }
    for (size_t i = 0; i < K; i++)
        for (size_t n = 0; n < window; n++) {
            const size_t j = i / window * window + n;
            const double common = near[i > j ? i - j : j - i], own = i == j ? 0.25 : 0;

            h[i * window + n] = (float)(INPUTS * size[i] * size[j] * (common + own));
        }
}

static double norm(const float *h, size_t window, const double *miss)
{
    double sum = 0;

    for (size_t i = 0; i < K; i++)
        for (size_t j = 0; j < window; j++)
            sum += (double)h[i * window + j] * miss[i] * miss[i / window * window + j];
    return sum;
}

/* ---- Factors ---- */

static void test_factors(size_t window)
{
    static float h[K * K];
    const double damping = 0.01;
    struct iqt_feedback *f;

    if (!check_begin("feedback.factors.%zu", window))
        return;
    fill_statistics(h, window);
    if (iqt_feedback_create(K, window, h, damping, NULL, &f) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        check_end();
        return;
    }
    for (int n = 0; n < 4; n++) {
        float x[K], z[K];
        double wide[K], damped = 0, sum = 0, expected;

        for (size_t i = 0; i < K; i++)
            wide[i] = x[i] = check_gauss();
        iqt_feedback_mix(f, x, z);
        for (size_t first = 0; first < K; first += window) {
            double mean = 0, square = 0;

            for (size_t i = first; i < first + window; i++) {
                mean += h[i * window + i - first] / (double)window;
                square += wide[i] * wide[i];
                sum += (double)f->d[i] * z[i] * z[i];
            }
            damped += damping * mean * square;
        }
        expected = norm(h, window, wide) + damped;
        check_true(fabs(sum - expected) <= 1e-4 * expected, "%g, expected %g", sum,
                   expected);
    }
    iqt_feedback_destroy(f);
    h[K / 2 * window + K / 2 % window] = -1000;
    check_true(iqt_feedback_create(K, window, h, damping, NULL, &f) == IQT_ERR_FORMAT,
               "an indefinite matrix has factors");
    check_end();
}

/* ---- Rows ---- */

struct seat {
    const struct iqt_format *format;
    struct iqt_encoder *encoder;
    float x[ROWS][K], importance[K];
    uint8_t row[ROWS][MAX_ROW];
};

static void encode(struct seat *s, const struct iqt_feedback *f)
{
    struct iqt_row_work work;

    if (iqt_row_work_create(s->format, K, &work) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        return;
    }
    for (size_t r = 0; r < ROWS; r++)
        iqt_encode_row(s->encoder, K, s->x[r], s->importance, f, &work, s->row[r]);
    iqt_row_work_free(&work);
}

static double loss(const struct seat *s, const float *h, size_t window)
{
    double sum = 0, miss[K];
    float y[K];

    for (size_t r = 0; r < ROWS; r++) {
        if (iqt_decode_row(s->format, s->row[r], K, IQT_DECODE_COMPUTE, y) != IQT_OK)
            check_fail("%s", iqt_last_error());
        for (size_t i = 0; i < K; i++)
            miss[i] = (double)s->x[r][i] - y[i];
        sum += norm(h, window, miss);
    }
    return sum;
}

static void compare_isas(struct seat *s, const struct iqt_feedback *f)
{
    static uint8_t row[ROWS][MAX_ROW];
    const struct iqt_quant_isa *own = s->encoder->isa;

    encode(s, f);
    memcpy(row, s->row, sizeof row);
    for (const struct iqt_quant_isa *isa = iqt_quant_isas; own != NULL && isa != own;
         isa++) {
        s->encoder->isa = isa;
        encode(s, f);
        check_true(memcmp(row, s->row, sizeof row) == 0, "%s writes other bytes",
                   isa->name);
    }
    s->encoder->isa = own;
    memcpy(s->row, row, sizeof row);
}

static void compare_loss(struct seat *s, size_t window, double most)
{
    static float h[K * K];
    struct iqt_feedback *f;
    double without, with;

    fill_statistics(h, window);
    for (size_t i = 0; i < K; i++)
        s->importance[i] = h[i * window + i % window] / INPUTS;
    if (iqt_feedback_create(K, window, h, 0.01, NULL, &f) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        return;
    }
    encode(s, NULL);
    without = loss(s, h, window);
    compare_isas(s, f);
    with = loss(s, h, window);
    check_true(with != without, "the same with it as without");
    check_true(with < most * without, "%.4g in windows of %zu, %.4g without", with,
               window, without);
    iqt_feedback_destroy(f);
}

static void compare_identity(struct seat *s)
{
    static uint8_t row[ROWS][MAX_ROW];
    float h[K][2] = { { 0 } };
    struct iqt_feedback *f;

    for (size_t i = 0; i < K; i++)
        h[i][i % 2] = 3;
    if (iqt_feedback_create(K, 2, h, 0.01, NULL, &f) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        return;
    }
    encode(s, NULL);
    memcpy(row, s->row, sizeof row);
    encode(s, f);
    check_true(memcmp(row, s->row, sizeof row) == 0,
               "independent inputs give other bytes");
    iqt_feedback_destroy(f);
}

static void test_format(const struct iqt_format *format)
{
    struct seat s = { .format = format };

    if (!check_begin("feedback.rows.%s", format->name))
        return;
    if (iqt_encoder_create(format, &s.encoder) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        check_end();
        return;
    }
    for (size_t i = 0; i < ROWS * K; i++)
        s.x[i / K][i % K] = check_gauss();
    for (size_t i = 0; i < K; i++)
        s.importance[i] = 1;
    compare_identity(&s);
    if (format->decode != IQT_DECODE_FLOAT) {
        /* Errors go from group to group: of long ones there are two in a row, and little to gain. Losses of 16 rows
         * vary by a tenth; the least gain, iq4_kss's, is to 0.58. */
        compare_loss(&s, K,
                     s.encoder->plain == NULL  ? 0.9
                     : format->superblock > 32 ? 1.25
                                               : 0.97);
        if (s.encoder->plain == NULL)
            compare_loss(&s, 256, 0.95);
    }
    iqt_encoder_destroy(s.encoder);
    check_end();
}

/* ---- Files ---- */

enum { COLUMNS = 2, BYTES = 2 * COLUMNS * COLUMNS * 4 };

/* Two matrices; what is wrong is one number, or a shape. */
struct file {
    const char *name, *error; /* NULL: sound */
    size_t at;
    float value;
    uint64_t ne[3];
    const char *counts;
};
static const struct file files[] = {
    { "sound", NULL, 0, 4, { 2, 2, 2 }, "b.counts" },
    { "nan",
      "tensor b.hessian: the square of column 0",
      0,
      NAN,
      { 2, 2, 2 },
      "b.counts" },
    { "negative", "column 1 is -1", 7, -1, { 2, 2, 2 }, "b.counts" },
    { "infinite", "not finite", 1, INFINITY, { 2, 2, 2 }, "b.counts" },
    { "askew", "other side", 6, -1, { 2, 2, 2 }, "b.counts" },
    { "count", "tensor b.counts: a count", 8, -1, { 2, 2, 2 }, "b.counts" },
    { "wide", "neither as long", 0, 4, { 4, 2, 1 }, "b.counts" },
    { "narrow", "neither as long", 0, 4, { 1, 8, 1 }, "b.counts" },
    { "matrices", "does not fit", 0, 4, { 2, 2, 1 }, "b.counts" },
    { "alone", "no .counts", 0, 4, { 2, 2, 2 }, "a.counts" },
};

static void make_file(struct make *m, const struct file *f)
{
    float values[] = { 4, 1, 1, 2, 9, -3, -3, 2, 8, 8 };
    struct make_tensor t[] = { { "b.hessian", 0, 3, { 0 }, BYTES, MAKE_AUTO },
                               { f->counts, 0, 2, { 1, 2 }, 8, MAKE_AUTO } };

    memcpy(t[0].ne, f->ne, sizeof f->ne);
    values[f->at] = f->value;
    make_start(m, 3, 2, 1);
    make_key_text(m, "general.type", "second-order");
    make_tensors(m, t, 2, 32);
    make_data(m, 32, 0);
    put_floats(m, values, 8);
    put_floats(m, values + 8, 2);
}

static void test_file(const struct file *f)
{
    struct iqt_second *s = NULL;
    struct make m = { 0 };
    enum iqt_status status;

    if (!check_begin("feedback.file.%s", f->name))
        return;
    make_file(&m, f);
    status = iqt_second_parse(m.b.data, m.b.bytes, &s);
    if (f->error == NULL) {
        check_true(status == IQT_OK && s->entries == 1 && s->entry[0].columns == 2 &&
                       s->entry[0].window == 2 && s->entry[0].matrices == 2,
                   "%s", iqt_last_error());
    } else {
        check_true(status == IQT_ERR_FORMAT && strstr(iqt_last_error(), f->error) != NULL,
                   "%s", status == IQT_OK ? "it is accepted" : iqt_last_error());
    }
    iqt_second_destroy(s);
    make_free(&m);
    check_end();
}

/* Sums of known inputs, in windows of which the last is shorter, written and read again. */
static void test_round_trip(void)
{
    enum { WIDE = 384 };
    static float x[WIDE * IQT_SECOND_INPUTS];
    const uint64_t ne[4] = { WIDE, 8, 1, 1 }, other[4] = { WIDE, 8, 2, 1 };
    const struct iqt_second_entry *found = NULL;
    struct iqt_second *s = NULL, *back = NULL;
    struct iqt_second_entry *e;
    char path[] = "/tmp/iqtile-second-XXXXXX";
    int fd;

    if (!check_begin("feedback.round_trip"))
        return;
    fd = mkstemp(path);
    for (size_t i = 0; i < IQT_COUNT(x); i++)
        x[i] = check_gauss();
    if (iqt_second_create("made", &s) != IQT_OK ||
        iqt_second_append(s, "blk.0.attn_q.weight", WIDE, iqt_second_window(WIDE, 300), 1,
                          &e) != IQT_OK) {
        check_fail("%s", iqt_last_error());
    } else {
        iqt_second_add(e, 0, x, 0, WIDE);
        iqt_second_mirror(e);
        e->own_count[0] = IQT_SECOND_INPUTS;
        check_true(e->window == 256, "a window of %zu", e->window);
        check_true(iqt_second_write(s, path) == IQT_OK &&
                       iqt_second_read(path, &back) == IQT_OK &&
                       memcmp(back->entry[0].sum, e->sum, WIDE * 256 * 4) == 0,
                   "%s", iqt_last_error());
        for (size_t n = 0; n < 1000; n++) {
            const size_t i = check_rand() % WIDE, j = check_rand() % 256;
            const size_t column = i / 256 * 256 + j;
            double sum = 0;

            for (size_t t = 0; t < IQT_SECOND_INPUTS && column < WIDE; t++)
                sum += (double)x[i * IQT_SECOND_INPUTS + t] *
                       x[column * IQT_SECOND_INPUTS + t];
            check_true(fabs(sum - e->own[i * 256 + j]) < 1e-4, "row %zu, %zu: %g, not %g",
                       i, j, (double)e->own[i * 256 + j], sum);
        }
    }
    if (back != NULL) {
        check_true(iqt_second_match(back, "blk.0.attn_v.weight", ne, &found) == IQT_OK &&
                       found == &back->entry[0],
                   "values have other inputs than queries");
        check_true(iqt_second_match(back, "blk.0.attn_output.weight", ne, &found) ==
                           IQT_OK &&
                       found == NULL,
                   "a tensor without statistics has some");
        check_true(iqt_second_match(back, "blk.0.attn_q.weight", other, &found) ==
                       IQT_ERR_FORMAT,
                   "another number of matrices");
    }
    iqt_second_destroy(back);
    iqt_second_destroy(s);
    close(fd);
    unlink(path);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    test_factors(K);
    test_factors(256);
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        if (f->weighting.factor > 0 && f->base_type == 0)
            test_format(f);
    for (size_t i = 0; i < IQT_COUNT(files); i++)
        test_file(&files[i]);
    test_round_trip();
    return check_done();
}
