/* A Vulkan device that only compiles, and what VK_KHR_pipeline_executable_properties tells of a
 * pipeline. The layouts are those of runtime/vulkan_device.c. */
#include "stats/radv_device.h"

#include "kernels/coop.h"
#include "kernels/quantized.h"
#include "runtime/vulkan_api.h"
#include "runtime/vulkan_coop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STATISTICS = 64, MOST_TEXTS = 16 };

struct device {
    struct iqt_vk *vk;
    VkPhysicalDevice physical;
    VkPhysicalDeviceSubgroupSizeControlProperties sizes;
    VkDevice device;
    struct iqt_vk_device_functions fn;
    VkPipelineLayout layout;
    VkPipeline pipeline;
};

/* ---- Device ---- */

static bool has_extension(const struct device *d, const char *name)
{
    uint32_t count = 0;
    bool found = false;
    VkExtensionProperties *list;

    if (d->vk->EnumerateDeviceExtensionProperties(d->physical, NULL, &count, NULL) < 0)
        return false;
    list = calloc(count + 1, sizeof *list);
    if (list != NULL &&
        d->vk->EnumerateDeviceExtensionProperties(d->physical, NULL, &count, list) >= 0)
        for (uint32_t i = 0; i < count && !found; i++)
            found = strcmp(list[i].extensionName, name) == 0;
    free(list);
    return found;
}

static enum iqt_status find_physical(struct device *d, struct iqt_radv_info *info)
{
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
        .pNext = &d->sizes,
    };
    VkPhysicalDeviceProperties2 props = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
        .pNext = &driver,
    };
    uint32_t count = 1;

    d->sizes.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES;
    if (d->vk->EnumeratePhysicalDevices(d->vk->instance, &count, &d->physical) < 0 ||
        count == 0)
        return iqt_fail(IQT_ERR_NO_DRIVER, "RADV shows no device of this family");
    d->vk->GetPhysicalDeviceProperties2(d->physical, &props);
    if (driver.driverID != VK_DRIVER_ID_MESA_RADV)
        return iqt_fail(IQT_ERR_NO_DRIVER, "%s is not RADV", props.properties.deviceName);
    if (!has_extension(d, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME))
        return iqt_fail(IQT_ERR_UNSUPPORTED, "this RADV has no %s",
                        VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
    snprintf(info->driver, sizeof info->driver, "radv %.48s", driver.driverInfo);
    return IQT_OK;
}

static enum iqt_status create_device(struct device *d)
{
    static const char *const extensions[] = {
        VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME,
        VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME,
    };
    const bool matrices = has_extension(d, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coop = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
        .cooperativeMatrix = VK_TRUE,
    };
    VkPhysicalDeviceVulkanMemoryModelFeatures model = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
        .pNext = &coop,
        .vulkanMemoryModel = VK_TRUE,
    };
    VkPhysicalDeviceShaderFloat16Int8Features int8 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
        .pNext = &model,
        .shaderInt8 = VK_TRUE,
    };
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable = {
        .sType =
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pNext = matrices ? &int8 : NULL,
        .pipelineExecutableInfo = VK_TRUE,
    };
    VkPhysicalDeviceSubgroupSizeControlFeatures size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .pNext = &executable,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = VK_TRUE,
    };
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
        .pNext = &size,
        .shaderIntegerDotProduct = VK_TRUE,
    };
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &dot,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = matrices ? 2 : 1,
        .ppEnabledExtensionNames = extensions,
    };

    IQT_VK_TRY(d->vk, CreateDevice, d->physical, &info, NULL, &d->device);
    return iqt_vk_load_device(d->vk, d->device, &d->fn);
}

/* ---- Pipeline ---- */

static enum iqt_status create_layout(struct device *d)
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
    VkDescriptorSetLayout sets;
    const VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &sets,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push,
    };

    for (uint32_t i = 0; i < IQT_BINDINGS; i++)
        binding[i] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = iqt_binding_of_member(i) ? IQT_SHORT_SET_JOBS : 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    IQT_VK_TRY(&d->fn, CreateDescriptorSetLayout, d->device, &set, NULL, &sets);
    IQT_VK_TRY(&d->fn, CreatePipelineLayout, d->device, &layout, NULL, &d->layout);
    return IQT_OK;
}

static enum iqt_status create_pipeline(struct device *d, const struct iqt_plan *plan,
                                       const uint32_t *word, size_t words)
{
    const VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = words * sizeof *word,
        .pCode = word,
    };
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType =
            VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = d->sizes.minSubgroupSize,
    };
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                 VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR,
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT,
            .pName = "main",
        },
        .layout = d->layout,
    };

    /* As the vulkan backend asks for it: shuffles need the threads of a row in one subgroup. */
    while (!iqt_plan_is_coop(plan) && size.requiredSubgroupSize < plan->threads &&
           size.requiredSubgroupSize < d->sizes.maxSubgroupSize)
        size.requiredSubgroupSize *= 2;
    if (plan->reduce == IQT_REDUCE_SUBGROUP || iqt_plan_is_coop(plan))
        info.stage.pNext = &size;
    IQT_VK_TRY(&d->fn, CreateShaderModule, d->device, &module_info, NULL,
               &info.stage.module);
    IQT_VK_TRY(&d->fn, CreateComputePipelines, d->device, VK_NULL_HANDLE, 1, &info, NULL,
               &d->pipeline);
    return IQT_OK;
}

