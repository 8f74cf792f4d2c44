/* Where the bits of a tile lie: derived from a format's table entry and the family of its decoder.
 * Knows nothing of texts; tile_pack.c moves the bits. */
#include "kernels/tile.h"

#include "kernels/codebook.h"
#include "kernels/quantized.h"

#include <assert.h>

/* ---- Families ---- */

enum iqt_tile_family iqt_tile_family_of(const struct iqt_format *f, enum iqt_dialect d)
{
    static const struct {
        const struct iqt_codebook *codebook;
        enum iqt_tile_family family;
    } of_codebook[] = {
        { &iqt_codebook_q2, IQT_TILE_Q2 }, { &iqt_codebook_q3, IQT_TILE_Q3 },
        { &iqt_codebook_q4, IQT_TILE_Q4 }, { &iqt_codebook_q5, IQT_TILE_Q5 },
        { &iqt_codebook_q6, IQT_TILE_Q6 }, { &iqt_codebook_p2, IQT_TILE_PAIRS },
    };

    if (!iqt_dialect_is_cxx(d) || f->superblock != 256)
        return IQT_TILE_NONE;
    if (f->decode == IQT_DECODE_TRELLIS)
        return f->trellis->group == 4   ? IQT_TILE_KT4
               : f->trellis->magnitude  ? IQT_TILE_KT3
               : f->code.plane[1].width ? IQT_TILE_KT1
                                        : IQT_TILE_KT2;
    for (size_t i = 0; f->decode == IQT_DECODE_CODEBOOK && i < IQT_COUNT(of_codebook);
         i++)
        if (f->codebook == of_codebook[i].codebook)
            return f->gray ? IQT_TILE_Q4_GRAY : of_codebook[i].family;
    return IQT_TILE_NONE;
}

/* Codes of equal signs in eights: a permute whose selector names none of a table's eight gives
 * their sign. An offset of two moves the small values to the side where room is. */
static const uint8_t pair_codes[32] = {
    0,  2,  3,  6,  7,  11, 8,  12, /* both negative; 8 and 12 have an odd value of 1 */
    1,  4,  5,  9,  10, 13, 14, 19, /* even negative; 19 has an even value of 1 */
    15, 16, 20, 21, 22, 25, 26, 30, /* odd negative */
    17, 18, 23, 24, 27, 28, 29, 31, /* none */
};

uint32_t iqt_tile_pair_code(uint32_t number)
{
    return pair_codes[number & 31];
}

uint32_t iqt_tile_pair_number(uint32_t code)
{
    uint32_t n = 0;

    while (pair_codes[n] != code)
        n++;
    return n;
}

/* ---- Codes ---- */

static struct iqt_tile_piece *add_piece(struct iqt_tile *t, uint8_t source, uint8_t from,
                                        uint8_t width, uint8_t elements)
{
    struct iqt_tile_piece *p = &t->piece[t->pieces++];

    assert(t->pieces <= IQT_TILE_PIECES);
    *p = (struct iqt_tile_piece){ source, from, width, elements, { 0 } };
    return p;
}

/* Bit b of the code of weight or pair i. */
typedef uint32_t (*place_fn)(bool nibbles, uint32_t i, uint32_t b);

static uint32_t place_q2(bool nibbles, uint32_t i, uint32_t b)
{
    return nibbles ? 32 * (i / 16) + 4 * (i % 8) + 2 * (i / 8 % 2) + b
                   : 32 * (i / 16) + 8 * (i % 4) + 2 * (i / 4 % 4) + b;
}

/* One more bit of each code, in words of 32: bit 3 of nibbles, bit 7 of bytes after a shift left
 * by the number of the group of eight or four. */
static uint32_t place_bit(bool nibbles, uint32_t i)
{
    return nibbles ? 32 * (i / 32) + 4 * (i % 8) + 3 - i / 8 % 4
                   : 32 * (i / 32) + 8 * (i % 4) + 7 - i / 4 % 8;
}

/* Nibbles: the first 24 of 32 codes in the low three bits of the nibbles of three words, the last
 * eight in the fourth bits. */
static uint32_t place_q3(bool nibbles, uint32_t i, uint32_t b)
{
    const uint32_t eight = i / 8 % 4;

    if (!nibbles)
        return b < 2 ? place_q2(false, i, b) : 128 + place_bit(false, i);
    return 96 * (i / 32) + 4 * (i % 8) + (eight < 3 ? 32 * eight + b : 32 * b + 3);
}

static uint32_t place_q4(bool nibbles, uint32_t i, uint32_t b)
{
    return nibbles ? 4 * i + b : 32 * (i / 8) + 8 * (i % 4) + 4 * (i / 4 % 2) + b;
}

static uint32_t place_q5(bool nibbles, uint32_t i, uint32_t b)
{
    return b < 4 ? place_q4(nibbles, i, b) : 256 + place_bit(nibbles, i);
}

