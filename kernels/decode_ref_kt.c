/* Reference decoders of the trellis formats: a seed per group of weights, and a
 * congruential sequence whose states' byte sums are the values. */
#include "kernels/decode_ref.h"
#include "kernels/codebook.h"

/* Steps the generator and returns the value of its new state. */
static int step(uint32_t *state)
{
    *state *= 0xcbac1fedu;
    return (int)(*state & 63) + (int)(*state >> 8 & 63) + (int)(*state >> 16 & 63) +
           (int)(*state >> 24 & 63) - 126;
}

static void decode_group(float dl, uint32_t seed, int weights, float *out)
{
    uint32_t state = seed;

    for (int n = 0; n < weights; n++)
        out[n] = dl * (float)step(&state);
}

static int scale_far(const uint8_t *p, int n)
{
    return p[n % 4] >> 4 * (n / 4) & 15;
}

/* Byte b: 4 bits of scale, then the 13th index bits of the block's 4 groups. */
IQT_REF(iq1_kt)
{
    for (uint32_t g = 0; g < 32; g++) {
        const uint32_t head = p[g / 4];
        const uint32_t index = p[8 + g] | (p[40 + g % 16] >> 4 * (g / 16) & 15u) << 8 |
                               (head >> (4 + g % 4) & 1) << 12;

        decode_group(d * (float)iqt_values_q4[head & 15], index + 4096, 8, out + 8 * g);
    }
}

IQT_REF(iq2_kt)
{
    for (int g = 0; g < 32; g++) {
        const float dl = d * (float)iqt_values_q4[scale_far(p, g / 4)];

        decode_group(dl, iqt_read_u16(p + 4 + 2 * g) + 4096u, 8, out + 8 * g);
    }
}

/* Magnitudes with a stored sign: a zero keeps its sign bit. */
IQT_REF(iq3_kt)
{
    for (int g = 0; g < 32; g++) {
        const int b = g / 4;
        const float dl = d * (float)scale_far(p, b);
        uint32_t state = iqt_read_u16(p + 4 + 2 * g) + 4096u;

        for (int n = 0; n < 8; n++) {
            const int i = 8 * g + n;
            const int value = step(&state);
            const float size = dl * (float)(value < 0 ? -value : value);

            out[i] = p[68 + i % 32] >> b & 1 ? -size : size;
        }
    }
}

/* A word per block: offset flag, 7 bits of scale, the 3 top index bits of 8 groups. */
IQT_REF(iq4_kt)
{
    for (uint32_t g = 0; g < 64; g++) {
        const uint32_t head = iqt_read_u32(p + 4 * (g / 8));
        const uint32_t index = p[32 + g] | (p[96 + g % 32] >> 4 * (g / 32) & 15u) << 8 |
                               (head >> (8 + 3 * (g % 8)) & 7) << 12;
        const int scale = (int)(head >> 1 & 127) - 64;

        decode_group(d * (float)scale, index + 4096 + 32768 * (head & 1), 4, out + 4 * g);
    }
}
