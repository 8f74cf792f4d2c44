/* Products on Vulkan's cooperative matrices. What a matrix is stands in one text, iqt_coop_types: tests put
 * another one in its place, with functions of the same names, which devices without such matrices execute. */
#include "codegen/emit_coop.h"

#include "codegen/emit_block.h"
#include "codegen/emit_call.h"
#include "codegen/emit_gpu.h"

#include <stdio.h>

static const char *const prefix_of[] = { "w", "gate" };

static uint32_t prefixes(const struct iqt_emit *e)
{
    return e->plan->op == IQT_OP_GATED ? 2 : 1;
}

/* What a matrix is. UNIT: the subgroup's number. GLSL's own accesses to shared memory become, beside matrices, each
 * available or visible by itself (the Vulkan memory model), and drivers wait for each of them. So these say only
 * that they are not private, 0x20, and the barrier makes all of them available and visible. */
const char iqt_coop_types[] =
    "#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require\n"
    "#extension GL_KHR_shader_subgroup_basic : require\n"
    "#extension GL_KHR_memory_scope_semantics : require\n"
    "#extension GL_KHR_cooperative_matrix : require\n"
    "#define UNIT gl_SubgroupID\n"
    "#define UNITS gl_NumSubgroups\n"
    "#define MAT_A coopmat<int8_t, gl_ScopeSubgroup, 16, DEPTH, gl_MatrixUseA>\n"
    "#define MAT_B coopmat<int8_t, gl_ScopeSubgroup, DEPTH, 16, gl_MatrixUseB>\n"
    "#define MAT_C coopmat<int, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>\n"
    "#define CLEAR(m) m = MAT_C(0)\n"
    "#define ELEMENTS(m) m.length()\n"
    "#define ELEMENT(m, i) m[i]\n"
    "#define OP(number) spirv_instruction(id = number)\n"
    "#define FROM spirv_by_reference\n"
    "#define HOW spirv_literal uint how // the memory operands\n"
    "OP(61) uint op_load(FROM uint p, HOW);\n"
    "OP(61) int op_load_int(FROM int p, HOW);\n"
    "OP(62) void op_store(FROM uvec4 p, uvec4 v, HOW);\n"
    "OP(62) void op_store_word(FROM uint p, uint v, HOW);\n"
    "OP(224) void op_barrier(uint execution, uint memory, uint semantics);\n"
    "OP(4457) MAT_A op_load_a(FROM uvec4 p, int order, uint step, HOW);\n"
    "OP(4457) MAT_B op_load_b(FROM uvec4 p, int order, uint step, HOW);\n"
    "OP(4457) MAT_C op_load_c(FROM uvec4 p, int order, uint step, HOW);\n"
    "OP(4458) void op_store_c(FROM uvec4 p, MAT_C m, int order, uint step, HOW);\n"
    "#undef BARRIER // of the workgroup: acquires and releases its shared memory\n"
    "#define BARRIER op_barrier(2u, 2u, 0x6108u)\n"
    "#define GET(p) op_load(p, 0x20u)\n"
    "#define GET_INT(p) op_load_int(p, 0x20u)\n"
    "#define PUT(p, v) op_store(p, v, 0x20u)\n"
    "#define PUT_WORD(p, v) op_store_word(p, v, 0x20u)\n"
    "#define load_a(m, at, step, order) m = op_load_a(a[at], order, step, 0x20u)\n"
    "#define load_b(m, at, step, order) m = op_load_b(b[at], order, step, 0x20u)\n"
    "#define load_rows(m, at, step, order) m = op_load_c(rows4[at], order, step, 0x20u)\n"
    "#define load_columns(m, at, step, order) \\\n"
    "    m = op_load_c(columns4[at], order, step, 0x20u)\n"
    "#define load_sums(m, at, step, order) m = op_load_c(a[at], order, step, 0x20u)\n"
    "#define store_sums(m, at, step, order) op_store_c(a[at], m, order, step, 0x20u)\n";

/* A matrix of floats has their bits in one of int32: then it is of the products' type, and element i is of the
 * same row and column in all of them. A row or a column of floats is repeated by a step of 0 between them.
 * Loads and stores begin at whole vectors of 16 bytes, and so do the rows or columns of a matrix. */
