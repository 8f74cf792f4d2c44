/* Native and packed rows: derives the packed layout of a format from its table entry and permutes
 * bits between the two. Knows nothing of kernels or devices. */
#include "kernels/layout.h"

#include "kernels/bit_moves.h"

#include <assert.h>
#include <string.h>

const char *iqt_layout_name(enum iqt_layout layout)
{
    return layout == IQT_LAYOUT_PACKED ? "packed" : "native";
}

static uint16_t element_weights(const struct iqt_format *f, bool is_sign)
{
    if (is_sign)
        return 1;
    if (f->decode == IQT_DECODE_TRELLIS)
        return f->trellis->group;
    if (f->decode == IQT_DECODE_CODEBOOK)
        return f->codebook->dim;
    return 1;
}

/* A plane can become vectors when its elements tile 16 bytes within one superblock. */
static void add_plane(struct iqt_packing *p, const struct iqt_plane *plane,
                      uint16_t weights)
{
    const bool power_of_two = (plane->width & (plane->width - 1u)) == 0;
    struct iqt_vec_plane *v = &p->plane[p->planes];

    if (!power_of_two || p->planes == IQT_MAX_PLANES)
        return;
    const uint32_t vec_weights = 128u / plane->width * weights;
    if (vec_weights > p->format->superblock)
        return;
    p->planes++;
    *v = (struct iqt_vec_plane){
        .width = plane->width,
        .pieces = 1,
        .piece = { *plane },
        .element_weights = weights,
        .vec_weights = (uint16_t)vec_weights,
    };
    v->piece[0].to = 0;
}

uint32_t iqt_vec_plane_bit(const struct iqt_vec_plane *v, uint32_t i, uint32_t b)
{
    const struct iqt_plane *s = v->piece;

    while (b < s->to || b >= s->to + s->width)
        s++;
    assert(s < v->piece + v->pieces);
    return iqt_plane_bit(s, i) + b - s->to;
}

static void mark_bits(const struct iqt_packing *p, uint32_t n, uint8_t bits[512])
{
    const struct iqt_vec_plane *v = &p->plane[n];

    for (uint32_t i = 0; i < p->format->superblock; i += v->element_weights)
        for (uint32_t b = 0; b < v->width; b++) {
            const uint32_t at = iqt_vec_plane_bit(v, i, b);

            bits[at / 8] |= (uint8_t)(1u << (at % 8));
        }
}

/* Bytes that vectors do not cover completely stay in the side record, and so does every plane
 * with a bit in such a byte. Returns false when it had to drop a plane. */
static bool drop_partial(struct iqt_packing *p, uint8_t bits[512])
{
    memset(bits, 0, 512);
    for (uint32_t n = 0; n < p->planes; n++)
        mark_bits(p, n, bits);
    for (uint32_t n = 0; n < p->planes; n++) {
        const struct iqt_vec_plane *v = &p->plane[n];

        for (uint32_t i = 0; i < p->format->superblock; i += v->element_weights)
            if (bits[iqt_plane_bit(&v->piece[0], i) / 8] != 0xff) {
                memmove(&p->plane[n], &p->plane[n + 1], (p->planes - n - 1) * sizeof(*v));
                p->planes--;
                return false;
            }
    }
    return true;
}

/* ---- Codes with a bit of their block's fields on top ---- */

enum { TOPPED_BITS = 16, TOPPED_VECS = 4 };

/* Bit n of a block's fields, a shift bit and the scale behind it, for element n. */
static bool top_bits(const struct iqt_format *f, uint16_t weights, struct iqt_plane *top)
{
    const struct iqt_plane *shift = &f->shift.plane[0], *scale = &f->scale.raw.plane[0];
    uint32_t elements = 1;

    *top = *shift;
    top->to = TOPPED_BITS - 1;
    for (uint32_t j = 0; j < IQT_INDEX_BITS && 1u << j < f->block; j++)
        if (1u << j >= weights) {
            top->stride[j] = (uint16_t)elements;
            elements *= 2;
        }
    return iqt_field_width(&f->code) == TOPPED_BITS - 1 && shift->width == 1 &&
           scale->width == elements - 1 && scale->bit == shift->bit + 1 &&
           iqt_field_width(&f->scale.raw) == scale->width &&
           memcmp(shift->stride, scale->stride, sizeof(shift->stride)) == 0;
}

