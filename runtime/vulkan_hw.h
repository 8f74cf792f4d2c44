/* The Vulkan backend's own objects, shared by the vulkan_*.c files and by the tests that look
 * inside. Everything above them sees struct iqt_backend only. */
#ifndef IQT_RUNTIME_VULKAN_HW_H
#define IQT_RUNTIME_VULKAN_HW_H

#include "runtime/backend.h"
#include "runtime/vulkan_api.h"
#include "runtime/vulkan_spirv.h"

#include <pthread.h>

/* Loads of 16 bytes past the end of a slice stay inside its buffer and its binding. */
enum { IQT_VK_SLACK = 16 };

/* ---- Physical device (vulkan_gpu.c) ---- */

/* Optional features; each is enabled where the device has it. */
struct iqt_vk_features {
    bool
        subgroup_size; /* subgroupSizeControl + computeFullSubgroups in the compute stage */
    bool dot_product;  /* shaderIntegerDotProduct */
    bool buffer_index; /* shaderStorageBufferArrayDynamicIndexing */
    bool int8, int16, float16, storage8, storage16;
    bool
        matrices; /* cooperativeMatrix, vulkanMemoryModel, shaderInt8, and a depth below */
};

struct iqt_vk_gpu {
    VkPhysicalDevice physical;
    VkPhysicalDeviceProperties props;
    VkPhysicalDeviceMemoryProperties memory;
    struct iqt_vk_features has;
    uint32_t api;    /* the smaller of the device's and the instance's version */
    uint32_t family; /* queue family with compute */
    uint32_t timestamp_bits;
    uint32_t max_subgroups; /* of a workgroup; 0: unknown */
    uint32_t depth; /* of products of cooperative matrices, 16 or 32; 0: there are none */
    uint64_t max_allocation;
    bool sized;   /* compute pipelines may ask for a subgroup size */
    bool unified; /* device memory is mapped and written directly */
    struct iqt_device_info info;
    struct iqt_limits limits;
};

/* Reads everything known about a physical device. IQT_ERR_UNSUPPORTED says why it is unusable. */
IQT_MUST_USE enum iqt_status iqt_vk_gpu_query(const struct iqt_vk *vk,
                                              VkPhysicalDevice physical,
                                              struct iqt_vk_gpu *out);
/* Calls fn for every usable device in index order; fn returns false to stop. IQT_ERR_NO_DRIVER
 * when there is none. */
typedef bool (*iqt_vk_gpu_fn)(void *user, const struct iqt_vk_gpu *gpu);
IQT_MUST_USE enum iqt_status iqt_vk_gpu_each(const struct iqt_vk *vk, iqt_vk_gpu_fn fn,
                                             void *user);
/* Leaves only the limits that hold with these features enabled. */
void iqt_vk_gpu_restrict(struct iqt_vk_gpu *gpu, const struct iqt_vk_features *enabled);

/* ---- Opened device (vulkan_device.c) ---- */

struct iqt_hw {
    struct iqt_vk *vk;
    struct iqt_vk_gpu gpu;
    VkDevice device;
    bool adopted; /* device belongs to the caller */
    struct iqt_vk_device_functions fn;
    VkQueue queue;
    pthread_mutex_t queue_lock;
    void (*lock_queue)(void *user); /* adopted queue: the caller's lock, or NULL */
    void (*unlock_queue)(void *user);
    void *lock_user;
    /* One for all kernels: IQT_BINDINGS storage buffers, or arrays of them where a set has one for each member
     * (other kernels use the first). */
    VkDescriptorSetLayout set_layout;
    uint32_t members; /* of a set: IQT_SHORT_SET_JOBS, or 1 where there are no sets */
    VkPipelineLayout pipeline_layout; /* and push constants */
    VkPipelineCache cache;
    uint64_t cache_hash; /* of the blob on disk; unchanged ones are not written again */
    char *cache_dir;     /* "" : none */
    struct iqt_spirv_compiler *compiler; /* opened at first need, under build_lock */
    pthread_mutex_t build_lock;
    struct iqt_mem *dummy; /* bound where a kernel has no buffer */
    /* For tests that compile another text: called on each text before it is looked up. NULL: as it is. */
    enum iqt_status (*edit)(void *user, struct iqt_buf *text);
    void *edit_user;
};

IQT_MUST_USE enum iqt_status iqt_vk_device_open(const struct iqt_backend_options *opt,
                                                uint32_t index, struct iqt_hw **out);