static const char words[] =
    "#define ROW_MAJOR gl_CooperativeMatrixLayoutRowMajor\n"
    "#define COLUMN_MAJOR gl_CooperativeMatrixLayoutColumnMajor\n"
    "#define LOAD_A(m, at, step) load_a(m, at, step, ROW_MAJOR)\n"
    "#define LOAD_B(m, at, step) load_b(m, at, step, COLUMN_MAJOR)\n"
    "#define MULTIPLY(ma, mb, mc) mc = coopMatMulAdd(ma, mb, mc)\n"
    "#define LOAD_ROWS(m, at) load_rows(m, at, 0u, COLUMN_MAJOR)\n"
    "#define LOAD_COLUMNS(m, at) load_columns(m, at, 0u, ROW_MAJOR)\n"
    "#define LOAD_SUMS(m, at) load_sums(m, at, 4u, ROW_MAJOR)\n"
    "#define STORE_SUMS(m, at) store_sums(m, at, 4u, ROW_MAJOR)\n";

/* ---- Shared memory ---- */

/* Where half `half` of a block of weights of a row is; where half `half` of a block of x of a column is, where the
 * matrix of it begins. With a depth of 32, half a block is multiplied beside zeros. */
static void emit_places(struct iqt_emit *e, const struct iqt_coop *c)
{
    const bool halves = c->halves == 2;

    iqt_emit_line(e,
                  "#define A_AT(block, h, row) ((block) / (S / 32u) * %uu + (DEPTH == "
                  "16u \\",
                  c->span);
    iqt_emit_line(e, "    ? ((block) %% (S / 32u) * 2u + (h)) * G + (row) \\");
    iqt_emit_line(e, "    : ((block) %% (S / 32u) * G + (row)) * 2u + (h)))");
    iqt_emit_line(e, "#define A_STEP (DEPTH / 16u)");
    iqt_emit_line(e, "#define B_STEP (DEPTH == 16u ? 1u : %uu)", halves ? 3 : 2);
    iqt_emit_line(e,
                  "#define B_AT(block, h, column) ((block) * %uu + (DEPTH == 16u ? "
                  "(h) * 17u + (column) : (column) * %uu + (h) * %uu))",
                  c->block, halves ? 3 : 2, halves ? 2 : 1);
    iqt_emit_line(e,
                  "#define B_FROM(block, h) ((block) * %uu + (h) * (DEPTH == 16u ? "
                  "17u : 1u))",
                  c->block);
    iqt_emit_line(e,
                  "#define ROWS_AT(block, h, kind) ((((block) * %uu + (h)) * %uu + "
                  "(kind)) * G)",
                  c->halves, c->row_kinds);
    iqt_emit_line(e, "#define COLUMNS_AT(block, kind) (((block) * %uu + (kind)) * 16u)",
                  c->column_kinds);
}

void iqt_emit_coop_begin(struct iqt_emit *e)
{
    const struct iqt_coop c = iqt_coop_of(e->plan);

    iqt_emit_line(e, "layout(constant_id = %d) const uint DEPTH = 16u; // of a product",
                  IQT_COOP_DEPTH_ID);
    iqt_emit_line(e, "#define THREADS %uu", iqt_plan_threads(e->plan));
    iqt_emit_line(e, "#define BLOCKS (T * S / 32u) // of a chunk");
    iqt_emit_line(e, "#define SETS (G / 16u) // of rows");
    iqt_emit_line(e, "shared uvec4 a[%u], b[%u], rows4[%u], columns4[%u];", c.a, c.b,
                  c.rows, c.columns);
    iqt_buf_printf(e->out, "%s%s", iqt_coop_types, words);
}

void iqt_emit_coop_functions(struct iqt_emit *e)
{
    const struct iqt_coop c = iqt_coop_of(e->plan);

    emit_places(e, &c);
    /* Bytes, without carries between them. */
    iqt_emit_open(e, "uint add_bytes(uint x, uint y)");
    iqt_emit_line(e, "return ((x & 0x7f7f7f7fu) + (y & 0x7f7f7f7fu)) ^ ((x ^ y) & "
                     "0x80808080u);");
    iqt_emit_close(e);
    iqt_emit_line(e, "uint repeated(int x) { return uint(x & 255) * 0x01010101u; }");
    iqt_emit_open(e, "void set_row(uint i, float x)");
    iqt_emit_line(e, "PUT_WORD(rows4[i / 4u][i %% 4u], BITS_OF(x));");
    iqt_emit_close(e);
    iqt_emit_open(e, "void set_column(uint i, float x)");
    iqt_emit_line(e, "PUT_WORD(columns4[i / 4u][i %% 4u], BITS_OF(x));");
    iqt_emit_close(e);
}

