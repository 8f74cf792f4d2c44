/* iqtile bench: time products through Google Benchmark. Decides which cases there are and prints
 * them; bench/ does the rest. */
#include "tools/cli.h"
#include "bench/bench_matvec.h"
#include "kernels/layout.h"
#include "runtime/runtime.h"

#include <stdlib.h>
#include <string.h>

struct bench_opts {
    const char *device, *format, *n, *shape, *layout, *json, *min_time;
};

static const struct iqt_opt bench_opts[] = {
    { "device", IQT_OPT_STRING, "DEVICE", "backend[:index] (default: every device)",
      offsetof(struct bench_opts, device) },
    { "format", IQT_OPT_STRING, "FORMAT", "only this format",
      offsetof(struct bench_opts, format) },
    { "n", IQT_OPT_STRING, "N[,N...]", "columns of a product, 1 .. 16 (default: 1,4,8)",
      offsetof(struct bench_opts, n) },
    { "shape", IQT_OPT_STRING, "MxK[,MxK...]",
      "rows x columns of random weights (default: 4096x4096,14336x4096)",
      offsetof(struct bench_opts, shape) },
    { "layout", IQT_OPT_STRING, "LAYOUT", "native or packed (default: packed)",
      offsetof(struct bench_opts, layout) },
    { "json", IQT_OPT_STRING, "FILE", "write Google Benchmark's JSON to FILE",
      offsetof(struct bench_opts, json) },
    { "min-time", IQT_OPT_STRING, "SECONDS", "device time of each case (default: 0.1)",
      offsetof(struct bench_opts, min_time) },
    { 0 },
};

enum { MAX_DEVICES = 16, MAX_SHAPES = 256, DEFAULT_MIN_MS = 100 };
static const char default_shapes[] = "4096x4096,14336x4096", default_n[] = "1,4,8";

struct bench {
    struct iqt_context *ctx;
    struct iqt_gguf *file; /* NULL: random weights */
    struct iqt_bench_device device[MAX_DEVICES];
    size_t devices;
    struct iqt_bench_shape shape[MAX_SHAPES]; /* tensor's name NULL: random weights */
    size_t shapes;
    struct iqt_cli_columns n;
    enum iqt_layout layout;
    double min_seconds;
    struct iqt_bench_case *cases;
    size_t count, done, failed;
};

/* ---- Operands ------------------------------------------------------------------------ */

static enum iqt_status parse_seconds(const char *text, double *out)
{
    char *end;
    const double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value > 0) || value > 3600)
        return iqt_fail(IQT_ERR_ARG, "--min-time \"%s\": expected seconds above 0", text);
    *out = value;
    return IQT_OK;
}

static enum iqt_status file_shapes(const char *path, const struct iqt_format *only,
                                   struct bench *b)
{
    size_t total, kept = 0;

    IQT_TRY(iqt_gguf_open(path, &b->file));
    total = iqt_bench_shapes(&b->file, 1, b->shape, MAX_SHAPES);
    if (total > MAX_SHAPES)
        total = MAX_SHAPES;
    for (size_t i = 0; i < total; i++) {
        if (only == NULL || b->shape[i].format == only)
            b->shape[kept++] = b->shape[i];
    }
    b->shapes = kept;
    if (kept == 0)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s: no matrix of %s", path,
                        only == NULL ? "a quantized format with kernels" : only->name);
    return IQT_OK;
}

/* Every quantized format of the table in every shape asked for. */
static enum iqt_status random_shapes(const char *list, const struct iqt_format *only,
                                     struct bench *b)
{
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        if (only == NULL ? f->decode == IQT_DECODE_FLOAT : f != only)
            continue;
        for (const char *at = list; *at != '\0';) {
            struct iqt_bench_shape s = { .format = f };
            size_t row_bytes;

            IQT_TRY(iqt_bench_shape_parse(&at, &s.m, &s.k));
            IQT_TRY(iqt_format_row_bytes(f, s.k, &row_bytes));
            if (b->shapes == MAX_SHAPES)
                return iqt_fail(IQT_ERR_ARG, "more than %u formats x shapes", MAX_SHAPES);
            b->shape[b->shapes++] = s;
        }
    }
    return IQT_OK;
}

static enum iqt_status parse(const struct bench_opts *o, const char *path,
                             struct bench *b)
{
    const struct iqt_format *only = NULL;

    b->layout = IQT_LAYOUT_PACKED;
    b->min_seconds = DEFAULT_MIN_MS / 1e3;
    if (path != NULL && o->shape != NULL)
        return iqt_fail(IQT_ERR_ARG, "--shape is for random weights: leave FILE out");
    if (o->format != NULL)
        IQT_TRY(iqt_cli_format(o->format, &only));
    if (o->layout != NULL)
        IQT_TRY(iqt_cli_layout(o->layout, &b->layout));
    if (o->min_time != NULL)
        IQT_TRY(parse_seconds(o->min_time, &b->min_seconds));
    IQT_TRY(iqt_cli_columns(o->n == NULL ? default_n : o->n, &b->n));
    if (path != NULL)
        return file_shapes(path, only, b);
    return random_shapes(o->shape == NULL ? default_shapes : o->shape, only, b);
}

/* ---- Devices ------------------------------------------------------------------------- */

static void on_device(void *user, const struct iqt_device_info *info)
{
    struct bench *b = user;

    if (b->devices < MAX_DEVICES)
        b->device[b->devices++].info = *info;
}

