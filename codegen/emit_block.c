/* One superblock: decode blocks of 32 weights of R rows into words of four int8, multiply by each
 * column's activations in int32, apply scales in float. A block's term is
 * (L * d) * dx * sum, or that of two blocks d * dx * (L0 * sum0 + L1 * sum1), in this order, whatever
 * the layout: equal plans give equal bits. */
#include "codegen/emit_block.h"

#include "codegen/emit_coop.h"
#include "codegen/emit_floats.h"
#include "codegen/emit_lanes.h"
#include "kernels/tile.h"

#include <stdio.h>

static bool has_scale(const struct iqt_format *f)
{
    return !iqt_field_empty(&f->scale.raw);
}

/* Linear codes become signed bytes without carries between them. */
static void emit_linear(struct iqt_emit *e, uint32_t word, const char *codes)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t bytes = 0x01010101u;

    if (iqt_plan_shares(e->plan)) {
        iqt_emit_line(e, "v[r * 8u + %uu] = (%s) ^ 0x%08xu;", word, codes,
                      f->code_signed ? (1u << (f->code_signed - 1)) * bytes : 0);
        return;
    }

    if (f->code_signed && f->code_signed < 8) {
        const uint32_t sign = (1u << (f->code_signed - 1)) * bytes;

        iqt_emit_line(e,
                      "v[r * 8u + %uu] = ((((%s) ^ 0x%08xu) | 0x80808080u) - 0x%08xu) ^ "
                      "0x80808080u;",
                      word, codes, sign, sign);
        return;
    }
    if (f->code_add < 0)
        iqt_emit_line(e,
                      "v[r * 8u + %uu] = (((%s) | 0x80808080u) - 0x%08xu) ^ 0x80808080u;",
                      word, codes, (uint32_t)-f->code_add * bytes);
    else if (f->code_add > 0)
        iqt_emit_line(e, "v[r * 8u + %uu] = (%s) + 0x%08xu;", word, codes,
                      (uint32_t)f->code_add * bytes);
    else
        iqt_emit_line(e, "v[r * 8u + %uu] = %s;", word, codes);
}

/* How a block's 32 weights stand in words of four int8: the trellis on a dot product instruction has
 * a word a weight, the bytes of its state, or two words for four weights that are added. */
static bool has_states(const struct iqt_plan *p)
{
    return p->compute == IQT_COMPUTE_DOT && p->format->decode == IQT_DECODE_TRELLIS &&
           !p->format->trellis->magnitude && p->n == 1;
}

static uint32_t parts(const struct iqt_plan *p)
{
    return p->compute == IQT_COMPUTE_DOT && p->format->decode == IQT_DECODE_TRELLIS &&
                   p->format->trellis->magnitude
               ? 2
               : 1;
}

/* Words of the group of seed for a dot product instruction; args: what state() takes. The magnitude gets
 * the sign bit's sign: it is turned around, (s ^ m) + (m & 1), where the signs of the sum and of the bit
 * differ. Matrices have no second word for the addition. */
static void emit_trellis_dot(struct iqt_emit *e, uint32_t i, const char *args)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t group = f->trellis->group;
    char expr[IQT_EXPR_BYTES];

    for (uint32_t n = 0; n < group && has_states(e->plan); n++)
        iqt_emit_line(e, "dot0 = dot4(state%u(%s), xr[%u], dot0);", n, args, i % 32 + n);
    for (uint32_t j = 0; j < group / 4 && !has_states(e->plan); j++) {
        const uint32_t word = i % 32 / 4 + j;

        if (!f->trellis->magnitude) {
            iqt_emit_line(e, "v[r * 8u + %uu] = sums%u(%s);", word, j, args);
            continue;
        }
        iqt_expr_tops(e, &f->sign, i + 4 * j, expr);
        iqt_emit_line(e, "sum = sums%u(%s);", j, args);
        iqt_emit_line(e, "turn = (sum ^ %s) & 0x80808080u;", expr);
        if (iqt_plan_is_coop(e->plan)) {
            iqt_emit_line(e,
                          "v[r * 8u + %uu] = add_bytes(sum ^ (turn << 1) - (turn >> 7), "
                          "turn >> 7);",
                          word);
            continue;
        }
        iqt_emit_line(e, "v[r * 16u + %uu] = sum ^ (turn << 1) - (turn >> 7);", 2 * word);
        iqt_emit_line(e, "v[r * 16u + %uu] = turn >> 7;", 2 * word + 1);
    }
}

