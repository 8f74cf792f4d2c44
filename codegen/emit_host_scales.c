/* Scales, shift bits and seeds of the host dialect: those of many blocks or groups at once, a lane each. Decides
 * where the lanes come from; the operations are spelled in prelude_host*.h. */
#include "codegen/emit_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 16,
    WIDEST_LANES = 16,
    NOTHING = 0x80
}; /* NOTHING: a shuffle makes it 0 */

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
static bool find_window_of(const struct iqt_emit *e, const struct iqt_plane *planes,
                           uint32_t count, struct iqt_lanes s, struct window *out)
{
    struct iqt_place first = place_of(e, &planes[0], s, 0);
    const bool vectors_before =
        e->plan->layout == IQT_LAYOUT_PACKED && e->places->vecs > 0;
    const int last = first.in_vec ? WINDOW : (int)iqt_place_base_bytes(e->places);
    int low = last, high = 0;

    for (uint32_t i = 0; i < s.count * count; i++) {
        const struct iqt_plane *plane = &planes[i % count];
        const struct iqt_place place = place_of(e, plane, s, i / count);
        const int from = (int)place.bit / 8, to = (int)(place.bit + plane->width - 1) / 8;

        if (place.in_vec != first.in_vec ||
            (place.in_vec && place.number != first.number) || to > from + 1 ||
            iqt_place_is_apart(e->places, plane))
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
    return high < out->begin + WINDOW && (out->begin >= 0 || vectors_before);
}

static bool find_window(const struct iqt_emit *e, const struct iqt_plane *plane,
                        struct iqt_lanes s, struct window *out)
{
    return find_window_of(e, plane, 1, s, out);
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
    const struct iqt_lanes low = { s.first, s.step, middle, s.levels };
    const struct iqt_lanes high = { s.first + s.step * middle, s.step, s.count - middle,
                                    s.levels };

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
    iqt_emit_line(e, "const %s bits = %s(in, from, by, 0x%x, %u);",
                  s.levels ? "vlevels" : "vints", s.levels ? "levels" : "lanes",
                  (1u << plane->width) - 1, plane->to);
    if (more)
        iqt_emit_line(e, "%s = or_%s(%s, bits);", name, s.levels ? "levels" : "i", name);
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
        iqt_emit_line(e, "%s = bytes_%s(lane);", name, s.levels ? "levels" : "i");
        iqt_emit_close(e);
        return;
    }
    iqt_emit_line(e, "uint32_t lane[%u] = { 0 };", group_size(e));
    for (uint32_t i = 0; i < s.count; i++) {
        char left[32];

        snprintf(left, sizeof(left), "lane[%u] = ", i);
        iqt_emit_host_scalar(e, left, f, s.first + i * s.step, ";");
    }
    iqt_emit_line(e, "%s = load_%s(lane);", name, s.levels ? "levels" : "i");
    iqt_emit_close(e);
}

