/* From GGUF rows to tiles: sixteen superblocks at a time, four of each row of a group, by moves of bits
 * that are worked out once a call. Codes of pairs are numbered anew on the way. */
#include "kernels/bit_moves.h"
#include "kernels/tile_sources.h"

#include <string.h>

enum {
    R = IQT_TILE_ROWS,
    SUPERBLOCK = 256,
    SPANS = SUPERBLOCK / IQT_TILE_SPAN,
    MOST_WORDS = 18, /* of a span: codes, two words of fields */
    MOST_BLOCK_WORDS = 64,
    TOGETHER = IQT_MOVE_LANES / R /* superblocks of a row */
};

struct mover {
    const struct iqt_tile *t;
    struct iqt_moves first, second; /* second: pairs that have been numbered anew */
    size_t superblocks, records, heads, native_row, group_bytes;
    uint16_t code_at[R][MOST_WORDS]; /* from the first vector of a span */
    uint16_t pairs[1024];            /* two codes in ten bits: the new ones */
};

/* ---- The moves ---- */

static uint32_t span_words(const struct iqt_tile *t)
{
    return t->words + 2u;
}

/* Codes of pairs are numbered anew in words of their own, behind all spans: two codes in the low ten bits
 * of each half, their fours and then their fifth bits. */
enum { PAIR_WORDS = IQT_TILE_SPAN / 2 / 4 };

static uint32_t pair_word(const struct iqt_tile *t, uint32_t span)
{
    return SPANS * span_words(t) + span * PAIR_WORDS;
}

static uint32_t pair_bit(uint32_t element, uint32_t b)
{
    return 16 * (element / 2) + (b < 4 ? 4 * (element % 2) + b : 8 + element % 2);
}

static bool is_pair(const struct iqt_tile *t, const struct iqt_tile_piece *p)
{
    return t->family == IQT_TILE_PAIRS && p->source == IQT_TILE_CODE;
}

/* Where bit b of a value is in the superblock. */
static uint32_t source_bit(const struct iqt_tile_elements *s, uint32_t element,
                           uint32_t b)
{
    uint32_t p = 0;

    while (b < s->plane[p].to || b >= (uint32_t)s->plane[p].to + s->plane[p].width)
        p++;
    return s->plane[p].bit[element] + b - s->plane[p].to;
}

/* Signed scales are stored plus an offset, which turns the top bit over. (2 n + 1) with a sign is stored
 * as n' of 2 n' - 31: 16 + n, or 15 - n where the sign is set. */
static void add_scale_bit(struct iqt_moves *m, const struct iqt_tile *t,
                          const struct iqt_tile_elements *s, uint32_t to,
                          uint32_t element, uint32_t b)
{
    const struct iqt_scale *scale = &t->format->scale;

    iqt_moves_add(m, to, source_bit(s, element, b));
    if (scale->is_signed && b + 1u == scale->is_signed)
        iqt_moves_flip(m, to);
    if (iqt_field_empty(&scale->negative))
        return;
    if (b == 4)
        iqt_moves_flip(m, to);
    else
        iqt_moves_add(m, to, source_bit(s, element, 4));
}

static void add_piece(struct iqt_moves *m, const struct iqt_tile *t,
                      const struct iqt_tile_elements *s, const struct iqt_tile_piece *p,
                      uint32_t span)
{
    for (uint32_t e = 0; e < p->elements; e++)
        for (uint32_t i = 0; i < p->width; i++) {
            const uint32_t element = span * p->elements + e, b = p->from + i;
            const uint32_t to = 32 * span * span_words(t) + p->bit[e] + i;

            if (is_pair(t, p))
                iqt_moves_add(m, 32 * pair_word(t, span) + pair_bit(e, b),
                              source_bit(s, element, b));
            else if (p->source == IQT_TILE_SCALE)
                add_scale_bit(m, t, s, to, element, b);
            else
                iqt_moves_add(m, to, source_bit(s, element, b));
        }
}

