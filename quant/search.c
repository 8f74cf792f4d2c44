/* Finds the scale that fits one block best when nothing else is considered. Every guess is judged by
 * what is left after its scale is fitted to its codes: the larger xv^2 / vv, the less. */
#include "quant/encoder.h"

#include <math.h>

struct iqt_block_sums iqt_block_sum(const struct iqt_encoder *e,
                                    const struct iqt_block_goal *goal,
                                    const struct iqt_block_codes *codes)
{
    struct iqt_block_sums s = { 0 };

    for (uint32_t i = 0; i < e->format->block; i++) {
        const double w = goal->w[i], x = goal->x[i], v = codes->value[i];

        s.xx += w * x * x;
        s.xv += w * x * v;
        s.vv += w * v * v;
    }
    return s;
}

static double gain_of(const struct iqt_block_sums *s)
{
    return s->vv > 0 ? s->xv * s->xv / s->vv : 0;
}

static float fitted(const struct iqt_block_sums *s)
{
    return s->vv > 0 ? (float)(s->xv / s->vv) : 0;
}

/* The weight of largest magnitude, with its sign; the first of equals. */
static float largest(const struct iqt_encoder *e, const struct iqt_block_goal *goal)
{
    float found = 0;

    for (uint32_t i = 0; i < e->format->block; i++)
        if (fabsf(goal->x[i]) > fabsf(found))
            found = goal->x[i];
    return found;
}

/* Whether scales of this sign exist. */
static bool is_possible(const struct iqt_encoder *e, float scale)
{
    return scale > 0 || e->level[0].value < 0;
}

struct iqt_block_fit iqt_block_search(const struct iqt_encoder *e,
                                      const struct iqt_block_goal *goal)
{
    struct iqt_block_fit best = { 0 };
    struct iqt_block_codes codes;
    const bool magnitude = e->format->trellis != NULL && e->format->trellis->magnitude;
    const float end = largest(e, goal);
    bool shift = false;

    if (end == 0)
        return best;
    for (uint32_t i = 0; i < e->trials; i++) {
        const float scale = (magnitude ? fabsf(end) : end) / e->trial[i];
        struct iqt_block_sums s;

        e->pick(e, goal, scale, e->trial_shift[i], &codes);
        s = iqt_block_sum(e, goal, &codes);
        if (gain_of(&s) > gain_of(&best.sums) && is_possible(e, fitted(&s))) {
            best = (struct iqt_block_fit){ fitted(&s), s };
            shift = e->trial_shift[i];
        }
    }
    for (uint32_t i = 0; i < e->refits && best.scale != 0; i++) {
        struct iqt_block_sums s;

        e->pick(e, goal, best.scale, shift, &codes);
        s = iqt_block_sum(e, goal, &codes);
        if (gain_of(&s) <= gain_of(&best.sums) || !is_possible(e, fitted(&s)))
            break;
        best = (struct iqt_block_fit){ fitted(&s), s };
    }
    return best;
}

uint32_t iqt_level_nearest(const struct iqt_encoder *e, double value)
{
    uint32_t low = 0, high = e->levels - 1;

    /* low: the last level at or below value, or the first level. */
    while (low < high) {
        const uint32_t middle = (low + high + 1) / 2;

        if (e->level[middle].value <= value)
            low = middle;
        else
            high = middle - 1;
    }
    if (low + 1 < e->levels &&
        e->level[low + 1].value - value < value - e->level[low].value)
        low++;
    return low;
}
