/* The Vulkan functions iqtile calls, as tables held by objects. The usual meta-loader (volk) keeps
 * them in globals named like the functions themselves: linked statically into a program that
 * links libvulkan those would be called as code, and two instances would share them. Knows
 * nothing of kernels or matrices. */
#ifndef IQT_RUNTIME_VULKAN_API_H
#define IQT_RUNTIME_VULKAN_API_H

#include "base/base.h"

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <vulkan/vulkan_core.h>

#include <stdatomic.h>

/* clang-format off */
#define IQT_VK_GLOBAL_FUNCTIONS(X)                                                             \
    X(CreateInstance)                                                                          \
    X(EnumerateInstanceLayerProperties)

#define IQT_VK_INSTANCE_FUNCTIONS(X)                                                           \
    X(CreateDevice)                                                                            \
    X(DestroyInstance)                                                                         \
    X(EnumerateDeviceExtensionProperties)                                                      \
    X(EnumeratePhysicalDevices)                                                                \
    X(GetDeviceProcAddr)                                                                       \
    X(GetPhysicalDeviceFeatures2)                                                              \
    X(GetPhysicalDeviceMemoryProperties)                                                       \
    X(GetPhysicalDeviceProperties)                                                             \
    X(GetPhysicalDeviceProperties2)                                                            \
    X(GetPhysicalDeviceQueueFamilyProperties)

#define IQT_VK_DEVICE_FUNCTIONS(X)                                                             \
    X(AllocateCommandBuffers)                                                                  \
    X(AllocateDescriptorSets)                                                                  \
    X(AllocateMemory)                                                                          \
    X(BeginCommandBuffer)                                                                      \
    X(BindBufferMemory)                                                                        \
    X(CmdBindDescriptorSets)                                                                   \
    X(CmdBindPipeline)                                                                         \
    X(CmdCopyBuffer)                                                                           \
    X(CmdDispatch)                                                                             \
    X(CmdPipelineBarrier)                                                                      \
    X(CmdPushConstants)                                                                        \
    X(CmdResetQueryPool)                                                                       \
    X(CmdWriteTimestamp)                                                                       \
    X(CreateBuffer)                                                                            \
    X(CreateCommandPool)                                                                       \
    X(CreateComputePipelines)                                                                  \
    X(CreateDescriptorPool)                                                                    \
    X(CreateDescriptorSetLayout)                                                               \
    X(CreateFence)                                                                             \
    X(CreatePipelineCache)                                                                     \
    X(CreatePipelineLayout)                                                                    \
    X(CreateQueryPool)                                                                         \
    X(CreateShaderModule)                                                                      \
    X(DestroyBuffer)                                                                           \
    X(DestroyCommandPool)                                                                      \
    X(DestroyDescriptorPool)                                                                   \
    X(DestroyDescriptorSetLayout)                                                              \
    X(DestroyDevice)                                                                           \
    X(DestroyFence)                                                                            \
    X(DestroyPipeline)                                                                         \
    X(DestroyPipelineCache)                                                                    \
    X(DestroyPipelineLayout)                                                                   \
    X(DestroyQueryPool)                                                                        \
    X(DestroyShaderModule)                                                                     \
    X(EndCommandBuffer)                                                                        \
    X(FreeMemory)                                                                              \
    X(GetBufferMemoryRequirements)                                                             \
    X(GetDeviceQueue)                                                                          \
    X(GetPipelineCacheData)                                                                    \
    X(GetQueryPoolResults)                                                                     \
    X(MapMemory)                                                                               \
    X(QueueSubmit)                                                                             \
    X(ResetCommandBuffer)                                                                      \
    X(ResetFences)                                                                             \
    X(UpdateDescriptorSets)                                                                    \
    X(WaitForFences)
/* clang-format on */

#define IQT_VK_MEMBER(name) PFN_vk##name name;

/* A Vulkan instance and how to reach its functions. */
struct iqt_vk {
    void *library;       /* libvulkan.so.1; NULL: adopted from the caller */
    VkInstance instance; /* destroyed by iqt_vk_close() unless adopted */
    uint32_t version;    /* API version the instance was made for */
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
    IQT_VK_GLOBAL_FUNCTIONS(IQT_VK_MEMBER)
    IQT_VK_INSTANCE_FUNCTIONS(IQT_VK_MEMBER)
    VkDebugUtilsMessengerEXT messenger; /* with IQT_VULKAN_VALIDATE=1 */
    atomic_uint messages;               /* warnings and errors of the validation layer */
};

struct iqt_vk_device_functions {
    IQT_VK_DEVICE_FUNCTIONS(IQT_VK_MEMBER)
};

/* Loads the loader and makes an instance. IQT_ERR_NO_DRIVER when there is none. With
 * IQT_VULKAN_VALIDATE=1 the Khronos validation layer is on; its messages go to stderr. */
IQT_MUST_USE enum iqt_status iqt_vk_open(struct iqt_vk **out);
/* Wraps a caller's instance, which is never destroyed here. */
IQT_MUST_USE enum iqt_status iqt_vk_adopt(PFN_vkGetInstanceProcAddr get,
                                          VkInstance instance, uint32_t version,
                                          struct iqt_vk **out);
void iqt_vk_close(struct iqt_vk *vk); /* NULL is allowed */

IQT_MUST_USE enum iqt_status iqt_vk_load_device(const struct iqt_vk *vk, VkDevice device,
                                                struct iqt_vk_device_functions *out);

/* Reports a failed Vulkan call by name and result code. */
enum iqt_status iqt_vk_fail(const char *call, VkResult result);
const char *iqt_vk_result_name(VkResult result);

/* Calls fn->name(...), and on failure reports and returns from the caller. */
#define IQT_VK_TRY(fn, name, ...)                             \
    do {                                                      \
        const VkResult try_result_ = (fn)->name(__VA_ARGS__); \
        if (try_result_ < 0)                                  \
            return iqt_vk_fail("vk" #name, try_result_);      \
    } while (0)

#endif
