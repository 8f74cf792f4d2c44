/* The nearest seed of a trellis, exactly: a box whose nearest corner is farther than the best seed so far
 * is passed over, and so are points. Bounds are integers, which are never above the distance; what they
 * leave is measured in float. Boxes and points are looked at sixteen at a time. */
#include "quant/inner.h"
#include "quant/shorts.h"

#include <float.h>
#include <math.h>

enum {
    WIDE = IQT_TREE_WIDE,
    PAIRS = IQT_TREE_DIMS / 2,
    HEAVY = 16382,    /* the largest weight: no sum of eight dimensions overflows */
    RAISE = 32768,    /* makes numbers positive: those are rounded alike */
    NEVER = INT32_MAX /* a bound that no limit reaches */
};

/* Beyond all values: nearer is nearer to all of them. */
static const float FAR = 127.9f;

/* Bounds are in units of 1 / per_distance. */
struct query {
    const struct iqt_trellis_tree *tree;
    const float *y, *w;
    shorts at[PAIRS], weight[PAIRS];
    float per_distance, least;
    int32_t limit; /* a bound above it is a distance above least */
    uint32_t point, code;
};

/* Leaves that may hold a nearer point. */
struct list {
    int32_t bound[IQT_TREE_GROUPS * WIDE + WIDE], leaf[IQT_TREE_GROUPS * WIDE + WIDE];
    uint32_t count;
};

/* Weights are rounded down, and even: half of one, the product with 2^15, is then a whole number. */
static inline void query_round(struct query *q, const uint32_t dims)
{
    float most = FLT_MIN, per_weight;

    for (uint32_t d = 0; d < dims; d++)
        most = q->w[d] > most ? q->w[d] : most;
    per_weight = HEAVY / 2 / most;
    for (uint32_t d = 0; d < dims; d += 2) {
        int16_t at[2], weight[2];

        for (uint32_t n = 0; n < 2; n++) {
            const float y = q->y[d + n], low = y > -FAR ? y : -FAR;
            const float near = low < FAR ? low : FAR;
            const int whole = (int)(q->w[d + n] * per_weight);

            at[n] = (int16_t)((int)(near * IQT_TREE_UNIT + (RAISE + 0.5f)) - RAISE);
            weight[n] = (int16_t)(2 * (whole < HEAVY / 2 ? whole : HEAVY / 2));
        }
        q->at[d / 2] = shorts_pair(at[0], at[1]);
        q->weight[d / 2] = shorts_pair(weight[0], weight[1]);
    }
    q->per_distance =
        (float)HEAVY * IQT_TREE_UNIT * IQT_TREE_UNIT / 65536 * 1.00001f / most;
}

/* y is rounded by half a unit and a little, which adds to a bound s less than sqrt(2 s) + 1 and 2 percent,
 * and so less than s / 1024 + 540. */
static inline void limit_to(struct query *q, float distance)
{
    const float limit = distance * q->per_distance * (1 + 1.0f / 1024) + 540;

    q->least = distance;
    q->limit = limit < (float)(NEVER - 128) ? (int32_t)limit : NEVER - 1;
}

static inline void take(struct query *q, uint32_t point, float distance)
{
    limit_to(q, distance);
    q->point = point;
    q->code = iqt_trellis_code(q->tree, point);
}

static inline void try_point(struct query *q, uint32_t point, const uint32_t dims)
{
    const float distance = iqt_trellis_distance(q->tree, q->y, q->w, point, dims);

    if (distance > q->least)
        return;
    if (distance < q->least || iqt_trellis_code(q->tree, point) < q->code)
        take(q, point, distance);
}

/* Products are rounded down. */
static inline words add_square(words sum, shorts out, shorts weight)
{
    return words_add_products(sum, shorts_mul_high(out, weight), out);
}

static inline words box_bounds(const struct query *q, const struct iqt_tree_boxes *b,
                               const uint32_t dims)
{
    words all = words_none();

    for (uint32_t p = 0; p < dims / 2; p++) {
        const shorts apart = shorts_apart(shorts_load(b->middle[p][0]), q->at[p]);

        all = add_square(all, shorts_beyond(apart, shorts_load(b->reach[p][0])),
                         q->weight[p]);
    }
    return all;
}

static inline words point_bounds(const struct query *q, const int8_t *row,
                                 const uint32_t dims)
{
    words all = words_none();

    for (uint32_t p = 0; p < dims / 2; p += 2, row += IQT_TREE_ROW) {
        shorts v[2];

        shorts_load_i8(row, &v[0], &v[1]);
        all = add_square(all, shorts_apart(v[0], q->at[p]), q->weight[p]);
        all = add_square(all, shorts_apart(v[1], q->at[p + 1]), q->weight[p + 1]);
    }
    return all;
}

static inline uint32_t place_of_least(const int32_t *bound, uint32_t vectors)
{
    int32_t all[WIDE], least = NEVER;
    words low = words_load(bound);

    for (uint32_t n = 1; n < vectors; n++)
        low = words_min(low, words_load(bound + WIDE * n));
    words_store(all, low);
    for (uint32_t n = 0; n < WIDE; n++)
        least = all[n] < least ? all[n] : least;
    for (uint32_t n = 0;; n++) {
        const uint32_t found = words_at_most(words_load(bound + WIDE * n), least);

        if (found != 0)
            return WIDE * n + IQT_LOWEST_BIT(found);
    }
}