static void make_first(struct mover *m)
{
    const struct iqt_tile *t = m->t;
    struct iqt_tile_elements source[IQT_TILE_SOURCES];
    const uint32_t more = t->family == IQT_TILE_PAIRS ? SPANS * PAIR_WORDS : 0;

    iqt_tile_sources(t, source);
    iqt_moves_begin(&m->first, SPANS * span_words(t) + more);
    for (uint32_t span = 0; span < SPANS; span++)
        for (uint32_t n = 0; n < t->pieces; n++)
            add_piece(&m->first, t, &source[t->piece[n].source], &t->piece[n], span);
    iqt_moves_end(&m->first);
}

static uint32_t new_number(uint32_t ten, uint32_t which)
{
    return iqt_tile_pair_number((ten >> 4 * which & 15) | (ten >> (8 + which) & 1) << 4);
}

/* From a span's pairs to its words. */
static void make_second(struct mover *m)
{
    const struct iqt_tile *t = m->t;

    iqt_moves_begin(&m->second, t->words);
    for (uint32_t n = 0; n < t->pieces; n++) {
        const struct iqt_tile_piece *p = &t->piece[n];

        for (uint32_t e = 0; is_pair(t, p) && e < p->elements; e++)
            for (uint32_t i = 0; i < p->width; i++)
                iqt_moves_add(&m->second, p->bit[e] + i, pair_bit(e, p->from + i));
    }
    iqt_moves_end(&m->second);
    for (uint32_t i = 0; i < 1024; i++) {
        const uint32_t low = new_number(i, 0), high = new_number(i, 1);

        m->pairs[i] = (uint16_t)((low & 15) | (high & 15) << 4 | (low >> 4) << 8 |
                                 (high >> 4) << 9);
    }
}

static void mover_init(struct mover *m, const struct iqt_tile *t, size_t k,
                       size_t row_bytes)
{
    m->t = t;
    m->superblocks = k / SUPERBLOCK;
    m->records = m->superblocks * 64 * t->words;
    m->heads = m->records + m->superblocks * t->record_bytes;
    m->native_row = t->format->row_head + m->superblocks * t->format->bytes;
    m->group_bytes = R * row_bytes;
    for (uint32_t row = 0; row < R; row++)
        for (uint32_t w = 0; w < t->words; w++) {
            const uint32_t number = row * t->words + w;

            m->code_at[row][w] = (uint16_t)(64 * (number / 4) + 4 * (number % 4));
        }
    make_first(m);
    if (t->family == IQT_TILE_PAIRS)
        make_second(m);
}

/* ---- Pairs ---- */

static void renumber(const struct mover *m, iqt_move_word *out)
{
    for (uint32_t span = 0; span < SPANS; span++) {
        iqt_move_word *pairs = out + pair_word(m->t, span);

        for (uint32_t w = 0; w < PAIR_WORDS; w++)
            for (uint32_t l = 0; l < IQT_MOVE_LANES; l++)
                pairs[w][l] = m->pairs[pairs[w][l] & 1023] |
                              (uint32_t)m->pairs[pairs[w][l] >> 16] << 16;
        iqt_moves_run(&m->second, (const iqt_move_word *)pairs,
                      out + span * span_words(m->t));
    }
}

/* ---- Groups of rows ---- */

/* The fields of a span's four rows as one string of bits. */
struct fields {
    uint64_t word[5];
};

static void append(struct fields *f, uint32_t at, uint64_t value)
{
    f->word[at / 64] |= value << at % 64;
    if (at % 64 != 0)
        f->word[at / 64 + 1] |= value >> (64 - at % 64);
}

/* Sizes that the compiler knows: no calls. */
static inline void copy_load(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    switch (bytes) {
    case 16:
        memcpy(to, from, 16);
        break;
    case 8:
        memcpy(to, from, 8);
        break;
    case 4:
        memcpy(to, from, 4);
        break;
    default:
        memcpy(to, from, 2);
        break;
    }
}

