/* The page of a GPU report: what it is, how the stages went, charts, tables. One self-contained file
 * of HTML that is XML as well. Every text in it was escaped when it was read, and is again. */
#include "tools/gpu_report.h"
#include "tools/report_html.h"
#include "tools/svg.h"

#include <stdio.h>
#include <string.h>

enum { MOST_SHAPES = 64 };

static const char more_style[] =
    ".warn{border:2px solid var(--roof);border-radius:10px;padding:10px 16px;margin:18px 0;"
    "font-weight:600;max-width:none}\n"
    "td.ok{color:var(--good);font-weight:600}td.bad{color:var(--roof);font-weight:600}\n"
    "td.wide{white-space:normal;min-width:240px}\n"
    "th.g,td.g{border-left:1px solid var(--line)}\n"
    ".dense{font-size:12.5px}.dense th,.dense td{padding:4px 6px}\n";

/* ---- Small parts ----------------------------------------------------------------------- */

static void put_fact(struct iqt_buf *b, const char *name, const char *value)
{
    if (value[0] == '\0')
        return;
    iqt_buf_printf(b, "<dt>");
    iqt_xml_escape(b, name);
    iqt_buf_printf(b, "</dt><dd>");
    iqt_xml_escape(b, value);
    iqt_buf_printf(b, "</dd>\n");
}

static void put_tile(struct iqt_buf *b, double value, const char *unit, const char *what)
{
    char number[48] = "–";

    if (value > 0)
        snprintf(number, sizeof(number), "%.*f",
                 value < 10    ? 2
                 : value < 100 ? 1
                               : 0,
                 value);
    iqt_buf_printf(b, "<div class=\"tile\"><b>%s%s</b><span>%s</span></div>\n", number,
                   value > 0 ? unit : "", what);
}

/* What must not be overlooked: beside every heading of figures. */
static void put_heading(struct iqt_buf *b, const struct iqt_gpu_report *r,
                        const char *level, const char *text)
{
    const char *word = iqt_gpu_disclaimer(r);

    iqt_buf_printf(b, "<%s>%s%s%s%s</%s>\n", level, text, word[0] == '\0' ? "" : " (",
                   word, word[0] == '\0' ? "" : ")", level);
}

/* ---- Head ------------------------------------------------------------------------------ */

static void put_warning(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    if (strcmp(iqt_gpu_disclaimer(r), "simulated") == 0)
        iqt_buf_printf(b, "<p class=\"warn\">Simulated: the device is a program on this "
                          "machine’s CPU. No time and no rate on this page says anything "
                          "about a GPU.</p>\n");
    else if (iqt_gpu_disclaimer(r)[0] != '\0')
        iqt_buf_printf(b,
                       "<p class=\"warn\">Software: the device is a driver that computes "
                       "on this machine’s CPU. No time and no rate on this page says "
                       "anything about a GPU.</p>\n");
    if (!iqt_gpu_report_good(r))
        iqt_buf_printf(b,
                       "<p class=\"warn\">Incomplete: not every stage succeeded, see the "
                       "stages below.</p>\n");
}

static void put_device(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    const struct iqt_device_info *d = &r->device;
    struct iqt_buf kind = { 0 };

    put_fact(b, "Device", d->name);
    put_fact(b, "Driver", d->driver);
    iqt_buf_printf(&kind, "%s, %s", d->spec, d->arch);
    if (d->compute_units > 0)
        iqt_buf_printf(&kind, ", %u compute units", d->compute_units);
    if (d->memory_bytes > 0)
        iqt_buf_printf(&kind, ", %.1f GiB", (double)d->memory_bytes / 0x1p30);
    if (d->cache_bytes > 0)
        iqt_buf_printf(&kind, ", %.1f MiB cache", (double)d->cache_bytes / 0x1p20);
    put_fact(b, "Kind", d->spec[0] == '\0' ? "" : iqt_buf_text(&kind));
    iqt_buf_free(&kind);
    put_fact(b, "Features", d->features);
    for (size_t i = 0; i < r->facts; i++)
        if (strcmp(r->fact[i].name, "device") != 0)
            put_fact(b, r->fact[i].name, r->fact[i].value);
}

