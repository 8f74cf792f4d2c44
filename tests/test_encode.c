/* Encoders against the hand-written decoders: error bounds for rows of several kinds, rows that a format
 * can hold exactly, sizes at the ends of float, exactness of the trellis search, refusals. */
#include "tests/check.h"
#include "tests/quant_isas.h"
#include "quant/encoder.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { K = 512, MAX_ROW = 2048 };

/* Relative root mean square errors: the worst of 100 seeds and 15 % more; of heavy rows, whose spread is
 * wider, 60 %. */
static const struct bound {
    const char *format;
    float gauss, heavy;
} bounds[] = {
    { "iq1_kt", 0.516f, 0.945f },   { "iq2_kt", 0.398f, 0.66f },
    { "iq3_kt", 0.206f, 0.564f },   { "iq4_kt", 0.117f, 0.202f },
    { "iq2_ks", 0.429f, 0.95f },    { "iq2_kl", 0.286f, 0.444f },
    { "iq3_ks", 0.192f, 0.482f },   { "iq4_kss", 0.147f, 0.303f },
    { "iq4_ks", 0.0928f, 0.183f },  { "iq5_ks", 0.0462f, 0.0926f },
    { "iq2_k", 0.361f, 0.68f },     { "iq3_k", 0.167f, 0.301f },
    { "iq4_k", 0.0799f, 0.133f },   { "iq5_k", 0.0389f, 0.0693f },
    { "iq6_k", 0.0184f, 0.0322f },  { "q8_0", 0.00591f, 0.015f },
    { "q6_k", 0.0211f, 0.0443f },   { "q5_k", 0.0426f, 0.0743f },
    { "q4_k", 0.0863f, 0.155f },    { "q3_k", 0.186f, 0.355f },
    { "q2_k", 0.362f, 0.607f },     { "iq4_xs", 0.093f, 0.195f },
    { "iq3_s", 0.175f, 0.342f },    { "q6_0", 0.0258f, 0.0569f },
    { "q5_0", 0.0511f, 0.119f },    { "q5_1", 0.0413f, 0.0725f },
    { "q4_0", 0.104f, 0.233f },     { "q4_1", 0.0854f, 0.152f },
    { "iq4_nl", 0.0925f, 0.193f },  { "f16", 0.000265f, 0.000439f },
    { "bf16", 0.00209f, 0.00351f }, { "f32", 0, 0 },
};

struct seat {
    const struct iqt_format *format;
    struct iqt_encoder *encoder;
    float x[K], y[K];
    uint8_t row[MAX_ROW];
};

static void fill_gauss(float *x)
{
    for (size_t i = 0; i < K; i++)
        x[i] = check_gauss();
}

/* Student's t with 4 degrees of freedom, as weights of real models are at their worst. */
static void fill_heavy(float *x)
{
    for (size_t i = 0; i < K; i++) {
        float square = 0;

        for (int n = 0; n < 4; n++) {
            const float g = check_gauss();

            square += g * g;
        }
        x[i] = check_gauss() / sqrtf(square / 4 + 1e-3f);
    }
}

/* Encodes x and decodes it into y. */
static bool pass_through(struct seat *s, const float *importance)
{
    const enum iqt_status status =
        iqt_encode_rows(s->encoder, 1, K, s->x, importance, s->row);

    if (status == IQT_OK &&
        iqt_decode_row(s->format, s->row, K, IQT_DECODE_COMPUTE, s->y) == IQT_OK)
        return true;
    check_fail("%s: %s", s->format->name, iqt_last_error());
    return false;
}

static double error_of(const struct seat *s, const float *importance)
{
    double miss = 0, all = 0;

    for (size_t i = 0; i < K; i++) {
        const double w = importance != NULL ? importance[i] : 1;
        const double d = (double)s->x[i] - s->y[i];

        miss += w * d * d;
        all += w * s->x[i] * s->x[i];
    }
    return all > 0 ? sqrt(miss / all) : miss > 0 ? INFINITY : 0;
}

/* ---- What is lost ---- */

