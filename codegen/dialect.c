/* The spellings of the GPU dialects: preludes, interface of a kernel, entry line. The one place
 * where languages differ; emitters write their common subset. */
#include "codegen/emit_call.h"

#include "kernels/quantized.h"
#include "kernels/tile_mma.h"

#include <assert.h>

static const char glsl_prelude[] = "#version 450\n"
                                   "#extension GL_EXT_control_flow_attributes : require\n"
                                   "#define UNROLL [[unroll]]\n"
                                   "#define BARRIER barrier()\n"
                                   "#define FMA(a, b, c) fma(a, b, c)\n"
                                   "#define EXP(x) exp(x)\n"
                                   "#define F16(bits) unpackHalf2x16(bits).x\n"
                                   "#define FLOAT_OF(bits) uintBitsToFloat(bits)\n"
                                   "#define BITS_OF(value) floatBitsToUint(value)\n"
                                   "#define ROUND(x) int(roundEven(x))\n";

static const char glsl_sums[] =
    "int dot4(uint a, uint b, int c)\n"
    "{\n"
    "    ivec4 p = bitfieldExtract(ivec4(a, a >> 8, a >> 16, a >> 24), 0, 8)\n"
    "            * bitfieldExtract(ivec4(b, b >> 8, b >> 16, b >> 24), 0, 8);\n"
    "    return c + p.x + p.y + p.z + p.w;\n"
    "}\n"
    "uint byte_sum(uint a)\n"
    "{\n"
    "    uint s = (a & 0x00ff00ffu) + (a >> 8 & 0x00ff00ffu);\n"
    "    return (s & 0xffffu) + (s >> 16);\n"
    "}\n";

/* OpSDot (4450) of packed words (format 0), capabilities DotProduct and
 * DotProductInput4x8BitPacked, for which this glslc has no built-in function. */
static const char glsl_dot_sums[] =
    "#extension GL_EXT_spirv_intrinsics : require\n"
    "spirv_instruction(extensions = [\"SPV_KHR_integer_dot_product\"],\n"
    "                  capabilities = [6019, 6018], id = 4450)\n"
    "int packed_dot(uint a, uint b, spirv_literal uint format);\n"
    "int dot4(uint a, uint b, int c) { return packed_dot(a, b, 0u) + c; }\n"
    "uint repeat(uint x, uint at)\n"
    "{\n"
    "    uint b = bitfieldExtract(x, int(at), 8);\n"
    "    b |= b << 8;\n"
    "    return b | b << 16;\n"
    "}\n";

/* Of plans that share: a has unsigned bytes, which leaves products of 16 bits. */
static const char glsl_lanes_sums[] =
    "#extension GL_KHR_shader_subgroup_basic : require\n"
    "#extension GL_KHR_shader_subgroup_shuffle : require\n"
    "#define LANE (gl_SubgroupInvocationID & 7u)\n"
    "int dot4(uint a, uint b, int c)\n"
    "{\n"
    "    ivec4 p = ivec4(a & 255u, a >> 8 & 255u, a >> 16 & 255u, a >> 24)\n"
    "            * bitfieldExtract(ivec4(b, b >> 8, b >> 16, b >> 24), 0, 8);\n"
    "    return c + p.x + p.y + p.z + p.w;\n"
    "}\n"
    "uint byte_sum(uint a) { return a * 0x01010101u >> 24; } // below 256\n";

/* CUDA and HIP share all but the builtins. */
#define CXX_COMMON                                                                                      \
    "#define UNROLL _Pragma(\"unroll\")\n"                                                              \
    "#define FLOAT_OF(bits) float_of(bits)\n"                                                           \
    "#define BITS_OF(value) bits_of(value)\n"                                                           \
    "struct Params {\n"                                                                                 \
    "    uint rows, k, row0, row_bytes, w_base, gate_base, cols, y_stride, y_base, flags, act, skip;\n" \
    "    float limit;\n"                                                                                \
    "};\n"                                                                                              \
    "struct QuantizeParams {\n"                                                                         \
    "    uint k, cols, x_stride, lanes_at;\n"                                                           \
    "};\n"

