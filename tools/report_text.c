/* The table and the JSON of a report. */
#include "tools/report_text.h"
#include "runtime/runtime.h"

#include <string.h>

/* ---- Table --------------------------------------------------------------------------- */

void iqt_report_print_head(FILE *out)
{
    fprintf(out, "%-8s %13s %3s %-9s %8s %7s %9s  %s\n", "format", "shape", "n", "device",
            "GB/s", "% of bw", "x default", "plan");
}

void iqt_report_print_device(FILE *out, const struct iqt_report *r, uint32_t device)
{
    const struct iqt_report_device *d = &r->devices[device];
    char label[IQT_LABEL_BYTES];
    uint32_t noisy = 0;

    iqt_device_label(&d->info, label);
    for (uint32_t i = 0; i < r->row_count; i++) {
        const struct iqt_report_row *row = &r->rows[i];
        char shape[48];

        if (row->device != device)
            continue;
        noisy += iqt_report_noisy(row);
        snprintf(shape, sizeof(shape), "%zux%zu", row->m, row->k);
        fprintf(out, "%-8s %13s %3u %-9s %8.2f %7.1f %9.2f  %s\n",
                iqt_format_name(row->format), shape, row->n, label,
                iqt_report_rate(row, &row->best) / 1e9,
                100 * iqt_report_share(r, row, &row->best), iqt_report_gain(row),
                row->plan);
    }
    fprintf(out, "%s: %s, bandwidth %.2f GB/s (%s), mean speed-up of tuning %.2f\n",
            label, d->info.name, d->bandwidth / 1e9, d->method,
            iqt_report_mean_gain(r, device));
    if (noisy > 0)
        fprintf(out, "%s: %u rows vary by more than 25 %%: the machine was busy\n", label,
                noisy);
    fflush(out);
}

/* ---- JSON ---------------------------------------------------------------------------- */

static void put_string(struct iqt_buf *b, const char *text)
{
    const size_t bytes = strlen(text);
    char one[IQT_ESCAPE_BYTES];

    iqt_buf_printf(b, "\"");
    for (size_t i = 0; i < bytes;) {
        i += iqt_json_one(one, text + i, bytes - i);
        iqt_buf_printf(b, "%s", one);
    }
    iqt_buf_printf(b, "\"");
}

static void put_member(struct iqt_buf *b, const char *indent, const char *key,
                       const char *text)
{
    iqt_buf_printf(b, "%s\"%s\": ", indent, key);
    put_string(b, text);
    iqt_buf_printf(b, ",\n");
}

static void put_simulated(struct iqt_buf *b, const struct iqt_device_info *info)
{
    iqt_buf_printf(b, "      \"simulated\": %s,\n",
                   iqt_device_simulated(info) ? "true" : "false");
}

static void put_device(struct iqt_buf *b, const struct iqt_report_device *d)
{
    const char *indent = "      ";

    iqt_buf_printf(b, "    {\n");
    put_member(b, indent, "device", d->info.spec);
    put_simulated(b, &d->info);
    put_member(b, indent, "name", d->info.name);
    put_member(b, indent, "driver", d->info.driver);
    put_member(b, indent, "id", d->info.id);
    put_member(b, indent, "arch", d->info.arch);
    put_member(b, indent, "bandwidth_method", d->method);
    iqt_buf_printf(b,
                   "      \"bandwidth_bytes_per_second\": %.6g,\n"
                   "      \"cache_bytes\": %llu,\n      \"compute_units\": %u,\n"
                   "      \"pairs_tuned\": %u,\n      \"tune_seconds\": %.3f,\n"
                   "      \"seconds\": %.3f\n    }",
                   d->bandwidth, (unsigned long long)d->info.cache_bytes,
                   d->info.compute_units, d->tuned, d->tune_s, d->total_s);
}

static void put_time(struct iqt_buf *b, const char *key, const struct iqt_report_time *t)
{
    iqt_buf_printf(
        b, "      \"%s\": {\"nanoseconds\": %.6g, \"spread\": %.4f, \"runs\": %u},\n",
        key, t->ns, t->spread, t->runs);
}

static void put_row(struct iqt_buf *b, const struct iqt_report *r,
                    const struct iqt_report_row *row)
{
    const char *indent = "      ";

    iqt_buf_printf(b, "    {\n");
    put_member(b, indent, "format", iqt_format_name(row->format));
    put_member(b, indent, "device", r->devices[row->device].info.spec);
    put_simulated(b, &r->devices[row->device].info);
    put_member(b, indent, "weights", row->origin);
    put_member(b, indent, "plan", row->plan);
    put_member(b, indent, "default_plan", row->base_plan);
    put_time(b, "tuned", &row->best);
    put_time(b, "default", &row->base);
    iqt_buf_printf(b,
                   "      \"m\": %zu,\n      \"k\": %zu,\n      \"n\": %u,\n"
                   "      \"bytes\": %llu,\n      \"bits_per_weight\": %.4f,\n"
                   "      \"model_shape\": %s,\n      \"rotated\": %s,\n"
                   "      \"rows_checked\": %u,\n      \"worst_error\": %.3g,\n",
                   row->m, row->k, row->n, (unsigned long long)row->bytes,
                   iqt_report_bits(row), row->model_shape ? "true" : "false",
                   row->rotated ? "true" : "false", row->checked, row->worst);
    iqt_buf_printf(b,
                   "      \"bytes_per_second\": %.6g,\n"
                   "      \"percent_of_bandwidth\": %.6g,\n"
                   "      \"speedup_over_default\": %.6g\n    }",
                   iqt_report_rate(row, &row->best),
                   100 * iqt_report_share(r, row, &row->best), iqt_report_gain(row));
}

void iqt_report_json(struct iqt_buf *b, const struct iqt_report *r)
{
    const char *indent = "  ";

    iqt_buf_printf(b, "{\n");
    put_member(b, indent, "iqtile", iqt_version());
    put_member(b, indent, "date", r->date);
    put_member(b, indent, "command", r->command);
    put_member(b, indent, "machine", r->machine);
    put_member(b, indent, "system", r->system);
    put_member(b, indent, "files", r->files);
    put_member(b, indent, "absent", r->absent);
    iqt_buf_printf(b, "  \"seconds\": %.3f,\n  \"devices\": [\n", r->seconds);
    for (uint32_t i = 0; i < r->device_count; i++) {
        put_device(b, &r->devices[i]);
        iqt_buf_printf(b, i + 1 < r->device_count ? ",\n" : "\n");
    }
    iqt_buf_printf(b, "  ],\n  \"results\": [\n");
    for (uint32_t i = 0; i < r->row_count; i++) {
        put_row(b, r, &r->rows[i]);
        iqt_buf_printf(b, i + 1 < r->row_count ? ",\n" : "\n");
    }
    iqt_buf_printf(b, "  ]\n}\n");
}
