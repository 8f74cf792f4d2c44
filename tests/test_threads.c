/* The thread rules of iqtile.h: devices and matrices are shared, each thread has its queue.
 * Results must be those of one thread, bit for bit, whoever builds the kernels first. */
#include "tests/problem.h"

enum { THREADS = 4, ROUNDS = 3, M = 131, MATRICES = 4, N = IQT_MAX_COLS };

static const uint32_t columns[] = { 1, 2, 5, N };
enum { COLUMNS = IQT_COUNT(columns) };
static const char *const formats[MATRICES] = { "iq4_ks", "iq2_kl", "iq3_kt", "f16" };

struct shared {
    struct target *t;
    struct problem p[MATRICES];
    struct iqt_matrix *w[MATRICES];
    float want[MATRICES][COLUMNS][N * M];
};

struct worker {
    struct shared *s;
    pthread_t thread;
    size_t number, wrong, failed;
    char why[256];
};

static enum iqt_status run_one(struct iqt_queue *q, const struct shared *s, size_t i,
                               uint32_t n, float *y)
{
    const struct iqt_product product = { .struct_size = sizeof product,
                                         .w = s->w[i],
                                         .y = y };

    return iqt_matvec(q, s->p[i].x.at, s->p[i].x_stride, n, &product, 1);
}

/* Every matrix and number of columns, each thread from another start; its own uploads in between. */
static void work(struct worker *w, struct iqt_queue *q)
{
    const struct shared *s = w->s;
    float y[N * M];

    for (size_t step = 0; step < ROUNDS * MATRICES * COLUMNS; step++) {
        const size_t at = step + w->number * 17, i = at % MATRICES;
        const size_t column = at / MATRICES % COLUMNS;
        const uint32_t n = columns[column];
        struct iqt_matrix *own = NULL;

        if (run_one(q, s, i, n, y) != IQT_OK) {
            snprintf(w->why, sizeof w->why, "%s", iqt_last_error());
            w->failed++;
        } else {
            w->wrong += memcmp(y, s->want[i][column], n * M * sizeof(float)) != 0;
        }
        if (step % 7)
            continue;
        if (iqt_matrix_upload(s->t->dev, s->p[i].f, M, s->p[i].k, s->p[i].bytes,
                              s->p[i].size, IQT_LAYOUT_PACKED, &own) != IQT_OK)
            w->failed++;
        else
            iqt_matrix_destroy(own);
    }
}

static void *run_worker(void *user)
{
    struct worker *w = user;
    struct iqt_queue *q = NULL;

    if (iqt_queue_create(w->s->t->dev, &q) != IQT_OK)
        w->failed++;
    else
        work(w, q);
    iqt_queue_destroy(q);
    return NULL;
}

static void run_workers(struct shared *s)
{
    struct worker w[THREADS] = { 0 };

    for (size_t i = 0; i < THREADS; i++) {
        w[i].s = s;
        w[i].number = i;
        if (pthread_create(&w[i].thread, NULL, run_worker, &w[i]) != 0)
            abort();
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(w[i].thread, NULL);
        check_true(w[i].failed == 0, "thread %zu: %zu calls failed: %s", i, w[i].failed,
                   w[i].why);
        check_true(w[i].wrong == 0, "thread %zu: %zu results have other bits", i,
                   w[i].wrong);
    }
}

/* The results of one thread, from another device: the workers' one starts without kernels. */
static void run_alone(struct shared *s, struct target *alone)
{
    for (size_t i = 0; i < MATRICES; i++) {
        struct iqt_matrix *w = problem_upload(&s->p[i], alone, IQT_LAYOUT_PACKED);

        for (size_t c = 0; w && c < COLUMNS; c++) {
            const struct iqt_product product = { .struct_size = sizeof product,
                                                 .w = w,
                                                 .y = s->want[i][c] };

            if (problem_run(&s->p[i], alone, columns[c], &product, NULL))
                problem_compare(&s->p[i], s->want[i][c], M, columns[c], 0, M);
        }
        iqt_matrix_destroy(w);
    }
}

static void test_target(struct target *t)
{
    struct shared *s;
    struct targets alone = { .count = 0 };

    if (!check_begin("threads.%s", t->name))
        return;
    s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->t = t;
    if (strncmp(t->name, "cpu", 3) == 0)
        setenv("IQT_CPU", t->dev->info.arch, 1);
    if (!target_open(&alone, t->dev->info.spec, "alone"))
        check_fail("a second device: %s", iqt_last_error());
    unsetenv("IQT_CPU");
    for (size_t i = 0; alone.count && i < MATRICES; i++) {
        s->p[i] = problem_new(iqt_format_find(formats[i]), M, 256);
        s->w[i] = problem_upload(&s->p[i], t, IQT_LAYOUT_PACKED);
    }
    if (alone.count) {
        run_alone(s, &alone.at[0]);
        run_workers(s);
    }
    for (size_t i = 0; i < MATRICES; i++) {
        iqt_matrix_destroy(s->w[i]);
        problem_free(&s->p[i]);
    }
    targets_close(&alone);
    free(s);
    check_end();
}

/* ---- Contexts at once ---- */

static void *open_and_close(void *user)
{
    size_t *failed = user;
    struct targets own = { .count = 0 };

    for (uint32_t i = 0; i < ROUNDS; i++) {
        *failed += !target_open(&own, "cpu", "own");
        targets_close(&own);
        own.count = 0;
    }
    return NULL;
}

static void test_contexts(void)
{
    pthread_t thread[THREADS];
    size_t failed[THREADS] = { 0 };

    if (!check_begin("threads.contexts"))
        return;
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, open_and_close, &failed[i]) != 0)
            abort();
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        check_true(failed[i] == 0, "thread %zu could not open the CPU", i);
    }
    check_end();
}

/* The text of a failure belongs to its thread. */
static void *fail_elsewhere(void *user)
{
    struct iqt_context *ctx = user;
    struct iqt_device *dev = NULL;

    if (iqt_device_open(ctx, "elsewhere", &dev) == IQT_OK)
        iqt_device_close(dev);
    return NULL;
}

static void test_errors(void)
{
    struct iqt_context *ctx = NULL;
    struct iqt_device *dev = NULL;
    pthread_t thread;

    if (!check_begin("threads.errors"))
        return;
    if (iqt_context_create(NULL, &ctx) != IQT_OK)
        abort();
    check_true(iqt_device_open(ctx, "here", &dev) == IQT_ERR_UNKNOWN, "opened 'here'");
    if (pthread_create(&thread, NULL, fail_elsewhere, ctx) != 0)
        abort();
    pthread_join(thread, NULL);
    check_true(strstr(iqt_last_error(), "'here'") != NULL, "another thread's text: %s",
               iqt_last_error());
    iqt_context_destroy(ctx);
    check_end();
}

int main(int argc, char **argv)
{
    struct targets all;

    check_init(argc, argv);
    test_errors();
    test_contexts();
    targets_open(&all);
    for (size_t i = 0; i < all.count; i++)
        test_target(&all.at[i]);
    targets_close(&all);
    return check_done();
}
