/* Chooses the codes of a block at a given scale, exactly: nearest value, nearest pair, nearest seed,
 * and nearest values under the even parity of words. */
#include "quant/batch.h"
#include "quant/inner.h"
#include "quant/lanes.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const float FAR = 1e6f;

/* 1 / scale; a scale of nothing asks for the codes nearest to 0. */
static float inverse(float scale)
{
    return fabsf(scale) > FLT_MIN ? 1 / scale : 0;
}

/* ---- Sums ---- */

struct sums {
    lanes xv, vv, loss;
};

static inline void sums_add(struct sums *s, lanes x, lanes w, lanes scale, lanes v)
{
    const lanes wv = lanes_mul(w, v), miss = lanes_sub(x, lanes_mul(scale, v));

    s->xv = lanes_add(s->xv, lanes_mul(wv, x));
    s->vv = lanes_add(s->vv, lanes_mul(wv, v));
    s->loss = lanes_add(s->loss, lanes_mul(w, lanes_mul(miss, miss)));
}

static inline struct sums sums_none(void)
{
    return (struct sums){ lanes_all(0), lanes_all(0), lanes_all(0) };
}

static inline struct iqt_sums sums_end(const struct sums *s)
{
    return (struct iqt_sums){ lanes_sum(s->xv), lanes_sum(s->vv), lanes_sum(s->loss) };
}

/* ---- One value a weight ---- */

/* Between two half steps lies no midpoint of a table of integers, so the step decides. */
static inline lanes step_of(lanes x, lanes twice_inverse, lanes middle)
{
    const lanes step = lanes_add(lanes_mul(x, twice_inverse), middle);

    return lanes_min(lanes_max(step, lanes_all(0)), lanes_all(IQT_NEAREST_STEPS - 1));
}

static inline lanes nearest_of_few(const struct iqt_encoder *e, bool shift, lanes step)
{
    const float *value = e->value[shift];
    lanes v = lanes_all(value[IQT_FEW - 1]);

    for (uint32_t n = IQT_FEW - 1; n-- > 0;)
        v = lanes_select(lanes_less(step, lanes_all(e->edge[n])), lanes_all(value[n]), v);
    return v;
}

static inline struct iqt_sums pick_nearest(const struct iqt_encoder *e,
                                           const struct iqt_goal *goal, float scale,
                                           bool shift, struct iqt_choice *choice,
                                           const uint32_t vectors, const bool few)
{
    const lanes twice = lanes_all(2 * inverse(scale)), s = lanes_all(scale);
    const lanes middle = lanes_all(
        (float)(IQT_MIDDLE_STEP - (shift ? 2 * e->format->codebook->shift : 0)));
    struct sums sums = sums_none();

    for (uint32_t n = 0; n < vectors; n++) {
        const lanes x = lanes_load(goal->x + n * IQT_LANES);
        const lanes step = step_of(x, twice, middle);
        const lanes v =
            few ? nearest_of_few(e, shift, step) : lanes_look_up(e->near[shift], step);

        lanes_store(choice->value + n * IQT_LANES, v);
        sums_add(&sums, x, lanes_load(goal->w + n * IQT_LANES), s, v);
    }
    return sums_end(&sums);
}

/* ---- Words of even parity: a word is a lane, its four weights are in four vectors ---- */

enum { MEMBERS = 4 };

/* Changes one of the four codes of an odd word to one of the other parity, at the least cost: with the
 * other three at their nearest that is the best even word. */
static inline void make_even(const lanes *cost, const lanes *other, lanes parity,
                             lanes *v)
{
    lanes least = lanes_min(lanes_min(cost[0], cost[1]), lanes_min(cost[2], cost[3]));
    const lanes never = lanes_all(-FLT_MAX);

    least = lanes_select(lanes_less(parity, lanes_all(0)), least, never);
    for (uint32_t n = 0; n < MEMBERS; n++) {
        const lanes_mask take = lanes_at_most(cost[n], least);

        v[n] = lanes_select(take, other[n], v[n]);
        least = lanes_select(take, never, least);
    }
}

