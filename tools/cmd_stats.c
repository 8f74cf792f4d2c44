/* iqtile stats: what kernels cost per weight, counted in the machine code that a target's compiler
 * makes of them. */
#include "tools/cli.h"
#include "tools/stats_dynamic.h"
#include "tools/stats_print.h"
#include "kernels/layout.h"
#include "tuner/gpu_table.h"

#include <string.h>

struct stats_opts {
    const char *target, *format, *plan, *layout, *op, *binary, *kernel;
    uint32_t n, weights, threads, m, k;
    bool csv, dynamic;
};

static const struct iqt_opt stats_opts[] = {
    { "target", IQT_OPT_STRING, "TARGET", "sm_90, gfx1100, radv:navi21 and the like",
      offsetof(struct stats_opts, target) },
    { "format", IQT_OPT_STRING, "FORMAT", "weight format, or all (default: all)",
      offsetof(struct stats_opts, format) },
    { "n", IQT_OPT_U32, "N", "columns of one pass, 1 .. 16 (default: 1)",
      offsetof(struct stats_opts, n) },
    { "plan", IQT_OPT_STRING, "NAME", "this plan instead of the default ones",
      offsetof(struct stats_opts, plan) },
    { "layout", IQT_OPT_STRING, "LAYOUT", "native or packed (default: packed)",
      offsetof(struct stats_opts, layout) },
    { "op", IQT_OPT_STRING, "OP", "matvec or gated (default: matvec)",
      offsetof(struct stats_opts, op) },
    { "csv", IQT_OPT_FLAG, NULL, "print comma-separated values",
      offsetof(struct stats_opts, csv) },
    { "binary", IQT_OPT_STRING, "FILE", "count in this cubin or code object instead",
      offsetof(struct stats_opts, binary) },
    { "kernel", IQT_OPT_STRING, "NAME",
      "--binary: the kernel's symbol (default: the first)",
      offsetof(struct stats_opts, kernel) },
    { "weights", IQT_OPT_U32, "N", "--binary: weights of one iteration of a thread",
      offsetof(struct stats_opts, weights) },
    { "threads", IQT_OPT_U32, "N", "--binary: threads of a workgroup, for the occupancy",
      offsetof(struct stats_opts, threads) },
    { "dynamic", IQT_OPT_FLAG, NULL,
      "run the text on the simulated machine and count sectors, conflicts, primitives; "
      "--target also cuda or hip",
      offsetof(struct stats_opts, dynamic) },
    { "m", IQT_OPT_U32, "M", "--dynamic: rows (default: two workgroups)",
      offsetof(struct stats_opts, m) },
    { "k", IQT_OPT_U32, "K", "--dynamic: weights of a row (default: 4096)",
      offsetof(struct stats_opts, k) },
    { 0 },
};

/* What the options ask for. */
struct wish {
    struct iqt_stats_target target;
    const struct iqt_format *format; /* NULL: all */
    enum iqt_op op;
    enum iqt_layout layout;
    uint32_t n;
    uint32_t m, k;             /* of what runs */
    bool dynamic, csv, headed; /* the head was printed */
};

static enum iqt_status find_op(const char *name, enum iqt_op *out)
{
    static const char *const names[IQT_OPS] = {
        [IQT_OP_MATVEC] = "matvec",
        [IQT_OP_GATED] = "gated",
    };

    for (int op = 0; op < IQT_OPS; op++)
        if (strcmp(name, names[op]) == 0) {
            *out = (enum iqt_op)op;
            return IQT_OK;
        }
    return iqt_fail(IQT_ERR_UNKNOWN, "unknown op '%s'; the ops are matvec gated", name);
}

static enum iqt_status read_wish(const struct stats_opts *o, struct wish *w)
{
    w->csv = o->csv;
    w->n = o->n == 0 ? 1 : o->n;
    w->layout = IQT_LAYOUT_PACKED;
    w->m = o->m;
    w->k = o->k == 0 ? 4096 : o->k;
    w->dynamic = o->dynamic;
    if (w->n > IQT_MAX_COLS)
        return iqt_fail(IQT_ERR_ARG, "--n is at most %u, got %u", IQT_MAX_COLS, w->n);
    IQT_TRY(iqt_stats_target_parse(
        o->dynamic ? iqt_stats_dynamic_target(o->target) : o->target, &w->target));
    if (o->format != NULL && strcmp(o->format, "all") != 0)
        IQT_TRY(iqt_cli_format(o->format, &w->format));
    if (o->layout != NULL)
        IQT_TRY(iqt_cli_layout(o->layout, &w->layout));
    return o->op != NULL ? find_op(o->op, &w->op) : IQT_OK;
}

static void print_head(struct wish *w)
{
    if (w->headed)
        return;
    w->headed = true;
    if (w->csv)
        iqt_stats_csv_head();
    else
        iqt_stats_print_head(&w->target);
}

