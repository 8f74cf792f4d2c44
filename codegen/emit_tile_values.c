/* Decoders of tiles: 32 weights of a row to words of int8, by family and dialect. */
#include "codegen/emit_tile.h"

#include <stdio.h>

/* ---- CUDA: selectors are nibbles ---- */

#define VALUES \
    "FN void values(const uint *q, uint b, uint f, const uint *s, const uint *t, uint *v)\n{\n"
#define UNUSED "    (void)f; (void)s; (void)t;\n"
#define LOOP(var, end) \
    "    UNROLL\n    for (uint " var " = 0u; " var " < " end "u; " var "++) {\n"

/* Bits 0-1 and 2-3 of a nibble are two codes; the shift bit becomes bit 2 of each selector, or has
 * chosen half of the table. */
#define CUDA_Q2(shift, low, high)                                                      \
    VALUES UNUSED LOOP("j", "2") "        uint c = q[2u * b + j];\n"                   \
                                 "        uint lo = (c & 0x33333333u)" shift ", hi = " \
                                 "(c >> 2 & 0x33333333u)" shift ";\n"                  \
                                 "        v[4u * j] = PERM(" low ", " high ", lo);\n"  \
                                 "        v[4u * j + 1u] = PERM(" low ", " high        \
                                 ", HIGH(lo));\n"                                      \
                                 "        v[4u * j + 2u] = PERM(" low ", " high        \
                                 ", hi);\n"                                            \
                                 "        v[4u * j + 3u] = PERM(" low ", " high        \
                                 ", HIGH(hi));\n"                                      \
                                 "    }\n}\n"
static const char cuda_q2[] = CUDA_Q2(" | s[j]", "t[0]", "t[1]");
static const char cuda_q2_halves[] = CUDA_Q2("", "s[j]", "s[j]");

/* Three words have 8 codes each in the low bits of their nibbles and together 8 in the top bits. */
static const char cuda_q3[] = VALUES UNUSED
    "    uint c0 = q[3u * b], c1 = q[3u * b + 1u], c2 = q[3u * b + 2u];\n"
    "    uint top = (c0 >> 3 & 0x11111111u) | (c1 >> 2 & 0x22222222u);\n"
    "    uint sel[4] = { c0 & 0x77777777u, c1 & 0x77777777u, c2 & 0x77777777u,\n"
    "                    top | (c2 >> 1 & 0x44444444u) };\n" LOOP(
        "j", "4") "        v[2u * j] = PERM(t[0], t[1], sel[j]);\n"
                  "        v[2u * j + 1u] = PERM(t[0], t[1], HIGH(sel[j]));\n"
                  "    }\n}\n";

#define CUDA_GRAY                                                          \
    "        c &= 0xfffefffeu; // bit 0 of each 16 belongs to the scale\n" \
    "        c ^= c >> 1;\n"
#define CUDA_Q4_SPLIT                                       \
    "        uint z = c ^ 0x88888888u;\n"                   \
    "        v[4u * j] = PERM(t[0], t[1], c);\n"            \
    "        v[4u * j + 1u] = PERM(t[2], t[3], z);\n"       \
    "        v[4u * j + 2u] = PERM(t[0], t[1], HIGH(c));\n" \
    "        v[4u * j + 3u] = PERM(t[2], t[3], HIGH(z));\n" \
    "    }\n}\n"
/* The sign of the bytes that have bit 3 of a code on top chooses. */
#define CUDA_Q4_MERGED                                                                            \
    "        uint z = c ^ 0x88888888u, y = c << 4;\n"                                             \
    "        uint m0 = PERM(y, c, 0xd9c8u), m1 = PERM(y, c, 0xfbeau);\n"                          \
    "        v[2u * j] = BLEND(m0, PERM(t[0], t[1], c), PERM(t[2], t[3], z));\n"                  \
    "        v[2u * j + 1u] = BLEND(m1, PERM(t[0], t[1], HIGH(c)), PERM(t[2], t[3], HIGH(z)));\n" \
    "    }\n}\n"
