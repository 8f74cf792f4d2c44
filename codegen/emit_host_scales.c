/* Scales and shifts of the host dialect, a lane for each block; what is added once a superblock. */
#include "codegen/emit_host_lanes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint32_t blocks(const struct iqt_emit *e)
{
    return e->plan->format->superblock / e->plan->format->block;
}

uint32_t iqt_host_scale_groups(const struct iqt_emit *e)
{
    return (blocks(e) + iqt_host_group_size(e) - 1) / iqt_host_group_size(e);
}

/* ---- All fields of blocks at once, a byte of the lane each ---- */

/* Two lanes get their bits from eight bytes: those of the window that `from` names, each byte of a lane from the bit
 * on that `bit` names. */
struct bytes {
    struct iqt_plane plane[4];
    uint32_t count, raw, negative, shift; /* planes; of the scale, its sign, the shift */
    struct iqt_window window;
    uint8_t from[IQT_WIDEST_LANES * 4], bit[IQT_WIDEST_LANES * 4];
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
        const struct iqt_place place = iqt_host_lane_place(e, &b->plane[n], s, lane);
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
    memset(b->from, IQT_NOTHING, sizeof(b->from));
    add_planes(e, &scale->raw, s, b);
    b->raw = b->count;
    add_planes(e, &scale->negative, s, b);
    b->negative = b->count - b->raw;
    if (shift)
        add_planes(e, &e->plan->format->shift, s, b);
    b->shift = b->count - b->raw - b->negative;
    if (e->lanes != 64 || b->raw == 0 || b->count > IQT_COUNT(b->plane) ||
        b->negative > 1 || b->shift > 1 || !find_weights(b, 1, &weights) ||
        !iqt_host_find_window(e, b->plane, b->count, s, &b->window))
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

    if (iqt_field_empty(&scale->raw)) {
        iqt_emit_line(e, "const vlevels level = set_levels(%d);", scale->add);
        return;
    }
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

/* Shifts are added to sums. Where a value and its shift cancelled, the rounding of both would be left: no codebook has
 * such values. */
static bool has_shifts(const struct iqt_format *f)
{
    const struct iqt_codebook *c = f->codebook;

    if (f->decode != IQT_DECODE_CODEBOOK || c->dim != 1 || iqt_field_empty(&f->shift))
        return false;
    for (uint32_t i = 0; i < c->count; i++)
        assert(4 * abs(c->value[i] + c->shift) >= abs(c->value[i]));
    return true;
}

bool iqt_host_has_rests(const struct iqt_emit *e)
{
    return has_shifts(e->plan->format) || iqt_has_min(e->plan->format);
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
    const uint32_t size = iqt_host_group_size(e), left = blocks(e) - size * h;
    const struct iqt_lanes s = { size * h * f->block, f->block, left < size ? left : size,
                                 true };
    const bool shift = has_shifts(f);
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
}

/* Of one column's blocks of a group: the scales of x, or these times the sums. */
static void emit_x(struct iqt_emit *e, const char *name, const char *of, uint32_t h)
{
    const struct iqt_format *f = e->plan->format;

    if (blocks(e) == 1)
        iqt_emit_line(e, "const vscales %s = first_%s(xs + c * (k / 32));", name, of);
    else
        iqt_emit_line(
            e,
            "const vscales %s = load_scales(more.%s[%d] + c * (k / %u) + b * %u + %u);",
            name, of, f->block == 32, f->block, blocks(e), h * iqt_host_group_size(e));
}

void iqt_emit_host_factors(struct iqt_emit *e)
{
    iqt_emit_line(e, "const size_t c = 0;");
    for (uint32_t h = 0; h < iqt_host_scale_groups(e); h++) {
        iqt_emit_scope(e);
        emit_x(e, "dx", "dx", h);
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (int r = 0; r < R; r++)");
        iqt_emit_line(e, "    factor[r][%u] = mul_scales(scale[r][%u], dx);", h, h);
        iqt_emit_close(e);
    }
}

void iqt_emit_host_rests(struct iqt_emit *e)
{
    const uint32_t chains = iqt_host_chains(e);

    iqt_emit_open(e, "for (uint32_t c = 0; c < COLS; c++)");
    for (uint32_t h = 0; h < iqt_host_scale_groups(e); h++) {
        iqt_emit_scope(e);
        emit_x(e, "sums", "sums", h);
        iqt_emit_line(e, "UNROLL");
        iqt_emit_line(e, "for (int r = 0; r < R; r++)");
        iqt_emit_line(e,
                      "    sum[r][c][%u] = add_scaled(rest[r][%u], sums, sum[r][c][%u]);",
                      h % chains, h, h % chains);
        iqt_emit_close(e);
    }
    iqt_emit_close(e);
}
