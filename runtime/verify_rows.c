/* Random rows that are valid for any format: every bit random, but for the float scales that the
 * format table names, which are finite and of a chosen magnitude. Derived from the table alone. */
#include "runtime/verify.h"

#include "base/base.h"

#include <math.h>
#include <string.h>

uint32_t iqt_rng_next(struct iqt_rng *rng)
{
    /* splitmix64 (Steele, Lea, Flood 2014): every seed is good, 0 included. */
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

uint32_t iqt_rng_below(struct iqt_rng *rng, uint32_t end)
{
    return (uint32_t)((uint64_t)iqt_rng_next(rng) * end >> 32);
}

float iqt_rng_gauss(struct iqt_rng *rng)
{
    /* Box-Muller; + 1 keeps the logarithm's argument above 0. */
    const double u = (iqt_rng_next(rng) + 1.0) / 4294967296.0;
    const double v = iqt_rng_next(rng) / 4294967296.0;

    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

/* How a float type is laid out, and the exponent fields of each magnitude: [first, last]. */
static const struct float_shape {
    uint8_t bytes, mantissa, exponent; /* bits of the fields */
    uint16_t range[IQT_MAGNITUDES][2];
} float_shapes[] = {
    [IQT_F16] = { 2, 10, 5, { { 3, 10 }, { 0, 0 }, { 26, 30 }, { 0, 0 } } },
    [IQT_BF16] = { 2, 7, 8, { { 115, 122 }, { 64, 70 }, { 160, 167 }, { 0, 0 } } },
    [IQT_F32] = { 4, 23, 8, { { 115, 122 }, { 64, 70 }, { 160, 167 }, { 0, 0 } } },
};

static void put_float(uint8_t *at, enum iqt_float type, enum iqt_magnitude magnitude,
                      struct iqt_rng *rng)
{
    const struct float_shape *s = &float_shapes[type];
    const uint16_t *range = s->range[magnitude];
    const uint32_t e = range[0] + iqt_rng_below(rng, range[1] - range[0] + 1u);
    const uint32_t noise = iqt_rng_next(rng);
    uint32_t bits = noise >> 31 << (s->mantissa + s->exponent) | e << s->mantissa;

    if (magnitude != IQT_MAGNITUDE_ZERO)
        bits |=
            (noise & ((1u << s->mantissa) - 1)) | 1; /* a subnormal must not become 0 */
    for (uint32_t i = 0; i < s->bytes; i++)
        at[i] = (uint8_t)(bits >> 8 * i);
}

static void clear_scalar(const struct iqt_scalar *scalar, uint8_t *base)
{
    memset(base + scalar->byte, 0, float_shapes[scalar->type].bytes);
}

static void fill_bytes(uint8_t *out, size_t bytes, enum iqt_fill fill,
                       struct iqt_rng *rng)
{
    if (fill != IQT_FILL_RANDOM) {
        memset(out, fill == IQT_FILL_ONES ? 0xff : 0, bytes);
        return;
    }
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(iqt_rng_next(rng) >> 24);
}

/* The float scales of one place: a row's header or a superblock. */
static void put_scales(const struct iqt_format *f, enum iqt_at at,
                       enum iqt_magnitude magnitude, struct iqt_rng *rng, uint8_t *base)
{
    const struct iqt_scalar *scalar[] = { &f->super, &f->super_min };

    for (size_t i = 0; i < IQT_COUNT(scalar); i++)
        if (scalar[i]->at == at)
            put_float(base + scalar[i]->byte, scalar[i]->type, magnitude, rng);
}

static void random_row(const struct iqt_format *f, size_t k, enum iqt_magnitude magnitude,
                       struct iqt_rng *rng, uint8_t *row)
{
    uint8_t *block = row + f->row_head;

    if (f->decode == IQT_DECODE_FLOAT) {
        for (size_t j = 0; j < k; j++)
            put_float(block + j * float_shapes[f->element].bytes, f->element, magnitude,
                      rng);
        return;
    }
    put_scales(f, IQT_AT_ROW, magnitude, rng, row);
    for (size_t b = 0; b < k / f->superblock; b++)
        put_scales(f, IQT_AT_SUPERBLOCK, magnitude, rng, block + b * f->bytes);
}

void iqt_random_rows(const struct iqt_format *f, size_t k, size_t rows,
                     enum iqt_fill fill, enum iqt_magnitude magnitude,
                     struct iqt_rng *rng, uint8_t *out)
{
    const size_t payload = f->decode == IQT_DECODE_FLOAT
                               ? k * float_shapes[f->element].bytes
                               : k / f->superblock * f->bytes;
    const size_t row_bytes = f->row_head + payload;

    for (size_t r = 0; r < rows; r++) {
        fill_bytes(out + r * row_bytes, row_bytes, fill, rng);
        random_row(f, k, magnitude, rng, out + r * row_bytes);
    }
}

void iqt_clear_minima(const struct iqt_format *f, size_t k, size_t rows, uint8_t *bytes)
{
    const size_t blocks = k / f->superblock;
    const size_t row_bytes = f->row_head + blocks * f->bytes;

    for (size_t r = 0; r < rows; r++) {
        uint8_t *row = bytes + r * row_bytes;

        if (f->super_min.at == IQT_AT_ROW)
            clear_scalar(&f->super_min, row);
        for (size_t b = 0; f->super_min.at == IQT_AT_SUPERBLOCK && b < blocks; b++)
            clear_scalar(&f->super_min, row + f->row_head + b * f->bytes);
    }
}