static void test_error(struct seat *s, const struct bound *bound)
{
    float importance[K];
    uint8_t again[MAX_ROW];
    double error, weighted;

    if (!check_begin("encode.error.%s", bound->format))
        return;
    fill_gauss(s->x);
    if (pass_through(s, NULL))
        check_true((error = error_of(s, NULL)) <= bound->gauss,
                   "normal: %.4f, at most %.4f", error, (double)bound->gauss);
    memcpy(again, s->row, sizeof again);
    if (pass_through(s, NULL))
        check_true(memcmp(again, s->row, sizeof again) == 0,
                   "other bytes the second time");
    for (size_t i = 0; i < K; i++)
        importance[i] = expf(check_gauss());
    error = error_of(s, importance);
    if (pass_through(s, importance))
        check_true((weighted = error_of(s, importance)) < error ||
                       (s->format->decode == IQT_DECODE_FLOAT && weighted == error),
                   "%.4f with the importance, %.4f without", weighted, error);
    fill_heavy(s->x);
    if (pass_through(s, NULL))
        check_true((error = error_of(s, NULL)) <= bound->heavy,
                   "heavy: %.4f, at most %.4f", error, (double)bound->heavy);
    check_end();
}

/* Equal bytes with every instruction set and quality. */
static void test_isas(struct seat *s)
{
    const struct iqt_quant_isa *isas[3] = { 0 };
    float importance[K];
    uint8_t row[MAX_ROW];

    if (!check_begin("encode.isas.%s", s->format->name))
        return;
    fill_heavy(s->x);
    for (size_t i = 0; i < K; i++)
        importance[i] = expf(check_gauss());
    for (int quality = IQT_QUALITY_DEFAULT; quality <= IQT_QUALITY_BEST; quality++) {
        const struct iqt_encoder_opts opts = { .quality = (enum iqt_quality)quality };
        struct seat other = *s;

        if (iqt_encoder_create_with(s->format, &opts, &other.encoder) != IQT_OK) {
            check_fail("%s", iqt_last_error());
            break;
        }
        for (size_t i = 0, count = check_isas(isas); i < count; i++) {
            other.encoder->isa = isas[i];
            if (!pass_through(&other, importance))
                continue;
            if (i == 0)
                memcpy(row, other.row, sizeof row);
            check_true(memcmp(row, other.row, sizeof row) == 0,
                       "quality %d: %s writes other bytes", quality, isas[i]->name);
        }
        iqt_encoder_destroy(other.encoder);
    }
    check_end();
}

/* Rows that are some encoder's output have an exact encoding; it must be found, or all but found: the
 * search is not exhaustive. */
static void test_again(struct seat *s, const struct bound *bound)
{
    double error;

    if (!check_begin("encode.again.%s", s->format->name))
        return;
    fill_gauss(s->x);
    if (pass_through(s, NULL)) {
        memcpy(s->x, s->y, sizeof s->x);
        if (pass_through(s, NULL))
            check_true((error = error_of(s, NULL)) <= bound->gauss * 0.6, "error %.3g",
                       error);
    }
    check_end();
}

/* ---- Rows that are not like others ---- */

/* Multiplying by a power of two changes nothing but the float scale, as long as that has room. */
static void test_sizes(struct seat *s, const struct bound *bound)
{
    static const int f32_sizes[] = { -100, -40, 40, 110 }, f16_sizes[] = { -4, 4, 8 };
    const bool half = s->format->super.type == IQT_F16;
    const int *sizes = half ? f16_sizes : f32_sizes;
    float x[K];

    if (!check_begin("encode.sizes.%s", s->format->name))
        return;
    fill_gauss(x);
    for (size_t n = 0; n < (half ? IQT_COUNT(f16_sizes) : IQT_COUNT(f32_sizes)); n++) {
        double error;

        for (size_t i = 0; i < K; i++)
            s->x[i] = ldexpf(x[i], sizes[n]);
        if (pass_through(s, NULL))
            check_true((error = error_of(s, NULL)) <= bound->gauss, "2^%d: %.4f",
                       sizes[n], error);
    }
    /* Beyond a half-precision scale: clamped, finite, and of the right sign. */
    for (size_t i = 0; i < K; i++)
        s->x[i] = i % 3 == 0 ? FLT_MAX : -FLT_MAX / 2;
    if (pass_through(s, NULL))
        for (size_t i = 0; i < K; i++)
            check_true(isfinite(s->y[i]), "weight %zu is %g", i, (double)s->y[i]);
    for (size_t i = 0; i < K; i++)
        s->x[i] = i % 2 == 0 ? 1e-40f : -1e-45f;
    if (pass_through(s, NULL))
        check_true(error_of(s, NULL) <= 1.5, "subnormal: error %g", error_of(s, NULL));
    check_end();
}