/* Sixteen codes in three words, as lanes of 16 bits: six pairs of lanes whole, at bits 4 and 10; the
 * four bits that each lane has left make the other two. They are eight weights of either half of
 * a block; those of the first or the second word, and of the third's lower or upper whole pair, are
 * what a lane of an mma kernel takes. Of a block the two first and second words come before the third
 * ones: the four lanes' words follow one another. */
static uint32_t place_q6(bool nibbles, uint32_t i, uint32_t b)
{
    static const uint8_t pairs[2][2][2] = { { { 0, 3 }, { 1, 4 } },
                                            { { 6, 2 }, { 7, 5 } } };
    const uint32_t quarter = i % 16 / 4, pair = pairs[i / 16 % 2][quarter % 2][i / 2 % 2];
    const uint32_t block = 192 * (i / 32) + 16 * (i % 2), three = quarter / 2;
    const uint32_t first = block + 64 * three, third = block + 128 + 32 * three;

    (void)nibbles;
    if (pair < 6)
        return (pair % 3 < 2 ? first + 32 * (pair % 3) : third) + 4 + 6 * (pair / 3) + b;
    return b < 4 ? first + 32 * (pair - 6) + b : third + 2 * (pair - 6) + b - 4;
}

static uint32_t place_pairs(bool nibbles, uint32_t i, uint32_t b)
{
    return b < 4 ? place_q4(nibbles, i, b) : 128 + place_bit(nibbles, i);
}

/* Seeds side by side in 16 bits. */
static uint32_t place_seed(bool nibbles, uint32_t i, uint32_t b)
{
    (void)nibbles;
    return 16 * i + b;
}

/* Six seeds of 13 bits at both ends of three words, a shift or a mask each; the other two from the
 * middles and eight bits of the fields. */
static uint32_t place_kt1(bool nibbles, uint32_t i, uint32_t b)
{
    (void)nibbles;
    if (i < 6)
        return 32 * (i / 2) + i % 2 * 19 + b;
    if (b < 6)
        return (i == 6 ? 0 : 64) + 13 + b;
    if (i == 6)
        return b < 12 ? 32 + 13 + b - 6 : 96;
    return 97 + b - 6;
}

/* Seeds of 15 bits at both ends of a word: the two bits between them are spare. */
static uint32_t place_kt4(bool nibbles, uint32_t i, uint32_t b)
{
    (void)nibbles;
    return 16 * i + i % 2 + b;
}

static const struct family {
    uint8_t words, code_bits, elements;
    place_fn place;
} families[] = {
    [IQT_TILE_Q2] = { 4, 2, 64, place_q2 },
    [IQT_TILE_Q3] = { 6, 3, 64, place_q3 },
    [IQT_TILE_Q4] = { 8, 4, 64, place_q4 },
    [IQT_TILE_Q4_GRAY] = { 8, 16, 16, place_seed },
    [IQT_TILE_Q5] = { 10, 5, 64, place_q5 },
    [IQT_TILE_Q6] = { 12, 6, 64, place_q6 },
    [IQT_TILE_PAIRS] = { 5, 5, 32, place_pairs },
    [IQT_TILE_KT1] = { 3, 13, 8, place_kt1 },
    [IQT_TILE_KT2] = { 4, 16, 8, place_seed },
    [IQT_TILE_KT3] = { 6, 16, 8, place_seed },
    [IQT_TILE_KT4] = { 8, 15, 16, place_kt4 },
};

/* Neighbouring bits that stay together for every element make one piece. */
static void place_codes(struct iqt_tile *t, bool nibbles)
{
    const struct family *f = &families[t->family];

    for (uint32_t b = 0, width; b < f->code_bits; b += width) {
        bool together = true;

        for (width = 1; b + width < f->code_bits; width++) {
            for (uint32_t i = 0; i < f->elements; i++)
                together &=
                    f->place(nibbles, i, b + width) == f->place(nibbles, i, b) + width;
            if (!together)
                break;
        }
        struct iqt_tile_piece *p =
            add_piece(t, IQT_TILE_CODE, (uint8_t)b, (uint8_t)width, f->elements);
        for (uint32_t i = 0; i < f->elements; i++)
            p->bit[i] = (uint16_t)f->place(nibbles, i, b);
    }
}

/* ---- Scales and shift bits ---- */

static uint8_t field_bits(const struct iqt_field *f)
{
    uint8_t bits = 0;

    for (uint32_t p = 0; p < IQT_MAX_PLANES && f->plane[p].width; p++)
        bits = (uint8_t)(bits + f->plane[p].width);
    return bits;
}

static void place_one(struct iqt_tile *t, uint8_t source, uint8_t from, uint8_t width,
                      const uint16_t *bit)
{
    struct iqt_tile_piece *p = add_piece(t, source, from, width, t->blocks);

    for (uint32_t b = 0; b < t->blocks; b++)
        p->bit[b] = bit[b];
}

