/* iqtile gen: the text of a kernel, its binary for a target, or the names of the legal plans. */
#include "tools/cli.h"
#include "codegen/codegen.h"
#include "kernels/layout.h"
#include "runtime/compile.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct gen_opts {
    const char *format, *dialect, *op, *layout, *plan, *target, *out, *floats;
    uint32_t n;
    bool list;
};

static const struct iqt_opt gen_opts[] = {
    { "format", IQT_OPT_STRING, "FORMAT", "weight format",
      offsetof(struct gen_opts, format) },
    { "dialect", IQT_OPT_STRING, "DIALECT", "host, glsl, cuda or hip",
      offsetof(struct gen_opts, dialect) },
    { "n", IQT_OPT_U32, "N", "columns of one pass, 1 .. 16 (default: 1)",
      offsetof(struct gen_opts, n) },
    { "op", IQT_OPT_STRING, "OP", "matvec or gated (default: matvec)",
      offsetof(struct gen_opts, op) },
    { "layout", IQT_OPT_STRING, "LAYOUT",
      "native or packed (default: packed; --list: both)",
      offsetof(struct gen_opts, layout) },
    { "floats", IQT_OPT_MAYBE, "KIND",
      "activations f32 (default) or f16, not int8 (rows: native, where packed ones are tiles)",
      offsetof(struct gen_opts, floats) },
    { "plan", IQT_OPT_STRING, "NAME", "this plan instead of the default one",
      offsetof(struct gen_opts, plan) },
    { "target", IQT_OPT_STRING, "TARGET",
      "the compiled kernel for sm_90, compute_75, gfx1100, spirv, radv:navi21, ...",
      offsetof(struct gen_opts, target) },
    { "o", IQT_OPT_STRING, "FILE",
      "write to FILE; --target without --format: to this folder, a file a format",
      offsetof(struct gen_opts, out) },
    { "list", IQT_OPT_FLAG, NULL, "names of the legal plans, one a line",
      offsetof(struct gen_opts, list) },
    { 0 },
};

/* What the options ask for; format NULL and dialect IQT_DIALECTS: any. */
struct wish {
    const struct iqt_format *format;
    enum iqt_dialect dialect;
    enum iqt_op op;
    enum iqt_layout first, last;
    uint32_t n;
    enum iqt_compute floats; /* of --floats, else IQT_COMPUTES */
};

static enum iqt_status find_dialect(const char *name, enum iqt_dialect *out)
{
    struct iqt_buf list = { 0 };
    enum iqt_status status;

    if (iqt_dialect_find(name, out))
        return IQT_OK;
    for (int d = 0; d < IQT_DIALECTS; d++)
        iqt_buf_printf(&list, " %s", iqt_dialect_name(d));
    status = iqt_fail(IQT_ERR_UNKNOWN, "unknown dialect '%s'; the dialects are%s", name,
                      iqt_buf_text(&list));
    iqt_buf_free(&list);
    return status;
}

static enum iqt_status find_op(const char *name, enum iqt_op *out)
{
    static const char *const names[IQT_OPS] = {
        [IQT_OP_MATVEC] = "matvec", [IQT_OP_GATED] = "gated"
    };

    for (int op = 0; op < IQT_OPS; op++)
        if (strcmp(name, names[op]) == 0) {
            *out = op;
            return IQT_OK;
        }
    return iqt_fail(IQT_ERR_UNKNOWN, "unknown op '%s'; the ops are matvec gated", name);
}

/* What RADV is given is SPIR-V, whichever GPU it compiles for. */
static enum iqt_status parse_target(const char *name, struct iqt_target *out)
{
    return iqt_target_parse(strncmp(name, "radv:", 5) == 0 ? "spirv" : name, out);
}

/* A target implies its dialect; naming another one is a contradiction. */
static enum iqt_status read_target(const struct gen_opts *o, struct wish *w)
{
    struct iqt_target target;