#define CUDA_Q4_BEGIN VALUES UNUSED LOOP("j", "4") "        uint c = q[4u * b + j];\n"

static const char cuda_q4[] = CUDA_Q4_BEGIN CUDA_Q4_SPLIT;
static const char cuda_q4_merged[] = CUDA_Q4_BEGIN CUDA_Q4_MERGED;
static const char cuda_gray[] = CUDA_Q4_BEGIN CUDA_GRAY CUDA_Q4_SPLIT;
static const char cuda_gray_merged[] = CUDA_Q4_BEGIN CUDA_GRAY CUDA_Q4_MERGED;

/* eights(): four permutes, of which one selector names a byte and three name a sign. */
#define CUDA_EIGHTS                                                       \
    "FN void eights(uint c, uint g, uint *sel)\n{\n"                      \
    "    sel[0] = LOP3(c, g, 0x88888888u, 0xf8); // c | (g & m)\n"        \
    "    sel[1] = LOP3(c, g, 0x88888888u, 0xda); // (c ^ m) | (g & m)\n"  \
    "    sel[2] = LOP3(c, g, 0x88888888u, 0xf2); // c | (~g & m)\n"       \
    "    sel[3] = LOP3(c, g, 0x88888888u, 0x7a); // (c ^ m) | (~g & m)\n" \
    "}\n"
/* look(): the same by choosing among four permutes; c without and z with bit 3 turned around. */
#define CUDA_LOOK                                                                     \
    "FN uint look(const uint *t, uint c, uint z, uint m, uint h)\n{\n"                \
    "    uint low = BLEND(m, PERM(t[0], t[1], c), PERM(t[2], t[3], z));\n"            \
    "    return BLEND(h, low, BLEND(m, PERM(t[4], t[5], c), PERM(t[6], t[7], z)));\n" \
    "}\n"
#define CUDA_MASKS                                                       \
    "        uint z = c ^ 0x88888888u, y = c << 4, k = g << 4;\n"        \
    "        uint m0 = PERM(y, c, 0xd9c8u), m1 = PERM(y, c, 0xfbeau);\n" \
    "        uint h0 = PERM(k, g, 0xd9c8u), h1 = PERM(k, g, 0xfbeau);\n"

static const char cuda_q5[] = CUDA_EIGHTS VALUES UNUSED LOOP(
    "j",
    "4") "        uint sel[4];\n"
         "        eights(q[4u * b + j], q[8u + b] << j, sel);\n"
         "        UNROLL\n"
         "        for (uint p = 0u; p < 4u; p++) {\n"
         "            v[8u * j + p] = PERM(t[2u * p], t[2u * p + 1u], sel[p]);\n"
         "            v[8u * j + 4u + p] = PERM(t[2u * p], t[2u * p + 1u], HIGH(sel[p]));\n"
         "        }\n"
         "    }\n}\n";
static const char cuda_q5_merged[] = CUDA_LOOK VALUES UNUSED LOOP(
    "j", "4") "        uint c = q[4u * b + j], g = q[8u + b] << j;\n" CUDA_MASKS
              "        v[2u * j] = look(t, c, z, m0, h0);\n"
              "        v[2u * j + 1u] = look(t, HIGH(c), HIGH(z), m1, h1);\n"
              "    }\n}\n";

/* A code stands for two weights: words of even and of odd ones, as x is laid out for it. */
static const char cuda_pairs[] = CUDA_EIGHTS VALUES UNUSED LOOP(
    "j",
    "2") "        uint sel[4];\n"
         "        eights(q[2u * b + j], q[4] << (2u * b + j), sel);\n"
         "        UNROLL\n"
         "        for (uint p = 0u; p < 4u; p++) {\n"
         "            uint high = HIGH(sel[p]);\n"
         "            v[16u * j + p] = PERM(t[2u * p], t[2u * p + 1u], sel[p]);\n"
         "            v[16u * j + 4u + p] = PERM(t[8u + 2u * p], t[9u + 2u * p], sel[p]);\n"
         "            v[16u * j + 8u + p] = PERM(t[2u * p], t[2u * p + 1u], high);\n"
         "            v[16u * j + 12u + p] = PERM(t[8u + 2u * p], t[9u + 2u * p], high);\n"
         "        }\n"
         "    }\n}\n";
