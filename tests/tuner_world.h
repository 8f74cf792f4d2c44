/* A device that does not exist: planted speeds and failures under a fake clock. */
#ifndef IQT_TESTS_TUNER_WORLD_H
#define IQT_TESTS_TUNER_WORLD_H

#include "tests/check.h"
#include "tuner/tuner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SEEN = 8192 };

/* What the fake device saw and how it behaves. */
struct world {
    uint64_t clock, verify_ns; /* verifying takes so long */
    double noise;              /* relative, upwards */
    uint32_t outlier_every; /* one batch in so many takes five times as long; 0: none */
    uint64_t seed;
    char
        fastest[IQT_PLAN_NAME_BYTES]; /* runs in fast_ns, all others in slow_ns or more */
    double fast_ns, slow_ns;
    /* The default plans (of each layout) run in default_ns. */
    char fallback[IQT_LAYOUTS][IQT_PLAN_NAME_BYTES];
    double default_ns;
    double jitter; /* every second time of each packed plan is so much longer */
    uint8_t turn[4096];
    char bad[4][IQT_PLAN_NAME_BYTES]; /* fail with the verdicts */
    enum iqt_validity bad_verdict[4];
    bool bad_when_measured;
    double drift;  /* every call takes so much longer after drift_at calls ... */
    double growth; /* of all times, in 28 batches */
    uint32_t drift_at, drift_calls; /* ... for so many calls */
    uint32_t stop_at;               /* poll of stop() that says so; 0: never */
    uint32_t polls;

    uint32_t verified, measured, recorded;
    uint32_t last_first; /* measurement that was the last one of a single call */
    char seen[MOST_SEEN][IQT_PLAN_NAME_BYTES]; /* verified plans */
    struct iqt_tune_result result[512];
    size_t results;
    uint32_t unverified_measured; /* measured without having been verified: must stay 0 */
    bool rotated;
    uint64_t progress_done, progress_total;
    bool progress_fell;
};

static double uniform(struct world *w)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(w->seed >> 40) / (double)(1 << 24);
}

static int bad_index(const struct world *w, const char *name)
{
    for (int i = 0; i < 4; i++)
        if (w->bad[i][0] && strcmp(w->bad[i], name) == 0)
            return i;
    return -1;
}

static enum iqt_status verify(void *user, const struct iqt_plan *plan,
                              const struct iqt_tune_job *job, enum iqt_validity *verdict)
{
    struct world *w = user;
    char name[IQT_PLAN_NAME_BYTES];

    (void)job;
    iqt_plan_name(plan, name);
    if (w->verified < MOST_SEEN)
        strcpy(w->seen[w->verified], name);
    w->verified++;
    w->clock += w->verify_ns;
    const int bad = bad_index(w, name);
    *verdict =
        bad >= 0 && !w->bad_when_measured ? w->bad_verdict[bad] : IQT_VALID_CORRECT;
    if (*verdict != IQT_VALID_CORRECT)
        (void)iqt_fail(IQT_ERR_DEVICE, "planted %s", iqt_validity_name(*verdict));
    return IQT_OK;
}

static bool was_verified(const struct world *w, const char *name)
{
    for (uint32_t i = 0; i < w->verified && i < MOST_SEEN; i++)
        if (strcmp(w->seen[i], name) == 0)
            return true;
    return false;
}

/* Planted time of a call: equal for equal names. */
static double true_ns(const struct world *w, const struct iqt_plan *plan,
                      const char *name)
{
    if (strcmp(name, w->fastest) == 0)
        return w->fast_ns;
    if (strcmp(name, w->fallback[plan->layout]) == 0)
        return w->default_ns;
    return w->slow_ns * (1 + (double)(iqt_hash(name, strlen(name), 1) % 1000) / 1000);
}

static enum iqt_status measure(void *user, const struct iqt_plan *plan,
                               const struct iqt_tune_job *job, uint32_t iterations,
                               bool rotate, uint64_t *ns, enum iqt_validity *verdict)
{
    struct world *w = user;
    char name[IQT_PLAN_NAME_BYTES];

    (void)job;
    iqt_plan_name(plan, name);
    w->unverified_measured += !was_verified(w, name);
    w->rotated = w->rotated || rotate;
    double total = true_ns(w, plan, name) * iterations * (1 + w->noise * uniform(w));
    if (w->outlier_every && uniform(w) * w->outlier_every < 1)
        total *= 5;
    uint8_t *turn = &w->turn[iqt_hash(name, strlen(name), 2) % sizeof w->turn];
    if (plan->layout == IQT_LAYOUT_PACKED && (*turn)++ % 2)
        total *= 1 + w->jitter;
    total *= pow(1 + w->growth, w->measured / 28.0);
    if (w->measured >= w->drift_at && w->measured < w->drift_at + w->drift_calls)
        total *= w->drift;
    if (iterations == 1)
        w->last_first = w->measured;
    w->measured++;
    w->clock += (uint64_t)total;
    const int bad = bad_index(w, name);
    *verdict = bad >= 0 ? w->bad_verdict[bad] : IQT_VALID_CORRECT;
    if (*verdict != IQT_VALID_CORRECT)
        (void)iqt_fail(IQT_ERR_DEVICE, "planted %s", iqt_validity_name(*verdict));
    *ns = (uint64_t)total;
    return IQT_OK;
}

