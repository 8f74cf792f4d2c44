/* Which float scale blocks should share, judged by how well their levels then reach the scales that they
 * want. Levels are looked up for sixteen blocks at a time. */
#include "quant/inner.h"
#include "quant/lanes.h"

#include <float.h>
#include <math.h>

enum { FITS = 3 }; /* each guess, and what it leads to */

/* Each block takes the level nearest to its own scale. Returns what is lost, which is right as long as
 * the codes stay, and the scale that fits these levels best. */
static float loss_of_levels(const struct iqt_group *g, double d, double *fitted)
{
    const float *wanted = g->work->scale, *vv = g->work->vv;
    const lanes twice = lanes_all((float)(2 / d)), all = lanes_all((float)d);
    const lanes last = lanes_all(IQT_NEAREST_STEPS - 1);
    lanes loss = lanes_all(0), sl = loss, ll = loss;
    float bottom;

    for (size_t b = 0; b < g->blocks; b += IQT_LANES) {
        const lanes s = lanes_load(wanted + b), v = lanes_load(vv + b);
        const lanes step =
            lanes_add(lanes_mul(s, twice), lanes_all((float)IQT_MIDDLE_STEP));
        const lanes level = lanes_look_up(g->e->level_value,
                                          lanes_min(lanes_max(step, lanes_all(0)), last));
        const lanes miss = lanes_sub(s, lanes_mul(all, level)), vl = lanes_mul(v, level);

        loss = lanes_add(loss, lanes_mul(v, lanes_mul(miss, miss)));
        sl = lanes_add(sl, lanes_mul(vl, s));
        ll = lanes_add(ll, lanes_mul(vl, level));
    }
    bottom = lanes_sum(ll);
    *fitted = bottom > 0 ? lanes_sum(sl) / bottom : d;
    return lanes_sum(loss);
}

struct ranking {
    double d[IQT_RIVALS];
    float loss[IQT_RIVALS];
    uint32_t count, most;
};

static void rank(struct ranking *r, double d, float loss)
{
    uint32_t at = r->count;

    for (uint32_t i = 0; i < r->count; i++)
        if (r->d[i] == d)
            return;
    if (at == r->most && !(loss < r->loss[at - 1]))
        return;
    if (at < r->most)
        r->count++;
    else
        at--;
    for (; at > 0 && loss < r->loss[at - 1]; at--) {
        r->d[at] = r->d[at - 1];
        r->loss[at] = r->loss[at - 1];
    }
    r->d[at] = d;
    r->loss[at] = loss;
}

/* Copies the wanted scales for the lanes. Returns the largest. */
static double gather(const struct iqt_group *g)
{
    double most = 0;

    for (size_t b = 0; b < g->blocks; b++) {
        const struct iqt_block *k = &g->work->block[b];

        g->work->scale[b] = (float)k->scale;
        g->work->vv[b] = (float)k->vv;
        if (fabs(k->scale) > fabs(most))
            most = k->scale;
    }
    for (size_t b = g->blocks; b % IQT_LANES != 0; b++)
        g->work->scale[b] = g->work->vv[b] = 0;
    return most;
}

/* Lets the block of largest scale have the last level of either end, or up to 1.6 times as much. */
uint32_t iqt_guess_shared(const struct iqt_group *g, double *d)
{
    const struct iqt_encoder *e = g->e;
    const double ends[] = { e->level[0].value, e->level[e->levels - 1].value };
    const double most = gather(g);
    const uint32_t guesses = e->effort.guesses;
    struct ranking r = { .most = e->effort.rivals };

    for (uint32_t i = 0; i < IQT_COUNT(ends) * guesses && most != 0; i++) {
        const double end = ends[i / guesses],
                     more = 0.96 + 0.64 / guesses * (i % guesses);
        double now = end != 0 ? iqt_scale_rounded(g, most / (end * more)) : 0;

        for (uint32_t n = 0; n < FITS && now != 0; n++) {
            double fitted;
            const float loss = loss_of_levels(g, now, &fitted);

            rank(&r, now, loss);
            fitted = iqt_scale_rounded(g, fitted);
            if (fitted == now)
                break;
            now = fitted;
        }
    }
    for (uint32_t i = 0; i < r.count; i++)
        d[i] = r.d[i];
    return r.count;
}
