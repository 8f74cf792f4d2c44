/* Tuning meets devices: trials that tell right from wrong, workers that die, and plans that come
 * from the database or do not. The program is its own worker: TEST --worker MODE. */
#include "tests/check.h"
#include "runtime/tune_trial.h"
#include "runtime/tune_worker.h"
#include "runtime/tuned.h"
#include "runtime/verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/iqt-test-tuned-XXXXXX";
static char db_path[64];

/* ---- The worker's side --------------------------------------------------------------- */

static void answer(const char *validity)
{
    printf("{\"status\": 0, \"validity\": \"%s\", \"text\": \"planted\", \"ns\": 1000}\n",
           validity);
    fflush(stdout);
}

/* Loads like a good worker, then does what its mode says. */
static int misbehave(const char *mode)
{
    char line[4096];

    while (fgets(line, sizeof line, stdin)) {
        if (strstr(line, "\"load\""))
            answer("correct");
        else if (strcmp(mode, "crash") == 0)
            abort();
        else if (strcmp(mode, "exit") == 0)
            _exit(3);
        else if (strcmp(mode, "hang") == 0)
            pause();
        else if (strcmp(mode, "babble") == 0)
            printf("hello\n"), fflush(stdout);
        else if (strcmp(mode, "half") == 0)
            printf("{\"status\": 0}\n"), fflush(stdout);
        else
            answer("correctness");
    }
    return 0;
}

static int worker_main(const char *mode)
{
    if (strcmp(mode, "serve") == 0)
        return iqt_worker_serve() == IQT_OK ? 0 : 1;
    return misbehave(mode);
}

/* ---- Devices and weights ------------------------------------------------------------- */

struct place {
    struct iqt_context *ctx;
    struct iqt_device *dev;
};

static bool open_place(const char *spec, const char *db, struct place *p)
{
    const struct iqt_context_options options = {
        .struct_size = sizeof options, .db_path = db, .cache_dir = "", .cpu_threads = 1
    };
    enum iqt_status status = iqt_context_create(&options, &p->ctx);

    if (status != IQT_OK)
        abort();
    status = iqt_device_open(p->ctx, spec, &p->dev);
    if (status == IQT_OK)
        return true;
    if (status == IQT_ERR_NO_DRIVER)
        check_skip(spec, "%s", iqt_last_error());
    else
        check_fail("%s: %s", spec, iqt_last_error());
    iqt_context_destroy(p->ctx);
    return false;
}

static void close_place(struct place *p)
{
    iqt_device_close(p->dev);
    iqt_context_destroy(p->ctx);
}

static struct iqt_tune_job job_of(const char *format, enum iqt_op op, uint32_t n,
                                  size_t m, size_t k)
{
    return (struct iqt_tune_job){
        .format = iqt_format_find(format), .op = op, .n = n, .m = m, .k = k, .bytes = 1
    };
}

static uint8_t *weights_of(const struct iqt_tune_job *job, size_t *bytes)
{
    struct iqt_rng rng = { .state = check_seed() };
    size_t row_bytes = 0;

    if (iqt_format_row_bytes(job->format, job->k, &row_bytes) != IQT_OK)
        abort();
    uint8_t *rows = malloc(job->m * row_bytes);
    if (!rows)
        abort();
    iqt_random_rows(job->format, job->k, job->m, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN,
                    &rng, rows);
    *bytes = job->m * row_bytes;
    return rows;
}

/* ---- Trials -------------------------------------------------------------------------- */

/* Defaults verify and are timed; with weights that changed behind their back they do not. */
static void trial(struct iqt_device *dev, const struct iqt_tune_job *job,
                  enum iqt_layout layout)
{
    const struct iqt_plan plan = iqt_plan_default_for(
        &dev->limits, job->format, dev->backend->dialect, job->op, job->n, layout);
    struct iqt_trial *t = NULL;
    enum iqt_validity verdict = IQT_VALID_RUNTIME;
    uint64_t ns = 0;
    size_t bytes;
    uint8_t *rows = weights_of(job, &bytes);

