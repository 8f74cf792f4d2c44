/* The Vulkan backend's table: which function fills which slot, and the list of devices. */
#include "runtime/vulkan_hw.h"

struct report {
    iqt_device_fn fn;
    void *user;
};

static bool report_gpu(void *user, const struct iqt_vk_gpu *gpu)
{
    const struct report *report = user;

    report->fn(report->user, &gpu->info);
    return true;
}

static enum iqt_status scan(const struct iqt_backend_options *opt, iqt_device_fn fn,
                            void *user)
{
    struct report report = { fn, user };
    struct iqt_vk *vk;
    enum iqt_status status;

    (void)opt;
    IQT_TRY(iqt_vk_open(&vk));
    status = iqt_vk_gpu_each(vk, report_gpu, &report);
    iqt_vk_close(vk);
    return status;
}

static enum iqt_status open_index(const struct iqt_backend_options *opt, uint32_t index,
                                  struct iqt_device_info *info, struct iqt_limits *limits,
                                  struct iqt_hw **out)
{
    struct iqt_hw *hw;

    IQT_TRY(iqt_vk_device_open(opt, index, &hw));
    *info = hw->gpu.info;
    *limits = hw->gpu.limits;
    *out = hw;
    return IQT_OK;
}

static enum iqt_status alloc_device(struct iqt_hw *hw, uint64_t bytes, const void *host,
                                    struct iqt_mem **out)
{
    (void)host; /* a device has its own memory: the CPU backend alone borrows */
    return iqt_vk_alloc(hw, bytes, false, out);
}

/* Slices stay below the limit by the slack that a binding adds behind them. */
static uint64_t max_binding(struct iqt_hw *hw, uint32_t *offset_align)
{
    const VkPhysicalDeviceLimits *limits = &hw->gpu.props.limits;
    const uint64_t align = limits->minStorageBufferOffsetAlignment;

    *offset_align = align > IQT_VK_SLACK ? (uint32_t)align : IQT_VK_SLACK;
    return (limits->maxStorageBufferRange - IQT_VK_SLACK) / *offset_align * *offset_align;
}

const struct iqt_backend iqt_backend_vulkan = {
    .name = "vulkan",
    .dialect = IQT_DIALECT_GLSL,
    .scan = scan,
    .open = open_index,
    .close = iqt_vk_device_close,
    .stream_create = iqt_vk_stream_create,
    .stream_destroy = iqt_vk_stream_destroy,
    .alloc = alloc_device,
    .free = iqt_vk_free,
    .write = iqt_vk_stream_write,
    .read = iqt_vk_stream_read,
    .build = iqt_vk_build,
    .build_helper = iqt_vk_build_helper,
    .drop = iqt_vk_drop,
    .launch = iqt_vk_stream_launch,
    .launch_set = iqt_vk_stream_launch_set,
    .finish = iqt_vk_stream_finish,
    .max_binding = max_binding,
};
