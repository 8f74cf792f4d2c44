/* Scales, shift bits and seeds of the host dialect: those of many blocks or groups at once, a lane each. Decides
 * where the lanes come from; the operations are spelled in prelude_host*.h. */
#include "codegen/emit_host.h"

#include <stdio.h>
#include <stdlib.h>

enum { WINDOW = 16, NOTHING = 0x80 }; /* NOTHING: a shuffle makes it 0 */

static uint32_t blocks(const struct iqt_emit *e)
{
    return e->plan->format->superblock / e->plan->format->block;
}

/* Lanes of 32 bits. */
static uint32_t group_size(const struct iqt_emit *e)
{
    return e->lanes / 4;
}

uint32_t iqt_host_scale_groups(const struct iqt_emit *e)
{
    return (blocks(e) + group_size(e) - 1) / group_size(e);
}

/* Of lanes that are not used: that of the first one. */
static struct iqt_place place_of(const struct iqt_emit *e, const struct iqt_plane *plane,
                                 struct iqt_lanes s, uint32_t lane)
{
    return iqt_place_of(e->places, plane, s.first + s.step * (lane < s.count ? lane : 0));
}

/* A load of 16 bytes that has a plane's bits of all lanes. */
struct window {
    int begin; /* from at[r], or of the vector: 0 */
    char address[64];
};

/* false: there is none that stays inside of the row. A vector is one. */
static bool find_window(const struct iqt_emit *e, const struct iqt_plane *plane,
                        struct iqt_lanes s, struct window *out)
{
    struct iqt_place first = place_of(e, plane, s, 0);
    const bool apart = iqt_place_is_apart(e->places, plane);
    const bool vectors_before =
        e->plan->layout == IQT_LAYOUT_PACKED && e->places->vecs > 0;
    const int last = first.in_vec ? WINDOW : (int)iqt_place_base_bytes(e->places);
    int low = last, high = 0;

    for (uint32_t i = 0; i < s.count; i++) {
        const struct iqt_place place = place_of(e, plane, s, i);
        const int from = (int)place.bit / 8, to = (int)(place.bit + plane->width - 1) / 8;

        if (place.in_vec != first.in_vec ||
            (place.in_vec && place.number != first.number) || to > from + 1)
            return false;
        low = from < low ? from : low;
        high = to > high ? to : high;
    }
    out->begin = low + WINDOW > last ? last - WINDOW : low;
    first.bit = 0;
    if (first.in_vec)
        iqt_host_address(e, first, out->address);
    else
        snprintf(out->address, sizeof(out->address), "at[r] + %d", out->begin);
    return !apart && high < out->begin + WINDOW && (out->begin >= 0 || vectors_before);
}

/* ---- Lanes of 32 bits ---- */

/* One load for all lanes, or one for each half of a wide vector. */
struct windows {
    struct window half[2];
    bool same;
};

static bool find_windows(const struct iqt_emit *e, const struct iqt_plane *plane,
                         struct iqt_lanes s, struct windows *out)
{
    const uint32_t middle = group_size(e) / 2;
    const struct iqt_lanes low = { s.first, s.step, middle };
    const struct iqt_lanes high = { s.first + s.step * middle, s.step, s.count - middle };

    out->same = find_window(e, plane, s, &out->half[0]);
    out->half[1] = out->half[0];
    return out->same || (e->lanes == 64 && s.count > middle &&
                         find_window(e, plane, low, &out->half[0]) &&
                         find_window(e, plane, high, &out->half[1]));
}

static bool has_windows(const struct iqt_emit *e, const struct iqt_field *f,
                        struct iqt_lanes s)
{
    struct windows w;

    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->plane[n].width; n++) {
        const struct iqt_plane plane = iqt_place_joined(e->places, f, s.first, &n);

        if (!find_windows(e, &plane, s, &w))
            return false;
    }
    return true;
}

static void emit_windows(struct iqt_emit *e, const struct windows *w)
{
    if (!w->same)
        iqt_emit_line(e, "const vbytes in = join(load16(%s), load16(%s));",
                      w->half[0].address, w->half[1].address);
    else
        iqt_emit_line(e, "const vbytes in = %s(%s);",
                      e->lanes == 64 ? "quarters" : "load16", w->half[0].address);
}

