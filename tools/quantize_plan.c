/* Which tensor of a file becomes what: the recipe's choice or the one type, the user's rules, and other types
 * where rows do not fit. Writes and encodes nothing. */
#include "tools/quantize.h"
#include "io/gguf_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Matrices by their dimensions that are not multiplied like others: the reference leaves them alone. */
static const char *const kept[] = {
    "_norm.weight",      "ssm_conv1d",    "ssm_x.weight", "ssm_dt.weight",
    "attn_rel_b.weight", "position_embd", "token_types",  "ffn_gate_inp.weight",
};

struct planner {
    struct iqt_quantize_plan *plan;
    struct iqt_recipe_count count;
    size_t misfits;
    struct iqt_buf misfit; /* about the first of them */
};

/* The tensor in hand: its name in full, for patterns, and as it may be shown. */
struct subject {
    const struct iqt_gguf_tensor *t;
    const char *name, *shown;
};

static bool is_kept(const char *name)
{
    for (size_t i = 0; i < IQT_COUNT(kept); i++)
        if (strstr(name, kept[i]) != NULL)
            return true;
    return false;
}

/* Types of one number an element that are no weights: integers, doubles. */
static bool is_plain_number(const struct iqt_gguf_tensor *t)
{
    const struct iqt_foreign_type *foreign = iqt_foreign_of_type(t->type);

    return t->format == NULL && foreign != NULL && foreign->superblock == 1;
}

static bool is_matrix(const struct iqt_gguf_tensor *t)
{
    return t->dims >= 2 && !is_plain_number(t);
}

/* Recipes are for the weights of models; a pure type is for whatever the file has. */
static bool is_subject(const struct planner *p, const struct subject *s)
{
    static const char end[] = "weight";
    const size_t length = strlen(s->name);

    if (!is_matrix(s->t) || is_kept(s->name))
        return false;
    return p->plan->pure.name != NULL ||
           (length >= sizeof end - 1 && iqt_gguf_rows(s->t) > 1 &&
            strcmp(s->name + length - (sizeof end - 1), end) == 0);
}

static enum iqt_status check_source(const struct planner *p, const struct subject *s)
{
    const struct iqt_gguf_tensor *t = s->t;

    if (t->format == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "tensor %s has type %s, which cannot be decoded", s->shown,
                        t->type_name != NULL ? t->type_name : "unknown");
    if (iqt_format_base(t->format)->decode != IQT_DECODE_FLOAT && !p->plan->requantize)
        return iqt_fail(
            IQT_ERR_ARG,
            "tensor %s is quantized already (%s): what it lost stays lost; give "
            "--allow-requantize to go on",
            s->shown, t->type_name);
    return IQT_OK;
}

/* ---- Rows that do not fit ---- */

/* The type without its interleaving of four rows, which costs nothing. */
static enum iqt_status leave_four_rows(const struct subject *s, struct iqt_type *type)
{
    const size_t length = strlen(type->name);
    const bool is_embedding = strcmp(s->name, "token_embd.weight") == 0 ||
                              strcmp(s->name, "per_layer_token_embd.weight") == 0;
    char base[32];

    if (length < 4 || length > sizeof base ||
        strcmp(type->name + length - 3, "_r4") != 0 ||
        (s->t->ne[1] % 4 == 0 && !is_embedding))
        return IQT_OK;
    memcpy(base, type->name, length - 3);
    base[length - 3] = '\0';
    return iqt_type_find("recipe", base, type);
}

static void explain(struct planner *p, const struct subject *s,
                    const struct iqt_type *wanted, const struct iqt_type *instead)
{
    const uint64_t k = s->t->ne[0];
    const double bits = iqt_type_bits(wanted, k);
    struct iqt_buf *b = &p->misfit;
    const char *other = iqt_recipe_alternative(bits);

    if (p->misfits++ > 0)
        return;
    iqt_buf_printf(
        b, "tensor %s: %s needs rows of a multiple of %u weights, these have %llu; ",
        s->shown, wanted->name, wanted->granule, (unsigned long long)k);
    if (instead->name == NULL) {
        iqt_buf_printf(
            b, "no quantized type has such rows, and --allow-fallback leaves it as "
               "it is");
        return;
    }
    iqt_buf_printf(b,
                   "--allow-fallback makes it %s (%.2f bits a weight instead of %.2f), ",
                   instead->name, iqt_type_bits(instead, k), bits);
    iqt_buf_printf(b, "--tensor-type %s=%s is the best of %s bits", s->shown, other,
                   strcmp(other, instead->name) == 0 ? "as few" : "no more");
}