    check_true(iqt_trial_create(dev, &t) == IQT_OK &&
                   iqt_trial_load(t, job, rows) == IQT_OK,
               "load: %s", iqt_last_error());
    check_true(iqt_trial_verify(t, &plan, &verdict) == IQT_OK &&
                   verdict == IQT_VALID_CORRECT,
               "%s: %s", iqt_validity_name(verdict), iqt_last_error());
    for (uint32_t rotate = 0; rotate < 2; rotate++)
        check_true(iqt_trial_measure(t, &plan, 2, rotate != 0, &ns, &verdict) == IQT_OK &&
                       verdict == IQT_VALID_CORRECT && ns > 0,
                   "measure: %s, %llu ns", iqt_validity_name(verdict),
                   (unsigned long long)ns);
    /* The model knows the old bytes, the device gets the new ones. */
    check_true(iqt_trial_load(t, job, rows) == IQT_OK, "load: %s", iqt_last_error());
    /* A gate far below zero hides what it multiplies: one row may look right by chance. */
    const size_t wrong = job->op == IQT_OP_GATED ? 20 : 1;
    for (size_t i = (job->m - wrong) * (bytes / job->m); i < bytes; i++)
        rows[i] ^= 0x11;
    check_true(iqt_trial_verify(t, &plan, &verdict) == IQT_OK &&
                   verdict == IQT_VALID_CORRECTNESS,
               "wrong last rows are %s", iqt_validity_name(verdict));
    iqt_trial_destroy(t);
    free(rows);
}

static void run_trials(const char *spec)
{
    static const char *const formats[] = { "iq4_ks", "iq3_k", "iq2_kl", "iq1_kt",
                                           "q6_k" };

    for (size_t f = 0; f < IQT_COUNT(formats); f++)
        for (uint32_t l = 0; l < IQT_LAYOUTS; l++) {
            struct place p;

            if (!check_begin("tuned.trial.%s.%s.%s", spec, formats[f],
                             l == IQT_LAYOUT_PACKED ? "packed" : "native"))
                continue;
            if (open_place(spec, "", &p)) {
                const struct iqt_tune_job one =
                    job_of(formats[f], IQT_OP_MATVEC, 1, 200, 512);
                const struct iqt_tune_job three =
                    job_of(formats[f], f % 2 ? IQT_OP_MATVEC : IQT_OP_GATED, 3, 37, 768);

                trial(p.dev, &one, (enum iqt_layout)l);
                trial(p.dev, &three, (enum iqt_layout)l);
                close_place(&p);
            }
            check_end();
        }
}

/* ---- Workers ------------------------------------------------------------------------- */

static const char *worker_argv[] = { "/proc/self/exe", "--worker", "serve", NULL };

static struct iqt_worker *new_worker(const char *mode, const char *device,
                                     bool (*stop)(void *), const struct iqt_tune_job *job,
                                     const void *rows)
{
    const struct iqt_worker_options options = {
        .argv = worker_argv,
        .device = device,
        .backend = { .cache_dir = "" },
        /* A hang must be noticed soon, an honest worker on a busy machine must not be. */
        .timeout_ns = strcmp(mode, "hang") == 0 && !stop ? 300000000u : 60000000000u,
        .stop = stop,
    };
    struct iqt_worker *w = NULL;

    worker_argv[2] = mode;
    check_true(iqt_worker_create(&options, &w) == IQT_OK, "create: %s", iqt_last_error());
    if (!w)
        abort();
    check_true(iqt_worker_load(w, job, rows) == IQT_OK, "load: %s", iqt_last_error());
    return w;
}

