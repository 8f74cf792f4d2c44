/* Where a weight's bits lie, as seen by a kernel that takes one span at a time. Turns the table's
 * bit planes into places: a bit of a loaded vector, or a bit address from the superblock's (native)
 * or its side record's (packed) first byte, static part and part that depends on the span. */
#ifndef IQT_CODEGEN_PLACE_H
#define IQT_CODEGEN_PLACE_H

#include "kernels/layout.h"
#include "kernels/plan.h"

struct iqt_place {
    bool in_vec;
    uint16_t number; /* vector of the span, or superblock of the span */
    uint32_t bit;    /* inside the vector, or from the base address */
};

struct iqt_places {
    const struct iqt_plan *plan;
    struct iqt_packing packing;
    uint32_t superblocks; /* of a span, at least 1 */
    uint32_t parts;       /* spans of a superblock, at least 1; > 1: "part" is dynamic */
    uint32_t vecs;        /* vectors of a span */
    struct iqt_place of_bit[512 * 8]; /* of the first superblock's bits */
};

void iqt_places_init(struct iqt_places *p, const struct iqt_plan *plan);
/* IQT_ERR_UNSUPPORTED when the parts of a superblock cannot be addressed by strides. */
IQT_MUST_USE enum iqt_status iqt_places_check(const struct iqt_places *p);
/* Place of a plane's lowest bit for weight i of the span (its first part). */
struct iqt_place iqt_place_of(const struct iqt_places *p, const struct iqt_plane *plane,
                              uint32_t i);
/* Plane *n of a field, and those behind it whose bits follow in the same word of a vector; *n: the last. */
struct iqt_plane iqt_place_joined(const struct iqt_places *p, const struct iqt_field *f,
                                  uint32_t i, uint32_t *n);
/* Whether the plane's bits are apart from each other: on top of the elements of a block, one by one. */
bool iqt_place_is_apart(const struct iqt_places *p, const struct iqt_plane *plane);
/* Place of a byte of the superblock that holds weight i of the span. */
struct iqt_place iqt_place_of_byte(const struct iqt_places *p, uint32_t byte, uint32_t i);
/* What bit j of the part number adds to a plane's address outside vectors, in bits. */
uint32_t iqt_place_part_stride(const struct iqt_places *p, const struct iqt_plane *plane,
                               uint32_t j);
/* Bytes between the bases of consecutive superblocks, and their guaranteed alignment. */
uint32_t iqt_place_base_bytes(const struct iqt_places *p);
uint32_t iqt_place_alignment(const struct iqt_places *p);

#endif
