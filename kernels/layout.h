/* Where the bits of a row lie: native (as in GGUF) or packed (made for the kernels).
 *
 * Packed row of k weights, U = unit weights, V = vectors per unit, u = k / U units:
 *
 *     V sections of u 16-byte vectors | side bytes of every superblock | row header | pad to 16
 *
 * Vector v of unit n is at byte 16 * (v * u + n). A plane of w-bit elements fills whole vectors:
 * for w < 8 element e of a vector is byte e % 16, shift w * (e / 16); for w >= 8 elements follow
 * one another. Side bytes are the superblock's bytes that no vector covers, in file order. It
 * is a permutation: unpacking gives back the GGUF bytes.
 *
 * Codes of 15 bits, where a block has as many bits beside them as codes, are elements of 16 bits: the
 * code whole, and on top of element n of a block bit n of its fields. A unit has four vectors. */
#ifndef IQT_KERNELS_LAYOUT_H
#define IQT_KERNELS_LAYOUT_H

#include "kernels/format.h"

enum { IQT_VEC_BYTES = 16, IQT_MAX_VECS = 32, IQT_VEC_PIECES = 4 };

/* A plane of the code or sign field stored as vectors, or several whose bits make one element. */
struct iqt_vec_plane {
    uint8_t width, pieces;                  /* bits of an element */
    struct iqt_plane piece[IQT_VEC_PIECES]; /* from bit `to` of the element on */
    uint16_t element_weights; /* weights per element: 1, 2 for pairs, the trellis group */
    uint16_t vec_weights;     /* weights covered by one vector */
    uint8_t first, count;     /* vectors of a unit: [first, first + count) */
};

struct iqt_packing {
    const struct iqt_format *format;
    uint16_t unit; /* U, weights */
    uint8_t vecs;  /* V */
    uint8_t planes;
    struct iqt_vec_plane plane[IQT_MAX_PLANES];
    uint16_t side_bytes;   /* per superblock */
    uint16_t side_of[512]; /* superblock byte -> side byte, 0xffff when in a vector */
};

/* Derives the packing of a format from its table entry. Cannot fail for entries of the table. */
void iqt_packing_init(struct iqt_packing *p, const struct iqt_format *f);

/* Bit of a superblock that is bit b of the element of weight i; and the bit of a vector at which its
 * element e begins. */
uint32_t iqt_vec_plane_bit(const struct iqt_vec_plane *v, uint32_t i, uint32_t b);
uint32_t iqt_vec_element_bit(const struct iqt_vec_plane *v, uint32_t e);
/* Whether the blocks' shifts and scales are the top bits of their elements. */
bool iqt_packing_is_topped(const struct iqt_packing *p);

/* Bytes between rows in a layout; k must be legal for the format. */
size_t iqt_layout_row_bytes(const struct iqt_format *f, enum iqt_layout layout, size_t k);
const char *iqt_layout_name(enum iqt_layout layout);

/* Permutes rows between GGUF bytes and packed bytes; pad bytes of packed rows become 0. */
void iqt_pack_rows(const struct iqt_packing *p, size_t k, size_t rows,
                   const uint8_t *native, uint8_t *packed);
void iqt_unpack_rows(const struct iqt_packing *p, size_t k, size_t rows,
                     const uint8_t *packed, uint8_t *native);

#endif
