/* Vectors of the host dialect for AVX2; dot products and wide tables by AVX-512 where compiled for
 * it. Pasted into every emitted host text under #if defined(__AVX2__). */
#include <immintrin.h>

typedef __m256i v32; /* 32 bytes */
typedef __m256i v8i;
typedef __m256 v8f;

FN float f16(const uint8_t *p)
{
    return _cvtsh_ss((unsigned short)u16(p));
}

FN v32 load32(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Both halves from one place, or each from its own. */
FN v32 load16(const uint8_t *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
}

FN v32 load16_16(const uint8_t *a, const uint8_t *b)
{
    return _mm256_inserti128_si256(load16(a),
                                   _mm_loadu_si128((const __m128i *)(const void *)b), 1);
}

/* The top bits of a vector's eight elements of 16 bits. */
FN uint32_t tops(const uint8_t *p)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)p);
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(v, v)) & 255u;
}

/* Bytes shifted right by a (first half) and b (second half), masked, then shifted left by to. */
FN v32 field(v32 x, int a, int b, int mask, int to)
{
    if (a != b)
        x = _mm256_srlv_epi64(x, _mm256_set_epi64x(b, b, a, a));
    else if (a)
        x = _mm256_srli_epi16(x, a);
    if (mask != 255 || a || b)
        x = _mm256_and_si256(x, _mm256_set1_epi8((char)mask));
    return to ? _mm256_slli_epi16(x, to) : x;
}

FN v32 either(v32 a, v32 b)
{
    return _mm256_or_si256(a, b);
}

/* Each 16-bit word W becomes V ^ (V >> 1), V = W & 0xfffe. */
FN v32 degray(v32 w)
{
    const v32 v = _mm256_and_si256(w, _mm256_set1_epi16((short)0xfffe));
    return _mm256_xor_si256(v, _mm256_srli_epi16(v, 1));
}

FN v32 add_halves(v32 v, int a, int b)
{
    const __m128i low = _mm_set1_epi8((char)a), high = _mm_set1_epi8((char)b);
    return _mm256_add_epi8(v,
                           _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1));
}

/* Table of up to 16 entries, padded to 16; lut16_16 has one for each half. */
FN v32 lut16(v32 codes, const int8_t *t)
{
    return _mm256_shuffle_epi8(load16((const uint8_t *)t), codes);
}

FN v32 lut16_16(v32 codes, const int8_t *a, const int8_t *b)
{
    return _mm256_shuffle_epi8(load16_16((const uint8_t *)a, (const uint8_t *)b), codes);
}

#if defined(__AVX512VBMI__) && defined(__AVX512VL__)
FN v32 lut32(v32 codes, const int8_t *t)
{
    return _mm256_permutexvar_epi8(codes, load32((const uint8_t *)t));
}

FN v32 lut64(v32 codes, const int8_t *t)
{
    return _mm256_permutex2var_epi8(load32((const uint8_t *)t), codes,
                                    load32((const uint8_t *)t + 32));
}
#else
/* Bit 4 of the codes moves to the sign, which chooses between two shuffles. */
FN v32 lut32(v32 codes, const int8_t *t)
{
    const v32 low = _mm256_shuffle_epi8(load16((const uint8_t *)t), codes);
    const v32 high = _mm256_shuffle_epi8(load16((const uint8_t *)t + 16), codes);
    return _mm256_blendv_epi8(low, high, _mm256_slli_epi16(codes, 3));
}

FN v32 lut64(v32 codes, const int8_t *t)
{
    return _mm256_blendv_epi8(lut32(codes, t), lut32(codes, t + 32),
                              _mm256_slli_epi16(codes, 2));
}
#endif

/* 16 codes in both halves become 32 values, even and odd in turn. */
FN v32 lut_pairs(v32 codes, const int8_t *even, const int8_t *odd)
{
    const v32 e = lut32(codes, even), o = lut32(codes, odd);
    return _mm256_blend_epi32(_mm256_unpacklo_epi8(e, o), _mm256_unpackhi_epi8(e, o),
                              0xf0);
}

