/* Bandwidth of a GPU: its copy kernel on two buffers. Decides their size, fills them so that a pass
 * that copies nothing shows, times the passes. */
#include "bench/bandwidth.h"
#include "codegen/codegen.h"
#include "runtime/runtime.h"

#include <stdlib.h>
#include <string.h>

enum { VECTOR = 16, CHUNK_WORDS = 1 << 19, GROUPS_A_UNIT = 16, GROUPS_UNKNOWN = 1024 };

/* On a GPU a pass must last long against the start of a kernel. A simulated device moves bytes a
 * thousand times slower, and its figure means nothing anyway. */
static const uint64_t gpu_bytes = 256 << 20, simulated_bytes = 1 << 18;

struct copy {
    struct iqt_device *dev;
    const struct iqt_built *kernel;
    struct iqt_stream *stream;
    struct iqt_mem *from, *to;
    uint64_t bytes; /* of each buffer */
    uint64_t seed;  /* of the noise: what an earlier copy left behind is not the same */
    uint64_t *chunk;
};

static bool has_feature(const struct iqt_device *dev, const char *word)
{
    return strstr(dev->info.features, word) != NULL;
}

static uint64_t size_of(const struct iqt_device *dev)
{
    uint64_t bytes = iqt_bandwidth_span(dev->info.cache_bytes) / 2;

    if (has_feature(dev, "simulated"))
        bytes = simulated_bytes;
    else if (!has_feature(dev, "software") && bytes < gpu_bytes)
        bytes = gpu_bytes;
    if (dev->info.memory_bytes > 0 && bytes > dev->info.memory_bytes / 8)
        bytes = dev->info.memory_bytes / 8;
    if (bytes > dev->max_binding)
        bytes = dev->max_binding;
    return bytes / VECTOR * VECTOR;
}

/* ---- Contents ------------------------------------------------------------------------ */

/* Words that differ from their neighbours, and in every byte from flipped ones. */
static void make_noise(const struct copy *c, uint64_t at, size_t words, uint64_t flip)
{
    for (size_t i = 0; i < words; i++) {
        const uint64_t x = c->seed + at / sizeof(uint64_t) + i;

        c->chunk[i] = (x * 0x9e3779b97f4a7c15u ^ x >> 29) ^ flip;
    }
}

static size_t chunk_words(const struct copy *c, uint64_t at)
{
    const uint64_t left = (c->bytes - at) / sizeof(uint64_t);

    return left < CHUNK_WORDS ? left : CHUNK_WORDS;
}

static enum iqt_status fill(const struct copy *c, struct iqt_mem *mem, uint64_t flip)
{
    for (uint64_t at = 0, bytes; at < c->bytes; at += bytes) {
        bytes = chunk_words(c, at) * sizeof(uint64_t);
        make_noise(c, at, bytes / sizeof(uint64_t), flip);
        IQT_TRY(c->dev->backend->write(c->stream, mem, at, c->chunk, bytes));
    }
    return IQT_OK;
}

static enum iqt_status verify(const struct copy *c)
{
    uint64_t *got = c->chunk + CHUNK_WORDS;

    for (uint64_t at = 0, bytes; at < c->bytes; at += bytes) {
        bytes = chunk_words(c, at) * sizeof(uint64_t);
        IQT_TRY(c->dev->backend->read(c->stream, c->to, at, got, bytes));
        make_noise(c, at, bytes / sizeof(uint64_t), 0);
        for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
            if (got[i] != c->chunk[i])
                return iqt_fail(
                    IQT_ERR_INTERNAL,
                    "copy on %s: byte %llu of %llu did not arrive, no bandwidth measured",
                    c->dev->info.spec, (unsigned long long)(at + i * sizeof(uint64_t)),
                    (unsigned long long)c->bytes);
    }
    return IQT_OK;
}

/* ---- Passes -------------------------------------------------------------------------- */

static enum iqt_status pass(const struct copy *c, uint64_t *ns)
{
    const uint32_t units = c->dev->info.compute_units;
    const uint32_t groups = units > 0 ? units * GROUPS_A_UNIT : GROUPS_UNKNOWN;
    const struct iqt_copy_params params = {
        .vectors = (uint32_t)(c->bytes / VECTOR),
        .threads = groups * iqt_helper_threads(IQT_HELPER_COPY),
    };
    const struct iqt_launch launch = {
        .kernel = c->kernel->kernel,
        .bind = { [IQT_BIND_W] = { .mem = c->from, .bytes = c->bytes },
                  [IQT_BIND_Y] = { .mem = c->to, .bytes = c->bytes } },
        .params = &params,
        .params_bytes = sizeof(params),
        .groups = groups,
    };

    IQT_TRY(c->dev->backend->launch(c->stream, &launch));
    return c->dev->backend->finish(c->stream, ns);
}

static enum iqt_status open_copy(struct copy *c)
{
    const struct iqt_backend *backend = c->dev->backend;

    c->bytes = size_of(c->dev);
    c->seed = iqt_now_ns();
    c->chunk = malloc(2 * CHUNK_WORDS * sizeof(*c->chunk));
    if (c->chunk == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory to check a copy with");
    IQT_TRY(iqt_helper_get(c->dev, IQT_HELPER_COPY, &c->kernel));
    IQT_TRY(backend->stream_create(c->dev->hw, &c->stream));
    IQT_TRY(backend->alloc(c->dev->hw, c->bytes, NULL, &c->from));
    return backend->alloc(c->dev->hw, c->bytes, NULL, &c->to);
}

static void close_copy(struct copy *c)
{
    const struct iqt_backend *backend = c->dev->backend;

    if (c->from != NULL)
        backend->free(c->dev->hw, c->from);
    if (c->to != NULL)
        backend->free(c->dev->hw, c->to);
    if (c->stream != NULL)
        backend->stream_destroy(c->stream);
    free(c->chunk);
}

enum iqt_status iqt_bandwidth_copy(struct iqt_device *dev, struct iqt_bandwidth *out)
{
    struct copy c = { .dev = dev };
    uint64_t ns[IQT_BANDWIDTH_PASSES];
    enum iqt_status status = open_copy(&c);

    if (status == IQT_OK)
        status = fill(&c, c.from, 0);
    if (status == IQT_OK)
        status = fill(&c, c.to, UINT64_MAX);
    if (status == IQT_OK)
        status = pass(&c, &ns[0]); /* warm */
    for (int i = 0; i < IQT_BANDWIDTH_PASSES && status == IQT_OK; i++)
        status = pass(&c, &ns[i]);
    if (status == IQT_OK)
        status = verify(&c);
    if (status == IQT_OK)
        iqt_bandwidth_summary(ns, 2 * c.bytes, "copy", out);
    close_copy(&c);
    return status;
}
