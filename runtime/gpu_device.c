/* GPUs of the cuda and hip backends: what they are, opening and closing, and the context that every
 * call to their driver runs in. */
#include "runtime/gpu_hw.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Description ---- */

/* An attribute, or what is true of every GPU the kernels run on when the driver does not say. */
static uint32_t attribute(const struct iqt_gpu_api *api, int device,
                          enum iqt_gpu_attribute which)
{
    static const uint32_t otherwise[IQT_GPU_ATTRIBUTES] = {
        [IQT_GPU_THREADS] = 256, [IQT_GPU_SHARED] = 32768, [IQT_GPU_WARP] = 32
    };
    int value = 0;

    if (api->device_attribute(&value, api->driver->attribute[which], device) != 0 ||
        value <= 0)
        return otherwise[which];
    return (uint32_t)value;
}

static void fill_limits(const struct iqt_gpu_api *api, int device, struct iqt_limits *out)
{
    const uint32_t warp = attribute(api, device, IQT_GPU_WARP);

    *out = (struct iqt_limits){
        .subgroup_min = warp,
        .subgroup_max = warp,
        .max_threads = attribute(api, device, IQT_GPU_THREADS),
        .shared_bytes = attribute(api, device, IQT_GPU_SHARED),
        .compute_units = attribute(api, device, IQT_GPU_UNITS),
        .subgroup_ops = true,
        .dot4 = true,
    };
}

/* Bus addresses tell two equal cards apart; the model makes the key readable. */
static void fill_id(const struct iqt_gpu_api *api, int device, const char *arch,
                    struct iqt_device_info *info)
{
    char bus[32] = "";

    if (api->device_bus_id(bus, sizeof bus, device) != 0)
        snprintf(bus, sizeof bus, "%d", device);
    for (char *c = bus; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    snprintf(info->id, sizeof info->id, "%s%.15s-%.31s",
             api->simulated ? "simulated-" : "", arch, bus);
}

static enum iqt_status describe(const struct iqt_gpu_api *api, int device,
                                struct iqt_device_info *info, struct iqt_limits *limits)
{
    size_t bytes = 0;
    char arch[64];
    uint32_t clock;

    *info = (struct iqt_device_info){ .spec = "" };
    IQT_TRY(api->driver->arch(api, device, arch));
    fill_limits(api, device, limits);
    IQT_GPU_TRY(api, device_name, info->name, (int)sizeof info->name, device);
    info->name[sizeof info->name - 1] = '\0';
    if (api->device_memory(&bytes, device) == 0)
        info->memory_bytes = bytes;
    snprintf(info->backend, sizeof info->backend, "%s", api->driver->name);
    snprintf(info->arch, sizeof info->arch, "%s", arch);
    snprintf(info->driver, sizeof info->driver, "%s%s %d",
             api->simulated ? "simulated " : "", api->driver->what, api->version);
    fill_id(api, device, arch, info);
    info->cache_bytes = attribute(api, device, IQT_GPU_L2);
    info->compute_units = limits->compute_units;
    info->subgroup_min = info->subgroup_max = limits->subgroup_min;
    clock = attribute(api, device, IQT_GPU_CLOCK);
    snprintf(info->features, sizeof info->features, "%s%s dot4 warp%u %uMHz",
             api->simulated ? "simulated " : "", arch, limits->subgroup_min,
             clock / 1000);
    return IQT_OK;
}

/* ---- Devices ---- */

static enum iqt_status device_count(const struct iqt_gpu_api *api, int *out)
{
    IQT_GPU_TRY(api, device_count, out);
    return IQT_OK;
}

/* Calls fn for each usable device; a device that the kernels cannot run on is not listed. */
struct usable {
    int device;
    struct iqt_device_info info;
    struct iqt_limits limits;
};

static bool next_usable(const struct iqt_gpu_api *api, int *ordinal, int count,
                        struct usable *out)
{
    for (; *ordinal < count; ++*ordinal) {
        if (api->device_get(&out->device, *ordinal) == 0 &&
            describe(api, out->device, &out->info, &out->limits) == IQT_OK) {
            ++*ordinal;
            return true;
        }
    }
    return false;
}

enum iqt_status iqt_gpu_scan(const struct iqt_gpu_driver *driver, iqt_device_fn fn,
                             void *user)
{
    const struct iqt_gpu_api *api;
    struct usable u;
    int count, ordinal = 0, found = 0;

    IQT_TRY(iqt_gpu_load(driver, &api));
    IQT_TRY(device_count(api, &count));
    for (; next_usable(api, &ordinal, count, &u); found++)
        fn(user, &u.info);
    if (found == 0)
        return iqt_fail(IQT_ERR_NO_DRIVER, "%s: no usable device: %s", driver->name,
                        count == 0 ? "none is present" : iqt_last_error());
    return IQT_OK;
}

enum iqt_status iqt_gpu_enter(const struct iqt_hw *hw, void **saved)
{
    return hw->api->driver->enter(hw->api, hw->device, hw->context, saved);
}

void iqt_gpu_leave(const struct iqt_hw *hw, void *saved)
{
    hw->api->driver->leave(hw->api, saved);
}

static enum iqt_status make_stream(struct iqt_hw *hw)
{
    enum { NON_BLOCKING = 1 };
    void *saved;
    int error;

