/* Table functions in the common subset of GLSL and C++: codebooks by select tree, shared table or
 * byte permute; tables of scales; the trellis. */
#include "codegen/emit_lanes.h"

#include "kernels/coop.h"

#include <stdio.h>

/* Four consecutive table values as one word, lowest byte first. */
static uint32_t table_word(const struct iqt_codebook *c, uint32_t first, uint32_t step)
{
    uint32_t word = 0;

    for (uint32_t i = 0; i < 4; i++)
        word |= (uint32_t)(uint8_t)c->value[(first + i) * step] << (8 * i);
    return word;
}

/* pick(code): one value as a byte, from constants in registers. Each bit of the code above the
 * lowest two halves the list of words. */
static void emit_pick(struct iqt_emit *e, const char *name, const int8_t *value,
                      uint32_t count)
{
    const struct iqt_codebook table = { .value = value };

    iqt_emit_open(e, "%suint %s(uint code)", e->spell->function, name);
    for (uint32_t i = 0; i < count / 4; i++)
        iqt_emit_line(e, "uint t%u = 0x%08xu;", i, table_word(&table, 4 * i, 1));
    for (uint32_t left = count / 8, bit = 31u - (uint32_t)__builtin_clz(count) - 1;
         left >= 1; left /= 2, bit--) {
        for (uint32_t i = 0; i < left; i++)
            iqt_emit_line(e, "t%u = (code & %uu) != 0u ? t%u : t%u;", i, 1u << bit,
                          i + left, i);
    }
    iqt_emit_line(e, "return t0 >> ((code & 3u) * 8u) & 0xffu;");
    iqt_emit_close(e);
}

static void emit_sel(struct iqt_emit *e)
{
    const struct iqt_codebook *c = e->plan->format->codebook;

    emit_pick(e, "pick", c->value, c->count);
    iqt_emit_open(e, "%suint lut(uint c)", e->spell->function);
    iqt_emit_line(e, "return pick(c) | pick(c >> 8) << 8 | pick(c >> 16) << 16 | "
                     "pick(c >> 24) << 24;");
    iqt_emit_close(e);
}

static void emit_shmem(struct iqt_emit *e)
{
    const struct iqt_codebook *c = e->plan->format->codebook;
    const bool coop = iqt_plan_is_coop(e->plan);
    const char *t = coop ? "GET(table[" : "table[", *end = coop ? "])" : "]";

    iqt_emit_line(e, "%s uint table[%u];", e->spell->shared,
                  iqt_coop_shifts_in_table(e->plan) ? 2u * c->count : c->count);
    if (c->dim == 4) {
        iqt_emit_line(e, "%suint lut(uint c) { return %sc%s; }", e->spell->function, t,
                      end);
        iqt_emit_line(
            e, "%suint negate(uint v, uint sign) { return (v ^ sign * 255u) + sign; }",
            e->spell->function);
        return;
    }
    if (c->dim == 2) { /* an entry holds a pair; four codes give two words */
        iqt_emit_line(e,
                      "%suint lut0(uint c) { return %sc & 255u%s | "
                      "%sc >> 8 & 255u%s << 16; }",
                      e->spell->function, t, end, t, end);
        iqt_emit_line(e,
                      "%suint lut1(uint c) { return %sc >> 16 & 255u%s | "
                      "%sc >> 24%s << 16; }",
                      e->spell->function, t, end, t, end);
        return;
    }
    iqt_emit_open(e, "%suint lut(uint c)", e->spell->function);
    iqt_emit_line(e, "return %sc & 255u%s | %sc >> 8 & 255u%s << 8 |", t, end, t, end);
    iqt_emit_line(e, "       %sc >> 16 & 255u%s << 16 | %sc >> 24%s << 24;", t, end, t,
                  end);
    iqt_emit_close(e);
}

