/* iqtile report: the main job from model files to a table and a page. Decides what is measured
 * and where the results go; report_run.c measures, report_html.c and report_text.c write. */
#include "tools/cli.h"
#include "tools/report_run.h"
#include "tools/report_text.h"
#include "runtime/runtime.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

struct report_opts {
    const char *html, *json, *device, *budget, *shape;
    uint32_t n;
};

static const struct iqt_opt report_opts[] = {
    { "html", IQT_OPT_STRING, "OUT.html", "write the report as one page with charts",
      offsetof(struct report_opts, html) },
    { "json", IQT_OPT_STRING, "OUT.json", "write the numbers for machines",
      offsetof(struct report_opts, json) },
    { "device", IQT_OPT_STRING, "DEVICE", "backend[:index] (default: every device)",
      offsetof(struct report_opts, device) },
    { "budget", IQT_OPT_STRING, "SECONDS",
      "time to tune each device; 0: none (default: 75)",
      offsetof(struct report_opts, budget) },
    { "shape", IQT_OPT_STRING, "MxK[,MxK...]",
      "shapes filled by tiling the model's rows (default: 4096x4096,14336x4096)",
      offsetof(struct report_opts, shape) },
    { "n", IQT_OPT_U32, "N", "columns of a product, 1 .. 16 (default: 1)",
      offsetof(struct report_opts, n) },
    { 0 },
};

enum { MAX_DEVICES = 16, MAX_FILES = 64, MAX_SHAPES = 256, MAX_TENSORS = 1024 };
static const char default_shapes[] = "4096x4096,14336x4096";
static const double default_budget_s = 75, race_s = 0.3;

struct job {
    struct iqt_gguf *file[MAX_FILES];
    size_t files;
    struct iqt_report_task task[MAX_SHAPES];
    struct iqt_report_plan plan;
    struct iqt_context *ctx;
    char spec[MAX_DEVICES][32];
    struct iqt_report_device device[MAX_DEVICES];
    struct iqt_report_row *rows;
    struct iqt_buf absent, names, command;
    char date[32], machine[256], system[256];
    struct iqt_report report;
};

/* ---- What is measured ---------------------------------------------------------------- */

static bool have_shape(const struct iqt_bench_shape *shapes, size_t count,
                       const struct iqt_format *f, size_t m, size_t k)
{
    for (size_t i = 0; i < count; i++) {
        if (shapes[i].format == f && shapes[i].m == m && shapes[i].k == k)
            return true;
    }
    return false;
}

/* Adds every shape of the list for every format of the files; tensor.name stays NULL. */
static enum iqt_status add_tiled(const char *list, struct iqt_bench_shape *shapes,
                                 size_t *count)
{
    const size_t from_files = *count;

    for (const char *at = list; *at != '\0';) {
        size_t m, k;

        IQT_TRY(iqt_bench_shape_parse(&at, &m, &k));
        for (size_t i = 0; i < from_files; i++) {
            const struct iqt_format *f = shapes[i].format;
            size_t row_bytes;

            if (have_shape(shapes, *count, f, m, k))
                continue;
            IQT_TRY(iqt_format_row_bytes(f, k, &row_bytes));
            if (*count == MAX_SHAPES)
                return iqt_fail(IQT_ERR_ARG, "more than %u formats x shapes", MAX_SHAPES);
            shapes[(*count)++] = (struct iqt_bench_shape){
                .format = f, .m = m, .k = k, .tensors = 1, .bytes = m * row_bytes
            };
        }
    }
    return IQT_OK;
}

static enum iqt_status tile(const struct job *j, const struct iqt_bench_shape *s,
                            struct iqt_bench_matrix *out)
{
    struct iqt_gguf_tensor *source = malloc(MAX_TENSORS * sizeof(*source));
    size_t count = 0;
    enum iqt_status status;

    if (source == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a list of tensors");
    for (size_t f = 0; f < j->files; f++) {
        for (size_t i = 0; i < iqt_gguf_tensor_count(j->file[f]) && count < MAX_TENSORS;
             i++) {
            source[count] = iqt_gguf_tensor_at(j->file[f], i);
            if (iqt_format_base(source[count].format) == s->format &&
                iqt_bench_matrix_usable(&source[count], false))
                count++;
        }
    }
    status = iqt_bench_matrix_tile(source, count, s->m, s->k, out);
    free(source);
    return status;
}

static enum iqt_status make_tasks(struct job *j, const char *shape_list)
{
    struct iqt_bench_shape *shapes = calloc(MAX_SHAPES, sizeof(*shapes));
    size_t count;
    enum iqt_status status = IQT_OK;