/* ---- A chunk ---- */

static bool adds_shift(const struct iqt_plan *p)
{
    return iqt_emit_has_correction(p->format) && !iqt_coop_shifts_in_table(p);
}

static void emit_half(struct iqt_emit *e, uint32_t block, uint32_t half, uint32_t entry)
{
    char word[4][64];

    for (uint32_t i = 0; i < 4; i++)
        snprintf(word[i], sizeof word[i],
                 adds_shift(e->plan) ? "add_bytes(v[r * 8u + %uu], more%u)"
                                     : "v[r * 8u + %uu]",
                 4 * half + i, entry);
    iqt_emit_line(e, "PUT(a[A_AT(block + %uu, %uu, row)],", block, half);
    iqt_emit_line(e, "    uvec4(%s, %s,", word[0], word[1]);
    iqt_emit_line(e, "          %s, %s));", word[2], word[3]);
}

/* Shift bits go into the weights, so that nothing but a scale is left to apply. */
void iqt_emit_coop_block(struct iqt_emit *e, uint32_t block)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t entries = 32u / f->block;

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint r = 0u; r < R; r++)");
    iqt_emit_line(e, "uint row = tid / T * R + r, block = lane * (S / 32u);");
    for (uint32_t h = 0; h < entries; h++) {
        if (adds_shift(e->plan))
            iqt_emit_line(e, "uint more%u = repeated(shift%u[r]);", h, h);
        iqt_emit_line(e, "set_row(ROWS_AT(block + %uu, %uu, 0u) + row, scale%u[r]);",
                      block, h, h);
        if (iqt_has_min(f))
            iqt_emit_line(e, "set_row(ROWS_AT(block + %uu, %uu, 1u) + row, least%u[r]);",
                          block, h, h);
    }
    for (uint32_t half = 0; half < 2; half++)
        emit_half(e, block, half, entries == 2 ? half : 0);
    iqt_emit_close(e);
}

/* x of the chunk and its scales; columns that the call has not are the last one again. */
static void emit_x(struct iqt_emit *e, const struct iqt_coop *c)
{
    const bool least = iqt_has_min(e->plan->format);

    iqt_emit_open(e, "for (uint i = tid; i < N * BLOCKS * 2u; i += THREADS)");
    iqt_emit_line(e, "uint c = i / (BLOCKS * 2u), piece = i %% (BLOCKS * 2u);");
    iqt_emit_line(e, "uint col = c < p.cols ? c : p.cols - 1u;");
    iqt_emit_line(e, "if (piece < blocks * 2u)");
    iqt_emit_line(e, "    PUT(b[B_AT(piece / 2u, piece %% 2u, c)], xq4[col * (p.k / 16u) "
                     "+ base * (S / 16u) + piece]);");
    iqt_emit_close(e);
    iqt_emit_open(e, "for (uint i = tid; i < N * BLOCKS; i += THREADS)");
    iqt_emit_line(e, "uint c = i / BLOCKS, block = i %% BLOCKS;");
    iqt_emit_line(e, "uint col = c < p.cols ? c : p.cols - 1u;");
    iqt_emit_open(e, "if (block < blocks)");
    iqt_emit_line(e, "uvec2 xs = xs2[col * (p.k / 32u) + base * (S / 32u) + block];");
    iqt_emit_line(e, "set_column(COLUMNS_AT(block, 0u) + c, FLOAT_OF(xs.x));");
    if (least) {
        iqt_emit_line(e, "int x_sum0 = int(xs.y << 16) >> 16, x_sum1 = int(xs.y) >> 16;");
        if (c->halves == 1)
            iqt_emit_line(
                e, "set_column(COLUMNS_AT(block, 1u) + c, -float(x_sum0 + x_sum1));");
        for (uint32_t h = 0; h < c->halves && c->halves == 2; h++)
            iqt_emit_line(e, "set_column(COLUMNS_AT(block, %uu) + c, -float(x_sum%u));",
                          1 + h, h);
    }
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* sum += (row * column) * factor, as every kernel adds a block's term. */
static void emit_term(struct iqt_emit *e, const char *row, const char *factor)
{
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint i = 0u; i < ELEMENTS(%s); i++)", row);
    iqt_emit_line(e,
                  "float scale = FLOAT_OF(uint(ELEMENT(%s, i))) * "
                  "FLOAT_OF(uint(ELEMENT(dx, i)));",
                  row);
    iqt_emit_line(e, "float sum = FLOAT_OF(uint(ELEMENT(%s_sum[set], i)));", e->prefix);
    iqt_emit_line(e, "ELEMENT(%s_sum[set], i) = int(BITS_OF(FMA(scale, %s, sum)));",
                  e->prefix, factor);
    iqt_emit_close(e);
}

