/* Devices and queues: naming, listing, opening. Knows no driver; asks the backends' tables. */
#include "runtime/runtime.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers the devices of one backend on their way to the caller. */
struct scan {
    const struct iqt_backend *backend;
    iqt_device_fn fn; /* NULL: only count */
    void *user;
    uint32_t count;
};

static void on_device(void *user, const struct iqt_device_info *found)
{
    struct scan *s = user;
    struct iqt_device_info info = *found;

    snprintf(info.backend, sizeof info.backend, "%s", s->backend->name);
    snprintf(info.spec, sizeof info.spec, "%.15s:%u", s->backend->name, s->count);
    s->count++;
    if (s->fn)
        s->fn(s->user, &info);
}

static enum iqt_status scan_backend(struct iqt_context *ctx, struct scan *s)
{
    const struct iqt_backend_options opt = iqt_context_options_of(ctx);

    IQT_TRY(s->backend->scan(&opt, on_device, s));
    if (s->count == 0)
        return iqt_fail(IQT_ERR_NO_DRIVER, "backend %s has no device", s->backend->name);
    return IQT_OK;
}

/* A missing or broken driver leaves the other backends usable; the caller's own mistakes, such
 * as a wrong IQT_CPU, do not pass silently. */
static bool is_absence(enum iqt_status status)
{
    return status == IQT_ERR_NO_DRIVER || status == IQT_ERR_DEVICE;
}

enum iqt_status iqt_device_list(struct iqt_context *ctx, iqt_device_fn fn, void *user)
{
    if (!ctx || !fn)
        return iqt_fail(IQT_ERR_ARG, "iqt_device_list: %s is NULL", ctx ? "fn" : "ctx");
    for (size_t i = 0; iqt_backends[i]; i++) {
        struct scan s = { .backend = iqt_backends[i], .fn = fn, .user = user };
        const enum iqt_status status = scan_backend(ctx, &s);

        if (status != IQT_OK && !is_absence(status))
            return status;
    }
    return IQT_OK;
}

static enum iqt_status fail_backend(const char *name, size_t length)
{
    struct iqt_buf known = { 0 };
    enum iqt_status status;

    for (size_t i = 0; iqt_backends[i]; i++)
        iqt_buf_printf(&known, "%s%s", i ? ", " : "", iqt_backends[i]->name);
    status = iqt_fail(IQT_ERR_UNKNOWN, "unknown backend '%.*s'; backends are: %s",
                      (int)length, name, iqt_buf_text(&known));
    iqt_buf_free(&known);
    return status;
}

static enum iqt_status find_backend(const char *name, size_t length, size_t *index)
{
    for (size_t i = 0; iqt_backends[i]; i++)
        if (strlen(iqt_backends[i]->name) == length &&
            strncmp(iqt_backends[i]->name, name, length) == 0) {
            *index = i;
            return IQT_OK;
        }
    return fail_backend(name, length);
}

enum iqt_status iqt_backend_reason(struct iqt_context *ctx, const char *backend,
                                   const char **why)
{
    size_t index = 0;

    if (!ctx || !backend || !why)
        return iqt_fail(IQT_ERR_ARG, "iqt_backend_reason: an argument is NULL");
    IQT_TRY(find_backend(backend, strlen(backend), &index));
    assert(index < IQT_MAX_BACKENDS);
    pthread_mutex_lock(&ctx->lock);
    if (!ctx->reason_known[index]) {
        struct scan s = { .backend = iqt_backends[index] };

        if (scan_backend(ctx, &s) != IQT_OK)
            snprintf(ctx->reason[index], IQT_REASON_BYTES, "%s", iqt_last_error());
        ctx->reason_known[index] = true; /* and never rewritten: callers hold the text */
    }
    pthread_mutex_unlock(&ctx->lock);
    *why = ctx->reason[index];
    return IQT_OK;
}

/* "backend" or "backend:index" with a decimal index. */
static enum iqt_status parse_spec(const char *spec, size_t *backend, uint32_t *index)
{
    const size_t length = strcspn(spec, ":");
    const char *digits = spec + length + 1;
    uint32_t value = 0;

    IQT_TRY(find_backend(spec, length, backend));
    if (spec[length] == ':') {
        if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits) ||
            strlen(digits) > 4)
            return iqt_fail(
                IQT_ERR_UNKNOWN,
                "device '%s': expected backend:index with a small decimal index", spec);
        value = (uint32_t)strtoul(digits, NULL, 10);
    }
    *index = value;
    return IQT_OK;
}

