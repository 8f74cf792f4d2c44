/* libcuda's functions, as far as the cuda backend and its tests call them. */
#include "sim/driver.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

const char *const sim::default_devices = "sm_90,sm_75";

namespace
{

thread_local std::vector<sim::Context *> stack;
bool started;

/* Context of the calls that need one. */
int enter(sim::Context **out)
{
    *out = stack.empty() ? nullptr : stack.back();
    if (*out == nullptr || (*out)->references == 0)
        return sim::INVALID_CONTEXT;
    return (*out)->broken;
}

int release_primary(int i)
{
    sim::Context *c = sim::primary(i);

    if (c == nullptr)
        return sim::INVALID_DEVICE;
    if (c->references == 0)
        return sim::INVALID_CONTEXT;
    if (--c->references == 0)
        sim_count(SIM_CONTEXT, -1);
    return sim::SUCCESS;
}

/* Also in a broken context: what is cleaned up must not leak here. */
int free_memory(uint64_t address)
{
    sim::Context *c = sim::current();

    return c == nullptr ? static_cast<int>(sim::INVALID_CONTEXT)
                        : sim::release(c, address);
}

const sim::Device *device(int i)
{
    return i >= 0 && static_cast<size_t>(i) < sim::devices().size()
               ? &sim::devices()[static_cast<size_t>(i)]
               : nullptr;
}

} // namespace

sim::Context *sim::current()
{
    return stack.empty() ? nullptr : stack.back();
}

#define API extern "C" IQT_SIM_API int
#define DEVICE(i)                     \
    SIM_CALL();                       \
    const sim::Device *d = device(i); \
    if (!started)                     \
        return sim::NOT_INITIALIZED;  \
    if (d == nullptr)                 \
    return sim::INVALID_DEVICE
#define CONTEXT()                    \
    SIM_CALL();                      \
    sim::Context *c;                 \
    {                                \
        const int wrong = enter(&c); \
        if (wrong != 0)              \
            return wrong;            \
    }

API cuInit(unsigned flags)
{
    SIM_CALL();
    (void)flags;
    if (sim::devices().empty())
        return sim::NO_DEVICE;
    started = true;
    return sim::SUCCESS;
}

API cuDriverGetVersion(int *version)
{
    SIM_CALL();
    *version = 13010 + sim::settings().check; /* keeps callers' caches apart */
    return sim::SUCCESS;
}

API cuDeviceGetCount(int *count)
{
    SIM_CALL();
    *count = static_cast<int>(sim::devices().size());
    return started ? sim::SUCCESS : sim::NOT_INITIALIZED;
}

API cuDeviceGet(int *out, int ordinal)
{
    DEVICE(ordinal);
    *out = ordinal;
    return sim::SUCCESS;
}

API cuDeviceGetName(char *name, int bytes, int i)
{
    DEVICE(i);
    snprintf(name, static_cast<size_t>(bytes), "%s", d->name.c_str());
    return sim::SUCCESS;
}

API cuDeviceTotalMem_v2(size_t *bytes, int i)
{
    DEVICE(i);
    *bytes = d->memory;
    return sim::SUCCESS;
}

API cuDeviceGetPCIBusId(char *id, int bytes, int i)
{
    DEVICE(i);
    snprintf(id, static_cast<size_t>(bytes), "0000:%02x:00.0", i);
    return sim::SUCCESS;
}

API cuDeviceGetAttribute(int *value, int attribute, int i)
{
    DEVICE(i);
    const int number = atoi(d->arch.c_str() + 3);
    const struct {
        int attribute;
        unsigned value;
    } all[] = { { 1, d->threads },
                { 8, d->shared },
                { 10, d->warp },
                { 13, d->clock_khz },
                { 16, d->units },
                { 38, d->l2 },
                { 75, static_cast<unsigned>(number / 10) },
                { 76, static_cast<unsigned>(number % 10) } };

    for (const auto &a : all)
        if (a.attribute == attribute) {
            *value = static_cast<int>(a.value);
            return sim::SUCCESS;
        }
    return sim::INVALID_VALUE;
}

API cuDevicePrimaryCtxRetain(void **out, int i)
{
    DEVICE(i);
    sim::Context *c = sim::primary(i);
    if (c->references++ == 0) {
        c->broken = 0;
        sim_count(SIM_CONTEXT, 1);
    }
    *out = c;
    return sim::SUCCESS;
}

API cuDevicePrimaryCtxRelease_v2(int i)
{
    SIM_RELEASE(release_primary(i));
}

