/* Every call of a driver and its compiler fails once, in turn: a clear status that names the call, or
 * the right numbers in spite of it; nothing leaks, and the next use works. */
#include "tests/gpu_case.h"

enum { M = 13, K = 256, N = 2 };

/* Errors that both APIs share; compilers have small numbers of their own. */
static const struct {
    const char *name;
    int error;
} kinds[] = { { "out-of-memory", 2 }, { "launch-failed", 719 }, { "unknown", 999 } };

struct scenario {
    struct gpu_api *g;
    const char *spec;
    struct problem p;
    float product[N * M], recorded[N * M];
};

static enum iqt_status record(struct scenario *s, struct iqt_queue *q,
                              struct iqt_matrix *w, struct iqt_gpu_recorder *r)
{
    const struct iqt_backend *backend = q->dev->backend;
    struct iqt_mem *x = NULL, *y = NULL;
    enum iqt_status status = backend->alloc(q->dev->hw, N * K * sizeof(float), NULL, &x);

    if (status == IQT_OK)
        status = backend->alloc(q->dev->hw, N * M * sizeof(float), NULL, &y);
    for (uint32_t i = 0; i < N && status == IQT_OK; i++)
        status = backend->write(q->stream, x, i * K * sizeof(float),
                                s->p.x.at + i * s->p.x_stride, K * sizeof(float));
    if (status == IQT_OK) {
        const struct iqt_gpu_product p = { .struct_size = sizeof p,
                                           .w = w,
                                           .y = y->address };

        status = iqt_gpu_record(r, q->stream->stream, x->address, 0, N, &p, 1);
    }
    if (status == IQT_OK)
        status = backend->finish(q->stream, NULL);
    if (status == IQT_OK)
        status = backend->read(q->stream, y, 0, s->recorded, sizeof s->recorded);
    backend->free(q->dev->hw, y);
    backend->free(q->dev->hw, x);
    return status;
}

static enum iqt_status use_matrix(struct scenario *s, struct iqt_queue *q,
                                  struct iqt_matrix *w)
{
    const struct iqt_product p = { .struct_size = sizeof p, .w = w, .y = s->product };
    struct iqt_gpu_recorder *r = NULL;
    enum iqt_status status;
    uint64_t ns;

    IQT_TRY(iqt_prepare(q->dev, w, 1));
    IQT_TRY(iqt_product_run(q, s->p.x.at, s->p.x_stride, N, &p, 1, NULL, &ns));
    IQT_TRY(iqt_gpu_recorder_create(q->dev, N, K, &r));
    status = record(s, q, w, r);
    iqt_gpu_recorder_destroy(r);
    return status;
}

static enum iqt_status use_device(struct scenario *s, struct iqt_device *dev)
{
    struct iqt_queue *q = NULL;
    struct iqt_matrix *w = NULL;
    enum iqt_status status;

    IQT_TRY(iqt_queue_create(dev, &q));
    status = iqt_matrix_upload(dev, s->p.f, M, K, s->p.bytes, s->p.size,
                               IQT_LAYOUT_PACKED, &w);
    if (status == IQT_OK)
        status = use_matrix(s, q, w);
    iqt_matrix_destroy(w);
    iqt_queue_destroy(q);
    return status;
}

/* From nothing to numbers and back. Without a cache: every kernel is compiled. */
static enum iqt_status run(struct scenario *s)
{
    static const struct iqt_context_options options = { .struct_size = sizeof options,
                                                        .db_path = "",
                                                        .cache_dir = "" };
    struct iqt_context *ctx = NULL;
    struct iqt_device *dev = NULL;
    enum iqt_status status;

    memset(s->product, 0xff, sizeof s->product);
    memset(s->recorded, 0xff, sizeof s->recorded);
    IQT_TRY(iqt_context_create(&options, &ctx));
    status = iqt_device_open(ctx, s->spec, &dev);
    if (status == IQT_OK)
        status = use_device(s, dev);
    iqt_device_close(dev);
    iqt_context_destroy(ctx);
    return status;
}

static void compare(const struct scenario *s)
{
    problem_compare(&s->p, s->product, M, N, 0, M);
    problem_compare(&s->p, s->recorded, M, N, 0, M);
}

static void must_work(struct scenario *s, const char *when)
{
    if (run(s) == IQT_OK)
        compare(s);
    else
        check_fail("%s: %s", when, iqt_last_error());
}

/* ---- One fault ---- */

static bool is_restoring(const char *call)
{
    return strcmp(call, "cuCtxPopCurrent_v2") == 0 || strcmp(call, "hipSetDevice") == 0;
}

