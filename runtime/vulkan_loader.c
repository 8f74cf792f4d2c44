/* Loader and instance: dlopen, function tables, the validation layer's messages and the names of
 * results. Knows no physical device. */
#include "runtime/vulkan_api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const loader_names[] = { "libvulkan.so.1", "libvulkan.so" };
static const char validation_layer[] = "VK_LAYER_KHRONOS_validation";

static const struct {
    VkResult result;
    enum iqt_status status;
    const char *name;
} results[] = {
    { VK_ERROR_OUT_OF_HOST_MEMORY, IQT_ERR_NO_MEMORY, "VK_ERROR_OUT_OF_HOST_MEMORY" },
    { VK_ERROR_OUT_OF_DEVICE_MEMORY, IQT_ERR_NO_MEMORY, "VK_ERROR_OUT_OF_DEVICE_MEMORY" },
    { VK_ERROR_OUT_OF_POOL_MEMORY, IQT_ERR_NO_MEMORY, "VK_ERROR_OUT_OF_POOL_MEMORY" },
    { VK_ERROR_TOO_MANY_OBJECTS, IQT_ERR_NO_MEMORY, "VK_ERROR_TOO_MANY_OBJECTS" },
    { VK_ERROR_INCOMPATIBLE_DRIVER, IQT_ERR_NO_DRIVER, "VK_ERROR_INCOMPATIBLE_DRIVER" },
    { VK_ERROR_INITIALIZATION_FAILED, IQT_ERR_DEVICE, "VK_ERROR_INITIALIZATION_FAILED" },
    { VK_ERROR_DEVICE_LOST, IQT_ERR_DEVICE, "VK_ERROR_DEVICE_LOST" },
    { VK_ERROR_MEMORY_MAP_FAILED, IQT_ERR_DEVICE, "VK_ERROR_MEMORY_MAP_FAILED" },
    { VK_ERROR_LAYER_NOT_PRESENT, IQT_ERR_UNSUPPORTED, "VK_ERROR_LAYER_NOT_PRESENT" },
    { VK_ERROR_EXTENSION_NOT_PRESENT, IQT_ERR_UNSUPPORTED,
      "VK_ERROR_EXTENSION_NOT_PRESENT" },
    { VK_ERROR_FEATURE_NOT_PRESENT, IQT_ERR_UNSUPPORTED, "VK_ERROR_FEATURE_NOT_PRESENT" },
    { VK_ERROR_INVALID_SHADER_NV, IQT_ERR_COMPILE, "VK_ERROR_INVALID_SHADER_NV" },
    { VK_TIMEOUT, IQT_ERR_DEVICE, "VK_TIMEOUT" },
};

const char *iqt_vk_result_name(VkResult result)
{
    for (size_t i = 0; i < IQT_COUNT(results); i++) {
        if (results[i].result == result)
            return results[i].name;
    }
    return "an unlisted VkResult";
}

enum iqt_status iqt_vk_fail(const char *call, VkResult result)
{
    enum iqt_status status = IQT_ERR_DEVICE;

    for (size_t i = 0; i < IQT_COUNT(results); i++) {
        if (results[i].result == result)
            status = results[i].status;
    }
    return iqt_fail(status, "%s failed: %s (%d)", call, iqt_vk_result_name(result),
                    (int)result);
}

static enum iqt_status load_library(struct iqt_vk *vk)
{
    for (size_t i = 0; i < IQT_COUNT(loader_names) && vk->library == NULL; i++)
        vk->library = dlopen(loader_names[i], RTLD_NOW | RTLD_LOCAL);
    if (vk->library == NULL)
        return iqt_fail(IQT_ERR_NO_DRIVER, "%s not found", loader_names[0]);

    *(void **)&vk->GetInstanceProcAddr = dlsym(vk->library, "vkGetInstanceProcAddr");
    if (vk->GetInstanceProcAddr == NULL)
        return iqt_fail(IQT_ERR_NO_DRIVER, "%s has no vkGetInstanceProcAddr",
                        loader_names[0]);
    return IQT_OK;
}