static void put_head(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    const char *name = r->device.name[0] == '\0' ? "unknown device" : r->device.name;
    const char *word = iqt_gpu_disclaimer(r);

    iqt_buf_printf(b,
                   "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
                   "<meta name=\"viewport\" content=\"width=device-width\"/>\n<title>");
    iqt_xml_escape(b, name);
    iqt_buf_printf(b, ": iqtile GPU report%s%s</title>\n<style>\n%s%s</style></head>\n",
                   word[0] == '\0' ? "" : ", ", word, iqt_report_style, more_style);
    iqt_buf_printf(b, "<body><main>\n<h1>");
    iqt_xml_escape(b, name);
    iqt_buf_printf(b, "</h1>\n<p>How fast this device multiplies IQ*_K matrices with "
                      "vectors, against a copy kernel in the same run.</p>\n");
    put_warning(b, r);
    iqt_buf_printf(b, "<dl class=\"facts\">\n");
    put_device(b, r);
    put_fact(b, "Version", iqt_version());
    iqt_buf_printf(b, "</dl>\n");
}

static void put_tiles(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    struct iqt_gpu_verdict v;

    iqt_gpu_verdict(r, 1, &v);
    iqt_buf_printf(b, "<div class=\"tiles\">\n");
    put_tile(b, (r->copy[0] > r->copy[1] ? r->copy[0] : r->copy[1]) / 1e9, " GB/s",
             "copy kernel, read + written");
    put_tile(b, iqt_gpu_mean(r, IQT_GPU_PERCENT, IQT_LAYOUT_NATIVE, 1), " %",
             "of copy, native, n = 1, geometric mean");
    put_tile(b, iqt_gpu_mean(r, IQT_GPU_PERCENT, IQT_LAYOUT_PACKED, 1), " %",
             "of copy, packed, n = 1, geometric mean");
    put_tile(b, iqt_gpu_mean(r, IQT_GPU_GAIN, IQT_LAYOUT_PACKED, 1), " ×",
             "tuned over default plan, packed, n = 1");
    put_tile(b, v.ratio, " ×", "measured over predicted time, n = 1");
    iqt_buf_printf(b, "</div>\n");
}

static void put_stage(struct iqt_buf *b, const struct iqt_gpu_report *r,
                      enum iqt_gpu_stage_id id)
{
    const struct iqt_gpu_stage *s = &r->stage[id];

    iqt_buf_printf(b,
                   "<tr data-stage=\"%s\"><td class=\"t\">%s</td><td class=\"t\">%s</td>"
                   "<td class=\"t %s\">%s</td><td>%.0f</td><td class=\"t wide\">",
                   iqt_gpu_stage_name(id), iqt_gpu_stage_name(id),
                   iqt_gpu_stage_title(id),
                   s->state == IQT_GPU_OK         ? "ok"
                   : s->state == IQT_GPU_LEFT_OUT ? ""
                                                  : "bad",
                   iqt_gpu_state_name(s->state), s->seconds);
    iqt_xml_escape(b, s->note);
    if (s->note[0] != '\0' && s->command[0] != '\0')
        iqt_buf_printf(b, "<br/>");
    if (s->command[0] != '\0')
        iqt_buf_printf(b, "<code>");
    iqt_xml_escape(b, s->command);
    iqt_buf_printf(b, "%s</td></tr>\n", s->command[0] != '\0' ? "</code>" : "");
}

