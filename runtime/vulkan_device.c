/* Opening and closing: logical device, queue, the layouts that all kernels share. Works for a
 * device made here and for one adopted from a caller. */
#include "runtime/vulkan_coop.h"
#include "runtime/vulkan_hw.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Logical device ---- */

/* An optional feature's structure, and the extension that brings it before it became core. */
struct feature_step {
    bool wanted;
    void *structure;
    uint32_t core;
    const char *extension;
};

struct features {
    VkPhysicalDeviceSubgroupSizeControlFeatures size;
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot;
    VkPhysicalDeviceShaderFloat16Int8Features int8;
    VkPhysicalDeviceVulkanMemoryModelFeatures model;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coop;
};
static const struct features wanted_features = {
    .size = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
              .subgroupSizeControl = VK_TRUE,
              .computeFullSubgroups = VK_TRUE },
    .dot = { .sType =
                 VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
             .shaderIntegerDotProduct = VK_TRUE },
    .int8 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
              .shaderInt8 = VK_TRUE },
    .model = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
               .vulkanMemoryModel = VK_TRUE },
    .coop = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
              .cooperativeMatrix = VK_TRUE },
};

static enum iqt_status create_device(struct iqt_hw *hw)
{
    const struct iqt_vk_features *has = &hw->gpu.has;
    struct features f = wanted_features;
    const struct feature_step steps[] = {
        { has->subgroup_size, &f.size, VK_API_VERSION_1_3,
          VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME },
        { has->dot_product, &f.dot, VK_API_VERSION_1_3,
          VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME },
        { has->matrices, &f.int8, VK_API_VERSION_1_2,
          VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME },
        { has->matrices, &f.model, VK_API_VERSION_1_2,
          VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME },
        { has->matrices, &f.coop, UINT32_MAX, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME },
    };
    const char *extensions[IQT_COUNT(steps)];
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = hw->gpu.family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkPhysicalDeviceFeatures features = {
        .shaderStorageBufferArrayDynamicIndexing = has->buffer_index,
    };
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pEnabledFeatures = &features,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .ppEnabledExtensionNames = extensions,
    };

    for (size_t i = 0; i < IQT_COUNT(steps); i++) {
        VkBaseOutStructure *base = steps[i].structure;

        if (!steps[i].wanted)
            continue;
        base->pNext = (VkBaseOutStructure *)info.pNext;
        info.pNext = base;
        if (hw->gpu.api < steps[i].core)
            extensions[info.enabledExtensionCount++] = steps[i].extension;
    }
    IQT_VK_TRY(hw->vk, CreateDevice, hw->gpu.physical, &info, NULL, &hw->device);
    return IQT_OK;
}

/* ---- What every kernel shares ---- */

static uint32_t descriptors_for(uint32_t members)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < IQT_BINDINGS; i++)
        count += iqt_binding_of_member(i) ? members : 1;
    return count;
}

static uint32_t members_of_sets(const struct iqt_vk_gpu *gpu)
{
    const VkPhysicalDeviceLimits *l = &gpu->props.limits;
    const uint32_t need = descriptors_for(IQT_SHORT_SET_JOBS);

    return gpu->has.buffer_index && l->maxPerStageDescriptorStorageBuffers >= need &&
                   l->maxDescriptorSetStorageBuffers >= need &&
                   l->maxPerStageResources >= need
               ? IQT_SHORT_SET_JOBS
               : 1;
}

static enum iqt_status create_layouts(struct iqt_hw *hw)
{
    VkDescriptorSetLayoutBinding binding[IQT_BINDINGS];
    const VkPushConstantRange push = {
        .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        .size = sizeof(struct iqt_short_set),
    };
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = IQT_BINDINGS,
        .pBindings = binding,
    };
    const VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &hw->set_layout,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push,
    };

    static_assert(sizeof(struct iqt_short_set) == 128 &&
                      sizeof(struct iqt_params) <= sizeof(struct iqt_short_set),
                  "push constants of every device");
    hw->members = members_of_sets(&hw->gpu);
    for (uint32_t i = 0; i < IQT_BINDINGS; i++) {
        binding[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = iqt_binding_of_member(i) ? hw->members : 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    }
    IQT_VK_TRY(&hw->fn, CreateDescriptorSetLayout, hw->device, &set, NULL,
               &hw->set_layout);
    IQT_VK_TRY(&hw->fn, CreatePipelineLayout, hw->device, &layout, NULL,
               &hw->pipeline_layout);
    return IQT_OK;
}

