/* One column of a trellis on CUDA's matrix units: each lane keeps a tile of its own, as without them, and the unit
 * adds what four rows' states are worth. Layout of the fragments: docs/kernels.md.
 *
 *     A  lane 4 quad + part: masked states of its own tile's rows 0, 1 (then 2, 3), two weights of each
 *     B  column 2 part: x of span part, each byte four times, in part's k; all else is zero
 *     C  lane 4 quad + part: its own rows' sums in c0 and c2 */
#include "codegen/emit_mma.h"

#include "codegen/emit_call.h"
#include "codegen/emit_gpu.h"

#include <assert.h>
#include <string.h>

enum { R = IQT_TILE_ROWS };

static bool magnitudes(const struct iqt_tile *t)
{
    return t->format->trellis->magnitude;
}

/* Words of x of a span in shared memory: each byte repeated, or as they are. */
static uint32_t x_words(const struct iqt_tile *t)
{
    return IQT_TILE_SPAN / (magnitudes(t) ? 4u : 1u);
}

/* ---- Functions ---- */

/* Loads by 32-bit addresses: a dot product makes one of a code and the table's. */
static const char instructions[] =
    "FN float float_at(uint shared_address)\n"
    "{\n"
    "    float d;\n"
    "    asm volatile(\"ld.shared.f32 %0, [%1];\" : \"=f\"(d) : \"r\"(shared_address));\n"
    "    return d;\n"
    "}\n"
    "FN uint dot2(uint a, uint b, uint c) /* two halves by the lower two bytes */\n"
    "{\n"
    "    uint d;\n"
    "    asm(\"dp2a.lo.s32.s32 %0, %1, %2, %3;\" : \"=r\"(d) : \"r\"(a), \"r\"(b), \"r\"(c));\n"
    "    return d;\n"
    "}\n"
    "FN uint thread_again()\n"
    "{\n"
    "    uint d;\n"
    "    asm volatile(\"mov.u32 %0, %%tid.x;\" : \"=r\"(d));\n"
    "    return d;\n"
    "}\n"
    "FN uint half_of(uint a, uint which, uint c) /* the same, unsigned */\n"
    "{\n"
    "    uint d;\n"
    "    asm(\"dp2a.lo.u32.u32 %0, %1, %2, %3;\" : \"=r\"(d) : \"r\"(a), \"r\"(which), \"r\"(c));\n"
    "    return d;\n"
    "}\n";

/* The shift bit of the block is bit 15 of the seed, and of f. */
static const char seed_kt4[] =
    "FN uint seed(const uint *q, uint b, uint f, uint i)\n{\n"
    "    uint w = q[4u * b + i / 2u];\n"
    "    return i % 2u ? FUNNEL(f >> 15, w, 17u) : (w & 0x7fffu) | f;\n}\n";

/* Sixteen bits of a word and what all seeds lack, by one instruction that is no ALU's. */
static void emit_whole_seed(struct iqt_emit *e, const struct iqt_trellis *t)
{
    iqt_emit_open(e, "FN uint seed(const uint *q, uint b, uint f, uint i)");
    iqt_emit_line(e, "(void)f;");
    iqt_emit_line(e,
                  "return half_of(q[2u * b + i / 2u], i %% 2u ? 0x0100u : 0x0001u, %uu);",
                  t->seed_add);
    iqt_emit_close(e);
}

static bool whole_seeds(const struct iqt_tile *t)
{
    return t->family == IQT_TILE_KT2 || t->family == IQT_TILE_KT3;
}

static void emit_state(struct iqt_emit *e, const struct iqt_tile *tile)
{
    const struct iqt_trellis *t = tile->format->trellis;
    const uint32_t lacks = whole_seeds(tile) ? 0 : t->seed_add;
    uint32_t power = 1;

    assert(t->shift_add == 0 || t->shift_add == 1u << 15);
    iqt_emit_open(e, "FN uint state(uint x, uint n, const uint *power)");
    iqt_emit_line(e, "const uint add[%u] = {", t->group);
    for (uint32_t n = 0; n < t->group; n++) {
        power *= t->multiplier;
        iqt_emit_line(e, "    0x%08xu,", power * lacks);
    }
    iqt_emit_line(e, "};");
    iqt_emit_line(e, "return x * power[n] + add[n] & 0x%08xu;", t->mask);
    iqt_emit_close(e);
}