/* Takes ownership of vk on success. device and its queue stay the caller's. */
struct iqt_vk_adoption {
    struct iqt_vk *vk;
    VkPhysicalDevice physical;
    VkDevice device;
    uint32_t family, queue_index;
    struct iqt_vk_features enabled;
    void (*lock_queue)(void *user);
    void (*unlock_queue)(void *user);
    void *lock_user;
};
IQT_MUST_USE enum iqt_status iqt_vk_device_adopt(const struct iqt_backend_options *opt,
                                                 const struct iqt_vk_adoption *from,
                                                 struct iqt_hw **out);
void iqt_vk_device_close(struct iqt_hw *hw); /* NULL is allowed */

/* ---- Memory (vulkan_memory.c) ---- */

struct iqt_mem {
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t bytes; /* of the buffer, slack included */
    uint8_t *map;   /* NULL: not host-visible */
};

IQT_MUST_USE enum iqt_status iqt_vk_alloc(struct iqt_hw *hw, uint64_t bytes, bool staging,
                                          struct iqt_mem **out);
void iqt_vk_free(struct iqt_hw *hw, struct iqt_mem *mem); /* NULL is allowed */

/* ---- Kernels (vulkan_pipeline.c, vulkan_cache.c) ---- */

struct iqt_kernel {
    VkPipeline pipeline;
};

IQT_MUST_USE enum iqt_status iqt_vk_build(struct iqt_hw *hw, const struct iqt_plan *plan,
                                          struct iqt_kernel **out);
IQT_MUST_USE enum iqt_status iqt_vk_build_helper(struct iqt_hw *hw,
                                                 enum iqt_helper helper,
                                                 struct iqt_kernel **out);
void iqt_vk_drop(struct iqt_hw *hw, struct iqt_kernel *kernel); /* NULL is allowed */
/* Loads and saves the driver's pipeline cache; a damaged or foreign file is ignored. */
IQT_MUST_USE enum iqt_status iqt_vk_cache_load(struct iqt_hw *hw);
void iqt_vk_cache_save(struct iqt_hw *hw);
/* Path of the pipeline cache's file; false when there is no cache folder. */
bool iqt_vk_cache_path(const struct iqt_hw *hw, char *out, size_t bytes);

/* ---- Launches (vulkan_launch.c) ---- */

/* Descriptor sets in growing blocks, handed out in order and reused after a reset. */
struct iqt_vk_sets {
    VkDescriptorPool *pools;
    VkDescriptorSet *sets;
    uint32_t pool_count, count, used;
};
IQT_MUST_USE enum iqt_status iqt_vk_sets_reserve(struct iqt_hw *hw, struct iqt_vk_sets *s,
                                                 uint32_t count);
void iqt_vk_sets_free(struct iqt_hw *hw, struct iqt_vk_sets *s);

/* Appends one launch with a set that no pending command uses. Cannot fail: nothing is allocated. */
void iqt_vk_dispatch(struct iqt_hw *hw, VkCommandBuffer cmd, VkDescriptorSet set,
                     const struct iqt_launch *l);
/* The same for 1 to hw->members launches of one kernel for sets, as one dispatch. */
void iqt_vk_dispatch_set(struct iqt_hw *hw, VkCommandBuffer cmd, VkDescriptorSet set,
                         const struct iqt_launch *l, size_t count);
/* Earlier writes of shaders, copies and the host become visible to later shaders and copies. */
void iqt_vk_barrier(struct iqt_hw *hw, VkCommandBuffer cmd);

/* ---- Streams (vulkan_stream.c) ---- */

IQT_MUST_USE enum iqt_status iqt_vk_stream_create(struct iqt_hw *hw,
                                                  struct iqt_stream **out);
void iqt_vk_stream_destroy(struct iqt_stream *s); /* NULL is allowed */
IQT_MUST_USE enum iqt_status iqt_vk_stream_write(struct iqt_stream *s,
                                                 struct iqt_mem *mem, uint64_t offset,
                                                 const void *data, uint64_t bytes);
IQT_MUST_USE enum iqt_status iqt_vk_stream_read(struct iqt_stream *s, struct iqt_mem *mem,
                                                uint64_t offset, void *data,
                                                uint64_t bytes);
IQT_MUST_USE enum iqt_status iqt_vk_stream_launch(struct iqt_stream *s,
                                                  const struct iqt_launch *l);
IQT_MUST_USE enum iqt_status iqt_vk_stream_launch_set(struct iqt_stream *s,
                                                      const struct iqt_launch *l,
                                                      size_t count);
IQT_MUST_USE enum iqt_status iqt_vk_stream_finish(struct iqt_stream *s,
                                                  uint64_t *elapsed_ns);

#endif
