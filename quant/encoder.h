/* What the parts of an encoder share: everything here is derived from a format's table entry. */
#ifndef IQT_QUANT_ENCODER_H
#define IQT_QUANT_ENCODER_H

#include "kernels/format.h"

#include <iqtile/quant.h>

enum {
    IQT_BLOCK = 32,         /* weights of a block, at most */
    IQT_LEVELS = 256,       /* values of a block scale or of a codebook, at most */
    IQT_TRIALS = 128,       /* first guesses of a block's scale */
    IQT_NEAREST_STEPS = 512 /* half steps from -128 to 127.5 */
};

struct iqt_trellis_tree;

/* A value that a block scale can have, and how it is written. */
struct iqt_level {
    int16_t value;
    uint16_t raw;
    bool negative;
};

/* The codes of one block and what they stand for, scale left out. */
struct iqt_block_codes {
    uint16_t
        code[IQT_BLOCK]; /* of each weight; of pairs and groups at their first weight */
    float value[IQT_BLOCK];
    bool shift;
};

/* The weights of one block: what to approximate, and what each error counts. */
struct iqt_block_goal {
    const float *x, *w;
};

struct iqt_encoder {
    const struct iqt_format *format;
    uint32_t shifts; /* tables to choose from: 1, or 2 */

    struct iqt_level level[IQT_LEVELS]; /* ascending */
    uint32_t levels;

    /* Search starts where the largest weight would have value trial[i] (of the table shift_of[i]). */
    float trial[IQT_TRIALS];
    bool trial_shift[IQT_TRIALS];
    uint32_t trials;
    uint32_t refits; /* of the best guess: scale by least squares, then codes anew */
    uint32_t reach;  /* neighbouring levels that are tried */

    /* Scalar codebooks: nearest[] by half steps; also of single weights of pairs. */
    uint8_t nearest[IQT_NEAREST_STEPS];
    float value[2][IQT_LEVELS]; /* of a code (and of pairs, interleaved) per shift */
    /* Parity: the weights whose codes share a word. */
    uint8_t word[IQT_BLOCK / 4][4];

    struct iqt_trellis_tree *tree[2]; /* per shift */

    /* Chooses the codes that are best at this scale with this table. out->shift is set by it. */
    void (*pick)(const struct iqt_encoder *e, const struct iqt_block_goal *goal,
                 float scale, bool shift, struct iqt_block_codes *out);
};

/* ---- pick.c ---- */

/* Fills in the tables and pick. */
IQT_MUST_USE enum iqt_status iqt_pick_init(struct iqt_encoder *e);

/* ---- trellis.c: exact nearest seeds ---- */

IQT_MUST_USE enum iqt_status iqt_trellis_tree_create(const struct iqt_trellis *t,
                                                     uint32_t seed0, uint32_t count,
                                                     struct iqt_trellis_tree **out);
void iqt_trellis_tree_destroy(struct iqt_trellis_tree *tree); /* NULL is allowed */
/* The code (seed - seed0) whose values minimise the sum of w (y - value)^2, the lowest of equals;
 * value gets them. */
uint32_t iqt_trellis_nearest(const struct iqt_trellis_tree *tree, const float *y,
                             const float *w, float *value);

/* ---- search.c ---- */

/* Sums over a block at given codes; with them sum w (x - s v)^2 = xx - 2 s xv + s^2 vv. */
struct iqt_block_sums {
    double xx, xv, vv;
};
struct iqt_block_sums iqt_block_sum(const struct iqt_encoder *e,
                                    const struct iqt_block_goal *goal,
                                    const struct iqt_block_codes *codes);

/* The float scale of a block that fits best alone, and the sums there. */
struct iqt_block_fit {
    float scale;
    struct iqt_block_sums sums;
};
struct iqt_block_fit iqt_block_search(const struct iqt_encoder *e,
                                      const struct iqt_block_goal *goal);

/* Number of the level nearest to value, the lower of equals. */
uint32_t iqt_level_nearest(const struct iqt_encoder *e, double value);

/* ---- weigh.c ---- */

/* The power of two by which dividing brings the largest weight below 1; 0 for a row of zeros. */
int iqt_row_exponent(const float *x, size_t k);
/* w: what the error of each weight counts, above 0. The largest of x is below 1. */
void iqt_row_weigh(const struct iqt_format *f, size_t k, const float *x,
                   const float *importance, float *w);

/* ---- encode_row.c ---- */

/* Scratch for rows of k weights. */
struct iqt_row_work {
    float *x, *w;
    struct iqt_block *block;
};
IQT_MUST_USE enum iqt_status iqt_row_work_create(const struct iqt_format *f, size_t k,
                                                 struct iqt_row_work *out);
void iqt_row_work_free(struct iqt_row_work *work);
/* Weighted sums of squares, of what an encoded row misses and of the row itself. */
struct iqt_row_loss {
    double missed, all;
};
struct iqt_row_loss iqt_row_loss(const struct iqt_format *f, size_t k, const float *x,
                                 const float *importance, const uint8_t *row,
                                 struct iqt_row_work *work);
/* x and importance have been checked. */
void iqt_encode_row(const struct iqt_encoder *e, size_t k, const float *x,
                    const float *importance, struct iqt_row_work *work, uint8_t *row);

#endif