    IQT_TRY(parse_target(o->target, &target));
    if (w->dialect != IQT_DIALECTS && w->dialect != target.dialect)
        return iqt_fail(IQT_ERR_ARG, "target %s takes dialect %s, not %s", o->target,
                        iqt_dialect_name(target.dialect), iqt_dialect_name(w->dialect));
    w->dialect = target.dialect;
    return IQT_OK;
}

static enum iqt_status read_wish(const struct gen_opts *o, struct wish *out)
{
    struct wish w = { .dialect = IQT_DIALECTS,
                      .first =
                          o->list || o->floats ? IQT_LAYOUT_NATIVE : IQT_LAYOUT_PACKED,
                      .last = IQT_LAYOUT_PACKED,
                      .n = o->n == 0 ? 1 : o->n,
                      .floats = o->floats ? IQT_COMPUTE_F32 : IQT_COMPUTES };

    if (w.n > IQT_MAX_COLS)
        return iqt_fail(IQT_ERR_ARG, "--n is at most %u, got %u", IQT_MAX_COLS, w.n);
    if (o->format != NULL)
        IQT_TRY(iqt_cli_format(o->format, &w.format));
    if (o->dialect != NULL)
        IQT_TRY(find_dialect(o->dialect, &w.dialect));
    if (o->floats != NULL && *o->floats != 0 &&
        !iqt_compute_find_floats(o->floats, &w.floats))
        return iqt_fail(IQT_ERR_ARG, "--floats is f32 or f16, not '%s'", o->floats);
    if (o->target != NULL)
        IQT_TRY(read_target(o, &w));
    if (o->op != NULL)
        IQT_TRY(find_op(o->op, &w.op));
    if (o->layout != NULL) {
        IQT_TRY(iqt_cli_layout(o->layout, &w.first));
        w.last = w.first;
    }
    *out = w;
    return IQT_OK;
}

static enum iqt_status list_plans(const struct wish *w, const struct iqt_format *f,
                                  enum iqt_dialect d, struct iqt_buf *out)
{
    for (int layout = w->first; layout <= (int)w->last; layout++) {
        const size_t count = iqt_plan_list(f, d, w->op, w->n, layout, NULL, NULL, 0);
        struct iqt_plan *plan = calloc(count + 1, sizeof *plan);

        if (plan == NULL)
            return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu plans", count);
        iqt_plan_list(f, d, w->op, w->n, layout, NULL, plan, count);
        for (size_t i = 0; i < count; i++) {
            char name[IQT_PLAN_NAME_BYTES];

            iqt_plan_name(&plan[i], name);
            iqt_buf_printf(out, "%s\n", name);
        }
        free(plan);
    }
    return IQT_OK;
}

static enum iqt_status list_all(const struct wish *w, struct iqt_buf *out)
{
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        for (int d = 0; d < IQT_DIALECTS; d++)
            if ((w->format == NULL || w->format == f) &&
                (w->dialect == IQT_DIALECTS || (int)w->dialect == d))
                IQT_TRY(list_plans(w, f, d, out));
    return IQT_OK;
}

/* The plan of --plan, which must not contradict the other options, or the default plan. */
static enum iqt_status choose_plan(const struct gen_opts *o, const struct wish *w,
                                   struct iqt_plan *out)
{
    struct iqt_plan plan;

    if (o->plan == NULL && (w->format == NULL || w->dialect == IQT_DIALECTS))
        return iqt_fail(
            IQT_ERR_ARG,
            "gen needs --format and --dialect or --target, or --plan, or --list");
    if (o->plan == NULL) {
        *out = iqt_plan_default(w->format, w->dialect, w->op, w->n, w->first);
        if (o->floats)
            *out = iqt_plan_of_floats(*out, w->floats);
        return iqt_plan_check(out, NULL);
    }
    IQT_TRY(iqt_plan_parse(o->plan, &plan));
    if ((w->format != NULL && w->format != plan.format) ||
        (w->dialect != IQT_DIALECTS && w->dialect != plan.dialect) ||
        (o->op != NULL && w->op != plan.op) || (o->n != 0 && w->n != plan.n) ||
        (o->layout != NULL && w->first != plan.layout) ||
        (o->floats && w->floats != plan.compute))
        return iqt_fail(IQT_ERR_ARG, "plan '%s' contradicts another option", o->plan);
    *out = plan;
    return IQT_OK;
}

