/* The loop of a kernel over tiles: loads, block scales, dot products, sums of four rows. What the
 * codes mean is in emit_tile_values.c. */
#include "codegen/emit_tile.h"

#include "codegen/emit_block.h"
#include "codegen/emit_call.h"
#include "codegen/emit_mma.h"

#include <stdio.h>

enum { R = IQT_TILE_ROWS };

/* ---- Fields: block scales and shift bits ---- */

/* Bits 0 .. 7 are the lowest bits of the block's eight words of 16 bits. */
static const char gray_fields[] =
    "FN uint fields(const uint *q, uint b)\n{\n"
    "    uint y = (q[4u * b] & 0x10001u) + (q[4u * b + 1u] & 0x10001u) * 4u +\n"
    "             (q[4u * b + 2u] & 0x10001u) * 16u + (q[4u * b + 3u] & 0x10001u) * 64u;\n"
    "    return y | y >> 15;\n"
    "}\n";
/* Two bits a word, between its seeds. */
static const char spare_fields[] =
    "FN uint fields(const uint *q, uint b)\n{\n"
    "    return (q[4u * b] >> 15 & 0x03u) | (q[4u * b + 1u] >> 13 & 0x0cu) |\n"
    "           (q[4u * b + 2u] >> 11 & 0x30u) | (q[4u * b + 3u] >> 9 & 0xc0u);\n"
    "}\n";

static bool has_shift(const struct iqt_tile *t)
{
    return !iqt_field_empty(&t->format->shift);
}

/* scale(e, n): sixteen times the tile's n-th: four bits on top of a byte, less 8 by turning the
 * topmost over, which a permute extends by its sign. */
static void emit_counts(struct iqt_emit *e)
{
    iqt_emit_open(e, "FN int scale(const uint *e, uint n, const uint *t)");
    iqt_emit_line(e, "uint w = e[n / 8u];");
    iqt_emit_line(
        e,
        "uint fours = LOP3(n %% 2u ? w : w << 4, t[2], 0x80808080u, 0x6a); // (a & b) ^ c");
    iqt_emit_line(e,
                  "return (int)PERM(fours, fours, 0x8880u + 0x1111u * (n %% 8u / 2u));");
    iqt_emit_close(e);
}

/* scale(f, at): the stored bits put into the mantissa of 2^23 make a float without a conversion; one
 * exact multiply-add takes 2^23 off and scales. */
static void emit_scale(struct iqt_emit *e, const struct iqt_tile *t)
{
    if (t->format->scale.table) {
        iqt_emit_open(e, "FN float scale(uint f, uint at, const uint *t)");
        iqt_emit_line(e, "uint c = f >> at & 15u;");
        iqt_emit_line(e, "int low = dot4(PERM(t[0], t[1], c), 1u, 0);");
        iqt_emit_line(e, "return float(dot4(PERM(t[2], t[3], c ^ 8u), 1u, low));");
        iqt_emit_close(e);
        return;
    }
    iqt_emit_open(e, "FN float scale(uint f, uint at, const uint *t)");
    iqt_emit_line(e, "uint to = at < %uu ? at : %uu;", 23u - t->scale_bits,
                  23u - t->scale_bits);
    iqt_emit_line(e, "float k = %d.0f / float(1u << to);", t->scale_mul);
    iqt_emit_line(e, "float m = FLOAT_OF((f >> (at - to) & %uu << to) | t[MAGIC]);",
                  (1u << t->scale_bits) - 1);
    iqt_emit_line(e, "return FMA(m, k, %d.0f - 8388608.0f * k);", t->scale_add);
    iqt_emit_close(e);
}

/* lack(f, at): what a block's value words lack, from its shift bit. */
static void emit_lack(struct iqt_emit *e, const struct iqt_tile *t,
                      const struct iqt_tile_values *v)
{
    iqt_emit_open(e, "FN float lack(uint f, uint at, const uint *t)");
    iqt_emit_line(e, "float k = %d.0f / float(1u << at);", t->format->codebook->shift);
    iqt_emit_line(e, "float m = FLOAT_OF((f & 1u << at) | t[MAGIC]);");
    iqt_emit_line(e, "return FMA(m, k, %d.0f - 8388608.0f * k);", v->offset);
    iqt_emit_close(e);
}