    if (shapes == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a list of shapes");
    count = iqt_bench_shapes(j->file, j->files, shapes, MAX_SHAPES);
    if (count == 0 || count > MAX_SHAPES)
        status = iqt_fail(IQT_ERR_UNSUPPORTED,
                          "the files have %zu kinds of matrices in formats with kernels; "
                          "1 .. %u can be reported on",
                          count, MAX_SHAPES);
    if (status == IQT_OK)
        status = add_tiled(shape_list, shapes, &count);
    if (status == IQT_OK)
        iqt_bench_shapes_sort(shapes, count);
    for (size_t i = 0; i < count && status == IQT_OK; i++) {
        struct iqt_report_task *t = &j->task[i];

        t->model_shape = shapes[i].tensor.name != NULL;
        t->weight = shapes[i].bytes * shapes[i].tensors;
        status = t->model_shape
                     ? iqt_bench_matrix_of_tensor(&shapes[i].tensor, &t->matrix)
                     : tile(j, &shapes[i], &t->matrix);
        j->plan.count = i + 1;
    }
    j->plan.tasks = j->task;
    free(shapes);
    return status;
}

static enum iqt_status open_files(struct job *j, char **paths, size_t count)
{
    if (count > MAX_FILES)
        return iqt_fail(IQT_ERR_ARG, "%zu files, at most %u", count, MAX_FILES);
    for (size_t i = 0; i < count; i++) {
        const char *slash = strrchr(paths[i], '/');

        IQT_TRY(iqt_gguf_open(paths[i], &j->file[j->files]));
        j->files++;
        iqt_buf_printf(&j->names, "%s%s", i == 0 ? "" : ", ",
                       slash == NULL ? paths[i] : slash + 1);
    }
    return IQT_OK;
}

/* ---- Where --------------------------------------------------------------------------- */

static void on_device(void *user, const struct iqt_device_info *info)
{
    struct job *j = user;

    if (j->report.device_count < MAX_DEVICES)
        snprintf(j->spec[j->report.device_count++], sizeof(j->spec[0]), "%s", info->spec);
}

static enum iqt_status find_devices(struct job *j, const char *spec)
{
    IQT_TRY(iqt_context_create(NULL, &j->ctx));
    /* Without a source of tuned plans every product runs its default plan. */
    iqt_context_set_plans(j->ctx, (struct iqt_plan_source){ 0 });
    if (spec != NULL) {
        snprintf(j->spec[j->report.device_count++], sizeof(j->spec[0]), "%s", spec);
        return IQT_OK;
    }
    IQT_TRY(iqt_device_list(j->ctx, on_device, j));
    for (size_t i = 0; iqt_backends[i] != NULL; i++) {
        const char *why;

        IQT_TRY(iqt_backend_reason(j->ctx, iqt_backends[i]->name, &why));
        if (why[0] != '\0')
            iqt_buf_printf(&j->absent, "%s: %s\n", iqt_backends[i]->name, why);
    }
    return IQT_OK;
}

static void describe_machine(struct job *j)
{
    const time_t now = time(NULL);
    struct utsname name;
    struct tm utc;
    char line[256];
    FILE *cpu = fopen("/proc/cpuinfo", "r");
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const double gib =
        (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 0x1p30;

    strftime(j->date, sizeof(j->date), "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &utc));
    snprintf(j->machine, sizeof(j->machine), "%ld cores, %.0f GiB of memory", cores, gib);
    while (cpu != NULL && fgets(line, sizeof(line), cpu) != NULL) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) != 0 || colon == NULL)
            continue;
        snprintf(j->machine, sizeof(j->machine), "%.*s, %ld cores, %.0f GiB of memory",
                 (int)strcspn(colon + 2, "\n"), colon + 2, cores, gib);
        break;
    }
    if (cpu != NULL)
        fclose(cpu);
    if (uname(&name) == 0)
        snprintf(j->system, sizeof(j->system), "%.60s %.100s %.60s", name.sysname,
                 name.release, name.machine);
}

/* The words that started this process; the parsed options no longer have them. */
static void describe_command(struct job *j)
{
    FILE *file = fopen("/proc/self/cmdline", "rb");
    bool between = false;
    int c;

    while (file != NULL && (c = fgetc(file)) != EOF) {
        const char one = (char)c;

        if (between)
            iqt_buf_append(&j->command, " ", 1);
        between = c == '\0';
        if (!between)
            iqt_buf_append(&j->command, &one, 1);
    }
    if (file != NULL)
        fclose(file);
}

/* ---- The run ------------------------------------------------------------------------- */

static enum iqt_status measure(struct job *j)
{
    struct iqt_report *r = &j->report;