/* The seed's lowest byte, as it stands in its word or 15 bits up; returns at which bit. Where it is stored as
 * a byte, it is shorter to start from that. */
static uint32_t emit_low(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_field byte = { .plane = { e->plan->format->code.plane[0] } };
    char expr[IQT_EXPR_BYTES];
    const uint32_t at = iqt_expr_low_byte(e, &e->plan->format->code, i, expr);

    if (at) {
        iqt_emit_line(e, "low = %s;", expr);
        return at;
    }
    if (byte.plane[0].width != 8) {
        iqt_emit_line(e, "low = seed << 15 & 0x7f8000u;");
        return 15;
    }
    iqt_expr_field(e, &byte, i, expr);
    iqt_emit_line(e, "low = (%s) << 15;", expr);
    return 15;
}

/* The code, and above it the shift bit where its share of a seed is the next power of two. Not in C++, whose
 * compilers add it in the same instruction as the constant. */
static struct iqt_field seed_field(const struct iqt_plan *p, bool *whole)
{
    const struct iqt_format *f = p->format;
    struct iqt_field seed = f->code;
    uint32_t n = 0;

    *whole = f->trellis->shift_add == 0;
    if (f->trellis->shift_add != iqt_seed_count(f) || p->dialect != IQT_DIALECT_GLSL)
        return seed;
    *whole = true;
    while (seed.plane[n].width)
        n++;
    seed.plane[n] = f->shift.plane[0];
    seed.plane[n].to = (uint8_t)iqt_field_width(&f->code);
    return seed;
}

static void emit_trellis_group(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_trellis *t = f->trellis;
    char expr[IQT_EXPR_BYTES], args[32];
    bool whole;
    const struct iqt_field seed = seed_field(e->plan, &whole);

    iqt_expr_field(e, &seed, i, expr);
    if (iqt_plan_has_dot(e->plan)) /* its states add the constant */
        iqt_emit_line(e, "seed = %s;", expr);
    else
        iqt_emit_line(e, "seed = (%s) + %uu;", expr, t->seed_add);
    if (!whole) {
        iqt_expr_field(e, &f->shift, i, expr);
        iqt_emit_line(e, "seed += (%s) * %uu;", expr, t->shift_add);
    }
    if (iqt_plan_has_dot(e->plan)) {
        snprintf(args, sizeof args, "seed, low, %uu", 24 - emit_low(e, i));
        emit_trellis_dot(e, i, args);
        return;
    }
    for (uint32_t j = 0; j < t->group / 4u; j++) {
        if (t->magnitude)
            iqt_expr_codes(e, &f->sign, i + 4 * j, 1, expr);
        iqt_emit_line(e, "v[r * 8u + %uu] = lut%u(seed, %s);", i % 32 / 4 + j, j,
                      t->magnitude ? expr : "0u");
    }
}

/* Magnitudes above 0: no byte carries into the next when it is negated. */
static void emit_four(struct iqt_emit *e, uint32_t i, uint32_t word)
{
    const struct iqt_format *f = e->plan->format;
    char code[IQT_EXPR_BYTES], sign[IQT_EXPR_BYTES];

    iqt_expr_field(e, &f->code, i + 4 * word, code);
    iqt_expr_codes(e, &f->sign, i + 4 * word, 1, sign);
    iqt_emit_line(e, "v[r * 8u + %uu] = negate(lut(%s), %s)%s;", word, code, sign,
                  iqt_plan_shares(e->plan) ? " ^ 0x80808080u" : "");
}

