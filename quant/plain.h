/* Encoders of the types that ggml has: codes that are whole numbers, floats, fours, or one table without a
 * shift. Superblocks are encoded alone. */
#ifndef IQT_QUANT_PLAIN_H
#define IQT_QUANT_PLAIN_H

#include "quant/encoder.h"

enum { IQT_PLAIN_TRIALS = 64 };

struct iqt_fours;

struct iqt_plain_goal {
    const float *x, *w; /* of a block, or of a superblock */
};

/* The codes of one block, of fours at their first weight, and what they stand for. */
struct iqt_plain_codes {
    uint16_t code[IQT_BLOCK];
    float value[IQT_BLOCK];
};

/* Sums over a block; with them sum w (x - s v)^2 = xx - 2 s xv + s^2 vv. scale: what fits best. */
struct iqt_plain_fit {
    double scale, xx, xv, vv;
};

struct iqt_plain {
    const struct iqt_format *format;
    struct iqt_level level[IQT_LEVELS]; /* ascending */
    uint32_t levels;
    float low, high; /* linear codes: the least and the largest value */
    /* Tables: the search starts where the largest weight would have value trial[i]. */
    float trial[IQT_PLAIN_TRIALS];
    uint32_t trials;
    uint8_t nearest[IQT_NEAREST_STEPS]; /* code by half steps of value */
    struct iqt_fours *fours;
    /* The codes that are best at a scale. */
    void (*pick)(const struct iqt_plain *p, const struct iqt_plain_goal *goal,
                 float scale, struct iqt_plain_codes *out);
    /* The scale that fits a block best when nothing else is considered. */
    struct iqt_plain_fit (*search)(const struct iqt_plain *p,
                                   const struct iqt_plain_goal *goal);
};

/* ---- plain.c ---- */

/* Whether a format is encoded here. */
bool iqt_is_plain(const struct iqt_format *f);
IQT_MUST_USE enum iqt_status iqt_plain_create(const struct iqt_format *f,
                                              struct iqt_plain **out);
void iqt_plain_destroy(struct iqt_plain *p); /* NULL is allowed */
/* A row of k weights, x, w and exponent as in iqt_encode_row(); row is zero. Not for floats. */
void iqt_plain_row(const struct iqt_plain *p, size_t k, const float *x, const float *w,
                   int exponent, uint8_t *row);

/* ---- linear.c ---- */

void iqt_linear_init(struct iqt_plain *p);
void iqt_encode_floats(enum iqt_float type, size_t k, const float *x, uint8_t *out);

/* ---- fours.c ---- */

IQT_MUST_USE enum iqt_status iqt_fours_init(struct iqt_plain *p);

/* ---- affine.c ---- */

/* One superblock of a format with a minimum; goal covers all of it. */
void iqt_encode_affine(const struct iqt_plain *p, const struct iqt_plain_goal *goal,
                       int exponent, uint8_t *out);

#endif