void iqt_emit_mma_one_values(struct iqt_emit *e, const struct iqt_tile *t,
                             struct iqt_mma_values *out)
{
    iqt_buf_printf(e->out, "%s", instructions);
    if (t->family == IQT_TILE_KT4)
        iqt_buf_printf(e->out, "%s", seed_kt4);
    else if (whole_seeds(t))
        emit_whole_seed(e, t->format->trellis);
    else
        iqt_emit_tile_seed(e, t);
    emit_state(e, t);
    *out = (struct iqt_mma_values){ .states = true };
}

/* mma_32() of emit_mma.c with unsigned bytes. */
static const char unsigned_bytes[] =
    "FN void mma_unsigned(int *d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1)\n"
    "{\n"
    "#if __CUDA_ARCH__ >= 800\n"
    "    asm volatile(\"mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, \"\n"
    "        \"{%8, %9}, {%10, %11, %12, %13};\"\n"
    "        : \"=r\"(d[0]), \"=r\"(d[1]), \"=r\"(d[2]), \"=r\"(d[3])\n"
    "        : \"r\"(a0), \"r\"(a1), \"r\"(a2), \"r\"(a3), \"r\"(b0), \"r\"(b1),\n"
    "          \"r\"(d[0]), \"r\"(d[1]), \"r\"(d[2]), \"r\"(d[3]));\n"
    "#else\n"
    "    const uint a[4] = { a0, a1, a2, a3 }, b[2] = { b0, b1 };\n"
    "    UNROLL\n"
    "    for (uint i = 0u; i < 4u; i++) {\n"
    "        int *e = d + i % 2u * 2u;\n"
    "        asm volatile(\"mma.sync.aligned.m8n8k16.row.col.s32.u8.u8.s32 {%0, %1}, {%2}, {%3}, {%4, %5};\"\n"
    "            : \"=r\"(e[0]), \"=r\"(e[1]) : \"r\"(a[i]), \"r\"(b[i / 2u]), \"r\"(e[0]), \"r\"(e[1]));\n"
    "    }\n"
    "#endif\n"
    "}\n";

static void emit_scale_values(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "%s float scale_of[16];", e->spell->shared);
    iqt_emit_line(e, "%s float scale_values[16] = {", e->spell->constant);
    for (uint32_t i = 0; i < 16; i++)
        iqt_emit_line(e, "    %d.0f,", t->format->scale.table[i]);
    iqt_emit_line(e, "};");
}

void iqt_emit_mma_one_functions(struct iqt_emit *e, const struct iqt_tile *t)
{
    const uint32_t warps = iqt_plan_threads(e->plan) / 32u, words = x_words(t);

    iqt_emit_line(e, "#define CHUNKS (T / 4u) // warps that share rows");
    iqt_emit_line(e, "#define SYNC_WARP __syncwarp()");
    iqt_emit_line(e, "%s float w_sums[%u];", e->spell->shared, 32 * warps);
    if (e->plan->op == IQT_OP_GATED)
        iqt_emit_line(e, "%s float gate_sums[%u];", e->spell->shared, 32 * warps);
    iqt_emit_line(e, "#define X_WORDS %uu // of a span", words);
    iqt_emit_line(e, "%s uvec4 x_shared[%u]; // of all warps; zeros", e->spell->shared,
                  warps * words + 2 + words / 4);
    if (t->format->scale.table)
        emit_scale_values(e, t);
    iqt_emit_mma_primitives(e);
    if (magnitudes(t))
        iqt_buf_printf(e->out, "%s", unsigned_bytes);
}

