/* Encodes the blocks that share a float scale: the best scale of each block alone, a few guesses of the
 * shared scale, and for each of them levels and codes of each block and the shared scale anew. */
#include "quant/inner.h"
#include "quant/lanes.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { MAX_SUPERBLOCK_BYTES = 256 };

static void load_goal(const struct iqt_group *g, size_t b, struct iqt_goal *out)
{
    const size_t at = b * g->e->format->block;

    iqt_goal_load(g->e, g->x + at, g->w + at, out);
    out->batch = g->work->batch;
    out->only = IQT_GROUPS;
}

/* ---- Levels and codes for a shared scale ---- */

/* In double: a row that some scale fits exactly must find that scale. */
static void sum_up(const struct iqt_encoder *e, const struct iqt_goal *goal,
                   const float *value, struct iqt_block *k)
{
    double xv[2] = { 0 }, vv[2] = { 0 };

    for (uint32_t i = 0; i < e->vectors * IQT_LANES; i += 2)
        for (uint32_t n = 0; n < 2; n++) {
            const double wv = (double)goal->w[i + n] * value[i + n];

            xv[n] += wv * goal->x[i + n];
            vv[n] += wv * value[i + n];
        }
    k->xv = xv[0] + xv[1];
    k->vv = vv[0] + vv[1];
    k->scale = k->vv > 0 ? k->xv / k->vv : 0;
}

static uint32_t level_nearest(const struct iqt_encoder *e, double value)
{
    const double step = 2 * value + IQT_MIDDLE_STEP, last = IQT_NEAREST_STEPS - 1;

    return e->level_number[step > 0 ? (int)(step < last ? step : last) : 0];
}

struct settling {
    const struct iqt_group *g;
    struct iqt_goal goal;
    struct iqt_block *block;
    float least, most[IQT_GROUPS], value[IQT_GOAL];
    struct iqt_choice choice[2]; /* by table */
};

/* What another level may lose up to each group. Whoever has an estimate tries levels that are far behind, too. */
static void allow(struct settling *s, const float *lost)
{
    const struct iqt_encoder *e = s->g->e;

    for (uint32_t i = 0; i < IQT_GROUPS; i++)
        s->most[i] = s->least * 1.0001f; /* sums in another order */
    if (e->estimate.spread > 0)
        for (uint32_t i = 0; i < e->format->block / e->format->trellis->group; i++) {
            const float most = lost[i] + e->effort.margin * s->least;

            s->most[i] = most < s->most[i] ? most : s->most[i];
        }
}

static void try_level(struct settling *s, uint32_t level, bool shift)
{
    const struct iqt_encoder *e = s->g->e;
    const float scale = (float)(s->g->d * e->level[level].value);
    const struct iqt_sums sums = iqt_pick(e, &s->goal, scale, shift, &s->choice[shift]);

    if (sums.loss >= s->least)
        return;
    s->least = sums.loss;
    allow(s, s->choice[shift].lost);
    s->block->level = level;
    s->block->shift = shift;
    s->block->picked_at = scale;
    memcpy(s->block->point, s->choice[shift].point, sizeof s->block->point);
    memcpy(s->value, s->choice[shift].value, sizeof s->value);
}

/* The nearest level, and the next one where that is little farther. */
static void try_nearest(struct settling *s, double wanted, bool shift)
{
    const struct iqt_encoder *e = s->g->e;
    const uint32_t middle = level_nearest(e, wanted);
    const double off = wanted - e->level[middle].value;
    const uint32_t next = off > 0 ? middle + 1 : middle - 1;

    try_level(s, middle, shift);
    if (next < e->levels &&
        fabs(off) >=
            e->effort.doubt * fabs((double)e->level[next].value - e->level[middle].value))
        try_level(s, next, shift);
}

/* With the sign that was best, then with the other one. */
static void try_signs(struct settling *s, double wanted, bool shift)
{
    struct iqt_choice *choice = &s->choice[shift];

    try_nearest(s, wanted, shift);
    for (uint32_t i = 0; i < IQT_GROUPS; i++)
        choice->point[i] = UINT32_MAX;
    try_nearest(s, -wanted, shift);
}

