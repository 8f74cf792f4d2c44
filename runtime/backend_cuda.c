/* The cuda backend: what CUDA's driver API spells its own way. Numbers are those of cuda.h. */
#include "runtime/gpu_hw.h"

#include <stdio.h>

static const char *const libraries[] = { "libcuda.so.1", "libcuda.so", NULL };

static const char *const symbols[] = {
    "cuInit",
    "cuDriverGetVersion",
    "cuDeviceGetCount",
    "cuDeviceGet",
    "cuDeviceGetName",
    "cuDeviceTotalMem_v2",
    "cuDeviceGetAttribute",
    "cuDeviceGetPCIBusId",
    "cuMemAlloc_v2",
    "cuMemFree_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemsetD8Async",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuLaunchKernel",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventElapsedTime",
};

enum { RETAIN, RELEASE, PUSH, POP, ERROR_NAME, STREAM_CONTEXT };
static const char *const own_symbols[] = {
    [RETAIN] = "cuDevicePrimaryCtxRetain",
    [RELEASE] = "cuDevicePrimaryCtxRelease_v2",
    [PUSH] = "cuCtxPushCurrent_v2",
    [POP] = "cuCtxPopCurrent_v2",
    [ERROR_NAME] = "cuGetErrorName",
    [STREAM_CONTEXT] = "?cuStreamGetCtx", /* CUDA 9.2 and later */
    NULL,
};

enum { STUB_LIBRARY = 34 };
enum { CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76, LOWEST_WITH_DP4A = 61 };

typedef int (*retain_fn)(void **context, int device);
typedef int (*release_fn)(int device);
typedef int (*push_fn)(void *context);
typedef int (*pop_fn)(void **context);
typedef int (*error_name_fn)(int error, const char **name);
typedef int (*stream_context_fn)(void *stream, void **context);

static const char *error_name(const struct iqt_gpu_api *api, int error)
{
    const char *name = NULL;

    if (error == STUB_LIBRARY) /* which does not know even this name */
        return "only the CUDA toolkit's stub library is here, no driver";
    if (((error_name_fn)api->own[ERROR_NAME])(error, &name) != 0 || name == NULL)
        return "unknown error";
    return name;
}

static enum iqt_status arch(const struct iqt_gpu_api *api, int device, char out[64])
{
    int major, minor;

    IQT_GPU_TRY(api, device_attribute, &major, CAPABILITY_MAJOR, device);
    IQT_GPU_TRY(api, device_attribute, &minor, CAPABILITY_MINOR, device);
    if (10 * major + minor < LOWEST_WITH_DP4A)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "compute capability %d.%d; the kernels need 6.1 (dp4a)", major,
                        minor);
    snprintf(out, 64, "sm_%d%d", major, minor);
    return IQT_OK;
}

static enum iqt_status retain(const struct iqt_gpu_api *api, int device, void **context)
{
    const int error = ((retain_fn)api->own[RETAIN])(context, device);

    return error == 0 ? IQT_OK : iqt_gpu_fail(api, own_symbols[RETAIN], error);
}

static void release(const struct iqt_gpu_api *api, int device)
{
    (void)((release_fn)api->own[RELEASE])(device);
}

static enum iqt_status enter(const struct iqt_gpu_api *api, int device, void *context,
                             void **saved)
{
    const int error = ((push_fn)api->own[PUSH])(context);

    (void)device;
    (void)saved; /* the stack of contexts keeps it */
    return error == 0 ? IQT_OK : iqt_gpu_fail(api, own_symbols[PUSH], error);
}

static void leave(const struct iqt_gpu_api *api, void *saved)
{
    void *context;

    (void)saved;
    /* A failed call has popped nothing, and the caller's context must come back. */
    if (((pop_fn)api->own[POP])(&context) != 0)
        (void)((pop_fn)api->own[POP])(&context);
}

static enum iqt_status check_stream(const struct iqt_gpu_api *api, void *context,
                                    void *stream)
{
    void *of_stream = NULL;
    int error;

    if (api->own[STREAM_CONTEXT] == NULL || stream == NULL)
        return IQT_OK;
    error = ((stream_context_fn)api->own[STREAM_CONTEXT])(stream, &of_stream);
    if (error != 0)
        return iqt_gpu_fail(api, own_symbols[STREAM_CONTEXT] + 1, error);
    if (of_stream != context)
        return iqt_fail(IQT_ERR_ARG, "the stream belongs to another context than the "
                                     "device's primary one");
    return IQT_OK;
}

const struct iqt_gpu_driver iqt_gpu_cuda = {
    .name = "cuda",
    .dialect = IQT_DIALECT_CUDA,
    .library_variable = "IQT_CUDA_LIBRARY",
    .libraries = libraries,
    .what = "NVIDIA driver",
    .symbols = symbols,
    .own_symbols = own_symbols,
    .attribute = { [IQT_GPU_THREADS] = 1,
                   [IQT_GPU_SHARED] = 8,
                   [IQT_GPU_WARP] = 10,
                   [IQT_GPU_UNITS] = 16,
                   [IQT_GPU_L2] = 38,
                   [IQT_GPU_CLOCK] = 13 },
    .error_name = error_name,
    .arch = arch,
    .retain = retain,
    .release = release,
    .enter = enter,
    .leave = leave,
    .check_stream = check_stream,
};

IQT_GPU_BACKEND(cuda, IQT_DIALECT_CUDA)
