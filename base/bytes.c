/* Numbers out of bytes: little-endian reads, half precision, the hash, the clock.
 * Knows nothing of where the bytes come from. */
#include "base/base.h"

#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint16_t iqt_read_u16(const void *p)
{
    const uint8_t *b = p;

    return (uint16_t)(b[0] | b[1] << 8);
}

uint32_t iqt_read_u32(const void *p)
{
    const uint8_t *b = p;

    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
           (uint32_t)b[3] << 24;
}

uint64_t iqt_read_u64(const void *p)
{
    const uint8_t *b = p;

    return iqt_read_u32(b) | (uint64_t)iqt_read_u32(b + 4) << 32;
}

static float float_of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

float iqt_read_f32(const void *p)
{
    return float_of_bits(iqt_read_u32(p));
}

float iqt_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t exponent = (h >> 10) & 31;
    const uint32_t fraction = h & 1023;

    if (exponent == 31) /* infinity, or NaN with its payload */
        return float_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent ==
        0) { /* zero or subnormal: fraction * 2^-24 is exact in single precision */
        const float value = (float)fraction * 0x1p-24f;

        return sign != 0 ? -value : value;
    }
    return float_of_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

/* value / 2^shift, ties to even. */
static uint32_t shift_to_even(uint32_t value, uint32_t shift)
{
    const uint32_t kept = value >> shift, rest = value & ((1u << shift) - 1);
    const uint32_t half = 1u << (shift - 1);

    return kept + (rest > half || (rest == half && (kept & 1) != 0));
}

uint16_t iqt_f32_to_f16(float x)
{
    uint32_t bits, size, half;

    memcpy(&bits, &x, sizeof bits);
    size = bits & 0x7fffffff;
    if (size > 0x7f800000) /* NaN: quiet, the upper payload */
        half = 0x7e00 | (size >> 13 & 0x1ff);
    else if (size >= 0x477ff000) /* 65520 and more */
        half = 0x7c00;
    else if (size >=
             0x38800000) /* a rounding that carries raises the exponent as it should */
        half = shift_to_even(size - ((127u - 15) << 23), 13);
    else if (size >=
             0x33000000) /* subnormal: fraction with its hidden bit, times 2^-24 */
        half = shift_to_even((size & 0x7fffff) | 0x800000, 126 - (size >> 23));
    else
        half = 0;
    return (uint16_t)(half | (bits >> 16 & 0x8000));
}

uint64_t iqt_hash(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, bytes, seed);
}

uint64_t iqt_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
