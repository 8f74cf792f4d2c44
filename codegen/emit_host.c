/* Kernels of the host dialect: rows, superblocks, tables, epilogue. How a block of 32 weights is decoded
 * is in emit_host_block.c, the vector operations are in prelude_host*.h. */
#include "codegen/emit_host.h"

#include "codegen/prelude.h"

#include <stdio.h>

enum {
    NARROW = 32, /* weights of a vector */
    WIDEST = 64,
    TABLE = 64, /* entries of a table: all that six bits of a byte can mean */
};

/* Vectors of 64 weights need superblocks of whole ones. */
static bool can_be_wide(const struct iqt_format *f)
{
    return f->decode != IQT_DECODE_FLOAT && f->superblock % WIDEST == 0;
}

static void emit_scalar(struct iqt_emit *e, const char *name, const struct iqt_scalar *s,
                        const char *base)
{
    static const char *const load[] = { "f16", "bf16", "f32" };

    iqt_emit_line(e, "%s[r] = %s(%s + %u);", name, load[s->type], base, s->byte);
}

static void emit_superblock_scales(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;

    if (f->super.at == IQT_AT_SUPERBLOCK) {
        struct iqt_scalar s = f->super;
        s.byte = (uint16_t)(iqt_place_of_byte(e->places, s.byte, 0).bit / 8);
        emit_scalar(e, "d", &s, "at[r]");
    }
    if (f->super_min.at == IQT_AT_SUPERBLOCK) {
        struct iqt_scalar s = f->super_min;
        s.byte = (uint16_t)(iqt_place_of_byte(e->places, s.byte, 0).bit / 8);
        emit_scalar(e, "dmin", &s, "at[r]");
    }
}

/* Several vectors a unit make a packed row several short streams, and so do rows side by side: hardware finds them too
 * late. Of one stream it needs no telling. */
static void emit_prefetch(struct iqt_emit *e)
{
    const struct iqt_packing *p = &e->places->packing;

    if (e->plan->layout != IQT_LAYOUT_PACKED || p->vecs * e->plan->rows_thread < 2) {
        iqt_emit_line(e, "(void)ahead;");
        return;
    }
    iqt_emit_line(e, "for (int i = 0; i < %u; i += 64)", p->format->bytes);
    iqt_emit_line(e, "    prefetch(row[r] + ahead + b * %u + i);", p->format->bytes);
}

static void emit_pointers(struct iqt_emit *e)
{
    const struct iqt_packing *p = &e->places->packing;

    if (e->plan->layout == IQT_LAYOUT_PACKED) {
        iqt_emit_line(e, "vec[r] = row[r] + b * %u;",
                      p->format->superblock / p->unit * 16u);
        iqt_emit_line(e, "at[r] = row[r] + 16 * %u * units + b * %u;", p->vecs,
                      p->side_bytes);
    } else {
        iqt_emit_line(e, "at[r] = row[r] + %u + b * %u;", p->format->row_head,
                      p->format->bytes);
    }
    emit_superblock_scales(e);
}

static void emit_scale_variables(struct iqt_emit *e)
{
    const uint32_t groups = iqt_host_scale_groups(e);

    iqt_emit_line(e, "vscales scale[R][%u];", groups);
    if (e->plan->n == 1)
        iqt_emit_line(e, "vscales factor[R][%u];", groups);
    if (iqt_host_has_rests(e))
        iqt_emit_line(e, "vscales rest[R][%u];", groups);
}

static void emit_superblock(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;
    const bool is_float = f->decode == IQT_DECODE_FLOAT;

    iqt_emit_open(e,
                  "for (size_t b = 0; b < k / %u; b++, xq += %u, xs += %u, starts += %u)",
                  f->superblock, f->superblock * (is_float ? 4u : 1u),
                  f->superblock / 32u, f->superblock / 4u);
    if (!is_float)
        emit_scale_variables(e);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    emit_pointers(e);
    emit_prefetch(e);
    if (!is_float)
        iqt_emit_host_scales(e);
    iqt_emit_close(e);
    if (!is_float && e->plan->n == 1)
        iqt_emit_host_factors(e);
    if (iqt_host_has_rests(e))
        iqt_emit_host_rests(e);
    for (uint32_t i = 0; i < f->superblock; i += is_float ? 8 : e->lanes)
        if (is_float)
            iqt_emit_host_floats(e, i);
        else
            iqt_emit_host_block(e, i);
    iqt_emit_close(e);
}

