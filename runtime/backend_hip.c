/* The hip backend: what HIP's runtime API spells its own way. Numbers are those of
 * hip_runtime_api.h, which ROCm 5 and 6 share. */
#include "runtime/gpu_hw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const libraries[] = { "libamdhip64.so.6", "libamdhip64.so.7",
                                         "libamdhip64.so.5", "libamdhip64.so", NULL };

static const char *const symbols[] = {
    "hipInit",
    "hipDriverGetVersion",
    "hipGetDeviceCount",
    "hipDeviceGet",
    "hipDeviceGetName",
    "hipDeviceTotalMem",
    "hipDeviceGetAttribute",
    "hipDeviceGetPCIBusId",
    "hipMalloc",
    "hipFree",
    "hipMemcpyHtoDAsync",
    "hipMemcpyDtoHAsync",
    "hipMemsetD8Async",
    "hipModuleLoadData",
    "hipModuleUnload",
    "hipModuleGetFunction",
    "hipModuleLaunchKernel",
    "hipStreamCreateWithFlags",
    "hipStreamDestroy",
    "hipStreamSynchronize",
    "hipEventCreateWithFlags",
    "hipEventDestroy",
    "hipEventRecord",
    "hipEventElapsedTime",
};

enum { SET_DEVICE, GET_DEVICE, ERROR_NAME, PROPERTIES_6, PROPERTIES_5, STREAM_DEVICE };
static const char *const own_symbols[] = {
    [SET_DEVICE] = "hipSetDevice",
    [GET_DEVICE] = "hipGetDevice",
    [ERROR_NAME] = "hipGetErrorName",
    [PROPERTIES_6] = "?hipGetDevicePropertiesR0600",
    [PROPERTIES_5] = "?hipGetDeviceProperties",
    [STREAM_DEVICE] = "?hipStreamGetDevice", /* ROCm 5.6 and later */
    NULL,
};

/* hipDeviceProp_t has 792 bytes in ROCm 5 and 1472 in ROCm 6; its first 256 are the name. */
enum { PROPERTIES_BYTES = 16384, NAME_BYTES = 256 };

typedef int (*set_device_fn)(int device);
typedef int (*get_device_fn)(int *device);
typedef const char *(*error_name_fn)(int error);
typedef int (*properties_fn)(void *properties, int device);
typedef int (*stream_device_fn)(void *stream, int *device);

static const char *error_name(const struct iqt_gpu_api *api, int error)
{
    const char *name = ((error_name_fn)api->own[ERROR_NAME])(error);

    return name != NULL ? name : "unknown error";
}

/* gcnArchName lies elsewhere in every release of the structure; what does not change is that it
 * reads "gfx" and that only the device's name, at the front, may contain that by chance. */
static bool find_gfx(const char *at, const char *end, char out[64])
{
    for (; at + 4 < end; at++) {
        if (memcmp(at, "gfx", 3) == 0 && at[3] >= '0' && at[3] <= '9') {
            snprintf(out, 64, "%.*s", (int)strcspn(at, ":"), at);
            return strlen(out) <= 16;
        }
    }
    return false;
}

static enum iqt_status arch(const struct iqt_gpu_api *api, int device, char out[64])
{
    const int at = api->own[PROPERTIES_6] != NULL ? PROPERTIES_6 : PROPERTIES_5;
    char *properties;
    int error;
    bool found;

    if (api->own[at] == NULL)
        return iqt_fail(IQT_ERR_NO_DRIVER,
                        "the HIP runtime has no hipGetDeviceProperties");
    properties = calloc(1, PROPERTIES_BYTES);
    if (properties == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for device properties");
    error = ((properties_fn)api->own[at])(properties, device);
    found = error == 0 &&
            find_gfx(properties + NAME_BYTES, properties + PROPERTIES_BYTES - 64, out);
    free(properties);
    if (error != 0)
        return iqt_gpu_fail(api, own_symbols[at] + 1, error);
    if (!found)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "the HIP runtime names no gfx architecture");
    return IQT_OK;
}

/* HIP's context of a device exists as long as the process. */
static enum iqt_status retain(const struct iqt_gpu_api *api, int device, void **context)
{
    (void)api;
    *context = (void *)(intptr_t)(device + 1);
    return IQT_OK;
}

static void release(const struct iqt_gpu_api *api, int device)
{
    (void)api;
    (void)device;
}

static enum iqt_status enter(const struct iqt_gpu_api *api, int device, void *context,
                             void **saved)
{
    int current = 0;
    int error = ((get_device_fn)api->own[GET_DEVICE])(&current);

    (void)context;
    if (error != 0)
        return iqt_gpu_fail(api, own_symbols[GET_DEVICE], error);
    *saved = (void *)(intptr_t)current;
    error = ((set_device_fn)api->own[SET_DEVICE])(device);
    return error == 0 ? IQT_OK : iqt_gpu_fail(api, own_symbols[SET_DEVICE], error);
}

static void leave(const struct iqt_gpu_api *api, void *saved)
{
    /* Twice if need be: the caller's device must come back. */
    if (((set_device_fn)api->own[SET_DEVICE])((int)(intptr_t)saved) != 0)
        (void)((set_device_fn)api->own[SET_DEVICE])((int)(intptr_t)saved);
}

static enum iqt_status check_stream(const struct iqt_gpu_api *api, void *context,
                                    void *stream)
{
    const int want = (int)(intptr_t)context - 1;
    int device = want, error;

    if (api->own[STREAM_DEVICE] == NULL || stream == NULL)
        return IQT_OK;
    error = ((stream_device_fn)api->own[STREAM_DEVICE])(stream, &device);
    if (error != 0)
        return iqt_gpu_fail(api, own_symbols[STREAM_DEVICE] + 1, error);
    if (device != want)
        return iqt_fail(IQT_ERR_ARG,
                        "the stream belongs to device %d, the recorder to %d", device,
                        want);
    return IQT_OK;
}

const struct iqt_gpu_driver iqt_gpu_hip = {
    .name = "hip",
    .dialect = IQT_DIALECT_HIP,
    .library_variable = "IQT_HIP_LIBRARY",
    .libraries = libraries,
    .what = "HIP runtime",
    .symbols = symbols,
    .own_symbols = own_symbols,
    .attribute = { [IQT_GPU_THREADS] = 56,
                   [IQT_GPU_SHARED] = 74,
                   [IQT_GPU_WARP] = 87,
                   [IQT_GPU_UNITS] = 63,
                   [IQT_GPU_L2] = 19,
                   [IQT_GPU_CLOCK] = 5 },
    .error_name = error_name,
    .arch = arch,
    .retain = retain,
    .release = release,
    .enter = enter,
    .leave = leave,
    .check_stream = check_stream,
};

IQT_GPU_BACKEND(hip, IQT_DIALECT_HIP)
