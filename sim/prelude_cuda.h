/* CUDA C as a kernel text sees it. */
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __shared__ __attribute__((section("sim_shared")))
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
#define threadIdx (sim_rt->thread)
#define blockIdx (sim_rt->group)
#define blockDim (sim_rt->threads)
#define gridDim (sim_rt->groups)
#define warpSize ((int)sim_rt->warp)
#define __syncthreads() (SIM_DOES(BARRIER), sim_rt->barrier(__LINE__))
#define __threadfence() sim_rt->fence()
#define __syncwarp() ((void)sim_rt->shuffle(__LINE__, 0xffffffffull, 0, -2))
template <class T>
SIM T sim_shuffle(int line, unsigned mask, T value, int lane, int width, bool clamp)
{
    const int own = sim_lane(), first = own / width * width;
    SIM_DOES(SHUFFLE);
    if (clamp && (lane < first || lane >= first + width))
        lane = own;
    return sim_value<T>(sim_rt->shuffle(line, mask, sim_bits(value), lane));
}
#define SIM_WIDTH(a, b, width, ...) width
#define __shfl_sync(mask, x, lane, ...) \
    sim_shuffle(__LINE__, mask, x, sim_from((int)(lane), ##__VA_ARGS__), 32, false)
SIM int sim_from(int lane, int width = 32)
{
    return sim_lane() / width * width + lane % width;
}
#define __shfl_xor_sync(mask, x, lanes, ...) \
    sim_shuffle(__LINE__, mask, x, sim_lane() ^ (int)(lanes), 32, true)
#define __shfl_down_sync(mask, x, lanes, ...) \
    sim_shuffle(__LINE__, mask, x, sim_lane() + (int)(lanes), 32, true)
#define __shfl_up_sync(mask, x, lanes, ...) \
    sim_shuffle(__LINE__, mask, x, sim_lane() - (int)(lanes), 32, true)
SIM int __dp4a(int a, int b, int c)
{
    return sim_dp4a((unsigned)a, (unsigned)b, c);
}
SIM unsigned __dp4a(unsigned a, unsigned b, unsigned c)
{
    return sim_dp4a_u(a, b, c);
}
/* Selector nibbles choose a byte of b:a; their top bit replicates its sign. */
SIM unsigned __byte_perm(unsigned a, unsigned b, unsigned s)
{
    const unsigned long long v = (unsigned long long)b << 32 | a;
    unsigned r = 0;
    SIM_DOES(PERM);
    for (unsigned i = 0; i < 4; i++) {
        const unsigned n = s >> 4 * i & 15u;
        unsigned byte = (unsigned)(v >> 8 * (n & 7u)) & 255u;
        if (n & 8u)
            byte = byte & 128u ? 255u : 0u;
        r |= byte << 8 * i;
    }
    return r;
}
SIM unsigned __umulhi(unsigned a, unsigned b)
{
    SIM_DOES(MUL);
    return (unsigned)((unsigned long long)a * b >> 32);
}
SIM float __fmaf_rn(float a, float b, float c)
{
    SIM_DOES(FMA);
    return __builtin_fmaf(a, b, c);
}
SIM float __fadd_rn(float a, float b)
{
    SIM_DOES(FMA);
    return a + b;
}
SIM float __fsub_rn(float a, float b)
{
    SIM_DOES(FMA);
    return a - b;
}
SIM float __fmul_rn(float a, float b)
{
    SIM_DOES(FMA);
    return a * b;
}
SIM float __expf(float x)
{
    return __builtin_expf(x);
}
SIM int __float2int_rn(float x)
{
    SIM_DOES(CONVERT);
    return (int)__builtin_rintf(x);
}
SIM float __uint_as_float(unsigned x)
{
    return __builtin_bit_cast(float, x);
}
SIM unsigned __float_as_uint(float x)
{
    return __builtin_bit_cast(unsigned, x);
}
SIM int __float_as_int(float x)
{
    return __builtin_bit_cast(int, x);
}
SIM float __int_as_float(int x)
{
    return __builtin_bit_cast(float, x);
}
SIM unsigned atomicAdd(unsigned *p, unsigned value)
{
    return sim_rt->atomic_add(p, value);
}
template <class T> SIM T __ldg(const T *p)
{
    return *p;
}
SIM unsigned __vsub4(unsigned a, unsigned b)
{
    unsigned r = 0;
    for (int i = 0; i < 32; i += 8)
        r |= (((a >> i) - (b >> i)) & 255u) << i;
    return r;
}
SIM unsigned __vadd4(unsigned a, unsigned b)
{
    unsigned r = 0;
    for (int i = 0; i < 32; i += 8)
        r |= (((a >> i) + (b >> i)) & 255u) << i;
    return r;
}
/* Inline PTX: a statement becomes a call of the function named after its instruction. */
SIM void sim_ptx_cvt_f32_f16(float &d, unsigned short a)
{
    SIM_DOES(CONVERT);
    d = sim_half(a);
}
SIM void sim_ptx_prmt_b32(unsigned &d, unsigned a, unsigned b, unsigned c)
{
    d = __byte_perm(a, b, c);
}
SIM void sim_ptx_dp4a_s32_s32(int &d, unsigned a, unsigned b, int c)
{
    d = sim_dp4a(a, b, c);
}
SIM void sim_ptx_dp4a_u32_u32(unsigned &d, unsigned a, unsigned b, unsigned c)
{
    d = sim_dp4a_u(a, b, c);
}
SIM void sim_ptx_dp2a_lo_s32_s32(unsigned &d, unsigned a, unsigned b, unsigned c)
{
    SIM_DOES(DOT4);
    d = c + (unsigned)((int)(short)a * (signed char)b) +
        (unsigned)(((int)a >> 16) * (signed char)(b >> 8));
}
SIM void sim_ptx_dp2a_lo_u32_u32(unsigned &d, unsigned a, unsigned b, unsigned c)
{
    SIM_DOES(DOT4);
    d = c + (a & 0xffffu) * (b & 255u) + (a >> 16) * (b >> 8 & 255u);
}
SIM unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by)
{
    return sim_funnel(high, low, by);
}
#define __cvta_generic_to_shared(p) \
    ((unsigned long)((const char *)(p)-__start_sim_shared))
SIM void sim_ptx_ld_shared_f32(float &d, unsigned a)
{
    d = *(const float *)(__start_sim_shared + a);
}
SIM void sim_ptx_mul_lo_u32(unsigned &d, unsigned a, unsigned b)
{
    SIM_DOES(MUL);
    d = a * b;
}
SIM void sim_ptx_fma_rn_f16x2(unsigned &d, unsigned a, unsigned b, unsigned c)
{
    d = sim_fma_half2(a, b, c);
}
SIM void sim_ptx_lop3_b32(unsigned &d, unsigned a, unsigned b, unsigned c, unsigned table)
{
    d = 0;
    SIM_DOES(LOGIC);
    for (unsigned i = 0; i < 32; i++)
        d |= (table >> ((a >> i & 1u) << 2 | (b >> i & 1u) << 1 | (c >> i & 1u)) & 1u)
             << i;
}
SIM void sim_ptx_mov_u32(unsigned &d) /* of %tid.x, which is no operand */
{
    d = threadIdx.x;
}
SIM void sim_ptx_mov_u32(unsigned &d, unsigned a)
{
    d = a;
}
/* Four products of bytes, signed or not. */
template <bool AS, bool BS> SIM int sim_dot(unsigned a, unsigned b, int c)
{
    SIM_DOES(DOT4);
    for (int i = 0; i < 32; i += 8)
        c += (AS ? (int)(signed char)(a >> i) : (int)(a >> i & 255u)) *
             (BS ? (int)(signed char)(b >> i) : (int)(b >> i & 255u));
    return c;
}
/* Products of int8 matrices by a warp. PTX ISA, "Matrix Fragments": of a tile of 8 x 16 lane 4 g + t
 * has elements 4 t .. 4 t + 3 of row g of A and of column g of B, and columns 2 t and 2 t + 1 of row
 * g of C. Larger shapes are tiles: A's words are rows 0 .. 7 and 8 .. 15 of the first 16 of k, then
 * the same of the next, B's the first and the next 16 of k, C's pairs rows 0 .. 7 and 8 .. 15. */
template <bool AS, bool BS>
SIM void sim_mma_tile(const unsigned *words, unsigned a, unsigned b, int &c0, int &c1)
{
    const unsigned g = (unsigned)sim_lane() / 4u, t = (unsigned)sim_lane() % 4u;
    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = words[8u * (4u * g + i) + a];
        c0 = sim_dot<AS, BS>(row, words[8u * (4u * (2u * t) + i) + b], c0);
        c1 = sim_dot<AS, BS>(row, words[8u * (4u * (2u * t + 1u) + i) + b], c1);
    }
}
#define SIM_MMA(a_type, b_type, a_signed, b_signed)                                   \
    SIM void sim_ptx_mma_sync_aligned_m8n8k16_row_col_s32_##a_type##_##b_type##_s32(  \
        int &d0, int &d1, unsigned a, unsigned b, int c0, int c1)                     \
    {                                                                                 \
        const unsigned own[] = { a, b };                                              \
        const unsigned *words = sim_rt->gather(__LINE__, own, 2);                     \
        sim_mma_tile<a_signed, b_signed>(words, 0, 1, c0, c1);                        \
        d0 = c0, d1 = c1;                                                             \
    }                                                                                 \
    SIM void sim_ptx_mma_sync_aligned_m16n8k16_row_col_s32_##a_type##_##b_type##_s32( \
        int &d0, int &d1, int &d2, int &d3, unsigned a0, unsigned a1, unsigned b,     \
        int c0, int c1, int c2, int c3)                                               \
    {                                                                                 \
        const unsigned own[] = { a0, a1, b };                                         \
        const unsigned *words = sim_rt->gather(__LINE__, own, 3);                     \
        sim_mma_tile<a_signed, b_signed>(words, 0, 2, c0, c1);                        \
        sim_mma_tile<a_signed, b_signed>(words, 1, 2, c2, c3);                        \
        d0 = c0, d1 = c1, d2 = c2, d3 = c3;                                           \
    }                                                                                 \
    SIM void sim_ptx_mma_sync_aligned_m16n8k32_row_col_s32_##a_type##_##b_type##_s32( \
        int &d0, int &d1, int &d2, int &d3, unsigned a0, unsigned a1, unsigned a2,    \
        unsigned a3, unsigned b0, unsigned b1, int c0, int c1, int c2, int c3)        \
    {                                                                                 \
        const unsigned own[] = { a0, a1, a2, a3, b0, b1 };                            \
        const unsigned *words = sim_rt->gather(__LINE__, own, 6);                     \
        sim_mma_tile<a_signed, b_signed>(words, 0, 4, c0, c1);                        \
        sim_mma_tile<a_signed, b_signed>(words, 1, 4, c2, c3);                        \
        sim_mma_tile<a_signed, b_signed>(words, 2, 5, c0, c1);                        \
        sim_mma_tile<a_signed, b_signed>(words, 3, 5, c2, c3);                        \
        d0 = c0, d1 = c1, d2 = c2, d3 = c3;                                           \
    }
SIM_MMA(s8, s8, true, true)
SIM_MMA(u8, u8, false, false)
