/* The loop of an mma kernel: loads, scales, which lane has what of a matrix, sums. What the codes mean
 * is in emit_mma_values.c.
 *
 *     A  16 x 32 weights   lane 4 g + part: rows g (a0, a2) and g + 8 (a1, a3), k = 4 part .. (a0, a1)
 *                          and 16 + 4 part .. (a2, a3)
 *     B  32 x 8 of x       lane 4 g + part: column g, k = 4 part .. (b0) and 16 + 4 part .. (b1)
 *     C  16 x 8 sums       lane 4 g + part: columns 2 part, 2 part + 1 of rows g (c0, c1) and g + 8
 *
 * Quad g has a group of four rows: its rows 0 and 1 are g and g + 8 of one product, 2 and 3 of
 * another. k may be permuted as long as A and B agree, so part's k are what its words hold. */
#include "codegen/emit_mma.h"

#include "codegen/emit_call.h"
#include "codegen/emit_gpu.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { R = IQT_TILE_ROWS };

/* PTX ISA, "Matrix Fragments for mma.m16n8k32" and its neighbours. Turing has only the smallest shape;
 * its fragments are quarters of the others'. */
static const char primitives[] =
    "FN void mma_8(int *d, uint a, uint b)\n"
    "{\n"
    "    asm volatile(\"mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%4, %5};\"\n"
    "        : \"=r\"(d[0]), \"=r\"(d[1]) : \"r\"(a), \"r\"(b), \"r\"(d[0]), \"r\"(d[1]));\n"
    "}\n"
    "#if __CUDA_ARCH__ >= 800\n"
    "FN void mma_32(int *d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1)\n"
    "{\n"
    "    asm volatile(\"mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, \"\n"
    "        \"{%8, %9}, {%10, %11, %12, %13};\"\n"
    "        : \"=r\"(d[0]), \"=r\"(d[1]), \"=r\"(d[2]), \"=r\"(d[3])\n"
    "        : \"r\"(a0), \"r\"(a1), \"r\"(a2), \"r\"(a3), \"r\"(b0), \"r\"(b1),\n"
    "          \"r\"(d[0]), \"r\"(d[1]), \"r\"(d[2]), \"r\"(d[3]));\n"
    "}\n"
    "FN void mma_16(int *d, uint a0, uint a1, uint b)\n"
    "{\n"
    "    asm volatile(\"mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, \"\n"
    "        \"{%7, %8, %9, %10};\"\n"
    "        : \"=r\"(d[0]), \"=r\"(d[1]), \"=r\"(d[2]), \"=r\"(d[3])\n"
    "        : \"r\"(a0), \"r\"(a1), \"r\"(b), \"r\"(d[0]), \"r\"(d[1]), \"r\"(d[2]), \"r\"(d[3]));\n"
    "}\n"
    "#else\n"
    "FN void mma_32(int *d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1)\n"
    "{\n"
    "    mma_8(d, a0, b0);\n"
    "    mma_8(d, a2, b1);\n"
    "    mma_8(d + 2, a1, b0);\n"
    "    mma_8(d + 2, a3, b1);\n"
    "}\n"
    "FN void mma_16(int *d, uint a0, uint a1, uint b)\n"
    "{\n"
    "    mma_8(d, a0, b);\n"
    "    mma_8(d + 2, a1, b);\n"
    "}\n"
    "#endif\n"
    "FN uint hidden_zero()\n"
    "{\n"
    "    uint d;\n"
    "    asm volatile(\"mov.u32 %0, %1;\" : \"=r\"(d) : \"r\"(0u));\n"
    "    return d;\n"
    "}\n"
    "#define FROM_LANE(x, lane) __shfl_sync(0xffffffffu, x, lane, 4)\n";

static uint32_t tiles_of(const struct iqt_emit *e)
{
    return (e->plan->n + IQT_MMA_COLUMNS - 1u) / IQT_MMA_COLUMNS;
}

/* Words of a row's values in a block. */
static uint32_t value_words(const struct iqt_mma_values *v)
{
    return v->states ? 8u : 2u * v->parts;
}

void iqt_emit_mma_primitives(struct iqt_emit *e)
{
    iqt_buf_printf(e->out, "%s", primitives);
}

void iqt_emit_mma_functions(struct iqt_emit *e, const struct iqt_tile *t)
{
    (void)t;
    iqt_emit_line(e, "#define TILES %uu // of eight columns", tiles_of(e));
    iqt_emit_line(e, "#define CHUNKS (T / 4u) // warps that share rows");
    iqt_emit_line(e, "#define EACH %uu // sums of a lane", iqt_mma_sums(e->plan, 32));
    iqt_emit_line(e, "%s float w_parts[%u][EACH][32];", e->spell->shared,
                  iqt_plan_threads(e->plan) / 32u);
    iqt_emit_mma_primitives(e);
    iqt_emit_mma_stage_functions(e);
}

