/* iqtile quantize: writes a GGUF file anew with its matrices in other types, chosen by a recipe, by the user's
 * rules, or --pure: one type for all of them. */
#include "quant/batch.h"
#include "runtime/runtime.h"
#include "tools/cli.h"
#include "tools/quantize_target.h"

#include <stdlib.h>
#include <string.h>

struct quantize_opts {
    bool pure, dry_run, requantize, fallback, pad_rows, resume;
    const char *report, *split, *quality, *device;
    uint32_t threads;
    struct iqt_opt_list custom, tensor;
    const char *output, *embedding, *imatrix, *second;
    const char *target_size, *target_bits, *target_types;
};

static const struct iqt_opt quantize_opts[] = {
    { "pure", IQT_OPT_FLAG, NULL, "every matrix gets TYPE, whatever its recipe",
      offsetof(struct quantize_opts, pure) },
    { "custom-q", IQT_OPT_LIST, "REGEX=TYPE,...",
      "types of tensors by name instead of the recipe's; may be repeated, the first that "
      "matches decides; \"copy\": as it is",
      offsetof(struct quantize_opts, custom) },
    { "tensor-type", IQT_OPT_LIST, "NAME=TYPE,...",
      "the type of just this tensor; before all other rules",
      offsetof(struct quantize_opts, tensor) },
    { "output-tensor-type", IQT_OPT_STRING, "TYPE",
      "of output.weight, or of token_embd.weight where that is the output, too",
      offsetof(struct quantize_opts, output) },
    { "token-embedding-type", IQT_OPT_STRING, "TYPE", "of token_embd.weight",
      offsetof(struct quantize_opts, embedding) },
    { "target-size", IQT_OPT_STRING, "SIZE",
      "instead of TYPE: types by their measured error, for a file of at most this size",
      offsetof(struct quantize_opts, target_size) },
    { "target-bpw", IQT_OPT_STRING, "BITS",
      "the same, for so many bits a weight of all tensors",
      offsetof(struct quantize_opts, target_bits) },
    { "target-types", IQT_OPT_STRING, "TYPE,...",
      "types that a target chooses from (all that have an encoder)",
      offsetof(struct quantize_opts, target_types) },
    { "imatrix", IQT_OPT_STRING, "FILE",
      "importance matrix, GGUF or legacy: what the error of each column counts",
      offsetof(struct quantize_opts, imatrix) },
    { "second-order", IQT_OPT_STRING, "FILE",
      "second-order statistics (imatrix collect --second-order): later columns make up for "
      "the errors of earlier ones",
      offsetof(struct quantize_opts, second) },
    { "allow-fallback", IQT_OPT_FLAG, NULL,
      "where rows do not fit a type take the one that the reference takes",
      offsetof(struct quantize_opts, fallback) },
    { "pad-rows", IQT_OPT_FLAG, NULL, "not possible in GGUF files; says what is instead",
      offsetof(struct quantize_opts, pad_rows) },
    { "dry-run", IQT_OPT_FLAG, NULL,
      "print what would become of each tensor, write nothing",
      offsetof(struct quantize_opts, dry_run) },
    { "allow-requantize", IQT_OPT_FLAG, NULL, "take quantized tensors as the source, too",
      offsetof(struct quantize_opts, requantize) },
    { "report", IQT_OPT_STRING, "FILE.html",
      "also a page of what each tensor lost, with charts by layer",
      offsetof(struct quantize_opts, report) },
    { "resume", IQT_OPT_FLAG, NULL,
      "go on where an interrupted or killed run of the same command stopped",
      offsetof(struct quantize_opts, resume) },
    { "quality", IQT_OPT_STRING, "NAME",
      "fast, default or best: how long to search for what suits the weights",
      offsetof(struct quantize_opts, quality) },
    { "device", IQT_OPT_STRING, "DEVICE",
      "backend[:index] of a GPU (cuda, hip, vulkan) that finds the seeds of trellis types; "
      "same bytes (left out: the CPU finds them)",
      offsetof(struct quantize_opts, device) },
    { "split-max-size", IQT_OPT_STRING, "SIZE",
      "write a set of files of at most this size: 500M, 4G, 3GiB",
      offsetof(struct quantize_opts, split) },
    { "threads", IQT_OPT_U32, "N", "threads (0 or left out: one per usable core)",
      offsetof(struct quantize_opts, threads) },
    { 0 },
};

/* Digits with at most one point; false for all else. */
static bool parse_decimal(const char *text, double *out, const char **end)
{
    const size_t whole = strspn(text, "0123456789");
    const size_t part =
        text[whole] == '.' ? 1 + strspn(text + whole + 1, "0123456789") : 0;
    char digits[24];

    if (whole == 0 || whole + part >= sizeof digits)
        return false;
    memcpy(digits, text, whole + part);
    digits[whole + part] = '\0';
    *out = strtod(digits, NULL);
    *end = text + whole + part;
    return *out > 0;
}