/* What shift bits add to codes where the table has the shifted values. */
static void emit_shifted_codes(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    char expr[IQT_EXPR_BYTES];

    for (uint32_t h = 0; h < 32u / f->block && iqt_coop_shifts_in_table(e->plan); h++) {
        iqt_expr_field(e, &f->shift, i + h * f->block, expr);
        iqt_emit_line(e, "uint up%u = (%s) != 0u ? 0x%08xu : 0u;", h, expr,
                      f->codebook->count * 0x01010101u);
    }
}

/* v[r * 8 ..]: the 32 weights from weight i of the span. */
static void emit_values(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    char codes[IQT_EXPR_BYTES];

    if (f->decode == IQT_DECODE_TRELLIS) {
        iqt_emit_line(e, !iqt_plan_has_dot(e->plan) ? "uint seed;"
                         : f->trellis->magnitude    ? "uint seed, low, sum, turn;"
                                                    : "uint seed, low;");
        for (uint32_t g = 0; g < 32; g += f->trellis->group)
            emit_trellis_group(e, i + g);
        return;
    }
    if (f->decode == IQT_DECODE_CODEBOOK && f->codebook->dim == 2) {
        iqt_emit_line(e, "uint codes;");
        for (uint32_t word = 0; word < 8; word += 2) {
            iqt_expr_codes(e, &f->code, i + 4 * word, 2, codes);
            iqt_emit_line(e, "codes = %s;", codes);
            iqt_emit_line(e, "v[r * 8u + %uu] = lut0(codes);", word);
            iqt_emit_line(e, "v[r * 8u + %uu] = lut1(codes);", word + 1);
        }
        return;
    }
    if (f->decode == IQT_DECODE_CODEBOOK && f->codebook->dim == 4) {
        for (uint32_t word = 0; word < 8; word++)
            emit_four(e, i, word);
        return;
    }
    emit_shifted_codes(e, i);
    for (uint32_t word = 0; word < 8; word++) {
        iqt_expr_codes(e, &f->code, i + 4 * word, 1, codes);
        if (f->decode == IQT_DECODE_LINEAR)
            emit_linear(e, word, codes);
        else if (iqt_coop_shifts_in_table(e->plan))
            iqt_emit_line(e, "v[r * 8u + %uu] = lut(%s | up%u);", word, codes,
                          4 * word / f->block);
        else
            iqt_emit_line(e, "v[r * 8u + %uu] = lut(%s);", word, codes);
    }
}

static bool is_local(const struct iqt_format *f)
{
    return f->super.at == IQT_AT_SUPERBLOCK;
}

bool iqt_emit_pairs(const struct iqt_plan *p)
{
    return p->format->block == 16 && is_local(p->format) &&
           !iqt_plan_multiplies_floats(p) && p->compute != IQT_COMPUTE_MMA &&
           p->dialect != IQT_DIALECT_HIP &&
           iqt_tile_family_of(p->format, p->dialect) != IQT_TILE_Q3;
}

/* Block scales times the superblock's, shift corrections and minima of one row: one entry per 32 or
 * per 16 weights. */
static void emit_block_fields(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const int lack = iqt_emit_lookup_offset(e->plan);
    char expr[IQT_EXPR_BYTES], offset[16] = "";

    if (lack)
        snprintf(offset, sizeof offset, " + %d", lack);
    for (uint32_t h = 0; h < 32u / f->block; h++) {
        const uint32_t weight = i + h * f->block;

        if (has_scale(f)) {
            iqt_expr_scale(e, &f->scale, weight, expr);
            iqt_emit_line(e, "scale%u[r] = float(%s)%s;", h, expr,
                          is_local(f) && !iqt_emit_pairs(e->plan) ? " * d[r]" : "");
        } else {
            iqt_emit_line(e, "scale%u[r] = d[r];", h);
        }
        if (iqt_emit_has_correction(f) && !iqt_coop_shifts_in_table(e->plan)) {
            iqt_expr_field(e, &f->shift, weight, expr);
            iqt_emit_line(e, "shift%u[r] = int(%s) * %d%s;", h, expr, f->codebook->shift,
                          offset);
        }
        if (iqt_has_min(f)) {
            iqt_expr_scale(e, &f->min, weight, expr);
            iqt_emit_line(e, "least%u[r] = float(%s) * dmin[r];", h, expr);
        }
    }
}

