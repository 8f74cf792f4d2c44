/* The copy kernel on every GPU there is, simulated ones included: what it writes and what it leaves
 * alone; and a bandwidth is refused where the copy did not arrive. */
#include "tests/check.h"
#include "bench/bandwidth.h"
#include "codegen/codegen.h"
#include "runtime/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VECTOR = 16, MOST = 3000, DEVICES = 16 };

struct seat {
    struct iqt_context *ctx;
    struct iqt_device *dev;
    struct iqt_stream *stream;
    struct iqt_mem *from, *to;
    const struct iqt_built *copy;
};

static bool open_seat(const char *spec, struct seat *s)
{
    const struct iqt_context_options options = { .struct_size = sizeof(options),
                                                 .db_path = "" };

    memset(s, 0, sizeof(*s));
    return iqt_context_create(&options, &s->ctx) == IQT_OK &&
           iqt_device_open(s->ctx, spec, &s->dev) == IQT_OK &&
           s->dev->backend->stream_create(s->dev->hw, &s->stream) == IQT_OK &&
           s->dev->backend->alloc(s->dev->hw, MOST * VECTOR, NULL, &s->from) == IQT_OK &&
           s->dev->backend->alloc(s->dev->hw, MOST * VECTOR, NULL, &s->to) == IQT_OK &&
           iqt_helper_get(s->dev, IQT_HELPER_COPY, &s->copy) == IQT_OK;
}

static void close_seat(struct seat *s)
{
    if (s->from != NULL)
        s->dev->backend->free(s->dev->hw, s->from);
    if (s->to != NULL)
        s->dev->backend->free(s->dev->hw, s->to);
    if (s->stream != NULL)
        s->dev->backend->stream_destroy(s->stream);
    iqt_device_close(s->dev);
    iqt_context_destroy(s->ctx);
}

/* ---- The kernel ---------------------------------------------------------------------- */

static enum iqt_status launch(const struct seat *s, uint32_t vectors, uint32_t groups)
{
    const struct iqt_copy_params params = {
        .vectors = vectors, .threads = groups * iqt_helper_threads(IQT_HELPER_COPY)
    };
    const struct iqt_launch l = {
        .kernel = s->copy->kernel,
        .bind = { [IQT_BIND_W] = { .mem = s->from, .bytes = MOST * VECTOR },
                  [IQT_BIND_Y] = { .mem = s->to, .bytes = MOST * VECTOR } },
        .params = &params,
        .params_bytes = sizeof(params),
        .groups = groups,
    };

    IQT_TRY(s->dev->backend->launch(s->stream, &l));
    return s->dev->backend->finish(s->stream, NULL);
}

static void one_copy(const struct seat *s, uint32_t vectors, uint32_t groups)
{
    static uint8_t from[MOST * VECTOR], before[MOST * VECTOR], after[MOST * VECTOR];
    const struct iqt_backend *b = s->dev->backend;
    const size_t moved = (size_t)vectors * VECTOR;

    check_rand_bytes(from, sizeof(from));
    for (size_t i = 0; i < sizeof(from); i++)
        before[i] = (uint8_t)~from[i];
    if (b->write(s->stream, s->from, 0, from, sizeof(from)) != IQT_OK ||
        b->write(s->stream, s->to, 0, before, sizeof(before)) != IQT_OK ||
        launch(s, vectors, groups) != IQT_OK ||
        b->read(s->stream, s->to, 0, after, sizeof(after)) != IQT_OK) {
        check_fail("%u vectors: %s", vectors, iqt_last_error());
        return;
    }
    check_true(memcmp(after, from, moved) == 0, "%u vectors, %u groups: not all arrived",
               vectors, groups);
    check_true(memcmp(after + moved, before + moved, sizeof(from) - moved) == 0,
               "%u vectors, %u groups: more was written", vectors, groups);
}

static void test_kernel(const struct seat *s)
{
    /* Fewer than threads, single steps, steps of four, and a rest of each. */
    static const uint32_t vectors[] = { 1, 255, 256, 257, 1023, 1024, 1025, 2303, MOST };

    for (size_t i = 0; i < IQT_COUNT(vectors); i++) {
        one_copy(s, vectors[i], 1);
        one_copy(s, vectors[i], 3);
    }
}

