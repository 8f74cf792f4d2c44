/* Reference decoders of ggml's own types that recipes mix in: 256 weights, 8 bits, floats. */
#include "kernels/decode_ref.h"

#include "kernels/codebook.h"

#include <string.h>

IQT_REF(q8_0)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));

    for (int i = 0; i < 32; i++)
        out[i] = (float)(int8_t)p[2 + i] * super;
}

/* Each half of the superblock: 64 bytes of low nibbles, 32 of high bit pairs, 8 scales.
 */
IQT_REF(q6_k)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p + 208));

    for (int i = 0; i < 256; i++) {
        const int half = i / 128, quarter = i / 32 % 4, j = i % 32;
        const uint8_t *low = p + 64 * half, *high = p + 128 + 32 * half;
        const int nibble = low[j + 32 * (quarter % 2)] >> 4 * (quarter / 2) & 15;
        const int q = (nibble | (high[j] >> 2 * quarter & 3) << 4) - 32;
        const float dl = super * (float)(int8_t)p[192 + i / 16];

        out[i] = dl * (float)q;
    }
}

/* The 6-bit scale and minimum of block b out of 12 bytes. */
static void k4_scale(const uint8_t *s, int b, int *scale, int *min)
{
    if (b < 4) {
        *scale = s[b] & 63;
        *min = s[b + 4] & 63;
    } else {
        *scale = (s[b + 4] & 15) | (s[b - 4] >> 6) << 4;
        *min = (s[b + 4] >> 4) | (s[b] >> 6) << 4;
    }
}

IQT_REF(q5_k)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const float super_min = iqt_f16_to_f32(iqt_read_u16(p + 2));
    const uint8_t *high = p + 16, *low = p + 48;

    for (int b = 0; b < 8; b++) {
        int scale, min;

        k4_scale(p + 4, b, &scale, &min);
        const float dl = super * (float)scale;
        const float dm = super_min * (float)min;

        for (int j = 0; j < 32; j++) {
            const int nibble = low[32 * (b / 2) + j] >> 4 * (b % 2) & 15;
            const float product = dl * (float)(nibble + (high[j] >> b & 1 ? 16 : 0));

            out[32 * b + j] = product - dm;
        }
    }
}

IQT_REF(q4_k)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const float super_min = iqt_f16_to_f32(iqt_read_u16(p + 2));
    const uint8_t *low = p + 16;

    for (int b = 0; b < 8; b++) {
        int scale, min;

        k4_scale(p + 4, b, &scale, &min);
        const float dl = super * (float)scale;
        const float dm = super_min * (float)min;

        for (int j = 0; j < 32; j++) {
            const float product = dl * (float)(low[32 * (b / 2) + j] >> 4 * (b % 2) & 15);

            out[32 * b + j] = product - dm;
        }
    }
}

/* Two bits of weight i: of each half of the superblock 32 bytes, a pair of bits each quarter. */
static int low_two(const uint8_t *p, int i)
{
    return p[32 * (i / 128) + i % 32] >> 2 * (i / 32 % 4) & 3;
}

/* 6-bit scales: the low nibbles of 16 in 8 bytes, then the high pairs in 4. */
IQT_REF(q3_k)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p + 108));
    const uint8_t *scales = p + 96;

    for (int i = 0; i < 256; i++) {
        const int s = i / 16;
        const int low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;
        const int high = scales[8 + s % 4] >> 2 * (s / 4) & 3;
        const float dl = super * (float)((low | high << 4) - 32);
        const int is_high = p[i % 32] >> i / 32 & 1;

        out[i] = dl * (float)(low_two(p + 32, i) - (is_high ? 0 : 4));
    }
}

IQT_REF(q2_k)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p + 80));
    const float super_min = iqt_f16_to_f32(iqt_read_u16(p + 82));

    for (int i = 0; i < 256; i++) {
        const float dl = super * (float)(p[i / 16] & 15);
        const float dm = super_min * (float)(p[i / 16] >> 4);
        const float product = dl * (float)low_two(p + 16, i);

        out[i] = product - dm;
    }
}

IQT_REF(iq4_xs)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const unsigned high = iqt_read_u16(p + 2);

    for (int b = 0; b < 8; b++) {
        const int low = p[4 + b / 2] >> 4 * (b % 2) & 15;
        const float dl = super * (float)((low | (int)(high >> 2 * b & 3) << 4) - 32);

        for (int j = 0; j < 32; j++) {
            const int code = p[8 + 16 * b + j % 16] >> 4 * (j / 16) & 15;

            out[32 * b + j] = dl * (float)iqt_values_q4[code];
        }
    }
}

/* Nine bits name four magnitudes: a byte, and a bit of the block's byte. */
IQT_REF(iq3_s)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const uint8_t *low = p + 2, *high = p + 66, *negative = p + 74, *scales = p + 106;

    for (int i = 0; i < 256; i++) {
        const int b = i / 32, four = i / 4;
        const int code = low[four] | (high[b] >> four % 8 & 1) << 8;
        const int value = iqt_values_fours[4 * code + i % 4];
        const float dl = super * (float)(1 + 2 * (scales[b / 2] >> 4 * (b % 2) & 15));

        out[i] = dl * (float)(negative[i / 8] >> i % 8 & 1 ? -value : value);
    }
}

IQT_REF(f16)
{
    for (int i = 0; i < 32; i++)
        out[i] = iqt_f16_to_f32(iqt_read_u16(p + 2 * i));
}

IQT_REF(bf16)
{
    for (int i = 0; i < 32; i++) {
        const uint32_t bits = (uint32_t)iqt_read_u16(p + 2 * i) << 16;

        memcpy(&out[i], &bits, sizeof bits);
    }
}

IQT_REF(f32)
{
    for (int i = 0; i < 32; i++)
        out[i] = iqt_read_f32(p + 4 * i);
}
