/* What a physical device is and allows: queries only, nothing is created. Extension structures
 * are chained only where the device has them, so that Vulkan 1.1 drivers are fine. */
#include "runtime/vulkan_coop.h"
#include "runtime/vulkan_hw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 64, MAX_FAMILIES = 64 };

struct extensions {
    VkExtensionProperties *list;
    uint32_t count;
};

/* Structures of one vkGetPhysicalDevice*2 query. */
struct chain {
    const struct extensions *ext;
    uint32_t api;
    void *head;
};

/* ---- Extensions ---- */

static enum iqt_status extensions_read(const struct iqt_vk *vk, VkPhysicalDevice physical,
                                       struct extensions *out)
{
    struct extensions e = { NULL, 0 };

    IQT_VK_TRY(vk, EnumerateDeviceExtensionProperties, physical, NULL, &e.count, NULL);
    e.list = calloc(e.count + 1, sizeof(*e.list));
    if (e.list == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %u Vulkan extensions", e.count);
    const VkResult result =
        vk->EnumerateDeviceExtensionProperties(physical, NULL, &e.count, e.list);
    if (result < 0) {
        free(e.list);
        return iqt_vk_fail("vkEnumerateDeviceExtensionProperties", result);
    }
    *out = e;
    return IQT_OK;
}

static bool extension_has(const struct extensions *e, const char *name)
{
    for (uint32_t i = 0; i < e->count; i++) {
        if (strcmp(e->list[i].extensionName, name) == 0)
            return true;
    }
    return false;
}

/* Appends a structure if the device knows it: core since api, or through an extension. */
static void chain_add(struct chain *c, void *structure, uint32_t core,
                      const char *extension)
{
    VkBaseOutStructure *base = structure;

    if (c->api < core && !extension_has(c->ext, extension))
        return;
    base->pNext = c->head;
    c->head = base;
}

/* ---- Features ---- */

static const uint32_t never = UINT32_MAX; /* not in any core version */

static void read_features(const struct iqt_vk *vk, const struct extensions *ext,
                          struct iqt_vk_gpu *gpu)
{
    struct chain c = { ext, gpu->api, NULL };
    VkPhysicalDeviceSubgroupSizeControlFeatures size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
    };
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
    };
    VkPhysicalDeviceShaderFloat16Int8Features f16i8 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
    };
    VkPhysicalDevice8BitStorageFeatures s8 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES,
    };
    VkPhysicalDevice16BitStorageFeatures s16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
    };
    VkPhysicalDeviceVulkanMemoryModelFeatures model = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
    };
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coop = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
    };
    VkPhysicalDeviceFeatures2 all = { .sType =
                                          VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2 };

    chain_add(&c, &size, VK_API_VERSION_1_3, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    chain_add(&c, &dot, VK_API_VERSION_1_3,
              VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
    chain_add(&c, &f16i8, VK_API_VERSION_1_2, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
    chain_add(&c, &s8, VK_API_VERSION_1_2, VK_KHR_8BIT_STORAGE_EXTENSION_NAME);
    chain_add(&c, &s16, VK_API_VERSION_1_1, VK_KHR_16BIT_STORAGE_EXTENSION_NAME);
    chain_add(&c, &model, VK_API_VERSION_1_2, VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME);
    chain_add(&c, &coop, never, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    all.pNext = c.head;
    vk->GetPhysicalDeviceFeatures2(gpu->physical, &all);

    gpu->has = (struct iqt_vk_features){
        .subgroup_size = size.subgroupSizeControl && size.computeFullSubgroups,
        .dot_product = dot.shaderIntegerDotProduct,
        .buffer_index = all.features.shaderStorageBufferArrayDynamicIndexing,
        .int8 = f16i8.shaderInt8,
        .int16 = all.features.shaderInt16,
        .float16 = f16i8.shaderFloat16,
        .storage8 = s8.storageBuffer8BitAccess,
        .storage16 = s16.storageBuffer16BitAccess,
        .matrices = coop.cooperativeMatrix && model.vulkanMemoryModel && f16i8.shaderInt8,
    };
}

/* ---- Properties ---- */

/* Everything that properties say beyond the core structure. */
struct properties {
    VkPhysicalDeviceIDProperties id;
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceMaintenance3Properties maintenance3;
    VkPhysicalDeviceDriverProperties driver;
    VkPhysicalDeviceSubgroupSizeControlProperties size;
    VkPhysicalDeviceShaderIntegerDotProductProperties dot;
    VkPhysicalDeviceShaderCorePropertiesAMD amd;
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nv;
    VkPhysicalDeviceCooperativeMatrixPropertiesKHR coop;
};

static void read_properties(const struct iqt_vk *vk, const struct extensions *ext,
                            struct iqt_vk_gpu *gpu, struct properties *p)
{
    struct chain c = { ext, gpu->api, NULL };
    VkPhysicalDeviceProperties2 all = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2
    };

    memset(p, 0, sizeof(*p));
    p->id.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES;
    p->subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
    p->maintenance3.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES;
    p->driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
    p->size.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES;
    p->dot.sType =
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES;
    p->amd.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD;
    p->nv.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV;
    p->coop.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_PROPERTIES_KHR;

    chain_add(&c, &p->id, VK_API_VERSION_1_1, "");
    chain_add(&c, &p->subgroup, VK_API_VERSION_1_1, "");
    chain_add(&c, &p->maintenance3, VK_API_VERSION_1_1, "");
    chain_add(&c, &p->driver, VK_API_VERSION_1_2,
              VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME);
    chain_add(&c, &p->size, VK_API_VERSION_1_3,
              VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    chain_add(&c, &p->dot, VK_API_VERSION_1_3,
              VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
    chain_add(&c, &p->amd, never, VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME);
    chain_add(&c, &p->nv, never, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME);
    chain_add(&c, &p->coop, never, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    all.pNext = c.head;
    vk->GetPhysicalDeviceProperties2(gpu->physical, &all);
}

/* ---- Info and limits ---- */

static uint64_t device_bytes(const VkPhysicalDeviceMemoryProperties *memory)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < memory->memoryHeapCount; i++) {
        if (memory->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            bytes += memory->memoryHeaps[i].size;
    }
    return bytes;
}

static uint32_t compute_units(const struct properties *p)
{
    if (p->nv.shaderSMCount != 0)
        return p->nv.shaderSMCount;
    return p->amd.shaderEngineCount * p->amd.shaderArraysPerEngineCount *
           p->amd.computeUnitsPerShaderArray;
}

static void fill_limits(struct iqt_vk_gpu *gpu, const struct properties *p)
{
    const VkPhysicalDeviceLimits *limits = &gpu->props.limits;
    const VkSubgroupFeatureFlags need =
        VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    const uint32_t threads = limits->maxComputeWorkGroupInvocations;

    gpu->sized = gpu->has.subgroup_size &&
                 (p->size.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT);
    gpu->max_subgroups = p->size.maxComputeWorkgroupSubgroups;
    gpu->max_allocation = p->maintenance3.maxMemoryAllocationSize;
    gpu->limits = (struct iqt_limits){
        .subgroup_min = gpu->sized ? p->size.minSubgroupSize : p->subgroup.subgroupSize,
        .subgroup_max = gpu->sized ? p->size.maxSubgroupSize : p->subgroup.subgroupSize,
        .max_threads = threads < limits->maxComputeWorkGroupSize[0]
                           ? threads
                           : limits->maxComputeWorkGroupSize[0],
        .shared_bytes = limits->maxComputeSharedMemorySize,
        .compute_units = compute_units(p),
        .subgroup_ops = gpu->has.subgroup_size &&
                        (p->subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                        (p->subgroup.supportedOperations & need) == need,
        .dot4 =
            gpu->has.dot_product && p->dot.integerDotProduct4x8BitPackedSignedAccelerated,
        .software = gpu->props.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU,
    };
}

/* Kernels on matrices decode with dot products, and ask for full subgroups. */
static void fill_matrices(const struct iqt_vk *vk, struct iqt_vk_gpu *gpu,
                          const struct properties *p)
{
    gpu->has.matrices =
        gpu->has.matrices && gpu->has.dot_product && gpu->has.subgroup_size &&
        (p->coop.cooperativeMatrixSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT);
    gpu->depth = gpu->has.matrices ? iqt_vk_coop_depth(vk, gpu->physical) : 0;
    gpu->has.matrices = gpu->limits.mma = gpu->depth > 0;
}

static void fill_words(struct iqt_vk_gpu *gpu, const struct extensions *ext)
{
    const struct {
        bool has;
        const char *word;
    } words[] = {
        { gpu->limits.software, "software" },
        { gpu->has.int8, "int8" },
        { gpu->has.int16, "int16" },
        { gpu->has.float16, "float16" },
        { gpu->has.storage8, "storage8" },
        { gpu->has.storage16, "storage16" },
        { gpu->limits.dot4, "dot4" },
        { gpu->limits.subgroup_ops, "shuffle" },
        { extension_has(ext, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME), "coopmat" },
        { gpu->limits.mma, "mma" },
        { gpu->unified, "unified" },
    };
    struct iqt_device_info *info = &gpu->info;
    size_t at = 0;

    for (size_t i = 0; i < IQT_COUNT(words); i++) {
        if (words[i].has)
            at += (size_t)snprintf(info->features + at, sizeof(info->features) - at,
                                   "%s ", words[i].word);
    }
    if (info->subgroup_min == info->subgroup_max)
        snprintf(info->features + at, sizeof(info->features) - at, "subgroup%u",
                 info->subgroup_min);
    else
        snprintf(info->features + at, sizeof(info->features) - at, "subgroup%u-%u",
                 info->subgroup_min, info->subgroup_max);
}

static void fill_driver(struct iqt_vk_gpu *gpu, const struct properties *p)
{
    struct iqt_device_info *info = &gpu->info;
    const uint32_t v = gpu->props.driverVersion;

    if (p->driver.driverName[0] == '\0')
        snprintf(info->driver, sizeof(info->driver), "driver %#x", v);
    else
        snprintf(info->driver, sizeof(info->driver), "%.120s %.120s",
                 p->driver.driverName, p->driver.driverInfo);
    if (p->driver.driverID == VK_DRIVER_ID_MESA_LLVMPIPE)
        snprintf(info->arch, sizeof(info->arch), "llvmpipe");
    else
        snprintf(info->arch, sizeof(info->arch), "%04x:%04x", gpu->props.vendorID,
                 gpu->props.deviceID);
}

static void fill_info(struct iqt_vk_gpu *gpu, const struct properties *p)
{
    struct iqt_device_info *info = &gpu->info;

    snprintf(info->backend, sizeof(info->backend), "vulkan");
    snprintf(info->name, sizeof(info->name), "%.255s", gpu->props.deviceName);
    for (uint32_t i = 0; i < VK_UUID_SIZE; i++)
        snprintf(info->id + 2 * i, 3, "%02x", p->id.deviceUUID[i]);
    info->memory_bytes = device_bytes(&gpu->memory);
    info->compute_units = gpu->limits.compute_units;
    info->subgroup_min = gpu->limits.subgroup_min;
    info->subgroup_max = gpu->limits.subgroup_max;
    fill_driver(gpu, p);
}

/* ---- Query ---- */

static bool pick_family(const struct iqt_vk *vk, struct iqt_vk_gpu *gpu)
{
    VkQueueFamilyProperties families[MAX_FAMILIES];
    uint32_t count = MAX_FAMILIES;

    vk->GetPhysicalDeviceQueueFamilyProperties(gpu->physical, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT))
            continue;
        gpu->family = i;
        gpu->timestamp_bits = families[i].timestampValidBits;
        return true;
    }
    return false;
}

static enum iqt_status check_minimum(const struct iqt_vk_gpu *gpu)
{
    const VkPhysicalDeviceProperties *p = &gpu->props;

    if (gpu->api < VK_API_VERSION_1_1)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s: Vulkan %u.%u, need 1.1", p->deviceName,
                        VK_API_VERSION_MAJOR(gpu->api), VK_API_VERSION_MINOR(gpu->api));
    if (p->limits.maxPerStageDescriptorStorageBuffers < IQT_BINDINGS)
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s: %u storage buffers a stage, need %u",
                        p->deviceName, p->limits.maxPerStageDescriptorStorageBuffers,
                        (unsigned)IQT_BINDINGS);
    return IQT_OK;
}

/* Device memory that the host may write directly. IQT_VULKAN_STAGING=1 forces staging copies, so
 * that they can be tested where all memory is shared. */
static bool is_unified(const VkPhysicalDeviceProperties *p)
{
    const char *staging = getenv("IQT_VULKAN_STAGING");

    if (staging != NULL && strcmp(staging, "1") == 0)
        return false;
    return p->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU ||
           p->deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
}

enum iqt_status iqt_vk_gpu_query(const struct iqt_vk *vk, VkPhysicalDevice physical,
                                 struct iqt_vk_gpu *out)
{
    struct iqt_vk_gpu gpu = { .physical = physical };
    struct properties properties;
    struct extensions ext = { NULL, 0 };

    vk->GetPhysicalDeviceProperties(physical, &gpu.props);
    gpu.api = gpu.props.apiVersion < vk->version ? gpu.props.apiVersion : vk->version;
    IQT_TRY(check_minimum(&gpu));
    if (!pick_family(vk, &gpu))
        return iqt_fail(IQT_ERR_UNSUPPORTED, "%s has no compute queue",
                        gpu.props.deviceName);

    IQT_TRY(extensions_read(vk, physical, &ext));
    vk->GetPhysicalDeviceMemoryProperties(physical, &gpu.memory);
    gpu.unified = is_unified(&gpu.props);
    read_features(vk, &ext, &gpu);
    read_properties(vk, &ext, &gpu, &properties);
    fill_limits(&gpu, &properties);
    fill_matrices(vk, &gpu, &properties);
    fill_info(&gpu, &properties);
    fill_words(&gpu, &ext);
    free(ext.list);
    *out = gpu;
    return IQT_OK;
}

enum iqt_status iqt_vk_gpu_each(const struct iqt_vk *vk, iqt_vk_gpu_fn fn, void *user)
{
    VkPhysicalDevice physical[MAX_DEVICES];
    uint32_t count = MAX_DEVICES, index = 0;
    const VkResult result = vk->EnumeratePhysicalDevices(vk->instance, &count, physical);

    if (result == VK_ERROR_INITIALIZATION_FAILED || (result >= 0 && count == 0))
        return iqt_fail(IQT_ERR_NO_DRIVER, "the Vulkan loader found no device");
    if (result < 0)
        return iqt_vk_fail("vkEnumeratePhysicalDevices", result);
    for (uint32_t i = 0; i < count; i++) {
        struct iqt_vk_gpu gpu;

        if (iqt_vk_gpu_query(vk, physical[i], &gpu) != IQT_OK)
            continue;
        snprintf(gpu.info.spec, sizeof(gpu.info.spec), "vulkan:%u", index++);
        if (!fn(user, &gpu))
            return IQT_OK;
    }
    if (index == 0)
        return iqt_fail(IQT_ERR_NO_DRIVER, "no usable Vulkan device: %s",
                        iqt_last_error());
    return IQT_OK;
}

void iqt_vk_gpu_restrict(struct iqt_vk_gpu *gpu, const struct iqt_vk_features *enabled)
{
    gpu->has.subgroup_size = gpu->has.subgroup_size && enabled->subgroup_size;
    gpu->has.dot_product = gpu->has.dot_product && enabled->dot_product;
    gpu->has.buffer_index = gpu->has.buffer_index && enabled->buffer_index;
    gpu->limits.subgroup_ops = gpu->limits.subgroup_ops && gpu->has.subgroup_size;
    gpu->limits.dot4 = gpu->limits.dot4 && gpu->has.dot_product;
    gpu->has.matrices = gpu->has.matrices && enabled->matrices && gpu->has.dot_product &&
                        gpu->has.subgroup_size;
    gpu->limits.mma = gpu->has.matrices;
}
