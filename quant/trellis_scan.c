/* The nearest seed of a trellis, exactly, for processors that look up 64 bytes at once in tables of 64 or 128 (AVX-512
 * VBMI). What each dimension adds to a distance is a byte of a table that is made for the target, so that of 64 points, or
 * boxes, a dimension takes one look-up and one addition. Bytes are rounded down: sums are never above the distance. */
#include "quant/inner.h"

#ifdef IQT_TREE_SCANS

#include <float.h>
#include <immintrin.h>
#include <stdalign.h>

enum {
    WIDE = IQT_SHEET,
    DIMS = IQT_TREE_DIMS,
    SHEETS = 65536 / IQT_SHEET, /* at most */
    FULL = 250, /* what the largest distance that is expected makes in bytes */
    MOST = 252, /* above it a byte may be any number */
    TRIES = 64, /* after so many points bytes say too little */
};

/* Tables in registers: the second half is for eight dimensions, where an entry is two values. With four dimensions
 * tables begin at a value near the target. */
struct tables {
    __m512i low[DIMS], high[DIMS], first[DIMS];
};

struct query {
    const struct iqt_trellis_tree *tree;
    const float *y, *w;
    float per_distance, least;
    uint32_t limit; /* a sum above it is a distance above least */
    uint32_t point;
    uint32_t tries; /* points that were measured */
};

/* ---- Points ---- */

static inline __m256 load(const float *p, const uint32_t dims)
{
    return dims == 8 ? _mm256_loadu_ps(p) : _mm256_zextps128_ps256(_mm_loadu_ps(p));
}

/* The values of a point, a byte each, from a sheet that was just looked at. */
static inline uint64_t values_of(const struct iqt_trellis_tree *tree, uint32_t point,
                                 const uint32_t dims)
{
    const uint8_t *p = tree->sheet + iqt_sheet_place(dims, point, 0);
    const uint64_t ones = 0x0101010101010101u;
    uint64_t all = 0;

    for (uint32_t d = 0; d < dims; d++)
        all |= (uint64_t)p[d * WIDE] << 8 * d;
    if (dims == 8)
        all = (all & ones * 127) << 1 | (all >> 7 & ones);
    return all ^ ones * 128;
}

/* The bits of iqt_trellis_distance(). */
static inline float measure(const struct query *q, uint32_t point, const uint32_t dims)
{
    const __m128i values = _mm_cvtsi64_si128((int64_t)values_of(q->tree, point, dims));
    const __m256 miss =
        _mm256_sub_ps(load(q->y, dims), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(values)));
    float part[DIMS], sum = 0;

    _mm256_storeu_ps(part, _mm256_mul_ps(load(q->w, dims), _mm256_mul_ps(miss, miss)));
    for (uint32_t d = 0; d < dims; d++)
        sum += part[d];
    return sum;
}

static inline void limit_to(struct query *q, float distance)
{
    const float limit = distance * q->per_distance * 1.0001f + 0.3f;

    q->least = distance;
    q->limit = limit < MOST ? (uint32_t)limit : MOST;
}

static inline void take(struct query *q, uint32_t point, float distance)
{
    limit_to(q, distance);
    q->point = point;
}

static inline void try_point(struct query *q, uint32_t point, const uint32_t dims)
{
    const float distance = measure(q, point, dims);

    q->tries++;
    if (distance > q->least || point == q->point)
        return;
    if (distance < q->least || q->point == UINT32_MAX ||
        iqt_trellis_code(q->tree, point) < iqt_trellis_code(q->tree, q->point))
        take(q, point, distance);
}

/* ---- Tables ---- */

/* In the order in which packing leaves them in place. */
static inline __m512i entries(uint32_t part)
{
    alignas(64) static const int8_t first[32] = { 0,  1,  2,  3,  4,  5,  6,  7,
                                                  16, 17, 18, 19, 20, 21, 22, 23,
                                                  32, 33, 34, 35, 36, 37, 38, 39,
                                                  48, 49, 50, 51, 52, 53, 54, 55 };
    const __m512i all = _mm512_cvtepi8_epi16(_mm256_load_si256((const __m256i *)first));

    return _mm512_add_epi16(all,
                            _mm512_set1_epi16((int16_t)(part / 2 * 64 + part % 2 * 8)));
}

/* How far each entry is from `at`, times the weight's root, squared. Of eight dimensions an entry is two values, half
 * a value to either side of its middle, in 256ths; of four it is one, in 1024ths. */
