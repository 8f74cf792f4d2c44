/* What the parts of an encoder share: everything here is derived from a format's table entry. */
#ifndef IQT_QUANT_ENCODER_H
#define IQT_QUANT_ENCODER_H

#include "kernels/format.h"
#include "quant/feedback.h"

#include <iqtile/quant.h>

enum {
    IQT_BLOCK = 32,          /* weights of a block, at most */
    IQT_GOAL = 64,           /* lanes of a block, at most */
    IQT_GROUPS = 8,          /* seeds of a block, at most */
    IQT_LEVELS = 256,        /* values of a block scale or of a codebook, at most */
    IQT_TRIALS = 256,        /* first guesses of a block's scale */
    IQT_MORE = 8,            /* later guesses of it */
    IQT_RIVALS = 16,         /* shared scales that are tried to the end */
    IQT_NEAREST_STEPS = 512, /* half steps from -128 to 127.5 */
    IQT_MIDDLE_STEP = IQT_NEAREST_STEPS / 2,
    IQT_CODE_PLANES = 4,      /* that a code may have */
    IQT_FEW = 4,              /* values for which comparisons are faster than a table */
    IQT_MAX_SUPERBLOCK = 256, /* weights */
};

struct iqt_trellis_tree;
struct iqt_plain;
struct iqt_batch;

/* A value that a block scale can have, and how it is written. */
struct iqt_level {
    int16_t value;
    uint16_t raw;
    bool negative;
};

/* How the codes of a block are found. */
enum iqt_picker {
    IQT_PICK_NEAREST,
    IQT_PICK_FEW,  /* the same of four values: comparisons, where others look up */
    IQT_PICK_EVEN, /* words of four codes have even parity */
    IQT_PICK_PAIRS,
    IQT_PICK_SEEDS,
};

/* How long to search. */
struct iqt_effort {
    uint32_t refits; /* of the best guess: scale by least squares, then codes anew */
    uint32_t
        tries; /* levels next to the wanted scale that are tried, in the first pass */
    uint32_t late_tries; /* in later passes */
    uint32_t passes;     /* over levels and codes */
    uint32_t guesses;    /* of the shared scale, on either end */
    uint32_t rivals;     /* the best guesses of it, tried to the end */
    /* A trial of seeds ends where the groups so far lost more than those of the best trial, by this share of what
     * all of that one lost. */
    float margin;
    /* Where scales are estimated: the level next to the nearest is tried, too, where the wanted one is so much of the way to
     * it. */
    float doubt;
};

/* A block's scale from its shape: what stands for the root of its mean square, and for its largest weight at most. */
struct iqt_estimate {
    float spread, end; /* spread 0: scales are searched */
};

/* A value that follows how far the largest weight of a block stands out: its share of that, between two bounds. */
struct iqt_reach {
    float share, least, most;
};

struct iqt_encoder;
struct iqt_group;

/* What one instruction set has. */
struct iqt_quant_isa {
    const char *name;
    void (*encode_group)(struct iqt_group *g, uint8_t *bytes, uint8_t *scale);
    uint32_t (*trellis_find)(const struct iqt_trellis_tree *tree, const float *y,
                             const float *w, uint32_t start, float most);
};
extern const struct iqt_quant_isa
    iqt_quant_isas[]; /* weakest first; ends with name NULL */

struct iqt_encoder {
    const struct iqt_format *format;
    const struct iqt_quant_isa *isa;
    struct iqt_plain *plain; /* then nothing of the rest but format; plain.h */
    enum iqt_picker picker;
    uint32_t shifts; /* tables to choose from: 1, or 2 */
    struct iqt_effort effort;

    struct iqt_level level[IQT_LEVELS]; /* ascending */
    uint32_t levels;
    /* By half steps: the level that is nearest, its value and its number. */
    float level_value[IQT_NEAREST_STEPS];
    uint8_t level_number[IQT_NEAREST_STEPS];

    /* Search starts where the largest weight would have a value of the table trial_shift[i]: trial[i] of the way from the
     * lowest to the highest that suit the block, and the sign of trial[i]. */
    struct iqt_estimate estimate;
    struct iqt_reach lowest, highest;
    float trial[IQT_TRIALS];
    bool trial_shift[IQT_TRIALS];
    uint32_t trials;
    /* More of them, with the sign and the table of the best one. */
    float more[IQT_MORE];
    uint32_t mores;