static const char cuda_pairs_merged[] = CUDA_LOOK VALUES UNUSED LOOP(
    "j", "2") "        uint c = q[2u * b + j], g = q[4] << (2u * b + j);\n" CUDA_MASKS
              "        v[4u * j] = look(t, c, z, m0, h0);\n"
              "        v[4u * j + 1u] = look(t + 8, c, z, m0, h0);\n"
              "        v[4u * j + 2u] = look(t, HIGH(c), HIGH(z), m1, h1);\n"
              "        v[4u * j + 3u] = look(t + 8, HIGH(c), HIGH(z), m1, h1);\n"
              "    }\n}\n";

/* ---- Common to CUDA and HIP ---- */

/* The table is the image of a cubic, rounded. Two codes at a time as halves: 1024 + 16 c by setting
 * an exponent, z = c - 31.0625 exactly, then three fused multiply-adds; the last one adds 1531 or,
 * in a shifted block, 1532, where halves are integers, so it rounds to the table's entry + 1536:
 * the low byte. The constants were found by trying neighbours of the cubic's (kernels.md). */
#define Q6_TEXT(low_bytes)                                                                               \
    IQT_TILE_CUBIC                                                                                       \
    VALUES "    (void)f; (void)t;\n" LOOP(                                                               \
        "j",                                                                                             \
        "2") "        uint a = q[6u * b + 2u * j], c = q[6u * b + 2u * j + 1u];\n"                       \
             "        uint d = q[6u * b + 4u + j];\n"                                                    \
             "        uint x[8] = { a & 0x03f003f0u, a >> 6 & 0x03f003f0u,\n"                            \
             "                      c & 0x03f003f0u, c >> 6 & 0x03f003f0u,\n"                            \
             "                      (a << 4 & 0x00f000f0u) | (d << 8 & 0x03000300u), d & 0x03f003f0u,\n" \
             "                      (c << 4 & 0x00f000f0u) | (d << 6 & 0x03000300u),\n"                  \
             "                      d >> 6 & 0x03f003f0u };\n"                                           \
             "        UNROLL\n"                                                                          \
             "        for (uint i = 0u; i < 8u; i++)\n"                                                  \
             "            x[i] = cubic(x[i] | 0x64006400u, s[i / 4u]);\n"                                \
             "        UNROLL\n"                                                                          \
             "        for (uint i = 0u; i < 4u; i++)\n"                                                  \
             "            v[i / 2u * 4u + 2u * j + i % 2u] = PERM(x[2u * i], x[2u * i + 1u], " low_bytes \
             ");\n"                                                                                      \
             "    }\n}\n"

static const char cuda_q6[] = Q6_TEXT("0x6420u");
static const char hip_q6[] = Q6_TEXT("0x06040200u");

/* ---- HIP: selectors are bytes ---- */

static const char hip_q2[] = VALUES UNUSED LOOP(
    "i",
    "8") "        v[i] = PERM(t[0], t[1], (q[2u * b + i / 4u] >> 2u * (i % 4u) & 0x03030303u) | s[i / 4u]);\n"
         "    }\n}\n";

static const char hip_q3[] = VALUES UNUSED LOOP(
    "i",
    "8") "        uint low = q[2u * b + i / 4u] >> 2u * (i % 4u) & 0x03030303u;\n"
         "        uint top = i > 5u ? q[4u + b] << (i - 5u) : q[4u + b] >> (5u - i);\n"
         "        v[i] = PERM(t[0], t[1], low | (top & 0x04040404u));\n"
         "    }\n}\n";

/* c: word i of the block as in the file's gray code. */
#define HIP_GRAY                                           \
    "        uint w = q[4u * b + i / 2u] & 0xfffefffeu;\n" \
    "        w ^= w >> 1;\n"                               \
    "        uint c = w >> 4u * (i % 2u) & 0x0f0f0f0fu;\n"
