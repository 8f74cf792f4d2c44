/* Streams, memory and launches of the cuda and hip backends. Every function runs in the device's
 * context and leaves the caller's as it was. */
#include "runtime/gpu_hw.h"

#include <stdlib.h>
#include <string.h>

/* ---- Streams ---- */

static enum iqt_status create(struct iqt_hw *hw, struct iqt_stream *s)
{
    enum { NON_BLOCKING = 1, WITH_TIMING = 0 };

    IQT_GPU_TRY(hw->api, stream_create, &s->stream, NON_BLOCKING);
    IQT_GPU_TRY(hw->api, event_create, &s->start, WITH_TIMING);
    IQT_GPU_TRY(hw->api, event_create, &s->end, WITH_TIMING);
    return IQT_OK;
}

static void destroy(struct iqt_stream *s)
{
    const struct iqt_gpu_api *api = s->hw->api;

    if (s->end != NULL)
        (void)api->event_destroy(s->end);
    if (s->start != NULL)
        (void)api->event_destroy(s->start);
    if (s->stream != NULL)
        (void)api->stream_destroy(s->stream);
}

enum iqt_status iqt_gpu_stream_create(struct iqt_hw *hw, struct iqt_stream **out)
{
    struct iqt_stream *s = calloc(1, sizeof *s);
    enum iqt_status status;
    void *saved;

    if (s == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a stream");
    s->hw = hw;
    status = iqt_gpu_enter(hw, &saved);
    if (status == IQT_OK) {
        status = create(hw, s);
        if (status != IQT_OK)
            destroy(s);
        iqt_gpu_leave(hw, saved);
    }
    if (status == IQT_OK)
        *out = s;
    else
        free(s);
    return status;
}

void iqt_gpu_stream_destroy(struct iqt_stream *s)
{
    void *saved;

    if (s == NULL)
        return;
    if (iqt_gpu_enter_to_release(s->hw, &saved)) {
        (void)s->hw->api->stream_wait(s->stream); /* its memory is about to go */
        destroy(s);
        iqt_gpu_leave(s->hw, saved);
    }
    free(s);
}

/* ---- Memory ---- */

/* The slack behind the asked bytes is read by wide loads and ignored; it is zeroed all the same, so
 * that whatever reads it reads the same on every run. */
static enum iqt_status zero(const struct iqt_hw *hw, uint64_t address, uint64_t bytes)
{
    IQT_GPU_TRY(hw->api, fill_async, address, 0, bytes, hw->stream);
    IQT_GPU_TRY(hw->api, stream_wait, hw->stream);
    return IQT_OK;
}

static enum iqt_status allocate(struct iqt_hw *hw, uint64_t bytes, struct iqt_mem *mem)
{
    const uint64_t whole = iqt_round_up(bytes, 16) + IQT_GPU_SLACK;
    const uint64_t tail = bytes / 16 * 16;
    enum iqt_status status;

    IQT_GPU_TRY(hw->api, alloc, &mem->address, whole);
    pthread_mutex_lock(&hw->stream_lock);
    status = zero(hw, mem->address + tail, whole - tail);
    pthread_mutex_unlock(&hw->stream_lock);
    if (status != IQT_OK)
        (void)hw->api->free(mem->address);
    mem->bytes = whole;
    return status;
}

enum iqt_status iqt_gpu_alloc(struct iqt_hw *hw, uint64_t bytes, const void *host,
                              struct iqt_mem **out)
{
    struct iqt_mem *mem = calloc(1, sizeof *mem);
    enum iqt_status status;
    void *saved;

