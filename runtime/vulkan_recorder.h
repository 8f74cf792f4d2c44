/* A recorder's memory, and what both kinds of recorded calls do with it. */
#ifndef IQT_RUNTIME_VULKAN_RECORDER_H
#define IQT_RUNTIME_VULKAN_RECORDER_H

#include <iqtile/vulkan.h>

#include "runtime/runtime.h"
#include "runtime/vulkan_hw.h"
#include "runtime/work.h"

struct iqt_vulkan_recorder {
    struct iqt_device *dev;
    const struct iqt_built *quantizer;
    struct iqt_vk_sets sets;
    uint32_t max_launches, max_n;
    size_t max_k;
    struct iqt_mem *xq, *xs; /* quantized activations of the call being executed */
    struct iqt_mem *room;    /* of plans that split k; NULL: none */
    struct iqt_work work;
};

/* Rows of a product, and of one launch of it: the weights within one binding, workgroups full. */
size_t iqt_vk_rows_of(const struct iqt_vulkan_product *p);
size_t iqt_vk_chunk_of(const struct iqt_device *dev, const struct iqt_vulkan_product *p);
enum iqt_op iqt_vk_op_of(const struct iqt_vulkan_product *p);

/* Products that share a dispatch, and their kernel: it covers a set, or there is one member. */
struct iqt_vk_group {
    const struct iqt_built *built;
    size_t member[IQT_SHORT_SET_JOBS], count;
};
/* Adds to member[0] those of the products behind it that can share its dispatch and are not done yet, marks
 * them as done, and makes the kernel ready. */
IQT_MUST_USE enum iqt_status iqt_vk_group_from(struct iqt_device *dev, uint32_t n,
                                               const struct iqt_vulkan_product *products,
                                               size_t count, bool *done,
                                               struct iqt_vk_group *g);

/* Whether `vectors` of `length` floats, `stride` apart, are in the buffer and can be bound. An absent
 * buffer is. */
IQT_MUST_USE enum iqt_status iqt_vk_check_buffer(const struct iqt_device *dev,
                                                 const char *name,
                                                 const struct iqt_vulkan_buffer *b,
                                                 uint64_t vectors, uint64_t stride,
                                                 uint64_t length);
/* A caller's buffer in the shape of our own; lives as long as the launch is being recorded. */
struct iqt_slice iqt_vk_slice_caller(struct iqt_mem *view,
                                     const struct iqt_vulkan_buffer *b);
/* Commands; the recorder has launches left. The quantizer with the barrier behind it. */
void iqt_vk_record_launch(struct iqt_vulkan_recorder *r, VkCommandBuffer cmd,
                          const struct iqt_launch *l);
void iqt_vk_record_quantize(struct iqt_vulkan_recorder *r, VkCommandBuffer cmd,
                            const struct iqt_vulkan_buffer *x, size_t x_stride, size_t k,
                            uint32_t n);

#endif
