/* A program with its own Vulkan: device, queue, one mapped buffer, a command buffer, and what it asked
 * iqtile for. Included once by the test of recorded products. */
#ifndef IQT_TESTS_VULKAN_CALLER_H
#define IQT_TESTS_VULKAN_CALLER_H

#include "tests/vulkan_case.h"

#include <iqtile/vulkan.h>

enum { K = 512, WIDE = 1024, M = 75, N = 3, SLOT = 65536, SLOTS = 13, LAUNCHES = 24 };

/* Slots of the caller's buffer. */
enum { X, X2, BIAS, GATE_BIAS, RESIDUAL, Y, Y2, Y3, Y4, Y5, Y6, Y7, Y8 };

struct caller {
    struct iqt_vk *vk;
    struct iqt_vk_device_functions fn;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    VkCommandPool pool;
    VkCommandBuffer cmd;
    VkFence fence;
    VkBuffer buffer;
    VkDeviceMemory memory;
    float *map; /* SLOTS slots of SLOT bytes */
    int locks, unlocks;
    struct iqt_vulkan_device given;
    struct iqt_context *ctx;
    struct iqt_device *dev;
    struct iqt_queue *q;
    struct iqt_matrix *w, *gate, *other, *wide, *floats;
    struct iqt_vulkan_recorder *recorder;
};

/* ---- The caller's own Vulkan ---- */

static inline enum iqt_status make_device(struct caller *c, bool indexing)
{
    struct iqt_vulkan_features *enabled = &c->given.enabled;
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    VkPhysicalDeviceSubgroupSizeControlFeatures size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = VK_TRUE,
    };
    VkPhysicalDeviceFeatures features = { 0 };
    const char *extension = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    VkPhysicalDeviceProperties props;
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .ppEnabledExtensionNames = &extension,
        .pEnabledFeatures = &features,
    };

    IQT_TRY(iqt_vulkan_features_query(&c->given, enabled));
    enabled->integer_dot_product = false; /* this caller does without */
    enabled->cooperative_matrix = false;
    enabled->storage_buffer_indexing &= indexing;
    features.shaderStorageBufferArrayDynamicIndexing = enabled->storage_buffer_indexing;
    c->vk->GetPhysicalDeviceProperties(c->physical, &props);
    if (enabled->subgroup_size) {
        info.pNext = &size;
        info.enabledExtensionCount = props.apiVersion < VK_API_VERSION_1_3;
    }
    IQT_VK_TRY(c->vk, CreateDevice, c->physical, &info, NULL, &c->device);
    IQT_TRY(iqt_vk_load_device(c->vk, c->device, &c->fn));
    c->fn.GetDeviceQueue(c->device, 0, 0, &c->queue);
    return IQT_OK;
}

static inline enum iqt_status make_buffer(struct caller *c)
{
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = SLOTS * SLOT,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT,
    };
    const VkMemoryPropertyFlags want =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkMemoryAllocateInfo allocate = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO };
    VkPhysicalDeviceMemoryProperties memory;
    VkMemoryRequirements need;
    uint32_t type = 0;

    IQT_VK_TRY(&c->fn, CreateBuffer, c->device, &info, NULL, &c->buffer);
    c->fn.GetBufferMemoryRequirements(c->device, c->buffer, &need);
    c->vk->GetPhysicalDeviceMemoryProperties(c->physical, &memory);
    while (type < memory.memoryTypeCount &&
           !((need.memoryTypeBits >> type & 1u) &&
             (memory.memoryTypes[type].propertyFlags & want) == want))
        type++;
    allocate.allocationSize = need.size;
    allocate.memoryTypeIndex = type;
    IQT_VK_TRY(&c->fn, AllocateMemory, c->device, &allocate, NULL, &c->memory);
    IQT_VK_TRY(&c->fn, BindBufferMemory, c->device, c->buffer, c->memory, 0);
    IQT_VK_TRY(&c->fn, MapMemory, c->device, c->memory, 0, VK_WHOLE_SIZE, 0,
               (void **)&c->map);
    return IQT_OK;
}

