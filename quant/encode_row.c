/* Encodes one row: element weights, the best float scale of each block, the scale they share rounded as
 * it is stored, then levels and codes of each block for that scale, and the shared scale once more.
 *
 * A row is first multiplied by a power of two that brings its largest weight below 1: floats then
 * neither overflow nor vanish, whatever the row's size. */
#include "quant/encoder.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_SUPERBLOCK_BYTES = 256,
    GUESSES = 32, /* of the shared scale, on either end */
    FITS = 3,     /* each guess, and what it leads to */
    PASSES = 2,   /* over levels and codes */
};

struct iqt_block {
    struct iqt_block_codes codes;
    struct iqt_block_sums sums;
    double scale; /* wanted */
    uint32_t level;
};

enum iqt_status iqt_row_work_create(const struct iqt_format *f, size_t k,
                                    struct iqt_row_work *out)
{
    struct iqt_row_work w = { .x = malloc(k * sizeof *w.x),
                              .w = malloc(k * sizeof *w.w),
                              .block = malloc(k / f->block * sizeof *w.block) };

    if (w.x == NULL || w.w == NULL || w.block == NULL) {
        iqt_row_work_free(&w);
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory to encode rows of %zu weights", k);
    }
    *out = w;
    return IQT_OK;
}

void iqt_row_work_free(struct iqt_row_work *work)
{
    free(work->x);
    free(work->w);
    free(work->block);
    *work = (struct iqt_row_work){ 0 };
}

/* ---- Groups: the blocks that share a float scale ---- */

struct group {
    const struct iqt_encoder *e;
    const float *x, *w;
    struct iqt_block *block;
    size_t blocks;
    int exponent; /* of the row */
    double d;     /* the shared scale with the gain: what a level is multiplied by */
};

static struct iqt_block_goal goal_of(const struct group *g, size_t b)
{
    const size_t at = b * g->e->format->block;

    return (struct iqt_block_goal){ g->x + at, g->w + at };
}

/* The scale as a file holds it, in the file's units. */
static float stored(const struct group *g, double d)
{
    const struct iqt_format *f = g->e->format;
    /* Levels, values and gain stay below 128 * 128 * 2: no weight becomes infinite. */
    const double limit = f->super.type == IQT_F16 ? 65504 : FLT_MAX / 32768;
    const double plain = ldexp(d / f->gain, g->exponent);
    const float clamped = (float)fmax(-limit, fmin(limit, plain));

    return f->super.type == IQT_F16 ? iqt_f16_to_f32(iqt_f32_to_f16(clamped)) : clamped;
}

/* d as it comes back from the file. */
static double rounded(const struct group *g, double d)
{
    return ldexp((double)stored(g, d) * g->e->format->gain, -g->exponent);
}

/* Each block takes the level nearest to its own scale. Returns what is lost, which is exact as long as
 * the codes stay, and the scale that fits these levels best. */
static double loss_of_levels(const struct group *g, double d, double *fitted)
{
    double loss = 0, sl = 0, ll = 0;

    for (size_t b = 0; b < g->blocks; b++) {
        const struct iqt_block *k = &g->block[b];
        const double level = g->e->level[iqt_level_nearest(g->e, k->scale / d)].value;
        const double miss = k->scale - d * level;

        loss += k->sums.vv * miss * miss;
        sl += k->sums.vv * k->scale * level;
        ll += k->sums.vv * level * level;
    }
    *fitted = ll > 0 ? sl / ll : d;
    return loss;
}

