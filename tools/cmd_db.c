/* iqtile db: looks into the tuning database, and carries its results between machines. */
#include "tools/cli.h"
#include "runtime/tuned.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct db_opts {
    const char *device, *format;
};

static const struct iqt_opt db_opts[] = {
    { "device", IQT_OPT_STRING, "DEVICE",
      "only of this device: as in iqtile devices, or a backend, an id, a part of a name",
      offsetof(struct db_opts, device) },
    { "format", IQT_OPT_STRING, "FORMAT", "only of this format",
      offsetof(struct db_opts, format) },
    { 0 },
};

struct session {
    struct iqt_context *ctx;
    struct iqt_db *db;
    struct iqt_db_filter filter;
    char id[64], backend[16]; /* of a device given by its spec */
    const char *file;         /* of export and import */
};

/* ---- list ---------------------------------------------------------------------------- */

struct rows {
    struct iqt_db_entry *entry;
    size_t count, capacity;
    bool failed;
};

static bool keep_row(void *user, const struct iqt_db_entry *e)
{
    struct rows *r = user;

    if (r->count == r->capacity) {
        const size_t more = r->capacity ? 2 * r->capacity : 64;
        struct iqt_db_entry *grown = realloc(r->entry, more * sizeof *grown);

        if (!grown) {
            r->failed = true;
            return false;
        }
        r->entry = grown;
        r->capacity = more;
    }
    r->entry[r->count++] = *e;
    return true;
}

static void print_entry(struct iqt_db *db, const struct iqt_db_entry *e)
{
    const bool correct = e->validity == IQT_VALID_CORRECT;
    const time_t when = (time_t)e->time;
    char shape[48], date[32], gain[16] = "-";
    struct tm local;

    snprintf(shape, sizeof shape, "%llux%llu", (unsigned long long)e->m,
             (unsigned long long)e->k);
    strftime(date, sizeof date, "%Y-%m-%d", localtime_r(&when, &local));
    if (correct && e->ns > 0 && e->default_ns > 0)
        snprintf(gain, sizeof gain, "%.2f", e->default_ns / e->ns);
    printf("%-8s %-24.24s %-12s %2u %10.1f %8s %4u  %s  %-11s %s\n", e->device.backend,
           e->device.name, shape, e->n, e->ns / 1e3, gain, e->samples, date,
           !iqt_db_fresh(db, e) ? "stale" : iqt_validity_name(e->validity), e->plan);
    if (!correct)
        printf("%-8s %s\n", "", e->reason);
}

static enum iqt_status list(struct session *s)
{
    struct rows rows = { 0 };
    enum iqt_status status = iqt_db_list(s->db, &s->filter, keep_row, &rows);

    if (status == IQT_OK && rows.failed)
        status = iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu results", rows.count);
    if (status == IQT_OK) {
        printf("%-8s %-24s %-12s %2s %10s %8s %4s  %-10s  %-11s %s\n", "backend",
               "device", "shape", "n", "us", "speed-up", "runs", "date", "state", "plan");
        for (size_t i = 0; i < rows.count; i++)
            print_entry(s->db, &rows.entry[i]);
    }
    free(rows.entry);
    return status;
}

/* ---- forget, export, import ---------------------------------------------------------- */

static enum iqt_status forget(struct session *s)
{
    uint64_t count;

    IQT_TRY(iqt_db_forget(s->db, &s->filter, &count));
    fprintf(stderr, "iqtile: forgot %llu results\n", (unsigned long long)count);
    return IQT_OK;
}

static enum iqt_status export(struct session *s) {
    struct iqt_buf text = { 0 };
    enum iqt_status status = iqt_db_export(s->db, &s->filter, &text);

    if (status == IQT_OK)
        status = iqt_file_replace(s->file, iqt_buf_text(&text), text.bytes);
    iqt_buf_free(&text);
    return status;
}

static enum iqt_status import(struct session *s)
{
    uint64_t count;
    size_t bytes;
    char *text;

    IQT_TRY(iqt_file_read(s->file, &text, &bytes));
    const enum iqt_status status = iqt_db_import(s->db, text, bytes, &count);
    free(text);
    IQT_TRY(status);
    fprintf(stderr, "iqtile: took over %llu results\n", (unsigned long long)count);
    return IQT_OK;
}

static const struct verb {
    const char *name;
    enum iqt_status (*run)(struct session *s);
    int args;    /* after the verb */
    bool create; /* works without a database */
} verbs[] = {
    { "list", list, 0, false },
    { "forget", forget, 0, false },
    { "export", export, 1, false },
    { "import", import, 1, true },
};

/* ---- The command --------------------------------------------------------------------- */

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < IQT_COUNT(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

struct wanted {
    struct session *s;
    const char *spec;
};

static void match_spec(void *user, const struct iqt_device_info *info)
{
    struct wanted *w = user;

    if (strcmp(info->spec, w->spec) != 0)
        return;
    snprintf(w->s->id, sizeof w->s->id, "%s", info->id);
    snprintf(w->s->backend, sizeof w->s->backend, "%s", info->backend);
}

/* "vulkan:0" is a device of this machine; anything else is compared as text. */
static enum iqt_status set_filter(struct session *s, const struct db_opts *o)
{
    const struct iqt_format *format;
    struct wanted w = { s, o->device };

    s->filter.device = o->device;
    if (o->format) {
        IQT_TRY(iqt_cli_format(o->format, &format));
        s->filter.format = format->name;
    }
    if (!o->device || !strchr(o->device, ':'))
        return IQT_OK;
    IQT_TRY(iqt_device_list(s->ctx, match_spec, &w));
    if (s->id[0]) {
        s->filter.device = s->id;
        s->filter.backend = s->backend;
    }
    return IQT_OK;
}

static enum iqt_status work(struct session *s, const struct verb *verb,
                            const struct db_opts *o)
{
    IQT_TRY(set_filter(s, o));
    if (!verb->create && s->ctx->db_path[0] && access(s->ctx->db_path, F_OK) != 0) {
        if (verb->args == 0) {
            fprintf(stderr, "iqtile: nothing was tuned yet; %s does not exist\n",
                    s->ctx->db_path);
            return IQT_OK;
        }
        return iqt_fail(IQT_ERR_DB, "nothing was tuned yet; %s does not exist",
                        s->ctx->db_path);
    }
    IQT_TRY(iqt_tuned_open(s->ctx, verb->create, &s->db));
    return verb->run(s);
}

static int run(const void *opts, int count, char **args)
{
    const struct verb *verb = find_verb(args[0]);
    struct session s = { 0 };
    enum iqt_status status;

    if (!verb)
        return iqt_cli_usage(
            "unknown word '%s' after db; expected list, forget, export or "
            "import",
            args[0]);
    if (count - 1 != verb->args)
        return iqt_cli_usage("db %s takes %s", verb->name,
                             verb->args ? "one file" : "no file");
    s.file = verb->args ? args[1] : NULL;
    status = iqt_context_create(NULL, &s.ctx);
    if (status == IQT_OK)
        status = work(&s, verb, opts);
    iqt_db_close(s.db);
    iqt_context_destroy(s.ctx);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_db = {
    .name = "db",
    .usage = "list | forget | export FILE | import FILE [options]",
    .summary = "show, delete, export or import tuned results",
    .opts = db_opts,
    .opts_bytes = sizeof(struct db_opts),
    .min_args = 1,
    .max_args = 2,
    .run = run,
};