static uint32_t entry_of(const struct iqt_codebook *c, uint32_t code)
{
    uint32_t entry = 0;

    for (uint32_t n = 0; n < c->dim; n++)
        entry |= (uint32_t)(uint8_t)c->value[code * c->dim + n] << (8 * n);
    return entry;
}

static uint32_t two_entries(const struct iqt_codebook *c, uint32_t code)
{
    return entry_of(c, code) | entry_of(c, code + 1) << 4;
}

/* entry(i): a long table's entry. Two of them share a word: values are below 16. */
static void emit_entry_array(struct iqt_emit *e)
{
    const struct iqt_codebook *c = e->plan->format->codebook;

    iqt_emit_line(e, "%s uint entries[%u] = {", e->spell->constant, c->count / 2u);
    for (uint32_t i = 0; i < c->count; i += 16) {
        struct iqt_buf line = { 0 };

        for (uint32_t n = i; n < i + 16; n += 2)
            iqt_buf_printf(&line, " 0x%08xu,", two_entries(c, n));
        iqt_emit_line(e, "   %s", iqt_buf_text(&line));
        iqt_buf_free(&line);
    }
    iqt_emit_line(e, "};");
    iqt_emit_open(e, "%suint entry(uint i)", e->spell->function);
    iqt_emit_line(e, "return entries[i / 2u] >> (i & 1u) * 4u & 0x0f0f0f0fu;");
    iqt_emit_close(e);
}

/* The same as selects among constants, by bit 1 of the number and those above: lavapipe takes seconds to
 * compile an array. */
static void emit_entry_selects(struct iqt_emit *e)
{
    const struct iqt_codebook *c = e->plan->format->codebook;

    iqt_emit_open(e, "uint entry(uint i)");
    for (uint32_t n = 0; n < c->count / 4u; n++)
        iqt_emit_line(e, "uint t%u = (i & 2u) != 0u ? 0x%08xu : 0x%08xu;", n,
                      two_entries(c, 4 * n + 2), two_entries(c, 4 * n));
    for (uint32_t left = c->count / 8u, bit = 4; left >= 1; left /= 2, bit *= 2)
        for (uint32_t n = 0; n < left; n++)
            iqt_emit_line(e, "t%u = (i & %uu) != 0u ? t%u : t%u;", n, bit, 2 * n + 1,
                          2 * n);
    iqt_emit_line(e, "return t0 >> (i & 1u) * 4u & 0x0f0f0f0fu;");
    iqt_emit_close(e);
}

static bool is_long(const struct iqt_codebook *c)
{
    return c->count > 64;
}

/* Two bits: 16 c + 2 [c = 1] is the entry less the first one, which the block's correction adds. */
static void emit_arith(struct iqt_emit *e)
{
    iqt_emit_line(e,
                  "%suint lut(uint c) { return c << 4 | (c << 1 & ~c & 0x02020202u); }",
                  e->spell->function);
}

int iqt_emit_lookup_offset(const struct iqt_plan *p)
{
    if (iqt_plan_shares(p) && p->lookup != IQT_LOOKUP_ARITH)
        return iqt_emit_lanes_offset(p->format);
    return p->lookup == IQT_LOOKUP_ARITH ? p->format->codebook->value[0] : 0;
}

