/* The charts of a page of errors: a line per kind of tensor over the number of its layer. */
#include "tools/error_page.h"
#include "tools/svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 640, HEIGHT = 380, COLOURS = 8, MANY_LAYERS = 40, MOST_TICKS = 16 };

static const double LEFT = 60, RIGHT = 620, TOP = 40, BOTTOM = 326;
/* Where the smallest error is less than this part of the largest, a linear axis would hide it. */
static const double LOG_BELOW = 0.12;

/* Eight hues that differ in lightness, too; later kinds are dashed. */
const char iqt_error_style[] =
    ":root{--s0:#2563c9;--s1:#c2540a;--s2:#17784a;--s3:#9b2fae;--s4:#b3261e;--s5:#0b7a8a;"
    "--s6:#7a6200;--s7:#4d5260}\n"
    "@media (prefers-color-scheme:dark){:root{--s0:#6ea8ff;--s1:#ff9a52;--s2:#57c58c;"
    "--s3:#d98be8;--s4:#ff8a80;--s5:#5fd3e3;--s6:#e0c84f;--s7:#b5bac6}}\n"
    "svg line.s{stroke-width:1.8;stroke:var(--c)}svg circle.s{fill:var(--c)}\n"
    "svg line.dash{stroke-dasharray:5 3}\n"
    ".s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}.s3{--c:var(--s3)}"
    ".s4{--c:var(--s4)}.s5{--c:var(--s5)}.s6{--c:var(--s6)}.s7{--c:var(--s7)}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13.5px;margin:10px 0;padding:0;"
    "list-style:none;max-width:none}\n"
    ".legend i{display:inline-block;width:22px;height:0;border-top:3px solid var(--c);"
    "vertical-align:middle;margin-right:6px}.legend i.dash{border-top-style:dashed}\n";

double iqt_error_bits(const struct iqt_error_row *row)
{
    return 8 * (double)row->bytes / row->weights;
}

/* ---- Kinds ---- */

/* blk.12.attn_q.weight: layer 12, kind attn_q; false for tensors of no layer. */
static bool split_name(const char *name, size_t *layer, char kind[IQT_ERROR_NAME])
{
    char *end;
    size_t length;

    if (strncmp(name, "blk.", 4) != 0)
        return false;
    *layer = (size_t)strtoul(name + 4, &end, 10);
    if (end == name + 4 || *end != '.' || *layer > 9999)
        return false;
    snprintf(kind, IQT_ERROR_NAME, "%s", end + 1);
    length = strlen(kind);
    if (length > 7 && strcmp(kind + length - 7, ".weight") == 0)
        kind[length - 7] = '\0';
    return true;
}

static size_t kind_of(const struct iqt_error_kinds *k, const char *name)
{
    size_t i = 0;

    while (i < k->count && strcmp(k->name[i], name) != 0)
        i++;
    return i;
}

void iqt_error_kinds_find(const struct iqt_error_page *page, struct iqt_error_kinds *out)
{
    *out = (struct iqt_error_kinds){ 0 };
    for (size_t i = 0; i < page->rows; i++) {
        char kind[IQT_ERROR_NAME];
        size_t layer, at;

        if (!(page->row[i].error > 0) || !split_name(page->row[i].name, &layer, kind))
            continue;
        at = kind_of(out, kind);
        if (at == IQT_ERROR_KINDS)
            continue;
        if (at == out->count)
            memcpy(out->name[out->count++], kind, sizeof kind);
        if (layer + 1 > out->layers)
            out->layers = layer + 1;
    }
}

static const char *class_of(size_t kind, char out[16])
{
    snprintf(out, 16, "s s%zu%s", kind % COLOURS, kind >= COLOURS ? " dash" : "");
    return out;
}

void iqt_error_legend(struct iqt_buf *b, const struct iqt_error_kinds *kinds)
{
    char cls[16];

    iqt_buf_printf(b, "<ul class=\"legend\">");
    for (size_t i = 0; i < kinds->count; i++) {
        iqt_buf_printf(b, "<li><i class=\"%s\"></i>", class_of(i, cls));
        iqt_xml_escape(b, kinds->name[i]);
        iqt_buf_printf(b, "</li>");
    }
    iqt_buf_printf(b, "</ul>\n");
}