void iqt_emit_host_lanes(struct iqt_emit *e, const char *name, const struct iqt_field *f,
                         struct iqt_lanes s)
{
    iqt_emit_line(e, "%s %s;", s.levels ? "vlevels" : "vints", name);
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

/* ---- All fields of blocks at once, a byte of the lane each ---- */

/* Two lanes get their bits from eight bytes: those of the window that `from` names, each byte of a lane from the bit
 * on that `bit` names. */
struct bytes {
    struct iqt_plane plane[4];
    uint32_t count, raw, negative, shift; /* planes; of the scale, its sign, the shift */
    struct window window;
    uint8_t from[WIDEST_LANES * 4], bit[WIDEST_LANES * 4];
};

static void add_planes(const struct iqt_emit *e, const struct iqt_field *f,
                       struct iqt_lanes s, struct bytes *b)
{
    for (uint32_t n = 0; n < IQT_MAX_PLANES && f->plane[n].width; n++) {
        const struct iqt_plane plane = iqt_place_joined(e->places, f, s.first, &n);

        if (b->count < IQT_COUNT(b->plane))
            b->plane[b->count] = plane;
        b->count++;
    }
}

/* The bits of one lane, behind those that the eight bytes have. */
static uint32_t add_lane(const struct iqt_emit *e, struct bytes *b, struct iqt_lanes s,
                         uint32_t lane, uint32_t used)
{
    for (uint32_t n = 0; n < b->count; n++) {
        const struct iqt_place place = place_of(e, &b->plane[n], s, lane);
        const uint32_t byte = (uint32_t)((int)(place.bit / 8) - b->window.begin);
        const uint32_t shift = place.bit % 8;

        b->bit[4 * lane + n] = (uint8_t)(8 * used + shift);
        for (uint32_t i = 0; i <= (shift + b->plane[n].width - 1) / 8; i++, used++)
            if (used < 8)
                b->from[lane / 2 * 8 + used] = (uint8_t)(byte + i);
    }
    return used;
}

/* Weights that make the scale of its bytes, times mul. */
static bool find_weights(const struct bytes *b, int mul, uint32_t *out)
{
    *out = 0;
    for (uint32_t n = 0; n < b->raw; n++) {
        const int weight = mul * (1 << b->plane[n].to);

        if (weight > 127)
            return false;
        *out |= (uint32_t)weight << 8 * n;
    }
    return true;
}

/* false: there are too many, or too far apart. */
static bool find_bytes(const struct iqt_emit *e, const struct iqt_scale *scale,
                       bool shift, struct iqt_lanes s, struct bytes *b)
{
    uint32_t weights;

    *b = (struct bytes){ 0 };
    memset(b->from, NOTHING, sizeof(b->from));
    add_planes(e, &scale->raw, s, b);
    b->raw = b->count;
    add_planes(e, &scale->negative, s, b);
    b->negative = b->count - b->raw;
    if (shift)
        add_planes(e, &e->plan->format->shift, s, b);
    b->shift = b->count - b->raw - b->negative;
    if (e->lanes != 64 || b->raw == 0 || b->count > IQT_COUNT(b->plane) ||
        b->negative > 1 || b->shift > 1 || !find_weights(b, 1, &weights) ||
        !find_window_of(e, b->plane, b->count, s, &b->window))
        return false;
    for (uint32_t lane = 0; lane < s.count; lane += 2)
        if (add_lane(e, b, s, lane + 1, add_lane(e, b, s, lane, 0)) > 8)
            return false;
    return true;
}

static uint32_t mask_of(const struct bytes *b, uint32_t first, uint32_t count)
{
    uint32_t mask = 0;

    for (uint32_t n = first; n < first + count; n++)
        mask |= ((1u << b->plane[n].width) - 1) << 8 * n;
    return mask;
}

static void emit_byte_table(struct iqt_emit *e, const char *name, const uint8_t *v,
                            uint32_t count)
{
    struct iqt_buf b = { 0 };

    for (uint32_t i = 0; i < count; i++)
        iqt_buf_printf(&b, "%u, ", v[i]);
    iqt_emit_line(e, "static const uint8_t %s[] = { %s};", name, iqt_buf_text(&b));
    iqt_buf_free(&b);
}

/* vlevels bytes. */
static void emit_bytes(struct iqt_emit *e, const struct bytes *b, struct iqt_lanes s)
{
    emit_byte_table(e, "from", b->from, 4 * s.count);
    emit_byte_table(e, "bit", b->bit, 4 * s.count);
    iqt_emit_line(e, "const vlevels bytes = fields(%s, from, bit, 0x%xu);",
                  b->window.address, mask_of(b, 0, b->count));
}

/* ---- A superblock ---- */

/* Table or affine map of a raw level. */
static void emit_level_map(struct iqt_emit *e, const struct iqt_scale *scale)
{
    if (scale->table) {
        iqt_emit_line(e, "level = table_levels(level, scale_table);");
        return;
    }
    if (scale->is_signed)
        iqt_emit_line(e, "level = signed_levels(level, %d);",
                      1 << (scale->is_signed - 1));
    if (scale->mul != 1 || scale->add)
        iqt_emit_line(e, "level = affine_levels(level, %d, %d);", scale->mul, scale->add);
}

/* vlevels level: integer scales. */
static void emit_levels(struct iqt_emit *e, const struct iqt_scale *scale,
                        struct iqt_lanes s, const struct bytes *b)
{
    const bool affine = !scale->table && !scale->is_signed;
    uint32_t weights;

