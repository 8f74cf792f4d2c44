/* libamdhip64's functions, as far as the hip backend and its tests call them. */
#include "sim/driver.h"

#include <cstdio>
#include <cstring>

const char *const sim::default_devices = "gfx942,gfx1100";

namespace
{

thread_local int current_device;

const sim::Device *device(int i)
{
    return i >= 0 && static_cast<size_t>(i) < sim::devices().size()
               ? &sim::devices()[static_cast<size_t>(i)]
               : nullptr;
}

/* The devices are usable again when the last stream is gone. */
int drop_stream(void *stream)
{
    const int error = sim::drop_stream(stream);

    if (error == 0 && iqt_sim_live().streams == 0)
        for (size_t i = 0; i < sim::devices().size(); i++)
            sim::primary(static_cast<int>(i))->broken = 0;
    return error;
}

} // namespace

sim::Context *sim::current()
{
    return primary(current_device);
}

#define API extern "C" IQT_SIM_API int
#define DEVICE(i)                     \
    SIM_CALL();                       \
    const sim::Device *d = device(i); \
    if (d == nullptr)                 \
    return sim::INVALID_DEVICE
#define CONTEXT()                     \
    SIM_CALL();                       \
    sim::Context *c = sim::current(); \
    if (c == nullptr)                 \
        return sim::INVALID_DEVICE;   \
    if (c->broken != 0)               \
    return c->broken

API hipInit(unsigned flags)
{
    SIM_CALL();
    (void)flags;
    return sim::devices().empty() ? sim::NO_DEVICE : sim::SUCCESS;
}

API hipGetDeviceCount(int *count)
{
    SIM_CALL();
    *count = static_cast<int>(sim::devices().size());
    return sim::devices().empty() ? sim::NO_DEVICE : sim::SUCCESS;
}

API hipDriverGetVersion(int *version)
{
    SIM_CALL();
    *version = 60000010 + sim::settings().check; /* keeps callers' caches apart */
    return sim::SUCCESS;
}

API hipDeviceGet(int *out, int ordinal)
{
    DEVICE(ordinal);
    *out = ordinal;
    return sim::SUCCESS;
}

API hipDeviceGetName(char *name, int bytes, int i)
{
    DEVICE(i);
    snprintf(name, static_cast<size_t>(bytes), "%s", d->name.c_str());
    return sim::SUCCESS;
}

API hipDeviceTotalMem(size_t *bytes, int i)
{
    DEVICE(i);
    *bytes = d->memory;
    return sim::SUCCESS;
}

API hipDeviceGetPCIBusId(char *id, int bytes, int i)
{
    DEVICE(i);
    snprintf(id, static_cast<size_t>(bytes), "0000:%02x:00.0", i);
    return sim::SUCCESS;
}

API hipDeviceGetAttribute(int *value, int attribute, int i)
{
    DEVICE(i);
    const struct {
        int attribute;
        unsigned value;
    } all[] = { { 5, d->clock_khz }, { 19, d->l2 },     { 56, d->threads },
                { 63, d->units },    { 74, d->shared }, { 87, d->warp } };

    for (const auto &a : all)
        if (a.attribute == attribute) {
            *value = static_cast<int>(a.value);
            return sim::SUCCESS;
        }
    return sim::INVALID_VALUE;
}

/* ROCm 6's structure: 1472 bytes, the architecture's name with its features at 1160. */
API hipGetDevicePropertiesR0600(void *properties, int i)
{
    enum { BYTES = 1472, ARCH_AT = 1160, ARCH_BYTES = 256, NAME_BYTES = 256 };

    DEVICE(i);
    char *at = static_cast<char *>(properties);
    memset(at, 0, BYTES);
    snprintf(at, NAME_BYTES, "%s", d->name.c_str());
    snprintf(at + ARCH_AT, ARCH_BYTES, "%s:sramecc+:xnack-", d->arch.c_str());
    return sim::SUCCESS;
}

API hipSetDevice(int i)
{
    DEVICE(i);
    (void)d;
    current_device = i;
    return sim::SUCCESS;
}

API hipGetDevice(int *out)
{
    SIM_CALL();
    *out = current_device;
    return sim::SUCCESS;
}

