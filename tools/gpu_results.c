/* Numbers out of the stages' files. Values are taken one by one: what has the wrong type or no sense
 * is counted and left out, and spoils its stage. */
#include "tools/gpu_report.h"

#include "kernels/layout.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 256, COLUMNS = 32 };

/* ---- Values --------------------------------------------------------------------------- */

/* A finite number above 0 and below most, else 0. */
static double positive(const json_t *o, const char *name, double most)
{
    const double v = json_number_value(json_object_get(o, name));

    return v > 0 && v < most ? v : 0;
}

static uint32_t whole(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    const json_int_t i = json_integer_value(v);

    return json_is_integer(v) && i > 0 && i <= UINT32_MAX ? (uint32_t)i : 0;
}

/* "" for what is no text. */
static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s == NULL ? "" : s;
}

static void copy_text(char *out, size_t capacity, const char *from)
{
    iqt_escape(out, capacity, from, strlen(from));
}

static bool find_layout(const char *name, enum iqt_layout *out)
{
    for (uint32_t i = 0; i <= IQT_LAYOUT_PACKED; i++)
        if (strcmp(iqt_layout_name((enum iqt_layout)i), name) == 0) {
            *out = (enum iqt_layout)i;
            return true;
        }
    return false;
}

/* ---- Device --------------------------------------------------------------------------- */

void iqt_gpu_read_device(struct iqt_gpu_report *r, const char *spec, const json_t *root)
{
    const json_t *list = json_object_get(root, "devices"), *d;
    struct iqt_device_info *info = &r->device;
    size_t i;

    json_array_foreach(list, i, d)
    {
        if (strcmp(text(d, "spec"), spec) != 0 || spec[0] == '\0')
            continue;
        copy_text(info->spec, sizeof(info->spec), text(d, "spec"));
        copy_text(info->backend, sizeof(info->backend), text(d, "backend"));
        copy_text(info->name, sizeof(info->name), text(d, "name"));
        copy_text(info->driver, sizeof(info->driver), text(d, "driver"));
        copy_text(info->id, sizeof(info->id), text(d, "id"));
        copy_text(info->arch, sizeof(info->arch), text(d, "arch"));
        copy_text(info->features, sizeof(info->features), text(d, "features"));
        info->memory_bytes = (uint64_t)positive(d, "memory_bytes", 1e18);
        info->cache_bytes = (uint64_t)positive(d, "cache_bytes", 1e18);
        info->compute_units = whole(d, "compute_units");
        return;
    }
}

/* ---- Bench ---------------------------------------------------------------------------- */

/* "matvec/cuda:0/iq4_ks/packed/4096x4096/n1/min_time:0.1/manual_time" */
static bool parse_name(const char *name, struct iqt_gpu_cell *out)
{
    char buffer[NAME_BYTES], *word[6], *rest = buffer;
    unsigned n;

    if (strlen(name) >= sizeof(buffer))
        return false;
    strcpy(buffer, name);
    for (size_t i = 0; i < IQT_COUNT(word); i++) {
        word[i] = strsep(&rest, "/");
        if (word[i] == NULL)
            return false;
    }
    out->format = iqt_format_find(word[2]);
    if (out->format == NULL || !find_layout(word[3], &out->layout) ||
        sscanf(word[4], "%9zux%9zu", &out->m, &out->k) != 2 ||
        sscanf(word[5], "n%2u", &n) != 1)
        return false;
    out->n = n;
    return out->m > 0 && out->k > 0 && n >= 1 && n <= IQT_MAX_COLS;
}

static bool read_case(const json_t *b, enum iqt_layout layout, struct iqt_gpu_cell *out)
{
    struct iqt_gpu_cell c = { .format = NULL };

    if (!parse_name(text(b, "name"), &c) || c.layout != layout)
        return false;
    if (json_is_true(json_object_get(b, "error_occurred"))) {
        copy_text(c.error, sizeof(c.error), text(b, "error_message"));
        if (c.error[0] == '\0')
            snprintf(c.error, sizeof(c.error), "failed");
        *out = c;
        return true;
    }
    c.seconds = positive(b, "real_time", 1e12) * 1e-6;
    c.rate = positive(b, "bytes", 1e18);
    c.percent = positive(b, "percent_of_bandwidth", 1e6);
    copy_text(c.plan, sizeof(c.plan), text(b, "label"));
    *out = c;
    return strcmp(text(b, "time_unit"), "us") == 0 && c.seconds > 0 && c.rate > 0 &&
           c.percent > 0;
}

static bool read_copy(struct iqt_gpu_report *r, enum iqt_layout layout, const json_t *b)
{
    r->copy[layout] = positive(b, "bandwidth", 1e18);
    copy_text(r->method[layout], sizeof(r->method[layout]), text(b, "label"));
    return r->copy[layout] > 0;
}