static struct iqt_sums pick_even(const struct iqt_encoder *e, const struct iqt_goal *goal,
                                 float scale, bool shift, struct iqt_choice *choice)
{
    const lanes twice = lanes_all(2 * inverse(scale)), s = lanes_all(scale);
    const lanes middle = lanes_all(
        (float)(IQT_MIDDLE_STEP - (shift ? 2 * e->format->codebook->shift : 0)));
    lanes v[MEMBERS], other[MEMBERS], cost[MEMBERS], parity = lanes_all(1);
    struct sums sums = sums_none();

    for (uint32_t n = 0; n < MEMBERS; n++) {
        const lanes x = lanes_load(goal->x + n * IQT_LANES);
        const lanes w = lanes_load(goal->w + n * IQT_LANES);
        const lanes step = step_of(x, twice, middle);
        lanes miss, far;

        v[n] = lanes_look_up(e->near[shift], step);
        other[n] = lanes_look_up(e->other[shift], step);
        parity = lanes_mul(parity, lanes_look_up(e->parity, step));
        miss = lanes_sub(x, lanes_mul(s, v[n]));
        far = lanes_sub(x, lanes_mul(s, other[n]));
        cost[n] = lanes_mul(w, lanes_sub(lanes_mul(far, far), lanes_mul(miss, miss)));
    }
    make_even(cost, other, parity, v);
    for (uint32_t n = 0; n < MEMBERS; n++) {
        lanes_store(choice->value + n * IQT_LANES, v[n]);
        sums_add(&sums, lanes_load(goal->x + n * IQT_LANES),
                 lanes_load(goal->w + n * IQT_LANES), s, v[n]);
    }
    return sums_end(&sums);
}

/* ---- Pairs: even weights in the first vector, odd ones in the second ---- */

static struct iqt_sums pick_pairs(const struct iqt_encoder *e,
                                  const struct iqt_goal *goal, float scale, bool shift,
                                  struct iqt_choice *choice)
{
    const lanes inv = lanes_all(inverse(scale)), s = lanes_all(scale);
    const lanes x0 = lanes_load(goal->x), x1 = lanes_load(goal->x + IQT_LANES);
    const lanes w0 = lanes_load(goal->w), w1 = lanes_load(goal->w + IQT_LANES);
    const lanes y0 = lanes_mul(x0, inv), y1 = lanes_mul(x1, inv);
    const float *value = e->value[shift];
    lanes least = lanes_all(FLT_MAX), best = lanes_all(0), v0, v1;
    struct sums sums = sums_none();

    for (uint32_t c = 0; c < e->format->codebook->count; c++) {
        const lanes d0 = lanes_sub(y0, lanes_all(value[2 * c]));
        const lanes d1 = lanes_sub(y1, lanes_all(value[2 * c + 1]));
        const lanes cost =
            lanes_add(lanes_mul(w0, lanes_mul(d0, d0)), lanes_mul(w1, lanes_mul(d1, d1)));
        const lanes_mask nearer = lanes_less(cost, least);

        least = lanes_select(nearer, cost, least);
        best = lanes_select(nearer, lanes_all((float)(2 * c)), best);
    }
    v0 = lanes_look_up(value, best);
    v1 = lanes_look_up(value + 1, best);
    lanes_store(choice->code, best);
    lanes_store(choice->value, v0);
    lanes_store(choice->value + IQT_LANES, v1);
    sums_add(&sums, x0, w0, s, v0);
    sums_add(&sums, x1, w1, s, v1);
    return sums_end(&sums);
}

/* ---- Seeds ---- */

/* What the seed of a group is asked for. */
static void aim_at(const struct iqt_encoder *e, const struct iqt_goal *goal, float inv,
                   uint32_t group, float *y)
{
    const struct iqt_trellis *t = e->format->trellis;

    for (uint32_t n = 0; n < t->group; n++) {
        /* Far outside of all values: a square must not overflow. */
        const float far = goal->x[group * t->group + n] * inv;
        const float near = far > FAR ? FAR : far < -FAR ? -FAR : far;

        y[n] = t->magnitude ? fabsf(near) : near;
    }
}

/* Devices may take numbers below the normal ones for 0. Here no product is one: a value that y differs from is an
 * integer, so y differs by at least 2^-24, or is the difference itself. */
static bool suits_devices(const struct iqt_seed_query *q, uint32_t group)
{
    for (uint32_t n = 0; n < group; n++)
        if ((q->y[n] != 0 && fabsf(q->y[n]) < 0x1p-30f) || q->w[n] > 0x1p80f ||
            (q->w[n] != 0 && q->w[n] < 0x1p-66f))
            return false;
    return true;
}

static bool is_wanted(const struct iqt_goal *goal, uint32_t group)
{
    return goal->only == IQT_GROUPS || goal->only == group;
}

