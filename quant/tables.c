/* The tables of an encoder: what block scales and values can be and which is nearest, how a block lies in
 * lanes, where searches start and how long they are. */
#include "quant/encoder.h"

#include <assert.h>
#include <stdlib.h>

enum { LANES = 16, EVEN_WORD = 4 };

/* ---- Levels: what block scales can be ---- */

/* Bits of a field's value. */
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

    for (uint32_t raw = 0; raw < 1u << iqt_field_width(&s->raw); raw++) {
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
    for (int step = 0; step < IQT_NEAREST_STEPS; step++) {
        uint32_t n = step > 0 ? e->level_number[step - 1] : 0;

        while (n + 1 < e->levels &&
               e->level[n].value + e->level[n + 1].value <= step - IQT_MIDDLE_STEP)
            n++;
        e->level_number[step] = (uint8_t)n;
        e->level_value[step] = e->level[n].value;
    }
}

/* ---- Values ---- */

static bool is_odd(uint32_t code)
{
    return (0x6996u >> code & 1) != 0;
}

/* The code nearest to the half step; a midpoint itself goes to the larger value, as in the reference.
 * parity: -1 any code, 0 or 1: only codes of it. */
static uint32_t nearest_code(const struct iqt_codebook *book, int step, int parity)
{
    uint32_t best = UINT32_MAX;

    for (uint32_t c = 0; c < book->count; c++) {
        if (parity >= 0 && is_odd(c) != (parity != 0))
            continue;
        if (best == UINT32_MAX ||
            book->value[best] + book->value[c] <= step - IQT_MIDDLE_STEP)
            best = c;
    }
    return best;
}

static void fill_nearest(struct iqt_encoder *e)
{
    const struct iqt_codebook *book = e->format->codebook;

    for (int step = 0; step < IQT_NEAREST_STEPS; step++) {
        const uint32_t code = nearest_code(book, step, -1);
        const bool odd = book->count <= 16 && is_odd(code);

        e->parity[step] = odd ? -1 : 1;
        if (book->count == IQT_FEW && code > 0 && e->edge[code - 1] == 0)
            e->edge[code - 1] = (float)step;
        for (uint32_t shift = 0; shift < e->shifts; shift++) {
            e->near[shift][step] = e->value[shift][code];
            if (e->format->gray)
                e->other[shift][step] = e->value[shift][nearest_code(book, step, !odd)];
        }
    }
    for (uint32_t shift = 0; shift < e->shifts; shift++)
        for (uint32_t c = 0; c < book->count; c++)
            e->code_of[shift][(int)e->value[shift][c] + IQT_MIDDLE_STEP] = (uint8_t)c;
}

/* ---- Lanes ---- */

static void place_words(struct iqt_encoder *e)
{
    uint8_t count[LANES] = { 0 };

    for (uint32_t i = 0; i < IQT_BLOCK; i++) {
        const uint32_t word = iqt_plane_bit(&e->format->code.plane[0], i) / 16;

        assert(word < LANES && count[word] < EVEN_WORD);
        e->lane[LANES * count[word]++ + word] = (uint8_t)i;
    }
}

static void place_lanes(struct iqt_encoder *e)
{
    const uint32_t block = e->format->block;

    assert(block == LANES || block == 2 * LANES);
    e->vectors = e->picker == IQT_PICK_EVEN ? EVEN_WORD : block / LANES;
    e->is_natural = e->picker != IQT_PICK_EVEN && e->picker != IQT_PICK_PAIRS;
    for (uint32_t i = 0; i < IQT_GOAL; i++)
        e->lane[i] = IQT_BLOCK;
    if (e->picker == IQT_PICK_EVEN)
        place_words(e);
    else
        for (uint32_t i = 0; i < block; i++)
            e->lane[e->picker == IQT_PICK_PAIRS ? i % 2 * LANES + i / 2 : i] = (uint8_t)i;
}

static void place_codes(struct iqt_encoder *e)
{
    const struct iqt_field *f = &e->format->code;

    for (uint32_t i = 0; i < e->format->superblock; i++)
        for (uint32_t n = 0; n < IQT_CODE_PLANES && f->plane[n].width != 0; n++)
            e->code_bit[i][n] = (uint16_t)iqt_plane_bit(&f->plane[n], i);
}

/* ---- Trials ---- */