/* Function pointers of the object's table; a missing one names itself. */
#define LOAD_GLOBAL(fn)                                           \
    vk->fn = (PFN_vk##fn)vk->GetInstanceProcAddr(NULL, "vk" #fn); \
    if (vk->fn == NULL)                                           \
        return iqt_fail(IQT_ERR_NO_DRIVER, "the Vulkan loader has no vk" #fn);
#define LOAD_INSTANCE(fn)                                                 \
    vk->fn = (PFN_vk##fn)vk->GetInstanceProcAddr(vk->instance, "vk" #fn); \
    if (vk->fn == NULL)                                                   \
        return iqt_fail(IQT_ERR_NO_DRIVER, "the Vulkan instance has no vk" #fn);
#define LOAD_DEVICE(fn)                                             \
    table.fn = (PFN_vk##fn)vk->GetDeviceProcAddr(device, "vk" #fn); \
    if (table.fn == NULL)                                           \
        return iqt_fail(IQT_ERR_DEVICE, "the Vulkan device has no vk" #fn);

static enum iqt_status load_global(struct iqt_vk *vk)
{
    IQT_VK_GLOBAL_FUNCTIONS(LOAD_GLOBAL)
    return IQT_OK;
}

static enum iqt_status load_instance(struct iqt_vk *vk)
{
    IQT_VK_INSTANCE_FUNCTIONS(LOAD_INSTANCE)
    return IQT_OK;
}

enum iqt_status iqt_vk_load_device(const struct iqt_vk *vk, VkDevice device,
                                   struct iqt_vk_device_functions *out)
{
    struct iqt_vk_device_functions table;

    IQT_VK_DEVICE_FUNCTIONS(LOAD_DEVICE)
    *out = table;
    return IQT_OK;
}

/* ---- Validation ---- */

static bool validation_wanted(void)
{
    const char *value = getenv("IQT_VULKAN_VALIDATE");

    return value != NULL && strcmp(value, "1") == 0;
}

static VKAPI_ATTR VkBool32 VKAPI_CALL
count_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
              VkDebugUtilsMessageTypeFlagsEXT types,
              const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    struct iqt_vk *vk = user;

    (void)severity;
    (void)types;
    atomic_fetch_add(&vk->messages, 1);
    fprintf(stderr, "vulkan validation: %s\n", data->pMessage);
    return VK_FALSE;
}

static VkDebugUtilsMessengerCreateInfoEXT messenger_info(struct iqt_vk *vk)
{
    return (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = count_message,
        .pUserData = vk,
    };
}

static bool layer_present(const struct iqt_vk *vk, const char *name)
{
    VkLayerProperties layers[64];
    uint32_t count = IQT_COUNT(layers);

    if (vk->EnumerateInstanceLayerProperties(&count, layers) < 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(layers[i].layerName, name) == 0)
            return true;
    }
    return false;
}

static enum iqt_status create_messenger(struct iqt_vk *vk)
{
    const VkDebugUtilsMessengerCreateInfoEXT info = messenger_info(vk);
    const PFN_vkCreateDebugUtilsMessengerEXT create =
        (PFN_vkCreateDebugUtilsMessengerEXT)vk->GetInstanceProcAddr(
            vk->instance, "vkCreateDebugUtilsMessengerEXT");
    VkResult result;

    if (create == NULL)
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "the Vulkan instance has no VK_EXT_debug_utils");
    result = create(vk->instance, &info, NULL, &vk->messenger);
    return result < 0 ? iqt_vk_fail("vkCreateDebugUtilsMessengerEXT", result) : IQT_OK;
}

/* ---- Instance ---- */

static uint32_t instance_version(const struct iqt_vk *vk)
{
    const PFN_vkEnumerateInstanceVersion enumerate =
        (PFN_vkEnumerateInstanceVersion)vk->GetInstanceProcAddr(
            NULL, "vkEnumerateInstanceVersion");
    uint32_t version = VK_API_VERSION_1_0;

    if (enumerate == NULL || enumerate(&version) < 0)
        return VK_API_VERSION_1_0;
    return version < VK_API_VERSION_1_3 ? version : VK_API_VERSION_1_3;
}

static enum iqt_status create_instance(struct iqt_vk *vk)
{
    const char *const layers[] = { validation_layer };
    const char *const extensions[] = { VK_EXT_DEBUG_UTILS_EXTENSION_NAME };
    const VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info(vk);
    const bool validate = validation_wanted();
    const VkApplicationInfo app = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pEngineName = "iqtile",
        .apiVersion = vk->version,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validate ? &messenger : NULL,
        .pApplicationInfo = &app,
        .enabledLayerCount = validate ? 1 : 0,
        .ppEnabledLayerNames = layers,
        .enabledExtensionCount = validate ? 1 : 0,
        .ppEnabledExtensionNames = extensions,
    };

    if (validate && !layer_present(vk, validation_layer))
        return iqt_fail(IQT_ERR_UNSUPPORTED,
                        "IQT_VULKAN_VALIDATE=1, but %s is not installed",
                        validation_layer);
    const VkResult result = vk->CreateInstance(&info, NULL, &vk->instance);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
        return iqt_fail(IQT_ERR_NO_DRIVER, "the Vulkan loader found no device");
    if (result < 0)
        return iqt_vk_fail("vkCreateInstance", result);
    IQT_TRY(load_instance(vk));
    return validate ? create_messenger(vk) : IQT_OK;
}

enum iqt_status iqt_vk_open(struct iqt_vk **out)
{
    struct iqt_vk *vk = calloc(1, sizeof(*vk));
    enum iqt_status status;

    if (vk == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a Vulkan instance");
    status = load_library(vk);
    if (status == IQT_OK)
        status = load_global(vk);
    if (status == IQT_OK) {
        vk->version = instance_version(vk);
        if (vk->version < VK_API_VERSION_1_1)
            status =
                iqt_fail(IQT_ERR_NO_DRIVER, "the Vulkan loader is version 1.0, need 1.1");
    }
    if (status == IQT_OK)
        status = create_instance(vk);
    if (status != IQT_OK) {
        iqt_vk_close(vk);
        return status;
    }
    *out = vk;
    return IQT_OK;
}

enum iqt_status iqt_vk_adopt(PFN_vkGetInstanceProcAddr get, VkInstance instance,
                             uint32_t version, struct iqt_vk **out)
{
    struct iqt_vk *vk = calloc(1, sizeof(*vk));
    enum iqt_status status;

    if (vk == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a Vulkan instance");
    vk->GetInstanceProcAddr = get;
    vk->instance = instance;
    vk->version = version;
    status = load_instance(vk);
    if (status != IQT_OK) {
        free(vk);
        return status;
    }
    *out = vk;
    return IQT_OK;
}

void iqt_vk_close(struct iqt_vk *vk)
{
    if (vk == NULL)
        return;
    if (vk->messenger != VK_NULL_HANDLE) {
        const PFN_vkDestroyDebugUtilsMessengerEXT destroy =
            (PFN_vkDestroyDebugUtilsMessengerEXT)vk->GetInstanceProcAddr(
                vk->instance, "vkDestroyDebugUtilsMessengerEXT");

        destroy(vk->instance, vk->messenger, NULL);
    }
    if (vk->library != NULL) {
        if (vk->instance != NULL && vk->DestroyInstance != NULL)
            vk->DestroyInstance(vk->instance, NULL);
        dlclose(vk->library);
    }
    free(vk);
}