/* The wanted seeds of a block, from whoever answers batches; choice->point is set for those that could be asked for. */
static uint32_t ask(const struct iqt_encoder *e, const struct iqt_goal *goal, float inv,
                    bool shift, struct iqt_choice *choice)
{
    const uint32_t size = e->format->trellis->group;
    struct iqt_seed_query query[IQT_GROUPS] = { 0 };
    uint32_t asked[IQT_GROUPS], code[IQT_GROUPS], count = 0, known = 0;

    for (uint32_t g = 0; g < IQT_BLOCK / size; g++) {
        struct iqt_seed_query *q = &query[count];

        if (!is_wanted(goal, g))
            continue;
        aim_at(e, goal, inv, g, q->y);
        memcpy(q->w, goal->w + g * size, size * sizeof *q->w);
        q->table = shift;
        asked[count] = g;
        count += suits_devices(q, size);
    }
    if (count == 0 || !iqt_batch_find(goal->batch, count, query, code))
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        choice->point[asked[i]] = e->tree[shift]->point[code[i]];
        known |= 1u << asked[i];
    }
    return known;
}

/* How far the seed of a group may be before the trial ends there: a distance above that is a loss above
 * choice->most, in spite of rounding. */
static float room(const struct iqt_choice *choice, uint32_t k, float lost, float scale)
{
    const float square = scale * scale;

    if (choice->most == NULL || !(choice->most[k] < FLT_MAX) || !(square > FLT_MIN))
        return FLT_MAX;
    return (choice->most[k] - lost) / square * 1.001f;
}

/* Whether the seed of a group is near enough; choice->point is it. known: it is there already. */
static bool find_seed(const struct iqt_encoder *e, const struct iqt_goal *goal, float inv,
                      uint32_t g, bool known, bool shift, float most,
                      struct iqt_choice *choice)
{
    const uint32_t size = e->format->trellis->group;
    const struct iqt_trellis_tree *tree = e->tree[shift];
    const float *w = goal->w + g * size;
    float y[IQT_TREE_DIMS];
    uint32_t point;

    aim_at(e, goal, inv, g, y);
    if (known)
        return iqt_trellis_distance(tree, y, w, choice->point[g], size) <= most;
    point = iqt_trellis_find(tree, y, w, choice->point[g], most);
    if (point == UINT32_MAX)
        return false;
    choice->point[g] = point;
    return true;
}

static struct iqt_sums pick_seeds(const struct iqt_encoder *e,
                                  const struct iqt_goal *goal, float scale, bool shift,
                                  struct iqt_choice *choice)
{
    const struct iqt_trellis *t = e->format->trellis;
    const struct iqt_trellis_tree *tree = e->tree[shift];
    const float inv = inverse(scale);
    struct sums sums = sums_none();
    const uint32_t known = goal->batch != NULL ? ask(e, goal, inv, shift, choice) : 0;
    float lost = 0;

    for (uint32_t k = 0; k < IQT_BLOCK / t->group; k++) {
        const uint32_t g = goal->order[k], i = g * t->group;
        float *value = choice->value + i;

        if (!is_wanted(goal, g))
            continue;
        if (!find_seed(e, goal, inv, g, known >> g & 1, shift,
                       room(choice, k, lost, scale), choice))
            return (struct iqt_sums){ 0, 0, FLT_MAX };
        for (uint32_t n = 0; n < t->group; n++) {
            float miss;

            value[n] = iqt_tree_value(tree, choice->point[g], n);
            if (t->magnitude)
                value[n] = copysignf(value[n], goal->x[i + n] * inv);
            miss = goal->x[i + n] - scale * value[n];
            lost += goal->w[i + n] * (miss * miss);
        }
        choice->lost[k] = lost;
        if (choice->most != NULL && lost > choice->most[k])
            return (struct iqt_sums){ 0, 0, FLT_MAX };
    }
    if (goal->only != IQT_GROUPS) /* others have no values */
        return (struct iqt_sums){ 0 };
    for (uint32_t i = 0; i < IQT_BLOCK; i += IQT_LANES)
        sums_add(&sums, lanes_load(goal->x + i), lanes_load(goal->w + i),
                 lanes_all(scale), lanes_load(choice->value + i));
    return sums_end(&sums);
}

struct iqt_sums iqt_pick(const struct iqt_encoder *e, const struct iqt_goal *goal,
                         float scale, bool shift, struct iqt_choice *choice)
{
    switch (e->picker) {
    case IQT_PICK_EVEN:
        return pick_even(e, goal, scale, shift, choice);
    case IQT_PICK_PAIRS:
        return pick_pairs(e, goal, scale, shift, choice);
    case IQT_PICK_SEEDS:
        return pick_seeds(e, goal, scale, shift, choice);
    case IQT_PICK_FEW:
        return e->vectors == 1 ? pick_nearest(e, goal, scale, shift, choice, 1, true)
                               : pick_nearest(e, goal, scale, shift, choice, 2, true);
    case IQT_PICK_NEAREST:
        break;
    }
    return e->vectors == 1 ? pick_nearest(e, goal, scale, shift, choice, 1, false)
                           : pick_nearest(e, goal, scale, shift, choice, 2, false);
}
