/* Packed rows of GPUs: tiles of four rows by 64 weights (a span), made for the decoders.
 *
 * Four rows of k weights, s = k / 256 superblocks, form a group:
 *
 *     codes: per superblock W vectors for each of its 4 spans | records: one a superblock
 *     | 4 row headers | pad to four times the row's bytes
 *
 * Code vector j of span p of superblock b is the 16 bytes at 64 * W * b + 64 * j + 16 * p, so the
 * threads of a warp read them side by side, and one address serves all. Its words are words
 * 4 j .. 4 j + 3 of the tile: word w of row r is number W * r + w. A record has the float scales of
 * the superblock's four rows and the block scales and shift bits of its tiles. It is a permutation
 * of bits, but for scales and pair codes that are numbered anew; unpacking gives the GGUF bytes.
 *
 * Which bit of a word holds which bit of a code follows the decoder: CUDA's byte permute takes
 * its selectors from nibbles, AMD's from bytes. */
#ifndef IQT_KERNELS_TILE_H
#define IQT_KERNELS_TILE_H

#include "kernels/plan.h"

enum { IQT_TILE_ROWS = 4, IQT_TILE_SPAN = 64, IQT_TILE_PIECES = 10, IQT_TILE_LOADS = 4 };

/* How the codes of a format are decoded. */
enum iqt_tile_family {
    IQT_TILE_NONE, /* the format has no tiles */
    IQT_TILE_Q2,
    IQT_TILE_Q3,
    IQT_TILE_Q4,
    IQT_TILE_Q4_GRAY, /* iq4_kss: words as in the file */
    IQT_TILE_Q5,
    IQT_TILE_Q6,
    IQT_TILE_PAIRS,
    IQT_TILE_KT1, /* trellis, 13-bit seeds */
    IQT_TILE_KT2,
    IQT_TILE_KT3,
    IQT_TILE_KT4,
};

enum iqt_tile_source {
    IQT_TILE_CODE,
    IQT_TILE_SIGN,
    IQT_TILE_SCALE,
    IQT_TILE_SHIFT,
    IQT_TILE_SOURCES
};

/* Bits [from, from + width) of each of a source's elements of a span: element e goes to bit[e] of
 * the row. Bits from 32 * words on are the row's fields. */
struct iqt_tile_piece {
    uint8_t source, from, width, elements;
    uint16_t bit[IQT_TILE_SPAN];
};

/* Part of a record that a thread loads at once: bytes at `at` + stride * span. */
struct iqt_tile_load {
    uint8_t bytes, stride; /* 16, 8, 4 or 2; stride 0: the same for all spans */
    uint16_t at;
};

struct iqt_tile {
    const struct iqt_format *format;
    enum iqt_tile_family family;
    uint8_t words;    /* W: of a row's codes in a span */
    uint8_t blocks;   /* scales of a row in a span: 2 or 4 */
    uint8_t row_bits; /* fields of a row in a span */
    uint8_t
        split; /* fields below stand row by row, those above behind them, row by row */
    uint8_t scale_bits, scale_bit[4]; /* where a block's scale starts in the fields */
    uint8_t shift_bit[4];
    int16_t scale_mul, scale_add;    /* scale = mul * stored + add */
    uint16_t record_bytes, super_at; /* of a superblock; of its first float scale */
    uint8_t loads, pieces;
    struct iqt_tile_load load[IQT_TILE_LOADS];
    struct iqt_tile_piece piece[IQT_TILE_PIECES];
};

/* Scales of a row in 32 weights: 1 or 2. */
static inline uint32_t iqt_tile_halves(const struct iqt_tile *t)
{
    return 32u / t->format->block;
}

enum iqt_tile_family iqt_tile_family_of(const struct iqt_format *f, enum iqt_dialect d);
/* Whether packed rows of this format are tiles in this dialect. */
bool iqt_tile_init(struct iqt_tile *t, const struct iqt_format *f, enum iqt_dialect d);
/* New number of a pair code: 32 numbers, those of equal signs in eights (iq2_kl). */
uint32_t iqt_tile_pair_number(uint32_t code);
uint32_t iqt_tile_pair_code(uint32_t number);

/* Groups of four rows, the last one padded with zeros: packed has room for the rows rounded up to
 * four times `row_bytes` (iqt_layout_row_bytes()). */
void iqt_tile_pack(const struct iqt_tile *t, size_t k, size_t rows, size_t row_bytes,
                   const uint8_t *native, uint8_t *packed);
void iqt_tile_unpack(const struct iqt_tile *t, size_t k, size_t rows, size_t row_bytes,
                     const uint8_t *packed, uint8_t *native);

#endif
