/* Superblocks of formats without a minimum: the best float scale of each block, the scale they share rounded
 * as it is stored, then levels and codes of each block for that scale, and the shared scale once more. */
#include "quant/plain.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_BLOCKS = 16,
    GUESSES = 32, /* of the shared scale, on either end */
    FITS = 3,     /* each guess, and what it leads to */
    PASSES = 2,   /* over levels and codes */
    REFITS = 2,   /* of a block's best guess */
};

struct block {
    struct iqt_plain_goal goal;
    struct iqt_plain_codes codes;
    struct iqt_plain_fit fit; /* of the codes */
    uint32_t level;
};

struct group {
    const struct iqt_plain *p;
    struct block block[MAX_BLOCKS];
    uint32_t blocks;
    int exponent; /* of the row */
    double d;     /* the shared scale, as it comes back from the file */
};

/* ---- One block ---- */

static struct iqt_plain_fit fit_of(const struct iqt_plain *p,
                                   const struct iqt_plain_goal *goal,
                                   const struct iqt_plain_codes *codes)
{
    struct iqt_plain_fit s = { 0 };

    for (uint32_t i = 0; i < p->format->block; i++) {
        const double w = (double)goal->w[i], x = (double)goal->x[i],
                     v = (double)codes->value[i];

        s.xx += w * x * x;
        s.xv += w * x * v;
        s.vv += w * v * v;
    }
    s.scale = s.vv > 0 ? s.xv / s.vv : 0;
    return s;
}

/* Keeps the codes at this scale when they leave less: gain is what the fit takes away. */
static bool try_scale(const struct iqt_plain *p, const struct iqt_plain_goal *goal,
                      double scale, struct iqt_plain_fit *best)
{
    struct iqt_plain_codes codes;
    struct iqt_plain_fit fit;

    p->pick(p, goal, (float)scale, &codes);
    fit = fit_of(p, goal, &codes);
    if (fit.scale * fit.xv <= best->scale * best->xv ||
        (fit.scale < 0 && p->levels > 1 && p->level[0].value > 0))
        return false;
    *best = fit;
    return true;
}

static struct iqt_plain_fit search_table(const struct iqt_plain *p,
                                         const struct iqt_plain_goal *goal)
{
    const bool magnitude = !iqt_field_empty(&p->format->sign);
    struct iqt_plain_fit best = { 0 };
    float end = 0;

    for (uint32_t i = 0; i < p->format->block; i++)
        end = fabsf(goal->x[i]) > fabsf(end) ? goal->x[i] : end;
    end = magnitude ? fabsf(end) : end;
    for (uint32_t i = 0; i < p->trials && end != 0; i++)
        (void)try_scale(p, goal, (double)(end / p->trial[i]), &best);
    for (uint32_t i = 0; i < REFITS && best.scale != 0; i++)
        if (!try_scale(p, goal, best.scale, &best))
            break;
    return best;
}

/* ---- Levels ---- */

static uint32_t level_nearest(const struct iqt_plain *p, double value)
{
    uint32_t low = 0, high = p->levels - 1;

    /* low: the last level at or below value, or the first level. */
    while (low < high) {
        const uint32_t middle = (low + high + 1) / 2;

        if (p->level[middle].value <= value)
            low = middle;
        else
            high = middle - 1;
    }
    if (low + 1 < p->levels &&
        p->level[low + 1].value - value < value - p->level[low].value)
        low++;
    return low;
}

static int compare_levels(const void *left, const void *right)
{
    const struct iqt_level *a = left, *b = right;

    return a->value - b->value;
}

static uint32_t bits_of(const struct iqt_field *f)
{
    uint32_t bits = 0;

    for (uint32_t n = 0; n < IQT_MAX_PLANES; n++)
        bits += f->plane[n].width;
    return bits;
}

static void list_levels(struct iqt_plain *p)
{
    const struct iqt_scale *s = &p->format->scale;
    const int half = s->is_signed > 0 ? 1 << (s->is_signed - 1) : 0;

    if (iqt_field_empty(&s->raw)) { /* a block is a superblock */
        p->level[p->levels++] = (struct iqt_level){ 1, 0, false };
        return;
    }
    for (uint32_t raw = 0; raw < 1u << bits_of(&s->raw); raw++) {
        const int number = half > 0 && (int)raw >= half ? (int)raw - 2 * half : (int)raw;
        const int value = number * s->mul + s->add;

        if (value >= -127) /* the reference never writes -128 */
            p->level[p->levels++] =
                (struct iqt_level){ (int16_t)value, (uint16_t)raw, false };
    }
    qsort(p->level, p->levels, sizeof p->level[0], compare_levels);
}

