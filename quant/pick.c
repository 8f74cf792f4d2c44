/* Chooses the codes of a block at a given scale, exactly: nearest value, nearest pair, nearest seed,
 * and nearest values under the even parity of words. Also lists what block scales can be. */
#include "quant/encoder.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

static const float FAR = 1e6f;

/* 1 / scale; a scale of nothing asks for the codes nearest to 0. */
static float inverse(float scale)
{
    return fabsf(scale) > FLT_MIN ? 1 / scale : 0;
}

/* ---- One value a weight ---- */

/* Between two half steps lies no midpoint of a table of integers, so the step decides. */
static uint32_t nearest_code(const struct iqt_encoder *e, float value)
{
    const float step = 2 * value + IQT_NEAREST_STEPS / 2;

    return e->nearest[step < 0                       ? 0
                      : step > IQT_NEAREST_STEPS - 1 ? IQT_NEAREST_STEPS - 1
                                                     : (int)step];
}

static void fill_nearest(struct iqt_encoder *e)
{
    const struct iqt_codebook *book = e->format->codebook;

    for (int step = 0; step < IQT_NEAREST_STEPS; step++) {
        uint8_t code = 0;

        /* A midpoint itself goes to the larger value, as in the reference. */
        while (code + 1 < book->count &&
               book->value[code] + book->value[code + 1] <= step - IQT_NEAREST_STEPS / 2)
            code++;
        e->nearest[step] = code;
    }
}

static void pick_nearest(const struct iqt_encoder *e, const struct iqt_block_goal *goal,
                         float scale, bool shift, struct iqt_block_codes *out)
{
    const float inv = inverse(scale), *value = e->value[shift];
    const float base = shift ? e->format->codebook->shift : 0;

    out->shift = shift;
    for (uint32_t i = 0; i < e->format->block; i++) {
        const uint32_t code = nearest_code(e, goal->x[i] * inv - base);

        out->code[i] = (uint16_t)code;
        out->value[i] = value[code];
    }
}

/* ---- Words of even parity ---- */

static uint32_t is_odd(uint32_t code)
{
    return (0x6996u >> code) & 1;
}

/* Changes one of the four codes to one of the other parity, at the least cost: with the other three at
 * their nearest that is the best even word. */
static void make_even(const struct iqt_encoder *e, const struct iqt_block_goal *goal,
                      float scale, const uint8_t *word, struct iqt_block_codes *out)
{
    const float *value = e->value[out->shift];
    float least = FLT_MAX;
    uint32_t weight = 0, best = 0;

    for (uint32_t n = 0; n < 4; n++) {
        const uint32_t i = word[n], old = out->code[i];
        const float x = goal->x[i], miss = x - scale * value[old];

        /* Values ascend and no three codes in a row share a parity. */
        for (uint32_t code = old < 2 ? 0 : old - 2; code <= old + 2 && code < 16;
             code++) {
            const float other = x - scale * value[code];
            const float cost = goal->w[i] * (other * other - miss * miss);

            if (is_odd(code) == is_odd(old) || cost >= least)
                continue;
            least = cost;
            weight = i;
            best = code;
        }
    }
    out->code[weight] = (uint16_t)best;
    out->value[weight] = value[best];
}

static void pick_even(const struct iqt_encoder *e, const struct iqt_block_goal *goal,
                      float scale, bool shift, struct iqt_block_codes *out)
{
    pick_nearest(e, goal, scale, shift, out);
    for (uint32_t n = 0; n < IQT_COUNT(e->word); n++) {
        const uint8_t *word = e->word[n];
        uint32_t odd = 0;

        for (uint32_t i = 0; i < 4; i++)
            odd ^= is_odd(out->code[word[i]]);
        if (odd != 0)
            make_even(e, goal, scale, word, out);
    }
}

static void find_words(struct iqt_encoder *e)
{
    uint8_t count[IQT_BLOCK / 4] = { 0 };

    for (uint32_t i = 0; i < IQT_BLOCK; i++) {
        const uint32_t word = iqt_plane_bit(&e->format->code.plane[0], i) / 16;

        assert(word < IQT_COUNT(count) && count[word] < 4);
        e->word[word][count[word]++] = (uint8_t)i;
    }
}

/* ---- Pairs ---- */

static void pick_pairs(const struct iqt_encoder *e, const struct iqt_block_goal *goal,
                       float scale, bool shift, struct iqt_block_codes *out)
{
    const float inv = inverse(scale), *value = e->value[0];

    out->shift = shift;
    for (uint32_t i = 0; i < e->format->block; i += 2) {
        const float y0 = goal->x[i] * inv, y1 = goal->x[i + 1] * inv;
        float least = FLT_MAX;
        uint32_t best = 0;

        for (uint32_t c = 0; c < e->format->codebook->count; c++) {
            const float d0 = y0 - value[2 * c], d1 = y1 - value[2 * c + 1];
            const float cost = goal->w[i] * d0 * d0 + goal->w[i + 1] * d1 * d1;

            if (cost < least) {
                least = cost;
                best = c;
            }
        }
        out->code[i] = (uint16_t)best;
        out->value[i] = value[2 * best];
        out->value[i + 1] = value[2 * best + 1];
    }
}

/* ---- Seeds ---- */

