/* One column or two of a trellis on CUDA's matrix units: seeds, states, and what the unit multiplies. The rest of the
 * loop is in emit_mma_one.c. */
#include "codegen/emit_mma.h"

#include <assert.h>

enum { R = IQT_TILE_ROWS };

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

bool iqt_mma_one_whole_seeds(const struct iqt_tile *t)
{
    return t->family == IQT_TILE_KT2 || t->family == IQT_TILE_KT3;
}

static void emit_state(struct iqt_emit *e, const struct iqt_tile *tile)
{
    const struct iqt_trellis *t = tile->format->trellis;
    const uint32_t lacks = iqt_mma_one_whole_seeds(tile) ? 0 : t->seed_add;
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

void iqt_emit_mma_one_values(struct iqt_emit *e, const struct iqt_tile *t,
                             struct iqt_mma_values *out)
{
    iqt_buf_printf(e->out, "%s", instructions);
    if (t->family == IQT_TILE_KT4)
        iqt_buf_printf(e->out, "%s", seed_kt4);
    else if (iqt_mma_one_whole_seeds(t))
        emit_whole_seed(e, t->format->trellis);
    else
        iqt_emit_tile_seed(e, t);
    emit_state(e, t);
    if (t->format->trellis->magnitude)
        iqt_buf_printf(e->out, "%s", unsigned_bytes);
    *out = (struct iqt_mma_values){ .states = true };
}

/* ---- Products ---- */

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

void iqt_emit_mma_one_products(struct iqt_emit *e, const struct iqt_tile *t)
{
    (t->format->trellis->magnitude ? emit_magnitude_products : emit_states_products)(e,
                                                                                     t);
}