static void honest_worker(const char *spec)
{
    const struct iqt_tune_job job = job_of("iq4_ks", IQT_OP_MATVEC, 2, 150, 1024);
    size_t bytes;
    uint8_t *rows = weights_of(&job, &bytes);
    struct place p;

    if (open_place(spec, "", &p)) {
        struct iqt_worker *w = new_worker("serve", spec, NULL, &job, rows);
        struct iqt_plan plan =
            iqt_plan_default_for(&p.dev->limits, job.format, p.dev->backend->dialect,
                                 job.op, 2, IQT_LAYOUT_PACKED);
        enum iqt_validity verdict = IQT_VALID_RUNTIME;
        uint64_t ns = 0;

        check_true(iqt_worker_verify(w, &plan, &verdict) == IQT_OK &&
                       verdict == IQT_VALID_CORRECT,
                   "verify: %s, %s", iqt_validity_name(verdict), iqt_last_error());
        check_true(iqt_worker_measure(w, &plan, 3, true, &ns, &verdict) == IQT_OK &&
                       verdict == IQT_VALID_CORRECT && ns > 0,
                   "measure: %s, %llu ns", iqt_validity_name(verdict),
                   (unsigned long long)ns);
        plan.span = 7;
        check_true(iqt_worker_verify(w, &plan, &verdict) == IQT_OK &&
                       verdict == IQT_VALID_CONSTRAINTS,
                   "an illegal plan is %s", iqt_validity_name(verdict));
        iqt_worker_destroy(w);
        close_place(&p);
    }
    free(rows);
}

/* Each misbehaviour becomes a verdict, twice: the worker is replaced in between. */
static void bad_worker(const char *mode, enum iqt_validity expected, const char *reason)
{
    const struct iqt_tune_job job = job_of("iq4_ks", IQT_OP_MATVEC, 1, 64, 256);
    const struct iqt_plan plan =
        iqt_plan_default(job.format, IQT_DIALECT_GLSL, job.op, 1, IQT_LAYOUT_PACKED);
    size_t bytes;
    uint8_t *rows = weights_of(&job, &bytes);
    struct iqt_worker *w = new_worker(mode, "cpu", NULL, &job, rows);

    for (uint32_t i = 0; i < 2; i++) {
        enum iqt_validity verdict = IQT_VALID_CORRECT;
        uint64_t ns = 1;
        const enum iqt_status status =
            i == 0 ? iqt_worker_verify(w, &plan, &verdict)
                   : iqt_worker_measure(w, &plan, 1, false, &ns, &verdict);

        check_true(status == IQT_OK, "%s: %s", iqt_status_name(status), iqt_last_error());
        check_true(verdict == expected, "verdict %s", iqt_validity_name(verdict));
        check_true(strstr(iqt_last_error(), reason), "said '%s'", iqt_last_error());
    }
    iqt_worker_destroy(w);
    free(rows);
}

/* What makes no sense is a fault of iqtile, not of the plan: the tuning ends. */
static void senseless_worker(const char *mode)
{
    const struct iqt_tune_job job = job_of("iq4_ks", IQT_OP_MATVEC, 1, 64, 256);
    const struct iqt_plan plan =
        iqt_plan_default(job.format, IQT_DIALECT_GLSL, job.op, 1, IQT_LAYOUT_PACKED);
    enum iqt_validity verdict = IQT_VALID_CORRECT;
    size_t bytes;
    uint8_t *rows = weights_of(&job, &bytes);
    struct iqt_worker *w = new_worker(mode, "cpu", NULL, &job, rows);

    check_true(iqt_worker_verify(w, &plan, &verdict) == IQT_ERR_INTERNAL,
               "it was believed");
    iqt_worker_destroy(w);
    free(rows);
}

static bool stop_now(void *user)
{
    (void)user;
    return true;
}

static void interrupted_worker(void)
{
    const struct iqt_tune_job job = job_of("iq4_ks", IQT_OP_MATVEC, 1, 64, 256);
    const struct iqt_plan plan =
        iqt_plan_default(job.format, IQT_DIALECT_GLSL, job.op, 1, IQT_LAYOUT_PACKED);
    enum iqt_validity verdict = IQT_VALID_CORRECT;
    size_t bytes;
    uint8_t *rows = weights_of(&job, &bytes);
    struct iqt_worker *w = new_worker("hang", "cpu", stop_now, &job, rows);

    check_true(iqt_worker_verify(w, &plan, &verdict) == IQT_ERR_INTERRUPTED,
               "not stopped");
    iqt_worker_destroy(w);
    free(rows);
}

