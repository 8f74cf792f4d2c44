/* Vectors of the host dialect for AVX-512 with VNNI and VBMI: 64 weights at once, for formats with superblocks
 * of 256, which have BLOCKS blocks. Pasted into their host texts under #if WIDE.
 *
 * dot() multiplies unsigned by signed bytes: with one column values have BIAS added, and start() takes off what that is
 * too much. */
#include <immintrin.h>

typedef __m512i vbytes;
typedef __m512i vints;
typedef __m512 vfloats;

/* A lane for each block. L(op): the operation on such vectors. */
#if BLOCKS == 8
typedef __m256i vlevels;
typedef __m256 vscales;
#define L(op) _mm256_##op
#define LOW_LANES(v) _mm512_castsi512_si256(v)
#define MORE_LANES(v) _mm512_zextps256_ps512(v)
#else
typedef __m512i vlevels;
typedef __m512 vscales;
#define L(op) _mm512_##op
#define LOW_LANES(v) (v)
#define MORE_LANES(v) (v)
#endif

#define BIAS (N == 1 ? 128 : 0)
#define T(v) (int8_t)((v) + BIAS)

FN float f16(const uint8_t *p)
{
    return _cvtsh_ss((unsigned short)u16(p));
}

FN vbytes load64(const uint8_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}

/* Halves of a vector: 32 bytes, 16 bytes twice, 16 bytes from two places. */
FN __m256i load32(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

FN __m256i load16(const uint8_t *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
}

FN __m256i load16_16(const uint8_t *a, const uint8_t *b)
{
    return _mm256_inserti128_si256(load16(a),
                                   _mm_loadu_si128((const __m128i *)(const void *)b), 1);
}

FN vbytes join(__m256i a, __m256i b)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

/* 16 bytes four times. */
FN vbytes quarters(const uint8_t *p)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* 16 bytes twice, and 16 others twice. */
FN vbytes halves(const uint8_t *a, const uint8_t *b)
{
    return _mm512_mask_broadcast_i32x4(quarters(a), 0xff00,
                                       _mm_loadu_si128((const __m128i *)(const void *)b));
}

/* Bytes of each quarter shifted right by a .. d, masked, then shifted left by to. */
FN vbytes field(vbytes x, int a, int b, int c, int d, int mask, int to)
{
    const int any = a | b | c | d;

    if (a != b || a != c || a != d)
        x = _mm512_srlv_epi64(x, _mm512_set_epi64(d, d, c, c, b, b, a, a));
    else if (a)
        x = _mm512_srli_epi16(x, a);
    if (mask != 255 || any)
        x = _mm512_and_si512(x, _mm512_set1_epi8((char)mask));
    return to ? _mm512_slli_epi16(x, to) : x;
}

/* Bits a .. d of each quarter's bytes become their lowest ones. What else is in a byte may be anything. */
FN vbytes turn(vbytes x, int a, int b, int c, int d)
{
    if (a == 0 && b == 0 && c == 0 && d == 0)
        return x;
    return _mm512_rorv_epi64(x, _mm512_set_epi64(d, d, c, c, b, b, a, a));
}

/* The masked bits of b, the others of a. */
FN vbytes choose(vbytes a, vbytes b, int mask)
{
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)mask), b, a, 0xca);
}

FN vbytes either(vbytes a, vbytes b)
{
    return _mm512_or_si512(a, b);
}

/* Each 16-bit word W becomes V ^ (V >> 1), V = W & 0xfffe. */
FN vbytes degray(vbytes w)
{
    const vbytes v = _mm512_and_si512(w, _mm512_set1_epi16((short)0xfffe));
    return _mm512_xor_si512(v, _mm512_srli_epi16(v, 1));
}

/* Bit n: the given bit of word n of eight. */
FN uint32_t word_bits(const uint8_t *p, int bit)
{
    const __m128i words = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _cvtmask8_u32(_mm_test_epi16_mask(words, _mm_set1_epi16((short)(1 << bit))));
}

/* Entry 0 .. 63 by the low six bits of each byte. */
FN vbytes lut64(vbytes codes, const int8_t *t)
{
    return _mm512_permutexvar_epi8(codes, load64((const uint8_t *)t));
}

/* 16 codes in both quarters of a half become 32 values, even and odd in turn. */
FN vbytes lut_pairs(vbytes codes, const int8_t *even, const int8_t *odd)
{
    const vbytes e = lut64(codes, even), o = lut64(codes, odd);
    return _mm512_mask_blend_epi64(0xcc, _mm512_unpacklo_epi8(e, o),
                                   _mm512_unpackhi_epi8(e, o));
}

FN vbytes add_bytes(vbytes v, int a)
{
    return a ? _mm512_add_epi8(v, _mm512_set1_epi8((char)a)) : v;
}