/* ---- The shared scale ---- */

/* As a file holds it, in the file's units. */
static uint16_t stored(const struct group *g, double d)
{
    const double plain = ldexp(d, g->exponent);

    return iqt_f32_to_f16((float)fmax(-65504, fmin(65504, plain)));
}

static double rounded(const struct group *g, double d)
{
    return ldexp((double)iqt_f16_to_f32(stored(g, d)), -g->exponent);
}

/* Each block takes the level nearest to its own scale. Returns what is lost, which is exact as long as
 * the codes stay, and the scale that fits these levels best. */
static double loss_of_levels(const struct group *g, double d, double *fitted)
{
    double loss = 0, sl = 0, ll = 0;

    for (uint32_t b = 0; b < g->blocks; b++) {
        const struct iqt_plain_fit *k = &g->block[b].fit;
        const double level = g->p->level[level_nearest(g->p, k->scale / d)].value;
        const double miss = k->scale - d * level;

        loss += k->vv * miss * miss;
        sl += k->vv * k->scale * level;
        ll += k->vv * level * level;
    }
    *fitted = ll > 0 ? sl / ll : d;
    return loss;
}

/* Lets the block of largest scale have the last level of either end, or up to 1.6 times as much. */
static double guess_shared(const struct group *g)
{
    const double ends[] = { g->p->level[0].value, g->p->level[g->p->levels - 1].value };
    double most = 0, best = 0, least = DBL_MAX;

    for (uint32_t b = 0; b < g->blocks; b++)
        if (fabs(g->block[b].fit.scale) > fabs(most))
            most = g->block[b].fit.scale;
    if (g->p->levels == 1)
        return rounded(g, most);
    for (uint32_t i = 0; i < IQT_COUNT(ends) * GUESSES && most != 0; i++) {
        const double end = ends[i / GUESSES], more = 0.96 + 0.02 * (i % GUESSES);
        double d = end != 0 ? rounded(g, most / (end * more)) : 0;

        for (uint32_t n = 0; n < FITS && d != 0; n++) {
            double fitted;
            const double loss = loss_of_levels(g, d, &fitted);

            if (loss < least) {
                least = loss;
                best = d;
            }
            d = rounded(g, fitted);
        }
    }
    return best;
}

static double loss_of(const struct iqt_plain_fit *s, double scale)
{
    return s->xx - 2 * scale * s->xv + scale * scale * s->vv;
}

/* The best of the levels around the wanted scale. */
static void settle_block(const struct group *g, struct block *k)
{
    const struct iqt_plain *p = g->p;
    const uint32_t middle = level_nearest(p, k->fit.scale / g->d);
    double least = DBL_MAX;
    struct block best = *k;

    for (uint32_t level = middle > 0 ? middle - 1 : 0;
         level <= middle + 1 && level < p->levels; level++) {
        const double scale = g->d * p->level[level].value;

        p->pick(p, &k->goal, (float)scale, &k->codes);
        k->fit = fit_of(p, &k->goal, &k->codes);
        if (loss_of(&k->fit, scale) >= least)
            continue;
        least = loss_of(&k->fit, scale);
        k->level = level;
        best = *k;
    }
    *k = best;
}

static double loss_of_group(const struct group *g, double d)
{
    double loss = 0;

    for (uint32_t b = 0; b < g->blocks; b++)
        loss += loss_of(&g->block[b].fit, d * g->p->level[g->block[b].level].value);
    return loss;
}

/* Least squares over all blocks, kept when it helps after rounding. */
static void refit_shared(struct group *g)
{
    double xv = 0, vv = 0, d;

    for (uint32_t b = 0; b < g->blocks; b++) {
        const double level = g->p->level[g->block[b].level].value;

        xv += level * g->block[b].fit.xv;
        vv += level * level * g->block[b].fit.vv;
    }
    d = vv > 0 ? rounded(g, xv / vv) : 0;
    if (d != 0 && loss_of_group(g, d) < loss_of_group(g, g->d))
        g->d = d;
}

/* ---- Superblocks ---- */

static void put(const struct group *g, uint8_t *out)
{
    const struct iqt_format *f = g->p->format;
    const uint32_t step = f->decode == IQT_DECODE_LINEAR ? 1 : f->codebook->dim;
    const uint16_t d = stored(g, g->d);

    memcpy(out + f->super.byte, &d, sizeof d);
    for (uint32_t b = 0; b < g->blocks; b++) {
        const struct block *k = &g->block[b];
        const uint32_t first = b * f->block;

        iqt_field_set(&f->scale.raw, out, first, g->p->level[k->level].raw);
        for (uint32_t i = 0; i < f->block; i += step)
            iqt_field_set(&f->code, out, first + i, k->codes.code[i]);
        for (uint32_t i = 0; i < f->block && !iqt_field_empty(&f->sign); i++)
            iqt_field_set(&f->sign, out, first + i, signbit(k->codes.value[i]) != 0);
    }
}

