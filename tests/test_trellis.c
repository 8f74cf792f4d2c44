/* The search for seeds: with every instruction set the one that looking at all of them finds. */
#include "tests/check.h"
#include "tests/quant_isas.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* A target: around a point, or anywhere; weights alike, or not. */
static void make_query(const struct iqt_trellis *t, const struct iqt_trellis_tree *tree,
                       uint32_t count, float *y, float *w)
{
    static const float spreads[] = { 0.3f, 1, 4, 16, 40, 90 };
    const float spread = spreads[check_rand() % IQT_COUNT(spreads)];
    const float uneven = check_rand() % 4 == 0 ? 3 : 0.7f;
    const uint32_t near = check_rand() % count, from = check_rand() % 2;

    for (uint32_t i = 0; i < t->group; i++) {
        y[i] = (float)from * iqt_trellis_value(tree, near, i) + spread * check_gauss();
        y[i] = t->magnitude ? fabsf(y[i]) : y[i];
        w[i] = expf(uneven * check_gauss());
    }
}

static float distance_of(const struct iqt_trellis *t, const struct iqt_trellis_tree *tree,
                         const float *y, const float *w, uint32_t point)
{
    float sum = 0;

    for (uint32_t i = 0; i < t->group; i++) {
        const float miss = y[i] - iqt_trellis_value(tree, point, i);

        sum += w[i] * (miss * miss);
    }
    return sum;
}

/* Any instruction set finds the same point from anywhere, where it may be that far, and none where it may not. */
static void compare_finds(const struct iqt_trellis *t,
                          const struct iqt_trellis_tree *tree, uint32_t count)
{
    const struct iqt_quant_isa *isas[3] = { 0 };
    const size_t isa_count = check_isas(isas);

    for (int n = 0; n < 1000; n++) {
        float y[8], w[8], far;
        uint32_t point, start;

        make_query(t, tree, count, y, w);
        start = check_rand() % 2 == 0 ? UINT32_MAX : check_rand() % count;
        point = isas[0]->trellis_find(tree, y, w, UINT32_MAX, FLT_MAX);
        far = distance_of(t, tree, y, w, point);
        for (size_t i = 0; i < isa_count; i++) {
            const float more = far * (1 + (float)(check_rand() % 3));

            check_true(isas[i]->trellis_find(tree, y, w, start, FLT_MAX) == point,
                       "%s finds another point", isas[i]->name);
            check_true(isas[i]->trellis_find(tree, y, w, start, more) == point,
                       "%s: not within %g, distance %g", isas[i]->name, (double)more,
                       (double)far);
            check_true(far == 0 || isas[i]->trellis_find(tree, y, w, start,
                                                         far * 0.9999f) == UINT32_MAX,
                       "%s: a point that is too far", isas[i]->name);
        }
    }
}

/* Bounds that are a little too high leave the nearest point out where the search may go no farther than that. */
static void compare_bounds(const struct iqt_trellis *t,
                           const struct iqt_trellis_tree *tree, uint32_t count)
{
    const struct iqt_quant_isa *isas[3] = { 0 };
    const size_t isa_count = check_isas(isas);
    const struct iqt_quant_isa *best = isas[isa_count - 1],
                               *other = isas[isa_count > 1 ? isa_count - 2 : 0];

    for (int n = 0; n < 40000; n++) {
        float y[8], w[8];
        uint32_t point;

        make_query(t, tree, count, y, w);
        point = other->trellis_find(tree, y, w, UINT32_MAX, FLT_MAX);
        check_true(best->trellis_find(tree, y, w, UINT32_MAX,
                                      distance_of(t, tree, y, w, point)) == point,
                   "%s does not find the point that %s finds", best->name, other->name);
    }
}

/* The tree finds what looking at every seed finds, with all instruction sets, from anywhere. */
static void test_trellis(const struct iqt_trellis *t, const char *name, uint32_t count)
{
    struct iqt_trellis_tree *tree;

    if (!check_begin("trellis.%s", name))
        return;
    if (iqt_trellis_tree_create(t, t->seed_add, count, &tree) != IQT_OK) {
        check_fail("%s", iqt_last_error());
        check_end();
        return;
    }
    compare_finds(t, tree, count);
    compare_bounds(t, tree, count);
    for (int n = 0; n < 8; n++) {
        const struct iqt_quant_isa *isas[3] = { 0 }, *isa;
        const size_t isa_count = check_isas(isas);
        float y[8], w[8];
        uint32_t point;
        double least = DBL_MAX, found = 0;

        for (uint32_t i = 0; i < t->group; i++) {
            y[i] = (n == 1 ? 400 : n == 2 ? 4 : 40) * check_gauss();
            y[i] = t->magnitude ? fabsf(y[i]) : y[i];
            w[i] = n == 0 ? 1 : expf((n == 3 ? 8 : 1) * check_gauss());
        }
        point = isas[0]->trellis_find(tree, y, w, UINT32_MAX, FLT_MAX);
        for (size_t i = 1; i < 2 * isa_count; i++) {
            isa = isas[i / 2];
            check_true(isa->trellis_find(tree, y, w,
                                         i % 2 == 0 ? UINT32_MAX : check_rand() % count,
                                         FLT_MAX) == point,
                       "%s finds another point", isa->name);
        }
        for (uint32_t i = 0; i < t->group; i++) {
            const double miss = y[i] - iqt_trellis_value(tree, point, i);

            found += w[i] * miss * miss;
        }
        for (uint32_t code = 0; code < count; code++) {
            uint32_t state = code + t->seed_add;
            double sum = 0;

            for (uint32_t i = 0; i < t->group; i++) {
                int v;

                state *= t->multiplier;
                v = (int)((state & 63) + (state >> 8 & 63) + (state >> 16 & 63) +
                          (state >> 24 & 63)) -
                    t->centre;
                v = t->magnitude ? abs(v) : v;
                sum += (double)w[i] * (y[i] - v) * (y[i] - v);
            }
            least = fmin(least, sum);
        }
        check_true(found <= least * (1 + 1e-5), "distance %g, the nearest has %g", found,
                   least);
    }
    iqt_trellis_tree_destroy(tree);
    check_end();
}

int main(int argc, char **argv)
{
    const struct iqt_format *kt1 = iqt_format_find("iq1_kt"),
                            *kt2 = iqt_format_find("iq2_kt"),
                            *kt3 = iqt_format_find("iq3_kt"),
                            *kt4 = iqt_format_find("iq4_kt");

    check_init(argc, argv);
    test_trellis(kt1->trellis, "few", iqt_seed_count(kt1));
    test_trellis(kt2->trellis, "group8", iqt_seed_count(kt2));
    test_trellis(kt3->trellis, "magnitude", iqt_seed_count(kt3));
    test_trellis(kt4->trellis, "group4", iqt_seed_count(kt4));
    return check_done();
}