/* Lets the block of largest scale have the last level of either end, or up to 1.6 times as much. */
static double guess_shared(const struct group *g)
{
    const double ends[] = { g->e->level[0].value, g->e->level[g->e->levels - 1].value };
    double most = 0, best = 0, least = DBL_MAX;

    for (size_t b = 0; b < g->blocks; b++)
        if (fabs(g->block[b].scale) > fabs(most))
            most = g->block[b].scale;
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

/* ---- Levels and codes for a shared scale ---- */

static double loss_of(const struct iqt_block_sums *s, double scale)
{
    return s->xx - 2 * scale * s->xv + scale * scale * s->vv;
}

/* The best of the levels around the wanted scale, with either table. */
static void settle_block(const struct group *g, size_t b)
{
    const struct iqt_encoder *e = g->e;
    const struct iqt_block_goal goal = goal_of(g, b);
    struct iqt_block *k = &g->block[b];
    const uint32_t middle = iqt_level_nearest(e, k->scale / g->d);
    const uint32_t first = middle > e->reach ? middle - e->reach : 0;
    double least = DBL_MAX;

    for (uint32_t level = first; level <= middle + e->reach && level < e->levels;
         level++) {
        const double scale = g->d * e->level[level].value;

        for (uint32_t shift = 0; shift < e->shifts; shift++) {
            struct iqt_block_codes codes;
            struct iqt_block_sums sums;

            e->pick(e, &goal, (float)scale, shift != 0, &codes);
            sums = iqt_block_sum(e, &goal, &codes);
            if (loss_of(&sums, scale) >= least)
                continue;
            least = loss_of(&sums, scale);
            k->level = level;
            k->codes = codes;
            k->sums = sums;
        }
    }
    k->scale = k->sums.vv > 0 ? k->sums.xv / k->sums.vv : 0;
}

static double loss_of_group(const struct group *g, double d)
{
    double loss = 0;

    for (size_t b = 0; b < g->blocks; b++)
        loss += loss_of(&g->block[b].sums, d * g->e->level[g->block[b].level].value);
    return loss;
}

/* Least squares over all blocks, kept when it helps after rounding. */
static void refit_shared(struct group *g)
{
    double xv = 0, vv = 0, d;

    for (size_t b = 0; b < g->blocks; b++) {
        const double level = g->e->level[g->block[b].level].value;

        xv += level * g->block[b].sums.xv;
        vv += level * level * g->block[b].sums.vv;
    }
    d = vv > 0 ? rounded(g, xv / vv) : 0;
    if (d != 0 && loss_of_group(g, d) < loss_of_group(g, g->d))
        g->d = d;
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

static uint32_t code_step(const struct iqt_format *f)
{
    return f->decode == IQT_DECODE_TRELLIS ? f->trellis->group : f->codebook->dim;
}

static void put_codes(const struct iqt_format *f, const struct iqt_block *block,
                      uint8_t *out)
{
    uint8_t words[MAX_SUPERBLOCK_BYTES] = { 0 };
    uint8_t *at = f->gray ? words : out;

    for (uint32_t i = 0; i < f->superblock; i += code_step(f))
        iqt_field_set(&f->code, at, i, block[i / f->block].codes.code[i % f->block]);
    if (f->gray)
        put_gray(words, f->bytes, out);
}

static void put_superblock(const struct iqt_encoder *e, const struct iqt_block *block,
                           uint8_t *out)
{
    const struct iqt_format *f = e->format;

    put_codes(f, block, out);
    for (uint32_t b = 0; b < f->superblock / f->block; b++) {
        const struct iqt_level *level = &e->level[block[b].level];
        const uint32_t i = b * f->block;

        iqt_field_set(&f->scale.raw, out, i, level->raw);
        iqt_field_set(&f->scale.negative, out, i, level->negative);
        iqt_field_set(&f->shift, out, i, block[b].codes.shift);
        for (uint32_t n = 0; n < f->block; n++)
            iqt_field_set(&f->sign, out, i + n, signbit(block[b].codes.value[n]) != 0);
    }
}

/* bytes: the superblocks of the group, zero; scale: where its float scale goes. */
static void encode_group(struct group *g, uint8_t *bytes, uint8_t *scale)
{
    const struct iqt_format *f = g->e->format;
    const size_t per = f->superblock / f->block;

    for (size_t b = 0; b < g->blocks; b++) {
        const struct iqt_block_goal goal = goal_of(g, b);
        const struct iqt_block_fit fit = iqt_block_search(g->e, &goal);

        g->block[b].scale = fit.scale;
        g->block[b].sums = fit.sums;
    }
    g->d = guess_shared(g);
    if (g->d == 0) /* nothing but zeros, or less than the format can say */
        return;
    for (uint32_t pass = 0; pass < PASSES; pass++) {
        for (size_t b = 0; b < g->blocks; b++)
            settle_block(g, b);
        refit_shared(g);
    }
    for (size_t b = 0; b < g->blocks; b += per)
        put_superblock(g->e, g->block + b, bytes + b / per * f->bytes);
    put_float(f->super.type, stored(g, g->d), scale);
}

void iqt_encode_row(const struct iqt_encoder *e, size_t k, const float *x,
                    const float *importance, struct iqt_row_work *work, uint8_t *row)
{
    const struct iqt_format *f = e->format;
    const size_t step = f->super.at == IQT_AT_ROW ? k : f->superblock;
    const int exponent = iqt_row_exponent(x, k);

    for (size_t i = 0; i < k; i++)
        work->x[i] = (float)ldexp(x[i], -exponent);
    iqt_row_weigh(e->format, k, work->x, importance, work->w);
    memset(row, 0, f->row_head + k / f->superblock * f->bytes);
    for (size_t at = 0; at < k; at += step) {
        uint8_t *bytes = row + f->row_head + at / f->superblock * f->bytes;
        struct group g = { .e = e,
                           .x = work->x + at,
                           .w = work->w + at,
                           .block = work->block,
                           .blocks = step / f->block,
                           .exponent = exponent };

        encode_group(&g, bytes,
                     (f->super.at == IQT_AT_ROW ? row : bytes) + f->super.byte);
    }
}
