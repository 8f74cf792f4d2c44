/* The charts of a GPU report: bars of a value per format, and measured time against slots. Looks are
 * the page's style sheet. */
#include "tools/gpu_report.h"
#include "tools/svg.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 640, TIP_BYTES = 512 };

static const char *const layout_class[] = {
    [IQT_LAYOUT_NATIVE] = "base", [IQT_LAYOUT_PACKED] = "best"
};
static const char *const layout_word[] = {
    [IQT_LAYOUT_NATIVE] = "native", [IQT_LAYOUT_PACKED] = "packed"
};

/* " (simulated)" where it must stand beside every figure. */
static const char *remark(const struct iqt_gpu_report *r, char out[32])
{
    const char *word = iqt_gpu_disclaimer(r);

    snprintf(out, 32, word[0] == '\0' ? "%s" : " (%s)", word);
    return out;
}

static void cell_tip(const struct iqt_gpu_report *r, const struct iqt_gpu_cell *c,
                     char *out)
{
    char said[32], slots[48] = "";

    if (c->slots > 0)
        snprintf(slots, sizeof(slots), ", %.2f slots per weight", c->slots);
    snprintf(out, TIP_BYTES,
             "%s %s, %zu × %zu, n = %u: %.1f GB/s, %.1f %% of copy, %.1f µs%s, plan %s%s",
             iqt_format_name(c->format), layout_word[c->layout], c->m, c->k, c->n,
             c->rate / 1e9, c->percent, c->seconds * 1e6, slots, c->plan,
             remark(r, said));
}

/* ---- Bars ------------------------------------------------------------------------------ */

enum { BAR_TOP = 46, BAR_STEP = 40, BAR_HEIGHT = 14, BAR_LEFT = 76, BAR_RIGHT = 560 };

static const struct {
    const char *title, *label;
    double one; /* what a line marks */
} bars[] = {
    [IQT_GPU_PERCENT] = { "Percent of copy bandwidth", "% of copy bandwidth", 100 },
    [IQT_GPU_GAIN] = { "Tuned plan against default plan", "times as fast as the default",
                       1 },
};

static bool has_bars(const struct iqt_gpu_report *r, const struct iqt_format *f,
                     enum iqt_gpu_value v, uint32_t n)
{
    return iqt_gpu_value_of(iqt_gpu_cell_of(r, f, IQT_LAYOUT_NATIVE, n), v) > 0 ||
           iqt_gpu_value_of(iqt_gpu_cell_of(r, f, IQT_LAYOUT_PACKED, n), v) > 0;
}

static void draw_bar(struct iqt_buf *b, const struct iqt_gpu_report *r,
                     const struct iqt_svg_axis *x, const struct iqt_gpu_cell *c,
                     enum iqt_gpu_value v, double y)
{
    const double value = iqt_gpu_value_of(c, v);
    char tip[TIP_BYTES], text[32];

    if (value <= 0)
        return;
    cell_tip(r, c, tip);
    iqt_svg_rect(b, layout_class[c->layout], x->from, y, iqt_svg_at(x, value) - x->from,
                 BAR_HEIGHT, tip);
    snprintf(text, sizeof(text), v == IQT_GPU_PERCENT ? "%.0f %%" : "× %.2f", value);
    iqt_svg_text(b, "value", iqt_svg_at(x, value) + 6, y + BAR_HEIGHT - 3, IQT_SVG_START,
                 "%s", text);
}

static void draw_key(struct iqt_buf *b)
{
    for (uint32_t l = 0; l < IQT_COUNT(layout_word); l++) {
        iqt_svg_rect(b, layout_class[l], BAR_LEFT + 90 * l, 8, 14, 12, NULL);
        iqt_svg_text(b, "key", BAR_LEFT + 90 * l + 20, 18, IQT_SVG_START, "%s",
                     layout_word[l]);
    }
}

void iqt_gpu_bars(struct iqt_buf *b, const struct iqt_gpu_report *r, enum iqt_gpu_value v,
                  uint32_t n)
{
    struct iqt_svg_axis x = { .from = BAR_LEFT, .to = BAR_RIGHT, .hi = bars[v].one };
    double y = BAR_TOP;
    size_t count = 0;

    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        count += has_bars(r, f, v, n);
        for (uint32_t l = 0; l < IQT_COUNT(layout_word); l++)
            x.hi = fmax(x.hi, iqt_gpu_value_of(iqt_gpu_cell_of(r, f, l, n), v));
    }
    if (count == 0)
        return;
    const double bottom = BAR_TOP + (double)count * BAR_STEP;
    const double span[2] = { BAR_TOP - 8, bottom };

    iqt_svg_open(b, WIDTH, bottom + 50, bars[v].title, "Two bars a format.");
    iqt_svg_axis_x(b, &x, span, bars[v].label);
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        if (!has_bars(r, f, v, n))
            continue;
        iqt_svg_text(b, "name", BAR_LEFT - 10, y + BAR_HEIGHT + 4, IQT_SVG_END, "%s",
                     iqt_format_name(f));
        for (uint32_t l = 0; l < IQT_COUNT(layout_word); l++)
            draw_bar(b, r, &x, iqt_gpu_cell_of(r, f, l, n), v, y + l * (BAR_HEIGHT + 2));
        y += BAR_STEP;
    }
    iqt_svg_line(b, "roof", iqt_svg_at(&x, bars[v].one), span[0],
                 iqt_svg_at(&x, bars[v].one), bottom);
    draw_key(b);
    iqt_svg_close(b);
}