/* ---- What it became ---- */

#define GET(fn)                                                                      \
    const PFN_vk##fn fn = (PFN_vk##fn)d->vk->GetDeviceProcAddr(d->device, "vk" #fn); \
    if (fn == NULL)                                                                  \
    return iqt_fail(IQT_ERR_UNSUPPORTED, "the Vulkan device has no vk" #fn)

static enum iqt_status read_wave(const struct device *d, struct iqt_radv_info *info)
{
    const VkPipelineInfoKHR pipeline = { .sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR,
                                         .pipeline = d->pipeline };
    VkPipelineExecutablePropertiesKHR props = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR,
    };
    uint32_t count = 1;

    GET(GetPipelineExecutablePropertiesKHR);
    if (GetPipelineExecutablePropertiesKHR(d->device, &pipeline, &count, &props) < 0 ||
        count == 0 || props.subgroupSize == 0)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "RADV does not describe the pipeline");
    info->wave = props.subgroupSize;
    return IQT_OK;
}

static enum iqt_status read_statistics(const struct device *d, struct iqt_radv_info *info)
{
    const VkPipelineExecutableInfoKHR which = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
        .pipeline = d->pipeline,
    };
    uint32_t vector_spills = 0, scalar_spills = 0;
    const struct {
        const char *name;
        uint32_t *to;
    } wanted[] = {
        { "VGPRs", &info->registers },       { "SGPRs", &info->scalars },
        { "Spilled VGPRs", &vector_spills }, { "Spilled SGPRs", &scalar_spills },
        { "LDS size", &info->shared_bytes }, { "Scratch size", &info->scratch_bytes },
    };
    VkPipelineExecutableStatisticKHR list[MOST_STATISTICS] = { 0 };
    uint32_t count = MOST_STATISTICS;
    size_t found = 0;

    for (size_t i = 0; i < IQT_COUNT(list); i++)
        list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    GET(GetPipelineExecutableStatisticsKHR);
    if (GetPipelineExecutableStatisticsKHR(d->device, &which, &count, list) < 0)
        count = 0;
    for (uint32_t i = 0; i < count; i++)
        for (size_t j = 0; j < IQT_COUNT(wanted); j++)
            if (strcmp(list[i].name, wanted[j].name) == 0) {
                *wanted[j].to = (uint32_t)list[i].value.u64;
                found++;
            }
    info->spills = vector_spills + scalar_spills;
    info->scratch_bytes /= info->wave; /* RADV gives a wave's */
    return found == IQT_COUNT(wanted)
               ? IQT_OK
               : iqt_fail(IQT_ERR_UNSUPPORTED, "RADV gave %zu of the %zu statistics",
                          found, IQT_COUNT(wanted));
}

static enum iqt_status read_listing(const struct device *d, struct iqt_buf *out)
{
    const VkPipelineExecutableInfoKHR which = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
        .pipeline = d->pipeline,
    };
    VkPipelineExecutableInternalRepresentationKHR list[MOST_TEXTS] = { 0 };
    uint32_t count = MOST_TEXTS;
    VkResult result;

    for (size_t i = 0; i < IQT_COUNT(list); i++)
        list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    GET(GetPipelineExecutableInternalRepresentationsKHR);
    result =
        GetPipelineExecutableInternalRepresentationsKHR(d->device, &which, &count, list);
    for (uint32_t i = 0; i < count && result >= 0; i++)
        list[i].pData = calloc(1, list[i].dataSize + 1);
    if (result >= 0)
        result = GetPipelineExecutableInternalRepresentationsKHR(d->device, &which,
                                                                 &count, list);
    for (uint32_t i = 0; i < count && result >= 0; i++) {
        if (list[i].pData != NULL && strcmp(list[i].name, "Assembly") == 0)
            iqt_buf_append(out, list[i].pData, strlen(list[i].pData));
        free(list[i].pData);
    }
    if (out->bytes == 0)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "RADV gave no listing of the pipeline");
    return iqt_buf_check(out);
}

enum iqt_status iqt_radv_device_compile(const struct iqt_plan *plan, const uint32_t *word,
                                        size_t words, struct iqt_buf *out,
                                        struct iqt_radv_info *info)
{
    struct device d = { 0 };

    IQT_TRY(iqt_vk_open(&d.vk));
    IQT_TRY(find_physical(&d, info));
    if (iqt_plan_is_coop(plan) &&
        !has_extension(&d, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME))
        return iqt_fail(IQT_ERR_UNSUPPORTED, "this RADV has no %s for this GPU",
                        VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    IQT_TRY(create_device(&d));
    IQT_TRY(create_layout(&d));
    IQT_TRY(create_pipeline(&d, plan, word, words));
    IQT_TRY(read_wave(&d, info));
    IQT_TRY(read_statistics(&d, info));
    return read_listing(&d, out);
}
