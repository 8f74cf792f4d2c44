/* Tuning results as JSON, to travel between machines and tools: the T4 results format, schema
 * version 1.0.0 (odgaard/TuningSchema), with what it has no field for in an "iqtile" object.
 * Bytes from a file are hostile: an entry is checked in full before any is stored. */
#include "tuner/database.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char schema_version[] = "1.0.0", timestamp_form[] = "%Y-%m-%dT%H:%M:%SZ";

/* Texts of the "iqtile" object; the rest of it is numbers. */
static const struct text_field {
    const char *name;
    size_t offset, bytes;
} text_fields[] = {
#define FIELD(name, member)                          \
    {                                                \
        name, offsetof(struct iqt_db_entry, member), \
            sizeof((struct iqt_db_entry *)0)->member \
    }
    FIELD("backend", device.backend), FIELD("device_id", device.id),
    FIELD("device", device.name),     FIELD("arch", device.arch),
    FIELD("vendor", device.vendor),   FIELD("driver", device.driver),
    FIELD("reason", reason),
};

/* ---- Export -------------------------------------------------------------------------- */

/* Drivers may report names that are not UTF-8, which JSON cannot carry. */
static json_t *text_value(const char *text)
{
    json_t *value = json_string(text);

    return value ? value : json_string("");
}

static json_t *configuration(const struct iqt_db_entry *e)
{
    struct iqt_plan p;

    if (iqt_plan_parse(e->plan, &p) != IQT_OK)
        memset(&p, 0, sizeof p);
    return json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i}",
                     "plan", e->plan, "n", (json_int_t)e->n, "m", (json_int_t)e->m, "k",
                     (json_int_t)e->k, "format", p.format ? p.format->name : "", "layout",
                     p.layout == IQT_LAYOUT_PACKED ? "packed" : "native", "rows_group",
                     (int)p.rows_group, "rows_thread", (int)p.rows_thread, "threads",
                     (int)p.threads, "span", (int)p.span, "vec", (int)p.vec, "unroll",
                     (int)p.unroll);
}

static json_t *own_fields(const struct iqt_db_entry *e)
{
    char hash[32];

    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)e->text_hash);
    json_t *own = json_pack("{s:s, s:s}", "text_hash", hash, "level",
                            iqt_tune_level_name(e->level));
    for (size_t i = 0; i < IQT_COUNT(text_fields); i++)
        json_object_set_new(own, text_fields[i].name,
                            text_value((const char *)e + text_fields[i].offset));
    return own;
}

static json_t *measurement(const char *name, double value, const char *unit)
{
    return json_pack("{s:s, s:f, s:s}", "name", name, "value", value, "unit", unit);
}

static json_t *result_of(const struct iqt_db_entry *e)
{
    const bool correct = e->validity == IQT_VALID_CORRECT;
    const time_t when = (time_t)e->time;
    char stamp[64];
    struct tm utc;

    gmtime_r(&when, &utc);
    strftime(stamp, sizeof stamp, timestamp_form, &utc);
    json_t *measured = json_array(), *runtimes = json_array();
    if (correct) {
        json_array_append_new(runtimes, json_real(e->ns / 1e6));
        json_array_append_new(measured, measurement("time", e->ns, "ns"));
        json_array_append_new(measured, measurement("default_time", e->default_ns, "ns"));
        json_array_append_new(measured, measurement("spread", e->spread_ns, "ns"));
        json_array_append_new(measured, measurement("samples", e->samples, ""));
    }
    return json_pack("{s:s, s:o, s:[s], s:{s:o}, s:s, s:i, s:o, s:o}", "timestamp", stamp,
                     "configuration", configuration(e), "objectives", "time", "times",
                     "runtimes", runtimes, "invalidity", iqt_validity_name(e->validity),
                     "correctness", (int)correct, "measurements", measured, "iqtile",
                     own_fields(e));
}

static bool append_result(void *user, const struct iqt_db_entry *e)
{
    return json_array_append_new(user, result_of(e)) == 0;
}