/* ---- Before the loop ---- */

/* Powers of the multiplier stay in registers, as tables do, unless nothing is added to a product: then
 * instructions have them. */
static void emit_powers(struct iqt_emit *e, const struct iqt_tile *tile)
{
    const struct iqt_trellis *t = tile->format->trellis;
    const bool known = whole_seeds(tile);
    uint32_t power = 1;

    iqt_emit_line(e, "uint power[%u];", t->group);
    for (uint32_t n = 0; n < t->group; n++) {
        power *= t->multiplier;
        iqt_emit_line(e, "power[%u] = 0x%08xu%s;", n, power, known ? "" : " ^ zero");
    }
}

static void emit_shared(struct iqt_emit *e, const struct iqt_tile *t)
{
    const uint32_t warps = iqt_plan_threads(e->plan) / 32u;

    iqt_emit_line(e, "uint *zeros = (uint *)x_shared + %uu * X_WORDS + 8u;", 4 * warps);
    for (uint32_t i = 0; i < x_words(t); i += 32 * warps) {
        iqt_emit_line(e, "if (THREAD + %uu < X_WORDS)", i);
        iqt_emit_line(e, "    zeros[THREAD + %uu] = 0u;", i);
    }
    if (t->format->scale.table) {
        iqt_emit_line(e, "if (THREAD < 16u)");
        iqt_emit_line(e, "    scale_of[THREAD] = scale_values[THREAD];");
        iqt_emit_line(e, "uint scales = (uint)__cvta_generic_to_shared(scale_of);");
    }
    iqt_emit_line(e, "BARRIER;");
    iqt_emit_line(e, "uint quad = THREAD / 4u %% 8u;");
    iqt_emit_line(e, "uint *x_warp = (uint *)x_shared + 4u * X_WORDS * warp;");
    iqt_emit_line(e, "const uvec4 *x_span = (const uvec4 *)(quad == 2u * part ? x_warp + "
                     "X_WORDS * part : zeros);");
}

/* Four words that the compiler neither knows nor knows to be equal: what a product adds to is not copied. */
static void emit_four(struct iqt_emit *e, const char *name, uint32_t value)
{
    iqt_emit_line(e, "uint %s[4];", name);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < 4u; i++)");
    iqt_emit_line(e, "    %s[i] = 0x%08xu ^ FROM_LANE(zero, i);", name, value);
}

/* A tile's fields are one load. */
static void emit_start(struct iqt_emit *e, const struct iqt_tile *t)
{
    const char *p = e->prefix;

    iqt_emit_line(
        e,
        "const uchar *%s_codes = %s_bytes + p.%s_base + tile + chunk * %uu + 16u "
        "* part;",
        p, p, p, 64u * t->words);
    iqt_emit_line(
        e,
        "const uchar *%s_record = %s_bytes + p.%s_base + tile + p.k / 256u * %uu + "
        "chunk * %uu + part * %uu;",
        p, p, p, 64u * t->words, t->record_bytes, t->loads ? t->load[0].stride : 0u);
    iqt_emit_line(e, "const uint lane = 0u; // its place is in the pointer");
    iqt_emit_line(e, "(void)%s_record; (void)lane;", p);
    emit_four(e, "base", magnitudes(t) ? 0x0202u : 0x4b400000u);
    if (magnitudes(t)) {
        iqt_emit_line(e, "uint ones[4];");
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint i = 0u; i < 4u; i++)");
        iqt_emit_line(e, "    ones[i] = quad != 2u * part + i %% 2u ? 0u : i < 2u ? "
                         "0x01010101u : 0xffffffffu;");
    }
    emit_powers(e, t);
    iqt_emit_line(e, "float sum[R] = { 0.0f, 0.0f, 0.0f, 0.0f };");
}

/* ---- The loop ---- */