void iqt_emit_lookup_fill(struct iqt_emit *e)
{
    const struct iqt_codebook *c = e->plan->format->codebook;

    if (iqt_plan_shared_scales(e->plan)) {
        iqt_emit_line(e, "for (uint i = tid; i < 16u; i += %uu)",
                      iqt_plan_threads(e->plan));
        iqt_emit_line(e, "    scales[i] = int(pick_scale(i) << 24) >> 24;");
        iqt_emit_line(e, "BARRIER;");
    }
    if (iqt_plan_shares(e->plan) && e->plan->lookup == IQT_LOOKUP_PERM)
        iqt_emit_lanes_fill(e);
    if (e->plan->lookup != IQT_LOOKUP_SHMEM)
        return;
    if (is_long(c)) {
        iqt_emit_line(e, "for (uint i = tid; i < %uu; i += %uu)", c->count,
                      iqt_plan_threads(e->plan));
        iqt_emit_line(e, "    table[i] = entry(i);");
    } else {
        iqt_emit_open(e, "if (tid == 0u)");
        for (uint32_t i = 0; i < c->count; i++)
            iqt_emit_line(e, "table[%u] = 0x%xu;", i, entry_of(c, i));
        for (uint32_t i = 0; i < c->count && iqt_coop_shifts_in_table(e->plan); i++)
            iqt_emit_line(e, "table[%u] = 0x%xu;", c->count + i,
                          (uint32_t)(uint8_t)(c->value[i] + c->shift));
        iqt_emit_close(e);
    }
    iqt_emit_line(e, "BARRIER;");
}

/* Permutes take 8 entries at once; bits 3 and up of the codes choose between results. */
static void emit_perm_table(struct iqt_emit *e, const char *name, const int8_t *value,
                            uint32_t count, uint32_t step)
{
    const struct iqt_codebook table = { .value = value };
    const uint32_t leaves = (count + 7) / 8;

    iqt_emit_open(e, "%suint %s(uint c)", e->spell->function, name);
    iqt_emit_line(e, "uint s = c & 0x07070707u;");
    for (uint32_t i = 0; i < leaves; i++)
        iqt_emit_line(e, "uint t%u = permute(0x%08xu, 0x%08xu, s);", i,
                      count > 8 * i + 4 ? table_word(&table, 8 * i + 4, step) : 0,
                      table_word(&table, 8 * i, step));
    for (uint32_t left = leaves / 2, bit = 31u - (uint32_t)__builtin_clz(count) - 1;
         left >= 1; left /= 2, bit--) {
        iqt_emit_line(e, "uint m%u = (c >> %u & 0x01010101u) * 255u;", bit, bit);
        for (uint32_t i = 0; i < left; i++)
            iqt_emit_line(e, "t%u = (t%u & ~m%u) | (t%u & m%u);", i, i, bit, i + left,
                          bit);
    }
    iqt_emit_line(e, "return t0;");
    iqt_emit_close(e);
}

static void emit_perm(struct iqt_emit *e)
{
    const struct iqt_codebook *c = e->plan->format->codebook;

    if (c->dim == 1) {
        emit_perm_table(e, "lut", c->value, c->count, 1);
        return;
    }
    emit_perm_table(e, "lut_even", c->value, c->count, 2);
    emit_perm_table(e, "lut_odd", c->value + 1, c->count, 2);
    iqt_emit_line(e,
                  "%suint spread(uint c) { return (c & 255u) * 0x0101u | "
                  "(c >> 8 & 255u) * 0x01010000u; }",
                  e->spell->function);
    iqt_emit_open(e, "%suint lut0(uint c)", e->spell->function);
    iqt_emit_line(e, "uint s = spread(c);");
    iqt_emit_line(e, "return (lut_even(s) & 0x00ff00ffu) | (lut_odd(s) & 0xff00ff00u);");
    iqt_emit_close(e);
    iqt_emit_line(e, "%suint lut1(uint c) { return lut0(c >> 16); }", e->spell->function);
}

/* With a dot product instruction: state<n>(seed, low, up), four bytes 0 .. 63. Where 32-bit
 * multiplications are slow, as on AMD, two of 24 bits do: a seed has 17 bits, low is its lowest byte,
 * 24 - up bits up, and TOP() is the power's highest byte, up bits up. (A byte that is moved up by 8 or 16 would
 * be an insertion, of which NIR knows no bound.) sums<j>: four sums of bytes, less the centre, as bytes. */
