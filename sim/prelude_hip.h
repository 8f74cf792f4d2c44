/* HIP as clang's builtins spell it, with words that clang knows as attributes. */
#define global used
#define device unused
#define shared section("sim_shared")
#define constant unused
#define launch_bounds(...) used
#define amdgpu_flat_work_group_size(...) used
#define __builtin_amdgcn_workgroup_id_x() (sim_rt->group.x)
#define __builtin_amdgcn_workgroup_id_y() (sim_rt->group.y)
#define __builtin_amdgcn_workitem_id_x() (sim_rt->thread.x)
#define __builtin_amdgcn_workitem_id_y() (sim_rt->thread.y)
/* Only "agent" goes beyond the workgroup, whose threads take turns. */
#define __builtin_amdgcn_fence(order, scope, ...) sim_fence(sizeof scope)
SIM void sim_fence(unsigned long bytes)
{
    if (bytes == sizeof "agent")
        sim_rt->fence();
}
#define __hip_atomic_fetch_add(p, value, order, scope) sim_rt->atomic_add(p, value)
#define __builtin_amdgcn_s_barrier() (SIM_DOES(BARRIER), sim_rt->barrier(__LINE__))
#define __builtin_amdgcn_wave_barrier() ((void)sim_rt->shuffle(__LINE__, ~0ull, 0, -1))
#define __builtin_amdgcn_mbcnt_lo(mask, add) sim_mbcnt(mask, add, 0)
#define __builtin_amdgcn_mbcnt_hi(mask, add) sim_mbcnt(mask, add, 32)
SIM unsigned sim_mbcnt(unsigned mask, unsigned add, int first)
{
    const int below = sim_lane() - first;
    if (below <= 0)
        return add;
    return add +
           (unsigned)__builtin_popcount(below >= 32 ? mask : mask & ((1u << below) - 1u));
}
#define __builtin_amdgcn_ds_bpermute(address, x) \
    sim_bpermute(__LINE__, (unsigned)(address), (unsigned)(x))
SIM unsigned sim_bpermute(int line, unsigned address, unsigned x)
{
    SIM_DOES(SHUFFLE);
    return (unsigned)sim_rt->shuffle(line, ~0ull, x, (int)(address / 4u % sim_rt->warp));
}
#define __builtin_amdgcn_sdot4(a, b, c, clamp) sim_dp4a((unsigned)(a), (unsigned)(b), c)
#define __builtin_amdgcn_udot4(a, b, c, clamp) sim_dp4a_u((unsigned)(a), (unsigned)(b), c)
#define __builtin_amdgcn_sudot4(sa, a, sb, b, c, clamp) \
    sim_sudot4(sa, (unsigned)(a), sb, (unsigned)(b), c)
SIM int sim_sudot4(bool sa, unsigned a, bool sb, unsigned b, int c)
{
    unsigned sum = (unsigned)c;
    SIM_DOES(DOT4);
    for (int i = 0; i < 32; i += 8) {
        const int u = sa ? (int)(signed char)(a >> i) : (int)(a >> i & 255u);
        const int v = sb ? (int)(signed char)(b >> i) : (int)(b >> i & 255u);
        sum += (unsigned)(u * v);
    }
    return (int)sum;
}
SIM void sim_ptx_v_mul_u32_u24(unsigned &d, unsigned a, unsigned b)
{
    SIM_DOES(MUL);
    d = (a & 0xffffffu) * (b & 0xffffffu);
}
SIM void sim_ptx_v_pk_fma_f16(unsigned &d, unsigned a, unsigned b, unsigned c)
{
    d = sim_fma_half2(a, b, c);
}
SIM float sim_fma(float a, float b, float c)
{
    SIM_DOES(FMA);
    return __builtin_fmaf(a, b, c);
}
#define __builtin_fmaf(a, b, c) sim_fma(a, b, c)
#define __builtin_amdgcn_alignbit(high, low, by) sim_funnel(high, low, by)
/* v_perm_b32: selector bytes 0..7 a byte of hi:lo, 8..11 the sign of bytes 1, 3, 5, 7, 12 zero,
 * 13 and more all ones. */
#define __builtin_amdgcn_perm(hi, lo, s) sim_perm(hi, lo, s)
SIM unsigned sim_perm(unsigned hi, unsigned lo, unsigned s)
{
    const unsigned long long v = (unsigned long long)hi << 32 | lo;
    unsigned r = 0;
    SIM_DOES(PERM);
    for (int i = 0; i < 32; i += 8) {
        const unsigned n = s >> i & 255u;
        unsigned byte = n == 12u ? 0u : 255u;
        if (n < 8u)
            byte = (unsigned)(v >> 8 * n) & 255u;
        else if (n < 12u)
            byte = v >> (16 * (n - 8u) + 15) & 1u ? 255u : 0u;
        r |= byte << i;
    }
    return r;
}
