/* Mesa's RADV on its null device: with RADV_FORCE_FAMILY it compiles for a GPU that is not there, and
 * tells what a pipeline uses. Pipelines are made as runtime/vulkan_pipeline.c makes them. ACO may
 * abort the process. */
#include "tests/gates/gates.h"

#include "runtime/vulkan_hw.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

enum { GPUS = 8, STATISTICS = 64 };

struct radv {
    char name[32];
    struct iqt_vk *vk;
    struct iqt_vk_gpu gpu;
    VkDevice device;
    struct iqt_vk_device_functions fn;
    VkPipelineLayout layout;
    PFN_vkGetPipelineExecutableStatisticsKHR statistics;
};

/* ---- Opening ---- */

/* Tells the loader to load RADV alone, unless the user has chosen drivers. */
static void choose_driver(void)
{
    static const char *const patterns[] = { "/usr/share/vulkan/icd.d/radeon_icd*.json",
                                            "/etc/vulkan/icd.d/radeon_icd*.json" };
    struct iqt_buf list = { 0 };

    for (size_t i = 0; i < IQT_COUNT(patterns); i++) {
        glob_t found;

        if (glob(patterns[i], 0, NULL, &found) != 0)
            continue;
        for (size_t j = 0; j < found.gl_pathc; j++)
            iqt_buf_printf(&list, "%s%s", list.bytes ? ":" : "", found.gl_pathv[j]);
        globfree(&found);
    }
    if (list.bytes > 0) { /* the second name is the loader's before 1.3.207 */
        setenv("VK_DRIVER_FILES", list.data, 0);
        setenv("VK_ICD_FILENAMES", list.data, 0);
    }
    iqt_buf_free(&list);
}

static bool pick_first(void *user, const struct iqt_vk_gpu *gpu)
{
    struct iqt_vk_gpu *out = user;

    *out = *gpu;
    return false;
}

static enum iqt_status create_device(struct radv *r)
{
    static const char extension[] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    static const char *const extensions[] = { extension };
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable = {
        .sType =
            VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
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
        .queueFamilyIndex = r->gpu.family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = &dot,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = IQT_COUNT(extensions),
        .ppEnabledExtensionNames = extensions,
    };

    IQT_VK_TRY(r->vk, CreateDevice, r->gpu.physical, &info, NULL, &r->device);
    IQT_TRY(iqt_vk_load_device(r->vk, r->device, &r->fn));
    r->statistics = (PFN_vkGetPipelineExecutableStatisticsKHR)r->vk->GetDeviceProcAddr(
        r->device, "vkGetPipelineExecutableStatisticsKHR");
    return r->statistics != NULL ? IQT_OK
                                 : iqt_fail(IQT_ERR_UNSUPPORTED, "no %s", extension);
}

static enum iqt_status create_layout(struct radv *r)
{
    VkDescriptorSetLayoutBinding binding[IQT_BINDINGS];
    const VkPushConstantRange push = {
        .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        .size = sizeof(struct iqt_short_set),
    };
    const VkDescriptorSetLayoutCreateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = IQT_BINDINGS,
        .pBindings = binding,
    };
    VkDescriptorSetLayout set;
    const VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &set,
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
    IQT_VK_TRY(&r->fn, CreateDescriptorSetLayout, r->device, &set_info, NULL, &set);
    IQT_VK_TRY(&r->fn, CreatePipelineLayout, r->device, &info, NULL, &r->layout);
    return IQT_OK;
}

/* Opens the GPU of one of Mesa's names. */
static enum iqt_status open_name(const char *name, struct radv *out)
{
    struct radv r = { 0 };
    enum iqt_status status;

    setenv("RADV_FORCE_FAMILY", name, 1);
    IQT_TRY(iqt_vk_open(&r.vk));
    status = iqt_vk_gpu_each(r.vk, pick_first, &r.gpu);
    if (status == IQT_OK && strstr(r.gpu.props.deviceName, "RADV") == NULL)
        status = iqt_fail(IQT_ERR_NO_DRIVER, "%s is not RADV", r.gpu.props.deviceName);
    if (status == IQT_OK)
        status = create_device(&r);
    if (status == IQT_OK)
        status = create_layout(&r);
    if (status == IQT_OK)
        *out = r;
    else
        iqt_vk_close(r.vk);
    return status;
}

/* Newer Mesa has other names for some. Devices stay open as long as the process. */
static enum iqt_status open_gpu(const char *name, struct radv **out)
{
    static const char *const aliases[][2] = { { "gfx1100", "navi31" } };
    static struct radv opened[GPUS];
    enum iqt_status status;
    uint32_t i = 0;

