/* What becomes of a finished sum: its row's factor, bias, the gated product's function, residual. Who has
 * the sum is known to its callers. */
#include "codegen/emit_gpu.h"
#include "codegen/emit_tile.h"

void iqt_emit_row_factor(struct iqt_emit *e, const char *row)
{
    static const char *const spelling[] = {
        [IQT_F16] = "F16(%s_u16(%s + %s + %uu))",
        [IQT_BF16] = "FLOAT_OF(%s_u16(%s + %s + %uu) << 16)",
        [IQT_F32] = "FLOAT_OF(%s_u32(%s + %s + %uu))",
    };
    const struct iqt_format *f = e->plan->format;
    const char *head = e->plan->layout == IQT_LAYOUT_PACKED ? "head" : "0u";
    struct iqt_buf factor = { 0 };

    if (f->super.at == IQT_AT_ROW)
        iqt_buf_printf(&factor, spelling[f->super.type], e->prefix, row, head,
                       f->super.byte);
    else
        iqt_buf_printf(&factor, "1.0f");
    if (f->gain != 1.0f)
        iqt_buf_printf(&factor, " * %.9gf", (double)f->gain);
    if (iqt_emit_tile_counts(e))
        iqt_buf_printf(&factor, " * 0.0625f"); /* exact */
    iqt_emit_line(e, "float %s_factor = %s;", e->prefix, iqt_buf_text(&factor));
    iqt_buf_free(&factor);
}

/* On AMD conditions on flags would be kept in scalars, two each, through the loops of all sweeps. */
static void emit_flags(struct iqt_emit *e)
{
    iqt_emit_line(e, "uint flags = p.flags;");
    iqt_emit_line(e, "asm volatile(\"\" : \"+s\"(flags));");
}

void iqt_emit_store(struct iqt_emit *e)
{
    const bool set =
        e->plan->covers == IQT_COVERS_SET && e->plan->dialect == IQT_DIALECT_GLSL;
    const bool apart =
        e->plan->dialect == IQT_DIALECT_HIP && iqt_plan_columns(e->plan) < e->plan->n;
    const char *flags = apart ? "flags" : "p.flags";

    if (apart)
        emit_flags(e);
    iqt_emit_line(
        e,
        "float value = FMA(w_total, w_factor, (%s & 1u) != 0u ? bias[p.row0 + row] : 0.0f);",
        flags);
    if (e->plan->op == IQT_OP_GATED) {
        iqt_emit_line(e,
                      "float gate = FMA(gate_total, gate_factor, "
                      "(%s & 2u) != 0u ? gate_bias[p.row0 + row] : 0.0f);",
                      flags);
        iqt_emit_line(e, "value = gated(p.act, p.limit, gate, value);");
    }
    iqt_emit_line(e, "uint at_y = p.y_base + c * p.y_stride + row;");
    iqt_emit_line(e, "%s[at_y] = (%s & 4u) != 0u ? value + residual[at_y] : value;",
                  set ? "y_of[member].v" : "y", flags);
}
