/* Thirty-two short integers at a time, two for each of sixteen lanes, for every instruction set that quant is
 * compiled for: what bounds of distances are made of. */
#ifndef IQT_QUANT_SHORTS_H
#define IQT_QUANT_SHORTS_H

#include <stdint.h>

#if defined(__AVX512BW__)
#include <immintrin.h>

typedef __m512i shorts;
typedef __m512i words; /* sixteen, of 32 bits */

static inline words words_none(void)
{
    return _mm512_setzero_si512();
}
static inline shorts shorts_pair(int16_t even, int16_t odd)
{
    return _mm512_set1_epi32((int)((uint16_t)even | (uint32_t)(uint16_t)odd << 16));
}
static inline shorts shorts_load(const int16_t *p)
{
    return _mm512_loadu_si512(p);
}
/* Of sixty-four bytes, times 256: the first and the last eight of each sixteen. */
static inline void shorts_load_i8(const int8_t *p, shorts *first, shorts *last)
{
    const __m512i bytes = _mm512_loadu_si512(p), none = _mm512_setzero_si512();

    *first = _mm512_unpacklo_epi8(none, bytes);
    *last = _mm512_unpackhi_epi8(none, bytes);
}
/* |a - b|, at most 2^15, as numbers without a sign */
static inline shorts shorts_apart(shorts a, shorts b)
{
    return _mm512_abs_epi16(_mm512_subs_epi16(a, b));
}
/* The larger of a - b and 0, of numbers without a sign */
static inline shorts shorts_beyond(shorts a, shorts b)
{
    return _mm512_subs_epu16(a, b);
}
/* a * b / 2^16, rounded down */
static inline shorts shorts_mul_high(shorts a, shorts b)
{
    return _mm512_mulhi_epi16(a, b);
}
/* sum[i] + a[2i] b[2i] + a[2i+1] b[2i+1] */
static inline words words_add_products(words sum, shorts a, shorts b)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
}
static inline uint32_t words_at_most(words a, int32_t limit)
{
    return _mm512_cmple_epi32_mask(a, _mm512_set1_epi32(limit));
}
static inline void words_store(int32_t *p, words a)
{
    _mm512_storeu_si512(p, a);
}
static inline words words_load(const int32_t *p)
{
    return _mm512_loadu_si512(p);
}
static inline words words_min(words a, words b)
{
    return _mm512_min_epi32(a, b);
}
/* What is chosen, and first + its place. There is room for sixteen. */
static inline void words_pack(int32_t *value, int32_t *place, words a, int32_t first,
                              uint32_t chosen)
{
    const __m512i places = _mm512_add_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32(first));

    words_store(value, _mm512_maskz_compress_epi32((__mmask16)chosen, a));
    words_store(place, _mm512_maskz_compress_epi32((__mmask16)chosen, places));
}

#elif defined(__AVX2__)
#include <immintrin.h>

typedef struct {
    __m256i low, high;
} shorts;
typedef shorts words;

static inline words words_none(void)
{
    return (words){ _mm256_setzero_si256(), _mm256_setzero_si256() };
}
static inline shorts shorts_pair(int16_t even, int16_t odd)
{
    const __m256i a =
        _mm256_set1_epi32((int)((uint16_t)even | (uint32_t)(uint16_t)odd << 16));

    return (shorts){ a, a };
}
static inline shorts shorts_load(const int16_t *p)
{
    return (shorts){ _mm256_loadu_si256((const __m256i *)p),
                     _mm256_loadu_si256((const __m256i *)(p + 16)) };
}
static inline void shorts_load_i8(const int8_t *p, shorts *first, shorts *last)
{
    const __m256i low = _mm256_loadu_si256((const __m256i *)p),
                  high = _mm256_loadu_si256((const __m256i *)(p + 32)),
                  none = _mm256_setzero_si256();

    *first =
        (shorts){ _mm256_unpacklo_epi8(none, low), _mm256_unpacklo_epi8(none, high) };
    *last = (shorts){ _mm256_unpackhi_epi8(none, low), _mm256_unpackhi_epi8(none, high) };
}
static inline shorts shorts_apart(shorts a, shorts b)
{
    return (shorts){ _mm256_abs_epi16(_mm256_subs_epi16(a.low, b.low)),
                     _mm256_abs_epi16(_mm256_subs_epi16(a.high, b.high)) };
}
static inline shorts shorts_beyond(shorts a, shorts b)
{
    return (shorts){ _mm256_subs_epu16(a.low, b.low), _mm256_subs_epu16(a.high, b.high) };
}
static inline shorts shorts_mul_high(shorts a, shorts b)
{
    return (shorts){ _mm256_mulhi_epi16(a.low, b.low),
                     _mm256_mulhi_epi16(a.high, b.high) };
}
static inline words words_add_products(words sum, shorts a, shorts b)
{
    return (words){ _mm256_add_epi32(sum.low, _mm256_madd_epi16(a.low, b.low)),
                    _mm256_add_epi32(sum.high, _mm256_madd_epi16(a.high, b.high)) };
}
static inline uint32_t words_at_most(words a, int32_t limit)
{
    const __m256i all = _mm256_set1_epi32(limit);
    const __m256i low = _mm256_cmpgt_epi32(a.low, all),
                  high = _mm256_cmpgt_epi32(a.high, all);
    const uint32_t more = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(low)) |
                          (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(high)) << 8;

    return ~more & 0xffff;
}
static inline void words_store(int32_t *p, words a)
{
    _mm256_storeu_si256((__m256i *)p, a.low);
    _mm256_storeu_si256((__m256i *)(p + 8), a.high);
}
static inline words words_load(const int32_t *p)
{
    return (words){ _mm256_loadu_si256((const __m256i *)p),
                    _mm256_loadu_si256((const __m256i *)(p + 8)) };
}
static inline words words_min(words a, words b)
{
    return (words){ _mm256_min_epi32(a.low, b.low), _mm256_min_epi32(a.high, b.high) };
}
#define IQT_WORDS_PACK_BY_ONE

