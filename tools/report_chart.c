/* The charts of a report's page: a roofline and bars per device. Decides what stands where; the
 * numbers come from the report, the looks from the page's style sheet. */
#include "tools/report_html.h"
#include "tools/svg.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 640, HEIGHT = 420, MAX_COLUMNS = 32, MIN_GAP = 46, TIP_BYTES = 400 };

/* Plot area of the roofline. */
static const double LEFT = 60, RIGHT = 582, TOP = 46, BOTTOM = 364;

static void row_tip(const struct iqt_report *r, const struct iqt_report_row *row,
                    const struct iqt_report_time *time, const char *what, char *out)
{
    snprintf(out, TIP_BYTES,
             "%s %zu × %zu, n = %u, %s: %.2f GB/s, %.1f %% of bandwidth, %.1f µs",
             iqt_format_name(row->format), row->m, row->k, row->n, what,
             iqt_report_rate(row, time) / 1e9, 100 * iqt_report_share(r, row, time),
             time->ns / 1e3);
}

/* ---- Roofline ------------------------------------------------------------------------ */

/* A format's place on the x axis: its bits per weight, moved aside where two would touch. */
struct column {
    const struct iqt_format *format;
    double bits, x, top;
};

struct roofline {
    const struct iqt_report *r;
    uint32_t device;
    struct iqt_svg_axis x, y;
    struct column column[MAX_COLUMNS];
    size_t columns;
};

static struct column *column_of(struct roofline *f, const struct iqt_report_row *row)
{
    for (size_t i = 0; i < f->columns; i++) {
        if (f->column[i].format == row->format)
            return &f->column[i];
    }
    return NULL;
}

/* Rows come sorted by bits, so columns do, too. Row headers weigh more in short rows: the
 * longest row's bits count. */
static void find_columns(struct roofline *f)
{
    for (uint32_t i = 0; i < f->r->row_count; i++) {
        const struct iqt_report_row *row = &f->r->rows[i];
        struct column *c;

        if (row->device != f->device)
            continue;
        c = column_of(f, row);
        if (c == NULL && f->columns < MAX_COLUMNS) {
            c = &f->column[f->columns++];
            *c = (struct column){ .format = row->format, .bits = 1e9 };
        }
        if (c != NULL)
            c->bits = fmin(c->bits, iqt_report_bits(row));
    }
}

static void scale_axes(struct roofline *f)
{
    double low = f->r->devices[f->device].bandwidth, high = low;

    for (uint32_t i = 0; i < f->r->row_count; i++) {
        const struct iqt_report_row *row = &f->r->rows[i];

        if (row->device != f->device)
            continue;
        low = fmin(low, fmin(iqt_report_rate(row, &row->base),
                             iqt_report_rate(row, &row->best)));
        high = fmax(high, fmax(iqt_report_rate(row, &row->base),
                               iqt_report_rate(row, &row->best)));
    }
    f->x = (struct iqt_svg_axis){ .lo = fmin(2, f->column[0].bits * 0.8),
                                  .hi = fmax(8, f->column[f->columns - 1].bits * 1.2),
                                  .from = LEFT,
                                  .to = RIGHT,
                                  .log = true };
    f->y = (struct iqt_svg_axis){ .lo = low / 1e9 / 1.4,
                                  .hi = high / 1e9 * 1.5,
                                  .from = BOTTOM,
                                  .to = TOP,
                                  .log = true };
}

static void place_columns(struct roofline *f)
{
    for (size_t i = 0; i < f->columns; i++) {
        struct column *c = &f->column[i];

        c->x = iqt_svg_at(&f->x, c->bits);
        c->top = BOTTOM;
        if (i > 0)
            c->x = fmax(c->x, c[-1].x + MIN_GAP);
    }
    for (size_t i = f->columns; i-- > 0;) {
        struct column *c = &f->column[i];

        c->x = fmin(c->x, i + 1 == f->columns ? RIGHT - 18 : c[1].x - MIN_GAP);
    }
}

/* A device that can issue only so many instructions decodes so many weights a second: lines of
 * slope 1, one a decade. A kernel bound by instructions follows such a line, one bound by memory
 * the roof. */