static bool parse_size(const char *text, uint64_t *out)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = { { "k", 1e3 },        { "M", 1e6 },        { "G", 1e9 },
                  { "KiB", 1u << 10 }, { "MiB", 1u << 20 }, { "GiB", 1u << 30 } };
    const char *unit;
    double value;

    if (!parse_decimal(text, &value, &unit))
        return false;
    for (size_t i = 0; i < IQT_COUNT(units); i++)
        if (strcmp(unit, units[i].name) == 0 && value * units[i].bytes < 1e18)
            *out = (uint64_t)(value * units[i].bytes);
    return *out > 0;
}

/* NULL: the default. */
static bool parse_quality(const char *text, enum iqt_quality *out)
{
    static const char *const names[] = {
        [IQT_QUALITY_DEFAULT] = "default",
        [IQT_QUALITY_FAST] = "fast",
        [IQT_QUALITY_BEST] = "best",
    };

    for (size_t i = 0; i < IQT_COUNT(names); i++)
        if (strcmp(text != NULL ? text : "default", names[i]) == 0) {
            *out = (enum iqt_quality)i;
            return true;
        }
    return false;
}

/* ---- What was asked for ---- */

struct asked {
    uint64_t split, target; /* 0: not given */
    double bits;
    enum iqt_quality quality;
    struct iqt_seat seat; /* empty: no device */
    struct iqt_finder *finder;
};

static bool is_target(const struct quantize_opts *o)
{
    return o->target_size != NULL || o->target_bits != NULL;
}

static int check_target(const struct quantize_opts *o, bool type, struct asked *asked)
{
    const char *end;

    if (is_target(o) == type)
        return iqt_cli_usage(
            "quantize needs TYPE or --target-size or --target-bpw: one of them");
    if (o->target_size != NULL && o->target_bits != NULL)
        return iqt_cli_usage("--target-size and --target-bpw: give one of them");
    if (o->target_types != NULL && !is_target(o))
        return iqt_cli_usage("--target-types is for --target-size and --target-bpw");
    if (o->target_size != NULL && !parse_size(o->target_size, &asked->target))
        return iqt_cli_usage(
            "--target-size needs a size such as 500M or 4.2GiB, got '%s'",
            o->target_size);
    if (o->target_bits != NULL && (!parse_decimal(o->target_bits, &asked->bits, &end) ||
                                   *end != '\0' || asked->bits > 32))
        return iqt_cli_usage("--target-bpw needs bits a weight such as 3.6, got '%s'",
                             o->target_bits);
    return -1;
}

/* Options that contradict themselves or the file format; -1: none. */
static int check_opts(const struct quantize_opts *o, bool type, struct asked *asked)
{
    if (o->pad_rows)
        return iqt_cli_usage(
            "--pad-rows: the length of a row in a GGUF file is the length that the model "
            "computes with, so no row can be padded; a type of 32 weights a block fits most "
            "rows: --tensor-type NAME=TYPE, or --allow-fallback for all of them");
    if (o->pure && (o->custom.count > 0 || is_target(o)))
        return iqt_cli_usage("--pure gives all matrices one type: leave out %s",
                             is_target(o) ? "the target" : "--custom-q");
    if (o->split != NULL && !parse_size(o->split, &asked->split))
        return iqt_cli_usage(
            "--split-max-size needs a size such as 500M, 4G or 3GiB, got '%s'", o->split);
    if (!parse_quality(o->quality, &asked->quality))
        return iqt_cli_usage("--quality is fast, default or best, got '%s'", o->quality);
    return check_target(o, type, asked);
}

static enum iqt_status fail_type(const char *type)
{
    struct iqt_buf list = { 0 };
    enum iqt_status status;

    for (const struct iqt_recipe *r = iqt_recipes; r->name != NULL; r++)
        iqt_buf_printf(&list, " %s", r->name);
    status = iqt_fail(IQT_ERR_UNKNOWN,
                      "'%s' has no recipe; recipes are%s; --pure takes any type", type,
                      iqt_buf_text(&list));
    iqt_buf_free(&list);
    return status;
}

static enum iqt_status parse_type(const struct quantize_opts *o, const char *type,
                                  struct iqt_quantize_plan *plan)
{
    const struct iqt_recipe *recipe;