    while (i + 1 < GPUS && *opened[i].name != '\0' && strcmp(opened[i].name, name) != 0)
        i++;
    *out = &opened[i];
    if (*opened[i].name != '\0')
        return IQT_OK;
    choose_driver();
    status = open_name(name, &opened[i]);
    for (size_t a = 0; a < IQT_COUNT(aliases) && status != IQT_OK; a++)
        if (strcmp(aliases[a][0], name) == 0)
            status = open_name(aliases[a][1], &opened[i]);
    if (status == IQT_OK)
        snprintf(opened[i].name, sizeof opened[i].name, "%s", name);
    return status;
}

enum iqt_status gate_radv_name(const char *gpu, char out[GATE_COMPILER])
{
    struct radv *r;

    IQT_TRY(open_gpu(gpu, &r));
    snprintf(out, GATE_COMPILER, "%.40s %.50s", r->gpu.props.deviceName,
             r->gpu.info.driver);
    return IQT_OK;
}

/* ---- Compiling ---- */

static enum iqt_status create_pipeline(struct radv *r, const struct gate_kernel *k,
                                       VkShaderModule module, VkPipeline *out)
{
    const struct iqt_limits *limits = &r->gpu.limits;
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo required = {
        .sType =
            VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = limits->subgroup_min,
    };
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR,
        .stage = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
            .stage = VK_SHADER_STAGE_COMPUTE_BIT,
            .module = module,
            .pName = "main",
        },
        .layout = r->layout,
    };
    VkResult result;

    if (k->plan.format != NULL && k->plan.reduce == IQT_REDUCE_SUBGROUP) {
        while (required.requiredSubgroupSize < k->plan.threads &&
               required.requiredSubgroupSize < limits->subgroup_max)
            required.requiredSubgroupSize *= 2;
        info.stage.pNext = r->gpu.sized ? &required : NULL;
        if (iqt_plan_threads(&k->plan) % required.requiredSubgroupSize == 0)
            info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    }
    result = r->fn.CreateComputePipelines(r->device, VK_NULL_HANDLE, 1, &info, NULL, out);
    return result >= 0 ? IQT_OK
                       : iqt_fail(IQT_ERR_COMPILE, "%s: vkCreateComputePipelines: %s",
                                  r->name, iqt_vk_result_name(result));
}

static enum iqt_status read_statistics(struct radv *r, VkPipeline pipeline,
                                       struct iqt_binary_info *out)
{
    uint32_t vector_spills = 0, scalar_spills = 0, found = 0;
    struct iqt_binary_info i = { 0 };
    const struct {
        const char *name;
        uint32_t *to;
    } wanted[] = {
        { "VGPRs", &i.registers },           { "SGPRs", &i.scalars },
        { "Spilled VGPRs", &vector_spills }, { "Spilled SGPRs", &scalar_spills },
        { "Scratch size", &i.stack_bytes },  { "LDS size", &i.shared_bytes },
    };
    const VkPipelineExecutableInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
        .pipeline = pipeline,
    };
    VkPipelineExecutableStatisticKHR statistic[STATISTICS];
    uint32_t count = STATISTICS;

    for (uint32_t s = 0; s < STATISTICS; s++)
        statistic[s] = (VkPipelineExecutableStatisticKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR
        };
    if (r->statistics(r->device, &info, &count, statistic) < 0)
        return iqt_fail(IQT_ERR_DEVICE, "%s gives no statistics", r->name);
    for (uint32_t s = 0; s < count; s++)
        for (size_t w = 0; w < IQT_COUNT(wanted); w++)
            if (strcmp(statistic[s].name, wanted[w].name) == 0) {
                *wanted[w].to = (uint32_t)statistic[s].value.u64;
                found++;
            }
    if (found != IQT_COUNT(wanted))
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s tells %u of %zu statistics", r->name,
                        found, IQT_COUNT(wanted));
    i.spills = vector_spills + scalar_spills;
    *out = i;
    return IQT_OK;
}

enum iqt_status gate_radv(const char *gpu, const struct gate_kernel *k,
                          const uint32_t *word, size_t words, struct iqt_binary_info *out)
{
    const VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = words * sizeof *word,
        .pCode = word,
    };
    struct radv *r;
    VkShaderModule module;
    VkPipeline pipeline;
    enum iqt_status status;

    IQT_TRY(open_gpu(gpu, &r));
    IQT_VK_TRY(&r->fn, CreateShaderModule, r->device, &info, NULL, &module);
    status = create_pipeline(r, k, module, &pipeline);
    if (status == IQT_OK) {
        status = read_statistics(r, pipeline, out);
        r->fn.DestroyPipeline(r->device, pipeline, NULL);
    }
    r->fn.DestroyShaderModule(r->device, module, NULL);
    return status;
}