/* type->name NULL: nothing fits. */
static enum iqt_status fit(struct planner *p, const struct subject *s, bool by_recipe,
                           struct iqt_job *job)
{
    const struct iqt_type wanted = job->type;
    const char *name;

    if (iqt_type_fits(&wanted, s->t->ne[0], s->t->ne[1]))
        return IQT_OK;
    name = by_recipe ? iqt_recipe_instead(&p->plan->model, s->name, wanted.name)
                     : iqt_recipe_fallback(wanted.name);
    job->type = (struct iqt_type){ 0 };
    if (name != NULL)
        IQT_TRY(iqt_type_find("fallback", name, &job->type));
    if (name != NULL && !iqt_type_fits(&job->type, s->t->ne[0], s->t->ne[1]))
        job->type = (struct iqt_type){ 0 };
    job->wanted = wanted.name;
    job->wanted_bytes = iqt_type_bits(&wanted, s->t->ne[0]) / 8 * (double)s->t->ne[0] *
                        (double)iqt_gguf_rows(s->t);
    explain(p, s, &wanted, &job->type);
    return IQT_OK;
}

static enum iqt_status refuse(const struct subject *s, const struct iqt_user_rule *rule,
                              const struct iqt_type *type)
{
    return iqt_fail(
        IQT_ERR_ARG,
        "%s: tensor %s cannot be %s: its rows of %llu weights are no multiple of "
        "%u; the best of 32 weights is %s",
        rule->option, s->shown, type->name, (unsigned long long)s->t->ne[0],
        type->granule, iqt_recipe_alternative(iqt_type_bits(type, s->t->ne[0])));
}

/* ---- One tensor ---- */

static enum iqt_status choose(struct planner *p, const struct subject *s,
                              struct iqt_job *job)
{
    const bool subject = is_subject(p, s);
    const char *name = p->plan->pure.name;
    const struct iqt_user_rule *rule =
        is_matrix(s->t) ? iqt_user_rules_match(&p->plan->rules, s->name, !subject) : NULL;

    job->by_name = !subject || (rule != NULL && rule->kind == IQT_RULE_NAME);
    if (!subject && rule == NULL)
        return IQT_OK;
    if (rule == NULL && name == NULL && p->plan->recipe == NULL) {
        job->open = true;
        return IQT_OK;
    }
    if (p->plan->recipe != NULL && subject) /* it counts layers, whatever the rules say */
        IQT_TRY(iqt_recipe_choose(p->plan->recipe, &p->plan->model, &p->count, s->name,
                                  &name));
    if (rule != NULL && strcmp(rule->type, IQT_TYPE_COPY) == 0)
        return IQT_OK;
    IQT_TRY(iqt_type_find(rule != NULL ? rule->option : "recipe",
                          rule != NULL ? rule->type : name, &job->type));
    IQT_TRY(leave_four_rows(s, &job->type));
    if (rule == NULL || rule->kind != IQT_RULE_NAME)
        return fit(p, s, rule == NULL && p->plan->recipe != NULL, job);
    return iqt_type_fits(&job->type, s->t->ne[0], s->t->ne[1])
               ? IQT_OK
               : refuse(s, rule, &job->type);
}

static enum iqt_status plan_subject(struct planner *p, const struct subject *s,
                                    struct iqt_job *out)
{
    struct iqt_job job = { .from = *s->t, .bytes = s->t->bytes };
    struct iqt_gguf_tensor to = *s->t;