static enum iqt_status open_devices(const char *spec, struct bench *b)
{
    IQT_TRY(iqt_context_create(NULL, &b->ctx));
    if (spec == NULL)
        IQT_TRY(iqt_device_list(b->ctx, on_device, b));
    else
        b->devices = 1;
    for (size_t i = 0; i < b->devices; i++) {
        struct iqt_bench_device *d = &b->device[i];

        IQT_TRY(iqt_device_open(b->ctx, spec == NULL ? d->info.spec : spec, &d->dev));
        d->info = *iqt_device_describe(d->dev);
    }
    return IQT_OK;
}

static void close_bench(struct bench *b)
{
    for (size_t i = 0; i < b->devices; i++) {
        iqt_bench_release(&b->device[i]);
        iqt_device_close(b->device[i].dev);
    }
    iqt_context_destroy(b->ctx);
    iqt_gguf_close(b->file);
    free(b->cases);
}

/* ---- The run ------------------------------------------------------------------------- */

static enum iqt_status make_cases(struct bench *b)
{
    struct iqt_bench_case *c =
        calloc(b->devices * (1 + b->shapes * b->n.count), sizeof(*c));

    if (c == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the list of cases");
    b->cases = c;
    for (size_t d = 0; d < b->devices; d++) {
        *c++ = (struct iqt_bench_case){ .device = &b->device[d] };
        for (size_t s = 0; s < b->shapes; s++) {
            for (size_t i = 0; i < b->n.count; i++) {
                const struct iqt_bench_shape *shape = &b->shape[s];

                *c++ = (struct iqt_bench_case){
                    .device = &b->device[d],
                    .tensor = shape->tensor.name == NULL ? NULL : &shape->tensor,
                    .format = shape->format,
                    .m = shape->m,
                    .k = shape->k,
                    .n = b->n.n[i],
                    .layout = b->layout,
                };
            }
        }
    }
    b->count = (size_t)(c - b->cases);
    for (size_t i = 0; i < b->count; i++)
        iqt_bench_register(&b->cases[i], b->min_seconds);
    return IQT_OK;
}

/* GB/s and what follows from it are of the mean; far above the fastest run, it was disturbed. */
static void print_head(void)
{
    printf("%-8s %13s %3s %-9s %10s %10s %8s %10s %7s  %s\n", "format", "shape", "n",
           "device", "us", "fastest us", "GB/s", "Gweights/s", "% of bw", "plan");
}

static void print_case(const struct iqt_bench_case *c)
{
    const double gb = (double)c->bytes / c->seconds / 1e9;
    const double weights = (double)c->m * (double)c->k / c->seconds / 1e9;
    char shape[48], label[IQT_LABEL_BYTES];

    iqt_device_label(&c->device->info, label);
    snprintf(shape, sizeof(shape), "%zux%zu", c->m, c->k);
    if (c->format == NULL)
        printf("%-8s %13s %3s %-9s %10.1f %10.1f %8.2f %10s %7.1f  %s\n", "memory", "-",
               "-", label, c->seconds * 1e6, c->fastest * 1e6, c->device->bandwidth / 1e9,
               "-", 100.0, c->device->method);
    else
        printf("%-8s %13s %3u %-9s %10.1f %10.1f %8.2f %10.3f %7.1f  %s\n",
               iqt_format_name(c->format), shape, c->n, label, c->seconds * 1e6,
               c->fastest * 1e6, gb, weights,
               c->device->bandwidth > 0 ? 100e9 * gb / c->device->bandwidth : 0, c->plan);
    fflush(stdout);
}

static void on_done(void *user, const struct iqt_bench_case *c)
{
    struct bench *b = user;

    if (c->seconds > 0) {
        print_case(c);
    } else {
        b->failed++;
        fprintf(stderr, "iqtile: %s %zux%zu n=%u on %s: %s\n",
                c->format == NULL ? "bandwidth" : iqt_format_name(c->format), c->m, c->k,
                c->n, c->device->info.spec, c->error);
    }
    iqt_cli_progress("bench", ++b->done, b->count);
}

static int run(const void *opts, int count, char **args)
{
    const struct bench_opts *o = opts;
    struct bench *b = calloc(1, sizeof(*b));
    enum iqt_status status;
    int code;

    if (b == NULL)
        return iqt_cli_fail(
            iqt_fail(IQT_ERR_NO_MEMORY, "no memory for the list of cases"));
    status = parse(o, count > 0 ? args[0] : NULL, b);
    if (status == IQT_OK)
        status = open_devices(o->device, b);
    if (status == IQT_OK)
        status = make_cases(b);
    if (status == IQT_OK) {
        print_head();
        status = iqt_bench_run(o->json, on_done, b);
    }
    code = status != IQT_OK ? iqt_cli_fail(status)
           : b->failed > 0  ? IQT_EXIT_FAILED
                            : IQT_EXIT_OK;
    close_bench(b);
    free(b);
    return code;
}

const struct iqt_command iqt_cmd_bench = {
    .name = "bench",
    .usage = "[FILE] [--device D] [--format F] [--n N] [--shape MxK] [--json FILE]",
    .summary = "time products: bytes/s, weights/s, percent of the bandwidth",
    .opts = bench_opts,
    .opts_bytes = sizeof(struct bench_opts),
    .min_args = 0,
    .max_args = 1,
    .run = run,
};