static bool lacks(const struct iqt_tile *t, const struct iqt_tile_values *v)
{
    return !v->shifted && (has_shift(t) || v->offset);
}

/* What a decoder takes of the shift bit: a mask of selectors, the cubic's last term, the bit. */
static void emit_shift_mask(struct iqt_emit *e, const struct iqt_tile *t)
{
    const uint32_t ones =
        e->plan->dialect == IQT_DIALECT_CUDA ? 0x44444444u : 0x04040404u;

    iqt_emit_open(e, "FN uint mask(uint f, uint at)");
    if (t->family == IQT_TILE_Q2)
        iqt_emit_line(
            e,
            "return at < 3u ? MUL(f & 1u << at, 0x%08xu >> at) : MUL(f >> at & 1u, 0x%08xu);",
            ones, ones);
    else if (t->family == IQT_TILE_Q6)
        iqt_emit_line(e, "return (f >> at & 1u) * 0x00010001u + 0x65fb65fbu;");
    else
        iqt_emit_line(e, "return f >> at & 1u;");
    iqt_emit_close(e);
}

static bool takes_shift(const struct iqt_tile *t, const struct iqt_tile_values *v)
{
    return v->shifted && has_shift(t);
}

/* Inside the word that has them: those behind the split are in a word of their own. */
static void emit_positions(struct iqt_emit *e, const struct iqt_tile *t, const char *name,
                           const uint8_t at[4])
{
    const uint32_t base = t->split && at[0] >= t->split ? t->split : 0;

    iqt_emit_line(e, "const uint %s[4] = { %uu, %uu, %uu, %uu };", name, at[0] - base,
                  at[1] - base, at[2] - base, at[3] - base);
}

void iqt_emit_tile_functions(struct iqt_emit *e, const struct iqt_tile *t,
                             const struct iqt_tile_values *v)
{
    iqt_emit_line(e, "#define MAGIC %d // of the table's words", IQT_TILE_TABLE_WORDS);
    if (iqt_tile_scales_in_words(t->family)) {
        iqt_buf_printf(e->out, "%s",
                       t->family == IQT_TILE_KT4 ? spare_fields : gray_fields);
    } else {
        iqt_emit_open(e, "FN uint bits(const uint *e, uint at)");
        iqt_emit_line(e, "return FUNNEL(e[at / 32u + 1u], e[at / 32u], at %% 32u);");
        iqt_emit_close(e);
    }
    if (v != NULL && iqt_emit_tile_counts(e))
        emit_counts(e);
    else
        emit_scale(e, t);
    if (v == NULL)
        return;
    if (lacks(t, v) && has_shift(t))
        emit_lack(e, t, v);
    if (takes_shift(t, v))
        emit_shift_mask(e, t);
}

/* ---- Loads ---- */

void iqt_emit_tile_codes(struct iqt_emit *e, const struct iqt_tile *t, const char *at)
{
    iqt_emit_line(e, "uint q[%u];", R * t->words);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint j = 0u; j < %uu; j++)", t->words);
    iqt_emit_line(e, "uvec4 c = *(const uvec4 *)(%s_codes + 64u * j%s%s);", e->prefix,
                  at ? " + " : "", at ? at : "");
    iqt_emit_line(
        e,
        "q[4u * j] = c.x; q[4u * j + 1u] = c.y; q[4u * j + 2u] = c.z; q[4u * j + 3u] = c.w;");
    iqt_emit_close(e);
}