static void draw_weight_lines(struct iqt_buf *b, const struct roofline *f)
{
    const double lo = f->y.lo * 8 / f->x.hi, hi = f->y.hi * 8 / f->x.lo;

    for (double d = floor(log10(lo)); d <= log10(hi); d++) {
        for (double w = pow(10, d); w < 5.5 * pow(10, d); w *= 3) {
            const double x1 = fmax(f->x.lo, f->y.lo * 8 / w);
            const double x2 = fmin(f->x.hi, f->y.hi * 8 / w);
            const double px = iqt_svg_at(&f->x, x2), py = iqt_svg_at(&f->y, w * x2 / 8);

            if (x1 >= x2)
                continue;
            iqt_svg_line(b, "iso", iqt_svg_at(&f->x, x1), iqt_svg_at(&f->y, w * x1 / 8),
                         px, py);
            if (px > RIGHT - 1)
                iqt_svg_text(b, "note", RIGHT + 6, py + 4, IQT_SVG_START, "%.3g G", w);
        }
    }
    iqt_svg_text(b, "note", RIGHT + 6, TOP - 12, IQT_SVG_START, "weights/s");
}

static void draw_roof(struct iqt_buf *b, const struct roofline *f)
{
    const struct iqt_report_device *d = &f->r->devices[f->device];
    const double y = iqt_svg_at(&f->y, d->bandwidth / 1e9);

    iqt_svg_line(b, "roof", LEFT, y, RIGHT, y);
    iqt_svg_text(b, "rooftext", LEFT + 6, y - 7, IQT_SVG_START,
                 "bandwidth %.1f GB/s (%s)", d->bandwidth / 1e9, d->method);
}

static void draw_row(struct iqt_buf *b, struct roofline *f,
                     const struct iqt_report_row *row)
{
    struct column *c = column_of(f, row);
    const double radius = row->model_shape ? 3.5 : 6;
    const double y0 = iqt_svg_at(&f->y, iqt_report_rate(row, &row->base) / 1e9);
    const double y1 = iqt_svg_at(&f->y, iqt_report_rate(row, &row->best) / 1e9);
    const double shift = row->model_shape ? 7 : -7;
    char tip[TIP_BYTES];

    if (c == NULL)
        return;
    if (fabs(y1 - y0) > 0.5)
        iqt_svg_line(b, "link", c->x + shift, y0, c->x + shift, y1);
    row_tip(f->r, row, &row->base, "default plan", tip);
    iqt_svg_dot(b, "base", c->x + shift, y0, radius, tip);
    row_tip(f->r, row, &row->best, "tuned plan", tip);
    iqt_svg_dot(b, "best", c->x + shift, y1, radius, tip);
    c->top = fmin(c->top, fmin(y0, y1) - radius);
}

static void draw_legend(struct iqt_buf *b)
{
    iqt_svg_dot(b, "best", 262, 14, 5, NULL);
    iqt_svg_text(b, "key", 272, 18, IQT_SVG_START, "tuned");
    iqt_svg_dot(b, "base", 326, 14, 5, NULL);
    iqt_svg_text(b, "key", 336, 18, IQT_SVG_START, "default");
    iqt_svg_dot(b, "base", 402, 14, 6, NULL);
    iqt_svg_text(b, "key", 413, 18, IQT_SVG_START, "7B-class shape");
    iqt_svg_dot(b, "base", 522, 14, 3.5, NULL);
    iqt_svg_text(b, "key", 531, 18, IQT_SVG_START, "model");
}

void iqt_report_roofline(struct iqt_buf *b, const struct iqt_report *r, uint32_t device)
{
    struct roofline f = { .r = r, .device = device };
    const double across[2] = { TOP, BOTTOM }, along[2] = { LEFT, RIGHT };

    find_columns(&f);
    if (f.columns == 0)
        return;
    scale_axes(&f);
    place_columns(&f);
    iqt_svg_open(b, WIDTH, HEIGHT, "Roofline: speed against bits per weight",
                 "Each dot is one format and shape; the line across is the bandwidth.");
    iqt_svg_axis_x(b, &f.x, across, "bits per weight (log)");
    iqt_svg_axis_y(b, &f.y, along, "weight GB/s (log)");
    draw_weight_lines(b, &f);
    draw_roof(b, &f);
    for (uint32_t i = 0; i < r->row_count; i++) {
        if (r->rows[i].device == device)
            draw_row(b, &f, &r->rows[i]);
    }
    for (size_t i = 0; i < f.columns; i++)
        iqt_svg_text(b, "name", f.column[i].x, f.column[i].top - 8, IQT_SVG_MIDDLE, "%s",
                     iqt_format_name(f.column[i].format));
    draw_legend(b);
    iqt_svg_close(b);
}

/* ---- Bars ---------------------------------------------------------------------------- */