/* ---- Plans from the database --------------------------------------------------------- */

/* The plan that a product of the job would use; "" on failure. */
static void plan_used(const char *db, const struct iqt_tune_job *job, char *out)
{
    size_t bytes;
    uint8_t *rows = weights_of(job, &bytes);
    struct iqt_matrix *w = NULL;
    const char *name = "";
    struct place p;

    out[0] = '\0';
    if (open_place("cpu", db, &p)) {
        check_true(iqt_matrix_upload(p.dev, job->format, job->m, job->k, rows, bytes,
                                     IQT_LAYOUT_PACKED, &w) == IQT_OK &&
                       iqt_plan_used(p.dev, w, false, job->n, &name) == IQT_OK,
                   "%s", iqt_last_error());
        snprintf(out, IQT_PLAN_NAME_BYTES, "%s", name);
        iqt_matrix_destroy(w);
        close_place(&p);
    }
    free(rows);
}

/* An embedded plan that is not the default. */
static struct iqt_plan other_plan(const struct iqt_tune_job *job)
{
    const size_t total = iqt_plan_embedded(IQT_DIALECT_HOST, NULL, 0);
    struct iqt_plan *all = calloc(total, sizeof *all), plan = { 0 };
    const struct iqt_plan usual = iqt_plan_default(job->format, IQT_DIALECT_HOST, job->op,
                                                   job->n, IQT_LAYOUT_PACKED);

    if (!all)
        abort();
    iqt_plan_embedded(IQT_DIALECT_HOST, all, total);
    for (size_t i = 0; i < total; i++)
        if (all[i].format == job->format && all[i].op == job->op && all[i].n >= job->n &&
            all[i].layout == IQT_LAYOUT_PACKED &&
            (all[i].rows_thread != usual.rows_thread || all[i].n != usual.n))
            plan = all[i];
    free(all);
    return plan;
}

static void database_plans(void)
{
    const struct iqt_tune_job job = job_of("iq4_ks", IQT_OP_MATVEC, 1, 300, 512);
    const struct iqt_plan plan = other_plan(&job);
    char usual[IQT_PLAN_NAME_BYTES], wanted[IQT_PLAN_NAME_BYTES],
        got[IQT_PLAN_NAME_BYTES];
    struct iqt_db_entry e = { .n = 1, .m = job.m, .k = job.k, .ns = 1, .samples = 1 };
    struct iqt_db *db = NULL;
    struct place p;

    unlink(db_path);
    plan_used("", &job, usual);
    plan_used(db_path, &job, got);
    check_true(strcmp(usual, got) == 0, "a missing file gave %s, not %s", got, usual);
    check_true(access(db_path, F_OK) != 0, "looking for plans made a file");
    if (!open_place("cpu", db_path, &p))
        return;
    iqt_plan_name(&plan, wanted);
    strcpy(e.plan, wanted);
    iqt_tuned_device(iqt_device_describe(p.dev), &e.device);
    check_true(iqt_tuned_open(p.ctx, true, &db) == IQT_OK &&
                   iqt_db_store(db, &e) == IQT_OK,
               "store: %s", iqt_last_error());
    iqt_db_close(db);
    close_place(&p);
    plan_used(db_path, &job, got);
    check_true(strcmp(wanted, got) == 0, "stored %s, used %s", wanted, got);
    /* Damaged: correct, with built-in plans. */
    const int file = open(db_path, O_WRONLY);
    check_true(pwrite(file, "garbage garbage garbage", 23, 0) == 23, "cannot damage it");
    close(file);
    plan_used(db_path, &job, got);
    check_true(strcmp(usual, got) == 0, "a damaged file gave %s, not %s", got, usual);
}

/* ---- A device ------------------------------------------------------------------------ */

struct tuning {
    const uint8_t *rows;
    size_t results, failures, timed, reused;
};

static enum iqt_status weights(void *user, size_t index, const void **rows)
{
    (void)index;
    *rows = ((struct tuning *)user)->rows;
    return IQT_OK;
}