static bool add_topped(struct iqt_packing *p)
{
    const struct iqt_format *f = p->format;
    const uint16_t weights = element_weights(f, false);
    struct iqt_vec_plane v = { .width = TOPPED_BITS, .element_weights = weights };
    struct iqt_plane top;

    if (!top_bits(f, weights, &top))
        return false;
    while (f->code.plane[v.pieces].width) {
        v.piece[v.pieces] = f->code.plane[v.pieces];
        v.pieces++;
        assert(v.pieces < IQT_VEC_PIECES);
    }
    v.piece[v.pieces++] = top;
    v.vec_weights = (uint16_t)(128 / TOPPED_BITS * weights);
    p->unit = (uint16_t)(TOPPED_VECS * v.vec_weights);
    p->plane[p->planes++] = v;
    return true;
}

bool iqt_packing_is_topped(const struct iqt_packing *p)
{
    return p->planes && p->plane[0].pieces > 1;
}

void iqt_packing_init(struct iqt_packing *p, const struct iqt_format *f)
{
    uint8_t bits[512];

    assert(f->bytes <= sizeof(bits) && f->superblock <= 256);
    *p = (struct iqt_packing){ .format = f, .unit = 32 };
    const bool topped = add_topped(p);
    for (uint32_t n = 0; !topped && n < IQT_MAX_PLANES && f->code.plane[n].width; n++)
        add_plane(p, &f->code.plane[n], element_weights(f, false));
    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->sign.plane[n].width; n++)
        add_plane(p, &f->sign.plane[n], 1);
    while (!drop_partial(p, bits))
        continue;

    for (uint32_t n = 0; n < p->planes; n++)
        if (p->plane[n].vec_weights > p->unit)
            p->unit = p->plane[n].vec_weights;
    for (uint32_t n = 0; n < p->planes; n++) {
        p->plane[n].first = p->vecs;
        p->plane[n].count = (uint8_t)(p->unit / p->plane[n].vec_weights);
        p->vecs = (uint8_t)(p->vecs + p->plane[n].count);
    }
    for (uint32_t byte = 0; byte < f->bytes; byte++)
        p->side_of[byte] = bits[byte] == 0xff ? 0xffff : p->side_bytes++;
    assert(p->vecs <= IQT_MAX_VECS);
}

size_t iqt_layout_row_bytes(const struct iqt_format *f, enum iqt_layout layout, size_t k)
{
    const size_t bytes = k * f->bytes / f->superblock + f->row_head;

    return layout == IQT_LAYOUT_PACKED ? iqt_round_up(bytes, IQT_VEC_BYTES) : bytes;
}

static uint32_t get_bits(const uint8_t *base, uint32_t bit, uint32_t width)
{
    uint32_t value = 0;

    for (uint32_t b = 0; b < width;) {
        const uint32_t at = bit + b, room = 8 - at % 8;
        const uint32_t take = width - b < room ? width - b : room;

        value |= ((uint32_t)base[at / 8] >> (at % 8) & ((1u << take) - 1u)) << b;
        b += take;
    }
    return value;
}

static void or_bits(uint8_t *base, uint32_t bit, uint32_t width, uint32_t value)
{
    for (uint32_t b = 0; b < width;) {
        const uint32_t at = bit + b, room = 8 - at % 8;
        const uint32_t take = width - b < room ? width - b : room;

        base[at / 8] |= (uint8_t)((value >> b & ((1u << take) - 1u)) << (at % 8));
        b += take;
    }
}

uint32_t iqt_vec_element_bit(const struct iqt_vec_plane *v, uint32_t e)
{
    return v->width < 8 ? 8 * (e % 16) + v->width * (e / 16) : v->width * e;
}

/* ---- Packing: sixteen superblocks at a time ---- */

