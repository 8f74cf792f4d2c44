/* GPU kernels over tiles (kernels/tile.h): four rows a thread, 64 weights at a time. */
#ifndef IQT_CODEGEN_EMIT_TILE_H
#define IQT_CODEGEN_EMIT_TILE_H

#include "codegen/emit.h"
#include "kernels/tile.h"

/* iq6_k's function of two codes: emit_tile_values.c. */
#define IQT_TILE_CUBIC                                       \
    "FN uint cubic(uint x, uint last)\n{\n"                  \
    "    uint z = FMA_HALF2(x, 0x2c002c00u, 0xd5f1d5f1u);\n" \
    "    uint p = FMA_HALF2(0x14e514e5u, z, 0x910c910cu);\n" \
    "    p = FMA_HALF2(p, z, 0x41824182u);\n"                \
    "    return FMA_HALF2(p, z, last);\n"                    \
    "}\n"

/* AMD's five-bit codes c, fifth bits on top of the bytes of g, to the two words whose sum is the value: selectors
 * above 12 give -1, so bit 7 says "not this eight". A permute also makes a mask of bits. */
#define IQT_TILE_HIP_SELECT                                                  \
    "        uint lo = c | (c << 4 & 0x80808080u), hi = lo ^ 0x88888888u;\n" \
    "        uint m = PERM(0u, 0u, g & 0x80808080u);\n"
#define IQT_TILE_HIP_HALVES(t, to)                                                      \
    "        v[" to "] = BLEND(m, PERM(" t "[0], " t "[1], lo), PERM(" t "[4], " t      \
    "[5], lo));\n"                                                                      \
    "        v[" to " + 1u] = BLEND(m, PERM(" t "[2], " t "[3], hi), PERM(" t "[6], " t \
    "[7], hi));\n"

/* The value in one word: what a permute yields for foreign selectors is in the entries of the other
 * (iqt_tile_table_both()). */
#define IQT_TILE_HIP_BOTH(t) \
    "PERM(" t "[0], " t "[1], c) ^ PERM(" t "[2], " t "[3], c ^ 0x08080808u)"
#define IQT_TILE_HIP_FIFTH "        uint m = PERM(0u, 0u, g & 0x80808080u);\n"
#define IQT_TILE_HIP_BLEND(low, high) \
    "BLEND(m, " IQT_TILE_HIP_BOTH(low) ", " IQT_TILE_HIP_BOTH(high) ");\n"

/* How a decoder hands over 32 weights of a row. */
struct iqt_tile_values {
    uint8_t
        parts; /* words of four int8 for the same four weights, whose sum counts (iqt_tile_takes_away(): difference) */
    bool states; /* one word a weight: the four bytes of a trellis state, 0 .. 63 each */
    int8_t offset; /* what the words' values lack */
    bool shifted;  /* the decoder takes the shift bit itself */
};

static inline bool iqt_tile_has_shift(const struct iqt_tile *t)
{
    return !iqt_field_empty(&t->format->shift);
}

/* Whether a block's sum wants a multiple of the activations' added. */
static inline bool iqt_tile_lacks(const struct iqt_tile *t,
                                  const struct iqt_tile_values *v)
{
    return !v->shifted && (iqt_tile_has_shift(t) || v->offset);
}

static inline bool iqt_tile_takes_shift(const struct iqt_tile *t,
                                        const struct iqt_tile_values *v)
{
    return v->shifted && iqt_tile_has_shift(t);
}

/* Whether the second word of two parts counts against the first. */
static inline bool iqt_tile_takes_away(const struct iqt_tile *t)
{
    return t->format->trellis != NULL && t->format->trellis->magnitude;
}

/* Tables and `values(q, b, f, s, t, v)`: words q of a row, block b of its span, fields f, shift masks
 * s[2] of the block, table words t, to v. For n columns. */
void iqt_emit_tile_values(struct iqt_emit *e, const struct iqt_tile *tile,
                          struct iqt_tile_values *out);
/* seed(q, b, f, i): of group i of block b of a row, less seed_add and shift_add. */
void iqt_emit_tile_seed(struct iqt_emit *e, const struct iqt_tile *tile);
/* Of a trellis: m[group i + n], the masked n-th state of the group whose seed is x, which times `power`; sums(m),
 * four states' sums of bytes, less the centre, as bytes. */
void iqt_emit_tile_state(struct iqt_emit *e, const struct iqt_trellis *t, uint32_t n,
                         uint32_t power);
void iqt_emit_tile_sums(struct iqt_emit *e, const struct iqt_tile *tile);
/* Several columns share the decoded words, so these are worth more work; matrix units add parts. */
bool iqt_emit_tile_merges(const struct iqt_emit *e);
/* Two bits a weight in blocks of 16 have as many scales as words: in one column on CUDA these stay integers, and a shift
 * bit chooses half of the table, because several become predicates at once. s[] is that half. Sums
 * are sixteen times the row's. */
bool iqt_emit_tile_counts(const struct iqt_emit *e);
/* Functions beside it: scales; for a decoder of whole tiles (else NULL) its shift bits. */
void iqt_emit_tile_functions(struct iqt_emit *e, const struct iqt_tile *tile,
                             const struct iqt_tile_values *values);
/* Body: table words t[], or only these; offsets inside a group of rows. */
void iqt_emit_tile_table(struct iqt_emit *e, const struct iqt_tile *tile);
void iqt_emit_tile_words(struct iqt_emit *e, const uint32_t *word, uint32_t n);
void iqt_emit_tile_geometry(struct iqt_emit *e, const struct iqt_tile *tile);
/* Pieces of the loop. q: all words of a tile, from `at` behind the pointer to codes (NULL: 0); e and d: its
 * fields and superblock scales; f and g: fields of row r, block b. */
void iqt_emit_tile_codes(struct iqt_emit *e, const struct iqt_tile *tile, const char *at);
void iqt_emit_tile_record(struct iqt_emit *e, const struct iqt_tile *tile);
void iqt_emit_tile_fields(struct iqt_emit *e, const struct iqt_tile *tile);
/* Adds the row and span loop of matrix e->prefix to its sums. */
void iqt_emit_tile_spans(struct iqt_emit *e, const struct iqt_tile *tile,
                         const struct iqt_tile_values *values);

/* Words of the table that the kernel keeps in registers. Merged: the values; else what is added up. */
enum { IQT_TILE_TABLE_WORDS = 16 };
uint32_t iqt_tile_table(const struct iqt_tile *tile, enum iqt_dialect d, bool merged,
                        uint32_t out[IQT_TILE_TABLE_WORDS]);

/* The same for AMD, but not for matrix units of waves of 64: sixteen entries are two permutes whose exclusive or
 * counts; of blocks that are shifted by so much. */
uint32_t iqt_tile_table_both(const struct iqt_tile *tile, int shift,
                             uint32_t out[IQT_TILE_TABLE_WORDS]);

#endif
