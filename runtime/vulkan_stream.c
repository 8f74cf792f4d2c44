/* Streams: launches collect in one command buffer, finish() submits it and waits. Copies go
 * straight to mapped memory, else through a staging buffer in pieces. One thread at a time. */
#include "runtime/vulkan_hw.h"

#include <stdlib.h>
#include <string.h>

enum { STAGING_BYTES = 4 << 20 };

struct iqt_stream {
    struct iqt_hw *hw;
    VkCommandPool pool;
    VkCommandBuffer cmd;
    VkFence fence;
    VkQueryPool queries; /* start and end; null when the queue has no clock */
    struct iqt_vk_sets sets;
    struct iqt_mem *staging; /* made by the first copy that needs it */
    bool recording;          /* cmd has launches that are not submitted */
    uint64_t elapsed_ns;     /* of launches submitted since the last finish() */
};

/* ---- Creation ---- */

static enum iqt_status create_commands(struct iqt_stream *s)
{
    struct iqt_hw *hw = s->hw;
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = hw->gpu.family,
    };
    VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    const VkQueryPoolCreateInfo queries = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = 2,
    };

    IQT_VK_TRY(&hw->fn, CreateCommandPool, hw->device, &pool, NULL, &s->pool);
    commands.commandPool = s->pool;
    IQT_VK_TRY(&hw->fn, AllocateCommandBuffers, hw->device, &commands, &s->cmd);
    IQT_VK_TRY(&hw->fn, CreateFence, hw->device, &fence, NULL, &s->fence);
    if (hw->gpu.timestamp_bits != 0)
        IQT_VK_TRY(&hw->fn, CreateQueryPool, hw->device, &queries, NULL, &s->queries);
    return iqt_vk_sets_reserve(hw, &s->sets, 1);
}

enum iqt_status iqt_vk_stream_create(struct iqt_hw *hw, struct iqt_stream **out)
{
    struct iqt_stream *s = calloc(1, sizeof(*s));
    enum iqt_status status;

    if (s == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a Vulkan stream");
    s->hw = hw;
    status = create_commands(s);
    if (status != IQT_OK) {
        iqt_vk_stream_destroy(s);
        return status;
    }
    *out = s;
    return IQT_OK;
}

/* Launches that were never finished are dropped: nothing is in flight between calls. */
void iqt_vk_stream_destroy(struct iqt_stream *s)
{
    if (s == NULL)
        return;
    iqt_vk_free(s->hw, s->staging);
    iqt_vk_sets_free(s->hw, &s->sets);
    s->hw->fn.DestroyQueryPool(s->hw->device, s->queries, NULL);
    s->hw->fn.DestroyFence(s->hw->device, s->fence, NULL);
    s->hw->fn.DestroyCommandPool(s->hw->device, s->pool, NULL);
    free(s);
}

/* ---- Submission ---- */

static enum iqt_status begin(struct iqt_stream *s)
{
    const VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };

    IQT_VK_TRY(&s->hw->fn, ResetCommandBuffer, s->cmd, 0);
    IQT_VK_TRY(&s->hw->fn, BeginCommandBuffer, s->cmd, &info);
    /* Writes of earlier submissions on the same queue. */
    iqt_vk_barrier(s->hw, s->cmd);
    return IQT_OK;
}

static enum iqt_status submit(struct iqt_stream *s)
{
    struct iqt_hw *hw = s->hw;
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &s->cmd,
    };
    VkResult result;

    IQT_VK_TRY(&hw->fn, ResetFences, hw->device, 1, &s->fence);
    pthread_mutex_lock(&hw->queue_lock);
    if (hw->lock_queue != NULL)
        hw->lock_queue(hw->lock_user);
    result = hw->fn.QueueSubmit(hw->queue, 1, &info, s->fence);
    if (hw->unlock_queue != NULL)
        hw->unlock_queue(hw->lock_user);
    pthread_mutex_unlock(&hw->queue_lock);
    if (result < 0)
        return iqt_vk_fail("vkQueueSubmit", result);
    IQT_VK_TRY(&hw->fn, WaitForFences, hw->device, 1, &s->fence, VK_TRUE, UINT64_MAX);
    return IQT_OK;
}

/* Shader and copy writes become readable by the host once the fence is signalled. */
static enum iqt_status end(struct iqt_stream *s)
{
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT,
    };

    s->hw->fn.CmdPipelineBarrier(
        s->cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
        VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    IQT_VK_TRY(&s->hw->fn, EndCommandBuffer, s->cmd);
    return IQT_OK;
}

static enum iqt_status read_clock(struct iqt_stream *s, uint64_t *ns)
{
    struct iqt_hw *hw = s->hw;
    const uint32_t bits = hw->gpu.timestamp_bits;
    const uint64_t mask = bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
    uint64_t tick[2];

    IQT_VK_TRY(&hw->fn, GetQueryPoolResults, hw->device, s->queries, 0, 2, sizeof(tick),
               tick, sizeof(tick[0]), VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
    *ns = (uint64_t)((double)((tick[1] - tick[0]) & mask) *
                     (double)hw->gpu.props.limits.timestampPeriod);
    return IQT_OK;
}

/* Submits what is recorded and waits. On failure the launches are lost. */
static enum iqt_status flush(struct iqt_stream *s)
{
    const uint64_t start = iqt_now_ns();
    uint64_t ns;