void iqt_emit_mma_threads(struct iqt_emit *e)
{
    const bool more = iqt_emit_covers_more(e->plan);

    if (more)
        iqt_emit_call_begin(e);
    iqt_emit_line(
        e,
        "uint warp = FROM_LANE(THREAD / 32u, 0), chunk = warp %% CHUNKS, part = THREAD %% 4u;");
    iqt_emit_line(e,
                  "uint first = %s * G + (warp / CHUNKS * 8u + THREAD / 4u %% 8u) * R;",
                  more ? "group" : "GROUP");
    iqt_emit_line(e, "uint lane = 4u * chunk + part;");
}

/* ---- Scales: a lane's own of one span, given to the quad when its turn comes ---- */

static void emit_shift(struct iqt_emit *e, const struct iqt_mma_values *v,
                       uint32_t blocks)
{
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < %uu; i++)", blocks);
    iqt_emit_line(e, "uint at = shift_at[b * %uu + i], to = 8u * r + %uu;", blocks,
                  (uint32_t)__builtin_ctz(v->shift_byte));
    iqt_emit_line(e,
                  "shifts[b * %uu + i] += at < to ? MUL(g & 1u << at, %uu << to - at) : "
                  "(g >> at & 1u) * (%uu << to);",
                  blocks, (uint32_t)v->shift_byte >> __builtin_ctz(v->shift_byte),
                  (uint32_t)v->shift_byte >> __builtin_ctz(v->shift_byte));
    iqt_emit_close(e);
}

/* Scales of a table: the codes of four rows are one word of selectors, nibbles or bytes. */
static void emit_own_table(struct iqt_emit *e, const struct iqt_tile *t)
{
    const bool cuda = e->plan->dialect == IQT_DIALECT_CUDA;

    assert(t->blocks == 2 && t->scale_bits == 4 &&
           t->scale_bit[1] == t->scale_bit[0] + 4 && t->row_bits == t->scale_bit[0] + 8u);
    iqt_emit_line(e, t->row_bits == 8 ? "uint codes = e[0];"
                     : cuda           ? "uint codes = PERM(e[0], e[1], 0x7531u);"
                                      : "uint codes = PERM(e[0], e[1], 0x07050301u);");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint b = 0u; b < 2u; b++)");
    iqt_emit_line(e, "uint c = codes >> 4u * b & 0x0f0f0f0fu;");
    if (cuda)
        iqt_emit_line(e, "c = PERM(c | c >> 4, 0u, 0x4420u);");
    iqt_emit_line(e, "uint low = PERM(t[0], t[1], c), high = PERM(t[2], t[3], c ^ %s);",
                  cuda ? "0x8888u" : "0x08080808u");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(
        e,
        "    own[2u * r + b] = float(dot4(low, 1u << 8u * r, dot4(high, 1u << 8u * r, 0)));");
    iqt_emit_close(e);
}

static void emit_no_shifts(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "uint shifts[%u];", t->blocks);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < %uu; i++)", t->blocks);
    iqt_emit_line(e, "    shifts[i] = %s;",
                  t->family == IQT_TILE_Q6 ? "0xfbfbfbfbu" : "0u");
}

void iqt_emit_mma_own(struct iqt_emit *e, const struct iqt_tile *t,
                      const struct iqt_mma_values *v)
{
    const uint32_t h = iqt_tile_halves(t);

    iqt_emit_line(e, "float own[%u];", R * t->blocks);
    if (t->format->scale.table) {
        iqt_emit_tile_record(e, t);
        emit_own_table(e, t);
        return;
    }
    if (v->shift_byte)
        emit_no_shifts(e, t);
    iqt_emit_tile_record(e, t);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint b = 0u; b < 2u; b++)");
    iqt_emit_tile_fields(e, t);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < %uu; i++)", h);
    iqt_emit_line(
        e, "    own[%uu * r + %uu * b + i] = scale(f, scale_at[%uu * b + i], t)%s;",
        t->blocks, h, h, t->format->super.at == IQT_AT_SUPERBLOCK ? " * d[r]" : "");
    if (v->shift_byte)
        emit_shift(e, v, h);
    iqt_emit_line(e, "(void)g;");
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* ---- A block of 32 ---- */