/* lane: the first row's; row r's is lane + r. Of rows that are not there nothing is stored. */
static void store_fields(const struct mover *m, const iqt_move_word *words, uint32_t lane,
                         uint32_t rows, uint32_t span, uint8_t *record)
{
    const struct iqt_tile *t = m->t;
    const uint32_t rest = (uint32_t)t->row_bits - t->split;
    struct fields f = { { 0 } };
    const uint8_t *from = (const uint8_t *)f.word;

    for (uint32_t r = 0; r < rows; r++) {
        const uint64_t fields =
            words[t->words][lane + r] | (uint64_t)words[t->words + 1][lane + r] << 32;

        append(&f, r * t->split, fields & (((uint64_t)1 << t->split) - 1));
        append(&f, R * t->split + r * rest, fields >> t->split);
    }
    for (uint32_t i = 0; i < t->loads; i++) {
        copy_load(record + t->load[i].at + t->load[i].stride * span, from,
                  t->load[i].bytes);
        from += t->load[i].bytes;
    }
}

static void store_superblock(const struct mover *m, const iqt_move_word *out,
                             uint32_t lane, uint32_t rows, uint8_t *codes,
                             uint8_t *record)
{
    for (uint32_t span = 0; span < SPANS; span++) {
        const iqt_move_word *words = out + span * span_words(m->t);

        for (uint32_t r = 0; r < R; r++)
            for (uint32_t w = 0; w < m->t->words; w++)
                memcpy(codes + 16 * span + m->code_at[r][w], &words[w][lane + r], 4);
        store_fields(m, words, lane, rows, span, record);
    }
}

/* Superblocks [b, b + count) of a group's rows; rows that are not there are lanes of zeros. */
static void pack_together(const struct mover *m, const uint8_t *native, uint32_t rows,
                          size_t b, uint32_t count, uint8_t *group)
{
    const struct iqt_format *f = m->t->format;
    iqt_move_word in[MOST_BLOCK_WORDS], out[IQT_MOVE_WORDS];

    if (rows < R || count < TOGETHER)
        memset(in, 0, sizeof in);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t r = 0; r < rows; r++)
            iqt_moves_load(in, i * R + r,
                           native + r * m->native_row + f->row_head + (b + i) * f->bytes,
                           f->bytes);
    iqt_moves_run(&m->first, (const iqt_move_word *)in, out);
    if (m->t->family == IQT_TILE_PAIRS)
        renumber(m, out);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *record = group + m->records + (b + i) * m->t->record_bytes;

        store_superblock(m, (const iqt_move_word *)out, i * R, rows,
                         group + (b + i) * 64 * m->t->words, record);
        for (uint32_t r = 0; r < rows && f->super.at == IQT_AT_SUPERBLOCK; r++)
            memcpy(record + m->t->super_at + (size_t)2 * r,
                   native + r * m->native_row + f->row_head + (b + i) * f->bytes +
                       f->super.byte,
                   2);
    }
}

static void pack_group(const struct mover *m, const uint8_t *native, uint32_t rows,
                       uint8_t *group)
{
    const uint32_t head = m->t->format->row_head;

    if (rows < R)
        memset(group, 0, m->group_bytes);
    for (size_t b = 0; b < m->superblocks; b += TOGETHER) {
        const size_t left = m->superblocks - b;

        pack_together(m, native, rows, b, left < TOGETHER ? (uint32_t)left : TOGETHER,
                      group);
    }
    memset(group + m->heads, 0, m->group_bytes - m->heads);
    for (uint32_t r = 0; r < rows; r++)
        memcpy(group + m->heads + (size_t)r * head, native + r * m->native_row, head);
}

void iqt_tile_pack(const struct iqt_tile *t, size_t k, size_t rows, size_t row_bytes,
                   const uint8_t *native, uint8_t *packed)
{
    struct mover m;

    mover_init(&m, t, k, row_bytes);
    for (size_t r = 0; r < rows; r += R)
        pack_group(&m, native + r * m.native_row, rows - r < R ? (uint32_t)(rows - r) : R,
                   packed + r * row_bytes);
}