static int append_text(const char *text, size_t bytes, void *user)
{
    iqt_buf_append(user, text, bytes);
    return 0;
}

enum iqt_status iqt_db_export(struct iqt_db *db, const struct iqt_db_filter *filter,
                              struct iqt_buf *out)
{
    uint64_t wanted;

    IQT_TRY(iqt_db_count(db, filter, &wanted));
    json_t *results = json_array();
    enum iqt_status status = iqt_db_list(db, filter, append_result, results);
    json_t *root =
        json_pack("{s:s, s:{s:s}, s:O}", "schema_version", schema_version, "metadata",
                  "generator", "iqtile " IQT_VERSION, "results", results);

    if (status == IQT_OK &&
        (!root || json_dump_callback(root, append_text, out,
                                     JSON_INDENT(1) | JSON_REAL_PRECISION(17)) != 0))
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory to export %llu results",
                          (unsigned long long)wanted);
    json_decref(root);
    json_decref(results);
    IQT_TRY(status);
    iqt_buf_append(out, "\n", 1);
    return iqt_buf_check(out);
}

/* ---- Import -------------------------------------------------------------------------- */

/* An entry being read; the first fault ends it. */
struct reading {
    size_t entry; /* 1-based, for messages */
    enum iqt_status status;
};

static void fault(struct reading *r, const char *field, const char *expected)
{
    if (r->status == IQT_OK)
        r->status = iqt_fail(IQT_ERR_FORMAT, "result %zu: field \"%s\": expected %s",
                             r->entry, field, expected);
}

static const char *read_text(struct reading *r, const json_t *object, const char *field,
                             size_t capacity)
{
    const json_t *value = json_object_get(object, field);

    if (!json_is_string(value)) {
        fault(r, field, "a text");
        return "";
    }
    if (json_string_length(value) >= capacity ||
        strlen(json_string_value(value)) != json_string_length(value)) {
        fault(r, field, "a shorter text without NUL");
        return "";
    }
    return json_string_value(value);
}

static uint64_t read_count(struct reading *r, const json_t *object, const char *field,
                           uint64_t most)
{
    const json_t *value = json_object_get(object, field);
    const json_int_t number = json_is_integer(value) ? json_integer_value(value) : 0;

    if (number < 1 || (uint64_t)number > most) {
        fault(r, field, "a positive whole number in range");
        return 1;
    }
    return (uint64_t)number;
}

static double read_measured(struct reading *r, const json_t *list, const char *name)
{
    size_t i;
    const json_t *item;

    json_array_foreach(list, i, item)
    {
        const json_t *label = json_object_get(item, "name");
        const json_t *value = json_object_get(item, "value");

        if (!json_is_string(label) || strcmp(json_string_value(label), name) != 0)
            continue;
        if (json_is_number(value) && isfinite(json_number_value(value)) &&
            json_number_value(value) >= 0)
            return json_number_value(value);
        break;
    }
    fault(r, name, "a measurement with a finite number, not below 0");
    return 0;
}

static void read_measurements(struct reading *r, const json_t *result,
                              struct iqt_db_entry *e)
{
    const json_t *list = json_object_get(result, "measurements");

    if (e->validity != IQT_VALID_CORRECT)
        return;
    e->ns = read_measured(r, list, "time");
    e->default_ns = read_measured(r, list, "default_time");
    e->spread_ns = read_measured(r, list, "spread");
    const double samples = read_measured(r, list, "samples");
    if (e->ns <= 0)
        fault(r, "time", "more than 0 ns for a correct result");
    if (samples < 1 || samples > 1e9)
        fault(r, "samples", "1 or more for a correct result");
    e->samples = r->status == IQT_OK ? (uint32_t)samples : 0;
}

static void read_configuration(struct reading *r, const json_t *result,
                               struct iqt_db_entry *e)
{
    const json_t *c = json_object_get(result, "configuration");
    struct iqt_plan plan;

