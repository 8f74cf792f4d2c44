/* Which plans are tried, in which order and for how long, and who wins. Decides budgets and the
 * no-harm rule; timing.c decides what a time is worth. Knows no device. */
#include "tuner/candidates.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROGRESS_PARTS = 1000 };

static const struct level {
    const char *name;
    uint64_t budget_ns;  /* 0: none */
    uint32_t candidates; /* of a layout, besides the default */
    uint32_t rounds;
} levels[IQT_TUNE_LEVELS] = {
    /* clang-format off */
    [IQT_TUNE_NEVER] = { "never", 0, 0, 0 },
    [IQT_TUNE_ESTIMATE] = { "estimate", 0, 0, 0 },
    [IQT_TUNE_QUICK] = { "quick", 120000000000u, 12, 8 },
    [IQT_TUNE_PATIENT] = { "patient", 1200000000000u, 64, 16 },
    [IQT_TUNE_EXHAUSTIVE] = { "exhaustive", 0, IQT_MOST_CANDIDATES, 24 },
    /* clang-format on */
};

static const char *const validity_names[IQT_VALIDITIES] = {
    [IQT_VALID_CORRECT] = "correct",         [IQT_VALID_COMPILE] = "compile",
    [IQT_VALID_RUNTIME] = "runtime",         [IQT_VALID_TIMEOUT] = "timeout",
    [IQT_VALID_CORRECTNESS] = "correctness", [IQT_VALID_CONSTRAINTS] = "constraints",
};

const char *iqt_tune_level_name(enum iqt_tune_level level)
{
    return levels[level].name;
}

bool iqt_tune_level_find(const char *name, enum iqt_tune_level *out)
{
    for (uint32_t i = 0; i < IQT_TUNE_LEVELS; i++)
        if (strcmp(levels[i].name, name) == 0) {
            *out = (enum iqt_tune_level)i;
            return true;
        }
    return false;
}

const char *iqt_validity_name(enum iqt_validity validity)
{
    return validity_names[validity];
}

bool iqt_validity_find(const char *name, enum iqt_validity *out)
{
    for (uint32_t i = 0; i < IQT_VALIDITIES; i++)
        if (strcmp(validity_names[i], name) == 0) {
            *out = (enum iqt_validity)i;
            return true;
        }
    return false;
}

struct search {
    const struct iqt_tune_options *options;
    const struct iqt_tune_calls *calls;
    uint64_t start_ns, budget_ns;     /* budget 0: none */
    uint64_t bytes_done, bytes_total; /* of jobs */
    size_t done, count;               /* jobs */
    struct iqt_entrant *entrant;      /* of the current job */
    uint64_t job_start_ns, slice_ns;  /* of the current job; slice UINT64_MAX: none */
};

static uint64_t now(const struct search *s)
{
    return s->calls->now(s->calls->user);
}

static bool stopped(const struct search *s)
{
    return s->calls->stop && s->calls->stop(s->calls->user);
}

static enum iqt_status interrupted(const struct search *s)
{
    return iqt_fail(IQT_ERR_INTERRUPTED, "tuning was stopped after %zu of %zu jobs",
                    s->done, s->count);
}

/* Parts done of the whole: by bytes, as slices are; inside a job by its slice. */
static void show_progress(const struct search *s, const struct iqt_tune_job *job,
                          double part)
{
    char text[128];

    if (!s->calls->progress)
        return;
    const double done =
        (double)s->bytes_done + (part > 1 ? 1 : part) * (double)job->bytes;
    snprintf(text, sizeof text, "%s %zux%zu n=%u", job->format->name, job->m, job->k,
             job->n);
    /* The last part is the caller's: it ends the line. */
    const double parts = done / (double)s->bytes_total * (PROGRESS_PARTS - 1);
    s->calls->progress(s->calls->user, (uint64_t)parts, PROGRESS_PARTS, text);
}

static struct iqt_plan default_plan(const struct search *s,
                                    const struct iqt_tune_job *job,
                                    enum iqt_layout layout)
{
    return iqt_plan_default_for(s->options->limits, job->format, s->options->dialect,
                                job->op, job->n, layout);
}

static enum iqt_status record(const struct search *s, struct iqt_tune_result *r)
{
    return s->calls->record(s->calls->user, r);
}

static enum iqt_status record_failure(const struct search *s,
                                      const struct iqt_tune_job *job,
                                      const struct iqt_plan *plan,
                                      enum iqt_validity verdict, const char *reason)
{
    struct iqt_tune_result r = {
        .job = *job,
        .source = IQT_TUNED_FAILED,
        .level = s->options->level,
        .plan = *plan,
        .validity = verdict,
    };

    snprintf(r.reason, sizeof r.reason, "%s", reason);
    return record(s, &r);
}

/* ---- One job ------------------------------------------------------------------------- */

