/* Reference decoders of the codebook formats (iq2_k .. iq6_k, iq2_ks .. iq5_ks). Plain
 * and slow; every line is a line of the formats' description. */
#include "kernels/decode_ref.h"
#include "kernels/codebook.h"

#include <math.h>

/* Codes of weight i. Planes of 2 and 1 bits; nibbles whose two halves hold weights 16 or
 * 32 apart. */
static int code2(const uint8_t *p, int i)
{
    return p[32 * (i / 128) + i % 32] >> 2 * (i / 32 % 4) & 3;
}

static int code1(const uint8_t *p, int i)
{
    return p[i % 32] >> (i / 32) & 1;
}

static int nibble16(const uint8_t *p, int i)
{
    return p[16 * (i / 32) + i % 16] >> 4 * (i / 16 % 2) & 15;
}

static int nibble32(const uint8_t *p, int i)
{
    return p[32 * (i / 64) + i % 32] >> 4 * (i / 32 % 2) & 15;
}

/* Scales: nibble n where neighbours share a byte, or where n and n + 4 do. */
static int scale_pair(const uint8_t *p, int n)
{
    return p[n / 2] >> 4 * (n % 2) & 15;
}

static int scale_far(const uint8_t *p, int n)
{
    return p[n % 4] >> 4 * (n / 4) & 15;
}

static int bit(unsigned word, int n)
{
    return word >> n & 1;
}

/* The two roundings of every decode: fl(fl(d * L) * v). */
static float weight(float d, int scale, int value)
{
    const float dl = d * (float)scale;

    return dl * (float)value;
}

/* Scales of iq4_k and iq5_k: a nibble and two high bits, offset 32. */
static int scale_k(const uint8_t *p, int s)
{
    return (scale_pair(p + 8, s) | (p[4 + s / 4] >> 2 * (s % 4) & 3) << 4) - 32;
}

IQT_REF(iq2_k)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const unsigned extra = iqt_read_u16(p + 2);

    for (int i = 0; i < 256; i++) {
        const int s = i / 16;
        const int scale = scale_pair(p + 4, s) - 8;

        out[i] =
            weight(super, scale, iqt_values_q2[code2(p + 12, i)] + 5 * bit(extra, s));
    }
}

IQT_REF(iq3_k)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const unsigned extra = iqt_read_u16(p + 2);
    const unsigned negative = iqt_read_u16(p + 4);

    for (int i = 0; i < 256; i++) {
        const int s = i / 16;
        const int size = 2 * scale_pair(p + 6, s) + 1;
        const int q = code2(p + 14, i) | code1(p + 78, i) << 2;

        out[i] = weight(super, bit(negative, s) ? -size : size,
                        iqt_values_q3[q] + 4 * bit(extra, s));
    }
}

IQT_REF(iq4_k)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const unsigned extra = iqt_read_u16(p + 2);

    for (int i = 0; i < 256; i++) {
        const int s = i / 16;

        out[i] = weight(super, scale_k(p, s),
                        iqt_values_q4[nibble16(p + 16, i)] + 4 * bit(extra, s));
    }
}

IQT_REF(iq5_k)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const unsigned extra = iqt_read_u16(p + 2);

    for (int i = 0; i < 256; i++) {
        const int s = i / 16;
        const int q = nibble32(p + 16, i) | code1(p + 144, i) << 4;

        out[i] = weight(super, scale_k(p, s), iqt_values_q5[q] + 2 * bit(extra, s));
    }
}

/* The cubic that the integer table of iq6_k was rounded from. ik_llama.cpp's to_float
 * leaves it unrounded and its compiler contracts it, so the fused operations are part of
 * the definition; no kernel computes with these values. */
static float cubic6(int q)
{
    const float x = (float)q;

    return fmaf(x, fmaf(x, fmaf(x, 0.0011972f, -0.11218f), 6.2568f), -127.0f);
}

IQT_REF(iq6_k)
{
    const float super = iqt_f16_to_f32(iqt_read_u16(p));
    const unsigned extra = iqt_read_u16(p + 2);

    for (int i = 0; i < 256; i++) {
        const int s = i / 16;
        const int scale = (int8_t)p[4 + s];
        const int q = nibble32(p + 20, i) | code2(p + 148, i) << 4;

        if (mode == IQT_DECODE_REFERENCE) {
            const float dl = super * (float)scale;

            out[i] = dl * (cubic6(q) + (float)bit(extra, s));
        } else {
            out[i] = weight(super, scale, iqt_values_q6[q] + bit(extra, s));
        }
    }
}

/* Low byte of extra: shift bits; high byte: fifth bits of the scales. */
IQT_REF(iq2_ks)
{
    const unsigned extra = iqt_read_u16(p);

    for (int i = 0; i < 256; i++) {
        const int b = i / 32;
        const int scale = (scale_pair(p + 2, b) | bit(extra, 8 + b) << 4) - 16;

        out[i] = weight(d, scale, iqt_values_q2[code2(p + 6, i)] + 5 * bit(extra, b));
    }
}

IQT_REF(iq2_kl)
{
    const unsigned high = iqt_read_u16(p);

    for (int i = 0; i < 256; i++) {
        const int b = i / 32;
        const int pair = i % 32 / 2;
        const int scale = (scale_far(p + 2, b) | (high >> 2 * b & 3) << 4) - 32;
        const int low = p[6 + 16 * (b / 2) + pair] >> 4 * (b % 2) & 15;
        const int index = low | bit(p[70 + pair], b) << 4;

        out[i] = weight(d, scale, iqt_values_p2[2 * index + i % 2]);
    }
}

/* The roles of extra's bytes are those of iq2_ks exchanged. */
IQT_REF(iq3_ks)
{
    const unsigned extra = iqt_read_u16(p);

    for (int i = 0; i < 256; i++) {
        const int b = i / 32;
        const int scale = (scale_far(p + 2, b) | bit(extra, b) << 4) - 16;
        const int q = code2(p + 6, i) | code1(p + 70, i) << 2;

        out[i] = weight(d, scale, iqt_values_q3[q] + 4 * bit(extra, 8 + b));
    }
}

/* 16-bit words of 4 weights, Gray-coded in their upper 15 bits; the lowest bits of a
 * block's 8 words are its scale byte. */
IQT_REF(iq4_kss)
{
    for (int b = 0; b < 8; b++) {
        const uint8_t *words = p + 16 * b;
        int scale = 0;

        for (int k = 0; k < 8; k++)
            scale |= (words[2 * k] & 1) << k;
        for (int j = 0; j < 32; j++) {
            const int e = j % 16;
            const unsigned v = iqt_read_u16(words + 2 * (e / 2)) & 0xfffeu;
            const unsigned t = v ^ v >> 1;
            const int q = t >> 4 * (2 * (e % 2) + j / 16) & 15;

            out[32 * b + j] =
                weight(d, (scale & 254) - 127, iqt_values_q4[q] + 4 * (scale & 1));
        }
    }
}

IQT_REF(iq4_ks)
{
    for (int i = 0; i < 256; i++) {
        const int scale = p[i / 32];

        out[i] = weight(d, (scale & 254) - 127,
                        iqt_values_q4[nibble16(p + 8, i)] + 4 * (scale & 1));
    }
}

IQT_REF(iq5_ks)
{
    for (int i = 0; i < 256; i++) {
        const int scale = p[i / 32];
        const int q = nibble32(p + 8, i) | code1(p + 136, i) << 4;

        out[i] = weight(d, (scale & 254) - 127, iqt_values_q5[q] + 2 * (scale & 1));
    }
}