    uint32_t vectors;       /* of lanes in a block */
    uint8_t lane[IQT_GOAL]; /* the weight there, or IQT_BLOCK: none */
    bool is_natural;        /* weights lie in lanes as in the row */

    /* By half steps of the base table, as values of either table: nearest, and nearest of those
     * codes whose parity is another. parity: -1 where that of the nearest is odd. */
    float near[2][IQT_NEAREST_STEPS], other[2][IQT_NEAREST_STEPS];
    float parity[IQT_NEAREST_STEPS];
    float edge[IQT_FEW -
               1]; /* of few: the half steps from which on the next value is nearest */
    float value[2][IQT_LEVELS]; /* of a code (and of pairs, interleaved) per shift */
    uint8_t code_of[2][IQT_NEAREST_STEPS]; /* by value + IQT_MIDDLE_STEP */

    struct iqt_trellis_tree *tree[2]; /* per shift */
    iqt_find_seeds_fn find;           /* who finds seeds; NULL: trellis_find() */
    void *find_user;

    uint16_t code_bit[256][IQT_CODE_PLANES]; /* of weights in a superblock: addresses */
};

/* ---- tables.c ---- */

/* Fills in everything but format and isa. */
IQT_MUST_USE enum iqt_status iqt_tables_init(struct iqt_encoder *e,
                                             enum iqt_quality quality);

/* ---- trellis.c: all values of a trellis, in boxes of boxes ---- */

enum {
    IQT_TREE_DIMS = 8,
    IQT_TREE_WIDE = 16,
    IQT_TREE_GROUPS = 256,
    IQT_TREE_UNIT = 256, /* of a value, in boxes */
};

/* Sixteen points in rows of 64 bytes, four dimensions each: of four points two dimensions, then the other
 * two. */
enum { IQT_TREE_ROW = 4 * IQT_TREE_WIDE };
/* Two dimensions after two dimensions: the middle, and how far a box goes on either side. */
struct iqt_tree_boxes {
    int16_t middle[IQT_TREE_DIMS / 2][IQT_TREE_WIDE][2];
    int16_t reach[IQT_TREE_DIMS / 2][IQT_TREE_WIDE][2];
};

struct iqt_trellis_tree {
    uint32_t dims, leaves;
    int8_t *leaf;    /* rows of each, dims / 4; they and boxes start at cache lines */
    uint16_t *code;  /* of points */
    uint16_t *point; /* of codes */
    struct iqt_tree_boxes *of_leaves; /* leaves / IQT_TREE_WIDE groups of leaves */
    struct iqt_tree_boxes *of_groups;
    /* The same points as bytes for the search by tables, trellis_scan.c. Of sixty-four points (a sheet) one dimension
     * after the other; of the boxes of sixty-four sheets their lows and highs, dimension by dimension. */
    uint32_t sheets;
    uint8_t *sheet, *of_sheets;
    uint8_t *of_boxes; /* boxes around the boxes of sixty-four sheets */
    float
        spread; /* the distance that a nearest point may be at, near 0 and with weights of 1 */
    float
        taper; /* and the logarithm of how much farther it is by each unit of the target's square */
};

enum {
    IQT_SHEET = 64, /* points */
};
/* A value as it stands in sheets. Of eight dimensions two values look up one entry of 128: the bit that tells
 * them apart is the highest, which look-ups pass over. */
static inline uint8_t iqt_sheet_value(uint32_t dims, int value)
{
    const uint32_t byte = (uint32_t)(value + 128);

    return (uint8_t)(dims == 8 ? byte >> 1 | byte << 7 : byte);
}
static inline uint8_t iqt_sheet_entry(uint32_t dims, int value)
{
    return iqt_sheet_value(dims, value) & (dims == 8 ? 127 : 255);
}
static inline size_t iqt_sheet_place(uint32_t dims, uint32_t point, uint32_t dim)
{
    return ((size_t)point / IQT_SHEET * dims + dim) * IQT_SHEET + point % IQT_SHEET;
}

IQT_MUST_USE enum iqt_status iqt_trellis_tree_create(const struct iqt_trellis *t,
                                                     uint32_t seed0, uint32_t count,
                                                     struct iqt_trellis_tree **out);