/* The best of the levels around the wanted scale, with either table; first the table that was best. */
static void settle_block(const struct iqt_group *g, size_t b, uint32_t tries)
{
    const struct iqt_encoder *e = g->e;
    struct iqt_block *k = &g->work->block[b];
    const double wanted = k->scale / g->d;
    const uint32_t middle = level_nearest(e, wanted);
    const bool up = wanted > e->level[middle].value;
    const uint32_t below = (tries - up) / 2, first = middle > below ? middle - below : 0;
    const uint32_t last = middle + (tries - 1 - below);
    const bool old = k->shift;
    struct settling s;

    s.g = g;
    s.block = k;
    s.least = FLT_MAX;
    load_goal(g, b, &s.goal);
    for (uint32_t i = 0; i < IQT_GROUPS; i++) {
        s.most[i] = FLT_MAX;
        s.choice[old].point[i] = k->point[i];
        s.choice[!old].point[i] = UINT32_MAX;
    }
    s.choice[0].most = s.choice[1].most = s.most;
    for (uint32_t n = 0; n < e->shifts && e->estimate.spread > 0; n++)
        try_signs(&s, wanted, n == 0 ? old : !old);
    for (uint32_t n = 0; n < e->shifts && !(e->estimate.spread > 0); n++)
        for (uint32_t level = first; level <= last && level < e->levels; level++)
            try_level(&s, level, n == 0 ? old : !old);
    sum_up(e, &s.goal, s.value, k);
}

/* What the codes as they are lose at the shared scale d, but for the same sum of squares. */
static double loss_at(const struct iqt_group *g, double d)
{
    double loss = 0;

    for (size_t b = 0; b < g->blocks; b++) {
        const struct iqt_block *k = &g->work->block[b];
        const double scale = d * g->e->level[k->level].value;

        loss += scale * (scale * k->vv - 2 * k->xv);
    }
    return loss;
}

/* Least squares over all blocks, kept when it helps after rounding. */
static void refit_shared(struct iqt_group *g)
{
    double xv = 0, vv = 0, d;

    for (size_t b = 0; b < g->blocks; b++) {
        const struct iqt_block *k = &g->work->block[b];
        const double level = g->e->level[k->level].value;

        xv += level * k->xv;
        vv += level * level * k->vv;
    }
    d = vv > 0 ? iqt_scale_rounded(g, xv / vv) : 0;
    if (d != 0 && loss_at(g, d) < loss_at(g, g->d))
        g->d = d;
}

/* Returns what is lost, but for the same sum of squares. */
static double settle(struct iqt_group *g)
{
    const struct iqt_effort *effort = &g->e->effort;

    for (uint32_t pass = 0; pass < effort->passes; pass++) {
        for (size_t b = 0; b < g->blocks; b++)
            settle_block(g, b, pass == 0 ? effort->tries : effort->late_tries);
        refit_shared(g);
    }
    return loss_at(g, g->d);
}

/* Takes the guess that leads to the least loss. false: nothing but zeros, or less than the format can
 * say. */
static bool choose_shared(struct iqt_group *g)
{
    struct iqt_row_work *work = g->work;
    const size_t bytes = g->blocks * sizeof *work->block;
    double d[IQT_RIVALS], least = DBL_MAX, best = 0;
    const uint32_t count = iqt_guess_shared(g, d);

    if (count == 0)
        return false;
    if (count > 1)
        memcpy(work->start, work->block, bytes);
    for (uint32_t i = 0; i < count; i++) {
        double loss;

        if (i > 0)
            memcpy(work->block, work->start, bytes);
        g->d = d[i];
        loss = settle(g);
        if (loss >= least)
            continue;
        least = loss;
        best = g->d;
        if (count > 1)
            memcpy(work->kept, work->block, bytes);
    }
    g->d = best;
    if (count > 1)
        memcpy(work->block, work->kept, bytes);
    return true;
}

/* Least error leaves the weights too small: sum w x y < sum w x x for what is written, y. Products then
 * miss a part of themselves, each layer's in the same direction, and models lose more by that than by the
 * noise. Of all ways to undo it the shared scale is the one that costs least: the codes of least error for
 * x are those for a multiple of x. */
static void unshrink(struct iqt_group *g)
{
    const size_t weights = g->blocks * g->e->format->block;
    double xx = 0, xy = 0;

    for (size_t i = 0; i < weights; i++)
        xx += (double)g->w[i] * g->x[i] * g->x[i];
    for (size_t b = 0; b < g->blocks; b++) {
        const struct iqt_block *k = &g->work->block[b];

        xy += g->d * g->e->level[k->level].value * k->xv;
    }
    if (xy > 0 && xy < xx)
        g->d = iqt_scale_rounded(g, g->d * pow(xx / xy, g->unshrink));
}

/* ---- Bytes ---- */

static void put_float(enum iqt_float type, float value, uint8_t *at)
{
    const uint16_t half = iqt_f32_to_f16(value);

    if (type == IQT_F16)
        memcpy(at, &half, sizeof half);
    else
        memcpy(at, &value, sizeof value);
}