static enum iqt_status make_binary(const char *name, struct iqt_buf *out)
{
    struct iqt_buf text = *out;
    struct iqt_target target;
    enum iqt_status status;

    *out = (struct iqt_buf){ 0 };
    status = parse_target(name, &target);
    if (status == IQT_OK)
        status = iqt_compile(&target, iqt_buf_text(&text), out);
    iqt_buf_free(&text);
    return status;
}

static enum iqt_status make_output(const struct gen_opts *o, struct iqt_buf *out)
{
    struct iqt_plan plan;
    struct wish wish;

    IQT_TRY(read_wish(o, &wish));
    if (o->list) {
        IQT_TRY(list_all(&wish, out));
    } else {
        IQT_TRY(choose_plan(o, &wish, &plan));
        IQT_TRY(iqt_emit_kernel(&plan, out));
        if (o->target != NULL)
            IQT_TRY(make_binary(o->target, out));
    }
    return iqt_buf_check(out);
}

static enum iqt_status write_format(const struct gen_opts *all,
                                    const struct iqt_format *f, const char *suffix)
{
    struct gen_opts o = *all;
    struct iqt_buf binary = { 0 }, path = { 0 };
    enum iqt_status status;

    o.format = f->name;
    status = make_output(&o, &binary);
    iqt_buf_printf(&path, "%s/%s%s", all->out, f->name, suffix);
    if (status == IQT_OK)
        status = iqt_file_replace(iqt_buf_text(&path), binary.data, binary.bytes);
    iqt_buf_free(&binary);
    iqt_buf_free(&path);
    return status;
}

/* The default kernel of every format, named like the format. */
static enum iqt_status write_formats(const struct gen_opts *o)
{
    static const char *const suffix[IQT_DIALECTS] = { [IQT_DIALECT_CUDA] = ".cubin",
                                                      [IQT_DIALECT_HIP] = ".co",
                                                      [IQT_DIALECT_GLSL] = ".spv" };
    struct iqt_target target;

    IQT_TRY(parse_target(o->target, &target));
    IQT_TRY(iqt_dir_make(o->out));
    for (const struct iqt_format *f = iqt_formats; f->name != NULL; f++)
        IQT_TRY(write_format(o, f, suffix[target.dialect]));
    return IQT_OK;
}

static bool is_every_format(const struct gen_opts *o)
{
    return o->target != NULL && o->format == NULL && o->plan == NULL;
}

static int run(const void *opts, int count, char **args)
{
    const struct gen_opts *o = opts;
    struct iqt_buf text = { 0 };
    enum iqt_status status;

    (void)count;
    (void)args;
    if (o->list && o->plan != NULL)
        return iqt_cli_usage("--list and --plan exclude each other");
    if (o->list && o->target != NULL)
        return iqt_cli_usage("--list and --target exclude each other");
    if (o->target != NULL && o->out == NULL && isatty(STDOUT_FILENO))
        return iqt_cli_usage("--target writes a binary: name a file with -o");
    if (is_every_format(o) && o->out == NULL)
        return iqt_cli_usage(
            "--target without --format writes a file a format: name a folder with -o");
    if (is_every_format(o)) {
        status = write_formats(o);
        return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
    }
    status = make_output(o, &text);
    if (status == IQT_OK && o->out != NULL)
        status = iqt_file_replace(o->out, text.data, text.bytes);
    else if (status == IQT_OK)
        fwrite(iqt_buf_text(&text), 1, text.bytes, stdout);
    iqt_buf_free(&text);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_gen = {
    .name = "gen",
    .usage =
        "(--format F --dialect D | --target T [--format F] | --plan NAME | --list) [options] "
        "[-o FILE]",
    .summary = "print a kernel's text or its binary, or the names of the legal plans",
    .opts = gen_opts,
    .opts_bytes = sizeof(struct gen_opts),
    .run = run,
};