enum { MOST_BLOCK_WORDS = 64, MOST_SIDE = 4 * MOST_BLOCK_WORDS };

struct row_moves {
    const struct iqt_packing *p;
    struct iqt_moves moves; /* of a superblock's vectors, plane by plane */
    size_t units, superblocks;
    uint16_t side[MOST_SIDE]; /* bytes of a superblock that stay bytes */
};

static void add_vector(struct row_moves *m, const struct iqt_vec_plane *v, uint32_t first,
                       uint32_t word)
{
    for (uint32_t e = 0; e < 128u / v->width; e++)
        for (uint32_t b = 0; b < v->width; b++)
            iqt_moves_add(&m->moves, 32 * word + iqt_vec_element_bit(v, e) + b,
                          iqt_vec_plane_bit(v, first + e * v->element_weights, b));
}

static uint32_t vectors_of(const struct iqt_packing *p, uint32_t n)
{
    return p->format->superblock / p->plane[n].vec_weights;
}

static void row_moves_init(struct row_moves *m, const struct iqt_packing *p, size_t k)
{
    uint32_t words = 0, side = 0;

    assert(p->format->bytes <= MOST_SIDE);
    m->p = p;
    m->units = k / p->unit;
    m->superblocks = k / p->format->superblock;
    for (uint32_t n = 0; n < p->planes; n++)
        words += 4 * vectors_of(p, n);
    iqt_moves_begin(&m->moves, words);
    words = 0;
    for (uint32_t n = 0; n < p->planes; n++)
        for (uint32_t i = 0; i < vectors_of(p, n); i++, words += 4)
            add_vector(m, &p->plane[n], i * p->plane[n].vec_weights, words);
    iqt_moves_end(&m->moves);
    for (uint32_t byte = 0; byte < p->format->bytes; byte++)
        if (p->side_of[byte] != 0xffff)
            m->side[side++] = (uint16_t)byte;
}

/* Vectors of a superblock's lane to their places: vector j of all units before vector j + 1. */
static void store_vectors(const struct row_moves *m, const iqt_move_word *words,
                          uint32_t lane, size_t superblock, uint8_t *packed)
{
    const struct iqt_packing *p = m->p;

    for (uint32_t n = 0; n < p->planes; n++)
        for (uint32_t i = 0; i < vectors_of(p, n); i++, words += 4) {
            const size_t first =
                superblock * p->format->superblock + (size_t)i * p->plane[n].vec_weights;
            const size_t j = first % p->unit / p->plane[n].vec_weights;
            const uint32_t vec[4] = { words[0][lane], words[1][lane], words[2][lane],
                                      words[3][lane] };

            memcpy(packed + IQT_VEC_BYTES *
                                ((p->plane[n].first + j) * m->units + first / p->unit),
                   vec, IQT_VEC_BYTES);
        }
}

static void pack_row(const struct row_moves *m, const uint8_t *native, uint8_t *packed)
{
    const struct iqt_format *f = m->p->format;
    uint8_t *side = packed + (size_t)IQT_VEC_BYTES * m->p->vecs * m->units;
    const uint8_t *block = native + f->row_head;
    iqt_move_word in[MOST_BLOCK_WORDS] = { { 0 } }, out[IQT_MOVE_WORDS];

    for (size_t b = 0; b < m->superblocks; b += IQT_MOVE_LANES) {
        const size_t left = m->superblocks - b;
        const uint32_t count = left < IQT_MOVE_LANES ? (uint32_t)left : IQT_MOVE_LANES;

        for (uint32_t l = 0; l < count; l++, block += f->bytes) {
            iqt_moves_load(in, l, block, f->bytes);
            for (uint32_t i = 0; i < m->p->side_bytes; i++)
                *side++ = block[m->side[i]];
        }
        iqt_moves_run(&m->moves, (const iqt_move_word *)in, out);
        for (uint32_t l = 0; l < count; l++)
            store_vectors(m, (const iqt_move_word *)out, l, b + l, packed);
    }
    memcpy(side, native, f->row_head);
}

