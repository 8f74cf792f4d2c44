/* iqtile tune: finds and remembers the fastest verified plan of each shape. Knows what to tune
 * and how to tell about it; the search is in tuner/, devices are in runtime/. */
#include "tools/cli.h"
#include "tools/tune_shapes.h"
#include "kernels/layout.h"
#include "runtime/tune_worker.h"
#include "runtime/tuned.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct tune_opts {
    const char *device, *format, *level, *columns, *shape;
    uint32_t budget;
    bool gated, force, json, worker;
};

static const struct iqt_opt tune_opts[] = {
    { "device", IQT_OPT_STRING, "DEVICE", "tune this device; default: every device",
      offsetof(struct tune_opts, device) },
    { "format", IQT_OPT_STRING, "FORMAT", "tune this format; default: every one there is",
      offsetof(struct tune_opts, format) },
    { "level", IQT_OPT_STRING, "LEVEL",
      "never, estimate, quick (default), patient or exhaustive",
      offsetof(struct tune_opts, level) },
    { "n", IQT_OPT_STRING, "LIST", "numbers of columns, 1,4,8 by default",
      offsetof(struct tune_opts, columns) },
    { "shape", IQT_OPT_STRING, "MxK[,MxK]",
      "also tune matrices of these sizes, filled with rows of FILE, or random ones",
      offsetof(struct tune_opts, shape) },
    { "budget", IQT_OPT_U32, "SECONDS", "time for each device, instead of the level's",
      offsetof(struct tune_opts, budget) },
    { "gated", IQT_OPT_FLAG, NULL, "tune act(gate) * up of two matrices, too",
      offsetof(struct tune_opts, gated) },
    { "force", IQT_OPT_FLAG, NULL, "measure again what is in the database",
      offsetof(struct tune_opts, force) },
    { "json", IQT_OPT_FLAG, NULL, "print JSON for machines",
      offsetof(struct tune_opts, json) },
    { "worker", IQT_OPT_FLAG, NULL, "internal: try plans for another iqtile",
      offsetof(struct tune_opts, worker) },
    { 0 },
};

/* Everything a run needs; results of all devices in the order they came. */
struct run {
    const struct tune_opts *o;
    enum iqt_tune_level level;
    struct iqt_cli_columns columns;
    struct iqt_tune_shapes shapes;
    struct iqt_tune_job *jobs;
    size_t *shape_of; /* of a job */
    size_t job_count;
    char device[32];
    bool simulated; /* the device */
    json_t *rows;
    size_t failed, unmeasured;
};

static const char *const source_names[] = {
    [IQT_TUNED_TIMED] = "tuned",        [IQT_TUNED_REUSED] = "known",
    [IQT_TUNED_ESTIMATED] = "estimate", [IQT_TUNED_BUDGET] = "no time",
    [IQT_TUNED_UNSTEADY] = "unsteady",  [IQT_TUNED_FAILED] = "failed",
};

/* ---- Jobs ---------------------------------------------------------------------------- */

static enum iqt_status make_jobs(struct run *r)
{
    const uint32_t ops = r->o->gated ? IQT_OPS : 1;
    const size_t most = r->shapes.count * r->columns.count * ops;

    r->jobs = calloc(most + 1, sizeof *r->jobs);
    r->shape_of = calloc(most + 1, sizeof *r->shape_of);
    if (!r->jobs || !r->shape_of)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu jobs", most);
    for (size_t s = 0; s < r->shapes.count; s++)
        for (size_t c = 0; c < r->columns.count; c++)
            for (uint32_t op = 0; op < ops; op++) {
                const struct iqt_tune_shape *shape = &r->shapes.shape[s];

                r->shape_of[r->job_count] = s;
                r->jobs[r->job_count++] = (struct iqt_tune_job){
                    .format = shape->format,
                    .op = (enum iqt_op)op,
                    .n = r->columns.n[c],
                    .m = shape->m,
                    .k = shape->k,
                    .bytes = shape->bytes,
                };
            }
    return IQT_OK;
}

static enum iqt_status prepare(struct run *r, const char *path)
{
    const struct tune_opts *o = r->o;
    const struct iqt_format *format = NULL;

