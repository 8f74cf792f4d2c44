/* Cooperative matrices for devices without: types and functions of the names that kernels use, as
 * GLSL_KHR_cooperative_matrix describes them, in place of iqt_coop_types. 32 threads of a workgroup are a
 * subgroup. A matrix of int8 is where it was loaded from: kernels must not write there before it has been
 * multiplied. A matrix of int32 lies in registers, element 32 i + lane of the rows one after the other. The loop
 * of a product has an end that compilers do not know, or lavapipe takes minutes over what it unrolls; it takes
 * four at a time, because lavapipe ends all loops of a thread after 65535 turns. */
#ifndef IQT_TESTS_COOP_EMULATED_H
#define IQT_TESTS_COOP_EMULATED_H

#include "codegen/codegen.h"

#include <string.h>

static const char coop_emulated[] =
    "#define UNIT (gl_LocalInvocationID.x / 32u)\n"
    "#define UNITS (THREADS / 32u)\n"
    "#define LANE (gl_LocalInvocationID.x % 32u)\n"
    "struct MAT_A { uint at, step, layout_; };\n"
    "struct MAT_B { uint at, step, layout_; };\n"
    "struct MAT_C { int e[8]; };\n"
    "#define CLEAR(m) for (uint j_ = 0u; j_ < 8u; j_++) m.e[j_] = 0\n"
    "#define ELEMENTS(m) 8u\n"
    "#define ELEMENT(m, i) m.e[i]\n"
    "#define ROW(i) ((LANE + 32u * (i)) / 16u)\n"
    "#define COLUMN(i) (LANE % 16u)\n"
    "#define gl_CooperativeMatrixLayoutRowMajor 0u\n"
    "#define gl_CooperativeMatrixLayoutColumnMajor 1u\n"
    "#define GET(p) p\n"
    "#define GET_INT(p) p\n"
    "#define PUT(p, v) p = v\n"
    "#define PUT_WORD(p, v) p = v\n"
    "uint place(uint at, uint step, uint order, uint row, uint column, uint unit)\n"
    "{\n"
    "    uint along = order == 0u ? column : row, across = order == 0u ? row : column;\n"
    "    return (at + across * step) * unit + along;\n"
    "}\n"
    "void load_a(out MAT_A m, uint at, uint step, uint order) { m = MAT_A(at, step, order); }\n"
    "void load_b(out MAT_B m, uint at, uint step, uint order) { m = MAT_B(at, step, order); }\n"
    "#define INTS(name, from) \\\n"
    "    void load_##name(out MAT_C m, uint at, uint step, uint order) \\\n"
    "    { \\\n"
    "        for (uint i = 0u; i < 8u; i++) { \\\n"
    "            uint w = place(at, step, order, ROW(i), COLUMN(i), 4u); \\\n"
    "            m.e[i] = int(from[w / 4u][w % 4u]); \\\n"
    "        } \\\n"
    "    }\n"
    "INTS(sums, a)\n"
    "INTS(rows, rows4)\n"
    "INTS(columns, columns4)\n"
    "void store_sums(MAT_C m, uint at, uint step, uint order)\n"
    "{\n"
    "    for (uint i = 0u; i < 8u; i++) {\n"
    "        uint w = place(at, step, order, ROW(i), COLUMN(i), 4u);\n"
    "        a[w / 4u][w % 4u] = uint(m.e[i]);\n"
    "    }\n"
    "}\n"
    "int byte_of(uvec4 v, uint i) { return bitfieldExtract(int(v[i / 4u]), int(i % 4u) * 8, 8); }\n"
    "int term(MAT_A x, MAT_B y, uint row, uint column, uint k)\n"
    "{\n"
    "    uint from_a = place(x.at, x.step, x.layout_, row, k, 16u);\n"
    "    uint from_b = place(y.at, y.step, y.layout_, k, column, 16u);\n"
    "    return byte_of(a[from_a / 16u], from_a % 16u) * byte_of(b[from_b / 16u], from_b % 16u);\n"
    "}\n"
    "MAT_C coopMatMulAdd(MAT_A x, MAT_B y, MAT_C sum)\n"
    "{\n"
    "    for (uint i = 0u; i < 8u; i++)\n"
    "        for (uint k = 0u; k < DEPTH + (p.rows >> 31); k += 4u)\n"
    "            sum.e[i] += term(x, y, ROW(i), COLUMN(i), k) + term(x, y, ROW(i), COLUMN(i), k + 1u) +\n"
    "                        term(x, y, ROW(i), COLUMN(i), k + 2u) + term(x, y, ROW(i), COLUMN(i), k + 3u);\n"
    "    return sum;\n"
    "}\n";

static inline enum iqt_status coop_replace(struct iqt_buf *text, const char *from,
                                           const char *to)
{
    const char *at = strstr(iqt_buf_text(text), from);
    struct iqt_buf out = { 0 };

    if (at == NULL)
        return iqt_fail(IQT_ERR_ARG, "the text has no '%.60s'", from);
    iqt_buf_append(&out, text->data, (size_t)(at - text->data));
    iqt_buf_printf(&out, "%s%s", to, at + strlen(from));
    iqt_buf_free(text);
    *text = out;
    return iqt_buf_check(text);
}

/* For struct iqt_hw.edit. */
static inline enum iqt_status coop_emulate(void *user, struct iqt_buf *text)
{
    (void)user;
    return strstr(iqt_buf_text(text), iqt_coop_types) == NULL
               ? IQT_OK /* of another kind */
               : coop_replace(text, iqt_coop_types, coop_emulated);
}

#endif