/* Products of half h of a block, or of the block, for all sets of rows: they share x. */
static void emit_products(struct iqt_emit *e, const struct iqt_coop *c)
{
    iqt_emit_line(e, "MAT_A weights;");
    iqt_emit_line(e, "MAT_B x;");
    iqt_emit_line(e, "MAT_C product[SETS];");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint set = 0u; set < SETS; set++)");
    iqt_emit_line(e, "    CLEAR(product[set]);");
    if (c->halves == 1) {
        iqt_emit_line(e, "UNROLL");
        iqt_emit_open(e, "for (uint h = 0u; h < 32u / DEPTH; h++)");
    }
    iqt_emit_line(e, "LOAD_B(x, B_FROM(block, h), B_STEP);");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint set = 0u; set < SETS; set++)");
    iqt_emit_line(e, "LOAD_A(weights, A_AT(block, %s, set * 16u), A_STEP);",
                  c->halves == 1 ? "h" : "DEPTH == 16u ? h : 0u");
    iqt_emit_line(e, "MULTIPLY(weights, x, product[set]);");
    iqt_emit_close(e);
    if (c->halves == 1)
        iqt_emit_close(e);
}

static void emit_terms(struct iqt_emit *e, const struct iqt_coop *c)
{
    const char *half = c->halves == 1 ? "0u" : "h";

    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint set = 0u; set < SETS; set++)");
    iqt_emit_line(e, "MAT_C rows;");
    iqt_emit_line(e, "LOAD_ROWS(rows, ROWS_AT(block, %s, 0u) / 4u + set * 4u);", half);
    emit_term(e, "rows", "float(ELEMENT(product[set], i))");
    if (c->row_kinds == 2) {
        iqt_emit_line(e, "MAT_C least;");
        iqt_emit_line(e, "MAT_C less;");
        iqt_emit_line(e, "LOAD_ROWS(least, ROWS_AT(block, %s, 1u) / 4u + set * 4u);",
                      half);
        iqt_emit_line(e, "LOAD_COLUMNS(less, COLUMNS_AT(block, 1u + %s) / 4u);", half);
        emit_term(e, "least", "FLOAT_OF(uint(ELEMENT(less, i)))");
    }
    iqt_emit_close(e);
}

/* Each subgroup takes every so many blocks of the chunk: the same ones whatever its lanes are. */
static void emit_chunk(struct iqt_emit *e, const struct iqt_coop *c)
{
    iqt_emit_open(e, "for (uint block = UNIT; block < blocks; block += UNITS)");
    iqt_emit_line(e, "MAT_C dx;");
    iqt_emit_line(e, "LOAD_COLUMNS(dx, COLUMNS_AT(block, 0u) / 4u);");
    if (c->halves == 2) {
        iqt_emit_line(e, "UNROLL");
        iqt_emit_open(e, "for (uint h = 0u; h < 2u; h++)");
    }
    emit_products(e, c);
    emit_terms(e, c);
    if (c->halves == 2)
        iqt_emit_close(e);
    iqt_emit_close(e);
}

/* ---- The loop ---- */