static const char cuda_prelude[] =
    "typedef unsigned int uint;\n"
    "typedef unsigned short ushort;\n"
    "typedef unsigned char uchar;\n"
    "typedef uint4 uvec4;\n"
    "typedef uint2 uvec2;\n"
    "typedef float4 vec4;\n"
    "#define FN static __device__ __forceinline__\n"
    "#define KERNEL(...) extern \"C\" __global__ void __launch_bounds__(__VA_ARGS__)\n"
    "#define GROUP blockIdx.x\n"
    "#define THREAD threadIdx.x\n"
    "#define BARRIER __syncthreads()\n"
    "#define FMA(a, b, c) __fmaf_rn(a, b, c)\n"
    "#define EXP(x) __expf(x)\n"
    "#define ROUND(x) __float2int_rn(x)\n"
    "#define SHUFFLE_XOR(x, mask) __shfl_xor_sync(0xffffffffu, x, mask)\n"
    "FN float float_of(uint bits) { return __uint_as_float(bits); }\n"
    "FN uint bits_of(float value) { return __float_as_uint(value); }\n"
    "FN float F16(uint bits)\n"
    "{\n"
    "    float value;\n"
    "    asm(\"cvt.f32.f16 %0, %1;\" : \"=f\"(value) : \"h\"((ushort)bits));\n"
    "    return value;\n"
    "}\n"
    "FN int dot4(uint a, uint b, int c) { return __dp4a((int)a, (int)b, c); }\n"
    "FN uint byte_sum(uint a) { return __dp4a(a, 0x01010101u, 0u); }\n"
    "FN uint permute(uint hi, uint lo, uint codes)\n"
    "{\n"
    "    uint s = (codes | codes >> 4) & 0x00ff00ffu; /* byte codes to nibble selectors */\n"
    "    return __byte_perm(lo, hi, (s | s >> 8) & 0xffffu);\n"
    "}\n" CXX_COMMON;

static const char hip_prelude[] =
    "typedef unsigned int uint;\n"
    "typedef unsigned short ushort;\n"
    "typedef unsigned char uchar;\n"
    "struct __attribute__((aligned(16))) uvec4 { uint x, y, z, w; };\n"
    "struct __attribute__((aligned(8))) uvec2 { uint x, y; };\n"
    "struct __attribute__((aligned(16))) vec4 { float x, y, z, w; };\n"
    "#define FN static __attribute__((device, always_inline)) inline\n"
    /* Clang's launch_bounds does nothing for AMD; without bounds, room is left for 1024 threads. */
    "#define KERNEL(threads) extern \"C\" __attribute__((global, "
    "amdgpu_flat_work_group_size(threads, threads))) void\n"
    "#define GROUP __builtin_amdgcn_workgroup_id_x()\n"
    "#define THREAD __builtin_amdgcn_workitem_id_x()\n"
    "#define BARRIER barrier()\n"
    "#define FMA(a, b, c) __builtin_fmaf(a, b, c)\n"
    "#define EXP(x) __builtin_exp2f((x) * 1.44269504f)\n"
    "#define ROUND(x) (int)__builtin_rintf(x)\n"
    "#define SHUFFLE_XOR(x, mask) shuffle_xor(x, mask)\n"
    "FN float float_of(uint bits) { return __builtin_bit_cast(float, bits); }\n"
    "FN uint bits_of(float value) { return __builtin_bit_cast(uint, value); }\n"
    "FN float F16(uint bits) { return (float)__builtin_bit_cast(_Float16, (ushort)bits); }\n"
    /* Barriers order shared memory only. Since clang 19 a fence can say so; else it also
     * invalidates the first-level cache, with the weights in it. */
    "#if __clang_major__ >= 19\n"
    "#define FENCE(order) __builtin_amdgcn_fence(order, \"workgroup\", \"local\")\n"
    "#else\n"
    "#define FENCE(order) __builtin_amdgcn_fence(order, \"workgroup\")\n"
    "#endif\n"
    "FN void barrier()\n"
    "{\n"
    "    FENCE(__ATOMIC_RELEASE);\n"
    "    __builtin_amdgcn_s_barrier();\n"
    "    FENCE(__ATOMIC_ACQUIRE);\n"
    "}\n"
    "FN float shuffle_xor(float x, uint mask)\n"
    "{\n"
    "    uint lane = __builtin_amdgcn_mbcnt_hi(~0u, __builtin_amdgcn_mbcnt_lo(~0u, 0u));\n"
    "    return float_of(__builtin_amdgcn_ds_bpermute((lane ^ mask) << 2, bits_of(x)));\n"
    "}\n"
    "FN int dot4(uint a, uint b, int c)\n"
    "{\n"
    "#if defined(__gfx11__) || defined(__gfx12__) || defined(__GFX11__) || defined(__GFX12__)\n"
    "    return __builtin_amdgcn_sudot4(true, a, true, b, c, false);\n"
    "#elif defined(__gfx906__) || defined(__gfx908__) || defined(__gfx90a__) || \\\n"
    "    defined(__gfx942__) || defined(__gfx950__) || defined(__gfx1030__)\n"
    "    return __builtin_amdgcn_sdot4(a, b, c, false);\n"
    "#else\n"
    "    for (int i = 0; i < 32; i += 8)\n"
    "        c += ((int)(a << (24 - i)) >> 24) * ((int)(b << (24 - i)) >> 24);\n"
    "    return c;\n"
    "#endif\n"
    "}\n"
    "FN uint byte_sum(uint a) { return __builtin_amdgcn_sad_u8(a, 0u, 0u); } /* differences from 0 */\n"
    "FN uint permute(uint hi, uint lo, uint codes)\n"
    "{\n"
    "    return __builtin_amdgcn_perm(hi, lo, codes);\n"
    "}\n" CXX_COMMON;