/* ---- Time against slots ---------------------------------------------------------------- */

static const double LEFT = 64, RIGHT = 600, TOP = 76, BOTTOM = 396;

struct scatter {
    const struct iqt_gpu_report *r;
    struct iqt_gpu_budget budget;
    struct iqt_svg_axis x, y;
    size_t points;
};

static double picoseconds(const struct iqt_gpu_cell *c)
{
    return c->seconds * 1e12 / ((double)c->m * (double)c->k);
}

static void scale(struct scatter *s)
{
    double lo[2] = { INFINITY, INFINITY }, hi[2] = { 0, 0 };

    for (size_t i = 0; i < s->r->cells; i++) {
        const struct iqt_gpu_cell *c = &s->r->cell[i];
        const double at[2] = { c->slots, picoseconds(c) };

        if (c->error[0] != '\0' || c->slots <= 0)
            continue;
        s->points++;
        for (int d = 0; d < 2; d++) {
            lo[d] = fmin(lo[d], at[d]);
            hi[d] = fmax(hi[d], at[d]);
        }
    }
    if (s->budget.slots > 0) /* the line's ends belong to the picture, within reason */
        lo[1] = fmax(fmin(lo[1], lo[0] * 1e12 / s->budget.slots), lo[1] / 100);
    s->x = (struct iqt_svg_axis){ lo[0] / 1.2, hi[0] * 1.2, LEFT, RIGHT, true };
    s->y = (struct iqt_svg_axis){ lo[1] / 1.4, hi[1] * 1.4, BOTTOM, TOP, true };
}

/* Where no lane ever waits: time is slots over slots per second. */
static void draw_budget(struct iqt_buf *b, const struct scatter *s)
{
    const double each = 1e12 / s->budget.slots;
    const double x1 = fmax(s->x.lo, s->y.lo / each), x2 = fmin(s->x.hi, s->y.hi / each);

    if (s->budget.slots <= 0 || x1 >= x2) {
        iqt_svg_text(b, "rooftext", LEFT, 42, IQT_SVG_START, "%s",
                     s->budget.slots <= 0 ? "no budget line: clock or units not known"
                                          : "the budget line lies off the picture");
        return;
    }
    iqt_svg_line(b, "roof", iqt_svg_at(&s->x, x1), iqt_svg_at(&s->y, x1 * each),
                 iqt_svg_at(&s->x, x2), iqt_svg_at(&s->y, x2 * each));
    iqt_svg_text(b, "rooftext", LEFT, 42, IQT_SVG_START,
                 "budget line: %.3g Tslots/s = %u units × %.0f MHz × %u lanes",
                 s->budget.slots / 1e12, s->budget.units, s->budget.hertz / 1e6,
                 s->budget.lanes);
}

/* n = 1 stands out; the other products are small dots. */
static void draw_points(struct iqt_buf *b, const struct scatter *s, bool one)
{
    char tip[TIP_BYTES];

    for (size_t i = 0; i < s->r->cells; i++) {
        const struct iqt_gpu_cell *c = &s->r->cell[i];

        if (c->error[0] != '\0' || c->slots <= 0 || (c->n == 1) != one)
            continue;
        cell_tip(s->r, c, tip);
        iqt_svg_dot(b, layout_class[c->layout], iqt_svg_at(&s->x, c->slots),
                    iqt_svg_at(&s->y, picoseconds(c)), one ? 5.5 : 2.5, tip);
    }
}

static void name_points(struct iqt_buf *b, const struct scatter *s)
{
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        const struct iqt_gpu_cell *c = iqt_gpu_cell_of(s->r, f, IQT_LAYOUT_PACKED, 1);

        if (c != NULL && c->slots > 0)
            iqt_svg_text(b, "note", iqt_svg_at(&s->x, c->slots) + 8,
                         iqt_svg_at(&s->y, picoseconds(c)) + 4, IQT_SVG_START, "%s",
                         iqt_format_name(f));
    }
}

static void draw_scatter_key(struct iqt_buf *b)
{
    for (uint32_t l = 0; l < IQT_COUNT(layout_word); l++) {
        iqt_svg_dot(b, layout_class[l], LEFT + 6 + 76 * l, 14, 5.5, NULL);
        iqt_svg_text(b, "key", LEFT + 16 + 76 * l, 18, IQT_SVG_START, "%s",
                     layout_word[l]);
    }
    iqt_svg_text(b, "key", LEFT + 160, 18, IQT_SVG_START, "large n = 1, small n > 1");
}

void iqt_gpu_scatter(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    const double across[2] = { TOP, BOTTOM }, along[2] = { LEFT, RIGHT };
    struct scatter s = { .r = r };

    iqt_gpu_budget(r, &s.budget);
    scale(&s);
    if (s.points == 0)
        return;
    iqt_svg_open(b, WIDTH, BOTTOM + 50, "Measured time against instruction slots",
                 "Each dot is one kernel; the line is what the lanes can issue.");
    iqt_svg_axis_x(b, &s.x, across, "slots per weight (log)");
    iqt_svg_axis_y(b, &s.y, along, "ps per weight (log)");
    draw_budget(b, &s);
    draw_points(b, &s, false);
    draw_points(b, &s, true);
    name_points(b, &s);
    draw_scatter_key(b);
    iqt_svg_close(b);
}