/* static void dots(...): the sums of R rows of one matrix with all columns. */
static void emit_dots_of(struct iqt_emit *e, uint32_t lanes)
{
    e->lanes = lanes;
    const struct iqt_format *f = e->plan->format;
    const bool packed = e->plan->layout == IQT_LAYOUT_PACKED;
    const uint32_t chains = iqt_host_chains(e);

    iqt_emit_line(
        e, "static void dots(const uint8_t *const row[R], size_t k, const uint8_t *xq,");
    iqt_emit_open(
        e,
        "                 const struct iqt_xs *xs, struct iqt_x_more more, size_t ahead, uint32_t cols, float out[R][N])");
    iqt_emit_line(e, "const int32_t *starts = more.starts;");
    iqt_emit_line(e, "vfloats sum[R][N][%u];", chains);
    iqt_emit_line(e, "float d[R];");
    if (iqt_has_min(f))
        iqt_emit_line(e, "float dmin[R];");
    iqt_emit_line(e, "const uint8_t *at[R];");
    if (packed) {
        iqt_emit_line(e, "const uint8_t *vec[R];");
        iqt_emit_line(e, "const size_t units = k / %u;", e->places->packing.unit);
    }
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    if (f->super.at == IQT_AT_ROW) {
        char base[64] = "row[r]";

        if (packed)
            snprintf(base, sizeof(base), "row[r] + 16 * %u * units + k / %u * %u",
                     e->places->packing.vecs, f->superblock,
                     e->places->packing.side_bytes);
        emit_scalar(e, "d", &f->super, base);
        if (f->gain != 1.0f)
            iqt_emit_line(e, "d[r] *= %.9gf;", (double)f->gain);
    } else {
        iqt_emit_line(e, "d[r] = 1.0f;");
    }
    iqt_emit_open(e, "for (int c = 0; c < N; c++)");
    for (uint32_t i = 0; i < chains; i++)
        iqt_emit_line(e, "sum[r][c][%u] = zero_f();", i);
    iqt_emit_close(e);
    iqt_emit_close(e);
    emit_superblock(e);
    iqt_emit_line(e, "(void)at; (void)d; (void)cols; (void)more;");
    iqt_emit_line(e, "for (int r = 0; r < R; r++)");
    iqt_emit_line(e, "    for (uint32_t c = 0; c < COLS; c++)");
    iqt_emit_line(e, "        out[r][c] = sum_f(%s);",
                  chains == 2 ? "add_f(sum[r][c][0], sum[r][c][1])"
                              : "add_f(add_f(sum[r][c][0], sum[r][c][2]), "
                                "add_f(sum[r][c][1], sum[r][c][3]))");
    iqt_emit_close(e);
}

static void emit_dots(struct iqt_emit *e)
{
    if (can_be_wide(e->plan->format)) {
        iqt_emit_line(e, "#if defined(WIDE)");
        emit_dots_of(e, WIDEST);
        iqt_emit_line(e, "#else");
        emit_dots_of(e, NARROW);
        iqt_emit_line(e, "#endif");
    } else {
        emit_dots_of(e, NARROW);
    }
}

/* form: how an entry is written, after what comes before it. */
static void emit_table(struct iqt_emit *e, const char *name, const char *form,
                       const int8_t *value, uint32_t count, uint32_t step, uint32_t pad)
{
    iqt_buf_printf(e->out, "static const int8_t %s[] = {", name);
    for (uint32_t i = 0; i < pad; i++)
        iqt_buf_printf(e->out, form, i % 16 ? " " : "\n    ", value[i % count * step]);
    iqt_buf_printf(e->out, "\n};\n");
}

static void emit_fours(struct iqt_emit *e, const struct iqt_codebook *c)
{
    iqt_buf_printf(e->out, "static const uint32_t fours[] = {");
    for (uint32_t i = 0; i < c->count; i++)
        iqt_buf_printf(e->out, "%s0x%08xu,", i % 8 ? " " : "\n    ",
                       iqt_read_u32(c->value + 4 * i));
    iqt_buf_printf(e->out, "\n};\n");
}

static void emit_tables(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_codebook *c = f->codebook;

    if (f->scale.table)
        emit_table(e, "scale_table", "%s%d,", f->scale.table, 16, 1, 16);
    if (f->decode == IQT_DECODE_TRELLIS) {
        uint32_t power = 1;

        iqt_buf_printf(e->out, "static const uint32_t power[8] = {");
        for (uint32_t n = 0; n < 8; n++) {
            power = n % f->trellis->group == 0 ? f->trellis->multiplier
                                               : power * f->trellis->multiplier;
            iqt_buf_printf(e->out, "%s0x%08xu", n ? ", " : " ", power);
        }
        iqt_buf_printf(e->out, " };\n");
    }
    if (f->decode != IQT_DECODE_CODEBOOK)
        return;
    if (c->dim == 4) {
        emit_fours(e, c);
        return;
    }
    emit_table(e, "table", "%sT(%d),", c->value, c->count, c->dim, TABLE);
    if (c->dim == 2)
        emit_table(e, "table_odd", "%sT(%d),", c->value + 1, c->count, 2, TABLE);
}

