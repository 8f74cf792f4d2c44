/* Buffers: one allocation each, mapped where the device's memory is the host's. Knows nothing of
 * what they hold. */
#include "runtime/vulkan_hw.h"

#include <stdlib.h>

enum { NO_TYPE = UINT32_MAX };

/* Memory types in order of preference: all the flags, none of the avoided ones. */
struct wish {
    VkMemoryPropertyFlags flags, avoid;
};

enum {
    LOCAL = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
    VISIBLE = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT,
    COHERENT = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
    CACHED = VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
};

static const struct wish wishes_unified[] = {
    { LOCAL | VISIBLE | COHERENT | CACHED, 0 },
    { LOCAL | VISIBLE | COHERENT, 0 },
    { LOCAL, 0 },
    { 0, 0 },
};
/* Host-visible device memory is often a small window: leave it to those who need it. */
static const struct wish wishes_device[] = { { LOCAL, VISIBLE }, { LOCAL, 0 }, { 0, 0 } };
static const struct wish wishes_staging[] = {
    { VISIBLE | COHERENT | CACHED, LOCAL },
    { VISIBLE | COHERENT | CACHED, 0 },
    { VISIBLE | COHERENT, 0 },
};

static uint32_t find_type(const VkPhysicalDeviceMemoryProperties *memory,
                          uint32_t allowed, const struct wish *wish)
{
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++) {
        const VkMemoryPropertyFlags flags = memory->memoryTypes[i].propertyFlags;

        if ((allowed >> i & 1u) && (flags & wish->flags) == wish->flags &&
            (flags & wish->avoid) == 0)
            return i;
    }
    return NO_TYPE;
}

static uint32_t pick_type(const struct iqt_hw *hw, uint32_t allowed, bool staging)
{
    const struct wish *wish = wishes_device;
    size_t count = IQT_COUNT(wishes_device);

    if (staging) {
        wish = wishes_staging;
        count = IQT_COUNT(wishes_staging);
    } else if (hw->gpu.unified) {
        wish = wishes_unified;
        count = IQT_COUNT(wishes_unified);
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t type = find_type(&hw->gpu.memory, allowed, &wish[i]);

        if (type != NO_TYPE)
            return type;
    }
    return NO_TYPE;
}

static enum iqt_status create_buffer(struct iqt_hw *hw, struct iqt_mem *mem)
{
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = mem->bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };

    IQT_VK_TRY(&hw->fn, CreateBuffer, hw->device, &info, NULL, &mem->buffer);
    return IQT_OK;
}

static enum iqt_status back_buffer(struct iqt_hw *hw, struct iqt_mem *mem, bool staging)
{
    VkMemoryRequirements need;
    VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO };
    VkResult result;

    hw->fn.GetBufferMemoryRequirements(hw->device, mem->buffer, &need);
    info.allocationSize = need.size;
    info.memoryTypeIndex = pick_type(hw, need.memoryTypeBits, staging);
    if (info.memoryTypeIndex == NO_TYPE)
        return iqt_fail(IQT_ERR_DEVICE, "%s has no memory type for a %s buffer",
                        hw->gpu.info.name, staging ? "staging" : "storage");
    result = hw->fn.AllocateMemory(hw->device, &info, NULL, &mem->memory);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY)
        return iqt_fail(IQT_ERR_NO_MEMORY, "%s: no device memory for %llu bytes",
                        hw->gpu.info.name, (unsigned long long)need.size);
    if (result < 0)
        return iqt_vk_fail("vkAllocateMemory", result);
    IQT_VK_TRY(&hw->fn, BindBufferMemory, hw->device, mem->buffer, mem->memory, 0);

    const VkMemoryPropertyFlags flags =
        hw->gpu.memory.memoryTypes[info.memoryTypeIndex].propertyFlags;
    if ((staging || hw->gpu.unified) && (flags & VISIBLE) && (flags & COHERENT))
        IQT_VK_TRY(&hw->fn, MapMemory, hw->device, mem->memory, 0, VK_WHOLE_SIZE, 0,
                   (void **)&mem->map);
    return IQT_OK;
}

enum iqt_status iqt_vk_alloc(struct iqt_hw *hw, uint64_t bytes, bool staging,
                             struct iqt_mem **out)
{
    const uint64_t limit = hw->gpu.max_allocation;
    struct iqt_mem *mem;
    enum iqt_status status;

    if (limit < 2 * IQT_VK_SLACK || bytes > limit - 2 * IQT_VK_SLACK)
        return iqt_fail(
            IQT_ERR_NO_MEMORY, "%s: %llu bytes in one buffer, the driver allows %llu",
            hw->gpu.info.name, (unsigned long long)bytes, (unsigned long long)limit);
    mem = calloc(1, sizeof(*mem));
    if (mem == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a Vulkan buffer");
    mem->bytes = iqt_round_up(bytes, IQT_VK_SLACK) + IQT_VK_SLACK;
    status = create_buffer(hw, mem);
    if (status == IQT_OK)
        status = back_buffer(hw, mem, staging);
    if (status != IQT_OK) {
        iqt_vk_free(hw, mem);
        return status;
    }
    *out = mem;
    return IQT_OK;
}

/* Freeing memory unmaps it. */
void iqt_vk_free(struct iqt_hw *hw, struct iqt_mem *mem)
{
    if (mem == NULL)
        return;
    hw->fn.DestroyBuffer(hw->device, mem->buffer, NULL);
    hw->fn.FreeMemory(hw->device, mem->memory, NULL);
    free(mem);
}