#define HIP_CODE "        uint c = q[4u * b + i / 2u] >> 4u * (i % 2u) & 0x0f0f0f0fu;\n"
#define HIP_Q4 "        v[i] = " IQT_TILE_HIP_BOTH("t") ";\n    }\n}\n"
static const char hip_q4[] = VALUES UNUSED LOOP("i", "8") HIP_CODE HIP_Q4;
static const char hip_gray[] = VALUES UNUSED LOOP("i", "8") HIP_GRAY HIP_Q4;

static const char hip_q5[] =
    VALUES UNUSED "    const uint *high = t + 4;\n" LOOP("i", "8") HIP_CODE
    "        uint g = q[8u + b] << i;\n" IQT_TILE_HIP_FIFTH
    "        v[i] = " IQT_TILE_HIP_BLEND("t", "high") "    }\n}\n";
static const char hip_pairs[] =
    VALUES UNUSED "    const uint *u = t + 8, *t_high = t + 4, *u_high = t + 12;\n" LOOP(
        "i",
        "4") "        uint c = q[2u * b + i / 2u] >> 4u * (i % 2u) & 0x0f0f0f0fu;\n"
             "        uint g = q[4] << (4u * b + i);\n" IQT_TILE_HIP_FIFTH
             "        v[2u * i] = " IQT_TILE_HIP_BLEND(
                 "t",
                 "t_high") "        v[2u * i + 1u] = " IQT_TILE_HIP_BLEND("u",
                                                                          "u_high") "    }\n}\n";

/* ---- Trellis ---- */

static const char *const seed_text[] = {
    [IQT_TILE_KT1] =
        "    uint e = 4u * b + i;\n"
        "    if (e == 6u)\n"
        "        return (q[0] >> 13 & 63u) | (q[1] >> 7 & 0xfc0u) | (f << 12 & 0x1000u);\n"
        "    if (e == 7u)\n"
        "        return (q[2] >> 13 & 63u) | (f << 5 & 0x1fc0u);\n"
        "    return e % 2u ? q[e / 2u] >> 19 : q[e / 2u] & 0x1fffu;\n",
    [IQT_TILE_KT2] = "    return q[2u * b + i / 2u] >> 16u * (i % 2u) & 0xffffu;\n",
    [IQT_TILE_KT3] = "    return q[2u * b + i / 2u] >> 16u * (i % 2u) & 0xffffu;\n",
    [IQT_TILE_KT4] =
        "    return i % 2u ? q[4u * b + i / 2u] >> 17 : q[4u * b + i / 2u] & 0x7fffu;\n",
};

/* What the seed lacks, times each power of the multiplier, so that a state is one multiply-add. */
static void emit_state_terms(struct iqt_emit *e, const struct iqt_trellis *t)
{
    uint32_t power = 1;

    iqt_emit_line(e, "uint add[%u];", t->group);
    for (uint32_t n = 0; n < t->group; n++) {
        power *= t->multiplier;
        if (t->shift_add)
            iqt_emit_line(e, "add[%u] = shift * 0x%08xu + 0x%08xu;", n,
                          t->shift_add * power, t->seed_add * power);
        else
            iqt_emit_line(e, "add[%u] = 0x%08xu;", n, t->seed_add * power);
    }
}

/* AMD multiplies 32 bits at a quarter of the rate of 24 bits. x has 17, so it is multiplied by the power's low 24 bits,
 * and its low byte by the power's high one, both where their product is the state's top byte. */
void iqt_emit_tile_state(struct iqt_emit *e, const struct iqt_trellis *t, uint32_t n,
                         uint32_t power)
{
    if (e->plan->dialect == IQT_DIALECT_CUDA)
        iqt_emit_line(e, "m[%uu * i + %uu] = x * 0x%08xu + add[%u] & 0x%08xu;", t->group,
                      n, power, n, t->mask);
    else
        iqt_emit_line(
            e, "m[%uu * i + %uu] = MAD24(x << 16, 0x%04xu, MUL24(x, 0x%06xu)) & 0x%08xu;",
            t->group, n, power >> 24 << 8, power & 0xffffffu, t->mask);
}