    if (b && affine && find_weights(b, scale->mul, &weights)) {
        iqt_emit_line(e, "vlevels level = weigh(bytes, 0x%xu, %d);", weights, scale->add);
    } else if (b && find_weights(b, 1, &weights)) {
        iqt_emit_line(e, "vlevels level = weigh(bytes, 0x%xu, 0);", weights);
        emit_level_map(e, scale);
    } else {
        iqt_emit_host_lanes(e, "level", &scale->raw, s);
        emit_level_map(e, scale);
    }
    if (b && b->negative)
        iqt_emit_line(e, "level = negate_levels(level, part(bytes, 0x%xu));",
                      mask_of(b, b->raw, 1));
    else if (!iqt_field_empty(&scale->negative)) {
        iqt_emit_host_lanes(e, "negative", &scale->negative, s);
        iqt_emit_line(e, "level = negate_levels(level, negative);");
    }
}

/* ---- Bytes ---- */

/* shift[r]: for each block what its shift bit adds to a value, in each 16 bytes. */
static void emit_shifts(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;
    const struct iqt_lanes all = { 0, f->block, blocks(e), true };
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

/* rest[r][h]. No format has both kinds. */
static void emit_minimum(struct iqt_emit *e, uint32_t h, struct iqt_lanes s)
{
    const struct iqt_scale *min = &e->plan->format->min;
    struct bytes b;
    const bool at_once = find_bytes(e, min, false, s, &b);

    iqt_emit_scope(e);
    if (at_once)
        emit_bytes(e, &b, s);
    emit_levels(e, min, s, at_once ? &b : NULL);
    iqt_emit_line(e, "rest[r][%u] = scaled(-dmin[r], level);", h);
    iqt_emit_close(e);
}

static void emit_shift(struct iqt_emit *e, uint32_t h, struct iqt_lanes s,
                       const struct bytes *b)
{
    const struct iqt_format *f = e->plan->format;

    if (b)
        iqt_emit_line(e, "const vlevels second = part(bytes, 0x%xu);",
                      mask_of(b, b->raw + b->negative, 1));
    else
        iqt_emit_host_lanes(e, "second", &f->shift, s);
    iqt_emit_line(e, "rest[r][%u] = times_if(scale[r][%u], %d, second);", h, h,
                  f->codebook->shift);
}

/* scale[r][h] and rest[r][h]. */
static void emit_group(struct iqt_emit *e, uint32_t h)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t size = group_size(e), left = blocks(e) - size * h;
    const struct iqt_lanes s = { size * h * f->block, f->block, left < size ? left : size,
                                 true };
    const bool shift = iqt_host_shifts(e) == IQT_SHIFTS_OF_SUMS;
    struct bytes b;
    const bool all = find_bytes(e, &f->scale, shift, s, &b);
    const bool some = all || find_bytes(e, &f->scale, false, s, &b);

    iqt_emit_scope(e);
    if (some)
        emit_bytes(e, &b, s);
    if (iqt_field_empty(&f->scale.raw)) {
        iqt_emit_line(e, "scale[r][%u] = set_scales(d[r]);", h);
    } else {
        emit_levels(e, &f->scale, s, some ? &b : NULL);
        iqt_emit_line(e, "scale[r][%u] = scaled(d[r], level);", h);
    }
    if (shift)
        emit_shift(e, h, s, all ? &b : NULL);
    iqt_emit_close(e);
    if (iqt_has_min(f))
        emit_minimum(e, h, s);
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

    iqt_emit_line(e, "const vscales dx = load_d(xs, %u);", f->superblock / 32u);
    iqt_emit_line(e, "UNROLL");
    iqt_emit_open(e, "for (int r = 0; r < R; r++)");
    for (uint32_t h = 0; h < iqt_host_scale_groups(e); h++)
        iqt_emit_line(e, "factor[r][%u] = mul_scales(scale[r][%u], %s);", h, h,
                      dx_of(e, h));
    iqt_emit_close(e);
}

void iqt_emit_host_rests(struct iqt_emit *e)
{
    const struct iqt_format *f = e->plan->format;
    const uint32_t chains = 64 / e->lanes;

    iqt_emit_open(e, "for (uint32_t c = 0; c < COLS; c++)");
    iqt_emit_line(e, "const struct iqt_xs *s = xs + c * (k / 32);");
    iqt_emit_line(e, "const vscales dx = load_d(s, %u);", f->superblock / 32u);
    for (uint32_t h = 0; h < iqt_host_scale_groups(e); h++) {
        iqt_emit_scope(e);
        iqt_emit_line(e, "const vscales sums = mul_scales(%s, load_sums%u(s, %u));",
                      dx_of(e, h), f->block, f->block == 32 ? f->superblock / 32u : h);
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (int r = 0; r < R; r++)");
        iqt_emit_line(e,
                      "    sum[r][c][%u] = add_scaled(rest[r][%u], sums, sum[r][c][%u]);",
                      h % chains, h, h % chains);
        iqt_emit_close(e);
    }
    iqt_emit_close(e);
}
