/* What a format is: the vocabulary of the one format table.
 *
 * Every field of every format is a bit address that is linear in the bits of the weight's index.
 * Write the index i inside a superblock as bits i0 (lowest) .. i7; then the field's value for
 * weight i is the OR over its planes of
 *
 *     bits [bit + sum over j of stride[j] * i_j, + width) of the superblock, shifted left by to.
 *
 * Bits count from the lowest bit of byte 0 of the superblock (row headers not included). A plane
 * with width 0 ends the list. That is enough to derive decoders, packed layouts, emitters and
 * tests; nothing else spells a layout, but the hand-written reference in decode_ref.c. */
#ifndef IQT_KERNELS_FORMAT_H
#define IQT_KERNELS_FORMAT_H

#include "base/base.h"

enum { IQT_INDEX_BITS = 8, IQT_MAX_PLANES = 8 };

struct iqt_plane {
    uint16_t bit;  /* address for weight 0 */
    uint8_t width; /* 1 .. 32; 0 ends a field */
    uint8_t to;    /* position of the lowest bit in the value */
    uint16_t stride[IQT_INDEX_BITS];
};

struct iqt_field {
    struct iqt_plane plane[IQT_MAX_PLANES];
};

enum iqt_decode {
    IQT_DECODE_CODEBOOK, /* v = table[code], plus shift when the block's shift bit is set; negated
                          * when the weight's sign bit is */
    IQT_DECODE_LINEAR, /* v = code + code_add (code sign-extended first if code_signed) */
    IQT_DECODE_TRELLIS, /* v = byte sum of a congruential state seeded by the code */
    IQT_DECODE_FLOAT,   /* the code is an IEEE float: no scales */
};

enum iqt_float { IQT_F16, IQT_BF16, IQT_F32 };
enum iqt_at { IQT_AT_NONE, IQT_AT_SUPERBLOCK, IQT_AT_ROW };

/* A float scale: where it is stored, once per superblock or once per row (row header). */
struct iqt_scalar {
    enum iqt_at at;
    enum iqt_float type;
    uint16_t byte; /* from the superblock's or the row's first byte */
};

/* An integer scale per block of weights: L = table[raw], or raw * mul + add with raw
 * sign-extended from is_signed bits when that is not 0; then -L when negative's bit is set. */
struct iqt_scale {
    struct iqt_field raw;
    int16_t mul, add;
    uint8_t is_signed;
    struct iqt_field negative;
    const int8_t *table;
};

struct iqt_codebook {
    const char *name;    /* identifier in emitted text */
    const int8_t *value; /* count entries of dim values */
    uint16_t count;
    uint8_t dim;  /* weights per code: 1, 2 (value[2c] is the even weight's) or 4 */
    int8_t shift; /* added to every value of a block whose shift bit is 1 */
};

/* v_n = sum of the 4 bytes of (multiplier^(n+1) * seed & mask) - centre, n = index in group. */
struct iqt_trellis {
    uint32_t multiplier, mask;
    int32_t centre;
    uint8_t group;     /* weights per seed */
    uint32_t seed_add; /* seed = code + seed_add + (shift bit ? shift_add : 0) */
    uint32_t shift_add;
    bool magnitude; /* v = |v|, negated when the weight's sign bit is set */
};

/* How much an element's error counts for the reference's quantizer, with sigma2 = factor * mean(x^2)
 * of 256 weights: importance * sqrt(sigma2 + x^2); without importance floor * sqrt(sigma2) + |x|, or
 * floor * sigma2 + x^2, or 1. */
struct iqt_weighting {
    float factor; /* 0: the format has no encoder */
    float floor;
    bool magnitude; /* |x| */
    bool flat;      /* 1 */
};

/* A CUDA kernel without tiles where ptxas 13.0, left alone, aims at more threads than its registers allow and
 * spills a word or two into the loop. threads: the most that a multiprocessor holds without a spill, swept on
 * sm_90. */
struct iqt_crowded {
    bool gated;
    uint8_t n, rows_thread;
    uint16_t threads;
};

struct iqt_format {
    const char *name; /* lower case, as in ggml_type_name */
    uint32_t gguf_type;
    uint16_t superblock; /* weights: 256, or 32 for the simple types */
    uint16_t bytes;      /* of a superblock */
    uint16_t granule;    /* a row's k must be a multiple of this; 1 for floats */
    uint8_t row_head;    /* bytes in front of each row */
    uint8_t block;       /* weights that share a scale: 16 or 32 */
    enum iqt_decode decode;

