/* Decoders of mma kernels: a lane's quarter of a block to the words of A that the matrix unit takes,
 * by family. Identities: docs/kernels.md; the words that are loaded: kernels/tile_mma.c. */
#include "codegen/emit_mma.h"

/* q: loaded words of a row and span, b: block, s: the shift bits' words, f: fields (iq1_kt), t: table;
 * to v: for blocks of 32 words of the lower and the upper 16 weights in turns, for those of 16 all
 * words of the lower half first. Words of one place are added by the unit. */
#define VALUES                                                                                          \
    "FN void values(const uint *q, uint b, uint part, const uint *s, uint f, const uint *t, uint *v)\n" \
    "{\n    (void)b; (void)part; (void)s; (void)f; (void)t;\n"
#define HALVES "    UNROLL\n    for (uint h = 0u; h < 2u; h++) {\n"

static const char q2_32[] =
    VALUES "    v[0] = PERM(t[0], t[1], (q[b] & 0x3333u) | s[0]);\n"
           "    v[1] = PERM(t[0], t[1], (q[b] >> 2 & 0x3333u) | s[0]);\n"
           "}\n";
static const char q2_16[] = VALUES HALVES
    "        v[h] = PERM(t[0], t[1], (q[2u * b + h] >> part / 2u * 2u & 0x3333u) | s[h]);\n"
    "    }\n}\n";

static const char q3_32[] = VALUES "    uint c = q[b] & 0x77777777u;\n"
                                   "    v[0] = PERM(t[0], t[1], c);\n"
                                   "    v[1] = PERM(t[0], t[1], HIGH(c));\n"
                                   "}\n";
static const char q3_16[] =
    VALUES HALVES "        v[h] = PERM(t[0], t[1], q[2u * b + h] & 0x7777u);\n"
                  "    }\n}\n";

#define Q4_32                                 \
    "    uint z = c ^ 0x88888888u;\n"         \
    "    v[0] = PERM(t[0], t[1], c);\n"       \
    "    v[1] = PERM(t[0], t[1], HIGH(c));\n" \
    "    v[2] = PERM(t[2], t[3], z);\n"       \
    "    v[3] = PERM(t[2], t[3], HIGH(z));\n" \
    "}\n"
static const char q4_32[] = VALUES "    uint c = q[b];\n" Q4_32;
static const char q4_16[] =
    VALUES HALVES "        v[2u * h] = PERM(t[0], t[1], q[2u * b + h]);\n"
                  "        v[2u * h + 1u] = PERM(t[2], t[3], q[2u * b + h] ^ 0x8888u);\n"
                  "    }\n}\n";
static const char gray[] =
    VALUES "    uint c = q[b] & 0xfffefffeu; // bit 0 of each 16 belongs to the scale\n"
           "    c ^= c >> 1;\n" Q4_32;

/* As for one column: of four permutes one names a byte and three name a sign. */
#define EIGHTS                                                            \
    "FN void eights(uint c, uint g, uint *sel)\n{\n"                      \
    "    sel[0] = LOP3(c, g, 0x88888888u, 0xf8); // c | (g & m)\n"        \
    "    sel[1] = LOP3(c, g, 0x88888888u, 0xda); // (c ^ m) | (g & m)\n"  \
    "    sel[2] = LOP3(c, g, 0x88888888u, 0xf2); // c | (~g & m)\n"       \
    "    sel[3] = LOP3(c, g, 0x88888888u, 0x7a); // (c ^ m) | (~g & m)\n" \
    "}\n"
#define FOUR "        UNROLL\n        for (uint i = 0u; i < 4u; i++) {\n"

static const char q5_32[] = EIGHTS VALUES
    "    {\n        uint sel[4];\n"
    "        eights(q[b], MUL(q[2u + b], 1u << part), sel);\n" FOUR
    "            v[2u * i] = PERM(t[2u * i], t[2u * i + 1u], sel[i]);\n"
    "            v[2u * i + 1u] = PERM(t[2u * i], t[2u * i + 1u], HIGH(sel[i]));\n"
    "        }\n    }\n}\n";
static const char q5_16[] = EIGHTS VALUES HALVES
    "        uint sel[4];\n"
    "        eights(q[2u * b + h], MUL(q[4u + b], 1u << 2u * h + part / 2u), sel);\n" FOUR
    "            v[4u * h + i] = PERM(t[2u * i], t[2u * i + 1u], sel[i]);\n"
    "        }\n    }\n}\n";
static const char pairs[] = EIGHTS VALUES
    "    {\n        uint sel[4];\n"
    "        eights(q[b], MUL(q[2], 1u << 2u * b + part / 2u), sel);\n" FOUR
    "            v[2u * i] = PERM(t[2u * i], t[2u * i + 1u], sel[i]);\n"
    "            v[2u * i + 1u] = PERM(t[8u + 2u * i], t[9u + 2u * i], sel[i]);\n"
    "        }\n    }\n}\n";

/* Two codes at a time as halves, t[0] is their exponents; see emit_tile_values.c. The second lane of a pair has the upper of the
 * third word's whole pairs. */
static const char q6_16[] = IQT_TILE_CUBIC VALUES
    "    uint u = q[b], d = q[2u + b];\n"
    "    uint top = LOP3(t[0], MUL(d, part % 2u ? 64u : 256u), 0x03000300u, 0xf8); // a | (b & c)\n"
    "    uint x[4] = { LOP3(t[0], u, 0x03f003f0u, 0xf8), LOP3(t[0], u >> 6, 0x03f003f0u, 0xf8),\n"
    "                  LOP3(top, u << 4, 0x00f000f0u, 0xf8),\n"
    "                  LOP3(t[0], d >> part % 2u * 6u, 0x03f003f0u, 0xf8) };\n"
    "    UNROLL\n"
    "    for (uint i = 0u; i < 4u; i++)\n"
    "        x[i] = cubic(x[i], s[i / 2u]);\n"
    "    v[0] = PERM(x[0], x[1], 0x6420u);\n"
    "    v[1] = PERM(x[2], x[3], 0x6420u);\n"
    "}\n";