static const char glsl_subgroup[] =
    "#extension GL_KHR_shader_subgroup_basic : require\n"
    "#extension GL_KHR_shader_subgroup_shuffle : require\n"
    "#define SHUFFLE_XOR(x, mask) subgroupShuffleXor(x, mask)\n";

/* PERM: bytes of hi:lo by selectors, nibbles on CUDA and bytes on AMD; unlike __byte_perm the
 * instruction takes the top bit of a nibble as it is, which then means the sign of the byte.
 * HIGH: the upper selectors of a word. */
#define TILES_COMMON "#define BLEND(m, a, b) (((a) & ~(m)) | ((b) & (m)))\n"

static const char cuda_tiles[] =
    "FN uint PERM(uint lo, uint hi, uint s)\n"
    "{\n"
    "    uint d;\n"
    "    asm(\"prmt.b32 %0, %1, %2, %3;\" : \"=r\"(d) : \"r\"(lo), \"r\"(hi), \"r\"(s));\n"
    "    return d;\n"
    "}\n"
    "FN uint FMA_HALF2(uint a, uint b, uint c)\n"
    "{\n"
    "    uint d;\n"
    "    asm(\"fma.rn.f16x2 %0, %1, %2, %3;\" : \"=r\"(d) : \"r\"(a), \"r\"(b), \"r\"(c));\n"
    "    return d;\n"
    "}\n"
    "#define LOP3(a, b, c, table) lop3<table>(a, b, c)\n"
    "template <int table> FN uint lop3(uint a, uint b, uint c)\n"
    "{\n"
    "    uint d;\n"
    "    asm(\"lop3.b32 %0, %1, %2, %3, %4;\" : \"=r\"(d) : \"r\"(a), \"r\"(b), \"r\"(c), \"n\"(table));\n"
    "    return d;\n"
    "}\n"
    "FN uint MUL(uint a, uint b) /* which the compiler would make two ALU instructions of */\n"
    "{\n"
    "    uint d;\n"
    "    asm(\"mul.lo.u32 %0, %1, %2;\" : \"=r\"(d) : \"r\"(a), \"r\"(b));\n"
    "    return d;\n"
    "}\n"
    "#define FUNNEL(high, low, by) __funnelshift_r(low, high, by)\n"
    "#define HIGH(x) __umulhi(x, 65536u)\n"
    "#define SIGNS(x) PERM(x, x, 0xba98u)\n"
    "#define REPEAT(x, i) PERM(x, x, 0x1111u * (i))\n" TILES_COMMON;