/* The most promising one first: it spares others. */
static inline void search_leaf(struct query *q, uint32_t number, const uint32_t dims)
{
    const words all = point_bounds(q, q->tree->leaf + (size_t)number * WIDE * dims, dims);
    uint32_t near = words_at_most(all, q->limit), first;
    int32_t bound[WIDE];

    if (near == 0)
        return;
    if ((near & (near - 1)) != 0) {
        words_store(bound, all);
        first = place_of_least(bound, 1);
        try_point(q, number * WIDE + first, dims);
        near = words_at_most(all, q->limit) & ~(1u << first);
    }
    for (; near != 0; near &= near - 1)
        try_point(q, number * WIDE + IQT_LOWEST_BIT(near), dims);
}

/* Adds what may matter of a group. */
static inline void list_group(const struct query *q, uint32_t group, struct list *list,
                              const uint32_t dims)
{
    const words all = box_bounds(q, &q->tree->of_leaves[group], dims);
    const uint32_t near = words_at_most(all, q->limit);

    words_pack(list->bound + list->count, list->leaf + list->count, all,
               (int32_t)(WIDE * group), near);
    list->count += (uint32_t)__builtin_popcount(near);
}

/* Those of a list that are above one bound and at most at another, below NEVER. */
static inline void search_list(struct query *q, struct list *list, int32_t above,
                               int32_t most, const uint32_t dims)
{
    struct list chosen;

    chosen.count = 0;
    for (uint32_t n = 0; n < WIDE; n++) /* after the last one */
        list->bound[list->count + n] = NEVER;
    for (uint32_t i = 0; i < list->count; i += WIDE) {
        const words bound = words_load(list->bound + i);
        const uint32_t near = words_at_most(bound, most) & ~words_at_most(bound, above);

        words_pack(chosen.bound + chosen.count, chosen.leaf + chosen.count, bound,
                   (int32_t)i, near);
        chosen.count += (uint32_t)__builtin_popcount(near);
    }
    for (uint32_t i = 0; i < chosen.count; i++)
        if (chosen.bound[i] <= q->limit)
            search_leaf(q, (uint32_t)list->leaf[chosen.leaf[i]], dims);
}

/* The nearest leaf of the nearest group */
static inline void search_nearest(struct query *q, uint32_t group, const uint32_t dims)
{
    int32_t bound[WIDE];
    uint32_t nearest;

    words_store(bound, box_bounds(q, &q->tree->of_leaves[group], dims));
    nearest = place_of_least(bound, 1);
    if (bound[nearest] <= q->limit)
        search_leaf(q, WIDE * group + nearest, dims);
}

/* The nearest box first, then those that are near, then all that can hold a nearer point. */
static inline uint32_t find(struct query *q, const uint32_t dims)
{
    const uint32_t tops = q->tree->leaves / WIDE / WIDE; /* at least one */
    int32_t bound[IQT_TREE_GROUPS];
    struct list list;

    list.count = 0;
    words_store(bound, box_bounds(q, &q->tree->of_groups[0], dims));
    for (uint32_t n = 1; n < tops; n++)
        words_store(bound + WIDE * n, box_bounds(q, &q->tree->of_groups[n], dims));
    search_nearest(q, place_of_least(bound, tops), dims);
    /* Of few dimensions few boxes are near at all. */
    for (int32_t share = dims == 4 ? 1 : 2; share > 0; share--) {
        const int32_t limit = q->limit / share;
        int32_t half;

        for (uint32_t n = 0; n < tops; n++) {
            uint32_t near = words_at_most(words_load(bound + WIDE * n), limit);

            for (; near != 0; near &= near - 1) {
                const uint32_t place = WIDE * n + IQT_LOWEST_BIT(near);

                bound[place] = NEVER;
                list_group(q, place, &list, dims);
            }
        }
        half = dims == 4 ? -1 : q->limit / 2;
        if (dims != 4)
            search_list(q, &list, -1, half, dims);
        search_list(q, &list, half, q->limit, dims);
        list.count = 0;
    }
    return q->point;
}

static uint32_t search(const struct iqt_trellis_tree *tree, const float *y,
                       const float *w, uint32_t start, float most, const uint32_t dims)
{
    struct query q;

    q.tree = tree;
    q.y = y;
    q.w = w;
    query_round(&q, dims);
    limit_to(&q, most);
    q.point = q.code = UINT32_MAX;
    if (start != UINT32_MAX)
        try_point(&q, start, dims);
    return find(&q, dims);
}

uint32_t iqt_trellis_find(const struct iqt_trellis_tree *tree, const float *y,
                          const float *w, uint32_t start, float most)
{
#ifdef IQT_TREE_SCANS
    const uint32_t point = iqt_trellis_scan(tree, y, w, start, most);

    if (point != IQT_TREE_UNKNOWN)
        return point;
#endif
    return tree->dims == 4 ? search(tree, y, w, start, most, 4)
                           : search(tree, y, w, start, most, 8);
}