static void put_stages(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    iqt_buf_printf(b, "<section><h2>Stages</h2>\n<div class=\"scroll\"><table><thead><tr>"
                      "<th class=\"t\">stage</th><th class=\"t\">what</th>"
                      "<th class=\"t\">state</th><th>seconds</th>"
                      "<th class=\"t\">note, command</th></tr></thead><tbody>\n");
    for (uint32_t i = 0; i < IQT_GPU_STAGES; i++)
        put_stage(b, r, i);
    iqt_buf_printf(b, "</tbody></table></div></section>\n");
}

/* ---- Charts ---------------------------------------------------------------------------- */

static void put_figure(struct iqt_buf *b, const struct iqt_gpu_report *r,
                       const char *title, const struct iqt_buf *svg, const char *instead)
{
    iqt_buf_printf(b, "<figure class=\"card\">");
    put_heading(b, r, "h3", title);
    if (svg->bytes > 0)
        iqt_buf_append(b, svg->data, svg->bytes);
    else
        iqt_buf_printf(b, "<p class=\"dim\">%s</p>\n", instead);
    iqt_buf_printf(b, "</figure>\n");
}

static void put_verdict(struct iqt_buf *b, const struct iqt_gpu_report *r, uint32_t n)
{
    struct iqt_gpu_verdict v;

    iqt_gpu_verdict(r, n, &v);
    if (v.count == 0)
        return;
    iqt_buf_printf(b, "<tr data-verdict=\"%u\"><td>%u</td><td>%zu</td><td>%.2f</td>", n,
                   n, v.count, v.rank);
    if (v.ratio > 0)
        iqt_buf_printf(b, "<td>%.2f</td><td>%.2f</td><td>%.2f</td></tr>\n", v.ratio, v.lo,
                       v.hi);
    else
        iqt_buf_printf(b, "<td>–</td><td>–</td><td>–</td></tr>\n");
}

/* How well slots order the kernels, and how well they predict the time. */
static void put_verdicts(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    iqt_buf_printf(b, "<figure class=\"card\">");
    put_heading(b, r, "h3", "Measured against predicted time");
    iqt_buf_printf(
        b, "<p class=\"dim\">Predicted is the longer one of two times: all slots of "
           "the product on all lanes of the device, and its bytes at copy bandwidth. "
           "Rank: correlation of the ranks of slots and of time per weight; 1: the "
           "model orders the kernels right.</p>\n<table><thead><tr><th>n</th>"
           "<th>kernels</th><th>rank</th><th>measured / predicted</th><th>least</th>"
           "<th>most</th></tr></thead><tbody>\n");
    for (uint32_t n = 1; n <= IQT_MAX_COLS; n++)
        put_verdict(b, r, n);
    iqt_buf_printf(b, "</tbody></table></figure>\n");
}

static void put_model(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    const struct iqt_gpu_stage *s = &r->stage[IQT_GPU_STATS];
    struct iqt_buf svg = { 0 };

    iqt_gpu_scatter(&svg, r);
    iqt_buf_printf(b, "<section>");
    put_heading(b, r, "h2", "Does the slot model predict the speed?");
    if (svg.bytes == 0) {
        iqt_buf_printf(
            b,
            "<p>Unknown: no kernel that ran has its slots counted. Stage stats: "
            "%s, ",
            iqt_gpu_state_name(s->state));
        iqt_xml_escape(b, s->note);
        iqt_buf_printf(b, "</p></section>\n");
        return;
    }
    iqt_buf_printf(b, "<div class=\"charts\">");
    put_figure(b, r, "Measured time against instruction slots", &svg, "");
    put_verdicts(b, r);
    iqt_buf_printf(b, "</div></section>\n");
    iqt_buf_free(&svg);
}

static void put_charts(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    struct iqt_buf percent = { 0 }, gain = { 0 };

    iqt_gpu_bars(&percent, r, IQT_GPU_PERCENT, 1);
    iqt_gpu_bars(&gain, r, IQT_GPU_GAIN, 1);
    iqt_buf_printf(b, "<section>");
    put_heading(b, r, "h2", "One vector, n = 1");
    put_tiles(b, r);
    iqt_buf_printf(b, "<div class=\"charts\">\n");
    put_figure(b, r, "Percent of copy bandwidth, largest shape of each format", &percent,
               "No product with n = 1 was timed.");
    put_figure(b, r, "Tuned plan against default plan", &gain,
               "The tuner compared no pair of plans with n = 1.");
    iqt_buf_printf(b, "</div></section>\n");
    iqt_buf_free(&percent);
    iqt_buf_free(&gain);
}

