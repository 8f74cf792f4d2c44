/* All groups of values that the seeds of a trellis can make, sorted into boxes of boxes for the search. */
#include "quant/encoder.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { DIMS = IQT_TREE_DIMS, WIDE = IQT_TREE_WIDE, LINE = 64 };

struct point {
    int16_t value[DIMS];
    uint32_t code;
};

static uint32_t groups_of(const struct iqt_trellis_tree *tree)
{
    return tree->leaves / WIDE;
}

static uint32_t tops_of(const struct iqt_trellis_tree *tree)
{
    return groups_of(tree) / WIDE;
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

/* Box `at` of b around count points. */
static void fill_box(struct iqt_tree_boxes *b, uint32_t at, const struct point *p,
                     uint32_t count)
{
    for (uint32_t d = 0; d < DIMS; d++) {
        int low = p[0].value[d], high = low;

        for (uint32_t i = 1; i < count; i++) {
            low = p[i].value[d] < low ? p[i].value[d] : low;
            high = p[i].value[d] > high ? p[i].value[d] : high;
        }
        b->middle[d / 2][at][d % 2] = (int16_t)((low + high) * (IQT_TREE_UNIT / 2));
        b->reach[d / 2][at][d % 2] = (int16_t)((high - low) * (IQT_TREE_UNIT / 2));
    }
}

static void fill_leaves(struct iqt_trellis_tree *tree, const struct point *p)
{
    for (uint32_t n = 0; n < tree->leaves * WIDE; n++) {
        tree->code[n] = (uint16_t)p[n].code;
        tree->point[p[n].code] = (uint16_t)n;
        for (uint32_t d = 0; d < tree->dims; d++)
            tree->leaf[iqt_trellis_place(tree->dims, n, d)] = (int8_t)p[n].value[d];
    }
    for (uint32_t n = 0; n < tree->leaves; n++)
        fill_box(&tree->of_leaves[n / WIDE], n % WIDE, p + n * WIDE, WIDE);
    for (uint32_t n = 0; n < groups_of(tree); n++)
        fill_box(&tree->of_groups[n / WIDE], n % WIDE, p + n * WIDE * WIDE, WIDE * WIDE);
}

/* Box `at` of some around count points. */
static void fill_byte_box(const struct iqt_trellis_tree *tree, uint8_t *boxes,
                          uint32_t at, const struct point *p, uint32_t count)
{
    const uint32_t dims = tree->dims;
    uint8_t *box = boxes + (size_t)at / IQT_SHEET * 2 * dims * IQT_SHEET + at % IQT_SHEET;

    for (uint32_t d = 0; d < dims; d++) {
        uint8_t low = 255, high = 0;

        for (uint32_t n = 0; n < count; n++) {
            const uint8_t value = iqt_sheet_entry(dims, p[n].value[d]);

            low = value < low ? value : low;
            high = value > high ? value : high;
        }
        box[2 * d * IQT_SHEET] = low;
        box[(2 * d + 1) * IQT_SHEET] = high;
    }
}

/* Where points are as dense as in a normal distribution of their spread, the nearest one of a target at 0 is
 * expected at the radius of a ball that holds one. For all but one or two in a hundred targets it is within so many
 * times the square of that: */
static double slack_of(uint32_t dims, bool magnitude)
{
    return dims == 4 ? 2.7 : magnitude ? 2.1 : 1.7;
}

static void fill_spread(struct iqt_trellis_tree *tree, const struct point *p,
                        bool magnitude)
{
    const double pi = 3.14159265358979, dims = tree->dims,
                 count = tree->sheets * IQT_SHEET;
    const double ball = tree->dims == 8 ? pi * pi * pi * pi / 24 : pi * pi / 2;
    const double dense = magnitude ? 4 : 1; /* all on one side of each dimension */
    double square = 0;

    for (uint32_t n = 0; n < tree->sheets * IQT_SHEET; n++)
        for (uint32_t d = 0; d < tree->dims; d++)
            square += p[n].value[d] * p[n].value[d];
    square /= count * dims;
    tree->spread = (float)(slack_of(tree->dims, magnitude) * 2 * pi * square *
                           pow(count * ball, -2 / dims) / dense);
    tree->taper = (float)(1 / (dims * square));
}

static void fill_sheets(struct iqt_trellis_tree *tree, const struct point *p)
{
    enum { BOXES = IQT_SHEET * IQT_SHEET };

    for (uint32_t n = 0; n < tree->sheets * IQT_SHEET; n++)
        for (uint32_t d = 0; d < tree->dims; d++)
            tree->sheet[iqt_sheet_place(tree->dims, n, d)] =
                iqt_sheet_value(tree->dims, p[n].value[d]);
    for (uint32_t n = 0; n < tree->sheets; n++)
        fill_byte_box(tree, tree->of_sheets, n, p + (size_t)n * IQT_SHEET, IQT_SHEET);
    for (uint32_t n = 0; n < tree->sheets / IQT_SHEET; n++)
        fill_byte_box(tree, tree->of_boxes, n, p + (size_t)n * BOXES, BOXES);
}

enum iqt_status iqt_trellis_tree_create(const struct iqt_trellis *t, uint32_t seed0,
                                        uint32_t count, struct iqt_trellis_tree **out)
{
    struct iqt_trellis_tree *tree = calloc(1, sizeof *tree);
    struct point *p = malloc(count * sizeof *p);

    assert(count >= WIDE * WIDE * WIDE && count <= WIDE * WIDE * IQT_TREE_GROUPS &&
           (count & (count - 1)) == 0 && (t->group == 4 || t->group == 8));
    if (tree == NULL || p == NULL)
        goto no_memory;
    tree->dims = t->group;
    tree->leaves = count / WIDE;
    tree->leaf = aligned_alloc(LINE, (size_t)count * t->group);
    tree->sheets = count / IQT_SHEET;
    tree->sheet = aligned_alloc(LINE, (size_t)count * t->group);
    tree->of_sheets = aligned_alloc(LINE, (size_t)tree->sheets * 2 * t->group);
    tree->of_boxes = aligned_alloc(LINE, (size_t)IQT_SHEET * 2 * t->group);
    tree->code = malloc(count * sizeof *tree->code);
    tree->point = malloc(count * sizeof *tree->point);
    tree->of_leaves = aligned_alloc(LINE, groups_of(tree) * sizeof *tree->of_leaves);
    tree->of_groups = aligned_alloc(LINE, tops_of(tree) * sizeof *tree->of_groups);
    if (tree->leaf == NULL || tree->code == NULL || tree->point == NULL ||
        tree->of_leaves == NULL || tree->of_groups == NULL || tree->sheet == NULL ||
        tree->of_sheets == NULL || tree->of_boxes == NULL)
        goto no_memory;
    fill_points(t, seed0, count, p);
    sort_points(p, count, t->group);
    fill_leaves(tree, p);
    fill_sheets(tree, p);
    fill_spread(tree, p, t->magnitude);
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
    free(tree->of_boxes);
    free(tree->of_sheets);
    free(tree->sheet);
    free(tree->of_groups);
    free(tree->of_leaves);
    free(tree->point);
    free(tree->code);
    free(tree->leaf);
    free(tree);
}
