/* Products recorded into a caller's Vulkan command buffer, for programs that have their own device.
 *
 *   1. Ask iqt_vulkan_features_query() what to enable, create the VkDevice, hand it over with
 *      iqt_vulkan_device_adopt(). The result is an ordinary iqt_device.
 *   2. iqt_matrix_upload() the weights, iqt_prepare() the kernels.
 *   3. Make a recorder; call iqt_vulkan_record() between vkBeginCommandBuffer() and
 *      vkEndCommandBuffer(), outside a render pass; submit when and where you like.
 *
 * Needs the Vulkan headers; loads no Vulkan library of its own. Handles given here stay the
 * caller's and must outlive what was made from them. */
#ifndef IQTILE_VULKAN_H
#define IQTILE_VULKAN_H

#include <iqtile/iqtile.h>

#include <vulkan/vulkan_core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Adopting a device ---------------------------------------------------------------- */

/* Optional features. Nothing beyond Vulkan 1.1 is required; more of them allow more kernels. */
struct iqt_vulkan_features {
    /* subgroupSizeControl and computeFullSubgroups, in Vulkan 1.3 or by
     * VK_EXT_subgroup_size_control */
    bool subgroup_size;
    /* shaderIntegerDotProduct, in Vulkan 1.3 or by VK_KHR_shader_integer_dot_product */
    bool integer_dot_product;
    /* shaderStorageBufferArrayDynamicIndexing: matrices of one format are one dispatch */
    bool storage_buffer_indexing;
    /* cooperativeMatrix by VK_KHR_cooperative_matrix, and with it vulkanMemoryModel and shaderInt8, both in
     * Vulkan 1.2 or by VK_KHR_vulkan_memory_model and VK_KHR_shader_float16_int8. Of use only with the first two
     * above. Queried, it also says that the device multiplies 16 x 16 of int8, 16 or 32 deep, in a subgroup */
    bool cooperative_matrix;
};

/* A caller's device. Zero-initialise, then fill in. */
struct iqt_vulkan_device {
    size_t struct_size; /* sizeof(struct iqt_vulkan_device) */
    PFN_vkGetInstanceProcAddr get_instance_proc_addr;
    VkInstance instance;
    uint32_t api_version; /* VkApplicationInfo.apiVersion of instance; at least 1.1 */
    VkPhysicalDevice physical;
    VkDevice device;
    uint32_t queue_family; /* family of the command buffers; has compute */
    uint32_t queue_index;  /* a queue of that family, used by uploads and iqt_matvec() */
    struct iqt_vulkan_features enabled; /* what device was created with */
    /* Called around every vkQueueSubmit() to that queue; NULL: the caller keeps other threads
     * away from it while uploads run. */
    void (*lock_queue)(void *user);
    void (*unlock_queue)(void *user);
    void *lock_user;
};

/* Which optional features the physical device has. Reads get_instance_proc_addr, instance,
 * api_version and physical. IQT_ERR_UNSUPPORTED says why the device cannot be used at all. */
IQT_API IQT_MUST_USE enum iqt_status iqt_vulkan_features_query(
    const struct iqt_vulkan_device *device, struct iqt_vulkan_features *out);

/* Wraps the device; everything in iqtile.h works on the result. Close it with
 * iqt_device_close() before destroying the VkDevice; ctx must outlive it. */
IQT_API IQT_MUST_USE enum iqt_status iqt_vulkan_device_adopt(
    struct iqt_context *ctx, const struct iqt_vulkan_device *device,
    struct iqt_device **out);

/* ---- Recording ------------------------------------------------------------------------ */

/* A part of a caller's buffer, created with VK_BUFFER_USAGE_STORAGE_BUFFER_BIT, owned by or
 * shared with the queue family. */
struct iqt_vulkan_buffer {
    VkBuffer buffer; /* VK_NULL_HANDLE: absent */
    uint64_t offset; /* a multiple of iqt_vulkan_offset_alignment() */
    uint64_t bytes;  /* readable or writable from offset */
};

/* The alignment of offsets that dev wants: a power of two, at least 16. */
IQT_API uint32_t iqt_vulkan_offset_alignment(const struct iqt_device *dev);

/* One product, as struct iqt_product, with device buffers. */
struct iqt_vulkan_product {
    size_t struct_size; /* sizeof(struct iqt_vulkan_product) */
    const struct iqt_matrix *w;
    const struct iqt_matrix *gate;      /* NULL, or of the same m, k, format and layout */
    enum iqt_act act;                   /* used only with gate */
    float limit;                        /* used only by IQT_ACT_SWIGLU_OAI; > 0 */
    struct iqt_vulkan_buffer bias;      /* m floats, or absent */
    struct iqt_vulkan_buffer gate_bias; /* m floats, or absent; only with gate */
    struct iqt_vulkan_buffer residual;  /* n vectors, stride apart, or absent */
    struct iqt_vulkan_buffer y; /* n vectors, stride apart; may be residual's memory */
    size_t stride;              /* of y and residual in floats; 0: rows */
    size_t row_begin, rows;     /* as in struct iqt_product */
};