FN vbytes xor_bytes(vbytes v, int a)
{
    return _mm512_xor_si512(v, _mm512_set1_epi8((char)a));
}

/* |v|, negated where sign is not 0. */
FN vbytes magnitude(vbytes v, vbytes sign)
{
    const vbytes a = _mm512_abs_epi8(v);
    return _mm512_mask_sub_epi8(a, _mm512_test_epi8_mask(sign, sign),
                                _mm512_setzero_si512(), a);
}

/* ---- Products ---- */

/* What dot() begins with. */
FN vints start(const int32_t *starts)
{
    return load64((const uint8_t *)starts);
}

/* Sums of 4 products each. */
FN vints dot(vbytes v, vbytes x, vints from)
{
    return _mm512_dpbusd_epi32(from, v, x);
}

/* For many columns, whose starts the first cache level does not hold: x gets the bias instead, and the sums of weights
 * are what that is too much. */
FN vints start_many(vbytes v)
{
    const vbytes less = _mm512_sub_epi8(_mm512_setzero_si512(), v);
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(-128), less);
}

FN vints dot_many(vbytes v, vbytes x, vints from)
{
    return dot(_mm512_xor_si512(x, _mm512_set1_epi8(-128)), v, from);
}

FN vfloats zero_f(void)
{
    return _mm512_setzero_ps();
}

FN vfloats set_f(float a)
{
    return _mm512_set1_ps(a);
}

FN vfloats add_f(vfloats a, vfloats b)
{
    return _mm512_add_ps(a, b);
}

FN vfloats mul_f(vfloats a, vfloats b)
{
    return _mm512_mul_ps(a, b);
}

FN vfloats fma_i(vfloats factor, vints i, vfloats sum)
{
    return _mm512_fmadd_ps(factor, _mm512_cvtepi32_ps(i), sum);
}