/* The tile's fields as a string of words; each load's address runs with the thread's span. */
static void emit_record_loads(struct iqt_emit *e, const struct iqt_tile *t)
{
    static const char *const type[] = {
        [2] = "ushort", [4] = "uint", [8] = "uvec2", [16] = "uvec4"
    };
    uint32_t word = 0;

    if (t->loads == 0)
        return;
    iqt_emit_line(e, "uint e[%u];", (R * t->row_bits + 31u) / 32u + 1u);
    for (uint32_t i = 0; i < t->loads; i++) {
        const struct iqt_tile_load *l = &t->load[i];
        const uint32_t words = l->bytes < 4 ? 1u : l->bytes / 4u;

        iqt_emit_scope(e);
        iqt_emit_line(e, "%s s = *(const %s *)(%s_record + %uu + lane %% 4u * %uu);",
                      type[l->bytes], type[l->bytes], e->prefix, l->at, l->stride);
        for (uint32_t w = 0; w < words; w++)
            iqt_emit_line(e, words == 1 ? "e[%u] = s;" : "e[%u] = s.%c;", word++,
                          "xyzw"[w]);
        iqt_emit_close(e);
    }
    iqt_emit_line(e, "e[%u] = 0u;", word);
}

static void emit_super_loads(struct iqt_emit *e, const struct iqt_tile *t)
{
    if (t->format->super.at != IQT_AT_SUPERBLOCK)
        return;
    iqt_emit_line(e, "uvec2 super = *(const uvec2 *)(%s_record + %uu);", e->prefix,
                  t->super_at);
    iqt_emit_line(e, "float d[R];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(
        e, "    d[r] = F16((r < 2u ? super.x : super.y) >> r %% 2u * 16u & 0xffffu);");
}

void iqt_emit_tile_record(struct iqt_emit *e, const struct iqt_tile *t)
{
    emit_record_loads(e, t);
    emit_super_loads(e, t);
}

/* ---- A block of 32 ---- */

void iqt_emit_tile_fields(struct iqt_emit *e, const struct iqt_tile *t)
{
    if (iqt_tile_scales_in_words(t->family))
        iqt_emit_line(e, "uint f = fields(q + %uu * r, b), g = f;", t->words);
    else if (t->split < t->row_bits)
        iqt_emit_line(e, "uint f = bits(e, %uu * r), g = bits(e, %uu + %uu * r);",
                      t->split, R * t->split, t->row_bits - t->split);
    else
        iqt_emit_line(e, "uint f = bits(e, %uu * r), g = f;", t->row_bits);
}

static void emit_shift(struct iqt_emit *e, const struct iqt_tile *t, uint32_t i)
{
    const uint32_t h = iqt_tile_halves(t);

    if (iqt_emit_tile_counts(e))
        iqt_emit_line(
            e, "s[%u] = (e[2] >> (4u * r + 2u * b + %uu) & 1u) != 0u ? t[1] : t[0];", i,
            i);
    else
        iqt_emit_line(e, "s[%u] = mask(g, shift_at[%uu * b + %uu]);", i, h, i * (h - 1));
}

/* Fields, scales, shift masks and value words of row r: everything that columns share. */
static void emit_decode(struct iqt_emit *e, const struct iqt_tile *t,
                        const struct iqt_tile_values *v, bool all_rows)
{
    const uint32_t h = iqt_tile_halves(t);
    const char *row = all_rows ? "r" : "0u";

    iqt_emit_tile_fields(e, t);
    iqt_emit_line(e, "uint s[2] = { 0u, 0u };");
    for (uint32_t i = 0; i < 2; i++) {
        if (takes_shift(t, v) && !iqt_emit_tile_counts(e))
            emit_shift(e, t, i);
        if (i < h && iqt_emit_tile_counts(e))
            iqt_emit_line(e,
                          "scales[2u * %s + %uu] = scale(e, 4u * r + 2u * b + %uu, t);",
                          row, i, i);
        else if (i < h)
            iqt_emit_line(
                e, "scales[%uu * %s + %uu] = scale(f, scale_at[%uu * b + %uu], t)%s;", h,
                row, i, h, i,
                !iqt_emit_pairs(e->plan) && t->format->super.at == IQT_AT_SUPERBLOCK
                    ? " * d[r]"
                    : "");
        if (i < h && lacks(t, v) && has_shift(t))
            iqt_emit_line(
                e, "lacking[%uu * %s + %uu] = lack(g, shift_at[%uu * b + %uu], t);", h,
                row, i, h, i);
    }
    for (uint32_t i = 0; i < 2 && iqt_emit_tile_counts(e); i++) /* here: fewer moves */
        emit_shift(e, t, i);
    iqt_emit_line(e, "(void)g;");
    iqt_emit_line(e, "values(q + %uu * r, b, f, s, t, v + %s * W);", t->words, row);
}

