/* iqtile predict: how fast a model's products could be on a GPU that need not be here. Compiles each
 * format's default plan for it, counts, and asks the cost model. */
#include "tools/cli.h"
#include "tools/predict.h"
#include "tuner/gpu_table.h"

#include <stdlib.h>
#include <string.h>

struct predict_opts {
    const char *gpu, *shape, *format;
    uint32_t n;
    bool csv, list;
};

static const struct iqt_opt predict_opts[] = {
    { "gpu", IQT_OPT_STRING, "NAME", "such as \"RTX 4090\", H200, MI300X",
      offsetof(struct predict_opts, gpu) },
    { "n", IQT_OPT_U32, "N", "columns of one pass, 1 .. 16 (default: 1)",
      offsetof(struct predict_opts, n) },
    { "shape", IQT_OPT_STRING, "MxK", "no FILE: one matrix of each quantized format",
      offsetof(struct predict_opts, shape) },
    { "format", IQT_OPT_STRING, "FORMAT", "--shape: of this format alone",
      offsetof(struct predict_opts, format) },
    { "csv", IQT_OPT_FLAG, NULL, "print comma-separated values",
      offsetof(struct predict_opts, csv) },
    { "list", IQT_OPT_FLAG, NULL, "print the GPUs that are known and what of them",
      offsetof(struct predict_opts, list) },
    { 0 },
};

/* A format's default plan, compiled and counted once a run. */
struct counted {
    const struct iqt_format *format;
    bool good;
    struct iqt_plan plan;
    struct iqt_stats stats;
};

struct run {
    const struct iqt_gpu *gpu;
    struct iqt_stats_target target;
    struct counted *of; /* filled up to count; NULL: no compiler for the GPU */
    size_t count;
    bool csv;
};

/* Where the first format can be counted, the tools are there: what fails later is told and bound by
 * memory alone. */
static enum iqt_status count_format(struct run *r, const struct iqt_format *f, uint32_t n,
                                    struct counted **out)
{
    const enum iqt_dialect dialect = r->target.compile.dialect;
    const struct iqt_limits limits = { .mma = iqt_target_has_mma(r->target.arch),
                                       .mma_one = iqt_gpu_tensor(r->target.arch)->one };
    struct counted *c = r->of;
    enum iqt_status status;

    while (c < r->of + r->count && c->format != f)
        c++;
    *out = c;
    if (c < r->of + r->count)
        return IQT_OK;
    c->format = f;
    c->plan =
        iqt_plan_default_for(&limits, f, dialect, IQT_OP_MATVEC, n, IQT_LAYOUT_PACKED);
    status = iqt_stats_plan(&r->target, &c->plan, &c->stats);
    c->good = status == IQT_OK;
    if (status != IQT_OK && r->count == 0)
        return status;
    if (status != IQT_OK)
        iqt_cli_fail(status);
    r->count++;
    return IQT_OK;
}

/* As the library splits a short matrix; the loop that was counted is the same in each part. */
static struct iqt_plan plan_of(const struct run *r, const struct counted *c,
                               const struct iqt_predict_job *j)
{
    const struct iqt_limits limits = { .subgroup_min = c->plan.threads,
                                       .subgroup_max = 64,
                                       .max_threads = 1024,
                                       .shared_bytes = 32768,
                                       .compute_units = r->gpu->units,
                                       .subgroup_ops = true,
                                       .dot4 = true };

    return j->experts || c->plan.compute == IQT_COMPUTE_MMA
               ? c->plan
               : iqt_plan_split(&c->plan, &limits, j->product.m, j->product.k);
}

static enum iqt_status predict_job(struct run *r, const struct iqt_predict_job *j,
                                   struct iqt_predict_row *row)
{
    struct counted *c = NULL;

