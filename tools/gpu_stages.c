/* The folder of a GPU report: run.txt, devices.json, and for each stage NAME.stage (how it went) and
 * NAME.out (its results). Decides what state a stage is in. */
#include "tools/gpu_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096, STATUS_LEFT_OUT = 77, STATUS_INTERRUPTED = 130 };

static const struct {
    const char *name, *title;
} stages[IQT_GPU_STAGES] = {
    [IQT_GPU_CHECK] = { "check", "kernels against the exact model" },
    [IQT_GPU_GOLDEN] = { "golden", "files of the formats' reference" },
    [IQT_GPU_TUNE] = { "tune", "search for the fastest plans" },
    [IQT_GPU_BENCH_NATIVE] = { "bench-native", "speed, native layout" },
    [IQT_GPU_BENCH_PACKED] = { "bench-packed", "speed, packed layout" },
    [IQT_GPU_STATS] = { "stats", "instruction slots of the machine code" },
};

static const char *const states[] = {
    [IQT_GPU_NOT_RUN] = "not run",         [IQT_GPU_OK] = "ok",
    [IQT_GPU_LEFT_OUT] = "left out",       [IQT_GPU_FAILED] = "failed",
    [IQT_GPU_INTERRUPTED] = "interrupted",
};

const char *iqt_gpu_stage_name(enum iqt_gpu_stage_id id)
{
    return stages[id].name;
}

const char *iqt_gpu_stage_title(enum iqt_gpu_stage_id id)
{
    return stages[id].title;
}

const char *iqt_gpu_state_name(enum iqt_gpu_state state)
{
    return states[state];
}

void iqt_gpu_stage_spoil(struct iqt_gpu_stage *s, const char *fmt, ...)
{
    va_list args;

    if (s->state != IQT_GPU_OK)
        return;
    s->state = IQT_GPU_FAILED;
    va_start(args, fmt);
    vsnprintf(s->note, sizeof(s->note), fmt, args);
    va_end(args);
}

const char *iqt_gpu_fact_of(const struct iqt_gpu_report *r, const char *name)
{
    for (size_t i = 0; i < r->facts; i++)
        if (strcmp(r->fact[i].name, name) == 0)
            return r->fact[i].value;
    return "";
}

bool iqt_gpu_report_good(const struct iqt_gpu_report *r)
{
    for (size_t i = 0; i < IQT_GPU_STAGES; i++)
        if (r->stage[i].state != IQT_GPU_OK && r->stage[i].state != IQT_GPU_LEFT_OUT)
            return false;
    return true;
}

/* ---- Files ---------------------------------------------------------------------------- */

/* False when there is no such file, or none that can be read. */
static bool read_file(const char *folder, const char *name, const char *ending,
                      char **data, size_t *bytes)
{
    char path[PATH_BYTES];
    const int length = snprintf(path, sizeof(path), "%s/%s%s", folder, name, ending);

    return length < PATH_BYTES && iqt_file_read(path, data, bytes) == IQT_OK;
}

/* Calls fn for each line "name: value". */
static void each_line(char *text, void (*fn)(void *user, const char *name, char *value),
                      void *user)
{
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *colon = strstr(line, ": ");

        if (colon == NULL)
            continue;
        *colon = '\0';
        fn(user, line, colon + 2);
    }
}

static void add_fact(void *user, const char *name, char *value)
{
    struct iqt_gpu_report *r = user;
    struct iqt_gpu_fact *f = &r->fact[r->facts];

    if (r->facts == IQT_GPU_FACTS)
        return;
    iqt_escape(f->name, sizeof(f->name), name, strlen(name));
    iqt_escape(f->value, sizeof(f->value), value, strlen(value));
    r->facts++;
}

static void set_stage(void *user, const char *name, char *value)
{
    struct iqt_gpu_stage *s = user;

    if (strcmp(name, "command") == 0)
        iqt_escape(s->command, sizeof(s->command), value, strlen(value));
    else if (strcmp(name, "note") == 0)
        iqt_escape(s->note, sizeof(s->note), value, strlen(value));
    else if (strcmp(name, "seconds") == 0)
        s->seconds = strtod(value, NULL);
    else if (strcmp(name, "status") == 0)
        s->status = (int)strtol(value, NULL, 10);
}

static enum iqt_gpu_state state_of(int status)
{
    switch (status) {
    case 0:
        return IQT_GPU_OK;
    case STATUS_LEFT_OUT:
        return IQT_GPU_LEFT_OUT;
    case STATUS_INTERRUPTED:
        return IQT_GPU_INTERRUPTED;
    default:
        return IQT_GPU_FAILED;
    }
}

