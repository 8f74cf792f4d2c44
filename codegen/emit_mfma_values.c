/* Decoders of mma kernels for AMD: a lane's quarter of a block to the words of A that the matrix unit takes, by
 * family. They are the vector kernels' (emit_tile_values.c), of two value words instead of eight;
 * the words that are loaded: kernels/tile_mma.c. */
#include "codegen/emit_mma.h"

/* q: loaded words of a row and span, b: block, s: words of the shift bits, f: fields (iq1_kt), t: table; to v: the
 * words of the lane's first four weights, then those of the other four. */
#define VALUES                                                                                          \
    "FN void values(const uint *q, uint b, uint part, const uint *s, uint f, const uint *t, uint *v)\n" \
    "{\n    (void)b; (void)part; (void)s; (void)f; (void)t;\n"
#define WORDS "    UNROLL\n    for (uint w = 0u; w < 2u; w++) {\n"
#define END "    }\n}\n"

/* Two bits of four codes are at 2 i of each byte for value word i of 16 weights. */
#define TWO_BITS "        uint low = q[b] >> part % 2u * 4u >> 2u * w & 0x03030303u;\n"
static const char q2[] =
    VALUES WORDS TWO_BITS "        v[w] = PERM(t[0], t[1], low | s[0]);\n" END;
static const char q3[] = VALUES WORDS TWO_BITS
    "        uint top = FUNNEL(q[2u + b], q[2u + b], 5u - 2u * part - w & 31u);\n"
    "        v[w] = PERM(t[0], t[1], low | (top & 0x04040404u));\n" END;

#define NIBBLES "        uint c = word >> 4u * w & 0x0f0f0f0fu;\n"
#define Q4                                       \
    "        v[2u * w] = PERM(t[0], t[1], c);\n" \
    "        v[2u * w + 1u] = PERM(t[2], t[3], c ^ 0x08080808u);\n" END
#define Q4_MERGED "        v[w] = " IQT_TILE_HIP_BOTH("t") ";\n" END
static const char q4[] = VALUES "    uint word = q[b];\n" WORDS NIBBLES Q4;
static const char q4_merged[] = VALUES "    uint word = q[b];\n" WORDS NIBBLES Q4_MERGED;
#define GRAY                                                                         \
    "    uint word = q[b] & 0xfffefffeu; // bit 0 of each 16 belongs to the scale\n" \
    "    word ^= word >> 1;\n"
static const char gray[] = VALUES GRAY WORDS NIBBLES Q4;
static const char gray_merged[] = VALUES GRAY WORDS NIBBLES Q4_MERGED;

#define Q5                                         \
    VALUES "    uint word = q[b];\n" WORDS NIBBLES \
           "        uint g = q[2u + b] << 2u * part + w;\n"
static const char q5[] = Q5 IQT_TILE_HIP_SELECT IQT_TILE_HIP_HALVES("t", "2u * w") END;
static const char q5_merged[] =
    Q5 IQT_TILE_HIP_FIFTH "        const uint *high = t + 4;\n"
                          "        v[w] = " IQT_TILE_HIP_BLEND("t", "high") END;
#define PAIRS                                                                \
    VALUES "    {\n        uint c = q[b] >> part % 2u * 4u & 0x0f0f0f0fu;\n" \
           "        uint g = q[2] << 4u * b + part;\n"                       \
           "        const uint *u = t + 8;\n"
static const char pairs[] = PAIRS IQT_TILE_HIP_SELECT IQT_TILE_HIP_HALVES("t", "0u")
    IQT_TILE_HIP_HALVES("u", "2u") END;
static const char pairs_merged[] = PAIRS IQT_TILE_HIP_FIFTH
    "        const uint *t_high = t + 4, *u_high = u + 4;\n"
    "        v[0] = " IQT_TILE_HIP_BLEND(
        "t", "t_high") "        v[1] = " IQT_TILE_HIP_BLEND("u", "u_high") END;

/* Two codes at a time as halves; see emit_tile_values.c. The second lane of a pair has the upper of the third
 * word's whole pairs. */
static const char q6[] = IQT_TILE_CUBIC VALUES
    "    uint u = q[b], d = q[2u + b];\n"
    "    uint x[4] = { u & 0x03f003f0u, u >> 6 & 0x03f003f0u,\n"
    "                  (u << 4 & 0x00f000f0u) | (d << 8u - part % 2u * 2u & 0x03000300u),\n"
    "                  d >> part % 2u * 6u & 0x03f003f0u };\n"
    "    UNROLL\n"
    "    for (uint i = 0u; i < 4u; i++)\n"
    "        x[i] = cubic(x[i] | 0x64006400u, s[i / 2u]);\n"
    "    v[0] = PERM(x[0], x[1], 0x06040200u);\n"
    "    v[1] = PERM(x[2], x[3], 0x06040200u);\n"
    "}\n";

/* ---- Trellis ---- */

/* seed(): of the lane's group i, less what all seeds lack. */
#define SEED                                                                                 \
    "FN uint seed(const uint *q, uint b, uint part, const uint *s, const uint *t, uint i)\n" \
    "{\n    (void)part; (void)s; (void)t; (void)i;\n"
