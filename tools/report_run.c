/* Measuring one device for a report. Decides the order: bandwidth first, because it says where
 * weights must rotate; then tuning; then check and race of each task. */
#include "tools/report_run.h"
#include "tools/cli.h"
#include "bench/bandwidth.h"
#include "bench/race.h"
#include "runtime/tuned.h"

#include <stdlib.h>
#include <string.h>

/* Of one task: what the tuner found for each layout; ns 0: nothing. */
struct found {
    struct iqt_tune_result by_layout[IQT_LAYOUT_PACKED + 1];
};

struct session {
    const struct iqt_report_plan *plan;
    const char *spec;
    struct iqt_tune_job *jobs;
    struct found *found;
};

static void on_progress(void *user, uint64_t done, uint64_t total, const char *text)
{
    const struct session *s = user;
    char what[160];

    snprintf(what, sizeof(what), "tune %s %.120s", s->spec, text == NULL ? "" : text);
    iqt_cli_progress(what, done, total);
}

static bool on_stop(void *user)
{
    (void)user;
    return iqt_cli_interrupted();
}

static enum iqt_status on_weights(void *user, size_t index, const void **rows)
{
    const struct session *s = user;

    *rows = s->plan->tasks[index].matrix.rows;
    return IQT_OK;
}

static void on_result(void *user, const struct iqt_tune_result *r)
{
    const struct session *s = user;

    if (r->source == IQT_TUNED_FAILED || r->validity != IQT_VALID_CORRECT)
        return;
    for (size_t i = 0; i < s->plan->count; i++) {
        const struct iqt_tune_job *job = &s->jobs[i];

        if (job->format == r->job.format && job->m == r->job.m && job->k == r->job.k &&
            job->n == r->job.n)
            s->found[i].by_layout[r->plan.layout] = *r;
    }
}

static enum iqt_status start_session(struct session *s)
{
    const size_t count = s->plan->count;

    s->jobs = calloc(count, sizeof(*s->jobs));
    s->found = calloc(count, sizeof(*s->found));
    if (s->jobs == NULL || s->found == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu tuning jobs", count);
    for (size_t i = 0; i < count; i++) {
        const struct iqt_report_task *t = &s->plan->tasks[i];

        s->jobs[i] = (struct iqt_tune_job){ .format = t->matrix.format,
                                            .op = IQT_OP_MATVEC,
                                            .n = s->plan->n,
                                            .m = t->matrix.m,
                                            .k = t->matrix.k,
                                            .bytes = t->weight };
    }
    return IQT_OK;
}

static void end_session(struct session *s)
{
    free(s->jobs);
    free(s->found);
}

static enum iqt_status tune(struct iqt_device *dev, struct session *s)
{
    static const char *const worker[] = { "/proc/self/exe", "tune", "--worker", NULL };
    const struct iqt_tune_device_options options = {
        .level = IQT_TUNE_QUICK,
        .budget_ns = (uint64_t)(s->plan->budget_s * 1e9),
        .worker = worker,
        .user = s,
        .weights = on_weights,
        .progress = on_progress,
        .stop = on_stop,
        .report = on_result,
    };