/* Descriptor sets and scratch memory for a number of launches. One thread at a time. */
struct iqt_vulkan_recorder;

struct iqt_vulkan_recorder_options {
    size_t struct_size; /* sizeof(struct iqt_vulkan_recorder_options) */
    uint32_t
        max_launches; /* between two resets. A call takes one for its activations, and each
                            * product one, or more where a matrix exceeds the device's largest
                            * binding. Those that share a dispatch take fewer, but must find room
                            * for one each */
    uint32_t max_n;   /* 1 .. IQT_MAX_COLS */
    size_t max_k;     /* columns of the widest matrix */
};

/* dev: adopted, or opened as a Vulkan device; must outlive the recorder. IQT_ERR_UNSUPPORTED for
 * another backend. */
IQT_API IQT_MUST_USE enum iqt_status iqt_vulkan_recorder_create(
    struct iqt_device *dev, const struct iqt_vulkan_recorder_options *options,
    struct iqt_vulkan_recorder **out);
/* No command buffer recorded with it may be pending. NULL is allowed. */
IQT_API void iqt_vulkan_recorder_destroy(struct iqt_vulkan_recorder *r);
/* Takes back all launches. Command buffers recorded since the last reset must not be pending and
 * must not be submitted again. */
IQT_API void iqt_vulkan_recorder_reset(struct iqt_vulkan_recorder *r);

/* Appends count products of the same n activation vectors x to cmd. Neither submits nor waits
 * nor allocates, provided that iqt_prepare() has built the kernels of the matrices for n (else
 * they are built here).
 *
 * x         n vectors of k floats, x_stride floats apart (0: k). Matrices of float formats (f16,
 *           bf16, f32) read x as it is and need x_stride k.
 * products  count entries; all matrices have the same k and live on the recorder's device. No y
 *           may overlap x or another product's buffers.
 *
 * Synchronisation: a barrier in front makes earlier writes of compute shaders and transfers
 * visible to the products, one behind makes y visible to later compute shaders and transfers.
 * Anything else (the host, graphics, other queues) is the caller's affair. All command buffers
 * of one recorder share its scratch memory, so they must execute one after the other: submit
 * them to one queue. The command buffer's bound compute pipeline, descriptor set 0 and push
 * constants are overwritten.
 *
 * Returns IQT_OK; IQT_ERR_ARG or IQT_ERR_SHAPE when a rule above is broken, IQT_ERR_NO_MEMORY
 * when the recorder has too few launches left (the text has the numbers), IQT_ERR_UNSUPPORTED,
 * IQT_ERR_COMPILE. Nothing is recorded then. */
IQT_API IQT_MUST_USE enum iqt_status iqt_vulkan_record(
    struct iqt_vulkan_recorder *r, VkCommandBuffer cmd, struct iqt_vulkan_buffer x,
    size_t x_stride, uint32_t n, const struct iqt_vulkan_product *products, size_t count);

/* Buffers of one product with routed experts, struct iqt_routed on the device. */
struct iqt_vulkan_routed {
    size_t struct_size; /* sizeof(struct iqt_vulkan_routed) */
    const struct iqt_matrix *w;
    const struct iqt_matrix
        *gate;        /* NULL, or of the same experts, m, k, format and layout */
    enum iqt_act act; /* used only with gate */
    float limit;      /* used only by IQT_ACT_SWIGLU_OAI; > 0 */
    struct iqt_vulkan_buffer bias; /* experts x m floats, or absent */
    struct iqt_vulkan_buffer
        gate_bias; /* experts x m floats, or absent; only with gate */
    struct iqt_vulkan_buffer
        ids; /* tokens x used int32; others than 0 .. experts - 1 give zeros */
    uint32_t tokens, used;
    bool x_per_slot;            /* x has tokens x used vectors, not tokens */
    struct iqt_vulkan_buffer y; /* tokens x used vectors of m floats, stride apart */
    size_t stride;              /* of y in floats; 0: m */
};

/* Appends one product with routed experts to cmd: a launch for the activations, and one, or one for
 * each binding that the experts need where they exceed the device's largest. The host never reads the
 * ids. Everything else is as in iqt_vulkan_record(), but that x has as many vectors as product says and
 * that all of them together must be within max_n x max_k of the recorder. */
IQT_API IQT_MUST_USE enum iqt_status iqt_vulkan_record_routed(
    struct iqt_vulkan_recorder *r, VkCommandBuffer cmd, struct iqt_vulkan_buffer x,
    size_t x_stride, const struct iqt_vulkan_routed *product);

#ifdef __cplusplus
}
#endif
#endif
