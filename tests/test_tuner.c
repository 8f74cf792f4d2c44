/* The search under a fake clock: planted speeds, planted failures, nothing is run. */
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
    bool fallback_is_fastest;
    char bad[4][IQT_PLAN_NAME_BYTES]; /* fail with the verdicts */
    enum iqt_validity bad_verdict[4];
    bool bad_when_measured;
    double drift; /* every call takes so much longer after drift_at calls ... */
    uint32_t drift_at, drift_calls; /* ... for so many calls */
    uint32_t stop_after;            /* records; 0: never */

    uint32_t verified, measured, recorded;
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

static bool is_default(const struct iqt_plan *plan, const char *name)
{
    const struct iqt_plan fallback =
        iqt_plan_default(plan->format, plan->dialect, plan->op, plan->n, plan->layout);
    char fallback_name[IQT_PLAN_NAME_BYTES];

    iqt_plan_name(&fallback, fallback_name);
    return strcmp(name, fallback_name) == 0;
}

/* Planted time of a call: equal for equal names. */
static double true_ns(const struct world *w, const struct iqt_plan *plan,
                      const char *name)
{
    if (strcmp(name, w->fastest) == 0)
        return w->fast_ns;
    if (w->fallback_is_fastest && is_default(plan, name))
        return w->fast_ns;
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
    if (w->measured >= w->drift_at && w->measured < w->drift_at + w->drift_calls)
        total *= w->drift;
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
    const struct world *w = user;

    return w->stop_after && w->recorded >= w->stop_after;
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

/* ---- Checks -------------------------------------------------------------------------- */

static void fastest_wins(const char *format, uint32_t n, enum iqt_layout layout,
                         size_t rank, double noise, uint32_t outliers)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of(format, n, 4096, 1 << 20);
    struct world *w = new_world();
    char name[IQT_PLAN_NAME_BYTES];

    plant(w, &job, layout, rank, name);
    w->noise = noise;
    w->outlier_every = outliers;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    const struct iqt_tune_result *r = result_of(w, &job, layout);
    check_true(r && r->source == IQT_TUNED_TIMED, "no timed result for %s", name);
    if (r && r->source == IQT_TUNED_TIMED) {
        char got[IQT_PLAN_NAME_BYTES];

        iqt_plan_name(&r->plan, got);
        check_true(strcmp(got, name) == 0, "%s won, not %s", got, name);
        check_true(fabs(r->ns / w->fast_ns - 1) < 0.05, "time is %g, planted %g", r->ns,
                   w->fast_ns);
        check_true(r->default_ns > r->ns, "default %g, winner %g", r->default_ns, r->ns);
        check_true(r->samples >= 2, "only %u samples", r->samples);
    }
    check_true(w->unverified_measured == 0, "%u measured before they verified",
               w->unverified_measured);
    free(w);
}

static void no_harm(double advantage, double noise, bool replaces)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq4_ks", 1, 4096, 1 << 20);
    struct world *w = new_world();
    char name[IQT_PLAN_NAME_BYTES], fallback[IQT_PLAN_NAME_BYTES];

    plant(w, &job, IQT_LAYOUT_PACKED, 1, name);
    default_name(&job, IQT_LAYOUT_PACKED, fallback);
    /* The default's planted time is fixed by its name; the rival's is set from it. */
    const struct iqt_plan p =
        iqt_plan_default(job.format, IQT_DIALECT_GLSL, job.op, 1, IQT_LAYOUT_PACKED);
    w->fast_ns = true_ns(w, &p, fallback) * (1 - advantage);
    w->slow_ns *= 1;
    w->noise = noise;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    const struct iqt_tune_result *r = result_of(w, &job, IQT_LAYOUT_PACKED);
    if (!r)
        check_fail("no result");
    else if (!replaces)
        check_true(!is_plan(&r->plan, name), "%.1f %% faster replaced the default",
                   advantage * 100);
    else
        check_true(!is_plan(&r->plan, fallback), "%.1f %% faster did not replace it",
                   advantage * 100);
    free(w);
}

static void default_stays(void)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq3_k", 4, 4096, 1 << 20);
    struct world *w = new_world();
    char fallback[IQT_PLAN_NAME_BYTES];

    w->fallback_is_fastest = true;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    for (uint32_t l = 0; l < IQT_LAYOUTS; l++) {
        const struct iqt_tune_result *r = result_of(w, &job, (enum iqt_layout)l);

        default_name(&job, (enum iqt_layout)l, fallback);
        check_true(r && is_plan(&r->plan, fallback), "the default did not stay");
        check_true(r && r->ns == r->default_ns && r->ns > 0, "its gain is not 1.0");
    }
    free(w);
}