/* The rest is the same for every plan: rows, epilogue. */
static const char *const entry[] = {
    "    const struct iqt_params *p = &a->p;",
    "    const size_t k = p->k, ahead = R * (size_t)p->row_bytes;",
    "",
    "    for (uint32_t first = begin; first < end; first += R) {",
    "        const uint8_t *row[R];",
    "        float value[R][N];",
    "",
    "        for (uint32_t r = 0; r < R; r++) {",
    "            const uint32_t at = first + r < end ? first + r : end - 1;",
    "            row[r] = a->w + p->w_base + (size_t)at * p->row_bytes;",
    "        }",
    "        dots(row, k, (const uint8_t *)a->xq, a->xs, a->more, ahead, p->cols, value);",
    "#if GATED",
    "        float gate[R][N];",
    "        for (uint32_t r = 0; r < R; r++) {",
    "            const uint32_t at = first + r < end ? first + r : end - 1;",
    "            row[r] = a->gate + p->gate_base + (size_t)at * p->row_bytes;",
    "        }",
    "        dots(row, k, (const uint8_t *)a->xq, a->xs, a->more, ahead, p->cols, gate);",
    "#endif",
    "        for (uint32_t i = first; i < end && i < first + R; i++)",
    "            for (uint32_t c = 0; c < COLS; c++) {",
    "                const size_t at_y = p->y_base + (size_t)c * p->y_stride + i;",
    "                float v = value[i - first][c];",
    "",
    "                if (p->flags & 1)",
    "                    v += a->bias[p->row0 + i];",
    "#if GATED",
    "                float g = gate[i - first][c];",
    "                if (p->flags & 2)",
    "                    g += a->gate_bias[p->row0 + i];",
    "                v = gated(p->act, p->limit, g, v);",
    "#endif",
    "                a->y[at_y] = p->flags & 4 ? v + a->residual[at_y] : v;",
    "            }",
    "    }",
    "}",
};

void iqt_emit_host_prelude(struct iqt_buf *out, const struct iqt_plan *plans,
                           size_t count)
{
    const struct iqt_format *f = plans[0].format;
    bool wide = true;

    for (size_t i = 0; i < count; i++)
        wide = wide && can_be_wide(plans[i].format);
    iqt_buf_printf(out, "%s", iqt_prelude_host);
    if (wide)
        iqt_buf_printf(out, "#define BLOCKS %u\n", f->superblock / f->block);
    if (wide)
        iqt_buf_printf(out,
                       "#if defined(__AVX512VNNI__) && defined(__AVX512VBMI__)\n"
                       "#define WIDE 1\n%s#elif",
                       iqt_prelude_host_avx512);
    iqt_buf_printf(out, "%s defined(__AVX2__)\n%s#else\n%s#endif\n", wide ? "" : "#if",
                   iqt_prelude_host_avx2, iqt_prelude_host_portable);
}

static void emit_sizes(struct iqt_emit *e)
{
    iqt_emit_line(e, "\n#define R %u", e->plan->rows_thread);
    iqt_emit_line(e, "#define N %u", e->plan->n);
    iqt_emit_line(e, "#define COLS %s", e->plan->n == 1 ? "1u" : "cols");
    iqt_emit_line(e, "#define GATED %d", e->plan->op == IQT_OP_GATED);
}

static void emit_entry(struct iqt_emit *e)
{
    static const char args[] =
        "const struct iqt_host_args *a, uint32_t begin, uint32_t end";
    char symbol[IQT_PLAN_NAME_BYTES];

    iqt_kernel_symbol(e->plan, symbol);
    iqt_emit_line(e, "void IQT_SYMBOL(%s)(%s);", symbol, args);
    iqt_emit_line(e, "void IQT_SYMBOL(%s)(%s)", symbol, args);
    iqt_emit_line(e, "{");
    if (e->plan->n > 1)
        iqt_emit_line(e, "    const uint32_t cols = a->p.cols;");
    for (size_t i = 0; i < IQT_COUNT(entry); i++)
        iqt_emit_line(e, "%s", entry[i]);
}

void iqt_emit_host(struct iqt_emit *e)
{
    emit_sizes(e);
    emit_tables(e);
    emit_dots(e);
    emit_entry(e);
}

/* Names that every kernel's text defines anew. */
static const char *const statics[] = { "dots",  "table",       "table_odd",
                                       "power", "scale_table", "fours" };
static const char *const macros[] = { "R", "N", "COLS", "GATED" };

void iqt_emit_host_again(struct iqt_emit *e, size_t number, bool fresh)
{
    for (size_t i = 0; i < IQT_COUNT(statics); i++)
        iqt_emit_line(e, "#define %s %s_%zu", statics[i], statics[i], number);
    emit_sizes(e);
    if (fresh) {
        emit_tables(e);
        emit_dots(e);
    }
    emit_entry(e);
    for (size_t i = 0; i < IQT_COUNT(statics); i++)
        iqt_emit_line(e, "#undef %s", statics[i]);
    for (size_t i = 0; i < IQT_COUNT(macros); i++)
        iqt_emit_line(e, "#undef %s", macros[i]);
}