/* The activations of a block, in the order of the value words. */
static void emit_x(struct iqt_emit *e, const struct iqt_tile *t,
                   const struct iqt_tile_values *v)
{
    const bool cuda = e->plan->dialect == IQT_DIALECT_CUDA;

    iqt_emit_line(e, "uvec4 xa = xq[0], xb = xq[1];");
    iqt_emit_line(e, "uvec2 xs = *xt;");
    if (e->plan->n > 1) { /* a column that is not there is the last one again */
        const char *sweep = iqt_plan_columns(e->plan) < e->plan->n ? "sweep + " : "";

        iqt_emit_line(e, "xq += %sc + 1u < p.cols ? p.k / 16u : 0u;", sweep);
        iqt_emit_line(e, "xt += %sc + 1u < p.cols ? p.k / 32u : 0u;", sweep);
    }
    iqt_emit_line(e, "float dx = FLOAT_OF(xs.x);");
    iqt_emit_line(e, "int x_sum0 = int(xs.y << 16) >> 16, x_sum1 = int(xs.y) >> 16;");
    iqt_emit_line(e, "(void)x_sum0; (void)x_sum1;");
    iqt_emit_line(e, "uint x[8] = { xa.x, xa.y, xa.z, xa.w, xb.x, xb.y, xb.z, xb.w };");
    if (t->family == IQT_TILE_PAIRS || t->family == IQT_TILE_Q4_GRAY) {
        const bool pairs = t->family == IQT_TILE_PAIRS;

        iqt_emit_line(e, "uint y[8];");
        iqt_emit_line(e, "UNROLL");
        iqt_emit_open(e, "for (uint i = 0u; i < 4u; i++)");
        iqt_emit_line(e, pairs ? "uint one = x[2u * i], two = x[2u * i + 1u];"
                               : "uint one = x[i], two = x[i + 4u];");
        if (pairs)
            iqt_emit_line(
                e, "y[2u * i] = PERM(one, two, %s); y[2u * i + 1u] = PERM(one, two, %s);",
                cuda ? "0x6420u" : "0x06040200u", cuda ? "0x7531u" : "0x07050301u");
        else
            iqt_emit_line(
                e, "y[2u * i] = PERM(one, two, %s); y[2u * i + 1u] = PERM(one, two, %s);",
                cuda ? "0x5140u" : "0x03020100u", cuda ? "0x7362u" : "0x07060504u");
        iqt_emit_close(e);
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint i = 0u; i < 8u; i++)");
        iqt_emit_line(e, "    x[i] = y[i];");
    }
    if (v->states) {
        iqt_emit_line(e, "uint xr[32];");
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint i = 0u; i < 32u; i++)");
        iqt_emit_line(e, "    xr[i] = REPEAT(x[i / 4u], i %% 4u);");
    }
    if (lacks(t, v)) {
        if (iqt_tile_halves(t) == 2)
            iqt_emit_line(e, "float xf[2] = { float(x_sum0), float(x_sum1) };");
        else
            iqt_emit_line(e, "float xf[1] = { float(x_sum0 + x_sum1) };");
    }
}

/* Two blocks of 16 have the same x scale and superblock's scale. */
static void emit_terms(struct iqt_emit *e, const struct iqt_tile *t, const char *row)
{
    const uint32_t h = iqt_tile_halves(t);
    char sum[32];

    snprintf(sum, sizeof sum, "%s_sum[r * N + c]", e->prefix);
    for (uint32_t i = 0; i < h && !iqt_emit_pairs(e->plan); i++)
        iqt_emit_line(e, "%s = FMA(scales[%uu * %s + %uu] * dx, whole[%u], %s);", sum, h,
                      row, i, i, sum);
    if (!iqt_emit_pairs(e->plan))
        return;
    iqt_emit_line(e,
                  iqt_emit_tile_counts(e)
                      ? "float pair = float(scales[2u * %s + 1u] * whole[1] + "
                        "scales[2u * %s] * whole[0]);"
                      : "float pair = FMA(scales[2u * %s + 1u], whole[1], "
                        "scales[2u * %s] * whole[0]);",
                  row, row);
    iqt_emit_line(e, "%s = FMA(d[r] * dx, pair, %s);", sum, sum);
}

