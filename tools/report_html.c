/* The page around the charts: style sheet, headline numbers, device sections, the table and the
 * method. No script, nothing loaded from elsewhere. */
#include "tools/report_html.h"
#include "tools/svg.h"
#include "runtime/runtime.h"

#include <math.h>

/* Colours of light and dark in one place. Hues: blue for tuned, grey for default, orange for the
 * memory's limit; told apart by lightness, too. */
const char iqt_report_style[] =
    ":root{color-scheme:light dark;--bg:#fcfcfb;--card:#ffffff;--ink:#1c1d20;--dim:#5d6068;"
    "--line:#dddee2;--grid:#ececef;--best:#2563c9;--base:#a3a7b0;--edge:#6f737d;"
    "--roof:#c2540a;--good:#17784a}\n"
    "@media (prefers-color-scheme:dark){:root{--bg:#131417;--card:#1b1d21;--ink:#ebecef;"
    "--dim:#a3a7b1;--line:#34373e;--grid:#272a30;--best:#6ea8ff;--base:#6a6f7b;--edge:#9498a3;"
    "--roof:#ff9a52;--good:#57c58c}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--bg);color:var(--ink);"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
    "main{max-width:1180px;margin:0 auto;padding:40px 20px 64px}\n"
    "h1{font-size:30px;line-height:1.2;margin:0 0 8px;letter-spacing:-.01em}\n"
    "h2{font-size:21px;margin:44px 0 4px;line-height:1.3}\n"
    "h3{font-size:15px;margin:0 0 8px;font-weight:600}\n"
    "p{margin:0 0 12px;max-width:76ch}\n"
    ".dim{color:var(--dim);font-size:14px}\n"
    "code{font:13px/1.45 ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;"
    "overflow-wrap:anywhere}\n"
    ".facts{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;margin:20px 0 0;"
    "font-size:14px}\n"
    ".facts dt{color:var(--dim)}.facts dd{margin:0;overflow-wrap:anywhere}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;"
    "margin:14px 0}\n"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:10px;"
    "padding:12px 16px}\n"
    ".tile b{display:block;font-size:25px;line-height:1.25;font-weight:650;"
    "font-variant-numeric:tabular-nums}\n"
    ".tile span{color:var(--dim);font-size:13px}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));"
    "gap:14px}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:10px;"
    "padding:14px 14px 8px;margin:0;min-width:0}\n"
    "svg{display:block;width:100%;height:auto;font-family:inherit}\n"
    "svg text{fill:var(--ink);font-size:13px}\n"
    "svg .tick,svg .label,svg .key{fill:var(--dim);font-size:12.5px}\n"
    "svg .note{fill:var(--dim);font-size:11px}\n"
    "svg .name{font-weight:600}\n"
    "svg .rooftext{fill:var(--roof);font-size:12.5px}\n"
    "svg text{paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}\n"
    "svg .grid{stroke:var(--grid)}svg .axis{stroke:var(--edge)}\n"
    "svg .iso{stroke:var(--edge);stroke-dasharray:2 4;opacity:.6}\n"
    "svg .roof{stroke:var(--roof);stroke-width:2}\n"
    "svg .link{stroke:var(--edge);stroke-width:1.2}\n"
    "svg rect.best{fill:var(--best)}svg rect.base{fill:var(--base)}\n"
    "svg circle.best{fill:var(--best);stroke:var(--card);stroke-width:1}\n"
    "svg circle.base{fill:var(--card);stroke:var(--edge);stroke-width:1.6}\n"
    ".scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);"
    "border-radius:10px;margin-top:14px}\n"
    "table{border-collapse:collapse;width:100%;font-size:13.5px;"
    "font-variant-numeric:tabular-nums}\n"
    "th,td{padding:6px 10px;text-align:right;white-space:nowrap;"
    "border-bottom:1px solid var(--grid)}\n"
    "th{color:var(--dim);font-weight:500;border-bottom:1px solid var(--line);"
    "vertical-align:bottom}\n"
    "tr:last-child td{border-bottom:0}\n"
    "th.t,td.t{text-align:left}\n"
    ".meter{display:inline-block;width:52px;height:7px;border-radius:4px;"
    "background:var(--grid);margin-right:8px;overflow:hidden}\n"
    ".meter i{display:block;height:100%;background:var(--best)}\n"
    ".up{color:var(--good);font-weight:600}.noisy{color:var(--roof);font-weight:600}\n"
    "ul{padding-left:20px;max-width:76ch}li{margin:0 0 6px}\n";