enum { BAR_TOP = 46, BAR_STEP = 46, BAR_HEIGHT = 15, BAR_LEFT = 76, BAR_RIGHT = 452 };

/* The row with the most bytes of each format stands for it. */
static size_t largest_rows(const struct iqt_report *r, uint32_t device,
                           const struct iqt_report_row **out)
{
    size_t count = 0;

    for (uint32_t i = 0; i < r->row_count; i++) {
        const struct iqt_report_row *row = &r->rows[i];
        size_t at = 0;

        if (row->device != device)
            continue;
        while (at < count && out[at]->format != row->format)
            at++;
        if (at == count && count < MAX_COLUMNS)
            out[count++] = row;
        else if (at < count && row->bytes > out[at]->bytes)
            out[at] = row;
    }
    return count;
}

static void draw_pair(struct iqt_buf *b, const struct iqt_report *r,
                      const struct iqt_report_row *row, const struct iqt_svg_axis *x,
                      double y)
{
    const double base = iqt_report_rate(row, &row->base) / 1e9;
    const double best = iqt_report_rate(row, &row->best) / 1e9;
    char tip[TIP_BYTES];

    iqt_svg_text(b, "name", BAR_LEFT - 10, y + BAR_HEIGHT + 1, IQT_SVG_END, "%s",
                 iqt_format_name(row->format));
    row_tip(r, row, &row->base, "default plan", tip);
    iqt_svg_rect(b, "base", BAR_LEFT, y, iqt_svg_at(x, base) - BAR_LEFT, BAR_HEIGHT, tip);
    row_tip(r, row, &row->best, "tuned plan", tip);
    iqt_svg_rect(b, "best", BAR_LEFT, y + BAR_HEIGHT + 2, iqt_svg_at(x, best) - BAR_LEFT,
                 BAR_HEIGHT, tip);
    iqt_svg_text(b, "value", fmax(iqt_svg_at(x, base), iqt_svg_at(x, best)) + 8,
                 y + BAR_HEIGHT + 5, IQT_SVG_START, "%.2f GB/s · %.0f %% · ×%.2f", best,
                 100 * iqt_report_share(r, row, &row->best), iqt_report_gain(row));
}

void iqt_report_bars(struct iqt_buf *b, const struct iqt_report *r, uint32_t device)
{
    const struct iqt_report_row *row[MAX_COLUMNS];
    const size_t count = largest_rows(r, device, row);
    const double bottom = BAR_TOP + (double)count * BAR_STEP;
    const double span[2] = { BAR_TOP - 8, bottom };
    const double roof = r->devices[device].bandwidth / 1e9;
    double high = 0;
    struct iqt_svg_axis x = { .from = BAR_LEFT, .to = BAR_RIGHT };

    for (size_t i = 0; i < count; i++)
        high = fmax(high, fmax(iqt_report_rate(row[i], &row[i]->base),
                               iqt_report_rate(row[i], &row[i]->best)) /
                              1e9);
    if (count == 0)
        return;
    /* A roof far above every bar would flatten them: then it is named instead of drawn. */
    x.hi = roof < 2.5 * high ? fmax(roof, high) : high;
    iqt_svg_open(b, WIDTH, bottom + 56,
                 "Default and tuned plan, largest shape of each format",
                 "Two bars a format; the longer the faster.");
    iqt_svg_axis_x(b, &x, span, "weight GB/s");
    for (size_t i = 0; i < count; i++)
        draw_pair(b, r, row[i], &x, BAR_TOP + (double)i * BAR_STEP);
    if (roof <= x.hi) {
        iqt_svg_line(b, "roof", iqt_svg_at(&x, roof), span[0], iqt_svg_at(&x, roof),
                     bottom);
        iqt_svg_text(b, "rooftext", iqt_svg_at(&x, roof), span[0] - 6, IQT_SVG_MIDDLE,
                     "bandwidth %.1f", roof);
    } else {
        iqt_svg_text(b, "rooftext", WIDTH - 12, span[0] - 6, IQT_SVG_END,
                     "bandwidth %.1f GB/s lies off the scale", roof);
    }
    iqt_svg_rect(b, "base", BAR_LEFT, 8, 14, 12, NULL);
    iqt_svg_text(b, "key", BAR_LEFT + 20, 18, IQT_SVG_START, "default");
    iqt_svg_rect(b, "best", BAR_LEFT + 80, 8, 14, 12, NULL);
    iqt_svg_text(b, "key", BAR_LEFT + 100, 18, IQT_SVG_START, "tuned");
    iqt_svg_close(b);
}