static void add_trial(struct iqt_encoder *e, float value, bool shift)
{
    assert(e->trials < IQT_TRIALS);
    e->trial[e->trials] = value;
    e->trial_shift[e->trials++] = shift;
}

/* Around the most negative value of each table, as the reference does: further where codes are few. */
static void list_codebook_trials(struct iqt_encoder *e, int steps)
{
    const struct iqt_codebook *book = e->format->codebook;
    const float span = book->count <= 4                    ? 0.22f
                       : book->count <= 8 || book->dim > 1 ? 0.12f
                       : book->count <= 16                 ? 0.06f
                                                           : 0.04f;

    for (uint32_t shift = 0; shift < e->shifts; shift++) {
        const float end = (float)(book->value[0] + (shift != 0 ? book->shift : 0));

        for (int t = -steps; t <= steps; t++) {
            const float value = end * (1 + span * (float)t / (float)steps);

            add_trial(e, value, shift != 0);
            add_trial(e, -value, shift != 0);
        }
    }
}

static enum iqt_status init_codebook(struct iqt_encoder *e)
{
    const struct iqt_format *f = e->format;
    const struct iqt_codebook *book = f->codebook;
    const uint32_t dim = book->dim;

    for (uint32_t shift = 0; shift < e->shifts; shift++)
        for (uint32_t i = 0; i < book->count * dim; i++)
            e->value[shift][i] = (float)(book->value[i] + (shift != 0 ? book->shift : 0));
    e->picker = dim > 1                  ? IQT_PICK_PAIRS
                : f->gray                ? IQT_PICK_EVEN
                : book->count == IQT_FEW ? IQT_PICK_FEW
                                         : IQT_PICK_NEAREST;
    if (dim == 1)
        fill_nearest(e);
    /* Few codes: searches are cheap, and a poor shared scale costs more. */
    if (book->count <= 4 && e->effort.tries > 1)
        e->effort.rivals++;
    return IQT_OK;
}

/* A normal block's largest weight stands at 2.1 times the spread, and values spread by 37: 78. The first
 * trials decide on table and sign, the others on the size. */
struct trellis_trials {
    float first[5], more[IQT_MORE];
    uint32_t firsts, mores;
    struct iqt_reach lowest,
        highest; /* of first[], which are parts of the way; or none: values */
    struct iqt_estimate estimate; /* or this in place of trials */
    float margin, doubt;          /* see struct iqt_effort */
    uint32_t tries;               /* and there */
};
static const struct trellis_trials signs_few = { .estimate = { 39, 115 },
                                                 .margin = 0.1f,
                                                 .doubt = 0.2f };
static const struct trellis_trials signs_many = { .estimate = { 39, 115 },
                                                  .margin = 0.1f,
                                                  .doubt = 0.4f };
static const struct trellis_trials signs_fast = { .estimate = { 39, 115 },
                                                  .margin = 0.1f,
                                                  .doubt = 0.5f };
static const struct trellis_trials signs_best = { .first = { 72, 84, 96, 108 },
                                                  .firsts = 4,
                                                  .more = { 90, 102, 116 },
                                                  .mores = 3,
                                                  .margin = 1,
                                                  .tries = 3 };
static const struct trellis_trials sizes_default = { .first = { 0.5f, 0.25f, 0.75f, 0,
                                                                1 },
                                                     .firsts = 5,
                                                     .lowest = { 31, 66, 76 },
                                                     .highest = { 41, 85, 113 },
                                                     .margin = 0.3f,
                                                     .tries = 2 };
static const struct trellis_trials sizes_fast = { .first = { 90 },
                                                  .firsts = 1,
                                                  .more = { 75, 105 },
                                                  .mores = 2,
                                                  .margin = 0.2f,
                                                  .tries = 1 };
static const struct trellis_trials fours_default = { .first = { 0.5f, 0.25f, 0.75f, 0,
                                                                1 },
                                                     .firsts = 5,
                                                     .lowest = { 30, 60, 74 },
                                                     .highest = { 41, 80, 113 },
                                                     .margin = 0.15f,
                                                     .tries = 2 };
static const struct trellis_trials fours_fast = { .first = { 90 },
                                                  .firsts = 1,
                                                  .more = { 75, 105 },
                                                  .mores = 2,
                                                  .margin = 0.5f,
                                                  .tries = 1 };
