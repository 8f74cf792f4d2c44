/* From tiles back to GGUF rows, an element at a time: shares only addresses with tile_pack.c, which it
 * checks. Also where the elements of a superblock are. */
#include "kernels/tile_sources.h"

#include <string.h>

enum { SUPERBLOCK = 256, SPANS = SUPERBLOCK / IQT_TILE_SPAN, MAX_WORDS = 16 };

/* The words of iq4_kss as they are in the file. */
static const struct iqt_field gray_words = {
    .plane = { { 0, 16, 0, { 0, 0, 16, 32, 64, 128, 256, 512 } } },
};

struct mover {
    const struct iqt_tile *t;
    struct iqt_tile_elements source[IQT_TILE_SOURCES];
    size_t k, superblocks, records, heads; /* bytes from the group's start */
};

static void add_planes(struct iqt_tile_elements *s, const struct iqt_field *f,
                       uint32_t step, uint8_t to)
{
    for (uint32_t p = 0; p < IQT_MAX_PLANES && f->plane[p].width; p++, s->planes++) {
        s->plane[s->planes].width = f->plane[p].width;
        s->plane[s->planes].to = (uint8_t)(f->plane[p].to + to);
        for (uint32_t e = 0; e < s->count; e++)
            s->plane[s->planes].bit[e] = (uint16_t)iqt_plane_bit(&f->plane[p], e * step);
    }
}

void iqt_tile_sources(const struct iqt_tile *t,
                      struct iqt_tile_elements s[IQT_TILE_SOURCES])
{
    const struct iqt_format *f = t->format;
    const uint32_t elements = t->piece[0].elements, step = IQT_TILE_SPAN / elements;

    for (uint32_t i = 0; i < IQT_TILE_SOURCES; i++)
        s[i].planes = 0;
    s[IQT_TILE_CODE].count = SUPERBLOCK / step;
    s[IQT_TILE_SIGN].count = SUPERBLOCK;
    s[IQT_TILE_SCALE].count = s[IQT_TILE_SHIFT].count = SUPERBLOCK / f->block;
    add_planes(&s[IQT_TILE_CODE], t->family == IQT_TILE_Q4_GRAY ? &gray_words : &f->code,
               step, 0);
    add_planes(&s[IQT_TILE_SIGN], &f->sign, 1, 0);
    if (t->family == IQT_TILE_Q4_GRAY)
        return;
    add_planes(&s[IQT_TILE_SCALE], &f->scale.raw, f->block, 0);
    add_planes(&s[IQT_TILE_SCALE], &f->scale.negative, f->block, 4);
    add_planes(&s[IQT_TILE_SHIFT], &f->shift, f->block, 0);
}

static void mover_init(struct mover *m, const struct iqt_tile *t, size_t k)
{
    m->t = t;
    m->k = k;
    m->superblocks = k / SUPERBLOCK;
    m->records = m->superblocks * 64 * t->words;
    m->heads = m->records + m->superblocks * t->record_bytes;
    iqt_tile_sources(t, m->source);
}

/* ---- Values and their new numbers ---- */

/* 2 n' - 31 becomes (2 n + 1) with a sign. */
static uint32_t signed_odd_back(uint32_t number)
{
    return number & 16 ? number & 15 : 16 | (15 - number);
}

static uint32_t old_number(const struct iqt_tile *t, uint32_t source, uint32_t value)
{
    if (source == IQT_TILE_CODE && t->family == IQT_TILE_PAIRS)
        return iqt_tile_pair_code(value);
    if (source != IQT_TILE_SCALE)
        return value;
    if (!iqt_field_empty(&t->format->scale.negative))
        return signed_odd_back(value);
    return t->format->scale.is_signed ? value ^ (1u << (t->format->scale.is_signed - 1))
                                      : value;
}

static void put(uint8_t *base, uint32_t bit, uint32_t width, uint32_t value)
{
    uint8_t *at = base + bit / 8;
    const uint32_t word = (value & ((1u << width) - 1)) << bit % 8,
                   last = bit % 8 + width;

    at[0] |= (uint8_t)word;
    if (last > 8)
        at[1] |= (uint8_t)(word >> 8);
    if (last > 16)
        at[2] |= (uint8_t)(word >> 16);
}

static void scatter(const struct mover *m, uint8_t *block, uint32_t i, uint16_t *value)
{
    const struct iqt_tile_elements *s = &m->source[i];

    for (uint32_t e = 0; s->planes > 0 && e < s->count; e++)
        value[e] = (uint16_t)old_number(m->t, i, value[e]);
    for (uint32_t p = 0; p < s->planes; p++)
        for (uint32_t e = 0; e < s->count; e++)
            put(block, s->plane[p].bit[e], s->plane[p].width, value[e] >> s->plane[p].to);
}

/* ---- A row's words and fields in a tile ---- */