    if (!s->recording)
        return IQT_OK;
    s->recording = false;
    s->sets.used = 0;
    if (s->queries != VK_NULL_HANDLE)
        s->hw->fn.CmdWriteTimestamp(s->cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT,
                                    s->queries, 1);
    IQT_TRY(end(s));
    IQT_TRY(submit(s));
    ns = iqt_now_ns() - start;
    if (s->queries != VK_NULL_HANDLE)
        IQT_TRY(read_clock(s, &ns));
    s->elapsed_ns += ns;
    return IQT_OK;
}

/* ---- Launches ---- */

static enum iqt_status begin_launches(struct iqt_stream *s)
{
    IQT_TRY(begin(s));
    if (s->queries != VK_NULL_HANDLE) {
        s->hw->fn.CmdResetQueryPool(s->cmd, s->queries, 0, 2);
        s->hw->fn.CmdWriteTimestamp(s->cmd, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, s->queries,
                                    0);
    }
    s->recording = true;
    return IQT_OK;
}

enum iqt_status iqt_vk_stream_launch(struct iqt_stream *s, const struct iqt_launch *l)
{
    IQT_TRY(iqt_vk_sets_reserve(s->hw, &s->sets, s->sets.used + 1));
    if (!s->recording)
        IQT_TRY(begin_launches(s));
    else if (!l->beside)
        iqt_vk_barrier(s->hw, s->cmd);
    iqt_vk_dispatch(s->hw, s->cmd, s->sets.sets[s->sets.used++], l);
    return IQT_OK;
}

/* One dispatch where a set has no more members than the device has bindings for: two, nearly always. */
enum iqt_status iqt_vk_stream_launch_set(struct iqt_stream *s, const struct iqt_launch *l,
                                         size_t count)
{
    const size_t most = s->hw->members;

    for (size_t i = 0; i < count; i += most) {
        IQT_TRY(iqt_vk_sets_reserve(s->hw, &s->sets, s->sets.used + 1));
        if (!s->recording)
            IQT_TRY(begin_launches(s));
        else if (i == 0 && !l->beside)
            iqt_vk_barrier(s->hw, s->cmd);
        iqt_vk_dispatch_set(s->hw, s->cmd, s->sets.sets[s->sets.used++], l + i,
                            count - i < most ? count - i : most);
    }
    return IQT_OK;
}

enum iqt_status iqt_vk_stream_finish(struct iqt_stream *s, uint64_t *elapsed_ns)
{
    const enum iqt_status status = flush(s);
    const uint64_t elapsed = s->elapsed_ns;

    s->elapsed_ns = 0;
    if (status == IQT_OK && elapsed_ns != NULL)
        *elapsed_ns = elapsed;
    return status;
}

/* ---- Copies ---- */

static enum iqt_status copy(struct iqt_stream *s, VkBuffer from, uint64_t from_offset,
                            VkBuffer to, uint64_t to_offset, uint64_t bytes)
{
    const VkBufferCopy region = { from_offset, to_offset, bytes };

    IQT_TRY(begin(s));
    s->hw->fn.CmdCopyBuffer(s->cmd, from, to, 1, &region);
    IQT_TRY(end(s));
    return submit(s);
}

/* Ready for a copy: earlier launches are done, the staging buffer is there if mem needs it. */
static enum iqt_status prepare_copy(struct iqt_stream *s, const struct iqt_mem *mem)
{
    IQT_TRY(flush(s));
    if (mem->map == NULL && s->staging == NULL)
        return iqt_vk_alloc(s->hw, STAGING_BYTES, true, &s->staging);
    return IQT_OK;
}

enum iqt_status iqt_vk_stream_write(struct iqt_stream *s, struct iqt_mem *mem,
                                    uint64_t offset, const void *data, uint64_t bytes)
{
    const uint8_t *from = data;

    if (bytes == 0)
        return IQT_OK;
    IQT_TRY(prepare_copy(s, mem));
    if (mem->map != NULL) {
        memcpy(mem->map + offset, data, bytes);
        return IQT_OK;
    }
    for (uint64_t done = 0; done < bytes; done += STAGING_BYTES) {
        const uint64_t piece =
            bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;

        memcpy(s->staging->map, from + done, piece);
        IQT_TRY(copy(s, s->staging->buffer, 0, mem->buffer, offset + done, piece));
    }
    return IQT_OK;
}

enum iqt_status iqt_vk_stream_read(struct iqt_stream *s, struct iqt_mem *mem,
                                   uint64_t offset, void *data, uint64_t bytes)
{
    uint8_t *to = data;

    if (bytes == 0)
        return IQT_OK;
    IQT_TRY(prepare_copy(s, mem));
    if (mem->map != NULL) {
        memcpy(data, mem->map + offset, bytes);
        return IQT_OK;
    }
    for (uint64_t done = 0; done < bytes; done += STAGING_BYTES) {
        const uint64_t piece =
            bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;

        IQT_TRY(copy(s, mem->buffer, offset + done, s->staging->buffer, 0, piece));
        memcpy(to + done, s->staging->map, piece);
    }
    return IQT_OK;
}
