/* Blocks of float products: coded weights times activations of 32 or 16 bits, float weights times floats. Knows
 * nothing of how codes become words of four int8. */
#include "codegen/emit_floats.h"

#include "codegen/emit_block.h"

static void emit_floats(struct iqt_emit *e, uint32_t block)
{
    iqt_emit_line(e, "uint x_at = (%s * p.k + u * S + %uu) / 4u;", iqt_emit_column(e),
                  32 * block);
    for (uint32_t i = 0; i < 8; i++)
        iqt_emit_line(e, "vec4 x%u = xf4[x_at + %uu];", i, i);
}

/* In units of dx, a power of two: a block's sums, times dx, have the bits of those of floats. */
static void emit_halves(struct iqt_emit *e, uint32_t block)
{
    iqt_emit_block_number(e, block);
    for (uint32_t i = 0; i < 4; i++) {
        iqt_emit_line(e, "uvec4 h%u = xq4[block * 4u + %uu];", i, i);
        iqt_emit_line(e, "vec4 x%u = halves(h%u.x, h%u.y), x%u = halves(h%u.z, h%u.w);",
                      2 * i, i, i, 2 * i + 1, i, i);
    }
    iqt_emit_line(e, "float dx = FLOAT_OF(xs2[block].x);");
}

void iqt_emit_float_x(struct iqt_emit *e, uint32_t block)
{
    const struct iqt_format *f = e->plan->format;

    (e->plan->compute == IQT_COMPUTE_F16 ? emit_halves : emit_floats)(e, block);
    for (uint32_t h = 0;
         h < 32u / f->block && (iqt_emit_has_correction(f) || iqt_has_min(f)); h++) {
        const uint32_t first = 4 * h, last = first + f->block / 4 - 1;

        iqt_emit_line(e, "float x_sum%u = sum4(x%u);", h, first);
        for (uint32_t i = first + 1; i <= last; i++)
            iqt_emit_line(e, "x_sum%u += sum4(x%u);", h, i);
    }
}

void iqt_emit_float_dots(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t words = f->block / 4;
    const char *dx = e->plan->compute == IQT_COMPUTE_F16 ? " * dx" : "";

    for (uint32_t h = 0; h < 32u / f->block; h++) {
        iqt_emit_line(e, "float dot%u = dot_floats(v[r * 8u + %uu], x%u, 0.0f);", h,
                      h * words, h * words);
        for (uint32_t w = h * words + 1; w < (h + 1) * words; w++)
            iqt_emit_line(e, "dot%u = dot_floats(v[r * 8u + %uu], x%u, dot%u);", h, w, w,
                          h);
        if (iqt_emit_has_correction(f))
            iqt_emit_line(e, "dot%u = FMA(float(shift%u[r]), x_sum%u, dot%u);", h, h, h,
                          h);
        iqt_emit_line(e,
                      "%s_sum[r * N + c] = FMA(scale%u[r], dot%u%s, %s_sum[r * N + c]);",
                      e->prefix, h, h, dx, e->prefix);
        if (iqt_has_min(f))
            iqt_emit_line(
                e, "%s_sum[r * N + c] = FMA(least%u[r], -x_sum%u%s, %s_sum[r * N + c]);",
                e->prefix, h, h, dx, e->prefix);
    }
}

void iqt_emit_float_weights(struct iqt_emit *e, uint32_t i)
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
    iqt_emit_line(e, "uint x_at = (%s * p.k + u * S + %uu) / 4u;", iqt_emit_column(e), i);
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
