/* The loop of a kernel over tiles: loads, dot products, sums of four rows. What the codes mean is in
 * emit_tile_values.c, block scales and shift bits are in emit_tile_fields.c. */
#include "codegen/emit_tile.h"

#include "codegen/emit_block.h"
#include "codegen/emit_call.h"
#include "codegen/emit_mma.h"

#include <stdio.h>

enum { R = IQT_TILE_ROWS };

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
        if (iqt_tile_takes_shift(t, v) && !iqt_emit_tile_counts(e))
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
        if (i < h && iqt_tile_lacks(t, v) && iqt_tile_has_shift(t))
            iqt_emit_line(
                e, "lacking[%uu * %s + %uu] = lack(g, shift_at[%uu * b + %uu], t);", h,
                row, i, h, i);
    }
    for (uint32_t i = 0; i < 2 && iqt_emit_tile_counts(e); i++) /* here: fewer moves */
        emit_shift(e, t, i);
    iqt_emit_line(e, "(void)g;");
    iqt_emit_line(e, "values(q + %uu * r, b, f, s, t, v + %s * W);", t->words, row);
}

/* Scales of both blocks' activations at once: a load less. Where registers are short the compiler is left to
 * take one after the other (sm_90: 64 instead of 72 for iq3_k, 72 instead of 78 for iq5_ks; sm_100: 1.29 slots
 * instead of 1.30 for iq2_k). */
static bool loads_both(const struct iqt_emit *e, const struct iqt_tile *t)
{
    const uint32_t h = iqt_tile_halves(t);

    return e->plan->n == 1 && !iqt_emit_tile_counts(e) &&
           !(t->family == IQT_TILE_Q3 && h == 2) && !(t->family == IQT_TILE_Q5 && h == 1);
}

/* Clang begins the work of all rows or columns as early as it can, for which it takes twice the registers where
 * loads are far apart, up to spills. Not so across this line on RDNA, nor on CDNA where `always`: there it costs
 * most kernels registers, few have less. */
static void emit_in_order(struct iqt_emit *e, bool always)
{
    if (e->plan->dialect == IQT_DIALECT_HIP)
        iqt_emit_line(e, always ? "IN_ORDER_ALWAYS;" : "IN_ORDER;");
}

/* On CDNA with one column, by count (gfx942: 100 and 72 registers for iq2_ks, 129 and 103 for iq4_kss). */
static bool has_fewer_in_order(const struct iqt_tile *t)
{
    return t->family == IQT_TILE_PAIRS || t->family == IQT_TILE_Q4_GRAY ||
           t->family == IQT_TILE_KT3 ||
           (t->family == IQT_TILE_Q2 && iqt_tile_halves(t) == 1);
}

/* Kernels that go through their rows in order have the loads of both blocks in front of them. Those of trellises
 * have enough to do while they wait, but not the registers. */
static bool loads_x_first(const struct iqt_emit *e)
{
    return e->plan->dialect == IQT_DIALECT_HIP && e->plan->n == 1 &&
           e->plan->format->decode == IQT_DECODE_CODEBOOK;
}

/* The activations of a block, in the order of the value words. */
static void emit_x(struct iqt_emit *e, const struct iqt_tile *t,
                   const struct iqt_tile_values *v)
{
    const bool cuda = e->plan->dialect == IQT_DIALECT_CUDA;

    iqt_emit_line(e, loads_x_first(e) ? "uvec4 xa = xv[2u * b], xb = xv[2u * b + 1u];"
                                      : "uvec4 xa = xq[0], xb = xq[8];");
    if (loads_both(e, t))
        iqt_emit_line(
            e, "uvec2 xs = { b == 0u ? both.x : both.z, b == 0u ? both.y : both.w };");
    else
        iqt_emit_line(e, "uvec2 xs = *xt;");
    if (e->plan->n > 1) { /* a column that is not there is the last one again */
        const char *sweep = iqt_plan_columns(e->plan) < e->plan->n ? "sweep + " : "";

        iqt_emit_line(e, "xq += %sc + 1u < p.cols ? %s : 0u;", sweep,
                      iqt_emit_x_vectors(e->plan));
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
    if (iqt_tile_lacks(t, v)) {
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

/* less: every second word counts against the one before it. */
static void emit_words_dot(struct iqt_emit *e, uint32_t parts, uint32_t h,
                           const char *row, bool less)
{
    const uint32_t words = 8u * parts / h;
    char dot[96];

    snprintf(dot, sizeof dot, "dot4(v[%s * W + %uu * h + n], x[%uu * h + n / %uu], ", row,
             words, 8u / h, parts);
    iqt_emit_line(e, less ? "int i = 0, less = 0;" : "int i = 0;");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint n = 0u; n < %uu; n++)", words);
    if (less) {
        iqt_emit_line(e, "    (n %% 2u ? less : i) = %sn %% 2u ? less : i);", dot);
        iqt_emit_line(e, "i -= less;");
    } else {
        iqt_emit_line(e, "    i = %si);", dot);
    }
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
        emit_words_dot(e, v->parts, h, row, iqt_tile_takes_away(t));
    }
    if (!iqt_tile_lacks(t, v))
        iqt_emit_line(e, "whole[h] = %s;", iqt_emit_tile_counts(e) ? "i" : "float(i)");
    else if (iqt_tile_has_shift(t))
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

    if (loads_both(e, t))
        iqt_emit_line(e, "uvec4 both = *(const uvec4 *)x2; // blocks' scales and sums");
    if (loads_x_first(e))
        iqt_emit_line(e, "uvec4 xv[4] = { x4[0], x4[8], x4[16], x4[24] };");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint b = 0u; b < 2u; b++)");
    if (all) {
        iqt_emit_line(e, "uint v[%u * W];", rows);
        iqt_emit_line(e, "%s scales[%u];", iqt_emit_tile_counts(e) ? "int" : "float",
                      rows * iqt_tile_halves(t));
        if (iqt_tile_lacks(t, v) && iqt_tile_has_shift(t))
            iqt_emit_line(e, "float lacking[%u];", rows * iqt_tile_halves(t));
        iqt_emit_line(e, "UNROLL");
        iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
        emit_decode(e, t, v, true);
        emit_in_order(e, false);
        iqt_emit_close(e);
    }
    if (!loads_x_first(e))
        iqt_emit_line(e, "const uvec4 *xq = x4 + 16u * b;");
    if (!loads_both(e, t))
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
        if (iqt_tile_lacks(t, v) && iqt_tile_has_shift(t))
            iqt_emit_line(e, "float lacking[%u];", iqt_tile_halves(t));
        emit_decode(e, t, v, false);
    }
    emit_dot(e, t, v, all);
    if (!all)
        emit_in_order(e, has_fewer_in_order(t));
    iqt_emit_close(e);
    if (all)
        emit_in_order(e, false);
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
    iqt_emit_line(e, "const uvec4 *x4 = xq4 + %s / 8u * 32u + %s %% 8u;", from, from);
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
