/* One superblock: decode blocks of 32 weights of R rows into words of four int8, multiply by each
 * column's activations in int32, apply scales in float. A block's term is
 * (L * d) * dx * sum, in this order, whatever the layout: equal plans give equal bits. */
#include "codegen/emit_block.h"

static bool has_min(const struct iqt_format *f)
{
    return !iqt_field_empty(&f->min.raw);
}

static bool has_scale(const struct iqt_format *f)
{
    return !iqt_field_empty(&f->scale.raw);
}

/* Shift bits of codebooks become a correction with the activation sums. */
static bool has_correction(const struct iqt_format *f)
{
    return f->decode == IQT_DECODE_CODEBOOK && !iqt_field_empty(&f->shift);
}

/* Linear codes become signed bytes without carries between them. */
static void emit_linear(struct iqt_emit *e, uint32_t word, const char *codes)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t bytes = 0x01010101u;

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

static void emit_trellis_group(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_trellis *t = f->trellis;
    char expr[IQT_EXPR_BYTES];

    iqt_expr_field(e, &f->code, i, expr);
    iqt_emit_line(e, "seed = (%s) + %uu;", expr, t->seed_add);
    if (t->shift_add) {
        iqt_expr_field(e, &f->shift, i, expr);
        iqt_emit_line(e, "seed += (%s) * %uu;", expr, t->shift_add);
    }
    for (uint32_t j = 0; j < t->group / 4u; j++) {
        if (t->magnitude)
            iqt_expr_codes(e, &f->sign, i + 4 * j, 1, expr);
        iqt_emit_line(e, "v[r * 8u + %uu] = lut%u(seed, %s);", i % 32 / 4 + j, j,
                      t->magnitude ? expr : "0u");
    }
}