/* Where the kernel's gathering of spare bits puts scale and shift bit. */
static void gathered_at(struct iqt_tile *t, uint8_t scale, uint8_t shift)
{
    for (uint32_t b = 0; b < t->blocks; b++) {
        t->scale_bit[b] = scale;
        t->shift_bit[b] = shift;
    }
}

/* iq4_kt: two bits of a block's scale byte between the two seeds of each of its four words. */
static void place_spare(struct iqt_tile *t)
{
    for (uint8_t n = 0; n < 8; n++) {
        const uint16_t at = (uint16_t)(32 * (n / 2) + 15 + n % 2);
        const uint16_t bit[] = { at, (uint16_t)(128 + at) };

        place_one(t, n == 0 ? IQT_TILE_SHIFT : IQT_TILE_SCALE,
                  n == 0 ? 0 : (uint8_t)(n - 1), 1, bit);
    }
    gathered_at(t, 1, 0);
}

/* Fields of a row: shift bits lowest (they become masks by a multiplication), then scales. Scales that
 * fill bytes come first: of 8 bits, and on CUDA two of 4 where two bits a weight have a scale in 16. */
static bool scales_first(const struct iqt_tile *t, bool nibbles)
{
    return t->scale_bits == 8 ||
           (t->family == IQT_TILE_Q2 && t->scale_bits == 4 && t->blocks == 4 && nibbles);
}

static void place_fields(struct iqt_tile *t, bool nibbles)
{
    const uint16_t base = (uint16_t)(32 * t->words);
    const bool shifts = !iqt_field_empty(&t->format->shift);
    uint8_t at = t->family == IQT_TILE_KT1 ? 8 : 0;
    uint16_t bit[4];

    for (uint8_t pass = 0; pass < 2; pass++) {
        const bool scale = (pass == 0) == scales_first(t, nibbles);
        const uint8_t width = scale ? t->scale_bits : shifts ? 1 : 0;

        for (uint8_t b = 0; b < t->blocks; b++) {
            (scale ? t->scale_bit : t->shift_bit)[b] = at;
            bit[b] = (uint16_t)(base + at);
            at = (uint8_t)(at + width);
        }
        if (width)
            place_one(t, scale ? IQT_TILE_SCALE : IQT_TILE_SHIFT, 0, width, bit);
        if (scale && pass == 0)
            t->split = at;
    }
    t->row_bits = at;
    if (t->split == 0)
        t->split = at;
}

static void place_signs(struct iqt_tile *t)
{
    struct iqt_tile_piece *p = add_piece(t, IQT_TILE_SIGN, 0, 1, IQT_TILE_SPAN);

    for (uint32_t i = 0; i < IQT_TILE_SPAN; i++)
        p->bit[i] = (uint16_t)(128 + place_bit(false, i));
}

/* ---- Records ---- */

/* Widest loads first, so that all are aligned; the float scales are eight bytes among them. */
static void place_loads(struct iqt_tile *t)
{
    uint32_t left = 4u * t->row_bits / 8;
    uint16_t at = 0;

    assert(t->row_bits % 4 == 0);
    for (uint8_t bytes = 16; bytes >= 2; bytes /= 2) {
        if (bytes == 4 && t->format->super.at == IQT_AT_SUPERBLOCK) {
            t->super_at = at;
            at += 8;
        }
        if (left < bytes)
            continue;
        t->load[t->loads++] = (struct iqt_tile_load){ bytes, bytes, at };
        at = (uint16_t)(at + 4 * bytes);
        left -= bytes;
    }
    t->record_bytes = at;
    assert(left == 0 && 64u * t->words + at == 4u * t->format->bytes);
}

bool iqt_tile_init(struct iqt_tile *t, const struct iqt_format *f, enum iqt_dialect d)
{
    const struct iqt_scale *s = &f->scale;

    *t = (struct iqt_tile){ .format = f, .family = iqt_tile_family_of(f, d) };
    if (t->family == IQT_TILE_NONE)
        return false;
    t->words = families[t->family].words;
    t->blocks = (uint8_t)(IQT_TILE_SPAN / f->block);
    t->scale_bits = field_bits(&s->raw);
    t->scale_mul = s->mul;
    t->scale_add = s->add;
    if (!iqt_field_empty(&s->negative)) { /* odd scales with a sign: 2 n - 31 (iq3_k) */
        assert(s->mul == 2 && s->add == 1 && t->scale_bits == 4);
        t->scale_bits = 5;
        t->scale_add = -31;
    }
    if (s->is_signed)
        t->scale_add = (int16_t)(s->add - (1 << (s->is_signed - 1)));
    place_codes(t, d == IQT_DIALECT_CUDA);
    if (t->family == IQT_TILE_KT3)
        place_signs(t);
    if (t->family == IQT_TILE_KT4)
        place_spare(t);
    else if (t->family == IQT_TILE_Q4_GRAY)
        gathered_at(t, 1, 0);
    else
        place_fields(t, d == IQT_DIALECT_CUDA);
    place_loads(t);
    return true;
}