API hipDeviceSynchronize(void)
{
    CONTEXT();
    const int error = sim::not_while_capturing(c);
    return error != 0 ? error : sim::drain_all(c);
}

API hipMalloc(uint64_t *out, size_t bytes)
{
    CONTEXT();
    return sim::allocate(c, out, bytes);
}

API hipFree(uint64_t address)
{
    SIM_RELEASE(sim::release(sim::current(), address));
}

API hipMemcpyHtoDAsync(uint64_t to, const void *from, size_t bytes, void *stream)
{
    CONTEXT();
    return sim::copy(c, reinterpret_cast<void *>(to), from, bytes, stream, true);
}

API hipMemcpyDtoHAsync(void *to, uint64_t from, size_t bytes, void *stream)
{
    CONTEXT();
    return sim::copy(c, to, reinterpret_cast<const void *>(from), bytes, stream, false);
}

API hipMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void *stream)
{
    CONTEXT();
    return sim::fill(c, to, value, bytes, stream);
}

API hipModuleLoadData(void **module, const void *image)
{
    CONTEXT();
    return sim::load_module(c, image, module);
}

API hipModuleUnload(void *module)
{
    SIM_RELEASE(sim::drop_module(module));
}

API hipModuleGetFunction(void **function, void *module, const char *name)
{
    CONTEXT();
    return sim::find_function(function, module, name);
}

API hipModuleLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz,
                          unsigned bx, unsigned by, unsigned bz, unsigned shared,
                          void *stream, void **args, void **extra)
{
    CONTEXT();
    const uint32_t grid[3] = { gx, gy, gz }, block[3] = { bx, by, bz };
    (void)shared;
    return extra != nullptr ? static_cast<int>(sim::INVALID_VALUE)
                            : sim::launch(c, function, grid, block, stream, args);
}

API hipStreamCreateWithFlags(void **stream, unsigned flags)
{
    CONTEXT();
    (void)flags;
    return sim::make_stream(c, stream);
}

API hipStreamDestroy(void *stream)
{
    SIM_RELEASE(drop_stream(stream));
}

API hipStreamSynchronize(void *stream)
{
    CONTEXT();
    sim::Stream *s;
    const int error = sim::find_stream(c, stream, &s);
    if (error != 0)
        return error;
    return s->capture != nullptr ? sim::not_while_capturing(c) : sim::drain(s);
}

API hipStreamGetDevice(void *stream, int *out)
{
    SIM_CALL();
    *out = stream != nullptr ? static_cast<sim::Stream *>(stream)->context->device
                             : current_device;
    return sim::SUCCESS;
}

API hipStreamBeginCapture(void *stream, int mode)
{
    CONTEXT();
    (void)mode;
    return sim::begin_capture(c, stream);
}

API hipStreamEndCapture(void *stream, void **graph)
{
    SIM_CALL();
    return sim::end_capture(stream, graph);
}

API hipGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags)
{
    SIM_CALL();
    (void)flags;
    *executable = graph;
    return sim::SUCCESS;
}

API hipGraphLaunch(void *graph, void *stream)
{
    CONTEXT();
    sim::Stream *s;
    const int error = sim::find_stream(c, stream, &s);
    return error != 0 ? error : sim::launch_graph(graph, s);
}

API hipGraphDestroy(void *graph)
{
    SIM_RELEASE(sim::drop_graph(graph));
}

API hipEventCreateWithFlags(void **event, unsigned flags)
{
    CONTEXT();
    (void)flags;
    return sim::make_event(c, event);
}

API hipEventDestroy(void *event)
{
    SIM_RELEASE(sim::drop_event(event));
}

API hipEventRecord(void *event, void *stream)
{
    CONTEXT();
    sim::Stream *s;
    const int error = sim::find_stream(c, stream, &s);
    return error != 0 ? error : sim::record_event(event, s);
}

API hipEventElapsedTime(float *ms, void *start, void *end)
{
    CONTEXT();
    return sim::elapsed(ms, start, end);
}

extern "C" IQT_SIM_API const char *hipGetErrorName(int error)
{
    static thread_local std::string text;

    text = std::string("hipError ") + sim::error_name(error);
    return text.c_str();
}
