/* The Vulkan backend as a device: the list, copies with and without staging, the clock, streams on
 * several threads, limits, and what an absent driver looks like. */
#include "tests/vulkan_case.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 12 };

/* ---- The list ---- */

static void check_list(const struct found *found)
{
    if (!check_begin("list"))
        return;
    if (found_any(found)) {
        for (uint32_t i = 0; i < found->count; i++) {
            const struct iqt_device_info *d = &found->info[i];

            check_true(d->name[0] != '\0' && d->driver[0] != '\0' && d->arch[0] != '\0' &&
                           d->memory_bytes > 0,
                       "%s: '%s' '%s' '%s' %llu bytes", d->spec, d->name, d->driver,
                       d->arch, (unsigned long long)d->memory_bytes);
            check_true(strlen(d->id) == 32 && strspn(d->id, "0123456789abcdef") == 32,
                       "%s: id '%s' is no UUID", d->spec, d->id);
            check_true(d->subgroup_min >= 1 && d->subgroup_max >= d->subgroup_min,
                       "%s: subgroups of %u to %u", d->spec, d->subgroup_min,
                       d->subgroup_max);
        }
    }
    check_end();
}

static const char *const driver_variables[] = { "VK_DRIVER_FILES", "VK_ICD_FILENAMES" };

/* A loader without drivers. */
static void check_no_driver(void)
{
    char *saved[IQT_COUNT(driver_variables)];
    struct found none = { .count = 0 };
    const struct iqt_backend_options options = { .cache_dir = "" };

    if (!check_begin("no_driver"))
        return;
    for (size_t i = 0; i < IQT_COUNT(driver_variables); i++) {
        const char *value = getenv(driver_variables[i]);

        saved[i] = value != NULL ? strdup(value) : NULL;
        setenv(driver_variables[i], "/nonexistent/icd.json", 1);
    }
    none.status = vulkan->scan(&options, found_add, &none);
    check_true(none.status == IQT_ERR_NO_DRIVER && none.count == 0,
               "%s, %u devices; expected IQT_ERR_NO_DRIVER", iqt_status_name(none.status),
               none.count);
    check_true(strstr(iqt_last_error(), "no device") != NULL ||
                   strstr(iqt_last_error(), "not found") != NULL,
               "the reason is '%s'", iqt_last_error());
    for (size_t i = 0; i < IQT_COUNT(driver_variables); i++) {
        if (saved[i] != NULL)
            setenv(driver_variables[i], saved[i], 1);
        else
            unsetenv(driver_variables[i]);
        free(saved[i]);
    }
    check_end();
}

static void check_wrong_index(const struct found *found)
{
    struct bench b;
    enum iqt_status status;

    if (!check_begin("wrong_index"))
        return;
    status = bench_open(&b, found->count, "");
    check_true(status == IQT_ERR_UNKNOWN && b.hw == NULL,
               "vulkan:%u: %s, expected IQT_ERR_UNKNOWN", found->count,
               iqt_status_name(status));
    check_end();
}

/* ---- Copies and clock ---- */

static void copy_both_ways(struct bench *b, bool staged)
{
    enum { BYTES = 9 * 1024 * 1024 + 5, AT = 3 };
    uint8_t *in = malloc(BYTES), *out = calloc(1, BYTES);
    struct iqt_mem *mem = NULL;

    if (in != NULL && out != NULL) {
        check_rand_bytes(in, BYTES);
        if (ok(vulkan->alloc(b->hw, AT + BYTES, NULL, &mem), "alloc") &&
            ok(vulkan->write(b->stream, mem, AT, in, BYTES), "write") &&
            ok(vulkan->write(b->stream, mem, AT, NULL, 0), "write nothing") &&
            ok(vulkan->read(b->stream, mem, AT, out, BYTES), "read"))
            check_true(memcmp(in, out, BYTES) == 0, "%d bytes came back changed", BYTES);
        check_true(mem == NULL || !staged || mem->map == NULL,
                   "IQT_VULKAN_STAGING=1, but memory is mapped");
    }
    vulkan->free(b->hw, mem);
    free(in);
    free(out);
}

static void check_copies(const struct found *found, uint32_t index, bool staged)
{
    const struct iqt_plan plan = any_plan();
    struct bench b;

    if (!check_begin("copies.vulkan:%u.%s", index, staged ? "staged" : "plain"))
        return;
    setenv("IQT_VULKAN_STAGING", staged ? "1" : "0", 1);
    if (ok(bench_open(&b, index, ""), "open")) {
        copy_both_ways(&b, staged);
        run_plan(&b, &plan, ROWS, COLS, NULL);
        check_true(!found->validated || atomic_load(&b.hw->vk->messages) == 0,
                   "%u messages of the validation layer",
                   atomic_load(&b.hw->vk->messages));
    }
    bench_close(&b);
    unsetenv("IQT_VULKAN_STAGING");
    check_end();
}

static void check_clock(const struct bench *b)
{
    const struct iqt_plan plan = any_plan();
    uint64_t ns = 0, idle = 1;

    if (!check_begin("clock.%s", b->info.spec))
        return;
    run_plan(b, &plan, ROWS, COLS, &ns);
    check_true(ns > 0 && ns < 60000000000u, "two launches took %llu ns",
               (unsigned long long)ns);
    ok(vulkan->finish(b->stream, &idle), "finish");
    check_true(idle == 0, "no launch took %llu ns", (unsigned long long)idle);
    check_end();
}

/* ---- Many launches, many streams ---- */