static void emit_trellis_dot(struct iqt_emit *e)
{
    const struct iqt_trellis *t = e->plan->format->trellis;
    const int less = 128 - t->centre;
    uint32_t power = 1;

    /* Not known to the compiler, which would make one multiplication of 32 bits of the two, and an
     * addition of its own of what the seed lacks. */
    iqt_emit_line(e, "#define HIDE(c) ((c) ^ p.rows >> 31)");
    iqt_emit_line(e, "#define TOP(c, up) (HIDE(c << up) & 0xffu << up)");
    for (uint32_t n = 0; n < t->group; n++) {
        power *= t->multiplier;
        iqt_emit_open(e, "uint state%u(uint seed, uint low, uint up)", n);
        iqt_emit_line(
            e,
            "return seed * 0x%06xu + (low * TOP(0x%02xu, up) + HIDE(0x%08xu)) & 0x%08xu;",
            power & 0xffffff, power >> 24, t->seed_add * power, t->mask);
        iqt_emit_close(e);
    }
    for (uint32_t j = 0; j < t->group; j += 4) {
        iqt_emit_open(e, "uint sums%u(uint seed, uint low, uint up)", j / 4);
        for (uint32_t n = 0; n < 4; n++)
            iqt_emit_line(e,
                          "%s uint(dot4(state%u(seed, low, up), 0x01010101u, %d)) << %u;",
                          n == 0 ? "uint s =" : "s |=", j + n, less, 8 * n);
        iqt_emit_line(e, "return s ^ 0x80808080u;");
        iqt_emit_close(e);
    }
}

/* Bit n of a block's fields is on top of element n, 16 bits, of its vector; what is above bit 7 is any. */
static void emit_tops(struct iqt_emit *e)
{
    iqt_emit_open(e, "%suint tops(uvec4 v)", e->spell->function);
    iqt_emit_line(e, "uint t = (v.x >> 6 & 0x02000200u) | (v.y >> 4 & 0x08000800u);");
    iqt_emit_line(e, "t |= (v.z >> 2 & 0x20002000u) | (v.w & 0x80008000u);");
    iqt_emit_line(e, "return (t >> 15 | t) >> 9;");
    iqt_emit_close(e);
}

/* value_byte(state, sign): a state's value as a byte; shared lanes have unsigned bytes, whose excess the sum of the
 * activations takes off. */
static void emit_value_byte(struct iqt_emit *e)
{
    const struct iqt_trellis *t = e->plan->format->trellis;
    const bool shares = iqt_plan_shares(e->plan);

    iqt_emit_open(e, "%suint value_byte(uint state, uint sign)", e->spell->function);
    if (shares && !t->magnitude) {
        iqt_emit_line(e, "return byte_sum(state & 0x%08xu);", t->mask);
        iqt_emit_close(e);
        return;
    }
    iqt_emit_line(e, "int v = int(byte_sum(state & 0x%08xu)) - %d;", t->mask, t->centre);
    if (t->magnitude && e->plan->dialect == IQT_DIALECT_HIP) {
        iqt_emit_line(
            e, "int turn = (v ^ (int)(sign << 31)) >> 31; // a condition is two scalars");
        iqt_emit_line(e, "v = (v ^ turn) - turn;");
    } else if (t->magnitude) {
        iqt_emit_line(e, "v = (v < 0) == (sign != 0u) ? v : -v;");
    }
    iqt_emit_line(e, shares ? "return uint(v + 128);" : "return uint(v) & 0xffu;");
    iqt_emit_close(e);
}

/* Value words of a group: lut<j>(seed, signs) gives weights 4j .. 4j+3. State n is the seed times
 * multiplier^(n+1), so all are independent of each other. */