/* ---- Derived numbers ----------------------------------------------------------------- */

double iqt_report_bits(const struct iqt_report_row *row)
{
    return 8.0 * (double)row->bytes / ((double)row->m * (double)row->k);
}

double iqt_report_rate(const struct iqt_report_row *row,
                       const struct iqt_report_time *time)
{
    return (double)row->bytes / (time->ns * 1e-9);
}

double iqt_report_share(const struct iqt_report *r, const struct iqt_report_row *row,
                        const struct iqt_report_time *time)
{
    return iqt_report_rate(row, time) / r->devices[row->device].bandwidth;
}

double iqt_report_gain(const struct iqt_report_row *row)
{
    return row->base.ns / row->best.ns;
}

double iqt_report_mean_gain(const struct iqt_report *r, uint32_t device)
{
    double sum = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < r->row_count; i++) {
        if (r->rows[i].device == device) {
            sum += log(iqt_report_gain(&r->rows[i]));
            count++;
        }
    }
    return count == 0 ? 1 : exp(sum / count);
}

bool iqt_report_noisy(const struct iqt_report_row *row)
{
    return fmax(row->base.spread, row->best.spread) > 0.25;
}

/* ---- Parts --------------------------------------------------------------------------- */

static void put_fact(struct iqt_buf *b, const char *what, const char *text)
{
    iqt_buf_printf(b, "<dt>%s</dt><dd>", what);
    iqt_xml_escape(b, text);
    iqt_buf_printf(b, "</dd>\n");
}

static void put_head(struct iqt_buf *b, const struct iqt_report *r)
{
    iqt_buf_printf(b,
                   "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
                   "<meta name=\"viewport\" content=\"width=device-width\"/>\n"
                   "<title>iqtile report</title>\n<style>\n");
    iqt_buf_printf(b, "%s", iqt_report_style);
    iqt_buf_printf(
        b, "</style></head>\n<body><main>\n<h1>iqtile report</h1>\n"
           "<p>How fast this machine multiplies IQ*_K matrices with a vector: every "
           "format and shape of the model, tuned, verified, and timed against the "
           "default plan in the same run.</p>\n<dl class=\"facts\">\n");
    put_fact(b, "Machine", r->machine);
    put_fact(b, "System", r->system);
    put_fact(b, "Files", r->files);
    put_fact(b, "Date", r->date);
    iqt_buf_printf(b, "<dt>Command</dt><dd><code>");
    iqt_xml_escape(b, r->command);
    iqt_buf_printf(b,
                   "</code></dd>\n<dt>Version</dt><dd>iqtile %s, whole run %.0f s</dd>\n",
                   iqt_version(), r->seconds);
    if (r->absent[0] != '\0')
        put_fact(b, "Absent", r->absent);
    iqt_buf_printf(b, "</dl>\n");
}

/* Behind every figure of a simulated device. */
static const char *mark_of(const struct iqt_device_info *info)
{
    return iqt_device_simulated(info) ? ", simulated" : "";
}

static void put_tile(struct iqt_buf *b, const char *before, double value, int decimals,
                     const char *after, const char *text, const char *mark)
{
    iqt_buf_printf(b, "<div class=\"tile\"><b>%s%.*f%s</b><span>%s%s</span></div>\n",
                   before, decimals, value, after, text, mark);
}

