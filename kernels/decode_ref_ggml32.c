/* Reference decoders of ggml's types of 32 weights: a float scale, for some a float to add, and codes
 * of which byte j has those of weights j and j + 16. */
#include "kernels/codebook.h"
#include "kernels/decode_ref.h"

static int nibble(const uint8_t *p, int i)
{
    return i < 16 ? p[i] & 15 : p[i - 16] >> 4;
}

static int fifth(const uint8_t *p, int i)
{
    return (int)(iqt_read_u32(p) >> i & 1) << 4;
}

IQT_REF(q4_0)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));

    for (int i = 0; i < 32; i++)
        out[i] = (float)(nibble(p + 2, i) - 8) * super;
}

IQT_REF(q4_1)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const float added = iqt_f16_to_f32(iqt_read_u16(p + 2));

    for (int i = 0; i < 32; i++) {
        const float product = (float)nibble(p + 4, i) * super;

        out[i] = product + added;
    }
}

IQT_REF(q5_0)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));

    for (int i = 0; i < 32; i++)
        out[i] = (float)((nibble(p + 6, i) | fifth(p + 2, i)) - 16) * super;
}

IQT_REF(q5_1)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const float added = iqt_f16_to_f32(iqt_read_u16(p + 2));

    for (int i = 0; i < 32; i++) {
        const float product = (float)(nibble(p + 8, i) | fifth(p + 4, i)) * super;

        out[i] = product + added;
    }
}

/* Byte j of the high bits has two of weights j, j + 16, j + 8 and j + 24, in this order. */
IQT_REF(q6_0)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));

    for (int i = 0; i < 32; i++) {
        const int at = i / 16 + 2 * (i / 8 % 2);
        const int high = p[2 + i % 8] >> 2 * at & 3;

        out[i] = (float)((nibble(p + 10, i) | high << 4) - 32) * super;
    }
}

IQT_REF(iq4_nl)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));

    for (int i = 0; i < 32; i++)
        out[i] = super * (float)iqt_values_q4[nibble(p + 2, i)];
}
