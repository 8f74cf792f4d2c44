/* What makes activations of the GPU dialects from floats: to int8, the bits of iqt_quantize_ref(), and to float16,
 * those of iqt_halve_ref(). A thread makes a block of 32, but int8 of CUDA and HIP: eight threads do, so that
 * a warp reads and writes whole lines and a short vector has more threads to wait for memory. */
#include "codegen/emit_call.h"

#include <assert.h>

static const char glsl_interface[] =
    "layout(push_constant) uniform Params { uint k; uint cols; uint x_stride; } p;\n"
    "layout(set = 0, binding = 0) readonly buffer B0 { float x[]; };\n"
    "layout(set = 0, binding = 2) writeonly buffer B1 { uint xq[]; };\n"
    "layout(set = 0, binding = 3) writeonly buffer B2 { uvec2 xs[]; };\n";

/* The thread's block. Largest magnitude as an integer: exact, and NaN counts as larger than infinity. */
static const char *const start[] = {
    "uint number = GROUP * 64u + THREAD, blocks = p.k / 32u;",
    "if (number >= blocks * p.cols)",
    "    return;",
    "uint from = number / blocks * p.x_stride + number % blocks * 32u;",
    "uint most = 0u;",
    "for (uint i = 0u; i < 32u; i++) {",
    "    uint bits = BITS_OF(x[from + i]) & 0x7fffffffu;",
    "    most = bits > most ? bits : most;",
    "}",
};

/* The thread's four of a block. Lanes without any shuffle with the others. */
static const char *const start_of_four[] = {
    "uint i = GROUP * 64u + THREAD, four = p.k / 4u;",
    "bool mine = i < four * p.cols;",
    "i = mine ? i : four * p.cols - 1u;",
    "uint from = i / four * p.x_stride + i % four * 4u;",
    "uint most = 0u;",
    "for (uint j = 0u; j < 4u; j++) {",
    "    uint bits = BITS_OF(x[from + j]) & 0x7fffffffu;",
    "    most = bits > most ? bits : most;",
    "}",
    "for (uint off = 1u; off < 8u; off *= 2u) {",
    "    uint other = BITS_OF(SHUFFLE_XOR(FLOAT_OF(most), off));",
    "    most = other > most ? other : most;",
    "}",
};

static const char *const scale[] = {
    "bool finite = most < 0x7f800000u;",
    "float amax = FLOAT_OF(most);",
    "bool zero = finite && amax < 1e-30f;",
    "float inverse = zero || !finite ? 0.0f : 127.0f / amax;",
};

static const char *const quantize_four[] = {
    "int sum = 0;",
    "uint word = 0u;",
    "for (uint j = 0u; j < 4u; j++) {",
    "    int q = zero || !finite ? 0 : ROUND(x[from + j] * inverse);",
    "    word |= (uint(q) & 0xffu) << (j * 8u);",
    "    sum += q;",
    "}",
    "for (uint off = 1u; off < 4u; off *= 2u)",
    "    sum += int(BITS_OF(SHUFFLE_XOR(FLOAT_OF(uint(sum)), off)));",
    "uint sum1 = BITS_OF(SHUFFLE_XOR(FLOAT_OF(uint(sum)), 4u));",
    "if (!mine)",
    "    return;",
    "xq[i] = word;",
    "if (p.lanes_at != 0u) { // 16 bytes of each of eight spans of 64, the next 16, ..",
    "    uint c = i % four / 4u, to = (c & ~31u) + c % 4u * 8u + c / 4u % 8u;",
    "    xq[(p.lanes_at + i / four * (" IQT_EMIT_LANES_VECTORS
    ") + to) * 4u + i % 4u] = word;",
    "}",
    "if (i % 8u == 0u) {",
    "    xs[i / 8u].x = BITS_OF(zero ? 0.0f : amax * 0.00787401572f);",
    "    xs[i / 8u].y = (uint(sum) & 0xffffu) | sum1 << 16;",
    "}",
};