/* ---- A chart ---- */

struct chart {
    const struct iqt_error_page *page;
    const struct iqt_error_kinds *kinds;
    bool bits;
    struct iqt_svg_axis x, y;
};

static bool point(const struct chart *c, const struct iqt_error_row *row, size_t kind,
                  size_t *layer, double *value)
{
    char name[IQT_ERROR_NAME];

    if (!(row->error > 0) || !isfinite(row->error) ||
        !split_name(row->name, layer, name) || kind_of(c->kinds, name) != kind)
        return false;
    *value = c->bits ? iqt_error_bits(row) : row->error;
    return true;
}

static void scale(struct chart *c)
{
    const double last = c->kinds->layers > 1 ? (double)c->kinds->layers - 1 : 1;
    double low = INFINITY, high = 0, value;
    size_t layer;

    for (size_t k = 0; k < c->kinds->count; k++)
        for (size_t i = 0; i < c->page->rows; i++)
            if (point(c, &c->page->row[i], k, &layer, &value)) {
                low = fmin(low, value);
                high = fmax(high, value);
            }
    if (high == 0)
        low = high = 1;
    c->x = (struct iqt_svg_axis){ 0, last, LEFT + 12, RIGHT - 12, false };
    c->y = (struct iqt_svg_axis){ 0, high * 1.08, BOTTOM, TOP, false };
    if (!c->bits && low < LOG_BELOW * high) {
        c->y.lo = low / 1.2;
        c->y.log = true;
    }
}

/* Rows stand in the order of the file: of the layers, in all files that are known. */
static void draw_kind(struct iqt_buf *b, const struct chart *c, size_t kind)
{
    double before_x = NAN, before_y = NAN, value;
    char cls[16], tip[IQT_ERROR_NAME + 128];
    size_t layer;

    class_of(kind, cls);
    for (size_t i = 0; i < c->page->rows; i++) {
        const struct iqt_error_row *row = &c->page->row[i];
        double x, y;

        if (!point(c, row, kind, &layer, &value))
            continue;
        x = iqt_svg_at(&c->x, (double)layer);
        y = iqt_svg_at(&c->y, value);
        if (!isnan(before_x))
            iqt_svg_line(b, cls, before_x, before_y, x, y);
        snprintf(tip, sizeof tip, "%s: %s, error %.5f, %.3f bits", row->name, row->to,
                 row->error, iqt_error_bits(row));
        iqt_svg_dot(b, cls, x, y, c->kinds->layers > MANY_LAYERS ? 2 : 3.2, tip);
        before_x = x;
        before_y = y;
    }
}

/* Layers are whole numbers. */
static void draw_layers(struct iqt_buf *b, const struct chart *c)
{
    const size_t step = (c->kinds->layers + MOST_TICKS - 1) / MOST_TICKS;

    for (size_t layer = 0; layer < c->kinds->layers; layer += step) {
        const double x = iqt_svg_at(&c->x, (double)layer);

        iqt_svg_line(b, "grid", x, TOP, x, BOTTOM);
        iqt_svg_text(b, "tick", x, BOTTOM + 18, IQT_SVG_MIDDLE, "%zu", layer);
    }
    iqt_svg_line(b, "axis", LEFT, BOTTOM, RIGHT, BOTTOM);
    iqt_svg_text(b, "label", (LEFT + RIGHT) / 2, BOTTOM + 38, IQT_SVG_MIDDLE, "layer");
}

void iqt_error_chart(struct iqt_buf *b, const struct iqt_error_page *page,
                     const struct iqt_error_kinds *kinds, bool bits)
{
    const double across[2] = { LEFT, RIGHT };
    struct chart c = { .page = page, .kinds = kinds, .bits = bits };

    scale(&c);
    iqt_svg_open(b, WIDTH, HEIGHT, bits ? "Bits per weight by layer" : "Error by layer",
                 "One line per kind of tensor; the numbers are in the table below.");
    draw_layers(b, &c);
    iqt_svg_axis_y(b, &c.y, across,
                   bits      ? "bits per weight"
                   : c.y.log ? "relative error (logarithmic)"
                             : "relative error");
    for (size_t k = 0; k < kinds->count; k++)
        draw_kind(b, &c, k);
    iqt_svg_close(b);
}