/* Verifies in rank order until half of the slice is used; keeps those that passed. */
static enum iqt_status verify_entrants(struct search *s, const struct iqt_tune_job *job,
                                       size_t *count)
{
    const struct iqt_tune_calls *calls = s->calls;
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        const struct iqt_entrant e = s->entrant[i];
        const uint64_t used = now(s) - s->job_start_ns;
        enum iqt_validity verdict = IQT_VALID_CORRECT;

        if (stopped(s))
            return interrupted(s);
        if (!e.fallback && used > s->slice_ns / 2)
            break;
        show_progress(s, job,
                      s->slice_ns == UINT64_MAX ? 0.5 * (double)i / (double)*count
                                                : (double)used / (double)s->slice_ns);
        if (calls->failed && calls->failed(calls->user, &e.plan, job))
            continue;
        IQT_TRY(calls->verify(calls->user, &e.plan, job, &verdict));
        if (verdict == IQT_VALID_CORRECT)
            s->entrant[kept++] = e;
        else
            IQT_TRY(record_failure(s, job, &e.plan, verdict, iqt_last_error()));
    }
    *count = kept;
    return IQT_OK;
}

/* Journals what failed while it was timed, and takes it out. */
static enum iqt_status drop_failed(struct search *s, const struct iqt_tune_job *job,
                                   size_t *count)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        const struct iqt_entrant *e = &s->entrant[i];

        if (e->verdict != IQT_VALID_CORRECT)
            IQT_TRY(record_failure(s, job, &e->plan, e->verdict, e->reason));
        else
            s->entrant[kept++] = *e;
    }
    *count = kept;
    return IQT_OK;
}

/* Times what verified. When the anchor itself fails the others start again without it. */
static enum iqt_status contest(struct search *s, const struct iqt_tune_job *job,
                               size_t count, struct iqt_contest *c)
{
    const uint64_t deadline =
        s->slice_ns == UINT64_MAX ? UINT64_MAX : s->job_start_ns + s->slice_ns;
    bool anchor_failed = true;

    *c = (struct iqt_contest){ .entrant = s->entrant };
    while (anchor_failed && count > 0) {
        *c = (struct iqt_contest){
            .calls = s->calls,
            .job = job,
            .bytes_per_ns = s->options->bytes_per_ns,
            .rounds_wanted = levels[s->options->level].rounds,
            .deadline_ns = deadline,
            .entrant = s->entrant,
            .count = count,
        };
        IQT_TRY(iqt_contest_run(c));
        anchor_failed = s->entrant[0].verdict != IQT_VALID_CORRECT;
        IQT_TRY(drop_failed(s, job, &count));
        c->count = count;
        for (size_t i = 0; anchor_failed && i < count; i++)
            s->entrant[i] = (struct iqt_entrant){ .plan = s->entrant[i].plan,
                                                  .cost = s->entrant[i].cost,
                                                  .fallback = s->entrant[i].fallback };
    }
    return IQT_OK;
}

/* The no-harm rule. Without a default that runs, the fastest wins. */
static enum iqt_status settle(struct search *s, const struct iqt_tune_job *job,
                              enum iqt_layout layout, const struct iqt_contest *c)
{
    const struct iqt_entrant *best = NULL, *fallback = NULL;

    for (size_t i = 0; i < c->count; i++) {
        const struct iqt_entrant *e = &c->entrant[i];

        if (e->plan.layout != layout || e->samples == 0)
            continue;
        if (e->fallback)
            fallback = e;
        if (!e->out && (!best || e->ns < best->ns))
            best = e;
    }
    struct iqt_tune_result r = { .job = *job,
                                 .level = s->options->level,
                                 .plan = default_plan(s, job, layout) };
    if (!best || !iqt_contest_settled(c)) {
        r.source = IQT_TUNED_UNSTEADY;
        r.ns = r.default_ns = fallback ? fallback->ns : 0;
        return record(s, &r);
    }
    if (fallback && !iqt_contest_beats(c, best, fallback))
        best = fallback;
    r.source = IQT_TUNED_TIMED;
    r.plan = best->plan;
    r.ns = best->ns;
    r.default_ns = fallback ? fallback->ns : 0;
    r.spread_ns = best->spread_ns;
    r.samples = best->samples;
    return record(s, &r);
}

static enum iqt_status record_default(const struct search *s,
                                      const struct iqt_tune_job *job,
                                      enum iqt_layout layout, enum iqt_tune_source source)
{
    struct iqt_tune_result r = { .job = *job,
                                 .level = s->options->level,
                                 .source = source,
                                 .plan = default_plan(s, job, layout) };

    return record(s, &r);
}

static enum iqt_status record_estimate(const struct search *s,
                                       const struct iqt_tune_job *job,
                                       enum iqt_layout layout)
{
    struct iqt_tune_result r = { .job = *job,
                                 .level = s->options->level,
                                 .source = IQT_TUNED_ESTIMATED };

    IQT_TRY(iqt_candidates_estimate(s->options, job, layout, &r.plan));
    return record(s, &r);
}