    *row = (struct iqt_predict_row){ .job = j };
    if (r->of != NULL && j->format != NULL)
        IQT_TRY(count_format(r, j->format, j->product.n, &c));
    if (c == NULL || !c->good || !iqt_plan_fits(&c->plan, j->product.k)) {
        iqt_predict(r->gpu, NULL, r->target.isa, NULL, &j->product, &row->p);
        return IQT_OK;
    }
    row->plan = plan_of(r, c, j);
    row->slots = iqt_stats_whole(&c->stats, r->target.isa, &row->plan, j->product.k);
    iqt_predict(r->gpu, &c->stats, r->target.isa, &row->plan, &j->product, &row->p);
    return IQT_OK;
}

/* The head is printed once the first kernel was counted. */
static enum iqt_status predict_all(struct run *r, const struct iqt_predict_work *w)
{
    struct iqt_predict_total total = { 0 };

    for (size_t i = 0; i < w->count; i++) {
        struct iqt_predict_row row;

        IQT_TRY(predict_job(r, &w->job[i], &row));
        if (i == 0 && r->csv)
            iqt_predict_csv_head();
        if (i == 0 && !r->csv)
            iqt_predict_print_head(r->gpu, w);
        if (r->csv)
            iqt_predict_csv_row(r->gpu, &row);
        else
            iqt_predict_print_row(&row);
        iqt_predict_add(&total, &row);
    }
    if (w->model && r->csv)
        iqt_predict_csv_total(r->gpu, &total);
    if (w->model && !r->csv)
        iqt_predict_print_total(r->gpu, w, &total);
    return IQT_OK;
}

static enum iqt_status predict_work(const struct predict_opts *o,
                                    const struct iqt_predict_work *w)
{
    struct run r = { .csv = o->csv };
    size_t formats = 1;
    enum iqt_status status;

    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        formats++;
    IQT_TRY(iqt_gpu_find(o->gpu, &r.gpu));
    if (r.gpu->target[0] != '\0') {
        IQT_TRY(iqt_stats_target_parse(r.gpu->target, &r.target));
        r.of = calloc(formats, sizeof *r.of);
        if (r.of == NULL)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu formats", formats);
    }
    status = predict_all(&r, w);
    free(r.of);
    return status;
}

static enum iqt_status predict(const struct predict_opts *o, const char *path)
{
    const uint32_t n = o->n == 0 ? 1 : o->n;
    const struct iqt_format *only = NULL;
    struct iqt_predict_work work = { 0 };
    const struct iqt_gpu *gpu;
    struct iqt_gguf *file = NULL;
    enum iqt_status status;

    if (n > IQT_MAX_COLS)
        return iqt_fail(IQT_ERR_ARG, "--n is at most %u, got %u", IQT_MAX_COLS, n);
    IQT_TRY(iqt_gpu_find(o->gpu, &gpu)); /* before a large file is opened */
    if (o->format != NULL)
        IQT_TRY(iqt_cli_format(o->format, &only));
    if (path != NULL)
        IQT_TRY(iqt_gguf_open(path, &file));
    status = file != NULL ? iqt_predict_file(file, n, &work)
                          : iqt_predict_shape(o->shape, only, n, &work);
    if (status == IQT_OK)
        status = predict_work(o, &work);
    iqt_predict_work_free(&work);
    iqt_gguf_close(file);
    return status;
}

static int run(const void *opts, int count, char **args)
{
    const struct predict_opts *o = opts;
    const char *path = count > 0 ? args[0] : NULL;
    enum iqt_status status;

    if (o->list) {
        iqt_predict_print_gpus();
        return IQT_EXIT_OK;
    }
    if (o->gpu == NULL)
        return iqt_cli_usage("predict needs --gpu, such as H200; --list prints all");
    if ((path == NULL) == (o->shape == NULL))
        return iqt_cli_usage("predict needs either FILE or --shape");
    if (o->format != NULL && o->shape == NULL)
        return iqt_cli_usage("--format goes with --shape");
    status = predict(o, path);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_predict = {
    .name = "predict",
    .usage = "FILE --gpu NAME [--n N] [--csv] | --shape MxK --gpu NAME | --list",
    .summary = "predict a model's speed on a GPU that need not be here",
    .opts = predict_opts,
    .opts_bytes = sizeof(struct predict_opts),
    .max_args = 1,
    .run = run,
};