    struct iqt_field code;  /* dim > 1, trellis: equal for all weights of a group */
    struct iqt_field shift; /* one bit per block (or empty) */
    struct iqt_field sign;  /* one bit per weight (trellis magnitude, dim 4) */
    bool gray;              /* each 16-bit word W of the code plane is first decoded:
                             * V = W & 0xfffe, T = V ^ (V >> 1); planes address T */
    const struct iqt_codebook *codebook;
    const struct iqt_trellis *trellis;
    int16_t code_add;       /* IQT_DECODE_LINEAR */
    uint8_t code_signed;    /* IQT_DECODE_LINEAR: bits to sign-extend from; 0: unsigned */
    enum iqt_float element; /* IQT_DECODE_FLOAT */

    struct iqt_scale scale;      /* empty raw: L = 1 */
    struct iqt_scalar super;     /* d */
    struct iqt_scale min;        /* w -= dmin * M; empty raw: M = add */
    struct iqt_scalar super_min; /* dmin; at IQT_AT_NONE: no minimum */
    float gain; /* factor of compute that the reference decode leaves out */

    /* Interleaved types have these and the sizes of their base type, nothing else. */
    uint32_t base_type; /* GGUF type; 0: rows stand alone */
    const struct iqt_unit_plane *unit;

    struct iqt_weighting weighting;
    /* Codes and scales of least error shrink a row: its projection on the original is below 1. How much of that
     * the encoder undoes (0: nothing, 1: all) by a larger row or superblock scale. The error grows with the
     * square of it; where it is below 1, the reference's error leaves no room for more. Half of it without
     * an importance. */
    float unshrink;
    struct iqt_crowded crowded[2]; /* unused ones have n = 0 */
    uint16_t file_type; /* general.file_type of models that are mostly of it; 0: none */

    /* Hand-written reference: one superblock (or one row for row_head formats through d) to
     * floats. block: the superblock's bytes; d: the row header's value (0 when none). */
    void (*decode_ref)(const uint8_t *block, float d, enum iqt_decode_mode mode,
                       float *out);
};

extern const struct iqt_format iqt_formats[]; /* ends with name NULL */

static inline bool iqt_field_empty(const struct iqt_field *f)
{
    return f->plane[0].width == 0;
}

/* Bits of the field. */
static inline uint32_t iqt_field_width(const struct iqt_field *f)
{
    uint32_t width = 0;

    for (uint32_t n = 0; n < IQT_MAX_PLANES; n++)
        width += f->plane[n].width;
    return width;
}

/* What struct iqt_trellis calls a seed: the first one of a table (shift: of the second table), and how many
 * codes follow it. */
static inline uint32_t iqt_seed_first(const struct iqt_format *f, bool shift)
{
    return f->trellis->seed_add + (shift ? f->trellis->shift_add : 0);
}
static inline uint32_t iqt_seed_count(const struct iqt_format *f)
{
    return 1u << iqt_field_width(&f->code);
}

static inline bool iqt_has_min(const struct iqt_format *f)
{
    return f->super_min.at != IQT_AT_NONE;
}

/* Bit address of plane p for weight i of the superblock. */
static inline uint32_t iqt_plane_bit(const struct iqt_plane *p, uint32_t i)
{
    uint32_t bit = p->bit;

    for (uint32_t j = 0; j < IQT_INDEX_BITS; j++)
        bit += ((i >> j) & 1u) * p->stride[j];
    return bit;
}

/* Value of the field for weight i, read from a superblock's bytes. Slow; host only. */
uint32_t iqt_field_get(const struct iqt_field *f, const uint8_t *block, uint32_t i);
/* Its inverse: changes the bits of the field for weight i and no others. */
void iqt_field_set(const struct iqt_field *f, uint8_t *block, uint32_t i, uint32_t value);

/* Weights [begin, begin + count) of a row: begin is a multiple of the superblock, count is one
 * superblock, or less at the end of a float row. What iqt_decode_row() does, unchecked. */
void iqt_decode_part(const struct iqt_format *f, const uint8_t *row, size_t begin,
                     size_t count, enum iqt_decode_mode mode, float *out);

/* Types that GGUF files carry but that have no kernels here: names and exact sizes only. */
struct iqt_foreign_type {
    const char *name;
    uint32_t gguf_type;
    uint16_t superblock, bytes;
    uint8_t row_head; /* bytes per row (for _r4 types: per row as well) */
};
/* NULL: unknown. */
const struct iqt_foreign_type *iqt_foreign_of_type(uint32_t gguf_type);
const struct iqt_foreign_type *iqt_foreign_at(size_t i); /* NULL past the end */

/* Exact y = W x in double over decoded weights; also sum |w x| per row when bound is not NULL.
 * row_stride in bytes. */
void iqt_matvec_ref(const struct iqt_format *f, const uint8_t *rows, size_t row_stride,
                    size_t m, size_t k, enum iqt_decode_mode mode, const float *x,
                    double *y, double *bound);

#endif