    if (type == NULL) /* a target chooses */
        return IQT_OK;
    recipe = iqt_recipe_find(type);
    if (!o->pure && recipe == NULL)
        return fail_type(type);
    if (!o->pure) {
        plan->recipe = recipe;
        plan->file_type = recipe->file_type;
        return IQT_OK;
    }
    IQT_TRY(iqt_type_find("TYPE", recipe != NULL ? recipe->type : type, &plan->pure));
    plan->file_type =
        recipe != NULL ? recipe->file_type : iqt_recipe_file_type(plan->pure.name);
    return IQT_OK;
}

static enum iqt_status add_list(struct iqt_user_rules *rules, enum iqt_rule_kind kind,
                                const char *option, const struct iqt_opt_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        IQT_TRY(iqt_user_rules_parse(rules, kind, option, list->item[i]));
    return IQT_OK;
}

/* In order of precedence. */
static enum iqt_status parse_rules(const struct quantize_opts *o,
                                   struct iqt_quantize_plan *plan)
{
    const char *const output = plan->model.tied ? "token_embd.weight" : "output.weight";

    IQT_TRY(add_list(&plan->rules, IQT_RULE_NAME, "--tensor-type", &o->tensor));
    if (o->embedding != NULL)
        IQT_TRY(iqt_user_rules_add(&plan->rules, IQT_RULE_NAME, "--token-embedding-type",
                                   "token_embd.weight", o->embedding));
    if (o->output != NULL)
        IQT_TRY(iqt_user_rules_add(&plan->rules, IQT_RULE_NAME, "--output-tensor-type",
                                   output, o->output));
    return add_list(&plan->rules, IQT_RULE_REGEX, "--custom-q", &o->custom);
}

/* ---- The run ---- */

static void tell_device(const struct iqt_jobs *jobs, const struct iqt_device *dev)
{
    size_t encoded = 0, asking = 0;
    char label[IQT_LABEL_BYTES];

    for (size_t i = 0; i < jobs->count; i++)
        if (jobs->job[i].encoder != NULL) {
            encoded++;
            asking += iqt_encoder_asks(jobs->job[i].encoder);
        }
    fprintf(stderr, "iqtile: %s finds the seeds of %zu of %zu matrices\n",
            iqt_device_label(iqt_device_describe(dev), label), asking, encoded);
}

static void tell_importance(const struct iqt_quantize_plan *plan,
                            const struct iqt_jobs *jobs)
{
    size_t encoded = 0, weighted = 0, fed = 0, bare = 0;

    for (size_t i = 0; i < jobs->count; i++) {
        const struct iqt_job *job = &jobs->job[i];

        if (job->type.name == NULL)
            continue;
        encoded++;
        weighted += job->importance != NULL;
        fed += job->second != NULL;
        bare += job->importance == NULL && iqt_recipe_wants_importance(job->type.name);
    }
    if (plan->imatrix != NULL)
        fprintf(stderr, "iqtile: importance for %zu of %zu matrices\n", weighted,
                encoded);
    if (plan->second != NULL)
        fprintf(stderr, "iqtile: error feedback for %zu of %zu matrices\n", fed, encoded);
    if (bare > 0)
        fprintf(
            stderr,
            "iqtile: %zu matrices get a type of about 2 bits without importance and will "
            "lose much: --imatrix\n",
            bare);
}

static enum iqt_status write_file(struct iqt_jobs *jobs, const struct quantize_opts *o,
                                  const struct iqt_gguf *g, const char *path,
                                  uint64_t split, struct iqt_gguf_writer *w)
{
    struct iqt_run run = { .jobs = jobs, .from = g, .to = w };
    enum iqt_status status;

    run.pool = iqt_pool_create(o->threads);
    status = iqt_jobs_write(&run, path, split, o->resume);
    iqt_pool_destroy(run.pool);
    return status;
}

static enum iqt_status choose_types(const struct quantize_opts *o,
                                    struct iqt_quantize_plan *plan,
                                    const struct iqt_gguf *g, struct iqt_target *target,
                                    struct iqt_jobs *jobs)
{
    struct iqt_pool *pool;
    enum iqt_status status;

    IQT_TRY(parse_rules(o, plan));
    IQT_TRY(iqt_jobs_create(g, plan, jobs));
    if (!is_target(o))
        return IQT_OK;
    pool = iqt_pool_create(o->threads);
    status = iqt_target_choose(target, jobs, g, plan, pool);
    iqt_pool_destroy(pool);
    return status;
}

