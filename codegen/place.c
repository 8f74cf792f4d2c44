/* Maps the bits of a superblock to where a plan's layout keeps them. Emits nothing. */
#include "codegen/place.h"

#include <assert.h>

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void place_plane(struct iqt_places *p, const struct iqt_vec_plane *v)
{
    const struct iqt_format *f = p->packing.format;
    const uint32_t weights = v->element_weights;

    for (uint32_t i = 0; i < f->superblock; i += weights) {
        const uint32_t unit = i / p->packing.unit, inside = i % p->packing.unit;
        const uint32_t e = inside % v->vec_weights / weights;

        for (uint32_t b = 0; b < v->width; b++)
            p->of_bit[iqt_vec_plane_bit(v, i, b)] = (struct iqt_place){
                .in_vec = true,
                .number = (uint16_t)(unit * p->packing.vecs + v->first +
                                     inside / v->vec_weights),
                .bit = iqt_vec_element_bit(v, e) + b,
            };
    }
}

void iqt_places_init(struct iqt_places *p, const struct iqt_plan *plan)
{
    const struct iqt_format *f = plan->format;

    p->plan = plan;
    p->superblocks = max_u32(1, plan->span / f->superblock);
    p->parts = max_u32(1, f->superblock / plan->span);
    iqt_packing_init(&p->packing, f);
    for (uint32_t bit = 0; bit < f->bytes * 8u; bit++) {
        const uint32_t side = p->packing.side_of[bit / 8];
        const bool packed = plan->layout == IQT_LAYOUT_PACKED;

        p->of_bit[bit] = (struct iqt_place){ .bit = packed ? side * 8 + bit % 8 : bit };
    }
    p->vecs = 0;
    if (plan->layout == IQT_LAYOUT_NATIVE)
        return;
    p->vecs = (uint32_t)plan->span / p->packing.unit * p->packing.vecs;
    for (uint32_t n = 0; n < p->packing.planes; n++)
        place_plane(p, &p->packing.plane[n]);
}

static struct iqt_place place_at(const struct iqt_places *p, uint32_t bit, uint32_t i)
{
    const uint32_t superblock = i / p->packing.format->superblock;
    const uint32_t units = p->packing.format->superblock / p->packing.unit;
    struct iqt_place place = p->of_bit[bit];

    place.number = (uint16_t)(place.number +
                              superblock * (place.in_vec ? units * p->packing.vecs : 1u));
    return place;
}

struct iqt_place iqt_place_of(const struct iqt_places *p, const struct iqt_plane *plane,
                              uint32_t i)
{
    assert(i < p->plan->span);
    return place_at(p, iqt_plane_bit(plane, i % p->packing.format->superblock), i);
}

struct iqt_plane iqt_place_joined(const struct iqt_places *p, const struct iqt_field *f,
                                  uint32_t i, uint32_t *n)
{
    struct iqt_plane all = f->plane[*n];
    const struct iqt_place first = iqt_place_of(p, &all, i);

    while (first.in_vec && *n + 1 < IQT_MAX_PLANES && f->plane[*n + 1].width) {
        const struct iqt_plane *next = &f->plane[*n + 1];
        const struct iqt_place place = iqt_place_of(p, next, i);

        if (!place.in_vec || place.number != first.number ||
            place.bit != first.bit + all.width ||
            first.bit / 32 != (place.bit + next->width - 1) / 32 ||
            next->to != all.to + all.width)
            break;
        all.width = (uint8_t)(all.width + next->width);
        (*n)++;
    }
    return all;
}

bool iqt_place_is_apart(const struct iqt_places *p, const struct iqt_plane *plane)
{
    const struct iqt_place first = p->of_bit[iqt_plane_bit(plane, 0)];

    return first.in_vec && iqt_packing_is_topped(&p->packing) &&
           first.bit % 16 + plane->width > 16;
}

struct iqt_place iqt_place_of_byte(const struct iqt_places *p, uint32_t byte, uint32_t i)
{
    return place_at(p, byte * 8, i);
}

uint32_t iqt_place_part_stride(const struct iqt_places *p, const struct iqt_plane *plane,
                               uint32_t j)
{
    const uint32_t weight = (uint32_t)p->plan->span << j;
    const struct iqt_place first = p->of_bit[iqt_plane_bit(plane, 0)];
    const struct iqt_place next = p->of_bit[iqt_plane_bit(plane, weight)];

    assert(weight < 1u << IQT_INDEX_BITS);
    return first.in_vec ? 0 : next.bit - first.bit;
}

uint32_t iqt_place_base_bytes(const struct iqt_places *p)
{
    return p->plan->layout == IQT_LAYOUT_PACKED ? p->packing.side_bytes
                                                : p->packing.format->bytes;
}

uint32_t iqt_place_alignment(const struct iqt_places *p)
{
    const struct iqt_format *f = p->packing.format;
    uint32_t bytes = p->packing.side_bytes;

    if (p->plan->layout == IQT_LAYOUT_NATIVE)
        bytes = (uint32_t)(f->bytes | f->row_head);
    return bytes % 4 == 0 ? 4 : bytes % 2 == 0 ? 2 : 1;
}

static const struct iqt_field *field_of(const struct iqt_format *f, uint32_t n)
{
    const struct iqt_field *const fields[] = {
        &f->code,           &f->shift,   &f->sign, &f->scale.raw,
        &f->scale.negative, &f->min.raw, NULL,
    };

    return fields[n];
}

/* Whether a plane's address outside vectors is the first part's plus the parts' strides. */
static bool is_linear(const struct iqt_places *p, const struct iqt_plane *plane)
{
    for (uint32_t i = 0; i < p->packing.format->superblock; i++) {
        const struct iqt_place place = p->of_bit[iqt_plane_bit(plane, i)];
        const uint32_t part = i / p->plan->span;
        uint32_t bit = p->of_bit[iqt_plane_bit(plane, i % p->plan->span)].bit;

        if (place.in_vec)
            continue;
        for (uint32_t j = 0; 1u << j < p->parts; j++)
            bit += (part >> j & 1u) * iqt_place_part_stride(p, plane, j);
        if (bit != place.bit)
            return false;
    }
    return true;
}

enum iqt_status iqt_places_check(const struct iqt_places *p)
{
    const struct iqt_format *f = p->packing.format;

    if (p->parts == 1)
        return IQT_OK;
    for (uint32_t n = 0; field_of(f, n) != NULL; n++)
        for (const struct iqt_plane *plane = field_of(f, n)->plane;
             plane < field_of(f, n)->plane + IQT_MAX_PLANES && plane->width; plane++)
            if (!is_linear(p, plane))
                return iqt_fail(
                    IQT_ERR_UNSUPPORTED,
                    "s%u: the %s layout of %s needs s%u, its side bytes are apart",
                    p->plan->span, iqt_layout_name(p->plan->layout), f->name,
                    f->superblock);
    return IQT_OK;
}