/* Even words T to the words V that decode to them: V = T ^ T >> 1 ^ T >> 2 ^ ... */
static void put_gray(const uint8_t *from, size_t bytes, uint8_t *to)
{
    for (size_t i = 0; i < bytes; i += 2) {
        uint16_t word = iqt_read_u16(from + i);

        for (uint32_t step = 1; step < 16; step *= 2)
            word = (uint16_t)(word ^ word >> step);
        to[i] = (uint8_t)word;
        to[i + 1] = (uint8_t)(word >> 8);
    }
}

/* The bits are zero before. */
static void put_code(const struct iqt_encoder *e, uint8_t *out, uint32_t i, uint32_t code)
{
    const struct iqt_plane *plane = e->format->code.plane;

    for (uint32_t n = 0; n < IQT_CODE_PLANES && plane[n].width != 0; n++) {
        const uint32_t bit = e->code_bit[i][n];
        uint32_t value = (code >> plane[n].to & ((1u << plane[n].width) - 1)) << bit % 8;

        for (uint8_t *at = out + bit / 8; value != 0; value >>= 8)
            *at++ |= (uint8_t)value;
    }
}

/* The code of the weight in a lane. */
static uint32_t code_in(const struct iqt_encoder *e, const struct iqt_block *k,
                        const struct iqt_choice *choice, uint32_t lane)
{
    switch (e->picker) {
    case IQT_PICK_SEEDS:
        return iqt_trellis_code(e->tree[k->shift],
                                k->point[lane / e->format->trellis->group]);
    case IQT_PICK_PAIRS:
        return (uint32_t)choice->code[lane] / 2;
    case IQT_PICK_NEAREST:
    case IQT_PICK_FEW:
    case IQT_PICK_EVEN:
        break;
    }
    return e->code_of[k->shift][(int)choice->value[lane] + IQT_MIDDLE_STEP];
}

/* Lanes between two codes, and lanes that have codes. */
static void lanes_of_codes(const struct iqt_encoder *e, uint32_t *step, uint32_t *end)
{
    *step = e->picker == IQT_PICK_SEEDS ? e->format->trellis->group : 1;
    *end = e->picker == IQT_PICK_PAIRS ? IQT_BLOCK / 2 : IQT_GOAL;
}

/* i: of the block's first weight in the superblock. */
static void put_block(const struct iqt_group *g, size_t b, uint32_t i, uint8_t *codes,
                      uint8_t *out)
{
    const struct iqt_encoder *e = g->e;
    const struct iqt_format *f = e->format;
    const struct iqt_block *k = &g->work->block[b];
    const struct iqt_level *level = &e->level[k->level];
    struct iqt_choice choice;
    struct iqt_goal goal;
    uint32_t step, end;

    lanes_of_codes(e, &step, &end);
    load_goal(g, b, &goal);
    if (e->picker != IQT_PICK_SEEDS)
        iqt_pick(e, &goal, k->picked_at, k->shift, &choice);
    for (uint32_t lane = 0; lane < end; lane += step)
        if (e->lane[lane] < IQT_BLOCK)
            put_code(e, codes, i + e->lane[lane], code_in(e, k, &choice, lane));
    iqt_field_set(&f->scale.raw, out, i, level->raw);
    iqt_field_set(&f->scale.negative, out, i, level->negative);
    iqt_field_set(&f->shift, out, i, k->shift);
    if (!iqt_field_empty(&f->sign))
        for (uint32_t n = 0; n < f->block;
             n++) /* of x / scale; scales are not negative */
            iqt_field_set(&f->sign, out, i + n, signbit(goal.x[n]) != 0);
}

static void put_superblock(const struct iqt_group *g, size_t first, uint8_t *out)
{
    const struct iqt_format *f = g->e->format;
    uint8_t words[MAX_SUPERBLOCK_BYTES] = { 0 };
    uint8_t block[MAX_SUPERBLOCK_BYTES] = { 0 };

    for (uint32_t b = 0; b < f->superblock / f->block; b++)
        put_block(g, first + b, b * f->block, f->gray ? words : out,
                  f->gray ? block : out);
    if (!f->gray)
        return;
    put_gray(words, f->bytes, out);
    for (uint32_t i = 0; i < f->bytes; i++)
        out[i] |= block[i];
}

/* ---- Error feedback ---- */

/* Weights of a block that are encoded at once: a code's, or all where codes are no neighbours. */
static uint32_t unit_of(const struct iqt_encoder *e)
{
    switch (e->picker) {
    case IQT_PICK_SEEDS:
        return e->format->trellis->group;
    case IQT_PICK_PAIRS:
        return 2;
    case IQT_PICK_EVEN:
        return e->format->block;
    case IQT_PICK_NEAREST:
    case IQT_PICK_FEW:
        break;
    }
    return 1;
}