static inline __m512i squares(uint32_t part, __m512i at, __m512i root,
                              const uint32_t dims)
{
    const __m512i number =
        _mm512_sub_epi16(entries(part), _mm512_set1_epi16(dims == 8 ? 64 : 32));
    const __m512i place =
        dims == 8 ? _mm512_add_epi16(_mm512_slli_epi16(number, 9), _mm512_set1_epi16(128))
                  : _mm512_slli_epi16(number, 10);
    const __m512i apart = _mm512_abs_epi16(_mm512_subs_epi16(place, at));
    const __m512i least =
        dims == 8 ? _mm512_subs_epu16(apart, _mm512_set1_epi16(129)) : apart;
    const __m512i half = _mm512_mulhi_epu16(least, root),
                  all = _mm512_adds_epi16(half, half);

    return _mm512_mulhi_epi16(all, all);
}

static inline __m512i table(uint32_t part, __m512i at, __m512i root, const uint32_t dims)
{
    return _mm512_packus_epi16(squares(part, at, root, dims),
                               squares(part + 1, at, root, dims));
}

static inline __m256 beside_values(const float *y, const uint32_t dims)
{
    return _mm256_min_ps(_mm256_max_ps(load(y, dims), _mm256_set1_ps(-127.9f)),
                         _mm256_set1_ps(127.9f));
}

/* at: the value nearest to the target, as it stands in sheets. No value of its box is nearer. */
static inline void make_tables(const struct query *q, struct tables *t, __m512i *at,
                               const uint32_t dims)
{
    const __m256 y = beside_values(q->y, dims);
    const __m256 wide =
        _mm256_sqrt_ps(_mm256_mul_ps(load(q->w, dims), _mm256_set1_ps(q->per_distance)));
    const __m256 root =
        _mm256_min_ps(_mm256_mul_ps(wide, _mm256_set1_ps(dims == 8 ? 32768 : 8192)),
                      _mm256_set1_ps(65535));
    const __m256i nearest = _mm256_cvtps_epi32(_mm256_add_ps(y, _mm256_set1_ps(128)));
    const __m256i first = _mm256_min_epi32(
        _mm256_max_epi32(_mm256_sub_epi32(nearest, _mm256_set1_epi32(32)),
                         _mm256_setzero_si256()),
        _mm256_set1_epi32(192));
    const __m256 apart = _mm256_sub_ps(
        y, _mm256_cvtepi32_ps(_mm256_sub_epi32(first, _mm256_set1_epi32(96))));
    const __m256 place = dims == 8 ? _mm256_mul_ps(y, _mm256_set1_ps(256))
                                   : _mm256_mul_ps(apart, _mm256_set1_ps(1024));
    const __m256i stands = _mm256_srli_epi32(
        _mm256_min_epi32(nearest, _mm256_set1_epi32(255)), dims == 8 ? 1 : 0);
    int16_t places[DIMS], roots[DIMS];
    int8_t bytes[16], firsts[16];

    _mm_storeu_si128((__m128i *)places, _mm256_cvtepi32_epi16(_mm256_cvtps_epi32(place)));
    _mm_storeu_si128((__m128i *)roots, _mm256_cvtepi32_epi16(_mm256_cvttps_epi32(root)));
    _mm_storeu_si128((__m128i *)bytes, _mm256_cvtepi32_epi8(stands));
    _mm_storeu_si128((__m128i *)firsts, _mm256_cvtepi32_epi8(first));
    for (uint32_t d = 0; d < dims; d++) {
        const __m512i all = _mm512_set1_epi16(places[d]),
                      times = _mm512_set1_epi16(roots[d]);

        at[d] = _mm512_set1_epi8(bytes[d]);
        t->low[d] = table(0, all, times, dims);
        if (dims == 8)
            t->high[d] = table(2, all, times, dims);
        else
            t->first[d] = _mm512_set1_epi8(firsts[d]);
    }
}

/* ---- Sums ---- */

static inline __m512i look_up(const struct tables *t, uint32_t d, __m512i value,
                              const uint32_t dims)
{
    const __m512i last = _mm512_set1_epi8(63);

    if (dims == 8)
        return _mm512_permutex2var_epi8(t->low[d], value, t->high[d]);
    return _mm512_permutexvar_epi8(
        _mm512_min_epu8(_mm512_subs_epu8(value, t->first[d]), last), t->low[d]);
}

static inline __m512i sheet_sums(const struct tables *t, const uint8_t *p,
                                 const uint32_t dims)
{
    __m512i all = look_up(t, 0, _mm512_load_si512(p), dims),
            other = look_up(t, 1, _mm512_load_si512(p + WIDE), dims);

    for (uint32_t d = 2; d < dims; d += 2) {
        all = _mm512_adds_epu8(all, look_up(t, d, _mm512_load_si512(p + d * WIDE), dims));
        other = _mm512_adds_epu8(
            other, look_up(t, d + 1, _mm512_load_si512(p + (d + 1) * WIDE), dims));
    }
    return _mm512_adds_epu8(all, other);
}

