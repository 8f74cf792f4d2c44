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
#define __syncthreads() sim_rt->barrier(__LINE__)
#define __syncwarp(...) ((void)sim_rt->shuffle(__LINE__, 0xffffffffull, 0, -1))
template <class T>
SIM T sim_shuffle(int line, unsigned mask, T value, int lane, int width, bool clamp)
{
    const int own = sim_lane(), first = own / width * width;
    if (clamp && (lane < first || lane >= first + width))
        lane = own;
    return sim_value<T>(sim_rt->shuffle(line, mask, sim_bits(value), lane));
}
#define SIM_WIDTH(a, b, width, ...) width
#define __shfl_sync(mask, x, lane, ...) \
    sim_shuffle(__LINE__, mask, x, sim_lane() / 32 * 32 + (int)(lane) % 32, 32, false)
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
    return (unsigned)((unsigned long long)a * b >> 32);
}
SIM float __fmaf_rn(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}
SIM float __expf(float x)
{
    return __builtin_expf(x);
}
SIM int __float2int_rn(float x)
{
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
SIM unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by)
{
    return sim_funnel(high, low, by);
}
SIM void sim_ptx_mul_lo_u32(unsigned &d, unsigned a, unsigned b)
{
    d = a * b;
}
SIM void sim_ptx_fma_rn_f16x2(unsigned &d, unsigned a, unsigned b, unsigned c)
{
    d = sim_fma_half2(a, b, c);
}
SIM void sim_ptx_lop3_b32(unsigned &d, unsigned a, unsigned b, unsigned c, unsigned table)
{
    d = 0;
    for (unsigned i = 0; i < 32; i++)
        d |= (table >> ((a >> i & 1u) << 2 | (b >> i & 1u) << 1 | (c >> i & 1u)) & 1u)
             << i;
}
