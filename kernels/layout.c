/* Native and packed rows: derives the packed layout of a format from its table entry and permutes
 * bits between the two. Knows nothing of kernels or devices. */
#include "kernels/layout.h"

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

    if (!power_of_two || p->planes == IQT_MAX_PLANES)
        return;
    const uint32_t vec_weights = 128u / plane->width * weights;
    if (vec_weights > p->format->superblock)
        return;
    p->plane[p->planes++] = (struct iqt_vec_plane){
        .plane = plane,
        .element_weights = weights,
        .vec_weights = (uint16_t)vec_weights,
    };
}

static void mark_bits(const struct iqt_packing *p, uint32_t n, uint8_t bits[512])
{
    const struct iqt_vec_plane *v = &p->plane[n];

    for (uint32_t i = 0; i < p->format->superblock; i += v->element_weights)
        for (uint32_t b = 0; b < v->plane->width; b++) {
            const uint32_t at = iqt_plane_bit(v->plane, i) + b;

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
            if (bits[iqt_plane_bit(v->plane, i) / 8] != 0xff) {
                memmove(&p->plane[n], &p->plane[n + 1], (p->planes - n - 1) * sizeof(*v));
                p->planes--;
                return false;
            }
    }
    return true;
}

void iqt_packing_init(struct iqt_packing *p, const struct iqt_format *f)
{
    uint8_t bits[512];

    assert(f->bytes <= sizeof(bits) && f->superblock <= 256);
    *p = (struct iqt_packing){ .format = f, .unit = 32 };
    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->code.plane[n].width; n++)
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

/* Bit of element e inside its vector. */
static uint32_t element_bit(uint32_t width, uint32_t e)
{
    return width < 8 ? 8 * (e % 16) + width * (e / 16) : width * e;
}

struct row_copy {
    const struct iqt_packing *p;
    size_t k, units;
    uint8_t *native, *packed; /* of one row; which one is written depends on the caller */
    bool pack;
};

/* Whether elements follow each other in steps of so many bits. Addresses are linear in the bits
 * of the element's number, so the powers of two tell. */
static bool is_run(const uint16_t *bit_of, uint32_t elements, uint32_t step)
{
    for (uint32_t e = 1; e < elements; e *= 2)
        if (bit_of[e] != bit_of[0] + e * step)
            return false;
    return true;
}

/* Sixteen elements of one shift of a vector: byte e of the vector gets element e. */
static void pack_sixteen(uint8_t *vec, const uint8_t *block, const uint16_t *bit_of,
                         uint32_t width, uint32_t shift)
{
    const uint32_t from = bit_of[0] % 8, mask = (1u << width) - 1;
    const uint8_t *bytes = block + bit_of[0] / 8;

    if (is_run(bit_of, 16, 8) &&
        from + width <= 8) { /* the common case, as vector code */
        for (uint32_t e = 0; e < 16; e++)
            vec[e] |= (uint8_t)((bytes[e] >> from & mask) << shift);
        return;
    }
    for (uint32_t e = 0; e < 16; e++)
        or_bits(vec, 8 * e + shift, width, get_bits(block, bit_of[e], width));
}

static void pack_vector(uint8_t *vec, const uint8_t *block, const uint16_t *bit_of,
                        uint32_t width)
{
    if (width < 8) {
        for (uint32_t shift = 0; shift < 8; shift += width)
            pack_sixteen(vec, block, bit_of + 16 * (shift / width), width, shift);
        return;
    }
    if (is_run(bit_of, 128 / width, width) && bit_of[0] % 8 == 0) {
        memcpy(vec, block + bit_of[0] / 8, IQT_VEC_BYTES);
        return;
    }
    for (uint32_t e = 0; e < 128 / width; e++)
        or_bits(vec, element_bit(width, e), width, get_bits(block, bit_of[e], width));
}