static inline enum iqt_status make_commands(struct caller *c)
{
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT
    };
    const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };

    IQT_VK_TRY(&c->fn, CreateCommandPool, c->device, &pool, NULL, &c->pool);
    info.commandPool = c->pool;
    IQT_VK_TRY(&c->fn, AllocateCommandBuffers, c->device, &info, &c->cmd);
    IQT_VK_TRY(&c->fn, CreateFence, c->device, &fence, NULL, &c->fence);
    return IQT_OK;
}

static inline enum iqt_status begin(struct caller *c)
{
    const VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO
    };

    iqt_vulkan_recorder_reset(c->recorder);
    IQT_VK_TRY(&c->fn, BeginCommandBuffer, c->cmd, &info);
    return IQT_OK;
}

/* The caller's own barrier, for what the host reads. */
static inline enum iqt_status end(struct caller *c)
{
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT,
    };

    c->fn.CmdPipelineBarrier(c->cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                             VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, NULL, 0,
                             NULL);
    IQT_VK_TRY(&c->fn, EndCommandBuffer, c->cmd);
    return IQT_OK;
}

static inline enum iqt_status submit(struct caller *c)
{
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &c->cmd,
    };

    IQT_VK_TRY(&c->fn, ResetFences, c->device, 1, &c->fence);
    IQT_VK_TRY(&c->fn, QueueSubmit, c->queue, 1, &info, c->fence);
    IQT_VK_TRY(&c->fn, WaitForFences, c->device, 1, &c->fence, VK_TRUE, UINT64_MAX);
    return IQT_OK;
}

/* ---- What the caller asks iqtile for ---- */

static inline void count_lock(void *user)
{
    ((struct caller *)user)->locks++;
}

static inline void count_unlock(void *user)
{
    ((struct caller *)user)->unlocks++;
}

static inline enum iqt_status upload(struct caller *c, const char *format, size_t k,
                                     enum iqt_layout layout, struct iqt_matrix **out)
{
    const struct iqt_format *f = iqt_format_find(format);
    struct iqt_rng rng = { check_seed() + k };
    enum iqt_status status;
    size_t row;
    uint8_t *bytes;

    IQT_TRY(iqt_format_row_bytes(f, k, &row));
    bytes = malloc(row * M);
    if (bytes == NULL)
        return iqt_fail(IQT_ERR_NO_MEMORY, "no memory for a test matrix");
    iqt_random_rows(f, k, M, IQT_FILL_RANDOM, IQT_MAGNITUDE_PLAIN, &rng, bytes);
    status = iqt_matrix_upload(c->dev, f, M, k, bytes, row * M, layout, out);
    free(bytes);
    IQT_TRY(status);
    /* Kernels of a caller without sets are made when they are needed: few are. */
    return c->given.enabled.storage_buffer_indexing ? iqt_prepare(c->dev, *out, N)
                                                    : IQT_OK;
}

static inline enum iqt_status make_matrices(struct caller *c)
{
    const struct iqt_vulkan_recorder_options options = { .struct_size = sizeof(options),
                                                         .max_launches = LAUNCHES,
                                                         .max_n = N,
                                                         .max_k = WIDE };

    IQT_TRY(upload(c, "iq4_ks", K, IQT_LAYOUT_PACKED, &c->w));
    IQT_TRY(upload(c, "iq4_ks", K, IQT_LAYOUT_PACKED, &c->gate));
    IQT_TRY(upload(c, "iq2_k", K, IQT_LAYOUT_NATIVE, &c->other));
    IQT_TRY(upload(c, "iq3_ks", WIDE, IQT_LAYOUT_PACKED, &c->wide));
    IQT_TRY(upload(c, "f16", K, IQT_LAYOUT_NATIVE, &c->floats));
    IQT_TRY(iqt_queue_create(c->dev, &c->q));
    return iqt_vulkan_recorder_create(c->dev, &options, &c->recorder);
}