    strcpy(e->plan, read_text(r, c, "plan", sizeof e->plan));
    e->n = (uint32_t)read_count(r, c, "n", IQT_MAX_COLS);
    e->m = read_count(r, c, "m", UINT32_MAX);
    e->k = read_count(r, c, "k", UINT32_MAX);
    if (r->status != IQT_OK)
        return;
    if (iqt_plan_parse(e->plan, &plan) != IQT_OK || iqt_plan_check(&plan, NULL) != IQT_OK)
        fault(r, "plan", "the name of a legal plan");
    else if (plan.n < e->n)
        fault(r, "n", "at most the columns of the plan");
    else if (!iqt_plan_fits(&plan, e->k))
        fault(r, "k", "a multiple of the plan's span");
}

static void read_own_fields(struct reading *r, const json_t *result,
                            struct iqt_db_entry *e)
{
    const json_t *own = json_object_get(result, "iqtile");
    const char *hash = read_text(r, own, "text_hash", 17);
    char *end;

    for (size_t i = 0; i < IQT_COUNT(text_fields); i++)
        strcpy((char *)e + text_fields[i].offset,
               read_text(r, own, text_fields[i].name, text_fields[i].bytes));
    e->text_hash = strtoull(hash, &end, 16);
    if (strlen(hash) != 16 || strspn(hash, "0123456789abcdef") != 16)
        fault(r, "text_hash", "16 hexadecimal digits");
    if (!iqt_tune_level_find(read_text(r, own, "level", 32), &e->level))
        fault(r, "level", "the name of a tuning level");
    if (r->status == IQT_OK && (!e->device.backend[0] || !e->device.id[0]))
        fault(r, e->device.backend[0] ? "device_id" : "backend", "not an empty text");
}

static void read_result(struct reading *r, const json_t *result, struct iqt_db_entry *e)
{
    struct tm utc = { 0 };

    memset(e, 0, sizeof *e);
    if (!json_is_object(result))
        fault(r, "results", "an object");
    if (!iqt_validity_find(read_text(r, result, "invalidity", 32), &e->validity))
        fault(r, "invalidity",
              "one of correct, compile, runtime, timeout, correctness, "
              "constraints");
    const char *end =
        strptime(read_text(r, result, "timestamp", 64), timestamp_form, &utc);
    if (!end || *end)
        fault(r, "timestamp", "a time like 2026-01-31T12:00:00Z");
    e->time = (int64_t)timegm(&utc);
    read_configuration(r, result, e);
    read_own_fields(r, result, e);
    read_measurements(r, result, e);
}

static enum iqt_status read_results(const json_t *root, struct iqt_db_entry **out,
                                    size_t *count)
{
    const json_t *version = json_object_get(root, "schema_version");
    const json_t *results = json_object_get(root, "results");

    if (!json_is_string(version) ||
        strcmp(json_string_value(version), schema_version) != 0)
        return iqt_fail(IQT_ERR_FORMAT,
                        "expected T4 results with \"schema_version\": \"%s\"",
                        schema_version);
    if (!json_is_array(results))
        return iqt_fail(IQT_ERR_FORMAT, "expected an array \"results\"");

    const size_t total = json_array_size(results);
    struct iqt_db_entry *e = malloc((total + 1) * sizeof *e);
    if (!e)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu results", total);
    for (size_t i = 0; i < total; i++) {
        struct reading r = { .entry = i + 1 };

        read_result(&r, json_array_get(results, i), &e[i]);
        if (r.status != IQT_OK) {
            free(e);
            return r.status;
        }
    }
    *out = e;
    *count = total;
    return IQT_OK;
}

enum iqt_status iqt_db_import(struct iqt_db *db, const char *json, size_t bytes,
                              uint64_t *count)
{
    json_error_t error;
    struct iqt_db_entry *entry = NULL;
    size_t total = 0;
    json_t *root = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &error);

    if (!root)
        return iqt_fail(IQT_ERR_FORMAT, "not JSON: line %d, column %d: %s", error.line,
                        error.column, error.text);
    enum iqt_status status = read_results(root, &entry, &total);
    json_decref(root);
    if (status == IQT_OK)
        status = iqt_db_merge(db, entry, total, count);
    free(entry);
    return status;
}