static void emit_dot(struct iqt_emit *e, const struct iqt_tile *t,
                     const struct iqt_tile_values *v, bool all_rows)
{
    const uint32_t h = iqt_tile_halves(t);
    const char *row = all_rows ? "r" : "0u";

    iqt_emit_line(e, iqt_emit_tile_counts(e) ? "int whole[2];" : "float whole[%u];", h);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint h = 0u; h < %uu; h++)", h);
    if (v->states) {
        iqt_emit_line(e, "int i = (x_sum0 + x_sum1) * -%d;", t->format->trellis->centre);
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint n = 0u; n < 32u; n++)");
        iqt_emit_line(e, "    i = dot4(v[%s * W + n], xr[n], i);", row);
    } else {
        iqt_emit_line(e, "int i = 0;");
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint n = 0u; n < %uu; n++)", 8u * v->parts / h);
        iqt_emit_line(e,
                      "    i = dot4(v[%s * W + %uu * h + n], x[%uu * h + n / %uu], i);",
                      row, 8u * v->parts / h, 8u / h, v->parts);
    }
    if (!lacks(t, v))
        iqt_emit_line(e, "whole[h] = %s;", iqt_emit_tile_counts(e) ? "i" : "float(i)");
    else if (has_shift(t))
        iqt_emit_line(e, "whole[h] = FMA(lacking[%uu * %s + h], xf[h], float(i));", h,
                      row);
    else
        iqt_emit_line(e, "whole[h] = FMA(%d.0f, xf[h], float(i));", v->offset);
    iqt_emit_close(e);
    emit_terms(e, t, row);
}

static void emit_block(struct iqt_emit *e, const struct iqt_tile *t,
                       const struct iqt_tile_values *v)
{
    const bool all = e->plan->n > 1;
    const uint32_t rows = all ? R : 1;

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint b = 0u; b < 2u; b++)");
    if (all) {
        iqt_emit_line(e, "uint v[%u * W];", rows);
        iqt_emit_line(e, "%s scales[%u];", iqt_emit_tile_counts(e) ? "int" : "float",
                      rows * iqt_tile_halves(t));
        if (lacks(t, v) && has_shift(t))
            iqt_emit_line(e, "float lacking[%u];", rows * iqt_tile_halves(t));
        iqt_emit_line(e, "UNROLL");
        iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
        emit_decode(e, t, v, true);
        iqt_emit_close(e);
    }
    iqt_emit_line(e, "const uvec4 *xq = x4 + 2u * b;");
    iqt_emit_line(e, "const uvec2 *xt = x2 + b;");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint c = 0u; c < N; c++)");
    if (e->plan->dialect == IQT_DIALECT_HIP && e->plan->n > 2)
        iqt_emit_line(
            e, "asm volatile(\"\" ::: \"memory\"); // this column's loads stay here");
    emit_x(e, t, v);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    if (!all) {
        iqt_emit_line(e, "uint v[W];");
        iqt_emit_line(e, "%s scales[%u];", iqt_emit_tile_counts(e) ? "int" : "float",
                      iqt_tile_halves(t));
        if (lacks(t, v) && has_shift(t))
            iqt_emit_line(e, "float lacking[%u];", iqt_tile_halves(t));
        emit_decode(e, t, v, false);
    }
    emit_dot(e, t, v, all);
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* ---- The loop ---- */