/* Slow for a while in the middle: rounds then do not count, and the result is as without. */
static void drift_discards(void)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq4_k", 1, 4096, 1 << 20);
    struct world *w = new_world();
    char name[IQT_PLAN_NAME_BYTES];

    plant(w, &job, IQT_LAYOUT_PACKED, 3, name);
    w->drift = 3;
    w->drift_at = 26 * 6 + 27; /* after calibration and into the rounds */
    w->drift_calls = 90;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    check_true(w->measured > w->drift_at, "only %u batches: nothing drifted",
               w->measured);
    const struct iqt_tune_result *r = result_of(w, &job, IQT_LAYOUT_PACKED);
    check_true(r && is_plan(&r->plan, name), "drift flipped the winner");
    check_true(r && fabs(r->ns / w->fast_ns - 1) < 1e-3, "drifted samples counted: %g ns",
               r ? r->ns : 0);
    check_true(r && r->spread_ns < 0.01 * w->fast_ns, "drifted samples in the spread: %g",
               r ? r->spread_ns : 0);
    free(w);
}

/* The anchor jumps in every round: no decision, and nothing that claims one. */
static void chaos_decides_nothing(void)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq4_k", 1, 4096, 1 << 20);
    struct world *w = new_world();
    char fallback[IQT_PLAN_NAME_BYTES];

    w->noise = 400;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    default_name(&job, IQT_LAYOUT_PACKED, fallback);
    const struct iqt_tune_result *r = result_of(w, &job, IQT_LAYOUT_PACKED);
    check_true(r && r->source == IQT_TUNED_UNSTEADY && is_plan(&r->plan, fallback),
               "noise of 400 times gave a decision");
    free(w);
}

static void budget_holds(void)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK,
                                        .budget_ns = UINT64_C(10000000000) };
    struct iqt_tune_job jobs[40];
    struct world *w = new_world();
    size_t timed = 0, unserved = 0;
    uint64_t smallest_timed = UINT64_MAX, largest_unserved = 0;

    w->verify_ns = 100000000; /* 26 candidates alone would take 2.6 s a job */
    for (size_t i = 0; i < IQT_COUNT(jobs); i++)
        jobs[i] = job_of("iq2_k", 1, 64 + i, (i * 7919) % 40 + 1);
    check_true(tune(w, jobs, IQT_COUNT(jobs), &o) == IQT_OK, "%s", iqt_last_error());
    /* Two defaults are verified and timed before a job looks at the clock again. */
    check_true(w->clock <= o.budget_ns + 400000000, "took %.2f s of 10",
               (double)w->clock / 1e9);
    for (size_t i = 0; i < w->results; i++) {
        const struct iqt_tune_result *r = &w->result[i];

        if (r->source == IQT_TUNED_BUDGET) {
            unserved++;
            if (r->job.bytes > largest_unserved)
                largest_unserved = r->job.bytes;
        } else {
            timed++;
            if (r->job.bytes < smallest_timed)
                smallest_timed = r->job.bytes;
        }
    }
    check_true(w->results == 2 * IQT_COUNT(jobs), "%zu results of %zu", w->results,
               2 * IQT_COUNT(jobs));
    check_true(timed > 0 && unserved > 0, "%zu timed, %zu without time", timed, unserved);
    check_true(smallest_timed > largest_unserved,
               "a job of %llu bytes was left, one of %llu "
               "was not",
               (unsigned long long)largest_unserved, (unsigned long long)smallest_timed);
    free(w);
}

static void make_jobs(struct iqt_tune_job *jobs)
{
    static const char *const formats[] = { "iq4_ks", "iq2_ks", "iq3_k" };

    for (size_t i = 0; i < 9; i++)
        jobs[i] = job_of(formats[i / 3],
                         i % 3 == 0   ? 1
                         : i % 3 == 1 ? 4
                                      : 8,
                         4096, 1000 - i / 3);
}

