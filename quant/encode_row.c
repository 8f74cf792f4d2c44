/* Encodes one row: element weights, then each group of blocks that share a float scale.
 *
 * A row is first multiplied by a power of two that brings its largest weight below 1: floats then
 * neither overflow nor vanish, whatever the row's size. */
#include "quant/plain.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16 };

/* Element weights that come from nothing but the weights tell less of what a product misses. */
#define UNSHRINK_BLINDLY 0.5

enum iqt_status iqt_row_work_create(const struct iqt_format *f, size_t k,
                                    struct iqt_row_work *out)
{
    const size_t blocks = k / f->block + 1, padded = iqt_round_up(blocks, LANES);
    struct iqt_row_work w = { .x = malloc(k * sizeof *w.x),
                              .from = malloc(k * sizeof *w.from),
                              .miss = malloc(k * sizeof *w.miss),
                              .w = malloc(k * sizeof *w.w),
                              .block = malloc(blocks * sizeof *w.block),
                              .start = malloc(blocks * sizeof *w.start),
                              .kept = malloc(blocks * sizeof *w.kept),
                              .scale = malloc(padded * sizeof *w.scale),
                              .vv = malloc(padded * sizeof *w.vv) };

    if (w.x == NULL || w.from == NULL || w.miss == NULL || w.w == NULL ||
        w.block == NULL || w.start == NULL || w.kept == NULL || w.scale == NULL ||
        w.vv == NULL) {
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
    free(work->from);
    free(work->miss);
    free(work->block);
    free(work->start);
    free(work->kept);
    free(work->scale);
    free(work->vv);
    *work = (struct iqt_row_work){ 0 };
}

float iqt_scale_stored(const struct iqt_group *g, double d)
{
    const struct iqt_format *f = g->e->format;
    /* Levels, values and gain stay below 128 * 128 * 2: no weight becomes infinite. */
    const double limit = f->super.type == IQT_F16 ? 65504 : FLT_MAX / 32768;
    const double plain = ldexp(d / f->gain, g->exponent);
    const float clamped = (float)(plain > limit    ? limit
                                  : plain < -limit ? -limit
                                                   : plain);

    return f->super.type == IQT_F16 ? iqt_f16_to_f32(iqt_f32_to_f16(clamped)) : clamped;
}

double iqt_scale_rounded(const struct iqt_group *g, double d)
{
    return ldexp((double)iqt_scale_stored(g, d) * g->e->format->gain, -g->exponent);
}

/* Groups that lose most tell first that a scale is a poor one. */
static void order_groups(struct iqt_goal *goal, uint32_t group)
{
    float square[IQT_GROUPS];

    for (uint32_t g = 0; g < IQT_BLOCK / group; g++) {
        float sum = 0;
        uint32_t at = g;

        for (uint32_t i = g * group; i < (g + 1) * group; i++)
            sum += goal->w[i] * (goal->x[i] * goal->x[i]);
        for (; at > 0 && sum > square[at - 1]; at--) {
            square[at] = square[at - 1];
            goal->order[at] = goal->order[at - 1];
        }
        square[at] = sum;
        goal->order[at] = (uint8_t)g;
    }
}

void iqt_goal_load(const struct iqt_encoder *e, const float *x, const float *w,
                   struct iqt_goal *out)
{
    const uint32_t lanes = e->vectors * LANES;