/* Of sixty-four boxes: what is nearest to the target in each. */
static inline __m512i box_sums(const struct tables *t, const __m512i *at,
                               const uint8_t *p, const uint32_t dims)
{
    __m512i all = _mm512_setzero_si512();

    for (uint32_t d = 0; d < dims; d++) {
        const __m512i low = _mm512_max_epu8(at[d], _mm512_load_si512(p + 2 * d * WIDE));
        const __m512i near =
            _mm512_min_epu8(low, _mm512_load_si512(p + (2 * d + 1) * WIDE));

        all = _mm512_adds_epu8(all, look_up(t, d, near, dims));
    }
    return all;
}

static inline uint64_t at_most(__m512i sums, uint32_t limit)
{
    return _mm512_cmple_epu8_mask(sums, _mm512_set1_epi8((int8_t)limit));
}

static inline uint32_t least_of(__m512i a)
{
    const __m256i half =
        _mm256_min_epu8(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    const __m128i part =
        _mm_min_epu8(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const __m128i pair = _mm_min_epu8(part, _mm_srli_epi16(part, 8));

    return (uint32_t)_mm_cvtsi128_si32(_mm_minpos_epu16(pair)) & 0xff;
}

/* ---- Sheets ---- */

/* Sheets that may matter: the vector of boxes and the place in it. */
struct list {
    uint8_t place[SHEETS + WIDE], vector[SHEETS + WIDE];
    uint32_t count;
};

static inline void list_sheets(struct list *list, uint32_t vector, uint64_t chosen)
{
    alignas(64) static const uint8_t places[WIDE] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
        16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
        32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
        48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63
    };

    _mm512_storeu_si512(list->place + list->count,
                        _mm512_maskz_compress_epi8(chosen, _mm512_load_si512(places)));
    _mm512_storeu_si512(list->vector + list->count, _mm512_set1_epi8((int8_t)vector));
    list->count += (uint32_t)__builtin_popcountll(chosen);
}

/* Sheets in which a point may be nearer than the best one before. */
struct hits {
    __m512i sums[SHEETS];
    uint16_t number[SHEETS];
    uint32_t count;
};

/* The most promising point first: it spares others. */
static inline void search_hits(struct query *q, struct hits *h, __m512i low,
                               const uint32_t dims)
{
    const uint32_t least = least_of(low);
    uint64_t near = 0;
    uint32_t first = 0;

    if (h->count == 0)
        return;
    while ((near = _mm512_cmpeq_epi8_mask(h->sums[first],
                                          _mm512_set1_epi8((int8_t)least))) == 0)
        first++;
    try_point(q, h->number[first] * WIDE + (uint32_t)__builtin_ctzll(near), dims);
    h->sums[first] =
        _mm512_mask_mov_epi8(h->sums[first], near & -near, _mm512_set1_epi8(-1));
    for (uint32_t i = 0; i < h->count; i++) {
        near = at_most(h->sums[i], q->limit);
        for (; near != 0 && q->tries <= TRIES; near &= near - 1)
            try_point(q, h->number[i] * WIDE + (uint32_t)__builtin_ctzll(near), dims);
    }
}

/* All sheets are looked at first, so that nothing waits for what is found. Few have a point that may be nearer: making
 * their sums again takes less than keeping all. */
static inline void search_list(struct query *q, const struct tables *t,
                               const struct list *list, const uint32_t dims)
{
    const uint8_t *const from = q->tree->sheet;
    const __m512i limit = _mm512_set1_epi8((int8_t)q->limit);
    __m512i low = _mm512_set1_epi8(-1);
    uint32_t count = 0;
    struct hits h;

    for (uint32_t i = 0; i < list->count; i++) {
        const uint32_t at = list->vector[i] * WIDE + list->place[i];

        h.number[count] = (uint16_t)at;
        count += _mm512_cmple_epu8_mask(
                     sheet_sums(t, from + (size_t)at * dims * WIDE, dims), limit) != 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        h.sums[i] = sheet_sums(t, from + (size_t)h.number[i] * dims * WIDE, dims);
        low = _mm512_min_epu8(low, h.sums[i]);
    }
    h.count = count;
    search_hits(q, &h, low, dims);
}

/* What is known of boxes: in vectors of `open` the bounds of sheets are known. */
struct bounds {
    __m512i around, sheet[SHEETS / WIDE];
    uint64_t open;
};

/* Sheets that are above one bound and at most at another; a vector's bounds are made when they can matter. */
static inline void list_between(const struct query *q, const struct tables *t,
                                const __m512i *at, struct bounds *b, int32_t above,
                                uint32_t most, struct list *list, const uint32_t dims)
{
    const uint64_t all = (1ull << q->tree->sheets / WIDE) - 1,
                   in = at_most(b->around, most) & all;
    const uint64_t open = b->open;

    list->count = 0;
    b->open |= in;
    for (uint64_t left = in & ~open; left != 0; left &= left - 1) {
        const uint32_t n = (uint32_t)__builtin_ctzll(left);

        b->sheet[n] =
            box_sums(t, at, q->tree->of_sheets + (size_t)n * 2 * dims * WIDE, dims);
        list_sheets(list, n, at_most(b->sheet[n], most));
    }
    for (uint64_t left = in & open; left != 0; left &= left - 1) {
        const uint32_t n = (uint32_t)__builtin_ctzll(left);

        list_sheets(list, n,
                    at_most(b->sheet[n], most) & ~at_most(b->sheet[n], (uint32_t)above));
    }
}

/* Near sheets first, then all that can hold a nearer point. */
static inline void find(struct query *q, const uint32_t dims)
{
    __m512i at[DIMS];
    struct bounds b;
    struct tables t;
    struct list list;
    int32_t done = -1;

    make_tables(q, &t, at, dims);
    b.around = box_sums(&t, at, q->tree->of_boxes, dims);
    b.open = 0;
    for (int32_t share = q->limit < MOST ? 1 : 2; share > 0; share--) {
        const int32_t most = (int32_t)q->limit / share;

        if (most <= done)
            continue;
        list_between(q, &t, at, &b, done, (uint32_t)most, &list, dims);
        search_list(q, &t, &list, dims);
        done = most;
    }
}

/* What the distance to the nearest point is expected to be below. The bits of a float are almost its logarithm, so
 * their mean is that of a geometric mean. */
static inline float expected(const struct query *q, const uint32_t dims)
{
    const float per_log2 = 8388608;
    const __m256 y = beside_values(q->y, dims);
    const __m256i weights = _mm256_castps_si256(load(q->w, dims));
    const __m256 more = _mm256_mul_ps(
        _mm256_mul_ps(y, y), _mm256_set1_ps(q->tree->taper * 1.442695f * per_log2));
    const __m256i all = _mm256_add_epi32(_mm256_srli_epi32(weights, dims == 8 ? 3 : 2),
                                         _mm256_cvttps_epi32(more));
    const __m128i half =
        _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    const __m128i part = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    const __m128i sum = _mm_add_epi32(part, _mm_shuffle_epi32(part, 0xb1));

    return _mm_cvtss_f32(_mm_castsi128_ps(sum)) * q->tree->spread;
}

/* Whether tables reach far enough: where points are scarce, sums at their ends may be no more than those of the nearest
 * point. */
static inline bool reaches(const struct query *q, const uint32_t dims)
{
    const __m256 end =
        _mm256_mul_ps(load(q->w, dims), _mm256_set1_ps(q->per_distance * 1024));
    const __m256 all = _mm256_min_ps(end, _mm256_set1_ps(255));
    const __m128 pair = _mm_add_ps(
        _mm256_castps256_ps128(all),
        _mm_movehl_ps(_mm256_castps256_ps128(all), _mm256_castps256_ps128(all)));

    return dims == 8 ||
           _mm_cvtss_f32(pair) + _mm_cvtss_f32(_mm_movehdup_ps(pair)) > 2 * FULL;
}

static inline uint32_t search(struct query *q, uint32_t start, float most,
                              const uint32_t dims)
{
    const float usual = expected(q, dims);
    float first = FLT_MAX, full = most < usual ? most : usual;

    if (start != UINT32_MAX) {
        first = measure(q, start, dims);
        full = first < full ? first : full;
    }
    q->per_distance = FULL / full;
    if (!(q->per_distance > FLT_MIN && q->per_distance < FLT_MAX && reaches(q, dims)))
        return IQT_TREE_UNKNOWN;
    limit_to(q, most);
    q->point = UINT32_MAX;
    q->tries = 0;
    if (start != UINT32_MAX && first <= most)
        take(q, start, first);
    find(q, dims);
    /* Others may be beyond the tables. */
    return q->tries <= TRIES && q->least * q->per_distance <= MOST - 1 ? q->point
                                                                       : IQT_TREE_UNKNOWN;
}

uint32_t iqt_trellis_scan(const struct iqt_trellis_tree *tree, const float *y,
                          const float *w, uint32_t start, float most)
{
    struct query q = { .tree = tree, .y = y, .w = w };

    return tree->dims == 4 ? search(&q, start, most, 4) : search(&q, start, most, 8);
}
#else
typedef int iqt_no_scan; /* a file has a declaration */
#endif