/* The 64 weights of a row: words, then the fields as two more. */
struct row_span {
    uint32_t word[MAX_WORDS + 2];
};

static uint8_t *code_word(const struct mover *m, uint8_t *group, size_t superblock,
                          uint32_t span, uint32_t row, uint32_t word)
{
    const uint32_t number = row * m->t->words + word;

    return group + superblock * 64 * m->t->words + 64 * (number / 4) + 16 * span +
           4 * (number % 4);
}

/* The tile's fields as a string of bits: which byte holds those from bit 8 n on. */
static uint8_t *field_byte(const struct mover *m, uint8_t *group, size_t superblock,
                           uint32_t span, uint32_t n)
{
    uint8_t *record = group + m->records + superblock * m->t->record_bytes;
    uint32_t i = 0;

    for (; n >= m->t->load[i].bytes; i++)
        n -= m->t->load[i].bytes;
    return record + m->t->load[i].at + m->t->load[i].stride * span + n;
}

/* Where bit b of a row's fields is in that string. */
static uint32_t field_bit(const struct iqt_tile *t, uint32_t row, uint32_t b)
{
    const uint32_t rest = (uint32_t)t->row_bits - t->split;

    return b < t->split ? row * t->split + b
                        : IQT_TILE_ROWS * t->split + row * rest + b - t->split;
}

static void load_span(const struct mover *m, const uint8_t *group, size_t superblock,
                      uint32_t span, uint32_t row, struct row_span *s)
{
    const struct iqt_tile *t = m->t;
    uint8_t *from = (uint8_t *)(uintptr_t)group; /* only read */

    memset(s, 0, sizeof *s);
    for (uint32_t w = 0; w < t->words; w++)
        memcpy(&s->word[w], code_word(m, from, superblock, span, row, w), 4);
    for (uint32_t b = 0; b < t->row_bits; b++) {
        const uint32_t at = field_bit(t, row, b);

        s->word[t->words + b / 32] |=
            (uint32_t)(*field_byte(m, from, superblock, span, at / 8) >> at % 8 & 1)
            << b % 32;
    }
}

static uint32_t first_element(const struct iqt_tile_piece *p, uint32_t span)
{
    return span * p->elements;
}

static void take_apart(const struct iqt_tile *t, const struct row_span *s, uint32_t span,
                       uint16_t value[][SUPERBLOCK])
{
    for (uint32_t n = 0; n < t->pieces; n++) {
        const struct iqt_tile_piece *p = &t->piece[n];
        uint16_t *to = &value[p->source][first_element(p, span)];
        const uint32_t mask = (1u << p->width) - 1;

        for (uint32_t e = 0; e < p->elements; e++)
            to[e] |=
                (uint16_t)((s->word[p->bit[e] / 32] >> p->bit[e] % 32 & mask) << p->from);
    }
}

/* ---- Rows ---- */

static uint8_t *super_scale(const struct mover *m, uint8_t *group, size_t superblock,
                            uint32_t row)
{
    return group + m->records + superblock * m->t->record_bytes + m->t->super_at +
           2 * row;
}

static void unpack_row(const struct mover *m, const uint8_t *group, uint32_t row,
                       uint8_t *native)
{
    const struct iqt_format *f = m->t->format;
    uint16_t value[IQT_TILE_SOURCES][SUPERBLOCK];
    uint8_t *from = (uint8_t *)(uintptr_t)group; /* only read */
    struct row_span s;

    memset(native, 0, f->row_head + m->superblocks * f->bytes);
    memcpy(native, group + m->heads + row * f->row_head, f->row_head);
    for (size_t b = 0; b < m->superblocks; b++) {
        uint8_t *block = native + f->row_head + b * f->bytes;

        memset(value, 0, sizeof value);
        for (uint32_t span = 0; span < SPANS; span++) {
            load_span(m, group, b, span, row, &s);
            take_apart(m->t, &s, span, value);
        }
        for (uint32_t i = 0; i < IQT_TILE_SOURCES; i++)
            scatter(m, block, i, value[i]);
        if (f->super.at == IQT_AT_SUPERBLOCK)
            memcpy(block + f->super.byte, super_scale(m, from, b, row), 2);
    }
}

static size_t native_row(const struct mover *m)
{
    return m->t->format->row_head + m->superblocks * m->t->format->bytes;
}

void iqt_tile_unpack(const struct iqt_tile *t, size_t k, size_t rows, size_t row_bytes,
                     const uint8_t *packed, uint8_t *native)
{
    struct mover m;

    mover_init(&m, t, k);
    for (size_t r = 0; r < rows; r++)
        unpack_row(&m, packed + r / IQT_TILE_ROWS * IQT_TILE_ROWS * row_bytes,
                   (uint32_t)(r % IQT_TILE_ROWS), native + r * native_row(&m));
}
