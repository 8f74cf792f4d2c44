/* Reference decoders of ggml's own types that recipes mix in. */
#include "kernels/decode_ref.h"

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
static void q5_k_scale(const uint8_t *s, int b, int *scale, int *min)
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

        q5_k_scale(p + 4, b, &scale, &min);
        const float dl = super * (float)scale;
        const float dm = super_min * (float)min;

        for (int j = 0; j < 32; j++) {
            const int nibble = low[32 * (b / 2) + j] >> 4 * (b % 2) & 15;
            const float product = dl * (float)(nibble + (high[j] >> b & 1 ? 16 : 0));

            out[32 * b + j] = product - dm;
        }
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
