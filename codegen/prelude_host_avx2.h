/* Vectors of the host dialect for AVX2; dot products and wide tables by AVX-512 where compiled for
 * it. Pasted into every emitted host text under #if defined(__AVX2__). */
#include <immintrin.h>

typedef __m256i vbytes; /* 32 bytes */
typedef __m256i vints;
typedef __m256 vfloats;
typedef vints vlevels; /* a lane for each block */
typedef vfloats vscales;
#define levels lanes
#define set_levels set_i
#define or_levels or_i
#define bytes_levels bytes_i
#define load_levels load_i
#define set_scales set_f
#define mul_scales mul_f
#define add_scaled fma_f
#define BIAS 0
#define T(v) (v)

FN float f16(const uint8_t *p)
{
    return _cvtsh_ss((unsigned short)u16(p));
}

FN vbytes load32(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Both halves from one place, or each from its own. */
FN vbytes load16(const uint8_t *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
}

FN vbytes load16_16(const uint8_t *a, const uint8_t *b)
{
    return _mm256_inserti128_si256(load16(a),
                                   _mm_loadu_si128((const __m128i *)(const void *)b), 1);
}

/* Bytes shifted right by a (first half) and b (second half), masked, then shifted left by to. */
FN vbytes field(vbytes x, int a, int b, int mask, int to)
{
    if (a != b)
        x = _mm256_srlv_epi64(x, _mm256_set_epi64x(b, b, a, a));
    else if (a)
        x = _mm256_srli_epi16(x, a);
    if (mask != 255 || a || b)
        x = _mm256_and_si256(x, _mm256_set1_epi8((char)mask));
    return to ? _mm256_slli_epi16(x, to) : x;
}

FN vbytes either(vbytes a, vbytes b)
{
    return _mm256_or_si256(a, b);
}

/* Each 16-bit word W becomes V ^ (V >> 1), V = W & 0xfffe. */
FN vbytes degray(vbytes w)
{
    const vbytes v = _mm256_and_si256(w, _mm256_set1_epi16((short)0xfffe));
    return _mm256_xor_si256(v, _mm256_srli_epi16(v, 1));
}

/* Table of up to 16 entries, padded to 16. */
FN vbytes lut16(vbytes codes, const int8_t *t)
{
    return _mm256_shuffle_epi8(load16((const uint8_t *)t), codes);
}

#if defined(__AVX512VBMI__) && defined(__AVX512VL__)
FN vbytes lut32(vbytes codes, const int8_t *t)
{
    return _mm256_permutexvar_epi8(codes, load32((const uint8_t *)t));
}

FN vbytes lut64(vbytes codes, const int8_t *t)
{
    return _mm256_permutex2var_epi8(load32((const uint8_t *)t), codes,
                                    load32((const uint8_t *)t + 32));
}
#else
/* Bit 4 of the codes moves to the sign, which chooses between two shuffles. */
FN vbytes lut32(vbytes codes, const int8_t *t)
{
    const vbytes low = _mm256_shuffle_epi8(load16((const uint8_t *)t), codes);
    const vbytes high = _mm256_shuffle_epi8(load16((const uint8_t *)t + 16), codes);
    return _mm256_blendv_epi8(low, high, _mm256_slli_epi16(codes, 3));
}

FN vbytes lut64(vbytes codes, const int8_t *t)
{
    return _mm256_blendv_epi8(lut32(codes, t), lut32(codes, t + 32),
                              _mm256_slli_epi16(codes, 2));
}
#endif

/* 16 codes in both halves become 32 values, even and odd in turn. */
FN vbytes lut_pairs(vbytes codes, const int8_t *even, const int8_t *odd)
{
    const vbytes e = lut32(codes, even), o = lut32(codes, odd);
    return _mm256_blend_epi32(_mm256_unpacklo_epi8(e, o), _mm256_unpackhi_epi8(e, o),
                              0xf0);
}

FN vfloats add_f(vfloats a, vfloats b)
{
    return _mm256_add_ps(a, b);
}

/* Bit n: the given bit of word n of eight. */
FN uint32_t word_bits(const uint8_t *p, int bit)
{
    const __m128i words = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m128i signs =
        _mm_packs_epi16(_mm_slli_epi16(words, 15 - bit), _mm_setzero_si128());
    return (uint32_t)_mm_movemask_epi8(signs);
}

FN vints start(const int32_t *starts)
{
    (void)starts;
    return _mm256_setzero_si256();
}

/* Sums of 4 products each. |v| * x cannot saturate 16 bits: 2 * 128 * 127 < 32768. */
FN vints dot(vbytes v, vbytes x, vints from)
{
    const vbytes a = _mm256_abs_epi8(v), s = _mm256_sign_epi8(x, v);
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_dpbusd_epi32(from, a, s);
#else
    (void)from;
    return _mm256_madd_epi16(_mm256_maddubs_epi16(a, s), _mm256_set1_epi16(1));
#endif
}

FN vints start_many(vbytes v)
{
    (void)v;
    return _mm256_setzero_si256();
}

FN vints dot_many(vbytes v, vbytes x, vints from)
{
    return dot(v, x, from);
}

FN vfloats zero_f(void)
{
    return _mm256_setzero_ps();
}

FN vfloats set_f(float a)
{
    return _mm256_set1_ps(a);
}

/* ---- Block scales, a lane each ---- */

/* For each lane bytes of its half of `in` (from: a shuffle), shifted right by `by`, masked, shifted left by
 * to. */
FN vints lanes(vbytes in, const uint32_t *from, const uint32_t *by, int mask, int to)
{
    const vints bytes = _mm256_shuffle_epi8(in, load32((const uint8_t *)from));
    const vints low = _mm256_srlv_epi32(bytes, load32((const uint8_t *)by));
    const vints v = _mm256_and_si256(low, _mm256_set1_epi32(mask));
    return to ? _mm256_slli_epi32(v, to) : v;
}

FN vints bytes_i(const uint64_t lane[2])
{
    return _mm256_cvtepu8_epi32(_mm_set_epi64x(0, (int64_t)lane[0]));
}

FN vints load_i(const uint32_t *p)
{
    return load32((const uint8_t *)p);
}

FN vints set_i(int a)
{
    return _mm256_set1_epi32(a);
}

FN vints or_i(vints a, vints b)
{
    return _mm256_or_si256(a, b);
}

/* Sign-extends from the bit whose value is half. */
FN vlevels signed_levels(vints v, int half)
{
    return _mm256_sub_epi32(_mm256_xor_si256(v, set_i(half)), set_i(half));
}

FN vlevels affine_levels(vints v, int mul, int add)
{
    return _mm256_add_epi32(mul == 1 ? v : _mm256_mullo_epi32(v, set_i(mul)), set_i(add));
}

FN vlevels table_levels(vints v, const int8_t *t)
{
    return _mm256_srai_epi32(_mm256_slli_epi32(lut16(v, t), 24), 24);
}

/* -v where negative is 1. */
FN vlevels negate_levels(vints v, vints negative)
{
    const vints m = _mm256_sub_epi32(_mm256_setzero_si256(), negative);
    return _mm256_sub_epi32(_mm256_xor_si256(v, m), m);
}

FN vscales scaled(float d, vints v)
{
    return _mm256_mul_ps(_mm256_set1_ps(d), _mm256_cvtepi32_ps(v));
}

/* f times factor where the lane is 1, 0 where it is 0. */
FN vscales times_if(vfloats f, float factor, vints lane)
{
    const vints m = _mm256_sub_epi32(_mm256_setzero_si256(), lane);
    return _mm256_and_ps(_mm256_mul_ps(f, set_f(factor)), _mm256_castsi256_ps(m));
}

FN vscales load_scales(const float *p)
{
    return _mm256_loadu_ps(p);
}

/* Of one block of x: its scale, and that times the sum, in the first lane. */
FN vscales first_lane(float a)
{
    return _mm256_setr_ps(a, 0, 0, 0, 0, 0, 0, 0);
}

FN vscales first_dx(const struct iqt_xs *xs)
{
    return first_lane(xs->d);
}

FN vscales first_sums(const struct iqt_xs *xs)
{
    return first_lane(xs->d * (float)(xs->sum[0] + xs->sum[1]));
}

FN vfloats load_dx(const struct iqt_xs *xs)
{
    return set_f(xs->d);
}

/* Lane a four times, then lane b. */
FN vfloats spread(vfloats v, int a, int b)
{
    return _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(a, a, a, a, b, b, b, b));
}

