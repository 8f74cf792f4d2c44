/* The page around the charts: what was done, headline numbers, the table. No script, nothing loaded. */
#include "tools/error_page.h"
#include "tools/report_html.h"
#include "tools/svg.h"

#include <math.h>

static void put_fact(struct iqt_buf *b, const char *name, const char *value)
{
    if (value == NULL)
        return;
    iqt_buf_printf(b, "<dt>%s</dt><dd>", name);
    iqt_xml_escape(b, value);
    iqt_buf_printf(b, "</dd>\n");
}

static void put_head(struct iqt_buf *b, const struct iqt_error_page *p)
{
    iqt_buf_printf(b,
                   "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
                   "<meta name=\"viewport\" content=\"width=device-width\"/>\n<title>%s"
                   "</title>\n<style>\n",
                   p->title);
    iqt_buf_printf(b, "%s%s", iqt_report_style, iqt_error_style);
    iqt_buf_printf(b,
                   "</style></head>\n<body><main>\n<h1>%s</h1>\n<p>%s</p>\n"
                   "<dl class=\"facts\">\n",
                   p->title, p->lead);
    put_fact(b, "From", p->from);
    put_fact(b, "To", p->to);
    put_fact(b, "Settings", p->settings);
    put_fact(b, "Error", p->meaning);
    put_fact(b, "Version", iqt_version());
    iqt_buf_printf(b, "</dl>\n");
}

static void put_tiles(struct iqt_buf *b, const struct iqt_error_page *p)
{
    const struct iqt_error_row *worst = NULL;
    double weights = 0, bytes = 0;

    for (size_t i = 0; i < p->rows; i++) {
        weights += p->row[i].weights;
        bytes += (double)p->row[i].bytes;
        if (p->row[i].error > (worst != NULL ? worst->error : 0))
            worst = &p->row[i];
    }
    iqt_buf_printf(
        b,
        "<div class=\"tiles\">\n<div class=\"tile\"><b>%.5f</b><span>error of "
        "all tensors</span></div>\n<div class=\"tile\"><b>%.3f</b><span>bits a "
        "weight</span></div>\n<div class=\"tile\"><b>%.1f MB</b><span>tensors"
        "</span></div>\n",
        p->error, weights > 0 ? 8 * bytes / weights : 0, bytes / 1e6);
    if (worst != NULL) {
        iqt_buf_printf(b, "<div class=\"tile\"><b>%.5f</b><span>largest: ", worst->error);
        iqt_xml_escape(b, worst->name);
        iqt_buf_printf(b, "</span></div>\n");
    }
    iqt_buf_printf(b, "</div>\n");
}

static void put_charts(struct iqt_buf *b, const struct iqt_error_page *p)
{
    struct iqt_error_kinds kinds;

    iqt_error_kinds_find(p, &kinds);
    if (kinds.count == 0)
        return;
    iqt_buf_printf(
        b, "<h2>By layer</h2>\n<div class=\"charts\"><figure class=\"card\"><h3>Error"
           "</h3>\n");
    iqt_error_chart(b, p, &kinds, false);
    iqt_buf_printf(b, "</figure>\n<figure class=\"card\"><h3>Bits per weight</h3>\n");
    iqt_error_chart(b, p, &kinds, true);
    iqt_buf_printf(b, "</figure></div>\n");
    iqt_error_legend(b, &kinds);
}

static void put_row(struct iqt_buf *b, const struct iqt_error_row *row)
{
    char worst[IQT_WORST_TEXT];

    iqt_buf_printf(b, "<tr><td class=\"t\">");
    iqt_xml_escape(b, row->name);
    iqt_buf_printf(b,
                   "</td><td class=\"t\">%s</td><td class=\"t\">%s</td><td>%llu</td>"
                   "<td>%.3f</td>",
                   row->from, row->to, (unsigned long long)row->bytes,
                   iqt_error_bits(row));
    if (row->error >= 0)
        iqt_buf_printf(b, "<td>%.6f</td><td class=\"t\">%s", row->error,
                       row->error > 0 ? iqt_worst_text(&row->worst, IQT_WORST_ROWS, worst)
                                      : "");
    else
        iqt_buf_printf(b, "<td></td><td class=\"t\">");
    iqt_xml_escape(b, row->note);
    iqt_buf_printf(b, "</td></tr>\n");
}

enum iqt_status iqt_error_page_write(const struct iqt_error_page *p, const char *path)
{
    struct iqt_buf b = { 0 };
    enum iqt_status status;

    put_head(&b, p);
    put_tiles(&b, p);
    put_charts(&b, p);
    iqt_buf_printf(
        &b, "<h2>Tensors</h2>\n<div class=\"scroll\"><table><thead><tr><th class=\"t\">"
            "tensor</th><th class=\"t\">from</th><th class=\"t\">to</th><th>bytes</th>"
            "<th>bits</th><th>error</th><th class=\"t\">worst rows (error)</th></tr>"
            "</thead>\n<tbody>\n");
    for (size_t i = 0; i < p->rows; i++)
        put_row(&b, &p->row[i]);
    iqt_buf_printf(&b, "</tbody></table></div>\n</main></body></html>\n");
    status = iqt_buf_check(&b);
    if (status == IQT_OK)
        status = iqt_file_replace(path, b.data, b.bytes);
    iqt_buf_free(&b);
    return status;
}