static inline enum iqt_status caller_open(struct caller *c, uint32_t index, bool indexing)
{
    const struct iqt_context_options options = { .struct_size = sizeof(options),
                                                 .db_path = "",
                                                 .cache_dir = "" };
    VkPhysicalDevice physical[MAX_DEVICES];
    uint32_t count = MAX_DEVICES;

    *c = (struct caller){ .vk = NULL };
    IQT_TRY(iqt_vk_open(&c->vk));
    IQT_VK_TRY(c->vk, EnumeratePhysicalDevices, c->vk->instance, &count, physical);
    c->physical = physical[index];
    c->given = (struct iqt_vulkan_device){
        .struct_size = sizeof(c->given),
        .get_instance_proc_addr = c->vk->GetInstanceProcAddr,
        .instance = c->vk->instance,
        .api_version = c->vk->version,
        .physical = c->physical,
        .lock_queue = count_lock,
        .unlock_queue = count_unlock,
        .lock_user = c,
    };
    IQT_TRY(make_device(c, indexing));
    IQT_TRY(make_buffer(c));
    IQT_TRY(make_commands(c));
    c->given.device = c->device;
    IQT_TRY(iqt_context_create(&options, &c->ctx));
    IQT_TRY(iqt_vulkan_device_adopt(c->ctx, &c->given, &c->dev));
    return make_matrices(c);
}

static inline void caller_close(struct caller *c)
{
    struct iqt_matrix *w[] = { c->w, c->gate, c->other, c->wide, c->floats };

    iqt_vulkan_recorder_destroy(c->recorder);
    iqt_queue_destroy(c->q);
    for (size_t i = 0; i < IQT_COUNT(w); i++)
        iqt_matrix_destroy(w[i]);
    iqt_device_close(c->dev);
    iqt_context_destroy(c->ctx);
    if (c->device != NULL) {
        c->fn.DestroyFence(c->device, c->fence, NULL);
        c->fn.DestroyCommandPool(c->device, c->pool, NULL);
        c->fn.DestroyBuffer(c->device, c->buffer, NULL);
        c->fn.FreeMemory(c->device, c->memory, NULL);
        c->fn.DestroyDevice(c->device, NULL);
    }
    iqt_vk_close(c->vk);
}

/* ---- Slots ---- */

static inline float *slot(const struct caller *c, int i)
{
    return c->map + i * (SLOT / sizeof(float));
}

static inline struct iqt_vulkan_buffer at(const struct caller *c, int i)
{
    return (struct iqt_vulkan_buffer){ c->buffer, (uint64_t)i * SLOT, SLOT };
}

static inline void fill_slots(const struct caller *c)
{
    for (int i = X; i <= RESIDUAL; i++) {
        for (size_t j = 0; j < SLOT / sizeof(float); j++)
            slot(c, i)[j] = check_gauss();
    }
    memset(slot(c, Y), 0xff, (SLOTS - Y) * SLOT); /* NaN */
}

static inline struct iqt_vulkan_product product(const struct caller *c,
                                                const struct iqt_matrix *w, int y)
{
    return (struct iqt_vulkan_product){ .struct_size = sizeof(struct iqt_vulkan_product),
                                        .w = w,
                                        .y = at(c, y) };
}

/* The same product through iqt_matvec(); every bit of y must agree. The test's stride is 0. */
static inline void compare(const struct caller *c, int x,
                           const struct iqt_vulkan_product *p, int y, const char *what)
{
    const size_t rows = p->rows != 0 ? p->rows : M;
    float want[N * M];
    const struct iqt_product same = {
        .struct_size = sizeof(same),
        .w = p->w,
        .gate = p->gate,
        .act = p->act,
        .limit = p->limit,
        .bias = p->bias.buffer != VK_NULL_HANDLE ? slot(c, BIAS) : NULL,
        .gate_bias = p->gate_bias.buffer != VK_NULL_HANDLE ? slot(c, GATE_BIAS) : NULL,
        .residual = p->residual.buffer != VK_NULL_HANDLE ? slot(c, RESIDUAL) : NULL,
        .residual_stride = rows,
        .y = want,
        .row_begin = p->row_begin,
        .rows = rows,
    };

    if (!ok(iqt_matvec(c->q, slot(c, x), 0, N, &same, 1), what))
        return;
    for (size_t i = 0; i < N * rows; i++) {
        if (memcmp(&want[i], &slot(c, y)[i], sizeof(float)) != 0) {
            check_fail("%s: value %zu of %zu is %.9g, iqt_matvec() says %.9g", what, i,
                       N * rows, (double)slot(c, y)[i], (double)want[i]);
            return;
        }
    }
    check_true(slot(c, y)[N * rows] != slot(c, y)[N * rows], "%s: wrote behind its end",
               what);
}

#endif