/* Blocks that use the last level and the first value of the base table throughout are exact. */
static void test_exact(struct seat *s)
{
    const struct iqt_codebook *book = s->format->codebook;
    double error;

    if (book == NULL || s->encoder->levels == 0 || s->format->gray ||
        !check_begin("encode.exact.%s", s->format->name))
        return;
    for (size_t i = 0; i < K; i++) {
        const size_t dim = book->dim,
                     pair = i / dim % (i % s->format->block < dim ? 1 : book->count);

        s->x[i] = ldexpf(
            (float)(book->value[pair * dim + i % dim] * s->encoder->level[0].value), -9);
    }
    if (pass_through(s, NULL))
        check_true((error = error_of(s, NULL)) == 0, "error %.3g", error);
    check_end();
}

static void test_special(struct seat *s)
{
    float importance[K] = { 0 };
    double error;

    if (!check_begin("encode.special.%s", s->format->name))
        return;
    memset(s->x, 0, sizeof s->x);
    if (pass_through(s, NULL))
        check_true(error_of(s, NULL) == 0, "zeros become something");
    for (size_t i = 0; i < K; i++)
        s->x[i] = i / 256 % 2 == 0 ? 0 : check_gauss();
    if (pass_through(s, NULL))
        check_true((error = error_of(s, NULL)) < 0.6, "a superblock of zeros: %.4f",
                   error);
    for (size_t i = 0; i < K; i++)
        s->x[i] = -0.37f;
    if (pass_through(s, NULL))
        check_true((error = error_of(s, NULL)) < 0.5, "a constant: %.4f", error);
    memset(s->x, 0, sizeof s->x);
    s->x[77] = -5;
    if (pass_through(s, NULL))
        check_true(fabsf(s->y[77] + 5) < 2.5f, "a spike of -5 becomes %g",
                   (double)s->y[77]);
    fill_gauss(s->x);
    if (pass_through(s, importance))
        check_true((error = error_of(s, NULL)) < 0.7, "no importance at all: %.4f",
                   error);
    importance[3] = FLT_MAX;
    if (pass_through(s, importance))
        check_true(fabsf(s->y[3] - s->x[3]) <= fabsf(s->x[3]),
                   "one column of importance: %g becomes %g", (double)s->x[3],
                   (double)s->y[3]);
    check_end();
}

static void test_refusals(struct seat *s)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    float x[2 * K] = { 0 }, importance[K] = { 0 };
    uint8_t rows[2 * MAX_ROW];

    if (!check_begin("encode.refusals.%s", s->format->name))
        return;
    for (size_t i = 0; i < IQT_COUNT(bad); i++) {
        x[K + 5] = bad[i];
        check_true(iqt_encode_rows(s->encoder, 2, K, x, NULL, rows) == IQT_ERR_ARG &&
                       strstr(iqt_last_error(), "row 1, column 5") != NULL,
                   "%g: %s", (double)bad[i], iqt_last_error());
    }
    importance[9] = -1;
    check_true(iqt_encode_rows(s->encoder, 1, K, x, importance, rows) == IQT_ERR_ARG &&
                   strstr(iqt_last_error(), "column 9") != NULL,
               "%s", iqt_last_error());
    check_true(s->format->granule == 1 ||
                   iqt_encode_rows(s->encoder, 1, 100, x, NULL, rows) == IQT_ERR_SHAPE,
               "rows of 100");
    check_end();
}