/* v[r * 8 ..]: the 32 weights from weight i of the span. */
static void emit_values(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    char codes[IQT_EXPR_BYTES];

    if (f->decode == IQT_DECODE_TRELLIS) {
        iqt_emit_line(e, "uint seed;");
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
    for (uint32_t word = 0; word < 8; word++) {
        iqt_expr_codes(e, &f->code, i + 4 * word, 1, codes);
        if (f->decode == IQT_DECODE_LINEAR)
            emit_linear(e, word, codes);
        else
            iqt_emit_line(e, "v[r * 8u + %uu] = lut(%s);", word, codes);
    }
}

static bool is_local(const struct iqt_format *f)
{
    return f->super.at == IQT_AT_SUPERBLOCK;
}

/* Block scales times the superblock's, shift corrections and minima of one row: one entry per 32 or
 * per 16 weights. */
static void emit_block_fields(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    char expr[IQT_EXPR_BYTES];

    for (uint32_t h = 0; h < 32u / f->block; h++) {
        const uint32_t weight = i + h * f->block;

        if (has_scale(f)) {
            iqt_expr_scale(e, &f->scale, weight, expr);
            iqt_emit_line(e, "scale%u[r] = float(%s)%s;", h, expr,
                          is_local(f) ? " * d[r]" : "");
        } else {
            iqt_emit_line(e, "scale%u[r] = d[r];", h);
        }
        if (has_correction(f)) {
            iqt_expr_field(e, &f->shift, weight, expr);
            iqt_emit_line(e, "shift%u[r] = int(%s) * %d;", h, expr, f->codebook->shift);
        }
        if (has_min(f)) {
            iqt_expr_scale(e, &f->min, weight, expr);
            iqt_emit_line(e, "least%u[r] = float(%s) * dmin[r];", h, expr);
        }
    }
}

static void emit_declarations(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;

    iqt_emit_line(e, "uint v[R * 8u];");
    for (uint32_t h = 0; h < 32u / f->block; h++) {
        iqt_emit_line(e, "float scale%u[R];", h);
        if (has_correction(f))
            iqt_emit_line(e, "int shift%u[R];", h);
        if (has_min(f))
            iqt_emit_line(e, "float least%u[R];", h);
    }
}

/* Integer sums of one row and column: dot<h>, corrected, and its term of the result. */
static void emit_dots(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;
    const bool halves = f->block == 16;

    iqt_emit_line(e, "int dot0 = dot4(v[r * 8u], xa.x, 0);");
    for (uint32_t w = 1; w < 8; w++) {
        const bool second = halves && w >= 4;

        if (halves && w == 4)
            iqt_emit_line(e, "int dot1 = dot4(v[r * 8u + 4u], xb.x, 0);");
        else
            iqt_emit_line(e, "dot%d = dot4(v[r * 8u + %uu], %s.%c, dot%d);", second, w,
                          w < 4 ? "xa" : "xb", "xyzw"[w % 4], second);
    }
    for (uint32_t h = 0; h < 32u / f->block; h++) {
        const char *sum = halves ? h ? "x_sum1" : "x_sum0" : "(x_sum0 + x_sum1)";

        if (has_correction(f))
            iqt_emit_line(e, "dot%u += shift%u[r] * %s;", h, h, sum);
        iqt_emit_line(
            e,
            "%s_sum[r * N + c] = FMA(scale%u[r] * dx, float(dot%u), %s_sum[r * N + c]);",
            e->prefix, h, h, e->prefix);
        if (has_min(f))
            iqt_emit_line(
                e,
                "%s_sum[r * N + c] = FMA(least%u[r] * dx, -float(%s), %s_sum[r * N + c]);",
                e->prefix, h, sum, e->prefix);
    }
}

static void emit_columns(struct iqt_emit *e, uint32_t block)
{
    const struct iqt_format *f = e->plan->format;

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint c = 0u; c < N; c++)");
    iqt_emit_line(e, "uint col = c < p.cols ? c : p.cols - 1u;");
    iqt_emit_line(e, "uint block = col * (p.k / 32u) + u * %uu + %uu;",
                  e->plan->span / 32, block);
    iqt_emit_line(e, "uvec4 xa = xq4[block * 2u], xb = xq4[block * 2u + 1u];");
    iqt_emit_line(e, "uvec2 xs = xs2[block];");
    iqt_emit_line(e, "float dx = FLOAT_OF(xs.x);");
    if (has_correction(f) || has_min(f))
        iqt_emit_line(e, "int x_sum0 = int(xs.y << 16) >> 16, x_sum1 = int(xs.y) >> 16;");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    emit_dots(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

static void emit_int_block(struct iqt_emit *e, uint32_t block)
{
    iqt_emit_line(e, "// weights %u .. %u", 32 * block, 32 * block + 31);
    iqt_emit_scope(e);
    emit_declarations(e);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    emit_values(e, 32 * block);
    emit_block_fields(e, 32 * block);
    iqt_emit_close(e);
    emit_columns(e, block);
    iqt_emit_close(e);
}

/* Float weights times float activations, eight at a time. */
static void emit_float_eight(struct iqt_emit *e, uint32_t i)
{
    static const char *const spelling[] = {
        [IQT_F16] = "f[r * 8u + %uu] = F16(%s);",
        [IQT_BF16] = "f[r * 8u + %uu] = FLOAT_OF((%s) << 16);",
        [IQT_F32] = "f[r * 8u + %uu] = FLOAT_OF(%s);",
    };
    const struct iqt_format *f = e->plan->format;
    char expr[IQT_EXPR_BYTES];

    iqt_emit_scope(e);
    iqt_emit_line(e, "float f[R * 8u];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    for (uint32_t j = 0; j < 8; j++) {
        iqt_expr_field(e, &f->code, i + j, expr);
        iqt_emit_line(e, spelling[f->element], j, expr);
    }
    iqt_emit_close(e);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint c = 0u; c < N; c++)");
    iqt_emit_line(e, "uint col = c < p.cols ? c : p.cols - 1u;");
    iqt_emit_line(e, "uint x_at = (col * p.k + u * S + %uu) / 4u;", i);
    iqt_emit_line(e, "vec4 xa = xf4[x_at], xb = xf4[x_at + 1u];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(e, "float sum = %s_sum[r * N + c];", e->prefix);
    for (uint32_t j = 0; j < 8; j++)
        iqt_emit_line(e, "sum = FMA(f[r * 8u + %uu], %s.%c, sum);", j,
                      j < 4 ? "xa" : "xb", "xyzw"[j % 4]);
    iqt_emit_line(e, "%s_sum[r * N + c] = sum;", e->prefix);
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* The superblock's float scales. */
static void emit_super(struct iqt_emit *e, uint32_t i)
{
    const struct iqt_format *f = e->plan->format;
    char expr[IQT_EXPR_BYTES];

    iqt_emit_line(e, "float d[R]%s;", has_min(f) ? ", dmin[R]" : "");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    iqt_expr_scalar(e, &f->super, i, expr);
    iqt_emit_line(e, "d[r] = %s;", expr);
    if (has_min(f)) {
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
            emit_float_eight(e, i);
        return;
    }
    iqt_emit_scope(e);
    if (is_local(f))
        emit_super(e, begin);
    for (uint32_t i = begin; i < end; i += 32)
        emit_int_block(e, i / 32);
    iqt_emit_close(e);
}
