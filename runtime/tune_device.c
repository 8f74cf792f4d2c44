/* Tunes one device: joins the search with trials here or in a worker, and with the database.
 * Decides where plans run and what is stored; the search decides what is tried. */
#include "runtime/tuned.h"

#include "runtime/tune_trial.h"
#include "runtime/tune_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const uint64_t default_timeout_ns = UINT64_C(30) * 1000000000u;

struct tuning {
    struct iqt_device *dev;
    const struct iqt_tune_device_options *options;
    const struct iqt_tune_job *jobs;
    size_t count;
    struct iqt_db *db; /* NULL: none needed */
    struct iqt_db_device identity;
    struct iqt_trial *trial; /* one of the two */
    struct iqt_worker *worker;
    const struct iqt_tune_job *loaded;
};

/* ---- What the search asks ------------------------------------------------------------ */

static enum iqt_status load(struct tuning *t, const struct iqt_tune_job *job)
{
    const void *weights;

    if (t->loaded == job)
        return IQT_OK;
    t->loaded = NULL;
    IQT_TRY(t->options->weights(t->options->user, (size_t)(job - t->jobs), &weights));
    if (t->worker)
        IQT_TRY(iqt_worker_load(t->worker, job, weights));
    else
        IQT_TRY(iqt_trial_load(t->trial, job, weights));
    t->loaded = job;
    return IQT_OK;
}

static enum iqt_status verify(void *user, const struct iqt_plan *plan,
                              const struct iqt_tune_job *job, enum iqt_validity *verdict)
{
    struct tuning *t = user;

    IQT_TRY(load(t, job));
    return t->worker ? iqt_worker_verify(t->worker, plan, verdict)
                     : iqt_trial_verify(t->trial, plan, verdict);
}

static enum iqt_status measure(void *user, const struct iqt_plan *plan,
                               const struct iqt_tune_job *job, uint32_t iterations,
                               bool rotate, uint64_t *ns, enum iqt_validity *verdict)
{
    struct tuning *t = user;

    IQT_TRY(load(t, job));
    return t->worker
               ? iqt_worker_measure(t->worker, plan, iterations, rotate, ns, verdict)
               : iqt_trial_measure(t->trial, plan, iterations, rotate, ns, verdict);
}

static uint64_t now(void *user)
{
    (void)user;
    return iqt_now_ns();
}

static void progress(void *user, uint64_t done, uint64_t total, const char *text)
{
    const struct iqt_tune_device_options *o = ((struct tuning *)user)->options;

    if (o->progress)
        o->progress(o->user, done, total, text);
}

static bool stop(void *user)
{
    const struct iqt_tune_device_options *o = ((struct tuning *)user)->options;

    return o->stop && o->stop(o->user);
}

static bool known(void *user, const struct iqt_tune_job *job, enum iqt_layout layout,
                  enum iqt_tune_level level, struct iqt_tune_result *out)
{
    struct tuning *t = user;
    const struct iqt_plan like = { .format = job->format,
                                   .dialect = t->dev->backend->dialect,
                                   .op = job->op,
                                   .layout = layout };
    struct iqt_db_entry e;
    enum iqt_db_match match = IQT_DB_NONE;

    if (!t->db ||
        iqt_db_find(t->db, &t->identity, &like, job->n, job->m, job->k, &t->dev->limits,
                    &e, &match) != IQT_OK ||
        match != IQT_DB_EXACT || e.n != job->n || e.level < level)
        return false;
    *out = (struct iqt_tune_result){ .level = e.level,
                                     .ns = e.ns,
                                     .default_ns = e.default_ns,
                                     .spread_ns = e.spread_ns,
                                     .samples = e.samples };
    return iqt_plan_parse(e.plan, &out->plan) == IQT_OK;
}

static bool failed(void *user, const struct iqt_plan *plan,
                   const struct iqt_tune_job *job)
{
    struct tuning *t = user;
    struct iqt_db_entry e;
    bool found = false;

    return t->db &&
           iqt_db_find_failure(t->db, &t->identity, plan, job->n, job->m, job->k, &e,
                               &found) == IQT_OK &&
           found;
}

static enum iqt_status store(struct tuning *t, const struct iqt_tune_result *r)
{
    struct iqt_db_entry e = {
        .device = t->identity,
        .n = r->job.n,
        .m = r->job.m,
        .k = r->job.k,
        .validity = r->validity,
        .ns = r->ns,
        .default_ns = r->default_ns,
        .spread_ns = r->spread_ns,
        .samples = r->samples,
        .level = r->level,
        .time = (int64_t)time(NULL),
    };

    iqt_plan_name(&r->plan, e.plan);
    snprintf(e.reason, sizeof e.reason, "%s", r->reason);
    return iqt_db_store(t->db, &e);
}

static enum iqt_status record(void *user, const struct iqt_tune_result *r)
{
    struct tuning *t = user;
    const struct iqt_tune_device_options *o = t->options;

