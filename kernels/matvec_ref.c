/* Exact models: the product over decoded weights in double, and the activation quantizer and halver
 * that every device reproduces bit for bit. */
#include "kernels/quantized.h"
#include "kernels/format.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* No superblock is larger. */
enum { MAX_SUPERBLOCK = 256 };

void iqt_matvec_ref(const struct iqt_format *f, const uint8_t *rows, size_t row_stride,
                    size_t m, size_t k, enum iqt_decode_mode mode, const float *x,
                    double *y, double *bound)
{
    float w[MAX_SUPERBLOCK];

    for (size_t r = 0; r < m; r++) {
        double sum = 0.0, size = 0.0;

        for (size_t begin = 0; begin < k; begin += f->superblock) {
            const size_t left = k - begin;
            const size_t count = left < f->superblock ? left : f->superblock;

            iqt_decode_part(f, rows + r * row_stride, begin, count, mode, w);
            for (size_t i = 0; i < count; i++) {
                const double product = (double)w[i] * (double)x[begin + i];

                sum += product;
                size += fabs(product);
            }
        }
        y[r] = sum;
        if (bound != NULL)
            bound[r] = size;
    }
}

/* Largest magnitude as a bit pattern: integers order like the floats they encode, and NaN
 * comes out above infinity instead of being lost in a comparison. */
static uint32_t largest_bits(const float *x)
{
    uint32_t largest = 0;

    for (int i = 0; i < IQT_X_BLOCK; i++) {
        uint32_t bits;

        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffffu;
        if (bits > largest)
            largest = bits;
    }
    return largest;
}

static void quantize_block(const float *x, int8_t *q, struct iqt_xs *s)
{
    const uint32_t bits = largest_bits(x);
    float amax;

    memcpy(&amax, &bits, sizeof amax);
    *s = (struct iqt_xs){ .d = 0.0f };
    memset(q, 0, IQT_X_BLOCK);
    if (amax < 1e-30f)
        return;
    s->d = amax * (1.0f / 127.0f);
    if (bits >= 0x7f800000u)
        return; /* the scale alone carries infinity or NaN into every result */

    const float inverse = 127.0f / amax;

    for (int i = 0; i < IQT_X_BLOCK; i++) {
        q[i] = (int8_t)rintf(x[i] * inverse);
        s->sum[i / 16] = (int16_t)(s->sum[i / 16] + q[i]);
    }
}

void iqt_quantize_ref(const float *x, size_t k, int8_t *q, struct iqt_xs *s)
{
    for (size_t b = 0; b < k / IQT_X_BLOCK; b++)
        quantize_block(x + b * IQT_X_BLOCK, q + b * IQT_X_BLOCK, s + b);
}

void iqt_x_lanes_ref(const int8_t *q, size_t k, uint32_t n, int8_t *out)
{
    enum { PIECE = 16, SPANS = 8 }; /* bytes; of 64 */

    assert(k % 256 == 0);
    for (uint32_t c = 0; c < n; c++)
        for (size_t i = 0; i < k / PIECE; i++)
            memcpy(out + c * iqt_x_lanes_stride(k) +
                       (i / 32 * 32 + i % 4 * SPANS + i / 4 % SPANS) * PIECE,
                   q + c * k + i * PIECE, PIECE);
}

/* float16 of a number whose exponent it has, 11 bits of it. */
static uint16_t half_bits(double value)
{
    int exponent;
    const double part = frexp(fabs(value), &exponent); /* 0.5 <= part < 1 */
    const uint32_t size =
        value == 0 ? 0 : (uint32_t)(exponent + 13) * 1024 + (uint32_t)(2048 * part);

    return (uint16_t)(size | (signbit(value) ? 0x8000u : 0));
}

static void halve_block(const float *x, uint16_t *h, struct iqt_xs *s)
{
    const uint32_t bits = largest_bits(x);
    const bool finite = bits < 0x7f800000u;
    float amax;
    int exponent;

    memcpy(&amax, &bits, sizeof amax);
    *s = (struct iqt_xs){ .d = finite ? 0.0f : amax };
    frexpf(finite ? amax : 0, &exponent); /* amax < 2^exponent */
    if (finite && amax >= 0x1p-98f)
        s->d = ldexpf(1, exponent - 1 - IQT_HALF_TOP);
    for (int i = 0; i < IQT_X_BLOCK; i++) {
        const double scaled = finite && s->d > 0 ? (double)x[i] / (double)s->d : 0;
        int power;

        frexp(
            scaled,
            &power); /* |scaled| in [2^power / 2, 2^power), the last of 11 bits is 2^(power - 11) */
        h[i] = fabs(scaled) < 0x1p-14
                   ? half_bits(copysign(0, (double)x[i]))
                   : half_bits(ldexp(rint(ldexp(scaled, 11 - power)), power - 11));
    }
}

void iqt_halve_ref(const float *x, size_t k, uint16_t *h, struct iqt_xs *s)
{
    for (size_t b = 0; b < k / IQT_X_BLOCK; b++)
        halve_block(x + b * IQT_X_BLOCK, h + b * IQT_X_BLOCK, s + b);
}