static void same_objects(struct gpu_api *g, const struct iqt_sim_live *before,
                         const char *call)
{
    const struct iqt_sim_live now = g->live();

    check_true(memcmp(before, &now, sizeof now) == 0,
               "%s: leaked %d contexts, %d streams, %d events, %d modules, "
               "%d allocations, %d programs",
               call, (int)(now.contexts - before->contexts),
               (int)(now.streams - before->streams), (int)(now.events - before->events),
               (int)(now.modules - before->modules),
               (int)(now.allocations - before->allocations),
               (int)(now.programs - before->programs));
}

/* The text has the call and the error. A device lost while the caller's context is put back, which
 * has no status, shows at the next call. */
static void names_fault(const char *call, int error, enum iqt_status status)
{
    const char *text = iqt_last_error();
    char number[16];

    snprintf(number, sizeof number, "%d", error);
    check_true(strstr(text, call) != NULL || (error > 700 && is_restoring(call)),
               "%s, error %d: the text is %s: %s", call, error, iqt_status_name(status),
               text);
    check_true(strstr(text, number) != NULL, "%s: no %d in '%s'", call, error, text);
    check_true(error != 2 || strstr(call, "amd_comgr") != NULL ||
                   strstr(call, "nvrtc") != NULL || status == IQT_ERR_NO_MEMORY ||
                   status == IQT_ERR_NO_DRIVER || status == IQT_ERR_DEVICE,
               "%s: out of memory is %s", call, iqt_status_name(status));
}

/* The nth call from now fails; false when there are fewer. *call: its name. */
static bool one_fault(struct scenario *s, uint32_t nth, int error, const char **call)
{
    struct gpu_api *g = s->g;
    const struct iqt_sim_live before = g->live();
    void *const current = gpu_current(g);
    enum iqt_status status;

    g->calls_reset();
    g->set_fault("", nth, error);
    status = run(s);
    g->set_fault("", 0, 0);
    *call = g->call_name(nth - 1);
    if (*call == NULL)
        return false;
    if (status == IQT_OK)
        compare(s);
    else
        names_fault(*call, error, status);
    same_objects(g, &before, *call);
    check_true(gpu_current(g) == current, "%s: another context is current", *call);
    return true;
}

/* ---- All of them ---- */

struct seen {
    const char *name[256];
    size_t count;
};

static bool has(const struct seen *seen, const char *name)
{
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->name[i], name) == 0)
            return true;
    return false;
}

/* Loading a driver is remembered, its failures are not: the first sweep fails each of its calls in
 * turn, too, before the device has ever worked. */
static void sweep(struct scenario *s, int error, struct seen *seen, size_t *faults)
{
    const char *call;

    for (uint32_t nth = 1; one_fault(s, nth, error, &call); nth++) {
        ++*faults;
        if (!has(seen, call) && seen->count < IQT_COUNT(seen->name))
            seen->name[seen->count++] = call;
        if (nth % 16 == 0 || error == 719)
            must_work(s, call);
    }
    must_work(s, "after all faults");
}

static void check_faults(struct gpu_api *g, struct seen *seen)
{
    struct scenario s = { .g = g, .spec = g->first };

    for (size_t i = 0; i < IQT_COUNT(kinds); i++) {
        size_t faults = 0;

        if (!check_begin("gpu.fault.%s.%s", g->name, kinds[i].name))
            continue;
        s.p = problem_new(iqt_format_find("iq4_ks"), M, K);
        sweep(&s, kinds[i].error, seen, &faults);
        fprintf(stderr, "%s: each of %zu calls failed once: %s\n", g->name, faults,
                kinds[i].name);
        check_true(faults > 60, "only %zu calls", faults);
        problem_free(&s.p);
        check_end();
    }
}

/* No function of the table is left out of the sweeps. */
static void check_all_seen(const struct gpu_api *g, const struct seen *seen)
{
    if (seen->count == 0 || !check_begin("gpu.fault.%s.all", g->name))
        return;
    for (size_t i = 0; i < GPU_FUNCTIONS; i++)
        check_true(has(seen, g->driver->symbols[i]), "%s never failed",
                   g->driver->symbols[i]);
    check_true(has(seen, g->compile), "%s never failed", g->compile);
    check_end();
}

int main(int argc, char **argv)
{
    check_init(argc, argv);
    for (size_t i = 0; i < IQT_COUNT(gpu_apis); i++) {
        struct seen seen = { .count = 0 };

        if (!gpu_open(&gpu_apis[i]))
            continue;
        check_faults(&gpu_apis[i], &seen);
        check_all_seen(&gpu_apis[i], &seen);
    }
    return check_done();
}