/* <name> becomes, or gets, the bits of one plane. */
static void emit_plane(struct iqt_emit *e, const char *name,
                       const struct iqt_plane *plane, struct iqt_lanes s, bool more)
{
    const uint32_t size = group_size(e);
    struct iqt_buf from = { 0 }, by = { 0 };
    struct windows w;

    if (!find_windows(e, plane, s, &w))
        return;
    for (uint32_t i = 0; i < size; i++) {
        const struct iqt_place place = place_of(e, plane, s, i);
        const uint32_t byte =
            (uint32_t)((int)(place.bit / 8) - w.half[2 * i / size].begin);
        const uint32_t shift = place.bit % 8;
        const uint32_t next = shift + plane->width > 8 ? byte + 1 : NOTHING;
        const uint32_t bytes = i < s.count ? byte | next << 8 : NOTHING * 0x101u;

        iqt_buf_printf(&from, "0x%08xu, ", NOTHING * 0x1010000u | bytes);
        iqt_buf_printf(&by, "%u, ", i < s.count ? shift : 0);
    }
    iqt_emit_scope(e);
    iqt_emit_line(e, "static const uint32_t from[] = { %s};", iqt_buf_text(&from));
    iqt_emit_line(e, "static const uint32_t by[] = { %s};", iqt_buf_text(&by));
    emit_windows(e, &w);
    iqt_emit_line(e, "const vints bits = lanes(in, from, by, 0x%x, %u);",
                  (1u << plane->width) - 1, plane->to);
    if (more)
        iqt_emit_line(e, "%s = or_i(%s, bits);", name, name);
    else
        iqt_emit_line(e, "%s = bits;", name);
    iqt_emit_close(e);
    iqt_buf_free(&from);
    iqt_buf_free(&by);
}

/* Bytes one by one, in registers: what is stored in pieces and loaded at once waits. */
static void emit_byte_gather(struct iqt_emit *e, const struct iqt_field *f,
                             struct iqt_lanes s)
{
    iqt_emit_line(e, "uint64_t lane[2] = { 0 };");
    for (uint32_t i = 0; i < s.count; i++) {
        char left[48], right[16];

        snprintf(left, sizeof(left), "lane[%u] |= (uint64_t)(", i / 8);
        snprintf(right, sizeof(right), ") << %u;", i % 8 * 8);
        iqt_emit_host_scalar(e, left, f, s.first + i * s.step, right);
    }
}

/* Where a field's bits lie too far apart. */
static void emit_gather(struct iqt_emit *e, const char *name, const struct iqt_field *f,
                        struct iqt_lanes s)
{
    iqt_emit_scope(e);
    if (iqt_field_width(f) <= 8) {
        emit_byte_gather(e, f, s);
        iqt_emit_line(e, "%s = bytes_i(lane);", name);
        iqt_emit_close(e);
        return;
    }
    iqt_emit_line(e, "uint32_t lane[%u] = { 0 };", group_size(e));
    for (uint32_t i = 0; i < s.count; i++) {
        char left[32];

        snprintf(left, sizeof(left), "lane[%u] = ", i);
        iqt_emit_host_scalar(e, left, f, s.first + i * s.step, ";");
    }
    iqt_emit_line(e, "%s = load_i(lane);", name);
    iqt_emit_close(e);
}

void iqt_emit_host_lanes(struct iqt_emit *e, const char *name, const struct iqt_field *f,
                         struct iqt_lanes s)
{
    iqt_emit_line(e, "vints %s;", name);
    if (!has_windows(e, f, s)) {
        emit_gather(e, name, f, s);
        return;
    }
    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->plane[n].width; n++) {
        const bool more = n > 0;
        const struct iqt_plane plane = iqt_place_joined(e->places, f, s.first, &n);

        emit_plane(e, name, &plane, s, more);
    }
}

/* vints level: integer scales. */
static void emit_levels(struct iqt_emit *e, const struct iqt_scale *scale,
                        struct iqt_lanes s)
{
    if (iqt_field_empty(&scale->raw)) {
        iqt_emit_line(e, "vints level = set_i(%d);", scale->add);
        return;
    }
    iqt_emit_host_lanes(e, "level", &scale->raw, s);
    if (scale->table) {
        iqt_emit_line(e, "level = table_i(level, scale_table);");
    } else {
        if (scale->is_signed)
            iqt_emit_line(e, "level = signed_i(level, %d);", 1 << (scale->is_signed - 1));
        if (scale->mul != 1 || scale->add)
            iqt_emit_line(e, "level = affine_i(level, %d, %d);", scale->mul, scale->add);
    }
    if (!iqt_field_empty(&scale->negative)) {
        iqt_emit_host_lanes(e, "negative", &scale->negative, s);
        iqt_emit_line(e, "level = negate_i(level, negative);");
    }
}

/* ---- Bytes ---- */