static void emit_declarations(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;

    if (!has_states(e->plan))
        iqt_emit_line(e, "uint v[R * %uu];", 8 * parts(e->plan));
    for (uint32_t h = 0; h < 32u / f->block; h++) {
        iqt_emit_line(e, "float scale%u[R];", h);
        if (iqt_emit_has_correction(f) && !iqt_coop_shifts_in_table(e->plan))
            iqt_emit_line(e, "int shift%u[R];", h);
        if (iqt_has_min(f))
            iqt_emit_line(e, "float least%u[R];", h);
    }
}

static const char *const x_word[8] = { "xa.x", "xa.y", "xa.z", "xa.w",
                                       "xb.x", "xb.y", "xb.z", "xb.w" };

/* Bytes of x, each four times: a state's four bytes are one weight. Rows share them. */
static void emit_repeats(struct iqt_emit *e)
{
    iqt_emit_line(e, "uint xr[32];");
    for (uint32_t i = 0; i < 32; i++)
        iqt_emit_line(e, "xr[%u] = repeat(%s, %u);", i, x_word[i / 4], 8 * (i % 4));
}

/* Each state is used at once: those of four rows would not fit the registers. */
static void emit_state_dots(struct iqt_emit *e, uint32_t i)
{
    iqt_emit_line(e, "int dot0 = (x_sum0 + x_sum1) * -%d;",
                  e->plan->format->trellis->centre);
    emit_values(e, i);
    emit_block_fields(e, i);
}

static void emit_word_dots(struct iqt_emit *e)
{
    const bool halves = e->plan->format->block == 16;
    const uint32_t each = parts(e->plan);

    iqt_emit_line(e, "int dot0 = dot4(v[r * %uu], xa.x, 0);", 8 * each);
    for (uint32_t w = 1; w < 8 * each; w++) {
        const bool second = halves && w >= 4 * each;

        if (halves && w == 4 * each)
            iqt_emit_line(e, "int dot1 = dot4(v[r * %uu + %uu], xb.x, 0);", 8 * each, w);
        else
            iqt_emit_line(e, "dot%d = dot4(v[r * %uu + %uu], %s, dot%d);", second,
                          8 * each, w, x_word[w / each], second);
    }
}

/* Whether values lack something although their format has no shift bits. */
static bool lacks(const struct iqt_plan *p)
{
    return iqt_plan_shares(p) && !iqt_emit_has_correction(p->format) &&
           iqt_emit_lookup_offset(p) != 0;
}

/* Integer sums of one row and column: dot<h>, corrected, and its term of the result. */
static void emit_dots(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const bool halves = f->block == 16;

    if (has_states(e->plan))
        emit_state_dots(e, i);
    else
        emit_word_dots(e);
    for (uint32_t h = 0; h < 32u / f->block; h++) {
        const char *sum = halves ? h ? "x_sum1" : "x_sum0" : "(x_sum0 + x_sum1)";

        if (iqt_emit_has_correction(f))
            iqt_emit_line(e, "dot%u += shift%u[r] * %s;", h, h, sum);
        else if (lacks(e->plan))
            iqt_emit_line(e, "dot%u += %d * %s;", h, iqt_emit_lookup_offset(e->plan),
                          sum);
        if (!iqt_emit_pairs(e->plan))
            iqt_emit_line(
                e,
                "%s_sum[r * N + c] = FMA(scale%u[r] * dx, float(dot%u), %s_sum[r * N + c]);",
                e->prefix, h, h, e->prefix);
        if (iqt_has_min(f))
            iqt_emit_line(
                e,
                "%s_sum[r * N + c] = FMA(least%u[r] * dx, -float(%s), %s_sum[r * N + c]);",
                e->prefix, h, sum, e->prefix);
    }
    if (!iqt_emit_pairs(e->plan))
        return;
    iqt_emit_line(e,
                  "float pair = FMA(scale1[r], float(dot1), scale0[r] * float(dot0));");
    iqt_emit_line(e, "%s_sum[r * N + c] = FMA(d[r] * dx, pair, %s_sum[r * N + c]);",
                  e->prefix, e->prefix);
}

