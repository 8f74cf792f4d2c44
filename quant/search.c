/* Finds the scale that fits one block best when nothing else is considered. Every guess is judged by
 * what is left after its scale is fitted to its codes: the larger xv^2 / vv, the less. */
#include "quant/inner.h"
#include "quant/lanes.h"

#include <float.h>
#include <math.h>
#include <string.h>

static float gain_of(const struct iqt_sums *s)
{
    return s->vv > 0 ? s->xv * (s->xv / s->vv) : 0;
}

static float fitted(const struct iqt_sums *s)
{
    return s->vv > 0 ? s->xv / s->vv : 0;
}

/* Whether scales of this sign exist. */
static bool is_possible(const struct iqt_encoder *e, float scale)
{
    return scale > 0 || e->level[0].value < 0;
}

struct best {
    const struct iqt_encoder *e;
    const struct iqt_goal *goal;
    struct iqt_block *out;
    float gain;
    float most[IQT_GROUPS]; /* what a trial may lose up to each group of seeds */
    /* Where searches for seeds start, by table and sign: other trials differ little. */
    struct iqt_choice choice[2][2];
};

/* Whoever is far behind the best trial will not win. */
static void allow(struct best *b, const struct iqt_choice *choice)
{
    const uint32_t groups = IQT_BLOCK / b->e->format->trellis->group;
    const float more = b->e->effort.margin * choice->lost[groups - 1];

    for (uint32_t i = 0; i < groups; i++)
        b->most[i] = choice->lost[i] + more;
}

static bool try_scale(struct best *b, float scale, bool shift)
{
    struct iqt_choice *choice = &b->choice[shift][scale < 0];
    const struct iqt_sums s = iqt_pick(b->e, b->goal, scale, shift, choice);
    const float gain = gain_of(&s);

    if (!(gain > b->gain) || !is_possible(b->e, fitted(&s)))
        return false;
    b->gain = gain;
    b->out->scale = fitted(&s);
    b->out->xv = s.xv;
    b->out->vv = s.vv;
    b->out->shift = shift;
    memcpy(b->out->point, choice->point, sizeof b->out->point);
    if (b->e->picker == IQT_PICK_SEEDS)
        allow(b, choice);
    return true;
}

/* Mean squares counted by the weights and without them say as much as a search does: what is lost by a scale that is a few
 * percent off is less than that by the levels. */
static void estimate(const struct iqt_encoder *e, const struct iqt_goal *goal, float end,
                     struct iqt_block *out)
{
    lanes squares = lanes_all(0), weighted = squares, weights = squares;
    double mean, least;

    for (uint32_t n = 0; n < e->vectors; n++) {
        const lanes x = lanes_load(goal->x + n * IQT_LANES);
        const lanes w = lanes_load(goal->w + n * IQT_LANES), xx = lanes_mul(x, x);

        squares = lanes_add(squares, xx);
        weighted = lanes_add(weighted, lanes_mul(w, xx));
        weights = lanes_add(weights, w);
    }
    mean = sqrt(sqrt((double)lanes_sum(weighted) / lanes_sum(weights) *
                     lanes_sum(squares) / e->format->block));
    least = fabsf(end) / e->estimate.end;
    out->scale = mean / e->estimate.spread;
    out->scale = out->scale > least ? out->scale : least;
    out->xv = lanes_sum(weighted) / out->scale;
    out->vv = out->xv / out->scale;
}

/* How many times the root of the mean square the largest weight is. */
static float crest_of(const struct iqt_encoder *e, const struct iqt_goal *goal, float end)
{
    lanes squares = lanes_all(0);

    for (uint32_t n = 0; n < e->vectors; n++) {
        const lanes x = lanes_load(goal->x + n * IQT_LANES);

        squares = lanes_add(squares, lanes_mul(x, x));
    }
    return fabsf(end) / sqrtf(lanes_sum(squares) / (float)e->format->block);
}

/* Squares of tiny weights may be 0, and a crest no number. */
static float reach_of(const struct iqt_reach *r, float crest)
{
    const float value = r->share * crest;

    return !(value > r->least) ? r->least : value < r->most ? value : r->most;
}

/* Shapes decide where scales can be: where one weight stands out, the others may want it to be cut short, and where none
 * does, all may lie far below the largest value. */
static void try_all(struct best *b, float end)
{
    const struct iqt_encoder *e = b->e;
    const float crest = crest_of(e, b->goal, end);
    const float low = reach_of(&e->lowest, crest);
    const float wide = reach_of(&e->highest, crest) - low;

    for (uint32_t i = 0; i < e->trials; i++) {
        const float value = low + wide * fabsf(e->trial[i]);

        try_scale(b, end / copysignf(value, e->trial[i]), e->trial_shift[i]);
    }
}

void iqt_block_search(const struct iqt_encoder *e, const struct iqt_goal *goal, float end,
                      struct iqt_block *out)
{
    const bool magnitude = e->format->trellis != NULL && e->format->trellis->magnitude;
    struct best b;

    b.e = e;
    b.goal = goal;
    b.out = out;
    b.gain = 0;
    *out = (struct iqt_block){ 0 };
    for (uint32_t i = 0; i < IQT_GROUPS; i++) {
        b.most[i] = FLT_MAX;
        out->point[i] = UINT32_MAX;
    }
    for (uint32_t n = 0; n < 4; n++) {
        struct iqt_choice *choice = &b.choice[n / 2][n % 2];

        memcpy(choice->point, out->point, sizeof out->point);
        choice->most = b.most;
    }
    if (end == 0)
        return;
    if (e->estimate.spread > 0) {
        estimate(e, goal, end, out);
        return;
    }
    try_all(&b, magnitude ? fabsf(end) : end);
    for (uint32_t i = 0; i < e->mores && out->scale != 0; i++)
        try_scale(&b, copysignf(end, (float)out->scale) / e->more[i], out->shift);
    for (uint32_t i = 0; i < e->effort.refits && out->scale != 0; i++)
        if (!try_scale(&b, (float)out->scale, out->shift))
            break;
}