static void emit_spans(struct iqt_emit *e, const struct iqt_coop *c)
{
    iqt_emit_line(e, "MAT_C %s_sum[SETS];", e->prefix);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_line(e, "for (uint set = 0u; set < SETS; set++)");
    iqt_emit_line(e, "    CLEAR(%s_sum[set]);", e->prefix);
    iqt_emit_scope(e);
    iqt_emit_rows_only(e);
    iqt_emit_open(e, "for (uint base = 0u; base < spans; base += T)");
    iqt_emit_line(e, "uint u = base + lane, blocks = (spans - base < T ? spans - base : "
                     "T) * (S / 32u);");
    iqt_emit_line(e, "BARRIER; // the products before have been read");
    emit_x(e, c);
    iqt_emit_open(e, "if (u < spans)");
    iqt_emit_span(e);
    iqt_emit_close(e);
    iqt_emit_line(e, "BARRIER;");
    emit_chunk(e, c);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

/* Columns that no call has, and the zeros beside half a block: written once. */
static void emit_clear(struct iqt_emit *e, const struct iqt_coop *c)
{
    iqt_emit_line(e, "for (uint i = tid; i < %uu; i += THREADS)", c->b);
    iqt_emit_line(e, "    b[i] = uvec4(0u);");
    iqt_emit_line(e, "for (uint i = tid; i < %uu; i += THREADS)", c->columns);
    iqt_emit_line(e, "    columns4[i] = uvec4(0u);");
}

/* ---- Sums ---- */

/* Subgroups add theirs in turns: the order does not depend on who is first. */
static void emit_turns(struct iqt_emit *e)
{
    iqt_emit_open(e, "for (uint turn = 0u; turn < UNITS; turn++)");
    iqt_emit_line(e, "BARRIER;");
    iqt_emit_open(e, "if (UNIT == turn)");
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (uint set = 0u; set < SETS; set++)");
    for (uint32_t i = 0; i < prefixes(e); i++) {
        const char *m = prefix_of[i];

        iqt_emit_open(e, "if (turn > 0u)");
        iqt_emit_line(e, "MAT_C before;");
        iqt_emit_line(e, "LOAD_SUMS(before, (set + %uu * SETS) * 64u);", i);
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (uint i = 0u; i < ELEMENTS(before); i++)");
        iqt_emit_line(e,
                      "    ELEMENT(%s_sum[set], i) = "
                      "int(BITS_OF(FLOAT_OF(uint(ELEMENT(before, i))) + "
                      "FLOAT_OF(uint(ELEMENT(%s_sum[set], i)))));",
                      m, m);
        iqt_emit_close(e);
        iqt_emit_line(e, "STORE_SUMS(%s_sum[set], (set + %uu * SETS) * 64u);", m, i);
    }
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
    iqt_emit_line(e, "BARRIER;");
}

static void emit_finish(struct iqt_emit *e)
{
    emit_turns(e);
    iqt_emit_open(e, "for (uint i = tid; i < G * N; i += THREADS)");
    iqt_emit_line(e, "uint local = i %% G, c = i / G, row = begin + local - p.skip;");
    iqt_emit_open(e, "if (row < p.rows && c < p.cols)");
    for (uint32_t i = 0; i < prefixes(e); i++) {
        char row[64];

        e->prefix = prefix_of[i];
        snprintf(row, sizeof row, "p.%s_base + row * p.row_bytes", e->prefix);
        iqt_emit_row_factor(e, row);
        iqt_emit_line(e,
                      "float %s_total = FLOAT_OF(a[(local + %uu * G) * 4u + c / "
                      "4u][c %% 4u]);",
                      e->prefix, i);
    }
    iqt_emit_store(e);
    iqt_emit_close(e);
    iqt_emit_close(e);
}

void iqt_emit_coop_body(struct iqt_emit *e)
{
    const bool more = iqt_emit_covers_more(e->plan);
    const struct iqt_coop c = iqt_coop_of(e->plan);

    if (more)
        iqt_emit_call_begin(e);
    iqt_emit_line(e,
                  "uint tid = THREAD, lane = tid %% T, begin = %s * G, first = begin + "
                  "tid / T * R;",
                  more ? "group" : "GROUP");
    iqt_emit_lookup_fill(e);
    iqt_emit_geometry(e);
    emit_clear(e, &c);
    for (uint32_t i = 0; i < prefixes(e); i++) {
        e->prefix = prefix_of[i];
        emit_spans(e, &c);
    }
    emit_finish(e);
}