static void emit_decode(struct iqt_emit *e, const struct iqt_tile *t,
                        const struct iqt_mma_values *v, const struct iqt_mma_lane *lane)
{
    const uint32_t h = iqt_tile_halves(t);

    iqt_emit_line(e, "uint v[%u], s[%u];", R * value_words(v), R * 2);
    iqt_emit_line(e, "float scales[%u];", R * h);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint h = 0u; h < %uu; h++)", h);
    if (v->shift_byte)
        iqt_emit_line(e, "uint bits = FROM_LANE(shifts[%uu * b + h], i);", h);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(e, "scales[%uu * r + h] = FROM_LANE(own[%uu * r + %uu * b + h], i);", h,
                  t->blocks, h);
    if (v->shift_byte == 0)
        iqt_emit_line(e, "s[2u * r + h] = 0u;");
    else if (t->family ==
             IQT_TILE_Q6) /* 0x65fb, one more in a shifted block, for two codes */
        iqt_emit_line(e,
                      "s[2u * r + h] = PERM(bits, 0x65656565u, 0x4040u + 0x0101u * r);");
    else if (v->states) /* the seed's bit 15 */
        iqt_emit_line(e, "s[2u * r + h] = PERM(bits, 0u, 0x4404u + 16u * r);");
    else
        iqt_emit_line(e, "s[2u * r + h] = REPEAT(bits, r);");
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(e, "    values(q + %uu * r, b, part, s + 2u * r, %s, t, v + %uu * r);",
                  lane->loads,
                  t->family == IQT_TILE_KT1
                      ? "FUNNEL(seed_bits[r / 2u], seed_bits[r / 2u], t[8u + r % 2u])"
                      : "0u",
                  value_words(v));
}

/* x of the lane's weights, in the order of the value words. */
static void emit_x(struct iqt_emit *e, const struct iqt_tile *t,
                   const struct iqt_mma_values *v, const struct iqt_mma_lane *lane)
{
    static const char *const second[] = {
        [IQT_MMA_X_FOURS] = "16u", [IQT_MMA_X_NIBBLE] = "8u"
    };

    iqt_emit_line(e, "const uchar *xc = xq[n] + 64u * i + 32u * b;");
    iqt_emit_line(e, "uint x[2];");
    if (lane->x == IQT_MMA_X_EIGHT) {
        iqt_emit_line(e, "uvec2 eight = *(const uvec2 *)xc;");
        iqt_emit_line(e, "x[0] = eight.x; x[1] = eight.y;");
    } else {
        iqt_emit_line(e, "x[0] = *(const uint *)xc; x[1] = *(const uint *)(xc + %s);",
                      second[lane->x]);
    }
    if (t->family == IQT_TILE_PAIRS || t->family == IQT_TILE_Q4_GRAY) {
        const bool pairs = t->family == IQT_TILE_PAIRS;

        iqt_emit_line(e, "uint one = x[0], two = x[1];");
        iqt_emit_line(e, "x[0] = PERM(one, two, %s); x[1] = PERM(one, two, %s);",
                      pairs ? "0x6420u" : "0x5140u", pairs ? "0x7531u" : "0x7362u");
    }
    if (v->states) {
        iqt_emit_line(e, "uint xr[8];");
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint j = 0u; j < 8u; j++)");
        iqt_emit_line(e, "    xr[j] = REPEAT(x[j / 4u], j %% 4u);");
    }
    iqt_emit_line(e, "float dx[2];");
    iqt_emit_line(e, "dx[0] = FLOAT_OF(xs[2u * n][2u * i + b].x);");
    iqt_emit_line(e, "dx[1] = FLOAT_OF(xs[2u * n + 1u][2u * i + b].x);");
}