/* Interrupted after each possible number of records, then run again. */
static void resume_gives_the_same(void)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    struct iqt_tune_job jobs[9];
    struct world *whole = new_world();

    make_jobs(jobs);
    check_true(tune(whole, jobs, 9, &o) == IQT_OK, "%s", iqt_last_error());
    for (uint32_t at = 1; at < whole->recorded; at++) {
        struct world *w = new_world();

        w->stop_after = at;
        check_true(tune(w, jobs, 9, &o) == IQT_ERR_INTERRUPTED, "not stopped after %u",
                   at);
        const uint32_t before = w->verified;
        const size_t kept = w->results;
        w->stop_after = 0;
        check_true(tune(w, jobs, 9, &o) == IQT_OK, "%s", iqt_last_error());
        /* A job's two layouts are recorded together; what was recorded is not run again. */
        check_true(w->verified - before <=
                       whole->verified - whole->verified * (at / 2) / 9,
                   "after %zu results %u verified again", kept, w->verified - before);
        for (size_t i = 0; i < 9; i++)
            for (uint32_t l = 0; l < IQT_LAYOUTS; l++) {
                const struct iqt_tune_result *a =
                    result_of(whole, &jobs[i], (enum iqt_layout)l);
                const struct iqt_tune_result *b =
                    result_of(w, &jobs[i], (enum iqt_layout)l);
                char name[IQT_PLAN_NAME_BYTES];

                if (!a || !b) {
                    check_fail("stopped after %u: job %zu has no result", at, i);
                    continue;
                }
                iqt_plan_name(&a->plan, name);
                check_true(is_plan(&b->plan, name) && a->ns == b->ns,
                           "stopped after %u: job %zu differs", at, i);
            }
        free(w);
    }
    free(whole);
}

static size_t count_failures(const struct world *w, enum iqt_validity verdict)
{
    size_t count = 0;

    for (size_t i = 0; i < w->results; i++)
        count +=
            w->result[i].source == IQT_TUNED_FAILED && w->result[i].validity == verdict;
    return count;
}

/* The fastest plan is wrong, others crash, hang, do not compile: none wins, each is on record
 * with its reason, none is run a second time. */
static void failures_never_win(bool when_measured)
{
    static const enum iqt_validity verdicts[] = { IQT_VALID_CORRECTNESS,
                                                  IQT_VALID_RUNTIME, IQT_VALID_TIMEOUT,
                                                  IQT_VALID_COMPILE };
    struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq5_k", 1, 4096, 1 << 20);
    struct world *w = new_world();
    char name[IQT_PLAN_NAME_BYTES];

    for (size_t i = 4; i-- > 0;) {
        plant(w, &job, IQT_LAYOUT_PACKED, i, name);
        strcpy(w->bad[i], name);
        w->bad_verdict[i] = verdicts[i];
    }
    w->bad_when_measured = when_measured;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    const struct iqt_tune_result *r = result_of(w, &job, IQT_LAYOUT_PACKED);
    check_true(r && r->source == IQT_TUNED_TIMED, "no result besides the failures");
    for (size_t i = 0; i < 4; i++) {
        check_true(r && !is_plan(&r->plan, w->bad[i]), "%s won", w->bad[i]);
        check_true(count_failures(w, verdicts[i]) == 1, "%zu on record as %s",
                   count_failures(w, verdicts[i]), iqt_validity_name(verdicts[i]));
    }
    for (size_t i = 0; i < w->results; i++)
        check_true(w->result[i].source != IQT_TUNED_FAILED ||
                       strstr(w->result[i].reason, "planted"),
                   "a failure has the reason '%s'", w->result[i].reason);
    const uint32_t before = w->verified;
    o.force = true;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    for (uint32_t i = before; i < w->verified; i++)
        check_true(bad_index(w, w->seen[i]) < 0, "%s was tried again", w->seen[i]);
    check_true(w->verified > before, "force measured nothing");
    free(w);
}

/* Even the default may be wrong on a device: then the rest competes without it. */
static void broken_default(bool when_measured)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq6_k", 1, 4096, 1 << 20);
    struct world *w = new_world();
    char name[IQT_PLAN_NAME_BYTES];

    plant(w, &job, IQT_LAYOUT_NATIVE, 2, name);
    default_name(&job, IQT_LAYOUT_NATIVE, w->bad[0]);
    default_name(&job, IQT_LAYOUT_PACKED, w->bad[1]);
    w->bad_verdict[0] = w->bad_verdict[1] = IQT_VALID_RUNTIME;
    w->bad_when_measured = when_measured;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    const struct iqt_tune_result *r = result_of(w, &job, IQT_LAYOUT_NATIVE);
    check_true(r && is_plan(&r->plan, name), "the fastest of the rest did not win");
    check_true(r && r->default_ns == 0, "a time for a default that never ran");
    free(w);
}