/* ---- Tables ---------------------------------------------------------------------------- */

struct shape {
    size_t m, k;
};

static size_t find_shapes(const struct iqt_gpu_report *r, struct shape *out)
{
    size_t count = 0;

    for (size_t i = 0; i < r->cells; i++) {
        size_t at = 0;

        while (at < count && (out[at].m != r->cell[i].m || out[at].k != r->cell[i].k))
            at++;
        if (at == count && count < MOST_SHAPES)
            out[count++] = (struct shape){ r->cell[i].m, r->cell[i].k };
    }
    return count;
}

static bool has_columns(const struct iqt_gpu_report *r, const struct shape *s, uint32_t n)
{
    for (size_t i = 0; i < r->cells; i++)
        if (r->cell[i].m == s->m && r->cell[i].k == s->k && r->cell[i].n == n)
            return true;
    return false;
}

static const struct iqt_gpu_cell *cell_at(const struct iqt_gpu_report *r,
                                          const struct shape *s,
                                          const struct iqt_format *f,
                                          enum iqt_layout layout, uint32_t n)
{
    for (size_t i = 0; i < r->cells; i++) {
        const struct iqt_gpu_cell *c = &r->cell[i];

        if (c->m == s->m && c->k == s->k && c->format == f && c->layout == layout &&
            c->n == n)
            return c;
    }
    return NULL;
}

static void put_number(struct iqt_buf *b, const char *cls, int decimals, double value)
{
    iqt_buf_printf(b, "<td%s>", cls);
    if (value > 0)
        iqt_buf_printf(b, "%.*f", decimals, value);
    else
        iqt_buf_printf(b, "–");
    iqt_buf_printf(b, "</td>");
}

static void put_cell(struct iqt_buf *b, const struct iqt_gpu_cell *c)
{
    if (c == NULL || c->error[0] != '\0') {
        iqt_buf_printf(b, "<td class=\"t g bad\" colspan=\"4\">");
        iqt_xml_escape(b, c == NULL ? "–" : c->error);
        iqt_buf_printf(b, "</td>");
        return;
    }
    iqt_buf_printf(b, "<td class=\"g\"><span title=\"");
    iqt_xml_escape(b, c->plan);
    iqt_buf_printf(b, "\">%.*f</span></td>", c->rate < 1e9 ? 3 : 1, c->rate / 1e9);
    put_number(b, "", 1, c->percent);
    put_number(b, "", 2, c->slots);
    put_number(b, c->gain > 1.02 ? " class=\"up\"" : "", 2, c->gain);
}

static void put_row(struct iqt_buf *b, const struct iqt_gpu_report *r,
                    const struct shape *s, const struct iqt_format *f,
                    enum iqt_layout layout)
{
    bool any = false;

    for (uint32_t n = 1; n <= IQT_MAX_COLS; n++)
        any |= cell_at(r, s, f, layout, n) != NULL;
    if (!any)
        return;
    iqt_buf_printf(b,
                   "<tr data-format=\"%s\" data-layout=\"%d\"><td class=\"t\">%s</td>"
                   "<td class=\"t\">%s</td>",
                   iqt_format_name(f), layout, iqt_format_name(f),
                   layout == IQT_LAYOUT_NATIVE ? "native" : "packed");
    for (uint32_t n = 1; n <= IQT_MAX_COLS; n++)
        if (has_columns(r, s, n))
            put_cell(b, cell_at(r, s, f, layout, n));
    iqt_buf_printf(b, "</tr>\n");
}