/* Products of one half of a block, or of the block: words j of the rows g and g + 8. */
static void emit_products(struct iqt_emit *e, const struct iqt_tile *t,
                          const struct iqt_mma_values *v)
{
    const bool both = iqt_tile_halves(t) == 1;
    const uint32_t words = both ? value_words(v) : v->parts;
    const char *x0 = !both ? "x[h]" : v->states ? "xr[j]" : "x[0]";
    const char *x1 = !both ? "x[h]" : v->states ? "xr[j + 1u]" : "x[1]";

    iqt_emit_line(e, "const uint *v0 = v + %uu * m + %uu * h, *v1 = v0 + %uu;",
                  2 * value_words(v), words, value_words(v));
    iqt_emit_line(e, "const uint *s0 = s + 4u * m + h, *s1 = s0 + 2;");
    iqt_emit_line(
        e, "int c[4] = { int(magic[0]), int(magic[1]), int(magic[2]), int(magic[3]) };");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint j = 0u; j < %uu; j += 2u)", words / 2 * 2);
    iqt_emit_line(e, "    mma_32(c, v0[j], v1[j], v0[j + 1u], v1[j + 1u], %s, %s);", x0,
                  x1);
    if (words % 2 && v->adds_shift)
        iqt_emit_line(e, "mma_32(c, v0[%u], v1[%u], s0[0], s1[0], x[h], x[h]);",
                      words - 1, words - 1);
    else if (words % 2)
        iqt_emit_line(e, "mma_16(c, v0[%u], v1[%u], x[h]);", words - 1, words - 1);
    else if (v->adds_shift)
        iqt_emit_line(e, "mma_16(c, s0[0], s1[0], x[h]);");
    if (both && v->adds_shift)
        iqt_emit_line(e, "mma_16(c, s0[0], s1[0], x[1]);");
    if (v->offset)
        iqt_emit_line(
            e, "mma_32(c, offset[0], offset[1], offset[2], offset[3], x[0], x[1]);");
    iqt_emit_line(e, "(void)s0; (void)s1;");
}

/* The unit adds to 1.5 * 2^23 as an integer: the bits of a float that is as much larger. The second column
 * of a lane is nobody's when there is one column. */
static void emit_term(struct iqt_emit *e, const struct iqt_tile *t)
{
    const bool one = e->plan->n == 1;

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < 4u; j += %uu)", one ? 2u : 1u);
    iqt_emit_line(e,
                  one ? "uint r = 2u * m + j / 2u, to = r;"
                      : "uint r = 2u * m + j / 2u, to = (r * TILES + n) * 2u + j %% 2u;");
    iqt_emit_line(e, "float whole = FLOAT_OF((uint)c[j]) - 12582912.0f;");
    iqt_emit_line(e, "sum[to] = FMA(scales[%uu * r + h] * dx[j %% 2u], whole, sum[to]);",
                  iqt_tile_halves(t));
    iqt_emit_close(e);
}

static void emit_block(struct iqt_emit *e, const struct iqt_tile *t,
                       const struct iqt_mma_values *v, const struct iqt_mma_lane *lane)
{
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint b = 0u; b < 2u; b++)");
    emit_decode(e, t, v, lane);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint n = 0u; n < TILES; n++)");
    emit_x(e, t, v, lane);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint m = 0u; m < 2u; m++)");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint h = 0u; h < %uu; h++)", iqt_tile_halves(t));
    emit_products(e, t, v);
    emit_term(e, t);
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* ---- The loop ---- */

/* Four words that the compiler does not know to be equal, or each product would begin by copying
 * one of them to the registers that the unit reads together. */
void iqt_emit_mma_four(struct iqt_emit *e, const char *name, uint32_t value)
{
    iqt_emit_line(e, "uint %s[4];", name);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < 4u; i++)");
    iqt_emit_line(e, "    %s[i] = 0x%08xu ^ hidden_zero();", name, value);
}

/* 13-bit seeds: the last two lanes' ones of the second block are put together from rests. What comes out of
 * a shuffle is not computed again in each iteration. */
static void emit_seed_masks(struct iqt_emit *e)
{
    static const char *const words[] = {
        "part == 0u ? 0u : part == 1u ? 19u : 13u",
        "part < 2u ? 0x1fffu : 63u",
        "part < 2u ? 0u : part == 2u ? 0x1000u : 0x1fc0u",
        "part == 2u ? 0xfc0u : 0u",
        "part == 2u ? 20u : 27u", /* the fields of even and of odd rows, rotated */
        "part == 2u ? 4u : 11u",
    };

    for (uint32_t i = 0; i < IQT_COUNT(words); i++)
        iqt_emit_line(e, "t[%u] = FROM_LANE(%s, part);", 4 + i, words[i]);
}