static void pick_seeds(const struct iqt_encoder *e, const struct iqt_block_goal *goal,
                       float scale, bool shift, struct iqt_block_codes *out)
{
    const struct iqt_trellis *t = e->format->trellis;
    const float inv = inverse(scale);
    float y[8];

    out->shift = shift;
    for (uint32_t i = 0; i < e->format->block; i += t->group) {
        for (uint32_t n = 0; n < t->group; n++) {
            /* Far outside of all values: a square must not overflow. */
            y[n] = fminf(fmaxf(goal->x[i + n] * inv, -FAR), FAR);
            y[n] = t->magnitude ? fabsf(y[n]) : y[n];
        }
        out->code[i] =
            (uint16_t)iqt_trellis_nearest(e->tree[shift], y, goal->w + i, out->value + i);
        for (uint32_t n = 0; t->magnitude && n < t->group; n++)
            out->value[i + n] = copysignf(out->value[i + n], goal->x[i + n] * inv);
    }
}

/* ---- Tables ---- */

/* Bits of a field's value. */
static uint32_t width_of(const struct iqt_field *f)
{
    uint32_t width = 0;

    for (uint32_t n = 0; n < IQT_MAX_PLANES; n++)
        width += f->plane[n].width;
    return width;
}

static int level_of(const struct iqt_scale *s, uint32_t raw)
{
    const int half = s->is_signed > 0 ? 1 << (s->is_signed - 1) : 0;

    if (s->table != NULL)
        return s->table[raw];
    return ((int)raw >= half && half > 0 ? (int)raw - 2 * half : (int)raw) * s->mul +
           s->add;
}

static int compare_levels(const void *left, const void *right)
{
    const struct iqt_level *a = left, *b = right;

    return a->value - b->value;
}

static void list_levels(struct iqt_encoder *e)
{
    const struct iqt_scale *s = &e->format->scale;

    for (uint32_t raw = 0; raw < 1u << width_of(&s->raw); raw++) {
        const int value = level_of(s, raw);

        assert(e->levels + 2 <= IQT_LEVELS);
        if (value < -127) /* the reference never writes it */
            continue;
        e->level[e->levels++] =
            (struct iqt_level){ (int16_t)value, (uint16_t)raw, false };
        if (!iqt_field_empty(&s->negative))
            e->level[e->levels++] =
                (struct iqt_level){ (int16_t)-value, (uint16_t)raw, true };
    }
    qsort(e->level, e->levels, sizeof e->level[0], compare_levels);
}

static void add_trial(struct iqt_encoder *e, float value, bool shift)
{
    assert(e->trials < IQT_TRIALS);
    e->trial[e->trials] = value;
    e->trial_shift[e->trials++] = shift;
}

/* Around the most negative value of each table, as the reference does: further where codes are few. */
static void list_codebook_trials(struct iqt_encoder *e)
{
    const struct iqt_codebook *book = e->format->codebook;
    const float span = book->count <= 4                    ? 0.22f
                       : book->count <= 8 || book->dim > 1 ? 0.12f
                       : book->count <= 16                 ? 0.06f
                                                           : 0.04f;
    enum { STEPS = 6 };

    for (uint32_t shift = 0; shift < e->shifts; shift++) {
        const float end = (float)(book->value[0] + (shift != 0 ? book->shift : 0));

        for (int t = -STEPS; t <= STEPS; t++) {
            const float value = end * (1 + span * (float)t / STEPS);

            add_trial(e, value, shift != 0);
            add_trial(e, -value, shift != 0);
        }
    }
}

static enum iqt_status init_codebook(struct iqt_encoder *e)
{
    const struct iqt_format *f = e->format;
    const struct iqt_codebook *book = f->codebook;

    for (uint32_t shift = 0; shift < e->shifts; shift++)
        for (uint32_t i = 0; i < (uint32_t)book->count * book->dim; i++)
            e->value[shift][i] = (float)(book->value[i] + (shift != 0 ? book->shift : 0));
    list_codebook_trials(e);
    e->refits = 2;
    e->reach = 1;
    e->pick = book->dim > 1 ? pick_pairs : f->gray ? pick_even : pick_nearest;
    if (book->dim == 1)
        fill_nearest(e);
    if (f->gray)
        find_words(e);
    return IQT_OK;
}

/* A normal block's largest weight stands at 2.1 times the spread, and values spread by 37. Where seeds are
 * many for their bits a search takes long: fewer trials. */
static void list_trellis_trials(struct iqt_encoder *e)
{
    static const float few[] = { 84, 108 }, many[] = { 72, 84, 96, 108 };
    const bool is_few = e->format->trellis->group > 4 && !e->format->trellis->magnitude;
    const float *ends = is_few ? few : many;

    for (uint32_t shift = 0; shift < e->shifts; shift++)
        for (uint32_t i = 0; i < (is_few ? IQT_COUNT(few) : IQT_COUNT(many)); i++) {
            add_trial(e, ends[i], shift != 0);
            if (!e->format->trellis->magnitude)
                add_trial(e, -ends[i], shift != 0);
        }
}

static enum iqt_status init_trellis(struct iqt_encoder *e)
{
    const struct iqt_trellis *t = e->format->trellis;
    const uint32_t count = 1u << width_of(&e->format->code);

    list_trellis_trials(e);
    e->refits = 1;
    e->reach = 1;
    e->pick = pick_seeds;
    for (uint32_t shift = 0; shift < e->shifts; shift++)
        IQT_TRY(iqt_trellis_tree_create(t, t->seed_add + (shift != 0 ? t->shift_add : 0),
                                        count, &e->tree[shift]));
    return IQT_OK;
}

enum iqt_status iqt_pick_init(struct iqt_encoder *e)
{
    e->shifts = iqt_field_empty(&e->format->shift) ? 1 : 2;
    list_levels(e);
    return e->format->decode == IQT_DECODE_TRELLIS ? init_trellis(e) : init_codebook(e);
}
