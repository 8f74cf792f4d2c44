/* Chooses types under a budget: encodes a sample of the rows of every tensor with every type, and takes the
 * choice whose relative errors, by weights, are smallest. */
#include "tools/quantize_target.h"
#include "kernels/interleave.h"
#include "io/gguf_file.h"
#include "quant/budget.h"
#include "tools/cli.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ROWS = 16, TEXT = 256 };

struct type {
    struct iqt_type type;
    struct iqt_encoder *encoder;
};

/* Sums over sampled rows; by job, type and row, so that the order of threads does not matter. */
struct loss {
    double missed, all;
};

struct measure {
    struct iqt_jobs *jobs;
    const size_t *open_job; /* numbers of jobs */
    size_t opens;
    const struct type *type;
    size_t types;
    struct loss *loss; /* opens * types * ROWS */
    uint64_t align;    /* of tensors, where the size of the file counts */
    const struct iqt_recipe_model *model;

    pthread_mutex_t lock; /* guards what follows */
    size_t done;
    enum iqt_status status;
    char text[TEXT];
};

/* ---- One row with all types ---- */

struct row {
    const struct iqt_job *job;
    size_t k, number;
    float *x, *y, *importance;
    uint8_t *bytes;
};

static void free_row(struct row *r)
{
    free(r->x);
    free(r->y);
    free(r->importance);
    free(r->bytes);
}

static enum iqt_status load_importance(struct row *r)
{
    const uint64_t *ne = r->job->from.ne;
    const size_t matrices = (size_t)ne[2];
    float *all;

    if (r->job->importance == NULL)
        return IQT_OK;
    all = malloc(matrices * r->k * sizeof *all);
    r->importance = malloc(r->k * sizeof *r->importance);
    if (all != NULL && r->importance != NULL) {
        iqt_imatrix_means(r->job->importance, r->k, matrices, all);
        memcpy(r->importance, all + r->number / ne[1] % matrices * r->k,
               r->k * sizeof *all);
    }
    free(all);
    return all != NULL && r->importance != NULL
               ? IQT_OK
               : iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu columns",
                          matrices * r->k);
}

static enum iqt_status load_row(struct row *r)
{
    const struct iqt_gguf_tensor *t = &r->job->from;
    char name[96];
    size_t from_bytes;

    IQT_TRY(iqt_format_row_bytes(t->format, r->k, &from_bytes));
    r->x = malloc(r->k * sizeof *r->x + from_bytes); /* and room to take a row apart */
    r->y = malloc(r->k * sizeof *r->y);
    r->bytes = malloc(r->k * sizeof *r->x + 64); /* no type is larger than floats */
    if (r->x == NULL || r->y == NULL || r->bytes == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for rows of %zu weights", r->k);
    IQT_TRY(iqt_decode_row(
        iqt_format_base(t->format),
        iqt_row_apart(t->format, r->k, t->data, r->number, (uint8_t *)(r->x + r->k)),
        r->k, IQT_DECODE_COMPUTE, r->x));
    for (size_t i = 0; i < r->k; i++)
        if (!isfinite(r->x[i])) {
            iqt_escape(name, sizeof name, t->name, t->name_bytes);
            return iqt_fail(
                IQT_ERR_FORMAT,
                "tensor %s: the weight in row %zu, column %zu is not finite: %g", name,
                r->number, i, (double)r->x[i]);
        }
    return load_importance(r);
}

/* The error of all types is measured alike: importance times the square. */
static struct loss loss_of(const struct row *r)
{
    struct loss loss = { 0 };

    for (size_t i = 0; i < r->k; i++) {
        const double w = r->importance != NULL ? (double)r->importance[i] : 1;
        const double miss = (double)r->x[i] - (double)r->y[i];

        loss.missed += w * miss * miss;
        loss.all += w * (double)r->x[i] * (double)r->x[i];
    }
    return loss;
}

static enum iqt_status try_type(const struct row *r, const struct type *type,
                                struct loss *loss)
{
    struct iqt_row_work work;

