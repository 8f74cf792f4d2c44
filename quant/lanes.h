/* Sixteen floats at a time, for every instruction set that quant is compiled for. All spellings round alike
 * (no fused operations, sums in one order), so that equal rows give equal bytes everywhere. */
#ifndef IQT_QUANT_LANES_H
#define IQT_QUANT_LANES_H

#include <stdint.h>

enum { IQT_LANES = 16 };

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>

typedef __m512 lanes;
typedef __mmask16 lanes_mask;

static inline lanes lanes_all(float x)
{
    return _mm512_set1_ps(x);
}
static inline lanes lanes_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void lanes_store(float *p, lanes a)
{
    _mm512_storeu_ps(p, a);
}
static inline lanes lanes_add(lanes a, lanes b)
{
    return _mm512_add_ps(a, b);
}
static inline lanes lanes_sub(lanes a, lanes b)
{
    return _mm512_sub_ps(a, b);
}
static inline lanes lanes_mul(lanes a, lanes b)
{
    return _mm512_mul_ps(a, b);
}
static inline lanes lanes_max(lanes a, lanes b)
{
    return _mm512_max_ps(a, b);
}
static inline lanes lanes_min(lanes a, lanes b)
{
    return _mm512_min_ps(a, b);
}
static inline lanes_mask lanes_less(lanes a, lanes b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline lanes_mask lanes_at_most(lanes a, lanes b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}
static inline uint32_t lanes_bits(lanes_mask m)
{
    return m;
}
static inline lanes lanes_select(lanes_mask m, lanes yes, lanes no)
{
    return _mm512_mask_blend_ps(m, no, yes);
}
static inline lanes lanes_look_up(const float *table, lanes at)
{
    return _mm512_i32gather_ps(_mm512_cvttps_epi32(at), table, 4);
}
static inline float lanes_sum_half(__m256 a)
{
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));

    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
static inline float lanes_sum(lanes a)
{
    return lanes_sum_half(
        _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
}

#elif defined(__AVX2__)
#include <immintrin.h>

typedef struct {
    __m256 low, high;
} lanes;
typedef lanes lanes_mask;

static inline lanes lanes_all(float x)
{
    return (lanes){ _mm256_set1_ps(x), _mm256_set1_ps(x) };
}
static inline lanes lanes_load(const float *p)
{
    return (lanes){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) };
}
static inline void lanes_store(float *p, lanes a)
{
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}
static inline lanes lanes_add(lanes a, lanes b)
{
    return (lanes){ _mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high) };
}
static inline lanes lanes_sub(lanes a, lanes b)
{
    return (lanes){ _mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high) };
}
static inline lanes lanes_mul(lanes a, lanes b)
{
    return (lanes){ _mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high) };
}
static inline lanes lanes_max(lanes a, lanes b)
{
    return (lanes){ _mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high) };
}
static inline lanes lanes_min(lanes a, lanes b)
{
    return (lanes){ _mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high) };
}
static inline lanes_mask lanes_less(lanes a, lanes b)
{
    return (lanes){ _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ),
                    _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ) };
}
static inline lanes_mask lanes_at_most(lanes a, lanes b)
{
    return (lanes){ _mm256_cmp_ps(a.low, b.low, _CMP_LE_OQ),
                    _mm256_cmp_ps(a.high, b.high, _CMP_LE_OQ) };
}
static inline uint32_t lanes_bits(lanes_mask m)
{
    return (uint32_t)_mm256_movemask_ps(m.low) | (uint32_t)_mm256_movemask_ps(m.high)
                                                     << 8;
}
static inline lanes lanes_select(lanes_mask m, lanes yes, lanes no)
{
    return (lanes){ _mm256_blendv_ps(no.low, yes.low, m.low),
                    _mm256_blendv_ps(no.high, yes.high, m.high) };
}
static inline lanes lanes_look_up(const float *table, lanes at)
{
    return (lanes){ _mm256_i32gather_ps(table, _mm256_cvttps_epi32(at.low), 4),
                    _mm256_i32gather_ps(table, _mm256_cvttps_epi32(at.high), 4) };
}
static inline float lanes_sum(lanes a)
{
    const __m256 half = _mm256_add_ps(a.low, a.high);
    const __m128 b =
        _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));

    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

#else

typedef struct {
    float v[IQT_LANES];
} lanes;
typedef struct {
    uint32_t v[IQT_LANES]; /* all ones, or 0 */
} lanes_mask;

#define IQT_EACH_LANE(i) for (int i = 0; i < IQT_LANES; i++)

static inline lanes lanes_all(float x)
{
    lanes r;

    IQT_EACH_LANE(i) r.v[i] = x;
    return r;
}
static inline lanes lanes_load(const float *p)
{
    lanes r;

    IQT_EACH_LANE(i) r.v[i] = p[i];
    return r;
}
static inline void lanes_store(float *p, lanes a)
{
    IQT_EACH_LANE(i) p[i] = a.v[i];
}
static inline lanes lanes_add(lanes a, lanes b)
{
    IQT_EACH_LANE(i) a.v[i] += b.v[i];
    return a;
}
static inline lanes lanes_sub(lanes a, lanes b)
{
    IQT_EACH_LANE(i) a.v[i] -= b.v[i];
    return a;
}
static inline lanes lanes_mul(lanes a, lanes b)
{
    IQT_EACH_LANE(i) a.v[i] *= b.v[i];
    return a;
}
static inline lanes lanes_max(lanes a, lanes b)
{
    IQT_EACH_LANE(i) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}
static inline lanes lanes_min(lanes a, lanes b)
{
    IQT_EACH_LANE(i) a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
}
static inline lanes_mask lanes_less(lanes a, lanes b)
{
    lanes_mask m;

    IQT_EACH_LANE(i) m.v[i] = a.v[i] < b.v[i] ? UINT32_MAX : 0;
    return m;
}
static inline lanes_mask lanes_at_most(lanes a, lanes b)
{
    lanes_mask m;

    IQT_EACH_LANE(i) m.v[i] = a.v[i] <= b.v[i] ? UINT32_MAX : 0;
    return m;
}
static inline uint32_t lanes_bits(lanes_mask m)
{
    uint32_t bits = 0;

    IQT_EACH_LANE(i) bits |= (m.v[i] & 1) << i;
    return bits;
}
static inline lanes lanes_select(lanes_mask m, lanes yes, lanes no)
{
    IQT_EACH_LANE(i) no.v[i] = m.v[i] != 0 ? yes.v[i] : no.v[i];
    return no;
}
static inline lanes lanes_look_up(const float *table, lanes at)
{
    IQT_EACH_LANE(i) at.v[i] = table[(int)at.v[i]];
    return at;
}
static inline float lanes_sum(lanes a)
{
    for (int n = IQT_LANES / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            a.v[i] += a.v[i + n];
    return a.v[0];
}
#endif

#endif