const char *iqt_emit_column(const struct iqt_emit *e)
{
    return e->plan->covers == IQT_COVERS_ROUTED && e->plan->dialect == IQT_DIALECT_GLSL
               ? "(vector + col)"
               : "col";
}

void iqt_emit_block_number(struct iqt_emit *e, uint32_t block)
{
    iqt_emit_line(e, "uint block = %s * (p.k / 32u) + u * %uu + %uu;", iqt_emit_column(e),
                  e->plan->span / 32, block);
}

static void emit_int_x(struct iqt_emit *e, uint32_t block)
{
    const struct iqt_format *f = e->plan->format;

    if (iqt_plan_shares(e->plan)) {
        iqt_emit_lanes_x(e, block);
    } else {
        iqt_emit_block_number(e, block);
        iqt_emit_line(e, "uvec4 xa = xq4[block * 2u], xb = xq4[block * 2u + 1u];");
        iqt_emit_line(e, "uvec2 xs = xs2[block];");
    }
    iqt_emit_line(e, "float dx = FLOAT_OF(xs.x);");
    if (iqt_emit_has_correction(f) || iqt_has_min(f) || has_states(e->plan) ||
        lacks(e->plan))
        iqt_emit_line(e, "int x_sum0 = int(xs.y << 16) >> 16, x_sum1 = int(xs.y) >> 16;");
    if (has_states(e->plan))
        emit_repeats(e);
}

static void emit_columns(struct iqt_emit *e, uint32_t block)
{
    const bool floats = iqt_plan_multiplies_floats(e->plan);

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint c = 0u; c < N; c++)");
    iqt_emit_line(e, "uint col = c < p.cols ? c : p.cols - 1u;");
    (floats ? iqt_emit_float_x : emit_int_x)(e, block);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    if (floats)
        iqt_emit_float_dots(e);
    else
        emit_dots(e, 32 * block);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

static void emit_coded_block(struct iqt_emit *e, uint32_t block)
{
    iqt_emit_line(e, "// weights %u .. %u", 32 * block, 32 * block + 31);
    iqt_emit_scope(e);
    emit_declarations(e);
    if (!has_states(e->plan)) {
        iqt_emit_line(e, "UNROLL");
        iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
        emit_values(e, 32 * block);
        emit_block_fields(e, 32 * block);
        iqt_emit_close(e);
    }
    if (iqt_plan_is_coop(e->plan))
        iqt_emit_coop_block(e, block);
    else
        emit_columns(e, block);
    iqt_emit_close(e);
}

/* The superblock's float scales. */
static void emit_super(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    char expr[IQT_EXPR_BYTES];

    iqt_emit_line(e, "float d[R]%s;", iqt_has_min(f) ? ", dmin[R]" : "");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    iqt_expr_scalar(e, &f->super, i, expr);
    iqt_emit_line(e, "d[r] = %s;", expr);
    if (iqt_has_min(f)) {
        iqt_expr_scalar(e, &f->super_min, i, expr);
        iqt_emit_line(e, "dmin[r] = %s;", expr);
    }
    iqt_emit_close(e);
}

void iqt_emit_superblock(struct iqt_emit *e, uint32_t s)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t begin = s * f->superblock;
    const uint32_t end =
        begin + (e->plan->span < f->superblock ? e->plan->span : f->superblock);

    if (f->decode == IQT_DECODE_FLOAT) {
        for (uint32_t i = begin; i < end; i += 8)
            iqt_emit_float_weights(e, i);
        return;
    }
    iqt_emit_scope(e);
    if (is_local(f))
        emit_super(e, begin);
    for (uint32_t i = begin; i < end; i += 32)
        emit_coded_block(e, i / 32);
    iqt_emit_close(e);
}