/* A lane has eight of the warp's 256 x. Words of x of a span: first the even ones, then the odd. */
static void emit_x(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "SYNC_WARP; // the last ones have been read");
    if (magnitudes(t)) {
        iqt_emit_line(e, "*(uvec2 *)((uint *)x_shared + thread_again() * 2u) = own;");
    } else {
        iqt_emit_line(e, "uint *put = x_warp + THREAD %% 32u / 8u * X_WORDS + THREAD %% "
                         "8u * 4u;");
        iqt_emit_line(e, "uvec4 even, odd;");
        for (uint32_t i = 0; i < 4; i++)
            iqt_emit_line(e, "even.%c = REPEAT(own.x, %uu); odd.%c = REPEAT(own.y, %uu);",
                          "xyzw"[i], i, "xyzw"[i], i);
        iqt_emit_line(e, "*(uvec4 *)put = even; *(uvec4 *)(put + 32) = odd;");
    }
    iqt_emit_line(e, "SYNC_WARP;");
}

/* A dot product takes the code of four bits out of a byte. */
static void emit_table_scale(struct iqt_emit *e, const struct iqt_tile *t)
{
    assert(t->scale_bits == 4 && t->scale_bit[0] % 8 == 0 && t->scale_bit[1] % 8 == 4);
    iqt_emit_line(e, "uint at = %uu * r + scale_at[b];", t->row_bits);
    iqt_emit_line(e, "uint codes = e[at / 32u] >> at %% 8u & 0x0f0f0f0fu;");
    iqt_emit_line(
        e,
        "own_scale[r] = float_at(dot4(codes, 4u << at %% 32u / 8u * 8u, int(scales)));");
}

/* What seeds take besides their words: rests of 13-bit seeds, the shift bit on top of 15. */
static void emit_rests(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "uint rest[R];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint r = 0u; r < R; r++)");
    if (t->family == IQT_TILE_KT4)
        iqt_emit_line(e, "    rest[r] = q[%uu * r + 4u * b] & 0x8000u;", t->words);
    else if (t->family == IQT_TILE_KT1)
        iqt_emit_line(e, "    rest[r] = bits(e, %uu * r);", t->row_bits);
    else
        iqt_emit_line(e, "    rest[r] = 0u;");
}

static void emit_scales(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "float own_scale[R];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    if (t->family == IQT_TILE_KT4) {
        iqt_emit_line(e, "const uint *w = q + %uu * r + 4u * b;", t->words);
        iqt_emit_line(e,
                      "uint f = LOP3(0x00018000u, w[0], w[1] << 2, 0xca); // a ? b : c");
        iqt_emit_line(e, "f = LOP3(0x00078000u, f, w[2] << 4, 0xca);");
        iqt_emit_line(e, "f = LOP3(0x001f8000u, f, w[3] << 6, 0xca);");
        iqt_emit_line(e, "own_scale[r] = scale(f, 16u, t);");
    } else if (t->format->scale.table) {
        emit_table_scale(e, t);
    } else {
        iqt_emit_line(e, "own_scale[r] = scale(bits(e, %uu * r), scale_at[b], t);",
                      t->row_bits);
    }
    iqt_emit_close(e);
}

static void emit_states_products(struct iqt_emit *e, const struct iqt_tile *t)
{
    const uint32_t group = t->format->trellis->group;

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < %uu; i++)", 32 / group);
    iqt_emit_line(e, "uint x[R];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(e, "    x[r] = seed(q + %uu * r, b, rest[r], i);", t->words);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < %uu; j++)", group / 4);
    iqt_emit_line(e, "uint w = 8u * b + %uu * i + j;", group / 4);
    iqt_emit_line(e, "#define STATE(r, n) state(x[r], n, power)");
    iqt_emit_line(e, "uvec4 xr = x_span[w %% 2u * 8u + w / 2u];");
    for (uint32_t h = 0; h < 2; h++)
        for (uint32_t m = 0; m < 2; m++)
            iqt_emit_line(
                e,
                "mma_32(c + %u, STATE(%u, 4u * j + %uu), STATE(%u, 4u * j + %uu), "
                "STATE(%u, 4u * j + %uu), STATE(%u, 4u * j + %uu), xr.%c, xr.%c);",
                4 * m, 2 * m, 2 * h, 2 * m + 1, 2 * h, 2 * m, 2 * h + 1, 2 * m + 1,
                2 * h + 1, "xz"[h], "yw"[h]);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* ---- Magnitudes ---- */