/* shift[r]: for each block what its shift bit adds to a value, in each 16 bytes. */
static void emit_shifts(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_lanes all = { 0, f->block, blocks(e) };
    struct iqt_buf from = { 0 }, bit = { 0 };
    struct window w;

    iqt_emit_scope(e);
    if (!find_window(e, &f->shift.plane[0], all, &w)) {
        emit_byte_gather(e, &f->shift, all);
        iqt_emit_line(e, "shift[r] = times(lane, %u);", (uint8_t)f->codebook->shift);
        iqt_emit_close(e);
        return;
    }
    for (uint32_t i = 0; i < WINDOW; i++) {
        const uint32_t at = place_of(e, &f->shift.plane[0], all, i).bit;

        iqt_buf_printf(&from, "%d, ", i < all.count ? (int)(at / 8) - w.begin : NOTHING);
        iqt_buf_printf(&bit, "%u, ", 1u << at % 8);
    }
    iqt_emit_line(e, "static const uint8_t from[] = { %s};", iqt_buf_text(&from));
    iqt_emit_line(e, "static const uint8_t bit[] = { %s};", iqt_buf_text(&bit));
    iqt_emit_line(e, "shift[r] = where_bit(%s, from, bit, %d);", w.address,
                  f->codebook->shift);
    iqt_emit_close(e);
    iqt_buf_free(&from);
    iqt_buf_free(&bit);
}

enum iqt_shifts iqt_host_shifts(const struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_codebook *c = f->codebook;

    if (f->decode != IQT_DECODE_CODEBOOK || c->dim != 1 || iqt_field_empty(&f->shift))
        return IQT_SHIFTS_NONE;
    for (uint32_t i = 0; i < c->count; i++)
        if (4 * abs(c->value[i] + c->shift) < abs(c->value[i]))
            return IQT_SHIFTS_OF_VALUES;
    return IQT_SHIFTS_OF_SUMS;
}

bool iqt_host_has_rests(const struct iqt_emit *e)
{
    return iqt_host_shifts(e) == IQT_SHIFTS_OF_SUMS || iqt_has_min(e->plan->format);
}

/* ---- A superblock ---- */

/* rest[r][h], from scale[r][h]. No format has both kinds. */
static void emit_rest(struct iqt_emit *e, uint32_t h, struct iqt_lanes s)
{
    const struct iqt_format *f = e->plan->format;

    iqt_emit_scope(e);
    if (iqt_has_min(f)) {
        emit_levels(e, &f->min, s);
        iqt_emit_line(e, "rest[r][%u] = scaled(-dmin[r], level);", h);
    } else {
        iqt_emit_host_lanes(e, "second", &f->shift, s);
        iqt_emit_line(e, "rest[r][%u] = times_if(scale[r][%u], %d, second);", h, h,
                      f->codebook->shift);
    }
    iqt_emit_close(e);
}

/* scale[r][h] and rest[r][h]. */
static void emit_group(struct iqt_emit *e, uint32_t h)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t size = group_size(e), left = blocks(e) - size * h;
    const struct iqt_lanes s = { size * h * f->block, f->block,
                                 left < size ? left : size };

    iqt_emit_scope(e);
    if (iqt_field_empty(&f->scale.raw)) {
        iqt_emit_line(e, "scale[r][%u] = set_f(d[r]);", h);
    } else {
        emit_levels(e, &f->scale, s);
        iqt_emit_line(e, "scale[r][%u] = scaled(d[r], level);", h);
    }
    iqt_emit_close(e);
    if (iqt_host_has_rests(e))
        emit_rest(e, h, s);
}

void iqt_emit_host_scales(struct iqt_emit *e)
{
    for (uint32_t h = 0; h < iqt_host_scale_groups(e); h++)
        emit_group(e, h);
    if (iqt_host_shifts(e) == IQT_SHIFTS_OF_VALUES)
        emit_shifts(e);
}

/* The scales of x of a group's blocks. */
static const char *dx_of(const struct iqt_emit *e, uint32_t h)
{
    return e->plan->format->block == 32 ? "dx" : h == 0 ? "twice(dx, 0)" : "twice(dx, 1)";
}

void iqt_emit_host_factors(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;

    iqt_emit_line(e, "const vfloats dx = load_d(xs, %u);", f->superblock / 32u);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    for (uint32_t h = 0; h < iqt_host_scale_groups(e); h++)
        iqt_emit_line(e, "factor[r][%u] = mul_f(scale[r][%u], %s);", h, h, dx_of(e, h));
    iqt_emit_close(e);
}

void iqt_emit_host_rests(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t chains = 64 / e->lanes;

    iqt_emit_open(e, "for (uint32_t c = 0; c < COLS; c++)");
    iqt_emit_line(e, "const struct iqt_xs *s = xs + c * (k / 32);");
    iqt_emit_line(e, "const vfloats dx = load_d(s, %u);", f->superblock / 32u);
    for (uint32_t h = 0; h < iqt_host_scale_groups(e); h++) {
        iqt_emit_scope(e);
        iqt_emit_line(e, "const vfloats sums = mul_f(%s, load_sums%u(s, %u));", dx_of(e, h),
                      f->block, f->block == 32 ? f->superblock / 32u : h);
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (int r = 0; r < R; r++)");
        iqt_emit_line(e, "    sum[r][c][%u] = fma_f(rest[r][%u], sums, sum[r][c][%u]);",
                      h % chains, h, h % chains);
        iqt_emit_close(e);
    }
    iqt_emit_close(e);
}