static void emit_start(struct iqt_emit *e, const struct iqt_tile *t)
{
    const char *p = e->prefix, *from = iqt_emit_first_span(e->plan);

    iqt_emit_line(e, "float %s_sum[R * N];", p);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint i = 0u; i < R * N; i++)");
    iqt_emit_line(e, "    %s_sum[i] = 0.0f;", p);
    iqt_emit_line(e, "uint %s_row[R];", p);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(e, "    %s_row[r] = p.%s_base + tile + r * %uu;", p, p,
                  t->format->row_head);
    iqt_emit_line(
        e,
        "const uchar *%s_codes = %s_bytes + p.%s_base + tile + %s / 4u * %uu + lane %% 4u * 16u;",
        p, p, p, from, 64u * t->words);
    iqt_emit_line(
        e,
        "const uchar *%s_record = %s_bytes + p.%s_base + tile + p.k / 256u * %uu + %s / 4u * %uu;",
        p, p, p, 64u * t->words, from, t->record_bytes);
    iqt_emit_line(e, "(void)%s_record;", p);
}

void iqt_emit_tile_words(struct iqt_emit *e, const uint32_t *word, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        iqt_emit_line(e, "t[%u] = 0x%08xu ^ zero;", i, word[i]);
}

/* Words that stay in registers: known to the compiler, or uniform, they would be moved to one anew for
 * each permute. A launch has fewer than 2^26 rows: a binding is below 4 GiB. */
void iqt_emit_tile_table(struct iqt_emit *e, const struct iqt_tile *t)
{
    const bool cuda = e->plan->dialect == IQT_DIALECT_CUDA;
    const bool mma = e->plan->compute == IQT_COMPUTE_MMA;
    uint32_t word[IQT_TILE_TABLE_WORDS];
    const uint32_t n =
        cuda || mma ? iqt_tile_table(t, e->plan->dialect, iqt_emit_tile_merges(e), word)
                    : iqt_tile_table_both(t, 0, word);

    iqt_emit_line(
        e, "uint zero = first >> 31; // always 0, but no constant and not uniform");
    iqt_emit_line(e, "uint t[MAGIC + 1];");
    iqt_emit_line(e, "t[MAGIC] = 0x4b000000u ^ zero; // 2^23");
    if (!cuda && mma)
        iqt_emit_mfma_table(e, t, word, n);
    else
        iqt_emit_tile_words(e, word, n);
    emit_positions(e, t, "scale_at", t->scale_bit);
    emit_positions(e, t, "shift_at", t->shift_bit);
    iqt_emit_line(e, "(void)scale_at; (void)shift_at; (void)t;");
}

/* Offsets inside a group of rows: which group, where its row headers are. */
void iqt_emit_tile_geometry(struct iqt_emit *e, const struct iqt_tile *t)
{
    iqt_emit_line(e, "uint spans = p.k / S, last = (p.rows + p.skip - 1u) / R;");
    iqt_emit_line(e,
                  "uint tile = (first / R < last ? first / R : last) * R * p.row_bytes;");
    iqt_emit_line(e, "uint head = p.k / 256u * %uu;", 64u * t->words + t->record_bytes);
}

void iqt_emit_tile_spans(struct iqt_emit *e, const struct iqt_tile *t,
                         const struct iqt_tile_values *v)
{
    const char *from = iqt_emit_first_span(e->plan), *step = iqt_emit_span_step(e->plan);

    emit_start(e, t);
    iqt_emit_scope(e);
    iqt_emit_line(e, "const uvec4 *x4 = xq4 + %s * 4u;", from);
    iqt_emit_line(e, "const uvec2 *x2 = xs2 + %s * 2u;", from);
    iqt_emit_open(e, "for (uint u = %s; u < spans; u += %s)", from, step);
    iqt_emit_tile_codes(e, t, NULL);
    iqt_emit_tile_record(e, t);
    emit_block(e, t, v);
    iqt_emit_line(e, "%s_codes += %s / 4u * %uu;", e->prefix, step, 64u * t->words);
    iqt_emit_line(e, "%s_record += %s / 4u * %uu;", e->prefix, step, t->record_bytes);
    iqt_emit_line(e, "x4 += %s * 4u;", step);
    iqt_emit_line(e, "x2 += %s * 2u;", step);
    iqt_emit_close(e);
    iqt_emit_close(e);
}