    (void)host; /* a device has its own memory: the CPU backend alone borrows */
    if (mem == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a buffer");
    status = iqt_gpu_enter(hw, &saved);
    if (status == IQT_OK) {
        status = allocate(hw, bytes, mem);
        iqt_gpu_leave(hw, saved);
    }
    if (status == IQT_OK)
        *out = mem;
    else
        free(mem);
    return status;
}

void iqt_gpu_free(struct iqt_hw *hw, struct iqt_mem *mem)
{
    void *saved;

    if (mem == NULL)
        return;
    if (iqt_gpu_enter_to_release(hw, &saved)) {
        (void)hw->api->free(mem->address);
        iqt_gpu_leave(hw, saved);
    }
    free(mem);
}

/* ---- Copies ---- */

static enum iqt_status write_wait(struct iqt_stream *s, uint64_t to, const void *data,
                                  uint64_t bytes)
{
    const struct iqt_gpu_api *api = s->hw->api;

    IQT_GPU_TRY(api, write_async, to, data, bytes, s->stream);
    IQT_GPU_TRY(api, stream_wait, s->stream);
    return IQT_OK;
}

enum iqt_status iqt_gpu_write(struct iqt_stream *s, struct iqt_mem *mem, uint64_t offset,
                              const void *data, uint64_t bytes)
{
    enum iqt_status status;
    void *saved;

    IQT_TRY(iqt_gpu_enter(s->hw, &saved));
    status = write_wait(s, mem->address + offset, data, bytes);
    iqt_gpu_leave(s->hw, saved);
    return status;
}

static enum iqt_status read_wait(struct iqt_stream *s, uint64_t from, void *data,
                                 uint64_t bytes)
{
    const struct iqt_gpu_api *api = s->hw->api;

    IQT_GPU_TRY(api, read_async, data, from, bytes, s->stream);
    IQT_GPU_TRY(api, stream_wait, s->stream);
    return IQT_OK;
}

enum iqt_status iqt_gpu_read(struct iqt_stream *s, struct iqt_mem *mem, uint64_t offset,
                             void *data, uint64_t bytes)
{
    enum iqt_status status;
    void *saved;

    IQT_TRY(iqt_gpu_enter(s->hw, &saved));
    status = read_wait(s, mem->address + offset, data, bytes);
    iqt_gpu_leave(s->hw, saved);
    return status;
}

/* ---- Launches ---- */

/* Kernels take as many arguments as their text names; the last are for those that cover more. */
static enum iqt_status enqueue(struct iqt_hw *hw, void *stream,
                               const struct iqt_kernel *kernel,
                               uint64_t address[IQT_BINDINGS], const void *params,
                               const void *set, uint32_t groups)
{
    void *args[IQT_BINDINGS + 2];

    if (groups == 0)
        return IQT_OK;
    for (size_t i = 0; i < IQT_BINDINGS; i++)
        args[i < IQT_PLAIN_BINDINGS ? i : i + 1] = &address[i];
    args[IQT_PLAIN_BINDINGS] = (void *)(uintptr_t)params; /* copied by the driver */
    args[IQT_BINDINGS + 1] = (void *)(uintptr_t)set;
    IQT_GPU_TRY(hw->api, launch, kernel->function, groups, 1, 1, kernel->threads, 1, 1, 0,
                stream, args, NULL);
    return IQT_OK;
}

enum iqt_status iqt_gpu_enqueue(struct iqt_hw *hw, void *stream,
                                const struct iqt_kernel *kernel,
                                uint64_t address[IQT_BINDINGS], const void *params,
                                uint32_t groups)
{
    return enqueue(hw, stream, kernel, address, params, NULL, groups);
}

/* struct Job of the emitted text. */
struct job {
    uint64_t w, gate, bias, gate_bias, residual, y;
    uint32_t end;
    struct iqt_params params;
};

enum iqt_status iqt_gpu_enqueue_set(struct iqt_hw *hw, void *stream,
                                    const struct iqt_kernel *kernel,
                                    const struct iqt_gpu_part *part, size_t count)
{
    struct job job[IQT_SET_JOBS] = { { 0 } };
    uint64_t address[IQT_BINDINGS];
    uint32_t groups = 0;

    for (size_t i = 0; i < count; i++) {
        const uint64_t *at = part[i].address;

        groups += part[i].groups;
        job[i] = (struct job){ .w = at[IQT_BIND_W],
                               .gate = at[IQT_BIND_GATE],
                               .bias = at[IQT_BIND_BIAS],
                               .gate_bias = at[IQT_BIND_GATE_BIAS],
                               .residual = at[IQT_BIND_RESIDUAL],
                               .y = at[IQT_BIND_Y],
                               .end = groups / kernel->split,
                               .params = part[i].params };
    }
    memcpy(address, part[0].address, sizeof address);
    return enqueue(hw, stream, kernel, address, &part[0].params, job, groups);
}

static void addresses(const struct iqt_launch *l, uint64_t out[IQT_BINDINGS])
{
    for (size_t i = 0; i < IQT_BINDINGS; i++)
        out[i] = l->bind[i].mem != NULL ? l->bind[i].mem->address + l->bind[i].offset : 0;
}

static enum iqt_status begin(struct iqt_stream *s)
{
    if (!s->timed)
        IQT_GPU_TRY(s->hw->api, event_record, s->start, s->stream);
    s->timed = true;
    return IQT_OK;
}

static enum iqt_status launch(struct iqt_stream *s, const struct iqt_launch *l,
                              size_t count)
{
    struct iqt_gpu_part part[IQT_SET_JOBS];

    IQT_TRY(begin(s));
    for (size_t i = 0; i < count; i++) {
        addresses(&l[i], part[i].address);
        part[i].groups = l[i].groups;
        if (count > 1)
            memcpy(&part[i].params, l[i].params, sizeof part[i].params);
    }
    if (count > 1)
        return iqt_gpu_enqueue_set(s->hw, s->stream, l->kernel, part, count);
    return iqt_gpu_enqueue(s->hw, s->stream, l->kernel, part[0].address, l->params,
                           l->groups);
}

static enum iqt_status launch_in_context(struct iqt_stream *s, const struct iqt_launch *l,
                                         size_t count)
{
    enum iqt_status status;
    void *saved;

    IQT_TRY(iqt_gpu_enter(s->hw, &saved));
    status = launch(s, l, count);
    iqt_gpu_leave(s->hw, saved);
    if (status != IQT_OK)
        s->timed = false; /* the next call's time begins anew */
    return status;
}

enum iqt_status iqt_gpu_launch(struct iqt_stream *s, const struct iqt_launch *l)
{
    return launch_in_context(s, l, 1);
}

enum iqt_status iqt_gpu_launch_set(struct iqt_stream *s, const struct iqt_launch *l,
                                   size_t count)
{
    return launch_in_context(s, l, count);
}

static enum iqt_status finish(struct iqt_stream *s, uint64_t *elapsed_ns)
{
    const struct iqt_gpu_api *api = s->hw->api;
    const bool timed = s->timed;
    float milliseconds = 0;

    s->timed = false;
    if (timed)
        IQT_GPU_TRY(api, event_record, s->end, s->stream);
    IQT_GPU_TRY(api, stream_wait, s->stream);
    if (timed && elapsed_ns != NULL)
        IQT_GPU_TRY(api, event_elapsed, &milliseconds, s->start, s->end);
    if (elapsed_ns != NULL)
        *elapsed_ns = (uint64_t)(1e6 * (double)milliseconds);
    return IQT_OK;
}

enum iqt_status iqt_gpu_finish(struct iqt_stream *s, uint64_t *elapsed_ns)
{
    enum iqt_status status;
    void *saved;

    IQT_TRY(iqt_gpu_enter(s->hw, &saved));
    status = finish(s, elapsed_ns);
    iqt_gpu_leave(s->hw, saved);
    return status;
}

/* Kernels index with 32 bits; the last vector of a load must not wrap. */
uint64_t iqt_gpu_max_binding(struct iqt_hw *hw, uint32_t *offset_align)
{
    (void)hw;
    *offset_align = 16;
    return UINT32_MAX - 255;
}
