/* GPUs of the cuda and hip backends: what they are, opening and closing, and the context that every
 * call to their driver runs in. */
#include "runtime/gpu_hw.h"

#include "tuner/gpu_table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Description ---- */

static enum iqt_status attribute(const struct iqt_gpu_api *api, int device,
                                 enum iqt_gpu_attribute which, uint32_t *out)
{
    int value = 0;

    IQT_GPU_TRY(api, device_attribute, &value, api->driver->attribute[which], device);
    *out = value > 0 ? (uint32_t)value : 0;
    return IQT_OK;
}

static enum iqt_status fill_limits(const struct iqt_gpu_api *api, int device,
                                   struct iqt_limits *out)
{
    uint32_t warp = 0, threads = 0, shared = 0, units = 0;

    IQT_TRY(attribute(api, device, IQT_GPU_WARP, &warp));
    IQT_TRY(attribute(api, device, IQT_GPU_THREADS, &threads));
    IQT_TRY(attribute(api, device, IQT_GPU_SHARED, &shared));
    IQT_TRY(attribute(api, device, IQT_GPU_UNITS, &units));
    *out = (struct iqt_limits){
        .subgroup_min = warp,
        .subgroup_max = warp,
        .max_threads = threads,
        .shared_bytes = shared,
        .compute_units = units,
        .subgroup_ops = true,
        .dot4 = true,
    };
    return IQT_OK;
}

/* Bus addresses tell two equal cards apart; the model makes the key readable. */
static enum iqt_status fill_id(const struct iqt_gpu_api *api, int device,
                               const char *arch, struct iqt_device_info *info)
{
    char bus[32] = "";

    IQT_GPU_TRY(api, device_bus_id, bus, sizeof bus, device);
    for (char *c = bus; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    snprintf(info->id, sizeof info->id, "%s%.15s-%.31s",
             api->simulated ? "simulated-" : "", arch, bus);
    return IQT_OK;
}

static enum iqt_status describe(const struct iqt_gpu_api *api, int device,
                                struct iqt_device_info *info, struct iqt_limits *limits)
{
    size_t bytes = 0;
    char arch[64];
    uint32_t clock = 0, cache = 0;

    *info = (struct iqt_device_info){ .spec = "" };
    IQT_TRY(api->driver->arch(api, device, arch));
    IQT_TRY(fill_limits(api, device, limits));
    limits->mma = iqt_target_has_mma(arch);
    limits->mma_one = iqt_gpu_tensor(arch)->one;
    IQT_TRY(fill_id(api, device, arch, info));
    IQT_TRY(attribute(api, device, IQT_GPU_CLOCK, &clock));
    IQT_TRY(attribute(api, device, IQT_GPU_L2, &cache));
    IQT_GPU_TRY(api, device_memory, &bytes, device);
    IQT_GPU_TRY(api, device_name, info->name, (int)sizeof info->name, device);
    info->name[sizeof info->name - 1] = '\0';
    info->memory_bytes = bytes;
    snprintf(info->backend, sizeof info->backend, "%s", api->driver->name);
    snprintf(info->arch, sizeof info->arch, "%s", arch);
    snprintf(info->driver, sizeof info->driver, "%s%s %d",
             api->simulated ? "simulated " : "", api->driver->what, api->version);
    info->cache_bytes = cache;
    info->compute_units = limits->compute_units;
    info->subgroup_min = info->subgroup_max = limits->subgroup_min;
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

/* A device that the kernels can run on. */
struct usable {
    int device;
    struct iqt_device_info info;
    struct iqt_limits limits;
};

/* The next one. A device that the kernels cannot run on is passed over; one that the driver fails
 * on is an error: without it the others would get new numbers. */
static enum iqt_status next_usable(const struct iqt_gpu_api *api, int *ordinal, int count,
                                   struct usable *out, bool *found)
{
    enum iqt_status status = IQT_ERR_UNSUPPORTED;

    while (*ordinal < count && status == IQT_ERR_UNSUPPORTED) {
        IQT_GPU_TRY(api, device_get, &out->device, *ordinal);
        status = describe(api, out->device, &out->info, &out->limits);
        ++*ordinal;
    }
    *found = status == IQT_OK;
    return status == IQT_ERR_UNSUPPORTED ? IQT_OK : status;
}

static enum iqt_status scan(const struct iqt_gpu_api *api, iqt_device_fn fn, void *user)
{
    struct usable u;
    int count, ordinal = 0, devices = 0;
    bool found = true;

    IQT_TRY(device_count(api, &count));
    while (found) {
        IQT_TRY(next_usable(api, &ordinal, count, &u, &found));
        if (found)
            fn(user, &u.info);
        devices += found;
    }
    if (devices == 0)
        return iqt_fail(IQT_ERR_NO_DRIVER, "%s: no usable device: %s", api->driver->name,
                        count == 0 ? "none is present" : iqt_last_error());
    return IQT_OK;
}

enum iqt_status iqt_gpu_scan(const struct iqt_gpu_driver *driver, iqt_device_fn fn,
                             void *user)
{
    const struct iqt_gpu_api *api;
    enum iqt_status status;

    IQT_TRY(iqt_gpu_load(driver, &api));
    status = scan(api, fn, user);
    if (status == IQT_OK || status == IQT_ERR_NO_DRIVER)
        return status;
    /* Whatever broke, other backends go on. */
    return iqt_fail(IQT_ERR_DEVICE, "%s", iqt_last_error());
}

enum iqt_status iqt_gpu_enter(const struct iqt_hw *hw, void **saved)
{
    return hw->api->driver->enter(hw->api, hw->device, hw->context, saved);
}

bool iqt_gpu_enter_to_release(const struct iqt_hw *hw, void **saved)
{
    char why[2048]; /* whoever cleans up after a failure still has to report it */
    bool entered;

    snprintf(why, sizeof why, "%s", iqt_last_error());
    entered = iqt_gpu_enter(hw, saved) == IQT_OK || iqt_gpu_enter(hw, saved) == IQT_OK;
    (void)!iqt_fail(IQT_ERR_DEVICE, "%s", why);
    return entered;
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
    bool found = true;

    IQT_TRY(device_count(api, &count));
    for (; found; at += found) {
        IQT_TRY(next_usable(api, &ordinal, count, out, &found));
        if (found && at == index)
            return IQT_OK;
    }
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
    if (iqt_gpu_enter_to_release(hw, &saved)) {
        (void)hw->api->stream_destroy(hw->stream);
        iqt_gpu_leave(hw, saved);
    }
    hw->api->driver->release(hw->api, hw->device);
    pthread_mutex_destroy(&hw->build_lock);
    pthread_mutex_destroy(&hw->stream_lock);
    free(hw->cache_dir);
    free(hw);
}