    IQT_TRY(iqt_row_work_create(type->type.format, r->k, &work));
    iqt_encode_row(type->encoder, r->k, r->x, r->importance, NULL, &work, r->bytes);
    iqt_row_work_free(&work);
    IQT_TRY(iqt_decode_row(type->type.format, r->bytes, r->k, IQT_DECODE_COMPUTE, r->y));
    *loss = loss_of(r);
    return IQT_OK;
}

static enum iqt_status measure_row(struct measure *m, size_t item)
{
    const size_t f = item / ROWS, sample = item % ROWS;
    const struct iqt_job *job = &m->jobs->job[m->open_job[f]];
    const uint64_t rows = iqt_gguf_rows(&job->from);
    struct row r = { .job = job,
                     .k = (size_t)job->from.ne[0],
                     .number = (size_t)(rows * (2 * sample + 1) / (2 * ROWS)) };
    enum iqt_status status = load_row(&r);

    for (size_t t = 0; t < m->types && status == IQT_OK; t++)
        if (iqt_type_fits(&m->type[t].type, r.k, job->from.ne[1]))
            status =
                try_type(&r, &m->type[t], &m->loss[(f * m->types + t) * ROWS + sample]);
    free_row(&r);
    return status;
}

/* The text of a failure belongs to the thread that it happened on. */
static void measure_rows(void *user, size_t begin, size_t count)
{
    struct measure *m = user;

    for (size_t item = begin; item < begin + count; item++) {
        const enum iqt_status status = iqt_cli_interrupted()
                                           ? iqt_fail(IQT_ERR_INTERRUPTED, "interrupted")
                                           : measure_row(m, item);

        pthread_mutex_lock(&m->lock);
        if (status != IQT_OK && m->status == IQT_OK) {
            m->status = status;
            snprintf(m->text, sizeof m->text, "%s", iqt_last_error());
        }
        iqt_cli_progress("measure types", ++m->done, m->opens * ROWS);
        pthread_mutex_unlock(&m->lock);
    }
}

/* ---- Types to choose from ---- */

static void free_types(struct type *type, size_t types)
{
    for (size_t i = 0; i < types; i++)
        iqt_encoder_destroy(type[i].encoder);
    free(type);
}

static bool is_listed(const char *types, const char *name)
{
    const size_t bytes = strlen(name);

    if (types == NULL)
        return true;
    for (const char *at = types;; at += 1) {
        const size_t word = strcspn(at, ",");

        if (word == bytes && strncasecmp(at, name, bytes) == 0)
            return true;
        at += word;
        if (*at == '\0')
            return false;
    }
}

static enum iqt_status check_list(const char *types)
{
    char *copy = types != NULL ? strdup(types) : NULL, *next = copy, *at;
    struct iqt_encoder *encoder = NULL;
    enum iqt_status status = IQT_OK;
    struct iqt_type type;

    if (types != NULL && copy == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a list of types");
    while (status == IQT_OK && (at = strsep(&next, ",")) != NULL) {
        status = iqt_type_find("--target-types", at, &type);
        if (status == IQT_OK && type.format == NULL)
            status =
                iqt_fail(IQT_ERR_UNSUPPORTED, "--target-types: no encoder for %s", at);
        if (status == IQT_OK)
            status = iqt_encoder_create(type.format, &encoder);
        iqt_encoder_destroy(encoder);
        encoder = NULL;
    }
    free(copy);
    return status;
}

static enum iqt_status make_types(const char *list, struct type **out, size_t *count)
{
    size_t formats = 0;
    struct type *type;

    IQT_TRY(check_list(list));
    while (iqt_formats[formats].name != NULL)
        formats++;
    type = calloc(formats, sizeof *type);
    if (type == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu types", formats);
    *count = 0;
    for (size_t i = 0; i < formats; i++) {
        struct type *t = &type[*count];
        enum iqt_status status;

        if (!is_listed(list, iqt_formats[i].name))
            continue;
        status = iqt_encoder_create(&iqt_formats[i], &t->encoder);
        if (status == IQT_OK)
            status = iqt_type_find("--target-types", iqt_formats[i].name, &t->type);
        if (status == IQT_OK)
            ++*count;
        else if (status != IQT_ERR_UNSUPPORTED) {
            free_types(type, *count);
            return status;
        }
    }
    *out = type;
    return IQT_OK;
}

/* ---- Choosing ---- */

static uint64_t bytes_of(const struct iqt_gguf_tensor *t, const struct iqt_type *type)
{
    struct iqt_gguf_tensor to = *t;

    if (type != NULL) {
        to.type = type->gguf_type;
        to.format = type->format;
    }
    return iqt_gguf_size_of(&to).bytes;
}

static double error_of(const struct loss *loss)
{
    struct loss sum = { 0 };

    for (size_t i = 0; i < ROWS; i++) {
        sum.missed += loss[i].missed;
        sum.all += loss[i].all;
    }
    return sum.all > 0 ? sum.missed / sum.all : 0;
}

/* What the relative error of a tensor counts: its weights. That of the output is in all of the logits, while the
 * parts of a layer, two each, share what the layers add up to. Measured: docs/recipes.md. */
static double weight_of(const struct iqt_recipe_model *model,
                        const struct iqt_gguf_tensor *t)
{
    const char *const output = model->tied ? "token_embd.weight" : "output.weight";
    const double weights = (double)t->ne[0] * (double)iqt_gguf_rows(t);
    const bool is_output =
        t->name_bytes == strlen(output) && memcmp(t->name, output, t->name_bytes) == 0;

    return is_output && model->layers > 0 ? 2 * (double)model->layers * weights : weights;
}

/* The choices of a tensor: every type that fits, and as it is. map says which type each is; types: none. */
static size_t list_choices(const struct measure *m, size_t f,
                           struct iqt_budget_choice *choice, size_t *map)
{
    const struct iqt_gguf_tensor *t = &m->jobs->job[m->open_job[f]].from;
    size_t count = 0;