static void put_tiles(struct iqt_buf *b, const struct iqt_report *r, uint32_t device)
{
    const char *mark = mark_of(&r->devices[device].info);
    double share = 0, gain = 0;

    for (uint32_t i = 0; i < r->row_count; i++) {
        if (r->rows[i].device != device)
            continue;
        share = fmax(share, iqt_report_share(r, &r->rows[i], &r->rows[i].best));
        gain = fmax(gain, iqt_report_gain(&r->rows[i]));
    }
    iqt_buf_printf(b, "<div class=\"tiles\">\n");
    put_tile(b, "", r->devices[device].bandwidth / 1e9, 1, " GB/s", "bandwidth, measured",
             mark);
    put_tile(b, "", 100 * share, 0, " %", "of it reached by the best pair", mark);
    put_tile(b, "×", iqt_report_mean_gain(r, device), 2, "", "mean speed-up by tuning",
             mark);
    put_tile(b, "×", gain, 2, "", "largest speed-up", mark);
    iqt_buf_printf(b, "</div>\n");
}

/* What a plan's name adds to the format and the device of its row. */
static const char *plan_tail(const char *name)
{
    for (int dots = 0; *name != '\0' && dots < 3; name++)
        dots += *name == '.';
    return name;
}

static void put_row(struct iqt_buf *b, const struct iqt_report *r,
                    const struct iqt_report_row *row)
{
    const double share = 100 * iqt_report_share(r, row, &row->best);
    const double gain = iqt_report_gain(row);
    const char *name = iqt_format_name(row->format);

    iqt_buf_printf(b,
                   "<tr data-format=\"%s\" data-shape=\"%zux%zu\" data-n=\"%u\" "
                   "data-device=\"%s\"><td class=\"t\">%s%s</td><td>%zu × %zu</td>"
                   "<td class=\"t\">%s</td><td>%u</td><td>%.1f</td><td>%.2f</td>",
                   name, row->m, row->k, row->n, r->devices[row->device].info.spec, name,
                   mark_of(&r->devices[row->device].info), row->m, row->k,
                   row->model_shape ? "model" : "tiled", row->n, row->best.ns / 1e3,
                   iqt_report_rate(row, &row->best) / 1e9);
    iqt_buf_printf(
        b,
        "<td><span class=\"meter\"><i style=\"width:%.0f%%\"></i></span>%.1f</td>"
        "<td class=\"%s\">%.2f</td><td class=\"%s\">%.1f</td>"
        "<td class=\"t\"><code title=\"",
        fmin(share, 100), share, gain > 1.02 ? "up" : "same", gain,
        iqt_report_noisy(row) ? "noisy" : "calm",
        100 * fmax(row->base.spread, row->best.spread));
    iqt_xml_escape(b, row->plan);
    iqt_buf_printf(b, "\">");
    iqt_xml_escape(b, plan_tail(row->plan));
    iqt_buf_printf(b, "</code></td></tr>\n");
}

static void put_table(struct iqt_buf *b, const struct iqt_report *r, uint32_t device)
{
    iqt_buf_printf(
        b, "<div class=\"scroll\"><table><thead><tr><th class=\"t\">format</th>"
           "<th>shape, m × k</th><th class=\"t\">from</th><th>n</th><th>µs</th>"
           "<th>GB/s</th><th>%% of bandwidth</th><th>× default</th>"
           "<th>spread, %%</th><th class=\"t\">plan</th></tr></thead>\n<tbody>\n");
    for (uint32_t i = 0; i < r->row_count; i++) {
        if (r->rows[i].device == device)
            put_row(b, r, &r->rows[i]);
    }
    iqt_buf_printf(b, "</tbody></table></div>\n");
}

/* What was tuned, and how the winners compare with the exact model. */
static void put_checks(struct iqt_buf *b, const struct iqt_report *r, uint32_t device)
{
    const struct iqt_report_device *d = &r->devices[device];
    uint32_t rows = 0, checked = 0;
    double worst = 0;

    for (uint32_t i = 0; i < r->row_count; i++) {
        if (r->rows[i].device != device)
            continue;
        rows++;
        checked += r->rows[i].checked;
        worst = fmax(worst, r->rows[i].worst);
    }
    iqt_buf_printf(
        b,
        "%u of %u products tuned in %.0f s; all plans agree with the exact model on "
        "%u sampled rows (largest |difference| / sum |w x|: %.1e).",
        d->tuned, rows, d->tune_s, checked, worst);
}