FN float sum_f(vfloats v)
{
    const __m256 low = _mm512_castps512_ps256(v), high = _mm512_extractf32x8_ps(v, 1);
    const __m256 both = _mm256_add_ps(low, high);
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* ---- Seeds, a lane each ---- */

/* For each lane bytes of its quarter of `in` (from: a shuffle), shifted right by `by`, masked, shifted left by
 * to. */
FN vints lanes(vbytes in, const uint32_t *from, const uint32_t *by, int mask, int to)
{
    const vints bytes = _mm512_shuffle_epi8(in, load64((const uint8_t *)from));
    const vints low = _mm512_srlv_epi32(bytes, load64((const uint8_t *)by));
    const vints v = _mm512_and_si512(low, _mm512_set1_epi32(mask));
    return to ? _mm512_slli_epi32(v, to) : v;
}

FN vints bytes_i(const uint64_t lane[2])
{
    return _mm512_cvtepu8_epi32(_mm_set_epi64x((int64_t)lane[1], (int64_t)lane[0]));
}

FN vints load_i(const uint32_t *p)
{
    return load64((const uint8_t *)p);
}

FN vints set_i(uint32_t a)
{
    return _mm512_set1_epi32((int)a);
}

FN vints or_i(vints a, vints b)
{
    return _mm512_or_si512(a, b);
}

FN vints add_i(vints a, vints b)
{
    return _mm512_add_epi32(a, b);
}

FN vints mul_i(vints v, uint32_t by)
{
    return _mm512_mullo_epi32(v, set_i(by));
}

/* ---- Block scales, a lane each ---- */

FN vlevels load_levels(const void *p)
{
    return L(loadu_epi32)(p);
}

FN vlevels set_levels(int a)
{
    return L(set1_epi32)(a);
}

/* 16 bytes in each quarter. */
FN vlevels level_quarters(const void *p)
{
    return L(broadcast_i32x4)(_mm_loadu_si128(p));
}

/* Four bytes a lane: `from` names eight of the 16 bytes for two lanes, `bit` at which bit of these each begins. */
FN vlevels fields(const uint8_t *p, const uint8_t *from, const uint8_t *bit,
                  uint32_t mask)
{
    const vlevels eights = L(shuffle_epi8)(level_quarters(p), load_levels(from));
    const vlevels bytes = L(multishift_epi64_epi8)(load_levels(bit), eights);
    return bytes & set_levels((int)mask);
}

/* The four bytes of a lane times these weights, and add. */
FN vlevels weigh(vlevels bytes, uint32_t weights, int add)
{
    return L(dpbusd_epi32)(set_levels(add), bytes, set_levels((int)weights));
}

FN vlevels part(vlevels bytes, uint32_t mask)
{
    return bytes & set_levels((int)mask);
}

/* As lanes(). */
FN vlevels levels(vbytes in, const uint32_t *from, const uint32_t *by, int mask, int to)
{
    const vlevels bytes = L(shuffle_epi8)(LOW_LANES(in), load_levels(from));
    const vlevels low = L(srlv_epi32)(bytes, load_levels(by));
    return L(slli_epi32)(low & set_levels(mask), (unsigned)to);
}

FN vlevels bytes_levels(const uint64_t lane[2])
{
    return L(cvtepu8_epi32)(_mm_set_epi64x((int64_t)lane[1], (int64_t)lane[0]));
}

FN vlevels or_levels(vlevels a, vlevels b)
{
    return a | b;
}

/* Sign-extends from the bit whose value is half. */
FN vlevels signed_levels(vlevels v, int half)
{
    return L(sub_epi32)(v ^ set_levels(half), set_levels(half));
}

FN vlevels affine_levels(vlevels v, int mul, int add)
{
    return L(add_epi32)(mul == 1 ? v : L(mullo_epi32)(v, set_levels(mul)),
                        set_levels(add));
}

FN vlevels table_levels(vlevels v, const int8_t *t)
{
    return L(srai_epi32)(L(slli_epi32)(L(shuffle_epi8)(level_quarters(t), v), 24), 24);
}

/* -v where negative is not 0. */
FN vlevels negate_levels(vlevels v, vlevels negative)
{
    return L(mask_sub_epi32)(v, L(test_epi32_mask)(negative, negative), set_levels(0), v);
}

FN vscales load_scales(const float *p)
{
    return L(loadu_ps)(p);
}

FN vscales set_scales(float a)
{
    return L(set1_ps)(a);
}

FN vscales mul_scales(vscales a, vscales b)
{
    return L(mul_ps)(a, b);
}

FN vscales scaled(float d, vlevels v)
{
    return L(mul_ps)(set_scales(d), L(cvtepi32_ps)(v));
}

/* f times factor where the lane is not 0, 0 where it is. */
FN vscales times_if(vscales f, float factor, vlevels lane)
{
    return L(maskz_mul_ps)(L(test_epi32_mask)(lane, lane), f, set_scales(factor));
}

FN vfloats add_scaled(vscales a, vscales b, vfloats sum)
{
    return _mm512_fmadd_ps(MORE_LANES(a), MORE_LANES(b), sum);
}

/* The scales of two blocks of x, one for each half. */
FN vfloats load_dx(const struct iqt_xs *xs)
{
    return _mm512_mask_broadcastss_ps(set_f(xs->d), 0xff00, _mm_load_ss(&xs[1].d));
}

/* Lanes a .. d, each four times. */
FN vfloats spread(vscales v, int a, int b, int c, int d)
{
    const vints from = _mm512_setr_epi32(a, a, a, a, b, b, b, b, c, c, c, c, d, d, d, d);
    return _mm512_permutexvar_ps(from, MORE_LANES(v));
}

/* Byte sums of 16 states, less centre; not above 0: values are unsigned. */
FN vints trellis_values(vints states, uint32_t mask, int centre)
{
    return _mm512_dpbusd_epi32(set_i((uint32_t)-centre),
                               _mm512_and_si512(states, set_i(mask)),
                               _mm512_set1_epi8(1));
}

/* 64 values from 8 seeds of 8 or 16 seeds of 4; power: multiplier^1 .. multiplier^group twice or once, 8
 * entries. Quarter q gets its four states from the four products. */
FN vbytes trellis(vints seed, int group, const uint32_t *power, uint32_t mask, int centre)
{
    const vints low = quarters((const uint8_t *)power);
    const vints high = group == 8 ? quarters((const uint8_t *)(power + 4)) : low;
    const vints s =
        group == 8 ? _mm512_cvtepu32_epi64(_mm512_castsi512_si256(seed)) : seed;
    const vints a = _mm512_shuffle_epi32(s, 0x00);
    const vints b = group == 8 ? a : _mm512_shuffle_epi32(s, 0x55);
    const vints c = _mm512_shuffle_epi32(s, 0xaa);
    const vints d = group == 8 ? c : _mm512_shuffle_epi32(s, 0xff);
    const vints t0 = trellis_values(_mm512_mullo_epi32(a, low), mask, centre);
    const vints t1 = trellis_values(_mm512_mullo_epi32(b, high), mask, centre);
    const vints t2 = trellis_values(_mm512_mullo_epi32(c, low), mask, centre);
    const vints t3 = trellis_values(_mm512_mullo_epi32(d, high), mask, centre);
    const vbytes ab = _mm512_packs_epi32(t0, t1), cd = _mm512_packs_epi32(t2, t3);
    return centre > 0 ? _mm512_packs_epi16(ab, cd) : _mm512_packus_epi16(ab, cd);
}