void iqt_pack_rows(const struct iqt_packing *p, size_t k, size_t rows,
                   const uint8_t *native, uint8_t *packed)
{
    const size_t from = iqt_layout_row_bytes(p->format, IQT_LAYOUT_NATIVE, k);
    const size_t to = iqt_layout_row_bytes(p->format, IQT_LAYOUT_PACKED, k);
    struct row_moves m;

    assert(k % p->unit == 0 && k % p->format->superblock == 0 && from <= to);
    row_moves_init(&m, p, k);
    for (size_t r = 0; r < rows; r++) {
        pack_row(&m, native + r * from, packed + r * to);
        memset(packed + r * to + from, 0, to - from);
    }
}

/* ---- Unpacking: an element at a time ---- */

struct row_copy {
    const struct iqt_packing *p;
    size_t k, units;
    uint8_t *native;
    const uint8_t *packed; /* of one row */
};

/* Vector j of a unit: the bits of one piece of its elements, which are at bit_of[] in the superblock. */
static void copy_vector(const struct row_copy *c, const struct iqt_vec_plane *v,
                        const struct iqt_plane *piece, const uint16_t *bit_of,
                        size_t unit, uint32_t j)
{
    const struct iqt_format *f = c->p->format;
    const size_t first = unit * c->p->unit + (size_t)j * v->vec_weights;
    uint8_t *block = c->native + f->row_head + first / f->superblock * f->bytes;
    const uint8_t *vec =
        c->packed + IQT_VEC_BYTES * ((size_t)(v->first + j) * c->units + unit);
    const uint32_t inside = (uint32_t)(first % f->superblock) / v->element_weights;

    for (uint32_t e = 0; e < 128u / v->width; e++)
        or_bits(block, bit_of[inside + e], piece->width,
                get_bits(vec, iqt_vec_element_bit(v, e) + piece->to, piece->width));
}

static void copy_piece(const struct row_copy *c, const struct iqt_vec_plane *v,
                       const struct iqt_plane *piece)
{
    uint16_t bit_of[256];
    const uint32_t elements = c->p->format->superblock / v->element_weights;

    for (uint32_t e = 0; e < elements; e++)
        bit_of[e] = (uint16_t)iqt_plane_bit(piece, e * v->element_weights);
    for (size_t unit = 0; unit < c->units; unit++)
        for (uint32_t j = 0; j < v->count; j++)
            copy_vector(c, v, piece, bit_of, unit, j);
}

static void copy_side(const struct row_copy *c)
{
    const struct iqt_format *f = c->p->format;
    const uint8_t *side = c->packed + (size_t)IQT_VEC_BYTES * c->p->vecs * c->units;
    uint8_t *block = c->native + f->row_head;

    for (size_t s = 0; s < c->k / f->superblock; s++) {
        for (uint32_t byte = 0; byte < f->bytes; byte++)
            if (c->p->side_of[byte] != 0xffff)
                block[byte] = side[c->p->side_of[byte]];
        side += c->p->side_bytes;
        block += f->bytes;
    }
    memcpy(c->native, side, f->row_head);
}

static void copy_row(const struct row_copy *c)
{
    for (const struct iqt_vec_plane *v = c->p->plane; v < c->p->plane + c->p->planes; v++)
        for (uint32_t n = 0; n < v->pieces; n++)
            copy_piece(c, v, &v->piece[n]);
    copy_side(c);
}

void iqt_unpack_rows(const struct iqt_packing *p, size_t k, size_t rows,
                     const uint8_t *packed, uint8_t *native)
{
    const size_t from = iqt_layout_row_bytes(p->format, IQT_LAYOUT_PACKED, k);
    const size_t to = iqt_layout_row_bytes(p->format, IQT_LAYOUT_NATIVE, k);

    assert(k % p->unit == 0 && k % p->format->superblock == 0);
    memset(native, 0, rows * to);
    for (size_t r = 0; r < rows; r++)
        copy_row(
            &(struct row_copy){ p, k, k / p->unit, native + r * to, packed + r * from });
}