API cuCtxPushCurrent_v2(void *context)
{
    SIM_CALL();
    if (context == nullptr)
        return sim::INVALID_CONTEXT;
    stack.push_back(static_cast<sim::Context *>(context));
    return sim::SUCCESS;
}

API cuCtxPopCurrent_v2(void **context)
{
    SIM_CALL();
    if (stack.empty())
        return sim::INVALID_CONTEXT;
    *context = stack.back();
    stack.pop_back();
    return sim::SUCCESS;
}

API cuCtxGetCurrent(void **context)
{
    SIM_CALL();
    *context = sim::current();
    return sim::SUCCESS;
}

API cuCtxSynchronize(void)
{
    CONTEXT();
    const int error = sim::not_while_capturing(c);
    return error != 0 ? error : sim::drain_all(c);
}

API cuMemAlloc_v2(uint64_t *out, size_t bytes)
{
    CONTEXT();
    return sim::allocate(c, out, bytes);
}

API cuMemFree_v2(uint64_t address)
{
    SIM_RELEASE(free_memory(address));
}

API cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream)
{
    CONTEXT();
    return sim::copy(c, reinterpret_cast<void *>(to), from, bytes, stream, true);
}

API cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream)
{
    CONTEXT();
    return sim::copy(c, to, reinterpret_cast<const void *>(from), bytes, stream, false);
}

API cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void *stream)
{
    CONTEXT();
    return sim::fill(c, to, value, bytes, stream);
}

API cuModuleLoadData(void **module, const void *image)
{
    CONTEXT();
    return sim::load_module(c, image, module);
}

API cuModuleUnload(void *module)
{
    SIM_RELEASE(sim::drop_module(module));
}

API cuModuleGetFunction(void **function, void *module, const char *name)
{
    CONTEXT();
    return sim::find_function(function, module, name);
}

API cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                   unsigned by, unsigned bz, unsigned shared, void *stream, void **args,
                   void **extra)
{
    CONTEXT();
    const uint32_t grid[3] = { gx, gy, gz }, block[3] = { bx, by, bz };
    (void)shared;
    return extra != nullptr ? static_cast<int>(sim::INVALID_VALUE)
                            : sim::launch(c, function, grid, block, stream, args);
}

API cuStreamCreate(void **stream, unsigned flags)
{
    CONTEXT();
    (void)flags;
    return sim::make_stream(c, stream);
}

API cuStreamDestroy_v2(void *stream)
{
    SIM_RELEASE(sim::drop_stream(stream));
}

API cuStreamSynchronize(void *stream)
{
    CONTEXT();
    sim::Stream *s;
    const int error = sim::find_stream(c, stream, &s);
    if (error != 0)
        return error;
    return s->capture != nullptr ? sim::not_while_capturing(c) : sim::drain(s);
}

API cuStreamGetCtx(void *stream, void **context)
{
    SIM_CALL();
    *context =
        stream != nullptr ? static_cast<sim::Stream *>(stream)->context : sim::current();
    return sim::SUCCESS;
}

API cuStreamBeginCapture_v2(void *stream, int mode)
{
    CONTEXT();
    (void)mode;
    return sim::begin_capture(c, stream);
}

API cuStreamEndCapture(void *stream, void **graph)
{
    SIM_CALL();
    return sim::end_capture(stream, graph);
}

API cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags)
{
    SIM_CALL();
    (void)flags;
    *executable = graph;
    return sim::SUCCESS;
}

API cuGraphLaunch(void *graph, void *stream)
{
    CONTEXT();
    sim::Stream *s;
    const int error = sim::find_stream(c, stream, &s);
    return error != 0 ? error : sim::launch_graph(graph, s);
}

API cuGraphDestroy(void *graph)
{
    SIM_RELEASE(sim::drop_graph(graph));
}

API cuEventCreate(void **event, unsigned flags)
{
    CONTEXT();
    (void)flags;
    return sim::make_event(c, event);
}

API cuEventDestroy_v2(void *event)
{
    SIM_RELEASE(sim::drop_event(event));
}

API cuEventRecord(void *event, void *stream)
{
    CONTEXT();
    sim::Stream *s;
    const int error = sim::find_stream(c, stream, &s);
    return error != 0 ? error : sim::record_event(event, s);
}

API cuEventElapsedTime(float *ms, void *start, void *end)
{
    CONTEXT();
    return sim::elapsed(ms, start, end);
}

API cuGetErrorName(int error, const char **name)
{
    static thread_local std::string text;

    text = std::string("CUDA_ERROR_") + sim::error_name(error);
    *name = text.c_str();
    return sim::SUCCESS;
}