    for (size_t i = 0; i <= m->types; i++) {
        const struct iqt_type *type = i < m->types ? &m->type[i].type : NULL;
        uint64_t bytes;

        if (type != NULL && !iqt_type_fits(type, t->ne[0], t->ne[1]))
            continue;
        bytes = bytes_of(t, type);
        choice[count].bytes = iqt_round_up(bytes, m->align);
        choice[count].error =
            type != NULL
                ? weight_of(m->model, t) * error_of(&m->loss[(f * m->types + i) * ROWS])
                : 0;
        map[count++] = i;
    }
    return count;
}

static void settle(struct iqt_job *job, const struct iqt_type *type)
{
    job->bytes = bytes_of(&job->from, type);
    if (type == NULL || type->gguf_type == job->from.type) {
        job->importance = NULL;
        return;
    }
    job->type = *type;
    job->to = type->format;
}

static uint64_t alignment_of(const struct iqt_gguf *g)
{
    struct iqt_gguf_key key;
    uint64_t value;

    return iqt_gguf_key_find(g, IQT_GGUF_ALIGNMENT_KEY, &key) &&
                   iqt_gguf_key_unsigned(&key, &value) && value > 0
               ? value
               : IQT_GGUF_ALIGNMENT;
}

/* Bytes of the file without the open tensors, which so far are as they were. */
static enum iqt_status count_fixed(const struct measure *m, const struct iqt_gguf *g,
                                   const struct iqt_quantize_plan *plan, uint64_t *fixed)
{
    struct iqt_quantize_plan described = *plan;
    struct iqt_gguf_writer *w;
    uint64_t file, open = 0;
    enum iqt_status status;

    for (size_t i = 0; i < m->opens; i++)
        open += iqt_round_up(m->jobs->job[m->open_job[i]].bytes, m->align);
    described.file_type = 1; /* the key will be there */
    IQT_TRY(iqt_gguf_writer_create(&w));
    status = iqt_jobs_describe(m->jobs, g, &described, w);
    if (status == IQT_OK)
        status = iqt_gguf_writer_plan(w, 0, NULL, &file);
    iqt_gguf_writer_destroy(w);
    if (status == IQT_OK) /* the last one may lack its padding */
        *fixed = iqt_round_up(file, m->align) - open;
    return status;
}

/* What the open tensors may have of the budget. */
static enum iqt_status find_budget(const struct iqt_target *target, struct measure *m,
                                   const struct iqt_gguf *g,
                                   const struct iqt_quantize_plan *plan, uint64_t *out)
{
    uint64_t fixed = 0, budget = target->bytes;
    double weights = 0;

    m->align = target->bytes > 0 ? alignment_of(g) : 1;
    if (target->bytes > 0) {
        IQT_TRY(count_fixed(m, g, plan, &fixed));
    } else {
        for (size_t i = 0; i < m->jobs->count; i++) {
            const struct iqt_job *job = &m->jobs->job[i];

            weights += (double)job->from.ne[0] * (double)iqt_gguf_rows(&job->from);
            fixed += job->open ? 0 : job->bytes;
        }
        budget = (uint64_t)(target->bits / 8 * weights);
    }
    if (fixed > budget)
        return iqt_fail(
            IQT_ERR_ARG,
            "the target of %llu bytes is less than the %llu that have no choice",
            (unsigned long long)budget, (unsigned long long)fixed);
    *out = budget - fixed;
    return IQT_OK;
}

static enum iqt_status choose(struct iqt_target *target, const struct measure *m,
                              uint64_t budget)
{
    const size_t all = m->opens * (m->types + 1);
    struct iqt_budget_choice *choice = malloc((all + 1) * sizeof *choice);
    size_t *map = malloc((all + 1) * sizeof *map);
    struct iqt_budget_item *item = calloc(m->opens + 1, sizeof *item);
    enum iqt_status status =
        choice == NULL || map == NULL || item == NULL
            ? iqt_fail(IQT_ERR_NO_MEMORY, "no memory to choose for %zu tensors", m->opens)
            : IQT_OK;

    for (size_t f = 0; f < m->opens && status == IQT_OK; f++) {
        const size_t at = f * (m->types + 1);

        item[f].choice = choice + at;
        item[f].count = list_choices(m, f, choice + at, map + at);
    }
    if (status == IQT_OK)
        status = iqt_budget_choose(item, m->opens, budget);
    for (size_t f = 0; f < m->opens && status == IQT_OK; f++) {
        const size_t t = map[f * (m->types + 1) + item[f].chosen];

        target->error += item[f].choice[item[f].chosen].error;
        target->weight += weight_of(m->model, &m->jobs->job[m->open_job[f]].from);
        settle(&m->jobs->job[m->open_job[f]], t < m->types ? &m->type[t].type : NULL);
    }
    free(item);
    free(map);
    free(choice);
    return status;
}

static enum iqt_status measure_and_choose(struct iqt_target *target, struct measure *m,
                                          struct iqt_pool *pool, uint64_t budget)
{
    m->loss = calloc(m->opens * m->types * ROWS + 1, sizeof *m->loss);
    if (m->loss == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory to measure %zu tensors", m->opens);
    pthread_mutex_init(&m->lock, NULL);
    iqt_pool_run(pool, measure_rows, m, m->opens * ROWS, 1);
    pthread_mutex_destroy(&m->lock);
    iqt_cli_progress_hide();
    if (m->status != IQT_OK)
        return iqt_fail(m->status, "%s", m->text);
    return choose(target, m, budget);
}

/* The file's type is that of most of its weights. */
static void find_file_type(const struct iqt_jobs *jobs, struct iqt_quantize_plan *plan)
{
    double most = 0;

    for (const struct iqt_recipe *r = iqt_recipes; r->name != NULL; r++) {
        double weights = 0;

        for (size_t i = 0; i < jobs->count; i++)
            if (jobs->job[i].type.name != NULL &&
                strcmp(jobs->job[i].type.name, r->type) == 0)
                weights += (double)jobs->job[i].from.ne[0] *
                           (double)iqt_gguf_rows(&jobs->job[i].from);
        if (weights > most || plan->file_type == 0)
            plan->file_type = r->file_type;
        most = fmax(most, weights);
    }
}

static void count_again(struct iqt_jobs *jobs)
{
    jobs->to_bytes = jobs->weights = 0;
    for (size_t i = 0; i < jobs->count; i++) {
        const struct iqt_job *job = &jobs->job[i];

        jobs->to_bytes += job->bytes;
        if (job->type.name != NULL)
            jobs->weights += job->from.ne[0] * iqt_gguf_rows(&job->from);
    }
}

enum iqt_status iqt_target_choose(struct iqt_target *target, struct iqt_jobs *jobs,
                                  const struct iqt_gguf *g,
                                  struct iqt_quantize_plan *plan, struct iqt_pool *pool)
{
    size_t *open_job = malloc((jobs->count + 1) * sizeof *open_job);
    struct measure m = { .jobs = jobs, .open_job = open_job, .model = &plan->model };
    struct type *type = NULL;
    uint64_t budget = 0;
    enum iqt_status status;

    if (open_job == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu tensors", jobs->count);
    for (size_t i = 0; i < jobs->count; i++)
        if (jobs->job[i].open)
            open_job[m.opens++] = i;
    status = make_types(target->types, &type, &m.types);
    m.type = type;
    if (status == IQT_OK)
        status = find_budget(target, &m, g, plan, &budget);
    if (status == IQT_OK)
        status = measure_and_choose(target, &m, pool, budget);
    if (status == IQT_OK) {
        if (plan->file_type == 0)
            find_file_type(jobs, plan);
        count_again(jobs);
    }
    free(m.loss);
    free_types(type, m.types);
    free(open_job);
    return status;
}