static void put_device(struct iqt_buf *b, const struct iqt_report *r, uint32_t device)
{
    const struct iqt_report_device *d = &r->devices[device];
    const char *mark = mark_of(&d->info);
    char label[IQT_LABEL_BYTES];

    iqt_buf_printf(b, "<section><h2>%s: ", iqt_device_label(&d->info, label));
    iqt_xml_escape(b, d->info.name);
    iqt_buf_printf(b, "</h2>\n<p class=\"dim\">");
    iqt_xml_escape(b, d->info.driver);
    iqt_buf_printf(b, "; %s", d->info.arch);
    if (d->info.compute_units > 0)
        iqt_buf_printf(b, ", %u compute units", d->info.compute_units);
    if (d->info.cache_bytes > 0)
        iqt_buf_printf(b, ", %.0f MiB last-level cache",
                       (double)d->info.cache_bytes / 1048576);
    iqt_buf_printf(b, ".<br/>");
    put_checks(b, r, device);
    iqt_buf_printf(b, "</p>\n");
    put_tiles(b, r, device);
    iqt_buf_printf(
        b,
        "<div class=\"charts\"><figure class=\"card\"><h3>Speed against bits per "
        "weight%s</h3>\n",
        mark);
    iqt_report_roofline(b, r, device);
    iqt_buf_printf(b,
                   "</figure>\n<figure class=\"card\"><h3>Largest shape of each format, "
                   "default and tuned%s</h3>\n",
                   mark);
    iqt_report_bars(b, r, device);
    iqt_buf_printf(b, "</figure></div>\n");
    put_table(b, r, device);
    iqt_buf_printf(b, "</section>\n");
}

static const char method[] =
    "<section><h2>How this was measured</h2>\n<ul>\n"
    "<li><b>Weights.</b> Shapes marked <i>model</i> hold the model's own tensors. Shapes marked "
    "<i>tiled</i> are filled from the model's tensors of the format: a row is made by joining "
    "the superblocks of successive source rows until it is long enough; it keeps the row "
    "header (row scale) of the first of them. The values differ from any real layer; the work "
    "and the bytes do not.</li>\n"
    "<li><b>GB/s</b> counts the bytes that the weights have in the GGUF file, over the device "
    "time of one product: the fastest of the runs. <b>Spread</b> is how far the median lies above "
    "the fastest, in percent, the larger of both plans; above 25 something else kept the machine "
    "busy, and the row should not be trusted.</li>\n"
    "<li><b>Bandwidth</b> is measured in the same run on the same device, over more than twice "
    "the last-level cache: on the CPU a read loop on as many threads as the kernels use; on other "
    "devices a copy kernel, bytes read and bytes written counted. More than 100 % can occur for "
    "matrices that fit a cache that the rotation does not defeat, or where reading alone is "
    "faster than copying.</li>\n"
    "<li><b>Rotation.</b> Where a plan reaches a tenth of the bandwidth, several copies of the "
    "matrix are used in turn, together more than twice the last-level cache, so that no copy is "
    "found in the cache.</li>\n"
    "<li><b>Default and tuned</b> run alternately in the same loop. Both use the same weight layout. "
    "The default is the cost model’s choice, and stays when nothing is clearly faster: then "
    "the gain is 1.00.</li>\n"
    "<li><b>Verified.</b> The tuner compares each candidate with the exact scalar model before it is "
    "timed; the winner is compared once more here, on sampled rows of the timed matrix itself "
    "(|difference| ≤ 1e-5 × sum |w x|).</li>\n"
    "</ul></section>\n";

void iqt_report_page(struct iqt_buf *b, const struct iqt_report *r)
{
    put_head(b, r);
    for (uint32_t d = 0; d < r->device_count; d++)
        put_device(b, r, d);
    iqt_buf_append(b, method, sizeof(method) - 1);
    iqt_buf_printf(b, "</main></body></html>\n");
}