FN vfloats mul_f(vfloats a, vfloats b)
{
    return _mm256_mul_ps(a, b);
}

FN vfloats fma_i(vfloats factor, vints i, vfloats sum)
{
    return _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(i), sum);
}

FN vfloats fma_f(vfloats a, vfloats b, vfloats sum)
{
    return _mm256_fmadd_ps(a, b, sum);
}

FN vfloats load_f32(const uint8_t *a, const uint8_t *b)
{
    const __m128 low = _mm_loadu_ps((const float *)(const void *)a);
    const __m128 high = _mm_loadu_ps((const float *)(const void *)b);
    return _mm256_set_m128(high, low);
}

FN vfloats load_f16(const uint8_t *a, const uint8_t *b)
{
    (void)b;
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)a));
}

FN vfloats load_bf16(const uint8_t *a, const uint8_t *b)
{
    const __m128i h = _mm_loadu_si128((const __m128i *)(const void *)a);
    (void)b;
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

FN float sum_f(vfloats v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* Byte sums of 8 states, less centre. */
FN vints trellis_values(vints states, uint32_t mask, int centre)
{
    const vints m = _mm256_and_si256(states, _mm256_set1_epi32((int)mask));
    const vints pairs = _mm256_maddubs_epi16(m, _mm256_set1_epi8(1));
    const vints sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    return _mm256_sub_epi32(sums, _mm256_set1_epi32(centre));
}

/* 32 values from 4 seeds of 8 or 8 seeds of 4; power: multiplier^1 .. multiplier^group twice or
 * once, 8 entries. */
FN vbytes trellis(const uint32_t *seed, int group, const uint32_t *power, uint32_t mask,
                  int centre)
{
    const vints p = load32((const uint8_t *)power);
    vints t[4];

    UNROLL
    for (int g = 0; g < 4; g++) {
        const int a = (int)seed[group == 8 ? g : 2 * g];
        const int b = (int)seed[group == 8 ? g : 2 * g + 1];
        const vints s = _mm256_set_epi32(b, b, b, b, a, a, a, a);
        t[g] = trellis_values(_mm256_mullo_epi32(s, p), mask, centre);
    }
    const vbytes words = _mm256_packs_epi16(_mm256_packs_epi32(t[0], t[1]),
                                            _mm256_packs_epi32(t[2], t[3]));
    return _mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* |v|, negated where sign is 1. */
FN vbytes magnitude(vbytes v, vbytes sign)
{
    const vbytes m = _mm256_cmpeq_epi8(sign, _mm256_set1_epi8(1));
    return _mm256_sub_epi8(_mm256_xor_si256(_mm256_abs_epi8(v), m), m);
}

FN vbytes add_bytes(vbytes v, int a)
{
    return a ? _mm256_add_epi8(v, _mm256_set1_epi8((char)a)) : v;
}

FN vbytes xor_bytes(vbytes v, int a)
{
    return _mm256_xor_si256(v, _mm256_set1_epi8((char)a));
}
