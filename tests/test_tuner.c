/* The search under a fake clock: who wins, what is refused, what time it takes. */
#include "tests/tuner_world.h"

#include <math.h>

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

/* Default and rival are faster than all others; the rival leads by so much. */
static void no_harm(double advantage, double jitter, bool replaces)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq4_ks", 1, 4096, 1 << 20);
    struct world *w = new_world();
    char name[IQT_PLAN_NAME_BYTES];

    plant(w, &job, IQT_LAYOUT_PACKED, 1, name);
    default_name(&job, IQT_LAYOUT_PACKED, w->fallback[IQT_LAYOUT_PACKED]);
    w->default_ns = 60e3;
    w->fast_ns = w->default_ns * (1 - advantage);
    w->jitter = jitter;
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    const struct iqt_tune_result *r = result_of(w, &job, IQT_LAYOUT_PACKED);
    const char *expected = replaces ? name : w->fallback[IQT_LAYOUT_PACKED];
    check_true(r && r->source == IQT_TUNED_TIMED && is_plan(&r->plan, expected),
               "a rival %.1f %% faster %s", advantage * 100,
               replaces ? "did not replace the default" : "replaced the default");
    check_true(!r || r->default_ns == w->default_ns, "the default took %g",
               r->default_ns);
    free(w);
}

static void default_stays(void)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq3_k", 4, 4096, 1 << 20);
    struct world *w = new_world();

    w->default_ns = 50e3;
    for (uint32_t l = 0; l < IQT_LAYOUTS; l++)
        default_name(&job, (enum iqt_layout)l, w->fallback[l]);
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    for (uint32_t l = 0; l < IQT_LAYOUTS; l++) {
        const struct iqt_tune_result *r = result_of(w, &job, (enum iqt_layout)l);

        check_true(r && is_plan(&r->plan, w->fallback[l]), "the default did not stay");
        check_true(r && r->ns == r->default_ns && r->ns > 0, "its gain is not 1.0");
    }
    free(w);
}

/* For about one round the machine is slower or faster: wherever that starts, the round does not
 * count, and the result is as without. */
static void drift_discards(double factor)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq4_k", 1, 4096, 1 << 20);
    struct world *calm = new_world();
    char name[IQT_PLAN_NAME_BYTES];

    plant(calm, &job, IQT_LAYOUT_PACKED, 3, name);
    check_true(tune(calm, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    for (uint32_t at = 0; at < 30; at += 3) {
        struct world *w = new_world();

        strcpy(w->fastest, name);
        w->drift = factor;
        w->drift_at = calm->last_first + 10 + at; /* in the first rounds: all take part */
        w->drift_calls = 30;
        check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
        check_true(w->measured > w->drift_at, "only %u batches: nothing drifted",
                   w->measured);
        const struct iqt_tune_result *r = result_of(w, &job, IQT_LAYOUT_PACKED);
        check_true(r && is_plan(&r->plan, name), "drift at %u flipped the winner", at);
        check_true(r && fabs(r->ns / w->fast_ns - 1) < 1e-3 && r->spread_ns < 1,
                   "drift at %u counted: %g ns, spread %g", at, r ? r->ns : 0,
                   r ? r->spread_ns : 0);
        free(w);
    }
    free(calm);
}

/* The machine gets slower and slower: no decision, and nothing that claims one. */
static void chaos_decides_nothing(void)
{
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    const struct iqt_tune_job job = job_of("iq4_k", 1, 4096, 1 << 20);
    struct world *w = new_world();
    char fallback[IQT_PLAN_NAME_BYTES];

    w->growth = 0.5; /* the first rounds are 28 batches long */
    check_true(tune(w, &job, 1, &o) == IQT_OK, "%s", iqt_last_error());
    default_name(&job, IQT_LAYOUT_PACKED, fallback);
    const struct iqt_tune_result *r = result_of(w, &job, IQT_LAYOUT_PACKED);
    check_true(r && r->source == IQT_TUNED_UNSTEADY && is_plan(&r->plan, fallback),
               "times that never repeat gave a decision");
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

/* Every job has the same result in both worlds. */
static void same_results(const struct world *a, const struct world *b,
                         const struct iqt_tune_job *jobs, size_t count)
{
    char name[IQT_PLAN_NAME_BYTES];

    for (size_t i = 0; i < count * IQT_LAYOUTS; i++) {
        const enum iqt_layout layout = (enum iqt_layout)(i % IQT_LAYOUTS);
        const struct iqt_tune_result *x = result_of(a, &jobs[i / IQT_LAYOUTS], layout);
        const struct iqt_tune_result *y = result_of(b, &jobs[i / IQT_LAYOUTS], layout);

        if (!x || !y) {
            check_fail("job %zu has no result", i / IQT_LAYOUTS);
            continue;
        }
        iqt_plan_name(&x->plan, name);
        check_true(is_plan(&y->plan, name) && x->ns == y->ns, "job %zu differs from %s",
                   i / IQT_LAYOUTS, name);
    }
}

static size_t count_timed(const struct world *w)
{
    size_t count = 0;

    for (size_t i = 0; i < w->results; i++)
        count += w->result[i].source == IQT_TUNED_TIMED;
    return count;
}

/* Interrupted anywhere, then run again: what was recorded is not run a second time. */
static void resume_gives_the_same(void)
{
    enum { JOBS = 6, STOPS = 8 };
    const struct iqt_tune_options o = { .level = IQT_TUNE_QUICK };
    struct iqt_tune_job jobs[9];
    struct world *whole = new_world();

    make_jobs(jobs);
    check_true(tune(whole, jobs, JOBS, &o) == IQT_OK, "%s", iqt_last_error());
    for (uint32_t i = 0; i < STOPS; i++) {
        struct world *w = new_world();

        w->stop_at = i == 0 ? whole->polls : 1 + check_rand() % whole->polls;
        check_true(tune(w, jobs, JOBS, &o) == IQT_ERR_INTERRUPTED,
                   "not stopped at %u of %u", w->stop_at, whole->polls);
        const size_t done = count_timed(w);
        check_true(done < 2 * JOBS && (i > 0 || done >= 2 * JOBS - 2),
                   "%zu results before the stop at %u of %u", done, w->stop_at,
                   whole->polls);
        w->stop_at = 0;
        check_true(tune(w, jobs, JOBS, &o) == IQT_OK, "%s", iqt_last_error());
        check_true(count_timed(w) == 2 * JOBS, "%zu timed results, %zu before",
                   count_timed(w), done);
        same_results(whole, w, jobs, JOBS);
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
    CHECK("tuner.no_harm.within_spread", no_harm(0.08, 0.40, false))
    CHECK("tuner.no_harm.clear_gain", no_harm(0.10, 0, true))
    CHECK("tuner.no_harm.default_fastest", default_stays())
    CHECK("tuner.drift_discards_rounds.slower", drift_discards(3))
    CHECK("tuner.drift_discards_rounds.faster", drift_discards(0.4))
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