static void read_stage(const char *folder, const char *name, struct iqt_gpu_stage *s)
{
    char *text;
    size_t bytes;

    if (!read_file(folder, name, ".stage", &text, &bytes))
        return;
    s->status = -1; /* without a status it did not end well */
    each_line(text, set_stage, s);
    free(text);
    s->state = state_of(s->status);
    if (!(s->seconds >= 0 && s->seconds < 1e9))
        s->seconds = 0;
    if (s->state == IQT_GPU_FAILED && s->note[0] == '\0')
        snprintf(s->note, sizeof(s->note), "exit status %d", s->status);
}

/* ---- JSON ----------------------------------------------------------------------------- */

/* NULL, and *s spoilt, when the file is absent or no JSON. */
static json_t *load(const char *folder, const char *name, const char *ending,
                    struct iqt_gpu_stage *s)
{
    json_error_t error;
    json_t *root;
    char *text, place[IQT_GPU_TEXT];
    size_t bytes;

    if (!read_file(folder, name, ending, &text, &bytes)) {
        iqt_gpu_stage_spoil(s, "%s%s: absent", name, ending);
        return NULL;
    }
    root = json_loadb(text, bytes, 0, &error);
    free(text);
    if (root == NULL) {
        iqt_escape(place, sizeof(place), error.text, strlen(error.text));
        iqt_gpu_stage_spoil(s, "%s%s, line %d: %.200s", name, ending, error.line, place);
    }
    return root;
}

static void read_results(const char *folder, struct iqt_gpu_report *r)
{
    static const enum iqt_gpu_stage_id bench[] = {
        [IQT_LAYOUT_NATIVE] = IQT_GPU_BENCH_NATIVE,
        [IQT_LAYOUT_PACKED] = IQT_GPU_BENCH_PACKED,
    };
    char *csv;
    size_t bytes;
    json_t *root;

    for (uint32_t layout = 0; layout < IQT_COUNT(bench); layout++) {
        struct iqt_gpu_stage *s = &r->stage[bench[layout]];

        root = load(folder, stages[bench[layout]].name, ".out", s);
        if (root != NULL)
            iqt_gpu_read_bench(r, (enum iqt_layout)layout, root);
        json_decref(root);
    }
    root = load(folder, stages[IQT_GPU_TUNE].name, ".out", &r->stage[IQT_GPU_TUNE]);
    if (root != NULL)
        iqt_gpu_read_tune(r, root);
    json_decref(root);
    if (read_file(folder, stages[IQT_GPU_STATS].name, ".out", &csv, &bytes)) {
        iqt_gpu_read_stats(r, csv);
        free(csv);
    } else {
        iqt_gpu_stage_spoil(&r->stage[IQT_GPU_STATS], "stats.out: absent");
    }
    iqt_gpu_join_slots(r);
}

/* The device is a fact of the run, no stage: without it the figures are still there. */
static void read_run(const char *folder, struct iqt_gpu_report *r)
{
    struct iqt_gpu_stage none = { .state = IQT_GPU_NOT_RUN };
    char *text;
    size_t bytes;
    json_t *root;

    if (read_file(folder, "run", ".txt", &text, &bytes)) {
        each_line(text, add_fact, r);
        free(text);
    }
    root = load(folder, "devices", ".json", &none);
    if (root != NULL)
        iqt_gpu_read_device(r, iqt_gpu_fact_of(r, "device"), root);
    json_decref(root);
}

enum iqt_status iqt_gpu_report_read(const char *folder, struct iqt_gpu_report *r)
{
    struct stat st;

    if (stat(folder, &st) != 0)
        return iqt_fail(IQT_ERR_IO, "%s: %s", folder, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return iqt_fail(IQT_ERR_ARG,
                        "%s is no folder; expected one that scripts/gpu.sh "
                        "has written to",
                        folder);
    r->cell = calloc(IQT_GPU_CELLS, sizeof(*r->cell));
    r->slot = calloc(IQT_GPU_SLOTS, sizeof(*r->slot));
    if (r->cell == NULL || r->slot == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a report");
    read_run(folder, r);
    for (size_t i = 0; i < IQT_GPU_STAGES; i++)
        read_stage(folder, stages[i].name, &r->stage[i]);
    read_results(folder, r);
    return IQT_OK;
}

void iqt_gpu_report_free(struct iqt_gpu_report *r)
{
    free(r->cell);
    free(r->slot);
    *r = (struct iqt_gpu_report){ .facts = 0 };
}
