/* A caller's Vulkan device as an iqt_device. */
#include <iqtile/vulkan.h>

#include "runtime/runtime.h"
#include "runtime/vulkan_hw.h"

#include <stdio.h>
#include <stdlib.h>

static enum iqt_status check_instance(const struct iqt_vulkan_device *d)
{
    if (d->struct_size != sizeof(*d))
        return iqt_fail(IQT_ERR_ARG, "Vulkan device: struct_size is %zu, expected %zu",
                        d->struct_size, sizeof(*d));
    if (d->get_instance_proc_addr == NULL || d->instance == NULL || d->physical == NULL)
        return iqt_fail(IQT_ERR_ARG, "Vulkan device: %s is NULL",
                        d->get_instance_proc_addr == NULL ? "get_instance_proc_addr"
                        : d->instance == NULL             ? "instance"
                                                          : "physical");
    if (d->api_version < VK_API_VERSION_1_1)
        return iqt_fail(
            IQT_ERR_UNSUPPORTED, "Vulkan device: api_version is %u.%u, need 1.1",
            VK_API_VERSION_MAJOR(d->api_version), VK_API_VERSION_MINOR(d->api_version));
    return IQT_OK;
}

enum iqt_status iqt_vulkan_features_query(const struct iqt_vulkan_device *device,
                                          struct iqt_vulkan_features *out)
{
    struct iqt_vk_gpu gpu;
    struct iqt_vk *vk;
    enum iqt_status status;

    if (device == NULL || out == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_vulkan_features_query: %s is NULL",
                        device == NULL ? "device" : "out");
    IQT_TRY(check_instance(device));
    IQT_TRY(iqt_vk_adopt(device->get_instance_proc_addr, device->instance,
                         device->api_version, &vk));
    status = iqt_vk_gpu_query(vk, device->physical, &gpu);
    iqt_vk_close(vk);
    IQT_TRY(status);
    *out = (struct iqt_vulkan_features){
        .subgroup_size = gpu.has.subgroup_size,
        .integer_dot_product = gpu.has.dot_product,
        .storage_buffer_indexing = gpu.has.buffer_index,
        .cooperative_matrix = gpu.has.matrices,
    };
    return IQT_OK;
}

static enum iqt_status open_hw(struct iqt_context *ctx, const struct iqt_vulkan_device *d,
                               struct iqt_hw **out)
{
    const struct iqt_backend_options opt = iqt_context_options_of(ctx);
    struct iqt_vk_adoption from = {
        .physical = d->physical,
        .device = d->device,
        .family = d->queue_family,
        .queue_index = d->queue_index,
        .enabled = { .subgroup_size = d->enabled.subgroup_size,
                     .dot_product = d->enabled.integer_dot_product,
                     .buffer_index = d->enabled.storage_buffer_indexing,
                     .matrices = d->enabled.cooperative_matrix },
        .lock_queue = d->lock_queue,
        .unlock_queue = d->unlock_queue,
        .lock_user = d->lock_user,
    };
    enum iqt_status status;

    IQT_TRY(
        iqt_vk_adopt(d->get_instance_proc_addr, d->instance, d->api_version, &from.vk));
    status = iqt_vk_device_adopt(&opt, &from, out);
    if (status != IQT_OK)
        iqt_vk_close(from.vk);
    return status;
}

/* Fills in what iqt_device_open() fills in for a device that it opened itself. */
static enum iqt_status start(struct iqt_device *dev, struct iqt_context *ctx,
                             const struct iqt_vulkan_device *d)
{
    enum iqt_status status;

    dev->ctx = ctx;
    dev->backend = &iqt_backend_vulkan;
    IQT_TRY(open_hw(ctx, d, &dev->hw));
    status = dev->backend->stream_create(dev->hw, &dev->upload);
    if (status != IQT_OK) {
        dev->backend->close(dev->hw);
        return status;
    }
    dev->info = dev->hw->gpu.info;
    dev->limits = dev->hw->gpu.limits;
    snprintf(dev->info.spec, sizeof(dev->info.spec), "vulkan:adopted");
    dev->max_binding = dev->backend->max_binding(dev->hw, &dev->offset_align);
    if (dev->offset_align <
        16) /* kernels load 16 bytes at a time from a binding's start */
        dev->offset_align = 16;
    pthread_mutex_init(&dev->lock, NULL);
    pthread_mutex_init(&dev->upload_lock, NULL);
    return IQT_OK;
}

enum iqt_status iqt_vulkan_device_adopt(struct iqt_context *ctx,
                                        const struct iqt_vulkan_device *device,
                                        struct iqt_device **out)
{
    struct iqt_device *dev;
    enum iqt_status status;

    if (ctx == NULL || device == NULL || out == NULL)
        return iqt_fail(IQT_ERR_ARG, "iqt_vulkan_device_adopt: %s is NULL",
                        ctx == NULL      ? "ctx"
                        : device == NULL ? "device"
                                         : "out");
    IQT_TRY(check_instance(device));
    if (device->device == NULL)
        return iqt_fail(IQT_ERR_ARG, "Vulkan device: device is NULL");
    if ((device->lock_queue == NULL) != (device->unlock_queue == NULL))
        return iqt_fail(IQT_ERR_ARG,
                        "Vulkan device: one of lock_queue, unlock_queue is NULL");
    dev = calloc(1, sizeof(*dev));
    if (dev == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a device");
    status = start(dev, ctx, device);
    if (status != IQT_OK) {
        free(dev);
        return status;
    }
    *out = dev;
    return IQT_OK;
}