static enum iqt_status prepare(struct iqt_hw *hw, uint32_t queue_index)
{
    hw->fn.GetDeviceQueue(hw->device, hw->gpu.family, queue_index, &hw->queue);
    IQT_TRY(create_layouts(hw));
    IQT_TRY(iqt_vk_cache_load(hw));
    return iqt_vk_alloc(hw, IQT_VK_SLACK, false, &hw->dummy);
}

static struct iqt_hw *hw_create(const struct iqt_backend_options *opt)
{
    struct iqt_hw *hw = calloc(1, sizeof(*hw));

    if (hw == NULL)
        return NULL;
    hw->cache_dir = strdup(opt->cache_dir != NULL ? opt->cache_dir : "");
    if (hw->cache_dir == NULL) {
        free(hw);
        return NULL;
    }
    pthread_mutex_init(&hw->queue_lock, NULL);
    pthread_mutex_init(&hw->build_lock, NULL);
    return hw;
}

/* ---- Opening ---- */

struct pick {
    uint32_t index, seen;
    struct iqt_vk_gpu *out;
};

static bool pick_gpu(void *user, const struct iqt_vk_gpu *gpu)
{
    struct pick *pick = user;

    if (pick->seen++ != pick->index)
        return true;
    *pick->out = *gpu;
    return false;
}

static enum iqt_status open_at(struct iqt_hw *hw, uint32_t index)
{
    struct pick pick = { .index = index, .out = &hw->gpu };

    IQT_TRY(iqt_vk_open(&hw->vk));
    IQT_TRY(iqt_vk_gpu_each(hw->vk, pick_gpu, &pick));
    if (pick.seen <= index)
        return iqt_fail(IQT_ERR_UNKNOWN,
                        "vulkan:%u: there are %u Vulkan devices (0 .. %u)", index,
                        pick.seen, pick.seen - 1);
    IQT_TRY(create_device(hw));
    IQT_TRY(iqt_vk_load_device(hw->vk, hw->device, &hw->fn));
    return prepare(hw, 0);
}

enum iqt_status iqt_vk_device_open(const struct iqt_backend_options *opt, uint32_t index,
                                   struct iqt_hw **out)
{
    struct iqt_hw *hw = hw_create(opt);
    enum iqt_status status;

    if (hw == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a Vulkan device");
    status = open_at(hw, index);
    if (status != IQT_OK) {
        iqt_vk_device_close(hw);
        return status;
    }
    *out = hw;
    return IQT_OK;
}

static enum iqt_status adopt_into(struct iqt_hw *hw, const struct iqt_vk_adoption *from)
{
    IQT_TRY(iqt_vk_gpu_query(from->vk, from->physical, &hw->gpu));
    iqt_vk_gpu_restrict(&hw->gpu, &from->enabled);
    hw->vk = from->vk;
    hw->gpu.family = from->family;
    hw->gpu.timestamp_bits = 0; /* of the chosen family, which may be another one */
    IQT_TRY(iqt_vk_load_device(hw->vk, from->device, &hw->fn));
    hw->device = from->device;
    return prepare(hw, from->queue_index);
}

enum iqt_status iqt_vk_device_adopt(const struct iqt_backend_options *opt,
                                    const struct iqt_vk_adoption *from,
                                    struct iqt_hw **out)
{
    struct iqt_hw *hw = hw_create(opt);
    enum iqt_status status;

    if (hw == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a Vulkan device");
    hw->adopted = true;
    hw->lock_queue = from->lock_queue;
    hw->unlock_queue = from->unlock_queue;
    hw->lock_user = from->lock_user;
    status = adopt_into(hw, from);
    if (status != IQT_OK) {
        hw->vk = NULL; /* stays with the caller */
        iqt_vk_device_close(hw);
        return status;
    }
    *out = hw;
    return IQT_OK;
}

/* Also takes down a half-opened device: every handle may be null. */
void iqt_vk_device_close(struct iqt_hw *hw)
{
    if (hw == NULL)
        return;
    if (hw->device != NULL && hw->fn.DestroyDevice != NULL) {
        iqt_vk_cache_save(hw);
        iqt_vk_free(hw, hw->dummy);
        hw->fn.DestroyPipelineCache(hw->device, hw->cache, NULL);
        hw->fn.DestroyPipelineLayout(hw->device, hw->pipeline_layout, NULL);
        hw->fn.DestroyDescriptorSetLayout(hw->device, hw->set_layout, NULL);
        if (!hw->adopted)
            hw->fn.DestroyDevice(hw->device, NULL);
    }
    iqt_vk_close(hw->vk);
    iqt_spirv_compiler_close(hw->compiler);
    pthread_mutex_destroy(&hw->build_lock);
    pthread_mutex_destroy(&hw->queue_lock);
    free(hw->cache_dir);
    free(hw);
}