static void encode_superblock(const struct iqt_plain *p, const float *x, const float *w,
                              int exponent, uint8_t *out)
{
    const struct iqt_format *f = p->format;
    struct group g = { .p = p, .blocks = f->superblock / f->block, .exponent = exponent };

    assert(g.blocks <= MAX_BLOCKS);
    for (uint32_t b = 0; b < g.blocks; b++) {
        struct block *k = &g.block[b];

        k->goal = (struct iqt_plain_goal){ x + b * f->block, w + b * f->block };
        k->fit = p->search(p, &k->goal);
    }
    g.d = guess_shared(&g);
    if (g.d == 0) /* nothing but zeros, or less than the format can say */
        return;
    for (uint32_t pass = 0; pass < PASSES; pass++) {
        for (uint32_t b = 0; b < g.blocks; b++)
            settle_block(&g, &g.block[b]);
        refit_shared(&g);
    }
    put(&g, out);
}

void iqt_plain_row(const struct iqt_plain *p, size_t k, const float *x, const float *w,
                   int exponent, uint8_t *row)
{
    const struct iqt_format *f = p->format;

    for (size_t at = 0; at < k; at += f->superblock, row += f->bytes) {
        const struct iqt_plain_goal goal = { x + at, w + at };

        if (iqt_has_min(f))
            iqt_encode_affine(p, &goal, exponent, row);
        else
            encode_superblock(p, goal.x, goal.w, exponent, row);
    }
}

/* ---- One table ---- */

static void pick_nearest(const struct iqt_plain *p, const struct iqt_plain_goal *goal,
                         float scale, struct iqt_plain_codes *out)
{
    const float inv = fabsf(scale) > FLT_MIN ? 1 / scale : 0;
    const float last = IQT_NEAREST_STEPS - 1;

    for (uint32_t i = 0; i < p->format->block; i++) {
        /* Between two half steps lies no midpoint of a table of integers. */
        const float step = 2 * goal->x[i] * inv + IQT_MIDDLE_STEP;
        const uint8_t code = p->nearest[step < 0 ? 0 : (int)(step > last ? last : step)];

        out->code[i] = code;
        out->value[i] = p->format->codebook->value[code];
    }
}

/* A midpoint itself goes to the larger value, as in the reference. */
static void init_table(struct iqt_plain *p)
{
    enum { STEPS = 12 };
    const struct iqt_codebook *book = p->format->codebook;

    for (int step = 0; step < IQT_NEAREST_STEPS; step++) {
        uint8_t code = 0;

        while (code + 1 < book->count &&
               book->value[code] + book->value[code + 1] <= step - IQT_MIDDLE_STEP)
            code++;
        p->nearest[step] = code;
    }
    for (int t = -STEPS; t <= STEPS; t++) {
        const float value = book->value[0] * (1 + 0.01f * (float)t);

        p->trial[p->trials++] = value;
        p->trial[p->trials++] = -value;
    }
    p->pick = pick_nearest;
}

/* ---- All of it ---- */

bool iqt_is_plain(const struct iqt_format *f)
{
    return f->decode == IQT_DECODE_LINEAR || f->decode == IQT_DECODE_FLOAT ||
           (f->decode == IQT_DECODE_CODEBOOK && f->codebook->dim != 2 &&
            iqt_field_empty(&f->shift));
}

enum iqt_status iqt_plain_create(const struct iqt_format *f, struct iqt_plain **out)
{
    struct iqt_plain *p = calloc(1, sizeof *p);
    enum iqt_status status = IQT_OK;

    if (p == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for an encoder");
    p->format = f;
    p->search = search_table;
    if (f->decode != IQT_DECODE_FLOAT)
        list_levels(p);
    if (f->decode == IQT_DECODE_LINEAR)
        iqt_linear_init(p);
    else if (f->decode == IQT_DECODE_CODEBOOK && f->codebook->dim == 4)
        status = iqt_fours_init(p);
    else if (f->decode == IQT_DECODE_CODEBOOK)
        init_table(p);
    if (status != IQT_OK) {
        iqt_plain_destroy(p);
        return status;
    }
    *out = p;
    return IQT_OK;
}

void iqt_plain_destroy(struct iqt_plain *p)
{
    if (p == NULL)
        return;
    free(p->fours);
    free(p);
}