static enum iqt_status find_device(struct iqt_context *ctx, const char *spec,
                                   const struct iqt_backend **backend, uint32_t *index)
{
    size_t at = 0;
    struct scan s = { 0 };

    IQT_TRY(parse_spec(spec, &at, index));
    s.backend = iqt_backends[at];
    IQT_TRY(scan_backend(ctx, &s));
    if (*index >= s.count)
        return iqt_fail(IQT_ERR_UNKNOWN,
                        "unknown device '%s'; devices are: %s:0 .. %s:%u", spec,
                        s.backend->name, s.backend->name, s.count - 1);
    *backend = s.backend;
    return IQT_OK;
}

/* The first device that is not a software driver; such a driver runs the CPU's own cores, slower
 * than the CPU backend does. */
struct pick {
    char spec[sizeof(((struct iqt_device_info *)0)->spec)];
    bool software;
};

static void pick_device(void *user, const struct iqt_device_info *info)
{
    struct pick *p = user;
    const bool software = strstr(info->features, "software") != NULL;

    if (p->spec[0] != '\0' && !(p->software && !software))
        return;
    memcpy(p->spec, info->spec, sizeof p->spec);
    p->software = software;
}

static enum iqt_status start_device(struct iqt_device *dev, uint32_t index)
{
    const struct iqt_backend_options opt = iqt_context_options_of(dev->ctx);
    enum iqt_status status;

    IQT_TRY(dev->backend->open(&opt, index, &dev->info, &dev->limits, &dev->hw));
    status = dev->backend->stream_create(dev->hw, &dev->upload);
    if (status != IQT_OK) {
        dev->backend->close(dev->hw);
        return status;
    }
    dev->max_binding = dev->backend->max_binding(dev->hw, &dev->offset_align);
    if (dev->offset_align <
        16) /* kernels load 16 bytes at a time from a binding's start */
        dev->offset_align = 16;
    snprintf(dev->info.backend, sizeof dev->info.backend, "%s", dev->backend->name);
    snprintf(dev->info.spec, sizeof dev->info.spec, "%.15s:%u", dev->backend->name,
             index);
    pthread_mutex_init(&dev->lock, NULL);
    pthread_mutex_init(&dev->upload_lock, NULL);
    return IQT_OK;
}

enum iqt_status iqt_device_open(struct iqt_context *ctx, const char *spec,
                                struct iqt_device **out)
{
    const struct iqt_backend *backend = NULL;
    struct iqt_device *dev;
    struct pick first = { .spec = "" };
    enum iqt_status status;
    uint32_t index = 0;

    if (!ctx || !out)
        return iqt_fail(IQT_ERR_ARG, "iqt_device_open: %s is NULL", ctx ? "out" : "ctx");
    if (!spec)
        IQT_TRY(iqt_device_list(ctx, pick_device, &first));
    IQT_TRY(find_device(ctx, spec ? spec : first.spec, &backend, &index));
    dev = calloc(1, sizeof *dev);
    if (!dev)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a device");
    dev->ctx = ctx;
    dev->backend = backend;
    status = start_device(dev, index);
    if (status != IQT_OK) {
        free(dev);
        return status;
    }
    *out = dev;
    return IQT_OK;
}

void iqt_device_close(struct iqt_device *dev)
{
    if (!dev)
        return;
    iqt_plans_free(dev);
    dev->backend->stream_destroy(dev->upload);
    dev->backend->close(dev->hw);
    pthread_mutex_destroy(&dev->lock);
    pthread_mutex_destroy(&dev->upload_lock);
    free(dev);
}

bool iqt_device_simulated(const struct iqt_device_info *info)
{
    return strstr(info->features, "simulated") != NULL;
}

const char *iqt_device_label(const struct iqt_device_info *info,
                             char out[IQT_LABEL_BYTES])
{
    snprintf(out, IQT_LABEL_BYTES, "%s%s", info->spec,
             iqt_device_simulated(info) ? " simulated" : "");
    return out;
}

const struct iqt_device_info *iqt_device_describe(const struct iqt_device *dev)
{
    return &dev->info;
}

enum iqt_status iqt_queue_create(struct iqt_device *dev, struct iqt_queue **out)
{
    struct iqt_queue *q;
    enum iqt_status status;

    if (!dev || !out)
        return iqt_fail(IQT_ERR_ARG, "iqt_queue_create: %s is NULL", dev ? "out" : "dev");
    q = calloc(1, sizeof *q);
    if (!q)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a queue");
    q->dev = dev;
    status = dev->backend->stream_create(dev->hw, &q->stream);
    if (status != IQT_OK) {
        free(q);
        return status;
    }
    *out = q;
    return IQT_OK;
}

void iqt_queue_destroy(struct iqt_queue *q)
{
    if (!q)
        return;
    if (q->scratch)
        q->dev->backend->free(q->dev->hw, q->scratch);
    q->dev->backend->stream_destroy(q->stream);
    free(q->stage);
    free(q->pass);
    free(q);
}