    if (s->t->data == NULL)
        return iqt_fail(IQT_ERR_FORMAT,
                        "the data of tensor %s are not all there; see iqtile doctor",
                        s->shown);
    IQT_TRY(choose(p, s, &job));
    if (job.type.name != NULL && job.type.gguf_type == s->t->type)
        job.type = (struct iqt_type){ 0 };
    if (job.type.name != NULL || job.open) {
        IQT_TRY(check_source(p, s));
        if (p->plan->imatrix != NULL)
            IQT_TRY(
                iqt_imatrix_match(p->plan->imatrix, s->name, s->t->ne, &job.importance));
        if (p->plan->second != NULL)
            IQT_TRY(iqt_second_match(p->plan->second, s->name, s->t->ne, &job.second));
    }
    if (job.type.name != NULL) {
        to.type = job.type.gguf_type;
        to.format = job.type.format;
        job.bytes = iqt_gguf_size_of(&to).bytes;
        job.to = job.type.format;
    }
    *out = job;
    return IQT_OK;
}

static enum iqt_status plan_tensor(struct planner *p, const struct iqt_gguf_tensor *t,
                                   struct iqt_job *out)
{
    struct iqt_buf name = { 0 };
    char shown[96];
    enum iqt_status status;

    iqt_escape(shown, sizeof shown, t->name, t->name_bytes);
    iqt_buf_append(&name, t->name, t->name_bytes);
    status = iqt_buf_check(&name);
    if (status == IQT_OK)
        status = plan_subject(
            p, &(struct subject){ .t = t, .name = iqt_buf_text(&name), .shown = shown },
            out);
    iqt_buf_free(&name);
    return status;
}

/* ---- All of them ---- */

static enum iqt_status plan_all(struct planner *p, const struct iqt_gguf *g,
                                struct iqt_jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        const struct iqt_gguf_tensor t = iqt_gguf_tensor_at(g, i);

        IQT_TRY(plan_tensor(p, &t, &jobs->job[i]));
        jobs->from_bytes += t.bytes;
        jobs->to_bytes += jobs->job[i].bytes;
        if (jobs->job[i].type.name != NULL)
            jobs->weights += t.ne[0] * iqt_gguf_rows(&t);
    }
    if (p->misfits > 0 && !p->plan->fallback)
        return iqt_fail(IQT_ERR_ARG, "%s%s", iqt_buf_text(&p->misfit),
                        p->misfits > 1
                            ? " (and more tensors: --dry-run --allow-fallback shows them)"
                            : "");
    return iqt_user_rules_check(&p->plan->rules);
}

enum iqt_status iqt_jobs_create(const struct iqt_gguf *g, struct iqt_quantize_plan *plan,
                                struct iqt_jobs *out)
{
    struct iqt_jobs jobs = { .count = iqt_gguf_tensor_count(g),
                             .quality = plan->quality,
                             .finder = plan->finder };
    struct planner p = { .plan = plan };
    enum iqt_status status;

    jobs.job = calloc(jobs.count + 1, sizeof *jobs.job);
    if (jobs.job == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu tensors", jobs.count);
    status = plan_all(&p, g, &jobs);
    iqt_buf_free(&p.misfit);
    if (status != IQT_OK) {
        iqt_jobs_free(&jobs);
        return status;
    }
    *out = jobs;
    return IQT_OK;
}

void iqt_jobs_free(struct iqt_jobs *jobs)
{
    for (size_t i = 0; i < jobs->encoders; i++)
        iqt_encoder_destroy(jobs->encoder[i]);
    free(jobs->encoder);
    free(jobs->job);
    *jobs = (struct iqt_jobs){ 0 };
}

static enum iqt_status make_encoder(struct iqt_jobs *jobs, struct iqt_job *job)
{
    const struct iqt_encoder_opts opts = { .quality = jobs->quality,
                                           .find = jobs->finder ? iqt_finder_find : NULL,
                                           .find_user = jobs->finder };
    const enum iqt_status status =
        job->to == NULL ? IQT_ERR_UNSUPPORTED
                        : iqt_encoder_create_with(iqt_format_base(job->to), &opts,
                                                  &jobs->encoder[jobs->encoders]);
    char name[96];