/* The unit also makes the states' sums S, two to a word of a lane: c0 is S0 + 255 S1 + S1 of a row's weights 0 and 1, c1
 * the same of 2 and 3. Both words are four bytes S + 2, whose top bits are clear where the value S - 126 is negative. */
static void emit_sums(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "uint s0[4], s1[4];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint k = 0u; k < 4u; k++)");
    iqt_emit_line(e, "s0[k] = state(x0, 4u * j + k, power);");
    iqt_emit_line(e, "s1[k] = state(x1, 4u * j + k, power);");
    iqt_emit_close(e);
    iqt_emit_line(
        e, "int s[4] = { int(base[0]), int(base[1]), int(base[2]), int(base[3]) };");
    iqt_emit_line(e, "mma_unsigned(s, s0[0], s1[0], s0[2], s1[2], ones[0], ones[1]);");
    iqt_emit_line(e, "mma_unsigned(s, s0[1], s1[1], s0[3], s1[3], ones[2], ones[3]);");
    iqt_emit_line(e, "mma_unsigned(s, s0[1], s1[1], s0[3], s1[3], ones[0], ones[1]);");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint k = 0u; k < 2u; k++)");
    iqt_emit_line(e, "uint sum = (uint)s[2u * k + 1u] * 65536u + (uint)s[2u * k];");
    iqt_emit_line(
        e,
        "n[2u * j + k] = SIGNS(sum ^ MUL(q[%uu * (2u * m + k) + 4u + b], 1u << 2u * i + j));",
        t->words);
    iqt_emit_line(
        e, "v[2u * j + k] = LOP3(sum, n[2u * j + k], 0x7f7f7f7fu, 0x96); // a ^ b ^ c");
    iqt_emit_close(e);
}

/* With t = S - 126 and N = -1 where sum and sign bit agree, else 0: |t| with the bit's sign is (t ^ ~N) + N + 1. */
static void emit_magnitude_products(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint m = 0u; m < 2u; m++)");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < 4u; i++)");
    for (uint32_t r = 0; r < 2; r++)
        iqt_emit_line(e, "uint x%u = seed(q + %uu * m + %uu, b, 0u, i);", r,
                      2u * t->words, r * t->words);
    iqt_emit_line(e, "uint n[4], v[4];");
    iqt_emit_line(e, "SYNC_WARP; // nothing from behind comes here: that would spill");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < 2u; j++)");
    emit_sums(e, t);
    iqt_emit_close(e);
    iqt_emit_line(e, "uvec4 xw = x_span[2u * b + i / 2u];");
    iqt_emit_line(e, "uint low = i %% 2u ? xw.z : xw.x, high = i %% 2u ? xw.w : xw.y;");
    iqt_emit_line(e, "mma_32(c + 4u * m, v[0], v[1], v[2], v[3], low, high);");
    iqt_emit_line(e, "mma_32(c + 4u * m, n[0], n[1], n[2], n[3], low, high);");
    iqt_emit_close(e);
    iqt_emit_close(e);
}

static void emit_block(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint b = 0u; b < 2u; b++)");
    iqt_emit_line(e, "float dx = FLOAT_OF(b == 0u ? xs.x : xs.z);");
    iqt_emit_line(
        e, "float mean = FLOAT_OF(dot2(b == 0u ? xs.y : xs.w, 0x%04xu, 0x4b400000u));",
        magnitudes(t) ? 0xffffu : 0x0101u * (uint32_t)t->format->trellis->centre);
    emit_rests(e, t);
    iqt_emit_line(e, "int c[8];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < 8u; i++)");
    iqt_emit_line(e, "    c[i] = int(base[i %% 4u]);");
    (magnitudes(t) ? emit_magnitude_products : emit_states_products)(e, t);
    emit_scales(e, t);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(
        e,
        "    sum[r] = FMA(own_scale[r] * dx, FLOAT_OF((uint)c[2u * r]%s) - mean, sum[r]);",
        magnitudes(t) ? " + 0x4b3ffdfeu" : "");
    iqt_emit_close(e);
}

