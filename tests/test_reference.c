/* The exact models that kernels are compared with: activation quantizer and halver, product. */
#include "tests/halve_case.h"
#include "kernels/format.h"
#include "kernels/quantized.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void quantize(const float *x, int8_t *q, struct iqt_xs *s)
{
    memset(q, 0x55, IQT_X_BLOCK); /* every byte is written */
    memset(s, 0x55, sizeof *s);
    iqt_quantize_ref(x, IQT_X_BLOCK, q, s);
}

static void halve(const float *x, uint16_t *h, struct iqt_xs *s)
{
    memset(h, 0x55, IQT_X_BLOCK * sizeof *h);
    memset(s, 0x55, sizeof *s);
    iqt_halve_ref(x, IQT_X_BLOCK, h, s);
}

static void check_sums(const int8_t *q, const struct iqt_xs *s)
{
    for (int half = 0; half < 2; half++) {
        int sum = 0;

        for (int i = 0; i < 16; i++)
            sum += q[16 * half + i];
        check_true(s->sum[half] == sum, "sum %d of half %d, expected %d", s->sum[half],
                   half, sum);
    }
}

/* All sizes a float has: the largest becomes +-127, the others are off by half a step. */
static void test_error(void)
{
    if (!check_begin("quantize.error"))
        return;
    for (int power = -99; power <= 127; power++) {
        float x[IQT_X_BLOCK], amax = 0.0f;
        struct iqt_xs s;
        int8_t q[IQT_X_BLOCK];
        int largest = 0;

        for (int i = 0; i < IQT_X_BLOCK; i++) {
            x[i] = ldexpf(check_gauss() / 8, power);
            amax = fmaxf(amax, fabsf(x[i]));
        }
        quantize(x, q, &s);
        check_sums(q, &s);
        if (amax < 1e-30f)
            continue;
        for (int i = 0; i < IQT_X_BLOCK; i++) {
            const double error = fabs((double)x[i] - (double)s.d * q[i]);

            largest = abs(q[i]) > largest ? abs(q[i]) : largest;
            check_true(error <= 0.50002 * (double)s.d, "2^%d: %a becomes %d of %a", power,
                       (double)x[i], q[i], (double)s.d);
        }
        check_true(largest == 127, "2^%d: largest code %d", power, largest);
    }
    check_end();
}

static void test_ties(void)
{
    static const float values[] = { 127.0f, 0.5f,  1.5f,    2.5f,
                                    -0.5f,  -1.5f, -126.5f, -127.0f };
    static const int8_t codes[] = { 127, 0, 2, 2, 0, -2, -126, -127 };
    float x[IQT_X_BLOCK] = { 0 };
    struct iqt_xs s;
    int8_t q[IQT_X_BLOCK];

    if (!check_begin("quantize.ties"))
        return;
    memcpy(x, values, sizeof values);
    quantize(x, q, &s);
    for (size_t i = 0; i < IQT_COUNT(codes); i++)
        check_true(q[i] == codes[i], "%g becomes %d, expected %d", (double)values[i],
                   q[i], codes[i]);
    check_sums(q, &s);
    check_end();
}

/* One special value among ordinary ones, at every place of the block. */
static void test_special(void)
{
    static const struct {
        const char *name;
        float value, other, d;
    } cases[] = {
        { "zero", 0.0f, -0.0f, 0.0f },
        { "tiny", 0.99e-30f, 1e-40f, 0.0f },
        { "infinity", INFINITY, 1.0f, INFINITY },
        { "minus infinity", -INFINITY, 1.0f, INFINITY },
        { "nan", NAN, 1.0f, NAN },
        { "nan among infinities", -NAN, INFINITY, NAN },
    };

    for (size_t c = 0; c < IQT_COUNT(cases); c++) {
        if (!check_begin("quantize.%s", cases[c].name))
            continue;
        for (int at = 0; at < IQT_X_BLOCK; at++) {
            const float d = cases[c].d;
            float x[IQT_X_BLOCK];
            struct iqt_xs s;
            int8_t q[IQT_X_BLOCK];
            uint16_t h[IQT_X_BLOCK];

            for (int i = 0; i < IQT_X_BLOCK; i++)
                x[i] = i == at ? cases[c].value : cases[c].other;
            quantize(x, q, &s);
            check_true(isnan(d) ? isnan(s.d) : s.d == d, "scale %g, expected %g",
                       (double)s.d, (double)d);
            for (int i = 0; i < IQT_X_BLOCK; i++)
                check_true(q[i] == 0, "at %d: code %d is %d", at, i, q[i]);
            check_sums(q, &s);
            halve(x, h, &s);
            check_true(isnan(d) ? isnan(s.d) : s.d == d,
                       "scale %g of halves, expected %g", (double)s.d, (double)d);
            for (int i = 0; i < IQT_X_BLOCK; i++)
                check_true(h[i] == (signbit(x[i]) ? 0x8000 : 0), "at %d: half %d is %04x",
                           at, i, h[i]);
        }
        check_end();
    }
}

/* ---- Halves ---- */

/* The bound that callers are promised, from the numbers alone; scales are powers of two that put the largest where
 * it should be; no half is subnormal or infinite, signs are kept. */