FN v8f add_f(v8f a, v8f b)
{
    return _mm256_add_ps(a, b);
}

/* Sums of 4 products each. |v| * x cannot saturate 16 bits: 2 * 128 * 127 < 32768. */
FN v8i dot(v32 v, v32 x)
{
    const v32 a = _mm256_abs_epi8(v), s = _mm256_sign_epi8(x, v);
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_dpbusd_epi32(_mm256_setzero_si256(), a, s);
#else
    return _mm256_madd_epi16(_mm256_maddubs_epi16(a, s), _mm256_set1_epi16(1));
#endif
}

FN v8f zero_f(void)
{
    return _mm256_setzero_ps();
}

FN v8f halves_f(float a, float b)
{
    return _mm256_set_m128(_mm_set1_ps(b), _mm_set1_ps(a));
}

FN v8f set_f(float a)
{
    return _mm256_set1_ps(a);
}

FN v8f mul_f(v8f a, v8f b)
{
    return _mm256_mul_ps(a, b);
}

FN v8f fma_i(v8f factor, v8i i, v8f sum)
{
    return _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(i), sum);
}

FN v8f fma_f(v8f a, v8f b, v8f sum)
{
    return _mm256_fmadd_ps(a, b, sum);
}

FN v8f load_f32(const uint8_t *a, const uint8_t *b)
{
    const __m128 low = _mm_loadu_ps((const float *)(const void *)a);
    const __m128 high = _mm_loadu_ps((const float *)(const void *)b);
    return _mm256_set_m128(high, low);
}

FN v8f load_f16(const uint8_t *a, const uint8_t *b)
{
    (void)b;
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)a));
}

FN v8f load_bf16(const uint8_t *a, const uint8_t *b)
{
    const __m128i h = _mm_loadu_si128((const __m128i *)(const void *)a);
    (void)b;
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

FN float sum_f(v8f v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* Byte sums of 8 states, less centre. */
FN v8i trellis_values(v8i states, uint32_t mask, int centre)
{
    const v8i m = _mm256_and_si256(states, _mm256_set1_epi32((int)mask));
    const v8i pairs = _mm256_maddubs_epi16(m, _mm256_set1_epi8(1));
    const v8i sums = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    return _mm256_sub_epi32(sums, _mm256_set1_epi32(centre));
}

/* 32 values from 4 seeds of 8 or 8 seeds of 4; power: multiplier^1 .. multiplier^group twice or
 * once, 8 entries. */
FN v32 trellis(const uint32_t *seed, int group, const uint32_t *power, uint32_t mask,
               int centre)
{
    const v8i p = load32((const uint8_t *)power);
    v8i t[4];

    UNROLL
    for (int g = 0; g < 4; g++) {
        const int a = (int)seed[group == 8 ? g : 2 * g];
        const int b = (int)seed[group == 8 ? g : 2 * g + 1];
        const v8i s = _mm256_set_epi32(b, b, b, b, a, a, a, a);
        t[g] = trellis_values(_mm256_mullo_epi32(s, p), mask, centre);
    }
    const v32 words = _mm256_packs_epi16(_mm256_packs_epi32(t[0], t[1]),
                                         _mm256_packs_epi32(t[2], t[3]));
    return _mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* |v|, negated where sign is 1. */
FN v32 magnitude(v32 v, v32 sign)
{
    const v32 m = _mm256_cmpeq_epi8(sign, _mm256_set1_epi8(1));
    return _mm256_sub_epi8(_mm256_xor_si256(_mm256_abs_epi8(v), m), m);
}

FN v32 add_bytes(v32 v, int a)
{
    return _mm256_add_epi8(v, _mm256_set1_epi8((char)a));
}

FN v32 xor_bytes(v32 v, int a)
{
    return _mm256_xor_si256(v, _mm256_set1_epi8((char)a));
}
