/* Which recorded products share a dispatch: those of one format, layout and operation that are one launch each, as
 * many as a set has members. */
#include "runtime/vulkan_recorder.h"

enum { CHUNK_GRANULE = 64 };

size_t iqt_vk_rows_of(const struct iqt_vulkan_product *p)
{
    return p->rows != 0 ? p->rows : p->w->m - p->row_begin;
}

size_t iqt_vk_chunk_of(const struct iqt_device *dev, const struct iqt_vulkan_product *p)
{
    /* A slice starts up to an alignment early and ends up to two vectors late. */
    const uint64_t room = dev->max_binding - dev->offset_align - 2 * IQT_VK_SLACK;
    size_t chunk = room / p->w->row_bytes;

    if (chunk > CHUNK_GRANULE)
        chunk -= chunk % CHUNK_GRANULE;
    return chunk < iqt_vk_rows_of(p) ? chunk : iqt_vk_rows_of(p);
}

enum iqt_op iqt_vk_op_of(const struct iqt_vulkan_product *p)
{
    return p->gate != NULL ? IQT_OP_GATED : IQT_OP_MATVEC;
}

static bool is_whole(const struct iqt_device *dev, const struct iqt_vulkan_product *p)
{
    return iqt_vk_chunk_of(dev, p) == iqt_vk_rows_of(p);
}

static bool goes_with(const struct iqt_device *dev, const struct iqt_vulkan_product *a,
                      const struct iqt_vulkan_product *b)
{
    return is_whole(dev, a) && is_whole(dev, b) && iqt_matrix_goes_with(a->w, b->w) &&
           iqt_vk_op_of(a) == iqt_vk_op_of(b);
}

static const struct iqt_matrix *largest_of(const struct iqt_vulkan_product *products,
                                           const struct iqt_vk_group *g)
{
    const struct iqt_matrix *largest = products[g->member[0]].w;

    for (size_t i = 1; i < g->count; i++)
        if (products[g->member[i]].w->m > largest->m)
            largest = products[g->member[i]].w;
    return largest;
}

/* Without a kernel for sets each goes alone. */
enum iqt_status iqt_vk_group_from(struct iqt_device *dev, uint32_t n,
                                  const struct iqt_vulkan_product *products, size_t count,
                                  bool *done, struct iqt_vk_group *g)
{
    const struct iqt_vulkan_product *first = &products[g->member[0]];
    enum iqt_status status = IQT_ERR_UNSUPPORTED;

    g->count = 1;
    for (size_t i = g->member[0] + 1; i < count && g->count < dev->hw->members; i++)
        if (!done[i] && goes_with(dev, first, &products[i]))
            g->member[g->count++] = i;
    if (g->count > 1)
        status = iqt_plan_choose_set(dev, largest_of(products, g), iqt_vk_op_of(first), n,
                                     &g->built);
    if (status == IQT_ERR_UNSUPPORTED) {
        g->count = 1;
        status = iqt_plan_choose(dev, first->w, iqt_vk_op_of(first), n, &g->built);
    }
    for (size_t i = 0; i < g->count; i++)
        done[g->member[i]] = true;
    return status;
}