/* args: IN OUT; type NULL: left to the budget. */
static enum iqt_status report(const struct quantize_opts *o, const struct iqt_jobs *jobs,
                              char **args, const char *type)
{
    struct iqt_buf settings = { 0 };
    enum iqt_status status;

    iqt_buf_printf(
        &settings, "%s%s%s%s%s%s%s%s", type != NULL ? type : "types under a budget",
        o->pure ? " --pure" : "", o->quality != NULL ? " --quality " : "",
        o->quality != NULL ? o->quality : "", o->imatrix != NULL ? " --imatrix " : "",
        o->imatrix != NULL ? o->imatrix : "", o->second != NULL ? " --second-order " : "",
        o->second != NULL ? o->second : "");
    status = iqt_buf_check(&settings);
    if (status == IQT_OK)
        status = iqt_jobs_report(jobs, args[0], args[1], settings.data, o->report);
    iqt_buf_free(&settings);
    return status;
}

static enum iqt_status quantize(const struct quantize_opts *o,
                                struct iqt_quantize_plan *plan, const struct iqt_gguf *g,
                                char **args, const char *type, const struct asked *asked)
{
    struct iqt_target target = { .bytes = asked->target,
                                 .bits = asked->bits,
                                 .types = o->target_types };
    struct iqt_gguf_writer *w = NULL;
    struct iqt_jobs jobs = { 0 };
    enum iqt_status status = choose_types(o, plan, g, &target, &jobs);

    if (status == IQT_OK)
        tell_importance(plan, &jobs);
    if (status == IQT_OK && !o->dry_run)
        status = iqt_jobs_encoders(&jobs);
    if (status == IQT_OK && asked->seat.dev != NULL && !o->dry_run)
        tell_device(&jobs, asked->seat.dev);
    if (status == IQT_OK)
        status = iqt_gguf_writer_create(&w);
    if (status == IQT_OK)
        status = iqt_jobs_describe(&jobs, g, plan, w);
    if (status == IQT_OK && !o->dry_run)
        status = write_file(&jobs, o, g, args[1], asked->split, w);
    if (status == IQT_OK)
        iqt_jobs_print(&jobs, !o->dry_run);
    if (status == IQT_OK && is_target(o))
        iqt_target_print(&target, &jobs, plan);
    if (status == IQT_OK && o->report != NULL && !o->dry_run)
        status = report(o, &jobs, args, type);
    iqt_gguf_writer_destroy(w);
    iqt_jobs_free(&jobs);
    return status;
}

static enum iqt_status open_and_quantize(const struct quantize_opts *o, char **args,
                                         const char *type, const struct asked *asked)
{
    struct iqt_quantize_plan plan = { .requantize = o->requantize,
                                      .fallback = o->fallback,
                                      .quality = asked->quality,
                                      .finder = asked->finder };
    struct iqt_imatrix *imatrix = NULL;
    struct iqt_second *second = NULL;
    struct iqt_gguf *g;
    enum iqt_status status;

    IQT_TRY(parse_type(o, type, &plan));
    IQT_TRY(iqt_gguf_open(args[0], &g));
    plan.model = iqt_model_describe(g);
    status = o->imatrix != NULL ? iqt_imatrix_read(o->imatrix, &imatrix) : IQT_OK;
    if (status == IQT_OK && o->second != NULL)
        status = iqt_second_read(o->second, &second);
    plan.imatrix = imatrix;
    plan.second = second;
    plan.model.importance = imatrix != NULL;
    if (status == IQT_OK)
        status = quantize(o, &plan, g, args, type, asked);
    iqt_user_rules_free(&plan.rules);
    iqt_second_destroy(second);
    iqt_imatrix_destroy(imatrix);
    iqt_gguf_close(g);
    return status;
}

static enum iqt_status open_device(const struct quantize_opts *o, struct asked *asked)
{
    if (o->device == NULL)
        return IQT_OK;
    IQT_TRY(iqt_seat_open(o->device, NULL, &asked->seat));
    return iqt_finder_create(asked->seat.dev, &asked->finder);
}

static int run(const void *opts, int count, char **args)
{
    const struct quantize_opts *o = opts;
    struct asked asked = { 0 };
    const int bad = check_opts(o, count > 2, &asked);
    enum iqt_status status;

    if (bad >= 0)
        return bad;
    iqt_cli_catch_interrupts();
    status = open_device(o, &asked);
    if (status == IQT_OK)
        status = open_and_quantize(o, args, count > 2 ? args[2] : NULL, &asked);
    iqt_finder_destroy(asked.finder);
    iqt_seat_close(&asked.seat);
    return status == IQT_OK ? IQT_EXIT_OK : iqt_cli_fail(status);
}

const struct iqt_command iqt_cmd_quantize = {
    .name = "quantize",
    .usage = "IN OUT TYPE | --target-size SIZE | --target-bpw BITS [options]",
    .summary = "write a GGUF file with its matrices in other types",
    .opts = quantize_opts,
    .opts_bytes = sizeof(struct quantize_opts),
    .min_args = 2,
    .max_args = 3,
    .run = run,
};