    r->level = IQT_TUNE_QUICK;
    if (o->level && !iqt_tune_level_find(o->level, &r->level))
        return iqt_fail(IQT_ERR_UNKNOWN,
                        "unknown level '%s'; the levels are never estimate "
                        "quick patient exhaustive",
                        o->level);
    if (o->format)
        IQT_TRY(iqt_cli_format(o->format, &format));
    IQT_TRY(iqt_cli_columns(o->columns ? o->columns : "1,4,8", &r->columns));
    IQT_TRY(iqt_tune_shapes_open(path, o->shape, format, &r->shapes));
    r->rows = json_array();
    return make_jobs(r);
}

/* ---- Call-backs ---------------------------------------------------------------------- */

static enum iqt_status weights(void *user, size_t index, const void **rows)
{
    struct run *r = user;

    return iqt_tune_shape_rows(&r->shapes, r->shape_of[index], rows);
}

static void progress(void *user, uint64_t done, uint64_t total, const char *text)
{
    const struct run *r = user;
    char what[192];

    snprintf(what, sizeof what, "%s %s", r->device, text);
    iqt_cli_progress(what, done, total);
}

static bool stop(void *user)
{
    (void)user;
    return iqt_cli_interrupted();
}

/* Bytes of weights that a call reads, per nanosecond. */
static double rate(const struct iqt_tune_result *r)
{
    const double bytes =
        (double)r->job.m *
        (double)iqt_layout_row_bytes(r->job.format, IQT_LAYOUT_NATIVE, r->job.k) *
        (r->job.op == IQT_OP_GATED ? 2 : 1);

    return r->ns > 0 ? bytes / r->ns : 0;
}

static double gain(const struct iqt_tune_result *r)
{
    return r->ns > 0 && r->default_ns > 0 ? r->default_ns / r->ns : 0;
}

static void report(void *user, const struct iqt_tune_result *t)
{
    struct run *r = user;
    char plan[IQT_PLAN_NAME_BYTES];

    if (t->source == IQT_TUNED_FAILED) {
        r->failed++;
        return;
    }
    r->unmeasured += t->source == IQT_TUNED_BUDGET || t->source == IQT_TUNED_UNSTEADY;
    iqt_plan_name(&t->plan, plan);
    json_array_append_new(
        r->rows,
        json_pack(
            "{s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:I, s:f, "
            "s:f}",
            "device", r->device, "simulated", r->simulated, "format", t->job.format->name,
            "op", t->job.op == IQT_OP_GATED ? "gated" : "matvec", "m",
            (json_int_t)t->job.m, "k", (json_int_t)t->job.k, "n", (json_int_t)t->job.n,
            "layout", iqt_layout_name(t->plan.layout), "plan", plan, "source",
            source_names[t->source], "level", iqt_tune_level_name(t->level), "ns", t->ns,
            "default_ns", t->default_ns, "spread_ns", t->spread_ns, "samples",
            (json_int_t)t->samples, "gb_per_s", rate(t), "speedup", gain(t)));
}

/* ---- Output -------------------------------------------------------------------------- */

static double number_of(const json_t *row, const char *name)
{
    return json_number_value(json_object_get(row, name));
}