    return iqt_tune_device(dev, s->jobs, s->plan->count, &options);
}

/* The faster layout's winner; packed and its default where the budget did not reach. */
static const struct iqt_tune_result *winner(const struct found *f)
{
    const struct iqt_tune_result *native = &f->by_layout[IQT_LAYOUT_NATIVE];
    const struct iqt_tune_result *packed = &f->by_layout[IQT_LAYOUT_PACKED];

    if (packed->ns > 0 && (native->ns <= 0 || packed->ns <= native->ns))
        return packed;
    return native->ns > 0 ? native : NULL;
}

static struct iqt_report_time time_of(const struct iqt_race_time *t)
{
    return (struct iqt_report_time){ .ns = t->ns, .spread = t->spread, .runs = t->runs };
}

static enum iqt_status compare_plans(struct iqt_race *race,
                                     const struct iqt_tune_result *won, double bandwidth,
                                     double seconds, struct iqt_report_row *row)
{
    const struct iqt_matrix *w = race->matrix[0];
    struct iqt_plan plan[2];
    struct iqt_race_time time[2];
    uint32_t count;

    /* Not iqt_plan_used(): that would find what the tuner has just stored. */
    plan[0] =
        iqt_plan_default_for(&race->dev->limits, w->format, race->dev->backend->dialect,
                             IQT_OP_MATVEC, row->n, w->layout);
    iqt_plan_name(&plan[0], row->base_plan);
    plan[1] = won == NULL ? plan[0] : won->plan;
    iqt_plan_name(&plan[1], row->plan);
    /* A plan raced against itself would only measure noise. */
    count = strcmp(row->plan, row->base_plan) == 0 ? 1 : 2;
    IQT_TRY(iqt_race_verify(race, &plan[count - 1], row->n, &row->checked, &row->worst));
    IQT_TRY(iqt_race_warm(race, plan, count, row->n, bandwidth, &row->rotated));
    IQT_TRY(iqt_race_run(race, plan, count, row->n, seconds, time));
    row->base = time_of(&time[0]);
    row->best = time_of(&time[count - 1]);
    return IQT_OK;
}

static enum iqt_status fill_row(struct iqt_device *dev, const struct session *s, size_t i,
                                double bandwidth, struct iqt_report_row *row)
{
    const struct iqt_report_task *t = &s->plan->tasks[i];
    const struct iqt_tune_result *won = winner(&s->found[i]);
    const enum iqt_layout layout = won == NULL ? IQT_LAYOUT_PACKED : won->plan.layout;
    struct iqt_race *race;
    enum iqt_status status;

    row->format = t->matrix.format;
    row->m = t->matrix.m;
    row->k = t->matrix.k;
    row->n = s->plan->n;
    row->model_shape = t->model_shape;
    row->bytes = t->matrix.bytes;
    snprintf(row->origin, sizeof(row->origin), "%s", t->matrix.origin);
    IQT_TRY(iqt_race_open(dev, &t->matrix, layout, &race));
    status = compare_plans(race, won, bandwidth, s->plan->race_s, row);
    iqt_race_close(race);
    return status;
}

static enum iqt_status fill_rows(struct iqt_device *dev, const struct session *s,
                                 uint32_t index, double bandwidth,
                                 struct iqt_report_row *rows)
{
    char what[64];

    snprintf(what, sizeof(what), "compare %s", s->spec);
    for (size_t i = 0; i < s->plan->count; i++) {
        if (iqt_cli_interrupted())
            return iqt_fail(IQT_ERR_INTERRUPTED, "interrupted");
        iqt_cli_progress(what, i, s->plan->count);
        rows[i] = (struct iqt_report_row){ .device = index };
        IQT_TRY(fill_row(dev, s, i, bandwidth, &rows[i]));
    }
    iqt_cli_progress(what, s->plan->count, s->plan->count);
    return IQT_OK;
}

static uint32_t count_tuned(const struct session *s)
{
    uint32_t count = 0;

    for (size_t i = 0; i < s->plan->count; i++)
        count += winner(&s->found[i]) != NULL;
    return count;
}

enum iqt_status iqt_report_device(struct iqt_device *dev, uint32_t index,
                                  const struct iqt_report_plan *plan,
                                  struct iqt_report_device *d,
                                  struct iqt_report_row *rows)
{
    const uint64_t start = iqt_now_ns();
    struct session s = { .plan = plan, .spec = iqt_device_describe(dev)->spec };
    struct iqt_bandwidth bandwidth;
    uint64_t tune_start;
    enum iqt_status status;

    IQT_TRY(iqt_bandwidth_measure(dev, &bandwidth));
    *d = (struct iqt_report_device){ .info = *iqt_device_describe(dev),
                                     .bandwidth = bandwidth.bytes_per_s,
                                     .method = bandwidth.method };
    status = start_session(&s);
    tune_start = iqt_now_ns();
    if (status == IQT_OK && plan->budget_s > 0)
        status = tune(dev, &s);
    d->tune_s = (double)(iqt_now_ns() - tune_start) / 1e9;
    d->tuned = count_tuned(&s);
    if (status == IQT_OK)
        status = fill_rows(dev, &s, index, d->bandwidth, rows);
    d->total_s = (double)(iqt_now_ns() - start) / 1e9;
    end_session(&s);
    return status;
}