static const struct trellis_trials others_best = { .first = { 72, 84, 96, 108 },
                                                   .firsts = 4,
                                                   .more = { 64, 78, 90, 102, 116 },
                                                   .mores = 5,
                                                   .margin = 1,
                                                   .tries = 3 };
/* By quality: groups of eight with few seeds and with many, magnitudes of eight, groups of four. The more bits a weight
 * has, the more there is to gain. */
static const struct trellis_trials *const trellis_trials[][4] = {
    [IQT_QUALITY_DEFAULT] = { &signs_few, &signs_many, &sizes_default, &fours_default },
    [IQT_QUALITY_FAST] = { &signs_fast, &signs_fast, &sizes_fast, &fours_fast },
    [IQT_QUALITY_BEST] = { &signs_best, &signs_best, &others_best, &others_best },
};

static void list_trellis_trials(struct iqt_encoder *e, enum iqt_quality quality)
{
    const struct iqt_trellis *t = e->format->trellis;
    const uint32_t kind = t->group == 4                          ? 3
                          : t->magnitude                         ? 2
                          : iqt_seed_count(e->format) > 1u << 13 ? 1
                                                                 : 0;
    const struct trellis_trials *list = trellis_trials[quality][kind];

    for (uint32_t i = 0; i < list->firsts; i++)
        for (uint32_t n = 0; n < (t->magnitude ? 1 : 2); n++)
            for (uint32_t shift = 0; shift < e->shifts; shift++)
                add_trial(e, n == 0 ? list->first[i] : -list->first[i], shift != 0);
    if (list->highest.most > 0) {
        e->lowest = list->lowest;
        e->highest = list->highest;
    }
    for (uint32_t i = 0; i < list->mores; i++)
        e->more[e->mores++] = list->more[i];
    e->estimate = list->estimate;
    e->effort.margin = list->margin;
    e->effort.doubt = list->doubt;
    e->effort.tries = list->tries;
}

static enum iqt_status init_trellis(struct iqt_encoder *e)
{
    e->picker = IQT_PICK_SEEDS;
    for (uint32_t shift = 0; shift < e->shifts; shift++)
        IQT_TRY(iqt_trellis_tree_create(e->format->trellis,
                                        iqt_seed_first(e->format, shift != 0),
                                        iqt_seed_count(e->format), &e->tree[shift]));
    return IQT_OK;
}

/* ---- Effort ---- */

static const struct iqt_effort codebook_efforts[] = {
    [IQT_QUALITY_DEFAULT] = { .refits = 2,
                              .tries = 3,
                              .late_tries = 3,
                              .passes = 2,
                              .guesses = 16,
                              .rivals = 1 },
    [IQT_QUALITY_FAST] = { .refits = 1,
                           .tries = 1,
                           .passes = 1,
                           .guesses = 8,
                           .rivals = 1 },
    [IQT_QUALITY_BEST] = { .refits = 3,
                           .tries = 5,
                           .late_tries = 3,
                           .passes = 3,
                           .guesses = 64,
                           .rivals = 12 },
};
static const int codebook_steps[] = {
    [IQT_QUALITY_DEFAULT] = 4, [IQT_QUALITY_FAST] = 3, [IQT_QUALITY_BEST] = 16
};
static const struct iqt_effort trellis_efforts[] = {
    [IQT_QUALITY_DEFAULT] = { .passes = 1, .guesses = 32, .rivals = 1 },
    [IQT_QUALITY_FAST] = { .passes = 1, .guesses = 16, .rivals = 1 },
    [IQT_QUALITY_BEST] = { .refits = 2,
                           .late_tries = 2,
                           .passes = 3,
                           .guesses = 64,
                           .rivals = 2 },
};

enum iqt_status iqt_tables_init(struct iqt_encoder *e, enum iqt_quality quality)
{
    const bool trellis = e->format->decode == IQT_DECODE_TRELLIS;

    e->shifts = iqt_field_empty(&e->format->shift) ? 1 : 2;
    e->effort = trellis ? trellis_efforts[quality] : codebook_efforts[quality];
    e->highest = (struct iqt_reach){ 0, 1, 1 }; /* and lowest 0: trials are values */
    list_levels(e);
    IQT_TRY(trellis ? init_trellis(e) : init_codebook(e));
    place_lanes(e);
    place_codes(e);
    if (trellis)
        list_trellis_trials(e, quality);
    else
        list_codebook_trials(e, codebook_steps[quality]);
    return IQT_OK;
}
