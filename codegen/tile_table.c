/* The constants of the tile decoders: codebooks cut into the eights that a byte permute takes, each
 * entry less what the permutes of the other eights contribute. docs/kernels.md has the proofs;
 * tests run every code through them. */
#include "codegen/emit_tile.h"

#include <assert.h>

static uint32_t word_of(const int8_t value[4])
{
    uint32_t word = 0;

    for (uint32_t i = 0; i < 4; i++)
        word |= (uint32_t)(uint8_t)value[i] << 8 * i;
    return word;
}

static uint32_t put(uint32_t *out, const int8_t *value, uint32_t count)
{
    for (uint32_t i = 0; i < count / 4; i++)
        out[i] = word_of(value + 4 * i);
    return count / 4;
}

/* Base and shifted table: bit 2 of a selector is the block's shift bit, or it has chosen one. CUDA
 * takes four scales out of a word with the third. */
static uint32_t table_q2(const struct iqt_codebook *c, bool cuda, uint32_t *out)
{
    int8_t value[8];

    for (uint32_t i = 0; i < 8; i++)
        value[i] = (int8_t)(c->value[i % 4] + (i < 4 ? 0 : c->shift));
    out[2] = 0xf0f0f0f0u;
    return put(out, value, 8) + (cuda ? 1 : 0);
}

/* CUDA: a selector with its top bit set yields the sign of the byte it names. Entries 0 .. 7 are all
 * negative, 8 .. 15 all positive: the foreign permute gives -1 or 0.
 * AMD: selectors 8 .. 11 yield the signs of bytes 1, 3, 5, 7; 12 is 0; 13 and more are -1. */
static uint32_t table_q4(const int8_t *v, bool cuda, uint32_t *out)
{
    int8_t value[16];

    for (uint32_t i = 0; i < 8; i++) {
        value[i] = (int8_t)(v[i] + (!cuda && i > 4 ? 1 : 0));
        value[8 + i] = (int8_t)(v[8 + i] + (cuda || i != 4 ? 1 : 0));
    }
    return put(out, value, 16);
}

/* Thirty-two entries in four eights, each with the sum of the signs of the other three taken off;
 * offset moves values so that an eight has one sign. */
static uint32_t table_eights(const int8_t v[32], int offset, uint32_t *out)
{
    int negative = 0;
    bool minus[4];
    int8_t value[32];

    for (uint32_t t = 0; t < 4; t++) {
        minus[t] = v[8 * t] < 2; /* the smallest entry of a positive eight may be small */
        for (uint32_t i = 0; i < 8; i++)
            minus[t] &= v[8 * t + i] < 2;
        negative += minus[t];
    }
    for (uint32_t i = 0; i < 32; i++) {
        const int entry = v[i] + negative - (minus[i / 8] ? 1 : 0) - offset;

        assert((entry < 0) == minus[i / 8] && entry >= -128 && entry < 128);
        value[i] = (int8_t)entry;
    }
    return put(out, value, 32);
}

/* AMD: every foreign selector is above 12 and yields -1. */
static uint32_t table_halves(const int8_t v[32], uint32_t *out)
{
    int8_t value[32];

    for (uint32_t i = 0; i < 32; i++)
        value[i] = (int8_t)(v[i] + 1);
    return put(out, value, 32);
}

static void pair_values(const struct iqt_codebook *c, uint32_t odd, int8_t out[32])
{
    for (uint32_t n = 0; n < 32; n++)
        out[n] = c->value[2 * iqt_tile_pair_code(n) + odd];
}

static uint32_t table_32(const int8_t v[32], bool cuda, bool merged, int offset,
                         uint32_t *out)
{
    if (!cuda)
        return table_halves(v, out);
    return merged ? put(out, v, 32) : table_eights(v, offset, out);
}

uint32_t iqt_tile_table(const struct iqt_tile *tile, enum iqt_dialect d, bool merged,
                        uint32_t out[IQT_TILE_TABLE_WORDS])
{
    const struct iqt_codebook *c = tile->format->codebook;
    const bool cuda = d == IQT_DIALECT_CUDA;
    int8_t pair[32];
    uint32_t n;

    switch (tile->family) {
    case IQT_TILE_Q2:
        return table_q2(c, cuda, out);
    case IQT_TILE_Q3:
        return put(out, c->value, 8);
    case IQT_TILE_Q4:
    case IQT_TILE_Q4_GRAY:
        return merged && cuda ? put(out, c->value, 16) : table_q4(c->value, cuda, out);
    case IQT_TILE_Q5:
        return table_32(c->value, cuda, merged, 0, out);
    case IQT_TILE_PAIRS:
        pair_values(c, 0, pair);
        n = table_32(pair, cuda, merged, 3, out);
        pair_values(c, 1, pair);
        return n + table_32(pair, cuda, merged, 3, out + n);
    case IQT_TILE_KT1: /* scales are looked up as codes of 4 bits are */
    case IQT_TILE_KT2:
        return table_q4(tile->format->scale.table, cuda, out);
    default:
        return 0;
    }
}

/* ---- AMD: values in one word ---- */

/* What a permute yields for selector 8 + i. */
static uint8_t foreign(const int8_t eight[8], uint32_t i)
{
    const bool ones = i < 4 ? eight[2 * i + 1] < 0 : i > 4;

    return ones ? 0xff : 0;
}

/* Sixteen entries for two permutes, of code c and of c ^ 8, whose exclusive or is the value, whatever the values: each
 * entry is turned around where the foreign permute yields ones. Those are signs of entries that come before. */
static uint32_t table_both(const int8_t v[16], uint32_t *out)
{
    static const uint8_t order[8] = { 4, 5, 6, 7, 2, 3, 1, 0 };
    int8_t value[16];

    for (uint32_t n = 0; n < 8; n++) {
        const uint32_t i = order[n];

        value[i] = (int8_t)((uint8_t)v[i] ^ foreign(value + 8, i));
        value[8 + i] = (int8_t)((uint8_t)v[8 + i] ^ foreign(value, i));
    }
    return put(out, value, 16);
}

static void add_shift(const struct iqt_codebook *c, int shift, uint32_t count,
                      int8_t *out)
{
    for (uint32_t i = 0; i < count; i++) {
        assert(c->value[i] + shift >= -128 && c->value[i] + shift < 128);
        out[i] = (int8_t)(c->value[i] + shift);
    }
}

static uint32_t table_32_both(const int8_t v[32], uint32_t *out)
{
    const uint32_t n = table_both(v, out);

    return n + table_both(v + 16, out + n);
}

uint32_t iqt_tile_table_both(const struct iqt_tile *tile, int shift,
                             uint32_t out[IQT_TILE_TABLE_WORDS])
{
    const struct iqt_codebook *c = tile->format->codebook;
    int8_t value[32];
    uint32_t n;

    switch (tile->family) {
    case IQT_TILE_Q3:
        add_shift(c, shift, 8, value);
        return put(out, value, 8);
    case IQT_TILE_Q4:
    case IQT_TILE_Q4_GRAY:
        add_shift(c, shift, 16, value);
        return table_both(value, out);
    case IQT_TILE_Q5:
        add_shift(c, shift, 32, value);
        return table_32_both(value, out);
    case IQT_TILE_PAIRS:
        pair_values(c, 0, value);
        n = table_32_both(value, out);
        pair_values(c, 1, value);
        return n + table_32_both(value, out + n);
    default:
        return iqt_tile_table(tile, IQT_DIALECT_HIP, false, out);
    }
}
