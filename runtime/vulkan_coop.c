/* Which cooperative matrices a Vulkan device has. Knows nothing of kernels but the shapes that they take. */
#include "runtime/vulkan_coop.h"

#include <stdlib.h>

/* In order of preference: a depth of 16 multiplies half blocks without zeros beside them. AMD has 16, NVIDIA 32. */
static const uint32_t depths[] = { 16, 32 };

static bool fits(const VkCooperativeMatrixPropertiesKHR *p, uint32_t depth)
{
    return p->MSize == 16 && p->NSize == 16 && p->KSize == depth &&
           p->AType == VK_COMPONENT_TYPE_SINT8_KHR &&
           p->BType == VK_COMPONENT_TYPE_SINT8_KHR &&
           p->CType == VK_COMPONENT_TYPE_SINT32_KHR &&
           p->ResultType == VK_COMPONENT_TYPE_SINT32_KHR && !p->saturatingAccumulation &&
           p->scope == VK_SCOPE_SUBGROUP_KHR;
}

uint32_t iqt_vk_coop_choose(const VkCooperativeMatrixPropertiesKHR *list, uint32_t count)
{
    for (size_t d = 0; d < IQT_COUNT(depths); d++)
        for (uint32_t i = 0; i < count; i++)
            if (fits(&list[i], depths[d]))
                return depths[d];
    return 0;
}

uint32_t iqt_vk_coop_depth(const struct iqt_vk *vk, VkPhysicalDevice physical)
{
    const PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vk->GetInstanceProcAddr(
            vk->instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    VkCooperativeMatrixPropertiesKHR *list;
    uint32_t count = 0, depth = 0;

    if (get == NULL || get(physical, &count, NULL) < 0)
        return 0;
    list = calloc(count + 1, sizeof *list);
    if (list == NULL)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    if (get(physical, &count, list) >= 0)
        depth = iqt_vk_coop_choose(list, count);
    free(list);
    return depth;
}