static void levels_without_timing(void)
{
    struct iqt_tune_options o = { .level = IQT_TUNE_ESTIMATE };
    const struct iqt_tune_job job = job_of("iq4_ks", 1, 4096, 1 << 20);
    struct world *w = new_world();

    for (uint32_t l = IQT_TUNE_NEVER; l <= IQT_TUNE_ESTIMATE; l++) {
        o.level = (enum iqt_tune_level)l;
        check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
        check_true(w->verified == 0 && w->measured == 0, "level %s ran plans",
                   iqt_tune_level_name(o.level));
    }
    check_true(w->results == 4, "%zu results", w->results);
    /* The estimate's choice is at least as cheap as the default. */
    const struct iqt_tune_result *r = result_of(w, &job, IQT_LAYOUT_PACKED);
    const struct iqt_plan fallback =
        iqt_plan_default(job.format, IQT_DIALECT_GLSL, job.op, 1, IQT_LAYOUT_PACKED);
    check_true(r && iqt_plan_cost(&r->plan, &limits, 4096, 4096) <=
                        iqt_plan_cost(&fallback, &limits, 4096, 4096),
               "the estimate costs more than the default");
    free(w);
}

static void rotation(void)
{
    struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq4_ks", 1, 4096, 1 << 20);

    /* 8.9 MB in at least 100 us are at most 89 bytes/ns. */
    static const struct {
        double bandwidth;
        bool rotates;
    } cases[] = { { 0, true }, { 200, true }, { 2000, false } };
    for (size_t i = 0; i < IQT_COUNT(cases); i++) {
        struct world *w = new_world();

        o.bytes_per_ns = cases[i].bandwidth;
        check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
        check_true(w->rotated == cases[i].rotates, "bandwidth %g: rotated %d",
                   cases[i].bandwidth, (int)w->rotated);
        free(w);
    }
}

static void progress_rises(void)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    struct iqt_tune_job jobs[9];
    struct world *w = new_world();

    make_jobs(jobs);
    check_true(tune(w, jobs, 9, &o) == IQT_OK, "%s", iqt_last_error());
    check_true(!w->progress_fell, "progress fell");
    check_true(w->progress_done == w->progress_total && w->progress_total > 0,
               "ended at %llu of %llu", (unsigned long long)w->progress_done,
               (unsigned long long)w->progress_total);
    free(w);
}

/* Deeper levels look again at what a shallower one stored; not the other way round. */
static void deeper_levels_go_on(void)
{
    struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq4_ks", 1, 4096, 1 << 20);
    struct world *w = new_world();

    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    const uint32_t quick = w->verified;
    o.level = IQT_TUNE_PATIENT;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    const uint32_t patient = w->verified - quick;
    check_true(patient > quick, "patient tried %u, quick %u", patient, quick);
    o.level = IQT_TUNE_QUICK;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    check_true(w->verified == quick + patient, "quick ran after patient");
    free(w);
}

static void run_winners(void)
{
    static const char *const formats[] = { "iq4_ks", "iq2_kl", "iq3_kt" };
    static const uint32_t columns[] = { 1, 4, 8 };

    for (size_t f = 0; f < IQT_COUNT(formats); f++)
        for (size_t c = 0; c < IQT_COUNT(columns); c++)
            for (uint32_t l = 0; l < IQT_LAYOUTS; l++)
                if (check_begin("tuner.fastest.%s.n%u.%s", formats[f], columns[c],
                                l == IQT_LAYOUT_PACKED ? "packed" : "native")) {
                    fastest_wins(formats[f], columns[c], (enum iqt_layout)l, 1 + 2 * f, 0,
                                 0);
                    fastest_wins(formats[f], columns[c], (enum iqt_layout)l, 5, 0.03, 20);
                    check_end();
                }
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    run_winners();
#define CHECK(name, ...)     \
    if (check_begin(name)) { \
        __VA_ARGS__;         \
        check_end();         \
    }
    CHECK("tuner.no_harm.within_2_percent", no_harm(0.015, 0, false))
    CHECK("tuner.no_harm.within_spread", no_harm(0.03, 0.09, false))
    CHECK("tuner.no_harm.clear_gain", no_harm(0.10, 0, true))
    CHECK("tuner.no_harm.default_fastest", default_stays())
    CHECK("tuner.drift_discards_rounds", drift_discards())
    CHECK("tuner.chaos_decides_nothing", chaos_decides_nothing())
    CHECK("tuner.budget", budget_holds())
    CHECK("tuner.resume", resume_gives_the_same())
    CHECK("tuner.failures_never_win.verified", failures_never_win(false))
    CHECK("tuner.failures_never_win.measured", failures_never_win(true))
    CHECK("tuner.broken_default.verified", broken_default(false))
    CHECK("tuner.broken_default.measured", broken_default(true))
    CHECK("tuner.levels_without_timing", levels_without_timing())
    CHECK("tuner.rotation", rotation())
    CHECK("tuner.progress", progress_rises())
    CHECK("tuner.deeper_levels", deeper_levels_go_on())
    return check_done();
}