static void unpack_vector(const uint8_t *vec, uint8_t *block, const uint16_t *bit_of,
                          uint32_t width)
{
    for (uint32_t e = 0; e < 128 / width; e++)
        or_bits(block, bit_of[e], width, get_bits(vec, element_bit(width, e), width));
}

static void copy_vector(const struct row_copy *c, const struct iqt_vec_plane *v,
                        const uint16_t *bit_of, size_t unit, uint32_t j)
{
    const struct iqt_format *f = c->p->format;
    const size_t first = unit * c->p->unit + (size_t)j * v->vec_weights;
    uint8_t *block = c->native + f->row_head + first / f->superblock * f->bytes;
    uint8_t *vec = c->packed + IQT_VEC_BYTES * ((size_t)(v->first + j) * c->units + unit);
    const uint32_t inside = (uint32_t)(first % f->superblock) / v->element_weights;

    if (c->pack)
        pack_vector(vec, block, bit_of + inside, v->plane->width);
    else
        unpack_vector(vec, block, bit_of + inside, v->plane->width);
}

static void copy_plane(const struct row_copy *c, const struct iqt_vec_plane *v)
{
    uint16_t bit_of[256];
    const uint32_t elements = c->p->format->superblock / v->element_weights;

    for (uint32_t e = 0; e < elements; e++)
        bit_of[e] = (uint16_t)iqt_plane_bit(v->plane, e * v->element_weights);
    for (size_t unit = 0; unit < c->units; unit++)
        for (uint32_t j = 0; j < v->count; j++)
            copy_vector(c, v, bit_of, unit, j);
}

static void copy_side(const struct row_copy *c)
{
    const struct iqt_format *f = c->p->format;
    uint8_t *side = c->packed + (size_t)IQT_VEC_BYTES * c->p->vecs * c->units;
    uint8_t *block = c->native + f->row_head;

    for (size_t s = 0; s < c->k / f->superblock; s++) {
        for (uint32_t byte = 0; byte < f->bytes; byte++) {
            if (c->p->side_of[byte] == 0xffff)
                continue;
            if (c->pack)
                side[c->p->side_of[byte]] = block[byte];
            else
                block[byte] = side[c->p->side_of[byte]];
        }
        side += c->p->side_bytes;
        block += f->bytes;
    }
    memcpy(c->pack ? side : c->native, c->pack ? c->native : side, f->row_head);
}

static void copy_row(const struct row_copy *c)
{
    for (uint32_t n = 0; n < c->p->planes; n++)
        copy_plane(c, &c->p->plane[n]);
    copy_side(c);
}

void iqt_pack_rows(const struct iqt_packing *p, size_t k, size_t rows,
                   const uint8_t *native, uint8_t *packed)
{
    const size_t from = iqt_layout_row_bytes(p->format, IQT_LAYOUT_NATIVE, k);
    const size_t to = iqt_layout_row_bytes(p->format, IQT_LAYOUT_PACKED, k);

    assert(k % p->unit == 0 && k % p->format->superblock == 0);
    memset(packed, 0, rows * to);
    for (size_t r = 0; r < rows; r++)
        copy_row(&(struct row_copy){ p, k, k / p->unit,
                                     (uint8_t *)(uintptr_t)(native + r * from),
                                     packed + r * to, true });
}

void iqt_unpack_rows(const struct iqt_packing *p, size_t k, size_t rows,
                     const uint8_t *packed, uint8_t *native)
{
    const size_t from = iqt_layout_row_bytes(p->format, IQT_LAYOUT_PACKED, k);
    const size_t to = iqt_layout_row_bytes(p->format, IQT_LAYOUT_NATIVE, k);

    assert(k % p->unit == 0 && k % p->format->superblock == 0);
    memset(native, 0, rows * to);
    for (size_t r = 0; r < rows; r++)
        copy_row(&(struct row_copy){ p, k, k / p->unit, native + r * to,
                                     (uint8_t *)(uintptr_t)(packed + r * from), false });
}
