/* One launch, or a set of them, as commands: descriptor sets, push constants, dispatch, barrier. Used by streams and
 * by calls recorded into a caller's command buffer; knows nothing of submission. */
#include "runtime/vulkan_hw.h"

#include <assert.h>
#include <stdlib.h>

enum { SETS_PER_POOL = 64, MAX_GROUPS_X = 65535 };

/* ---- Descriptor sets ---- */

static enum iqt_status allocate_sets(struct iqt_hw *hw, VkDescriptorPool pool,
                                     VkDescriptorSet *out)
{
    VkDescriptorSetLayout layouts[SETS_PER_POOL];
    const VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = pool,
        .descriptorSetCount = SETS_PER_POOL,
        .pSetLayouts = layouts,
    };

    for (uint32_t i = 0; i < SETS_PER_POOL; i++)
        layouts[i] = hw->set_layout;
    IQT_VK_TRY(&hw->fn, AllocateDescriptorSets, hw->device, &info, out);
    return IQT_OK;
}

static enum iqt_status create_pool(struct iqt_hw *hw, VkDescriptorPool *out)
{
    const VkDescriptorPoolSize size = {
        .type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
        .descriptorCount = SETS_PER_POOL * IQT_BINDINGS * hw->members,
    };
    const VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = SETS_PER_POOL,
        .poolSizeCount = 1,
        .pPoolSizes = &size,
    };

    IQT_VK_TRY(&hw->fn, CreateDescriptorPool, hw->device, &info, NULL, out);
    return IQT_OK;
}

static enum iqt_status add_pool(struct iqt_hw *hw, struct iqt_vk_sets *s)
{
    VkDescriptorPool *pools = realloc(s->pools, (s->pool_count + 1) * sizeof(*pools));
    VkDescriptorSet *sets;

    if (pools == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %u descriptor pools",
                        s->pool_count + 1);
    s->pools = pools;
    sets = realloc(s->sets, (s->count + SETS_PER_POOL) * sizeof(*sets));
    if (sets == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for %u descriptor sets",
                        s->count + SETS_PER_POOL);
    s->sets = sets;
    IQT_TRY(create_pool(hw, &s->pools[s->pool_count]));
    s->pool_count++;
    IQT_TRY(allocate_sets(hw, s->pools[s->pool_count - 1], s->sets + s->count));
    s->count += SETS_PER_POOL;
    return IQT_OK;
}

enum iqt_status iqt_vk_sets_reserve(struct iqt_hw *hw, struct iqt_vk_sets *s,
                                    uint32_t count)
{
    while (s->count < count)
        IQT_TRY(add_pool(hw, s));
    return IQT_OK;
}

void iqt_vk_sets_free(struct iqt_hw *hw, struct iqt_vk_sets *s)
{
    for (uint32_t i = 0; i < s->pool_count; i++)
        hw->fn.DestroyDescriptorPool(hw->device, s->pools[i], NULL);
    free(s->pools);
    free(s->sets);
    *s = (struct iqt_vk_sets){ 0 };
}

/* ---- Commands ---- */

/* The part of a buffer that a binding shows: the slice and the slack behind it. */
static VkDescriptorBufferInfo binding_info(const struct iqt_hw *hw,
                                           const struct iqt_slice *slice)
{
    const struct iqt_mem *mem = slice->mem != NULL ? slice->mem : hw->dummy;
    const uint64_t offset = slice->mem != NULL ? slice->offset : 0;
    const uint64_t limit = hw->gpu.props.limits.maxStorageBufferRange;
    uint64_t range = iqt_round_up(slice->mem != NULL ? slice->bytes : 0, IQT_VK_SLACK);

    range += IQT_VK_SLACK;
    if (range > mem->bytes - offset)
        range = mem->bytes - offset;
    return (VkDescriptorBufferInfo){
        .buffer = mem->buffer,
        .offset = offset,
        .range = range < limit ? range : limit,
    };
}

/* Members that a set does not have, and those of a kernel for one, show what the first one has. */
static void write_set(struct iqt_hw *hw, VkDescriptorSet set, const struct iqt_launch *l,
                      size_t count)
{
    VkDescriptorBufferInfo info[IQT_BINDINGS][IQT_SHORT_SET_JOBS];
    VkWriteDescriptorSet write[IQT_BINDINGS];

    for (uint32_t i = 0; i < IQT_BINDINGS; i++) {
        write[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = set,
            .dstBinding = i,
            .descriptorCount = iqt_binding_of_member(i) ? hw->members : 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = info[i],
        };
        for (uint32_t j = 0; j < write[i].descriptorCount; j++)
            info[i][j] = binding_info(hw, &l[j < count ? j : 0].bind[i]);
    }
    hw->fn.UpdateDescriptorSets(hw->device, IQT_BINDINGS, write, 0, NULL);
}

static void dispatch(struct iqt_hw *hw, VkCommandBuffer cmd, VkDescriptorSet set,
                     const struct iqt_launch *l)
{
    const uint32_t y = (l->groups + MAX_GROUPS_X - 1) / MAX_GROUPS_X;

    hw->fn.CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, l->kernel->pipeline);
    hw->fn.CmdBindDescriptorSets(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, hw->pipeline_layout,
                                 0, 1, &set, 0, NULL);
    hw->fn.CmdPushConstants(cmd, hw->pipeline_layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                            l->params_bytes, l->params);
    /* 65535 groups in a dimension is what every device has; kernels skip the surplus. */
    hw->fn.CmdDispatch(cmd, (l->groups + y - 1) / y, y, 1);
}

void iqt_vk_dispatch(struct iqt_hw *hw, VkCommandBuffer cmd, VkDescriptorSet set,
                     const struct iqt_launch *l)
{
    if (l->groups == 0)
        return;
    write_set(hw, set, l, 1);
    dispatch(hw, cmd, set, l);
}

static struct iqt_short_job job_of(const struct iqt_params *p)
{
    assert(p->skip == 0 && p->w_base < 1u << 16 && p->gate_base < 1u << 16);
    return (struct iqt_short_job){
        .rows = p->rows,
        .row0 = p->row0,
        .bases = p->w_base | p->gate_base << 16,
        .y_stride = p->y_stride,
        .y_base = p->y_base,
        .flags = p->flags | p->act << 8,
        .limit = p->limit,
    };
}

void iqt_vk_dispatch_set(struct iqt_hw *hw, VkCommandBuffer cmd, VkDescriptorSet set,
                         const struct iqt_launch *l, size_t count)
{
    const struct iqt_params *first = l->params;
    struct iqt_short_set p = {
        first->k, first->row_bytes, first->cols, (uint32_t)count, { { 0 } }
    };
    struct iqt_launch all = {
        .kernel = l->kernel,
        .params = &p,
        .params_bytes = sizeof p,
    };

    assert(count >= 1 && count <= hw->members);
    for (size_t i = 0; i < count; i++) {
        p.member[i] = job_of(l[i].params);
        all.groups += l[i].groups;
    }
    write_set(hw, set, l, count);
    dispatch(hw, cmd, set, &all);
}

void iqt_vk_barrier(struct iqt_hw *hw, VkCommandBuffer cmd)
{
    const VkPipelineStageFlags stages =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
    };

    hw->fn.CmdPipelineBarrier(cmd, stages, stages, 0, 1, &barrier, 0, NULL, 0, NULL);
}
