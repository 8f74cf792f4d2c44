/* Choosing under a budget: convex hulls, then a greedy walk over their edges. */
#include "quant/budget.h"

#include <stdlib.h>

/* An edge of the hull of an item: from its choice before to this one. */
struct step {
    size_t item, choice, number; /* number: along the hull of the item */
    uint64_t more;               /* bytes */
    double gain;                 /* of error, a byte */
};

struct corner {
    size_t choice;
    uint64_t bytes;
    double error;
};

static int compare_corners(const void *a, const void *b)
{
    const struct corner *x = a, *y = b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    if (x->error != y->error)
        return x->error < y->error ? -1 : 1;
    return x->choice < y->choice ? -1 : x->choice > y->choice;
}

/* Steepest first; of equals in order, and never a step before one that it stands on. */
static int compare_steps(const void *a, const void *b)
{
    const struct step *x = a, *y = b;

    if (x->gain != y->gain)
        return x->gain > y->gain ? -1 : 1;
    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static double slope(const struct corner *from, const struct corner *to)
{
    return (from->error - to->error) / (double)(to->bytes - from->bytes);
}

/* Keeps the corners of the lower hull, in order of bytes; returns their number. */
static size_t make_hull(struct corner *c, size_t count)
{
    size_t kept = 0;

    qsort(c, count, sizeof *c, compare_corners);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && c[i].error >= c[kept - 1].error)
            continue;
        while (kept > 1 &&
               slope(&c[kept - 2], &c[kept - 1]) <= slope(&c[kept - 1], &c[i]))
            kept--;
        c[kept++] = c[i];
    }
    return kept;
}

/* Adds the steps of one item; its smallest choice is chosen. */
static size_t add_steps(struct iqt_budget_item *item, size_t index, struct corner *corner,
                        struct step *step)
{
    size_t kept;

    for (size_t i = 0; i < item->count; i++)
        corner[i] = (struct corner){ i, item->choice[i].bytes, item->choice[i].error };
    kept = make_hull(corner, item->count);
    item->chosen = corner[0].choice;
    for (size_t i = 1; i < kept; i++)
        step[i - 1] = (struct step){ index, corner[i].choice, i,
                                     corner[i].bytes - corner[i - 1].bytes,
                                     slope(&corner[i - 1], &corner[i]) };
    return kept - 1;
}

/* A step that is too large blocks those that stand on it, and only those: level counts how far along its
 * hull each item is. */
static void walk(struct iqt_budget_item *item, const struct step *step, size_t steps,
                 size_t *level, uint64_t left)
{
    for (size_t i = 0; i < steps; i++) {
        const struct step *s = &step[i];

        if (level[s->item] + 1 != s->number || s->more > left)
            continue;
        left -= s->more;
        level[s->item]++;
        item[s->item].chosen = s->choice;
    }
}

/* What is left may do for a choice off the hull. */
static uint64_t spend_rest(struct iqt_budget_item *item, size_t count, uint64_t left)
{
    for (size_t i = 0; i < count; i++) {
        const struct iqt_budget_choice *now = &item[i].choice[item[i].chosen];
        size_t best = item[i].chosen;

        for (size_t c = 0; c < item[i].count; c++)
            if (item[i].choice[c].bytes <= now->bytes + left &&
                item[i].choice[c].error < item[i].choice[best].error)
                best = c;
        left = left + now->bytes - item[i].choice[best].bytes;
        item[i].chosen = best;
    }
    return left;
}

static uint64_t bytes_of(const struct iqt_budget_item *item, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += item[i].choice[item[i].chosen].bytes;
    return sum;
}

enum iqt_status iqt_budget_choose(struct iqt_budget_item *item, size_t count,
                                  uint64_t budget)
{
    size_t all = 0, most = 1, steps = 0;
    struct corner *corner;
    struct step *step;
    size_t *level;
    enum iqt_status status = IQT_OK;

    for (size_t i = 0; i < count; i++) {
        all += item[i].count;
        most = item[i].count > most ? item[i].count : most;
    }
    corner = malloc(most * sizeof *corner);
    step = malloc((all + 1) * sizeof *step);
    level = calloc(count + 1, sizeof *level);
    if (corner == NULL || step == NULL || level == NULL) {
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory to choose among %zu sizes", all);
        goto release;
    }
    for (size_t i = 0; i < count; i++)
        steps += add_steps(&item[i], i, corner, step + steps);
    if (bytes_of(item, count) > budget) {
        status = iqt_fail(
            IQT_ERR_ARG, "the smallest choices take %llu bytes, %llu are allowed",
            (unsigned long long)bytes_of(item, count), (unsigned long long)budget);
        goto release;
    }
    qsort(step, steps, sizeof *step, compare_steps);
    walk(item, step, steps, level, budget - bytes_of(item, count));
    spend_rest(item, count, budget - bytes_of(item, count));

release:
    free(level);
    free(step);
    free(corner);
    return status;
}