static const char seed_half[] = SEED "    return q[b] >> part % 2u * 16u & 0xffffu;\n}\n";
/* The rests of the row's seeds are s[0]. */
static const char seed_kt1[] =
    SEED "    if (b == 0u)\n"
         "        return q[0] >> part % 2u * 19u & 0x1fffu;\n"
         "    uint by = part == 0u ? 0u : part == 1u ? 19u : 13u;\n"
         "    uint whole = part < 2u ? 0x1fffu : 63u, more = part == 2u ? 0xfc0u : 0u;\n"
         "    uint rest = s[0] << (part == 2u ? 12u : 5u);\n"
         "    rest &= part < 2u ? 0u : part == 2u ? 0x1000u : 0x1fc0u;\n"
         "    return (q[1] >> by & whole) | rest | (q[2] >> 7 & more);\n"
         "}\n";
/* The shift bit is the seed's bit 15. */
static const char seed_kt4[] =
    SEED "    return (i == 0u ? q[b] & 0x7fffu : q[b] >> 17) | s[0];\n}\n";

static void emit_states(struct iqt_emit *e, const struct iqt_trellis *t)
{
    uint32_t power = 1;

    iqt_emit_open(e, "FN void states(const uint *q, uint b, uint part, const uint *s, "
                     "const uint *t, uint *m)");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < %uu; i++)", 8u / t->group);
    iqt_emit_line(e, "uint x = seed(q, b, part, s, t, i) + %uu;", t->seed_add);
    for (uint32_t n = 0; n < t->group; n++) {
        power *= t->multiplier;
        iqt_emit_tile_state(e, t, n, power);
    }
    iqt_emit_close(e);
    iqt_emit_close(e);
}

#define STATES VALUES "    uint m[8];\n    states(q, b, part, s, t, m);\n" WORDS
static const char states[] = STATES "        v[w] = sums(m + 4u * w);\n" END;
/* Turned around where the signs of the sum and of the sign bit differ. */
#define TURNED                             \
    STATES                                 \
    "        uint x = sums(m + 4u * w);\n" \
    "        uint turn = SIGNS(x ^ (q[2u + b] << 2u * part + w & 0x80808080u));\n"
static const char magnitudes[] =
    TURNED "        v[2u * w] = x ^ turn;\n"
           "        v[2u * w + 1u] = turn & 0x01010101u;\n" END;
/* Bytes are added without carries between them. */
static const char magnitudes_merged[] = TURNED
    "        x ^= turn;\n"
    "        v[w] = (x & 0x7f7f7f7fu) + (turn & 0x01010101u) ^ x & 0x80808080u;\n" END;

static const struct {
    const char *text, *merged, *seed; /* merged, of waves of 32: NULL, as for 64 */
    struct iqt_mma_values values;
} decoders[] = {
    [IQT_TILE_Q2] = { q2, NULL, NULL, { .parts = 1, .shift_byte = 0x04 } },
    [IQT_TILE_Q3] = { q3, NULL, NULL, { .parts = 1, .adds_shift = true } },
    [IQT_TILE_Q4] = { q4, q4_merged, NULL, { .parts = 2, .adds_shift = true } },
    [IQT_TILE_Q4_GRAY] = { gray, gray_merged, NULL, { .parts = 2, .adds_shift = true } },
    [IQT_TILE_Q5] = { q5, q5_merged, NULL, { .parts = 2, .adds_shift = true } },
    [IQT_TILE_Q6] = { q6, NULL, NULL, { .parts = 1, .shift_byte = 1 } },
    [IQT_TILE_PAIRS] = { pairs, pairs_merged, NULL, { .parts = 2 } },
    [IQT_TILE_KT1] = { states, NULL, seed_kt1, { .parts = 1 } },
    [IQT_TILE_KT2] = { states, NULL, seed_half, { .parts = 1 } },
    [IQT_TILE_KT3] = { magnitudes, magnitudes_merged, seed_half, { .parts = 2 } },
    [IQT_TILE_KT4] = { states, NULL, seed_kt4, { .parts = 1, .shift_byte = 0x80 } },
};

bool iqt_mfma_lifts(const struct iqt_tile *tile)
{
    return decoders[tile->family].values.adds_shift &&
           !iqt_field_empty(&tile->format->shift);
}

static void emit_variant(struct iqt_emit *e, const char *text, uint32_t terms,
                         bool lifted)
{
    iqt_emit_line(e, "#define TERMS %uu // words of values for the same weights", terms);
    iqt_emit_line(e, "#define LIFTED %uu // table of shifted blocks", lifted ? 1u : 0u);
    iqt_buf_printf(e->out, "%s", text);
}

void iqt_emit_mfma_values(struct iqt_emit *e, const struct iqt_tile *tile,
                          struct iqt_mma_values *out)
{
    const char *text = decoders[tile->family].text,
               *merged = decoders[tile->family].merged;

    *out = decoders[tile->family].values;
    iqt_mma_use_shift(tile, out);
    if (tile->format->trellis) {
        iqt_buf_printf(e->out, "%s", decoders[tile->family].seed);
        emit_states(e, tile->format->trellis);
        iqt_emit_tile_sums(e, tile);
    }
    if (merged == NULL && !out->adds_shift) {
        emit_variant(e, text, out->parts, false);
        return;
    }
    iqt_emit_line(e, "#if defined(__GFX9__)");
    emit_variant(e, text, out->parts, false);
    iqt_emit_line(e, "#else");
    emit_variant(e, merged ? merged : text, 1, out->adds_shift);
    iqt_emit_line(e, "#endif");
}
