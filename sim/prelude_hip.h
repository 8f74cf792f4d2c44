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
/* What keeps the compiler from moving accesses of shared memory over it are fences of the wave beside it. */
#define __builtin_amdgcn_wave_barrier() ((void)sim_rt->shuffle(__LINE__, ~0ull, 0, -2))
#define __builtin_amdgcn_readfirstlane(x) sim_bpermute(__LINE__, 0, (unsigned)(x))
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
/* v_permlanex16_b32: from the other sixteen lanes, of which four bits of the selectors name one. */
#define __builtin_amdgcn_permlanex16(old, x, low, high, fi, bound) \
    sim_permlanex16(__LINE__, (unsigned)(x), low, high)
SIM unsigned sim_permlanex16(int line, unsigned x, unsigned low, unsigned high)
{
    const unsigned i = (unsigned)sim_lane() % 16u,
                   from = (i < 8u ? low : high) >> 4u * (i % 8u) & 15u;
    SIM_DOES(SHUFFLE);
    return (unsigned)sim_rt->shuffle(line, ~0ull, x,
                                     (int)((((unsigned)sim_lane() & ~15u) ^ 16u) + from));
}
/* v_sad_u8, v_sad_hi_u8: the sum of absolute differences of bytes, which is 16 bits, and c. */
#define __builtin_amdgcn_sad_u8(a, b, c) sim_sad(a, b, 0, c)
#define __builtin_amdgcn_sad_hi_u8(a, b, c) sim_sad(a, b, 16, c)
SIM unsigned sim_sad(unsigned a, unsigned b, int up, unsigned c)
{
    unsigned sum = 0;
    SIM_DOES(DOT4);
    for (int i = 0; i < 32; i += 8) {
        const unsigned one = a >> i & 255u, two = b >> i & 255u;
        sum += one > two ? one - two : two - one;
    }
    return c + (sum << up);
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
SIM void sim_ptx_v_mad_u32_u24(unsigned &d, unsigned a, unsigned b, unsigned c)
{
    SIM_DOES(MUL);
    d = (a & 0xffffffu) * (b & 0xffffffu) + c;
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
/* Product of int8 matrices by a wave of 64. AMD Matrix Instruction Calculator, CDNA3: lane 16 q + i has elements
 * 8 q .. 8 q + 7 of row i of A and of column i of B, and rows 4 q .. 4 q + 3 of column i of C and D. A wave of
 * 32 has no such unit: it asks for a lane that is not there. */
#define __builtin_amdgcn_mfma_i32_16x16x32_i8(a, b, c, cbsz, abid, blgp) \
    sim_mfma_16x16x32(__LINE__, (unsigned long)(a), (unsigned long)(b), c)
template <class T>
SIM T sim_mfma_16x16x32(int line, unsigned long a, unsigned long b, T c)
{
    const unsigned own[] = { (unsigned)a, (unsigned)(a >> 32), (unsigned)b,
                             (unsigned)(b >> 32) };
    if (sim_rt->warp != 64)
        sim_rt->shuffle(line, ~0ull, 0, 64);
    const unsigned *words = sim_rt->gather(line, own, 4);
    const unsigned i = (unsigned)sim_lane() % 16u, q = (unsigned)sim_lane() / 16u;
    for (unsigned r = 0; r < 4; r++)
        for (unsigned k = 0; k < 4; k++) {
            const unsigned *row = words + 8u * (16u * k + 4u * q + r),
                           *column = words + 8u * (16u * k + i);
            c[r] = sim_dp4a(row[1], column[3], sim_dp4a(row[0], column[2], c[r]));
        }
    return c;
}
/* The same by waves of 32, 16 deep: AMD Matrix Instruction Calculator, RDNA3 and RDNA4, v_wmma_i32_16x16x16_iu8.
 * Of signed operands only; without clamping, which sums of that many never need. */
template <unsigned count, class A>
SIM const unsigned *sim_wmma_words(int line, bool both_signed, A a, A b)
{
    unsigned own[2 * count];
    for (unsigned k = 0; k < count; k++) {
        own[k] = (unsigned)a[k];
        own[count + k] = (unsigned)b[k];
    }
    if (sim_rt->warp != 32 || !both_signed)
        sim_rt->shuffle(line, ~0ull, 0, 64);
    return sim_rt->gather(line, own, 2 * count);
}
/* RDNA4: lane 16 h + i has elements 8 h .. 8 h + 7 of row i of A and of column i of B, and rows 8 h .. 8 h + 7 of
 * column i of C and D. */
#define __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(sa, a, sb, b, c, clamp) \
    sim_wmma_gfx12(__LINE__, (sa) && (sb), a, b, c)
template <class A, class T>
SIM T sim_wmma_gfx12(int line, bool both_signed, A a, A b, T c)
{
    const unsigned *words = sim_wmma_words<2>(line, both_signed, a, b);
    const unsigned i = (unsigned)sim_lane() % 16u, half = (unsigned)sim_lane() / 16u;
    for (unsigned r = 0; r < 8; r++)
        for (unsigned k = 0; k < 32; k += 16) {
            const unsigned *row = words + 8u * (k + 8u * half + r),
                           *column = words + 8u * (k + i);
            c[r] = sim_dp4a(row[1], column[3], sim_dp4a(row[0], column[2], c[r]));
        }
    return c;
}
/* RDNA3: lanes i and 16 + i have the whole row i of A and column i of B; lane 16 h + i has rows h, 2 + h .. 14 + h of
 * column i of C and D. What the unit makes of lanes that differ is not said: they ask for a lane that is not there. */
#define __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32(sa, a, sb, b, c, clamp) \
    sim_wmma_gfx11(__LINE__, (sa) && (sb), a, b, c)
template <class A, class T>
SIM T sim_wmma_gfx11(int line, bool both_signed, A a, A b, T c)
{
    const unsigned *words = sim_wmma_words<4>(line, both_signed, a, b);
    const unsigned i = (unsigned)sim_lane() % 16u, half = (unsigned)sim_lane() / 16u;
    bool same = true;
    for (unsigned k = 0; k < 128; k++)
        same &= words[k] == words[128u + k];
    if (!same)
        sim_rt->shuffle(line, ~0ull, 0, 64);
    for (unsigned r = 0; r < 8; r++)
        for (unsigned k = 0; k < 4; k++)
            c[r] =
                sim_dp4a(words[8u * (2u * r + half) + k], words[8u * i + 4u + k], c[r]);
    return c;
}