void iqt_trellis_tree_destroy(struct iqt_trellis_tree *tree); /* NULL is allowed */
/* Code (seed - seed0) and values of a point. */
static inline uint32_t iqt_trellis_code(const struct iqt_trellis_tree *tree,
                                        uint32_t point)
{
    return tree->code[point];
}
static inline uint32_t iqt_trellis_place(uint32_t dims, uint32_t point, uint32_t dim)
{
    const uint32_t n = point % IQT_TREE_WIDE,
                   row = point / IQT_TREE_WIDE * (dims / 4) + dim / 4;

    return row * IQT_TREE_ROW + n / 4 * 16 + dim % 4 / 2 * 8 + n % 4 * 2 + dim % 2;
}
static inline float iqt_trellis_value(const struct iqt_trellis_tree *tree, uint32_t point,
                                      uint32_t dim)
{
    return tree->leaf[iqt_trellis_place(tree->dims, point, dim)];
}

/* ---- Encoding: one block ---- */

/* A block in lanes: what to approximate, and what each error counts. Empty lanes have 0 of both. */
struct iqt_goal {
    float x[IQT_GOAL], w[IQT_GOAL];
    uint8_t order[IQT_GROUPS]; /* of seeds: those with the largest squares first */
    struct iqt_batch *batch;   /* of seeds: who is asked for them; NULL: nobody */
    uint32_t only; /* of seeds: the group that is wanted, or IQT_GROUPS: all */
};
void iqt_goal_load(const struct iqt_encoder *e, const float *x, const float *w,
                   struct iqt_goal *out);
/* The weight of largest magnitude, the first of equals. */
float iqt_goal_end(const struct iqt_encoder *e, const float *x);

/* What was picked, in lanes. */
struct iqt_choice {
    float value[IQT_GOAL];     /* scale left out */
    float code[IQT_BLOCK / 2]; /* of pairs */
    uint32_t
        point[IQT_GROUPS]; /* of seeds: in the tree; at first, where a search may start */
    /* Of seeds: what is lost up to each group, and where that ends the search (or NULL). */
    float lost[IQT_GROUPS];
    const float *most;
};
/* Sums over a block; loss = sum w (x - scale v)^2. */
struct iqt_sums {
    float xv, vv, loss;
};

/* ---- Encoding: blocks that share a float scale ---- */

struct iqt_block {
    double scale;    /* that suits its codes best */
    double xv, vv;   /* of its codes: sums of w x v and w v v */
    float picked_at; /* the scale that its codes were picked for */
    uint32_t level;
    uint32_t point[IQT_GROUPS];
    bool shift;
};

/* Scratch for rows of k weights. */
struct iqt_row_work {
    float *x, *w;
    float *from, *miss; /* with feedback: the row, and what is written less of it */
    struct iqt_block *block, *start, *kept;
    float *scale, *vv;       /* of blocks, for the guesses of a shared scale */
    struct iqt_batch *batch; /* of rows that are encoded at once; NULL: this one alone */
};

struct iqt_group {
    const struct iqt_encoder *e;
    const float *x, *w;
    struct iqt_row_work *work;
    size_t blocks;
    int exponent;    /* of the row */
    double d;        /* the shared scale with the gain: what a level is multiplied by */
    double unshrink; /* how much of the shrinkage to undo */
    const struct iqt_feedback *feedback; /* NULL: none */
    size_t at;                           /* first column */
};

/* The scale as a file holds it, in the file's units, and as it comes back from there. */
float iqt_scale_stored(const struct iqt_group *g, double d);
double iqt_scale_rounded(const struct iqt_group *g, double d);

/* ---- weigh.c ---- */

/* The power of two by which dividing brings the largest weight below 1; 0 for a row of zeros. */
int iqt_row_exponent(const float *x, size_t k);
/* to = x / 2^exponent */
void iqt_row_shrink(const float *x, size_t k, int exponent, float *to);
/* w: what the error of each weight counts, above 0. The largest of x is below 1. */
void iqt_row_weigh(const struct iqt_format *f, size_t k, const float *x,
                   const float *importance, float *w);
/* The same from nothing but the importance. */
void iqt_row_weigh_plain(size_t k, const float *importance, float *w);

/* ---- encode_row.c ---- */

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
/* x and importance have been checked. feedback NULL: none; one that asks for nothing changes no byte, and formats of
 * floats have none. */
void iqt_encode_row(const struct iqt_encoder *e, size_t k, const float *x,
                    const float *importance, const struct iqt_feedback *feedback,
                    struct iqt_row_work *work, uint8_t *row);

#endif