static void emit_start(struct iqt_emit *e, const struct iqt_tile *t,
                       const struct iqt_mma_values *v, const struct iqt_mma_lane *lane)
{
    static const char *const at[] = { [IQT_MMA_X_EIGHT] = "part * 8u",
                                      [IQT_MMA_X_FOURS] = "part * 4u",
                                      [IQT_MMA_X_NIBBLE] =
                                          "part / 2u * 16u + part % 2u * 4u" };
    const char *p = e->prefix;

    iqt_emit_line(e, "const uchar *%s_codes = %s_bytes + p.%s_base + tile + chunk * %uu;",
                  p, p, p, 64u * t->words);
    iqt_emit_line(
        e,
        "const uchar *%s_record = %s_bytes + p.%s_base + tile + p.k / 256u * %uu + "
        "chunk * %uu;",
        p, p, p, 64u * t->words, t->record_bytes);
    iqt_emit_line(e, "(void)%s_record;", p);
    iqt_emit_line(e, "const uchar *xq[TILES];");
    iqt_emit_line(e, "const uvec2 *xs[2u * TILES];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < TILES; i++)");
    iqt_emit_line(
        e, "uint c = 8u * i + THREAD / 4u %% 8u, c0 = 8u * i + 2u * part, c1 = c0 + 1u;");
    iqt_emit_line(
        e,
        "c = c < p.cols ? c : p.cols - 1u; // a column that is not there is the last one");
    iqt_emit_line(e, "c0 = c0 < p.cols ? c0 : p.cols - 1u;");
    iqt_emit_line(e, "c1 = c1 < p.cols ? c1 : p.cols - 1u;");
    iqt_emit_line(e,
                  "xq[i] = (const uchar *)(xq4 + c * (p.k / 16u)) + chunk * 256u + %s;",
                  at[lane->x]);
    iqt_emit_line(e, "xs[2u * i] = xs2 + c0 * (p.k / 32u) + chunk * 8u;");
    iqt_emit_line(e, "xs[2u * i + 1u] = xs2 + c1 * (p.k / 32u) + chunk * 8u;");
    iqt_emit_close(e);
    iqt_emit_mma_stage_start(e, lane);
    if (t->family == IQT_TILE_KT1)
        emit_seed_masks(e);
    if (t->family == IQT_TILE_Q6)
        iqt_emit_line(e, "t[0] = FROM_LANE(0x64006400u, part);");
    iqt_emit_mma_four(e, "magic", 0x4b400000u);
    if (v->offset)
        iqt_emit_mma_four(e, "offset", 0x01010101u * (uint8_t)v->offset);
    iqt_emit_line(e, "float sum[EACH];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < EACH; i++)");
    iqt_emit_line(e, "    sum[i] = 0.0f;");
}

void iqt_emit_mma_spans(struct iqt_emit *e, const struct iqt_tile *t,
                        const struct iqt_mma_values *v)
{
    const struct iqt_mma_lane *lane = iqt_mma_lane_of(t->format, e->plan->dialect);

    iqt_emit_scope(e);
    emit_start(e, t, v, lane);
    iqt_emit_open(e, "for (uint u = chunk; u < p.k / 256u; u += CHUNKS)");
    if (iqt_mma_stages_spans(t))
        iqt_emit_tile_codes(e, t, "16u * part");
    iqt_emit_mma_own(e, t, v);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < 4u; i++)");
    iqt_emit_mma_stage(e, t);
    iqt_emit_mma_codes(e, t, lane);
    if (t->family == IQT_TILE_KT1)
        iqt_emit_line(e,
                      "uint seed_bits[2] = { FROM_LANE(e[0], i), FROM_LANE(e[1], i) };");
    emit_block(e, t, v, lane);
    iqt_emit_mma_stage_end(e);
    iqt_emit_close(e);
    iqt_emit_line(e, "%s_codes += CHUNKS * %uu;", e->prefix, 64u * t->words);
    iqt_emit_line(e, "%s_record += CHUNKS * %uu;", e->prefix, t->record_bytes);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < TILES; i++)");
    iqt_emit_line(e, "xq[i] += CHUNKS * 256u;");
    iqt_emit_line(e, "xs[2u * i] += CHUNKS * 8u;");
    iqt_emit_line(e, "xs[2u * i + 1u] += CHUNKS * 8u;");
    iqt_emit_close(e);
    iqt_emit_close(e);
    if (strcmp(e->prefix, "gate") == 0)
        iqt_emit_line(e, "BARRIER; // the sums take the place of all warps' codes");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < EACH; i++)");
    iqt_emit_line(e, "    %s_parts[warp][i][THREAD %% 32u] = sum[i];", e->prefix);
    iqt_emit_close(e);
}

/* ---- Sums ---- */

void iqt_emit_mma_finish(struct iqt_emit *e)
{
    iqt_emit_line(e, "BARRIER;");
    iqt_emit_open(e, "for (uint i = chunk; i < EACH; i += CHUNKS)");
    if (e->plan->n == 1)
        iqt_emit_line(e, "uint r = i, c = part;");
    else
        iqt_emit_line(
            e,
            "uint r = i / (2u * TILES), c = i / 2u %% TILES * 8u + 2u * part + i %% 2u;");
    iqt_emit_line(e, "uint row = first + r - p.skip; // wraps in front of the first row");
    iqt_emit_parts(e, "tile", "warp - chunk + j", "THREAD % 32u");
    iqt_emit_close(e);
}