/* More launches in one batch than the first block of descriptor sets holds. */
static void check_long_batch(const struct bench *b)
{
    const struct iqt_plan plan = any_plan();
    struct problem p = {
        .format = plan.format, .layout = plan.layout, .m = ROWS, .k = COLS
    };
    struct iqt_kernel *kernel = NULL;

    if (!check_begin("long_batch.%s", b->info.spec))
        return;
    p.n = 1;
    if (ok(vulkan->build(b->hw, &plan, &kernel), "build") &&
        ok(problem_make(&p, b), "make")) {
        for (uint32_t i = 0; i < 150; i++)
            ok(launch_quantize(&p, b, b->stream), "launch");
        /* write() comes after them in the stream, and then everything once more */
        if (ok(problem_run(&p, b, b->stream, &plan, kernel, NULL), "run"))
            problem_compare(&p, &plan);
    }
    vulkan->drop(b->hw, kernel);
    problem_free(&p, b->hw);
    check_end();
}

struct worker {
    const struct bench *b;
    const struct iqt_plan *plan;
    struct iqt_kernel *kernel;
    struct problem p;
    float expected[ROWS];
    pthread_t thread;
    char why[256]; /* "" : all right */
};

static enum iqt_status work(struct worker *w, struct iqt_stream *stream)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        IQT_TRY(problem_run(&w->p, w->b, stream, w->plan, w->kernel, NULL));
        if (memcmp(w->p.y, w->expected, sizeof(w->expected)) != 0)
            return iqt_fail(IQT_ERR_DEVICE, "round %u gave other bits", i);
    }
    return IQT_OK;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct iqt_stream *stream = NULL;
    enum iqt_status status = vulkan->stream_create(w->b->hw, &stream);

    if (status == IQT_OK)
        status = work(w, stream);
    vulkan->stream_destroy(stream);
    snprintf(w->why, sizeof(w->why), "%s", status == IQT_OK ? "" : iqt_last_error());
    return NULL;
}

static bool worker_make(struct worker *w)
{
    w->p = (struct problem){ .format = w->plan->format, .layout = w->plan->layout };
    w->p.m = ROWS;
    w->p.k = COLS;
    w->p.n = 1;
    if (!ok(problem_make(&w->p, w->b), "make") ||
        !ok(problem_run(&w->p, w->b, w->b->stream, w->plan, w->kernel, NULL), "run"))
        return false;
    memcpy(w->expected, w->p.y, sizeof(w->expected));
    return true;
}

static void run_workers(struct worker w[THREADS])
{
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_create(&w[i].thread, NULL, worker_main, &w[i]);
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(w[i].thread, NULL);
        check_true(w[i].why[0] == '\0', "thread %u: %s", i, w[i].why);
    }
}

/* Streams of one device on several threads, each with its own problem. */
static void check_threads(const struct bench *b)
{
    const struct iqt_plan plan = any_plan();
    struct iqt_kernel *kernel = NULL;
    struct worker w[THREADS] = { 0 };
    bool ready;

    if (!check_begin("threads.%s", b->info.spec))
        return;
    ready = ok(vulkan->build(b->hw, &plan, &kernel), "build");
    for (uint32_t i = 0; i < THREADS; i++) {
        w[i].b = b;
        w[i].plan = &plan;
        w[i].kernel = kernel;
        ready = ready && worker_make(&w[i]);
    }
    if (ready)
        run_workers(w);
    for (uint32_t i = 0; i < THREADS; i++)
        problem_free(&w[i].p, b->hw);
    vulkan->drop(b->hw, kernel);
    check_end();
}

/* ---- Limits ---- */

static void check_limits(const struct bench *b)
{
    const uint64_t sizes[] = { b->hw->gpu.max_allocation + 1, UINT64_MAX,
                               UINT64_MAX - 31 };
    uint32_t align = 0;
    const uint64_t most = vulkan->max_binding(b->hw, &align);

    if (!check_begin("limits.%s", b->info.spec))
        return;
    check_true(b->limits.max_threads >= 64 && b->limits.shared_bytes >= 4096,
               "%u threads, %u bytes shared", b->limits.max_threads,
               b->limits.shared_bytes);
    check_true(align >= 16 && (align & (align - 1)) == 0 && most % align == 0 &&
                   most >= 1 << 20,
               "binding of %llu bytes, aligned to %u", (unsigned long long)most, align);
    for (size_t i = 0; i < IQT_COUNT(sizes); i++) {
        struct iqt_mem *mem = NULL;
        const enum iqt_status status = vulkan->alloc(b->hw, sizes[i], NULL, &mem);

        check_true(status == IQT_ERR_NO_MEMORY && mem == NULL,
                   "%llu bytes: %s, expected IQT_ERR_NO_MEMORY",
                   (unsigned long long)sizes[i], iqt_status_name(status));
    }
    check_end();
}

static void check_silence(const struct bench *b)
{
    if (!check_begin("silence.%s", b->info.spec))
        return;
    check_true(atomic_load(&b->hw->vk->messages) == 0,
               "%u messages of the validation layer, see above",
               atomic_load(&b->hw->vk->messages));
    check_end();
}

static void check_device(const struct found *found, uint32_t index)
{
    struct bench b;

    check_copies(found, index, false);
    check_copies(found, index, true);
    if (bench_open(&b, index, "") == IQT_OK) {
        check_clock(&b);
        check_long_batch(&b);
        check_threads(&b);
        check_limits(&b);
        if (found->validated)
            check_silence(&b);
    } else if (check_begin("open.vulkan:%u", index)) {
        check_fail("open: %s", iqt_last_error());
        check_end();
    }
    bench_close(&b);
}

int main(int argc, char **argv)
{
    struct found found;

    check_init(argc, argv);
    found_scan(&found);
    check_list(&found);
    check_no_driver();
    if (found.count > 0)
        check_wrong_index(&found);
    for (uint32_t i = 0; i < found.count; i++)
        check_device(&found, i);
    return check_done();
}