/* Lane part of a quad gets the sum of row part. */
static void emit_rows(struct iqt_emit *e)
{
    iqt_emit_line(e, "bool odd = part %% 2u != 0u, upper = part / 2u != 0u;");
    for (uint32_t i = 0; i < 2; i++) {
        iqt_emit_line(e, "float keep%u = odd ? sum[%u] : sum[%u];", i, 2 * i + 1, 2 * i);
        iqt_emit_line(e, "keep%u += SHUFFLE_XOR(odd ? sum[%u] : sum[%u], 1u);", i, 2 * i,
                      2 * i + 1);
    }
    iqt_emit_line(e, "float total = upper ? keep1 : keep0;");
    iqt_emit_line(e, "total += SHUFFLE_XOR(upper ? keep0 : keep1, 2u);");
    iqt_emit_line(e, "%s_sums[thread_again()] = total;", e->prefix);
}

void iqt_emit_mma_one_spans(struct iqt_emit *e, const struct iqt_tile *t,
                            const struct iqt_mma_values *v)
{
    (void)v;
    if (strcmp(e->prefix, "w") == 0) /* a gated product's other matrix has it, too */
        emit_shared(e, t);
    iqt_emit_scope(e);
    emit_start(e, t);
    iqt_emit_open(e, "for (uint u = chunk; u < p.k / 256u; u += CHUNKS)");
    iqt_emit_line(e, "uvec2 own = ((const uvec2 *)xq4)[32u * u + %s %% 32u];",
                  magnitudes(t) ? "thread_again()" : "THREAD");
    iqt_emit_tile_codes(e, t, NULL);
    iqt_emit_tile_record(e, t);
    iqt_emit_line(e, "uvec4 xs = ((const uvec4 *)xs2)[4u * u + part];");
    emit_x(e, t);
    emit_block(e, t);
    iqt_emit_line(e, "%s_codes += CHUNKS * %uu;", e->prefix, 64u * t->words);
    iqt_emit_line(e, "%s_record += CHUNKS * %uu;", e->prefix, t->record_bytes);
    iqt_emit_close(e);
    emit_rows(e);
    iqt_emit_close(e);
}

/* The first warp of those that share rows adds their sums. Which thread it is need not have stayed in registers. */
void iqt_emit_mma_one_finish(struct iqt_emit *e)
{
    iqt_emit_line(e, "BARRIER;");
    iqt_emit_line(e, "uint thread = thread_again();");
    iqt_emit_line(e, "if (thread / 32u %% CHUNKS != 0u)");
    iqt_emit_line(e, "    return;");
    iqt_emit_line(e, "uint r = thread %% 4u, c = 0u, i = 0u;");
    iqt_emit_line(
        e, "first = %s * G + (thread / 32u / CHUNKS * 8u + thread / 4u %% 8u) * R;",
        iqt_emit_covers_more(e->plan) ? "group" : "GROUP");
    iqt_emit_line(e, "tile = (first / R < last ? first / R : last) * R * p.row_bytes;");
    iqt_emit_line(e, "uint row = first + r - p.skip; // wraps in front of the first row");
    for (uint32_t m = 0; m < (e->plan->op == IQT_OP_GATED ? 2u : 1u); m++) {
        const char *name = m ? "gate" : "w";

        iqt_emit_line(
            e,
            "const float (*%s_parts)[1][32] = (const float (*)[1][32])(%s_sums + thread);",
            name, name);
    }
    iqt_emit_parts(e, "tile", "j", "0");
}