/* Targets of whole blocks, to choose their scales by, in place of what their columns are asked for so far. */
static void aim(const struct iqt_group *g, size_t begin, size_t end, float *kept)
{
    memcpy(kept, g->work->x + begin, (end - begin) * sizeof *kept);
    iqt_feedback_aim(g->feedback, g->work->from, begin, end, g->work->x);
}

static void unaim(const struct iqt_group *g, size_t begin, size_t end, const float *kept)
{
    memcpy(g->work->x + begin, kept, (end - begin) * sizeof *kept);
}

/* From a unit to what is behind it in its block. The weights of a unit stay as they are: they were picked together, and
 * put_block() picks them again. */
static void push_near(const struct iqt_group *g, size_t begin, size_t end, size_t last)
{
    const struct iqt_feedback *f = g->feedback;
    const size_t first = begin / f->window * f->window;

    for (size_t i = begin; i < end; i++)
        for (size_t j = end; j < last; j++)
            g->work->x[j] += g->work->miss[i] * f->c[i * f->window + j - first];
}

/* Encodes the codes of a block in turn: each for its weights and what earlier errors ask for. */
static void feed_block(struct iqt_group *g, size_t b)
{
    const struct iqt_encoder *e = g->e;
    const uint32_t n = e->format->block, unit = unit_of(e);
    const size_t at = g->at + b * n;
    struct iqt_block *k = &g->work->block[b];
    const double scale = g->d * e->level[k->level].value;
    struct iqt_choice choice;
    struct iqt_goal goal;

    choice.most = NULL;
    memcpy(choice.point, k->point, sizeof choice.point);
    for (uint32_t u = 0; u < n; u += unit) {
        iqt_feedback_aim(g->feedback, g->work->from, at + u, at + u + unit, g->work->x);
        load_goal(g, b, &goal);
        goal.only = u / unit; /* earlier ones stay, later ones have their turn */
        iqt_pick(e, &goal, k->picked_at, k->shift, &choice);
        for (uint32_t lane = 0; lane < e->vectors * IQT_LANES; lane++) {
            const uint32_t i = e->lane[lane];

            if (i >= u && i < u + unit)
                g->work->miss[at + i] =
                    (float)(g->work->from[at + i] - scale * choice.value[lane]);
        }
        push_near(g, at + u, at + u + unit, at + n);
    }
    memcpy(k->point, choice.point, sizeof k->point);
    iqt_feedback_push(g->feedback, g->work->miss, at, at + n, at + n, g->work->x);
}

/* The shared scale stays; levels and tables are chosen for what is asked for by then. */
static void feed(struct iqt_group *g)
{
    const uint32_t n = g->e->format->block;

    for (size_t b = 0; b < g->blocks; b++) {
        const size_t at = g->at + b * n;
        float kept[IQT_BLOCK];

        aim(g, at, at + n, kept);
        settle_block(g, b, g->e->effort.tries);
        unaim(g, at, at + n, kept);
        feed_block(g, b);
    }
}

static bool fit(struct iqt_group *g)
{
    const uint32_t block = g->e->format->block;

    for (size_t b = 0; b < g->blocks; b++) {
        struct iqt_goal goal;

        load_goal(g, b, &goal);
        iqt_block_search(g->e, &goal, iqt_goal_end(g->e, g->x + b * block),
                         &g->work->block[b]);
    }
    return choose_shared(g);
}

/* Nothing is asked of the first columns, and rows that share a scale begin there. */
static bool fit_aimed(struct iqt_group *g)
{
    const size_t end = g->at + g->blocks * g->e->format->block;
    float kept[IQT_MAX_SUPERBLOCK];
    bool found;

    if (g->feedback == NULL || g->at == 0)
        return fit(g);
    aim(g, g->at, end, kept);
    found = fit(g);
    unaim(g, g->at, end, kept);
    return found;
}

void iqt_encode_group(struct iqt_group *g, uint8_t *bytes, uint8_t *scale)
{
    const struct iqt_format *f = g->e->format;
    const size_t per = f->superblock / f->block;

    if (!fit_aimed(g)) {
        if (g->feedback != NULL) /* zeros are written */
            memcpy(g->work->miss + g->at, g->work->from + g->at,
                   g->blocks * f->block * sizeof *g->x);
        return;
    }
    if (g->feedback != NULL)
        feed(g); /* the row as a whole is unshrunk at its end */
    else
        unshrink(g);
    for (size_t b = 0; b < g->blocks; b += per)
        put_superblock(g, b, bytes + b / per * f->bytes);
    put_float(f->super.type, iqt_scale_stored(g, g->d), scale);
}