static void put_table(struct iqt_buf *b, const struct iqt_gpu_report *r,
                      const struct shape *s)
{
    iqt_buf_printf(b,
                   "<h3>%zu × %zu</h3>\n<div class=\"scroll\"><table class=\"dense\">"
                   "<thead><tr><th class=\"t\" rowspan=\"2\">format</th>"
                   "<th class=\"t\" rowspan=\"2\">layout</th>",
                   s->m, s->k);
    for (uint32_t n = 1; n <= IQT_MAX_COLS; n++)
        if (has_columns(r, s, n))
            iqt_buf_printf(b, "<th class=\"t g\" colspan=\"4\">n = %u</th>", n);
    iqt_buf_printf(b, "</tr><tr>");
    for (uint32_t n = 1; n <= IQT_MAX_COLS; n++)
        if (has_columns(r, s, n))
            iqt_buf_printf(
                b, "<th class=\"g\">GB/s</th><th>%%</th><th>slots</th><th>×</th>");
    iqt_buf_printf(b, "</tr></thead><tbody>\n");
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        put_row(b, r, s, f, IQT_LAYOUT_NATIVE);
        put_row(b, r, s, f, IQT_LAYOUT_PACKED);
    }
    iqt_buf_printf(b, "</tbody></table></div>\n");
}

static void put_tables(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    const struct iqt_gpu_stage *s = &r->stage[IQT_GPU_STATS];
    struct shape shape[MOST_SHAPES];
    const size_t count = find_shapes(r, shape);

    iqt_buf_printf(b, "<section>");
    put_heading(b, r, "h2", "Every format and number of vectors");
    if (count == 0)
        iqt_buf_printf(b, "<p>Nothing was timed.</p>\n");
    else
        iqt_buf_printf(
            b, "<p class=\"dim\">GB/s of weights, percent of copy bandwidth, slots per "
               "weight, times as fast as the default plan.</p>\n");
    if (r->slots == 0) {
        iqt_buf_printf(b,
                       "<p class=\"dim\">The column slots is empty: stage stats is %s, ",
                       iqt_gpu_state_name(s->state));
        iqt_xml_escape(b, s->note);
        iqt_buf_printf(b, "</p>\n");
    }
    for (size_t i = 0; i < count; i++)
        put_table(b, r, &shape[i]);
    iqt_buf_printf(b, "</section>\n");
}

static const char method[] =
    "<section><h2>How this was measured</h2>\n<ul>\n"
    "<li><b>GB/s</b> counts the bytes that the weights have in the GGUF file over the mean device "
    "time of a product, whatever n is. Where a product reaches a tenth of the copy bandwidth, "
    "copies of the weights are used in turn, together more than twice the last-level cache.</li>\n"
    "<li><b>Copy</b> is the generator’s copy kernel on the same device in the same run of "
    "<code>iqtile bench</code>: 16-byte loads and stores over more than twice the cache, bytes read "
    "and bytes written counted, the fastest of many passes, its result compared byte for byte. A "
    "product only reads: more than 100 % is possible.</li>\n"
    "<li><b>Slots</b> are those of the machine code of the very plan that ran, for one weight, from "
    "<code>iqtile stats</code>. Empty: not counted for this plan.</li>\n"
    "<li><b>Budget</b>: compute units × clock as the driver names it × 128 lanes (NVIDIA) or 64 "
    "(AMD). The clock under load may differ.</li>\n"
    "<li><b>× default</b> is the default plan’s time over the tuned plan’s, both timed in turns by "
    "the tuner. 1.00: the default plan won, or nothing was clearly faster.</li>\n"
    "</ul></section>\n";

void iqt_gpu_page(struct iqt_buf *b, const struct iqt_gpu_report *r)
{
    put_head(b, r);
    put_charts(b, r);
    put_model(b, r);
    put_tables(b, r);
    put_stages(b, r);
    iqt_buf_printf(b, "%s</main></body></html>\n", method);
}