static const char hip_tiles[] =
    "FN uint PERM(uint lo, uint hi, uint s) { return __builtin_amdgcn_perm(hi, lo, s); }\n"
    "FN uint FMA_HALF2(uint a, uint b, uint c)\n"
    "{\n"
    "    uint d;\n"
    "    asm(\"v_pk_fma_f16 %0, %1, %2, %3\" : \"=v\"(d) : \"v\"(a), \"v\"(b), \"v\"(c));\n"
    "    return d;\n"
    "}\n"
    "#define FUNNEL(high, low, by) __builtin_amdgcn_alignbit(high, low, by)\n"
    "#define MUL(a, b) ((a) * (b))\n"
    "#define MUL24(x, c) mul24<c>(x)\n"
    "template <uint c> FN uint mul24(uint x)\n"
    "{\n"
    "    uint d;\n"
    "    asm(\"v_mul_u32_u24 %0, %1, %2\" : \"=v\"(d) : \"n\"(c), \"v\"(x));\n"
    "    return d;\n"
    "}\n"
    "FN uint MAD24(uint x, uint c, uint to)\n"
    "{\n"
    "    uint d;\n"
    "    asm(\"v_mad_u32_u24 %0, %1, %2, %3\" : \"=v\"(d) : \"v\"(x), \"s\"(c), \"v\"(to));\n"
    "    return d;\n"
    "}\n"
    "#if __has_builtin(__builtin_amdgcn_sched_barrier) // from clang 15 on\n"
    "#define IN_ORDER_ALWAYS __builtin_amdgcn_sched_barrier(0) // the compiler moves nothing across\n"
    "#else\n"
    "#define IN_ORDER_ALWAYS\n"
    "#endif\n"
    "#ifdef __GFX9__\n"
    "#define IN_ORDER\n"
    "#else\n"
    "#define IN_ORDER IN_ORDER_ALWAYS\n"
    "#endif\n"
    "#define BYTES(x, c) __builtin_amdgcn_sad_u8(x, 0u, c) // their sum and c\n"
    "#define BYTES_HIGH(x, c) __builtin_amdgcn_sad_hi_u8(x, 0u, c) // 2^16 times their sum\n"
    "#define SIGNS(x) PERM((x) << 8, x, 0x0b090a08u)\n"
    "#define REPEAT(x, i) PERM(x, x, 0x01010101u * (i))\n" TILES_COMMON;

/* INT8(u, i): byte i of u less 128, exact. CUDA converts a quarter as often as it permutes and adds: the
 * byte becomes the lowest one of a float above 2^23. AMD converts a byte in one instruction. */
static const char cuda_floats[] =
    "#define INT8(u, i) (__uint_as_float(__byte_perm(u, 0x4b000000u, 0x7540u + i)) - 8388736.0f)\n";
static const char byte_floats[] =
    "#define INT8(u, i) (float(u >> 8u * i & 255u) - 128.0f)\n";

static const struct iqt_spelling spellings[IQT_DIALECTS] = {
    [IQT_DIALECT_GLSL] = { glsl_prelude, "shared", NULL, "", glsl_subgroup, NULL,
                           byte_floats },
    [IQT_DIALECT_CUDA] = { cuda_prelude, "static __shared__", "static __constant__ const",
                           "FN ", "", cuda_tiles, cuda_floats },
    [IQT_DIALECT_HIP] = { hip_prelude, "static __attribute__((shared))",
                          "static __attribute__((constant)) const", "FN ", "", hip_tiles,
                          byte_floats },
};

const char *iqt_spelling_sums(const struct iqt_plan *plan)
{
    if (plan->dialect != IQT_DIALECT_GLSL)
        return "";
    if (iqt_plan_shares(plan))
        return glsl_lanes_sums;
    return iqt_plan_has_dot(plan) ? glsl_dot_sums : glsl_sums;
}

const struct iqt_spelling *iqt_spelling_of(enum iqt_dialect d)
{
    assert(d != IQT_DIALECT_HOST);
    return &spellings[d];
}

/* Views of a binding: GLSL declares one block per element type over the same binding. */
struct view {
    const char *name, *type;
    enum iqt_binding binding;
    bool written;
};
static const struct view views[] = {
    { "w4", "uvec4", IQT_BIND_W, false },
    { "w1", "uint", IQT_BIND_W, false },
    { "gate4", "uvec4", IQT_BIND_GATE, false },
    { "gate1", "uint", IQT_BIND_GATE, false },
    { "xq4", "uvec4", IQT_BIND_XQ, false },
    { "xf4", "vec4", IQT_BIND_XQ, false },
    { "xs2", "uvec2", IQT_BIND_XS, false },
    { "bias", "float", IQT_BIND_BIAS, false },
    { "gate_bias", "float", IQT_BIND_GATE_BIAS, false },
    { "residual", "float", IQT_BIND_RESIDUAL, false },
    { "y", "float", IQT_BIND_Y, true },
};