/* ---- The figure ---------------------------------------------------------------------- */

static enum iqt_status launch_nothing(struct iqt_stream *s, const struct iqt_launch *l)
{
    (void)s;
    (void)l;
    return IQT_OK;
}

static const struct iqt_backend *real;

/* All but the last vector. */
static enum iqt_status launch_less(struct iqt_stream *s, const struct iqt_launch *l)
{
    struct iqt_copy_params params;
    struct iqt_launch less = *l;

    memcpy(&params, l->params, sizeof(params));
    params.vectors--;
    less.params = &params;
    return real->launch(s, &less);
}

static void test_bandwidth(struct seat *s)
{
    struct iqt_bandwidth found = { 0 };
    struct iqt_backend broken = *s->dev->backend;

    s->dev->info.cache_bytes = 1 << 16; /* software drivers are slow: small buffers */
    snprintf(s->dev->info.features, sizeof(s->dev->info.features), "software");
    check_true(iqt_bandwidth_measure(s->dev, &found) == IQT_OK, "%s", iqt_last_error());
    check_true(found.method != NULL && strcmp(found.method, "copy") == 0 &&
                   found.bytes_per_s > 0 && found.bytes > 2 * s->dev->info.cache_bytes,
               "%.3g bytes/s of %llu", found.bytes_per_s,
               (unsigned long long)found.bytes);
    real = s->dev->backend;
    for (int i = 0; i < 2; i++) {
        broken.launch = i == 0 ? launch_nothing : launch_less;
        s->dev->backend = &broken;
        found = (struct iqt_bandwidth){ 0 };
        check_true(iqt_bandwidth_measure(s->dev, &found) == IQT_ERR_INTERNAL &&
                       found.method == NULL,
                   "broken copy %d counted", i);
        s->dev->backend = real;
    }
}

/* ---- Devices ------------------------------------------------------------------------- */

struct specs {
    char spec[DEVICES][32];
    size_t count;
};

static void on_device(void *user, const struct iqt_device_info *info)
{
    struct specs *list = user;

    if (strcmp(info->backend, "cpu") != 0 && list->count < DEVICES)
        memcpy(list->spec[list->count++], info->spec, sizeof(info->spec));
}

static void test_device(const char *spec)
{
    struct seat s;

    if (check_begin("copy.%s", spec)) {
        if (open_seat(spec, &s)) {
            test_kernel(&s);
            test_bandwidth(&s);
        } else {
            check_fail("%s", iqt_last_error());
        }
        close_seat(&s);
        check_end();
    }
}

static void test_cpu(void)
{
    const struct iqt_built *built;
    struct iqt_context *ctx;
    struct iqt_device *dev;

    if (!check_begin("copy.cpu"))
        return;
    if (iqt_context_create(NULL, &ctx) == IQT_OK &&
        iqt_device_open(ctx, "cpu", &dev) == IQT_OK) {
        check_true(iqt_helper_get(dev, IQT_HELPER_COPY, &built) == IQT_ERR_UNSUPPORTED,
                   "a CPU has a copy kernel");
        iqt_device_close(dev);
        iqt_context_destroy(ctx);
    } else {
        check_fail("%s", iqt_last_error());
    }
    check_end();
}

int main(int argc, char **argv)
{
    struct specs list = { 0 };
    struct iqt_context *ctx;

    check_init(argc, argv);
    setenv("IQT_SIM", "cuda,hip", 0);
    if (iqt_context_create(NULL, &ctx) == IQT_OK &&
        iqt_device_list(ctx, on_device, &list) == IQT_OK)
        iqt_context_destroy(ctx);
    test_cpu();
    if (list.count == 0 && check_begin("copy.gpu")) {
        check_skip("vulkan", "no GPU, not even a simulated one");
        check_end();
    }
    for (size_t i = 0; i < list.count; i++)
        test_device(list.spec[i]);
    return check_done();
}