    if (t->db && (r->source == IQT_TUNED_TIMED || r->source == IQT_TUNED_FAILED))
        IQT_TRY(store(t, r));
    if (o->report)
        o->report(o->user, r);
    return IQT_OK;
}

/* ---- Bandwidth ----------------------------------------------------------------------- */

/* What a product of plain floats streams per nanosecond: near enough to the device's memory
 * bandwidth to decide whether caches matter. 0, weights always rotate, when it cannot be had. */
static double bandwidth(struct iqt_device *dev)
{
    const uint64_t least = UINT64_C(32) << 20, most = UINT64_C(256) << 20;
    const uint64_t cache = 2 * dev->info.cache_bytes;
    const uint64_t bytes = cache < least ? least : cache > most ? most : cache;
    struct iqt_tune_job job = { .format = iqt_format_find("f32"), .n = 1, .k = 4096 };
    const enum iqt_dialect dialect = dev->backend->dialect;
    struct iqt_trial *trial = NULL;
    enum iqt_validity verdict;
    uint64_t ns, best = 0;
    void *zeros;

    if (!job.format)
        return 0;
    job.m = bytes / (job.k * sizeof(float));
    zeros = calloc(1, bytes);
    const struct iqt_plan plan = iqt_plan_default_for(
        &dev->limits, job.format, dialect, IQT_OP_MATVEC, 1, IQT_LAYOUT_PACKED);
    if (zeros && iqt_trial_create(dev, &trial) == IQT_OK &&
        iqt_trial_load(trial, &job, zeros) == IQT_OK)
        for (uint32_t i = 0; i < 4; i++)
            if (iqt_trial_measure(trial, &plan, 1, false, &ns, &verdict) == IQT_OK &&
                verdict == IQT_VALID_CORRECT && ns > 0 && (best == 0 || ns < best))
                best = ns;
    iqt_trial_destroy(trial);
    free(zeros);
    return best ? (double)bytes / (double)best : 0;
}

/* ---- The run ------------------------------------------------------------------------- */

static enum iqt_status open_place(struct tuning *t)
{
    const struct iqt_tune_device_options *o = t->options;

    if (!o->worker || t->dev->backend->dialect == IQT_DIALECT_HOST)
        return iqt_trial_create(t->dev, &t->trial);

    const struct iqt_worker_options w = {
        .argv = o->worker,
        .device = t->dev->info.spec,
        .backend = iqt_context_options_of(t->dev->ctx),
        .timeout_ns = o->timeout_ns ? o->timeout_ns : default_timeout_ns,
        .stop = o->stop,
        .user = o->user,
    };
    return iqt_worker_create(&w, &t->worker);
}

static enum iqt_status open_database(struct tuning *t, bool runs)
{
    if (runs)
        return iqt_tuned_open(t->dev->ctx, true, &t->db);
    if (iqt_tuned_open(t->dev->ctx, false, &t->db) != IQT_OK)
        t->db = NULL; /* nothing to reuse */
    return IQT_OK;
}

static enum iqt_status run(struct tuning *t, bool runs)
{
    const struct iqt_tune_device_options *o = t->options;
    const struct iqt_gpu *gpu = NULL;

    if (t->dev->backend->dialect != IQT_DIALECT_HOST &&
        iqt_gpu_find(t->dev->info.name, &gpu) != IQT_OK)
        gpu = NULL; /* ranked without it */
    const struct iqt_tune_options options = {
        .level = o->level,
        .dialect = t->dev->backend->dialect,
        .limits = &t->dev->limits,
        .gpu = gpu,
        .bytes_per_ns = runs ? bandwidth(t->dev) : 0,
        .budget_ns = o->budget_ns,
        .force = o->force,
    };
    const struct iqt_tune_calls calls = {
        .user = t,
        .verify = verify,
        .measure = measure,
        .now = now,
        .progress = progress,
        .stop = stop,
        .known = known,
        .failed = failed,
        .record = record,
    };

    return iqt_tune_run(t->jobs, t->count, &options, &calls);
}

enum iqt_status iqt_tune_device(struct iqt_device *dev, const struct iqt_tune_job *jobs,
                                size_t count,
                                const struct iqt_tune_device_options *options)
{
    const bool runs = options->level >= IQT_TUNE_QUICK;
    struct tuning t = {
        .dev = dev,
        .options = options,
        .jobs = jobs,

        .count = count,
    };
    enum iqt_status status;

    iqt_tuned_device(&dev->info, &t.identity);
    IQT_TRY(open_database(&t, runs));
    status = runs ? open_place(&t) : IQT_OK;
    if (status == IQT_OK)
        status = run(&t, runs);
    iqt_worker_destroy(t.worker);
    iqt_trial_destroy(t.trial);
    iqt_db_close(t.db);
    /* New results count from the next product on. */
    const enum iqt_status attached = iqt_tuned_attach(dev->ctx);
    iqt_plans_forget(dev);
    return status != IQT_OK ? status : attached;
}