static void emit_trellis(struct iqt_emit *e)
{
    const struct iqt_trellis *t = e->plan->format->trellis;
    uint32_t power = 1;

    emit_value_byte(e);
    for (uint32_t j = 0; j < t->group / 4u; j++) {
        iqt_emit_open(e, "%suint lut%u(uint seed, uint signs)", e->spell->function, j);
        for (uint32_t n = 0; n < 4; n++) {
            power *= t->multiplier;
            iqt_emit_line(e, "%svalue_byte(seed * 0x%08xu, signs >> %u & 1u)%s%s",
                          n ? "       " : "return ", power, 8 * n,
                          n ? (const char *[]){ "", " << 8", " << 16", " << 24" }[n] : "",
                          n < 3 ? " |" : ";");
        }
        iqt_emit_close(e);
    }
}

/* Four int8 times four float activations. */
static void emit_dot_floats(struct iqt_emit *e)
{
    iqt_buf_printf(e->out, "%s", e->spell->floats);
    if (e->plan->compute == IQT_COMPUTE_F16) {
        iqt_emit_open(e, "%svec4 halves(uint a, uint b)", e->spell->function);
        iqt_emit_line(e, "vec4 x;");
        iqt_emit_line(e, "x.x = F16(a);");
        iqt_emit_line(e, "x.y = F16(a >> 16);");
        iqt_emit_line(e, "x.z = F16(b);");
        iqt_emit_line(e, "x.w = F16(b >> 16);");
        iqt_emit_line(e, "return x;");
        iqt_emit_close(e);
    }
    iqt_emit_open(e, "%sfloat dot_floats(uint v, vec4 x, float sum)", e->spell->function);
    iqt_emit_line(e, "uint u = v ^ 0x80808080u;");
    for (uint32_t i = 0; i < 4; i++)
        iqt_emit_line(e, "sum = FMA(INT8(u, %uu), x.%c, sum);", i, "xyzw"[i]);
    iqt_emit_line(e, "return sum;");
    iqt_emit_close(e);
    iqt_emit_line(e, "%sfloat sum4(vec4 x) { return (x.x + x.y) + (x.z + x.w); }",
                  e->spell->function);
}

void iqt_emit_lookup(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;

    if (iqt_plan_multiplies_floats(e->plan) && f->decode != IQT_DECODE_FLOAT)
        emit_dot_floats(e);
    if (f->scale.table) {
        emit_pick(e, "pick_scale", f->scale.table, 16);
        if (iqt_plan_shared_scales(e->plan))
            iqt_emit_line(e, "%s int scales[16];", e->spell->shared);
        iqt_emit_line(
            e,
            iqt_plan_shared_scales(e->plan)
                ? iqt_plan_is_coop(e->plan)
                      ? "%sint scale_value(uint c) { return GET_INT(scales[c]); }"
                      : "%sint scale_value(uint c) { return scales[c]; }"
                : "%sint scale_value(uint c) { return int(pick_scale(c) << 24) >> 24; }",
            e->spell->function);
    }
    if (f->gray)
        iqt_emit_line(e,
                      "%suint degray(uint w) { return (w & 0xfffefffeu) ^ "
                      "(w >> 1 & 0x7fff7fffu); }",
                      e->spell->function);
    if (e->plan->layout == IQT_LAYOUT_PACKED &&
        iqt_packing_is_topped(&e->places->packing))
        emit_tops(e);
    if (f->decode == IQT_DECODE_TRELLIS && iqt_plan_has_dot(e->plan))
        emit_trellis_dot(e);
    else if (f->decode == IQT_DECODE_TRELLIS)
        emit_trellis(e);
    if (e->plan->lookup == IQT_LOOKUP_SEL)
        emit_sel(e);
    if (e->plan->lookup == IQT_LOOKUP_SHMEM && is_long(f->codebook))
        (e->spell->constant ? emit_entry_array : emit_entry_selects)(e);
    if (e->plan->lookup == IQT_LOOKUP_SHMEM)
        emit_shmem(e);
    if (e->plan->lookup == IQT_LOOKUP_PERM)
        (iqt_plan_shares(e->plan) ? iqt_emit_lanes_lookup : emit_perm)(e);
    if (e->plan->lookup == IQT_LOOKUP_ARITH)
        emit_arith(e);
}