static const char *const quantize[] = {
    "int sum0 = 0, sum1 = 0;",
    "for (uint w = 0u; w < 8u; w++) {",
    "    uint word = 0u;",
    "    for (uint i = 0u; i < 4u; i++) {",
    "        int q = zero || !finite ? 0 : ROUND(x[from + w * 4u + i] * inverse);",
    "        word |= (uint(q) & 0xffu) << (i * 8u);",
    "        if (w < 4u)",
    "            sum0 += q;",
    "        else",
    "            sum1 += q;",
    "    }",
    "    xq[number * 8u + w] = word;",
    "}",
    "uvec2 scale;",
    "scale.x = BITS_OF(zero ? 0.0f : amax * 0.00787401572f);",
    "scale.y = (uint(sum0) & 0xffffu) | uint(sum1) << 16;",
    "xs[number] = scale;",
};

/* All in integers, which no device rounds or flushes in its own way. Exponents: `top` of the largest, 29 (2^14)
 * of its half; 2^-14 d, of 28 powers less, is the least normal one. */
static const char *const halve[] = {
    "uint top = most >> 23u;",
    "bool whole = top >= 29u && top < 255u; // else zeros, and the scale may say NaN",
    "for (uint w = 0u; w < 16u; w++) {",
    "    uint word = 0u;",
    "    for (uint i = 0u; i < 2u; i++) {",
    "        uint bits = BITS_OF(x[from + w * 2u + i]), size = bits & 0x7fffffffu;",
    "        uint even = size >> 13u & 1u; // of two as near, the even one",
    "        uint h = ((size + 0xfffu + even) >> 13u) + ((29u - top) << 10u);",
    "        h = whole && (size >> 23u) + 28u >= top ? h : 0u;",
    "        word |= (bits >> 16u & 0x8000u | h) << (i * 16u);",
    "    }",
    "    xq[number * 16u + w] = word;",
    "}",
    "uvec2 scale;",
    "scale.x = whole ? (top - 14u) << 23u : top == 255u ? most : 0u;",
    "scale.y = 0u;",
    "xs[number] = scale;",
};

/* One of them: its name, what it is called in the text, how many activations a thread makes, its lines. */
static const struct maker {
    const char *name, *title;
    uint32_t each;
    struct {
        const char *const *line;
        size_t count;
    } part[3];
} makers[] = {
#define PART(lines)             \
    {                           \
        lines, IQT_COUNT(lines) \
    }
    { "quantize",
      "Activation quantizer",
      32,
      { PART(start), PART(scale), PART(quantize) } },
    { "quantize",
      "Activation quantizer",
      4,
      { PART(start_of_four), PART(scale), PART(quantize_four) } },
    { "halve", "Activations as float16", 32, { PART(start), PART(halve) } },
#undef PART
};

static const struct maker *maker_of(enum iqt_helper h, enum iqt_dialect d)
{
    assert(h == IQT_HELPER_QUANTIZE || h == IQT_HELPER_HALVE);
    if (h == IQT_HELPER_HALVE)
        return &makers[2];
    return &makers[iqt_dialect_is_cxx(d)];
}

uint32_t iqt_helper_groups(enum iqt_helper h, enum iqt_dialect d, uint64_t activations)
{
    const uint64_t each = (uint64_t)maker_of(h, d)->each * iqt_helper_threads(h);

    return (uint32_t)((activations + each - 1) / each);
}

enum iqt_status iqt_emit_activations(enum iqt_helper h, enum iqt_dialect d,
                                     struct iqt_buf *out)
{
    const struct maker *m = maker_of(h, d);
    struct iqt_emit e = { .out = out };
    const bool glsl = d == IQT_DIALECT_GLSL;

    if (d == IQT_DIALECT_HOST)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "the host makes its activations by its own code");
    e.spell = iqt_spelling_of(d);
    iqt_buf_printf(out, "// Generated by iqtile %s; do not edit.\n// %s\n%s", IQT_VERSION,
                   m->title, e.spell->prelude);
    if (glsl)
        iqt_buf_printf(out, "%s", glsl_interface);
    iqt_emit_entry(&e, m->name, "QuantizeParams", iqt_helper_threads(h));
    if (!glsl) {
        iqt_emit_line(&e, "const float *x = (const float *)w_bytes;");
        iqt_emit_line(&e, "uint *xq = (uint *)xq4; uvec2 *xs = (uvec2 *)xs2;");
    }
    for (size_t i = 0; i < IQT_COUNT(m->part); i++)
        for (size_t j = 0; j < m->part[i].count; j++)
            iqt_emit_line(&e, "%s", m->part[i].line[j]);
    iqt_emit_close(&e);
    return iqt_buf_check(out);
}