static void test_halves(void)
{
    static float x[HALVE_COUNT];
    static struct halves out;

    if (!check_begin("halve.error"))
        return;
    halve_case_fill(x);
    memset(&out, 0x55, sizeof out);
    iqt_halve_ref(x, HALVE_COUNT, out.h, out.s);
    check_true(halve_case_outside(x, &out) == 0, "%zu numbers outside of the bound",
               halve_case_outside(x, &out));
    for (size_t i = 0; i < HALVE_COUNT; i++) {
        const uint32_t h = out.h[i], power = h >> 10 & 31;

        check_true(power < 31 && (power > 0 || (h & 0x7fff) == 0), "%a becomes %04x",
                   (double)x[i], h);
        check_true(h >> 15 == (signbit(x[i]) != 0), "%a becomes %04x", (double)x[i], h);
    }
    for (size_t b = 0; b < HALVE_BLOCKS; b++) {
        double most = 0;
        int power;

        for (size_t i = b * IQT_X_BLOCK; i < (b + 1) * IQT_X_BLOCK; i++)
            most = isnan(x[i]) ? INFINITY : fmax(most, fabs((double)x[i]));
        if (isinf(most) || most < 0x1p-98)
            continue;
        const double units = most / (double)out.s[b].d;

        check_true(frexpf(out.s[b].d, &power) == 0.5f && units >= 0x1p14 &&
                       units < 0x1p15 && out.s[b].sum[0] == 0 && out.s[b].sum[1] == 0,
                   "largest %a, scale %a", most, (double)out.s[b].d);
    }
    check_end();
}

/* Halfway to the even one, on both sides of it; up to the next power, down to zero. */
static void test_half_ties(void)
{
    static const struct {
        float x, want;
    } cases[] = {
        { 1, 1 },
        { 1 + 0x1p-11f, 1 },
        { 1 + 0x3p-11f, 1 + 0x4p-11f },
        { -1 - 0x1p-11f, -1 },
        { 1 + 0x1p-11f + 0x1p-23f, 1 + 0x2p-11f },
        { 1 + 0x3p-11f - 0x1p-23f, 1 + 0x2p-11f },
        { 2 - 0x1p-23f, 2 },
        { 0x1p-28f, 0x1p-28f },
        { -0x1.ffcp-29f, -0.0f },
        { 0x1.ffffp-29f, 0 },
    };
    float x[IQT_X_BLOCK] = { 0 };
    struct iqt_xs s;
    uint16_t h[IQT_X_BLOCK];

    if (!check_begin("halve.ties"))
        return;
    for (size_t i = 0; i < IQT_COUNT(cases); i++)
        x[i] = cases[i].x;
    halve(x, h, &s);
    for (size_t i = 0; i < IQT_COUNT(cases); i++)
        check_true(s.d * iqt_f16_to_f32(h[i]) == cases[i].want,
                   "%a becomes %a, expected %a", (double)cases[i].x,
                   (double)(s.d * iqt_f16_to_f32(h[i])), (double)cases[i].want);
    check_end();
}

/* Products by iqt_decode_row(), with gaps between rows that must not be read. */
static void test_matvec(const struct iqt_format *f)
{
    const size_t m = 3, k = 2 * f->superblock + (f->granule == 1 ? 5 : 0);
    size_t bytes;

    if (!check_begin("matvec.%s", f->name))
        return;
    if (iqt_format_row_bytes(f, k, &bytes) != IQT_OK)
        abort();

    const size_t stride = bytes + 3;
    uint8_t *rows = malloc((m - 1) * stride + bytes);
    float *x = malloc(k * sizeof *x), *w = malloc(k * sizeof *w);
    double y[3], bound[3], alone[3];

    if (rows == NULL || x == NULL || w == NULL)
        abort();
    check_rand_bytes(rows, (m - 1) * stride + bytes);
    for (size_t i = 0; i < k; i++)
        x[i] = check_gauss();
    iqt_matvec_ref(f, rows, stride, m, k, IQT_DECODE_COMPUTE, x, y, bound);
    iqt_matvec_ref(f, rows, stride, m, k, IQT_DECODE_COMPUTE, x, alone, NULL);
    for (size_t r = 0; r < m; r++) {
        double sum = 0.0, size = 0.0;

        if (iqt_decode_row(f, rows + r * stride, k, IQT_DECODE_COMPUTE, w) != IQT_OK)
            check_fail("%s", iqt_last_error());
        for (size_t i = 0; i < k; i++) {
            sum += (double)w[i] * (double)x[i];
            size += fabs((double)w[i] * (double)x[i]);
        }
        if (!isfinite(size))
            continue; /* random bytes in a float scale */
        check_true(fabs(y[r] - sum) <= 1e-12 * size, "row %zu: %g, expected %g", r, y[r],
                   sum);
        check_true(fabs(bound[r] - size) <= 1e-12 * size,
                   "row %zu: bound %g, expected %g", r, bound[r], size);
        check_true(alone[r] == y[r], "row %zu: %g without bounds, %g with", r, alone[r],
                   y[r]);
    }
    free(rows);
    free(x);
    free(w);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    test_error();
    test_ties();
    test_special();
    test_halves();
    test_half_ties();
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        test_matvec(f);
    return check_done();
}