    j->rows = calloc(r->device_count * j->plan.count + 1, sizeof(*j->rows));
    if (j->rows == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the results");
    r->devices = j->device;
    r->rows = j->rows;
    for (uint32_t i = 0; i < r->device_count; i++) {
        struct iqt_device *dev;
        enum iqt_status status;

        IQT_TRY(iqt_device_open(j->ctx, j->spec[i], &dev));
        if (i == 0)
            iqt_report_print_head(stdout);
        status =
            iqt_report_device(dev, i, &j->plan, &j->device[i], &j->rows[r->row_count]);
        iqt_device_close(dev);
        IQT_TRY(status);
        r->row_count += (uint32_t)j->plan.count;
        iqt_report_print_device(stdout, r, i);
    }
    return IQT_OK;
}

static enum iqt_status write_with(void (*write)(struct iqt_buf *b,
                                                const struct iqt_report *r),
                                  const struct iqt_report *r, const char *path)
{
    struct iqt_buf b = { 0 };
    enum iqt_status status;

    if (path == NULL)
        return IQT_OK;
    write(&b, r);
    status = iqt_buf_check(&b);
    if (status == IQT_OK)
        status = iqt_file_replace(path, b.data, b.bytes);
    iqt_buf_free(&b);
    if (status == IQT_OK)
        fprintf(stderr, "wrote %s\n", path);
    return status;
}

static enum iqt_status report(struct job *j, const struct report_opts *o, char **paths,
                              size_t count)
{
    const uint64_t start = iqt_now_ns();

    IQT_TRY(open_files(j, paths, count));
    IQT_TRY(make_tasks(j, o->shape == NULL ? default_shapes : o->shape));
    IQT_TRY(find_devices(j, o->device));
    IQT_TRY(measure(j));
    describe_machine(j);
    describe_command(j);
    j->report.files = iqt_buf_text(&j->names);
    j->report.absent = iqt_buf_text(&j->absent);
    j->report.command = iqt_buf_text(&j->command);
    j->report.date = j->date;
    j->report.machine = j->machine;
    j->report.system = j->system;
    j->report.seconds = (double)(iqt_now_ns() - start) / 1e9;
    IQT_TRY(write_with(iqt_report_json, &j->report, o->json));
    return write_with(iqt_report_page, &j->report, o->html);
}

static void free_job(struct job *j)
{
    iqt_context_destroy(j->ctx);
    for (size_t i = 0; i < j->plan.count; i++)
        iqt_bench_matrix_free(&j->task[i].matrix);
    for (size_t i = 0; i < j->files; i++)
        iqt_gguf_close(j->file[i]);
    iqt_buf_free(&j->absent);
    iqt_buf_free(&j->names);
    iqt_buf_free(&j->command);
    free(j->rows);
    free(j);
}

static int run(const void *opts, int count, char **args)
{
    const struct report_opts *o = opts;
    struct job *j;
    enum iqt_status status;
    double budget = default_budget_s;

    if (o->budget != NULL) {
        char *end;

        budget = strtod(o->budget, &end);
        if (end == o->budget || *end != '\0' || !(budget >= 0 && budget < 1e6))
            return iqt_cli_usage("--budget takes seconds, not '%s'", o->budget);
    }
    if (o->n > IQT_MAX_COLS)
        return iqt_cli_usage("--n is at most %u, got %u", IQT_MAX_COLS, o->n);
    j = calloc(1, sizeof(*j));
    if (j == NULL)
        return iqt_cli_fail(iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a report"));
    j->plan = (struct iqt_report_plan){ .n = o->n == 0 ? 1 : o->n,
                                        .budget_s = budget,
                                        .race_s = race_s };
    iqt_cli_catch_interrupts();
    status = report(j, o, args, (size_t)count);
    free_job(j);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_report = {
    .name = "report",
    .usage =
        "FILE... [--html OUT.html] [--json OUT.json] [--device D] [--budget SECONDS]",
    .summary = "tune, verify and time a model's shapes; table, page with charts",
    .opts = report_opts,
    .opts_bytes = sizeof(struct report_opts),
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