/* Rows that are no multiple of 256, and the loss that is told of them. */
static void test_short(struct seat *s)
{
    const size_t k = s->format->granule == 1 ? 77 : 416;
    struct iqt_row_work work;
    struct iqt_row_loss loss;

    if (s->format->superblock == 256 || !check_begin("encode.short.%s", s->format->name))
        return;
    fill_gauss(s->x);
    if (iqt_encode_rows(s->encoder, 1, k, s->x, NULL, s->row) != IQT_OK ||
        iqt_decode_row(s->format, s->row, k, IQT_DECODE_COMPUTE, s->y) != IQT_OK ||
        iqt_row_work_create(s->format, k, &work) != IQT_OK) {
        check_fail("%s", iqt_last_error());
    } else {
        double miss = 0;

        for (size_t i = 0; i < k; i++)
            miss += pow((double)s->x[i] - s->y[i], 2);
        loss = iqt_row_loss(s->format, k, s->x, NULL, s->row, &work);
        check_true(!s->format->weighting.flat ||
                       fabs(loss.missed - miss) <= 1e-4 * (miss + 1e-9),
                   "a loss of %g, told as %g", miss, loss.missed);
        check_true(miss <= 0.02 * loss.all, "%g of %g", miss, loss.all);
        iqt_row_work_free(&work);
    }
    check_end();
}

/* ---- Parts ---- */

static void test_fields(const struct iqt_format *f)
{
    const struct iqt_field *fields[] = { &f->code, &f->shift, &f->sign, &f->scale.raw,
                                         &f->scale.negative };

    if (!check_begin("encode.fields.%s", f->name))
        return;
    for (size_t n = 0; n < IQT_COUNT(fields); n++) {
        uint8_t block[256], back[256];
        const uint32_t i = check_rand() % f->superblock;

        check_rand_bytes(block, sizeof block);
        memcpy(back, block, sizeof block);
        iqt_field_set(fields[n], block, i, ~iqt_field_get(fields[n], back, i));
        check_true(iqt_field_empty(fields[n]) || (iqt_field_get(fields[n], block, i) &
                                                  iqt_field_get(fields[n], back, i)) == 0,
                   "field %zu, weight %u", n, i);
        iqt_field_set(fields[n], block, i, iqt_field_get(fields[n], back, i));
        check_true(memcmp(block, back, sizeof block) == 0,
                   "field %zu: other bits changed", n);
    }
    check_end();
}

static void test_format(const struct bound *bound)
{
    static struct seat s;

    s = (struct seat){ .format = iqt_format_find(bound->format) };
    if (iqt_encoder_create(s.format, &s.encoder) != IQT_OK) {
        if (check_begin("encode.%s", bound->format))
            check_fail("%s", iqt_last_error());
        return;
    }
    test_error(&s, bound);
    test_isas(&s);
    test_again(&s, bound);
    test_exact(&s);
    test_sizes(&s, bound);
    test_special(&s);
    test_refusals(&s);
    test_short(&s);
    test_fields(s.format);
    iqt_encoder_destroy(s.encoder);
}

static void test_all(void)
{
    size_t encoders = 0;

    if (!check_begin("encode.all"))
        return;
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        struct iqt_encoder *e = NULL;
        const enum iqt_status status = iqt_encoder_create(f, &e);

        encoders += status == IQT_OK;
        check_true(status == IQT_OK || (status == IQT_ERR_UNSUPPORTED &&
                                        strstr(iqt_last_error(), f->name) != NULL),
                   "%s: %s", f->name, iqt_last_error());
        iqt_encoder_destroy(e);
    }
    check_true(encoders == IQT_COUNT(bounds), "%zu encoders, %zu are tested", encoders,
               IQT_COUNT(bounds));
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    for (size_t i = 0; i < IQT_COUNT(bounds); i++)
        test_format(&bounds[i]);
    test_all();
    return check_done();
}
