/* Scales and shift bits of the host dialect: those of all blocks of a superblock at once, a lane each. Decides
 * where the lanes come from; the operations are spelled in prelude_host*.h. */
#include "codegen/emit_host.h"

#include <stdio.h>

enum { GROUP = 8, WINDOW = 16, NOTHING = 0x80 }; /* NOTHING: a shuffle makes it 0 */

static uint32_t blocks(const struct iqt_emit *e)
{
    return e->plan->format->superblock / e->plan->format->block;
}

uint32_t iqt_host_scale_groups(const struct iqt_emit *e)
{
    return (blocks(e) + GROUP - 1) / GROUP;
}

/* Of the planes' bits of blocks [first, first + count). */
struct span {
    uint32_t first, count;
};

static struct iqt_place place_of_block(const struct iqt_emit *e,
                                       const struct iqt_plane *plane, uint32_t block)
{
    return iqt_place_of(e->places, plane, block * e->plan->format->block);
}

/* The first byte of a load of 16 that has a plane's bits of some blocks and stays inside of the row; false: there
 * is none. */
static bool find_window(const struct iqt_emit *e, const struct iqt_plane *plane,
                        struct span s, int *begin)
{
    const int last = (int)iqt_place_base_bytes(e->places);
    const bool vectors_before =
        e->plan->layout == IQT_LAYOUT_PACKED && e->places->vecs > 0;
    int low = last, high = 0;

    for (uint32_t i = 0; i < s.count; i++) {
        const struct iqt_place place = place_of_block(e, plane, s.first + i);
        const int from = (int)place.bit / 8, to = (int)(place.bit + plane->width - 1) / 8;

        if (place.in_vec || to > from + 1)
            return false;
        low = from < low ? from : low;
        high = to > high ? to : high;
    }
    *begin = low + WINDOW > last ? last - WINDOW : low;
    return high < *begin + WINDOW && (*begin >= 0 || vectors_before);
}

static bool has_windows(const struct iqt_emit *e, const struct iqt_field *f,
                        struct span s)
{
    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->plane[n].width; n++) {
        int begin;

        if (!find_window(e, &f->plane[n], s, &begin))
            return false;
    }
    return true;
}

/* ---- Lanes of 32 bits ---- */

/* <name> becomes, or gets, the bits of one plane. */
static void emit_plane(struct iqt_emit *e, const char *name,
                       const struct iqt_plane *plane, struct span s, bool more)
{
    struct iqt_buf from = { 0 }, by = { 0 };
    int begin = 0;

    find_window(e, plane, s, &begin);
    for (uint32_t i = 0; i < GROUP; i++) {
        const struct iqt_place place =
            place_of_block(e, plane, s.first + (i < s.count ? i : 0));
        const uint32_t byte = place.bit / 8 - (uint32_t)begin, shift = place.bit % 8;
        const uint32_t next = shift + plane->width > 8 ? byte + 1 : NOTHING;
        const uint32_t bytes = i < s.count ? byte | next << 8 : NOTHING * 0x101u;

        iqt_buf_printf(&from, "0x%08xu, ", NOTHING * 0x1010000u | bytes);
        iqt_buf_printf(&by, "%u, ", i < s.count ? shift : 0);
    }
    iqt_emit_scope(e);
    iqt_emit_line(e, "static const uint32_t from[8] = { %s};", iqt_buf_text(&from));
    iqt_emit_line(e, "static const uint32_t by[8] = { %s};", iqt_buf_text(&by));
    iqt_emit_line(e, "const v8i bits = lanes(at[r] + %d, from, by, 0x%x, %u);", begin,
                  (1u << plane->width) - 1, plane->to);
    if (more)
        iqt_emit_line(e, "%s = or_i(%s, bits);", name, name);
    else
        iqt_emit_line(e, "%s = bits;", name);
    iqt_emit_close(e);
    iqt_buf_free(&from);
    iqt_buf_free(&by);
}

/* One by one, where a field's bits lie too far apart. */
static void emit_gather(struct iqt_emit *e, const char *name, const struct iqt_field *f,
                        struct span s)
{
    iqt_emit_scope(e);
    iqt_emit_line(e, "uint32_t lane[8] = { 0 };");
    for (uint32_t i = 0; i < s.count; i++) {
        char left[32];

        snprintf(left, sizeof(left), "lane[%u] = ", i);
        iqt_emit_host_scalar(e, left, f, (s.first + i) * e->plan->format->block, ";");
    }
    iqt_emit_line(e, "%s = load_i(lane);", name);
    iqt_emit_close(e);
}

static void emit_field(struct iqt_emit *e, const char *name, const struct iqt_field *f,
                       struct span s)
{
    iqt_emit_line(e, "v8i %s;", name);
    if (!has_windows(e, f, s)) {
        emit_gather(e, name, f, s);
        return;
    }
    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->plane[n].width; n++)
        emit_plane(e, name, &f->plane[n], s, n > 0);
}