/* ---- Trellis ---- */

/* seed(): of the lane's group, less what all seeds lack. */
#define SEED \
    "FN uint seed(const uint *q, uint b, uint part, uint f, const uint *t)\n{\n    (void)part; (void)f; (void)t;\n"
static const char seed_half[] = SEED "    return q[b];\n}\n";
/* The lane's shifts and masks are in the table. */
static const char seed_kt1[] =
    SEED "    if (b == 0u)\n"
         "        return q[0] >> part % 2u * 19u & 0x1fffu;\n"
         "    return (q[1] >> t[4] & t[5]) | (f & t[6]) | (q[2] >> 7 & t[7]);\n"
         "}\n";

static void emit_states(struct iqt_emit *e, const struct iqt_trellis *t)
{
    const uint32_t group = t->group;
    uint32_t power = 1;

    iqt_emit_open(e, "FN void states(const uint *q, uint b, uint part, const uint *s, "
                     "uint f, const uint *t, uint *m)");
    iqt_emit_line(e, "(void)s; (void)part; (void)f; (void)t;");
    if (group == 4)
        iqt_emit_line(e, "uint x0 = (q[b] & 0x7fffu) | s[0], x1 = q[b] >> 17 | s[0];");
    else
        iqt_emit_line(e, "uint x0 = seed(q, b, part, f, t);");
    for (uint32_t n = 0; n < 8; n++) {
        power = n % group ? power * t->multiplier : t->multiplier;
        iqt_emit_line(e, "m[%u] = x%u * 0x%08xu + 0x%08xu & 0x%08xu;", n, n / group,
                      power, t->seed_add * power, t->mask);
    }
    iqt_emit_close(e);
}

static const char values_states[] = VALUES "    states(q, b, part, s, f, t, v);\n}\n";
/* Sums as bytes; turned around where their sign and the sign bit differ. */
static const char values_magnitudes[] = VALUES
    "    uint m[8];\n"
    "    states(q, b, part, s, f, t, m);\n" HALVES "        uint n[4];\n"
    "        UNROLL\n"
    "        for (uint i = 0u; i < 4u; i++)\n"
    "            n[i] = (uint)dot4(m[4u * h + i], 0x01010101u, -126);\n"
    "        uint x = PERM(PERM(n[0], n[1], 0x0040u), PERM(n[2], n[3], 0x0040u), 0x5410u);\n"
    "        uint turn = SIGNS(x ^ (MUL(q[2u + b], 1u << 2u * part) << h & 0x80808080u));\n"
    "        v[h] = x ^ turn;\n"
    "        v[2u + h] = turn & 0x01010101u;\n"
    "    }\n}\n";

/* ---- The family's text ---- */

static const struct {
    const char *text[2]; /* blocks of 32 and of 16 */
    struct iqt_mma_values values;
} decoders[] = {
    [IQT_TILE_Q2] = { { q2_32, q2_16 }, { .parts = 1, .shift_byte = 0x44 } },
    [IQT_TILE_Q3] = { { q3_32, q3_16 }, { .parts = 1, .adds_shift = true } },
    [IQT_TILE_Q4] = { { q4_32, q4_16 }, { .parts = 2, .adds_shift = true } },
    [IQT_TILE_Q4_GRAY] = { { gray, NULL }, { .parts = 2, .adds_shift = true } },
    [IQT_TILE_Q5] = { { q5_32, q5_16 }, { .parts = 4, .adds_shift = true } },
    [IQT_TILE_Q6] = { { NULL, q6_16 }, { .parts = 1, .shift_byte = 1 } },
    [IQT_TILE_PAIRS] = { { pairs, NULL }, { .parts = 4, .offset = 3 } },
    [IQT_TILE_KT1] = { { values_states, NULL },
                       { .states = true, .parts = 4, .offset = -126 } },
    [IQT_TILE_KT2] = { { values_states, NULL },
                       { .states = true, .parts = 4, .offset = -126 } },
    [IQT_TILE_KT3] = { { values_magnitudes, NULL }, { .parts = 2 } },
    [IQT_TILE_KT4] = { { values_states, NULL },
                       { .states = true,
                         .parts = 4,
                         .offset = -126,
                         .shift_byte = 0x80 } },
};

void iqt_emit_mma_values(struct iqt_emit *e, const struct iqt_tile *tile,
                         struct iqt_mma_values *out)
{
    const struct iqt_trellis *trellis = tile->format->trellis;

    if (trellis && trellis->group == 8)
        iqt_buf_printf(e->out, "%s", tile->family == IQT_TILE_KT1 ? seed_kt1 : seed_half);
    if (trellis)
        emit_states(e, trellis);
    iqt_buf_printf(e->out, "%s", decoders[tile->family].text[tile->format->block == 16]);
    *out = decoders[tile->family].values;
    iqt_mma_use_shift(tile, out);
}

void iqt_mma_use_shift(const struct iqt_tile *tile, struct iqt_mma_values *out)
{
    out->adds_shift &= !iqt_field_empty(&tile->format->shift);
    if (out->adds_shift)
        out->shift_byte = (uint8_t)tile->format->codebook->shift;
}