void iqt_emit_tile_seed(struct iqt_emit *e, const struct iqt_tile *tile)
{
    iqt_buf_printf(
        e->out,
        "FN uint seed(const uint *q, uint b, uint f, uint i)\n{\n    (void)f;\n%s}\n",
        seed_text[tile->family]);
}

/* states(): the masked states of its
 * weights, which are the whole seed times powers of the multiplier. */
static void emit_states(struct iqt_emit *e, const struct iqt_tile *tile)
{
    const struct iqt_trellis *t = tile->format->trellis;
    const bool cuda = e->plan->dialect == IQT_DIALECT_CUDA;
    uint32_t power = 1;

    iqt_emit_tile_seed(e, tile);
    iqt_emit_open(e,
                  "FN void states(const uint *q, uint b, uint f, uint shift, uint *m)");
    iqt_emit_line(e, "(void)shift;");
    if (cuda)
        emit_state_terms(e, t);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < %uu; i++)", 32 / t->group);
    iqt_emit_line(e, "uint x = seed(q, b, f, i);");
    if (!cuda && t->shift_add)
        iqt_emit_line(e, "x += %uu + shift * %uu;", t->seed_add, t->shift_add);
    else if (!cuda)
        iqt_emit_line(e, "x += %uu;", t->seed_add);
    for (uint32_t n = 0; n < t->group; n++) {
        power *= t->multiplier;
        iqt_emit_tile_state(e, t, n, power);
    }
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* Four sums of bytes, less the centre, as bytes. AMD's sums of absolute differences (from 0) add two of them in the
 * halves of a word; what a half has above its byte is not taken. */
void iqt_emit_tile_sums(struct iqt_emit *e, const struct iqt_tile *tile)
{
    const uint32_t centre = tile->format->trellis->centre;

    iqt_emit_open(e, "FN uint sums(const uint *m)");
    if (e->plan->dialect == IQT_DIALECT_HIP) {
        const uint32_t less = (256u - centre) * 0x00010001u;

        iqt_emit_line(e, "uint one = BYTES_HIGH(m[1], BYTES(m[0], 0x%08xu));", less);
        iqt_emit_line(e, "uint two = BYTES_HIGH(m[3], BYTES(m[2], 0x%08xu));", less);
        iqt_emit_line(e, "return PERM(one, two, 0x06040200u);");
    } else {
        iqt_emit_line(e, "uint s[4];");
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint i = 0u; i < 4u; i++)");
        iqt_emit_line(e, "    s[i] = (uint)dot4(m[i], 0x01010101u, -%u);", centre);
        iqt_emit_line(e, "return PERM(PERM(s[0], s[1], 0x0040u), PERM(s[2], s[3], "
                         "0x0040u), 0x5410u);");
    }
    iqt_emit_close(e);
}

static const char values_states[] =
    VALUES "    (void)t;\n    states(q, b, f, s[0], v);\n}\n";
static const char values_sums[] = VALUES
    "    uint m[32];\n"
    "    (void)t;\n"
    "    states(q, b, f, s[0], m);\n" LOOP("i", "8") "        v[i] = sums(m + 4u * i);\n"
                                                     "    }\n}\n";
/* The magnitude with the sign bit's sign: turned around where the signs of sum and bit differ. */
static const char values_magnitudes[] = VALUES
    "    uint m[32];\n"
    "    (void)t;\n"
    "    states(q, b, f, s[0], m);\n" LOOP(
        "i", "8") "        uint x = sums(m + 4u * i);\n"
                  "        uint turn = SIGNS(x ^ (q[4u + b] << i & 0x80808080u));\n"
                  "        v[2u * i] = x ^ turn;\n"
                  "        v[2u * i + 1u] = turn; // where it is -1, 1 more\n"
                  "    }\n}\n";

/* ---- The family's text ---- */

