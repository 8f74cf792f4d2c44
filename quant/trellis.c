/* The nearest seed of a trellis, exactly: all groups of values that seeds can make, sorted into boxes of
 * boxes; a box whose nearest corner is farther than the best seed so far is passed over. Boxes and
 * points are looked at sixteen at a time, with one vector operation each where there are such. */
#include "quant/encoder.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { DIMS = 8, WIDE = 16, MAX_GROUPS = 256 };

struct point {
    int16_t value[DIMS];
    uint32_t code;
};

/* Dimension after dimension: points, and boxes. */
struct leaf {
    float value[DIMS][WIDE];
    uint32_t code[WIDE];
};
struct boxes {
    float low[DIMS][WIDE], high[DIMS][WIDE];
};

struct iqt_trellis_tree {
    uint32_t dims, leaves;
    struct leaf *leaf;
    struct boxes *of_leaves; /* leaves / WIDE groups of leaves */
    struct boxes *of_groups; /* rounded up; boxes that are not there are not looked at */
};

static uint32_t groups_of(const struct iqt_trellis_tree *tree)
{
    return tree->leaves / WIDE;
}

static uint32_t tops_of(const struct iqt_trellis_tree *tree)
{
    return (groups_of(tree) + WIDE - 1) / WIDE;
}

static int next_value(const struct iqt_trellis *t, uint32_t *state)
{
    uint32_t masked;

    *state *= t->multiplier;
    masked = *state & t->mask;
    return (int)(masked & 255) + (int)(masked >> 8 & 255) + (int)(masked >> 16 & 255) +
           (int)(masked >> 24) - t->centre;
}

static void fill_points(const struct iqt_trellis *t, uint32_t seed0, uint32_t count,
                        struct point *p)
{
    for (uint32_t code = 0; code < count; code++) {
        uint32_t state = seed0 + code;

        p[code] = (struct point){ .code = code };
        for (uint32_t n = 0; n < t->group; n++) {
            const int value = next_value(t, &state);

            p[code].value[n] = (int16_t)(t->magnitude ? abs(value) : value);
        }
    }
}

/* ---- Building ---- */

static bool before(const struct point *a, const struct point *b, uint32_t dim)
{
    return a->value[dim] != b->value[dim] ? a->value[dim] < b->value[dim]
                                          : a->code < b->code;
}

static void swap(struct point *a, struct point *b)
{
    const struct point t = *a;

    *a = *b;
    *b = t;
}

/* Moves the smaller half of count points to the front: Hoare's selection. */
static void halve(struct point *p, int count, uint32_t dim)
{
    const int middle = count / 2;
    int low = 0, high = count - 1;

    while (low < high) {
        const struct point pivot = p[middle];
        int i = low, j = high;

        while (i <= j) {
            while (before(&p[i], &pivot, dim))
                i++;
            while (before(&pivot, &p[j], dim))
                j--;
            if (i <= j)
                swap(&p[i++], &p[j--]);
        }
        if (j < middle)
            low = i;
        if (middle < i)
            high = j;
    }
}

static uint32_t widest_of(const struct point *p, uint32_t count, uint32_t dims)
{
    uint32_t widest = 0;
    int most = -1;

    for (uint32_t d = 0; d < dims; d++) {
        int low = p[0].value[d], high = low;

        for (uint32_t i = 1; i < count; i++) {
            low = p[i].value[d] < low ? p[i].value[d] : low;
            high = p[i].value[d] > high ? p[i].value[d] : high;
        }
        if (high - low > most) {
            most = high - low;
            widest = d;
        }
    }
    return widest;
}

/* Halves along the widest dimension until the parts are leaves. */
static void sort_points(struct point *p, uint32_t count, uint32_t dims)
{
    if (count == WIDE)
        return;
    halve(p, (int)count, widest_of(p, count, dims));
    sort_points(p, count / 2, dims);
    sort_points(p + count / 2, count / 2, dims);
}

/* Makes box `at` of b large enough for a value of dimension d. */
static void widen(struct boxes *b, uint32_t at, uint32_t d, float value)
{
    if (value < b->low[d][at])
        b->low[d][at] = value;
    if (value > b->high[d][at])
        b->high[d][at] = value;
}

static void clear_boxes(struct boxes *b, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++)
        for (uint32_t d = 0; d < DIMS; d++)
            for (uint32_t i = 0; i < WIDE; i++) {
                b[n].low[d][i] = FLT_MAX;
                b[n].high[d][i] = -FLT_MAX;
            }
}

static void fill_leaves(struct iqt_trellis_tree *tree, const struct point *p)
{
    clear_boxes(tree->of_leaves, groups_of(tree));
    clear_boxes(tree->of_groups, tops_of(tree));
    for (uint32_t n = 0; n < tree->leaves * WIDE; n++) {
        const uint32_t leaf = n / WIDE, group = leaf / WIDE;

        tree->leaf[leaf].code[n % WIDE] = p[n].code;
        for (uint32_t d = 0; d < DIMS; d++) {
            const float value = p[n].value[d];

            tree->leaf[leaf].value[d][n % WIDE] = value;
            widen(&tree->of_leaves[group], leaf % WIDE, d, value);
            widen(&tree->of_groups[group / WIDE], group % WIDE, d, value);
        }
    }
}

