/* Small pieces of charts as SVG text: axes, marks, labels. Appends to a text buffer and leaves
 * all looks to the page's CSS classes. Knows nothing of what is drawn. */
#ifndef IQT_TOOLS_SVG_H
#define IQT_TOOLS_SVG_H

#include "base/base.h"

/* Appends text with the five characters escaped that mean something to XML. */
void iqt_xml_escape(struct iqt_buf *b, const char *text);

/* Maps values lo .. hi to pixels from .. to; lo > 0 when log. */
struct iqt_svg_axis {
    double lo, hi, from, to;
    bool log;
};
double iqt_svg_at(const struct iqt_svg_axis *a, double value);
/* Round tick values inside [lo, hi], ascending; at most cap. */
size_t iqt_svg_ticks(const struct iqt_svg_axis *a, double *out, size_t cap);

/* title and desc are read aloud and shown on hovering. */
void iqt_svg_open(struct iqt_buf *b, double width, double height, const char *title,
                  const char *desc);
void iqt_svg_close(struct iqt_buf *b);

/* Grid lines across span[0] .. span[1], tick numbers and the axis label with its unit. The
 * x axis stands below span's larger end, the y axis left of its smaller end. */
void iqt_svg_axis_x(struct iqt_buf *b, const struct iqt_svg_axis *a, const double span[2],
                    const char *label);
void iqt_svg_axis_y(struct iqt_buf *b, const struct iqt_svg_axis *a, const double span[2],
                    const char *label);

/* cls: CSS classes. tip: text shown on hovering, NULL for none. */
void iqt_svg_line(struct iqt_buf *b, const char *cls, double x1, double y1, double x2,
                  double y2);
void iqt_svg_rect(struct iqt_buf *b, const char *cls, double x, double y, double w,
                  double h, const char *tip);
void iqt_svg_dot(struct iqt_buf *b, const char *cls, double x, double y, double r,
                 const char *tip);
enum iqt_svg_anchor { IQT_SVG_START, IQT_SVG_MIDDLE, IQT_SVG_END };
void iqt_svg_text(struct iqt_buf *b, const char *cls, double x, double y,
                  enum iqt_svg_anchor anchor, const char *fmt, ...) IQT_PRINTF(6, 7);

#endif