    IQT_TRY(iqt_gpu_enter(hw, &saved));
    error = hw->api->stream_create(&hw->stream, NON_BLOCKING);
    iqt_gpu_leave(hw, saved);
    return error == 0 ? IQT_OK : iqt_gpu_fail(hw->api, "stream_create", error);
}

static enum iqt_status start(struct iqt_hw *hw, const char *cache_dir)
{
    enum iqt_status status;

    IQT_TRY(iqt_target_parse(hw->info.arch, &hw->target));
    hw->cache_dir = strdup(cache_dir);
    if (hw->cache_dir == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a device");
    status = hw->api->driver->retain(hw->api, hw->device, &hw->context);
    if (status != IQT_OK)
        return status;
    status = make_stream(hw);
    if (status != IQT_OK)
        hw->api->driver->release(hw->api, hw->device);
    return status;
}

static enum iqt_status find_index(const struct iqt_gpu_api *api, uint32_t index,
                                  struct usable *out)
{
    uint32_t at = 0;
    int count, ordinal = 0;

    IQT_TRY(device_count(api, &count));
    for (; next_usable(api, &ordinal, count, out); at++)
        if (at == index)
            return IQT_OK;
    return iqt_fail(IQT_ERR_UNKNOWN, "%s has %u usable devices, there is no %s:%u",
                    api->driver->name, at, api->driver->name, index);
}

enum iqt_status iqt_gpu_open(const struct iqt_gpu_driver *driver,
                             const struct iqt_backend_options *opt, uint32_t index,
                             struct iqt_device_info *info, struct iqt_limits *limits,
                             struct iqt_hw **out)
{
    const struct iqt_gpu_api *api;
    struct usable u;
    struct iqt_hw *hw;
    enum iqt_status status;

    IQT_TRY(iqt_gpu_load(driver, &api));
    IQT_TRY(find_index(api, index, &u));
    hw = calloc(1, sizeof *hw);
    if (hw == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a device");
    hw->api = api;
    hw->device = u.device;
    hw->info = u.info;
    hw->limits = u.limits;
    status = start(hw, opt->cache_dir);
    if (status != IQT_OK) {
        free(hw->cache_dir);
        free(hw);
        return status;
    }
    pthread_mutex_init(&hw->build_lock, NULL);
    pthread_mutex_init(&hw->stream_lock, NULL);
    *info = u.info;
    *limits = u.limits;
    *out = hw;
    return IQT_OK;
}

void iqt_gpu_close(struct iqt_hw *hw)
{
    void *saved;

    if (hw == NULL)
        return;
    if (iqt_gpu_enter(hw, &saved) == IQT_OK) {
        (void)hw->api->stream_destroy(hw->stream);
        iqt_gpu_leave(hw, saved);
    }
    hw->api->driver->release(hw->api, hw->device);
    pthread_mutex_destroy(&hw->build_lock);
    pthread_mutex_destroy(&hw->stream_lock);
    free(hw->cache_dir);
    free(hw);
}
