/* The search for seeds of the GPU dialects: every seed is tried for every query, and the sums are those of
 * the CPU's search, bit for bit, so that both find the same seed. */
#include "codegen/emit.h"

#include <assert.h>

static const char glsl_interface[] =
    "layout(push_constant) uniform Params\n"
    "{ uint jobs; uint parts; uint seeds; uint multiplier; uint mask; uint centre; "
    "uint magnitude; } p;\n"
    "layout(set = 0, binding = 0) readonly buffer B0 { uint from[]; };\n"
    "layout(set = 0, binding = 7) writeonly buffer B1 { uvec2 to[]; };\n"
    "#define EXACT precise\n"
    "#define ADD(a, b) ((a) + (b))\n"
    "#define SUB(a, b) ((a) - (b))\n"
    "#define MUL(a, b) ((a) * (b))\n"
    "uint byte_sum(uint a)\n"
    "{\n"
    "    uint s = (a & 0x00ff00ffu) + (a >> 8 & 0x00ff00ffu);\n"
    "    return (s & 0xffffu) + (s >> 16);\n"
    "}\n";

/* Compilers of CUDA and HIP fuse multiplications and additions unless they are told not to. */
static const char cuda_interface[] =
    "struct FindParams { uint jobs, parts, seeds, multiplier, mask, centre, magnitude; };\n"
    "#define EXACT\n"
    "#define ADD(a, b) __fadd_rn(a, b)\n"
    "#define SUB(a, b) __fsub_rn(a, b)\n"
    "#define MUL(a, b) __fmul_rn(a, b)\n";
static const char hip_interface[] =
    "#pragma clang fp contract(off)\n"
    "struct FindParams { uint jobs, parts, seeds, multiplier, mask, centre, magnitude; };\n"
    "#define EXACT\n"
    "#define ADD(a, b) ((a) + (b))\n"
    "#define SUB(a, b) ((a) - (b))\n"
    "#define MUL(a, b) ((a) * (b))\n";

static const char *const interfaces[IQT_DIALECTS] = {
    [IQT_DIALECT_GLSL] = glsl_interface,
    [IQT_DIALECT_CUDA] = cuda_interface,
    [IQT_DIALECT_HIP] = hip_interface,
};

enum { QUERIES = IQT_FIND_QUERIES };

static const char *const reduction[] = {
    "for (uint apart = THREADS / 2u; apart > 0u; apart /= 2u) {",
    "    BARRIER;",
    "    if (THREAD < apart)",
    "        for (uint q = 0u; q < 4u; q++) {",
    "            uint a = q * THREADS + THREAD, b = a + apart;",
    "            bool equal = all_least[b] == all_least[a];",
    "            bool lower = equal && all_best[b] < all_best[a];",
    "            if (all_least[b] < all_least[a] || lower) {",
    "                all_least[a] = all_least[b];",
    "                all_best[a] = all_best[b];",
    "            }",
    "        }",
    "}",
    "if (THREAD == 0u)",
    "    for (uint q = 0u; q < 4u; q++) {",
    "        uvec2 answer;",
    "        answer.x = all_least[q * THREADS];",
    "        answer.y = all_best[q * THREADS];",
    "        to[number * 4u + q] = answer;",
    "    }",
};

/* Targets and weights in registers. */
static void emit_load(struct iqt_emit *e, uint32_t group)
{
    const uint32_t n = QUERIES * group;

    iqt_emit_line(e, "uint number = GROUP, at = number / p.parts * %uu;",
                  iqt_find_job_words(group));
    iqt_emit_line(e, "if (number >= p.jobs * p.parts)");
    iqt_emit_line(e, "    return;");
    iqt_emit_line(e, "uint first = from[at], begin = number %% p.parts * p.seeds;");
    for (uint32_t i = 0; i < n; i++)
        iqt_emit_line(
            e,
            "float y%u_%u = FLOAT_OF(from[at + %uu]), w%u_%u = FLOAT_OF(from[at + %uu]);",
            i / group, i % group, IQT_FIND_HEAD + i, i / group, i % group,
            IQT_FIND_HEAD + n + i);
    for (uint32_t q = 0; q < QUERIES; q++)
        iqt_emit_line(e, "uint least%u = 0xffffffffu, best%u = 0u;", q, q);
}