static const char *text_of(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static void print_row(const json_t *row)
{
    char shape[32], rate_text[16] = "-", gain_text[16] = "-";
    const bool simulated = json_is_true(json_object_get(row, "simulated"));

    snprintf(shape, sizeof shape, "%.0fx%.0f", number_of(row, "m"), number_of(row, "k"));
    if (number_of(row, "gb_per_s") > 0)
        snprintf(rate_text, sizeof rate_text, "%.2f", number_of(row, "gb_per_s"));
    if (number_of(row, "speedup") > 0)
        snprintf(gain_text, sizeof gain_text, "%.2f", number_of(row, "speedup"));
    printf("%-9s %-12s %2.0f  %-9s%s %-8s %8s %8s  %s\n", text_of(row, "format"), shape,
           number_of(row, "n"), text_of(row, "device"), simulated ? " simulated" : "",
           text_of(row, "source"), rate_text, gain_text, text_of(row, "plan"));
}

static void print_results(const struct run *r)
{
    size_t i;
    const json_t *row;

    if (r->o->json) {
        json_dumpf(r->rows, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
        printf("\n");
        return;
    }
    printf("%-9s %-12s %2s  %-9s %-8s %8s %8s  %s\n", "format", "shape", "n", "device",
           "source", "GB/s", "speed-up", "plan");
    json_array_foreach(r->rows, i, row) print_row(row);
}

static void print_remarks(const struct run *r, enum iqt_status status)
{
    if (r->failed > 0)
        fprintf(stderr,
                "iqtile: %zu plans failed and are on record; see iqtile db list\n",
                r->failed);
    if (r->unmeasured > 0)
        fprintf(
            stderr,
            "iqtile: %zu results keep the default plan, for want of time or of a quiet "
            "machine; a second run goes on with them\n",
            r->unmeasured);
    if (status == IQT_ERR_INTERRUPTED)
        fprintf(stderr,
                "iqtile: what was finished is stored; the same command goes on from "
                "there\n");
}

/* ---- Devices ------------------------------------------------------------------------- */

struct spec_list {
    char spec[64][32];
    size_t count;
};

static void add_spec(void *user, const struct iqt_device_info *info)
{
    struct spec_list *list = user;

    if (list->count < IQT_COUNT(list->spec))
        memcpy(list->spec[list->count++], info->spec, sizeof info->spec);
}

static enum iqt_status tune_one(struct run *r, struct iqt_context *ctx, const char *spec)
{
    static const char *const worker[] = { "/proc/self/exe", "tune", "--worker", NULL };
    const struct iqt_tune_device_options options = {
        .level = r->level,
        .budget_ns = (uint64_t)r->o->budget * 1000000000u,
        .force = r->o->force,
        .worker = worker,
        .user = r,
        .weights = weights,
        .progress = progress,
        .stop = stop,
        .report = report,
    };
    struct iqt_device *dev;

    IQT_TRY(iqt_device_open(ctx, spec, &dev));
    snprintf(r->device, sizeof r->device, "%s", iqt_device_describe(dev)->spec);
    r->simulated = iqt_device_simulated(iqt_device_describe(dev));
    const enum iqt_status status = iqt_tune_device(dev, r->jobs, r->job_count, &options);
    iqt_device_close(dev);
    return status;
}

static enum iqt_status tune_all(struct run *r)
{
    struct spec_list list = { 0 };
    struct iqt_context *ctx;
    enum iqt_status status;

    IQT_TRY(iqt_context_create(NULL, &ctx));
    if (r->o->device)
        status = tune_one(r, ctx, r->o->device);
    else
        status = iqt_device_list(ctx, add_spec, &list);
    for (size_t i = 0; i < list.count && status == IQT_OK; i++)
        status = tune_one(r, ctx, list.spec[i]);
    iqt_context_destroy(ctx);
    return status;
}

static int serve(void)
{
    const enum iqt_status status = iqt_worker_serve();

    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

static int run(const void *opts, int count, char **args)
{
    struct run r = { .o = opts };
    enum iqt_status status;
    int code = IQT_EXIT_OK;

    if (r.o->worker)
        return serve();
    iqt_cli_catch_interrupts();
    status = prepare(&r, count > 0 ? args[0] : NULL);
    if (status == IQT_OK) {
        status = tune_all(&r);
        /* After an interrupt what was measured is worth seeing, too. */
        if (status == IQT_OK || status == IQT_ERR_INTERRUPTED)
            print_results(&r);
    }
    if (status != IQT_OK)
        code = iqt_cli_fail(status);
    print_remarks(&r, status);
    json_decref(r.rows);
    free(r.jobs);
    free(r.shape_of);
    iqt_tune_shapes_close(&r.shapes);
    return code;
}

const struct iqt_command iqt_cmd_tune = {
    .name = "tune",
    .usage = "[FILE] [--device D] [--format F] [--level L] [options]",
    .summary = "find and remember the fastest plans for a file's shapes",
    .opts = tune_opts,
    .opts_bytes = sizeof(struct tune_opts),
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