static const struct {
    const char *cuda, *cuda_merged, *hip;
    struct iqt_tile_values split, merged, amd;
} decoders[] = {
    [IQT_TILE_Q2] = { cuda_q2,
                      cuda_q2,
                      hip_q2,
                      { 1, false, 0, true },
                      { 1, false, 0, true },
                      { 1, false, 0, true } },
    [IQT_TILE_Q3] = { cuda_q3,
                      cuda_q3,
                      hip_q3,
                      { 1, false, 0, false },
                      { 1, false, 0, false },
                      { 1, false, 0, false } },
    [IQT_TILE_Q4] = { cuda_q4,
                      cuda_q4_merged,
                      hip_q4,
                      { 2, false, 0, false },
                      { 1, false, 0, false },
                      { 1, false, 0, false } },
    [IQT_TILE_Q4_GRAY] = { cuda_gray,
                           cuda_gray_merged,
                           hip_gray,
                           { 2, false, 0, false },
                           { 1, false, 0, false },
                           { 1, false, 0, false } },
    [IQT_TILE_Q5] = { cuda_q5,
                      cuda_q5_merged,
                      hip_q5,
                      { 4, false, 0, false },
                      { 1, false, 0, false },
                      { 1, false, 0, false } },
    [IQT_TILE_Q6] = { cuda_q6,
                      cuda_q6,
                      hip_q6,
                      { 1, false, 0, true },
                      { 1, false, 0, true },
                      { 1, false, 0, true } },
    [IQT_TILE_PAIRS] = { cuda_pairs,
                         cuda_pairs_merged,
                         hip_pairs,
                         { 4, false, 3, false },
                         { 1, false, 0, false },
                         { 1, false, 0, false } },
    [IQT_TILE_KT1] = { values_states,
                       values_sums,
                       values_states,
                       { 1, true, 0, true },
                       { 1, false, 0, true },
                       { 1, true, 0, true } },
    [IQT_TILE_KT2] = { values_states,
                       values_sums,
                       values_states,
                       { 1, true, 0, true },
                       { 1, false, 0, true },
                       { 1, true, 0, true } },
    [IQT_TILE_KT3] = { values_magnitudes,
                       values_magnitudes,
                       values_magnitudes,
                       { 2, false, 0, true },
                       { 2, false, 0, true },
                       { 2, false, 0, true } },
    [IQT_TILE_KT4] = { values_states,
                       values_sums,
                       values_states,
                       { 1, true, 0, true },
                       { 1, false, 0, true },
                       { 1, true, 0, true } },
};

bool iqt_emit_tile_merges(const struct iqt_emit *e)
{
    return e->plan->n > 1 && e->plan->compute != IQT_COMPUTE_MMA;
}

bool iqt_emit_tile_counts(const struct iqt_emit *e)
{
    const struct iqt_plan *p = e->plan;

    return p->dialect == IQT_DIALECT_CUDA && p->layout == IQT_LAYOUT_PACKED &&
           p->compute == IQT_COMPUTE_I8 && p->n == 1 && p->format->block == 16 &&
           iqt_tile_family_of(p->format, p->dialect) == IQT_TILE_Q2;
}

void iqt_emit_tile_values(struct iqt_emit *e, const struct iqt_tile *tile,
                          struct iqt_tile_values *out)
{
    const bool cuda = e->plan->dialect == IQT_DIALECT_CUDA,
               merged = iqt_emit_tile_merges(e);
    const bool trellis = tile->format->decode == IQT_DECODE_TRELLIS;

    if (trellis) {
        emit_states(e, tile);
        if (merged || tile->format->trellis->magnitude)
            iqt_emit_tile_sums(e, tile);
    }
    if (iqt_emit_tile_counts(e)) {
        iqt_buf_printf(e->out, "%s", cuda_q2_halves);
        *out = decoders[tile->family].split;
    } else if (cuda) {
        iqt_buf_printf(e->out, "%s",
                       merged ? decoders[tile->family].cuda_merged
                              : decoders[tile->family].cuda);
        *out = merged ? decoders[tile->family].merged : decoders[tile->family].split;
    } else if (trellis && merged) {
        iqt_buf_printf(e->out, "%s", decoders[tile->family].cuda_merged);
        *out = decoders[tile->family].merged;
    } else {
        iqt_buf_printf(e->out, "%s", decoders[tile->family].hip);
        *out = decoders[tile->family].amd;
    }
}