    if (status == IQT_ERR_UNSUPPORTED) {
        iqt_escape(name, sizeof name, job->from.name, job->from.name_bytes);
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "tensor %s should become %s, and there is no encoder for %s; "
                        "--tensor-type or --custom-q can choose another type",
                        name, job->type.name, job->type.name);
    }
    if (status == IQT_OK)
        job->encoder = jobs->encoder[jobs->encoders++];
    return status;
}

static enum iqt_status find_encoder(struct iqt_jobs *jobs, struct iqt_job *job)
{
    for (size_t i = 0; i < jobs->encoders; i++)
        if (jobs->encoder[i]->format == iqt_format_base(job->to)) {
            job->encoder = jobs->encoder[i];
            return IQT_OK;
        }
    return make_encoder(jobs, job);
}

enum iqt_status iqt_jobs_encoders(struct iqt_jobs *jobs)
{
    size_t formats = 0;

    while (iqt_formats[formats].name != NULL)
        formats++;
    jobs->encoder = calloc(formats, sizeof(struct iqt_encoder *));
    if (jobs->encoder == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for encoders");
    for (size_t i = 0; i < jobs->count; i++)
        if (jobs->job[i].type.name != NULL)
            IQT_TRY(find_encoder(jobs, &jobs->job[i]));
    return IQT_OK;
}

static enum iqt_status set_i32(struct iqt_gguf_writer *w, const char *name,
                               uint64_t value)
{
    const int32_t number = value < INT32_MAX ? (int32_t)value : INT32_MAX;
    const struct iqt_gguf_key key = { name, strlen(name), IQT_GGUF_I32, IQT_GGUF_I32,
                                      1,    &number };

    return iqt_gguf_writer_set_key(w, &key);
}

/* What the reference's tool notes, in texts of at most so many bytes. */
static enum iqt_status describe_importance(const struct iqt_imatrix *m,
                                           struct iqt_gguf_writer *w)
{
    const char *text = iqt_buf_text(&m->datasets);
    char name[128];

    snprintf(name, sizeof name, "%s", m->path);
    IQT_TRY(iqt_gguf_writer_set_string(w, "quantize.imatrix.file", name));
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "\n"), text);
    if (name[0] != '\0')
        IQT_TRY(iqt_gguf_writer_set_string(w, "quantize.imatrix.dataset", name));
    IQT_TRY(set_i32(w, "quantize.imatrix.entries_count", m->entries));
    return m->chunks > 0 ? set_i32(w, "quantize.imatrix.chunks_count", m->chunks)
                         : IQT_OK;
}

static enum iqt_status describe_second(const struct iqt_second *s,
                                       struct iqt_gguf_writer *w)
{
    char name[128];

    snprintf(name, sizeof name, "%s", s->path);
    IQT_TRY(iqt_gguf_writer_set_string(w, "quantize.second_order.file", name));
    return set_i32(w, "quantize.second_order.entries_count", s->entries);
}

enum iqt_status iqt_jobs_describe(const struct iqt_jobs *jobs, const struct iqt_gguf *g,
                                  const struct iqt_quantize_plan *plan,
                                  struct iqt_gguf_writer *w)
{
    enum { QUANTIZATION_VERSION = 2 };

    IQT_TRY(iqt_gguf_writer_copy_keys(w, g));
    IQT_TRY(
        iqt_gguf_writer_set_u32(w, "general.quantization_version", QUANTIZATION_VERSION));
    if (plan->file_type != 0)
        IQT_TRY(iqt_gguf_writer_set_u32(w, "general.file_type", plan->file_type));
    if (plan->imatrix != NULL)
        IQT_TRY(describe_importance(plan->imatrix, w));
    if (plan->second != NULL)
        IQT_TRY(describe_second(plan->second, w));
    for (size_t i = 0; i < jobs->count; i++) {
        struct iqt_gguf_tensor t = jobs->job[i].from;

        if (jobs->job[i].type.name != NULL)
            t.type = jobs->job[i].type.gguf_type;
        IQT_TRY(iqt_gguf_writer_add_tensor(w, &t));
    }
    return IQT_OK;
}