/* Layouts that no earlier result serves; those that are served are recorded as such. */
static enum iqt_status find_known(const struct search *s, const struct iqt_tune_job *job,
                                  bool wanted[IQT_LAYOUTS])
{
    const struct iqt_tune_calls *calls = s->calls;

    for (uint32_t l = 0; l < IQT_LAYOUTS; l++) {
        struct iqt_tune_result r = { 0 };

        wanted[l] =
            s->options->force || !calls->known ||
            !calls->known(calls->user, job, (enum iqt_layout)l, s->options->level, &r);
        if (wanted[l])
            continue;
        r.job = *job;
        r.source = IQT_TUNED_REUSED;
        IQT_TRY(record(s, &r));
    }
    return IQT_OK;
}

static enum iqt_status time_job(struct search *s, const struct iqt_tune_job *job,
                                const bool wanted[IQT_LAYOUTS])
{
    size_t count;
    struct iqt_contest c;

    IQT_TRY(iqt_candidates(s->options, job, wanted, levels[s->options->level].candidates,
                           &s->entrant, &count));
    IQT_TRY(verify_entrants(s, job, &count));
    IQT_TRY(contest(s, job, count, &c));
    for (uint32_t l = 0; l < IQT_LAYOUTS; l++)
        if (wanted[l])
            IQT_TRY(settle(s, job, (enum iqt_layout)l, &c));
    return IQT_OK;
}

/* ---- All jobs ------------------------------------------------------------------------ */

/* A job's share of the time that is left, by bytes; small ones get a floor. */
static void take_slice(struct search *s, const struct iqt_tune_job *job)
{
    const uint64_t floor_ns = s->budget_ns / 128;

    s->job_start_ns = now(s);
    s->slice_ns = UINT64_MAX;
    if (s->budget_ns == 0)
        return;
    const uint64_t left = s->start_ns + s->budget_ns - s->job_start_ns;
    const double share = (double)job->bytes / (double)(s->bytes_total - s->bytes_done);
    s->slice_ns = (uint64_t)((double)left * share);
    if (s->slice_ns < floor_ns)
        s->slice_ns = floor_ns;
    if (s->slice_ns > left)
        s->slice_ns = left;
}

static enum iqt_status run_job(struct search *s, const struct iqt_tune_job *job)
{
    bool wanted[IQT_LAYOUTS];
    bool any = false;

    if (stopped(s))
        return interrupted(s);
    show_progress(s, job, 0);
    IQT_TRY(find_known(s, job, wanted));
    for (uint32_t l = 0; l < IQT_LAYOUTS; l++) {
        if (!wanted[l])
            continue;
        if (s->options->level == IQT_TUNE_NEVER)
            IQT_TRY(record_default(s, job, (enum iqt_layout)l, IQT_TUNED_ESTIMATED));
        else if (s->options->level == IQT_TUNE_ESTIMATE)
            IQT_TRY(record_estimate(s, job, (enum iqt_layout)l));
        else if (s->budget_ns != 0 && now(s) - s->start_ns >= s->budget_ns)
            IQT_TRY(record_default(s, job, (enum iqt_layout)l, IQT_TUNED_BUDGET));
        else
            any = true;
    }
    if (!any)
        return IQT_OK;
    take_slice(s, job);
    const enum iqt_status status = time_job(s, job, wanted);
    free(s->entrant);
    s->entrant = NULL;
    return status;
}

struct ordered_job {
    const struct iqt_tune_job *job;
    size_t index;
};

static int by_bytes(const void *a, const void *b)
{
    const struct ordered_job *x = a, *y = b;

    if (x->job->bytes != y->job->bytes)
        return x->job->bytes > y->job->bytes ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static enum iqt_status run_jobs(struct search *s, struct ordered_job *order)
{
    for (s->done = 0; s->done < s->count; s->done++) {
        const struct iqt_tune_job *job = order[s->done].job;
        const enum iqt_status status = run_job(s, job);

        if (status == IQT_ERR_INTERRUPTED)
            return interrupted(s);
        if (status != IQT_OK)
            return status;
        s->bytes_done += job->bytes;
    }
    if (s->calls->progress)
        s->calls->progress(s->calls->user, PROGRESS_PARTS, PROGRESS_PARTS, "done");
    return IQT_OK;
}

enum iqt_status iqt_tune_run(const struct iqt_tune_job *jobs, size_t count,
                             const struct iqt_tune_options *options,
                             const struct iqt_tune_calls *calls)
{
    struct search s = { .options = options, .calls = calls, .count = count };
    struct ordered_job *order = malloc((count ? count : 1) * sizeof *order);

    assert(options->level < IQT_TUNE_LEVELS);
    if (!order)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %zu tuning jobs", count);
    for (size_t i = 0; i < count; i++) {
        order[i] = (struct ordered_job){ &jobs[i], i };
        s.bytes_total += jobs[i].bytes;
    }
    qsort(order, count, sizeof *order, by_bytes);
    s.start_ns = now(&s);
    s.budget_ns =
        options->budget_ns ? options->budget_ns : levels[options->level].budget_ns;
    const enum iqt_status status = run_jobs(&s, order);
    free(order);
    return status;
}
