/* The nearest seed of a trellis, exactly: all groups of values a seed can make, in a balanced tree of
 * boxes; a box whose nearest corner is farther than the best seed so far is passed over. */
#include "quant/encoder.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { DIMS = 8, LEAF = 16, MAX_DEPTH = 32 };

struct point {
    int16_t value[DIMS];
    uint32_t code;
};

struct box {
    float low[DIMS], high[DIMS];
};

/* Points of a leaf, dimension after dimension. */
struct leaf {
    float value[DIMS][LEAF];
    uint32_t code[LEAF];
};

struct iqt_trellis_tree {
    uint32_t group, leaves;
    struct box
        *box; /* as a heap: children of i are 2 i and 2 i + 1; leaves are the last half */
    struct leaf *leaf;
};

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

static struct box bound(const struct point *p, uint32_t count)
{
    struct box b;

    for (uint32_t d = 0; d < DIMS; d++) {
        b.low[d] = b.high[d] = p[0].value[d];
        for (uint32_t i = 1; i < count; i++) {
            b.low[d] = fminf(b.low[d], p[i].value[d]);
            b.high[d] = fmaxf(b.high[d], p[i].value[d]);
        }
    }
    return b;
}

static void build(struct iqt_trellis_tree *tree, struct point *p, uint32_t count,
                  uint32_t node)
{
    struct box *b = &tree->box[node];
    uint32_t widest = 0;

    *b = bound(p, count);
    if (count == LEAF) {
        struct leaf *leaf = &tree->leaf[node - tree->leaves];

        for (uint32_t i = 0; i < LEAF; i++) {
            leaf->code[i] = p[i].code;
            for (uint32_t d = 0; d < DIMS; d++)
                leaf->value[d][i] = p[i].value[d];
        }
        return;
    }
    for (uint32_t d = 1; d < tree->group; d++)
        if (b->high[d] - b->low[d] > b->high[widest] - b->low[widest])
            widest = d;
    halve(p, (int)count, widest);
    build(tree, p, count / 2, 2 * node);
    build(tree, p + count / 2, count / 2, 2 * node + 1);
}

enum iqt_status iqt_trellis_tree_create(const struct iqt_trellis *t, uint32_t seed0,
                                        uint32_t count, struct iqt_trellis_tree **out)
{
    struct iqt_trellis_tree *tree = calloc(1, sizeof *tree);
    struct point *p = malloc(count * sizeof *p);

    assert(count >= LEAF && (count & (count - 1)) == 0 && t->group <= DIMS);
    if (tree == NULL || p == NULL)
        goto no_memory;
    tree->group = t->group;
    tree->leaves = count / LEAF;
    tree->box = malloc(2 * tree->leaves * sizeof *tree->box);
    tree->leaf = malloc(tree->leaves * sizeof *tree->leaf);
    if (tree->box == NULL || tree->leaf == NULL)
        goto no_memory;
    fill_points(t, seed0, count, p);
    build(tree, p, count, 1);
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
    free(tree->leaf);
    free(tree->box);
    free(tree);
}

/* ---- Searching ---- */

struct query {
    float y[DIMS], w[DIMS]; /* dimensions that are not there have weight 0 */
    float least;
    uint32_t code, leaf, place;
};

/* Below every distance in the box, rounding included: sums have one order and rounding is monotone. */
static inline float distance_to_box(const struct query *q, const struct box *b)
{
    float part[DIMS], sum = 0;

    for (uint32_t d = 0; d < DIMS; d++) {
        const float below = b->low[d] - q->y[d], above = q->y[d] - b->high[d];
        const float miss = below > above ? below : above;
        const float out = miss > 0 ? miss : 0;

        part[d] = q->w[d] * (out * out);
    }
    for (uint32_t d = 0; d < DIMS; d++)
        sum += part[d];
    return sum;
}

static inline void search_leaf(const struct iqt_trellis_tree *tree, uint32_t number,
                               struct query *q)
{
    const struct leaf *leaf = &tree->leaf[number];
    float sum[LEAF] = { 0 };

    for (uint32_t d = 0; d < tree->group; d++)
        for (uint32_t i = 0; i < LEAF; i++) {
            const float miss = q->y[d] - leaf->value[d][i];

            sum[i] += q->w[d] * (miss * miss);
        }
    for (uint32_t i = 0; i < LEAF; i++) {
        if (sum[i] > q->least || (sum[i] == q->least && leaf->code[i] >= q->code))
            continue;
        q->least = sum[i];
        q->code = leaf->code[i];
        q->leaf = number;
        q->place = i;
    }
}

IQT_CLONES static void search(const struct iqt_trellis_tree *tree, struct query *q)
{
    struct {
        uint32_t node;
        float distance;
    } stack[MAX_DEPTH];
    uint32_t depth = 0;

    stack[depth].node = 1;
    stack[depth++].distance = 0;
    while (depth > 0) {
        uint32_t node = stack[--depth].node;

        if (stack[depth].distance > q->least)
            continue;
        while (node < tree->leaves) {
            const float left = distance_to_box(q, &tree->box[2 * node]);
            const float right = distance_to_box(q, &tree->box[2 * node + 1]);
            const uint32_t near = right < left;

            stack[depth].node = 2 * node + 1 - near;
            stack[depth].distance = near != 0 ? left : right;
            depth += stack[depth].distance <= q->least;
            assert(depth < MAX_DEPTH);
            node = 2 * node + near;
            if ((near != 0 ? right : left) > q->least)
                node = 0;
            if (node == 0)
                break;
        }
        if (node >= tree->leaves)
            search_leaf(tree, node - tree->leaves, q);
    }
}

uint32_t iqt_trellis_nearest(const struct iqt_trellis_tree *tree, const float *y,
                             const float *w, float *value)
{
    struct query q = { .least = FLT_MAX, .code = UINT32_MAX };

    for (uint32_t d = 0; d < tree->group; d++) {
        q.y[d] = y[d];
        q.w[d] = w[d];
    }
    search(tree, &q);
    for (uint32_t d = 0; d < tree->group; d++)
        value[d] = tree->leaf[q.leaf].value[d][q.place];
    return q.code;
}