    if (e->is_natural) {
        memcpy(out->x, x, e->format->block * sizeof *x);
        memcpy(out->w, w, e->format->block * sizeof *w);
        if (e->picker == IQT_PICK_SEEDS)
            order_groups(out, e->format->trellis->group);
        return;
    }
    for (uint32_t i = 0; i < lanes; i++) {
        const uint32_t from = e->lane[i] < IQT_BLOCK ? e->lane[i] : 0;

        out->x[i] = e->lane[i] < IQT_BLOCK ? x[from] : 0;
        out->w[i] = e->lane[i] < IQT_BLOCK ? w[from] : 0;
    }
}

float iqt_goal_end(const struct iqt_encoder *e, const float *x)
{
    float most = 0;
    uint32_t at = 0;

    for (uint32_t i = 0; i < e->format->block; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    while (fabsf(x[at]) < most)
        at++;
    return x[at];
}

/* ---- Error feedback ---- */

/* The projection of what is written on the row, seen through the products: y H x / x H x. */
static double projection(const struct iqt_feedback *f, struct iqt_row_work *work)
{
    double xx = 0, xy = 0;

    iqt_feedback_mix(f, work->from, work->x); /* targets are done with */
    iqt_feedback_mix(f, work->miss, work->w);
    for (size_t j = 0; j < f->k; j++) {
        const double dx = (double)f->d[j] * work->x[j];

        xx += dx * work->x[j];
        xy += dx * ((double)work->x[j] - work->w[j]);
    }
    return xy > 0 && xy < xx ? xy / xx : 1;
}

static void grow_scale(const struct iqt_scalar *super, double by, uint8_t *bytes)
{
    uint8_t *at = bytes + super->byte;

    if (super->type == IQT_F16) {
        const double limit = 65504, grown = by * (double)iqt_f16_to_f32(iqt_read_u16(at));
        const uint16_t half = iqt_f32_to_f16((float)fmin(fmax(grown, -limit), limit));

        memcpy(at, &half, sizeof half);
    } else {
        const double limit = FLT_MAX / 32768, grown = by * (double)iqt_read_f32(at);
        const float whole = (float)fmin(fmax(grown, -limit), limit);

        memcpy(at, &whole, sizeof whole);
    }
}

/* As encode_group.c does without feedback, but all scales of the row by one factor: later columns have made up for
 * errors that earlier scales had, so that none can change alone. */
static void unshrink_row(const struct iqt_encoder *e, size_t k, double unshrink,
                         const struct iqt_feedback *feedback, struct iqt_row_work *work,
                         uint8_t *row)
{
    const struct iqt_format *f = e->format;
    const double by = unshrink > 0 ? pow(1 / projection(feedback, work), unshrink) : 1;

    if (by == 1)
        return;
    if (f->super.at == IQT_AT_ROW) {
        grow_scale(&f->super, by, row);
        return;
    }
    for (size_t s = 0; s < k / f->superblock; s++)
        grow_scale(&f->super, by, row + f->row_head + s * f->bytes);
}

/* Superblocks that are encoded elsewhere: errors of one go to those behind it. */
static void feed_plain(const struct iqt_encoder *e, size_t k, int exponent,
                       const struct iqt_feedback *feedback, struct iqt_row_work *work,
                       uint8_t *row)
{
    const struct iqt_format *f = e->format;
    const size_t step = f->superblock;
    float y[IQT_MAX_SUPERBLOCK];

    for (size_t at = 0; at < k; at += step) {
        iqt_feedback_aim(feedback, work->from, at, at + step, work->x);
        iqt_plain_row(e->plain, step, work->x + at, work->w + at, exponent,
                      row + at / step * f->bytes);
        iqt_decode_part(f, row, at, step, IQT_DECODE_COMPUTE, y);
        for (size_t i = 0; i < step; i++)
            work->miss[at + i] =
                (float)(work->from[at + i] - ldexp((double)y[i], -exponent));
        iqt_feedback_push(feedback, work->miss, at, at + step, at + step, work->x);
    }
}

/* ---- Rows ---- */

void iqt_encode_row(const struct iqt_encoder *e, size_t k, const float *x,
                    const float *importance, const struct iqt_feedback *feedback,
                    struct iqt_row_work *work, uint8_t *row)
{
    const struct iqt_format *f = e->format;
    const size_t step = f->super.at == IQT_AT_ROW ? k : f->superblock;
    const int exponent = iqt_row_exponent(x, k);
    const double unshrink = f->unshrink * (importance != NULL ? 1 : UNSHRINK_BLINDLY);

    if (f->decode == IQT_DECODE_FLOAT) {
        iqt_encode_floats(f->element, k, x, row);
        return;
    }
    iqt_row_shrink(x, k, exponent, work->x);
    /* The importance alone is what outputs of a layer lose; without one, and in ggml's types, the reference's weights. */
    if (importance != NULL && e->plain == NULL)
        iqt_row_weigh_plain(k, importance, work->w);
    else
        iqt_row_weigh(e->format, k, work->x, importance, work->w);
    if (feedback != NULL && feedback->is_none)
        feedback = NULL;
    if (feedback != NULL)
        memcpy(work->from, work->x, k * sizeof *work->x);
    memset(row, 0, f->row_head + k / f->superblock * f->bytes);
    if (e->plain != NULL && feedback != NULL) {
        feed_plain(e, k, exponent, feedback, work, row);
        return;
    }
    if (e->plain != NULL) {
        iqt_plain_row(e->plain, k, work->x, work->w, exponent, row);
        return;
    }
    for (size_t at = 0; at < k; at += step) {
        uint8_t *bytes = row + f->row_head + at / f->superblock * f->bytes;
        struct iqt_group g = { .e = e,
                               .x = work->x + at,
                               .w = work->w + at,
                               .work = work,
                               .blocks = step / f->block,
                               .exponent = exponent,
                               .unshrink = unshrink,
                               .feedback = feedback,
                               .at = at };

        e->isa->encode_group(&g, bytes,
                             (f->super.at == IQT_AT_ROW ? row : bytes) + f->super.byte);
    }
    if (feedback != NULL)
        unshrink_row(e, k, unshrink, feedback, work, row);
}