void iqt_gpu_read_bench(struct iqt_gpu_report *r, enum iqt_layout layout,
                        const json_t *root)
{
    struct iqt_gpu_stage *s =
        &r->stage[layout == IQT_LAYOUT_NATIVE ? IQT_GPU_BENCH_NATIVE
                                              : IQT_GPU_BENCH_PACKED];
    const json_t *list = json_object_get(root, "benchmarks"), *b;
    size_t i, bad = 0;

    if (!json_is_array(list) || json_array_size(list) == 0)
        iqt_gpu_stage_spoil(s, "the file has no benchmarks");
    json_array_foreach(list, i, b)
    {
        if (strncmp(text(b, "name"), "bandwidth/", 10) == 0)
            bad += !read_copy(r, layout, b);
        else if (r->cells < IQT_GPU_CELLS && read_case(b, layout, &r->cell[r->cells]))
            r->cells++;
        else
            bad++;
    }
    if (bad > 0)
        iqt_gpu_stage_spoil(s, "%zu of %zu results make no sense and are left out", bad,
                            json_array_size(list));
}

/* ---- Tune ----------------------------------------------------------------------------- */

static bool read_gain(struct iqt_gpu_report *r, const json_t *row)
{
    const struct iqt_format *f = iqt_format_find(text(row, "format"));
    const uint32_t m = whole(row, "m"), k = whole(row, "k"), n = whole(row, "n");
    enum iqt_layout layout;
    const double gain = positive(row, "speedup", 1e6);

    if (f == NULL || m == 0 || k == 0 || n == 0 ||
        !find_layout(text(row, "layout"), &layout) ||
        !json_is_number(json_object_get(row, "speedup")))
        return false;
    for (size_t i = 0; i < r->cells; i++) {
        struct iqt_gpu_cell *c = &r->cell[i];

        if (c->format == f && c->layout == layout && c->m == m && c->k == k && c->n == n)
            c->gain = gain;
    }
    return true;
}

void iqt_gpu_read_tune(struct iqt_gpu_report *r, const json_t *root)
{
    struct iqt_gpu_stage *s = &r->stage[IQT_GPU_TUNE];
    const json_t *row;
    size_t i, bad = 0;

    if (!json_is_array(root))
        iqt_gpu_stage_spoil(s, "the file is no list of results");
    json_array_foreach(root, i, row) bad += !read_gain(r, row);
    if (bad > 0)
        iqt_gpu_stage_spoil(s, "%zu of %zu results make no sense and are left out", bad,
                            json_array_size(root));
}

/* ---- Stats ---------------------------------------------------------------------------- */

enum column { PLAN, SLOTS, INSTRUCTIONS, REGISTERS, SPILLS, WANTED };
static const char *const columns[WANTED] = {
    [PLAN] = "plan",
    [SLOTS] = "slots_per_weight",
    [INSTRUCTIONS] = "instructions_per_weight",
    [REGISTERS] = "registers",
    [SPILLS] = "spill_bytes",
};

/* Splits a line at its commas. Returns the number of words, at most COLUMNS. */
static size_t split(char *line, char *word[COLUMNS])
{
    size_t count = 0;

    line[strcspn(line, "\r")] = '\0';
    while (line != NULL && count < COLUMNS)
        word[count++] = strsep(&line, ",");
    return count;
}

static bool find_columns(char *line, size_t place[WANTED])
{
    char *word[COLUMNS];
    const size_t count = split(line, word);

    for (size_t c = 0; c < WANTED; c++) {
        place[c] = 0;
        while (place[c] < count && strcmp(word[place[c]], columns[c]) != 0)
            place[c]++;
        if (place[c] == count)
            return false;
    }
    return true;
}

static bool read_slots(char *line, const size_t place[WANTED], struct iqt_gpu_slots *out)
{
    char *word[COLUMNS];
    const size_t count = split(line, word);

    for (size_t c = 0; c < WANTED; c++)
        if (place[c] >= count)
            return false;
    copy_text(out->plan, sizeof(out->plan), word[place[PLAN]]);
    out->slots = strtod(word[place[SLOTS]], NULL);
    out->instructions = strtod(word[place[INSTRUCTIONS]], NULL);
    out->registers = (uint32_t)strtoul(word[place[REGISTERS]], NULL, 10);
    out->spill_bytes = (uint32_t)strtoul(word[place[SPILLS]], NULL, 10);
    return out->plan[0] != '\0' && out->slots > 0 && out->slots < 1e6 &&
           out->instructions >= 0 && out->instructions < 1e6;
}

/* Several runs' output one after the other: the head line may come again. */
void iqt_gpu_read_stats(struct iqt_gpu_report *r, char *csv)
{
    struct iqt_gpu_stage *s = &r->stage[IQT_GPU_STATS];
    size_t place[WANTED], lines = 0, bad = 0;
    bool head = false;
    char *line;

    while ((line = strsep(&csv, "\n")) != NULL) {
        if (line[0] == '\0')
            continue;
        if (strncmp(line, "format,", 7) == 0) {
            head = find_columns(line, place);
            continue;
        }
        lines++;
        if (head && r->slots < IQT_GPU_SLOTS &&
            read_slots(line, place, &r->slot[r->slots]))
            r->slots++;
        else
            bad++;
    }
    if (bad > 0)
        iqt_gpu_stage_spoil(s, "%zu of %zu lines make no sense and are left out", bad,
                            lines);
}

void iqt_gpu_join_slots(struct iqt_gpu_report *r)
{
    for (size_t i = 0; i < r->cells; i++)
        for (size_t j = 0; j < r->slots; j++)
            if (strcmp(r->cell[i].plan, r->slot[j].plan) == 0)
                r->cell[i].slots = r->slot[j].slots;
}