#else

typedef struct {
    int16_t v[32];
} shorts;
typedef struct {
    int32_t v[16];
} words;

static inline words words_none(void)
{
    return (words){ { 0 } };
}
static inline shorts shorts_pair(int16_t even, int16_t odd)
{
    shorts r;

    for (int i = 0; i < 32; i++)
        r.v[i] = i % 2 == 0 ? even : odd;
    return r;
}
static inline shorts shorts_load(const int16_t *p)
{
    shorts r;

    for (int i = 0; i < 32; i++)
        r.v[i] = p[i];
    return r;
}
static inline void shorts_load_i8(const int8_t *p, shorts *first, shorts *last)
{
    for (int i = 0; i < 32; i++) {
        first->v[i] = (int16_t)(p[i / 8 * 16 + i % 8] * 256);
        last->v[i] = (int16_t)(p[i / 8 * 16 + 8 + i % 8] * 256);
    }
}
static inline shorts shorts_apart(shorts a, shorts b)
{
    for (int i = 0; i < 32; i++) {
        const int apart = a.v[i] < b.v[i] ? b.v[i] - a.v[i] : a.v[i] - b.v[i];

        a.v[i] = (int16_t)(uint16_t)(apart < 32768 ? apart : 32768);
    }
    return a;
}
static inline shorts shorts_beyond(shorts a, shorts b)
{
    for (int i = 0; i < 32; i++) {
        const int beyond = (uint16_t)a.v[i] - (uint16_t)b.v[i];

        a.v[i] = (int16_t)(uint16_t)(beyond > 0 ? beyond : 0);
    }
    return a;
}
static inline shorts shorts_mul_high(shorts a, shorts b)
{
    for (int i = 0; i < 32; i++)
        a.v[i] = (int16_t)(a.v[i] * b.v[i] >> 16);
    return a;
}
static inline words words_add_products(words sum, shorts a, shorts b)
{
    for (int i = 0; i < 16; i++)
        sum.v[i] += a.v[2 * i] * b.v[2 * i] + a.v[2 * i + 1] * b.v[2 * i + 1];
    return sum;
}
static inline uint32_t words_at_most(words a, int32_t limit)
{
    uint32_t bits = 0;

    for (int i = 0; i < 16; i++)
        bits |= (uint32_t)(a.v[i] <= limit) << i;
    return bits;
}
static inline void words_store(int32_t *p, words a)
{
    for (int i = 0; i < 16; i++)
        p[i] = a.v[i];
}
static inline words words_load(const int32_t *p)
{
    words r;

    for (int i = 0; i < 16; i++)
        r.v[i] = p[i];
    return r;
}
static inline words words_min(words a, words b)
{
    for (int i = 0; i < 16; i++)
        a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
}
#define IQT_WORDS_PACK_BY_ONE
#endif

#ifdef IQT_WORDS_PACK_BY_ONE
static inline void words_pack(int32_t *value, int32_t *place, words a, int32_t first,
                              uint32_t chosen)
{
    int32_t all[16];
    int count = 0;

    words_store(all, a);
    for (; chosen != 0; chosen &= chosen - 1) {
        value[count] = all[IQT_LOWEST_BIT(chosen)];
        place[count++] = first + IQT_LOWEST_BIT(chosen);
    }
}
#endif

#endif
