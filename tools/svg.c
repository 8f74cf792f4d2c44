/* Chart pieces as SVG text. Coordinates are rounded to a tenth of a pixel to keep pages small. */
#include "tools/svg.h"

#include <math.h>
#include <stdio.h>

enum { TICK_WANTED = 6, TEXT_BYTES = 512 };

void iqt_xml_escape(struct iqt_buf *b, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        switch (*c) {
        case '&':
            iqt_buf_printf(b, "&amp;");
            break;
        case '<':
            iqt_buf_printf(b, "&lt;");
            break;
        case '>':
            iqt_buf_printf(b, "&gt;");
            break;
        case '"':
            iqt_buf_printf(b, "&quot;");
            break;
        case '\'':
            iqt_buf_printf(b, "&#39;");
            break;
        default:
            /* The other control characters are not allowed in XML at all. */
            if ((unsigned char)*c >= 0x20 || *c == '\n' || *c == '\t')
                iqt_buf_append(b, c, 1);
        }
    }
}

double iqt_svg_at(const struct iqt_svg_axis *a, double value)
{
    const double t = a->log ? log(value / a->lo) / log(a->hi / a->lo)
                            : (value - a->lo) / (a->hi - a->lo);

    return a->from + t * (a->to - a->from);
}

static size_t ticks_linear(const struct iqt_svg_axis *a, double *out, size_t cap)
{
    const double raw = (a->hi - a->lo) / TICK_WANTED;
    const double power = pow(10, floor(log10(raw)));
    const double norm = raw / power;
    const double step = power * (norm <= 1 ? 1 : norm <= 2 ? 2 : norm <= 5 ? 5 : 10);
    size_t count = 0;

    for (double i = ceil(a->lo / step); i * step <= a->hi * (1 + 1e-9) && count < cap;
         i++)
        out[count++] = i * step;
    return count;
}

/* As many a decade as fit: every digit, 1 2 5, or powers of ten. */
static size_t ticks_log(const struct iqt_svg_axis *a, double *out, size_t cap)
{
    static const double digits[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, some[] = { 1, 2, 5 };
    const double span = a->hi / a->lo;
    const double *step = span < 12 ? digits : some;
    const size_t steps = span < 12 ? IQT_COUNT(digits) : span < 2e3 ? IQT_COUNT(some) : 1;
    size_t count = 0;

    for (double d = floor(log10(a->lo)); d <= ceil(log10(a->hi)); d++) {
        for (size_t i = 0; i < steps; i++) {
            const double v = step[i] * pow(10, d);

            if (v >= a->lo * (1 - 1e-9) && v <= a->hi * (1 + 1e-9) && count < cap)
                out[count++] = v;
        }
    }
    return count;
}

size_t iqt_svg_ticks(const struct iqt_svg_axis *a, double *out, size_t cap)
{
    return a->log ? ticks_log(a, out, cap) : ticks_linear(a, out, cap);
}

void iqt_svg_open(struct iqt_buf *b, double width, double height, const char *title,
                  const char *desc)
{
    iqt_buf_printf(b, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", width,
                   height);
    iqt_xml_escape(b, title);
    iqt_buf_printf(b, "\"><desc>");
    iqt_xml_escape(b, desc);
    iqt_buf_printf(b, "</desc>\n");
}

void iqt_svg_close(struct iqt_buf *b)
{
    iqt_buf_printf(b, "</svg>\n");
}

/* Ends an element that may carry a tip. */
static void close_mark(struct iqt_buf *b, const char *element, const char *tip)
{
    if (tip == NULL) {
        iqt_buf_printf(b, "/>\n");
        return;
    }
    iqt_buf_printf(b, "><title>");
    iqt_xml_escape(b, tip);
    iqt_buf_printf(b, "</title></%s>\n", element);
}

void iqt_svg_line(struct iqt_buf *b, const char *cls, double x1, double y1, double x2,
                  double y2)
{
    iqt_buf_printf(
        b, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", cls,
        x1, y1, x2, y2);
}

void iqt_svg_rect(struct iqt_buf *b, const char *cls, double x, double y, double w,
                  double h, const char *tip)
{
    iqt_buf_printf(b,
                   "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                   "height=\"%.1f\" rx=\"2\"",
                   cls, x, y, w, h);
    close_mark(b, "rect", tip);
}

void iqt_svg_dot(struct iqt_buf *b, const char *cls, double x, double y, double r,
                 const char *tip)
{
    iqt_buf_printf(b, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"", cls, x,
                   y, r);
    close_mark(b, "circle", tip);
}

void iqt_svg_text(struct iqt_buf *b, const char *cls, double x, double y,
                  enum iqt_svg_anchor anchor, const char *fmt, ...)
{
    static const char *const names[] = { "start", "middle", "end" };
    char text[TEXT_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    iqt_buf_printf(b, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", cls,
                   x, y, names[anchor]);
    iqt_xml_escape(b, text);
    iqt_buf_printf(b, "</text>\n");
}

void iqt_svg_axis_x(struct iqt_buf *b, const struct iqt_svg_axis *a, const double span[2],
                    const char *label)
{
    double tick[32];
    const size_t count = iqt_svg_ticks(a, tick, IQT_COUNT(tick));

    for (size_t i = 0; i < count; i++) {
        const double x = iqt_svg_at(a, tick[i]);

        iqt_svg_line(b, "grid", x, span[0], x, span[1]);
        iqt_svg_text(b, "tick", x, span[1] + 18, IQT_SVG_MIDDLE, "%.10g", tick[i]);
    }
    iqt_svg_line(b, "axis", a->from, span[1], a->to, span[1]);
    iqt_svg_text(b, "label", (a->from + a->to) / 2, span[1] + 38, IQT_SVG_MIDDLE, "%s",
                 label);
}

void iqt_svg_axis_y(struct iqt_buf *b, const struct iqt_svg_axis *a, const double span[2],
                    const char *label)
{
    double tick[32];
    const size_t count = iqt_svg_ticks(a, tick, IQT_COUNT(tick));

    for (size_t i = 0; i < count; i++) {
        const double y = iqt_svg_at(a, tick[i]);

        iqt_svg_line(b, "grid", span[0], y, span[1], y);
        iqt_svg_text(b, "tick", span[0] - 8, y + 4, IQT_SVG_END, "%.10g", tick[i]);
    }
    /* Upright above the axis: read without turning the head. */
    iqt_svg_text(b, "label", span[0] - 36, fmin(a->from, a->to) - 12, IQT_SVG_START, "%s",
                 label);
}