/* Words of any alignment come from aligned words: SPIR-V needs no 8- or 16-bit storage. */
static void glsl_accessors(struct iqt_emit *e, const char *m)
{
    iqt_emit_line(e, "uvec4 %s_vec(uint off) { return %s4[off >> 4]; }", m, m);
    iqt_emit_line(
        e, "uint %s_u8(uint off) { return %s1[off >> 2] >> ((off & 3u) * 8u) & 0xffu; }",
        m, m);
    if (iqt_place_alignment(e->places) >= 4) {
        iqt_emit_line(e, "uint %s_u32(uint off) { return %s1[off >> 2]; }", m, m);
    } else {
        iqt_emit_open(e, "uint %s_u32(uint off)", m);
        iqt_emit_line(e, "uint shift = (off & 3u) * 8u, low = %s1[off >> 2] >> shift;",
                      m);
        iqt_emit_line(
            e, "return shift == 0u ? low : low | %s1[(off >> 2) + 1u] << (32u - shift);",
            m);
        iqt_emit_close(e);
    }
    if (iqt_place_alignment(e->places) >= 2)
        iqt_emit_line(
            e,
            "uint %s_u16(uint off) { return %s1[off >> 2] >> ((off & 2u) * 8u) & "
            "0xffffu; }",
            m, m);
    else
        iqt_emit_line(
            e, "uint %s_u16(uint off) { return %s_u8(off) | %s_u8(off + 1u) << 8; }", m,
            m, m);
}

/* Each member of a set has buffers of its own: an element of an array. Its name stands for the member's, but y:
 * that is a component of vectors, too. */
static void glsl_view(struct iqt_emit *e, size_t i)
{
    const struct view *v = &views[i];
    const char *access = v->written ? "writeonly" : "readonly";

    if (e->plan->covers != IQT_COVERS_SET || !iqt_binding_of_member(v->binding)) {
        iqt_emit_line(e, "layout(set = 0, binding = %d) %s buffer B%zu { %s %s[]; };",
                      v->binding, access, i, v->type, v->name);
        return;
    }
    iqt_emit_line(e,
                  "layout(set = 0, binding = %d) %s buffer B%zu { %s v[]; } %s_of[%u];",
                  v->binding, access, i, v->type, v->name, IQT_SHORT_SET_JOBS);
    if (!v->written)
        iqt_emit_line(e, "#define %s %s_of[member].v", v->name, v->name);
}

static void glsl_interface(struct iqt_emit *e)
{
    static const char *const names[] = { "rows",   "k",         "row0", "row_bytes",
                                         "w_base", "gate_base", "cols", "y_stride",
                                         "y_base", "flags",     "act",  "skip" };

    if (iqt_emit_covers_more(e->plan)) {
        iqt_emit_glsl_launch(e, names, IQT_COUNT(names));
    } else {
        iqt_emit_open(e, "layout(push_constant) uniform Params");
        for (size_t i = 0; i < IQT_COUNT(names); i++)
            iqt_emit_line(e, "uint %s;", names[i]);
        iqt_emit_line(e, "float limit;");
        e->indent--;
        iqt_emit_line(e, "} p;");
    }
    if (e->plan->covers == IQT_COVERS_ROUTED)
        iqt_emit_line(e,
                      "layout(set = 0, binding = %d) readonly buffer BI { int ids[]; };",
                      IQT_BIND_IDS);
    if (e->plan->split > 1)
        iqt_emit_line(
            e, "layout(set = 0, binding = %d) coherent buffer BW { uint work[]; };",
            IQT_BIND_WORK);
    for (size_t i = 0; i < IQT_COUNT(views); i++)
        glsl_view(e, i);
    glsl_accessors(e, "w");
    if (e->plan->op == IQT_OP_GATED)
        glsl_accessors(e, "gate");
}

static void cxx_accessors(struct iqt_emit *e, const char *m)
{
    static const char *const u32[] = {
        [1] = "#define %s_u32(off) (%s_u16(off) | %s_u16((off) + 2u) << 16)",
        [2] = "#define %s_u32(off) (%s_u16(off) | %s_u16((off) + 2u) << 16)",
        [4] = "#define %s_u32(off) (*(const uint *)(%s_bytes + (off)))",
    };
    const uint32_t align = iqt_place_alignment(e->places);

    iqt_emit_line(e, "#define %s_vec(off) (*(const uvec4 *)(%s_bytes + (off)))", m, m);
    iqt_emit_line(e, "#define %s_u8(off) ((uint)%s_bytes[off])", m, m);
    iqt_emit_line(
        e,
        align >= 2 ? "#define %s_u16(off) ((uint) * (const ushort *)(%s_bytes + (off)))"
                   : "#define %s_u16(off) (%s_u8(off) | %s_u8((off) + 1u) << 8)",
        m, m, m);
    iqt_emit_line(e, u32[align], m, m, m);
}