static void report(void *user, const struct iqt_tune_result *r)
{
    struct tuning *t = user;

    t->results += r->source != IQT_TUNED_FAILED;
    t->failures += r->source == IQT_TUNED_FAILED;
    t->timed += r->source == IQT_TUNED_TIMED;
    t->reused += r->source == IQT_TUNED_REUSED;
    check_true(r->source != IQT_TUNED_FAILED || r->validity == IQT_VALID_CONSTRAINTS,
               "a plan failed with %s: %s", iqt_validity_name(r->validity), r->reason);
}

static void tune_device(const char *spec)
{
    const struct iqt_tune_job job = job_of("iq4_ks", IQT_OP_MATVEC, 1, 256, 512);
    struct tuning t = { 0 };
    const struct iqt_tune_device_options options = {
        .level = IQT_TUNE_QUICK,
        .budget_ns = 2000000000u,
        .worker = worker_argv,
        .user = &t,
        .weights = weights,
        .report = report,
    };
    size_t bytes;
    uint8_t *rows = weights_of(&job, &bytes);
    struct place p;

    t.rows = rows;
    worker_argv[2] = "serve";
    unlink(db_path);
    if (open_place(spec, db_path, &p)) {
        check_true(iqt_tune_device(p.dev, &job, 1, &options) == IQT_OK, "%s",
                   iqt_last_error());
        check_true(t.results == IQT_LAYOUTS, "%zu results", t.results);
        /* A busy machine may leave results unsteady; what was timed is not timed again. */
        const size_t timed = t.timed;
        check_true(iqt_tune_device(p.dev, &job, 1, &options) == IQT_OK, "%s",
                   iqt_last_error());
        check_true(t.results == 2 * IQT_LAYOUTS && t.reused == timed,
                   "%zu timed, %zu reused", timed, t.reused);
        close_place(&p);
    }
    free(rows);
}

static void damaged_database(void)
{
    const struct iqt_tune_job job = job_of("iq4_ks", IQT_OP_MATVEC, 1, 256, 512);
    const struct iqt_tune_device_options options = { .level = IQT_TUNE_QUICK };
    struct place p;

    check_true(iqt_file_replace(db_path, "no database, by far no database", 31) == IQT_OK,
               "write");
    if (open_place("cpu", db_path, &p)) {
        check_true(iqt_tune_device(p.dev, &job, 1, &options) == IQT_ERR_DB,
                   "tuning went on without a database");
        close_place(&p);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--worker") == 0)
        return worker_main(argv[2]);
    check_init(argc, argv);
    if (!mkdtemp(folder))
        return 1;
    snprintf(db_path, sizeof db_path, "%s/tuned.db", folder);
    run_trials("cpu");
    run_trials("vulkan");
#define CHECK(name, ...)     \
    if (check_begin(name)) { \
        __VA_ARGS__;         \
        check_end();         \
    }
    CHECK("tuned.worker.honest.cpu", honest_worker("cpu"))
    CHECK("tuned.worker.honest.vulkan", honest_worker("vulkan"))
    CHECK("tuned.worker.crash", bad_worker("crash", IQT_VALID_RUNTIME, "Aborted"))
    CHECK("tuned.worker.exit", bad_worker("exit", IQT_VALID_RUNTIME, "code 3"))
    CHECK("tuned.worker.hang", bad_worker("hang", IQT_VALID_TIMEOUT, "no answer"))
    CHECK("tuned.worker.wrong", bad_worker("wrong", IQT_VALID_CORRECTNESS, "planted"))
    CHECK("tuned.worker.babble", senseless_worker("babble"))
    CHECK("tuned.worker.half", senseless_worker("half"))
    CHECK("tuned.worker.interrupted", interrupted_worker())
    CHECK("tuned.database_plans", database_plans())
    CHECK("tuned.device.cpu", tune_device("cpu"))
    CHECK("tuned.device.vulkan", tune_device("vulkan"))
    CHECK("tuned.damaged_database", damaged_database())
    unlink(db_path);
    rmdir(folder);
    return check_done();
}