static uint64_t now(void *user)
{
    return ((struct world *)user)->clock;
}

static bool stop(void *user)
{
    struct world *w = user;

    w->polls++;
    return w->stop_at && w->polls >= w->stop_at;
}

static bool same_job(const struct iqt_tune_job *a, const struct iqt_tune_job *b)
{
    return a->format == b->format && a->op == b->op && a->n == b->n && a->m == b->m &&
           a->k == b->k;
}

static bool known(void *user, const struct iqt_tune_job *job, enum iqt_layout layout,
                  enum iqt_tune_level level, struct iqt_tune_result *out)
{
    const struct world *w = user;

    for (size_t i = 0; i < w->results; i++)
        if (w->result[i].source == IQT_TUNED_TIMED && w->result[i].level >= level &&
            w->result[i].plan.layout == layout && same_job(&w->result[i].job, job)) {
            *out = w->result[i];
            return true;
        }
    return false;
}

static bool failed(void *user, const struct iqt_plan *plan,
                   const struct iqt_tune_job *job)
{
    const struct world *w = user;
    char name[IQT_PLAN_NAME_BYTES], other[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(plan, name);
    for (size_t i = 0; i < w->results; i++) {
        iqt_plan_name(&w->result[i].plan, other);
        if (w->result[i].source == IQT_TUNED_FAILED && strcmp(name, other) == 0 &&
            same_job(&w->result[i].job, job))
            return true;
    }
    return false;
}

static enum iqt_status record(void *user, const struct iqt_tune_result *r)
{
    struct world *w = user;

    if (w->results < IQT_COUNT(w->result))
        w->result[w->results++] = *r;
    w->recorded++;
    return IQT_OK;
}

static void progress(void *user, uint64_t done, uint64_t total, const char *text)
{
    struct world *w = user;

    (void)text;
    w->progress_fell = w->progress_fell || done < w->progress_done;
    w->progress_done = done;
    w->progress_total = total;
}

/* ---- The bench ----------------------------------------------------------------------- */

static const struct iqt_limits limits = {
    .subgroup_min = 8,
    .subgroup_max = 32,
    .max_threads = 1024,
    .shared_bytes = 32768,
    .compute_units = 16,
    .subgroup_ops = true,
};

static struct iqt_tune_job job_of(const char *format, uint32_t n, size_t m,
                                  uint64_t bytes)
{
    return (struct iqt_tune_job){
        .format = iqt_format_find(format), .n = n, .m = m, .k = 4096, .bytes = bytes
    };
}

static struct world *new_world(void)
{
    struct world *w = calloc(1, sizeof *w);

    if (!w)
        abort();
    w->fast_ns = 50e3;
    w->slow_ns = 100e3;
    w->verify_ns = 1000000;
    w->seed = check_seed() + 1;
    return w;
}

static enum iqt_status tune(struct world *w, const struct iqt_tune_job *jobs,
                            size_t count, const struct iqt_tune_options *options)
{
    const struct iqt_tune_calls calls = {
        .user = w,
        .verify = verify,
        .measure = measure,
        .now = now,
        .progress = progress,
        .stop = stop,
        .known = known,
        .failed = failed,
        .record = record,
    };
    struct iqt_tune_options o = *options;

    o.dialect = IQT_DIALECT_GLSL;
    o.limits = &limits;
    return iqt_tune_run(jobs, count, &o, &calls);
}

static const struct iqt_tune_result *result_of(const struct world *w,
                                               const struct iqt_tune_job *job,
                                               enum iqt_layout layout)
{
    for (size_t i = w->results; i-- > 0;)
        if (w->result[i].source != IQT_TUNED_FAILED && same_job(&w->result[i].job, job) &&
            w->result[i].plan.layout == layout)
            return &w->result[i];
    return NULL;
}

static bool is_plan(const struct iqt_plan *plan, const char *name)
{
    char text[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(plan, text);
    return strcmp(text, name) == 0;
}

static void default_name(const struct iqt_tune_job *job, enum iqt_layout layout,
                         char *out)
{
    const struct iqt_plan p =
        iqt_plan_default(job->format, IQT_DIALECT_GLSL, job->op, job->n, layout);

    iqt_plan_name(&p, out);
}

/* Makes the candidate of this rank (0: best estimate besides the default) the fastest. */
static void plant(struct world *w, const struct iqt_tune_job *job, enum iqt_layout layout,
                  size_t rank, char *out)
{
    static const struct iqt_tune_options estimate = { .level = IQT_TUNE_QUICK };
    struct world *probe = new_world();
    size_t found = 0;
    char fallback[IQT_PLAN_NAME_BYTES];

    default_name(job, layout, fallback);
    probe->verify_ns = 1;
    out[0] = '\0';
    check_true(tune(probe, job, 1, &estimate) == IQT_OK, "probe: %s", iqt_last_error());
    for (uint32_t i = 0; i < probe->verified; i++) {
        struct iqt_plan p;

        if (iqt_plan_parse(probe->seen[i], &p) != IQT_OK || p.layout != layout ||
            strcmp(probe->seen[i], fallback) == 0 || found++ != rank)
            continue;
        strcpy(out, probe->seen[i]);
    }
    check_true(out[0], "no candidate of rank %zu among %u", rank, probe->verified);
    strcpy(w->fastest, out);
    free(probe);
}

#endif
