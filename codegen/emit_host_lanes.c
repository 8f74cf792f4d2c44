/* Lanes of the host dialect: fields of many blocks or groups at once, 32 bits each. Decides which bytes they come from;
 * the operations are spelled in prelude_host*.h. */
#include "codegen/emit_host_lanes.h"

#include <stdio.h>

uint32_t iqt_host_group_size(const struct iqt_emit *e)
{
    return e->lanes / 4;
}

struct iqt_place iqt_host_lane_place(const struct iqt_emit *e,
                                     const struct iqt_plane *plane, struct iqt_lanes s,
                                     uint32_t lane)
{
    return iqt_place_of(e->places, plane, s.first + s.step * (lane < s.count ? lane : 0));
}

bool iqt_host_find_window(const struct iqt_emit *e, const struct iqt_plane *planes,
                          uint32_t count, struct iqt_lanes s, struct iqt_window *out)
{
    struct iqt_place first = iqt_host_lane_place(e, &planes[0], s, 0);
    const bool vectors_before =
        e->plan->layout == IQT_LAYOUT_PACKED && e->places->vecs > 0;
    const int last = first.in_vec ? IQT_WINDOW : (int)iqt_place_base_bytes(e->places);
    int low = last, high = 0;

    for (uint32_t i = 0; i < s.count * count; i++) {
        const struct iqt_plane *plane = &planes[i % count];
        const struct iqt_place place = iqt_host_lane_place(e, plane, s, i / count);
        const int from = (int)place.bit / 8, to = (int)(place.bit + plane->width - 1) / 8;

        if (place.in_vec != first.in_vec ||
            (place.in_vec && place.number != first.number) || to > from + 1 ||
            iqt_place_is_apart(e->places, plane))
            return false;
        low = from < low ? from : low;
        high = to > high ? to : high;
    }
    out->begin = low + IQT_WINDOW > last ? last - IQT_WINDOW : low;
    first.bit = 0;
    if (first.in_vec)
        iqt_host_address(e, first, out->address);
    else
        snprintf(out->address, sizeof(out->address), "at[r] + %d", out->begin);
    return high < out->begin + IQT_WINDOW && (out->begin >= 0 || vectors_before);
}

static bool find_window(const struct iqt_emit *e, const struct iqt_plane *plane,
                        struct iqt_lanes s, struct iqt_window *out)
{
    return iqt_host_find_window(e, plane, 1, s, out);
}

/* ---- Lanes of 32 bits ---- */

/* One load for all lanes, or one for each half of a wide vector. */
struct windows {
    struct iqt_window half[2];
    bool same;
};

static bool find_windows(const struct iqt_emit *e, const struct iqt_plane *plane,
                         struct iqt_lanes s, struct windows *out)
{
    const uint32_t middle = iqt_host_group_size(e) / 2;
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
        iqt_emit_line(e, "const vbytes in = halves(%s, %s);", w->half[0].address,
                      w->half[1].address);
    else
        iqt_emit_line(e, "const vbytes in = %s(%s);",
                      e->lanes == 64 ? "quarters" : "load16", w->half[0].address);
}

/* <name> becomes, or gets, the bits of one plane. */
static void emit_plane(struct iqt_emit *e, const char *name,
                       const struct iqt_plane *plane, struct iqt_lanes s, bool more)
{
    const uint32_t size = iqt_host_group_size(e);
    struct iqt_buf from = { 0 }, by = { 0 };
    struct windows w;

    if (!find_windows(e, plane, s, &w))
        return;
    for (uint32_t i = 0; i < size; i++) {
        const struct iqt_place place = iqt_host_lane_place(e, plane, s, i);
        const uint32_t byte =
            (uint32_t)((int)(place.bit / 8) - w.half[2 * i / size].begin);
        const uint32_t shift = place.bit % 8;
        const uint32_t next = shift + plane->width > 8 ? byte + 1 : IQT_NOTHING;
        const uint32_t bytes = i < s.count ? byte | next << 8 : IQT_NOTHING * 0x101u;

        iqt_buf_printf(&from, "0x%08xu, ", IQT_NOTHING * 0x1010000u | bytes);
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
    iqt_emit_line(e, "uint32_t lane[%u] = { 0 };", iqt_host_group_size(e));
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