/* Written out: glslc's optimizer forgets what is precise in the copies that it makes of a loop's body, and then
 * fuses there. */
static void emit_sums(struct iqt_emit *e, uint32_t group)
{
    for (uint32_t q = 0; q < QUERIES; q++)
        iqt_emit_line(e, "EXACT float sum%u = 0.0f;", q);
    for (uint32_t d = 0; d < group; d++) {
        iqt_emit_line(e, "state *= p.multiplier;");
        iqt_emit_line(e, "signed_value = int(byte_sum(state & p.mask)) - int(p.centre);");
        iqt_emit_line(
            e, "value = float(p.magnitude != 0u && signed_value < 0 ? -signed_value : "
               "signed_value);");
        for (uint32_t q = 0; q < QUERIES; q++) {
            iqt_emit_line(e, "miss = SUB(y%u_%u, value);", q, d);
            iqt_emit_line(e, "sum%u = ADD(sum%u, MUL(w%u_%u, MUL(miss, miss)));", q, q, q,
                          d);
        }
    }
}

/* The bits of sums, which are not negative, are in the order of the sums. A thread meets its codes in
 * ascending order, so an equal sum is one of a higher code. */
static void emit_search(struct iqt_emit *e, uint32_t group)
{
    iqt_emit_open(
        e, "for (uint code = begin + THREAD; code < begin + p.seeds; code += THREADS)");
    iqt_emit_line(e, "uint state = first + code;");
    iqt_emit_line(e, "int signed_value;");
    iqt_emit_line(e, "float value;");
    iqt_emit_line(e, "EXACT float miss;");
    emit_sums(e, group);
    for (uint32_t q = 0; q < QUERIES; q++) {
        iqt_emit_open(e, "if (BITS_OF(sum%u) < least%u)", q, q);
        iqt_emit_line(e, "least%u = BITS_OF(sum%u);", q, q);
        iqt_emit_line(e, "best%u = code;", q);
        iqt_emit_close(e);
    }
    iqt_emit_close(e);
}

static void emit_reduction(struct iqt_emit *e)
{
    for (uint32_t q = 0; q < QUERIES; q++) {
        iqt_emit_line(e, "all_least[%uu * THREADS + THREAD] = least%u;", q, q);
        iqt_emit_line(e, "all_best[%uu * THREADS + THREAD] = best%u;", q, q);
    }
    for (size_t i = 0; i < IQT_COUNT(reduction); i++)
        iqt_emit_line(e, "%s", reduction[i]);
}

enum iqt_status iqt_emit_find(enum iqt_dialect d, uint32_t group, struct iqt_buf *out)
{
    const enum iqt_helper helper = group == 4 ? IQT_HELPER_FIND4 : IQT_HELPER_FIND8;
    const uint32_t threads = iqt_helper_threads(helper);
    struct iqt_emit e = { .out = out };

    static_assert(QUERIES == 4, "as the text says");
    assert(group == 4 || group == 8);
    if (d == IQT_DIALECT_HOST)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "the host finds seeds by its own code");
    e.spell = iqt_spelling_of(d);
    iqt_buf_printf(out,
                   "// Generated by iqtile %s; do not edit.\n// Search for seeds\n%s%s",
                   IQT_VERSION, e.spell->prelude, interfaces[d]);
    iqt_buf_printf(out, "#define THREADS %uu\n", threads);
    iqt_emit_line(&e, "%s uint all_least[4u * THREADS], all_best[4u * THREADS];",
                  e.spell->shared);
    iqt_emit_entry(&e, iqt_helper_name(helper), "FindParams", threads);
    if (d != IQT_DIALECT_GLSL) {
        iqt_emit_line(&e, "const uint *__restrict__ from = (const uint *)w_bytes;");
        iqt_emit_line(&e, "uvec2 *__restrict__ to = (uvec2 *)y;");
    }
    emit_load(&e, group);
    emit_search(&e, group);
    emit_reduction(&e);
    iqt_emit_close(&e);
    return iqt_buf_check(out);
}