void iqt_emit_interface(struct iqt_emit *e)
{
    if (e->plan->dialect == IQT_DIALECT_GLSL) {
        glsl_interface(e);
        return;
    }
    cxx_accessors(e, "w");
    if (e->plan->op == IQT_OP_GATED)
        cxx_accessors(e, "gate");
}

/* Threads that a multiprocessor is to hold, of the kernels that their format's entry names; else 0. */
static uint32_t crowded(const struct iqt_plan *p)
{
    for (size_t i = 0; p->format != NULL && i < IQT_COUNT(p->format->crowded); i++) {
        const struct iqt_crowded *c = &p->format->crowded[i];

        if (c->n == p->n && c->rows_thread == p->rows_thread &&
            c->gated == (p->op == IQT_OP_GATED))
            return c->threads;
    }
    return 0;
}

/* Workgroups that a multiprocessor must have room for; 0: not told. Kernels on matrix units want two, where
 * their decoder leaves the registers; others on tiles are told one, lest ptxas spills for a third one. */
static uint32_t workgroups(const struct iqt_plan *p, uint32_t threads)
{
    enum { FEW = 1u << IQT_TILE_Q2 | 1u << IQT_TILE_Q4_GRAY | 1u << IQT_TILE_KT3 };

    if (p == NULL || p->dialect != IQT_DIALECT_CUDA)
        return 0;
    const enum iqt_tile_family family = p->layout == IQT_LAYOUT_PACKED
                                            ? iqt_tile_family_of(p->format, p->dialect)
                                            : IQT_TILE_NONE;

    if (family == IQT_TILE_NONE)
        return crowded(p) / threads;
    if (p->n <= 4 && p->op != IQT_OP_GATED && p->compute != IQT_COMPUTE_MMA)
        return 0;
    if (iqt_mma_keeps_tiles(p))
        return family == IQT_TILE_KT3 && p->n == 1 && p->op != IQT_OP_GATED &&
                       p->covers == IQT_COVERS_ONE
                   ? 2
                   : 1;
    const bool few =
        (FEW >> family & 1) || (family == IQT_TILE_Q4 && p->format->block == 16);
    return p->compute == IQT_COMPUTE_MMA && p->n <= 8 && few ? 2 : 1;
}

void iqt_emit_entry(struct iqt_emit *e, const char *symbol, const char *params,
                    uint32_t threads)
{
    if (e->spell == &spellings[IQT_DIALECT_GLSL]) {
        iqt_emit_line(e, "layout(local_size_x = %u) in;", threads);
        iqt_emit_line(
            e,
            "#define GROUP (gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x)");
        iqt_emit_line(e, "#define THREAD gl_LocalInvocationID.x");
        iqt_emit_open(e, "void main()");
        return;
    }
    if (workgroups(e->plan, threads))
        iqt_emit_line(e, "KERNEL(%u, %u)", threads, workgroups(e->plan, threads));
    else
        iqt_emit_line(e, "KERNEL(%u)", threads);
    iqt_emit_line(
        e, "%s(const uchar *__restrict__ w_bytes, const uchar *__restrict__ gate_bytes,",
        symbol);
    iqt_emit_line(e, "    const uvec4 *__restrict__ xq4, const uvec2 *__restrict__ xs2,");
    iqt_emit_line(
        e, "    const float *__restrict__ bias, const float *__restrict__ gate_bias,");
    if (e->plan && iqt_emit_covers_more(e->plan)) {
        const bool set = e->plan->covers == IQT_COVERS_SET;

        iqt_emit_line(e, "    const float *residual, float *y, const Launch %s,",
                      set ? "first_launch" : "launch");
        iqt_emit_open(e, "    const int *__restrict__ ids, uint *work%s)",
                      set ? ", const Set set" : "");
    } else {
        iqt_emit_open(e, "    const float *residual, float *y, const %s p)", params);
    }
    iqt_emit_line(e, "const vec4 *xf4 = (const vec4 *)xq4;");
    iqt_emit_line(e, "(void)xf4; (void)gate_bytes;");
}