/* v8i level: the integer scales of a group of blocks. */
static void emit_levels(struct iqt_emit *e, const struct iqt_scale *scale, struct span s)
{
    if (iqt_field_empty(&scale->raw)) {
        iqt_emit_line(e, "v8i level = set_i(%d);", scale->add);
        return;
    }
    emit_field(e, "level", &scale->raw, s);
    if (scale->table) {
        iqt_emit_line(e, "level = table_i(level, scale_table);");
    } else {
        if (scale->is_signed)
            iqt_emit_line(e, "level = signed_i(level, %d);", 1 << (scale->is_signed - 1));
        if (scale->mul != 1 || scale->add)
            iqt_emit_line(e, "level = affine_i(level, %d, %d);", scale->mul, scale->add);
    }
    if (!iqt_field_empty(&scale->negative)) {
        emit_field(e, "negative", &scale->negative, s);
        iqt_emit_line(e, "level = negate_i(level, negative);");
    }
}

/* ---- Bytes ---- */

/* shift[r]: for each block what its shift bit adds to a value, in both halves. */
static void emit_shifts(struct iqt_emit *e)
{
    const struct iqt_field *f = &e->plan->format->shift;
    const struct span all = { 0, blocks(e) };
    const int value = e->plan->format->codebook->shift;
    int begin = 0;

    iqt_emit_scope(e);
    if (all.count > WINDOW || !find_window(e, &f->plane[0], all, &begin)) {
        iqt_emit_line(e, "uint8_t lane[16] = { 0 };");
        for (uint32_t i = 0; i < all.count; i++) {
            char left[48];

            snprintf(left, sizeof(left), "lane[%u] = (uint8_t)(%d * (int)(", i, value);
            iqt_emit_host_scalar(e, left, f, i * e->plan->format->block, "));");
        }
        iqt_emit_line(e, "shift[r] = load16(lane);");
    } else {
        struct iqt_buf from = { 0 }, bit = { 0 };

        for (uint32_t i = 0; i < WINDOW; i++) {
            const uint32_t at =
                place_of_block(e, &f->plane[0], i < all.count ? i : 0).bit;

            iqt_buf_printf(&from, "%u, ",
                           i < all.count ? at / 8 - (uint32_t)begin : NOTHING);
            iqt_buf_printf(&bit, "%u, ", 1u << at % 8);
        }
        iqt_emit_line(e, "static const uint8_t from[16] = { %s};", iqt_buf_text(&from));
        iqt_emit_line(e, "static const uint8_t bit[16] = { %s};", iqt_buf_text(&bit));
        iqt_emit_line(e, "shift[r] = where_bit(at[r] + %d, from, bit, %d);", begin,
                      value);
        iqt_buf_free(&from);
        iqt_buf_free(&bit);
    }
    iqt_emit_close(e);
}

bool iqt_host_has_shifts(const struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;

    return f->decode == IQT_DECODE_CODEBOOK && f->codebook->dim == 1 &&
           !iqt_field_empty(&f->shift);
}

/* ---- A superblock ---- */

void iqt_emit_host_scales(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;

    for (uint32_t h = 0; h < iqt_host_scale_groups(e); h++) {
        const uint32_t left = blocks(e) - GROUP * h;
        const struct span s = { GROUP * h, left < GROUP ? left : GROUP };

        if (iqt_field_empty(&f->scale.raw)) {
            iqt_emit_line(e, "scale[r][%u] = set_f(d[r]);", h);
        } else {
            iqt_emit_scope(e);
            emit_levels(e, &f->scale, s);
            iqt_emit_line(e, "scale[r][%u] = scaled(d[r], level);", h);
            iqt_emit_close(e);
        }
        if (iqt_has_min(f)) {
            iqt_emit_scope(e);
            emit_levels(e, &f->min, s);
            iqt_emit_line(e, "store_f(least[r] + %u, scaled(dmin[r], level));",
                          GROUP * h);
            iqt_emit_close(e);
        }
    }
    if (iqt_host_has_shifts(e))
        emit_shifts(e);
}

void iqt_emit_host_factors(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;

    iqt_emit_open(e, "for (uint32_t c = 0; c < COLS; c++)");
    iqt_emit_line(e, "const v8f dx = load_d(xs + c * (k / 32), %u);",
                  f->superblock / 32u);
    iqt_emit_line(e, "for (int r = 0; r < R; r++)");
    if (f->block == 32)
        iqt_emit_line(e, "    factor[r][c][0] = mul_f(scale[r][0], dx);");
    else
        iqt_emit_line(
            e,
            "    for (int h = 0; h < %u; h++) factor[r][c][h] = mul_f(scale[r][h], twice(dx, h));",
            iqt_host_scale_groups(e));
    iqt_emit_close(e);
}