enum iqt_status iqt_trellis_tree_create(const struct iqt_trellis *t, uint32_t seed0,
                                        uint32_t count, struct iqt_trellis_tree **out)
{
    struct iqt_trellis_tree *tree = calloc(1, sizeof *tree);
    struct point *p = malloc(count * sizeof *p);

    assert(count >= WIDE * WIDE && count <= WIDE * WIDE * MAX_GROUPS &&
           (count & (count - 1)) == 0 && (t->group == 4 || t->group == 8));
    if (tree == NULL || p == NULL)
        goto no_memory;
    tree->dims = t->group;
    tree->leaves = count / WIDE;
    tree->leaf = malloc(tree->leaves * sizeof *tree->leaf);
    tree->of_leaves = malloc(groups_of(tree) * sizeof *tree->of_leaves);
    tree->of_groups = malloc(tops_of(tree) * sizeof *tree->of_groups);
    if (tree->leaf == NULL || tree->of_leaves == NULL || tree->of_groups == NULL)
        goto no_memory;
    fill_points(t, seed0, count, p);
    sort_points(p, count, t->group);
    fill_leaves(tree, p);
    free(p);
    *out = tree;
    return IQT_OK;

no_memory:
    free(p);
    iqt_trellis_tree_destroy(tree);
    return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a table of %u seeds", count);
}

void iqt_trellis_tree_destroy(struct iqt_trellis_tree *tree)
{
    if (tree == NULL)
        return;
    free(tree->of_groups);
    free(tree->of_leaves);
    free(tree->leaf);
    free(tree);
}

/* ---- Searching ---- */

struct query {
    const struct iqt_trellis_tree *tree;
    float y[DIMS], w[DIMS];
    float least;
    uint32_t code, leaf, place;
};

/* Never above the distance of any point in the box, rounding included: both are summed in one order,
 * and rounding is monotone. dims is a constant where this is inlined: the loop over it is unrolled and
 * the one over boxes becomes vector code. */
static inline void box_distances(const struct query *q, const struct boxes *b,
                                 float *restrict sum, const uint32_t dims)
{
    for (uint32_t i = 0; i < WIDE; i++) {
        float all = 0;

        for (uint32_t d = 0; d < dims; d++) {
            const float below = b->low[d][i] - q->y[d], above = q->y[d] - b->high[d][i];
            const float miss = below > above ? below : above;
            const float out = miss > 0 ? miss : 0;

            all += q->w[d] * (out * out);
        }
        sum[i] = all;
    }
}

static inline void point_distances(const struct query *q, const struct leaf *leaf,
                                   float *restrict sum, const uint32_t dims)
{
    for (uint32_t i = 0; i < WIDE; i++) {
        float all = 0;

        for (uint32_t d = 0; d < dims; d++) {
            const float miss = q->y[d] - leaf->value[d][i];

            all += q->w[d] * (miss * miss);
        }
        sum[i] = all;
    }
}

static inline float least_of(const float *sum)
{
    float half[WIDE / 2];

    for (uint32_t i = 0; i < WIDE / 2; i++)
        half[i] = sum[i] < sum[i + WIDE / 2] ? sum[i] : sum[i + WIDE / 2];
    for (uint32_t n = WIDE / 4; n > 0; n /= 2)
        for (uint32_t i = 0; i < n; i++)
            half[i] = half[i] < half[i + n] ? half[i] : half[i + n];
    return half[0];
}

static inline void search_leaf(struct query *q, uint32_t number, const uint32_t dims)
{
    const struct leaf *leaf = &q->tree->leaf[number];
    float sum[WIDE];

    point_distances(q, leaf, sum, dims);
    if (least_of(sum) > q->least)
        return;
    for (uint32_t i = 0; i < WIDE; i++) {
        if (sum[i] > q->least || (sum[i] == q->least && leaf->code[i] >= q->code))
            continue;
        q->least = sum[i];
        q->code = leaf->code[i];
        q->leaf = number;
        q->place = i;
    }
}

static inline void search_group(struct query *q, uint32_t group, const uint32_t dims)
{
    float bound[WIDE];

    box_distances(q, &q->tree->of_leaves[group], bound, dims);
    for (uint32_t i = 0; i < WIDE; i++)
        if (bound[i] <= q->least)
            search_leaf(q, WIDE * group + i, dims);
}

/* The nearest box first, then those that are near, then all that can hold a nearer point. */
static inline void search(struct query *q, const uint32_t dims)
{
    static const float sweeps[] = { 0.25f, 0.5f, 1 };
    const uint32_t groups = groups_of(q->tree);
    float bound[MAX_GROUPS];
    uint32_t nearest = 0;

    for (uint32_t n = 0; n < tops_of(q->tree); n++)
        box_distances(q, &q->tree->of_groups[n], bound + WIDE * n, dims);
    for (uint32_t n = 1; n < groups; n++)
        if (bound[n] < bound[nearest])
            nearest = n;
    search_group(q, nearest, dims);
    bound[nearest] = FLT_MAX;
    for (uint32_t s = 0; s < IQT_COUNT(sweeps); s++)
        for (uint32_t n = 0; n < groups; n++)
            if (bound[n] <= q->least * sweeps[s]) {
                search_group(q, n, dims);
                bound[n] = FLT_MAX;
            }
}

uint32_t iqt_trellis_nearest(const struct iqt_trellis_tree *tree, const float *y,
                             const float *w, float *value)
{
    struct query q = { .tree = tree, .least = FLT_MAX, .code = UINT32_MAX };

    for (uint32_t d = 0; d < tree->dims; d++) {
        q.y[d] = y[d];
        q.w[d] = w[d];
    }
    if (tree->dims == 4)
        search(&q, 4);
    else
        search(&q, 8);
    for (uint32_t d = 0; d < tree->dims; d++)
        value[d] = tree->leaf[q.leaf].value[d][q.place];
    return q.code;
}