static void print_row(struct wish *w, const struct iqt_stats_row *row, bool detail)
{
    print_head(w);
    if (w->csv) {
        iqt_stats_csv_row(row);
    } else {
        iqt_stats_print_row(row);
        if (detail)
            iqt_stats_print_classes(row);
    }
    fflush(stdout);
}

/* What runs and is counted. */
static enum iqt_status show_dynamic(struct wish *w, const struct iqt_plan *plan,
                                    uint32_t n)
{
    const struct iqt_dynamic_product product = {
        .m = w->m != 0 ? w->m : 2u * plan->rows_group,
        .k = w->k,
        .n = n,
        .arch = w->target.name,
    };

    IQT_TRY(iqt_stats_dynamic(plan, &product, w->csv, !w->headed, w->format != NULL));
    w->headed = true;
    return IQT_OK;
}

static enum iqt_status show(struct wish *w, const struct iqt_plan *plan, uint32_t n)
{
    struct iqt_stats_row row = { .target = &w->target, .plan = plan, .n = n };

    if (w->dynamic)
        return show_dynamic(w, plan, n);
    IQT_TRY(iqt_stats_plan(&w->target, plan, &row.stats));
    print_row(w, &row, w->format != NULL);
    return IQT_OK;
}

/* The table has the family's own formats first. Where the first one works, the tools are there:
 * what fails later is told, and the others are still counted. */
static enum iqt_status show_defaults(struct wish *w)
{
    enum iqt_status worst = IQT_OK;

    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++) {
        if (w->format != NULL && w->format != f)
            continue;
        const struct iqt_limits limits = { .dot4 = w->target.dot4,
                                           .mma = iqt_target_has_mma(w->target.arch),
                                           .mma_one =
                                               iqt_gpu_tensor(w->target.arch)->one };
        const struct iqt_plan plan = iqt_plan_default_for(
            &limits, f, w->target.compile.dialect, w->op, w->n, w->layout);
        const enum iqt_status status = show(w, &plan, w->n);
        if (status != IQT_OK && !w->headed)
            return status;
        if (status != IQT_OK) {
            iqt_cli_fail(status);
            worst = iqt_fail(status, "not every kernel could be counted");
        }
    }
    return worst;
}

static enum iqt_status show_plan(const struct stats_opts *o, struct wish *w)
{
    const enum iqt_dialect dialect = w->target.compile.dialect;
    struct iqt_plan plan;

    IQT_TRY(iqt_plan_parse(o->plan, &plan));
    if ((w->format != NULL && w->format != plan.format) || dialect != plan.dialect ||
        (o->op != NULL && w->op != plan.op) || (o->n != 0 && w->n != plan.n) ||
        (o->layout != NULL && w->layout != plan.layout))
        return iqt_fail(
            IQT_ERR_ARG,
            "plan '%s' contradicts another option; target %s takes dialect %s", o->plan,
            o->target, iqt_dialect_name(dialect));
    IQT_TRY(iqt_plan_check(&plan, NULL));
    w->format = plan.format;
    return show(w, &plan, plan.n);
}

static enum iqt_status show_binary(const struct stats_opts *o, struct wish *w)
{
    struct iqt_stats_row row = { .target = &w->target, .n = w->n };
    struct iqt_map file;
    enum iqt_status status;

    IQT_TRY(iqt_map_open(o->binary, &file));
    status = iqt_stats_binary(&w->target, file.data, file.bytes, o->kernel, o->weights,
                              o->threads, &row.stats);
    iqt_map_close(&file);
    if (status != IQT_OK)
        return status;
    print_row(w, &row, true);
    return IQT_OK;
}

static int run(const void *opts, int count, char **args)
{
    const struct stats_opts *o = opts;
    struct wish wish = { 0 };
    enum iqt_status status;

    (void)count;
    (void)args;
    if (o->target == NULL && !o->dynamic)
        return iqt_cli_usage(
            "stats needs --target, such as sm_90, gfx1100 or radv:navi21");
    if (o->binary != NULL && (o->plan != NULL || o->format != NULL || o->weights == 0))
        return iqt_cli_usage("--binary goes with --weights, without --plan and --format");
    if (o->binary == NULL && (o->kernel != NULL || o->weights != 0 || o->threads != 0))
        return iqt_cli_usage("--kernel, --weights and --threads go with --binary");
    if (!o->dynamic && (o->m != 0 || o->k != 0))
        return iqt_cli_usage("--m and --k go with --dynamic");
    if (o->dynamic && o->binary != NULL)
        return iqt_cli_usage("--dynamic runs an emitted text: not with --binary");
    status = read_wish(o, &wish);
    if (status == IQT_OK)
        status = o->binary != NULL ? show_binary(o, &wish)
                 : o->plan != NULL ? show_plan(o, &wish)
                                   : show_defaults(&wish);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_stats = {
    .name = "stats",
    .usage = "--target T [--format F] [options] | --target T --binary FILE --weights N | "
             "--dynamic [options]",
    .summary =
        "count a kernel's machine instructions per weight, or what it asks of memory",
    .opts = stats_opts,
    .opts_bytes = sizeof(struct stats_opts),
    .run = run,
};
